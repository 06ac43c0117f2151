//! Layouts of all keys of facts. Numbers are big-endian, so that keys sort as what they say.
//!
//! Every key begins with the version of its layout and the letter of its table, and ends with the
//! position of its entry; stores keep their own bookkeeping under keys that begin with 0.

use std::fmt;

use registry_proto::{
    log::{Hash, Kind},
    terms::{Land, Leistungsschluessel, LogId, SemVer},
};
use uuid::Uuid;

/// Place of an entry; written `SL/1/17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Log.
    pub log: LogId,
    /// Index, from 0.
    pub index: u64,
}

/// Indices of an epoch that have a number of their own.
const EPOCH_BITS: u32 = 40;

// === impl Position ===

impl Position {
    /// The place among all entries of its Land: the index in the first epoch, and larger than
    /// everything of the epochs before in a later one.
    pub fn number(&self) -> u64 {
        (self.log.epoch.saturating_sub(1) << EPOCH_BITS).saturating_add(self.index)
    }

    /// The index of the entry with this number, in its epoch.
    pub(crate) fn index_of(number: u64) -> u64 {
        number & ((1 << EPOCH_BITS) - 1)
    }

    /// The entry of a Land with this number.
    pub fn of_number(land: Land, number: u64) -> Self {
        let log = LogId { land, epoch: (number >> EPOCH_BITS) + 1 };
        Self { log, index: Self::index_of(number) }
    }
}

/// The bytes are no key of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key of this table")]
pub struct ParseKeyError;

/// Version of all layouts below.
pub const VERSION: u8 = 1;

const DEFINITION: u8 = b'd';
const VERSION_OF: u8 = b'v';
const OWNER: u8 = b'o';
const BY_NUMBER: u8 = b'k';
const STATUS: u8 = b's';
const SUBSCRIPTION: u8 = b'n';
const SUBSCRIBED: u8 = b'b';
const ANSCHLUSS: u8 = b'c';
const BESTAETIGUNG: u8 = b'q';
const MITZEICHNUNG: u8 = b'm';
const UEBERGABE: u8 = b'u';
const TAKEN: u8 = b't';
const KONTAKT: u8 = b'p';

/// A table of moves, in the order in which watchers are told of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoveTable {
    Status,
    Uebergabe,
    Mitzeichnung,
    Subscription,
    Anschluss,
    Bestaetigung,
    Kontakt,
}

const HEAD: usize = 2;
const LAND: usize = 4;
const UUID: usize = 16;
const SEMVER: usize = 24;
const NUMBER: usize = 14;
const PLACE: usize = 16;
/// Digits of an area in a key, padded with 0 bytes.
pub(crate) const ARS: usize = 12;

/// Bytes of a definition's key that name its service.
pub(crate) const DEFINITION_GROUP: usize = HEAD + LAND + UUID;
/// Bytes of a version's key that name it.
pub(crate) const VERSION_GROUP: usize = HEAD + LAND + UUID + SEMVER;
/// Bytes of an owner's key that name service and Land.
pub(crate) const OWNER_GROUP: usize = HEAD + UUID + LAND;
/// Tables in which most services have nothing, each with the bytes of its keys that name the
/// service. A store may remember which have something, and answer for the others without looking.
pub const SPARSE_TABLES: [([u8; HEAD], usize); 3] = [
    ([VERSION, SUBSCRIBED], HEAD + UUID),
    ([VERSION, UEBERGABE], HEAD + UUID),
    ([VERSION, STATUS], HEAD + LAND + UUID),
];
/// Bytes of the key of a service taken over that name Land and service.
pub(crate) const TAKEN_GROUP: usize = HEAD + LAND + UUID;
/// Bytes of a Leistungsschluessel's key that name it, the Land and the service.
pub(crate) const BY_NUMBER_GROUP: usize = HEAD + NUMBER + LAND + UUID;

