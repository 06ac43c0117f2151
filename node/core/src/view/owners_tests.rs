//! What a service keeps when it is handed over.

use std::cell::Cell;

use registry_proto::{
    log::{Hash, Kind},
    terms::Land::{self, HE, RP, SL, TH},
    wire::registry::{
        GetServiceRequest, GetVersionRequest, HandoverState, Lifecycle, ListHandoversRequest,
        ListServicesRequest, ListVersionsRequest, Mitfederfuehrung, Mitzeichnung, NoticeKind,
        ResolveVersionRequest, ServiceSummary, SubscriptionMove, SubscriptionState as State,
        Uebergabe, UebergabeSchritt as Schritt, VersionStatus, WatchRequest,
    },
};

use super::{
    Catalogue, Facts, FactsError, OfferAsk, WatchFilter, numbers_around,
    tests::{A, B, World, day, id},
};
use crate::{
    catalogue::Gemeindeverzeichnis,
    fold::{
        Fact, Position,
        testing::{Log, definition, uuid},
    },
    moves::nachnutzung::Subscription,
};

const NOW_MS: i64 = 1_700_000_100_000;

/// Service 1 of the Saarland; Thüringen re-uses it (Nachnutzung 9).
struct Story {
    logs: Vec<Log>,
    head: Option<Hash>,
    offer: Option<Hash>,
    /// Who made it.
    from: Land,
}

// === impl Story ===

impl Story {
    fn new() -> Self {
        let logs = [SL, HE, TH, RP].map(Log::of).to_vec();
        let mut story = Self { logs, head: None, offer: None, from: SL };
        story.log(SL).define(uuid(1), "Gewerbe anmelden", &[A]);
        story.log(SL).release_in(uuid(1), "1.0.0", &["10"]);
        for (land, state) in
            [(TH, State::Interesse), (SL, State::Abstimmung), (SL, State::Zugesagt)]
        {
            story.step(land, state);
        }
        story.step(TH, State::Vertrag);
        story.step(TH, State::Produktiv);
        story
    }

    fn log(&mut self, land: Land) -> &mut Log {
        self.logs.iter_mut().find(|it| it.id.land == land).expect("a Land of the story")
    }

    fn step(&mut self, land: Land, state: State) {
        let says = SubscriptionMove {
            service_id: id(1),
            publisher_land: "SL".to_owned(),
            subscriber_land: "TH".to_owned(),
            version_requirement: "^1".to_owned(),
            gebiete: vec!["16".to_owned()],
            ..SubscriptionMove::default()
        };
        let head = self.head;
        self.head = Some(self.log(land).subscribe(uuid(9), state, head, says));
    }

    fn offer(&mut self, from: Land, to: Land) {
        let said = Uebergabe {
            service_id: id(1),
            von_land: from.to_string(),
            an_land: to.to_string(),
            schritt: Schritt::Angebot as i32,
            ..Uebergabe::default()
        };
        self.from = from;
        self.offer = Some(self.log(from).say(Kind::Uebergabe, uuid(1), None, &said));
    }

    fn take(&mut self, to: Land) {
        let said = Uebergabe {
            service_id: id(1),
            von_land: self.from.to_string(),
            schritt: Schritt::Annahme as i32,
            angebot: self.offer.expect("an offer").as_bytes().to_vec().into(),
            ..Uebergabe::default()
        };
        self.log(to).say(Kind::Uebergabe, uuid(1), None, &said);
    }

    fn handed_over(to: Land) -> Self {
        let mut story = Self::new();
        story.offer(SL, to);
        story.take(to);
        story
    }

    fn world(&self) -> World {
        World::of(&self.logs)
    }
}

fn listed(world: &World, land: &str, number: &str) -> Vec<String> {
    let request = ListServicesRequest {
        land: land.to_owned(),
        leistungsschluessel: number.to_owned(),
        ..ListServicesRequest::default()
    };
    let name = |it: ServiceSummary| format!("{} {} {}", it.land, it.bezeichnung, it.latest_version);
    world.catalogue().list_services(&request).unwrap().items.into_iter().map(name).collect()
}

