//! The header of an entry: what its owner signed, as a leaf of the tree.

use bytes::{Buf, Bytes};
use prost::Message;
use uuid::Uuid;

use super::{Hash, VerbundId};
use crate::{
    terms::{Land, LogId, ParseLandError},
    wire::registry::{EntryHeader, EntryReference},
};

/// Bytes of an encoded header.
pub const HEADER_BYTES_MAX: usize = 65_535;
/// Bytes of a body.
pub const BODY_BYTES_MAX: u32 = 1 << 20;
/// Bytes of the pseudonym of a principal.
pub const PRINCIPAL_BYTES_MAX: usize = 64;
/// References of an entry.
pub const REFERENCES_MAX: usize = 64;
/// The format level this software reads and writes.
pub const FORMAT_LEVEL: u32 = 1;

/// A header whose form is right. Whether it belongs to a log is not decided here.
///
/// Callers MUST keep the bytes it was parsed from: they are the leaf, and may hold fields this
/// software does not know. [`Header::encode`] is for the owner of a new entry only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The Verbund the entry was made for.
    pub verbund: VerbundId,
    /// The log it stands in.
    pub log: LogId,
    /// Place in the log, from 0.
    pub index: u64,
    /// What the body holds.
    pub kind: Kind,
    /// Time of the owner, milliseconds since 1970-01-01 UTC. Only the owner vouches for it.
    pub recorded_unix_ms: i64,
    /// Object the entry speaks of; `None` for entries about the log itself.
    pub object_id: Option<Uuid>,
    /// Who may receive the body, as in the protos; may be a value this software does not know.
    pub audience: i32,
    /// Last entry of an atomic batch.
    pub batch_end: bool,
    /// Entries this one rests on.
    pub references: Vec<Reference>,
    /// Pseudonym of the acting principal.
    pub principal: String,
    /// Bytes of the body, without its salt.
    pub body_length: u32,
    /// [`super::body_digest`] of the body.
    pub body_digest: Hash,
    /// The request that published the batch, if its sender gave it a name.
    pub request: Option<RequestId>,
}

/// Names a request of a principal: the first 16 bytes of SHA-256 over both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub [u8; 16]);

/// Points to an entry of any log by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Owner of the log.
    pub land: Land,
    /// Object of the entry.
    pub object_id: Uuid,
    /// Leaf hash of the entry.
    pub leaf_hash: Hash,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A definition of a service, or a revision of it.
    ServiceDefinition,
    /// A version of a service.
    ServiceVersion,
    /// The Land signed without any partner having confirmed its head.
    Unfenced,
    /// The owner moves a version on in its lifecycle.
    VersionStatus,
    /// One side moves a Nachnutzung on.
    SubscriptionMove,
    /// How far a Kommune is connected.
    Anschluss,
    /// A breaking version or a retirement is acknowledged.
    Bestaetigung,
    /// A co-owner countersigns an entry.
    Mitzeichnung,
    /// A service is handed over.
    Uebergabe,
    /// A vote about the next charter.
    CharterVote,
    /// How far the audit log of a node has come.
    AuditHead,
    /// The body of an earlier entry is erased.
    Erasure,
    /// The Land pulled entries of its own log back from partners.
    Recovered,
    /// An epoch began with this entry.
    EpochReset,
    /// Whom to ask about a service.
    Contact,
    /// Needs newer software; kept, hashed and relayed all the same.
    Unknown(i32),
}

