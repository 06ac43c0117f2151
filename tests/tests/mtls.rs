//! Who is refused, by real processes over real connections: what the client gets, what the
//! operator reads in the log, and what the monitoring counts.

use std::{path::PathBuf, sync::Arc};

use registry_client::{Class, Client, ClientConfig, ClientError, error::ConnectError};
use registry_node::{
    cli::init::ensure_key,
    pki::{Authority, Files, Issued, Pki, Request},
};
use registry_proto::{
    log::{
        Checkpoint, Frontier, Hash, Header, Kind, LogSigner, Origin, SignedCheckpoint, VerbundId,
        body_digest, leaf_hash,
    },
    terms::{
        Land::{self, HE, RP, SL},
        LogId,
    },
    wire::{
        peer::{Ack, Batch, BatchEntry, BodyState, Follow, Head, Heads, peer_message::Message},
        registry::GetServiceRequest,
    },
};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    partner::Partner,
    records::{definition, request, service_id},
};
use time::OffsetDateTime;
use tokio::io::AsyncReadExt;
use tonic::Code;

const PUBLISH: &str = "/verbund.registry.v1.PublishService/Publish";
const SESSION: &str = "/verbund.peer.v1.PeerService/Session";

//     a client with a certificate of a CA that SL does not know
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_ca_is_refused_in_the_handshake() {
    let cluster = lone_node();
    let now = OffsetDateTime::now_utc();
    let stranger = Authority::root("Fremde CA", now).expect("root");
    let issued = stranger.issue(&Request::client(Pki::publisher_name(SL), now)).expect("issued");

    let refused = publish_with(shown(&cluster, written(&cluster, &issued))).await;
    assert!(
        matches!(
            &refused,
            ClientError::Connect(ConnectError::Alert {
                alert: rustls::AlertDescription::UnknownCA,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(refused.class(), Class::Refused);
    let metric = "registry_tls_handshakes_total{listener=\"grpc\",outcome=\"unknown_issuer\"}";
    let words = ["WARN", "tls handshake refused", "outcome=\"unknown_issuer\"", "UnknownIssuer"];
    cluster.saw(SL, metric, &words).await;
}

//     a TLS client that has no certificate at all
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_is_refused_in_the_handshake() {
    let cluster = lone_node();
    let mut roots = rustls::RootCertStore::empty();
    let bundle = registry_node::tls::read_certificates(&cluster.prepared().pki.bundle());
    for certificate in bundle.expect("bundle") {
        roots.add(certificate).expect("anchor");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));

    eventually(START, "SL listens", async || listens(&cluster).await).await;
    let tcp = tokio::net::TcpStream::connect(cluster.bound(SL).grpc).await.expect("tcp");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("name");
    let mut stream = connector.connect(name, tcp).await.expect("the client's half of TLS 1.3");
    // what it is told comes with the first read
    let refused = stream.read_u8().await.expect_err("refused");
    let alert = refused.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    let required = rustls::AlertDescription::CertificateRequired;
    assert_eq!(alert, Some(&rustls::Error::AlertReceived(required)), "{refused}");
    let metric = "registry_tls_handshakes_total{listener=\"grpc\",outcome=\"no_certificate\"}";
    let words = ["WARN", "tls handshake refused", "outcome=\"no_certificate\""];
    cluster.saw(SL, metric, &words).await;
}

//     the publisher of RP publishes at SL: the chain ends at the anchor of a member, so the
//     handshake stands, but nobody gave that name a role here
#[tokio::test(flavor = "multi_thread")]
async fn the_publisher_of_another_land_may_not_publish() {
    let cluster = lone_node();
    let refused = publish_with(shown(&cluster, cluster.files(Who::Publisher(RP)))).await;
    denied(&refused, "has the roles [], publisher is needed");
    let words = ["WARN", "call refused", PUBLISH, "PERMISSION_DENIED", "caller=\"p-"];
    cluster.saw(SL, &counted(PUBLISH), &words).await;
}

//     the node of RP tries the same: it may replicate, and that is all
#[tokio::test(flavor = "multi_thread")]
async fn the_node_of_another_land_may_not_publish() {
    let cluster = lone_node();
    let refused = publish_with(shown(&cluster, cluster.files(Who::Node(RP)))).await;
    denied(&refused, "has the roles [peer], publisher is needed");
    let words = ["WARN", "call refused", PUBLISH, "PERMISSION_DENIED", "caller=\"p-"];
    cluster.saw(SL, &counted(PUBLISH), &words).await;
    let status = cluster.status(SL).await.expect("status");
    assert_eq!(status.logs.iter().map(|it| it.size).sum::<u64>(), 0, "nothing was written");
}

//     a reader of SL's own Land
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_neither_publish_nor_open_a_peer_session() {
    let cluster = lone_node();
    denied(
        &publish_with(cluster.client_config(SL, Who::Reader)).await,
        "has the roles [reader], publisher is needed",
    );
    let refused = Partner::dial(cluster.client_config(SL, Who::Reader)).await;
    let refused = refused.expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(refused.message().contains("peer is needed"), "{refused}");
    cluster.saw(SL, &counted(SESSION), &["WARN", "call refused", SESSION]).await;
}

//     rp-9 has a good certificate of RP's own CA, but the charter names rp-1 only
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_the_charter_does_not_name_is_refused() {
    let now = OffsetDateTime::now_utc();
    let ca = Authority::root("Neue CA von RP", now).expect("root").sub("RP", now).expect("CA");
    let issue = |name: &str| ca.issue(&Request::node(name, now)).expect("issued");
    let mut cluster = Cluster::prepare_with(&[SL, RP], &[(SL, RP)], |pki| {
        std::fs::write(pki.anchor(RP), ca.pem()).expect("anchor");
        let known = issue(&Pki::node_name(RP));
        std::fs::write(pki.node(RP).certificate, known.chain_pem).expect("certificate");
        std::fs::write(pki.node(RP).key, known.key_pem).expect("key");
    });
    cluster.run(SL);
    listening(&cluster).await;

    // the same CA, the same purpose, the name of the charter: taken
    let mut known = Partner::dial(shown(&cluster, cluster.files(Who::Node(RP)))).await;
    known.as_mut().expect("taken").hello(verbund(&cluster), RP).await;

    let unknown = "rp-9.demo.example";
    let refused = Partner::dial(shown(&cluster, written(&cluster, &issue(unknown)))).await;
    let refused = refused.expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(refused.message().contains("has the roles [], peer is needed"), "{refused}");
    let words = ["WARN", "call refused", SESSION, "PERMISSION_DENIED", "caller=\"p-"];
    cluster.saw(SL, &counted(SESSION), &words).await;
}

//     HE's certificate, RP's name in the Hello
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_claims_to_be_another_land_is_disconnected() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE], &[(SL, RP)]);
    cluster.run(SL);
    listening(&cluster).await;
    let mut liar = Partner::dial(shown(&cluster, cluster.files(Who::Node(HE)))).await;
    let liar = liar.as_mut().expect("HE may open a session");
    liar.hello(verbund(&cluster), RP).await;
    let ended = liar.expect(|_| None::<()>).await.expect("ends without an error of its own");
    assert!(ended.is_none());
    let metric = "registry_peer_faults_total{land=\"HE\",fault=\"other_identity\"}";
    let words = ["WARN", "peer fault", "says it is RP", "its certificate says HE"];
    cluster.saw(SL, metric, &words).await;
}

