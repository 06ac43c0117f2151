//! Drafts on a real disk.

use std::fs;

use registry_proto::wire::registry::{
    LocalizedText, ServiceDefinition, ServiceVersion, VersionStatus,
};

use super::*;

const HAND: Hand<'_> = Hand { principal: "p-1", wall_ms: 1_795_600_000_123 };

fn definition(service_id: &str, name: &str) -> Record {
    let bezeichnung = vec![LocalizedText { language_code: "de".to_owned(), text: name.to_owned() }];
    let service_id = service_id.to_owned();
    let it = ServiceDefinition { service_id, bezeichnung, ..ServiceDefinition::default() };
    Record { record: Some(record::Record::ServiceDefinition(it)), expected_revision: None }
}

fn version(service_id: &str, number: &str) -> Record {
    let (service_id, version) = (service_id.to_owned(), number.to_owned());
    let it = ServiceVersion { service_id, version, ..ServiceVersion::default() };
    Record { record: Some(record::Record::ServiceVersion(it)), expected_revision: None }
}

fn services(draft: &Draft) -> Vec<String> {
    let id = |it: &Record| match &it.record {
        Some(record::Record::ServiceDefinition(it)) => it.service_id.clone(),
        Some(record::Record::ServiceVersion(it)) => it.service_id.clone(),
        other => panic!("{other:?}"),
    };
    draft.records.iter().map(id).collect()
}

fn reason(refused: Reject) -> String {
    match refused {
        Reject::Invalid(all) => all[0].reason.to_owned(),
        Reject::NotFound { what, .. } => format!("no {what}"),
        Reject::MovedOn { found, .. } => format!("revision {found}"),
        Reject::Precondition { reason, .. } => reason.to_owned(),
        Reject::Busy { limit, .. } => format!("too many {limit}"),
        other => other.to_string(),
    }
}

#[test]
fn a_draft_outlives_a_restart_and_its_revision_grows() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = Drafts::open(&dir.path().join("drafts")).unwrap();
    let first = drafts.save("", None, vec![definition("", "Hund")], HAND).unwrap();
    assert_eq!((first.revision, first.created_by.as_str()), (1, "p-1"));
    let later = Hand { principal: "p-2", wall_ms: HAND.wall_ms + 5_000 };
    let id = first.draft_id.clone();
    let second = drafts.save(&id, Some(1), vec![definition("", "Katze")], later).unwrap();
    assert_eq!((second.revision, second.changed_by.as_str()), (2, "p-2"));
    assert_eq!((&second.created_at, second.created_by.as_str()), (&first.created_at, "p-1"));

    let again = Drafts::open(&dir.path().join("drafts")).unwrap();
    assert_eq!(again.get(&id).unwrap(), second);
    let listed = again.list();
    assert_eq!(listed, drafts.list());
    assert_eq!((listed[0].bezeichnung.as_str(), listed[0].revision), ("Katze", 2));

    for expected in [0, 1, 3] {
        let refused = again.save(&id, Some(expected), vec![definition("", "x")], HAND);
        assert_eq!(reason(refused.unwrap_err()), "revision 2");
        assert_eq!(reason(again.delete(&id, Some(expected)).unwrap_err()), "revision 2");
    }
    again.delete(&id, Some(2)).unwrap();
    assert_eq!(reason(again.get(&id).unwrap_err()), "no draft");
    assert_eq!(reason(again.delete(&id, None).unwrap_err()), "no draft");
    assert!(Drafts::open(&dir.path().join("drafts")).unwrap().list().is_empty());
}

#[test]
fn new_services_get_their_id_when_they_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = Drafts::open(dir.path()).unwrap();
    let one = vec![version("", "1.0.0"), definition("", "Hund"), version("b", "1.0.0")];
    let kept = services(&drafts.save("", None, one, HAND).unwrap());
    assert_eq!((&kept[0], kept[2].as_str()), (&kept[1], "b"));
    assert_eq!(Uuid::try_parse(&kept[1]).unwrap().get_version_num(), 7);
    // of two it is not known which one is meant
    let two = vec![definition("", "Hund"), definition("", "Katze"), version("", "1.0.0")];
    let kept = services(&drafts.save("", None, two, HAND).unwrap());
    assert_ne!(kept[0], kept[1]);
    assert_eq!(kept[2], "");
}

