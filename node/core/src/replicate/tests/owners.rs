//! Every `OwnerFault`: the log stops for good, its verified part stays, other logs go on.

use bytes::Bytes;
use registry_proto::{
    log::{Hash, VerbundId},
    terms::{Land, LogId},
    wire::peer::{Batch, Beacon, Follow, Head, peer_message::Message},
};

use super::{bench, delivers, held};
use crate::{
    status::LogState,
    testing::{Bench, START_MS, log},
};

fn state(bench: &Bench, land: Land) -> LogState {
    let status = bench.node.status(bench.now);
    status.logs.iter().find(|it| it.log == log(land)).map(|it| it.state).expect("a log")
}

/// The owner signs one more entry after the ten; it convicts the owner.
#[track_caller]
fn check_stops(append: impl FnOnce(&mut Bench), label: &str) {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    append(&mut bench);
    bench.tell(1, Land::RP, 11, 11);
    let said = bench.send(1, Land::RP, 10, 11, 11);
    assert_eq!(said, [format!("stopped by RP {label}"), "1 <- unfollow RP/1".to_owned()]);
    check_stopped(&mut bench);
}

#[track_caller]
fn check_stopped(bench: &mut Bench) {
    assert_eq!((held(bench, Land::RP), state(bench, Land::RP)), (10, LogState::Quarantined));
    // other logs go on, also through the partner that passed it on
    delivers(bench, 1, Land::HE);
    // nobody is asked for it any more, whatever time passes and whoever has more; one report is
    // enough
    let said = [bench.tell(2, Land::RP, 11, 11), bench.later(10_000)].concat();
    assert!(!said.iter().any(|it| it.contains("follow RP") || it.contains("stopped")), "{said:?}");
    assert_eq!(bench.send(2, Land::RP, 10, 11, 11), Vec::<String>::new());
    // the verified part is served
    let follow = Follow {
        land: "RP".to_owned(),
        epoch: 1,
        from: 0,
        credit_bytes: 1,
        follow: 1,
        kept: false,
    };
    assert_eq!(bench.say(2, Message::Follow(follow)), ["2 <- range RP/1 0..10 #1"]);
}

#[test]
fn a_signed_header_that_cannot_be_read_stops_the_log() {
    let garbage = |bytes: &'static [u8]| {
        move |bench: &mut Bench| {
            let salt = Bytes::from_static(&[9; 16]);
            bench.author(Land::RP).append_raw(Bytes::from_static(bytes), salt, Bytes::new());
        }
    };
    check_stops(garbage(b""), "header");
    check_stops(garbage(b"\xff\xff\xff"), "header");
    check_stops(garbage(&[8, 2]), "header");
    check_stops(garbage(&[0; 70_000]), "header");
}

#[test]
fn a_signed_header_of_another_place_stops_the_log() {
    check_stops(
        |it| {
            let other = VerbundId::from_hash(Hash::of(b"other"));
            it.author(Land::RP).append_with(b"x", |it| it.verbund = other);
        },
        "misplaced",
    );
    check_stops(
        |it| it.author(Land::RP).append_with(b"x", |it| it.log.land = Land::HE),
        "misplaced",
    );
    check_stops(
        |it| {
            let log = LogId { land: Land::RP, epoch: 2 };
            it.author(Land::RP).append_with(b"x", |it| it.log = log);
        },
        "misplaced",
    );
    check_stops(|it| it.author(Land::RP).append_with(b"x", |it| it.index = 11), "misplaced");
    check_stops(|it| it.author(Land::RP).append_with(b"x", |it| it.index = 9), "misplaced");
}

#[test]
fn recorded_time_that_goes_back_stops_the_log() {
    let at = |ms| {
        move |it: &mut Bench| it.author(Land::RP).append_with(b"x", |it| it.recorded_unix_ms = ms)
    };
    check_stops(at(START_MS + 8), "time_went_back");
    check_stops(at(i64::MIN), "time_went_back");
}

#[test]
fn a_recorded_time_in_the_future_is_no_reason_to_stop() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    bench.author(Land::RP).append_with(b"x", |it| it.recorded_unix_ms = i64::MAX);
    bench.tell(1, Land::RP, 11, 11);
    assert_eq!(bench.send(1, Land::RP, 10, 11, 11), ["store RP/1 +1 of 11"]);
}

#[test]
fn two_signed_heads_of_one_size_stop_the_log() {
    // shown by a head
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let other = bench.author(Land::RP).lie(10, Hash::of(b"other"));
    let head = Head { checkpoint: other, ..bench.author(Land::RP).head(10, 10) };
    let said = bench.say(2, Message::Beacon(Beacon { heads: vec![head] }));
    assert_eq!(
        said,
        [
            "stopped by TH equivocation",
            "1 <- unfollow RP/1",
            "keep evidence RP/1",
            "1 <- evidence 1",
            "2 <- evidence 1"
        ]
    );
    bench.author(Land::RP).append(1);
    check_stopped(&mut bench);

    // shown by a batch: the known head of 12 and the batch under another 12
    let mut bench = super::bench();
    delivers(&mut bench, 1, Land::RP);
    bench.author(Land::RP).append(2);
    bench.tell(1, Land::RP, 12, 12);
    bench.author(Land::RP).rewrite(10);
    bench.author(Land::RP).append_with(b"other", |_| ());
    bench.author(Land::RP).append_with(b"other", |_| ());
    let said = bench.send(1, Land::RP, 10, 12, 12);
    assert_eq!(
        said,
        [
            "stopped by RP equivocation",
            "1 <- unfollow RP/1",
            "keep evidence RP/1",
            "1 <- evidence 1",
            "2 <- evidence 1"
        ]
    );
    check_stopped(&mut bench);
}

#[test]
fn an_equivocation_about_the_size_just_received_is_seen_before_it_is_durable() {
    let mut bench = bench();
    bench.send(1, Land::RP, 0, 5, 10);
    let other = bench.author(Land::RP).lie(5, Hash::of(b"other"));
    let head = Head { checkpoint: other, ..bench.author(Land::RP).head(5, 5) };
    let said = bench.say(2, Message::Beacon(Beacon { heads: vec![head] }));
    assert_eq!(
        said,
        [
            "replayed RP/1 by TH",
            "stopped by TH equivocation",
            "1 <- unfollow RP/1",
            "keep evidence RP/1",
            "1 <- evidence 1",
            "2 <- evidence 1"
        ]
    );
    assert_eq!(bench.stored(Land::RP), ["1 <- ack RP/1 5"]);
}

#[test]
fn an_older_checkpoint_and_one_signed_again_convict_nobody() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let said = bench.tell(2, Land::RP, 3, 3);
    assert_eq!(said, ["replayed RP/1 by TH", "examine RP/1 at 3 by 10"]);
    bench.author(Land::RP).seconds += 60;
    assert_eq!(bench.tell(2, Land::RP, 10, 10), Vec::<String>::new());
    assert_eq!(state(&bench, Land::RP), LogState::Live);
}

#[test]
fn batches_of_logs_that_are_not_ours_are_nobodys_fault() {
    let mut bench = bench();
    for (land, epoch) in [("BY", 1), ("RP", 2), ("", 0), ("rp", 1)] {
        let batch =
            Batch { land: land.to_owned(), epoch, ..bench.author(Land::RP).batch(0, 10, 10) };
        assert_eq!(bench.say(1, Message::Batch(batch)), Vec::<String>::new());
    }
}
