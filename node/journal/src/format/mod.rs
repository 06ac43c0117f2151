//! The bytes on disk, format level 1. Integers are little-endian; CRC is CRC32C.
//!
//! # Segment, `<first index, 20 digits>.seg`
//!
//! Header of `128 + 32 * peaks` bytes; a tree of `first index` leaves has as many peaks as
//! that number has one bits:
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `RGJSEG\r\n` |
//! | 8..12 | format level |
//! | 12..16 | CRC of the header without these four bytes |
//! | 16..24 | mark: random, first byte not zero |
//! | 24..32 | first index |
//! | 32..40 | epoch |
//! | 40..72 | Verbund |
//! | 72 | bytes of the Land, 1 to 48 |
//! | 73..80 | zero |
//! | 80..128 | Land, filled with zeros |
//! | 128.. | peaks of the tree before the first index, largest first |
//!
//! Groups follow: entry records with consecutive indexes, then one checkpoint record. A group
//! never spans segments. Zeros after the last group are the normal end of the newest segment.
//! Every record begins with the segment's mark, which nobody outside this directory knows: after
//! a damaged record the next one is found by it, and no body can imitate a record.
//!
//! # Entry record
//!
//! | bytes | field | part |
//! |---|---|---|
//! | 0..8 | mark | prefix |
//! | 8 | type `E` | prefix |
//! | 9 | bytes of the sender's name, F | prefix |
//! | 10..12 | bytes of the header, H | prefix |
//! | 12..16 | bytes of the body, B, without salt | prefix |
//! | 16..24 | index | prefix |
//! | 24..32 | received at, milliseconds of Unix time (local envelope, not in the leaf) | prefix |
//! | 32..36 | CRC of the prefix | |
//! | 36..40 | CRC of the head: continues the prefix's over sender and header | |
//! | 40..44 | state of the body: `BODY` present, `HELD` withheld, `ERAS` being erased, `GONE` erased | body |
//! | 44..48 | CRC of the body: continues the prefix's over state, salt and body | |
//! | 48..64 | salt | body |
//! | 64..64+F | sender's name (local envelope, not in the leaf) | head |
//! | ..+H | header, the leaf | head |
//! | ..+B | body | body |
//!
//! An erasure overwrites state, CRC, salt and body in place; nothing else changes.
//!
//! # Checkpoint record
//!
//! | bytes | field | part |
//! |---|---|---|
//! | 0..8 | mark | prefix |
//! | 8 | type `C` | prefix |
//! | 9 | hashes of the proof, P | prefix |
//! | 10..12 | bytes of the note, N | prefix |
//! | 12..16 | entries of the group | prefix |
//! | 16..24 | size of the log after the group | prefix |
//! | 24..32 | size that the note signs | prefix |
//! | 32..36 | bytes of the group before this record | prefix |
//! | 36..68 | root of the tree after the group | prefix |
//! | 68..72 | CRC of the prefix | |
//! | 72..76 | CRC that continues the prefix's over proof and note | |
//! | 76.. | proof, 32 bytes a hash; note | |
//!
//! # Derived files
//!
//! Where they are missing or wrong they are made again from the segments.
//!
//! `<first index>.idx` is written when a segment is sealed, which is before the next one begins:
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | magic `RGJIDX\r\n` |
//! | 8..12 | format level |
//! | 12..16 | CRC of the file without these four bytes |
//! | 16..24 | mark of the segment |
//! | 24..32 | first index |
//! | 32..40 | end of the last record in the segment |
//! | 40..44 | offset of the last checkpoint record, 0 if there is none |
//! | 44..48 | offset of the last one whose note signs the size after its group, 0 if none |
//! | 48.. | offset of each entry, four bytes; 0 for one that was not found |
//!
//! `tiles/<level>.hashes`: 32 bytes a hash. Level 0 has the leaf hashes, level n the roots of the
//! complete subtrees of 256^n leaves.
//!
//! # Erasure under way
//!
//! `erasing` stands in the directory from before an erasure touches a segment until it is
//! durable; opening the journal completes it: magic `RGJERA\r\n`, index (8 bytes), CRC of both.

mod record;
mod sealed;

use registry_proto::log::Hash;

pub(crate) use self::{
    record::{
        EntryPrefix, Prefix, STATE_AT, State, checkpoint_len, entry_len, push_checkpoint,
        push_entry, tombstone,
    },
    sealed::{HeaderFault, Intent, SegmentHeader, SegmentIndex, header_len},
};

/// Bytes of a header.
pub const HEADER_BYTES_MAX: usize = 65_535;
/// Bytes of a body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of a sender's name.
pub const FROM_BYTES_MAX: usize = 255;
/// Bytes of a note.
pub const NOTE_BYTES_MAX: usize = 8 << 10;
/// Hashes of a consistency proof.
pub const PROOF_HASHES_MAX: usize = 64;
/// Bytes of the code of a Land.
pub const LAND_BYTES_MAX: usize = 48;
/// Bytes of a group on disk.
pub const GROUP_BYTES_MAX: usize = 256 << 20;

/// Bytes of a segment after which a new one begins, at most.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Format level written.
pub(crate) const LEVEL: u32 = 1;
/// Bytes before the variable part of an entry record.
pub(crate) const ENTRY_PREFIX_BYTES: usize = 64;
/// Bytes before the variable part of a checkpoint record.
pub(crate) const CHECKPOINT_PREFIX_BYTES: usize = 76;
/// Bytes of the longest record.
pub(crate) const RECORD_BYTES_MAX: usize =
    ENTRY_PREFIX_BYTES + FROM_BYTES_MAX + HEADER_BYTES_MAX + BODY_BYTES_MAX;
/// Bytes of a hash.
pub(crate) const HASH_BYTES: usize = size_of::<Hash>();

/// What all records of a segment begin with.
pub(crate) type Mark = [u8; 8];

const CHECKPOINT_BYTES_MAX: usize =
    CHECKPOINT_PREFIX_BYTES + PROOF_HASHES_MAX * HASH_BYTES + NOTE_BYTES_MAX;

const _: () = assert!(HASH_BYTES == 32);
const _: () = assert!(HEADER_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(NOTE_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(BODY_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(FROM_BYTES_MAX <= u8::MAX as usize);
const _: () = assert!(PROOF_HASHES_MAX <= u8::MAX as usize);
const _: () = assert!(CHECKPOINT_BYTES_MAX <= RECORD_BYTES_MAX);
const _: () = assert!(GROUP_BYTES_MAX >= RECORD_BYTES_MAX + CHECKPOINT_BYTES_MAX);
// offsets in a segment are stored as u32
const _: () = assert!(SEGMENT_BYTES_MAX + (GROUP_BYTES_MAX as u64) + 4096 < u32::MAX as u64);

/// Fixed-size field of `bytes`, if it is long enough.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    field(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    field(bytes, at).map(u64::from_le_bytes)
}
