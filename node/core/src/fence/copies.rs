//! Whether another copy of this node signs.
//!
//! A Land signs the time at least every [`limits::FRESHNESS_RENEW_MS`], and partners pass on the
//! newest signature of each log, to its owner too. So a node hears of signatures that it did not
//! make itself, before the copy publishes anything, and both can be kept from forking.

use std::collections::BTreeSet;

use crate::{limits, now::Now};

/// Signatures of the own log, by their time.
#[derive(Clone, Debug)]
pub(crate) struct Copies {
    /// Begin of this life of the node, or of the time after it was asleep or stood still.
    since: Now,
    /// Newest signature that is known, seconds since 1970-01-01 UTC; none of a clock that ran ahead,
    /// which would hide what is signed today.
    known: u64,
    /// All that are known, at most [`SEEN_MAX`]: those of a clock that ran ahead come back when it is
    /// right again, and once their time comes they look like new ones.
    seen: BTreeSet<u64>,
    /// Newest that this life did not make: its time, and when it was heard.
    foreign: Option<(u64, u64)>,
    /// How many it did not make although they are younger than it.
    signs: u32,
    quiet_ms: u64,
}

// === impl Copies ===

impl Copies {
    /// `known` is the time of the newest signature on the disk, 0 if there is none, which may be
    /// that of another copy if the disk was `moved`; nobody else may sign for `quiet_ms` before a
    /// node that was copied goes on.
    pub(crate) fn new(known: u64, moved: bool, quiet_ms: u64, now: Now) -> Self {
        let foreign = (moved && known > 0).then_some((known, now.mono_ms));
        let seen = BTreeSet::new();
        let mut copies = Self { since: now, known: 0, seen, foreign, signs: 0, quiet_ms };
        copies.know(known, now);
        copies
    }

    /// The clock jumped, or this process stood still: a copy that took its place meanwhile is
    /// waited for until it is quiet, and only what it signs from now on says that it is still there.
    pub(crate) fn woke(&mut self, now: Now) {
        self.since = now;
        self.signs = 0;
        if now.is_far_behind(self.known) {
            let right = self.seen.iter().rev().find(|it| !now.is_far_behind(**it));
            self.known = right.copied().unwrap_or_default();
        }
    }

    /// This node signed.
    pub(crate) fn signed(&mut self, unix_seconds: u64, now: Now) {
        self.know(unix_seconds, now);
    }

    fn know(&mut self, unix_seconds: u64, now: Now) {
        self.seen.insert(unix_seconds);
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_first();
        }
        if !now.is_far_behind(unix_seconds) {
            self.known = unix_seconds.max(self.known);
        }
    }

    /// The fence opened: what is known is explained.
    pub(crate) fn settled(&mut self) {
        self.signs = 0;
    }

    /// A partner shows a signature; `first` in what it says of the own log on this stream. True
    /// when a copy seems to have made it.
    ///
    /// What is new only because another partner speaks for the first time says nothing: it may
    /// know the last signature before a crash that the others missed. Later it does, so that
    /// copies that push each other off their streams are noticed as well.
    pub(crate) fn heard(&mut self, unix_seconds: u64, first: bool, now: Now) -> bool {
        if unix_seconds <= self.known || self.seen.contains(&unix_seconds) {
            return false;
        }
        self.know(unix_seconds, now);
        self.foreign = Some((unix_seconds, now.mono_ms));
        let age_ms = now.mono_ms.saturating_sub(self.since.mono_ms);
        if !self.is_younger(unix_seconds) || (first && age_ms < limits::COPY_FIRST_MS) {
            return false;
        }
        self.signs = self.signs.saturating_add(1);
        true
    }

    /// True when this life began before the signature was made.
    pub(crate) fn is_younger(&self, unix_seconds: u64) -> bool {
        i64::try_from(unix_seconds).is_ok_and(|it| it > self.since.wall_ms.div_euclid(1_000))
    }

    /// True when one more sign would not be the first.
    pub(crate) fn is_certain(&self) -> bool {
        self.signs > 1
    }

    /// True when a copy would have signed by now.
    pub(crate) fn is_quiet(&self, now: Now) -> bool {
        self.quiet_in_ms(now) == 0
    }

    /// How long until a copy would have signed, if nobody signs meanwhile.
    pub(crate) fn quiet_in_ms(&self, now: Now) -> u64 {
        let Some((unix_seconds, heard_mono_ms)) = self.foreign else { return 0 };
        let signed_ms = i64::try_from(unix_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let age_ms = u64::try_from(now.wall_ms.saturating_sub(signed_ms)).unwrap_or_default();
        if age_ms > self.quiet_ms {
            return 0;
        }
        let heard_ms = now.mono_ms.saturating_sub(heard_mono_ms);
        self.quiet_ms.saturating_sub(heard_ms).min(self.quiet_ms - age_ms + 1)
    }
}

