//! The audit log of a node over real processes: what is done over mutual TLS leaves lines, their
//! head goes into the log of the Land, and whoever changes a line is found out.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use registry_client::{Client, ClientConfig};
use registry_node::{audit::line::Line, pki::Pki};
use registry_proto::{
    charter::Charter,
    log::Hash,
    terms::Land::{self, RP, SL},
    wire::{
        admin::{AcceptHeldRequest, admin_service_client::AdminServiceClient},
        registry::{LogPosition, Quota},
    },
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually},
    records::{definition, request, service_id, version},
};
use tokio::io::AsyncWriteExt;

const LAENDER: [Land; 2] = [SL, RP];
const LINK: [(Land, Land); 1] = [(SL, RP)];
const LIMIT: Duration = Duration::from_secs(60);
const PUBLISH: &str = "verbund.registry.v1.PublishService/Publish";
const ERASE: &str = "verbund.registry.v1.ErasureService/Erase";
const VOTE: &str = "verbund.registry.v1.CharterService/VoteCharter";
const ACCEPT: &str = "verbund.admin.v1.AdminService/AcceptHeld";

//     SL - RP
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_leaves_lines_that_cannot_be_changed_unnoticed() {
    let mut cluster = Cluster::start(&LAENDER, &LINK).await;
    // a refused publication, a refused handshake, a publication, an act of the operator
    let reader = cluster.client(SL, Who::Reader).await.expect("connected");
    let records = || request(vec![definition(&service_id(1), "Spur")], vec![]);
    reader.publish(records()).await.expect_err("no publisher");
    let mut stranger = tokio::net::TcpStream::connect(cluster.bound(SL).grpc).await.expect("tcp");
    stranger.write_all(b"GET / HTTP/1.0\r\n\r\n").await.expect("sent");
    cluster.publish(SL, records()).await.expect("published");
    assert_eq!(size_at(&cluster, SL).await, 1, "publishing alone needs no anchor at once");
    let endpoint = format!("https://{}", cluster.bound(SL).admin);
    let operator = ClientConfig { endpoint, ..cluster.client_config(SL, Who::Operator(SL)) };
    let operator = Client::connect(operator).await.expect("connected");
    let accept = AcceptHeldRequest { land: "RP".to_owned(), epoch: 1 };
    AdminServiceClient::new(operator.channel()).accept_held(accept).await.expect("accepted");
    // its line is there as soon as it is answered, and its anchor goes to the partner
    assert!(lines(&cluster).iter().any(|it| it.act == ACCEPT));
    eventually(LIMIT, "RP holds the anchor of SL", async || size_at(&cluster, RP).await == 2).await;

    let status = cluster.terminate(SL, LIMIT).await;
    assert_eq!(status.code(), Some(0), "{}", cluster.stderr(SL));
    let told = lines(&cluster);
    for (act, outcome, object) in [
        ("audit.begin", "OK", ""),
        ("key.load", "OK", "log "),
        ("config.load", "OK", ""),
        ("tls.load", "OK", "certificate: "),
        ("tls.load", "OK", "client_anchors: "),
        ("node.start", "OK", "SL sl-1."),
        ("fence.open", "OK", ""),
        ("tls.handshake", "not_tls", "grpc"),
        (PUBLISH, "PERMISSION_DENIED", ""),
        (PUBLISH, "OK", "SL/1/0 "),
        (ACCEPT, "OK", "land=RP epoch=1"),
        ("node.stop", "OK", ""),
    ] {
        let mut found = told.iter().filter(|it| it.act == act && it.outcome == outcome);
        let found = found.find(|it| it.object.starts_with(object));
        let found = found.unwrap_or_else(|| panic!("{act} {outcome} {object} in {told:#?}"));
        if ["config.load", "tls.load"].contains(&act) {
            assert!(found.object.contains("sha256="), "{found:?}");
        }
        if act.starts_with("verbund.") {
            assert!(found.who.starts_with("p-") && !found.names.is_empty(), "{found:?}");
            assert!(found.from.starts_with("127.0.0.1"), "{found:?}");
        }
    }
    // the end is anchored too: nothing is unproved
    let (code, text) = verify(&cluster, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Das Auditlog passt.") && !text.contains("kein Anker"), "{text}");
    assert!(text.contains("Anker aus dem Protokoll SL/1, 3 Einträge"), "{text}");

    // a restart goes on in the same chain, and a node that runs can be verified
    cluster.run(SL);
    cluster.wait_open(&LAENDER).await;
    let (code, text) = verify(&cluster, &[]);
    assert_eq!(code, Some(0), "{text}");
    cluster.terminate(SL, LIMIT).await;
    assert!(lines(&cluster).len() > told.len());
    tampered(&cluster);
}

//     SL - RP        what decides about more than what one publishes
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_decides_is_durable_and_anchored_and_says_about_what() {
    let mut cluster = Cluster::start(&LAENDER, &LINK).await;
    for name in ["Alt", "Neu"] {
        let records = request(vec![definition(&service_id(1), name)], vec![]);
        cluster.publish(SL, records).await.expect("published");
    }
    let operator = cluster.client(SL, Who::Operator(SL)).await.expect("connected");
    let old = vec![LogPosition { land: "SL".to_owned(), epoch: 1, index: 0 }];
    let erase = async |dry_run| operator.erase(old.clone(), "Irrtum".to_owned(), dry_run).await;
    // what was only tried, and what was refused, is not hurried into the log of the Land
    erase(true).await.expect("tried");
    let publisher = cluster.client(SL, Who::Publisher(SL)).await.expect("connected");
    let genesis = cluster.client(SL, Who::Reader).await.expect("connected").charters().await;
    let genesis = Charter::parse(genesis.expect("charters").charters[0].clone()).expect("genesis");
    let mut next = genesis.draft_of_next();
    next.members[0].quota = Some(Quota { entries_per_day: 9_000, bytes_per_day: 0 });
    let next = Bytes::from(next.encode_to_vec());
    publisher.vote_charter(next.clone(), false).await.expect_err("no operator");
    operator.vote_charter(next.clone(), true).await.expect("tried");
    assert_eq!(size_at(&cluster, SL).await, 2);
    erase(false).await.expect("erased");
    let erased = lines(&cluster);
    let erased: Vec<_> = erased.iter().filter(|it| it.act == ERASE).collect();
    assert_eq!(erased.len(), 2, "there as soon as it is answered: {erased:#?}");
    eventually(LIMIT, "RP holds the anchor of SL", async || size_at(&cluster, RP).await == 4).await;
    // nobody can erase twice; without a change it is counted with the refusals
    erase(false).await.expect_err("erased already");
    operator.vote_charter(Bytes::new(), false).await.expect("said");
    operator.vote_charter(next.clone(), false).await.expect_err("said already");
    let charter = format!("charter=1 digest={}", Hash::of(&next));
    let tried = format!("dry run: {charter} round=1");
    let status = cluster.terminate(SL, LIMIT).await;
    assert_eq!(status.code(), Some(0), "{}", cluster.stderr(SL));
    let told = lines(&cluster);
    for (act, outcome, object) in [
        (ERASE, "OK", "dry run: SL/1/0 grund=Irrtum"),
        (ERASE, "OK", "SL/1/0 by SL/1/2 grund=Irrtum"),
        (ERASE, "FAILED_PRECONDITION", "SL/1/0 grund=Irrtum"),
        (VOTE, "PERMISSION_DENIED", charter.as_str()),
        (VOTE, "OK", tried.as_str()),
        (VOTE, "FAILED_PRECONDITION", charter.as_str()),
        (VOTE, "OK", "abstain round=1 at SL/1/4"),
    ] {
        let found = told.iter().any(|it| {
            (it.act.as_str(), it.outcome.as_str(), it.object.as_str()) == (act, outcome, object)
        });
        assert!(found, "{act} {outcome} {object} in {told:#?}");
    }
    let (code, text) = verify(&cluster, &[]);
    assert_eq!(code, Some(0), "{text}");
}

//     SL - RP        SL sends its lines to a syslog as it writes them
#[tokio::test(flavor = "multi_thread")]
async fn lines_reach_a_syslog_while_they_are_written_and_afterwards() {
    let syslog = || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        socket.set_read_timeout(Some(LIMIT)).expect("limited");
        let target = format!("udp://{}", socket.local_addr().expect("address"));
        (socket, target)
    };
    let (live, target) = syslog();
    let mut cluster = Cluster::prepare(&LAENDER, &LINK);
    let config = cluster.prepared().config(SL);
    let text = fs::read_to_string(&config).expect("configuration");
    fs::write(&config, format!("{text}\n[audit]\nsyslog = \"{target}\"\n")).expect("written");
    cluster.run(SL);
    cluster.run(RP);
    cluster.wait_open(&LAENDER).await;
    let records = request(vec![definition(&service_id(1), "Spur")], vec![]);
    cluster.publish(SL, records).await.expect("published");
    let published = received(&live, PUBLISH);
    assert!(published.starts_with("<110>1 20"), "{published}");
    for words in [" sl-1.", " registry-node - Publish [audit@32473 seq=", " who=\"p-", "SL/1/0 "] {
        assert!(published.contains(words), "{words} in {published}");
    }
    cluster.terminate(SL, LIMIT).await;
    received(&live, "node.stop");

    let (later, target) = syslog();
    let (code, text) = audit(&cluster, &["export", "--format", "syslog", "--to", &target]);
    assert!(code == Some(0) && text.contains("Zeilen an udp://"), "{text}");
    assert_eq!(received(&later, PUBLISH), published);
    let (code, text) = audit(&cluster, &["export", "--until", "2999-01-01"]);
    assert!(
        code == Some(0) && text == fs::read_to_string(file(&cluster)).expect("lines"),
        "{text}"
    );
    assert_eq!(audit(&cluster, &["export", "--since", "2999-01-01"]), (Some(0), String::new()));
    let (code, text) = audit(&cluster, &["export", "--since", "gestern"]);
    assert!(code == Some(2) && text.contains("ist kein Tag"), "{text}");
}

