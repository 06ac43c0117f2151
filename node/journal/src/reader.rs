//! Reads what is durable.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use registry_proto::log::{Frontier, Hash, HashTiles};

use crate::{
    Checkpointed, Label, ReadError, Stored, StoredBody, disk,
    error::Failure,
    format::{EntryPrefix, Mark, Prefix, RECORD_BYTES_MAX, State},
    report::Part,
    segment::Segment,
    tiles::TileFiles,
};

/// Bytes that one [`Reader::read`] takes from disk at most, whatever it is asked for.
pub const READ_BYTES_MAX: usize = 64 << 20;

/// Bytes that are read at once to get at headers.
const HEADERS_BYTES: u64 = 4 << 20;

/// Sealed segments that are kept open.
const OPEN_FILES_MAX: usize = 32;
/// Times an entry is read again because an erasure may be changing it.
const REREADS: usize = 3;

const _: () = assert!(READ_BYTES_MAX >= RECORD_BYTES_MAX);

/// Reads a journal. Cheap to clone, usable from any thread, and valid after the [`Journal`] is
/// gone. Sees only what is durable; never makes the writer wait for the disk.
///
/// [`Journal`]: crate::Journal
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

/// What the writer publishes.
#[derive(Debug)]
pub(crate) struct Shared {
    view: RwLock<View>,
    pub(crate) label: Label,
    pub(crate) tiles: Arc<TileFiles>,
    open_files: Mutex<Vec<(u64, Arc<File>)>>,
}

/// A consistent view. Locked only to copy from it or to add to it, never during I/O.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) sealed: Vec<Arc<Segment>>,
    pub(crate) active: Segment,
    pub(crate) active_file: Arc<File>,
    pub(crate) size: u64,
    /// The tree: of all entries, or of those before the first whose leaf hash is lost.
    pub(crate) frontier: Frontier,
    pub(crate) last: Option<Checkpointed>,
    pub(crate) complete: Option<Checkpointed>,
}

/// How to reach the bytes of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) first: u64,
    pub(crate) path: Arc<Path>,
    pub(crate) mark: Mark,
    /// Set for the active one.
    pub(crate) file: Option<Arc<File>>,
}

/// Consecutive records in one segment.
struct Run {
    source: Source,
    from: u64,
    offsets: Vec<u64>,
    end: u64,
}

// === impl Reader ===

impl Reader {
    /// Entries of the log.
    pub fn size(&self) -> u64 {
        self.shared.view().size
    }

    /// The tree of the log. It has [`Reader::size`] leaves, unless the hash of a damaged entry is
    /// lost: then it has those before that entry.
    pub fn frontier(&self) -> Frontier {
        self.shared.view().frontier.clone()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        let view = self.shared.view();
        view.sealed.iter().map(|segment| segment.end).sum::<u64>() + view.active.end
    }

    /// The checkpoint of the newest group.
    pub fn last_checkpoint(&self) -> Option<Checkpointed> {
        self.shared.view().last.clone()
    }

    /// The newest checkpoint with a note that signs exactly what the log held after its group.
    pub fn last_complete_checkpoint(&self) -> Option<Checkpointed> {
        self.shared.view().complete.clone()
    }

    /// A checkpoint with a note over the entry `index`: the newest that signs exactly what the log held
    /// after its group if it reaches that far, else the one of the newest group.
    pub fn checkpoint_over(&self, index: u64) -> Option<Checkpointed> {
        let view = self.shared.view();
        let over = |it: &&Checkpointed| index < it.covers && !it.record.note.is_empty();
        [&view.complete, &view.last].into_iter().flatten().find(over).cloned()
    }

