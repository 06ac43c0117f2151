//! Keeps the facts of the catalogue: new ones in an overlay, all others in a backend.
//!
//! [`Store::publish`] makes the facts of whole batches visible at once; a writer thread moves
//! them into the backend behind the readers' backs. The store is never on the path of an
//! acknowledgement and holds nothing that cannot be folded again from the journal.

mod backend;
mod highest;
mod leaf;
mod memory;
mod overlay;
mod reach;
mod sled_store;
mod sparse;
mod stamp;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use registry_core::{
    catalogue::Laender,
    fold::{Fact, Position},
    view::{Cut, Facts, FactsError},
};
use registry_proto::{
    log::Hash,
    terms::{Land, LogId, SemVer},
};
use uuid::Uuid;

use self::{
    backend::{Backend, BackendError, is_of},
    highest::Highest,
    memory::Memory,
    overlay::Overlay,
    reach::Reach,
    sled_store::{Opener, SledStore},
    sparse::Sparse,
    stamp::Stamp,
};
pub use self::{
    highest::{Known, Seen},
    stamp::Progress,
};

/// The facts of all logs. Cheap to clone; all clones are one store.
///
/// The folder is the only caller of [`Store::publish`]; readers use it as [`Facts`], together
/// with a cut from [`Store::cut`].
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Arc<Writer>,
}

/// The writer thread; ends with the last [`Store`].
struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What was found when a store was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenOutcome {
    /// An index that can be trusted.
    Ready,
    /// There was none.
    New,
    /// The index was in doubt and was moved aside; the text says why.
    Rebuild(String),
}

/// Why a store is not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used; a rebuild would not help.
    #[error("cannot open the index at {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start the writer of the index")]
    Thread(#[source] io::Error),
}

/// Why facts are not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The store is closed.
    #[error("the index is closed")]
    Closed,
    /// The backend failed; the text says how. Only a restart helps.
    #[error("the index failed: {0}")]
    Failed(String),
    /// The facts do not follow what is folded, for example after a reset.
    #[error("facts do not follow the folded part of {log}")]
    Gap {
        /// The log.
        log: LogId,
    },
}

/// New facts of a log.
#[derive(Debug)]
pub struct Publication {
    /// The log.
    pub log: LogId,
    /// Entries folded before; MUST be what [`Store::progress`] says.
    pub from: u64,
    /// Entries folded after.
    pub size: u64,
    /// Leaf hash of the last of them.
    pub last: Hash,
    /// Facts of the entries between.
    pub facts: Vec<Fact>,
    /// Entries, of whatever place, that are erased: their facts go, first from sight and then from
    /// the disk.
    pub erased: Vec<Position>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the writer: facts, reset or stop.
    work: Condvar,
    /// Wakes the folder: room or a failure.
    room: Condvar,
    backend: Box<dyn Backend>,
}

struct State {
    overlay: Overlay,
    sparse: Sparse,
    reach: Reach,
    highest: Highest,
    /// What is visible; the writer stamps the backend with it.
    stamp: Stamp,
    /// What readers see, ready to hand out.
    cut: Arc<Cut>,
    stop: Option<Stop>,
    reset: bool,
    /// Entries whose facts are out of sight and may still be on the disk.
    erased: BTreeSet<Position>,
    failed: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Write everything and mark the end as clean.
    Clean,
    /// End at once.
    Abandon,
}

/// Facts of the growing generation above which the folder waits for the writer.
const OVERLAY_FACTS_MAX: usize = 40_000;
/// Facts with which the writer begins at once.
const WRITE_FACTS: usize = 10_000;
/// How long fewer facts wait.
const WRITE_DELAY: Duration = Duration::from_millis(200);
/// Time between two flushes.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Rest after facts were taken off the disk, in times of what it took, and at most.
const PURGE_TIMES: u32 = 10;
const PURGE_MAX: Duration = Duration::from_secs(60);

// === impl Store ===

