//! A submission as it arrives, and the proof that its sender is known.

use registry_proto::{
    terms::Date,
    wire::registry::{PublishRequest, Record},
};

use crate::{
    authorize::{self, Action, Permit, Principal},
    limits,
    reject::Reject,
};

/// A publish request with everything its way through the core needs, so that no later stage reads
/// a clock or draws random numbers.
#[derive(Debug)]
pub struct Envelope {
    /// What is asked for.
    pub request: PublishRequest,
    /// Who the transport says is asking; `None` when it does not know.
    pub principal: Option<Principal>,
    /// Today (UTC) at the node.
    pub today: Date,
    /// Wall clock, milliseconds since 1970-01-01 UTC; for new UUIDs.
    pub wall_ms: i64,
    /// 32 fresh random bytes; salts and new UUIDs are derived from them.
    pub entropy: [u8; 32],
}

/// An envelope whose sender is known. Only [`Envelope::authenticate`] makes it.
#[derive(Debug)]
pub struct Authenticated {
    envelope: Envelope,
    principal: Principal,
}

/// An envelope whose sender may publish. Only [`Authenticated::authorize`] makes it.
#[derive(Debug)]
pub struct Authorized {
    pub(crate) records: Vec<Record>,
    pub(crate) ack_peers: u32,
    pub(crate) dry_run: bool,
    pub(crate) pseudonym: String,
    pub(crate) today: Date,
    pub(crate) wall_ms: i64,
    pub(crate) entropy: [u8; 32],
    _permit: Permit,
}

// === impl Envelope ===

impl Envelope {
    /// Takes the identity from the transport; a body cannot state one.
    ///
    /// # Errors
    ///
    /// [`Reject::Denied`] when the transport knows no principal.
    pub fn authenticate(mut self) -> Result<Authenticated, Reject> {
        match self.principal.take() {
            Some(principal) => Ok(Authenticated { envelope: self, principal }),
            None => Err(Reject::Denied {
                action: "publish",
                reason: "publishing needs a client certificate with the role publisher".to_owned(),
            }),
        }
    }
}

// === impl Authenticated ===

impl Authenticated {
    /// Checks the right to publish and the limits of the request.
    ///
    /// # Errors
    ///
    /// [`Reject::Denied`] without the role publisher; [`Reject::Invalid`] for an empty or too
    /// long list or too many partners to wait for.
    pub fn authorize(self) -> Result<Authorized, Reject> {
        let permit = authorize::require(&self.principal, Action::Publish)?;
        let PublishRequest { records, ack_peers, dry_run } = self.envelope.request;
        if records.is_empty() || records.len() > limits::PUBLISH_RECORDS_MAX {
            return Err(Reject::field(
                "records",
                "RECORD_COUNT",
                format!(
                    "{} records; expected 1 to {} in one batch",
                    records.len(),
                    limits::PUBLISH_RECORDS_MAX
                ),
            ));
        }
        if ack_peers > limits::ACK_PEERS_MAX {
            return Err(Reject::field(
                "ack_peers",
                "ACK_PEERS",
                format!("{ack_peers}; expected at most {}", limits::ACK_PEERS_MAX),
            ));
        }
        Ok(Authorized {
            records,
            ack_peers,
            dry_run,
            pseudonym: self.principal.pseudonym,
            today: self.envelope.today,
            wall_ms: self.envelope.wall_ms,
            entropy: self.envelope.entropy,
            _permit: permit,
        })
    }
}
