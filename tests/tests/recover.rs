//! A Land whose disk is lost, whose backup is old, or whose machine was copied: real processes over
//! mTLS. Nothing is signed twice, and publishing goes on behind what came back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use registry_journal::{Body, EntryRef, Group, Journal, Label, Options, Stored, StoredBody};
use registry_proto::{
    terms::Land::{self, HE, RP, SL},
    wire::registry::{LogPosition, ReplicationState},
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually, http_get},
    records::{definition, request, service_id},
    traces::{confirmed, files_with},
};

const LINE: [(Land, Land); 2] = [(SL, RP), (RP, HE)];
const LIMIT: Duration = Duration::from_secs(60);
/// Stands in what is erased, and nowhere else.
const ERASED: &str = "Dienst Zwetschgendatschi";

//     SL - RP - HE
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_and_an_old_backup_come_back_from_partners() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE], &LINE);
    // nobody else signs here; the real default takes more than a minute
    set_quiet(&cluster.prepared().config(SL), "2s");
    start(&mut cluster, &[SL, RP, HE]).await;
    assert_eq!(publish(&cluster, 1).await, 0);
    cluster.kill(SL);
    let data = cluster.home(SL).join("data");
    let backup = cluster.dir().join("backup");
    copy(&data, &backup);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    assert!(!cluster.stderr(SL).contains("came back"), "a restart alone loses nothing");
    assert_eq!((publish(&cluster, 2).await, publish(&cluster, 3).await), (1, 2));

    // the disk is gone; nobody is there to ask
    cluster.kill(SL);
    fs::rename(&data, cluster.dir().join("lost")).expect("moved away");
    cluster.kill(RP);
    cluster.run(SL);
    eventually(LIMIT, "SL answers", async || cluster.status(SL).await.is_ok()).await;
    check_refused(&cluster, "noch hat kein Knoten eines anderen Landes").await;
    cluster.run(RP);
    cluster.wait_open(&[SL]).await;
    assert_eq!(publish(&cluster, 4).await, 4, "behind the entry that says so");
    check_recovered(&cluster, 3, &["RECOVERED_CAUSE_EMPTY", "land: RP", "size: '3'"]).await;
    cluster.saw(SL, "registry_fence_open", &["came back from partners", "upto=3"]).await;

    // an old state is put back
    cluster.kill(SL);
    fs::remove_dir_all(&data).expect("removed");
    copy(&backup, &data);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    assert_eq!(publish(&cluster, 5).await, 6);
    check_recovered(&cluster, 5, &["RECOVERED_CAUSE_BEHIND", "from: '1'", "size: '5'"]).await;
    check_one_history(&cluster, 7, &[RP, HE]).await;
}

//     SL - RP        SL stands still, as a paused container; nobody is there when it wakes up
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_signs_nothing_before_a_partner_answers() {
    let mut cluster = Cluster::prepare(&[SL, RP], &LINE[..1]);
    start(&mut cluster, &[SL, RP]).await;
    assert_eq!(publish(&cluster, 1).await, 0);
    let client = cluster.client(SL, Who::Publisher(SL)).await.expect("connected");
    cluster.freeze(SL);
    // waits for a process that does not run
    let record = request(vec![definition(&service_id(2), "Zuerst")], vec![]);
    let mut waiting = tokio::task::JoinSet::new();
    waiting.spawn(async move { client.publish(record).await });
    // its partner gives it up: by now a copy could have taken its place
    eventually(LIMIT, "RP gives SL up", async || {
        cluster.metrics(RP).await.lines().any(|it| it == "registry_sessions 0")
    })
    .await;
    cluster.freeze(RP);
    cluster.thaw(SL);
    let refused = waiting.join_next().await.expect("one").expect("asked").expect_err("fenced");
    assert_eq!(refused.class(), registry_client::Class::Unavailable, "{refused:?}");
    let closed = "registry_fence_closed_total{why=\"frozen\"}";
    cluster.saw(SL, closed, &["publishing is closed", "stood still"]).await;
    check_refused(&cluster, "noch hat kein Knoten eines anderen Landes").await;
    let log = cluster.home(SL).join("data/journal/SL/1/00000000000000000000.seg");
    let before = fs::metadata(&log).expect("a segment").len();
    cluster.thaw(RP);
    cluster.wait_open(&[SL]).await;
    assert_eq!(fs::metadata(&log).expect("a segment").len(), before, "nothing was written");
    assert_eq!(publish(&cluster, 3).await, 1);
    check_one_history(&cluster, 2, &[RP]).await;
}

