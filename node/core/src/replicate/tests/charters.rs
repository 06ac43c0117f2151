//! A node that is behind asks partners for later charters, and takes what is proved alone.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    charter::{Charter, CharterVote, CitedVote},
    log::{Hash, leaf_hash},
    terms::Land::{self, HE, RP, TH},
    wire::{
        peer::{AskCharters, CharterStep, Charters, Hello, peer_message::Message},
        registry::{self as wire, CharterDecision},
    },
};

use crate::{
    authorize::PeerIdentity,
    charter::decision,
    limits,
    node::Input,
    replicate::{Hindrance, SessionId},
    status::LaterState,
    testing::{Bench, partner},
};

/// A charter after another one, which differs by this quota.
fn next(of: &Charter, entries_per_day: u64) -> Charter {
    let mut next = of.draft_of_next();
    next.members[0].quota = Some(wire::Quota { entries_per_day, ..wire::Quota::default() });
    of.successor(next.encode_to_vec().into()).expect("a successor").0
}

/// HE, RP and TH vote for it in their logs; what proves that.
fn decided(bench: &mut Bench, before: &Charter, next: &Charter) -> CharterStep {
    let vote = CharterVote {
        predecessor: before.digest(),
        round: 1,
        successor: Some(next.raw().clone()),
        cited: vec![],
    };
    let votes = [HE, RP, TH].map(|land| {
        let author = bench.author(land);
        author.append_vote(&vote);
        author.standing(usize::try_from(author.size()).expect("few") - 1)
    });
    let decision = decision::assemble(before, next, votes.to_vec()).expect("proved");
    CharterStep { charter: next.raw().clone(), decision: decision.encode_to_vec().into() }
}

/// Two charters after that of the bench, and what proves each.
fn two(bench: &mut Bench) -> Vec<CharterStep> {
    let genesis = bench.charter.clone();
    let first = next(&genesis, 7);
    let second = next(&first, 8);
    vec![decided(bench, &genesis, &first), decided(bench, &first, &second)]
}

/// A stream with a partner that runs under this charter.
fn connect(bench: &mut Bench, session: u64, land: Land, charter: u64) {
    bench.dial(session, land, true);
    let mut hello = bench.hello(land);
    hello.charter = charter;
    bench.say(session, Message::Hello(hello));
}

/// Lets time pass in which everybody is heard; which of these was asked.
fn asked(bench: &mut Bench, sessions: &[u64], ms: u64) -> Vec<u64> {
    let mut asked = Vec::new();
    let mut left = ms;
    while left > 0 {
        let step = left.min(5_000);
        left -= step;
        for session in sessions {
            bench.say(*session, Message::Beacon(Default::default()));
        }
        let said = bench.later(step);
        let ask = |it: &String| it.strip_suffix(" <- ask charters from 1")?.parse::<u64>().ok();
        asked.extend(said.iter().filter_map(ask));
    }
    asked
}

fn answer(bench: &mut Bench, session: u64, steps: Vec<CharterStep>) -> Vec<String> {
    bench.say(session, Message::Charters(Charters { from: 1, steps, differs: false }))
}

fn state(bench: &Bench) -> Option<LaterState> {
    bench.node.status(bench.now).later_charter.map(|it| it.state)
}

/// RP (session 1) runs under charter 2; it was asked just now.
fn asking() -> Bench {
    let mut bench = Bench::open();
    connect(&mut bench, 1, RP, 2);
    assert_eq!(state(&bench), Some(LaterState::Waiting));
    // the votes had their time first
    assert!(asked(&mut bench, &[1], limits::CHARTERS_WAIT_MS - 1_000).is_empty());
    assert_eq!(asked(&mut bench, &[1], 1_000), [1]);
    assert_eq!(state(&bench), Some(LaterState::Asked));
    bench
}

#[test]
fn what_is_proved_is_followed_and_nothing_is_asked_of_who_is_not_ahead() {
    let mut bench = asking();
    let steps = two(&mut bench);
    assert_eq!(answer(&mut bench, 1, steps.clone()), ["follow charters 1 2 of RP"]);
    assert_eq!(state(&bench), Some(LaterState::Told));
    // once is enough; what comes unasked is nobody's
    assert_eq!(answer(&mut bench, 1, steps), Vec::<String>::new());
    assert!(asked(&mut bench, &[1], 60_000).is_empty());

    let mut bench = Bench::open();
    connect(&mut bench, 1, RP, 0);
    assert!(asked(&mut bench, &[1], 60_000).is_empty());
    assert_eq!(state(&bench), None);
}

