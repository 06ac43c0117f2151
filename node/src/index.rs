//! What readers need of the catalogue: the store, the journals, and whether they can be trusted
//! to agree at the moment.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use registry_core::{
    reject::Reject,
    view::{Catalogue, Cut, QueryError},
};
use registry_proto::terms::LogId;
use tokio::sync::watch;

use crate::{
    guard::Keeper, journals::Journals, recent::Recent, store::Store, unsearched::Unsearched,
};

/// The read side of a node. Cheap to clone; all clones are one index.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

/// How far the catalogue follows a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderProgress {
    /// The log.
    pub log: LogId,
    /// Entries that the catalogue shows.
    pub folded: u64,
    /// Entries of the journal.
    pub size: u64,
}

/// The index ended; nothing more will be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index is closed")]
pub struct Closed;

/// A view of the index between two rebuilds. Whatever was read counts only if the index still
/// [holds](Index::still) it afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

struct Inner {
    store: Store,
    journals: Journals,
    recent: Arc<Recent>,
    unsearched: Unsearched,
    keeper: Keeper,
    folded: watch::Sender<Arc<Cut>>,
    generation: AtomicU64,
    unreadable: AtomicU64,
    gate: Mutex<Gate>,
    hears: OnceLock<Hears>,
    wakes: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// Hears on the folder's thread what is folded.
type Hears = Box<dyn Fn(&Cut) + Send + Sync>;

#[derive(Debug, Default)]
struct Gate {
    /// Set while the catalogue is not complete; the text says why.
    rebuilding: Option<String>,
    /// Logs that cannot be read further, and why.
    stuck: Vec<(LogId, String)>,
}

// === impl Index ===

impl Index {
    /// An index that is closed to readers until the folder opens it.
    pub fn new(store: Store, journals: Journals, keeper: Keeper) -> Self {
        let (folded, _) = watch::channel(store.cut());
        let gate = Gate { rebuilding: Some("the node starts".to_owned()), stuck: Vec::new() };
        Self {
            inner: Arc::new(Inner {
                store,
                journals,
                recent: Arc::default(),
                unsearched: Unsearched::default(),
                keeper,
                folded,
                generation: AtomicU64::new(0),
                unreadable: AtomicU64::new(0),
                gate: Mutex::new(gate),
                hears: OnceLock::new(),
                wakes: OnceLock::new(),
            }),
        }
    }

    /// The facts.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The logs.
    pub fn journals(&self) -> &Journals {
        &self.inner.journals
    }

    /// The guard against mass retirement.
    pub fn keeper(&self) -> &Keeper {
        &self.inner.keeper
    }

    /// The newest batches.
    pub fn recent(&self) -> &Arc<Recent> {
        &self.inner.recent
    }

    /// What is erased and not yet followed by the search.
    pub(crate) fn unsearched(&self) -> &Unsearched {
        &self.inner.unsearched
    }

