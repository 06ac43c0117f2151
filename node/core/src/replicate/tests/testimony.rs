//! Receipts and cosignatures: when they are given, how they go round, and what they prove.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    log::{Cosigned, Hash},
    receipt::{Receipt, SignedReceipt},
    terms::Land,
    wire::peer::{Cosignature, Cosignatures, Receipts, peer_message::Message},
};

use super::{bench, delivers};
use crate::{
    limits,
    node::{Effect, Input},
    replicate::{Attest, SessionId},
    status::LogState,
    testing::{Author, Bench, brief, is_testimony, log, signer},
};

/// Lets time pass; what is said about testimony only.
pub(super) fn later(bench: &mut Bench, ms: u64) -> Vec<Effect> {
    let mut effects = bench.pass(ms);
    effects.extend(bench.handle(Input::Tick));
    effects.into_iter().filter(is_testimony).collect()
}

fn words(effects: &[Effect]) -> Vec<String> {
    effects.iter().map(brief).collect()
}

fn only(effects: Vec<Effect>) -> Vec<String> {
    words(&effects.into_iter().filter(is_testimony).collect::<Vec<_>>())
}

/// The shell signs what was ordered.
pub(super) fn attested(bench: &mut Bench, effects: &[Effect]) -> Vec<String> {
    let mut said = Vec::new();
    for effect in effects {
        let Effect::Attest(Attest { log, receipt, checkpoint }) = effect else { continue };
        let verbund = bench.charter.id();
        let receipt =
            receipt.as_ref().map(|it| it.sign(verbund, &signer(Land::SL)).expect("signed"));
        let cosigned = checkpoint.as_ref().map(|it| {
            let owner = bench.charter.member(log.land).expect("a member").keys.clone();
            Cosigned::sign(it, &owner, Land::SL, &signer(Land::SL), 7).expect("signed")
        });
        let (receipt, cosigned) = (receipt.map(Box::new), cosigned.map(Box::new));
        let input = Input::Attested { log: *log, receipt, cosigned };
        said.extend(only(bench.handle(input)));
    }
    said
}

fn receipt(bench: &Bench, holder: Land, size: u64) -> SignedReceipt {
    let root = Hash::of(b"whatever it holds");
    let (log, unix_ms) = (log(Land::RP), 1_000 + i64::try_from(size).expect("small"));
    let receipt = Receipt { holder, log, size, root, bodies_missing: 0, unix_ms, erased: 0 };
    receipt.sign(bench.charter.id(), &signer(holder)).expect("signed")
}

fn say_receipts(bench: &mut Bench, session: u64, items: Vec<Bytes>) -> Vec<String> {
    let message = Message::Receipts(Receipts { items });
    words(&bench.handle(Input::Received { session: SessionId(session), message }))
}

pub(super) fn cosignature(of: &Author, size: u64, witness: Land) -> Cosignature {
    let keys = signer(Land::RP).keys();
    let cosigned = Cosigned::sign(&of.signed(size), &keys, witness, &signer(witness), 9 + size);
    Cosignature {
        witness: witness.code().to_owned(),
        land: "RP".to_owned(),
        epoch: 1,
        note: cosigned.expect("signed").raw().clone(),
    }
}

pub(super) fn say_cosigned(
    bench: &mut Bench,
    session: u64,
    items: Vec<Cosignature>,
) -> Vec<Effect> {
    let message = Message::Cosignatures(Cosignatures { items });
    bench.handle(Input::Received { session: SessionId(session), message })
}

pub(super) fn cosigned_entries(bench: &Bench) -> u64 {
    let status = bench.node.status(bench.now);
    status.logs.iter().find(|it| it.log == log(Land::RP)).map(|it| it.cosigned).expect("a log")
}

