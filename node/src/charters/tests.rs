//! Proofs of votes at a node that has only been told the charters.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_core::{
    authorize::PeerIdentity,
    charter::{Chain, Told, decision},
    replicate::{ChartersAsked, Hindrance, ProvedCharters, SessionId},
};
use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options, Reader};
use registry_proto::{
    charter::{Charter, CharterVote},
    log::{Checkpoint, Hash, Header, Kind, LogSigner, Origin, body_digest, leaf_hash, node_hash},
    terms::{Land, LogId},
    wire::registry::{self as wire, CharterDecision},
};
use tokio_util::sync::CancellationToken;

use super::{
    Shown,
    adopt::{Adoption, Fate},
    decisions::{self, Decisions},
    files,
    scan::{Known, Scan},
};
use crate::forged::Forged;

/// A genesis charter with one member, two charters that follow it, and what proves the first.
pub(crate) fn decided() -> (Vec<Charter>, CharterDecision) {
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
    let (header, body) = voted(&genesis, &next);
    let (salt, log) = (SALT, LOG);
    let origin = Origin { verbund: genesis.id(), log };
    let head = Checkpoint { origin, size: 1, root: leaf_hash(&header) };
    let signer = LogSigner::new(key(1), key(2));
    let checkpoint = head.sign(&signer, 1_795_449_600).expect("signed").raw().clone();
    let votes = vec![decision::Standing { header, salt, body, checkpoint, proof: vec![] }];
    let proof = decision::assemble(&genesis, &next, votes).expect("proved");
    let last = successor(&next);
    (vec![genesis, next, last], proof)
}

/// The first entry of the only log: the vote of its member for a charter.
fn voted(genesis: &Charter, next: &Charter) -> (Bytes, Bytes) {
    let vote = CharterVote {
        predecessor: genesis.digest(),
        round: 1,
        successor: Some(next.raw().clone()),
        cited: vec![],
    };
    let body = vote.encode();
    (header(genesis, 0, Kind::CharterVote, &body), body)
}

fn header(genesis: &Charter, index: u64, kind: Kind, body: &[u8]) -> Bytes {
    let header = Header {
        verbund: genesis.id(),
        log: LOG,
        index,
        kind,
        recorded_unix_ms: 1_795_449_600_000,
        object_id: None,
        audience: 1,
        batch_end: true,
        references: vec![],
        principal: "operator".to_owned(),
        body_length: u32::try_from(body.len()).expect("small"),
        body_digest: body_digest(&SALT, body),
        request: None,
    };
    header.encode().expect("a header")
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

const SALT: [u8; 16] = [7; 16];
const LOG: LogId = LogId { land: Land::SL, epoch: 1 };

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
    assert_eq!(scan.look(None), charters.len() > 1);
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
    assert!(!scan.look(None));
    assert!(scan.is_kept(1));
}

#[test]
fn a_proof_that_could_not_be_made_is_made_when_a_head_covers_the_votes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (charters, expect) = decided();
    let genesis = &charters[0];
    let (vote, body) = voted(genesis, &charters[1]);
    let other = header(genesis, 1, Kind::Unknown(99), b"other");
    let root = node_hash(&leaf_hash(&vote), &leaf_hash(&other));
    let head = Checkpoint { origin: Origin { verbund: genesis.id(), log: LOG }, size: 2, root };
    let signed = head.sign(&LogSigner::new(key(1), key(2)), 1_795_449_600).expect("signed");
    let mut journal = journal(dir.path(), genesis);
    // in the middle of a catch-up: the head that came signs more than is here
    let mut append = |header: &Bytes, body: &[u8], proof: Vec<Hash>| {
        append(&mut journal, signed.raw(), header, body, proof)
    };
    let readers = BTreeMap::from([(LOG, append(&vote, &body, vec![leaf_hash(&other)]))]);
    let known = Known { charters: vec![genesis.clone()], decisions: Decisions::new() };
    let (chain, token) = (Chain::new(genesis.clone()), CancellationToken::new());
    let data_dir = dir.path().to_owned();
    let mut scan = Scan::new(chain, known, readers, &BTreeMap::new(), data_dir, token);
    assert!(scan.look(None));
    assert_eq!(scan.chain().current().digest(), charters[1].digest());
    assert!(scan.decisions().is_empty());
    assert!(!scan.look(None), "nothing is new");

    append(&other, b"other", vec![]);
    assert!(scan.look(None), "one more is proved");
    let proof = scan.decisions().get(&1).expect("proved");
    assert_eq!(proof.votes[0].header, expect.votes[0].header);
    let mut kept = Decisions::new();
    decisions::load(dir.path(), &charters[..2], &mut kept);
    assert_eq!(kept.get(&1), Some(proof));
    assert!(!scan.look(None));
}

