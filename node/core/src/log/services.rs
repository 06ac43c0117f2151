//! What this Land has published, as far as the rules of the next publication need it.
//!
//! Rebuilt at start by [`OwnServices::learn`] from the own log; grows with what is staged.

use std::collections::{BTreeMap, HashMap};

use prost::Message;
use registry_proto::{
    erasure::Erasing,
    log::{Hash, Header, Kind, RequestId},
    terms::{LogId, SemVer, ServiceId},
    wire::registry::{ServiceDefinition, ServiceVersion},
};

use super::{
    again::Gone,
    erased::{Erased, Erases},
    requests::Requests,
};
use crate::{
    fold::Position,
    reject::{FieldViolation, Reject},
    submission::{Prepared, content_of},
};

/// Services and versions of the own log.
#[derive(Debug, Default)]
pub struct OwnServices {
    services: HashMap<ServiceId, OwnService>,
    /// 1 + number of the newest entry that counts as a revision of each object.
    revisions: HashMap<ServiceId, u64>,
    /// 1 + number of the newest entry about a handover of each service.
    handovers: HashMap<ServiceId, u64>,
    requests: Requests,
    pub(super) erased: Erased,
    /// Entries of epochs that ended whose bodies are gone; erasures of some of them stand.
    pub(super) gone: Vec<Gone>,
    /// What stood before each entry that may still be taken back, oldest first.
    before: Vec<Before>,
    /// The same of the group that was sealed last.
    sealed: Vec<Before>,
}

#[derive(Clone, Debug, Default)]
struct OwnService {
    definition: Option<Mark>,
    versions: BTreeMap<SemVer, Mark>,
    /// Principals that may edit; empty when every publisher may.
    editors: Vec<String>,
}

/// What stood before an entry.
#[derive(Debug)]
struct Before {
    entry: Entry,
    definition: Option<(Option<Mark>, Vec<String>)>,
    /// The version that the entry erased.
    erased: Option<(SemVer, Mark)>,
    revision: u64,
    handover: u64,
}

/// An entry, as far as later publications need it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) object: ServiceId,
    pub(crate) version: Option<SemVer>,
    pub(crate) editors: Vec<String>,
    pub(crate) request: Option<RequestId>,
    /// The entry that it erases.
    pub(crate) erases: Option<Erases>,
    pub(crate) mark: Mark,
}

/// An entry that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) content: Hash,
    /// See [`Position::number`].
    pub(crate) number: u64,
    pub(crate) leaf: Hash,
}

/// What the log says to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Append it.
    New,
    /// Exactly this stands already.
    Unchanged(Mark),
    /// Exactly this stands in the log of a former owner of the service.
    Inherited(LogId, Mark),
    /// Exactly this stands earlier in the same batch.
    Repeated,
}

// === impl OwnServices ===

impl OwnServices {
    /// Takes in an entry that stands in the own log. Entries that are no records, and bodies that
    /// are gone or unreadable, change nothing but keep their place.
    pub fn learn(&mut self, header: &Header, leaf: Hash, body: Option<&[u8]>) {
        let (Some(object), Some(body)) = (header.object_id, body) else { return };
        let number = |index| Position { log: header.log, index }.number();
        let mark = Mark { content: content_of(body), number: number(header.index), leaf };
        let mut entry = Entry {
            kind: header.kind,
            object: ServiceId::from(object),
            version: None,
            editors: Vec::new(),
            request: header.request,
            erases: None,
            mark,
        };
        match header.kind {
            Kind::Erasure => {
                let erases = |it: Erasing| Erases {
                    number: Position { log: it.log, index: it.index }.number(),
                    leaf: it.leaf,
                };
                entry.erases = Erasing::read(header, body).ok().map(erases);
            }
            Kind::ServiceDefinition => {
                // one that cannot be read keeps its place and names nobody
                entry.editors =
                    ServiceDefinition::decode(body).map(|it| editors_of(&it)).unwrap_or_default();
            }
            Kind::ServiceVersion => {
                let version = ServiceVersion::decode(body).ok().map(|it| it.version);
                let Some(Ok(version)) = version.map(|it| it.parse()) else { return };
                entry.version = Some(version);
            }
            _ => {}
        }
        self.record(entry);
    }

