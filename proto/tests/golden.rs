//! Forms that were released must decode for ever. The files in `golden/` are never changed; a new
//! form gets new files, which `UPDATE_GOLDEN=1 cargo test -p registry-proto --test golden` writes
//! where they are missing.

use std::{fs, path::Path};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use registry_proto::{
    charter::{Change, Charter, CharterVote, CitedVote},
    erasure::{self, Erasing, ErasureError},
    evidence::Equivocation,
    join::{InvitationId, Invited, JoinCard, JoinSecret, JoinToken},
    key::Key,
    log::{
        Checkpoint, Cosigned, Hash, Header, Kind, LogSigner, Origin, Reference, SignedCheckpoint,
        VerbundId, body_digest, check_consistency, leaf_hash, node_hash,
    },
    receipt::{Receipt, SignedReceipt},
    terms::{Land, LogId},
    wire::{
        peer::{Batch, BatchEntry, BodyState, ErasureProof},
        registry as wire,
    },
};
use uuid::Uuid;

const TIME: u64 = 1_795_449_600;

/// Content of a golden file; made from `fresh` when it does not exist yet and that was asked for.
#[track_caller]
fn golden(name: &str, fresh: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, fresh).expect("write");
    }
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Bytes of a golden file of hexadecimal lines.
#[track_caller]
fn golden_bytes(name: &str, fresh: &[u8]) -> Bytes {
    let lines: Vec<_> = fresh.chunks(32).map(hex::encode).collect();
    let text = golden(name, &(lines.join("\n") + "\n"));
    let digits: String = text.split_whitespace().collect();
    hex::decode(digits).expect("hexadecimal digits").into()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn header() -> Header {
    Header {
        verbund: VerbundId::from_bytes([0xab; 32]),
        log: LogId { land: Land::SL, epoch: 1 },
        index: 4_711,
        kind: Kind::ServiceVersion,
        recorded_unix_ms: 1_795_449_600_123,
        object_id: Some(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001)),
        audience: 1,
        batch_end: true,
        references: vec![Reference {
            land: Land::RP,
            object_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002),
            leaf_hash: leaf_hash(b"the other entry"),
        }],
        principal: "publisher-sl".to_owned(),
        body_length: 4,
        body_digest: body_digest(&[5; 16], b"body"),
        request: None,
    }
}

#[test]
fn a_header_of_level_1() {
    let raw = golden_bytes("header-1.hex", &header().encode().unwrap());
    assert_eq!(Header::parse(&raw), Ok(header()));
    assert_eq!(header().encode().unwrap(), raw);
    let leaf = "8cbb7fbb7b00d30fae409dc2536605afe79d6f3adae786d68d4765a15fd7721b";
    assert_eq!(leaf_hash(&raw).to_string(), leaf);
}

#[test]
fn the_least_header_of_level_1() {
    let least = Header {
        index: 0,
        kind: Kind::Unfenced,
        object_id: None,
        references: vec![],
        principal: String::new(),
        batch_end: false,
        ..header()
    };
    let raw = golden_bytes("header-1-least.hex", &least.encode().unwrap());
    assert_eq!(Header::parse(&raw), Ok(least));
}

#[test]
fn a_header_of_newer_software_within_level_1() {
    let newer = Header { kind: Kind::Unknown(77), ..header() };
    let mut fresh = newer.encode().unwrap().to_vec();
    fresh.extend([0xa2, 0x06, 0x03, b'n', b'e', b'w']); // field 100
    let raw = golden_bytes("header-1-newer.hex", &fresh);
    assert_eq!(Header::parse(&raw), Ok(newer));
}

#[test]
fn a_checkpoint_and_its_keys() {
    let signer = LogSigner::new(key(1), key(2));
    let origin = Origin { verbund: header().verbund, log: header().log };
    let checkpoint = Checkpoint { origin, size: 4_712, root: leaf_hash(b"root") };
    let fresh = checkpoint.sign(&signer, TIME).unwrap();
    let raw = golden("checkpoint.txt", std::str::from_utf8(fresh.raw()).unwrap());
    let signed = SignedCheckpoint::verify(raw.as_bytes(), &origin, &signer.keys()).unwrap();
    assert_eq!((signed.checkpoint, signed.fresh_unix_seconds), (checkpoint, TIME));
    assert_eq!(signed, fresh, "signing is deterministic");
}

