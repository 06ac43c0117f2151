//! Entries of the own log that nobody else is known to have seen: shown when the fence opens, and set
//! aside if partners have another history.

use bytes::Bytes;
use registry_proto::{
    log::{Hash, prove_consistency, tree_root},
    terms::Land::{self, RP, SL, TH},
    wire::peer::{Beginning, Follow, peer_message::Message},
};

use crate::{
    limits,
    node::{Effect, Input},
    replicate::{Found, Seen, SessionId},
    testing::{Author, Bench, brief, charter, heads, partner, signer},
};

/// Entries on the disk of the node.
const HERE: u64 = 6;

fn history(common: u64, end: u64, words: &[u8]) -> Author {
    let verbund = charter(&crate::testing::LAENDER).id();
    let mut own = Author::new(verbund, SL, signer(SL));
    own.append(common);
    for _ in common..end {
        own.append_with(words, |_| ());
    }
    own.seconds -= 3_600;
    own
}

/// Started again with six entries, of which others have seen so many; partners have `theirs`.
fn restarted(seen: u64, theirs: Author) -> Bench {
    let mut bench = Bench::with(|it| {
        let here = history(HERE, HERE, b"");
        it.seen = Seen { size: seen, root: tree_root(&here, seen).expect("held") };
        it.logs = vec![here.recovered(HERE, HERE)];
    });
    *bench.author(SL) = theirs;
    bench
}

/// Says what the partner has; the disk answers what is asked of it, and the partner what it holds.
fn tells(bench: &mut Bench, session: u64, size: u64) -> Vec<String> {
    knows(bench, session, size, size)
}

/// The same of one that knows of more than it holds.
fn knows(bench: &mut Bench, session: u64, held: u64, size: u64) -> Vec<String> {
    let own = bench.author(SL).head(held, size);
    says(bench, session, held, Message::Heads(heads(vec![own], 1)), true)
}

fn says(
    bench: &mut Bench,
    session: u64,
    held: u64,
    message: Message,
    is_readable: bool,
) -> Vec<String> {
    let mut effects = bench.handle(Input::Received { session: SessionId(session), message });
    let mut said = Vec::new();
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            let answer = match effect {
                Effect::Examine(of) => {
                    let here = history(HERE, HERE, b"");
                    let found = found(&here, of.suspect.size(), of.against.size());
                    let found = found.filter(|_| is_readable);
                    Input::Examined { examination: Box::new(of), found }
                }
                Effect::Send { session, message: Message::AskBeginning(ask) } => {
                    said.push(format!("{} <- ask {} of {}", session.0, ask.size, ask.of));
                    let found = found(bench.author(SL), ask.size, ask.of);
                    let found = found.filter(|_| ask.of <= held);
                    let bytes = |it: &Hash| Bytes::copy_from_slice(it.as_bytes());
                    let told = Beginning {
                        land: ask.land,
                        epoch: ask.epoch,
                        size: ask.size,
                        of: ask.of,
                        root: found.iter().map(|it| bytes(&it.root)).next().unwrap_or_default(),
                        proof: found.iter().flat_map(|it| it.proof.iter().map(bytes)).collect(),
                    };
                    Input::Received { session, message: Message::Beginning(told) }
                }
                effect => {
                    said.push(brief(&effect));
                    continue;
                }
            };
            next.extend(bench.handle(answer));
        }
        effects = next;
    }
    said.retain(|it| !it.contains("unfollow"));
    said
}

fn found(of: &Author, old: u64, new: u64) -> Option<Found> {
    let (root, proof) = (tree_root(of, old).ok()?, prove_consistency(of, old, new).ok()?);
    Some(Found { root, proof })
}

/// The partner sends the rest of what it has.
fn delivers(bench: &mut Bench, session: u64, size: u64, spoil: bool) -> Vec<String> {
    let mut batch = bench.author(SL).batch(HERE, size, size);
    batch.follow = bench.follow(session, SL);
    if spoil {
        batch.entries.swap(0, 1);
    }
    says(bench, session, size, Message::Batch(batch), true)
}

/// Whether the own log is in what a partner is told when its session begins.
fn is_shown(bench: &mut Bench, session: u64, land: Land) -> bool {
    let opened =
        Input::SessionOpened { session: SessionId(session), peer: partner(land), dialled: true };
    let effects = bench.handle(opened);
    let told = effects.iter().find_map(|it| match it {
        Effect::Send { message: Message::Heads(heads), .. } => Some(heads.heads.clone()),
        _ => None,
    });
    let hello = bench.hello(land);
    bench.say(session, Message::Hello(hello));
    told.expect("heads").iter().any(|it| it.land == "SL")
}

