//! Records for the demonstration, made from the real catalogue.
//!
//! Keys, Typisierung, OZG-ID, Themenfeld, Lage, names and legal bases are real. What the sources
//! lack is invented, points to addresses under `.example` (RFC 2606), and is listed in the
//! `demonstration_fields` of its record. No clock and no random numbers: a second run makes the
//! same records.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::{
    terms::{Ars, Date, Land, Themenfeld},
    wire::registry::{
        Datenaustausch, EfaCheck, Handlungsgrundlage, Herausgeber, Lifecycle, LocalizedText,
        Nachnutzung, Onlinedienst, Parameter, Reifegrad, ServiceDefinition, ServiceVersion,
        Versionshinweis, ZustaendigeStelle,
    },
};
use uuid::Uuid;

use super::{Leistung, OzgLeistung, ShippedCatalogue};

/// A service with its versions, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct DemoService {
    /// Who publishes it.
    pub land: Land,
    /// The definition.
    pub definition: ServiceDefinition,
    /// One to three versions, strictly increasing.
    pub versions: Vec<ServiceVersion>,
}

/// Makes a service of each OZG-Leistung that bundles Leistungen; `land_for` says who publishes it
/// ([`lead`] for the usual demonstration).
pub fn demo_records(land_for: impl Fn(&OzgLeistung) -> Land) -> Vec<DemoService> {
    let catalogue = ShippedCatalogue::shipped();
    let mut bundles: BTreeMap<&str, Vec<&Leistung>> = BTreeMap::new();
    for leistung in &catalogue.leistungen {
        if let Some(id) = &leistung.ozg_id {
            bundles.entry(id).or_default().push(leistung);
        }
    }
    catalogue
        .ozg
        .iter()
        .filter_map(|ozg| Some((ozg, bundles.get(ozg.id.as_str())?)))
        .map(|(ozg, bundle)| {
            let land = land_for(ozg);
            DemoService {
                land,
                definition: definition(ozg, bundle, land),
                versions: (0..=seed(ozg) % 3).map(|step| version(ozg, land, step)).collect(),
            }
        })
        .collect()
}

/// Who leads a Themenfeld in the demonstration. Hessen leads Mobilität & Reisen and
/// Steuern & Zoll in truth; the rest is spread evenly over the four.
pub fn lead(ozg: &OzgLeistung) -> Land {
    match ozg.themenfeld {
        Themenfeld::MobilitaetReisen | Themenfeld::SteuernZoll | Themenfeld::EngagementHobby => {
            Land::HE
        }
        Themenfeld::Umwelt
        | Themenfeld::Gesundheit
        | Themenfeld::EinAuswanderung
        | Themenfeld::RechtOrdnung => Land::RP,
        Themenfeld::ForschungFoerderung
        | Themenfeld::Bildung
        | Themenfeld::UnternehmensfuehrungEntwicklung => Land::SL,
        Themenfeld::Querschnittsleistungen
        | Themenfeld::BauenWohnen
        | Themenfeld::FamilieKind
        | Themenfeld::ArbeitRuhestand => Land::TH,
    }
}

/// UUID v5 over the OZG-ID: a second run meets the same service.
pub fn service_id(ozg_id: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("ozg:{ozg_id}").as_bytes())
}

