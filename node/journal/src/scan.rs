//! Reads all records of a segment in order and says what is intact.

use std::{fs::File, path::Path};

use registry_proto::log::{Hash, leaf_hash};

use crate::{
    disk,
    error::Failure,
    format::{CHECKPOINT_PREFIX_BYTES, ENTRY_PREFIX_BYTES, Mark, Prefix, State, header_len},
};

const CHUNK_BYTES: usize = 1 << 20;

/// The records of a segment.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) entries: Vec<ScannedEntry>,
    pub(crate) checkpoints: Vec<ScannedCheckpoint>,
    pub(crate) gaps: Vec<Gap>,
    /// Everything from here on is zero, or not there.
    pub(crate) end: u64,
}

/// An entry record whose prefix is intact.
#[derive(Debug)]
pub(crate) struct ScannedEntry {
    pub(crate) index: u64,
    pub(crate) offset: u64,
    /// `None` if the header is damaged.
    pub(crate) leaf: Option<Hash>,
    /// `None` if the body is damaged.
    pub(crate) state: Option<State>,
}

/// An intact checkpoint record.
#[derive(Debug)]
pub(crate) struct ScannedCheckpoint {
    pub(crate) offset: u64,
    pub(crate) end: u64,
    /// First entry of the group.
    pub(crate) from: u64,
    pub(crate) covers: u64,
    /// Whether there is a note, and it signs exactly what the group ends with.
    pub(crate) complete: bool,
    /// Where the group begins.
    pub(crate) group_at: u64,
    pub(crate) root: Hash,
}

/// Bytes that belong to no intact record.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Set if it is a checkpoint record with an intact prefix.
    pub(crate) covers: Option<u64>,
}

/// A file seen through a buffer, up to a limit.
struct Window<'a> {
    file: &'a File,
    path: &'a Path,
    limit: u64,
    start: u64,
    buffer: Vec<u8>,
}

struct Scanner<'a> {
    window: Window<'a>,
    mark: Mark,
    first: u64,
    next: u64,
    found: Scanned,
}

/// Reads the segment that begins at `first`, up to the byte `limit`. `progress` gets bytes read.
pub(crate) fn scan(
    file: &File,
    path: &Path,
    first: u64,
    mark: Mark,
    limit: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Scanned, Failure> {
    let window = Window { file, path, limit, start: 0, buffer: Vec::new() };
    let mut scanner = Scanner { window, mark, first, next: first, found: Scanned::default() };
    let mut at = header_len(first) as u64;
    let mut reported = 0;
    scanner.found.end = at.min(limit);
    while at < limit {
        let next = match scanner.record(at)? {
            Some(next) => Some(next),
            None => scanner.skip(at)?,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
        scanner.found.end = at;
        if at - reported >= CHUNK_BYTES as u64 {
            progress(at);
            reported = at;
        }
    }
    Ok(scanner.found)
}

/// The mark of a segment with a damaged header, taken from its first record.
pub(crate) fn probe_mark(file: &File, path: &Path, first: u64) -> Result<Option<Mark>, Failure> {
    let head = disk::read_at(file, path, header_len(first) as u64, CHECKPOINT_PREFIX_BYTES)?;
    let mark = head.get(..8).and_then(|mark| Mark::try_from(mark).ok());
    Ok(mark.filter(|mark| Prefix::parse(&head, mark).is_some()))
}

/// Whether a file holds anything but zeros from `at` on.
pub(crate) fn has_data(file: &File, path: &Path, at: u64, limit: u64) -> Result<bool, Failure> {
    let mut window = Window { file, path, limit, start: 0, buffer: Vec::new() };
    Ok(window.zeros_from(at)? > at)
}

// === impl Scanned ===

impl Scanned {
    /// Forgets everything from `at` on. Says how many entries that were.
    pub(crate) fn cut(&mut self, at: u64) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.offset < at);
        self.checkpoints.retain(|checkpoint| checkpoint.offset < at);
        self.gaps.retain(|gap| gap.from < at);
        self.end = at;
        (before - self.entries.len()) as u64
    }
}

// === impl Scanner ===

