//! Entry and checkpoint records.

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};
use registry_proto::log::Hash;

use super::{
    BODY_BYTES_MAX, CHECKPOINT_PREFIX_BYTES, ENTRY_PREFIX_BYTES, HASH_BYTES, Mark, NOTE_BYTES_MAX,
    PROOF_HASHES_MAX, field, u32_at, u64_at,
};
use crate::{Body, CheckpointRecord, EntryRef};

/// Where the state of the body stands in an entry record, followed by its CRC and the salt.
pub(crate) const STATE_AT: usize = 40;

const TYPE_ENTRY: u8 = b'E';
const TYPE_CHECKPOINT: u8 = b'C';
const PRESENT: [u8; 4] = *b"BODY";
const WITHHELD: [u8; 4] = *b"HELD";
const ERASING: [u8; 4] = *b"ERAS";
const ERASED: [u8; 4] = *b"GONE";

/// State of a body on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Present,
    Withheld,
    Erasing,
    Erased,
}

/// The fixed part of a record whose CRC is right.
#[derive(Clone, Debug)]
pub(crate) enum Prefix {
    Entry(EntryPrefix),
    Checkpoint(CheckpointPrefix),
}

/// The fixed part of an entry record. Its lengths can be relied on.
#[derive(Clone, Debug)]
pub(crate) struct EntryPrefix {
    pub(crate) index: u64,
    pub(crate) received_unix_ms: i64,
    pub(crate) from_len: usize,
    pub(crate) header_len: usize,
    pub(crate) body_len: usize,
    pub(crate) salt: [u8; 16],
    crc: u32,
    head_crc: u32,
    state: [u8; 4],
    body_crc: u32,
}

/// The fixed part of a checkpoint record. Its lengths can be relied on.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointPrefix {
    pub(crate) entries: u32,
    pub(crate) covers: u64,
    pub(crate) note_size: u64,
    pub(crate) group_bytes: u32,
    pub(crate) root: Hash,
    proof_len: usize,
    note_len: usize,
    crc: u32,
    rest_crc: u32,
}

/// Bytes that an entry takes on disk.
pub(crate) fn entry_len(entry: &EntryRef<'_>, from: &str) -> usize {
    let body = match entry.body {
        Body::Present { bytes, .. } => bytes.len(),
        Body::Withheld | Body::Erased => 0,
    };
    ENTRY_PREFIX_BYTES + from.len() + entry.header.len() + body
}

/// Bytes that a checkpoint record takes on disk.
pub(crate) fn checkpoint_len(record: &CheckpointRecord) -> usize {
    CHECKPOINT_PREFIX_BYTES + record.proof.len() * HASH_BYTES + record.note.len()
}

/// Writes an entry record. The caller has checked the limits.
pub(crate) fn push_entry(
    out: &mut Vec<u8>,
    mark: &Mark,
    index: u64,
    received_unix_ms: i64,
    from: &str,
    entry: &EntryRef<'_>,
) {
    const NO_SALT: &[u8; 16] = &[0; 16];
    let (state, salt, body): (_, _, &[u8]) = match entry.body {
        Body::Present { salt, bytes } => (PRESENT, salt, bytes),
        Body::Withheld => (WITHHELD, NO_SALT, &[]),
        Body::Erased => (ERASED, NO_SALT, &[]),
    };
    let mut prefix = [0; ENTRY_PREFIX_BYTES];
    prefix[..8].copy_from_slice(mark);
    prefix[8] = TYPE_ENTRY;
    prefix[9] = from.len() as u8;
    prefix[10..12].copy_from_slice(&(entry.header.len() as u16).to_le_bytes());
    prefix[12..16].copy_from_slice(&(body.len() as u32).to_le_bytes());
    prefix[16..24].copy_from_slice(&index.to_le_bytes());
    prefix[24..32].copy_from_slice(&received_unix_ms.to_le_bytes());
    let crc = crc32c(&prefix[..32]);
    let head_crc = crc32c_append(crc32c_append(crc, from.as_bytes()), entry.header);
    prefix[32..36].copy_from_slice(&crc.to_le_bytes());
    prefix[36..40].copy_from_slice(&head_crc.to_le_bytes());
    prefix[40..44].copy_from_slice(&state);
    prefix[44..48].copy_from_slice(&body_crc(crc, state, salt, body).to_le_bytes());
    prefix[48..64].copy_from_slice(salt);
    out.extend_from_slice(&prefix);
    out.extend_from_slice(from.as_bytes());
    out.extend_from_slice(entry.header);
    out.extend_from_slice(body);
}

