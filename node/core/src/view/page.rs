//! Reads the fields of requests: identities, page sizes, page tokens.

use std::{fmt::Display, str::FromStr};

use registry_proto::terms::{Land, SemVer};
use uuid::Uuid;

use crate::{
    fold::keys,
    limits::PAGE_MAX,
    reject::{FieldViolation, Reject},
    validate::Shown,
};

/// Collects what is wrong with a request, so that all of it is reported at once.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<FieldViolation>);

/// Last service of a page of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AfterService {
    pub(super) land: Land,
    pub(super) service: Uuid,
}

/// Last version of a page of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AfterVersion {
    pub(super) of: AfterService,
    pub(super) number: SemVer,
}

/// Version of the layouts of page tokens.
const VERSION: u8 = 1;
const SERVICES: u8 = b's';
const VERSIONS: u8 = b'v';

// === impl Checks ===

impl Checks {
    /// Adds a finding.
    pub(super) fn add(
        &mut self,
        field: impl Into<String>,
        reason: &'static str,
        description: impl Display,
    ) {
        let description = description.to_string();
        self.0.push(FieldViolation { field: field.into(), reason, description });
    }

    /// Parses a field; a finding if it has another form.
    pub(super) fn parsed<T>(
        &mut self,
        field: impl Into<String>,
        reason: &'static str,
        text: &str,
    ) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let found = Shown(text);
                match expected(reason) {
                    Some(what) => self.add(field, reason, format_args!("{found} ist {what}")),
                    None => self.add(field, reason, format_args!("{found}: {error}")),
                }
                None
            }
        }
    }

    /// Parses a field that may be empty.
    pub(super) fn optional<T>(
        &mut self,
        field: &'static str,
        reason: &'static str,
        text: &str,
    ) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        if text.is_empty() { None } else { self.parsed(field, reason, text) }
    }

    /// Parses the UUID of a service.
    pub(super) fn service_id(&mut self, text: &str) -> Option<Uuid> {
        self.parsed("service_id", "UUID_FORM", text)
    }

    /// Parses a Land that may be empty.
    pub(super) fn land(&mut self, text: &str) -> Option<Land> {
        self.optional("land", "LAND_UNKNOWN", text)
    }

    /// The number of items asked for; 0 means `default`.
    pub(super) fn count(&mut self, field: &'static str, asked: u32, default: u32) -> usize {
        if asked > PAGE_MAX {
            self.add(field, "PAGE_SIZE", format_args!("{asked} ist mehr als {PAGE_MAX}"));
        }
        (if asked == 0 { default } else { asked.min(PAGE_MAX) }) as usize
    }

    /// Parses a page token that may be empty.
    pub(super) fn token<T>(&mut self, text: &str, parse: fn(&[u8]) -> Option<T>) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        let token = hex::decode(text).ok().and_then(|bytes| parse(&bytes));
        if token.is_none() {
            self.add(
                "page_token",
                "PAGE_TOKEN",
                "gehört nicht zu dieser Abfrage; ohne page_token neu beginnen",
            );
        }
        token
    }

    /// All findings as a refusal.
    pub(super) fn reject(self) -> Reject {
        Reject::Invalid(self.0)
    }

    /// Refuses if there are findings.
    pub(super) fn finish(self) -> Result<(), Reject> {
        if self.0.is_empty() { Ok(()) } else { Err(self.reject()) }
    }
}

/// What a value is not, for people.
fn expected(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "UUID_FORM" => "keine UUID (RFC 9562)",
        "LAND_UNKNOWN" => "kein Kürzel eines Landes wie SL, RP, HE, TH",
        "LEISTUNGSSCHLUESSEL_FORM" => "kein Leistungsschlüssel: 99 und zwölf Ziffern (FIM)",
        "ARS_FORM" => {
            "kein Regionalschlüssel: 2, 3, 5, 9 oder 12 Ziffern ab 01 bis 16, oder 00 für den Bund \
             (ARS)"
        }
        "DATE_FORM" => "kein Datum der Form JJJJ-MM-TT (ISO 8601)",
        "SEMVER_FORM" => "keine Version der Form MAJOR.MINOR.PATCH (SemVer 2.0)",
        "REQUIREMENT_FORM" => {
            "keine Anforderung an Versionen: 1.4.2 genau, ^1 oder ^1.4 verträglich, * alle (SemVer \
             2.0)"
        }
        "THEMENFELD_UNKNOWN" => "kein Themenfeld (OZG-Umsetzungskatalog, 14 Themenfelder)",
        "CODE_UNKNOWN" => "kein Wert der Codeliste",
        _ => return None,
    })
}

// === impl AfterService ===

impl AfterService {
    /// Token: version (1) | 's' | land (4) | service (16), in hexadecimal.
    pub(super) fn token(&self) -> String {
        hex::encode(self.bytes(SERVICES))
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION, SERVICES])?;
        if rest.len() == 20 { Self::of(rest) } else { None }
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let land = keys::land_of(bytes.get(..4)?).ok()?;
        let service = keys::uuid_of(bytes.get(4..20)?).ok()?;
        Some(Self { land, service })
    }

    fn bytes(&self, kind: u8) -> Vec<u8> {
        let mut bytes = vec![VERSION, kind];
        bytes.extend(keys::land_bytes(self.land));
        bytes.extend(self.service.as_bytes());
        bytes
    }
}

// === impl AfterVersion ===

impl AfterVersion {
    /// Token: version (1) | 'v' | land (4) | service (16) | SemVer (24), in hexadecimal.
    pub(super) fn token(&self) -> String {
        let mut bytes = self.of.bytes(VERSIONS);
        bytes.extend(self.number.order_key());
        hex::encode(bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION, VERSIONS])?;
        let number = keys::semver_of(rest.get(20..)?).ok()?;
        Some(Self { of: AfterService::of(rest)?, number })
    }
}
