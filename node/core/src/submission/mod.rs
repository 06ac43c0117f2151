//! From an authorised envelope to bytes that can be appended: validated by the rules of the
//! catalogue, identified, encoded and digested. Pure and without the state of the log, so any
//! number of submissions can be prepared side by side; what needs the log follows in
//! [`crate::log`].

mod compare;
mod deliver;
mod erase;
mod handover;
#[cfg(test)]
mod handover_tests;
mod hinweise;
mod judge;
#[cfg(test)]
mod judge_tests;
mod permit;
#[cfg(test)]
mod permit_tests;
mod prepare;

use std::sync::Arc;

use bytes::Bytes;
use registry_proto::{
    log::{Hash, Kind, Reference, RequestId, body_digest},
    terms::{Land, SemVer, ServiceId, Themenfeld},
    wire::registry::{ServiceVersion, Warning},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    authorize::{Action, Rule, Target, may_alone},
    compat::Verdict,
    envelope::{Authorized, Purpose},
    fold::Move,
    limits,
    log::Erases,
    reject::{FieldViolation, Reject},
    validate::CodeLists,
};
pub use deliver::{DestinationSignatures, Doubt};
pub use erase::{Erase, ToErase};
pub use handover::Contents;
pub(crate) use handover::Inherited;
pub use hinweise::content_of;
use permit::is_covered;
pub use permit::permit_draft;
use prepare::Make;

/// Records that keep every rule that needs no log. Only [`Submission::validate`] makes it.
#[derive(Debug)]
pub struct Submission {
    pub(crate) records: Vec<Prepared>,
    pub(crate) ack_peers: u32,
    pub(crate) dry_run: bool,
    pub(crate) pseudonym: String,
    pub(crate) request: Option<RequestId>,
    /// Why [`Submission::judge`] refuses it, unless the same request was published before: then
    /// its own moves have changed what is judged.
    pub(crate) refused: Option<Reject>,
    /// What the sender may do with what.
    pub(crate) rules: Arc<[Rule]>,
    pub(crate) permitted: bool,
    /// True if it is not for one person alone.
    pub(crate) needs_second: bool,
}

/// One record, ready to be staged.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) kind: Kind,
    /// What publishing it is.
    pub(crate) action: Action,
    /// Object of the entry: the service, or the Nachnutzung.
    pub(crate) service: ServiceId,
    /// The service it is about.
    pub(crate) of_service: ServiceId,
    /// The Nachnutzung it is about.
    pub(crate) subscription: Option<Uuid>,
    pub(crate) version: Option<SemVer>,
    /// Entries it rests on; filled by [`Submission::judge`].
    pub(crate) references: Vec<Reference>,
    /// Revision of the object that the sender knows of.
    pub(crate) expected_revision: Option<u64>,
    /// Revision of the object that [`Submission::judge`] saw.
    pub(crate) judged_at: Option<u64>,
    /// 1 + index of what this Land said last about a handover of the service, as
    /// [`Submission::judge`] saw it.
    pub(crate) handovers_seen: Option<u64>,
    /// What the service brought along, if this Land took it over.
    pub(crate) inherited: Option<Inherited>,
    /// Principals that a definition names as editors.
    pub(crate) editors: Vec<String>,
    /// Leistungsschlüssel of a definition.
    pub(crate) schluessel: Vec<String>,
    /// Themenfeld of a definition.
    pub(crate) themenfeld: Option<Themenfeld>,
    /// The entry of this Land that it erases.
    pub(crate) erases: Option<Erases>,
    /// The move, for [`Submission::judge`].
    pub(crate) said: Option<Move>,
    /// The version, for [`Submission::compare`].
    pub(crate) release: Option<Arc<ServiceVersion>>,
    /// How it compares with the version before it.
    pub(crate) verdict: Option<Verdict>,
    /// Number of that version. One that comes between is no longer compared with.
    pub(crate) compared: Option<SemVer>,
    /// The record, then its warnings.
    pub(crate) body: Bytes,
    /// Bytes of the record in the body.
    pub(crate) record_bytes: usize,
    pub(crate) salt: [u8; 16],
    pub(crate) body_digest: Hash,
    /// SHA-256 of the record without salt and warnings: equal content, equal value.
    pub(crate) content: Hash,
    pub(crate) warnings: Vec<Warning>,
    /// Path of the record in the request.
    pub(crate) path: String,
}

