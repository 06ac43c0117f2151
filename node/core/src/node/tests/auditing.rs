//! The head of the audit log in the log of the Land.

use prost::Message as _;
use registry_proto::{
    log::{Hash, Header, Kind, leaf_hash},
    wire::registry as wire,
};

use super::{commits, only_commit, publishes};
use crate::{
    audit::AuditHead,
    limits,
    log::Commit,
    node::{Effect, Input},
    testing::{Bench, definition},
};

fn hash(size: u64) -> Hash {
    leaf_hash(&size.to_be_bytes())
}

/// The audit log has grown to `size` lines.
fn grows(bench: &mut Bench, size: u64, soon: bool) -> Vec<Effect> {
    let head = AuditHead { chain: [5; 16], size, hash: hash(size) };
    bench.handle(Input::Audited { head, soon })
}

/// Time passes, and what comes of it is at most one commit.
fn later(bench: &mut Bench, ms: u64) -> Option<Commit> {
    let mut effects = bench.pass(ms);
    effects.extend(bench.handle(Input::Tick));
    let mut commits = effects.into_iter().filter_map(|it| match it {
        Effect::Commit(it) => Some(it),
        _ => None,
    });
    let first = commits.next();
    assert!(commits.next().is_none());
    first
}

/// The group holds the anchor of `size` lines and nothing else; it becomes durable.
#[track_caller]
fn anchors(bench: &mut Bench, commit: &Commit, size: u64) {
    let [entry] = &commit.entries[..] else { panic!("{} entries", commit.entries.len()) };
    let header = Header::parse(&entry.header).expect("a header");
    assert_eq!((header.kind, header.object_id, header.batch_end), (Kind::AuditHead, None, true));
    assert_eq!(header.principal, "node");
    let body = wire::AuditHead::decode(&entry.body[..]).expect("a body");
    let expected = wire::AuditHead {
        node: "sl-1.example".to_owned(),
        chain: vec![5; 16].into(),
        size,
        hash: hash(size).as_bytes().to_vec().into(),
    };
    assert_eq!(body, expected);
    bench.committed(commit.checkpoint);
}

#[test]
fn what_happened_is_anchored_after_ten_minutes_and_an_administrative_act_at_once() {
    let mut bench = Bench::open();
    assert!(grows(&mut bench, 3, false).is_empty());
    assert!(later(&mut bench, limits::AUDIT_ANCHOR_MS - 10_000).is_none());
    let commit = later(&mut bench, 10_000).expect("due");
    anchors(&mut bench, &commit, 3);
    // nothing new, no more anchors: they would be about themselves
    assert!(later(&mut bench, 10 * limits::AUDIT_ANCHOR_MS).is_none());

    let commit = only_commit(grows(&mut bench, 4, true));
    anchors(&mut bench, &commit, 4);
    // the next administrator waits a minute, whoever publishes ten
    assert!(grows(&mut bench, 5, true).is_empty());
    assert!(later(&mut bench, limits::AUDIT_ANCHOR_SOON_MS - 1).is_none());
    let commit = later(&mut bench, 1).expect("due");
    anchors(&mut bench, &commit, 5);
    assert!(grows(&mut bench, 6, false).is_empty());
    assert!(later(&mut bench, limits::AUDIT_ANCHOR_SOON_MS).is_none());
}

#[test]
fn many_lines_are_anchored_at_once() {
    let mut bench = Bench::open();
    assert!(grows(&mut bench, limits::AUDIT_ANCHOR_LINES - 1, false).is_empty());
    let commit = only_commit(grows(&mut bench, limits::AUDIT_ANCHOR_LINES, false));
    // what grows meanwhile counts from there
    assert!(grows(&mut bench, 2 * limits::AUDIT_ANCHOR_LINES - 1, false).is_empty());
    anchors(&mut bench, &commit, limits::AUDIT_ANCHOR_LINES);
    let commit = only_commit(grows(&mut bench, 2 * limits::AUDIT_ANCHOR_LINES, false));
    anchors(&mut bench, &commit, 2 * limits::AUDIT_ANCHOR_LINES);
}

#[test]
fn a_node_that_stops_anchors_what_is_not() {
    let mut bench = Bench::open();
    // somebody is there to take it
    bench.connect(1, registry_proto::terms::Land::RP);
    assert!(grows(&mut bench, 2, false).is_empty());
    let commit = only_commit(bench.handle(Input::Stopping));
    assert!(!bench.node.is_settled());
    anchors(&mut bench, &commit, 2);
    assert!(bench.node.is_settled());
    // that was its last word
    assert!(grows(&mut bench, 3, true).is_empty());

    // behind a group that is under way
    let mut bench = Bench::open();
    bench.connect(1, registry_proto::terms::Land::RP);
    let commit = commits(&mut bench, 1, definition(1));
    assert!(grows(&mut bench, 3, false).is_empty());
    assert!(bench.handle(Input::Stopping).is_empty());
    assert!(!bench.node.is_settled());
    assert_eq!(bench.committed(commit.checkpoint), ["commit 1..2"]);
}

#[test]
fn behind_a_closed_fence_the_head_waits() {
    let mut bench = Bench::new();
    assert!(grows(&mut bench, 1, true).is_empty());
    assert!(bench.node.is_settled());
    bench.unfence();
    assert!(later(&mut bench, 1).is_none(), "it was staged as soon as the fence was open");
    let commit = commits_after(&mut bench);
    assert_eq!(commit, "commit 1..2");
}

/// The anchor that went with the opening of the fence becomes durable; then someone publishes.
fn commits_after(bench: &mut Bench) -> String {
    let root = bench.node.own.frontier().root();
    let origin = *bench.node.own.origin();
    bench.committed(registry_proto::log::Checkpoint { origin, size: 1, root });
    let commit = commits(bench, 1, definition(1));
    let size = commit.checkpoint.size;
    format!("commit {}..{size}", size - commit.entries.len() as u64)
}

#[test]
fn an_anchor_that_was_not_signed_or_taken_back_is_said_again() {
    let mut bench = Bench::open();
    let commit = only_commit(grows(&mut bench, 1, true));
    assert_eq!(commit.entries.len(), 1);
    // no failure of the log: what was to be said is still known
    assert_eq!(bench.input(Input::CommitUnsigned), ["unsigned"]);
    assert!(later(&mut bench, limits::AUDIT_ANCHOR_SOON_MS - 1).is_none());
    let commit = later(&mut bench, 1).expect("again");
    anchors(&mut bench, &commit, 1);
    publishes(&mut bench, 1, definition(1));

    // staged behind a group under way when the clock jumps
    let commit = commits(&mut bench, 2, definition(2));
    bench.pass(limits::AUDIT_ANCHOR_SOON_MS);
    assert!(grows(&mut bench, 2, true).is_empty());
    bench.now.wall_ms += 60_000;
    assert!(bench.input(Input::Tick).contains(&"fence closed".to_owned()));
    bench.committed(commit.checkpoint);
    assert!(later(&mut bench, limits::AUDIT_ANCHOR_SOON_MS).is_none(), "the fence is closed");
}
