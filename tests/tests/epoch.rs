//! A log that cannot be brought back to what was signed begins again: real processes over mTLS, the
//! offline key, countersignatures of the others, and what becomes of everything before.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options};
use registry_node::cli::init::ensure_key;
use registry_proto::{
    charter::Charter,
    key::Key,
    log::{Checkpoint, Hash, LogSigner, Origin, leaf_hash},
    terms::{
        Land::{self, HE, RP, SL, TH},
        LogId,
    },
    wire::peer::{Head, Heads, peer_message::Message},
    wire::registry::{AsOf, LogPosition, PublishRequest, ReplicationState},
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually, http_get},
    partner::Partner,
    records::{definition, request, service_id, version},
    traces::{confirmed, files_with},
};

const ALL: [Land; 3] = [SL, RP, HE];
const LINE: [(Land, Land); 2] = [(SL, RP), (RP, HE)];
const LIMIT: Duration = Duration::from_secs(60);

//     SL - RP - HE    of three entries of SL two are kept
#[tokio::test(flavor = "multi_thread")]
async fn a_log_begins_again_when_enough_others_agree_and_nothing_beyond_the_cut_counts() {
    let mut verbund = Verbund::start(&ALL, &LINE, &ALL, 2).await;
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
    assert!(told.contains("1 Eintrag, hier liegen davon 1"), "{told}");
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

//     SL - RP - HE    SL is shown a head of its own log whose entries nobody has
#[tokio::test(flavor = "multi_thread")]
async fn a_head_whose_entries_nobody_holds_ends_with_a_reset() {
    let verbund = Verbund::start(&ALL, &LINE, &ALL, 2).await;
    for (n, name) in [(1, "Erster"), (2, "Zweiter")] {
        assert_eq!(verbund.publish(n, name).await, format!("SL/1/{}", n - 1));
    }
    let lost = verbund.lost_head(5);
    let mut he = Partner::dial(verbund.cluster.client_config(SL, Who::Node(HE))).await;
    let he = he.as_mut().expect("a member may open a session");
    he.hello(verbund.charter().id(), HE).await;
    he.send(Message::Heads(Heads { heads: vec![lost], nonce: 0 })).await;
    let status = async || verbund.cluster.status(SL).await.map(|it| it.fence).unwrap_or_default();
    eventually(LIMIT, "the fence closes", async || status().await.contains("lacks")).await;
    let refused = request(vec![definition(&service_id(3), "Dritter")], vec![]);
    assert!(verbund.cluster.publish(SL, refused).await.is_err());

    let reset = verbund.reset(&verbund.stand("stand", 2), "offline.key", "sl.reset");
    verbund.operator(RP, &["epoch", "countersign", &reset]);
    verbund.operator(HE, &["epoch", "countersign", &reset]);
    verbund.operator(RP, &["epoch", "apply", &reset]);
    for land in ALL {
        verbund.in_epoch(land, 2, 1).await;
    }
    verbund.cluster.wait_open(&ALL).await;
    assert_eq!(verbund.publish(3, "Dritter").await, "SL/2/1");
    for land in ALL {
        verbund.shows(land, &["Erster", "Zweiter", "Dritter"], &[]).await;
    }
}

//     SL - RP - HE - TH    SL signed two histories, its reset keeps two of three entries; then TH comes
//                          for the first time, SL with an empty disk, and HE with another history
#[tokio::test(flavor = "multi_thread")]
async fn what_a_reset_keeps_of_two_histories_comes_to_everybody_who_lacks_it() {
    let line = [(SL, RP), (RP, HE), (HE, TH)];
    let mut verbund = Verbund::start(&[SL, RP, HE, TH], &line, &ALL, 2).await;
    for (n, name) in [(1, "Erster"), (2, "Zweiter"), (3, "Dritter")] {
        assert_eq!(verbund.publish(n, name).await, format!("SL/1/{}", n - 1));
    }
    for land in ALL {
        verbund.shows(land, &["Erster", "Zweiter", "Dritter"], &[]).await;
    }
    verbund.fork(3).await;

    let reset = verbund.reset(&verbund.stand("stand", 2), "offline.key", "sl.reset");
    for land in [RP, HE] {
        verbund.operator(land, &["epoch", "countersign", &reset]);
    }
    verbund.operator(HE, &["epoch", "apply", &reset]);
    for land in ALL {
        verbund.in_epoch(land, 2, 1).await;
    }
    verbund.cluster.wait_open(&ALL).await;
    assert_eq!(verbund.publish(4, "Vierter").await, "SL/2/1");
    let (there, gone) = (["Erster", "Zweiter", "Vierter"], ["Dritter"]);

    // a newcomer
    verbund.cluster.run(TH);
    verbund.in_epoch(TH, 2, 2).await;
    verbund.shows(TH, &there, &gone).await;
    for land in [RP, TH] {
        let status = text(&verbund.registry(land, Who::Reader, &["status"]));
        assert!(status.contains("zählen nicht") && !status.contains("strittig"), "{land} {status}");
        verbund.verifies(land, "SL/1/1");
    }

    // the owner itself, which signs nothing before
    verbund.cluster.kill(SL);
    fs::remove_dir_all(verbund.cluster.home(SL).join("data")).expect("removed");
    verbund.cluster.run(SL);
    verbund.in_epoch(SL, 2, 3).await;
    verbund.cluster.wait_open(&[SL]).await;
    assert_eq!(verbund.publish(2, "Zweiter").await, "SL/1/1", "unchanged since the first epoch");
    verbund.shows(SL, &there, &gone).await;

    // another history is set aside, what is missing is told, and comes from who came later itself
    for land in [TH, RP, HE] {
        verbund.cluster.kill(land);
    }
    verbund.hold_another_history(HE, 3, 3);
    verbund.cluster.run(HE);
    verbund.lacks(HE, 2).await;
    verbund.cluster.run(TH);
    verbund.in_epoch(HE, 2, 2).await;
    verbund.shows(HE, &there, &gone).await;
    verbund.set_one_aside(HE);
    // who gave it to HE has no checkpoint of just what is kept, nor what is signed beyond
    for entry in ["SL/1/0", "SL/1/1"] {
        verbund.verifies(HE, entry);
    }
    for land in [TH, HE] {
        let metrics = verbund.cluster.metrics(land).await;
        let faults = metrics.lines().filter(|it| it.starts_with("registry_peer_faults_total{"));
        let others: Vec<_> = faults.filter(|it| !it.contains("\"equivocation\"")).collect();
        assert!(others.iter().all(|it| it.ends_with(" 0")), "{land} {others:?}");
    }
}

//     SL - RP - HE    of four entries of SL three are kept; HE was away with two of another history, under
//                     a head beyond all that others have, so that nobody can prove anything
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_another_history_is_replaced_and_nobody_is_at_fault() {
    let mut verbund = Verbund::start(&ALL, &[(SL, RP), (RP, HE)], &ALL, 3).await;
    for (n, name) in [(1, "Erster"), (2, "Zweiter"), (3, "Dritter"), (4, "Vierter")] {
        assert_eq!(verbund.publish(n, name).await, format!("SL/1/{}", n - 1));
    }
    for land in ALL {
        verbund.shows(land, &["Erster", "Zweiter", "Dritter", "Vierter"], &[]).await;
    }
    let reset = verbund.reset(&verbund.stand("stand", 3), "offline.key", "sl.reset");
    for land in [RP, HE] {
        verbund.operator(land, &["epoch", "countersign", &reset]);
    }
    verbund.operator(HE, &["epoch", "apply", &reset]);
    for land in ALL {
        verbund.in_epoch(land, 2, 1).await;
    }
    verbund.cluster.kill(HE);
    verbund.hold_another_history(HE, 2, 10);
    verbund.cluster.run(HE);
    verbund.in_epoch(HE, 2, 1).await;
    verbund.shows(HE, &["Erster", "Zweiter", "Dritter"], &["Vierter"]).await;
    verbund.set_one_aside(HE);
    for land in [RP, HE] {
        let metrics = verbund.cluster.metrics(land).await;
        let mut faults = metrics.lines().filter(|it| it.starts_with("registry_peer_faults_total{"));
        assert!(faults.all(|it| it.ends_with(" 0")), "{land} {metrics}");
    }
}

/// In a definition that was corrected, in a version, and beyond what is kept.
const NAMES: [&str; 3] = ["Zebrafinkenmeier", "Kuckuckswalderin", "Nachtigallenhuberin"];

//     SL - RP - HE - TH    of four entries of SL three are kept; HE is away while they are erased, TH
//                          comes when nobody has the bodies any more
#[tokio::test(flavor = "multi_thread")]
async fn what_an_ended_epoch_says_of_people_is_erased_by_the_next_one() {
    let line = [(SL, RP), (RP, HE), (HE, TH)];
    let mut verbund = Verbund::start(&[SL, RP, HE, TH], &line, &ALL, 3).await;
    let id = service_id(1);
    assert_eq!(verbund.publish(1, NAMES[0]).await, "SL/1/0");
    assert_eq!(verbund.publish(1, "Antrag beim Amt").await, "SL/1/1");
    let named = request(vec![], vec![version(&id, "1.0.0", NAMES[1])]);
    assert_eq!(verbund.publish_all(named).await, "SL/1/2");
    assert_eq!(verbund.publish(2, NAMES[2]).await, "SL/1/3");
    for land in ALL {
        verbund.shows(land, &["Antrag beim Amt", NAMES[2]], &[]).await;
        assert!(NAMES.iter().all(|it| !verbund.traces(land, it).is_empty()), "{land}");
    }
    let reset = verbund.reset(&verbund.stand("stand", 3), "offline.key", "sl.reset");
    for land in [RP, HE] {
        verbund.operator(land, &["epoch", "countersign", &reset]);
    }
    verbund.operator(HE, &["epoch", "apply", &reset]);
    for land in ALL {
        verbund.in_epoch(land, 2, 1).await;
    }
    verbund.cluster.wait_open(&ALL).await;
    verbund.cluster.kill(HE);

    // the owner alone, and not what counts
    let of = |entry| ["erase", "entry", entry, "--grund", "Widerruf"];
    verbund.refused(RP, &of("SL/1/0"), "ERASE_FOREIGN");
    verbund.refused(SL, &of("SL/1/1"), "STILL_CURRENT");
    verbund.refused(SL, &of("SL/3/0"), "SL/3/0");
    let erase = ["erase", "entry", "SL/1/0", "SL/1/2", "SL/1/3", "--grund", "Widerruf"];
    verbund.operator(SL, &erase);
    verbund.refused(SL, &of("SL/1/2"), "ALREADY_ERASED");
    verbund.erased(&[SL, RP], &[HE, TH]).await;

    // back with the bodies on its disk, and then one with an empty disk, whose only partner it is
    verbund.cluster.run(HE);
    verbund.erased(&[SL, RP, HE], &[TH]).await;
    verbund.cluster.run(TH);
    verbund.erased(&[SL, RP, HE, TH], &[]).await;
    for land in [SL, RP, HE, TH] {
        verbund.shows(land, &["Antrag beim Amt"], &NAMES).await;
    }
    for land in [SL, RP, HE, TH] {
        verbund.still_verifies(land, "SL/1/0");
    }
    for land in [SL, TH] {
        verbund.cluster.kill(land);
        verbund.cluster.run(land);
    }
    verbund.cluster.wait_open(&[SL, TH]).await;
    verbund.erased(&[SL, RP, HE, TH], &[]).await;
    verbund.still_verifies(TH, "SL/1/2");
    // the number is free again
    let again = request(vec![], vec![version(&id, "1.0.0", "ohne Namen")]);
    assert!(verbund.publish_all(again).await.starts_with("SL/2/"));
}

//     SL - RP - HE - TH    of three entries of SL two are kept: the third erases the first. SL loses its
//                          disk before it begins again, TH comes when nobody has the body any more
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_a_reset_discards_is_said_again() {
    let line = [(SL, RP), (RP, HE), (HE, TH)];
    let mut verbund = Verbund::start(&[SL, RP, HE, TH], &line, &ALL, 2).await;
    assert_eq!(verbund.publish(1, NAMES[0]).await, "SL/1/0");
    assert_eq!(verbund.publish(1, "Antrag beim Amt").await, "SL/1/1");
    verbund.operator(SL, &["erase", "entry", "SL/1/0", "--grund", "Widerruf"]);
    let entry = LogPosition { land: "SL".to_owned(), epoch: 1, index: 0 };
    for land in ALL {
        confirmed(&verbund.cluster, land, &entry, &ALL, &[TH]).await;
    }
    verbund.fork(3).await;
    let reset = verbund.reset(&verbund.stand("stand", 2), "offline.key", "sl.reset");
    for land in [RP, HE] {
        verbund.operator(land, &["epoch", "countersign", &reset]);
    }
    verbund.cluster.kill(SL);
    fs::remove_dir_all(verbund.cluster.home(SL).join("data")).expect("removed");
    verbund.operator(HE, &["epoch", "apply", &reset]);
    for land in [RP, HE] {
        verbund.in_epoch(land, 2, 0).await;
    }

    verbund.cluster.run(SL);
    for land in ALL {
        verbund.in_epoch(land, 2, 2).await;
    }
    for land in ALL {
        confirmed(&verbund.cluster, land, &entry, &ALL, &[TH]).await;
    }
    verbund.proved("SL/2/1", "ENTRY_KIND_ERASURE").await;
    verbund.still_verifies(RP, "SL/1/0");
    verbund.cluster.wait_open(&ALL).await;
    assert_eq!(verbund.publish(2, "Anmeldung").await, "SL/2/2");

    verbund.cluster.run(TH);
    verbund.in_epoch(TH, 2, 3).await;
    for land in [SL, RP, HE, TH] {
        verbund.shows(land, &["Antrag beim Amt", "Anmeldung"], &NAMES).await;
        confirmed(&verbund.cluster, land, &entry, &[SL, RP, HE, TH], &[]).await;
        assert!(verbund.traces(land, NAMES[0]).is_empty(), "{land}");
    }
    // once is enough
    verbund.cluster.kill(SL);
    verbund.cluster.run(SL);
    verbund.cluster.wait_open(&[SL]).await;
    assert_eq!(verbund.publish(3, "Auskunft").await, "SL/2/3");
}

struct Verbund {
    cluster: Cluster,
    /// Entries of the first epoch of SL that are kept.
    kept: u64,
}

impl Verbund {
    async fn start(all: &[Land], links: &[(Land, Land)], run: &[Land], kept: u64) -> Self {
        let mut cluster = Cluster::prepare(all, links);
        set_quiet(&cluster.prepared().config(SL));
        run.iter().for_each(|land| cluster.run(*land));
        cluster.wait_open(run).await;
        Self { cluster, kept }
    }

    fn charter(&self) -> Charter {
        let raw = fs::read(self.cluster.prepared().charter()).expect("the charter");
        Charter::parse(raw.into()).expect("a charter")
    }

    /// A head of SL that it signed long ago, as somebody knows it who holds nothing of it.
    fn lost_head(&self, size: u64) -> Head {
        let key =
            |name: &str| Key::from(ensure_key(&self.cluster.home(SL).join(name)).expect("key"));
        let signer = LogSigner::new(key("log.key"), key("freshness.key"));
        let log = LogId { land: SL, epoch: 1 };
        let origin = Origin { verbund: self.charter().id(), log };
        let checkpoint = Checkpoint { origin, size, root: leaf_hash(b"lost") };
        let signed = checkpoint.sign(&signer, 1_700_000_000).expect("signed");
        Head {
            land: "SL".to_owned(),
            epoch: 1,
            size: 0,
            root: Hash::EMPTY_ROOT.as_bytes().to_vec().into(),
            checkpoint: signed.raw().clone(),
            held: Default::default(),
            kept: false,
        }
    }

    /// Shows RP another history of so many entries of SL, and waits until everybody knows of it.
    async fn fork(&self, size: u64) {
        let mut th = Partner::dial(self.cluster.client_config(RP, Who::Node(TH))).await;
        let th = th.as_mut().expect("a member may open a session");
        th.hello(self.charter().id(), TH).await;
        let heads = vec![self.lost_head(size)];
        th.send(Message::Heads(Heads { heads, nonce: 0 })).await;
        for land in ALL {
            let stopped = ["a log is no longer accepted", "SL/1"];
            self.cluster.saw(land, "registry_log_forked{land=\"SL\"}", &stopped).await;
        }
    }

    /// Records of the first epoch of SL were set aside once.
    #[track_caller]
    fn set_one_aside(&self, at: Land) {
        let journal = self.cluster.home(at).join("data/journal/SL/1");
        let names = fs::read_dir(journal).expect("a journal").map(|it| it.expect("a file").path());
        assert_eq!(names.filter(|it| it.extension().is_some_and(|it| it == "aside")).count(), 1);
    }

    /// Puts so many entries of another history, under a head of `size`, in the place of what a node
    /// holds of the first epoch of SL.
    fn hold_another_history(&self, at: Land, entries: usize, size: u64) {
        let dir = self.cluster.home(at).join("data/journal/SL/1");
        fs::remove_dir_all(&dir).expect("removed");
        let verbund = *self.charter().id().as_bytes();
        let label = Label { verbund, land: "SL".to_owned(), epoch: 1 };
        let opened = Journal::open(&dir, &label, Options::default(), &mut |_| ());
        let (mut journal, _) = opened.expect("a new journal");
        let body = Body::Present { salt: &[7; 16], bytes: b"another" };
        let entries = vec![EntryRef { header: b"another", body }; entries];
        let note = self.lost_head(size).checkpoint;
        let checkpoint = CheckpointRecord { note, note_size: size, proof: Vec::new() };
        let (entries, checkpoint) = (&entries[..], &checkpoint);
        let group = Group { entries, checkpoint, received_unix_ms: 1, from: "th-1" };
        journal.append(&group).expect("durable");
    }

    /// Waits until a node says everywhere that it has none of what counts of the first epoch of SL.
    async fn lacks(&self, land: Land, ends: u64) {
        let what = format!("{land} lacks {ends} of SL/1\n{}", self.cluster.stderr(land));
        let missing = format!("SL/1: 0 von {ends} Einträgen, die zählen, sind hier");
        let behind = format!("registry_log_behind_entries{{land=\"SL\"}} {ends}");
        let shown = format!("fehlen hier {ends} von {ends} Einträgen");
        eventually(LIMIT, &what, async || {
            let Ok(status) = self.cluster.status(land).await else { return false };
            let first = |it: &&AsOf| it.land == "SL" && it.epoch == 1;
            let state = status.logs.iter().find(first).map(AsOf::state);
            let ready = http_get(self.cluster.bound(land).monitoring, "/readyz").await;
            state == Some(ReplicationState::CatchingUp)
                && ready.contains(&missing)
                && self.cluster.metrics(land).await.lines().any(|it| it == behind)
                && text(&self.registry(land, Who::Reader, &["status"])).contains(&shown)
        })
        .await;
        self.shows(land, &["Vierter"], &["Erster", "Zweiter"]).await;
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
        self.publish_all(request(vec![definition(&service_id(n), name)], vec![])).await
    }

    async fn publish_all(&self, mut record: PublishRequest) -> String {
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
                let (from, folded) = (it.discarded_from, it.folded);
                (it.state(), from, folded) == (ReplicationState::Ended, Some(self.kept), self.kept)
            };
            of(1).is_some_and(ended) && of(epoch).is_some_and(|it| it.size >= size)
        })
        .await;
    }

    /// Waits until these Länder have confirmed that the entries 0, 2 and 3 of the first epoch of SL
    /// are erased; then nothing of them is left in a file of theirs.
    async fn erased(&self, laender: &[Land], open: &[Land]) {
        for land in laender {
            for index in [0, 2, 3] {
                let entry = LogPosition { land: "SL".to_owned(), epoch: 1, index };
                // who never had what is beyond the cut has nothing to tell of it
                if index < self.kept || *land != TH {
                    confirmed(&self.cluster, *land, &entry, laender, open).await;
                }
            }
            for name in NAMES {
                let files = self.traces(*land, name);
                assert!(files.is_empty(), "{land} {name} {files:?}");
            }
        }
    }

    fn traces(&self, land: Land, name: &str) -> Vec<PathBuf> {
        files_with(&self.cluster.home(land), name)
    }

    #[track_caller]
    fn verifies(&self, land: Land, entry: &str) -> String {
        let charter = text_of(&self.cluster.prepared().charter());
        let shown = self.registry(land, Who::Reader, &["proof", entry, "--charter", &charter]);
        assert!(shown.status.success(), "{land} {}", text(&shown));
        let shown = text(&shown);
        assert!(shown.contains("Geprüft"), "{land} {shown}");
        shown
    }

    #[track_caller]
    fn still_verifies(&self, land: Land, entry: &str) {
        let shown = self.verifies(land, entry);
        assert!(shown.contains("liegt nicht bei"), "{land} {shown}");
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
