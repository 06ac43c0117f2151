//! Which Land holds a version since when, over real connections and by the command line.

use registry_proto::terms::Land::{self, HE, RP, SL};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    records::{definition, request, service_id, version},
};

const LINE: [(Land, Land); 2] = [(SL, RP), (RP, HE)];

//     SL - RP - HE
#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_all_laender_reach_every_node_and_are_verified_by_who_asks() {
    let mut cluster = Cluster::start(&[SL, RP, HE], &LINE).await;
    let id = service_id(1);
    let records =
        request(vec![definition(&id, "Bestätigt")], vec![version(&id, "1.0.0", "eine Lizenz")]);
    cluster.publish(SL, records).await.expect("published");
    // at the far end, and at the owner
    for land in [HE, SL] {
        check_receipts(&cluster, land, &id).await;
    }
    // what is kept outlives a restart, with everybody else gone
    cluster.kill(HE);
    cluster.kill(RP);
    cluster.kill(SL);
    cluster.run(HE);
    check_receipts(&cluster, HE, &id).await;
    let metrics = cluster.metrics(HE).await;
    let kept = metrics.lines().find_map(|it| it.strip_prefix("registry_receipts "));
    assert!(kept.is_some_and(|it| it.parse::<u64>().is_ok_and(|it| it >= 2)), "{kept:?}");

    // another charter proves nothing
    let other = cluster.dir().join("other.binpb");
    std::fs::write(&other, b"no charter").expect("written");
    let refused = receipts(&cluster, HE, &id, &other);
    assert!(!refused.0, "{}", refused.1);
}

async fn check_receipts(cluster: &Cluster, at: Land, id: &str) {
    let charter = cluster.prepared().charter();
    eventually(std::time::Duration::from_secs(30), "RP and HE hold it", async || {
        let (fine, text) = receipts(cluster, at, id, &charter);
        let held = |land: &str| text.lines().any(|it| it.starts_with(land));
        fine && text.contains("Geprüft") && held("RP ") && held("HE ")
    })
    .await;
}

fn receipts(cluster: &Cluster, at: Land, id: &str, charter: &std::path::Path) -> (bool, String) {
    let charter = charter.to_str().expect("a path");
    let args = ["receipts", id, "1.0.0", "--charter", charter];
    let output = cluster.registry(at, Who::Reader, &args).output().expect("registry runs");
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&both).into_owned())
}