/// Signatures that are remembered: two days of a log with an entry now and then, and an hour of one
/// that is never at rest.
const SEEN_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000;

    fn at(seconds: u64) -> Now {
        let ms = seconds * SECOND;
        Now { mono_ms: ms, wall_ms: i64::try_from(ms).expect("small") }
    }

    /// Began at second 1,000 with a signature of second 990 on the disk.
    fn begun() -> Copies {
        Copies::new(990, false, 70 * SECOND, at(1_000))
    }

    #[test]
    fn a_signature_made_after_the_start_by_nobody_here_is_a_sign() {
        for (seconds, first, when, sign) in [
            (985, false, 1_010, false),   // known
            (995, false, 1_010, false),   // before the start
            (1_000, false, 1_010, false), // in the second of the start
            (1_005, false, 1_010, true),
            (1_005, true, 1_010, false), // another partner speaks for the first time
            (1_195, true, 1_200, true),  // long after the start
        ] {
            let mut copies = begun();
            assert_eq!(copies.heard(seconds, first, at(when)), sign, "{seconds} {first} {when}");
            assert!(!copies.heard(seconds, first, at(when)), "told once");
        }
    }

    #[test]
    fn own_signatures_come_back_as_no_sign_and_two_of_others_are_certain() {
        let mut copies = begun();
        copies.signed(1_060, at(1_060));
        assert!(!copies.heard(1_060, false, at(1_061)));
        assert!(copies.heard(1_070, false, at(1_071)) && !copies.is_certain());
        assert!(copies.heard(1_130, false, at(1_131)) && copies.is_certain());
        copies.settled();
        assert!(copies.heard(1_190, false, at(1_191)) && !copies.is_certain());
    }

    #[test]
    fn after_a_jump_of_the_clock_only_what_is_signed_later_is_a_sign() {
        let mut copies = begun();
        copies.woke(at(5_000));
        assert!(!copies.heard(4_000, false, at(5_010)), "while the machine was asleep");
        assert!(copies.heard(5_005, false, at(5_010)));
    }

    #[test]
    fn what_a_clock_that_ran_ahead_signed_hides_no_copy_and_is_none() {
        let mut copies = begun();
        copies.signed(1_060, at(1_060));
        // an hour ahead, then right again
        for seconds in [4_580, 4_640, 4_700] {
            copies.signed(seconds, at(seconds));
        }
        copies.woke(at(1_100));
        copies.signed(1_100, at(1_100));
        assert!(!copies.heard(4_700, false, at(1_101)) && !copies.heard(4_640, false, at(1_101)));
        assert!(copies.heard(1_130, false, at(1_131)) && !copies.is_certain());
        // before, when and after they could be right: whoever kept them tells them one by one
        for now in [4_100, 4_580, 4_641, 4_700] {
            for seconds in [4_580, 4_640, 4_700] {
                assert!(!copies.heard(seconds, false, at(now)), "{seconds} at {now}");
            }
        }
        assert!(copies.heard(4_720, false, at(4_725)));
        // from the disk
        let mut begun = Copies::new(4_700, false, 70 * SECOND, at(1_000));
        assert!(!begun.heard(4_700, false, at(1_010)) && begun.heard(1_005, false, at(1_010)));
    }

    #[test]
    fn so_many_signatures_are_remembered() {
        let mut copies = begun();
        for seconds in 2_000..2_000 + 2 * SEEN_MAX as u64 {
            copies.signed(seconds, at(seconds));
        }
        assert_eq!(copies.seen.len(), SEEN_MAX);
        assert_eq!(copies.seen.last(), Some(&copies.known));
    }

    #[test]
    fn it_is_quiet_when_a_copy_would_have_signed() {
        let mut copies = begun();
        assert!(copies.is_quiet(at(1_000)), "nobody else ever signed");
        copies.heard(995, true, at(1_001));
        assert!(!copies.is_quiet(at(1_001)) && !copies.is_quiet(at(1_065)));
        assert!(copies.is_quiet(at(1_066)), "the signature is old");
        let moved = Copies::new(990, true, 70 * SECOND, at(1_000));
        assert!(!moved.is_quiet(at(1_060)) && moved.is_quiet(at(1_061)));
        // a copy whose clock is ahead
        copies.heard(9_000, true, at(1_070));
        assert!(!copies.is_quiet(at(1_139)) && copies.is_quiet(at(1_140)));
    }
}
