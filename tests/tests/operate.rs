//! What an operator does with real processes: start with a wrong configuration, look at the
//! health, stop while others are connected, start again.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use registry_client::Client;
use registry_proto::{
    terms::Land::{self, RP, SL},
    wire::registry::{
        WatchRequest, watch_request::Start, watch_service_client::WatchServiceClient,
    },
};
use registry_tests::{
    cluster::{Cluster, Who, binary, ended, eventually, http_get, terminate},
    records::{definition, request, service_id},
};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

const LAENDER: [Land; 2] = [SL, RP];
const LINK: [(Land, Land); 1] = [(SL, RP)];
const LIMIT: Duration = Duration::from_secs(60);
/// Grace period of the configuration.
const GRACE: Duration = Duration::from_secs(5);

//     SL - RP        a watch is open at SL when SL gets SIGTERM
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_asked_to_stop_tells_those_who_watch_and_ends_in_time() {
    let mut cluster = Cluster::start(&LAENDER, &LINK).await;
    let client = cluster.client(SL, Who::Reader).await.expect("connected");
    assert_eq!(health(&client).await, ServingStatus::Serving);
    let request = WatchRequest { start: Some(Start::Now(true)), ..WatchRequest::default() };
    let watch = WatchServiceClient::new(client.channel()).watch(request).await;
    let mut watch = watch.expect("watches").into_inner();
    eventually(LIMIT, "the watch and the session stand", async || {
        let metrics = cluster.metrics(SL).await;
        metrics.contains("registry_watch_streams 1") && metrics.contains("registry_sessions 1")
    })
    .await;

    let status = cluster.terminate(SL, LIMIT).await;
    assert_eq!(status.code(), Some(0), "{}", cluster.stderr(SL));
    let log = cluster.stderr(SL);
    assert!(log.contains("stop requested") && log.contains("node stopped land=SL"), "{log}");

    let told = async {
        loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a watch does not end without a reason"),
                Err(status) => return status,
            }
        }
    };
    let told = tokio::time::timeout(LIMIT, told).await.expect("told");
    assert_eq!(told.code(), Code::Unavailable, "{told}");
    let details = told.get_error_details();
    assert_eq!(details.error_info().map(|it| it.reason.as_str()), Some("SHUTTING_DOWN"), "{told}");

    // the partner goes on, and the node comes back to it
    eventually(LIMIT, "RP knows that SL is gone", async || {
        cluster.metrics(RP).await.contains("registry_sessions 0")
    })
    .await;
    let up = start(&mut cluster).await;
    cluster.wait_open(&LAENDER).await;
    let records = request_for(1);
    cluster.publish(SL, records).await.expect("published");

    // Ctrl-C, with a last word for the partner
    let status = cluster.interrupt(SL, LIMIT).await;
    assert_eq!(status.code(), Some(0), "{}", cluster.stderr(SL));
    check_stopped_in_time(&cluster, up);
}

/// Starts SL; how long it took until it answered.
async fn start(cluster: &mut Cluster) -> Duration {
    let begun = Instant::now();
    cluster.run(SL);
    eventually(LIMIT, "SL answers", async || cluster.status(SL).await.is_ok()).await;
    begun.elapsed()
}

/// SL ended all that it does within its grace period, as it says itself; if the machine is so busy that
/// its start (about a second) took longer too, within as much more.
#[track_caller]
fn check_stopped_in_time(cluster: &Cluster, up: Duration) {
    let log = cluster.stderr(SL);
    let stopped = log.lines().rfind(|it| it.contains("node stopped")).expect("it says so");
    let took = stopped.split_once("took_ms=").expect("and how long it took").1;
    let took = took.split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
    let (took, limit) = (Duration::from_millis(took), GRACE.max(4 * up));
    println!("stopped within {took:?}, came up within {up:?}");
    assert!(took <= limit && !stopped.contains("tasks were left"), "{limit:?}: {log}");
}

