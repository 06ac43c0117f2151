//! Rules of a service definition ("Steckbrief").

use registry_proto::{
    terms::{Land, Leistungsschluessel, ParseLeistungsschluesselError},
    wire::registry::{
        Datenschema, ExternalId, Handlungsgrundlage, Herausgeber, Prozess, Relation,
        ServiceDefinition,
    },
};

use crate::{
    catalogue::parent_key,
    limits::{
        NAME_CHARS_MAX, NOTE_CHARS_MAX, RECORD_LIST_MAX, RECORD_LONG_LIST_MAX, TEXT_CHARS_MAX,
    },
    reject::FieldViolation,
    validate::{
        Validated,
        findings::{Field, Findings, Shown},
        form,
        lists::{CodeLists, List},
        record, team,
        text::{self, Kind},
    },
};

/// Checks a definition that `land` wants to publish, and fills in its Land when that is empty.
///
/// `path` is the place of the record in the request; every finding begins with it. The caller MUST
/// have given the record its `service_id`.
///
/// # Errors
///
/// Every violation, at most [`VIOLATIONS_MAX`](crate::limits::VIOLATIONS_MAX).
pub fn definition(
    mut record: ServiceDefinition,
    path: &str,
    land: Land,
    lists: &CodeLists,
) -> Result<Validated<ServiceDefinition>, Vec<FieldViolation>> {
    if record.land.is_empty() {
        land.code().clone_into(&mut record.land);
    }
    let mut findings = Findings::new(path);
    identity(&mut findings, &record, land);
    schluessel(&mut findings, &record.leistungsschluessel, lists);
    classification(&mut findings, &record, lists);
    texts(&mut findings, &record);
    handlungsgrundlagen(&mut findings, &record);
    standards(&mut findings, &record, lists);
    relationen(&mut findings, &record.relationen, lists);
    team::mitfederfuehrung(&mut findings, record.mitfederfuehrung.as_ref(), land);
    team::bearbeiter(&mut findings, &record.bearbeiter);
    record::demonstration_fields(&mut findings, &record.demonstration_fields, &FIELDS);
    record::size(&mut findings, &record);
    findings.finish().map(|warnings| Validated { record, warnings })
}

fn identity(findings: &mut Findings<'_>, record: &ServiceDefinition, land: Land) {
    record::service_id(findings, &record.service_id);
    if let Some(named) = record::land(findings, &record.land, "land") {
        findings.require(named == land, "land", "LAND_FOREIGN", || {
            format!(
                "{named} ist nicht das Land dieses Knotens ({land}); jedes Land veröffentlicht nur \
                 eigene Leistungen"
            )
        });
    }
    external_ids(findings, &record.external_ids);
    match &record.herausgeber {
        Some(Herausgeber { id, name }) => {
            findings.require(form::token(id, 100), "herausgeber.id", "HERAUSGEBER_ID", || {
                format!(
                    "{} ist keine Kennung: 1 bis 100 ASCII-Zeichen ohne Leerraum (XZuFi)",
                    Shown(id)
                )
            });
            record::name(findings, name, "herausgeber.name");
        }
        None => findings.error(
            "herausgeber",
            "HERAUSGEBER_MISSING",
            "Herausgeber fehlt (Pflichtfeld, XZuFi herausgeber)",
        ),
    }
}

fn external_ids(findings: &mut Findings<'_>, ids: &[ExternalId]) {
    const FIELD: &str = "external_ids";
    let ids = findings.list(ids, RECORD_LIST_MAX, FIELD);
    for (n, id) in ids.iter().enumerate() {
        let scheme = (1..=50).contains(&id.scheme.len())
            && id.scheme.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.')
            });
        let path = format_args!("{FIELD}[{n}]");
        findings.require(scheme, format_args!("{path}.scheme"), "EXTERNAL_ID_SCHEME", || {
            format!(
                "{} ist kein Schema wie xzufi: Kleinbuchstaben, Ziffern, - _ .",
                Shown(&id.scheme)
            )
        });
        let agency = match id.scheme.as_str() {
            "xzufi" => form::redaktion(&id.agency),
            _ => id.agency.is_empty() || form::token(&id.agency, 100),
        };
        findings.require(agency, format_args!("{path}.agency"), "EXTERNAL_ID_AGENCY", || {
            format!(
                "{} ist keine Redaktions-ID (B, L oder S und sechs Ziffern; XZuFi schemeAgencyID)",
                Shown(&id.agency)
            )
        });
        findings.require(
            form::token(&id.value, NAME_CHARS_MAX),
            format_args!("{path}.value"),
            "EXTERNAL_ID_VALUE",
            || {
                format!(
                    "{} ist kein Wert: 1 bis 255 ASCII-Zeichen ohne Leerraum (XZuFi Identifikator)",
                    Shown(&id.value)
                )
            },
        );
    }
    let names: Vec<String> =
        ids.iter().map(|id| format!("{} {} {}", id.scheme, id.agency, id.value)).collect();
    let names = names.iter().map(String::as_str);
    record::unique(findings, names, FIELD, "", "EXTERNAL_ID_DUPLICATE");
}

