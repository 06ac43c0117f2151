//! An owner that shows two partners two histories, over real connections: both stop its log, keep
//! the evidence, and anybody can verify it without a node.

use std::process::{Command, Output};

use registry_node::cli::init::ensure_key;
use registry_proto::{
    charter::Charter,
    log::{
        Checkpoint, Frontier, Header, Kind, LogSigner, Origin, SignedCheckpoint, VerbundId,
        body_digest, leaf_hash,
    },
    terms::{
        Land::{self, HE, RP, SL},
        LogId,
    },
    wire::{
        peer::{Ack, Batch, BatchEntry, BodyState, Follow, Head, Heads, peer_message::Message},
        registry::ReplicationState,
    },
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually},
    partner::Partner,
    records::{definition, request, service_id},
};

//     (SL, played by the test)
//      |   |
//     RP - HE
#[tokio::test(flavor = "multi_thread")]
async fn two_histories_are_proved_and_other_logs_go_on() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE], &[(RP, HE)]);
    let history = History::of(&cluster);
    // one after the other, so that neither hears from the other what SL shows it first
    cluster.run(RP);
    answers(&cluster, RP).await;
    tell(&cluster, RP, &history, &["gleich", "für RP"]).await;
    cosigns(&cluster, RP).await;
    cluster.kill(RP);
    cluster.run(HE);
    answers(&cluster, HE).await;
    let _open = tell(&cluster, HE, &history, &["gleich", "für HE", "noch einer"]).await;
    cosigns(&cluster, HE).await;
    cluster.run(RP);
    answers(&cluster, RP).await;
    for (land, size) in [(RP, 2), (HE, 3)] {
        let words = ["ERROR", "a log is no longer accepted", "SL/1", "contradict each other"];
        cluster.saw(land, "registry_log_forked{land=\"SL\"}", &words).await;
        // what was verified stays
        assert_eq!(log_of(&cluster, land, SL).await, (size, ReplicationState::Quarantined));
        // each of the two histories has one witness of three members, and their beginning has both
        disputes_from(&cluster, land, 1).await;
        let shown = cluster.registry(land, Who::Reader, &["status"]).output().expect("registry");
        assert!(text(&shown).contains("Einträge ab SL/1/1 sind strittig"), "{shown:?}");
    }

    // other logs go on
    cluster.wait_open(&[RP, HE]).await;
    let id = service_id(2);
    let mut after = request(vec![definition(&id, "Danach")], vec![]);
    after.ack_peers = 1;
    cluster.publish(RP, after).await.expect("published and held by HE");
    assert_eq!(log_of(&cluster, HE, RP).await, (1, ReplicationState::Live));

    // anybody can verify it
    for land in [RP, HE] {
        let config = cluster.prepared().config(land);
        let config = config.to_str().expect("a path");
        let listed = run(&["evidence", "list", "--config", config]);
        assert!(text(&listed).contains("2 Einträge"), "{listed:?}");
        let out = cluster.dir().join(format!("{land}.evidence"));
        let out = out.to_str().expect("a path");
        let exported = run(&["evidence", "export", "--config", config, "--out", out]);
        assert!(exported.status.success(), "{exported:?}");
        let again = run(&["evidence", "export", "--config", config, "--out", out]);
        assert!(!again.status.success(), "overwritten");
        check_verify(&cluster, out, None);
        let mut bytes = std::fs::read(out).expect("exported");
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
        std::fs::write(out, bytes).expect("written");
        check_verify(&cluster, out, Some("beweist nichts"));
    }

    // a restart forgets nothing, with the owner gone
    cluster.kill(RP);
    cluster.run(RP);
    answers(&cluster, RP).await;
    assert_eq!(log_of(&cluster, RP, SL).await, (2, ReplicationState::Quarantined));
}

/// Makes histories in the name of SL.
struct History {
    verbund: VerbundId,
    signer: LogSigner,
}

impl History {
    fn of(cluster: &Cluster) -> Self {
        let raw = std::fs::read(cluster.prepared().charter()).expect("charter");
        let key = |name: &str| ensure_key(&cluster.home(SL).join(name)).expect("key");
        Self {
            verbund: Charter::parse(raw.into()).expect("valid").id(),
            signer: LogSigner::new(key("log.key"), key("freshness.key")),
        }
    }

