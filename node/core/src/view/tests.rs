use registry_proto::{
    terms::{Date, Land, LogId},
    wire::registry::{
        GetServiceRequest, GetVersionRequest, ListServicesRequest, ListVersionsRequest,
        ResolveVersionRequest, SearchServicesRequest, SuggestRequest, WatchRequest,
    },
};

use super::{
    Catalogue, Cut, QueryError, SearchAsk, Token, TokenError, WatchFilter, testing::Memory,
};
use crate::{
    fold::{
        Position,
        testing::{Log, uuid, verbund},
    },
    reject::Reject,
};

pub(super) const A: &str = "99050012104000";
pub(super) const B: &str = "99107023017000";

#[derive(Default)]
pub(crate) struct World {
    pub(crate) facts: Memory,
    pub(crate) cut: Cut,
}

impl World {
    pub(crate) fn of(logs: &[Log]) -> Self {
        let mut world = Self::default();
        for log in logs {
            for entry in &log.entries {
                world.facts.extend(entry.fold().unwrap());
            }
            world.cut.set(log.id, log.entries.len() as u64);
        }
        world
    }

    pub(crate) fn catalogue(&self) -> Catalogue<'_, Memory> {
        Catalogue::new(&self.facts, &self.cut)
    }
}

fn saarland() -> Log {
    let mut log = Log::of(Land::SL);
    log.define(uuid(1), "Gewerbe anmelden", &[A]);
    log.release(uuid(1), "1.0.0", "2025-01-01", "2025-12-31");
    log.release(uuid(1), "1.2.0", "2026-01-01", "");
    log.release(uuid(1), "2.0.0", "2027-01-01", "");
    log.define(uuid(1), "Gewerbeanmeldung (Größe egal)", &[A, B]);
    log.release(uuid(1), "1.2.0", "2000-01-01", "");
    log.define(uuid(2), "Straßensperrung", &[B]);
    log.release(uuid(9), "1.0.0", "2000-01-01", "");
    log
}

pub(super) fn day(text: &str) -> Date {
    text.parse().unwrap()
}

pub(super) fn id(n: u8) -> String {
    uuid(n).to_string()
}

fn rejected<T: std::fmt::Debug>(result: Result<T, QueryError>) -> Reject {
    match result {
        Err(QueryError::Reject(reject)) => reject,
        other => panic!("not refused: {other:?}"),
    }
}

fn reason<T: std::fmt::Debug>(result: Result<T, QueryError>) -> (String, &'static str) {
    match rejected(result) {
        Reject::Invalid(all) => (all[0].field.clone(), all[0].reason),
        other => panic!("not invalid: {other:?}"),
    }
}

#[test]
fn the_newest_definition_and_the_first_entry_of_a_version_count() {
    let world = World::of(&[saarland()]);
    let request = GetServiceRequest { service_id: id(1), ..Default::default() };
    let service = world.catalogue().service(&request).unwrap();
    assert_eq!(service.position.to_string(), "SL/1/4");
    assert_eq!(service.latest_version.unwrap().to_string(), "2.0.0");
    assert_eq!(service.version_count, 3);
    let request =
        GetVersionRequest { service_id: id(1), version: "1.2.0".into(), ..Default::default() };
    assert_eq!(world.catalogue().version(&request).unwrap().position.to_string(), "SL/1/2");
}

#[test]
fn a_cut_shows_the_state_of_then() {
    let mut world = World::of(&[saarland()]);
    world.cut.set(saarland().id, 2);
    let request = GetServiceRequest { service_id: id(1), ..Default::default() };
    let service = world.catalogue().service(&request).unwrap();
    assert_eq!((service.position.index, service.version_count), (0, 1));
    let listed = world.catalogue().list_services(&ListServicesRequest::default()).unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(listed.items[0].bezeichnung, "Gewerbe anmelden");
}

