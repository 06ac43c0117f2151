//! Reads whole groups of moves at a cut.

use super::{Catalogue, Facts, FactsError};
use crate::fold::{Fact, MoveFact, Position, keys};

/// A move in the index.
pub(super) struct Row {
    pub(super) at: Position,
    pub(super) fact: MoveFact,
}

/// Moves of one group that count; a Land that writes more about one object is not heard further.
/// In the order of the keys, so every node hears the same ones.
pub(super) const ROWS_MAX: usize = 20_000;
const CHUNK: usize = 256;

impl<F: Facts> Catalogue<'_, F> {
    /// Moves whose keys begin with `prefix` and end with Land and place, and that are within the
    /// cut.
    pub(super) fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, FactsError> {
        let mut rows = Vec::new();
        self.each(prefix, |fact| {
            let at = keys::landed_place(&fact.key)?;
            if self.cut.holds(at) {
                rows.push(Row { at, fact: MoveFact::parse(&fact.value)? });
            }
            Ok(rows.len() < ROWS_MAX)
        })?;
        Ok(rows)
    }

    /// Calls `take` for each fact with this prefix until it says false.
    pub(super) fn each(
        &self,
        prefix: &[u8],
        mut take: impl FnMut(Fact) -> Result<bool, FactsError>,
    ) -> Result<(), FactsError> {
        let (mut from, to) = (prefix.to_vec(), keys::after(prefix));
        loop {
            let facts = self.facts.scan(&from, &to, false, CHUNK)?;
            let full = facts.len() == CHUNK;
            if let Some(last) = facts.last() {
                from = keys::after(&last.key);
            }
            for fact in facts {
                if !take(fact)? {
                    return Ok(());
                }
            }
            if !full {
                return Ok(());
            }
        }
    }
}
