//! A watch is one stream, whatever happens to the connection.

mod support;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use registry_client::{
    Client, ClientError,
    watch::{Start, Update, Watch, WatchFilter},
};
use registry_proto::{
    terms::Land,
    wire::registry::{
        WatchBookmark, WatchEvent, WatchResponse, WatchSnapshot, watch_request, watch_response,
    },
};
use tokio::{sync::Notify, time::timeout};
use tonic::Code;

use crate::support::{Bench, Ran, batch, event, node::Step};

/// No test waits longer for an update.
const DEADLINE: Duration = Duration::from_secs(20);

fn snapshot(indexes: &[u64], token: Option<&'static str>) -> WatchResponse {
    let part = WatchSnapshot {
        events: indexes.iter().map(|index| event("SL", *index)).collect(),
        complete: token.is_some(),
        resume_token: token.unwrap_or_default().as_bytes().into(),
    };
    WatchResponse { message: Some(watch_response::Message::Snapshot(part)) }
}

fn bookmark(token: &'static str) -> WatchResponse {
    let mark = WatchBookmark { resume_token: token.as_bytes().into(), as_of: Vec::new() };
    WatchResponse { message: Some(watch_response::Message::Bookmark(mark)) }
}

fn index(event: &WatchEvent) -> u64 {
    let position = event.provenance.as_ref().and_then(|p| p.position.as_ref());
    position.expect("position").index
}

async fn begin(bench: &Bench, start: Start) -> Watch {
    let client = Client::connect(bench.config()).await.expect("connection");
    client.watch(start, WatchFilter::default()).await.expect("watch")
}

/// Indexes of the events until `count` of them have come.
async fn events(watch: &mut Watch, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let update = timeout(DEADLINE, watch.next()).await.expect("in time").expect("update");
        if let Update::Snapshot { events, .. } | Update::Batch { events } = update {
            seen.extend(events.iter().map(index));
        }
    }
    seen
}

fn starts(bench: &Bench) -> Vec<Option<watch_request::Start>> {
    bench.node.script().watched.iter().map(|request| request.start.clone()).collect()
}

fn token(text: &'static str) -> Option<watch_request::Start> {
    Some(watch_request::Start::ResumeToken(text.as_bytes().into()))
}

#[tokio::test]
async fn a_watch_resumes_without_loss_or_repetition_whatever_ends_the_stream() {
    for end in [Step::End, Step::Fail(Code::Unavailable), Step::Fail(Code::Internal), Step::Cut] {
        let bench = Bench::new();
        let (first, second) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        bench.node.script().watches.extend([
            vec![
                Step::Send(snapshot(&[3, 1], Some("s"))),
                Step::Send(batch("a", &[4, 5])),
                Step::Send(batch("b", &[6])),
                Step::Gate(Arc::clone(&first)),
                end.clone(),
            ],
            vec![
                Step::Send(bookmark("c")),
                Step::Send(batch("d", &[7])),
                Step::Gate(Arc::clone(&second)),
                end.clone(),
            ],
            vec![Step::Send(batch("e", &[8]))],
        ]);
        let mut watch = begin(&bench, Start::Snapshot).await;
        assert_eq!(events(&mut watch, 5).await, [3, 1, 4, 5, 6], "{end:?}");
        first.notify_one();
        assert_eq!(events(&mut watch, 1).await, [7], "{end:?}");
        second.notify_one();
        assert_eq!(events(&mut watch, 1).await, [8], "{end:?}");
        assert_eq!(watch.resume_token().map(|token| &token[..]), Some(&b"e"[..]));
        let snapshot = Some(watch_request::Start::Snapshot(true));
        assert_eq!(starts(&bench), [snapshot, token("b"), token("d")], "{end:?}");
    }
}

#[tokio::test]
async fn a_snapshot_that_breaks_begins_again_and_repeats_nothing() {
    let bench = Bench::new();
    bench.node.script().watches.extend([
        vec![Step::Send(snapshot(&[9, 2], None)), Step::Fail(Code::Unavailable)],
        vec![Step::Send(snapshot(&[9, 2, 4], None)), Step::Send(snapshot(&[11], Some("s")))],
    ]);
    let mut watch = begin(&bench, Start::Snapshot).await;
    assert_eq!(events(&mut watch, 4).await, [9, 2, 4, 11]);
    let first = Some(watch_request::Start::Snapshot(true));
    assert_eq!(starts(&bench), [first.clone(), first]);
}

