//! The logs on disk, as the read side sees them.

use std::{collections::BTreeMap, error::Error, fmt, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use registry_core::fold::{LogEntry, Position};
use registry_proto::{
    log::{Hash, HashTiles, Header, HeaderError, body_digest, leaf_hash},
    terms::LogId,
};

use crate::{erasure::ErasuresSeen, forged::Forged};

/// Reads one log. Everything it gives is durable and verified.
pub trait JournalRead: Send + Sync {
    /// Entries that can be read.
    fn size(&self) -> u64;

    /// Entries that count at all, if a reset ended the epoch; not all of them need to be here.
    fn ends(&self) -> Option<u64> {
        None
    }

    /// Entries from `from` on: at least one, then at most `entries_max` and about `bytes_max`.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the first of them is damaged or does not exist.
    fn read(
        &self,
        from: u64,
        bytes_max: usize,
        entries_max: usize,
    ) -> Result<Vec<Stored>, ReadError>;

    /// A signed checkpoint over the entry `index`.
    fn checkpoint_over(&self, index: u64) -> Option<Signed>;

    /// Hashes of a tile level.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if they are not here.
    fn hashes(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, ReadError>;
}

/// An entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Place in the log.
    pub index: u64,
    /// The leaf.
    pub header: Bytes,
    /// Salt and body, if they are here.
    pub body: Option<([u8; 16], Bytes)>,
    /// It is not, because its owner has erased it.
    pub erased: bool,
    /// When it came, by this node's clock.
    pub received_unix_ms: i64,
}

/// A signed checkpoint, and how it continues what is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The note.
    pub note: Bytes,
    /// Size that it signs.
    pub size: u64,
    /// Entries here from which `proof` leads to that; at most `size`.
    pub here: u64,
    /// Consistency proof, verified before it was stored.
    pub proof: Vec<Hash>,
}

/// A journal cannot be read at a place; others are not affected.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the journal")]
pub struct ReadError(#[source] pub Box<dyn Error + Send + Sync>);

/// A stored entry whose header is understood. Its body may be another than the header names, see
/// [`Parsed::is_forged`].
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Its header.
    pub header: Header,
    /// Leaf hash of the header's bytes.
    pub leaf: Hash,
    /// Body, if it is here.
    pub body: Option<Bytes>,
    salt: [u8; 16],
    /// It is not, because its owner has erased it.
    pub erased: bool,
    /// When it came.
    pub received_unix_ms: i64,
}

/// A stored entry does not belong where it stands.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// No header.
    #[error("entry {at} has no readable header")]
    Header {
        /// Where it stands.
        at: Position,
        /// Why.
        #[source]
        source: HeaderError,
    },
    /// A header of another place.
    #[error("entry {at} holds the header of {found}")]
    Place {
        /// Where it stands.
        at: Position,
        /// Where it says to stand.
        found: Position,
    },
    /// A body that its owner did not sign.
    #[error("the body of entry {at} is not the one that its owner signed")]
    Body {
        /// Where it stands.
        at: Position,
    },
}

/// All logs of this node. Cheap to clone; all clones are one set.
#[derive(Clone, Default)]
pub struct Journals {
    logs: Arc<ArcSwap<BTreeMap<LogId, Arc<dyn JournalRead>>>>,
    forged: Forged,
}

/// A log of which only a beginning counts: a reset ended its epoch. Checkpoints and hashes are
/// those of the whole, for proofs of what counts.
pub struct Beginning {
    /// The whole log.
    pub whole: Arc<dyn JournalRead>,
    /// Entries that count.
    pub size: u64,
    /// The log.
    pub log: LogId,
    /// What later epochs erase in it.
    pub erasures: ErasuresSeen,
}

/// [`HashTiles`] of a journal.
pub struct Tiles<'a>(pub &'a dyn JournalRead);

// === impl Journals ===

impl Journals {
    /// No log yet; what is forged in them is told to `forged`.
    pub fn telling(forged: Forged) -> Self {
        Self { forged, ..Self::default() }
    }