    /// Reads consecutive entries, with one read from disk per segment; they share memory, which
    /// stays as long as one of them does.
    ///
    /// Gives at least one entry if `from` is below [`Reader::size`], even one larger than
    /// `max_bytes`, and none otherwise. `max_bytes` counts what the records take on disk, and at
    /// most [`READ_BYTES_MAX`]. Ends early before a damaged entry.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if the entry `from` is damaged; [`ReadError::Io`].
    pub fn read(
        &self,
        from: u64,
        max_bytes: usize,
        max_entries: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        let max_bytes = max_bytes.min(READ_BYTES_MAX) as u64;
        let mut stored = Vec::new();
        let mut used = 0;
        while stored.len() < max_entries {
            let next = from.saturating_add(stored.len() as u64);
            let left = max_bytes.saturating_sub(used);
            if left == 0 && !stored.is_empty() {
                break;
            }
            let run = {
                let view = self.shared.view();
                if next >= view.size {
                    break;
                }
                view.run(next, left, max_entries - stored.len(), stored.is_empty())
            };
            let Some(run) = run else {
                if stored.is_empty() {
                    return Err(ReadError::Damaged { index: next, part: Part::Record });
                }
                break;
            };
            if run.offsets.is_empty() {
                break;
            }
            used += run.end - run.offsets[0];
            if !self.read_run(&run, &mut stored)? {
                break;
            }
        }
        Ok(stored)
    }

    /// Reads one entry.
    ///
    /// # Errors
    ///
    /// [`ReadError::OutOfRange`], [`ReadError::Damaged`], [`ReadError::Io`].
    pub fn entry(&self, index: u64) -> Result<Stored, ReadError> {
        let size = self.size();
        match self.read(index, 0, 1)?.pop() {
            Some(stored) => Ok(stored),
            None => Err(ReadError::OutOfRange { index, size }),
        }
    }

    /// Headers of consecutive entries from `from` on, at least one, whatever became of their bodies. Ends
    /// early before a damaged one.
    pub(crate) fn headers(&self, from: u64, max_entries: usize) -> Result<Vec<Bytes>, ReadError> {
        let run = self.shared.view().run(from, HEADERS_BYTES, max_entries, true);
        let Some(run) = run.filter(|it| !it.offsets.is_empty()) else {
            return Err(ReadError::Damaged { index: from, part: Part::Record });
        };
        let file = self.shared.file(&run.source)?;
        let base = run.offsets[0];
        let length = (run.end - base) as usize;
        let bytes = Bytes::from(disk::read_at(&file, &run.source.path, base, length)?);
        let mut headers = Vec::with_capacity(run.offsets.len());
        for (index, offset) in (from..).zip(&run.offsets) {
            let record = bytes.slice(((offset - base) as usize).min(bytes.len())..);
            match intact_head(&record, &run.source.mark, index) {
                Ok(entry) => headers.push(record.slice(entry.header_at()..entry.body_at())),
                Err(_) if !headers.is_empty() => break,
                Err(part) => return Err(ReadError::Damaged { index, part }),
            }
        }
        Ok(headers)
    }

    /// Reads a run into `stored`. `false` if it ended early because of a damaged entry.
    fn read_run(&self, run: &Run, stored: &mut Vec<Stored>) -> Result<bool, ReadError> {
        let file = self.shared.file(&run.source)?;
        let base = run.offsets[0];
        let length = (run.end - base) as usize;
        let bytes = Bytes::from(disk::read_at(&file, &run.source.path, base, length)?);
        stored.reserve(run.offsets.len());
        for (index, offset) in (run.from..).zip(&run.offsets) {
            let at = ((offset - base) as usize).min(bytes.len());
            let from = stored.last().map(|last| &last.from);
            let mut parsed = parse(&bytes.slice(at..), &run.source.mark, index, from);
            for _ in 0..REREADS {
                if !matches!(parsed, Err(Part::Body)) {
                    break;
                }
                // an erasure may be overwriting it just now
                let end = run.offsets.get((index - run.from) as usize + 1).unwrap_or(&run.end);
                let length = (end - offset) as usize;
                let again = disk::read_at(&file, &run.source.path, *offset, length)?;
                parsed = parse(&again.into(), &run.source.mark, index, from);
            }
            match parsed {
                Ok(entry) => stored.push(entry),
                Err(_) if !stored.is_empty() => return Ok(false),
                Err(part) => return Err(ReadError::Damaged { index, part }),
            }
        }
        Ok(true)
    }
}

impl HashTiles for Reader {
    type Error = ReadError;

    fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, ReadError> {
        let size = self.shared.view().frontier.size();
        let there = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let missing = || ReadError::NoHashes { level, from, count };
        if from.checked_add(count as u64).is_none_or(|end| end > there) {
            return Err(missing());
        }
        self.shared.tiles.read(usize::from(level), from, count)?.ok_or_else(missing)
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(view: View, label: Label, tiles: Arc<TileFiles>) -> Self {
        Self { view: RwLock::new(view), label, tiles, open_files: Mutex::default() }
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file of a segment.
    pub(crate) fn file(&self, source: &Source) -> Result<Arc<File>, Failure> {
        if let Some(file) = &source.file {
            return Ok(Arc::clone(file));
        }
        let mut files = self.open_files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = files.iter().position(|(first, _)| *first == source.first) {
            let hit = files.remove(place);
            let file = Arc::clone(&hit.1);
            files.push(hit);
            return Ok(file);
        }
        let file = Arc::new(disk::open_ro(&source.path)?);
        if files.len() == OPEN_FILES_MAX {
            files.remove(0);
        }
        files.push((source.first, Arc::clone(&file)));
        Ok(file)
    }
}

// === impl View ===

impl View {
    /// The segment that `index` belongs to.
    pub(crate) fn segment(&self, index: u64) -> Option<(&Segment, Source)> {
        let segment = if index >= self.active.first {
            &self.active
        } else {
            let after = self.sealed.partition_point(|segment| segment.first <= index);
            self.sealed.get(after.checked_sub(1)?)?.as_ref()
        };
        let file = (index >= self.active.first).then(|| Arc::clone(&self.active_file));
        let (first, path, mark) = (segment.first, Arc::clone(&segment.path), segment.mark);
        Some((segment, Source { first, path, mark, file }))
    }

    /// The records from `from` on that stand together in one segment and fit. `None` if there is
    /// no place known for `from`; an empty run if `at_least_one` is not set and it does not fit.
    fn run(&self, from: u64, bytes: u64, entries: usize, at_least_one: bool) -> Option<Run> {
        let (segment, source) = self.segment(from)?;
        let start = segment.place(from)?;
        let mut run = Run { source, from, offsets: Vec::new(), end: start };
        for index in from..self.size {
            let Some(offset) = segment.place(index).filter(|_| run.offsets.len() < entries) else {
                break;
            };
            let end = segment.reach(index, offset);
            if end <= offset || offset < start {
                // no writer leaves such an index
                return (!run.offsets.is_empty()).then_some(run);
            }
            let first = run.offsets.is_empty() && at_least_one;
            if end - start > bytes && !first {
                break;
            }
            run.offsets.push(offset);
            run.end = end;
            if end - start >= bytes {
                break;
            }
        }
        Some(run)
    }
}

/// The entry whose record `bytes` begin with.
pub(crate) fn parse(
    bytes: &Bytes,
    mark: &Mark,
    index: u64,
    last_from: Option<&Arc<str>>,
) -> Result<Stored, Part> {
    let entry = intact_head(bytes, mark, index)?;
    let from = std::str::from_utf8(&bytes[entry.header_at() - entry.from_len..entry.header_at()])
        .map_err(|_| Part::Header)?;
    let from = match last_from {
        Some(last) if **last == *from => Arc::clone(last),
        _ => from.into(),
    };
    // what says it is erased is never given out, whatever its CRC says
    let body = match (entry.claimed_state(), entry.state(bytes)) {
        (Some(State::Erasing | State::Erased), _) => StoredBody::Erased,
        (_, Some(State::Present)) => StoredBody::Present {
            salt: entry.salt,
            bytes: bytes.slice(entry.body_at()..entry.record_len()),
        },
        (_, Some(State::Withheld)) => StoredBody::Withheld,
        _ => return Err(Part::Body),
    };
    let header = bytes.slice(entry.header_at()..entry.body_at());
    Ok(Stored { index, header, body, received_unix_ms: entry.received_unix_ms, from })
}

/// The prefix of the record of `index`, if all before its body is intact.
fn intact_head(record: &[u8], mark: &Mark, index: u64) -> Result<EntryPrefix, Part> {
    let entry = entry_prefix(record, mark, index).ok_or(Part::Record)?;
    let intact = record.len() >= entry.record_len() && entry.head_is_intact(record);
    if intact { Ok(entry) } else { Err(Part::Header) }
}

/// The intact prefix of the record of `index`.
pub(crate) fn entry_prefix(record: &[u8], mark: &Mark, index: u64) -> Option<EntryPrefix> {
    match Prefix::parse(record, mark)? {
        Prefix::Entry(entry) if entry.index == index => Some(entry),
        Prefix::Entry(_) | Prefix::Checkpoint(_) => None,
    }
}
