//! Finds the services of the catalogue page: by words, by facet, page by page.
//!
//! Everything comes from the search of the node, which counts all hits, not only those of a page.
//! [`Found`] is all that the page knows of this.

use std::borrow::Cow;

use registry_core::{limits::SEARCH_DEPTH_MAX, reject::Reject, view::STATES};
use registry_proto::{
    terms::{Land, Themenfeld, Typisierung},
    wire::registry::{FacetCount, SearchServicesRequest, ServiceSummary},
};

use super::words;
use crate::{reads::Reads, search::sort_key};

/// Services on a page.
pub(super) const PAGE_SIZE: usize = 25;

/// A kind of facet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Parameter of the query, and name of the facet in an answer.
    pub(super) name: &'static str,
    /// Heading.
    pub(super) label: &'static str,
    /// Whether the value can be any of a service; others find nothing.
    known: fn(&str) -> bool,
    /// What people read.
    words: fn(&str) -> Cow<'_, str>,
}

/// All facets, in the order of the page.
pub(super) const FACETS: [Kind; 5] = [
    Kind {
        name: "land",
        label: "Land",
        known: |it| it.parse::<Land>().is_ok(),
        words: |it| words::land(it).into(),
    },
    Kind {
        name: "themenfeld",
        label: "Themenfeld",
        known: |it| it.parse::<Themenfeld>().is_ok(),
        words: |it| words::themenfeld(it).into(),
    },
    Kind {
        name: "status",
        label: "Stand",
        known: |it| STATES.contains(&it),
        words: |it| words::status(it).into(),
    },
    Kind {
        name: "typisierung",
        label: "Typisierung",
        known: |it| it.parse::<Typisierung>().is_ok(),
        words: |it| words::typisierung(it).into(),
    },
    Kind {
        name: "lage",
        label: "Lebens- oder Unternehmenslage",
        known: |_| true,
        words: |it| it.into(),
    },
];

/// What is looked for; empty texts look for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Words.
    pub(super) words: String,
    /// The chosen value of each facet, in the order of [`FACETS`].
    pub(super) chosen: [String; FACETS.len()],
    /// Page, from 1.
    pub(super) page: usize,
}

/// A way to narrow the list.
#[derive(Clone, Debug)]
pub(super) struct Facet {
    /// Which.
    pub(super) kind: Kind,
    /// What can be chosen, and what is.
    pub(super) values: Vec<FacetValue>,
}

/// A value of a facet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FacetValue {
    /// Value of the parameter.
    pub(super) value: String,
    /// Name.
    pub(super) label: String,
    /// Services that would be found.
    pub(super) count: u64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The services of the page.
    pub(super) services: Vec<ServiceSummary>,
    /// How many there are in all.
    pub(super) total: u64,
    /// How many of them can be paged through.
    pub(super) reachable: usize,
    pub(super) facets: Vec<Facet>,
}

/// Finds what a query asks for.
///
/// # Errors
///
/// As [`Reads::browse`].
pub(super) fn find(reads: &Reads, query: &Query) -> Result<Found, Reject> {
    let first = query.page.saturating_sub(1).saturating_mul(PAGE_SIZE);
    let depth = SEARCH_DEPTH_MAX as usize;
    let known = FACETS.iter().zip(&query.chosen);
    let known = known.into_iter().all(|(kind, value)| value.is_empty() || (kind.known)(value));
    if !known || first.saturating_add(PAGE_SIZE) > depth {
        return Ok(Found { facets: facets(&[], query), ..Found::default() });
    }
    let [land, themenfeld, status, typisierung, lage] = query.chosen.clone();
    let list = |value: String| if value.is_empty() { Vec::new() } else { vec![value] };
    let answer = reads.browse(&SearchServicesRequest {
        query: query.words.clone(),
        limit: u32::try_from(PAGE_SIZE).unwrap_or(u32::MAX),
        offset: u32::try_from(first).unwrap_or(u32::MAX),
        land,
        themenfelder: list(themenfeld),
        status: list(status),
        typisierung: list(typisierung),
        lagen: list(lage),
    })?;
    let total = u64::from(answer.total);
    Ok(Found {
        services: answer.services,
        total,
        reachable: usize::try_from(total).unwrap_or(depth).min(depth),
        facets: facets(&answer.facets, query),
    })
}

fn facets(counts: &[FacetCount], query: &Query) -> Vec<Facet> {
    let facet = |(kind, chosen): (&Kind, &String)| {
        let own = counts.iter().filter(|it| it.name == kind.name);
        let mut values: Vec<_> = own.map(|it| (it.value.as_str(), u64::from(it.count))).collect();
        if !chosen.is_empty() && values.iter().all(|(value, _)| value != chosen) {
            // what is chosen can be taken back, also when nothing is left
            values.push((chosen, 0));
        }
        let mut values: Vec<_> = values
            .into_iter()
            .map(|(value, count)| FacetValue {
                value: value.to_owned(),
                // a hyphen that leans on the next word stays with it
                label: (kind.words)(value).replace(" -", " \u{2011}"),
                count,
            })
            .collect();
        values.sort_by_cached_key(|it| match kind.name {
            "status" => (STATES.iter().position(|state| *state == it.value), String::new()),
            _ => (None, sort_key(&it.label)),
        });
        Facet { kind: *kind, values }
    };
    FACETS.iter().zip(&query.chosen).map(facet).collect()
}

// === impl Query ===

impl Query {
    /// The query with another value of a facet, on its first page.
    pub(super) fn with(&self, facet: &str, value: &str) -> Self {
        let mut other = Self { page: 1, ..self.clone() };
        for (kind, chosen) in FACETS.iter().zip(&mut other.chosen) {
            if kind.name == facet {
                value.clone_into(chosen);
            }
        }
        other
    }

    /// The chosen value of a facet; empty when there is none.
    pub(super) fn chosen(&self, facet: &str) -> &str {
        let found = FACETS.iter().zip(&self.chosen).find(|(kind, _)| kind.name == facet);
        found.map_or("", |(_, value)| value)
    }

    /// True if a facet narrows the list.
    pub(super) fn is_narrowed(&self) -> bool {
        self.chosen.iter().any(|it| !it.is_empty())
    }
}
