//! Entries as watchers see them, in whole atomic batches.

use std::sync::OnceLock;

use prost::Message;
use registry_core::{
    fold::{self, BatchEnds, Move, Position, Record},
    limits::MESSAGE_BYTES_MAX,
    view::{About, Facts, FactsError, Subject, numbers_around, numbers_of},
};
use registry_proto::{
    erasure::Erasing,
    log::Header,
    terms::LogId,
    wire::registry::{Erasure, LogPosition, Provenance, WatchEvent, watch_event},
};
use uuid::Uuid;

use crate::journals::{JournalRead, Journals, ParseError, Parsed, ReadError};

/// An atomic batch of a log.
#[derive(Debug)]
pub struct Batch {
    /// The log.
    pub log: LogId,
    /// Index of its first entry.
    pub first: u64,
    /// Index after its last entry.
    pub end: u64,
    /// Its entries.
    pub events: Vec<Event>,
    /// About the memory it takes.
    pub bytes: usize,
    /// See [`Batch::subjects`].
    subjects: OnceLock<Vec<Option<Subject>>>,
    /// See [`Batch::numbers`].
    numbers: OnceLock<Vec<Vec<String>>>,
}

/// An entry as watchers see it.
#[derive(Clone, Debug)]
pub struct Event {
    /// Index in its log.
    pub index: u64,
    /// What it speaks of.
    pub about: About,
    /// The message; the service of an event about a Nachnutzung comes with [`Event::told`].
    pub message: WatchEvent,
}

/// Puts entries together to batches; begins at the beginning of one.
#[derive(Debug)]
pub struct BatchBuilder {
    log: LogId,
    ends: BatchEnds,
    events: Vec<Event>,
    bytes: usize,
}

/// Why batches are not read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The journal failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The journal holds what does not belong there.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// Bytes of the events of a batch; a longer batch goes without its last records, so that it
/// still fits into one message.
const BATCH_MESSAGE_BYTES: usize = MESSAGE_BYTES_MAX - (64 << 10);
/// Bytes and entries of one read of the journal.
const READ_BYTES: usize = 1 << 20;
const READ_ENTRIES: usize = 1_000;

/// Reads whole batches from `from` on, which MUST be the beginning of a batch, up to `to`; stops
/// early once there is enough for a while.
///
/// # Errors
///
/// [`BatchError`] if the journal is damaged there.
pub fn read_batches(
    journals: &Journals,
    journal: &dyn JournalRead,
    log: LogId,
    from: u64,
    to: u64,
) -> Result<Vec<Batch>, BatchError> {
    let mut builder = BatchBuilder::new(log);
    let (mut next, mut batches, mut bytes) = (from, Vec::new(), 0);
    while next < to && bytes < READ_BYTES {
        let left = usize::try_from(to - next).unwrap_or(READ_ENTRIES).min(READ_ENTRIES);
        let stored = journal.read(next, READ_BYTES, left)?;
        if stored.is_empty() {
            break;
        }
        for stored in stored {
            next = stored.index + 1;
            let entry = journals.genuine(log, stored)?;
            let record = fold::read(&entry.as_entry()).unwrap_or(Record::Hidden);
            if let Some(batch) = builder.push(&entry, record) {
                bytes += batch.bytes;
                batches.push(batch);
            }
        }
    }
    Ok(batches)
}

// === impl Batch ===

impl Batch {
    /// The services that the events speak of, if the events say so themselves.
    pub fn plain_services(&self) -> Option<Vec<Option<Uuid>>> {
        self.events.iter().map(Event::plain_service).collect()
    }

    /// The services that the events speak of; looked up once for all watchers.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn subjects<F: Facts>(&self, facts: &F) -> Result<&[Option<Subject>], FactsError> {
        if let Some(subjects) = self.subjects.get() {
            return Ok(subjects);
        }
        let at = |index| Position { log: self.log, index };
        let subjects = self.events.iter().map(|it| it.about.subject(facts, at(it.index)));
        let subjects = subjects.collect::<Result<_, _>>()?;
        Ok(self.subjects.get_or_init(|| subjects))
    }

    /// The Leistungsschluessel that decide about each event; looked up once for all watchers.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn numbers<F: Facts>(&self, facts: &F) -> Result<&[Vec<String>], FactsError> {
        if let Some(numbers) = self.numbers.get() {
            return Ok(numbers);
        }
        let mut numbers = Vec::with_capacity(self.events.len());
        for (event, subject) in self.events.iter().zip(self.subjects(facts)?) {
            let at = Position { log: self.log, index: event.index };
            numbers.push(match subject {
                Some(it) if it.owner == self.log.land => numbers_around(facts, it.service, at)?,
                Some(it) => numbers_of(facts, *it)?,
                None => Vec::new(),
            });
        }
        Ok(self.numbers.get_or_init(|| numbers))
    }
}

// === impl Event ===