fn definition(ozg: &OzgLeistung, bundle: &[&Leistung], land: Land) -> ServiceDefinition {
    let mut invented = vec!["land", "leistungsadressaten", "herausgeber"];
    let mut typisierung: Vec<String> = bundle
        .iter()
        .flat_map(|leistung| &leistung.typisierung)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(ToString::to_string)
        .collect();
    if typisierung.is_empty() {
        typisierung.push("4".to_owned());
        invented.push("typisierung");
    }
    let mut handlungsgrundlagen = handlungsgrundlagen(bundle);
    if handlungsgrundlagen.is_empty() {
        handlungsgrundlagen.push(Handlungsgrundlage {
            text: "Demonstrationswert: der Katalog nennt keine Rechtsgrundlage".to_owned(),
            url: format!("https://recht.example/ozg/{}", ozg.id),
        });
        invented.push("handlungsgrundlagen");
    }
    ServiceDefinition {
        service_id: service_id(&ozg.id).to_string(),
        land: land.code().to_owned(),
        leistungsschluessel: bundle.iter().map(|one| one.schluessel.to_string()).collect(),
        typisierung,
        ozg_ids: vec![ozg.id.clone()],
        themenfeld: ozg.themenfeld.code().to_owned(),
        lagen: vec![ozg.lage.clone()],
        bezeichnung: german(ozg.name.clone()),
        kurztext: german(summary(bundle)),
        handlungsgrundlagen,
        leistungsadressaten: vec![adressat(&ozg.lage).to_owned()],
        herausgeber: Some(Herausgeber {
            id: format!("demo-{}", slug(land)),
            name: format!("Demonstration {} (erfundener Herausgeber)", land.name()),
        }),
        demonstration_fields: invented.into_iter().map(str::to_owned).collect(),
        ..ServiceDefinition::default()
    }
}

/// The legal bases of all Leistungen, each once, in their order.
fn handlungsgrundlagen(bundle: &[&Leistung]) -> Vec<Handlungsgrundlage> {
    let mut seen = BTreeSet::new();
    bundle
        .iter()
        .flat_map(|leistung| &leistung.rechtsgrundlagen)
        .filter(|basis| seen.insert(*basis))
        .map(|basis| Handlungsgrundlage { text: basis.text.clone(), url: basis.https_url() })
        .collect()
}

fn summary(bundle: &[&Leistung]) -> String {
    let names: Vec<&str> =
        bundle.iter().take(SUMMARY_NAMES).map(|leistung| leistung.bezeichnung.as_str()).collect();
    let more = match bundle.len().saturating_sub(SUMMARY_NAMES) {
        0 => String::new(),
        more => format!(" und {more} weitere"),
    };
    let noun = if bundle.len() == 1 { "Leistung" } else { "Leistungen" };
    format!("Umfasst {} {noun} des Leistungskatalogs: {}{more}.", bundle.len(), names.join("; "))
}

/// Version 1.0.0, 1.1.0 or 2.0.0.
fn version(ozg: &OzgLeistung, land: Land, step: u32) -> ServiceVersion {
    let (number, hint, breaking) = match step {
        0 => ("1.0.0", "Erste Fassung.", false),
        1 => ("1.1.0", "Weitere Länder können nachnutzen; Kontaktadresse ergänzt.", false),
        _ => ("2.0.0", "Neuer Pflichtparameter: anschließende Stellen müssen ihn setzen.", true),
    };
    let approved = months_after_start(seed(ozg) % 5 + 6 * step);
    let host = format!("{}.example", slug(land));
    let base = format!("https://{host}/ozg/{}/{number}", ozg.id);
    ServiceVersion {
        service_id: service_id(&ozg.id).to_string(),
        version: number.to_owned(),
        freigabe_status: 5 + seed(ozg) % 2,
        lifecycle: Lifecycle::Freigegeben.into(),
        gueltig_ab: months_after_start(seed(ozg) % 5 + 6 * step + 1),
        fachlich_freigegeben_am: approved,
        fachlich_freigegeben_durch: format!("Demonstration {} (erfunden)", land.name()),
        onlinedienste: vec![Onlinedienst {
            // the entry point stays from version to version: a new one would break with it
            link: format!("https://{host}/ozg/{}/antrag", ozg.id),
            linktyp: "01".to_owned(),
            titel: ozg.name.clone(),
            language_code: "de".to_owned(),
            vertrauensniveau: ["10", "20", "30", "40"][index(ozg, 4)].to_owned(),
            ..Onlinedienst::default()
        }],
        reifegrad: Some(Reifegrad {
            modell: "2.0".to_owned(),
            stufe: 3 + seed(ozg) % 3 + step / 2,
        }),
        verfuegbarkeitsgebiet: areas(land, step),
        gebietsstand: "2023-11-30".to_owned(),
        efa_checks: efa_checks(&base),
        nachnutzung: vec![nachnutzung(ozg, &host, &base)],
        lizenz: "EUPL-1.2".to_owned(),
        parameter: parameter(step),
        datenaustausch: vec![Datenaustausch {
            standard: format!("https://standard.example/ozg/{}", ozg.id),
            version: ["1.0", "1.1", "2.0"][(step as usize).min(2)].to_owned(),
            transport: ["fit_connect", "osci_xta"][index(ozg, 2)].to_owned(),
        }],
        zustaendige_stellen: vec![ZustaendigeStelle {
            id: format!("L999999.OE.demo-{}", slug(land)),
            name: format!("Demonstrationsstelle {}", land.name()),
            strasse: "Musterstraße 1".to_owned(),
            plz: "00000".to_owned(),
            ort: "Musterstadt".to_owned(),
            gebiet: land.ars().to_owned(),
            rolle: "zuständige Stelle".to_owned(),
        }],
        versionshinweis: Some(Versionshinweis { text: hint.to_owned(), breaking }),
        demonstration_fields: INVENTED_IN_VERSIONS.map(str::to_owned).to_vec(),
        ..ServiceVersion::default()
    }
}

