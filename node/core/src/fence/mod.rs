//! No signature before a partner has said how much of our own log it knows.
//!
//! A restored backup or a cloned machine would otherwise sign a second history. The fence closes
//! at every start, after a jump of the wall clock (a resumed machine), after a time in which the
//! process stood still (a paused container), when anyone shows more of the own log than is here,
//! and when somebody else signs with the keys of this Land. One answer is enough after a start from
//! the disk this node wrote last; whatever else closed it needs more (`Council`), and that nobody
//! else signs meanwhile (`Copies`).

mod clock;
mod copies;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use registry_proto::{log::Hash, terms::Land};

pub use clock::{Ordered, Pulse};
pub(crate) use copies::Copies;

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
    /// Too few have answered.
    Waiting(Waiting),
    /// A partner knows more; its entries come back until `target`.
    Recovering { target: u64 },
    /// Another copy of this node signs; an operator must decide which one stays.
    Copied { size: u64, unix_seconds: u64 },
    /// The own log has two histories; an operator must decide.
    Forked(OwnerFault),
    /// The charter suspended this Land; another one resumes it, under which a node starts anew.
    Suspended,
    /// A reset ended the epoch; the node is about to begin again in the next one.
    Ended,
    /// The end of the log here, which nobody has seen, is not what partners have; the node is about
    /// to begin again without it.
    Aside,
}

/// A question, and who answered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    why: Why,
    nonce: u64,
    since_mono_ms: u64,
    first_answer_mono_ms: Option<u64>,
    answers: BTreeMap<Land, Answer>,
    /// Entries that are here, if nobody else is known to have seen the last of them.
    unseen: Option<u64>,
}

/// What a member knew of the own log when it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Newest head it showed; none when it knew of none.
    pub(crate) head: Option<(u64, Hash)>,
    /// When, by the wall clock here.
    pub(crate) unix_ms: i64,
}

/// Why the fence is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Started from the disk this node wrote last.
    Start,
    /// Started without an entry of the own log.
    Empty,
    /// Started from a directory that was copied or restored, or after a copy was seen.
    Moved,
    /// The machine was asleep, or its clock was set.
    ClockJump,
    /// The process stood still while both clocks went on.
    Frozen,
    /// Entries of the own log had to come back.
    Behind,
    /// Somebody else seems to sign with the keys of this Land.
    Doubt,
}

/// Whose answers make a fence open that one answer does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Council {
    /// Members whose nodes this one dials.
    pub(crate) partners: BTreeSet<Land>,
    /// Members apart from the own Land.
    pub(crate) others: usize,
}

/// What it means that a partner knows so much of the own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing changes.
    Nothing,
    /// The partner knows more: pull the own log back from it.
    Recover,
}

// === impl Fence ===

impl Fence {
    pub(crate) fn closed(why: Why, nonce: u64, now: Now) -> Self {
        Self::Waiting(Waiting {
            why,
            nonce,
            since_mono_ms: now.mono_ms,
            first_answer_mono_ms: None,
            answers: BTreeMap::new(),
            unseen: None,
        })
    }

    /// After a start: of the `size` entries here nobody else is known to have seen the last. A copy may
    /// have gone on without them, so who does not know all of them cannot answer alone.
    pub(crate) fn with_unseen(mut self, size: u64) -> Self {
        if let Self::Waiting(it) = &mut self {
            it.unseen = Some(size);
        }
        self
    }

    pub(crate) fn is_open(&self) -> bool {
        *self == Self::Open
    }

