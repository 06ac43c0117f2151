//! What one address or identity takes of something, at most.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts what is taken, per key. As large as the number of those who hold something.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    max: usize,
    taken: Mutex<HashMap<K, usize>>,
}

/// What someone holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Eq + Hash> {
    shares: Arc<Shares<K>>,
    key: K,
    amount: usize,
}

// === impl Shares ===

impl<K: Eq + Hash + Clone> Shares<K> {
    /// At most `max` for each key.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// A share of nothing yet.
    pub(crate) fn begin(self: &Arc<Self>, key: K) -> Share<K> {
        Share { shares: Arc::clone(self), key, amount: 0 }
    }

    /// A share of one; none if the key has its most.
    pub(crate) fn take(self: &Arc<Self>, key: K) -> Option<Share<K>> {
        let mut share = self.begin(key);
        share.grow(1).then_some(share)
    }
}

// === impl Share ===

impl<K: Eq + Hash + Clone> Share<K> {
    /// Takes more; false, and nothing changed, if that is too much.
    pub(crate) fn grow(&mut self, by: usize) -> bool {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let now = taken.get(&self.key).copied().unwrap_or_default().saturating_add(by);
        if now > self.shares.max {
            return false;
        }
        taken.insert(self.key.clone(), now);
        self.amount += by;
        true
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = taken.get_mut(&self.key) {
            *held = held.saturating_sub(self.amount);
            if *held == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_most_and_gives_it_back() {
        let shares = Shares::new(3);
        let one = shares.take("a").unwrap();
        let mut two = shares.begin("a");
        assert!(two.grow(2));
        assert!(!two.grow(1), "3 are held");
        assert!(shares.take("a").is_none());
        assert!(shares.take("b").is_some(), "another key has its own");
        drop(one);
        assert!(two.grow(1));
        drop(two);
        assert!(shares.taken.lock().unwrap().is_empty(), "nobody holds anything");
    }
}
