//! What a partner says, and what follows from it.

use registry_proto::{
    log::SignedCheckpoint,
    terms::LogId,
    wire::peer::{Ack, Batch, Head, Heads, Refusal, peer_message::Message},
};

use crate::{
    authorize::PeerIdentity,
    limits,
    now::Now,
    replicate::{
        Accepted, Came, Heard, Kept, Lapse, PeerFault, Proved, Replica, Replication, Report,
        SessionId, Shown, Wish, replica::BatchFault,
    },
};

impl Replication {
    /// Handles one message. Answers what it says about the own log.
    pub(crate) fn received(&mut self, id: SessionId, message: Message, now: Now) -> Vec<Heard> {
        let Some(session) = self.sessions.get_mut(&id) else { return Vec::new() };
        session.heard(now);
        if !session.is_open() {
            self.first_heard(id, &message, now);
            return Vec::new();
        }
        let outcome = match message {
            Message::Hello(_) => Err(PeerFault::HelloTwice),
            Message::Heads(Heads { heads, nonce }) => self.heads(id, &heads, nonce, now),
            Message::Beacon(beacon) => self.heads(id, &beacon.heads, 0, now),
            Message::Follow(follow) => {
                self.follow(id, &follow);
                Ok(Vec::new())
            }
            Message::Unfollow(it) => {
                if let Some(log) = self.known_log(&it.land, it.epoch) {
                    self.unfollow(id, log);
                }
                Ok(Vec::new())
            }
            Message::Batch(batch) => {
                self.note_others(id, &batch, now);
                self.batch(id, batch, now)
            }
            Message::Ack(ack) => Ok(self.ack(id, &ack)),
            Message::Refusal(refusal) => {
                self.refused(id, &refusal, now);
                Ok(Vec::new())
            }
            Message::Receipts(it) => session
                .spend_testimony(it.items.len(), now)
                .and_then(|()| self.receipts(id, &it.items)),
            Message::Cosignatures(it) => session
                .spend_testimony(it.items.len(), now)
                .and_then(|()| self.cosignatures(id, &it.items, now)),
            Message::Evidence(it) => {
                session.spend(it.items.len(), now).and_then(|()| self.shown_evidence(id, &it.items))
            }
            Message::EpochResets(it) => {
                let spent = session.spend(it.items.len(), now);
                spent.and_then(|()| self.shown_resets(id, &it.items, now))
            }
            Message::AskCharters(ask) => session.may_ask_charters(now).map(|()| {
                self.asked_charters(id, &ask);
                Vec::new()
            }),
            Message::Charters(it) => self.told_charters(id, it, now).map(|()| Vec::new()),
            Message::AskBeginning(ask) => self.asked_beginning(id, &ask, now).map(|()| Vec::new()),
            Message::Beginning(it) => Ok(self.told_beginning(id, &it, now).into_iter().collect()),
            Message::AskHeads(ask) => session.spend(self.replicas.len(), now).map(|()| {
                self.send_heads(id, ask.nonce, now);
                Vec::new()
            }),
        };
        let heard = match outcome {
            Ok(heard) => heard,
            Err(fault) => {
                self.fault(id, fault, now);
                Vec::new()
            }
        };
        self.plan(now);
        heard
    }

    /// A partner says its first message, which has to introduce it.
    fn first_heard(&mut self, id: SessionId, message: &Message, now: Now) {
        let verbund = self.verbund;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let outcome = match message {
            Message::Hello(hello) => session.hello(hello, &verbund),
            _ => Err(PeerFault::SpokeBeforeHello),
        };
        let (peer, number) = (session.peer.clone(), session.charter);
        match outcome {
            Err(fault) => self.fault(id, fault, now),
            Ok(()) if number > self.charter.number() => {
                self.wishes.push_back(Wish::Report(Report::LaterCharter { peer, number }));
            }
            Ok(()) => {}
        }
    }

    /// A group of a log is durable: acknowledge, pass on, note.
    pub(crate) fn stored(&mut self, log: LogId, now: Now) {
        let Some(replica) = self.replicas.get_mut(&log) else { return };
        let Some(landed) = replica.landed() else { return };
        let size = replica.durable();
        if let Some(source) = &mut replica.source {
            source.progress_mono_ms = now.mono_ms;
        }
        if self.sessions.contains_key(&landed.session) {
            self.send(
                landed.session,
                Message::Ack(Ack {
                    land: log.land.code().to_owned(),
                    epoch: log.epoch,
                    size,
                    credit_bytes: landed.bytes,
                }),
            );
        }
        self.pump_followers(log);
        self.examine(log);
        self.agree(log);
        self.plan(now);
    }