// === impl Submission ===

impl Submission {
    /// Validates every record, gives new services and Nachnutzungen their UUID (v7, or v5 over the
    /// name of the request, so that a repeated request names the same), and encodes.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] with all violations of all records.
    pub fn validate(input: Authorized, land: Land, lists: &CodeLists) -> Result<Self, Reject> {
        let mut make = Make {
            entropy: Entropy::new(input.entropy),
            request: input.request,
            wall_ms: input.wall_ms,
            today: input.today,
            land,
            lists,
        };
        let mut violations = Vec::new();
        let mut records = Vec::with_capacity(input.records.len());
        for (at, mut asked) in input.records.into_iter().enumerate() {
            let action = input.purpose.action(&asked);
            let expected_revision = asked.expected_revision;
            asked.record.iter_mut().for_each(hinweise::clear);
            match make.prepared(at, asked.record) {
                Ok(prepared) => records.push(Prepared { action, expected_revision, ..prepared }),
                Err(more) => violations.extend(more),
            }
        }
        if !violations.is_empty() {
            violations.truncate(limits::VIOLATIONS_MAX);
            return Err(Reject::Invalid(violations));
        }
        let anything = Target::default();
        let permitted = records.iter().all(|it| is_covered(&input.rules, it.action, &anything));
        let alone = |it: &Prepared| may_alone(&input.rules, it.action, &anything);
        let needs_second = input.purpose == Purpose::Publish && !records.iter().all(alone);
        Ok(Self {
            records,
            ack_peers: input.ack_peers,
            dry_run: input.dry_run,
            pseudonym: input.pseudonym,
            request: input.request,
            refused: None,
            rules: input.rules,
            permitted,
            needs_second,
        })
    }

    /// Bytes of all bodies.
    pub(crate) fn bytes(&self) -> usize {
        self.records.iter().map(|it| it.body.len()).sum()
    }
}

// === impl Prepared ===

impl Prepared {
    /// A record of which nothing more is known.
    pub(crate) fn of(kind: Kind, object: ServiceId, salt: [u8; 16], body: Bytes) -> Self {
        Self::found(kind, object, salt, body, Vec::new(), String::new())
    }

    /// A record with findings that do not stop it; `path` leads to it in the request.
    fn found(
        kind: Kind,
        object: ServiceId,
        salt: [u8; 16],
        record: Bytes,
        found: Vec<FieldViolation>,
        path: String,
    ) -> Self {
        let warnings: Vec<_> = found.into_iter().map(warning).collect();
        let (content, record_bytes) = (content_of(&record), record.len());
        let body = telling(record, &warnings, &path);
        Self {
            kind,
            action: Action::Publish,
            service: object,
            of_service: object,
            subscription: None,
            version: None,
            references: Vec::new(),
            expected_revision: None,
            judged_at: None,
            handovers_seen: None,
            inherited: None,
            editors: Vec::new(),
            schluessel: Vec::new(),
            themenfeld: None,
            erases: None,
            said: None,
            release: None,
            verdict: None,
            compared: None,
            salt,
            body_digest: body_digest(&salt, &body),
            content,
            record_bytes,
            body,
            warnings,
            path,
        }
    }

    /// Adds findings that do not stop the record; its body tells them.
    pub(crate) fn warn(&mut self, found: Vec<FieldViolation>) {
        if found.is_empty() {
            return;
        }
        self.warnings.extend(found.into_iter().map(warning));
        let record = self.body.slice(..self.record_bytes.min(self.body.len()));
        self.body = telling(record, &self.warnings, &self.path);
        self.body_digest = body_digest(&self.salt, &self.body);
    }
}

fn warning(it: FieldViolation) -> Warning {
    Warning { field: it.field, description: it.description, reason: it.reason.to_owned() }
}

