//! When a machine was asleep, or its process stood still.

use crate::{fence::Why, limits, now::Now};

/// When a node was last seen to run, and how many gaps there were in that.
///
/// Watches the wall clock against the monotonic one, and both for times in which nothing happened.
/// What a thread of the shell has to wait for, a disk or a token, is no gap: the node runs meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    last: Now,
    gaps: u64,
}

/// Between which gaps something to be signed was ordered.
///
/// A process can be stopped at any time, also between an order and what comes of it, and another
/// copy can go on meanwhile. Whoever signs MUST ask [`Ordered::is_void`] right before it signs and
/// again before the signature is kept or shown, and MUST drop what is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    gaps: u64,
}

// === impl Pulse ===

impl Pulse {
    pub(crate) fn new(now: Now) -> Self {
        Self { last: now, gaps: 0 }
    }

    /// Why the answers of partners count no more, told once: since the last call the wall clock
    /// moved against the monotonic one, or so much time passed that this process stood still. To
    /// a node that runs something happens all the time, a tick at least.
    pub(crate) fn beat(&mut self, now: Now) -> Option<Why> {
        let gap = self.gap(now);
        self.last = now;
        self.gaps += u64::from(gap.is_some());
        gap
    }

    fn gap(self, now: Now) -> Option<Why> {
        let passed_ms = now.mono_ms.saturating_sub(self.last.mono_ms);
        let mono = i64::try_from(passed_ms).unwrap_or(i64::MAX);
        let wall = now.wall_ms.saturating_sub(self.last.wall_ms);
        if wall.saturating_sub(mono).saturating_abs() > limits::CLOCK_JUMP_MS {
            Some(Why::ClockJump)
        } else {
            (passed_ms > limits::FROZEN_MS).then_some(Why::Frozen)
        }
    }
}

// === impl Ordered ===

impl Ordered {
    pub(crate) fn between(pulse: Pulse) -> Self {
        Self { gaps: pulse.gaps }
    }

    /// True if there was a gap since the order, or there is one now that the node, whose last
    /// `pulse` this is, has not seen yet. `now` MUST be read after `pulse`.
    pub fn is_void(self, pulse: Pulse, now: Now) -> bool {
        self.gaps != pulse.gaps || pulse.gap(now).is_some()
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
            let mut pulse = Pulse::new(begin);
            let now = Now { mono_ms: mono, wall_ms: wall };
            let ordered = Ordered::between(pulse);
            // whoever signs may see the gap before the node does, and not after only
            assert_eq!(ordered.is_void(pulse, now), why.is_some(), "{now:?}");
            assert_eq!(pulse.beat(now), why, "{now:?}");
            assert_eq!(pulse.beat(now), None, "told once");
            assert_eq!(ordered.is_void(pulse, now), why.is_some(), "{now:?}");
            assert!(!Ordered::between(pulse).is_void(pulse, now), "{now:?}");
        }
    }

    #[test]
    fn an_order_that_waits_while_the_node_runs_stays_good() {
        let mut now = Now { mono_ms: 1, wall_ms: 1 };
        let mut pulse = Pulse::new(now);
        let ordered = Ordered::between(pulse);
        for _ in 0..100 {
            now.mono_ms += limits::FROZEN_MS;
            now.wall_ms += i64::try_from(limits::FROZEN_MS).expect("small");
            assert!(!ordered.is_void(pulse, now));
            assert_eq!(pulse.beat(now), None);
        }
    }
}
