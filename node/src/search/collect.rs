//! Takes the best hits and counts facets, in one pass over what matches.
//!
//! The order of hits is total: score, then shortness of the name, then (Land, service); without
//! words the alphabet of the names, then (Land, service). Filters
//! are checked here and not by the query, because a facet counts hits as if its own filter were
//! not set.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};

use registry_core::view::SearchFilters;
use registry_proto::terms::Land;
use tantivy::{
    DocId, Score, SegmentOrdinal, SegmentReader, TantivyError,
    collector::{Collector, SegmentCollector},
    columnar::{Column, StrColumn},
};
use uuid::Uuid;

use super::document::{FACETS, NAME_COLUMN, UNITS_MAX, facet_column, land_number};

/// The place of a hit; the smallest is the best.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Within a segment and by name: how far the name stands from the end of its alphabet.
    score: Reverse<u64>,
    /// Empty unless the order is by name.
    name: String,
    land: u64,
    service: (u64, u64),
}

/// What a search found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The best, in order.
    pub(super) best: Vec<Place>,
    /// How many pass all filters.
    pub(super) total: u32,
    /// How many match the words, whatever the filters say.
    pub(super) matched: u32,
    /// For each facet its values with their counts.
    pub(super) facets: [BTreeMap<String, u32>; FACETS.len()],
}

/// Collects the best `depth` hits.
#[derive(Debug)]
pub(super) struct Best {
    depth: usize,
    /// For each facet the values wanted; none for all.
    wanted: [Vec<String>; FACETS.len()],
    by_name: bool,
    /// Services that are no hits.
    hidden: Arc<BTreeSet<Uuid>>,
}

pub(super) struct SegmentBest {
    depth: usize,
    /// Set if the order is by name.
    names: Option<StrColumn>,
    land: Column<u64>,
    service: [Column<u64>; 2],
    units: Column<u64>,
    facets: [Facet; FACETS.len()],
    hidden: Arc<BTreeSet<Uuid>>,
    heap: BinaryHeap<Place>,
    total: u32,
    matched: u32,
}

/// A facet of a segment.
struct Facet {
    column: Option<StrColumn>,
    /// For each value of the segment whether it is wanted; `None` for all.
    wanted: Option<Vec<bool>>,
    counts: Vec<u32>,
}

/// A segment's part of the result, or why it cannot be read.
type Part = Result<Found, std::io::Error>;

// === impl Best ===

impl Best {
    pub(super) fn new(filters: &SearchFilters, depth: usize) -> Self {
        let land = filters.land.iter().map(|land| land.code().to_owned()).collect();
        let wanted = [
            land,
            filters.themenfelder.clone(),
            filters.typisierung.clone(),
            filters.lagen.clone(),
            filters.status.clone(),
        ];
        Self { depth, wanted, by_name: false, hidden: Arc::default() }
    }

    /// Goes on as if these services were not in the index.
    pub(super) fn without(self, hidden: &Arc<BTreeSet<Uuid>>) -> Self {
        Self { hidden: Arc::clone(hidden), ..self }
    }

    /// Orders by name instead of by rank.
    pub(super) fn by_name(self, by_name: bool) -> Self {
        Self { by_name, ..self }
    }
}