/// Owner, entry of the definition, and versions with their entries.
#[track_caller]
fn check_service(world: &World, land: &str, expect: &str) {
    let view = world.catalogue();
    let request =
        GetServiceRequest { service_id: id(1), land: land.to_owned(), ..Default::default() };
    let service = view.service(&request).unwrap();
    let request =
        ListVersionsRequest { service_id: id(1), land: land.to_owned(), ..Default::default() };
    let (owner, page) = view.list_versions(&request).unwrap();
    assert_eq!(owner, service.lineage.land());
    let versions: Vec<_> = page
        .items
        .iter()
        .map(|it| {
            let at = it.position.as_ref().unwrap();
            format!("{} at {}/{}", it.version, at.land, at.index)
        })
        .collect();
    let at = service.position;
    let got = format!("{owner}, {}/{}, {}", at.log.land, at.index, versions.join(", "));
    assert_eq!(got, expect);
    let latest = service.latest_version.map(|it| it.to_string());
    assert_eq!(latest, page.items.first().map(|it| it.version.clone()));
    assert_eq!(service.version_count as usize, page.items.len());
}

fn nachnutzung(world: &World) -> Subscription {
    world.catalogue().subscription(uuid(9)).unwrap().unwrap()
}

#[test]
fn a_service_keeps_its_id_and_versions() {
    let mut story = Story::new();
    story.offer(SL, HE);
    check_service(&story.world(), "", "SL, SL/0, 1.0.0 at SL/1");
    story.take(HE);
    // also by its old name
    for land in ["", "HE", "SL"] {
        check_service(&story.world(), land, "HE, SL/0, 1.0.0 at SL/1");
    }
    // what the former owner writes afterwards does not count
    story.log(SL).define(uuid(1), "Zu spät", &[B]);
    story.log(SL).release_in(uuid(1), "1.0.5", &["10"]);
    story.log(HE).release_in(uuid(1), "1.1.0", &["10"]);
    check_service(&story.world(), "", "HE, SL/0, 1.1.0 at HE/1, 1.0.0 at SL/1");
    story.log(HE).define(uuid(1), "Gewerbe anmelden in Hessen", &[B]);
    check_service(&story.world(), "", "HE, HE/2, 1.1.0 at HE/1, 1.0.0 at SL/1");
    // and back: what each wrote in its time counts
    story.offer(HE, SL);
    story.take(SL);
    story.log(HE).release_in(uuid(1), "1.1.5", &["10"]);
    story.log(SL).release_in(uuid(1), "1.2.0", &["10"]);
    let versions = "1.2.0 at SL/8, 1.1.0 at HE/1, 1.0.0 at SL/1";
    check_service(&story.world(), "", &format!("SL, HE/2, {versions}"));
}

#[test]
fn a_service_is_found_once_under_its_owner() {
    let mut story = Story::handed_over(HE);
    let world = story.world();
    let name = ["HE Gewerbe anmelden 1.0.0"];
    assert_eq!(listed(&world, "", ""), name);
    assert_eq!(listed(&world, "", A), name);
    assert_eq!(listed(&world, "HE", A), name);
    assert!(listed(&world, "SL", "").is_empty() && listed(&world, "SL", A).is_empty());
    let view = world.catalogue();
    assert_eq!(view.defined_after(None, 9).unwrap(), [(HE, uuid(1))]);
    assert_eq!(view.findable(SL, uuid(1)).unwrap(), None);
    assert_eq!(view.findable(HE, uuid(1)).unwrap().unwrap().position.to_string(), "SL/1/0");
    assert_eq!(view.found_under(SL, uuid(1)).unwrap().into_iter().collect::<Vec<_>>(), [HE, SL]);
    // its keys are those of the definition that counts
    story.log(HE).define(uuid(1), "Anders", &[B]);
    let world = story.world();
    assert!(listed(&world, "", A).is_empty());
    assert_eq!(listed(&world, "", B), ["HE Anders 1.0.0"]);
}

#[test]
fn versions_are_counted_for_who_could_retire_them() {
    let mut story = Story::new();
    story.log(SL).release_in(uuid(1), "1.1.0", &["10"]);
    story.log(SL).release_in(uuid(2), "1.0.0", &["10"]);
    story.log(HE).release_in(uuid(3), "1.0.0", &["06"]);
    let counted = |story: &Story| {
        let world = story.world();
        [SL, HE, TH].map(|land| world.catalogue().versions_owned_by(land).unwrap())
    };
    assert_eq!(counted(&story), [3, 1, 0]);
    story.offer(SL, HE);
    assert_eq!(counted(&story), [3, 1, 0]);
    story.take(HE);
    assert_eq!(counted(&story), [1, 3, 0]);
    story.log(HE).release_in(uuid(1), "1.2.0", &["10"]);
    // what the former owner writes does not count
    story.log(SL).release_in(uuid(1), "1.3.0", &["10"]);
    assert_eq!(counted(&story), [1, 4, 0]);
    story.offer(HE, SL);
    story.take(SL);
    assert_eq!(counted(&story), [4, 1, 0]);
}