/// Writes a checkpoint record. The caller has checked the limits.
pub(crate) fn push_checkpoint(
    out: &mut Vec<u8>,
    mark: &Mark,
    entries: u32,
    covers: u64,
    root: &Hash,
    record: &CheckpointRecord,
) {
    let group_bytes = out.len() as u32;
    let start = out.len();
    out.resize(start + CHECKPOINT_PREFIX_BYTES, 0);
    for hash in &record.proof {
        out.extend_from_slice(hash.as_bytes());
    }
    out.extend_from_slice(&record.note);
    let (prefix, rest) = out[start..].split_at_mut(CHECKPOINT_PREFIX_BYTES);
    prefix[..8].copy_from_slice(mark);
    prefix[8] = TYPE_CHECKPOINT;
    prefix[9] = record.proof.len() as u8;
    prefix[10..12].copy_from_slice(&(record.note.len() as u16).to_le_bytes());
    prefix[12..16].copy_from_slice(&entries.to_le_bytes());
    prefix[16..24].copy_from_slice(&covers.to_le_bytes());
    prefix[24..32].copy_from_slice(&record.note_size.to_le_bytes());
    prefix[32..36].copy_from_slice(&group_bytes.to_le_bytes());
    prefix[36..68].copy_from_slice(root.as_bytes());
    let crc = crc32c(&prefix[..68]);
    prefix[68..72].copy_from_slice(&crc.to_le_bytes());
    prefix[72..76].copy_from_slice(&crc32c_append(crc, rest).to_le_bytes());
}

/// What an erasure leaves from [`STATE_AT`] on: the state first, so that it can also be written
/// alone, then CRC and salt. `body` is as long as the erased one and zero.
pub(crate) fn tombstone(entry: &EntryPrefix, body: &[u8]) -> ([u8; 4], [u8; 24]) {
    let mut after = [0; 24];
    after[..4].copy_from_slice(&ERASED);
    after[4..8].copy_from_slice(&body_crc(entry.crc, ERASED, &[0; 16], body).to_le_bytes());
    (ERASING, after)
}

fn body_crc(prefix_crc: u32, state: [u8; 4], salt: &[u8; 16], body: &[u8]) -> u32 {
    crc32c_append(crc32c_append(crc32c_append(prefix_crc, &state), salt), body)
}

// === impl Prefix ===

impl Prefix {
    /// Reads the fixed part of the record that `bytes` begin with. `None` if it is not intact.
    pub(crate) fn parse(bytes: &[u8], mark: &Mark) -> Option<Self> {
        if field::<8>(bytes, 0)? != *mark {
            return None;
        }
        match *bytes.get(8)? {
            TYPE_ENTRY => EntryPrefix::parse(bytes).map(Self::Entry),
            TYPE_CHECKPOINT => CheckpointPrefix::parse(bytes).map(Self::Checkpoint),
            _ => None,
        }
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> usize {
        match self {
            Self::Entry(entry) => entry.record_len(),
            Self::Checkpoint(checkpoint) => checkpoint.record_len(),
        }
    }
}

// === impl EntryPrefix ===

impl EntryPrefix {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let crc = u32_at(bytes, 32)?;
        let body_len = u32_at(bytes, 12)? as usize;
        if crc32c(bytes.get(..32)?) != crc || body_len > BODY_BYTES_MAX {
            return None;
        }
        Some(Self {
            index: u64_at(bytes, 16)?,
            received_unix_ms: i64::from_le_bytes(field(bytes, 24)?),
            from_len: usize::from(*bytes.get(9)?),
            header_len: usize::from(u16::from_le_bytes(field(bytes, 10)?)),
            body_len,
            salt: field(bytes, 48)?,
            crc,
            head_crc: u32_at(bytes, 36)?,
            state: field(bytes, STATE_AT)?,
            body_crc: u32_at(bytes, 44)?,
        })
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> usize {
        self.body_at() + self.body_len
    }

