//! Erasures as readers of journals see them.

use std::sync::Weak;

use registry_proto::terms::LogId;

use super::{Erasures, Inner};
use crate::journals::Stored;

/// [`Erasures`] for readers of journals, which do not keep them: they lead to the index, and the index
/// leads to them.
#[derive(Clone, Debug)]
pub struct ErasuresSeen(pub(super) Weak<Inner>);

// === impl ErasuresSeen ===

impl ErasuresSeen {
    /// As [`Erasures::hide`]; `None` once the node has stopped.
    #[must_use]
    pub(crate) fn hide(&self, log: LogId, entries: &mut [Stored]) -> Option<()> {
        Erasures { inner: self.0.upgrade()? }.hide(log, entries);
        Some(())
    }
}
