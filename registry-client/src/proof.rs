//! Verifies that an entry is in the log its owner signed, trusting nothing but the charter.

use bytes::Bytes;
use registry_proto::{
    charter::Charter,
    log::{
        self, CheckpointError, Hash, Header, HeaderError, Origin, OwnerKeys, ProofRejected,
        SignedCheckpoint, VerbundId,
    },
    receipt::ReceiptError,
    terms::{Land, LogId, ParseLandError},
    wire::registry::{GetInclusionProofResponse, LogPosition},
};

/// An entry whose place in the log is proved. Only [`verify_inclusion`] makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEntry {
    header: Header,
    raw_header: Bytes,
    leaf: Hash,
    checkpoint: SignedCheckpoint,
    body: Option<Bytes>,
}

/// Why an answer proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The position asked for names no Land.
    #[error("the position names no Land")]
    Position(#[source] ParseLandError),
    /// The Land is no member.
    #[error("{land} is no member of the Verbund {verbund}")]
    NoMember {
        /// Owner asked for.
        land: Land,
        /// The Verbund of the charter.
        verbund: VerbundId,
    },
    /// The charter suspended or removed the owner, and the entry stands behind what counts.
    #[error("entries of {land} count up to {size} by the charter, this one does not")]
    BeyondCut {
        /// Owner.
        land: Land,
        /// Entries that count.
        size: u64,
    },
    /// The header cannot be read.
    #[error("the header cannot be read")]
    Header(#[source] HeaderError),
    /// The header is that of another entry.
    #[error("the header is not that of the entry asked for: its {field} differs")]
    OtherEntry {
        /// Field that differs.
        field: &'static str,
    },
    /// The checkpoint is not signed by the owner, or not for this log.
    #[error("the checkpoint does not verify")]
    Checkpoint(#[source] CheckpointError),
    /// A hash of the proof has no 32 bytes.
    #[error("hash {index} of the proof has no 32 bytes")]
    HashLength {
        /// Which, from 0.
        index: usize,
    },
    /// The proof does not lead from the header to the checkpoint.
    #[error("the proof does not lead from the header to the checkpoint")]
    Inclusion(#[source] ProofRejected),
    /// The statement is no receipt of a member.
    #[error("the receipt does not verify")]
    Receipt(#[source] ReceiptError),
    /// The body is not the one the header speaks of.
    #[error("the body is not the one that the header speaks of")]
    Body,
}

// === impl VerifiedEntry ===

impl VerifiedEntry {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The header as its owner made it.
    pub fn raw_header(&self) -> &Bytes {
        &self.raw_header
    }

    /// Leaf hash of the header.
    pub fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// The signed head that covers the entry.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The body, if the answer held it; it is the one the header speaks of.
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }
}

/// Verifies that `response` proves the entry at `position` under `charter`: the header is that of
/// the position, the owner signed the checkpoint with both keys, the proof leads from the one to
/// the other, and the body, if there is one, is that of the header.
///
/// Callers MUST take the charter from their own files, never from the node that answered.
pub fn verify_inclusion(
    response: &GetInclusionProofResponse,
    charter: &Charter,
    position: &LogPosition,
) -> Result<VerifiedEntry, ProofError> {
    let land: Land = position.land.parse().map_err(ProofError::Position)?;
    let origin = Origin { verbund: charter.id(), log: LogId { land, epoch: position.epoch } };
    let member =
        charter.member(land).ok_or_else(|| ProofError::NoMember { land, verbund: charter.id() })?;
    if let Some(cut) = member.cut()
        && (position.epoch, position.index) >= (cut.epoch, cut.size)
    {
        return Err(ProofError::BeyondCut { land, size: cut.size });
    }
    let header = Header::parse(&response.header).map_err(ProofError::Header)?;
    require_same(&header, &origin, position.index)?;
    let checkpoint = member
        .keyring()
        .verify(response.checkpoint.as_bytes(), &origin)
        .map_err(ProofError::Checkpoint)?;
    let proof = hashes(&response.proof)?;
    let leaf = log::leaf_hash(&response.header);
    let (size, root) = (checkpoint.size(), checkpoint.root());
    log::check_inclusion(&proof, size, root, position.index, &leaf)
        .map_err(ProofError::Inclusion)?;
    let body = body(&header, &response.salt, &response.body)?;
    Ok(VerifiedEntry { header, raw_header: response.header.clone(), leaf, checkpoint, body })
}

fn require_same(header: &Header, origin: &Origin, index: u64) -> Result<(), ProofError> {
    let field = if header.verbund != origin.verbund {
        "verbund"
    } else if header.log.land != origin.log.land {
        "land"
    } else if header.log.epoch != origin.log.epoch {
        "epoch"
    } else if header.index != index {
        "index"
    } else {
        return Ok(());
    };
    Err(ProofError::OtherEntry { field })
}

fn hashes(proof: &[Bytes]) -> Result<Vec<Hash>, ProofError> {
    proof
        .iter()
        .enumerate()
        .map(|(index, hash)| {
            Hash::try_from(hash.as_ref()).map_err(|_| ProofError::HashLength { index })
        })
        .collect()
}

/// A body without salt is none; an empty body with its salt is one.
fn body(header: &Header, salt: &[u8], body: &Bytes) -> Result<Option<Bytes>, ProofError> {
    if salt.is_empty() && body.is_empty() {
        return Ok(None);
    }
    let salt: &[u8; 16] = salt.try_into().map_err(|_| ProofError::Body)?;
    if log::body_digest(salt, body) != header.body_digest
        || u32::try_from(body.len()) != Ok(header.body_length)
    {
        return Err(ProofError::Body);
    }
    Ok(Some(body.clone()))
}
