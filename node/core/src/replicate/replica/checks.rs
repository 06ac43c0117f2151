//! What a batch must be before anything of it is stored.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::{
    epoch::{Reset, TakenReset},
    erasure::Erasing,
    log::{Checkpoint, Hash, Header, Kind, SignedCheckpoint, check_consistency},
    terms::LogId,
    wire::peer::Batch,
};

use super::{
    BatchFault, Replica,
    kept::{Beyond, Kept},
};
use crate::{
    limits,
    replicate::{
        SessionId,
        entries::{Excuses, Promised, body_is_promised, entry_bytes},
        fault::{OwnerFault, PeerFault},
    },
};

/// What the entries of a batch say.
pub(super) struct Checked {
    pub(super) recorded_ms: i64,
    pub(super) erasures: Vec<Erasing>,
    pub(super) later: Option<SignedCheckpoint>,
    /// Bodies are missing that another partner may have.
    pub(super) gone: bool,
}

impl Replica {
    /// Drops what comes before `next` from the front of a batch: after a new Follow, batches of the
    /// old one may still arrive. Gives back the bytes when nothing is left.
    pub(crate) fn trim(mut batch: Batch, next: u64) -> Result<Batch, u64> {
        let have = next.saturating_sub(batch.first);
        if have == 0 {
            return Ok(batch);
        }
        if have >= batch.entries.len() as u64 {
            return Err(batch.entries.iter().map(entry_bytes).sum::<usize>() as u64);
        }
        batch.entries.drain(..usize::try_from(have).unwrap_or(usize::MAX));
        batch.first += have;
        Ok(batch)
    }

    pub(super) fn check_size(
        &self,
        batch: &Batch,
        expected: u64,
        session: SessionId,
    ) -> Result<u64, PeerFault> {
        let log = self.origin.log;
        if batch.first != expected {
            return Err(PeerFault::NotContiguous { log, first: batch.first, expected });
        }
        let bytes: usize = batch.entries.iter().map(entry_bytes).sum();
        let entries = batch.entries.len();
        let too_large = bytes > limits::BATCH_BYTES_MAX && entries > 1;
        if entries == 0 || entries > limits::BATCH_ENTRIES_MAX || too_large {
            return Err(PeerFault::BatchSize { log, entries, bytes });
        }
        let bytes = bytes as u64;
        // twice the credit: what was under way when this node followed here anew may still land,
        // and the last batch may begin within the credit and end beyond it. Groups of former
        // sources do not count, they had a credit of their own
        let under_way: u64 =
            self.flights.iter().filter(|it| it.session == session).map(|it| it.bytes).sum();
        if under_way > 2 * limits::FOLLOW_CREDIT_BYTES {
            return Err(PeerFault::CreditExceeded { log });
        }
        Ok(bytes)
    }

    pub(super) fn check_tree(
        &self,
        batch: &Batch,
        whole: &Checkpoint,
        upto: u64,
        root: &Hash,
    ) -> Result<Vec<Hash>, PeerFault> {
        let log = self.origin.log;
        if upto > whole.size {
            return Err(PeerFault::BatchBeyondCheckpoint { log, upto, signed: whole.size });
        }
        let proof = self.hashes(batch, &batch.proof)?;
        check_consistency(&proof, upto, root, whole.size, &whole.root)
            .map_err(|source| PeerFault::Proof { log, source })?;
        Ok(proof)
    }

    /// A checkpoint of the owner over all that is kept, which may come with the last of that, and how that
    /// leads to it. What counts under another charter only is left out: the reset vouches for the entries.
    pub(super) fn check_kept_checkpoint(
        &self,
        batch: &Batch,
        kept: Kept,
        other_charter: bool,
    ) -> Result<Option<Beyond>, PeerFault> {
        if batch.kept_checkpoint.is_empty() {
            return Ok(None);
        }
        let signed = match self.verify(&batch.kept_checkpoint) {
            Ok(signed) => signed,
            Err(PeerFault::BeyondCut { .. }) => return Ok(None),
            Err(PeerFault::Checkpoint { .. }) if other_charter => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let (log, upto, size) = (self.origin.log, kept.size, signed.size());
        if upto > size {
            return Err(PeerFault::BatchBeyondCheckpoint { log, upto, signed: size });
        }
        let proof = self.hashes(batch, &batch.kept_proof)?;
        check_consistency(&proof, upto, &kept.root, size, signed.root())
            .map_err(|source| PeerFault::Proof { log, source })?;
        Ok(Some(Beyond { signed, proof }))
    }

    fn hashes(&self, of: &Batch, proof: &[Bytes]) -> Result<Vec<Hash>, PeerFault> {
        let (log, entries) = (self.origin.log, of.entries.len());
        let hash = |it: &Bytes| {
            let fault = |_| PeerFault::BatchSize { log, entries, bytes: it.len() };
            Hash::try_from(it.as_ref()).map_err(fault)
        };
        proof.iter().map(hash).collect()
    }

    /// Recorded time of the last entry, the erasures among them, and a checkpoint of a later epoch that
    /// runs and excuses missing bodies. The batch MUST be proved to belong to `tree`.
    pub(super) fn check_entries(
        &self,
        batch: &Batch,
        tree: Checkpoint,
        resets: &BTreeMap<LogId, TakenReset>,
    ) -> Result<Checked, BatchFault> {
        let log = self.origin.log;
        let (keys, cut, own) = (&self.keys, self.cut(), self.own);
        let mut excuses = Excuses { tree, keys, cut, resets, own, later: None };
        let mut recorded_ms = self.received_recorded_ms;
        let (mut erasures, mut gone) = (Vec::new(), false);
        for (index, entry) in (batch.first..).zip(&batch.entries) {
            let header = Header::parse(&entry.header)
                .map_err(|source| BatchFault::Owner(OwnerFault::Header { log, index, source }))?;
            let here =
                header.verbund == self.origin.verbund && header.log == log && header.index == index;
            if !here {
                let said = format!("{}/{} of {}", header.log, header.index, header.verbund);
                return Err(BatchFault::Owner(OwnerFault::Misplaced { log, index, said }));
            }
            if header.recorded_unix_ms < recorded_ms {
                return Err(BatchFault::Owner(OwnerFault::TimeWentBack { log, index }));
            }
            recorded_ms = header.recorded_unix_ms;
            match body_is_promised(entry, &header, &mut excuses) {
                Promised::Yes => {}
                Promised::Gone => gone = true,
                Promised::No => return Err(BatchFault::Peer(PeerFault::Body { log, index })),
                Promised::Discarded => return Err(BatchFault::OtherHistory),
            }
            if !self.begins_right(&header, &entry.body) {
                return Err(BatchFault::Owner(OwnerFault::Beginning { log, index }));
            }
            // one that names nothing erases nothing
            erasures.extend(Erasing::read(&header, &entry.body).ok());
        }
        let runs = |it: &SignedCheckpoint| !resets.contains_key(&it.checkpoint.origin.log);
        Ok(Checked { recorded_ms, erasures, later: excuses.later.filter(runs), gone })
    }

    /// True unless the entry is out of place at the beginning of an epoch: every one but the first
    /// begins with the reset that made it, and has no other.
    fn begins_right(&self, header: &Header, body: &Bytes) -> bool {
        match self.begins.filter(|_| header.index == 0) {
            None => header.kind != Kind::EpochReset,
            Some(digest) => {
                header.kind == Kind::EpochReset
                    && Reset::read(body).is_ok_and(|it| it.digest() == digest)
            }
        }
    }
}
