//! Erasure between real processes: what an operator erases is gone from every file of every Land,
//! confirmed by each, and the tree still verifies.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use registry_client::artefact::describe;
use registry_proto::{
    log::Hash,
    terms::Land::{self, HE, RP, SL, TH},
    wire::registry::{Artefakt, GetServiceRequest, LogPosition, SearchServicesRequest},
};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    records::{definition, request, service_id, version},
    traces::{confirmed, files, files_with, place},
};

const LIMIT: Duration = Duration::from_secs(90);
/// In a definition: also in the facts and in the full-text index.
const IN_NAME: &str = "Zebrafinkenmeier";
/// In a version.
const IN_NOTE: &str = "Kuckuckswalderin";
/// In a file of that version.
const IN_FILE: &str = "Nachtigallenhuberin";
const MARKERS: [&str; 3] = [IN_NAME, IN_NOTE, IN_FILE];

//     SL - RP - HE - TH      TH is not there until everything is erased
#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_gone_from_every_file_of_every_land_and_the_tree_still_verifies() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE, TH], &[(SL, RP), (RP, HE), (HE, TH)]);
    for land in [SL, RP, HE, TH] {
        let path = cluster.prepared().config(land);
        let text = fs::read_to_string(&path).expect("configuration");
        fs::write(&path, format!("{text}\n[artefacts]\nfetch = \"all\"\n")).expect("written");
    }
    [SL, RP, HE].into_iter().for_each(|land| cluster.run(land));
    cluster.wait_open(&[SL, RP, HE]).await;
    let (erased, digest) = publish(&cluster).await;
    for land in [SL, RP, HE] {
        holds(&cluster, land, &digest).await;
    }
    let segments: Vec<_> = [SL, RP, HE].map(|land| segments(&cluster, land)).into();

    refusals(&cluster, &erased).await;
    let places: Vec<String> = erased.iter().map(place).collect();
    let args = [&["erase", "entry"][..], &[&places[0], "--grund", "Widerruf"]].concat();
    let (fine, text) = registry(&cluster, SL, Who::Operator(SL), &args);
    assert!(fine && text.contains("Gelöscht"), "{text}");
    let args = ["erase", "version", &service_id(1), "1.0.0", "--grund", "Widerruf"];
    let (fine, text) = registry(&cluster, SL, Who::Operator(SL), &args);
    assert!(fine, "{text}");

    for (at, land) in [SL, RP, HE].into_iter().enumerate() {
        for entry in &erased {
            confirmed(&cluster, land, entry, &[SL, RP, HE], &[TH]).await;
        }
        nowhere(&cluster, land);
        // its document store is compressed: what held the words must be gone as a file
        let common: Vec<_> =
            self::segments(&cluster, land).intersection(&segments[at]).cloned().collect();
        assert!(common.is_empty(), "{land} {common:?}");
        still_verifies(&cluster, land, &places);
        shows(&cluster, land).await;
    }
    // a second time there is nothing to erase
    let args = ["erase", "entry", &places[0], "--grund", "Widerruf"];
    let (fine, text) = registry(&cluster, SL, Who::Operator(SL), &args);
    assert!(!fine && text.contains("schon gelöscht"), "{text}");

    // as it is after a restart
    for land in [SL, RP, HE] {
        cluster.kill(land);
        cluster.run(land);
    }
    cluster.wait_open(&[SL, RP, HE]).await;
    for land in [SL, RP, HE] {
        nowhere(&cluster, land);
        still_verifies(&cluster, land, &places);
        shows(&cluster, land).await;
    }
    // an empty disk catches up at a relay, which has no bodies to give
    cluster.run(TH);
    cluster.wait_open(&[TH]).await;
    for entry in &erased {
        confirmed(&cluster, TH, entry, &[SL, RP, HE, TH], &[]).await;
        confirmed(&cluster, SL, entry, &[SL, RP, HE, TH], &[]).await;
    }
    nowhere(&cluster, TH);
    still_verifies(&cluster, TH, &places);
    shows(&cluster, TH).await;
}

//     SL - RP       both die again and again while bodies are erased
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_time_ends_with_everything_erased() {
    let mut cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    for round in 0..4 {
        let (id, other) = (service_id(100 + round), format!("Rotkehlchenmaier{round}"));
        let first = request(vec![definition(&id, &other)], vec![]);
        let published = cluster.publish(SL, first).await.expect("published");
        let entry = published.records[0].position.clone().expect("a position");
        let again = request(vec![definition(&id, "Ohne Namen")], vec![]);
        cluster.publish(SL, again).await.expect("published");
        eventually(LIMIT, "RP holds it", async || found(&cluster.home(RP), &other) > 0).await;
        let args = ["erase", "entry", &place(&entry), "--grund", "Widerruf"];
        let (fine, text) = registry(&cluster, SL, Who::Operator(SL), &args);
        assert!(fine, "{text}");
        // at once, and a little later each time
        for _ in 0..round * 3 {
            registry_tests::cluster::pause().await;
        }
        for land in [SL, RP] {
            cluster.kill(land);
            cluster.run(land);
        }
        cluster.wait_open(&[SL, RP]).await;
        confirmed(&cluster, SL, &entry, &[SL, RP], &[]).await;
        for land in [SL, RP] {
            let home = cluster.home(land);
            assert_eq!(found(&home, &other), 0, "{land} round {round}");
        }
    }
}

