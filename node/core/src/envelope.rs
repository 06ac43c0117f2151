//! A submission as it arrives, and the proof that its sender is known.

use std::sync::Arc;

use registry_proto::{
    log::RequestId,
    terms::Date,
    wire::registry::{PublishRequest, Record},
};
use sha2::{Digest, Sha256};

use crate::{
    authorize::{self, Action, Permit, Principal, Rule, action_of},
    limits,
    reject::Reject,
};

/// What a request is for, which decides what the rules are asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be published: each record is what it is.
    Publish,
    /// To see how a draft would fare: the right to keep drafts is enough, and nothing is written.
    Draft,
    /// To be published because a second person confirms it.
    Confirm,
}

/// A publish request with everything its way through the core needs, so that no later stage reads
/// a clock or draws random numbers.
#[derive(Debug)]
pub struct Envelope {
    /// What is asked for.
    pub request: PublishRequest,
    /// What it is for.
    pub purpose: Purpose,
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
    pub(crate) request: Option<RequestId>,
    pub(crate) pseudonym: String,
    pub(crate) today: Date,
    pub(crate) wall_ms: i64,
    pub(crate) entropy: [u8; 32],
    /// What the sender may do with what; asked again once the objects are known.
    pub(crate) rules: Arc<[Rule]>,
    pub(crate) purpose: Purpose,
    _permit: Permit,
}

// === impl Purpose ===

impl Purpose {
    /// The action that the rules are asked about.
    pub(crate) fn action(self, record: &Record) -> Action {
        match self {
            Self::Publish => action_of(record),
            Self::Draft => Action::Draft,
            Self::Confirm => Action::Confirm,
        }
    }
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
    /// [`Reject::Denied`] without the role publisher, [`Reject::Forbidden`] if it does not cover
    /// what a record is about to do; [`Reject::Invalid`] for an empty or too long list or too many
    /// partners to wait for.
    pub fn authorize(self) -> Result<Authorized, Reject> {
        let purpose = self.envelope.purpose;
        let PublishRequest { records, ack_peers, dry_run, idempotency_key } = self.envelope.request;
        let mut asked: Vec<Action> = records.iter().map(|it| purpose.action(it)).collect();
        asked.sort_unstable();
        asked.dedup();
        let first = asked.first().copied().unwrap_or(Action::Publish);
        let permit = authorize::require(&self.principal, first)?;
        for action in asked.into_iter().skip(1) {
            authorize::require(&self.principal, action)?;
        }
        if records.is_empty() || records.len() > limits::PUBLISH_RECORDS_MAX {
            return Err(Reject::field(
                "records",
                "RECORD_COUNT",
                format!(
                    "{} Datensätze; ein Stapel hat 1 bis {}",
                    records.len(),
                    limits::PUBLISH_RECORDS_MAX
                ),
            ));
        }
        if ack_peers > limits::ACK_PEERS_MAX {
            return Err(Reject::field(
                "ack_peers",
                "ACK_PEERS",
                format!("{ack_peers}; erlaubt sind höchstens {}", limits::ACK_PEERS_MAX),
            ));
        }
        if idempotency_key.chars().count() > limits::IDEMPOTENCY_KEY_CHARS_MAX {
            return Err(Reject::field(
                "idempotency_key",
                "IDEMPOTENCY_KEY",
                format!("erlaubt sind höchstens {} Zeichen", limits::IDEMPOTENCY_KEY_CHARS_MAX),
            ));
        }
        let request = request_id(&self.principal.pseudonym, &idempotency_key);
        let rules = Arc::clone(self.principal.rules());
        Ok(Authorized {
            records,
            ack_peers,
            dry_run: dry_run || purpose == Purpose::Draft,
            request,
            pseudonym: self.principal.pseudonym,
            today: self.envelope.today,
            wall_ms: self.envelope.wall_ms,
            entropy: self.envelope.entropy,
            rules,
            purpose,
            _permit: permit,
        })
    }
}

/// Names a request: the first 16 bytes of SHA-256 over the pseudonym, a zero byte and the key.
fn request_id(pseudonym: &str, key: &str) -> Option<RequestId> {
    if key.is_empty() {
        return None;
    }
    let mut hasher = Sha256::new();
    hasher.update(pseudonym);
    hasher.update([0]);
    hasher.update(key);
    let digest: [u8; 32] = hasher.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    Some(RequestId(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authorize::Role;

    fn envelope(records: usize, ack_peers: u32, role: Option<Role>) -> Envelope {
        let request = PublishRequest {
            records: vec![Record::default(); records],
            ack_peers,
            dry_run: true,
            ..PublishRequest::default()
        };
        let principal = role.map(|role| Principal::with_roles("p-1", &[role]));
        let today = "2026-01-01".parse().expect("a day");
        Envelope {
            request,
            purpose: Purpose::Publish,
            principal,
            today,
            wall_ms: 5,
            entropy: [1; 32],
        }
    }

    #[track_caller]
    fn check(records: usize, ack_peers: u32, expect: Result<(), &str>) {
        let envelope = envelope(records, ack_peers, Some(Role::Publisher));
        let got = envelope.authenticate().and_then(Authenticated::authorize);
        match (got, expect) {
            (Ok(authorized), Ok(())) => assert_eq!(authorized.records.len(), records),
            (Err(Reject::Invalid(all)), Err(reason)) => {
                assert_eq!(all.iter().map(|it| it.reason).collect::<Vec<_>>(), [reason]);
            }
            (got, expect) => panic!("{got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn requests_at_and_beyond_their_limits() {
        check(0, 0, Err("RECORD_COUNT"));
        check(1, 0, Ok(()));
        check(limits::PUBLISH_RECORDS_MAX, 0, Ok(()));
        check(limits::PUBLISH_RECORDS_MAX + 1, 0, Err("RECORD_COUNT"));
        check(1, limits::ACK_PEERS_MAX, Ok(()));
        check(1, limits::ACK_PEERS_MAX + 1, Err("ACK_PEERS"));
        check(1, u32::MAX, Err("ACK_PEERS"));
    }

    #[test]
    fn nobody_and_those_without_the_role_are_denied_before_anything_is_looked_at() {
        let nobody = envelope(0, 99, None).authenticate().err();
        assert!(matches!(nobody, Some(Reject::Denied { action: "publish", .. })), "{nobody:?}");
        for role in [Role::Reader, Role::Operator, Role::Peer] {
            let denied =
                envelope(0, 99, Some(role)).authenticate().and_then(Authenticated::authorize);
            assert!(matches!(denied, Err(Reject::Denied { .. })), "{role}: {denied:?}");
        }
    }

    #[test]
    fn what_was_asked_goes_on_unchanged() {
        let envelope = envelope(2, 3, Some(Role::Publisher));
        let it = envelope.authenticate().and_then(Authenticated::authorize).expect("allowed");
        assert_eq!((it.ack_peers, it.dry_run, it.pseudonym.as_str()), (3, true, "p-1"));
        assert_eq!((it.wall_ms, it.entropy), (5, [1; 32]));
    }
}
