//! Chunks that no version in any log here refers to go, once they were not used for the grace
//! period. What cannot be known to be unreferenced stays.

use std::time::Duration;

use registry_core::reject::Reject;
use registry_proto::wire::admin::CollectArtefactsResponse;
use tracing::{info, warn};

use super::{Artefacts, store_failed};
use crate::index::Index;

/// What a collection found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Chunks stored here.
    pub chunks: u64,
    /// Those no version refers to.
    pub unreferenced: u64,
    /// Those of them that are too new, or were asked for lately.
    pub kept: u64,
    /// Those of them that were removed, or would be.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
}

/// Collects once a day, the first time a day after the start: by then everyone who was told of a
/// chunk before the start has used it.
pub(super) async fn daily(artefacts: Artefacts, index: Index, grace: Duration) {
    loop {
        tokio::time::sleep(DAY).await;
        match artefacts.collect(&index, grace, false).await {
            Ok(collected) => info!(?collected, "artefacts collected"),
            Err(reject) => warn!(%reject, "artefacts are not collected today"),
        }
    }
}

// === impl Artefacts ===

impl Artefacts {
    /// Marks what versions refer to and removes the rest, or only counts it.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] with `ARTEFACT_MARK` if a journal cannot be read to its end: it may
    /// refer to anything. [`Reject::Unavailable`] with `ARTEFACT_STORE` if the store fails; what
    /// was removed before that is gone.
    pub async fn collect(
        &self,
        index: &Index,
        grace: Duration,
        dry_run: bool,
    ) -> Result<Collected, Reject> {
        self.list().await.map_err(|failure| store_failed(&failure))?;
        if !self.catch_up(index).await {
            return Err(unmarked());
        }
        let inner = &self.inner;
        let grace = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let before = (inner.clock)().saturating_sub(grace);
        let mut collected = Collected::default();
        for (chunk, bytes, used) in inner.shelf.all() {
            collected.chunks += 1;
            if inner.known.refers(&chunk) {
                continue;
            }
            collected.unreferenced += 1;
            let goes = if dry_run { used <= before } else { inner.shelf.condemn(&chunk, before) };
            if !goes {
                collected.kept += 1;
                continue;
            }
            if !dry_run && !self.sweep(&chunk).await? {
                collected.kept += 1;
                continue;
            }
            collected.removed += 1;
            collected.removed_bytes += bytes;
        }
        self.show_stock();
        Ok(collected)
    }

    /// Removes what only erased versions named, whenever it was used last. `after_restart` removes
    /// all that no version names: which chunks those were is not known any more.
    ///
    /// # Errors
    ///
    /// As [`Self::collect`].
    pub async fn forget_erased(&self, index: &Index, after_restart: bool) -> Result<(), Reject> {
        if after_restart {
            return self.collect(index, Duration::ZERO, false).await.map(|_| ());
        }
        self.list().await.map_err(|failure| store_failed(&failure))?;
        let (inner, journals) = (self.inner.clone(), index.journals().clone());
        let renewed = tokio::task::spawn_blocking(move || inner.known.renew(&journals)).await;
        let orphans = renewed.ok().flatten().ok_or_else(unmarked)?;
        // nobody fetches any more what nobody names
        self.plan();
        for chunk in orphans {
            if self.inner.shelf.condemn(&chunk, i64::MAX) {
                self.sweep(&chunk).await?;
            }
        }
        self.show_stock();
        Ok(())
    }

    /// Removes a condemned chunk unless a version came to refer to it.
    pub(super) async fn sweep(&self, chunk: &registry_proto::log::Hash) -> Result<bool, Reject> {
        let inner = &self.inner;
        if inner.known.refers(chunk) {
            inner.shelf.end(chunk, false);
            return Ok(false);
        }
        let deleted = inner.store.delete(chunk).await;
        inner.shelf.end(chunk, deleted.is_ok());
        deleted.map_err(|failure| store_failed(&failure))?;
        inner.metrics.artefacts().collected();
        Ok(true)
    }
}

// === impl Collected ===

impl From<Collected> for CollectArtefactsResponse {
    fn from(it: Collected) -> Self {
        Self {
            chunks: it.chunks,
            unreferenced: it.unreferenced,
            kept: it.kept,
            removed: it.removed,
            removed_bytes: it.removed_bytes,
        }
    }
}

fn unmarked() -> Reject {
    Reject::Unavailable {
        reason: "ARTEFACT_MARK",
        description: "a journal cannot be read to its end, so that nothing can be known to be \
                      unreferenced; registry status names it"
            .to_owned(),
    }
}

const DAY: Duration = Duration::from_secs(24 * 3_600);