//     SL - RP
#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_erased_with_all_that_was_said_of_it_and_the_service_stays() {
    let cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    let id = service_id(1);
    let first = request(vec![definition(&id, "Antrag")], vec![version(&id, "1.0.0", "eins")]);
    cluster.publish(SL, first).await.expect("published");
    let names = ["Amselmeierin", "Drosselhuber", "Finkenwald"];
    let set = |rolle: &str, name: &str, email: &str| {
        let args = ["kontakt", "setzen", &id, "--rolle", rolle, "--stelle", "Referat 12"];
        let args = [&args[..], &["--name", name, "--email", email]].concat();
        registry(&cluster, SL, Who::Publisher(SL), &args)
    };
    // twice the same role, so that an older one could come back
    for (rolle, name) in [("fachlich", names[0]), ("technisch", names[2]), ("fachlich", names[1])] {
        let (fine, text) = set(rolle, name, &format!("{}@amt.example", name.to_lowercase()));
        assert!(fine && text.contains("registry erase kontakt"), "{text}");
    }
    let (fine, text) = set("fachlich", "Niemand", "keine Adresse");
    assert!(!fine && text.contains("E-Mail"), "{text}");
    let foreign =
        ["kontakt", "setzen", &id, "--rolle", "fachlich", "--stelle", "x", "--email", "a@b.c"];
    let (fine, text) = registry(&cluster, RP, Who::Publisher(RP), &foreign);
    assert!(!fine, "{text}");

    let shown = |land: Land| registry(&cluster, land, Who::Reader, &["kontakt", "zeigen", &id]).1;
    for land in [SL, RP] {
        eventually(LIMIT, &format!("{land} shows the newest of each role"), async || {
            let text = shown(land);
            text.contains(names[1]) && text.contains(names[2]) && !text.contains(names[0])
        })
        .await;
        let text = registry(&cluster, land, Who::Reader, &["service", "show", &id]).1;
        assert!(text.contains(names[1]), "{text}");
    }
    let args = ["erase", "kontakt", &id, "--rolle", "fachlich", "--grund", "Widerruf"];
    let (fine, text) = registry(&cluster, SL, Who::Operator(SL), &args);
    // both entries of that role
    assert!(fine && text.matches("Kontakt").count() == 2, "{text}");
    let listed = cluster.client(SL, Who::Reader).await.expect("client").erasures(None, 0).await;
    for state in listed.expect("listed").erasures {
        let entry = state.entry.expect("an entry");
        confirmed(&cluster, SL, &entry, &[SL, RP], &[]).await;
    }
    for land in [SL, RP] {
        for name in &names[..2] {
            let files = files_with(&cluster.home(land), name);
            assert!(files.is_empty(), "{land} {name} {files:?}");
        }
        let text = shown(land);
        assert!(text.contains(names[2]) && !text.contains(names[0]), "{text}");
        assert!(!text.contains(names[1]), "{text}");
        let text = registry(&cluster, land, Who::Reader, &["version", "show", &id, "1.0.0"]).1;
        assert!(text.contains("eins"), "{text}");
    }
}

/// A service that names a person, a version with a file that does, and a corrected definition. The
/// entries to be erased, and the digest of the file.
async fn publish(cluster: &Cluster) -> (Vec<LogPosition>, Hash) {
    let file = cluster.dir().join("ablauf.awml");
    fs::write(&file, format!("{IN_FILE} ist Ansprechpartnerin.")).expect("written");
    let pushed = registry(cluster, SL, Who::Publisher(SL), &["artefact", "push", text(&file)]);
    assert!(pushed.0, "{}", pushed.1);
    let layout = describe(&file, &mut |_| ()).expect("digests");
    let raw = |hash: Hash| hash.as_bytes().to_vec().into();
    let artefakt = Artefakt {
        name: "ablauf.awml".to_owned(),
        typ: "andere".to_owned(),
        medientyp: "application/octet-stream".to_owned(),
        bytes: layout.bytes(),
        sha256: raw(layout.sha256()),
        chunks: layout.chunks().map(|(chunk, _)| raw(chunk)).collect(),
    };
    let id = service_id(1);
    let mut named = version(&id, "1.0.0", &format!("Fragen an Frau {IN_NOTE}"));
    named.artefakte = vec![artefakt];
    let first = request(vec![definition(&id, &format!("Antrag bei {IN_NAME}"))], vec![named]);
    let published = cluster.publish(SL, first).await.expect("published");
    let second = request(vec![definition(&id, "Antrag beim Amt")], vec![]);
    cluster.publish(SL, second).await.expect("published");
    let others = (2..40).map(|n| definition(&service_id(n), &format!("Anderer Dienst {n}")));
    cluster.publish(SL, request(others.collect(), vec![])).await.expect("published");
    let erased = published.records.iter().filter_map(|it| it.position.clone()).collect();
    (erased, layout.chunks().next().expect("a chunk").0)
}

