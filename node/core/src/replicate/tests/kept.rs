//! A log with two histories of which a reset keeps one: who comes later, or holds the other one, gets
//! what is kept from whoever has it, and nothing that is not proved to be it.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    epoch::TakenReset,
    evidence::Equivocation,
    log::{Hash, Header, prove_consistency},
    terms::{
        Land::{self, HE, RP, SL, TH},
        LogId,
    },
    wire::{
        peer::{
            Batch, BodyState, EpochResets, Evidence, Follow, Head, Heads, peer_message::Message,
        },
        registry as wire,
    },
};

use crate::{
    node::{Effect, Input, Learned},
    replicate::{RecoveredLog, SessionId},
    status::LogState,
    testing::{Author, Bench, LAENDER, brief, charter, heads, is_testimony, log, reset, signer},
};

/// Entries that the reset keeps; the histories part before.
pub(super) const KEPT: u64 = 6;

/// Two histories of the log of a Land with the same four entries in front.
pub(super) struct Forked {
    pub(super) kept: Author,
    other: Author,
    reset: TakenReset,
    evidence: Bytes,
}

impl Forked {
    pub(super) fn of(land: Land) -> Self {
        Self::with(land, b"body")
    }

    /// Each entry of the history that is kept has this body.
    pub(super) fn with(land: Land, body: &[u8]) -> Self {
        let charter = charter(&LAENDER);
        let author = || Author::new(charter.id(), land, signer(land));
        let (mut kept, mut other) = (author(), author());
        (0..10).for_each(|_| kept.append_with(body, |_| ()));
        (0..4).for_each(|_| other.append_with(body, |_| ()));
        (0..5).for_each(|_| other.append_with(b"other", |_| ()));
        let others = LAENDER.into_iter().filter(|it| *it != land).take(2).collect::<Vec<_>>();
        let reset = reset(log(land), KEPT, kept.checkpoint(KEPT).root, &others);
        let reset = reset.complete(&charter).expect("complete");
        let proved = Equivocation::of_one_size(&kept.signed(8), &other.signed(8));
        let evidence = proved.expect("two histories").raw().clone();
        Self { kept, other, reset, evidence }
    }

    /// The Saarland, started with what it took and knows of the log.
    pub(super) fn node(&self, logs: Vec<RecoveredLog>) -> Bench {
        let (resets, evidence) = (vec![self.reset.clone()], vec![self.evidence.clone()]);
        Bench::with(|it| (it.logs, it.resets, it.evidence) = (logs, resets, evidence))
    }

    /// What a partner tells that holds all that is kept, whatever else.
    pub(super) fn head(&self) -> Message {
        tells(Head { kept: true, ..self.kept.head(0, 0) })
    }

    pub(super) fn batch(&self, from: u64, to: u64, follow: u64) -> Message {
        batch(&self.kept, from, to, follow)
    }

    /// What is here after a part came and the node was started again.
    fn part(&self, held: u64) -> RecoveredLog {
        let head_proof = prove_consistency(&self.kept, held, KEPT).expect("small");
        let (head, complete) = (Some(Bytes::new()), None);
        RecoveredLog { head, head_proof, complete, kept: true, ..self.kept.recovered(held, held) }
    }
}

fn tells(head: Head) -> Message {
    Message::Heads(heads(vec![head], 0))
}

/// Entries proved to be a beginning of the first [`KEPT`] ones that this author wrote.
fn batch(author: &Author, from: u64, to: u64, follow: u64) -> Message {
    Message::Batch(Batch { checkpoint: Bytes::new(), follow, ..author.batch(from, to, KEPT) })
}

/// All that is kept, as this author wrote it, with a checkpoint of `signed` entries of another one.
fn batch_under(author: &Author, over: &Author, signed: u64, follow: u64) -> Batch {
    let Message::Batch(batch) = batch(author, 0, KEPT, follow) else { panic!("a batch") };
    let proof = prove_consistency(over, KEPT, signed).unwrap_or_default();
    let kept_proof = proof.iter().map(|it| Bytes::copy_from_slice(it.as_bytes())).collect();
    Batch { kept_checkpoint: over.signed(signed).raw().clone(), kept_proof, ..batch }
}

/// What a node says about a log: state, entries here, entries known.
fn state(bench: &Bench, log: LogId) -> (LogState, u64, u64) {
    let status = bench.node.status(bench.now);
    let it = status.logs.into_iter().find(|it| it.log == log).expect("a log");
    (it.state, it.size, it.known)
}

