//! What a reset keeps of an epoch: it names size and root, and says so also where checkpoints do not.
//!
//! An owner may have signed two histories, whether that is known or not, and then its signature does
//! not say which of them counts. So whoever holds what is kept is asked for that first, and each batch
//! is proved to be a beginning of that tree; whose checkpoints a partner holds does not matter. While
//! nobody has all of it the epoch is followed under checkpoints. What came so, or was here before the
//! reset, is held against what a partner proves, before anything is put behind it.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::{
    epoch::TakenReset,
    log::{Checkpoint, Frontier, Hash, SignedCheckpoint, leaf_hash},
    terms::LogId,
    wire::peer::Batch,
};

use super::{BatchFault, InFlight, Replica, Store};
use crate::{
    now::Now,
    replicate::{SessionId, doubts::Point, fault::PeerFault},
};

/// What a reset keeps of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// A checkpoint of the owner over all that a reset keeps, and maybe more.
#[derive(Clone, Debug)]
pub(super) struct Beyond {
    pub(super) signed: SignedCheckpoint,
    /// Consistency proof from what is kept to what it signs.
    pub(super) proof: Vec<Hash>,
}

/// What was verified of a batch.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) store: Store,
    /// A checkpoint of a later epoch that excuses missing bodies.
    pub(crate) later: Option<SignedCheckpoint>,
    /// A checkpoint that came with what a reset keeps.
    pub(crate) shown: Option<SignedCheckpoint>,
}

/// From whom a batch came, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came<'a> {
    pub(crate) session: SessionId,
    /// Its node.
    pub(crate) from: &'a str,
    pub(crate) now: Now,
    /// It runs under another charter.
    pub(crate) other_charter: bool,
}

/// Whether a tree begins with what a reset keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    Yes,
    No,
    /// It does not reach that far, or no reset is known.
    Unknown,
}

/// How the part that is here stands to what a partner proved to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proved {
    /// The proof does not reach its end yet.
    Onwards,
    /// It is the beginning of that.
    Same,
    /// It is another history.
    Other,
}

// === impl Kept ===

impl Kept {
    pub(crate) fn by(reset: &TakenReset) -> Self {
        Self { size: reset.said().size, root: reset.said().root }
    }
}

// === impl Replica ===

impl Replica {
    /// True when a reset ended the epoch, and all that counts of it is here or under way.
    pub(crate) fn is_over(&self) -> bool {
        self.ends.is_some_and(|it| self.received.size() >= it)
    }

    /// A reset ended the epoch; until the node begins again nothing is asked for by it.
    pub(crate) fn end(&mut self, size: u64) {
        self.ends = Some(size);
    }

    /// What is to be fetched as the reset keeps it, from whoever has it.
    pub(crate) fn seeks_kept(&self) -> Option<Kept> {
        let kept = self.keeps?;
        let log = self.origin.log;
        // behind the end of a log that the charter cut nothing is taken
        let cut = self.cut().is_some_and(|it| (it.epoch, it.size) < (log.epoch, kept.size));
        (!self.contradicted && !cut).then_some(kept)
    }

    /// True if checkpoints of its owner do not count, and nothing else is there to go by: nobody is
    /// asked for more.
    pub(crate) fn is_closed(&self) -> bool {
        let by_reset = self.seeks_kept().is_some();
        self.abandoned || self.contradicted || (self.stopped.is_some() && !by_reset)
    }

    /// Where a Follow begins.
    pub(crate) fn next(&self, kept: bool) -> u64 {
        if kept && self.is_unproved() { self.proved.size() } else { self.received.size() }
    }

    /// What a reset keeps, if all of it is durable here.
    pub(crate) fn holds_kept(&self) -> Option<Kept> {
        self.keeps.filter(|it| self.kept && self.durable >= it.size)
    }

    /// True if a part is here, and nothing says that it belongs to what a reset keeps.
    pub(crate) fn is_unproved(&self) -> bool {
        self.keeps.is_some() && self.received.size() > 0 && !self.kept
    }

