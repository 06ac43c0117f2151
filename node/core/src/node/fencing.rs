//! The node and its fence: what partners say of the own log, and how it is pulled back.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    log::{Kind, SignedCheckpoint},
    terms::Land,
    wire::registry::Unfenced,
};

use crate::{
    fence::{Answer, Fence, Verdict, Why},
    limits,
    node::{Effect, Node, Notice},
    now::Now,
    reject::Reject,
    replicate::{Replication, Seen, SessionId, Shown},
};

/// What a partner says of the own log.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnLogSaid {
    pub(super) session: SessionId,
    /// Land of the partner.
    pub(super) member: Land,
    /// Entries it holds.
    pub(super) size: u64,
    /// Of the question it answers, 0 when nobody asked.
    pub(super) nonce: u64,
    /// The newest head it knows.
    pub(super) shown: Option<Shown>,
}

impl Node {
    pub(super) fn heard_own_log(&mut self, said: &OwnLogSaid, now: Now) {
        // another node of this Land can show that there is more; it vouches for nothing
        let is_partner = said.member != self.own.origin().log.land;
        if is_partner {
            let mut due = Vec::new();
            self.room.acked(said.member, said.size.min(self.own.durable()), &mut due);
            self.reply(due);
        }
        if self.looks_copied(said.shown, now) {
            return;
        }
        // what is signed counts, also when the one who knows of it does not hold it yet: to sign
        // that size again would be a second history
        let known = said.size.max(self.own_head().map_or(0, SignedCheckpoint::size));
        let was_open = self.fence.is_open();
        match self.fence.heard(known, self.own.staged()) {
            // what the disk has yet to be asked about it answers later
            Verdict::Nothing if !self.replication.is_looked_at(said.shown) => {}
            Verdict::Nothing if is_partner => {
                // what cannot be compared here is nothing that the partner knows of what is here
                let shown = said.shown.filter(|it| !self.replication.is_unread(*it));
                let head = shown.map(|it| (it.size, it.root));
                let answer = Answer { head, unix_ms: now.wall_ms };
                self.fence.answered(said.nonce, said.member, answer, now);
                self.try_open(now);
            }
            Verdict::Nothing => {}
            Verdict::Recover => {
                if was_open {
                    self.shut(self.fence.clone(), now);
                }
                self.recover(said.session, said.size, now);
            }
        }
    }

    /// Looks at who signed what a partner shows; true when the fence is closed for good, because
    /// another copy of this node signs.
    fn looks_copied(&mut self, shown: Option<Shown>, now: Now) -> bool {
        let Some(Shown { size, unix_seconds, first, .. }) = shown else { return false };
        let is_sign = self.copies.heard(unix_seconds, first, now);
        if self.fence.is_final() {
            return true;
        }
        // nobody but this node may have written since its fence opened
        let overtaken = self.fence.is_open()
            && size > self.own.staged()
            && self.copies.is_younger(unix_seconds);
        if overtaken || (is_sign && self.copies.is_certain()) {
            self.shut(Fence::Copied { size, unix_seconds }, now);
            self.effects.push_back(Effect::Report(Notice::Copied { size, unix_seconds }));
            return true;
        }
        if is_sign && matches!(self.fence.waits(), None | Some(Why::Start)) {
            // while entries come back the question follows later
            if !matches!(self.fence, Fence::Recovering { .. }) {
                self.close_fence(Why::Doubt, now);
            }
        }
        false
    }

    /// The machine was asleep, its clock was set, or this process stood still: the answer of before
    /// counts no more.
    pub(super) fn woke(&mut self, woken: Why, now: Now) {
        if self.charter.voters().count() == 1 {
            return;
        }
        self.copies.woke(now);
        match self.fence.waits() {
            // what closed it before weighs more
            Some(why) if why != Why::Start => self.close_fence(why, now),
            Some(_) => self.close_fence(woken, now),
            None if self.fence.is_open() => self.close_fence(woken, now),
            // these end with a question, or never
            None => {}
        }
    }

