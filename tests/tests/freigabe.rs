//! Four eyes over real processes: what is submitted waits until another person has confirmed it.

use std::{fs, process::Output, time::Duration};

use registry_client::{ClientError, error::Refusal};
use registry_proto::{
    log::{Header, Kind},
    terms::Land::{self, RP, SL},
    wire::registry::{
        Approval, Lifecycle, LogPosition, PublishRequest, PublishResponse, Record, VersionStatus,
        record,
    },
};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    records::{definition, request, service_id, version},
};

const LAENDER: [Land; 2] = [SL, RP];
const LINK: [(Land, Land); 1] = [(SL, RP)];
const LIMIT: Duration = Duration::from_secs(30);

/// The operator of SL is the second publisher here; the reader may only confirm elsewhere.
const POLICY: &str = r#"format = 1
[[rules]]
name = "erste"
role = "publisher"
san = "publisher-sl.demo.example"
[[rules]]
name = "zweite"
role = "publisher"
san = "operator-sl.demo.example"
[[rules]]
name = "woanders"
role = "publisher"
san = "reader.demo.example"
actions = ["confirm"]
themenfeld = "bildung"
"#;

//     SL - RP
#[tokio::test(flavor = "multi_thread")]
async fn what_one_person_submits_is_published_when_another_has_confirmed_it() {
    let mut cluster = with_four_eyes();
    for land in LAENDER {
        cluster.run(land);
    }
    cluster.wait_open(&LAENDER).await;
    let before = size(&cluster).await;
    let mut asked = request(vec![definition("", "Versuch")], vec![]);
    asked.idempotency_key = "erster-versuch".to_owned();
    let held = publish(&cluster, Who::Publisher(SL), asked.clone()).await.expect("held");
    assert!(!held.approval_id.is_empty() && held.records[0].position.is_none(), "{held:?}");
    // the same request again is the same submission, other content under its key is refused
    let again = publish(&cluster, Who::Publisher(SL), asked.clone()).await.expect("held");
    assert_eq!(again, held);
    let other = PublishRequest {
        records: request(vec![definition("", "Anders")], vec![]).records,
        ..asked.clone()
    };
    refused(publish(&cluster, Who::Publisher(SL), other).await);
    eventually(LIMIT, "it is counted", async || {
        cluster.metrics(SL).await.lines().any(|it| it == "registry_approvals_waiting 1")
    })
    .await;
    // the log of RP does not wait for anybody, and SL takes it
    let mut meanwhile = request(vec![definition(&service_id(9), "Anderswo")], vec![]);
    meanwhile.ack_peers = 1;
    cluster.publish(RP, meanwhile).await.expect("published");

    // it is signed by nobody, and outlives the process
    assert_eq!(size(&cluster).await, before, "nothing was written");
    cluster.kill(SL);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    let waiting = approvals(&cluster).await;
    let [one] = waiting.as_slice() else { panic!("{waiting:?}") };
    assert_eq!(one.approval_id, held.approval_id);

    // not by the same person, not by who has no right to, and not anything else
    let accept = async |who, digest: &[u8]| {
        let client = cluster.client(SL, who).await.expect("connected");
        let digest = digest.try_into().expect("32 bytes");
        client.accept_approval(one.approval_id.clone(), digest).await
    };
    assert_eq!(reason(accept(Who::Publisher(SL), &one.digest).await), "SAME_PERSON");
    assert_eq!(reason(accept(Who::Node(RP), &one.digest).await), "ROLE_MISSING");
    assert_eq!(reason(accept(Who::Reader, &one.digest).await), "OUT_OF_SCOPE");
    assert_eq!(reason(accept(Who::Operator(SL), &[7; 32]).await), "APPROVAL_DIGEST");
    assert_eq!(size(&cluster).await, before, "nothing was written");

    let (code, told) = run(&cluster, Who::Operator(SL), &["show", &one.approval_id]);
    let digest: String = one.digest.iter().map(|it| format!("{it:02x}")).collect();
    assert!(code == Some(0) && told.contains("(Versuch)") && told.contains(&digest), "{told}");
    let call = ["accept", &one.approval_id, &digest[..16]];
    let wrong = run(&cluster, Who::Operator(SL), &["accept", &one.approval_id, "00"]);
    assert_eq!(wrong.0, Some(2), "{}", wrong.1);
    let (code, told) = run(&cluster, Who::Operator(SL), &call);
    assert!(code == Some(0) && told.contains("Freigegeben."), "{told}");
    assert_eq!(size(&cluster).await, before + 1);
    assert!(approvals(&cluster).await.is_empty());
    let (code, told) = run(&cluster, Who::Operator(SL), &call);
    assert_eq!(code, Some(4), "{told}");
    // the submitter who asks again is told what became of it, under the id it was shown
    let done = publish(&cluster, Who::Publisher(SL), asked).await.expect("published");
    assert!(done.approval_id.is_empty() && done.records[0].position.is_some(), "{done:?}");
    assert_eq!(done.records[0].service_id, held.records[0].service_id);
}

