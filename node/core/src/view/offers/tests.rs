use std::collections::BTreeMap;

use prost::Message;
use registry_proto::{
    log::{Hash, Kind},
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
    let logs: Vec<_> = Script::of(script).logs.into_values().collect();
    let world = World::of(&logs);
    let ask = OfferAsk {
        number: A.parse().unwrap(),
        ars: ars.parse().unwrap(),
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
    let ask = OfferAsk::parse(&request(3, "10041"), day(DAY)).unwrap();
    let (offers, total) = world.catalogue().offers(&ask).unwrap();
    assert_eq!((offers.len(), total), (3, 7));
    assert_eq!(OfferAsk::parse(&request(0, "10"), day(DAY)).unwrap().limit, 20);
    for (limit, ars, field) in [(101, "10", "limit"), (0, "1004", "ars"), (0, "", "ars")] {
        let Err(Reject::Invalid(all)) = OfferAsk::parse(&request(limit, ars), day(DAY)) else {
            panic!("not refused: {limit} {ars}");
        };
        assert_eq!(all[0].field, field);
    }
}