#[test]
fn a_join_token_and_the_card_that_answers_it() {
    let invited = Invited {
        verbund: header().verbund,
        id: InvitationId::from_bytes([0x1d; 8]),
        secret: JoinSecret::from_bytes([0x5e; 32]),
        land: Land::BY,
        issuer: Land::SL,
        node: "sl-1.verbund.example".to_owned(),
        pins: vec![[0xc1; 32], [0xc2; 32]],
        addresses: vec!["sl-1.verbund.example:7640".to_owned(), "192.0.2.1:7640".to_owned()],
        expires_unix_seconds: 1_795_449_600,
    };
    let fresh = invited.sign(&LogSigner::new(key(1), key(2))).unwrap();
    let text = golden("join-token.txt", &(fresh.text() + "\n"));
    assert_eq!(JoinToken::parse(&text), Ok(fresh), "signing is deterministic");

    let keys = [3, 4, 5].map(|seed| Key::from(key(seed)));
    let public = |key: &Key| Bytes::copy_from_slice(key.public().as_bytes());
    let member = wire::Member {
        land: "BY".to_owned(),
        log_key: public(&keys[0]),
        freshness_key: public(&keys[1]),
        offline_key: public(&keys[2]),
        nodes: vec![wire::MemberNode {
            name: "by-1.verbund.example".to_owned(),
            spki_pins: vec![vec![6; 32].into()],
        }],
        ..wire::Member::default()
    };
    let card = JoinCard::sign(invited.id, member.clone(), invited.verbund, keys.each_ref());
    let raw = golden_bytes("join-card.hex", &card.unwrap().encode_to_vec());
    let signed = wire::SignedJoinCard::decode(raw).unwrap();
    let card = JoinCard::verify(&signed, invited.verbund).unwrap();
    assert_eq!((card.id, card.member), (invited.id, member));
}

#[test]
fn evidence_of_two_sizes() {
    let signer = LogSigner::new(key(1), key(2));
    let origin = Origin { verbund: header().verbund, log: header().log };
    let sign = |size, root| Checkpoint { origin, size, root }.sign(&signer, TIME).unwrap();
    // a tree of two leaves does not begin with the one leaf that was signed before
    let (first, second) = (leaf_hash(b"first"), leaf_hash(b"second"));
    let older = sign(1, leaf_hash(b"another first"));
    let newer = sign(2, node_hash(&first, &second));
    let fresh = Equivocation::of_two_sizes(&older, &newer, &first, &[second]).unwrap();
    let raw = golden_bytes("evidence-1.hex", fresh.raw());
    let kept = Equivocation::verify(&raw, &origin, &signer.keys()).unwrap();
    assert_eq!(kept, fresh);
    assert_eq!((kept.older().size(), kept.newer().size()), (1, 2));
}

#[test]
fn a_cosigned_checkpoint() {
    let (owner, witness) = (LogSigner::new(key(1), key(2)), LogSigner::new(key(4), key(5)));
    let origin = Origin { verbund: header().verbund, log: header().log };
    let checkpoint = Checkpoint { origin, size: 4_712, root: leaf_hash(b"root") };
    let signed = checkpoint.sign(&owner, TIME).unwrap();
    let keys = owner.keys();
    let fresh = Cosigned::sign(&signed, &keys, Land::RP, &witness, TIME + 1).unwrap();
    let raw = golden("cosigned.txt", std::str::from_utf8(fresh.raw()).unwrap());
    let key = witness.keys().freshness;
    let kept = Cosigned::verify(&raw.into(), &origin, &keys, Land::RP, &key).unwrap();
    assert_eq!(kept, fresh);
    assert_eq!((kept.witness(), kept.unix_seconds()), (Land::RP, TIME + 1));
}

#[track_caller]
fn check_receipt(name: &str, erased: u64) {
    let charter = Charter::parse(golden_bytes("charter-1.hex", &[])).expect("a charter");
    let receipt = Receipt {
        holder: Land::RP,
        log: header().log,
        size: 4_712,
        root: leaf_hash(b"root"),
        bodies_missing: 3,
        unix_ms: 1_795_449_600_123,
        erased,
    };
    let signer = LogSigner::new(key(1), key(2));
    let fresh = receipt.sign(charter.id(), &signer).expect("signed");
    let raw = golden_bytes(name, fresh.raw());
    let kept = SignedReceipt::verify(&raw, &charter).expect("a receipt");
    assert_eq!((kept.receipt(), &kept), (&receipt, &fresh));
}

