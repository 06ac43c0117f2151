//! Each rule of the numbers, states and dates of a version.

use registry_proto::wire::registry::{Lifecycle, Versionshinweis};

use super::{check_version as check, check_version_warns as check_warns, texts};

#[test]
fn service_id_is_a_uuid() {
    check(|r| r.service_id.clear(), &[("service_id", "SERVICE_ID_MISSING")]);
    check(|r| r.service_id = "1".to_owned(), &[("service_id", "SERVICE_ID_FORM")]);
}

#[test]
fn version_is_semver_without_extras() {
    for bad in ["", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-rc.1", "1.0.0+b1", "1.0.x"] {
        check(|r| r.version = bad.to_owned(), &[("version", "VERSION_FORM")]);
    }
}

#[test]
fn only_silver_and_gold_are_published() {
    check(|r| r.freigabe_status = 5, &[]);
    for status in [0, 9, u32::MAX] {
        check(|r| r.freigabe_status = status, &[("freigabe_status", "FREIGABE_STATUS_UNKNOWN")]);
    }
    for status in [1, 2, 3, 4, 7, 8] {
        check(
            |r| r.freigabe_status = status,
            &[("freigabe_status", "FREIGABE_STATUS_NOT_RELEASED")],
        );
    }
}

#[test]
fn a_version_begins_released() {
    for (value, reason) in [
        (0, "LIFECYCLE_MISSING"),
        (Lifecycle::Entwurf.into(), "LIFECYCLE_NOT_FREIGEGEBEN"),
        (Lifecycle::Abgekuendigt.into(), "LIFECYCLE_NOT_FREIGEGEBEN"),
        (Lifecycle::Abgeschaltet.into(), "LIFECYCLE_NOT_FREIGEGEBEN"),
        (Lifecycle::Zurueckgezogen.into(), "LIFECYCLE_NOT_FREIGEGEBEN"),
        (99, "LIFECYCLE_UNKNOWN"),
        (-1, "LIFECYCLE_UNKNOWN"),
    ] {
        check(|r| r.lifecycle = value, &[("lifecycle", reason)]);
    }
}

#[test]
fn validity_begins_before_it_ends() {
    check(|r| r.gueltig_ab.clear(), &[("gueltig_ab", "DATE_MISSING")]);
    for bad in ["1.12.2026", "2026-02-30", "2026-12-01T00:00:00Z", "2026-12"] {
        check(|r| r.gueltig_ab = bad.to_owned(), &[("gueltig_ab", "DATE_FORM")]);
    }
    check(|r| r.gueltig_bis = "2026-12-02".to_owned(), &[]);
    check(|r| r.gueltig_bis = "offen".to_owned(), &[("gueltig_bis", "DATE_FORM")]);
    for bad in ["2026-12-01", "2026-11-30"] {
        check(|r| r.gueltig_bis = bad.to_owned(), &[("gueltig_bis", "GUELTIGKEIT_ORDER")]);
    }
}

#[test]
fn retirement_follows_the_deprecation_by_three_months() {
    for (announced, retired, errors) in [
        ("2026-11-01", "2027-02-01", &[][..]),
        ("2026-11-30", "2027-05-01", &[]),
        ("2026-11-02", "2027-02-01", &[("abschaltung_am", "ABSCHALTUNG_TOO_EARLY")]),
        ("2026-11-02", "2026-08-01", &[("abschaltung_am", "ABSCHALTUNG_TOO_EARLY")]),
        ("9999-11-01", "9999-11-01", &[("abschaltung_am", "ABSCHALTUNG_TOO_EARLY")]),
        ("", "2027-02-01", &[("abkuendigung_am", "ABKUENDIGUNG_MISSING")]),
        ("bald", "2027-02-01", &[("abkuendigung_am", "DATE_FORM")]),
        ("2026-11-01", "bald", &[("abschaltung_am", "DATE_FORM")]),
        ("2026-11-01", "", &[]),
    ] {
        check(
            |r| {
                r.abkuendigung_am = announced.to_owned();
                r.abschaltung_am = retired.to_owned();
            },
            errors,
        );
    }
}

#[test]
fn retirement_on_another_day_than_usual_warns() {
    for (retired, warnings) in [
        ("2028-02-01", &[][..]),
        ("2028-05-01", &[]),
        ("2028-08-01", &[]),
        ("2028-11-01", &[]),
        ("2028-02-02", &[("abschaltung_am", "ABSCHALTUNG_DAY")]),
        ("2028-03-01", &[("abschaltung_am", "ABSCHALTUNG_DAY")]),
        ("2028-12-01", &[("abschaltung_am", "ABSCHALTUNG_DAY")]),
    ] {
        check_warns(
            |r| {
                r.abkuendigung_am = "2026-12-01".to_owned();
                r.abschaltung_am = retired.to_owned();
            },
            warnings,
        );
    }
}

#[test]
fn approval_is_named_and_not_in_the_future() {
    const DAY: &str = "fachlich_freigegeben_am";
    const BODY: &str = "fachlich_freigegeben_durch";
    check(|r| r.fachlich_freigegeben_am.clear(), &[(DAY, "FACHLICHE_FREIGABE_AM_MISSING")]);
    check(|r| r.fachlich_freigegeben_am = "x".to_owned(), &[(DAY, "DATE_FORM")]);
    check(
        |r| r.fachlich_freigegeben_am = "2026-11-24".to_owned(),
        &[(DAY, "FACHLICHE_FREIGABE_IN_FUTURE")],
    );
    for bad in ["", " "] {
        check(
            |r| r.fachlich_freigegeben_durch = bad.to_owned(),
            &[(BODY, "FACHLICHE_FREIGABE_DURCH_MISSING")],
        );
    }
    check(|r| r.fachlich_freigegeben_durch = "a".repeat(256), &[(BODY, "TEXT_LENGTH")]);
}

#[test]
fn versionshinweis_says_what_changed() {
    check(|r| r.versionshinweis = None, &[("versionshinweis", "VERSIONSHINWEIS_MISSING")]);
    check(
        |r| r.versionshinweis = Some(Versionshinweis::default()),
        &[("versionshinweis.text", "TEXT_MISSING")],
    );
}

#[test]
fn demonstration_fields_are_names_of_fields() {
    check(|r| r.demonstration_fields = texts(["lizenz"]), &[]);
    check(
        |r| r.demonstration_fields = texts(["herausgeber"]),
        &[("demonstration_fields[0]", "DEMONSTRATION_FIELD")],
    );
}
