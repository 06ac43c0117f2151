//! What erasures mean for the facts: which of them go, and what is never shown.

use std::collections::BTreeMap;

use registry_core::{
    fold::{Fact, Position, keys},
    view::Facts as _,
};
use registry_proto::{
    erasure::{Erasing, may_be_erased},
    log::{Hash, Header, leaf_hash},
    terms::LogId,
};

use crate::{
    index::Index,
    journals::{JournalRead, Parsed, Stored},
};

/// What an erasure is judged with.
pub(super) struct Surrounding<'a> {
    pub(super) index: &'a Index,
    pub(super) journal: &'a dyn JournalRead,
}

// === impl Surrounding ===

impl Surrounding<'_> {
    /// True while an erasure names an entry of an earlier epoch that counts and is not shown yet: with
    /// its body it would become visible after its erasure, and stay.
    pub(super) fn is_early(&self, log: LogId, it: &Erasing) -> bool {
        let ends = || self.index.journals().find(it.log)?.ends();
        let shown = || self.index.store().progress(it.log).size;
        it.log != log && ends().is_some_and(|ends| it.index < ends) && shown() <= it.index
    }

    /// The entry that an erasure erases, if it does and facts of it are in the store or among what
    /// is not shown yet. Else there is nothing to write anew: a node that comes late never had them.
    pub(super) fn erased(
        &self,
        log: LogId,
        it: &Erasing,
        unshown: &[&Vec<Fact>],
    ) -> Option<Position> {
        let at = Position { log: it.log, index: it.index };
        let stored = if it.log == log {
            self.journal.read(it.index, 1, 1)
        } else {
            self.index.journals().find(it.log)?.read(it.index, 1, 1)
        };
        let stored = stored.ok()?.into_iter().next()?;
        let target = Parsed::of(it.log, stored).ok()?;
        it.erases(&target.header, &target.leaf).ok()?;
        let is_of = |fact: &Fact| keys::position(&fact.key) == Ok(at);
        if unshown.iter().any(|facts| facts.iter().any(is_of)) {
            return Some(at);
        }
        let prefix = keys::erasable(target.header.kind, target.header.object_id?, at)?;
        let store = self.index.store();
        let known = store.scan(&prefix, &keys::after(&prefix), false, usize::MAX);
        match known {
            Ok(known) => known.iter().any(is_of).then_some(at),
            Err(error) => {
                tracing::error!(%at, %error, "facts cannot be read; they count as there");
                Some(at)
            }
        }
    }
}

/// Takes the bodies out that are erased. The journal of the epoch and the list of erasures follow
/// shortly, and durably, but on threads of their own.
pub(super) fn hide(log: LogId, early: &BTreeMap<Position, Hash>, stored: &mut [Stored]) {
    let (Some(first), Some(last)) = (stored.first(), stored.last()) else { return };
    let (first, last) = (first.index, last.index);
    let of = Position { log, index: first }..=Position { log, index: last };
    for (at, leaf) in early.range(of) {
        let place = usize::try_from(at.index - first).ok();
        let Some(entry) = place.and_then(|it| stored.get_mut(it)) else { continue };
        let named = entry.index == at.index && leaf_hash(&entry.header) == *leaf;
        if named && Header::parse(&entry.header).is_ok_and(|it| may_be_erased(it.kind)) {
            (entry.body, entry.erased) = (None, true);
        }
    }
}