/// Key: land (4, padded with 0) | service (16) | epoch (8) | index (8). Value: `DefinitionFact`.
pub fn definition(service: Uuid, at: Position) -> Vec<u8> {
    placed(definitions_of(at.log.land, service), at)
}

/// Key: land (4) | service (16) | SemVer (24) | epoch (8) | index (8). Value: `VersionFact`.
pub fn version(service: Uuid, number: &SemVer, at: Position) -> Vec<u8> {
    placed(version_group(at.log.land, service, number), at)
}

/// Key: service (16) | land (4) | epoch (8) | index (8), for definitions. Value: empty.
pub fn owner(service: Uuid, at: Position) -> Vec<u8> {
    placed(owner_group(service, at.log.land), at)
}

/// Key: Leistungsschluessel (14 digits) | land (4) | service (16) | epoch (8) | index (8).
/// Value: empty.
pub fn by_number(number: &Leistungsschluessel, service: Uuid, at: Position) -> Vec<u8> {
    let mut key = by_number_in(number, Some(at.log.land));
    key.extend(service.as_bytes());
    placed(key, at)
}

/// Key: land (4) | service (16) | SemVer (24) | epoch (8) | index (8). Value: `MoveFact`.
pub fn status(service: Uuid, number: &SemVer, at: Position) -> Vec<u8> {
    placed(statuses_of(at.log.land, service, number), at)
}

/// Key: Nachnutzung (16) | land (4) | epoch (8) | index (8). Value: `MoveFact`.
pub fn subscription(id: Uuid, at: Position) -> Vec<u8> {
    landed(subscriptions(Some(id)), at)
}

/// Key: service (16) | Nachnutzung (16) | land (4) | epoch (8) | index (8). Value: empty.
pub fn subscribed(service: Uuid, id: Uuid, at: Position) -> Vec<u8> {
    let mut key = subscribed_to(service);
    key.extend(id.as_bytes());
    landed(key, at)
}

/// Key: Nachnutzung (16) | ARS (12, padded with 0) | land (4) | epoch (8) | index (8). Value:
/// `MoveFact`.
pub fn anschluss(id: Uuid, ars: &str, at: Position) -> Vec<u8> {
    landed(anschluss_of(id, ars), at)
}

/// Key: Nachnutzung (16) | SemVer (24) | land (4) | epoch (8) | index (8). Value: `MoveFact`.
pub fn bestaetigung(id: Uuid, number: &SemVer, at: Position) -> Vec<u8> {
    let mut key = bestaetigungen_of(id);
    key.extend(number.order_key());
    landed(key, at)
}

/// Key: service (16) | leaf hash (32) | land (4) | epoch (8) | index (8). Value: `MoveFact`.
pub fn mitzeichnung(service: Uuid, leaf: &Hash, at: Position) -> Vec<u8> {
    landed(mitzeichnungen_of(service, leaf), at)
}

/// Key: service (16) | land (4) | epoch (8) | index (8). Value: `MoveFact`.
pub fn uebergabe(service: Uuid, at: Position) -> Vec<u8> {
    landed(uebergaben_of(service), at)
}

/// Key: service (16) | land (4) | epoch (8) | index (8). Value: `MoveFact`.
pub fn kontakt(service: Uuid, at: Position) -> Vec<u8> {
    landed(kontakte_of(service), at)
}

/// Key: land (4) | service (16) | epoch (8) | index (8), for services taken over. Value: empty.
pub fn taken(service: Uuid, at: Position) -> Vec<u8> {
    placed(taken_of(at.log.land, service), at)
}

/// Prefix of the services that were taken over, or of those that a Land took.
pub(crate) fn taken_in(land: Option<Land>) -> Vec<u8> {
    let mut key = vec![VERSION, TAKEN];
    key.extend(land.map(land_bytes).into_iter().flatten());
    key
}

/// Prefix of the entries with which a Land took a service over.
pub(crate) fn taken_of(land: Land, service: Uuid) -> Vec<u8> {
    let mut key = taken_in(Some(land));
    key.extend(service.as_bytes());
    key
}

