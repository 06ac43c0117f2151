//! Two copies of this node, restored backups, lost disks: what keeps them from a second history.

use registry_proto::{
    log::Kind,
    terms::Land,
    wire::peer::{Beacon, peer_message::Message},
};

use super::{publishes, words};
use crate::{
    fence::FencePolicy,
    limits,
    node::{Effect, Input},
    reject::Reject,
    replicate::SessionId,
    testing::{Author, Bench, START_MS, charter, definition, heads, peer, signer},
};

/// The own log as partners hold it, last signed `seconds` after the start.
fn own(entries: u64, seconds: i64) -> Author {
    let verbund = charter(&crate::testing::LAENDER).id();
    let mut own = Author::new(verbund, Land::SL, signer(Land::SL));
    own.append(entries);
    own.seconds = u64::try_from(START_MS / 1_000 + seconds).expect("after 1970");
    own
}

/// Started with the first `held` entries of what partners hold.
fn started(own: Author, held: u64, moved: bool) -> Bench {
    let mut bench = Bench::with(|it| {
        it.logs = if held > 0 { vec![own.recovered(held, held)] } else { Vec::new() };
        it.moved = moved;
    });
    *bench.author(Land::SL) = own;
    bench
}

/// A partner shows the own log as it is at the author by now.
fn shows(bench: &mut Bench, session: u64, nonce: u64) -> Vec<String> {
    let size = bench.author(Land::SL).size();
    let own = bench.author(Land::SL).head(size, size);
    let message = match nonce {
        0 => Message::Beacon(Beacon { heads: vec![own] }),
        _ => Message::Heads(heads(vec![own], nonce)),
    };
    bench.say(session, message)
}

/// Lets time pass while the partner of session 1 goes on talking; the copy, if it `signs`, renews
/// its freshness.
fn pass(bench: &mut Bench, ms: u64, signs: bool) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..ms / limits::BEACON_MS {
        said.extend(bench.later(limits::BEACON_MS));
        if signs {
            let seconds = u64::try_from(bench.now.wall_ms / 1_000).expect("after 1970");
            let author = bench.author(Land::SL);
            if seconds >= author.seconds + limits::FRESHNESS_RENEW_MS / 1_000 {
                author.seconds = seconds;
            }
        }
        said.extend(shows(bench, 1, 0));
    }
    said
}

fn is_open(bench: &Bench) -> bool {
    bench.node.status(bench.now).fence_open
}

#[track_caller]
fn check_copied(bench: &mut Bench, said: &[String]) {
    assert!(said.iter().any(|it| it.starts_with("copied ")), "{said:?}");
    assert_eq!(words(&bench.submit(99, definition(99))), ["reply 99 FENCED"]);
    // neither time nor answers open it, and nothing is signed
    let said = [pass(bench, 300_000, false), shows(bench, 1, bench.node.nonce)].concat();
    let signed = |it: &String| it.starts_with("commit") || it.starts_with("freshen");
    assert!(!said.iter().any(|it| it == "fence open" || signed(it)), "{said:?}");
    let status = bench.node.status(bench.now);
    assert!(status.copied && status.fence.contains("stop all copies but one"), "{status:?}");
}

#[test]
fn an_empty_disk_waits_for_all_partners_or_a_majority_or_the_grace_period() {
    let partners = [Land::RP, Land::HE];
    let empty = || Bench::with(|it| it.partners = partners.into());
    let answer = |bench: &mut Bench, session: u64, land: Land| {
        bench.connect(session, land);
        let own = bench.author(Land::SL).head(0, 0);
        bench.say(session, Message::Heads(heads(vec![own], 1)))
    };
    for second in [Land::HE, Land::TH] {
        let mut bench = empty();
        assert_eq!(answer(&mut bench, 1, Land::RP), Vec::<String>::new());
        assert!(!is_open(&bench));
        // nobody knows anything: there is nothing that came back, and nothing to say
        assert_eq!(answer(&mut bench, 2, second), ["fence open"]);
    }
    let mut bench = empty();
    answer(&mut bench, 1, Land::RP);
    bench.later(limits::FENCE_GRACE_MS - 1);
    assert!(!is_open(&bench));
    bench.later(1);
    assert!(is_open(&bench));
}

