//! The fence opens, and the own log says first what came back.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    log::Kind,
    terms::Land,
    wire::registry::{Recovered, RecoveredAnswer, RecoveredCause},
};

use crate::{
    fence::{Answer, Fence},
    limits,
    log::Note,
    node::{Effect, Node, Notice},
    now::Now,
};

impl Node {
    /// Opens the fence if enough have answered.
    pub(super) fn try_open(&mut self, now: Now) {
        let quiet = self.copies.is_quiet(now);
        if self.may_ever_open() && self.fence.may_open(&self.council, quiet, now) {
            self.effects.push_back(Effect::Report(Notice::FenceOpened));
            self.opened(now);
        }
    }

    /// False while more is known to be wrong than an answer could mend: a head that the own key signed
    /// contradicts what is here, the disk failed, or an epoch that ended is missing.
    pub(super) fn may_ever_open(&self) -> bool {
        !self.own_failed && !self.lacks_past && !self.replication.is_doubted()
    }

    /// The fence is open. If entries came back, an entry says so before any other is signed.
    pub(super) fn opened(&mut self, now: Now) {
        let answers = self.fence.answers().into_iter().flatten();
        let answers = answers.map(|(land, it)| answer(*land, it)).collect();
        self.fence = Fence::Open;
        self.replication.reveal_own();
        self.copies.settled();
        if let Some(from) = self.recovered_from.take() {
            self.say_recovered(from, answers, now);
        }
        self.wake_key(now);
    }

    fn say_recovered(&mut self, from: u64, answers: Vec<RecoveredAnswer>, now: Now) {
        let upto = self.own.durable();
        // what a partner said it had need not have come from it in the end
        if from >= upto {
            return;
        }
        let cause = if from == 0 { RecoveredCause::Empty } else { RecoveredCause::Behind };
        let body = Recovered { from, cause: cause.into(), answers };
        self.note(Kind::Recovered, Bytes::from(body.encode_to_vec()), now);
        self.effects.push_back(Effect::Report(Notice::Recovered { from, upto }));
    }

    /// Stages what the node itself has to say. If that cannot be, nothing is signed any more: it
    /// would go on as if it had been said.
    pub(super) fn note(&mut self, kind: Kind, body: Bytes, now: Now) {
        let salt = self.entropy.salt();
        let (notes, _) = self.own.notes();
        let staged = notes < limits::NOTES_MAX
            && self.own.stage_note(Note { kind, body }, salt, now).is_ok();
        if !staged {
            self.commit_failed();
        }
    }
}

fn answer(land: Land, it: &Answer) -> RecoveredAnswer {
    let seconds = it.unix_ms.div_euclid(1_000);
    let nanos = i32::try_from(it.unix_ms.rem_euclid(1_000) * 1_000_000).unwrap_or_default();
    RecoveredAnswer {
        land: land.code().to_owned(),
        size: it.head.map_or(0, |(size, _)| size),
        root: it.head.map(|(_, root)| Bytes::copy_from_slice(root.as_bytes())).unwrap_or_default(),
        answered_at: Some(prost_types::Timestamp { seconds, nanos }),
    }
}
