//! Who owns a service, and what of it was written by whom while it did.
//!
//! Services are kept by the Land that wrote about them. One that was handed over has several, and
//! every question about it is asked of all of them, each for the time it owned the service. A
//! service that never was costs one look for a handover.

use std::collections::{BTreeMap, BTreeSet};

use registry_proto::terms::{Land, SemVer, Themenfeld};
use uuid::Uuid;

use super::{
    Catalogue, Facts, FactsError, QueryError,
    catalogue::{Definition, not_found},
    life::leaf_of,
    walk::{self, DEFINITIONS, OWNERS, Order, VERSIONS, Walk},
};
use crate::{
    fold::{Fact, MoveFact, Position, Said, keys},
    moves::{
        joint::Countersigned,
        uebergabe::{self, Owner, STEPS_MAX},
    },
    reject::Reject,
};

/// One service and its owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// UUID.
    pub service: Uuid,
    /// In their order, never empty; the last one owns it now.
    pub owners: Vec<Owner>,
}

/// All services of one UUID, and what is said about their handovers.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineages {
    /// In the order of the Länder that began them.
    pub all: Vec<Lineage>,
    /// In the order of Land and place.
    pub said: Vec<uebergabe::Said>,
}

/// The versions of a service, the highest first.
pub(super) enum Versions<'a, F: Facts> {
    /// Of one Land.
    Walked(Walk<'a, F>),
    /// Of several, read at once.
    Read(std::vec::IntoIter<Fact>),
}

// === impl Lineage ===

impl Lineage {
    /// A service that never was handed over.
    pub fn of(land: Land, service: Uuid) -> Self {
        Self { service, owners: vec![Owner::always(land)] }
    }

    /// The owner of today.
    pub fn land(&self) -> Land {
        // never empty
        self.owners[self.owners.len() - 1].land
    }

    /// True if a Land owns the service, or did.
    pub fn names(&self, land: Land) -> bool {
        self.owners.iter().any(|it| it.land == land)
    }

    /// True if an owner wrote the entry while it owned the service.
    pub fn holds(&self, at: Position) -> bool {
        self.owners.iter().any(|it| it.wrote(at))
    }
}

// === impl Lineages ===

impl Lineages {
    /// The service that a Land owns.
    pub fn owned_by(&self, land: Land) -> Option<&Lineage> {
        self.all.iter().find(|it| it.land() == land)
    }

    /// The service that a Land means: the one it owns, else one that it owned.
    pub fn meant_by(&self, land: Land) -> Option<&Lineage> {
        self.owned_by(land).or_else(|| self.all.iter().find(|it| it.names(land)))
    }
}

// === impl Catalogue ===

