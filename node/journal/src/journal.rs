//! The only writer.

use std::{
    fs::File,
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
    sync::Arc,
};

use registry_proto::log::{Frontier, leaf_hash};

use crate::{
    AppendError, BODY_BYTES_MAX, Body, CheckpointRecord, Checkpointed, FROM_BYTES_MAX,
    GROUP_BYTES_MAX, Group, HEADER_BYTES_MAX, Label, NOTE_BYTES_MAX, OpenError, OpenProgress,
    OpenReport, PROOF_HASHES_MAX, Reader,
    disk::{self, Create},
    error::Failure,
    format::{
        Mark, SEGMENT_BYTES_MAX, SegmentHeader, checkpoint_len, entry_len, push_checkpoint,
        push_entry,
    },
    open,
    reader::Shared,
    segment::{self, Segment},
    tiles::TileWriter,
};

/// Groups up to this size are written over bytes that are already allocated, so that the sync
/// need not also write the new length of the file: that saves about a third of its time.
const SMALL_GROUP_BYTES: usize = 128 << 10;
/// Zeros written at once for that.
const AHEAD_BYTES: u64 = 1 << 20;
/// The write buffer is given back when a group made it larger than this.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

const _: () = assert!(AHEAD_BYTES >= 2 * (SMALL_GROUP_BYTES as u64));

/// How a journal is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A segment that would exceed this is sealed, and the next one begun.
    pub segment_bytes: u64,
}

/// The only writer of a log.
#[derive(Debug)]
pub struct Journal {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tiles: TileWriter,
    /// Up to here the active segment has bytes, zeros after its end.
    pub(crate) ahead: u64,
    pub(crate) buffer: Vec<u8>,
    /// First failure of the file system.
    pub(crate) poisoned: Option<String>,
    /// Holds the lock of the directory.
    pub(crate) _lock: File,
}

// === impl Journal ===

impl Journal {
    /// Opens the journal in `dir`, creates it if it is absent, and makes whole what a crash left:
    /// cuts a torn tail, completes erasures, makes derived files again. The report says what was
    /// done and what is damaged.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. Damage is none: it is in the report.
    pub fn open(
        dir: &Path,
        label: &Label,
        options: Options,
        progress: &mut dyn FnMut(OpenProgress),
    ) -> Result<(Self, OpenReport), OpenError> {
        if label.land.is_empty() || label.land.len() > crate::LAND_BYTES_MAX {
            return Err(OpenError::Land { land: label.land.clone() });
        }
        if !(1..=SEGMENT_BYTES_MAX).contains(&options.segment_bytes) {
            return Err(OpenError::SegmentBytes { bytes: options.segment_bytes });
        }
        open::open(dir, label, options, progress)
    }

    /// Makes a group durable with one write and one sync, then shows it to readers. Returns the
    /// new size of the log. When this returns `Ok` the group survives a loss of power; when it
    /// returns an error, none of its entries is visible.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]; after [`AppendError::DiskFull`] and [`AppendError::Io`] nothing more
    /// is taken until the journal is opened again.
    pub fn append(&mut self, group: &Group<'_>) -> Result<u64, AppendError> {
        if let Some(cause) = &self.poisoned {
            return Err(AppendError::Poisoned { cause: cause.clone() });
        }
        let bytes = check(group)?;
        let (size, mut frontier, end, held) = {
            let view = self.shared.view();
            (view.size, view.frontier.clone(), view.active.end, view.active.offsets.len())
        };
        if frontier.size() != size {
            return Err(AppendError::TreeUnknown { index: frontier.size() });
        }
        let covers = size + group.entries.len() as u64;
        let note_size = group.checkpoint.note_size;
        if note_size < covers {
            return Err(AppendError::NoteBehind { note_size, covers });
        }
        if held > 0 && end + bytes as u64 > self.options.segment_bytes {
            let rolled = self.roll(&frontier);
            self.poison(rolled)?;
        }
        let (at, file, path, mark) = {
            let view = self.shared.view();
            let active = &view.active;
            (active.end, Arc::clone(&view.active_file), Arc::clone(&active.path), active.mark)
        };
        let offsets = self.encode(group, &mark, size, at, &mut frontier);
        let written = self.write(&file, &path, at);
        self.poison(written)?;
        // the group is durable: a failure of the derived tiles stops the next one only
        let flushed = self.tiles.flush();
        let _ = self.poison(flushed);
        self.publish(group, at, &offsets, covers, frontier);
        Ok(covers)
    }

