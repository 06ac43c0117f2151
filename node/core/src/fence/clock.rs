//! When a machine was asleep, or its process stood still.

use crate::{fence::Why, limits, now::Now};

/// Watches the wall clock against the monotonic one, and both for times in which nothing happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockWatch {
    last: Now,
}

/// When something to be signed was ordered.
///
/// A process can be stopped at any time, also between an order and what comes of it, and another
/// copy can go on meanwhile. Whoever signs MUST ask [`Ordered::is_void`] right before it signs and
/// again before the signature is kept or shown, and MUST drop what is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    at: Now,
}

// === impl ClockWatch ===

impl ClockWatch {
    pub(crate) fn new(now: Now) -> Self {
        Self { last: now }
    }

    /// Why the answers of partners count no more, told once: since the last call the wall clock
    /// moved against the monotonic one, or so much time passed that this process stood still. To
    /// a node that runs something happens all the time, a tick at least.
    pub(crate) fn woke(&mut self, now: Now) -> Option<Why> {
        let last = std::mem::replace(&mut self.last, now);
        let passed_ms = now.mono_ms.saturating_sub(last.mono_ms);
        let mono = i64::try_from(passed_ms).unwrap_or(i64::MAX);
        let wall = now.wall_ms.saturating_sub(last.wall_ms);
        if wall.saturating_sub(mono).saturating_abs() > limits::CLOCK_JUMP_MS {
            Some(Why::ClockJump)
        } else {
            (passed_ms > limits::FROZEN_MS).then_some(Why::Frozen)
        }
    }
}

// === impl Ordered ===

impl Ordered {
    pub(crate) fn at(now: Now) -> Self {
        Self { at: now }
    }

    /// True if a node that did nothing since the order would ask its partners first.
    pub fn is_void(self, now: Now) -> bool {
        ClockWatch::new(self.at).woke(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_jumps_only_against_the_other_clock_and_long_silence_is_a_freeze() {
        let (jump, frozen) = (limits::CLOCK_JUMP_MS, limits::FROZEN_MS);
        let both = i64::try_from(frozen).expect("small");
        for (mono, wall, why) in [
            (0, 0, None),
            (0, jump, None),
            (0, jump + 1, Some(Why::ClockJump)),
            (0, -jump, None),
            (0, -jump - 1, Some(Why::ClockJump)),
            (frozen, both, None),
            (frozen + 1, both + 1, Some(Why::Frozen)),
            (frozen + 1, both - jump + 1, Some(Why::Frozen)),
            (3_600_000, 3_600_000, Some(Why::Frozen)),
            (3_600_000, 0, Some(Why::ClockJump)),
            (0, i64::MAX, Some(Why::ClockJump)),
            (u64::MAX, 0, Some(Why::ClockJump)),
            (u64::MAX, i64::MIN, Some(Why::ClockJump)),
        ] {
            let begin = Now { mono_ms: 0, wall_ms: 0 };
            let mut watch = ClockWatch::new(begin);
            let now = Now { mono_ms: mono, wall_ms: wall };
            assert_eq!(watch.woke(now), why, "{now:?}");
            assert_eq!(watch.woke(now), None, "told once");
            assert_eq!(Ordered::at(begin).is_void(now), why.is_some(), "{now:?}");
        }
    }
}
