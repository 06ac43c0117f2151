//! How fast a log is taken: what goes beyond two days of its quota waits, so that no member fills the
//! disks of the others. It goes on as the quota refills, and nothing of it is refused for good.

use registry_proto::charter::Quota;

use crate::{
    limits,
    now::Now,
    quota::Allowance,
    replicate::{
        entries::entry_bytes,
        replica::{Replica, Store},
    },
};

/// What may still be taken of a log.
#[derive(Debug)]
pub(super) struct Pace {
    allowance: Allowance,
    /// Entries that cost nothing: most others hold them already.
    free: u64,
    /// Nothing of the log was here at the start.
    was_empty: bool,
    slowed: bool,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(quota: Quota, was_empty: bool, now: Now) -> Self {
        let allowance = Allowance::new(quota, limits::QUOTA_DAYS_RECEIVED, now);
        Self { allowance, free: 0, was_empty, slowed: false }
    }

    fn waits(&self, now: Now) -> bool {
        if self.slowed { !self.allowance.has_bite(now) } else { self.allowance.is_spent(now) }
    }
}

// === impl Replica ===

impl Replica {
    /// Cheap, for every message: whether [`Self::slow`] has to be asked at all.
    pub(crate) fn may_be_slow(&mut self, now: Now) -> bool {
        let waits = self.pace.waits(now);
        self.pace.slowed &= waits;
        waits || (self.pace.was_empty && self.head.is_some())
    }

    /// Whether taking more has to wait. `held` entries are held by most other members, who took them
    /// within the quota; `None` if there is no other member to say so.
    pub(crate) fn slow(&mut self, held: Option<u64>, now: Now) -> bool {
        let head = self.head.as_ref().map(|it| it.size());
        // in a Verbund of two nobody else tells what was there before this node began
        let before = head.filter(|_| std::mem::take(&mut self.pace.was_empty) && held.is_none());
        let free = held.or(before).unwrap_or_default();
        self.pace.free = self.pace.free.max(free);
        self.pace.slowed = self.pace.waits(now) && self.received.size() >= self.pace.free;
        self.pace.slowed
    }

    /// Taking more waits, as of the last look.
    pub(crate) fn is_slowed(&self) -> bool {
        self.pace.slowed
    }

    /// Counts what was taken.
    pub(crate) fn spend(&mut self, store: &Store, now: Now) {
        let first = self.received.size().saturating_sub(store.entries.len() as u64);
        let (mut entries, mut bytes) = (0, 0);
        for (_, entry) in (first..).zip(&store.entries).filter(|(at, _)| *at >= self.pace.free) {
            entries += 1;
            bytes += entry_bytes(entry) as u64;
        }
        self.pace.allowance.spend(entries, bytes, now);
    }
}
