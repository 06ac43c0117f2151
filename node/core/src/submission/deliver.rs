//! FIT-Connect delivery points of new versions: whether they are for the keys of the service, and
//! whether their signatures hold.
//!
//! Decided here, computed in the shell: cryptography and the roots that an operator trusts are not
//! for the core.

use std::{collections::HashMap, sync::Arc};

use registry_proto::{terms::SemVer, wire::registry::ServiceVersion};
use uuid::Uuid;

use super::Submission;
use crate::{
    limits,
    reject::{FieldViolation, Reject},
    validate,
};

/// Verifies destination signatures (compact JWS) against the roots of this node.
pub trait DestinationSignatures {
    /// Verifies one. `Ok` means: this very text was signed by a key that a trusted root vouches
    /// for, at the time of the submission.
    ///
    /// # Errors
    ///
    /// Why it does not count as verified.
    fn verify(&self, jws: &str) -> Result<(), Doubt>;
}

/// Why a destination signature does not count as verified; German sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It cannot be verified here, so nothing is known of it. The publisher is warned.
    Unchecked(String),
    /// It was looked at and does not hold. The version is refused.
    Wrong(String),
}

impl Submission {
    /// The services of new versions with delivery points, each once.
    pub fn delivering(&self) -> Vec<Uuid> {
        let with = |it: &&super::Prepared| {
            it.release.as_ref().is_some_and(|it| !it.zustellungen.is_empty())
        };
        let mut all: Vec<_> =
            self.records.iter().filter(with).map(|it| it.service.uuid()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Checks the delivery points of every new version. `published` names the highest version of a
    /// service that stands, `keys` the Leistungsschlüssel of its newest definition; a definition in
    /// the batch goes before.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] for a signature that does not hold, or that is for other keys only.
    pub fn deliver(
        mut self,
        published: &HashMap<Uuid, Arc<ServiceVersion>>,
        mut keys: HashMap<Uuid, Vec<String>>,
        signatures: &dyn DestinationSignatures,
    ) -> Result<Self, Reject> {
        for it in &self.records {
            if !it.schluessel.is_empty() {
                keys.insert(it.service.uuid(), it.schluessel.clone());
            }
        }
        let mut violations = Vec::new();
        for record in &mut self.records {
            let Some(new) = &record.release else { continue };
            let service = record.service.uuid();
            let last = published.get(&service).and_then(|it| it.version.parse::<SemVer>().ok());
            // a version that does not follow is refused, or stands already: the log says so
            if last.is_some() && last >= record.version {
                continue;
            }
            // without a definition the log refuses it
            if let Some(keys) = keys.get(&service) {
                violations.extend(validate::zustellungen_for(new, keys, &record.path));
            }
            let mut doubts = Vec::new();
            for (n, one) in new.zustellungen.iter().take(limits::RECORD_LIST_MAX).enumerate() {
                let field = format!("{}.zustellungen[{n}].destination_signature", record.path);
                match signatures.verify(&one.destination_signature) {
                    Ok(()) => {}
                    Err(Doubt::Unchecked(description)) => {
                        doubts.push(FieldViolation { field, reason: UNCHECKED, description });
                    }
                    Err(Doubt::Wrong(description)) => {
                        violations.push(FieldViolation { field, reason: WRONG, description });
                    }
                }
            }
            record.warn(doubts);
        }
        violations.truncate(limits::VIOLATIONS_MAX);
        if violations.is_empty() { Ok(self) } else { Err(Reject::Invalid(violations)) }
    }
}

const UNCHECKED: &str = "ZUSTELLUNG_UNCHECKED";
const WRONG: &str = "ZUSTELLUNG_SIGNATURE";

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
    use registry_proto::wire::registry::Zustellung;

    use super::*;
    use crate::testing::submission;

    /// Knows a signature by its last part.
    struct ByName;

    impl DestinationSignatures for ByName {
        fn verify(&self, jws: &str) -> Result<(), Doubt> {
            match jws.rsplit('.').next() {
                Some("good") => Ok(()),
                Some("kidd") => Err(Doubt::Unchecked("nur kid".to_owned())),
                _ => Err(Doubt::Wrong("passt nicht".to_owned())),
            }
        }
    }

    /// A delivery point for a key, "KEY signature".
    fn zustellung(text: &str) -> Zustellung {
        let (key, signature) = text.split_once(' ').expect("key and signature");
        let payload = format!(r#"{{"leistungIDs": ["urn:de:fim:leika:leistung:{key}"]}}"#);
        let destination_signature =
            format!("e30.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(payload));
        Zustellung { destination_signature, ..Zustellung::default() }
    }

    const A: &str = "99050012104000";
    const B: &str = "99012001001000";

    /// Version 2.0.0 with these delivery points after `published`; the definition in the catalogue
    /// has the key A, one in the batch has `batch`.
    #[track_caller]
    fn check(published: Option<&str>, batch: Option<&str>, points: &[&str], expect: &str) {
        let service = Uuid::from_u128(1);
        let mut asked = submission(&[(1, Some("2.0.0"), ""), (1, None, "d")]);
        asked.records[1].schluessel = batch.map(str::to_owned).into_iter().collect();
        let zustellungen = points.iter().map(|it| zustellung(it)).collect();
        let version = ServiceVersion { zustellungen, ..ServiceVersion::default() };
        asked.records[0].release = Some(Arc::new(version));
        let needed: &[Uuid] = if points.is_empty() { &[] } else { &[service] };
        assert_eq!(asked.delivering(), needed);
        let published = published.map(|it| {
            let version = it.to_owned();
            (service, Arc::new(ServiceVersion { version, ..ServiceVersion::default() }))
        });
        let keys = HashMap::from([(service, vec![A.to_owned()])]);
        let got = match asked.deliver(&published.into_iter().collect(), keys, &ByName) {
            Ok(done) => {
                let warned = done.records[0].warnings.iter();
                warned.map(|it| format!("({} {})", it.field, it.reason)).collect()
            }
            Err(Reject::Invalid(all)) => {
                let said = all.iter().map(|it| format!("{} {}", it.field, it.reason));
                said.collect::<Vec<_>>().join(", ")
            }
            Err(other) => other.to_string(),
        };
        assert_eq!(got, expect, "{points:?}");
    }

    #[test]
    fn delivery_points_are_for_the_keys_of_the_newest_definition() {
        let field = "records[0].zustellungen[0].destination_signature";
        check(None, None, &[], "");
        check(None, None, &[&format!("{A} good")], "");
        check(None, None, &[&format!("{B} good")], &format!("{field} ZUSTELLUNG_LEISTUNG"));
        check(None, Some(B), &[&format!("{B} good")], "");
        check(None, Some(B), &[&format!("{A} good")], &format!("{field} ZUSTELLUNG_LEISTUNG"));
    }

    #[test]
    fn what_cannot_be_verified_is_warned_of_and_what_does_not_hold_is_refused() {
        let (good, kid, bad) = (format!("{A} good"), format!("{A} kidd"), format!("{A} evil"));
        let field = |n: u32| format!("records[0].zustellungen[{n}].destination_signature");
        let warned = format!("({} ZUSTELLUNG_UNCHECKED)", field(1));
        check(None, None, &[&good, &kid], &warned);
        let refused = format!("{} ZUSTELLUNG_SIGNATURE", field(2));
        check(None, None, &[&good, &kid, &bad], &refused);
        // a chain may have expired since: what stands is not judged again
        check(Some("2.0.0"), None, &[&bad], "");
        check(Some("1.9.9"), None, &[&bad], &format!("{} ZUSTELLUNG_SIGNATURE", field(0)));
    }
}