    pub(super) fn close_fence(&mut self, why: Why, now: Now) {
        self.nonce += 1;
        self.fence_asked_mono_ms = now.mono_ms;
        self.shut(Fence::closed(why, self.nonce, now), now);
        self.replication.ask_heads(self.nonce);
    }

    /// Closes the fence. What is staged and not under way to the disk is taken back: it could
    /// wait for ever, and would be signed on top of a tree that a partner may know better.
    pub(super) fn shut(&mut self, fence: Fence, now: Now) {
        self.fence = fence;
        let sealed = self.own.discard();
        self.audit.taken_back(sealed);
        let fenced = self.fenced(now);
        let mut due = Vec::new();
        self.room.fail(sealed, &fenced, &mut due);
        self.reply(due);
        let (state, why) = (self.fence.to_string(), self.fence.label());
        self.effects.push_back(Effect::Report(Notice::FenceClosed { state, why }));
    }

    /// Why nothing is signed.
    pub(super) fn fenced(&self, now: Now) -> Reject {
        let description = self.fence_text();
        match self.fence {
            Fence::Suspended => Reject::Precondition { reason: "MEMBER_SUSPENDED", description },
            _ => {
                let quiet_in_ms = self.copies.quiet_in_ms(now);
                let retry_ms = self.fence.opens_in_ms(&self.council, quiet_in_ms, now);
                Reject::Fenced { description, retry_ms }
            }
        }
    }

    fn recover(&mut self, session: SessionId, size: u64, now: Now) {
        let may = self.own.is_settled() && self.replication.may_recover_from(session, now);
        if !may || size <= self.own.durable() {
            return;
        }
        let held = self.own.durable();
        self.recovered_from.get_or_insert(held);
        let frontier = self.own.frontier().clone();
        let log = self.own.origin().log;
        if let Some(replica) = self.replication.replica_mut(log) {
            replica.receive_from(frontier);
        }
        self.replication.recover_own(session, now);
    }

    pub(super) fn tick_fence(&mut self, now: Now) {
        self.try_open(now);
        let quiet = self.copies.is_quiet(now);
        let unfenced = self.fence.may_open_unfenced(self.fence_policy, quiet, now);
        if let Some(waited_ms) = unfenced.filter(|_| self.may_ever_open()) {
            self.stage_beginning(now);
            let waited = i64::try_from(waited_ms).unwrap_or(i64::MAX);
            let body = Bytes::from(Unfenced { waited_ms: waited }.encode_to_vec());
            self.note(Kind::Unfenced, body, now);
            self.effects.push_back(Effect::Report(Notice::FenceOpenedUnfenced { waited_ms }));
            self.opened(now);
            return;
        }
        let asked_ms = now.mono_ms.saturating_sub(self.fence_asked_mono_ms);
        let again = self.fence_asks_again && asked_ms >= limits::FENCE_ASK_AGAIN_MS;
        if self.fence.is_open() || (asked_ms < limits::BEACON_MS && !again) {
            return;
        }
        self.fence_asked_mono_ms = now.mono_ms;
        self.fence_asks_again = false;
        match &self.fence {
            Fence::Waiting(_) => {
                if let Some(nonce) = self.fence.nonce() {
                    self.replication.ask_heads(nonce);
                }
            }
            Fence::Recovering { .. } => {
                self.replication.drop_stalled_recovery(now);
                if !self.replication.is_recovering() {
                    self.nonce += 1;
                    let nonce = self.nonce;
                    self.replication.ask_heads(nonce);
                }
            }
            Fence::Open
            | Fence::Copied { .. }
            | Fence::Forked(_)
            | Fence::Suspended
            | Fence::Ended
            | Fence::Aside => {}
        }
    }
}

/// Keeps back what is here of the own log and of which nobody else is known to have seen more than `seen`,
/// until the fence opens.
pub(super) fn kept_back(
    fence: Fence,
    here: u64,
    seen: Seen,
    replication: &mut Replication,
) -> Fence {
    if fence.is_open() || here <= seen.size {
        return fence;
    }
    replication.hide_own(here, seen);
    fence.with_unseen(here)
}