fn schluessel(findings: &mut Findings<'_>, keys: &[String], lists: &CodeLists) {
    const FIELD: &str = "leistungsschluessel";
    findings.require(!keys.is_empty(), FIELD, "LEISTUNGSSCHLUESSEL_MISSING", || {
        "mindestens ein Leistungsschlüssel ist nötig (FIM)".to_owned()
    });
    let keys = findings.list(keys, RECORD_LONG_LIST_MAX, FIELD);
    for (n, key) in keys.iter().enumerate() {
        one_schluessel(findings, key, format_args!("{FIELD}[{n}]"), lists);
    }
    let names = keys.iter().map(String::as_str);
    record::unique(findings, names, FIELD, "", "LEISTUNGSSCHLUESSEL_DUPLICATE");
}

fn one_schluessel(findings: &mut Findings<'_>, text: &str, path: impl Field, lists: &CodeLists) {
    let key: Leistungsschluessel = match text.parse() {
        Ok(key) => key,
        Err(ParseLeistungsschluesselError::DetailWithoutVerrichtung { detail, .. }) => {
            findings.error(
                path,
                "LEISTUNGSSCHLUESSEL_DETAIL",
                format!(
                    "{text} hat das Verrichtungsdetail {detail} ohne Verrichtung; ein Detail setzt \
                     eine Verrichtung voraus (FIM)"
                ),
            );
            return;
        }
        Err(_) => {
            findings.error(
                path,
                "LEISTUNGSSCHLUESSEL_FORM",
                format!("{} ist kein Leistungsschlüssel: 99 und zwölf Ziffern (FIM)", Shown(text)),
            );
            return;
        }
    };
    let group = key.gruppierung();
    let known = lists.contains(List::Leistungsgruppierung, group);
    findings.require(known, path, "LEISTUNGSSCHLUESSEL_GRUPPIERUNG", || {
        let groups = lists.codes(List::Leistungsgruppierung).count();
        format!("Leistungsgruppierung {group} in {key} gibt es nicht (FIM, {groups} Gruppen)")
    });
    let verrichtung = key.verrichtung().trim_start_matches('0');
    if !verrichtung.is_empty() && !lists.contains(List::Verrichtung, verrichtung) {
        findings.warning(
            path,
            "LEISTUNGSSCHLUESSEL_VERRICHTUNG",
            format!("Verrichtung {} in {key} ist hier nicht bekannt (FIM)", key.verrichtung()),
        );
    }
    if let Some(parent) = parent_key(&key).filter(|parent| !lists.has_schluessel(parent)) {
        findings.warning(
            path,
            "LEISTUNGSSCHLUESSEL_PARENT",
            format!(
                "übergeordneter Schlüssel {parent} von {key} ist im Katalog nicht bekannt ({})",
                lists.leika_stand()
            ),
        );
    }
}

fn classification(findings: &mut Findings<'_>, record: &ServiceDefinition, lists: &CodeLists) {
    const TYPISIERUNG: Codes = Codes {
        field: "typisierung",
        list: List::Typisierung,
        noun: "keine Typisierung",
        missing: "TYPISIERUNG_MISSING",
        unknown: "TYPISIERUNG_UNKNOWN",
        duplicate: "TYPISIERUNG_DUPLICATE",
    };
    const LEISTUNGSADRESSATEN: Codes = Codes {
        field: "leistungsadressaten",
        list: List::Leistungsadressat,
        noun: "kein Leistungsadressat",
        missing: "LEISTUNGSADRESSAT_MISSING",
        unknown: "LEISTUNGSADRESSAT_UNKNOWN",
        duplicate: "LEISTUNGSADRESSAT_DUPLICATE",
    };
    TYPISIERUNG.check(findings, &record.typisierung, lists);
    LEISTUNGSADRESSATEN.check(findings, &record.leistungsadressaten, lists);
    ozg_ids(findings, &record.ozg_ids);
    if record.themenfeld.is_empty() {
        findings.error(
            "themenfeld",
            "THEMENFELD_MISSING",
            "Themenfeld fehlt (Pflichtfeld, OZG-Umsetzungskatalog)",
        );
    } else {
        findings.code(
            lists,
            List::Themenfeld,
            &record.themenfeld,
            "themenfeld",
            "THEMENFELD_UNKNOWN",
            "kein Themenfeld",
        );
    }
    let lagen = findings.list(&record.lagen, RECORD_LIST_MAX, "lagen");
    for (n, lage) in lagen.iter().enumerate() {
        record::name(findings, lage, format_args!("lagen[{n}]"));
    }
    let names = lagen.iter().map(String::as_str);
    record::unique(findings, names, "lagen", "", "LAGE_DUPLICATE");
}