//     SL - RP - HE - (a copy of SL)
#[tokio::test(flavor = "multi_thread")]
async fn of_two_copies_only_one_goes_on_and_an_operator_says_which() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE], &LINE);
    // two beacons: so long it may take until the copy hears what the other signed
    set_quiet(&cluster.prepared().config(SL), "12s");
    start(&mut cluster, &[SL, RP, HE]).await;
    publish(&cluster, 1).await;
    cluster.kill(SL);
    let mut twin = Twin::of(&cluster);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;

    // as a snapshot of the machine would: the copy does not notice where it stands
    twin.settle();
    twin.run();
    twin.logs("publishing is open").await;
    twin.is_older_than_a_second().await;
    let last = twin.notices(&cluster, 0).await;
    // it stays so when it is started again while the other lives: what was copied, it knows now
    assert!(!twin.place().exists());
    twin.kill();
    let opened = twin.opened();
    twin.run();
    let last = twin.notices(&cluster, last).await;
    assert_eq!(twin.opened(), opened, "{}", twin.stderr());
    twin.kill();
    check_one_history(&cluster, last + 1, &[RP, HE]).await;

    // the operator decides for the copy
    cluster.kill(SL);
    let data = cluster.home(SL).join("data");
    fs::remove_dir_all(&data).expect("removed");
    fs::rename(twin.home.join("data"), &data).expect("moved");
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    assert_eq!(publish(&cluster, 100_000).await, last + 2);
    check_recovered(&cluster, last + 1, &["RECOVERED_CAUSE_BEHIND"]).await;
    check_one_history(&cluster, last + 3, &[RP, HE]).await;
}

//     SL - RP        SL has chosen to go on alone, RP has not
#[tokio::test(flavor = "multi_thread")]
async fn of_two_members_one_alone_goes_on_only_if_its_operator_chose_so() {
    let mut cluster = Cluster::prepare(&[SL, RP], &[(SL, RP)]);
    let config = cluster.prepared().config(SL);
    let strict = fs::read_to_string(&config).expect("configuration");
    start(&mut cluster, &[SL, RP]).await;
    assert_eq!(publish(&cluster, 1).await, 0);

    cluster.kill(RP);
    cluster.kill(SL);
    // the second begins with its start: beside a partner that starts as well it may be over before that
    // one answers, and rightly opens alone, so it is set only while nobody is there
    let fence = "[fence]\npolicy = \"available\"\navailable_after = \"1s\"\n";
    fs::write(&config, format!("{strict}\n{fence}")).expect("written");
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    let alone = request(vec![definition(&service_id(2), "Allein")], vec![]);
    let answer = cluster.publish(SL, alone).await.expect("published alone");
    let index = answer.records[0].position.as_ref().map(|it| it.index);
    assert_eq!(index, Some(2), "behind the entry that says that nobody was asked");
    cluster.saw(SL, "registry_fence_unfenced_total", &["publishing opens by policy"]).await;

    cluster.kill(SL);
    cluster.run(RP);
    eventually(LIMIT, "RP answers", async || cluster.status(RP).await.is_ok()).await;
    let alone = request(vec![definition(&service_id(3), "Nicht allein")], vec![]);
    let refused = cluster.publish(RP, alone).await.expect_err("fenced");
    assert_eq!(refused.class(), registry_client::Class::Unavailable, "{refused:?}");
    assert!(cluster.metrics(RP).await.contains("registry_fence_unfenced_total 0"));

    // together again: one history, and both publish
    fs::write(&config, strict).expect("written");
    cluster.run(SL);
    cluster.wait_open(&[SL, RP]).await;
    let both = request(vec![definition(&service_id(4), "Zusammen")], vec![]);
    cluster.publish(RP, both).await.expect("published");
    assert_eq!(publish(&cluster, 5).await, 3);
    check_one_history(&cluster, 4, &[RP]).await;
}

