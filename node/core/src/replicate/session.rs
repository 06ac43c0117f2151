//! One stream with a partner: what it said, what it asked for, what it was told.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::{log::VerbundId, terms::LogId, wire::peer::Hello};

use crate::{
    authorize::PeerIdentity,
    limits,
    now::Now,
    replicate::{Untold, fault::PeerFault, replica::HeadRank},
};

/// Names a stream between the shell and the core; never used twice in the life of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// State of a stream.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer: PeerIdentity,
    /// True when this node dialled.
    pub(crate) dialled: bool,
    said_hello: bool,
    opened_mono_ms: u64,
    /// When it asked for charters last.
    asked_charters_mono_ms: Option<u64>,
    /// Number of the charter it runs under.
    pub(crate) charter: u64,
    last_heard_mono_ms: u64,
    /// Entries the partner holds durably of each log, as far as it told.
    pub(crate) heads: BTreeMap<LogId, u64>,
    /// Epochs that ended, of which the partner holds all that counts.
    pub(crate) kept: BTreeSet<LogId>,
    /// The newest head of each log that the partner showed.
    shown: BTreeMap<LogId, HeadRank>,
    /// Whether it showed an older one afterwards.
    replayed: bool,
    /// What the partner follows here.
    pub(crate) serving: BTreeMap<LogId, Serving>,
    /// Logs of which the shell is sending a range; outlives the Follow it was read for, so that
    /// a partner cannot make the shell read many at once by following again and again.
    pub(crate) sending: BTreeSet<LogId>,
    /// Logs of which the shell reads a beginning for the partner.
    pub(crate) looking: BTreeSet<LogId>,
    /// Each log as last told to the partner.
    pub(crate) told: BTreeMap<LogId, Telling>,
    pub(crate) last_beacon_mono_ms: u64,
    /// Logs not asked for here until the given time, because it failed to deliver.
    pub(crate) avoid: BTreeMap<LogId, u64>,
    /// Receipts and cosignatures that the partner lacks.
    pub(crate) untold: Untold,
    /// Heads it may still tell or ask for.
    heads_allowed: Allowance,
    /// Beginnings it may still ask for.
    beginnings_allowed: Allowance,
    /// Receipts and cosignatures it may still tell.
    testimony_allowed: Allowance,
}

/// What of a log is told as soon as it changes, or with the next beacon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Telling {
    pub(crate) durable: u64,
    /// Entries of the newest head: it can grow within the second of its time.
    pub(crate) head: u64,
    pub(crate) fresh_unix_seconds: u64,
}

/// What may still come at `mono_ms`.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u64,
    mono_ms: u64,
}

/// A log the partner follows here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    pub(crate) next: u64,
    /// Bytes that may still be put under way. Below zero after a batch that began within the
    /// credit and ended beyond it: forgiving that would let more and more be under way.
    pub(crate) credit: i64,
    /// Number the partner gave this Follow.
    pub(crate) follow: u64,
    /// It wants what a reset keeps, proved by that and not by a checkpoint.
    pub(crate) kept: bool,
}

// === impl Session ===

impl Session {
    pub(crate) fn new(peer: PeerIdentity, dialled: bool, untold: Untold, now: Now) -> Self {
        let mono_ms = now.mono_ms;
        Self {
            peer,
            dialled,
            said_hello: false,
            opened_mono_ms: mono_ms,
            asked_charters_mono_ms: None,
            charter: 0,
            last_heard_mono_ms: now.mono_ms,
            heads: BTreeMap::new(),
            kept: BTreeSet::new(),
            shown: BTreeMap::new(),
            replayed: false,
            serving: BTreeMap::new(),
            sending: BTreeSet::new(),
            looking: BTreeSet::new(),
            told: BTreeMap::new(),
            last_beacon_mono_ms: now.mono_ms,
            avoid: BTreeMap::new(),
            untold,
            heads_allowed: Allowance { left: limits::HEADS_BURST_MAX, mono_ms },
            beginnings_allowed: Allowance { left: limits::BEGINNINGS_BURST_MAX, mono_ms },
            testimony_allowed: Allowance { left: limits::TESTIMONIES_BURST_MAX, mono_ms },
        }
    }

    pub(crate) fn heard(&mut self, now: Now) {
        self.last_heard_mono_ms = now.mono_ms;
    }

    pub(crate) fn is_silent(&self, now: Now) -> bool {
        now.mono_ms.saturating_sub(self.last_heard_mono_ms) > limits::PEER_SILENCE_MS
    }

