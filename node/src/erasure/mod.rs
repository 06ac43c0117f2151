//! Erasures at this node: from the signed entry to the last byte.
//!
//! The writer of a log finds erasures in what it has just made durable, overwrites the bodies in the
//! journal (those of an earlier epoch the writer of that one) and notes both here; [`Tasks`] waits until
//! every other part has followed: facts, full-text index, files of versions, what is kept in memory,
//! copies that were moved aside. Only then the core is told, whose next receipt confirms it.
//!
//! Every step can be repeated, and none is forgotten: what a crash cut off is found at the next start
//! ([`Erasures::resume`]).

mod list;
mod tasks;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use registry_core::fold::Position;
use registry_journal::{EraseError, Journal, Reader};
use registry_proto::{
    erasure::{Erasing, is_erasure, may_be_erased},
    log::{Header, Kind, leaf_hash},
    terms::{Land, LogId},
    wire::peer::{BatchEntry, BodyState},
};
use tokio::sync::Notify;
use tracing::{error, info};

use crate::lifecycle::chain;
use list::{Erased, List, NOT_HERE, Row};
pub use tasks::Tasks;

/// Erasures of all logs, as far as this node knows them. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Erasures {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    lists: Mutex<BTreeMap<LogId, List>>,
    /// Entries that count of epochs that ended.
    ends: Mutex<BTreeMap<LogId, u64>>,
    /// Who overwrites in which journal.
    work: Mutex<BTreeMap<LogId, Work>>,
    hears: Mutex<Vec<Hears>>,
    /// Erasures that erase nothing, by the Land that wrote them.
    void: Mutex<BTreeMap<Land, u64>>,
    wake: Notify,
}

/// Has the owner of a journal look what is to be overwritten.
type Work = Box<dyn Fn() + Send + Sync>;

/// Forgets what it keeps in memory of an entry.
type Hears = Box<dyn Fn(Position) + Send + Sync>;

