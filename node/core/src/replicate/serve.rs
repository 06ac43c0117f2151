//! Serving logs to partners that follow them.

use bytes::Bytes;
use registry_proto::{
    terms::LogId,
    wire::peer::{Follow, Refusal, RefusalReason, peer_message::Message},
};

use crate::{
    limits,
    replicate::{Replication, SendRange, SessionId, Wish, session::Serving},
};

impl Replication {
    /// The shell sent a range: entries before `next`, `bytes` of them under way.
    pub(crate) fn range_sent(&mut self, range: &SendRange, next: u64, bytes: u64) {
        let (id, log) = (range.session, range.log);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.sending.remove(&log);
        // of a Follow that has been replaced, nothing counts
        let serving = session.serving.get_mut(&log).filter(|it| it.follow == range.follow);
        if let Some(serving) = serving {
            serving.next = next;
            serving.credit = serving.credit.saturating_sub_unsigned(bytes);
        }
        self.pump(id, log);
    }

    /// The shell could not read a range.
    pub(crate) fn range_failed(&mut self, range: &SendRange) {
        let (id, log) = (range.session, range.log);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.sending.remove(&log);
        if session.serving.get(&log).is_none_or(|it| it.follow != range.follow) {
            self.pump(id, log);
            return;
        }
        self.unfollow(id, log);
        self.refuse(id, log.land.code(), log.epoch, RefusalReason::Unavailable);
    }

    /// Sends every follower of a log what is new.
    pub(crate) fn pump_followers(&mut self, log: LogId) {
        let followers: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, it)| it.serving.contains_key(&log))
            .map(|(id, _)| *id)
            .collect();
        for id in followers {
            self.pump(id, log);
        }
    }

    pub(crate) fn follow(&mut self, id: SessionId, follow: &Follow) {
        let Some(log) = self.known_log(&follow.land, follow.epoch) else {
            let land: String = follow.land.chars().take(16).collect();
            self.refuse(id, &land, follow.epoch, RefusalReason::UnknownLog);
            return;
        };
        let Some(replica) = self.replicas.get(&log) else { return };
        if follow.kept && replica.holds_kept().is_none() {
            self.refuse(id, log.land.code(), log.epoch, RefusalReason::Unavailable);
            return;
        }
        if follow.from > replica.durable() {
            self.refuse(id, log.land.code(), log.epoch, RefusalReason::BeyondEnd);
            return;
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            let credit = follow.credit_bytes.min(limits::FOLLOW_CREDIT_BYTES).cast_signed();
            let (next, kept) = (follow.from, follow.kept);
            let serving = Serving { next, credit, follow: follow.follow, kept };
            session.serving.insert(log, serving);
        }
        self.pump(id, log);
    }

    pub(crate) fn unfollow(&mut self, id: SessionId, log: LogId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.serving.remove(&log);
        }
    }

    pub(crate) fn pump(&mut self, id: SessionId, log: LogId) {
        // who asks for what is kept back gets it when it is shown
        if self.hides(log) {
            return;
        }
        let Some(replica) = self.replicas.get(&log) else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(serving) = session.serving.get(&log) else { return };
        let covered = match serving.kept {
            true => replica.holds_kept().map(|it| (it.size, Bytes::new())),
            false => replica.served().map(|it| (it.size(), it.raw().clone())),
        };
        let Some((upto, note)) = covered else { return };
        if serving.credit <= 0 || serving.next >= upto || !session.sending.insert(log) {
            return;
        }
        let range = SendRange {
            session: id,
            log,
            from: serving.next,
            upto,
            bytes: limits::BATCH_BYTES_MAX,
            note,
            follow: serving.follow,
            to_owner: session.peer.land == log.land,
        };
        self.wishes.push_back(Wish::SendRange(range));
    }

    fn refuse(&mut self, id: SessionId, land: &str, epoch: u64, reason: RefusalReason) {
        let refusal = Refusal { land: land.to_owned(), epoch, reason: reason as i32 };
        self.send(id, Message::Refusal(refusal));
    }
}
