//! Proofs of votes at a node that has only been told the charters.

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_core::charter::{Chain, Told, decision};
use registry_proto::{
    charter::{Charter, CharterVote},
    log::{Checkpoint, Header, Kind, LogSigner, Origin, body_digest, leaf_hash},
    terms::{Land, LogId},
    wire::registry::{self as wire, CharterDecision},
};
use tokio_util::sync::CancellationToken;

use super::{
    decisions::{self, Decisions},
    scan::{Known, Scan},
};

/// A genesis charter with one member, two charters that follow it, and what proves the first.
pub(crate) fn decided() -> (Vec<Charter>, CharterDecision) {
    let key = |seed| SigningKey::from_bytes(&[seed; 32]);
    let public = |seed| Bytes::copy_from_slice(key(seed).verifying_key().as_bytes());
    let member = wire::Member {
        land: Land::SL.code().to_owned(),
        log_key: public(1),
        freshness_key: public(2),
        offline_key: public(3),
        nodes: vec![wire::MemberNode {
            name: "node.sl.example".to_owned(),
            spki_pins: vec![vec![1; 32].into()],
        }],
        ..wire::Member::default()
    };
    let charter = wire::Charter {
        format_level: 1,
        name: "Verbund".to_owned(),
        threshold: 1,
        members: vec![member],
        ..wire::Charter::default()
    };
    let genesis = Charter::parse(charter.encode_to_vec().into()).expect("a charter");
    let next = successor(&genesis);
    let vote = CharterVote {
        predecessor: genesis.digest(),
        round: 1,
        successor: Some(next.raw().clone()),
        cited: vec![],
    };
    let (body, salt, log) = (vote.encode(), [7; 16], LogId { land: Land::SL, epoch: 1 });
    let header = Header {
        verbund: genesis.id(),
        log,
        index: 0,
        kind: Kind::CharterVote,
        recorded_unix_ms: 1_795_449_600_000,
        object_id: None,
        audience: 1,
        batch_end: true,
        references: vec![],
        principal: "operator".to_owned(),
        body_length: u32::try_from(body.len()).expect("small"),
        body_digest: body_digest(&salt, &body),
        request: None,
    };
    let header = header.encode().expect("a header");
    let origin = Origin { verbund: genesis.id(), log };
    let head = Checkpoint { origin, size: 1, root: leaf_hash(&header) };
    let signer = LogSigner::new(key(1), key(2));
    let checkpoint = head.sign(&signer, 1_795_449_600).expect("signed").raw().clone();
    let votes = vec![decision::Standing { header, salt, body, checkpoint, proof: vec![] }];
    let proof = decision::assemble(&genesis, &next, votes).expect("proved");
    let last = successor(&next);
    (vec![genesis, next, last], proof)
}

fn successor(of: &Charter) -> Charter {
    let mut next = of.draft_of_next();
    let entries_per_day = of.number() + 100;
    next.members[0].quota = Some(wire::Quota { entries_per_day, ..wire::Quota::default() });
    of.successor(next.encode_to_vec().into()).expect("a successor").0
}

/// What a node without any log makes of charters and decisions that it starts with.
fn scanned(data_dir: &Path, charters: &[Charter], told: &[CharterDecision]) -> Scan {
    let decisions = told.iter().map(|it| (it.number, it.clone())).collect();
    let known = Known { charters: charters.to_vec(), decisions };
    let (chain, token) = (Chain::new(charters[0].clone()), CancellationToken::new());
    let dir = data_dir.to_owned();
    let mut scan = Scan::new(chain, known, BTreeMap::new(), &BTreeMap::new(), dir, token);
    assert!(scan.look());
    scan
}

#[test]
fn a_proof_that_does_not_fit_the_chain_is_neither_served_nor_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (charters, proof) = decided();
    let garbage = |number| CharterDecision { number, ..CharterDecision::default() };
    let scan = scanned(dir.path(), &charters, &[proof.clone(), garbage(2), garbage(3)]);
    assert_eq!(scan.decisions().values().collect::<Vec<_>>(), [&proof]);
    let told: Vec<_> = scan.chain().told().values().copied().collect();
    assert_eq!(told, [Told::Proved, Told::Unproved]);
    let kept = fs::read_dir(dir.path().join("charters")).expect("kept").count();
    assert_eq!(kept, 1);
    // of another charter with the same number
    let mut others = charters[0].draft_of_next();
    others.members[0].quota = Some(wire::Quota { entries_per_day: 7, ..wire::Quota::default() });
    let other = charters[0].successor(others.encode_to_vec().into()).expect("a successor").0;
    let scan = scanned(dir.path(), &[charters[0].clone(), other], std::slice::from_ref(&proof));
    assert!(scan.decisions().is_empty());
}

#[test]
fn a_proof_is_kept_also_of_a_charter_that_was_adopted_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let (charters, proof) = decided();
    let mut found = Decisions::new();
    // what stood there before does not hold
    decisions::keep(dir.path(), &CharterDecision { number: 1, ..CharterDecision::default() })
        .expect("kept");
    decisions::load(dir.path(), &charters, &mut found);
    assert!(found.is_empty());
    assert!(scanned(dir.path(), &charters, std::slice::from_ref(&proof)).is_kept(1));
    decisions::load(dir.path(), &charters, &mut found);
    assert_eq!(found.get(&1), Some(&proof));

    // a disk that fails is tried again, and holds up nothing but this charter
    let blocked = dir.path().join("blocked");
    fs::write(&blocked, "a file").expect("written");
    let mut scan = scanned(&blocked, &charters, &[proof]);
    assert_eq!((scan.is_kept(1), scan.is_kept(2)), (false, true));
    fs::remove_file(&blocked).expect("removed");
    assert!(!scan.look());
    assert!(scan.is_kept(1));
}
