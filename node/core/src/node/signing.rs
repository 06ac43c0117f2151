//! The node and a key that does not sign: it may be kept in a token, and that may be gone.

use crate::{
    limits,
    node::{Effect, Node, Notice},
    now::Now,
    reject::Reject,
};

impl Node {
    /// Nothing was signed, so nobody can know of the group: it never was. The next one is tried
    /// again, because a token comes back without a restart. What the node itself had to say goes
    /// first again, and would be tried without a pause: so the key rests before.
    pub(super) fn commit_unsigned(&mut self, now: Now) {
        let (_, notes) = self.own.notes();
        if !self.take_back(&unsigned()) {
            self.commit_failed();
            return;
        }
        if notes > 0 || self.own.lacks_erasures() {
            self.key_rests_until_mono_ms = now.mono_ms + limits::SIGN_RETRY_MS;
        }
        self.did_not_sign(now);
    }

    /// True while the node has something to say and asks its key for nothing of its own accord.
    pub(super) fn key_rests(&self, now: Now) -> bool {
        now.mono_ms < self.key_rests_until_mono_ms
    }

    /// Somebody is about to have something signed: what the node itself has to say is tried with it.
    pub(super) fn wake_key(&mut self, now: Now) {
        self.key_rests_until_mono_ms = 0;
        self.begin(now);
    }

    /// This process stood still between the order and its signature, so nothing was signed. The
    /// fence has closed for that, and may be open again; what the node itself had to say in the
    /// group it says again then.
    pub(super) fn commit_void(&mut self, now: Now) {
        let reject = if self.fence.is_open() { stood_still() } else { self.fenced(now) };
        if !self.take_back(&reject) {
            self.commit_failed();
        }
    }

    /// Takes back the group under way and what is staged behind it; false if there is none.
    fn take_back(&mut self, why: &Reject) -> bool {
        if !self.own.unsigned() {
            return false;
        }
        self.audit.taken_back(self.own.durable());
        let mut due = Vec::new();
        self.room.fail(self.own.durable(), why, &mut due);
        self.reply(due);
        true
    }

    pub(super) fn freshen_failed(&mut self, now: Now) {
        self.freshening = false;
        self.did_not_sign(now);
    }

    /// A head is signed, and by that fresh.
    pub(super) fn signed(&mut self, now: Now) {
        self.signing_failed = false;
        self.freshen_due_mono_ms = now.mono_ms + limits::FRESHNESS_RENEW_MS;
    }

    /// The freshness is tried again soon, also after a group: so it shows when the key signs again,
    /// though nobody publishes.
    fn did_not_sign(&mut self, now: Now) {
        self.signing_failed = true;
        self.freshen_due_mono_ms = now.mono_ms + limits::SIGN_RETRY_MS;
        self.effects.push_back(Effect::Report(Notice::Unsigned));
    }
}

fn stood_still() -> Reject {
    Reject::Fenced {
        description: "this process stood still before it had signed, and nothing is published; \
                      publish again"
            .to_owned(),
        retry_ms: Some(0),
    }
}

fn unsigned() -> Reject {
    Reject::Unavailable {
        reason: "SIGNING_FAILED",
        description: "the key of this Land does not sign; the node's log names the cause; \
                      publish again later"
            .to_owned(),
    }
}