impl<F: Facts> Catalogue<'_, F> {
    /// The services of a UUID.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn lineages(&self, service: Uuid) -> Result<Lineages, FactsError> {
        let said = self.handovers(service)?;
        let all = keys::owners_of(service);
        let mut walk = Walk::with_prefix(self.facts, self.cut, OWNERS, Order::Ascending, all);
        let mut began = Vec::new();
        while let Some(Fact { key, .. }) = walk.next()? {
            let at = keys::parse_owner(&key)?;
            began.push((at.log.land, at));
        }
        let all = uebergabe::services(&began, &said, |owners, offer| {
            self.signed(service, owners, offer).map(|it| it.is_enough())
        })?;
        let all = all.into_iter().map(|owners| Lineage { service, owners }).collect();
        Ok(Lineages { all, said })
    }

    /// The countersignatures under an offer of the owner of a service.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn offer_signed(
        &self,
        of: &Lineage,
        offer: &uebergabe::Said,
    ) -> Result<Countersigned, FactsError> {
        self.signed(of.service, &of.owners, offer)
    }

    fn signed(
        &self,
        service: Uuid,
        owners: &[Owner],
        offer: &uebergabe::Said,
    ) -> Result<Countersigned, FactsError> {
        let leaders = self.leaders_of(service, owners, Some(offer.at))?;
        if leaders.laender.is_empty() {
            return Ok(leaders.countersigned(BTreeSet::new()));
        }
        let mut by = self.countersigners(service, &offer.leaf)?;
        // taking it is agreeing to it
        by.extend(offer.record.an_land.parse::<Land>());
        Ok(leaders.countersigned(by))
    }

    /// What is said about handovers of a service, in the order of Land and place.
    pub(super) fn handovers(&self, service: Uuid) -> Result<Vec<uebergabe::Said>, FactsError> {
        let mut said = Vec::new();
        for land in spoke(self.facts, service)? {
            let from = keys::uebergaben_by(service, land);
            for Fact { key, value } in
                self.facts.scan(&from, &keys::after(&from), false, STEPS_MAX)?
            {
                let (at, fact) = (keys::landed_place(&key)?, MoveFact::parse(&value)?);
                if let (true, Some(Said::Uebergabe(record))) = (self.cut.holds(at), fact.said) {
                    let (leaf, recorded_unix_ms) = (leaf_of(&fact.leaf)?, fact.recorded_unix_ms);
                    said.push(uebergabe::Said { at, leaf, recorded_unix_ms, record });
                }
            }
        }
        Ok(said)
    }

    /// True if anything is said about handovers of a service, also beyond the cut. One look.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn may_be_handed_over(&self, service: Uuid) -> Result<bool, FactsError> {
        let from = keys::uebergaben_of(service);
        Ok(!self.facts.scan(&from, &keys::after(&from), false, 1)?.is_empty())
    }

    /// The service that a Land means, also if it is not defined.
    pub(super) fn lineage_of(&self, land: Land, service: Uuid) -> Result<Lineage, FactsError> {
        if !self.may_be_handed_over(service)? {
            return Ok(Lineage::of(land, service));
        }
        let found = self.lineages(service)?;
        Ok(found.meant_by(land).cloned().unwrap_or_else(|| Lineage::of(land, service)))
    }

    /// The owner of today of a service that a Land wrote about.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn owner_now(&self, land: Land, service: Uuid) -> Result<Land, FactsError> {
        Ok(self.lineage_of(land, service)?.land())
    }

    /// The service that a Land owns; one that it did not begin is not known to be defined. `None`
    /// if another Land owns it now.
    pub(super) fn owned(&self, land: Land, service: Uuid) -> Result<Option<Lineage>, FactsError> {
        if !self.may_be_handed_over(service)? {
            return Ok(Some(Lineage::of(land, service)));
        }
        Ok(self.lineages(service)?.owned_by(land).cloned())
    }

    /// The service that an entry is about.
    pub(super) fn lineage_at(&self, service: Uuid, at: Position) -> Result<Lineage, FactsError> {
        let land = at.log.land;
        if !self.may_be_handed_over(service)? {
            return Ok(Lineage::of(land, service));
        }
        let found = self.lineages(service)?;
        let holds = found.all.iter().find(|it| it.holds(at)).or_else(|| found.meant_by(land));
        Ok(holds.cloned().unwrap_or_else(|| Lineage::of(land, service)))
    }

    /// The service that is asked for: the one that `land` owns or owned, or the only one. The
    /// table of owners has no values, so this costs less than reading a definition.
    pub(super) fn lineage(&self, service: Uuid, land: Option<Land>) -> Result<Lineage, QueryError> {
        if self.may_be_handed_over(service)? {
            let found = self.lineages(service)?;
            return match land {
                Some(land) => {
                    found.meant_by(land).cloned().ok_or_else(|| not_found(service).into())
                }
                None => only(service, found.all),
            };
        }
        let Some(land) = land else { return self.only_owner(service) };
        let group = keys::owner_group(service, land);
        match walk::pick(self.facts, self.cut, OWNERS, &group)? {
            Some(_) => Ok(Lineage::of(land, service)),
            None => Err(not_found(service).into()),
        }
    }

    fn only_owner(&self, service: Uuid) -> Result<Lineage, QueryError> {
        let all = keys::owners_of(service);
        let mut walk = Walk::with_prefix(self.facts, self.cut, OWNERS, Order::Ascending, all);
        let mut found = Vec::new();
        while let Some(Fact { key, .. }) = walk.next()? {
            let at = keys::parse_owner(&key).map_err(FactsError::from)?;
            found.push(Lineage::of(at.log.land, service));
        }
        only(service, found)
    }

    /// The definition that counts: the newest of the owner of today, or of the one before it while
    /// it has made none.
    pub(super) fn definition(&self, of: &Lineage) -> Result<Option<Definition>, FactsError> {
        for owner in of.owners.iter().rev() {
            let group = keys::definitions_of(owner.land, of.service);
            let found = walk::pick_of(self.facts, self.cut, DEFINITIONS, &group, owner)?;
            if let Some(Fact { key, value }) = found {
                return Ok(Some(Definition::parse(of.clone(), &key, &value)?));
            }
        }
        Ok(None)
    }

    /// Owner and Themenfeld of the service that a Land means; nothing if it is not defined here.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn themenfeld_of(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Option<(Land, Option<Themenfeld>)>, FactsError> {
        let lineage = self.lineage_of(land, service)?;
        let owner = lineage.land();
        Ok(self.definition(&lineage)?.map(|it| (owner, it.fact.themenfeld.parse().ok())))
    }

    /// The fact of one version.
    pub(super) fn version_fact(
        &self,
        of: &Lineage,
        number: &SemVer,
    ) -> Result<Option<Fact>, FactsError> {
        for owner in &of.owners {
            let group = keys::version_group(owner.land, of.service, number);
            let found = walk::pick_of(self.facts, self.cut, VERSIONS, &group, owner)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The versions of a service, or those below one.
    pub(super) fn versions(
        &self,
        of: &Lineage,
        below: Option<&SemVer>,
    ) -> Result<Versions<'_, F>, FactsError> {
        if let [owner] = of.owners.as_slice() {
            let from = keys::versions_of(owner.land, of.service);
            let to = match below {
                Some(number) => keys::version_group(owner.land, of.service, number),
                None => keys::after(&from),
            };
            let (facts, cut) = (self.facts, self.cut);
            let walk = Walk::over(facts, cut, VERSIONS, Order::Descending, from, to);
            return Ok(Versions::Walked(walk));
        }
        let mut first = BTreeMap::new();
        for owner in &of.owners {
            self.each(&keys::versions_of(owner.land, of.service), |fact| {
                let (_, number, at) = keys::parse_version(&fact.key)?;
                let is_below = below.is_none_or(|below| number < *below);
                if is_below && owner.wrote(at) && self.cut.holds(at) {
                    first.entry(number).or_insert(fact);
                }
                Ok(true)
            })?;
        }
        let all: Vec<_> = first.into_values().rev().collect();
        Ok(Versions::Read(all.into_iter()))
    }
}

