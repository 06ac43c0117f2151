//! The side of a Land that wants to become a member: presents its card to the node that invited it,
//! and learns the charters from it.
//!
//! The node counts under the pins of the token, its charters under the Verbund that the token names,
//! and the token under the charters. So nothing is trusted but the way the token came.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use registry_core::{charter::decision, limits};
use registry_proto::{
    charter::{CHAIN_BYTES_MAX, Charter, CharterError, DecisionError},
    german::German,
    join::{JoinToken, TokenError},
    wire::{
        peer::{
            GetJoinRequest, JoinPartner, JoinPresented, JoinRequest, JoinSecret, JoinState,
            join_service_client::JoinServiceClient,
        },
        registry::{CharterDecision, SignedJoinCard},
    },
};
use rustls::AlertDescription;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use crate::tls::{Alerts, ConnectError, MaterialError, PinnedConnector, Pins, Profile};

/// What a newcomer asks with.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The token.
    pub token: JoinToken,
    /// The card that answers it.
    pub card: SignedJoinCard,
    /// What handshakes may use.
    pub profile: Profile,
}

/// What a newcomer is told.
#[derive(Clone, Debug)]
pub struct Told {
    /// All charters so far, the genesis charter first; at least one.
    pub charters: Vec<Charter>,
    /// Why they followed, as far as that came with them; all verified.
    pub decisions: Vec<CharterDecision>,
    /// Numbers of those that came without.
    pub unproved: Vec<u64>,
    /// Nodes that could be dialled.
    pub partners: Vec<JoinPartner>,
    /// Nobody waits longer, seconds since 1970-01-01 UTC.
    pub waits_until: i64,
}

/// Why a newcomer is told nothing. German for its operator.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The node cannot be reached under any address.
    #[error("{address} ist nicht erreichbar: {cause}")]
    Unreachable {
        /// The last address.
        address: String,
        /// Why.
        cause: String,
    },
    /// Somebody else answers.
    #[error(
        "{address} zeigt kein Zertifikat, das unter den Pins des Tokens zählt: dort antwortet ein \
         anderer Server, oder das einladende Land hat seine Anker gewechselt; nichts wurde gesendet \
         ({cause})"
    )]
    NotPinned {
        /// Where.
        address: String,
        /// Why.
        cause: String,
    },
    /// The node refuses.
    #[error("{} ({reason})", told_by(.reason, .message))]
    Refused {
        /// Upper-case reason, stable for programs.
        reason: String,
        /// What the node says.
        message: String,
    },
    /// The node wants a certificate that a newcomer has not.
    #[error(
        "{address} verlangt ein Client-Zertifikat: das ist nicht der Port für Beitritte (listen.join), \
         sondern wohl der gRPC-Port; das einladende Land lädt mit der Adresse des Ports für Beitritte \
         neu ein (registry charter invite)"
    )]
    OtherPort {
        /// Where.
        address: String,
    },
    /// The connection ended without an answer.
    #[error(
        "{address} beendet die Verbindung, ohne zu antworten; ist das der Port für Beitritte \
         (listen.join)?"
    )]
    Ended {
        /// Where.
        address: String,
    },
    /// Not at the moment.
    #[error("der Knoten antwortet gerade nicht: {0}")]
    Unavailable(String),
    /// The node has broken the protocol.
    #[error("der Knoten hält sich nicht an das Protokoll: {0}")]
    Protocol(&'static str),
    /// The charters break a rule.
    #[error("die Chartas des Knotens sind nicht gültig")]
    Charters(#[source] German<CharterError>),
    /// The proof of a vote does not hold.
    #[error("der Beweis der Abstimmung über Charta {number} gilt nicht")]
    Decision {
        /// Number of the charter.
        number: u64,
        /// Why.
        #[source]
        why: German<DecisionError>,
    },
    /// The charters are not those of the token.
    #[error("das Token passt nicht zu den Chartas des Knotens")]
    Token(#[from] TokenError),
    /// The name in the token is none.
    #[error("der Knotenname im Token ist keiner")]
    Name(#[source] MaterialError),
}

/// The charters cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The file cannot be read or written.
    #[error("{}: kann nicht gelesen oder geschrieben werden", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Charters of another Verbund stand there.
    #[error(
        "{}: dort steht die Charta eines anderen Verbunds, oder etwas anderes; sie wird nicht \
         überschrieben", .0.display()
    )]
    Other(PathBuf),
}

// === impl Asking ===

