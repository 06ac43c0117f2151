//! Brings the tiles in line with the segments.

use std::sync::Arc;

use registry_proto::log::{Frontier, Hash};

use super::{Active, Opening, segments::Found};
use crate::{
    Finding, OpenError, OpenProgress,
    error::Failure,
    scan::Scanned,
    segment::Segment,
    tiles::{TileFiles, TileWriter},
};

/// The leaves of a segment.
struct Leaves {
    hashes: Vec<Hash>,
    /// A leaf after them is lost.
    lost: bool,
    /// Sizes at which the stored root is another one.
    wrong_roots: Vec<u64>,
}

// === impl Opening ===

impl Opening<'_> {
    /// Finds the newest segment whose beginning the tiles agree with, and goes on from there.
    /// Usually that is the active one. Returns the tree of all entries, or of those before the
    /// first whose leaf hash is lost.
    pub(super) fn settle_tree(
        &mut self,
        found: &[Found],
        last: &Found,
        sealed: &[Segment],
        active: &Active,
        files: &Arc<TileFiles>,
    ) -> Result<(TileWriter, Frontier), OpenError> {
        let (from, mut writer, mut frontier) = self.agreed(found, last, files)?;
        let start = frontier.size();
        for (place, one) in found.iter().enumerate().skip(from) {
            let next = found.get(place + 1).unwrap_or(last);
            let scanned = self.scan(one, sealed[place].mark)?;
            let leaves = leaves(&frontier, &scanned, next.first, next.before.as_ref(), files)?;
            let lost = self.grow(leaves, &mut writer, &mut frontier)?;
            let done = frontier.size() - start;
            (self.progress)(OpenProgress::Tiles { done, total: active.size - start });
            if lost {
                writer.trim()?;
                return Ok((writer, frontier));
            }
        }
        let leaves = leaves(&frontier, &active.scanned, active.size, None, files)?;
        self.grow(leaves, &mut writer, &mut frontier)?;
        writer.trim()?;
        Ok((writer, frontier))
    }

    /// The newest segment, by its place, whose beginning the tiles agree with; the one after the
    /// last place is the active one.
    fn agreed(
        &self,
        found: &[Found],
        last: &Found,
        files: &Arc<TileFiles>,
    ) -> Result<(usize, TileWriter, Frontier), Failure> {
        let all: Vec<_> = found.iter().chain([last]).collect();
        for (place, one) in all.into_iter().enumerate().rev() {
            if let Some(before) = &one.before
                && let Some((writer, frontier)) = TileWriter::resume(files, one.first)?
                && frontier == *before
            {
                return Ok((place, writer, frontier));
            }
        }
        let (writer, frontier) = TileWriter::begin(files);
        Ok((0, writer, frontier))
    }

    /// Adds leaves to tree and tiles. `true` if the next one is lost.
    fn grow(
        &mut self,
        leaves: Leaves,
        writer: &mut TileWriter,
        frontier: &mut Frontier,
    ) -> Result<bool, Failure> {
        for size in leaves.wrong_roots {
            self.findings.push(Finding::Root { size });
        }
        for leaf in leaves.hashes {
            writer.push(leaf);
            frontier.push(leaf);
        }
        self.report.tile_hashes_rewritten += writer.settle()?;
        Ok(leaves.lost)
    }
}

/// The leaves of a segment up to `next`, from its headers. For a damaged header the tiles give the
/// hash, which counts as soon as a stored root, or the tree `after` the segment, confirms it.
fn leaves(
    before: &Frontier,
    scanned: &Scanned,
    next: u64,
    after: Option<&Frontier>,
    files: &TileFiles,
) -> Result<Leaves, Failure> {
    let mut tree = before.clone();
    let mut found = Leaves { hashes: Vec::new(), lost: false, wrong_roots: Vec::new() };
    let mut confirmed = 0;
    let mut assumed = false;
    let mut entries = scanned.entries.iter().peekable();
    let mut checkpoints = scanned.checkpoints.iter().peekable();
    for index in before.size()..next {
        let entry = entries.next_if(|entry| entry.index == index);
        let leaf = match entry.and_then(|entry| entry.leaf) {
            Some(leaf) => leaf,
            None => {
                assumed = true;
                match files.read(0, index, 1)?.and_then(|hashes| hashes.first().copied()) {
                    Some(leaf) => leaf,
                    None => break,
                }
            }
        };
        found.hashes.push(leaf);
        tree.push(leaf);
        let stored = checkpoints.next_if(|checkpoint| checkpoint.covers == tree.size());
        let right = match (stored, after.filter(|after| after.size() == tree.size())) {
            (_, Some(after)) => Some(tree == *after),
            (Some(checkpoint), None) => Some(tree.root() == checkpoint.root),
            (None, None) => None,
        };
        match right {
            Some(true) => assumed = false,
            Some(false) if assumed => break,
            Some(false) => found.wrong_roots.push(tree.size()),
            None => {}
        }
        if !assumed {
            confirmed = found.hashes.len();
        }
    }
    found.hashes.truncate(confirmed);
    found.lost = before.size() + (confirmed as u64) < next;
    Ok(found)
}
