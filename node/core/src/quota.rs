//! What a Land may add to its log within a day, by the charter: a share that refills all the time.
//! Its own node refuses what goes beyond; every other node takes such a log slower.

use registry_proto::charter::Quota;

use crate::now::Now;

/// Entries and bytes that may still be added to a log.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    entries: Share,
    bytes: Share,
}

/// More than may be added now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// What there is too much of.
    pub(crate) limit: &'static str,
    /// How much of it a day has.
    pub(crate) max: u64,
    /// When it would fit, milliseconds from now; `None` if it is more than a day has.
    pub(crate) retry_ms: Option<u64>,
}

/// One of the two. Levels are counted in parts of a unit, so that what refills in a millisecond is a
/// whole number: a unit has as many parts as a day has milliseconds.
#[derive(Clone, Copy, Debug)]
struct Share {
    per_day: u64,
    most: i128,
    /// Negative after a batch that was larger than what was left.
    level: i128,
    at_mono_ms: u64,
}

const DAY_MS: u64 = 86_400_000;
/// Part of a day's share that must be there before a log that was slowed is followed again.
const BITES: i128 = 144;

// === impl Allowance ===

impl Allowance {
    /// Full, for so many days at once.
    pub(crate) fn new(quota: Quota, days: u32, now: Now) -> Self {
        let (entries, bytes) = (quota.entries(), quota.bytes());
        Self { entries: Share::new(entries, days, now), bytes: Share::new(bytes, days, now) }
    }

    /// Whether so much may be added now.
    ///
    /// # Errors
    ///
    /// What there is too much of; nothing is spent either way.
    pub(crate) fn require(&self, entries: u64, bytes: u64, now: Now) -> Result<(), Exceeded> {
        self.entries.require("entries a day", entries, now)?;
        self.bytes.require("bytes a day", bytes, now)
    }

    /// Something is added, whether it may be or not.
    pub(crate) fn spend(&mut self, entries: u64, bytes: u64, now: Now) {
        self.entries.spend(entries, now);
        self.bytes.spend(bytes, now);
    }

    /// What was spent was not added after all.
    pub(crate) fn refund(&mut self, entries: u64, bytes: u64) {
        self.entries.refund(entries);
        self.bytes.refund(bytes);
    }

    /// Nothing is left.
    pub(crate) fn is_spent(&self, now: Now) -> bool {
        [self.entries, self.bytes].iter().any(|it| it.level(now) <= 0)
    }

    /// As much is there again as makes going on worthwhile.
    pub(crate) fn has_bite(&self, now: Now) -> bool {
        [self.entries, self.bytes].iter().all(|it| it.level(now) >= parts(it.per_day) / BITES)
    }
}

// === impl Share ===

impl Share {
    fn new(per_day: u64, days: u32, now: Now) -> Self {
        let most = parts(per_day) * i128::from(days);
        Self { per_day, most, level: most, at_mono_ms: now.mono_ms }
    }

    fn level(&self, now: Now) -> i128 {
        let passed = now.mono_ms.saturating_sub(self.at_mono_ms);
        let refilled = i128::from(passed).saturating_mul(i128::from(self.per_day));
        self.level.saturating_add(refilled).min(self.most)
    }

    fn spend(&mut self, amount: u64, now: Now) {
        self.level = self.level(now) - parts(amount);
        self.at_mono_ms = self.at_mono_ms.max(now.mono_ms);
    }

    fn refund(&mut self, amount: u64) {
        self.level = self.level.saturating_add(parts(amount)).min(self.most);
    }

    fn require(&self, limit: &'static str, amount: u64, now: Now) -> Result<(), Exceeded> {
        let missing = parts(amount) - self.level(now);
        if missing <= 0 {
            return Ok(());
        }
        let per_ms = i128::from(self.per_day.max(1));
        let wait = (missing + per_ms - 1) / per_ms;
        let retry_ms = u64::try_from(wait).ok().filter(|_| parts(amount) <= self.most);
        Err(Exceeded { limit, max: self.per_day, retry_ms })
    }
}

fn parts(amount: u64) -> i128 {
    i128::from(amount) * i128::from(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 0 }
    }

    #[test]
    fn a_share_is_spent_refills_with_time_and_never_holds_more_than_its_days() {
        let quota = Quota { entries_per_day: 100, bytes_per_day: 1_000 };
        let mut it = Allowance::new(quota, 1, at(0));
        assert_eq!(it.require(100, 1_000, at(0)), Ok(()));
        let over = |limit, max, retry_ms| Err(Exceeded { limit, max, retry_ms });
        assert_eq!(it.require(101, 0, at(0)), over("entries a day", 100, None));
        it.spend(100, 10, at(0));
        assert!(it.is_spent(at(0)));
        // a hundredth of a day brings one entry, to the millisecond
        assert_eq!(it.require(1, 0, at(863_999)), over("entries a day", 100, Some(1)));
        assert_eq!(it.require(1, 0, at(864_000)), Ok(()));
        assert!(!it.is_spent(at(1)) && !it.has_bite(at(599_999)) && it.has_bite(at(600_000)));
        assert_eq!(it.require(1, 991, at(0)), over("entries a day", 100, Some(864_000)));
        // idle days are not saved up, and time that stands still or goes back brings nothing
        let days = at(10 * DAY_MS);
        assert_eq!(it.require(100, 1_000, days), Ok(()));
        it.spend(0, 1_500, days);
        assert_eq!(it.require(0, 1, at(0)), over("bytes a day", 1_000, Some(DAY_MS / 2 + 86_400)));
        let later = at(11 * DAY_MS);
        assert_eq!(it.require(0, 501, later), over("bytes a day", 1_000, Some(86_400)));
        assert_eq!(it.require(0, 500, later), Ok(()));
    }

    #[test]
    fn without_a_number_in_the_charter_the_default_counts() {
        let it = Allowance::new(Quota::default(), 1, at(0));
        let (entries, bytes) = (Quota::default().entries(), Quota::default().bytes());
        assert_eq!(it.require(entries, bytes, at(0)), Ok(()));
        let most =
            Allowance::new(Quota { entries_per_day: u64::MAX, bytes_per_day: u64::MAX }, 2, at(0));
        assert_eq!(most.require(u64::MAX, u64::MAX, at(u64::MAX)), Ok(()));
    }
}
