//! Who re-uses what: Nachnutzungen, their Kommunen, and whom a move of a version affects.

use std::collections::BTreeMap;

use registry_proto::{
    log::Hash,
    terms::{Date, Land, Requirement, SemVer},
    wire::registry::{Anschluss, AnschlussStatus, Lifecycle},
};
use uuid::Uuid;

use super::{Catalogue, Facts, FactsError, Lineage, Standing, life::leaf_of, rows::Row};
use crate::{
    fold::{Position, Said, keys},
    moves::nachnutzung::{self, Placed, Subscription},
};

/// State of a Kommune.
#[derive(Clone, Debug, PartialEq)]
pub struct Connected {
    /// Its entry.
    pub at: Position,
    /// Recorded time of the subscriber, milliseconds since 1970-01-01 UTC.
    pub recorded_unix_ms: i64,
    /// What the subscriber said last.
    pub anschluss: Anschluss,
}

/// An acknowledgement that a subscriber owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The version.
    pub number: SemVer,
    /// What happened to it.
    pub anlass: Lifecycle,
    /// Day of retirement.
    pub abschaltung_am: Option<Date>,
    /// The entry that caused it.
    pub cause: Position,
}

/// A Nachnutzung that a move of a version affects.
#[derive(Clone, Debug, PartialEq)]
pub struct Affected {
    /// It.
    pub subscription: Subscription,
    /// Its Kommunen that are not cut off.
    pub kommunen: Vec<Connected>,
    /// The version must not be retired without its acknowledgement.
    pub must_acknowledge: bool,
    /// The subscriber acknowledged.
    pub acknowledged: bool,
    /// Highest other version that serves it.
    pub ersatz: Option<SemVer>,
}

impl<F: Facts> Catalogue<'_, F> {
    /// One Nachnutzung.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn subscription(&self, id: Uuid) -> Result<Option<Subscription>, FactsError> {
        let moves = placed(self.rows(&keys::subscriptions(Some(id)))?)?;
        let Some((service, publisher)) = nachnutzung::subject(&moves) else { return Ok(None) };
        let lineage = self.lineage_of(publisher, service)?;
        Ok(nachnutzung::fold(id, moves, lineage.owners))
    }

    /// One Nachnutzung, if it is of this service.
    pub(super) fn subscription_to(
        &self,
        of: &Lineage,
        id: Uuid,
    ) -> Result<Option<Subscription>, FactsError> {
        let moves = placed(self.rows(&keys::subscriptions(Some(id)))?)?;
        // a Land that owned it may mean another service of the same UUID
        let is_this = match nachnutzung::subject(&moves) {
            Some((service, named)) if service == of.service => {
                named == of.land()
                    || of.names(named) && self.lineage_of(named, service)?.owners == of.owners
            }
            _ => false,
        };
        Ok(if is_this { nachnutzung::fold(id, moves, of.owners.clone()) } else { None })
    }

    /// The Nachnutzungen of a service that a Land owns, or owned, in the order of their ids.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn subscriptions_of(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Vec<Subscription>, FactsError> {
        self.subscriptions_to(&self.lineage_of(land, service)?)
    }

    pub(super) fn subscriptions_to(&self, of: &Lineage) -> Result<Vec<Subscription>, FactsError> {
        let mut ids = Vec::new();
        self.each(&keys::subscribed_to(of.service), |fact| {
            let id = keys::parse_subscribed(&fact.key)?;
            if self.cut.holds(keys::landed_place(&fact.key)?) && ids.last() != Some(&id) {
                ids.push(id);
            }
            Ok(ids.len() < SUBSCRIPTIONS_MAX)
        })?;
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.subscription_to(of, id)?);
        }
        Ok(found)
    }

    /// Nachnutzungen after an id, in the order of their ids, that pass; at most `limit`.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn subscriptions(
        &self,
        after: Option<Uuid>,
        limit: usize,
        passes: impl Fn(&Subscription) -> bool,
    ) -> Result<Vec<Subscription>, FactsError> {
        let all = keys::subscriptions(None);
        let to = keys::after(&all);
        let mut from = after.map_or(all, |id| keys::after(&keys::subscriptions(Some(id))));
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(next) = self.facts.scan(&from, &to, false, 1)?.pop() else { break };
            let id = keys::parse_subscription(&next.key)?;
            found.extend(self.subscription(id)?.filter(&passes));
            from = keys::after(&keys::subscriptions(Some(id)));
        }
        Ok(found)
    }

    /// The Kommunen of a Nachnutzung, in the order of their ARS; what the subscriber said last.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn connected(&self, of: &Subscription) -> Result<Vec<Connected>, FactsError> {
        let mut newest = BTreeMap::new();
        for Row { at, fact } in self.rows(&keys::anschluesse_of(of.id))? {
            let recorded_unix_ms = fact.recorded_unix_ms;
            // only the subscriber speaks for its Kommunen; rows come in the order of their places
            if let (true, Some(Said::Anschluss(anschluss))) =
                (at.log.land == of.subscriber, fact.said)
            {
                let one = Connected { at, recorded_unix_ms, anschluss };
                newest.insert(one.anschluss.ars.clone(), one);
            }
        }
        Ok(newest.into_values().collect())
    }

    /// What the subscriber has acknowledged.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn acknowledged(&self, of: &Subscription) -> Result<Vec<(SemVer, Lifecycle)>, FactsError> {
        let rows = self.rows(&keys::bestaetigungen_of(of.id))?;
        let said = rows.into_iter().filter(|it| it.at.log.land == of.subscriber);
        Ok(said
            .filter_map(|it| match it.fact.said {
                Some(Said::Bestaetigung(it)) => Some((it.version.parse().ok()?, it.anlass())),
                _ => None,
            })
            .collect())
    }

    /// What the subscriber owes: breaking versions published after its contract, and versions in
    /// use that are deprecated, retired or withdrawn. An acknowledged retirement acknowledges the
    /// deprecation before it.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn owed(&self, of: &Subscription, standings: &[Standing]) -> Result<Vec<Owed>, FactsError> {
        if !of.is_bound() {
            return Ok(Vec::new());
        }
        let known = self.acknowledged(of)?;
        let bound_since = of
            .history
            .iter()
            .find(|it| {
                it.record.zustand() == registry_proto::wire::registry::SubscriptionState::Vertrag
            })
            .map_or(i64::MAX, |it| it.recorded_unix_ms);
        let mut owed = Vec::new();
        for it in standings {
            let number = it.state.number;
            let done = |anlass: &[Lifecycle]| {
                known.iter().any(|(of, what)| *of == number && anlass.contains(what))
            };
            if it.fact.breaking
                && it.fact.recorded_unix_ms > bound_since
                && it.countersigned.is_enough()
                && !done(&[Lifecycle::Freigegeben])
            {
                let (anlass, cause) = (Lifecycle::Freigegeben, it.state.position);
                owed.push(Owed { number, anlass, abschaltung_am: None, cause });
            }
            if let Some((cause, _)) = it.life.last
                && needs(of, &number)
                && !done(enough_for(it.life.lifecycle))
            {
                let (anlass, abschaltung_am) = (it.life.lifecycle, it.life.abschaltung_am);
                owed.push(Owed { number, anlass, abschaltung_am, cause });
            }
        }
        Ok(owed)
    }

    /// Whom it affects if a version moves on, in the order of the subscribers' codes.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn impact(
        &self,
        of: &Standing,
        to: Lifecycle,
        today: Date,
    ) -> Result<Vec<Affected>, FactsError> {
        let lineage = self.lineage_at(of.state.service, of.state.position)?;
        let number = of.state.number;
        let others = self.all_standings(&lineage)?;
        let mut affected = Vec::new();
        for subscription in self.subscriptions_to(&lineage)? {
            if !subscription.is_open() || !needs(&subscription, &number) {
                continue;
            }
            let kommunen = self.connected(&subscription)?;
            let cut_off = |it: &Connected| it.anschluss.status() == AnschlussStatus::Getrennt;
            let requirement = requirement(&subscription);
            let ersatz = others
                .iter()
                .filter(|it| it.state.number != number && it.serves_on(today))
                .filter(|it| it.life.lifecycle == Lifecycle::Freigegeben)
                .map(|it| it.state.number)
                .find(|it| requirement.as_ref().is_none_or(|wanted| wanted.matches(it)));
            let acknowledged = self
                .acknowledged(&subscription)?
                .iter()
                .any(|(of, what)| *of == number && enough_for(to).contains(what));
            affected.push(Affected {
                kommunen: kommunen.into_iter().filter(|it| !cut_off(it)).collect(),
                // a withdrawal does not wait; it is acknowledged afterwards
                must_acknowledge: subscription.is_bound() && to != Lifecycle::Zurueckgezogen,
                acknowledged,
                ersatz,
                subscription,
            });
        }
        affected.sort_by_key(|it| (it.subscription.subscriber.code(), it.subscription.id));
        Ok(affected)
    }
}