/// The body of a record that tells what was found in it.
fn telling(record: Bytes, warnings: &[Warning], path: &str) -> Bytes {
    if warnings.is_empty() {
        return record;
    }
    [&record[..], &hinweise::encoded(warnings, path)].concat().into()
}

impl Submission {
    /// The same to see how it would fare: nothing is written.
    #[must_use]
    pub fn into_dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }

    /// True if nothing of it is written.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// True if a second person must confirm it before it is written.
    pub fn needs_second(&self) -> bool {
        self.needs_second && !self.dry_run
    }

    /// Number of records.
    #[expect(clippy::len_without_is_empty, reason = "no submission is empty")]
    pub fn len(&self) -> usize {
        self.records.len()
    }
}

/// Fresh bytes from one seed: SHA-256(seed ‖ counter), so that the core draws nothing itself.
#[derive(Debug)]
pub(crate) struct Entropy {
    seed: [u8; 32],
    counter: u64,
}

impl Entropy {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        let mut hasher = Sha256::new();
        hasher.update(self.seed);
        hasher.update(self.counter.to_be_bytes());
        hasher.finalize().into()
    }

    pub(crate) fn salt(&mut self) -> [u8; 16] {
        let block = self.block();
        let mut salt = [0; 16];
        salt.copy_from_slice(&block[..16]);
        salt
    }

    pub(crate) fn uuid_v7(&mut self, wall_ms: i64) -> Uuid {
        let block = self.block();
        let mut random = [0; 10];
        random.copy_from_slice(&block[..10]);
        let millis = u64::try_from(wall_ms).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use registry_proto::wire::registry::{
        Handlungsgrundlage, Herausgeber, Hinweis, LocalizedText, PublishRequest, Record,
        ServiceDefinition, record,
    };

    use super::*;
    use crate::{
        authorize::{Principal, Role},
        envelope::{Envelope, Purpose},
    };

    fn definition(service_id: &str, name: &str) -> Record {
        let definition = ServiceDefinition {
            service_id: service_id.to_owned(),
            leistungsschluessel: vec!["99050012104000".to_owned()],
            typisierung: vec!["2/3".to_owned()],
            themenfeld: "unternehmensfuehrung_entwicklung".to_owned(),
            bezeichnung: vec![LocalizedText {
                language_code: "de".to_owned(),
                text: name.to_owned(),
            }],
            leistungsadressaten: vec!["002".to_owned()],
            handlungsgrundlagen: vec![Handlungsgrundlage {
                text: "§ 14 Gewerbeordnung (GewO)".to_owned(),
                url: "https://www.gesetze-im-internet.de/gewo/__14.html".to_owned(),
            }],
            herausgeber: Some(Herausgeber {
                id: "L100001.OE.1".to_owned(),
                name: "Ministerium für Versuche".to_owned(),
            }),
            ..ServiceDefinition::default()
        };
        Record { record: Some(record::Record::ServiceDefinition(definition)), ..Record::default() }
    }

    fn validate(records: Vec<Record>) -> Result<Submission, Reject> {
        let envelope = Envelope {
            request: PublishRequest {
                records,
                ack_peers: 2,
                dry_run: true,
                ..PublishRequest::default()
            },
            purpose: Purpose::Publish,
            principal: Some(Principal::with_roles("p-1", &[Role::Publisher])),
            today: "2026-11-23".parse().expect("a day"),
            wall_ms: 1_767_225_600_123,
            entropy: [4; 32],
        };
        let authorized = envelope.authenticate()?.authorize()?;
        Submission::validate(authorized, Land::SL, CodeLists::shipped())
    }

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn a_new_service_gets_its_id_and_land_here() {
        let submission =
            validate(vec![definition("", "Neu"), definition("", "Neu")]).expect("valid");
        let [first, second] = submission.records.as_slice() else { panic!("two records") };
        assert_ne!(first.service, second.service);
        for it in [first, second] {
            let body = ServiceDefinition::decode(&it.body[..]).expect("a definition");
            assert_eq!((body.service_id, body.land.as_str()), (it.service.to_string(), "SL"));
            assert_eq!(it.service.uuid().get_version_num(), 7);
            let (seconds, nanos) = it.service.uuid().get_timestamp().expect("a time").to_unix();
            assert_eq!((seconds, nanos), (1_767_225_600, 123_000_000));
        }
        // the same envelope again is the same submission: nothing is drawn here
        let again = validate(vec![definition("", "Neu"), definition("", "Neu")]).expect("valid");
        assert_eq!(again.records[1].body_digest, second.body_digest);
    }

    #[test]
    fn equal_contents_are_equal_and_their_digests_tell_nothing() {
        let records = vec![definition(ID, "Eins"), definition(ID, "Eins"), definition(ID, "Zwei")];
        let submission = validate(records).expect("valid");
        let [one, same, other] = submission.records.as_slice() else { panic!("three records") };
        assert_eq!(one.content, same.content);
        assert_ne!(one.content, other.content);
        assert_ne!((one.salt, one.body_digest), (same.salt, same.body_digest));
        assert_eq!(one.body_digest, body_digest(&one.salt, &one.body));
        assert_eq!(submission.bytes(), 3 * one.body.len());
        assert_eq!((submission.ack_peers, submission.dry_run), (2, true));
    }

    #[test]
    fn only_the_findings_of_the_node_go_into_the_body() {
        let claimed = Hinweis { description: "erfunden".to_owned(), ..Hinweis::default() };
        let mut told = definition(ID, "Eins");
        if let Some(record::Record::ServiceDefinition(it)) = &mut told.record {
            it.hinweise = vec![claimed];
        }
        let submission = validate(vec![definition(ID, "Eins"), told]).expect("valid");
        let [mut one, same] = <[Prepared; 2]>::try_from(submission.records).expect("two records");
        assert_eq!((one.content, &one.body), (same.content, &same.body));
        let (content, digest) = (one.content, one.body_digest);
        let field = format!("{}.lagen[0]", one.path);
        let found = FieldViolation { field, reason: "RULE", description: "gefunden".to_owned() };
        one.warn(vec![found.clone()]);
        one.warn(vec![FieldViolation { reason: "OTHER", ..found }]);
        let body = ServiceDefinition::decode(&one.body[..]).expect("a definition");
        let kept: Vec<_> =
            body.hinweise.iter().map(|it| (it.field.as_str(), it.reason.as_str())).collect();
        assert_eq!(kept, [("lagen[0]", "RULE"), ("lagen[0]", "OTHER")]);
        assert_eq!((one.content, content_of(&one.body)), (content, content));
        assert_ne!(one.body_digest, digest);
        assert_eq!(one.body_digest, body_digest(&one.salt, &one.body));
    }

    #[test]
    fn violations_of_all_records_are_listed_with_their_place() {
        let mut bad = definition("no-uuid", "Eins");
        if let Some(record::Record::ServiceDefinition(it)) = &mut bad.record {
            it.typisierung = vec!["13".to_owned()];
        }
        let records = vec![definition(ID, "Gut"), bad, Record::default()];
        let Err(Reject::Invalid(all)) = validate(records) else { panic!("refused") };
        let found = |prefix: &str| all.iter().any(|it| it.field.starts_with(prefix));
        assert!(!found("records[0]"), "{all:?}");
        assert!(found("records[1].service_definition.service_id"), "{all:?}");
        assert!(found("records[1].service_definition.typisierung"), "{all:?}");
        assert!(all.iter().any(|it| it.field == "records[2]" && it.reason == "RECORD_KIND"));
    }

    #[test]
    fn so_many_violations_are_listed_and_no_more() {
        let records = vec![Record::default(); limits::VIOLATIONS_MAX + 1];
        let Err(Reject::Invalid(all)) = validate(records) else { panic!("refused") };
        assert_eq!(all.len(), limits::VIOLATIONS_MAX);
    }

    #[test]
    fn entropy_gives_every_time_something_else() {
        let mut entropy = Entropy::new([0; 32]);
        let salts: std::collections::HashSet<_> = (0..1_000).map(|_| entropy.salt()).collect();
        assert_eq!(salts.len(), 1_000);
        assert_ne!(Entropy::new([0; 32]).salt(), Entropy::new([1; 32]).salt());
    }
}
