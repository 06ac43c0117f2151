//! Facts between folder and backend: visible to readers, not yet in the backend.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use registry_core::fold::{Fact, Position};

use super::backend::is_of;

/// Facts in the order of their keys.
pub(super) type Generation = BTreeMap<Vec<u8>, Vec<u8>>;

/// Two generations: one that grows, one that the writer moves into the backend.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    active: Generation,
    flushing: Option<Arc<Generation>>,
}

// === impl Overlay ===

impl Overlay {
    pub(super) fn extend(&mut self, facts: Vec<Fact>) {
        self.active.extend(facts.into_iter().map(|fact| (fact.key, fact.value)));
    }

    /// Facts that still grow in number.
    pub(super) fn active(&self) -> usize {
        self.active.len()
    }

    /// Facts that are not in the backend.
    pub(super) fn len(&self) -> usize {
        self.active.len() + self.flushing.as_ref().map_or(0, |flushing| flushing.len())
    }

    /// Closes the active generation for the writer, who MUST call [`Self::flushed`] before the
    /// next.
    pub(super) fn rotate(&mut self) -> Arc<Generation> {
        let flushing = Arc::new(std::mem::take(&mut self.active));
        self.flushing = Some(Arc::clone(&flushing));
        flushing
    }

    /// Forgets the facts of these entries, as far as they are not on their way to the backend, and
    /// says how many those were.
    pub(super) fn forget(&mut self, erased: &BTreeSet<Position>) -> u64 {
        let before = self.active.len();
        self.active.retain(|key, _| !is_of(key, erased));
        (before - self.active.len()) as u64
    }

    /// The closed generation is in the backend.
    pub(super) fn flushed(&mut self) {
        self.flushing = None;
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.active.clear();
        self.flushing = None;
    }

    /// As [`registry_core::view::Facts::scan`].
    pub(super) fn scan(&self, from: &[u8], to: &[u8], reverse: bool, limit: usize) -> Vec<Fact> {
        let active = range(&self.active, from, to, reverse, limit);
        match &self.flushing {
            Some(flushing) => {
                merge(active, range(flushing, from, to, reverse, limit), reverse, limit)
            }
            None => active,
        }
    }

    /// The value of one fact.
    pub(super) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let flushing = || self.flushing.as_ref().and_then(|flushing| flushing.get(key));
        self.active.get(key).or_else(flushing).cloned()
    }
}

/// At most `limit` facts of a generation.
pub(super) fn range(
    generation: &Generation,
    from: &[u8],
    to: &[u8],
    reverse: bool,
    limit: usize,
) -> Vec<Fact> {
    if from >= to {
        return Vec::new();
    }
    let range = generation
        .range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)));
    let fact = |(key, value): (&Vec<u8>, &Vec<u8>)| Fact { key: key.clone(), value: value.clone() };
    if reverse {
        range.rev().take(limit).map(fact).collect()
    } else {
        range.take(limit).map(fact).collect()
    }
}

/// Merges two sorted answers; a fact that is in both counts once.
pub(super) fn merge(a: Vec<Fact>, b: Vec<Fact>, reverse: bool, limit: usize) -> Vec<Fact> {
    if a.is_empty() {
        return b;
    }
    if b.is_empty() {
        return a;
    }
    let mut merged = Vec::with_capacity((a.len() + b.len()).min(limit));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while merged.len() < limit {
        let from_a = match (a.peek(), b.peek()) {
            (None, None) => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(x), Some(y)) if x.key == y.key => {
                b.next();
                true
            }
            (Some(x), Some(y)) => (x.key < y.key) != reverse,
        };
        merged.extend(if from_a { a.next() } else { b.next() });
    }
    merged
}
