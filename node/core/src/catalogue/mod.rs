//! The real catalogue that is shipped: LeiKa-Leistungen and OZG-Leistungen as of October 2019.
//!
//! Embedded at compile time and parsed once. Sources and licences stand in `NOTICE`.

mod basis;
pub mod demo;
mod gebiete;
pub mod package;

use std::sync::LazyLock;

use registry_proto::terms::{
    Leistungsschluessel, Leistungstyp, ParseCodeError, ParseLeistungsschluesselError, Themenfeld,
    Typisierung,
};
use serde::Deserialize;

pub use basis::Rechtsgrundlage;
pub use gebiete::{
    Abloesung, Gebiet, GebietAmTag, GebieteError, Gebietswechsel, Gemeindeverzeichnis, Laender,
};

/// The shipped catalogue, in the order of its files.
#[derive(Clone, Debug)]
pub struct ShippedCatalogue {
    /// Leistungen of the LeiKa; every key once.
    pub leistungen: Vec<Leistung>,
    /// OZG-Leistungen; each bundles the Leistungen that name its id.
    pub ozg: Vec<OzgLeistung>,
}

/// A Leistung of the LeiKa.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leistung {
    /// Leistungsschlüssel.
    pub schluessel: Leistungsschluessel,
    /// Official name.
    pub bezeichnung: String,
    /// Typisierung; the source has 0, 1 or 2 values.
    pub typisierung: Vec<Typisierung>,
    /// Legal bases, as the source has them; may be empty.
    pub rechtsgrundlagen: Vec<Rechtsgrundlage>,
    /// Abbreviations of the laws, may be empty.
    pub gesetzeskuerzel: String,
    /// The OZG-Leistung that bundles it.
    pub ozg_id: Option<String>,
}

/// An OZG-Leistung: what a citizen or a company needs in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OzgLeistung {
    /// `^1\d{4}$`.
    pub id: String,
    /// Name.
    pub name: String,
    /// Lebens- or Unternehmenslage.
    pub lage: String,
    /// Themenfeld.
    pub themenfeld: Themenfeld,
}

/// A catalogue file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A row is not of the form of its file.
    #[error("cannot read {file}")]
    Row {
        /// The file.
        file: &'static str,
        /// What the reader says.
        #[source]
        source: csv::Error,
    },
    /// A key is none.
    #[error("cannot read the key of a Leistung")]
    Schluessel(#[source] ParseLeistungsschluesselError),
    /// A Typisierung is not in its list.
    #[error("cannot read the Typisierung of {schluessel}")]
    Typisierung {
        /// Key of the row.
        schluessel: Leistungsschluessel,
        /// What is wrong.
        #[source]
        source: ParseCodeError,
    },
    /// A legal basis is not of the form `text [url]`.
    #[error("legal basis {text:?} of {schluessel} is not of the form \"text [url], ...\"")]
    Basis {
        /// Key of the row.
        schluessel: Leistungsschluessel,
        /// The text.
        text: String,
    },
    /// A Themenfeld has no code.
    #[error("themenfeld {name:?} of {ozg_id} has no code")]
    Themenfeld {
        /// OZG-ID of the row.
        ozg_id: String,
        /// The name.
        name: String,
    },
}

#[derive(Deserialize)]
struct LeistungRow {
    leistungsschluessel: String,
    bezeichnung: String,
    typisierung: String,
    rechtsgrundlage: String,
    gesetzeskuerzel: String,
    ozg_id: String,
}

#[derive(Deserialize)]
struct OzgRow {
    ozg_id: String,
    ozg_leistung: String,
    lage: String,
    themenfeld: String,
}

// === impl ShippedCatalogue ===

