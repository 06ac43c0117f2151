use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};

use proptest::prelude::*;
use prost::Message;
use registry_core::{
    catalogue::demo::{demo_records, lead},
    fold::FOLD_VERSION,
    reject::Reject,
    view::SearchAsk,
};
use registry_proto::{
    log::Kind,
    terms::Land,
    wire::registry::{
        Erasure, Lifecycle, LocalizedText, SearchMatch, SearchServicesRequest, ServiceDefinition,
        ServiceVersion, SuggestRequest, VersionStatus,
    },
};
use uuid::Uuid;

use super::{Answer, Follower, Search, engine::Place, follower::Work};
use crate::{
    folder::Folder,
    guard::Keeper,
    index::Index,
    journals::Journals,
    store::{OpenOutcome, Store},
    testing::{
        Item, MemoryJournal, eventually, folded, folded_with, offer, take, uuid, wait_folded,
        wait_open, withdraw,
    },
};

/// A search over journals, driven by the test.
struct Bench {
    work: Work,
    index: Index,
    folder: Folder,
}

impl Bench {
    fn over(journals: &[MemoryJournal]) -> Self {
        Self::at(journals, Place::Memory)
    }

    fn at(journals: &[MemoryJournal], place: Place) -> Self {
        let (index, folder) = folded(journals);
        let mut bench = Self { work: Work::new(index.clone(), place), index, folder };
        bench.follow(journals);
        bench
    }

    /// Waits for the folder, then brings the search to the same place.
    fn follow(&mut self, journals: &[MemoryJournal]) {
        self.folder.notifier().notify();
        for journal in journals {
            wait_folded(&self.index, journal);
        }
        assert!(self.work.step(&|| false), "the search follows");
    }

    fn search(&self) -> &Search {
        self.work.search()
    }

    fn ask(&self, request: &SearchServicesRequest) -> Answer {
        ask(self.search(), request)
    }

    fn names(&self, query: &str) -> Vec<String> {
        let found = self.ask(&query_of(query)).services;
        found.into_iter().map(|service| service.bezeichnung).collect()
    }
}

fn ask(search: &Search, request: &SearchServicesRequest) -> Answer {
    search.search(&SearchAsk::parse(request).unwrap()).unwrap().0
}

fn query_of(query: &str) -> SearchServicesRequest {
    SearchServicesRequest { query: query.to_owned(), ..Default::default() }
}

/// The demonstration as four logs.
fn demo() -> Vec<MemoryJournal> {
    let mut journals: BTreeMap<Land, MemoryJournal> = BTreeMap::new();
    for service in demo_records(lead) {
        let id: Uuid = service.definition.service_id.parse().unwrap();
        let journal =
            journals.entry(service.land).or_insert_with(|| MemoryJournal::of(service.land));
        let body = service.definition.encode_to_vec().into();
        let mut records = vec![(Kind::ServiceDefinition, id, body)];
        let versions = service.versions.iter();
        records.extend(versions.map(|it| (Kind::ServiceVersion, id, it.encode_to_vec().into())));
        journal.append_records(&records);
    }
    journals.into_values().collect()
}

fn define(service: u8, land: Land, name: &str, number: &str, lage: &str) -> Item {
    let definition = ServiceDefinition {
        service_id: uuid(service).to_string(),
        land: land.code().to_owned(),
        leistungsschluessel: vec![number.to_owned()],
        typisierung: vec!["2/3".to_owned(), "4".to_owned()],
        themenfeld: "umwelt".to_owned(),
        lagen: vec![lage.to_owned()],
        bezeichnung: vec![LocalizedText { language_code: "de".to_owned(), text: name.to_owned() }],
        ..ServiceDefinition::default()
    };
    Item::Body(Kind::ServiceDefinition, service, definition.encode_to_vec().into())
}

