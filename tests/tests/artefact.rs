//! Files of versions between real processes: sent in chunks, replicated apart from the logs,
//! verified, resumed, repaired, and collected.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use registry_client::{
    Client,
    artefact::{Pulled, describe},
};
use registry_proto::{
    artefact::{CHUNK_BYTES, Layout},
    log::Hash,
    terms::Land::{self, RP, SL, TH},
    wire::registry::{ArtefactFetch, ArtefactState, Artefakt},
};
use registry_tests::{
    cluster::{Cluster, Who, eventually, keep_links},
    records::{definition, request, service_id, version},
};

const LIMIT: Duration = Duration::from_secs(60);

//     SL - RP - TH       all fetch everything; TH is down until SL has stopped
#[tokio::test(flavor = "multi_thread")]
async fn a_file_reaches_a_land_from_a_relay_although_its_owner_stopped() {
    let laender = [SL, RP, TH];
    let mut cluster = Cluster::prepare(&laender, &[(SL, RP), (RP, TH)]);
    // one that dials TH would wait for its answer
    keep_links(&cluster.prepared().config(RP), RP, &[(SL, RP)]);
    laender.into_iter().for_each(|land| configure(&cluster, land, "fetch = \"all\""));
    cluster.run(SL);
    cluster.run(RP);
    cluster.wait_open(&[SL, RP]).await;

    let (file, data) = file(&cluster, "ablauf.awml", 20 << 20);
    let pushed = registry(&cluster, SL, &["artefact", "push", &path(&file), "-o", "json"]);
    assert!(pushed.status.success(), "{pushed:?}");
    let pushed = String::from_utf8(pushed.stdout).expect("text");
    assert!(pushed.contains("\"typ\": \"awml\"") && pushed.contains("\"20971520\""), "{pushed}");
    let (descriptor, layout) = descriptor(&file);
    publish(&cluster, &descriptor).await.expect("published");
    complete(&cluster, RP, &layout).await;

    cluster.terminate(SL, LIMIT).await;
    cluster.run(TH);
    cluster.wait_open(&[TH]).await;
    complete(&cluster, TH, &layout).await;

    let into = cluster.dir().join("geholt");
    fs::create_dir(&into).expect("directory");
    let service = service_id(1);
    let pull = ["artefact", "pull", "--service", &service, "--version", "1.0.0"];
    let pulled = registry(&cluster, TH, &[&pull[..], &["--to", &path(&into)]].concat());
    assert!(pulled.status.success(), "{pulled:?}");
    assert!(fs::read(into.join("ablauf.awml")).expect("file") == data);
    let digest = layout.sha256().to_string();
    let other = into.join("anders.awml");
    let pull = ["artefact", "pull", "--digest", &digest, "--to", &path(&other)];
    assert!(registry(&cluster, TH, &pull).status.success());
    assert!(fs::read(other).expect("file") == data);
    let listed = registry(&cluster, TH, &["artefact", "list", &service, "1.0.0"]);
    let listed = String::from_utf8(listed.stdout).expect("text");
    assert!(listed.contains("vollständig") && listed.contains(&digest), "{listed}");
    let metrics = cluster.metrics(TH).await;
    assert!(
        metrics.contains("registry_artefact_chunks_stored_total{by=\"partner\"} 3"),
        "{metrics}"
    );
}

