//! Which chunks are here, in memory, and which of them may go.
//!
//! A chunk that was stored, or that someone was told to be here, is not removed before the grace
//! period is over. A chunk that is being removed counts as not here, and cannot be stored
//! meanwhile: so nobody is told of a chunk that goes a moment later.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use registry_proto::log::Hash;

use super::store::Held;

/// The chunks of a store.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// True once the store was listed.
    known: bool,
    held: HashMap<Hash, Entry>,
    /// Held and not referred to by any version.
    unreferenced: HashSet<Hash>,
    condemned: HashSet<Hash>,
    bytes: u64,
    unreferenced_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u64,
    /// When it was stored or somebody was told of it.
    used_unix_s: i64,
}

/// How much is here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) chunks: usize,
    pub(super) bytes: u64,
    pub(super) unreferenced_bytes: u64,
}

// === impl Shelf ===

impl Shelf {
    /// Whether the store was listed since the start.
    pub(super) fn is_known(&self) -> bool {
        self.lock().known
    }

    /// Says that the store was listed.
    pub(super) fn set_known(&self) {
        self.lock().known = true;
    }

    /// A chunk that is in the store. What is known of it already stays.
    pub(super) fn add(&self, held: Held, referenced: bool) {
        let mut state = self.lock();
        let entry = Entry { bytes: held.bytes, used_unix_s: held.stored_unix_s };
        if let Some(known) = state.held.get_mut(&held.chunk) {
            known.used_unix_s = known.used_unix_s.max(entry.used_unix_s);
            return;
        }
        state.held.insert(held.chunk, entry);
        state.bytes += held.bytes;
        if !referenced {
            state.unreferenced.insert(held.chunk);
            state.unreferenced_bytes += held.bytes;
        }
    }

    /// A version refers to these chunks.
    pub(super) fn refer(&self, chunks: impl IntoIterator<Item = Hash>) {
        let mut state = self.lock();
        for chunk in chunks {
            if state.unreferenced.remove(&chunk) {
                let bytes = state.held.get(&chunk).map_or(0, |it| it.bytes);
                state.unreferenced_bytes = state.unreferenced_bytes.saturating_sub(bytes);
            }
        }
    }

    /// A chunk that is not in the store, or no longer.
    pub(super) fn remove(&self, chunk: &Hash) {
        let mut state = self.lock();
        if let Some(entry) = state.held.remove(chunk) {
            state.bytes = state.bytes.saturating_sub(entry.bytes);
            if state.unreferenced.remove(chunk) {
                state.unreferenced_bytes = state.unreferenced_bytes.saturating_sub(entry.bytes);
            }
        }
    }

    /// Length of a chunk that is here.
    pub(super) fn bytes(&self, chunk: &Hash) -> Option<u64> {
        let state = self.lock();
        let entry = state.held.get(chunk).filter(|_| !state.condemned.contains(chunk));
        entry.map(|it| it.bytes)
    }

    /// True if a chunk is here; then it stays for the grace period.
    pub(super) fn keep(&self, chunk: &Hash, now_unix_s: i64) -> bool {
        let mut state = self.lock();
        if state.condemned.contains(chunk) {
            return false;
        }
        let entry = state.held.get_mut(chunk);
        entry.map(|it| it.used_unix_s = it.used_unix_s.max(now_unix_s)).is_some()
    }

    /// True while a chunk is being removed.
    pub(super) fn is_condemned(&self, chunk: &Hash) -> bool {
        self.lock().condemned.contains(chunk)
    }

    /// Takes a chunk out of use if nobody used it after `before_unix_s`; the caller MUST remove
    /// it from the store and then [`Shelf::end`] it.
    pub(super) fn condemn(&self, chunk: &Hash, before_unix_s: i64) -> bool {
        let mut state = self.lock();
        let may_go = state.held.get(chunk).is_some_and(|it| it.used_unix_s <= before_unix_s);
        may_go && state.condemned.insert(*chunk)
    }

    /// Ends what [`Shelf::condemn`] began.
    pub(super) fn end(&self, chunk: &Hash, removed: bool) {
        if removed {
            self.remove(chunk);
        }
        self.lock().condemned.remove(chunk);
    }

    /// All chunks that are here.
    pub(super) fn all(&self) -> Vec<(Hash, u64, i64)> {
        let state = self.lock();
        state.held.iter().map(|(chunk, it)| (*chunk, it.bytes, it.used_unix_s)).collect()
    }

    /// How much is here.
    pub(super) fn stock(&self) -> Stock {
        let state = self.lock();
        Stock {
            chunks: state.held.len(),
            bytes: state.bytes,
            unreferenced_bytes: state.unreferenced_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(name: &[u8], stored_unix_s: i64) -> Held {
        Held { chunk: Hash::of(name), bytes: name.len() as u64, stored_unix_s }
    }

    #[test]
    fn the_stock_follows_what_comes_goes_and_is_referred_to() {
        let shelf = Shelf::default();
        shelf.add(held(b"one", 1), false);
        shelf.add(held(b"three", 1), true);
        shelf.add(held(b"three", 1), false);
        assert_eq!(shelf.stock(), Stock { chunks: 2, bytes: 8, unreferenced_bytes: 3 });
        shelf.refer([Hash::of(b"one"), Hash::of(b"none")]);
        assert_eq!(shelf.stock().unreferenced_bytes, 0);
        shelf.remove(&Hash::of(b"three"));
        shelf.remove(&Hash::of(b"three"));
        assert_eq!(shelf.stock(), Stock { chunks: 1, bytes: 3, unreferenced_bytes: 0 });
    }

    #[test]
    fn a_chunk_somebody_was_told_of_is_not_condemned() {
        let shelf = Shelf::default();
        let chunk = Hash::of(b"one");
        shelf.add(held(b"one", 100), false);
        assert!(!shelf.condemn(&chunk, 99));
        assert!(shelf.keep(&chunk, 200));
        assert!(!shelf.condemn(&chunk, 199));
        assert!(shelf.condemn(&chunk, 200));
        assert!(!shelf.keep(&chunk, 300) && shelf.bytes(&chunk).is_none());
        assert!(shelf.is_condemned(&chunk) && !shelf.condemn(&chunk, 200));
        shelf.end(&chunk, false);
        assert_eq!(shelf.bytes(&chunk), Some(3));
        assert!(shelf.condemn(&chunk, 200));
        shelf.end(&chunk, true);
        assert!(!shelf.keep(&chunk, 300) && !shelf.is_condemned(&chunk));
    }
}
