//! Time as an argument.

use crate::limits;

/// What the clocks of the shell say at the moment of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock, milliseconds since an arbitrary start; never goes back.
    pub mono_ms: u64,
    /// Wall clock, milliseconds since 1970-01-01 UTC; may jump.
    pub wall_ms: i64,
}

// === impl Now ===

impl Now {
    /// The latest time that a head from elsewhere may say to be signed at, milliseconds.
    pub(crate) fn latest_ms(self) -> i64 {
        self.wall_ms.saturating_add(limits::HEAD_AHEAD_MS)
    }

    /// The latest time of an own signature that the clock here need not have been ahead for, by that
    /// of any partner whose clock differs a little too, milliseconds.
    pub(crate) fn furthest_ms(self) -> i64 {
        self.latest_ms().saturating_add(limits::HEAD_BACK_MS)
    }

    /// Whether the clock here is so far behind an own signature that it must have been ahead.
    pub(crate) fn is_far_behind(self, unix_seconds: u64) -> bool {
        i64::try_from(unix_seconds).map_or(true, |it| it > self.furthest_ms() / 1_000)
    }

    /// Whether the time of a signature can be right, by the clock here.
    pub(crate) fn can_have_signed(self, unix_seconds: u64) -> bool {
        i64::try_from(unix_seconds).is_ok_and(|it| it <= self.latest_ms() / 1_000)
    }
}
