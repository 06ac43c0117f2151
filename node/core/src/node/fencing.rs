//! The node and its fence: what partners say of the own log, and how it is pulled back.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    log::{Kind, SignedCheckpoint},
    terms::Land,
    wire::registry::Unfenced,
};

use crate::{
    fence::{Fence, Verdict, Why},
    limits,
    node::{Effect, Node, Notice},
    now::Now,
    reject::Reject,
    replicate::SessionId,
};

impl Node {
    pub(super) fn heard_own_log(
        &mut self,
        session: SessionId,
        member: Land,
        size: u64,
        nonce: u64,
        now: Now,
    ) {
        // another node of this Land can show that there is more; it vouches for nothing
        let is_partner = member != self.own.origin().log.land;
        if is_partner {
            let mut due = Vec::new();
            self.room.acked(member, size.min(self.own.durable()), &mut due);
            self.reply(due);
        }
        let nonce = if is_partner { nonce } else { 0 };
        // what is signed counts, also when the one who knows of it does not hold it yet: to sign
        // that size again would be a second history
        let known = size.max(self.own_head().map_or(0, SignedCheckpoint::size));
        let was_open = self.fence.is_open();
        match self.fence.heard(known, nonce, self.own.staged()) {
            Verdict::Nothing => {}
            Verdict::Opened => self.effects.push_back(Effect::Report(Notice::FenceOpened)),
            Verdict::Recover => {
                if was_open {
                    self.shut(self.fence.clone());
                }
                self.recover(session, size, now);
            }
        }
    }

    /// The wall clock moved against the monotonic one: the answer of before counts no more.
    pub(super) fn clock_jumped(&mut self, now: Now) {
        if self.charter.members().len() == 1 {
            return;
        }
        match self.fence {
            Fence::Open | Fence::Waiting { .. } => self.close_fence(Why::ClockJump, now),
            // these end with a question, or never
            Fence::Recovering { .. } | Fence::Forked(_) => {}
        }
    }

    pub(super) fn close_fence(&mut self, why: Why, now: Now) {
        self.nonce += 1;
        self.fence_asked_mono_ms = now.mono_ms;
        self.shut(Fence::closed(why, self.nonce, now));
        self.replication.ask_heads(self.nonce);
    }

    /// Closes the fence. What is staged and not under way to the disk is taken back: it could
    /// wait for ever, and would be signed on top of a tree that a partner may know better.
    pub(super) fn shut(&mut self, fence: Fence) {
        self.fence = fence;
        let sealed = self.own.discard();
        self.audit.taken_back(sealed);
        let fenced = self.fenced();
        let mut due = Vec::new();
        self.room.fail(sealed, &fenced, &mut due);
        self.reply(due);
        let state = self.fence.to_string();
        self.effects.push_back(Effect::Report(Notice::FenceClosed { state }));
    }

    /// Why nothing is signed.
    pub(super) fn fenced(&self) -> Reject {
        Reject::Unavailable { reason: "FENCED", description: self.fence.to_string() }
    }

    fn recover(&mut self, session: SessionId, size: u64, now: Now) {
        let may = self.own.is_settled() && self.replication.may_recover_from(session, now);
        if !may || size <= self.own.durable() {
            return;
        }
        let frontier = self.own.frontier().clone();
        let log = self.own.origin().log;
        if let Some(replica) = self.replication.replica_mut(log) {
            replica.receive_from(frontier);
        }
        self.replication.recover_own(session, now);
    }

    pub(super) fn tick_fence(&mut self, now: Now) {
        let unfenced = self.fence.may_open_unfenced(self.fence_policy, now);
        if let Some(waited_ms) = unfenced.filter(|_| !self.own_failed) {
            self.fence = Fence::Open;
            let waited = i64::try_from(waited_ms).unwrap_or(i64::MAX);
            let body = Bytes::from(Unfenced { waited_ms: waited }.encode_to_vec());
            let salt = self.entropy.salt();
            if self.own.stage_note(Kind::Unfenced, body, salt, now).is_err() {
                self.own_failed = true;
            }
            self.effects.push_back(Effect::Report(Notice::FenceOpenedUnfenced { waited_ms }));
            return;
        }
        let asked_ms = now.mono_ms.saturating_sub(self.fence_asked_mono_ms);
        if self.fence.is_open() || asked_ms < limits::BEACON_MS {
            return;
        }
        self.fence_asked_mono_ms = now.mono_ms;
        match &self.fence {
            Fence::Waiting { nonce, .. } => {
                let nonce = *nonce;
                self.replication.ask_heads(nonce);
            }
            Fence::Recovering { .. } => {
                self.replication.drop_stalled_recovery(now);
                if !self.replication.is_recovering() {
                    self.nonce += 1;
                    let nonce = self.nonce;
                    self.replication.ask_heads(nonce);
                }
            }
            Fence::Open | Fence::Forked(_) => {}
        }
    }
}