/// Why bytes are no header, or a header cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Too many bytes.
    #[error("a header has at most {HEADER_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No protobuf message of this form.
    #[error("the bytes are no encoded header")]
    Undecodable(#[source] prost::DecodeError),
    /// Made by newer software.
    #[error("format level {found} is not known here, expected {FORMAT_LEVEL}")]
    FormatLevel {
        /// Level found.
        found: u32,
    },
    /// The Verbund has no 32 bytes.
    #[error("the verbund has {found} bytes, expected 32")]
    Verbund {
        /// Bytes found.
        found: usize,
    },
    /// The Land is not known.
    #[error("unknown land")]
    Land(#[source] ParseLandError),
    /// Epochs count from 1.
    #[error("the epoch is 0, epochs count from 1")]
    Epoch,
    /// The object id is no UUID.
    #[error("the object id has {found} bytes, expected 16 or none")]
    ObjectId {
        /// Bytes found.
        found: usize,
    },
    /// Too many references.
    #[error("an entry has at most {REFERENCES_MAX} references, found {found}")]
    TooManyReferences {
        /// References found.
        found: usize,
    },
    /// The Land of a reference is not known.
    #[error("unknown land in reference {at}")]
    ReferenceLand {
        /// Place in the list, from 0.
        at: usize,
        /// What was found.
        #[source]
        source: ParseLandError,
    },
    /// The object id of a reference is no UUID.
    #[error("the object id of reference {at} has {found} bytes, expected 16")]
    ReferenceObjectId {
        /// Place in the list, from 0.
        at: usize,
        /// Bytes found.
        found: usize,
    },
    /// The leaf hash of a reference has no 32 bytes.
    #[error("the leaf hash of reference {at} has {found} bytes, expected 32")]
    ReferenceLeafHash {
        /// Place in the list, from 0.
        at: usize,
        /// Bytes found.
        found: usize,
    },
    /// The pseudonym is too long.
    #[error("a principal has at most {PRINCIPAL_BYTES_MAX} bytes, found {found}")]
    Principal {
        /// Bytes found.
        found: usize,
    },
    /// The body is too long.
    #[error("a body has at most {BODY_BYTES_MAX} bytes, the header states {found}")]
    BodyLength {
        /// Bytes stated.
        found: u32,
    },
    /// The body digest has no 32 bytes.
    #[error("the body digest has {found} bytes, expected 32")]
    BodyDigest {
        /// Bytes found.
        found: usize,
    },
    /// The name of the request has another length.
    #[error("the name of a request has 16 bytes or none, found {found}")]
    Request {
        /// Bytes found.
        found: usize,
    },
}

// === impl Header ===

impl Header {
    /// Reads the bytes of a header. Unknown fields and kinds are accepted.
    pub fn parse(raw: &[u8]) -> Result<Self, HeaderError> {
        Self::read(raw)
    }

    /// As [`Header::parse`], of bytes that are shared: nothing of them is copied on the way.
    pub fn parse_shared(raw: &Bytes) -> Result<Self, HeaderError> {
        Self::read(raw.clone())
    }

    fn read(raw: impl Buf) -> Result<Self, HeaderError> {
        if raw.remaining() > HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong { found: raw.remaining() });
        }
        let wire = EntryHeader::decode(raw).map_err(HeaderError::Undecodable)?;
        if wire.format_level != FORMAT_LEVEL {
            return Err(HeaderError::FormatLevel { found: wire.format_level });
        }
        let verbund = VerbundId::try_from(&wire.verbund[..])
            .map_err(|e| HeaderError::Verbund { found: e.found })?;
        let land = wire.land.parse().map_err(HeaderError::Land)?;
        let body_digest = Hash::try_from(&wire.body_digest[..])
            .map_err(|e| HeaderError::BodyDigest { found: e.found })?;
        let found = wire.references.len();
        if found > REFERENCES_MAX {
            return Err(HeaderError::TooManyReferences { found });
        }
        let references =
            wire.references.iter().enumerate().map(|(at, r)| Reference::from_wire(at, r));
        let header = Self {
            verbund,
            log: LogId { land, epoch: wire.epoch },
            index: wire.index,
            kind: Kind::from_wire(wire.kind),
            recorded_unix_ms: wire.recorded_unix_ms,
            object_id: optional_uuid(&wire.object_id)?,
            audience: wire.audience,
            batch_end: wire.batch_end,
            references: references.collect::<Result<_, _>>()?,
            principal: wire.principal,
            body_length: wire.body_length,
            body_digest,
            request: request_id(&wire.request)?,
        };
        header.check_values()?;
        Ok(header)
    }

    /// Encodes the header of a new entry. `Header::parse` reads back the same header.
    pub fn encode(&self) -> Result<Bytes, HeaderError> {
        self.check_values()?;
        let wire = EntryHeader {
            format_level: FORMAT_LEVEL,
            verbund: Bytes::copy_from_slice(self.verbund.as_bytes()),
            land: self.log.land.code().to_owned(),
            epoch: self.log.epoch,
            index: self.index,
            kind: self.kind.to_wire(),
            recorded_unix_ms: self.recorded_unix_ms,
            object_id: self.object_id.map_or_else(Bytes::new, uuid_bytes),
            audience: self.audience,
            batch_end: self.batch_end,
            references: self.references.iter().copied().map(Reference::to_wire).collect(),
            principal: self.principal.clone(),
            body_length: self.body_length,
            body_digest: Bytes::copy_from_slice(self.body_digest.as_bytes()),
            request: self.request.map(|it| Bytes::copy_from_slice(&it.0)).unwrap_or_default(),
        };
        let raw = wire.encode_to_vec();
        if raw.len() > HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong { found: raw.len() });
        }
        Ok(raw.into())
    }

    fn check_values(&self) -> Result<(), HeaderError> {
        if self.log.epoch == 0 {
            return Err(HeaderError::Epoch);
        }
        if self.references.len() > REFERENCES_MAX {
            return Err(HeaderError::TooManyReferences { found: self.references.len() });
        }
        if self.principal.len() > PRINCIPAL_BYTES_MAX {
            return Err(HeaderError::Principal { found: self.principal.len() });
        }
        if self.body_length > BODY_BYTES_MAX {
            return Err(HeaderError::BodyLength { found: self.body_length });
        }
        Ok(())
    }
}

