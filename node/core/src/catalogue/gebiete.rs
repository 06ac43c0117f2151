//! The Gemeindeverzeichnis: every Land, Regierungsbezirk, Kreis, Gemeindeverband and Gemeinde by its
//! Regionalschlüssel, as of one Gebietsstand, with the changes that are known after it.
//!
//! Source: Destatis; see `NOTICE`. The rows of level "Region" (four digits, BW and NI) are left
//! out: interfaces do not accept four digits.

mod laender;
mod wechsel;

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use registry_proto::terms::{Ars, Date, Ebene, Land, ParseArsError};
use serde::Deserialize;

pub use self::{
    laender::Laender,
    wechsel::{GebietAmTag, Gebietswechsel},
};

/// All areas of one Gebietsstand, and those that came after it.
#[derive(Clone, Debug)]
pub struct Gemeindeverzeichnis {
    stand: Date,
    known_until: Date,
    /// In the order of the keys: what an area covers stands directly behind it.
    gebiete: Vec<Gebiet>,
}

/// One area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gebiet {
    /// Significant digits of its Regionalschlüssel.
    pub ars: Ars,
    /// Official name.
    pub name: Box<str>,
    /// Textkennzeichen of Destatis (41 kreisfreie Stadt, 66 gemeindefreies Gebiet, …).
    pub kennzeichen: Option<u8>,
    /// Exists since this day; `None` if it is in the Gebietsstand.
    pub seit: Option<Date>,
    /// What took its place, if anything did.
    pub abgeloest: Option<Abloesung>,
    /// Name in the spelling of searches.
    folded: Box<str>,
}

/// The end of an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abloesung {
    /// First day on which the area is no more.
    pub ab: Date,
    /// The areas that it became, at least one.
    pub nachfolger: Vec<Ars>,
}

/// A file of the Gemeindeverzeichnis cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GebieteError {
    /// A row is not of the form of its file.
    #[error("cannot read a row of the {file}")]
    Row {
        /// Which file.
        file: &'static str,
        /// What the reader says.
        #[source]
        source: csv::Error,
    },
    /// A key is none.
    #[error("cannot read the Regionalschlüssel of {name:?}")]
    Ars {
        /// Name of the row.
        name: String,
        /// What is wrong.
        #[source]
        source: ParseArsError,
    },
    /// The level does not fit the number of digits.
    #[error("{ars} is called {ebene:?}, its digits say {}", .ars.ebene().label())]
    Ebene {
        /// Key of the row.
        ars: Ars,
        /// Level of the row.
        ebene: String,
    },
    /// A row has no name, or one that is too long.
    #[error("{ars} has a name of {found} bytes, expected 1 to {NAME_BYTES_MAX}")]
    Name {
        /// Key of the row.
        ars: Ars,
        /// Bytes found.
        found: usize,
    },
    /// A day is none.
    #[error("{found:?} at {ars} is no day")]
    Day {
        /// Key of the row.
        ars: Ars,
        /// What stands there.
        found: String,
    },
    /// Rows of several Gebietsstände.
    #[error("{ars} is as of {found}, earlier rows are as of {stand}")]
    Stand {
        /// Key of the row.
        ars: Ars,
        /// Its day.
        found: Date,
        /// The day of the others.
        stand: Date,
    },
    /// A key stands there twice.
    #[error("{0} stands there twice")]
    Twice(Ars),
    /// A successor of nothing, or of itself, or of before the Gebietsstand.
    #[error("{ars} cannot be replaced by {nachfolger} from {ab} on: {why}")]
    Nachfolger {
        /// Who is replaced.
        ars: Ars,
        /// By whom.
        nachfolger: Ars,
        /// Since when.
        ab: Date,
        /// What is wrong.
        why: &'static str,
    },
    /// No row, or more than the limit.
    #[error("{found} areas, expected 1 to {GEBIETE_MAX}")]
    Count {
        /// Rows found.
        found: usize,
    },
}

