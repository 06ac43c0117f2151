//! Rules that definitions and versions share.

use std::collections::BTreeSet;

use prost::Message;
use registry_proto::terms::{Land, SemVer, ServiceId};

use crate::{
    limits::{BODY_BYTES_MAX, NAME_CHARS_MAX, RECORD_LIST_MAX},
    validate::{
        findings::{Field, Findings, Shown},
        text,
    },
};

/// Checks the id of the service: a UUID in its usual form. The caller MUST have filled it.
pub(super) fn service_id(findings: &mut Findings<'_>, id: &str) {
    const FIELD: &str = "service_id";
    if id.is_empty() {
        findings.error(FIELD, "SERVICE_ID_MISSING", "Kennung der Leistung fehlt (UUID, RFC 9562)");
        return;
    }
    let Ok(parsed) = id.parse::<ServiceId>() else {
        findings.error(
            FIELD,
            "SERVICE_ID_FORM",
            format!(
                "{} ist keine UUID der Form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx in Kleinbuchstaben \
                 (RFC 9562)",
                Shown(id)
            ),
        );
        return;
    };
    if !matches!(parsed.uuid().get_version_num(), 5 | 7) {
        findings.warning(
            FIELD,
            "SERVICE_ID_KIND",
            format!("{id} ist keine UUID der Version 7 (neu) oder 5 (aus einem Import; RFC 9562)"),
        );
    }
}

/// Checks that the encoded record fits into the body of a log entry, beside its salt.
pub(super) fn size(findings: &mut Findings<'_>, record: &impl Message) {
    let bytes = record.encoded_len();
    findings.require(bytes <= BODY_BYTES_MAX - SALT_BYTES, "size", "RECORD_BYTES", || {
        format!(
            "Datensatz hat {bytes} Byte, erlaubt sind höchstens {}",
            BODY_BYTES_MAX - SALT_BYTES
        )
    });
}

/// Checks that each entry of a list of codes is there once.
pub(super) fn unique<'r>(
    findings: &mut Findings<'_>,
    items: impl IntoIterator<Item = &'r str>,
    field: impl Field,
    member: &str,
    reason: &'static str,
) {
    let mut seen = BTreeSet::new();
    for (n, item) in items.into_iter().enumerate() {
        findings.require(seen.insert(item), format_args!("{field}[{n}]{member}"), reason, || {
            format!("{} kommt mehrfach vor", Shown(item))
        });
    }
}

/// Checks the names of the fields that hold demonstration values.
pub(super) fn demonstration_fields(findings: &mut Findings<'_>, names: &[String], known: &[&str]) {
    const FIELD: &str = "demonstration_fields";
    let names = findings.list(names, RECORD_LIST_MAX, FIELD);
    for (n, name) in names.iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        findings.require(known.contains(&name.as_str()), path, "DEMONSTRATION_FIELD", || {
            format!("{} ist kein Feld dieses Datensatzes", Shown(name))
        });
    }
    unique(findings, names.iter().map(String::as_str), FIELD, "", "DEMONSTRATION_FIELD_DUPLICATE");
}

/// Checks a name of 1 to [`NAME_CHARS_MAX`] characters.
pub(super) fn name(findings: &mut Findings<'_>, value: &str, field: impl Field) {
    text::required(findings, value, NAME_CHARS_MAX, field);
}

/// Checks that a value is one of a few; the noun with its article, and the source of the rule.
pub(super) fn one_of(
    findings: &mut Findings<'_>,
    value: &str,
    allowed: &[&str],
    field: impl Field,
    reason: &'static str,
    (noun, source): (&str, &str),
) {
    findings.require(allowed.contains(&value), field, reason, || {
        let allowed: Vec<&str> = allowed.iter().copied().filter(|one| !one.is_empty()).collect();
        format!("{} ist {noun}; erlaubt: {} ({source})", Shown(value), allowed.join(", "))
    });
}

/// Checks the number of a version.
pub(super) fn semver(
    findings: &mut Findings<'_>,
    value: &str,
    field: impl Field,
) -> Option<SemVer> {
    let version = value.parse().ok();
    findings.require(version.is_some(), field, "VERSION_FORM", || {
        format!(
            "{} ist keine Version der Form MAJOR.MINOR.PATCH (SemVer 2.0, ohne Zusätze)",
            Shown(value)
        )
    });
    version
}

/// Checks the code of a Land.
pub(super) fn land(findings: &mut Findings<'_>, value: &str, field: impl Field) -> Option<Land> {
    let land = value.parse().ok();
    findings.require(land.is_some(), field, "LAND_UNKNOWN", || {
        format!("{} ist kein Kürzel eines Landes wie SL, RP, HE, TH", Shown(value))
    });
    land
}

/// Ways of re-use.
pub(super) const MODELLE: [&str; 4] =
    ["verwaltungsabkommen", "fit_store", "efa_marktplatz", "kommunalvertreter"];

/// Salt in front of every body.
const SALT_BYTES: usize = 16;