fn nachnutzung(ozg: &OzgLeistung, host: &str, base: &str) -> Nachnutzung {
    let modelle = ["fit_store", "efa_marktplatz", "verwaltungsabkommen", "kommunalvertreter"];
    Nachnutzung {
        modell: modelle[index(ozg, 4)].to_owned(),
        vertrag_url: format!("{base}/vertrag"),
        vertrag_id: format!("DEMO-{}", ozg.id),
        kosten_text: "Demonstrationswert: keine Kosten".to_owned(),
        kontakt: format!("nachnutzung@{host}"),
    }
}

fn parameter(step: u32) -> Vec<Parameter> {
    let all = [
        ("kassenzeichen", "text", "Kassenzeichen für die Bezahlung", "1.0.0", false),
        ("kontaktadresse", "url", "Adresse für Rückfragen", "1.1.0", false),
        ("zustellkanal", "code", "Weg, auf dem Anträge zugestellt werden", "2.0.0", true),
    ];
    all.into_iter()
        .zip(0..=step)
        .map(|((name, datentyp, beschreibung, since, pflicht), _)| Parameter {
            name: format!("demo.{name}"),
            datentyp: datentyp.to_owned(),
            pflicht,
            beschreibung: beschreibung.to_owned(),
            seit_version: since.to_owned(),
            ..Parameter::default()
        })
        .collect()
}

fn efa_checks(base: &str) -> Vec<EfaCheck> {
    [
        ("oberflaechengestaltung", "MUSS", "ja"),
        ("fachlogik", "MUSS", "ja"),
        ("nutzerkonto", "MUSS", "ja"),
        ("payment", "SOLL", "n.a."),
        ("datenaustauschstandard", "MUSS", "ja"),
        ("routing_transport", "MUSS", "ja"),
        ("rechtliche_nachnutzung", "MUSS", "ja"),
        ("organisation", "SOLL", "nein"),
    ]
    .into_iter()
    .map(|(dimension, level, erfuellt)| EfaCheck {
        dimension: dimension.to_owned(),
        level: level.to_owned(),
        erfuellt: erfuellt.to_owned(),
        nachweis_url: format!("{base}/efa/{dimension}"),
    })
    .collect()
}

/// First the own Land, from the second version on all four, unless the Bund covers them.
fn areas(land: Land, step: u32) -> Vec<String> {
    let own = Ars::from(land);
    let others = [Land::SL, Land::RP, Land::HE, Land::TH].map(Ars::from);
    let mut areas = vec![own.to_string()];
    if step > 0 {
        areas.extend(others.iter().filter(|area| !own.covers(area)).map(Ars::to_string));
    }
    areas
}