/// Nachnutzungen of one service that are looked at.
pub(super) const SUBSCRIPTIONS_MAX: usize = 10_000;

/// Acknowledgements that cover a state: whoever took note of the deprecation knows the day of the
/// retirement.
pub fn enough_for(state: Lifecycle) -> &'static [Lifecycle] {
    match state {
        Lifecycle::Abgekuendigt | Lifecycle::Abgeschaltet => {
            &[Lifecycle::Abgekuendigt, Lifecycle::Abgeschaltet]
        }
        Lifecycle::Zurueckgezogen => &[Lifecycle::Zurueckgezogen],
        Lifecycle::Freigegeben => &[Lifecycle::Freigegeben],
        Lifecycle::Unspecified | Lifecycle::Entwurf => &[],
    }
}

/// True if the Nachnutzung asks for this version, or for any like it.
pub fn needs(of: &Subscription, number: &SemVer) -> bool {
    requirement(of).is_none_or(|it| it.matches(number))
}

fn requirement(of: &Subscription) -> Option<Requirement> {
    of.terms.version_requirement.parse().ok()
}

fn placed(rows: Vec<Row>) -> Result<Vec<Placed>, FactsError> {
    let mut moves = Vec::with_capacity(rows.len());
    for Row { at, fact } in rows {
        let Some(Said::Subscription(record)) = fact.said else { continue };
        let rests_on: Option<Hash> =
            if fact.rests_on.is_empty() { None } else { Some(leaf_of(&fact.rests_on)?) };
        let leaf = leaf_of(&fact.leaf)?;
        let recorded_unix_ms = fact.recorded_unix_ms;
        moves.push(Placed { at, leaf, rests_on, recorded_unix_ms, record });
    }
    Ok(moves)
}
