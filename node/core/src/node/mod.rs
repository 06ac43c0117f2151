//! One node: the closed list of what can happen to it ([`Input`]) and of what it wants done
//! ([`Effect`]).
//!
//! `handle` is the only way in and `effects` the only way out. The driver of the shell and the
//! simulator call the same two functions.

mod auditing;
mod effect;
mod epochs;
mod fencing;
mod input;
mod recovered;
mod signing;
#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    collections::{BTreeSet, VecDeque},
};

use registry_proto::{
    charter::Charter,
    epoch::{self, TakenReset},
    log::{Cosigned, Origin, SignedCheckpoint},
    receipt::SignedReceipt,
    terms::{Land, LogId},
    wire::peer::peer_message::Message,
};

pub use effect::{Effect, Notice};
use fencing::OwnLogSaid;
pub use input::{Input, Learned};

use crate::{
    audit::Anchoring,
    authorize::PeerIdentity,
    fence::{Copies, Council, Fence, FencePolicy, Ordered, Pulse, Why},
    limits,
    log::{OwnLog, OwnServices, Published, Rest, Ticket, WaitingRoom},
    now::Now,
    quota::Allowance,
    reject::Reject,
    replicate::{Heard, RecoveredLog, Replication, Seen, SessionId, Wish},
    status::{LogStatus, Status},
    submission::{Entropy, Submission},
};

/// What a node is told at its start.
#[derive(Debug)]
pub struct Setup {
    /// The charter.
    pub charter: Charter,
    /// Those in force before it, oldest first: resets that it lists were complete under one of them.
    pub past: Vec<Charter>,
    /// This node; its Land MUST be a member.
    pub me: PeerIdentity,
    /// Logs found on disk; logs of members that are not named are empty.
    pub logs: Vec<RecoveredLog>,
    /// The records of the own Land, of all epochs as far as they count.
    pub services: OwnServices,
    /// Resets that are kept here, one for each epoch that ended. A member whose epochs up to one
    /// have ended writes the next one.
    pub resets: Vec<TakenReset>,
    /// Evidence that is kept here; what does not verify is left out.
    pub evidence: Vec<bytes::Bytes>,
    /// The newest receipts that are kept here, of each holder and log.
    pub receipts: Vec<SignedReceipt>,
    /// The newest cosignatures that are kept here, of each witness and log.
    pub cosigned: Vec<Cosigned>,
    /// How much of the own log others are known to have seen, as far as it is a beginning of what is on
    /// the disk: the rest is shown to nobody before enough have answered.
    pub seen: Seen,
    /// What to do when no partner answers the fence.
    pub fence: FencePolicy,
    /// Members whose nodes this one dials: when all of them have answered, a fence opens.
    pub partners: BTreeSet<Land>,
    /// True when the own log may be a copy: its directory is not the one this node wrote last, or
    /// another copy was seen.
    pub moved: bool,
    /// How long nobody else may have signed before a node that was copied, restored or behind
    /// signs again, milliseconds; [`limits::FENCE_QUIET_MS`] unless configured.
    pub quiet_ms: u64,
    /// 32 fresh random bytes, for the salts of entries the node itself writes.
    pub entropy: [u8; 32],
}

/// A node.
#[derive(Debug)]
pub struct Node {
    charter: Charter,
    own: OwnLog,
    own_failed: bool,
    folded: u64,
    room: WaitingRoom,
    replication: Replication,
    fence: Fence,
    fence_policy: FencePolicy,
    fence_asked_mono_ms: u64,
    /// Partners are asked once more, as soon as they may be.
    fence_asks_again: bool,
    nonce: u64,
    council: Council,
    copies: Copies,
    /// Entries of the own log that were here before others came back, until the log says so.
    recovered_from: Option<u64>,
    /// Of the epochs of the own Land that ended, one is not here as far as it counts: nothing is
    /// signed in this life.
    lacks_past: bool,
    pulse: Pulse,
    /// When the own head is signed anew if nothing else is signed before.
    freshen_due_mono_ms: u64,
    freshening: bool,
    /// When it was asked last, a key did not sign.
    signing_failed: bool,
    /// Until then a key that did not sign what the node itself has to say is not asked again, unless
    /// somebody publishes.
    key_rests_until_mono_ms: u64,
    entropy: Entropy,
    name: String,
    audit: Anchoring,
    effects: VecDeque<Effect>,
}

// === impl Node ===

