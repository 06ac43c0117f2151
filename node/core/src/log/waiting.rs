//! The stage between durable and acknowledged: who waits for the fold and for which partners.

use std::collections::{BTreeMap, VecDeque};

use registry_proto::{
    log::Hash,
    terms::{Land, LogId, SemVer, ServiceId},
    wire::registry::Warning,
};

use crate::{log::Ticket, now::Now, reject::Reject};

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
    /// Service.
    pub service: ServiceId,
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
