//! No signature before a partner has said how much of our own log it knows.
//!
//! A restored backup or a cloned machine would otherwise sign a second history. The fence closes
//! at every start, after a jump of the wall clock (a resumed machine), and when anyone shows more
//! of the own log than is here.

use std::fmt;

use crate::{limits, now::Now, replicate::OwnerFault};

/// What to do when no partner answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FencePolicy {
    /// Wait for one.
    Strict,
    /// After this many milliseconds, sign an `unfenced` entry and go on.
    Available {
        /// Milliseconds to wait.
        after_ms: u64,
    },
}

/// State of the fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// Signing is allowed.
    Open,
    /// Nobody has answered the question `nonce` yet.
    Waiting { since_mono_ms: u64, nonce: u64, why: Why },
    /// A partner knows more; its entries come back until `target`.
    Recovering { target: u64 },
    /// The own log has two histories; an operator must decide.
    Forked(OwnerFault),
}

/// Why the fence is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Start,
    ClockJump,
    Behind,
}

/// What an answer of a partner means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing changes.
    Nothing,
    /// The fence has opened.
    Opened,
    /// The partner knows more: pull the own log back from it.
    Recover,
}

// === impl Fence ===

impl Fence {
    pub(crate) fn closed(why: Why, nonce: u64, now: Now) -> Self {
        Self::Waiting { since_mono_ms: now.mono_ms, nonce, why }
    }

    pub(crate) fn is_open(&self) -> bool {
        *self == Self::Open
    }

    /// The question that is open, if any.
    pub(crate) fn nonce(&self) -> Option<u64> {
        match self {
            Self::Waiting { nonce, .. } => Some(*nonce),
            Self::Open | Self::Recovering { .. } | Self::Forked(_) => None,
        }
    }

    /// A node of another member says it holds `size` entries of the own log, of which `own` are
    /// here (staged ones included).
    pub(crate) fn heard(&mut self, size: u64, nonce: u64, own: u64) -> Verdict {
        match self {
            Self::Forked(_) => Verdict::Nothing,
            _ if size > own => {
                let target = match self {
                    Self::Recovering { target } => (*target).max(size),
                    _ => size,
                };
                *self = Self::Recovering { target };
                Verdict::Recover
            }
            Self::Waiting { nonce: asked, .. } if *asked == nonce => {
                *self = Self::Open;
                Verdict::Opened
            }
            Self::Open | Self::Waiting { .. } | Self::Recovering { .. } => Verdict::Nothing,
        }
    }

    /// Entries of the own log came back; `durable` are here now. True when that was all: then the
    /// partners are asked once more.
    pub(crate) fn recovered(&self, durable: u64) -> bool {
        matches!(self, Self::Recovering { target } if durable >= *target)
    }

    /// True when the policy allows to go on without an answer.
    pub(crate) fn may_open_unfenced(&self, policy: FencePolicy, now: Now) -> Option<u64> {
        let (Self::Waiting { since_mono_ms, .. }, FencePolicy::Available { after_ms }) =
            (self, policy)
        else {
            return None;
        };
        let waited = now.mono_ms.saturating_sub(*since_mono_ms);
        (waited >= after_ms).then_some(waited)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Waiting { why, .. } => {
                let why = match why {
                    Why::Start => "after the start",
                    Why::ClockJump => "after a jump of the clock",
                    Why::Behind => "after a partner knew more of our log",
                };
                write!(
                    f,
                    "waiting {why} for a node of another member to confirm our own log; publishing \
                     begins when one is reachable (check [[peers]] and the network), or set \
                     fence.policy = \"available\""
                )
            }
            Self::Recovering { target } => {
                write!(
                    f,
                    "our own log lacks entries that are signed; pulling it back from partners, up \
                     to {target} entries (if none of them has these, restore the newest copy of \
                     this node's data)"
                )
            }
            Self::Forked(fault) => write!(
                f,
                "stopped: our own log has two histories ({fault}); stop all copies of this node \
                 and keep the data of each"
            ),
        }
    }
}

/// Watches the wall clock against the monotonic one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockWatch {
    last: Now,
}

// === impl ClockWatch ===

impl ClockWatch {
    pub(crate) fn new(now: Now) -> Self {
        Self { last: now }
    }

    /// True when the wall clock moved against the monotonic one by more than the limit since the
    /// last call.
    pub(crate) fn jumped(&mut self, now: Now) -> bool {
        let mono = i64::try_from(now.mono_ms.saturating_sub(self.last.mono_ms)).unwrap_or(i64::MAX);
        let wall = now.wall_ms.saturating_sub(self.last.wall_ms);
        self.last = now;
        wall.saturating_sub(mono).saturating_abs() > limits::CLOCK_JUMP_MS
    }
}

#[cfg(test)]
mod tests {
    use Verdict::{Nothing, Opened, Recover};
    use registry_proto::terms::{Land, LogId};

    use super::*;

    const NOW: Now = Now { mono_ms: 1_000, wall_ms: 0 };

