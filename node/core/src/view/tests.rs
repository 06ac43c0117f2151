use proptest::prelude::*;
use registry_proto::{
    log::Kind,
    terms::{Date, Land, LogId},
    wire::registry::{
        GetServiceRequest, GetVersionRequest, ListServicesRequest, ListVersionsRequest,
        ResolveVersionRequest, SearchServicesRequest, WatchRequest,
    },
};

use super::{
    Catalogue, Cut, QueryError, SnapshotCursor, Token, TokenError, WatchFilter, testing::Memory,
};
use crate::{
    fold::{
        Position,
        testing::{Log, uuid, verbund},
    },
    reject::Reject,
};

const A: &str = "99050012104000";
const B: &str = "99107023017000";

#[derive(Default)]
struct World {
    facts: Memory,
    cut: Cut,
}

impl World {
    fn of(logs: &[Log]) -> Self {
        let mut world = Self::default();
        for log in logs {
            for entry in &log.entries {
                world.facts.extend(entry.fold().unwrap());
            }
            world.cut.set(log.id, log.entries.len() as u64);
        }
        world
    }

    fn catalogue(&self) -> Catalogue<'_, Memory> {
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

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn id(n: u8) -> String {
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
            Some(number) => assert_eq!(found.unwrap().number.to_string(), number),
            None => assert!(matches!(rejected(found), Reject::NotFound { .. }), "{request:?}"),
        }
    }
}

#[test]
fn search_does_not_mind_case_and_umlauts() {
    let world = World::of(&[saarland()]);
    let cases = [
        ("gewerbe", 2, Some(1)),
        ("GEWERBEANMELDUNG", 1, Some(1)),
        ("groesse EGAL", 1, Some(1)),
        ("Größe", 1, Some(1)),
        ("strassensperrung", 1, Some(2)),
        ("Straßensperrung 99107023017000", 1, Some(2)),
        ("Unternehmensführung", 2, Some(1)),
        ("10001", 2, Some(1)),
        ("gewerbe nichts", 0, None),
    ];
    for (query, total, first) in cases {
        let request = SearchServicesRequest { query: query.to_owned(), ..Default::default() };
        let (services, found) = world.catalogue().search(&request).unwrap();
        assert_eq!(found, total, "{query}");
        assert_eq!(services.first().map(|s| s.service_id.clone()), first.map(id), "{query}");
    }
    let request =
        SearchServicesRequest { query: "gewerbe".to_owned(), limit: 1, ..Default::default() };
    let (services, total) = world.catalogue().search(&request).unwrap();
    assert_eq!((services.len(), total), (1, 2));
}

