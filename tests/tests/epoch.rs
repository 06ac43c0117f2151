//! A log that cannot be brought back to what was signed begins again: real processes over mTLS, the
//! offline key, countersignatures of the others, and what becomes of everything before.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use registry_proto::{
    charter::Charter,
    terms::Land::{self, HE, RP, SL},
    wire::registry::{AsOf, ReplicationState},
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually},
    records::{definition, request, service_id},
};

const ALL: [Land; 3] = [SL, RP, HE];
const LINE: [(Land, Land); 2] = [(SL, RP), (RP, HE)];
const LIMIT: Duration = Duration::from_secs(60);

//     SL - RP - HE    of three entries of SL two are kept
#[tokio::test(flavor = "multi_thread")]
async fn a_log_begins_again_when_enough_others_agree_and_nothing_beyond_the_cut_counts() {
    let mut verbund = Verbund::start().await;
    let pids = ALL.map(|land| verbund.cluster.pid(land));
    for (n, name) in [(1, "Erster"), (2, "Zweiter"), (3, "Dritter")] {
        assert_eq!(verbund.publish(n, name).await, format!("SL/1/{}", n - 1));
    }
    for land in ALL {
        verbund.shows(land, &["Erster", "Zweiter", "Dritter"], &[]).await;
    }

    // signed on a machine without a network; the log itself cannot sign what the key is for
    let stand = verbund.stand("stand", 2);
    let reset = verbund.reset(&stand, "offline.key", "sl.reset");
    let told = verbund.resets_not(&stand, "log.key");
    assert!(told.contains("ist nicht der Offline-Schlüssel von SL"), "{told}");
    let by_log_key = verbund.reset(&verbund.stand_for_log_key(&stand), "log.key", "forged.reset");
    verbund.refused(RP, &["epoch", "countersign", &by_log_key], "EPOCH_RESET");

    // one of two others is not enough, and nobody agrees twice
    verbund.refused(SL, &["epoch", "countersign", &reset], "EPOCH_RESET");
    let told = verbund.operator(RP, &["epoch", "countersign", &reset, "--dry-run"]);
    assert!(told.contains("1 Einträge, hier liegen davon 1"), "{told}");
    let told = verbund.operator(RP, &["epoch", "countersign", &reset]);
    assert!(told.contains("es fehlt noch eine Zustimmung"), "{told}");
    verbund.refused(HE, &["epoch", "apply", &reset], "COUNTERSIGNATURES_MISSING");
    let other = verbund.reset(&verbund.stand("other", 1), "offline.key", "other.reset");
    verbund.refused(RP, &["epoch", "countersign", &other], "OTHER_RESET_COUNTERSIGNED");
    let denied = verbund.registry(HE, Who::Reader, &["epoch", "countersign", &reset]);
    assert!(!denied.status.success());
    let told = verbund.operator(HE, &["epoch", "countersign", &reset]);
    assert!(told.contains("genug Zustimmungen"), "{told}");
    verbund.refused(SL, &["epoch", "apply", &reset], "LOG_IS_WRITTEN");

    // one node is given it, all take it, in the same processes
    let told = verbund.operator(HE, &["epoch", "apply", &reset]);
    assert!(told.contains("SL/2 folgt"), "{told}");
    for land in ALL {
        verbund.in_epoch(land, 2, 1).await;
    }
    assert_eq!(pids, ALL.map(|land| verbund.cluster.pid(land)));
    verbund.cluster.wait_open(&ALL).await;
    let listed = verbund.operator(SL, &["epoch", "list"]);
    assert!(listed.contains("SL/1") && listed.contains("HE, RP"), "{listed}");
    verbund.proved("SL/2/0", "ENTRY_KIND_EPOCH_RESET").await;

    // what is kept counts, what is beyond does not, and the log goes on
    assert_eq!(verbund.publish(4, "Vierter").await, "SL/2/1");
    assert_eq!(verbund.publish(2, "Zweiter").await, "SL/1/1", "unchanged since the first epoch");
    for land in ALL {
        verbund.shows(land, &["Erster", "Zweiter", "Vierter"], &["Dritter"]).await;
    }
    verbund.refused(RP, &["epoch", "countersign", &reset], "EPOCH_NOT_RUNNING");
    verbund.audited(
        RP,
        "CountersignEpochReset",
        &["dry run: SL/1 size=2 root=", "\"SL/1 size=2 root="],
    );
    verbund.audited(HE, "TakeEpochReset", &["\"SL/1 size=2 root="]);

    // the disk is lost with all that was known of epochs; both come back
    verbund.cluster.kill(SL);
    fs::remove_dir_all(verbund.cluster.home(SL).join("data")).expect("removed");
    verbund.cluster.run(SL);
    verbund.in_epoch(SL, 2, 3).await;
    verbund.cluster.wait_open(&[SL]).await;
    verbund.proved("SL/2/2", "ENTRY_KIND_RECOVERED").await;
    assert_eq!(verbund.publish(5, "Fünfter").await, "SL/2/3");
    for land in ALL {
        let there = ["Erster", "Zweiter", "Vierter", "Fünfter"];
        verbund.shows(land, &there, &["Dritter"]).await;
    }
}

