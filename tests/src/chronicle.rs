//! The log of a Land, written by a test that has its keys: right, or wrong on purpose.

use std::convert::Infallible;

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    erasure,
    log::{
        Hash, HashTiles, Header, Kind, SignedCheckpoint, VerbundId, body_digest, leaf_hash,
        prove_consistency, prove_inclusion, tree_root,
    },
    terms::{Land, LogId},
    wire::{
        peer::{Batch, BatchEntry, BodyState, ErasureProof, Follow, Head},
        registry::{Erasure, LogCut},
    },
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::arena::Arena;

/// Entries of one log, from the first on.
#[derive(Clone, Debug)]
pub struct Chronicle {
    /// Owner.
    pub land: Land,
    /// Epoch it is written in.
    pub epoch: u64,
    /// Files of the log and the freshness key that sign it.
    pub keys: [&'static str; 2],
    /// What stands in it.
    pub entries: Vec<BatchEntry>,
    verbund: VerbundId,
}

// === impl Chronicle ===

impl Chronicle {
    /// An empty log of a member.
    pub fn of(arena: &Arena, land: Land) -> Self {
        let keys = ["log.key", "freshness.key"];
        Self { land, epoch: 1, keys, entries: Vec::new(), verbund: arena.verbund() }
    }

    /// A log of a member with so many right entries.
    pub fn grown(arena: &Arena, land: Land, entries: usize) -> Self {
        let mut log = Self::of(arena, land);
        for _ in 0..entries {
            log.grow();
        }
        log
    }

    /// The epoch behind this one, with nothing in it.
    pub fn next_epoch(&self) -> Self {
        Self { epoch: self.epoch + 1, entries: Vec::new(), ..self.clone() }
    }

    /// Which log it is.
    pub fn id(&self) -> LogId {
        LogId { land: self.land, epoch: self.epoch }
    }

    /// The header that the next entry has to have, of a kind that nobody knows yet.
    pub fn next_header(&self) -> Header {
        let body = body(self.entries.len() as u64);
        self.header(Kind::Unknown(99), &body)
    }

    /// Appends an entry with this header; its body is the right one for [`Self::next_header`].
    pub fn append(&mut self, header: &Header) {
        let body = body(self.entries.len() as u64);
        self.push(header, body.into());
    }

    /// Appends an entry of a kind with the body that makes it one; its leaf hash.
    pub fn say(&mut self, kind: Kind, body: Bytes) -> Hash {
        let header = self.header(kind, &body);
        self.push(&header, body);
        self.leaf(self.entries.len() - 1)
    }

    /// [`Chronicle::say`] about an object.
    pub fn say_of(&mut self, object: Uuid, kind: Kind, body: Bytes) {
        let header = Header { object_id: Some(object), ..self.header(kind, &body) };
        self.push(&header, body);
    }

    /// Appends an erasure of an entry of an earlier epoch; 0 is this one.
    pub fn erase(&mut self, epoch: u64, index: u64, leaf: Hash) -> Hash {
        let leaf_hash = Bytes::copy_from_slice(leaf.as_bytes());
        let said = Erasure { index, leaf_hash, grund: "Widerruf".to_owned(), epoch };
        self.say(Kind::Erasure, said.encode_to_vec().into())
    }

    /// Proves an erasure under a checkpoint of all entries, which comes along.
    pub fn excuse(&self, arena: &Arena, by: usize) -> ErasureProof {
        let size = self.entries.len() as u64;
        let path = prove_inclusion(self, size, by as u64).expect("in the tree");
        let it = &self.entries[by];
        let checkpoint = self.signed(arena, SIGNED_SECONDS).raw().clone();
        let proof = erasure::prove(it.header.clone(), SALT, it.body.clone(), &path);
        ErasureProof { checkpoint, ..proof }
    }

    /// Appends the right entry.
    pub fn grow(&mut self) -> &mut Self {
        let header = self.next_header();
        self.append(&header);
        self
    }

    /// Leaf hash of an entry.
    pub fn leaf(&self, index: usize) -> Hash {
        leaf_hash(&self.entries[index].header)
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        self.root_of(self.entries.len() as u64)
    }