    fn entry(&self, index: u64, word: &str) -> BatchEntry {
        let (salt, body) = ([7; 16], word.as_bytes().to_vec());
        let header = Header {
            verbund: self.verbund,
            log: LogId { land: SL, epoch: 1 },
            index,
            kind: Kind::Unknown(99),
            recorded_unix_ms: 1_700_000_000_000,
            object_id: None,
            audience: 1,
            batch_end: true,
            references: Vec::new(),
            principal: "p-0000000000000000".to_owned(),
            body_length: u32::try_from(body.len()).expect("short"),
            body_digest: body_digest(&salt, &body),
            request: None,
        };
        BatchEntry {
            header: header.encode().expect("within the limits"),
            salt: salt.to_vec().into(),
            body: body.into(),
            body_state: BodyState::Present.into(),
            erasure: None,
        }
    }

    fn signed(&self, entries: &[BatchEntry]) -> SignedCheckpoint {
        let mut tree = Frontier::default();
        entries.iter().for_each(|it| tree.push(leaf_hash(&it.header)));
        let origin = Origin { verbund: self.verbund, log: LogId { land: SL, epoch: 1 } };
        Checkpoint { origin, size: tree.size(), root: tree.root() }
            .sign(&self.signer, 1_790_000_000)
            .expect("signed")
    }
}

async fn answers(cluster: &Cluster, land: Land) {
    eventually(LIMIT, &format!("{land} answers"), async || cluster.status(land).await.is_ok())
        .await;
}

/// SL gives a partner a history and waits until it holds it.
async fn tell(cluster: &Cluster, to: Land, history: &History, words: &[&str]) -> Partner {
    let mut sl = Partner::dial(cluster.client_config(to, Who::Node(SL)))
        .await
        .expect("SL may open a session");
    sl.hello(history.verbund, SL).await;
    let entries: Vec<_> = (0..).zip(words).map(|(at, it)| history.entry(at, it)).collect();
    let size = entries.len() as u64;
    let checkpoint = history.signed(&entries).raw().clone();
    let head = Head {
        land: "SL".to_owned(),
        epoch: 1,
        size,
        checkpoint: checkpoint.clone(),
        ..Head::default()
    };
    sl.send(Message::Heads(Heads { heads: vec![head], nonce: 0 })).await;
    let follow: Option<Follow> = sl
        .expect(|it| match it {
            Message::Follow(it) if it.land == "SL" => Some(it),
            _ => None,
        })
        .await
        .expect("open");
    let follow = follow.expect("followed").follow;
    let (land, proof) = ("SL".to_owned(), Vec::new());
    let batch = Batch { land, epoch: 1, entries, checkpoint, proof, follow, ..Batch::default() };
    sl.send(Message::Batch(batch)).await;
    let held = sl.expect(|it| match it {
        Message::Ack(Ack { land, size, .. }) if land == "SL" => Some(size),
        _ => None,
    });
    assert_eq!(held.await.expect("open"), Some(size));
    sl
}

/// Entries and state of a log at a node, once it is neither catching up nor unknown.
async fn log_of(cluster: &Cluster, at: Land, of: Land) -> (u64, ReplicationState) {
    let settled = [ReplicationState::Live, ReplicationState::Quarantined];
    let mut found = None;
    eventually(LIMIT, &format!("{at} knows where it stands with {of}"), async || {
        let status = cluster.status(at).await.expect("status");
        let log = status.logs.iter().find(|it| it.land == of.code()).expect("a log");
        found = Some((log.size, log.state())).filter(|it| settled.contains(&it.1));
        found.is_some()
    })
    .await;
    found.expect("settled")
}

/// Waits until a node has cosigned the history it was given, durably.
async fn cosigns(cluster: &Cluster, land: Land) {
    let testimony = cluster.home(land).join("data/testimony.log");
    let line = format!("/{land} ");
    eventually(LIMIT, &format!("{land} cosigns"), async || {
        let bytes = std::fs::read(&testimony).unwrap_or_default();
        bytes.windows(line.len()).any(|it| it == line.as_bytes())
    })
    .await;
}

/// Waits until a node disputes the log of SL from there on.
async fn disputes_from(cluster: &Cluster, at: Land, index: u64) {
    eventually(LIMIT, &format!("{at} disputes entries from {index} on"), async || {
        let status = cluster.status(at).await.expect("status");
        let sl = status.logs.iter().find(|it| it.land == "SL").expect("a log");
        (sl.disputed_from, sl.cosigned) == (Some(index), index)
    })
    .await;
}

fn check_verify(cluster: &Cluster, file: &str, refused: Option<&str>) {
    let charter = cluster.prepared().charter();
    let output = run(&["evidence", "verify", file, "--charter", charter.to_str().expect("a path")]);
    assert_eq!(output.status.success(), refused.is_none(), "{output:?}");
    let words = refused.unwrap_or("Der Beweis gilt");
    assert!(text(&output).contains(words), "{output:?}");
}

fn run(args: &[&str]) -> Output {
    Command::new(binary("registry-node")).args(args).output().expect("registry-node starts")
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);