//     (SL, alone)
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_partners_is_healthy_reads_and_stops_in_time() {
    let mut cluster = Cluster::prepare(&LAENDER, &LINK);
    let up = start(&mut cluster).await;
    let client = cluster.client(SL, Who::Reader).await.expect("connected");
    eventually(LIMIT, "SL is healthy", async || health(&client).await == ServingStatus::Serving)
        .await;
    let monitoring = cluster.bound(SL).monitoring;
    let page = http_get(monitoring, "/healthz").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let page = http_get(monitoring, "/readyz").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("\"ready\":true"), "{page}");
    // nobody has confirmed its log: reading goes on, writing waits
    let refused = cluster.publish(SL, request_for(1)).await.expect_err("fenced");
    assert_eq!(refused.class(), registry_client::Class::Unavailable, "{refused:?}");
    // shown at the next tick
    for line in ["registry_fence_open 0", "registry_index_rebuild_ratio 1.0"] {
        eventually(LIMIT, line, async || cluster.metrics(SL).await.lines().any(|it| it == line))
            .await;
    }

    let status = cluster.terminate(SL, LIMIT).await;
    assert_eq!(status.code(), Some(0), "{}", cluster.stderr(SL));
    check_stopped_in_time(&cluster, up);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_refused_with_all_its_problems_before_a_port_is_bound() {
    let cluster = Cluster::prepare(&LAENDER, &LINK);
    let path = cluster.prepared().config(SL);
    let text = std::fs::read_to_string(&path).expect("configuration");
    // a node that tried to listen would complain of this port
    let _taken = TcpListener::bind(cluster.bound(SL).grpc).expect("free");
    let wrong = text
        .replace("role = \"operator\"", "role = \"king\"")
        .replace("key = \"", "kee = \"")
        .replace("charter = \"../charter.binpb\"", "charter = \"../missing.binpb\"");
    assert_ne!(text, wrong);
    std::fs::write(&path, wrong + "\n[shutdown]\ngrace = \"soon\"\n").expect("written");

    let output = Command::new(binary("registry-node"))
        .args(["run", "--config"])
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    for problem in ["clients[1].role", "kee", "missing.binpb", "shutdown.grace = soon"] {
        assert!(told.contains(problem), "{problem} is missing in\n{told}");
    }
    assert!(!told.contains("lauschen"), "{told}");
    assert!(!cluster.home(SL).join("data").exists(), "nothing is written before");
}

#[test]
fn a_charter_that_contradicts_what_is_kept_is_named_as_a_cause() {
    let cluster = Cluster::prepare(&LAENDER, &LINK);
    let kept = cluster.home(SL).join("data/charters");
    std::fs::create_dir_all(&kept).expect("directory");
    let genesis = cluster.prepared().charter();
    std::fs::copy(genesis, kept.join(format!("{:020}.charter", 1))).expect("copied");
    let output = Command::new(binary("registry-node"))
        .args(["run", "--check", "--config"])
        .arg(cluster.prepared().config(SL))
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    for word in ["`charter` in node.toml", "die Nummer ist 0, erwartet 1", "beiseitelegen"] {
        assert!(told.contains(word), "{word} is missing in\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let cluster = Cluster::prepare(&LAENDER, &LINK);
    let _taken = TcpListener::bind(cluster.bound(SL).grpc).expect("free");
    let output = Command::new(binary("registry-node"))
        .args(["run", "--config"])
        .arg(cluster.prepared().config(SL))
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let named = format!("listen.grpc: auf {} lässt sich nicht lauschen", cluster.bound(SL).grpc);
    assert!(told.contains(&named), "{told}");
}

//     SL - RP        what only reads, on a day on which something is wrong
#[tokio::test(flavor = "multi_thread")]
async fn commands_that_read_need_only_what_they_use_and_say_so() {
    let mut cluster = Cluster::start(&LAENDER, &LINK).await;
    // each port says what it is not for
    let bound = cluster.bound(SL);
    for (args, address) in [(&["held", "list"][..], bound.grpc), (&["status"], bound.admin)] {
        let mut command = cluster.registry(SL, Who::Operator(SL), args);
        command.env("REGISTRY_ENDPOINT", format!("https://{address}"));
        let output = command.output().expect("registry runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains("listen.admin"), "{args:?}: {told}");
    }
    let status = cluster.terminate(SL, LIMIT).await;
    assert_eq!(status.code(), Some(0), "{}", cluster.stderr(SL));

    let config = cluster.prepared().config(SL);
    let mut table: toml::Table =
        std::fs::read_to_string(&config).expect("configuration").parse().expect("TOML");
    let write = |table: &toml::Table| std::fs::write(&config, table.to_string()).expect("written");
    table.insert(
        "log".to_owned(),
        toml::Table::from_iter([("format".to_owned(), "x".into())]).into(),
    );
    table["tls"].as_table_mut().expect("tls").remove("key");
    write(&table);
    let run = |args: &[&str]| {
        let mut command = Command::new(binary("registry-node"));
        let output = command.args(args).arg("--config").arg(&config).output().expect("runs");
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&told).into_owned())
    };
    let (code, told) = run(&["run", "--check"]);
    assert!(code == Some(64) && told.contains("log.format") && told.contains("tls.key"), "{told}");
    let stand = cluster.dir().join("stand.toml");
    let stand = ["epoch", "stand", "--out", stand.to_str().expect("UTF-8")];
    let reader = cluster.files(Who::Reader).certificate;
    let policy = ["policy", "check", "--do", "read", "--as", reader.to_str().expect("UTF-8")];
    for args in [
        &["audit", "verify"][..],
        &["audit", "export"],
        &["certificates"],
        &["evidence", "list"],
        &["data", "show"],
        &policy,
        &stand,
    ] {
        let (code, told) = run(args);
        assert_eq!(code, Some(0), "{args:?}: {told}");
    }
    // and what they use has to be right
    table.insert("charter".to_owned(), "missing.binpb".into());
    write(&table);
    for args in [&["audit", "verify"][..], &["certificates"], &["evidence", "list"], &policy] {
        let (code, told) = run(args);
        assert!(code == Some(1) && told.contains("charter = missing.binpb"), "{args:?}: {told}");
        assert!(!told.contains("log.format") && !told.contains("tls.key"), "{args:?}: {told}");
    }
    for args in [["audit", "export"], ["data", "show"]] {
        assert_eq!(run(&args).0, Some(0), "{args:?}");
    }

    // whoever reads the beginning only (`| head`) breaks nothing
    let mut command = Command::new(binary("registry-node"));
    command.args(["audit", "export", "--config"]).arg(&config);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && told.is_empty(), "{told}");
}

