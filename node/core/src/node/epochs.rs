//! The epochs of each log, and how the own one begins.

use registry_proto::{
    charter::Charter,
    epoch::{self, TakenReset},
    log::{Frontier, Kind, Origin},
    terms::{Land, LogId},
};

use crate::{
    log::Note,
    node::{Effect, Node},
    now::Now,
    replicate::{Kept, RecoveredLog, Replica},
};

impl Node {
    /// Stages what comes before anything else, as soon as anything may be signed: the entry that every
    /// epoch but the first begins with, what the node said that was taken back, and erasures that were
    /// discarded.
    pub(super) fn begin(&mut self, now: Now) {
        if self.may_commit() && !self.key_rests(now) {
            let settled = self.own.is_settled();
            self.stage_beginning(now);
            for Note { kind, body } in self.own.take_unsaid() {
                self.note(kind, body, now);
            }
            if settled && self.may_commit() && self.own.lacks_erasures() {
                let salt = || self.entropy.salt();
                if self.own.erase_again(salt, now).is_err() {
                    self.commit_failed();
                }
            }
        }
    }

    /// The entry that every epoch but the first begins with, unless it stands.
    pub(super) fn stage_beginning(&mut self, now: Now) {
        let log = self.own.origin().log;
        if log.epoch == 1 || self.own.staged() > 0 {
            return;
        }
        let ended = LogId { epoch: log.epoch - 1, ..log };
        if let Some(reset) = self.replication.resets().get(&ended) {
            let body = reset.encode();
            self.note(Kind::EpochReset, body, now);
        }
    }

    /// Something of a log is durable: if that was what the epochs of this Land lacked, the node
    /// begins again, because its rules rest on all that was published.
    pub(super) fn past_stored(&mut self, log: LogId) {
        let own = self.own.origin().log;
        if self.lacks_past && log.land == own.land && !lacks_past(own, self.replication.replicas())
        {
            self.effects.push_back(Effect::BeginAgain { log: own });
        }
    }

    /// "open", or why nothing is signed.
    pub(super) fn fence_text(&self) -> String {
        if self.lacks_past && !self.fence.is_final() {
            let log = self.own.origin().log;
            return format!(
                "waiting for what counts of the epochs before {log} to come back from partners"
            );
        }
        if self.replication.is_doubted() && !self.fence.is_final() {
            return "waiting for proof: a partner shows a head of our own log that contradicts the end \
                    of it here, which nobody else has seen; publishing stays closed until a partner \
                    that holds those entries proves it, then the end here is set aside (check \
                    [[peers]] and the network, and stop every copy of this node)"
                .to_owned();
        }
        self.fence.to_string()
    }
}

/// Recorded time of the newest entry of a Land: time goes on from one epoch to the next.
pub(super) fn recorded_ms(land: Land, logs: &[RecoveredLog]) -> i64 {
    let of_land = logs.iter().filter(|it| it.log.land == land);
    of_land.map(|it| it.last_recorded_ms).max().unwrap_or_default()
}

/// Every epoch of every member, as it was found on the disk.
pub(super) fn replicas(
    charter: &Charter,
    resets: &[TakenReset],
    mut logs: Vec<RecoveredLog>,
    now: Now,
) -> Vec<Replica> {
    let mut all = Vec::new();
    for member in charter.members() {
        let mut begins = None;
        for epoch in 1..=epoch::newest(member.land, resets).epoch {
            let log = LogId { land: member.land, epoch };
            let recovered = match logs.iter().position(|it| it.log == log) {
                Some(at) => logs.swap_remove(at),
                None => nothing(log),
            };
            let origin = Origin { verbund: charter.id(), log };
            let reset = resets.iter().find(|it| it.said().log == log);
            let replica = Replica::new(origin, member, recovered, now);
            all.push(replica.between(begins, reset.map(Kept::by)));
            begins = reset.map(TakenReset::digest);
        }
    }
    all
}

/// True when an epoch of the own Land that ended is not here as far as it counts.
pub(super) fn lacks_past<'a>(own: LogId, replicas: impl IntoIterator<Item = &'a Replica>) -> bool {
    let mut past = replicas.into_iter().filter(|it| it.log().land == own.land);
    past.any(|it| it.log() != own && it.ends().is_some_and(|end| it.durable() < end))
}

fn nothing(log: LogId) -> RecoveredLog {
    RecoveredLog {
        log,
        frontier: Frontier::default(),
        head: None,
        head_proof: Vec::new(),
        complete: None,
        last_recorded_ms: 0,
        pulled_from: None,
        kept: false,
    }
}