    /// Notes a record that is staged and may be taken back.
    pub(crate) fn stage(&mut self, entry: Entry) {
        let known = self.services.get(&entry.object);
        let definition = known.map(|it| (it.definition, it.editors.clone()));
        let revision = self.revision(entry.object);
        let handover = self.handover(entry.object);
        let erased = entry.erases.and_then(|it| known?.version_at(it));
        self.before.push(Before { entry: entry.clone(), definition, erased, revision, handover });
        self.record(entry);
    }

    /// 1 + number of the newest entry that counts as a revision of an object; 0 for none.
    pub(crate) fn revision(&self, object: ServiceId) -> u64 {
        self.revisions.get(&object).copied().unwrap_or_default()
    }

    /// 1 + number of the newest entry about a handover of a service; 0 for none.
    fn handover(&self, service: ServiceId) -> u64 {
        self.handovers.get(&service).copied().unwrap_or_default()
    }

    /// Entries of a request that was published before, in their order.
    pub(crate) fn request(&self, request: RequestId) -> Option<&[(ServiceId, Mark)]> {
        self.requests.entries(request)
    }

    /// What is staged stays, unless it is unsealed before the next one.
    pub(crate) fn seal(&mut self) {
        self.sealed = std::mem::take(&mut self.before);
    }

    /// What was sealed last counts as staged again.
    pub(crate) fn unseal(&mut self) {
        let staged = std::mem::take(&mut self.before);
        self.before = std::mem::take(&mut self.sealed);
        self.before.extend(staged);
    }

    /// Forgets what is staged since the last [`OwnServices::seal`].
    pub(crate) fn take_back(&mut self) {
        for Before { entry, definition, erased, revision, handover } in
            std::mem::take(&mut self.before).into_iter().rev()
        {
            self.revisions.insert(entry.object, revision);
            if entry.kind == Kind::Uebergabe {
                self.handovers.insert(entry.object, handover);
            }
            if let Some(request) = entry.request {
                self.requests.take_back(request);
            }
            self.erased.take_back(entry.erases);
            let Some(known) = self.services.get_mut(&entry.object) else { continue };
            match (entry.kind, entry.version) {
                (Kind::ServiceDefinition, _) => {
                    (known.definition, known.editors) = definition.unwrap_or_default();
                }
                // the first entry of a version counts, so nothing stood before it
                (Kind::ServiceVersion, Some(version)) => {
                    known.versions.remove(&version);
                }
                _ => {}
            }
            known.versions.extend(erased);
        }
    }

    fn record(&mut self, entry: Entry) {
        let Entry { kind, object, version, editors, request, erases, mark } = entry;
        if is_revision(kind) {
            self.revisions.insert(object, mark.number + 1);
        }
        if kind == Kind::Uebergabe {
            self.handovers.insert(object, mark.number + 1);
        }
        if let Some(request) = request {
            self.requests.note(request, object, mark);
        }
        if let Some(erases) = erases {
            self.erased.note(erases);
            // its number is free again, so that it can be published without what was erased
            if let Some(known) = self.services.get_mut(&object) {
                known.versions.retain(|_, it| !it.is(erases));
            }
        }
        match (kind, version) {
            (Kind::ServiceDefinition, _) => {
                let known = self.services.entry(object).or_default();
                known.definition = Some(mark);
                known.editors = editors;
            }
            // the first entry of a version counts
            (Kind::ServiceVersion, Some(version)) => {
                let known = self.services.entry(object).or_default();
                known.versions.entry(version).or_insert(mark);
            }
            _ => {}
        }
    }

    /// The entry that stands for a record.
    pub(crate) fn mark(&self, service: ServiceId, version: Option<SemVer>) -> Option<Mark> {
        let known = self.services.get(&service)?;
        match version {
            None => known.definition,
            Some(version) => known.versions.get(&version).copied(),
        }
    }

