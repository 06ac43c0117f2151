//! Opens a journal and makes whole what a crash left.

mod segments;
mod tree;

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::Arc,
};

use crate::{
    Checkpointed, Journal, Label, OpenError, OpenProgress, OpenReport, Options,
    disk::{self, Create},
    erase::read_intent,
    error::Failure,
    format::{Prefix, RECORD_BYTES_MAX, State},
    journal::create_segment,
    reader::{Shared, View},
    report::Findings,
    scan::Scanned,
    segment::Segment,
    tiles::TileFiles,
};

use self::segments::Found;

/// What is gathered on the way.
struct Opening<'a> {
    dir: &'a Path,
    label: &'a Label,
    progress: &'a mut dyn FnMut(OpenProgress),
    report: OpenReport,
    findings: Findings,
    /// Erasures to complete.
    erasing: Vec<u64>,
}

/// The newest segment, whose end is where the log goes on.
struct Active {
    segment: Segment,
    file: File,
    scanned: Scanned,
    /// Entries of the log.
    size: u64,
    /// Bytes of the file.
    length: u64,
}

/// See [`Journal::open`].
pub(crate) fn open(
    dir: &Path,
    label: &Label,
    options: Options,
    progress: &mut dyn FnMut(OpenProgress),
) -> Result<(Journal, OpenReport), OpenError> {
    disk::create_dir(dir)?;
    let lock = lock(dir)?;
    let tile_files = Arc::new(TileFiles::open(&dir.join("tiles"))?);
    let erasing: Vec<u64> = read_intent(dir)?.into_iter().collect();
    let (report, findings) = Default::default();
    let mut opening = Opening { dir, label, progress, report, findings, erasing };
    opening.report.tiles_knew = tile_files.len(0)?;

    let mut found = opening.list()?;
    opening.report.created = found.is_empty();
    opening.drop_unborn(&mut found)?;
    let last = match found.pop() {
        Some(last) => last,
        None => opening.first_segment()?,
    };
    let sealed = opening.open_sealed(&found, last.first)?;
    let active = opening.open_active(&last, &tile_files)?;
    let (tiles, frontier) = opening.settle_tree(&found, &last, &sealed, &active, &tile_files)?;
    let (last, complete) = newest_checkpoints(&sealed, &active)?;

    let Opening { mut report, findings, erasing, .. } = opening;
    let Active { segment, file, size, length, .. } = active;
    report.size = size;
    let view = View {
        sealed: sealed.into_iter().map(Arc::new).collect(),
        active: segment,
        active_file: Arc::new(file),
        size,
        frontier,
        last,
        complete,
    };
    let journal = Journal {
        dir: dir.to_owned(),
        options,
        shared: Arc::new(Shared::new(view, label.clone(), tile_files)),
        tiles,
        ahead: length,
        buffer: Vec::new(),
        poisoned: None,
        _lock: lock,
    };
    report.erasures_completed = journal.complete_erasures(erasing)?;
    report.findings = findings.into_vec();
    Ok((journal, report))
}

// === impl Opening ===

impl Opening<'_> {
    /// Begins a journal.
    fn first_segment(&self) -> Result<Found, OpenError> {
        let (segment, file) = create_segment(self.dir, self.label, Default::default())?;
        let length = disk::len(&file, &segment.path)?;
        Ok(Found {
            first: 0,
            path: segment.path,
            file,
            length,
            before: Some(Default::default()),
            mark: Some(segment.mark),
        })
    }

    /// Remembers the erasures that a scan found under way.
    fn note_erasing(&mut self, scanned: &Scanned) {
        let under_way = |state: Option<State>| state == Some(State::Erasing);
        self.erasing.extend(
            scanned.entries.iter().filter(|entry| under_way(entry.state)).map(|entry| entry.index),
        );
    }
}

/// Takes the lock of the directory; it lasts as long as the file is open.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let file = disk::open_ro(dir)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => {
            Err(Failure { operation: "lock", path: dir.to_owned(), source }.into())
        }
    }
}

/// The checkpoint of the newest group, and the newest one that signs its group's end.
fn newest_checkpoints(
    sealed: &[Segment],
    active: &Active,
) -> Result<(Option<Checkpointed>, Option<Checkpointed>), Failure> {
    let newest = |offset: fn(&Segment) -> u32| -> Result<Option<Checkpointed>, Failure> {
        if offset(&active.segment) != 0 {
            let found = checkpoint_at(&active.file, &active.segment, offset(&active.segment))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        for segment in sealed.iter().rev().filter(|segment| offset(segment) != 0) {
            let file = disk::open_rw(&segment.path, Create::Never)?;
            let found = checkpoint_at(&file, segment, offset(segment))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    };
    Ok((newest(|segment| segment.last)?, newest(|segment| segment.complete)?))
}

/// The checkpoint record at `offset`, if it is intact.
pub(crate) fn checkpoint_at(
    file: &File,
    segment: &Segment,
    offset: u32,
) -> Result<Option<Checkpointed>, Failure> {
    let left = segment.end.saturating_sub(offset.into()).min(RECORD_BYTES_MAX as u64);
    let bytes = disk::read_at(file, &segment.path, offset.into(), left as usize)?;
    Ok(match Prefix::parse(&bytes, &segment.mark) {
        Some(Prefix::Checkpoint(checkpoint)) => checkpoint
            .record(&bytes)
            .map(|record| Checkpointed { record, covers: checkpoint.covers }),
        Some(Prefix::Entry(_)) | None => None,
    })
}