// === impl Versions ===

impl<F: Facts> Versions<'_, F> {
    /// Reads this many at first, for a walk that is likely to end early.
    pub(super) fn beginning_with(self, facts: usize) -> Self {
        match self {
            Self::Walked(walk) => Self::Walked(walk.beginning_with(facts)),
            Self::Read(_) => self,
        }
    }

    /// The next version.
    pub(super) fn next(&mut self) -> Result<Option<Fact>, FactsError> {
        match self {
            Self::Walked(walk) => walk.next(),
            Self::Read(facts) => Ok(facts.next()),
        }
    }
}

/// The Länder that said anything about handovers of a service, in the order of their codes.
pub(super) fn spoke<F: Facts>(facts: &F, service: Uuid) -> Result<Vec<Land>, FactsError> {
    let mut from = keys::uebergaben_of(service);
    let to = keys::after(&from);
    let mut found = Vec::new();
    while let Some(next) = facts.scan(&from, &to, false, 1)?.pop() {
        let land = keys::landed_place(&next.key)?.log.land;
        from = keys::after(&keys::uebergaben_by(service, land));
        found.push(land);
    }
    Ok(found)
}

fn only(service: Uuid, mut found: Vec<Lineage>) -> Result<Lineage, QueryError> {
    if found.len() > 1 {
        let mut laender: Vec<_> = found.iter().map(Lineage::land).collect();
        laender.sort_unstable();
        let laender: Vec<_> = laender.iter().map(ToString::to_string).collect();
        return Err(Reject::Precondition {
            reason: "AMBIGUOUS_SERVICE",
            description: format!(
                "service {service} exists in {}; name the Land as well",
                laender.join(" and "),
            ),
        }
        .into());
    }
    found.pop().ok_or_else(|| not_found(service).into())
}
