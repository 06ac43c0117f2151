//! Rules of what a version offers: entry points, areas, re-use, parameters, delivery.

use registry_proto::{
    terms::SemVer,
    wire::registry::{
        Datenaustausch, DvdvDienst, EfaCheck, Nachnutzung, Onlinedienst, Parameter, Reifegrad,
        ServiceVersion, ZustaendigeStelle,
    },
};

use crate::{
    limits::{NAME_CHARS_MAX, NOTE_CHARS_MAX, RECORD_LIST_MAX, RECORD_LONG_LIST_MAX},
    validate::{
        artefakte,
        findings::{Field, Findings, Shown},
        form,
        gebiet::{self, Areas},
        lists::{CodeLists, List},
        record, schema, text, zustellung,
    },
};

pub(super) fn check(findings: &mut Findings<'_>, record: &ServiceVersion, lists: &CodeLists) {
    onlinedienste(findings, &record.onlinedienste, lists);
    if let Some(reifegrad) = &record.reifegrad {
        maturity(findings, reifegrad);
    }
    let stand = gebiet::stand(findings, &record.gebietsstand, "gebietsstand", lists);
    let areas = Areas { lists, stand };
    areas.list(findings, &record.verfuegbarkeitsgebiet, "verfuegbarkeitsgebiet");
    efa_checks(findings, &record.efa_checks);
    nachnutzung(findings, &record.nachnutzung);
    if record.lizenz.trim().is_empty() {
        findings.error(
            "lizenz",
            "LIZENZ_MISSING",
            "Lizenz fehlt: SPDX-Kennung (zum Beispiel EUPL-1.2) oder Text (EfA R2)",
        );
    } else {
        record::name(findings, &record.lizenz, "lizenz");
    }
    parameter(findings, &record.parameter);
    datenaustausch(findings, &record.datenaustausch);
    zustellung::zustellungen(findings, record);
    artefakte::artefakte(findings, &record.artefakte);
    schema::parameter_schema(findings, &record.parameter_schema, &record.parameter);
    dvdv_dienste(findings, &record.dvdv_dienste);
    zustaendige_stellen(findings, &record.zustaendige_stellen, &areas);
}

fn onlinedienste(findings: &mut Findings<'_>, dienste: &[Onlinedienst], lists: &CodeLists) {
    const FIELD: &str = "onlinedienste";
    findings.require(!dienste.is_empty(), FIELD, "ONLINEDIENST_MISSING", || {
        "mindestens ein Onlinedienst ist nötig (XZuFi)".to_owned()
    });
    for (n, dienst) in findings.list(dienste, RECORD_LIST_MAX, FIELD).iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        let id = &dienst.id;
        findings.require(
            id.is_empty() || form::xzufi_id(id, "OD"),
            format_args!("{path}.id"),
            "ONLINEDIENST_ID",
            || format!("{} hat nicht die Form L100042.OD.1 (XZuFi)", Shown(id)),
        );
        text::required_url(findings, &dienst.link, format_args!("{path}.link"));
        linktyp(findings, &dienst.linktyp, format_args!("{path}.linktyp"));
        record::name(findings, &dienst.titel, format_args!("{path}.titel"));
        text::language(findings, &dienst.language_code, format_args!("{path}.language_code"));
        findings.code(
            lists,
            List::Vertrauensniveau,
            &dienst.vertrauensniveau,
            format_args!("{path}.vertrauensniveau"),
            "VERTRAUENSNIVEAU_UNKNOWN",
            "kein Vertrauensniveau",
        );
    }
}

/// Only code 01 of the list is known for certain; other codes of its form may only warn.
fn linktyp(findings: &mut Findings<'_>, code: &str, field: impl Field) {
    const SOURCE: &str = "urn:xoev-de:fim:codeliste:onlinedienstlinktyp";
    if !form::digits(code, 2..=2) {
        findings.error(
            field,
            "LINKTYP_FORM",
            format!("{} ist kein Linktyp: zwei Ziffern, üblich 01 ({SOURCE})", Shown(code)),
        );
    } else if code != "01" {
        findings.warning(
            field,
            "LINKTYP_UNKNOWN",
            format!("Linktyp {code} ist hier nicht bekannt; üblich ist 01 ({SOURCE})"),
        );
    }
}

fn maturity(findings: &mut Findings<'_>, Reifegrad { modell, stufe }: &Reifegrad) {
    let max = match modell.as_str() {
        "1.1" => 4,
        "2.0" => 7,
        _ => {
            findings.error(
                "reifegrad.modell",
                "REIFEGRAD_MODELL",
                format!("{} ist kein Reifegradmodell; erlaubt: 1.1, 2.0 (OZG)", Shown(modell)),
            );
            return;
        }
    };
    findings.require(*stufe <= max, "reifegrad.stufe", "REIFEGRAD_STUFE", || {
        format!("Reifegrad {stufe} gibt es nicht; Modell {modell} hat die Stufen 0 bis {max} (OZG)")
    });
}

