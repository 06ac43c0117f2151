//! Bodies that are missing because their owner erased them, and what is said about it.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    epoch::TakenReset,
    log::{Kind, Origin, leaf_hash},
    terms::{Land, LogId},
    wire::{
        peer::{Batch, BatchEntry, BodyState, ErasureProof, peer_message::Message},
        registry as wire,
    },
};

use super::{bench, delivers, held};
use crate::{
    node::{Effect, Input},
    replicate::Store,
    testing::{Author, Bench, LAENDER, charter, heads, is_testimony, log, reset, signer},
};

/// Ten entries of Rheinland-Pfalz, then an erasure (10) of the entry `index`, then one more.
fn erasing(bench: &mut Bench, index: usize) {
    let author = bench.author(Land::RP);
    author.append_erasure(index);
    author.append(1);
    bench.tell(1, Land::RP, 12, 12);
    bench.tell(2, Land::RP, 12, 12);
}

fn batch(bench: &mut Bench, to: u64, signed: u64) -> Batch {
    let follow = bench.follow(1, Land::RP);
    Batch { follow, ..bench.author(Land::RP).batch(0, to, signed) }
}

/// Says it; what is to be stored, or the label of the fault.
fn said(bench: &mut Bench, batch: Batch) -> Result<Store, String> {
    let effects = {
        let session = crate::replicate::SessionId(1);
        bench.handle(Input::Received { session, message: Message::Batch(batch) })
    };
    let mut label = String::new();
    for effect in effects {
        match effect {
            Effect::Store(store) => return Ok(store),
            other => label += &(crate::testing::brief(&other) + "; "),
        }
    }
    Err(label)
}

/// Sends entries `0..to` under a checkpoint of `signed`, the entry 3 without its body, for which the
/// proof is changed; `Ok` if it is taken.
#[track_caller]
fn check(to: u64, signed: u64, change: impl FnOnce(&mut Author, &mut Batch), taken: bool) {
    let mut bench = bench();
    erasing(&mut bench, 3);
    let mut batch = batch(&mut bench, to, signed);
    let proof = (signed > 10).then(|| bench.author(Land::RP).prove_erasure(10, signed));
    let entry = &mut batch.entries[3];
    (entry.salt, entry.body) = (Bytes::new(), Bytes::new());
    entry.body_state = BodyState::Erased.into();
    entry.erasure = proof;
    change(bench.author(Land::RP), &mut batch);
    let said = said(&mut bench, batch);
    match said {
        Ok(store) => {
            assert!(taken, "is taken");
            assert_eq!(store.entries[3].body_state(), BodyState::Erased);
            assert!(!bench.stored(Land::RP).is_empty(), "is acknowledged");
            assert_eq!(held(&bench, Land::RP), to);
        }
        Err(label) => {
            assert!(!taken, "{label}");
            assert!(label.starts_with("fault RP body; "), "{label}");
            assert_eq!(held(&bench, Land::RP), 0);
            // the other partner has it whole
            assert!(bench.send(2, Land::RP, 0, 10, 10)[0].starts_with("store RP/1 +10"));
        }
    }
}

fn of(batch: &mut Batch) -> &mut ErasureProof {
    batch.entries[3].erasure.as_mut().expect("a proof")
}

#[test]
fn a_body_may_be_missing_if_the_owner_erased_it_under_this_very_checkpoint() {
    check(12, 12, |_, _| (), true);
    // the erasure itself comes later
    check(5, 12, |_, _| (), true);
    check(10, 11, |_, _| (), true);
    // before it is signed nobody can know of it
    check(10, 10, |_, _| (), false);
    check(12, 12, |_, it| it.entries[3].erasure = None, false);
    check(12, 12, |author, it| *of(it) = author.prove_erasure(10, 11), false);
    check(12, 12, |_, it| of(it).inclusion.clear(), false);
    check(12, 12, |_, it| of(it).salt = Bytes::from_static(&[1; 16]), false);
    check(12, 12, |_, it| of(it).body = Bytes::from_static(b"other"), false);
    check(12, 12, |_, it| of(it).header = Bytes::from_static(b"none"), false);
    // an entry that is no erasure excuses nothing
    check(12, 12, |author, it| *of(it) = author.prove_erasure(11, 12), false);
    // what says that it is erased brings no body
    check(12, 12, |_, it| it.entries[3].body = Bytes::from_static(b"body"), false);
    check(12, 12, |_, it| it.entries[3].salt = Bytes::from_static(&[9; 16]), false);
    check(12, 12, |_, it| it.entries[3].body_state = BodyState::Withheld.into(), false);
}

