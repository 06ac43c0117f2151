//! Erasures at this node: from the signed entry to the last byte.
//!
//! The writer of a log finds erasures in what it has just made durable, overwrites the bodies in the
//! journal and notes both here; [`Tasks`] waits until every other part has followed: facts, full-text
//! index, files of versions, what is kept in memory, copies that were moved aside. Only then the core
//! is told, whose next receipt confirms it.
//!
//! Every step can be repeated, and none is forgotten: what a crash cut off is found at the next start
//! ([`Erasures::resume`]).

mod list;
mod tasks;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use registry_core::fold::Position;
use registry_journal::{EraseError, Journal, Reader};
use registry_proto::{
    erasure::{Erasing, is_erasure},
    log::{Header, Kind, leaf_hash},
    terms::{Land, LogId},
};
use tokio::sync::Notify;
use tracing::{error, info};

use crate::lifecycle::chain;
use list::{List, Row};
pub use tasks::Tasks;

/// Erasures of all logs, as far as this node knows them. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Erasures {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    lists: Mutex<BTreeMap<LogId, List>>,
    hears: Mutex<Vec<Hears>>,
    /// Erasures that erase nothing, by the Land that wrote them.
    void: Mutex<BTreeMap<Land, u64>>,
    wake: Notify,
}

/// Forgets what it keeps in memory of an entry.
type Hears = Box<dyn Fn(Position) + Send + Sync>;

/// An erasure that this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The erased entry.
    pub entry: Position,
    /// Index of the erasure.
    pub by: u64,
    /// Kind of the erased entry.
    pub kind: Kind,
    /// Carried out at this node, in all its parts.
    pub done: bool,
}

/// Entries that are looked through before the place is noted.
const NOTE_EVERY: u64 = 10_000;
/// Bytes and entries of one read of the journal.
const READ_BYTES: usize = 4 << 20;
const READ_ENTRIES: usize = 10_000;

// === impl Erasures ===

impl Erasures {
    /// Opens the lists of these logs in a data directory.
    ///
    /// # Errors
    ///
    /// If the file system fails.
    pub fn open(data_dir: &Path, logs: impl IntoIterator<Item = LogId>) -> io::Result<Self> {
        let dir = data_dir.join("erasures");
        fs::create_dir_all(&dir)?;
        let mut lists = BTreeMap::new();
        for log in logs {
            lists.insert(log, List::read(&path(&dir, log))?);
        }
        let (lists, hears) = (Mutex::new(lists), Mutex::default());
        let (void, wake) = (Mutex::default(), Notify::new());
        Ok(Self { inner: Arc::new(Inner { dir, lists, hears, void, wake }) })
    }

    /// Looks for erasures that an earlier run did not come to, and overwrites the bodies of all that
    /// are open. Reads the disk from where it was read last.
    ///
    /// # Errors
    ///
    /// If the file system fails; nothing is served then.
    pub fn resume(&self, log: LogId, journal: &mut Journal) -> Result<(), EraseError> {
        let reader = journal.reader();
        let size = reader.size();
        if self.upto(log) > size {
            // the end of the log was set aside, and what comes there is looked through anew
            self.change(log, |list| list.upto = size);
        }
        let mut next = self.upto(log);
        while next < size {
            let Ok(entries) = reader.read(next, READ_BYTES, READ_ENTRIES) else {
                // damage is reported when the journal is opened
                next += 1;
                continue;
            };
            let found = entries.iter().filter_map(|it| {
                let body = crate::driver::writer::stored_body(it)?;
                Some((&it.header, body))
            });
            let found = self.found(log, &reader, found);
            next += entries.len().max(1) as u64;
            self.erase(log, journal, &found, next)?;
        }
        for it in self.some(log, |it| !it.done) {
            overwrite(log, journal, it.entry.index)?;
        }
        self.look(log, size);
        Ok(())
    }

