//! Rules of co-owners, editors, files, delivery points, and areas against the Gemeindeverzeichnis.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use registry_proto::wire::registry::{
    Artefakt, Bearbeiter, Mitfederfuehrung, ServiceVersion, ZustaendigeStelle, Zustellung,
};
use serde_json::{Value, json};

use super::{
    check_definition, check_version as check, check_version_warns as check_warns, minimal_version,
    texts,
};
use crate::validate::zustellungen_for;

const UUID: &str = "2c2b9a3b-5f4b-4e52-9a93-5d5a3c8f5a01";

#[test]
fn co_owners_are_other_laender_and_k_of_them_sign() {
    const LAENDER: &str = "mitfederfuehrung.laender";
    let with = |laender: &[&str], k| {
        let laender = laender.iter().map(ToString::to_string).collect();
        Some(Mitfederfuehrung { laender, k })
    };
    check_definition(|r| r.mitfederfuehrung = with(&["HE", "RP"], 2), &[]);
    for (laender, k, errors) in [
        (&[][..], 1, &[(LAENDER, "MITFEDERFUEHRUNG_MISSING")][..]),
        (&["SL"], 1, &[("mitfederfuehrung.laender[0]", "MITFEDERFUEHRUNG_OWNER")]),
        (&["he"], 1, &[("mitfederfuehrung.laender[0]", "LAND_UNKNOWN")]),
        (&["HE", "HE"], 1, &[("mitfederfuehrung.laender[1]", "MITFEDERFUEHRUNG_DUPLICATE")]),
        (&["HE", "RP"], 0, &[("mitfederfuehrung.k", "MITFEDERFUEHRUNG_K")]),
        (&["HE", "RP"], 3, &[("mitfederfuehrung.k", "MITFEDERFUEHRUNG_K")]),
    ] {
        check_definition(|r| r.mitfederfuehrung = with(laender, k), errors);
    }
    let many: Vec<&str> = vec!["HE"; 17];
    let mut record = super::minimal_definition();
    record.mitfederfuehrung = with(&many, 1);
    let lists = crate::validate::CodeLists::shipped();
    let errors = crate::validate::definition(record, "", registry_proto::terms::Land::SL, lists)
        .expect_err("too many");
    assert!(super::pairs(&errors).contains(&(LAENDER, "LIST_TOO_LONG")));
}

#[test]
fn editors_have_a_responsible_one() {
    let one = |principal: &str, rolle: &str| Bearbeiter {
        principal: principal.to_owned(),
        rolle: rolle.to_owned(),
    };
    let lead = one("p-1", "verantwortlich");
    check_definition(|r| r.bearbeiter = vec![lead.clone(), one("p-2", "stellvertretung")], &[]);
    check_definition(
        |r| r.bearbeiter = vec![one("p-2", "stellvertretung")],
        &[("bearbeiter", "BEARBEITER_VERANTWORTLICH_MISSING")],
    );
    check_definition(
        |r| r.bearbeiter = vec![lead.clone(), lead.clone()],
        &[("bearbeiter[1].principal", "BEARBEITER_DUPLICATE")],
    );
    for bad in ["", "a b", "a\n", &"a".repeat(65)] {
        check_definition(
            |r| r.bearbeiter = vec![one(bad, "verantwortlich")],
            &[("bearbeiter[0].principal", "BEARBEITER_PRINCIPAL")],
        );
    }
    check_definition(
        |r| r.bearbeiter = vec![lead.clone(), one("p-2", "chefin")],
        &[("bearbeiter[1].rolle", "BEARBEITER_ROLLE")],
    );
}

fn artefakt(change: impl FnOnce(&mut Artefakt)) -> Vec<Artefakt> {
    let hash = vec![1; 32];
    let mut one = Artefakt {
        name: "Antrag (neu).awml".to_owned(),
        typ: "awml".to_owned(),
        medientyp: "application/xml".to_owned(),
        bytes: 1_000,
        sha256: hash.clone().into(),
        chunks: vec![hash.into()],
    };
    change(&mut one);
    vec![one]
}

