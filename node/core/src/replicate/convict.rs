//! Owners who sign two histories: how that is found, proved and passed on.
//!
//! Every signed head that anyone shows is held against the tree here, whatever its size: at once
//! when a root of that size is at hand, else by a look at the disk as soon as the entries here
//! reach that far. So of two nodes that were told two histories, the one that holds more convicts
//! the owner when it hears what the other holds.

use bytes::Bytes;
use registry_proto::{
    evidence::{Equivocation, EvidenceError, claimed_log},
    log::{CheckpointError, SignedCheckpoint},
    terms::LogId,
    wire::peer::{Evidence, peer_message::Message},
};

use crate::{
    authorize::PeerIdentity,
    limits,
    replicate::{
        Heard, OwnerFault, PeerFault, Replication, Report, SessionId, Wish,
        doubts::{Examination, Found, Suspect},
    },
};

impl Replication {
    /// Takes evidence that is kept on the disk; answers what it says about the own log. What does
    /// not verify is left out.
    pub(crate) fn remember(&mut self, kept: &[Bytes]) -> Option<OwnerFault> {
        for raw in kept {
            let Ok((land, epoch)) = claimed_log(raw) else { continue };
            let Some(log) = self.known_log(&land, epoch) else { continue };
            let Some(replica) = self.replicas.get_mut(&log) else { continue };
            if let Ok(proved) = replica.verify_evidence(raw) {
                replica.convict(proved);
            }
        }
        self.replicas.get(&self.own).and_then(|it| it.stopped()).cloned()
    }

    /// Tells a partner about every owner that is convicted.
    pub(super) fn send_evidence(&mut self, id: SessionId) {
        let proofs = self.replicas.values().filter_map(|it| it.evidence());
        let items: Vec<Bytes> = proofs.map(|it| it.raw().clone()).collect();
        if !items.is_empty() {
            self.send(id, Message::Evidence(Evidence { items }));
        }
    }

    /// A partner shows evidence; nothing of it is believed that does not verify.
    pub(super) fn shown_evidence(
        &mut self,
        id: SessionId,
        items: &[Bytes],
    ) -> Result<Vec<Heard>, PeerFault> {
        if items.len() > limits::MEMBERS_MAX {
            return Err(PeerFault::TooMuchEvidence(items.len()));
        }
        let mut heard = Vec::new();
        for raw in items {
            let (land, epoch) = match claimed_log(raw) {
                Ok(log) => log,
                // of newer software; whoever passes it on does nothing wrong
                Err(EvidenceError::Format { .. }) => continue,
                Err(source) => return Err(PeerFault::Evidence { source }),
            };
            let Some(log) = self.known_log(&land, epoch) else { continue };
            let Some(replica) = self.replicas.get(&log) else { continue };
            if replica.evidence().is_some() {
                continue;
            }
            let proved = match replica.verify_evidence(raw) {
                Ok(proved) => proved,
                // what an owner signed with keys that were replaced since proves nothing any more
                Err(EvidenceError::Checkpoint {
                    source: CheckpointError::OtherKeys { .. },
                    ..
                }) => {
                    continue;
                }
                Err(_) if self.is_of_other_charter(id) => continue,
                Err(source) => return Err(PeerFault::Evidence { source }),
            };
            let Some(peer) = self.sessions.get(&id).map(|it| it.peer.clone()) else { continue };
            heard.extend(self.convict(proved, peer, Some(id)));
        }
        Ok(heard)
    }

    /// Holds a verified head against the tree here, now or when the entries reach that far.
    pub(super) fn suspect(&mut self, log: LogId, signed: SignedCheckpoint, peer: PeerIdentity) {
        if let Some(replica) = self.replicas.get_mut(&log) {
            replica.suspect(Suspect { signed, peer });
        }
        self.examine(log);
    }

    /// Asks the disk about the next head in question, if none is under way.
    pub(super) fn examine(&mut self, log: LogId) {
        let next = self.replicas.get_mut(&log).and_then(|it| it.next_examination());
        self.wishes.extend(next.map(Wish::Examine));
    }

    /// The disk has answered, or cannot.
    pub(crate) fn examined(&mut self, of: &Examination, found: Option<&Found>) -> Option<Heard> {
        let replica = self.replicas.get_mut(&of.log)?;
        let proved = replica.examined(of, found);
        self.examine(of.log);
        self.agree(of.log);
        if proved.is_some() && self.is_unseen(of.log, of.suspect.size()) {
            return self.doubt(of.suspect.clone(), &of.peer);
        }
        // who showed the head knows no more than that head
        self.convict(proved?, of.peer.clone(), None)
    }

    /// The owner of a log is convicted by what a partner said: the log stops, and the evidence is
    /// kept and passed on. Answers when it is the own log. `signed` is what contradicts the log here, if
    /// that is a head.
    pub(super) fn stop(
        &mut self,
        log: LogId,
        peer: PeerIdentity,
        fault: OwnerFault,
        signed: Option<SignedCheckpoint>,
    ) -> Option<Heard> {
        if let OwnerFault::Equivocation { size, .. } = fault
            && self.is_unseen(log, size)
        {
            self.drop_source(log);
            self.replicas.get_mut(&log)?.spare();
            return self.doubt(signed?, &peer);
        }
        let proved = self.replicas.get_mut(&log).and_then(|it| it.take_proved());
        if let Some(proved) = proved {
            return self.convict(proved, peer, None);
        }
        self.end_following(log, peer, fault.clone());
        (log == self.own).then_some(Heard::OwnLogForked(fault))
    }

    fn convict(
        &mut self,
        proved: Equivocation,
        peer: PeerIdentity,
        from: Option<SessionId>,
    ) -> Option<Heard> {
        let log = proved.log();
        let replica = self.replicas.get_mut(&log)?;
        if replica.evidence().is_some() {
            return None;
        }
        let raw = proved.raw().clone();
        let fault = replica.convict(proved);
        let doubtful = replica.is_doubtful();
        self.end_following(log, peer, fault.clone());
        let wish = Wish::KeepEvidence { log, raw: raw.clone(), begin_again: doubtful };
        self.wishes.push_back(wish);
        let told = self.sessions.iter().filter(|(id, it)| it.is_open() && Some(**id) != from);
        let told: Vec<SessionId> = told.map(|(id, _)| *id).collect();
        for id in told {
            self.send(id, Message::Evidence(Evidence { items: vec![raw.clone()] }));
        }
        (log == self.own).then_some(Heard::OwnLogForked(fault))
    }

    /// Nobody is asked for more of the log.
    fn end_following(&mut self, log: LogId, peer: PeerIdentity, fault: OwnerFault) {
        self.wishes.push_back(Wish::Report(Report::LogStopped { peer, fault }));
        let source = self.replicas.get_mut(&log).and_then(|it| it.source.take());
        if let Some(source) = source {
            self.stop_following(source.session, log);
        }
    }
}