#[derive(Deserialize)]
struct GebietRow {
    ars: String,
    ebene: String,
    name: String,
    kennzeichen: String,
    stand: String,
}

#[derive(Deserialize)]
struct NachfolgerRow {
    ars: String,
    nachfolger: String,
    name: String,
    ab: String,
}

// === impl Gemeindeverzeichnis ===

impl Gemeindeverzeichnis {
    /// The embedded one, parsed at the first call.
    pub fn shipped() -> Arc<Self> {
        static SHIPPED: LazyLock<Arc<Gemeindeverzeichnis>> = LazyLock::new(|| {
            let parsed = Gemeindeverzeichnis::parse(GEBIETE, NACHFOLGER)
                .expect("the embedded files never change at run time and a test parses them");
            Arc::new(parsed)
        });
        Arc::clone(&SHIPPED)
    }

    /// Parses the areas (`ars,ags,ebene,name,kennzeichen,stand`) and what replaced some of them
    /// after their Gebietsstand (`ars,nachfolger,name,ab`; a split has several rows).
    ///
    /// # Errors
    ///
    /// The first row that cannot be read or contradicts another.
    pub fn parse(gebiete: &str, nachfolger: &str) -> Result<Self, GebieteError> {
        let (mut areas, stand) = areas(gebiete)?;
        areas.push(Gebiet::new(Ars::from(Land::BUND), "Bundesgebiet", None)?);
        areas.sort_by_key(|area| area.ars);
        if let Some(pair) = areas.windows(2).find(|pair| pair[0].ars == pair[1].ars) {
            return Err(GebieteError::Twice(pair[0].ars));
        }
        let mut all = Self { stand, known_until: stand, gebiete: areas };
        for row in rows::<NachfolgerRow>("successors", nachfolger)? {
            all.replace(&row)?;
        }
        Ok(all)
    }

    /// The Gebietsstand of the file.
    pub fn stand(&self) -> Date {
        self.stand
    }

    /// The last change that is known: the Gebietsstand, or a later successor.
    pub fn known_until(&self) -> Date {
        self.known_until
    }

    /// Number of areas, the Bund included.
    pub fn len(&self) -> usize {
        self.gebiete.len()
    }

    /// Never true: the Bund is always there.
    pub fn is_empty(&self) -> bool {
        self.gebiete.is_empty()
    }

    /// The area, also one that is no more.
    pub fn find(&self, ars: &Ars) -> Option<&Gebiet> {
        let at = self.gebiete.binary_search_by_key(ars, |area| area.ars).ok()?;
        self.gebiete.get(at)
    }

    /// The area and those it lies in, the smallest first, the Bund last. Begins with the smallest
    /// known one when the area itself is not known.
    pub fn chain(&self, ars: &Ars) -> impl Iterator<Item = &Gebiet> {
        let digits = ars.as_str().to_owned();
        [12, 9, 5, 3, 2]
            .into_iter()
            .filter_map(move |length| digits.get(..length)?.parse::<Ars>().ok())
            .chain((ars.land() != Land::BUND).then(|| Ars::from(Land::BUND)))
            .filter_map(|ars| self.find(&ars))
    }