    /// Judges the records of one batch against the log and against each other. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`Reject::Conflict`] for other content under a used version; [`Reject::Invalid`] for a
    /// version that is not greater than the last one, or whose service has no definition here.
    ///
    /// `editor` is who asks, unless it may edit what has other editors.
    pub(crate) fn judge(
        &self,
        records: &[Prepared],
        editor: Option<&str>,
    ) -> Result<Vec<Verdict>, Reject> {
        let mut batch: HashMap<ServiceId, BatchView> = HashMap::new();
        let mut violations = Vec::new();
        let mut verdicts = Vec::with_capacity(records.len());
        for record in records {
            self.judge_revision(record)?;
            let known = self.services.get(&record.service);
            judge_editor(record, known, editor)?;
            let current = known.and_then(|it| it.definition).map(|it| it.number);
            self.erased.judge(record.erases, current)?;
            let view = batch.entry(record.service).or_default();
            match judge_one(record, known, view) {
                Ok(verdict) => {
                    if verdict == Verdict::New && came_between(record, known) {
                        return Err(self.moved_on(record));
                    }
                    verdicts.push(verdict);
                }
                Err(Reject::Invalid(more)) => violations.extend(more),
                Err(other) => return Err(other),
            }
        }
        if violations.is_empty() { Ok(verdicts) } else { Err(Reject::Invalid(violations)) }
    }

    /// What the sender, or the stage before, saw of the object must still be the newest.
    fn judge_revision(&self, record: &Prepared) -> Result<(), Reject> {
        let found = self.revision(record.service);
        let moved_on = record.expected_revision.is_some_and(|it| it != found)
            || record.judged_at.is_some_and(|it| it < found)
            || record.handovers_seen.is_some_and(|it| it < self.handover(record.of_service));
        if moved_on { Err(self.moved_on(record)) } else { Ok(()) }
    }

    fn moved_on(&self, record: &Prepared) -> Reject {
        Reject::MovedOn {
            field: record.path.clone(),
            name: record.service.to_string(),
            found: self.revision(record.service),
            expected: record.expected_revision,
        }
    }
}

// === impl Mark ===

impl Mark {
    fn is(&self, erased: Erases) -> bool {
        (self.number, self.leaf) == (erased.number, erased.leaf)
    }
}

// === impl OwnService ===

impl OwnService {
    /// The version whose entry is erased so.
    fn version_at(&self, erases: Erases) -> Option<(SemVer, Mark)> {
        let mut versions = self.versions.iter();
        versions.find(|(_, it)| it.is(erases)).map(|(version, it)| (*version, *it))
    }
}

/// True for entries that count as a revision of their object; what others add beside it (a
/// connected Kommune, an acknowledgement, a countersignature) does not.
fn is_revision(kind: Kind) -> bool {
    match kind {
        Kind::ServiceDefinition
        | Kind::ServiceVersion
        | Kind::VersionStatus
        | Kind::SubscriptionMove
        | Kind::Uebergabe => true,
        Kind::Anschluss
        | Kind::Bestaetigung
        | Kind::Mitzeichnung
        | Kind::Unfenced
        | Kind::CharterVote
        | Kind::AuditHead
        | Kind::Erasure
        | Kind::Recovered
        | Kind::EpochReset
        | Kind::Contact
        | Kind::Unknown(_) => false,
    }
}

/// True if the log has a version between a new one and the one that it was compared with: two were
/// published at once, and only the first was compared with what stands before it.
fn came_between(record: &Prepared, known: Option<&OwnService>) -> bool {
    let last = known.and_then(|it| it.versions.last_key_value()).map(|(version, _)| *version);
    record.compared.is_some_and(|it| last.is_some_and(|last| it < last))
}

/// The principals that a definition names as editors.
pub(crate) fn editors_of(it: &ServiceDefinition) -> Vec<String> {
    it.bearbeiter.iter().map(|it| it.principal.clone()).collect()
}

fn judge_editor(
    record: &Prepared,
    known: Option<&OwnService>,
    editor: Option<&str>,
) -> Result<(), Reject> {
    let Some(pseudonym) = editor else { return Ok(()) };
    let of_service = matches!(
        record.kind,
        Kind::ServiceDefinition
            | Kind::ServiceVersion
            | Kind::VersionStatus
            | Kind::Uebergabe
            | Kind::Contact
    );
    let editors = known.map(|it| it.editors.as_slice()).unwrap_or_default();
    if !of_service || editors.is_empty() || editors.iter().any(|it| it == pseudonym) {
        return Ok(());
    }
    Err(Reject::Denied {
        action: "edit this service",
        reason: format!(
            "seine Bearbeiter sind [{}], gefragt hat {pseudonym}; einer von ihnen, oder wer auch die \
             Rolle operator hat, ändert ihn oder nimmt {pseudonym} unter bearbeiter auf",
            editors.join(", ")
        ),
    })
}

