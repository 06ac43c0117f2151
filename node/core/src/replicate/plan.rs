//! Which partner a log is followed at.
//!
//! A node of the owner first, then the partner with the longest log; changed when the partner is
//! gone, has nothing while another has more, or stays behind a known head.

use registry_proto::{
    terms::LogId,
    wire::peer::{Follow, Unfollow, peer_message::Message},
};

use crate::{
    limits,
    now::Now,
    replicate::{Replication, SessionId, replica::Source},
};

/// A partner that could serve a log; the greatest is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    has_more: bool,
    is_owner: bool,
    size: u64,
    /// Only to make the choice the same for the same state.
    session: SessionId,
}

impl Replication {
    /// Chooses sources anew where that helps. Cheap when nothing changed.
    pub(crate) fn plan(&mut self, now: Now) {
        let logs: Vec<LogId> = self.replicas.keys().copied().collect();
        for log in logs {
            if log != self.own {
                self.plan_log(log, now);
            }
        }
    }

    /// Pulls the own log back from a partner that knows more of it.
    pub(crate) fn recover_own(&mut self, id: SessionId, now: Now) {
        self.recovering = Some(id);
        self.follow_at(self.own, id, now);
    }

    /// The own log is as long as anyone said, or is no longer to be pulled.
    pub(crate) fn recovered_own(&mut self) {
        if let Some(id) = self.recovering.take() {
            self.stop_following(id, self.own);
            let own = self.own;
            if let Some(replica) = self.replicas.get_mut(&own) {
                replica.source = None;
            }
        }
    }

    /// The partner from which the own log comes back, while it does.
    pub(crate) fn recovering_from(&self) -> Option<SessionId> {
        self.recovering
    }

    /// Gives up a recovery that does not move, so that another partner can be asked.
    pub(crate) fn drop_stalled_recovery(&mut self, now: Now) {
        let stalled = self.replicas.get(&self.own).is_some_and(|it| {
            it.source.is_some_and(|source| {
                let idle = now.mono_ms.saturating_sub(source.progress_mono_ms);
                it.in_flight_bytes() == 0 && idle > limits::SOURCE_STALL_MS
            })
        });
        if stalled {
            self.recovered_own();
        }
    }

    /// The disk of a log failed: it is followed nowhere.
    pub(crate) fn abandon(&mut self, log: LogId, now: Now) {
        let Some(replica) = self.replicas.get_mut(&log) else { return };
        let source = replica.source.take();
        replica.abandon();
        if let Some(source) = source {
            self.stop_following(source.session, log);
        }
        self.plan(now);
    }

    pub(crate) fn stop_following(&mut self, id: SessionId, log: LogId) {
        self.send(
            id,
            Message::Unfollow(Unfollow { land: log.land.code().to_owned(), epoch: log.epoch }),
        );
    }

    fn plan_log(&mut self, log: LogId, now: Now) {
        let Some(replica) = self.replicas.get(&log) else { return };
        if replica.stopped().is_some() || replica.is_abandoned() {
            return;
        }
        let received = replica.received();
        let current = replica.source;
        let best = self
            .sessions
            .iter()
            .filter(|(_, it)| it.is_open() && it.heads.contains_key(&log) && !it.avoids(log, now))
            .map(|(id, it)| candidate(*id, it, log, received))
            .max();
        let Some(best) = best else { return };
        let Some(source) = current else {
            self.follow_at(log, best.session, now);
            return;
        };
        let Some(now_at) = self.sessions.get(&source.session) else { return };
        let now_at = candidate(source.session, now_at, log, received);
        if best.session != source.session && best.has_more >= now_at.has_more {
            let owner_appeared = best.is_owner && !now_at.is_owner;
            // the owner always has the newest; what others tell may only have come faster
            let only_other_has_more = best.has_more && !now_at.has_more && !now_at.is_owner;
            if owner_appeared || only_other_has_more {
                self.stop_following(source.session, log);
                self.follow_at(log, best.session, now);
                return;
            }
        }
        let busy = replica.in_flight_bytes() > 0;
        let idle_ms = now.mono_ms.saturating_sub(source.progress_mono_ms);
        if now_at.has_more && !busy && idle_ms > limits::SOURCE_STALL_MS {
            self.stop_following(source.session, log);
            if let Some(session) = self.sessions.get_mut(&source.session) {
                session.avoid.insert(log, now.mono_ms + limits::SOURCE_STALL_MS);
            }
            if let Some(replica) = self.replicas.get_mut(&log) {
                replica.source = None;
            }
            self.plan_log(log, now);
        }
    }

    fn follow_at(&mut self, log: LogId, id: SessionId, now: Now) {
        let Some(replica) = self.replicas.get_mut(&log) else { return };
        replica.follows += 1;
        let follow = replica.follows;
        replica.source = Some(Source { session: id, follow, progress_mono_ms: now.mono_ms });
        let from = replica.received();
        self.send(
            id,
            Message::Follow(Follow {
                land: log.land.code().to_owned(),
                epoch: log.epoch,
                from,
                credit_bytes: limits::FOLLOW_CREDIT_BYTES,
                follow,
            }),
        );
    }
}

fn candidate(
    id: SessionId,
    session: &crate::replicate::Session,
    log: LogId,
    received: u64,
) -> Candidate {
    let size = session.heads.get(&log).copied().unwrap_or_default();
    Candidate {
        has_more: size > received,
        is_owner: session.peer.land == log.land,
        size,
        session: id,
    }
}
