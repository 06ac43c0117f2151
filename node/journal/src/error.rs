//! What can go wrong, one enum per operation.

use std::{io, path::PathBuf};

use crate::{Label, report::Part};

/// Why a journal is not opened. Nothing was cut, erased or deleted.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another journal in this one, has it open.
    #[error("{} is in use by another process", dir.display())]
    Locked {
        /// The journal.
        dir: PathBuf,
    },
    /// A segment belongs to another log.
    #[error(
        "{} holds the log {}/{}, expected {}/{}",
        path.display(), found.land, found.epoch, expected.land, expected.epoch
    )]
    OtherLog {
        /// The segment.
        path: PathBuf,
        /// What it says.
        found: Box<Label>,
        /// What was asked for.
        expected: Box<Label>,
    },
    /// Newer software wrote a segment.
    #[error("{} has format level {level}, this software knows {}", path.display(), crate::format::LEVEL)]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its format level.
        level: u32,
    },
    /// The code of the Land does not fit.
    #[error("land {land:?} must have 1 to {} bytes", crate::LAND_BYTES_MAX)]
    Land {
        /// As it was given.
        land: String,
    },
    /// The segment size is out of bounds.
    #[error(
        "segments of {bytes} bytes are not possible, expected 1 to {}",
        crate::format::SEGMENT_BYTES_MAX
    )]
    SegmentBytes {
        /// As it was given.
        bytes: u64,
    },
    /// The disk is full.
    #[error("disk full: cannot {operation} {}", path.display())]
    DiskFull {
        /// What failed.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What failed.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a group is not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It has no entries. Nothing was changed.
    #[error("a group without entries")]
    Empty,
    /// A part of it exceeds its limit. Nothing was changed.
    #[error("{what} has {size}, at most {max} allowed")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its bytes or hashes.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The note signs less than the log would hold. Nothing was changed.
    #[error("the note signs {note_size} entries, the group ends at {covers}")]
    NoteBehind {
        /// What the note signs.
        note_size: u64,
        /// Size of the log after the group.
        covers: u64,
    },
    /// The hash of this leaf is lost, so no root can be computed. Nothing was changed.
    #[error("entry {index} is damaged and its hash is lost; restore it before appending")]
    TreeUnknown {
        /// First leaf whose hash is lost.
        index: u64,
    },
    /// The disk is full. The journal takes nothing more until it is opened again.
    #[error("disk full: cannot {operation} {}; free space and restart", path.display())]
    DiskFull {
        /// What failed.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// The file system failed, and what is on disk is uncertain. The journal takes nothing more
    /// until it is opened again.
    #[error("cannot {operation} {}; restart to read back what is on disk", path.display())]
    Io {
        /// What failed.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An earlier write failed. Nothing was changed.
    #[error("an earlier write failed ({cause}); restart to read back what is on disk")]
    Poisoned {
        /// The earlier failure.
        cause: String,
    },
}

/// Why a body is not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The log is shorter.
    #[error("entry {index} does not exist, the log has {size}")]
    OutOfRange {
        /// What was asked for.
        index: u64,
        /// Entries of the log.
        size: u64,
    },
    /// The place of the entry is not known, so its body cannot be overwritten: parts of it may
    /// still be on disk.
    #[error("entry {index} is damaged so badly that its body cannot be located")]
    Damaged {
        /// What was asked for.
        index: u64,
    },
    /// The file system failed. The erasure is completed when the journal is opened again; until
    /// then it takes nothing more.
    #[error("cannot {operation} {}; restart to complete the erasure", path.display())]
    Io {
        /// What failed.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An earlier write failed. Nothing was changed.
    #[error("an earlier write failed ({cause}); restart to read back what is on disk")]
    Poisoned {
        /// The earlier failure.
        cause: String,
    },
}

/// Why something is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log is shorter.
    #[error("entry {index} does not exist, the log has {size}")]
    OutOfRange {
        /// What was asked for.
        index: u64,
        /// Entries of the log.
        size: u64,
    },
    /// The entry is damaged on disk; others can be read.
    #[error("entry {index} is damaged ({part})")]
    Damaged {
        /// Which entry.
        index: u64,
        /// What of it.
        part: Part,
    },
    /// These hashes are not here: beyond the size of the log, or lost with a damaged entry.
    #[error("no hashes {from}..{} at tile level {level}", from.saturating_add(*count as u64))]
    NoHashes {
        /// Tile level.
        level: u8,
        /// First hash asked for.
        from: u64,
        /// Number of hashes asked for.
        count: usize,
    },
    /// The file system failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What failed.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A failure of the file system, before it is known in which operation it happened.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) operation: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

// === impl Failure ===

impl Failure {
    fn is_disk_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// One line for [`AppendError::Poisoned`].
    pub(crate) fn cause(&self) -> String {
        format!("cannot {} {}: {}", self.operation, self.path.display(), self.source)
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        let full = failure.is_disk_full();
        let Failure { operation, path, source } = failure;
        if full { Self::DiskFull { operation, path } } else { Self::Io { operation, path, source } }
    }
}

impl From<Failure> for AppendError {
    fn from(failure: Failure) -> Self {
        let full = failure.is_disk_full();
        let Failure { operation, path, source } = failure;
        if full { Self::DiskFull { operation, path } } else { Self::Io { operation, path, source } }
    }
}

impl From<Failure> for EraseError {
    fn from(Failure { operation, path, source }: Failure) -> Self {
        Self::Io { operation, path, source }
    }
}

impl From<Failure> for ReadError {
    fn from(Failure { operation, path, source }: Failure) -> Self {
        Self::Io { operation, path, source }
    }
}
