//! Rules of what Länder do with services and versions once they are published.
//!
//! Only what one record says about itself: whether a move fits the state that the moves before it
//! made is decided where the log is at hand.

use registry_proto::{
    terms::{Land, ServiceId},
    wire::registry::{
        Bestaetigung, Lifecycle, Mitzeichnung, Uebergabe, UebergabeSchritt, VersionStatus,
    },
};
use uuid::Uuid;

pub use super::nachnutzung::{anschluss, subscription_move};
use crate::{
    limits::NOTE_CHARS_MAX,
    reject::FieldViolation,
    validate::{
        Validated, dates,
        findings::{Field, Findings, Shown},
        record, text,
    },
};

/// Checks a move of a version in its lifecycle.
///
/// `path` is the place of the record in the request; every finding begins with it. Not checked:
/// that the version exists, in which state it is, and who has acknowledged.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn version_status(
    record: VersionStatus,
    path: &str,
) -> Result<Validated<VersionStatus>, Vec<FieldViolation>> {
    let mut findings = Findings::new(path);
    record::service_id(&mut findings, &record.service_id);
    record::semver(&mut findings, &record.version, "version");
    let lifecycle = target(&mut findings, record.lifecycle);
    if lifecycle == Some(Lifecycle::Abgekuendigt) {
        for (field, value) in [
            ("abkuendigung_am", &record.abkuendigung_am),
            ("abschaltung_am", &record.abschaltung_am),
        ] {
            findings.require(!value.is_empty(), field, "DATE_MISSING", || {
                "Datum fehlt (Pflichtfeld bei LIFECYCLE_ABGEKUENDIGT, JJJJ-MM-TT)".to_owned()
            });
        }
    }
    let announced = &record.abkuendigung_am;
    if lifecycle == Some(Lifecycle::Abgekuendigt) && announced.is_empty() {
        dates::optional(&mut findings, &record.abschaltung_am, "abschaltung_am");
    } else {
        dates::retirement(&mut findings, announced, &record.abschaltung_am);
    }
    successor(&mut findings, &record);
    let needs_reason = lifecycle == Some(Lifecycle::Zurueckgezogen);
    reason(&mut findings, &record.grund, needs_reason, "LIFECYCLE_ZURUECKGEZOGEN");
    let without = &record.ohne_bestaetigung_grund;
    text::optional(&mut findings, without, NOTE_CHARS_MAX, "ohne_bestaetigung_grund");
    finish(findings, record)
}

/// Checks an acknowledgement. The caller MUST know that the Nachnutzung is one of the acting Land.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn bestaetigung(
    record: Bestaetigung,
    path: &str,
) -> Result<Validated<Bestaetigung>, Vec<FieldViolation>> {
    const FIELD: &str = "anlass";
    let mut findings = Findings::new(path);
    subscription_id(&mut findings, &record.subscription_id);
    record::service_id(&mut findings, &record.service_id);
    record::semver(&mut findings, &record.version, "version");
    let fits = matches!(
        Lifecycle::try_from(record.anlass),
        Ok(Lifecycle::Freigegeben
            | Lifecycle::Abgekuendigt
            | Lifecycle::Abgeschaltet
            | Lifecycle::Zurueckgezogen)
    );
    findings.require(fits, FIELD, "ANLASS", || {
        format!(
            "{} kann nicht bestätigt werden; erlaubt: LIFECYCLE_FREIGEGEBEN (einer Version, die \
             bricht), LIFECYCLE_ABGEKUENDIGT, LIFECYCLE_ABGESCHALTET, LIFECYCLE_ZURUECKGEZOGEN",
            lifecycle_name(record.anlass)
        )
    });
    text::optional(&mut findings, &record.hinweis, NOTE_CHARS_MAX, "hinweis");
    finish(findings, record)
}

/// Checks a countersignature of `acting`.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn mitzeichnung(
    record: Mitzeichnung,
    path: &str,
    acting: Land,
) -> Result<Validated<Mitzeichnung>, Vec<FieldViolation>> {
    let mut findings = Findings::new(path);
    record::service_id(&mut findings, &record.service_id);
    if let Some(owner) = record::land(&mut findings, &record.land, "land") {
        findings.require(owner != acting, "land", "LAND_OWN", || {
            format!(
                "{owner} ist das eigene Land; mitgezeichnet wird ein Eintrag eines anderen Landes \
                 (Mitfederführung)"
            )
        });
    }
    leaf_hash(&mut findings, &record.leaf_hash, "leaf_hash");
    finish(findings, record)
}