//     SL - RP        RP fetches nothing
#[tokio::test(flavor = "multi_thread")]
async fn a_version_waits_for_its_file_and_a_transfer_goes_on_where_it_broke() {
    let mut cluster = Cluster::prepare(&[SL, RP], &[(SL, RP)]);
    configure(&cluster, RP, "fetch = \"none\"");
    cluster.run(SL);
    cluster.run(RP);
    cluster.wait_open(&[SL, RP]).await;
    let (file, data) = file(&cluster, "antrag.pdf", CHUNK_BYTES as usize + 1_000_000);
    let (descriptor, layout) = descriptor(&file);

    let refused = publish(&cluster, &descriptor).await.expect_err("not stored").to_string();
    assert!(refused.contains("artefakte[0]"), "{refused}");
    assert!(refused.contains("registry artefact push"), "{refused}");

    // as after an interruption: one chunk is there
    let client = cluster.client(SL, Who::Publisher(SL)).await.expect("connected");
    let (last, _) = layout.chunks().last().expect("two chunks");
    let end = bytes::Bytes::copy_from_slice(&data[CHUNK_BYTES as usize..]);
    assert!(!client.push_chunk(&last, end.clone()).await.expect("stored"));
    assert!(client.push_chunk(&last, end.clone()).await.expect("stored"));
    let wrong = client.push_chunk(&Hash::of(b"other"), end).await.expect_err("another digest");
    assert!(wrong.to_string().contains("are not those of"), "{wrong}");
    let reader = cluster.client(SL, Who::Reader).await.expect("connected");
    let denied = reader.push_chunk(&last, bytes::Bytes::from_static(b"x")).await;
    assert!(denied.expect_err("a reader").to_string().contains("PermissionDenied"));
    let pushed = registry(&cluster, SL, &["artefact", "push", &path(&file)]);
    let (shown, told) = (text(&pushed.stdout), text(&pushed.stderr));
    assert!(pushed.status.success() && shown.contains("typ: pdf"), "{pushed:?}");
    assert!(told.contains("davon 1000000 schon dort"), "{told}");
    publish(&cluster, &descriptor).await.expect("published");

    // half of the first chunk lies there, and what follows is of another file
    let target = cluster.dir().join("kopie.pdf");
    fs::write(cluster.dir().join("kopie.pdf.teil"), &data[..3_000_000]).expect("written");
    let (skipped, moved) = pull(&reader, &layout, &target).await;
    assert_eq!((skipped, moved), (3_000_000, layout.bytes() - 3_000_000));
    assert!(fs::read(&target).expect("file") == data);
    let again = reader.pull_file(&layout, &target, &mut |_| ()).await.expect("there");
    assert_eq!(again, Pulled::Unchanged);
    let target = cluster.dir().join("noch-eine.pdf");
    let mut mixed = data.clone();
    mixed[CHUNK_BYTES as usize + 5] ^= 1;
    fs::write(cluster.dir().join("noch-eine.pdf.teil"), &mixed).expect("written");
    let (skipped, moved) = pull(&reader, &layout, &target).await;
    assert_eq!((skipped, moved), (CHUNK_BYTES.into(), 1_000_000));
    assert!(fs::read(&target).expect("file") == data);

    // who does not have it says who does
    eventually(LIMIT, "RP knows of it", async || state(&cluster, RP, &layout).await.is_some())
        .await;
    let known = state(&cluster, RP, &layout).await.expect("known");
    assert_eq!((known.fetch(), known.laender), (ArtefactFetch::NotWanted, vec!["SL".to_owned()]));
    let elsewhere = cluster.client(RP, Who::Reader).await.expect("connected");
    let refused = elsewhere.pull_chunk(&last, 0).await.expect_err("not here").to_string();
    assert!(refused.contains("nodes of SL published it"), "{refused}");
}

//     SL - RP        RP fetches everything; a chunk at SL is damaged
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chunk_is_noticed_and_fetched_again() {
    let mut cluster = Cluster::prepare(&[SL, RP], &[(SL, RP)]);
    configure(&cluster, RP, "fetch = \"all\"");
    cluster.run(SL);
    cluster.run(RP);
    cluster.wait_open(&[SL, RP]).await;
    let (file, data) = file(&cluster, "plan.bpmn", 100_000);
    let (descriptor, layout) = descriptor(&file);
    let client = cluster.client(SL, Who::Publisher(SL)).await.expect("connected");
    client.push_file(&file, &layout, &mut |_| ()).await.expect("sent");
    publish(&cluster, &descriptor).await.expect("published");
    complete(&cluster, RP, &layout).await;

    let (chunk, _) = layout.chunks().next().expect("a chunk");
    let name = chunk.to_string();
    let stored = cluster.home(SL).join("data/artefacts/chunks").join(&name[..2]).join(&name);
    let mut damaged = data.clone();
    damaged[7] ^= 1;
    fs::write(&stored, &damaged).expect("damaged");
    let refused = client.pull_chunk(&chunk, 0).await.expect_err("damaged").to_string();
    assert!(refused.contains("is not stored at this node"), "{refused}");
    cluster.saw(SL, "registry_artefact_chunks_damaged_total", &["damaged", &name]).await;
    // the log of RP goes on, and SL takes it
    let mut meanwhile = request(vec![definition(&service_id(2), "Dienst 2")], vec![]);
    meanwhile.ack_peers = 1;
    cluster.publish(RP, meanwhile).await.expect("published");
    complete(&cluster, SL, &layout).await;
    assert!(fs::read(&stored).expect("stored") == data);

    // nothing is old enough to go, and what a version names never goes
    let collect = |dry: bool| {
        let dry: &[&str] = if dry { &["--dry-run"] } else { &[] };
        let endpoint = format!("https://{}", cluster.bound(SL).admin);
        let args = [&["artefact", "collect", "-o", "json", "--endpoint", &endpoint], dry].concat();
        let output = cluster.registry(SL, Who::Operator(SL), &args).output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        text(&output.stdout)
    };
    client
        .push_chunk(&Hash::of(b"orphan"), bytes::Bytes::from_static(b"orphan"))
        .await
        .expect("sent");
    for told in [collect(true), collect(false)] {
        assert!(told.contains("\"chunks\": 2") && told.contains("\"unreferenced\": 1"), "{told}");
        assert!(told.contains("\"kept\": 1") && told.contains("\"removed\": 0"), "{told}");
    }
}

