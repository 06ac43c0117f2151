//! Where a version stands: its lifecycle, and whether enough co-owners countersigned it.

use std::collections::BTreeSet;

use registry_proto::{
    log::Hash,
    terms::{Land, SemVer},
    wire::registry::{Lifecycle, LogPosition, UebergabeSchritt, VersionLife},
};
use uuid::Uuid;

use super::{
    Catalogue, Facts, FactsError, Lineage, VersionState,
    walk::{Order, TAKEN, VERSIONS, Walk},
};
use crate::{
    fold::{Fact, LeadersFact, MoveFact, Position, Said, VersionFact, keys},
    moves::{
        joint::{Countersigned, Leaders, Named},
        lifecycle::Life,
        uebergabe::Owner,
    },
};

/// A version with everything that is said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The version.
    pub state: VersionState,
    /// Owner of the service today.
    pub owner: Land,
    /// What lists need of it.
    pub fact: VersionFact,
    /// Its lifecycle.
    pub life: Life,
    /// Its countersignatures.
    pub countersigned: Countersigned,
}

impl<F: Facts> Catalogue<'_, F> {
    /// Where a version of a service stands.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn standing(&self, of: &Lineage, number: &SemVer) -> Result<Option<Standing>, FactsError> {
        let found = self.version_fact(of, number)?;
        found.map(|fact| self.stands(of, &fact)).transpose()
    }

    /// All versions of a service that a Land owns, or owned, the highest first.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn standings(&self, land: Land, service: Uuid) -> Result<Vec<Standing>, FactsError> {
        self.all_standings(&self.lineage_of(land, service)?)
    }

    pub(super) fn all_standings(&self, of: &Lineage) -> Result<Vec<Standing>, FactsError> {
        let mut walk = self.versions(of, None)?;
        let mut found = Vec::new();
        while let Some(fact) = walk.next()? {
            found.push(self.stands(of, &fact)?);
        }
        Ok(found)
    }

    /// The entry of the highest version of a service that a Land owns, or owned.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn highest_version(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Option<(SemVer, Position)>, FactsError> {
        self.highest(&self.lineage_of(land, service)?)
    }

    /// The highest version of a service and its entry.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn highest(&self, of: &Lineage) -> Result<Option<(SemVer, Position)>, FactsError> {
        let Some(fact) = self.versions(of, None)?.beginning_with(2).next()? else {
            return Ok(None);
        };
        let (_, number, at) = keys::parse_version(&fact.key)?;
        Ok(Some((number, at)))
    }

    /// Number of versions that a Land could retire: those of the services it owns, also those that
    /// an owner before it published.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn versions_owned_by(&self, land: Land) -> Result<u64, FactsError> {
        let all = keys::versions_in(Some(land));
        let mut walk = Walk::with_prefix(self.facts, self.cut, VERSIONS, Order::Ascending, all);
        let (mut count, mut last, mut moved) = (0, None, self.taken_by(land)?);
        while let Some(Fact { key, .. }) = walk.next()? {
            let (service, ..) = keys::parse_version(&key)?;
            if last != Some(service) {
                last = Some(service);
                if self.may_be_handed_over(service)? {
                    moved.insert(service);
                }
            }
            count += u64::from(!moved.contains(&service));
        }
        for service in moved {
            let Some(lineage) = self.owned(land, service)? else { continue };
            let mut versions = self.versions(&lineage, None)?;
            while versions.next()?.is_some() {
                count += 1;
            }
        }
        Ok(count)
    }

    /// The entry of a version of a service that a Land owns, or owned.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn version_at(
        &self,
        land: Land,
        service: Uuid,
        number: &SemVer,
    ) -> Result<Option<Position>, FactsError> {
        let found = self.version_fact(&self.lineage_of(land, service)?, number)?;
        Ok(found.map(|fact| keys::parse_version(&fact.key)).transpose()?.map(|(.., at)| at))
    }

    fn taken_by(&self, land: Land) -> Result<BTreeSet<Uuid>, FactsError> {
        let all = keys::taken_in(Some(land));
        let mut walk = Walk::with_prefix(self.facts, self.cut, TAKEN, Order::Ascending, all);
        let mut taken = BTreeSet::new();
        while let Some(Fact { key, .. }) = walk.next()? {
            taken.insert(keys::parse_taken(&key)?.0);
        }
        Ok(taken)
    }

    /// The Länder that lead a service with its owner, after the entries before `before`.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn leaders(&self, of: &Lineage, before: Option<Position>) -> Result<Leaders, FactsError> {
        self.leaders_of(of.service, &of.owners, before)
    }

    /// The Länder that lead a service with its owner, after the entries before the one at `at`.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn leaders_at(&self, service: Uuid, at: Position) -> Result<Leaders, FactsError> {
        self.leaders(&self.lineage_at(service, at)?, Some(at))
    }

    pub(super) fn leaders_of(
        &self,
        service: Uuid,
        owners: &[Owner],
        before: Option<Position>,
    ) -> Result<Leaders, FactsError> {
        let mut leaders = Leaders::default();
        for owner in owners {
            let mut named = Vec::new();
            self.each(&keys::definitions_of(owner.land, service), |Fact { key, value }| {
                let (_, at) = keys::parse_definition(&key)?;
                if before.is_some_and(|before| before.log.land == owner.land && at >= before) {
                    return Ok(false);
                }
                if self.cut.holds(at) && owner.wrote(at) {
                    named.push(named_by(&LeadersFact::parse(&value)?)?);
                }
                Ok(true)
            })?;
            let signed = |leaf: &Hash| self.countersigners(service, leaf);
            leaders = leaders.under(owner.land).after(named, signed)?;
            if before.is_some_and(|before| owner.wrote(before)) {
                break;
            }
        }
        Ok(leaders)
    }

    /// The leaders that the newest definition of a service names, under its owner of today, with
    /// the leaf hash and the recorded time of that definition.
    pub(super) fn named_last(
        &self,
        of: &Lineage,
    ) -> Result<Option<(Hash, Leaders, i64)>, FactsError> {
        let Some(it) = self.definition(of)? else { return Ok(None) };
        let laender = it.fact.mit_laender.iter().filter_map(|it| it.parse().ok()).collect();
        let leaders = Leaders { laender, k: it.fact.mit_k as usize }.under(of.land());
        Ok(Some((leaf_of(&it.fact.leaf)?, leaders, it.fact.recorded_unix_ms)))
    }

    /// The Länder that countersigned an entry in their own logs.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn countersigners(&self, service: Uuid, leaf: &Hash) -> Result<BTreeSet<Land>, FactsError> {
        let rows = self.rows(&keys::mitzeichnungen_of(service, leaf))?;
        Ok(rows.into_iter().map(|it| it.at.log.land).collect())
    }

    /// The entry of a definition, a version or an offer to hand a service over, by its leaf hash.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn entry_of(
        &self,
        land: Land,
        service: Uuid,
        leaf: &Hash,
    ) -> Result<Option<Position>, FactsError> {
        let mut found = None;
        let wanted = leaf.as_bytes().as_slice();
        self.each(&keys::definitions_of(land, service), |Fact { key, value }| {
            let at = keys::place_of(&key, land)?;
            if self.cut.holds(at) && LeadersFact::parse(&value)?.leaf == wanted {
                found = Some(at);
            }
            Ok(found.is_none())
        })?;
        if found.is_none() {
            self.each(&keys::versions_of(land, service), |Fact { key, value }| {
                let at = keys::place_of(&key, land)?;
                if self.cut.holds(at) && VersionFact::parse(&value)?.leaf == wanted {
                    found = Some(at);
                }
                Ok(found.is_none())
            })?;
        }
        if found.is_none() {
            let said = self.handovers(service)?;
            let offer = said.iter().find(|it| {
                it.record.schritt() == UebergabeSchritt::Angebot
                    && it.at.log.land == land
                    && it.leaf == *leaf
            });
            found = offer.map(|it| it.at);
        }
        Ok(found)
    }

    /// True if a Land owns a service that is defined.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn is_defined(&self, land: Land, service: Uuid) -> Result<bool, FactsError> {
        Ok(self.newest(land, service)?.is_some())
    }

    /// The entry of the definition of a service that counts.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn newest_definition(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Option<Position>, FactsError> {
        Ok(self.definition(&self.lineage_of(land, service)?)?.map(|it| it.position))
    }

    pub(super) fn stands(&self, of: &Lineage, fact: &Fact) -> Result<Standing, FactsError> {
        let (service, number, position) = keys::parse_version(&fact.key)?;
        let fact = VersionFact::parse(&fact.value)?;
        let life = self.life(of, &number, &fact)?;
        let leaders = self.leaders(of, Some(position))?;
        let by = if leaders.laender.is_empty() {
            BTreeSet::new()
        } else {
            self.countersigners(service, &leaf_of(&fact.leaf)?)?
        };
        let countersigned = leaders.countersigned(by);
        let state = VersionState { service, number, position };
        Ok(Standing { state, owner: of.land(), fact, life, countersigned })
    }

    /// The lifecycle of a version.
    pub(super) fn life(
        &self,
        of: &Lineage,
        number: &SemVer,
        version: &VersionFact,
    ) -> Result<Life, FactsError> {
        let published = Lifecycle::try_from(version.lifecycle).unwrap_or_default();
        let mut life = Life::new(published, &version.abkuendigung_am, &version.abschaltung_am);
        for owner in &of.owners {
            let land = owner.land;
            self.each(&keys::statuses_of(land, of.service, number), |Fact { key, value }| {
                let at = keys::place_of(&key, land)?;
                if !self.cut.holds(at) || !owner.wrote(at) {
                    return Ok(true);
                }
                if self.held.is_some_and(|held| held.contains(&at)) {
                    life.held = true;
                } else if let Some(Said::Status(said)) = MoveFact::parse(&value)?.said {
                    life.apply(at, said);
                }
                Ok(true)
            })?;
        }
        Ok(life)
    }

    /// 1 + number of the newest entry of a Land about a service; 0 if there is none.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn revision(&self, land: Land, service: Uuid) -> Result<u64, FactsError> {
        let mut newest = None;
        let mut note = |at: Position| newest = newest.max(Some(at));
        if let Some(fact) = self.newest_by(land, service)? {
            note(keys::parse_definition(&fact.key)?.1);
        }
        let all = keys::versions_of(land, service);
        let mut walk = Walk::with_prefix(self.facts, self.cut, VERSIONS, Order::Descending, all);
        while let Some(Fact { key, .. }) = walk.next()? {
            note(keys::parse_version(&key)?.2);
        }
        self.each(&keys::statuses_in(land, service), |fact| {
            let at = keys::place_of(&fact.key, land)?;
            if self.cut.holds(at) {
                note(at);
            }
            Ok(true)
        })?;
        for row in self.rows(&keys::uebergaben_of(service))? {
            if row.at.log.land == land {
                note(row.at);
            }
        }
        Ok(newest.map_or(0, |at| at.number() + 1))
    }
}

