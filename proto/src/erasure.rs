//! Erasures: which entry one names, and the proof that a body is missing for a reason.
//!
//! An erasure stands in the log of the entry it erases, behind it, signed like every other entry. So
//! only the owner of a log can erase in it, and whoever has the proof can check that it did.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    log::{Hash, Header, Kind, ProofRejected, body_digest, check_inclusion, leaf_hash},
    wire::{peer::ErasureProof, registry as wire},
};

/// Characters of the reason.
pub const GRUND_CHARS_MAX: usize = 500;

/// What an erasure says: this entry of the same log has no body any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasing {
    /// Index of the erasure itself.
    pub by: u64,
    /// Index of the erased entry; smaller.
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
    /// It stands in another log, epoch or Verbund than the entry.
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
    /// [`ErasureError::Kind`], [`ErasureError::Body`] or [`ErasureError::Order`].
    pub fn read(header: &Header, body: &[u8]) -> Result<Self, ErasureError> {
        if header.kind != Kind::Erasure {
            return Err(ErasureError::Kind);
        }
        let it = wire::Erasure::decode(body).map_err(|_| ErasureError::Body)?;
        let leaf = Hash::try_from(&it.leaf_hash[..]).map_err(|_| ErasureError::Body)?;
        let (by, index) = (header.index, it.index);
        if index >= by {
            return Err(ErasureError::Order { by, index });
        }
        Ok(Self { by, index, leaf, grund: it.grund })
    }

    /// Says whether it erases this entry of its log.
    ///
    /// # Errors
    ///
    /// [`ErasureError::OtherEntry`] or [`ErasureError::Protected`].
    pub fn erases(&self, target: &Header, leaf: &Hash) -> Result<(), ErasureError> {
        if target.index != self.index || *leaf != self.leaf {
            return Err(ErasureError::OtherEntry);
        }
        if may_be_erased(target.kind) { Ok(()) } else { Err(ErasureError::Protected(target.kind)) }
    }
}

/// Verifies that an entry is erased: the erasure stands in the tree of `size` and `root`, which a
/// checkpoint signs, in the log of the entry, and names it.
///
/// # Errors
///
/// See [`ErasureError`].
pub fn verify(
    proof: &ErasureProof,
    target: &Header,
    leaf: &Hash,
    size: u64,
    root: &Hash,
) -> Result<Erasing, ErasureError> {
    let header = Header::parse(&proof.header).map_err(|_| ErasureError::Body)?;
    if (header.verbund, header.log) != (target.verbund, target.log) {
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
    check_inclusion(&path, size, root, header.index, &leaf_hash(&proof.header))
        .map_err(ErasureError::Proof)?;
    Ok(erasing)
}

/// The proof that travels, from the erasure as it is stored.
pub fn prove(header: Bytes, salt: [u8; 16], body: Bytes, path: &[Hash]) -> ErasureProof {
    let raw = |hash: &Hash| Bytes::copy_from_slice(hash.as_bytes());
    let inclusion = path.iter().map(raw).collect();
    ErasureProof { header, salt: Bytes::copy_from_slice(&salt), body, inclusion }
}

/// Bytes that a proof adds to its entry.
pub fn proof_bytes(proof: &ErasureProof) -> usize {
    let path: usize = proof.inclusion.iter().map(Bytes::len).sum();
    proof.header.len() + proof.salt.len() + proof.body.len() + path
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