impl Collector for Best {
    type Fruit = Found;
    type Child = SegmentBest;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<SegmentBest> {
        let columns = segment.fast_fields();
        let mut facets = Vec::with_capacity(FACETS.len());
        for (name, wanted) in FACETS.iter().zip(&self.wanted) {
            facets.push(Facet::of(columns.str(&facet_column(name))?, wanted)?);
        }
        let facets = facets
            .try_into()
            .map_err(|_| TantivyError::InternalError("every facet has its column".to_owned()))?;
        Ok(SegmentBest {
            depth: self.depth,
            names: if self.by_name { columns.str(NAME_COLUMN)? } else { None },
            land: columns.u64("land")?,
            service: [columns.u64("service_high")?, columns.u64("service_low")?],
            units: columns.u64("units")?,
            facets,
            hidden: Arc::clone(&self.hidden),
            heap: BinaryHeap::new(),
            total: 0,
            matched: 0,
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, parts: Vec<Part>) -> tantivy::Result<Found> {
        let mut all = Found::default();
        for part in parts {
            let part = part?;
            all.best.extend(part.best);
            all.total += part.total;
            all.matched += part.matched;
            for (sum, counts) in all.facets.iter_mut().zip(part.facets) {
                for (value, count) in counts {
                    *sum.entry(value).or_default() += count;
                }
            }
        }
        all.best.sort_unstable();
        all.best.truncate(self.depth);
        Ok(all)
    }
}

// === impl SegmentBest ===

impl SegmentCollector for SegmentBest {
    type Fruit = Part;

    fn collect(&mut self, doc: DocId, score: Score) {
        if !self.hidden.is_empty() && self.hidden.contains(&self.service(doc)) {
            return;
        }
        self.matched += 1;
        let mut failed = [None; 2];
        for (at, facet) in self.facets.iter().enumerate() {
            if !facet.passes(doc) {
                failed = [Some(at), failed[0]];
            }
        }
        match failed {
            [None, _] => {}
            [Some(only), None] => {
                self.facets[only].count(doc);
                return;
            }
            [Some(_), Some(_)] => return,
        }
        self.total += 1;
        for facet in &mut self.facets {
            facet.count(doc);
        }
        let rank = self.rank(doc, score);
        if self.heap.len() < self.depth {
            self.heap.push(self.place(doc, rank));
        } else if self.heap.peek().is_some_and(|worst| rank <= worst.score) {
            // most hits end before this, and are never looked up further
            let place = self.place(doc, rank);
            if let Some(mut worst) = self.heap.peek_mut()
                && place < *worst
            {
                *worst = place;
            }
        }
    }

    fn harvest(self) -> Part {
        let mut best = self.heap.into_vec();
        if let Some(names) = &self.names {
            for place in &mut best {
                // places in the alphabet of a segment mean nothing in another
                names.ord_to_str(u64::MAX - place.score.0, &mut place.name)?;
                place.score = Reverse(0);
            }
        }
        let mut found =
            Found { best, total: self.total, matched: self.matched, ..Found::default() };
        for (counts, facet) in found.facets.iter_mut().zip(self.facets) {
            *counts = facet.named()?;
        }
        Ok(found)
    }
}

impl SegmentBest {
    fn rank(&self, doc: DocId, score: Score) -> Reverse<u64> {
        if let Some(names) = &self.names {
            return Reverse(u64::MAX - names.term_ords(doc).next().unwrap_or(0));
        }
        // scores are sums of small whole numbers, exact in any order
        let score = score as u64 * (UNITS_MAX + 1);
        let shortness = UNITS_MAX.saturating_sub(self.units.first(doc).unwrap_or(0));
        Reverse(score + shortness)
    }

    fn service(&self, doc: DocId) -> Uuid {
        let [high, low] = self.service.each_ref().map(|it| it.first(doc).unwrap_or(0));
        Uuid::from_u64_pair(high, low)
    }

    fn place(&self, doc: DocId, score: Reverse<u64>) -> Place {
        let first = |column: &Column<u64>| column.first(doc).unwrap_or(0);
        Place {
            score,
            name: String::new(),
            land: first(&self.land),
            service: (first(&self.service[0]), first(&self.service[1])),
        }
    }
}

// === impl Place ===

impl Place {
    /// The service at this place; `None` if the index holds a Land that is none.
    pub(super) fn service(&self) -> Option<(Land, Uuid)> {
        let land = Land::ALL.into_iter().find(|land| land_number(*land) == self.land)?;
        Some((land, Uuid::from_u64_pair(self.service.0, self.service.1)))
    }
}

// === impl Facet ===

impl Facet {
    fn of(column: Option<StrColumn>, wanted: &[String]) -> tantivy::Result<Self> {
        let values = column.as_ref().map_or(0, |column| column.num_terms());
        let wanted = match (&column, wanted) {
            (_, []) => None,
            (None, _) => Some(Vec::new()),
            (Some(column), wanted) => {
                let mut flags = vec![false; values];
                for value in wanted {
                    let at = column.dictionary().term_ord(value.as_bytes())?;
                    if let Some(flag) = at.and_then(|at| flags.get_mut(usize::try_from(at).ok()?)) {
                        *flag = true;
                    }
                }
                Some(flags)
            }
        };
        Ok(Self { column, wanted, counts: vec![0; values] })
    }

    fn ords(&self, doc: DocId) -> impl Iterator<Item = usize> + '_ {
        let column = self.column.iter();
        column.flat_map(move |column| column.term_ords(doc)).map(|ord| ord as usize)
    }

    fn passes(&self, doc: DocId) -> bool {
        let Some(wanted) = &self.wanted else { return true };
        self.ords(doc).any(|ord| wanted.get(ord).copied().unwrap_or(false))
    }

    fn count(&mut self, doc: DocId) {
        let Some(column) = &self.column else { return };
        for ord in column.term_ords(doc) {
            if let Some(count) = self.counts.get_mut(ord as usize) {
                *count += 1;
            }
        }
    }

    fn named(self) -> Result<BTreeMap<String, u32>, std::io::Error> {
        let mut named = BTreeMap::new();
        let Some(column) = self.column else { return Ok(named) };
        for (ord, &count) in (0..).zip(&self.counts) {
            let mut value = String::new();
            if count > 0 && column.ord_to_str(ord, &mut value)? {
                named.insert(value, count);
            }
        }
        Ok(named)
    }
}