    pub(crate) fn known_log(&self, land: &str, epoch: u64) -> Option<LogId> {
        let log = LogId { land: land.parse().ok()?, epoch };
        self.replicas.contains_key(&log).then_some(log)
    }

    fn heads(
        &mut self,
        id: SessionId,
        heads: &[Head],
        nonce: u64,
        now: Now,
    ) -> Result<Vec<Heard>, PeerFault> {
        if heads.len() > limits::MEMBERS_MAX * limits::EPOCHS_MAX {
            return Err(PeerFault::TooManyHeads(heads.len()));
        }
        // a log of another epoch or of a Land the charter does not know is not ours to judge
        let heads: Vec<(LogId, &Head)> =
            heads.iter().filter_map(|it| Some((self.known_log(&it.land, it.epoch)?, it))).collect();
        if heads.len() > self.replicas.len() {
            return Err(PeerFault::TooManyHeads(heads.len()));
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.spend(heads.len(), now)?;
        }
        let own = self.own;
        let first = self.sessions.get(&id).is_none_or(|it| !it.heads.contains_key(&own));
        let mut heard = Vec::new();
        for (log, head) in heads {
            let shown = match self.head(id, log, head, now)? {
                Told::Forked(forked) => {
                    heard.extend(forked);
                    continue;
                }
                Told::Uncounted => {
                    self.lapse(id, Lapse::UncountedHead);
                    continue;
                }
                Told::Nothing => None,
                Told::Head(it) => {
                    let (size, root) = (it.size(), *it.root());
                    Some(Shown { size, root, unix_seconds: it.fresh_unix_seconds, first })
                }
            };
            if log == own
                && let Some(session) = self.sessions.get(&id)
            {
                let member = session.peer.land;
                heard.push(Heard::OwnLog { session: id, member, size: head.size, nonce, shown });
            }
        }
        Ok(heard)
    }

