//! How a fifth Land becomes a member: an invitation of SL, a card of BY, votes of three.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use registry_node::{
    cli::init::ensure_key,
    demo::{Demo, DemoArgs, NEWCOMER},
    pki::Pki,
    tls::{PinnedConnector, Pins, Profile},
};
use registry_proto::{
    charter::Charter,
    join::{Invited, JoinCard, JoinToken},
    key::Key,
    log::LogSigner,
    terms::Land::{self, BY, HE, RP, SL, TH},
    wire::{
        peer::{
            GetJoinRequest, JoinPresented, JoinRequest, JoinSecret,
            join_service_client::JoinServiceClient,
        },
        registry::{
            self as wire, GetStatusRequest, catalogue_service_client::CatalogueServiceClient,
        },
    },
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually, keep_links},
    records::{definition, request, service_id},
};
use tokio::net::TcpStream;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

const FOUNDERS: [Land; 4] = [HE, RP, SL, TH];
const LIMIT: Duration = Duration::from_secs(60);

//     HE - RP        the founders; SL has a port for joining
//      | X |
//     SL - TH        BY
#[tokio::test(flavor = "multi_thread")]
async fn a_land_joins_with_a_token_that_counts_once() {
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;

    // while nobody is invited the port closes every connection
    let token = verbund.invite();
    let invitation = JoinToken::parse(&token).expect("a token").invited;
    verbund.operator(SL, &["charter", "uninvite", &invitation.id.to_string()]);
    verbund.refuses(&verbund.home(BY), &token, 1, "nicht erreichbar").await;
    let listed = verbund.operator(SL, &["charter", "invitations"]);
    assert!(!listed.contains("BY"), "{listed}");
    let denied = verbund.invite_at(SL, Who::Reader);
    assert!(!denied.status.success() && text(&denied).contains("operator"), "{}", text(&denied));
    let portless = verbund.invite_at(RP, Who::Operator(RP));
    assert!(text(&portless).contains("listen.join"), "{}", text(&portless));

    // another server than the one that the token pins is told nothing
    let token = verbund.invite();
    let invitation = JoinToken::parse(&token).expect("a token").invited;
    let pinned = |pins| forged(Invited { pins, ..invitation.clone() });
    let wrong_pin = pinned(vec![[1; 32]]);
    verbund.refuses(&verbund.home(BY), &wrong_pin, 3, "Pins des Tokens").await;
    // the secret is what counts, and the Land it was made for
    let secret = registry_proto::join::JoinSecret::from_bytes([1; 32]);
    let guessed = forged(Invited { secret, ..invitation.clone() });
    verbund.refuses(&verbund.home(BY), &guessed, 3, "kennt dieses Token nicht").await;
    verbund.refuses(&verbund.home(TH), &token, 3, "lädt BY ein").await;
    let damaged = token.replace(&token[40..44], "AAAA");
    verbund.refuses(&verbund.home(BY), &damaged, 1, "kein Token").await;
    verbund.sees(SL, &["offen"], &["charter", "invitations"]).await;

    // the card of BY uses it up; nobody else gets in with it, and BY may ask again
    let first = verbund.join(&verbund.home(BY), &token).await;
    assert!(first.status.success(), "{}", text(&first));
    assert!(text(&first).contains("steht als Anwärter"), "{}", text(&first));
    let chain = fs::read(verbund.home(BY).join("charter.binpb")).expect("kept");
    let chain = Charter::chain(chain.into()).expect("charters");
    assert_eq!(chain[0].id(), invitation.verbund);
    let again = verbund.join(&verbund.home(BY), &token).await;
    assert!(again.status.success(), "{}", text(&again));
    let other = verbund.other_by();
    verbund.refuses(&other, &token, 3, "TOKEN_USED").await;
    let waiting = ["Anwärter BY", "charter propose --pending BY"];
    verbund.sees(SL, &waiting, &["charter", "status"]).await;

    // three votes
    let told = verbund.operator(SL, &["charter", "propose", "--pending", "BY"]);
    assert!(told.contains("BY wird aufgenommen"), "{told}");
    let digest = told.lines().nth(1).expect("a digest").to_owned();
    for land in [RP, HE] {
        verbund.sees(land, &[&digest], &["charter", "status"]).await;
        verbund.operator(land, &["charter", "vote", &digest]);
    }
    let joined = verbund.join_and_wait(&token).await;
    assert!(joined.contains("BY ist Mitglied, seit Charta Nr. 1"), "{joined}");
    assert!(joined.contains("[[peers]]"), "{joined}");
    // the votes came along, and verify from the genesis charter on
    assert!(joined.contains("Charta Nr. 1") && !joined.contains("Ohne Beweis"), "{joined}");
    let chain = fs::read(verbund.home(BY).join("charter.binpb")).expect("kept");
    let (_, decisions) = Charter::chain_and_decisions(chain.into()).expect("charters");
    assert_eq!(decisions.iter().map(|it| it.number).collect::<Vec<_>>(), [1]);
    verbund.sees(SL, &["aufgenommen"], &["charter", "invitations"]).await;

    // a full member
    verbund.cluster.run(BY);
    verbund.cluster.wait_open(&[BY]).await;
    let records = request(vec![definition(&service_id(1), "Aus Bayern")], vec![]);
    verbund.cluster.publish(BY, records).await.expect("published");
    verbund.sees(TH, &["Aus Bayern"], &["service", "list", "--land", "BY"]).await;

    // who did it stands in the audit log, and no secret stands anywhere
    verbund.told_in_audit(&invitation);
}