impl Store {
    /// Opens the index at `dir`, or begins an empty one if there is none or it is in doubt.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if a rebuild would not help: another process has it open, the disk is full,
    /// rights are missing.
    pub fn open(
        dir: &Path,
        fold_version: u32,
        boot_id: &str,
    ) -> Result<(Self, OpenOutcome), OpenError> {
        let (backend, stamp, outcome) = SledStore::open(dir, Opener { fold_version, boot_id })?;
        // what the last boot left clean is open again
        let stamp = Stamp { clean: false, boot_id: boot_id.to_owned(), ..stamp };
        Ok((Self::over(Box::new(backend), stamp)?, outcome))
    }

    /// A store that ends with the process, for tests and tools.
    ///
    /// # Errors
    ///
    /// [`OpenError::Thread`].
    pub fn in_memory(fold_version: u32) -> Result<Self, OpenError> {
        let stamp = Stamp { fold_version, ..Stamp::default() };
        Self::over(Box::new(Memory::default()), stamp)
    }

    fn over(backend: Box<dyn Backend>, stamp: Stamp) -> Result<Self, OpenError> {
        let known = Sparse::of(backend.as_ref())
            .and_then(|sparse| Ok((sparse, Reach::of(backend.as_ref())?)));
        let (sparse, reach) = known.unwrap_or_else(|error| {
            // every reader will be told, too
            tracing::error!(cause = crate::lifecycle::chain(&error), "index cannot be read");
            (Sparse::unknown(), Reach::unknown())
        });
        let state = State {
            overlay: Overlay::default(),
            sparse,
            reach,
            highest: Highest::default(),
            cut: Arc::new(stamp.cut()),
            stamp,
            stop: None,
            reset: false,
            erased: BTreeSet::new(),
            failed: None,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            backend,
        });
        let writer = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.write_until_stop()
            })
            .map_err(OpenError::Thread)?;
        let thread = Mutex::new(Some(writer));
        let writer = Arc::new(Writer { shared: Arc::clone(&shared), thread });
        Ok(Self { shared, writer })
    }

    /// Makes facts visible, all at once, together with the size they belong to.
    ///
    /// Waits while the writer is behind: the folder has no other brake.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; nothing is visible then.
    pub fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        let Publication { log, from, size, last, facts, erased } = publication;
        let mut state = self.shared.lock();
        while state.overlay.active() >= OVERLAY_FACTS_MAX && state.takes_facts().is_ok() {
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.takes_facts()?;
        let known = state.stamp.logs.get(&log).map_or(0, |progress| progress.size);
        if known != from || size <= from || state.reset {
            return Err(PublishError::Gap { log });
        }
        state.stamp.facts += facts.len() as u64;
        let before = state.overlay.active();
        for fact in &facts {
            state.sparse.note(&fact.key);
            state.reach.note(&fact.key, &fact.value);
            state.highest.note(&fact.key);
        }
        state.overlay.extend(facts);
        state.stamp.logs.insert(log, Progress { size, last: Some(last) });
        Arc::make_mut(&mut state.cut).set(log, size);
        state.erase(erased);
        // in between the writer waits for more, or for its time to come
        if before == 0 || !state.erased.is_empty() || state.overlay.active() >= WRITE_FACTS {
            self.shared.work.notify_one();
        }
        Ok(())
    }

    /// How far a log is folded.
    pub fn progress(&self, log: LogId) -> Progress {
        self.shared.lock().stamp.logs.get(&log).copied().unwrap_or(Progress::START)
    }

    /// Entries of each log whose facts readers see.
    pub fn cut(&self) -> Arc<Cut> {
        Arc::clone(&self.shared.lock().cut)
    }

    /// True while facts of erased entries may still be on the disk.
    pub fn erases(&self) -> bool {
        !self.shared.lock().erased.is_empty()
    }

    /// Where the highest version of a service of a Land stands, if it was asked for before.
    pub fn highest(&self, land: Land, service: Uuid) -> Known {
        self.shared.lock().highest.find(land, service)
    }

    /// Remembers which version of a service is the highest, unless facts came since `seen`.
    pub fn keep_highest(
        &self,
        land: Land,
        service: Uuid,
        found: Option<(SemVer, Position)>,
        seen: Seen,
    ) {
        self.shared.lock().highest.keep(land, service, found, seen);
    }

    /// Facts that wait for the writer.
    pub fn waiting(&self) -> usize {
        self.shared.lock().overlay.len()
    }

    /// How the backend failed, if it did.
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failed.clone()
    }

    /// Forgets all facts, for a rebuild; waits until that is done.
    ///
    /// # Errors
    ///
    /// [`PublishError`] if the store is closed or failed.
    pub fn reset(&self) -> Result<(), PublishError> {
        let mut state = self.shared.lock();
        state.takes_facts()?;
        state.reset = true;
        state.overlay.clear();
        state.sparse = Sparse::empty();
        state.reach = Reach::empty();
        state.highest.forget();
        state.stamp.logs.clear();
        state.stamp.facts = 0;
        state.erased.clear();
        state.stamp.erasing = false;
        state.cut = Arc::default();
        self.shared.work.notify_one();
        while state.reset && state.takes_facts().is_ok() {
            state = self.shared.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.takes_facts()
    }

    /// Writes what waits, marks the end as clean, and ends the writer. Later publications are
    /// refused; reads go on.
    pub fn close(&self) {
        self.writer.stop(Stop::Clean);
    }
}

