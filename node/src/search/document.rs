//! What of a service is looked up: one document per (Land, service), a pure function of its newest
//! definition and its state.

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use registry_core::catalogue::ShippedCatalogue;
use registry_proto::{
    terms::{Land, Themenfeld},
    wire::registry::{LocalizedText, ServiceDefinition},
};
use tantivy::{
    TantivyDocument, Term,
    schema::{Field, IndexRecordOption, NumericOptions, Schema, TextFieldIndexing, TextOptions},
};
use uuid::Uuid;

use super::analyzer::{Analyzer, Word};

/// The fields of the index. A root stands in the best class of texts that has it only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// Land and service, to replace the document.
    pub(super) id: Field,
    /// Code of the Land and UUID as numbers, for the order of equal ranks.
    pub(super) land: Field,
    pub(super) service: [Field; 2],
    /// Pieces of the shortest name, at most [`UNITS_MAX`].
    pub(super) units: Field,
    /// Roots of the service's own names, of official names of its keys, of other texts.
    pub(super) roots: [Field; 3],
    /// Words as they are written, with the parts of compounds: own names, official names.
    pub(super) surfaces: [Field; 2],
    /// All pieces of a name in one term: own names, official names.
    pub(super) whole: [Field; 2],
    /// Leistungsschlüssel and OZG-IDs.
    pub(super) key: Field,
    /// Where the official name stands in an alphabetical list.
    pub(super) name: Field,
    /// In the order of [`FACETS`].
    pub(super) facets: [Field; FACETS.len()],
}

/// A service with what makes it findable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) land: Land,
    pub(super) service: Uuid,
    pub(super) status: &'a str,
    pub(super) definition: &'a ServiceDefinition,
}

/// Texts of a document by class, each root in one of them.
#[derive(Default)]
struct Classes {
    roots: [BTreeSet<String>; 3],
    surfaces: [BTreeSet<String>; 2],
    whole: [BTreeSet<String>; 2],
    units: Option<u64>,
}

/// Names of the facets.
pub(super) const FACETS: [&str; 5] = ["land", "themenfeld", "typisierung", "lage", "status"];
/// Raised whenever documents change; an index of another version is rebuilt.
pub(super) const DOCUMENT_VERSION: u32 = 2;
/// Names with more pieces are all alike.
pub(super) const UNITS_MAX: u64 = 15;
/// Pieces of a name that can be met as a whole.
const WHOLE_UNITS_MAX: usize = 12;
/// Characters of a text that are looked at.
const TEXT_CHARS_MAX: usize = 5_000;

/// Characters of a name that decide where it stands.
const SORT_KEY_CHARS_MAX: usize = 255;
/// Column of the names.
pub(super) const NAME_COLUMN: &str = "name";

const OWN: usize = 0;
const OFFICIAL: usize = 1;
const OTHER: usize = 2;

// === impl Fields ===

impl Fields {
    /// The fields and their schema.
    pub(super) fn schema() -> (Self, Schema) {
        let mut schema = Schema::builder();
        // no frequencies, no positions, no lengths: ranks are made of constants
        let words = TextFieldIndexing::default()
            .set_tokenizer("whitespace")
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false);
        let words = TextOptions::default().set_indexing_options(words);
        let number = NumericOptions::default().set_fast();
        let facet = TextOptions::default().set_fast("raw");
        let fields = Self {
            id: schema.add_text_field("id", words.clone()),
            land: schema.add_u64_field("land", number.clone()),
            service: ["service_high", "service_low"]
                .map(|name| schema.add_u64_field(name, number.clone())),
            units: schema.add_u64_field("units", number),
            roots: ["own_roots", "official_roots", "other_roots"]
                .map(|name| schema.add_text_field(name, words.clone())),
            surfaces: ["own_surfaces", "official_surfaces"]
                .map(|name| schema.add_text_field(name, words.clone())),
            whole: ["own_whole", "official_whole"]
                .map(|name| schema.add_text_field(name, words.clone())),
            key: schema.add_text_field("key", words),
            name: schema.add_text_field(NAME_COLUMN, facet.clone()),
            facets: FACETS.map(|name| schema.add_text_field(&facet_column(name), facet.clone())),
        };
        (fields, schema.build())
    }

    /// The term of a document.
    pub(super) fn id_term(&self, land: Land, service: Uuid) -> Term {
        Term::from_field_text(self.id, &format!("{land}/{service}"))
    }

    /// The document of a service.
    pub(super) fn document(&self, subject: &Subject<'_>) -> TantivyDocument {
        let Subject { land, service, status, definition } = *subject;
        let mut document = TantivyDocument::default();
        document.add_text(self.id, format!("{land}/{service}"));
        document.add_u64(self.land, land_number(land));
        let (high, low) = service.as_u64_pair();
        document.add_u64(self.service[0], high);
        document.add_u64(self.service[1], low);

        let classes = Classes::of(definition);
        document.add_u64(self.units, classes.units.unwrap_or(UNITS_MAX));
        let sets = [&classes.roots[..], &classes.surfaces, &classes.whole].into_iter().flatten();
        let fields = [&self.roots[..], &self.surfaces, &self.whole].into_iter().flatten();
        for (&field, set) in fields.zip(sets) {
            document.add_text(field, joined(set));
        }
        let keys = definition.leistungsschluessel.iter().chain(&definition.ozg_ids);
        document.add_text(self.key, joined(&keys.cloned().collect()));

        let name = definition.bezeichnung.first().map_or("", |it| it.text.as_str());
        let name: String = sort_key(name).chars().take(SORT_KEY_CHARS_MAX).collect();
        document.add_text(self.name, name);

        let [land_facet, themenfeld, typisierung, lage, status_facet] = self.facets;
        document.add_text(land_facet, land.code());
        if !definition.themenfeld.is_empty() {
            document.add_text(themenfeld, &definition.themenfeld);
        }
        for code in definition.typisierung.iter().collect::<BTreeSet<_>>() {
            document.add_text(typisierung, code);
        }
        for name in definition.lagen.iter().collect::<BTreeSet<_>>() {
            document.add_text(lage, name);
        }
        document.add_text(status_facet, status);
        document
    }
}

