use Verdict::{Nothing, Recover};
use registry_proto::terms::LogId;

use super::*;

const NOW: Now = Now { mono_ms: 1_000, wall_ms: 0 };
const ANSWER: Answer = Answer { head: None, unix_ms: 0 };

fn waiting(why: Why) -> Fence {
    Fence::closed(why, 7, NOW)
}

fn forked() -> Fence {
    let log = LogId { land: Land::SL, epoch: 1 };
    Fence::Forked(OwnerFault::Equivocation { log, size: 3 })
}

fn copied() -> Fence {
    Fence::Copied { size: 3, unix_seconds: 9 }
}

fn recovering(target: u64) -> Fence {
    Fence::Recovering { target }
}

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 0 }
}

/// One of each state, for what concerns none but the first.
fn others() -> [Fence; 4] {
    [Fence::Open, recovering(1), copied(), forked()]
}

#[test]
fn a_partner_that_knows_more_starts_a_recovery_unless_an_operator_must_decide() {
    let start = waiting(Why::Start);
    for (before, size, verdict, after) in [
        (Fence::Open, 5, Nothing, Fence::Open),
        (Fence::Open, 6, Recover, recovering(6)),
        (start.clone(), 5, Nothing, start.clone()),
        (start, 6, Recover, recovering(6)),
        (recovering(9), 5, Nothing, recovering(9)),
        (recovering(9), 6, Recover, recovering(9)),
        (recovering(9), 12, Recover, recovering(12)),
        (copied(), u64::MAX, Nothing, copied()),
        (forked(), u64::MAX, Nothing, forked()),
    ] {
        let mut fence = before.clone();
        assert_eq!(fence.heard(size, 5), verdict, "{before:?} hears {size} with 5 entries");
        assert_eq!(fence, after, "{before:?} hears {size} with 5 entries");
    }
}

/// The members answer one after the other; the fence may open at the given number of answers,
/// or never without the grace period.
#[track_caller]
fn check_opens(why: Why, partners: &[Land], answers: &[Land], quiet: bool, at_answer: usize) {
    let council = Council { partners: partners.iter().copied().collect(), others: 4 };
    let mut fence = waiting(why);
    assert!(!fence.may_open(&council, quiet, NOW), "{why:?}: before any answer");
    let mut opens = 0;
    for (count, land) in (1..).zip(answers) {
        fence.answered(8, *land, ANSWER, NOW);
        fence.answered(7, *land, ANSWER, NOW);
        if opens == 0 && fence.may_open(&council, quiet, NOW) {
            opens = count;
        }
    }
    assert_eq!(opens, at_answer, "{why:?} {partners:?} {answers:?} {quiet}");
    let late = at(NOW.mono_ms + limits::FENCE_GRACE_MS);
    let early = at(late.mono_ms - 1);
    let in_time = fence.may_open(&council, quiet, early);
    assert_eq!(in_time, at_answer > 0, "{why:?} {partners:?}: before the grace period ends");
    let opened = fence.may_open(&council, quiet, late);
    let expect = at_answer > 0 || (quiet && !answers.is_empty());
    assert_eq!(opened, expect, "{why:?} {partners:?}: at the end of the grace period");
}

#[test]
fn how_many_answers_open_depends_on_why_it_closed() {
    use Land::{BY, HE, RP, TH};
    for quiet in [true, false] {
        check_opens(Why::Start, &[RP, HE], &[HE], quiet, 1);
        check_opens(Why::Start, &[], &[HE], quiet, 1);
    }
    for why in [Why::Empty, Why::Moved, Why::ClockJump, Why::Frozen, Why::Behind, Why::Doubt] {
        // three of four others are more than half
        check_opens(why, &[RP, HE, TH, BY], &[RP, HE], true, 0);
        check_opens(why, &[RP, HE, TH, BY], &[RP, HE, TH], true, 3);
        check_opens(why, &[], &[RP, HE, TH], true, 3);
        check_opens(why, &[], &[RP, HE], true, 0);
        // one that asks two waits for both
        check_opens(why, &[RP, HE], &[RP], true, 0);
        check_opens(why, &[RP, HE], &[TH, RP, HE], true, 3);
        check_opens(why, &[RP, HE], &[HE, RP], true, 2);
        check_opens(why, &[RP], &[RP], true, 1);
        // a member that answers twice is one
        check_opens(why, &[], &[RP, RP, RP], true, 0);
        // nobody answers, or somebody else signs
        check_opens(why, &[RP], &[], true, 0);
        check_opens(why, &[RP], &[RP, HE, TH], false, 0);
    }
    let all = Council { partners: [RP].into(), others: 1 };
    for fence in others() {
        assert!(!fence.may_open(&all, true, at(u64::MAX)), "{fence:?}");
    }
}

