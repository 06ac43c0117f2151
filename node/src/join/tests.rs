//! What a newcomer takes and keeps of what it is told.

use std::fs;

use bytes::Bytes;
use registry_core::limits::JOIN_DECISIONS_BYTES_MAX;
use registry_proto::{
    charter::{CHAIN_BYTES_MAX, Charter, DECISION_BYTES_MAX},
    wire::registry::CharterDecision,
};

use super::{Heard, keep};
use crate::charters::tests::decided;

#[test]
fn large_proofs_are_left_out_and_keep_nobody_from_joining() {
    let mut heard = Heard::default();
    let fit = JOIN_DECISIONS_BYTES_MAX / DECISION_BYTES_MAX;
    let (charter, proof) = (Bytes::from(vec![1; 1_000]), Bytes::from(vec![2; DECISION_BYTES_MAX]));
    for _ in 0..fit + 3 {
        heard.take(vec![charter.clone()], vec![proof.clone()]).expect("taken");
    }
    assert_eq!((heard.charters.len(), heard.decisions.len()), (fit + 3, fit));
    // no more proofs than charters, however small
    let mut heard = Heard::default();
    heard.take(vec![charter], vec![Bytes::new(); 1_000]).expect("taken");
    assert_eq!(heard.decisions.len(), 1);
    // charters count by themselves, empty ones too
    for many in [vec![Bytes::from(vec![1; CHAIN_BYTES_MAX])], vec![Bytes::new(); 262_144]] {
        assert!(heard.take(many, vec![]).is_err());
    }
    assert!(Heard::default().take(vec![], vec![]).is_err());
}

#[test]
fn a_file_with_a_proof_that_does_not_hold_is_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("charter.binpb");
    let (charters, proof) = decided();
    let raw = charters.iter().map(|it| it.raw().clone()).collect();
    let garbage = |number| CharterDecision { number, ..CharterDecision::default() };
    let poisoned = Charter::encode_chain(raw, vec![proof.clone(), garbage(1), garbage(3)]);
    fs::write(&path, poisoned).expect("written");
    keep(&path, &charters, std::slice::from_ref(&proof)).expect("kept");
    let raw = fs::read(&path).expect("there");
    let (known, proved) = Charter::chain_and_decisions(raw.into()).expect("a chain");
    assert_eq!((known.len(), proved), (3, vec![proof]));
}
