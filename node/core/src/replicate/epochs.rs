//! Resets of logs: which partners are told, and what is believed of those they tell.

use std::collections::BTreeMap;

use bytes::Bytes;
use registry_proto::{
    charter::Charter,
    epoch::{Reset, ResetError, TakenReset},
    terms::{Land, LogId},
    wire::peer::{EpochResets, peer_message::Message},
};

use crate::{
    limits,
    now::Now,
    replicate::{Heard, Lapse, PeerFault, Replication, Report, SessionId, Wish},
    status::ResetsTold,
};

impl Replication {
    /// The resets that are taken, by the epoch that each ended.
    pub(crate) fn resets(&self) -> &BTreeMap<LogId, TakenReset> {
        &self.resets
    }

    /// What partners told and would count here if the charter listed it.
    pub(crate) fn resets_told(&self) -> &ResetsTold {
        &self.resets_told
    }

    /// Remembers the resets that the logs here rest on, and the charters before the one in force,
    /// under which others were complete.
    pub(crate) fn ended(&mut self, resets: Vec<TakenReset>, past: Vec<Charter>) {
        self.resets = resets.into_iter().map(|it| (it.said().log, it)).collect();
        self.past = past;
    }

    /// Tells a partner about every log that began again.
    pub(super) fn send_resets(&mut self, id: SessionId) {
        let mut of_land: BTreeMap<Land, Vec<Bytes>> = BTreeMap::new();
        for (log, reset) in &self.resets {
            of_land.entry(log.land).or_default().push(reset.encode());
        }
        for items in of_land.into_values() {
            self.send(id, Message::EpochResets(EpochResets { items }));
        }
    }

    /// A partner shows resets; nothing of them is believed that does not count here.
    pub(super) fn shown_resets(
        &mut self,
        id: SessionId,
        items: &[Bytes],
        now: Now,
    ) -> Result<Vec<Heard>, PeerFault> {
        if items.len() > limits::EPOCHS_MAX {
            return Err(PeerFault::TooManyResets(items.len()));
        }
        let mut heard = Vec::new();
        for raw in items {
            let reset = Reset::read(raw).map_err(|source| PeerFault::Reset { source })?;
            let log = reset.said().log;
            // known, of a member this node does not know, or of an epoch it has not come to
            if self.resets.contains_key(&log) || !self.is_running(log) {
                if self.may_be_next(log) {
                    self.charge(id, &reset, now)?;
                    self.note_next(&reset);
                }
                continue;
            }
            self.charge(id, &reset, now)?;
            let Some(session) = self.sessions.get(&id) else { continue };
            let (peer, later) = (session.peer.clone(), session.charter > self.charter.number());
            let outcome = reset.clone().counts(&self.charter, &self.past);
            let was_complete = outcome.is_err() && self.may_be_listed(&reset);
            if was_complete {
                self.note_told(&reset);
            }
            match outcome {
                Ok(taken) => {
                    let size = taken.said().size;
                    self.wishes.push_back(Wish::Report(Report::EpochEnded { peer, log, size }));
                    heard.extend(self.take_reset(taken));
                }
                // whoever took it under an earlier charter keeps it, and by a newer one it may count
                Err(why)
                    if !matches!(why, ResetError::OtherListed { .. })
                        && (later || was_complete) =>
                {
                    self.lapse(id, Lapse::UncountedReset);
                }
                // it stays a partner: its other logs may be fine
                Err(source) => {
                    let fault = PeerFault::Reset { source };
                    self.wishes.push_back(Wish::Report(Report::PeerFault { peer, fault }));
                }
            }
        }
        Ok(heard)
    }

    /// What does not count is not remembered: shown again, it is verified again, under the charter in
    /// force and under one before.
    fn charge(&mut self, id: SessionId, reset: &Reset, now: Now) -> Result<(), PeerFault> {
        let signatures = 1 + reset.consents().count();
        self.sessions.get_mut(&id).map_or(Ok(()), |it| it.spend(2 * signatures, now))
    }

    /// Takes a reset. Until the node has begun again nothing more is accepted of the epoch that
    /// ended, and the next one is not known yet.
    fn take_reset(&mut self, taken: TakenReset) -> Option<Heard> {
        let log = taken.said().log;
        let replica = self.replicas.get_mut(&log)?;
        replica.end(taken.said().size);
        self.resets.insert(log, taken.clone());
        self.wishes.push_back(Wish::KeepReset(taken));
        (log == self.own).then_some(Heard::EpochEnded)
    }

    /// Whether a reset that is not listed would count as soon as it were.
    fn may_be_listed(&self, reset: &Reset) -> bool {
        self.charter.listed(reset.said().log).is_none() && reset.was_complete(&self.past)
    }

    /// This node can vote for a charter that lists it, though it cannot take it before.
    fn note_told(&mut self, reset: &Reset) {
        let told = self.resets_told.entry(reset.said().log).or_default();
        if told.len() < limits::RESETS_TOLD_MAX {
            told.insert(reset.digest());
        }
    }

    /// Whether this node has not come to an epoch because the one before ended with a reset that is
    /// remembered.
    fn may_be_next(&self, log: LogId) -> bool {
        let before = LogId { epoch: log.epoch.saturating_sub(1), ..log };
        self.resets_told.contains_key(&before)
            && !self.resets.contains_key(&before)
            && usize::try_from(log.epoch).is_ok_and(|it| it < limits::EPOCHS_MAX)
    }

    /// As [`Self::note_told`] for such an epoch.
    fn note_next(&mut self, reset: &Reset) {
        if self.may_be_listed(reset) || reset.verify(&self.charter) == Ok(0) {
            self.note_told(reset);
        }
    }

    /// True for the newest epoch of a member, unless it has ended or would be the last one.
    fn is_running(&self, log: LogId) -> bool {
        let known = self.replicas.get(&log).is_some_and(|it| it.ends().is_none());
        known && usize::try_from(log.epoch).is_ok_and(|it| it < limits::EPOCHS_MAX)
    }
}