/// What earlier records of the same batch say of a service.
#[derive(Debug, Default)]
struct BatchView {
    definition: Option<Hash>,
    versions: BTreeMap<SemVer, Hash>,
}

fn judge_one(
    record: &Prepared,
    known: Option<&OwnService>,
    view: &mut BatchView,
) -> Result<Verdict, Reject> {
    let version = match (record.kind, record.version) {
        (Kind::ServiceDefinition, _) => return Ok(judge_definition(record, known, view)),
        (Kind::ServiceVersion, Some(version)) => version,
        // moves were judged against the catalogue before
        _ => return Ok(Verdict::New),
    };
    let inherited = record.inherited.as_ref();
    let defined = view.definition.is_some()
        || inherited.is_some()
        || known.is_some_and(|it| it.definition.is_some());
    if !defined {
        return Err(Reject::field(
            format!("{}.service_id", record.path),
            "SERVICE_NOT_DEFINED",
            format!(
                "der Dienst {} hat im Protokoll dieses Landes keinen Steckbrief; zuerst \
                 veröffentlichen, oder im selben Stapel vor seiner Version",
                record.service
            ),
        ));
    }
    if let Some(mark) = known.and_then(|it| it.versions.get(&version)) {
        if mark.content == record.content {
            return Ok(Verdict::Unchanged(*mark));
        }
        return Err(conflict(record, version));
    }
    if let Some(content) = view.versions.get(&version) {
        if *content == record.content {
            return Ok(Verdict::Repeated);
        }
        return Err(conflict(record, version));
    }
    if let Some((at, mark)) = inherited.and_then(|it| it.stands) {
        if mark.content == record.content {
            return Ok(Verdict::Inherited(at.log, mark));
        }
        return Err(conflict(record, version));
    }
    let last = known
        .and_then(|it| it.versions.last_key_value())
        .map(|(version, _)| *version)
        .max(view.versions.last_key_value().map(|(version, _)| *version))
        .max(inherited.and_then(|it| it.last));
    if let Some(last) = last.filter(|last| *last >= version) {
        return Err(Reject::Invalid(vec![FieldViolation {
            field: format!("{}.version", record.path),
            reason: "VERSION_NOT_GREATER",
            description: format!(
                "{version} ist nicht höher als {last}, die zuletzt veröffentlichte Version; Versionen \
                 eines Dienstes steigen (SemVer 2.0)"
            ),
        }]));
    }
    view.versions.insert(version, record.content);
    Ok(Verdict::New)
}

fn judge_definition(
    record: &Prepared,
    known: Option<&OwnService>,
    view: &mut BatchView,
) -> Verdict {
    let verdict = match (view.definition, known.and_then(|it| it.definition)) {
        (Some(content), _) if content == record.content => Verdict::Repeated,
        (None, Some(mark)) if mark.content == record.content => Verdict::Unchanged(mark),
        _ => Verdict::New,
    };
    view.definition = Some(record.content);
    verdict
}

