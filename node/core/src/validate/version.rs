//! Rules of a service version: number, status, dates, note. What it offers stands in `offer.rs`.

use registry_proto::{
    terms::Date,
    wire::registry::{Lifecycle, ServiceVersion},
};

use crate::{
    limits::NOTE_CHARS_MAX,
    reject::FieldViolation,
    validate::{
        Validated, dates,
        findings::Findings,
        lists::{CodeLists, List},
        offer, record, text,
    },
};

/// Checks a version that is to be published. `today` is the day at the owner.
///
/// `path` is the place of the record in the request; every finding begins with it. That the number
/// is greater than the last one published is not checked here: it needs the other versions.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn version(
    record: ServiceVersion,
    path: &str,
    today: Date,
    lists: &CodeLists,
) -> Result<Validated<ServiceVersion>, Vec<FieldViolation>> {
    let mut findings = Findings::new(path);
    record::service_id(&mut findings, &record.service_id);
    record::semver(&mut findings, &record.version, "version");
    status(&mut findings, &record, lists);
    lifecycle(&mut findings, record.lifecycle);
    validity(&mut findings, &record);
    dates::retirement(&mut findings, &record.abkuendigung_am, &record.abschaltung_am);
    approval(&mut findings, &record, today);
    offer::check(&mut findings, &record, lists);
    match &record.versionshinweis {
        Some(note) => {
            text::required(&mut findings, &note.text, NOTE_CHARS_MAX, "versionshinweis.text");
        }
        None => findings.error(
            "versionshinweis",
            "VERSIONSHINWEIS_MISSING",
            "Versionshinweis fehlt: was hat sich geändert, müssen Nutzende handeln? (FIM)",
        ),
    }
    record::demonstration_fields(&mut findings, &record.demonstration_fields, &FIELDS);
    record::size(&mut findings, &record);
    findings.finish().map(|warnings| Validated { record, warnings })
}

fn status(findings: &mut Findings<'_>, record: &ServiceVersion, lists: &CodeLists) {
    const FIELD: &str = "freigabe_status";
    let status = record.freigabe_status;
    if !lists.contains(List::FreigabeStatus, &status.to_string()) {
        findings.error(
            FIELD,
            "FREIGABE_STATUS_UNKNOWN",
            format!("{status} ist kein Freigabestatus 1 bis 8 ({})", List::FreigabeStatus.source()),
        );
    } else if !RELEASED.contains(&status) {
        findings.error(
            FIELD,
            "FREIGABE_STATUS_NOT_RELEASED",
            format!(
                "Freigabestatus {status} wird nicht an Partner gegeben; veröffentlicht werden nur \
                 5 (fachlich freigegeben, silber) und 6 (gold) ({})",
                List::FreigabeStatus.source()
            ),
        );
    }
}

fn lifecycle(findings: &mut Findings<'_>, value: i32) {
    const FIELD: &str = "lifecycle";
    let name = match Lifecycle::try_from(value) {
        Ok(Lifecycle::Freigegeben) => return,
        Ok(Lifecycle::Unspecified) => {
            findings.error(
                FIELD,
                "LIFECYCLE_MISSING",
                "Lebenszyklus fehlt; veröffentlicht wird mit LIFECYCLE_FREIGEGEBEN",
            );
            return;
        }
        Err(_) => {
            findings.error(
                FIELD,
                "LIFECYCLE_UNKNOWN",
                format!(
                    "{value} ist kein Lebenszyklus; veröffentlicht wird mit LIFECYCLE_FREIGEGEBEN"
                ),
            );
            return;
        }
        Ok(Lifecycle::Entwurf) => "Entwürfe bleiben beim Land",
        Ok(Lifecycle::Abgekuendigt) => "abgekündigt wird eine veröffentlichte Version",
        Ok(Lifecycle::Abgeschaltet) => "abgeschaltet wird eine veröffentlichte Version",
        Ok(Lifecycle::Zurueckgezogen) => "zurückgezogen wird eine veröffentlichte Version",
    };
    findings.error(
        FIELD,
        "LIFECYCLE_NOT_FREIGEGEBEN",
        format!("{name}; eine neue Version wird mit LIFECYCLE_FREIGEGEBEN veröffentlicht"),
    );
}

fn validity(findings: &mut Findings<'_>, record: &ServiceVersion) {
    let from = dates::required(findings, &record.gueltig_ab, "gueltig_ab");
    let until = dates::optional(findings, &record.gueltig_bis, "gueltig_bis");
    if let (Some(from), Some(until)) = (from, until) {
        findings.require(from < until, "gueltig_bis", "GUELTIGKEIT_ORDER", || {
            format!("Ende {until} liegt nicht nach dem Beginn {from} (XZuFi gueltigkeit)")
        });
    }
}

fn approval(findings: &mut Findings<'_>, record: &ServiceVersion, today: Date) {
    const DAY: &str = "fachlich_freigegeben_am";
    const BODY: &str = "fachlich_freigegeben_durch";
    let released = RELEASED.contains(&record.freigabe_status);
    if record.fachlich_freigegeben_am.is_empty() && released {
        findings.error(
            DAY,
            "FACHLICHE_FREIGABE_AM_MISSING",
            "Tag der fachlichen Freigabe fehlt; nötig bei Freigabestatus 5 und 6 (XZuFi)",
        );
    }
    if let Some(day) = dates::optional(findings, &record.fachlich_freigegeben_am, DAY) {
        findings.require(day <= today, DAY, "FACHLICHE_FREIGABE_IN_FUTURE", || {
            format!("fachliche Freigabe {day} liegt in der Zukunft, heute ist {today} (XZuFi)")
        });
    }
    if record.fachlich_freigegeben_durch.trim().is_empty() && released {
        findings.error(
            BODY,
            "FACHLICHE_FREIGABE_DURCH_MISSING",
            "Stelle der fachlichen Freigabe fehlt; nötig bei Freigabestatus 5 und 6 (XZuFi)",
        );
    } else if !record.fachlich_freigegeben_durch.is_empty() {
        record::name(findings, &record.fachlich_freigegeben_durch, BODY);
    }
}

/// FIM status that goes to partners: silver and gold.
const RELEASED: [u32; 2] = [5, 6];

/// Fields that a demonstration may fill with invented values.
const FIELDS: [&str; 24] = [
    "version",
    "freigabe_status",
    "lifecycle",
    "gueltig_ab",
    "gueltig_bis",
    "abkuendigung_am",
    "abschaltung_am",
    "fachlich_freigegeben_am",
    "fachlich_freigegeben_durch",
    "onlinedienste",
    "reifegrad",
    "verfuegbarkeitsgebiet",
    "gebietsstand",
    "efa_checks",
    "nachnutzung",
    "lizenz",
    "parameter",
    "datenaustausch",
    "zustellungen",
    "dvdv_dienste",
    "zustaendige_stellen",
    "versionshinweis",
    "artefakte",
    "parameter_schema",
];