#[test]
fn only_a_fence_that_waits_has_a_question() {
    assert_eq!(waiting(Why::Start).nonce(), Some(7));
    for fence in others() {
        assert_eq!(fence.nonce(), None, "{fence:?}");
        assert_eq!(fence.is_open(), fence == Fence::Open, "{fence:?}");
    }
    assert!(!waiting(Why::Start).is_open());
}

#[test]
fn a_recovery_ends_at_its_target() {
    for (fence, durable, done) in [
        (recovering(9), 8, false),
        (recovering(9), 9, true),
        (recovering(9), 10, true),
        (Fence::Open, 10, false),
        (waiting(Why::Behind), 10, false),
        (copied(), 10, false),
        (forked(), 10, false),
    ] {
        assert_eq!(fence.recovered(durable), done, "{fence:?} at {durable}");
    }
}

#[test]
fn the_policy_opens_only_a_fence_that_waits_long_enough_and_no_copy_can_be_behind() {
    let available = FencePolicy::Available { after_ms: 500 };
    for (fence, policy, quiet, now, expect) in [
        (waiting(Why::Start), available, true, at(1_499), None),
        (waiting(Why::Start), available, true, at(1_500), Some(500)),
        (waiting(Why::Start), available, false, at(1_500), Some(500)),
        (waiting(Why::Start), available, true, at(0), None),
        (waiting(Why::Start), FencePolicy::Strict, true, at(u64::MAX), None),
        (waiting(Why::ClockJump), available, true, at(1_500), Some(500)),
        (waiting(Why::Frozen), available, true, at(1_500), Some(500)),
        (waiting(Why::Frozen), available, false, at(1_500), None),
        (waiting(Why::Behind), available, true, at(1_500), Some(500)),
        (waiting(Why::Behind), available, false, at(1_500), None),
        (waiting(Why::Empty), available, true, at(u64::MAX), None),
        (waiting(Why::Moved), available, true, at(u64::MAX), None),
        (waiting(Why::Doubt), available, true, at(u64::MAX), None),
        (Fence::Open, available, true, at(9_999), None),
        (recovering(1), available, true, at(9_999), None),
        (copied(), available, true, at(9_999), None),
        (forked(), available, true, at(9_999), None),
    ] {
        assert_eq!(fence.may_open_unfenced(policy, quiet, now), expect, "{fence:?} {now:?}");
    }
}

#[test]
fn every_state_says_what_to_do() {
    let mut answered = waiting(Why::Behind);
    answered.answered(7, Land::RP, ANSWER, NOW);
    for (fence, words) in [
        (waiting(Why::Start), "after the start for a node of another member"),
        (waiting(Why::Empty), "without an own log"),
        (waiting(Why::Moved), "copied or restored"),
        (waiting(Why::ClockJump), "jump of the clock"),
        (waiting(Why::Frozen), "stood still"),
        (waiting(Why::Behind), "knew more"),
        (waiting(Why::Doubt), "copy of this node"),
        (answered, "more members than RP"),
        (recovering(9), "restore the newest copy"),
        (copied(), "stop all copies but one"),
        (forked(), "stop all copies of this node"),
    ] {
        assert!(fence.to_string().contains(words), "{fence}");
    }
}
