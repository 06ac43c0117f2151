//! A catalogue as files between two Verbünde: what one exports, the other publishes, and exports
//! byte for byte the same.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use registry_node::demo::{Demo, DemoArgs};
use registry_proto::terms::Land;
use registry_tests::cluster::binary;
use tempfile::TempDir;

/// A demo with the node of SL, as its publisher sees it.
struct Verbund {
    dir: TempDir,
    demo: Demo,
}

// === impl Verbund ===

impl Verbund {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let args = DemoArgs {
            dir: dir.path().join("demo-data"),
            http: false,
            any_port: true,
            prepare: false,
            empty: true,
            with_newcomer: false,
        };
        let demo = Demo::start(&args).await.expect("the demo starts");
        demo.wait_live().await.expect("all nodes answer");
        Self { dir, demo }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn registry(&self, args: &[&str]) -> Output {
        let pki = self.path("demo-data/pki");
        let mut command = Command::new(binary("registry"));
        let port = self.demo.node(Land::SL).expect("a node").bound().grpc.port();
        command
            .env("REGISTRY_ENDPOINT", format!("https://localhost:{port}"))
            .env("REGISTRY_CA", pki.join("ca.pem"))
            .env("REGISTRY_CERT", pki.join("publisher-sl.pem"))
            .env("REGISTRY_KEY", pki.join("publisher-sl.key"))
            .current_dir(self.dir.path())
            .args(args);
        tokio::task::spawn_blocking(move || command.output().expect("it runs")).await.expect("ran")
    }

