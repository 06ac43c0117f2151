//! Turns one entry into facts, independent of every other entry.
//!
//! The catalogue is the set of all facts, so the order of arrival cannot matter: "newest" and
//! "first" are decided when reading (see [`crate::view`]). Facts do not depend on the node
//! either; two nodes that hold the same entries hold the same facts, byte for byte.

pub mod keys;
mod moves;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod value;

use bytes::Bytes;
use prost::Message;
use registry_proto::{
    erasure::Erasing,
    log::{Hash, Header, Kind},
    terms::{Ars, Date, Leistungsschluessel, SemVer},
    wire::registry::{
        Anschluss, Audience, Bestaetigung, Kontakt, LocalizedText, Mitzeichnung, ServiceDefinition,
        ServiceVersion, SubscriptionMove, Uebergabe, VersionStatus,
    },
};
use uuid::Uuid;

pub use self::{
    keys::Position,
    moves::{MoveFact, Said},
    value::{DefinitionFact, LeadersFact, ValueError, VersionFact},
};
use crate::{catalogue::Laender, limits::BATCH_ENTRIES_MAX, moves::joint::Leaders};

/// Raised whenever [`fold`] gives other facts for an entry; an index of another version is
/// rebuilt.
pub const FOLD_VERSION: u32 = 5;

/// One stored and verified entry.
#[derive(Clone, Copy, Debug)]
pub struct LogEntry<'a> {
    /// Its header; the log that holds the entry MUST be the one the header names.
    pub header: &'a Header,
    /// Leaf hash of the header's bytes.
    pub leaf: Hash,
    /// Its body; `None` when it is withheld or erased.
    pub body: Option<&'a Bytes>,
}

/// One line of the catalogue's index. The same entry gives the same facts everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// Key; layouts in [`keys`].
    pub key: Vec<u8>,
    /// Value, at most [`FACT_BYTES_MAX`] bytes.
    pub value: Vec<u8>,
}

/// The service of which a fact is a version, and the Länder in which that one names areas; `None`
/// if it is another fact. Of a version that cannot be read all.
pub fn reach(key: &[u8], value: &[u8]) -> Option<(Uuid, Laender)> {
    let (service, ..) = keys::parse_version(key).ok()?;
    let laender = match VersionFact::parse(value) {
        Ok(fact) => Laender::of(fact.gebiete.iter().map(String::as_str)),
        Err(_) => Laender::ALL,
    };
    Some((service, laender))
}

/// What a body says, as far as this software knows its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A definition or its revision.
    Definition(Box<ServiceDefinition>),
    /// A version.
    Version(Box<ServiceVersion>),
    /// What a Land does with what is published.
    Move(Box<Move>),
    /// The body of an earlier entry is erased. No fact: what is erased folds into nothing.
    Erasure(Box<Erasing>),
    /// The kind is unknown or about the log itself, the body is not here, or it is for an
    /// audience this software does not know.
    Hidden,
}

/// What a Land does with services and versions once they are published.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// A version moves on in its lifecycle.
    Status(VersionStatus),
    /// A Nachnutzung moves on.
    Subscription(SubscriptionMove),
    /// How far a Kommune is connected.
    Anschluss(Anschluss),
    /// A breaking version or a retirement is acknowledged.
    Bestaetigung(Bestaetigung),
    /// A co-owner countersigns an entry.
    Mitzeichnung(Mitzeichnung),
    /// A service is handed over.
    Uebergabe(Uebergabe),
    /// Whom to ask about a service.
    Kontakt(Kontakt),
}

/// A body that does not hold what its header says. It folds into nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// No protobuf message of its kind.
    #[error("body is no message of its kind")]
    Message(#[source] prost::DecodeError),
    /// A field that identifies the record has no such form, or contradicts the header.
    #[error("field {field} has no valid form or contradicts the header")]
    Field {
        /// Name in the proto.
        field: &'static str,
    },
}

/// Bytes of the value of a fact.
pub const FACT_BYTES_MAX: usize = 64 << 10;
/// Keys and OZG-IDs of a definition that the catalogue can find.
const IDS_MAX: usize = 500;
/// Areas of a version that the catalogue can find.
const AREAS_MAX: usize = 3_000;
/// Bytes of a name or code in a fact.
const TEXT_BYTES_MAX: usize = 1_024;

const _: () = assert!(IDS_MAX * 2 * 20 + 4 * TEXT_BYTES_MAX < FACT_BYTES_MAX);
const _: () = assert!(AREAS_MAX * 14 + 1_024 < FACT_BYTES_MAX);

