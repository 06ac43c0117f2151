//! Logs in memory, for tests.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use registry_core::fold::FOLD_VERSION;
use registry_proto::{
    log::{Hash, Header, Kind, VerbundId, body_digest, leaf_hash},
    terms::{Land, LogId},
    wire::registry::{
        Lifecycle, LocalizedText, ServiceDefinition, ServiceVersion, Uebergabe, UebergabeSchritt,
        VersionStatus,
    },
};
use uuid::Uuid;

use crate::{
    folder::Folder,
    guard::Keeper,
    index::Index,
    journals::{JournalRead, Journals, ReadError, Signed, Stored},
    store::{OpenOutcome, Store},
};

/// A journal in memory. All clones are one journal.
#[derive(Clone, Debug)]
pub(crate) struct MemoryJournal {
    pub(crate) log: LogId,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: Vec<Stored>,
    damaged: BTreeSet<u64>,
    checkpoint: Option<Signed>,
}

/// A record to be published.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Define(u8, &'static str),
    Release(u8, &'static str),
    Other(u8),
    Body(Kind, u8, Bytes),
}

pub(crate) const NUMBER_A: &str = "99050012104000";
pub(crate) const NUMBER_B: &str = "99107023017000";
/// When the first entry was recorded; each next one a millisecond later.
pub(crate) const RECORDED_MS: i64 = 1_700_000_000_000;
/// When the first entry was received; each next one a second later.
pub(crate) const RECEIVED_MS: i64 = 1_700_000_001_000;
/// More than any test needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

// === impl MemoryJournal ===

impl MemoryJournal {
    pub(crate) fn of(land: Land) -> Self {
        Self { log: LogId { land, epoch: 1 }, inner: Arc::default() }
    }

    /// Appends one atomic batch.
    pub(crate) fn append(&self, items: &[Item]) -> u64 {
        let records = items.iter().map(|item| {
            let (kind, service, body) = item.encode(self.log.land);
            (kind, uuid(service), body)
        });
        self.append_records(&records.collect::<Vec<_>>())
    }

    /// Appends records as one atomic batch.
    pub(crate) fn append_records(&self, records: &[(Kind, Uuid, Bytes)]) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        for (i, record) in records.iter().enumerate() {
            let index = inner.entries.len() as u64;
            let stored = self.entry(index, record, i + 1 == records.len());
            inner.entries.push(stored);
        }
        inner.entries.len() as u64
    }

    fn entry(&self, index: u64, record: &(Kind, Uuid, Bytes), batch_end: bool) -> Stored {
        let (kind, object, body) = record.clone();
        let salt = [7; 16];
        let header = Header {
            verbund: verbund(),
            log: self.log,
            index,
            kind,
            recorded_unix_ms: RECORDED_MS + i64::try_from(index).unwrap(),
            object_id: Some(object),
            audience: 1,
            batch_end,
            references: Vec::new(),
            principal: "tester".to_owned(),
            body_length: u32::try_from(body.len()).unwrap(),
            body_digest: body_digest(&salt, &body),
            request: None,
        };
        let header = header.encode().unwrap();
        let received_unix_ms = RECEIVED_MS + 1_000 * i64::try_from(index).unwrap();
        Stored { index, header, body: Some((salt, body)), erased: false, received_unix_ms }
    }

    /// Takes over entries of another journal.
    pub(crate) fn extend(&self, entries: &[Stored]) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        inner.entries.extend_from_slice(entries);
        inner.entries.len() as u64
    }

    pub(crate) fn entries(&self) -> Vec<Stored> {
        self.inner.lock().unwrap().entries.clone()
    }

    pub(crate) fn truncate(&self, size: usize) {
        self.inner.lock().unwrap().entries.truncate(size);
    }

    pub(crate) fn damage(&self, index: u64) {
        self.inner.lock().unwrap().damaged.insert(index);
    }

    /// Puts another body in the place of one, which its header does not name.
    pub(crate) fn forge(&self, index: usize, body: Bytes) {
        let mut inner = self.inner.lock().unwrap();
        let (salt, _) = inner.entries[index].body.clone().unwrap();
        inner.entries[index].body = Some((salt, body));
    }

    pub(crate) fn repair(&self) {
        self.inner.lock().unwrap().damaged.clear();
    }

    pub(crate) fn set_checkpoint(&self, signed: Signed) {
        self.inner.lock().unwrap().checkpoint = Some(signed);
    }

    pub(crate) fn leaves(&self) -> Vec<Hash> {
        let inner = self.inner.lock().unwrap();
        inner.entries.iter().map(|entry| leaf_hash(&entry.header)).collect()
    }
}

