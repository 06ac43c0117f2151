//! The own log comes back from partners.

use prost::Message as _;
use registry_proto::{
    erasure::Erasing,
    log::{Header, Kind, leaf_hash, tree_root},
    terms::Land,
    wire::{
        peer::{Batch, Refusal, peer_message::Message},
        registry::{Recovered, RecoveredAnswer, RecoveredCause},
    },
};

use super::{commits, words};
use crate::{
    fence::FencePolicy,
    limits,
    node::{Effect, Input, Learned},
    replicate::{Seen, SessionId},
    testing::{Author, Bench, brief, charter, definition, heads, is_testimony, log, signer},
};

/// The own log as partners hold it: ten entries.
fn own() -> Author {
    let verbund = charter(&crate::testing::LAENDER).id();
    let mut own = Author::new(verbund, Land::SL, signer(Land::SL));
    own.append(10);
    // signed an hour ago, by nobody who still runs
    own.seconds -= 3_600;
    own
}

/// Started again with the first `held` entries, the newest checkpoint of which signs `signed`.
fn restarted(held: u64, signed: u64) -> Bench {
    let own = own();
    let mut bench = Bench::with(|it| {
        it.logs = vec![own.recovered(held, signed)];
        it.seen = Seen { size: held, root: tree_root(&own, held).expect("held") };
    });
    *bench.author(Land::SL) = own;
    bench
}

fn tells(bench: &mut Bench, session: u64, held: u64, signed: u64, nonce: u64) -> Vec<String> {
    let effects = told(bench, session, held, signed, nonce);
    effects.iter().filter(|it| !is_testimony(it)).map(brief).collect()
}

fn told(bench: &mut Bench, session: u64, held: u64, signed: u64, nonce: u64) -> Vec<Effect> {
    let own = bench.author(Land::SL).head(held, signed);
    let message = Message::Heads(heads(vec![own], nonce));
    bench.handle(Input::Received { session: SessionId(session), message })
}

/// The commit in these effects says that entries came back.
#[track_caller]
fn check_recovered(effects: &[Effect], from: u64, cause: RecoveredCause) -> Recovered {
    let commit = effects.iter().find_map(|it| match it {
        Effect::Commit(it) => Some(it),
        _ => None,
    });
    let entry = &commit.expect("a commit").entries[0];
    let header = Header::parse(&entry.header).expect("a header");
    assert_eq!((header.kind, header.batch_end, header.object_id), (Kind::Recovered, true, None));
    let body = Recovered::decode(&entry.body[..]).expect("a body");
    assert_eq!((body.from, body.cause()), (from, cause));
    body
}

/// The commit in these effects is durable.
fn confirm(bench: &mut Bench, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Commit(it) = effect {
            bench.committed(it.checkpoint);
        }
    }
}

/// The oldest group is durable; the core learns its records.
fn stored(bench: &mut Bench, from: u64, to: u64) -> Vec<String> {
    let entries = bench.author(Land::SL).batch(from, to, 10).entries;
    let learned = entries.into_iter().map(|it| Learned { header: it.header, body: it.body });
    bench.input(Input::Stored { log: log(Land::SL), learned: learned.collect() })
}

#[track_caller]
fn check_fenced(bench: &mut Bench) {
    assert_eq!(words(&bench.submit(99, definition(99))), ["reply 99 FENCED"]);
}

