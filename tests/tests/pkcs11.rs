//! Keys in a PKCS#11 token, with real processes and SoftHSM2: made there, refused with a reason,
//! signed with by a node, lost and found. `apt install softhsm2`, then
//! `cargo test -p registry-tests --test pkcs11 -- --ignored`.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use registry_proto::{
    terms::Land::{self, RP, SL},
    wire::registry::{Charter, PublishRequest},
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually, http_get},
    records::{definition, request, service_id},
};

const PIN: &str = "987654";
const LAENDER: [Land; 2] = [SL, RP];
const LINK: [(Land, Land); 1] = [(SL, RP)];
const LIMIT: Duration = Duration::from_secs(30);

/// SoftHSM2 with one token.
struct Hsm {
    dir: PathBuf,
    module: PathBuf,
}

impl Hsm {
    fn new(dir: &Path) -> Self {
        let module = ["/usr/lib/softhsm", "/usr/lib64/pkcs11", "/usr/local/lib/softhsm"]
            .iter()
            .map(|it| Path::new(it).join("libsofthsm2.so"))
            .find(|it| it.exists())
            .expect("apt install softhsm2");
        let hsm = Self { dir: dir.join("hsm"), module };
        fs::create_dir_all(hsm.tokens()).expect("directory");
        let conf = format!("directories.tokendir = {}\n", hsm.tokens().display());
        fs::write(hsm.conf(), conf).expect("configuration");
        let pins = ["--so-pin", "12345678", "--pin", PIN];
        hsm.util(&[&["--init-token", "--free", "--label", "Verbund"], &pins[..]].concat());
        hsm
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("softhsm2.conf")
    }

    fn tokens(&self) -> PathBuf {
        self.dir.join("tokens")
    }

    fn util(&self, args: &[&str]) {
        let mut command = Command::new("softhsm2-util");
        let done = command.args(args).env("SOFTHSM2_CONF", self.conf()).output().expect("runs");
        assert!(done.status.success(), "{}", text(&done));
    }

    fn uri(&self, object: &str) -> String {
        format!("pkcs11:token=Verbund;object={object}?module-path={}", self.module.display())
    }

    /// Runs `registry-node` with a PIN on its standard input.
    fn node(&self, args: &[&str], pin: &str) -> Output {
        let mut child = Command::new(binary("registry-node"))
            .args(args)
            .env("SOFTHSM2_CONF", self.conf())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("registry-node starts");
        let mut stdin = child.stdin.take().expect("piped");
        // who needs no PIN may be gone already
        let _gone = writeln!(stdin, "{pin}");
        drop(stdin);
        child.wait_with_output().expect("ends")
    }

    /// Makes a key and returns its public half.
    fn make(&self, object: &str) -> String {
        let made = self.node(&["key", "new", &self.uri(object), "--pin-fd", "0"], PIN);
        assert!(made.status.success(), "{}", text(&made));
        assert!(text(&made).contains("das ihn nicht herausgibt"), "{}", text(&made));
        let shown = text(&made);
        shown.split_whitespace().last().expect("a public half").to_owned()
    }

    /// The token is pulled out.
    fn pull(&self) {
        fs::rename(self.tokens(), self.dir.join("gone")).expect("pulled");
    }

