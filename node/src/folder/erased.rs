//! What erasures mean for the facts: which of them go, and what is never shown.

use std::collections::BTreeSet;

use registry_core::{
    fold::{Fact, Position, keys},
    view::Facts as _,
};
use registry_proto::{
    erasure::{Erasing, may_be_erased},
    log::{Hash, Header, Kind, leaf_hash},
    terms::LogId,
};
use uuid::Uuid;

use crate::{
    index::Index,
    journals::{JournalRead, Parsed, Stored},
};

/// What an erasure is judged with.
pub(super) struct Surrounding<'a> {
    pub(super) index: &'a Index,
    pub(super) journal: &'a dyn JournalRead,
}

/// What an erasure takes out of the facts.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) entry: Position,
    /// The service whose words it may take with it; a contact has none that are searched for.
    pub(super) service: Option<Uuid>,
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
    /// `spoke_of`: the object that the entry was about, as the erasure says.
    pub(super) fn erased(
        &self,
        log: LogId,
        it: &Erasing,
        spoke_of: Option<Uuid>,
        unshown: &[&Vec<Fact>],
    ) -> Option<Gone> {
        let at = Position { log: it.log, index: it.index };
        let earlier = if it.log == log { None } else { Some(self.index.journals().find(it.log)?) };
        let journal = earlier.as_deref().unwrap_or(self.journal);
        let (service, prefixes) = match journal.read(it.index, 1, 1) {
            Ok(stored) => {
                let target = Parsed::of(it.log, stored.into_iter().next()?).ok()?;
                it.erases(&target.header, &target.leaf).ok()?;
                let is_searched = target.header.kind != Kind::Contact;
                let service = target.header.object_id.filter(|_| is_searched);
                let is_of = |fact: &Fact| keys::position(&fact.key) == Ok(at);
                if unshown.iter().any(|facts| facts.iter().any(is_of)) {
                    return Some(Gone { entry: at, service });
                }
                let known = keys::erasable(target.header.kind, target.header.object_id?, at)?;
                (service, vec![known])
            }
            // damaged since it was shown: what is known of it has to go all the same
            Err(_) if names_leaf(journal, it) => {
                let kinds = [Kind::ServiceDefinition, Kind::ServiceVersion, Kind::Contact];
                let known = kinds.into_iter().filter_map(|it| keys::erasable(it, spoke_of?, at));
                (spoke_of, known.collect::<Vec<_>>())
            }
            Err(_) => return None,
        };
        let is_known = prefixes.iter().any(|prefix| self.knows(prefix, at));
        is_known.then_some(Gone { entry: at, service })
    }

    /// Whether the store has a fact of an entry under this prefix.
    fn knows(&self, prefix: &[u8], at: Position) -> bool {
        let store = self.index.store();
        match store.scan(prefix, &keys::after(prefix), false, usize::MAX) {
            Ok(known) => known.iter().any(|fact| keys::position(&fact.key) == Ok(at)),
            Err(error) => {
                tracing::error!(%at, %error, "facts cannot be read; they count as there");
                true
            }
        }
    }
}

/// True unless the tree has another leaf in that place: then the erasure erases nothing.
fn names_leaf(journal: &dyn JournalRead, it: &Erasing) -> bool {
    let leaves = journal.hashes(0, it.index, 1);
    leaves.map_or(true, |leaves| leaves.first().is_none_or(|leaf| *leaf == it.leaf))
}

/// Takes the bodies out that are erased. The journal of the epoch and the list of erasures follow
/// shortly, and durably, but on threads of their own.
pub(super) fn hide(log: LogId, early: &BTreeSet<(Position, Hash)>, stored: &mut [Stored]) {
    let (Some(first), Some(last)) = (stored.first(), stored.last()) else { return };
    let (first, last) = (first.index, last.index);
    let [least, most] = [0, u8::MAX].map(|it| Hash::from_bytes([it; 32]));
    let of = (Position { log, index: first }, least)..=(Position { log, index: last }, most);
    for (at, leaf) in early.range(of) {
        let place = usize::try_from(at.index - first).ok();
        let Some(entry) = place.and_then(|it| stored.get_mut(it)) else { continue };
        let named = entry.index == at.index && leaf_hash(&entry.header) == *leaf;
        if named && Header::parse(&entry.header).is_ok_and(|it| may_be_erased(it.kind)) {
            (entry.body, entry.erased) = (None, true);
        }
    }
}
