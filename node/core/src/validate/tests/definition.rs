//! Each rule of a definition.

use registry_proto::wire::registry::{
    Datenschema, ExternalId, Handlungsgrundlage, Herausgeber, Prozess, Relation,
};

use super::{check_definition as check, check_definition_warns as check_warns, text, texts};

fn external_id(scheme: &str, agency: &str, value: &str) -> ExternalId {
    ExternalId { scheme: scheme.to_owned(), agency: agency.to_owned(), value: value.to_owned() }
}

fn datenschema(fim_id: &str, version: &str, uri: &str) -> Datenschema {
    Datenschema { fim_id: fim_id.to_owned(), version: version.to_owned(), uri: uri.to_owned() }
}

#[test]
fn service_id_is_a_uuid() {
    check(|r| r.service_id.clear(), &[("service_id", "SERVICE_ID_MISSING")]);
    for bad in [
        "L100042.LB.1",
        "01890A5D-AC96-774B-BCCE-B302099A8057",
        "01890a5dac96774bbcceb302099a8057",
        "00000000-0000-0000-0000-000000000000",
    ] {
        check(|r| r.service_id = bad.to_owned(), &[("service_id", "SERVICE_ID_FORM")]);
    }
    check_warns(
        |r| r.service_id = "936da01f-9abd-4d9d-80c7-02af85c822a8".to_owned(),
        &[("service_id", "SERVICE_ID_KIND")],
    );
}

#[test]
fn land_is_that_of_the_node() {
    check(|r| r.land = "HE".to_owned(), &[("land", "LAND_FOREIGN")]);
    check(|r| r.land = "Saarland".to_owned(), &[("land", "LAND_UNKNOWN")]);
}

#[test]
fn an_empty_land_is_filled_in() {
    let mut record = super::minimal_definition();
    record.land.clear();
    let lists = crate::validate::CodeLists::shipped();
    let land = registry_proto::terms::Land::SL;
    let valid = crate::validate::definition(record, "", land, lists).expect("valid");
    assert_eq!(valid.record().land, "SL");
    assert_eq!(valid.into_parts().0, super::minimal_definition());
}

#[test]
fn external_ids_have_a_form() {
    check(|r| r.external_ids = vec![external_id("xzufi", "L100042", "L100042.LB.101954")], &[]);
    check(|r| r.external_ids = vec![external_id("pvog", "", "101954")], &[]);
    for (scheme, agency, value, errors) in [
        ("XZuFi", "", "1", [("external_ids[0].scheme", "EXTERNAL_ID_SCHEME")]),
        ("", "", "1", [("external_ids[0].scheme", "EXTERNAL_ID_SCHEME")]),
        ("xzufi", "L1", "1", [("external_ids[0].agency", "EXTERNAL_ID_AGENCY")]),
        ("xzufi", "", "1", [("external_ids[0].agency", "EXTERNAL_ID_AGENCY")]),
        ("xzufi", "L100042", "", [("external_ids[0].value", "EXTERNAL_ID_VALUE")]),
        ("xzufi", "L100042", "a b", [("external_ids[0].value", "EXTERNAL_ID_VALUE")]),
    ] {
        check(|r| r.external_ids = vec![external_id(scheme, agency, value)], &errors);
    }
    check(
        |r| r.external_ids = vec![external_id("xzufi", "L100042", "1"); 2],
        &[("external_ids[1]", "EXTERNAL_ID_DUPLICATE")],
    );
}

#[test]
fn leistungsschluessel_are_keys_of_known_groups() {
    const FIRST: &str = "leistungsschluessel[0]";
    check(
        |r| r.leistungsschluessel.clear(),
        &[("leistungsschluessel", "LEISTUNGSSCHLUESSEL_MISSING")],
    );
    for (key, reason) in [
        ("", "LEISTUNGSSCHLUESSEL_FORM"),
        ("9901200100100", "LEISTUNGSSCHLUESSEL_FORM"),
        ("990120010010000", "LEISTUNGSSCHLUESSEL_FORM"),
        ("98012001001000", "LEISTUNGSSCHLUESSEL_FORM"),
        ("9901200100100x", "LEISTUNGSSCHLUESSEL_FORM"),
        ("urn:de:fim:leika:leistung:99012001001000", "LEISTUNGSSCHLUESSEL_FORM"),
        ("99999001001000", "LEISTUNGSSCHLUESSEL_GRUPPIERUNG"),
        ("99012001000001", "LEISTUNGSSCHLUESSEL_DETAIL"),
    ] {
        check(|r| r.leistungsschluessel = texts([key]), &[(FIRST, reason)]);
    }
    check(
        |r| r.leistungsschluessel = texts(["99012001001000", "99012001001000"]),
        &[("leistungsschluessel[1]", "LEISTUNGSSCHLUESSEL_DUPLICATE")],
    );
}

