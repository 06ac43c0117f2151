//! When the head of the node's audit log goes into the log of the Land.
//!
//! The audit log is a hash chain in files of the node; what stands in it is no matter of the core.
//! Its head in the signed log makes that nobody can change a line unnoticed that the head covers.
//! Heads are rare: each is an entry that every member keeps for ever. An anchor is no line of the
//! audit log itself, so a node on which nothing happens writes no more of them.

use registry_proto::log::Hash;

use crate::{limits, now::Now};

/// How far an audit log has come, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// Names the audit log.
    pub chain: [u8; 16],
    /// Lines.
    pub size: u64,
    /// Hash of the last one.
    pub hash: Hash,
}

/// Whether the node is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    No,
    /// One head is still said.
    Last,
    /// None any more.
    Over,
}

/// Decides when a head is due.
#[derive(Debug)]
pub(crate) struct Anchoring {
    newest: Option<AuditHead>,
    /// An administrative act waits for its anchor.
    soon: bool,
    stopping: Stopping,
    /// Lines under an anchor that is durable.
    anchored: u64,
    /// Index in the log and lines of the anchor that is staged or under way to the disk.
    staged: Option<(u64, u64)>,
    /// When the last anchor was staged, on the monotonic clock; before the first, the start.
    last_ms: u64,
    /// Whether there was one in this run.
    any: bool,
}

// === impl Anchoring ===

impl Anchoring {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            newest: None,
            soon: false,
            stopping: Stopping::No,
            anchored: 0,
            staged: None,
            last_ms: now.mono_ms,
            any: false,
        }
    }

    /// The audit log has grown to `head`.
    pub(crate) fn grew(&mut self, head: AuditHead, soon: bool) {
        self.newest = Some(head);
        self.soon |= soon;
    }

    /// The node is about to end. What is not anchored yet is anchored now if `last`, and nothing
    /// afterwards: it would reach nobody.
    pub(crate) fn stop(&mut self, last: bool) {
        self.stopping = if last { Stopping::Last } else { Stopping::Over };
    }

    /// The head that is to be staged now.
    pub(crate) fn due(&self, now: Now) -> Option<&AuditHead> {
        let newest = self.newest.as_ref()?;
        let covered = self.staged.map_or(self.anchored, |(_, size)| size);
        let lines = newest.size.saturating_sub(covered);
        if lines == 0 || self.stopping == Stopping::Over {
            return None;
        }
        let passed = now.mono_ms.saturating_sub(self.last_ms);
        let soon = self.soon && (!self.any || passed >= limits::AUDIT_ANCHOR_SOON_MS);
        let due = self.stopping == Stopping::Last
            || soon
            || lines >= limits::AUDIT_ANCHOR_LINES
            || passed >= limits::AUDIT_ANCHOR_MS;
        due.then_some(newest)
    }

    /// The newest head is staged as the entry `index` of the own log.
    pub(crate) fn staged(&mut self, index: u64, now: Now) {
        let Some(newest) = &self.newest else { return };
        self.staged = Some((index, newest.size));
        self.soon = false;
        if self.stopping == Stopping::Last {
            self.stopping = Stopping::Over;
        }
        self.any = true;
        self.last_ms = now.mono_ms;
    }

    /// Entries of the own log below `size` are durable.
    pub(crate) fn committed(&mut self, size: u64) {
        if let Some((_, lines)) = self.staged.take_if(|(index, _)| *index < size) {
            self.anchored = lines;
        }
    }

    /// Entries from `size` on were taken back; one with a head in it is said again, but not at
    /// once: what stands in its way may stay.
    pub(crate) fn taken_back(&mut self, size: u64) {
        if self.staged.take_if(|(index, _)| *index >= size).is_some() {
            self.soon = true;
        }
    }
}
