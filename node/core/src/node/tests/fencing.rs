//! When the fence opens and closes, and what becomes of those who wait.

use registry_proto::{
    log::{Hash, Header, Kind},
    terms::Land,
    wire::peer::{Beacon, Head, peer_message::Message},
};

use super::{commits, publishes, words};
use crate::{
    fence::{FencePolicy, Ordered},
    limits,
    node::{Input, Node, NotAMember, Setup},
    now::Now,
    replicate::SessionId,
    testing::{Author, Bench, LAENDER, charter, definition, heads, peer, signer},
};

fn answer(bench: &mut Bench, session: u64, nonce: u64) -> Vec<String> {
    let own = bench.author(Land::SL).head(0, 0);
    bench.say(session, Message::Heads(heads(vec![own], nonce)))
}

/// The wall clock jumps by this much within a millisecond.
fn jump(bench: &mut Bench, ms: i64) {
    bench.now.mono_ms += 1;
    bench.now.wall_ms += ms;
}

#[track_caller]
fn check_fenced(bench: &mut Bench) {
    assert_eq!(words(&bench.submit(99, definition(99))), ["reply 99 FENCED"]);
    assert!(!bench.node.status(bench.now).fence_open);
}

#[test]
fn only_the_answer_of_a_partner_to_the_own_question_opens() {
    let mut bench = Bench::new();
    check_fenced(&mut bench);
    assert_eq!(bench.connect(1, Land::RP), ["1 <- ask #1"]);
    // Heads nobody asked for, an answer to another question, one without the own log, news
    assert_eq!(answer(&mut bench, 1, 0), Vec::<String>::new());
    assert_eq!(answer(&mut bench, 1, 2), Vec::<String>::new());
    bench.say(1, Message::Heads(heads(Vec::new(), 1)));
    let own = bench.author(Land::SL).head(0, 0);
    bench.say(1, Message::Beacon(Beacon { heads: vec![own] }));
    check_fenced(&mut bench);
    // another node of the own Land vouches for nothing
    bench.connect(2, Land::SL);
    assert_eq!(answer(&mut bench, 2, 1), Vec::<String>::new());
    check_fenced(&mut bench);
    assert_eq!(answer(&mut bench, 1, 1), ["fence open"]);
    commits(&mut bench, 1, definition(1));
}

#[test]
fn heads_are_answered_while_the_own_fence_is_closed() {
    let mut bench = Bench::new();
    bench.connect(1, Land::RP);
    let ask = registry_proto::wire::peer::AskHeads { nonce: 77 };
    assert_eq!(bench.say(1, Message::AskHeads(ask)), ["1 <- heads #77"]);
}

#[test]
fn the_question_is_asked_again_every_five_seconds() {
    let mut bench = Bench::new();
    bench.connect(1, Land::RP);
    let asks = |said: Vec<String>| said.into_iter().filter(|it| it.contains("ask")).count();
    assert_eq!(asks(bench.later(limits::BEACON_MS - 1)), 0);
    assert_eq!(asks(bench.later(1)), 1);
    assert_eq!(asks(bench.later(1)), 0);
    assert_eq!(asks(bench.later(limits::BEACON_MS)), 1);
    // one that was refused is not asked
    bench.dial(2, Land::TH, true);
    assert!(!answer(&mut bench, 2, 1).iter().any(|it| it.contains("ask")));
}

#[test]
fn a_jump_of_the_clock_closes_before_anything_is_signed() {
    for ms in [limits::CLOCK_JUMP_MS + 2, -limits::CLOCK_JUMP_MS] {
        // the first thing the machine hears after it was asleep is a submission
        let mut bench = Bench::open();
        jump(&mut bench, ms);
        assert_eq!(words(&bench.submit(1, definition(1))), ["fence closed", "reply 1 FENCED"]);
    }
    let mut bench = Bench::open();
    jump(&mut bench, limits::CLOCK_JUMP_MS + 1);
    commits(&mut bench, 1, definition(1));
    // time that both clocks saw, and in which the node ran, is no jump
    assert!(!bench.later(3_600_000).contains(&"fence closed".to_owned()));
}

