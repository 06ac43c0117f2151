//! What opening, scrubbing and erasing tell.

use std::fmt;

/// Findings that are listed; what is beyond is counted by no one.
pub const FINDINGS_MAX: usize = 10_000;

/// A part of an entry on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The whole record: no place is known for it.
    Record,
    /// Its header or local envelope.
    Header,
    /// Its salt or body.
    Body,
}

/// Something on disk that is not as it was written. Nothing is cut or deleted because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The header of a segment is damaged; its entries are not affected.
    SegmentHeader {
        /// First index of the segment.
        segment: u64,
    },
    /// Entries are damaged.
    Entries {
        /// First one.
        from: u64,
        /// One after the last.
        to: u64,
        /// What of them.
        part: Part,
    },
    /// The checkpoint record of a group is damaged; its entries are not affected.
    Checkpoint {
        /// First index of the segment.
        segment: u64,
        /// Size of the log after the group, if that can still be read.
        covers: Option<u64>,
    },
    /// Bytes that belong to no intact record. The entries lost in them have findings of their
    /// own.
    Garbage {
        /// First index of the segment.
        segment: u64,
        /// Where they begin.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// The last segment was found without a readable header and without a readable record, and
    /// was moved aside (`.damaged`).
    SegmentMovedAside {
        /// First index of the segment.
        segment: u64,
    },
    /// A leaf hash in the tiles is not that of the header.
    Leaf {
        /// Index of the entry.
        index: u64,
    },
    /// A hash of a higher tile level is not that of the tile below it.
    Tile {
        /// Tile level.
        level: u8,
        /// Place of the hash.
        index: u64,
    },
    /// The root of the tree of this size is not the one that was stored.
    Root {
        /// Size of the tree.
        size: u64,
    },
}

/// What [`Journal::open`](crate::Journal::open) found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// The journal did not exist before.
    pub created: bool,
    /// Entries of the log.
    pub size: u64,
    /// Bytes of the torn tail that was cut.
    pub cut_bytes: u64,
    /// Entries that were recognisable in what was cut. They were never reported as durable,
    /// unless `tiles_knew` exceeds `size`.
    pub entries_dropped: u64,
    /// Leaf hashes in the tiles as they were found. More than `size` means that durable entries
    /// are missing here: they MUST be pulled back from a partner before anything is signed.
    pub tiles_knew: u64,
    /// Sealed segments that had to be read because their index file was missing or wrong.
    pub indexes_rebuilt: u64,
    /// Tile hashes that were missing or wrong and were written again.
    pub tile_hashes_rewritten: u64,
    /// Erasures that an earlier run had begun and this one completed.
    pub erasures_completed: u64,
    /// What is damaged, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
}

/// What takes time while a journal is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenProgress {
    /// A segment is read.
    Segment {
        /// Its first index.
        segment: u64,
        /// Bytes read.
        done: u64,
        /// Bytes to read.
        total: u64,
    },
    /// Tiles are made again.
    Tiles {
        /// Leaves hashed.
        done: u64,
        /// Leaves to hash.
        total: u64,
    },
}

/// What [`Journal::erase`](crate::Journal::erase) did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erased {
    /// Salt and body are overwritten.
    Now,
    /// They were already.
    Already,
}

/// Collects findings up to the limit, joining neighbours.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

// === impl Part ===

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record => "record",
            Self::Header => "header",
            Self::Body => "body",
        })
    }
}

// === impl Findings ===

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        if self.0.len() < FINDINGS_MAX {
            self.0.push(finding);
        }
    }

    pub(crate) fn entry(&mut self, index: u64, part: Part) {
        if let Some(Finding::Entries { to, part: last, .. }) = self.0.last_mut()
            && *to == index
            && *last == part
        {
            *to += 1;
            return;
        }
        self.push(Finding::Entries { from: index, to: index.saturating_add(1), part });
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.0
    }
}