/// Facts of an entry.
///
/// # Errors
///
/// [`Unreadable`] if the body does not hold what the header says; callers count it and go on.
pub fn fold(entry: &LogEntry<'_>) -> Result<Vec<Fact>, Unreadable> {
    Ok(facts_of(entry, &read(entry)?))
}

/// Reads the body of an entry.
///
/// # Errors
///
/// [`Unreadable`] if the body does not hold what the header says.
pub fn read(entry: &LogEntry<'_>) -> Result<Record, Unreadable> {
    let Some(body) = entry.body.filter(|_| is_public(entry.header)) else {
        return Ok(Record::Hidden);
    };
    match entry.header.kind {
        Kind::ServiceDefinition => {
            let definition = ServiceDefinition::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "service_id", &definition.service_id)?;
            if definition.land != entry.header.log.land.code() {
                return Err(Unreadable::Field { field: "land" });
            }
            Ok(Record::Definition(Box::new(definition)))
        }
        Kind::ServiceVersion => {
            let version = ServiceVersion::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "service_id", &version.service_id)?;
            version
                .version
                .parse::<SemVer>()
                .map_err(|_| Unreadable::Field { field: "version" })?;
            date("gueltig_ab", &version.gueltig_ab)?;
            date("gueltig_bis", &version.gueltig_bis)?;
            Ok(Record::Version(Box::new(version)))
        }
        Kind::VersionStatus => {
            let it = VersionStatus::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "service_id", &it.service_id)?;
            let number = it.version.parse::<SemVer>();
            number.map_err(|_| Unreadable::Field { field: "version" })?;
            date("abkuendigung_am", &it.abkuendigung_am)?;
            date("abschaltung_am", &it.abschaltung_am)?;
            Ok(moved(Move::Status(it)))
        }
        Kind::SubscriptionMove => {
            let it = SubscriptionMove::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "subscription_id", &it.subscription_id)?;
            Ok(moved(Move::Subscription(it)))
        }
        Kind::Anschluss => {
            let it = Anschluss::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "subscription_id", &it.subscription_id)?;
            date("seit", &it.seit)?;
            Ok(moved(Move::Anschluss(it)))
        }
        Kind::Bestaetigung => {
            let it = Bestaetigung::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "subscription_id", &it.subscription_id)?;
            Ok(moved(Move::Bestaetigung(it)))
        }
        Kind::Mitzeichnung => {
            let it = Mitzeichnung::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "service_id", &it.service_id)?;
            Ok(moved(Move::Mitzeichnung(it)))
        }
        Kind::Uebergabe => {
            let it = Uebergabe::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "service_id", &it.service_id)?;
            Ok(moved(Move::Uebergabe(it)))
        }
        Kind::Contact => {
            let it = Kontakt::decode(&body[..]).map_err(Unreadable::Message)?;
            object_id(entry.header, "service_id", &it.service_id)?;
            Ok(moved(Move::Kontakt(it)))
        }
        Kind::Erasure => {
            let it = Erasing::read(entry.header, body);
            let it = it.map_err(|_| Unreadable::Field { field: "erasure" })?;
            Ok(Record::Erasure(Box::new(it)))
        }
        // votes make the chain of charters, which is no part of the catalogue
        Kind::Unfenced
        | Kind::CharterVote
        | Kind::AuditHead
        | Kind::Recovered
        | Kind::EpochReset
        | Kind::Unknown(_) => Ok(Record::Hidden),
    }
}

/// Facts of an entry whose body is read already.
pub fn facts_of(entry: &LogEntry<'_>, record: &Record) -> Vec<Fact> {
    let Some(object) = entry.header.object_id else { return Vec::new() };
    let at = Position { log: entry.header.log, index: entry.header.index };
    match record {
        Record::Definition(definition) => definition_facts(entry, at, object, definition),
        Record::Version(version) => version_facts(entry, at, object, version),
        Record::Move(it) => moves::facts(entry, at, object, it),
        Record::Erasure(_) | Record::Hidden => Vec::new(),
    }
}

/// True if every authorised reader may see the body.
pub fn is_public(header: &Header) -> bool {
    header.audience == Audience::Verbund as i32
}

/// Finds the ends of atomic batches while a log is read from a batch's beginning.
///
/// A batch that never ends would have to be held for ever, so an overlong one is cut after
/// [`BATCH_ENTRIES_MAX`] entries. The cut depends on the log only and is the same everywhere.
#[derive(Clone, Debug, Default)]
pub struct BatchEnds {
    open: usize,
}