#[test]
fn a_process_that_stood_still_signs_nothing_before_a_partner_answers() {
    let mut bench = Bench::open();
    bench.connect(1, Land::RP);
    // a busy machine lets a process wait for as long
    bench.freeze(limits::FROZEN_MS);
    publishes(&mut bench, 1, definition(1));
    bench.freeze(limits::FROZEN_MS + 1);
    // what waited in the queue: a submission, an answer to a question of before, a tick
    let said = words(&bench.submit(2, definition(2)));
    assert_eq!(said, ["fence closed", "reply 2 FENCED", "1 <- ask #2"]);
    assert_eq!(answer(&mut bench, 1, 1), Vec::<String>::new());
    assert!(!bench.input(Input::Tick).iter().any(|it| it.starts_with("freshen")));
    check_fenced(&mut bench);
    assert!(bench.node.status(bench.now).fence.contains("stood still"));
    assert_eq!(answer(&mut bench, 1, 2), ["fence open"]);
    // a group under way that the shell finds void is taken back, and so is what is staged behind it
    let commit = commits(&mut bench, 3, definition(3));
    bench.submit(4, definition(4));
    bench.freeze(limits::FROZEN_MS + 1);
    assert!(is_void(&bench, commit.ordered));
    let said = bench.input(Input::CommitVoid);
    assert_eq!(said, ["reply 4 FENCED", "fence closed", "reply 3 FENCED", "1 <- ask #3"]);
    assert_eq!(answer(&mut bench, 1, 3), ["fence open"]);
    let again = commits(&mut bench, 5, definition(3));
    assert_eq!(again.checkpoint.size, commit.checkpoint.size);
}

fn is_void(bench: &Bench, ordered: Ordered) -> bool {
    ordered.is_void(bench.node.pulse(), bench.now)
}

#[test]
fn what_waits_for_its_signature_while_the_node_runs_is_not_void() {
    let mut bench = Bench::open();
    bench.connect(1, Land::RP);
    // the thread that signs is busy with the disk, for example because much is to be erased
    let commit = commits(&mut bench, 1, definition(1));
    bench.later(10 * limits::FROZEN_MS);
    assert!(!is_void(&bench, commit.ordered));
    bench.committed(commit.checkpoint);
    assert_eq!(bench.folded(1), ["reply 1 [0]"]);

    // it may be told late, when a partner has answered already
    bench.connect(2, Land::RP);
    let commit = commits(&mut bench, 2, definition(2));
    bench.freeze(limits::FROZEN_MS + 1);
    bench.input(Input::Tick);
    assert_eq!(answer(&mut bench, 2, 2), ["fence open"]);
    assert!(is_void(&bench, commit.ordered));
    assert_eq!(bench.input(Input::CommitVoid), ["reply 2 FENCED"]);
    publishes(&mut bench, 3, definition(2));

    // a freshness that was dropped is signed again at once
    let freshens = |said: Vec<String>| said.into_iter().any(|it| it.starts_with("freshen"));
    assert!(freshens(bench.later(limits::FRESHNESS_RENEW_MS)));
    assert_eq!(bench.input(Input::FreshenVoid), Vec::<String>::new());
    assert!(freshens(bench.later(1)));
}

#[test]
fn a_jump_of_the_clock_makes_earlier_answers_worthless() {
    let mut bench = Bench::new();
    bench.connect(1, Land::RP);
    jump(&mut bench, 60_000);
    assert_eq!(answer(&mut bench, 1, 1), ["fence closed", "1 <- ask #2"]);
    assert_eq!(answer(&mut bench, 1, 1), Vec::<String>::new());
    assert_eq!(answer(&mut bench, 1, 2), ["fence open"]);
}

#[test]
fn a_clock_that_ran_ahead_is_forgotten_once_it_is_right() {
    let mut bench = Bench::open();
    bench.connect(1, Land::RP);
    let ahead = limits::HEAD_AHEAD_MS + limits::HEAD_BACK_MS + 60_000;
    let mut ticket = 0;
    let mut publishes_in = |bench: &mut Bench| {
        ticket += 1;
        let commit = commits(bench, ticket, definition(u128::from(ticket)));
        bench.committed(commit.checkpoint);
        bench.folded(commit.checkpoint.size);
        commit.wall_ms - bench.now.wall_ms
    };
    assert_eq!(publishes_in(&mut bench), 0);
    let confirmed = |bench: &mut Bench| {
        let asked = bench.input(Input::Tick);
        let nonce = asked.iter().find_map(|it| it.strip_prefix("1 <- ask #")).expect("asks");
        assert_eq!(answer(bench, 1, nonce.parse().expect("a number")), ["fence open"]);
    };
    jump(&mut bench, ahead);
    confirmed(&mut bench);
    assert_eq!(publishes_in(&mut bench), 0);
    jump(&mut bench, -ahead);
    confirmed(&mut bench);
    // what the clock says now is signed, at once and every minute
    assert_eq!(publishes_in(&mut bench), 0);
    let own = bench.node.own_head().expect("signed").fresh_unix_seconds;
    assert_eq!(i64::try_from(own), Ok(bench.now.wall_ms / 1_000));
    let freshens = |said: Vec<String>| said.into_iter().any(|it| it.starts_with("freshen"));
    assert!(freshens(bench.later(limits::FRESHNESS_RENEW_MS)));
}

