//! Attacks by being slow, or many: half-open connections, heads and requests that come drop by
//! drop, on every port of a node. Each is ended and counted, and what is published at SL still
//! arrives at RP.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use registry_client::Client;
use registry_core::limits;
use registry_node::serving::Patience;
use registry_proto::terms::Land::SL;
use registry_tests::{
    arena::{Arena, LIMIT, Run, tcp_from},
    cluster::{Who, eventually, http_get},
    frames::{self, call, frame},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::JoinSet,
    time::timeout,
};

const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
const ATTACKER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 66));

fn short() -> Run {
    let patience = Patience {
        handshake: Duration::from_secs(2),
        head: Duration::from_secs(2),
        request: Duration::from_secs(2),
        answer: Duration::from_secs(2),
        stall: Duration::from_secs(2),
    };
    Run { patience, ..Run::default() }
}

fn ended(listener: &str, cause: &str) -> String {
    format!("registry_connections_ended_total{{listener=\"{listener}\",cause=\"{cause}\"}}")
}

fn handshakes(listener: &str, outcome: &str) -> String {
    format!("registry_tls_handshakes_total{{listener=\"{listener}\",outcome=\"{outcome}\"}}")
}

/// Sends `text` byte by byte, a pause between two, until the node closes.
async fn drip(mut io: impl AsyncRead + AsyncWrite + Unpin, text: &[u8]) {
    let mut answer = [0; 1_024];
    for byte in text.iter().cycle() {
        if io.write_all(&[*byte]).await.is_err() || io.flush().await.is_err() {
            return;
        }
        let read = timeout(Duration::from_millis(100), io.read(&mut answer)).await;
        if matches!(read, Ok(Ok(0) | Err(_))) {
            return;
        }
    }
}

