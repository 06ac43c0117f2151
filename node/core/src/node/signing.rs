//! The node and a key that does not sign: it may be kept in a token, and that may be gone.

use crate::{
    limits,
    node::{Effect, Node, Notice},
    now::Now,
    reject::Reject,
};

impl Node {
    /// Nothing was signed, so nobody can know of the group: it never was. The next one is tried
    /// again, because a token comes back without a restart.
    pub(super) fn commit_unsigned(&mut self) {
        // what the node itself had to say in the group would be lost without a word
        if !self.own.unsigned() {
            self.commit_failed();
            return;
        }
        self.audit.taken_back(self.own.durable());
        let mut due = Vec::new();
        self.room.fail(self.own.durable(), &unsigned(), &mut due);
        self.reply(due);
        self.effects.push_back(Effect::Report(Notice::Unsigned));
    }

    pub(super) fn freshen_failed(&mut self, now: Now) {
        self.freshening = false;
        let waits = limits::FRESHNESS_RENEW_MS - limits::SIGN_RETRY_MS;
        // 0 says that nothing was signed since the start, which is tried at once
        self.freshened_mono_ms = now.mono_ms.saturating_sub(waits).max(1);
        self.effects.push_back(Effect::Report(Notice::Unsigned));
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
