//! The owner of a log, honest or not: signs whatever a test wants signed.

use std::convert::Infallible;

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    charter::CharterVote,
    erasure,
    log::{
        Checkpoint, Frontier, Hash, HashTiles, Header, Kind, LogSigner, Origin, SignedCheckpoint,
        VerbundId, body_digest, leaf_hash, prove_consistency, prove_inclusion,
    },
    terms::{Land, LogId},
    wire::{
        peer::{Batch, BatchEntry, BodyState, ErasureProof, Head},
        registry::Erasure,
    },
};
use uuid::Uuid;

use crate::{
    charter::decision::Standing,
    replicate::RecoveredLog,
    testing::{START_MS, log},
};

/// A log and its keys. Fewer than 256 entries.
#[derive(Debug)]
pub(crate) struct Author {
    origin: Origin,
    signer: LogSigner,
    leaves: Vec<Hash>,
    entries: Vec<BatchEntry>,
    /// Time of the cosignature, seconds.
    pub(crate) seconds: u64,
}

// === impl Author ===

impl Author {
    pub(crate) fn new(verbund: VerbundId, land: Land, signer: LogSigner) -> Self {
        Self::of_log(Origin { verbund, log: log(land) }, signer)
    }

    /// The owner of any epoch of a log.
    pub(crate) fn of_log(origin: Origin, signer: LogSigner) -> Self {
        let seconds = u64::try_from(START_MS / 1_000).expect("after 1970");
        Self { origin, signer, leaves: Vec::new(), entries: Vec::new(), seconds }
    }

    /// Appends entries that keep every rule.
    pub(crate) fn append(&mut self, count: u64) {
        for _ in 0..count {
            self.append_with(b"body", |_| ());
        }
    }

    /// Appends an entry with this body; `change` may break its header.
    pub(crate) fn append_with(&mut self, body: &[u8], change: impl FnOnce(&mut Header)) {
        let salt = [9; 16];
        let mut header = Header {
            verbund: self.origin.verbund,
            log: self.origin.log,
            index: self.leaves.len() as u64,
            kind: Kind::ServiceDefinition,
            recorded_unix_ms: START_MS + i64::try_from(self.leaves.len()).expect("few"),
            object_id: Some(Uuid::from_u128(self.leaves.len() as u128 + 1)),
            audience: 1,
            batch_end: true,
            references: Vec::new(),
            principal: "p-author".to_owned(),
            body_length: u32::try_from(body.len()).expect("small"),
            body_digest: body_digest(&salt, body),
            request: None,
        };
        change(&mut header);
        let header = header.encode().expect("encodable");
        self.append_raw(header, Bytes::copy_from_slice(&salt), Bytes::copy_from_slice(body));
    }

    /// Appends an erasure of an entry of this log.
    pub(crate) fn append_erasure(&mut self, index: usize) {
        self.append_erasure_of(index as u64, self.leaves[index]);
    }

    /// Appends an erasure that names this index and leaf.
    pub(crate) fn append_erasure_of(&mut self, index: u64, leaf: Hash) {
        self.append_erasure_in(0, index, leaf);
    }

    /// Appends an erasure that names this epoch, index and leaf.
    pub(crate) fn append_erasure_in(&mut self, epoch: u64, index: u64, leaf: Hash) {
        let leaf_hash = Bytes::copy_from_slice(leaf.as_bytes());
        let body = Erasure { index, leaf_hash, grund: "Widerruf".to_owned(), epoch };
        self.append_with(&body.encode_to_vec(), |it| it.kind = Kind::Erasure);
    }

    /// The entry `by`, proved under a checkpoint of `signed`.
    pub(crate) fn prove_erasure(&self, by: usize, signed: u64) -> ErasureProof {
        let path = prove_inclusion(self, signed, by as u64).expect("in the tree");
        let it = &self.entries[by];
        erasure::prove(it.header.clone(), [9; 16], it.body.clone(), &path)
    }

    /// The entry `by`, proved under a checkpoint of `signed` that comes with the proof.
    pub(crate) fn prove_later(&self, by: usize, signed: u64) -> ErasureProof {
        let checkpoint = self.signed(signed).raw().clone();
        ErasureProof { checkpoint, ..self.prove_erasure(by, signed) }
    }