    /// The token is put in again.
    fn put(&self) {
        fs::rename(self.dir.join("gone"), self.tokens()).expect("put");
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
#[ignore = "needs SoftHSM2: apt install softhsm2"]
fn a_key_is_made_in_a_token_and_what_is_wrong_is_named() {
    let dir = tempfile::tempdir().expect("directory");
    let hsm = Hsm::new(dir.path());
    let public = hsm.make("log");
    let uri = hsm.uri("log");
    let shown = hsm.node(&["key", "show", &uri, "--pin-fd", "0"], PIN);
    assert!(shown.status.success() && text(&shown).contains(&public), "{}", text(&shown));
    let again = hsm.node(&["key", "new", &uri, "--pin-fd", "0"], PIN);
    assert!(!again.status.success() && text(&again).contains("besteht schon"), "{}", text(&again));

    let other = rcgen::KeyPair::generate().expect("P-256").serialize_pem();
    let path = dir.path().join("p256.key");
    fs::write(&path, other).expect("key");
    let path = path.to_str().expect("UTF-8");
    hsm.util(&[
        "--import", path, "--token", "Verbund", "--label", "p256", "--id", "0c", "--pin", PIN,
    ]);

    // each names the cause and what to do
    let module = hsm.module.to_str().expect("UTF-8");
    let elsewhere = |module: &str| format!("pkcs11:token=Verbund;object=log?module-path={module}");
    let check = |uri: &str, pin: &str, expect: &[&str]| {
        let refused = hsm.node(&["key", "show", uri, "--pin-fd", "0"], pin);
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(expect.iter().all(|it| said.contains(it)), "{expect:?} in {said}");
        assert!(!said.contains(pin), "{said}");
    };
    check(&uri, "000000", &["ist falsch", "sperrt sich"]);
    check(&uri.replace("Verbund", "Anderes"), PIN, &["kein Token", "«Verbund»"]);
    check(&uri.replace("=log", "=fehlt"), PIN, &["kein privater Schlüssel", "«log»", "key new"]);
    check(&uri.replace("=log", "=p256"), PIN, &["kein Ed25519-Schlüssel"]);
    check(&elsewhere("/nirgends/modul.so"), PIN, &["nicht gefunden", "module-path"]);
    check(&elsewhere("/etc/hostname"), PIN, &["lässt sich nicht laden"]);
    check(&elsewhere("modul.so"), PIN, &["absoluten Pfad"]);
    check(&format!("{uri}&pin-value={PIN}"), PIN, &["eine PIN gehört nicht in die URI"]);
    check(&elsewhere(&format!("{module}&pin-source=fd:2")), PIN, &["ist eine Ausgabe"]);
    let without = hsm.node(&["key", "show", &uri], "");
    assert!(text(&without).contains("verlangt eine PIN"), "{}", text(&without));

    let home = dir.path().join("sl");
    let home_text = home.to_str().expect("UTF-8");
    let freshness = hsm.uri("freshness");
    let init = ["init", "--land", "SL", "--node", "sl-1.example", "--dir", home_text];
    let keys = ["--log-key", &uri, "--freshness-key", &freshness, "--pin-fd", "0"];
    let done = hsm.node(&[&init[..], &keys].concat(), PIN);
    assert!(done.status.success(), "{}", text(&done));
    let card = fs::read_to_string(home.join("member.json")).expect("card");
    assert!(card.contains(&public), "{card}");
    let toml = fs::read_to_string(home.join("node.toml")).expect("configuration");
    let toml: toml::Table = toml.parse().expect("TOML");
    assert_eq!(toml["keys"]["freshness"].as_str(), Some(freshness.as_str()));
    assert!(home.join("offline.key").exists() && !home.join("log.key").exists());
}

//     SL - RP        SL's keys are in a token
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs SoftHSM2: apt install softhsm2"]
async fn a_node_signs_with_a_token_and_survives_its_loss() {
    let mut cluster = Cluster::prepare(&LAENDER, &LINK);
    let hsm = Hsm::new(cluster.dir());
    let public = [hsm.make("log"), hsm.make("freshness")];
    use_keys(&cluster, &hsm, &public, ["log", "freshness"], "000000");
    let config = cluster.prepared().config(SL);
    let file = config.to_str().expect("UTF-8").to_owned();
    let check = ["run", "--check", "--config", &file];
    let refused = hsm.node(&check, "");
    assert_eq!(refused.status.code(), Some(64));
    assert!(text(&refused).contains("PIN für Token «Verbund» ist falsch"), "{}", text(&refused));
    use_keys(&cluster, &hsm, &public, ["freshness", "log"], PIN);
    let swapped = hsm.node(&check, "");
    assert_eq!(text(&swapped).matches("dessen öffentlicher Teil in der Charta steht").count(), 2);
    use_keys(&cluster, &hsm, &public, ["log", "freshness"], PIN);
    let listed = hsm.node(&["key", "list", "--config", &file, "--check"], "");
    assert!(listed.status.success(), "{}", text(&listed));
    assert!(public.iter().all(|it| text(&listed).contains(it)), "{}", text(&listed));

    cluster.set_env(SL, "SOFTHSM2_CONF", &hsm.conf());
    LAENDER.iter().for_each(|land| cluster.run(*land));
    cluster.wait_open(&LAENDER).await;
    // held by the partner: it has verified both signatures
    cluster.publish(SL, service(1)).await.expect("signed and replicated");

    hsm.pull();
    let refused = cluster.publish(SL, service(2)).await.expect_err("nobody signs");
    assert!(format!("{refused:?}").contains("SIGNING_FAILED"), "{refused:?}");
    // nothing else suffers, and it is said wherever somebody looks
    cluster.publish(RP, service(3)).await.expect("the other log goes on");
    eventually(LIMIT, "SL says it", async || says(&cluster, true).await).await;
    let table = cluster.registry(SL, Who::Reader, &["status"]).output().expect("runs");
    assert!(text(&table).contains("Achtung: ein Schlüssel des Landes"), "{}", text(&table));
    hsm.put();
    // nobody publishes: the node tries by itself
    eventually(LIMIT, "SL says that it signs", async || says(&cluster, false).await).await;
    cluster.publish(SL, service(4)).await.expect("the token is found again");
    let status = cluster.status(RP).await.expect("status");
    let log = status.logs.iter().find(|it| it.land == "SL").expect("a log");
    assert_eq!(log.size, 2, "what was not signed never was");

    // the token is gone when the node itself has something to say, that nobody was asked: it says so
    // first as soon as it can, and needs no restart
    LAENDER.iter().for_each(|land| cluster.kill(*land));
    let config = cluster.prepared().config(SL);
    let toml = fs::read_to_string(&config).expect("configuration");
    let fence = "[fence]\npolicy = \"available\"\navailable_after = \"10s\"\n";
    fs::write(&config, format!("{toml}\n{fence}")).expect("configuration");
    let before = cluster.stderr(SL).len();
    cluster.run(SL);
    eventually(LIMIT, "SL answers", async || cluster.status(SL).await.is_ok()).await;
    hsm.pull();
    eventually(LIMIT, "SL cannot say it", async || {
        cluster.stderr(SL)[before..].contains("cannot sign the head of the own log")
    })
    .await;
    let alone = || PublishRequest { ack_peers: 0, ..service(5) };
    let refused = cluster.publish(SL, alone()).await.expect_err("nobody signs");
    assert!(format!("{refused:?}").contains("SIGNING_FAILED"), "{refused:?}");
    hsm.put();
    let mut index = None;
    eventually(LIMIT, "the token is found again", async || {
        let answer = cluster.publish(SL, alone()).await.ok();
        index = answer.and_then(|it| Some(it.records.first()?.position.as_ref()?.index));
        index.is_some()
    })
    .await;
    assert_eq!(index, Some(3), "behind the entry that says so");
    let log = cluster.stderr(SL);
    assert!(!log.contains(PIN), "no PIN in the log");
}

/// SL says in status, metrics and `/readyz` whether a key fails to sign.
async fn says(cluster: &Cluster, failed: bool) -> bool {
    let status = cluster.status(SL).await.is_ok_and(|it| it.signing_failed == failed);
    let metric = format!("registry_signing_failed {}", u8::from(failed));
    let metric = cluster.metrics(SL).await.lines().any(|it| it == metric);
    let ready = http_get(cluster.bound(SL).monitoring, "/readyz").await;
    let warned = ready.contains("Ein Schlüssel des Landes unterschreibt nicht") == failed;
    status && metric && warned && ready.contains(r#""ready":true"#)
}

fn service(n: u64) -> PublishRequest {
    let mut request = request(vec![definition(&service_id(n), "Aus dem Token")], vec![]);
    request.ack_peers = 1;
    request
}

/// Puts keys into the charter and objects of the token into the configuration of SL.
fn use_keys(cluster: &Cluster, hsm: &Hsm, public: &[String; 2], objects: [&str; 2], pin: &str) {
    let path = cluster.prepared().charter();
    let mut charter = Charter::decode(&fs::read(&path).expect("charter")[..]).expect("charter");
    let of_sl = |it: &&mut registry_proto::wire::registry::Member| it.land == SL.code();
    let member = charter.members.iter_mut().find(of_sl).expect("SL");
    let [log, freshness] = public.each_ref().map(|it| Bytes::from(hex(it)));
    (member.log_key, member.freshness_key) = (log, freshness);
    fs::write(&path, charter.encode_to_vec()).expect("charter");

    let file = cluster.home(SL).join("pin");
    fs::write(&file, pin).expect("PIN");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode");
    let config = cluster.prepared().config(SL);
    let toml = fs::read_to_string(&config).expect("configuration");
    let mut toml: toml::Table = toml.parse().expect("TOML");
    let keys = toml["keys"].as_table_mut().expect("a table");
    let [log, freshness] = objects.map(|it| hsm.uri(it));
    keys.insert("log".to_owned(), log.into());
    keys.insert("freshness".to_owned(), freshness.into());
    keys.insert("pin_file".to_owned(), "pin".into());
    fs::write(&config, toml.to_string()).expect("configuration");
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digits).collect()
}
