//! Each rule of what a version offers.

use registry_proto::wire::registry::{
    Datenaustausch, DvdvDienst, EfaCheck, Nachnutzung, Parameter, Reifegrad, ZustaendigeStelle,
};

use super::{check_version as check, check_version_warns as check_warns, texts};

#[test]
fn onlinedienste_have_a_safe_link() {
    check(|r| r.onlinedienste.clear(), &[("onlinedienste", "ONLINEDIENST_MISSING")]);
    for bad in ["", "http://sl.example", "javascript:alert(1)", "https://", "https://a@b.example"] {
        check(
            |r| r.onlinedienste[0].link = bad.to_owned(),
            &[("onlinedienste[0].link", "URL_FORM")],
        );
    }
}

#[test]
fn onlinedienste_have_codes_and_a_title() {
    check(|r| r.onlinedienste[0].id = "L100042.OD.1".to_owned(), &[]);
    check(
        |r| r.onlinedienste[0].id = "L100042.OE.1".to_owned(),
        &[("onlinedienste[0].id", "ONLINEDIENST_ID")],
    );
    check(|r| r.onlinedienste[0].linktyp.clear(), &[("onlinedienste[0].linktyp", "LINKTYP_FORM")]);
    check_warns(
        |r| r.onlinedienste[0].linktyp = "02".to_owned(),
        &[("onlinedienste[0].linktyp", "LINKTYP_UNKNOWN")],
    );
    check(|r| r.onlinedienste[0].titel.clear(), &[("onlinedienste[0].titel", "TEXT_MISSING")]);
    check(
        |r| r.onlinedienste[0].language_code.clear(),
        &[("onlinedienste[0].language_code", "LANGUAGE_CODE")],
    );
    for bad in ["", "1", "25", "hoch"] {
        check(
            |r| r.onlinedienste[0].vertrauensniveau = bad.to_owned(),
            &[("onlinedienste[0].vertrauensniveau", "VERTRAUENSNIVEAU_UNKNOWN")],
        );
    }
}

#[test]
fn reifegrad_is_of_its_model() {
    for (modell, stufe, errors) in [
        ("1.1", 0, &[][..]),
        ("1.1", 4, &[]),
        ("1.1", 5, &[("reifegrad.stufe", "REIFEGRAD_STUFE")]),
        ("2.0", 7, &[]),
        ("2.0", 8, &[("reifegrad.stufe", "REIFEGRAD_STUFE")]),
        ("", 3, &[("reifegrad.modell", "REIFEGRAD_MODELL")]),
        ("3.0", 99, &[("reifegrad.modell", "REIFEGRAD_MODELL")]),
    ] {
        check(|r| r.reifegrad = Some(Reifegrad { modell: modell.to_owned(), stufe }), errors);
    }
}

#[test]
fn gebiete_are_significant_ars() {
    const FIRST: &str = "verfuegbarkeitsgebiet[0]";
    check(|r| r.verfuegbarkeitsgebiet.clear(), &[("verfuegbarkeitsgebiet", "GEBIET_MISSING")]);
    check(
        |r| r.verfuegbarkeitsgebiet = texts(["10", "064", "06531", "071315002", "160510000000"]),
        &[],
    );
    for bad in ["", "1", "0641", "17", "SL", "000000000000", "1 0", "１０"] {
        check(|r| r.verfuegbarkeitsgebiet = texts([bad]), &[(FIRST, "GEBIET_FORM")]);
    }
}

#[test]
fn no_gebiet_lies_inside_another() {
    for (areas, errors) in [
        (["06", "06414"], &[("verfuegbarkeitsgebiet[1]", "GEBIET_COVERED")][..]),
        (["06414", "06"], &[("verfuegbarkeitsgebiet[0]", "GEBIET_COVERED")]),
        (["00", "10"], &[("verfuegbarkeitsgebiet[1]", "GEBIET_COVERED")]),
        (["10", "00"], &[("verfuegbarkeitsgebiet[0]", "GEBIET_COVERED")]),
        (["10", "10"], &[("verfuegbarkeitsgebiet[1]", "GEBIET_DUPLICATE")]),
        (["064", "06531"], &[]),
        (["06", "07"], &[]),
    ] {
        check(|r| r.verfuegbarkeitsgebiet = texts(areas), errors);
    }
    check(
        |r| r.verfuegbarkeitsgebiet = texts(["07", "06412", "06", "064140000000"]),
        &[
            ("verfuegbarkeitsgebiet[1]", "GEBIET_COVERED"),
            ("verfuegbarkeitsgebiet[3]", "GEBIET_COVERED"),
        ],
    );
}

