//! Erasures as submissions: what an operator may erase, and what is written about it.

use std::sync::Arc;

use prost::Message as _;
use registry_proto::{
    erasure::{GRUND_CHARS_MAX, may_be_erased},
    log::{Hash, Header, Kind, Reference},
    terms::{LogId, ServiceId},
    wire::registry::Erasure,
};

use super::{Entropy, Prepared, Submission};
use crate::{
    authorize::{self, Action, Principal},
    fold::Position,
    limits,
    log::Erases,
    reject::{FieldViolation, Reject},
};

/// An entry to erase, as it stands in the journal.
#[derive(Clone, Debug)]
pub struct ToErase {
    /// Its header.
    pub header: Header,
    /// Its leaf hash.
    pub leaf: Hash,
}

/// What is to be erased, by whom and why.
#[derive(Clone, Debug)]
pub struct Erase {
    /// The log of this node; nothing else can be erased here.
    pub own: LogId,
    /// Entries.
    pub targets: Vec<ToErase>,
    /// Why.
    pub grund: String,
    /// Judge only.
    pub dry_run: bool,
    /// 32 fresh random bytes.
    pub entropy: [u8; 32],
}

// === impl Submission ===

impl Submission {
    /// Writes an erasure of each entry, as one batch. Whether one is erased already the log knows.
    ///
    /// # Errors
    ///
    /// [`Reject::Denied`] without the role operator; [`Reject::Invalid`] without entries or reason,
    /// or with too many; [`Reject::Precondition`] with `ERASE_FOREIGN` for an entry of another log,
    /// with `ERASE_KIND` for a kind that is never erased, and with `ERASE_NOT_BEGUN` for an entry of
    /// an epoch that this log has not come to.
    pub fn erase(principal: &Principal, erase: Erase) -> Result<Self, Reject> {
        authorize::require(principal, Action::Operate)?;
        let Erase { own, targets, grund, dry_run, entropy } = erase;
        check_form(&targets, &grund)?;
        let mut entropy = Entropy::new(entropy);
        let mut records = Vec::with_capacity(targets.len());
        for (at, ToErase { header, leaf }) in targets.into_iter().enumerate() {
            let object = erasable(own, &header)?;
            let body = Erasure {
                index: header.index,
                leaf_hash: leaf.as_bytes().to_vec().into(),
                grund: grund.clone(),
                epoch: if header.log == own { 0 } else { header.log.epoch },
            };
            let (salt, body) = (entropy.salt(), body.encode_to_vec().into());
            let land = own.land;
            records.push(Prepared {
                references: vec![Reference { land, object_id: object.uuid(), leaf_hash: leaf }],
                action: Action::Operate,
                erases: Some(Erases {
                    number: Position { log: header.log, index: header.index }.number(),
                    leaf,
                }),
                path: format!("entries[{at}]"),
                ..Prepared::of(Kind::Erasure, object, salt, body)
            });
        }
        Ok(Self {
            records,
            ack_peers: 0,
            dry_run,
            pseudonym: principal.pseudonym.clone(),
            request: None,
            refused: None,
            rules: Arc::clone(principal.rules()),
            // operating the node of a Land has no narrower scope
            permitted: true,
            needs_second: false,
        })
    }
}

fn check_form(targets: &[ToErase], grund: &str) -> Result<(), Reject> {
    let mut found = Vec::new();
    let mut add = |field: &str, reason, description| {
        found.push(FieldViolation { field: field.to_owned(), reason, description });
    };
    if targets.is_empty() || targets.len() > limits::PUBLISH_RECORDS_MAX {
        let (given, most) = (targets.len(), limits::PUBLISH_RECORDS_MAX);
        add("entries", "RECORD_COUNT", format!("{given} Einträge; erlaubt sind 1 bis {most}"));
    }
    let place = |it: &ToErase| (it.header.log, it.header.index);
    let mut places: Vec<_> = targets.iter().map(place).collect();
    places.sort_unstable();
    if places.windows(2).any(|it| it[0] == it[1]) {
        add("entries", "ENTRY_TWICE", "ein Eintrag ist mehr als einmal genannt".to_owned());
    }
    let chars = grund.chars().count();
    if grund.trim().is_empty() || chars > GRUND_CHARS_MAX {
        let wanted = "ein Grund ohne Personenbezug ist nötig";
        add("grund", "GRUND", format!("{chars} Zeichen; {wanted}, höchstens {GRUND_CHARS_MAX}"));
    }
    if found.is_empty() { Ok(()) } else { Err(Reject::Invalid(found)) }
}

