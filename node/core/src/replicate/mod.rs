//! Replication: sessions with partners, the logs they carry, and which partner serves which log.
//!
//! Never learns about submissions; the own log is a replica that grows by commits.

mod book;
mod charters;
mod common;
mod convict;
mod doubts;
mod entries;
mod epochs;
mod fault;
mod hidden;
mod plan;
mod receive;
mod replica;
mod serve;
mod session;
mod testimony;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use registry_proto::{
    charter::{Charter, Standing},
    epoch::TakenReset,
    log::{Cosigned, Hash, VerbundId},
    receipt::SignedReceipt,
    terms::{Land, LogId},
    wire::peer::{AskHeads, Beacon, Head, Heads, Hello, peer_message::Message},
};

pub use book::Book;
use charters::Asking;
pub use charters::{ChartersAsked, Hindrance, ProvedCharters, ToldCharters, VerifiedCharters};
use common::Common;
pub use common::Look;
pub use doubts::{Examination, Found};
pub use fault::{Lapse, OwnerFault, PeerFault};
use hidden::Hidden;
pub use hidden::Seen;
pub(crate) use replica::{Accepted, Came, Kept, Others, Proved, Replica};
pub use replica::{RecoveredLog, Store};
pub use session::{PROTOCOL, SessionId};
pub(crate) use session::{Session, Telling};
pub use testimony::Attest;
pub(crate) use testimony::{Testimony, Untold};

use crate::{
    authorize::PeerIdentity,
    limits,
    now::Now,
    status::{LogState, PeerLogStatus, ResetsTold},
};

/// What replication wants done. The shell performs it in this order.
#[derive(Debug)]
pub enum Wish {
    /// Send a message; small, goes before ranges.
    Send {
        /// To whom.
        session: SessionId,
        /// What.
        message: Message,
    },
    /// Read entries from disk and send them as one batch.
    SendRange(SendRange),
    /// Write a group.
    Store(Store),
    /// Sign and keep what this Land states.
    Attest(Attest),
    /// Keep a receipt of another Land.
    KeepReceipt(SignedReceipt),
    /// Keep a cosignature under what is here.
    KeepCosigned(Cosigned),
    /// Look at the disk.
    Examine(Examination),
    /// Read a root and what leads from it.
    Look(Look),
    /// Keep evidence; it is passed on already.
    KeepEvidence {
        /// The log that was forked.
        log: LogId,
        /// Encoded evidence.
        raw: bytes::Bytes,
        /// Then begin again: what is here of the log may be another history than the one that counts.
        begin_again: bool,
    },
    /// Keep a reset that is complete, and begin again under it.
    KeepReset(TakenReset),
    /// Begin again: what is here of the log is another history than the one that counts, or, of the
    /// own log that is written, its end is.
    SetAside(LogId),
    /// Answer a partner that asked for later charters.
    ShowCharters(ChartersAsked),
    /// Verify charters that a partner told.
    VerifyCharters(ToldCharters),
    /// Follow charters that a partner told and proved.
    FollowCharters(ProvedCharters),
    /// End a stream.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// Tell the operator.
    Report(Report),
}

/// A range of a log to send: from `from` up to `upto` or as far as `bytes` reach, at least one
/// entry, under the checkpoint `note`.
///
/// The shell MUST answer each with `Input::RangeSent` or `Input::RangeFailed` as long as the
/// session stands: no other range of the log is sent there before.
#[derive(Clone, Debug)]
pub struct SendRange {
    /// To whom.
    pub session: SessionId,
    /// The log.
    pub log: LogId,
    /// First index.
    pub from: u64,
    /// End, exclusive; the size `note` signs, or a reset keeps.
    pub upto: u64,
    /// Bytes of headers, salts and bodies in the batch.
    pub bytes: usize,
    /// Signed checkpoint; empty if the batch is to be proved under the root of a reset.
    pub note: bytes::Bytes,
    /// Number of the Follow it serves; goes into the batch.
    pub follow: u64,
    /// True if it goes to the owner of the log: that takes entries back without bodies that it erased
    /// behind what counts, and erases them again.
    pub to_owner: bool,
}

