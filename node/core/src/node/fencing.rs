//! The node and its fence: what partners say of the own log, and how it is pulled back.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{log::Kind, wire::registry::Unfenced};

use crate::{
    fence::{Fence, Verdict, Why},
    limits,
    node::{Effect, Node, Notice},
    now::Now,
    replicate::SessionId,
};

impl Node {
    pub(super) fn heard_own_log(
        &mut self,
        session: SessionId,
        member: registry_proto::terms::Land,
        size: u64,
        nonce: u64,
        now: Now,
    ) {
        let own_land = self.own.origin().log.land;
        if member == own_land {
            return;
        }
        let mut due = Vec::new();
        self.room.acked(member, size.min(self.own.durable()), &mut due);
        self.reply(due);
        match self.fence.heard(size, nonce, self.own.staged()) {
            Verdict::Nothing => {}
            Verdict::Opened => self.effects.push_back(Effect::Report(Notice::FenceOpened)),
            Verdict::Recover => self.recover(session, now),
        }
    }

    fn recover(&mut self, session: SessionId, now: Now) {
        if !self.replication.may_recover_from(session, now) || !self.own.is_settled() {
            return;
        }
        let frontier = self.own.frontier().clone();
        let log = self.own.origin().log;
        if let Some(replica) = self.replication.replica_mut(log) {
            replica.receive_from(frontier);
        }
        let state = self.fence.to_string();
        self.effects.push_back(Effect::Report(Notice::FenceClosed { state }));
        self.replication.recover_own(session, now);
    }

    pub(super) fn close_fence(&mut self, why: Why, now: Now) {
        self.nonce += 1;
        self.fence = Fence::closed(why, self.nonce, now);
        self.fence_asked_mono_ms = now.mono_ms;
        self.replication.ask_heads(self.nonce);
    }

    pub(super) fn tick_fence(&mut self, now: Now) {
        if let Some(waited_ms) = self.fence.may_open_unfenced(self.fence_policy, now) {
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