    /// Asks the catalogue. Runs on the caller's thread and reads the disk.
    ///
    /// # Errors
    ///
    /// What `ask` gives; [`Reject::Unavailable`] with `INDEX_REBUILDING` while the catalogue is
    /// not complete; [`Reject::Storage`] if the facts cannot be read.
    pub fn ask<T>(
        &self,
        ask: impl FnOnce(&Catalogue<'_, Store>) -> Result<T, QueryError>,
    ) -> Result<(T, Arc<Cut>), Reject> {
        let (generation, cut) = self.readable()?;
        let answer = self.ask_at(generation, &cut, ask)?;
        Ok((answer, cut))
    }

    /// Asks the catalogue at a cut, which MUST lie within that of `generation`.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub fn ask_at<T>(
        &self,
        generation: Generation,
        cut: &Cut,
        ask: impl FnOnce(&Catalogue<'_, Store>) -> Result<T, QueryError>,
    ) -> Result<T, Reject> {
        let held = self.inner.keeper.held();
        let answer = ask(&Catalogue::new(&self.inner.store, cut).without(&held));
        self.still(generation)?;
        match answer {
            Ok(answer) => Ok(answer),
            Err(QueryError::Reject(reject)) => Err(reject),
            Err(QueryError::Facts(error)) => {
                let cause = &error.source;
                tracing::error!(%error, %cause, "index cannot be read");
                Err(Reject::Storage { operation: "reading the index" })
            }
        }
    }

    /// The cut that readers may see now.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] with `INDEX_REBUILDING` while the catalogue is not complete.
    pub fn readable(&self) -> Result<(Generation, Arc<Cut>), Reject> {
        let generation = Generation(self.inner.generation.load(Ordering::Acquire));
        let cut = self.inner.store.cut();
        self.still(generation)?;
        Ok((generation, cut))
    }

    /// Confirms that what was read since [`Self::readable`] is whole.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] with `INDEX_REBUILDING` if a rebuild began since.
    pub fn still(&self, generation: Generation) -> Result<(), Reject> {
        let rebuilding = self.lock().rebuilding.clone();
        let now = Generation(self.inner.generation.load(Ordering::Acquire));
        match rebuilding {
            None if now == generation => Ok(()),
            reason => Err(Reject::Unavailable {
                reason: "INDEX_REBUILDING",
                description: format!(
                    "the index is being built from the journal ({}; {}); ask again in a moment",
                    reason.as_deref().unwrap_or("it was renewed"),
                    self.progress_text(),
                ),
            }),
        }
    }

    /// How far each log is folded.
    pub fn progress(&self) -> Vec<FolderProgress> {
        let cut = self.inner.store.cut();
        let journals = self.inner.journals.all();
        let progress = |(&log, journal): (&LogId, &Arc<dyn crate::journals::JournalRead>)| {
            FolderProgress { log, folded: cut.size(log), size: journal.size() }
        };
        journals.iter().map(progress).collect()
    }

    /// "ready", or what is wrong and how far it is.
    pub fn status(&self) -> String {
        if let Some(reason) = self.inner.store.failure() {
            return format!("failed: {reason}");
        }
        let gate = self.lock();
        if let Some(reason) = &gate.rebuilding {
            let reason = reason.clone();
            drop(gate);
            return format!("rebuilding: {reason}; {}", self.progress_text());
        }
        match gate.stuck.as_slice() {
            [] => "ready".to_owned(),
            stuck => {
                let stuck: Vec<_> =
                    stuck.iter().map(|(log, why)| format!("{log}: {why}")).collect();
                format!("ready, but a journal cannot be read: {}", stuck.join("; "))
            }
        }
    }

    /// Entries whose body was not what its header said, since the start.
    pub fn unreadable(&self) -> u64 {
        self.inner.unreadable.load(Ordering::Relaxed)
    }

    /// Follows what is folded; the newest value is enough, values in between may be missed.
    pub fn folded(&self) -> watch::Receiver<Arc<Cut>> {
        self.inner.folded.subscribe()
    }

    /// Waits until the catalogue shows the first `size` entries of a log.
    ///
    /// # Errors
    ///
    /// [`Closed`] if that will not happen.
    pub async fn wait_folded(&self, log: LogId, size: u64) -> Result<(), Closed> {
        let mut folded = self.folded();
        let shows = |cut: &Arc<Cut>| cut.size(log) >= size;
        folded.wait_for(shows).await.map(|_| ()).map_err(|_| Closed)
    }

    fn progress_text(&self) -> String {
        let behind: Vec<_> = self
            .progress()
            .into_iter()
            .filter(|log| log.folded < log.size)
            .map(|log| format!("{} {} of {}", log.log, log.folded, log.size))
            .collect();
        if behind.is_empty() { "nothing is left".to_owned() } else { behind.join(", ") }
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        self.inner.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the index to readers; whoever reads now notices.
    pub(crate) fn close_gate(&self, reason: &str) {
        self.lock().rebuilding = Some(reason.to_owned());
        self.inner.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Opens the index to readers.
    pub(crate) fn open_gate(&self) {
        self.lock().rebuilding = None;
        self.wake();
    }

    /// True if readers are let in.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().rebuilding.is_none()
    }

    /// Tells everyone what is folded now.
    pub(crate) fn announce(&self) {
        let cut = self.inner.store.cut();
        self.inner.folded.send_replace(Arc::clone(&cut));
        self.wake();
        // last: who hears may work for publishers
        if let Some(hears) = self.inner.hears.get() {
            hears(&cut);
        }
    }

    /// Has `wakes` called when something is folded, counts again, or readers are let in. It MUST NOT wait.
    /// Counts once.
    pub(crate) fn on_change(&self, wakes: impl Fn() + Send + Sync + 'static) {
        if self.inner.wakes.set(Box::new(wakes)).is_err() {
            tracing::error!("somebody follows the index already");
        }
    }

    /// Wakes who follows the index: what counts has changed.
    pub(crate) fn wake(&self) {
        if let Some(wakes) = self.inner.wakes.get() {
            wakes();
        }
    }

    /// Has `hears` called with what is folded now, and on the folder's thread with what is folded
    /// later: publishers wait for this, so it does not queue behind other tasks. Counts once.
    pub(crate) fn tell(&self, hears: impl Fn(&Cut) + Send + Sync + 'static) {
        hears(&self.inner.store.cut());
        if self.inner.hears.set(Box::new(hears)).is_ok() {
            self.announce();
        }
    }

    pub(crate) fn count_unreadable(&self) {
        self.inner.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_stuck(&self, log: LogId, reason: Option<String>) {
        let mut gate = self.lock();
        gate.stuck.retain(|(other, _)| *other != log);
        gate.stuck.extend(reason.map(|reason| (log, reason)));
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("status", &self.status()).finish_non_exhaustive()
    }
}
