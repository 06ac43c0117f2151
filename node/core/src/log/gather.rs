//! How long a group waits for publishers who are likely to come.
//!
//! Publishers who were answered together ask again together. A group that goes with the first of
//! them carries one submission and makes the others wait for its signature and its sync. A group
//! that waits for all of them leaves the processors idle while it is signed and synced, and the
//! disk idle while the next one is prepared. So a group waits for half of the publishers who were
//! seen waiting at once lately: two groups alternate, one with the disk and one with the
//! processors. It never waits longer than [`limits::GATHER_MS_MAX`], and where fewer than
//! [`limits::GATHER_FROM`] were seen it does not wait: a lone publisher is never held up.

use crate::{limits, now::Now};

/// The submissions of the group that is staged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gather {
    /// Publishers who waited at once lately, durable or not, at most.
    lately: usize,
    staged: usize,
    /// When the first of them came, on the monotonic clock.
    since_ms: Option<u64>,
    hurries: bool,
}

/// How long who drives the node may leave submissions where they wait; anything else ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Until so many wait; at least 1.
    pub submissions: usize,
    /// Until then, on the monotonic clock, milliseconds: `Input::Due` is wanted. `None` while a group
    /// is under way to the disk, whose end ends the rest.
    pub until_mono_ms: Option<u64>,
}

// === impl Gather ===

impl Gather {
    /// One more submission is staged; `waiting` others are not answered yet.
    pub(super) fn staged(&mut self, waiting: usize, now: Now) {
        self.staged += 1;
        self.lately = self.lately.max(waiting + 1);
        self.since_ms.get_or_insert(now.mono_ms);
    }

    /// Something is staged that waits for nobody.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// True while the group waits for more. When its time is over it goes with the next that comes;
    /// those behind that are the beginning of the next group, which is prepared meanwhile.
    pub(super) fn waits(&self, now: Now) -> bool {
        self.until().is_some_and(|until| now.mono_ms < until)
    }

    /// When the group goes at the latest, on the monotonic clock; `None` if it waits for nobody.
    pub(super) fn until(&self) -> Option<u64> {
        let since = self.since_ms?;
        let expects = !self.hurries && self.is_crowd() && self.wants() > 0;
        expects.then(|| since.saturating_add(limits::GATHER_MS_MAX))
    }

    /// True if so many publishers were seen lately that groups wait for them.
    pub(super) fn is_crowd(&self) -> bool {
        self.lately >= limits::GATHER_FROM
    }

    /// Submissions with which the group has all that it waits for.
    pub(super) fn wants(&self) -> usize {
        self.lately.div_ceil(2).saturating_sub(self.staged)
    }

    /// Submissions worth a look at them while the group cannot go anyway: what it waits for, or as
    /// many again; at least 1.
    pub(super) fn more(&self) -> usize {
        let half = self.lately.div_ceil(2).max(1);
        half - self.staged % half
    }

    /// The group goes. What was seen lately fades, so that publishers who left are not waited for.
    pub(super) fn taken(&mut self) {
        let lately = self.lately - self.lately.div_ceil(FADES);
        *self = Self { lately: lately.max(self.staged), ..Self::default() };
    }

    /// The group is taken back.
    pub(super) fn discarded(&mut self) {
        *self = Self::default();
    }
}

/// With each group, this part of what was seen lately is forgotten.
const FADES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 0 }
    }

    /// `before` publishers waited at once, then others come at `times`; says when their group goes:
    /// with which of them, or at the end of its wait.
    #[track_caller]
    fn check(before: usize, times: &[u64], expect: &str) {
        let mut gather = Gather::default();
        for waiting in 0..before {
            gather.staged(waiting, at(1));
        }
        gather.taken();
        let mut went = None;
        for (n, &time) in times.iter().enumerate() {
            gather.staged(n, at(time));
            if !gather.waits(at(time)) {
                went = Some(format!("with {}", n + 1));
                break;
            }
        }
        let late = || gather.until().map_or_else(|| "never".to_owned(), |it| format!("at {it}"));
        assert_eq!(went.unwrap_or_else(late), expect, "after {before}, at {times:?}");
    }

    #[test]
    fn a_group_waits_for_half_of_those_who_waited_lately() {
        check(0, &[100], "with 1");
        check(1, &[100], "with 1");
        check(limits::GATHER_FROM - 1, &[100], "with 1");
        check(8, &[100, 100, 101, 101], "with 4");
        check(8, &[100, 101], "at 103");
        check(10, &[100, 101, 103], "with 3");
    }

    #[test]
    fn what_comes_while_a_group_is_under_way_is_looked_at_by_groups() {
        for (lately, staged, expect) in
            [(0, 0, 1), (1, 0, 1), (10, 0, 5), (10, 4, 1), (10, 5, 5), (10, 7, 3), (9, 5, 5)]
        {
            let gather = Gather { lately, staged, ..Gather::default() };
            assert_eq!(gather.more(), expect, "{staged} staged of {lately}");
        }
    }

    #[test]
    fn publishers_who_left_are_forgotten() {
        let mut gather = Gather::default();
        for waiting in 0..64 {
            gather.staged(waiting, at(1));
        }
        gather.taken();
        let mut groups = 0;
        while gather.lately > 1 {
            gather.staged(0, at(2));
            gather.taken();
            groups += 1;
        }
        assert!(groups < 40, "{groups} groups of one waited for those who left");
    }

    #[test]
    fn nothing_waits_behind_what_is_in_a_hurry_or_taken_back() {
        let mut gather = Gather { lately: 10, ..Gather::default() };
        gather.staged(0, at(5));
        assert!(gather.waits(at(5)));
        gather.hurry();
        assert!(!gather.waits(at(5)));
        gather.discarded();
        assert_eq!(gather.until(), None);
    }
}