//     SL - RP
#[tokio::test(flavor = "multi_thread")]
async fn a_retirement_waits_too_and_can_be_thrown_away() {
    let mut cluster = with_four_eyes();
    for land in LAENDER {
        cluster.run(land);
    }
    cluster.wait_open(&LAENDER).await;
    let asked = request(
        vec![definition(&service_id(1), "Versuch")],
        vec![version(&service_id(1), "1.0.0", "neu")],
    );
    let held = publish(&cluster, Who::Operator(SL), asked).await.expect("held");
    let id = held.approval_id;
    let told = run(&cluster, Who::Publisher(SL), &["list"]);
    assert!(told.0 == Some(0) && told.1.contains(&id), "{}", told.1);
    let digest = approvals(&cluster).await[0].digest.to_vec().try_into().expect("32 bytes");
    let client = cluster.client(SL, Who::Publisher(SL)).await.expect("connected");
    client.accept_approval(id, digest).await.expect("published");
    let written = size(&cluster).await;

    let withdrawn = || {
        let said = VersionStatus {
            service_id: service_id(1),
            version: "1.0.0".to_owned(),
            lifecycle: Lifecycle::Zurueckgezogen.into(),
            grund: "Versuch".to_owned(),
            ..VersionStatus::default()
        };
        let record =
            Record { record: Some(record::Record::VersionStatus(said)), ..Record::default() };
        PublishRequest { records: vec![record], ..PublishRequest::default() }
    };
    // what is wrong is said at once, to the submitter
    let mut wrong = withdrawn();
    if let Some(record::Record::VersionStatus(it)) = &mut wrong.records[0].record {
        it.version = "9.9.9".to_owned();
    }
    refused(publish(&cluster, Who::Publisher(SL), wrong).await);
    let held = publish(&cluster, Who::Publisher(SL), withdrawn()).await.expect("held");
    let elsewhere = run(&cluster, Who::Reader, &["reject", &held.approval_id]);
    assert_eq!(elsewhere.0, Some(3), "{}", elsewhere.1);
    let (code, told) = run(&cluster, Who::Operator(SL), &["reject", &held.approval_id]);
    assert!(code == Some(0) && told.contains("nichts wurde veröffentlicht"), "{told}");
    // the own one can be taken back
    let held = publish(&cluster, Who::Publisher(SL), withdrawn()).await.expect("held");
    let (code, told) = run(&cluster, Who::Publisher(SL), &["reject", &held.approval_id]);
    assert_eq!(code, Some(0), "{told}");
    assert!(approvals(&cluster).await.is_empty());
    assert_eq!(size(&cluster).await, written, "nothing was written");
    let counted = "registry_approvals_total{outcome=\"rejected\"}";
    cluster.saw(SL, counted, &["a submission was thrown away"]).await;
}

