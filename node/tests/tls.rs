//! Mutual TLS over real loopback sockets: who is let in, as whom, and what is said about refusals.
//!
//! ```text
//! root -- SL CA -- sl-1, publisher-sl, and the server under test (node sl-1)
//!      -- RP CA -- rp-1
//! stranger CA   -- anyone
//! ```

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod certificates;
mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use registry_core::authorize::{PeerIdentity, Role, Rule, Who};
use registry_node::{
    lifecycle::{Shutdown, TaskKind},
    pki::{Issued, Request, Usage},
    tls::{AcceptLimits, Caller, ConnectError, Listener, PeerConnector, Profile, TlsContext},
};
use registry_proto::terms::Land;
use rustls::{AlertDescription, version};
use support::{Client, Pki, Server, eventually, log_lines};
use time::{Duration as Days, OffsetDateTime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

// === refused ===

#[tokio::test]
async fn a_chain_of_an_unknown_issuer_is_refused() {
    let pki = Pki::new();
    let client = Client::with(&pki, pki.stranger_ca.issue(&pki.node_request("sl-1")).unwrap());
    check_refused(&pki, client, AlertDescription::UnknownCA, "unknown_issuer").await;
}

#[tokio::test]
async fn a_client_without_certificate_is_refused() {
    let pki = Pki::new();
    let client = Client::anonymous(&pki);
    check_refused(&pki, client, AlertDescription::CertificateRequired, "no_certificate").await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let pki = Pki::new();
    let now = OffsetDateTime::now_utc();
    let request = Request {
        not_before: now - Days::days(30),
        not_after: now - Days::days(1),
        ..pki.node_request("rp-1")
    };
    let client = Client::with(&pki, pki.rp_ca.issue(&request).unwrap());
    check_refused(&pki, client, AlertDescription::CertificateExpired, "expired").await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_even_if_pinned() {
    let mut pki = Pki::new();
    let now = OffsetDateTime::now_utc();
    let request = Request {
        not_before: now - Days::days(30),
        not_after: now - Days::days(1),
        ..pki.node_request("rp-1")
    };
    let own = request.self_signed().unwrap();
    pki.pin_rp(&own);
    let client = Client::with(&pki, own);
    check_refused(&pki, client, AlertDescription::CertificateExpired, "expired").await;
}

#[tokio::test]
async fn a_certificate_for_servers_only_is_no_client_certificate() {
    let pki = Pki::new();
    let request = Request { usage: Usage::Server, ..pki.node_request("rp-1") };
    let client = Client::with(&pki, pki.rp_ca.issue(&request).unwrap());
    check_refused(&pki, client, AlertDescription::UnsupportedCertificate, "bad_certificate").await;
}

#[tokio::test]
async fn tls_1_2_is_refused_by_default() {
    let pki = Pki::new();
    let client = Client::versions(&pki, pki.issue_publisher(), &[&version::TLS12]);
    check_refused(&pki, client, AlertDescription::ProtocolVersion, "other").await;
}

#[tokio::test]
async fn plain_tcp_is_refused() {
    let pki = Pki::new();
    let server = Server::start(&pki.sl_context(), AcceptLimits::default()).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let remote = tcp.local_addr().unwrap();
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer).await; // an alert and the end, or a reset
    assert!(!answer.starts_with(b"HTTP"));
    server.assert_refused(remote, "not_tls").await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dropped_after_the_time_limit() {
    let pki = Pki::new();
    let server = Server::start(&pki.sl_context(), AcceptLimits::default()).await;
    let begun = tokio::time::Instant::now();
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let remote = tcp.local_addr().unwrap();
    assert_eq!(tcp.read(&mut [0; 1]).await.unwrap(), 0, "the server closes");
    assert!(begun.elapsed() >= AcceptLimits::default().handshake);
    server.assert_refused(remote, "timeout").await;
}

#[tokio::test]
async fn a_connection_above_the_limit_is_refused_and_a_freed_place_is_used_again() {
    let pki = Pki::new();
    let limits = AcceptLimits { connections: 1, ..AcceptLimits::default() };
    let mut server = Server::start(&pki.sl_context(), limits).await;
    let client = Client::with(&pki, pki.issue_publisher());
    let first = client.connect(server.address).await.unwrap();
    server.next_caller().await;

    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let remote = tcp.local_addr().unwrap();
    assert_eq!(tcp.read(&mut [0; 1]).await.unwrap_or(0), 0);
    server.assert_refused(remote, "too_many").await;

    drop(first);
    eventually("a place is free", || server.connections_open() == 0).await;
    client.connect(server.address).await.unwrap();
    server.next_caller().await;
}

#[tokio::test]
async fn connections_of_one_identity_above_the_limit_are_refused() {
    let pki = Pki::new();
    let limits = AcceptLimits { connections_per_identity: 1, ..AcceptLimits::default() };
    let mut server = Server::start(&pki.sl_context(), limits).await;
    let client = Client::with(&pki, pki.issue_publisher());
    let first = client.connect(server.address).await.unwrap();
    server.next_caller().await;

    let mut second = client.connect(server.address).await.unwrap();
    let remote = second.get_ref().0.local_addr().unwrap();
    assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed");
    server.assert_refused(remote, "too_many").await;

    // another identity has places of its own, and a place that is free is used again
    let other = Client::with(&pki, pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap());
    let other = other.connect(server.address).await.unwrap();
    server.next_caller().await;
    drop((first, other));
    eventually("places are free", || server.connections_open() == 0).await;
    client.connect(server.address).await.unwrap();
    server.next_caller().await;
}

#[tokio::test]
async fn half_open_handshakes_of_one_address_are_limited() {
    let pki = Pki::new();
    let limits = AcceptLimits { handshakes_per_address: 1, ..AcceptLimits::default() };
    let mut server = Server::start(&pki.sl_context(), limits).await;
    let held = TcpStream::connect(server.address).await.unwrap();
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    let remote = tcp.local_addr().unwrap();
    assert_eq!(tcp.read(&mut [0; 1]).await.unwrap_or(0), 0);
    server.assert_refused(remote, "too_many").await;

    // somebody elsewhere connects meanwhile
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let tcp = socket.connect(server.address).await.unwrap();
    let client = Client::with(&pki, pki.issue_publisher());
    client.handshake(tcp).await.unwrap();
    server.next_caller().await;
    drop(held);
}

#[tokio::test]
async fn handshakes_under_way_above_the_limit_are_refused() {
    let pki = Pki::new();
    let limits = AcceptLimits { handshakes: 1, ..AcceptLimits::default() };
    let server = Server::start(&pki.sl_context(), limits).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let remote = second.local_addr().unwrap();
    assert_eq!(second.read(&mut [0; 1]).await.unwrap_or(0), 0);
    server.assert_refused(remote, "too_many").await;
}

// === accepted, and as whom ===

#[tokio::test]
async fn a_members_node_is_a_peer() {
    let pki = Pki::new();
    let rp = pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap();
    let caller = check_accepted(&pki, rp).await;
    assert_eq!(caller.identity.principal.peer, Some(peer(Land::RP, "rp-1")));
    assert_eq!(caller.identity.principal.roles(), [Role::Peer]);
}

#[tokio::test]
async fn a_certificate_of_one_land_does_not_become_the_node_of_another() {
    let pki = Pki::new();
    // RP's CA signs a certificate that names the node of SL
    let forged = pki.rp_ca.issue(&pki.node_request("sl-1")).unwrap();
    let caller = check_accepted(&pki, forged).await;
    assert_eq!(caller.identity.principal.peer, None);
    assert_eq!(caller.identity.principal.roles(), []);
}

#[tokio::test]
async fn a_node_the_charter_does_not_name_has_no_role() {
    let pki = Pki::new();
    let unknown = pki.rp_ca.issue(&pki.node_request("rp-9")).unwrap();
    let caller = check_accepted(&pki, unknown).await;
    assert_eq!(caller.identity.principal.peer, None);
    assert_eq!(caller.identity.principal.roles(), []);
    assert!(caller.identity.principal.pseudonym.starts_with("p-"));
    assert_eq!(caller.identity.principal.pseudonym.len(), 18);
}

#[tokio::test]
async fn a_wildcard_is_no_node_name() {
    let pki = Pki::new();
    let wildcard = pki.rp_ca.issue(&pki.node_request("*")).unwrap();
    assert_eq!(check_accepted(&pki, wildcard).await.identity.principal.peer, None);
}

#[tokio::test]
async fn a_pinned_self_signed_certificate_is_the_node() {
    let mut pki = Pki::new();
    let own = pki.node_request("anything").self_signed().unwrap();
    pki.pin_rp(&own);
    let caller = check_accepted(&pki, own).await;
    assert_eq!(caller.identity.principal.peer, Some(peer(Land::RP, "rp-1")));
}

#[tokio::test]
async fn a_pinned_client_has_the_role_of_its_rule() {
    let mut pki = Pki::new();
    let own = pki.client_request("backup").self_signed().unwrap();
    let who = Who::Spki(support::spki(&own));
    pki.rules.push(Rule { who, ..Rule::grant("backup", Role::Operator) });
    let caller = check_accepted(&pki, own).await;
    assert_eq!(caller.identity.principal.roles(), [Role::Operator]);
}

#[tokio::test]
async fn a_rule_by_name_counts_under_the_client_anchors_only() {
    let pki = Pki::new();
    let caller = check_accepted(&pki, pki.issue_publisher()).await;
    assert_eq!(caller.identity.principal.roles(), [Role::Publisher]);

    let foreign = pki.rp_ca.issue(&pki.client_request("publisher-sl")).unwrap();
    assert_eq!(check_accepted(&pki, foreign).await.identity.principal.roles(), []);
}

#[tokio::test]
async fn an_unrestricted_client_negotiates_only_what_the_profile_allows() {
    let pki = Pki::new();
    let no_hybrid = Profile { hybrid: false, ..Profile::BSI };
    let tls12 = Profile { tls12: true, ..Profile::BSI };
    let old = &[&version::TLS12][..];
    for (profile, versions) in
        [(Profile::BSI, rustls::ALL_VERSIONS), (no_hybrid, rustls::ALL_VERSIONS), (tls12, old)]
    {
        let context = Arc::new(TlsContext::new(profile, pki.sl_material()).unwrap());
        let server = Server::start(&context, AcceptLimits::default()).await;
        let client = Client::versions(&pki, pki.issue_publisher(), versions);
        let stream = client.connect(server.address).await.unwrap();
        let tls = stream.get_ref().1;
        let suite = tls.negotiated_cipher_suite().unwrap().suite();
        let group = tls.negotiated_key_exchange_group().unwrap().name();
        assert!(profile.allows(suite, group), "{suite:?} {group:?}");
        assert_eq!(tls.alpn_protocol(), Some(&b"h2"[..]));
    }
}

#[tokio::test]
async fn two_nodes_use_the_hybrid_key_exchange() {
    let pki = Pki::new();
    let server = Server::start(&pki.sl_context(), AcceptLimits::default()).await;
    let stream = dial(&pki, server.address, peer(Land::SL, "sl-1")).await.unwrap();
    let tls = stream.get_ref().get_ref().1;
    let group = tls.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::secp256r1MLKEM768);
    assert_eq!(tls.handshake_kind(), Some(rustls::HandshakeKind::Full));
}

#[tokio::test]
async fn no_session_is_resumed() {
    let pki = Pki::new();
    let server = Server::start(&pki.sl_context(), AcceptLimits::default()).await;
    let client = Client::with(&pki, pki.issue_publisher());
    for _ in 0..2 {
        let mut stream = client.connect(server.address).await.unwrap();
        support::ping(&mut stream).await.unwrap();
        assert_ne!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    }
}

// === reload ===

#[tokio::test]
async fn a_reload_swaps_the_certificate_and_keeps_the_connection_that_stands() {
    let pki = Pki::new();
    let context = pki.sl_context();
    let server = Server::start(&context, AcceptLimits::default()).await;
    let client = Client::with(&pki, pki.issue_publisher());
    let mut old = client.connect(server.address).await.unwrap();
    support::ping(&mut old).await.unwrap();

    let before = support::server_certificate(&old);
    context.reload(pki.sl_material()).unwrap(); // a newly issued certificate
    support::ping(&mut old).await.unwrap();
    let new = client.connect(server.address).await.unwrap();
    assert_ne!(support::server_certificate(&new), before);
}

#[tokio::test]
async fn material_that_cannot_be_used_changes_nothing() {
    let pki = Pki::new();
    let context = pki.sl_context();
    let mut mixed = pki.sl_material();
    mixed.key = pki.sl_material().key;
    assert!(context.reload(mixed).is_err(), "the key is that of another certificate");
    let server = Server::start(&context, AcceptLimits::default()).await;
    Client::with(&pki, pki.issue_publisher()).connect(server.address).await.unwrap();
}

#[tokio::test]
async fn anchors_removed_by_a_reload_count_no_more() {
    let pki = Pki::new();
    let context = pki.sl_context();
    let server = Server::start(&context, AcceptLimits::default()).await;
    let client = Client::with(&pki, pki.rp_ca.issue(&pki.node_request("rp-1")).unwrap());
    client.connect(server.address).await.unwrap();
    let mut without = pki.sl_material();
    without.members.retain(|member| member.land != Land::RP);
    context.reload(without).unwrap();
    let (_, alert) = client.refused(server.address).await;
    assert_eq!(alert, AlertDescription::UnknownCA);
}

// === dialling ===

#[tokio::test]
async fn dialling_names_a_wrong_issuer_land_name_and_time() {
    let pki = Pki::new();
    let expect = || peer(Land::SL, "sl-1");
    let strange = pki.stranger_ca.issue(&pki.node_request("sl-1")).unwrap();
    let error = dial_server_with(&pki, strange, expect()).await;
    assert!(matches!(error, ConnectError::UnknownIssuer { .. }), "{error}");

    let foreign = pki.rp_ca.issue(&pki.node_request("sl-1")).unwrap();
    let error = dial_server_with(&pki, foreign, expect()).await;
    let wrong =
        matches!(error, ConnectError::WrongLand { expected: Land::SL, found: Land::RP, .. });
    assert!(wrong, "{error}");

    let other = pki.sl_ca.issue(&pki.node_request("sl-2")).unwrap();
    let error = dial_server_with(&pki, other, expect()).await;
    assert!(matches!(error, ConnectError::NameMismatch { .. }), "{error}");

    let now = OffsetDateTime::now_utc();
    let request = Request {
        not_before: now - Days::days(9),
        not_after: now - Days::days(1),
        ..pki.node_request("sl-1")
    };
    let error = dial_server_with(&pki, pki.sl_ca.issue(&request).unwrap(), expect()).await;
    assert!(matches!(error, ConnectError::Expired { .. }), "{error}");

    let error = dial_server_with(&pki, pki.issue_publisher(), peer(Land::TH, "th-1")).await;
    assert!(matches!(error, ConnectError::NotInCharter { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn dialling_a_silent_server_ends_after_the_time_limit() {
    let pki = Pki::new();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let error = dial(&pki, address, peer(Land::SL, "sl-1")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { stage: "handshake", .. }), "{error}");
}

#[tokio::test]
async fn dialling_a_closed_port_says_unreachable() {
    let pki = Pki::new();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = dial(&pki, address, peer(Land::SL, "sl-1")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}

// === through tonic and axum ===

#[tokio::test]
async fn a_grpc_request_carries_its_caller() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    let pki = Pki::new();
    let shutdown = Shutdown::new();
    let metrics = support::metrics();
    let (incoming, address) =
        support::incoming(&pki.sl_context(), Listener::Grpc, &metrics, &shutdown).await;
    let (tell, mut callers) = tokio::sync::mpsc::unbounded_channel();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let service = tonic::service::interceptor::InterceptedService::new(
        health,
        move |request: tonic::Request<()>| {
            tell.send(request.extensions().get::<Caller>().cloned()).unwrap();
            Ok(request)
        },
    );
    let token = shutdown.token().clone();
    shutdown.spawn(TaskKind::Listener, async move {
        let server = tonic::transport::Server::builder().add_service(service);
        server.serve_with_incoming_shutdown(incoming, token.cancelled_owned()).await
    });

    let rp = Arc::new(pki.rp_context());
    let connector = PeerConnector::new(rp, peer(Land::SL, "sl-1"));
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_with_connector(connector)
        .await
        .unwrap();
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
    let caller = callers.recv().await.unwrap().expect("the caller is an extension");
    assert_eq!(caller.identity.principal.peer, Some(peer(Land::RP, "rp-1")));
    let drained = shutdown.drain(Duration::from_secs(10)).await;
    assert_eq!(drained, registry_node::lifecycle::Drained::Clean);
}

#[tokio::test]
async fn a_web_request_carries_its_caller() {
    use axum::{extract::ConnectInfo, routing::get};

    let pki = Pki::new();
    let shutdown = Shutdown::new();
    let metrics = support::metrics();
    let (incoming, address) =
        support::incoming(&pki.sl_context(), Listener::Web, &metrics, &shutdown).await;
    let whoami = |ConnectInfo(caller): ConnectInfo<Caller>| async move {
        caller.identity.principal.pseudonym.clone()
    };
    let router = axum::Router::new().route("/", get(whoami));
    let token = shutdown.token().clone();
    shutdown.spawn(TaskKind::Listener, async move {
        axum::serve(incoming, router.into_make_service_with_connect_info::<Caller>())
            .with_graceful_shutdown(token.cancelled_owned())
            .await
    });

    let publisher = pki.issue_publisher();
    let pseudonym = format!("p-{}", hex::encode(&support::spki(&publisher)[..8]));
    let mut client = Client::with(&pki, publisher);
    client.alpn(b"http/1.1");
    let mut stream = client.connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(&pseudonym), "{answer}");
    assert!(metrics.encode().contains(r#"{listener="web",outcome="ok"} 1"#));
    shutdown.drain(Duration::from_secs(10)).await;
}

async fn check_refused(pki: &Pki, client: Client, alert: AlertDescription, outcome: &str) {
    let server = Server::start(&pki.sl_context(), AcceptLimits::default()).await;
    let (local, received) = client.refused(server.address).await;
    assert_eq!(received, alert);
    server.assert_refused(local, outcome).await;
}

async fn check_accepted(pki: &Pki, issued: Issued) -> Caller {
    let mut server = Server::start(&pki.sl_context(), AcceptLimits::default()).await;
    let mut stream = Client::with(pki, issued).connect(server.address).await.unwrap();
    support::ping(&mut stream).await.unwrap();
    let local = stream.get_ref().0.local_addr().unwrap();
    assert!(server.metrics.encode().contains(r#"{listener="grpc",outcome="ok"} 1"#));
    assert!(log_lines(local).is_empty(), "an accepted connection is not logged");
    server.next_caller().await
}

async fn dial(
    pki: &Pki,
    address: SocketAddr,
    expect: PeerIdentity,
) -> Result<registry_node::tls::Judged<tokio_rustls::client::TlsStream<TcpStream>>, ConnectError> {
    let connector = PeerConnector::new(Arc::new(pki.rp_context()), expect);
    connector.connect("127.0.0.1", address.port()).await
}

/// Dials a server that shows `shown`, as the node rp-1.
async fn dial_server_with(pki: &Pki, shown: Issued, expect: PeerIdentity) -> ConnectError {
    let material = pki.material(shown);
    let context = Arc::new(TlsContext::new(Profile::BSI, material).unwrap());
    let server = Server::start(&context, AcceptLimits::default()).await;
    dial(pki, server.address, expect).await.unwrap_err()
}

fn peer(land: Land, node: &str) -> PeerIdentity {
    PeerIdentity { land, node: format!("{node}.{}", registry_node::pki::DOMAIN) }
}