impl ShippedCatalogue {
    /// The embedded catalogue, parsed at the first call.
    pub fn shipped() -> &'static Self {
        static SHIPPED: LazyLock<ShippedCatalogue> = LazyLock::new(|| {
            ShippedCatalogue::parse(LEISTUNGEN, OZG)
                .expect("the embedded files never change at run time and a test parses them")
        });
        &SHIPPED
    }

    /// Parses the two files.
    ///
    /// # Errors
    ///
    /// The first row that cannot be read.
    pub fn parse(leistungen: &str, ozg: &str) -> Result<Self, CatalogueError> {
        Ok(Self {
            leistungen: rows::<LeistungRow>("leika-leistungen.csv", leistungen)?
                .into_iter()
                .map(Leistung::try_from)
                .collect::<Result<_, _>>()?,
            ozg: rows::<OzgRow>("ozg-leistungen.csv", ozg)?
                .into_iter()
                .map(OzgLeistung::try_from)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Leistungen that an OZG-Leistung bundles, in the order of the file.
    pub fn bundled<'a>(&'a self, ozg_id: &'a str) -> impl Iterator<Item = &'a Leistung> {
        self.leistungen.iter().filter(move |leistung| leistung.ozg_id.as_deref() == Some(ozg_id))
    }
}

// === impl Leistung ===

impl TryFrom<LeistungRow> for Leistung {
    type Error = CatalogueError;

    fn try_from(row: LeistungRow) -> Result<Self, Self::Error> {
        let schluessel: Leistungsschluessel =
            row.leistungsschluessel.parse().map_err(CatalogueError::Schluessel)?;
        let Some(rechtsgrundlagen) = basis::parse(&row.rechtsgrundlage) else {
            return Err(CatalogueError::Basis { schluessel, text: row.rechtsgrundlage });
        };
        let typisierung = row
            .typisierung
            .split(',')
            .map(str::trim)
            .filter(|code| !code.is_empty())
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|source| CatalogueError::Typisierung { schluessel, source })?;
        Ok(Self {
            schluessel,
            bezeichnung: row.bezeichnung,
            typisierung,
            rechtsgrundlagen,
            gesetzeskuerzel: row.gesetzeskuerzel,
            ozg_id: Some(row.ozg_id).filter(|id| !id.is_empty()),
        })
    }
}

// === impl OzgLeistung ===

impl TryFrom<OzgRow> for OzgLeistung {
    type Error = CatalogueError;

    fn try_from(row: OzgRow) -> Result<Self, Self::Error> {
        let Some(themenfeld) = themenfeld(&row.themenfeld) else {
            return Err(CatalogueError::Themenfeld { ozg_id: row.ozg_id, name: row.themenfeld });
        };
        Ok(Self { id: row.ozg_id, name: row.ozg_leistung, lage: row.lage, themenfeld })
    }
}

/// The parent of a key: of lovd the lov, of lov the lo, of lo none.
pub fn parent_key(key: &Leistungsschluessel) -> Option<Leistungsschluessel> {
    let object = format!("99{}{}", key.gruppierung(), key.kennung());
    let parent = match key.leistungstyp() {
        Leistungstyp::Lo => return None,
        Leistungstyp::Lov => format!("{object}000000"),
        Leistungstyp::Lovd => format!("{object}{}000", key.verrichtung()),
    };
    parent.parse().ok()
}

/// The Themenfeld by its name in the OZG catalogue.
fn themenfeld(name: &str) -> Option<Themenfeld> {
    match name {
        "Querschnitt" => Some(Themenfeld::Querschnittsleistungen),
        _ => Themenfeld::ALL.iter().copied().find(|known| known.label() == name),
    }
}

fn rows<T: for<'de> Deserialize<'de>>(
    file: &'static str,
    text: &str,
) -> Result<Vec<T>, CatalogueError> {
    csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|source| CatalogueError::Row { file, source })
}