/// Checks what `acting` says about a handover.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn uebergabe(
    record: Uebergabe,
    path: &str,
    acting: Land,
) -> Result<Validated<Uebergabe>, Vec<FieldViolation>> {
    const OFFER: &str = "angebot";
    let mut findings = Findings::new(path);
    record::service_id(&mut findings, &record.service_id);
    let from = record::land(&mut findings, &record.von_land, "von_land");
    let to = record::land(&mut findings, &record.an_land, "an_land");
    if let (Some(from), Some(to)) = (from, to) {
        findings.require(from != to, "an_land", "LAENDER_EQUAL", || {
            format!("{to} hat die Leistung schon; übergeben wird sie an ein anderes Land")
        });
    }
    let (field, actor) = match UebergabeSchritt::try_from(record.schritt) {
        Ok(UebergabeSchritt::Angebot) => {
            findings.require(record.angebot.is_empty(), OFFER, "ANGEBOT_UNEXPECTED", || {
                "ein Angebot bezieht sich auf keines; das Feld bleibt leer".to_owned()
            });
            ("von_land", from)
        }
        Ok(UebergabeSchritt::Ruecknahme) => {
            leaf_hash(&mut findings, &record.angebot, OFFER);
            ("von_land", from)
        }
        Ok(UebergabeSchritt::Annahme) => {
            leaf_hash(&mut findings, &record.angebot, OFFER);
            ("an_land", to)
        }
        Ok(UebergabeSchritt::Unspecified) | Err(_) => {
            findings.error(
                "schritt",
                "UEBERGABE_SCHRITT",
                format!(
                    "{} ist kein Schritt einer Übergabe; erlaubt: UEBERGABE_SCHRITT_ANGEBOT, \
                     UEBERGABE_SCHRITT_ANNAHME, UEBERGABE_SCHRITT_RUECKNAHME",
                    record.schritt
                ),
            );
            return finish(findings, record);
        }
    };
    if let Some(actor) = actor {
        findings.require(actor == acting, field, "LAND_FOREIGN", || {
            format!(
                "{actor} ist nicht das Land dieses Knotens ({acting}); ein Angebot macht und nimmt \
                 zurück, wer die Leistung hat, es nimmt an, wer sie bekommt"
            )
        });
    }
    finish(findings, record)
}

/// The state that a version is to have; only those that follow a publication.
fn target(findings: &mut Findings<'_>, value: i32) -> Option<Lifecycle> {
    let lifecycle = Lifecycle::try_from(value).ok().filter(|lifecycle| {
        matches!(
            lifecycle,
            Lifecycle::Abgekuendigt | Lifecycle::Abgeschaltet | Lifecycle::Zurueckgezogen
        )
    });
    findings.require(lifecycle.is_some(), "lifecycle", "LIFECYCLE_TARGET", || {
        format!(
            "{} kann einer veröffentlichten Version nicht gegeben werden; erlaubt: \
             LIFECYCLE_ABGEKUENDIGT, LIFECYCLE_ABGESCHALTET, LIFECYCLE_ZURUECKGEZOGEN",
            lifecycle_name(value)
        )
    });
    lifecycle
}

fn successor(findings: &mut Findings<'_>, record: &VersionStatus) {
    const VERSION: &str = "nachfolger_version";
    const SERVICE: &str = "nachfolger_service_id";
    if !record.nachfolger_version.is_empty() {
        record::semver(findings, &record.nachfolger_version, VERSION);
        let other = record.nachfolger_version != record.version;
        findings.require(other, VERSION, "NACHFOLGER_SELF", || {
            format!("{} kann sich nicht selbst ablösen", Shown(&record.version))
        });
    }
    if record.nachfolger_service_id.is_empty() {
        return;
    }
    let id = &record.nachfolger_service_id;
    findings.require(id.parse::<ServiceId>().is_ok(), SERVICE, "SERVICE_ID_FORM", || {
        format!("{} ist keine UUID in Kleinbuchstaben (RFC 9562)", Shown(id))
    });
    findings.require(*id != record.service_id, SERVICE, "NACHFOLGER_SELF", || {
        format!("{} kann sich nicht selbst ablösen; für dieselbe Leistung: {VERSION}", Shown(id))
    });
}

/// Checks why something is done; `state` names when it must be said.
pub(super) fn reason(findings: &mut Findings<'_>, grund: &str, required: bool, state: &str) {
    if required && grund.trim().is_empty() {
        findings.error("grund", "GRUND_MISSING", format!("Grund fehlt (Pflichtfeld bei {state})"));
    } else {
        text::optional(findings, grund, NOTE_CHARS_MAX, "grund");
    }
}

/// Checks the id of a Nachnutzung. The caller MUST have filled it.
pub(super) fn subscription_id(findings: &mut Findings<'_>, id: &str) {
    let uuid = id.len() == 36
        && Uuid::try_parse(id).is_ok_and(|uuid| uuid.as_hyphenated().to_string() == id);
    findings.require(uuid, "subscription_id", "SUBSCRIPTION_ID_FORM", || {
        format!("{} ist keine UUID in Kleinbuchstaben (RFC 9562)", Shown(id))
    });
}

/// The record with its warnings, or its errors.
pub(super) fn finish<T: prost::Message>(
    mut findings: Findings<'_>,
    record: T,
) -> Result<Validated<T>, Vec<FieldViolation>> {
    record::size(&mut findings, &record);
    findings.finish().map(|warnings| Validated { record, warnings })
}

fn leaf_hash(findings: &mut Findings<'_>, bytes: &[u8], field: impl Field) {
    findings.require(bytes.len() == LEAF_HASH_BYTES, field, "LEAF_HASH_LENGTH", || {
        format!(
            "{} Byte sind kein Hash eines Eintrags; erwartet werden {LEAF_HASH_BYTES} (SHA-256)",
            bytes.len()
        )
    });
}

fn lifecycle_name(value: i32) -> String {
    match Lifecycle::try_from(value) {
        Ok(lifecycle) => lifecycle.as_str_name().to_owned(),
        Err(_) => value.to_string(),
    }
}

const LEAF_HASH_BYTES: usize = 32;
