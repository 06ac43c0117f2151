use std::collections::BTreeMap;

use prost::Message;
use registry_proto::{
    log::{Hash, Kind},
    terms::Land,
    wire::registry::{
        Anschluss, AnschlussStatus, Auftraggeber, Lifecycle, ResolveLeistungRequest,
        SubscriptionMove, SubscriptionState, VersionStatus,
    },
};

use super::*;
use crate::{
    fold::testing::{Log, uuid},
    view::tests::{A, B, World, day},
};

/// Logs written in short sentences, one entry each:
///
/// - `SL define 1 KEY…`, `SL release 1 1.0.0 10,07 [from [to]]` (areas, days of validity);
/// - `SL abgekuendigt 1 1.0.0 [last day]`, also `abgeschaltet`, `zurueckgezogen`;
/// - `TH interesse 50 SL 1 ^1 16,16051 [Body 16051]`, then `vertrag 50` … by either side;
/// - `TH anschluss 50 16051 angeschlossen`.
#[derive(Default)]
struct Script {
    logs: BTreeMap<&'static str, Log>,
    heads: BTreeMap<u8, (Hash, SubscriptionMove)>,
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

// === impl Script ===

impl Script {
    fn of(text: &str) -> Self {
        let mut script = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.split_whitespace().collect();
            script.say(words[0].parse().unwrap(), words[1], &words[2..]);
        }
        script
    }

    fn say(&mut self, land: Land, verb: &str, words: &[&str]) {
        let id: u8 = words[0].parse().unwrap();
        let log = self.logs.entry(land.code()).or_insert_with(|| Log::of(land));
        let word = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
        match verb {
            "define" => log.define(uuid(id), "Leistung", &words[1..]),
            "release" => {
                let version = registry_proto::wire::registry::ServiceVersion {
                    verfuegbarkeitsgebiet: list(words[2]),
                    ..crate::fold::testing::version(uuid(id), words[1], &word(3), &word(4))
                };
                let body = version.encode_to_vec().into();
                log.push(Kind::ServiceVersion, Some(uuid(id)), body);
            }
            "abgekuendigt" | "abgeschaltet" | "zurueckgezogen" => {
                let name = format!("LIFECYCLE_{}", verb.to_uppercase());
                let said = VersionStatus {
                    service_id: uuid(id).to_string(),
                    version: word(1),
                    lifecycle: Lifecycle::from_str_name(&name).unwrap() as i32,
                    abschaltung_am: word(2),
                    ..VersionStatus::default()
                };
                log.push(Kind::VersionStatus, Some(uuid(id)), said.encode_to_vec().into());
            }
            "anschluss" => {
                let name = format!("ANSCHLUSS_STATUS_{}", words[2].to_uppercase());
                let said = Anschluss {
                    subscription_id: uuid(id).to_string(),
                    ars: word(1),
                    status: AnschlussStatus::from_str_name(&name).unwrap() as i32,
                    ..Anschluss::default()
                };
                log.push(Kind::Anschluss, Some(uuid(id)), said.encode_to_vec().into());
            }
            state => {
                let name = format!("SUBSCRIPTION_STATE_{}", state.to_uppercase());
                let state = SubscriptionState::from_str_name(&name).unwrap();
                let (rests_on, says) = match self.heads.get(&id) {
                    Some((head, first)) => (Some(*head), first.clone()),
                    None => (None, first(land, words)),
                };
                let leaf = log.subscribe(uuid(id), state, rests_on, says.clone());
                self.heads.insert(id, (leaf, says));
            }
        }
    }
}

fn first(land: Land, words: &[&str]) -> SubscriptionMove {
    let on_behalf =
        |body: &[&str]| Auftraggeber { name: body[0].to_owned(), gebiete: list(body[1]) };
    SubscriptionMove {
        publisher_land: words[1].to_owned(),
        service_id: uuid(words[2].parse().unwrap()).to_string(),
        subscriber_land: land.to_string(),
        version_requirement: words[3].to_owned(),
        gebiete: list(words[4]),
        auftraggeber: words[5..].chunks(2).map(on_behalf).collect(),
        ..SubscriptionMove::default()
    }
}

