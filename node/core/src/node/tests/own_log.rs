//! Submissions, groups, answers, freshness.

use registry_proto::{
    log::{Checkpoint, Header, Kind, RequestId, body_digest},
    terms::Land,
    wire::peer::{Ack, Follow, peer_message::Message},
};

use super::{commits, only_commit, publishes, words};
use crate::{
    limits,
    log::Ticket,
    node::{Effect, Input},
    reject::Reject,
    replicate::SessionId,
    submission::Submission,
    testing::{Bench, START_MS, definition, log, submission},
};

fn headers(commit: &crate::log::Commit) -> Vec<Header> {
    commit.entries.iter().map(|it| Header::parse(&it.header).expect("a header")).collect()
}

fn with_peers(ack_peers: u32, submission: Submission) -> Submission {
    Submission { ack_peers, ..submission }
}

/// A partner follows the own log, has got everything, and acknowledges `size`.
fn acknowledges(bench: &mut Bench, session: u64, size: u64) -> Vec<String> {
    let follow = Follow {
        land: "SL".to_owned(),
        epoch: 1,
        from: 0,
        credit_bytes: 1 << 20,
        follow: 1,
        kept: false,
    };
    let session_id = SessionId(session);
    let input = Input::Received { session: session_id, message: Message::Follow(follow) };
    for effect in bench.handle(input) {
        if let Effect::SendRange(range) = effect {
            let next = range.upto;
            bench.input(Input::RangeSent { range, next, bytes: 10 });
        }
    }
    let ack = Ack { land: "SL".to_owned(), epoch: 1, size, credit_bytes: 10 };
    bench.say(session, Message::Ack(ack))
}

#[test]
fn what_is_submitted_while_a_group_is_under_way_becomes_one_group() {
    let mut bench = Bench::open();
    let first = commits(&mut bench, 1, definition(1));
    for ticket in 2..100 {
        let submission = submission(&[(ticket, None, "a"), (ticket, Some("1.0.0"), "b")]);
        assert_eq!(words(&bench.submit(ticket as u64, submission)), Vec::<String>::new());
    }
    assert_eq!(bench.committed(first.checkpoint), ["commit 1..197"]);
    // nothing is answered before it is durable and folded
    assert_eq!(bench.folded(1), ["reply 1 [0]"]);
    assert_eq!(bench.folded(197), Vec::<String>::new());
}

#[test]
fn an_answer_needs_durability_and_fold() {
    // folded first, as when the folder reads faster than the driver
    let mut bench = Bench::open();
    let commit = commits(&mut bench, 1, definition(1));
    assert_eq!(bench.folded(1), Vec::<String>::new());
    assert_eq!(bench.committed(commit.checkpoint), ["reply 1 [0]"]);
    // durable first
    let commit = commits(&mut bench, 2, definition(2));
    assert_eq!(bench.committed(commit.checkpoint), Vec::<String>::new());
    assert_eq!(bench.folded(2), ["reply 2 [1]"]);
}

#[test]
fn a_repeated_request_is_answered_also_when_it_would_be_refused_by_now() {
    let mut bench = Bench::open();
    let asked = |content: &'static str, request: u8, refused: bool| Submission {
        request: Some(RequestId([request; 16])),
        refused: refused.then(|| Reject::field("records[0]", "ILLEGAL_MOVE", "too late")),
        ..submission(&[(1, None, content)])
    };
    publishes(&mut bench, 1, asked("content", 1, false));
    assert_eq!(words(&bench.submit(2, asked("content", 1, true))), ["reply 2 [0]"]);
    assert_eq!(words(&bench.submit(3, asked("other", 1, true))), ["reply 3 conflict"]);
    assert_eq!(words(&bench.submit(4, asked("content", 2, true))), ["reply 4 ILLEGAL_MOVE"]);
}

#[test]
fn the_last_new_entry_of_a_batch_ends_it() {
    let mut bench = Bench::open();
    publishes(&mut bench, 1, definition(1));
    let records = [
        (2, None, "a"),
        (2, Some("1.0.0"), "a"),
        (2, Some("1.1.0"), "b"),
        (2, None, "a"),
        (1, None, "content"),
    ];
    let commit = commits(&mut bench, 2, submission(&records));
    let ends: Vec<_> = headers(&commit).iter().map(|it| (it.index, it.batch_end)).collect();
    assert_eq!(ends, [(1, false), (2, false), (3, true)]);
    bench.committed(commit.checkpoint);
    // a repeated record and one that stands already point to their entries
    assert_eq!(bench.folded(4), ["reply 2 [1 2 3 1= 0=]"]);
}

