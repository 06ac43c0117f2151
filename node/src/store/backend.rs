//! What a store needs of the engine below it.

use std::{collections::BTreeSet, error::Error};

use registry_core::{
    fold::{Fact, Position, keys},
    view::FactsError,
};

use super::{overlay::Generation, stamp::Stamp};

/// An engine that keeps facts. Only the store's writer thread changes it.
pub(super) trait Backend: Send + Sync + 'static {
    /// As [`registry_core::view::Facts::scan`].
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Fact>, FactsError>;

    /// The value of one fact.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FactsError>;

    /// Adds facts and replaces the stamp, both or nothing.
    fn apply(&self, facts: &Generation, stamp: &Stamp) -> Result<(), BackendError>;

    /// Removes everything, also from the disk. If it ends early, the stamp is gone.
    fn clear(&self) -> Result<(), BackendError>;

    /// Writes all facts but those of the `erased` entries to a new place, with the stamp, and destroys
    /// the old one: no byte of what is left out stays on the disk. Says how many facts were kept; the
    /// stamp there counts them. If it ends early, the old place counts.
    fn purge(&self, erased: &BTreeSet<Position>, stamp: &Stamp) -> Result<u64, BackendError>;

    /// Hands what was applied to the disk, as well as the engine can.
    fn flush(&self) -> Result<(), BackendError>;
}

/// The engine failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
pub(super) struct BackendError {
    /// What failed.
    pub(super) operation: &'static str,
    /// Why.
    #[source]
    pub(super) source: Box<dyn Error + Send + Sync>,
}

/// True if a key belongs to one of these entries.
pub(super) fn is_of(key: &[u8], entries: &BTreeSet<Position>) -> bool {
    !entries.is_empty() && keys::position(key).is_ok_and(|at| entries.contains(&at))
}
