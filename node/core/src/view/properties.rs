//! What holds for any logs.

use proptest::prelude::*;
use registry_proto::{
    log::{Hash, Kind},
    terms::Land,
    wire::registry::{
        ListHandoversRequest, ListServicesRequest, ListVersionsRequest, ResolveVersionRequest,
        SubscriptionMove, SubscriptionState, Uebergabe, UebergabeSchritt,
    },
};

use super::{
    OfferAsk, SnapshotCursor, WatchFilter,
    tests::{A, B, World, day, id},
};
use crate::{
    catalogue::GebietAmTag,
    fold::{
        Position,
        testing::{Log, uuid},
    },
};

/// What a random world consists of: per log, steps of (service, what, flag).
fn steps() -> impl Strategy<Value = Vec<Vec<(u8, u8, bool)>>> {
    let step = (0..4_u8, 0..8_u8, any::<bool>());
    prop::collection::vec(prop::collection::vec(step, 0..40), 1..4)
}

fn build(steps: &[Vec<(u8, u8, bool)>]) -> Vec<Log> {
    let laender = [Land::SL, Land::RP, Land::BUND];
    let mut logs = Vec::new();
    let mut offers = Vec::new();
    for (land, steps) in laender.into_iter().zip(steps) {
        let mut log = Log::of(land);
        for &(service, what, flag) in steps {
            match what {
                0 | 1 => {
                    let numbers: &[&str] = if flag { &[A, B] } else { &[A] };
                    log.define(uuid(service), &format!("Leistung {service}"), numbers);
                }
                5.. => hand_over(&mut log, &mut offers, service, what, flag),
                4 => {
                    log.push(Kind::Unknown(77), Some(uuid(service)), "later".into());
                }
                minor => {
                    let number = format!("1.{minor}.{}", u8::from(flag));
                    match service {
                        0 => log.release(uuid(service), &number, "2026-01-01", ""),
                        1 => log.release_in(uuid(service), &number, &["10", "07"]),
                        _ => log.release_in(uuid(service), &number, &["10041"]),
                    }
                }
            }
        }
        logs.push(log);
    }
    if let [publisher, subscriber, ..] = logs.as_mut_slice() {
        reuse(publisher, subscriber);
    }
    let moves = steps.first().is_some_and(|steps| steps.len() % 2 == 1);
    if moves {
        moved(&mut logs, steps.len() % 2 == 1);
    }
    logs
}

/// Offers a service to the Land before or after, takes the newest or oldest offer of it, or takes
/// it back; whether that makes sense or not.
fn hand_over(log: &mut Log, offers: &mut Vec<(u8, Land, Hash)>, service: u8, what: u8, flag: bool) {
    let land = log.id.land;
    let laender = [Land::SL, Land::RP, Land::BUND];
    let at = laender.iter().position(|it| *it == land).unwrap_or(0);
    let next = laender[(at + if flag { 1 } else { 2 }) % laender.len()];
    let mut of_service = offers.iter().filter(|it| it.0 == service);
    let named = if flag { of_service.next_back() } else { of_service.next() };
    let schritt = match (what, named) {
        (6, Some(_)) => UebergabeSchritt::Annahme,
        (7, Some(_)) => UebergabeSchritt::Ruecknahme,
        _ => UebergabeSchritt::Angebot,
    };
    let offers_it = schritt == UebergabeSchritt::Angebot;
    let (from, offer) = match named {
        Some((_, from, offer)) if !offers_it => (*from, offer.as_bytes().to_vec()),
        _ => (land, Vec::new()),
    };
    let said = Uebergabe {
        service_id: id(service),
        von_land: from.to_string(),
        an_land: if offers_it { next } else { land }.to_string(),
        schritt: schritt as i32,
        angebot: offer.into(),
        ..Uebergabe::default()
    };
    let leaf = log.say(Kind::Uebergabe, uuid(service), None, &said);
    if offers_it {
        offers.push((service, land, leaf));
    }
}

