//! Findings that did not stop a record, kept with it: the field `hinweise` of every record.
//!
//! They are a judgement of the owner's node at the time of signing, so they are signed with the
//! record and travel with it. They are no part of its content: a record that comes again is the
//! same, whatever is found then.

use prost::{
    Message,
    encoding::{DecodeContext, decode_key, skip_field},
};
use registry_proto::{
    log::Hash,
    wire::registry::{Hinweis, Warning, record},
};
use sha2::{Digest, Sha256};

use crate::limits::HINWEISE_BYTES_MAX;

/// Every record, as far as its findings; the field has the same number in all of them.
#[derive(Clone, PartialEq, Message)]
struct Kept {
    #[prost(message, repeated, tag = "100")]
    hinweise: Vec<Hinweis>,
}

/// Number of the field in every record.
const FIELD: u32 = 100;

/// Forgets what a request says of findings: only the node tells them.
pub(super) fn clear(record: &mut record::Record) {
    use record::Record as R;
    match record {
        R::ServiceDefinition(it) => it.hinweise.clear(),
        R::ServiceVersion(it) => it.hinweise.clear(),
        R::VersionStatus(it) => it.hinweise.clear(),
        R::SubscriptionMove(it) => it.hinweise.clear(),
        R::Anschluss(it) => it.hinweise.clear(),
        R::Bestaetigung(it) => it.hinweise.clear(),
        R::Mitzeichnung(it) => it.hinweise.clear(),
        R::Uebergabe(it) => it.hinweise.clear(),
        R::Kontakt(it) => it.hinweise.clear(),
    }
}

/// The findings about the record at `path`, encoded so that they continue it; at most
/// [`HINWEISE_BYTES_MAX`] bytes, of which the last says that there were more.
pub(super) fn encoded(warnings: &[Warning], path: &str) -> Vec<u8> {
    let mut kept = Kept::default();
    for it in warnings {
        let field = it.field.strip_prefix(path).unwrap_or(&it.field).trim_start_matches('.');
        let (reason, description) = (it.reason.clone(), it.description.clone());
        kept.hinweise.push(Hinweis { field: field.to_owned(), reason, description });
        if kept.encoded_len() > HINWEISE_BYTES_MAX - MORE_BYTES {
            kept.hinweise.pop();
            let (field, reason) = (String::new(), "MORE_WARNINGS".to_owned());
            kept.hinweise.push(Hinweis { field, reason, description: MORE.to_owned() });
            break;
        }
    }
    kept.encode_to_vec()
}

/// SHA-256 of a body without its salt and without its findings: equal content, equal value.
pub fn content_of(body: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    let mut rest = body;
    while !rest.is_empty() {
        let before = rest;
        let skipped = decode_key(&mut rest).and_then(|(tag, wire_type)| {
            skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map(|()| tag)
        });
        let Ok(tag) = skipped else {
            // no record: every byte counts
            return Hash::from_bytes(Sha256::digest(body).into());
        };
        if tag != FIELD {
            hasher.update(&before[..before.len() - rest.len()]);
        }
    }
    Hash::from_bytes(hasher.finalize().into())
}

const MORE: &str = "weitere Hinweise wurden nicht aufgehoben";
/// More than the finding that says so.
const MORE_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use registry_proto::wire::registry::ServiceDefinition;

    use super::*;

    fn warning(field: &str, description: &str) -> Warning {
        let reason = "RULE".to_owned();
        Warning { field: field.to_owned(), description: description.to_owned(), reason }
    }

    #[test]
    fn a_record_tells_its_findings_with_their_place_in_it() {
        let record = ServiceDefinition { land: "SL".to_owned(), ..ServiceDefinition::default() };
        let path = "records[3].service_definition";
        let warnings =
            [warning(&format!("{path}.ozg_ids[0]"), "unbekannt"), warning(path, "im Ganzen")];
        let mut body = record.encode_to_vec();
        body.extend(encoded(&warnings, path));
        let read = ServiceDefinition::decode(&body[..]).expect("a record");
        let fields: Vec<_> = read.hinweise.iter().map(|it| it.field.as_str()).collect();
        assert_eq!((read.land.as_str(), fields), ("SL", vec!["ozg_ids[0]", ""]));
        assert_eq!(read.hinweise[0].reason, "RULE");
        // what the node appends is what the record encodes to
        assert_eq!(read.encode_to_vec(), body);
    }

    #[test]
    fn findings_have_a_limit_and_say_so() {
        let many = vec![warning("records[0].a", &"ü".repeat(5_000)); 100];
        let bytes = encoded(&many, "records[0]");
        assert!(bytes.len() <= HINWEISE_BYTES_MAX, "{}", bytes.len());
        let kept = Kept::decode(&bytes[..]).expect("findings").hinweise;
        assert_eq!(kept.last().map(|it| it.description.as_str()), Some(MORE));
        assert!(kept.len() > 5, "{}", kept.len());
    }

    #[test]
    fn bytes_that_are_no_record_count_as_they_are() {
        let damaged = [&b"content"[..], &[0x08], &[0xa2, 0x06, 0x7f, 0], &[0xff; 12]];
        for bytes in damaged {
            let whole = Hash::from_bytes(Sha256::digest(bytes).into());
            assert_eq!(content_of(bytes), whole, "{bytes:?}");
        }
        // fields of newer software count too
        assert_ne!(content_of(&[0xa8, 0x06, 1]), content_of(&[0xa8, 0x06, 2]));
    }

    proptest! {
        #[test]
        fn findings_are_no_part_of_the_content(
            land in "[A-Z]{2}",
            keys in prop::collection::vec("[0-9]{14}", 0..4),
            found in prop::collection::vec("[a-zß]{0,40}", 0..5),
        ) {
            let record = ServiceDefinition { land, leistungsschluessel: keys, ..Default::default() };
            let bare = record.encode_to_vec();
            let mut body = bare.clone();
            let found: Vec<_> = found.iter().map(|it| warning("", it)).collect();
            body.extend(encoded(&found, ""));
            prop_assert_eq!(content_of(&body), content_of(&bare));
            prop_assert_eq!(content_of(&bare), Hash::from_bytes(Sha256::digest(&bare).into()));
        }
    }
}