#[test]
fn the_question_names_the_charter_in_force() {
    let mut bench = Bench::open();
    connect(&mut bench, 1, RP, 2);
    let mut effects = bench.pass(limits::CHARTERS_WAIT_MS - 1);
    bench.say(1, Message::Beacon(Default::default()));
    bench.freeze(1);
    effects.extend(bench.handle(Input::Tick));
    let ask = effects.into_iter().find_map(|it| match it {
        crate::node::Effect::Send { message: Message::AskCharters(ask), .. } => Some(ask),
        _ => None,
    });
    let digest = Bytes::copy_from_slice(bench.charter.digest().as_bytes());
    assert_eq!(ask, Some(AskCharters { from: 1, predecessor: digest }));
}

#[test]
fn votes_that_still_come_go_first_but_not_for_ever() {
    let mut bench = Bench::open();
    bench.author(HE).append(10);
    connect(&mut bench, 1, RP, 2);
    bench.tell(1, HE, 10, 10);
    // ten entries are known and come from nobody but who was asked for them
    let least = limits::CHARTERS_WAIT_MS_MAX - 5_000;
    assert!(asked(&mut bench, &[1], least).is_empty());
    assert_eq!(asked(&mut bench, &[1], 5_000), [1]);
}

#[test]
fn who_shows_what_is_no_proof_is_told_apart_and_changes_nothing() {
    type Change = fn(&mut Vec<CharterStep>);
    fn proof(step: &mut CharterStep, change: impl FnOnce(&mut CharterDecision)) {
        let mut decision = CharterDecision::decode(&step.decision[..]).expect("a decision");
        change(&mut decision);
        step.decision = decision.encode_to_vec().into();
    }
    let cases: [(&str, Change); 8] = [
        ("charter_proof", |all| all[0].decision = Bytes::new()),
        ("charter_proof", |all| all[1].decision = all[0].decision.clone()),
        ("charter_proof", |all| all[0].decision = Bytes::from_static(b"\xff")),
        ("charter_proof", |all| proof(&mut all[0], |it| drop(it.votes.pop()))),
        ("charter_proof", |all| {
            proof(&mut all[1], |it| it.votes[0].checkpoint = it.votes[1].checkpoint.clone());
        }),
        ("charter", |all| drop(all.remove(0))),
        ("charter", |all| all[0].charter = Bytes::from_static(b"\xff")),
        ("too_many_charters", |all| {
            *all = vec![all[0].clone(); limits::CHARTERS_ANSWER_MAX + 1];
        }),
    ];
    for (label, change) in cases {
        let mut bench = asking();
        let mut steps = two(&mut bench);
        change(&mut steps);
        let said = answer(&mut bench, 1, steps);
        assert_eq!(said, [format!("fault RP {label}"), format!("close 1 {label}")]);
        // it is not asked again soon, and others are
        connect(&mut bench, 2, RP, 2);
        connect(&mut bench, 3, HE, 1);
        let rest = limits::CHARTERS_WAIT_MS + 5_000;
        assert_eq!(asked(&mut bench, &[2, 3], rest), [3]);
    }
    // another charter than the one they voted for
    let mut bench = asking();
    let mut steps = two(&mut bench);
    steps[0].charter = next(&bench.charter, 9).raw().clone();
    let said = answer(&mut bench, 1, steps);
    assert_eq!(said, ["fault RP charter_proof", "close 1 charter_proof"]);
}

#[test]
fn who_has_no_proof_or_another_chain_does_nothing_wrong_and_others_are_asked() {
    let told = |steps, differs| Charters { from: 1, steps, differs };
    let mut newer = wire::Charter { format_level: 9, number: 1, ..wire::Charter::default() };
    newer.name = "neue Regeln".to_owned();
    let newer = CharterStep { charter: newer.encode_to_vec().into(), decision: Bytes::new() };
    for (lapse, told, expect) in [
        ("unproved_charter", Some(told(vec![], false)), LaterState::Unproved),
        ("other_charter", Some(told(vec![], true)), LaterState::Differs),
        ("unreadable_charter", Some(told(vec![newer], false)), LaterState::Unreadable),
        ("unproved_charter", None, LaterState::Unproved),
    ] {
        let mut bench = asking();
        connect(&mut bench, 2, TH, 9);
        match told {
            Some(told) => assert_eq!(bench.say(1, Message::Charters(told)), Vec::<String>::new()),
            // who does not answer is given up
            None => {
                let rest = limits::CHARTERS_ANSWER_MS - 5_000;
                assert!(asked(&mut bench, &[1, 2], rest).is_empty());
            }
        }
        assert_eq!(asked(&mut bench, &[1, 2], limits::CHARTERS_WAIT_MS), [2]);
        assert_eq!(bench.lapses, [format!("lapse RP {lapse}")]);
        let said = answer(&mut bench, 2, vec![]);
        assert_eq!((said, state(&bench)), (vec![], Some(expect)));
        // some minutes later they are asked again
        assert!(!asked(&mut bench, &[1, 2], limits::CHARTERS_RETRY_MS).is_empty());
    }
}