//     SL invites for a second
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ended_is_refused() {
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    let client = verbund.cluster.client(SL, Who::Operator(SL)).await.expect("a connection");
    let address = vec![format!("localhost:{}", verbund.port)];
    let made = client.invite("BY".to_owned(), address, 1).await.expect("invited");
    verbund.sees(SL, &["abgelaufen"], &["charter", "invitations"]).await;
    verbund.refuses(&verbund.home(BY), &made.token, 3, "abgelaufen").await;
    let status = verbund.operator(SL, &["charter", "status"]);
    assert!(!status.contains("Anwärter"), "{status}");
    // an address of the wrong port: what answers there wants a certificate
    let address = vec![format!("localhost:{}", verbund.cluster.bound(SL).grpc.port())];
    let made = client.invite("BY".to_owned(), address, 60).await.expect("invited");
    let output = verbund.join(&verbund.home(BY), &made.token).await;
    assert!(!output.status.success() && text(&output).contains("listen.join"), "{}", text(&output));
}

//     SL - RP - HE - TH, then BY
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_admits_a_fifth_land_that_holds_everything() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let args = DemoArgs {
        dir: dir.path().join("demo-data"),
        http: false,
        any_port: true,
        prepare: false,
        empty: true,
        with_newcomer: true,
    };
    let demo = Demo::start(&args).await.expect("the demo starts");
    demo.wait_live().await.expect("all nodes answer");
    assert!(!demo.has_newcomer().await.expect("told"));
    demo.admit(&args.newcomer()).await.expect("admitted");
    demo.wait_live().await.expect("all hold everything");
    let sizes = |land| {
        let node = demo.node(land).expect("a node");
        let logs = node.look(|it| it.board.load().logs.clone()).expect("it runs");
        logs.into_iter().map(|it| (it.log.land, it.size)).collect::<Vec<_>>()
    };
    let all = sizes(NEWCOMER);
    assert_eq!(all.len(), 5);
    assert!(all.iter().filter(|it| [SL, RP, HE, BY].contains(&it.0)).all(|it| it.1 > 0), "{all:?}");
    for node in demo.nodes() {
        assert_eq!(node.look(|it| it.charter), Some(1), "{} follows", node.land());
        assert_eq!(sizes(node.land()), all, "{} holds what BY holds", node.land());
    }
    assert!(demo.stop().await, "the demo stops in order");

    // a second start goes on with five
    let args = DemoArgs { with_newcomer: false, ..args };
    let demo = Demo::start(&args).await.expect("the demo starts");
    demo.wait_live().await.expect("all nodes answer");
    assert!(demo.has_newcomer().await.expect("told"));
    demo.admit(&args.newcomer()).await.expect("it is a member");
    demo.wait_live().await.expect("all hold everything");
    assert_eq!(demo.nodes().count(), 5);
    assert!(demo.stop().await, "the demo stops in order");
}

