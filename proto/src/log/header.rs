//! The header of an entry: what its owner signed, as a leaf of the tree.

use bytes::Bytes;
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
}

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
}

// === impl Header ===

impl Header {
    /// Reads the bytes of a header. Unknown fields and kinds are accepted.
    pub fn parse(raw: &[u8]) -> Result<Self, HeaderError> {
        if raw.len() > HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong { found: raw.len() });
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
            other => Self::Unknown(other),
        }
    }

    /// The number in the protos.
    pub fn to_wire(self) -> i32 {
        match self {
            Self::ServiceDefinition => 1,
            Self::ServiceVersion => 2,
            Self::Unfenced => 3,
            Self::Unknown(other) => other,
        }
    }
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