/// The object of an entry that may be erased here.
fn erasable(own: LogId, header: &Header) -> Result<ServiceId, Reject> {
    let name = format!("{}/{}", header.log, header.index);
    if header.log.land == own.land && header.log.epoch > own.epoch {
        return Err(Reject::Precondition {
            reason: "ERASE_NOT_BEGUN",
            description: format!("{name} steht in einer Epoche, die hier noch nicht begonnen hat"),
        });
    }
    if header.log.land != own.land {
        return Err(Reject::Precondition {
            reason: "ERASE_FOREIGN",
            description: format!(
                "{name} steht im Protokoll von {}; nur dieses Land kann dort löschen",
                header.log.land
            ),
        });
    }
    let known = !matches!(header.kind, Kind::Unknown(_));
    let object = header.object_id.filter(|_| known && may_be_erased(header.kind));
    object.map(ServiceId::from).ok_or_else(|| Reject::Precondition {
        reason: "ERASE_KIND",
        description: format!(
            "{name} ist von einer Art, die nie gelöscht wird: andere stützen sich darauf. Gelöscht \
             werden Steckbriefe, Versionen und Kontakte"
        ),
    })
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::Land;
    use uuid::Uuid;

    use super::*;
    use crate::{authorize::Role, testing::log};

    fn target(land: Land, kind: Kind, object: Option<u128>) -> ToErase {
        let header = Header {
            verbund: registry_proto::log::VerbundId::from_bytes([1; 32]),
            log: log(land),
            index: 7,
            kind,
            recorded_unix_ms: 0,
            object_id: object.map(Uuid::from_u128),
            audience: 1,
            batch_end: true,
            references: Vec::new(),
            principal: String::new(),
            body_length: 1,
            body_digest: Hash::of(b"x"),
            request: None,
        };
        ToErase { header, leaf: Hash::of(b"leaf") }
    }

    /// The one place that touches the API: what becomes of it, in a word.
    #[track_caller]
    fn check(role: Role, targets: Vec<ToErase>, grund: &str, expect: &str) {
        check_in(1, role, targets, grund, expect);
    }

    /// While the own log is written in this epoch.
    #[track_caller]
    fn check_in(epoch: u64, role: Role, targets: Vec<ToErase>, grund: &str, expect: &str) {
        let principal = Principal::with_roles("p-operator", &[role]);
        let own = LogId { epoch, ..log(Land::SL) };
        let grund = grund.to_owned();
        let erase = Erase { own, targets, grund, dry_run: false, entropy: [1; 32] };
        let got = match Submission::erase(&principal, erase) {
            Ok(it) => format!("{} as {}", it.records.len(), it.pseudonym),
            Err(Reject::Denied { .. }) => "denied".to_owned(),
            Err(Reject::Precondition { reason, .. }) => reason.to_owned(),
            Err(Reject::Invalid(all)) => {
                all.iter().map(|it| it.reason).collect::<Vec<_>>().join(" ")
            }
            Err(other) => other.to_string(),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn only_an_operator_erases_in_the_own_log_what_may_be_erased_and_says_why() {
        let version = || target(Land::SL, Kind::ServiceVersion, Some(1));
        check(Role::Operator, vec![version()], "Widerruf", "1 as p-operator");
        for role in [Role::Reader, Role::Publisher, Role::Peer] {
            check(role, vec![version()], "Widerruf", "denied");
        }
        let foreign = target(Land::RP, Kind::ServiceVersion, Some(1));
        check(Role::Operator, vec![foreign], "Widerruf", "ERASE_FOREIGN");
        // of an epoch that a reset has ended too, and none that is to come
        let of_epoch = |epoch| {
            let mut it = version();
            it.header.log.epoch = epoch;
            it
        };
        check_in(2, Role::Operator, vec![of_epoch(1), of_epoch(2)], "Widerruf", "2 as p-operator");
        check_in(2, Role::Operator, vec![of_epoch(1), of_epoch(1)], "Widerruf", "ENTRY_TWICE");
        check_in(2, Role::Operator, vec![of_epoch(3)], "Widerruf", "ERASE_NOT_BEGUN");
        let mut foreign = target(Land::RP, Kind::ServiceVersion, Some(1));
        foreign.header.log.epoch = 2;
        check_in(2, Role::Operator, vec![foreign], "Widerruf", "ERASE_FOREIGN");
        for kind in [
            Kind::Erasure,
            Kind::Unfenced,
            Kind::VersionStatus,
            Kind::SubscriptionMove,
            Kind::Mitzeichnung,
            Kind::Uebergabe,
            Kind::Unknown(10),
        ] {
            let it = target(Land::SL, kind, Some(1));
            check(Role::Operator, vec![it], "Widerruf", "ERASE_KIND");
        }
        check(
            Role::Operator,
            vec![target(Land::SL, Kind::ServiceVersion, None)],
            "x",
            "ERASE_KIND",
        );
        check(Role::Operator, vec![version(), version()], "Widerruf", "ENTRY_TWICE");
        check(Role::Operator, Vec::new(), " ", "RECORD_COUNT GRUND");
        check(Role::Operator, vec![version()], &"x".repeat(GRUND_CHARS_MAX + 1), "GRUND");
    }

    #[test]
    fn what_is_written_names_the_entry_in_header_and_body() {
        let principal = Principal::with_roles("p", &[Role::Operator]);
        let erase = Erase {
            own: log(Land::SL),
            targets: vec![target(Land::SL, Kind::ServiceDefinition, Some(5))],
            grund: "Widerruf".to_owned(),
            dry_run: true,
            entropy: [1; 32],
        };
        let submission = Submission::erase(&principal, erase).expect("allowed");
        let [record] = submission.records.as_slice() else { panic!("one record") };
        let body = Erasure::decode(&record.body[..]).expect("an erasure");
        assert_eq!((body.index, &body.leaf_hash[..]), (7, &Hash::of(b"leaf").as_bytes()[..]));
        assert_eq!(body.epoch, 0, "the same");
        assert_eq!(record.references[0].leaf_hash, Hash::of(b"leaf"));
        assert_eq!(record.service.uuid(), Uuid::from_u128(5));
        assert!(submission.dry_run);
    }
}
