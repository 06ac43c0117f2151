//! What is asked of a single entry of a batch, and of the place a checkpoint signs.

use std::collections::BTreeMap;

use registry_proto::{
    charter::LogCut,
    epoch::TakenReset,
    erasure::{self, Erasing},
    log::{
        Checkpoint, Hash, Header, Keyring, Origin, OwnerKeys, SignedCheckpoint, body_digest,
        leaf_hash,
    },
    terms::LogId,
    wire::peer::{Batch, BatchEntry, BodyState, ErasureProof},
};

/// What may excuse the bodies that are missing in a batch.
pub(super) struct Excuses<'a> {
    /// The tree that the batch is proved to belong to.
    pub(super) tree: Checkpoint,
    /// Keys of the owner.
    pub(super) keys: &'a Keyring,
    /// End of what counts of its log.
    pub(super) cut: Option<LogCut>,
    /// The resets that are taken: of other epochs nothing is believed.
    pub(super) resets: &'a BTreeMap<LogId, TakenReset>,
    /// The log is of this node's own Land: what a reset discarded of its erasures this node says again.
    pub(super) own: bool,
    /// The newest checkpoint that came with a proof, and counts.
    pub(super) later: Option<SignedCheckpoint>,
}

/// Whether a body is there, or missing for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promised {
    Yes,
    No,
    /// What a reset discarded says so, and this node is the owner, who says it again.
    Gone,
    /// Only what a reset discarded, or is not known to count, says so: who shows it may not know better.
    Discarded,
}

/// Bytes of an entry in a batch.
pub(super) fn entry_bytes(entry: &BatchEntry) -> usize {
    let proof = entry.erasure.as_ref().map_or(0, erasure::proof_bytes);
    entry.header.len() + entry.salt.len() + entry.body.len() + proof
}

/// True if what a checkpoint signs lies within what counts of the log.
pub(super) fn counts(cut: Option<LogCut>, signed: &SignedCheckpoint) -> bool {
    let place = (signed.checkpoint.origin.log.epoch, signed.size());
    cut.is_none_or(|it| {
        let end = (it.epoch, it.size);
        place < end || (place == end && *signed.root() == it.root)
    })
}

/// Whether the body is the one the header promises, or the owner itself has erased it: then the
/// erasure comes with the entry, proved in the tree of the batch, in that of the reset of a later epoch,
/// or under a checkpoint of one that runs, which comes with it. A partner that lacks a body for any
/// other reason is not a source for this entry.
pub(super) fn body_is_promised(
    entry: &BatchEntry,
    header: &Header,
    excuses: &mut Excuses<'_>,
) -> Promised {
    match (entry.body_state(), &entry.erasure) {
        (BodyState::Present, None) => {
            let salt = <&[u8; 16]>::try_from(entry.salt.as_ref());
            let promised = salt.is_ok_and(|salt| {
                entry.body.len() == header.body_length as usize
                    && body_digest(salt, &entry.body) == header.body_digest
            });
            if promised { Promised::Yes } else { Promised::No }
        }
        (BodyState::Erased, Some(proof)) if entry.salt.is_empty() && entry.body.is_empty() => {
            excuses.excuse(proof, header, &leaf_hash(&entry.header))
        }
        _ => Promised::No,
    }
}

// === impl Excuses ===

impl Excuses<'_> {
    fn excuse(&mut self, proof: &ErasureProof, target: &Header, leaf: &Hash) -> Promised {
        let Ok(header) = Header::parse(&proof.header) else { return Promised::No };
        let (stands, of) = (header.log, self.tree.origin);
        let ends = self.resets.get(&stands).map(|it| (it.said().size, it.said().root));
        let shown = !proof.checkpoint.is_empty();
        let tree = match (stands == of.log, ends) {
            (true, _) if !shown => self.tree,
            (false, _) if !self.has_begun(stands) => return Promised::No,
            // the owner may have signed two histories of it: its reset says which one counts
            (false, Some((size, root))) if !shown => {
                Checkpoint { origin: Origin { log: stands, ..of }, size, root }
            }
            (false, None) if !shown => return Promised::Discarded,
            (true, None) => return Promised::No,
            _ => match self.signed(stands, proof) {
                Some(signed) => signed.checkpoint,
                None => return Promised::No,
            },
        };
        let Ok(erasing) = erasure::verify(proof, target, leaf, &tree) else { return Promised::No };
        match ends.filter(|_| shown) {
            None => Promised::Yes,
            // what a reset discarded erases nothing
            Some((size, _)) if self.own && erasing.by >= size => Promised::Gone,
            Some(_) => Promised::Discarded,
        }
    }

    /// True for a later epoch of the same Land that is known here.
    fn has_begun(&self, log: LogId) -> bool {
        let of = self.tree.origin.log;
        let before = LogId { epoch: log.epoch.saturating_sub(1), ..log };
        log.land == of.land && log.epoch > of.epoch && self.resets.contains_key(&before)
    }

    /// The checkpoint that a proof brings, if it counts.
    fn signed(&mut self, log: LogId, proof: &ErasureProof) -> Option<&SignedCheckpoint> {
        // most proofs of a batch rest on the same one
        let is_same = |it: &SignedCheckpoint| {
            *it.raw() == proof.checkpoint && it.checkpoint.origin.log == log
        };
        if !self.later.as_ref().is_some_and(is_same) {
            let origin = Origin { log, ..self.tree.origin };
            let signed = self.keys.verify(&proof.checkpoint, &origin).ok()?;
            self.later = Some(signed).filter(|it| counts(self.cut, it));
        }
        self.later.as_ref()
    }
}

/// Takes the body out of an entry that is erased later in the same batch: it is not stored at all.
pub(super) fn withdraw(batch: &mut Batch, erasing: &Erasing) {
    let at = erasing.index.checked_sub(batch.first).and_then(|it| usize::try_from(it).ok());
    let Some(entry) = at.and_then(|at| batch.entries.get_mut(at)) else { return };
    let Ok(header) = Header::parse(&entry.header) else { return };
    if erasing.erases(&header, &leaf_hash(&entry.header)).is_ok() {
        let header = std::mem::take(&mut entry.header);
        *entry = BatchEntry { header, body_state: BodyState::Erased.into(), ..Default::default() };
    }
}
