//! What the node tells about itself; plain values for status, metrics and the UI.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::{log::Hash, terms::LogId};

use crate::authorize::PeerIdentity;

/// How this node stands to a log; from verified data progress, never from a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogState {
    /// Nothing verified yet.
    Bootstrapping,
    /// A verified head is known beyond what is durable.
    CatchingUp,
    /// Everything known is durable, and the owner signed lately.
    Live,
    /// The owner's signature has not advanced for [`crate::limits::STALE_AFTER_MS`].
    Stale,
    /// The log is no longer accepted.
    Quarantined,
    /// The charter suspended its owner: the log counts up to a place, and nothing comes.
    Suspended,
    /// The same, of an owner that was removed.
    Removed,
    /// A reset ended the epoch.
    Ended,
    /// It brought more than the quota that the charter gives its owner: more is taken as that refills.
    Slowed,
}

// === impl LogState ===

impl LogState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Bootstrapping,
        Self::CatchingUp,
        Self::Live,
        Self::Stale,
        Self::Quarantined,
        Self::Suspended,
        Self::Removed,
        Self::Ended,
        Self::Slowed,
    ];

    /// Name for metrics and status.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bootstrapping => "bootstrapping",
            Self::CatchingUp => "catching_up",
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Quarantined => "quarantined",
            Self::Suspended => "suspended",
            Self::Removed => "removed",
            Self::Ended => "ended",
            Self::Slowed => "slowed",
        }
    }
}

/// A log of the charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatus {
    /// The log.
    pub log: LogId,
    /// Entries durable here.
    pub size: u64,
    /// Entries of the newest verified head.
    pub known: u64,
    /// Freshness timestamp of that head, seconds since 1970-01-01 UTC; 0 when there is none.
    pub fresh_unix_seconds: u64,
    /// How far the clock of the owner is ahead of the one here, seconds, if so far that what it signs
    /// does not count as newer; else 0.
    pub ahead_seconds: u64,
    /// Recorded time of its newest entry here, milliseconds since 1970-01-01 UTC; 0 when empty.
    pub recorded_ms: i64,
    /// State.
    pub state: LogState,
    /// True when there is proof that the owner signed two histories.
    pub forked: bool,
    /// Entries that more than half of the members cosigned, as far as they are durable here. Of a
    /// forked log those from here on are disputed.
    pub cosigned: u64,
    /// Entries that count, if the charter suspended or removed the owner.
    pub ends_at: Option<u64>,
    /// Entries that count, if a reset ended the epoch; those behind are kept and do not.
    pub ends: Option<u64>,
}

/// What a partner holds of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLogStatus {
    /// The partner.
    pub peer: PeerIdentity,
    /// The log.
    pub log: LogId,
    /// Entries durable there, as it told.
    pub size: u64,
    /// Entries durable here that it lacks.
    pub lag: u64,
    /// State between the two.
    pub state: LogState,
}

/// A charter under which a partner runs and this node does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterCharter {
    /// Its number, as the partner says.
    pub number: u64,
    /// The partner.
    pub peer: PeerIdentity,
    /// How far this node is with following.
    pub state: LaterState,
}

/// How far a node is with following partners that run under a later charter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaterState {
    /// The votes may still come in the logs, or a partner is about to be asked.
    Waiting,
    /// A partner was asked for the next charters and their proofs.
    Asked,
    /// Proved charters came.
    Told,
    /// No partner that was asked could prove the next one.
    Unproved,
    /// A partner told one that keeps no rules that this software knows.
    Unreadable,
    /// A partner follows another charter in the place of the one in force here.
    Differs,
    /// What a partner showed as a proof is none.
    False,
    /// Proved charters came, and votes in the logs here say otherwise.
    Contradicted,
    /// Proved charters came, and this node can use or keep none of them.
    Stuck,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Logs in the order of their Land and epoch.
    pub logs: Vec<LogStatus>,
    /// Partners with a session that have introduced themselves.
    pub peers: Vec<PeerLogStatus>,
    /// Partners with a session, each once.
    pub connected: Vec<PeerIdentity>,
    /// "open", or why nothing is signed.
    pub fence: String,
    /// True when publishing is possible.
    pub fence_open: bool,
    /// True when another copy of this node signs with the same keys.
    pub copied: bool,
    /// True if a key of the Land did not sign when it was asked last: publishing fails until it does.
    pub signing_failed: bool,
    /// Submissions that wait.
    pub submissions_waiting: usize,
    /// A later charter under which a partner runs.
    pub later_charter: Option<LaterCharter>,
    /// Resets that partners told and that would count here if the charter listed them.
    pub resets_told: ResetsTold,
}

/// Digests of resets by the epoch that each would end, few of each.
pub type ResetsTold = BTreeMap<LogId, BTreeSet<Hash>>;