fn follow(from: u64, kept: bool) -> Message {
    let (land, epoch) = ("RP".to_owned(), 1);
    Message::Follow(Follow { land, epoch, from, credit_bytes: 1 << 20, follow: 1, kept })
}

/// Puts in `said` what is announced to a new partner about the log of Rheinland-Pfalz.
fn announced(bench: &mut Bench, session: u64, to: Land) -> Head {
    let peer = crate::testing::partner(to);
    let opened = Input::SessionOpened { session: SessionId(session), peer, dialled: true };
    let told = bench.handle(opened).into_iter().find_map(|it| match it {
        Effect::Send { message: Message::Heads(Heads { heads, .. }), .. } => {
            heads.into_iter().find(|it| (it.land.as_str(), it.epoch) == ("RP", 1))
        }
        _ => None,
    });
    let hello = bench.hello(to);
    bench.say(session, Message::Hello(hello));
    told.expect("every log is told")
}

#[test]
fn a_newcomer_gets_what_is_kept_from_a_relay_and_serves_it_on() {
    let forked = Forked::of(RP);
    let mut bench = forked.node(Vec::new());
    assert_eq!(state(&bench, log(RP)), (LogState::CatchingUp, 0, KEPT));
    assert!(!announced(&mut bench, 1, TH).kept);
    // who has another history, or less, says nothing that makes it a source
    assert!(bench.say(1, tells(forked.other.head(9, 9))).is_empty());
    assert!(bench.say(1, tells(forked.kept.head(4, 10))).is_empty());
    assert_eq!(bench.say(1, forked.head()), ["1 <- follow RP/1 from 0"]);
    let number = bench.follow(1, RP);
    assert_eq!(bench.say(1, forked.batch(0, 4, number)), ["store RP/1 +4 of 6"]);
    assert_eq!(bench.stored(RP), ["1 <- ack RP/1 4"]);
    assert_eq!(state(&bench, log(RP)), (LogState::CatchingUp, 4, KEPT));
    bench.connect(2, HE);
    assert_eq!(bench.say(2, follow(0, true)), ["2 <- refusal RP/1 Unavailable"]);
    let said = bench.say(1, forked.batch(4, 6, number));
    assert_eq!(said, ["store RP/1 +2 of 6", "1 <- unfollow RP/1"]);
    assert_eq!(bench.stored(RP)[0], "1 <- ack RP/1 6");
    assert_eq!(state(&bench, log(RP)), (LogState::Ended, KEPT, KEPT));
    assert_eq!(bench.say(2, follow(0, true)), ["2 <- range RP/1 0..6 #1"]);
    assert!(announced(&mut bench, 3, RP).kept);
    assert!(bench.lapses.is_empty(), "{:?}", bench.lapses);
}

#[test]
fn what_is_not_proved_to_be_kept_is_not_taken_and_another_partner_is_asked() {
    let forked = Forked::of(RP);
    let other = |from, to| move |it: &Forked, number| batch(&it.other, from, to, number);
    type Make = Box<dyn Fn(&Forked, u64) -> Message>;
    let cases: [(Make, &str); 4] = [
        // even what both histories begin with, because nothing says that it is that
        (Box::new(other(0, 4)), "proof"),
        (Box::new(other(0, 6)), "proof"),
        (Box::new(|it, number| batch(&it.kept, 0, 7, number)), "batch_beyond_checkpoint"),
        (
            Box::new(|it, follow| Message::Batch(Batch { follow, ..it.kept.batch(0, 6, 10) })),
            "proof",
        ),
    ];
    for (make, label) in cases {
        let mut bench = forked.node(Vec::new());
        bench.connect(1, TH);
        assert_eq!(bench.say(1, forked.head()), ["1 <- follow RP/1 from 0"]);
        bench.connect(2, HE);
        assert!(bench.say(2, forked.head()).is_empty());
        let number = bench.follow(1, RP);
        let said = bench.say(1, make(&forked, number));
        let fault = format!("fault TH {label}");
        assert_eq!(said, [&fault, "1 <- unfollow RP/1", "2 <- follow RP/1 from 0"]);
        assert_eq!(state(&bench, log(RP)), (LogState::CatchingUp, 0, KEPT));
        // what was under way counts for nothing
        assert!(bench.say(1, forked.batch(0, 6, number)).is_empty());
        let number = bench.follow(2, RP);
        let said = bench.say(2, forked.batch(0, 6, number));
        assert_eq!(said, ["store RP/1 +6 of 6", "2 <- unfollow RP/1"]);
    }
}

