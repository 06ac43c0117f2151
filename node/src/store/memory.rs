//! A backend in memory, for tests.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use registry_core::{
    fold::{Fact, Position},
    view::FactsError,
};

use super::{
    backend::{Backend, BackendError, is_of},
    overlay::{self, Generation},
    stamp::Stamp,
};

/// Keeps facts as long as it lives.
#[derive(Debug, Default)]
pub(super) struct Memory {
    facts: Mutex<(Generation, Stamp)>,
}

impl Backend for Memory {
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Fact>, FactsError> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(overlay::range(&facts.0, from, to, reverse, limit))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FactsError> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(facts.0.get(key).cloned())
    }

    fn apply(&self, facts: &Generation, stamp: &Stamp) -> Result<(), BackendError> {
        let mut all = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.extend(facts.iter().map(|(key, value)| (key.clone(), value.clone())));
        all.1 = stamp.clone();
        Ok(())
    }

    fn clear(&self) -> Result<(), BackendError> {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
        Ok(())
    }

    fn purge(&self, erased: &BTreeSet<Position>, stamp: &Stamp) -> Result<u64, BackendError> {
        let mut all = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        all.0.retain(|key, _| !is_of(key, erased));
        let facts = all.0.len() as u64;
        all.1 = Stamp { facts, ..stamp.clone() };
        Ok(facts)
    }

    fn flush(&self) -> Result<(), BackendError> {
        Ok(())
    }
}
