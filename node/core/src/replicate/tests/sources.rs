//! Where a log is followed, and when that changes.

use registry_proto::{
    terms::Land,
    wire::peer::{Refusal, peer_message::Message},
};

use super::{bench, delivers, held};
use crate::{
    limits,
    node::Input,
    replicate::SessionId,
    testing::{Bench, log},
};

fn refusal(reason: i32) -> Message {
    Message::Refusal(Refusal { land: "RP".to_owned(), epoch: 1, reason })
}

/// Lets time pass in which both partners stay connected.
fn wait(bench: &mut Bench, ms: u64) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..ms / 1_000 {
        for session in [1, 2] {
            bench.tell(session, Land::TH, 0, 0);
        }
        said.extend(bench.later(1_000));
    }
    said.retain(|it| it.contains("follow"));
    said
}

#[test]
fn a_log_is_followed_at_its_owner_and_else_at_the_longest_copy() {
    let mut bench = Bench::open();
    bench.author(Land::HE).append(10);
    bench.connect(1, Land::TH);
    assert_eq!(bench.tell(1, Land::HE, 4, 10), ["1 <- follow HE/1 from 0"]);
    // a longer copy is no reason to change while this one has more than is here
    bench.connect(2, Land::RP);
    assert_eq!(bench.tell(2, Land::HE, 7, 10), Vec::<String>::new());
    // then it is
    let said = bench.send(1, Land::HE, 0, 4, 10);
    assert_eq!(said, ["store HE/1 +4 of 10", "1 <- unfollow HE/1", "2 <- follow HE/1 from 4"]);
    assert_eq!(bench.stored(Land::HE), ["1 <- ack HE/1 4"]);
    // the owner comes
    bench.connect(3, Land::HE);
    let said = bench.tell(3, Land::HE, 10, 10);
    assert_eq!(said, ["2 <- unfollow HE/1", "3 <- follow HE/1 from 4"]);
    // and goes
    let said = bench.input(Input::SessionClosed { session: SessionId(3) });
    assert_eq!(said, ["2 <- follow HE/1 from 4"]);
}

/// A copy of its node, or an owner that gives to others what it keeps from this node.
#[test]
fn an_owner_that_says_nothing_of_what_others_have_is_left_after_a_while() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    delivers(&mut bench, 1, Land::HE);
    bench.author(Land::RP).append(1);
    assert_eq!(bench.tell(2, Land::RP, 11, 11), Vec::<String>::new(), "it may only be faster");
    let said = wait(&mut bench, limits::SOURCE_STALL_MS + 2_000);
    assert_eq!(said, ["1 <- unfollow RP/1", "2 <- follow RP/1 from 10"]);
    bench.send(2, Land::RP, 10, 11, 11);
    bench.stored(Land::RP);
    assert_eq!(held(&bench, Land::RP), 11);
    // it says it now
    bench.author(Land::RP).append(1);
    let said = bench.tell(1, Land::RP, 12, 12);
    assert_eq!(said, ["2 <- unfollow RP/1", "1 <- follow RP/1 from 11"]);
}

#[test]
fn an_owner_that_knows_less_than_others_is_no_source() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    // it comes back without its disk
    bench.input(Input::SessionClosed { session: SessionId(1) });
    bench.connect(3, Land::RP);
    assert_eq!(bench.tell(3, Land::RP, 4, 4), ["examine RP/1 at 4 by 10"]);
    // and has its log again
    let said = bench.tell(3, Land::RP, 10, 10);
    assert_eq!(said, ["2 <- unfollow RP/1", "3 <- follow RP/1 from 10"]);
}

#[test]
fn a_source_that_has_more_and_delivers_nothing_is_changed() {
    let mut bench = bench();
    // both logs are followed at the first partner, the second has them as well
    assert_eq!(wait(&mut bench, 5_000), Vec::<String>::new());
    let expect = [
        "1 <- unfollow HE/1",
        "2 <- follow HE/1 from 0",
        "1 <- unfollow RP/1",
        "2 <- follow RP/1 from 0",
    ];
    assert_eq!(wait(&mut bench, 1_000), expect);
    assert_eq!(bench.lapses, ["lapse RP stalled"; 2]);
    delivers(&mut bench, 2, Land::RP);
}

#[test]
fn a_log_that_grows_elsewhere_does_not_excuse_its_source() {
    let mut bench = bench();
    let mut said = Vec::new();
    for size in 11..18 {
        bench.author(Land::HE).append(1);
        bench.tell(2, Land::HE, size, size);
        bench.tell(1, Land::HE, size, size);
        said.extend(wait(&mut bench, 1_000));
    }
    assert!(said.contains(&"2 <- follow HE/1 from 0".to_owned()), "{said:?}");
}

#[test]
fn a_source_with_nothing_to_deliver_is_no_stalled_one() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    delivers(&mut bench, 1, Land::HE);
    assert_eq!(wait(&mut bench, 60_000), Vec::<String>::new());
    // its clock starts when it has more
    bench.author(Land::RP).append(1);
    bench.tell(1, Land::RP, 11, 11);
    bench.tell(2, Land::RP, 11, 11);
    assert_eq!(wait(&mut bench, 5_000), Vec::<String>::new());
    let expect = ["1 <- unfollow RP/1", "2 <- follow RP/1 from 10"];
    assert_eq!(wait(&mut bench, 1_000), expect);
}

#[test]
fn a_slow_disk_is_not_the_fault_of_the_source() {
    let mut bench = bench();
    bench.send(1, Land::RP, 0, 5, 10);
    bench.send(1, Land::HE, 0, 5, 10);
    assert_eq!(wait(&mut bench, 60_000), Vec::<String>::new());
}