#[test]
fn nine_of_ten_queries_find_what_people_mean_among_the_first_five() {
    let bench = Bench::over(&demo());
    let (mut wanted, mut found, mut misses) = (0, 0, String::new());
    let mut slowest = std::time::Duration::ZERO;
    for line in include_str!("../../tests/search/queries.tsv").lines() {
        let Some((query, keys)) = line.split_once('\t').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let begun = Instant::now();
        let answer = bench.ask(&SearchServicesRequest { limit: 5, ..query_of(query) });
        slowest = slowest.max(begun.elapsed());
        wanted += 1;
        let hit = keys.split(' ').any(|key| {
            answer.services.iter().any(|it| it.leistungsschluessel.iter().any(|it| it == key))
        });
        if hit {
            found += 1;
        } else {
            let names: Vec<_> = answer.services.iter().map(|it| it.bezeichnung.as_str()).collect();
            misses.push_str(&format!(
                "{query}: {:?} of {}: {}\n",
                answer.matched,
                answer.total,
                names.join("; ")
            ));
        }
    }
    println!("recall at 5: {found} of {wanted}; slowest {slowest:?}; misses:\n{misses}");
    assert!(wanted >= 60, "{wanted} queries");
    assert!(found * 10 >= wanted * 9, "recall at 5 is {found} of {wanted}:\n{misses}");
}

#[test]
fn the_three_ways_to_say_it_find_the_registration_of_a_trade_first() {
    let bench = Bench::over(&demo());
    for query in ["Gewerbeanmeldung", "gewerbe anmelden", "Anmeldung Gewerbe", "GEWERBEANMELDUNG "]
    {
        let answer = bench.ask(&query_of(query));
        let first = answer.services.first().map(|it| it.leistungsschluessel.clone());
        assert!(first.is_some_and(|it| it.contains(&"99050012104000".to_owned())), "{query}");
        assert_eq!(answer.matched, SearchMatch::AllWords, "{query}");
    }
}

#[test]
fn words_are_taken_less_strictly_only_if_nothing_is_found() {
    let journal = MemoryJournal::of(Land::SL);
    journal.append(&[
        define(1, Land::SL, "Straßensperrung", "99000000000001", "Umzug"),
        define(2, Land::SL, "Fischereischein", "99000000000002", "Umzug"),
        define(3, Land::SL, "Größe der Straße", "99000000000003", "Umzug"),
    ]);
    let bench = Bench::over(&[journal]);
    let check = |query: &str, matched: SearchMatch, names: &[&str]| {
        let answer = bench.ask(&query_of(query));
        assert_eq!(answer.matched, matched, "{query}");
        assert_eq!(bench.names(query), names, "{query}");
    };
    use SearchMatch::{AllWords, SimilarWords, SomeWords};
    check("STRASSENSPERRUNG", AllWords, &["Straßensperrung"]);
    check("strasse sperren", AllWords, &["Straßensperrung"]);
    check("groesse", AllWords, &["Größe der Straße"]);
    check("grosse", AllWords, &["Größe der Straße"]);
    check("fischere", AllWords, &["Fischereischein"]);
    check("99000000000002", AllWords, &["Fischereischein"]);
    check("99000000", AllWords, &["Straßensperrung", "Fischereischein", "Größe der Straße"]);
    check("strase sperren", SimilarWords, &["Straßensperrung"]);
    check("fischreischien", SimilarWords, &["Fischereischein"]);
    check("fischereischein beantragen", SomeWords, &["Fischereischein"]);
    check("xylophon", SomeWords, &[]);
    // a blank closes the last word; its beginning is similar then
    check("fischere ", SimilarWords, &["Fischereischein"]);
}

#[test]
fn filters_narrow_and_facets_count_what_the_others_leave() {
    let (sl, rp) = (MemoryJournal::of(Land::SL), MemoryJournal::of(Land::RP));
    sl.append(&[
        define(1, Land::SL, "Hundesteuer", "99000000000001", "Tierhaltung"),
        define(2, Land::SL, "Hundehaltung", "99000000000002", "Umzug"),
        Item::Release(1, "1.0.0"),
    ]);
    rp.append(&[define(3, Land::RP, "Hundeschule", "99000000000003", "Umzug")]);
    let bench = Bench::over(&[sl, rp]);
    let umzug = || vec!["Umzug".to_owned()];
    let answer = bench.ask(&SearchServicesRequest { lagen: umzug(), ..query_of("hund") });
    let facet = |name: &str| -> Vec<(String, u32)> {
        let all = answer.facets.iter().filter(|it| it.name == name);
        all.map(|it| (it.value.clone(), it.count)).collect()
    };
    let pairs = |all: &[(&str, u32)]| -> Vec<(String, u32)> {
        all.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect()
    };
    assert_eq!((answer.total, answer.services.len()), (2, 2));
    assert_eq!(facet("lage"), pairs(&[("Umzug", 2), ("Tierhaltung", 1)]));
    assert_eq!(facet("land"), pairs(&[("RP", 1), ("SL", 1)]));
    assert_eq!(facet("status"), pairs(&[("ohne_version", 2)]));
    assert_eq!(facet("typisierung"), pairs(&[("2/3", 2), ("4", 2)]));
    let status = vec!["freigegeben".to_owned()];
    let released = bench.ask(&SearchServicesRequest { status, ..query_of("hund") });
    assert_eq!(released.total, 1);
    let land = "RP".to_owned();
    let all_of_a_land = bench.ask(&SearchServicesRequest { land, ..query_of("") });
    assert_eq!(all_of_a_land.total, 1);
    let none = vec!["Heirat".to_owned()];
    assert_eq!(bench.ask(&SearchServicesRequest { lagen: none, ..query_of("hund") }).total, 0);
}

