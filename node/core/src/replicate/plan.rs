//! Which partner a log is followed at.
//!
//! A node of the owner first, then the partner with the longest log; changed when the partner is
//! gone, has nothing while another has more, or has more and does not deliver it.

use registry_proto::{
    terms::LogId,
    wire::peer::{Batch, Follow, Unfollow, peer_message::Message},
};

use crate::{
    limits,
    now::Now,
    replicate::{
        Lapse, Others, Replication, Report, Session, SessionId, Wish,
        replica::{Replica, Source},
    },
};

/// A partner that could serve a log; the greatest is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    has_more: bool,
    /// It has all that a reset keeps, and is asked for that.
    kept: bool,
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
        self.follow_at(self.own, id, false, now);
    }

    /// True when the own log may be pulled back from this partner: none does so now, what came
    /// last is on the disk, and this one has not failed lately.
    pub(crate) fn may_recover_from(&self, id: SessionId, now: Now) -> bool {
        let free =
            self.replicas.get(&self.own).is_some_and(|it| it.source.is_none() && !it.is_landing());
        free && self.sessions.get(&id).is_some_and(|it| !it.avoids(self.own, now))
    }

    /// True while the own log is pulled back from a partner.
    pub(crate) fn is_recovering(&self) -> bool {
        self.replicas.get(&self.own).is_some_and(|it| it.source.is_some())
    }

    /// The own log is as long as anyone said, or is no longer to be pulled.
    pub(crate) fn recovered_own(&mut self) {
        self.drop_source(self.own);
    }

    /// Follows a log nowhere, for the time being.
    pub(super) fn drop_source(&mut self, log: LogId) {
        let source = self.replicas.get_mut(&log).and_then(|it| it.source.take());
        if let Some(source) = source {
            self.stop_following(source.session, log);
        }
    }

    /// Gives up a recovery that does not move, so that another partner can be asked.
    pub(crate) fn drop_stalled_recovery(&mut self, now: Now) {
        let Some(replica) = self.replicas.get(&self.own) else { return };
        let Some(source) = replica.source else { return };
        let other = self.best(self.own, Some(source.session), now).is_some_and(|it| it.has_more);
        if !replica.is_landing() && source.is_stalled(other, now) {
            if let Some(session) = self.sessions.get_mut(&source.session) {
                session.avoid.insert(self.own, now.mono_ms + limits::SOURCE_STALL_MS);
            }
            self.recovered_own();
        }
    }

    /// The disk of a log failed: it is followed nowhere.
    pub(crate) fn abandon(&mut self, log: LogId, now: Now) {
        let Some(replica) = self.replicas.get_mut(&log) else { return };
        replica.abandon();
        self.drop_source(log);
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
        if replica.is_closed() {
            return;
        }
        // what a reset keeps most members have agreed to
        let kept = replica.seeks_kept().is_some()
            && (replica.stopped().is_some()
                || replica.source.is_some_and(|it| it.kept)
                || self.best(log, None, now).is_some_and(|it| it.kept));
        // and what was signed beyond is of no use to anybody
        if replica.is_over() || (!kept && self.has_to_wait(log, now)) {
            self.drop_source(log);
            return;
        }
        let Some(replica) = self.replicas.get(&log) else { return };
        let Some(source) = replica.source else {
            self.follow_best(log, now);
            return;
        };
        let Some(session) = self.sessions.get(&source.session) else { return };
        if offers(session, replica) != Some(source.kept) {
            // it has all that is kept by now, or no longer
            self.drop_source(log);
            self.follow_best(log, now);
            return;
        }
        let here = candidate(source.session, session, replica);
        let other = self.best(log, Some(here.session), now);
        let other = other.filter(|it| it.has_more >= here.has_more);
        let outdone = here.is_owner && !here.has_more && other.is_some_and(|it| it.has_more);
        let owner_lacks = self.is_outdone(log, outdone, now);
        let Some(replica) = self.replicas.get(&log) else { return };
        if let Some(other) = other {
            let kept_appeared = other.kept && !here.kept;
            // a node of the own Land has no more of its past than others, and was asked first
            let owner_appeared = other.is_owner
                && !here.is_owner
                && other.kept == here.kept
                && !replica.is_own_past();
            // the owner has the newest, and what others tell may only have come faster; but it may
            // also be a copy of its node, or keep from this one what it gives to others
            let only_other_has_more =
                other.has_more && !here.has_more && (!here.is_owner || owner_lacks);
            if kept_appeared || owner_appeared || only_other_has_more {
                self.stop_following(here.session, log);
                self.follow_at(log, other.session, other.kept, now);
                return;
            }
        }
        if !here.has_more || replica.is_landing() || !source.is_stalled(other.is_some(), now) {
            return;
        }
        let Some(other) = other else {
            // nobody else has more: what is under way is still welcome, so ask here again
            self.follow_at(log, here.session, here.kept, now);
            return;
        };
        self.stop_following(here.session, log);
        self.lapse(here.session, Lapse::Stalled);
        if let Some(session) = self.sessions.get_mut(&here.session) {
            session.avoid.insert(log, now.mono_ms + limits::SOURCE_STALL_MS);
        }
        self.follow_at(log, other.session, other.kept, now);
    }

    /// Whether others have had more than the owner, where the log is followed, for long enough.
    fn is_outdone(&mut self, log: LogId, outdone: bool, now: Now) -> bool {
        let source = self.replicas.get_mut(&log).and_then(|it| it.source.as_mut());
        let Some(source) = source else { return false };
        let since = source.outdone_mono_ms.take().filter(|_| outdone);
        source.outdone_mono_ms = outdone.then(|| since.unwrap_or(now.mono_ms));
        since.is_some_and(|it| now.mono_ms.saturating_sub(it) > limits::SOURCE_STALL_MS)
    }

    fn follow_best(&mut self, log: LogId, now: Now) {
        if let Some(best) = self.best(log, None, now) {
            self.follow_at(log, best.session, best.kept, now);
        }
    }

    /// Whether a log brought more than its quota; told once each time.
    fn has_to_wait(&mut self, log: LogId, now: Now) -> bool {
        let Some(replica) = self.replicas.get_mut(&log) else { return false };
        if !replica.may_be_slow(now) {
            return false;
        }
        let was_slowed = replica.is_slowed();
        let held = self.held_by_most(log);
        let Some(replica) = self.replicas.get_mut(&log) else { return false };
        let slowed = replica.slow(held, now);
        if slowed && !was_slowed {
            self.wishes.push_back(Wish::Report(Report::OverQuota { log }));
        }
        slowed
    }

    /// The best partner for a log, apart from one.
    fn best(&self, log: LogId, except: Option<SessionId>, now: Now) -> Option<Candidate> {
        let replica = self.replicas.get(&log)?;
        self.candidates(replica, now).filter(|it| Some(it.session) != except).max()
    }

    /// Partners for a log. Who has less than is here would refuse.
    fn candidates(&self, replica: &Replica, now: Now) -> impl Iterator<Item = Candidate> {
        let log = replica.log();
        self.sessions
            .iter()
            .filter(move |(_, it)| it.is_open() && !it.avoids(log, now))
            .filter(|(_, it)| offers(it, replica).is_some())
            .map(|(id, it)| candidate(*id, it, replica))
            .filter(|it| it.size >= replica.received())
    }

    /// A partner that has not shown yet what comes next of the own past, as this one does that is asked.
    fn unasked(&self, replica: &Replica, here: SessionId, now: Now) -> Option<Candidate> {
        let kept = replica.source.map(|it| it.kept)?;
        let unasked = |it: &Candidate| it.session != here && !replica.was_asked(it.session);
        self.candidates(replica, now).filter(|it| it.has_more && it.kept == kept).find(unasked)
    }

    /// Notes who else can be asked for bodies that a batch of the own past may lack.
    pub(super) fn note_others(&mut self, id: SessionId, batch: &Batch, now: Now) {
        let Some(log) = self.known_log(&batch.land, batch.epoch) else { return };
        let own_past =
            |it: &Replica| it.is_own_past() && it.source.is_some_and(|it| it.session == id);
        let Some(replica) = self.replicas.get(&log).filter(|it| own_past(it)) else { return };
        let others = self.others(replica, id, now);
        if let Some(replica) = self.replicas.get_mut(&log) {
            replica.others_are(others);
        }
    }

    /// Who can be asked beside the one that shows a batch.
    fn others(&self, replica: &Replica, here: SessionId, now: Now) -> Others {
        if self.unasked(replica, here, now).is_some() {
            return Others::Some;
        }
        let own = replica.log().land;
        let asked = |id: SessionId| id == here || replica.was_asked(id);
        let asked = |land| self.sessions.iter().any(|(id, it)| it.peer.land == land && asked(*id));
        let all = self.charter.voters().filter(|it| it.land != own).all(|it| asked(it.land));
        if all { Others::None } else { Others::Away }
    }

    /// What a partner shows of the own past lacks bodies that another one may have.
    pub(super) fn ask_another(&mut self, id: SessionId, log: LogId, now: Now) {
        let Some(replica) = self.replicas.get(&log) else { return };
        let other = self.unasked(replica, id, now);
        self.drop_source(log);
        match other {
            Some(other) => self.follow_at(log, other.session, other.kept, now),
            // members that are away may come
            None => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.avoid.insert(log, now.mono_ms + limits::SOURCE_STALL_MS);
                }
            }
        }
    }

    fn follow_at(&mut self, log: LogId, id: SessionId, kept: bool, now: Now) {
        let Some(replica) = self.replicas.get_mut(&log) else { return };
        replica.follows += 1;
        let follow = replica.follows;
        let (progress_mono_ms, outdone_mono_ms) = (now.mono_ms, None);
        replica.source =
            Some(Source { session: id, follow, kept, progress_mono_ms, outdone_mono_ms });
        let from = replica.next(kept);
        self.send(
            id,
            Message::Follow(Follow {
                land: log.land.code().to_owned(),
                epoch: log.epoch,
                from,
                credit_bytes: limits::FOLLOW_CREDIT_BYTES,
                follow,
                kept,
            }),
        );
    }
}

