//! Values of facts: a marker byte for the format, then protobuf.

use prost::Message;

/// What lists and searches need of a definition.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DefinitionFact {
    /// Official name, German if there is one.
    #[prost(string, tag = "1")]
    pub bezeichnung: String,
    /// Keys of a valid form.
    #[prost(string, repeated, tag = "2")]
    pub leistungsschluessel: Vec<String>,
    /// Code of the Themenfeld.
    #[prost(string, tag = "3")]
    pub themenfeld: String,
    /// OZG-IDs of a valid form.
    #[prost(string, repeated, tag = "4")]
    pub ozg_ids: Vec<String>,
    /// Recorded time of the owner.
    #[prost(int64, tag = "5")]
    pub recorded_unix_ms: i64,
    /// Leaf hash of the entry.
    #[prost(bytes = "vec", tag = "6")]
    pub leaf: Vec<u8>,
    /// Codes of the co-owners.
    #[prost(string, repeated, tag = "9")]
    pub mit_laender: Vec<String>,
    /// Countersignatures needed of them.
    #[prost(uint32, tag = "10")]
    pub mit_k: u32,
}

/// The part of a [`DefinitionFact`] that says who leads the service. The rest, which may be hundreds
/// of keys, is passed over.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeadersFact {
    /// Leaf hash of the entry.
    #[prost(bytes = "vec", tag = "6")]
    pub leaf: Vec<u8>,
    /// Codes of the co-owners.
    #[prost(string, repeated, tag = "9")]
    pub mit_laender: Vec<String>,
    /// Countersignatures needed of them.
    #[prost(uint32, tag = "10")]
    pub mit_k: u32,
}

/// What lists and resolutions need of a version; its number stands in the key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VersionFact {
    /// Lifecycle as published, also one this software does not know.
    #[prost(int32, tag = "1")]
    pub lifecycle: i32,
    /// First day of validity.
    #[prost(string, tag = "2")]
    pub gueltig_ab: String,
    /// Last day of validity, empty when open.
    #[prost(string, tag = "3")]
    pub gueltig_bis: String,
    /// FIM status.
    #[prost(uint32, tag = "4")]
    pub freigabe_status: u32,
    /// Recorded time of the owner.
    #[prost(int64, tag = "5")]
    pub recorded_unix_ms: i64,
    /// True when users must act.
    #[prost(bool, tag = "6")]
    pub breaking: bool,
    /// Leaf hash of the entry.
    #[prost(bytes = "vec", tag = "7")]
    pub leaf: Vec<u8>,
    /// Day of deprecation as published, empty when none.
    #[prost(string, tag = "8")]
    pub abkuendigung_am: String,
    /// Day of retirement as published, empty when none.
    #[prost(string, tag = "9")]
    pub abschaltung_am: String,
    /// Areas, significant digits.
    #[prost(string, repeated, tag = "10")]
    pub gebiete: Vec<String>,
}

/// A value that this software did not write.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Empty, or another marker.
    #[error("value has no known format marker")]
    Marker,
    /// Not the message.
    #[error("value is damaged")]
    Message(#[source] prost::DecodeError),
}

const MARKER: u8 = 1;

// === impl DefinitionFact ===

impl DefinitionFact {
    pub(super) fn encoded(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`ValueError`] if this software did not write it.
    pub fn parse(value: &[u8]) -> Result<Self, ValueError> {
        parse(value)
    }
}

// === impl LeadersFact ===

impl LeadersFact {
    /// Reads the value of a [`DefinitionFact`].
    ///
    /// # Errors
    ///
    /// [`ValueError`] if this software did not write it.
    pub fn parse(value: &[u8]) -> Result<Self, ValueError> {
        parse(value)
    }
}

// === impl VersionFact ===

impl VersionFact {
    /// The value in the index.
    pub fn encoded(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`ValueError`] if this software did not write it.
    pub fn parse(value: &[u8]) -> Result<Self, ValueError> {
        parse(value)
    }
}

pub(super) fn encoded(message: &impl Message) -> Vec<u8> {
    let mut value = vec![MARKER];
    value.extend(message.encode_to_vec());
    value
}

pub(super) fn parse<M: Message + Default>(value: &[u8]) -> Result<M, ValueError> {
    match value.split_first() {
        Some((&MARKER, message)) => M::decode(message).map_err(ValueError::Message),
        _ => Err(ValueError::Marker),
    }
}
