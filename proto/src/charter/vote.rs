//! What a member says in its log about the successor of a charter.

use bytes::Bytes;
use prost::Message as _;

use super::{MEMBERS_MAX, SUCCESSOR_BYTES_MAX};
use crate::{log::Hash, terms::Land, wire::registry as wire};

/// Rounds of one vote.
pub const ROUNDS_MAX: u32 = 1_000;

/// Body of an entry of kind [`crate::log::Kind::CharterVote`]. Whether it counts is not said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharterVote {
    /// Digest of the charter that is to be followed.
    pub predecessor: Hash,
    /// From 1.
    pub round: u32,
    /// Bytes of the successor; `None` for an abstention.
    pub successor: Option<Bytes>,
    /// What it rests on, by the code of the Land.
    pub cited: Vec<CitedVote>,
}

/// A vote of the round before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CitedVote {
    /// Owner of the log.
    pub land: Land,
    /// Leaf hash of the entry.
    pub leaf: Hash,
}

/// Why bytes are no vote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// No protobuf message of this form.
    #[error("the bytes are no encoded vote")]
    Undecodable,
    /// A digest is none.
    #[error("{field}: expected 32 bytes")]
    Digest {
        /// Which field.
        field: &'static str,
    },
    /// A round that is none.
    #[error("round: expected 1 to {ROUNDS_MAX}, found {found}")]
    Round {
        /// Round found.
        found: u32,
    },
    /// The successor is too long.
    #[error("successor: at most {SUCCESSOR_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// The first round rests on nothing, a later one on at most one vote of each Land.
    #[error("cited: nothing in round 1, later votes of Länder in ascending order of their codes")]
    Cited,
}

// === impl CharterVote ===

impl CharterVote {
    /// Reads the body of an entry.
    ///
    /// # Errors
    ///
    /// See [`VoteError`]; such an entry is no vote at all.
    pub fn decode(body: &[u8]) -> Result<Self, VoteError> {
        let it = wire::CharterVote::decode(body).map_err(|_| VoteError::Undecodable)?;
        let predecessor = Hash::try_from(&it.predecessor[..])
            .map_err(|_| VoteError::Digest { field: "predecessor" })?;
        if !(1..=ROUNDS_MAX).contains(&it.round) {
            return Err(VoteError::Round { found: it.round });
        }
        let found = it.successor.len();
        if found > SUCCESSOR_BYTES_MAX {
            return Err(VoteError::TooLong { found });
        }
        if it.cited.len() > MEMBERS_MAX || it.cited.is_empty() != (it.round == 1) {
            return Err(VoteError::Cited);
        }
        let mut cited = Vec::with_capacity(it.cited.len());
        for wire in &it.cited {
            let land = wire.land.parse().map_err(|_| VoteError::Cited)?;
            let leaf = Hash::try_from(&wire.leaf_hash[..])
                .map_err(|_| VoteError::Digest { field: "cited.leaf_hash" })?;
            if cited.last().is_some_and(|before: &CitedVote| before.land >= land) {
                return Err(VoteError::Cited);
            }
            cited.push(CitedVote { land, leaf });
        }
        let successor = Some(it.successor).filter(|it| !it.is_empty());
        Ok(Self { predecessor, round: it.round, successor, cited })
    }

    /// The body of an entry.
    pub fn encode(&self) -> Bytes {
        let cited = self.cited.iter().map(|it| wire::CitedVote {
            land: it.land.code().to_owned(),
            leaf_hash: Bytes::copy_from_slice(it.leaf.as_bytes()),
        });
        let vote = wire::CharterVote {
            predecessor: Bytes::copy_from_slice(self.predecessor.as_bytes()),
            round: self.round,
            successor: self.successor.clone().unwrap_or_default(),
            cited: cited.collect(),
        };
        vote.encode_to_vec().into()
    }

    /// Digest of the successor it is for; `None` for an abstention.
    pub fn choice(&self) -> Option<Hash> {
        self.successor.as_deref().map(Hash::of)
    }
}