// === impl Standing ===

impl Standing {
    /// True if users may rely on it on this day: released, countersigned, and not retired.
    pub fn serves_on(&self, day: registry_proto::terms::Date) -> bool {
        self.countersigned.is_enough() && self.life.serves_on(day)
    }

    /// As it goes over the wire.
    pub fn message(&self) -> VersionLife {
        let codes = |of: BTreeSet<Land>| of.iter().map(ToString::to_string).collect();
        let said = self.life.last.as_ref();
        let text = |of: fn(&registry_proto::wire::registry::VersionStatus) -> &String| {
            said.map(|(_, said)| of(said).clone()).unwrap_or_default()
        };
        let day = |of: Option<registry_proto::terms::Date>| {
            of.map(|it| it.to_string()).unwrap_or_default()
        };
        VersionLife {
            lifecycle: self.life.lifecycle as i32,
            abkuendigung_am: day(self.life.abkuendigung_am),
            abschaltung_am: day(self.life.abschaltung_am),
            nachfolger_version: text(|it| &it.nachfolger_version),
            nachfolger_service_id: text(|it| &it.nachfolger_service_id),
            grund: text(|it| &it.grund),
            position: said.map(|(at, _)| position(*at)),
            released: self.countersigned.is_enough(),
            mitgezeichnet: codes(self.countersigned.by.clone()),
            fehlt: codes(self.countersigned.missing()),
            held: self.life.held,
            k: u32::try_from(self.countersigned.leaders.k).unwrap_or(u32::MAX),
        }
    }
}

/// A position as it goes over the wire.
pub(super) fn position(at: Position) -> LogPosition {
    LogPosition { land: at.log.land.code().to_owned(), epoch: at.log.epoch, index: at.index }
}

fn named_by(fact: &LeadersFact) -> Result<Named, FactsError> {
    let laender: BTreeSet<Land> =
        fact.mit_laender.iter().filter_map(|it| it.parse().ok()).collect();
    let leaders = Leaders { laender, k: fact.mit_k as usize };
    Ok(Named { leaf: leaf_of(&fact.leaf)?, leaders })
}

pub(super) fn leaf_of(bytes: &[u8]) -> Result<Hash, FactsError> {
    Hash::try_from(bytes).map_err(|error| FactsError::new("understand a fact", error))
}