/// RP votes for `other` in round 1, HE for the next charter, and TH for none; in round 2 all are for that.
fn decided_later(bench: &mut Bench, other: Bytes) -> CharterStep {
    let genesis = bench.charter.clone();
    let next = next(&genesis, 7);
    let for_next = || Some(next.raw().clone());
    let mut votes = Vec::new();
    let mut says = |land, round, successor, cited: &[CitedVote]| {
        let (predecessor, cited) = (genesis.digest(), cited.to_vec());
        let author = bench.author(land);
        author.append_vote(&CharterVote { predecessor, round, successor, cited });
        let vote = author.standing(usize::try_from(author.size()).expect("few") - 1);
        let leaf = leaf_hash(&vote.header);
        votes.push(vote);
        CitedVote { land, leaf }
    };
    let first = [(HE, for_next()), (RP, Some(other)), (TH, None)];
    let cited = first.map(|(land, successor)| says(land, 1, successor, &[]));
    for land in [HE, RP, TH] {
        says(land, 2, for_next(), &cited);
    }
    let decision = decision::gather(&genesis, &next, votes);
    assert_eq!((decision.votes.len(), decision.others.len()), (6, 1));
    CharterStep { charter: next.raw().clone(), decision: decision.encode_to_vec().into() }
}

#[test]
fn who_shows_a_decision_that_rests_on_a_proposal_of_newer_software_does_nothing_wrong() {
    type Change = fn(&mut wire::Charter);
    let (followed, lapse) = (["follow charters 1 of RP"], ["lapse RP unreadable_charter"]);
    let fault = ["fault RP charter_proof", "close 1 charter_proof"];
    let cases: [(&str, Change, &[&str], &[&str]); 3] = [
        ("readable", |_| {}, &followed, &[]),
        ("newer", |it| it.format_level = 9, &[], &lapse),
        // that follows another charter whatever the software
        ("foreign", |it| it.predecessor = vec![1; 32].into(), &fault, &[]),
    ];
    for (what, change, said, lapses) in cases {
        let mut bench = asking();
        let mut other = bench.charter.draft_of_next();
        other.members[1].quota = Some(wire::Quota { entries_per_day: 9, ..wire::Quota::default() });
        change(&mut other);
        let step = decided_later(&mut bench, other.encode_to_vec().into());
        assert_eq!(answer(&mut bench, 1, vec![step]), said, "{what}");
        assert_eq!(bench.lapses, lapses, "{what}");
    }
}

#[test]
fn what_hinders_the_node_is_shown_until_it_goes_on() {
    for (why, expect) in [
        (Hindrance::Contradicted, LaterState::Contradicted),
        (Hindrance::Unusable, LaterState::Stuck),
    ] {
        let mut bench = asking();
        let steps = two(&mut bench);
        connect(&mut bench, 2, TH, 9);
        let follow = ["follow charters 1 2 of RP"];
        assert_eq!(answer(&mut bench, 1, steps.clone()), follow);
        // nobody else is asked while it may be about to begin again
        assert!(asked(&mut bench, &[1, 2], 60_000).is_empty());
        assert_eq!(state(&bench), Some(LaterState::Told));
        bench.input(Input::Hindered { peer: partner(RP), why });
        assert_eq!(asked(&mut bench, &[1, 2], 5_000), [2]);
        // who proves nothing does not hide it
        answer(&mut bench, 2, vec![]);
        assert_eq!(state(&bench), Some(expect));
        while asked(&mut bench, &[1, 2], 5_000).is_empty() {
            assert_eq!(state(&bench), Some(expect));
        }
        assert_eq!(state(&bench), Some(expect), "asked again");
        assert_eq!(answer(&mut bench, 1, steps), follow);
        assert_eq!(state(&bench), Some(expect), "told again");
        // no word of what became of it
        asked(&mut bench, &[1, 2], limits::CHARTERS_FOLLOW_MS);
        assert_eq!(state(&bench), Some(LaterState::Stuck));
    }
}

