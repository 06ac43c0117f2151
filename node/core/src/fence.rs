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
