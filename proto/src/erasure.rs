//! Erasures: which entry one names, and the proof that a body is missing for a reason.
//!
//! An erasure stands in the log of the entry it erases, behind it or in a later epoch, signed like
//! every other entry. So only the owner of a log can erase in it, and whoever has the proof can check
//! that it did.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    log::{Checkpoint, Hash, Header, Kind, ProofRejected, body_digest, check_inclusion, leaf_hash},
    terms::LogId,
    wire::{peer::ErasureProof, registry as wire},
};

/// Characters of the reason.
pub const GRUND_CHARS_MAX: usize = 500;

/// What an erasure says: this entry of the same Land has no body any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasing {
    /// Index of the erasure itself.
    pub by: u64,
    /// Log of the erased entry: that of the erasure, or an earlier epoch of it.
    pub log: LogId,
    /// Index of the erased entry; in the same epoch smaller.
    pub index: u64,
    /// Leaf hash of the erased entry.
    pub leaf: Hash,
    /// Why, in the words of the owner.
    pub grund: String,
}

/// Why an entry is no erasure, or no erasure of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErasureError {
    /// Another kind.
    #[error("the entry is no erasure")]
    Kind,
    /// No protobuf message of this form, or one that contradicts its header.
    #[error("the erasure has no readable body")]
    Body,
    /// It names an entry that does not stand before it.
    #[error("erasure {by} names entry {index}, which does not stand before it")]
    Order {
        /// Index of the erasure.
        by: u64,
        /// Index it names.
        index: u64,
    },
    /// It names no epoch before its own.
    #[error("the erasure names epoch {named} and stands in epoch {stands}")]
    Epoch {
        /// Epoch it names.
        named: u64,
        /// Epoch it stands in.
        stands: u64,
    },
    /// It stands in another log or Verbund than the checkpoint, or in the log of another Land.
    #[error("the erasure stands in another log")]
    OtherLog,
    /// It names another entry.
    #[error("the erasure names another entry")]
    OtherEntry,
    /// The entry is of a kind that is never erased.
    #[error("entries of kind {} are never erased", .0.to_wire())]
    Protected(Kind),
    /// It is not in the tree.
    #[error("the erasure is not proved to stand in the log")]
    Proof(#[source] ProofRejected),
}

/// True for kinds whose bodies may be erased: what people write about services and about each other.
/// What others rest on stays: moves, countersignatures, handovers, and what a log says of itself.
///
/// Kinds that need newer software are for that to judge; here their bodies say nothing anyway.
pub fn may_be_erased(kind: Kind) -> bool {
    match kind {
        Kind::ServiceDefinition | Kind::ServiceVersion | Kind::Contact | Kind::Unknown(_) => true,
        Kind::Unfenced
        | Kind::VersionStatus
        | Kind::SubscriptionMove
        | Kind::Anschluss
        | Kind::Bestaetigung
        | Kind::Mitzeichnung
        | Kind::Uebergabe
        | Kind::CharterVote
        | Kind::AuditHead
        | Kind::Erasure
        | Kind::Recovered
        | Kind::EpochReset => false,
    }
}

// === impl Erasing ===

impl Erasing {
    /// Reads an erasure.
    ///
    /// # Errors
    ///
    /// [`ErasureError::Kind`], [`ErasureError::Body`], [`ErasureError::Epoch`] or
    /// [`ErasureError::Order`].
    pub fn read(header: &Header, body: &[u8]) -> Result<Self, ErasureError> {
        if header.kind != Kind::Erasure {
            return Err(ErasureError::Kind);
        }
        let it = wire::Erasure::decode(body).map_err(|_| ErasureError::Body)?;
        let leaf = Hash::try_from(&it.leaf_hash[..]).map_err(|_| ErasureError::Body)?;
        let (by, index) = (header.index, it.index);
        let stands = header.log.epoch;
        let log = match it.epoch {
            0 if index >= by => return Err(ErasureError::Order { by, index }),
            0 => header.log,
            named if named >= stands => return Err(ErasureError::Epoch { named, stands }),
            epoch => LogId { land: header.log.land, epoch },
        };
        Ok(Self { by, log, index, leaf, grund: it.grund })
    }

    /// Says whether it erases this entry.
    ///
    /// # Errors
    ///
    /// [`ErasureError::OtherEntry`] or [`ErasureError::Protected`].
    pub fn erases(&self, target: &Header, leaf: &Hash) -> Result<(), ErasureError> {
        if (target.log, target.index, *leaf) != (self.log, self.index, self.leaf) {
            return Err(ErasureError::OtherEntry);
        }
        if may_be_erased(target.kind) { Ok(()) } else { Err(ErasureError::Protected(target.kind)) }
    }
}

/// Verifies that an entry is erased: the erasure stands in the tree that a checkpoint signs, in the log
/// of the entry or in a later epoch of it, and names it. That the checkpoint counts is not verified.
///
/// # Errors
///
/// See [`ErasureError`].
pub fn verify(
    proof: &ErasureProof,
    target: &Header,
    leaf: &Hash,
    signed: &Checkpoint,
) -> Result<Erasing, ErasureError> {
    let header = Header::parse(&proof.header).map_err(|_| ErasureError::Body)?;
    let (origin, land) = (&signed.origin, target.log.land);
    let stands = (header.verbund, header.log) == (origin.verbund, origin.log);
    if !stands || header.verbund != target.verbund || header.log.land != land {
        return Err(ErasureError::OtherLog);
    }
    let salt = <&[u8; 16]>::try_from(&proof.salt[..]).map_err(|_| ErasureError::Body)?;
    let promised = proof.body.len() == header.body_length as usize
        && body_digest(salt, &proof.body) == header.body_digest;
    if !promised {
        return Err(ErasureError::Body);
    }
    let erasing = Erasing::read(&header, &proof.body)?;
    erasing.erases(target, leaf)?;
    let mut path = Vec::with_capacity(proof.inclusion.len().min(64));
    for hash in &proof.inclusion {
        path.push(Hash::try_from(&hash[..]).map_err(|_| ErasureError::Body)?);
    }
    let leaf = leaf_hash(&proof.header);
    check_inclusion(&path, signed.size, &signed.root, header.index, &leaf)
        .map_err(ErasureError::Proof)?;
    Ok(erasing)
}

/// The proof that travels, from the erasure as it is stored. If the erasure stands in a later epoch
/// than the entry, the checkpoint of that one MUST be put in.
pub fn prove(header: Bytes, salt: [u8; 16], body: Bytes, path: &[Hash]) -> ErasureProof {
    let raw = |hash: &Hash| Bytes::copy_from_slice(hash.as_bytes());
    let inclusion = path.iter().map(raw).collect();
    let (salt, checkpoint) = (Bytes::copy_from_slice(&salt), Bytes::new());
    ErasureProof { header, salt, body, inclusion, checkpoint }
}

/// Bytes that a proof adds to its entry.
pub fn proof_bytes(proof: &ErasureProof) -> usize {
    let path: usize = proof.inclusion.iter().map(Bytes::len).sum();
    let said = proof.header.len() + proof.salt.len() + proof.body.len();
    said + path + proof.checkpoint.len()
}

/// True if the bytes are the header of an erasure; cheap enough for every entry of a busy log.
pub fn is_erasure(header: &[u8]) -> bool {
    JustKind::decode(header).is_ok_and(|it| Kind::from_wire(it.kind) == Kind::Erasure)
}

/// The one field of a header that is looked at.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct JustKind {
    #[prost(int32, tag = "6")]
    kind: i32,
}