#[test]
fn what_nobody_has_seen_is_shown_when_those_who_are_asked_have_answered() {
    let mut bench = restarted(4, history(HERE, HERE, b""));
    assert!(!is_shown(&mut bench, 1, TH));
    let follow = Follow {
        land: "SL".to_owned(),
        epoch: 1,
        from: 4,
        credit_bytes: limits::FOLLOW_CREDIT_BYTES,
        follow: 1,
        kept: false,
    };
    // no refusal: who is refused asks elsewhere for half a minute
    assert_eq!(bench.say(1, Message::Follow(follow)), Vec::<String>::new());
    // one who lacks the end cannot say that nobody went on without it
    let nothing = Vec::<String>::new();
    assert_eq!(tells(&mut bench, 1, 4), nothing);
    let asked = bench.later(1_000);
    assert!(asked.contains(&"1 <- ask #1".to_owned()), "the disk has been asked: {asked:?}");
    assert_eq!(tells(&mut bench, 1, 4), nothing);
    assert!(!is_shown(&mut bench, 2, RP));
    assert_eq!(tells(&mut bench, 2, 5), nothing);
    assert_eq!(tells(&mut bench, 2, 5), ["fence open", "1 <- range SL/1 4..6 #1"]);
    let told = bench.later(200);
    assert!(told.contains(&"1 <- beacon SL=6".to_owned()), "{told:?}");
}

#[test]
fn one_who_knows_all_that_is_here_is_enough() {
    let mut bench = restarted(4, history(HERE, HERE, b""));
    bench.connect(1, TH);
    assert_eq!(tells(&mut bench, 1, HERE), ["fence open"]);
    // and one who answers anything, if what is here was seen before: that is shown at once
    let mut bench = restarted(HERE, history(HERE, HERE, b""));
    assert!(is_shown(&mut bench, 1, TH));
    assert_eq!(tells(&mut bench, 1, 2).last().map(String::as_str), Some("fence open"));
}

#[test]
fn an_end_that_nobody_has_seen_is_set_aside_if_partners_have_another() {
    // shorter than here, as long, and longer; others have seen a part, or nothing
    for (seen, size) in [(4, 5), (4, HERE), (4, 8), (0, 5), (0, HERE), (0, 8)] {
        let mut bench = restarted(seen, history(seen, 8, b"other"));
        bench.connect(1, TH);
        let mut said = tells(&mut bench, 1, size);
        let mut asked = vec![format!("1 <- ask {seen} of {size}")];
        if size > HERE {
            assert_eq!(said, ["1 <- follow SL/1 from 6"]);
            said = delivers(&mut bench, 1, size, false);
            asked.insert(0, format!("1 <- ask {HERE} of {size}"));
        }
        asked.truncate(asked.len() - usize::from(seen == 0));
        let done = ["fence closed", "set aside SL/1"].map(str::to_owned);
        assert_eq!(said, [asked, done.into()].concat(), "{seen} seen, {size} entries");
        // nobody is told, nothing is signed, and it is done once
        assert_eq!(tells(&mut bench, 1, size), Vec::<String>::new());
        assert!(bench.node.status(bench.now).fence.contains("begins again without it"));
    }
}

#[test]
fn two_histories_that_others_have_seen_are_proved() {
    // both part before the end of what others have seen
    for size in [3, 4, 5, HERE] {
        let mut bench = restarted(4, history(2, 8, b"other"));
        bench.connect(1, TH);
        let said = tells(&mut bench, 1, size);
        assert!(said.contains(&"keep evidence SL/1".to_owned()), "{size}: {said:?}");
        assert!(!said.contains(&"set aside SL/1".to_owned()), "{size}: {said:?}");
    }
    // of one that is longer the partner has the proof, once it is shown what is here
    let mut bench = restarted(4, history(2, 8, b"other"));
    bench.connect(1, TH);
    tells(&mut bench, 1, 8);
    let said = delivers(&mut bench, 1, 8, false);
    assert_eq!(said, ["1 <- ask 6 of 8", "1 <- ask 4 of 8"]);
    let told = bench.later(5_000);
    assert!(told.iter().any(|it| it.contains("beacon SL=6")), "{told:?}");
    assert!(!bench.node.status(bench.now).fence_open);
}

