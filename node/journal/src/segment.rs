//! One segment file and where its records stand.

use std::{path::Path, sync::Arc};

use crate::{
    disk,
    error::Failure,
    format::{Mark, RECORD_BYTES_MAX, SegmentIndex, header_len},
    report::{Finding, Findings, Part},
    scan::Scanned,
};

/// A segment file and where its records stand; four bytes an entry.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) path: Arc<Path>,
    pub(crate) mark: Mark,
    /// Per entry, 0 for one that was not found.
    pub(crate) offsets: Vec<u32>,
    /// End of the last record.
    pub(crate) end: u64,
    /// Last checkpoint record, 0 if there is none.
    pub(crate) last: u32,
    /// Last checkpoint record whose note signs the size after its group, 0 if there is none.
    pub(crate) complete: u32,
}

/// Name of the segment that begins at `first`.
pub(crate) fn file_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// First index that the name of a segment says.
pub(crate) fn parse_file_name(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

// === impl Segment ===

impl Segment {
    /// An empty one.
    pub(crate) fn new(first: u64, path: Arc<Path>, mark: Mark) -> Self {
        let end = header_len(first) as u64;
        Self { first, path, mark, offsets: Vec::new(), end, last: 0, complete: 0 }
    }

    /// From what was read in it; entries from `next` on do not belong to it.
    pub(crate) fn from_scan(
        first: u64,
        path: Arc<Path>,
        mark: Mark,
        scanned: &Scanned,
        next: u64,
    ) -> Self {
        let mut segment = Self::new(first, path, mark);
        for entry in scanned.entries.iter().filter(|entry| entry.index < next) {
            // the scan lets only indexes through that the file has room for
            let place = (entry.index - first) as usize;
            segment.offsets.resize(place, 0);
            segment.offsets.push(entry.offset as u32);
        }
        for checkpoint in &scanned.checkpoints {
            segment.last = checkpoint.offset as u32;
            if checkpoint.complete {
                segment.complete = checkpoint.offset as u32;
            }
            // entries before it that were not found need their places, or later ones shift
            let known = (checkpoint.covers.min(next) - first) as usize;
            if known > segment.offsets.len() {
                segment.offsets.resize(known, 0);
            }
        }
        segment.end = scanned.end;
        segment
    }

    /// From its index file, if that is intact and belongs to it. `mark` is that of the segment's
    /// header where this is readable.
    pub(crate) fn from_index(
        first: u64,
        path: &Arc<Path>,
        mark: Option<Mark>,
        next: u64,
    ) -> Result<Option<Self>, Failure> {
        let bytes = disk::read_small(&path.with_extension("idx"), u32::MAX.into())?;
        let Some(index) = bytes.as_deref().and_then(SegmentIndex::parse) else { return Ok(None) };
        let belongs = index.first == first
            && mark.is_none_or(|mark| mark == index.mark)
            && index.offsets.len() as u64 <= next - first;
        Ok(belongs.then(|| Self {
            first,
            path: Arc::clone(path),
            mark: index.mark,
            offsets: index.offsets,
            end: index.end,
            last: index.last,
            complete: index.complete,
        }))
    }

    /// Writes the index file, durably.
    pub(crate) fn write_index(&self) -> Result<(), Failure> {
        let index = SegmentIndex {
            mark: self.mark,
            first: self.first,
            end: self.end,
            last: self.last,
            complete: self.complete,
            offsets: self.offsets.clone(),
        };
        disk::replace(&self.path.with_extension("idx"), &index.encode())
    }

    /// Where the record of `index` begins. `None` if it was not found.
    pub(crate) fn place(&self, index: u64) -> Option<u64> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.offsets.get(place).filter(|offset| **offset != 0).map(|offset| u64::from(*offset))
    }

    /// A place that the record of `index` does not reach beyond.
    pub(crate) fn reach(&self, index: u64, offset: u64) -> u64 {
        let next = self.place(index + 1).unwrap_or(self.end);
        next.min(offset + RECORD_BYTES_MAX as u64)
    }

    /// Adds findings for entries without a place, up to `next`.
    pub(crate) fn report_missing(&self, next: u64, findings: &mut Findings) {
        for (index, offset) in (self.first..).zip(&self.offsets) {
            if *offset == 0 {
                findings.entry(index, Part::Record);
            }
        }
        let known = self.first + self.offsets.len() as u64;
        if known < next {
            findings.push(Finding::Entries { from: known, to: next, part: Part::Record });
        }
    }
}

/// Adds findings for what is damaged in a segment, except for entries without a place.
pub(crate) fn report_damage(first: u64, scanned: &Scanned, findings: &mut Findings) {
    for gap in &scanned.gaps {
        findings.push(match gap.covers {
            Some(_) => Finding::Checkpoint { segment: first, covers: gap.covers },
            None => Finding::Garbage { segment: first, offset: gap.from, bytes: gap.to - gap.from },
        });
    }
    for entry in &scanned.entries {
        if entry.leaf.is_none() {
            findings.entry(entry.index, Part::Header);
        } else if entry.state.is_none() {
            findings.entry(entry.index, Part::Body);
        }
    }
}