#[test]
fn the_header_says_who_what_and_when() {
    let mut bench = Bench::open();
    let commit = commits(&mut bench, 1, submission(&[(5, None, "d"), (5, Some("1.0.0"), "x")]));
    let headers = headers(&commit);
    for (header, entry) in headers.iter().zip(&commit.entries) {
        assert_eq!(header.verbund, bench.charter.id());
        assert_eq!(header.log, log(Land::SL));
        assert_eq!(header.object_id.map(|it| it.as_u128()), Some(5));
        assert_eq!((header.principal.as_str(), header.recorded_unix_ms), ("p-test", START_MS));
        assert_eq!(header.body_length as usize, entry.body.len());
        assert_eq!(header.body_digest, body_digest(&entry.salt, &entry.body));
    }
    let kinds: Vec<_> = headers.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Kind::ServiceDefinition, Kind::ServiceVersion]);
}

#[test]
fn recorded_time_and_time_of_signature_never_go_back() {
    let mut bench = Bench::open();
    bench.now.wall_ms = START_MS + 5_000;
    let first = commits(&mut bench, 1, definition(1));
    assert_eq!(headers(&first)[0].recorded_unix_ms, START_MS + 5_000);
    bench.committed(first.checkpoint);
    // by less than counts as a jump
    bench.now.wall_ms = START_MS;
    let second = commits(&mut bench, 2, definition(2));
    assert_eq!(headers(&second)[0].recorded_unix_ms, START_MS + 5_000);
    assert_eq!(second.wall_ms, START_MS + 5_000);
    bench.committed(second.checkpoint);
    bench.now.wall_ms = START_MS + 6_000;
    let third = commits(&mut bench, 3, definition(3));
    assert_eq!(headers(&third)[0].recorded_unix_ms, START_MS + 6_000);
}

#[test]
fn so_many_submissions_wait_and_no_more() {
    let mut bench = Bench::open();
    let max = limits::SUBMISSIONS_WAITING_MAX as u64;
    let first = commits(&mut bench, 1, definition(1));
    for ticket in 2..=max {
        bench.submit(ticket, definition(u128::from(ticket)));
    }
    let said = words(&bench.submit(max + 1, definition(u128::from(max + 1))));
    assert_eq!(said, [format!("reply {} busy submissions waiting", max + 1)]);
    bench.committed(first.checkpoint);
    bench.folded(1);
    let said = words(&bench.submit(max + 2, definition(u128::from(max + 2))));
    assert_eq!(said, Vec::<String>::new());
}

#[test]
fn so_many_bytes_wait_and_no_more() {
    let mut bench = Bench::open();
    let first = commits(&mut bench, 1, definition(1));
    let body = "x".repeat(limits::BODY_BYTES_MAX);
    let large = |n: u128| submission(&[(n, None, &body)]);
    let fit = limits::SUBMISSION_BYTES_WAITING_MAX / limits::BODY_BYTES_MAX - 1;
    for n in 0..fit {
        assert_eq!(words(&bench.submit(2, large(n as u128 + 2))), Vec::<String>::new());
    }
    let said = words(&bench.submit(3, large(1_000)));
    assert_eq!(said, ["reply 3 busy bytes of submissions waiting"]);
    // a refused one leaves nothing behind, and room comes with the next group
    assert_eq!(bench.committed(first.checkpoint), [format!("commit 1..{}", fit + 1)]);
    assert_eq!(words(&bench.submit(4, large(1_000))), Vec::<String>::new());
}

