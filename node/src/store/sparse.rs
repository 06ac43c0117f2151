//! Which services have anything in the tables in which most have nothing.
//!
//! "Was this service handed over, does anybody re-use it, was anything said of its versions since" is
//! asked of every service of a list and before every publication, and is nearly always answered
//! with no. A look into the backend for each would be most of the work.

use std::collections::HashSet;

use registry_core::{
    fold::keys::{self, SPARSE_TABLES},
    view::FactsError,
};

use super::backend::Backend;

/// The begins of keys, up to the service, that have facts; `None` when there are too many to
/// remember.
#[derive(Debug)]
pub(super) struct Sparse(Option<HashSet<Box<[u8]>>>);

/// Groups that are remembered.
const GROUPS_MAX: usize = 200_000;
/// Facts that are read at once.
const CHUNK: usize = 1_000;

// === impl Sparse ===

impl Sparse {
    /// Of a store without facts.
    pub(super) fn empty() -> Self {
        Self(Some(HashSet::new()))
    }

    /// Knows nothing, excludes nothing.
    pub(super) fn unknown() -> Self {
        Self(None)
    }

    /// Of what a backend holds.
    pub(super) fn of(backend: &dyn Backend) -> Result<Self, FactsError> {
        let mut all = Self::empty();
        for (table, _) in SPARSE_TABLES {
            let (mut from, to) = (table.to_vec(), keys::after(&table));
            loop {
                let facts = backend.scan(&from, &to, false, CHUNK)?;
                facts.iter().for_each(|fact| all.note(&fact.key));
                match facts.last() {
                    Some(last) if facts.len() == CHUNK && all.0.is_some() => {
                        from = [&last.key[..], &[0]].concat();
                    }
                    _ => break,
                }
            }
        }
        Ok(all)
    }

    /// A fact with this key is about to be visible.
    pub(super) fn note(&mut self, key: &[u8]) {
        let (Some(groups), Some(group)) = (&mut self.0, group(key)) else { return };
        if !groups.contains(group) {
            groups.insert(group.into());
        }
        if groups.len() > GROUPS_MAX {
            self.0 = None;
        }
    }

    /// True if there is certainly no fact with `from <= key < to`.
    pub(super) fn excludes(&self, from: &[u8], to: &[u8]) -> bool {
        let (Some(groups), Some(group)) = (&self.0, group(from)) else { return false };
        !groups.contains(group) && to <= keys::after(group).as_slice()
    }
}

fn group(key: &[u8]) -> Option<&[u8]> {
    let (_, bytes) = SPARSE_TABLES.iter().find(|(table, _)| key.starts_with(table))?;
    key.get(..*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(table: usize, service: u8, rest: &[u8]) -> Vec<u8> {
        let (table, bytes) = SPARSE_TABLES[table];
        [&table[..], &vec![service; bytes - table.len()], rest].concat()
    }

    #[test]
    fn what_was_not_noted_is_excluded_within_one_service() {
        let mut sparse = Sparse::empty();
        sparse.note(&key(0, 5, b"x"));
        sparse.note(&[1, b'd', 7]);
        let excludes = |table, service| {
            let from = key(table, service, b"");
            sparse.excludes(&from, &keys::after(&from))
        };
        assert!(!excludes(0, 5), "it was noted");
        assert!(excludes(0, 6) && excludes(1, 5) && excludes(2, 5));
        // beyond the service, or in another table, nothing is known
        assert!(!sparse.excludes(&key(0, 6, b""), &keys::after(&key(0, 7, b""))));
        let table = SPARSE_TABLES[0].0;
        assert!(!sparse.excludes(&table, &keys::after(&table)));
        let other = [&[1, b'd'][..], &[5; 32]].concat();
        assert!(!sparse.excludes(&other, &keys::after(&other)));
    }

    #[test]
    fn too_many_are_not_remembered() {
        let mut sparse = Sparse::empty();
        for n in 0..=GROUPS_MAX as u64 {
            let service = [&n.to_be_bytes()[..], &[0; 8]].concat();
            sparse.note(&[&SPARSE_TABLES[1].0[..], &service].concat());
        }
        let unknown = key(1, 9, b"");
        assert!(!sparse.excludes(&unknown, &keys::after(&unknown)));
    }
}
