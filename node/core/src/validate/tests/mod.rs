//! One minimal valid fixture for each kind of record, and one mutation for each rule.

mod arbitrary;
mod catalogue_dirt;
mod definition;
mod moves;
mod offer;
mod parts;
mod version;

use registry_proto::{
    terms::{Date, Land},
    wire::registry::{
        Datenaustausch, Handlungsgrundlage, Herausgeber, Lifecycle, LocalizedText, Nachnutzung,
        Onlinedienst, ServiceDefinition, ServiceVersion, Versionshinweis,
    },
};

use super::CodeLists;
use crate::reject::FieldViolation;

/// Field and reason of a finding.
type Finding<'a> = (&'a str, &'a str);

pub(crate) fn minimal_definition() -> ServiceDefinition {
    ServiceDefinition {
        service_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        land: "SL".to_owned(),
        leistungsschluessel: vec!["99012001001000".to_owned()],
        typisierung: vec!["2/3a".to_owned()],
        themenfeld: "bauen_wohnen".to_owned(),
        bezeichnung: vec![text("de", "Abbruchgenehmigung Erteilung")],
        handlungsgrundlagen: vec![Handlungsgrundlage {
            text: "§ 60 Landesbauordnung".to_owned(),
            url: "https://recht.example/lbo/60".to_owned(),
        }],
        leistungsadressaten: vec!["001".to_owned()],
        herausgeber: Some(Herausgeber { id: "L100001".to_owned(), name: "Ministerium".to_owned() }),
        ..ServiceDefinition::default()
    }
}

pub(crate) fn minimal_version() -> ServiceVersion {
    ServiceVersion {
        service_id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        version: "1.0.0".to_owned(),
        freigabe_status: 6,
        lifecycle: Lifecycle::Freigegeben.into(),
        gueltig_ab: "2026-12-01".to_owned(),
        fachlich_freigegeben_am: "2026-11-23".to_owned(),
        fachlich_freigegeben_durch: "Ministerium".to_owned(),
        onlinedienste: vec![Onlinedienst {
            link: "https://sl.example/antrag".to_owned(),
            linktyp: "01".to_owned(),
            titel: "Antrag".to_owned(),
            language_code: "de".to_owned(),
            vertrauensniveau: "30".to_owned(),
            ..Onlinedienst::default()
        }],
        verfuegbarkeitsgebiet: vec!["10".to_owned()],
        gebietsstand: "2023-11-30".to_owned(),
        nachnutzung: vec![Nachnutzung {
            modell: "fit_store".to_owned(),
            vertrag_id: "4711".to_owned(),
            ..Nachnutzung::default()
        }],
        lizenz: "EUPL-1.2".to_owned(),
        datenaustausch: vec![Datenaustausch {
            standard: "urn:xoev-de:bmk:standard:xbau".to_owned(),
            version: "2.3".to_owned(),
            transport: "fit_connect".to_owned(),
        }],
        versionshinweis: Some(Versionshinweis { text: "Neu.".to_owned(), breaking: false }),
        ..ServiceVersion::default()
    }
}

fn text(language_code: &str, text: &str) -> LocalizedText {
    LocalizedText { language_code: language_code.to_owned(), text: text.to_owned() }
}

fn texts<const N: usize>(values: [&str; N]) -> Vec<String> {
    values.map(str::to_owned).to_vec()
}

fn today() -> Date {
    "2026-11-23".parse().unwrap()
}

fn pairs(findings: &[FieldViolation]) -> Vec<Finding<'_>> {
    findings.iter().map(|one| (one.field.as_str(), one.reason)).collect()
}

/// Publishes the fixture with one change for the Saarland, and compares the errors.
#[track_caller]
fn check_definition(change: impl FnOnce(&mut ServiceDefinition), errors: &[Finding<'_>]) {
    let mut record = minimal_definition();
    change(&mut record);
    let found = super::definition(record, "", Land::SL, CodeLists::shipped());
    assert_eq!(pairs(&found.err().unwrap_or_default()), errors);
}

/// The same for warnings; there must be no error.
#[track_caller]
fn check_definition_warns(change: impl FnOnce(&mut ServiceDefinition), warnings: &[Finding<'_>]) {
    let mut record = minimal_definition();
    change(&mut record);
    let found = super::definition(record, "", Land::SL, CodeLists::shipped()).expect("valid");
    assert_eq!(pairs(found.warnings()), warnings);
}

/// Publishes the fixture with one change on 2026-11-23, and compares the errors.
#[track_caller]
fn check_version(change: impl FnOnce(&mut ServiceVersion), errors: &[Finding<'_>]) {
    let mut record = minimal_version();
    change(&mut record);
    let found = super::version(record, "", today(), CodeLists::shipped());
    assert_eq!(pairs(&found.err().unwrap_or_default()), errors);
}

/// The same for warnings, without the one that the fixture has no EfA declaration.
#[track_caller]
fn check_version_warns(change: impl FnOnce(&mut ServiceVersion), warnings: &[Finding<'_>]) {
    let mut record = minimal_version();
    change(&mut record);
    let found = super::version(record, "", today(), CodeLists::shipped()).expect("valid");
    let mut found = pairs(found.warnings());
    found.retain(|pair| *pair != ("efa_checks", "EFA_DIMENSION_MISSING"));
    assert_eq!(found, warnings);
}

#[test]
fn the_fixtures_are_valid() {
    check_definition(|_| (), &[]);
    check_definition_warns(|_| (), &[]);
    check_version(|_| (), &[]);
    check_version_warns(|_| (), &[]);
}

#[test]
fn findings_name_the_place_in_the_request() {
    let mut record = minimal_definition();
    record.typisierung = texts(["13"]);
    let errors =
        super::definition(record, "records[3].service_definition", Land::SL, CodeLists::shipped())
            .expect_err("refused");
    expect_test::expect![[r#"
        [
            FieldViolation {
                field: "records[3].service_definition.typisierung[0]",
                reason: "TYPISIERUNG_UNKNOWN",
                description: "\"13\" ist keine Typisierung; erlaubt: 1, 10, 11, 12, 2, 2/3, 2/3a, 2/3b, 2a, 2b, 3, 3a, 3b, 4, 4a, 4b, 5, 6, 7, 8, 9 (urn:de:fim:leika:typisierung)",
            },
        ]
    "#]]
    .assert_debug_eq(&errors);
}
