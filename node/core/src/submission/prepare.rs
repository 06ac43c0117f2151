//! From a record of a request to bytes that can be appended.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use registry_proto::{
    log::{Kind, RequestId},
    terms::{Date, Land, SemVer, ServiceId},
    wire::registry::{ServiceDefinition, ServiceVersion, record},
};
use uuid::Uuid;

use super::{Entropy, Prepared};
use crate::{
    fold::Move,
    limits,
    log::editors_of,
    reject::FieldViolation,
    validate::{self, CodeLists, Validated},
};

/// What the making of records needs besides them.
pub(super) struct Make<'a> {
    pub(super) entropy: Entropy,
    pub(super) request: Option<RequestId>,
    pub(super) wall_ms: i64,
    pub(super) today: Date,
    pub(super) land: Land,
    pub(super) lists: &'a CodeLists,
}

type Violations = Vec<FieldViolation>;

// === impl Make ===

impl Make<'_> {
    /// Validates and encodes the record at this place of the request.
    pub(super) fn prepared(
        &mut self,
        at: usize,
        record: Option<record::Record>,
    ) -> Result<Prepared, Violations> {
        use record::Record as R;
        let path = |name: &str| format!("records[{at}].{name}");
        match record {
            Some(R::ServiceDefinition(it)) => self.definition(at, it, path("service_definition")),
            Some(R::ServiceVersion(it)) => {
                let path = path("service_version");
                let valid = validate::version(it, &path, self.today, self.lists)?;
                self.version(valid, path)
            }
            Some(R::VersionStatus(it)) => {
                let path = path("version_status");
                let valid = validate::moves::version_status(it, &path)?;
                self.moved(valid, Move::Status, path)
            }
            Some(R::SubscriptionMove(mut it)) => {
                if it.subscription_id.is_empty() {
                    it.subscription_id = self.new_id(at).to_string();
                }
                let path = path("subscription_move");
                let valid = validate::moves::subscription_move(it, &path, self.land, self.lists)?;
                self.moved(valid, Move::Subscription, path)
            }
            Some(R::Anschluss(it)) => {
                let path = path("anschluss");
                let valid = validate::moves::anschluss(it, &path, self.land, self.lists)?;
                self.moved(valid, Move::Anschluss, path)
            }
            Some(R::Bestaetigung(it)) => {
                let path = path("bestaetigung");
                let valid = validate::moves::bestaetigung(it, &path)?;
                self.moved(valid, Move::Bestaetigung, path)
            }
            Some(R::Mitzeichnung(it)) => {
                let path = path("mitzeichnung");
                let valid = validate::moves::mitzeichnung(it, &path, self.land)?;
                self.moved(valid, Move::Mitzeichnung, path)
            }
            Some(R::Uebergabe(it)) => {
                let path = path("uebergabe");
                let valid = validate::moves::uebergabe(it, &path, self.land)?;
                self.moved(valid, Move::Uebergabe, path)
            }
            Some(R::Kontakt(it)) => {
                let path = path("kontakt");
                let valid = validate::kontakt(it, &path)?;
                self.moved(valid, Move::Kontakt, path)
            }
            None => Err(vec![FieldViolation {
                field: format!("records[{at}]"),
                reason: "RECORD_KIND",
                description: "leer oder von einer Art, die dieser Knoten nicht kennt; erwartet \
                              wird service_definition, service_version oder ein Schritt"
                    .to_owned(),
            }]),
        }
    }

    fn definition(
        &mut self,
        at: usize,
        mut it: ServiceDefinition,
        path: String,
    ) -> Result<Prepared, Violations> {
        if it.service_id.is_empty() {
            it.service_id = self.new_id(at).to_string();
        }
        if it.land.is_empty() {
            it.land = self.land.code().to_owned();
        }
        let valid = validate::definition(it, &path, self.land, self.lists)?;
        let (record, warnings) = valid.into_parts();
        let service = parse_id(&record.service_id, &path, "service_id")?;
        let body = encode(&record, &path)?;
        let editors = editors_of(&record);
        let made = self.made(Kind::ServiceDefinition, service, body, warnings, path);
        let themenfeld = record.themenfeld.parse().ok();
        Ok(Prepared { editors, schluessel: record.leistungsschluessel, themenfeld, ..made })
    }

    fn version(
        &mut self,
        valid: Validated<ServiceVersion>,
        path: String,
    ) -> Result<Prepared, Violations> {
        let (record, warnings) = valid.into_parts();
        let service = parse_id(&record.service_id, &path, "service_id")?;
        let version = semver(&record.version, &path)?;
        let body = encode(&record, &path)?;
        let made = self.made(Kind::ServiceVersion, service, body, warnings, path);
        Ok(Prepared { version: Some(version), release: Some(Arc::new(record)), ..made })
    }

    fn moved<T: Clone + Message>(
        &mut self,
        valid: Validated<T>,
        said: fn(T) -> Move,
        path: String,
    ) -> Result<Prepared, Violations> {
        let (record, warnings) = valid.into_parts();
        let body = encode(&record, &path)?;
        let said = said(record);
        let id = |text: &str, field| parse_id(text, &path, field);
        let (kind, object, service, version) = match &said {
            Move::Status(it) => {
                let service = id(&it.service_id, "service_id")?;
                let version = semver(&it.version, &path)?;
                (Kind::VersionStatus, service, Some(service), Some(version))
            }
            Move::Subscription(it) => {
                let service = id(&it.service_id, "service_id")?;
                let object = id(&it.subscription_id, "subscription_id")?;
                (Kind::SubscriptionMove, object, Some(service), None)
            }
            Move::Anschluss(it) => {
                (Kind::Anschluss, id(&it.subscription_id, "subscription_id")?, None, None)
            }
            Move::Bestaetigung(it) => {
                let service = id(&it.service_id, "service_id")?;
                let version = semver(&it.version, &path)?;
                let object = id(&it.subscription_id, "subscription_id")?;
                (Kind::Bestaetigung, object, Some(service), Some(version))
            }
            Move::Mitzeichnung(it) => {
                let service = id(&it.service_id, "service_id")?;
                (Kind::Mitzeichnung, service, Some(service), None)
            }
            Move::Uebergabe(it) => {
                let service = id(&it.service_id, "service_id")?;
                (Kind::Uebergabe, service, Some(service), None)
            }
            Move::Kontakt(it) => {
                let service = id(&it.service_id, "service_id")?;
                (Kind::Contact, service, Some(service), None)
            }
        };
        let about_subscription =
            matches!(kind, Kind::SubscriptionMove | Kind::Anschluss | Kind::Bestaetigung);
        let made = self.made(kind, object, body, warnings, path);
        Ok(Prepared {
            // of a connected Kommune the catalogue knows the service
            of_service: service.unwrap_or(object),
            subscription: about_subscription.then(|| object.uuid()),
            version,
            said: Some(said),
            ..made
        })
    }

    fn made(
        &mut self,
        kind: Kind,
        object: ServiceId,
        body: Bytes,
        warnings: Violations,
        path: String,
    ) -> Prepared {
        Prepared::found(kind, object, self.entropy.salt(), body, warnings, path)
    }

    /// A UUID for what has none yet.
    fn new_id(&mut self, at: usize) -> Uuid {
        match self.request {
            Some(RequestId(name)) => {
                Uuid::new_v5(&Uuid::from_bytes(name), at.to_string().as_bytes())
            }
            None => self.entropy.uuid_v7(self.wall_ms),
        }
    }
}

