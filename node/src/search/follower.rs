//! One thread that keeps the search index at what the catalogue shows.
//!
//! It looks at the catalogue at one cut, puts the documents that entries since the last cut
//! changed, commits, and only then shows readers the new index together with that cut. Most
//! entries of a busy log change no document: then there is nothing to commit, and the index is
//! shown as it is together with the new cut. It is woken when something was folded and rests for
//! longer than it worked, so it is behind by a fraction of a second and never in the way of the
//! folder. Bodies come from the journal.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use registry_core::{
    fold::{self, Record},
    moves::guard::Held,
    view::{Catalogue, Cut, FactsError, Findable},
};
use registry_proto::{
    log::Kind,
    terms::{Land, LogId},
};
use uuid::Uuid;

use super::{
    Search, Snapshot,
    analyzer::Analyzer,
    document::Subject,
    engine::{Engine, EngineError, Place, Stamp},
};
use crate::{
    index::{Generation, Index},
    journals::{ParseError, Parsed, ReadError},
    lifecycle::chain,
};

/// The thread; ends when this is dropped.
#[derive(Debug)]
pub struct Follower {
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Wake {
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signal {
    news: bool,
    stop: bool,
    /// The thread rests: news do not wake it.
    rests: bool,
}

/// The state of the thread; tests drive it without one.
pub(super) struct Work {
    index: Index,
    search: Search,
    place: Place,
    engine: Option<Engine>,
    /// What the index shows.
    at: Option<(Generation, Arc<Cut>)>,
    /// Moves that did not count when it was made.
    held: Arc<Held>,
    /// What was last put into it.
    put: Put,
    /// Something was erased since its files were written anew.
    erases: bool,
}

/// What the documents of services were made of, as far as it is remembered.
#[derive(Default)]
struct Put {
    known: HashMap<(Land, Uuid), Findable>,
    /// Entries since the last commit.
    entries: u64,
    /// A document changed since the last commit.
    changed: bool,
}

/// Why the index does not follow.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("cannot read the catalogue")]
    Facts(#[from] FactsError),
    #[error("cannot read the log {log}")]
    Journal {
        log: LogId,
        #[source]
        source: ReadError,
    },
    #[error("cannot understand the log {log}")]
    Entry {
        log: LogId,
        #[source]
        source: ParseError,
    },
    #[error("the log {0} is not here")]
    NoJournal(LogId),
    #[error("the search index panicked")]
    Panic,
}

/// Rest between two steps, at least.
const PAUSE: Duration = Duration::from_millis(150);
/// Rest after a step, in times of what it took, and at most.
const PAUSE_TIMES: u32 = 10;
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Services whose documents are remembered; beyond that all are forgotten.
const KNOWN_MAX: usize = 100_000;
/// Entries after which a place is committed although no document changed: so many are read again
/// after a start, at most.
const UNCOMMITTED_MAX: u64 = 50_000;
/// Rest after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// Services that are listed at once.
const CHUNK_SERVICES: usize = 500;
/// Bytes and entries of a log that are read at once.
const CHUNK_BYTES: usize = 128 << 10;
const CHUNK_ENTRIES: usize = 2_000;

// === impl Follower ===

impl Follower {
    /// Starts the thread over the index in `dir`, which it owns.
    ///
    /// # Errors
    ///
    /// If there is no thread.
    pub fn start(index: Index, dir: PathBuf) -> io::Result<(Search, Self)> {
        Self::start_at(index, Place::Disk(dir))
    }

    pub(super) fn start_at(index: Index, place: Place) -> io::Result<(Search, Self)> {
        let wake = Arc::<Wake>::default();
        index.on_change({
            let wake = Arc::clone(&wake);
            move || wake.news()
        });
        wake.news();
        let mut work = Work::new(index, place);
        let search = work.search.clone();
        let thread = thread::Builder::new().name("search".to_owned()).spawn({
            let wake = Arc::clone(&wake);
            move || work.run(&wake)
        })?;
        Ok((search, Self { wake, thread: Some(thread) }))
    }

    /// Ends the thread after the step it is at.
    pub fn stop(&mut self) {
        self.wake.lock().stop = true;
        self.wake.changed.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the search panicked");
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}

// === impl Wake ===

impl Wake {
    fn lock(&self) -> std::sync::MutexGuard<'_, Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) {
        let mut signal = self.lock();
        signal.news = true;
        if !signal.rests {
            self.changed.notify_one();
        }
    }

    /// Waits for news; false when the thread must end.
    fn wait(&self) -> bool {
        let idle = |signal: &mut Signal| !signal.news && !signal.stop;
        let waited = self.changed.wait_while(self.lock(), idle);
        let mut signal = waited.unwrap_or_else(PoisonError::into_inner);
        signal.news = false;
        !signal.stop
    }

    /// Waits for some time, whatever comes; false when the thread must end.
    fn rest(&self, time: Duration) -> bool {
        let mut signal = self.lock();
        signal.rests = true;
        let waited = self.changed.wait_timeout_while(signal, time, |it| !it.stop);
        let mut signal = waited.unwrap_or_else(PoisonError::into_inner).0;
        signal.rests = false;
        !signal.stop
    }

    fn stops(&self) -> bool {
        self.lock().stop
    }
}

// === impl Work ===

impl Work {
    pub(super) fn new(index: Index, place: Place) -> Self {
        let search = Search::new(index.clone());
        Self {
            index,
            search,
            place,
            engine: None,
            at: None,
            held: Arc::default(),
            put: Put::default(),
            erases: false,
        }
    }

    #[cfg(test)]
    pub(super) fn search(&self) -> &Search {
        &self.search
    }

    fn run(&mut self, wake: &Wake) {
        // nobody waits for the dictionary at the first search
        Analyzer::shipped();
        while wake.wait() {
            let begun = Instant::now();
            let followed = self.step(&|| wake.stops());
            if !followed {
                // nobody else may come by
                wake.news();
            }
            let rest = (begun.elapsed() * PAUSE_TIMES).clamp(PAUSE, PAUSE_MAX);
            if !wake.rest(if followed { rest } else { RETRY }) {
                return;
            }
        }
    }

    /// Brings the index to what the catalogue shows now; false if that failed, and why is told to
    /// readers.
    pub(super) fn step(&mut self, stops: &dyn Fn() -> bool) -> bool {
        let stepped = catch_unwind(AssertUnwindSafe(|| self.follow(stops)));
        let Err(error) = stepped.unwrap_or(Err(StepError::Panic)) else { return true };
        let reason = chain(&error);
        tracing::error!(%reason, "search index failed; it is built again");
        // its files are deleted before the next attempt
        self.engine = None;
        self.at = None;
        self.put = Put::default();
        self.search.close(&format!("it failed: {reason}"));
        false
    }

    fn follow(&mut self, stops: &dyn Fn() -> bool) -> Result<(), StepError> {
        // closed: the folder wakes this thread again when it opens the catalogue
        let Ok((generation, cut)) = self.index.readable() else { return Ok(()) };
        let known = match &self.at {
            Some((of, at)) if *of == generation => Some(Arc::clone(at)),
            // somebody had the catalogue built anew, and with it the search
            Some(_) => None,
            None => self.open()?,
        };
        let held = self.index.keeper().held();
        let goes_on = known.filter(|at| at.iter().all(|(log, size)| cut.size(log) >= size));
        let done = match &goes_on {
            Some(at) if *at == cut && self.at.is_some() && held == self.held => return Ok(()),
            Some(at) => match self.touched(at, &cut, &held) {
                Ok(touched) => self.update(touched, at, &cut, &held)?,
                Err(error) => {
                    tracing::warn!(reason = %chain(&error), "search index is built again");
                    self.build(&cut, &held, stops)?
                }
            },
            None => self.build(&cut, &held, stops)?,
        };
        let Some(engine) = self.engine.as_mut().filter(|_| done) else { return Ok(()) };
        if self.index.still(generation).is_err() {
            engine.rollback()?;
            self.put = Put::default();
            return Ok(());
        }
        let erases = std::mem::take(&mut self.erases);
        let searcher = if erases {
            // what is replaced stays in its segment until that is written anew
            self.put.committed();
            engine.purge(&stamp(&self.index, &cut)?)?
        } else if self.put.is_due() {
            let searcher = engine.commit(&stamp(&self.index, &cut)?)?;
            self.put.committed();
            searcher
        } else {
            engine.searcher()?
        };
        self.search.show(Snapshot { searcher, cut: Arc::clone(&cut), generation });
        self.index.unsearched().followed(&cut);
        if erases {
            engine.clean()?;
        }
        self.search.set_erased(&cut);
        self.at = Some((generation, cut));
        self.held = held;
        Ok(())
    }

    /// Opens what an earlier process left, and says how far it goes; `None` to build anew.
    fn open(&mut self) -> Result<Option<Arc<Cut>>, StepError> {
        let Some((engine, found)) = Engine::open(&self.place) else { return Ok(None) };
        let now = stamp(&self.index, &found.cut());
        if now.is_ok_and(|now| now == found) {
            self.engine = Some(engine);
            return Ok(Some(Arc::new(found.cut())));
        }
        tracing::warn!("search index belongs to another journal; it is built again");
        Ok(None)
    }

    /// Services that entries between two cuts are about, or moves that count again or no more.
    fn touched(
        &mut self,
        from: &Cut,
        to: &Cut,
        held: &Held,
    ) -> Result<BTreeSet<(Land, Uuid)>, StepError> {
        let mut touched = BTreeSet::new();
        for &at in held.symmetric_difference(&self.held).filter(|at| from.holds(**at)) {
            let log = at.log;
            let read = self.index.entry(at).map_err(|refused| {
                let source = ReadError(refused.to_string().into());
                StepError::Journal { log, source }
            });
            let (_, entry) = read?;
            touched.extend(entry.header.object_id.map(|service| (log.land, service)));
        }
        for (log, size) in to.iter() {
            let mut next = from.size(log);
            if next >= size {
                continue;
            }
            let journal = self.index.journals().find(log).ok_or(StepError::NoJournal(log))?;
            while next < size {
                let stored = journal
                    .read(next, CHUNK_BYTES, CHUNK_ENTRIES)
                    .map_err(|source| StepError::Journal { log, source })?;
                if stored.is_empty() {
                    let source = ReadError("nothing was read".into());
                    return Err(StepError::Journal { log, source });
                }
                for stored in stored {
                    next = stored.index + 1;
                    self.put.entries += 1;
                    let entry = Parsed::of(log, stored)
                        .map_err(|source| StepError::Entry { log, source })?;
                    self.erases |= entry.header.kind == Kind::Erasure;
                    touched.extend(entry.header.object_id.map(|service| (log.land, service)));
                }
            }
        }
        Ok(touched)
    }

    /// Puts what changed of the `touched` between two cuts.
    fn update(
        &mut self,
        touched: BTreeSet<(Land, Uuid)>,
        from: &Cut,
        to: &Cut,
        held: &Held,
    ) -> Result<bool, StepError> {
        let Some(engine) = &self.engine else { return Ok(false) };
        let catalogue = Catalogue::new(self.index.store(), to).without(held);
        let before = Catalogue::new(self.index.store(), from);
        for (land, service) in touched {
            // one that moves to another Land is found there and no longer here
            for land in catalogue.found_under(land, service)? {
                let now = catalogue.findable(land, service)?;
                // most of these are no services: moves have objects of their own. What is erased was
                // not found before either, as the facts are now
                let unknown = now.is_none() && !self.erases;
                if unknown && before.findable(land, service)?.is_none() {
                    continue;
                }
                if self.put.changes(land, service, now) {
                    put(&self.index, engine, land, service, now)?;
                }
            }
        }
        Ok(true)
    }

    /// Makes the documents of all services; false if it was stopped before the end.
    fn build(
        &mut self,
        cut: &Cut,
        held: &Held,
        stops: &dyn Fn() -> bool,
    ) -> Result<bool, StepError> {
        let begun = Instant::now();
        self.search.close("it is built from the catalogue");
        self.at = None;
        // closes the old one first: its files go away, with all that was erased
        self.engine = None;
        self.erases = false;
        self.put = Put { changed: true, ..Put::default() };
        let engine = self.engine.insert(Engine::create(&self.place)?);
        let catalogue = Catalogue::new(self.index.store(), cut).without(held);
        let (mut last, mut count) = (None, 0_usize);
        loop {
            let services = catalogue.defined_after(last, CHUNK_SERVICES)?;
            let Some(&end) = services.last() else { break };
            if stops() {
                return Ok(false);
            }
            for (land, service) in &services {
                let now = catalogue.findable(*land, *service)?;
                put(&self.index, engine, *land, *service, now)?;
            }
            last = Some(end);
            count += services.len();
            self.search.close(&format!("it is built from the catalogue, {count} services so far"));
        }
        tracing::info!(services = count, elapsed = ?begun.elapsed(), "search index is built");
        Ok(true)
    }
}

// === impl Put ===

impl Put {
    /// True if the document of a service is not known to be made of `now`; it is from here on.
    fn changes(&mut self, land: Land, service: Uuid, now: Option<Findable>) -> bool {
        let known = self.known.get(&(land, service));
        if now.is_some() && known == now.as_ref() {
            return false;
        }
        self.changed = true;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        match now {
            Some(now) => self.known.insert((land, service), now),
            None => self.known.remove(&(land, service)),
        };
        true
    }

    fn is_due(&self) -> bool {
        self.changed || self.entries >= UNCOMMITTED_MAX
    }

    fn committed(&mut self) {
        (self.changed, self.entries) = (false, 0);
    }
}

/// Puts the document of a service as it is `now`. A definition that cannot be read is reported and
/// not found; it does not stop the others.
fn put(
    index: &Index,
    engine: &Engine,
    land: Land,
    service: Uuid,
    now: Option<Findable>,
) -> Result<(), StepError> {
    let Some(findable) = now else {
        engine.remove(land, service);
        return Ok(());
    };
    let read = index.entry(findable.position).ok().map(|(_, entry)| fold::read(&entry.as_entry()));
    let Some(Ok(Record::Definition(definition))) = read else {
        tracing::warn!(%land, %service, "service cannot be searched: its definition is unreadable");
        engine.remove(land, service);
        return Ok(());
    };
    let status = findable.status;
    Ok(engine.put(&Subject { land, service, status, definition: &definition })?)
}

/// The stamp of a cut: what the journals have there.
fn stamp(index: &Index, cut: &Cut) -> Result<Stamp, StepError> {
    let mut stamp = Stamp::default();
    for (log, size) in cut.iter() {
        let mut leaf = None;
        if let Some(last) = size.checked_sub(1) {
            let journal = index.journals().find(log).ok_or(StepError::NoJournal(log))?;
            let stored =
                journal.read(last, 1, 1).map_err(|source| StepError::Journal { log, source })?;
            for stored in stored.into_iter().take(1) {
                let entry =
                    Parsed::of(log, stored).map_err(|source| StepError::Entry { log, source })?;
                leaf = Some(entry.leaf);
            }
        }
        stamp.0.insert(log, (size, leaf));
    }
    Ok(stamp)
}

#[cfg(test)]
mod tests {
    use registry_core::fold::Position;

    use super::*;

    fn findable(index: u64, status: &'static str) -> Option<Findable> {
        let log = LogId { land: Land::SL, epoch: 1 };
        Some(Findable { position: Position { log, index }, status })
    }

    #[test]
    fn only_a_document_that_changes_makes_a_commit_due() {
        let (mut put, service) = (Put::default(), Uuid::from_u128(1));
        let mut check = |now: Option<Findable>, changes: bool| {
            assert_eq!(put.changes(Land::SL, service, now), changes, "{now:?}");
            assert_eq!(put.is_due(), changes);
            put.committed();
        };
        // after a start nothing is known of the documents
        check(findable(1, "freigegeben"), true);
        check(findable(1, "freigegeben"), false);
        check(findable(1, "abgekuendigt"), true);
        check(findable(2, "abgekuendigt"), true);
        // one that is gone is removed each time: what was known of it may be forgotten
        check(None, true);
        check(None, true);
    }

    #[test]
    fn a_place_is_committed_before_it_lies_too_far_back() {
        let put = Put { entries: UNCOMMITTED_MAX - 1, ..Put::default() };
        assert!(!put.is_due());
        assert!(Put { entries: UNCOMMITTED_MAX, ..put }.is_due());
    }
}