#[test]
fn artefakte_have_a_plain_name_and_a_type() {
    check(|r| r.artefakte = artefakt(|_| ()), &[]);
    for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", " a", "a\u{202e}b", &"a".repeat(256)] {
        check(
            |r| r.artefakte = artefakt(|a| a.name = bad.to_owned()),
            &[("artefakte[0].name", "ARTEFAKT_NAME")],
        );
    }
    check(
        |r| r.artefakte = artefakt(|a| a.typ = "exe".to_owned()),
        &[("artefakte[0].typ", "ARTEFAKT_TYP")],
    );
    check(
        |r| r.artefakte = artefakt(|a| a.medientyp = "pdf".to_owned()),
        &[("artefakte[0].medientyp", "ARTEFAKT_MEDIENTYP")],
    );
    check(
        |r| r.artefakte = [artefakt(|_| ()), artefakt(|_| ())].concat(),
        &[("artefakte[1].name", "ARTEFAKT_DUPLICATE")],
    );
    let many = (0..65).flat_map(|n| artefakt(|a| a.name = n.to_string())).collect();
    check(|r| r.artefakte = many, &[("artefakte", "LIST_TOO_LONG")]);
}

#[test]
fn artefakte_have_as_many_chunks_as_their_bytes_need() {
    const MIB: u64 = 1 << 20;
    let with = |bytes: u64, chunks: usize| {
        artefakt(|a| {
            a.bytes = bytes;
            a.chunks = vec![vec![if chunks == 1 { 1 } else { 2 }; 32].into(); chunks];
        })
    };
    for (bytes, chunks) in [(1, 1), (8 * MIB, 1), (8 * MIB + 1, 2), (2 << 30, 256)] {
        check(|r| r.artefakte = with(bytes, chunks), &[]);
    }
    for (bytes, chunks) in [(1, 0), (1, 2), (8 * MIB + 1, 1), (2 << 30, 255)] {
        check(|r| r.artefakte = with(bytes, chunks), &[("artefakte[0].chunks", "ARTEFAKT_CHUNKS")]);
    }
    for bytes in [0, (2 << 30) + 1, u64::MAX] {
        check(|r| r.artefakte = with(bytes, 1), &[("artefakte[0].bytes", "ARTEFAKT_BYTES")]);
    }
    check(
        |r| r.artefakte = artefakt(|a| a.chunks = vec![vec![2; 32].into()]),
        &[("artefakte[0].chunks[0]", "ARTEFAKT_HASH")],
    );
    let short = artefakt(|a| a.sha256 = vec![1; 31].into());
    check(
        |r| r.artefakte = short,
        &[("artefakte[0].sha256", "ARTEFAKT_SHA256"), ("artefakte[0].chunks[0]", "ARTEFAKT_HASH")],
    );
}

fn jws(header: &Value, payload: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(header), part(payload))
}

fn destination(payload: &Value) -> Vec<Zustellung> {
    vec![Zustellung {
        destination_id: UUID.to_owned(),
        destination_signature: jws(&json!({"alg": "PS512"}), payload),
    }]
}

fn claims(leistung: &str, gebiet: &str) -> Value {
    let gebiet = format!("urn:de:bund:destatis:bevoelkerungsstatistik:schluessel:{gebiet}");
    let leistung = format!("urn:de:fim:leika:leistung:{leistung}");
    json!({"destinationId": UUID,
           "services": [{"leistungIDs": [leistung], "gebietIDs": [gebiet]}]})
}

#[test]
fn zustellungen_have_a_uuid_and_the_shape_of_a_jws() {
    let good = destination(&claims("99012001001000", "rs:10"));
    check(|r| r.zustellungen.clone_from(&good), &[]);
    let change = |change: fn(&mut Zustellung)| {
        let mut all = good.clone();
        change(&mut all[0]);
        all
    };
    check(
        |r| r.zustellungen = [good.clone(), good.clone()].concat(),
        &[("zustellungen[1].destination_id", "ZUSTELLUNG_DUPLICATE")],
    );
    check(
        |r| r.zustellungen = change(|z| z.destination_id = "1".to_owned()),
        &[
            ("zustellungen[0].destination_id", "ZUSTELLUNG_DESTINATION_ID"),
            ("zustellungen[0].destination_signature", "ZUSTELLUNG_OTHER"),
        ],
    );
    for bad in ["", "e30.e30", "e30..c2ln", "e30.e30.c2ln.x", "e30.e=0.c2ln"] {
        let mut all = good.clone();
        all[0].destination_signature = bad.to_owned();
        check(
            |r| r.zustellungen = all,
            &[("zustellungen[0].destination_signature", "ZUSTELLUNG_DESTINATION_SIGNATURE")],
        );
    }
}

