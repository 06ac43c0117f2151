//! Overwrites bodies in place.

use std::{fs::File, path::Path, sync::Arc};

use crate::{
    EraseError, Journal,
    disk::{self, Create},
    error::Failure,
    format::{ENTRY_PREFIX_BYTES, EntryPrefix, Intent, STATE_AT, State, tombstone},
    reader::{Source, entry_prefix},
    report::Erased,
};

/// File that stands in the directory while an erasure is under way.
const INTENT_FILE: &str = "erasing";

/// The record that an erasure changes.
struct Target {
    file: Arc<File>,
    path: Arc<Path>,
    offset: u64,
    entry: EntryPrefix,
}

// === impl Journal ===

impl Journal {
    /// Overwrites salt and body of an entry with zeros, durably. Header, leaf and tree stay, and
    /// readers see [`StoredBody::Erased`](crate::StoredBody::Erased) for ever. Can be repeated.
    ///
    /// After a crash in the middle the erasure is completed when the journal is opened again.
    ///
    /// # Errors
    ///
    /// See [`EraseError`].
    pub fn erase(&mut self, index: u64) -> Result<Erased, EraseError> {
        if let Some(cause) = &self.poisoned {
            return Err(EraseError::Poisoned { cause: cause.clone() });
        }
        let size = self.shared.view().size;
        if index >= size {
            return Err(EraseError::OutOfRange { index, size });
        }
        let located = self.locate(index);
        let Some(target) = self.poison(located)? else {
            return Err(EraseError::Damaged { index });
        };
        if target.entry.claimed_state() == Some(State::Erased) {
            return Ok(Erased::Already);
        }
        let overwritten = self.note(index).and_then(|()| self.overwrite(&target));
        self.poison(overwritten)?;
        Ok(Erased::Now)
    }

    /// Finds the record of an entry. `None` if it has no intact prefix.
    fn locate(&self, index: u64) -> Result<Option<Target>, Failure> {
        let found = {
            let view = self.shared.view();
            view.segment(index)
                .and_then(|(segment, source)| segment.place(index).map(|offset| (offset, source)))
        };
        let Some((offset, Source { path, mark, file, .. })) = found else { return Ok(None) };
        let file = match file {
            Some(file) => file,
            None => Arc::new(disk::open_rw(&path, Create::Never)?),
        };
        let bytes = disk::read_at(&file, &path, offset, ENTRY_PREFIX_BYTES)?;
        let entry = entry_prefix(&bytes, &mark, index);
        Ok(entry.map(|entry| Target { file, path, offset, entry }))
    }

    /// Writes down which erasure begins, durably.
    fn note(&self, index: u64) -> Result<(), Failure> {
        let path = self.dir.join(INTENT_FILE);
        let file = disk::open_rw(&path, Create::Fresh)?;
        disk::write_at(&file, &path, &Intent(index).encode(), 0)?;
        disk::sync(&file, &path)?;
        disk::sync_dir(&self.dir)
    }

    /// Marks the body as unreadable, then overwrites it. The erasure is noted.
    fn overwrite(&self, target: &Target) -> Result<(), Failure> {
        let Target { file, path, offset, entry } = target;
        let zeros = vec![0; entry.body_len];
        let (erasing, erased) = tombstone(entry, &zeros);
        let state_at = offset + STATE_AT as u64;
        disk::write_at(file, path, &erasing, state_at)?;
        disk::sync(file, path)?;
        disk::write_at(file, path, &zeros, offset + entry.body_at() as u64)?;
        disk::write_at(file, path, &erased, state_at)?;
        disk::sync(file, path)?;
        disk::remove(&self.dir.join(INTENT_FILE))
    }

    /// Completes the erasures that an earlier run began: the noted one, then `others`. Says how
    /// many those were.
    pub(crate) fn complete_erasures(&self, mut others: Vec<u64>) -> Result<u64, Failure> {
        let mut completed = 0;
        if let Some(noted) = read_intent(&self.dir)? {
            others.retain(|index| *index != noted);
            if let Some(target) = self.locate(noted)? {
                self.overwrite(&target)?;
                completed += 1;
            }
        }
        for index in others {
            let Some(target) = self.locate(index)? else { continue };
            self.note(index)?;
            self.overwrite(&target)?;
            completed += 1;
        }
        disk::remove(&self.dir.join(INTENT_FILE))?;
        Ok(completed)
    }
}

/// The entry whose erasure is noted. A note that was not written completely counts as none:
/// nothing was overwritten yet.
pub(crate) fn read_intent(dir: &Path) -> Result<Option<u64>, Failure> {
    let bytes = disk::read_small(&dir.join(INTENT_FILE), 4096)?;
    Ok(bytes.as_deref().and_then(Intent::parse).map(|Intent(index)| index))
}