/// Companies for an Unternehmenslage, else citizens.
fn adressat(lage: &str) -> &'static str {
    if UNTERNEHMENSLAGEN.contains(&lage) { "002" } else { "001" }
}

fn german(text: String) -> Vec<LocalizedText> {
    vec![LocalizedText { language_code: "de".to_owned(), text }]
}

fn slug(land: Land) -> String {
    land.code().to_ascii_lowercase()
}

/// Spreads values over the services: a number that follows from the OZG-ID alone.
fn seed(ozg: &OzgLeistung) -> u32 {
    ozg.id.bytes().fold(7, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)) / 3)
}

fn index(ozg: &OzgLeistung, length: u32) -> usize {
    usize::try_from(seed(ozg) % length).unwrap_or_default()
}

/// A day at the begin of a month, from January 2024 on.
fn months_after_start(months: u32) -> String {
    let date = format!("{}-{:02}-01", 2024 + months / 12, months % 12 + 1);
    debug_assert!(date.parse::<Date>().is_ok(), "{date}");
    date
}

/// Fields of a version without any source: all but the id of the service and its status.
const INVENTED_IN_VERSIONS: [&str; 16] = [
    "version",
    "freigabe_status",
    "lifecycle",
    "gueltig_ab",
    "fachlich_freigegeben_am",
    "fachlich_freigegeben_durch",
    "onlinedienste",
    "reifegrad",
    "verfuegbarkeitsgebiet",
    "efa_checks",
    "nachnutzung",
    "lizenz",
    "parameter",
    "datenaustausch",
    "zustaendige_stellen",
    "versionshinweis",
];

const UNTERNEHMENSLAGEN: [&str; 17] = [
    "Anlagen & Stoffe",
    "Abfall & Umweltschutz",
    "Arbeitgeber sein",
    "Arbeitssicherheit",
    "Aus-, Weiterbildung & Sachkunde",
    "Auslandsgeschäft",
    "Ausschreibungen & öffentliche Aufträge",
    "Bauen & Immobilien",
    "Finanzierung & Förderung",
    "Forschung & Entwicklung",
    "Geschäftsauflösung & Unternehmensübergang",
    "Logistik & Transport",
    "Querschnitt Unternehmen",
    "Statistik- & Berichtspflichten",
    "Steuern & Abgaben",
    "Unternehmensstart & Gewerbezulassung",
    "Veranstaltung durchführen",
];

const SUMMARY_NAMES: usize = 5;

/// Namespace of the ids; chosen once, never changed.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_4c57_0b0e_5c5a_9d7e_3a52_c1f0_8e21);

#[cfg(test)]
mod tests {
    use prost::Message;
    use registry_proto::terms::SemVer;

    use super::*;
    use crate::validate::{self, CodeLists};

    #[test]
    fn every_record_is_valid() {
        let lists = CodeLists::shipped();
        let today: Date = "2025-07-01".parse().unwrap();
        let records = demo_records(lead);
        assert_eq!(records.len(), 533);
        for DemoService { land, definition, versions } in records {
            let id = definition.ozg_ids.join(",");
            let valid = validate::definition(definition, "", land, lists);
            let valid = valid.unwrap_or_else(|errors| panic!("{id}: {errors:#?}"));
            for warning in valid.warnings() {
                assert_eq!(warning.reason, "LEISTUNGSSCHLUESSEL_PARENT", "{id}: {warning:?}");
            }
            for version in versions {
                let valid = validate::version(version, "", today, lists);
                let valid = valid.unwrap_or_else(|errors| panic!("{id}: {errors:#?}"));
                assert_eq!(valid.warnings(), [], "{id}");
            }
        }
    }

