//! Arbitrary records never panic, and never make unbounded lists.

use proptest::{collection::vec, prelude::*, sample::select};
use prost::Message;
use registry_proto::{
    terms::Land,
    wire::registry::{
        Artefakt, Bearbeiter, Datenaustausch, Datenschema, DvdvDienst, EfaCheck, ExternalId,
        Handlungsgrundlage, Herausgeber, LocalizedText, Mitfederfuehrung, Nachnutzung,
        Onlinedienst, Parameter, Prozess, Reifegrad, Relation, ServiceDefinition, ServiceVersion,
        Versionshinweis, ZustaendigeStelle, Zustellung,
    },
};

use super::{minimal_definition, minimal_version, today};
use crate::{
    limits::VIOLATIONS_MAX,
    reject::FieldViolation,
    validate::{self, CodeLists, Validated},
};

/// Hands out texts from a pool, over and over, and lists of a fixed length.
struct Pool {
    texts: Vec<String>,
    next: usize,
    length: usize,
}

impl Pool {
    fn text(&mut self) -> String {
        self.next += 1;
        self.texts[self.next % self.texts.len()].clone()
    }

    fn list<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.length).map(|_| make(self)).collect()
    }

    fn texts(&mut self) -> Vec<String> {
        self.list(Self::text)
    }

    fn localized(&mut self) -> Vec<LocalizedText> {
        self.list(|p| LocalizedText { language_code: p.text(), text: p.text() })
    }
}

fn a_definition(p: &mut Pool) -> ServiceDefinition {
    ServiceDefinition {
        service_id: p.text(),
        external_ids: p.list(|p| ExternalId {
            scheme: p.text(),
            agency: p.text(),
            value: p.text(),
        }),
        land: p.text(),
        leistungsschluessel: p.texts(),
        typisierung: p.texts(),
        ozg_ids: p.texts(),
        themenfeld: p.text(),
        lagen: p.texts(),
        bezeichnung: p.localized(),
        bezeichnung_buergernah: p.localized(),
        teaser: p.localized(),
        kurztext: p.localized(),
        volltext: p.localized(),
        handlungsgrundlagen: p.list(|p| Handlungsgrundlage { text: p.text(), url: p.text() }),
        leistungsadressaten: p.texts(),
        sdg_informationsbereiche: p.texts(),
        datenschemata: p.list(|p| Datenschema {
            fim_id: p.text(),
            version: p.text(),
            uri: p.text(),
        }),
        prozesse: p.list(|p| Prozess {
            id: p.text(),
            version: p.text(),
            detaillierungsstufe: p.text(),
        }),
        herausgeber: Some(Herausgeber { id: p.text(), name: p.text() }),
        relationen: p.list(|p| Relation { typ: p.text(), ziel: p.text() }),
        demonstration_fields: p.texts(),
        mitfederfuehrung: Some(Mitfederfuehrung { laender: p.texts(), k: 1 }),
        bearbeiter: p.list(|p| Bearbeiter { principal: p.text(), rolle: p.text() }),
        hinweise: Vec::new(),
    }
}

fn a_version(p: &mut Pool, number: i32) -> ServiceVersion {
    ServiceVersion {
        service_id: p.text(),
        version: p.text(),
        freigabe_status: number.unsigned_abs(),
        lifecycle: number,
        gueltig_ab: p.text(),
        gueltig_bis: p.text(),
        abkuendigung_am: p.text(),
        abschaltung_am: p.text(),
        fachlich_freigegeben_am: p.text(),
        fachlich_freigegeben_durch: p.text(),
        onlinedienste: p.list(|p| Onlinedienst {
            id: p.text(),
            link: p.text(),
            linktyp: p.text(),
            titel: p.text(),
            language_code: p.text(),
            vertrauensniveau: p.text(),
        }),
        reifegrad: Some(Reifegrad { modell: p.text(), stufe: number.unsigned_abs() }),
        verfuegbarkeitsgebiet: p.texts(),
        gebietsstand: p.text(),
        efa_checks: p.list(|p| EfaCheck {
            dimension: p.text(),
            level: p.text(),
            erfuellt: p.text(),
            nachweis_url: p.text(),
        }),
        nachnutzung: p.list(|p| Nachnutzung {
            modell: p.text(),
            vertrag_url: p.text(),
            vertrag_id: p.text(),
            kosten_text: p.text(),
            kontakt: p.text(),
        }),
        lizenz: p.text(),
        parameter: p.list(|p| Parameter {
            name: p.text(),
            standard: true,
            quelle: p.text(),
            datentyp: p.text(),
            pflicht: true,
            wertebereich: p.text(),
            beschreibung: p.text(),
            seit_version: p.text(),
        }),
        datenaustausch: p.list(|p| Datenaustausch {
            standard: p.text(),
            version: p.text(),
            transport: p.text(),
        }),
        zustellungen: p
            .list(|p| Zustellung { destination_id: p.text(), destination_signature: p.text() }),
        dvdv_dienste: p.list(|p| DvdvDienst {
            organisationsschluessel: p.text(),
            kategorie: p.text(),
            dienstbeschreibung_uri: p.text(),
        }),
        zustaendige_stellen: p.list(|p| ZustaendigeStelle {
            id: p.text(),
            name: p.text(),
            strasse: p.text(),
            plz: p.text(),
            ort: p.text(),
            gebiet: p.text(),
            rolle: p.text(),
        }),
        versionshinweis: Some(Versionshinweis { text: p.text(), breaking: true }),
        demonstration_fields: p.texts(),
        artefakte: p.list(|p| Artefakt {
            name: p.text(),
            typ: p.text(),
            medientyp: p.text(),
            bytes: u64::from(number.unsigned_abs()),
            sha256: p.text().into(),
            chunks: p.list(|p| p.text().into()),
        }),
        parameter_schema: p.text(),
        hinweise: Vec::new(),
    }
}

