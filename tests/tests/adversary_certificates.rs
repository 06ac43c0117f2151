//! Attacks with certificates, by people and nodes: of another CA or Land, none, expired, revoked while
//! the connection stands. Each is refused or disconnected and counted, and what is published at SL
//! still arrives at RP.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use registry_client::{Client, ClientConfig, ClientError};
use registry_node::pki::{Authority, Files, Issued, Pki, Request, Usage};
use registry_proto::{
    terms::Land::{BY, HE, RP, SL, TH},
    wire::{
        peer::peer_message::Message,
        registry::{WatchRequest, watch_request::Start, watch_service_client::WatchServiceClient},
    },
};
use registry_tests::{
    arena::{Arena, Honest, LIMIT, MEMBERS, Run},
    attack::{fault, heads_of, quarantined},
    cluster::{Who, eventually},
    partner::Partner,
    records::{definition, request, service_id},
};
use rustls::{AlertDescription, SupportedProtocolVersion, version};
use time::{Duration, OffsetDateTime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::Code;

const SESSION: &str = "/verbund.peer.v1.PeerService/Session";
const PUBLISH: &str = "/verbund.registry.v1.PublishService/Publish";

/// An arena in which the test has the key of the CA of HE.
struct World {
    arena: Arena,
    he: Authority,
    node: Issued,
}

//     what is refused before anything is asked, at every port that wants a certificate
#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_do_not_count_are_refused_at_every_port() {
    let world = World::start().await;
    let (arena, now) = (&world.arena, OffsetDateTime::now_utc());
    let honest = arena.honest().await;
    let stranger = Authority::root("Fremde CA", now).expect("root");
    let node = || Request::node(Pki::node_name(HE), now);
    let ended =
        || Request { not_before: now - Duration::days(30), not_after: now - SECOND, ..node() };
    let servers = || Request { usage: Usage::Server, ..node() };
    let by_he = |it: Request| Some(world.he.issue(&it).expect("issued"));
    let by_stranger = |it: Request| Some(stranger.issue(&it).expect("issued"));
    let publisher = Request::client(Pki::publisher_name(SL), now);
    let good = Some(world.he.issue(&node()).expect("issued"));
    let cases: [(&str, Option<Issued>, _, AlertDescription, &str); 7] = [
        ("wrong CA", by_stranger(publisher), TLS13, AlertDescription::UnknownCA, "unknown_issuer"),
        ("wrong CA", by_stranger(node()), TLS13, AlertDescription::UnknownCA, "unknown_issuer"),
        ("none", None, TLS13, AlertDescription::CertificateRequired, "no_certificate"),
        ("expired", by_he(ended()), TLS13, AlertDescription::CertificateExpired, "expired"),
        (
            "for servers",
            by_he(servers()),
            TLS13,
            AlertDescription::UnsupportedCertificate,
            "bad_certificate",
        ),
        ("weak key", Some(weak()), TLS13, AlertDescription::CertificateUnknown, "bad_certificate"),
        ("TLS 1.2", good, TLS12, AlertDescription::ProtocolVersion, "other"),
    ];
    let bound = arena.bound(SL);
    let web = bound.web.expect("web");
    for (listener, address) in [("grpc", bound.grpc), ("web", web), ("admin", bound.admin)] {
        for (what, issued, versions, alert, outcome) in &cases {
            eprintln!("{what} at {listener}");
            let labels = format!("listener=\"{listener}\",outcome=\"{outcome}\"");
            let metric = format!("registry_tls_handshakes_total{{{labels}}}");
            let before = arena.metric(SL, &metric).await;
            assert_eq!(world.alert(address, issued.as_ref(), versions).await, *alert, "{what}");
            arena.counted(SL, &metric, before + 1).await;
        }
        honest.goes_on().await;
    }
    world.blames_nobody(honest).await;
}

