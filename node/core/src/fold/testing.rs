//! Small logs for tests.

use bytes::Bytes;
use prost::Message;
use registry_proto::{
    log::{Hash, Header, Kind, Reference, VerbundId, body_digest, leaf_hash},
    terms::{Land, LogId},
    wire::registry::{
        Lifecycle, LocalizedText, ServiceDefinition, ServiceVersion, SubscriptionMove,
        SubscriptionState,
    },
};
use uuid::Uuid;

use super::{Fact, LogEntry, Unreadable, fold};

/// An entry as a journal would give it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) header: Header,
    pub(crate) leaf: Hash,
    pub(crate) body: Option<Bytes>,
}

/// A log that grows.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) id: LogId,
    pub(crate) entries: Vec<Entry>,
}

// === impl Log ===

impl Log {
    pub(crate) fn of(land: Land) -> Self {
        Self { id: LogId { land, epoch: 1 }, entries: Vec::new() }
    }

    pub(crate) fn push(&mut self, kind: Kind, object: Option<Uuid>, body: Bytes) -> &mut Entry {
        let index = self.entries.len() as u64;
        let header = Header {
            verbund: verbund(),
            log: self.id,
            index,
            kind,
            recorded_unix_ms: 1_700_000_000_000 + index as i64,
            object_id: object,
            audience: 1,
            batch_end: true,
            references: Vec::new(),
            principal: "tester".to_owned(),
            body_length: body.len() as u32,
            body_digest: body_digest(&[7; 16], &body),
            request: None,
        };
        let leaf = leaf_hash(&header.encode().unwrap());
        self.entries.push(Entry { header, leaf, body: Some(body) });
        self.entries.last_mut().unwrap()
    }

    /// Appends a move that rests on another; gives its leaf hash.
    pub(crate) fn say(
        &mut self,
        kind: Kind,
        object: Uuid,
        on: Option<Hash>,
        said: &impl Message,
    ) -> Hash {
        let land = self.id.land;
        let entry = self.push(kind, Some(object), said.encode_to_vec().into());
        let reference = |leaf_hash| Reference { land, object_id: object, leaf_hash };
        entry.header.references = on.into_iter().map(reference).collect();
        entry.leaf = leaf_hash(&entry.header.encode().unwrap());
        entry.leaf
    }

    pub(crate) fn define(&mut self, service: Uuid, name: &str, numbers: &[&str]) {
        let definition = definition(self.id.land, service, name, numbers);
        self.push(Kind::ServiceDefinition, Some(service), definition.encode_to_vec().into());
    }

    pub(crate) fn release(&mut self, service: Uuid, number: &str, ab: &str, bis: &str) {
        let version = version(service, number, ab, bis);
        self.push(Kind::ServiceVersion, Some(service), version.encode_to_vec().into());
    }

    /// Releases a version for areas, valid since 2026 began.
    pub(crate) fn release_in(&mut self, service: Uuid, number: &str, areas: &[&str]) {
        let version = ServiceVersion {
            verfuegbarkeitsgebiet: areas.iter().map(|&area| area.to_owned()).collect(),
            ..version(service, number, "2026-01-01", "")
        };
        self.push(Kind::ServiceVersion, Some(service), version.encode_to_vec().into());
    }

    /// Moves a Nachnutzung on; gives the leaf that the next move rests on.
    pub(crate) fn subscribe(
        &mut self,
        id: Uuid,
        zustand: SubscriptionState,
        rests_on: Option<Hash>,
        says: SubscriptionMove,
    ) -> Hash {
        let zustand = zustand as i32;
        let says = SubscriptionMove { subscription_id: id.to_string(), zustand, ..says };
        let body = says.encode_to_vec().into();
        let land = self.id.land;
        let entry = self.push(Kind::SubscriptionMove, Some(id), body);
        let reference = |leaf_hash| Reference { land, object_id: id, leaf_hash };
        entry.header.references = rests_on.map(reference).into_iter().collect();
        entry.leaf = leaf_hash(&entry.header.encode().unwrap());
        entry.leaf
    }
}

// === impl Entry ===

impl Entry {
    pub(crate) fn as_entry(&self) -> LogEntry<'_> {
        LogEntry { header: &self.header, leaf: self.leaf, body: self.body.as_ref() }
    }

    pub(crate) fn fold(&self) -> Result<Vec<Fact>, Unreadable> {
        fold(&self.as_entry())
    }
}

pub(crate) fn verbund() -> VerbundId {
    "ab".repeat(32).parse().unwrap()
}

pub(crate) fn uuid(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

pub(crate) fn definition(
    land: Land,
    service: Uuid,
    name: &str,
    numbers: &[&str],
) -> ServiceDefinition {
    ServiceDefinition {
        service_id: service.to_string(),
        land: land.code().to_owned(),
        leistungsschluessel: numbers.iter().map(|&number| number.to_owned()).collect(),
        themenfeld: "unternehmensfuehrung_entwicklung".to_owned(),
        lagen: vec!["Gewerbe".to_owned()],
        ozg_ids: vec!["10001".to_owned()],
        bezeichnung: vec![LocalizedText { language_code: "de".to_owned(), text: name.to_owned() }],
        ..ServiceDefinition::default()
    }
}

pub(crate) fn version(service: Uuid, number: &str, ab: &str, bis: &str) -> ServiceVersion {
    ServiceVersion {
        service_id: service.to_string(),
        version: number.to_owned(),
        freigabe_status: 6,
        lifecycle: Lifecycle::Freigegeben as i32,
        gueltig_ab: ab.to_owned(),
        gueltig_bis: bis.to_owned(),
        ..ServiceVersion::default()
    }
}