struct Verbund {
    cluster: Cluster,
}

impl Verbund {
    async fn start() -> Self {
        let mut cluster = Cluster::prepare(&ALL, &LINE);
        set_quiet(&cluster.prepared().config(SL));
        ALL.iter().for_each(|land| cluster.run(*land));
        cluster.wait_open(&ALL).await;
        Self { cluster }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.cluster.dir().join(name)
    }

    /// The audit log of a Land says what was done to what.
    #[track_caller]
    fn audited(&self, land: Land, act: &str, objects: &[&str]) {
        let path = self.cluster.home(land).join("data/audit/00000000000000000000.jsonl");
        let text = fs::read_to_string(path).expect("lines");
        for object in objects {
            let is_there = |it: &str| it.contains(act) && it.contains(object);
            assert!(text.lines().any(is_there), "{act} {object} in\n{text}");
        }
    }

    /// What SL would keep of its log, in a file.
    #[track_caller]
    fn stand(&self, name: &str, size: u64) -> PathBuf {
        let out = self.path(&format!("{name}.toml"));
        let config = self.cluster.prepared().config(SL);
        let size = size.to_string();
        let (config, file) = (text_of(&config), text_of(&out));
        node(&["epoch", "stand", "--config", &config, "--size", &size, "--out", &file]);
        out
    }

    /// The same for a machine that is told another key.
    fn stand_for_log_key(&self, stand: &Path) -> PathBuf {
        let raw = fs::read(self.cluster.prepared().charter()).expect("charter");
        let charter = Charter::parse(raw.into()).expect("charter");
        let member = charter.member(SL).expect("a member");
        let [offline, log] =
            [member.offline_key, member.keys.log].map(|it| hex::encode(it.as_bytes()));
        let text = fs::read_to_string(stand).expect("read");
        assert!(text.contains(&offline), "{text}");
        let out = self.path("other-key.toml");
        fs::write(&out, text.replace(&offline, &log)).expect("written");
        out
    }