//     SL - RP - (HE, played by the test)
//
// RP does not know SL's log yet and asks HE for it. HE answers with an entry that says it is SL's
// and that HE signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_land_can_write_only_its_own_log() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE], &[(SL, RP)]);
    cluster.run(RP);
    listening_at(&cluster, RP).await;
    let verbund = verbund(&cluster);
    let config = ClientConfig {
        endpoint: format!("https://{}", cluster.bound(RP).grpc),
        ..shown(&cluster, cluster.files(Who::Node(HE)))
    };
    let mut he = Partner::dial(config).await.expect("HE may open a session");
    he.hello(verbund, HE).await;
    let empty = |land: Land| Head { land: land.code().to_owned(), epoch: 1, ..Head::default() };
    let heads = vec![empty(SL), empty(HE)];
    he.send(Message::Heads(Heads { heads, nonce: 0 })).await;
    let mut follows = Vec::new();
    while follows.len() < 2 {
        let follow = he.expect(|it| match it {
            Message::Follow(follow) => Some(follow),
            _ => None,
        });
        follows.push(follow.await.expect("open").expect("RP follows both logs here"));
    }
    let followed = |land: Land| {
        let it = follows.iter().find(|it| it.land == land.code() && it.from == 0);
        it.expect("followed from the start").clone()
    };

    let signer = signer_of(&cluster, HE);
    he.send(Message::Batch(forged(verbund, SL, &signer, &followed(SL)))).await;
    let unfollowed = he.expect(|it| match it {
        Message::Unfollow(it) if it.land == "SL" => Some(()),
        _ => None,
    });
    unfollowed.await.expect("open").expect("RP asks HE no more for the log of SL");
    let metric = "registry_peer_faults_total{land=\"HE\",fault=\"checkpoint\"}";
    let words = ["WARN", "peer fault", "sent a bad checkpoint of SL/1"];
    cluster.saw(RP, metric, &words).await;

    // the same session still carries what is HE's to write
    he.send(Message::Batch(forged(verbund, HE, &signer, &followed(HE)))).await;
    let acknowledged = he.expect(|it| match it {
        Message::Ack(Ack { land, size, .. }) if land == "HE" => Some(size),
        _ => None,
    });
    assert_eq!(acknowledged.await.expect("open"), Some(1));

    // and SL's log holds what SL wrote
    cluster.run(SL);
    cluster.wait_open(&[SL, RP]).await;
    let id = service_id(1);
    let records = request(vec![definition(&id, "Echter Dienst")], vec![]);
    cluster.publish(SL, records).await.expect("published");
    let client = cluster.client(RP, Who::Reader).await.expect("connected");
    let shown = GetServiceRequest { service_id: id, land: "SL".to_owned(), ..Default::default() };
    eventually(START, "RP shows what SL published", async || {
        client.service(shown.clone()).await.is_ok()
    })
    .await;
    assert_eq!(size(&cluster, RP, SL).await, 1);
}

