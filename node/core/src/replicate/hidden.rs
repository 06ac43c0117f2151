//! What is here of the own log and nobody else is known to have seen, kept from everybody until
//! partners have said what they know.
//!
//! A node that was not stopped in order, or without a partner, may have signed entries that only its
//! disk has. If somebody went on from a copy meanwhile, to show them would make two histories of what
//! nobody but this node has seen. So after a start they are shown when the fence opens, and if they
//! are not what partners have, they are set aside.

use registry_proto::{log::Cosigned, receipt::SignedReceipt, terms::LogId};

use crate::replicate::{Heard, Replication, SessionId, Shown, Wish};

/// What is kept back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hidden {
    end: Option<End>,
    /// It is not what partners have, and is about to be set aside.
    contradicted: bool,
}

/// The end of the own log that is kept back.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Entries that others are known to have seen.
    seen: u64,
    /// Entries that were here at the start.
    here: u64,
}

// === impl Hidden ===

impl Hidden {
    /// True if the end of the own log is kept back and nothing that a partner had has fitted it yet;
    /// `received` entries are verified.
    pub(super) fn may_be_astray(self, received: u64) -> bool {
        self.end.is_some_and(|it| it.here == received)
    }
}

// === impl Replication ===

impl Replication {
    /// Keeps the own log back: of `here` entries others are known to have seen the first `seen`.
    pub(crate) fn hide_own(&mut self, here: u64, seen: u64) {
        self.hidden.end = Some(End { seen, here });
    }

    /// Shows it from now on; partners are told with the next beacon.
    pub(crate) fn reveal_own(&mut self) {
        if self.hidden.end.take().is_some() {
            self.pump_followers(self.own);
        }
    }

    /// True while a log is kept back.
    pub(crate) fn hides(&self, log: LogId) -> bool {
        self.hidden_log() == Some(log)
    }

    pub(super) fn hidden_log(&self) -> Option<LogId> {
        self.hidden.end.map(|_| self.own)
    }

    /// True unless the own log is kept back and the disk has yet to say whether it begins with what a
    /// partner showed.
    pub(crate) fn is_looked_at(&self, shown: Option<Shown>) -> bool {
        let (Some(_), Some(shown)) = (self.hidden.end, shown) else { return true };
        self.replica(self.own).is_none_or(|it| it.is_looked_at(shown.size, &shown.root))
    }

    /// True if a head of this size contradicts only what nobody has seen.
    pub(super) fn is_unseen(&self, log: LogId, size: u64) -> bool {
        log == self.own && self.hidden.end.is_some_and(|it| size > it.seen)
    }

    /// What is kept back is not what partners have: nobody is told of it, and it is set aside.
    pub(super) fn contradicted(&mut self) -> Option<Heard> {
        if std::mem::replace(&mut self.hidden.contradicted, true) {
            return None;
        }
        self.recovered_own();
        self.wishes.push_back(Wish::SetAside(self.own));
        Some(Heard::OwnEndContradicted)
    }

    /// True if a node of another member has a session here.
    pub(crate) fn has_partner(&self) -> bool {
        self.partners().next().is_some()
    }

    /// True when each of them says that it holds so much of the own log durably.
    pub(crate) fn is_held_by_partners(&self, size: u64) -> bool {
        let held = |id| self.sessions.get(&id).and_then(|it| it.heads.get(&self.own));
        self.partners().all(|id| held(id).is_some_and(|it| *it >= size))
    }

    fn partners(&self) -> impl Iterator<Item = SessionId> {
        let open = self.sessions.iter().filter(|(_, it)| it.is_open());
        open.filter(|(_, it)| it.peer.land != self.own.land).map(|(id, _)| *id)
    }
}

/// As many entries of a log as members other than its owner are known to have seen.
pub fn seen_by_others(log: LogId, receipts: &[SignedReceipt], cosigned: &[Cosigned]) -> u64 {
    let held = receipts.iter().map(SignedReceipt::receipt);
    let held = held.filter(|it| it.log == log && it.holder != log.land).map(|it| it.size);
    let signed = cosigned.iter().filter(|it| it.witness() != log.land).map(Cosigned::signed);
    let signed = signed.filter(|it| it.checkpoint.origin.log == log).map(|it| it.size());
    held.chain(signed).max().unwrap_or_default()
}
