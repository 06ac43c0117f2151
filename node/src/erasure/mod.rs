//! Erasures at this node: from the signed entry to the last byte.
//!
//! The writer of a log finds erasures in what it has just made durable, overwrites the bodies in the
//! journal (those of an earlier epoch the writer of that one) and notes both here; [`Tasks`] waits until
//! every other part has followed: facts, full-text index, files of versions, what is kept in memory,
//! copies that were moved aside. Only then the core is told, whose next receipt confirms it.
//!
//! Every step can be repeated, and none is forgotten: what a crash cut off is found at the next start
//! ([`Erasures::resume`]).

mod entries;
mod list;
mod seen;
mod tasks;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use registry_core::fold::Position;
use registry_journal::{EraseError, Journal, Reader};
use registry_proto::{
    erasure::{Erasing, is_erasure},
    log::{Hash, Header, Kind},
    terms::{Land, LogId},
    wire::peer::{BatchEntry, BodyState},
};
use tokio::sync::Notify;
use tracing::{error, info};

use crate::{
    forged::{Forged, genuine_body},
    journals::Stored,
    lifecycle::chain,
};
use entries::{erased, erased_kind, promised_kind, settle_one};
use list::{Erased, List, NOT_HERE, Row, UNREADABLE};
pub use seen::ErasuresSeen;
pub use tasks::Tasks;

/// Erasures of all logs, as far as this node knows them. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Erasures {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    lists: Mutex<BTreeMap<LogId, List>>,
    /// Epochs that ended.
    ends: Mutex<BTreeMap<LogId, Ends>>,
    /// Who overwrites in which journal.
    work: Mutex<BTreeMap<LogId, Work>>,
    hears: Mutex<Vec<Hears>>,
    /// Erasures that erase nothing, by the Land that wrote them.
    void: Mutex<BTreeMap<Land, u64>>,
    forged: Forged,
    wake: Notify,
}

/// The end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Entries that count here.
    pub(crate) counts: u64,
    /// Entries that are here or that the reset keeps.
    pub(crate) known: u64,
}

/// The body of an entry is in no journal of this node any more.
struct Settled {
    /// Log of the erasure.
    stands: LogId,
    at: Erased,
    kind: Kind,
    /// It was there until now, so that every other part has to follow.
    now: bool,
}