/// Service and position in a key of [`taken`].
pub(crate) fn parse_taken(key: &[u8]) -> Result<(Uuid, Position), ParseKeyError> {
    let rest = table(key, TAKEN, TAKEN_GROUP)?;
    Ok((uuid_of(&rest[LAND..LAND + UUID])?, place_of(key, land_of(&rest[..LAND])?)?))
}

/// Prefix of what a Land said of the versions of a service after their publication.
pub(crate) fn statuses_in(land: Land, service: Uuid) -> Vec<u8> {
    let mut key = vec![VERSION, STATUS];
    key.extend(land_bytes(land));
    key.extend(service.as_bytes());
    key
}

/// Prefix of what a Land said of a version after its publication.
pub(crate) fn statuses_of(land: Land, service: Uuid, number: &SemVer) -> Vec<u8> {
    let mut key = statuses_in(land, service);
    key.extend(number.order_key());
    key
}

/// Prefix of the moves of one Nachnutzung, or of all.
pub(crate) fn subscriptions(id: Option<Uuid>) -> Vec<u8> {
    let mut key = vec![VERSION, SUBSCRIPTION];
    key.extend(id.iter().flat_map(Uuid::as_bytes));
    key
}

/// Prefix of the moves of one Nachnutzung that a Land made.
pub(crate) fn subscriptions_in(id: Uuid, land: Land) -> Vec<u8> {
    let mut key = subscriptions(Some(id));
    key.extend(land_bytes(land));
    key
}

/// Prefix of a table of moves.
pub(crate) fn moves(table: MoveTable) -> Vec<u8> {
    vec![VERSION, table.letter()]
}

/// Object and position in a key of a table of moves.
pub(crate) fn parse_move(table: MoveTable, key: &[u8]) -> Result<(Uuid, Position), ParseKeyError> {
    let object = if table == MoveTable::Status { HEAD + LAND } else { HEAD };
    if key.len() < HEAD + LAND + UUID + PLACE || key[..HEAD] != [VERSION, table.letter()] {
        return Err(ParseKeyError);
    }
    let at = match table {
        MoveTable::Status => place_of(key, land_of(&key[HEAD..HEAD + LAND])?)?,
        _ => landed_place(key)?,
    };
    Ok((uuid_of(&key[object..object + UUID])?, at))
}

/// Prefix of the Nachnutzungen of a service.
pub(crate) fn subscribed_to(service: Uuid) -> Vec<u8> {
    let mut key = vec![VERSION, SUBSCRIBED];
    key.extend(service.as_bytes());
    key
}

/// Prefix of the Kommunen of a Nachnutzung.
pub(crate) fn anschluesse_of(id: Uuid) -> Vec<u8> {
    let mut key = vec![VERSION, ANSCHLUSS];
    key.extend(id.as_bytes());
    key
}

/// Prefix of what is said of a Kommune of a Nachnutzung.
pub(crate) fn anschluss_of(id: Uuid, ars: &str) -> Vec<u8> {
    let mut key = anschluesse_of(id);
    let mut padded = [0; ARS];
    for (to, from) in padded.iter_mut().zip(ars.bytes()) {
        *to = from;
    }
    key.extend(padded);
    key
}

/// Prefix of the acknowledgements of a Nachnutzung.
pub(crate) fn bestaetigungen_of(id: Uuid) -> Vec<u8> {
    let mut key = vec![VERSION, BESTAETIGUNG];
    key.extend(id.as_bytes());
    key
}

/// Prefix of the countersignatures under an entry.
pub(crate) fn mitzeichnungen_of(service: Uuid, leaf: &Hash) -> Vec<u8> {
    let mut key = vec![VERSION, MITZEICHNUNG];
    key.extend(service.as_bytes());
    key.extend(leaf.as_bytes());
    key
}