//     (SL, dead) - RP - (HE, played by the test)
//
// HE does not wait to be asked and announces a head of SL's log that it signed itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_its_owner_did_not_sign_ends_the_session() {
    let mut cluster = Cluster::prepare(&[SL, RP, HE], &[(SL, RP)]);
    cluster.run(RP);
    listening_at(&cluster, RP).await;
    let verbund = verbund(&cluster);
    let config = ClientConfig {
        endpoint: format!("https://{}", cluster.bound(RP).grpc),
        ..shown(&cluster, cluster.files(Who::Node(HE)))
    };
    let mut he = Partner::dial(config).await.expect("HE may open a session");
    he.hello(verbund, HE).await;
    let signed = sign(verbund, SL, 7, Hash::of(b"anything"), &signer_of(&cluster, HE));
    let head = Head {
        land: "SL".to_owned(),
        epoch: 1,
        size: 7,
        root: signed.root().as_bytes().to_vec().into(),
        checkpoint: signed.raw().clone(),
        held: Default::default(),
        kept: false,
    };
    he.send(Message::Heads(Heads { heads: vec![head], nonce: 0 })).await;
    assert!(he.expect(|_| None::<()>).await.expect("ends in order").is_none());
    let metric = "registry_peer_faults_total{land=\"HE\",fault=\"checkpoint\"}";
    cluster.saw(RP, metric, &["WARN", "peer fault", "sent a bad checkpoint of SL/1"]).await;
    assert_eq!(size(&cluster, RP, SL).await, 0);
}

