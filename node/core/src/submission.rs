//! From an authorised envelope to bytes that can be appended: validated by the rules of the
//! catalogue, identified, encoded and digested. Pure and without the state of the log, so any
//! number of submissions can be prepared side by side; what needs the log follows in
//! [`crate::log`].

use bytes::Bytes;
use prost::Message;
use registry_proto::{
    log::{self, Hash, Kind},
    terms::{Land, SemVer, ServiceId},
    wire::registry::{Record, ServiceDefinition, ServiceVersion, Warning, record},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    envelope::Authorized,
    limits,
    reject::{FieldViolation, Reject},
    validate::{self, CodeLists},
};

/// Records that keep every rule that needs no log. Only [`Submission::validate`] makes it.
#[derive(Debug)]
pub struct Submission {
    pub(crate) records: Vec<Prepared>,
    pub(crate) ack_peers: u32,
    pub(crate) dry_run: bool,
    pub(crate) pseudonym: String,
    pub(crate) bytes: usize,
}

/// One record, ready to be staged.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) kind: Kind,
    pub(crate) service: ServiceId,
    pub(crate) version: Option<SemVer>,
    pub(crate) body: Bytes,
    pub(crate) salt: [u8; 16],
    pub(crate) body_digest: Hash,
    /// SHA-256 of the body without salt: equal content, equal value.
    pub(crate) content: Hash,
    pub(crate) warnings: Vec<Warning>,
    /// Path of the record in the request.
    pub(crate) path: String,
}

// === impl Submission ===

impl Submission {
    /// Validates every record, gives new services their UUID (v7), and encodes.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] with all violations of all records.
    pub fn validate(input: Authorized, land: Land, lists: &CodeLists) -> Result<Self, Reject> {
        let mut entropy = Entropy::new(input.entropy);
        let mut violations = Vec::new();
        let mut records = Vec::with_capacity(input.records.len());
        for (at, Record { record }) in input.records.into_iter().enumerate() {
            let prepared = match record {
                Some(record::Record::ServiceDefinition(mut it)) => {
                    if it.service_id.is_empty() {
                        it.service_id = entropy.uuid_v7(input.wall_ms).to_string();
                    }
                    if it.land.is_empty() {
                        it.land = land.code().to_owned();
                    }
                    let path = format!("records[{at}].service_definition");
                    validate::definition(it, &path, land, lists)
                        .and_then(|it| Prepared::definition(it, path, &mut entropy))
                }
                Some(record::Record::ServiceVersion(it)) => {
                    let path = format!("records[{at}].service_version");
                    validate::version(it, &path, input.today, lists)
                        .and_then(|it| Prepared::version(it, path, &mut entropy))
                }
                None => Err(vec![FieldViolation {
                    field: format!("records[{at}]"),
                    reason: "RECORD_KIND",
                    description: "empty, or of a kind this node does not know; expected \
                                  service_definition or service_version"
                        .to_owned(),
                }]),
            };
            match prepared {
                Ok(prepared) => records.push(prepared),
                Err(more) => violations.extend(more),
            }
        }
        if !violations.is_empty() {
            violations.truncate(limits::VIOLATIONS_MAX);
            return Err(Reject::Invalid(violations));
        }
        let bytes = records.iter().map(|it| it.body.len()).sum();
        Ok(Self {
            records,
            ack_peers: input.ack_peers,
            dry_run: input.dry_run,
            pseudonym: input.pseudonym,
            bytes,
        })
    }
}

// === impl Prepared ===

impl Prepared {
    fn definition(
        valid: validate::Validated<ServiceDefinition>,
        path: String,
        entropy: &mut Entropy,
    ) -> Result<Self, Vec<FieldViolation>> {
        let (record, warnings) = valid.into_parts();
        let service = parse_id(&record.service_id, &path)?;
        let body = encode(&record, &path)?;
        Ok(Self::new(Kind::ServiceDefinition, service, None, body, warnings, path, entropy))
    }

    fn version(
        valid: validate::Validated<ServiceVersion>,
        path: String,
        entropy: &mut Entropy,
    ) -> Result<Self, Vec<FieldViolation>> {
        let (record, warnings) = valid.into_parts();
        let service = parse_id(&record.service_id, &path)?;
        let version = record.version.parse::<SemVer>().map_err(|error| {
            vec![FieldViolation {
                field: format!("{path}.version"),
                reason: "VERSION_FORM",
                description: error.to_string(),
            }]
        })?;
        let body = encode(&record, &path)?;
        let kind = Kind::ServiceVersion;
        Ok(Self::new(kind, service, Some(version), body, warnings, path, entropy))
    }

    fn new(
        kind: Kind,
        service: ServiceId,
        version: Option<SemVer>,
        body: Bytes,
        warnings: Vec<FieldViolation>,
        path: String,
        entropy: &mut Entropy,
    ) -> Self {
        let salt = entropy.salt();
        let warnings = warnings
            .into_iter()
            .map(|it| Warning { field: it.field, description: it.description })
            .collect();
        Self {
            kind,
            service,
            version,
            salt,
            body_digest: log::body_digest(&salt, &body),
            content: content_of(&body),
            body,
            warnings,
            path,
        }
    }
}

/// Fresh bytes from one seed: SHA-256(seed ‖ counter), so that the core draws nothing itself.
#[derive(Debug)]
pub(crate) struct Entropy {
    seed: [u8; 32],
    counter: u64,
}

impl Entropy {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        let mut hasher = Sha256::new();
        hasher.update(self.seed);
        hasher.update(self.counter.to_be_bytes());
        hasher.finalize().into()
    }

    pub(crate) fn salt(&mut self) -> [u8; 16] {
        let block = self.block();
        let mut salt = [0; 16];
        salt.copy_from_slice(&block[..16]);
        salt
    }

    fn uuid_v7(&mut self, wall_ms: i64) -> Uuid {
        let block = self.block();
        let mut random = [0; 10];
        random.copy_from_slice(&block[..10]);
        let millis = u64::try_from(wall_ms).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// SHA-256 of a body without its salt.
pub(crate) fn content_of(body: &[u8]) -> Hash {
    Hash::from_bytes(Sha256::digest(body).into())
}

fn parse_id(text: &str, path: &str) -> Result<ServiceId, Vec<FieldViolation>> {
    text.parse::<ServiceId>().map_err(|error| {
        vec![FieldViolation {
            field: format!("{path}.service_id"),
            reason: "SERVICE_ID_FORM",
            description: error.to_string(),
        }]
    })
}

fn encode(record: &impl Message, path: &str) -> Result<Bytes, Vec<FieldViolation>> {
    let bytes = record.encoded_len();
    if bytes > limits::BODY_BYTES_MAX {
        return Err(vec![FieldViolation {
            field: path.to_owned(),
            reason: "RECORD_TOO_LARGE",
            description: format!(
                "{bytes} bytes encoded; expected at most {}",
                limits::BODY_BYTES_MAX
            ),
        }]);
    }
    Ok(record.encode_to_vec().into())
}
