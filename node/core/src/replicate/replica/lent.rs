//! Bodies of the own past that partners may still have.
//!
//! Of an epoch that ended the owner takes entries without bodies that it erased behind what counts, and
//! erases them again. A partner that shows such an erasure may keep the body back: who stole the key of the
//! log can have signed it. So an owner without its disk asks all others too before it takes a body for
//! gone, and puts together what each of them has.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::wire::peer::{Batch, BatchEntry, BodyState};

use super::{BatchFault, Replica};
use crate::{
    limits,
    now::Now,
    replicate::{SessionId, entries::entry_bytes},
};

/// What was shown of the entries that come next.
#[derive(Debug, Default)]
pub(super) struct Lent {
    /// Index of the first of them.
    first: u64,
    /// Who showed them.
    asked: BTreeSet<SessionId>,
    /// Entries with their bodies, verified.
    entries: BTreeMap<u64, BatchEntry>,
    bytes: usize,
    /// Since when one of them lacks its body.
    since_mono_ms: Option<u64>,
    /// Since when anything was missing in this log.
    ever_mono_ms: Option<u64>,
    others: Others,
}

/// Who else can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Others {
    /// A partner that is connected.
    #[default]
    Some,
    /// Nobody; members are away.
    Away,
    /// Nobody: all were asked.
    None,
}

// === impl Replica ===

impl Replica {
    /// True for the past of this node's own Land.
    pub(crate) fn is_own_past(&self) -> bool {
        self.own && self.ends.is_some()
    }

    /// True if a partner showed what comes next already, and it was right.
    pub(crate) fn was_asked(&self, id: SessionId) -> bool {
        self.lent.first == self.received.size() && self.lent.asked.contains(&id)
    }

    /// Which other partners can be asked; counts for the batch that comes next.
    pub(crate) fn others_are(&mut self, others: Others) {
        self.lent.others = others;
    }

    /// Gives entries the bodies that others showed. The headers MUST be proved to be what comes next; the
    /// batch may be larger then than one may be that comes.
    pub(super) fn lend(&mut self, batch: &mut Batch) {
        let (first, lent) = (self.received.size(), &mut self.lent);
        if lent.first != first {
            let (ever_mono_ms, others) = (lent.ever_mono_ms, lent.others);
            *lent = Lent { first, ever_mono_ms, others, ..Lent::default() };
        }
        for (index, entry) in (batch.first..).zip(&mut batch.entries) {
            let known = self.lent.entries.get(&index).filter(|it| it.header == entry.header);
            if let Some(known) = known.filter(|_| entry.body_state() == BodyState::Erased) {
                *entry = known.clone();
            }
        }
    }

    /// Whether a verified batch is taken that lacks bodies; if not, those it has are kept for the next, and
    /// who showed it was asked.
    pub(super) fn may_lack(
        &mut self,
        batch: &Batch,
        from: SessionId,
        now: Now,
    ) -> Result<(), BatchFault> {
        self.lent.asked.insert(from);
        let passed =
            |since: &mut Option<u64>| now.mono_ms.saturating_sub(*since.get_or_insert(now.mono_ms));
        let (ever, here) =
            (passed(&mut self.lent.ever_mono_ms), passed(&mut self.lent.since_mono_ms));
        let asked = match self.lent.others {
            Others::Some => false,
            Others::Away => ever >= limits::LENT_WAIT_MS,
            Others::None => true,
        };
        if asked || here >= limits::LENT_ASK_MS {
            return Ok(());
        }
        for (index, entry) in (batch.first..).zip(&batch.entries) {
            let bytes = self.lent.bytes + entry_bytes(entry);
            let fits = entry.body_state() == BodyState::Present && bytes <= limits::LENT_BYTES_MAX;
            if fits && !self.lent.entries.contains_key(&index) {
                self.lent.entries.insert(index, entry.clone());
                self.lent.bytes = bytes;
            }
        }
        Err(BatchFault::Gone)
    }
}