#[test]
fn a_source_without_alternative_gets_more_time_and_is_asked_again() {
    let mut bench = Bench::open();
    bench.author(Land::RP).append(10);
    bench.connect(1, Land::RP);
    bench.connect(2, Land::TH);
    bench.tell(1, Land::RP, 10, 10);
    assert_eq!(wait(&mut bench, limits::PEER_SILENCE_MS), Vec::<String>::new());
    assert_eq!(wait(&mut bench, 1_000), ["1 <- follow RP/1 from 0"]);
    // the large batch was under way all the time, and arrives once more
    delivers(&mut bench, 1, Land::RP);
    assert_eq!(bench.send(1, Land::RP, 0, 10, 10), ["1 <- ack RP/1 10"]);
    assert_eq!(held(&bench, Land::RP), 10);
}

#[test]
fn a_batch_that_overlaps_what_is_here_is_trimmed() {
    let mut bench = bench();
    assert_eq!(bench.send(1, Land::RP, 0, 4, 10), ["store RP/1 +4 of 10"]);
    assert_eq!(bench.send(1, Land::RP, 2, 7, 10), ["store RP/1 +3 of 10"]);
    assert_eq!(bench.send(1, Land::RP, 7, 10, 10), ["store RP/1 +3 of 10"]);
    for size in [4, 7, 10] {
        assert_eq!(bench.stored(Land::RP), [format!("1 <- ack RP/1 {size}")]);
    }
    // an empty one is an offence, but not when it lies behind
    assert_eq!(bench.send(1, Land::RP, 3, 3, 10), ["1 <- ack RP/1 10"]);
}

#[test]
fn what_an_ended_follow_had_under_way_is_taken_if_it_fits_and_never_blamed() {
    let mut bench = bench();
    assert_eq!(bench.send(1, Land::RP, 0, 2, 10), ["store RP/1 +2 of 10"]);
    let old = |bench: &mut Bench, from, to| {
        let batch = bench.author(Land::RP).batch(from, to, 10);
        bench.say(1, Message::Batch(batch))
    };
    assert_eq!(old(&mut bench, 7, 9), Vec::<String>::new());
    assert_eq!(old(&mut bench, 2, 4), ["store RP/1 +2 of 10"]);
}

#[test]
fn what_a_former_source_had_under_way_is_dropped_without_blame() {
    let mut bench = bench();
    wait(&mut bench, 6_000);
    assert_eq!(bench.send(1, Land::RP, 0, 10, 10), Vec::<String>::new());
    assert_eq!(bench.send(1, Land::RP, 7, 9, 10), Vec::<String>::new());
    delivers(&mut bench, 2, Land::RP);
}

#[test]
fn groups_of_a_former_source_leave_the_credit_of_the_new_one_alone() {
    let body = vec![0; limits::BODY_BYTES_MAX];
    let mut bench = Bench::open();
    for _ in 0..30 {
        bench.author(Land::HE).append_with(&body, |_| ());
    }
    bench.connect(1, Land::TH);
    bench.tell(1, Land::HE, 30, 30);
    for at in 0..9 {
        assert_eq!(bench.send(1, Land::HE, at, at + 1, 30), ["store HE/1 +1 of 30"]);
    }
    // the disk is slow, and the owner comes
    bench.connect(2, Land::HE);
    let said = bench.tell(2, Land::HE, 30, 30);
    assert_eq!(said, ["1 <- unfollow HE/1", "2 <- follow HE/1 from 9"]);
    for at in 9..18 {
        assert_eq!(bench.send(2, Land::HE, at, at + 1, 30), ["store HE/1 +1 of 30"]);
    }
}

#[test]
fn a_source_that_refuses_is_changed_and_not_asked_for_a_while() {
    for reason in [0, 1, 2, 3, 99] {
        let mut bench = bench();
        let said = bench.say(1, refusal(reason));
        assert_eq!(said, ["refused RP RP/1", "2 <- follow RP/1 from 0"]);
        delivers(&mut bench, 2, Land::RP);
        // the other log of this partner goes on
        delivers(&mut bench, 1, Land::HE);
    }
}

#[test]
fn refusals_that_nobody_waits_for_say_nothing() {
    let mut bench = bench();
    for _ in 0..3 {
        assert_eq!(bench.say(2, refusal(1)), Vec::<String>::new());
    }
    let unknown = Refusal { land: "BY".to_owned(), epoch: 1, reason: 1 };
    assert_eq!(bench.say(1, Message::Refusal(unknown)), Vec::<String>::new());
    // and do not keep this partner from being the next source
    bench.input(Input::SessionClosed { session: SessionId(1) });
    delivers(&mut bench, 2, Land::RP);
}

#[test]
fn a_log_whose_disk_failed_is_followed_nowhere() {
    let mut bench = bench();
    bench.send(1, Land::RP, 0, 4, 10);
    let said = bench.input(Input::StoreFailed { log: log(Land::RP) });
    assert_eq!(said, ["log failed RP/1", "1 <- unfollow RP/1"]);
    // what the writer had in its queue counts no more
    assert_eq!(bench.stored(Land::RP), Vec::<String>::new());
    assert_eq!(held(&bench, Land::RP), 0);
    assert_eq!(bench.send(1, Land::RP, 4, 10, 10), Vec::<String>::new());
    delivers(&mut bench, 1, Land::HE);
    bench.connect(3, Land::RP);
    assert_eq!(bench.tell(3, Land::RP, 10, 10), Vec::<String>::new());
}