const LEISTUNGEN: &str = include_str!("../../data/leika-leistungen.csv");
const OZG: &str = include_str!("../../data/ozg-leistungen.csv");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys() -> BTreeSet<Leistungsschluessel> {
        ShippedCatalogue::shipped().leistungen.iter().map(|l| l.schluessel).collect()
    }

    fn orphans(kind: Leistungstyp) -> usize {
        let keys = keys();
        keys.iter()
            .filter(|key| key.leistungstyp() == kind)
            .filter(|key| parent_key(key).is_some_and(|parent| !keys.contains(&parent)))
            .count()
    }

    #[test]
    fn the_file_holds_4813_unique_keys_of_known_kinds() {
        assert_eq!(ShippedCatalogue::shipped().leistungen.len(), 4_813);
        assert_eq!(keys().len(), 4_813);
        let count = |kind| keys().iter().filter(|key| key.leistungstyp() == kind).count();
        assert_eq!(count(Leistungstyp::Lo), 1_812);
        assert_eq!(count(Leistungstyp::Lov), 2_025);
        assert_eq!(count(Leistungstyp::Lovd), 976);
    }

    #[test]
    fn parents_are_missing_for_10_lov_and_107_lovd() {
        assert_eq!(orphans(Leistungstyp::Lov), 10);
        assert_eq!(orphans(Leistungstyp::Lovd), 107);
    }

    #[test]
    fn of_557_ozg_leistungen_24_bundle_nothing() {
        let shipped = ShippedCatalogue::shipped();
        assert_eq!(shipped.ozg.len(), 557);
        let ids: BTreeSet<&str> = shipped.ozg.iter().map(|ozg| ozg.id.as_str()).collect();
        assert_eq!(ids.len(), 557);
        let named: BTreeSet<&str> =
            shipped.leistungen.iter().filter_map(|l| l.ozg_id.as_deref()).collect();
        assert_eq!(named.len(), 533);
        assert!(named.is_subset(&ids), "every OZG-ID of a Leistung exists");
        assert_eq!(shipped.ozg.iter().filter(|o| shipped.bundled(&o.id).count() == 0).count(), 24);
        assert_eq!(shipped.ozg.iter().map(|o| shipped.bundled(&o.id).count()).max(), Some(317));
    }

    #[test]
    fn rows_lack_what_the_source_lacks() {
        let leistungen = &ShippedCatalogue::shipped().leistungen;
        let count = |lacks: fn(&Leistung) -> bool| leistungen.iter().filter(|l| lacks(l)).count();
        assert_eq!(count(|l| l.ozg_id.is_none()), 16);
        assert_eq!(count(|l| l.rechtsgrundlagen.is_empty()), 916);
        assert_eq!(count(|l| l.typisierung.is_empty()), 8);
    }

    #[test]
    fn thirteen_rows_have_two_values_of_typisierung() {
        let leistungen = &ShippedCatalogue::shipped().leistungen;
        let count =
            |pair: [Typisierung; 2]| leistungen.iter().filter(|l| l.typisierung == pair).count();
        assert_eq!(count([Typisierung::T1, Typisierung::T2u3]), 12);
        assert_eq!(count([Typisierung::T1, Typisierung::T2]), 1);
        assert_eq!(leistungen.iter().filter(|l| l.typisierung.len() > 1).count(), 13);
    }

    #[test]
    fn themenfelder_and_lagen_are_those_of_their_files() {
        let themenfelder = include_str!("../../data/themenfelder.csv");
        let names: Vec<String> = csv::Reader::from_reader(themenfelder.as_bytes())
            .records()
            .map(|row| row.expect("row")[1].to_owned())
            .collect();
        let known: Vec<Themenfeld> = names.iter().filter_map(|name| themenfeld(name)).collect();
        assert_eq!(known, Themenfeld::ALL);
        let lagen = include_str!("../../data/lagen.csv");
        let lagen: BTreeSet<String> = csv::Reader::from_reader(lagen.as_bytes())
            .records()
            .map(|row| row.expect("row")[1].to_owned())
            .collect();
        assert_eq!(lagen.len(), 58);
        assert!(ShippedCatalogue::shipped().ozg.iter().all(|ozg| lagen.contains(&ozg.lage)));
    }

    #[test]
    fn damaged_files_are_errors() {
        let good = "ozg_id,ozg_leistung,lage,themenfeld\n10001,Name,Lage,Bildung\n";
        let head =
            "leistungsschluessel,bezeichnung,typisierung,rechtsgrundlage,gesetzeskuerzel,ozg_id\n";
        assert!(ShippedCatalogue::parse(head, good).is_ok());
        assert!(ShippedCatalogue::parse(head, "ozg_id,ozg_leistung\n10001\n").is_err());
        assert!(ShippedCatalogue::parse(head, &good.replace("Bildung", "Sport")).is_err());
        let row = format!("{head}99012001000000,Name,13,,,10001\n");
        assert!(ShippedCatalogue::parse(&row, good).is_err());
        let row = format!("{head}99012001000001,Name,4,,,10001\n");
        assert!(ShippedCatalogue::parse(&row, good).is_err());
        let torn = format!("{head}99012001000000,Name,4,§ 1 Gesetz [https://,,10001\n");
        assert!(ShippedCatalogue::parse(&torn, good).is_err());
    }
}
