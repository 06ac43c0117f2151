//! Two histories of one log: however they come to be seen, the owner is convicted, the evidence
//! verifies by itself and is passed on, and nobody is convicted who signed one history only.

use bytes::Bytes;
use registry_proto::{
    evidence::Equivocation,
    log::{Hash, SignedCheckpoint, prove_consistency, tree_root},
    terms::Land,
    wire::peer::{Beacon, Evidence, Head, peer_message::Message},
};

use super::{bench, delivers, held};
use crate::{
    limits,
    node::{Effect, Input},
    replicate::Found,
    status::LogState,
    testing::{Author, Bench, brief, definition, log, signer},
};

/// Another history of the log of a Land that begins with the same eight entries.
fn other_history(bench: &Bench, land: Land, size: u64) -> Author {
    let mut other = Author::new(bench.charter.id(), land, signer(land));
    other.append(8);
    for _ in 8..size {
        other.append_with(b"other", |_| ());
    }
    other
}

fn head_of(note: &SignedCheckpoint, held: u64) -> Head {
    let log = note.checkpoint.origin.log;
    Head {
        land: log.land.code().to_owned(),
        epoch: log.epoch,
        size: held,
        root: Bytes::new(),
        checkpoint: note.raw().clone(),
        held: Bytes::new(),
        kept: false,
    }
}

fn show(bench: &mut Bench, session: u64, head: Head) -> Vec<Effect> {
    let message = Message::Beacon(Beacon { heads: vec![head] });
    bench.handle(Input::Received { session: crate::replicate::SessionId(session), message })
}

/// The disk of the node, which holds what the author of the bench wrote, answers what is asked.
fn look(bench: &mut Bench, effects: Vec<Effect>) -> Vec<String> {
    let mut said = Vec::new();
    for effect in effects {
        let Effect::Examine(of) = effect else {
            said.push(brief(&effect));
            continue;
        };
        let (old, new) = (of.suspect.size(), of.against.size());
        let author = bench.author(of.log.land);
        let root = tree_root(author, old).expect("held");
        let proof = prove_consistency(author, old, new).expect("held");
        let found = Some(Found { root, proof });
        said.extend(bench.input(Input::Examined { examination: Box::new(of), found }));
    }
    said
}

fn state(bench: &Bench, land: Land) -> (LogState, bool) {
    let status = bench.node.status(bench.now);
    let found = status.logs.iter().find(|it| it.log == log(land)).expect("a log");
    (found.state, found.forked)
}

fn convicted(by: &str) -> Vec<String> {
    let stopped = format!("stopped by {by} equivocation");
    let told = ["keep evidence RP/1", "1 <- evidence 1", "2 <- evidence 1"].map(str::to_owned);
    [vec![stopped, "1 <- unfollow RP/1".to_owned()], told.to_vec()].concat()
}

#[test]
fn a_smaller_head_of_another_history_convicts_the_owner() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let other = other_history(&bench, Land::RP, 9);
    let effects = show(&mut bench, 2, head_of(&other.signed(9), 9));
    let said = look(&mut bench, effects);
    assert_eq!(said[0], "replayed RP/1 by TH");
    assert_eq!(said[1..], convicted("TH"));
    assert_eq!(state(&bench, Land::RP), (LogState::Quarantined, true));
    assert_eq!(held(&bench, Land::RP), 10);
    delivers(&mut bench, 1, Land::HE);
}

#[test]
fn a_smaller_head_of_the_same_history_is_looked_at_once() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let note = bench.author(Land::RP).signed(9);
    let effects = show(&mut bench, 2, head_of(&note, 9));
    let said: Vec<_> = effects.iter().map(brief).collect();
    assert_eq!(said, ["replayed RP/1 by TH", "examine RP/1 at 9 by 10"]);
    assert_eq!(look(&mut bench, effects), ["replayed RP/1 by TH"]);
    let again = show(&mut bench, 2, head_of(&note, 9));
    assert_eq!(again.iter().map(brief).collect::<Vec<_>>(), ["replayed RP/1 by TH again"]);
    assert_eq!(state(&bench, Land::RP), (LogState::Live, false));
}