/// Prefix of what is said about handovers of a service.
pub(crate) fn uebergaben_of(service: Uuid) -> Vec<u8> {
    let mut key = vec![VERSION, UEBERGABE];
    key.extend(service.as_bytes());
    key
}

/// Prefix of what a Land said about handovers of a service.
pub(crate) fn uebergaben_by(service: Uuid, land: Land) -> Vec<u8> {
    let mut key = uebergaben_of(service);
    key.extend(land_bytes(land));
    key
}

/// Prefix of the contacts of a service.
pub(crate) fn kontakte_of(service: Uuid) -> Vec<u8> {
    let mut key = vec![VERSION, KONTAKT];
    key.extend(service.as_bytes());
    key
}

/// Prefix of the contacts of a service that a Land names.
pub(crate) fn kontakte_by(service: Uuid, land: Land) -> Vec<u8> {
    let mut key = kontakte_of(service);
    key.extend(land_bytes(land));
    key
}

/// Prefix of all definitions, or of those of a Land.
pub(crate) fn definitions_in(land: Option<Land>) -> Vec<u8> {
    let mut key = vec![VERSION, DEFINITION];
    key.extend(land.map(land_bytes).into_iter().flatten());
    key
}

/// Prefix of the definitions of a service.
pub(crate) fn definitions_of(land: Land, service: Uuid) -> Vec<u8> {
    let mut key = definitions_in(Some(land));
    key.extend(service.as_bytes());
    key
}

/// Prefix of all versions, or of those of a Land.
pub fn versions_in(land: Option<Land>) -> Vec<u8> {
    let mut key = vec![VERSION, VERSION_OF];
    key.extend(land.map(land_bytes).into_iter().flatten());
    key
}

/// Prefix of the versions of a service.
pub(crate) fn versions_of(land: Land, service: Uuid) -> Vec<u8> {
    let mut key = versions_in(Some(land));
    key.extend(service.as_bytes());
    key
}

/// Prefix of the entries of one version.
pub(crate) fn version_group(land: Land, service: Uuid, number: &SemVer) -> Vec<u8> {
    let mut key = versions_of(land, service);
    key.extend(number.order_key());
    key
}

/// Prefix of the owners of a service.
pub(crate) fn owners_of(service: Uuid) -> Vec<u8> {
    let mut key = vec![VERSION, OWNER];
    key.extend(service.as_bytes());
    key
}

/// Prefix of the definitions with which a Land owns a service.
pub(crate) fn owner_group(service: Uuid, land: Land) -> Vec<u8> {
    let mut key = owners_of(service);
    key.extend(land_bytes(land));
    key
}

/// Prefix of the services with a Leistungsschluessel, or of those of a Land.
pub(crate) fn by_number_in(number: &Leistungsschluessel, land: Option<Land>) -> Vec<u8> {
    let mut key = vec![VERSION, BY_NUMBER];
    key.extend(number.to_string().bytes());
    key.extend(land.map(land_bytes).into_iter().flatten());
    key
}

/// Prefix of the entries with this number and service.
pub(crate) fn by_number_group(number: &Leistungsschluessel, land: Land, service: Uuid) -> Vec<u8> {
    let mut key = by_number_in(number, Some(land));
    key.extend(service.as_bytes());
    key
}

/// Service and position in a key of [`definition`].
pub(crate) fn parse_definition(key: &[u8]) -> Result<(Uuid, Position), ParseKeyError> {
    let rest = table(key, DEFINITION, DEFINITION_GROUP)?;
    let land = land_of(&rest[..LAND])?;
    Ok((uuid_of(&rest[LAND..LAND + UUID])?, place_of(key, land)?))
}

/// Service, number and position in a key of [`version`].
pub(crate) fn parse_version(key: &[u8]) -> Result<(Uuid, SemVer, Position), ParseKeyError> {
    let rest = table(key, VERSION_OF, VERSION_GROUP)?;
    let land = land_of(&rest[..LAND])?;
    let number = semver_of(&rest[LAND + UUID..LAND + UUID + SEMVER])?;
    Ok((uuid_of(&rest[LAND..LAND + UUID])?, number, place_of(key, land)?))
}