#[test]
fn groups_longer_than_any_chunk_are_jumped_over() {
    let mut log = Log::of(Land::SL);
    for _ in 0..700 {
        log.define(uuid(1), "Gewerbe anmelden", &[A]);
        log.release(uuid(1), "1.0.0", "2026-01-01", "");
        log.release(uuid(1), "2.0.0", "2026-01-01", "");
    }
    log.define(uuid(2), "Danach", &[A]);
    let mut world = World::of(&[log]);
    for (size, newest, services) in [(2_101, 2_097, 2), (2_100, 2_097, 1), (50, 48, 1), (1, 0, 1)] {
        world.cut = [(saarland().id, size)].into_iter().collect();
        let view = world.catalogue();
        for number in ["", A] {
            let request =
                ListServicesRequest { leistungsschluessel: number.into(), ..Default::default() };
            assert_eq!(view.list_services(&request).unwrap().items.len(), services);
        }
        let request = GetServiceRequest { service_id: id(1), ..Default::default() };
        assert_eq!(view.service(&request).unwrap().position.index, newest);
        let request = ListVersionsRequest { service_id: id(1), ..Default::default() };
        let (_, page) = view.list_versions(&request).unwrap();
        let indexes: Vec<_> =
            page.items.iter().map(|v| v.position.as_ref().unwrap().index).collect();
        assert_eq!(indexes, if size > 2 { vec![2, 1] } else { vec![] });
    }
}

#[test]
fn a_version_without_definition_is_pending() {
    let world = World::of(&[saarland()]);
    let request = GetServiceRequest { service_id: id(9), ..Default::default() };
    assert!(matches!(rejected(world.catalogue().service(&request)), Reject::NotFound { .. }));
    let listed = world.catalogue().list_services(&ListServicesRequest::default()).unwrap();
    assert!(listed.items.iter().all(|service| service.service_id != id(9)));
}

#[test]
fn two_laender_with_one_uuid_are_two_services() {
    let mut other = Log::of(Land::RP);
    other.define(uuid(1), "Gewerbe anmelden in RP", &[A]);
    let world = World::of(&[saarland(), other]);
    let mut request = GetServiceRequest { service_id: id(1), ..Default::default() };
    match rejected(world.catalogue().service(&request)) {
        Reject::Precondition { reason: "AMBIGUOUS_SERVICE", description } => {
            assert!(description.contains("RP and SL"), "{description}");
        }
        other => panic!("{other:?}"),
    }
    request.land = "RP".to_owned();
    assert_eq!(world.catalogue().service(&request).unwrap().position.log.land, Land::RP);
    request.land = "HE".to_owned();
    assert!(matches!(rejected(world.catalogue().service(&request)), Reject::NotFound { .. }));
}

#[test]
fn resolution_takes_the_highest_released_version_valid_on_the_day() {
    let world = World::of(&[saarland()]);
    let cases = [
        ("*", "2025-06-01", Some("1.0.0")),
        ("", "2025-01-01", Some("1.0.0")),
        ("", "2025-12-31", Some("1.0.0")),
        ("", "2024-12-31", None),
        ("^1", "2026-06-01", Some("1.2.0")),
        ("^1.2", "2028-01-01", Some("1.2.0")),
        ("*", "2028-01-01", Some("2.0.0")),
        ("2.0.0", "2026-06-01", None),
        ("^3", "2028-01-01", None),
        ("", "", Some("1.2.0")),
    ];
    for (requirement, valid_at, expected) in cases {
        let request = ResolveVersionRequest {
            service_id: id(1),
            requirement: requirement.to_owned(),
            valid_at: valid_at.to_owned(),
            ..Default::default()
        };
        let found = world.catalogue().resolve(&request, day("2026-11-23"));
        match expected {
            Some(number) => assert_eq!(found.unwrap().state.number.to_string(), number),
            None => assert!(matches!(rejected(found), Reject::NotFound { .. }), "{request:?}"),
        }
    }
}

