//! Guards against mass retirement: when a Land retires more of its versions at once than is
//! plausible, by mistake or with a stolen key, its moves are held until an operator has looked,
//! and what is held does not count in the catalogue. Signed logs stay as they are, and other
//! nodes decide for themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use registry_proto::terms::LogId;

use crate::fold::Position;

/// What is held, and what an operator decided. Lives at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Share of the released versions of a Land that may be retired at once, in percent.
    share_percent: u32,
    logs: BTreeMap<LogId, Guarded>,
}

/// The guard of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Retirements of the last day: time of receipt (milliseconds since 1970-01-01 UTC) and index.
    pub window: VecDeque<(i64, u64)>,
    /// Indices of entries that are held.
    pub held: BTreeSet<u64>,
    /// Entries below this index were accepted by an operator.
    pub accepted_below: u64,
    /// Entries below this index were looked at. A log never changes, so they need no second look,
    /// whatever is known by then.
    pub judged_below: u64,
}

/// Positions that do not count.
pub type Held = BTreeSet<Position>;

/// Retirements that are never too many.
pub const RETIREMENTS_FREE: usize = 10;
/// What counts as at once, milliseconds.
pub const WINDOW_MS: i64 = 24 * 60 * 60 * 1_000;
/// Retirements that are looked at together.
const WINDOW_MAX: usize = 100_000;

// === impl Guard ===

impl Guard {
    /// A guard that allows this share, 1..=100 percent; 100 holds nothing.
    pub fn new(share_percent: u32) -> Self {
        Self { share_percent: share_percent.clamp(1, 100), logs: BTreeMap::new() }
    }

    /// Takes up what was known before a restart.
    pub fn restore(&mut self, log: LogId, known: Guarded) {
        self.logs.insert(log, known);
    }

    /// Looks at the retirement or withdrawal of a version, received at `received_unix_ms`, by a
    /// Land that has `released` versions it could retire. Entries of a log come in their order.
    /// True when the set of what is held has changed.
    pub fn retired(
        &mut self,
        at: Position,
        received_unix_ms: i64,
        released: impl FnOnce() -> u64,
    ) -> bool {
        let share = u64::from(self.share_percent);
        let log = self.logs.entry(at.log).or_default();
        if at.index < log.accepted_below.max(log.judged_below) {
            return false;
        }
        log.judged_below = at.index.saturating_add(1);
        log.window.push_back((received_unix_ms, at.index));
        let old = |(when, _): &(i64, u64)| received_unix_ms.saturating_sub(*when) > WINDOW_MS;
        while log.window.front().is_some_and(old) || log.window.len() > WINDOW_MAX {
            log.window.pop_front();
        }
        let many = log.window.len();
        if share == 100
            || many <= RETIREMENTS_FREE
            || many as u64 * 100 <= share.saturating_mul(released())
        {
            return false;
        }
        // what stands before one that is held is held already
        for (_, index) in log.window.iter().rev() {
            if !log.held.insert(*index) {
                break;
            }
        }
        true
    }

    /// An operator accepts what a log says below `index`; gives how many moves were held.
    pub fn accept(&mut self, log: LogId, index: u64) -> usize {
        let log = self.logs.entry(log).or_default();
        log.accepted_below = log.accepted_below.max(index);
        let kept = log.held.split_off(&index);
        let accepted = std::mem::replace(&mut log.held, kept);
        log.window.retain(|(_, at)| *at >= index);
        accepted.len()
    }

    /// What is held.
    pub fn held(&self) -> Held {
        let held = |(log, it): (&LogId, &Guarded)| {
            it.held.iter().map(|index| Position { log: *log, index: *index }).collect::<Vec<_>>()
        };
        self.logs.iter().flat_map(held).collect()
    }

    /// The guards of all logs, to be kept over a restart.
    pub fn logs(&self) -> impl Iterator<Item = (LogId, &Guarded)> {
        self.logs.iter().map(|(log, it)| (*log, it))
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::Land;

    use super::*;

    const LOG: LogId = LogId { land: Land::SL, epoch: 1 };

    /// Retires `count` versions, `apart_ms` apart, of a Land with `released`; gives what is held.
    fn after(guard: &mut Guard, count: u64, apart_ms: i64, released: u64) -> usize {
        for index in 0..count {
            let at = Position { log: LOG, index };
            guard.retired(at, index.cast_signed() * apart_ms, || released);
        }
        guard.held().len()
    }

    #[track_caller]
    fn check(share: u32, count: u64, apart_ms: i64, released: u64, expect: usize) {
        let mut guard = Guard::new(share);
        assert_eq!(after(&mut guard, count, apart_ms, released), expect);
    }

    #[test]
    fn more_than_the_share_at_once_is_held_with_all_that_came_with_it() {
        check(20, 20, 1, 100, 0);
        check(20, 21, 1, 100, 21);
        check(20, 60, 1, 100, 60);
        // a few are never too many
        check(1, 10, 1, 10, 0);
        check(1, 11, 1, 11, 11);
        // one a day is no mass
        check(20, 60, WINDOW_MS + 1, 100, 0);
        check(100, 100, 1, 100, 0);
    }

    #[test]
    fn what_an_operator_accepts_counts_and_is_not_held_again() {
        let mut guard = Guard::new(20);
        assert_eq!(after(&mut guard, 30, 1, 100), 30);
        assert_eq!(guard.accept(LOG, 25), 25);
        assert_eq!(guard.held().len(), 5);
        // a catalogue that is built anew shows all of them again
        assert_eq!(after(&mut guard, 30, 1, 100), 5);
    }

    #[test]
    fn the_same_entry_counts_once() {
        let mut guard = Guard::new(20);
        for _ in 0..100 {
            guard.retired(Position { log: LOG, index: 1 }, 0, || 100);
        }
        assert!(guard.held().is_empty());
    }

    #[test]
    fn a_land_that_retires_very_many_costs_each_of_them_one_look() {
        let mut guard = Guard::new(20);
        // a copy of what is held for each of them would take hours
        assert_eq!(after(&mut guard, 200_000, 0, 100), 200_000);
        assert_eq!(guard.accept(LOG, 200_000), 200_000);
        assert_eq!(after(&mut guard, 200_000, 0, 100), 0);
    }
}
