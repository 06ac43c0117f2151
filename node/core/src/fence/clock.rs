//! When a machine was asleep.

use crate::{limits, now::Now};

/// Watches the wall clock against the monotonic one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockWatch {
    last: Now,
}

// === impl ClockWatch ===

impl ClockWatch {
    pub(crate) fn new(now: Now) -> Self {
        Self { last: now }
    }

    /// True when the wall clock moved against the monotonic one by more than the limit since the
    /// last call.
    pub(crate) fn jumped(&mut self, now: Now) -> bool {
        let mono = i64::try_from(now.mono_ms.saturating_sub(self.last.mono_ms)).unwrap_or(i64::MAX);
        let wall = now.wall_ms.saturating_sub(self.last.wall_ms);
        self.last = now;
        wall.saturating_sub(mono).saturating_abs() > limits::CLOCK_JUMP_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_jumps_only_against_the_other_clock() {
        let max = limits::CLOCK_JUMP_MS;
        for (mono, wall, jumped) in [
            (0, 0, false),
            (0, max, false),
            (0, max + 1, true),
            (0, -max, false),
            (0, -max - 1, true),
            (3_600_000, 3_600_000, false),
            (3_600_000, 0, true),
            (0, i64::MAX, true),
            (u64::MAX, 0, true),
            (u64::MAX, i64::MIN, true),
        ] {
            let mut watch = ClockWatch::new(Now { mono_ms: 0, wall_ms: 0 });
            let now = Now { mono_ms: mono, wall_ms: wall };
            assert_eq!(watch.jumped(now), jumped, "{now:?}");
            assert!(!watch.jumped(now), "told once");
        }
    }
}
