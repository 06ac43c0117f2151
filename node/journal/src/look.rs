//! Reads a journal without being its writer: nothing is locked, made whole or changed, so a node
//! may be running on it.

use std::{fs, path::Path, sync::Arc};

use crate::{
    Checkpointed, Label, OpenError, Stored, disk,
    error::Failure,
    format::{HeaderFault, RECORD_BYTES_MAX, SegmentHeader, header_len},
    open, reader,
    scan::{self, Scanned},
    segment::{self, Segment},
};

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Entries that a checkpoint covers.
    pub size: u64,
    /// Of these, what cannot be read.
    pub missing: u64,
    /// The newest checkpoint.
    pub last: Option<Checkpointed>,
}

/// Gives each entry that can be read and that a checkpoint covers, in order, to `each`.
///
/// # Errors
///
/// As [`Journal::open`](crate::Journal::open); damage is none, it is counted. A directory that is
/// absent is an empty journal.
pub fn look(dir: &Path, label: &Label, each: &mut dyn FnMut(Stored)) -> Result<Looked, OpenError> {
    let segments = segments(dir)?;
    let mut looked = Looked::default();
    let mut next = 0;
    for (place, (first, path)) in segments.iter().enumerate() {
        let end = segments.get(place + 1).map(|(first, _)| *first);
        let file = disk::open_ro(path)?;
        let length = disk::len(&file, path)?;
        let head = disk::read_at(&file, path, 0, header_len(*first))?;
        let mark = match SegmentHeader::parse(&head, *first, label) {
            Ok(header) => Some(header.mark),
            Err(HeaderFault::Damaged) => scan::probe_mark(&file, path, *first)?,
            Err(HeaderFault::Newer { level }) => {
                return Err(OpenError::NewerFormat { path: path.to_path_buf(), level });
            }
            Err(HeaderFault::OtherLog { found }) => {
                let (path, expected) = (path.to_path_buf(), Box::new(label.clone()));
                return Err(OpenError::OtherLog { path, found: Box::new(found), expected });
            }
        };
        let Some(mark) = mark else { continue };
        let scanned = scan::scan(&file, path, *first, mark, length, &mut |_| {})?;
        let covered = covered(&scanned, *first);
        let known = Segment::from_scan(*first, Arc::clone(path), mark, &scanned, covered);
        let mut from = None;
        for index in *first..end.unwrap_or(covered).min(covered) {
            let Some(offset) = known.place(index) else { continue };
            let length = (known.reach(index, offset) - offset).min(RECORD_BYTES_MAX as u64);
            let bytes = disk::read_at(&file, path, offset, length as usize)?;
            let parsed = reader::parse(&bytes.into(), &mark, index, from.as_ref());
            let Ok(stored) = parsed else { continue };
            from = Some(Arc::clone(&stored.from));
            next += 1;
            each(stored);
        }
        looked.size = looked.size.max(covered);
        if known.last != 0
            && let Some(last) = open::checkpoint_at(&file, &known, known.last)?
        {
            looked.last = Some(last);
        }
    }
    looked.missing = looked.size.saturating_sub(next);
    Ok(looked)
}

/// Where the entries of a segment end that a checkpoint covers.
fn covered(scanned: &Scanned, first: u64) -> u64 {
    scanned.checkpoints.last().map_or(first, |it| it.covers)
}

fn segments(dir: &Path) -> Result<Vec<(u64, Arc<Path>)>, Failure> {
    let listing = |source| Failure { operation: "list", path: dir.into(), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(listing)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(listing)?.path();
        if let Some(first) = segment::parse_file_name(&path) {
            found.push((first, path.into()));
        }
    }
    found.sort_unstable_by_key(|(first, _)| *first);
    Ok(found)
}