#[tokio::test]
async fn a_batch_that_the_node_sends_twice_is_yielded_once() {
    let bench = Bench::new();
    bench.node.script().watches.extend([
        vec![Step::Send(batch("a", &[1, 2])), Step::End],
        vec![Step::Send(batch("a", &[1, 2])), Step::Send(batch("b", &[3]))],
    ]);
    let mut watch = begin(&bench, Start::Resume("t".into())).await;
    assert_eq!(events(&mut watch, 3).await, [1, 2, 3]);
}

#[tokio::test]
async fn the_caller_sees_that_the_connection_broke() {
    let bench = Bench::new();
    bench.node.script().watches.extend([
        vec![Step::Send(batch("a", &[1])), Step::Fail(Code::Unavailable)],
        vec![Step::Send(batch("b", &[2]))],
    ]);
    let mut watch = begin(&bench, Start::Resume("t".into())).await;
    assert_eq!(events(&mut watch, 1).await, [1]);
    let update = timeout(DEADLINE, watch.next()).await.expect("in time");
    assert!(matches!(update, Ok(Update::Interrupted { .. })), "{update:?}");
}

#[tokio::test]
async fn an_error_that_no_try_can_heal_ends_the_watch() {
    for code in [Code::OutOfRange, Code::PermissionDenied, Code::InvalidArgument] {
        let bench = Bench::new();
        bench.node.script().watches.push_back(vec![Step::Fail(code)]);
        let mut watch = begin(&bench, Start::Resume("t".into())).await;
        let update = timeout(DEADLINE, watch.next()).await.expect("in time");
        assert!(matches!(update, Err(ClientError::Refused { .. })), "{update:?}");
        assert!(watch.next().await.is_err(), "the watch is over");
        assert_eq!(bench.node.script().watched.len(), 1);
    }
}

#[tokio::test]
async fn a_watch_from_now_that_breaks_before_a_token_does_not_pretend() {
    let bench = Bench::new();
    bench.node.script().watches.push_back(vec![Step::Fail(Code::Unavailable)]);
    let mut watch = begin(&bench, Start::Now).await;
    let update = timeout(DEADLINE, watch.next()).await.expect("in time");
    assert!(matches!(update, Err(ClientError::NotResumable(_))), "{update:?}");
}

#[tokio::test]
async fn the_filter_reaches_the_node() {
    let bench = Bench::new();
    bench.node.script().watches.push_back(Vec::new());
    let client = Client::connect(bench.config()).await.expect("connection");
    let filter = WatchFilter { laender: vec![Land::RP, Land::TH], ..WatchFilter::default() };
    let _watch = client.watch(Start::Now, filter).await.expect("watch");
    assert_eq!(bench.node.script().watched[0].laender, ["RP", "TH"]);
}

#[test]
fn the_command_line_prints_each_event_once_and_the_token_at_the_end() {
    let bench = Bench::new();
    let plan = [
        vec![Step::Send(snapshot(&[1, 2], Some("s"))), Step::Fail(Code::Unavailable)],
        vec![Step::Send(batch("b", &[3, 4]))],
    ];
    bench.node.script().watches.extend(plan.clone());
    let ran = bench.registry(&["watch", "--count", "3"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.out.lines().count(), 4, "a batch is not divided: {ran:?}");
    assert!(ran.out.contains("SL/1/3"), "{ran:?}");
    assert!(ran.err.contains("Wiederaufnahme-Token: Yg=="), "{ran:?}");

    bench.node.script().watches.extend(plan);
    let ran = bench.registry(&["watch", "--count", "4", "-o", "json"]);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 4, "{ran:?}");
    assert!(lines[1].contains(r#""resume_token":"cw==""#), "{ran:?}");
    assert!(!lines[2].contains("resume_token") && lines[3].contains(r#""Yg==""#), "{ran:?}");
}

#[test]
fn a_token_from_before_is_passed_on() {
    let bench = Bench::new();
    bench.node.script().watches.push_back(vec![Step::Send(batch("b", &[3]))]);
    let ran = bench.registry(&["watch", "--count", "1", "--resume", "YQ=="]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(starts(&bench), [token("a")]);
    let ran = bench.registry(&["watch", "--resume", "!"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_watch_with_its_token() {
    let bench = Bench::new();
    bench.node.script().watches.push_back(vec![Step::Send(batch("b", &[3]))]);
    let mut command = bench.command(&["watch"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("binary runs");
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("pipe");
    BufReader::new(out).read_line(&mut line).expect("a line");
    assert!(line.contains("SL/1/3"), "{line}");
    let pid = child.id().to_string();
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status().is_ok());
    let ran = Ran::from(child.wait_with_output().expect("end"));
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.err.contains("Wiederaufnahme-Token: Yg=="), "{ran:?}");
}