#[test]
fn a_part_that_came_before_a_restart_stays() {
    let forked = Forked::of(RP);
    let mut bench = forked.node(vec![forked.part(4)]);
    bench.connect(1, TH);
    assert_eq!(bench.say(1, forked.head()), ["1 <- follow RP/1 from 4"]);
    let number = bench.follow(1, RP);
    let said = bench.say(1, forked.batch(4, 6, number));
    assert_eq!(said, ["store RP/1 +2 of 6", "1 <- unfollow RP/1"]);
    // and after another one nothing is missing, and nothing asked for
    let mut bench = forked.node(vec![forked.part(6)]);
    bench.connect(1, TH);
    assert!(bench.say(1, forked.head()).is_empty());
    assert_eq!(state(&bench, log(RP)), (LogState::Ended, KEPT, KEPT));
}

/// Evidence comes when `held` entries of the ended epoch came under checkpoints of the owner, from a
/// partner that has all that is kept from then on.
#[track_caller]
fn evidence_comes(held: u64, expect: &[&str]) {
    let forked = Forked::of(RP);
    let resets = vec![forked.reset.clone()];
    let mut bench = Bench::with(|it| it.resets = resets);
    bench.connect(1, TH);
    let said = bench.say(1, tells(forked.kept.head(10, 10)));
    assert_eq!(said, ["1 <- follow RP/1 from 0"]);
    if held > 0 {
        let follow = bench.follow(1, RP);
        bench.say(1, Message::Batch(Batch { follow, ..forked.kept.batch(0, held, 10) }));
        bench.stored(RP);
    }
    let items = vec![forked.evidence.clone()];
    let mut said = bench.say(1, Message::Evidence(Evidence { items }));
    said.extend(bench.say(1, forked.head()));
    if held == 0 {
        // what was under way by the checkpoints is no fault
        let late = Message::Batch(Batch { follow: 1, ..forked.kept.batch(0, 4, 10) });
        assert!(bench.say(1, late).is_empty());
    }
    let news: Vec<_> = said.iter().filter(|it| !it.contains("unfollow")).collect();
    assert_eq!(news, [&["stopped by TH equivocation"], expect].concat());
    // and once is enough
    assert!(bench.later(1_000).iter().all(|it| !it.contains("again") && !it.contains("follow")));
}

#[test]
fn evidence_that_comes_after_the_reset_puts_in_doubt_what_is_not_proved() {
    // nothing is here: the same partner is asked for what is kept
    evidence_comes(0, &["keep evidence RP/1", "1 <- follow RP/1 from 0"]);
    // of which history a part is nobody can say
    evidence_comes(4, &["keep evidence RP/1, begin again", "1 <- follow RP/1 from 0"]);
    // all of it was held against the reset when it came
    evidence_comes(7, &["keep evidence RP/1"]);
}

#[test]
fn a_reset_that_comes_after_the_evidence_counts_from_the_next_beginning_on() {
    let forked = Forked::of(RP);
    let evidence = vec![forked.evidence.clone()];
    let mut bench = Bench::with(|it| it.evidence = evidence);
    bench.connect(1, TH);
    assert_eq!(state(&bench, log(RP)), (LogState::Quarantined, 0, 0));
    let items = vec![forked.reset.encode()];
    let said = bench.say(1, Message::EpochResets(EpochResets { items }));
    assert_eq!(said, ["ended RP/1 at 6 by TH", "keep reset of RP/1"]);
    assert!(bench.say(1, forked.head()).is_empty());
    assert_eq!(state(&bench, log(RP)), (LogState::CatchingUp, 0, KEPT));
}

#[test]
fn who_serves_another_history_before_it_is_proved_does_nothing_wrong() {
    let forked = Forked::of(RP);
    let resets = vec![forked.reset.clone()];
    let mut bench = Bench::with(|it| it.resets = resets);
    bench.connect(1, TH);
    bench.say(1, tells(forked.other.head(9, 9)));
    let follow = bench.follow(1, RP);
    let said = bench.say(1, Message::Batch(Batch { follow, ..forked.other.batch(0, 9, 9) }));
    assert_eq!(said, ["1 <- unfollow RP/1"]);
    assert_eq!(bench.lapses, ["lapse TH other_history"]);
    assert_eq!(state(&bench, log(RP)), (LogState::CatchingUp, 0, KEPT));
}

