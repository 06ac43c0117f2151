//! How long a group waits for publishers who are likely to come.
//!
//! Publishers who were answered together ask again together. A group that goes with the first of
//! them carries one submission and makes the others wait for its signature and its sync. So a
//! group waits for as many submissions as the one before it had, and never longer than
//! [`limits::GATHER_MS_MAX`]. Groups of fewer than [`limits::GATHER_FROM`] do not make the next
//! one wait: a lone publisher is never held up.

use crate::{limits, now::Now};

/// The submissions of the group that is staged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gather {
    /// Submissions of the group before.
    before: usize,
    staged: usize,
    /// When the first of them came, on the monotonic clock.
    since_ms: Option<u64>,
    hurries: bool,
}

// === impl Gather ===

impl Gather {
    /// One more submission is staged.
    pub(super) fn staged(&mut self, now: Now) {
        self.staged += 1;
        self.since_ms.get_or_insert(now.mono_ms);
    }

    /// Something is staged that waits for nobody.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
    }

    /// True while the group waits for more.
    pub(super) fn waits(&self, now: Now) -> bool {
        self.until().is_some_and(|until| now.mono_ms < until)
    }

    /// When the group goes at the latest, on the monotonic clock; `None` if it waits for nobody.
    pub(super) fn until(&self) -> Option<u64> {
        let since = self.since_ms?;
        let expects = !self.hurries
            && self.before >= limits::GATHER_FROM
            && self.staged < self.before.min(limits::SUBMISSIONS_WAITING_MAX);
        expects.then(|| since.saturating_add(limits::GATHER_MS_MAX))
    }

    /// The group goes.
    pub(super) fn taken(&mut self) {
        *self = Self { before: self.staged, ..Self::default() };
    }

    /// The group is taken back.
    pub(super) fn discarded(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 0 }
    }

    /// After a group of `before` submissions, others come at `times`; says when the group goes: with
    /// which of them, or at the end of its wait.
    #[track_caller]
    fn check(before: usize, times: &[u64], expect: &str) {
        let mut gather = Gather::default();
        for _ in 0..before {
            gather.staged(at(1));
        }
        gather.taken();
        let mut went = None;
        for (n, &time) in times.iter().enumerate() {
            gather.staged(at(time));
            if !gather.waits(at(time)) {
                went = Some(format!("with {}", n + 1));
                break;
            }
        }
        let late = || gather.until().map_or_else(|| "never".to_owned(), |it| format!("at {it}"));
        assert_eq!(went.unwrap_or_else(late), expect, "after {before}, at {times:?}");
    }

    #[test]
    fn a_group_waits_for_as_many_as_the_one_before_had() {
        check(0, &[100], "with 1");
        check(1, &[100], "with 1");
        check(limits::GATHER_FROM - 1, &[100], "with 1");
        check(4, &[100, 100, 101, 101], "with 4");
        check(4, &[100, 101], "at 103");
        check(5, &[100, 101, 103], "with 3");
    }

    #[test]
    fn nothing_waits_behind_what_is_in_a_hurry_or_taken_back() {
        let mut gather = Gather { before: 10, ..Gather::default() };
        gather.staged(at(5));
        assert!(gather.waits(at(5)));
        gather.hurry();
        assert!(!gather.waits(at(5)));
        gather.discarded();
        assert_eq!(gather.until(), None);
    }
}