    /// How long the stream has stood.
    pub(crate) fn age_ms(&self, now: Now) -> u64 {
        now.mono_ms.saturating_sub(self.opened_mono_ms)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.said_hello
    }

    /// Checks the introduction against the Verbund and the certificate.
    pub(crate) fn hello(&mut self, hello: &Hello, verbund: &VerbundId) -> Result<(), PeerFault> {
        if self.said_hello {
            return Err(PeerFault::HelloTwice);
        }
        if hello.verbund.as_ref() != verbund.as_bytes().as_slice() {
            let said = hex::encode(hello.verbund.get(..32).unwrap_or(&hello.verbund));
            return Err(PeerFault::OtherVerbund(said));
        }
        if hello.land != self.peer.land.code() || hello.node != self.peer.node {
            return Err(PeerFault::OtherIdentity {
                said: format!(
                    "{}/{}",
                    hello.land.chars().take(16).collect::<String>(),
                    hello.node.chars().take(255).collect::<String>()
                ),
                certified: format!("{}/{}", self.peer.land, self.peer.node),
            });
        }
        if hello.protocol_min > PROTOCOL || hello.protocol_max < PROTOCOL {
            return Err(PeerFault::NoCommonProtocol {
                min: hello.protocol_min,
                max: hello.protocol_max,
            });
        }
        self.said_hello = true;
        self.charter = hello.charter;
        Ok(())
    }

    /// The partner says whether it holds all `size` entries that count of an epoch that ended.
    pub(crate) fn tells_kept(&mut self, log: LogId, size: u64, kept: bool) {
        if kept {
            self.kept.insert(log);
            let held = self.heads.entry(log).or_default();
            *held = size.max(*held);
        } else {
            self.kept.remove(&log);
        }
    }

    /// The partner shows a head. If it is older than one it showed before: whether that is the
    /// first time.
    pub(crate) fn replays(&mut self, log: LogId, rank: HeadRank) -> Option<bool> {
        let newest = self.shown.entry(log).or_insert(rank);
        if rank >= *newest {
            *newest = rank;
            return None;
        }
        Some(!std::mem::replace(&mut self.replayed, true))
    }

    /// Counts heads that the partner tells or asks for, and signatures of resets: each costs the
    /// check of a signature, or an answer.
    pub(crate) fn spend(&mut self, heads: usize, now: Now) -> Result<(), PeerFault> {
        let (per_second, burst) = (limits::HEADS_PER_SECOND, limits::HEADS_BURST_MAX);
        self.heads_allowed.spend(heads, per_second, burst, now)
    }

    /// Notes that the partner asks for charters: each answer is read, encoded and kept until it is
    /// taken.
    pub(crate) fn may_ask_charters(&mut self, now: Now) -> Result<(), PeerFault> {
        let before = self.asked_charters_mono_ms.replace(now.mono_ms);
        let soon =
            |before: u64| now.mono_ms.saturating_sub(before) < limits::CHARTERS_SHOWN_EVERY_MS;
        if before.is_some_and(soon) { Err(PeerFault::AskedAgain) } else { Ok(()) }
    }

    /// Counts a beginning that the partner asks for: the disk is read for it.
    pub(crate) fn spend_beginning(&mut self, now: Now) -> Result<(), PeerFault> {
        let (per_second, burst) = (limits::BEGINNINGS_PER_SECOND, limits::BEGINNINGS_BURST_MAX);
        self.beginnings_allowed.spend(1, per_second, burst, now)
    }

    /// Counts receipts and cosignatures that the partner tells.
    pub(crate) fn spend_testimony(&mut self, items: usize, now: Now) -> Result<(), PeerFault> {
        let (per_second, burst) = (limits::TESTIMONIES_PER_SECOND, limits::TESTIMONIES_BURST_MAX);
        self.testimony_allowed.spend(items, per_second, burst, now)
    }

    pub(crate) fn avoids(&self, log: LogId, now: Now) -> bool {
        self.avoid.get(&log).is_some_and(|until| *until > now.mono_ms)
    }
}

// === impl Allowance ===

impl Allowance {
    fn spend(
        &mut self,
        items: usize,
        per_second: u64,
        burst: u64,
        now: Now,
    ) -> Result<(), PeerFault> {
        let passed_ms = now.mono_ms.saturating_sub(self.mono_ms);
        let earned = passed_ms.saturating_mul(per_second) / 1_000;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(burst);
            self.mono_ms = now.mono_ms;
        }
        self.left = self.left.checked_sub(items as u64).ok_or(PeerFault::TooFast)?;
        Ok(())
    }
}

/// The protocol version this software speaks.
pub const PROTOCOL: u32 = 1;