/// What a fact may change of which version of a service is the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touches {
    /// There is a version of a service, in the log of its position.
    Version(Uuid, SemVer, Position),
    /// Services have other owners.
    Owners,
}

/// What the fact with this key may change of which version of a service is the highest; `None` if
/// nothing.
pub fn touches(key: &[u8]) -> Option<Touches> {
    match key.get(1)? {
        &VERSION_OF => {
            let (service, number, at) = parse_version(key).ok()?;
            Some(Touches::Version(service, number, at))
        }
        &UEBERGABE | &TAKEN => Some(Touches::Owners),
        _ => None,
    }
}

/// Position in a key of [`owner`].
pub(crate) fn parse_owner(key: &[u8]) -> Result<Position, ParseKeyError> {
    let rest = table(key, OWNER, OWNER_GROUP)?;
    place_of(key, land_of(&rest[UUID..UUID + LAND])?)
}

/// Service and position in a key of [`by_number`].
pub(crate) fn parse_by_number(key: &[u8]) -> Result<(Uuid, Position), ParseKeyError> {
    let rest = table(key, BY_NUMBER, BY_NUMBER_GROUP)?;
    let land = land_of(&rest[NUMBER..NUMBER + LAND])?;
    Ok((uuid_of(&rest[NUMBER + LAND..NUMBER + LAND + UUID])?, place_of(key, land)?))
}

/// Prefix of all keys of [`subscribed`], in the order of their services.
pub(crate) fn all_subscribed() -> Vec<u8> {
    vec![VERSION, SUBSCRIBED]
}

/// Service in a key of [`subscribed`].
pub(crate) fn parse_subscribed_to(key: &[u8]) -> Result<Uuid, ParseKeyError> {
    let rest = table(key, SUBSCRIBED, HEAD + 2 * UUID + LAND)?;
    uuid_of(&rest[..UUID])
}

/// Nachnutzung in a key of [`subscribed`].
pub(crate) fn parse_subscribed(key: &[u8]) -> Result<Uuid, ParseKeyError> {
    let rest = table(key, SUBSCRIBED, HEAD + 2 * UUID + LAND)?;
    uuid_of(&rest[UUID..2 * UUID])
}

/// Nachnutzung in a key of [`subscription`].
pub(crate) fn parse_subscription(key: &[u8]) -> Result<Uuid, ParseKeyError> {
    let rest = table(key, SUBSCRIPTION, HEAD + UUID + LAND)?;
    uuid_of(&rest[..UUID])
}

/// The position in a key that ends with Land and place.
pub(crate) fn landed_place(key: &[u8]) -> Result<Position, ParseKeyError> {
    let at = key.len().checked_sub(PLACE + LAND).ok_or(ParseKeyError)?;
    place_of(key, land_of(&key[at..at + LAND])?)
}

/// The position at the end of any key, in a log of `land`.
pub(crate) fn place_of(key: &[u8], land: Land) -> Result<Position, ParseKeyError> {
    let (epoch, index) = place(key).ok_or(ParseKeyError)?;
    Ok(Position { log: LogId { land, epoch }, index })
}

/// The bytes with which a position ends a key.
pub(crate) fn place_bytes(epoch: u64, index: u64) -> [u8; PLACE] {
    let mut bytes = [0; PLACE];
    bytes[..8].copy_from_slice(&epoch.to_be_bytes());
    bytes[8..].copy_from_slice(&index.to_be_bytes());
    bytes
}

/// The code of a Land in 4 bytes, padded with 0; sorts as the code.
pub(crate) fn land_bytes(land: Land) -> [u8; LAND] {
    let mut bytes = [0; LAND];
    for (to, from) in bytes.iter_mut().zip(land.code().bytes()) {
        *to = from;
    }
    bytes
}

