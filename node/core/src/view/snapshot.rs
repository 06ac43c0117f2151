//! The state at a cut, in chunks, for watches.
//!
//! Facts never change, so a walk over them can rest between chunks as long as it likes: what
//! arrives meanwhile lies beyond the cut. The snapshot holds versions whose definition is not
//! here yet as well; they would be missing once it comes.

use uuid::Uuid;

use super::{
    Cut, Facts, FactsError, WatchFilter,
    filter::numbers_before,
    walk::{DEFINITIONS, Order, VERSIONS, Walk},
};
use crate::fold::{Fact, Position, keys};

/// Where the next chunk begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotCursor {
    tables: Tables,
    from: Vec<u8>,
}

/// Part of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Entries that count, in the order of the tables.
    pub entries: Vec<Position>,
    /// `None` after the last chunk.
    pub next: Option<SnapshotCursor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tables {
    Definitions,
    Versions,
}

/// Groups a chunk looks at, whether they pass the filter or not.
const GROUPS_MAX: usize = 5_000;

// === impl SnapshotCursor ===

impl SnapshotCursor {
    /// The beginning: definitions, then versions.
    pub fn start() -> Self {
        Self { tables: Tables::Definitions, from: keys::definitions_in(None) }
    }

    /// At most `limit` entries of the state at `cut`: the newest definition of each service and
    /// the first entry of each version. A chunk can be empty and not the last.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn next<F: Facts>(
        &self,
        facts: &F,
        cut: &Cut,
        filter: &WatchFilter,
        limit: usize,
    ) -> Result<Chunk, FactsError> {
        let (table, all) = match self.tables {
            Tables::Definitions => (DEFINITIONS, keys::definitions_in(None)),
            Tables::Versions => (VERSIONS, keys::versions_in(None)),
        };
        let to = keys::after(&all);
        let mut walk = Walk::over(facts, cut, table, Order::Ascending, self.from.clone(), to);
        let mut entries = Vec::new();
        for _ in 0..GROUPS_MAX {
            let Some(Fact { key, .. }) = walk.next()? else {
                return Ok(Chunk { entries, next: self.after_table() });
            };
            let (service, position) = match self.tables {
                Tables::Definitions => keys::parse_definition(&key)?,
                Tables::Versions => {
                    let (service, _, position) = keys::parse_version(&key)?;
                    (service, position)
                }
            };
            if self.passes(facts, cut, filter, service, position)? {
                entries.push(position);
            }
            if entries.len() == limit {
                let from = keys::after(&key[..table.group]);
                return Ok(Chunk { entries, next: Some(Self { from, ..self.clone() }) });
            }
        }
        Ok(Chunk { entries, next: Some(Self { from: walk.rest(), ..self.clone() }) })
    }

    fn after_table(&self) -> Option<Self> {
        match self.tables {
            Tables::Definitions => {
                Some(Self { tables: Tables::Versions, from: keys::versions_in(None) })
            }
            Tables::Versions => None,
        }
    }

    fn passes<F: Facts>(
        &self,
        facts: &F,
        cut: &Cut,
        filter: &WatchFilter,
        service: Uuid,
        position: Position,
    ) -> Result<bool, FactsError> {
        if !filter.passes(position.log.land, Some(service)) {
            return Ok(false);
        }
        if !filter.by_number() {
            return Ok(true);
        }
        // the definition that counts at the cut decides, for versions too
        let land = position.log.land;
        let Some((log, index)) = cut.epochs(land).next_back() else { return Ok(false) };
        let numbers = numbers_before(facts, service, Position { log, index })?;
        Ok(filter.passes_numbers(&numbers))
    }
}