#[test]
fn what_a_search_needs_of_a_service_is_that_of_its_newest_definition() {
    let world = World::of(&[saarland()]);
    let view = world.catalogue();
    let all = view.defined_after(None, 10).unwrap();
    assert_eq!(all, [(Land::SL, uuid(1)), (Land::SL, uuid(2))]);
    assert_eq!(view.defined_after(Some(all[0]), 10).unwrap(), all[1..]);
    assert_eq!(view.defined_after(None, 1).unwrap(), all[..1]);
    let findable = view.findable(Land::SL, uuid(1)).unwrap().unwrap();
    assert_eq!((findable.position.index, findable.status), (4, "freigegeben"));
    let findable = view.findable(Land::SL, uuid(2)).unwrap().unwrap();
    assert_eq!((findable.position.index, findable.status), (6, "ohne_version"));
    assert_eq!(view.findable(Land::SL, uuid(9)).unwrap(), None);
    let summary = view.summary_of(Land::SL, uuid(1)).unwrap().unwrap();
    assert_eq!((summary.latest_version.as_str(), summary.version_count), ("2.0.0", 3));
    assert_eq!(view.summary_of(Land::RP, uuid(1)).unwrap(), None);
}

#[test]
fn what_has_another_form_is_refused_by_field() {
    let world = World::of(&[saarland()]);
    let view = world.catalogue();
    let service = |service_id: &str, land: &str| {
        view.service(&GetServiceRequest {
            service_id: service_id.into(),
            land: land.into(),
            ..Default::default()
        })
    };
    assert_eq!(reason(service("x", "")), ("service_id".to_owned(), "UUID_FORM"));
    assert_eq!(reason(service(&id(1), "XX")), ("land".to_owned(), "LAND_UNKNOWN"));
    let list = |page_size, page_token: &str, number: &str| {
        view.list_services(&ListServicesRequest {
            page_size,
            page_token: page_token.into(),
            leistungsschluessel: number.into(),
            ..Default::default()
        })
    };
    assert_eq!(reason(list(501, "", "")), ("page_size".to_owned(), "PAGE_SIZE"));
    for token in ["zz", "01", "0173", "ff", &hex::encode([1_u8; 22])] {
        assert_eq!(reason(list(0, token, "")), ("page_token".to_owned(), "PAGE_TOKEN"));
    }
    assert_eq!(
        reason(list(0, "", "9")),
        ("leistungsschluessel".to_owned(), "LEISTUNGSSCHLUESSEL_FORM")
    );
    let resolve = |requirement: &str, valid_at: &str| {
        let request = ResolveVersionRequest {
            service_id: id(1),
            requirement: requirement.into(),
            valid_at: valid_at.into(),
            ..Default::default()
        };
        view.resolve(&request, day("2026-11-23"))
    };
    assert_eq!(reason(resolve("~1", "")), ("requirement".to_owned(), "REQUIREMENT_FORM"));
    assert_eq!(reason(resolve("", "1.1.2026")), ("valid_at".to_owned(), "DATE_FORM"));
}

