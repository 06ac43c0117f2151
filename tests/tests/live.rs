//! A service published in one Land is seen in another within a second: measured with the real
//! command line against real processes.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use registry_proto::terms::Land::{self, HE, RP, SL, TH};
use registry_tests::cluster::{Cluster, Who, eventually};
use uuid::Uuid;

const ALL: [Land; 4] = [SL, RP, HE, TH];
const MESH: [(Land, Land); 6] = [(SL, RP), (SL, HE), (SL, TH), (RP, HE), (RP, TH), (HE, TH)];
const LINE: [(Land, Land); 3] = [(SL, RP), (RP, HE), (HE, TH)];
const LIMIT: Duration = Duration::from_secs(30);
const WITHIN: Duration = Duration::from_secs(1);
const PUBLICATIONS: usize = 5;

//     SL - RP
//     | x |      `registry publish` at SL, `registry watch` at TH
//     HE - TH
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_is_watched_in_another_land_within_a_second() {
    check(&MESH).await;
}

//     SL - RP - HE - TH
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_is_watched_three_nodes_further_within_a_second() {
    check(&LINE).await;
}

async fn check(links: &[(Land, Land)]) {
    let cluster = Cluster::start(&ALL, links).await;
    let mut watch = cluster
        .registry(TH, Who::Reader, &["watch", "--from-now", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("registry watch");
    let out = watch.stdout.take().expect("piped");
    let (sender, seen) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send((Instant::now(), line)).is_err() {
                return;
            }
        }
    });
    eventually(LIMIT, "the watch stands", async || {
        cluster.metrics(TH).await.contains("registry_watch_streams 1")
    })
    .await;

    let file = cluster.dir().join("dienst.yaml");
    let file_name = file.to_str().expect("UTF-8").to_owned();
    let template = cluster.registry(SL, Who::Reader, &["example", "service"]).output();
    let template = String::from_utf8(template.expect("runs").stdout).expect("UTF-8");
    let mut latencies = Vec::new();
    for _ in 0..PUBLICATIONS {
        let id = Uuid::now_v7().to_string();
        let id_line = format!("service_id: \"{id}\" #");
        fs::write(&file, template.replace("# service_id:", &id_line)).expect("written");
        let published =
            cluster.registry(SL, Who::Publisher(SL), &["publish", "-f", &file_name]).output();
        let returned = Instant::now();
        let published = published.expect("runs");
        assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
        let mut arrived = None;
        eventually(LIMIT, "the watch at TH shows it", async || {
            arrived = seen.try_iter().find(|(_, line)| line.contains(&id)).map(|(at, _)| at);
            arrived.is_some()
        })
        .await;
        latencies.push(arrived.expect("seen").saturating_duration_since(returned));
    }
    watch.kill().expect("killed");
    watch.wait().expect("reaped");
    println!("from the end of `registry publish` to the line of `registry watch`: {latencies:?}");
    assert!(latencies.iter().all(|it| *it < WITHIN), "{latencies:?}");
}