#[test]
fn a_refused_batch_changes_nothing() {
    let mut bench = Bench::open();
    publishes(&mut bench, 1, submission(&[(1, None, "a"), (1, Some("1.0.0"), "a")]));
    for (records, refused) in [
        (vec![(2, None, "a"), (1, Some("1.0.0"), "other")], "conflict"),
        (vec![(2, None, "a"), (1, Some("0.9.0"), "a")], "VERSION_NOT_GREATER"),
        (
            vec![(2, None, "a"), (3, Some("1.0.0"), "a"), (4, Some("1.0.0"), "a")],
            "SERVICE_NOT_DEFINED SERVICE_NOT_DEFINED",
        ),
    ] {
        let said = words(&bench.submit(2, submission(&records)));
        assert_eq!(said, [format!("reply 2 {refused}")]);
    }
    // service 2 is not defined by any of them, and the next entry has the next index
    let said = words(&bench.submit(3, submission(&[(2, Some("1.0.0"), "a")])));
    assert_eq!(said, ["reply 3 SERVICE_NOT_DEFINED"]);
    let commit = commits(&mut bench, 4, definition(2));
    assert_eq!(headers(&commit)[0].index, 2);
}

#[test]
fn a_dry_run_judges_and_writes_nothing() {
    let mut bench = Bench::open();
    publishes(&mut bench, 1, definition(1));
    let records = [(1, None, "content"), (1, Some("1.0.0"), "a"), (1, Some("1.0.0"), "a")];
    let dry = Submission { dry_run: true, ..submission(&records) };
    assert_eq!(words(&bench.submit(2, dry)), ["reply 2 [0= - -=]"]);
    let dry = Submission { dry_run: true, ..submission(&[(9, Some("1.0.0"), "a")]) };
    assert_eq!(words(&bench.submit(3, dry)), ["reply 3 SERVICE_NOT_DEFINED"]);
}

#[test]
fn a_record_that_stands_is_answered_at_once() {
    let mut bench = Bench::open();
    publishes(&mut bench, 1, definition(1));
    let first = commits(&mut bench, 2, definition(2));
    // also while others wait; one that is staged only waits with them
    assert_eq!(words(&bench.submit(3, definition(1))), ["reply 3 [0=]"]);
    assert_eq!(words(&bench.submit(4, definition(2))), Vec::<String>::new());
    bench.committed(first.checkpoint);
    assert_eq!(bench.folded(2), ["reply 2 [1]", "reply 4 [1=]"]);
}

#[test]
fn partners_are_waited_for_by_member() {
    let mut bench = Bench::open();
    bench.connect(1, Land::RP);
    bench.connect(2, Land::TH);
    let commit = commits(&mut bench, 1, with_peers(2, definition(1)));
    bench.committed(commit.checkpoint);
    assert_eq!(bench.folded(1), Vec::<String>::new());
    assert_eq!(acknowledges(&mut bench, 1, 1), Vec::<String>::new());
    // once more from the same member counts once
    assert_eq!(acknowledges(&mut bench, 1, 1), Vec::<String>::new());
    assert_eq!(acknowledges(&mut bench, 2, 1), ["reply 1 [0] RP TH"]);
    // what they hold already needs no waiting
    assert_eq!(words(&bench.submit(2, with_peers(2, definition(1)))), ["reply 2 [0=] RP TH"]);
    let local = commits(&mut bench, 3, definition(3));
    bench.committed(local.checkpoint);
    assert!(bench.folded(2).contains(&"reply 3 [1]".to_owned()));
}

#[test]
fn a_node_of_the_own_land_is_no_partner() {
    let mut bench = Bench::open();
    bench.connect(1, Land::SL);
    let commit = commits(&mut bench, 1, with_peers(1, definition(1)));
    bench.committed(commit.checkpoint);
    bench.folded(1);
    assert_eq!(acknowledges(&mut bench, 1, 1), Vec::<String>::new());
}

#[test]
fn a_partner_cannot_acknowledge_what_it_was_not_sent() {
    let mut bench = Bench::open();
    bench.connect(1, Land::RP);
    let commit = commits(&mut bench, 1, with_peers(1, definition(1)));
    bench.committed(commit.checkpoint);
    bench.folded(1);
    let ack = Ack { land: "SL".to_owned(), epoch: 1, size: u64::MAX, credit_bytes: 0 };
    assert_eq!(bench.say(1, Message::Ack(ack.clone())), Vec::<String>::new());
    let follow = Follow {
        land: "SL".to_owned(),
        epoch: 1,
        from: 0,
        credit_bytes: 0,
        follow: 1,
        kept: false,
    };
    bench.say(1, Message::Follow(follow));
    assert_eq!(bench.say(1, Message::Ack(ack)), Vec::<String>::new());
}

