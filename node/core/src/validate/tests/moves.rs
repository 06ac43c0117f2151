use registry_proto::{
    terms::Land,
    wire::registry::{
        Anschluss, AnschlussStatus, Auftraggeber, Bestaetigung, Lifecycle, Mitzeichnung,
        SubscriptionMove, SubscriptionState, Uebergabe, UebergabeSchritt, VersionStatus,
    },
};

use super::{Finding, pairs, texts};
use crate::{
    reject::FieldViolation,
    validate::{CodeLists, Validated, moves},
};

const SERVICE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const OTHER: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

fn deprecation() -> VersionStatus {
    VersionStatus {
        service_id: SERVICE.to_owned(),
        version: "1.0.0".to_owned(),
        lifecycle: Lifecycle::Abgekuendigt.into(),
        abkuendigung_am: "2026-11-01".to_owned(),
        abschaltung_am: "2027-02-01".to_owned(),
        ..VersionStatus::default()
    }
}

fn interest() -> SubscriptionMove {
    SubscriptionMove {
        subscription_id: OTHER.to_owned(),
        service_id: SERVICE.to_owned(),
        publisher_land: "SL".to_owned(),
        subscriber_land: "HE".to_owned(),
        zustand: SubscriptionState::Interesse.into(),
        version_requirement: "^1".to_owned(),
        gebiete: texts(["06"]),
        ..SubscriptionMove::default()
    }
}

/// A move in another state, which leaves everything else as it was.
fn later(record: &mut SubscriptionMove, state: SubscriptionState) {
    record.zustand = state.into();
    record.version_requirement.clear();
    record.gebiete.clear();
}

fn connection() -> Anschluss {
    Anschluss {
        subscription_id: OTHER.to_owned(),
        ars: "064140000000".to_owned(),
        status: AnschlussStatus::Angeschlossen.into(),
        seit: "2026-11-23".to_owned(),
        ..Anschluss::default()
    }
}

fn handover() -> Uebergabe {
    Uebergabe {
        service_id: SERVICE.to_owned(),
        von_land: "SL".to_owned(),
        an_land: "RP".to_owned(),
        schritt: UebergabeSchritt::Angebot.into(),
        ..Uebergabe::default()
    }
}