fn conflict(record: &Prepared, version: SemVer) -> Reject {
    Reject::Conflict {
        what: "version",
        name: format!("{version} of service {}", record.service),
        hint: "a published version never changes; publish a new one".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::Land;

    use super::*;
    use crate::{fold::Position, submission::Inherited, testing::submission};

    type Record = (u128, Option<&'static str>, &'static str);

    /// Stages these, each at the index of its place.
    fn standing(records: &[Record]) -> OwnServices {
        let mut services = OwnServices::default();
        stage(&mut services, records);
        services.seal();
        services
    }

    fn stage(services: &mut OwnServices, records: &[Record]) {
        for (index, record) in (0..).zip(&submission(records).records) {
            let mark = Mark { content: record.content, number: index, leaf: record.content };
            services.stage(Entry {
                kind: record.kind,
                object: record.service,
                version: record.version,
                editors: record.editors.clone(),
                request: None,
                erases: None,
                mark,
            });
        }
    }

    fn judged(services: &OwnServices, batch: &[Record]) -> String {
        match services.judge(&submission(batch).records, Some("p-1")) {
            Ok(verdicts) => verdicts
                .iter()
                .map(|it| match it {
                    Verdict::New => "new".to_owned(),
                    Verdict::Unchanged(mark) => format!("stands at {}", mark.number),
                    Verdict::Inherited(log, mark) => format!("stands at {log}/{}", mark.number),
                    Verdict::Repeated => "repeated".to_owned(),
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(Reject::Invalid(all)) => all
                .iter()
                .map(|it| format!("{} {}", it.field, it.reason))
                .collect::<Vec<_>>()
                .join(", "),
            Err(other) => other.to_string(),
        }
    }

    #[track_caller]
    fn check_judge(stands: &[Record], batch: &[Record], expect: &str) {
        assert_eq!(judged(&standing(stands), batch), expect, "{batch:?} after {stands:?}");
    }

    const DEFINED: Record = (1, None, "d");
    const V1: Record = (1, Some("1.0.0"), "a");
    const V2: Record = (1, Some("2.0.0"), "b");

    #[test]
    fn definitions() {
        check_judge(&[], &[DEFINED], "new");
        check_judge(&[DEFINED], &[DEFINED], "stands at 0");
        check_judge(&[DEFINED], &[(1, None, "other")], "new");
        check_judge(&[], &[DEFINED, DEFINED], "new, repeated");
        check_judge(&[DEFINED], &[DEFINED, DEFINED], "stands at 0, repeated");
        // forth and back is two revisions
        check_judge(&[DEFINED], &[(1, None, "other"), DEFINED], "new, new");
        check_judge(&[DEFINED, (1, None, "other")], &[DEFINED], "new");
        // two services of one content are two
        check_judge(&[DEFINED], &[(2, None, "d")], "new");
    }

    #[test]
    fn versions() {
        let (undefined, not_greater) =
            ("records[0].service_id SERVICE_NOT_DEFINED", "records[0].version VERSION_NOT_GREATER");
        check_judge(&[], &[V1], undefined);
        check_judge(&[(2, None, "d")], &[V1], undefined);
        check_judge(&[DEFINED], &[V1], "new");
        check_judge(&[], &[DEFINED, V1, V2], "new, new, new");
        check_judge(&[], &[V1, DEFINED], undefined);
        check_judge(&[DEFINED, V1], &[V1], "stands at 1");
        check_judge(&[DEFINED, V1, V2], &[V1], "stands at 1");
        check_judge(&[DEFINED], &[V1, V1], "new, repeated");
        check_judge(&[DEFINED, V1], &[V1, V1], "stands at 1, stands at 1");
        check_judge(&[DEFINED, V2], &[V1], not_greater);
        check_judge(&[DEFINED, V2], &[(1, Some("1.99.99"), "z")], not_greater);
        check_judge(&[DEFINED, V2], &[(1, Some("2.0.1"), "z")], "new");
        check_judge(&[DEFINED, (1, Some("9.0.0"), "a")], &[(1, Some("10.0.0"), "z")], "new");
        check_judge(&[DEFINED], &[V2, V1], "records[1].version VERSION_NOT_GREATER");
        // the greatest number of another service does not matter
        check_judge(&[DEFINED, V2, (2, None, "d")], &[(2, Some("1.0.0"), "a")], "new");
    }

    #[test]
    fn other_content_under_a_used_version_is_a_conflict_that_names_it() {
        let name = "version 1.0.0 of service 00000000-0000-0000-0000-000000000001";
        let hint = "a published version never changes; publish a new one";
        let conflict = format!("{name} exists with other content; {hint}");
        let other = (1, Some("1.0.0"), "other");
        check_judge(&[DEFINED, V1], &[other], &conflict);
        check_judge(&[DEFINED], &[V1, other], &conflict);
        check_judge(&[DEFINED, V1], &[V2, other], &conflict);
    }

    #[test]
    fn all_violations_of_a_batch_are_listed() {
        let batch = [V1, (2, Some("1.0.0"), "a"), (3, None, "d"), (3, Some("1.0.0"), "a")];
        let expect =
            "records[0].service_id SERVICE_NOT_DEFINED, records[1].service_id SERVICE_NOT_DEFINED";
        check_judge(&[], &batch, expect);
    }

    /// Judges a version of service 1 when the own log has these, and the former owner published
    /// "a" as 1.0.0, and 1.4.0 as its last version.
    #[track_caller]
    fn check_inherited(stands: &[Record], record: Record, expect: &str) {
        let mut batch = submission(&[record]);
        let former = submission(&[V1]).records[0].content;
        let at = Position { log: LogId { land: Land::HE, epoch: 1 }, index: 7 };
        let mark = Mark { content: former, number: 7, leaf: former };
        batch.records[0].inherited = Some(Inherited {
            last: "1.4.0".parse().ok(),
            stands: (record.1 == Some("1.0.0")).then_some((at, mark)),
        });
        let got = match standing(stands).judge(&batch.records, Some("p-1")) {
            Ok(verdicts) => format!("{:?}", verdicts[0]),
            Err(Reject::Invalid(all)) => all[0].reason.to_owned(),
            Err(other) => other.to_string(),
        };
        assert!(got.starts_with(expect), "{got}");
    }

    #[test]
    fn versions_of_a_former_owner_count() {
        // no definition is needed, and numbers only grow
        check_inherited(&[], (1, Some("1.4.1"), "b"), "New");
        check_inherited(&[], (1, Some("1.3.0"), "b"), "VERSION_NOT_GREATER");
        check_inherited(&[(1, Some("2.0.0"), "c")], (1, Some("1.5.0"), "b"), "VERSION_NOT_GREATER");
        check_inherited(&[], V1, "Inherited(LogId { land: HE, epoch: 1 }");
        check_inherited(&[], (1, Some("1.0.0"), "other"), "version 1.0.0 of service");
    }

    #[test]
    fn a_handover_that_was_not_seen_makes_the_record_wait() {
        let mut services = standing(&[DEFINED]);
        let handover = |services: &mut OwnServices| {
            let mut entry = submission(&[DEFINED]).records.remove(0);
            entry.kind = Kind::Uebergabe;
            let mark = Mark { content: entry.content, number: 5, leaf: entry.content };
            services.stage(Entry {
                kind: entry.kind,
                object: entry.service,
                version: None,
                editors: Vec::new(),
                request: None,
                erases: None,
                mark,
            });
        };
        let judged = |services: &OwnServices, seen| {
            let mut batch = submission(&[V1]);
            batch.records[0].handovers_seen = Some(seen);
            services.judge(&batch.records, Some("p-1")).map(|it| it.len())
        };
        assert_eq!(judged(&services, 0), Ok(1));
        handover(&mut services);
        assert!(matches!(judged(&services, 0), Err(Reject::MovedOn { found: 6, .. })));
        assert_eq!(judged(&services, 6), Ok(1));
        services.take_back();
        assert_eq!(judged(&services, 0), Ok(1));
    }

    #[test]
    fn only_editors_change_a_service_that_names_some_and_who_operates_the_node() {
        let mut services = standing(&[]);
        let mut defined = submission(&[DEFINED]).records.remove(0);
        defined.editors = vec!["p-1".to_owned(), "p-2".to_owned()];
        let judged = |services: &OwnServices, kind: Kind, by: Option<&str>| {
            let mut batch = submission(&[V1]).records;
            batch[0].kind = kind;
            services.judge(&batch, by).map(|_| ()).map_err(|it| it.to_string())
        };
        // whoever defines it first names them
        assert!(services.judge(std::slice::from_ref(&defined), Some("p-3")).is_ok());
        services.stage(Entry {
            kind: defined.kind,
            object: defined.service,
            version: None,
            editors: defined.editors,
            request: None,
            erases: None,
            mark: Mark { content: defined.content, number: 0, leaf: defined.content },
        });
        for by in [Some("p-1"), Some("p-2"), None] {
            assert_eq!(judged(&services, Kind::ServiceVersion, by), Ok(()), "{by:?}");
        }
        let refused = judged(&services, Kind::ServiceVersion, Some("p-3")).expect_err("refused");
        assert!(refused.contains("[p-1, p-2], gefragt hat p-3"), "{refused}");
        // a Nachnutzung of it belongs to others
        assert_eq!(judged(&services, Kind::SubscriptionMove, Some("p-3")), Ok(()));
    }

    #[test]
    fn a_version_is_not_taken_when_another_came_after_it_was_compared() {
        let services = standing(&[DEFINED, V1, V2]);
        let mut batch = submission(&[(1, Some("3.0.0"), "c"), (1, Some("3.1.0"), "d")]).records;
        for (compared, expect) in [(None, true), (Some("1.0.0"), false), (Some("2.0.0"), true)] {
            batch[0].compared = compared.map(|it| it.parse().unwrap());
            // with the one before it in the batch
            batch[1].compared = Some("3.0.0".parse().unwrap());
            let judged = services.judge(&batch, None);
            assert_eq!(judged.is_ok(), expect, "{compared:?}");
            assert!(expect || matches!(judged, Err(Reject::MovedOn { found: 3, .. })));
        }
    }

    #[test]
    fn what_is_taken_back_never_stood() {
        let mut services = standing(&[DEFINED, V1]);
        let batch = [(1, None, "other"), V2, (2, None, "d"), (1, None, "third")];
        stage(&mut services, &batch);
        assert_eq!(judged(&services, &[V2]), "stands at 1");
        services.take_back();
        assert_eq!(judged(&services, &[DEFINED, V1]), "stands at 0, stands at 1");
        assert_eq!(judged(&services, &batch), "new, new, new, new");
        // what is sealed is not taken back
        stage(&mut services, &batch);
        services.seal();
        services.take_back();
        assert_eq!(judged(&services, &[V2]), "stands at 1");
        // unless it is unsealed, with what is staged behind it
        stage(&mut services, &[(3, None, "e")]);
        services.unseal();
        services.take_back();
        assert_eq!(judged(&services, &batch), "new, new, new, new");
        assert_eq!(judged(&services, &[DEFINED, (3, None, "e")]), "stands at 0, new");
    }

    const ERASABLE: [Record; 4] = [DEFINED, V1, (1, None, "other"), V2];

    fn erases(index: u64) -> Erases {
        let at = usize::try_from(index).expect("small");
        Erases { number: index, leaf: submission(&ERASABLE).records[at].content }
    }

    fn erase(services: &OwnServices, index: u64) -> Result<Vec<Verdict>, Reject> {
        let mut batch = submission(&[DEFINED]).records;
        batch[0].kind = Kind::Erasure;
        batch[0].erases = Some(erases(index));
        services.judge(&batch, Some("p-operator"))
    }

    fn stage_erasure(services: &mut OwnServices, erases: Erases) {
        let index = erases.number;
        let record = submission(&[DEFINED]).records.remove(0);
        let mark = Mark { content: record.content, number: 90 + index, leaf: record.content };
        services.stage(Entry {
            kind: Kind::Erasure,
            object: record.service,
            version: None,
            editors: Vec::new(),
            request: None,
            erases: Some(erases),
            mark,
        });
    }

    #[test]
    fn an_entry_is_erased_once_and_never_while_it_counts() {
        let reason = |it: Result<Vec<Verdict>, Reject>| match it {
            Err(Reject::Precondition { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        let mut services = standing(&ERASABLE);
        assert_eq!(reason(erase(&services, 2)), "STILL_CURRENT");
        // one that names another leaf erases nothing
        stage_erasure(&mut services, Erases { leaf: erases(0).leaf, ..erases(1) });
        services.seal();
        assert_eq!(judged(&services, &[V1]), "stands at 1");
        for index in [0, 1] {
            assert_eq!(erase(&services, index), Ok(vec![Verdict::New]), "{index}");
            stage_erasure(&mut services, erases(index));
            assert_eq!(reason(erase(&services, index)), "ALREADY_ERASED");
        }
        // the number is free again; numbers still only grow
        assert_eq!(judged(&services, &[V1]), "records[0].version VERSION_NOT_GREATER");
        assert_eq!(judged(&services, &[V2]), "stands at 3");
        services.take_back();
        assert_eq!(judged(&services, &[V1]), "stands at 1");
        assert_eq!(erase(&services, 1), Ok(vec![Verdict::New]));
        // the last version can come again without what was erased
        stage_erasure(&mut services, erases(3));
        services.seal();
        assert_eq!(judged(&services, &[(1, Some("2.0.0"), "clean")]), "new");
    }
}