    #[test]
    fn a_second_run_makes_the_same_records() {
        assert_eq!(demo_records(lead), demo_records(lead));
        assert_eq!(service_id("10513").to_string(), "a1cfa319-a762-5696-8cf5-f2baa060590a");
        let ids: BTreeSet<String> =
            demo_records(lead).into_iter().map(|one| one.definition.service_id).collect();
        assert_eq!(ids.len(), 533);
    }

    #[test]
    fn versions_increase_and_belong_to_their_service() {
        let mut counts = [0; 4];
        for DemoService { definition, versions, .. } in demo_records(lead) {
            counts[versions.len()] += 1;
            let numbers: Vec<SemVer> =
                versions.iter().map(|v| v.version.parse().unwrap()).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
            assert!(versions.iter().all(|v| v.service_id == definition.service_id));
            let approved: Vec<&str> =
                versions.iter().map(|v| v.fachlich_freigegeben_am.as_str()).collect();
            assert!(approved.is_sorted_by(|a, b| a < b), "{approved:?}");
        }
        assert!(counts[0] == 0 && counts[1..].iter().all(|count| *count > 100), "{counts:?}");
    }

    #[test]
    fn every_version_says_how_it_compares_with_the_one_before() {
        struct NoFiles;
        impl crate::compat::Artefacts for NoFiles {
            fn bytes(&self, _: &registry_proto::wire::registry::Artefakt) -> Option<bytes::Bytes> {
                None
            }
        }
        for DemoService { versions, .. } in demo_records(lead) {
            for pair in versions.windows(2) {
                let verdict = crate::compat::compare(&pair[0], &pair[1], &NoFiles);
                assert_eq!(verdict.allowed(), Ok(()), "{verdict:#?}");
            }
        }
    }

    #[test]
    fn each_of_the_four_publishes_its_share() {
        let records = demo_records(lead);
        for land in [Land::SL, Land::RP, Land::HE, Land::TH] {
            let share = records.iter().filter(|one| one.land == land).count();
            assert!(share > 100, "{land}: {share}");
        }
        assert!(
            records
                .iter()
                .filter(|one| one.definition.themenfeld == "steuern_zoll")
                .all(|one| one.land == Land::HE && one.definition.land == "HE")
        );
    }

    #[test]
    fn the_largest_bundle_keeps_all_its_keys_and_legal_bases() {
        let records = demo_records(lead);
        let largest = records
            .iter()
            .max_by_key(|one| one.definition.leistungsschluessel.len())
            .expect("records");
        assert_eq!(largest.definition.leistungsschluessel.len(), 317);
        assert_eq!(largest.definition.ozg_ids, ["10069"]);
        assert!(largest.definition.handlungsgrundlagen.len() > 200);
        assert!(largest.definition.encoded_len() < 64 << 10);
    }

    #[test]
    fn invented_values_are_named() {
        for DemoService { definition, versions, .. } in demo_records(lead) {
            let invented = |field: &str| definition.demonstration_fields.iter().any(|f| f == field);
            assert!(invented("herausgeber") && invented("leistungsadressaten"));
            let basis = &definition.handlungsgrundlagen[0].text;
            assert_eq!(basis.starts_with("Demonstrationswert"), invented("handlungsgrundlagen"));
            assert!(!invented("leistungsschluessel") && !invented("bezeichnung"));
            for version in versions {
                let host = version.onlinedienste[0].link.split('/').nth(2).unwrap_or_default();
                assert!(host.ends_with(".example"), "{host}");
                assert!(version.demonstration_fields.iter().any(|field| field == "onlinedienste"));
            }
        }
    }

    #[test]
    fn any_land_may_publish() {
        let lists = CodeLists::shipped();
        let today: Date = "2025-07-01".parse().unwrap();
        for land in Land::ALL {
            for service in demo_records(|_| land).into_iter().take(30) {
                assert!(validate::definition(service.definition, "", land, lists).is_ok());
                for version in service.versions {
                    assert!(validate::version(version, "", today, lists).is_ok(), "{land}");
                }
            }
        }
    }
}