    /// Areas of a level that lie in `outer`, or are it, in the order of their keys; also those
    /// that are no more.
    pub fn parts<'a>(&'a self, outer: &Ars, ebene: Ebene) -> impl Iterator<Item = &'a Gebiet> {
        let outer = *outer;
        let from = self.gebiete.partition_point(|area| area.ars < outer);
        self.gebiete
            .get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(move |area| outer.covers(&area.ars))
            .filter(move |area| area.ars.ebene() == ebene)
    }

    /// The Gemeinden that lie in `outer` on a day.
    pub fn gemeinden<'a>(&'a self, outer: &Ars, day: Date) -> impl Iterator<Item = &'a Gebiet> {
        self.parts(outer, Ebene::Gemeinde).filter(move |area| area.exists_on(day))
    }

    /// A known area that a mistaken key may have meant: of the same level, beside the place where
    /// the key would stand; else the smallest that would cover it.
    pub fn nearest(&self, ars: &Ars) -> Option<&Gebiet> {
        let outer = self.chain(ars).next()?;
        let at = self.gebiete.partition_point(|area| area.ars < *ars);
        let (before, after) = self.gebiete.split_at_checked(at)?;
        let fits = |area: &&Gebiet| area.ars.ebene() == ars.ebene() && outer.ars.covers(&area.ars);
        let before = before.iter().rev().take(NEIGHBOURS_MAX).find(fits);
        let after = after.iter().take(NEIGHBOURS_MAX).find(fits);
        let common = |area: &&Gebiet| {
            area.ars.as_str().bytes().zip(ars.as_str().bytes()).take_while(|(a, b)| a == b).count()
        };
        before.into_iter().chain(after).max_by_key(common).or(Some(outer))
    }

    /// What an area became: the last successors, through all changes that are known; empty when
    /// it still exists or never did.
    pub fn successors(&self, ars: &Ars) -> Vec<Ars> {
        let mut last = BTreeSet::new();
        let mut seen = BTreeSet::from([*ars]);
        let mut open = vec![*ars];
        while let Some(one) = open.pop() {
            match self.find(&one).and_then(|area| area.abgeloest.as_ref()) {
                Some(end) => open.extend(end.nachfolger.iter().filter(|next| seen.insert(**next))),
                None if one != *ars => {
                    last.insert(one);
                }
                None => {}
            }
        }
        last.into_iter().collect()
    }

    /// Areas whose name has all words of the query, best first: names that begin with it, then the
    /// others; larger areas before smaller ones. At most `limit`.
    pub fn search(&self, query: &str, limit: usize) -> Vec<&Gebiet> {
        let query = searchable(query.trim());
        let words: Vec<&str> = query.split_whitespace().take(QUERY_WORDS_MAX).collect();
        if words.is_empty() {
            return Vec::new();
        }
        let mut hits: Vec<(bool, &Gebiet)> = self
            .gebiete
            .iter()
            .filter(|area| words.iter().all(|word| area.folded.contains(word)))
            .map(|area| (!area.folded.starts_with(&query), area))
            .collect();
        hits.sort_by_key(|(behind, area)| (*behind, area.ars.ebene(), area.ars));
        hits.into_iter().map(|(_, area)| area).take(limit).collect()
    }

    /// Notes that an area is replaced, and adds the successor when it is new, with the Kreis and
    /// the Gemeindeverband that it brings along.
    fn replace(&mut self, row: &NachfolgerRow) -> Result<(), GebieteError> {
        let parse = |text: &str| {
            let name = row.name.clone();
            text.parse::<Ars>().map_err(|source| GebieteError::Ars { name, source })
        };
        let (ars, nachfolger) = (parse(&row.ars)?, parse(&row.nachfolger)?);
        let ab: Date = (row.ab.parse())
            .map_err(|_| GebieteError::Day { ars, found: row.ab.chars().take(32).collect() })?;
        let refused = |why| Err(GebieteError::Nachfolger { ars, nachfolger, ab, why });
        if ab <= self.stand {
            return refused("that is not after the Gebietsstand");
        }
        if ars == nachfolger {
            return refused("that is itself");
        }
        let Ok(at) = self.gebiete.binary_search_by_key(&ars, |area| area.ars) else {
            return refused("there is no such area");
        };
        match &mut self.gebiete[at].abgeloest {
            Some(end) if end.ab != ab => return refused("it ended on another day"),
            Some(end) if end.nachfolger.contains(&nachfolger) => return refused("known already"),
            Some(end) => end.nachfolger.push(nachfolger),
            none @ None => *none = Some(Abloesung { ab, nachfolger: vec![nachfolger] }),
        }
        let prefix = |length| nachfolger.as_str().get(..length)?.parse::<Ars>().ok();
        for ars in [Some(nachfolger), prefix(9), prefix(5)].into_iter().flatten() {
            if let Err(at) = self.gebiete.binary_search_by_key(&ars, |area| area.ars) {
                let mut area = Gebiet::new(ars, &row.name, None)?;
                area.seit = Some(ab);
                self.gebiete.insert(at, area);
            }
        }
        if self.gebiete.len() > GEBIETE_MAX {
            return Err(GebieteError::Count { found: self.gebiete.len() });
        }
        self.known_until = self.known_until.max(ab);
        Ok(())
    }
}

