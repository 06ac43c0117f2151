//! Two histories of one log: from which entry on they are disputed, by who cosigned what and who can be
//! asked about it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use registry_proto::{
    evidence::Equivocation,
    log::{prove_consistency, tree_root},
    terms::Land::{self, HE, RP, SL, TH},
    wire::peer::{AskBeginning, Beginning, Evidence, peer_message::Message},
};

use super::{
    bench, delivers,
    testimony::{attested, cosignature, cosigned_entries, later, say_cosigned},
};
use crate::{
    limits,
    node::{Effect, Input},
    replicate::{Found, Look, SessionId},
    testing::{Author, Bench, brief, heads, log, signer},
};

/// What a partner says who is asked for a beginning.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// What the history has that it holds: the one here, or the other.
    Here,
    Other,
    /// A root that fits, and a proof that does not.
    Lies,
    Nothing,
}

/// A history of the log of RP that begins with the first entries of the one here, and then is another.
fn history(bench: &Bench, fork: u64, size: u64) -> Author {
    let mut other = Author::new(bench.charter.id(), RP, signer(RP));
    other.append(fork);
    (fork..size).for_each(|_| other.append_with(b"other", |_| ()));
    other
}

fn found(author: &Author, size: u64, of: u64) -> Option<Found> {
    let held = size <= of && of <= author.size();
    let look = || {
        let root = tree_root(author, size).expect("held");
        Found { root, proof: prove_consistency(author, size, of).expect("held") }
    };
    held.then(look)
}

fn answer(ask: &AskBeginning, says: Says, here: &Author, other: &Author) -> Option<Message> {
    let found = match says {
        Says::Here => found(here, ask.size, ask.of),
        Says::Other => found(other, ask.size, ask.of),
        Says::Lies => found(here, ask.size, here.size()),
        Says::Nothing => return None,
    };
    let bytes = |it: &registry_proto::log::Hash| Bytes::copy_from_slice(it.as_bytes());
    Some(Message::Beginning(Beginning {
        land: ask.land.clone(),
        epoch: ask.epoch,
        size: ask.size,
        of: ask.of,
        root: found.as_ref().map(|it| bytes(&it.root)).unwrap_or_default(),
        proof: found.iter().flat_map(|it| it.proof.iter().map(bytes)).collect(),
    }))
}

/// Lets the node ask until it has nothing more to ask; how often it asked a partner.
fn ask_all(
    bench: &mut Bench,
    partners: &BTreeMap<u64, Says>,
    here: &Author,
    other: &Author,
) -> usize {
    let mut asked = 0;
    // longer than it waits for anybody
    for _ in 0..40 {
        bench.pass(2_000);
        let mut effects: VecDeque<Effect> = bench.handle(Input::Tick).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Look(look) => {
                    assert_eq!((look.log, look.asked_by), (log(RP), None));
                    let found = found(here, look.size, look.of);
                    effects.extend(bench.handle(Input::Looked { look, found }));
                }
                Effect::Send { session, message: Message::AskBeginning(ask) } => {
                    asked += 1;
                    assert!(asked < 50, "it asks without end");
                    let says = partners.get(&session.0).copied().expect("a partner that is there");
                    if let Some(message) = answer(&ask, says, here, other) {
                        effects.extend(bench.handle(Input::Received { session, message }));
                    }
                }
                _ => {}
            }
        }
        // all of them are there
        for session in partners.keys() {
            bench.handle(beacon(*session));
        }
    }
    asked
}

fn beacon(session: u64) -> Input {
    let message = Message::Beacon(registry_proto::wire::peer::Beacon { heads: Vec::new() });
    Input::Received { session: SessionId(session), message }
}

/// Evidence that the owner signed both.
fn evidence(one: &Author, other: &Author) -> Bytes {
    let (small, large) = if one.size() < other.size() { (one, other) } else { (other, one) };
    let (size, of) = (small.size(), large.size());
    let (small_note, large_note) = (small.signed(size), large.signed(of));
    if size == of {
        return Equivocation::of_one_size(&small_note, &large_note).expect("two").raw().clone();
    }
    let Found { root, proof } = found(large, size, of).expect("held");
    let proved = Equivocation::of_two_sizes(&small_note, &large_note, &root, &proof);
    proved.expect("two histories").raw().clone()
}