impl JournalRead for MemoryJournal {
    fn size(&self) -> u64 {
        self.inner.lock().unwrap().entries.len() as u64
    }

    fn read(
        &self,
        from: u64,
        _bytes_max: usize,
        entries_max: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        let inner = self.inner.lock().unwrap();
        let range = inner.entries.iter().skip(usize::try_from(from).unwrap()).take(entries_max);
        let good: Vec<_> =
            range.take_while(|entry| !inner.damaged.contains(&entry.index)).cloned().collect();
        if good.is_empty() {
            return Err(ReadError(format!("entry {from} is damaged or missing").into()));
        }
        Ok(good)
    }

    fn checkpoint_over(&self, index: u64) -> Option<Signed> {
        self.inner.lock().unwrap().checkpoint.clone().filter(|it| index < it.here)
    }

    fn hashes(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, ReadError> {
        if level > 0 {
            return Err(ReadError("one level only".into()));
        }
        Ok(self.leaves().into_iter().skip(usize::try_from(from).unwrap()).take(count).collect())
    }
}

// === impl Item ===

impl Item {
    fn encode(&self, land: Land) -> (Kind, u8, Bytes) {
        match self {
            Self::Define(service, number) => {
                let definition = ServiceDefinition {
                    service_id: uuid(*service).to_string(),
                    land: land.code().to_owned(),
                    leistungsschluessel: vec![(*number).to_owned()],
                    bezeichnung: vec![LocalizedText {
                        language_code: "de".to_owned(),
                        text: format!("Leistung {service}"),
                    }],
                    ..ServiceDefinition::default()
                };
                (Kind::ServiceDefinition, *service, definition.encode_to_vec().into())
            }
            Self::Release(service, number) => {
                let version = ServiceVersion {
                    service_id: uuid(*service).to_string(),
                    version: (*number).to_owned(),
                    lifecycle: Lifecycle::Freigegeben as i32,
                    gueltig_ab: "2026-01-01".to_owned(),
                    ..ServiceVersion::default()
                };
                (Kind::ServiceVersion, *service, version.encode_to_vec().into())
            }
            Self::Other(service) => (Kind::Unknown(99), *service, Bytes::from_static(b"later")),
            Self::Body(kind, service, body) => (*kind, *service, body.clone()),
        }
    }
}

/// The withdrawal of a version.
/// An offer to hand a service over.
pub(crate) fn offer(service: u8, from: Land, to: Land) -> Item {
    let said = Uebergabe {
        service_id: uuid(service).to_string(),
        von_land: from.to_string(),
        an_land: to.to_string(),
        schritt: UebergabeSchritt::Angebot as i32,
        ..Uebergabe::default()
    };
    Item::Body(Kind::Uebergabe, service, said.encode_to_vec().into())
}

/// Takes the offer with this leaf hash.
pub(crate) fn take(service: u8, offer: &Hash) -> Item {
    let said = Uebergabe {
        service_id: uuid(service).to_string(),
        schritt: UebergabeSchritt::Annahme as i32,
        angebot: offer.as_bytes().to_vec().into(),
        ..Uebergabe::default()
    };
    Item::Body(Kind::Uebergabe, service, said.encode_to_vec().into())
}

pub(crate) fn withdraw(service: u8, number: &str) -> Item {
    let status = VersionStatus {
        service_id: uuid(service).to_string(),
        version: number.to_owned(),
        lifecycle: Lifecycle::Zurueckgezogen as i32,
        grund: "Probe".to_owned(),
        ..VersionStatus::default()
    };
    Item::Body(Kind::VersionStatus, service, status.encode_to_vec().into())
}

/// Opens an index over journals and folds all of them.
pub(crate) fn folded(journals: &[MemoryJournal]) -> (Index, Folder) {
    folded_with(journals, Keeper::in_memory(100))
}

/// The same with a guard against mass retirement.
pub(crate) fn folded_with(journals: &[MemoryJournal], keeper: Keeper) -> (Index, Folder) {
    let all = Journals::default();
    for journal in journals {
        all.insert(journal.log, Arc::new(journal.clone()));
    }
    let index = Index::new(Store::in_memory(FOLD_VERSION).unwrap(), all, keeper);
    let folder = Folder::start(index.clone(), &OpenOutcome::New, None).unwrap();
    wait_open(&index);
    (index, folder)
}

/// Waits until readers are let in.
pub(crate) fn wait_open(index: &Index) {
    eventually(|| index.readable().is_ok());
}

/// Waits until the catalogue shows what the journal holds.
pub(crate) fn wait_folded(index: &Index, journal: &MemoryJournal) {
    let size = journal.size();
    eventually(|| index.store().cut().size(journal.log) >= size);
}

/// Yields until a state is reached; panics after [`DEADLINE`].
pub(crate) fn eventually(reached: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !reached() {
        assert!(begun.elapsed() < DEADLINE, "state not reached");
        std::thread::yield_now();
    }
}

pub(crate) fn verbund() -> VerbundId {
    "ab".repeat(32).parse().unwrap()
}

pub(crate) fn uuid(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

/// A charter of these Länder, in the order of their codes, and the keys of their logs.
pub(crate) fn charter_of(
    laender: &[Land],
) -> (registry_proto::charter::Charter, Vec<registry_proto::log::LogSigner>) {
    use registry_proto::wire::registry as wire;
    let public = |land, what| Bytes::copy_from_slice(key_of(land, what).verifying_key().as_bytes());
    let members: Vec<_> = laender
        .iter()
        .map(|land| wire::Member {
            land: land.code().to_owned(),
            log_key: public(*land, 1),
            freshness_key: public(*land, 2),
            offline_key: public(*land, 3),
            nodes: vec![wire::MemberNode {
                name: format!("{}-1.example", land.code().to_lowercase()),
                spki_pins: vec![vec![*land as u8; 32].into()],
            }],
            anchors: Vec::new(),
            quota: None,
            ..wire::Member::default()
        })
        .collect();
    let charter = crate::cli::charter::assemble("Prüfungen", true, None, members).expect("valid");
    let signer =
        |land: &Land| registry_proto::log::LogSigner::new(key_of(*land, 1), key_of(*land, 2));
    (charter, laender.iter().map(signer).collect())
}

/// Keys of Länder: 1 signs the log, 2 is for freshness, 3 offline; no charter names others.
pub(crate) fn key_of(land: Land, what: u8) -> ed25519_dalek::SigningKey {
    let mut seed = [what; 32];
    seed[..land.code().len()].copy_from_slice(land.code().as_bytes());
    ed25519_dalek::SigningKey::from_bytes(&seed)
}

/// Writes these entries as one group behind what is in a directory, if there are any.
pub(crate) fn on_disk(dir: &std::path::Path, memory: &MemoryJournal) -> registry_journal::Journal {
    use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options};
    let land = memory.log.land.code().to_owned();
    let label = Label { verbund: *verbund().as_bytes(), land, epoch: memory.log.epoch };
    let (mut journal, _) =
        Journal::open(dir, &label, Options::default(), &mut |_| ()).expect("opens");
    let entries = memory.entries();
    let refs: Vec<_> = entries
        .iter()
        .map(|it| {
            let (salt, bytes) = it.body.as_ref().expect("a body");
            EntryRef { header: &it.header, body: Body::Present { salt, bytes } }
        })
        .collect();
    if !refs.is_empty() {
        let note_size = refs.len() as u64;
        let checkpoint =
            CheckpointRecord { note: b"note"[..].into(), note_size, proof: Vec::new() };
        let (entries, checkpoint) = (&refs[..], &checkpoint);
        let group = Group { entries, checkpoint, received_unix_ms: 1, from: "" };
        journal.append(&group).expect("durable");
    }
    journal
}