    /// What is said about a key that signs no reset.
    #[track_caller]
    fn resets_not(&self, stand: &Path, key: &str) -> String {
        let (key, out) = (self.cluster.home(SL).join(key), self.path("never.reset"));
        let mut command = Command::new(binary("registry-node"));
        command.args(["epoch", "reset", "--reason", "verloren", "--stand"]).arg(stand);
        let output = command.arg("--key").arg(key).arg("--out").arg(&out).output().expect("runs");
        assert!(!output.status.success() && !out.exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A reset that keeps this, signed with one of the keys of SL.
    #[track_caller]
    fn reset(&self, stand: &Path, key: &str, name: &str) -> String {
        let (key, out) = (self.cluster.home(SL).join(key), self.path(name));
        let (stand, key, out) = (text_of(stand), text_of(&key), text_of(&out));
        let args = ["--stand", &stand, "--key", &key, "--reason", "verloren", "--out", &out];
        node(&[&["epoch", "reset"], &args[..]].concat());
        out
    }

    fn registry(&self, land: Land, who: Who, args: &[&str]) -> Output {
        self.cluster.registry(land, who, args).output().expect("registry runs")
    }

    #[track_caller]
    fn operator(&self, land: Land, args: &[&str]) -> String {
        let output = self.registry(land, Who::Operator(land), args);
        assert!(output.status.success(), "{land} {args:?}: {}", text(&output));
        text(&output)
    }

    /// An operator is told no, with this reason.
    #[track_caller]
    fn refused(&self, land: Land, args: &[&str], reason: &str) {
        let output = self.registry(land, Who::Operator(land), args);
        assert!(!output.status.success(), "{land} {args:?}: {}", text(&output));
        assert!(text(&output).contains(reason), "{land} {args:?}: {}", text(&output));
    }

    /// Publishes at SL, held by RP; answers where it stands.
    async fn publish(&self, n: u64, name: &str) -> String {
        let mut record = request(vec![definition(&service_id(n), name)], vec![]);
        record.ack_peers = 1;
        let answer = self.cluster.publish(SL, record).await.expect("published");
        let at = answer.records[0].position.as_ref().expect("a place");
        format!("{}/{}/{}", at.land, at.epoch, at.index)
    }

    /// Waits until a node lists these services of SL and none of the others.
    async fn shows(&self, land: Land, there: &[&str], gone: &[&str]) {
        let what =
            format!("{land} lists {there:?} without {gone:?}\n{}", self.cluster.stderr(land));
        eventually(LIMIT, &what, async || {
            let listed = self.registry(land, Who::Reader, &["service", "list", "--land", "SL"]);
            let listed = text(&listed);
            there.iter().all(|it| listed.contains(it)) && !gone.iter().any(|it| listed.contains(it))
        })
        .await;
    }

    /// Waits until a node holds so much of a later epoch of SL, and of the first what is kept.
    async fn in_epoch(&self, land: Land, epoch: u64, size: u64) {
        let what = format!("{land} holds {size} of SL/{epoch}\n{}", self.cluster.stderr(land));
        eventually(LIMIT, &what, async || {
            let Ok(status) = self.cluster.status(land).await else { return false };
            let of = |epoch| status.logs.iter().find(|it| it.land == "SL" && it.epoch == epoch);
            let ended = |it: &AsOf| {
                (it.state(), it.discarded_from, it.folded) == (ReplicationState::Ended, Some(2), 2)
            };
            of(1).is_some_and(ended) && of(epoch).is_some_and(|it| it.size >= size)
        })
        .await;
    }

    /// RP proves that this entry is of this kind.
    async fn proved(&self, position: &str, kind: &str) {
        let charter = text_of(&self.cluster.prepared().charter());
        let args = ["-o", "yaml", "proof", position, "--charter", &charter];
        eventually(LIMIT, &format!("RP shows {kind} at {position}"), async || {
            text(&self.registry(RP, Who::Reader, &args)).contains(kind)
        })
        .await;
    }
}

#[track_caller]
fn node(args: &[&str]) {
    let output = Command::new(binary("registry-node")).args(args).output();
    let output = output.expect("registry-node runs");
    assert!(output.status.success(), "{args:?}: {}", text(&output));
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path").to_owned()
}

/// Nobody else signs here; the real default takes more than a minute.
fn set_quiet(config: &Path) {
    let mut text = fs::read_to_string(config).expect("configuration");
    text.push_str("\n[fence]\nquiet = \"2s\"\n");
    fs::write(config, text).expect("written");
}
