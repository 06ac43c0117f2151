//! Reads ranges of logs and sends them as batches.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use registry_core::{
    fold::Position,
    limits,
    node::Input,
    replicate::{Examination, Found, Look, SendRange},
};
use registry_journal::{CheckpointRecord, Checkpointed, Reader, Stored, StoredBody};
use registry_proto::{
    erasure,
    log::{Continued, Hash, leaf_hash, prove_consistency, prove_inclusion, tree_root},
    terms::LogId,
    wire::peer::{Batch, BatchEntry, BodyState, ErasureProof},
};
use tracing::{error, warn};

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
    #[error("the erasure of {0} cannot be proved yet")]
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

    /// Reads a beginning of a log, then tells the driver.
    pub(crate) fn look(&self, wanted: Look, driver: Handle, shutdown: &Shutdown) {
        let reader = self.readers.get(&wanted.log).cloned();
        shutdown.spawn(TaskKind::Stream, async move {
            let (size, of) = (wanted.size, wanted.of);
            let look = move || look(reader.as_ref().ok_or(RangeError::UnknownLog)?, size, of);
            let looked = tokio::task::spawn_blocking(look).await.map_err(RangeError::Task);
            let unread = |failure: &RangeError| {
                error!(log = %wanted.log, size, cause = chain(failure), "cannot read a tree");
            };
            let found = looked.and_then(|it| it).inspect_err(unread).ok();
            // a driver that is gone asks nobody
            let _ = driver.input(Input::Looked { look: wanted, found }).await;
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
        let last_of_kept = range.note.is_empty() && end == range.upto;
        let (kept_checkpoint, kept_proof) =
            last_of_kept.then(|| signed_over(reader, range)).flatten().unwrap_or_default();
        let raw = |hash: &Hash| Bytes::copy_from_slice(hash.as_bytes());
        Ok(Batch {
            land: range.log.land.code().to_owned(),
            epoch: range.log.epoch,
            first: range.from,
            entries,
            checkpoint: range.note.clone(),
            proof: proof.iter().map(raw).collect(),
            follow: range.follow,
            kept_checkpoint,
            kept_proof: kept_proof.iter().map(raw).collect(),
        })
    }

    /// The entry as it travels; `None` if its body is erased and nothing that its receiver takes proves
    /// it yet.
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

    /// Why a body is missing; `None` while nothing here covers an erasure of it: the tree of the range, that
    /// of the reset of a later epoch, or a checkpoint of one that runs. Its owner takes it also from what
    /// a reset discarded, under a checkpoint.
    fn excuse(
        &self,
        reader: &Reader,
        (index, leaf): (u64, Hash),
        range: &SendRange,
    ) -> Result<Option<ErasureProof>, RangeError> {
        let entry = Position { log: range.log, index };
        for by in self.erasures.by(entry, leaf) {
            if by.log == range.log {
                if by.index < range.upto {
                    return prove_erasure(reader, by.index, range.upto).map(Some);
                }
                continue;
            }
            let Some(later) = self.readers.get(&by.log) else { continue };
            match self.erasures.counted(by.log) {
                Some(size) if size <= later.size() => {
                    return prove_erasure(later, by.index, size).map(Some);
                }
                Some(_) => {}
                None => {
                    if let Some(proof) = prove_signed(later, by.index)? {
                        return Ok(Some(proof));
                    }
                }
            }
        }
        let discarded = if range.to_owner { self.erasures.discarded(entry, leaf) } else { vec![] };
        for by in discarded {
            let Some(log) = self.readers.get(&by.log) else { continue };
            if let Some(proof) = prove_signed(log, by.index)? {
                return Ok(Some(proof));
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

/// A checkpoint over all of a range that a reset keeps, and how that leads to it; without one the
/// range goes alone.
fn signed_over(reader: &Reader, range: &SendRange) -> Option<(Bytes, Vec<Hash>)> {
    let Checkpointed { record, covers } = reader.checkpoint_over(range.upto.checked_sub(1)?)?;
    let CheckpointRecord { note, note_size: size, proof } = record;
    let tree = Continued { tiles: reader, here: covers, size, proof: &proof };
    match tree.prove_consistency(range.upto) {
        Ok(proof) => Some((note, proof)),
        Err(error) => {
            let cause = chain(&error);
            warn!(log = %range.log, size, cause, "what is kept is served without its checkpoint");
            None
        }
    }
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

/// The proof with a checkpoint of the owner; `None` while none is here that covers it.
fn prove_signed(reader: &Reader, by: u64) -> Result<Option<ErasureProof>, RangeError> {
    let Some(signed) = reader.last_complete_checkpoint().map(|it| it.record) else {
        return Ok(None);
    };
    if signed.note.is_empty() || by >= signed.note_size {
        return Ok(None);
    }
    let proof = prove_erasure(reader, by, signed.note_size)?;
    Ok(Some(ErasureProof { checkpoint: signed.note, ..proof }))
}

fn entry_bytes(entry: &BatchEntry) -> u64 {
    let proof = entry.erasure.as_ref().map_or(0, erasure::proof_bytes);
    (entry.header.len() + entry.salt.len() + entry.body.len() + proof) as u64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prost::Message as _;
    use registry_core::replicate::SessionId;
    use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options};
    use registry_proto::{
        log::{Checkpoint, Header, Kind, Origin, check_consistency},
        terms::Land,
        wire::registry::Erasure,
    };

    use super::*;
    use crate::{
        erasure::Ends,
        journals,
        testing::{Item, MemoryJournal, NUMBER_A, verbund},
    };

    const OLD: LogId = LogId { land: Land::SL, epoch: 1 };
    const NEW: LogId = LogId { land: Land::SL, epoch: 2 };

    fn journal(dir: &Path, log: LogId, entries: &[journals::Stored]) -> Journal {
        let label =
            Label { verbund: *verbund().as_bytes(), land: "SL".to_owned(), epoch: log.epoch };
        let dir = dir.join(log.epoch.to_string());
        let (mut journal, _) =
            Journal::open(&dir, &label, Options::default(), &mut |_| ()).expect("opens");
        let refs: Vec<_> = entries
            .iter()
            .map(|it| {
                let (salt, bytes) = it.body.as_ref().expect("a body");
                EntryRef { header: &it.header, body: Body::Present { salt, bytes } }
            })
            .collect();
        if refs.is_empty() {
            return journal;
        }
        let (note, note_size) = (Bytes::from_static(b"note"), refs.len() as u64);
        let checkpoint = &CheckpointRecord { note, note_size, proof: Vec::new() };
        let group = Group { entries: &refs, checkpoint, received_unix_ms: 1, from: "" };
        journal.append(&group).expect("durable");
        journal
    }

    /// Entry 1 of the first epoch is erased by entry 1 of the second, of which a reset keeps so much: the
    /// proof that comes with it, to its owner or somebody else.
    fn proof(keeps: Option<u64>, to_owner: bool) -> Result<ErasureProof, RangeError> {
        let dir = tempfile::tempdir().expect("a directory");
        let (old, mut new) = (MemoryJournal::of(Land::SL), MemoryJournal::of(Land::SL));
        for n in 0..3 {
            old.append(&[Item::Define(n, NUMBER_A)]);
        }
        new.log = NEW;
        let leaf = old.leaves()[1].as_bytes().to_vec().into();
        let said = Erasure { index: 1, leaf_hash: leaf, grund: "Probe".to_owned(), epoch: 1 };
        new.append(&[Item::Define(7, NUMBER_A)]);
        new.append(&[Item::Body(Kind::Erasure, 1, said.encode_to_vec().into())]);
        new.append(&[Item::Define(8, NUMBER_A)]);
        let mut old = journal(dir.path(), OLD, &old.entries());
        let mut new = journal(dir.path(), NEW, &new.entries());
        let erasures = Erasures::open(dir.path(), [OLD, NEW]).expect("opens");
        erasures.opened(OLD, 3, Some(Ends { counts: 3, known: 3 }));
        erasures.opened(NEW, 3, keeps.map(|counts| Ends { counts, known: 3 }));
        old.erase(1).expect("overwritten");
        erasures.resume(OLD, &mut old).expect("done");
        erasures.resume(NEW, &mut new).expect("done");
        let readers = [(OLD, old.reader()), (NEW, new.reader())];
        let ranges = Ranges::new(readers.into(), erasures);
        let range = SendRange {
            session: SessionId(1),
            log: OLD,
            from: 1,
            upto: 3,
            bytes: 1 << 20,
            note: Bytes::new(),
            follow: 1,
            to_owner,
        };
        let read = ranges.read(&old.reader(), &range);
        let proof = read.map(|it| it.entries[0].erasure.clone().expect("a proof"));
        proof.inspect(|proof| {
            let size = if proof.checkpoint.is_empty() { keeps.expect("a reset") } else { 3 };
            let root = tree_root(&new.reader(), size).expect("a tree");
            let tree = Checkpoint { origin: Origin { verbund: verbund(), log: NEW }, size, root };
            let target = old.reader().entry(1).expect("an entry").header;
            let header = Header::parse(&target).expect("a header");
            let erasing = erasure::verify(proof, &header, &leaf_hash(&target), &tree);
            assert_eq!(erasing.expect("is proved").by, 1);
        })
    }

    /// What goes with a batch of the first epoch, of which a reset keeps three of five entries; `size` are
    /// here, the last under a checkpoint of `signed`: its note, and whether it is proved.
    fn over((size, signed): (u64, u64), last: &'static [u8], bytes: usize) -> (Bytes, bool) {
        const KEPT: u64 = 3;
        let dir = tempfile::tempdir().expect("a directory");
        let memory = MemoryJournal::of(Land::SL);
        for n in 0..5 {
            memory.append(&[Item::Define(n, NUMBER_A)]);
        }
        let entries = memory.entries();
        let whole = journal(&dir.path().join("whole"), OLD, &entries).reader();
        let mut here = journal(dir.path(), OLD, &[]);
        for (end, stored) in (1..=size).zip(&entries) {
            let (salt, bytes) = stored.body.as_ref().expect("a body");
            let entries =
                &[EntryRef { header: &stored.header, body: Body::Present { salt, bytes } }];
            let (note, note_size) = if end == size { (last, signed) } else { (&b""[..], 5) };
            let proof = prove_consistency(&whole, end, note_size).expect("proved");
            let checkpoint = &CheckpointRecord { note: Bytes::from_static(note), note_size, proof };
            let group = Group { entries, checkpoint, received_unix_ms: 1, from: "" };
            here.append(&group).expect("durable");
        }
        let erasures = Erasures::open(dir.path(), [OLD]).expect("opens");
        let ranges = Ranges::new([(OLD, here.reader())].into(), erasures);
        let (session, log, note) = (SessionId(1), OLD, Bytes::new());
        let (from, upto, follow, to_owner) = (0, KEPT, 1, false);
        let range = SendRange { session, log, from, upto, bytes, note, follow, to_owner };
        let batch = ranges.read(&here.reader(), &range).expect("read");
        let proof: Vec<_> =
            batch.kept_proof.iter().map(|it| Hash::try_from(&it[..]).expect("a hash")).collect();
        let [old, new] = [KEPT, signed].map(|size| tree_root(&whole, size).expect("a tree"));
        let leads = check_consistency(&proof, KEPT, &old, signed, &new).is_ok();
        (batch.kept_checkpoint, leads)
    }

    #[test]
    fn the_last_of_what_is_kept_goes_with_a_checkpoint_over_it_if_there_is_one() {
        const WHOLE: usize = 1 << 20;
        // of just that, of more that is here, of more than is here, and of both
        for here in [(3, 3), (4, 4), (3, 5), (4, 5), (5, 5)] {
            assert_eq!(over(here, b"note", WHOLE), (Bytes::from_static(b"note"), true), "{here:?}");
        }
        assert!(over((3, 5), b"", WHOLE).0.is_empty());
        assert!(over((4, 5), b"note", 1).0.is_empty(), "before its end");
    }

    #[test]
    fn an_erasure_of_a_later_epoch_is_proved_as_its_receiver_takes_it() {
        for to_owner in [false, true] {
            // it runs; it ended and keeps the erasure
            assert_eq!(proof(None, to_owner).expect("served").checkpoint, "note");
            for keeps in [2, 3] {
                assert!(proof(Some(keeps), to_owner).expect("served").checkpoint.is_empty());
            }
        }
        // what is discarded only its owner is shown
        assert!(matches!(proof(Some(1), false), Err(RangeError::Erased(1))));
        assert_eq!(proof(Some(1), true).expect("served").checkpoint, "note");
        // the reset keeps more than is here
        assert!(matches!(proof(Some(4), true), Err(RangeError::Erased(1))));
    }
}