//     SL - RP        who submitted loses the right to before another person confirms it
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_not_published_for_somebody_who_may_not_publish_it_any_more() {
    let mut cluster = with_four_eyes();
    for land in LAENDER {
        cluster.run(land);
    }
    cluster.wait_open(&LAENDER).await;
    let asked = request(vec![definition(&service_id(1), "Versuch")], vec![]);
    let held = publish(&cluster, Who::Publisher(SL), asked.clone()).await.expect("held");
    let digest: [u8; 32] =
        approvals(&cluster).await[0].digest.to_vec().try_into().expect("32 bytes");
    let before = size(&cluster).await;
    let accept = async || {
        let client = cluster.client(SL, Who::Operator(SL)).await.expect("connected");
        client.accept_approval(held.approval_id.clone(), digest).await
    };
    let deny = "\n[[rules]]\nname = \"gesperrt\"\neffect = \"deny\"\nrole = \"publisher\"\n\
                san = \"publisher-sl.demo.example\"\n";
    let elsewhere = POLICY.replacen("publisher-sl", "niemand", 1);
    for (policy, why) in [(POLICY.to_owned() + deny, "gesperrt"), (elsewhere, "die nötige Rolle")]
    {
        fs::write(cluster.home(SL).join("policy.toml"), policy).expect("policy");
        cluster.hangup(SL);
        eventually(LIMIT, "the rules of today count", async || {
            let tried = PublishRequest { dry_run: true, ..asked.clone() };
            publish(&cluster, Who::Publisher(SL), tried).await.is_err()
        })
        .await;
        let refusal = refused(accept().await);
        assert_eq!(refusal.reason.as_deref(), Some("SUBMITTER_RIGHTS"), "{refusal:?}");
        assert!(refusal.message.contains(why), "{refusal:?}");
        assert_eq!(size(&cluster).await, before, "nothing was written");
    }
    fs::write(cluster.home(SL).join("policy.toml"), POLICY).expect("policy");
    cluster.hangup(SL);
    eventually(LIMIT, "it may again", async || accept().await.is_ok()).await;
    assert_eq!(size(&cluster).await, before + 1);
}

fn with_four_eyes() -> Cluster {
    let cluster = Cluster::prepare(&LAENDER, &LINK);
    let config = cluster.prepared().config(SL);
    let text = fs::read_to_string(&config).expect("configuration");
    let mut table: toml::Table = text.parse().expect("TOML");
    if let Some(toml::Value::Array(clients)) = table.get_mut("clients") {
        clients.retain(|it| it.get("role").and_then(toml::Value::as_str) != Some("publisher"));
    }
    let more = "\n[policy]\nfile = \"policy.toml\"\nvier_augen = true\n";
    fs::write(&config, table.to_string() + more).expect("configuration");
    fs::write(cluster.home(SL).join("policy.toml"), POLICY).expect("policy");
    cluster
}

async fn publish(
    cluster: &Cluster,
    who: Who,
    request: PublishRequest,
) -> Result<PublishResponse, ClientError> {
    cluster.client(SL, who).await.expect("connected").publish(request).await
}

async fn approvals(cluster: &Cluster) -> Vec<Approval> {
    let client = cluster.client(SL, Who::Operator(SL)).await.expect("connected");
    client.approvals().await.expect("listed")
}

/// Entries of SL's log; anchors of its audit log come when they are due, and count as none.
async fn size(cluster: &Cluster) -> usize {
    let reader = cluster.client(SL, Who::Reader).await.expect("connected");
    let status = reader.status().await.expect("status");
    let size = status.logs.iter().find(|it| it.land == "SL").map_or(0, |it| it.size);
    let mut written = 0;
    for index in 0..size {
        let at = LogPosition { land: "SL".to_owned(), epoch: 1, index };
        let proof = reader.inclusion_proof(at).await.expect("proved");
        let header = Header::parse(&proof.header).expect("a header");
        written += usize::from(header.kind != Kind::AuditHead);
    }
    written
}

fn run(cluster: &Cluster, who: Who, args: &[&str]) -> (Option<i32>, String) {
    let args: Vec<_> = std::iter::once("freigabe").chain(args.iter().copied()).collect();
    let output: Output = cluster.registry(SL, who, &args).output().expect("registry starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), told)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Refusal {
    match outcome {
        Err(ClientError::Refused { refusal, .. }) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn reason<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> String {
    refused(outcome).reason.unwrap_or_default()
}