#[test]
fn a_vote_that_somebody_wrote_on_this_disk_does_not_count() {
    let dir = tempfile::tempdir().expect("a directory");
    let (charters, _) = decided();
    let genesis = &charters[0];
    let (vote, body) = voted(genesis, &charters[1]);
    let against = header(genesis, 0, Kind::CharterVote, b"what the member said");
    for (header, counts) in [(against, false), (vote, true)] {
        let other = leaf_hash(b"other");
        let root = node_hash(&leaf_hash(&header), &other);
        let head = Checkpoint { origin: Origin { verbund: genesis.id(), log: LOG }, size: 2, root };
        let signed = head.sign(&LogSigner::new(key(1), key(2)), 1_795_449_600).expect("signed");
        let dir = dir.path().join(counts.to_string());
        let mut journal = journal(&dir, genesis);
        let reader = append(&mut journal, signed.raw(), &header, &body, vec![other]);
        let known = Known { charters: vec![genesis.clone()], decisions: Decisions::new() };
        let (chain, token) = (Chain::new(genesis.clone()), CancellationToken::new());
        let readers = BTreeMap::from([(LOG, reader)]);
        let forged = Forged::default();
        let scan = Scan::new(chain, known, readers, &BTreeMap::new(), dir, token);
        let mut scan = scan.telling(forged.clone());
        assert_eq!(scan.look(None), counts);
        assert_eq!(scan.chain().past().len(), 1 + usize::from(counts));
        assert_eq!(format!("{forged:?}") == "{}", counts);
    }
}

#[test]
fn a_proof_with_votes_that_logs_do_not_have_is_made_anew_once_they_decide() {
    let dir = tempfile::tempdir().expect("a directory");
    let (charters, told) = decided();
    let genesis = &charters[0];
    // the log has the vote, and elsewhere than it was shown
    let body = voted(genesis, &charters[1]).1;
    let (other, vote) = (
        header(genesis, 0, Kind::Unknown(99), b"other"),
        header(genesis, 1, Kind::CharterVote, &body),
    );
    let root = node_hash(&leaf_hash(&other), &leaf_hash(&vote));
    let head = Checkpoint { origin: Origin { verbund: genesis.id(), log: LOG }, size: 2, root };
    let signed = head.sign(&LogSigner::new(key(1), key(2)), 1_795_449_600).expect("signed");
    let mut journal = journal(dir.path(), genesis);
    let mut append = |header: &Bytes, body: &[u8], proof: Vec<Hash>| {
        append(&mut journal, signed.raw(), header, body, proof)
    };
    let readers = BTreeMap::from([(LOG, append(&other, b"other", vec![leaf_hash(&vote)]))]);
    let decisions = Decisions::from([(1, told.clone())]);
    let known = Known { charters: charters[..2].to_vec(), decisions };
    let (chain, token) = (Chain::new(genesis.clone()), CancellationToken::new());
    let data_dir = dir.path().to_owned();
    let mut scan = Scan::new(chain, known, readers, &BTreeMap::new(), data_dir, token);
    assert!(scan.look(None));
    assert_eq!(scan.decisions().get(&1), Some(&told));

    append(&vote, &body, vec![]);
    assert!(scan.look(None), "there is another proof");
    let made = scan.decisions().get(&1).expect("proved");
    assert_eq!(made.votes.iter().map(|it| &it.header).collect::<Vec<_>>(), [&vote]);
    let mut kept = Decisions::new();
    decisions::load(dir.path(), &charters[..2], &mut kept);
    assert_eq!(kept.get(&1), Some(made));
    assert!(!scan.look(None));
}

/// The journal of the only log, empty.
fn journal(dir: &Path, genesis: &Charter) -> Journal {
    let label =
        Label { verbund: *genesis.id().as_bytes(), land: LOG.land.to_string(), epoch: LOG.epoch };
    let dir = dir.join("journal");
    fs::create_dir_all(&dir).expect("created");
    let (journal, ..) =
        Journal::open(&dir, &label, Options::default(), &mut |_| {}).expect("opened");
    journal
}

/// Writes an entry under a head of two.
fn append(
    journal: &mut Journal,
    note: &Bytes,
    header: &Bytes,
    body: &[u8],
    proof: Vec<Hash>,
) -> Reader {
    let body = Body::Present { salt: &SALT, bytes: body };
    let checkpoint = CheckpointRecord { note: note.clone(), note_size: 2, proof };
    let entries = [EntryRef { header, body }];
    let group = Group { entries: &entries, checkpoint: &checkpoint, received_unix_ms: 1, from: "" };
    journal.append(&group).expect("written");
    journal.reader()
}