//     SL - RP        somebody changes the log of SL on the disk of RP
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_changed_on_the_disk_of_a_partner_is_never_shown() {
    let mut cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    for n in 1..4 {
        publish(&cluster, n).await;
    }
    cluster.kill(RP);
    let journal = cluster.home(RP).join("data/journal/SL/1/00000000000000000000.seg");
    let mut bytes = fs::read(&journal).expect("a journal");
    let name = b"Dienst 2";
    let at = bytes.windows(name.len()).position(|it| it == name).expect("in the body");
    bytes[at] = b'X';
    fs::write(&journal, bytes).expect("changed");
    // with the index gone RP has to read what is on the disk
    fs::remove_dir_all(cluster.home(RP).join("data/index")).expect("removed");
    cluster.run(RP);
    eventually(LIMIT, "RP answers", async || cluster.status(RP).await.is_ok()).await;
    cluster
        .saw(RP, "registry_journal_damage{land=\"SL\"}", &["damage in the journal", "SL/1"])
        .await;
    // both go on, and the log of RP is not disturbed, though its index waits for the log of SL
    eventually(LIMIT, "RP may publish", async || {
        cluster.status(RP).await.is_ok_and(|it| it.fence == "open")
    })
    .await;
    publish_at(&cluster, RP, 5).await;
    cluster.wait_open(&[SL]).await;
    publish(&cluster, 4).await;
    let listed = cluster.registry(RP, Who::Reader, &["service", "list", "--land", "SL"]);
    let output = { listed }.output().expect("registry runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!text.contains("Xienst"), "{text}");
}

//     SL - RP        somebody writes the log of SL anew on the disk of RP, with checksums that fit
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_written_anew_on_the_disk_of_a_partner_comes_again() {
    let mut cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    for n in 1..4 {
        publish(&cluster, n).await;
    }
    cluster.kill(RP);
    let data = cluster.home(RP).join("data");
    write_anew(&data.join("journal/SL/1"), |entries| entries.swap(1, 2));
    fs::remove_dir_all(data.join("index")).expect("removed");
    cluster.run(RP);
    eventually(LIMIT, "RP answers", async || cluster.status(RP).await.is_ok()).await;
    let words = ["that its owner did not sign", "SL/1"];
    cluster.saw(RP, "registry_journal_damage{land=\"SL\"}", &words).await;
    check_one_history(&cluster, 3, &[RP]).await;
    // it was not the owner
    let faults = cluster.metrics(RP).await;
    assert!(!faults.contains("fault=\"equivocation\""), "{faults}");
    cluster.wait_open(&[SL, RP]).await;
    publish_at(&cluster, RP, 5).await;
    publish(&cluster, 4).await;
    let listed = cluster.registry(RP, Who::Reader, &["service", "list", "--land", "SL"]);
    let output = { listed }.output().expect("registry runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for n in 1..5 {
        assert!(text.contains(&format!("Dienst {n}")), "{text}");
    }
}

//     SL - RP        somebody changes a body in the log of SL on the disk of RP, with its checksum
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_changed_with_its_checksum_is_never_shown_and_comes_again() {
    let mut cluster = Cluster::start(&[SL, RP], &[(SL, RP)]).await;
    for n in 1..4 {
        publish(&cluster, n).await;
    }
    let data = cluster.home(RP).join("data");
    // while it is folded, and when somebody asks for what was folded before
    for is_folded in [false, true] {
        cluster.kill(RP);
        let told = cluster.stderr(RP).lines().count();
        write_anew(&data.join("journal/SL/1"), |entries| {
            let StoredBody::Present { bytes, .. } = &mut entries[1].body else { panic!("no body") };
            let name = b"Dienst 2";
            let at = bytes.windows(name.len()).position(|it| it == name).expect("in the body");
            let mut forged = bytes.to_vec();
            forged[at] = b'X';
            *bytes = forged.into();
        });
        if !is_folded {
            fs::remove_dir_all(data.join("index")).expect("removed");
        }
        cluster.run(RP);
        let mut text = String::new();
        eventually(LIMIT, "RP shows what SL has signed", async || {
            let listed = cluster.registry(RP, Who::Reader, &["service", "list", "--land", "SL"]);
            let output = { listed }.output().expect("registry runs");
            text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!text.contains("Xienst"), "{text}");
            (1..4).all(|n| text.contains(&format!("Dienst {n}")))
        })
        .await;
        let words = ["somebody changed it on this disk; it is not shown", "SL/1/1"];
        cluster.saw(RP, "registry_journal_damage{land=\"SL\"}", &words).await;
        let stderr = cluster.stderr(RP);
        let found = |what: &str| stderr.lines().skip(told).filter(|it| it.contains(what)).count();
        assert_eq!(found(words[0]), 1, "{stderr}");
        assert_eq!(found("the node begins again"), 2, "{stderr}");
    }
    check_one_history(&cluster, 3, &[RP]).await;
    // nobody is at fault, and both go on
    let faults = cluster.metrics(RP).await + &cluster.metrics(SL).await;
    let is_fault = |it: &&str| it.starts_with("registry_peer_faults_total{") && !it.ends_with(" 0");
    assert_eq!(faults.lines().find(is_fault), None);
    cluster.wait_open(&[SL]).await;
    publish(&cluster, 4).await;

    // what a node wrote itself perhaps nobody else has: it does not start, and nothing is moved
    cluster.kill(SL);
    let own = cluster.home(SL).join("data/journal/SL/1");
    write_anew(&own, |entries| {
        let StoredBody::Present { bytes, .. } = &mut entries[1].body else { panic!("no body") };
        *bytes = b"another"[..].into();
    });
    cluster.run(SL);
    eventually(LIMIT, "SL refuses to start", async || {
        cluster.stderr(SL).contains("SL/1/1 of the own log")
    })
    .await;
    assert!(own.exists());
}

