//! Rules of the files that belong to a version. Their bytes are checked where they arrive.

use registry_proto::wire::registry::Artefakt;

use crate::{
    limits::{ARTEFACT_BYTES_MAX, ARTEFACT_CHUNK_BYTES, ARTEFACTS_MAX, NAME_CHARS_MAX},
    validate::{
        findings::{Field, Findings, Shown},
        form, latin, record,
    },
};

pub(super) fn artefakte(findings: &mut Findings<'_>, all: &[Artefakt]) {
    const FIELD: &str = "artefakte";
    let all = findings.list(all, ARTEFACTS_MAX, FIELD);
    for (n, one) in all.iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        name(findings, &one.name, format_args!("{path}.name"));
        record::one_of(
            findings,
            &one.typ,
            &["awml", "xdatenfelder", "bpmn", "openapi", "json_schema", "pdf", "bild", "andere"],
            format_args!("{path}.typ"),
            "ARTEFAKT_TYP",
            ("keine Art von Datei", "Regel dieses Registers"),
        );
        findings.require(
            form::media_type(&one.medientyp),
            format_args!("{path}.medientyp"),
            "ARTEFAKT_MEDIENTYP",
            || {
                format!(
                    "{} ist kein Medientyp der Form typ/untertyp, zum Beispiel application/pdf \
                     (RFC 6838)",
                    Shown(&one.medientyp)
                )
            },
        );
        content(findings, one, path);
    }
    let names = all.iter().map(|one| one.name.as_str());
    record::unique(findings, names, FIELD, ".name", "ARTEFAKT_DUPLICATE");
}

/// Checks a file name: no folder, nothing that a file system or a reader could take for another.
fn name(findings: &mut Findings<'_>, name: &str, field: impl Field) {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.contains(['/', '\\'])
        && !name.chars().any(|c| c.is_control() || super::text::is_direction_control(c))
        && !matches!(name, "." | "..")
        && name.trim() == name
        && !matches!(latin::scan(name), latin::Latin::Foreign(..));
    findings.require(fits, field, "ARTEFAKT_NAME", || {
        format!(
            "{} ist kein Dateiname: 1 bis {NAME_CHARS_MAX} Zeichen ohne /, \\, Steuerzeichen und \
             Leerraum am Rand (String.Latin)",
            Shown(name)
        )
    });
}

fn content(findings: &mut Findings<'_>, one: &Artefakt, path: impl Field) {
    let bytes = one.bytes;
    let sized = (1..=ARTEFACT_BYTES_MAX).contains(&bytes);
    findings.require(sized, format_args!("{path}.bytes"), "ARTEFAKT_BYTES", || {
        format!("{bytes} Byte; eine Datei hat 1 bis {ARTEFACT_BYTES_MAX} Byte, 2 GiB")
    });
    hash(findings, &one.sha256, format_args!("{path}.sha256"));
    if !sized {
        return;
    }
    let expected = bytes.div_ceil(ARTEFACT_CHUNK_BYTES);
    let found = one.chunks.len();
    let counted = u64::try_from(found).is_ok_and(|found| found == expected);
    findings.require(counted, format_args!("{path}.chunks"), "ARTEFAKT_CHUNKS", || {
        format!(
            "{found} Stücke, bei {bytes} Byte sind es {expected}, je {} MiB",
            ARTEFACT_CHUNK_BYTES >> 20
        )
    });
    if !counted {
        return;
    }
    for (n, chunk) in one.chunks.iter().enumerate() {
        hash(findings, chunk, format_args!("{path}.chunks[{n}]"));
    }
    if let [only] = one.chunks.as_slice() {
        findings.require(
            *only == one.sha256,
            format_args!("{path}.chunks[0]"),
            "ARTEFAKT_HASH",
            || "ein einziges Stück hat denselben SHA-256 wie die Datei".to_owned(),
        );
    }
}

fn hash(findings: &mut Findings<'_>, bytes: &[u8], field: impl Field) {
    findings.require(bytes.len() == SHA256_BYTES, field, "ARTEFAKT_SHA256", || {
        format!("{} Byte sind kein SHA-256; erwartet werden {SHA256_BYTES}", bytes.len())
    });
}

const SHA256_BYTES: usize = 32;