impl Node {
    /// Starts from what is on disk. The fence is closed unless the Land is alone.
    ///
    /// # Errors
    ///
    /// The Land when it is no member of the charter.
    pub fn new(setup: Setup, now: Now) -> Result<Self, NotAMember> {
        let Setup {
            charter,
            past,
            me,
            logs,
            services,
            resets,
            evidence,
            receipts,
            cosigned,
            seen,
            fence: fence_policy,
            partners,
            moved,
            quiet_ms,
            entropy,
        } = setup;
        let member = charter.member(me.land).ok_or(NotAMember(me.land))?;
        let own_id = epoch::newest(member.land, &resets);
        let recorded_ms = epochs::recorded_ms(member.land, &logs);
        let own = logs.iter().find(|it| it.log == own_id);
        let pulled = own.and_then(|it| it.pulled_from);
        let frontier = own.map(|it| it.frontier.clone()).unwrap_or_default();
        let replicas = epochs::replicas(&charter, &resets, logs, now);
        let lacks_past = epochs::lacks_past(own_id, &replicas);
        let origin = Origin { verbund: charter.id(), log: own_id };
        let allowance = Allowance::new(member.quota, 1, now);
        let own = OwnLog::new(origin, frontier, services, recorded_ms, allowance);
        let others = charter.voters().filter(|it| it.land != me.land).count();
        let signed = replicas.iter().find(|it| it.log() == own_id).and_then(|it| it.head());
        let known = signed.map_or(0, |it| it.fresh_unix_seconds);
        let ahead = signed.map(SignedCheckpoint::size).filter(|it| *it > own.durable());
        let fence = match (ahead, others) {
            // a recovery that had not ended
            (Some(target), _) => Fence::Recovering { target },
            (None, 0) if !lacks_past => Fence::Open,
            (None, _) => Fence::closed(why_started(own.durable(), pulled, moved), 1, now),
        };
        let name = me.node.clone();
        let recovered_from = pulled.or_else(|| ahead.map(|_| own.durable()));
        let mut replication = Replication::new(charter.clone(), me, own_id, replicas);
        replication.ended(resets, past);
        replication.recall(receipts, cosigned);
        let forked = replication.remember(&evidence).map(Fence::Forked);
        let suspended = charter.member(own_id.land).filter(|it| !it.is_active());
        let suspended = suspended.map(|_| Fence::Suspended);
        let kept_back = || fencing::kept_back(fence, own.durable(), seen, &mut replication);
        let fence = suspended.or(forked).unwrap_or_else(kept_back);
        Ok(Self {
            replication,
            charter,
            own,
            own_failed: false,
            folded: 0,
            room: WaitingRoom::default(),
            fence,
            fence_policy,
            fence_asked_mono_ms: now.mono_ms,
            fence_asks_again: false,
            nonce: 1,
            council: Council { partners, others },
            copies: Copies::new(known, moved, quiet_ms, now),
            recovered_from,
            lacks_past,
            pulse: Pulse::new(now),
            freshen_due_mono_ms: 0,
            freshening: false,
            signing_failed: false,
            key_rests_until_mono_ms: 0,
            entropy: Entropy::new(entropy),
            name,
            audit: Anchoring::new(now),
            effects: VecDeque::new(),
        })
    }

