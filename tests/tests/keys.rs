//! Keys under a passphrase, with real processes: made, encrypted and shown by the command line, opened
//! at the start of a node, and kept out of core dumps.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

use registry_proto::terms::Land::{self, RP, SL};
use registry_tests::{
    cluster::{Cluster, binary},
    records::{definition, request, service_id},
};

const LAENDER: [Land; 2] = [SL, RP];
const LINK: [(Land, Land); 1] = [(SL, RP)];

/// Runs `registry-node` with a line on its standard input.
fn node(args: &[&str], line: &str) -> Output {
    let mut child = Command::new(binary("registry-node"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("registry-node starts");
    let mut stdin = child.stdin.take().expect("piped");
    // who needs no passphrase may be gone already
    let _gone = writeln!(stdin, "{line}");
    drop(stdin);
    child.wait_with_output().expect("ends")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_key_is_made_encrypted_and_shown() {
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("offline.key");
    let path = path.to_str().expect("UTF-8");
    let refused = node(&["key", "new", path], "");
    assert!(!refused.status.success() && text(&refused).contains("--passphrase-fd"));
    let made = node(&["key", "new", path, "--passphrase-fd", "0"], "geheim");
    assert!(made.status.success(), "{}", text(&made));
    assert!(text(&made).contains("scrypt"), "{}", text(&made));
    let public = text(&made).lines().last().map(str::to_owned).expect("a line");
    let shown = node(&["key", "show", path, "--passphrase-fd", "0"], "geheim");
    assert_eq!(text(&shown).lines().last(), Some(public.as_str()));
    let locked = node(&["key", "show", path], "");
    assert!(locked.status.success() && text(&locked).contains("nur mit Passphrase"));
    let wrong = node(&["key", "show", path, "--passphrase-fd", "0"], "falsch");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong).contains("Passphrase ist falsch"), "{}", text(&wrong));
    let again = node(&["key", "new", path, "--unencrypted"], "");
    assert!(text(&again).contains("besteht schon"), "{}", text(&again));
}

//     SL - RP        SL's keys are encrypted before the start
#[tokio::test(flavor = "multi_thread")]
async fn a_node_opens_encrypted_keys_and_leaves_no_core_dump() {
    let mut cluster = Cluster::prepare(&LAENDER, &LINK);
    let home = cluster.home(SL);
    for name in ["log.key", "freshness.key"] {
        let path = home.join(name);
        let path = path.to_str().expect("UTF-8");
        let done = node(&["key", "encrypt", path, "--passphrase-fd", "0"], "geheim");
        assert!(done.status.success(), "{}", text(&done));
        let pem = fs::read_to_string(path).expect("key");
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    }
    let config = cluster.prepared().config(SL);
    let file = config.to_str().expect("UTF-8");
    let check = ["run", "--check", "--config", file];
    let closed = node(&check, "");
    assert_eq!(closed.status.code(), Some(64));
    assert!(text(&closed).contains("passphrase_fd"), "{}", text(&closed));
    let opened = node(&[&check[..], &["--passphrase-fd", "0"]].concat(), "geheim");
    assert!(opened.status.success(), "{}", text(&opened));

    // systemd gives the passphrase as a file in a directory of the service
    let credentials = home.join("credentials");
    fs::create_dir(&credentials).expect("directory");
    fs::write(credentials.join("registry"), "geheim").expect("credential");
    let opened = Command::new(binary("registry-node"))
        .args(check)
        .args(["--passphrase-credential", "registry"])
        .env("CREDENTIALS_DIRECTORY", &credentials)
        .output()
        .expect("registry-node starts");
    assert!(opened.status.success(), "{}", text(&opened));

    let passphrase = home.join("passphrase");
    fs::write(&passphrase, "geheim\n").expect("passphrase");
    fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).expect("mode");
    let toml = fs::read_to_string(&config).expect("configuration");
    let mut toml: toml::Table = toml.parse().expect("TOML");
    let keys = toml["keys"].as_table_mut().expect("a table");
    keys.insert("passphrase_file".to_owned(), "passphrase".into());
    fs::write(&config, toml.to_string()).expect("configuration");
    cluster.run(SL);
    cluster.run(RP);
    cluster.wait_open(&LAENDER).await;
    let records = request(vec![definition(&service_id(1), "Mit verschlossenem Schlüssel")], vec![]);
    cluster.publish(SL, records).await.expect("signed and published");

    let limits = fs::read_to_string(format!("/proc/{}/limits", cluster.pid(SL))).expect("limits");
    let core = limits.lines().find(|it| it.starts_with("Max core file size")).expect("a line");
    let numbers: Vec<_> = core.split_whitespace().filter(|it| it.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
}