#[test]
fn unknown_verrichtung_and_missing_parent_only_warn() {
    const FIRST: &str = "leistungsschluessel[0]";
    check_warns(
        |r| r.leistungsschluessel = texts(["99012001999000"]),
        &[(FIRST, "LEISTUNGSSCHLUESSEL_VERRICHTUNG")],
    );
    check_warns(
        |r| r.leistungsschluessel = texts(["99012999001000"]),
        &[(FIRST, "LEISTUNGSSCHLUESSEL_PARENT")],
    );
    check_warns(
        |r| r.leistungsschluessel = texts(["99012999999001"]),
        &[(FIRST, "LEISTUNGSSCHLUESSEL_VERRICHTUNG"), (FIRST, "LEISTUNGSSCHLUESSEL_PARENT")],
    );
}

#[test]
fn typisierung_is_of_its_list() {
    check(|r| r.typisierung.clear(), &[("typisierung", "TYPISIERUNG_MISSING")]);
    for bad in ["", "13", "2/3c", "1, 2/3", "1, 2", "02"] {
        check(|r| r.typisierung = texts([bad]), &[("typisierung[0]", "TYPISIERUNG_UNKNOWN")]);
    }
    check(|r| r.typisierung = texts(["5", "5"]), &[("typisierung[1]", "TYPISIERUNG_DUPLICATE")]);
}

#[test]
fn ozg_ids_have_five_digits() {
    check(|r| r.ozg_ids = texts(["10513", "10601"]), &[]);
    for bad in ["", "1051", "105130", "20513", "1051a"] {
        check(|r| r.ozg_ids = texts([bad]), &[("ozg_ids[0]", "OZG_ID_FORM")]);
    }
    check(|r| r.ozg_ids = texts(["10513", "10513"]), &[("ozg_ids[1]", "OZG_ID_DUPLICATE")]);
}

#[test]
fn themenfeld_is_one_of_fourteen() {
    check(|r| r.themenfeld.clear(), &[("themenfeld", "THEMENFELD_MISSING")]);
    check(|r| r.themenfeld = "Bildung".to_owned(), &[("themenfeld", "THEMENFELD_UNKNOWN")]);
}

#[test]
fn lagen_are_names() {
    check(|r| r.lagen = texts(["Wohnen & Umzug"]), &[]);
    check(|r| r.lagen = texts([" "]), &[("lagen[0]", "TEXT_MISSING")]);
    check(|r| r.lagen = vec!["a".repeat(256)], &[("lagen[0]", "TEXT_LENGTH")]);
    check(|r| r.lagen = texts(["Tod", "Tod"]), &[("lagen[1]", "LAGE_DUPLICATE")]);
}

#[test]
fn bezeichnung_is_there_in_german() {
    check(|r| r.bezeichnung.clear(), &[("bezeichnung", "BEZEICHNUNG_DE_MISSING")]);
    check(
        |r| r.bezeichnung = vec![text("en", "Demolition permit")],
        &[("bezeichnung", "BEZEICHNUNG_DE_MISSING")],
    );
    check(|r| r.bezeichnung.push(text("en", "Demolition permit")), &[]);
}

#[test]
fn texts_have_a_known_language_once() {
    check(
        |r| r.bezeichnung.push(text("fr", "Permis")),
        &[("bezeichnung[1].language_code", "LANGUAGE_CODE")],
    );
    check(
        |r| r.teaser = vec![text("de-DE", "Text")],
        &[("teaser[0].language_code", "LANGUAGE_CODE")],
    );
    check(
        |r| r.bezeichnung.push(text("de", "Noch ein Name")),
        &[("bezeichnung[1]", "LANGUAGE_DUPLICATE")],
    );
}

