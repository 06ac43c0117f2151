//! An owner that signs two histories, and shows some partners the one and all others the other.

use std::collections::BTreeSet;

use bytes::Bytes;
use registry_proto::{
    log::{
        Checkpoint, Frontier, Header, LogSigner, Origin, SignedCheckpoint, leaf_hash,
        prove_consistency,
    },
    terms::Land,
    wire::peer::{Batch, BatchEntry, Head, peer_message::Message},
};

use crate::sim::disk::DiskLog;

/// Who lies how. Both histories have the same number of entries at any time.
#[derive(Clone, Debug)]
pub(crate) struct Double {
    pub(crate) owner: Land,
    /// Entries that both histories begin with.
    pub(crate) fork: u64,
    /// Who is shown the other history.
    pub(crate) deceived: BTreeSet<Land>,
}

// === impl Double ===

impl Double {
    /// Changes what the owner says to one it deceives; false when it must not be said at all.
    pub(crate) fn twist(
        &self,
        origin: &Origin,
        signer: &LogSigner,
        held: &DiskLog,
        to: Land,
        message: &mut Message,
    ) -> bool {
        if matches!(message, Message::Evidence(_) | Message::Cosignatures(_)) {
            return false;
        }
        if !self.deceived.contains(&to) {
            return true;
        }
        let other = Other { fork: self.fork, origin, signer, held };
        match message {
            Message::Heads(heads) => heads.heads.iter_mut().for_each(|it| other.head(it)),
            Message::Beacon(beacon) => beacon.heads.iter_mut().for_each(|it| other.head(it)),
            Message::Batch(batch) => other.batch(batch),
            _ => {}
        }
        true
    }

    /// The owner does not let its own software hear what would convict it.
    pub(crate) fn deafen(
        &self,
        origin: &Origin,
        signer: &LogSigner,
        message: &mut Message,
    ) -> bool {
        let is_late = |head: &Head| {
            let note = SignedCheckpoint::verify(&head.checkpoint, origin, &signer.keys());
            head.land == self.owner.code() && note.is_ok_and(|it| it.size() > self.fork)
        };
        match message {
            Message::Heads(heads) => heads.heads.retain(|it| !is_late(it)),
            Message::Beacon(beacon) => beacon.heads.retain(|it| !is_late(it)),
            Message::Evidence(_) | Message::Cosignatures(_) => return false,
            _ => {}
        }
        true
    }
}

/// The history that the deceived see.
struct Other<'a> {
    fork: u64,
    origin: &'a Origin,
    signer: &'a LogSigner,
    held: &'a DiskLog,
}

// === impl Other ===

impl Other<'_> {
    fn entry(&self, index: u64, entry: &BatchEntry) -> BatchEntry {
        if index < self.fork {
            return entry.clone();
        }
        let mut header = Header::parse(&entry.header).expect("our own");
        header.principal = "p-double".to_owned();
        BatchEntry { header: header.encode().expect("encodable"), ..entry.clone() }
    }

    fn log(&self) -> DiskLog {
        let entries = self.held.entries.iter().zip(0..);
        let leaves = entries.map(|(it, index)| leaf_hash(&self.entry(index, it).header));
        DiskLog::of(leaves.collect())
    }

    /// What the owner signs in place of a note of its own.
    fn note(&self, note: &Bytes) -> Bytes {
        let Ok(signed) = SignedCheckpoint::verify(note, self.origin, &self.signer.keys()) else {
            return note.clone();
        };
        let mut tree = Frontier::default();
        let size = usize::try_from(signed.size()).expect("small");
        self.log().leaves.iter().take(size).for_each(|leaf| tree.push(*leaf));
        let checkpoint =
            Checkpoint { origin: *self.origin, size: signed.size(), root: tree.root() };
        checkpoint.sign(self.signer, signed.fresh_unix_seconds).expect("signed").raw().clone()
    }

    fn head(&self, head: &mut Head) {
        if head.land == self.origin.log.land.code() && !head.checkpoint.is_empty() {
            head.checkpoint = self.note(&head.checkpoint);
            head.held = Bytes::new();
        }
    }

    fn batch(&self, batch: &mut Batch) {
        if batch.land != self.origin.log.land.code() {
            return;
        }
        let end = batch.first + batch.entries.len() as u64;
        let signed = SignedCheckpoint::verify(&batch.checkpoint, self.origin, &self.signer.keys());
        let size = signed.expect("our own").size();
        batch.checkpoint = self.note(&batch.checkpoint);
        for (entry, index) in batch.entries.iter_mut().zip(batch.first..) {
            *entry = self.entry(index, entry);
        }
        let proof = prove_consistency(&self.log(), end, size).expect("held");
        batch.proof = proof.iter().map(|it| Bytes::copy_from_slice(it.as_bytes())).collect();
    }
}