#[test]
fn an_erasure_of_another_entry_or_log_or_of_what_is_protected_excuses_nothing() {
    let other_entry = |_: &mut Author, it: &mut Batch| {
        let proof = it.entries[3].erasure.take();
        it.entries[4].erasure = proof;
        it.entries[4].body_state = BodyState::Erased.into();
        (it.entries[4].salt, it.entries[4].body) = (Bytes::new(), Bytes::new());
    };
    check(12, 12, other_entry, false);
    let mut bench = bench();
    let author = bench.author(Land::RP);
    author.append_with(b"a move", |it| it.kind = Kind::Uebergabe);
    author.append_erasure(10);
    let proof = author.prove_erasure(11, 12);
    bench.tell(1, Land::RP, 12, 12);
    let mut it = batch(&mut bench, 12, 12);
    it.entries[10].erasure = Some(proof);
    it.entries[10].body_state = BodyState::Erased.into();
    (it.entries[10].salt, it.entries[10].body) = (Bytes::new(), Bytes::new());
    assert!(said(&mut bench, it).unwrap_err().starts_with("fault RP body; "));
    // another Land names the right entry of this log in its own
    let verbund = bench.charter.id();
    let mut foreign = Author::new(verbund, Land::TH, signer(Land::TH));
    foreign.append(10);
    let leaf = leaf_hash(&bench.author(Land::RP).batch(3, 4, 12).entries[0].header);
    foreign.append_erasure_of(3, leaf);
    check(12, 12, |_, it| *of(it) = foreign.prove_erasure(10, 11), false);
}

#[test]
fn what_is_erased_in_the_batch_it_comes_with_is_not_stored_at_all() {
    let mut bench = bench();
    erasing(&mut bench, 3);
    let it = batch(&mut bench, 12, 12);
    let store = said(&mut bench, it).expect("taken");
    for (at, entry) in store.entries.iter().enumerate() {
        let state = if at == 3 { BodyState::Erased } else { BodyState::Present };
        assert_eq!((entry.body_state(), entry.body.is_empty()), (state, at == 3), "{at}");
    }
    // one that names another entry takes nothing out
    let mut bench = super::bench();
    let author = bench.author(Land::RP);
    author.append_erasure_of(3, leaf_hash(b"another"));
    bench.tell(1, Land::RP, 11, 11);
    let it = batch(&mut bench, 11, 11);
    let store = said(&mut bench, it).expect("taken");
    assert!(store.entries.iter().all(|it| it.body_state() == BodyState::Present));
}

/// Receipts that are ordered now: size and how far erasures are carried out.
fn receipts(bench: &mut Bench, owner: Land) -> Vec<(u64, u64)> {
    bench.now.mono_ms += 2_000;
    bench.now.wall_ms += 2_000;
    let ordered: Vec<_> = bench.handle(Input::Tick).into_iter().filter(is_testimony).collect();
    let mut found = Vec::new();
    for effect in ordered {
        let Effect::Attest(it) = effect else { continue };
        if it.log == log(owner) {
            found.extend(it.receipt.as_ref().map(|it| (it.size, it.erased)));
        }
        let (log, verbund) = (it.log, bench.charter.id());
        let receipt = it.receipt.map(|it| it.sign(verbund, &signer(Land::SL)).expect("signed"));
        bench.handle(Input::Attested { log, receipt: receipt.map(Box::new), cosigned: None });
    }
    found
}

#[test]
fn a_receipt_confirms_an_erasure_once_it_is_carried_out() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    assert_eq!(receipts(&mut bench, Land::RP), [(10, 10)]);
    erasing(&mut bench, 3);
    bench.send(1, Land::RP, 10, 12, 12);
    bench.handle(Input::Erasing { log: log(Land::RP), by: 10 });
    bench.stored(Land::RP);
    assert_eq!(receipts(&mut bench, Land::RP), [(12, 10)]);
    assert_eq!(receipts(&mut bench, Land::RP), []);
    bench.handle(Input::Erased { log: log(Land::RP), by: 10 });
    assert_eq!(receipts(&mut bench, Land::RP), [(12, 12)]);
    assert_eq!(receipts(&mut bench, Land::RP), []);
}

#[test]
fn the_owner_confirms_as_well_but_states_nothing_else_about_its_log() {
    let mut bench = Bench::open();
    let head = bench.author(Land::SL);
    head.append(1);
    let signed = head.signed(1);
    bench.handle(Input::Committed { signed });
    assert_eq!(receipts(&mut bench, Land::SL), []);
    let (own, by) = (log(Land::SL), 0);
    bench.handle(Input::Erasing { log: own, by });
    assert_eq!(receipts(&mut bench, Land::SL), [(1, 0)]);
    bench.handle(Input::Erased { log: own, by });
    assert_eq!(receipts(&mut bench, Land::SL), [(1, 1)]);
}

