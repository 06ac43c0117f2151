//! A Land withdraws most of its versions at once: its partner holds that until its operator has
//! decided, over real processes and the admin port.

use std::{process::Output, time::Duration};

use registry_proto::{
    terms::Land::{self, RP, SL},
    wire::registry::{GetVersionRequest, Lifecycle, PublishRequest, Record, VersionStatus, record},
};
use registry_tests::{
    cluster::{Cluster, Who, eventually, http_get},
    records::{definition, request, service_id, version},
};

const SERVICES: u64 = 12;
const LIMIT: Duration = Duration::from_secs(60);

//     SL - RP
#[tokio::test(flavor = "multi_thread")]
async fn what_a_land_withdraws_at_once_counts_when_the_operator_accepts_it() {
    let cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    let definitions = (0..SERVICES).map(|n| definition(&service_id(n), "Versuch")).collect();
    let versions = (0..SERVICES).map(|n| version(&service_id(n), "1.0.0", "neu")).collect();
    cluster.publish(SL, request(definitions, versions)).await.expect("published");
    wait(&cluster, RP, Lifecycle::Freigegeben, "RP shows what SL released").await;
    let (ended, told) = held(&cluster, Who::Operator(RP), &["list"]);
    assert!(ended == Some(0) && told.contains("Nichts ist angehalten."), "{told}");

    let withdrawn = (0..SERVICES).map(|n| {
        let said = VersionStatus {
            service_id: service_id(n),
            version: "1.0.0".to_owned(),
            lifecycle: Lifecycle::Zurueckgezogen.into(),
            grund: "versehentlich".to_owned(),
            ..VersionStatus::default()
        };
        Record { record: Some(record::Record::VersionStatus(said)), ..Record::default() }
    });
    let asked = PublishRequest { records: withdrawn.collect(), ..PublishRequest::default() };
    cluster.publish(SL, asked).await.expect("withdrawn");
    wait(&cluster, SL, Lifecycle::Zurueckgezogen, "SL follows itself").await;
    eventually(LIMIT, "RP holds the last of them", async || {
        let (_, told) = held(&cluster, Who::Operator(RP), &["list", "-o", "json"]);
        told.contains(&format!("\"total\": {SERVICES}"))
    })
    .await;
    assert!(stand(&cluster, RP, Lifecycle::Freigegeben).await, "nothing vanishes at RP");
    counted(&cluster, SERVICES).await;
    let (_, told) = held(&cluster, Who::Operator(RP), &["list"]);
    assert!(told.contains("SL/1/24") && told.contains("… und 2 weitere"), "{told}");
    let (_, told) = status(&cluster);
    assert!(told.contains("sind 12 Abschaltungen angehalten"), "{told}");
    assert!(told.contains("registry held accept SL"), "{told}");
    let ready = http_get(cluster.bound(RP).monitoring, "/readyz").await;
    assert!(ready.contains("12 Abschaltungen in SL/1 sind angehalten"), "{ready}");
    traced(&cluster).await;

    // who is no operator decides nothing
    for who in [Who::Reader, Who::Publisher(RP)] {
        let (ended, told) = held(&cluster, who, &["accept", "SL"]);
        assert!(ended == Some(3) && told.contains("Rolle operator"), "{told}");
    }
    let (ended, told) = held(&cluster, Who::Operator(RP), &["accept", "RP"]);
    assert!(ended == Some(0) && told.contains("Von RP ist nichts angehalten."), "{told}");
    assert!(stand(&cluster, RP, Lifecycle::Freigegeben).await, "nothing is accepted yet");

    let (ended, told) = held(&cluster, Who::Operator(RP), &["accept", "SL"]);
    assert!(ended == Some(0) && told.contains("12 Abschaltungen gelten jetzt"), "{told}");
    wait(&cluster, RP, Lifecycle::Zurueckgezogen, "RP follows SL").await;
    counted(&cluster, 0).await;
    let (_, told) = status(&cluster);
    assert!(!told.contains("angehalten"), "{told}");
    // only what vanishes was held up: what SL publishes next is there
    let more = request(vec![definition(&service_id(99), "Danach")], vec![]);
    cluster.publish(SL, PublishRequest { ack_peers: 1, ..more }).await.expect("held by RP");
    let (_, told) = held(&cluster, Who::Operator(RP), &["list"]);
    assert!(told.contains("Nichts ist angehalten."), "{told}");
}

/// `registry held` at the admin port of RP: exit code and everything it prints.
fn held(cluster: &Cluster, who: Who, args: &[&str]) -> (Option<i32>, String) {
    let endpoint = format!("https://{}", cluster.bound(RP).admin);
    let args = [&["held"], args, &["--endpoint", &endpoint]].concat();
    let Output { status, stdout, stderr } =
        cluster.registry(RP, who, &args).output().expect("registry runs");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// `registry status` of RP, as anybody sees it.
fn status(cluster: &Cluster) -> (Option<i32>, String) {
    let output = cluster.registry(RP, Who::Reader, &["status"]).output().expect("registry runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits until the audit log of RP says, once, that a hold began.
async fn traced(cluster: &Cluster) {
    let dir = cluster.home(RP).join("data/audit");
    eventually(LIMIT, "the hold is in the audit log", async || {
        let files =
            std::fs::read_dir(&dir).expect("a directory").map(|it| it.expect("a file").path());
        let lines: String = files.map(|it| std::fs::read_to_string(it).expect("text")).collect();
        let held = lines.lines().filter(|it| it.contains("retirements.hold"));
        let held: Vec<_> = held.collect();
        held.len() == 1 && held[0].contains("SL/1")
    })
    .await;
}

/// Waits until RP tells in its metrics that so many retirements of SL are held.
async fn counted(cluster: &Cluster, held: u64) {
    let line = format!("registry_retirements_held{{land=\"SL\"}} {held}");
    eventually(LIMIT, &line, async || cluster.metrics(RP).await.lines().any(|it| it == line)).await;
}

async fn wait(cluster: &Cluster, land: Land, lifecycle: Lifecycle, what: &str) {
    eventually(LIMIT, what, async || stand(cluster, land, lifecycle).await).await;
}

/// Whether all versions stand so at a node.
async fn stand(cluster: &Cluster, land: Land, lifecycle: Lifecycle) -> bool {
    let client = cluster.client(land, Who::Reader).await.expect("connected");
    for n in 0..SERVICES {
        let ask = GetVersionRequest {
            service_id: service_id(n),
            version: "1.0.0".to_owned(),
            ..GetVersionRequest::default()
        };
        let Ok(answer) = client.version(ask).await else { return false };
        let life = answer.version.and_then(|it| it.life).unwrap_or_default();
        if life.lifecycle() != lifecycle {
            return false;
        }
    }
    true
}