impl Scanner<'_> {
    /// Takes the record at `at` and says where the next one begins. `None` if there is none.
    fn record(&mut self, at: u64) -> Result<Option<u64>, Failure> {
        let Some(prefix) = self.prefix(at)? else { return Ok(None) };
        let length = prefix.record_len();
        let end = at + length as u64;
        if end > self.window.limit {
            return Ok(None);
        }
        let record = self.window.bytes(at, length)?;
        match prefix {
            Prefix::Entry(entry) => {
                let header = record.get(entry.header_at()..entry.body_at());
                let leaf = header.filter(|_| entry.head_is_intact(record)).map(leaf_hash);
                let state = entry.state(record);
                self.next = entry.index + 1;
                let index = entry.index;
                self.found.entries.push(ScannedEntry { index, offset: at, leaf, state });
            }
            Prefix::Checkpoint(checkpoint) if !checkpoint.is_intact(record) => {
                let covers = Some(checkpoint.covers);
                self.found.gaps.push(Gap { from: at, to: end, covers });
            }
            Prefix::Checkpoint(checkpoint) => {
                self.next = checkpoint.covers;
                self.found.checkpoints.push(ScannedCheckpoint {
                    offset: at,
                    end,
                    from: checkpoint.covers - u64::from(checkpoint.entries),
                    covers: checkpoint.covers,
                    complete: checkpoint.is_complete(),
                    group_at: at.saturating_sub(u64::from(checkpoint.group_bytes)),
                    root: checkpoint.root,
                });
            }
        }
        Ok(Some(end))
    }

    /// The prefix at `at`, if it is intact and belongs here.
    fn prefix(&mut self, at: u64) -> Result<Option<Prefix>, Failure> {
        let possible = self.window.limit / ENTRY_PREFIX_BYTES as u64;
        let Some(prefix) =
            Prefix::parse(self.window.bytes(at, CHECKPOINT_PREFIX_BYTES)?, &self.mark)
        else {
            return Ok(None);
        };
        let belongs = match &prefix {
            Prefix::Entry(entry) => entry.index >= self.next && entry.index - self.first < possible,
            Prefix::Checkpoint(checkpoint) => {
                checkpoint.covers >= self.next
                    && checkpoint.covers - self.first <= possible
                    && u64::from(checkpoint.entries) <= checkpoint.covers - self.first
            }
        };
        Ok(belongs.then_some(prefix))
    }

    /// Passes over what is no record and says where the next one begins. `None` if only zeros
    /// follow, or nothing intact does.
    fn skip(&mut self, at: u64) -> Result<Option<u64>, Failure> {
        let zeros_from = self.window.zeros_from(at)?;
        let mut candidate = at + 1;
        while let Some(found) = self.window.find(&self.mark, candidate, zeros_from)? {
            if self.prefix(found)?.is_some() {
                self.found.gaps.push(Gap { from: at, to: found, covers: None });
                return Ok(Some(found));
            }
            candidate = found + 1;
        }
        if zeros_from > at {
            self.found.gaps.push(Gap { from: at, to: zeros_from, covers: None });
        }
        self.found.end = zeros_from;
        Ok(None)
    }
}

// === impl Window ===

impl Window<'_> {
    /// The `length` bytes at `at`, fewer at the limit or the end of the file.
    fn bytes(&mut self, at: u64, length: usize) -> Result<&[u8], Failure> {
        let left = self.limit.saturating_sub(at);
        let length = left.min(length as u64) as usize;
        let end = at + length as u64;
        if at < self.start || end > self.start + self.buffer.len() as u64 {
            let count = left.min(length.max(CHUNK_BYTES) as u64) as usize;
            self.buffer = disk::read_at(self.file, self.path, at, count)?;
            self.start = at;
        }
        let from = ((at - self.start) as usize).min(self.buffer.len());
        let to = (from + length).min(self.buffer.len());
        Ok(&self.buffer[from..to])
    }

    /// First place in `from..to` where `mark` stands.
    fn find(&mut self, mark: &Mark, mut from: u64, to: u64) -> Result<Option<u64>, Failure> {
        while from < to {
            let chunk = self.bytes(from, CHUNK_BYTES)?;
            if chunk.len() < mark.len() {
                return Ok(None);
            }
            let hit = chunk.windows(mark.len()).position(|place| place == mark);
            if let Some(hit) = hit {
                return Ok(Some(from + hit as u64));
            }
            from += (chunk.len() - mark.len() + 1) as u64;
        }
        Ok(None)
    }

    /// The first place, not before `at`, from which on everything is zero.
    fn zeros_from(&mut self, at: u64) -> Result<u64, Failure> {
        let (mut from, mut zeros_from) = (at, at);
        while from < self.limit {
            let chunk = self.bytes(from, CHUNK_BYTES)?;
            if chunk.is_empty() {
                break;
            }
            if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
                zeros_from = from + last as u64 + 1;
            }
            from += chunk.len() as u64;
        }
        Ok(zeros_from)
    }
}