/// An offer as "SL 1 v2.0.0 @16051 by 50 (16051 angeschlossen)".
fn shown(it: &Offer) -> String {
    let first = |text: &str| u8::from_str_radix(&text[..2], 16).unwrap();
    let service = first(&it.service.service_id);
    let mut text =
        format!("{} {service} v{} @{}", it.service.land, it.standing.state.number, it.gebiet);
    if let Some(Reuse { subscription, anschluss }) = &it.reuse {
        text.push_str(&format!(" by {}", first(&subscription.id.to_string())));
        if let Some(Connected { anschluss, .. }) = anschluss {
            let status = anschluss.status().as_str_name().to_lowercase();
            let status = status.trim_start_matches("anschluss_status_").to_owned();
            text.push_str(&format!(" ({} {status})", anschluss.ars));
        }
    }
    text
}

/// Who serves key A in `ars` on `day`, according to the logs of a script.
#[track_caller]
fn check(script: &str, ars: &str, on: &str, expect: &[&str]) {
    check_in(&Gemeindeverzeichnis::shipped(), script, ars, on, expect);
}

#[track_caller]
fn check_in(gebiete: &Gemeindeverzeichnis, script: &str, ars: &str, on: &str, expect: &[&str]) {
    let logs: Vec<_> = Script::of(script).logs.into_values().collect();
    let world = World::of(&logs);
    let ask = OfferAsk {
        number: A.parse().unwrap(),
        gebiet: gebiete.am_tag(&ars.parse().unwrap(), day(on)),
        day: day(on),
        limit: OFFERS_MAX as usize,
    };
    let (offers, total) = world.catalogue().offers(&ask).unwrap();
    let offers: Vec<_> = offers.iter().map(shown).collect();
    assert_eq!(offers, expect, "{ars} on {on}");
    assert_eq!(total as usize, expect.len());
}

const DAY: &str = "2026-11-23";

#[test]
fn a_service_serves_the_areas_of_its_version_and_what_lies_in_them() {
    let script = &format!(
        "SL define 1 {A}
         SL release 1 1.0.0 10
         RP define 2 {B}
         RP release 2 1.0.0 07
         HE release 3 1.0.0 06"
    );
    for ars in ["10", "10041", "100410100100"] {
        check(script, ars, DAY, &["SL 1 v1.0.0 @10"]);
    }
    // another key, another Land, more than its area
    for ars in ["07", "06", "00"] {
        check(script, ars, DAY, &[]);
    }
}

#[test]
fn the_nearest_enclosing_area_wins() {
    let script = &format!(
        "BUND define 9 {A}
         BUND release 9 1.0.0 00
         SL define 1 {A}
         SL release 1 1.0.0 10
         SL define 2 {A}
         SL release 2 1.0.0 10041,10042
         SL define 3 {A}
         SL release 3 1.0.0 07,10041
         RP define 4 {A}
         RP release 4 1.0.0 071310001"
    );
    check(script, "00", DAY, &["BUND 9 v1.0.0 @00"]);
    check(script, "06", DAY, &["BUND 9 v1.0.0 @00"]);
    check(script, "10", DAY, &["SL 1 v1.0.0 @10"]);
    check(script, "10043", DAY, &["SL 1 v1.0.0 @10"]);
    check(script, "10042", DAY, &["SL 2 v1.0.0 @10042"]);
    check(script, "100410100100", DAY, &["SL 2 v1.0.0 @10041", "SL 3 v1.0.0 @10041"]);
    check(script, "071310001001", DAY, &["RP 4 v1.0.0 @071310001"]);
    check(script, "07132", DAY, &["SL 3 v1.0.0 @07"]);
}

#[test]
fn the_highest_version_that_serves_on_the_day_counts() {
    let script = &format!(
        "SL define 1 {A}
         SL release 1 1.0.0 10 2025-01-01 2025-12-31
         SL release 1 1.1.0 10 2026-01-01
         SL release 1 1.2.0 10 2026-01-01
         SL release 1 1.3.0 10 2026-01-01
         SL release 1 1.4.0 10041 2026-01-01
         SL release 1 2.0.0 10 2027-01-01
         SL zurueckgezogen 1 1.3.0
         SL abgekuendigt 1 1.2.0 2026-12-01"
    );
    check(script, "10", "2024-12-31", &[]);
    check(script, "10", "2025-12-31", &["SL 1 v1.0.0 @10"]);
    check(script, "10", "2026-11-30", &["SL 1 v1.2.0 @10"]);
    check(script, "10", "2026-12-01", &["SL 1 v1.1.0 @10"]);
    check(script, "10041", "2026-12-01", &["SL 1 v1.4.0 @10041"]);
    check(script, "10041", "2027-01-01", &["SL 1 v2.0.0 @10"]);
}

const REUSED: &str = "
    TH abstimmung 50
    TH abgelehnt 50";

