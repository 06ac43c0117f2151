//! Takes the end of a journal away: entries that no longer count for the log, but are kept.

use std::path::{Path, PathBuf};

use crate::{
    Journal, OpenError,
    disk::{self, Create},
    format::{Mark, header_len},
    scan,
    segment::Segment,
};

/// What was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retreat {
    /// Entries that are left.
    pub size: u64,
    /// Files that hold the records of the others, oldest first.
    pub aside: Vec<PathBuf>,
}

/// Extension of the files that hold what was taken away.
pub const ASIDE: &str = "aside";

/// Where a segment is cut.
struct Cut {
    first: u64,
    path: PathBuf,
    /// End of the last record that stays.
    at: u64,
    /// End of the last record.
    end: u64,
    /// Entries of the log up to there.
    size: u64,
}

// === impl Journal ===

impl Journal {
    /// How many entries [`Journal::retreat`] would leave: whole groups, no more than `upto` entries.
    ///
    /// # Errors
    ///
    /// If the file system fails.
    pub fn whole_groups(&self, upto: u64) -> Result<u64, OpenError> {
        let (place, size) = {
            let view = self.shared.view();
            let mut within = view.sealed.iter().map(AsRef::as_ref).chain([&view.active]);
            (within.rfind(|it| it.first <= upto).map(place), view.size)
        };
        match place {
            Some((first, path, mark)) if size > upto => {
                cut_of(first, path, mark, upto).map(|it| it.size)
            }
            _ => Ok(size.min(upto)),
        }
    }

    /// Ends the journal and takes away its newest groups until no more than `upto` entries are
    /// left: up to the end of the last group that lies within. Their records are moved into files
    /// beside the segments that nothing reads. Opening the journal again goes on from what is left;
    /// a crash in between leaves a journal that can be opened, and retreat be repeated.
    ///
    /// Readers of this journal MUST NOT be used any more.
    ///
    /// # Errors
    ///
    /// If the file system fails.
    pub fn retreat(self, upto: u64) -> Result<Retreat, OpenError> {
        let (places, size) = {
            let view = self.shared.view();
            let sealed = view.sealed.iter().map(AsRef::as_ref);
            let all = sealed.chain([&view.active]).map(place).collect::<Vec<_>>();
            (all, view.size)
        };
        let mut aside = Vec::new();
        let mut left = size;
        for (first, path, mark) in places.into_iter().rev().take_while(|_| size > upto) {
            if first > upto {
                let target = free(&path, first, left);
                disk::remove(&path.with_extension("idx"))?;
                disk::rename(&path, &target)?;
                disk::sync_dir(&self.dir)?;
                aside.push(target);
                left = first;
                continue;
            }
            let cut = cut_of(first, path, mark, upto)?;
            if cut.size < left {
                aside.push(self.split(&cut, left)?);
            }
            left = cut.size;
            break;
        }
        aside.reverse();
        Ok(Retreat { size: left, aside })
    }

    /// Moves the end of a segment away; its file is the newest one from now on.
    fn split(&self, cut: &Cut, to: u64) -> Result<PathBuf, OpenError> {
        let file = disk::open_rw(&cut.path, Create::Never)?;
        let length = usize::try_from(cut.end.saturating_sub(cut.at)).unwrap_or(usize::MAX);
        let records = disk::read_at(&file, &cut.path, cut.at, length)?;
        let target = free(&cut.path, cut.size.max(cut.first), to);
        disk::replace(&target, &records)?;
        disk::remove(&cut.path.with_extension("idx"))?;
        disk::set_len(&file, &cut.path, cut.at)?;
        disk::sync(&file, &cut.path)?;
        disk::sync_dir(&self.dir)?;
        Ok(target)
    }
}

fn place(segment: &Segment) -> (u64, PathBuf, Mark) {
    (segment.first, segment.path.to_path_buf(), segment.mark)
}

/// The last group of a segment that ends within the first `upto` entries.
fn cut_of(first: u64, path: PathBuf, mark: Mark, upto: u64) -> Result<Cut, OpenError> {
    let file = disk::open_ro(&path)?;
    let length = disk::len(&file, &path)?;
    let scanned = scan::scan(&file, &path, first, mark, length, &mut |_| {})?;
    let within = scanned.checkpoints.iter().take_while(|it| it.covers <= upto).last();
    let start = header_len(first) as u64;
    let (at, size) = within.map_or((start, first), |it| (it.end, it.covers));
    Ok(Cut { first, path, at, end: scanned.end.max(at), size })
}

/// A name for the records `from` to `to` that no file has.
fn free(segment: &Path, from: u64, to: u64) -> PathBuf {
    let name = |more: &str| segment.with_file_name(format!("{from:020}-{to:020}{more}.{ASIDE}"));
    let others = (1..u32::MAX).map(|number| name(&format!("-{number}")));
    let first = name("");
    let mut all = std::iter::once(first.clone()).chain(others);
    all.find(|it| !it.exists()).unwrap_or(first)
}