    /// The same of an owner that is known to have signed two histories.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.evidence().is_some() && self.is_unproved()
    }

    /// Whether what is about to be here is known to be kept.
    pub(super) fn now_kept(&mut self, kept: bool) {
        if self.keeps.is_some() && self.kept && !kept {
            self.proved = self.received.clone();
        }
        self.kept = kept;
    }

    /// A checkpoint that signs exactly what is kept goes on to prove it to clients.
    pub(super) fn note_signed_end(&mut self, signed: &SignedCheckpoint) {
        let end = self.keeps.map(|it| (it.size, it.root));
        if end == Some((signed.size(), *signed.root())) {
            self.signs_kept = Some(signed.clone());
        }
    }

    /// Holds a part that [`Replica::is_unproved`] against a batch of what is kept, which is proved by
    /// itself, so that neither who holds the other history nor a liar can do harm.
    pub(crate) fn prove(
        &mut self,
        kept: Kept,
        batch: &Batch,
        session: SessionId,
    ) -> Result<(Proved, u64), PeerFault> {
        let bytes = self.check_size(batch, self.proved.size(), session)?;
        let mut tree = self.proved.clone();
        let mut same = None;
        for entry in &batch.entries {
            tree.push(leaf_hash(&entry.header));
            if tree.size() == self.received.size() {
                same = Some(tree.root() == self.received.root());
            }
        }
        let whole = Checkpoint { origin: self.origin, size: kept.size, root: kept.root };
        self.check_tree(batch, &whole, tree.size(), &tree.root())?;
        let proved = match same {
            None => Proved::Onwards,
            Some(true) => Proved::Same,
            Some(false) => Proved::Other,
        };
        match proved {
            Proved::Onwards => self.proved = tree,
            Proved::Same => self.kept = true,
            Proved::Other => self.contradicted = true,
        }
        Ok((proved, bytes))
    }

    /// Checks a batch of what a reset keeps by itself, from the bytes to the root that the reset
    /// names, and moves the verified tree on. On a fault nothing changes.
    ///
    /// With the last of it a checkpoint may come, so that it can be proved to clients. Whose history that
    /// signs its proof says: it leads from the root that the reset names.
    pub(crate) fn accept_kept(
        &mut self,
        kept: Kept,
        mut batch: Batch,
        came: Came<'_>,
        resets: &BTreeMap<LogId, TakenReset>,
    ) -> Result<Accepted, BatchFault> {
        let Came { session, from, now, other_charter } = came;
        let expected = self.received.size();
        let bytes = self.check_size(&batch, expected, session).map_err(BatchFault::Peer)?;
        let whole = Checkpoint { origin: self.origin, size: kept.size, root: kept.root };
        let (tree, _) = self.grown(&batch);
        let proof =
            self.check_tree(&batch, &whole, tree.size(), &tree.root()).map_err(BatchFault::Peer)?;
        // before its end a group leads to the reset, by which it is known at the next start
        let beyond = match tree.size() == kept.size {
            true => self.check_kept_checkpoint(&batch, kept, other_charter),
            false => Ok(None),
        };
        let beyond = beyond.map_err(BatchFault::Peer)?;
        // from here on the owner's offline key and most members stand behind the headers
        self.lend(&mut batch);
        let checked = self.check_entries(&batch, whole, resets)?;
        if checked.gone {
            self.may_lack(&batch, session, now)?;
        }
        self.kept = true;
        let shown = beyond.as_ref().map(|it| it.signed.clone());
        let exact = self.signs_kept.clone().map(|signed| Beyond { signed, proof: proof.clone() });
        let over = exact.or(beyond);
        let point = over.clone().map(|it| {
            let Beyond { signed, proof } = it;
            Point::under(tree.size(), tree.root(), signed, proof)
        });
        let flight = InFlight { tree, point, session, bytes };
        let (entries, later) = self.take(batch, checked, flight);
        let (note, note_size, proof) = match over {
            Some(Beyond { signed, proof }) => (signed.raw().clone(), signed.size(), proof),
            None => (Bytes::new(), kept.size, proof),
        };
        let (log, received_ms) = (self.origin.log, now.wall_ms);
        let from = from.to_owned();
        let store = Store { log, entries, note, note_size, proof, received_ms, from };
        Ok(Accepted { store, later, shown })
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