/// Everything is there: in the log, in the search and in the store.
async fn holds(cluster: &Cluster, land: Land, chunk: &Hash) {
    eventually(LIMIT, &format!("{land} holds everything"), async || {
        let Ok(client) = cluster.client(land, Who::Reader).await else { return false };
        let query = "Antrag beim Amt".to_owned();
        let search = SearchServicesRequest { query, ..SearchServicesRequest::default() };
        let searched = client.search(search).await.is_ok_and(|it| it.total > 0);
        let chunk = chunk.to_string();
        let stored = cluster.home(land).join("data/artefacts/chunks").join(&chunk[..2]).join(chunk);
        searched && (stored.exists() || found(&cluster.home(land), IN_FILE) > 0)
    })
    .await;
    for marker in MARKERS {
        assert!(found(&cluster.home(land), marker) > 0, "{land} {marker}");
    }
}

/// Who may not, and what may not.
async fn refusals(cluster: &Cluster, erased: &[LogPosition]) {
    let first = place(&erased[0]);
    let current = LogPosition { index: 2, ..erased[0].clone() };
    let beyond = LogPosition { index: 9_999, ..erased[0].clone() };
    let (current, beyond) = (place(&current), place(&beyond));
    for (land, who, entry, expect) in [
        (SL, Who::Publisher(SL), &first, "operator"),
        (SL, Who::Reader, &first, "operator"),
        (RP, Who::Operator(RP), &first, "nur dieses Land"),
        (SL, Who::Operator(SL), &current, "der geltende Steckbrief"),
        (SL, Who::Operator(SL), &beyond, "SL/1/9999"),
    ] {
        let args = ["erase", "entry", entry, "--grund", "Widerruf"];
        let (fine, text) = registry(cluster, land, who, &args);
        assert!(!fine && text.contains(expect), "{entry} {text}");
    }
    let args = ["erase", "entry", &first, "--grund", "Widerruf", "--dry-run"];
    let (fine, text) = registry(cluster, SL, Who::Operator(SL), &args);
    assert!(fine && text.contains("nichts gelöscht"), "{text}");
    let listed = cluster.client(SL, Who::Reader).await.expect("client").erasures(None, 0).await;
    assert_eq!(listed.expect("listed").total, 0);
}

/// No file below the home of a node holds any of the markers.
fn nowhere(cluster: &Cluster, land: Land) {
    for marker in MARKERS {
        let files = files_with(&cluster.home(land), marker);
        assert!(files.is_empty(), "{land} {marker} {files:?}");
    }
}

fn still_verifies(cluster: &Cluster, land: Land, places: &[String]) {
    let charter = cluster.prepared().charter();
    for entry in places {
        let args = ["proof", entry, "--charter", text(&charter)];
        let (fine, shown) = registry(cluster, land, Who::Reader, &args);
        assert!(fine && shown.contains("Geprüft"), "{land} {shown}");
        assert!(shown.contains("liegt nicht bei"), "{land} {shown}");
    }
}

/// The catalogue shows the corrected definition, no version, and the search finds no marker.
async fn shows(cluster: &Cluster, land: Land) {
    eventually(LIMIT, &format!("{land} shows what is left"), async || {
        let Ok(client) = cluster.client(land, Who::Reader).await else { return false };
        let ask = GetServiceRequest { service_id: service_id(1), ..Default::default() };
        let Ok(answer) = client.service(ask).await else { return false };
        let Some(service) = answer.service else { return false };
        let query = IN_NAME.to_owned();
        let search = SearchServicesRequest { query, ..SearchServicesRequest::default() };
        let Ok(hits) = client.search(search).await else { return false };
        let name = service.definition.and_then(|it| it.bezeichnung.first().cloned());
        name.is_some_and(|it| it.text == "Antrag beim Amt")
            && service.version_count == 0
            && hits.services.iter().all(|it| !it.bezeichnung.contains(IN_NAME))
    })
    .await;
}

/// Files of segments of the full-text index.
fn segments(cluster: &Cluster, land: Land) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in files(&cluster.home(land)) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.parent().is_some_and(|it| it.ends_with("search")) && name.len() > 32 {
            names.insert(name);
        }
    }
    assert!(!names.is_empty(), "{land} has segments");
    names
}

fn found(dir: &Path, marker: &str) -> usize {
    files_with(dir, marker).len()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path")
}

fn registry(cluster: &Cluster, at: Land, who: Who, args: &[&str]) -> (bool, String) {
    let output = cluster.registry(at, who, args).output().expect("registry runs");
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&both).into_owned())
}