/// A node that follows the epoch, and has a part of it from before the reset.
fn started_with(forked: &Forked, part: RecoveredLog) -> Bench {
    let resets = vec![forked.reset.clone()];
    Bench::with(|it| (it.logs, it.resets) = (vec![part], resets))
}

#[test]
fn a_part_of_another_history_is_set_aside_without_evidence_and_without_a_fault() {
    let forked = Forked::of(RP);
    let mut bench = started_with(&forked, forked.other.recovered(5, 9));
    // two that hold what fits not to the part here, and not all that is kept
    bench.connect(1, TH);
    assert_eq!(bench.say(1, tells(forked.kept.head(10, 10))), ["1 <- follow RP/1 from 5"]);
    let follow = bench.follow(1, RP);
    let said = bench.say(1, Message::Batch(Batch { follow, ..forked.kept.batch(5, 10, 10) }));
    assert_eq!(said, ["1 <- unfollow RP/1"]);
    assert_eq!(bench.lapses, ["lapse TH other_history"]);
    // who lies proves nothing
    bench.connect(2, RP);
    assert_eq!(bench.say(2, forked.head()), ["2 <- follow RP/1 from 0"]);
    let said = bench.say(2, batch(&forked.other, 0, 6, bench.follow(2, RP)));
    assert_eq!(said, ["fault RP proof", "2 <- unfollow RP/1"]);
    // and of who has all that is kept nothing is stored behind the part
    bench.connect(3, HE);
    assert_eq!(bench.say(3, forked.head()), ["3 <- follow RP/1 from 0"]);
    let number = bench.follow(3, RP);
    assert_eq!(bench.say(3, forked.batch(0, 4, number)), ["3 <- ack RP/1 5"]);
    assert_eq!(bench.say(3, forked.batch(4, 6, number)), ["3 <- unfollow RP/1", "set aside RP/1"]);
    assert_eq!(bench.lapses, ["lapse TH other_history"]);
    assert!(bench.later(60_000).iter().all(|it| !it.contains("RP/1")), "once");
}

#[test]
fn a_part_of_what_is_kept_is_proved_and_gone_on_from() {
    let forked = Forked::of(RP);
    let mut bench = started_with(&forked, forked.kept.recovered(4, 10));
    bench.connect(1, TH);
    let head = Head { kept: true, ..forked.kept.head(KEPT, KEPT) };
    assert_eq!(bench.say(1, tells(head)), ["1 <- follow RP/1 from 0"]);
    let first = bench.follow(1, RP);
    assert_eq!(bench.say(1, forked.batch(0, 3, first)), ["1 <- ack RP/1 4"]);
    let said = bench.say(1, forked.batch(3, 5, first));
    assert_eq!(said, ["1 <- unfollow RP/1", "1 <- follow RP/1 from 4"]);
    // a checkpoint of just that goes on to prove it to clients
    let batch = forked.batch(4, 6, bench.follow(1, RP));
    let effects = bench.handle(Input::Received { session: SessionId(1), message: batch });
    let store = effects.iter().find_map(|it| match it {
        Effect::Store(store) => Some((store.note.clone(), store.note_size, store.entries.len())),
        _ => None,
    });
    assert_eq!(store, Some((forked.kept.signed(KEPT).raw().clone(), KEPT, 2)));
    bench.stored(RP);
    assert_eq!(state(&bench, log(RP)), (LogState::Ended, KEPT, KEPT));
    assert!(bench.lapses.is_empty(), "{:?}", bench.lapses);
}