fn efa_checks(findings: &mut Findings<'_>, checks: &[EfaCheck]) {
    const FIELD: &str = "efa_checks";
    let checks = findings.list(checks, RECORD_LIST_MAX, FIELD);
    for (n, check) in checks.iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        record::one_of(
            findings,
            &check.dimension,
            &DIMENSIONEN,
            format_args!("{path}.dimension"),
            "EFA_DIMENSION",
            ("keine Dimension", "EfA-Mindestanforderungen"),
        );
        record::one_of(
            findings,
            &check.level,
            &["MUSS", "SOLL", "KANN"],
            format_args!("{path}.level"),
            "EFA_LEVEL",
            ("keine Verbindlichkeit", "EfA-Mindestanforderungen"),
        );
        let answer_path = format_args!("{path}.erfuellt");
        let answers = ["ja", "nein", "n.a."];
        let noun = ("keine Antwort", "EfA-Mindestanforderungen");
        record::one_of(findings, &check.erfuellt, &answers, answer_path, "EFA_ERFUELLT", noun);
        let unmet = check.level == "MUSS" && matches!(check.erfuellt.as_str(), "nein" | "n.a.");
        findings.require(!unmet, answer_path, "EFA_MUSS_NOT_MET", || {
            format!(
                "MUSS-Anforderung {} ist nicht erfüllt ({}); vor der Freigabe müssen alle erfüllt \
                 sein (EfA-Mindestanforderungen)",
                Shown(&check.dimension),
                check.erfuellt
            )
        });
        text::optional_url(findings, &check.nachweis_url, format_args!("{path}.nachweis_url"));
    }
    let missing: Vec<&str> = DIMENSIONEN
        .into_iter()
        .filter(|known| checks.iter().all(|check| check.dimension != *known))
        .collect();
    if !missing.is_empty() {
        findings.warning(
            FIELD,
            "EFA_DIMENSION_MISSING",
            format!("keine Angabe zu {} (EfA-Mindestanforderungen)", missing.join(", ")),
        );
    }
}

fn nachnutzung(findings: &mut Findings<'_>, ways: &[Nachnutzung]) {
    const FIELD: &str = "nachnutzung";
    findings.require(!ways.is_empty(), FIELD, "NACHNUTZUNG_MISSING", || {
        "mindestens ein Weg der Nachnutzung ist nötig (EfA R1)".to_owned()
    });
    for (n, way) in findings.list(ways, RECORD_LIST_MAX, FIELD).iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        record::one_of(
            findings,
            &way.modell,
            &record::MODELLE,
            format_args!("{path}.modell"),
            "NACHNUTZUNG_MODELL",
            ("kein Modell der Nachnutzung", "EfA R1"),
        );
        let named = !way.vertrag_url.is_empty() || !way.vertrag_id.is_empty();
        findings.require(named, path, "NACHNUTZUNG_VERTRAG_MISSING", || {
            "Vertrag oder Angebot fehlt: vertrag_url oder vertrag_id (EfA R1)".to_owned()
        });
        text::optional_url(findings, &way.vertrag_url, format_args!("{path}.vertrag_url"));
        let id = &way.vertrag_id;
        text::optional(findings, id, NAME_CHARS_MAX, format_args!("{path}.vertrag_id"));
        text::optional(
            findings,
            &way.kosten_text,
            NOTE_CHARS_MAX,
            format_args!("{path}.kosten_text"),
        );
        text::optional(findings, &way.kontakt, NAME_CHARS_MAX, format_args!("{path}.kontakt"));
    }
}

fn parameter(findings: &mut Findings<'_>, all: &[Parameter]) {
    const FIELD: &str = "parameter";
    let all = findings.list(all, RECORD_LONG_LIST_MAX, FIELD);
    for (n, one) in all.iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        let name = &one.name;
        findings.require(
            form::parameter_name(name),
            format_args!("{path}.name"),
            "PARAMETER_NAME",
            || {
                format!(
                    "{} ist kein Name: Buchstabe, dann bis zu 99 Buchstaben, Ziffern, _ . - \
                     (EfA-Parametrisierung)",
                    Shown(name)
                )
            },
        );
        record::one_of(
            findings,
            &one.quelle,
            &["", "PVOG", "DVDV"],
            format_args!("{path}.quelle"),
            "PARAMETER_QUELLE",
            ("keine Quelle", "EfA-Parametrisierung"),
        );
        record::one_of(
            findings,
            &one.datentyp,
            &["text", "zahl", "bool", "datum", "url", "code", "objekt"],
            format_args!("{path}.datentyp"),
            "PARAMETER_DATENTYP",
            ("kein Datentyp", "EfA-Parametrisierung"),
        );
        let range = format_args!("{path}.wertebereich");
        text::optional(findings, &one.wertebereich, NOTE_CHARS_MAX, range);
        let purpose = format_args!("{path}.beschreibung");
        text::optional(findings, &one.beschreibung, NOTE_CHARS_MAX, purpose);
        let since = &one.seit_version;
        findings.require(
            since.is_empty() || since.parse::<SemVer>().is_ok(),
            format_args!("{path}.seit_version"),
            "PARAMETER_SEIT_VERSION",
            || {
                format!(
                    "{} ist keine Version der Form MAJOR.MINOR.PATCH (SemVer 2.0)",
                    Shown(since)
                )
            },
        );
    }
    let names = all.iter().map(|one| one.name.as_str());
    record::unique(findings, names, FIELD, ".name", "PARAMETER_DUPLICATE");
}