#[test]
fn the_new_owner_moves_old_versions_on() {
    let mut story = Story::handed_over(HE);
    let said = |lifecycle: Lifecycle| VersionStatus {
        service_id: id(1),
        version: "1.0.0".to_owned(),
        lifecycle: lifecycle as i32,
        abschaltung_am: "2027-05-01".to_owned(),
        ..VersionStatus::default()
    };
    story.log(SL).say(Kind::VersionStatus, uuid(1), None, &said(Lifecycle::Zurueckgezogen));
    let life = |story: &Story| {
        let request =
            GetVersionRequest { service_id: id(1), version: "1.0.0".into(), ..Default::default() };
        story.world().catalogue().version_stands(&request).unwrap().life.lifecycle
    };
    assert_eq!(life(&story), Lifecycle::Freigegeben);
    story.log(HE).say(Kind::VersionStatus, uuid(1), None, &said(Lifecycle::Abgekuendigt));
    assert_eq!(life(&story), Lifecycle::Abgekuendigt);
    let world = story.world();
    let request =
        GetVersionRequest { service_id: id(1), version: "1.0.0".into(), ..Default::default() };
    let standing = world.catalogue().version_stands(&request).unwrap();
    let affected = world.catalogue().impact(&standing, Lifecycle::Abgeschaltet, day("2026-11-23"));
    let affected = affected.unwrap();
    assert_eq!(affected.len(), 1);
    assert!(affected[0].must_acknowledge && !affected[0].acknowledged);
}

#[test]
fn nachnutzungen_go_on_with_the_new_owner() {
    let mut story = Story::handed_over(HE);
    let offers = |world: &World, ars: &str| {
        let (number, on) = (A.parse().unwrap(), day("2026-11-23"));
        let gebiet = Gemeindeverzeichnis::shipped().am_tag(&ars.parse().unwrap(), on);
        let ask = OfferAsk { number, gebiet, day: on, limit: 5 };
        let (offers, _) = world.catalogue().offers(&ask).unwrap();
        let shown = offers.iter().map(|it| {
            let by = it.reuse.as_ref().map_or("own", |_| "reuse");
            format!("{} {} {by}", it.service.land, it.standing.state.number)
        });
        shown.collect::<Vec<_>>()
    };
    let world = story.world();
    assert_eq!(offers(&world, "16051"), ["HE 1.0.0 reuse"]);
    assert_eq!(offers(&world, "10"), ["HE 1.0.0 own"]);
    let it = nachnutzung(&world);
    assert_eq!((it.publisher, it.zustand()), (HE, State::Produktiv));
    for land in [SL, HE] {
        let all = world.catalogue().subscriptions_of(land, uuid(1)).unwrap();
        assert_eq!(all.iter().map(|it| it.id).collect::<Vec<_>>(), [uuid(9)]);
    }
    // the former owner ends nothing, the new one does
    let head = story.head;
    story.step(SL, State::Beendet);
    assert_eq!(nachnutzung(&story.world()).zustand(), State::Produktiv);
    story.head = head;
    story.step(HE, State::Beendet);
    assert_eq!(nachnutzung(&story.world()).zustand(), State::Beendet);
}

#[test]
fn the_nachnutzung_of_the_successor_rests() {
    let mut story = Story::handed_over(TH);
    let world = story.world();
    let it = nachnutzung(&world);
    assert!(it.rests() && it.is_open() && !it.is_bound());
    let standings = world.catalogue().standings(TH, uuid(1)).unwrap();
    assert!(world.catalogue().owed(&it, &standings).unwrap().is_empty());
    let notices = world.catalogue().notices(TH, day("2026-11-23"), NOW_MS).unwrap();
    let kinds: Vec<_> = notices.iter().map(|it| it.kind()).collect();
    assert!(kinds.contains(&NoticeKind::OwnerChanged), "{notices:?}");
    // with the next owner it is as before
    story.offer(TH, RP);
    story.take(RP);
    let it = nachnutzung(&story.world());
    assert_eq!((it.publisher, it.is_bound()), (RP, true));
}