#[test]
fn what_has_another_form_is_refused_by_field() {
    let world = World::of(&[saarland()]);
    let view = world.catalogue();
    let service = |service_id: &str, land: &str| {
        view.service(&GetServiceRequest { service_id: service_id.into(), land: land.into() })
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
    for query in ["", " - "] {
        let request = SearchServicesRequest { query: query.into(), ..Default::default() };
        assert_eq!(reason(view.search(&request)), ("query".to_owned(), "QUERY_EMPTY"));
    }
    let request = SearchServicesRequest { query: "x".repeat(501), ..Default::default() };
    assert_eq!(reason(view.search(&request)), ("query".to_owned(), "QUERY_LENGTH"));
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

/// What a random world consists of: per log, steps of (service, what, revision).
fn steps() -> impl Strategy<Value = Vec<Vec<(u8, u8, bool)>>> {
    let step = (0..4_u8, 0..5_u8, any::<bool>());
    prop::collection::vec(prop::collection::vec(step, 0..40), 1..4)
}

fn build(steps: &[Vec<(u8, u8, bool)>]) -> Vec<Log> {
    let laender = [Land::SL, Land::RP, Land::BUND];
    let mut logs = Vec::new();
    for (land, steps) in laender.into_iter().zip(steps) {
        let mut log = Log::of(land);
        for &(service, what, flag) in steps {
            match what {
                0 | 1 => {
                    let numbers: &[&str] = if flag { &[A, B] } else { &[A] };
                    log.define(uuid(service), &format!("Leistung {service}"), numbers);
                }
                4 => {
                    log.push(Kind::Unknown(77), Some(uuid(service)), "later".into());
                }
                minor => {
                    let number = format!("1.{minor}.{}", u8::from(flag));
                    log.release(uuid(service), &number, "2026-01-01", "");
                }
            }
        }
        logs.push(log);
    }
    logs
}

/// Every answer of a world, in words.
fn answers(world: &World) -> Vec<String> {
    let view = world.catalogue();
    let mut all = Vec::new();
    for number in ["", A, B] {
        let request =
            ListServicesRequest { leistungsschluessel: number.into(), ..Default::default() };
        all.push(format!("{:?}", view.list_services(&request)));
    }
    let request = SearchServicesRequest { query: "leistung".into(), ..Default::default() };
    all.push(format!("{:?}", view.search(&request)));
    for service in 0..4 {
        for land in ["", "SL", "RP"] {
            let (service_id, land) = (id(service), land.to_owned());
            let versions = ListVersionsRequest {
                service_id: service_id.clone(),
                land: land.clone(),
                ..Default::default()
            };
            all.push(format!("{:?}", view.list_versions(&versions)));
            let resolve = ResolveVersionRequest { service_id, land, ..Default::default() };
            all.push(format!("{:?}", view.resolve(&resolve, day("2026-11-23"))));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_interleaving_gives_the_same_facts_and_answers(
        steps in steps(),
        order in any::<prop::sample::Index>(),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60),
    ) {
        let logs = build(&steps);
        let straight = World::of(&logs);
        let mut entries: Vec<_> = logs.iter().flat_map(|log| &log.entries).collect();
        if !entries.is_empty() {
            let middle = order.index(entries.len());
            entries.rotate_left(middle);
            for (a, b) in &swaps {
                let (a, b) = (a.index(entries.len()), b.index(entries.len()));
                entries.swap(a, b);
            }
        }
        let mut mixed = World { cut: straight.cut.clone(), ..World::default() };
        for entry in entries {
            mixed.facts.extend(entry.fold().unwrap());
        }
        prop_assert_eq!(&mixed.facts, &straight.facts);
        prop_assert_eq!(answers(&mixed), answers(&straight));
    }

    #[test]
    fn facts_beyond_the_cut_change_no_answer(steps in steps(), keep in any::<prop::sample::Index>()) {
        let logs = build(&steps);
        let mut early = logs.clone();
        for log in &mut early {
            let keep = keep.index(log.entries.len() + 1);
            log.entries.truncate(keep);
        }
        let early = World::of(&early);
        let late = World { cut: early.cut.clone(), ..World::of(&logs) };
        prop_assert_eq!(answers(&late), answers(&early));
    }

    #[test]
    fn pages_are_complete_and_stable(steps in steps(), size in 1..5_u32, number in any::<bool>()) {
        let world = World::of(&build(&steps));
        let view = world.catalogue();
        let number = if number { A } else { "" };
        let whole = ListServicesRequest { leistungsschluessel: number.into(), ..Default::default() };
        let whole = view.list_services(&whole).unwrap();
        let mut paged = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListServicesRequest {
                page_size: size,
                page_token,
                leistungsschluessel: number.into(),
                ..Default::default()
            };
            let page = view.list_services(&request).unwrap();
            prop_assert!(page.items.len() <= size as usize);
            paged.extend(page.items);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        prop_assert_eq!(paged, whole.items);
    }

    #[test]
    fn pages_of_versions_are_complete_and_stable(steps in steps(), size in 1..5_u32) {
        let world = World::of(&build(&steps));
        let view = world.catalogue();
        for service in 0..4 {
            let mut request =
                ListVersionsRequest { service_id: id(service), land: "SL".into(), ..Default::default() };
            let Ok((_, whole)) = view.list_versions(&request) else { continue };
            request.page_size = size;
            let mut paged = Vec::new();
            loop {
                let (_, page) = view.list_versions(&request).unwrap();
                paged.extend(page.items);
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            prop_assert_eq!(paged, whole.items);
        }
    }

    #[test]
    fn a_snapshot_is_the_state_at_its_cut(steps in steps(), keep in any::<prop::sample::Index>(), limit in 1..7_usize) {
        let logs = build(&steps);
        let mut world = World::of(&logs);
        let mut expected = Vec::new();
        for log in &logs {
            let keep = keep.index(log.entries.len() + 1);
            world.cut.set(log.id, keep as u64);
            let kept = &log.entries[..keep];
            for entry in kept {
                let same = |other: &&crate::fold::testing::Entry| {
                    other.header.kind == entry.header.kind
                        && other.header.object_id == entry.header.object_id
                };
                let counts = match entry.header.kind {
                    Kind::ServiceDefinition => {
                        kept.iter().rfind(same).unwrap().header.index == entry.header.index
                    }
                    Kind::ServiceVersion => {
                        let body = |e: &crate::fold::testing::Entry| e.body.clone();
                        kept.iter().filter(same).find(|e| body(e) == body(entry)).unwrap().header.index
                            == entry.header.index
                    }
                    _ => false,
                };
                if counts {
                    expected.push(Position { log: log.id, index: entry.header.index });
                }
            }
        }
        let mut found = Vec::new();
        let mut cursor = Some(SnapshotCursor::start());
        while let Some(at) = cursor {
            let chunk = at.next(&world.facts, &world.cut, &WatchFilter::default(), limit).unwrap();
            prop_assert!(chunk.entries.len() <= limit);
            found.extend(chunk.entries);
            cursor = chunk.next;
        }
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}
