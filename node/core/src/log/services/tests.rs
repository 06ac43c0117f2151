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
