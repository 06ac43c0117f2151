//! What a reset keeps of an epoch, where no checkpoint of the owner says it any more.
//!
//! Once an owner is known to have signed two histories, its signature no longer says which of them
//! counts. The reset does: it names size and root of what is kept. So of a log that stopped, each
//! batch is proved to be a beginning of that tree; whose checkpoints a partner holds does not matter.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::{
    epoch::TakenReset,
    log::{Checkpoint, Frontier, Hash, SignedCheckpoint, leaf_hash},
    terms::LogId,
    wire::peer::Batch,
};

use super::{BatchFault, InFlight, Replica, Store};
use crate::{now::Now, replicate::SessionId};

/// What a reset keeps of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// Whether a tree begins with what a reset keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    Yes,
    No,
    /// It does not reach that far, or no reset is known.
    Unknown,
}

// === impl Kept ===

impl Kept {
    pub(crate) fn by(reset: &TakenReset) -> Self {
        Self { size: reset.said().size, root: reset.said().root }
    }
}

// === impl Replica ===

impl Replica {
    /// What is to be fetched as the reset keeps it: nothing of the log counts for another reason,
    /// and what is here already belongs to it.
    pub(crate) fn seeks_kept(&self) -> Option<Kept> {
        let kept = self.keeps?;
        let log = self.origin.log;
        // behind the end of a log that the charter cut nothing is taken
        let cut = self.cut().is_some_and(|it| (it.epoch, it.size) < (log.epoch, kept.size));
        (self.stopped.is_some() && !self.is_doubtful() && !cut).then_some(kept)
    }

    /// What a reset keeps, if all of it is durable here.
    pub(crate) fn holds_kept(&self) -> Option<Kept> {
        self.keeps.filter(|it| self.kept && self.durable >= it.size)
    }

    /// True if entries are here of an owner that signed two histories, and nothing says that they
    /// are of the one that its reset keeps.
    pub(crate) fn is_doubtful(&self) -> bool {
        let entries = self.received.size() > 0;
        self.keeps.is_some() && self.evidence().is_some() && entries && !self.kept
    }

    /// Checks a batch of what a reset keeps by itself, from the bytes to the root that the reset
    /// names, and moves the verified tree on. On a fault nothing changes.
    pub(crate) fn accept_kept(
        &mut self,
        kept: Kept,
        batch: Batch,
        session: SessionId,
        from: &str,
        now: Now,
        resets: &BTreeMap<LogId, TakenReset>,
    ) -> Result<(Store, Option<SignedCheckpoint>), BatchFault> {
        let bytes = self.check_size(&batch, session).map_err(BatchFault::Peer)?;
        let whole = Checkpoint { origin: self.origin, size: kept.size, root: kept.root };
        let (tree, _) = self.grown(&batch);
        let proof =
            self.check_tree(&batch, &whole, tree.size(), &tree.root()).map_err(BatchFault::Peer)?;
        // from here on the owner's offline key and most members stand behind the headers
        let checked = self.check_entries(&batch, whole, resets)?;
        self.kept = true;
        let flight = InFlight { tree, point: None, session, bytes };
        let (entries, later) = self.take(batch, checked, flight);
        let store = Store {
            log: self.origin.log,
            entries,
            note: Bytes::new(),
            note_size: kept.size,
            proof,
            received_ms: now.wall_ms,
            from: from.to_owned(),
        };
        Ok((store, later))
    }

    /// The tree with the entries of a batch, and whether it begins with what a reset keeps.
    pub(super) fn grown(&self, batch: &Batch) -> (Frontier, Fits) {
        let mut tree = self.received.clone();
        let mut fits = Fits::Unknown;
        for entry in &batch.entries {
            tree.push(leaf_hash(&entry.header));
            if let Some(kept) = self.keeps.filter(|it| it.size == tree.size()) {
                fits = if tree.root() == kept.root { Fits::Yes } else { Fits::No };
            }
        }
        (tree, fits)
    }
}
