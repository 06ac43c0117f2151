//! Finds the services of the catalogue page: by words, by facet, page by page.
//!
//! The list without words comes from a directory of all services, which is kept as long as the
//! catalogue does not change; so it can be sorted by name and counted. [`Found`] is all that the
//! page knows of this.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use registry_core::{limits::PAGE_MAX, reject::Reject, view::Cut};
use registry_proto::wire::registry::{ListServicesRequest, SearchServicesRequest, ServiceSummary};

use super::words;
use crate::reads::Reads;

/// Services on a page.
pub(super) const PAGE_SIZE: usize = 25;
/// Services in the directory; what is beyond is found by words only.
const DIRECTORY_MAX: usize = 20_000;

/// What is looked for; empty texts look for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Words.
    pub(super) words: String,
    /// Code of a Land.
    pub(super) land: String,
    /// Code of a Themenfeld.
    pub(super) themenfeld: String,
    /// Page, from 1.
    pub(super) page: usize,
}

/// A way to narrow the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facet {
    /// Parameter of the query.
    pub(super) name: &'static str,
    /// Heading.
    pub(super) label: &'static str,
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
    /// Services that would be found; unknown when not all of them were looked at.
    pub(super) count: Option<u64>,
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

/// All services by name, as long as the catalogue does not change. Cheap to clone; all clones are
/// one.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory(Arc<Mutex<Option<Listing>>>);

#[derive(Clone, Debug)]
struct Listing {
    cut: Arc<Cut>,
    services: Arc<Vec<ServiceSummary>>,
    complete: bool,
}

/// Services before facets and pages.
struct Hits {
    services: Arc<Vec<ServiceSummary>>,
    /// How many there are, also where not all are here.
    total: u64,
    complete: bool,
}

/// Finds what a query asks for.
///
/// # Errors
///
/// As [`Reads::search`] and [`Reads::list_services`].
pub(super) fn find(reads: &Reads, directory: &Directory, query: &Query) -> Result<Found, Reject> {
    let hits =
        if query.words.trim().is_empty() { directory.all(reads)? } else { search(reads, query)? };
    let in_land = |it: &&ServiceSummary| query.land.is_empty() || it.land == query.land;
    let in_field =
        |it: &&ServiceSummary| query.themenfeld.is_empty() || it.themenfeld == query.themenfeld;
    let services = hits.services.as_slice();
    let found: Vec<_> = services.iter().filter(in_land).filter(in_field).collect();
    let narrowed = !query.land.is_empty() || !query.themenfeld.is_empty();
    let total = if narrowed { found.len() as u64 } else { hits.total };
    let first = query.page.saturating_sub(1).saturating_mul(PAGE_SIZE);
    let facets = vec![
        // a facet counts what the others let through
        facet(
            ("land", "Land"),
            services.iter().filter(in_field).map(|it| it.land.as_str()),
            (&query.land, hits.complete),
            words::land,
        ),
        facet(
            ("themenfeld", "Themenfeld"),
            services.iter().filter(in_land).map(|it| it.themenfeld.as_str()),
            (&query.themenfeld, hits.complete),
            words::themenfeld,
        ),
    ];
    Ok(Found {
        total,
        reachable: found.len(),
        services: found.into_iter().skip(first).take(PAGE_SIZE).cloned().collect(),
        facets,
    })
}

fn search(reads: &Reads, query: &Query) -> Result<Hits, Reject> {
    let ask = |land: &str| {
        reads.search(&SearchServicesRequest {
            query: query.words.clone(),
            limit: PAGE_MAX,
            land: land.to_owned(),
            ..SearchServicesRequest::default()
        })
    };
    let mut answer = ask("")?;
    let all_here = |total: u32, here: usize| usize::try_from(total).is_ok_and(|it| it <= here);
    let mut complete = all_here(answer.total, answer.services.len());
    if !complete && !query.land.is_empty() {
        // the hits of one Land may all be there, and the counts of the others are not
        answer = ask(&query.land)?;
        complete = false;
    }
    let total = u64::from(answer.total);
    Ok(Hits { services: Arc::new(answer.services), total, complete })
}

fn facet<'t>(
    (name, label): (&'static str, &'static str),
    values: impl Iterator<Item = &'t str>,
    (chosen, complete): (&'t str, bool),
    name_of: impl Fn(&str) -> &str,
) -> Facet {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for value in values.filter(|it| !it.is_empty()) {
        *counts.entry(value).or_default() += 1;
    }
    if !chosen.is_empty() {
        // what is chosen can be taken back, also when nothing is left
        counts.entry(chosen).or_default();
    }
    let mut values: Vec<_> = counts
        .into_iter()
        .map(|(value, count)| FacetValue {
            value: value.to_owned(),
            // a hyphen that leans on the next word stays with it
            label: name_of(value).replace(" -", " \u{2011}"),
            count: complete.then_some(count),
        })
        .collect();
    values.sort_by_cached_key(|it| words::sort_key(&it.label));
    Facet { name, label, values }
}

// === impl Directory ===

impl Directory {
    /// Everything that readers may see now.
    fn all(&self, reads: &Reads) -> Result<Hits, Reject> {
        let cut = reads.cut()?;
        // whoever comes while it is made waits and has it then
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let listing = match kept.as_ref().filter(|it| it.cut == cut) {
            Some(listing) => listing.clone(),
            None => {
                let listing = Listing::make(reads, cut)?;
                *kept = Some(listing.clone());
                listing
            }
        };
        drop(kept);
        let total = listing.services.len() as u64;
        Ok(Hits { services: listing.services, total, complete: listing.complete })
    }
}

// === impl Listing ===

impl Listing {
    fn make(reads: &Reads, cut: Arc<Cut>) -> Result<Self, Reject> {
        let mut services = Vec::new();
        let mut page_token = String::new();
        loop {
            let answer = reads.list_services(&ListServicesRequest {
                page_size: PAGE_MAX,
                page_token,
                ..ListServicesRequest::default()
            })?;
            services.extend(answer.services);
            page_token = answer.next_page_token;
            if page_token.is_empty() || services.len() >= DIRECTORY_MAX {
                break;
            }
        }
        services.sort_by_cached_key(|it: &ServiceSummary| words::sort_key(&it.bezeichnung));
        let complete = page_token.is_empty();
        Ok(Self { cut, services: Arc::new(services), complete })
    }
}

// === impl Query ===

impl Query {
    /// The query with another value of a facet, on its first page.
    pub(super) fn with(&self, facet: &str, value: &str) -> Self {
        let mut other = Self { page: 1, ..self.clone() };
        match facet {
            "land" => value.clone_into(&mut other.land),
            "themenfeld" => value.clone_into(&mut other.themenfeld),
            _ => {}
        }
        other
    }

    /// The chosen value of a facet; empty when there is none.
    pub(super) fn chosen(&self, facet: &str) -> &str {
        match facet {
            "land" => &self.land,
            "themenfeld" => &self.themenfeld,
            _ => "",
        }
    }
}