/// Changes entries of a journal under the checkpoint that its owner signed.
fn write_anew(dir: &Path, change: impl FnOnce(&mut Vec<Stored>)) {
    let segment = fs::read(dir.join("00000000000000000000.seg")).expect("a segment");
    let verbund = segment[40..72].try_into().expect("32 bytes");
    let label = Label { verbund, land: "SL".to_owned(), epoch: 1 };
    let open = |dir: &Path| {
        Journal::open(dir, &label, Options::default(), &mut |_| ()).expect("a journal").0
    };
    let reader = open(dir).reader();
    let mut entries = reader.read(0, 1 << 20, 100).expect("readable");
    change(&mut entries);
    let checkpoint = reader.last_checkpoint().expect("signed").record;
    let entries: Vec<_> = entries
        .iter()
        .map(|it| {
            let StoredBody::Present { salt, bytes } = &it.body else { panic!("no body") };
            EntryRef { header: &it.header, body: Body::Present { salt, bytes } }
        })
        .collect();
    let group = Group {
        entries: &entries,
        checkpoint: &checkpoint,
        received_unix_ms: 1,
        from: "sl-1.demo.example",
    };
    let anew = dir.with_extension("anew");
    open(&anew).append(&group).expect("durable");
    fs::remove_dir_all(dir).expect("removed");
    fs::rename(anew, dir).expect("in its place");
}

