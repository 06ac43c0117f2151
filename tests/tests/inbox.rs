//! `registry inbox --watch` against real processes: notices appear, are settled, and go on coming
//! after the node was gone.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use registry_proto::terms::Land::{self, RP, SL};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    records::{definition, request, service_id, version},
};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(60);

//     SL - RP        both watch their inbox; RP wants to re-use a service of SL
#[tokio::test(flavor = "multi_thread")]
async fn notices_appear_are_settled_and_go_on_when_the_node_was_gone() {
    let mut cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    let service = service_id(1);
    let records = request(
        vec![definition(&service, "Zum Nachnutzen")],
        vec![version(&service, "1.0.0", "Erste Veröffentlichung")],
    );
    cluster.publish(SL, records).await.expect("published");
    let (of_sl, of_rp) = (Inbox::open(&cluster, SL), Inbox::open(&cluster, RP));
    // nothing to do yet: the head of an empty table
    of_sl.says(&["Frist"]);
    of_rp.says(&["Frist"]);

    let asked = wants(&cluster, &service).await;
    of_sl.says(&["neu: ", "Am Zug", "Zum Nachnutzen", "RP hat Interesse", &asked]);
    let args = ["nachnutzung", "ablehnen", &asked, "--grund", "kein Betrieb vor Herbst"];
    moves(&cluster, SL, &args).await;
    of_sl.says(&["erledigt: ", "Am Zug", "RP hat Interesse", &asked]);
    of_rp.says(&["neu: ", "Beendet", "SL hat die Anfrage abgelehnt (kein Betrieb vor Herbst)"]);

    // the node of SL is gone for a while; its watch comes back by itself
    cluster.kill(SL);
    of_sl.complains("Verbindung unterbrochen");
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    let again = wants(&cluster, &service).await;
    of_sl.says(&["neu: ", "Am Zug", "RP hat Interesse", &again]);
    let args = ["nachnutzung", "beenden", &again, "--grund", "doch nicht"];
    moves(&cluster, RP, &args).await;
    // in the order in which they are shown: what is new, then what is settled
    of_sl.says(&["neu: ", "Beendet", "RP hat die Nachnutzung beendet (doch nicht)"]);
    of_sl.says(&["erledigt: ", "RP hat Interesse", &again]);
    let listed = cluster.registry(SL, Who::Reader, &["inbox", "-o", "json"]).output();
    let listed = String::from_utf8(listed.expect("registry runs").stdout).expect("UTF-8");
    assert!(listed.contains("NOTICE_KIND_REUSE_ENDED"), "{listed}");
    // whoever ended it is told nothing
    let listed = cluster.registry(RP, Who::Reader, &["inbox"]).output().expect("registry runs");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    assert!(!listed.contains("doch nicht"), "{listed}");
}

/// RP asks for a service; the UUID of the Nachnutzung. A service that RP does not show yet is asked
/// for again.
async fn wants(cluster: &Cluster, service: &str) -> String {
    let id = Uuid::now_v7().to_string();
    let args = ["nachnutzung", "interesse", service, "--land", "SL", "--version", "^1"];
    let more = ["--gebiet", "07111", "--kontakt", "ozg@example.org", "--id", &id];
    moves(cluster, RP, &[&args[..], &more[..]].concat()).await;
    id
}

async fn moves(cluster: &Cluster, land: Land, args: &[&str]) {
    let mut said = String::new();
    let deadline = Instant::now() + LIMIT;
    eventually(LIMIT, &format!("{land} {args:?}"), async || {
        let output = cluster.registry(land, Who::Publisher(land), args).output();
        let output = output.expect("registry runs");
        said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let waits = said.contains("NOT_FOUND") && Instant::now() < deadline;
        assert!(output.status.success() || waits, "{land} {args:?}: {said}");
        output.status.success()
    })
    .await;
}

/// `registry inbox --watch` that runs.
struct Inbox {
    child: Child,
    lines: Receiver<String>,
    complaints: Receiver<String>,
}

// === impl Inbox ===

impl Inbox {
    fn open(cluster: &Cluster, land: Land) -> Self {
        let mut child = cluster
            .registry(land, Who::Reader, &["inbox", "--watch"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("registry inbox");
        let lines = follow(child.stdout.take().expect("piped"));
        let complaints = follow(child.stderr.take().expect("piped"));
        Self { child, lines, complaints }
    }

    /// The next line is one with all of these words.
    #[track_caller]
    fn says(&self, words: &[&str]) {
        let line =
            self.lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("nothing of {words:?}"));
        assert!(words.iter().all(|it| line.contains(it)), "{words:?}: {line}");
    }

    #[track_caller]
    fn complains(&self, words: &str) {
        let line = self.complaints.recv_timeout(LIMIT).expect("a complaint");
        assert!(line.contains(words), "{line}");
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