#[test]
fn gebietsstand_is_a_day() {
    check(|r| r.gebietsstand.clear(), &[("gebietsstand", "DATE_MISSING")]);
    check(|r| r.gebietsstand = "20231130".to_owned(), &[("gebietsstand", "DATE_FORM")]);
}

#[test]
fn efa_checks_are_of_their_lists_and_every_muss_is_met() {
    let efa = |dimension: &str, level: &str, erfuellt: &str, nachweis: &str| {
        vec![EfaCheck {
            dimension: dimension.to_owned(),
            level: level.to_owned(),
            erfuellt: erfuellt.to_owned(),
            nachweis_url: nachweis.to_owned(),
        }]
    };
    check(|r| r.efa_checks = efa("payment", "MUSS", "ja", "https://sl.example/efa"), &[]);
    check(|r| r.efa_checks = efa("payment", "SOLL", "nein", ""), &[]);
    for (record, field, reason) in [
        (efa("bezahlen", "MUSS", "ja", ""), "efa_checks[0].dimension", "EFA_DIMENSION"),
        (efa("payment", "muss", "ja", ""), "efa_checks[0].level", "EFA_LEVEL"),
        (efa("payment", "KANN", "vielleicht", ""), "efa_checks[0].erfuellt", "EFA_ERFUELLT"),
        (efa("payment", "MUSS", "", ""), "efa_checks[0].erfuellt", "EFA_ERFUELLT"),
        (efa("payment", "MUSS", "nein", ""), "efa_checks[0].erfuellt", "EFA_MUSS_NOT_MET"),
        (efa("payment", "MUSS", "n.a.", ""), "efa_checks[0].erfuellt", "EFA_MUSS_NOT_MET"),
        (
            efa("payment", "MUSS", "ja", "http://a.example"),
            "efa_checks[0].nachweis_url",
            "URL_FORM",
        ),
    ] {
        check(|r| r.efa_checks = record, &[(field, reason)]);
    }
}

#[test]
fn nachnutzung_names_model_and_contract() {
    let way = |modell: &str, url: &str, id: &str| {
        vec![Nachnutzung {
            modell: modell.to_owned(),
            vertrag_url: url.to_owned(),
            vertrag_id: id.to_owned(),
            ..Nachnutzung::default()
        }]
    };
    check(|r| r.nachnutzung.clear(), &[("nachnutzung", "NACHNUTZUNG_MISSING")]);
    for (record, field, reason) in [
        (way("kauf", "", "1"), "nachnutzung[0].modell", "NACHNUTZUNG_MODELL"),
        (way("fit_store", "", ""), "nachnutzung[0]", "NACHNUTZUNG_VERTRAG_MISSING"),
        (way("fit_store", "ftp://a", ""), "nachnutzung[0].vertrag_url", "URL_FORM"),
    ] {
        check(|r| r.nachnutzung = record, &[(field, reason)]);
    }
    check(
        |r| r.nachnutzung[0].kosten_text = "a".repeat(5_001),
        &[("nachnutzung[0].kosten_text", "TEXT_LENGTH")],
    );
    check(
        |r| r.nachnutzung[0].kontakt = "a\u{0}".to_owned(),
        &[("nachnutzung[0].kontakt", "TEXT_CONTROL")],
    );
}

#[test]
fn lizenz_is_there() {
    check(|r| r.lizenz = " ".to_owned(), &[("lizenz", "LIZENZ_MISSING")]);
    check(|r| r.lizenz = "a".repeat(256), &[("lizenz", "TEXT_LENGTH")]);
}