#[test]
fn what_is_durable_is_stated_once_and_at_most_once_a_second() {
    let mut bench = bench();
    assert!(later(&mut bench, 1).is_empty(), "nothing is held");
    bench.send(1, Land::RP, 0, 10, 10);
    assert!(later(&mut bench, 1_000).is_empty(), "nothing is durable");
    bench.stored(Land::RP);
    let ordered = later(&mut bench, 1);
    assert_eq!(words(&ordered), ["attest RP/1 10 10"]);
    assert!(later(&mut bench, 5_000).is_empty(), "one is under way");
    let said = attested(&mut bench, &ordered);
    assert_eq!(said, ["keep cosigned SL RP/1 10"]);
    let told = words(&later(&mut bench, 1));
    let both = |id: u64| [format!("{id} <- receipts 1"), format!("{id} <- cosignatures 1")];
    assert_eq!(told, [both(1), both(2)].concat());
    // more comes at once; what is new waits for its second
    bench.author(Land::RP).append(2);
    bench.tell(1, Land::RP, 12, 12);
    bench.send(1, Land::RP, 10, 11, 12);
    bench.stored(Land::RP);
    let early = limits::TESTIFY_EVERY_MS - 1_000;
    let ordered = later(&mut bench, early);
    // no checkpoint signs eleven entries: a receipt only
    assert_eq!(words(&ordered), ["attest RP/1 11 0"]);
    attested(&mut bench, &ordered);
    bench.send(1, Land::RP, 11, 12, 12);
    bench.stored(Land::RP);
    assert!(!words(&later(&mut bench, 500)).iter().any(|it| it.starts_with("attest")));
    let ordered = later(&mut bench, 500);
    assert!(words(&ordered).contains(&"attest RP/1 12 12".to_owned()), "{ordered:?}");
    attested(&mut bench, &ordered);
    // a fresher signature of the same size is cosigned, and needs no receipt
    bench.author(Land::RP).seconds += 60;
    bench.tell(1, Land::RP, 12, 12);
    assert!(words(&later(&mut bench, 2_000)).contains(&"attest RP/1 0 12".to_owned()));
}

#[test]
fn receipts_are_verified_kept_and_passed_on_once() {
    let mut bench = bench();
    let one = receipt(&bench, Land::TH, 5);
    let said = say_receipts(&mut bench, 2, vec![one.raw().clone()]);
    assert_eq!(said, ["keep receipt TH RP/1 5"]);
    assert_eq!(words(&later(&mut bench, 1_000)), ["1 <- receipts 1"], "not back");
    // the same again, and an older one, from anybody
    let older = receipt(&bench, Land::TH, 4);
    for session in [1, 2] {
        let items = vec![one.raw().clone(), older.raw().clone()];
        assert_eq!(say_receipts(&mut bench, session, items), Vec::<String>::new());
    }
    assert!(later(&mut bench, 5_000).is_empty());
    // who connects later is told everything
    bench.input(Input::SessionClosed { session: SessionId(1) });
    bench.connect(3, Land::RP);
    assert_eq!(words(&later(&mut bench, 1_000)), ["3 <- receipts 1"]);
}

#[test]
fn receipts_that_do_not_verify_end_the_session() {
    let check = |make: &dyn Fn(&Bench) -> Vec<Bytes>, label: &str| {
        let mut bench = bench();
        let items = make(&bench);
        let said = say_receipts(&mut bench, 2, items);
        assert_eq!(said, [format!("fault TH {label}"), format!("close 2 {label}")]);
    };
    check(&|_| vec![Bytes::from_static(b"\xff")], "receipt");
    check(&|_| vec![vec![0; 4_000].into()], "receipt");
    check(&|_| vec![Bytes::new(); limits::TESTIMONIES_MAX + 1], "too_much_testimony");
    let forged = |bench: &Bench| {
        let it = receipt(bench, Land::TH, 5);
        let mut statement =
            registry_proto::wire::registry::SignedStatement::decode(it.raw().clone())
                .expect("ours");
        statement.signature = vec![7; 64].into();
        vec![statement.encode_to_vec().into()]
    };
    check(&forged, "receipt");
    // more than anybody may tell in so short a time
    let mut bench = bench();
    let one = receipt(&bench, Land::TH, 5).raw().clone();
    let full = vec![one; limits::TESTIMONIES_MAX];
    let fits = limits::TESTIMONIES_BURST_MAX / limits::TESTIMONIES_MAX as u64;
    for _ in 0..fits {
        assert!(!say_receipts(&mut bench, 2, full.clone()).iter().any(|it| it.contains("close")));
    }
    let said = say_receipts(&mut bench, 2, full);
    assert_eq!(said, ["fault TH too_fast", "close 2 too_fast"]);
}