/// Why a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The pair has another stream.
    Duplicate,
    /// Nothing was heard for too long.
    Silent,
    /// The partner broke the protocol.
    Fault(PeerFault),
}

/// Something an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A partner broke the protocol.
    PeerFault {
        /// Who.
        peer: PeerIdentity,
        /// What it did.
        fault: PeerFault,
    },
    /// A partner failed to do something, or did it in vain.
    Lapse {
        /// Who.
        peer: PeerIdentity,
        /// What.
        lapse: Lapse,
    },
    /// A log is no longer accepted.
    LogStopped {
        /// Who passed on the proof of it.
        peer: PeerIdentity,
        /// What its owner did.
        fault: OwnerFault,
    },
    /// A partner runs under a later charter. Its votes are on their way here, or in a part of a log
    /// that counts no longer; then the partner is asked for it.
    LaterCharter {
        /// Who.
        peer: PeerIdentity,
        /// Number of its charter.
        number: u64,
    },
    /// A partner told that an epoch of a log has ended.
    EpochEnded {
        /// Who.
        peer: PeerIdentity,
        /// The epoch.
        log: LogId,
        /// Entries of it that count.
        size: u64,
    },
    /// A log brought more than its quota, and is taken slower.
    OverQuota {
        /// The log.
        log: LogId,
    },
    /// The owner of a log signs times that are ahead of the clock here, so far that what it signs does
    /// not count as newer: the log looks stale.
    Ahead {
        /// The log.
        log: LogId,
        /// How far.
        ms: i64,
    },
    /// A partner showed an older head of a log than on the same stream before. It takes nothing
    /// back; an honest node never does it.
    Replayed {
        /// Who.
        peer: PeerIdentity,
        /// The log.
        log: LogId,
        /// False if it did that on this stream already.
        first: bool,
    },
    /// A partner refused to serve a log.
    Refused {
        /// Who.
        peer: PeerIdentity,
        /// The log.
        log: LogId,
    },
}

/// All sessions and logs of a node.
#[derive(Debug)]
pub(crate) struct Replication {
    verbund: VerbundId,
    charter: Charter,
    /// Those in force before it, oldest first.
    past: Vec<Charter>,
    me: PeerIdentity,
    own: LogId,
    replicas: BTreeMap<LogId, Replica>,
    /// By the epoch that each ended.
    resets: BTreeMap<LogId, TakenReset>,
    /// Told by partners; they do not count here, and would if the charter listed them.
    resets_told: ResetsTold,
    sessions: BTreeMap<SessionId, Session>,
    testimony: Testimony,
    common: Common,
    asking: Asking,
    hidden: Hidden,
    wishes: VecDeque<Wish>,
}

/// What a partner said that concerns more than replication.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// What a member holds durably of the own log.
    OwnLog {
        /// Which session said so.
        session: SessionId,
        /// Land of the partner.
        member: Land,
        /// Entries of the own log it holds.
        size: u64,
        /// Nonce of the question it answers; 0 when nobody asked.
        nonce: u64,
        /// The newest head it knows, if it says so here.
        shown: Option<Shown>,
    },
    /// The own log has two signed heads.
    OwnLogForked(OwnerFault),
    /// The end of the own log here, which nobody has seen, is not what partners have.
    OwnEndContradicted,
    /// The own epoch has ended.
    EpochEnded,
}

/// A verified head of the own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// When it was signed.
    pub(crate) unix_seconds: u64,
    /// True for the first that is said of the own log on this stream.
    pub(crate) first: bool,
}

// === impl Replication ===

impl Replication {
    pub(crate) fn new(
        charter: Charter,
        me: PeerIdentity,
        own: LogId,
        replicas: Vec<Replica>,
    ) -> Self {
        Self {
            verbund: charter.id(),
            charter,
            past: Vec::new(),
            me,
            own,
            replicas: replicas.into_iter().map(|it| (it.log(), it.of(own.land))).collect(),
            resets: BTreeMap::new(),
            resets_told: ResetsTold::new(),
            sessions: BTreeMap::new(),
            testimony: Testimony::default(),
            common: Common::default(),
            asking: Asking::default(),
            hidden: Hidden::default(),
            wishes: VecDeque::new(),
        }
    }

