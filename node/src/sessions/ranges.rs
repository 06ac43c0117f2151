//! Reads ranges of logs and sends them as batches.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use registry_core::{
    fold::Position,
    limits,
    node::Input,
    replicate::{Examination, Found, SendRange},
};
use registry_journal::{Reader, Stored, StoredBody};
use registry_proto::{
    erasure,
    log::{Hash, leaf_hash, prove_consistency, prove_inclusion, tree_root},
    terms::LogId,
    wire::peer::{Batch, BatchEntry, BodyState, ErasureProof},
};
use tracing::error;

use crate::{
    driver::Handle,
    erasure::Erasures,
    lifecycle::{Shutdown, TaskKind, chain},
    sessions::Outgoing,
};

/// Ranges of at most this many entries are read where they are asked for: they were written a
/// moment ago and come from memory.
const INLINE_ENTRIES_MAX: u64 = 64;

/// The readers of all logs.
#[derive(Clone, Debug)]
pub struct Ranges {
    readers: Arc<BTreeMap<LogId, Reader>>,
    erasures: Erasures,
}

/// Why a range cannot be sent.
#[derive(Debug, thiserror::Error)]
enum RangeError {
    #[error("no journal of this log")]
    UnknownLog,
    #[error("cannot read the journal")]
    Read(#[source] registry_journal::ReadError),
    #[error("cannot prove the range")]
    Proof(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the erasure of {0} is not under the checkpoint of the range yet")]
    Erased(u64),
    #[error("the reading task died")]
    Task(#[source] tokio::task::JoinError),
}

// === impl Ranges ===

impl Ranges {
    /// Reads from these journals.
    pub fn new(readers: BTreeMap<LogId, Reader>, erasures: Erasures) -> Self {
        Self { readers: Arc::new(readers), erasures }
    }

    /// Reads and sends one batch, then tells the driver.
    pub(crate) fn send(
        &self,
        range: SendRange,
        outgoing: Outgoing,
        driver: Handle,
        shutdown: &Shutdown,
    ) {
        let ranges = self.clone();
        shutdown.spawn(TaskKind::Stream, async move {
            let input = match ranges.batch(&range).await {
                Ok(batch) => {
                    let next = batch.first + batch.entries.len() as u64;
                    let bytes = batch.entries.iter().map(entry_bytes).sum();
                    if !outgoing.send_batch(batch).await {
                        return; // the session is gone, and the core knows
                    }
                    Input::RangeSent { range, next, bytes }
                }
                Err(failure) => {
                    let cause = chain(&failure);
                    error!(log = %range.log, from = range.from, cause, "cannot serve a range");
                    Input::RangeFailed { range }
                }
            };
            // a driver that is gone serves nobody
            let _ = driver.input(input).await;
        });
    }

    /// Reads which root a log has at the size of a head in question, then tells the driver.
    pub(crate) fn examine(&self, examination: Examination, driver: Handle, shutdown: &Shutdown) {
        let reader = self.readers.get(&examination.log).cloned();
        shutdown.spawn(TaskKind::Stream, async move {
            let (old, new) = (examination.suspect.size(), examination.against.size());
            let look = move || look(reader.as_ref().ok_or(RangeError::UnknownLog)?, old, new);
            let looked = tokio::task::spawn_blocking(look).await.map_err(RangeError::Task);
            let found = match looked.and_then(|it| it) {
                Ok(found) => Some(found),
                Err(failure) => {
                    let cause = chain(&failure);
                    error!(log = %examination.log, size = old, cause, "cannot examine a head");
                    None
                }
            };
            // a driver that is gone judges nobody
            let examination = Box::new(examination);
            let _ = driver.input(Input::Examined { examination, found }).await;
        });
    }

    async fn batch(&self, range: &SendRange) -> Result<Batch, RangeError> {
        let reader = self.readers.get(&range.log).ok_or(RangeError::UnknownLog)?;
        if range.upto - range.from <= INLINE_ENTRIES_MAX {
            return self.read(reader, range);
        }
        let (ranges, reader, range) = (self.clone(), reader.clone(), range.clone());
        tokio::task::spawn_blocking(move || ranges.read(&reader, &range))
            .await
            .map_err(RangeError::Task)?
    }

    fn read(&self, reader: &Reader, range: &SendRange) -> Result<Batch, RangeError> {
        let wanted = usize::try_from(range.upto - range.from).unwrap_or(usize::MAX);
        let stored = reader
            .read(range.from, range.bytes, wanted.min(limits::BATCH_ENTRIES_MAX))
            .map_err(RangeError::Read)?;
        let (mut entries, mut bytes) = (Vec::with_capacity(stored.len()), 0);
        for stored in stored {
            let index = stored.index;
            let Some(entry) = self.batch_entry(reader, stored, range)? else {
                // what comes before it goes; the rest with the next checkpoint
                if entries.is_empty() {
                    return Err(RangeError::Erased(index));
                }
                break;
            };
            bytes += entry_bytes(&entry);
            if !entries.is_empty() && bytes > range.bytes as u64 {
                break;
            }
            entries.push(entry);
        }
        let end = range.from + entries.len() as u64;
        let proof = if end == range.upto {
            Vec::new()
        } else {
            prove_consistency(reader, end, range.upto)
                .map_err(|error| RangeError::Proof(Box::new(error)))?
        };
        let raw = |hash: &Hash| Bytes::copy_from_slice(hash.as_bytes());
        Ok(Batch {
            land: range.log.land.code().to_owned(),
            epoch: range.log.epoch,
            first: range.from,
            entries,
            checkpoint: range.note.clone(),
            proof: proof.iter().map(raw).collect(),
            follow: range.follow,
        })
    }

    /// The entry as it travels; `None` if its body is erased by an entry that the checkpoint of the range
    /// does not cover, nor one of a later epoch.
    fn batch_entry(
        &self,
        reader: &Reader,
        stored: Stored,
        range: &SendRange,
    ) -> Result<Option<BatchEntry>, RangeError> {
        let header = stored.header;
        let (salt, body, state) = match stored.body {
            StoredBody::Present { salt, bytes } => {
                (Bytes::copy_from_slice(&salt), bytes, BodyState::Present)
            }
            StoredBody::Withheld => (Bytes::new(), Bytes::new(), BodyState::Withheld),
            StoredBody::Erased => {
                let erasure = self.excuse(reader, (stored.index, leaf_hash(&header)), range)?;
                if erasure.is_none() {
                    return Ok(None);
                }
                let body_state = BodyState::Erased.into();
                return Ok(Some(BatchEntry { header, body_state, erasure, ..Default::default() }));
            }
        };
        Ok(Some(BatchEntry { header, salt, body, body_state: state.into(), erasure: None }))
    }

    /// Why a body is missing; `None` while no checkpoint here covers an erasure of it.
    fn excuse(
        &self,
        reader: &Reader,
        (index, leaf): (u64, Hash),
        range: &SendRange,
    ) -> Result<Option<ErasureProof>, RangeError> {
        for by in self.erasures.by(Position { log: range.log, index }, leaf) {
            if by.log == range.log {
                if by.index < range.upto {
                    return prove_erasure(reader, by.index, range.upto).map(Some);
                }
                continue;
            }
            let Some(later) = self.readers.get(&by.log) else { continue };
            let Some(signed) = later.last_complete_checkpoint() else { continue };
            if !signed.record.note.is_empty() && by.index < signed.record.note_size {
                let checkpoint = signed.record.note;
                let proof = prove_erasure(later, by.index, signed.record.note_size)?;
                return Ok(Some(ErasureProof { checkpoint, ..proof }));
            }
        }
        Ok(None)
    }
}

fn look(reader: &Reader, old: u64, new: u64) -> Result<Found, RangeError> {
    let proved = |error: Box<dyn std::error::Error + Send + Sync>| RangeError::Proof(error);
    let root = tree_root(reader, old).map_err(|error| proved(Box::new(error)))?;
    let proof = prove_consistency(reader, old, new).map_err(|error| proved(Box::new(error)))?;
    Ok(Found { root, proof })
}

fn prove_erasure(reader: &Reader, by: u64, size: u64) -> Result<ErasureProof, RangeError> {
    let stored = reader.entry(by).map_err(RangeError::Read)?;
    let StoredBody::Present { salt, bytes } = stored.body else {
        return Err(RangeError::Erased(by));
    };
    let path = prove_inclusion(reader, size, by);
    let path = path.map_err(|error| RangeError::Proof(Box::new(error)))?;
    Ok(erasure::prove(stored.header, salt, bytes, &path))
}

fn entry_bytes(entry: &BatchEntry) -> u64 {
    let proof = entry.erasure.as_ref().map_or(0, erasure::proof_bytes);
    (entry.header.len() + entry.salt.len() + entry.body.len() + proof) as u64
}