#[test]
fn a_receipt() {
    check_receipt("receipt-1.hex", 0);
    check_receipt("receipt-1-erased.hex", 4_700);
}

#[test]
fn a_contact() {
    let fresh = wire::Kontakt {
        service_id: "01990000-0000-7000-8000-000000000001".to_owned(),
        rolle: "fachlich".to_owned(),
        stelle: "Referat 12".to_owned(),
        name: "Ada Beispiel".to_owned(),
        email: "ada@amt.example".to_owned(),
        telefon: "+49 681 501-00".to_owned(),
        hinweise: vec![],
    };
    let raw = golden_bytes("contact-1.hex", &fresh.encode_to_vec());
    assert_eq!(wire::Kontakt::decode(raw.clone()).unwrap(), fresh);
    assert_eq!(fresh.encode_to_vec(), raw);
}

#[test]
fn an_erasure_and_its_proof() {
    let target = header();
    let leaf = leaf_hash(&target.encode().unwrap());
    let body = wire::Erasure {
        index: target.index,
        leaf_hash: Bytes::copy_from_slice(leaf.as_bytes()),
        grund: "Widerruf der Einwilligung".to_owned(),
        epoch: 0,
    };
    let body = golden_bytes("erasure-1.hex", &body.encode_to_vec());
    let salt = [6; 16];
    let by = Header {
        index: target.index + 1,
        kind: Kind::Erasure,
        body_length: u32::try_from(body.len()).unwrap(),
        body_digest: body_digest(&salt, &body),
        ..header()
    };
    // a tree of two leaves would be enough, but the indices are those of the entries
    let raw = by.encode().unwrap();
    let fresh = erasure::prove(raw, salt, body, &[leaf_hash(b"path")]).encode_to_vec();
    let proof = ErasureProof::decode(golden_bytes("erasure-proof-1.hex", &fresh)).unwrap();
    let read = Erasing::read(&Header::parse(&proof.header).unwrap(), &proof.body).unwrap();
    assert_eq!((read.by, read.index, read.leaf), (4_712, 4_711, leaf));
    assert_eq!(read.grund, "Widerruf der Einwilligung");
    assert_eq!(read.erases(&target, &leaf), Ok(()));
    assert_eq!(proof.encode_to_vec(), fresh);
}

#[test]
fn an_erasure_of_an_earlier_epoch_and_its_proof() {
    let target = header();
    let leaf = leaf_hash(&target.encode().unwrap());
    let body = wire::Erasure {
        index: target.index,
        leaf_hash: Bytes::copy_from_slice(leaf.as_bytes()),
        grund: "Widerruf der Einwilligung".to_owned(),
        epoch: target.log.epoch,
    };
    let body = golden_bytes("erasure-2.hex", &body.encode_to_vec());
    let salt = [6; 16];
    let later = LogId { epoch: target.log.epoch + 1, ..target.log };
    let by = Header {
        log: later,
        index: 0,
        kind: Kind::Erasure,
        body_length: u32::try_from(body.len()).unwrap(),
        body_digest: body_digest(&salt, &body),
        ..header()
    };
    let raw = by.encode().unwrap();
    let origin = Origin { verbund: target.verbund, log: later };
    let signed = Checkpoint { origin, size: 1, root: leaf_hash(&raw) };
    let fresh = ErasureProof {
        checkpoint: signed.sign(&LogSigner::new(key(1), key(2)), TIME).unwrap().raw().clone(),
        ..erasure::prove(raw, salt, body, &[])
    }
    .encode_to_vec();
    let proof = ErasureProof::decode(golden_bytes("erasure-proof-2.hex", &fresh)).unwrap();
    let read = erasure::verify(&proof, &target, &leaf, &signed).unwrap();
    assert_eq!((read.by, read.log, read.index, read.leaf), (0, target.log, 4_711, leaf));
    assert_eq!(proof.encode_to_vec(), fresh);
    // under the checkpoint of the epoch of the entry it proves nothing
    let origin = Origin { verbund: target.verbund, log: target.log };
    let other = Checkpoint { origin, ..signed };
    assert_eq!(erasure::verify(&proof, &target, &leaf, &other), Err(ErasureError::OtherLog));
}