#[test]
fn a_lost_disk_that_the_first_partner_knows_nothing_of_waits_for_the_second() {
    let mut bench = started(own(5, -3_600), 0, false);
    bench.node = Bench::with(|it| it.partners = [Land::RP, Land::HE].into()).node;
    bench.connect(1, Land::RP);
    let nothing = bench.author(Land::SL).head(0, 0);
    bench.say(1, Message::Heads(heads(vec![nothing], 1)));
    assert_eq!(words(&bench.submit(1, definition(1))), ["reply 1 FENCED"]);
    bench.connect(2, Land::HE);
    assert_eq!(shows(&mut bench, 2, 1), ["2 <- follow SL/1 from 0"]);
}

#[test]
fn a_closed_fence_tells_when_it_opens_unless_only_an_operator_can() {
    let told = |bench: &mut Bench| {
        let effects = bench.submit(9, definition(9));
        let told = effects.into_iter().find_map(|it| match it {
            Effect::Reply { outcome: Err(Reject::Fenced { retry_ms, .. }), .. } => Some(retry_ms),
            _ => None,
        });
        told.expect("fenced")
    };
    let mut bench = Bench::with(|it| it.logs = vec![own(5, -10).recovered(5, 5)]);
    assert_eq!(told(&mut bench), Some(limits::BEACON_MS), "the next answer opens it");
    let mut bench = started(own(5, -10), 5, true);
    bench.connect(1, Land::RP);
    shows(&mut bench, 1, 1);
    let quiet_ms = limits::FENCE_QUIET_MS - 10_000 + 1;
    assert_eq!(told(&mut bench), Some(quiet_ms));
    pass(&mut bench, 20_000, false);
    assert_eq!(told(&mut bench), Some(quiet_ms - 20_000));
    // two copies that are certain of each other
    let mut bench = started(own(5, -3_600), 5, false);
    bench.connect(1, Land::RP);
    shows(&mut bench, 1, 1);
    bench.author(Land::SL).append(2);
    bench.author(Land::SL).seconds += 3_602;
    bench.later(2_000);
    shows(&mut bench, 1, 0);
    assert_eq!(told(&mut bench), None);
}

#[test]
fn a_copied_directory_opens_when_nobody_else_has_signed_for_a_while() {
    // the backup is complete, and its last signature is ten seconds old
    let mut bench = started(own(5, -10), 5, true);
    bench.connect(1, Land::RP);
    assert_eq!(shows(&mut bench, 1, 1), Vec::<String>::new());
    pass(&mut bench, 60_000, false);
    assert!(!is_open(&bench), "a copy that made this signature makes the next one by then");
    pass(&mut bench, 5_000, false);
    assert!(is_open(&bench));

    let mut own = own(5, -10);
    let disk = own.recovered(5, 5);
    own.seconds += 5;
    let mut bench = started(own, 5, true);
    bench.node = Bench::with(|it| (it.logs, it.moved) = (vec![disk], true)).node;
    bench.connect(1, Land::RP);
    shows(&mut bench, 1, 1);
    pass(&mut bench, 60_000, false);
    assert!(!is_open(&bench), "somebody signed a minute ago");
    pass(&mut bench, 10_000, false);
    assert!(is_open(&bench));
}

#[test]
fn a_copy_of_a_running_node_never_opens() {
    // a copy of three entries; the node it was copied from has five and lives on
    let mut bench = started(own(5, -10), 3, true);
    bench.connect(1, Land::RP);
    assert_eq!(shows(&mut bench, 1, 1), ["1 <- follow SL/1 from 3"]);
    bench.send(1, Land::SL, 3, 5, 5);
    bench.input(Input::Stored { log: crate::testing::log(Land::SL), learned: Vec::new() });
    shows(&mut bench, 1, 2);
    let said = pass(&mut bench, 150_000, true);
    check_copied(&mut bench, &said);
}

#[test]
fn two_copies_that_publish_nothing_are_noticed_by_their_signatures() {
    let mut bench = started(own(5, -3_600), 5, false);
    bench.connect(1, Land::RP);
    assert_eq!(shows(&mut bench, 1, 1), ["fence open"]);
    bench.author(Land::SL).seconds += 3_600;
    let said = pass(&mut bench, 65_000, true);
    let doubt = said.iter().filter(|it| *it == "fence closed").count();
    assert_eq!(doubt, 1, "{said:?}");
    assert!(bench.node.status(bench.now).fence.contains("somebody else seems to sign"));
    let said = pass(&mut bench, 65_000, true);
    check_copied(&mut bench, &said);
}