/// One entry that says it stands in the log of `land`, under a checkpoint of `signer`.
fn forged(verbund: VerbundId, land: Land, signer: &LogSigner, follow: &Follow) -> Batch {
    let (salt, body) = ([7; 16], b"no record at all".to_vec());
    let header = Header {
        verbund,
        log: LogId { land, epoch: 1 },
        index: 0,
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
    let header = header.encode().expect("within the limits");
    let mut tree = Frontier::default();
    tree.push(leaf_hash(&header));
    Batch {
        land: land.code().to_owned(),
        epoch: 1,
        first: 0,
        entries: vec![BatchEntry {
            header,
            salt: salt.to_vec().into(),
            body: body.into(),
            body_state: BodyState::Present.into(),
            erasure: None,
        }],
        checkpoint: sign(verbund, land, 1, tree.root(), signer).raw().clone(),
        follow: follow.follow,
        ..Batch::default()
    }
}

fn sign(
    verbund: VerbundId,
    land: Land,
    size: u64,
    root: Hash,
    signer: &LogSigner,
) -> SignedCheckpoint {
    let origin = Origin { verbund, log: LogId { land, epoch: 1 } };
    let seconds = OffsetDateTime::now_utc().unix_timestamp();
    let seconds = u64::try_from(seconds).expect("after 1970");
    Checkpoint { origin, size, root }.sign(signer, seconds).expect("signed")
}

fn signer_of(cluster: &Cluster, land: Land) -> LogSigner {
    let key = |name: &str| ensure_key(&cluster.home(land).join(name)).expect("key");
    LogSigner::new(key("log.key"), key("freshness.key"))
}

/// SL's node alone: it serves and answers, and nobody confirms its log.
fn lone_node() -> Cluster {
    let mut cluster = Cluster::prepare(&[SL, RP], &[(SL, RP)]);
    cluster.run(SL);
    cluster
}

async fn listens(cluster: &Cluster) -> bool {
    tokio::net::TcpStream::connect(cluster.bound(SL).grpc).await.is_ok()
}

async fn listening(cluster: &Cluster) {
    listening_at(cluster, SL).await;
}

async fn listening_at(cluster: &Cluster, land: Land) {
    eventually(START, &format!("{land} answers"), async || cluster.status(land).await.is_ok())
        .await;
}

async fn size(cluster: &Cluster, at: Land, of: Land) -> u64 {
    let status = cluster.status(at).await.expect("status");
    status.logs.iter().find(|it| it.land == of.code()).map_or(0, |it| it.size)
}

fn verbund(cluster: &Cluster) -> VerbundId {
    let raw = std::fs::read(cluster.prepared().charter()).expect("charter");
    registry_proto::charter::Charter::parse(raw.into()).expect("charter").id()
}

/// How to ask SL with this certificate.
fn shown(cluster: &Cluster, files: Files) -> ClientConfig {
    let config = cluster.client_config(SL, Who::Reader);
    ClientConfig { cert: files.certificate, key: files.key, ..config }
}

fn written(cluster: &Cluster, issued: &Issued) -> Files {
    let write = |name: &str, text: &str| -> PathBuf {
        let path = cluster.dir().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    Files {
        certificate: write("other.pem", &issued.chain_pem),
        key: write("other.key", &issued.key_pem),
    }
}

/// Why publishing at SL with this certificate fails.
async fn publish_with(config: ClientConfig) -> ClientError {
    let mut client = Client::connect(config.clone()).await;
    let starting = |it: &Result<Client, ClientError>| {
        matches!(it, Err(ClientError::Connect(ConnectError::Refused { .. })))
    };
    if starting(&client) {
        eventually(START, "SL listens", async || {
            client = Client::connect(config.clone()).await;
            !starting(&client)
        })
        .await;
    }
    let records = request(vec![definition(&service_id(1), "Dienst")], vec![]);
    match client {
        Ok(client) => client.publish(records).await.expect_err("refused"),
        Err(failure) => failure,
    }
}

fn denied(refused: &ClientError, why: &str) {
    let ClientError::Refused { refusal, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, Code::PermissionDenied, "{refusal:?}");
    assert_eq!(refusal.reason.as_deref(), Some("ROLE_MISSING"));
    assert!(refusal.message.contains(why), "{refusal:?}");
    assert_eq!(refused.class(), Class::Refused);
}

fn counted(method: &str) -> String {
    format!("registry_requests_total{{method=\"{method}\",code=\"PERMISSION_DENIED\"}}")
}

const START: std::time::Duration = std::time::Duration::from_secs(60);