/// What members cosigned: of the history here or of the other, and how much.
type Votes = &'static [(Land, bool, u64)];

/// The node holds ten entries and has cosigned them, and knows of another history; both histories.
#[track_caller]
fn disputed(fork: u64, other: u64, partners: &[(u64, Land, Says)]) -> (Bench, Author, Author) {
    let mut bench = bench();
    delivers(&mut bench, 1, RP);
    let ordered = later(&mut bench, 1);
    attested(&mut bench, &ordered);
    let here = history(&bench, 12, 12);
    let other = history(&bench, fork, other);
    bench.input(Input::SessionClosed { session: SessionId(2) });
    for (session, land, _) in partners.iter().filter(|it| it.0 != 1) {
        bench.connect(*session, *land);
    }
    let proof = evidence(&history(&bench, 10, 10), &other);
    bench.say(1, Message::Evidence(Evidence { items: vec![proof] }));
    (bench, here, other)
}

/// Two of the four members besides have to vouch for an entry that is not disputed.
#[track_caller]
fn check(fork: u64, other: u64, votes: Votes, partners: &[(u64, Land, Says)], expected: u64) {
    let (mut bench, here, other) = disputed(fork, other, partners);
    let mut says: BTreeMap<_, _> = partners.iter().map(|it| (it.0, it.2)).collect();
    says.entry(1).or_insert(Says::Nothing);
    for (witness, is_here, size) in votes {
        let of = if *is_here { &here } else { &other };
        say_cosigned(&mut bench, 1, vec![cosignature(of, *size, *witness)]);
        ask_all(&mut bench, &says, &here, &other);
    }
    assert_eq!(cosigned_entries(&bench), expected);
    assert_eq!(ask_all(&mut bench, &says, &here, &other), 0, "it asks again");
}

#[test]
fn who_cosigned_another_history_vouches_for_what_it_shares_with_the_one_here() {
    const VOTES: Votes = &[(HE, true, 10), (TH, false, 11)];
    let has_it = &[(4, TH, Says::Other)];
    for fork in 0..10 {
        check(fork, 11, VOTES, has_it, fork);
    }
    // of the same size, smaller, and both others on the other side
    check(8, 10, &[(HE, true, 10), (TH, false, 10)], has_it, 8);
    check(3, 9, &[(HE, true, 10), (TH, false, 9)], has_it, 3);
    check(6, 11, &[(HE, false, 9), (TH, false, 11)], has_it, 6);
    // it cosigned no more than a part of what both have
    check(8, 11, &[(HE, true, 10), (TH, false, 5)], has_it, 5);
    check(8, 11, &[(HE, true, 4), (TH, false, 11)], has_it, 4);
    // more than what is here
    check(8, 11, &[(HE, true, 12), (TH, true, 10)], &[(3, HE, Says::Here)], 10);
    // the owner has it too, and itself it does not count
    check(7, 11, VOTES, &[(1, RP, Says::Other)], 7);
    check(7, 11, &[(HE, true, 10), (RP, false, 11)], &[(1, RP, Says::Other)], 0);
}

#[test]
fn who_does_not_have_it_or_lies_changes_nothing_and_another_is_asked() {
    const VOTES: Votes = &[(HE, true, 10), (TH, false, 11)];
    for says in [Says::Here, Says::Lies, Says::Nothing] {
        check(7, 11, VOTES, &[(4, TH, says)], 0);
        check(7, 11, VOTES, &[(4, TH, says), (3, HE, Says::Other)], 7);
        check(7, 11, VOTES, &[(1, RP, says), (3, HE, Says::Other)], 7);
    }
    // what it cosigned of the history here before stays, whoever can be asked
    const BEFORE: Votes = &[(HE, true, 10), (TH, true, 5), (TH, false, 11)];
    check(7, 11, BEFORE, &[], 5);
    check(7, 11, BEFORE, &[(4, TH, Says::Lies)], 5);
    check(7, 11, BEFORE, &[(4, TH, Says::Other)], 7);
    check(3, 11, &[(HE, true, 10), (TH, true, 5), (TH, false, 11)], &[(4, TH, Says::Other)], 5);
}

