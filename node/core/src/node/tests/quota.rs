//! What the own Land may publish in a day.

use registry_proto::{log::Kind, terms::Land};

use super::{commits, publishes, words};
use crate::{
    node::Input,
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

#[test]
fn what_was_taken_back_costs_nothing() {
    let mut bench = Bench::with(|it| it.charter = charter_with_quota(Land::SL, 3));
    bench.unfence();
    bench.connect(1, Land::RP);
    publishes(&mut bench, 1, definition(1));
    let two = || submission(&[(3, None, "a"), (4, None, "b")]);
    // not signed, with what is staged behind it
    for n in 0..10 {
        commits(&mut bench, 2, definition(2));
        bench.submit(3, definition(3));
        let input = if n % 2 == 0 { Input::CommitUnsigned } else { Input::CommitVoid };
        let said = bench.input(input);
        assert!(said[0].starts_with("reply 2 ") && said[1].starts_with("reply 3 "), "{said:?}");
    }
    // and what was staged behind a group that stands when the fence closed
    let commit = commits(&mut bench, 4, definition(2));
    bench.submit(5, definition(5));
    bench.now.wall_ms += 60_000;
    assert_eq!(bench.input(Input::Tick)[0], "reply 5 FENCED");
    bench.committed(commit.checkpoint);
    bench.unfence();
    let over = &words(&bench.submit(6, two()))[0];
    assert!(over.starts_with("reply 6 over 3 entries a day, Some("), "{over}");
    publishes(&mut bench, 7, definition(3));
    // what is durable stays spent, also when the next group is taken back
    let over = &words(&bench.submit(8, definition(4)))[0];
    assert!(over.starts_with("reply 8 over 3 entries a day, Some("), "{over}");
}

fn record_id() -> registry_proto::terms::ServiceId {
    uuid::Uuid::from_u128(9).into()
}
