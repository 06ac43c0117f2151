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
    /// Entries whose bodies are gone; erasures of some of them stand.
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
mod tests;
