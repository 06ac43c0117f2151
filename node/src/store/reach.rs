//! In which Länder a service has areas at all.
//!
//! "Who serves this Leistung here" goes through all services of the Leistung, and most of them serve
//! somewhere else. A set of Länder for each says so without a look at its versions.

use std::collections::HashMap;

use registry_core::{catalogue::Laender, fold::keys, view::FactsError};
use uuid::Uuid;

use super::backend::Backend;

/// The Länder in which any version of a service, at whatever cut, names an area; `None` when there
/// are too many services to remember.
#[derive(Debug)]
pub(super) struct Reach(Option<HashMap<Uuid, Laender>>);

/// Services that are remembered, some 40 bytes each.
const SERVICES_MAX: usize = 1_000_000;
/// Facts that are read at once.
const CHUNK: usize = 1_000;

// === impl Reach ===

impl Reach {
    /// Of a store without facts.
    pub(super) fn empty() -> Self {
        Self(Some(HashMap::new()))
    }

    /// Knows nothing, excludes nothing.
    pub(super) fn unknown() -> Self {
        Self(None)
    }

    /// Of what a backend holds.
    pub(super) fn of(backend: &dyn Backend) -> Result<Self, FactsError> {
        let mut all = Self::empty();
        let table = keys::versions_in(None);
        let (mut from, to) = (table.clone(), keys::after(&table));
        while all.0.is_some() {
            let facts = backend.scan(&from, &to, false, CHUNK)?;
            facts.iter().for_each(|fact| all.note(&fact.key, &fact.value));
            match facts.last() {
                Some(last) if facts.len() == CHUNK => from = [&last.key[..], &[0]].concat(),
                _ => break,
            }
        }
        Ok(all)
    }

    /// A fact is about to be visible.
    pub(super) fn note(&mut self, key: &[u8], value: &[u8]) {
        let Some(services) = &mut self.0 else { return };
        let Some((service, laender)) = registry_core::fold::reach(key, value) else { return };
        let known = services.entry(service).or_default();
        *known = known.with(laender);
        if services.len() > SERVICES_MAX {
            self.0 = None;
        }
    }

    /// False if certainly no version of the service has an area in one of the Länder.
    pub(super) fn may(&self, service: Uuid, laender: Laender) -> bool {
        match &self.0 {
            Some(services) => services.get(&service).is_some_and(|known| known.meets(laender)),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use registry_core::fold::{Position, VersionFact};
    use registry_proto::terms::{Land, LogId, SemVer};

    use super::*;

    fn version(service: Uuid, patch: u64, gebiete: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let number: SemVer = format!("1.0.{patch}").parse().unwrap();
        let at = Position { log: LogId { land: Land::SL, epoch: 1 }, index: patch };
        let gebiete = gebiete.iter().map(|&it| it.to_owned()).collect();
        let fact = VersionFact { gebiete, ..VersionFact::default() };
        (keys::version(service, &number, at), fact.encoded())
    }

    fn only(land: Land) -> Laender {
        [land].into_iter().collect()
    }

    #[test]
    fn all_versions_of_a_service_count_and_nothing_else_does() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut reach = Reach::empty();
        for (patch, gebiete) in [(1, &["10041"][..]), (2, &["16", "nothing"])] {
            let (key, value) = version(one, patch, gebiete);
            reach.note(&key, &value);
        }
        // another table
        reach.note(
            &keys::definition(
                other,
                Position { log: LogId { land: Land::SL, epoch: 1 }, index: 9 },
            ),
            b"",
        );
        for (service, land, expected) in [
            (one, Land::SL, true),
            (one, Land::TH, true),
            (one, Land::HE, false),
            (one, Land::BUND, false),
            (other, Land::SL, false),
        ] {
            assert_eq!(reach.may(service, only(land)), expected, "{service} in {land}");
        }
    }

    #[test]
    fn what_cannot_be_read_may_reach_everything() {
        let (key, _) = version(Uuid::from_u128(1), 1, &[]);
        let mut reach = Reach::empty();
        reach.note(&key, b"damaged");
        assert!(Land::ALL.into_iter().all(|land| reach.may(Uuid::from_u128(1), only(land))));
        assert!(Reach::unknown().may(Uuid::from_u128(7), only(Land::SL)));
    }
}
