//! Entries of the own log that are erased, and what may be erased once.

use std::collections::BTreeSet;

use registry_proto::log::Hash;

use crate::{fold::Position, reject::Reject};

/// The entry that an erasure names. One with another leaf than the entry has erases nothing, and is in
/// nobody's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Erases {
    /// See [`Position::number`].
    pub(crate) number: u64,
    pub(crate) leaf: Hash,
}

/// What erasures name that stand, or are going to.
#[derive(Debug, Default)]
pub(super) struct Erased {
    entries: BTreeSet<Erases>,
}

// === impl Erased ===

impl Erased {
    /// Whether a record may erase the entry that it names; `current` is the newest definition of the
    /// service.
    ///
    /// # Errors
    ///
    /// [`Reject::Precondition`] with `ALREADY_ERASED`, or with `STILL_CURRENT`: the definition before
    /// would count again.
    pub(super) fn judge(&self, erases: Option<Erases>, current: Option<u64>) -> Result<(), Reject> {
        let Some(erases) = erases else { return Ok(()) };
        let index = Position::index_of(erases.number);
        if self.entries.contains(&erases) {
            return Err(Reject::Precondition {
                reason: "ALREADY_ERASED",
                description: format!(
                    "Eintrag {index} ist schon gelöscht; registry erase status nennt den Stand"
                ),
            });
        }
        if current == Some(erases.number) {
            return Err(Reject::Precondition {
                reason: "STILL_CURRENT",
                description: format!(
                    "Eintrag {index} ist der geltende Steckbrief des Dienstes; zuerst einen ohne die \
                     Angaben veröffentlichen, dann diesen löschen"
                ),
            });
        }
        Ok(())
    }

    /// True if an erasure names it.
    pub(super) fn names(&self, erases: Erases) -> bool {
        self.entries.contains(&erases)
    }

    pub(super) fn note(&mut self, erases: Erases) {
        self.entries.insert(erases);
    }

    /// The erasure was taken back.
    pub(super) fn take_back(&mut self, erases: Option<Erases>) {
        if let Some(erases) = erases {
            self.entries.remove(&erases);
        }
    }
}
