//! What is wrong or missing in the real catalogue, published as it is.

use registry_proto::{
    terms::Land,
    wire::registry::{Handlungsgrundlage, ServiceDefinition},
};

use super::minimal_definition;
use crate::{
    catalogue::{Leistung, ShippedCatalogue},
    reject::FieldViolation,
    validate::{self, CodeLists, Validated},
};

/// The fixture with what the catalogue has of a Leistung, addresses as they are.
fn published(leistung: &Leistung) -> Result<Validated<ServiceDefinition>, Vec<FieldViolation>> {
    let mut record = minimal_definition();
    record.leistungsschluessel = vec![leistung.schluessel.to_string()];
    record.typisierung = leistung.typisierung.iter().map(ToString::to_string).collect();
    record.bezeichnung[0].text.clone_from(&leistung.bezeichnung);
    record.ozg_ids = leistung.ozg_id.iter().cloned().collect();
    record.handlungsgrundlagen = leistung
        .rechtsgrundlagen
        .iter()
        .map(|basis| Handlungsgrundlage { text: basis.text.clone(), url: basis.https_url() })
        .collect();
    validate::definition(record, "", Land::SL, CodeLists::shipped())
}

fn count(
    fits: impl Fn(&Result<Validated<ServiceDefinition>, Vec<FieldViolation>>) -> bool,
) -> usize {
    ShippedCatalogue::shipped().leistungen.iter().filter(|one| fits(&published(one))).count()
}

#[test]
fn rows_fail_only_for_what_the_source_lacks() {
    for leistung in &ShippedCatalogue::shipped().leistungen {
        let errors = published(leistung).err().unwrap_or_default();
        let mut expected = Vec::new();
        if leistung.typisierung.is_empty() {
            expected.push("TYPISIERUNG_MISSING");
        }
        let needs = leistung.typisierung.iter().any(|typ| !["5", "6"].contains(&typ.code()));
        if needs && leistung.rechtsgrundlagen.is_empty() {
            expected.push("HANDLUNGSGRUNDLAGE_MISSING");
        }
        let reasons: Vec<&str> = errors.iter().map(|error| error.reason).collect();
        assert_eq!(reasons, expected, "{}: {errors:?}", leistung.schluessel);
    }
}

#[test]
fn eight_rows_without_typisierung_are_refused() {
    let lacks = |errors: &Vec<FieldViolation>| {
        errors.iter().any(|error| error.reason == "TYPISIERUNG_MISSING")
    };
    assert_eq!(count(|found| found.as_ref().is_err_and(lacks)), 8);
}

#[test]
fn orphans_of_the_catalogue_only_warn() {
    let catalogue = ShippedCatalogue::shipped();
    let orphans = catalogue.leistungen.iter().filter(|leistung| {
        let mut record = minimal_definition();
        record.leistungsschluessel = vec![leistung.schluessel.to_string()];
        let valid = validate::definition(record, "", Land::SL, CodeLists::shipped());
        let valid = valid.expect("every real key is valid");
        valid.warnings().iter().any(|warning| warning.reason == "LEISTUNGSSCHLUESSEL_PARENT")
    });
    assert_eq!(orphans.count(), 10 + 107);
}

#[test]
fn two_values_in_one_text_are_refused_and_as_two_values_accepted() {
    let catalogue = ShippedCatalogue::shipped();
    let double: Vec<&Leistung> =
        catalogue.leistungen.iter().filter(|one| one.typisierung.len() == 2).collect();
    assert_eq!(double.len(), 13);
    for leistung in double {
        let mut record = minimal_definition();
        record.typisierung = leistung.typisierung.iter().map(ToString::to_string).collect();
        let lists = CodeLists::shipped();
        assert!(validate::definition(record.clone(), "", Land::SL, lists).is_ok());
        record.typisierung = vec![record.typisierung.join(", ")];
        let errors = validate::definition(record, "", Land::SL, lists).expect_err("refused");
        assert_eq!(errors[0].reason, "TYPISIERUNG_UNKNOWN");
    }
}