// === impl Reference ===

impl Reference {
    fn from_wire(at: usize, wire: &EntryReference) -> Result<Self, HeaderError> {
        Ok(Self {
            land: wire.land.parse().map_err(|source| HeaderError::ReferenceLand { at, source })?,
            object_id: Uuid::from_slice(&wire.object_id)
                .map_err(|_| HeaderError::ReferenceObjectId { at, found: wire.object_id.len() })?,
            leaf_hash: Hash::try_from(&wire.leaf_hash[..])
                .map_err(|e| HeaderError::ReferenceLeafHash { at, found: e.found })?,
        })
    }

    fn to_wire(self) -> EntryReference {
        EntryReference {
            land: self.land.code().to_owned(),
            object_id: uuid_bytes(self.object_id),
            leaf_hash: Bytes::copy_from_slice(self.leaf_hash.as_bytes()),
        }
    }
}

// === impl Kind ===

impl Kind {
    /// From the number in the protos.
    pub fn from_wire(number: i32) -> Self {
        match number {
            1 => Self::ServiceDefinition,
            2 => Self::ServiceVersion,
            3 => Self::Unfenced,
            4 => Self::VersionStatus,
            5 => Self::SubscriptionMove,
            6 => Self::Anschluss,
            7 => Self::Bestaetigung,
            8 => Self::Mitzeichnung,
            9 => Self::Uebergabe,
            10 => Self::CharterVote,
            11 => Self::AuditHead,
            12 => Self::Erasure,
            13 => Self::Recovered,
            14 => Self::EpochReset,
            15 => Self::Contact,
            other => Self::Unknown(other),
        }
    }

    /// The number in the protos.
    pub fn to_wire(self) -> i32 {
        match self {
            Self::ServiceDefinition => 1,
            Self::ServiceVersion => 2,
            Self::Unfenced => 3,
            Self::VersionStatus => 4,
            Self::SubscriptionMove => 5,
            Self::Anschluss => 6,
            Self::Bestaetigung => 7,
            Self::Mitzeichnung => 8,
            Self::Uebergabe => 9,
            Self::CharterVote => 10,
            Self::AuditHead => 11,
            Self::Erasure => 12,
            Self::Recovered => 13,
            Self::EpochReset => 14,
            Self::Contact => 15,
            Self::Unknown(other) => other,
        }
    }
}

fn request_id(bytes: &[u8]) -> Result<Option<RequestId>, HeaderError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = bytes.try_into().map_err(|_| HeaderError::Request { found: bytes.len() })?;
    Ok(Some(RequestId(id)))
}

fn optional_uuid(bytes: &[u8]) -> Result<Option<Uuid>, HeaderError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let uuid = Uuid::from_slice(bytes);
    uuid.map(Some).map_err(|_| HeaderError::ObjectId { found: bytes.len() })
}