impl Facts for Store {
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Fact>, FactsError> {
        let state = self.shared.lock();
        if state.sparse.excludes(from, to) {
            return Ok(Vec::new());
        }
        if state.erased.is_empty() {
            return self.shared.scan(state, from, to, reverse, limit);
        }
        let erased = state.erased.clone();
        drop(state);
        let (mut from, mut to, mut found) = (from.to_vec(), to.to_vec(), Vec::new());
        // what is left out makes room for what comes behind it
        while found.len() < limit {
            let wanted = limit - found.len();
            let facts = self.shared.scan(self.shared.lock(), &from, &to, reverse, wanted)?;
            let Some(last) = facts.last().filter(|_| facts.len() == wanted) else {
                found.extend(facts.into_iter().filter(|it| !is_of(&it.key, &erased)));
                break;
            };
            if reverse {
                to.clone_from(&last.key);
            } else {
                from.clone_from(&last.key);
                from.push(0);
            }
            found.extend(facts.into_iter().filter(|it| !is_of(&it.key, &erased)));
        }
        Ok(found)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FactsError> {
        let state = self.shared.lock();
        if is_of(key, &state.erased) {
            return Ok(None);
        }
        let fresh = state.overlay.get(key);
        drop(state);
        match fresh {
            Some(value) => Ok(Some(value)),
            None => self.shared.backend.get(key),
        }
    }

    fn may_reach(&self, service: Uuid, laender: Laender) -> bool {
        self.shared.lock().reach.may(service, laender)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("cut", &self.cut()).finish_non_exhaustive()
    }
}

// === impl Writer ===

impl Writer {
    fn stop(&self, how: Stop) {
        self.shared.lock().stop.get_or_insert(how);
        self.shared.work.notify_one();
        self.shared.room.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writer of the index panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop(Stop::Abandon);
    }
}

// === impl State ===

impl State {
    fn takes_facts(&self) -> Result<(), PublishError> {
        match &self.failed {
            Some(reason) => Err(PublishError::Failed(reason.clone())),
            None if self.stop.is_some() => Err(PublishError::Closed),
            None => Ok(()),
        }
    }
}

impl State {
    /// Takes the facts of these entries out of sight; the writer takes them off the disk.
    fn erase(&mut self, erased: Vec<Position>) {
        if erased.is_empty() {
            return;
        }
        let erased: BTreeSet<Position> = erased.into_iter().collect();
        self.stamp.facts -= self.overlay.forget(&erased);
        self.stamp.erasing = true;
        self.highest.forget();
        self.erased.extend(erased);
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // every change under the lock is complete when it could panic
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scan(
        &self,
        state: MutexGuard<'_, State>,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Fact>, FactsError> {
        // first the overlay: what leaves it meanwhile is in the backend by then
        let fresh = state.overlay.scan(from, to, reverse, limit);
        drop(state);
        let stored = self.backend.scan(from, to, reverse, limit)?;
        Ok(overlay::merge(fresh, stored, reverse, limit))
    }

    /// The writer thread.
    fn write_until_stop(&self) {
        if let Err(error) = self.write_all() {
            let mut reason = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                reason = format!("{reason}: {source}");
            }
            tracing::error!(%reason, "index failed; reads go on, it follows no log until a restart");
            self.lock().failed = Some(reason);
            self.room.notify_all();
        }
    }

