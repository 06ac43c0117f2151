//! Bodies that are missing because their owner erased them, and what is said about it.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    log::{Kind, leaf_hash},
    terms::Land,
    wire::{
        peer::{Batch, BodyState, ErasureProof, peer_message::Message},
        registry as wire,
    },
};

use super::{bench, delivers, held};
use crate::{
    node::{Effect, Input},
    replicate::Store,
    testing::{Author, Bench, is_testimony, log, signer},
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
    let later = wire::Erasure { index: 11, leaf_hash: vec![1; 32].into(), grund: String::new() };
    author.append_with(&later.encode_to_vec(), |it| it.kind = Kind::Erasure);
    author.append_with(b"\xff\xff", |it| it.kind = Kind::Erasure);
    bench.tell(1, Land::RP, 12, 12);
    let it = batch(&mut bench, 12, 12);
    let store = said(&mut bench, it).expect("taken: what it means is the fold's matter");
    assert!(store.entries.iter().all(|it| it.body_state() == BodyState::Present));
}