    /// Where the header begins in the record.
    pub(crate) fn header_at(&self) -> usize {
        ENTRY_PREFIX_BYTES + self.from_len
    }

    /// Where the body begins in the record.
    pub(crate) fn body_at(&self) -> usize {
        self.header_at() + self.header_len
    }

    /// Whether sender and header are intact; `record` is the whole record.
    pub(crate) fn head_is_intact(&self, record: &[u8]) -> bool {
        record
            .get(ENTRY_PREFIX_BYTES..self.body_at())
            .is_some_and(|head| crc32c_append(self.crc, head) == self.head_crc)
    }

    /// State of the body as it is written, unchecked.
    pub(crate) fn claimed_state(&self) -> Option<State> {
        match self.state {
            PRESENT => Some(State::Present),
            WITHHELD => Some(State::Withheld),
            ERASING => Some(State::Erasing),
            ERASED => Some(State::Erased),
            _ => None,
        }
    }

    /// State of the body; `None` if it is damaged. A body that is being erased has no CRC to
    /// compare with.
    pub(crate) fn state(&self, record: &[u8]) -> Option<State> {
        let state = self.claimed_state()?;
        if state == State::Erasing {
            return Some(state);
        }
        let body = record.get(self.body_at()..self.record_len())?;
        (body_crc(self.crc, self.state, &self.salt, body) == self.body_crc).then_some(state)
    }
}

// === impl CheckpointPrefix ===

impl CheckpointPrefix {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let crc = u32_at(bytes, 68)?;
        let proof_len = usize::from(*bytes.get(9)?);
        let note_len = usize::from(u16::from_le_bytes(field(bytes, 10)?));
        if crc32c(bytes.get(..68)?) != crc
            || proof_len > PROOF_HASHES_MAX
            || note_len > NOTE_BYTES_MAX
        {
            return None;
        }
        Some(Self {
            entries: u32_at(bytes, 12)?,
            covers: u64_at(bytes, 16)?,
            note_size: u64_at(bytes, 24)?,
            group_bytes: u32_at(bytes, 32)?,
            root: Hash::from_bytes(field(bytes, 36)?),
            proof_len,
            note_len,
            crc,
            rest_crc: u32_at(bytes, 72)?,
        })
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> usize {
        CHECKPOINT_PREFIX_BYTES + self.proof_len * HASH_BYTES + self.note_len
    }

    /// Whether there is a note, and it signs exactly what the group ends with.
    pub(crate) fn is_complete(&self) -> bool {
        self.note_len > 0 && self.note_size == self.covers
    }

    /// Whether proof and note are intact; `record` is the whole record.
    pub(crate) fn is_intact(&self, record: &[u8]) -> bool {
        record
            .get(CHECKPOINT_PREFIX_BYTES..self.record_len())
            .is_some_and(|rest| crc32c_append(self.crc, rest) == self.rest_crc)
    }

    /// The record; `None` if it is damaged.
    pub(crate) fn record(&self, record: &[u8]) -> Option<CheckpointRecord> {
        if !self.is_intact(record) {
            return None;
        }
        let note_at = CHECKPOINT_PREFIX_BYTES + self.proof_len * HASH_BYTES;
        let proof = record[CHECKPOINT_PREFIX_BYTES..note_at]
            .chunks_exact(HASH_BYTES)
            .map(Hash::try_from)
            .collect::<Result<_, _>>()
            .ok()?;
        let note = Bytes::copy_from_slice(&record[note_at..self.record_len()]);
        Some(CheckpointRecord { note, note_size: self.note_size, proof })
    }
}
