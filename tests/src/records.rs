//! Valid records to publish.

use registry_proto::wire::registry::{
    Datenaustausch, Handlungsgrundlage, Herausgeber, Lifecycle, LocalizedText, Nachnutzung,
    Onlinedienst, PublishRequest, Record, ServiceDefinition, ServiceVersion, Versionshinweis,
    record,
};
use uuid::Uuid;

/// UUID of the n-th service of a test.
pub fn service_id(n: u64) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("https://dienst.example/{n}").as_bytes()).to_string()
}

/// A definition that keeps every rule.
pub fn definition(service_id: &str, name: &str) -> ServiceDefinition {
    ServiceDefinition {
        service_id: service_id.to_owned(),
        leistungsschluessel: vec!["99050012104000".to_owned()],
        typisierung: vec!["2/3".to_owned()],
        ozg_ids: vec!["10294".to_owned()],
        themenfeld: "unternehmensfuehrung_entwicklung".to_owned(),
        bezeichnung: vec![text(name)],
        handlungsgrundlagen: vec![Handlungsgrundlage {
            text: "§ 14 Gewerbeordnung (GewO)".to_owned(),
            url: "https://www.gesetze-im-internet.de/gewo/__14.html".to_owned(),
        }],
        leistungsadressaten: vec!["002".to_owned()],
        herausgeber: Some(Herausgeber {
            id: "L100001.OE.1".to_owned(),
            name: "Ministerium für Versuche".to_owned(),
        }),
        ..ServiceDefinition::default()
    }
}

/// A version that keeps every rule. `note` goes into the Versionshinweis: it makes contents
/// differ, and sizes.
pub fn version(service_id: &str, version: &str, note: &str) -> ServiceVersion {
    ServiceVersion {
        service_id: service_id.to_owned(),
        version: version.to_owned(),
        freigabe_status: 6,
        lifecycle: Lifecycle::Freigegeben.into(),
        gueltig_ab: "2026-01-01".to_owned(),
        fachlich_freigegeben_am: "2025-12-01".to_owned(),
        fachlich_freigegeben_durch: "Ministerium für Versuche".to_owned(),
        onlinedienste: vec![Onlinedienst {
            link: "https://dienst.example/antrag".to_owned(),
            linktyp: "01".to_owned(),
            titel: "Antrag stellen".to_owned(),
            language_code: "de".to_owned(),
            vertrauensniveau: "20".to_owned(),
            ..Onlinedienst::default()
        }],
        verfuegbarkeitsgebiet: vec!["10".to_owned()],
        gebietsstand: "2023-11-30".to_owned(),
        nachnutzung: vec![Nachnutzung {
            modell: "verwaltungsabkommen".to_owned(),
            vertrag_url: "https://vertrag.example/1".to_owned(),
            kosten_text: "keine".to_owned(),
            kontakt: "nachnutzung@dienst.example".to_owned(),
            ..Nachnutzung::default()
        }],
        lizenz: "EUPL-1.2".to_owned(),
        datenaustausch: vec![Datenaustausch {
            standard: "urn:xoev-de:xgewerbeanzeige".to_owned(),
            version: "2.2".to_owned(),
            transport: "fit_connect".to_owned(),
        }],
        versionshinweis: Some(Versionshinweis { text: note.to_owned(), breaking: false }),
        ..ServiceVersion::default()
    }
}

/// A request with these records.
pub fn request(
    definitions: Vec<ServiceDefinition>,
    versions: Vec<ServiceVersion>,
) -> PublishRequest {
    let definitions = definitions.into_iter().map(record::Record::ServiceDefinition);
    let versions = versions.into_iter().map(record::Record::ServiceVersion);
    PublishRequest {
        records: definitions
            .chain(versions)
            .map(|it| Record { record: Some(it), ..Record::default() })
            .collect(),
        ..PublishRequest::default()
    }
}

fn text(text: &str) -> LocalizedText {
    LocalizedText { language_code: "de".to_owned(), text: text.to_owned() }
}