/// Behind which row a journal is to be settled further; from the beginning without one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest(Option<(LogId, Erased)>);

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
/// Entries beyond what is known of an epoch that ended, of which erasures are kept should they come
/// after all: each row stays for ever, and nothing but its owner says that there are such entries.
const BEYOND_MAX: u64 = 10_000;
/// Leaves that erasures may name for one entry of an epoch that ended, should it come after all.
const LEAVES_MAX: usize = 16;
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
            forged: Forged::default(),
            wake: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whom to tell of bodies that are not those their headers name.
    pub fn forged(&self) -> &Forged {
        &self.inner.forged
    }

    /// A log is opened: so many entries are here, and so it ends if a reset ended it. Erasures beyond
    /// either are carried out no more. MUST be told of every epoch of a Land before any of them is
    /// resumed: what is overwritten does not come back.
    pub(crate) fn opened(&self, log: LogId, size: u64, ends: Option<Ends>) {
        if let Some(ends) = ends {
            lock(&self.inner.ends).insert(log, ends);
        }
        if self.upto(log) > size {
            // the end of the log was set aside, and what comes there is looked through anew
            self.change(log, |list| {
                list.upto = size;
                list.rows.retain(|_, row| row.by < size);
            });
        }
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
        let mut next = self.upto(log);
        while next < size {
            let Ok(entries) = reader.read(next, READ_BYTES, READ_ENTRIES) else {
                // damage is reported when the journal is opened
                next += 1;
                continue;
            };
            let found = entries.iter().filter_map(|it| {
                // somebody wrote it on this disk, so it erases nothing
                let header = Header::parse(&it.header).ok().filter(|_| is_erasure(&it.header))?;
                Some((&it.header, genuine_body(log, &header, it, &self.inner.forged)?))
            });
            let found = self.found(log, &reader, found);
            next += entries.len().max(1) as u64;
            self.note(log, &found, next);
        }
        self.settle(log, journal)?;
        self.look(log, size);
        Ok(())
    }

    /// Erasures among these entries (headers and bodies) that erase something and are not known yet.
    /// What they name of the same epoch MUST be in the journal; the entry of an earlier one may be on
    /// its way here, unless it lies far beyond what is known of that one.
    pub(crate) fn found<'a>(
        &self,
        log: LogId,
        reader: &Reader,
        entries: impl Iterator<Item = (&'a Bytes, &'a Bytes)>,
    ) -> Vec<(Erasing, Kind)> {
        let mut found: Vec<(Erasing, Kind)> = Vec::new();
        let mut named = BTreeSet::new();
        for (header, body) in entries.filter(|(header, _)| is_erasure(header)) {
            let Ok(header) = Header::parse(header) else { continue };
            let Ok(erasing) = Erasing::read(&header, body) else { continue };
            let at = erased(log, &erasing);
            let known = named.contains(&at)
                || self.lock().get(&log).is_some_and(|it| it.rows.contains_key(&at));
            let kind = match at.epoch {
                None => erased_kind(reader, &erasing),
                Some(epoch) => {
                    let all = Erased::all_of(Some(epoch), at.index);
                    let leaves = named.range(all.clone()).count()
                        + self.lock().get(&log).map_or(0, |it| it.rows.range(all).count());
                    (leaves < LEAVES_MAX && self.may_come(&erasing)).then_some(NOT_HERE)
                }
            };
            let Some(kind) = kind.filter(|_| !known) else {
                info!(%log, by = erasing.by, entry = erasing.index, "an erasure that erases nothing");
                let mut void = self.inner.void.lock().unwrap_or_else(PoisonError::into_inner);
                *void.entry(log.land).or_default() += 1;
                continue;
            };
            named.insert(at);
            found.push((erasing, kind));
        }
        found
    }

    /// Notes what was found among the first `upto` entries, durably, before a body is overwritten. Those
    /// of earlier epochs are overwritten by whoever owns their journals.
    pub(crate) fn note(&self, log: LogId, found: &[(Erasing, Kind)], upto: u64) {
        if found.is_empty() {
            self.look(log, upto);
            return;
        }
        // noted first: a range that is read meanwhile must know why a body is missing
        self.change(log, |list| {
            list.upto = upto;
            for (it, kind) in found {
                let row = Row { by: it.by, kind: *kind, done: false, gone: false };
                list.rows.entry(erased(log, it)).or_insert(row);
            }
        });
        let others: BTreeSet<LogId> =
            found.iter().map(|(it, _)| it.log).filter(|it| *it != log).collect();
        let work = lock(&self.inner.work);
        others.iter().filter_map(|it| work.get(it)).for_each(|work| work());
    }

    /// Overwrites what is to be erased in a journal, by erasures of its own or a later epoch. An entry
    /// that is not here has no body to erase; [`Erasures::withdraw`] sees to it that none comes.
    ///
    /// # Errors
    ///
    /// If the disk fails; the next start goes on.
    pub(crate) fn settle(&self, log: LogId, journal: &mut Journal) -> Result<(), EraseError> {
        let mut rest = Some(Rest::default());
        while let Some(from) = rest {
            rest = self.step(log, journal, from, Duration::MAX)?;
        }
        Ok(())
    }

    /// [`Erasures::settle`] for about so long, so that whoever owns the journal can do other work; what
    /// is left, if anything. Each entry is durable before the next, whoever goes on with it.
    ///
    /// # Errors
    ///
    /// If the disk fails; the next start goes on.
    pub(crate) fn step(
        &self,
        log: LogId,
        journal: &mut Journal,
        Rest(from): Rest,
        limit: Duration,
    ) -> Result<Option<Rest>, EraseError> {
        let (mut settled, mut outcome) = (Vec::new(), Ok(None));
        let rows = self.naming(log, 0..u64::MAX, |row| !row.gone).into_iter();
        let begun = Instant::now();
        for (stands, at, row) in rows.filter(|(stands, at, _)| Some((*stands, *at)) > from) {
            match settle_one(log, journal, &at, &row) {
                Ok(Some((kind, now))) => settled.push(Settled { stands, at, kind, now }),
                Ok(None) => {}
                Err(failure) => {
                    outcome = Err(failure);
                    break;
                }
            }
            if row.done && settled.last().is_some_and(|it| it.now && it.at == at) {
                // nothing but this says that the other parts have to follow once more
                self.settled(&std::mem::take(&mut settled));
            }
            if begun.elapsed() >= limit {
                outcome = Ok(Some(Rest(Some((stands, at)))));
                break;
            }
        }
        self.settled(&settled);
        self.inner.wake.notify_one();
        outcome
    }

    /// Takes the bodies out of entries that are about to be stored from index `first` on, if a later
    /// epoch erases them. MUST be called by whoever owns the journal.
    pub(crate) fn withdraw(&self, log: LogId, first: u64, entries: &mut [BatchEntry]) {
        let indices = first..first.saturating_add(entries.len() as u64);
        let mut settled = Vec::new();
        for (stands, at, _) in self.later(log, indices) {
            let place = usize::try_from(at.index - first).ok();
            let Some(entry) = place.and_then(|it| entries.get_mut(it)) else { continue };
            let Some(kind) = promised_kind(log, &at, &entry.header) else { continue };
            let (header, body_state) =
                (std::mem::take(&mut entry.header), BodyState::Erased.into());
            *entry = BatchEntry { header, body_state, ..BatchEntry::default() };
            settled.push(Settled { stands, at, kind, now: false });
        }
        // not written: after the next start the journal tells it again
        note(&mut self.lock(), &settled);
    }

    /// For readers of journals.
    pub fn seen(&self) -> ErasuresSeen {
        ErasuresSeen(Arc::downgrade(&self.inner))
    }

    /// Takes the bodies out of entries of an epoch that ended, as they are read, if a later one erases
    /// them: the journal follows later, and a damaged one much later.
    pub(crate) fn hide(&self, log: LogId, entries: &mut [Stored]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (first, indices) = (first.index, first.index..last.index.saturating_add(1));
        for (_, at, _) in self.later(log, indices) {
            let place = usize::try_from(at.index - first).ok();
            let Some(entry) = place.and_then(|it| entries.get_mut(it)) else { continue };
            if promised_kind(log, &at, &entry.header).is_some() {
                (entry.body, entry.erased) = (None, true);
            }
        }
    }

    /// Erasures that erase an entry with this leaf: of its own epoch, then those of later ones that count.
    pub fn by(&self, entry: Position, leaf: Hash) -> Vec<Position> {
        let mut all = self.naming_leaf(entry, leaf);
        let ends = lock(&self.inner.ends);
        all.retain(|it| it.log == entry.log || counts(&ends, *it));
        all
    }

    /// Erasures of the same that resets discarded.
    pub(crate) fn discarded(&self, entry: Position, leaf: Hash) -> Vec<Position> {
        let mut all = self.naming_leaf(entry, leaf);
        let ends = lock(&self.inner.ends);
        all.retain(|it| !counts(&ends, *it));
        all
    }

    /// Entries that count of an epoch, if a reset ended it.
    pub(crate) fn counted(&self, log: LogId) -> Option<u64> {
        lock(&self.inner.ends).get(&log).map(|it| it.counts)
    }

    fn naming_leaf(&self, entry: Position, leaf: Hash) -> Vec<Position> {
        let lists = self.lock();
        let mut all = Vec::new();
        for (&stands, list) in lists.range(entry.log..).take_while(|it| it.0.land == entry.log.land)
        {
            let own = stands == entry.log;
            let (epoch, leaf) = ((!own).then_some(entry.log.epoch), (!own).then_some(leaf));
            let row = list.rows.get(&Erased { epoch, index: entry.index, leaf });
            all.extend(row.map(|it| Position { log: stands, index: it.by }));
        }
        all
    }

    /// All erasures that stand in a log and count, the newest first, of entries that are here and can be
    /// read.
    pub fn of(&self, log: LogId) -> Vec<Known> {
        let counted = self.counted(log).unwrap_or(u64::MAX);
        let is_here = |it: &Row| ![NOT_HERE, UNREADABLE].contains(&it.kind);
        let mut all = self.some(log, |it| it.by < counted && is_here(it));
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

    /// True if a reset discarded this erasure: it stands beyond what counts of its epoch.
    pub fn is_discarded(&self, by: Position) -> bool {
        !counts(&lock(&self.inner.ends), by)
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

    /// Every part has followed; those of them for which that could be noted.
    fn done(&self, all: Vec<Known>) -> Vec<Known> {
        let mut of: BTreeMap<LogId, Vec<Known>> = BTreeMap::new();
        all.into_iter().for_each(|it| of.entry(it.by.log).or_default().push(it));
        let mut noted = Vec::new();
        for (log, all) in of {
            let mut lists = self.lock();
            let list = lists.entry(log).or_default();
            set_done(list, &all, true);
            if self.write(log, list) {
                noted.extend(all);
            } else {
                set_done(list, &all, false);
            }
        }
        noted
    }

    /// Notes what is gone from the journals.
    fn settled(&self, all: &[Settled]) {
        let mut lists = self.lock();
        for log in note(&mut lists, all) {
            if let Some(list) = lists.get(&log) {
                self.write(log, list);
            }
        }
    }

    /// Rows of all lists that name one of these entries of a log, unless a reset discarded the erasure.
    fn naming(
        &self,
        log: LogId,
        indices: Range<u64>,
        wanted: impl Fn(&Row) -> bool,
    ) -> Vec<(LogId, Erased, Row)> {
        let mut all = Vec::new();
        if indices.is_empty() {
            return all;
        }
        let ends = lock(&self.inner.ends).clone();
        let lists = self.lock();
        for (&stands, list) in lists.range(log..).take_while(|it| it.0.land == log.land) {
            let epoch = (stands != log).then_some(log.epoch);
            let at = |index| Erased { epoch, index, leaf: None };
            let rows = list.rows.range(at(indices.start)..at(indices.end));
            for (at, row) in rows.filter(|(_, row)| wanted(row)) {
                if counts(&ends, Position { log: stands, index: row.by }) {
                    all.push((stands, *at, *row));
                }
            }
        }
        all
    }

    /// The same, of erasures that stand in later epochs only.
    fn later(&self, log: LogId, indices: Range<u64>) -> Vec<(LogId, Erased, Row)> {
        let mut all = self.naming(log, indices, |_| true);
        all.retain(|(_, at, _)| at.leaf.is_some());
        all
    }

    /// False for an erasure of an entry far beyond what is known of its epoch.
    fn may_come(&self, it: &Erasing) -> bool {
        let ends = lock(&self.inner.ends).get(&it.log).copied();
        ends.is_some_and(|ends| it.index < ends.known.saturating_add(BEYOND_MAX))
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

/// False for an erasure that a reset discarded.
fn counts(ends: &BTreeMap<LogId, Ends>, by: Position) -> bool {
    ends.get(&by.log).is_none_or(|ends| by.index < ends.counts)
}

/// Notes what is gone from the journals; the lists that say something else now.
fn note(lists: &mut BTreeMap<LogId, List>, all: &[Settled]) -> BTreeSet<LogId> {
    let mut changed = BTreeSet::new();
    for &Settled { stands, at, kind, now } in all {
        let row = lists.get_mut(&stands).and_then(|list| list.rows.get_mut(&at));
        let Some(row) = row else { continue };
        let done = row.done && !now;
        if (kind, done) != (row.kind, row.done) {
            changed.insert(stands);
        }
        *row = Row { gone: true, kind, done, ..*row };
    }
    changed
}

fn set_done(list: &mut List, all: &[Known], done: bool) {
    for it in all {
        let epoch = (it.entry.log != it.by.log).then_some(it.entry.log.epoch);
        let rows = list.rows.range_mut(Erased::all_of(epoch, it.entry.index));
        rows.filter(|(_, row)| row.by == it.by.index).for_each(|(_, row)| row.done = done);
    }
}