#[test]
fn pages_of_a_search_follow_each_other() {
    let bench = Bench::over(&demo());
    let whole = bench.ask(&SearchServicesRequest { limit: 60, ..query_of("genehmigung") });
    let mut paged = Vec::new();
    for offset in (0..60).step_by(20) {
        let request = SearchServicesRequest { offset, limit: 20, ..query_of("genehmigung") };
        paged.extend(bench.ask(&request).services);
    }
    assert_eq!(paged, whole.services);
    assert_eq!(whole.services.len(), 60);
}

#[test]
fn what_is_typed_is_completed_to_names_each_once() {
    let (sl, rp) = (MemoryJournal::of(Land::SL), MemoryJournal::of(Land::RP));
    sl.append(&[define(1, Land::SL, "Hundesteuer", "99000000000001", "Umzug")]);
    rp.append(&[
        define(2, Land::RP, "Hundesteuer", "99000000000001", "Umzug"),
        define(3, Land::RP, "Hundeschule", "99000000000003", "Umzug"),
    ]);
    let bench = Bench::over(&[sl, rp]);
    let check = |prefix: &str, limit: u32, expected: &[&str]| {
        let request = SuggestRequest { prefix: prefix.to_owned(), limit, ..Default::default() };
        let found = bench.search().suggest(&SearchAsk::parse_suggest(&request).unwrap()).unwrap();
        let texts: Vec<_> = found.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, expected, "{prefix}");
    };
    check("hu", 0, &["Hundesteuer", "Hundeschule"]);
    check("hu", 1, &["Hundesteuer"]);
    check("hundest", 0, &["Hundesteuer", "Hundeschule"]);
    check("hundesch", 0, &["Hundeschule"]);
    check("hundseteuer", 0, &["Hundesteuer"]);
    check("katze", 0, &[]);
}

fn deprecate(service: u8, number: &str) -> Item {
    let status = VersionStatus {
        service_id: uuid(service).to_string(),
        version: number.to_owned(),
        lifecycle: Lifecycle::Abgekuendigt as i32,
        abschaltung_am: "2027-05-01".to_owned(),
        ..VersionStatus::default()
    };
    Item::Body(Kind::VersionStatus, service, status.encode_to_vec().into())
}

/// Answers to some questions, in words: hits, their order, facets, and how words were taken.
fn answers(search: &Search) -> Vec<String> {
    let queries = [
        "hund",
        "steuer",
        "hundesteuer",
        "gewerbe anmelden",
        "anmeldung",
        "genehmigug",
        "99050",
        "baum katze",
        "umz",
    ];
    let lagen = vec!["Umzug".to_owned()];
    let all = queries.iter().flat_map(|query| {
        let plain = query_of(query);
        [SearchServicesRequest { lagen: lagen.clone(), ..plain.clone() }, plain]
    });
    let mut all: Vec<_> = all.map(|request| format!("{:?}", ask(search, &request))).collect();
    let everything = SearchAsk::parse_browse(&query_of("")).unwrap();
    all.push(format!("{:?}", search.search(&everything).unwrap().0));
    for prefix in ["hu", "gewerbe", "anmeldnug"] {
        let request = SuggestRequest { prefix: prefix.to_owned(), ..Default::default() };
        let found = search.suggest(&SearchAsk::parse_suggest(&request).unwrap()).unwrap();
        all.push(format!("{found:?}"));
    }
    all
}