#[test]
fn who_has_what_is_kept_is_asked_before_who_shows_more() {
    let forked = Forked::of(RP);
    let resets = vec![forked.reset.clone()];
    let mut bench = Bench::with(|it| it.resets = resets);
    bench.connect(1, RP);
    assert_eq!(bench.say(1, tells(forked.other.head(9, 9))), ["1 <- follow RP/1 from 0"]);
    let follow = bench.follow(1, RP);
    let of_other = |from, to| Message::Batch(Batch { follow, ..forked.other.batch(from, to, 9) });
    assert_eq!(bench.say(1, of_other(0, 5)), ["store RP/1 +5 of 9"]);
    bench.connect(2, TH);
    let said = bench.say(2, forked.head());
    assert_eq!(said, ["1 <- unfollow RP/1", "2 <- follow RP/1 from 0"]);
    assert!(bench.say(1, of_other(5, 9)).is_empty());
    bench.stored(RP);
    let said = bench.say(2, forked.batch(0, 6, bench.follow(2, RP)));
    assert_eq!(said, ["2 <- unfollow RP/1", "set aside RP/1"]);
    // after that nothing but what is kept is stored
    let resets = vec![forked.reset.clone()];
    let mut bench = Bench::with(|it| it.resets = resets);
    bench.connect(2, TH);
    assert_eq!(bench.say(2, forked.head()), ["2 <- follow RP/1 from 0"]);
    bench.connect(1, RP);
    assert!(bench.say(1, tells(forked.other.head(9, 9))).is_empty());
    let said = bench.say(2, forked.batch(0, 6, bench.follow(2, RP)));
    assert_eq!(said, ["store RP/1 +6 of 6", "2 <- unfollow RP/1"]);
}

#[test]
fn the_owner_gets_its_own_past_back_before_it_signs() {
    let forked = Forked::of(SL);
    let mut bench = forked.node(Vec::new());
    let fence = bench.node.status(bench.now).fence;
    assert!(fence.contains("epochs before SL/2"), "{fence}");
    bench.connect(1, RP);
    assert_eq!(bench.say(1, forked.head()), ["1 <- follow SL/1 from 0"]);
    let number = bench.follow(1, SL);
    let said = bench.say(1, forked.batch(0, 6, number));
    assert_eq!(said, ["store SL/1 +6 of 6", "1 <- unfollow SL/1"]);
    let entries = forked.kept.batch(0, 6, 6).entries;
    let learned = entries.into_iter().map(|it| Learned { header: it.header, body: it.body });
    let said = bench.input(Input::Stored { log: log(SL), learned: learned.collect() });
    assert_eq!(said[0], "begin again SL/2");
}

#[test]
fn a_body_may_be_missing_if_what_is_kept_erases_it() {
    let mut forked = Forked::of(RP);
    forked.kept.rewrite(4);
    forked.kept.append_erasure(1);
    forked.kept.append(5);
    let root = forked.kept.checkpoint(KEPT).root;
    let said = reset(log(RP), KEPT, root, &[HE, TH]).complete(&charter(&LAENDER));
    forked.reset = said.expect("complete");
    for (under, taken) in [(KEPT, true), (10, false)] {
        let mut bench = forked.node(Vec::new());
        bench.connect(1, TH);
        bench.say(1, forked.head());
        let number = bench.follow(1, RP);
        let Message::Batch(mut batch) = forked.batch(0, 6, number) else { panic!("a batch") };
        let entry = &mut batch.entries[1];
        (entry.salt, entry.body) = (Bytes::new(), Bytes::new());
        entry.body_state = BodyState::Erased.into();
        entry.erasure = Some(forked.kept.prove_erasure(4, under));
        let session = SessionId(1);
        let said = bench.handle(Input::Received { session, message: Message::Batch(batch) });
        let said: Vec<_> = said.iter().filter(|it| !is_testimony(it)).map(brief).collect();
        let expect = if taken { "store RP/1 +6 of 6" } else { "fault TH body" };
        assert_eq!(said[0], expect, "{said:?}");
    }
}

/// The body of entry 1 is missing, which what the reset discards erases; what is said to that.
fn said_of_discarded(land: Land, shown: bool) -> (Vec<String>, Vec<&'static str>) {
    let mut forked = Forked::of(land);
    forked.kept.append_erasure(1);
    let mut bench = forked.node(Vec::new());
    bench.connect(1, TH);
    bench.say(1, forked.head());
    let number = bench.follow(1, land);
    let Message::Batch(mut batch) = forked.batch(0, 6, number) else { panic!("a batch") };
    let entry = &mut batch.entries[1];
    (entry.salt, entry.body) = (Bytes::new(), Bytes::new());
    entry.body_state = BodyState::Erased.into();
    let proof = forked.kept.prove_later(10, 11);
    let bare = forked.kept.prove_erasure(10, 11);
    entry.erasure = Some(if shown { proof } else { bare });
    let said = bench.say(1, Message::Batch(batch));
    let lapses = bench.lapses.iter().map(|it| match &it[..] {
        "lapse TH other_history" => "discarded",
        "lapse TH bodies_gone" => "gone",
        _ => "another lapse",
    });
    (said, lapses.collect())
}