    /// A reader of this journal.
    pub fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }

    /// Remembers the first failure.
    pub(crate) fn poison<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &result
            && self.poisoned.is_none()
        {
            let cause = failure.cause();
            let Label { land, epoch, .. } = &self.shared.label;
            tracing::error!(%land, epoch, %cause, "journal stops");
            self.poisoned = Some(cause);
        }
        result
    }

    /// Fills the buffer with the group, and pushes its leaves. Returns where in the segment the
    /// entries will stand.
    fn encode(
        &mut self,
        group: &Group<'_>,
        mark: &Mark,
        size: u64,
        at: u64,
        frontier: &mut Frontier,
    ) -> Vec<u32> {
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
        let mut offsets = Vec::with_capacity(group.entries.len());
        for (index, entry) in (size..).zip(group.entries) {
            offsets.push((at + self.buffer.len() as u64) as u32);
            let received = group.received_unix_ms;
            push_entry(&mut self.buffer, mark, index, received, group.from, entry);
            let leaf = leaf_hash(entry.header);
            frontier.push(leaf);
            self.tiles.push(leaf);
        }
        let (count, covers) = (group.entries.len() as u32, frontier.size());
        push_checkpoint(&mut self.buffer, mark, count, covers, &frontier.root(), group.checkpoint);
        offsets
    }

    /// Writes the buffer at `at` and makes it durable.
    fn write(&mut self, file: &File, path: &Path, at: u64) -> Result<(), Failure> {
        let length = self.buffer.len();
        let end = at + length as u64;
        if length <= SMALL_GROUP_BYTES && end > self.ahead {
            // with the group in front of the zeros, both are one write
            self.buffer.resize(length + AHEAD_BYTES as usize, 0);
        }
        disk::write_at(file, path, &self.buffer, at)?;
        self.ahead = self.ahead.max(at + self.buffer.len() as u64);
        disk::sync(file, path)
    }

    fn publish(
        &self,
        group: &Group<'_>,
        at: u64,
        offsets: &[u32],
        covers: u64,
        frontier: Frontier,
    ) {
        let record = group.checkpoint.clone();
        let complete = record.note_size == covers && !record.note.is_empty();
        let bytes: usize = group.entries.iter().map(|entry| entry_len(entry, group.from)).sum();
        let note_at = at + bytes as u64;
        let end = note_at + checkpoint_len(&record) as u64;
        let checkpointed = Checkpointed { record, covers };
        let mut view = self.shared.view_mut();
        view.active.offsets.extend_from_slice(offsets);
        view.active.end = end;
        view.active.last = note_at as u32;
        view.size = covers;
        view.frontier = frontier;
        if complete {
            view.active.complete = note_at as u32;
            view.complete = Some(checkpointed.clone());
        }
        view.last = Some(checkpointed);
    }

    /// Seals the active segment and begins the next.
    fn roll(&mut self, frontier: &Frontier) -> Result<(), Failure> {
        {
            let view = self.shared.view();
            disk::set_len(&view.active_file, &view.active.path, view.active.end)?;
            disk::sync(&view.active_file, &view.active.path)?;
            view.active.write_index()?;
        }
        self.tiles.sync()?;
        let (active, file) = create_segment(&self.dir, &self.shared.label, frontier.clone())?;
        self.ahead = active.end;
        let mut view = self.shared.view_mut();
        let sealed = std::mem::replace(&mut view.active, active);
        view.active_file = Arc::new(file);
        view.sealed.push(Arc::new(sealed));
        Ok(())
    }
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// Begins a segment, durably.
pub(crate) fn create_segment(
    dir: &Path,
    label: &Label,
    before: Frontier,
) -> Result<(Segment, File), Failure> {
    let first = before.size();
    let path: Arc<Path> = dir.join(segment::file_name(first)).into();
    let header = SegmentHeader { mark: random_mark(), before };
    let file = disk::open_rw(&path, Create::Fresh)?;
    disk::write_at(&file, &path, &header.encode(label), 0)?;
    disk::sync(&file, &path)?;
    disk::sync_dir(dir)?;
    Ok((Segment::new(first, path, header.mark), file))
}

/// Eight bytes that nobody can guess; the hasher's keys come from the operating system.
fn random_mark() -> Mark {
    let mut mark = RandomState::new().build_hasher().finish().to_le_bytes();
    mark[0] |= 1;
    mark
}

/// Checks the limits of a group. Returns its bytes on disk.
fn check(group: &Group<'_>) -> Result<usize, AppendError> {
    if group.entries.is_empty() {
        return Err(AppendError::Empty);
    }
    within("name of the sender", group.from.len(), FROM_BYTES_MAX)?;
    let CheckpointRecord { note, proof, .. } = group.checkpoint;
    within("note", note.len(), NOTE_BYTES_MAX)?;
    within("proof", proof.len(), PROOF_HASHES_MAX)?;
    let mut bytes = checkpoint_len(group.checkpoint);
    for entry in group.entries {
        within("header", entry.header.len(), HEADER_BYTES_MAX)?;
        if let Body::Present { bytes, .. } = entry.body {
            within("body", bytes.len(), BODY_BYTES_MAX)?;
        }
        bytes = bytes.saturating_add(entry_len(entry, group.from));
    }
    within("group", bytes, GROUP_BYTES_MAX)?;
    Ok(bytes)
}

fn within(what: &'static str, size: usize, max: usize) -> Result<(), AppendError> {
    if size > max { Err(AppendError::TooLarge { what, size, max }) } else { Ok(()) }
}