#[test]
fn a_head_alone_moves_nothing_away_and_keeps_the_fence_closed() {
    let mut bench = restarted(4, history(4, 8, b"other"));
    bench.connect(1, TH);
    // it was told of five entries, and has four
    assert_eq!(knows(&mut bench, 1, 4, 5), ["1 <- ask 4 of 5"]);
    bench.connect(2, RP);
    *bench.author(SL) = history(HERE, HERE, b"");
    // all that are asked have answered, and one even knows all that is here
    assert_eq!(tells(&mut bench, 2, HERE), Vec::<String>::new());
    bench.later(limits::FENCE_GRACE_MS);
    let status = bench.node.status(bench.now);
    assert!(
        !status.fence_open
            && status.fence.starts_with(
                "waiting for proof: a partner shows a head of our own log that contradicts"
            ),
        "{}",
        status.fence
    );
    *bench.author(SL) = history(4, 8, b"other");
    bench.connect(3, TH);
    let said = tells(&mut bench, 3, 5);
    assert!(said.contains(&"set aside SL/1".to_owned()), "one has them: {said:?}");
}

#[test]
fn a_false_proof_moves_nothing_away() {
    let mut bench = restarted(4, history(8, 8, b""));
    bench.connect(1, TH);
    tells(&mut bench, 1, 8);
    let said = delivers(&mut bench, 1, 8, true);
    assert_eq!(said, ["1 <- ask 6 of 8", "fault TH proof"]);
}

#[test]
fn a_disk_that_cannot_tell_is_asked_once_and_the_answer_counts_as_that_of_one_who_knows_less() {
    let mut bench = restarted(4, history(HERE, HERE, b""));
    let nothing = Vec::<String>::new();
    for (session, land) in [(1, TH), (2, RP)] {
        bench.connect(session, land);
        // what it could not tell of this head it says once
        for opens in [session == 2, false] {
            let own = bench.author(SL).head(5, 5);
            let message = Message::Heads(heads(vec![own], 1));
            let said = says(&mut bench, session, 5, message, false);
            assert_eq!(said, if opens { vec!["fence open".to_owned()] } else { nothing.clone() });
        }
    }
}

#[test]
fn what_the_disk_has_told_is_asked_about_again_once_a_second() {
    let mut bench = restarted(4, history(HERE, HERE, b""));
    bench.connect(1, TH);
    let asks = |said: &[String]| said.iter().filter(|it| it.ends_with("<- ask #1")).count();
    // the disk has to say how each of these heads stands to what is here
    let (mut asked, begun) = (Vec::new(), bench.now.mono_ms);
    for size in 1..=6 {
        tells(&mut bench, 1, size.min(5));
        for _ in 0..2 {
            if asks(&bench.later(200)) > 0 {
                asked.push(bench.now.mono_ms - begun);
            }
        }
    }
    assert_eq!(asked, [limits::FENCE_ASK_AGAIN_MS, 2 * limits::FENCE_ASK_AGAIN_MS]);
}

#[test]
fn who_stops_says_the_last_word_only_to_partners_and_waits_for_each() {
    let mut bench = Bench::open();
    bench.handle(Input::Audited {
        head: crate::audit::AuditHead { chain: [5; 16], size: 2, hash: Hash::EMPTY_ROOT },
        soon: false,
    });
    assert!(bench.handle(Input::Stopping).is_empty(), "nobody is there to take it");
    assert!(bench.node.is_passed_on());
    bench.connect(1, RP);
    bench.connect(2, TH);
    let commit = super::only_commit(bench.handle(Input::Stopping));
    assert!(!bench.node.is_passed_on());
    let checkpoint = commit.checkpoint;
    bench.committed(checkpoint);
    assert!(!bench.node.is_passed_on());
    let signed = bench.sign(checkpoint);
    for (session, left) in [(1, true), (2, false)] {
        let head = registry_proto::wire::peer::Head {
            land: "SL".to_owned(),
            epoch: 1,
            size: 1,
            checkpoint: signed.raw().clone(),
            ..registry_proto::wire::peer::Head::default()
        };
        bench.say(session, Message::Heads(heads(vec![head], 0)));
        assert_eq!(bench.node.is_passed_on(), !left);
    }
}
