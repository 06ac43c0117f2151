//! Services as a Verbund may have them: names, keys and legal bases from the shipped catalogue,
//! areas from the Gemeindeverzeichnis, drawn by a seed.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use registry_core::catalogue::{
    Gebiet, Gemeindeverzeichnis, Leistung, OzgLeistung, ShippedCatalogue,
};
use registry_proto::{
    terms::{Ars, Ebene, Land, Leistungsschluessel},
    wire::registry::{
        Handlungsgrundlage, LocalizedText, PublishRequest, Record, ServiceDefinition,
        ServiceVersion, record,
    },
};
use registry_tests::records;

/// Who publishes.
pub(crate) const LAENDER: [Land; 4] = [Land::RP, Land::HE, Land::TH, Land::SL];
/// Services of one batch; a definition and a version each.
const BATCH_SERVICES: usize = 400;

/// One service of this many is for the Leistung that every Gemeinde offers on its own.
pub(crate) const CROWD: usize = 100;
/// Leistungen that a service serves beside its first one, at most.
const MORE_KEYS: usize = 8;

/// Draws from the shipped data.
pub(crate) struct Draw {
    random: StdRng,
    catalogue: &'static ShippedCatalogue,
    ozg: BTreeMap<&'static str, &'static OzgLeistung>,
    /// Leistungen of each OZG-Leistung.
    bundles: BTreeMap<&'static str, Vec<&'static Leistung>>,
    gebiete: std::sync::Arc<Gemeindeverzeichnis>,
    number: u64,
}

/// The Leistung that every Gemeinde offers on its own: Hundesteuer.
pub(crate) fn crowded() -> Leistungsschluessel {
    "99102013002000".parse().expect("a key")
}

