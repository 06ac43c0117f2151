//! The highest version of the services that are published to now.
//!
//! Every new version is compared with the one before it; to search the database for that each
//! time takes longer than to compare. What was found once is kept, and follows the facts.

use std::collections::HashMap;

use registry_core::fold::{
    Position,
    keys::{self, Touches},
};
use registry_proto::terms::{Land, SemVer};
use uuid::Uuid;

/// Which version of a service is the highest, as far as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Highest {
    known: HashMap<(Land, Uuid), Option<(SemVer, Position)>>,
    /// Grows with every fact that changes which version is the highest of whatever service.
    changes: u64,
}

/// What is known of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Where its highest version stands, if it has one.
    At(Option<Position>),
    /// Nothing; what is found may be kept if nothing changed since.
    Nothing(Seen),
}

/// A state of the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(u64);

/// Services that are remembered, some 100 bytes each; all are forgotten when there are more.
const SERVICES_MAX: usize = 10_000;

// === impl Highest ===

impl Highest {
    pub(super) fn find(&self, land: Land, service: Uuid) -> Known {
        match self.known.get(&(land, service)) {
            Some(found) => Known::At(found.map(|(_, at)| at)),
            None => Known::Nothing(Seen(self.changes)),
        }
    }

    /// Keeps what was found, unless facts came since it was looked for.
    pub(super) fn keep(
        &mut self,
        land: Land,
        service: Uuid,
        found: Option<(SemVer, Position)>,
        Seen(changes): Seen,
    ) {
        if changes != self.changes {
            return;
        }
        if self.known.len() >= SERVICES_MAX {
            self.known.clear();
        }
        self.known.insert((land, service), found);
    }

    /// A fact is about to be visible.
    pub(super) fn note(&mut self, key: &[u8]) {
        match keys::touches(key) {
            Some(Touches::Version(service, number, at)) => self.version(service, number, at),
            Some(Touches::Owners) => self.forget(),
            None => {}
        }
    }

    /// Facts are gone, or services have other owners.
    pub(super) fn forget(&mut self) {
        self.changes += 1;
        self.known.clear();
    }

    fn version(&mut self, service: Uuid, number: SemVer, at: Position) {
        self.changes += 1;
        let Some(known) = self.known.get_mut(&(at.log.land, service)) else { return };
        // the first entry of a version is the one that counts
        if known.is_none_or(|(highest, _)| highest < number) {
            *known = Some((number, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::{
        Land::{HE, SL},
        LogId,
    };

    use super::*;

    fn at(land: Land, index: u64) -> Position {
        Position { log: LogId { land, epoch: 1 }, index }
    }

    fn number(text: &str) -> SemVer {
        text.parse().unwrap()
    }

    /// What was found first, then facts of versions that come; says where the highest stands.
    #[track_caller]
    fn check(found: Option<&str>, come: &[(Land, u128, &str)], expect: Option<u64>) {
        let mut highest = Highest::default();
        let service = Uuid::from_u128(1);
        let Known::Nothing(seen) = highest.find(SL, service) else { panic!("nothing is known") };
        highest.keep(SL, service, found.map(|it| (number(it), at(SL, 1))), seen);
        for (index, (land, service, version)) in (2..).zip(come) {
            let key = keys::version(Uuid::from_u128(*service), &number(version), at(*land, index));
            highest.note(&key);
        }
        let expect = Known::At(expect.map(|it| at(SL, it)));
        assert_eq!(highest.find(SL, service), expect, "{found:?}, {come:?}");
    }

    #[test]
    fn the_highest_follows_the_facts() {
        check(None, &[], None);
        check(None, &[(SL, 1, "1.0.0")], Some(2));
        check(Some("1.2.0"), &[(SL, 1, "1.10.0")], Some(2));
        check(Some("1.2.0"), &[(SL, 1, "1.3.0"), (SL, 1, "1.2.9")], Some(2));
        // again, of another service, of another Land
        check(Some("1.2.0"), &[(SL, 1, "1.2.0"), (SL, 2, "9.0.0"), (HE, 1, "9.0.0")], Some(1));
    }

    #[test]
    fn what_was_found_before_a_change_is_not_kept() {
        let mut highest = Highest::default();
        let service = Uuid::from_u128(1);
        let Known::Nothing(seen) = highest.find(SL, service) else { panic!("nothing is known") };
        highest.note(&keys::version(service, &number("1.0.0"), at(SL, 3)));
        highest.keep(SL, service, None, seen);
        let Known::Nothing(seen) = highest.find(SL, service) else { panic!("nothing is known") };
        highest.keep(SL, service, Some((number("1.0.0"), at(SL, 3))), seen);
        assert_eq!(highest.find(SL, service), Known::At(Some(at(SL, 3))));
        highest.forget();
        assert!(matches!(highest.find(SL, service), Known::Nothing(_)));
    }

    #[test]
    fn no_more_than_so_many_services_are_remembered() {
        let mut highest = Highest::default();
        for n in 0..3 * SERVICES_MAX as u128 {
            highest.keep(SL, Uuid::from_u128(n), None, Seen(0));
            assert!(highest.known.len() <= SERVICES_MAX);
        }
    }
}