#[test]
fn free_ports_are_written_where_partners_look_for_them() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut command = Command::new(binary("registry-node"));
    command.args(["demo", "--prepare", "--any-port", "--dir"]).arg(dir.path());
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = |land: &str| -> toml::Table {
        let path = dir.path().join(land).join("node.toml");
        std::fs::read_to_string(path).expect("configuration").parse().expect("TOML")
    };
    let rp = table("rp")["listen"]["grpc"].as_str().expect("an address").to_owned();
    let sl = table("sl");
    let peers = sl["peers"].as_array().expect("partners");
    assert!(peers.iter().any(|it| it["address"].as_str() == Some(&rp)), "{rp} in {peers:?}");
    assert!(!sl.to_string().contains(":0\""), "{sl}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_of_the_demo_goes_on_where_the_first_ended() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let first = run_demo(dir.path()).await;
    assert!(first.contains("davon 533 neu veröffentlicht"), "{first}");
    let second = run_demo(dir.path()).await;
    assert!(second.contains("davon 0 neu veröffentlicht (0 Einträge"), "{second}");
    let verbund = |told: &str| {
        let line = told.lines().find(|it| it.starts_with("Testverbund "));
        line.expect("names the Verbund").to_owned()
    };
    assert_eq!(verbund(&first), verbund(&second));
}

/// Runs the demo until it is ready, ends it in order, and returns what it said.
async fn run_demo(dir: &Path) -> String {
    let mut demo = Command::new(binary("registry-node"))
        .args(["demo", "--any-port", "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let lines = lines(&mut demo);
    let mut told = String::new();
    let mut ready = false;
    eventually(2 * LIMIT, "the demo is ready", async || {
        for line in lines.try_iter() {
            ready |= line.starts_with("demo ready");
            told.push_str(&line);
            told.push('\n');
        }
        ready
    })
    .await;
    terminate(&mut demo);
    let status = ended(&mut demo, 2 * GRACE).await;
    let status = status.unwrap_or_else(|| {
        demo.kill().expect("killed");
        panic!("the demo did not stop\n{told}")
    });
    assert_eq!(status.code(), Some(0), "{told}");
    told
}

/// What a process prints, line by line, for as long as it runs.
fn lines(child: &mut Child) -> Receiver<String> {
    let out = child.stdout.take().expect("piped");
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

async fn health(client: &Client) -> ServingStatus {
    let service = "verbund.registry.v1.CatalogueService".to_owned();
    let request = HealthCheckRequest { service };
    let answer = HealthClient::new(client.channel()).check(request).await;
    answer.map_or(ServingStatus::Unknown, |it| it.into_inner().status())
}

fn request_for(n: u64) -> registry_proto::wire::registry::PublishRequest {
    request(vec![definition(&service_id(n), "Dienst im Betrieb")], vec![])
}
