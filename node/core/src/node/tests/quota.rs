//! What the own Land may publish in a day.

use registry_proto::{log::Kind, terms::Land};

use super::{commits, publishes, words};
use crate::{
    submission::{Prepared, Submission},
    testing::{Bench, charter_with_quota, definition, submission},
};

const DAY_MS: u64 = 86_400_000;

#[test]
fn what_goes_beyond_the_quota_is_refused_until_time_has_passed() {
    let mut bench = Bench::with(|it| it.charter = charter_with_quota(Land::SL, 4));
    bench.unfence();
    publishes(&mut bench, 1, submission(&[(1, None, "a"), (1, Some("1.0.0"), "b")]));
    publishes(&mut bench, 2, definition(2));
    let two = || submission(&[(3, None, "a"), (4, None, "b")]);
    let quarter = DAY_MS / 4;
    let refused = [format!("reply 3 over 4 entries a day, Some({quarter})")];
    assert_eq!(words(&bench.submit(3, two())), refused);
    // a dry run is told the same, and spends nothing
    let dry = Submission { dry_run: true, ..two() };
    assert_eq!(words(&bench.submit(3, dry)), refused);
    // what stands already costs nothing, and what fits goes on
    assert_eq!(words(&bench.submit(4, definition(2))), ["reply 4 [2=]"]);
    let commit = commits(&mut bench, 5, definition(3));
    bench.committed(commit.checkpoint);
    let one = format!("reply 6 over 4 entries a day, Some({quarter})");
    assert_eq!(words(&bench.submit(6, definition(4))), [one]);
    bench.pass(quarter);
    commits(&mut bench, 7, definition(4));

    // more than a day has is never let in as one
    let mut bench = Bench::with(|it| it.charter = charter_with_quota(Land::SL, 1));
    bench.unfence();
    assert_eq!(words(&bench.submit(1, two())), ["reply 1 over 1 entries a day, None"]);
    publishes(&mut bench, 2, definition(1));
    // an erasure is not held up: here it is refused because there is nothing to erase
    let erasure = Prepared::of(Kind::Erasure, record_id(), [3; 16], bytes::Bytes::new());
    let erasure = Submission { records: vec![erasure], ..definition(1) };
    let said = words(&bench.submit(3, erasure));
    assert!(!said.concat().contains("over"), "{said:?}");
}

fn record_id() -> registry_proto::terms::ServiceId {
    uuid::Uuid::from_u128(9).into()
}