/// Service 1 of the Saarland, and all that is agreed with Thüringen up to a state.
fn reused(requirement: &str, areas: &str, until: &str) -> String {
    let mut script = format!(
        "SL define 1 {A}
         SL release 1 1.0.0 10
         SL release 1 1.5.0 10041
         SL release 1 2.0.0 10
         TH interesse 50 SL 1 {requirement} {areas}\n"
    );
    for line in ["SL abstimmung 50", "SL zugesagt 50", "TH vertrag 50", "TH produktiv 50"] {
        if until == "interesse" {
            break;
        }
        script.push_str(line);
        script.push('\n');
        if line.contains(until) {
            break;
        }
    }
    script
}

#[test]
fn a_nachnutzung_in_use_brings_a_service_to_its_areas() {
    let of = |requirement| reused(requirement, "16", "produktiv");
    check(&of("*"), "16", DAY, &["SL 1 v2.0.0 @16 by 50"]);
    check(&of("^1"), "16051", DAY, &["SL 1 v1.5.0 @16 by 50"]);
    check(&of("1.0.0"), "160510000000", DAY, &["SL 1 v1.0.0 @16 by 50"]);
    check(&of("^3"), "16", DAY, &[]);
    // not elsewhere, and at home the service serves by itself
    check(&of("^1"), "06", DAY, &[]);
    check(&of("^1"), "10", DAY, &["SL 1 v2.0.0 @10"]);
    let some = reused("*", "16051,16052", "produktiv");
    check(&some, "16051", DAY, &["SL 1 v2.0.0 @16051 by 50"]);
    check(&some, "16", DAY, &[]);
}

#[test]
fn a_nachnutzung_that_is_not_in_use_brings_nothing() {
    for until in ["interesse", "abstimmung", "zugesagt", "vertrag"] {
        check(&reused("*", "16", until), "16", DAY, &[]);
    }
    let ended = reused("*", "16", "produktiv") + "TH beendet 50";
    check(&ended, "16", DAY, &[]);
    // nor does one of an area that is not the subscriber's
    check(&reused("*", "16,06", "produktiv"), "06", DAY, &[]);
    check(&reused("*", "00", "produktiv"), "16", DAY, &[]);
    // nor moves that nobody may make
    let refused = reused("*", "16", "interesse") + REUSED;
    check(&refused, "16", DAY, &[]);
}

#[test]
fn a_body_may_be_nearer_than_the_land_that_acts_for_it() {
    let script = reused("*", "16 Zweckverband 16051,16052", "produktiv");
    check(&script, "16051", DAY, &["SL 1 v2.0.0 @16051 by 50"]);
    check(&script, "16053", DAY, &["SL 1 v2.0.0 @16 by 50"]);
}

#[test]
fn of_several_nachnutzungen_the_nearest_counts_then_the_lowest_id() {
    let others = "
        TH interesse 60 SL 1 ^1 16051
        SL abstimmung 60
        SL zugesagt 60
        TH vertrag 60
        TH produktiv 60
        TH interesse 40 SL 1 1.0.0 16
        SL abstimmung 40
        SL zugesagt 40
        TH vertrag 40
        TH produktiv 40";
    let script = reused("*", "16", "produktiv") + others;
    check(&script, "16", DAY, &["SL 1 v1.0.0 @16 by 40"]);
    check(&script, "160510000000", DAY, &["SL 1 v1.5.0 @16051 by 60"]);
}

#[test]
fn the_state_of_the_nearest_kommune_is_told() {
    let script = reused("*", "16", "produktiv")
        + "TH anschluss 50 16051 in_test
           TH anschluss 50 16051 angeschlossen
           TH anschluss 50 160510000000 getrennt
           SL anschluss 50 16052 angeschlossen";
    check(&script, "16051", DAY, &["SL 1 v2.0.0 @16 by 50 (16051 angeschlossen)"]);
    check(&script, "160510000000", DAY, &["SL 1 v2.0.0 @16 by 50 (160510000000 getrennt)"]);
    check(&script, "160510000001", DAY, &["SL 1 v2.0.0 @16 by 50 (16051 angeschlossen)"]);
    // the publisher does not speak for Kommunen of the subscriber
    check(&script, "16052", DAY, &["SL 1 v2.0.0 @16 by 50"]);
    check(&script, "16", DAY, &["SL 1 v2.0.0 @16 by 50"]);
}

#[test]
fn the_definition_that_counts_decides_about_the_key() {
    let script = format!(
        "SL define 1 {A}
         SL release 1 1.0.0 10041
         SL define 2 {A} {B}
         SL release 2 1.0.0 10\n"
    );
    check(&script, "10041", DAY, &["SL 1 v1.0.0 @10041"]);
    // what dropped the key hides nobody
    check(&(script + &format!("SL define 1 {B}")), "10041", DAY, &["SL 2 v1.0.0 @10"]);
}