/// Reverses [`land_bytes`].
pub(crate) fn land_of(bytes: &[u8]) -> Result<Land, ParseKeyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ParseKeyError)?;
    text.trim_end_matches('\0').parse().map_err(|_| ParseKeyError)
}

/// Reverses [`SemVer::order_key`].
pub(crate) fn semver_of(bytes: &[u8]) -> Result<SemVer, ParseKeyError> {
    let key = bytes.try_into().map_err(|_| ParseKeyError)?;
    Ok(SemVer::from_order_key(key))
}

/// Reads a UUID of 16 bytes.
pub(crate) fn uuid_of(bytes: &[u8]) -> Result<Uuid, ParseKeyError> {
    Uuid::from_slice(bytes).map_err(|_| ParseKeyError)
}

/// The position of the entry that a key of any table belongs to.
///
/// # Errors
///
/// [`ParseKeyError`] if the bytes are no key of a table.
pub fn position(key: &[u8]) -> Result<Position, ParseKeyError> {
    let [VERSION, letter, rest @ ..] = key else { return Err(ParseKeyError) };
    let land = match *letter {
        DEFINITION | VERSION_OF | STATUS | TAKEN => rest.get(..LAND),
        BY_NUMBER => rest.get(NUMBER..NUMBER + LAND),
        _ => return landed_place(key),
    };
    place_of(key, land_of(land.ok_or(ParseKeyError)?)?)
}

/// Prefix of the keys that hold what an entry of a kind that may be erased says first: of a
/// definition its own, of a version those of its service. `None` for kinds without facts.
pub fn erasable(kind: Kind, object: Uuid, at: Position) -> Option<Vec<u8>> {
    match kind {
        Kind::ServiceDefinition => Some(definition(object, at)),
        Kind::ServiceVersion => Some(versions_of(at.log.land, object)),
        Kind::Contact => Some(kontakt(object, at)),
        _ => None,
    }
}

/// The first key after all keys with this prefix.
pub fn after(prefix: &[u8]) -> Vec<u8> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            return key;
        }
    }
    // every key begins with VERSION, which is not 255
    vec![VERSION + 1]
}

fn placed(mut key: Vec<u8>, at: Position) -> Vec<u8> {
    key.extend(place_bytes(at.log.epoch, at.index));
    key
}

fn landed(mut key: Vec<u8>, at: Position) -> Vec<u8> {
    key.extend(land_bytes(at.log.land));
    placed(key, at)
}

fn place(key: &[u8]) -> Option<(u64, u64)> {
    let (rest, index) = key.split_last_chunk::<8>()?;
    let (_, epoch) = rest.split_last_chunk::<8>()?;
    Some((u64::from_be_bytes(*epoch), u64::from_be_bytes(*index)))
}

fn table(key: &[u8], letter: u8, group: usize) -> Result<&[u8], ParseKeyError> {
    if key.len() == group + PLACE && key[..HEAD] == [VERSION, letter] {
        return Ok(&key[HEAD..]);
    }
    Err(ParseKeyError)
}

// === impl MoveTable ===

impl MoveTable {
    /// All, in their order.
    pub(crate) const ALL: [Self; 7] = [
        Self::Status,
        Self::Uebergabe,
        Self::Mitzeichnung,
        Self::Subscription,
        Self::Anschluss,
        Self::Bestaetigung,
        Self::Kontakt,
    ];

    fn letter(self) -> u8 {
        match self {
            Self::Status => STATUS,
            Self::Uebergabe => UEBERGABE,
            Self::Mitzeichnung => MITZEICHNUNG,
            Self::Subscription => SUBSCRIPTION,
            Self::Anschluss => ANSCHLUSS,
            Self::Bestaetigung => BESTAETIGUNG,
            Self::Kontakt => KONTAKT,
        }
    }
}

// === impl Position ===

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.log, self.index)
    }
}