// === impl Draw ===

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        let catalogue = ShippedCatalogue::shipped();
        let mut bundles: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for leistung in &catalogue.leistungen {
            if let Some(ozg) = &leistung.ozg_id {
                bundles.entry(ozg.as_str()).or_default().push(leistung);
            }
        }
        Self {
            random: StdRng::seed_from_u64(seed),
            catalogue,
            bundles,
            ozg: catalogue.ozg.iter().map(|it| (it.id.as_str(), it)).collect(),
            gebiete: Gemeindeverzeichnis::shipped(),
            number: 0,
        }
    }

    /// Batches of a Land with this many services.
    pub(crate) fn batches(&mut self, land: Land, services: usize) -> Vec<PublishRequest> {
        let all: Vec<_> = (0..services).map(|_| self.service(land)).collect();
        let batch = |services: &[(ServiceDefinition, ServiceVersion)]| {
            let each = services.iter().flat_map(|(definition, version)| {
                [
                    record::Record::ServiceDefinition(definition.clone()),
                    record::Record::ServiceVersion(version.clone()),
                ]
            });
            let records = each.map(|it| Record { record: Some(it), ..Record::default() });
            PublishRequest { records: records.collect(), ..PublishRequest::default() }
        };
        all.chunks(BATCH_SERVICES).map(batch).collect()
    }

    /// A Leistung as services have it.
    pub(crate) fn number(&mut self) -> Leistungsschluessel {
        self.leistung().0.schluessel
    }

    /// A Gemeinde of one of the four.
    pub(crate) fn gemeinde(&mut self) -> Ars {
        let land = LAENDER.choose(&mut self.random).copied().unwrap_or(Land::SL);
        self.gebiet(land, Ebene::Gemeinde).ars
    }

    /// A day on which most versions are valid.
    pub(crate) fn day(&mut self) -> String {
        format!(
            "2026-{:02}-{:02}",
            self.random.random_range(1..=12),
            self.random.random_range(1..=28)
        )
    }

    /// One of these.
    pub(crate) fn one_of(&mut self, all: &[&str]) -> String {
        (*all.choose(&mut self.random).expect("there is one")).to_owned()
    }

    /// A number below this.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    fn leistung(&mut self) -> (&'static Leistung, &'static OzgLeistung) {
        loop {
            let all = &self.catalogue.leistungen;
            let found = &all[self.random.random_range(0..all.len())];
            let ozg = found.ozg_id.as_deref().and_then(|id| self.ozg.get(id));
            if let Some(ozg) = ozg {
                return (found, ozg);
            }
        }
    }

    fn crowd(&self) -> (&'static Leistung, &'static OzgLeistung) {
        let all = &self.catalogue.leistungen;
        let found =
            all.iter().find(|it| it.schluessel == crowded()).expect("it is in the catalogue");
        let ozg = found.ozg_id.as_deref().expect("it has an OZG-ID");
        (found, self.ozg[ozg])
    }

    fn gebiet(&mut self, land: Land, ebene: Ebene) -> Gebiet {
        let known: Vec<_> = self.gebiete.parts(&Ars::from(land), ebene).collect();
        let usable: Vec<_> = known.into_iter().filter(|it| it.abgeloest.is_none()).collect();
        (*usable.choose(&mut self.random).expect("every Land has such areas")).clone()
    }

    /// A tenth is for the whole Land, a third for a Kreis, the others for a Gemeinde.
    fn service(&mut self, land: Land) -> (ServiceDefinition, ServiceVersion) {
        self.number += 1;
        let crowded = (self.number as usize).is_multiple_of(CROWD);
        let (leistung, ozg) = if crowded { self.crowd() } else { self.leistung() };
        let gebiet = match self.random.random_range(0..10) {
            0 => self.gebiet(land, Ebene::Land),
            1..=3 => self.gebiet(land, Ebene::Kreis),
            _ => self.gebiet(land, Ebene::Gemeinde),
        };
        let name = if gebiet.ars.ebene() == Ebene::Land {
            leistung.bezeichnung.clone()
        } else {
            format!("{} ({})", leistung.bezeichnung, gebiet.name)
        };
        let name: String = name.chars().take(255).collect();
        let id = records::service_id(self.number);
        let mut definition = records::definition(&id, &name);
        let bundle = &self.bundles[ozg.id.as_str()];
        let first = bundle.iter().position(|it| it.schluessel == leistung.schluessel);
        let count = 1 + if crowded { 0 } else { self.random.random_range(0..=MORE_KEYS) };
        let keys = bundle.iter().cycle().skip(first.unwrap_or(0)).take(count.min(bundle.len()));
        let keys = keys.map(|it| it.schluessel.to_string()).collect();
        definition.leistungsschluessel = keys;
        definition.typisierung = leistung.typisierung.iter().map(ToString::to_string).collect();
        if definition.typisierung.is_empty() {
            definition.typisierung.push("4".to_owned());
        }
        definition.ozg_ids = vec![ozg.id.clone()];
        definition.themenfeld = ozg.themenfeld.code().to_owned();
        definition.lagen = vec![ozg.lage.clone()];
        definition.kurztext = vec![german(format!(
            "{}: Antrag bei der zuständigen Stelle in {}, {}.",
            ozg.name,
            gebiet.name,
            land.name()
        ))];
        let bases = leistung.rechtsgrundlagen.iter().take(5);
        let bases =
            bases.map(|it| Handlungsgrundlage { text: it.text.clone(), url: it.https_url() });
        definition.handlungsgrundlagen.splice(.., bases);
        if definition.handlungsgrundlagen.is_empty() {
            let text = "Satzung der Gemeinde".to_owned();
            definition.handlungsgrundlagen.push(Handlungsgrundlage { text, url: String::new() });
        }
        let mut version = records::version(&id, "1.0.0", "Erste Fassung.");
        version.verfuegbarkeitsgebiet = vec![gebiet.ars.to_string()];
        version.gueltig_ab = format!("2026-{:02}-01", self.random.random_range(1..=6));
        version.onlinedienste[0].titel = name;
        (definition, version)
    }
}

fn german(text: String) -> LocalizedText {
    LocalizedText { language_code: "de".to_owned(), text }
}