#[test]
fn offers_beyond_the_limit_are_counted() {
    let mut log = Log::of(Land::SL);
    for n in 1..=7 {
        log.define(uuid(n), "Leistung", &[A]);
        log.release_in(uuid(n), "1.0.0", &["10"]);
    }
    let world = World::of(&[log]);
    let request = |limit, ars: &str| ResolveLeistungRequest {
        leistungsschluessel: A.to_owned(),
        ars: ars.to_owned(),
        limit,
        ..ResolveLeistungRequest::default()
    };
    let parse = |request: &ResolveLeistungRequest| {
        OfferAsk::parse(request, day(DAY), &Gemeindeverzeichnis::shipped())
    };
    let ask = parse(&request(3, "10041")).unwrap();
    let (offers, total) = world.catalogue().offers(&ask).unwrap();
    assert_eq!((offers.len(), total), (3, 7));
    assert_eq!(parse(&request(0, "10")).unwrap().limit, 20);
    for (limit, ars, field) in [(101, "10", "limit"), (0, "1004", "ars"), (0, "", "ars")] {
        let Err(Reject::Invalid(all)) = parse(&request(limit, ars)) else {
            panic!("not refused: {limit} {ars}");
        };
        assert_eq!(all[0].field, field);
    }
}

/// Areas for changes of every kind: 10041 became 10051; 10042 and 10043 became 10052; 10044 was
/// divided into 10053 and 10054; 10045 became 10055 and that 10056.
fn changed() -> Gemeindeverzeichnis {
    let row =
        |ars: &str| format!("{ars},,{},X,,20231130\n", ars.parse::<Ars>().unwrap().ebene().label());
    let areas: String = ["10", "10041", "10042", "10043", "10044", "10045", "07"].map(row).concat();
    let next = "ars,nachfolger,name,ab\n10041,10051,X,2026-01-01\n10042,10052,X,2026-01-01\n\
                10043,10052,X,2026-01-01\n10044,10053,X,2026-01-01\n10044,10054,X,2026-01-01\n\
                10045,10055,X,2026-01-01\n10055,10056,X,2026-07-01\n";
    let areas = format!("ars,ags,ebene,name,kennzeichen,stand\n{areas}");
    Gemeindeverzeichnis::parse(&areas, next).unwrap()
}

const BEFORE: &str = "2025-12-31";
const AFTER: &str = "2026-10-01";

#[test]
fn hanau_is_served_under_its_old_key_and_its_new_one() {
    let offer = |gebiet: &str| format!("SL define 1 {A}\nSL release 1 1.0.0 {gebiet}");
    let (old, new) = ("064350014014", "064150000000");
    for on in [BEFORE, AFTER] {
        for asked in [old, new] {
            check(&offer(old), asked, on, &["SL 1 v1.0.0 @064350014014"]);
            check(&offer(new), asked, on, &["SL 1 v1.0.0 @064150000000"]);
            check(&offer("06"), asked, on, &["SL 1 v1.0.0 @06"]);
        }
    }
    // the Kreis it left serves it until the day of the change
    check(&offer("06435"), old, BEFORE, &["SL 1 v1.0.0 @06435"]);
    check(&offer("06435"), new, BEFORE, &["SL 1 v1.0.0 @06435"]);
    check(&offer("06435"), old, AFTER, &[]);
    check(&offer("06435"), new, AFTER, &[]);
    check(&offer("06415"), old, AFTER, &["SL 1 v1.0.0 @06415"]);
    // the Gemeinde beside it has nothing to do with it
    check(&offer(old), "064350013013", AFTER, &[]);
}

#[test]
fn an_offer_counts_for_what_became_of_its_area_if_it_holds_all_of_it() {
    let gebiete = changed();
    let offer = |gebiet: &str| format!("SL define 1 {A}\nSL release 1 1.0.0 {gebiet}");
    let check = |offered: &str, asked: &str, on: &str, expect: &str| {
        let expect: Vec<_> =
            (!expect.is_empty()).then(|| format!("SL 1 v1.0.0 @{expect}")).into_iter().collect();
        let expect: Vec<_> = expect.iter().map(String::as_str).collect();
        check_in(&gebiete, &offer(offered), asked, on, &expect);
    };
    for on in [BEFORE, AFTER] {
        check("10051", "10041", on, "10051");
        check("10041", "10051", on, "10041");
        // joined: the whole serves its parts, a part not the whole, all parts together do
        check("10052", "10042", on, "10052");
        check("10042", "10052", on, "");
        check("10042,10043", "10052", on, "10042");
        // divided: the whole serves its parts, a part not the whole
        check("10044", "10053", on, "10044");
        check("10053", "10044", on, "");
        check("10053,10054", "10044", on, "10053");
        // through two changes
        check("10056", "10045", on, "10056");
        check("10045", "10056", on, "10045");
    }
    // who asks for what is no more and offered under that very key means it
    check("10042", "10042", AFTER, "10042");
    check("10044", "10044", AFTER, "10044");
    check("10", "10044", AFTER, "10");
}

