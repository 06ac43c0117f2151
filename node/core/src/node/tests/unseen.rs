//! Entries of the own log that nobody else is known to have seen: shown when the fence opens, and set
//! aside if partners have another history.

use registry_proto::{
    log::{prove_consistency, tree_root},
    terms::Land::{self, RP, SL, TH},
    wire::peer::{Follow, peer_message::Message},
};

use crate::{
    limits,
    node::{Effect, Input},
    replicate::{Found, SessionId},
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
        it.logs = vec![history(HERE, HERE, b"").recovered(HERE, HERE)];
        it.receipts = vec![history(HERE, HERE, b"").receipt(TH, seen)];
    });
    *bench.author(SL) = theirs;
    bench
}

/// Says what the partner has; the disk answers what is asked of it.
fn tells(bench: &mut Bench, session: u64, size: u64) -> Vec<String> {
    let own = bench.author(SL).head(size, size);
    let message = Message::Heads(heads(vec![own], 1));
    let mut effects = bench.handle(Input::Received { session: SessionId(session), message });
    let mut said = Vec::new();
    while !effects.is_empty() {
        let mut next = Vec::new();
        for effect in effects {
            let Effect::Examine(of) = effect else {
                said.push(brief(&effect));
                continue;
            };
            let here = history(HERE, HERE, b"");
            let (old, new) = (of.suspect.size(), of.against.size());
            let root = tree_root(&here, old).expect("held");
            let proof = prove_consistency(&here, old, new).expect("held");
            let (examination, found) = (Box::new(of), Some(Found { root, proof }));
            next.extend(bench.handle(Input::Examined { examination, found }));
        }
        effects = next;
    }
    said
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
    assert_eq!(tells(&mut bench, 1, 4), ["1 <- ask #1"]);
    assert_eq!(tells(&mut bench, 1, 4), Vec::<String>::new());
    assert!(!is_shown(&mut bench, 2, RP));
    assert_eq!(tells(&mut bench, 2, 5), ["1 <- ask #1", "2 <- ask #1"]);
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
    // shorter than here, as long, and longer
    for size in [5, HERE, 8] {
        let mut bench = restarted(4, history(4, 8, b"other"));
        bench.connect(1, TH);
        let mut said = tells(&mut bench, 1, size);
        if size > HERE {
            assert_eq!(said, ["1 <- follow SL/1 from 6"]);
            said = bench.send(1, SL, HERE, size, size);
        }
        said.retain(|it| !it.contains("unfollow"));
        assert_eq!(said, ["fence closed", "set aside SL/1"], "{size} entries");
        // nobody is told, nothing is signed, and it is done once
        assert_eq!(tells(&mut bench, 1, size), Vec::<String>::new());
        assert!(bench.node.status(bench.now).fence.contains("begins again without it"));
    }
}

#[test]
fn two_histories_that_others_have_seen_are_proved() {
    let mut bench = restarted(5, history(4, 8, b"other"));
    bench.connect(1, TH);
    let said = tells(&mut bench, 1, 5);
    assert!(said.contains(&"keep evidence SL/1".to_owned()), "{said:?}");
}

#[test]
fn who_stops_says_the_last_word_only_to_partners_and_waits_for_each() {
    let mut bench = Bench::open();
    bench.handle(Input::Audited {
        head: crate::audit::AuditHead {
            chain: [5; 16],
            size: 2,
            hash: registry_proto::log::Hash::EMPTY_ROOT,
        },
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