#[test]
fn a_larger_head_of_another_history_convicts_once_the_entries_reach_that_far() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let other = other_history(&bench, Land::RP, 11);
    assert!(show(&mut bench, 2, head_of(&other.signed(11), 11)).is_empty(), "nothing to compare");
    // the owner goes on with the first history here, past the size of the other
    bench.author(Land::RP).append(3);
    bench.tell(1, Land::RP, 13, 13);
    bench.send(1, Land::RP, 10, 13, 13);
    let effects = bench.handle(Input::Stored { log: log(Land::RP), learned: Vec::new() });
    let said = look(&mut bench, effects);
    assert!(said.contains(&"keep evidence RP/1".to_owned()), "{said:?}");
    assert_eq!((held(&bench, Land::RP), state(&bench, Land::RP).1), (13, true));
}

#[test]
fn what_a_partner_holds_counts_beside_the_larger_head_that_it_knows() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let other = other_history(&bench, Land::RP, 9);
    let known = bench.author(Land::RP).signed(10);
    let head = Head { held: other.signed(9).raw().clone(), ..head_of(&known, 9) };
    let effects = show(&mut bench, 2, head);
    let said = look(&mut bench, effects);
    assert!(said.contains(&"keep evidence RP/1".to_owned()), "{said:?}");
}

#[test]
fn a_larger_head_does_not_hide_what_is_held_here() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let other = other_history(&bench, Land::RP, 12);
    show(&mut bench, 2, head_of(&other.signed(12), 12));
    let asked = Message::AskHeads(registry_proto::wire::peer::AskHeads { nonce: 1 });
    let session = crate::replicate::SessionId(1);
    let told = bench.handle(Input::Received { session, message: asked });
    let heads = told.iter().find_map(|it| match it {
        Effect::Send { message: Message::Heads(it), .. } => Some(it.heads.clone()),
        _ => None,
    });
    let heads = heads.expect("answered");
    let head = heads.iter().find(|it| it.land == "RP").expect("all logs");
    assert_eq!(&head.checkpoint, other.signed(12).raw());
    assert_eq!(&head.held, bench.author(Land::RP).signed(10).raw());
    let head = heads.iter().find(|it| it.land == "HE").expect("all logs");
    assert!(head.held.is_empty(), "nothing of it is held");
}

/// Evidence about the log of a Land, made somewhere else.
fn evidence(bench: &Bench, land: Land) -> Bytes {
    let mut one = Author::new(bench.charter.id(), land, signer(land));
    one.append(9);
    let other = other_history(bench, land, 12);
    let root = tree_root(&other, 9).expect("small");
    let proof = prove_consistency(&other, 9, 12).expect("small");
    let made = Equivocation::of_two_sizes(&one.signed(9), &other.signed(12), &root, &proof);
    made.expect("two histories").raw().clone()
}

#[test]
fn evidence_of_a_partner_counts_when_it_verifies_and_goes_on_to_others() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let raw = evidence(&bench, Land::RP);
    let shown = Message::Evidence(Evidence { items: vec![raw] });
    let said = bench.say(2, shown.clone());
    assert_eq!(said, convicted("TH")[..4]);
    assert_eq!(bench.say(2, shown), Vec::<String>::new(), "known by now");
    assert_eq!(held(&bench, Land::RP), 10);
    // who comes later is told as well
    bench.input(Input::SessionClosed { session: crate::replicate::SessionId(2) });
    let said = bench.dial(3, Land::TH, true);
    assert_eq!(said, ["3 <- hello", "3 <- evidence 1", "3 <- heads #0"]);
}