//     SL invites; somebody holds the token and wants more
#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_little_and_members_lose_nothing() {
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    let token = verbund.invite();
    let invited = JoinToken::parse(&token).expect("a token").invited;

    // half-open connections of one address
    let mut held = Vec::new();
    for _ in 0..6 {
        held.push(TcpStream::connect(("127.0.0.1", verbund.port)).await.expect("connected"));
    }
    let is_closed = |tcp: &&TcpStream| match tcp.try_read(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    let mut closed = 0;
    eventually(LIMIT, "what is more than four is closed", async || {
        closed = held.iter().filter(is_closed).count();
        closed >= 2
    })
    .await;
    assert_eq!(closed, 2);
    drop(held);

    // the pins lead to one small service; nothing else is there, and its calls are few
    let pins = Pins { node: invited.node.clone(), pins: invited.pins.clone() };
    let connector = PinnedConnector::new(Profile::BSI, pins).expect("a connector");
    let endpoint = Endpoint::from_shared(format!("http://localhost:{}", verbund.port));
    let endpoint = endpoint.expect("an endpoint");
    let mut channel = None;
    eventually(LIMIT, "a place is free again", async || {
        channel = endpoint.connect_with_connector(connector.clone()).await.ok();
        channel.is_some()
    })
    .await;
    let channel = channel.expect("connected");
    let read = CatalogueServiceClient::new(channel.clone()).get_status(GetStatusRequest {}).await;
    assert_eq!(read.expect_err("not there").code(), Code::Unimplemented);
    let mut client = JoinServiceClient::new(channel);
    verbund.refuses_cards(&mut client, &invited).await;
    let large = JoinPresented { signed_card: vec![1; 128 << 10].into() };
    let large = JoinRequest { presented: Some(large), ..JoinRequest::default() };
    let refused = client.join(large).await.expect_err("too large").code();
    assert!([Code::OutOfRange, Code::ResourceExhausted].contains(&refused), "{refused:?}");
    let mut codes = BTreeMap::new();
    for _ in 0..40 {
        let ask = GetJoinRequest {
            invitation_id: invited.id.to_string(),
            secret: Some(JoinSecret { secret: vec![0; 32].into() }),
            from: 0,
        };
        let refused = client.get_join(ask).await.expect_err("not the secret");
        *codes.entry(format!("{:?}", refused.code())).or_insert(0) += 1;
    }
    let codes: Vec<_> = codes.keys().map(String::as_str).collect();
    assert_eq!(codes, ["PermissionDenied", "ResourceExhausted"]);

    // the front door still wants a certificate, and the members have noticed nothing
    let records = request(vec![definition(&service_id(1), "Weiter")], vec![]);
    verbund.cluster.publish(SL, records).await.expect("published");
    verbund.sees(TH, &["Weiter"], &["service", "list", "--land", "SL"]).await;
    let metrics = verbund.cluster.metrics(SL).await;
    for counted in [r#"listener="join",outcome="too_many""#, r#"listener="join",outcome="ok""#] {
        assert!(metrics.contains(counted), "{counted}\n{metrics}");
    }
}

/// Five Länder with keys and certificates, four of them in the genesis charter.
struct Verbund {
    cluster: Cluster,
    /// Where SL takes joins.
    port: u16,
}

impl Verbund {
    fn prepare() -> Self {
        let links: Vec<_> = FOUNDERS.iter().flat_map(|a| FOUNDERS.map(|b| (*a, b))).collect();
        let all = [BY, HE, RP, SL, TH];
        let all_links: Vec<_> = all.iter().flat_map(|a| all.map(|b| (*a, b))).collect();
        let cluster = Cluster::prepare(&all, &all_links);
        let path = cluster.prepared().charter();
        let raw = fs::read(&path).expect("charter");
        let mut charter: wire::Charter = prost::Message::decode(&raw[..]).expect("charter");
        let members = std::mem::take(&mut charter.members);
        let (newcomer, founders) = members.into_iter().partition(|it| it.land == BY.code());
        charter.members = founders;
        charter.threshold = 3;
        fs::write(&path, prost::Message::encode_to_vec(&charter)).expect("charter");
        for land in FOUNDERS {
            keep_links(&cluster.prepared().config(land), land, &links);
        }
        // nobody uses the web port of SL here
        let port = cluster.bound(SL).web.expect("a port").port();
        change(&cluster.prepared().config(SL), |table| {
            let listen = table["listen"].as_table_mut().expect("listen");
            listen.remove("web");
            listen.insert("join".to_owned(), format!("127.0.0.1:{port}").into());
        });
        change(&cluster.prepared().config(BY), |table| {
            table.insert("charter".to_owned(), "charter.binpb".into());
        });
        let verbund = Self { cluster, port };
        let newcomer: Vec<wire::Member> = newcomer;
        verbund.write_card(&verbund.home(BY), &newcomer[0]);
        verbund
    }