/// The next message that contains `words`.
fn received(socket: &UdpSocket, words: &str) -> String {
    let mut buffer = [0; 4_096];
    loop {
        let read = socket.recv(&mut buffer).expect("a message in time");
        let message = String::from_utf8(buffer[..read].to_vec()).expect("UTF-8");
        if message.contains(words) {
            return message;
        }
    }
}

//     SL - RP        a contact in what is published and in what is refused
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_node_tells_nothing_of_people_and_keys() {
    let cluster = Cluster::start(&LAENDER, &LINK).await;
    let contact = "erika.mustermann@behoerde.example";
    let with_contact = |number: &str, link: &str| {
        let mut version = version(&service_id(1), number, "Erika Mustermann");
        version.nachnutzung[0].kontakt = contact.to_owned();
        version.onlinedienste[0].link = link.to_owned();
        request(vec![definition(&service_id(1), "Spur")], vec![version])
    };
    let good = "https://dienst.example/antrag";
    cluster.publish(SL, with_contact("1.0.0", good)).await.expect("published");
    cluster.publish(SL, with_contact("1.1.0", contact)).await.expect_err("no link");
    cluster.publish(SL, with_contact("1.0.0", good)).await.expect("published already");
    let reader = cluster.client(SL, Who::Reader).await.expect("connected");
    reader.publish(with_contact("1.2.0", good)).await.expect_err("no publisher");
    eventually(LIMIT, "RP holds it", async || size_at(&cluster, RP).await == 2).await;

    let mut secret = vec![contact.to_owned(), "Mustermann".to_owned(), Pki::publisher_name(SL)];
    for key in ["log.key", "freshness.key", "offline.key"] {
        let pem = fs::read_to_string(cluster.home(SL).join(key)).expect("key");
        secret.extend(pem.lines().filter(|it| !it.starts_with("-----")).map(str::to_owned));
    }
    for land in LAENDER {
        let log = cluster.stderr(land);
        for secret in &secret {
            assert!(!log.contains(secret.as_str()), "{secret} in the log of {land}\n{log}");
        }
    }
    assert!(cluster.stderr(SL).contains("call refused"));
    // and what of it is in the audit log is who asked, not what was asked
    let told = fs::read_to_string(file(&cluster)).expect("lines");
    assert!(!told.contains("Mustermann") && !told.contains(contact), "{told}");
    assert!(told.contains(&Pki::publisher_name(SL)), "{told}");
}

