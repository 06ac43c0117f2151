//! The stage between durable and acknowledged: who waits for the fold and for which partners.

use std::collections::{BTreeMap, VecDeque};

use registry_proto::{
    log::Hash,
    terms::{Land, LogId, SemVer, ServiceId},
    wire::registry::Warning,
};

use uuid::Uuid;

use crate::{compat::Verdict, log::Ticket, now::Now, reject::Reject};

/// Answer to a submission.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// One per record, in the order of the request.
    pub records: Vec<PublishedRecord>,
    /// Partner Länder that hold the batch durably, as far as known at the answer.
    pub acknowledged_by: Vec<Land>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedRecord {
    /// Service it is about.
    pub service: ServiceId,
    /// Nachnutzung, for a record about one.
    pub subscription: Option<Uuid>,
    /// Version, for a version.
    pub version: Option<SemVer>,
    /// Log it stands in.
    pub log: LogId,
    /// Its index; `None` in a dry run.
    pub index: Option<u64>,
    /// Its leaf hash; `None` in a dry run.
    pub leaf: Option<Hash>,
    /// True when nothing was written because exactly this stands already.
    pub unchanged: bool,
    /// 1 + index of the newest entry of the own log about the object.
    pub revision: u64,
    /// How a new version compares with the one before it.
    pub verdict: Option<Verdict>,
    /// Findings that did not stop it.
    pub warnings: Vec<Warning>,
}

/// A staged submission.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    /// Entries of the own log that must be durable and folded.
    pub(crate) size: u64,
    pub(crate) ack_peers: u32,
    pub(crate) deadline_mono_ms: u64,
    pub(crate) published: Published,
}

/// All staged submissions.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom {
    /// Until durable and folded; in the order of their size.
    fold: VecDeque<Waiting>,
    /// Until enough partners hold them.
    partners: VecDeque<Waiting>,
    /// What other members hold durably of the own log.
    acked: BTreeMap<Land, u64>,
}

/// An answer that is due.
pub(crate) type Due = (Ticket, Result<Published, Reject>);

// === impl WaitingRoom ===

impl WaitingRoom {
    pub(crate) fn len(&self) -> usize {
        self.fold.len() + self.partners.len()
    }

    pub(crate) fn enter(&mut self, waiting: Waiting) {
        // what stands already needs less than those in front of it, and need not wait for them
        let at = self.fold.partition_point(|it| it.size <= waiting.size);
        self.fold.insert(at, waiting);
    }

    /// Entries below `size` are durable and folded here.
    pub(crate) fn folded(&mut self, size: u64, due: &mut Vec<Due>) {
        while let Some(front) = self.fold.front() {
            if front.size > size {
                break;
            }
            if let Some(waiting) = self.fold.pop_front() {
                self.settle(waiting, due);
            }
        }
    }

    /// A member holds `size` entries of the own log durably.
    pub(crate) fn acked(&mut self, member: Land, size: u64, due: &mut Vec<Due>) {
        let known = self.acked.entry(member).or_default();
        if *known >= size {
            return;
        }
        *known = size;
        for waiting in std::mem::take(&mut self.partners) {
            self.settle(waiting, due);
        }
    }

    /// Answers those whose time is up.
    pub(crate) fn expire(&mut self, now: Now, due: &mut Vec<Due>) {
        let (late, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.partners)
            .into_iter()
            .partition(|it| it.deadline_mono_ms <= now.mono_ms);
        self.partners = rest;
        for waiting in late {
            let reject = Reject::AckTimeout {
                position: position_of(&waiting.published),
                acknowledged_by: self.holders(waiting.size).map(|it| it.to_string()).collect(),
                asked: waiting.ack_peers,
            };
            due.push((waiting.ticket, Err(reject)));
        }
    }

    /// What lies beyond `size` will not become durable.
    pub(crate) fn fail(&mut self, size: u64, reject: &Reject, due: &mut Vec<Due>) {
        let at = self.fold.partition_point(|it| it.size <= size);
        let lost = self.fold.split_off(at);
        due.extend(lost.into_iter().map(|it| (it.ticket, Err(reject.clone()))));
    }

    fn settle(&mut self, mut waiting: Waiting, due: &mut Vec<Due>) {
        let holders: Vec<Land> = self.holders(waiting.size).collect();
        if holders.len() >= waiting.ack_peers as usize {
            waiting.published.acknowledged_by = holders;
            due.push((waiting.ticket, Ok(waiting.published)));
        } else {
            self.partners.push_back(waiting);
        }
    }

    fn holders(&self, size: u64) -> impl Iterator<Item = Land> {
        self.acked.iter().filter(move |(_, held)| **held >= size).map(|(land, _)| *land)
    }
}