/// All of these end, and in time.
async fn all_end(mut attacks: JoinSet<()>) {
    let all = async {
        while let Some(ended) = attacks.join_next().await {
            ended.expect("no panic")
        }
    };
    timeout(LIMIT, all).await.expect("the node ends all connections in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_of_one_address_leave_room_for_others() {
    let arena = Arena::start(short()).await;
    let honest = arena.honest().await;
    let bound = arena.bound(SL);
    for (listener, address) in [("grpc", bound.grpc), ("web", bound.web.expect("web"))] {
        let mut held = Vec::new();
        for n in 0..300 {
            let mut tcp = tcp_from(ATTACKER, address).await.expect("TCP");
            if n % 2 == 0 {
                // a record that never ends
                let _ = tcp.write_all(&[22, 3, 1, 2, 0, 1]).await;
            }
            held.push(tcp);
        }
        arena.counted(SL, &handshakes(listener, "too_many"), 200).await;
        // while they stand: others connect, and what stands goes on
        let standing = arena.tls(address, Who::Reader, b"h2").await;
        assert!(standing.is_ok(), "{standing:?}");
        honest.goes_on().await;
        arena.counted(SL, &handshakes(listener, "timeout"), 60).await;
        for mut tcp in held {
            let gone = timeout(LIMIT, tcp.read(&mut [0; 64])).await.expect("closed in time");
            assert!(matches!(gone, Ok(0) | Err(_)), "{gone:?}");
        }
    }
    honest.goes_on().await;
    arena.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_slow_to_begin_is_disconnected_at_every_port() {
    let arena = Arena::start(short()).await;
    let honest = arena.honest().await;
    let bound = arena.bound(SL);
    let web = bound.web.expect("web");
    let mut attacks = JoinSet::new();
    let head = b"GET /metrics HTTP/1.1\r\nx-a: b\r\n";
    for _ in 0..20 {
        // the handshake itself
        let tcp = tcp_from(OWN, bound.grpc).await.expect("TCP");
        attacks.spawn(drip(tcp, &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]));
        // a certificate, and then silence, or a preface that takes its time
        let io = arena.tls(bound.grpc, Who::Reader, b"h2").await.expect("connected");
        attacks.spawn(drip(io, b"PRI * HTTP/2.0\r\n\r\nSM\r"));
        let mut io = arena.tls(bound.admin, Who::Reader, b"h2").await.expect("connected");
        attacks.spawn(async move {
            let _ = io.read_to_end(&mut Vec::new()).await;
        });
        let io = arena.tls(web, Who::Reader, b"http/1.1").await.expect("connected");
        attacks.spawn(drip(io, head));
        let mut io = arena.tls(web, Who::Reader, b"h2").await.expect("connected");
        attacks.spawn(async move {
            let _ = io.read_to_end(&mut Vec::new()).await;
        });
        let tcp = tcp_from(OWN, bound.monitoring).await.expect("TCP");
        attacks.spawn(drip(tcp, head));
    }
    honest.goes_on().await;
    all_end(attacks).await;
    arena.counted(SL, &handshakes("grpc", "timeout"), 20).await;
    arena.counted(SL, &ended("grpc", "timeout"), 20).await;
    arena.counted(SL, &ended("admin", "timeout"), 20).await;
    arena.counted(SL, &ended("web", "timeout"), 40).await;
    arena.counted(SL, &ended("monitoring", "timeout"), 20).await;
    honest.goes_on().await;
    arena.stop().await;
}

//     one reader holds as many connections to SL as a certificate may have
#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_certificate_leave_room_for_others() {
    let patience = Patience { head: 4 * LIMIT, ..Patience::default() };
    let arena = Arena::start(Run { patience, ..Run::default() }).await;
    let honest = arena.honest().await;
    let grpc = arena.bound(SL).grpc;
    let mut held = Vec::new();
    for _ in 0..limits::CONNECTIONS_PER_IDENTITY_MAX {
        held.push(arena.tls(grpc, Who::Reader, b"h2").await.expect("has a place"));
    }
    assert_eq!(arena.metric(SL, &handshakes("grpc", "too_many")).await, 0);
    let mut more = arena.tls(grpc, Who::Reader, b"h2").await.expect("the client's half of it");
    // nothing of HTTP/2 comes, not even its settings
    let read = timeout(LIMIT, more.read(&mut [0; 1])).await.expect("in time");
    assert_eq!(read.unwrap_or(0), 0, "closed");
    arena.counted(SL, &handshakes("grpc", "too_many"), 1).await;
    arena.client(SL, Who::Operator(SL)).await.status().await.expect("others are served");
    honest.goes_on().await;
    // a place that is free is used again
    drop(held.pop());
    eventually(LIMIT, "a place is free", async || {
        match Client::connect(arena.config(SL, Who::Reader)).await {
            Ok(client) => client.status().await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    honest.goes_on().await;
    arena.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_at_the_monitoring_port_passes() {
    let arena = Arena::start(short()).await;
    let honest = arena.honest().await;
    let monitoring: SocketAddr = arena.bound(SL).monitoring;
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(tcp_from(OWN, monitoring).await.expect("TCP"));
    }
    honest.goes_on().await;
    eventually(LIMIT, "monitoring answers again", async || {
        let asked = timeout(Duration::from_secs(1), tcp_from(OWN, monitoring)).await;
        let Ok(Ok(mut tcp)) = asked else { return false };
        let ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let mut answer = String::new();
        tcp.write_all(ask).await.is_ok()
            && tcp.read_to_string(&mut answer).await.is_ok()
            && answer.starts_with("HTTP/1.1 200")
    })
    .await;
    assert!(http_get(monitoring, "/metrics").await.contains("registry_build_info"));
    arena.counted(SL, &ended("monitoring", "too_many"), 200).await;
    arena.counted(SL, &ended("monitoring", "timeout"), 100).await;
    drop(held);
    honest.goes_on().await;
    arena.stop().await;
}

//     half a frame: nothing that came later could be heard any more
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_never_ends_does_not_hold_its_connection() {
    let arena = Arena::start(short()).await;
    let honest = arena.honest().await;
    let address = arena.bound(SL).grpc;
    let mut io = arena.tls(address, Who::Reader, b"h2").await.expect("connected");
    frames::begin(&mut io, &frame(frames::SETTINGS, 0, 0, &[])).await.expect("begun");
    let whole = frame(frames::HEADERS, 0, 1, &call("/made.up/Call"));
    io.write_all(&whole[..20]).await.expect("sent");
    // the node asks for a sign of life after 5 s, and waits 5 s for it
    frames::read_to_end(&mut io, LIMIT).await;
    arena.counted(SL, &ended("grpc", "timeout"), 1).await;
    honest.goes_on().await;
    arena.stop().await;
}