/// An erasure that this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The erased entry.
    pub entry: Position,
    /// The erasure: in the same log, or in a later epoch of it.
    pub by: Position,
    /// Kind of the erased entry.
    pub kind: Kind,
    /// The body is in no journal of this node any more.
    pub gone: bool,
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
        let inner = Inner {
            dir,
            lists: Mutex::new(lists),
            ends: Mutex::default(),
            work: Mutex::default(),
            hears: Mutex::default(),
            void: Mutex::default(),
            wake: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A reset ended the epoch of a log; so many of its entries count. Erasures beyond are carried out
    /// no more.
    pub(crate) fn ends(&self, log: LogId, counts: u64) {
        lock(&self.inner.ends).insert(log, counts);
    }

    /// Has `work` called when a later epoch erases what may stand in this log; it MUST lead to
    /// [`Erasures::settle`] on the thread that owns the journal.
    pub(crate) fn hand_over(&self, log: LogId, work: impl Fn() + Send + Sync + 'static) {
        lock(&self.inner.work).insert(log, Box::new(work));
    }

    /// Looks for erasures that an earlier run did not come to, and overwrites the bodies of all that
    /// are open. Reads the disk from where it was read last. What a later epoch erases is known only
    /// when that was looked through as well, see `Erasures::settle`.
    ///
    /// # Errors
    ///
    /// If the file system fails; nothing is served then.
    pub fn resume(&self, log: LogId, journal: &mut Journal) -> Result<(), EraseError> {
        let reader = journal.reader();
        let size = reader.size();
        if self.upto(log) > size {
            // the end of the log was set aside, and what comes there is looked through anew
            self.change(log, |list| {
                list.upto = size;
                list.rows.retain(|_, row| row.by < size);
            });
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
        self.settle(log, journal)?;
        self.look(log, size);
        Ok(())
    }

    /// Erasures among these entries (headers and bodies) that erase something and are not known yet.
    /// What they name of the same epoch MUST be in the journal; the entry of an earlier one may be on
    /// its way here.
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
            let at = erased(log, &erasing);
            let known = found.iter().any(|(it, _)| erased(log, it) == at)
                || self.lock().get(&log).is_some_and(|it| it.rows.contains_key(&at));
            let kind = match at.epoch {
                None => erased_kind(reader, &erasing),
                Some(_) => Some(NOT_HERE),
            };
            let Some(kind) = kind.filter(|_| !known) else {
                info!(%log, by = erasing.by, entry = erasing.index, "an erasure that erases nothing");
                let mut void = self.inner.void.lock().unwrap_or_else(PoisonError::into_inner);
                *void.entry(log.land).or_default() += 1;
                continue;
            };
            found.push((erasing, kind));
        }
        found
    }

    /// Notes what was found among the first `upto` entries and overwrites the bodies; those of earlier
    /// epochs are overwritten by whoever owns their journals.
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
                let at = erased(log, it);
                let leaf = at.epoch.map(|_| it.leaf);
                let row = Row { by: it.by, kind: *kind, done: false, leaf, gone: false };
                list.rows.entry(at).or_insert(row);
            }
        });
        self.settle(log, journal)?;
        let others: BTreeSet<LogId> =
            found.iter().map(|(it, _)| it.log).filter(|it| *it != log).collect();
        let work = lock(&self.inner.work);
        others.iter().filter_map(|it| work.get(it)).for_each(|work| work());
        Ok(())
    }

    /// Overwrites what is to be erased in a journal, by erasures of its own or a later epoch. An entry
    /// that is not here has no body to erase; [`Erasures::withdraw`] sees to it that none comes.
    ///
    /// # Errors
    ///
    /// If the disk fails; the next start goes on.
    pub(crate) fn settle(&self, log: LogId, journal: &mut Journal) -> Result<(), EraseError> {
        let reader = journal.reader();
        for (stands, at, row) in self.naming(log, |row| !row.gone) {
            let mut kind = row.kind;
            if row.leaf.is_some() && at.index < reader.size() {
                let Ok(entry) = reader.entry(at.index) else {
                    error!(%log, entry = at.index, "a damaged entry cannot be erased");
                    continue;
                };
                kind = promised_kind(log, &row, &entry.header).unwrap_or(NOT_HERE);
            }
            let Some(now) = (match kind {
                NOT_HERE => Some(false),
                _ => overwrite(log, journal, at.index)?,
            }) else {
                continue;
            };
            self.settled(stands, at, kind, now);
        }
        self.inner.wake.notify_one();
        Ok(())
    }

    /// Takes the bodies out of entries that are about to be stored from index `first` on, if a later
    /// epoch erases them. MUST be called by whoever owns the journal.
    pub(crate) fn withdraw(&self, log: LogId, first: u64, entries: &mut [BatchEntry]) {
        for (stands, at, row) in self.naming(log, |row| row.leaf.is_some()) {
            let place = at.index.checked_sub(first).and_then(|it| usize::try_from(it).ok());
            let Some(entry) = place.and_then(|it| entries.get_mut(it)) else { continue };
            let Some(kind) = promised_kind(log, &row, &entry.header) else { continue };
            let (header, body_state) =
                (std::mem::take(&mut entry.header), BodyState::Erased.into());
            *entry = BatchEntry { header, body_state, ..BatchEntry::default() };
            self.settled(stands, at, kind, false);
        }
    }

    /// Erasures that name an entry: of its own epoch, then those of later ones that count.
    pub fn by(&self, entry: Position) -> Vec<Position> {
        let ends = lock(&self.inner.ends).clone();
        let lists = self.lock();
        let mut all = Vec::new();
        for (&stands, list) in lists.range(entry.log..).take_while(|it| it.0.land == entry.log.land)
        {
            let own = stands == entry.log;
            let epoch = (!own).then_some(entry.log.epoch);
            let row = list.rows.get(&Erased { epoch, index: entry.index });
            let by = row.map(|it| Position { log: stands, index: it.by });
            all.extend(by.filter(|it| own || counts(&ends, *it)));
        }
        all
    }

    /// All erasures that stand in a log, the newest first, of entries that are here.
    pub fn of(&self, log: LogId) -> Vec<Known> {
        let mut all = self.some(log, |it| it.kind != NOT_HERE);
        all.sort_unstable_by_key(|it| std::cmp::Reverse(it.by));
        all
    }

    /// All erasures that stand in a log, also of entries that are not here.
    pub(crate) fn every(&self, log: LogId) -> Vec<Known> {
        self.some(log, |_| true)
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

    /// What is not carried out, and not discarded by a reset.
    pub fn open_ones(&self) -> Vec<Known> {
        let open: Vec<_> =
            self.logs().into_iter().flat_map(|log| self.some(log, |it| !it.done)).collect();
        let ends = lock(&self.inner.ends);
        open.into_iter().filter(|it| counts(&ends, it.by)).collect()
    }

    /// Has `hears` told of each erased entry, to forget what it keeps of it in memory.
    pub(crate) fn hear(&self, hears: impl Fn(Position) + Send + Sync + 'static) {
        lock(&self.inner.hears).push(Box::new(hears));
    }

    fn tell(&self, entry: Position) {
        lock(&self.inner.hears).iter().for_each(|hears| hears(entry));
    }

    /// Every part has followed; false if that could not be noted.
    fn done(&self, it: &Known) -> bool {
        let change = |list: &mut List| {
            let epoch = (it.entry.log != it.by.log).then_some(it.entry.log.epoch);
            if let Some(row) = list.rows.get_mut(&Erased { epoch, index: it.entry.index }) {
                row.done = true;
            }
        };
        self.change(it.by.log, change)
    }

    /// The body is gone from the journal of the entry; `now` if it was still there, so that every
    /// other part has to follow.
    fn settled(&self, stands: LogId, at: Erased, kind: Kind, now: bool) {
        let mut lists = self.lock();
        let Some(list) = lists.get_mut(&stands) else { return };
        let Some(row) = list.rows.get_mut(&at) else { return };
        let before =
            std::mem::replace(row, Row { gone: true, kind, done: row.done && !now, ..*row });
        if (before.kind, before.done) != (row.kind, row.done) {
            self.write(stands, list);
        }
    }

    /// Rows of all lists that name an entry of this log, unless a reset discarded the erasure.
    fn naming(&self, log: LogId, wanted: impl Fn(&Row) -> bool) -> Vec<(LogId, Erased, Row)> {
        let ends = lock(&self.inner.ends).clone();
        let lists = self.lock();
        let mut all = Vec::new();
        for (&stands, list) in lists.range(log..).take_while(|it| it.0.land == log.land) {
            let epoch = (stands != log).then_some(log.epoch);
            for (at, row) in list.rows.iter().filter(|(at, row)| at.epoch == epoch && wanted(row)) {
                if counts(&ends, Position { log: stands, index: row.by }) {
                    all.push((stands, *at, *row));
                }
            }
        }
        all
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
        self.write(log, list)
    }

    /// Under the lock, so that an older list never replaces a newer one.
    fn write(&self, log: LogId, list: &List) -> bool {
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
        let known = |(at, row): (&Erased, &Row)| Known {
            entry: Position {
                log: at.epoch.map_or(log, |epoch| LogId { epoch, ..log }),
                index: at.index,
            },
            by: Position { log, index: row.by },
            kind: row.kind,
            gone: row.gone,
            done: row.done,
        };
        let lists = self.lock();
        let rows = lists.get(&log).into_iter().flat_map(|it| &it.rows);
        rows.filter(|(_, row)| wanted(row)).map(known).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<LogId, List>> {
        lock(&self.inner.lists)
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

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // every change under a lock here is complete when it could panic
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an erasure erases, as the list of its log names it.
fn erased(log: LogId, it: &Erasing) -> Erased {
    Erased { epoch: (it.log != log).then_some(it.log.epoch), index: it.index }
}

/// False for an erasure that a reset discarded.
fn counts(ends: &BTreeMap<LogId, u64>, by: Position) -> bool {
    ends.get(&by.log).is_none_or(|ends| by.index < *ends)
}

/// Kind of the entry with this header, if it is the one that a later epoch erases.
fn promised_kind(log: LogId, row: &Row, raw: &Bytes) -> Option<Kind> {
    let header = Header::parse(raw).ok().filter(|it| it.log == log)?;
    (row.leaf == Some(leaf_hash(raw)) && may_be_erased(header.kind)).then_some(header.kind)
}

/// Kind of the entry, if the erasure erases it.
fn erased_kind(reader: &Reader, erasing: &Erasing) -> Option<Kind> {
    let target = reader.entry(erasing.index).ok()?;
    let header = Header::parse(&target.header).ok()?;
    erasing.erases(&header, &leaf_hash(&target.header)).ok().map(|()| header.kind)
}

/// Overwrites a body; true if it was there, `None` if it cannot be: then it stays open, and nobody is
/// told that it is done.
fn overwrite(log: LogId, journal: &mut Journal, entry: u64) -> Result<Option<bool>, EraseError> {
    match journal.erase(entry) {
        Ok(it) => Ok(Some(it == registry_journal::Erased::Now)),
        Err(failure @ (EraseError::Damaged { .. } | EraseError::OutOfRange { .. })) => {
            error!(%log, entry, cause = chain(&failure), "a body cannot be erased");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