#[test]
fn parameters_have_a_unique_name_and_a_type() {
    let parameter = |name: &str| Parameter {
        name: name.to_owned(),
        datentyp: "text".to_owned(),
        quelle: "PVOG".to_owned(),
        seit_version: "1.0.0".to_owned(),
        ..Parameter::default()
    };
    check(|r| r.parameter = vec![parameter("Kasse_1"), parameter("Kasse_2")], &[]);
    for bad in ["", "1kasse", "kasse nr", "käse", &"a".repeat(101)] {
        check(|r| r.parameter = vec![parameter(bad)], &[("parameter[0].name", "PARAMETER_NAME")]);
    }
    check(
        |r| r.parameter = vec![parameter("a"), parameter("b"), parameter("a")],
        &[("parameter[2].name", "PARAMETER_DUPLICATE")],
    );
    let change = |change: fn(&mut Parameter)| {
        let mut one = parameter("a");
        change(&mut one);
        vec![one]
    };
    check(
        |r| r.parameter = change(|p| p.quelle = "Excel".to_owned()),
        &[("parameter[0].quelle", "PARAMETER_QUELLE")],
    );
    check(
        |r| r.parameter = change(|p| p.datentyp.clear()),
        &[("parameter[0].datentyp", "PARAMETER_DATENTYP")],
    );
    check(
        |r| r.parameter = change(|p| p.seit_version = "2".to_owned()),
        &[("parameter[0].seit_version", "PARAMETER_SEIT_VERSION")],
    );
    check(
        |r| r.parameter = change(|p| p.wertebereich = "<b>".to_owned()),
        &[("parameter[0].wertebereich", "TEXT_HTML")],
    );
    check(
        |r| r.parameter = change(|p| p.beschreibung = "a".repeat(5_001)),
        &[("parameter[0].beschreibung", "TEXT_LENGTH")],
    );
}

#[test]
fn datenaustausch_names_standard_version_and_transport() {
    let way = |standard: &str, version: &str, transport: &str| {
        vec![Datenaustausch {
            standard: standard.to_owned(),
            version: version.to_owned(),
            transport: transport.to_owned(),
        }]
    };
    check(|r| r.datenaustausch.clear(), &[("datenaustausch", "DATENAUSTAUSCH_MISSING")]);
    for (record, field, reason) in [
        (way("XBau", "2.3", "andere"), "datenaustausch[0].standard", "DATENAUSTAUSCH_STANDARD"),
        (way("urn:xoev-de:a", "", "andere"), "datenaustausch[0].version", "DATENAUSTAUSCH_VERSION"),
        (
            way("urn:xoev-de:a", "1", "post"),
            "datenaustausch[0].transport",
            "DATENAUSTAUSCH_TRANSPORT",
        ),
    ] {
        check(|r| r.datenaustausch = record, &[(field, reason)]);
    }
}

#[test]
fn dvdv_dienste_are_complete() {
    let dienst = |key: &str, kategorie: &str, uri: &str| {
        vec![DvdvDienst {
            organisationsschluessel: key.to_owned(),
            kategorie: kategorie.to_owned(),
            dienstbeschreibung_uri: uri.to_owned(),
        }]
    };
    let uri = "urn:xoev-de:bmk:dienst:xbau";
    check(|r| r.dvdv_dienste = dienst("dbs:100100000000", "Bauaufsicht", uri), &[]);
    for (record, field, reason) in [
        (dienst("", "B", uri), "organisationsschluessel", "DVDV_ORGANISATIONSSCHLUESSEL"),
        (dienst("1", "", uri), "kategorie", "TEXT_MISSING"),
        (dienst("1", "B", ""), "dienstbeschreibung_uri", "DVDV_DIENSTBESCHREIBUNG_URI"),
    ] {
        check(|r| r.dvdv_dienste = record, &[(&format!("dvdv_dienste[0].{field}"), reason)]);
    }
}

#[test]
fn zustaendige_stellen_have_an_address_and_an_area() {
    let stelle = |change: fn(&mut ZustaendigeStelle)| {
        let mut stelle = ZustaendigeStelle {
            id: "L100042.OE.1".to_owned(),
            name: "Bauamt".to_owned(),
            plz: "66111".to_owned(),
            ort: "Saarbrücken".to_owned(),
            gebiet: "10041".to_owned(),
            ..ZustaendigeStelle::default()
        };
        change(&mut stelle);
        vec![stelle]
    };
    check(|r| r.zustaendige_stellen = stelle(|_| ()), &[]);
    for (record, field, reason) in [
        (stelle(|s| s.id.clear()), "id", "STELLE_ID"),
        (stelle(|s| s.name.clear()), "name", "TEXT_MISSING"),
        (stelle(|s| s.strasse = "a\n".to_owned()), "strasse", "TEXT_CONTROL"),
        (stelle(|s| s.plz = "6611".to_owned()), "plz", "STELLE_PLZ"),
        (stelle(|s| s.ort.clear()), "ort", "TEXT_MISSING"),
        (stelle(|s| s.gebiet = "1004".to_owned()), "gebiet", "GEBIET_FORM"),
        (stelle(|s| s.rolle = "a".repeat(256)), "rolle", "TEXT_LENGTH"),
    ] {
        check(
            |r| r.zustaendige_stellen = record,
            &[(&format!("zustaendige_stellen[0].{field}"), reason)],
        );
    }
}
