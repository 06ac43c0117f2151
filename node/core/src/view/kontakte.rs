//! Whom to ask about a service.

use std::collections::BTreeMap;

use registry_proto::{terms::Land, wire::registry::KontaktEintrag};
use uuid::Uuid;

use super::{Catalogue, Facts, FactsError, Lineage, catalogue::timestamp, life::position};
use crate::fold::{Fact, MoveFact, Position, Said, keys};

/// Entries about contacts of a service that are looked at.
const ENTRIES_MAX: usize = 1_000;

impl<F: Facts> Catalogue<'_, F> {
    /// The newest contact of each role, by its owner of today, in the order of the roles.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn contacts_of(&self, of: &Lineage) -> Result<Vec<KontaktEintrag>, FactsError> {
        let mut newest = BTreeMap::new();
        // in the order of their places: the last of a role stays
        for (_, entry) in self.contacts(of.land(), of.service)? {
            let rolle = entry.kontakt.as_ref().map(|it| it.rolle.clone()).unwrap_or_default();
            newest.insert(rolle, entry);
        }
        Ok(newest.into_values().collect())
    }

    /// Entries of the same role as the contact at `at`, up to it: what must go with it, because the
    /// one before would count again.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn contacts_before(
        &self,
        service: Uuid,
        at: Position,
    ) -> Result<Vec<Position>, FactsError> {
        let all = self.contacts(at.log.land, service)?;
        let rolle = |it: &KontaktEintrag| it.kontakt.as_ref().map(|it| it.rolle.clone());
        let Some(of) = all.iter().find(|(place, _)| *place == at).map(|(_, it)| rolle(it)) else {
            return Ok(Vec::new());
        };
        let same = all.iter().filter(|(place, it)| *place < at && rolle(it) == of);
        Ok(same.map(|(place, _)| *place).collect())
    }

    fn contacts(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Vec<(Position, KontaktEintrag)>, FactsError> {
        let from = keys::kontakte_by(service, land);
        let mut found = Vec::new();
        for Fact { key, value } in
            self.facts.scan(&from, &keys::after(&from), false, ENTRIES_MAX)?
        {
            let (at, fact) = (keys::landed_place(&key)?, MoveFact::parse(&value)?);
            if let (true, Some(Said::Kontakt(kontakt))) = (self.cut.holds(at), fact.said) {
                let entry = KontaktEintrag {
                    kontakt: Some(kontakt),
                    position: Some(position(at)),
                    recorded_at: Some(timestamp(fact.recorded_unix_ms)),
                };
                found.push((at, entry));
            }
        }
        Ok(found)
    }
}