    fn write_all(&self) -> Result<(), BackendError> {
        let mut flushed_at = Instant::now();
        let mut purge_at = flushed_at;
        loop {
            let state = self.wait_for_work();
            match state.stop {
                Some(Stop::Abandon) => return Ok(()),
                Some(Stop::Clean) => return self.write_end(state),
                None if state.reset => self.write_reset(state)?,
                None if !state.erased.is_empty() && purge_at <= Instant::now() => {
                    let begun = Instant::now();
                    self.write_purge(state)?;
                    // a Land that erases all the time must not keep the disk busy
                    purge_at = Instant::now() + (begun.elapsed() * PURGE_TIMES).min(PURGE_MAX);
                }
                None if state.overlay.active() == 0 => {}
                None => self.write_generation(state)?,
            }
            if flushed_at.elapsed() >= FLUSH_EVERY {
                self.backend.flush()?;
                flushed_at = Instant::now();
            }
        }
    }

    /// Waits until there is a reason to write; a few facts wait for more.
    fn wait_for_work(&self) -> MutexGuard<'_, State> {
        let idle = |state: &mut State| {
            let rests = state.overlay.active() == 0 && state.erased.is_empty();
            state.stop.is_none() && !state.reset && rests
        };
        let few = |state: &mut State| {
            state.stop.is_none() && !state.reset && state.overlay.active() < WRITE_FACTS
        };
        let state = self.work.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        match self.work.wait_timeout_while(state, WRITE_DELAY, few) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    fn write_generation(&self, mut state: MutexGuard<'_, State>) -> Result<(), BackendError> {
        let generation = state.overlay.rotate();
        let stamp = state.stamp.clone();
        drop(state);
        self.room.notify_all();
        self.backend.apply(&generation, &stamp)?;
        self.lock().overlay.flushed();
        Ok(())
    }

    /// Writes what waits, then everything anew without the facts of erased entries.
    fn write_purge(&self, mut state: MutexGuard<'_, State>) -> Result<(), BackendError> {
        let erased = state.erased.clone();
        let stamp = state.stamp.clone();
        let generation = state.overlay.rotate();
        drop(state);
        self.room.notify_all();
        self.backend.apply(&generation, &stamp)?;
        self.lock().overlay.flushed();
        let all = stamp.facts;
        let kept = self.backend.purge(&erased, &Stamp { erasing: false, ..stamp })?;
        let mut state = self.lock();
        // after a reset nothing of this counts any more
        if !state.reset {
            state.stamp.facts = state.stamp.facts.saturating_sub(all.saturating_sub(kept));
            state.erased.retain(|it| !erased.contains(it));
            state.stamp.erasing = !state.erased.is_empty();
        }
        tracing::info!(
            entries = erased.len(),
            facts = kept,
            "index is written anew after an erasure"
        );
        Ok(())
    }

    fn write_reset(&self, state: MutexGuard<'_, State>) -> Result<(), BackendError> {
        drop(state);
        self.backend.clear()?;
        self.lock().reset = false;
        self.room.notify_all();
        Ok(())
    }

    fn write_end(&self, mut state: MutexGuard<'_, State>) -> Result<(), BackendError> {
        if state.reset {
            // without a stamp the next start rebuilds
            drop(state);
            return self.backend.clear();
        }
        let generation = state.overlay.rotate();
        let stamp = Stamp { clean: true, ..state.stamp.clone() };
        drop(state);
        self.backend.apply(&generation, &stamp)?;
        self.lock().overlay.flushed();
        self.backend.flush()
    }
}