#[test]
fn more_than_half_of_the_members_and_not_the_owner_make_a_majority() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let ordered = later(&mut bench, 1);
    attested(&mut bench, &ordered);
    assert_eq!(cosigned_entries(&bench), 0, "one of four");
    let mut history = Author::new(bench.charter.id(), Land::RP, signer(Land::RP));
    history.append(10);
    // the owner signs whatever it signs
    let votes = [(10, Land::RP), (10, Land::TH)].map(|(size, it)| cosignature(&history, size, it));
    say_cosigned(&mut bench, 1, votes.to_vec());
    assert_eq!(cosigned_entries(&bench), 0, "two of four, and the owner");
    say_cosigned(&mut bench, 2, vec![cosignature(&history, 10, Land::HE)]);
    assert_eq!(cosigned_entries(&bench), 10);
}

#[test]
fn a_cosignature_of_less_counts_once_the_disk_agrees() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let ordered = later(&mut bench, 1);
    attested(&mut bench, &ordered);
    let mut history = Author::new(bench.charter.id(), Land::RP, signer(Land::RP));
    history.append(10);
    say_cosigned(&mut bench, 1, vec![cosignature(&history, 10, Land::TH)]);
    let effects = say_cosigned(&mut bench, 1, vec![cosignature(&history, 7, Land::HE)]);
    let asked = effects.into_iter().find_map(|it| match it {
        Effect::Examine(it) => Some(it),
        _ => None,
    });
    let examination = asked.expect("seven are looked at");
    assert_eq!(cosigned_entries(&bench), 0);
    let found = crate::replicate::Found { root: history.checkpoint(7).root, proof: Vec::new() };
    let said =
        bench.handle(Input::Examined { examination: Box::new(examination), found: Some(found) });
    assert_eq!(only(said), ["keep cosigned HE RP/1 7"]);
    assert_eq!(cosigned_entries(&bench), 7);
}

#[test]
fn a_cosigned_head_of_another_history_convicts_the_owner() {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    let mut other = Author::new(bench.charter.id(), Land::RP, signer(Land::RP));
    other.append(9);
    other.append_with(b"other", |_| ());
    let effects = say_cosigned(&mut bench, 2, vec![cosignature(&other, 10, Land::TH)]);
    assert!(words(&effects).contains(&"keep evidence RP/1".to_owned()), "{effects:?}");
    let status = bench.node.status(bench.now);
    let found = status.logs.iter().find(|it| it.log == log(Land::RP)).expect("a log");
    assert_eq!((found.state, found.forked, found.cosigned), (LogState::Quarantined, true, 0));
    // nothing more is stated about it
    assert!(!words(&later(&mut bench, 5_000)).iter().any(|it| it.starts_with("attest")));
}

#[test]
fn a_cosignature_that_does_not_verify_ends_the_session() {
    let mut bench = bench();
    let mut history = Author::new(bench.charter.id(), Land::RP, signer(Land::RP));
    history.append(10);
    let forged = Cosignature { witness: "HE".to_owned(), ..cosignature(&history, 10, Land::TH) };
    let said = words(&say_cosigned(&mut bench, 2, vec![forged]));
    assert_eq!(said, ["fault TH checkpoint", "close 2 checkpoint"]);
}

#[test]
fn what_was_kept_is_told_and_counted_after_a_restart() {
    let mut source = bench();
    delivers(&mut source, 1, Land::RP);
    let kept = receipt(&source, Land::TH, 5);
    let mut history = Author::new(source.charter.id(), Land::RP, signer(Land::RP));
    history.append(10);
    let votes = [Land::SL, Land::TH, Land::HE].map(|witness| {
        let keys = signer(Land::RP).keys();
        Cosigned::sign(&history.signed(10), &keys, witness, &signer(witness), 9).expect("signed")
    });
    let mut again = Bench::with(|setup| {
        setup.logs = vec![history.recovered(10, 10)];
        setup.receipts = vec![kept];
        setup.cosigned = votes.to_vec();
    });
    assert_eq!(cosigned_entries(&again), 10);
    again.connect(1, Land::TH);
    let told = words(&later(&mut again, 1_000));
    assert!(told.contains(&"1 <- receipts 1".to_owned()), "{told:?}");
    assert!(told.contains(&"1 <- cosignatures 3".to_owned()), "{told:?}");
}