#[test]
fn a_search_of_another_form_is_refused_by_field() {
    let check = |request: SearchServicesRequest, field: &str, expected: &'static str| {
        let refused = SearchAsk::parse(&request).map_err(QueryError::Reject);
        assert_eq!(reason(refused), (field.to_owned(), expected));
    };
    let ask = |query: &str| SearchServicesRequest { query: query.into(), ..Default::default() };
    for query in ["", " - "] {
        check(ask(query), "query", "QUERY_EMPTY");
    }
    check(ask(&"x".repeat(501)), "query", "QUERY_LENGTH");
    let values = |value: &str, count: usize| vec![value.to_owned(); count];
    check(SearchServicesRequest { limit: 501, ..ask("x") }, "limit", "PAGE_SIZE");
    check(SearchServicesRequest { offset: 9_999, limit: 2, ..ask("x") }, "offset", "SEARCH_DEPTH");
    check(SearchServicesRequest { land: "XX".into(), ..ask("x") }, "land", "LAND_UNKNOWN");
    let request = SearchServicesRequest { themenfelder: values("sport", 1), ..ask("x") };
    check(request, "themenfelder[0]", "CODE_UNKNOWN");
    let request = SearchServicesRequest { typisierung: values("13", 1), ..ask("x") };
    check(request, "typisierung[0]", "CODE_UNKNOWN");
    let request = SearchServicesRequest { status: values("neu", 1), ..ask("x") };
    check(request, "status[0]", "STATUS_UNKNOWN");
    let request = SearchServicesRequest { lagen: values("Geburt", 51), ..ask("x") };
    check(request, "lagen", "FILTER_VALUES");
    let request = SuggestRequest { prefix: "x".into(), limit: 11, ..Default::default() };
    let refused = SearchAsk::parse_suggest(&request).map_err(QueryError::Reject);
    assert_eq!(reason(refused), ("limit".to_owned(), "PAGE_SIZE"));
    // a filter alone is a question
    assert!(SearchAsk::parse(&SearchServicesRequest { land: "SL".into(), ..ask("") }).is_ok());
}

#[test]
fn a_page_token_of_another_service_is_refused() {
    let world = World::of(&[saarland()]);
    let request = ListVersionsRequest { service_id: id(1), page_size: 1, ..Default::default() };
    let (_, page) = world.catalogue().list_versions(&request).unwrap();
    assert_eq!(page.items[0].version, "2.0.0");
    let request = ListVersionsRequest {
        service_id: id(2),
        page_token: page.next_page_token,
        ..Default::default()
    };
    assert_eq!(
        reason(world.catalogue().list_versions(&request)),
        ("page_token".to_owned(), "PAGE_TOKEN")
    );
}

#[test]
fn a_watch_token_keeps_to_its_verbund_and_form() {
    let cut: Cut = [(LogId { land: Land::SL, epoch: 1 }, 7)].into_iter().collect();
    let token = Token::at(&cut, |_| true);
    let bytes = token.encode(&verbund());
    assert_eq!(Token::parse(&bytes, &verbund()), Ok(token.clone()));
    let other = "cd".repeat(32).parse().unwrap();
    assert_eq!(Token::parse(&bytes, &other), Err(TokenError::Verbund));
    for end in 0..bytes.len() {
        if end != 9 {
            assert_eq!(Token::parse(&bytes[..end], &verbund()), Err(TokenError::Form), "{end}");
        }
    }
    let mut twice = bytes.clone();
    twice.extend(&bytes[9..]);
    assert_eq!(Token::parse(&twice, &verbund()), Err(TokenError::Form));

    let later: Cut = [(LogId { land: Land::SL, epoch: 2 }, 1)].into_iter().collect();
    let met = token.clone().meet(&later, |_| true);
    assert!(matches!(met, Err(Reject::ResyncRequired { .. })));
    let mut behind = token;
    behind
        .meet(&[(LogId { land: Land::SL, epoch: 1 }, 3)].into_iter().collect(), |_| true)
        .unwrap();
    assert_eq!(behind.next(Land::SL), Some((LogId { land: Land::SL, epoch: 1 }, 7)));
}

#[test]
fn a_filter_by_number_follows_the_definition_in_force() {
    let request = WatchRequest { leistungsschluessel: vec![B.to_owned()], ..Default::default() };
    let filter = WatchFilter::parse(&request).unwrap();
    let log = saarland();
    let world = World::of(std::slice::from_ref(&log));
    let passes: Vec<bool> = log
        .entries
        .iter()
        .map(|entry| {
            let at = Position { log: log.id, index: entry.header.index };
            let service = entry.header.object_id.unwrap();
            let numbers = super::numbers_around(&world.facts, service, at).unwrap();
            filter.passes_numbers(&numbers)
        })
        .collect();
    assert_eq!(passes, [false, false, false, false, true, true, true, false]);
}
