//! New versions compared with those before them, so that what breaks is called so.

use std::collections::HashMap;

use registry_proto::{
    terms::SemVer,
    wire::registry::{Artefakt, ServiceVersion},
};
use uuid::Uuid;

use super::Submission;
use crate::{
    compat::{self, Artefacts, Refusal, Severity, Verdict},
    limits,
    reject::{FieldViolation, Reject},
};

/// Breaking changes that a refusal lists.
const SHOWN_MAX: usize = 20;

impl Submission {
    /// The services of which there are new versions, each once.
    pub fn released(&self) -> Vec<Uuid> {
        let new = self.records.iter().filter(|it| it.release.is_some());
        let mut all: Vec<_> = new.map(|it| it.service.uuid()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The files that new versions name.
    pub fn artefakte(&self) -> impl Iterator<Item = &Artefakt> {
        self.records.iter().filter_map(|it| it.release.as_ref()).flat_map(|it| &it.artefakte)
    }

    /// Compares every new version with the one before it: with the highest that is published, as
    /// `previous` names them by their service, or with the one before it in the batch.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] for a version whose number or note does not say that it breaks, with
    /// the paths to what breaks.
    pub fn compare(
        mut self,
        mut previous: HashMap<Uuid, ServiceVersion>,
        artefacts: &dyn Artefacts,
    ) -> Result<Self, Reject> {
        let mut violations = Vec::new();
        for record in &mut self.records {
            let Some(new) = record.release.take() else { continue };
            let service = record.service.uuid();
            let Some(old) = previous.remove(&service) else {
                previous.insert(service, *new);
                continue;
            };
            // a version that does not follow is refused, or stands already: the log says so
            if old.version.parse::<SemVer>().ok() >= record.version {
                previous.insert(service, old);
                continue;
            }
            let verdict = compat::compare(&old, &new, artefacts);
            match verdict.allowed() {
                Ok(()) => record.verdict = Some(verdict),
                Err(refusal) => violations.extend(refused(&record.path, &refusal, &verdict)),
            }
            previous.insert(service, *new);
        }
        violations.truncate(limits::VIOLATIONS_MAX);
        if violations.is_empty() { Ok(self) } else { Err(Reject::Invalid(violations)) }
    }
}

fn refused(path: &str, refusal: &Refusal, verdict: &Verdict) -> Vec<FieldViolation> {
    let (field, reason, description) = match refusal {
        Refusal::NumberTooSmall { from, to, needed, .. } => (
            "version",
            "BREAKING_NEEDS_MAJOR",
            format!("{to} bricht mit {from}; nötig ist {needed} oder höher"),
        ),
        Refusal::NotDeclared { to, .. } => (
            "versionshinweis.breaking",
            "BREAKING_NOT_DECLARED",
            format!("{to} bricht mit {}, der Versionshinweis sagt es nicht", verdict.from),
        ),
    };
    let first = FieldViolation { field: format!("{path}.{field}"), reason, description };
    let breaking =
        verdict.changes.iter().filter(|it| it.severity == Severity::Breaking).take(SHOWN_MAX).map(
            |it| FieldViolation {
                field: format!("{path}.{}", it.path),
                reason: it.rule,
                description: it.description.clone(),
            },
        );
    std::iter::once(first).chain(breaking).collect()
}