    fn waiting() -> Fence {
        Fence::closed(Why::Start, 7, NOW)
    }

    fn forked() -> Fence {
        let log = LogId { land: Land::SL, epoch: 1 };
        Fence::Forked(OwnerFault::Equivocation { log, size: 3 })
    }

    fn recovering(target: u64) -> Fence {
        Fence::Recovering { target }
    }

    /// Five entries are here; a partner says it holds `size` and answers question `nonce`.
    #[track_caller]
    fn check_heard(before: Fence, size: u64, nonce: u64, verdict: Verdict, after: Fence) {
        let mut fence = before.clone();
        assert_eq!(fence.heard(size, nonce, 5), verdict, "{before:?} hears {size} #{nonce}");
        assert_eq!(fence, after, "{before:?} hears {size} #{nonce}");
    }

    #[test]
    fn what_a_partner_says_in_every_state() {
        // (size, nonce): less, as much, more; nobody asked, the own question, another one
        for (size, nonce) in [(0, 0), (0, 7), (5, 0), (5, 7), (5, 8)] {
            check_heard(Fence::Open, size, nonce, Nothing, Fence::Open);
            check_heard(recovering(9), size, nonce, Nothing, recovering(9));
            check_heard(forked(), size, nonce, Nothing, forked());
        }
        for size in [0, 4, 5] {
            check_heard(waiting(), size, 0, Nothing, waiting());
            check_heard(waiting(), size, 8, Nothing, waiting());
            check_heard(waiting(), size, 7, Opened, Fence::Open);
        }
        for nonce in [0, 7, 8] {
            check_heard(Fence::Open, 6, nonce, Recover, recovering(6));
            check_heard(waiting(), 6, nonce, Recover, recovering(6));
            check_heard(recovering(9), 6, nonce, Recover, recovering(9));
            check_heard(recovering(9), 12, nonce, Recover, recovering(12));
            check_heard(forked(), u64::MAX, nonce, Nothing, forked());
        }
    }

    #[test]
    fn only_a_fence_that_waits_has_a_question() {
        assert_eq!(waiting().nonce(), Some(7));
        for fence in [Fence::Open, recovering(1), forked()] {
            assert_eq!(fence.nonce(), None, "{fence:?}");
        }
    }

    #[test]
    fn only_the_open_fence_is_open() {
        for (fence, open) in
            [(Fence::Open, true), (waiting(), false), (recovering(1), false), (forked(), false)]
        {
            assert_eq!(fence.is_open(), open, "{fence:?}");
        }
    }

    #[test]
    fn a_recovery_ends_at_its_target() {
        for (fence, durable, done) in [
            (recovering(9), 8, false),
            (recovering(9), 9, true),
            (recovering(9), 10, true),
            (Fence::Open, 10, false),
            (waiting(), 10, false),
            (forked(), 10, false),
        ] {
            assert_eq!(fence.recovered(durable), done, "{fence:?} at {durable}");
        }
    }

    #[test]
    fn the_policy_opens_only_a_fence_that_waits_long_enough() {
        let available = FencePolicy::Available { after_ms: 500 };
        let at = |mono_ms| Now { mono_ms, wall_ms: 0 };
        for (fence, policy, now, expect) in [
            (waiting(), available, at(1_499), None),
            (waiting(), available, at(1_500), Some(500)),
            (waiting(), available, at(0), None),
            (waiting(), FencePolicy::Strict, at(u64::MAX), None),
            (Fence::Open, available, at(9_999), None),
            (recovering(1), available, at(9_999), None),
            (forked(), available, at(9_999), None),
        ] {
            assert_eq!(fence.may_open_unfenced(policy, now), expect, "{fence:?} {now:?}");
        }
    }

    #[test]
    fn every_state_says_what_to_do() {
        for (fence, words) in [
            (waiting(), "after the start"),
            (Fence::closed(Why::ClockJump, 1, NOW), "jump of the clock"),
            (Fence::closed(Why::Behind, 1, NOW), "knew more"),
            (recovering(9), "restore the newest copy"),
            (forked(), "stop all copies"),
        ] {
            assert!(fence.to_string().contains(words), "{fence}");
        }
    }

    #[test]
    fn the_clock_jumps_only_against_the_other_clock() {
        let max = limits::CLOCK_JUMP_MS;
        for (mono, wall, jumped) in [
            (0, 0, false),
            (0, max, false),
            (0, max + 1, true),
            (0, -max, false),
            (0, -max - 1, true),
            (3_600_000, 3_600_000, false),
            (3_600_000, 0, true),
            (0, i64::MAX, true),
            (u64::MAX, 0, true),
            (u64::MAX, i64::MIN, true),
        ] {
            let mut watch = ClockWatch::new(Now { mono_ms: 0, wall_ms: 0 });
            let now = Now { mono_ms: mono, wall_ms: wall };
            assert_eq!(watch.jumped(now), jumped, "{now:?}");
            assert!(!watch.jumped(now), "told once");
        }
    }
}