//     SL - RP - HE    SL is stopped in order, a copy goes on in its place, then the old disk starts again
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_says_last_is_known_to_whoever_goes_on_elsewhere() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE], &LINE);
    set_quiet(&cluster.prepared().config(SL), "2s");
    start(&mut cluster, &[SL, RP, HE]).await;
    assert_eq!(publish(&cluster, 1).await, 0);
    cluster.kill(SL);
    let disks = Disks::copied(&cluster);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    assert_eq!(publish(&cluster, 2).await, 1);
    assert!(cluster.terminate(SL, LIMIT).await.success());
    // the head of the audit log, which no partner would have got after the end
    check_one_history(&cluster, 3, &[RP, HE]).await;
    assert!(cluster.stderr(SL).lines().last().is_some_and(|it| it.contains("the process ends")));

    disks.change();
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    check_recovered(&cluster, 3, &["RECOVERED_CAUSE_BEHIND", "from: '1'"]).await;
    assert_eq!(publish(&cluster, 3).await, 4);
    cluster.kill(SL);

    disks.change();
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    check_recovered(&cluster, 5, &["RECOVERED_CAUSE_BEHIND", "from: '3'"]).await;
    assert_eq!(publish(&cluster, 4).await, 6);
    check_one_history(&cluster, 7, &[SL, RP, HE]).await;

    // nobody is there: nothing is said, and nothing is waited for
    cluster.kill(RP);
    eventually(LIMIT, "SL gives RP up", async || {
        cluster.metrics(SL).await.lines().any(|it| it == "registry_sessions 0")
    })
    .await;
    assert!(cluster.terminate(SL, LIMIT).await.success());
    cluster.run(RP);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    assert_eq!(publish(&cluster, 5).await, 7);
}

//     SL - RP - HE    SL has what nobody has seen, a copy goes on without it, then the old disk starts again
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_seen_is_set_aside_and_named_if_a_copy_went_on_without_it() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE], &LINE);
    set_quiet(&cluster.prepared().config(SL), "2s");
    start(&mut cluster, &[SL, RP, HE]).await;
    let first = request(vec![definition(&service_id(1), ERASED)], vec![]);
    cluster.publish(SL, first).await.expect("published");
    assert_eq!(publish(&cluster, 1).await, 1);
    cluster.kill(SL);
    let disks = Disks::copied(&cluster);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    let entry = |index| LogPosition { land: "SL".to_owned(), epoch: 1, index };
    let client = cluster.client(SL, Who::Reader).await.expect("connected");
    eventually(LIMIT, "SL knows who has its first entries", async || {
        client.receipts(entry(1)).await.is_ok_and(|it| !it.is_empty())
    })
    .await;
    drop(client);
    cluster.kill(RP);
    // what is erased now, only this node knows
    let args = ["erase", "entry", "SL/1/0", "--grund", "Widerruf"];
    let erased = cluster.registry(SL, Who::Operator(SL), &args).output().expect("registry runs");
    assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    // durable here and nowhere else; whoever says how long to wait waits no longer
    let example = cluster.registry(SL, Who::Reader, &["example", "service"]).output();
    let record = cluster.dir().join("nur-hier.yaml");
    fs::write(&record, example.expect("registry runs").stdout).expect("written");
    let record = record.to_str().expect("a path").to_owned();
    let args = ["--timeout", "1s", "publish", "-f", &record, "--ack-peers", "1"];
    let begun = std::time::Instant::now();
    let mut waiting = cluster.registry(SL, Who::Publisher(SL), &args);
    let waited = waiting.output().expect("registry runs");
    let told = String::from_utf8_lossy(&waited.stderr).into_owned();
    assert!(told.contains("keine Antwort innerhalb von 1s"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    cluster.kill(SL);

    disks.change();
    cluster.run(RP);
    cluster.run(SL);
    cluster.wait_open(&[SL]).await;
    assert_eq!(publish(&cluster, 2).await, 2, "in the place of what nobody has seen");
    cluster.kill(SL);

    disks.change();
    cluster.run(SL);
    eventually(LIMIT, "SL answers", async || cluster.status(SL).await.is_ok()).await;
    let words =
        ["entries that do not count are set aside", ".aside", "partners have another history"];
    cluster.saw(SL, "registry_fence_open", &words).await;
    cluster.wait_open(&[SL]).await;
    check_recovered(&cluster, 3, &["RECOVERED_CAUSE_BEHIND", "from: '2'", "size: '3'"]).await;
    // what was erased is erased again, in the log that goes on
    let index = publish(&cluster, 3).await;
    assert!((4..=5).contains(&index), "beside the erasure, and not at {index}");
    check_one_history(&cluster, 6, &[SL, RP, HE]).await;
    for land in [SL, RP, HE] {
        confirmed(&cluster, land, &entry(0), &[SL, RP, HE], &[]).await;
        let traces = files_with(&cluster.home(land), ERASED);
        assert!(traces.is_empty(), "{land} {traces:?}");
    }
    let named = http_get(cluster.bound(SL).monitoring, "/readyz").await;
    let words = ["gelten nicht mehr, insgesamt 2: SL/1/2 (", "Löschungen darunter (1)"];
    assert!(words.iter().all(|it| named.contains(it)), "{named}");
    assert!(named.contains("Kein anderes Land") && named.contains("SL-1.aside"), "{named}");
    let status = cluster.registry(SL, Who::Reader, &["status"]).output().expect("registry runs");
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("gelten nicht mehr, insgesamt 2"), "{status}");
    let audit = cluster.home(SL).join("data/audit");
    for words in ["log.set_aside", "what is here of SL/1 and does not count is set aside"] {
        assert_eq!(files_with(&audit, words).len(), 1, "{words}");
    }
    for land in [SL, RP, HE] {
        let stderr = cluster.stderr(land);
        assert!(!stderr.contains("no longer accepted") && !stderr.contains("evidence is kept"));
        assert!(!stderr.contains("peer fault"), "{stderr}");
    }
}