    /// Takes one input; what is to be done is in [`Node::effects`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input) {
        // before anything else: a machine that was asleep, a process that stood still, or a copy
        // of one, must not sign what it still has at hand
        if let Some(why) = self.pulse.beat(now) {
            self.woke(why, now);
        }
        self.begin(now);
        match input {
            Input::Submit { ticket, submission } => self.submit(ticket, submission, now),
            Input::Vote { ticket, principal, body } => self.vote(ticket, &principal, body, now),
            Input::Committed { signed } => self.committed(signed, now),
            Input::CommitFailed => self.commit_failed(),
            Input::CommitUnsigned => self.commit_unsigned(now),
            Input::CommitVoid => self.commit_void(now),
            Input::FreshenFailed => self.freshen_failed(now),
            // asked of the next tick behind an open fence
            Input::FreshenVoid => self.freshening = false,
            Input::Freshened { signed } => self.freshened(signed, now),
            Input::Stored { log, learned } => self.stored(log, &learned, now),
            Input::StoreFailed { log } => self.store_failed(log, now),
            Input::Erasing { log, by } => self.replication.erasing(log, by),
            Input::Erased { log, by } => self.replication.carried_out(log, by),
            Input::Folded { size } => self.fold_reached(size),
            Input::SessionOpened { session, peer, dialled } => {
                self.replication.opened(session, peer, dialled, now);
            }
            Input::SessionClosed { session } => self.replication.closed(session, now),
            Input::Received { session, message } => self.received(session, message, now),
            Input::RangeSent { range, next, bytes } => {
                self.replication.range_sent(&range, next, bytes);
            }
            Input::RangeFailed { range } => self.replication.range_failed(&range),
            Input::Attested { log, receipt, cosigned } => {
                self.replication.attested(log, receipt.map(|it| *it), cosigned.map(|it| *it));
            }
            Input::Examined { examination, found } => {
                let heard = self.replication.examined(&examination, found.as_ref());
                self.heed(heard, now);
                // the disk has said how the own log stands to what a partner showed
                self.fence_asks_again |= self.replication.hides(examination.log);
            }
            Input::Looked { look, found } => self.replication.looked(&look, found.as_ref(), now),
            Input::VerifiedCharters { session, verified } => {
                self.replication.verified_charters(session, verified.map(|it| *it), now);
            }
            Input::Hindered { peer, why } => self.replication.hindered(&peer, why, now),
            Input::Audited { head, soon } => self.audit.grew(head, soon),
            Input::Stopping => self.stopping(),
            Input::Tick => self.tick(now),
            Input::Due => {}
        }
        self.begin(now);
        self.anchor(now);
        self.commit(now);
        self.collect();
    }

    /// When the node last took an input. The shell MUST know it wherever something is signed, after
    /// each input and before what that wants done.
    pub fn pulse(&self) -> Pulse {
        self.pulse
    }

    /// What is to be done, in this order.
    pub fn effects(&mut self) -> std::collections::vec_deque::Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// How long submissions may be left where they wait, because groups are made of them; `None` if
    /// each is to be brought at once. It ends with its time, for which the node wants
    /// [`Input::Due`] (a later tick does as well, and makes publishers wait for it), with as many
    /// submissions, and with any other input.
    pub fn rest(&self) -> Option<Rest> {
        self.may_commit().then(|| self.own.rest()).flatten()
    }

    /// The node in numbers.
    pub fn status(&self, now: Now) -> Status {
        let logs = self
            .replication
            .replicas()
            .map(|it| LogStatus {
                log: it.log(),
                size: it.durable(),
                known: it.known(),
                fresh_unix_seconds: it.head().map_or(0, |head| head.fresh_unix_seconds),
                ahead_seconds: u64::try_from(it.ahead_ms() / 1_000).unwrap_or_default(),
                recorded_ms: it.durable_recorded_ms(),
                state: self.replication.state(it.log(), now),
                forked: it.evidence().is_some(),
                cosigned: self.replication.majority(it.log()).min(it.durable()),
                ends_at: it.cut().filter(|cut| cut.epoch == it.log().epoch).map(|cut| cut.size),
                ends: it.ends(),
            })
            .collect();
        let peers = self.replication.peers(now);
        let mut connected: Vec<_> = peers.iter().map(|it| it.peer.clone()).collect();
        connected.dedup();
        Status {
            logs,
            peers,
            connected,
            fence: self.fence_text(),
            fence_open: self.fence.is_open() && !self.own_failed,
            copied: matches!(self.fence, Fence::Copied { .. }),
            signing_failed: self.signing_failed,
            submissions_waiting: self.room.len(),
            later_charter: self.replication.later_charter(now),
            resets_told: self.replication.resets_told().clone(),
        }
    }

    fn submit(&mut self, ticket: Ticket, submission: Submission, now: Now) {
        if let Err(reject) = self.may_submit(&submission, now) {
            self.effects.push_back(Effect::Reply { ticket, outcome: Err(reject) });
            return;
        }
        self.wake_key(now);
        match self.own.submit(ticket, submission, self.room.len(), now) {
            Ok(crate::log::Outcome::Answered(answer)) => {
                self.effects.push_back(Effect::Reply { ticket, outcome: Ok(answer) });
            }
            Ok(crate::log::Outcome::Waits(waiting)) => {
                self.room.enter(waiting);
                self.answer_folded();
            }
            Err(reject) => self.effects.push_back(Effect::Reply { ticket, outcome: Err(reject) }),
        }
    }

    fn may_submit(&self, submission: &Submission, now: Now) -> Result<(), Reject> {
        if !submission.is_permitted() || submission.needs_second() {
            return Err(Reject::Denied {
                action: "publish",
                reason: "the rules of the sender do not cover every record, or not alone"
                    .to_owned(),
            });
        }
        self.may_write(now)
    }

    fn vote(&mut self, ticket: Ticket, principal: &str, body: bytes::Bytes, now: Now) {
        let salt = self.entropy.salt();
        let staged = self.may_write(now).and_then(|()| {
            self.wake_key(now);
            let staged = self.own.stage_vote(principal, body, salt, now);
            staged.map_err(|_| Reject::Storage { operation: "encoding the vote" })
        });
        let outcome =
            staged.map(|()| Published { records: Vec::new(), acknowledged_by: Vec::new() });
        self.effects.push_back(Effect::Reply { ticket, outcome });
    }

    fn may_write(&self, now: Now) -> Result<(), Reject> {
        if self.own_failed {
            return Err(own_log_failed());
        }
        if !self.fence.is_open() {
            return Err(self.fenced(now));
        }
        if self.room.len() >= limits::SUBMISSIONS_WAITING_MAX {
            return Err(Reject::Busy {
                limit: "submissions waiting",
                max: limits::SUBMISSIONS_WAITING_MAX as u64,
            });
        }
        Ok(())
    }

    fn commit(&mut self, now: Now) {
        if !self.may_commit() {
            return;
        }
        let fresh = self.own_head().map_or(0, |it| it.fresh_unix_seconds);
        let signed_ms = i64::try_from(fresh.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let ordered = Ordered::between(self.pulse);
        if let Some(commit) = self.own.take_commit(signed_ms, ordered, now) {
            self.effects.push_back(Effect::Commit(commit));
        }
    }

    fn may_commit(&self) -> bool {
        !self.own_failed && self.fence.is_open()
    }

    fn committed(&mut self, signed: SignedCheckpoint, now: Now) {
        let log = self.own.origin().log;
        self.own.committed(signed.size());
        self.audit.committed(signed.size());
        self.copies.signed(signed.fresh_unix_seconds, now);
        self.signed(now);
        let recorded_ms = self.own.sealed_recorded_ms();
        if let Some(replica) = self.replication.replica_mut(log) {
            replica.grew(signed, recorded_ms, now);
        }
        self.replication.pump_followers(log);
        self.answer_folded();
    }

    fn commit_failed(&mut self) {
        self.own_failed = true;
        self.own.discard();
        let mut due = Vec::new();
        self.room.fail(self.own.durable(), &own_log_failed(), &mut due);
        self.reply(due);
        self.effects.push_back(Effect::Report(Notice::OwnLogFailed));
    }

    fn freshened(&mut self, signed: SignedCheckpoint, now: Now) {
        self.freshening = false;
        self.signed(now);
        self.copies.signed(signed.fresh_unix_seconds, now);
        let log = self.own.origin().log;
        // a commit, or entries that came back, may have overtaken it
        if let Some(replica) =
            self.replication.replica_mut(log).filter(|it| it.durable() == signed.size())
        {
            let recorded_ms = replica.durable_recorded_ms();
            replica.grew(signed, recorded_ms, now);
        }
    }

    fn stored(&mut self, log: LogId, learned: &[Learned], now: Now) {
        self.replication.stored(log, now);
        self.past_stored(log);
        if log != self.own.origin().log {
            return;
        }
        let Some(replica) = self.replication.replica(log) else { return };
        let all_durable = replica.durable() == replica.received();
        let (frontier, recorded) =
            (replica.received_frontier().clone(), replica.durable_recorded_ms());
        for entry in learned {
            if let Ok(header) = registry_proto::log::Header::parse(&entry.header) {
                let leaf = registry_proto::log::leaf_hash(&entry.header);
                self.own.services_mut().learn(&header, leaf, Some(&entry.body));
            }
        }
        if all_durable {
            self.own.recovered(frontier, recorded);
            if self.fence.recovered(self.own.durable()) {
                self.replication.recovered_own();
                self.close_fence(Why::Behind, now);
            }
        }
    }

    fn store_failed(&mut self, log: LogId, now: Now) {
        self.effects.push_back(Effect::Report(Notice::LogFailed { log }));
        if log == self.own.origin().log {
            self.commit_failed();
        }
        self.replication.abandon(log, now);
    }

    fn fold_reached(&mut self, size: u64) {
        self.folded = self.folded.max(size);
        self.answer_folded();
    }

    fn answer_folded(&mut self) {
        let mut due = Vec::new();
        self.room.folded(self.folded.min(self.own.durable()), &mut due);
        self.reply(due);
    }

    fn reply(&mut self, due: Vec<(Ticket, Result<Published, Reject>)>) {
        self.effects
            .extend(due.into_iter().map(|(ticket, outcome)| Effect::Reply { ticket, outcome }));
    }

    fn received(&mut self, session: SessionId, message: Message, now: Now) {
        let hello = matches!(message, Message::Hello(_));
        let heard = self.replication.received(session, message, now);
        self.heed(heard, now);
        // a partner that has just introduced itself is asked what the fence waits for
        if hello && let Some(nonce) = self.fence.nonce() {
            self.replication.ask_heads_of(session, nonce);
        }
    }

    /// Draws from what partners said what it means for the own log.
    fn heed(&mut self, heard: impl IntoIterator<Item = Heard>, now: Now) {
        for heard in heard {
            match heard {
                Heard::OwnLogForked(fault) => self.shut(Fence::Forked(fault), now),
                Heard::EpochEnded => self.shut(Fence::Ended, now),
                Heard::OwnEndContradicted => self.shut(Fence::Aside, now),
                Heard::OwnLog { session, member, size, nonce, shown } => {
                    let said = OwnLogSaid { session, member, size, nonce, shown };
                    self.heard_own_log(&said, now);
                }
            }
        }
    }

    fn tick(&mut self, now: Now) {
        self.replication.tick(now);
        let mut due = Vec::new();
        self.room.expire(now, &mut due);
        self.reply(due);
        self.tick_fence(now);
        self.freshen(now);
    }

    fn freshen(&mut self, now: Now) {
        if now.mono_ms < self.freshen_due_mono_ms || self.freshening || self.own_failed {
            return;
        }
        let fresh = self.own_head().map_or(0, |it| it.fresh_unix_seconds);
        let Some(wall_ms) = renewed_ms(fresh, now).filter(|_| self.fence.is_open()) else { return };
        // what the node itself has to say goes first
        if self.key_rests(now) {
            return;
        }
        if let Some(checkpoint) = self.own.settled_checkpoint() {
            self.freshening = true;
            let ordered = Ordered::between(self.pulse);
            self.effects.push_back(Effect::Freshen { checkpoint, wall_ms, ordered });
        }
    }

    /// Newest signed head of the own log that is known, here or from partners.
    fn own_head(&self) -> Option<&SignedCheckpoint> {
        self.replication.replica(self.own.origin().log)?.head()
    }

    fn collect(&mut self) {
        self.effects.extend(self.replication.wishes().map(|wish| match wish {
            Wish::Send { session, message } => Effect::Send { session, message },
            Wish::SendRange(range) => Effect::SendRange(range),
            Wish::Store(store) => Effect::Store(store),
            Wish::Attest(it) => Effect::Attest(it),
            Wish::KeepReceipt(it) => Effect::KeepReceipt(it),
            Wish::KeepCosigned(it) => Effect::KeepCosigned(it),
            Wish::Examine(it) => Effect::Examine(it),
            Wish::Look(it) => Effect::Look(it),
            Wish::KeepEvidence { log, raw, begin_again } => {
                Effect::KeepEvidence { log, raw, begin_again }
            }
            Wish::KeepReset(reset) => Effect::KeepReset(reset),
            Wish::SetAside(log) => Effect::SetAside { log },
            Wish::ShowCharters(asked) => Effect::ShowCharters(asked),
            Wish::VerifyCharters(told) => Effect::VerifyCharters(told),
            Wish::FollowCharters(proved) => Effect::FollowCharters(proved),
            Wish::Close { session, reason } => Effect::Close { session, reason },
            Wish::Report(report) => Effect::Report(Notice::Replication(report)),
        }));
    }
}