#[test]
fn texts_have_a_length_and_no_foreign_characters() {
    check(|r| r.bezeichnung[0].text.clear(), &[("bezeichnung[0].text", "TEXT_MISSING")]);
    check(|r| r.bezeichnung[0].text = "ä".repeat(256), &[("bezeichnung[0].text", "TEXT_LENGTH")]);
    check(|r| r.bezeichnung[0].text = "ä".repeat(255), &[]);
    check(
        |r| r.bezeichnung_buergernah = vec![text("de", "Zeile\nZeile")],
        &[("bezeichnung_buergernah[0].text", "TEXT_CONTROL")],
    );
    check(
        |r| r.teaser = vec![text("de", &"a".repeat(5_001))],
        &[("teaser[0].text", "TEXT_LENGTH")],
    );
    check(
        |r| r.volltext = vec![text("de", &"a".repeat(50_001))],
        &[("volltext[0].text", "TEXT_LENGTH")],
    );
    check(
        |r| r.kurztext = vec![text("de", "<script>x</script>")],
        &[("kurztext[0].text", "TEXT_HTML")],
    );
    check(|r| r.volltext = vec![text("de", "<p>Absatz</p>\n<p>Absatz</p>")], &[]);
}

#[test]
fn handlungsgrundlage_is_needed_for_typisierung_1_to_4() {
    for (typisierung, needed) in [
        ("1", true),
        ("2a", true),
        ("3", true),
        ("2/3b", true),
        ("4a", true),
        ("5", false),
        ("6", false),
        ("10", false),
        ("11", false),
        ("12", false),
    ] {
        let missing = [("handlungsgrundlagen", "HANDLUNGSGRUNDLAGE_MISSING")];
        check(
            |r| {
                r.typisierung = texts([typisierung]);
                r.handlungsgrundlagen.clear();
            },
            if needed { &missing } else { &[] },
        );
    }
}

#[test]
fn handlungsgrundlagen_have_a_text_and_https() {
    let basis = |text: &str, url: &str| {
        vec![Handlungsgrundlage { text: text.to_owned(), url: url.to_owned() }]
    };
    check(|r| r.handlungsgrundlagen = basis("§ 1 Gesetz", ""), &[]);
    check(
        |r| r.handlungsgrundlagen = basis("", "https://recht.example/1"),
        &[("handlungsgrundlagen[0].text", "TEXT_MISSING")],
    );
    check(
        |r| {
            r.handlungsgrundlagen = basis("§ 1", "http://www.gesetze-im-internet.de/euwg/__14.html")
        },
        &[("handlungsgrundlagen[0].url", "URL_FORM")],
    );
}

#[test]
fn leistungsadressaten_are_of_their_list() {
    check(
        |r| r.leistungsadressaten.clear(),
        &[("leistungsadressaten", "LEISTUNGSADRESSAT_MISSING")],
    );
    check(
        |r| r.leistungsadressaten = texts(["1"]),
        &[("leistungsadressaten[0]", "LEISTUNGSADRESSAT_UNKNOWN")],
    );
    check(
        |r| r.leistungsadressaten = texts(["001", "002", "003", "001"]),
        &[("leistungsadressaten[3]", "LEISTUNGSADRESSAT_DUPLICATE")],
    );
}

#[test]
fn sdg_codes_are_of_their_lists() {
    const FIRST: &str = "sdg_informationsbereiche[0]";
    check(|r| r.sdg_informationsbereiche = texts(["1030300", "1010"]), &[]);
    check(|r| r.sdg_informationsbereiche = texts(["10303"]), &[(FIRST, "SDG_FORM")]);
    check(|r| r.sdg_informationsbereiche = texts(["9999999"]), &[(FIRST, "SDG_UNKNOWN")]);
    check(|r| r.sdg_informationsbereiche = texts(["9999"]), &[(FIRST, "SDG_UNKNOWN")]);
    check(
        |r| r.sdg_informationsbereiche = texts(["1010", "1010"]),
        &[("sdg_informationsbereiche[1]", "SDG_DUPLICATE")],
    );
}

#[test]
fn datenschemata_name_a_fixed_version_or_a_uri() {
    for good in [
        datenschema("S00000000239", "1.1", ""),
        datenschema("S07000009", "1.0.0", "https://schema.fitko.de/fim/s07000009_1.0.schema.json"),
        datenschema("", "", "urn:xoev-de:fim:standard:xdatenfelder"),
    ] {
        check(|r| r.datenschemata = vec![good], &[]);
    }
    for (fim_id, version, uri, field, reason) in [
        ("", "", "", "datenschemata[0]", "DATENSCHEMA_MISSING"),
        ("D00000114", "1.1", "", "datenschemata[0].fim_id", "DATENSCHEMA_ID"),
        ("S1", "1.1", "", "datenschemata[0].fim_id", "DATENSCHEMA_ID"),
        ("S00000114", "latest", "", "datenschemata[0].version", "DATENSCHEMA_VERSION"),
        ("S00000114", "1", "", "datenschemata[0].version", "DATENSCHEMA_VERSION"),
        ("", "", "http://schema.example/1", "datenschemata[0].uri", "URL_FORM"),
    ] {
        check(|r| r.datenschemata = vec![datenschema(fim_id, version, uri)], &[(field, reason)]);
    }
}