#[test]
fn the_last_of_what_is_kept_with_a_checkpoint_over_more() {
    let (kept, beyond) = (header().encode().unwrap(), leaf_hash(b"beyond"));
    let root = leaf_hash(&kept);
    let origin = Origin { verbund: header().verbund, log: header().log };
    let signed = Checkpoint { origin, size: 2, root: node_hash(&root, &beyond) };
    let signer = LogSigner::new(key(1), key(2));
    let entry = BatchEntry {
        header: kept,
        body_state: BodyState::Withheld.into(),
        ..BatchEntry::default()
    };
    let fresh = Batch {
        land: "SL".to_owned(),
        epoch: 1,
        entries: vec![entry],
        follow: 3,
        kept_checkpoint: signed.sign(&signer, TIME).unwrap().raw().clone(),
        kept_proof: vec![Bytes::copy_from_slice(beyond.as_bytes())],
        ..Batch::default()
    };
    let raw = golden_bytes("batch-kept.hex", &fresh.encode_to_vec());
    let batch = Batch::decode(raw.clone()).unwrap();
    let signed = SignedCheckpoint::verify(&batch.kept_checkpoint, &origin, &signer.keys()).unwrap();
    let proof = [Hash::try_from(&batch.kept_proof[0][..]).unwrap()];
    assert_eq!(check_consistency(&proof, 1, &root, signed.size(), signed.root()), Ok(()));
    assert_eq!((batch.encode_to_vec(), batch), (raw.to_vec(), fresh));
}

#[test]
fn a_genesis_charter_of_level_1() {
    let public = |seed| Bytes::copy_from_slice(key(seed).verifying_key().as_bytes());
    let member = |land: Land, seed: u8| wire::Member {
        land: land.code().to_owned(),
        log_key: public(seed),
        freshness_key: public(seed + 1),
        offline_key: public(seed + 2),
        nodes: vec![wire::MemberNode {
            name: format!("registry.{}.example", land.code().to_lowercase()),
            spki_pins: vec![vec![seed; 32].into()],
        }],
        anchors: vec![],
        quota: None,
        ..wire::Member::default()
    };
    let fresh = wire::Charter {
        format_level: 1,
        number: 0,
        name: "Verbund Mitte".to_owned(),
        test: true,
        threshold: 2,
        members: vec![member(Land::RP, 1), member(Land::SL, 4)],
        ..wire::Charter::default()
    };
    let raw = golden_bytes("charter-1.hex", &fresh.encode_to_vec());
    let charter = Charter::parse(raw).unwrap();
    assert_eq!(charter.name(), "Verbund Mitte");
    assert_eq!(charter.member(Land::SL).unwrap().keys.log, key(4).verifying_key());
    let id = "265fba7f3cc9a972a3c2078bbb1dec52bf8bd0f05e3af20d203efbbbb19f6a3f";
    assert_eq!(charter.id().to_string(), id);
}

#[test]
fn the_entry_that_says_what_came_back() {
    let recovered = wire::Recovered {
        from: 4_711,
        cause: wire::RecoveredCause::Behind.into(),
        answers: vec![wire::RecoveredAnswer {
            land: "RP".to_owned(),
            size: 5_000,
            root: Bytes::copy_from_slice(leaf_hash(b"root").as_bytes()),
            answered_at: Some(prost_types::Timestamp { seconds: 1_795_449_600, nanos: 5 }),
        }],
    };
    let raw = golden_bytes("recovered-1.hex", &recovered.encode_to_vec());
    assert_eq!(wire::Recovered::decode(raw.clone()), Ok(recovered.clone()));
    assert_eq!(recovered.encode_to_vec(), raw);
    let entry = Header { kind: Kind::Recovered, object_id: None, ..header() };
    assert_eq!(Header::parse(&entry.encode().unwrap()), Ok(entry));
    assert_eq!(Kind::Recovered.to_wire(), 13);
}