fn datenaustausch(findings: &mut Findings<'_>, all: &[Datenaustausch]) {
    const FIELD: &str = "datenaustausch";
    findings.require(!all.is_empty(), FIELD, "DATENAUSTAUSCH_MISSING", || {
        "mindestens ein Datenaustausch ist nötig (EfA, DVDV)".to_owned()
    });
    let all = findings.list(all, RECORD_LIST_MAX, FIELD);
    for (n, Datenaustausch { standard, version, transport }) in all.iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        let standard_path = format_args!("{path}.standard");
        findings.require(
            form::https_or_urn(standard),
            standard_path,
            "DATENAUSTAUSCH_STANDARD",
            || {
                format!(
                    "{} ist kein Standard: urn:xoev-de:… oder https-Adresse (DVDV)",
                    Shown(standard)
                )
            },
        );
        findings.require(
            form::token(version, 50),
            format_args!("{path}.version"),
            "DATENAUSTAUSCH_VERSION",
            || format!("{} ist keine Version eines Standards (DVDV)", Shown(version)),
        );
        record::one_of(
            findings,
            transport,
            &["fit_connect", "osci_xta", "andere"],
            format_args!("{path}.transport"),
            "DATENAUSTAUSCH_TRANSPORT",
            ("kein Transportweg", "DVDV"),
        );
    }
}

fn dvdv_dienste(findings: &mut Findings<'_>, all: &[DvdvDienst]) {
    const FIELD: &str = "dvdv_dienste";
    for (n, dienst) in findings.list(all, RECORD_LIST_MAX, FIELD).iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        let key = &dienst.organisationsschluessel;
        findings.require(
            form::token(key, 100),
            format_args!("{path}.organisationsschluessel"),
            "DVDV_ORGANISATIONSSCHLUESSEL",
            || format!("{} ist kein Organisationsschlüssel (DVDV)", Shown(key)),
        );
        record::name(findings, &dienst.kategorie, format_args!("{path}.kategorie"));
        let uri = &dienst.dienstbeschreibung_uri;
        findings.require(
            form::https_or_urn(uri),
            format_args!("{path}.dienstbeschreibung_uri"),
            "DVDV_DIENSTBESCHREIBUNG_URI",
            || format!("{} ist weder https-Adresse noch URN (DVDV)", Shown(uri)),
        );
    }
}

fn zustaendige_stellen(findings: &mut Findings<'_>, all: &[ZustaendigeStelle], areas: &Areas<'_>) {
    const FIELD: &str = "zustaendige_stellen";
    for (n, stelle) in findings.list(all, RECORD_LIST_MAX, FIELD).iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        let id = &stelle.id;
        findings.require(form::xzufi_id(id, "OE"), format_args!("{path}.id"), "STELLE_ID", || {
            format!("{} hat nicht die Form L100042.OE.1 (XZuFi)", Shown(id))
        });
        record::name(findings, &stelle.name, format_args!("{path}.name"));
        let strasse = format_args!("{path}.strasse");
        text::optional(findings, &stelle.strasse, NAME_CHARS_MAX, strasse);
        let plz = &stelle.plz;
        findings.require(
            form::digits(plz, 5..=5),
            format_args!("{path}.plz"),
            "STELLE_PLZ",
            || format!("{} ist keine Postleitzahl: fünf Ziffern (XZuFi)", Shown(plz)),
        );
        record::name(findings, &stelle.ort, format_args!("{path}.ort"));
        areas.one(findings, &stelle.gebiet, format_args!("{path}.gebiet"));
        text::optional(findings, &stelle.rolle, NAME_CHARS_MAX, format_args!("{path}.rolle"));
    }
}

/// Dimensions of the EfA-Mindestanforderungen.
const DIMENSIONEN: [&str; 8] = [
    "oberflaechengestaltung",
    "fachlogik",
    "nutzerkonto",
    "payment",
    "datenaustauschstandard",
    "routing_transport",
    "rechtliche_nachnutzung",
    "organisation",
];
