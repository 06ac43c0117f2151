//! Proofs hold for what a Land signed and for nothing else.

mod support;

use bytes::Bytes;
use registry_client::proof::{ProofError, verify_inclusion};
use registry_proto::{
    log::Hash,
    wire::registry::{GetInclusionProofResponse, LogPosition},
};

use crate::support::{
    Bench,
    prove::{BODY, World},
};

type Answer = GetInclusionProofResponse;

fn refuse(tamper: impl FnOnce(&World, &mut Answer)) -> ProofError {
    let world = World::new(11);
    let mut answer = world.answer(4);
    tamper(&world, &mut answer);
    verify_inclusion(&answer, &world.charter, &World::position(4)).expect_err("refused")
}

fn flip(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

#[test]
fn every_entry_of_an_honest_log_verifies() {
    for size in [1, 2, 7, 8, 11, 200] {
        let world = World::new(size);
        for index in [0, size / 2, size - 1] {
            let answer = world.answer(index);
            let entry = verify_inclusion(&answer, &world.charter, &World::position(index));
            let entry = entry.unwrap_or_else(|error| panic!("{size}/{index}: {error}"));
            assert_eq!(entry.header().index, index);
            assert_eq!(entry.checkpoint().size(), size);
            assert_eq!(entry.body().map(|body| &body[..]), Some(BODY));
        }
    }
}

#[test]
fn an_erased_body_leaves_the_proof_whole() {
    let world = World::new(3);
    let mut answer = world.answer(1);
    (answer.salt, answer.body) = (Bytes::new(), Bytes::new());
    let entry = verify_inclusion(&answer, &world.charter, &World::position(1)).expect("proof");
    assert_eq!(entry.body(), None);
}

#[test]
fn a_changed_header_is_refused_at_every_byte() {
    let length = World::new(11).answer(4).header.len();
    for at in 0..length {
        refuse(|_, answer| answer.header = flip(&answer.header, at));
    }
    let error = refuse(|_, answer| {
        answer.header = Bytes::from([&answer.header[..], &[0xf8, 7, 1]].concat())
    });
    assert!(matches!(error, ProofError::Inclusion(_) | ProofError::Header(_)), "{error:?}");
}

#[test]
fn a_changed_proof_is_refused() {
    let count = World::new(11).answer(4).proof.len();
    for at in 0..count {
        let error = refuse(|_, answer| answer.proof[at] = flip(&answer.proof[at], 31));
        assert!(matches!(error, ProofError::Inclusion(_)), "{error:?}");
    }
    let error = refuse(|_, answer| answer.proof.truncate(1));
    assert!(matches!(error, ProofError::Inclusion(_)), "{error:?}");
    let error = refuse(|_, answer| answer.proof.push(answer.proof[0].clone()));
    assert!(matches!(error, ProofError::Inclusion(_)), "{error:?}");
    let error = refuse(|_, answer| answer.proof[2] = Bytes::from_static(b"short"));
    assert_eq!(error, ProofError::HashLength { index: 2 });
}

#[test]
fn a_changed_checkpoint_is_refused_at_every_byte() {
    let length = World::new(11).answer(4).checkpoint.len();
    for at in 0..length {
        refuse(|_, answer| {
            let raw = flip(&Bytes::from(answer.checkpoint.clone()), at);
            answer.checkpoint = String::from_utf8_lossy(&raw).into_owned();
        });
    }
}

#[test]
fn a_checkpoint_over_another_tree_is_refused() {
    let error = refuse(|world, answer| {
        let other = world.checkpoint(11, Hash::from_bytes([5; 32]));
        let other = other.sign(&world.signer, 1).expect("signed");
        answer.checkpoint = String::from_utf8_lossy(other.raw()).into_owned();
    });
    assert!(matches!(error, ProofError::Inclusion(_)), "{error:?}");
}

#[test]
fn a_changed_body_is_refused() {
    assert_eq!(refuse(|_, answer| answer.body = flip(&answer.body, 0)), ProofError::Body);
    assert_eq!(refuse(|_, answer| answer.salt = flip(&answer.salt, 15)), ProofError::Body);
    assert_eq!(refuse(|_, answer| answer.salt = Bytes::new()), ProofError::Body);
}

#[test]
fn a_proof_of_another_entry_is_refused() {
    let world = World::new(11);
    let position = World::position(4);
    let error = verify_inclusion(&world.answer(5), &world.charter, &position);
    assert_eq!(error, Err(ProofError::OtherEntry { field: "index" }));
    let he = LogPosition { land: "HE".to_owned(), ..position };
    let error = verify_inclusion(&world.answer(4), &world.charter, &he);
    assert!(matches!(error, Err(ProofError::NoMember { .. })), "{error:?}");
}

#[test]
fn the_command_line_verifies_and_says_so() {
    let (bench, world) = (Bench::new(), World::new(11));
    let charter = bench.pki.path("charter.binpb");
    std::fs::write(&charter, world.charter.raw()).expect("charter");
    let args = ["proof", "SL/1/4", "--charter", charter.to_str().expect("UTF-8")];

    bench.node.script().proof = world.answer(4);
    let ran = bench.registry(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("Geprüft: SL/1/4"), "{ran:?}");
    assert!(ran.out.contains("Testverbund"), "{ran:?}");
    let ran = bench.registry(&[&args[..], &["-o", "json"]].concat());
    assert!(
        ran.out.contains("\"verified\": true") && ran.out.contains("\"land\": \"SL\""),
        "{ran:?}"
    );

    bench.node.script().proof.body = Bytes::from_static(b"forged");
    let ran = bench.registry(&args);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("Beweis gilt NICHT"), "{ran:?}");
    assert_eq!(ran.out, "");
}

#[test]
fn a_file_that_is_no_charter_is_a_wrong_call() {
    let bench = Bench::new();
    let file = bench.file("charter.binpb", "no charter");
    let ran = bench.registry(&["proof", "SL/1/4", "--charter", &file]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("keine gültige Urkunde"), "{ran:?}");
}
