//! What is asked: words as people type them, and who serves a Leistung where.

use std::time::{Duration, Instant};

use registry_node::reads::Reads;
use registry_proto::{
    terms::Leistungsschluessel,
    wire::registry::{ResolveLeistungRequest, SearchServicesRequest, SuggestRequest},
};
use registry_tests::bench::Latencies;

use crate::records::Draw;

/// Searches of one kind.
pub(crate) struct Searches {
    pub(crate) kind: &'static str,
    all: Vec<Search>,
}

#[derive(Clone)]
enum Search {
    Find(SearchServicesRequest),
    Suggest(SuggestRequest),
}

/// The kinds of searches, each with at least `least`.
pub(crate) fn searches(draw: &mut Draw, least: usize) -> Vec<Searches> {
    let typed: Vec<&str> = QUERIES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('\t').next())
        .collect();
    let rounds = least.div_ceil(typed.len());
    let mut each = |kind, make: &mut dyn FnMut(&mut Draw, &str) -> Search| {
        let queries = std::iter::repeat_n(&typed, rounds).flatten();
        Searches { kind, all: queries.map(|query| make(draw, query)).collect() }
    };
    vec![
        each("words", &mut |_, query| Search::Find(find(query))),
        each("words with a typo", &mut |draw, query| Search::Find(find(&mistyped(draw, query)))),
        each("words and facets", &mut |draw, query| Search::Find(filtered(draw, query))),
        each("pages 2 to 10", &mut |draw, query| {
            let offset = 20 * (1 + draw.below(9)) as u32;
            Search::Find(SearchServicesRequest { offset, limit: 20, ..find(query) })
        }),
        each("facets alone", &mut |draw, _| Search::Find(filtered(draw, ""))),
        each("type-ahead", &mut |draw, query| {
            let letters = 2 + draw.below(query.chars().count().saturating_sub(2).max(1));
            let prefix = query.chars().take(letters).collect();
            Search::Suggest(SuggestRequest { prefix, ..SuggestRequest::default() })
        }),
    ]
}

fn find(query: &str) -> SearchServicesRequest {
    SearchServicesRequest { query: query.to_owned(), ..SearchServicesRequest::default() }
}

/// One to three of the facets.
fn filtered(draw: &mut Draw, query: &str) -> SearchServicesRequest {
    let mut request = find(query);
    let kinds = 1 + draw.below(3);
    let first = draw.below(5);
    for kind in first..first + kinds {
        match kind % 5 {
            0 => request.land = draw.one_of(&["SL", "RP", "HE", "TH"]),
            1 => request.themenfelder = vec![draw.one_of(&THEMENFELDER)],
            2 => request.typisierung = vec![draw.one_of(&["2/3", "2", "4", "5"])],
            3 => request.lagen = vec![draw.one_of(&LAGEN)],
            _ => request.status = vec![draw.one_of(&["freigegeben", "abgekuendigt"])],
        }
    }
    request
}

/// Two neighbouring letters of the longest word change places, or one is missing.
fn mistyped(draw: &mut Draw, query: &str) -> String {
    let longest = query.split(' ').max_by_key(|it| it.chars().count()).unwrap_or_default();
    let mut letters: Vec<char> = longest.chars().collect();
    if letters.len() < 4 {
        return query.to_owned();
    }
    let at = 1 + draw.below(letters.len() - 2);
    if draw.below(2) == 0 {
        letters.swap(at, at + 1);
    } else {
        letters.remove(at);
    }
    query.replacen(longest, &letters.into_iter().collect::<String>(), 1)
}

// === impl Searches ===

impl Searches {
    /// Asks all, one after the other, and tells how many hits there were on average.
    pub(crate) fn run(&self, reads: &Reads) -> (Vec<Duration>, f64) {
        let (mut hits, mut took) = (0_u64, Vec::with_capacity(self.all.len()));
        for search in &self.all {
            let begun = Instant::now();
            hits += match search {
                Search::Find(request) => reads.search(request).expect("searched").total.into(),
                Search::Suggest(request) => {
                    reads.suggest(request).expect("completed").suggestions.len() as u64
                }
            };
            took.push(begun.elapsed());
        }
        let average = hits as f64 / self.all.len().max(1) as f64;
        (took, average)
    }
}

/// Questions about a Leistung, a Gemeinde and a day, each another one.
pub(crate) fn questions(draw: &mut Draw, count: usize) -> Vec<ResolveLeistungRequest> {
    let mut any = || {
        let number = draw.number();
        question(draw, number)
    };
    (0..count).map(|_| any()).collect()
}

/// Questions about one Leistung.
pub(crate) fn about(
    draw: &mut Draw,
    number: Leistungsschluessel,
    count: usize,
) -> Vec<ResolveLeistungRequest> {
    (0..count).map(|_| question(draw, number)).collect()
}

fn question(draw: &mut Draw, number: Leistungsschluessel) -> ResolveLeistungRequest {
    ResolveLeistungRequest {
        leistungsschluessel: number.to_string(),
        ars: draw.gemeinde().to_string(),
        valid_at: draw.day(),
        ..ResolveLeistungRequest::default()
    }
}

/// Asks all, one after the other, and tells how many offers there were on average.
pub(crate) fn resolve(reads: &Reads, all: &[ResolveLeistungRequest]) -> (Latencies, f64) {
    let (mut offers, mut took) = (0_u64, Vec::with_capacity(all.len()));
    for question in all {
        let begun = Instant::now();
        offers += u64::from(reads.resolve_leistung(question).expect("resolved").total);
        took.push(begun.elapsed());
    }
    (Latencies::of(took), offers as f64 / all.len().max(1) as f64)
}

const QUERIES: &str = include_str!("../../../node/tests/search/queries.tsv");
const THEMENFELDER: [&str; 4] = ["bauen_wohnen", "umwelt", "gesundheit", "mobilitaet_reisen"];
const LAGEN: [&str; 3] = ["Wohnen & Umzug", "Bauen & Immobilien", "Abfall & Umweltschutz"];