#[test]
fn only_records_of_a_release_are_kept_and_not_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = Drafts::open(dir.path()).unwrap();
    let status = record::Record::VersionStatus(VersionStatus::default());
    let status = Record { record: Some(status), expected_revision: None };
    let expecting = Record { expected_revision: Some(1), ..version("", "1.0.0") };
    let large = |chars: usize| vec![definition("", &"x".repeat(chars))];
    let check = |records: Vec<Record>, expect: Result<(), &str>| {
        let got = drafts.save("", None, records, HAND).map(|_| ()).map_err(reason);
        assert_eq!(got, expect.map_err(str::to_owned));
    };
    check(vec![], Err("DRAFT_RECORDS"));
    check(vec![version("", "1.0.0"); DRAFT_RECORDS_MAX], Ok(()));
    check(vec![version("", "1.0.0"); DRAFT_RECORDS_MAX + 1], Err("DRAFT_RECORDS"));
    check(vec![Record::default()], Err("DRAFT_KIND"));
    check(vec![definition("", "x"), status], Err("DRAFT_KIND"));
    check(vec![expecting], Err("DRAFT_EXPECTED_REVISION"));
    check(large(DRAFT_BYTES_MAX - 100), Ok(()));
    // the id that is given here is too much
    check(large(DRAFT_BYTES_MAX - 20), Err("DRAFT_TOO_LARGE"));
    check(large(DRAFT_BYTES_MAX), Err("DRAFT_TOO_LARGE"));
    let kept = drafts.list();
    for it in &kept {
        drafts.get(&it.draft_id).expect("what is kept can be read");
    }
    assert_eq!(kept.len(), 2);
}

#[test]
fn a_node_keeps_so_many_drafts() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = Drafts::open(dir.path()).unwrap();
    let kept = drafts.save("", None, vec![version("", "1")], HAND).unwrap();
    for _ in 1..DRAFTS_MAX {
        let id = Uuid::now_v7();
        drafts.lock().insert(id, DraftSummary::default());
    }
    let refused = drafts.save("", None, vec![version("", "1")], HAND).unwrap_err();
    assert_eq!(reason(refused), "too many drafts");
    drafts.save(&kept.draft_id, None, vec![version("", "2")], HAND).expect("no new one");
    drafts.delete(&kept.draft_id, None).unwrap();
    drafts.save("", None, vec![version("", "1")], HAND).expect("there is room");
}

#[test]
fn a_damaged_draft_is_told_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = Drafts::open(dir.path()).unwrap();
    let bad = drafts.save("", None, vec![version("", "1")], HAND).unwrap().draft_id;
    let good = drafts.save("", None, vec![version("", "2")], HAND).unwrap().draft_id;
    let path = dir.path().join(format!("{bad}.draft"));
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    // one under the name of another, one that was being written, and what is none of ours
    let misplaced = dir.path().join(format!("{}.draft", Uuid::from_u128(1)));
    fs::copy(dir.path().join(format!("{good}.draft")), &misplaced).unwrap();
    fs::write(dir.path().join(format!("{good}.new")), b"half").unwrap();
    fs::write(dir.path().join("README"), b"text").unwrap();

    let again = Drafts::open(dir.path()).unwrap();
    let damaged = again.list().iter().filter(|it| !it.damage.is_empty()).count();
    assert_eq!((again.list().len(), damaged), (3, 2));
    assert_eq!(reason(again.get(&bad).unwrap_err()), "DRAFT_DAMAGED");
    let refused = again.save(&bad, None, vec![version("", "3")], HAND).unwrap_err();
    assert_eq!(reason(refused), "DRAFT_DAMAGED");
    assert_eq!(fs::read(&path).unwrap(), bytes, "what is damaged is not written over");
    again.get(&good).expect("sound");
    again.delete(&bad, None).unwrap();
    assert!(!path.exists() && !dir.path().join(format!("{good}.new")).exists());
}

#[test]
fn names_that_are_no_drafts_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let drafts = Drafts::open(&dir.path().join("drafts")).unwrap();
    fs::write(dir.path().join("secret.draft"), b"x").unwrap();
    for id in ["../secret", "secret", "", "00000000-0000-0000-0000-000000000001"] {
        assert_eq!(reason(drafts.get(id).unwrap_err()), "no draft", "{id:?}");
        assert_eq!(reason(drafts.delete(id, None).unwrap_err()), "no draft", "{id:?}");
    }
}

#[test]
fn files_of_format_1_stay_readable() {
    let id = Uuid::from_u128(7);
    let draft = Draft {
        draft_id: id.to_string(),
        revision: 3,
        records: vec![definition(&Uuid::from_u128(1).to_string(), "Hund"), version("", "1.0.0")],
        created_at: Some(timestamp(HAND.wall_ms)),
        created_by: "p-1".to_owned(),
        changed_at: Some(timestamp(HAND.wall_ms + 1)),
        changed_by: "p-2".to_owned(),
    };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/draft-1.draft");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&golden, KIND.encode(&draft)).unwrap();
    }
    let bytes = fs::read(&golden).unwrap();
    assert_eq!(KIND.decode(&bytes), Ok(draft.clone()));
    assert_eq!(KIND.encode(&draft), bytes);
}