const NAMES: [&str; 8] = [
    "Hundesteuer",
    "Gewerbeanmeldung",
    "Gewerbe Anmeldung",
    "Baumfällgenehmigung",
    "Steuer",
    "Genehmigung für Hunde",
    "Anmeldung",
    "Gewerbesteuer",
];

fn step(land: Land, what: u8, service: u8) -> Item {
    let name = NAMES[usize::from(what) % NAMES.len()];
    match what {
        0..16 => {
            let lage = if what < 8 { "Umzug" } else { "Tierhaltung" };
            define(service, land, name, "99050012104000", lage)
        }
        16..18 => Item::Release(service, if what == 16 { "1.0.0" } else { "2.0.0" }),
        18 => deprecate(service, "2.0.0"),
        19 => withdraw(service, "2.0.0"),
        _ => Item::Other(service),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_interleaving_of_all_logs_gives_the_same_search_results(
        steps in prop::collection::vec((0..3_usize, 0..22_u8, 0..5_u8, any::<bool>()), 1..50),
    ) {
        let laender = [Land::HE, Land::RP, Land::SL];
        let journals = laender.map(MemoryJournal::of);
        let mut grown = Bench::over(&journals);
        let mut offers = Vec::new();
        for (at, what, service, look) in &steps {
            let (land, next) = (laender[*at], laender[(*at + 1) % 3]);
            let found = offers.iter().rev().find(|(of, _)| of == service);
            let item = match (what, found) {
                (20, _) => offer(*service, land, next),
                (21, Some((_, leaf))) => take(*service, leaf),
                _ => step(land, *what, *service),
            };
            journals[*at].append(&[item]);
            if *what == 20 {
                offers.extend(journals[*at].leaves().pop().map(|leaf| (*service, leaf)));
            }
            if *look {
                grown.follow(&journals);
            }
        }
        grown.follow(&journals);
        let fresh = Bench::over(&journals);
        prop_assert_eq!(answers(grown.search()), answers(fresh.search()));
        // one log after the other, each in one go, in the other direction
        let others = laender.map(MemoryJournal::of);
        let mut other = Bench::over(&others);
        for (to, from) in others.iter().zip(&journals).rev() {
            to.extend(&from.entries());
            other.follow(&others);
        }
        prop_assert_eq!(answers(other.search()), answers(fresh.search()));
    }
}

#[test]
fn a_search_rests_on_one_cut() {
    let journal = MemoryJournal::of(Land::SL);
    journal.append(&[define(1, Land::SL, "Hundesteuer", "99000000000001", "Umzug")]);
    let mut bench = Bench::over(std::slice::from_ref(&journal));
    journal.append(&[
        define(1, Land::SL, "Katzensteuer", "99000000000001", "Umzug"),
        define(2, Land::SL, "Pferdesteuer", "99000000000001", "Umzug"),
    ]);
    bench.folder.notifier().notify();
    wait_folded(&bench.index, &journal);
    // folded, and not yet searched: the old index with the old names
    assert_eq!(bench.names("steuer"), ["Hundesteuer"]);
    assert_eq!(bench.search().cut().unwrap().size(journal.log), 1);
    bench.follow(std::slice::from_ref(&journal));
    assert_eq!(bench.names("steuer"), ["Katzensteuer", "Pferdesteuer"]);
    assert_eq!(bench.names("hunde "), Vec::<String>::new());
}

#[test]
fn a_rebuild_on_demand_refuses_until_it_is_done_and_gives_the_same() {
    let journals = demo();
    let mut bench = Bench::over(&journals);
    let before = answers(bench.search());
    let (generation, _) = bench.index.readable().unwrap();
    bench.folder.notifier().rebuild();
    eventually(|| bench.index.still(generation).is_err());
    wait_open(&bench.index);
    let request = SearchAsk::parse(&query_of("hund")).unwrap();
    match bench.search().search(&request) {
        Err(Reject::Unavailable { reason: "SEARCH_REBUILDING", .. }) => {}
        other => panic!("{other:?}"),
    }
    bench.follow(&journals);
    assert_eq!(answers(bench.search()), before);
}

#[test]
fn a_search_that_is_not_built_yet_refuses() {
    let (index, _folder) = folded(&[]);
    let work = Work::new(index, Place::Memory);
    let request = SearchAsk::parse(&query_of("hund")).unwrap();
    match work.search().search(&request) {
        Err(Reject::Unavailable { reason: "SEARCH_REBUILDING", description }) => {
            assert!(description.contains("the node starts"), "{description}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_erased_is_no_hit_before_the_index_follows_either() {
    let journal = MemoryJournal::of(Land::SL);
    let named = [
        (1, "Antrag bei Zebrafink"),
        (2, "Antrag beim Amt"),
        (3, "Antrag ohne Namen"),
        (3, "Antrag von Zebrafink"),
        (4, "Anzeige"),
    ];
    for (service, name) in named {
        journal.append(&[define(service, Land::SL, name, "99000000000001", "")]);
    }
    let mut bench = Bench::over(std::slice::from_ref(&journal));
    let seen = |bench: &Bench, query: &str, offset: u32| {
        let answer = bench.ask(&SearchServicesRequest { offset, ..query_of(query) });
        let land = answer.facets.iter().find(|it| it.name == "land").map_or(0, |it| it.count);
        (answer.services.len(), answer.total, land)
    };
    let all = |bench: &Bench| {
        [("zebrafink", 0), ("antrag", 0), ("antrag", 1)].map(|(it, at)| seen(bench, it, at))
    };
    assert_eq!(all(&bench), [(2, 2, 2), (3, 3, 3), (2, 3, 3)]);
    let erase = |index: u64, service: u8| {
        let leaf_hash =
            journal.leaves()[usize::try_from(index).unwrap()].as_bytes().to_vec().into();
        let said = Erasure { index, leaf_hash, grund: "Widerruf".to_owned(), epoch: 0 };
        journal.append(&[Item::Body(Kind::Erasure, service, said.encode_to_vec().into())]);
    };
    // all of one service, and of another what it was called last
    erase(0, 1);
    erase(3, 3);
    bench.folder.notifier().notify();
    wait_folded(&bench.index, &journal);
    assert_eq!(all(&bench), [(0, 0, 0), (1, 1, 1), (0, 1, 1)]);
    // as what was never there
    assert_eq!(bench.ask(&query_of("zebrafink")), bench.ask(&query_of("quastenflosser")));
    let typed = SuggestRequest { prefix: "zebra".to_owned(), ..SuggestRequest::default() };
    let suggest = |bench: &Bench| {
        bench.search().suggest(&SearchAsk::parse_suggest(&typed).unwrap()).unwrap().len()
    };
    assert_eq!(suggest(&bench), 0);
    bench.follow(std::slice::from_ref(&journal));
    assert_eq!(all(&bench), [(0, 0, 0), (2, 2, 2), (1, 2, 2)]);
    assert_eq!(suggest(&bench), 0);
}

#[test]
fn the_thread_follows_what_is_folded() {
    let journal = MemoryJournal::of(Land::SL);
    let (index, folder) = folded(std::slice::from_ref(&journal));
    let (search, _follower) = Follower::start_at(index, Place::Memory).unwrap();
    let shows = |size: u64| {
        eventually(|| search.cut().is_some_and(|cut| cut.size(journal.log) == size));
    };
    shows(0);
    for service in 1..4 {
        let size = journal.append(&[define(service, Land::SL, "Steuer", "99000000000001", "")]);
        folder.notifier().notify();
        shows(size);
        assert_eq!(ask(&search, &query_of("steuer")).total, u32::from(service));
    }
}

/// Opens a search on disk over journals; true if it had to be built.
fn on_disk(dir: &Path, journals: &[MemoryJournal]) -> (Vec<String>, bool) {
    let set = Journals::default();
    for journal in journals {
        set.insert(journal.log, Arc::new(journal.clone()));
    }
    let index = Index::new(Store::in_memory(FOLD_VERSION).unwrap(), set, Keeper::in_memory(100));
    let folder = Folder::start(index.clone(), &OpenOutcome::New, None).unwrap();
    wait_open(&index);
    // a file of the old index that a new one does not have
    let mark = dir.join("mark");
    if dir.exists() {
        std::fs::write(&mark, "old").unwrap();
    }
    let work = Work::new(index.clone(), Place::Disk(dir.to_owned()));
    let mut bench = Bench { work, index, folder };
    bench.follow(journals);
    (answers(bench.search()), !mark.exists())
}

#[test]
fn an_index_on_disk_is_used_again_and_built_anew_in_any_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("search");
    let journals = [Land::SL, Land::RP].map(MemoryJournal::of);
    for (n, journal) in (0..20).zip(journals.iter().cycle()) {
        journal.append(&[step(journal.log.land, n, n % 5)]);
    }
    let (first, built) = on_disk(&path, &journals);
    assert!(built, "there was none");
    assert_eq!(on_disk(&path, &journals), (first.clone(), false), "opened again");
    journals[0].append(&[step(Land::SL, 3, 4)]);
    let (grown, built) = on_disk(&path, &journals);
    assert!(!built && grown != first, "grown while closed");
    let (fresh, _) = on_disk(&dir.path().join("other"), &journals);
    assert_eq!(grown, fresh, "as if it were new");

    let segments = std::fs::read_dir(&path).unwrap().map(|it| it.unwrap().path());
    let damaged = segments.filter(|it| it.extension().is_some_and(|it| it == "term"));
    for file in damaged {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[0] ^= 0xff;
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bytes).unwrap();
    }
    assert_eq!(on_disk(&path, &journals), (fresh.clone(), true), "damaged");
    std::fs::write(path.join("meta.json"), "{").unwrap();
    assert_eq!(on_disk(&path, &journals), (fresh.clone(), true), "torn");
    // the journals were restored from elsewhere
    let others = [Land::SL, Land::RP].map(MemoryJournal::of);
    for journal in &others {
        for n in 0..30 {
            journal.append(&[step(journal.log.land, 4, n % 3)]);
        }
    }
    let (other, built) = on_disk(&path, &others);
    assert!(built && other != fresh, "another journal");
}

#[test]
fn hostile_queries_are_answered() {
    let bench = Bench::over(&demo());
    let long = "x".repeat(500);
    let many = "a ".repeat(250);
    let prefixes = "ge ".repeat(160);
    for query in [
        long.as_str(),
        &many,
        &prefixes,
        "\u{0}x",
        "+-&&||!(){}[]^\"~*?:\\/ a",
        "für",
        "der die das",
        "κατάλογος",
        "漢字",
        "ǅ",
        "ﬁ",
        "0",
        "𝔘𝔫𝔦",
        "a\u{308}\u{308}\u{308}",
        "\u{10ffff}a",
        "title:x AND *",
        "ﷺ",
    ] {
        let _ = bench.ask(&query_of(query));
        let request = SuggestRequest { prefix: query.to_owned(), ..Default::default() };
        let _ = bench.search().suggest(&SearchAsk::parse_suggest(&request).unwrap()).unwrap();
    }
}

#[test]
fn versions_of_a_service_change_its_status() {
    let journal = MemoryJournal::of(Land::SL);
    journal.append(&[define(1, Land::SL, "Steuer", "99000000000001", "")]);
    let mut bench = Bench::over(std::slice::from_ref(&journal));
    let status = |bench: &Bench| {
        let answer = bench.ask(&query_of("steuer"));
        let facet = answer.facets.into_iter().find(|it| it.name == "status");
        facet.map(|it| it.value).unwrap_or_default()
    };
    assert_eq!(status(&bench), "ohne_version");
    let version = ServiceVersion {
        service_id: uuid(1).to_string(),
        version: "1.0.0".to_owned(),
        lifecycle: 3,
        ..ServiceVersion::default()
    };
    journal.append(&[Item::Body(Kind::ServiceVersion, 1, version.encode_to_vec().into())]);
    bench.follow(std::slice::from_ref(&journal));
    assert_eq!(status(&bench), "abgekuendigt");
    journal.append(&[Item::Release(1, "1.1.0")]);
    bench.follow(std::slice::from_ref(&journal));
    assert_eq!(status(&bench), "freigegeben");
    // what the owner says after the publication counts
    for (said, expect) in [
        (deprecate(1, "1.0.0"), "freigegeben"),
        (deprecate(1, "1.1.0"), "abgekuendigt"),
        (withdraw(1, "1.1.0"), "zurueckgezogen"),
        (deprecate(1, "1.1.0"), "zurueckgezogen"),
    ] {
        journal.append(&[said]);
        bench.follow(std::slice::from_ref(&journal));
        assert_eq!(status(&bench), expect);
    }
}

#[test]
fn a_move_that_is_held_changes_a_status_when_it_is_accepted() {
    let journal = MemoryJournal::of(Land::SL);
    for service in 1..=30 {
        journal.append(&[
            define(service, Land::SL, "Steuer", "99000000000001", ""),
            Item::Release(service, "1.0.0"),
        ]);
    }
    let journals = [journal];
    let (index, folder) = folded_with(&journals, Keeper::in_memory(20));
    let mut bench = Bench { work: Work::new(index.clone(), Place::Memory), index, folder };
    bench.follow(&journals);
    let withdrawn = |bench: &Bench| {
        let status = vec!["zurueckgezogen".to_owned()];
        bench.ask(&SearchServicesRequest { status, ..query_of("steuer") }).total
    };
    journals[0].append(&(1..=30).map(|service| withdraw(service, "1.0.0")).collect::<Vec<_>>());
    bench.follow(&journals);
    assert!(!bench.index.keeper().held().is_empty(), "the guard holds what is too much");
    assert_eq!(withdrawn(&bench) as usize + bench.index.keeper().held().len(), 30);
    bench.index.keeper().accept(journals[0].log).unwrap();
    bench.follow(&journals);
    assert_eq!(withdrawn(&bench), 30);
}

#[test]
fn without_words_all_come_by_name() {
    let (sl, rp) = (MemoryJournal::of(Land::SL), MemoryJournal::of(Land::RP));
    sl.append(&[define(1, Land::SL, "Zollanmeldung", "99000000000001", "Umzug")]);
    rp.append(&[define(2, Land::RP, "Öffnungszeiten", "99000000000002", "Umzug")]);
    // another segment of the index, with an alphabet of its own
    let journals = [sl, rp];
    let mut bench = Bench::over(&journals);
    journals[0].append(&[
        define(3, Land::SL, "Ofenabnahme", "99000000000003", ""),
        define(4, Land::SL, "Pacht", "99000000000003", "Umzug"),
    ]);
    bench.follow(&journals);
    let names = |request: &SearchServicesRequest| -> Vec<String> {
        let ask = SearchAsk::parse_browse(request).unwrap();
        let found = bench.search().search(&ask).unwrap().0;
        found.services.into_iter().map(|it| it.bezeichnung).collect()
    };
    let all = ["Ofenabnahme", "Öffnungszeiten", "Pacht", "Zollanmeldung"];
    assert_eq!(names(&query_of("")), all);
    assert_eq!(names(&SearchServicesRequest { offset: 1, limit: 2, ..query_of("") }), all[1..3]);
    let lagen = vec!["Umzug".to_owned()];
    assert_eq!(names(&SearchServicesRequest { lagen, ..query_of("") }), all[1..]);
    assert!(SearchAsk::parse(&query_of("")).is_err(), "a caller says what is looked for");
    assert!(SearchAsk::parse_browse(&query_of("--")).is_err());
}

#[test]
fn a_service_that_moves_is_found_once_under_its_owner() {
    let [from, to] = [Land::SL, Land::HE].map(MemoryJournal::of);
    from.append(&[define(1, Land::SL, "Hundesteuer", "99000000000001", "")]);
    from.append(&[offer(1, Land::SL, Land::HE)]);
    let journals = [from, to];
    let mut bench = Bench::over(&journals);
    let found = |bench: &Bench| {
        let services = bench.ask(&query_of("hundesteuer")).services;
        services.into_iter().map(|it| it.land).collect::<Vec<_>>()
    };
    assert_eq!(found(&bench), ["SL"]);
    journals[1].append(&[take(1, &journals[0].leaves()[1])]);
    bench.follow(&journals);
    assert_eq!(found(&bench), ["HE"]);
    assert_eq!(found(&Bench::over(&journals)), ["HE"]);
    // its definition is that of the former owner until it has made one
    journals[1].append(&[define(1, Land::HE, "Baumpflege", "99000000000001", "")]);
    bench.follow(&journals);
    assert!(found(&bench).is_empty(), "{:?}", bench.names("hundesteuer"));
    assert_eq!(bench.names("baumpflege"), ["Baumpflege"]);
}