    /// True when only an operator can open it.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Open | Self::Waiting(_) | Self::Recovering { .. } => false,
            Self::Copied { .. } | Self::Forked(_) | Self::Suspended | Self::Ended | Self::Aside => {
                true
            }
        }
    }

    /// The question that is open, if any.
    pub(crate) fn nonce(&self) -> Option<u64> {
        match self {
            Self::Waiting(it) => Some(it.nonce),
            Self::Open
            | Self::Recovering { .. }
            | Self::Copied { .. }
            | Self::Forked(_)
            | Self::Suspended
            | Self::Ended
            | Self::Aside => None,
        }
    }

    /// Why it waits, if it does.
    pub(crate) fn waits(&self) -> Option<Why> {
        match self {
            Self::Waiting(it) => Some(it.why),
            Self::Open
            | Self::Recovering { .. }
            | Self::Copied { .. }
            | Self::Forked(_)
            | Self::Suspended
            | Self::Ended
            | Self::Aside => None,
        }
    }

    /// What keeps it closed, in one word for metrics; of an open one, `open`.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waiting(it) => it.why.label(),
            Self::Recovering { .. } => Why::Behind.label(),
            Self::Copied { .. } => "copied",
            Self::Forked(_) => "forked",
            Self::Suspended => "suspended",
            Self::Ended => "ended",
            Self::Aside => "aside",
        }
    }

    /// A node knows of `size` entries of the own log, of which `own` are here (staged ones
    /// included).
    pub(crate) fn heard(&mut self, size: u64, own: u64) -> Verdict {
        if size <= own || self.is_final() {
            return Verdict::Nothing;
        }
        let target = match self {
            Self::Recovering { target } => (*target).max(size),
            _ => size,
        };
        *self = Self::Recovering { target };
        Verdict::Recover
    }

    /// A node of another member, which knows no more than is here, answers the question `nonce`.
    pub(crate) fn answered(&mut self, nonce: u64, member: Land, answer: Answer, now: Now) {
        if let Self::Waiting(it) = self
            && it.nonce == nonce
        {
            it.first_answer_mono_ms.get_or_insert(now.mono_ms);
            it.answers.insert(member, answer);
        }
    }

    /// True when enough have answered. `quiet`: nobody else signs with the keys of this Land.
    pub(crate) fn may_open(&self, council: &Council, quiet: bool, now: Now) -> bool {
        let Self::Waiting(it) = self else { return false };
        let Some(first_mono_ms) = it.first_answer_mono_ms else { return false };
        if it.is_answered() {
            return true;
        }
        let waited_ms = now.mono_ms.saturating_sub(first_mono_ms);
        let enough = council.has_decided(&it.answers) || waited_ms >= limits::FENCE_GRACE_MS;
        enough && (quiet || it.why == Why::Start)
    }

    /// When it opens at the earliest, as far as that is known; `None` if only an operator can open
    /// it. `quiet_in_ms`: how long until nobody else can be signing.
    pub(crate) fn opens_in_ms(&self, council: &Council, quiet_in_ms: u64, now: Now) -> Option<u64> {
        match self {
            Self::Open => Some(0),
            // the next answer opens it, and partners are asked again and again
            Self::Waiting(it) if it.why == Why::Start && it.unseen.is_none() => {
                Some(limits::BEACON_MS)
            }
            Self::Waiting(it) => {
                let decided_in_ms = match it.first_answer_mono_ms {
                    None => limits::BEACON_MS,
                    Some(_) if council.has_decided(&it.answers) => 0,
                    Some(first) => {
                        limits::FENCE_GRACE_MS.saturating_sub(now.mono_ms.saturating_sub(first))
                    }
                };
                let quiet_in_ms = if it.why == Why::Start { 0 } else { quiet_in_ms };
                Some(quiet_in_ms.max(decided_in_ms))
            }
            // then partners are asked once more
            Self::Recovering { .. } => Some(quiet_in_ms.max(limits::BEACON_MS)),
            Self::Copied { .. } | Self::Forked(_) | Self::Suspended | Self::Ended | Self::Aside => {
                None
            }
        }
    }

    /// Who answered the question that is open.
    pub(crate) fn answers(&self) -> Option<&BTreeMap<Land, Answer>> {
        match self {
            Self::Waiting(it) => Some(&it.answers),
            Self::Open
            | Self::Recovering { .. }
            | Self::Copied { .. }
            | Self::Forked(_)
            | Self::Suspended
            | Self::Ended
            | Self::Aside => None,
        }
    }

    /// Entries of the own log came back; `durable` are here now. True when that was all: then the
    /// partners are asked once more.
    pub(crate) fn recovered(&self, durable: u64) -> bool {
        matches!(self, Self::Recovering { target } if durable >= *target)
    }

    /// How long it waited, when the policy allows to go on without an answer. Never while
    /// somebody else may sign: what the partners have seen of that is known to be missing here. And
    /// never from an empty disk or a copy: what was signed before is not here, or may not be.
    pub(crate) fn may_open_unfenced(
        &self,
        policy: FencePolicy,
        quiet: bool,
        now: Now,
    ) -> Option<u64> {
        let (Self::Waiting(it), FencePolicy::Available { after_ms }) = (self, policy) else {
            return None;
        };
        let waited_ms = now.mono_ms.saturating_sub(it.since_mono_ms);
        let safe = match it.why {
            Why::Start => true,
            Why::ClockJump | Why::Frozen | Why::Behind => quiet,
            Why::Empty | Why::Moved | Why::Doubt => false,
        };
        (safe && waited_ms >= after_ms).then_some(waited_ms)
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Waiting(it) if it.why == Why::Doubt => f.write_str(
                "waiting because somebody else seems to sign with the keys of this Land; if a \
                 copy of this node runs, stop it (publishing begins again when nobody else has \
                 signed for a while)",
            ),
            Self::Waiting(it) if it.answers.is_empty() => write!(
                f,
                "waiting {} for a node of another member to confirm our own log; publishing \
                 begins when one is reachable (check [[peers]] and the network), or set \
                 fence.policy = \"available\"",
                it.why
            ),
            Self::Waiting(it) => write!(
                f,
                "waiting {} for more members than {} to confirm our own log, at most {} s, and \
                 until nobody else has signed with its keys for a while (stop every copy of this \
                 node)",
                it.why,
                it.answers.keys().map(|it| it.code()).collect::<Vec<_>>().join(", "),
                limits::FENCE_GRACE_MS / 1_000
            ),
            Self::Recovering { target } => {
                write!(
                    f,
                    "our own log lacks entries that are signed; pulling it back from partners, up \
                     to {target} entries (if none of them has these, restore the newest copy of \
                     this node's data)"
                )
            }
            Self::Copied { size, .. } => write!(
                f,
                "stopped: another copy of this node signs with the same keys ({size} entries by \
                 now); stop all copies but one, then restart that one"
            ),
            Self::Aside => f.write_str(
                "stopped: the end of our own log here, which nobody has seen, is not what partners \
                 have; the node begins again without it",
            ),
            Self::Ended => f.write_str(
                "stopped: this epoch of our own log has ended; the node begins again in the next one",
            ),
            Self::Forked(fault) => write!(
                f,
                "stopped: our own log has two histories ({fault}); stop all copies of this node \
                 and keep the data of each"
            ),
            Self::Suspended => f.write_str(
                "stopped: the charter suspended this Land; what it writes does not count until the \
                 other members resume it",
            ),
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// True after a start from the disk that this node wrote last, when one has answered that knows
    /// all that is here, or that has seen the last of it before.
    fn is_answered(&self) -> bool {
        let knows = |size: u64| {
            let mut heads = self.answers.values().filter_map(|it| it.head);
            heads.any(|(known, _)| known >= size)
        };
        self.why == Why::Start && !self.answers.is_empty() && self.unseen.is_none_or(knows)
    }
}

// === impl Why ===

impl Why {
    fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Empty => "empty",
            Self::Moved => "moved",
            Self::ClockJump => "clock_jump",
            Self::Frozen => "frozen",
            Self::Behind => "behind",
            Self::Doubt => "doubt",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "after the start",
            Self::Empty => "after the start without an own log",
            Self::Moved => "after the start from a directory that was copied or restored",
            Self::ClockJump => "after a jump of the clock",
            Self::Frozen => "after a time in which this process stood still",
            Self::Behind => "after a partner knew more of our log",
            Self::Doubt => "after somebody else signed",
        })
    }
}

// === impl Council ===

impl Council {
    /// More than half of the others, or all this node would ask.
    fn has_decided(&self, answers: &BTreeMap<Land, Answer>) -> bool {
        let all = !self.partners.is_empty()
            && self.partners.iter().all(|land| answers.contains_key(land));
        all || answers.len() * 2 > self.others
    }
}