#[test]
fn those_concerned_are_told() {
    let mut story = Story::new();
    story.offer(SL, HE);
    let told = |story: &Story, land: Land| {
        let world = story.world();
        let notices = world.catalogue().notices(land, day("2026-11-23"), NOW_MS).unwrap();
        notices.iter().map(|it| (it.kind(), it.service_land.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&story, HE), [(NoticeKind::HandoverOffered, "SL".to_owned())]);
    assert!(!told(&story, TH).iter().any(|it| it.0 == NoticeKind::OwnerChanged));
    story.take(HE);
    assert_eq!(told(&story, HE), []);
    assert!(told(&story, TH).contains(&(NoticeKind::OwnerChanged, "HE".to_owned())));
}

#[test]
fn the_leaders_of_a_joint_service_go_on_leading() {
    let mut story = Story::new();
    let joint = |land: Land, laender: &[&str], k| {
        let mut it = definition(land, uuid(1), "gemeinsam", &[A]);
        let laender = laender.iter().map(|it| (*it).to_owned()).collect();
        it.mitfederfuehrung = Some(Mitfederfuehrung { laender, k });
        it
    };
    let said = joint(SL, &["HE", "RP"], 2);
    story.log(SL).say(Kind::ServiceDefinition, uuid(1), None, &said);
    story.offer(SL, HE);
    story.take(HE);
    let owner = |story: &Story| story.world().catalogue().owner_now(SL, uuid(1)).unwrap();
    // the successor agrees by taking it, the other leader has to
    assert_eq!(owner(&story), SL);
    let notices = story.world().catalogue().notices(RP, day("2026-11-23"), NOW_MS).unwrap();
    assert_eq!(notices[0].kind(), NoticeKind::CountersignatureOwed, "{notices:?}");
    let offer = story.offer.unwrap().as_bytes().to_vec().into();
    let said = Mitzeichnung {
        service_id: id(1),
        land: "SL".to_owned(),
        leaf_hash: offer,
        ..Mitzeichnung::default()
    };
    story.log(RP).say(Kind::Mitzeichnung, uuid(1), None, &said);
    assert_eq!(owner(&story), HE);
    // another set of leaders needs those that are left of the old one
    let said = joint(HE, &["TH"], 1);
    let change = story.log(HE).say(Kind::ServiceDefinition, uuid(1), None, &said);
    story.log(HE).release_in(uuid(1), "1.1.0", &["10"]);
    let standings = story.world().catalogue().standings(HE, uuid(1)).unwrap();
    let missing = standings[0].countersigned.missing().into_iter().collect::<Vec<_>>();
    assert_eq!((standings[0].state.number.to_string().as_str(), missing), ("1.1.0", vec![RP]));
    // and those are told, of the version and of the change, until they agree
    let owed = |story: &Story, land: Land| {
        let notices = story.world().catalogue().notices(land, day("2026-11-23"), NOW_MS).unwrap();
        let owed = notices.into_iter().filter(|it| it.kind() == NoticeKind::CountersignatureOwed);
        owed.map(|it| it.text.rsplit(" --").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(owed(&story, RP), ["steckbrief", "version 1.1.0"]);
    assert_eq!(owed(&story, TH), [""; 0]);
    let said = Mitzeichnung {
        service_id: id(1),
        land: "HE".to_owned(),
        leaf_hash: change.as_bytes().to_vec().into(),
        ..Mitzeichnung::default()
    };
    story.log(RP).say(Kind::Mitzeichnung, uuid(1), None, &said);
    // the version stands behind the change, so it waits for whom that names
    assert_eq!(owed(&story, RP), [""; 0]);
    assert_eq!(owed(&story, TH), ["version 1.1.0"]);
}

#[test]
fn what_others_say_makes_no_service_slow_and_hides_no_handover() {
    let mut story = Story::new();
    for _ in 0..300 {
        let said = Uebergabe {
            service_id: id(1),
            von_land: "HE".to_owned(),
            an_land: "RP".to_owned(),
            schritt: Schritt::Angebot as i32,
            ..Uebergabe::default()
        };
        story.log(HE).say(Kind::Uebergabe, uuid(1), None, &said);
    }
    story.offer(SL, TH);
    story.take(TH);
    let world = story.world();
    check_service(&world, "", "TH, SL/0, 1.0.0 at SL/1");
    assert!(world.catalogue().lineages(uuid(1)).unwrap().said.len() < 110);
}

#[test]
fn a_cut_before_the_handover_shows_the_former_owner() {
    let story = Story::handed_over(HE);
    let mut world = story.world();
    world.cut.set(story.logs[1].id, 0);
    check_service(&world, "", "SL, SL/0, 1.0.0 at SL/1");
    assert_eq!(listed(&world, "", A), ["SL Gewerbe anmelden 1.0.0"]);
    assert_eq!(nachnutzung(&world).publisher, SL);
}

#[test]
fn one_uuid_of_two_laender_stays_two_services() {
    let mut story = Story::handed_over(HE);
    story.log(RP).define(uuid(1), "Etwas anderes", &[A]);
    let world = story.world();
    let request = |land: &str| GetServiceRequest {
        service_id: id(1),
        land: land.to_owned(),
        ..GetServiceRequest::default()
    };
    let refused = world.catalogue().service(&request("")).unwrap_err().to_string();
    assert!(refused.contains("HE and RP"), "{refused}");
    check_service(&world, "SL", "HE, SL/0, 1.0.0 at SL/1");
    check_service(&world, "RP", "RP, RP/0, ");
    assert_eq!(listed(&world, "", A).len(), 2);
    let resolve =
        ResolveVersionRequest { service_id: id(1), land: "SL".into(), ..Default::default() };
    let found = world.catalogue().resolve(&resolve, day("2026-11-23")).unwrap();
    assert_eq!((found.owner, found.state.number.to_string()), (HE, "1.0.0".to_owned()));
}

#[test]
fn what_became_of_offers_is_listed() {
    let mut story = Story::handed_over(HE);
    story.offer(HE, RP);
    let world = story.world();
    let list = |land: &str, open_only, limit| {
        let request =
            ListHandoversRequest { land: land.to_owned(), open_only, limit, ..Default::default() };
        let (found, total) = world.catalogue().list_handovers(&request).unwrap();
        let shown =
            found.iter().map(|it| format!("{} {} {:?}", it.von_land, it.an_land, it.state()));
        (shown.collect::<Vec<_>>(), total)
    };
    let (taken, open) = (HandoverState::Taken, HandoverState::Open);
    let (taken, open) = (format!("SL HE {taken:?}"), format!("HE RP {open:?}"));
    let mut all = list("", false, 0).0;
    all.sort();
    assert_eq!(all, [open.clone(), taken.clone()]);
    assert_eq!(list("SL", false, 0), (vec![taken], 1));
    assert_eq!(list("", true, 0), (vec![open], 1));
    let (cut, total) = list("", false, 1);
    assert_eq!((cut.len(), total), (1, 2));
    let too_many = ListHandoversRequest { limit: 501, ..Default::default() };
    assert!(world.catalogue().list_handovers(&too_many).is_err());
}

#[test]
fn a_filter_by_number_follows_what_was_taken_over() {
    let mut story = Story::handed_over(HE);
    story.log(HE).release_in(uuid(1), "1.1.0", &["10"]);
    story.log(HE).define(uuid(1), "Anders", &[B]);
    story.log(HE).release_in(uuid(1), "1.2.0", &["10"]);
    let world = story.world();
    let request = WatchRequest { leistungsschluessel: vec![A.to_owned()], ..Default::default() };
    let filter = WatchFilter::parse(&request).unwrap();
    let log = story.logs[1].id;
    let passes = |index| {
        let numbers = numbers_around(&world.facts, uuid(1), Position { log, index }).unwrap();
        filter.passes_numbers(&numbers)
    };
    // the version after the handover, the revision that drops the key, and what comes after it
    assert_eq!([1, 2, 3].map(passes), [true, true, false]);
}

/// Counts how often facts are asked for.
struct Counted<'a>(&'a World, Cell<usize>);

impl Facts for Counted<'_> {
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Fact>, FactsError> {
        self.1.set(self.1.get() + 1);
        self.0.facts.scan(from, to, reverse, limit)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FactsError> {
        self.1.set(self.1.get() + 1);
        self.0.facts.get(key)
    }
}

#[test]
fn a_service_that_was_not_handed_over_costs_one_look_more() {
    let world = Story::new().world();
    let facts = Counted(&world, Cell::new(0));
    let view = Catalogue::new(&facts, &world.cut);
    let request =
        GetServiceRequest { service_id: id(1), land: "SL".to_owned(), ..Default::default() };
    view.service(&request).unwrap();
    // the handover, the owner, the definition, the versions
    assert_eq!(facts.1.replace(0), 4);
    let version = GetVersionRequest {
        service_id: id(1),
        version: "1.0.0".to_owned(),
        land: "SL".to_owned(),
        ..Default::default()
    };
    view.version_stands(&version).unwrap();
    // the handover, the owner, the version, what was said of it, the leaders
    assert_eq!(facts.1.replace(0), 5);
    view.highest_version(SL, uuid(1)).unwrap();
    // the handover, the versions
    assert_eq!(facts.1.replace(0), 2);
}
