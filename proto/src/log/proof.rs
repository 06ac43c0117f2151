//! Proofs of inclusion and of consistency (RFC 6962, sections 2.1.1 and 2.1.2).
//!
//! The algorithms are those of `tlog_tiles`; this module maps its dense hash indexes to tiles and
//! refuses beforehand every size, index and length on which it would panic or recurse deeply.

use std::cell::RefCell;

use tlog_tiles::tlog;

use super::{Hash, node_hash, tree::TREE_SIZE_MAX};

/// Hashes in a proof that is looked at; a tree of 2^64 leaves needs no more.
pub const PROOF_HASHES_MAX: usize = 64;

/// Levels of the tree in one level of tiles.
const TILE_LEVELS: u8 = 8;

/// Where the hashes of a tree can be read.
///
/// Tile level `L` is the sequence of the roots of all complete subtrees of `256^L` leaves.
pub trait HashTiles {
    /// Why a read fails.
    type Error;

    /// Hashes `from..from + count` of a tile level; `count` is at most 256 and the range never
    /// crosses a tile. Implementations MUST return exactly `count` hashes or an error.
    fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, Self::Error>;
}

/// Why no proof was made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError<E> {
    /// The index is not in the tree.
    #[error("index {index} is not in a tree of {size} leaves")]
    IndexBeyondSize {
        /// Asked for.
        index: u64,
        /// Of the tree.
        size: u64,
    },
    /// The older tree is larger than the newer.
    #[error("a tree of {old} leaves is no prefix of one of {new}")]
    OldBeyondNew {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// More leaves than [`TREE_SIZE_MAX`].
    #[error("a tree of {size} leaves is too large to compute with")]
    TreeTooLarge {
        /// Asked for.
        size: u64,
    },
    /// The tiles gave another number of hashes than asked for.
    #[error("tile level {level} gave {found} hashes from {from} on, expected {expected}")]
    ShortRead {
        /// Tile level.
        level: u8,
        /// First hash asked for.
        from: u64,
        /// Hashes asked for.
        expected: usize,
        /// Hashes read.
        found: usize,
    },
    /// The tiles cannot be read.
    #[error("cannot read hashes of the tree")]
    Read(#[source] E),
    /// The proof algorithm refused; not expected after the checks above.
    #[error("no proof exists for these sizes")]
    Refused,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofRejected {
    /// More hashes than any tree needs.
    #[error("the proof has {found} hashes, more than {PROOF_HASHES_MAX}")]
    TooLong {
        /// Hashes in the proof.
        found: usize,
    },
    /// The index is not in the tree.
    #[error("index {index} is not in a tree of {size} leaves")]
    IndexBeyondSize {
        /// Claimed.
        index: u64,
        /// Of the tree.
        size: u64,
    },
    /// The older tree is larger than the newer.
    #[error("a tree of {old} leaves is no prefix of one of {new}")]
    OldBeyondNew {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// The hashes do not lead to the roots, or there are too few or too many.
    #[error("the proof does not lead to the root")]
    Mismatch,
}

/// Proves that leaf `index` is in the tree of `size` leaves.
pub fn prove_inclusion<T: HashTiles>(
    tiles: &T,
    size: u64,
    index: u64,
) -> Result<Vec<Hash>, ProofError<T::Error>> {
    if size > TREE_SIZE_MAX {
        return Err(ProofError::TreeTooLarge { size });
    }
    if index >= size {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    let reader = Reader { tiles, failure: RefCell::new(None) };
    let proof = tlog::prove_record(size, index, &reader);
    reader.finish(proof)
}

/// Proves that the tree of `new` leaves begins with the tree of `old` leaves. The proof is empty
/// when `old` is 0 or equals `new`.
pub fn prove_consistency<T: HashTiles>(
    tiles: &T,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProofError<T::Error>> {
    if new > TREE_SIZE_MAX {
        return Err(ProofError::TreeTooLarge { size: new });
    }
    if old > new {
        return Err(ProofError::OldBeyondNew { old, new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let reader = Reader { tiles, failure: RefCell::new(None) };
    let proof = tlog::prove_tree(new, old, &reader);
    reader.finish(proof)
}

/// Root of the tree of the first `size` leaves.
pub fn tree_root<T: HashTiles>(tiles: &T, size: u64) -> Result<Hash, ProofError<T::Error>> {
    if size > TREE_SIZE_MAX {
        return Err(ProofError::TreeTooLarge { size });
    }
    if size == 0 {
        return Ok(Hash::EMPTY_ROOT);
    }
    let reader = Reader { tiles, failure: RefCell::new(None) };
    let root = tlog::tree_hash(size, &reader);
    let root = reader.finish(root.map(|it| vec![it]))?;
    root.first().copied().ok_or(ProofError::Refused)
}

/// Accepts if `proof` shows `leaf` at `index` in the tree of `size` leaves with `root`.
pub fn check_inclusion(
    proof: &[Hash],
    size: u64,
    root: &Hash,
    index: u64,
    leaf: &Hash,
) -> Result<(), ProofRejected> {
    if index >= size {
        return Err(ProofRejected::IndexBeyondSize { index, size });
    }
    let proof = bounded(proof)?;
    tlog::check_record(&proof, size, to_tlog(root), index, to_tlog(leaf))
        .map_err(|_| ProofRejected::Mismatch)
}

/// Accepts if `proof` shows that the tree (`new`, `new_root`) begins with (`old`, `old_root`).
///
/// Every tree begins with the empty one: with `old` 0 an empty proof is accepted and neither root
/// is looked at. With `old` equal to `new` the proof is empty and the roots are equal.
pub fn check_consistency(
    proof: &[Hash],
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
) -> Result<(), ProofRejected> {
    if old > new {
        return Err(ProofRejected::OldBeyondNew { old, new });
    }
    if old == 0 {
        return if proof.is_empty() { Ok(()) } else { Err(ProofRejected::Mismatch) };
    }
    let proof = bounded(proof)?;
    tlog::check_tree(&proof, new, to_tlog(new_root), old, to_tlog(old_root))
        .map_err(|_| ProofRejected::Mismatch)
}

// === impl Reader ===

/// Gives `tlog_tiles` the hashes it asks for; keeps our own error, for which its type has no place.
struct Reader<'a, T: HashTiles> {
    tiles: &'a T,
    failure: RefCell<Option<ProofError<T::Error>>>,
}

impl<T: HashTiles> Reader<'_, T> {
    fn finish(
        self,
        proof: Result<Vec<tlog::Hash>, tlog::Error>,
    ) -> Result<Vec<Hash>, ProofError<T::Error>> {
        match (self.failure.into_inner(), proof) {
            (Some(failure), _) => Err(failure),
            (None, Ok(proof)) => Ok(proof.iter().map(|hash| Hash::from_bytes(hash.0)).collect()),
            (None, Err(_)) => Err(ProofError::Refused),
        }
    }
}

impl<T: HashTiles> tlog::HashReader for Reader<'_, T> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let hashes: Result<Vec<_>, _> =
            indexes.iter().map(|index| hash(self.tiles, *index).map(|it| to_tlog(&it))).collect();
        hashes.map_err(|failure| {
            *self.failure.borrow_mut() = Some(failure);
            tlog::Error::InvalidTile
        })
    }
}

fn hash<T: HashTiles>(tiles: &T, index: u64) -> Result<Hash, ProofError<T::Error>> {
    let (tree_level, n) = tlog::split_stored_hash_index(index);
    subtree(tiles, tree_level, n)
}

/// Root of the `n`th complete subtree of `2^tree_level` leaves.
pub(super) fn subtree<T: HashTiles>(
    tiles: &T,
    tree_level: u8,
    n: u64,
) -> Result<Hash, ProofError<T::Error>> {
    let (level, rest) = (tree_level / TILE_LEVELS, tree_level % TILE_LEVELS);
    let (from, expected) = (n << rest, 1_usize << rest);
    let mut hashes = tiles.read(level, from, expected).map_err(ProofError::Read)?;
    let found = hashes.len();
    if found != expected {
        return Err(ProofError::ShortRead { level, from, expected, found });
    }
    let mut width = expected;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            hashes[i] = node_hash(&hashes[2 * i], &hashes[2 * i + 1]);
        }
    }
    hashes.first().copied().ok_or(ProofError::ShortRead { level, from, expected, found })
}

fn bounded(proof: &[Hash]) -> Result<Vec<tlog::Hash>, ProofRejected> {
    if proof.len() > PROOF_HASHES_MAX {
        return Err(ProofRejected::TooLong { found: proof.len() });
    }
    Ok(proof.iter().map(to_tlog).collect())
}

fn to_tlog(hash: &Hash) -> tlog::Hash {
    tlog::Hash(*hash.as_bytes())
}