#[test]
fn a_beginning_is_told_to_who_asks_if_it_is_held() {
    let mut bench = bench();
    delivers(&mut bench, 1, RP);
    let check = |bench: &mut Bench, land: &str, size, of, expected: &str| {
        let ask = AskBeginning { land: land.to_owned(), epoch: 1, size, of };
        assert_eq!(bench.say(2, Message::AskBeginning(ask)), [expected.to_owned()]);
    };
    check(&mut bench, "XX", 1, 2, "2 <- no beginning XX/1 1 of 2");
    check(&mut bench, "RP", 0, 2, "2 <- no beginning RP/1 0 of 2");
    check(&mut bench, "RP", 2, 2, "2 <- no beginning RP/1 2 of 2");
    check(&mut bench, "RP", 2, 11, "2 <- no beginning RP/1 2 of 11");
    check(&mut bench, "RP", 9, 10, "look RP/1 at 9 of 10");
    // one at a time, and who asks for another hears at once that it will not come
    check(&mut bench, "RP", 3, 10, "2 <- no beginning RP/1 3 of 10");
    for (told, words) in [(true, "a"), (false, "no")] {
        let look = Look { log: log(RP), size: 9, of: 10, asked_by: Some(SessionId(2)) };
        let found = found(bench.author(RP), 9, 10).filter(|_| told);
        let said = bench.handle(Input::Looked { look, found });
        let said: Vec<String> = said.iter().map(brief).collect();
        assert_eq!(said, [format!("2 <- {words} beginning RP/1 9 of 10")]);
        check(&mut bench, "RP", 9, 10, "look RP/1 at 9 of 10");
    }
    // an answer that nobody waits for
    let told =
        Beginning { land: "RP".to_owned(), epoch: 1, size: 9, of: 10, ..Beginning::default() };
    assert!(bench.say(2, Message::Beginning(told)).is_empty());
}

#[test]
fn who_asks_for_more_beginnings_than_the_disk_is_read_for_is_left() {
    let mut bench = bench();
    let ask =
        || Message::AskBeginning(AskBeginning { land: "RP".to_owned(), epoch: 1, size: 1, of: 2 });
    let answered = |bench: &mut Bench, count: u64| {
        (0..count).for_each(|_| {
            assert_eq!(bench.say(2, ask()), ["2 <- no beginning RP/1 1 of 2"]);
        });
    };
    answered(&mut bench, limits::BEGINNINGS_BURST_MAX);
    bench.pass(1_000);
    answered(&mut bench, limits::BEGINNINGS_PER_SECOND);
    let said = bench.say(2, ask());
    assert!(said.contains(&"close 2 too_fast".to_owned()), "{said:?}");
}

#[test]
fn a_node_begins_no_searches_faster_than_partners_let_it_ask() {
    let (mut bench, here, other) = disputed(7, 11, &[(4, TH, Says::Nothing)]);
    for (of, size, witness) in [(&here, 10, HE), (&other, 11, TH), (&other, 9, HE)] {
        say_cosigned(&mut bench, 1, vec![cosignature(of, size, witness)]);
    }
    let mut searched = Vec::new();
    for _ in 0..60 {
        bench.freeze(200);
        for effect in bench.handle(Input::Tick) {
            if let Effect::Look(look) = effect {
                searched.push(bench.now.mono_ms);
                // the disk cannot tell, so the next one may begin
                bench.handle(Input::Looked { look, found: None });
            }
        }
    }
    assert!(searched.len() > 1, "{searched:?}");
    let soon = |it: &[u64]| it[1] - it[0] < limits::BEGINNINGS_SEARCH_MS;
    assert!(!searched.windows(2).any(soon), "{searched:?}");
}

#[test]
fn of_what_is_kept_back_no_beginning_is_told() {
    let mut own = Author::new(bench().charter.id(), SL, signer(SL));
    own.append(6);
    let mut bench = Bench::with(|it| it.logs = vec![own.recovered(6, 6)]);
    bench.connect(1, TH);
    let ask =
        || Message::AskBeginning(AskBeginning { land: "SL".to_owned(), epoch: 1, size: 3, of: 6 });
    assert_eq!(bench.say(1, ask()), ["1 <- no beginning SL/1 3 of 6"]);
    let said = bench.say(1, Message::Heads(heads(vec![own.head(6, 6)], 1)));
    assert!(said.contains(&"fence open".to_owned()), "{said:?}");
    assert_eq!(bench.say(1, ask()), ["look SL/1 at 3 of 6"]);
}