/// A list of codes: at least one, each known, each once.
struct Codes {
    field: &'static str,
    list: List,
    noun: &'static str,
    missing: &'static str,
    unknown: &'static str,
    duplicate: &'static str,
}

// === impl Codes ===

impl Codes {
    fn check(&self, findings: &mut Findings<'_>, codes: &[String], lists: &CodeLists) {
        findings.require(!codes.is_empty(), self.field, self.missing, || {
            format!("mindestens ein Wert ist nötig ({})", self.list.source())
        });
        let codes = findings.list(codes, RECORD_LIST_MAX, self.field);
        for (n, code) in codes.iter().enumerate() {
            let path = format_args!("{}[{n}]", self.field);
            findings.code(lists, self.list, code, path, self.unknown, self.noun);
        }
        let names = codes.iter().map(String::as_str);
        record::unique(findings, names, self.field, "", self.duplicate);
    }
}

fn ozg_ids(findings: &mut Findings<'_>, ids: &[String]) {
    const FIELD: &str = "ozg_ids";
    let ids = findings.list(ids, RECORD_LIST_MAX, FIELD);
    for (n, id) in ids.iter().enumerate() {
        findings.require(form::ozg_id(id), format_args!("{FIELD}[{n}]"), "OZG_ID_FORM", || {
            format!("{} ist keine OZG-ID: 1 und vier Ziffern (OZG-Umsetzungskatalog)", Shown(id))
        });
    }
    let names = ids.iter().map(String::as_str);
    record::unique(findings, names, FIELD, "", "OZG_ID_DUPLICATE");
}

fn texts(findings: &mut Findings<'_>, record: &ServiceDefinition) {
    let german = record.bezeichnung.iter().any(|text| text.language_code == "de");
    findings.require(german, "bezeichnung", "BEZEICHNUNG_DE_MISSING", || {
        "Bezeichnung in deutscher Sprache fehlt (Textmodul 02, Sprache de)".to_owned()
    });
    for (texts, max, kind, field) in [
        (&record.bezeichnung, NAME_CHARS_MAX, Kind::Line, "bezeichnung"),
        (&record.bezeichnung_buergernah, NAME_CHARS_MAX, Kind::Line, "bezeichnung_buergernah"),
        (&record.teaser, NOTE_CHARS_MAX, Kind::Html, "teaser"),
        (&record.kurztext, TEXT_CHARS_MAX, Kind::Html, "kurztext"),
        (&record.volltext, TEXT_CHARS_MAX, Kind::Html, "volltext"),
    ] {
        text::localized(findings, texts, max, kind, field);
    }
}

fn handlungsgrundlagen(findings: &mut Findings<'_>, record: &ServiceDefinition) {
    const FIELD: &str = "handlungsgrundlagen";
    let needing = record.typisierung.iter().find(|code| needs_handlungsgrundlage(code));
    if let (Some(code), true) = (needing, record.handlungsgrundlagen.is_empty()) {
        findings.error(
            FIELD,
            "HANDLUNGSGRUNDLAGE_MISSING",
            format!(
                "bei Typisierung {} ist mindestens eine Handlungsgrundlage nötig (Textmodul 07, \
                 Typisierung 1 bis 4)",
                Shown(code)
            ),
        );
    }
    let all = findings.list(&record.handlungsgrundlagen, RECORD_LONG_LIST_MAX, FIELD);
    for (n, Handlungsgrundlage { text, url }) in all.iter().enumerate() {
        text::required(findings, text, NOTE_CHARS_MAX, format_args!("{FIELD}[{n}].text"));
        text::optional_url(findings, url, format_args!("{FIELD}[{n}].url"));
    }
}

/// Typisierung 1, 2, 3, 2/3 and 4 with their letters; not 10, 11, 12.
fn needs_handlungsgrundlage(typisierung: &str) -> bool {
    matches!(
        typisierung,
        "1" | "2" | "2a" | "2b" | "3" | "3a" | "3b" | "2/3" | "2/3a" | "2/3b" | "4" | "4a" | "4b"
    )
}

fn standards(findings: &mut Findings<'_>, record: &ServiceDefinition, lists: &CodeLists) {
    sdg(findings, &record.sdg_informationsbereiche, lists);
    datenschemata(findings, &record.datenschemata);
    let prozesse = findings.list(&record.prozesse, RECORD_LIST_MAX, "prozesse");
    for (n, Prozess { id, version, detaillierungsstufe }) in prozesse.iter().enumerate() {
        let path = format_args!("prozesse[{n}]");
        findings.require(form::token(id, 100), format_args!("{path}.id"), "PROZESS_ID", || {
            format!("{} ist keine Kennung eines Prozesses (XProzess)", Shown(id))
        });
        findings.require(
            form::token(version, 50),
            format_args!("{path}.version"),
            "PROZESS_VERSION",
            || format!("{} ist keine Version eines Prozesses (XProzess)", Shown(version)),
        );
        findings.code(
            lists,
            List::Detaillierungsstufe,
            detaillierungsstufe,
            format_args!("{path}.detaillierungsstufe"),
            "PROZESS_DETAILLIERUNGSSTUFE",
            "keine Detaillierungsstufe",
        );
    }
}