    /// Standard error of a call that succeeds.
    async fn done(&self, args: &[&str]) -> String {
        let output = self.registry(args).await;
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    /// Entries of the log of SL; an empty one has no line of its own.
    async fn entries(&self) -> Option<String> {
        let output = self.registry(&["status", "-o", "yaml"]).await;
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let own = text.split("- land: SL").nth(1).unwrap_or_else(|| panic!("{text}"));
        let own = own.split("\n- ").next().unwrap_or_default();
        own.lines().find(|line| line.trim_start().starts_with("size:")).map(str::to_owned)
    }
}

/// All files under a directory.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("directory") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("inside").to_owned();
                found.insert(name, fs::read(&path).expect("file"));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_published_elsewhere_exports_the_same_bytes() {
    let (one, other) = (Verbund::start().await, Verbund::start().await);
    let example = one.registry(&["example", "manifest"]).await;
    let text = String::from_utf8(example.stdout).expect("UTF-8");
    let text = text
        .replace(
            "  kurztext:\n",
            "  volltext:\n    - language_code: de\n      text: \"<p>Zeile eins,\\n  Größe: 5 m²</p>\
             \\n\"\n  kurztext:\n",
        )
        .replace(
            "  # artefakte:\n  #   - datei: dateien/antrag.pdf\n",
            "  artefakte:\n  - datei: dateien/antrag.pdf\n    name: Antrag (neu).pdf\n  - datei: \
             dateien/antrag.pdf\n    name: .versteckt\n  - datei: dateien/kurz\n  - datei: \
             dateien/api.yaml\n    typ: openapi\n",
        );
    let records = one.path("katalog/dateien");
    fs::create_dir_all(&records).expect("folders");
    fs::write(records.join("antrag.pdf"), b"%PDF\n\0\xff").expect("file");
    fs::write(records.join("kurz"), b"x").expect("file");
    fs::write(records.join("api.yaml"), api("/antraege")).expect("file");
    let manifest = one.path("katalog/dienst.yaml");

    // a mistake is found before the files are sent
    let wrong = text.replace("lizenz: EUPL-1.2", "lizenz: ''");
    fs::write(&manifest, wrong).expect("manifest");
    let before = one.entries().await;
    let refused = one.registry(&["apply", "-f", "katalog"]).await;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{told}");
    assert!(told.contains("[LIZENZ_MISSING]") && told.contains("katalog/dienst.yaml:"), "{told}");
    fs::write(&manifest, text).expect("manifest");
    let told = one.done(&["apply", "-f", "katalog", "--dry-run"]).await;
    assert!(told.contains("1 Dienst in Ordnung, nichts geschrieben."), "{told}");
    assert!(told.contains("3 Dateien fehlen dem Knoten noch"), "{told}");
    assert_eq!(one.entries().await, before);

    one.done(&["apply", "-f", "katalog"]).await;
    one.done(&["export", "abschrift"]).await;
    let exported = tree(&one.path("abschrift"));
    assert_eq!(exported.len(), 5, "{:?}", exported.keys());

    let abschrift = one.path("abschrift").display().to_string();
    let applied = other.done(&["apply", "-f", &abschrift]).await;
    assert!(applied.contains("1 Dienst veröffentlicht."), "{applied}");
    other.done(&["export", "abschrift"]).await;
    assert_eq!(tree(&other.path("abschrift")), exported);

    let before = other.entries().await;
    let again = other.done(&["apply", "-f", &abschrift]).await;
    assert!(again.contains("Nichts zu tun: 1 Dienst"), "{again}");
    other.done(&["diff", "-f", &abschrift]).await;
    assert_eq!(other.entries().await, before);
    assert!(before.is_some());

    // without the files, the digests stand in the manifest, and mean the same
    other.done(&["export", "--without-artefacts", "nur-text"]).await;
    assert_eq!(tree(&other.path("nur-text")).len(), 1);
    other.done(&["diff", "-f", "nur-text"]).await;
    for verbund in [one, other] {
        assert!(verbund.demo.stop().await, "the demo stops in order");
    }
}

/// A description of an interface with one path.
fn api(path: &str) -> String {
    format!(
        "openapi: 3.1.0\ninfo: {{title: Antrag, version: '1'}}\npaths:\n  {path}:\n    post: \
         {{responses: {{'200': {{description: gut}}}}}}\n"
    )
}

/// The node has none of the files of the new version: one that it has to compare, and a workflow.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_breaks_in_files_that_the_node_does_not_have() {
    let sl = Verbund::start().await;
    let example = sl.registry(&["example", "manifest"]).await;
    let example = String::from_utf8(example.stdout).expect("UTF-8");
    let files = |api: &str, flow: &str| {
        format!(
            "  artefakte:\n  - datei: {api}\n    name: api.yaml\n    typ: openapi\n  - datei: \
             {flow}\n    name: ablauf.awml\n    typ: awml\n"
        )
    };
    let comment = "  # artefakte:\n  #   - datei: dateien/antrag.pdf\n";
    let first = example.replace(comment, &files("api.yaml", "ablauf.awml"));
    let second = first.split("---\n").nth(1).expect("a version").replace("1.0.0", "1.1.0");
    let second = second.replace("datei: api", "datei: neu").replace("datei: ablauf", "datei: neu");
    fs::create_dir_all(sl.path("k")).expect("folder");
    for (name, text) in [("api.yaml", api("/antraege")), ("neu.yaml", api("/antrag"))] {
        fs::write(sl.path("k").join(name), text).expect("file");
    }
    fs::write(sl.path("k/ablauf.awml"), "<workflow/>").expect("file");
    fs::write(sl.path("k/neu.awml"), "<workflow name=\"neu\"/>").expect("file");
    fs::write(sl.path("k/dienst.yml"), &first).expect("manifest");
    sl.done(&["apply", "-f", "k/dienst.yml"]).await;
    let before = sl.entries().await;

    let check = async |text: &str, code: i32, parts: &[&str]| {
        fs::write(sl.path("k/dienst.yml"), format!("{first}---\n{text}")).expect("manifest");
        for all in [&[][..], &["--atomic"]] {
            let args = [&["apply", "-f", "k/dienst.yml", "--dry-run"], all].concat();
            let ran = sl.registry(&args).await;
            let told = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
            assert_eq!(ran.status.code(), Some(code), "{told}");
            for part in parts {
                assert!(told.contains(part), "{part:?} in {told}");
            }
            assert!(!told.contains("die Datei entfällt"), "{told}");
        }
        assert_eq!(sl.entries().await, before);
    };
    let path = "artefakte[api.yaml]#/paths/~1antraege";
    check(&second, 3, &["[BREAKING_NEEDS_MAJOR]", path]).await;
    let older = second.replace("1.1.0", "0.9.0");
    check(&older, 3, &["[VERSION_NOT_GREATER]"]).await;
    let major = second.replace("1.1.0", "2.0.0").replace("breaking: false", "breaking: true");
    check(&major, 0, &["2.0.0 bricht mit 1.0.0.", path, "1 Datei fehlt dem Knoten noch"]).await;
    assert!(sl.demo.stop().await, "the demo stops in order");
}

