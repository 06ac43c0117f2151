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
    /// The newest checkpoint of a later epoch that was looked at, and counts.
    pub(super) later: Option<SignedCheckpoint>,
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

/// True if the body is the one the header promises, or the owner itself has erased it: then the
/// erasure comes with the entry, proved in the tree of the batch, or under a checkpoint of a later
/// epoch that comes with it. A partner that lacks a body for any other reason is not a source for
/// this entry.
pub(super) fn body_is_promised(
    entry: &BatchEntry,
    header: &Header,
    excuses: &mut Excuses<'_>,
) -> bool {
    match (entry.body_state(), &entry.erasure) {
        (BodyState::Present, None) => {
            let Ok(salt) = <&[u8; 16]>::try_from(entry.salt.as_ref()) else { return false };
            entry.body.len() == header.body_length as usize
                && body_digest(salt, &entry.body) == header.body_digest
        }
        (BodyState::Erased, Some(proof)) => {
            let leaf = leaf_hash(&entry.header);
            entry.salt.is_empty() && entry.body.is_empty() && excuses.excuse(proof, header, &leaf)
        }
        _ => false,
    }
}

// === impl Excuses ===

impl Excuses<'_> {
    fn excuse(&mut self, proof: &ErasureProof, target: &Header, leaf: &Hash) -> bool {
        if proof.checkpoint.is_empty() {
            return erasure::verify(proof, target, leaf, &self.tree).is_ok();
        }
        let resets = self.resets;
        let Some(signed) = self.later_epoch(proof) else { return false };
        let ends = resets.get(&signed.checkpoint.origin.log).map(|it| it.said().size);
        let erasing = erasure::verify(proof, target, leaf, &signed.checkpoint);
        // what a reset discarded erases nothing
        erasing.is_ok_and(|it| ends.is_none_or(|ends| it.by < ends))
    }

    /// The checkpoint that a proof brings, if it is one of a later epoch that is known here.
    fn later_epoch(&mut self, proof: &ErasureProof) -> Option<&SignedCheckpoint> {
        // most proofs of a batch rest on the same one
        if self.later.as_ref().is_none_or(|it| *it.raw() != proof.checkpoint) {
            let of = self.tree.origin;
            let log = Header::parse(&proof.header).ok()?.log;
            let before = LogId { epoch: log.epoch.checked_sub(1)?, ..log };
            let follows = log.land == of.log.land && log.epoch > of.log.epoch;
            if !follows || !self.resets.contains_key(&before) {
                return None;
            }
            let signed = self.keys.verify(&proof.checkpoint, &Origin { log, ..of }).ok()?;
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
