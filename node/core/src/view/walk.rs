//! Walks over groups of facts and picks the one of each group that counts at a cut.
//!
//! A group is what shares a prefix: the definitions of a service, the entries of a version. Its
//! keys differ in the position only.

use std::collections::VecDeque;

use registry_proto::terms::Land;

use super::{Cut, Facts, FactsError};
use crate::{
    fold::{Fact, keys},
    moves::uebergabe::Owner,
};

/// Which fact of a group counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// The one with the lowest position.
    First,
    /// The one with the highest position.
    Newest,
}

/// Direction of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As the keys sort.
    Ascending,
    /// Against it.
    Descending,
}

/// A table whose groups are walked over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// Bytes of a key that name its group.
    pub(super) group: usize,
    /// Where the Land stands in a key.
    pub(super) land: usize,
    /// Which fact counts.
    pub(super) pick: Pick,
}

/// The newest definition of each service.
pub(super) const DEFINITIONS: Table =
    Table { group: keys::DEFINITION_GROUP, land: 2, pick: Pick::Newest };
/// The first entry of each version.
pub(super) const VERSIONS: Table = Table { group: keys::VERSION_GROUP, land: 2, pick: Pick::First };
/// The Länder that own a service.
pub(super) const OWNERS: Table = Table { group: keys::OWNER_GROUP, land: 18, pick: Pick::First };
/// The services that have or had a Leistungsschluessel.
pub(super) const BY_NUMBER: Table =
    Table { group: keys::BY_NUMBER_GROUP, land: 16, pick: Pick::Newest };
/// The services that a Land took over.
pub(super) const TAKEN: Table = Table { group: keys::TAKEN_GROUP, land: 2, pick: Pick::First };

/// A walk; reads ahead in chunks, never more than one chunk.
pub(super) struct Walk<'a, F: Facts> {
    facts: &'a F,
    cut: &'a Cut,
    table: Table,
    order: Order,
    /// What is left: `from <= key < to`.
    from: Vec<u8>,
    to: Vec<u8>,
    ahead: VecDeque<Fact>,
    chunk: usize,
    /// Nothing is left beyond what was read. What arrives meanwhile lies beyond the cut.
    at_end: bool,
}

const CHUNK_FIRST: usize = 16;
const CHUNK_MAX: usize = 256;

// === impl Walk ===

impl<'a, F: Facts> Walk<'a, F> {
    /// Walks over the groups with `from <= key < to`; both MUST be ends of whole groups.
    pub(super) fn over(
        facts: &'a F,
        cut: &'a Cut,
        table: Table,
        order: Order,
        from: Vec<u8>,
        to: Vec<u8>,
    ) -> Self {
        let (ahead, chunk) = (VecDeque::new(), CHUNK_FIRST);
        Self { facts, cut, table, order, from, to, ahead, chunk, at_end: false }
    }

    /// Reads this many facts at first, for a walk that is likely to end early.
    pub(super) fn beginning_with(mut self, facts: usize) -> Self {
        self.chunk = facts.clamp(1, CHUNK_MAX);
        self
    }

    /// Walks over the groups with this prefix.
    pub(super) fn with_prefix(
        facts: &'a F,
        cut: &'a Cut,
        table: Table,
        order: Order,
        prefix: Vec<u8>,
    ) -> Self {
        let to = keys::after(&prefix);
        Self::over(facts, cut, table, order, prefix, to)
    }

    /// The fact that counts of the next group that has one at the cut.
    pub(super) fn next(&mut self) -> Result<Option<Fact>, FactsError> {
        loop {
            self.read_ahead()?;
            let Some(fact) = self.ahead.front() else { return Ok(None) };
            let prefix = fact.key.get(..self.table.group).ok_or(keys::ParseKeyError)?.to_vec();
            if let Some(found) = self.next_of(&prefix)? {
                return Ok(Some(found));
            }
        }
    }

    /// Where an ascending walk goes on.
    pub(super) fn rest(&self) -> Vec<u8> {
        self.from.clone()
    }

    /// Takes a group off and picks from it.
    fn next_of(&mut self, prefix: &[u8]) -> Result<Option<Fact>, FactsError> {
        let mut group = Vec::new();
        while self.ahead.front().is_some_and(|fact| fact.key.starts_with(prefix)) {
            group.extend(self.ahead.pop_front());
        }
        match self.order {
            Order::Ascending => self.from = keys::after(prefix),
            Order::Descending => self.to = prefix.to_vec(),
        }
        if self.ahead.is_empty() && !self.at_end {
            // it may go on beyond what was read: look for the one fact instead of reading all
            return pick(self.facts, self.cut, self.table, prefix);
        }
        if self.order == Order::Descending {
            group.reverse();
        }
        let land = self.table.land_in(prefix)?;
        let mut counts = Vec::with_capacity(group.len());
        for fact in group {
            if self.cut.holds(keys::place_of(&fact.key, land)?) {
                counts.push(fact);
            }
        }
        Ok(match self.table.pick {
            Pick::First => counts.into_iter().next(),
            Pick::Newest => counts.pop(),
        })
    }

    fn read_ahead(&mut self) -> Result<(), FactsError> {
        if self.ahead.is_empty() && !self.at_end && self.from < self.to {
            let reverse = self.order == Order::Descending;
            self.ahead = self.facts.scan(&self.from, &self.to, reverse, self.chunk)?.into();
            self.at_end = self.ahead.len() < self.chunk;
            self.chunk = (self.chunk * 2).min(CHUNK_MAX);
        }
        Ok(())
    }
}

/// The fact that counts of one group, found without reading the group.
pub(super) fn pick<F: Facts>(
    facts: &F,
    cut: &Cut,
    table: Table,
    prefix: &[u8],
) -> Result<Option<Fact>, FactsError> {
    let always = Owner::always(table.land_in(prefix)?);
    pick_of(facts, cut, table, prefix, &always)
}

/// As [`pick`], of what an owner wrote while it owned the service. The group MUST be one of its
/// Land.
pub(super) fn pick_of<F: Facts>(
    facts: &F,
    cut: &Cut,
    table: Table,
    prefix: &[u8],
    owner: &Owner,
) -> Result<Option<Fact>, FactsError> {
    let reverse = table.pick == Pick::Newest;
    let mut epochs: Vec<_> = cut.epochs(owner.land).collect();
    if reverse {
        epochs.reverse();
    }
    for (log, size) in epochs {
        let (mut begin, mut end) = (0, size);
        if let Some(from) = owner.from.filter(|from| from.log >= log) {
            begin = if from.log == log { from.index + 1 } else { u64::MAX };
        }
        if let Some(until) = owner.until.filter(|until| until.log <= log) {
            end = if until.log == log { end.min(until.index) } else { 0 };
        }
        if begin >= end {
            continue;
        }
        let [from, to] = [begin, end].map(|index| {
            let mut key = prefix.to_vec();
            key.extend(keys::place_bytes(log.epoch, index));
            key
        });
        if let Some(found) = facts.scan(&from, &to, reverse, 1)?.pop() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

// === impl Table ===

impl Table {
    fn land_in(self, key: &[u8]) -> Result<Land, FactsError> {
        let bytes = key.get(self.land..self.land + 4).ok_or(keys::ParseKeyError)?;
        Ok(keys::land_of(bytes)?)
    }
}