fn semver(text: &str, path: &str) -> Result<SemVer, Violations> {
    text.parse::<SemVer>().map_err(|error| {
        vec![FieldViolation {
            field: format!("{path}.version"),
            reason: "VERSION_FORM",
            description: format!(
                "{} ist keine Version MAJOR.MINOR.PATCH (SemVer 2.0; {error})",
                validate::Shown(text)
            ),
        }]
    })
}

fn parse_id(text: &str, path: &str, field: &str) -> Result<ServiceId, Violations> {
    text.parse::<ServiceId>().map_err(|error| {
        vec![FieldViolation {
            field: format!("{path}.{field}"),
            reason: "SERVICE_ID_FORM",
            description: format!("{} ist keine UUID ({error})", validate::Shown(text)),
        }]
    })
}

fn encode(record: &impl Message, path: &str) -> Result<Bytes, Violations> {
    let bytes = record.encoded_len();
    if bytes > limits::RECORD_BYTES_MAX {
        return Err(vec![FieldViolation {
            field: path.to_owned(),
            reason: "RECORD_TOO_LARGE",
            description: format!(
                "kodiert {bytes} Byte, erlaubt sind höchstens {}",
                limits::RECORD_BYTES_MAX
            ),
        }]);
    }
    Ok(record.encode_to_vec().into())
}