//     who has a certificate of a member that is not meant for what it is used for
#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_one_land_are_worth_nothing_in_the_name_of_another() {
    let world = World::start().await;
    let (arena, now) = (&world.arena, OffsetDateTime::now_utc());
    let honest = arena.honest().await;
    let denied = |method: &str| {
        format!("registry_requests_total{{method=\"{method}\",code=\"PERMISSION_DENIED\"}}")
    };
    // HE's CA issues names that are not HE's, or that the charter does not know
    for name in [Pki::node_name(RP), Pki::node_name(TH), "he-9.demo.example".into(), "*".into()] {
        let before = arena.metric(SL, &denied(SESSION)).await;
        let issued = world.he.issue(&Request::node(name.clone(), now)).expect("issued");
        let refused = Partner::dial(world.shown(&issued)).await.expect_err("refused");
        assert_eq!(refused.code(), Code::PermissionDenied, "{name} {refused}");
        arena.counted(SL, &denied(SESSION), before + 1).await;
    }
    honest.goes_on().await;

    // HE's own node says that it is TH
    let mut liar = Partner::dial(world.shown(&world.node)).await.expect("a member");
    liar.hello(arena.verbund(), TH).await;
    assert_eq!(liar.expect(|_| None::<()>).await.expect("ends in order"), None);
    arena.counted(SL, &fault(HE, "other_identity"), 1).await;
    honest.goes_on().await;

    // and it publishes, as the publisher of RP does
    for config in [world.shown(&world.node), arena.config(SL, Who::Publisher(RP))] {
        let before = arena.metric(SL, &denied(PUBLISH)).await;
        let client = Client::connect(config).await.expect("connected");
        let records = request(vec![definition(&service_id(1), "Fremd")], vec![]);
        let refused = client.publish(records).await.expect_err("refused");
        assert!(matches!(refused, ClientError::Refused { .. }), "{refused:?}");
        arena.counted(SL, &denied(PUBLISH), before + 1).await;
    }

    // who has no role reads nothing in a browser either, and leaves a trace
    let web = arena.bound(SL).web.expect("web");
    for path in ["/", "/api/v1/services?land=SL"] {
        let before = arena.metric(SL, &denied("web")).await;
        let mut io = arena.tls(web, Who::Publisher(RP), b"http/1.1").await.expect("connected");
        let ask = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        io.write_all(ask.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let read = timeout(LIMIT, io.read_to_string(&mut answer)).await.expect("in time");
        assert!(read.is_ok() && answer.starts_with("HTTP/1.1 403"), "{answer}");
        arena.counted(SL, &denied("web"), before + 1).await;
    }
    let audit = arena.home(SL).join("data/audit/00000000000000000000.jsonl");
    let line = "\"act\":\"web\",\"outcome\":\"PERMISSION_DENIED\",\"who\":\"p-";
    eventually(LIMIT, "it stands in the audit log", async || {
        let text = fs::read_to_string(&audit).expect("lines");
        let mut lines = text.lines().filter(|it| it.contains(line));
        lines.any(|it| it.contains(&Pki::publisher_name(RP)))
    })
    .await;
    world.blames_nobody(honest).await;
}

//     TH, HE - SL, and somebody watches; HE's certificate is revoked, that of the watcher ends
#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_or_expires_in_the_middle_is_disconnected_and_nobody_else() {
    let world = World::start().await;
    let (arena, now) = (&world.arena, OffsetDateTime::now_utc());
    let honest = arena.honest().await;
    let mut he = Partner::dial(world.shown(&world.node)).await.expect("a member");
    he.hello(arena.verbund(), HE).await;
    heads_of(&mut he, 1).await;
    let mut th = arena.partner(SL, TH).await;
    heads_of(&mut th, 1).await;
    // under an anchor of the clients of SL, for some seconds
    let soon = OffsetDateTime::now_utc() + 8 * SECOND;
    let short = Request { not_after: soon, ..Request::client("kurz.example", now) };
    let short = world.he.issue(&short).expect("issued");
    let watcher = Client::connect(world.shown(&short)).await.expect("connected");
    let start = WatchRequest { start: Some(Start::Now(true)), ..WatchRequest::default() };
    let watch = WatchServiceClient::new(watcher.channel()).watch(start).await;
    let mut watch = watch.expect("it may read").into_inner();

    world.write_list(2, &[&world.node]);
    he.expect(|_| None::<()>).await.expect_err("HE's session is cut off");
    let gone = |cause: &str| {
        format!("registry_tls_disconnects_total{{listener=\"grpc\",cause=\"{cause}\"}}")
    };
    arena.counted(SL, &gone("revoked"), 1).await;
    honest.goes_on().await;
    let revoked = AlertDescription::CertificateRevoked;
    assert_eq!(world.alert(arena.bound(SL).grpc, Some(&world.node), TLS13).await, revoked);

    let over = async { while let Ok(Some(_)) = watch.message().await {} };
    timeout(LIMIT, over).await.expect("the watch ends with its certificate");
    arena.counted(SL, &gone("expired"), 1).await;
    // those who did nothing go on, on the streams that they had
    heads_of(&mut th, 2).await;
    assert_eq!(arena.metric(SL, &gone("revoked")).await, 1);
    assert_eq!(arena.metric(SL, &gone("expired")).await, 1);
    let beacon = th.expect(|it| matches!(it, Message::Beacon(_)).then_some(()));
    assert_eq!(beacon.await.expect("the session stands"), Some(()));
    world.blames_nobody(honest).await;
}

