//! Rules with bounds and quotas over real processes and mutual TLS.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use expect_test::expect;
use registry_client::{ClientError, error::Refusal};
use registry_proto::{
    terms::Land::{self, RP, SL},
    wire::registry::{
        Lifecycle, PublishRequest, Record, SaveDraftRequest, ServiceDefinition, VersionStatus,
        record,
    },
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually},
    records::{definition, request, service_id, version},
};
use tonic::Code;

const LAENDER: [Land; 2] = [SL, RP];
const LINK: [(Land, Land); 1] = [(SL, RP)];
const LIMIT: Duration = Duration::from_secs(30);
const BAUEN: &str = "bauen_wohnen";

/// The publisher may do everything within one Themenfeld.
const BOUND: &str = r#"format = 1
[[rules]]
name = "bauamt"
role = "publisher"
san = "publisher-sl.demo.example"
themenfeld = "bauen_wohnen"
"#;

/// It may do so everywhere, but not retire in that Themenfeld.
const FORBIDDEN: &str = r#"format = 1
[[rules]]
name = "alle"
role = "publisher"
issuer = "CN=Demo SL CA"
subject = "CN=publisher-sl.demo.example"
[[rules]]
name = "sperre"
effect = "deny"
san = "*"
actions = ["retire"]
themenfeld = ["bauen_wohnen"]
"#;

//     SL - RP; the rights of SL's publisher stand in a policy file
#[tokio::test(flavor = "multi_thread")]
async fn rules_bound_to_a_themenfeld_hold_for_records_moves_and_drafts() {
    let mut cluster = Cluster::prepare(&LAENDER, &LINK);
    let policy = with_policy(&cluster, BOUND);
    for land in LAENDER {
        cluster.run(land);
    }
    cluster.wait_open(&LAENDER).await;

    let published = publish(&cluster, request(vec![of(1, BAUEN)], versions(1))).await;
    assert!(published.is_ok(), "{published:?}");
    let refused = refused(publish(&cluster, request(vec![of(2, "bildung")], versions(2))).await);
    assert_eq!(refused.code, Code::PermissionDenied, "{refused:?}");
    let told = |key: &str| refused.metadata.get(key).map(String::as_str);
    assert_eq!(refused.reason.as_deref(), Some("OUT_OF_SCOPE"));
    assert_eq!((told("rules"), told("role")), (Some("bauamt"), Some("publisher")));
    let scope = format!("land=SL themenfeld=bildung service={}", service_id(2));
    assert_eq!(told("scope"), Some(scope.as_str()));
    assert_eq!(told("field"), Some("records[0].service_definition"));
    // nor can a service be drawn away
    let drawn = self::refused(publish(&cluster, request(vec![of(1, "bildung")], vec![])).await);
    assert_eq!(drawn.reason.as_deref(), Some("OUT_OF_SCOPE"), "{drawn:?}");
    let client = cluster.client(SL, Who::Publisher(SL)).await.expect("connected");
    let draft = |themenfeld: &str| SaveDraftRequest {
        records: request(vec![of(3, themenfeld)], vec![]).records,
        ..SaveDraftRequest::default()
    };
    client.save_draft(draft(BAUEN)).await.expect("kept");
    let kept = self::refused(client.save_draft(draft("bildung")).await);
    assert_eq!(kept.reason.as_deref(), Some("OUT_OF_SCOPE"), "{kept:?}");
    assert_eq!(client.drafts().await.expect("listed").len(), 1);

    // another file counts without a restart
    fs::write(&policy, FORBIDDEN).expect("written");
    cluster.hangup(SL);
    eventually(LIMIT, "the new rules count", async || {
        publish(&cluster, request(vec![of(2, "bildung")], versions(2))).await.is_ok()
    })
    .await;
    // it had the old rules from its begin, so it was ended
    eventually(LIMIT, "a client that was connected has the new rules", async || {
        client.save_draft(draft("bildung")).await.is_ok()
    })
    .await;
    let ended = "registry_tls_disconnects_total{listener=\"grpc\",cause=\"not_trusted\"}";
    cluster
        .saw(SL, ended, &["WARN", "connection ended", "reason=\"the rules for the certificate"])
        .await;
    let denied = self::refused(publish(&cluster, retire(1)).await);
    assert_eq!(denied.reason.as_deref(), Some("RULE_DENIES"), "{denied:?}");
    assert_eq!(denied.metadata.get("rules").map(String::as_str), Some("sperre"));
    publish(&cluster, retire(2)).await.expect("retired");

    // one that cannot be used changes nothing
    fs::write(&policy, "format = 1\n[[rules]]\nname = \"x\"\n").expect("written");
    cluster.hangup(SL);
    let metric = "registry_tls_reload_failed{part=\"policy\"}";
    cluster.saw(SL, metric, &["ERROR", "cannot be loaded"]).await;
    assert!(cluster.stderr(SL).contains("Zeile 2, rules[0].role: fehlt"), "{}", cluster.stderr(SL));
    publish(&cluster, request(vec![of(4, "bildung")], vec![])).await.expect("as before");
    // but no node starts with it
    let started = Command::new(binary("registry-node"))
        .args(["run", "--check", "--config"])
        .arg(cluster.prepared().config(SL))
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&started.stderr);
    assert_eq!(started.status.code(), Some(64), "{told}");
    assert!(told.contains("policy.file") && told.contains("Zeile 2, rules[0].role"), "{told}");
}

