//! Attacks on HTTP/2 and on what it carries, by someone with a valid certificate of a reader, over
//! real connections. Each is refused or contained and counted, and what is published at SL still
//! arrives at RP.

use std::time::Duration;

use prost::Message;
use registry_client::ClientError;
use registry_node::serving::Patience;
use registry_proto::{
    terms::Land::SL,
    wire::registry::{
        Record, ServiceVersion, WatchRequest, record, watch_request::Start,
        watch_service_client::WatchServiceClient,
    },
};
use registry_tests::{
    arena::{Arena, LIMIT, Run, resident_bytes},
    cluster::Who,
    frames::{self, END_HEADERS, END_STREAM, call, frame, message},
    records::{definition, request, service_id, version},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const STATUS: &str = "/verbund.registry.v1.CatalogueService/GetStatus";
const PUBLISH: &str = "/verbund.registry.v1.PublishService/Publish";

/// Sends `attack` again and again on a connection of its own until the node ends it, at most `most` times,
/// and answers how often that was; reads nothing unless `reading`.
async fn flood(
    arena: &Arena,
    settings: &[u8],
    reading: bool,
    most: u32,
    mut attack: impl FnMut(u32) -> Vec<u8>,
) -> u32 {
    let address = arena.bound(SL).grpc;
    let mut io = arena.tls(address, Who::Reader, b"h2").await.expect("connected");
    frames::begin(&mut io, settings).await.expect("begun");
    let (mut from, mut to) = tokio::io::split(io);
    let mut sent = 0;
    let writing = async {
        while sent < most && to.write_all(&attack(sent)).await.is_ok() {
            sent += 1;
        }
    };
    let all = async {
        if reading {
            let mut dropped = vec![0; 64 << 10];
            let draining = async { while let Ok(1..) = from.read(&mut dropped).await {} };
            tokio::select! {
                () = writing => {}
                // what is written fails once the node has closed
                () = async { draining.await; std::future::pending().await } => {}
            }
        } else {
            writing.await;
        }
    };
    tokio::time::timeout(LIMIT, all).await.expect("the node ends the connection in time");
    sent
}

/// Reads until that many frames of a kind came, and gives a sign of life when asked.
async fn read_many(io: &mut (impl AsyncRead + AsyncWrite + Unpin), kind: u8, many: u32) {
    let all = async {
        let mut seen = 0;
        while seen < many {
            let got = frames::read(io).await.expect("the connection stands");
            seen += u32::from(got.kind == kind);
            if got.kind == frames::PING && got.flags & frames::ACK == 0 {
                let pong = frame(frames::PING, frames::ACK, 0, &got.payload);
                io.write_all(&pong).await.expect("sent");
            }
        }
    };
    tokio::time::timeout(LIMIT, all).await.expect("in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_end_their_connection_and_disturb_nobody() {
    let stall = Duration::from_secs(1);
    let patience = Patience { stall, ..Patience::default() };
    let arena = Arena::start(Run { patience, ..Run::default() }).await;
    let honest = arena.honest().await;
    let settings = frame(frames::SETTINGS, 0, 0, &[]);
    let ended = |cause: &str| {
        format!("registry_connections_ended_total{{listener=\"grpc\",cause=\"{cause}\"}}")
    };

    // CVE-2023-44487: a call and its reset, before anybody could answer it
    let reset = |n: u32| {
        let stream = 1 + 2 * n;
        let mut raw = frame(frames::HEADERS, END_HEADERS, stream, &call(STATUS));
        raw.extend(frame(frames::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        raw
    };
    let sent = flood(&arena, &settings, true, FLOOD_MAX, reset).await;
    assert!(sent < FLOOD_MAX, "{sent} resets were taken");
    arena.counted(SL, &ended("flood"), 1).await;
    honest.goes_on().await;

    // a block of headers that never ends
    let continuation = |n: u32| match n {
        0 => frame(frames::HEADERS, 0, 1, &call(STATUS)),
        _ => frame(frames::CONTINUATION, 0, 1, &frames::field("x-more", &"y".repeat(100))),
    };
    let sent = flood(&arena, &settings, true, FLOOD_MAX, continuation).await;
    assert!(sent < FLOOD_MAX, "{sent} continuations were taken");
    arena.counted(SL, &ended("flood"), 2).await;
    honest.goes_on().await;

    // calls whose headers are too many: none reaches its service
    let answered_status = format!("registry_requests_total{{method=\"{STATUS}\",code=\"OK\"}}");
    let long = |n: u32| {
        let stream = 1 + 2 * n;
        let mut block = call(STATUS);
        for _ in 0..150 {
            block.extend(frames::field("x-long", &"z".repeat(120)));
        }
        let (head, rest) = block.split_at(16_000);
        let mut raw = frame(frames::HEADERS, END_STREAM, stream, head);
        raw.extend(frame(frames::CONTINUATION, END_HEADERS, stream, rest));
        raw
    };
    let answered = arena.metric(SL, &answered_status).await;
    flood(&arena, &settings, true, 500, long).await;
    assert_eq!(arena.metric(SL, &answered_status).await, answered, "no such call was answered");
    honest.goes_on().await;

    // questions whose answers nobody reads
    let timeouts = arena.metric(SL, &ended("timeout")).await;
    let ping = |_| frame(frames::PING, 0, 0, &[7; 8]);
    flood(&arena, &settings, false, FLOOD_MAX, ping).await;
    arena.counted(SL, &ended("timeout"), timeouts + 1).await;
    let setting = |_| frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    flood(&arena, &settings, false, FLOOD_MAX, setting).await;
    arena.counted(SL, &ended("timeout"), timeouts + 2).await;

    // no HTTP/2 at all
    let protocol = arena.metric(SL, &ended("protocol")).await;
    let mut io = arena.tls(arena.bound(SL).grpc, Who::Reader, b"h2").await.expect("connected");
    io.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nno preface").await.expect("sent");
    frames::read_to_end(&mut io, LIMIT).await;
    arena.counted(SL, &ended("protocol"), protocol + 1).await;
    honest.goes_on().await;
    arena.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_never_arrive_are_given_up_and_their_bytes_are_limited() {
    let request = Duration::from_secs(2);
    let patience = Patience { request, ..Patience::default() };
    let arena = Arena::start(Run { patience, ..Run::default() }).await;
    let honest = arena.honest().await;
    let before = resident_bytes();
    let address = arena.bound(SL).grpc;
    let count =
        |code: &str| format!("registry_requests_total{{method=\"{PUBLISH}\",code=\"{code}\"}}");

    // many calls of one connection, each of which says that 4 MiB follow, and sends a part
    let mut io = arena.tls(address, Who::Reader, b"h2").await.expect("connected");
    frames::begin(&mut io, &frame(frames::SETTINGS, 0, 0, &[])).await.expect("begun");
    let part = message(4 << 20, &[0; 4_000]);
    for n in 0..CALLS {
        let stream = 1 + 2 * n;
        let head = frame(frames::HEADERS, END_HEADERS, stream, &call(PUBLISH));
        io.write_all(&head).await.expect("sent");
        io.write_all(&frame(frames::DATA, 0, stream, &part)).await.expect("sent");
    }
    read_many(&mut io, frames::HEADERS, CALLS).await;
    arena.counted(SL, &count("DEADLINE_EXCEEDED"), u64::from(CALLS)).await;
    honest.goes_on().await;

    // the same with as much of each message as the windows of HTTP/2 take
    let mut io = arena.tls(address, Who::Reader, b"h2").await.expect("connected");
    let begun = frames::begin(&mut io, &frame(frames::SETTINGS, 0, 0, &[])).await;
    let begun = begun.expect("begun");
    let (mut from, mut to) = tokio::io::split(io);
    let chunk = vec![0; 16_000];
    // bytes that the node lets be under way on the connection
    let (granted, mut window) = tokio::sync::watch::channel(begun);
    let sending = async {
        let mut used = 0;
        for n in 0..200 {
            let stream = 1 + 2 * n;
            to.write_all(&frame(frames::HEADERS, END_HEADERS, stream, &call(PUBLISH))).await?;
            let promise = message(4 << 20, &[]);
            used += promise.len() as u64;
            to.write_all(&frame(frames::DATA, 0, stream, &promise)).await?;
        }
        for round in 0..40_000 {
            used += chunk.len() as u64;
            if window.wait_for(|it| *it >= used).await.is_err() {
                break;
            }
            to.write_all(&frame(frames::DATA, 0, 1 + 2 * (round % 200), &chunk)).await?;
        }
        std::io::Result::Ok(())
    };
    let reading = async {
        while let Some(frame) = frames::read(&mut from).await {
            if frame.kind == frames::WINDOW_UPDATE && frame.stream == 0 {
                granted.send_modify(|it| *it += frame.increment());
            }
        }
    };
    let exhausted = count("RESOURCE_EXHAUSTED");
    tokio::select! {
        // it sends 640 MB if it is let
        _ = async { tokio::join!(sending, reading) } => {}
        () = arena.counted(SL, &exhausted, 1) => {}
    }
    arena.counted(SL, &exhausted, 1).await;
    honest.goes_on().await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 400 << 20, "{grown} bytes more");
    arena.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_or_too_deep_are_refused() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let grpc = arena.bound(SL).grpc;
    let count =
        |code: &str| format!("registry_requests_total{{method=\"{PUBLISH}\",code=\"{code}\"}}");

    // what the length in front of the message promises, and what is in it
    let groups = |depth: usize| {
        let mut raw = vec![0x9b, 0x06]; // field 99, begin of a group
        raw = raw.repeat(depth);
        raw.extend([0x9c, 0x06].repeat(depth));
        message(u32::try_from(raw.len()).expect("short"), &raw)
    };
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("4 GiB announced", message(u32::MAX, &[0; 100]), "OUT_OF_RANGE"),
        ("5 MiB announced", message(5 << 20, &[0; 100]), "OUT_OF_RANGE"),
        ("100,000 nested groups", groups(100_000), "INTERNAL"),
        ("a field that runs beyond the end", message(3, &[0x0a, 0xff, 0x7f]), "INTERNAL"),
    ];
    for (what, body, code) in cases {
        let seen = arena.metric(SL, &count(code)).await;
        let mut io = arena.tls(grpc, Who::Publisher(SL), b"h2").await.expect("connected");
        frames::begin(&mut io, &frame(frames::SETTINGS, 0, 0, &[])).await.expect("begun");
        io.write_all(&frame(frames::HEADERS, END_HEADERS, 1, &call(PUBLISH))).await.expect("sent");
        for part in body.chunks(16_000) {
            io.write_all(&frame(frames::DATA, 0, 1, part)).await.expect("sent");
        }
        io.write_all(&frame(frames::DATA, END_STREAM, 1, &[])).await.expect("sent");
        eprintln!("{what}");
        arena.counted(SL, &count(code), seen + 1).await;
    }

    // JSON within a record
    let client = arena.client(SL, Who::Publisher(SL)).await;
    let id = service_id(1);
    let deep = ServiceVersion {
        parameter_schema: format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)),
        ..version(&id, "1.0.0", "tief")
    };
    let mut records = request(vec![definition(&id, "Tief")], vec![]);
    records
        .records
        .push(Record { record: Some(record::Record::ServiceVersion(deep)), ..Record::default() });
    assert!(records.encoded_len() < 100_000);
    let refused = client.publish(records).await.expect_err("refused");
    assert!(matches!(refused, ClientError::Refused { .. }), "{refused:?}");
    arena.counted(SL, &count("INVALID_ARGUMENT"), 1).await;
    honest.goes_on().await;
    arena.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_are_dropped() {
    let answer = Duration::from_secs(2);
    let patience = Patience { answer, ..Patience::default() };
    let arena = Arena::start(Run { patience, ..Run::default() }).await;
    let honest = arena.honest().await;
    let mut io = arena.tls(arena.bound(SL).grpc, Who::Reader, b"h2").await.expect("connected");
    // no byte of any answer may be sent
    frames::begin(&mut io, &frames::window(0)).await.expect("begun");
    for n in 0..CALLS {
        let stream = 1 + 2 * n;
        let head = frame(frames::HEADERS, END_HEADERS, stream, &call(STATUS));
        io.write_all(&head).await.expect("sent");
        let body = frame(frames::DATA, END_STREAM, stream, &message(0, &[]));
        io.write_all(&body).await.expect("sent");
    }
    read_many(&mut io, frames::RST_STREAM, CALLS).await;
    let dropped = "registry_answers_dropped_total{listener=\"grpc\"}";
    arena.counted(SL, dropped, u64::from(CALLS)).await;
    honest.goes_on().await;
    arena.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_that_read_nothing_cost_nothing_but_their_lag() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let reader = arena.client(SL, Who::Reader).await;
    let mut streams = Vec::new();
    for _ in 0..500 {
        let now = WatchRequest { start: Some(Start::Now(true)), ..WatchRequest::default() };
        let mut watches = WatchServiceClient::new(reader.channel());
        streams.push(watches.watch(now).await.expect("a watch").into_inner());
    }
    arena.counted(SL, "registry_watch_streams", 500).await;
    let before = resident_bytes();
    for _ in 0..5 {
        honest.goes_on().await;
    }
    // 500 watchers, 10 entries each that nobody reads
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 100 << 20, "{grown} bytes more");
    drop(streams);
    drop(reader);
    registry_tests::cluster::eventually(LIMIT, "the watches are gone", async || {
        arena.metric(SL, "registry_watch_streams").await == 0
    })
    .await;
    honest.goes_on().await;
    arena.stop().await;
}

/// Calls of one connection at a time.
const CALLS: u32 = 300;
/// More than any node may take.
const FLOOD_MAX: u32 = 2_000_000;
