//! The log of a Land, written by a test that has its keys: right, or wrong on purpose.

use registry_proto::{
    log::{Frontier, Hash, Header, Kind, VerbundId, body_digest, leaf_hash},
    terms::{Land, LogId},
    wire::peer::{Batch, BatchEntry, BodyState, Follow, Head},
};

use crate::arena::Arena;

/// Entries of one log, from the first on.
#[derive(Clone, Debug)]
pub struct Chronicle {
    /// Owner.
    pub land: Land,
    /// What stands in it.
    pub entries: Vec<BatchEntry>,
    verbund: VerbundId,
}

// === impl Chronicle ===

impl Chronicle {
    /// An empty log of a member.
    pub fn of(arena: &Arena, land: Land) -> Self {
        Self { land, entries: Vec::new(), verbund: arena.verbund() }
    }

    /// The header that the next entry has to have, of a kind that nobody knows yet.
    pub fn next_header(&self) -> Header {
        let index = self.entries.len() as u64;
        let body = body(index);
        Header {
            verbund: self.verbund,
            log: LogId { land: self.land, epoch: 1 },
            index,
            kind: Kind::Unknown(99),
            recorded_unix_ms: RECORDED_MS,
            object_id: None,
            audience: 1,
            batch_end: true,
            references: Vec::new(),
            principal: "p-0000000000000000".to_owned(),
            body_length: u32::try_from(body.len()).expect("short"),
            body_digest: body_digest(&SALT, &body),
            request: None,
        }
    }

    /// Appends an entry with this header; its body is the right one for [`Self::next_header`].
    pub fn append(&mut self, header: &Header) {
        let body = body(self.entries.len() as u64);
        self.entries.push(BatchEntry {
            header: header.encode().expect("within the limits"),
            salt: SALT.to_vec().into(),
            body: body.into(),
            body_state: BodyState::Present.into(),
            erasure: None,
        });
    }

    /// Appends the right entry.
    pub fn grow(&mut self) -> &mut Self {
        let header = self.next_header();
        self.append(&header);
        self
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        let mut tree = Frontier::default();
        for entry in &self.entries {
            tree.push(leaf_hash(&entry.header));
        }
        tree.root()
    }

    /// All of it as one batch for a partner, under a checkpoint of its owner.
    pub fn batch(&self, arena: &Arena, follow: &Follow) -> Batch {
        let signed = arena.sign(self.land, self.entries.len() as u64, self.root());
        Batch {
            land: self.land.code().to_owned(),
            epoch: 1,
            first: 0,
            entries: self.entries.clone(),
            checkpoint: signed.raw().clone(),
            proof: Vec::new(),
            follow: follow.follow,
        }
    }

    /// What a node that holds all of it tells.
    pub fn head(&self, arena: &Arena, seconds: u64) -> Head {
        let (size, root) = (self.entries.len() as u64, self.root());
        let signed = arena.sign_as(self.land, self.land, size, root, seconds);
        Head {
            land: self.land.code().to_owned(),
            epoch: 1,
            size,
            root: root.as_bytes().to_vec().into(),
            checkpoint: signed.raw().clone(),
            held: Default::default(),
        }
    }
}

/// The head of a log of which nothing is held.
pub fn empty_head(land: Land) -> Head {
    Head { land: land.code().to_owned(), epoch: 1, ..Head::default() }
}

fn body(index: u64) -> Vec<u8> {
    format!("entry {index} of a kind that nobody knows").into_bytes()
}

const SALT: [u8; 16] = [7; 16];
const RECORDED_MS: i64 = 1_700_000_000_000;
