//! The newest batches of each log in memory, so that live watchers do not each read the journal.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use registry_proto::terms::LogId;

use crate::batches::Batch;

/// A ring of batches for each log; the folder fills it while someone watches.
#[derive(Debug, Default)]
pub struct Recent {
    watchers: AtomicUsize,
    rings: Mutex<Rings>,
}

/// Counts as a watcher as long as it lives.
#[derive(Debug)]
pub struct Watching(Arc<Recent>);

#[derive(Debug, Default)]
struct Rings {
    logs: HashMap<LogId, VecDeque<Arc<Batch>>>,
    /// Logs in the order in which their batches came.
    order: VecDeque<LogId>,
    bytes: usize,
}

/// Bytes of all batches held.
const RECENT_BYTES_MAX: usize = 32 << 20;
/// Batches held.
const RECENT_BATCHES_MAX: usize = 10_000;

// === impl Recent ===

impl Recent {
    /// Counts a watcher.
    pub fn watch(self: &Arc<Self>) -> Watching {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watching(Arc::clone(self))
    }

    /// True if batches are worth keeping.
    pub fn wanted(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Adds the newest batch of its log; forgets earlier ones that it does not follow.
    pub fn push(&self, batch: Batch) {
        let mut rings = self.lock();
        let log = batch.log;
        let follows = rings
            .logs
            .get(&log)
            .and_then(VecDeque::back)
            .is_none_or(|last| last.end == batch.first);
        if !follows {
            rings.forget(log);
        }
        rings.bytes += batch.bytes;
        rings.order.push_back(log);
        rings.logs.entry(log).or_default().push_back(Arc::new(batch));
        rings.trim();
    }

    /// The batches of a log from `from` on, if the ring holds the one that begins there.
    pub fn from(&self, log: LogId, from: u64, batches_max: usize) -> Vec<Arc<Batch>> {
        let rings = self.lock();
        let Some(ring) = rings.logs.get(&log) else { return Vec::new() };
        match ring.binary_search_by_key(&from, |batch| batch.first) {
            Ok(at) => ring.iter().skip(at).take(batches_max).cloned().collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Forgets all batches.
    pub fn clear(&self) {
        *self.lock() = Rings::default();
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Rings ===

impl Rings {
    fn forget(&mut self, log: LogId) {
        let dropped = self.logs.remove(&log).unwrap_or_default();
        self.bytes -= dropped.iter().map(|batch| batch.bytes).sum::<usize>();
        self.order.retain(|&other| other != log);
    }

    fn trim(&mut self) {
        while self.bytes > RECENT_BYTES_MAX || self.order.len() > RECENT_BATCHES_MAX {
            let Some(log) = self.order.pop_front() else { break };
            let oldest = self.logs.get_mut(&log).and_then(VecDeque::pop_front);
            self.bytes -= oldest.map_or(0, |batch| batch.bytes);
        }
    }
}

// === impl Watching ===

impl Drop for Watching {
    fn drop(&mut self) {
        if self.0.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            // nobody is left to read them
            self.0.clear();
        }
    }
}