fn uuid_bytes(uuid: Uuid) -> Bytes {
    Bytes::copy_from_slice(uuid.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::leaf_hash;

    fn header() -> Header {
        Header {
            verbund: VerbundId::from_bytes([7; 32]),
            log: LogId { land: Land::SL, epoch: 1 },
            index: 17,
            kind: Kind::ServiceVersion,
            recorded_unix_ms: 1_790_000_000_123,
            object_id: Some(Uuid::from_bytes([1; 16])),
            audience: 1,
            batch_end: true,
            references: vec![Reference {
                land: Land::RP,
                object_id: Uuid::from_bytes([2; 16]),
                leaf_hash: leaf_hash(b"other"),
            }],
            principal: "p-0123".to_owned(),
            body_length: BODY_BYTES_MAX,
            body_digest: Hash::from_bytes([9; 32]),
            request: None,
        }
    }

    fn wire() -> EntryHeader {
        EntryHeader::decode(header().encode().unwrap()).unwrap()
    }

    /// The one place that touches the API: a change of a good header, and what becomes of it.
    #[track_caller]
    fn check_parse(change: impl FnOnce(&mut EntryHeader), expect: Result<Header, HeaderError>) {
        let mut wire = wire();
        change(&mut wire);
        assert_eq!(Header::parse(&wire.encode_to_vec()), expect);
    }

    #[test]
    fn what_is_encoded_parses_back() {
        let others = [
            Header { object_id: None, references: vec![], principal: String::new(), ..header() },
            Header { kind: Kind::Unknown(77), audience: 12, ..header() },
            Header { request: Some(RequestId([3; 16])), ..header() },
            Header { body_length: 0, batch_end: false, index: u64::MAX, ..header() },
            Header { recorded_unix_ms: i64::MIN, principal: "ü".repeat(32), ..header() },
            Header { references: vec![header().references[0]; REFERENCES_MAX], ..header() },
        ];
        for header in others.into_iter().chain([header()]) {
            let raw = header.encode().unwrap();
            assert_eq!(Header::parse(&raw), Ok(header.clone()));
            assert_eq!(Header::parse_shared(&raw), Ok(header));
        }
    }

    #[test]
    fn every_broken_rule_has_its_name() {
        use HeaderError as E;
        let land = |code: &str| code.parse::<Land>().unwrap_err();
        check_parse(|h| h.format_level = 0, Err(E::FormatLevel { found: 0 }));
        check_parse(|h| h.format_level = 2, Err(E::FormatLevel { found: 2 }));
        check_parse(|h| h.verbund.truncate(31), Err(E::Verbund { found: 31 }));
        check_parse(|h| h.land = "sl".into(), Err(E::Land(land("sl"))));
        check_parse(|h| h.land.clear(), Err(E::Land(land(""))));
        check_parse(|h| h.epoch = 0, Err(E::Epoch));
        check_parse(|h| h.request = vec![1; 15].into(), Err(E::Request { found: 15 }));
        check_parse(|h| h.object_id.truncate(15), Err(E::ObjectId { found: 15 }));
        check_parse(|h| h.object_id = vec![1; 17].into(), Err(E::ObjectId { found: 17 }));
        let reference = wire().references[0].clone();
        check_parse(
            |h| h.references = vec![reference; 65],
            Err(E::TooManyReferences { found: 65 }),
        );
        check_parse(
            |h| h.references[0].land = "XX".into(),
            Err(E::ReferenceLand { at: 0, source: land("XX") }),
        );
        check_parse(
            |h| h.references[0].object_id.clear(),
            Err(E::ReferenceObjectId { at: 0, found: 0 }),
        );
        check_parse(
            |h| h.references[0].leaf_hash.truncate(3),
            Err(E::ReferenceLeafHash { at: 0, found: 3 }),
        );
        check_parse(|h| h.principal = "p".repeat(65), Err(E::Principal { found: 65 }));
        check_parse(|h| h.body_length += 1, Err(E::BodyLength { found: BODY_BYTES_MAX + 1 }));
        check_parse(|h| h.body_digest.clear(), Err(E::BodyDigest { found: 0 }));
        check_parse(|h| h.kind = 0, Ok(Header { kind: Kind::Unknown(0), ..header() }));
        check_parse(|h| h.kind = -3, Ok(Header { kind: Kind::Unknown(-3), ..header() }));
        check_parse(|h| h.object_id.clear(), Ok(Header { object_id: None, ..header() }));
    }

    #[test]
    fn the_owner_cannot_encode_what_others_refuse() {
        let reference = header().references[0];
        for (broken, expect) in [
            (Header { log: LogId { land: Land::SL, epoch: 0 }, ..header() }, HeaderError::Epoch),
            (
                Header { principal: "p".repeat(65), ..header() },
                HeaderError::Principal { found: 65 },
            ),
            (
                Header { body_length: u32::MAX, ..header() },
                HeaderError::BodyLength { found: u32::MAX },
            ),
            (
                Header { references: vec![reference; 65], ..header() },
                HeaderError::TooManyReferences { found: 65 },
            ),
        ] {
            assert_eq!(broken.encode(), Err(expect));
        }
    }

    #[test]
    fn unknown_fields_are_accepted_up_to_the_longest_header() {
        // field 100, length-delimited, as long as the header may get
        let mut raw = header().encode().unwrap().to_vec();
        let room = HEADER_BYTES_MAX - raw.len() - 5;
        raw.extend([0xa2, 0x06]);
        prost::encode_length_delimiter(room, &mut raw).unwrap();
        raw.resize(HEADER_BYTES_MAX, 0xff);
        assert_eq!(Header::parse(&raw), Ok(header()));
        raw.push(0);
        assert_eq!(Header::parse(&raw), Err(HeaderError::TooLong { found: 65_536 }));
    }

    #[test]
    fn no_truncation_and_no_flipped_bit_panics() {
        let raw = header().encode().unwrap();
        for end in 0..raw.len() {
            assert!(Header::parse(&raw[..end]).is_err(), "cut at {end}");
        }
        for bit in 0..raw.len() * 8 {
            let mut raw = raw.to_vec();
            raw[bit / 8] ^= 1 << (bit % 8);
            let _ = Header::parse(&raw);
        }
        assert!(matches!(Header::parse(&[0xff; 40]), Err(HeaderError::Undecodable(_))));
    }
}