#[test]
fn a_destination_signature_is_for_these_areas() {
    const FIELD: &str = "zustellungen[0].destination_signature";
    for gebiet in ["rs:10", "rs:10041", "rs:100410100100", "rs:00", "ags:10", "ags:10041100"] {
        let claims = claims("99012001001000", gebiet);
        check_warns(|r| r.zustellungen = destination(&claims), &[]);
    }
    for gebiet in ["rs:06", "rs:064140000000", "ags:06", "ags:06414000"] {
        let claims = claims("99012001001000", gebiet);
        check(|r| r.zustellungen = destination(&claims), &[(FIELD, "ZUSTELLUNG_GEBIET")]);
    }
    for (area, ags, errors) in [
        ("100410100100", "ags:10041100", &[][..]),
        ("100410100100", "ags:10041511", &[(FIELD, "ZUSTELLUNG_GEBIET")]),
        ("10042", "ags:10041100", &[(FIELD, "ZUSTELLUNG_GEBIET")]),
    ] {
        let claims = claims("99012001001000", ags);
        check(
            |r| {
                r.verfuegbarkeitsgebiet = texts([area]);
                r.zustellungen = destination(&claims);
            },
            errors,
        );
    }
    check_warns(
        |r| r.zustellungen = destination(&json!({})),
        &[(FIELD, "ZUSTELLUNG_LEISTUNG_MISSING"), (FIELD, "ZUSTELLUNG_GEBIET_MISSING")],
    );
    check_warns(|r| r.zustellungen = destination(&json!([])), &[(FIELD, "ZUSTELLUNG_PAYLOAD")]);
    for header in [json!({"alg": "none"}), json!({}), json!(1)] {
        let mut all = destination(&claims("99012001001000", "rs:10"));
        all[0].destination_signature = jws(&header, &claims("99012001001000", "rs:10"));
        check(|r| r.zustellungen = all, &[(FIELD, "ZUSTELLUNG_ALG")]);
    }
}

#[test]
fn a_destination_signature_is_for_one_of_the_keys() {
    let version = ServiceVersion {
        zustellungen: destination(&claims("99012001001000", "rs:10")),
        ..minimal_version()
    };
    assert_eq!(zustellungen_for(&version, &texts(["99012001001000"]), "").len(), 0);
    let found = zustellungen_for(&version, &texts(["99050012104000"]), "records[1]");
    assert_eq!(
        super::pairs(&found),
        [("records[1].zustellungen[0].destination_signature", "ZUSTELLUNG_LEISTUNG")]
    );
}

#[test]
fn areas_are_those_of_the_gemeindeverzeichnis() {
    const FIRST: &str = "verfuegbarkeitsgebiet[0]";
    check(|r| r.verfuegbarkeitsgebiet = texts(["100419999999"]), &[(FIRST, "GEBIET_UNKNOWN")]);
    check_warns(
        |r| r.verfuegbarkeitsgebiet = texts(["064350014014"]),
        &[(FIRST, "GEBIET_RETIRED")],
    );
    check_warns(
        |r| r.verfuegbarkeitsgebiet = texts(["064150000000"]),
        &[(FIRST, "GEBIET_NOT_YET")],
    );
    let moved = |r: &mut ServiceVersion| {
        r.verfuegbarkeitsgebiet = texts(["064150000000"]);
        r.gebietsstand = "2026-01-01".to_owned();
    };
    check_warns(moved, &[]);
    check_warns(
        |r| r.gebietsstand = "2026-11-01".to_owned(),
        &[("gebietsstand", "GEBIETSSTAND_NEWER")],
    );
    let stelle = ZustaendigeStelle {
        id: "L100042.OE.1".to_owned(),
        name: "Bauamt".to_owned(),
        plz: "66111".to_owned(),
        ort: "Saarbrücken".to_owned(),
        gebiet: "10099".to_owned(),
        ..ZustaendigeStelle::default()
    };
    check(
        |r| r.zustaendige_stellen = vec![stelle],
        &[("zustaendige_stellen[0].gebiet", "GEBIET_UNKNOWN")],
    );
}

#[test]
fn the_schema_of_the_parameters_is_one() {
    check(|r| r.parameter_schema = "[]".to_owned(), &[("parameter_schema", "SCHEMA_JSON")]);
    check_warns(
        |r| r.parameter_schema = r#"{"properties": {"a": {}}}"#.to_owned(),
        &[("parameter_schema", "SCHEMA_PROPERTY")],
    );
}