#[test]
fn the_owner_alone_takes_back_what_it_erased_behind_the_cut() {
    // others may still have it
    let (said, lapses) = said_of_discarded(SL, true);
    assert_eq!((said, &lapses[..]), (vec!["1 <- unfollow SL/1".to_owned()], &["gone"][..]));
    let (said, lapses) = said_of_discarded(RP, true);
    assert_eq!((said, &lapses[..]), (vec!["1 <- unfollow RP/1".to_owned()], &["discarded"][..]));
    for land in [SL, RP] {
        let (said, lapses) = said_of_discarded(land, false);
        assert_eq!((&said[0][..], lapses.len()), ("fault TH body", 0), "{said:?}");
    }
}

#[test]
fn entries_that_nobody_may_keep_are_asked_for_once() {
    let mut forked = Forked::of(RP);
    forked.kept.rewrite(4);
    forked.kept.append_with(b"misplaced", |it| it.index = 77);
    forked.kept.append(5);
    let root: Hash = forked.kept.checkpoint(KEPT).root;
    let said = reset(log(RP), KEPT, root, &[HE, TH]).complete(&charter(&LAENDER));
    forked.reset = said.expect("complete");
    let mut bench = forked.node(Vec::new());
    for (session, land) in [(1, TH), (2, HE)] {
        bench.connect(session, land);
        bench.say(session, forked.head());
    }
    let number = bench.follow(1, RP);
    let said = bench.say(1, forked.batch(0, 6, number));
    assert_eq!(said, ["stopped by TH misplaced", "1 <- unfollow RP/1"]);
    assert!(bench.later(60_000).iter().all(|it| !it.contains("follow RP/1")));
    assert_eq!(state(&bench, log(RP)), (LogState::CatchingUp, 0, KEPT));
    let header = Header::parse(&forked.kept.batch(4, 5, 6).entries[0].header).expect("a header");
    assert_eq!(header.index, 77);
}

/// Note, signed size and number of hashes of what a message makes a node store.
fn stored_under(bench: &mut Bench, message: Message) -> Option<(Bytes, u64, usize)> {
    let effects = bench.handle(Input::Received { session: SessionId(1), message });
    effects.into_iter().find_map(|it| match it {
        Effect::Store(store) => Some((store.note, store.note_size, store.proof.len())),
        _ => None,
    })
}

#[test]
fn a_checkpoint_over_what_is_kept_is_stored_with_the_last_of_it() {
    let forked = Forked::of(RP);
    for signed in [KEPT, 10] {
        let mut bench = forked.node(Vec::new());
        bench.connect(1, TH);
        bench.say(1, forked.head());
        let follow = bench.follow(1, RP);
        // before its end a group is known by the reset alone
        let whole = batch_under(&forked.kept, &forked.kept, signed, follow);
        let part = Batch { entries: whole.entries[..4].to_vec(), ..whole.clone() };
        let Message::Batch(proved) = forked.batch(0, 4, follow) else { panic!("a batch") };
        let part = Batch { proof: proved.proof, ..part };
        let stored = stored_under(&mut bench, Message::Batch(part));
        assert_eq!(stored.map(|it| (it.0.len(), it.1)), Some((0, KEPT)));
        let rest = Batch { first: 4, entries: whole.entries[4..].to_vec(), ..whole };
        let (note, proof) = (rest.kept_checkpoint.clone(), rest.kept_proof.len());
        let stored = stored_under(&mut bench, Message::Batch(rest));
        assert_eq!(stored, Some((note, signed, proof)));
        assert!(signed == KEPT || proof > 0);
        bench.stored(RP);
        bench.stored(RP);
        assert_eq!(state(&bench, log(RP)), (LogState::Ended, KEPT, KEPT));
        assert!(bench.lapses.is_empty(), "{:?}", bench.lapses);
        // and is there after a restart
        let mut here = RecoveredLog { kept: true, ..forked.kept.recovered(KEPT, signed) };
        here.complete = here.head.clone().filter(|_| signed == KEPT);
        let mut bench = forked.node(vec![here]);
        assert_eq!(state(&bench, log(RP)), (LogState::Ended, KEPT, KEPT));
        let told = announced(&mut bench, 1, TH);
        // under a checkpoint of more than is here nothing can be served
        let served = if signed == KEPT { KEPT } else { 0 };
        assert_eq!((told.kept, told.size), (true, served));
        assert_eq!(told.checkpoint, *forked.kept.signed(signed).raw());
    }
}