    /// Whom to tell of bodies that are not those their headers name.
    pub fn forged(&self) -> &Forged {
        &self.forged
    }

    /// Reads an entry of `log` whose body is shown to somebody or acted by.
    ///
    /// # Errors
    ///
    /// [`ParseError`] if the entry does not belong there, or its body is not the one its owner signed.
    pub fn genuine(&self, log: LogId, stored: Stored) -> Result<Parsed, ParseError> {
        let entry = Parsed::of(log, stored)?;
        if entry.is_forged() {
            let at = Position { log, index: entry.header.index };
            self.forged.tell(at);
            return Err(ParseError::Body { at });
        }
        Ok(entry)
    }

    /// Adds a log, or replaces its reader.
    pub fn insert(&self, log: LogId, journal: Arc<dyn JournalRead>) {
        self.logs.rcu(|logs| {
            let mut logs = BTreeMap::clone(logs);
            logs.insert(log, Arc::clone(&journal));
            logs
        });
    }

    /// The reader of a log.
    pub fn find(&self, log: LogId) -> Option<Arc<dyn JournalRead>> {
        self.logs.load().get(&log).cloned()
    }

    /// All logs in the order of (Land, epoch).
    pub fn all(&self) -> Arc<BTreeMap<LogId, Arc<dyn JournalRead>>> {
        self.logs.load_full()
    }
}

impl fmt::Debug for Journals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.all().keys()).finish()
    }
}

// === impl Parsed ===

impl Parsed {
    /// Reads the header of an entry that stands in `log`. Where its body matters, use
    /// [`Journals::genuine`].
    ///
    /// # Errors
    ///
    /// [`ParseError`] if it does not belong there.
    pub fn of(log: LogId, stored: Stored) -> Result<Self, ParseError> {
        let at = Position { log, index: stored.index };
        let header = Header::parse_shared(&stored.header)
            .map_err(|source| ParseError::Header { at, source })?;
        let found = Position { log: header.log, index: header.index };
        if found != at {
            return Err(ParseError::Place { at, found });
        }
        let (salt, body) = stored.body.unzip();
        Ok(Self {
            header,
            leaf: leaf_hash(&stored.header),
            body,
            salt: salt.unwrap_or_default(),
            erased: stored.erased,
            received_unix_ms: stored.received_unix_ms,
        })
    }

    /// True if the body is here and not the one that the header names. Takes as long as to hash it.
    pub fn is_forged(&self) -> bool {
        let digest = |body: &Bytes| body_digest(&self.salt, body);
        self.body.as_ref().is_some_and(|body| digest(body) != self.header.body_digest)
    }

    /// As the fold takes it.
    pub fn as_entry(&self) -> LogEntry<'_> {
        LogEntry { header: &self.header, leaf: self.leaf, body: self.body.as_ref() }
    }
}

// === impl Beginning ===

impl JournalRead for Beginning {
    fn size(&self) -> u64 {
        self.whole.size().min(self.size)
    }

    fn ends(&self) -> Option<u64> {
        Some(self.size)
    }

    fn read(
        &self,
        from: u64,
        bytes_max: usize,
        entries_max: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        let mut entries = self.whole.read(from, bytes_max, entries_max)?;
        entries.retain(|it| it.index < self.size);
        if entries.is_empty() {
            let what = format!("entry {from} lies behind what counts of an epoch that ended");
            return Err(ReadError(what.into()));
        }
        let hidden = self.erasures.hide(self.log, &mut entries);
        hidden.ok_or_else(|| ReadError("the node has stopped".into()))?;
        Ok(entries)
    }

    fn checkpoint_over(&self, index: u64) -> Option<Signed> {
        self.whole.checkpoint_over(index)
    }

    fn hashes(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, ReadError> {
        self.whole.hashes(level, from, count)
    }
}

impl fmt::Debug for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beginning").field("size", &self.size).finish_non_exhaustive()
    }
}

// === impl Tiles ===

impl HashTiles for Tiles<'_> {
    type Error = ReadError;

    fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, ReadError> {
        self.0.hashes(level, from, count)
    }
}

impl fmt::Debug for Tiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tiles")
    }
}