#[test]
fn a_copy_that_was_stopped_in_time_is_only_a_doubt() {
    let mut bench = started(own(5, -3_600), 5, false);
    bench.connect(1, Land::RP);
    shows(&mut bench, 1, 1);
    bench.author(Land::SL).seconds += 3_600;
    pass(&mut bench, 65_000, true);
    assert!(!is_open(&bench));
    let nonce = bench.node.nonce;
    shows(&mut bench, 1, nonce);
    let said = pass(&mut bench, limits::FENCE_QUIET_MS, false);
    assert!(said.contains(&"fence open".to_owned()), "{said:?}");
}

#[test]
fn entries_that_this_node_did_not_write_stop_it_at_once() {
    let mut bench = started(own(5, -3_600), 5, false);
    bench.connect(1, Land::RP);
    shows(&mut bench, 1, 1);
    publishes(&mut bench, 1, definition(50));
    bench.later(2_000);
    // the copy wrote an entry of its own, and one more
    let author = bench.author(Land::SL);
    author.append(2);
    author.seconds += 3_602;
    let said = shows(&mut bench, 1, 0);
    check_copied(&mut bench, &said);
}

#[test]
fn what_was_signed_in_the_second_of_the_start_is_no_sign_and_the_next_two_are() {
    let mut bench = started(own(5, -3_600), 5, false);
    bench.connect(1, Land::RP);
    shows(&mut bench, 1, 1);
    bench.author(Land::SL).append(1);
    bench.author(Land::SL).seconds += 3_600;
    // it may have been written before a crash that this life began after
    assert_eq!(shows(&mut bench, 1, 0), ["fence closed", "1 <- follow SL/1 from 5"]);
    let said = pass(&mut bench, 130_000, true);
    check_copied(&mut bench, &said);
}

#[test]
fn a_machine_that_slept_while_a_copy_went_on_pulls_back_and_does_not_fork() {
    let mut bench = started(own(5, -3_600), 5, false);
    bench.connect(1, Land::RP);
    shows(&mut bench, 1, 1);
    // it sleeps for an hour; a copy writes, and is gone before it wakes up
    bench.now.mono_ms += 1;
    bench.now.wall_ms += 3_600_000;
    bench.author(Land::SL).append(2);
    bench.author(Land::SL).seconds += 5_000;
    assert_eq!(
        words(&bench.submit(1, definition(50))),
        ["fence closed", "reply 1 FENCED", "1 <- ask #2"]
    );
    bench.input(Input::SessionClosed { session: SessionId(1) });
    bench.connect(1, Land::RP);
    assert_eq!(shows(&mut bench, 1, 0), ["1 <- follow SL/1 from 5"]);
    bench.send(1, Land::SL, 5, 7, 7);
    bench.input(Input::Stored { log: crate::testing::log(Land::SL), learned: Vec::new() });
    let nonce = bench.node.nonce;
    let said = shows(&mut bench, 1, nonce);
    let expect = ["fence open", "recovered 5..7", "commit 7..8"];
    assert_eq!(said, expect);
}

#[test]
fn a_recovery_that_was_not_told_before_a_restart_is_told_after_it() {
    let own = own(5, -3_600);
    let disk = || crate::replicate::RecoveredLog { pulled_from: Some(2), ..own.recovered(5, 5) };
    let mut bench = Bench::with(|it| it.logs = vec![disk()]);
    *bench.author(Land::SL) = own;
    bench.connect(1, Land::RP);
    assert_eq!(shows(&mut bench, 1, 1), ["fence open", "recovered 2..5", "commit 5..6"]);
}

#[test]
fn the_policy_available_says_both_that_nobody_answered_and_what_came_back() {
    let own = own(5, -3_600);
    let disk = || crate::replicate::RecoveredLog { pulled_from: Some(0), ..own.recovered(5, 5) };
    let mut bench = Bench::with(|it| {
        it.logs = vec![disk()];
        it.fence = FencePolicy::Available { after_ms: 30_000 };
    });
    bench.pass(30_000);
    let effects = bench.handle(Input::Tick);
    let Some(Effect::Commit(commit)) = effects.last() else { panic!("{:?}", words(&effects)) };
    let kinds: Vec<Kind> = commit
        .entries
        .iter()
        .map(|it| registry_proto::log::Header::parse(&it.header).expect("a header").kind)
        .collect();
    assert_eq!(kinds, [Kind::Unfenced, Kind::Recovered]);
}

#[test]
fn a_stream_with_the_own_certificate_is_refused() {
    let mut bench = Bench::open();
    let session = SessionId(4);
    let said = bench.input(Input::SessionOpened { session, peer: peer(Land::SL), dialled: false });
    assert_eq!(said, ["fault SL own_identity", "close 4 own_identity"]);
    // whoever has the certificate need not have the keys of the log
    assert!(is_open(&bench));
}
