//! How fast a log is taken: what goes beyond two days of its quota waits, so that no member fills the
//! disks of the others. It goes on as the quota refills, and nothing of it is refused for good.

use registry_proto::{charter::Quota, erasure::is_erasure, wire::peer::BatchEntry};

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
    /// Erasures beside it: their owner may write them at any time, and all have to follow.
    erasures: Allowance,
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
        let erasures = Quota {
            entries_per_day: limits::ERASURES_BESIDE_QUOTA,
            bytes_per_day: limits::ERASURES_BESIDE_QUOTA_BYTES,
        };
        let erasures = Allowance::new(erasures, limits::QUOTA_DAYS_RECEIVED, now);
        Self { allowance, erasures, free: 0, was_empty, slowed: false }
    }

    /// Takes an erasure of so many bytes beside the quota, if it still may be.
    fn spares(&mut self, entry: &BatchEntry, bytes: usize, now: Now) -> bool {
        let spared = bytes <= limits::ERASURE_BESIDE_QUOTA_BYTES
            && is_erasure(&entry.header)
            && self.erasures.require(1, bytes as u64, now).is_ok();
        if spared {
            self.erasures.spend(1, bytes as u64, now);
        }
        spared
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
        let free = self.pace.free;
        for (_, entry) in (first..).zip(&store.entries).filter(|(at, _)| *at >= free) {
            let size = entry_bytes(entry);
            if !self.pace.spares(entry, size, now) {
                entries += 1;
                bytes += size as u64;
            }
        }
        self.pace.allowance.spend(entries, bytes, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_small_erasures_are_taken_beside_the_quota() {
        let at = |mono_ms| Now { mono_ms, wall_ms: 0 };
        let entry = |kind, bytes| {
            let header = bytes::Bytes::copy_from_slice(&[0x30, kind]);
            BatchEntry { header, body: vec![0; bytes].into(), ..BatchEntry::default() }
        };
        let new = || Pace::new(Quota::default(), false, at(0));
        let spares =
            |pace: &mut Pace, entry: &BatchEntry, now| pace.spares(entry, entry_bytes(entry), now);
        let mut pace = new();
        assert!(!spares(&mut pace, &entry(2, 100), at(0)), "another kind");
        let most = limits::ERASURE_BESIDE_QUOTA_BYTES;
        assert!(!spares(&mut pace, &entry(12, most), at(0)), "too large");
        let days = u64::from(limits::QUOTA_DAYS_RECEIVED);
        let small = entry(12, 100);
        let taken = (0..=days * limits::ERASURES_BESIDE_QUOTA)
            .filter(|_| spares(&mut pace, &small, at(0)))
            .count() as u64;
        assert_eq!(taken, days * limits::ERASURES_BESIDE_QUOTA);
        assert!(spares(&mut pace, &small, at(86_400_000)), "a day later");
        let (mut pace, large) = (new(), entry(12, most - 2));
        let taken = (0..=days * limits::ERASURES_BESIDE_QUOTA)
            .take_while(|_| spares(&mut pace, &large, at(0)))
            .count() as u64;
        assert_eq!(taken, days * limits::ERASURES_BESIDE_QUOTA_BYTES / most as u64);
    }
}
