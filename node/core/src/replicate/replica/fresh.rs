//! How new what the owner signed is, and whether its clock can be right.

use registry_proto::log::SignedCheckpoint;

use super::{HeadRank, Replica};
use crate::{limits, now::Now};

/// What is known of the times that the owner signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    /// When the newest came here.
    seen_mono_ms: u64,
    /// How far ahead of the clock here the last one was that was too far ahead to count as newer;
    /// 0 once one came that can be right.
    ahead_ms: i64,
    /// When that was told last.
    told_mono_ms: Option<u64>,
}

// === impl Fresh ===

impl Fresh {
    pub(super) fn new(now: Now) -> Self {
        Self { seen_mono_ms: now.mono_ms, ahead_ms: 0, told_mono_ms: None }
    }

    pub(super) fn seen(&mut self, now: Now) {
        self.seen_mono_ms = now.mono_ms;
    }
}

// === impl Replica ===

impl Replica {
    /// What makes a verified head of this log newer than another. Who has keys that were replaced
    /// may state any time. One from the future does not outlast those that come after it: a clock that
    /// once ran ahead would make a healthy log look stale for as long.
    pub(crate) fn rank(&self, signed: &SignedCheckpoint, now: Now) -> HeadRank {
        let (generation, can_be, seconds) = self.freshness(signed, now);
        (signed.size(), generation, can_be, seconds)
    }

    pub(super) fn freshness(&self, signed: &SignedCheckpoint, now: Now) -> (usize, bool, u64) {
        let seconds = signed.fresh_unix_seconds;
        (self.keys.generation(signed), now.can_have_signed(seconds), seconds)
    }

    pub(crate) fn is_stale(&self, now: Now) -> bool {
        now.mono_ms.saturating_sub(self.fresh.seen_mono_ms) > limits::STALE_AFTER_MS
    }

    /// How far the clock of the owner is ahead of the one here, if so far that what it signs does not
    /// count as newer; else 0.
    pub(crate) fn ahead_ms(&self) -> i64 {
        self.fresh.ahead_ms
    }

    /// [`Self::ahead_ms`] if that is news to an operator: the owner decides how often it begins.
    pub(crate) fn ahead_to_tell(&mut self, now: Now) -> Option<i64> {
        let Fresh { ahead_ms, told_mono_ms, .. } = &mut self.fresh;
        let lately = |told: u64| now.mono_ms.saturating_sub(told) < limits::AHEAD_TOLD_MS;
        if *ahead_ms == 0 || told_mono_ms.is_some_and(lately) {
            return None;
        }
        *told_mono_ms = Some(now.mono_ms);
        Some(*ahead_ms)
    }

    /// Who has keys that were replaced may state any time, and what this node signed itself by a clock
    /// that was wrong then is its own matter.
    pub(super) fn note_ahead(&mut self, signed: &SignedCheckpoint, now: Now) {
        if self.own || !self.is_current(signed) {
            return;
        }
        let (_, can_be, seconds) = self.freshness(signed, now);
        let known = self.head.as_ref().map(|it| self.freshness(it, now));
        if !can_be {
            let ms = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
            self.fresh.ahead_ms = ms.saturating_sub(now.wall_ms);
        } else if known < Some(self.freshness(signed, now)) {
            self.fresh.ahead_ms = 0;
        }
    }
}