    fn head(
        &mut self,
        id: SessionId,
        log: LogId,
        head: &Head,
        now: Now,
    ) -> Result<Told, PeerFault> {
        let Some(replica) = self.replicas.get_mut(&log) else { return Ok(Told::Nothing) };
        if let Some(ends) = replica.ends()
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.tells_kept(log, ends, head.kept);
        }
        if replica.stopped().is_some() {
            return Ok(Told::Nothing);
        }
        let beyond = |signed| PeerFault::HeadBeyondCheckpoint { log, size: head.size, signed };
        if head.checkpoint.is_empty() {
            if head.size > 0 {
                return Err(beyond(0));
            }
            if let Some(session) = self.sessions.get_mut(&id) {
                session.heads.entry(log).or_insert(0);
            }
            return Ok(Told::Nothing);
        }
        let verified = replica.verify(&head.checkpoint).and_then(|signed| {
            let held = Some(&head.held).filter(|it| !it.is_empty());
            Ok((signed, held.map(|it| replica.verify(it)).transpose()?))
        });
        let newer = self.sessions.get(&id).is_some_and(|it| it.charter > self.charter.number());
        let (signed, held) = match verified {
            Ok(verified) => verified,
            // what counted by an older charter, or will by one whose votes are on their way here
            Err(PeerFault::BeyondCut { .. }) => return Ok(Told::Uncounted),
            Err(PeerFault::Checkpoint { .. }) if newer => return Ok(Told::Uncounted),
            Err(fault) => return Err(fault),
        };
        if head.size > signed.size() {
            return Err(beyond(signed.size()));
        }
        let shown: Vec<_> = [Some(signed.clone()), held].into_iter().flatten().collect();
        // whoever has keys that were replaced is no copy of this node
        let is_current = replica.is_current(&signed);
        let received = replica.received();
        let fork = |it: &SignedCheckpoint| {
            replica.learn(it.clone(), now).err().map(|fault| (it.clone(), fault))
        };
        let fork = shown.iter().find_map(fork);
        let ahead = replica.ahead_to_tell(now).map(|ms| Report::Ahead { log, ms });
        self.wishes.extend(ahead.map(Wish::Report));
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(Told::Nothing) };
        let before = session.heads.insert(log, head.size).unwrap_or_default();
        let peer = session.peer.clone();
        if let Some(first) = session.replays(log, replica.rank(&signed, now)) {
            let peer = peer.clone();
            self.wishes.push_back(Wish::Report(Report::Replayed { peer, log, first }));
        }
        if let Some((signed, fault)) = fork {
            return Ok(Told::Forked(self.stop(log, peer, fault, Some(signed))));
        }
        // the clock of a source starts when it has something to deliver. What others have
        // does not count: a busy log would never find out that its source is stuck
        let has_more_now = (before..head.size).contains(&received);
        if let Some(source) = replica.source.as_mut().filter(|it| it.session == id)
            && has_more_now
        {
            source.progress_mono_ms = now.mono_ms;
        }
        for signed in shown {
            self.suspect(log, signed, peer.clone());
        }
        Ok(if is_current { Told::Head(signed) } else { Told::Nothing })
    }

    fn batch(&mut self, id: SessionId, batch: Batch, now: Now) -> Result<Vec<Heard>, PeerFault> {
        let Some(log) = self.known_log(&batch.land, batch.epoch) else { return Ok(Vec::new()) };
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(Vec::new()) };
        let Some(replica) = self.replicas.get_mut(&log) else { return Ok(Vec::new()) };
        // what a former source, or an ended Follow, still had under way is not an offence; what
        // of it fits is taken, so that a slow line gets on however often it is asked
        let Some(source) = replica.source.filter(|it| it.session == id) else {
            return Ok(Vec::new());
        };
        let kept = replica.seeks_kept().filter(|_| source.kept);
        let former = source.follow != batch.follow;
        // from before it was asked for what a reset keeps, or no longer for that
        let ended = replica.seeks_kept().is_some();
        let other = ended && source.kept != batch.checkpoint.is_empty();
        let next = replica.next(source.kept);
        let late = former && (other || batch.first > next);
        if late || (kept.is_none() && (source.kept || replica.stopped().is_some())) {
            return Ok(Vec::new());
        }
        let peer = session.peer.clone();
        let batch = match Replica::trim(batch, next) {
            Ok(batch) => batch,
            Err(credit_bytes) => {
                self.give_back(id, log, credit_bytes);
                return Ok(Vec::new());
            }
        };
        if let Some(kept) = kept.filter(|_| replica.is_unproved()) {
            return self.prove(id, log, kept, &batch, now);
        }
        let other_charter = session.charter != self.charter.number();
        let astray = log == self.own && self.hidden.may_be_astray(replica.received());
        let note = batch.checkpoint.clone();
        let accepted = match kept {
            Some(kept) => {
                let came = Came { session: id, from: &peer.node, now, other_charter };
                replica.accept_kept(kept, batch, came, &self.resets)
            }
            None => {
                let accepted = replica.accept(batch, id, &peer.node, now, &self.resets);
                accepted.map(|(store, later)| Accepted { store, later, shown: None })
            }
        };
        match accepted {
            Ok(accepted) => Ok(self.took(id, log, accepted, kept.is_some(), now)),
            // it is signed, and does not go on from what is here
            Err(BatchFault::Peer(fault @ PeerFault::Proof { .. })) if astray => {
                let signed = replica.verify(&note)?;
                self.went_astray(id, signed, fault, now);
                Ok(Vec::new())
            }
            Err(BatchFault::Peer(fault)) => self.not_taken(id, log, fault, now),
            Err(BatchFault::OtherHistory) => {
                self.lapse(id, Lapse::OtherHistory);
                self.turn_away(id, log, now);
                Ok(Vec::new())
            }
            Err(BatchFault::Gone) => {
                self.lapse(id, Lapse::BodiesGone);
                self.ask_another(id, log, now);
                Ok(Vec::new())
            }
            Err(BatchFault::Owner(fault)) => {
                if kept.is_some() {
                    // nobody has it in another form
                    replica.abandon();
                }
                Ok(self.stop(log, peer, fault, None).into_iter().collect())
            }
        }
    }

    /// What came is verified, and goes to the disk.
    fn took(
        &mut self,
        id: SessionId,
        log: LogId,
        Accepted { store, later, shown }: Accepted,
        is_kept: bool,
        now: Now,
    ) -> Vec<Heard> {
        let Some(session) = self.sessions.get_mut(&id) else { return Vec::new() };
        let Some(replica) = self.replicas.get_mut(&log) else { return Vec::new() };
        let peer = session.peer.clone();
        if !is_kept {
            replica.spend(&store, now);
        }
        let held = session.heads.entry(log).or_default();
        *held = (*held).max(replica.received());
        if let Some(source) = &mut replica.source {
            source.progress_mono_ms = now.mono_ms;
        }
        self.wishes.push_back(Wish::Store(store));
        // every signed head that anyone shows is held against the tree here
        if let Some(signed) = later {
            self.suspect(signed.checkpoint.origin.log, signed, peer.clone());
        }
        shown.and_then(|it| self.shown_kept(it, peer, now)).into_iter().collect()
    }

    /// A checkpoint came with what a reset keeps. It may show that the owner signed two histories, which
    /// takes nothing from what is kept.
    fn shown_kept(
        &mut self,
        signed: SignedCheckpoint,
        peer: PeerIdentity,
        now: Now,
    ) -> Option<Heard> {
        let log = signed.checkpoint.origin.log;
        let replica = self.replicas.get_mut(&log).filter(|it| it.stopped().is_none())?;
        let fault = replica.learn(signed, now).err()?;
        self.stop(log, peer, fault, None)
    }

    /// The part that is here is held against what a partner proves to be kept. What is another
    /// history is set aside, and nobody did wrong: both were signed by the owner.
    fn prove(
        &mut self,
        id: SessionId,
        log: LogId,
        kept: Kept,
        batch: &Batch,
        now: Now,
    ) -> Result<Vec<Heard>, PeerFault> {
        let Some(replica) = self.replicas.get_mut(&log) else { return Ok(Vec::new()) };
        let (proved, bytes) = match replica.prove(kept, batch, id) {
            Ok(proved) => proved,
            Err(fault) => return self.not_taken(id, log, fault, now),
        };
        match proved {
            Proved::Onwards => {
                if let Some(source) = &mut replica.source {
                    source.progress_mono_ms = now.mono_ms;
                }
                self.give_back(id, log, bytes);
            }
            // what comes next is asked for from the end of what is here
            Proved::Same => self.drop_source(log),
            Proved::Other => {
                self.drop_source(log);
                self.wishes.push_back(Wish::SetAside(log));
            }
        }
        Ok(Vec::new())
    }

    /// Gives credit back for a batch of which nothing is to be stored.
    fn give_back(&mut self, id: SessionId, log: LogId, credit_bytes: u64) {
        let size = self.replicas.get(&log).map_or(0, Replica::durable);
        let (land, epoch) = (log.land.code().to_owned(), log.epoch);
        self.send(id, Message::Ack(Ack { land, epoch, size, credit_bytes }));
    }

    pub(super) fn not_taken(
        &mut self,
        id: SessionId,
        log: LogId,
        fault: PeerFault,
        now: Now,
    ) -> Result<Vec<Heard>, PeerFault> {
        if matches!(fault, PeerFault::CreditExceeded { .. }) {
            return Err(fault);
        }
        if let Some(peer) = self.sessions.get(&id).map(|it| it.peer.clone()) {
            self.wishes.push_back(Wish::Report(Report::PeerFault { peer, fault }));
        }
        self.turn_away(id, log, now);
        Ok(Vec::new())
    }

    /// Other logs of a partner may be fine; this one comes from somebody else.
    pub(super) fn turn_away(&mut self, id: SessionId, log: LogId, now: Now) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.avoid.insert(log, now.mono_ms + limits::SOURCE_AVOID_MS);
        }
        if let Some(replica) = self.replicas.get_mut(&log) {
            replica.source = None;
        }
        self.stop_following(id, log);
    }

    fn refused(&mut self, id: SessionId, refusal: &Refusal, now: Now) {
        let Some(log) = self.known_log(&refusal.land, refusal.epoch) else { return };
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(replica) = self.replicas.get_mut(&log) else { return };
        // a Follow that was given up already may still be refused; that says nothing
        if replica.source.is_none_or(|it| it.session != id) {
            return;
        }
        replica.source = None;
        session.avoid.insert(log, now.mono_ms + limits::SOURCE_AVOID_MS);
        let peer = session.peer.clone();
        self.wishes.push_back(Wish::Report(Report::Refused { peer, log }));
    }

    fn ack(&mut self, id: SessionId, ack: &Ack) -> Vec<Heard> {
        let Some(log) = self.known_log(&ack.land, ack.epoch) else { return Vec::new() };
        let durable = self.replicas.get(&log).map_or(0, |it| it.durable());
        let Some(session) = self.sessions.get_mut(&id) else { return Vec::new() };
        let Some(serving) = session.serving.get_mut(&log) else { return Vec::new() };
        // an Ack may overtake the news that its range was sent, which is yet to be subtracted
        let sending = if session.sending.contains(&log) { limits::MESSAGE_BYTES_MAX } else { 0 };
        let most = (limits::FOLLOW_CREDIT_BYTES + sending as u64).cast_signed();
        serving.credit = serving.credit.saturating_add_unsigned(ack.credit_bytes).min(most);
        // nobody holds more than was sent
        let size = ack.size.min(serving.next).min(durable);
        let held = session.heads.entry(log).or_default();
        *held = (*held).max(size);
        let member = session.peer.land;
        self.pump(id, log);
        if log == self.own {
            vec![Heard::OwnLog { session: id, member, size, nonce: 0, shown: None }]
        } else {
            Vec::new()
        }
    }
}

/// What became of a head.
enum Told {
    /// It says nothing.
    Nothing,
    /// It is of another charter than the one in force here, and counts for nothing.
    Uncounted,
    /// It is signed.
    Head(SignedCheckpoint),
    /// Its log stopped; what that means for the own log.
    Forked(Option<Heard>),
}
