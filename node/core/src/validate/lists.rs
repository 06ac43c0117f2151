//! The code lists that rules refer to, built from the shipped data.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use registry_proto::terms::Leistungsschluessel;

use crate::catalogue::{Gemeindeverzeichnis, ShippedCatalogue};

/// A code list. Names in messages are the URNs or the usual German names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// Leistungsgruppierung, three digits.
    Leistungsgruppierung,
    /// Verrichtungskennung, without leading zeros.
    Verrichtung,
    /// Typisierung.
    Typisierung,
    /// Themenfeld.
    Themenfeld,
    /// Leistungsadressat.
    Leistungsadressat,
    /// SDG information areas of seven digits.
    Sdg,
    /// SDG information areas of four digits.
    Sdg2,
    /// Vertrauensniveau.
    Vertrauensniveau,
    /// Kind of a relation.
    Relation,
    /// Detaillierungsstufe of a process.
    Detaillierungsstufe,
    /// FIM status.
    FreigabeStatus,
}

/// Code lists, the keys of the LeiKa and the Gemeindeverzeichnis.
#[derive(Clone, Debug)]
pub struct CodeLists {
    codes: BTreeMap<List, BTreeSet<String>>,
    schluessel: BTreeSet<Leistungsschluessel>,
    gebiete: Arc<Gemeindeverzeichnis>,
    leika_stand: String,
}

/// The code lists cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListsError {
    /// Not JSON, or a value is not a list of texts.
    #[error("cannot read the code lists")]
    Json(#[source] serde_json::Error),
    /// A list is not in the file.
    #[error("code list {0} is missing")]
    Missing(&'static str),
}

// === impl CodeLists ===

impl CodeLists {
    /// The shipped lists, parsed at the first call.
    pub fn shipped() -> &'static Arc<Self> {
        static SHIPPED: LazyLock<Arc<CodeLists>> = LazyLock::new(|| {
            let gebiete = Gemeindeverzeichnis::shipped();
            let lists = CodeLists::parse(FIM, ShippedCatalogue::shipped(), gebiete)
                .expect("the embedded file never changes at run time and a test parses it");
            Arc::new(lists)
        });
        &SHIPPED
    }

    /// Takes the lists from `fim` (name to values), the keys from the catalogue and the areas as
    /// they are.
    ///
    /// # Errors
    ///
    /// When the text is not of that form or a list is missing.
    pub fn parse(
        fim: &str,
        catalogue: &ShippedCatalogue,
        gebiete: Arc<Gemeindeverzeichnis>,
    ) -> Result<Self, ListsError> {
        let mut all: BTreeMap<String, BTreeSet<String>> =
            serde_json::from_str(fim).map_err(ListsError::Json)?;
        let mut codes = BTreeMap::new();
        for list in List::ALL {
            let found = all.remove(list.key()).ok_or_else(|| ListsError::Missing(list.key()))?;
            codes.insert(list, found);
        }
        let schluessel = catalogue.leistungen.iter().map(|l| l.schluessel).collect();
        Ok(Self { codes, schluessel, gebiete, leika_stand: LEIKA_STAND.to_owned() })
    }

    /// True when the code is in the list.
    pub fn contains(&self, list: List, code: &str) -> bool {
        self.codes.get(&list).is_some_and(|codes| codes.contains(code))
    }

    /// The codes of a list in the order of their text.
    pub fn codes(&self, list: List) -> impl Iterator<Item = &str> {
        self.codes.get(&list).into_iter().flatten().map(String::as_str)
    }

    /// True when the LeiKa has the key.
    pub fn has_schluessel(&self, key: &Leistungsschluessel) -> bool {
        self.schluessel.contains(key)
    }

    /// Number of keys of the LeiKa.
    pub fn schluessel_len(&self) -> usize {
        self.schluessel.len()
    }

    /// As of when the keys of the LeiKa are, as messages name it.
    pub fn leika_stand(&self) -> &str {
        &self.leika_stand
    }

    pub(crate) fn set_leika_stand(&mut self, stand: String) {
        self.leika_stand = stand;
    }

    /// The Gemeindeverzeichnis.
    pub fn gebiete(&self) -> &Gemeindeverzeichnis {
        &self.gebiete
    }
}

// === impl List ===