fn position_of(published: &Published) -> String {
    published
        .records
        .iter()
        .find_map(|it| it.index.map(|index| format!("{}/{index}", it.log)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::Land::{HE, RP};
    use uuid::Uuid;

    use super::*;

    fn waiting(ticket: u64, size: u64, ack_peers: u32) -> Waiting {
        let log = LogId { land: Land::SL, epoch: 1 };
        let record = PublishedRecord {
            service: ServiceId::from(Uuid::from_u128(1)),
            subscription: None,
            version: None,
            log,
            index: Some(size - 1),
            leaf: None,
            unchanged: false,
            revision: 0,
            verdict: None,
            warnings: Vec::new(),
        };
        let published = Published { records: vec![record], acknowledged_by: Vec::new() };
        let deadline_mono_ms = 1_000 + ticket;
        Waiting { ticket: Ticket(ticket), size, ack_peers, deadline_mono_ms, published }
    }

    /// Tickets that are answered by `event`, with the sign of the answer.
    fn answered(
        room: &mut WaitingRoom,
        event: impl FnOnce(&mut WaitingRoom, &mut Vec<Due>),
    ) -> Vec<String> {
        let mut due = Vec::new();
        event(room, &mut due);
        due.iter()
            .map(|(it, answer)| format!("{}{}", if answer.is_ok() { "+" } else { "-" }, it.0))
            .collect()
    }

    #[test]
    fn who_needs_less_does_not_wait_behind_who_needs_more() {
        let mut room = WaitingRoom::default();
        for it in [waiting(1, 5, 0), waiting(2, 3, 0), waiting(3, 5, 0), waiting(4, 9, 0)] {
            room.enter(it);
        }
        assert_eq!(answered(&mut room, |it, due| it.folded(2, due)), Vec::<String>::new());
        assert_eq!(answered(&mut room, |it, due| it.folded(3, due)), ["+2"]);
        assert_eq!(answered(&mut room, |it, due| it.folded(8, due)), ["+1", "+3"]);
        assert_eq!(room.len(), 1);
    }

    #[test]
    fn a_failure_takes_those_beyond_and_no_others() {
        let mut room = WaitingRoom::default();
        for it in [waiting(1, 5, 0), waiting(2, 3, 0), waiting(3, 6, 0), waiting(4, 1, 1)] {
            room.enter(it);
        }
        assert_eq!(answered(&mut room, |it, due| it.folded(1, due)), Vec::<String>::new());
        let busy = Reject::Busy { limit: "tests", max: 0 };
        assert_eq!(answered(&mut room, |it, due| it.fail(3, &busy, due)), ["-1", "-3"]);
        assert_eq!(answered(&mut room, |it, due| it.folded(9, due)), ["+2"]);
        // who waits for partners is durable already
        assert_eq!(answered(&mut room, |it, due| it.acked(RP, 1, due)), ["+4"]);
    }

    #[test]
    fn partners_count_once_and_only_for_what_they_hold() {
        let mut room = WaitingRoom::default();
        room.enter(waiting(1, 4, 2));
        room.enter(waiting(2, 6, 1));
        assert_eq!(answered(&mut room, |it, due| it.acked(RP, 5, due)), Vec::<String>::new());
        assert_eq!(answered(&mut room, |it, due| it.folded(6, due)), Vec::<String>::new());
        assert_eq!(answered(&mut room, |it, due| it.acked(RP, 5, due)), Vec::<String>::new());
        assert_eq!(answered(&mut room, |it, due| it.acked(HE, 4, due)), ["+1"]);
        // a member does not forget: another of its nodes may be behind
        assert_eq!(answered(&mut room, |it, due| it.acked(HE, 0, due)), Vec::<String>::new());
        assert_eq!(answered(&mut room, |it, due| it.acked(HE, 6, due)), ["+2"]);
        assert_eq!(room.len(), 0);
    }

    #[test]
    fn only_who_waits_for_partners_runs_out_of_time() {
        let mut room = WaitingRoom::default();
        room.enter(waiting(1, 1, 2));
        room.enter(waiting(2, 1, 2));
        room.enter(waiting(3, 2, 2));
        room.acked(RP, 1, &mut Vec::new());
        room.folded(1, &mut Vec::new());
        let at = |mono_ms| Now { mono_ms, wall_ms: 0 };
        assert_eq!(answered(&mut room, |it, due| it.expire(at(1_000), due)), Vec::<String>::new());
        let mut due = Vec::new();
        room.expire(at(1_001), &mut due);
        let expect = Reject::AckTimeout {
            position: "SL/1/0".to_owned(),
            acknowledged_by: vec!["RP".to_owned()],
            asked: 2,
        };
        assert_eq!(due, [(Ticket(1), Err(expect))]);
        assert_eq!(answered(&mut room, |it, due| it.expire(at(9_999), due)), ["-2"]);
        assert_eq!(room.len(), 1);
    }
}