/// The disk of the Saarland and a copy of it; one of them is in use.
struct Disks {
    data: PathBuf,
    other: PathBuf,
    between: PathBuf,
}

// === impl Disks ===

impl Disks {
    fn copied(cluster: &Cluster) -> Self {
        let (data, other) = (cluster.home(SL).join("data"), cluster.dir().join("other"));
        copy(&data, &other);
        Self { data, other, between: cluster.dir().join("between") }
    }

    /// The other one is in use from now on; nothing may run.
    fn change(&self) {
        let moves =
            [(&self.data, &self.between), (&self.other, &self.data), (&self.between, &self.other)];
        for (from, to) in moves {
            fs::rename(from, to).expect("moved");
        }
    }
}

/// A copy of the node of the Saarland, which dials Hessen.
struct Twin {
    home: PathBuf,
    process: Option<Child>,
    seen: usize,
}

// === impl Twin ===

impl Twin {
    fn of(cluster: &Cluster) -> Self {
        let home = cluster.dir().join("sl-copy");
        copy(&cluster.home(SL), &home);
        let config = home.join("node.toml");
        let mut table: toml::Table =
            fs::read_to_string(&config).expect("configuration").parse().expect("TOML");
        let hessen = fs::read_to_string(cluster.prepared().config(RP)).expect("configuration");
        let hessen: toml::Table = hessen.parse().expect("TOML");
        let dialled = hessen["peers"].as_array().expect("peers").iter();
        let dialled: Vec<_> =
            dialled.filter(|it| it["land"].as_str() == Some("HE")).cloned().collect();
        assert_eq!(dialled.len(), 1);
        table.insert("peers".to_owned(), dialled.into());
        let listen = [("grpc", 2), ("admin", 3), ("monitoring", 4)]
            .map(|(key, host)| (key.to_owned(), format!("127.0.0.{host}:0").into()));
        table.insert("listen".to_owned(), toml::Table::from_iter(listen).into());
        fs::write(&config, table.to_string()).expect("written");
        Self { home, process: None, seen: 0 }
    }

    fn place(&self) -> PathBuf {
        self.home.join("data/place")
    }

    /// Makes the copy believe that it is where it always was.
    fn settle(&self) {
        let place = registry_node::witness::Place::of(&self.home.join("data"));
        place.settle().expect("settled");
    }

