//! Reads everything again and compares it with what derives from it.

use std::sync::Arc;

use registry_proto::log::{Frontier, Hash, tile_root};

use crate::{
    Finding, ReadError, Reader, disk,
    error::Failure,
    format::{SegmentHeader, header_len},
    reader::Source,
    report::{Findings, Part},
    scan::{self, Scanned},
    segment,
    tiles::{LEVELS, TileFiles},
};

/// Leaf hashes read at once.
const LEAVES_AT_ONCE: usize = 256;

/// A segment as it was when the scrub began.
struct Span {
    source: Source,
    /// End of its last record.
    end: u64,
    /// One after its last entry.
    next: u64,
}

/// The tree as it follows from the headers.
struct Tree<'a> {
    tiles: &'a TileFiles,
    frontier: Frontier,
    /// Leaves of the published tree.
    size: u64,
    known: Vec<Hash>,
    known_from: u64,
}

// === impl Reader ===

impl Reader {
    /// Reads all that was durable when this began: verifies every checksum, compares the leaf
    /// hashes with the tiles and the roots with the stored ones. `progress` gets bytes read and
    /// bytes to read. Writes go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`]. Damage is no error: it is in the findings.
    pub fn scrub(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<Finding>, ReadError> {
        let (spans, published) = self.spans();
        let total = spans.iter().map(|span| span.end).sum();
        let mut findings = Findings::default();
        let mut tree = Tree {
            tiles: &self.shared.tiles,
            frontier: Frontier::default(),
            size: published.size(),
            known: Vec::new(),
            known_from: 0,
        };
        let mut done = 0;
        for span in &spans {
            let mut scanned = self.scan_span(span, &mut |bytes| progress(done + bytes, total))?;
            done += span.end;
            progress(done, total);
            self.forgive_erasures(&mut scanned);
            self.check_header(span, &mut findings)?;
            segment::report_damage(span.source.first, &scanned, &mut findings);
            tree.follow(&scanned, span.next, &mut findings)?;
        }
        if tree.frontier != published {
            findings.push(Finding::Root { size: published.size() });
        }
        check_tiles(&self.shared.tiles, published.size(), &mut findings)?;
        Ok(findings.into_vec())
    }

    fn spans(&self) -> (Vec<Span>, Frontier) {
        let view = self.shared.view();
        let mut spans = Vec::with_capacity(view.sealed.len() + 1);
        for (place, one) in view.sealed.iter().enumerate() {
            let next = view.sealed.get(place + 1).map_or(view.active.first, |next| next.first);
            let (first, path, mark) = (one.first, Arc::clone(&one.path), one.mark);
            spans.push(Span {
                source: Source { first, path, mark, file: None },
                end: one.end,
                next,
            });
        }
        let (first, path) = (view.active.first, Arc::clone(&view.active.path));
        let (mark, file) = (view.active.mark, Some(Arc::clone(&view.active_file)));
        let (end, next) = (view.active.end, view.size);
        spans.push(Span { source: Source { first, path, mark, file }, end, next });
        (spans, view.frontier.clone())
    }

    fn scan_span(&self, span: &Span, progress: &mut dyn FnMut(u64)) -> Result<Scanned, Failure> {
        let Source { first, path, mark, .. } = &span.source;
        let file = self.shared.file(&span.source)?;
        let limit = disk::len(&file, path)?.min(span.end);
        scan::scan(&file, path, *first, *mark, limit, progress)
    }

    /// A body that an erasure overwrites while it is scanned is not damaged.
    fn forgive_erasures(&self, scanned: &mut Scanned) {
        for entry in scanned.entries.iter_mut().filter(|entry| entry.state.is_none()) {
            if self.entry(entry.index).is_ok() {
                entry.state = Some(crate::format::State::Erased);
            }
        }
    }

    fn check_header(&self, span: &Span, findings: &mut Findings) -> Result<(), Failure> {
        let Source { first, path, .. } = &span.source;
        let file = self.shared.file(&span.source)?;
        let bytes = disk::read_at(&file, path, 0, header_len(*first))?;
        if SegmentHeader::parse(&bytes, *first, &self.shared.label).is_err() {
            findings.push(Finding::SegmentHeader { segment: *first });
        }
        Ok(())
    }
}

// === impl Tree ===

impl Tree<'_> {
    /// Adds the entries of a segment, up to `next`. Where a header is damaged the tiles' hash
    /// stands in.
    fn follow(
        &mut self,
        scanned: &Scanned,
        next: u64,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let mut entries = scanned.entries.iter().peekable();
        let mut checkpoints = scanned.checkpoints.iter().peekable();
        for index in self.frontier.size()..next {
            let entry = entries.next_if(|entry| entry.index == index);
            if entry.is_none() {
                findings.entry(index, Part::Record);
            }
            if index >= self.size || self.frontier.size() != index {
                continue;
            }
            let known = self.known(index)?;
            let leaf = match (entry.and_then(|entry| entry.leaf), known) {
                (Some(leaf), known) => {
                    if known != Some(leaf) {
                        findings.push(Finding::Leaf { index });
                    }
                    leaf
                }
                (None, Some(known)) => known,
                (None, None) => continue,
            };
            self.frontier.push(leaf);
            let size = self.frontier.size();
            let stored = checkpoints.next_if(|checkpoint| checkpoint.covers == size);
            if stored.is_some_and(|checkpoint| checkpoint.root != self.frontier.root()) {
                findings.push(Finding::Root { size });
            }
        }
        Ok(())
    }

    /// The leaf hash in the tiles.
    fn known(&mut self, index: u64) -> Result<Option<Hash>, Failure> {
        let place = index.wrapping_sub(self.known_from);
        if place >= self.known.len() as u64 {
            let count = (self.size - index).min(LEAVES_AT_ONCE as u64) as usize;
            self.known = self.tiles.read(0, index, count)?.unwrap_or_default();
            self.known_from = index;
            return Ok(self.known.first().copied());
        }
        Ok(self.known.get(place as usize).copied())
    }
}

/// Compares each hash of a higher level with the tile below it.
fn check_tiles(tiles: &TileFiles, size: u64, findings: &mut Findings) -> Result<(), Failure> {
    for level in 1..LEVELS {
        for index in 0..size >> (8 * level) {
            let below = tiles.read(level - 1, index * 256, 256)?;
            let expected = below.as_deref().and_then(|tile| tile.try_into().ok()).map(tile_root);
            let found = tiles.read(level, index, 1)?.and_then(|hashes| hashes.first().copied());
            if expected.is_none() || expected != found {
                findings.push(Finding::Tile { level: level as u8, index });
            }
        }
    }
    Ok(())
}