#[test]
fn a_signature_of_a_clock_that_was_ahead_is_gone_on_from_until_nobody_can_believe_it() {
    let now = Now { mono_ms: 0, wall_ms: 1_000_500 };
    let far = (limits::HEAD_AHEAD_MS + limits::HEAD_BACK_MS) / 1_000;
    for (fresh, signs) in [
        (0, Some(1_000_500)),
        (999, Some(1_000_500)),
        (1_000, None),
        (1_001, Some(1_002_000)),
        (1_000 + far, Some((1_001 + far) * 1_000)),
        (1_001 + far, Some(1_000_500)),
        (i64::MAX, Some(1_000_500)),
    ] {
        let fresh = u64::try_from(fresh).expect("not negative");
        assert_eq!(super::super::renewed_ms(fresh, now), signs, "after {fresh}");
    }
}

#[test]
fn what_is_staged_when_the_fence_closes_is_refused_and_forgotten() {
    let mut bench = Bench::open();
    bench.connect(1, Land::RP);
    let first = commits(&mut bench, 1, definition(1));
    bench.submit(2, definition(2));
    bench.submit(3, definition(1));
    jump(&mut bench, 60_000);
    let said = bench.input(Input::Tick);
    assert_eq!(said[..2], ["reply 2 FENCED", "fence closed"]);
    // the group under way is durable all the same, and nothing is committed after it
    assert_eq!(bench.committed(first.checkpoint), Vec::<String>::new());
    assert_eq!(bench.folded(1), ["reply 1 [0]", "reply 3 [0=]"]);
    answer(&mut bench, 1, 2);
    // the service was never defined, and its index is free
    let commit = commits(&mut bench, 4, definition(2));
    let header = Header::parse(&commit.entries[0].header).expect("a header");
    assert_eq!((header.index, commit.checkpoint.size), (1, 2));
}

#[test]
fn the_freshness_is_not_signed_behind_a_closed_fence() {
    let mut bench = Bench::open();
    publishes(&mut bench, 1, definition(1));
    jump(&mut bench, 60_000);
    for _ in 0..10 {
        let said = bench.later(limits::FRESHNESS_RENEW_MS);
        assert!(!said.iter().any(|it| it.starts_with("freshen")), "{said:?}");
    }
}

#[test]
fn the_policy_available_signs_that_nobody_answered() {
    let fence = FencePolicy::Available { after_ms: 30_000 };
    // from an empty disk it never goes on alone: what was signed before is not here
    let mut empty = Bench::with(|it| it.fence = fence);
    assert_eq!(empty.later(3_600_000), Vec::<String>::new());
    check_fenced(&mut empty);

    let mut own = Author::new(charter(&LAENDER).id(), Land::SL, signer(Land::SL));
    own.append(1);
    own.seconds -= 3_600;
    let mut bench = Bench::with(|it| {
        it.fence = fence;
        it.logs = vec![own.recovered(1, 1)];
    });
    assert_eq!(bench.later(29_999), Vec::<String>::new());
    check_fenced(&mut bench);
    bench.now.mono_ms += 1;
    bench.now.wall_ms += 1;
    let effects = bench.handle(Input::Tick);
    assert_eq!(words(&effects), ["fence unfenced 30000", "commit 1..2"]);
    // stood still before that was signed: it is said again when the fence opens, and first
    bench.submit(1, definition(1));
    bench.freeze(limits::FROZEN_MS + 1);
    assert_eq!(bench.input(Input::CommitVoid), ["reply 1 FENCED", "fence closed"]);
    check_fenced(&mut bench);
    bench.connect(1, Land::RP);
    *bench.author(Land::SL) = own;
    let own = bench.author(Land::SL).head(1, 1);
    let answer = Message::Heads(heads(vec![own], 2));
    let effects = bench.handle(Input::Received { session: SessionId(1), message: answer });
    assert_eq!(words(&effects), ["fence open", "commit 1..2"]);
    let crate::node::Effect::Commit(commit) = &effects[1] else { panic!("no commit") };
    let header = Header::parse(&commit.entries[0].header).expect("a header");
    assert_eq!((header.kind, header.object_id, header.batch_end), (Kind::Unfenced, None, true));
    assert_eq!(header.principal, "node");
    // a failed disk stays one, whatever the policy
    assert_eq!(bench.input(Input::CommitFailed), ["own log failed"]);
    jump(&mut bench, 60_000);
    assert!(!bench.later(60_000).iter().any(|it| it.contains("unfenced")));
}