#[test]
fn an_erasure_without_a_readable_body_erases_nothing() {
    let mut bench = bench();
    let author = bench.author(Land::RP);
    let leaf_hash = vec![1; 32].into();
    let later = wire::Erasure { index: 11, leaf_hash, ..wire::Erasure::default() };
    author.append_with(&later.encode_to_vec(), |it| it.kind = Kind::Erasure);
    author.append_with(b"\xff\xff", |it| it.kind = Kind::Erasure);
    bench.tell(1, Land::RP, 12, 12);
    let it = batch(&mut bench, 12, 12);
    let store = said(&mut bench, it).expect("taken: what it means is the fold's matter");
    assert!(store.entries.iter().all(|it| it.body_state() == BodyState::Present));
}

/// Ten entries of the first epoch of Rheinland-Pfalz, of which a reset keeps eight, and a second epoch
/// whose entry 1 erases entry 3 of the first.
struct Ended {
    first: Author,
    second: Author,
    resets: Vec<TakenReset>,
}

impl Ended {
    fn new() -> Self {
        let author = |epoch| {
            let log = LogId { epoch, ..log(Land::RP) };
            Author::of_log(Origin { verbund: charter(&LAENDER).id(), log }, signer(Land::RP))
        };
        let (mut first, mut second) = (author(1), author(2));
        first.append(7);
        first.append_with(b"a move", |it| it.kind = Kind::Uebergabe);
        first.append(2);
        let said = reset(log(Land::RP), 8, first.checkpoint(8).root, &[Land::HE, Land::TH]);
        second.append_with(&said.encode(), |it| {
            (it.kind, it.object_id) = (Kind::EpochReset, None);
        });
        let resets = vec![said.complete(&charter(&LAENDER)).expect("complete")];
        let mut it = Self { first, second, resets };
        it.erases(1, 3);
        it
    }

    /// What the second epoch holds behind its reset.
    fn erases(&mut self, epoch: u64, index: u64) {
        self.second.rewrite(1);
        let leaf = leaf_hash(&self.first.batch(index, index + 1, 10).entries[0].header);
        self.second.append_erasure_in(epoch, index, leaf);
    }

    /// A node that holds nothing of it yet, and what it says to the first epoch without the body of
    /// the entry `at`, for which the proof comes.
    fn said(self, at: usize, proof: ErasureProof) -> (Bench, Result<Store, String>) {
        let Self { first, resets, .. } = self;
        let mut bench = Bench::with(|it| it.resets = resets);
        bench.connect(1, Land::RP);
        bench.say(1, Message::Heads(heads(vec![first.head(10, 10)], 0)));
        let mut batch = Batch { follow: bench.follow(1, Land::RP), ..first.batch(0, 10, 10) };
        let header = batch.entries[at].header.clone();
        batch.entries[at] = BatchEntry {
            header,
            body_state: BodyState::Erased.into(),
            erasure: Some(proof),
            ..BatchEntry::default()
        };
        let said = said(&mut bench, batch);
        (bench, said)
    }
}

/// A body of an epoch that has ended is missing, and this proof comes in its place.
#[track_caller]
fn check_ended(at: usize, prove: impl FnOnce(&mut Ended) -> ErasureProof, taken: bool) {
    check_told(at, prove, if taken { "" } else { "fault RP body; " });
}

/// The same with a proof that only a reset makes worth nothing: who shows it may not know of that.
#[track_caller]
fn check_discarded(at: usize, prove: impl FnOnce(&mut Ended) -> ErasureProof) {
    check_told(at, prove, "lapse RP other_history; ");
}

#[track_caller]
fn check_told(at: usize, prove: impl FnOnce(&mut Ended) -> ErasureProof, refused: &str) {
    let mut ended = Ended::new();
    let proof = prove(&mut ended);
    match ended.said(at, proof).1 {
        Ok(store) => {
            assert!(refused.is_empty(), "is taken");
            assert_eq!(store.entries[at].body_state(), BodyState::Erased);
        }
        Err(label) => assert!(!refused.is_empty() && label.starts_with(refused), "{label}"),
    }
}