// === impl BatchEnds ===

impl BatchEnds {
    /// True if the next entry begins a batch.
    pub fn at_begin(&self) -> bool {
        self.open == 0
    }

    /// True if the batch ends with this entry.
    pub fn push(&mut self, header: &Header) -> bool {
        self.open += 1;
        let ends = header.batch_end || self.open >= BATCH_ENTRIES_MAX;
        if ends {
            self.open = 0;
        }
        ends
    }
}

fn definition_facts(
    entry: &LogEntry<'_>,
    at: Position,
    service: Uuid,
    definition: &ServiceDefinition,
) -> Vec<Fact> {
    let mut numbers: Vec<Leistungsschluessel> = definition
        .leistungsschluessel
        .iter()
        .take(IDS_MAX)
        .filter_map(|text| text.parse().ok())
        .collect();
    let listed: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.sort_unstable();
    numbers.dedup();

    let ozg_ids: Vec<String> = definition
        .ozg_ids
        .iter()
        .filter(|id| id.len() == 5 && id.bytes().all(|byte| byte.is_ascii_digit()))
        .take(IDS_MAX)
        .cloned()
        .collect();
    let leaders = Leaders::of(definition.mitfederfuehrung.as_ref(), at.log.land);
    let value = DefinitionFact {
        bezeichnung: cut(german(&definition.bezeichnung), TEXT_BYTES_MAX).to_owned(),
        leistungsschluessel: listed,
        themenfeld: cut(&definition.themenfeld, TEXT_BYTES_MAX).to_owned(),
        ozg_ids,
        recorded_unix_ms: entry.header.recorded_unix_ms,
        leaf: entry.leaf.as_bytes().to_vec(),
        mit_laender: leaders.laender.iter().map(ToString::to_string).collect(),
        mit_k: u32::try_from(leaders.k).unwrap_or(u32::MAX),
    };

    let mut facts = vec![
        Fact { key: keys::definition(service, at), value: value.encoded() },
        Fact { key: keys::owner(service, at), value: Vec::new() },
    ];
    facts.extend(
        numbers
            .iter()
            .map(|number| Fact { key: keys::by_number(number, service, at), value: Vec::new() }),
    );
    facts
}

fn version_facts(
    entry: &LogEntry<'_>,
    at: Position,
    service: Uuid,
    version: &ServiceVersion,
) -> Vec<Fact> {
    let Ok(number) = version.version.parse::<SemVer>() else { return Vec::new() };
    let value = VersionFact {
        lifecycle: version.lifecycle,
        gueltig_ab: version.gueltig_ab.clone(),
        gueltig_bis: version.gueltig_bis.clone(),
        freigabe_status: version.freigabe_status,
        recorded_unix_ms: entry.header.recorded_unix_ms,
        breaking: version.versionshinweis.as_ref().is_some_and(|hint| hint.breaking),
        leaf: entry.leaf.as_bytes().to_vec(),
        abkuendigung_am: day(&version.abkuendigung_am),
        abschaltung_am: day(&version.abschaltung_am),
        gebiete: areas(&version.verfuegbarkeitsgebiet),
    };
    vec![Fact { key: keys::version(service, &number, at), value: value.encoded() }]
}

/// A day, or nothing: what is no day means nothing to readers.
fn day(text: &str) -> String {
    text.parse::<Date>().map(|day| day.to_string()).unwrap_or_default()
}

/// Areas of a valid form.
fn areas(list: &[String]) -> Vec<String> {
    let valid = |it: &&String| it.as_str() == "00" || it.parse::<Ars>().is_ok();
    list.iter().filter(valid).take(AREAS_MAX).cloned().collect()
}

fn object_id(header: &Header, field: &'static str, text: &str) -> Result<(), Unreadable> {
    match text.parse::<Uuid>() {
        Ok(id) if header.object_id == Some(id) => Ok(()),
        _ => Err(Unreadable::Field { field }),
    }
}

fn moved(it: Move) -> Record {
    Record::Move(Box::new(it))
}

fn date(field: &'static str, text: &str) -> Result<(), Unreadable> {
    if text.is_empty() || text.parse::<Date>().is_ok() {
        return Ok(());
    }
    Err(Unreadable::Field { field })
}

fn german(texts: &[LocalizedText]) -> &str {
    texts
        .iter()
        .find(|text| text.language_code == "de")
        .or_else(|| texts.first())
        .map_or("", |text| text.text.as_str())
}

/// The longest prefix of at most `bytes_max` bytes that ends between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}