#[test]
fn entries_that_a_partner_has_come_back_before_anything_is_signed() {
    let mut bench = restarted(4, 4);
    bench.connect(1, Land::RP);
    assert_eq!(tells(&mut bench, 1, 10, 10, 1), ["1 <- follow SL/1 from 4"]);
    check_fenced(&mut bench);
    assert_eq!(bench.send(1, Land::SL, 4, 7, 10), ["store SL/1 +3 of 10"]);
    assert_eq!(bench.send(1, Land::SL, 7, 10, 10), ["store SL/1 +3 of 10"]);
    assert_eq!(stored(&mut bench, 4, 7), ["1 <- ack SL/1 7"]);
    let said = stored(&mut bench, 7, 10);
    // when all is here the partners are asked once more
    let expect = ["fence closed", "1 <- ack SL/1 10", "1 <- unfollow SL/1", "1 <- ask #2"];
    assert_eq!(said, expect);
    check_fenced(&mut bench);
    let effects = told(&mut bench, 1, 10, 10, 2);
    assert_eq!(words(&effects), ["fence open", "recovered 4..10", "commit 10..11"]);
    let body = check_recovered(&effects, 4, RecoveredCause::Behind);
    let root = bench.author(Land::SL).checkpoint(10).root;
    let answer = &body.answers[..];
    let [RecoveredAnswer { land, size: 10, root: said, .. }] = answer else { panic!("{answer:?}") };
    assert_eq!((land.as_str(), said.as_ref()), ("RP", root.as_bytes().as_slice()));
    // the process stands still, and is told that nothing was signed before or after the answer
    bench.freeze(limits::FROZEN_MS + 1);
    assert_eq!(bench.input(Input::CommitVoid), ["fence closed", "1 <- ask #3"]);
    let effects = told(&mut bench, 1, 10, 10, 3);
    assert_eq!(words(&effects), ["fence open", "commit 10..11"]);
    bench.freeze(limits::FROZEN_MS + 1);
    assert_eq!(bench.input(Input::Tick)[0], "fence closed");
    assert_eq!(tells(&mut bench, 1, 10, 10, 4), ["fence open"]);
    let effects = bench.handle(Input::CommitVoid);
    assert_eq!(words(&effects), ["commit 10..11"]);
    let again = check_recovered(&effects, 4, RecoveredCause::Behind);
    assert_eq!(again, body);
    confirm(&mut bench, &effects);
    // what came back counts: service 5 stands as entry 4, others go on behind the last
    bench.folded(11);
    let same = crate::testing::submission(&[(5, None, "body")]);
    assert_eq!(words(&bench.submit(1, same)), ["reply 1 [4=] RP"]);
    let commit = commits(&mut bench, 2, definition(77));
    assert_eq!(commit.checkpoint.size, 12);
}

#[test]
fn erasures_that_stand_nowhere_any_more_are_said_again_behind_what_came_back() {
    // entry 1 has no body here; what comes back says so or does not
    for stands in [false, true] {
        let mut own = own();
        if stands {
            own.rewrite(9);
            own.append_erasure(1);
        }
        let target = own.batch(1, 2, 10).entries[0].header.clone();
        let leaf = leaf_hash(&target);
        let target = Header::parse(&target).expect("a header");
        let mut bench = Bench::with(|it| {
            it.logs = vec![own.recovered(4, 4)];
            it.seen = Seen { size: 4, root: tree_root(&own, 4).expect("held") };
            it.services.gone(&target, leaf, Some("Widerruf"));
        });
        *bench.author(Land::SL) = own;
        bench.connect(1, Land::RP);
        tells(&mut bench, 1, 10, 10, 1);
        bench.send(1, Land::SL, 4, 10, 10);
        stored(&mut bench, 4, 10);
        let effects = told(&mut bench, 1, 10, 10, 2);
        assert_eq!(words(&effects), ["fence open", "recovered 4..10", "commit 10..11"]);
        check_recovered(&effects, 4, RecoveredCause::Behind);
        let Some(Effect::Commit(first)) = effects.last() else { panic!("a commit") };
        let signed = bench.sign(first.checkpoint);
        let effects = bench.handle(Input::Committed { signed });
        let commit = effects.iter().find_map(|it| match it {
            Effect::Commit(it) => Some(it),
            _ => None,
        });
        assert_eq!(commit.is_some(), !stands);
        let Some(commit) = commit else { continue };
        let header = Header::parse(&commit.entries[0].header).expect("a header");
        let erasing = Erasing::read(&header, &commit.entries[0].body).expect("an erasure");
        assert!(erasing.erases(&target, &leaf).is_ok());
        assert_eq!((header.index, erasing.grund.as_str()), (11, "Widerruf"));
        bench.committed(commit.checkpoint);
        let said = bench.later(1_000);
        assert!(!said.iter().any(|it| it.starts_with("commit")), "{said:?}");
    }
}

#[test]
fn a_partner_that_knows_more_than_it_holds_keeps_the_fence_closed() {
    let mut bench = restarted(4, 4);
    bench.connect(1, Land::RP);
    // it holds what is here, under a checkpoint of more: to sign entry 5 anew would fork
    assert_eq!(tells(&mut bench, 1, 4, 10, 1), Vec::<String>::new());
    check_fenced(&mut bench);
    // that it takes back what it showed opens nothing
    assert_eq!(tells(&mut bench, 1, 4, 4, 1), ["replayed SL/1 by RP"]);
    check_fenced(&mut bench);
    // somebody else has the entries
    bench.connect(2, Land::TH);
    assert_eq!(tells(&mut bench, 2, 10, 10, 0), ["2 <- follow SL/1 from 4"]);
}

