//! The truth on disk of one log: one epoch of one Land, in append-only segment files and hash
//! tiles.
//!
//! A [`Journal`] is the only writer; each [`Reader`] sees what is durable and nothing else. What
//! one [`Journal::append`] takes, the group, becomes durable with one write and one `fdatasync`,
//! or not at all. The bytes on disk are described in [`mod@format`].
//!
//! This crate knows no protobuf and no network: headers, bodies and notes are byte strings. It
//! verifies checksums, leaf hashes and the tree, but neither signatures nor body digests.
//!
//! ```text
//! <dir>/00000000000000000000.seg     entries and checkpoint records
//! <dir>/00000000000000000000.idx     where they stand; derived, sealed segments only
//! <dir>/tiles/0.hashes               leaf hashes; derived
//! <dir>/tiles/1.hashes               roots of 256 leaves; derived
//! <dir>/erasing                      only while an erasure is under way
//! <dir>/*.aside                      records that were taken away; nothing reads them
//! ```

mod disk;
mod erase;
mod error;
#[cfg(test)]
mod faults;
pub mod format;
mod journal;
mod look;
mod open;
mod reader;
mod report;
mod retile;
mod retreat;
mod scan;
mod scrub;
mod segment;
mod tiles;

use std::sync::Arc;

use bytes::Bytes;
use registry_proto::log::Hash;

pub use crate::{
    error::{AppendError, EraseError, OpenError, ReadError},
    format::{
        BODY_BYTES_MAX, FROM_BYTES_MAX, GROUP_BYTES_MAX, HEADER_BYTES_MAX, LAND_BYTES_MAX,
        NOTE_BYTES_MAX, PROOF_HASHES_MAX,
    },
    journal::{Journal, Options},
    look::{Looked, look},
    reader::{READ_BYTES_MAX, Reader},
    report::{Erased, FINDINGS_MAX, Finding, OpenProgress, OpenReport, Part},
    retreat::{ASIDE, Retreat},
};

/// Which log this is. Stamped into each segment and compared when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The Verbund.
    pub verbund: [u8; 32],
    /// Code of the Land, 1 to [`LAND_BYTES_MAX`] bytes.
    pub land: String,
    /// Epoch of the log.
    pub epoch: u64,
}

/// A body as it is given to [`Journal::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// It is here.
    Present {
        /// Salt of the body digest.
        salt: &'a [u8; 16],
        /// At most [`BODY_BYTES_MAX`] bytes.
        bytes: &'a [u8],
    },
    /// It was not given to this node.
    Withheld,
    /// It was erased before it came here.
    Erased,
}

/// An entry as it is given to [`Journal::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// The leaf, at most [`HEADER_BYTES_MAX`] bytes.
    pub header: &'a [u8],
    /// The body.
    pub body: Body<'a>,
}

/// A signed head of the log, and how it continues the group it is stored with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointRecord {
    /// The signed note, at most [`NOTE_BYTES_MAX`] bytes.
    pub note: Bytes,
    /// Size of the tree that the note signs; at least the size after the group.
    pub note_size: u64,
    /// Consistency proof from the size after the group to `note_size`, at most
    /// [`PROOF_HASHES_MAX`] hashes.
    pub proof: Vec<Hash>,
}

/// What becomes durable together.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// At least one.
    pub entries: &'a [EntryRef<'a>],
    /// What covers them.
    pub checkpoint: &'a CheckpointRecord,
    /// When they came, by this node's clock.
    pub received_unix_ms: i64,
    /// Node they came from, at most [`FROM_BYTES_MAX`] bytes; empty for one's own.
    pub from: &'a str,
}

/// A checkpoint record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    /// The record.
    pub record: CheckpointRecord,
    /// Size of the log after the group that it closes.
    pub covers: u64,
}

/// A body as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredBody {
    /// It is here.
    Present {
        /// Salt of the body digest.
        salt: [u8; 16],
        /// The body; shares memory with all entries of one [`Reader::read`].
        bytes: Bytes,
    },
    /// It was not given to this node.
    Withheld,
    /// It was erased.
    Erased,
}

/// An entry as it was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Place in the log.
    pub index: u64,
    /// The leaf; shares memory with all entries of one [`Reader::read`].
    pub header: Bytes,
    /// The body.
    pub body: StoredBody,
    /// When it came, by this node's clock.
    pub received_unix_ms: i64,
    /// Node it came from; empty for one's own.
    pub from: Arc<str>,
}