/// Appends a history of service 3 to the first two logs: the first hands it to the second, which
/// publishes and, if asked, hands it back.
fn moved(logs: &mut [Log], back: bool) {
    let [first, second, ..] = logs else { return };
    let mut offers = Vec::new();
    first.define(uuid(3), "Leistung 3", &[A]);
    first.release_in(uuid(3), "7.0.0", &["10", "07"]);
    hand_over(first, &mut offers, 3, 5, true);
    hand_over(second, &mut offers, 3, 6, true);
    second.release_in(uuid(3), "8.0.0", &["10"]);
    if back {
        hand_over(second, &mut offers, 3, 5, false);
        offers.retain(|it| it.1 == second.id.land);
        hand_over(first, &mut offers, 3, 6, true);
    }
}

/// The second Land re-uses service 2 of the first, whether it is there or not.
fn reuse(publisher: &mut Log, subscriber: &mut Log) {
    use SubscriptionState::{Abstimmung, Interesse, Produktiv, Vertrag, Zugesagt};
    let mut rests_on = None;
    for state in [Interesse, Abstimmung, Zugesagt, Vertrag, Produktiv] {
        let says = SubscriptionMove {
            service_id: id(2),
            publisher_land: publisher.id.land.to_string(),
            subscriber_land: subscriber.id.land.to_string(),
            version_requirement: "^1".to_owned(),
            gebiete: vec!["07".to_owned()],
            ..SubscriptionMove::default()
        };
        let moves =
            if matches!(state, Abstimmung | Zugesagt) { &mut *publisher } else { &mut *subscriber };
        rests_on = Some(moves.subscribe(uuid(100), state, rests_on, says));
    }
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
    for (land, service) in view.defined_after(None, usize::MAX).unwrap() {
        all.push(format!("{:?}", view.findable(land, service)));
        all.push(format!("{:?}", view.summary_of(land, service)));
    }
    for number in [A, B] {
        for ars in ["00", "10", "10041", "07", "071310001001", "06"] {
            let ask = OfferAsk {
                number: number.parse().unwrap(),
                gebiet: GebietAmTag::unchanged(ars.parse().unwrap()),
                day: day("2026-11-23"),
                limit: 2,
            };
            all.push(format!("{:?}", view.offers(&ask)));
        }
    }
    all.push(format!("{:?}", view.list_handovers(&ListHandoversRequest::default())));
    all.push(format!("{:?}", view.subscriptions(None, 10, |_| true)));
    for land in [Land::SL, Land::RP] {
        all.push(format!("{:?}", view.notices(land, day("2026-11-23"), 1_790_000_000_000)));
    }
    for service in 0..4 {
        all.push(format!("{:?}", view.lineages(uuid(service))));
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
    fn every_service_is_listed_once_under_its_owner(steps in steps()) {
        let world = World::of(&build(&steps));
        let view = world.catalogue();
        let listed = view.list_services(&ListServicesRequest::default()).unwrap().items;
        let listed: Vec<_> = listed.into_iter().map(|it| (it.land, it.service_id)).collect();
        let mut owned = Vec::new();
        for service in 0..4 {
            for it in view.lineages(uuid(service)).unwrap().all {
                let summary = view.summary_of(it.land(), uuid(service)).unwrap();
                // one that was given away before it was defined has no definition that counts
                let Some(summary) = summary else { continue };
                owned.push((it.land().to_string(), id(service)));
                let asked = ListVersionsRequest {
                    service_id: id(service),
                    land: it.land().to_string(),
                    ..Default::default()
                };
                let (land, page) = view.list_versions(&asked).unwrap();
                prop_assert_eq!(land, it.land());
                prop_assert_eq!(page.items.len(), summary.version_count as usize);
                // what counts was written by an owner in its time
                for version in page.items {
                    let at = version.position.unwrap();
                    let log = registry_proto::terms::LogId {
                        land: at.land.parse().unwrap(),
                        epoch: at.epoch,
                    };
                    let at = Position { log, index: at.index };
                    prop_assert!(it.holds(at), "{at}");
                }
            }
        }
        owned.sort();
        prop_assert_eq!(&listed, &owned);
        let defined = view.defined_after(None, usize::MAX).unwrap();
        let defined: Vec<_> =
            defined.into_iter().map(|(land, id)| (land.to_string(), id.to_string())).collect();
        prop_assert_eq!(defined, owned);
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
    fn a_snapshot_is_the_state_at_its_cut(
        steps in steps(),
        keep in any::<prop::sample::Index>(),
        limit in 1..7_usize,
    ) {
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
                    // moves are all part of the state: what became of them is the fold's matter
                    Kind::SubscriptionMove | Kind::Uebergabe => true,
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
