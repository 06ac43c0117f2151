//! New versions compared with those before them, so that what breaks is called so.

use std::{collections::HashMap, sync::Arc};

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
    /// The new versions, each with the place of its record in the request and its bytes on the wire.
    pub fn releases(&self) -> impl Iterator<Item = (usize, &Arc<ServiceVersion>, usize)> {
        let all = self.records.iter().enumerate();
        all.filter_map(|(at, record)| Some((at, record.release.as_ref()?, record.record_bytes)))
    }

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
        mut previous: HashMap<Uuid, Arc<ServiceVersion>>,
        artefacts: &dyn Artefacts,
    ) -> Result<Self, Reject> {
        let mut violations = Vec::new();
        for record in &mut self.records {
            let Some(new) = record.release.take() else { continue };
            let service = record.service.uuid();
            let Some(old) = previous.remove(&service) else {
                previous.insert(service, new);
                continue;
            };
            // a version that does not follow is refused, or stands already: the log says so
            if old.version.parse::<SemVer>().ok() >= record.version {
                previous.insert(service, old);
                continue;
            }
            let verdict = compat::compare(&old, &new, artefacts);
            match verdict.allowed() {
                Ok(()) => {
                    record.compared = Some(verdict.from);
                    record.verdict = Some(verdict);
                }
                Err(refusal) => violations.extend(refused(&record.path, &refusal, &verdict)),
            }
            previous.insert(service, new);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use registry_proto::wire::registry::{Onlinedienst, Versionshinweis};

    use super::*;
    use crate::testing::submission;

    struct NoFiles;

    impl Artefacts for NoFiles {
        fn bytes(&self, _: &Artefakt) -> Option<Bytes> {
            None
        }
    }

    /// "1.1.0 a b!": version 1.1.0 with the entry points a and b, said to break.
    fn version(text: &str) -> ServiceVersion {
        let breaking = text.ends_with('!');
        let mut words = text.trim_end_matches('!').split_whitespace();
        let version = words.next().expect("a number").to_owned();
        let link = |name: &str| Onlinedienst {
            link: format!("https://sl.example/{name}"),
            language_code: "de".to_owned(),
            ..Onlinedienst::default()
        };
        ServiceVersion {
            version,
            onlinedienste: words.map(link).collect(),
            versionshinweis: Some(Versionshinweis { text: "neu".to_owned(), breaking }),
            ..ServiceVersion::default()
        }
    }

    /// Compares these new versions of one service with `published`; gives the verdicts, or the
    /// reasons of the refusal with their fields.
    #[track_caller]
    fn check(published: Option<&str>, new: &[&str], expect: &str) {
        let service = Uuid::from_u128(1);
        let new: Vec<_> = new.iter().map(|it| version(it)).collect();
        let numbers: Vec<String> = new.iter().map(|it| it.version.clone()).collect();
        let records: Vec<_> =
            numbers.iter().map(|number| (1_u128, Some(number.as_str()), "")).collect();
        let mut asked = submission(&records);
        for (record, it) in asked.records.iter_mut().zip(new) {
            record.release = Some(Arc::new(it));
        }
        assert_eq!(asked.released(), [service]);
        let previous = published.map(|it| (service, Arc::new(version(it)))).into_iter().collect();
        let got = match asked.compare(previous, &NoFiles) {
            Ok(done) => done
                .records
                .iter()
                .map(|it| match &it.verdict {
                    None => "-".to_owned(),
                    Some(it) => format!("{} {}", it.from, it.is_breaking()),
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(Reject::Invalid(all)) => {
                all.iter().map(|it| it.reason).collect::<Vec<_>>().join(", ")
            }
            Err(other) => other.to_string(),
        };
        assert_eq!(got, expect, "{numbers:?} after {published:?}");
    }

    #[test]
    fn a_version_is_compared_with_the_one_before_it() {
        check(None, &["1.0.0 a"], "-");
        check(Some("1.0.0 a"), &["1.1.0 a b"], "1.0.0 false");
        check(Some("1.0.0 a"), &["2.0.0 b!"], "1.0.0 true");
        // in a batch with the one before it there
        check(None, &["1.0.0 a", "1.1.0 a b", "2.0.0 b!"], "-, 1.0.0 false, 1.1.0 true");
        check(Some("1.0.0 a"), &["1.1.0 a", "1.2.0 a"], "1.0.0 false, 1.1.0 false");
    }

    #[test]
    fn what_breaks_needs_its_number_and_its_note() {
        check(Some("1.0.0 a"), &["1.1.0 b"], "BREAKING_NEEDS_MAJOR, ONLINEDIENST_REMOVED");
        check(Some("1.0.0 a"), &["2.0.0 b"], "BREAKING_NOT_DECLARED, ONLINEDIENST_REMOVED");
        check(None, &["1.0.0 a", "1.0.1 b"], "BREAKING_NEEDS_MAJOR, ONLINEDIENST_REMOVED");
    }

    #[test]
    fn what_does_not_follow_is_left_to_the_log() {
        check(Some("2.0.0 a"), &["1.0.0 b"], "-");
        check(Some("1.0.0 a"), &["1.0.0 a"], "-");
    }
}