    /// Erasures among these entries (headers and bodies) that erase something and are not known yet.
    /// Everything they name MUST be in the journal.
    pub(crate) fn found<'a>(
        &self,
        log: LogId,
        reader: &Reader,
        entries: impl Iterator<Item = (&'a Bytes, &'a Bytes)>,
    ) -> Vec<(Erasing, Kind)> {
        let mut found: Vec<(Erasing, Kind)> = Vec::new();
        for (header, body) in entries.filter(|(header, _)| is_erasure(header)) {
            let Ok(header) = Header::parse(header) else { continue };
            let Ok(erasing) = Erasing::read(&header, body) else { continue };
            let known = found.iter().any(|(it, _)| it.index == erasing.index)
                || self.by(log, erasing.index).is_some();
            let Some(kind) = erased_kind(reader, &erasing).filter(|_| !known) else {
                info!(%log, by = erasing.by, entry = erasing.index, "an erasure that erases nothing");
                let mut void = self.inner.void.lock().unwrap_or_else(PoisonError::into_inner);
                *void.entry(log.land).or_default() += 1;
                continue;
            };
            found.push((erasing, kind));
        }
        found
    }

    /// Notes what was found among the first `upto` entries and overwrites the bodies.
    ///
    /// # Errors
    ///
    /// If the disk fails; the next start goes on.
    pub(crate) fn erase(
        &self,
        log: LogId,
        journal: &mut Journal,
        found: &[(Erasing, Kind)],
        upto: u64,
    ) -> Result<(), EraseError> {
        if found.is_empty() {
            self.look(log, upto);
            return Ok(());
        }
        // noted first: a range that is read meanwhile must know why a body is missing
        self.change(log, |list| {
            list.upto = upto;
            for (it, kind) in found {
                let row = Row { by: it.by, kind: *kind, done: false };
                list.rows.entry(it.index).or_insert(row);
            }
        });
        for (it, _) in found {
            overwrite(log, journal, it.index)?;
        }
        self.inner.wake.notify_one();
        Ok(())
    }

    /// Index of the erasure of an entry.
    pub fn by(&self, log: LogId, entry: u64) -> Option<u64> {
        self.lock().get(&log)?.rows.get(&entry).map(|it| it.by)
    }

    /// All erasures of a log, the newest first.
    pub fn of(&self, log: LogId) -> Vec<Known> {
        let mut all = self.some(log, |_| true);
        all.sort_unstable_by_key(|it| std::cmp::Reverse(it.by));
        all
    }

    /// Erasures that erase nothing, by the Land that wrote them, as far as they were read since the
    /// start.
    pub fn void(&self) -> BTreeMap<Land, u64> {
        self.inner.void.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs.
    pub fn logs(&self) -> Vec<LogId> {
        self.lock().keys().copied().collect()
    }

    /// What is not carried out.
    pub fn open_ones(&self) -> Vec<Known> {
        self.logs().into_iter().flat_map(|log| self.some(log, |it| !it.done)).collect()
    }

    /// Has `hears` told of each erased entry, to forget what it keeps of it in memory.
    pub(crate) fn hear(&self, hears: impl Fn(Position) + Send + Sync + 'static) {
        let mut all = self.inner.hears.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Box::new(hears));
    }

    fn tell(&self, entry: Position) {
        let all = self.inner.hears.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().for_each(|hears| hears(entry));
    }

    /// Every part has followed; false if that could not be noted.
    fn done(&self, it: &Known) -> bool {
        let change = |list: &mut List| {
            if let Some(row) = list.rows.get_mut(&it.entry.index) {
                row.done = true;
            }
        };
        self.change(it.entry.log, change)
    }

    /// Notes from time to time how far a log was looked through.
    fn look(&self, log: LogId, upto: u64) {
        if upto >= self.upto(log).saturating_add(NOTE_EVERY) {
            self.change(log, |list| list.upto = upto);
        }
    }

    fn change(&self, log: LogId, change: impl FnOnce(&mut List)) -> bool {
        let mut lists = self.lock();
        let list = lists.entry(log).or_default();
        change(list);
        // under the lock, so that an older list never replaces a newer one
        let written = list.write(&path(&self.inner.dir, log));
        if let Err(failure) = &written {
            // the journal tells it again after the next start
            error!(%log, cause = chain(failure), "list of erasures cannot be written");
        }
        written.is_ok()
    }

    fn upto(&self, log: LogId) -> u64 {
        self.lock().get(&log).map_or(0, |it| it.upto)
    }

    fn some(&self, log: LogId, wanted: impl Fn(&Row) -> bool) -> Vec<Known> {
        let known = |(entry, row): (&u64, &Row)| Known {
            entry: Position { log, index: *entry },
            by: row.by,
            kind: row.kind,
            done: row.done,
        };
        let lists = self.lock();
        let rows = lists.get(&log).into_iter().flat_map(|it| &it.rows);
        rows.filter(|(_, row)| wanted(row)).map(known).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LogId, List>> {
        // every change under the lock is complete when it could panic
        self.inner.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Erasures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erasures").field("lists", &*self.lock()).finish_non_exhaustive()
    }
}

fn path(dir: &Path, log: LogId) -> PathBuf {
    dir.join(format!("{}-{}.list", log.land, log.epoch))
}

/// Kind of the entry, if the erasure erases it.
fn erased_kind(reader: &Reader, erasing: &Erasing) -> Option<Kind> {
    let target = reader.entry(erasing.index).ok()?;
    let header = Header::parse(&target.header).ok()?;
    erasing.erases(&header, &leaf_hash(&target.header)).ok().map(|()| header.kind)
}

fn overwrite(log: LogId, journal: &mut Journal, entry: u64) -> Result<(), EraseError> {
    match journal.erase(entry) {
        Ok(_) => Ok(()),
        // it stays open, and nobody is told that it is done
        Err(failure @ (EraseError::Damaged { .. } | EraseError::OutOfRange { .. })) => {
            error!(%log, entry, cause = chain(&failure), "a body cannot be erased");
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}
