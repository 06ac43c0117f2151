//! Is this record fit to be signed? Form and meaning of every field, without a look at other
//! records.
//!
//! Rules run at the owner, before signing, and nowhere else: receivers may have other lists and
//! other software. Every violation is reported, not the first. Reasons (`UPPER_CASE`) are stable
//! for programs; descriptions are German sentences for those who publish, and name the value, the
//! rule and its source.

mod artefakte;
mod dates;
mod definition;
mod findings;
mod form;
mod gebiet;
mod html;
mod kontakt;
mod latin;
mod lists;
pub mod moves;
mod nachnutzung;
mod offer;
mod record;
mod schema;
mod team;
mod text;
mod version;
mod zustellung;

#[cfg(test)]
pub(crate) mod tests;

pub use definition::definition;
pub(crate) use findings::Shown;
pub use kontakt::{ROLLEN, kontakt};
pub(crate) use lists::FIM;
pub use lists::{CodeLists, List, ListsError};
pub use version::version;
pub use zustellung::zustellungen_for;

use crate::reject::FieldViolation;

/// A record that passed every rule. Only [`definition()`], [`version()`] and [`moves`] make one.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated<T> {
    record: T,
    warnings: Vec<FieldViolation>,
}

// === impl Validated ===

impl<T> Validated<T> {
    /// The record, as it is to be signed.
    pub fn record(&self) -> &T {
        &self.record
    }

    /// What the publisher should know; not an obstacle.
    pub fn warnings(&self) -> &[FieldViolation] {
        &self.warnings
    }

    /// Gives both away.
    pub fn into_parts(self) -> (T, Vec<FieldViolation>) {
        (self.record, self.warnings)
    }
}