#[test]
fn a_nachnutzung_goes_on_under_the_new_key() {
    let gebiete = changed();
    let script = format!(
        "RP define 1 {A}
         RP release 1 1.0.0 07
         SL interesse 50 RP 1 ^1 10041
         RP abstimmung 50
         RP zugesagt 50
         SL vertrag 50
         SL produktiv 50
         SL anschluss 50 10041 angeschlossen"
    );
    let by_it = ["RP 1 v1.0.0 @10041 by 50 (10041 angeschlossen)"];
    check_in(&gebiete, &script, "10051", AFTER, &by_it);
    check_in(&gebiete, &script, "10041", AFTER, &by_it);
    check_in(&gebiete, &script, "10042", AFTER, &[]);
}

#[test]
fn the_changes_that_were_followed_are_told() {
    let gebiete = changed();
    let check = |asked: &str, on: &str, found: &str, expect: &[&str]| {
        let gebiet = gebiete.am_tag(&asked.parse().unwrap(), day(on));
        let found: Ars = found.parse().unwrap();
        let changes = gebiet.changes_to(&found);
        let list = |all: &[Ars]| all.iter().map(Ars::to_string).collect::<Vec<_>>().join(",");
        let changes: Vec<_> = changes
            .map(|it| format!("{} > {} {}", list(&it.vorher), list(&it.nachher), it.ab))
            .collect();
        assert_eq!(changes, expect, "{asked} on {on}, found at {found}");
    };
    let renamed = ["10041 > 10051 2026-01-01"];
    check("10041", AFTER, "10051", &renamed);
    check("10051", AFTER, "10041", &renamed);
    check("10051", BEFORE, "10", &renamed);
    check("10041", BEFORE, "10051", &renamed);
    check("10041", BEFORE, "10041", &[]);
    check("10041", AFTER, "10041", &[]);
    check("10042", AFTER, "10052", &["10042,10043 > 10052 2026-01-01"]);
    check("10044", AFTER, "10", &["10044 > 10053,10054 2026-01-01"]);
    check("10045", AFTER, "10056", &["10045 > 10055 2026-01-01", "10055 > 10056 2026-07-01"]);
    check("10056", AFTER, "10045", &["10055 > 10056 2026-07-01", "10045 > 10055 2026-01-01"]);
}

#[test]
fn changes_in_circles_and_unknown_areas_end() {
    let areas = "ars,ags,ebene,name,kennzeichen,stand\n10041,,Kreis,A,,20231130\n10042,,Kreis,B,,20231130\n";
    let next = "ars,nachfolger,name,ab\n10041,10042,B,2026-01-01\n10042,10041,A,2027-01-01\n";
    let gebiete = Gemeindeverzeichnis::parse(areas, next).unwrap();
    for asked in ["10041", "10042", "10099", "00"] {
        for on in [BEFORE, AFTER, "2028-01-01"] {
            let gebiet = gebiete.am_tag(&asked.parse().unwrap(), day(on));
            assert_eq!(gebiet.on_day().len(), 1, "{asked} on {on}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn reading_ahead_tells_the_same_as_looking_at_each_service(
        subscribed in proptest::collection::vec((0..40_u8, 0..4_u8), 0..200),
        asked in proptest::collection::vec(0..40_u8, 0..60),
    ) {
        let mut log = Log::of(Land::TH);
        for (service, id) in &subscribed {
            let words = ["50", "SL", &service.to_string(), "^1", "16"];
            log.subscribe(uuid(100 + id), SubscriptionState::Interesse, None, first(Land::TH, &words));
        }
        let world = World::of(&[log]);
        let catalogue = world.catalogue();
        let mut reused = Reused::new(catalogue.facts);
        for service in asked {
            let has = subscribed.iter().any(|(it, _)| *it == service);
            proptest::prop_assert_eq!(reused.has(uuid(service)).unwrap(), has);
        }
    }
}
