//! The state at a cut, in chunks, for watches.
//!
//! Facts never change, so a walk over them can rest between chunks as long as it likes: what
//! arrives meanwhile lies beyond the cut. The snapshot holds versions whose definition is not
//! here yet as well; they would be missing once it comes. Of moves it holds all, because where
//! things stand is the fold of all of them.

use super::{
    About, Catalogue, Cut, Facts, FactsError, Subject, WatchFilter,
    walk::{DEFINITIONS, Order, VERSIONS, Walk},
};
use crate::fold::{
    Fact, MoveFact, Position,
    keys::{self, MoveTable},
};

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
    /// By its place in [`MoveTable::ALL`].
    Moves(usize),
}

/// Groups or moves a chunk looks at, whether they pass the filter or not.
const GROUPS_MAX: usize = 5_000;
/// Moves read at once.
const MOVES_READ: usize = 256;

// === impl SnapshotCursor ===

impl SnapshotCursor {
    /// The beginning: definitions, then versions, then moves.
    pub fn start() -> Self {
        Self { tables: Tables::Definitions, from: keys::definitions_in(None) }
    }

    /// At most `limit` entries of the state at `cut`: the newest definition of each service, the
    /// first entry of each version, and every move. A chunk can be empty and not the last.
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
            Tables::Moves(at) => return self.moves(facts, cut, filter, limit, at),
        };
        let to = keys::after(&all);
        let mut walk = Walk::over(facts, cut, table, Order::Ascending, self.from.clone(), to);
        let mut entries = Vec::new();
        for _ in 0..GROUPS_MAX {
            let Some(Fact { key, .. }) = walk.next()? else {
                return Ok(Chunk { entries, next: self.after_table() });
            };
            let (service, position) = if self.tables == Tables::Definitions {
                keys::parse_definition(&key)?
            } else {
                let (service, _, position) = keys::parse_version(&key)?;
                (service, position)
            };
            let subject = Subject { service, owner: position.log.land };
            if passes(facts, cut, filter, Some(subject), position)? {
                entries.push(position);
            }
            if entries.len() == limit {
                let from = keys::after(&key[..table.group]);
                return Ok(Chunk { entries, next: Some(Self { from, ..self.clone() }) });
            }
        }
        Ok(Chunk { entries, next: Some(Self { from: walk.rest(), ..self.clone() }) })
    }

    fn moves<F: Facts>(
        &self,
        facts: &F,
        cut: &Cut,
        filter: &WatchFilter,
        limit: usize,
        at: usize,
    ) -> Result<Chunk, FactsError> {
        let Some(&table) = MoveTable::ALL.get(at) else {
            return Ok(Chunk { entries: Vec::new(), next: None });
        };
        let to = keys::after(&keys::moves(table));
        let (mut from, mut entries) = (self.from.clone(), Vec::new());
        for _ in 0..GROUPS_MAX / MOVES_READ {
            let read = facts.scan(&from, &to, false, MOVES_READ)?;
            let is_last = read.len() < MOVES_READ;
            for Fact { key, value } in read {
                from = keys::after(&key);
                let (object, position) = keys::parse_move(table, &key)?;
                if !cut.holds(position) {
                    continue;
                }
                let said = MoveFact::parse(&value)?.said;
                let about = About::said(position.log.land, object, said.as_ref());
                if passes(facts, cut, filter, about.subject(facts, position)?, position)? {
                    entries.push(position);
                }
                if entries.len() == limit {
                    return Ok(Chunk { entries, next: Some(Self { from, ..self.clone() }) });
                }
            }
            if is_last {
                return Ok(Chunk { entries, next: self.after_table() });
            }
        }
        Ok(Chunk { entries, next: Some(Self { from, ..self.clone() }) })
    }

    fn after_table(&self) -> Option<Self> {
        let next = match self.tables {
            Tables::Definitions => {
                return Some(Self { tables: Tables::Versions, from: keys::versions_in(None) });
            }
            Tables::Versions => 0,
            Tables::Moves(at) => at + 1,
        };
        let table = MoveTable::ALL.get(next)?;
        Some(Self { tables: Tables::Moves(next), from: keys::moves(*table) })
    }
}

fn passes<F: Facts>(
    facts: &F,
    cut: &Cut,
    filter: &WatchFilter,
    subject: Option<Subject>,
    position: Position,
) -> Result<bool, FactsError> {
    if !filter.passes(position.log.land, subject.map(|it| it.service)) {
        return Ok(false);
    }
    let Some(subject) = subject.filter(|_| filter.by_number()) else { return Ok(true) };
    // the definition that counts at the cut decides, for versions and moves too
    let catalogue = Catalogue::new(facts, cut);
    let lineage = catalogue.lineage_of(subject.owner, subject.service)?;
    let found = catalogue.definition(&lineage)?;
    Ok(found.is_some_and(|it| filter.passes_numbers(&it.fact.leistungsschluessel)))
}
