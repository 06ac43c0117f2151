//! A log that brings more than its quota is taken slower; others go on, and nothing is lost.

use bytes::Bytes;
use registry_proto::{
    log::{Hash, Kind},
    receipt::Receipt,
    terms::Land,
    wire::peer::{Receipts, peer_message::Message},
};

use super::held;
use crate::{
    status::LogState,
    testing::{Bench, charter, charter_with_quota, log, signer},
};

/// Rheinland-Pfalz may add ten entries a day and holds sixty; Hessen has no quota of its own.
fn bench() -> Bench {
    let mut bench = Bench::with(|it| it.charter = charter_with_quota(Land::RP, 10));
    bench.unfence();
    bench.author(Land::RP).append(60);
    bench.author(Land::HE).append(10);
    bench.connect(1, Land::RP);
    bench.connect(2, Land::TH);
    bench.tell(1, Land::RP, 60, 60);
    bench
}

fn state(bench: &Bench, land: Land) -> LogState {
    let status = bench.node.status(bench.now);
    let found = status.logs.iter().find(|it| it.log == log(land)).map(|it| it.state);
    found.expect("a log")
}

/// Lets seconds pass in which both partners stay connected and sign, until something is followed.
fn until_followed(bench: &mut Bench, seconds: u64) -> (u64, Vec<String>) {
    for passed in 1..=seconds {
        for session in [1, 2] {
            bench.tell(session, Land::TH, 0, 0);
        }
        let said = bench.later(1_000);
        let said: Vec<_> = said.into_iter().filter(|it| it.contains("follow")).collect();
        if !said.is_empty() {
            return (passed, said);
        }
    }
    (seconds, Vec::new())
}

fn holds(bench: &mut Bench, session: u64, holder: Land, size: u64) -> Vec<String> {
    let (log, root) = (log(Land::RP), Hash::of(b"root"));
    let receipt = Receipt { holder, log, size, root, bodies_missing: 0, unix_ms: 1, erased: 0 };
    let receipt = receipt.sign(bench.charter.id(), &signer(holder)).expect("signed");
    let items: Vec<Bytes> = vec![receipt.raw().clone()];
    let said = bench.say(session, Message::Receipts(Receipts { items }));
    said.into_iter().filter(|it| it.contains("follow")).collect()
}

#[test]
fn what_goes_beyond_two_days_waits_and_other_logs_go_on() {
    let mut bench = bench();
    assert_eq!(bench.send(1, Land::RP, 0, 10, 60), ["store RP/1 +10 of 60"]);
    let said = bench.send(1, Land::RP, 10, 20, 60);
    assert_eq!(said, ["store RP/1 +10 of 60", "over quota RP/1", "1 <- unfollow RP/1"]);
    // what was under way is no offence, and is not taken
    assert_eq!(bench.send(1, Land::RP, 20, 30, 60), Vec::<String>::new());
    bench.stored(Land::RP);
    bench.stored(Land::RP);
    assert_eq!((held(&bench, Land::RP), state(&bench, Land::RP)), (20, LogState::Slowed));
    // nor is it asked for elsewhere
    assert_eq!(bench.tell(2, Land::RP, 60, 60), Vec::<String>::new());
    assert_eq!(bench.tell(2, Land::HE, 10, 10), ["2 <- follow HE/1 from 0"]);
    assert_eq!(bench.send(2, Land::HE, 0, 10, 10), ["store HE/1 +10 of 10"]);
    bench.stored(Land::HE);
    assert_eq!((held(&bench, Land::HE), state(&bench, Land::HE)), (10, LogState::Live));

    // ten minutes later it goes on, by what has refilled
    let (passed, said) = until_followed(&mut bench, 700);
    assert_eq!((passed, said), (600, vec!["1 <- follow RP/1 from 20".to_owned()]));
    let said = bench.send(1, Land::RP, 20, 21, 60);
    assert!(said.contains(&"1 <- unfollow RP/1".to_owned()), "{said:?}");
    bench.stored(Land::RP);

    // what most others hold costs nothing: one of two is not most
    assert_eq!(holds(&mut bench, 2, Land::TH, 50), Vec::<String>::new());
    assert_eq!(holds(&mut bench, 2, Land::HE, 40), ["1 <- follow RP/1 from 21"]);
    assert_eq!(bench.send(1, Land::RP, 21, 30, 60), ["store RP/1 +9 of 60"]);
    let said = bench.send(1, Land::RP, 30, 40, 60);
    assert!(said.contains(&"1 <- unfollow RP/1".to_owned()), "{said:?}");
    bench.stored(Land::RP);
    bench.stored(Land::RP);
    assert_eq!(held(&bench, Land::RP), 40);
}

#[test]
fn erasures_slow_no_log_and_what_is_too_large_for_one_is_counted() {
    let mut bench = Bench::with(|it| it.charter = charter_with_quota(Land::RP, 10));
    bench.unfence();
    let author = bench.author(Land::RP);
    author.append(19);
    (0..19).cycle().take(50).for_each(|index| author.append_erasure(index));
    bench.connect(1, Land::RP);
    bench.tell(1, Land::RP, 69, 69);
    // 19 of the 20 entries of two days are spent
    assert_eq!(bench.send(1, Land::RP, 0, 69, 69), ["store RP/1 +69 of 69"]);
    bench.stored(Land::RP);
    assert_eq!((held(&bench, Land::RP), state(&bench, Land::RP)), (69, LogState::Live));
    bench.author(Land::RP).append_with(&[7; 10_000], |it| it.kind = Kind::Erasure);
    bench.tell(1, Land::RP, 70, 70);
    let said = bench.send(1, Land::RP, 69, 70, 70);
    assert!(said.contains(&"1 <- unfollow RP/1".to_owned()), "{said:?}");
}

#[test]
fn of_two_members_one_that_begins_takes_what_was_there_before() {
    let two = charter(&[Land::RP, Land::SL]);
    let mut raw: registry_proto::wire::registry::Charter =
        prost::Message::decode(&two.raw()[..]).expect("a charter");
    raw.members[0].quota =
        Some(registry_proto::wire::registry::Quota { entries_per_day: 10, bytes_per_day: 0 });
    let raw = prost::Message::encode_to_vec(&raw).into();
    let two = registry_proto::charter::Charter::parse(raw).expect("a charter");
    let mut bench = Bench::with(|it| it.charter = two);
    bench.unfence();
    bench.author(Land::RP).append(60);
    bench.connect(1, Land::RP);
    assert_eq!(bench.tell(1, Land::RP, 60, 60), ["1 <- follow RP/1 from 0"]);
    assert_eq!(bench.send(1, Land::RP, 0, 60, 60), ["store RP/1 +60 of 60"]);
    bench.stored(Land::RP);
    assert_eq!(state(&bench, Land::RP), LogState::Live);
    // what comes from then on is counted
    bench.author(Land::RP).append(30);
    bench.tell(1, Land::RP, 90, 90);
    let said = bench.send(1, Land::RP, 60, 90, 90);
    assert!(said.contains(&"1 <- unfollow RP/1".to_owned()), "{said:?}");
}