#[test]
fn evidence_that_proves_nothing_ends_the_session_and_stops_no_log() {
    let change = |at: usize| {
        move |bench: &Bench| {
            let mut raw = evidence(bench, Land::RP).to_vec();
            raw[at] ^= 1;
            vec![Bytes::from(raw)]
        }
    };
    let honest = |bench: &Bench| {
        let mut one = Author::new(bench.charter.id(), Land::RP, signer(Land::RP));
        one.append(12);
        let raw = Equivocation::of_two_sizes(
            &one.signed(9),
            &one.signed(12),
            &Hash::of(b"made up"),
            &prove_consistency(&one, 9, 12).expect("small"),
        );
        assert!(raw.is_err(), "no evidence can be made of one history");
        vec![Bytes::from_static(b"\xff")]
    };
    type Make = Box<dyn Fn(&Bench) -> Vec<Bytes>>;
    let cases: [(Make, &str); 4] = [
        (Box::new(honest), "evidence"),
        (Box::new(change(200)), "evidence"),
        (Box::new(change(900)), "evidence"),
        (Box::new(|_| vec![Bytes::new(); limits::MEMBERS_MAX + 1]), "too_much_evidence"),
    ];
    for (make, label) in cases {
        let mut bench = bench();
        delivers(&mut bench, 1, Land::RP);
        let items = make(&bench);
        let said = bench.say(2, Message::Evidence(Evidence { items }));
        assert_eq!(said, [format!("fault TH {label}"), format!("close 2 {label}")]);
        assert_eq!(state(&bench, Land::RP), (LogState::Live, false));
    }
}

#[test]
fn evidence_about_the_own_log_stops_signing_for_good() {
    let mut bench = bench();
    let raw = evidence(&bench, Land::SL);
    let said = bench.say(2, Message::Evidence(Evidence { items: vec![raw.clone()] }));
    let expected =
        ["stopped by TH equivocation", "keep evidence SL/1", "1 <- evidence 1", "fence closed"];
    assert_eq!(
        said.iter().filter(|it| expected.contains(&it.as_str())).count(),
        expected.len(),
        "{said:?}"
    );
    let refused: Vec<_> = bench.submit(1, definition(1)).iter().map(brief).collect();
    assert_eq!(refused, ["reply 1 FENCED"]);
    // after a restart too
    let again = Bench::with(|setup| setup.evidence = vec![raw]);
    let status = again.node.status(again.now);
    assert!(!status.fence_open && status.fence.contains("two histories"), "{}", status.fence);
    assert_eq!(state(&again, Land::SL), (LogState::Quarantined, true));
}

#[test]
fn what_was_convicted_stays_so_after_a_restart() {
    let raw = evidence(&Bench::new(), Land::RP);
    let mut bench = Bench::with(|setup| {
        setup.evidence = vec![Bytes::from_static(b"damaged"), raw];
    });
    bench.unfence();
    bench.author(Land::RP).append(10);
    bench.connect(1, Land::RP);
    let said = bench.tell(1, Land::RP, 10, 10);
    assert!(!said.iter().any(|it| it.contains("follow")), "{said:?}");
    assert_eq!(state(&bench, Land::RP), (LogState::Quarantined, true));
}

#[test]
fn heads_that_wait_to_be_compared_are_limited() {
    let mut bench = bench();
    // nothing of the log is held yet, so that all of them wait
    bench.author(Land::RP).append(90);
    for size in 11..=100 {
        bench.tell(1, Land::RP, 10, size);
    }
    bench.send(1, Land::RP, 0, 100, 100);
    let mut effects = bench.handle(Input::Stored { log: log(Land::RP), learned: Vec::new() });
    let mut looked = 0;
    while let Some(at) = effects.iter().position(|it| matches!(it, Effect::Examine(_))) {
        let Effect::Examine(of) = effects.remove(at) else { break };
        looked += 1;
        let root = *of.suspect.root();
        let found = Some(Found { root, proof: Vec::new() });
        effects = bench.handle(Input::Examined { examination: Box::new(of), found });
    }
    // the last one is what is held now
    assert_eq!(looked, limits::SUSPECTS_MAX - 1);
}
