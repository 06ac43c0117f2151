//! Entries of the own log that are erased, and what may be erased once.

use std::collections::BTreeSet;

use crate::{fold::Position, reject::Reject};

/// Numbers of the entries that are erased, or are going to be.
#[derive(Debug, Default)]
pub(super) struct Erased {
    entries: BTreeSet<u64>,
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
    pub(super) fn judge(&self, erases: Option<u64>, current: Option<u64>) -> Result<(), Reject> {
        let Some(number) = erases else { return Ok(()) };
        let index = Position::index_of(number);
        if self.entries.contains(&number) {
            return Err(Reject::Precondition {
                reason: "ALREADY_ERASED",
                description: format!(
                    "Eintrag {index} ist schon gelöscht; registry erase status nennt den Stand"
                ),
            });
        }
        if current == Some(number) {
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

    pub(super) fn note(&mut self, number: u64) {
        self.entries.insert(number);
    }

    /// The erasure was taken back.
    pub(super) fn take_back(&mut self, erases: Option<u64>) {
        if let Some(number) = erases {
            self.entries.remove(&number);
        }
    }
}