    pub(crate) fn wishes(&mut self) -> std::collections::vec_deque::Drain<'_, Wish> {
        self.wishes.drain(..)
    }

    pub(crate) fn replica(&self, log: LogId) -> Option<&Replica> {
        self.replicas.get(&log)
    }

    /// All logs in the order of (Land, epoch).
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.values()
    }

    pub(crate) fn replica_mut(&mut self, log: LogId) -> Option<&mut Replica> {
        self.replicas.get_mut(&log)
    }

    /// A stream stands. If the pair has two, that of the lower node id stays.
    pub(crate) fn opened(
        &mut self,
        id: SessionId,
        peer: PeerIdentity,
        dialled: bool,
        now: Now,
    ) -> bool {
        // only a copy of this node, or a thief, has its certificate
        if peer == self.me {
            let fault = PeerFault::OwnIdentity;
            self.wishes.push_back(Wish::Report(Report::PeerFault { peer, fault: fault.clone() }));
            self.close(id, CloseReason::Fault(fault));
            return false;
        }
        let preferred_dialled = self.me < peer;
        let twin = self.sessions.iter().find(|(_, it)| it.peer == peer);
        if let Some((&other, twin)) = twin {
            if twin.dialled == preferred_dialled && dialled != preferred_dialled {
                self.close(id, CloseReason::Duplicate);
                return false;
            }
            self.close(other, CloseReason::Duplicate);
            self.closed(other, now);
        }
        let untold = self.all_untold();
        self.sessions.insert(id, Session::new(peer, dialled, untold, now));
        self.send(
            id,
            Message::Hello(Hello {
                verbund: bytes::Bytes::copy_from_slice(self.verbund.as_bytes()),
                land: self.me.land.code().to_owned(),
                node: self.me.node.clone(),
                protocol_min: PROTOCOL,
                protocol_max: PROTOCOL,
                features: Vec::new(),
                charter: self.charter.number(),
            }),
        );
        // before the heads: of an epoch that ended nothing is to be learned any more, and of a log
        // with two histories nothing is to be asked for by its heads
        self.send_resets(id);
        self.send_evidence(id);
        self.send_heads(id, 0, now);
        true
    }

    /// A stream ended.
    pub(crate) fn closed(&mut self, id: SessionId, now: Now) {
        if self.sessions.remove(&id).is_none() {
            return;
        }
        for replica in self.replicas.values_mut() {
            if replica.source.is_some_and(|it| it.session == id) {
                replica.source = None;
            }
        }
        self.plan(now);
    }

    /// Asks every open partner for its heads.
    pub(crate) fn ask_heads(&mut self, nonce: u64) {
        let open: Vec<_> =
            self.sessions.iter().filter(|(_, it)| it.is_open()).map(|(id, _)| *id).collect();
        for id in open {
            self.send(id, Message::AskHeads(AskHeads { nonce }));
        }
    }

    /// Asks one partner for its heads, if it has introduced itself.
    pub(crate) fn ask_heads_of(&mut self, id: SessionId, nonce: u64) {
        if self.sessions.get(&id).is_some_and(Session::is_open) {
            self.send(id, Message::AskHeads(AskHeads { nonce }));
        }
    }

    /// Silent partners, beacons, sources that stall.
    pub(crate) fn tick(&mut self, now: Now) {
        let silent: Vec<_> =
            self.sessions.iter().filter(|(_, it)| it.is_silent(now)).map(|(id, _)| *id).collect();
        for id in silent {
            self.lapse(id, Lapse::Silent);
            self.close(id, CloseReason::Silent);
            self.closed(id, now);
        }
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        for id in ids {
            self.beacon(id, now);
        }
        self.testify(now);
        self.compare(now);
        self.ask_charters(now);
        self.plan(now);
    }

    /// State of a log for status and metrics.
    pub(crate) fn state(&self, log: LogId, now: Now) -> LogState {
        let Some(replica) = self.replicas.get(&log) else { return LogState::Bootstrapping };
        let ends = replica.ends();
        if ends.is_some_and(|it| replica.durable() >= it) {
            return LogState::Ended;
        }
        if replica.stopped().is_some() && ends.is_none() {
            return LogState::Quarantined;
        }
        match replica.standing() {
            Standing::Active => {}
            Standing::Suspended(_) => return LogState::Suspended,
            Standing::Removed(_) => return LogState::Removed,
        }
        match replica.head() {
            // whatever heads there are: what the reset keeps is not here
            _ if ends.is_some() => LogState::CatchingUp,
            None => LogState::Bootstrapping,
            // also while entries are missing: whoever withholds them may withhold newer heads too
            Some(_) if replica.is_stale(now) => LogState::Stale,
            Some(head) if head.size() > replica.durable() && replica.is_slowed() => {
                LogState::Slowed
            }
            Some(head) if head.size() > replica.durable() => LogState::CatchingUp,
            Some(_) => LogState::Live,
        }
    }

    /// What partners hold, per (peer, log).
    pub(crate) fn peers(&self, now: Now) -> Vec<PeerLogStatus> {
        let mut all = Vec::new();
        for session in self.sessions.values().filter(|it| it.is_open()) {
            for (log, replica) in &self.replicas {
                let size = session.heads.get(log).copied().unwrap_or_default();
                let lag = replica.durable().saturating_sub(size);
                let state = match self.state(*log, now) {
                    LogState::Live if lag > 0 => LogState::CatchingUp,
                    other => other,
                };
                all.push(PeerLogStatus { peer: session.peer.clone(), log: *log, size, lag, state });
            }
        }
        all
    }

    fn send(&mut self, session: SessionId, message: Message) {
        self.wishes.push_back(Wish::Send { session, message });
    }

    fn close(&mut self, session: SessionId, reason: CloseReason) {
        self.wishes.push_back(Wish::Close { session, reason });
    }

    fn fault(&mut self, id: SessionId, fault: PeerFault, now: Now) {
        if let Some(session) = self.sessions.get(&id) {
            let peer = session.peer.clone();
            self.wishes.push_back(Wish::Report(Report::PeerFault { peer, fault: fault.clone() }));
        }
        self.close(id, CloseReason::Fault(fault));
        self.closed(id, now);
    }

    fn lapse(&mut self, id: SessionId, lapse: Lapse) {
        let peer = self.sessions.get(&id).map(|it| it.peer.clone());
        self.wishes.extend(peer.map(|peer| Wish::Report(Report::Lapse { peer, lapse })));
    }

    fn send_heads(&mut self, id: SessionId, nonce: u64, now: Now) {
        let shown = self.replicas.values().filter(|it| !self.hides(it.log()));
        let heads: Vec<Head> = shown.map(Replica::announce).collect();
        let told = self.telling();
        if let Some(session) = self.sessions.get_mut(&id) {
            session.told = told;
            session.last_beacon_mono_ms = now.mono_ms;
        }
        self.send(id, Message::Heads(Heads { heads, nonce }));
    }

    fn telling(&self) -> BTreeMap<LogId, Telling> {
        let shown = self.replicas.iter().filter(|(log, _)| !self.hides(**log));
        shown.map(|(log, it)| (*log, telling(it))).collect()
    }

    fn beacon(&mut self, id: SessionId, now: Now) {
        let hidden = self.hidden_log();
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let due = now.mono_ms.saturating_sub(session.last_beacon_mono_ms) >= limits::BEACON_MS;
        let mut heads = Vec::new();
        for (log, replica) in self.replicas.iter().filter(|(log, _)| Some(**log) != hidden) {
            let telling = telling(replica);
            let told = session.told.get(log).copied().unwrap_or_default();
            let grew = telling.durable != told.durable;
            if grew || (due && telling != told) {
                heads.push(replica.announce());
                session.told.insert(*log, telling);
            }
        }
        if due || !heads.is_empty() {
            session.last_beacon_mono_ms = now.mono_ms;
            self.send(id, Message::Beacon(Beacon { heads }));
        }
    }
}

fn telling(replica: &Replica) -> Telling {
    let head = replica.head();
    Telling {
        durable: replica.durable(),
        head: head.map_or(0, |it| it.size()),
        fresh_unix_seconds: head.map_or(0, |it| it.fresh_unix_seconds),
    }
}