// === impl Source ===

impl Source {
    /// True when it has delivered nothing for too long; `other` when another partner could. Alone
    /// it gets more time: a large batch on a slow line is no reason to begin it again.
    fn is_stalled(&self, other: bool, now: Now) -> bool {
        let patience_ms = if other { limits::SOURCE_STALL_MS } else { limits::PEER_SILENCE_MS };
        now.mono_ms.saturating_sub(self.progress_mono_ms) > patience_ms
    }
}

/// Whether a partner has said anything of a log that makes it a source, and whether as one of what a
/// reset keeps. Only that counts once the owner is known to have signed two histories.
fn offers(session: &Session, replica: &Replica) -> Option<bool> {
    let log = replica.log();
    if replica.seeks_kept().is_some() && session.kept.contains(&log) {
        return Some(true);
    }
    let signed = replica.stopped().is_none() && session.heads.contains_key(&log);
    signed.then_some(false)
}

fn candidate(id: SessionId, session: &Session, replica: &Replica) -> Candidate {
    let log = replica.log();
    let kept = offers(session, replica) == Some(true);
    let size = match replica.seeks_kept().filter(|_| kept) {
        Some(kept) => kept.size,
        None => session.heads.get(&log).copied().unwrap_or_default(),
    };
    Candidate {
        has_more: size > replica.received(),
        kept,
        is_owner: session.peer.land == log.land,
        size,
        session: id,
    }
}
