//! Proofs in a tree of which only a beginning is here.

use super::{
    Hash, HashTiles, ProofError, TREE_SIZE_MAX, node_hash,
    proof::{prove_consistency, prove_inclusion, subtree},
};

/// A tree of which the first leaves are here, and a consistency proof how they lead to all of it.
///
/// That proof holds the roots of all subtrees that the leaves here say nothing about, so each of them
/// can be proved to be in the whole tree. It MUST have been checked: what a wrong one gives proves
/// nothing.
#[derive(Debug)]
pub struct Continued<'a, T> {
    /// Hashes of what is here.
    pub tiles: &'a T,
    /// Leaves that are here.
    pub here: u64,
    /// Leaves of the whole tree.
    pub size: u64,
    /// Consistency proof from the tree of `here` to that of `size`.
    pub proof: &'a [Hash],
}

/// Leaves `from..to` that are a node of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: u64,
    to: u64,
}

/// The nodes that a consistency proof gives.
struct Given<'a, T> {
    tiles: &'a T,
    here: u64,
    nodes: Vec<(Span, Hash)>,
}

// === impl Continued ===

impl<T: HashTiles> Continued<'_, T> {
    /// Proves that leaf `index`, which MUST be here, is in the whole tree.
    ///
    /// # Errors
    ///
    /// See [`ProofError`]; [`ProofError::Refused`] if the proof has not the hashes that belong to the
    /// sizes.
    pub fn prove_inclusion(&self, index: u64) -> Result<Vec<Hash>, ProofError<T::Error>> {
        if self.here == self.size {
            return prove_inclusion(self.tiles, self.size, index);
        }
        if index >= self.here {
            return Err(ProofError::IndexBeyondSize { index, size: self.here });
        }
        let (given, mut node) = self.given()?;
        let mut path = Vec::new();
        while let Some((left, right)) = node.halves() {
            let (on, beside) = if index < right.from { (left, right) } else { (right, left) };
            path.push(given.root(beside)?);
            node = on;
        }
        path.reverse();
        Ok(path)
    }

    /// Proves that the whole tree begins with the tree of `old` leaves, which MUST be here.
    ///
    /// # Errors
    ///
    /// As [`Self::prove_inclusion`].
    pub fn prove_consistency(&self, old: u64) -> Result<Vec<Hash>, ProofError<T::Error>> {
        if self.here == self.size {
            return prove_consistency(self.tiles, old, self.size);
        }
        if old > self.here {
            return Err(ProofError::OldBeyondNew { old, new: self.here });
        }
        if old == 0 {
            return Ok(Vec::new());
        }
        let (given, whole) = self.given()?;
        consistency_nodes(whole, old).into_iter().map(|it| given.root(it)).collect()
    }

    fn given(&self) -> Result<(Given<'_, T>, Span), ProofError<T::Error>> {
        let (here, size) = (self.here, self.size);
        if size > TREE_SIZE_MAX {
            return Err(ProofError::TreeTooLarge { size });
        }
        if here == 0 || here > size {
            return Err(ProofError::OldBeyondNew { old: here, new: size });
        }
        let whole = Span { from: 0, to: size };
        let spans = consistency_nodes(whole, here);
        if spans.len() != self.proof.len() {
            return Err(ProofError::Refused);
        }
        let nodes = spans.into_iter().zip(self.proof.iter().copied()).collect();
        Ok((Given { tiles: self.tiles, here, nodes }, whole))
    }
}

/// The nodes of which RFC 6962 (2.1.2) puts the roots into the proof that `whole` begins with the first
/// `old` leaves, in its order; 0 < `old` <= leaves of `whole`.
fn consistency_nodes(whole: Span, old: u64) -> Vec<Span> {
    let mut nodes = Vec::new();
    let mut node = whole;
    while let Some((left, right)) = node.halves().filter(|_| node.to != old) {
        let (on, beside) = if old <= left.to { (left, right) } else { (right, left) };
        nodes.push(beside);
        node = on;
    }
    // who verifies knows the root of all old leaves, of a part of them only from here
    if node.from > 0 {
        nodes.push(node);
    }
    nodes.reverse();
    nodes
}

// === impl Span ===

impl Span {
    /// Its children; `None` for a leaf.
    fn halves(self) -> Option<(Self, Self)> {
        let leaves = self.to - self.from;
        if leaves < 2 {
            return None;
        }
        let middle = self.from + leaves.next_power_of_two() / 2;
        Some((Self { to: middle, ..self }, Self { from: middle, ..self }))
    }
}

// === impl Given ===

impl<T: HashTiles> Given<'_, T> {
    /// Root of a node: of leaves here, from the proof, or of both.
    fn root(&self, node: Span) -> Result<Hash, ProofError<T::Error>> {
        let leaves = node.to - node.from;
        // what is here and below a node of the whole tree is complete, unless it is all of that
        if node.to <= self.here && leaves.is_power_of_two() && node.from.is_multiple_of(leaves) {
            let level = u8::try_from(leaves.trailing_zeros()).map_err(|_| ProofError::Refused)?;
            return subtree(self.tiles, level, node.from / leaves);
        }
        if let Some((_, root)) = self.nodes.iter().find(|(it, _)| *it == node) {
            return Ok(*root);
        }
        let (left, right) =
            node.halves().filter(|_| node.from < self.here).ok_or(ProofError::Refused)?;
        Ok(node_hash(&self.root(left)?, &self.root(right)?))
    }
}