const ID: &str = "01930000-0000-7000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn an_export_replaces_only_what_loses_nothing() {
    let sl = Verbund::start().await;
    let example = sl.registry(&["example", "service"]).await;
    let example = String::from_utf8(example.stdout).expect("UTF-8");
    let service = |id: &str| {
        let line = format!("  service_id: \"{id}\"");
        example.replace("  # service_id: \"01930000-0000-7000-8000-000000000000\"", &line)
    };
    let version = sl.registry(&["example", "version"]).await;
    let version = String::from_utf8(version.stdout).expect("UTF-8");
    let release = async |number: &str| {
        let text = version
            .replace("HIER-DIE-UUID-DES-DIENSTES-EINTRAGEN", ID)
            .replace("\"1.0.0\"\n\n  # FIM", &format!("\"{number}\"\n\n  # FIM"));
        assert!(text.contains(&format!("version: \"{number}\"")));
        fs::write(sl.path("version.yaml"), text).expect("version");
        sl.done(&["publish", "-f", "version.yaml"]).await;
    };
    let export = async |dir: &str, force: &[&str]| {
        let output = sl.registry(&[&["export", dir], force].concat()).await;
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        (output.status.code(), told)
    };
    fs::write(sl.path("dienst.yaml"), service(ID)).expect("definition");
    sl.done(&["publish", "-f", "dienst.yaml"]).await;
    release("1.0.0").await;
    let name = format!("{ID}.yaml");

    // a manifest as it was exported grows
    assert_eq!(export("k", &[]).await.0, Some(0));
    release("1.1.0").await;
    let (code, told) = export("k", &[]).await;
    assert!(code == Some(0) && told.contains("1 ersetzt"), "{told}");

    // one with a comment does not, unless forced
    let manifest = sl.path("k").join(&name);
    let text = fs::read_to_string(&manifest).expect("manifest");
    let commented = format!("# von Hand\n{text}");
    fs::write(&manifest, &commented).expect("manifest");
    assert!(export("k", &[]).await.1.contains("1 unverändert"));
    release("1.2.0").await;
    let (code, told) = export("k", &[]).await;
    assert!(code == Some(3) && told.contains("sagt etwas anderes"), "{told}");
    assert_eq!(fs::read_to_string(&manifest).expect("manifest"), commented);
    assert_eq!(export("k", &["--force"]).await.0, Some(0));
    assert!(fs::read_to_string(&manifest).expect("manifest").contains("version: 1.2.0"));

    // neither does a file of somebody else
    fs::create_dir(sl.path("fremd")).expect("folder");
    fs::write(sl.path("fremd").join(&name), "# kein Datensatz\n").expect("file");
    let (code, told) = export("fremd", &[]).await;
    assert!(code == Some(3) && told.contains("andere Datei"), "{told}");
    fs::write(sl.path("fremd").join(&name), "kein: Manifest\n").expect("file");
    assert_eq!(export("fremd", &[]).await.0, Some(2));
    assert_eq!(export("fremd", &["--force"]).await.0, Some(0));

    // and a manifest of two services is never cut
    let other = ID.replace("0001", "0002");
    let both = format!("{}---\n{}", fs::read_to_string(&manifest).expect("text"), service(&other));
    fs::create_dir(sl.path("zwei")).expect("folder");
    fs::write(sl.path("zwei/beide.yaml"), &both).expect("manifest");
    sl.done(&["apply", "-f", "zwei"]).await;
    assert!(export("zwei", &[]).await.1.contains("2 unverändert"));
    release("1.3.0").await;
    let (code, told) = export("zwei", &["--force"]).await;
    assert!(code == Some(3) && told.contains("teilt sich Manifeste"), "{told}");
    assert_eq!(fs::read_to_string(sl.path("zwei/beide.yaml")).expect("manifest"), both);
    assert_eq!(tree(&sl.path("zwei")).len(), 1);
    assert!(sl.demo.stop().await, "the demo stops in order");
}