impl Asking {
    /// Presents the card. May be repeated after any error.
    ///
    /// # Errors
    ///
    /// See [`JoinError`].
    pub async fn present(&self) -> Result<Told, JoinError> {
        self.ask(true).await
    }

    /// Asks what became of the card.
    ///
    /// # Errors
    ///
    /// See [`JoinError`].
    pub async fn look(&self) -> Result<Told, JoinError> {
        self.ask(false).await
    }

    async fn ask(&self, present: bool) -> Result<Told, JoinError> {
        let (channel, reached) = self.connect().await?;
        let mut client = JoinServiceClient::new(channel)
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(limits::JOIN_MESSAGE_BYTES_MAX);
        let invited = &self.token.invited;
        let secret =
            || Some(JoinSecret { secret: Bytes::copy_from_slice(invited.secret.expose()) });
        let mut heard = Heard::default();
        loop {
            let (invitation_id, from) = (invited.id.to_string(), heard.charters.len() as u64);
            let answer = if present && from == 0 {
                let presented =
                    Some(JoinPresented { signed_card: self.card.encode_to_vec().into() });
                let ask = JoinRequest { invitation_id, secret: secret(), presented, from };
                client.join(ask).await.map(|it| it.into_inner().state)
            } else {
                let ask = GetJoinRequest { invitation_id, secret: secret(), from };
                client.get_join(ask).await.map(|it| it.into_inner().state)
            };
            let JoinState { charters, newest, waits_until, partners, decisions } =
                answer.map_err(|status| refused(&status, &reached))?.unwrap_or_default();
            heard.take(charters, decisions)?;
            if heard.charters.len() as u64 > newest {
                let waits_until = waits_until.map_or(0, |it| it.seconds);
                return self.verified(heard, partners, waits_until);
            }
        }
    }

    fn verified(
        &self,
        heard: Heard,
        partners: Vec<JoinPartner>,
        waits_until: i64,
    ) -> Result<Told, JoinError> {
        let chain = Charter::encode_chain(heard.charters, Vec::new());
        let charters =
            Charter::chain(chain.into()).map_err(|it| JoinError::Charters(German(it)))?;
        let last = charters.last().ok_or(JoinError::Protocol("keine Charta"))?;
        self.token.require_made_under(last)?;
        let decisions: Result<Vec<_>, _> =
            heard.decisions.into_iter().map(decision::decode).collect();
        let decisions = decisions.map_err(|_| JoinError::Protocol("ein Beweis ist keiner"))?;
        let decisions = decision::verified(&charters, decisions)
            .map_err(|(number, why)| JoinError::Decision { number, why: German(why) })?;
        let unproved = decision::unproved(&charters, &decisions);
        let decisions = decisions.into_values().collect();
        Ok(Told { charters, decisions, unproved, partners, waits_until })
    }

    /// Connects to the first address where the node of the token answers.
    async fn connect(&self) -> Result<(Channel, Reached), JoinError> {
        let invited = &self.token.invited;
        let pins = Pins { node: invited.node.clone(), pins: invited.pins.clone() };
        let connector = PinnedConnector::new(self.profile, pins).map_err(JoinError::Name)?;
        let mut failed = JoinError::Protocol("das Token nennt keine Adresse");
        for address in &invited.addresses {
            let address = address.as_str();
            let unreachable = |cause| JoinError::Unreachable { address: address.to_owned(), cause };
            let endpoint = match Endpoint::from_shared(format!("http://{address}")) {
                Ok(endpoint) => endpoint.connect_timeout(CONNECT).timeout(ANSWER),
                Err(error) => {
                    failed = unreachable(error.to_string());
                    continue;
                }
            };
            match endpoint.connect_with_connector(connector.clone()).await {
                Ok(channel) => {
                    let address = address.to_owned();
                    return Ok((channel, Reached { address, alerts: connector.alerts() }));
                }
                Err(error) => failed = not_connected(address, &error),
            }
        }
        Err(failed)
    }
}

// === impl Heard ===

impl Heard {
    fn take(&mut self, charters: Vec<Bytes>, decisions: Vec<Bytes>) -> Result<(), JoinError> {
        // an empty one is none, and takes memory nevertheless
        self.bytes += charters.iter().map(|it| it.len().max(CHARTER_LEAST)).sum::<usize>();
        if charters.is_empty() || self.bytes > CHAIN_BYTES_MAX {
            return Err(JoinError::Protocol("keine oder zu viele Chartas"));
        }
        self.charters.extend(charters);
        for it in decisions {
            // a member can make each one large, and must not keep newcomers out with that: without
            // it a charter shows as unproved until its votes are here
            let bytes = self.decision_bytes + it.len();
            if bytes <= limits::JOIN_DECISIONS_BYTES_MAX
                && self.decisions.len() < self.charters.len()
            {
                self.decision_bytes = bytes;
                self.decisions.push(it);
            }
        }
        Ok(())
    }
}