/// Texts that come close to the rules, and any other.
fn a_text() -> impl Strategy<Value = String> {
    let near = [
        "",
        "SL",
        "HE",
        "de",
        "en",
        "01",
        "10",
        "00",
        "06",
        "06414",
        "064140000000",
        "1.0.0",
        "99012001001000",
        "99012001000001",
        "99999999999999",
        "2/3",
        "10513",
        "1030300",
        "1010",
        "https://a.example/ä",
        "https://a.example",
        "https://",
        "urn:a:b",
        "urn:ab:c",
        "<",
        "</",
        "<a href=\"",
        "<a href=\"\">",
        "<p>",
        "<ä",
        "2026-02-29",
        "9999-12-31",
        "ä.ä.ä",
        "e30.e30.",
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "L100042.OD.ä",
        "xzufi",
        "S0000000ä",
        "\u{202e}",
    ];
    prop_oneof![select(near.to_vec()).prop_map(str::to_owned), any::<String>(), "[0-9.]{0,14}"]
}

fn check_bounded<T>(found: Result<Validated<T>, Vec<FieldViolation>>) {
    let findings = match &found {
        Ok(valid) => valid.warnings(),
        Err(errors) => {
            assert!(!errors.is_empty());
            errors
        }
    };
    assert!(findings.len() <= VIOLATIONS_MAX);
    assert!(findings.iter().all(|one| one.description.len() < 4_096 && !one.reason.is_empty()));
    // each names its source
    assert!(
        findings
            .iter()
            .all(|one| one.description.ends_with(')') || one.reason == "MORE_VIOLATIONS")
    );
}

proptest! {
    #[test]
    fn arbitrary_records_never_panic(
        texts in vec(a_text(), 1..60),
        length in prop_oneof![12 => 0..4usize, 1 => Just(250usize)],
        number in any::<i32>(),
    ) {
        let lists = CodeLists::shipped();
        let mut pool = Pool { texts, next: 0, length };
        check_bounded(validate::definition(a_definition(&mut pool), "", Land::SL, lists));
        check_bounded(validate::version(a_version(&mut pool, number), "", today(), lists));
    }

    #[test]
    fn records_with_changed_bytes_never_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let lists = CodeLists::shipped();
        let damaged = |mut bytes: Vec<u8>| {
            let place = at.index(bytes.len());
            bytes[place] = byte;
            bytes.truncate(bytes.len() - cut.index(bytes.len()) / 2);
            bytes
        };
        let bytes = damaged(minimal_definition().encode_to_vec());
        if let Ok(record) = ServiceDefinition::decode(bytes.as_slice()) {
            check_bounded(validate::definition(record, "", Land::SL, lists));
        }
        let bytes = damaged(minimal_version().encode_to_vec());
        if let Ok(record) = ServiceVersion::decode(bytes.as_slice()) {
            check_bounded(validate::version(record, "", today(), lists));
        }
    }

    #[test]
    fn one_changed_text_is_accepted_or_named(text in a_text()) {
        let mut record = minimal_definition();
        record.themenfeld.clone_from(&text);
        let found = validate::definition(record, "", Land::SL, CodeLists::shipped());
        prop_assert_eq!(found.is_ok(), text == "bauen_wohnen");
        let mut record = minimal_version();
        record.version.clone_from(&text);
        let found = validate::version(record, "", today(), CodeLists::shipped());
        prop_assert_eq!(found.is_ok(), text.parse::<registry_proto::terms::SemVer>().is_ok());
    }
}