#[test]
fn a_body_of_an_epoch_that_ended_may_be_missing_if_a_later_epoch_erases_it() {
    check_ended(3, |it| it.second.prove_later(1, 2), true);
    // what lies beyond the cut of the reset can be erased as well
    let beyond = |it: &mut Ended| {
        it.erases(1, 9);
        it.second.prove_later(1, 2)
    };
    check_ended(9, beyond, true);
    // no reset of that epoch is known whose tree it could be in
    check_discarded(3, |it| it.second.prove_erasure(1, 2));
    // another entry, and one that others rest on
    check_ended(4, |it| it.second.prove_later(1, 2), false);
    let protected = |it: &mut Ended| {
        it.erases(1, 7);
        it.second.prove_later(1, 2)
    };
    check_ended(7, protected, false);
    // the reset erases nothing, nor does an erasure that names no earlier epoch
    check_ended(3, |it| it.second.prove_later(0, 2), false);
    for epoch in [0, 2, 3] {
        let elsewhere = |it: &mut Ended| {
            it.erases(epoch, 3);
            it.second.prove_later(1, 2)
        };
        check_ended(3, elsewhere, false);
    }
}

#[test]
fn an_erasure_that_nobody_can_know_or_that_others_signed_excuses_nothing() {
    // the epoch has not begun for this node
    let unknown = |it: &mut Ended| {
        it.resets.clear();
        it.second.prove_later(1, 2)
    };
    check_ended(3, unknown, false);
    // signed by somebody else, for another root, or in the log of another Land
    let by_other = |it: &mut Ended, land: Land, of: Land| {
        let origin =
            Origin { verbund: charter(&LAENDER).id(), log: LogId { epoch: 2, ..log(land) } };
        let mut other = Author::of_log(origin, signer(of));
        other.append(1);
        let leaf = leaf_hash(&it.first.batch(3, 4, 10).entries[0].header);
        other.append_erasure_in(1, 3, leaf);
        other.prove_later(1, 2)
    };
    check_ended(3, |it| by_other(it, Land::RP, Land::TH), false);
    check_ended(3, |it| by_other(it, Land::TH, Land::TH), false);
    check_ended(3, |it| by_other(it, Land::TH, Land::RP), false);
    let lie = |it: &mut Ended| {
        let checkpoint = it.second.lie(2, leaf_hash(b"another tree"));
        ErasureProof { checkpoint, ..it.second.prove_later(1, 2) }
    };
    check_ended(3, lie, false);
    let garbage = |it: &mut Ended| {
        let checkpoint = Bytes::from_static(b"no note");
        ErasureProof { checkpoint, ..it.second.prove_later(1, 2) }
    };
    check_ended(3, garbage, false);
}

#[test]
fn of_an_epoch_that_a_reset_ended_only_what_that_keeps_excuses_a_body() {
    let ends = |it: &mut Ended, size| {
        let (log, root) = (LogId { epoch: 2, ..log(Land::RP) }, it.second.checkpoint(size).root);
        let said = reset(log, size, root, &[Land::HE, Land::TH]);
        it.resets.push(said.complete(&charter(&LAENDER)).expect("complete"));
    };
    let kept = |size, shown| {
        move |it: &mut Ended| {
            ends(it, size);
            if shown { it.second.prove_later(1, 2) } else { it.second.prove_erasure(1, 2) }
        }
    };
    // in the tree of the reset, whoever signed what
    check_ended(3, kept(2, false), true);
    check_ended(3, kept(1, false), false);
    for size in [1, 2] {
        check_discarded(3, kept(size, true));
    }
    // the owner signed another history, which erases something else at the same place
    let forked = |shown| {
        move |it: &mut Ended| {
            ends(it, 2);
            it.erases(1, 4);
            if shown { it.second.prove_later(1, 2) } else { it.second.prove_erasure(1, 2) }
        }
    };
    check_discarded(4, forked(true));
    check_ended(4, forked(false), false);
}

#[test]
fn a_checkpoint_that_excuses_a_body_convicts_its_owner_like_any_other() {
    let mut ended = Ended::new();
    let proof = ended.second.prove_later(1, 2);
    // the second epoch as this node holds it: another history of the same size
    ended.second.rewrite(1);
    ended.second.append(2);
    let second = ended.second.log();
    let held = ended.second.recovered(3, 3);
    let resets = ended.resets.clone();
    let first = ended.first.recovered(0, 0);
    let mut bench = Bench::with(|it| (it.resets, it.logs) = (resets, vec![first, held]));
    bench.connect(1, Land::RP);
    bench.say(1, Message::Heads(heads(vec![ended.first.head(10, 10)], 0)));
    let mut batch = Batch { follow: bench.follow(1, Land::RP), ..ended.first.batch(0, 10, 10) };
    let entry = &mut batch.entries[3];
    (entry.salt, entry.body) = (Bytes::new(), Bytes::new());
    (entry.body_state, entry.erasure) = (BodyState::Erased.into(), Some(proof));
    let said = bench.say(1, Message::Batch(batch));
    assert!(said.iter().any(|it| it.starts_with("store RP/1")), "{said:?}");
    assert!(said.iter().any(|it| it.contains(&format!("examine {second}"))), "{said:?}");
}