/// Whatever is done to the files is found, by the journal here and by that of the partner.
fn tampered(cluster: &Cluster) {
    let path = file(cluster);
    let whole = fs::read_to_string(&path).expect("lines");
    let all: Vec<&str> = whole.lines().collect();
    let at = all.iter().position(|it| it.contains(ACCEPT)).expect("a line");
    let write = |lines: &[String]| fs::write(&path, lines.join("\n") + "\n").expect("written");
    let owned = || -> Vec<String> { all.iter().map(|it| (*it).to_owned()).collect() };
    let journal = cluster.home(RP).join("data/journal");
    let partner = ["--journal", journal.to_str().expect("UTF-8")];
    let check = |lines: &[String], code: i32, words: &str| {
        write(lines);
        for extra in [&[][..], &partner[..]] {
            let (found, text) = verify(cluster, extra);
            assert_eq!(found, Some(code), "{text}");
            assert!(text.contains(words), "{words} in {text}");
        }
    };
    // clumsily
    let mut lines = owned();
    lines[at] = lines[at].replace("land=RP", "land=HE");
    check(&lines, 3, &format!("Erste Zeile, die nicht passt: Nr. {at} "));
    lines.remove(at);
    check(&lines, 3, &format!("Nr. {at} "));
    // with all hashes made anew
    let mut lines = owned();
    let mut prev = None;
    for (n, text) in lines.iter_mut().enumerate() {
        let (mut line, _) = Line::parse(text).expect("a line");
        if n == at {
            line.object = "land=HE epoch=1".to_owned();
        }
        line.prev = prev.unwrap_or(line.prev);
        let (sealed, hash) = line.seal();
        (*text, prev) = (sealed, Some(hash.to_string()));
    }
    check(&lines, 3, "widerspricht: mindestens eine der Zeilen 0 bis");
    // the end is cut off
    check(&owned()[..at], 4, "nennt Zeilen, die nicht hier sind");
    check(&owned(), 0, "Das Auditlog passt.");
}

fn verify(cluster: &Cluster, extra: &[&str]) -> (Option<i32>, String) {
    audit(cluster, &[&["verify"], extra].concat())
}

/// `registry-node audit` for SL: exit code and everything it prints.
fn audit(cluster: &Cluster, args: &[&str]) -> (Option<i32>, String) {
    let config = cluster.prepared().config(SL);
    let Output { status, stdout, stderr } = Command::new(binary("registry-node"))
        .arg("audit")
        .args(args)
        .arg("--config")
        .arg(config)
        .output()
        .expect("registry-node runs");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// Entries of the log of SL at a node.
async fn size_at(cluster: &Cluster, at: Land) -> u64 {
    let status = cluster.status(at).await.expect("status");
    status.logs.iter().filter(|it| it.land == "SL").map(|it| it.size).sum()
}

/// The lines of SL.
fn lines(cluster: &Cluster) -> Vec<Line> {
    let text = fs::read_to_string(file(cluster)).expect("lines");
    text.lines().map(|it| Line::parse(it).expect("a line").0).collect()
}

/// The one file they stand in.
fn file(cluster: &Cluster) -> PathBuf {
    let dir: &Path = &cluster.home(SL).join("data/audit");
    dir.join("00000000000000000000.jsonl")
}