#[test]
fn a_checkpoint_that_is_not_proved_to_be_over_what_is_kept_is_refused() {
    let forked = Forked::of(RP);
    type Spoil = fn(&Forked, &mut Batch);
    let cases: [(Spoil, &str); 8] = [
        // signed by the owner like the right one
        (|it, batch| *batch = batch_under(&it.kept, &it.other, 9, batch.follow), "proof"),
        (|it, batch| batch.kept_checkpoint = it.other.signed(9).raw().clone(), "proof"),
        (|_, batch| batch.kept_proof.clear(), "proof"),
        (|_, batch| batch.kept_proof = vec![Bytes::from_static(&[0; 32]); 70_000], "proof"),
        (|_, batch| batch.kept_proof.push(Bytes::from_static(&[0; 31])), "batch_size"),
        (
            |it, batch| batch.kept_checkpoint = it.kept.signed(5).raw().clone(),
            "batch_beyond_checkpoint",
        ),
        (
            |_, batch| batch.kept_checkpoint = Forked::of(HE).kept.signed(10).raw().clone(),
            "checkpoint",
        ),
        (|_, batch| batch.kept_checkpoint = Bytes::from(vec![b'x'; 100_000]), "checkpoint"),
    ];
    for (spoil, label) in cases {
        let mut bench = forked.node(Vec::new());
        for (session, land) in [(1, TH), (2, HE)] {
            bench.connect(session, land);
            bench.say(session, forked.head());
        }
        let mut batch = batch_under(&forked.kept, &forked.kept, 10, bench.follow(1, RP));
        spoil(&forked, &mut batch);
        let said = bench.say(1, Message::Batch(batch));
        let fault = format!("fault TH {label}");
        assert_eq!(said, [&fault, "1 <- unfollow RP/1", "2 <- follow RP/1 from 0"]);
        assert_eq!(state(&bench, log(RP)), (LogState::CatchingUp, 0, KEPT));
        let follow = bench.follow(2, RP);
        let batch = batch_under(&forked.kept, &forked.kept, 10, follow);
        let said = bench.say(2, Message::Batch(batch));
        assert_eq!(said, ["store RP/1 +6 of 10", "2 <- unfollow RP/1"]);
    }
}

#[test]
fn a_checkpoint_of_another_charter_is_left_out_and_one_of_two_histories_convicts() {
    let forked = Forked::of(RP);
    // its end lies behind what counts here of the log
    let mut bench = Bench::with(|it| {
        let (cut, mut next) = (forked.kept.checkpoint(8), it.charter.draft_of_next());
        let member = next.members.iter_mut().find(|it| it.land == "RP").expect("a member");
        let root = Bytes::copy_from_slice(cut.root.as_bytes());
        member.cut = Some(wire::LogCut { epoch: 1, size: 8, root });
        member.set_state(wire::MemberState::Suspended);
        next.threshold = 3;
        let next = it.charter.successor(next.encode_to_vec().into()).expect("a successor");
        (it.charter, it.resets) = (next.0, vec![forked.reset.clone()]);
    });
    bench.connect(1, TH);
    bench.say(1, forked.head());
    let batch = batch_under(&forked.kept, &forked.kept, 10, bench.follow(1, RP));
    assert_eq!(bench.say(1, Message::Batch(batch))[0], "store RP/1 +6 of 6");
    // a partner that holds the other history showed its head before
    let resets = vec![forked.reset.clone()];
    let mut bench = Bench::with(|it| it.resets = resets);
    bench.connect(2, HE);
    bench.say(2, tells(forked.other.head(0, 9)));
    bench.connect(1, TH);
    bench.say(1, forked.head());
    let batch = batch_under(&forked.kept, &forked.kept, 9, bench.follow(1, RP));
    let said = bench.say(1, Message::Batch(batch));
    let convicted = ["store RP/1 +6 of 9", "stopped by TH equivocation", "keep evidence RP/1"];
    assert_eq!(said.iter().filter(|it| convicted.contains(&it.as_str())).count(), 3, "{said:?}");
    bench.stored(RP);
    assert_eq!(state(&bench, log(RP)).1, KEPT);
}