/// Receives a file; bytes that were there and bytes that came.
async fn pull(client: &Client, layout: &Layout, target: &Path) -> (u64, u64) {
    use registry_client::artefact::Step;
    let (mut skipped, mut moved) = (0, 0);
    let mut step = |step| match step {
        Step::Skipped(bytes) => skipped += bytes,
        Step::Moved(bytes) => moved += bytes,
        Step::Read(_) | Step::Undone(_) | Step::Broken => {}
    };
    let pulled = client.pull_file(layout, target, &mut step).await.expect("received");
    assert_eq!(pulled, Pulled::Received);
    (skipped, moved)
}

async fn publish(
    cluster: &Cluster,
    descriptor: &Artefakt,
) -> Result<(), registry_client::ClientError> {
    let id = service_id(1);
    let mut version = version(&id, "1.0.0", "mit Datei");
    version.artefakte = vec![descriptor.clone()];
    cluster.publish(SL, request(vec![definition(&id, "Dienst")], vec![version])).await.map(|_| ())
}

async fn state(cluster: &Cluster, land: Land, layout: &Layout) -> Option<ArtefactState> {
    let client = cluster.client(land, Who::Reader).await.ok()?;
    client.stat_artefacts(&[layout.sha256()]).await.ok()?.pop()
}

/// Waits until a node has all of an artefact.
async fn complete(cluster: &Cluster, land: Land, layout: &Layout) {
    eventually(LIMIT, &format!("{land} has it\n{}", cluster.stderr(land)), async || {
        let state = state(cluster, land, layout).await;
        state.is_some_and(|it| it.fetch() == ArtefactFetch::Complete)
    })
    .await;
}

fn registry(cluster: &Cluster, land: Land, args: &[&str]) -> Output {
    let who = if land == SL { Who::Publisher(SL) } else { Who::Reader };
    cluster.registry(land, who, args).output().expect("runs")
}

/// Adds `[artefacts]` to a configuration.
fn configure(cluster: &Cluster, land: Land, keys: &str) {
    let path = cluster.prepared().config(land);
    let text = fs::read_to_string(&path).expect("configuration");
    fs::write(&path, format!("{text}\n[artefacts]\n{keys}\n")).expect("configuration");
}

/// A file whose chunks all differ.
fn file(cluster: &Cluster, name: &str, bytes: usize) -> (PathBuf, Vec<u8>) {
    let data: Vec<u8> = (0..bytes).map(|at| ((at * 31) ^ (at >> 11) ^ (at >> 19)) as u8).collect();
    let path = cluster.dir().join(name);
    fs::write(&path, &data).expect("written");
    (path, data)
}

fn descriptor(file: &Path) -> (Artefakt, Layout) {
    let layout = describe(file, &mut |_| ()).expect("digests");
    let raw = |hash: Hash| hash.as_bytes().to_vec().into();
    let name = file.file_name().expect("name").to_string_lossy().into_owned();
    let descriptor = Artefakt {
        name,
        typ: "andere".to_owned(),
        medientyp: "application/octet-stream".to_owned(),
        bytes: layout.bytes(),
        sha256: raw(layout.sha256()),
        chunks: layout.chunks().map(|(chunk, _)| raw(chunk)).collect(),
    };
    (descriptor, layout)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
