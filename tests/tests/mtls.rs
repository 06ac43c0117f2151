//! Who is refused, by real processes over real connections, and what the operator sees of it.

use std::time::Duration;

use registry_client::{Class, Client, ClientConfig};
use registry_node::pki::{Authority, Request};
use registry_proto::{
    terms::Land::{self, HE, RP, SL, TH},
    wire::peer::{
        Hello, PeerMessage, SessionRequest, peer_message::Message,
        peer_service_client::PeerServiceClient,
    },
};
use registry_tests::{
    cluster::{Cluster, Who, eventually},
    records::{definition, request, service_id},
};
use tonic::Code;

const LAENDER: [Land; 2] = [SL, RP];
const LINKS: [(Land, Land); 1] = [(SL, RP)];
const LIMIT: Duration = Duration::from_secs(30);

async fn metrics(cluster: &Cluster, land: Land) -> String {
    let address = cluster.bound(land).monitoring;
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("monitoring");
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.expect("asked");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    text
}

async fn saw(cluster: &Cluster, land: Land, metric: &str, line: &str) {
    eventually(LIMIT, &format!("{land} counts {metric}"), async || {
        metrics(cluster, land).await.lines().any(|it| it.starts_with(metric) && !it.ends_with(" 0"))
    })
    .await;
    eventually(LIMIT, &format!("{land} logs {line}\n{}", cluster.stderr(land)), async || {
        cluster.stderr(land).contains(line)
    })
    .await;
}

/// Makes a client certificate from a CA nobody knows.
fn stranger(cluster: &Cluster, config: &mut ClientConfig) {
    let now = time_now();
    let root = Authority::root("Fremde CA", now).expect("root");
    let issued = root.issue(&Request::client("publisher-sl.demo.example", now)).expect("issued");
    let write = |name: &str, text: &str| {
        let path = cluster.dir().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    config.cert = write("stranger.pem", &issued.chain_pem);
    config.key = write("stranger.key", &issued.key_pem);
}

fn time_now() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc()
}

async fn publish_with(config: ClientConfig) -> Class {
    let client = match Client::connect(config).await {
        Ok(client) => client,
        Err(failure) => return failure.class(),
    };
    let id = service_id(1);
    let refused = client.publish(request(vec![definition(&id, "Dienst")], vec![])).await;
    refused.expect_err("refused").class()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_ca_is_refused_in_the_handshake() {
    let cluster = Cluster::start(&LAENDER, &LINKS).await;
    let mut config = cluster.client_config(SL, Who::Reader);
    stranger(&cluster, &mut config);
    assert_eq!(publish_with(config).await, Class::Refused);
    let metric = "registry_tls_handshakes_total{listener=\"grpc\",outcome=\"unknown_issuer\"}";
    saw(&cluster, SL, metric, "unknown_issuer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_is_refused_in_the_handshake() {
    let cluster = Cluster::start(&LAENDER, &LINKS).await;
    // a plain TLS client: the server asks for a certificate and gets none
    let mut roots = rustls::RootCertStore::empty();
    let bundle = registry_node::tls::read_certificates(&cluster.prepared().pki.bundle());
    for certificate in bundle.expect("bundle") {
        roots.add(certificate).expect("anchor");
    }
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let tcp = tokio::net::TcpStream::connect(cluster.bound(SL).grpc).await.expect("tcp");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("name");
    let read = async {
        use tokio::io::AsyncReadExt;
        let mut stream = connector.connect(name, tcp).await?;
        // TLS 1.3: the refusal comes after the client thinks it is done
        stream.read_u8().await
    };
    let refused = read.await.expect_err("refused");
    assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
    let metric = "registry_tls_handshakes_total{listener=\"grpc\",outcome=\"no_certificate\"}";
    saw(&cluster, SL, metric, "no_certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_publisher_of_another_land_may_not_publish() {
    let cluster = Cluster::start(&LAENDER, &LINKS).await;
    let mut config = cluster.client_config(SL, Who::Reader);
    let files = cluster.files(Who::Publisher(RP));
    (config.cert, config.key) = (files.certificate, files.key);
    // RP's CA is none of SL's client anchors, but one of its members': the handshake stands, the
    // name of a publisher under it counts for nothing
    assert_eq!(publish_with(config).await, Class::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_not_publish_and_is_told_what_is_missing() {
    let cluster = Cluster::start(&LAENDER, &LINKS).await;
    let client = cluster.client(SL, Who::Reader).await.expect("connected");
    let id = service_id(1);
    let refused = client.publish(request(vec![definition(&id, "Dienst")], vec![])).await;
    let text = refused.expect_err("refused").to_string();
    assert!(text.contains("publisher"), "{text}");
    assert_eq!(
        cluster.status(SL).await.expect("status").logs.iter().map(|it| it.size).sum::<u64>(),
        0
    );
}

/// Opens a session with the certificate of `who` and says hello as `said`.
async fn hello_as(cluster: &Cluster, who: Who, said: Land) -> Result<(), tonic::Status> {
    let mut config = cluster.client_config(SL, Who::Reader);
    let files = cluster.files(who);
    (config.cert, config.key) = (files.certificate, files.key);
    let client = Client::connect(config).await.expect("the handshake stands");
    let status = cluster.status(SL).await.expect("status");
    let verbund: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&status.verbund[2 * at..2 * at + 2], 16).expect("hex"))
        .collect();
    let hello = Message::Hello(Hello {
        verbund: verbund.into(),
        land: said.code().to_owned(),
        node: registry_node::pki::Pki::node_name(said),
        protocol_min: 1,
        protocol_max: 1,
        features: Vec::new(),
    });
    let message = SessionRequest { message: Some(PeerMessage { message: Some(hello) }) };
    let (sender, messages) = tokio::sync::mpsc::channel(1);
    sender.send(message).await.expect("queued");
    let requests = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut stream = PeerServiceClient::new(client.channel()).session(requests).await?.into_inner();
    while stream.message().await?.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_not_open_a_peer_session() {
    let cluster = Cluster::start(&LAENDER, &LINKS).await;
    let refused = hello_as(&cluster, Who::Reader, RP).await.expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let metric = "registry_requests_total{method=\"/verbund.peer.v1.PeerService/Session\",code=\"PERMISSION_DENIED\"}";
    eventually(LIMIT, "counted", async || {
        metrics(&cluster, SL).await.lines().any(|it| it.starts_with(metric))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_claims_to_be_another_land_is_disconnected() {
    let cluster = Cluster::start(&[SL, RP, HE], &[(SL, RP)]).await_two().await;
    // HE's certificate, RP's name
    hello_as(&cluster, Who::Node(HE), RP).await.expect("ends without an error of its own");
    let metric = "registry_peer_faults_total{land=\"HE\",fault=\"other_identity\"}";
    saw(&cluster, SL, metric, "peer fault").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_in_the_charter_is_nobody() {
    let cluster = Cluster::start(&LAENDER, &LINKS).await;
    // a certificate of SL's own CA under a node name the charter does not have
    let _ = TH;
    let refused = hello_as(&cluster, Who::Operator(SL), RP).await.expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}