#[test]
fn who_is_never_asked_does_not_hide_for_ever_that_nobody_proves_anything() {
    let mut bench = asking();
    answer(&mut bench, 1, vec![]);
    // it leaves before its time comes, each time
    let mut shown = Vec::new();
    for session in 2..=limits::CHARTERS_RETRY_MS / 10_000 + 2 {
        connect(&mut bench, session, TH, 9);
        asked(&mut bench, &[1, session], 10_000);
        shown.extend(state(&bench));
        bench.input(Input::SessionClosed { session: SessionId(session) });
    }
    assert_eq!(
        (shown.first(), shown.last()),
        (Some(&LaterState::Waiting), Some(&LaterState::Unproved))
    );
}

/// A stream with one of many nodes of Rheinland-Pfalz that claims a charter far ahead.
fn connect_liar(bench: &mut Bench, session: u64, number: u64) {
    let peer = PeerIdentity { land: RP, node: format!("rp-{number}.example") };
    let hello = Hello { charter: 1_000_000_000, node: peer.node.clone(), ..bench.hello(RP) };
    let session = SessionId(session);
    bench.input(Input::SessionOpened { session, peer, dialled: false });
    bench.input(Input::Received { session, message: Message::Hello(hello) });
}

#[test]
fn who_leaves_before_it_answers_has_had_its_turn() {
    let mut bench = Bench::open();
    connect_liar(&mut bench, 1, 1);
    connect_liar(&mut bench, 2, 2);
    connect(&mut bench, 3, HE, 1);
    assert_eq!(asked(&mut bench, &[1, 2, 3], limits::CHARTERS_WAIT_MS), [1]);
    // it waits as long as it may and comes again
    assert!(asked(&mut bench, &[1, 2, 3], limits::CHARTERS_ANSWER_MS - 5_000).is_empty());
    bench.input(Input::SessionClosed { session: SessionId(1) });
    connect_liar(&mut bench, 4, 1);
    assert_eq!(asked(&mut bench, &[2, 3, 4], 5_000), [3]);
    assert_eq!(bench.lapses, ["lapse RP unproved_charter"]);
    // what it proves counts
    let steps = two(&mut bench);
    assert_eq!(answer(&mut bench, 3, steps), ["follow charters 1 2 of HE"]);
}

#[test]
fn many_nodes_of_one_land_take_no_turn_from_another() {
    let mut bench = Bench::open();
    let liars = 1..=20;
    for session in liars.clone() {
        connect_liar(&mut bench, session, session);
    }
    connect(&mut bench, 30, HE, 1);
    let sessions: Vec<u64> = liars.chain([30]).collect();
    // nobody answers; asked all the time, each for half a minute
    let (mut turns, mut ms) = (Vec::new(), 0);
    while ms < 3 * limits::CHARTERS_RETRY_MS {
        let asked = asked(&mut bench, &sessions, 5_000);
        ms += 5_000;
        turns.extend(asked.contains(&30).then_some(ms));
    }
    let most = limits::CHARTERS_RETRY_MS + 3 * limits::CHARTERS_ANSWER_MS;
    assert!(turns.len() >= 2 && turns[0] < 60_000, "{turns:?}");
    assert!(turns.windows(2).all(|it| it[1] - it[0] <= most), "{turns:?}");
}

#[test]
fn a_partner_is_answered_once_in_a_while() {
    let mut bench = Bench::open();
    connect(&mut bench, 1, RP, 0);
    let digest = Bytes::copy_from_slice(Hash::of(b"a charter").as_bytes());
    let ask = |predecessor| Message::AskCharters(AskCharters { from: 4, predecessor });
    assert_eq!(bench.say(1, ask(digest.clone())), ["1 <- charters from 4"]);
    asked(&mut bench, &[1], limits::CHARTERS_SHOWN_EVERY_MS);
    assert_eq!(bench.say(1, ask(Bytes::new())), Vec::<String>::new());
    assert_eq!(bench.say(1, ask(digest)), ["fault RP asked_again", "close 1 asked_again"]);
    assert!(bench.node.status(bench.now).connected.is_empty());
}