// === impl Classes ===

impl Classes {
    fn of(definition: &ServiceDefinition) -> Self {
        let mut classes = Self::default();
        let analyzer = Analyzer::shipped();
        for text in texts(&[&definition.bezeichnung, &definition.bezeichnung_buergernah]) {
            let words = analyzer.words(text);
            let units = words.iter().flat_map(Word::units).count() as u64;
            let units = units.min(UNITS_MAX);
            classes.units = Some(classes.units.map_or(units, |least| least.min(units)));
            classes.add(OWN, &words);
        }
        for key in definition.leistungsschluessel.iter().chain(&definition.ozg_ids) {
            if let Some(words) = OFFICIAL_NAMES.get(key.as_str()) {
                classes.add(OFFICIAL, words);
            }
        }
        for text in texts(&[&definition.teaser, &definition.kurztext]) {
            classes.add(OTHER, &analyzer.words(text));
        }
        let field = definition.themenfeld.parse::<Themenfeld>().map(Themenfeld::label);
        for text in definition.lagen.iter().map(String::as_str).chain(field) {
            classes.add(OTHER, &analyzer.words(cut(text)));
        }
        let [own, official, other] = &mut classes.roots;
        official.retain(|root| !own.contains(root));
        other.retain(|root| !own.contains(root) && !official.contains(root));
        let [own, official] = &mut classes.surfaces;
        official.retain(|word| !own.contains(word));
        let [own, official] = &mut classes.whole;
        official.retain(|name| !own.contains(name));
        classes
    }

    fn add(&mut self, class: usize, words: &[Word]) {
        for word in words {
            self.roots[class].extend(word.roots.iter().cloned());
            self.roots[class].extend(word.parts.iter().map(|part| part.root.clone()));
            if let Some(surfaces) = self.surfaces.get_mut(class) {
                surfaces.insert(word.surface.clone());
                surfaces.extend(word.parts.iter().map(|part| part.surface.clone()));
            }
        }
        if let Some(whole) = self.whole.get_mut(class) {
            whole.extend(whole_name(words));
        }
    }
}

/// A name as one term: its pieces in the order of the alphabet, so that "Anmeldung eines Gewerbes"
/// and "Gewerbeanmeldung" are one. `None` for long names, which nobody types.
pub(super) fn whole_name(words: &[Word]) -> Option<String> {
    let units: BTreeSet<&str> = words.iter().flat_map(Word::units).collect();
    if units.is_empty() || units.len() > WHOLE_UNITS_MAX {
        return None;
    }
    Some(units.into_iter().collect::<Vec<_>>().join("_"))
}

/// Where a name stands in an alphabetical list (DIN 5007-1): umlauts beside their vowels.
pub(crate) fn sort_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for letter in name.chars().flat_map(char::to_lowercase) {
        match letter {
            'ä' => key.push('a'),
            'ö' => key.push('o'),
            'ü' => key.push('u'),
            'ß' => key.push_str("ss"),
            other => key.push(other),
        }
    }
    key
}

/// The column of a facet.
pub(super) fn facet_column(facet: &str) -> String {
    format!("facet_{facet}")
}

/// The code of a Land as a number of the same order.
pub(super) fn land_number(land: Land) -> u64 {
    let mut bytes = [0; 8];
    for (byte, letter) in bytes.iter_mut().zip(land.code().bytes()) {
        *byte = letter;
    }
    u64::from_be_bytes(bytes)
}

/// Names of the shipped catalogue by Leistungsschlüssel and OZG-ID.
static OFFICIAL_NAMES: LazyLock<HashMap<String, Vec<Word>>> = LazyLock::new(|| {
    let catalogue = ShippedCatalogue::shipped();
    let analyzer = Analyzer::shipped();
    let leistungen = catalogue
        .leistungen
        .iter()
        .map(|it| (it.schluessel.to_string(), analyzer.words(&it.bezeichnung)));
    let ozg = catalogue.ozg.iter().map(|it| (it.id.clone(), analyzer.words(&it.name)));
    leistungen.chain(ozg).collect()
});

fn texts<'a>(lists: &[&'a [LocalizedText]]) -> impl Iterator<Item = &'a str> {
    let all: Vec<_> = lists.iter().flat_map(|list| list.iter()).collect();
    all.into_iter().map(|text| cut(&text.text))
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(TEXT_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

fn joined(words: &BTreeSet<String>) -> String {
    words.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