#[test]
fn a_successor_of_level_1_and_a_vote_for_it() {
    let genesis = Charter::parse(golden_bytes("charter-1.hex", &[])).unwrap();
    let public = |seed| Bytes::copy_from_slice(key(seed).verifying_key().as_bytes());
    let cut = || Some(wire::LogCut { epoch: 1, size: 42, root: vec![7; 32].into() });
    let mut fresh = genesis.draft_of_next();
    // RP goes, SL gets another log key
    let [rp, sl] = &mut fresh.members[..] else { panic!("two members") };
    rp.set_state(wire::MemberState::Removed);
    (rp.nodes, rp.cut) = (vec![], cut());
    sl.former_keys = vec![wire::FormerKeys {
        log_key: sl.log_key.clone(),
        freshness_key: sl.freshness_key.clone(),
        cut: cut(),
    }];
    sl.log_key = public(9);
    fresh.threshold = 1;
    let raw = golden_bytes("charter-1-successor.hex", &fresh.encode_to_vec());
    let (successor, changes) = genesis.successor(raw.clone()).unwrap();
    assert_eq!(changes.len(), 3);
    let digest = "7a423c159ec087f3a1efb714de80f188111b3fc9550811ed2e8507d0d946068d";
    assert_eq!(successor.digest().to_string(), digest);
    let fresh = CharterVote {
        predecessor: genesis.digest(),
        round: 2,
        successor: Some(raw),
        cited: vec![CitedVote { land: Land::RP, leaf: leaf_hash(b"vote") }],
    };
    let raw = golden_bytes("charter-vote-1.hex", &fresh.encode());
    assert_eq!(CharterVote::decode(&raw), Ok(fresh));
}

#[test]
fn a_successor_that_lists_resets_and_a_chain_that_brings_some_for_the_next() {
    let genesis = Charter::parse(golden_bytes("charter-1.hex", &[])).unwrap();
    let digest = |it: u8| Hash::from_bytes([it; 32]);
    let log = |epoch| LogId { land: Land::SL, epoch };
    let ended = registry_proto::epoch::ended([(log(1), digest(8)), (log(2), digest(9))]);
    let mut fresh = genesis.draft_of_next();
    fresh.list(&ended);
    let raw = golden_bytes("charter-1-resets.hex", &fresh.encode_to_vec());
    let (successor, changes) = genesis.successor(raw.clone()).unwrap();
    let expect = [(1, 8), (2, 9)].map(|(epoch, it)| Change::EpochEnded(log(epoch), digest(it)));
    assert_eq!(changes, expect);
    assert_eq!(successor.listed(log(2)), Some(digest(9)));
    let charters = vec![genesis.raw().clone(), raw];
    let fresh = Charter::encode_chain_with(charters, vec![], &ended);
    let raw = golden_bytes("charter-chain-1-taken.hex", &fresh);
    assert_eq!((Charter::taken_in_chain(&raw), &raw[..]), (Ok(ended), &fresh[..]));
    assert_eq!(Charter::chain(raw).unwrap().last(), Some(&successor));
}

#[test]
fn a_chain_of_charters_with_and_without_what_proves_it() {
    let genesis = golden_bytes("charter-1.hex", &[]);
    let successor = golden_bytes("charter-1-successor.hex", &[]);
    let charters = vec![genesis, successor];
    let decision = wire::CharterDecision {
        number: 1,
        others: vec![Bytes::from_static(b"another successor")],
        votes: vec![wire::CharterVoteProof {
            header: Bytes::from_static(b"header"),
            salt: vec![5; 16].into(),
            vote: Bytes::from_static(b"vote"),
            choice: 2,
            checkpoint: Bytes::from_static(b"note"),
            proof: vec![vec![6; 32].into()],
        }],
    };
    let bare =
        golden_bytes("charter-chain-1.hex", &Charter::encode_chain(charters.clone(), vec![]));
    let fresh = Charter::encode_chain(charters.clone(), vec![decision.clone()]);
    let proved = golden_bytes("charter-chain-1-decided.hex", &fresh);
    assert_eq!(proved, fresh);
    for (raw, decisions) in [(bare, vec![]), (proved, vec![decision])] {
        let (read, found) = Charter::chain_and_decisions(raw).unwrap();
        assert!(read.iter().map(Charter::raw).eq(&charters));
        assert_eq!(found, decisions);
    }
}
