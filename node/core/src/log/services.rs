//! What this Land has published, as far as the rules of the next publication need it.
//!
//! Rebuilt at start by [`OwnServices::learn`] from the own log; grows with what is staged.

use std::collections::{BTreeMap, HashMap};

use registry_proto::{
    log::{Hash, Header, Kind},
    terms::{SemVer, ServiceId},
    wire::registry::ServiceVersion,
};

use crate::{
    reject::{FieldViolation, Reject},
    submission::{Prepared, content_of},
};

/// Services and versions of the own log.
#[derive(Debug, Default)]
pub struct OwnServices {
    services: HashMap<ServiceId, OwnService>,
    /// What stood before each entry that may still be taken back, oldest first.
    before: Vec<(ServiceId, Option<SemVer>, Option<Mark>)>,
}

#[derive(Clone, Debug, Default)]
struct OwnService {
    definition: Option<Mark>,
    versions: BTreeMap<SemVer, Mark>,
}

/// An entry that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) content: Hash,
    pub(crate) index: u64,
    pub(crate) leaf: Hash,
}

/// What the log says to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Append it.
    New,
    /// Exactly this stands already.
    Unchanged(Mark),
    /// Exactly this stands earlier in the same batch.
    Repeated,
}

// === impl OwnServices ===

impl OwnServices {
    /// Takes in an entry that stands in the own log. Entries that are no records, and bodies that
    /// are gone or unreadable, change nothing but keep their place.
    pub fn learn(&mut self, header: &Header, leaf: Hash, body: Option<&[u8]>) {
        let (Some(object), Some(body)) = (header.object_id, body) else { return };
        let mark = Mark { content: content_of(body), index: header.index, leaf };
        let service = ServiceId::from(object);
        match header.kind {
            Kind::ServiceDefinition => self.record(service, None, mark),
            Kind::ServiceVersion => {
                let version = <ServiceVersion as prost::Message>::decode(body)
                    .ok()
                    .and_then(|it| it.version.parse::<SemVer>().ok());
                if let Some(version) = version {
                    self.record(service, Some(version), mark);
                }
            }
            Kind::Unfenced | Kind::Unknown(_) => {}
        }
    }

    /// Notes a record that is staged and may be taken back.
    pub(crate) fn stage(&mut self, service: ServiceId, version: Option<SemVer>, mark: Mark) {
        self.before.push((service, version, self.mark(service, version)));
        self.record(service, version, mark);
    }

    /// What is staged stays.
    pub(crate) fn seal(&mut self) {
        self.before.clear();
    }

    /// Forgets what is staged since the last [`OwnServices::seal`].
    pub(crate) fn take_back(&mut self) {
        for (service, version, mark) in std::mem::take(&mut self.before).into_iter().rev() {
            let Some(known) = self.services.get_mut(&service) else { continue };
            match (version, mark) {
                (None, mark) => known.definition = mark,
                // the first entry of a version counts, so nothing stood before it
                (Some(version), _) => {
                    known.versions.remove(&version);
                }
            }
        }
    }

    fn record(&mut self, service: ServiceId, version: Option<SemVer>, mark: Mark) {
        let known = self.services.entry(service).or_default();
        match version {
            None => known.definition = Some(mark),
            // the first entry of a version counts
            Some(version) => {
                known.versions.entry(version).or_insert(mark);
            }
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
    pub(crate) fn judge(&self, records: &[Prepared]) -> Result<Vec<Verdict>, Reject> {
        let mut batch: HashMap<ServiceId, BatchView> = HashMap::new();
        let mut violations = Vec::new();
        let mut verdicts = Vec::with_capacity(records.len());
        for record in records {
            let known = self.services.get(&record.service);
            let view = batch.entry(record.service).or_default();
            match judge_one(record, known, view) {
                Ok(verdict) => verdicts.push(verdict),
                Err(Reject::Invalid(more)) => violations.extend(more),
                Err(other) => return Err(other),
            }
        }
        if violations.is_empty() { Ok(verdicts) } else { Err(Reject::Invalid(violations)) }
    }
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
    let Some(version) = record.version else {
        return Ok(judge_definition(record, known, view));
    };
    let defined = view.definition.is_some() || known.is_some_and(|it| it.definition.is_some());
    if !defined {
        return Err(Reject::field(
            format!("{}.service_id", record.path),
            "SERVICE_NOT_DEFINED",
            format!(
                "service {} has no definition in the log of this Land; publish it first or in \
                 the same batch before its version",
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
    let last = known
        .and_then(|it| it.versions.last_key_value())
        .map(|(version, _)| *version)
        .max(view.versions.last_key_value().map(|(version, _)| *version));
    if let Some(last) = last.filter(|last| *last >= version) {
        return Err(Reject::Invalid(vec![FieldViolation {
            field: format!("{}.version", record.path),
            reason: "VERSION_NOT_GREATER",
            description: format!(
                "{version} is not greater than {last}, the last version published; SemVer 2.0 \
                 versions of a service only grow"
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