impl Event {
    /// The service it speaks of, if it says so itself.
    fn plain_service(&self) -> Option<Option<Uuid>> {
        match self.about {
            About::Nothing => Some(None),
            About::Service(it) => Some(Some(it.service)),
            About::Subscription(_) => None,
        }
    }

    /// The message for a watcher, with the service it is about.
    pub fn told(&self, subject: Option<Subject>) -> WatchEvent {
        let service_id = subject.map(|it| it.service.to_string()).unwrap_or_default();
        WatchEvent { service_id, ..self.message.clone() }
    }
}

// === impl BatchBuilder ===

impl BatchBuilder {
    /// Begins at the beginning of a batch of `log`.
    pub fn new(log: LogId) -> Self {
        Self { log, ends: BatchEnds::default(), events: Vec::new(), bytes: 0 }
    }

    /// Takes the next entry; gives the batch it ends.
    pub fn push(&mut self, entry: &Parsed, record: Record) -> Option<Batch> {
        let mut event = event(entry, record);
        let mut bytes = event.message.encoded_len();
        if self.bytes + bytes > BATCH_MESSAGE_BYTES {
            event.message.record = None;
            bytes = event.message.encoded_len();
        }
        self.bytes += bytes + EVENT_FRAME_BYTES;
        self.events.push(event);
        if !self.ends.push(&entry.header) {
            return None;
        }
        self.shorten();
        let events = std::mem::take(&mut self.events);
        let first = events.first()?.index;
        let bytes = std::mem::take(&mut self.bytes);
        let end = entry.header.index + 1;
        let (subjects, numbers) = (OnceLock::new(), OnceLock::new());
        Some(Batch { log: self.log, first, end, events, bytes, subjects, numbers })
    }

    /// Takes records off, the last first, until the batch fits into a message.
    fn shorten(&mut self) {
        for event in self.events.iter_mut().rev() {
            if self.bytes <= BATCH_MESSAGE_BYTES {
                break;
            }
            let before = event.message.encoded_len();
            event.message.record = None;
            self.bytes -= before - event.message.encoded_len();
        }
    }
}

/// Tag and length of an event in its batch.
const EVENT_FRAME_BYTES: usize = 8;

/// Where an entry comes from.
pub fn provenance(entry: &Parsed) -> Provenance {
    let Header { log, index, recorded_unix_ms, principal, .. } = &entry.header;
    Provenance {
        position: Some(LogPosition {
            land: log.land.code().to_owned(),
            epoch: log.epoch,
            index: *index,
        }),
        leaf_hash: entry.leaf.as_bytes().to_vec().into(),
        recorded_at: Some(timestamp(*recorded_unix_ms)),
        received_at: Some(timestamp(entry.received_unix_ms)),
        principal: principal.clone(),
    }
}

/// Milliseconds since 1970 as a protobuf timestamp.
pub fn timestamp(unix_ms: i64) -> prost_types::Timestamp {
    let nanos = unix_ms.rem_euclid(1_000) * 1_000_000;
    // below 1,000,000,000
    prost_types::Timestamp { seconds: unix_ms.div_euclid(1_000), nanos: nanos as i32 }
}

/// An entry as watchers see it.
pub fn event(entry: &Parsed, record: Record) -> Event {
    let about = About::of(entry.header.log.land, entry.header.object_id, &record);
    let service = match about {
        About::Service(it) => Some(it.service),
        About::Nothing | About::Subscription(_) => None,
    };
    let kind = entry.header.kind.to_wire();
    let record = match record {
        Record::Definition(definition) => Some(watch_event::Record::ServiceDefinition(*definition)),
        Record::Version(version) => Some(watch_event::Record::ServiceVersion(*version)),
        Record::Move(it) => Some(moved(*it)),
        Record::Erasure(it) => Some(watch_event::Record::Erasure(erasure(entry.header.log, *it))),
        Record::Hidden => None,
    };
    let message = WatchEvent {
        provenance: Some(provenance(entry)),
        kind,
        service_id: service.map(|service| service.to_string()).unwrap_or_default(),
        record,
        erased: entry.erased,
    };
    Event { index: entry.header.index, about, message }
}

fn erasure(log: LogId, it: Erasing) -> Erasure {
    let leaf_hash = it.leaf.as_bytes().to_vec().into();
    let epoch = if it.log == log { 0 } else { it.log.epoch };
    Erasure { index: it.index, leaf_hash, grund: it.grund, epoch }
}

fn moved(it: Move) -> watch_event::Record {
    match it {
        Move::Status(it) => watch_event::Record::VersionStatus(it),
        Move::Subscription(it) => watch_event::Record::SubscriptionMove(it),
        Move::Anschluss(it) => watch_event::Record::Anschluss(it),
        Move::Bestaetigung(it) => watch_event::Record::Bestaetigung(it),
        Move::Mitzeichnung(it) => watch_event::Record::Mitzeichnung(it),
        Move::Uebergabe(it) => watch_event::Record::Uebergabe(it),
        Move::Kontakt(it) => watch_event::Record::Kontakt(it),
    }
}