    fn run(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.join("twin.log"))
            .expect("log file");
        let child = Command::new(binary("registry-node"))
            .args(["run", "--config"])
            .arg(self.home.join("node.toml"))
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("registry-node starts");
        self.process = Some(child);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
        self.seen = self.stderr().len();
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.home.join("twin.log")).unwrap_or_default()
    }

    /// How often its fence opened.
    fn opened(&self) -> usize {
        self.stderr().matches("publishing is open").count()
    }

    async fn logs(&self, words: &str) {
        self.comes_to(words, async || self.stderr().contains(words)).await;
    }

    /// What was signed in the very second in which the copy started may be of its own life before:
    /// it pulls that back, and says so in an entry, while the other goes on.
    async fn is_older_than_a_second(&self) {
        let second = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let now = second();
        eventually(LIMIT, "the second is over", async || second() > now).await;
    }

    /// Publishes at the Saarland until the copy has noticed; the index of the last entry.
    ///
    /// One publication may not be enough: signatures are told by the second.
    async fn notices(&self, cluster: &Cluster, mut last: u64) -> u64 {
        let words = "another copy of this node signs with the same keys";
        self.comes_to(words, async || {
            let published = try_publish(cluster, SL, last + 2).await;
            last =
                published.unwrap_or_else(|it| panic!("{it:?}; the copy says\n{}", self.stderr()));
            self.stderr()[self.seen..].contains(words)
        })
        .await;
        last
    }

    async fn comes_to(&self, what: &str, done: impl AsyncFnMut() -> bool) {
        let came = eventually(LIMIT + LIMIT, what, done);
        if tokio::time::timeout(LIMIT, came).await.is_err() {
            panic!("the copy does not log {what:?}:\n{}", self.stderr());
        }
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn start(cluster: &mut Cluster, laender: &[Land]) {
    for land in laender {
        cluster.run(*land);
    }
    cluster.wait_open(laender).await;
}

/// Publishes at the Saarland, held by Rheinland-Pfalz; answers the index.
async fn publish(cluster: &Cluster, n: u64) -> u64 {
    publish_at(cluster, SL, n).await
}

/// [`publish`] at a node; another one has it then.
async fn publish_at(cluster: &Cluster, land: Land, n: u64) -> u64 {
    try_publish(cluster, land, n).await.expect("published")
}

async fn try_publish(
    cluster: &Cluster,
    land: Land,
    n: u64,
) -> Result<u64, registry_client::ClientError> {
    let mut record = request(vec![definition(&service_id(n), &format!("Dienst {n}"))], vec![]);
    record.ack_peers = 1;
    let answer = cluster.publish(land, record).await?;
    Ok(answer.records[0].position.as_ref().expect("a place").index)
}

/// Publishing is refused with this German text.
async fn check_refused(cluster: &Cluster, words: &str) {
    let refused = cluster
        .publish(SL, request(vec![definition(&service_id(9), "Nicht jetzt")], vec![]))
        .await
        .expect_err("fenced");
    assert_eq!(refused.class(), registry_client::Class::Unavailable, "{refused:?}");
    let output = cluster.registry(SL, Who::Reader, &["status"]).output().expect("registry runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(words), "{text}");
}

/// Anybody can read, at another node, that entries came back.
async fn check_recovered(cluster: &Cluster, index: u64, words: &[&str]) {
    let charter = cluster.prepared().charter();
    let position = format!("SL/1/{index}");
    let args = ["-o", "yaml", "proof", &position, "--charter", charter.to_str().expect("a path")];
    let mut text = String::new();
    eventually(LIMIT, &format!("RP shows {words:?} at {position}"), async || {
        let output = cluster.registry(RP, Who::Reader, &args).output().expect("registry runs");
        text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        text.contains("ENTRY_KIND_RECOVERED")
    })
    .await;
    for word in words {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

/// The log of the Saarland is alike everywhere, and no node has proof of another one.
async fn check_one_history(cluster: &Cluster, size: u64, partners: &[Land]) {
    for land in partners.iter().copied() {
        eventually(LIMIT, &format!("{land} holds {size} entries of SL"), async || {
            let status = cluster.status(land).await.expect("status");
            let log = status.logs.iter().find(|it| it.land == "SL").expect("a log");
            log.size == size && log.state() == ReplicationState::Live
        })
        .await;
        let metrics = cluster.metrics(land).await;
        assert!(metrics.contains("registry_log_forked{land=\"SL\"} 0"), "{metrics}");
    }
}

fn set_quiet(config: &Path, quiet: &str) {
    let mut text = fs::read_to_string(config).expect("configuration");
    text.push_str(&format!("\n[fence]\nquiet = \"{quiet}\"\n"));
    fs::write(config, text).expect("written");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("created");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}
