//! Finds the segments, opens the sealed ones by their index files, and reads the newest.

use std::{fs, fs::File, path::Path, sync::Arc};

use registry_proto::log::Frontier;

use super::{Active, Opening};
use crate::{
    Finding, OpenError, OpenProgress,
    disk::{self, Create},
    error::Failure,
    format::{HeaderFault, Mark, SegmentHeader, State, header_len},
    report::Part,
    scan::{self, Scanned, ScannedCheckpoint},
    segment::{self, Segment},
    tiles::TileFiles,
};

/// A segment file.
pub(super) struct Found {
    pub(super) first: u64,
    pub(super) path: Arc<Path>,
    pub(super) file: File,
    pub(super) length: u64,
    /// The tree before it; `None` if the header is damaged.
    pub(super) before: Option<Frontier>,
    /// `None` if neither header nor first record have it.
    pub(super) mark: Option<Mark>,
}

// === impl Opening ===

impl Opening<'_> {
    /// The segment files, in order, with their headers.
    pub(super) fn list(&self) -> Result<Vec<Found>, OpenError> {
        let listing = |source| Failure { operation: "list", path: self.dir.into(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(self.dir).map_err(listing)? {
            let path = entry.map_err(listing)?.path();
            if let Some(first) = segment::parse_file_name(&path) {
                names.push((first, path));
            }
        }
        names.sort_unstable();
        names.into_iter().map(|(first, path)| self.find(first, path.into())).collect()
    }

    fn find(&self, first: u64, path: Arc<Path>) -> Result<Found, OpenError> {
        let file = disk::open_rw(&path, Create::Never)?;
        let length = disk::len(&file, &path)?;
        let bytes = disk::read_at(&file, &path, 0, header_len(first))?;
        let (before, mark) = match SegmentHeader::parse(&bytes, first, self.label) {
            Ok(header) => (Some(header.before), Some(header.mark)),
            Err(HeaderFault::Damaged) => (None, scan::probe_mark(&file, &path, first)?),
            Err(HeaderFault::Newer { level }) => {
                return Err(OpenError::NewerFormat { path: path.to_path_buf(), level });
            }
            Err(HeaderFault::OtherLog { found }) => {
                let (path, expected) = (path.to_path_buf(), Box::new(self.label.clone()));
                return Err(OpenError::OtherLog { path, found: Box::new(found), expected });
            }
        };
        Ok(Found { first, path, file, length, before, mark })
    }

    /// Takes away newest segments that have neither header nor record: a crash while they were
    /// begun leaves an empty one or part of a header. One that holds more is kept aside.
    pub(super) fn drop_unborn(&mut self, found: &mut Vec<Found>) -> Result<(), OpenError> {
        while let Some(last) = found.pop_if(|last| last.mark.is_none()) {
            let records_at = header_len(last.first) as u64;
            if scan::has_data(&last.file, &last.path, records_at, last.length)? {
                disk::rename(&last.path, &last.path.with_extension("damaged"))?;
                self.findings.push(Finding::SegmentMovedAside { segment: last.first });
            } else {
                self.report.cut_bytes += last.length;
                disk::remove(&last.path)?;
            }
            disk::sync_dir(self.dir)?;
        }
        Ok(())
    }

    /// Opens all segments but the newest, which begins at `last`.
    pub(super) fn open_sealed(
        &mut self,
        found: &[Found],
        last: u64,
    ) -> Result<Vec<Segment>, OpenError> {
        let mut sealed = Vec::with_capacity(found.len());
        if let Some(from) = found.first().map(|found| found.first).or(Some(last))
            && from > 0
        {
            self.findings.push(Finding::Entries { from: 0, to: from, part: Part::Record });
        }
        for (place, one) in found.iter().enumerate() {
            let next = found.get(place + 1).map_or(last, |next| next.first);
            let segment = self.open_one_sealed(one, next)?;
            segment.report_missing(next, &mut self.findings);
            sealed.push(segment);
        }
        Ok(sealed)
    }

    fn open_one_sealed(&mut self, found: &Found, next: u64) -> Result<Segment, OpenError> {
        let Found { first, path, mark, length, .. } = found;
        if found.before.is_none() {
            self.findings.push(Finding::SegmentHeader { segment: *first });
        }
        if let Some(segment) = Segment::from_index(*first, path, *mark, next)? {
            if segment.end > *length {
                let bytes = segment.end - length;
                let (segment, offset) = (*first, *length);
                self.findings.push(Finding::Garbage { segment, offset, bytes });
            }
            return Ok(segment);
        }
        let Some(mark) = *mark else { return Ok(Segment::new(*first, Arc::clone(path), [0; 8])) };
        let scanned = self.scan(found, mark)?;
        segment::report_damage(*first, &scanned, &mut self.findings);
        self.note_erasing(&scanned);
        let segment = Segment::from_scan(*first, Arc::clone(path), mark, &scanned, next);
        segment.write_index()?;
        self.report.indexes_rebuilt += 1;
        Ok(segment)
    }

    /// Reads a segment, reporting progress. A body whose erasure had begun is not damaged.
    pub(super) fn scan(&mut self, found: &Found, mark: Mark) -> Result<Scanned, Failure> {
        let Found { first, path, file, length, .. } = found;
        let progress = &mut *self.progress;
        let mut scanned = scan::scan(file, path, *first, mark, *length, &mut |done| {
            progress(OpenProgress::Segment { segment: *first, done, total: *length });
        })?;
        for entry in &mut scanned.entries {
            if entry.state.is_none() && self.erasing.contains(&entry.index) {
                entry.state = Some(State::Erasing);
            }
        }
        Ok(scanned)
    }

    /// Reads the newest segment and cuts its torn tail.
    pub(super) fn open_active(
        &mut self,
        found: &Found,
        tiles: &TileFiles,
    ) -> Result<Active, OpenError> {
        let Found { first, path, file, .. } = found;
        let mark = found.mark.unwrap_or_default();
        if found.before.is_none() {
            self.findings.push(Finding::SegmentHeader { segment: *first });
        }
        let mut scanned = self.scan(found, mark)?;
        let cut_at = tail(*first, &scanned, tiles)?;
        let mut length = found.length;
        if scanned.end > cut_at {
            self.report.cut_bytes += scanned.end - cut_at;
            self.report.entries_dropped += scanned.cut(cut_at);
            disk::set_len(file, path, cut_at)?;
            disk::sync(file, path)?;
            length = cut_at;
        }
        scanned.end = cut_at;
        segment::report_damage(*first, &scanned, &mut self.findings);
        self.note_erasing(&scanned);
        let size = scanned.checkpoints.last().map_or(*first, |checkpoint| checkpoint.covers);
        let segment = Segment::from_scan(*first, Arc::clone(path), mark, &scanned, size);
        segment.report_missing(size, &mut self.findings);
        let file = file.try_clone().map_err(|source| Failure {
            operation: "reopen",
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Active { segment, file, scanned, size, length })
    }
}

/// Where the log ends: after its last checkpoint record, or before the group of that record if
/// the group is torn.
fn tail(first: u64, scanned: &Scanned, tiles: &TileFiles) -> Result<u64, Failure> {
    let start = header_len(first) as u64;
    let Some((last, earlier)) = scanned.checkpoints.split_last() else { return Ok(start) };
    if is_intact(scanned, last) || was_durable(scanned, last, tiles)? {
        return Ok(last.end);
    }
    let before = earlier.last().map_or(start, |checkpoint| checkpoint.end);
    Ok(before.max(last.group_at))
}

/// Whether all entries of a group can be read.
fn is_intact(scanned: &Scanned, group: &ScannedCheckpoint) -> bool {
    let readable = scanned.entries.iter().filter(|entry| {
        (group.from..group.covers).contains(&entry.index)
            && entry.leaf.is_some()
            && entry.state.is_some()
    });
    readable.count() as u64 == group.covers - group.from
}

/// Whether a damaged group at the end was durable once: the tiles get its leaves only after its
/// sync. Otherwise it is a write that the crash interrupted, whose pages reached the disk out of
/// order.
fn was_durable(
    scanned: &Scanned,
    group: &ScannedCheckpoint,
    tiles: &TileFiles,
) -> Result<bool, Failure> {
    if tiles.len(0)? < group.covers {
        return Ok(false);
    }
    let mut group_entries =
        scanned.entries.iter().filter(|entry| (group.from..group.covers).contains(&entry.index));
    group_entries.try_fold(true, |so_far, entry| {
        let known = tiles.read(0, entry.index, 1)?;
        Ok(so_far && entry.leaf.is_none_or(|leaf| known == Some(vec![leaf])))
    })
}