// === impl Gebiet ===

impl Gebiet {
    /// Whether the area exists on a day; before the Gebietsstand as on it.
    pub fn exists_on(&self, day: Date) -> bool {
        self.seit.is_none_or(|since| since <= day)
            && self.abgeloest.as_ref().is_none_or(|end| day < end.ab)
    }

    fn new(ars: Ars, name: &str, kennzeichen: Option<u8>) -> Result<Self, GebieteError> {
        let name = name.trim();
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
            return Err(GebieteError::Name { ars, found: name.len() });
        }
        Ok(Self {
            ars,
            name: name.into(),
            kennzeichen,
            seit: None,
            abgeloest: None,
            folded: searchable(name).into(),
        })
    }
}

/// Lower case, with umlauts and ß spelled out; queries go through the same function.
fn searchable(text: &str) -> String {
    let mut folded = String::with_capacity(text.len() + 8);
    for letter in text.chars().flat_map(char::to_lowercase) {
        match letter {
            'ä' => folded.push_str("ae"),
            'ö' => folded.push_str("oe"),
            'ü' => folded.push_str("ue"),
            'ß' => folded.push_str("ss"),
            other => folded.push(other),
        }
    }
    folded
}

fn areas(text: &str) -> Result<(Vec<Gebiet>, Date), GebieteError> {
    let mut areas = Vec::new();
    let mut stand = None;
    for row in rows::<GebietRow>("areas", text)? {
        if row.ebene == "Region" {
            continue;
        }
        let ars: Ars = row
            .ars
            .parse()
            .map_err(|source| GebieteError::Ars { name: row.name.clone(), source })?;
        if row.ebene != ars.ebene().label() {
            return Err(GebieteError::Ebene { ars, ebene: row.ebene });
        }
        let day = || GebieteError::Day { ars, found: row.stand.chars().take(32).collect() };
        let found = compact_date(&row.stand).ok_or_else(day)?;
        let stand = *stand.get_or_insert(found);
        if found != stand {
            return Err(GebieteError::Stand { ars, found, stand });
        }
        areas.push(Gebiet::new(ars, &row.name, row.kennzeichen.parse().ok())?);
    }
    match stand {
        Some(stand) => Ok((areas, stand)),
        None => Err(GebieteError::Count { found: 0 }),
    }
}

fn rows<T: for<'de> Deserialize<'de>>(
    file: &'static str,
    text: &str,
) -> Result<Vec<T>, GebieteError> {
    let rows: Vec<T> = csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .take(GEBIETE_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|source| GebieteError::Row { file, source })?;
    if rows.len() > GEBIETE_MAX { Err(GebieteError::Count { found: rows.len() }) } else { Ok(rows) }
}

/// `20231130`, as Destatis writes days.
fn compact_date(text: &str) -> Option<Date> {
    let (year, month, day) = (text.get(..4)?, text.get(4..6)?, text.get(6..)?);
    format!("{year}-{month}-{day}").parse().ok()
}

pub(super) const GEBIETE: &str = include_str!("../../data/gebiete-2023-11-30.csv");
pub(super) const NACHFOLGER: &str = include_str!("../../data/gebiete-nachfolger.csv");
/// Areas of a Gemeindeverzeichnis; there are some 16,000.
const GEBIETE_MAX: usize = 100_000;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 255;
/// Areas looked at on each side for one that a mistaken key may have meant.
const NEIGHBOURS_MAX: usize = 100;
/// Words of a query that count.
const QUERY_WORDS_MAX: usize = 8;

#[cfg(test)]
mod tests;
