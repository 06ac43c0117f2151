//! Streams: the one of a pair that stays, silence, signs of life.

use registry_proto::{
    terms::Land,
    wire::peer::{AskHeads, peer_message::Message},
};

use super::{bench, delivers};
use crate::{
    limits,
    node::Input,
    replicate::SessionId,
    status::LogState,
    testing::{Bench, log},
};

/// Opens two streams with a partner; says which one is closed as the second.
#[track_caller]
fn check_twins(partner: Land, first_dialled: bool, second_dialled: bool, closed: u64) {
    let mut bench = Bench::open();
    bench.dial(1, partner, first_dialled);
    let said = bench.dial(2, partner, second_dialled);
    let close: Vec<_> = said.iter().filter(|it| it.starts_with("close")).collect();
    assert_eq!(close, [&format!("close {closed} duplicate")], "{partner} {first_dialled}");
    // the shell says so as well; that changes nothing
    bench.input(Input::SessionClosed { session: SessionId(closed) });
    let stays = 3 - closed;
    let hello = bench.hello(partner);
    bench.say(closed, Message::Hello(hello.clone()));
    assert!(bench.node.status(bench.now).connected.is_empty() || stays == closed);
    bench.say(stays, Message::Hello(hello));
    let said = bench.say(stays, Message::AskHeads(AskHeads { nonce: 3 }));
    assert_eq!(said, [format!("{stays} <- heads #3")]);
    assert_eq!(bench.node.status(bench.now).connected.len(), 1);
}

#[test]
fn of_two_streams_that_of_the_lower_node_stays() {
    // Hessen is lower than the Saarland, Thüringen is not
    check_twins(Land::HE, false, true, 2);
    check_twins(Land::HE, true, false, 1);
    check_twins(Land::TH, true, false, 2);
    check_twins(Land::TH, false, true, 1);
}

#[test]
fn of_two_streams_of_one_side_the_newer_stays() {
    for dialled in [true, false] {
        check_twins(Land::HE, dialled, dialled, 1);
        check_twins(Land::TH, dialled, dialled, 1);
    }
}

#[test]
fn a_log_goes_on_where_it_was_when_its_stream_is_replaced() {
    let mut bench = bench();
    bench.send(1, Land::RP, 0, 4, 10);
    let said = bench.dial(3, Land::RP, false);
    let expect = [
        "close 1 duplicate",
        "2 <- follow HE/1 from 0",
        "2 <- follow RP/1 from 4",
        "3 <- hello",
        "3 <- heads #0",
    ];
    assert_eq!(said, expect);
    let hello = bench.hello(Land::RP);
    bench.say(3, Message::Hello(hello));
    let said = bench.tell(3, Land::RP, 10, 10);
    assert_eq!(said, ["2 <- unfollow RP/1", "3 <- follow RP/1 from 4"]);
    // the group of the stream that is gone becomes durable, and nobody is told
    assert_eq!(bench.stored(Land::RP), Vec::<String>::new());
    assert_eq!(bench.send(3, Land::RP, 4, 10, 10), ["store RP/1 +6 of 10"]);
}

#[test]
fn a_partner_that_says_nothing_is_closed() {
    let mut bench = bench();
    bench.dial(3, Land::HE, true);
    let said = bench.later(limits::PEER_SILENCE_MS);
    assert!(!said.iter().any(|it| it.starts_with("close")), "{said:?}");
    bench.say(2, Message::AskHeads(AskHeads { nonce: 0 }));
    let said = bench.later(1);
    let closed: Vec<_> = said.iter().filter(|it| it.starts_with("close")).collect();
    // also one that has not even introduced itself
    assert_eq!(closed, ["close 1 silent", "close 3 silent"]);
    for silent in ["lapse RP silent", "lapse HE silent"] {
        assert!(bench.lapses.iter().any(|it| it == silent), "{:?}", bench.lapses);
    }
    delivers(&mut bench, 2, Land::RP);
}