/// Compares errors and warnings together; errors come alone.
#[track_caller]
fn check<T>(found: Result<Validated<T>, Vec<FieldViolation>>, expected: &[Finding<'_>]) {
    let found = match found {
        Ok(valid) => valid.warnings().to_vec(),
        Err(errors) => errors,
    };
    assert_eq!(pairs(&found), expected);
}

#[track_caller]
fn check_status(change: impl FnOnce(&mut VersionStatus), expected: &[Finding<'_>]) {
    let mut record = deprecation();
    change(&mut record);
    check(moves::version_status(record, ""), expected);
}

#[track_caller]
fn check_move(acting: Land, change: impl FnOnce(&mut SubscriptionMove), expected: &[Finding<'_>]) {
    let mut record = interest();
    change(&mut record);
    check(moves::subscription_move(record, "", acting, CodeLists::shipped()), expected);
}

#[track_caller]
fn check_anschluss(change: impl FnOnce(&mut Anschluss), expected: &[Finding<'_>]) {
    let mut record = connection();
    change(&mut record);
    check(moves::anschluss(record, "", Land::HE, CodeLists::shipped()), expected);
}

#[track_caller]
fn check_uebergabe(acting: Land, change: impl FnOnce(&mut Uebergabe), expected: &[Finding<'_>]) {
    let mut record = handover();
    change(&mut record);
    check(moves::uebergabe(record, "", acting), expected);
}

#[test]
fn a_deprecation_names_both_days_three_months_apart() {
    check_status(|_| (), &[]);
    check_status(|r| r.abkuendigung_am.clear(), &[("abkuendigung_am", "DATE_MISSING")]);
    check_status(|r| r.abschaltung_am.clear(), &[("abschaltung_am", "DATE_MISSING")]);
    check_status(
        |r| r.abschaltung_am = "2027-01-31".to_owned(),
        &[("abschaltung_am", "ABSCHALTUNG_TOO_EARLY")],
    );
    check_status(
        |r| r.abschaltung_am = "2027-02-02".to_owned(),
        &[("abschaltung_am", "ABSCHALTUNG_DAY")],
    );
    check_status(|r| r.abschaltung_am = "2027".to_owned(), &[("abschaltung_am", "DATE_FORM")]);
}

#[test]
fn a_version_moves_only_to_states_after_publication() {
    for state in [Lifecycle::Unspecified, Lifecycle::Entwurf, Lifecycle::Freigegeben] {
        check_status(|r| r.lifecycle = state.into(), &[("lifecycle", "LIFECYCLE_TARGET")]);
    }
    check_status(|r| r.lifecycle = 99, &[("lifecycle", "LIFECYCLE_TARGET")]);
    let bare = |r: &mut VersionStatus, state: Lifecycle| {
        r.lifecycle = state.into();
        r.abkuendigung_am.clear();
        r.abschaltung_am.clear();
    };
    check_status(|r| bare(r, Lifecycle::Abgeschaltet), &[]);
    check_status(|r| bare(r, Lifecycle::Zurueckgezogen), &[("grund", "GRUND_MISSING")]);
    let withdrawn = |r: &mut VersionStatus| {
        bare(r, Lifecycle::Zurueckgezogen);
        r.grund = "Rechtsgrundlage entfallen".to_owned();
    };
    check_status(withdrawn, &[]);
}

#[test]
fn a_version_is_followed_by_another() {
    check_status(|r| r.nachfolger_version = "2.0.0".to_owned(), &[]);
    let own = "1.0.0".to_owned();
    check_status(|r| r.nachfolger_version = own, &[("nachfolger_version", "NACHFOLGER_SELF")]);
    check_status(
        |r| r.nachfolger_version = "2".to_owned(),
        &[("nachfolger_version", "VERSION_FORM")],
    );
    check_status(|r| r.nachfolger_service_id = OTHER.to_owned(), &[]);
    check_status(
        |r| r.nachfolger_service_id = SERVICE.to_owned(),
        &[("nachfolger_service_id", "NACHFOLGER_SELF")],
    );
    check_status(
        |r| r.nachfolger_service_id = "x".to_owned(),
        &[("nachfolger_service_id", "SERVICE_ID_FORM")],
    );
    check_status(|r| r.version = "1".to_owned(), &[("version", "VERSION_FORM")]);
    check_status(|r| r.service_id.clear(), &[("service_id", "SERVICE_ID_MISSING")]);
    check_status(
        |r| r.ohne_bestaetigung_grund = "a\nb".to_owned(),
        &[("ohne_bestaetigung_grund", "TEXT_CONTROL")],
    );
}

#[test]
fn interest_names_versions_and_areas() {
    check_move(Land::HE, |_| (), &[]);
    for text in ["1.4.2", "^1", "^1.4", "*"] {
        check_move(Land::HE, |r| r.version_requirement = text.to_owned(), &[]);
    }
    for text in ["", "1", "~1", "latest"] {
        check_move(
            Land::HE,
            |r| r.version_requirement = text.to_owned(),
            &[("version_requirement", "VERSION_REQUIREMENT_FORM")],
        );
    }
    check_move(Land::HE, |r| r.gebiete.clear(), &[("gebiete", "GEBIET_MISSING")]);
    check_move(
        Land::HE,
        |r| r.gebiete = texts(["06414", "07"]),
        &[("gebiete[1]", "GEBIET_FOREIGN")],
    );
    check_move(Land::HE, |r| r.gebiete = texts(["00"]), &[("gebiete[0]", "GEBIET_FOREIGN")]);
    check_move(
        Land::HE,
        |r| r.gebiete = texts(["06", "06414"]),
        &[("gebiete[1]", "GEBIET_COVERED")],
    );
    check_move(Land::HE, |r| r.gebiete = texts(["06999"]), &[("gebiete[0]", "GEBIET_UNKNOWN")]);
    check_move(
        Land::HE,
        |r| r.gebiete = texts(["064350014014"]),
        &[("gebiete[0]", "GEBIET_RETIRED")],
    );
    check_move(Land::HE, |r| r.gebiete = texts(["064150000000"]), &[]);
}

#[test]
fn interest_is_that_of_the_subscriber() {
    use SubscriptionState as State;
    check_move(Land::HE, |_| (), &[]);
    check_move(Land::SL, |_| (), &[("subscriber_land", "LAND_FOREIGN")]);
    // whose the others are depends on the owner of today and on what was said before
    for acting in [Land::SL, Land::HE, Land::TH] {
        for state in [State::Abstimmung, State::Zugesagt, State::Produktiv] {
            check_move(acting, |r| later(r, state), &[]);
        }
    }
    check_move(
        Land::HE,
        |r| r.publisher_land = "HE".to_owned(),
        &[("subscriber_land", "LAENDER_EQUAL")],
    );
    check_move(
        Land::HE,
        |r| r.publisher_land = "he".to_owned(),
        &[("publisher_land", "LAND_UNKNOWN")],
    );
    check_move(Land::HE, |r| r.zustand = 0, &[("zustand", "ZUSTAND_UNKNOWN")]);
}

#[test]
fn contract_and_reason_are_named_where_they_matter() {
    use SubscriptionState as State;
    check_move(
        Land::HE,
        |r| later(r, State::Vertrag),
        &[("vertrag_id", "NACHNUTZUNG_VERTRAG_MISSING")],
    );
    let signed = |r: &mut SubscriptionMove| {
        later(r, State::Vertrag);
        r.vertrag_id = "4711".to_owned();
        r.vertrag_url = "https://fitko.example/4711".to_owned();
        r.modell = "fit_store".to_owned();
    };
    check_move(Land::HE, signed, &[]);
    check_move(Land::HE, |r| later(r, State::Beendet), &[("grund", "GRUND_MISSING")]);
    check_move(Land::SL, |r| later(r, State::Abgelehnt), &[("grund", "GRUND_MISSING")]);
    check_move(Land::HE, |r| r.modell = "kauf".to_owned(), &[("modell", "NACHNUTZUNG_MODELL")]);
    let url = "http://fitko.example".to_owned();
    check_move(Land::HE, |r| r.vertrag_url = url, &[("vertrag_url", "URL_FORM")]);
    check_move(Land::HE, |r| r.kontakt = "x".repeat(256), &[("kontakt", "TEXT_LENGTH")]);
    check_move(
        Land::HE,
        |r| r.subscription_id = SERVICE.to_uppercase(),
        &[("subscription_id", "SUBSCRIPTION_ID_FORM")],
    );
}

#[test]
fn those_on_whose_behalf_a_land_subscribes_lie_in_its_areas() {
    let group = |gebiete: &[&str]| Auftraggeber {
        name: "Zweckverband".to_owned(),
        gebiete: gebiete.iter().map(ToString::to_string).collect(),
    };
    let one = |gebiete: &[&str]| vec![group(gebiete)];
    check_move(Land::HE, |r| r.auftraggeber = one(&["06414", "06411"]), &[]);
    check_move(
        Land::HE,
        |r| r.auftraggeber = one(&[]),
        &[("auftraggeber[0].gebiete", "GEBIET_MISSING")],
    );
    let outside = |r: &mut SubscriptionMove| {
        r.gebiete = texts(["06414"]);
        r.auftraggeber = one(&["06411"]);
    };
    check_move(Land::HE, outside, &[("auftraggeber[0].gebiete[0]", "AUFTRAGGEBER_GEBIET")]);
    check_move(
        Land::HE,
        |r| r.auftraggeber = vec![group(&["06414"]), group(&["06411"])],
        &[("auftraggeber[1].name", "AUFTRAGGEBER_DUPLICATE")],
    );
    let many: Vec<&str> = vec!["06414"; 600];
    let mut second = group(&many);
    second.name = "Zweiter".to_owned();
    let found = {
        let mut record = interest();
        record.auftraggeber = vec![group(&many), second];
        moves::subscription_move(record, "", Land::HE, CodeLists::shipped()).expect_err("too many")
    };
    assert!(pairs(&found).contains(&("auftraggeber[0].gebiete[1]", "GEBIET_DUPLICATE")));
}

#[test]
fn a_kommune_is_connected_by_its_own_land() {
    check_anschluss(|_| (), &[]);
    check_anschluss(|r| r.ars = "06414".to_owned(), &[]);
    check_anschluss(|r| r.ars = "06".to_owned(), &[("ars", "ANSCHLUSS_EBENE")]);
    check_anschluss(|r| r.ars = "10041".to_owned(), &[("ars", "GEBIET_FOREIGN")]);
    check_anschluss(|r| r.ars = "064140000001".to_owned(), &[("ars", "GEBIET_UNKNOWN")]);
    check_anschluss(|r| r.ars = "064350014014".to_owned(), &[("ars", "GEBIET_RETIRED")]);
    check_anschluss(
        |r| {
            r.ars = "064150000000".to_owned();
            r.seit = "2025-12-31".to_owned();
        },
        &[("ars", "GEBIET_NOT_YET")],
    );
    check_anschluss(|r| r.status = 0, &[("status", "ANSCHLUSS_STATUS")]);
    check_anschluss(|r| r.seit.clear(), &[("seit", "DATE_MISSING")]);
    check_anschluss(|r| r.version = "1.x".to_owned(), &[("version", "VERSION_FORM")]);
    check_anschluss(|r| r.hinweis = "<b>".to_owned(), &[("hinweis", "TEXT_HTML")]);
}

#[test]
fn an_acknowledgement_names_what_was_noted() {
    let good = Bestaetigung {
        subscription_id: OTHER.to_owned(),
        service_id: SERVICE.to_owned(),
        version: "2.0.0".to_owned(),
        anlass: Lifecycle::Freigegeben.into(),
        ..Bestaetigung::default()
    };
    check(moves::bestaetigung(good.clone(), ""), &[]);
    for anlass in [0, Lifecycle::Entwurf.into(), 77] {
        let bad = Bestaetigung { anlass, ..good.clone() };
        check(moves::bestaetigung(bad, ""), &[("anlass", "ANLASS")]);
    }
}

#[test]
fn others_countersign_by_hash() {
    let good = Mitzeichnung {
        service_id: SERVICE.to_owned(),
        land: "SL".to_owned(),
        leaf_hash: vec![7; 32].into(),
        hinweise: Vec::new(),
    };
    check(moves::mitzeichnung(good.clone(), "", Land::HE), &[]);
    check(moves::mitzeichnung(good.clone(), "", Land::SL), &[("land", "LAND_OWN")]);
    let short = Mitzeichnung { leaf_hash: vec![7; 31].into(), ..good };
    check(moves::mitzeichnung(short, "", Land::HE), &[("leaf_hash", "LEAF_HASH_LENGTH")]);
}

#[test]
fn a_handover_is_offered_by_one_and_taken_by_the_other() {
    use UebergabeSchritt as Schritt;
    let answer = |r: &mut Uebergabe, schritt: Schritt| {
        r.schritt = schritt.into();
        r.angebot = vec![1; 32].into();
    };
    check_uebergabe(Land::SL, |_| (), &[]);
    check_uebergabe(Land::RP, |_| (), &[("von_land", "LAND_FOREIGN")]);
    check_uebergabe(
        Land::SL,
        |r| answer(r, Schritt::Angebot),
        &[("angebot", "ANGEBOT_UNEXPECTED")],
    );
    check_uebergabe(Land::RP, |r| answer(r, Schritt::Annahme), &[]);
    check_uebergabe(Land::SL, |r| answer(r, Schritt::Annahme), &[("an_land", "LAND_FOREIGN")]);
    check_uebergabe(Land::SL, |r| answer(r, Schritt::Ruecknahme), &[]);
    check_uebergabe(
        Land::SL,
        |r| r.schritt = Schritt::Ruecknahme.into(),
        &[("angebot", "LEAF_HASH_LENGTH")],
    );
    check_uebergabe(Land::SL, |r| r.an_land = "SL".to_owned(), &[("an_land", "LAENDER_EQUAL")]);
    check_uebergabe(Land::SL, |r| r.schritt = 0, &[("schritt", "UEBERGABE_SCHRITT")]);
}

#[test]
fn a_message_names_value_rule_and_source() {
    let mut record = interest();
    record.gebiete = texts(["064350014014"]);
    let valid = moves::subscription_move(record, "records[0]", Land::HE, CodeLists::shipped())
        .expect("valid");
    expect_test::expect![[r#"
        records[0].gebiete[0]: Gebiet 064350014014 Hanau, Brüder-Grimm-Stadt gibt es ab 2026-01-01 nicht mehr; Nachfolger: 064150000000 Hanau, Brüder-Grimm-Stadt (Gemeindeverzeichnis, Gebietsstand 2023-11-30)"#]]
    .assert_eq(&format!("{}: {}", valid.warnings()[0].field, valid.warnings()[0].description));
    let mut record = connection();
    record.ars = "064140000001".to_owned();
    let errors = moves::anschluss(record, "", Land::HE, CodeLists::shipped()).expect_err("unknown");
    expect_test::expect!["Gebiet 064140000001 gibt es nicht; am nächsten liegt 064140000000 Wiesbaden, Landeshauptstadt (Gemeindeverzeichnis, Gebietsstand 2023-11-30)"]
        .assert_eq(&errors[0].description);
}