#[test]
fn a_recovery_that_was_cut_by_a_restart_goes_on() {
    // entries 0..4 are here, and a checkpoint of ten came with them
    let mut bench = restarted(4, 10);
    bench.connect(1, Land::RP);
    for (nonce, said) in [(0, vec!["examine SL/1 at 3 by 4"]), (1, vec![]), (2, vec![])] {
        assert_eq!(tells(&mut bench, 1, 3, 3, nonce), said);
    }
    check_fenced(&mut bench);
    let available = FencePolicy::Available { after_ms: 1 };
    let own = own();
    let mut hasty = Bench::with(|it| {
        it.logs = vec![own.recovered(4, 10)];
        it.fence = available;
    });
    assert_eq!(hasty.later(60_000), Vec::<String>::new());
    check_fenced(&mut hasty);
    bench.connect(2, Land::TH);
    assert_eq!(tells(&mut bench, 2, 10, 10, 0), ["2 <- follow SL/1 from 4"]);
}

#[test]
fn more_of_the_own_log_than_is_here_closes_an_open_fence() {
    for partner in [Land::RP, Land::SL] {
        let mut bench = restarted(4, 4);
        bench.connect(1, Land::TH);
        assert_eq!(tells(&mut bench, 1, 4, 4, 1), ["fence open"]);
        // somebody runs a copy of this node
        bench.connect(2, partner);
        let said = tells(&mut bench, 2, 10, 10, 0);
        assert_eq!(said, ["fence closed", "2 <- follow SL/1 from 4"]);
        check_fenced(&mut bench);
    }
}

#[test]
fn a_recovery_waits_for_the_group_under_way_and_drops_what_is_behind_it() {
    let mut bench = restarted(4, 4);
    bench.connect(1, Land::TH);
    tells(&mut bench, 1, 4, 4, 1);
    let commit = commits(&mut bench, 1, definition(50));
    bench.submit(2, definition(51));
    let said = tells(&mut bench, 1, 10, 10, 0);
    assert_eq!(said, ["reply 2 FENCED", "fence closed"]);
    assert_eq!(bench.committed(commit.checkpoint), Vec::<String>::new());
    // the group was signed on top of another history: the partner's entries cannot follow it
    assert_eq!(tells(&mut bench, 1, 10, 10, 0), ["1 <- follow SL/1 from 5"]);
    let said = bench.send(1, Land::SL, 5, 10, 10);
    assert_eq!(said, ["fault TH proof", "1 <- unfollow SL/1"]);
    check_fenced(&mut bench);
}

/// The first partner fails in some way; the second is asked, and everything comes back.
#[track_caller]
fn check_other_partner_helps(fail: impl FnOnce(&mut Bench)) {
    let mut bench = restarted(4, 4);
    bench.connect(1, Land::RP);
    assert_eq!(tells(&mut bench, 1, 10, 10, 1), ["1 <- follow SL/1 from 4"]);
    fail(&mut bench);
    bench.connect(2, Land::TH);
    let mut helped = false;
    for _ in 0..4 {
        let said = [tells(&mut bench, 1, 10, 10, 0), tells(&mut bench, 2, 10, 10, 0)].concat();
        helped = said.contains(&"2 <- follow SL/1 from 4".to_owned());
        if helped {
            break;
        }
        bench.later(limits::BEACON_MS);
    }
    assert!(helped, "the second partner is never asked");
    assert_eq!(bench.send(2, Land::SL, 4, 10, 10), ["store SL/1 +6 of 10"]);
    stored(&mut bench, 4, 10);
    let size = |bench: &Bench| bench.node.status(bench.now).logs[2].size;
    assert_eq!(size(&bench), 10);
}

#[test]
fn a_partner_that_fails_to_give_the_own_log_back_is_replaced() {
    check_other_partner_helps(|_| ());
    check_other_partner_helps(|bench| {
        bench.input(Input::SessionClosed { session: SessionId(1) });
    });
    check_other_partner_helps(|bench| {
        let refusal = Refusal { land: "SL".to_owned(), epoch: 1, reason: 3 };
        assert_eq!(bench.say(1, Message::Refusal(refusal)), ["refused RP SL/1"]);
    });
    check_other_partner_helps(|bench| {
        let mut batch = bench.author(Land::SL).batch(4, 10, 10);
        batch.entries.swap(0, 1);
        let said = bench.say(1, Message::Batch(batch));
        assert_eq!(said, ["fault RP proof", "1 <- unfollow SL/1"]);
    });
}