    fn home(&self, land: Land) -> PathBuf {
        self.cluster.home(land)
    }

    /// The card as `registry-node init` writes it.
    fn write_card(&self, home: &Path, member: &wire::Member) {
        let anchor = self.cluster.prepared().pki.anchor(BY);
        let card = serde_json::json!({
            "land": member.land,
            "log_key": hex::encode(&member.log_key),
            "freshness_key": hex::encode(&member.freshness_key),
            "offline_key": hex::encode(&member.offline_key),
            "nodes": [{ "name": member.nodes[0].name, "spki_pins": [] }],
            "anchors": [fs::read_to_string(anchor).expect("anchor")],
        });
        fs::write(home.join("member.json"), card.to_string()).expect("card");
    }

    /// Somebody else who says to be BY, with other keys.
    fn other_by(&self) -> PathBuf {
        let home = self.cluster.dir().join("other-by");
        let mut command = Command::new(binary("registry-node"));
        command.args(["init", "--land", "BY", "--node", "by-9.other.example", "--dir"]).arg(&home);
        command.arg("--anchor").arg(self.cluster.prepared().pki.anchor(BY));
        let output = command.output().expect("registry-node runs");
        assert!(output.status.success(), "{}", text(&output));
        home
    }

    /// An invitation of SL to BY: the token.
    fn invite(&self) -> String {
        let output = self.invite_at(SL, Who::Operator(SL));
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    fn invite_at(&self, land: Land, who: Who) -> Output {
        let address = format!("localhost:{}", self.port);
        self.registry(land, who, &["charter", "invite", "--land", "BY", "--address", &address])
    }

    async fn join(&self, home: &Path, token: &str) -> Output {
        let mut command = Command::new(binary("registry-node"));
        command.args(["join", token, "--config"]).arg(home.join("node.toml"));
        let run = move || command.output().expect("registry-node runs");
        tokio::task::spawn_blocking(run).await.expect("ran")
    }

    /// Joins in vain.
    async fn refuses(&self, home: &Path, token: &str, code: i32, why: &str) {
        let output = self.join(home, token).await;
        let told = text(&output);
        assert_eq!(output.status.code(), Some(code), "{why}: {told}");
        assert!(told.contains(why), "{why}: {told}");
    }

    /// Waits as the operator of BY does.
    async fn join_and_wait(&self, token: &str) -> String {
        let path = self.home(BY).join("token.txt");
        fs::write(&path, format!("{token}\n")).expect("token");
        let mut command = Command::new(binary("registry-node"));
        command.args(["join", "-", "--wait", "--config"]).arg(self.home(BY).join("node.toml"));
        command.stdin(fs::File::open(&path).expect("token"));
        let run = tokio::task::spawn_blocking(move || command.output().expect("runs"));
        let output = tokio::time::timeout(LIMIT, run).await.expect("in time").expect("ran");
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    }

    /// Whoever has the token presents cards with keys of others, or with the name of a node of SL.
    async fn refuses_cards(&self, client: &mut JoinServiceClient<Channel>, invited: &Invited) {
        let key = |land: Land, name: &str| -> Key {
            ensure_key(&self.home(land).join(name)).expect("key").into()
        };
        let keys = |land| ["log.key", "freshness.key", "offline.key"].map(|it| key(land, it));
        let (own, other) = (keys(BY), keys(HE));
        let [log_key, freshness_key, offline_key] =
            own.each_ref().map(|it| Bytes::copy_from_slice(it.public().as_bytes()));
        let log_of_he = Bytes::copy_from_slice(other[0].public().as_bytes());
        let anchor = self.cluster.prepared().pki.anchor(BY);
        let anchor = registry_node::tls::read_certificates(&anchor).expect("anchor").remove(0);
        let node = |name: String| vec![wire::MemberNode { name, spki_pins: Vec::new() }];
        let own_node = node(Pki::node_name(BY));
        let member = |log_key: &Bytes, nodes: &Vec<wire::MemberNode>| wire::Member {
            land: "BY".to_owned(),
            log_key: log_key.clone(),
            freshness_key: freshness_key.clone(),
            offline_key: offline_key.clone(),
            nodes: nodes.clone(),
            anchors: vec![anchor.to_vec().into()],
            ..wire::Member::default()
        };
        let with_key_of_he = [&own[0], &own[1], &own[2]];
        for (what, member, keys) in [
            ("the key of HE, not signed by it", member(&log_of_he, &own_node), with_key_of_he),
            ("signed with other keys", member(&log_key, &own_node), other.each_ref()),
            ("the node of SL", member(&log_key, &node(Pki::node_name(SL))), own.each_ref()),
            ("no node", member(&log_key, &Vec::new()), own.each_ref()),
        ] {
            let card = JoinCard::sign(invited.id, member, invited.verbund, keys).expect("signs");
            let presented = JoinPresented { signed_card: card.encode_to_vec().into() };
            let request = JoinRequest {
                invitation_id: invited.id.to_string(),
                secret: Some(JoinSecret { secret: invited.secret.expose().to_vec().into() }),
                presented: Some(presented),
                ..JoinRequest::default()
            };
            let mut refused = Code::ResourceExhausted;
            // two calls per second of a network
            eventually(LIMIT, what, async || {
                let answer = client.join(request.clone()).await;
                refused = answer.expect_err(what).code();
                refused != Code::ResourceExhausted
            })
            .await;
            assert_eq!(refused, Code::InvalidArgument, "{what}");
        }
        let metrics = self.cluster.metrics(SL).await;
        let counted = r#"registry_requests_total{method="/verbund.peer.v1.JoinService/Join",code="INVALID_ARGUMENT"} 4"#;
        assert!(metrics.contains(counted), "{metrics}");
        // nobody waits, and the token is good for the card it was made for
        let listed = self.operator(SL, &["charter", "invitations"]);
        assert!(listed.contains("offen"), "{listed}");
    }

    fn registry(&self, land: Land, who: Who, args: &[&str]) -> Output {
        self.cluster.registry(land, who, args).output().expect("registry runs")
    }

    /// What an operator is told; must succeed.
    #[track_caller]
    fn operator(&self, land: Land, args: &[&str]) -> String {
        let output = self.registry(land, Who::Operator(land), args);
        assert!(output.status.success(), "{land} {args:?}: {}", text(&output));
        text(&output)
    }

    /// Waits until a node answers with all of this.
    async fn sees(&self, land: Land, words: &[&str], args: &[&str]) {
        let what = format!("{land} sees {words:?}\n{}", self.cluster.stderr(land));
        eventually(LIMIT, &what, async || {
            let told = self.registry(land, Who::Reader, args);
            words.iter().all(|word| text(&told).contains(word))
        })
        .await;
    }

    fn told_in_audit(&self, invitation: &Invited) {
        let files = fs::read_dir(self.home(SL).join("data/audit")).expect("audit log");
        let lines: String =
            files.map(|it| fs::read_to_string(it.expect("a file").path()).expect("text")).collect();
        let acts = ["InvitationService/CreateInvitation", "JoinService/Join", "VoteCharter"];
        for act in acts {
            let found = lines.lines().any(|it| {
                it.contains(act)
                    && (act == "VoteCharter" || it.contains(&invitation.id.to_string()))
            });
            assert!(found, "{act}\n{lines}");
        }
        assert!(lines.lines().any(|it| it.contains("JoinService") && it.contains("127.0.0.1")));
        let secret = hex::encode(invitation.secret.expose());
        assert!(!lines.contains(&secret[..16]), "the secret is in no line");
        for land in FOUNDERS {
            assert!(!self.cluster.stderr(land).contains(&secret[..16]));
        }
        let kept = self.home(SL).join("data/invitations");
        for file in fs::read_dir(kept).expect("invitations") {
            let bytes = fs::read(file.expect("a file").path()).expect("bytes");
            let found = bytes.windows(32).any(|it| it == invitation.secret.expose());
            assert!(!found, "only the digest is kept");
        }
    }
}

/// The token with other values, signed by somebody.
fn forged(invited: Invited) -> String {
    let key = |seed| ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    invited.sign(&LogSigner::new(key(1), key(2))).expect("signs").text()
}

fn change(path: &Path, change: impl FnOnce(&mut toml::Table)) {
    let mut table: toml::Table = fs::read_to_string(path).expect("TOML").parse().expect("TOML");
    change(&mut table);
    fs::write(path, table.to_string()).expect("written");
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}
