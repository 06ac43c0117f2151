//! Days, and the notice before a version is switched off.

use registry_proto::terms::Date;

use crate::validate::findings::{Findings, Shown};

/// A day that must be there.
pub(super) fn required(
    findings: &mut Findings<'_>,
    value: &str,
    field: &'static str,
) -> Option<Date> {
    if value.is_empty() {
        findings.error(field, "DATE_MISSING", "Datum fehlt (Pflichtfeld, JJJJ-MM-TT)");
        return None;
    }
    optional(findings, value, field)
}

/// A day that may be missing.
pub(super) fn optional(
    findings: &mut Findings<'_>,
    value: &str,
    field: &'static str,
) -> Option<Date> {
    if value.is_empty() {
        return None;
    }
    let date = value.parse().ok();
    findings.require(date.is_some(), field, "DATE_FORM", || {
        format!("{} ist kein Datum der Form JJJJ-MM-TT (ISO 8601)", Shown(value))
    });
    date
}

/// Checks the fields `abkuendigung_am` and `abschaltung_am`, each of which may be missing.
pub(super) fn retirement(findings: &mut Findings<'_>, announced: &str, retired: &str) {
    const FIELD: &str = "abschaltung_am";
    let announced_missing = announced.is_empty();
    let announced = optional(findings, announced, "abkuendigung_am");
    let Some(retired) = optional(findings, retired, FIELD) else { return };
    if announced_missing {
        findings.error(
            "abkuendigung_am",
            "ABKUENDIGUNG_MISSING",
            format!("zur Abschaltung am {retired} fehlt der Tag der Abkündigung (PVOG)"),
        );
    }
    if let Some(announced) = announced {
        let earliest = announced.plus_months(NOTICE_MONTHS);
        findings.require(
            earliest.is_some_and(|earliest| retired >= earliest),
            FIELD,
            "ABSCHALTUNG_TOO_EARLY",
            || {
                format!(
                    "Abschaltung {retired} liegt weniger als {NOTICE_MONTHS} Monate nach der \
                     Abkündigung {announced} (PVOG)"
                )
            },
        );
    }
    if !is_retirement_day(retired) {
        findings.warning(
            FIELD,
            "ABSCHALTUNG_DAY",
            format!("{retired} ist keiner der üblichen Tage 1.2., 1.5., 1.8., 1.11. (PVOG)"),
        );
    }
}

/// The days on which interfaces are switched off: 1 February, May, August, November.
fn is_retirement_day(date: Date) -> bool {
    let (_, month, day) = date.to_time().to_calendar_date();
    day == 1 && u8::from(month) % 3 == 2
}

/// Months between deprecation and retirement.
const NOTICE_MONTHS: u32 = 3;