#[test]
fn policy_check_explains_the_verdict() {
    let cluster = Cluster::prepare(&LAENDER, &LINK);
    with_policy(&cluster, BOUND);
    let (code, told) = check(&cluster, Who::Publisher(SL), &["publish", "--themenfeld", BAUEN]);
    assert_eq!(code, Some(0), "{told}");
    expect![[r#"
        san                publisher-sl.demo.example
        spki …
        issuer             CN=Demo SL CA
        subject            CN=publisher-sl.demo.example
        Kette              endet bei einem Anker aus tls.client_anchors
        Knoten der Charta  (keiner)
        Pseudonym …
        Rollen             reader, publisher

        Gefragt: publish (land=SL themenfeld=bauen_wohnen)

        Regeln:
          charter     gilt Knoten, die in der Charta stehen
          clients[0]  gilt anderen Zertifikaten
          clients[1]  gilt ihm, erlaubt aber anderes
          bauamt      erlaubt es

        Urteil: erlaubt durch bauamt
    "#]]
    .assert_eq(&told);
    let (code, told) = check(&cluster, Who::Publisher(SL), &["retire", "--themenfeld", "bildung"]);
    assert_eq!(code, Some(3), "{told}");
    expect![[r#"
        : retire (land=SL themenfeld=bildung)

        Regeln:
          charter     gilt Knoten, die in der Charta stehen
          clients[0]  gilt anderen Zertifikaten
          clients[1]  gilt ihm, erlaubt aber anderes
          bauamt      gilt ihm, ist aber begrenzt auf themenfeld bauen_wohnen

        Urteil: abgelehnt: keine Regel erlaubt es; nötig wäre eine Regel mit role = "publisher", die es umfasst
    "#]].assert_eq(tail(&told));
    let (code, told) = check(&cluster, Who::Publisher(RP), &["read"]);
    assert_eq!(code, Some(3), "{told}");
    expect![[r#"
        : read

        Regeln:
          charter     gilt Knoten, die in der Charta stehen
          clients[0]  gilt anderen Zertifikaten
          clients[1]  gilt nicht: die Kette endet bei keinem Anker aus tls.client_anchors
          bauamt      gilt anderen Zertifikaten

        Urteil: abgelehnt: keine Regel erlaubt es; nötig wäre eine Rolle
    "#]]
    .assert_eq(tail(&told));
    let (code, told) = check(&cluster, Who::Node(RP), &["replicate"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = check(&cluster, Who::Node(RP), &["fly"]);
    assert!(code == Some(2) && told.contains("countersign"), "{told}");
    fs::write(cluster.home(SL).join("policy.toml"), FORBIDDEN).expect("written");
    let (code, told) = check(&cluster, Who::Publisher(SL), &["retire", "--themenfeld", BAUEN]);
    assert_eq!(code, Some(3), "{told}");
    expect![[r#"
        : retire (land=SL themenfeld=bauen_wohnen)

        Regeln:
          charter     gilt Knoten, die in der Charta stehen
          clients[0]  gilt anderen Zertifikaten
          clients[1]  gilt ihm, erlaubt aber anderes
          alle        erlaubt es
          sperre      verbietet es

        Urteil: abgelehnt durch sperre
    "#]]
    .assert_eq(tail(&told));
}

//     SL alone answers each certificate twice a second, RP's operator its own way
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_gets_no_more_than_its_quota_and_others_get_theirs() {
    let mut cluster = Cluster::prepare(&LAENDER, &LINK);
    append(&cluster, "\n[limits]\ncalls_per_second = 1\nburst = 40\nconcurrent_streams = 1\n");
    for land in LAENDER {
        cluster.run(land);
    }
    // not SL: to ask it costs the reader what it is to get later
    cluster.wait_open(&[RP]).await;
    let config = cluster.client_config(SL, Who::Operator(SL));
    let client = registry_tests::cluster::connected(&config, LIMIT).await;
    let mut answered = 0;
    let refusal = loop {
        match client.status().await {
            Ok(_) => answered += 1,
            refusal => break refused(refusal),
        }
    };
    assert!((30..=60).contains(&answered), "{answered} calls were answered");
    assert_eq!(refusal.code, Code::ResourceExhausted, "{refusal:?}");
    assert_eq!(refusal.reason.as_deref(), Some("QUOTA"));
    assert_eq!(refusal.metadata.get("limit").map(String::as_str), Some("calls per second"));
    let wait = refusal.retry_after.expect("when to come again");
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    cluster.client(SL, Who::Reader).await.expect("connected").status().await.expect("answered");
    let throttled = "registry_calls_throttled_total{limit=\"calls per second\"}";
    cluster.saw(SL, throttled, &["INFO"]).await;
    // and the log goes on
    let next = PublishRequest { ack_peers: 1, ..request(vec![of(1, BAUEN)], vec![]) };
    eventually(LIMIT, "RP holds what is published", async || {
        publish(&cluster, next.clone()).await.is_ok()
    })
    .await;
}

fn of(n: u64, themenfeld: &str) -> ServiceDefinition {
    let themenfeld = themenfeld.to_owned();
    ServiceDefinition { themenfeld, ..definition(&service_id(n), "Versuch") }
}

fn versions(n: u64) -> Vec<registry_proto::wire::registry::ServiceVersion> {
    vec![version(&service_id(n), "1.0.0", "neu")]
}

fn retire(n: u64) -> PublishRequest {
    let said = VersionStatus {
        service_id: service_id(n),
        version: "1.0.0".to_owned(),
        lifecycle: Lifecycle::Zurueckgezogen.into(),
        grund: "Versuch".to_owned(),
        ..VersionStatus::default()
    };
    let record = Record { record: Some(record::Record::VersionStatus(said)), ..Record::default() };
    PublishRequest { records: vec![record], ..PublishRequest::default() }
}

async fn publish(cluster: &Cluster, request: PublishRequest) -> Result<(), ClientError> {
    cluster.publish(SL, request).await.map(|_| ())
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Refusal {
    match outcome {
        Err(ClientError::Refused { refusal, .. }) => *refusal,
        other => panic!("{other:?}"),
    }
}

/// Takes the publisher out of the configuration of SL and puts the file in.
fn with_policy(cluster: &Cluster, policy: &str) -> std::path::PathBuf {
    let config = cluster.prepared().config(SL);
    let text = fs::read_to_string(&config).expect("configuration");
    let mut table: toml::Table = text.parse().expect("TOML");
    if let Some(toml::Value::Array(clients)) = table.get_mut("clients") {
        clients.retain(|it| it.get("role").and_then(toml::Value::as_str) != Some("publisher"));
    }
    fs::write(&config, table.to_string()).expect("configuration");
    append(cluster, "\n[policy]\nfile = \"policy.toml\"\n");
    let path = cluster.home(SL).join("policy.toml");
    fs::write(&path, policy).expect("policy");
    path
}

fn append(cluster: &Cluster, more: &str) {
    let config = cluster.prepared().config(SL);
    let text = fs::read_to_string(&config).expect("configuration");
    fs::write(&config, text + more).expect("configuration");
}

/// Exit code and text, without what differs between two runs.
fn check(cluster: &Cluster, who: Who, args: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(binary("registry-node"))
        .args(["policy", "check", "--config"])
        .arg(cluster.prepared().config(SL))
        .arg("--as")
        .arg(cluster.files(who).certificate)
        .arg("--do")
        .args(args)
        .output()
        .expect("registry-node starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some((key @ ("spki" | "Pseudonym"), _)) => format!("{key} …\n"),
        _ => format!("{line}\n"),
    });
    (output.status.code(), lines.collect())
}

fn tail(told: &str) -> &str {
    told.split_once("Gefragt").map_or(told, |(_, tail)| tail)
}