#[test]
fn what_the_node_has_to_say_outlives_a_key_that_does_not_sign() {
    let mut own = Author::new(charter(&LAENDER).id(), Land::SL, signer(Land::SL));
    own.append(1);
    own.seconds -= 3_600;
    let mut bench = Bench::with(|it| {
        it.fence = FencePolicy::Available { after_ms: 30_000 };
        it.logs = vec![own.recovered(1, 1)];
    });
    assert_eq!(bench.later(30_000), ["fence unfenced 30000", "commit 1..2"]);
    // a token is pulled out for a moment: it is said with the next publication, and first
    assert_eq!(bench.input(Input::CommitUnsigned), ["unsigned"]);
    assert_eq!(bench.input(Input::Tick), Vec::<String>::new(), "not without a pause");
    let effects = bench.submit(2, definition(2));
    assert_eq!(words(&effects), ["commit 1..3"]);
    let crate::node::Effect::Commit(commit) = &effects[0] else { panic!("no commit") };
    let header = |at: usize| Header::parse(&commit.entries[at].header).expect("a header").kind;
    assert_eq!([header(0), header(1)], [Kind::Unfenced, Kind::ServiceDefinition]);
    assert_eq!(bench.input(Input::CommitUnsigned), ["reply 2 SIGNING_FAILED", "unsigned"]);
    // or after a while, before anything else is signed
    let signs = |it: &String| it.starts_with("commit") || it.starts_with("freshen");
    assert!(!bench.later(limits::SIGN_RETRY_MS - 1).iter().any(signs));
    let said = bench.later(1);
    assert_eq!(said.iter().filter(|it| signs(it)).collect::<Vec<_>>(), ["commit 1..2"]);
}

#[test]
fn a_land_alone_needs_no_answer() {
    let mut bench = Bench::with(|it| it.charter = charter(&[Land::SL]));
    commits(&mut bench, 1, definition(1));
    jump(&mut bench, 60_000);
    assert!(!bench.input(Input::Tick).contains(&"fence closed".to_owned()));
}

#[test]
fn a_second_history_of_the_own_log_stops_publishing_for_good() {
    let mut bench = Bench::open();
    bench.connect(1, Land::RP);
    publishes(&mut bench, 1, definition(1));
    let commit = commits(&mut bench, 2, definition(2));
    bench.submit(3, definition(3));
    bench.committed(commit.checkpoint);
    let other = bench.author(Land::SL).lie(2, Hash::of(b"other"));
    let head = Head { size: 2, checkpoint: other, ..bench.author(Land::SL).head(0, 0) };
    let said = bench.say(1, Message::Beacon(Beacon { heads: vec![head.clone()] }));
    // ticket 3 is under way already and will be durable
    let told = ["keep evidence SL/1", "1 <- evidence 1"];
    assert_eq!(said, [["fence closed", "stopped by RP equivocation"], told].concat());
    check_fenced(&mut bench);
    // said once, and no answer opens it
    let said = bench.say(1, Message::Beacon(Beacon { heads: vec![head] }));
    assert_eq!(said, Vec::<String>::new());
    for nonce in 0..5 {
        assert_eq!(answer(&mut bench, 1, nonce), Vec::<String>::new());
    }
    bench.later(limits::BEACON_MS);
    jump(&mut bench, 60_000);
    bench.input(Input::Tick);
    check_fenced(&mut bench);
    assert!(bench.node.status(bench.now).fence.contains("two histories"));
}

#[test]
fn a_land_outside_the_charter_starts_no_node() {
    let bench = Bench::new();
    let setup = Setup {
        past: Vec::new(),
        resets: Vec::new(),
        evidence: Vec::new(),
        receipts: Vec::new(),
        cosigned: Vec::new(),
        seen: Default::default(),
        charter: bench.charter.clone(),
        me: peer(Land::BY),
        logs: Vec::new(),
        services: crate::log::OwnServices::default(),
        fence: FencePolicy::Strict,
        partners: Default::default(),
        moved: false,
        quiet_ms: 0,
        entropy: [0; 32],
    };
    assert_eq!(Node::new(setup, bench.now).err(), Some(NotAMember(Land::BY)));
}

#[test]
fn a_fence_that_nobody_answers_names_the_way_out() {
    let bench = Bench::new();
    let fence = bench.node.status(bench.now).fence;
    assert!(fence.contains("[[peers]]") && fence.contains("fence.policy"), "{fence}");
}
