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

    /// Whether the time of a signature can be right, by the clock here.
    pub(crate) fn can_have_signed(self, unix_seconds: u64) -> bool {
        i64::try_from(unix_seconds).is_ok_and(|it| it <= self.latest_ms() / 1_000)
    }
}