#[test]
fn a_partner_is_told_what_follows_its_charter_as_far_as_that_is_proved() {
    let dir = tempfile::tempdir().expect("a directory");
    let (charters, proof) = decided();
    let scan = scanned(dir.path(), &charters, std::slice::from_ref(&proof));
    let shown = Shown {
        chain: Arc::new(scan.chain().clone()),
        decisions: Arc::new(scan.decisions().clone()),
        sources: Arc::default(),
        complete: true,
    };
    let ask = |from: u64, predecessor: &Charter| {
        let (session, predecessor) = (SessionId(1), predecessor.digest());
        let told = shown.answer(&ChartersAsked { session, from, predecessor });
        assert_eq!(told.from, from);
        let numbers = told.steps.iter().map(|it| {
            let charter = wire::Charter::decode(&it.charter[..]).expect("a charter");
            let decision = CharterDecision::decode(&it.decision[..]).expect("a decision");
            assert_eq!(charter.number, decision.number);
            charter.number
        });
        (numbers.collect::<Vec<_>>(), told.differs)
    };
    // the second one is here and not proved
    assert_eq!(ask(1, &charters[0]), (vec![1], false));
    assert_eq!(ask(2, &charters[1]), (vec![], false));
    assert_eq!(ask(1, &charters[1]), (vec![], true));
    for from in [0, 3, 4, u64::MAX] {
        assert_eq!(ask(from, &charters[2]), (vec![], false), "{from}");
    }
}

/// What becomes of the charters of a scan: the last one kept, what the core is told, what is said.
fn adopt(adoption: &mut Adoption, scan: &mut Scan) -> (Option<u64>, Option<Hindrance>, Vec<Fate>) {
    let told = scan.followed();
    let adopted = adoption.adopt(scan);
    let hindrance = adopted.hindrance(&told);
    let fates = adoption.fates(told, &adopted).into_iter().map(|(_, it)| it);
    (adopted.last, hindrance, fates.collect())
}

#[test]
fn what_is_proved_and_cannot_be_kept_is_told_and_taken_when_it_can() {
    let dir = tempfile::tempdir().expect("a directory");
    let (charters, proof) = decided();
    let peer = PeerIdentity { land: Land::HE, node: "he-1.example".to_owned() };
    let told = ProvedCharters { peer, steps: vec![(charters[1].clone(), proof)] };
    let place = files::path(dir.path(), 1);
    fs::create_dir_all(&place).expect("taken by a directory");
    let mut scan = scanned(dir.path(), &charters[..1], &[]);
    let mut adoption = Adoption::new(dir.path().to_owned(), Arc::new(charters[0].clone()));
    assert!(scan.look(Some(told.clone())));
    let (last, hindrance, fates) = adopt(&mut adoption, &mut scan);
    assert_eq!((last, hindrance), (None, Some(Hindrance::Unusable)));
    assert!(matches!(&fates[..], [Fate::Hindered(cause)] if !cause.is_empty()), "{fates:?}");
    // told again: the chain here has gone on, the node has not
    scan.look(Some(told));
    assert_eq!(adopt(&mut adoption, &mut scan), (None, Some(Hindrance::Unusable), vec![]));

    fs::remove_dir(&place).expect("removed");
    scan.look(None);
    assert_eq!(adopt(&mut adoption, &mut scan), (Some(1), None, vec![Fate::Taken]));
    assert_eq!(fs::read(&place).expect("kept"), charters[1].raw()[..]);
    assert_eq!(adopt(&mut adoption, &mut scan), (Some(1), None, vec![]));
}

#[test]
fn what_this_software_cannot_use_or_the_votes_contradict_hinders_the_node() {
    let dir = tempfile::tempdir().expect("a directory");
    let (charters, _) = decided();
    let mut unusable = charters[0].draft_of_next();
    unusable.members[0].anchors = vec![Bytes::from_static(b"no certificate")];
    let unusable = charters[0].successor(unusable.encode_to_vec().into()).expect("a successor").0;
    let check = |used: &Charter, chain: &[Charter], expect| {
        let mut adoption = Adoption::new(dir.path().to_owned(), Arc::new(used.clone()));
        let found = adopt(&mut adoption, &mut scanned(dir.path(), chain, &[]));
        assert_eq!(found, (None, Some(expect), vec![]));
    };
    check(&charters[0], &[charters[0].clone(), unusable.clone()], Hindrance::Unusable);
    check(&unusable, &charters, Hindrance::Contradicted);
}