#[test]
fn a_sign_of_life_comes_every_five_seconds_and_growth_at_the_next_tick() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::HE);
    delivers(&mut bench, 1, Land::RP);
    assert_eq!(bench.later(1), ["1 <- beacon HE=10 RP=10", "2 <- beacon HE=10 RP=10"]);
    assert_eq!(bench.later(1), Vec::<String>::new());
    // a newer signature alone waits for the next sign of life
    bench.author(Land::RP).seconds += 60;
    bench.tell(1, Land::RP, 10, 10);
    assert_eq!(bench.later(limits::BEACON_MS - 2), Vec::<String>::new());
    assert_eq!(bench.later(1), ["1 <- beacon RP=10", "2 <- beacon RP=10"]);
    assert_eq!(bench.later(limits::BEACON_MS), ["1 <- beacon", "2 <- beacon"]);
}

#[test]
fn what_a_closed_or_unknown_stream_says_changes_nothing() {
    let mut bench = bench();
    bench.input(Input::SessionClosed { session: SessionId(1) });
    assert_eq!(bench.tell(1, Land::RP, 10, 10), Vec::<String>::new());
    assert_eq!(bench.tell(77, Land::RP, 10, 10), Vec::<String>::new());
    assert_eq!(bench.input(Input::SessionClosed { session: SessionId(77) }), Vec::<String>::new());
}

#[test]
fn heads_answer_the_question_that_was_asked() {
    let mut bench = bench();
    for nonce in [0, 1, u64::MAX] {
        let said = bench.say(1, Message::AskHeads(AskHeads { nonce }));
        assert_eq!(said, [format!("1 <- heads #{nonce}")]);
    }
}

/// The clock of RP runs ahead by two hours for a moment, and is right again.
#[test]
fn a_head_from_the_future_gives_way_to_those_after_it() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let state = |bench: &Bench| {
        let status = bench.node.status(bench.now);
        status.logs.iter().find(|it| it.log == log(Land::RP)).map(|it| it.state)
    };
    let begun = bench.author(Land::RP).seconds;
    bench.author(Land::RP).seconds = begun + 7_200;
    bench.tell(1, Land::RP, 10, 10);
    for step in 1..=30 {
        bench.later(10_000);
        bench.author(Land::RP).seconds = begun + 10 * step;
        let said = bench.tell(1, Land::RP, 10, 10);
        assert!(!said.iter().any(|it| it.contains("replayed")), "{said:?}");
        assert_eq!(state(&bench), Some(LogState::Live), "{step}");
    }
    // one that is withheld shows as before
    for _ in 0..20 {
        bench.later(10_000);
        bench.tell(1, Land::RP, 10, 10);
    }
    assert_eq!(state(&bench), Some(LogState::Stale));
}

/// The clock of RP was right and now runs ahead by a quarter of an hour.
#[test]
fn a_clock_that_runs_ahead_is_named() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let shown = |bench: &Bench| {
        let status = bench.node.status(bench.now);
        let rp = status.logs.iter().find(|it| it.log == log(Land::RP));
        rp.map(|it| (it.state, it.ahead_seconds / 60))
    };
    let begun = u64::try_from(bench.now.wall_ms / 1_000).unwrap();
    let mut told = Vec::new();
    for step in 1..=20 {
        bench.later(10_000);
        bench.author(Land::RP).seconds = begun + 930 + 10 * step;
        told.extend(bench.tell(1, Land::RP, 10, 10));
    }
    assert_eq!(told.iter().filter(|it| it.contains("ms ahead")).count(), 1, "{told:?}");
    assert_eq!(shown(&bench), Some((LogState::Stale, 15)));
    // NTP is back
    bench.author(Land::RP).seconds = begun + 200;
    bench.tell(1, Land::RP, 10, 10);
    assert_eq!(shown(&bench), Some((LogState::Live, 0)));
}

/// RP signs twice within a second, and nothing of the second comes to the disk here.
#[test]
fn a_head_that_grew_within_a_second_is_told_with_the_next_sign_of_life() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::HE);
    delivers(&mut bench, 1, Land::RP);
    bench.later(1);
    assert_eq!(bench.later(limits::BEACON_MS), ["1 <- beacon", "2 <- beacon"]);
    bench.author(Land::RP).append(2);
    bench.tell(1, Land::RP, 12, 12);
    let said = bench.later(limits::BEACON_MS);
    assert!(said.contains(&"2 <- beacon RP=10".to_owned()), "{said:?}");
}