fn sdg(findings: &mut Findings<'_>, codes: &[String], lists: &CodeLists) {
    const FIELD: &str = "sdg_informationsbereiche";
    let codes = findings.list(codes, RECORD_LIST_MAX, FIELD);
    for (n, code) in codes.iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        let list = if form::digits(code, 7..=7) {
            List::Sdg
        } else if form::digits(code, 4..=4) {
            List::Sdg2
        } else {
            findings.error(
                path,
                "SDG_FORM",
                format!(
                    "{} ist kein SDG-Informationsbereich: sieben oder vier Ziffern (SDG-Verordnung, \
                     Anhang I und II)",
                    Shown(code)
                ),
            );
            continue;
        };
        findings.code(lists, list, code, path, "SDG_UNKNOWN", "kein SDG-Informationsbereich");
    }
    let names = codes.iter().map(String::as_str);
    record::unique(findings, names, FIELD, "", "SDG_DUPLICATE");
}

fn datenschemata(findings: &mut Findings<'_>, schemata: &[Datenschema]) {
    const FIELD: &str = "datenschemata";
    let schemata = findings.list(schemata, RECORD_LIST_MAX, FIELD);
    for (n, Datenschema { fim_id, version, uri }) in schemata.iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        if fim_id.is_empty() && version.is_empty() && uri.is_empty() {
            findings.error(
                path,
                "DATENSCHEMA_MISSING",
                "Datenschema braucht FIM-Kennung und Version oder eine URI (XDatenfelder)",
            );
            continue;
        }
        findings.require(
            uri.is_empty() || form::https_or_urn(uri),
            format_args!("{path}.uri"),
            "URL_FORM",
            || format!("{} ist weder https-Adresse noch URN (XDatenfelder)", Shown(uri)),
        );
        if fim_id.is_empty() && version.is_empty() {
            continue;
        }
        findings.require(
            form::fim_schema_id(fim_id),
            format_args!("{path}.fim_id"),
            "DATENSCHEMA_ID",
            || {
                format!(
                    "{} ist keine Kennung eines Datenschemas: S und acht bis elf Ziffern \
                     (XDatenfelder)",
                    Shown(fim_id)
                )
            },
        );
        findings.require(
            form::dotted_version(version),
            format_args!("{path}.version"),
            "DATENSCHEMA_VERSION",
            || {
                format!(
                    "{} ist keine Version: X.Y oder X.Y.Z, nicht latest (XDatenfelder)",
                    Shown(version)
                )
            },
        );
    }
}

fn relationen(findings: &mut Findings<'_>, relationen: &[Relation], lists: &CodeLists) {
    const FIELD: &str = "relationen";
    let relationen = findings.list(relationen, RECORD_LIST_MAX, FIELD);
    for (n, Relation { typ, ziel }) in relationen.iter().enumerate() {
        let path = format_args!("{FIELD}[{n}]");
        findings.code(
            lists,
            List::Relation,
            typ,
            format_args!("{path}.typ"),
            "RELATION_TYP",
            "kein Relationstyp",
        );
        findings.require(
            form::token(ziel, NAME_CHARS_MAX),
            format_args!("{path}.ziel"),
            "RELATION_ZIEL",
            || {
                format!(
                    "{} ist keine Kennung: 1 bis 255 ASCII-Zeichen ohne Leerraum (FIM)",
                    Shown(ziel)
                )
            },
        );
    }
    let names: Vec<String> = relationen.iter().map(|r| format!("{} {}", r.typ, r.ziel)).collect();
    let names = names.iter().map(String::as_str);
    record::unique(findings, names, FIELD, "", "RELATION_DUPLICATE");
}

/// Fields that a demonstration may fill with invented values.
const FIELDS: [&str; 21] = [
    "land",
    "external_ids",
    "leistungsschluessel",
    "typisierung",
    "ozg_ids",
    "themenfeld",
    "lagen",
    "bezeichnung",
    "bezeichnung_buergernah",
    "teaser",
    "kurztext",
    "volltext",
    "handlungsgrundlagen",
    "leistungsadressaten",
    "sdg_informationsbereiche",
    "datenschemata",
    "prozesse",
    "herausgeber",
    "relationen",
    "mitfederfuehrung",
    "bearbeiter",
];