    /// Appends a vote about a charter, as [`Author::standing`] proves it.
    pub(crate) fn append_vote(&mut self, vote: &CharterVote) {
        self.append_with(&vote.encode(), |it| {
            (it.kind, it.object_id) = (Kind::CharterVote, None);
        });
    }

    /// The entry `at`, a vote, under a checkpoint of all entries.
    pub(crate) fn standing(&self, at: usize) -> Standing {
        let it = &self.entries[at];
        let proof = prove_inclusion(self, self.size(), at as u64).expect("in the tree");
        Standing {
            header: it.header.clone(),
            salt: [9; 16],
            body: it.body.clone(),
            checkpoint: self.signed(self.size()).raw().clone(),
            proof,
        }
    }

    /// Appends whatever bytes.
    pub(crate) fn append_raw(&mut self, header: Bytes, salt: Bytes, body: Bytes) {
        self.leaves.push(leaf_hash(&header));
        let body_state = BodyState::Present.into();
        self.entries.push(BatchEntry { header, salt, body, body_state, erasure: None });
    }

    /// Forgets everything from `size` on, so that another history can be written.
    pub(crate) fn rewrite(&mut self, size: usize) {
        self.leaves.truncate(size);
        self.entries.truncate(size);
    }

    pub(crate) fn checkpoint(&self, size: u64) -> Checkpoint {
        let frontier = self.frontier(size);
        Checkpoint { origin: self.origin, size, root: frontier.root() }
    }

    pub(crate) fn signed(&self, size: u64) -> SignedCheckpoint {
        self.checkpoint(size).sign(&self.signer, self.seconds).expect("signed")
    }

    /// Signs any size over any root.
    pub(crate) fn lie(&self, size: u64, root: Hash) -> Bytes {
        let checkpoint = Checkpoint { origin: self.origin, size, root };
        checkpoint.sign(&self.signer, self.seconds).expect("signed").raw().clone()
    }

    pub(crate) fn batch(&self, from: u64, to: u64, signed: u64) -> Batch {
        let proof = prove_consistency(self, to, signed).unwrap_or_default();
        let range = usize::try_from(from).expect("small")..usize::try_from(to).expect("small");
        Batch {
            land: self.origin.log.land.code().to_owned(),
            epoch: self.origin.log.epoch,
            first: from,
            entries: self.entries[range].to_vec(),
            checkpoint: self.signed(signed).raw().clone(),
            proof: proof.iter().map(|it| Bytes::copy_from_slice(it.as_bytes())).collect(),
            follow: 0,
            kept_checkpoint: Bytes::new(),
            kept_proof: Vec::new(),
        }
    }

    /// Nothing held and nothing signed is a head without a checkpoint.
    pub(crate) fn head(&self, held: u64, signed: u64) -> Head {
        let checkpoint = if signed == 0 { Bytes::new() } else { self.signed(signed).raw().clone() };
        Head {
            land: self.origin.log.land.code().to_owned(),
            epoch: self.origin.log.epoch,
            size: held,
            root: Bytes::copy_from_slice(self.frontier(held.min(self.size())).root().as_bytes()),
            checkpoint,
            held: Bytes::new(),
            kept: false,
        }
    }

    /// The first `held` entries on a disk, the newest checkpoint there being of `signed`.
    pub(crate) fn recovered(&self, held: u64, signed: u64) -> RecoveredLog {
        let complete = (held > 0).then(|| self.signed(held).raw().clone());
        let head = (signed > 0).then(|| self.signed(signed).raw().clone());
        RecoveredLog {
            log: self.origin.log,
            frontier: self.frontier(held),
            head,
            head_proof: prove_consistency(self, held, signed.max(held)).unwrap_or_default(),
            complete,
            last_recorded_ms: START_MS,
            pulled_from: None,
            kept: false,
        }
    }

    pub(crate) fn log(&self) -> LogId {
        self.origin.log
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    fn frontier(&self, size: u64) -> Frontier {
        let mut frontier = Frontier::default();
        let leaves = self.leaves.iter().take(usize::try_from(size).expect("small"));
        leaves.for_each(|leaf| frontier.push(*leaf));
        frontier
    }
}

impl HashTiles for Author {
    type Error = Infallible;

    fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, Infallible> {
        let row = if level == 0 { self.leaves.as_slice() } else { &[] };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(row.iter().skip(from).take(count).copied().collect())
    }
}
