use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use registry_proto::{
    log::Kind,
    terms::Land,
    wire::registry::{LocalizedText, ServiceDefinition},
};

use super::{
    BatchEnds, FACT_BYTES_MAX, Record, Unreadable,
    testing::{Log, definition, uuid, version},
};
use crate::limits::BATCH_ENTRIES_MAX;

const NUMBER: &str = "99050012104000";

#[test]
fn a_definition_gives_itself_its_owner_and_its_numbers() {
    let mut log = Log::of(Land::SL);
    log.define(uuid(1), "Gewerbe anmelden", &[NUMBER, NUMBER, "no number"]);
    let facts = log.entries[0].fold().unwrap();
    let tables: Vec<char> = facts.iter().map(|fact| char::from(fact.key[1])).collect();
    assert_eq!(tables, ['d', 'o', 'k']);
}

#[test]
fn what_contradicts_its_header_folds_into_nothing() {
    let mut log = Log::of(Land::SL);
    let other_land = definition(Land::RP, uuid(1), "x", &[NUMBER]).encode_to_vec();
    log.push(Kind::ServiceDefinition, Some(uuid(1)), other_land.into());
    let other_id = definition(Land::SL, uuid(2), "x", &[NUMBER]).encode_to_vec();
    log.push(Kind::ServiceDefinition, Some(uuid(1)), other_id.clone().into());
    log.push(Kind::ServiceDefinition, None, other_id.into());
    let no_semver = version(uuid(1), "1.0", "2026-01-01", "").encode_to_vec();
    log.push(Kind::ServiceVersion, Some(uuid(1)), no_semver.into());
    let no_date = version(uuid(1), "1.0.0", "01.01.2026", "").encode_to_vec();
    log.push(Kind::ServiceVersion, Some(uuid(1)), no_date.into());
    let fields = ["land", "service_id", "service_id", "version", "gueltig_ab"];
    for (entry, expected) in log.entries.iter().zip(fields) {
        match entry.fold() {
            Err(Unreadable::Field { field }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn what_is_not_for_everyone_stays_hidden() {
    let mut log = Log::of(Land::SL);
    log.define(uuid(1), "x", &[NUMBER]);
    for audience in [0, 2, 99] {
        log.entries[0].header.audience = audience;
        assert_eq!(super::read(&log.entries[0].as_entry()).unwrap(), Record::Hidden);
        assert!(log.entries[0].fold().unwrap().is_empty());
    }
    log.entries[0].header.audience = 1;
    log.entries[0].body = None;
    assert!(log.entries[0].fold().unwrap().is_empty());
}

#[test]
fn values_stay_small_however_large_the_body() {
    let mut log = Log::of(Land::SL);
    let mut large = definition(Land::SL, uuid(1), "x", &[]);
    let text = LocalizedText { language_code: "de".to_owned(), text: "ä".repeat(20_000) };
    large.bezeichnung = vec![text; 2];
    large.lagen = vec!["ö".repeat(100_000)];
    large.themenfeld = "ü".repeat(5_000);
    large.leistungsschluessel = (0..20_000).map(|n| format!("99{n:012}")).collect();
    large.ozg_ids = (0..20_000).map(|n| format!("{}", 10_000 + n)).collect();
    log.push(Kind::ServiceDefinition, Some(uuid(1)), large.encode_to_vec().into());
    let facts = log.entries[0].fold().unwrap();
    assert!(facts.iter().all(|fact| fact.value.len() < FACT_BYTES_MAX));
    assert!(facts.len() <= 502, "{}", facts.len());
}

#[test]
fn a_batch_without_an_end_is_cut() {
    let mut log = Log::of(Land::SL);
    log.define(uuid(1), "x", &[NUMBER]);
    let mut header = log.entries[0].header.clone();
    header.batch_end = false;
    let mut ends = BatchEnds::default();
    for _ in 0..2 {
        assert!((1..BATCH_ENTRIES_MAX).all(|_| !ends.push(&header)));
        assert!(ends.push(&header));
    }
    header.batch_end = true;
    assert!(ends.push(&header));
}

proptest! {
    #[test]
    fn any_bytes_fold_without_panic(
        kind in 0..5_i32,
        body in prop::collection::vec(any::<u8>(), 0..300),
        object in any::<bool>(),
    ) {
        let kind = match kind {
            1 => Kind::ServiceDefinition,
            2 => Kind::ServiceVersion,
            3 => Kind::Unfenced,
            other => Kind::Unknown(other + 100),
        };
        let mut log = Log::of(Land::TH);
        log.push(kind, object.then(|| uuid(3)), Bytes::from(body));
        let _ = log.entries[0].fold();
    }

    #[test]
    fn any_texts_fold_without_panic(name in ".{0,40}", more in ".*", number in "[0-9]{0,20}") {
        let mut log = Log::of(Land::TH);
        let body = ServiceDefinition {
            themenfeld: more.clone(),
            lagen: vec![more],
            ..definition(Land::TH, uuid(1), &name, &[&number])
        };
        log.push(Kind::ServiceDefinition, Some(uuid(1)), body.encode_to_vec().into());
        prop_assert!(log.entries[0].fold().is_ok());
    }
}