    /// Root of the tree of the first entries.
    pub fn root_of(&self, size: u64) -> Hash {
        tree_root(self, size).expect("that many entries")
    }

    /// Proves that all of it goes on from the first entries.
    pub fn leads_on_from(&self, size: u64) -> Vec<Bytes> {
        let proof = prove_consistency(self, size, self.entries.len() as u64);
        let raw = |it: &Hash| Bytes::copy_from_slice(it.as_bytes());
        proof.expect("that many entries").iter().map(raw).collect()
    }

    /// What a charter names as its end.
    pub fn cut(&self) -> LogCut {
        let root = Bytes::copy_from_slice(self.root().as_bytes());
        LogCut { epoch: self.epoch, size: self.entries.len() as u64, root }
    }

    /// The checkpoint of its owner, signed at a time.
    pub fn signed(&self, arena: &Arena, seconds: u64) -> SignedCheckpoint {
        let keys = self.keys.map(|it| arena.key(self.land, it));
        arena.sign_by(keys, self.id(), self.entries.len() as u64, self.root(), seconds)
    }

    /// All of it as one batch for a partner, under a checkpoint of its owner.
    pub fn batch(&self, arena: &Arena, follow: &Follow) -> Batch {
        let now = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).expect("after 1970");
        Batch {
            land: self.land.code().to_owned(),
            epoch: self.epoch,
            first: 0,
            entries: self.entries.clone(),
            checkpoint: self.signed(arena, now).raw().clone(),
            follow: follow.follow,
            ..Batch::default()
        }
    }

    /// The first entries as one batch for a partner that asks for what a reset keeps, which are those.
    pub fn kept_batch(&self, size: usize, follow: &Follow) -> Batch {
        Batch {
            land: self.land.code().to_owned(),
            epoch: self.epoch,
            entries: self.entries[..size].to_vec(),
            follow: follow.follow,
            ..Batch::default()
        }
    }

    /// What a node tells that holds what a reset keeps of it.
    pub fn kept_head(&self) -> Head {
        Head { epoch: self.epoch, kept: true, ..empty_head(self.land) }
    }

    /// What a node that holds all of it tells.
    pub fn head(&self, arena: &Arena, seconds: u64) -> Head {
        Head {
            land: self.land.code().to_owned(),
            epoch: self.epoch,
            size: self.entries.len() as u64,
            root: self.root().as_bytes().to_vec().into(),
            checkpoint: self.signed(arena, seconds).raw().clone(),
            held: Default::default(),
            kept: false,
        }
    }

    fn header(&self, kind: Kind, body: &[u8]) -> Header {
        Header {
            verbund: self.verbund,
            log: self.id(),
            index: self.entries.len() as u64,
            kind,
            recorded_unix_ms: RECORDED_MS,
            object_id: None,
            audience: 1,
            batch_end: true,
            references: Vec::new(),
            principal: "p-0000000000000000".to_owned(),
            body_length: u32::try_from(body.len()).expect("short"),
            body_digest: body_digest(&SALT, body),
            request: None,
        }
    }

    fn push(&mut self, header: &Header, body: Bytes) {
        self.entries.push(BatchEntry {
            header: header.encode().expect("within the limits"),
            salt: SALT.to_vec().into(),
            body,
            body_state: BodyState::Present.into(),
            erasure: None,
        });
    }
}

impl HashTiles for Chronicle {
    type Error = Infallible;

    fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, Infallible> {
        let row = if level == 0 { self.entries.as_slice() } else { &[] };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(row.iter().skip(from).take(count).map(|it| leaf_hash(&it.header)).collect())
    }
}

/// The head of a log of which nothing is held.
pub fn empty_head(land: Land) -> Head {
    Head { land: land.code().to_owned(), epoch: 1, ..Head::default() }
}

fn body(index: u64) -> Vec<u8> {
    format!("entry {index} of a kind that nobody knows").into_bytes()
}

/// When heads are signed, if it does not matter.
pub const SIGNED_SECONDS: u64 = 1_800_000_000;
/// Salt of every body.
pub const SALT: [u8; 16] = [7; 16];
const RECORDED_MS: i64 = 1_700_000_000_000;