/// The Land of the node is no member of the charter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no member of the charter")]
pub struct NotAMember(pub Land);

fn why_started(durable: u64, pulled: Option<u64>, moved: bool) -> Why {
    match pulled {
        Some(_) => Why::Behind,
        None if durable == 0 => Why::Empty,
        None if moved => Why::Moved,
        None => Why::Start,
    }
}

/// The time to sign a head with whose newest signature is `fresh`; `None` if that is of this second.
/// A clock that was ahead, or went back, goes on from there a second at a time: partners take only what
/// is newer. If it was far ahead, none of them believes that signature any more.
fn renewed_ms(fresh: u64, now: Now) -> Option<i64> {
    let seconds = u64::try_from(now.wall_ms / 1_000).unwrap_or_default();
    match fresh.cmp(&seconds) {
        Ordering::Equal => None,
        Ordering::Greater if !now.is_far_behind(fresh) => {
            i64::try_from(fresh).ok()?.checked_add(1)?.checked_mul(1_000)
        }
        _ => Some(now.wall_ms),
    }
}

fn own_log_failed() -> Reject {
    Reject::Unavailable {
        reason: "LOG_WRITE_FAILED",
        description: "the log of this Land could not be written; the node's log names the cause; \
                      repair it and restart the node"
            .to_owned(),
    }
}