#[test]
fn partners_that_do_not_answer_in_time_are_named() {
    let mut bench = Bench::open();
    bench.connect(1, Land::RP);
    let batch = submission(&[(1, None, "a"), (1, Some("1.0.0"), "a")]);
    let commit = commits(&mut bench, 1, with_peers(3, batch));
    bench.committed(commit.checkpoint);
    bench.folded(2);
    acknowledges(&mut bench, 1, 2);
    let replies = |said: Vec<String>| {
        said.into_iter().filter(|it| it.starts_with("reply")).collect::<Vec<_>>()
    };
    assert_eq!(replies(bench.later(limits::ACK_WAIT_MS_MAX - 1)), Vec::<String>::new());
    assert_eq!(replies(bench.later(1)), ["reply 1 timeout at SL/1/0: RP of 3"]);
    assert_eq!(bench.node.status(bench.now).submissions_waiting, 0);
}

#[test]
fn a_failed_disk_fails_what_is_not_durable_and_ends_publishing() {
    let mut bench = Bench::open();
    let first = commits(&mut bench, 1, definition(1));
    bench.submit(2, with_peers(1, definition(1)));
    assert_eq!(bench.committed(first.checkpoint), Vec::<String>::new());
    assert_eq!(words(&bench.submit(3, definition(3))), ["commit 1..2"]);
    bench.submit(4, definition(4));
    // stands already, durable, not folded yet
    bench.submit(5, definition(1));
    let said = bench.input(Input::CommitFailed);
    assert_eq!(said, ["reply 3 LOG_WRITE_FAILED", "reply 4 LOG_WRITE_FAILED", "own log failed"]);
    assert_eq!(words(&bench.submit(6, definition(6))), ["reply 6 LOG_WRITE_FAILED"]);
    // what is durable is answered all the same, and waits for partners all the same
    assert_eq!(bench.folded(1), ["reply 1 [0]", "reply 5 [0=]"]);
    bench.connect(1, Land::RP);
    assert_eq!(acknowledges(&mut bench, 1, 1), ["reply 2 [0=] RP"]);
    let status = bench.node.status(bench.now);
    assert_eq!((status.fence_open, status.submissions_waiting), (false, 0));
    // and nothing is signed any more, not even the freshness
    assert!(!bench.later(100_000).iter().any(|it| it.starts_with("freshen")));
}

#[test]
fn what_is_not_signed_never_was_and_is_tried_again() {
    let mut bench = Bench::open();
    publishes(&mut bench, 1, definition(1));
    assert_eq!(words(&bench.submit(2, definition(2))), ["commit 1..2"]);
    bench.submit(3, definition(3));
    let said = bench.input(Input::CommitUnsigned);
    assert_eq!(said, ["reply 2 SIGNING_FAILED", "reply 3 SIGNING_FAILED", "unsigned"]);
    // publishing stays open, and the same record takes the same place
    let status = bench.node.status(bench.now);
    assert!(status.fence_open && status.signing_failed, "{status:?}");
    assert_eq!(words(&bench.submit(5, definition(2))), ["commit 1..2"]);
    assert_eq!(bench.input(Input::CommitUnsigned), ["reply 5 SIGNING_FAILED", "unsigned"]);
    // tried soon though nobody publishes, so that it shows when it signs again
    let said = bench.later(limits::SIGN_RETRY_MS);
    assert!(said.iter().any(|it| it.starts_with("freshen")), "{said:?}");
    assert_eq!(bench.input(Input::FreshenFailed), ["unsigned"]);
    let commit = commits(&mut bench, 6, definition(3));
    assert!(bench.node.status(bench.now).signing_failed);
    bench.committed(commit.checkpoint);
    assert!(!bench.node.status(bench.now).signing_failed);
    assert_eq!(bench.folded(2), ["reply 6 [1]"]);
}

#[test]
fn a_freshness_that_is_not_signed_is_tried_again_soon() {
    let mut bench = Bench::open();
    publishes(&mut bench, 1, definition(1));
    let freshens = |said: Vec<String>| said.into_iter().any(|it| it.starts_with("freshen"));
    assert!(freshens(bench.later(limits::FRESHNESS_RENEW_MS)));
    assert_eq!(bench.input(Input::FreshenFailed), ["unsigned"]);
    assert!(bench.node.status(bench.now).signing_failed);
    assert!(!freshens(bench.later(limits::SIGN_RETRY_MS - 1)));
    assert!(freshens(bench.later(1)));
}