// === impl Told ===

impl Told {
    /// The newest charter.
    pub fn newest(&self) -> Option<&Charter> {
        self.charters.last()
    }

    /// Whether the newest charter names the Land with this log key.
    pub fn admits(&self, asking: &Asking) -> bool {
        let member = self.newest().and_then(|it| it.member(asking.token.invited.land));
        let card = registry_proto::join::JoinCard::claimed(&asking.card);
        let (Some(member), Ok(card)) = (member, card) else { return false };
        member.is_active() && card.member.log_key[..] == member.keys.log.as_bytes()[..]
    }
}

/// Keeps all charters in the file that `charter` in `node.toml` names, with what proves them, in place
/// of fewer of the same Verbund; what else stands there is never overwritten.
///
/// # Errors
///
/// See [`KeepError`].
pub fn keep(
    path: &Path,
    charters: &[Charter],
    decisions: &[CharterDecision],
) -> Result<(), KeepError> {
    let failed = |source| KeepError::File { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(before) => {
            let (known, proved) = Charter::chain_and_decisions(before.into()).unwrap_or_default();
            let proved = decision::verified(&known, proved).map_or(0, |it| it.len());
            let is_more = known.len() > charters.len() || proved >= decisions.len();
            if !known.is_empty() && known.starts_with(charters) && is_more {
                return Ok(());
            }
            if known.is_empty() || !charters.starts_with(&known) {
                return Err(KeepError::Other(path.to_owned()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let raw = charters.iter().map(|it| it.raw().clone()).collect();
    let chain = Charter::encode_chain(raw, decisions.to_vec());
    let new = path.with_extension("new");
    fs::write(&new, chain)
        .and_then(|()| fs::File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .map_err(failed)
}

/// What was told so far; nothing of it is verified.
#[derive(Debug, Default)]
struct Heard {
    charters: Vec<Bytes>,
    decisions: Vec<Bytes>,
    /// Of the charters.
    bytes: usize,
    decision_bytes: usize,
}

/// Where a connection stands.
struct Reached {
    address: String,
    alerts: Alerts,
}

fn refused(status: &Status, reached: &Reached) -> JoinError {
    // what no node said, but the connection
    if status.source().is_some() {
        let address = reached.address.clone();
        return match reached.alerts.take() {
            Some(AlertDescription::CertificateRequired) => JoinError::OtherPort { address },
            Some(_) | None => JoinError::Ended { address },
        };
    }
    let message = status.message().to_owned();
    let info = status.get_details_error_info();
    match (status.code(), info) {
        (Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded, _) | (_, None) => {
            JoinError::Unavailable(message)
        }
        (_, Some(info)) => JoinError::Refused { reason: info.reason, message },
    }
}

fn told_by(reason: &str, message: &str) -> String {
    match reason {
        "NOT_INVITED" => "der Knoten kennt dieses Token nicht, oder es wurde zurückgezogen; das \
                          Land, das es ausgegeben hat, um ein neues bitten (dort: registry charter \
                          invite)"
            .to_owned(),
        _ => format!("der Knoten lehnt ab: {message}"),
    }
}

fn not_connected(address: &str, error: &tonic::transport::Error) -> JoinError {
    let address = address.to_owned();
    let mut at: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref::<ConnectError>() {
            let cause = crate::lifecycle::chain(found);
            return match is_other(found) {
                true => JoinError::NotPinned { address, cause },
                false => JoinError::Unreachable { address, cause },
            };
        }
        at = error.source();
    }
    JoinError::Unreachable { address, cause: crate::lifecycle::chain(error) }
}

/// Whether it was the certificate.
fn is_other(error: &ConnectError) -> bool {
    match error {
        ConnectError::UnknownIssuer { .. } | ConnectError::Expired { .. } => true,
        ConnectError::Tls { source, .. } => {
            let tls = source.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
            matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
        }
        _ => false,
    }
}

/// Bytes that any charter has.
const CHARTER_LEAST: usize = 64;
/// Time between two looks at what became of a card.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_secs(30);