#[test]
fn prozesse_have_id_version_and_level() {
    let prozess = |id: &str, version: &str, stufe: &str| {
        vec![Prozess {
            id: id.to_owned(),
            version: version.to_owned(),
            detaillierungsstufe: stufe.to_owned(),
        }]
    };
    check(|r| r.prozesse = prozess("99012001001000", "1.0", "105"), &[]);
    check(|r| r.prozesse = prozess("", "1.0", "101"), &[("prozesse[0].id", "PROZESS_ID")]);
    check(|r| r.prozesse = prozess("P1", "", "101"), &[("prozesse[0].version", "PROZESS_VERSION")]);
    check(
        |r| r.prozesse = prozess("P1", "1.0", "106"),
        &[("prozesse[0].detaillierungsstufe", "PROZESS_DETAILLIERUNGSSTUFE")],
    );
}

#[test]
fn herausgeber_has_id_and_name() {
    let herausgeber =
        |id: &str, name: &str| Some(Herausgeber { id: id.to_owned(), name: name.to_owned() });
    check(|r| r.herausgeber = None, &[("herausgeber", "HERAUSGEBER_MISSING")]);
    check(|r| r.herausgeber = herausgeber("", "Amt"), &[("herausgeber.id", "HERAUSGEBER_ID")]);
    check(|r| r.herausgeber = herausgeber("L1", ""), &[("herausgeber.name", "TEXT_MISSING")]);
}

#[test]
fn relationen_have_kind_and_target() {
    let relation = |typ: &str, ziel: &str| Relation { typ: typ.to_owned(), ziel: ziel.to_owned() };
    check(|r| r.relationen = vec![relation("ERS", "99012001001000")], &[]);
    check(|r| r.relationen = vec![relation("ABC", "1")], &[("relationen[0].typ", "RELATION_TYP")]);
    check(|r| r.relationen = vec![relation("ABL", "")], &[("relationen[0].ziel", "RELATION_ZIEL")]);
    check(
        |r| r.relationen = vec![relation("ABL", "1"), relation("ABL", "1")],
        &[("relationen[1]", "RELATION_DUPLICATE")],
    );
}

#[test]
fn demonstration_fields_are_names_of_fields() {
    check(|r| r.demonstration_fields = texts(["herausgeber", "land"]), &[]);
    check(
        |r| r.demonstration_fields = texts(["lizenz"]),
        &[("demonstration_fields[0]", "DEMONSTRATION_FIELD")],
    );
    check(
        |r| r.demonstration_fields = texts(["land", "land"]),
        &[("demonstration_fields[1]", "DEMONSTRATION_FIELD_DUPLICATE")],
    );
}

#[test]
fn lists_are_bounded() {
    let key = |n| format!("99012{:03}{:03}000", n % 1_000, n / 1_000 + 1);
    check(
        |r| r.lagen = (0..201).map(|n| format!("Lage {n}")).collect(),
        &[("lagen", "LIST_TOO_LONG")],
    );
    check(
        |r| r.leistungsschluessel = (0..1_001).map(key).collect(),
        &[("leistungsschluessel", "LIST_TOO_LONG")],
    );
    check(|r| r.lagen = (0..200).map(|n| format!("Lage {n}")).collect(), &[]);
}

#[test]
fn a_record_fits_into_an_entry() {
    let basis = Handlungsgrundlage { text: "§".repeat(2_500), url: String::new() };
    check(|r| r.handlungsgrundlagen = vec![basis; 250], &[("size", "RECORD_BYTES")]);
}

#[test]
fn all_violations_are_listed_up_to_a_hundred() {
    check(
        |r| {
            r.land = "HE".to_owned();
            r.typisierung = texts(["13"]);
            r.themenfeld = "x".to_owned();
        },
        &[
            ("land", "LAND_FOREIGN"),
            ("typisierung[0]", "TYPISIERUNG_UNKNOWN"),
            ("themenfeld", "THEMENFELD_UNKNOWN"),
        ],
    );
    let mut record = super::minimal_definition();
    record.ozg_ids = (0..200).map(|n| format!("x{n}")).collect();
    let lists = crate::validate::CodeLists::shipped();
    let land = registry_proto::terms::Land::SL;
    let errors = crate::validate::definition(record, "p", land, lists).expect_err("refused");
    assert_eq!(errors.len(), 100);
    assert_eq!(errors[99].reason, "MORE_VIOLATIONS");
}