#[test]
fn the_freshness_is_renewed_after_a_minute_of_idleness_only() {
    let mut bench = Bench::open();
    // nothing to sign on an empty log
    let freshens = |said: Vec<String>| said.into_iter().any(|it| it.starts_with("freshen"));
    assert!(!freshens(bench.later(limits::FRESHNESS_RENEW_MS)));
    let signed = publishes(&mut bench, 1, definition(1));
    assert!(!freshens(bench.later(limits::FRESHNESS_RENEW_MS - 1)));
    assert!(freshens(bench.later(1)));
    // once is enough until it is done
    assert!(!freshens(bench.later(limits::FRESHNESS_RENEW_MS)));
    fresh(&mut bench, signed);
    assert!(!freshens(bench.later(limits::FRESHNESS_RENEW_MS - 1)));
    // a publication is as good
    publishes(&mut bench, 2, definition(2));
    assert!(!freshens(bench.later(limits::FRESHNESS_RENEW_MS - 1)));
    // and while one is under way there is nothing settled to sign
    let commit = commits(&mut bench, 3, definition(3));
    assert!(!freshens(bench.later(limits::FRESHNESS_RENEW_MS)));
    bench.committed(commit.checkpoint);
    assert!(freshens(bench.later(limits::FRESHNESS_RENEW_MS)));
}

fn fresh(bench: &mut Bench, checkpoint: Checkpoint) -> Vec<String> {
    let signed = bench.sign(checkpoint);
    bench.input(Input::Freshened { signed })
}

#[test]
fn a_freshness_that_a_group_has_overtaken_changes_nothing() {
    let mut bench = Bench::open();
    let old = publishes(&mut bench, 1, definition(1));
    bench.later(limits::FRESHNESS_RENEW_MS);
    publishes(&mut bench, 2, definition(2));
    assert_eq!(fresh(&mut bench, old), Vec::<String>::new());
    let own = &bench.node.status(bench.now).logs[2];
    assert_eq!((own.log.land, own.size, own.known), (Land::SL, 2, 2));
}

#[test]
fn no_older_freshness_is_signed() {
    let mut bench = Bench::open();
    let signed = publishes(&mut bench, 1, definition(1));
    // a wall clock that is held back, each time by less than counts as a jump
    for _ in 0..10 {
        bench.now.mono_ms += 9_000;
        let said = bench.input(Input::Tick);
        assert!(!said.iter().any(|it| it.starts_with("freshen")), "{said:?}");
    }
    bench.now.wall_ms += 1_000;
    let said = bench.input(Input::Tick);
    assert!(said.contains(&format!("freshen {}", signed.size)), "{said:?}");
}

#[test]
fn a_submission_at_the_moment_of_a_commit_is_one_effect_later() {
    let mut bench = Bench::open();
    let first = commits(&mut bench, 1, definition(1));
    bench.submit(2, definition(2));
    let signed = bench.sign(first.checkpoint);
    let second = only_commit(bench.handle(Input::Committed { signed }));
    assert_eq!((second.entries.len(), second.checkpoint.size), (1, 2));
}

#[test]
fn a_vote_goes_into_the_log_and_is_taken_back_if_it_is_not_signed() {
    let mut bench = Bench::open();
    let vote = |number| Input::Vote {
        ticket: Ticket(number),
        principal: "p-7".to_owned(),
        body: bytes::Bytes::from_static(b"a vote"),
    };
    let effects = bench.handle(vote(1));
    assert_eq!(words(&effects), ["reply 1 []", "commit 0..1"]);
    let Effect::Commit(commit) = &effects[1] else { panic!("no commit") };
    let header = &headers(commit)[0];
    assert_eq!((header.kind, header.principal.as_str()), (Kind::CharterVote, "p-7"));
    assert_eq!((header.object_id, header.batch_end), (None, true));
    // who voted is told that it does not stand there, and may vote again
    bench.input(Input::CommitUnsigned);
    let again = bench.input(vote(2));
    assert_eq!(again, ["reply 2 []", "commit 0..1"]);

    let mut closed = Bench::new();
    let refused = closed.input(vote(3));
    assert!(refused[0].starts_with("reply 3 ") && refused.len() == 1, "{refused:?}");
    assert_ne!(refused[0], "reply 3 []");
}
