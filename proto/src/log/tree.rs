//! The growing edge of a tree, and the roots of its parts.

use super::{Hash, node_hash};

/// Leaves of a tree this software computes with. Far beyond any log, and small enough that no
/// index arithmetic on it overflows.
pub const TREE_SIZE_MAX: u64 = 1 << 60;

/// What one must remember of a tree to add leaves: the roots of its complete subtrees, from left
/// to right, largest first (one per bit of the size).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

/// Root of a full tile: of the 256 hashes of one tile level, the hash of the level above.
pub fn tile_root(hashes: &[Hash; 256]) -> Hash {
    let mut level = *hashes;
    let mut width = level.len();
    while width > 1 {
        width /= 2;
        for i in 0..width {
            level[i] = node_hash(&level[2 * i], &level[2 * i + 1]);
        }
    }
    level[0]
}

// === impl Frontier ===

impl Frontier {
    /// Rebuilds a frontier from what [`Frontier::size`] and [`Frontier::peaks`] gave. `None` when
    /// the number of peaks does not belong to the size, or the size exceeds [`TREE_SIZE_MAX`].
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        let fits = size <= TREE_SIZE_MAX && peaks.len() == size.count_ones() as usize;
        fits.then_some(Self { size, peaks })
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        let completed = self.size.trailing_ones() as usize;
        let keep = self.peaks.len().saturating_sub(completed);
        for left in self.peaks[keep..].iter().rev() {
            hash = node_hash(left, &hash);
        }
        self.peaks.truncate(keep);
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree so far; [`Hash::EMPTY_ROOT`] without leaves.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Hash::EMPTY_ROOT };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Roots of the complete subtrees, largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }
}