/// A certificate with a key that is too short, whoever issued it.
fn weak() -> Issued {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    let key = key.expect("a key");
    let params = rcgen::CertificateParams::new(vec![Pki::node_name(HE)]).expect("a name");
    let certificate = params.self_signed(&key).expect("signed");
    let pkcs8 = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    Issued {
        chain: vec![certificate.der().clone()],
        key: pkcs8.into(),
        chain_pem: certificate.pem(),
        key_pem: key.serialize_pem().into(),
    }
}

// === impl World ===

impl World {
    async fn start() -> Self {
        let now = OffsetDateTime::now_utc();
        let he = Authority::root("Neue CA von HE", now).expect("root").sub("HE", now).expect("CA");
        let node = he.issue(&Request::node(Pki::node_name(HE), now)).expect("issued");
        let arena = Arena::prepare_with(|pki| {
            fs::write(pki.anchor(HE), he.pem()).expect("anchor");
            let anchors = fs::read_to_string(pki.client_anchors(SL)).expect("anchors");
            fs::write(pki.client_anchors(SL), anchors + &he.pem()).expect("anchors");
        });
        let mut world = Self { arena: arena.await, he, node };
        world.write_list(1, &[]);
        let list = world.list().display().to_string();
        world.arena.configure(SL, |table| {
            let tls = table.get_mut("tls").and_then(toml::Value::as_table_mut).expect("[tls]");
            tls.insert("crls".to_owned(), toml::Value::Array(vec![list.into()]));
        });
        world.arena.run(Run::default()).await;
        world
    }

    fn list(&self) -> PathBuf {
        self.arena.dir().join("he.crl")
    }

    /// As it should be done: a new file takes the place of the old one.
    fn write_list(&self, number: u64, revoked: &[&Issued]) {
        let end = OffsetDateTime::now_utc() + Duration::days(7);
        let new = self.arena.dir().join("he.crl.new");
        fs::write(&new, self.he.crl(number, revoked, end).expect("list")).expect("written");
        fs::rename(&new, self.list()).expect("renamed");
    }

    /// How to ask SL with this certificate.
    fn shown(&self, issued: &Issued) -> ClientConfig {
        let Files { certificate, key } = Files {
            certificate: self.arena.dir().join("shown.pem"),
            key: self.arena.dir().join("shown.key"),
        };
        fs::write(&certificate, &issued.chain_pem).expect("written");
        fs::write(&key, &issued.key_pem).expect("written");
        ClientConfig { cert: certificate, key, ..self.arena.config(SL, Who::Reader) }
    }

    /// What a client is told in the handshake, or with the first bytes after its own half of it.
    async fn alert(
        &self,
        to: SocketAddr,
        issued: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> AlertDescription {
        let mut roots = rustls::RootCertStore::empty();
        let bundle = self.arena.config(SL, Who::Reader).ca;
        for certificate in registry_node::tls::read_certificates(&bundle).expect("bundle") {
            roots.add(certificate).expect("anchor");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match issued {
            None => config.with_no_client_auth(),
            Some(it) => {
                config.with_client_auth_cert(it.chain.clone(), it.key.clone_key()).expect("a pair")
            }
        };
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tcp = TcpStream::connect(to).await.expect("TCP");
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("name");
        let refused = async {
            match connector.connect(name, tcp).await {
                Ok(mut stream) => stream.read_u8().await.expect_err("refused"),
                Err(refused) => refused,
            }
        };
        let refused = timeout(LIMIT, refused).await.expect("told in time");
        match refused.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => *alert,
            _ => panic!("{refused:?}"),
        }
    }

    /// What people with wrong certificates do convicts no Land, and the log of SL goes on.
    async fn blames_nobody(self, honest: Honest) {
        honest.goes_on().await;
        for land in MEMBERS {
            for at in [SL, RP] {
                assert_eq!(self.arena.metric(at, &quarantined(land)).await, 0, "{land} at {at}");
            }
        }
        assert_eq!(self.arena.metric(SL, &fault(BY, "other_identity")).await, 0);
        self.arena.stop().await;
    }
}

const SECOND: Duration = Duration::seconds(1);
const TLS12: &[&SupportedProtocolVersion] = &[&version::TLS12];
const TLS13: &[&SupportedProtocolVersion] = &[&version::TLS13];