#[test]
fn a_partner_alone_is_asked_again_after_it_failed() {
    let mut bench = restarted(4, 4);
    bench.connect(1, Land::RP);
    tells(&mut bench, 1, 10, 10, 1);
    let refusal = Refusal { land: "SL".to_owned(), epoch: 1, reason: 3 };
    bench.say(1, Message::Refusal(refusal));
    assert_eq!(tells(&mut bench, 1, 10, 10, 0), Vec::<String>::new());
    let mut asked = 0;
    for _ in 0..6 {
        asked += bench.later(limits::BEACON_MS).iter().filter(|it| it.contains("ask")).count();
        bench.say(1, Message::Beacon(registry_proto::wire::peer::Beacon::default()));
    }
    assert_eq!(asked, 6);
    assert_eq!(tells(&mut bench, 1, 10, 10, 0), ["1 <- follow SL/1 from 4"]);
}

#[test]
fn a_recovery_that_was_cut_begins_behind_what_is_on_its_way_to_the_disk() {
    let mut bench = restarted(4, 4);
    bench.connect(1, Land::RP);
    tells(&mut bench, 1, 10, 10, 1);
    bench.send(1, Land::SL, 4, 6, 10);
    bench.send(1, Land::SL, 6, 8, 10);
    bench.input(Input::SessionClosed { session: SessionId(1) });
    bench.connect(2, Land::TH);
    // two groups are on their way: entries 4 to 8 must not be fetched again
    assert_eq!(tells(&mut bench, 2, 10, 10, 0), Vec::<String>::new());
    stored(&mut bench, 4, 6);
    assert_eq!(tells(&mut bench, 2, 10, 10, 0), Vec::<String>::new());
    stored(&mut bench, 6, 8);
    assert_eq!(tells(&mut bench, 2, 10, 10, 0), ["2 <- follow SL/1 from 8"]);
    bench.send(2, Land::SL, 8, 10, 10);
    stored(&mut bench, 8, 10);
    // one of three others is not enough, until the grace period ends
    assert_eq!(tells(&mut bench, 2, 10, 10, 2), Vec::<String>::new());
    check_fenced(&mut bench);
    bench.later(limits::FENCE_GRACE_MS - 1);
    check_fenced(&mut bench);
    let opened = ["fence open", "recovered 4..10"];
    assert!(bench.later(1).starts_with(&opened.map(str::to_owned)));
}

#[test]
fn an_own_entry_recorded_before_the_clock_of_the_last_commit_comes_back() {
    // the copy of this node that wrote on had a clock behind that of this one
    let mut bench = restarted(0, 0);
    bench.connect(1, Land::RP);
    let own = bench.author(Land::SL).head(0, 0);
    bench.say(1, Message::Heads(heads(vec![own], 1)));
    let commit = commits(&mut bench, 1, definition(1));
    // the disk takes its time
    bench.now.mono_ms += 5_000;
    bench.now.wall_ms += 5_000;
    bench.committed(commit.checkpoint);
    let entry = &commit.entries[0];
    let author = bench.author(Land::SL);
    author.rewrite(0);
    author.append_raw(entry.header.clone(), entry.salt.to_vec().into(), entry.body.clone());
    author.append(1);
    assert!(tells(&mut bench, 1, 2, 2, 0).contains(&"1 <- follow SL/1 from 1".to_owned()));
    let said = bench.send(1, Land::SL, 1, 2, 2);
    assert_eq!(said, ["store SL/1 +1 of 2"]);
}

#[test]
fn a_failed_disk_ends_the_recovery() {
    let mut bench = restarted(4, 4);
    bench.connect(1, Land::RP);
    tells(&mut bench, 1, 10, 10, 1);
    bench.send(1, Land::SL, 4, 6, 10);
    let said = bench.input(Input::StoreFailed { log: log(Land::SL) });
    assert_eq!(said, ["log failed SL/1", "own log failed", "1 <- unfollow SL/1"]);
    assert_eq!(words(&bench.submit(1, definition(1))), ["reply 1 LOG_WRITE_FAILED"]);
    let batch = bench.author(Land::SL).batch(6, 10, 10);
    assert_eq!(bench.say(1, Message::Batch(Batch { ..batch })), Vec::<String>::new());
}