impl List {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Leistungsgruppierung,
        Self::Verrichtung,
        Self::Typisierung,
        Self::Themenfeld,
        Self::Leistungsadressat,
        Self::Sdg,
        Self::Sdg2,
        Self::Vertrauensniveau,
        Self::Relation,
        Self::Detaillierungsstufe,
        Self::FreigabeStatus,
    ];

    /// Where the list comes from, as messages name it.
    pub fn source(self) -> &'static str {
        match self {
            Self::Leistungsgruppierung => "FIM, LeiKa-Leistungsgruppierung",
            Self::Verrichtung => "FIM, LeiKa-Verrichtungskennung",
            Self::Typisierung => "urn:de:fim:leika:typisierung",
            Self::Themenfeld => "OZG-Umsetzungskatalog, 14 Themenfelder",
            Self::Leistungsadressat => "XZuFi, Leistungsadressat",
            Self::Sdg => "SDG-Informationsbereiche, Anhang I und II",
            Self::Sdg2 => "SDG-Informationsbereiche, zweite Liste",
            Self::Vertrauensniveau => "urn:xoev-de:fim:codeliste:vertrauensniveau",
            Self::Relation => "FIM, Relationstyp",
            Self::Detaillierungsstufe => "XProzess, Detaillierungsstufe",
            Self::FreigabeStatus => "urn:xoev-de:xprozess:codeliste:status",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Leistungsgruppierung => "LeikaLeistungsgruppierung",
            Self::Verrichtung => "LeikaVerrichtungskennung",
            Self::Typisierung => "LeistungsTypisierung",
            Self::Themenfeld => "OzgThemenfeld",
            Self::Leistungsadressat => "Leistungsadressat",
            Self::Sdg => "SDG",
            Self::Sdg2 => "SDGInformationsbereich2",
            Self::Vertrauensniveau => "Vertrauensniveau",
            Self::Relation => "RelationTyp",
            Self::Detaillierungsstufe => "Detaillierungsstufe",
            Self::FreigabeStatus => "FreigabeStatus",
        }
    }
}

/// The shipped code lists.
pub(crate) const FIM: &str = include_str!("../../data/fim-codelists.json");
const LEIKA_STAND: &str = "LeiKa 10/2019";

#[cfg(test)]
mod tests {
    use registry_proto::terms::{Leistungsadressat, Themenfeld, Typisierung, Vertrauensniveau};

    use super::*;

    #[test]
    fn the_lists_have_their_known_sizes() {
        let lists = CodeLists::shipped();
        let sizes = List::ALL.map(|list| (list, lists.codes(list).count()));
        assert_eq!(
            sizes,
            [
                (List::Leistungsgruppierung, 362),
                (List::Verrichtung, 276),
                (List::Typisierung, 21),
                (List::Themenfeld, 14),
                (List::Leistungsadressat, 3),
                (List::Sdg, 108),
                (List::Sdg2, 31),
                (List::Vertrauensniveau, 6),
                (List::Relation, 4),
                (List::Detaillierungsstufe, 5),
                (List::FreigabeStatus, 8),
            ]
        );
        assert_eq!(lists.schluessel.len(), 4_813);
    }

    #[test]
    fn the_terms_are_those_of_the_lists() {
        fn check(list: List, terms: impl Iterator<Item = &'static str>) {
            let terms: BTreeSet<&str> = terms.collect();
            assert_eq!(CodeLists::shipped().codes(list).collect::<BTreeSet<_>>(), terms);
        }
        check(List::Themenfeld, Themenfeld::ALL.iter().map(|term| term.code()));
        check(List::Typisierung, Typisierung::ALL.iter().map(|term| term.code()));
        check(List::Leistungsadressat, Leistungsadressat::ALL.iter().map(|term| term.code()));
        check(List::Vertrauensniveau, Vertrauensniveau::ALL.iter().map(|term| term.code()));
    }

    #[test]
    fn damaged_lists_are_errors() {
        for text in ["", "[]", "{}", "{\"SDG\": [1]}", "{\"SDG\": \"0000000\"}"] {
            let gebiete = Gemeindeverzeichnis::shipped();
            let parsed = CodeLists::parse(text, ShippedCatalogue::shipped(), gebiete);
            assert!(parsed.is_err(), "{text}");
        }
    }
}
