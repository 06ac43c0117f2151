//! What is asked of a single entry of a batch, and of the place a checkpoint signs.

use registry_proto::{
    charter::LogCut,
    erasure::{self, Erasing},
    log::{Header, SignedCheckpoint, body_digest, leaf_hash},
    wire::peer::{Batch, BatchEntry, BodyState},
};

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
/// erasure comes with the entry, proved under the checkpoint of the batch. A partner that lacks a
/// body for any other reason is not a source for this entry.
pub(super) fn body_is_promised(
    entry: &BatchEntry,
    header: &Header,
    signed: &SignedCheckpoint,
) -> bool {
    match (entry.body_state(), &entry.erasure) {
        (BodyState::Present, None) => {
            let Ok(salt) = <&[u8; 16]>::try_from(entry.salt.as_ref()) else { return false };
            entry.body.len() == header.body_length as usize
                && body_digest(salt, &entry.body) == header.body_digest
        }
        (BodyState::Erased, Some(proof)) => {
            let leaf = leaf_hash(&entry.header);
            entry.salt.is_empty()
                && entry.body.is_empty()
                && erasure::verify(proof, header, &leaf, signed.size(), signed.root()).is_ok()
        }
        _ => false,
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
