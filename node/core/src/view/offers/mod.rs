//! Who serves a Leistung in a Gebiet on a day.
//!
//! A version of a service serves an area on a day if it serves on that day (released or not yet
//! retired, countersigned), its validity contains the day, and one of these holds:
//!
//! - one of its own areas encloses the area asked for, or
//! - a Nachnutzung of the service is in use (`produktiv`), has an area that encloses it (its own,
//!   or one of a body it acts for), and asks for versions like this one. A Land is heard about its
//!   own areas only; the Bund about all.
//!
//! Of one service the nearest way counts, its own before a Nachnutzung that is as near, and on
//! that way the highest version. Of several services those whose way is nearest are given: an
//! offer for the Kreis hides one for the whole Land, and a Land hides the Bund.
//!
//! Areas take the place of others. What is asked for is what that area is on the day; a record may
//! name it by any key that the Gemeindeverzeichnis knows for it, older or newer.

mod ahead;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use registry_proto::{
    terms::{Ars, Date, Ebene, Leistungsschluessel, SemVer},
    wire::registry::{ResolveLeistungRequest, ServiceSummary, SubscriptionState},
};

use self::ahead::Reused;
use super::{
    Catalogue, Connected, Facts, FactsError, Lineage, QueryError, Standing,
    candidates::Candidate,
    catalogue::{Definition, VERSIONS_AT_ONCE, valid_on},
    nachnutzung::{SUBSCRIPTIONS_MAX, needs},
    page::Checks,
};
use crate::{
    catalogue::{GebietAmTag, Gemeindeverzeichnis, Laender},
    fold::{Position, Said, VersionFact, keys},
    limits::{OFFERS_DEFAULT, OFFERS_MAX},
    moves::nachnutzung::Subscription,
    reject::Reject,
};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OfferAsk {
    /// The Leistung.
    pub number: Leistungsschluessel,
    /// The Gebiet, as it is on the day.
    pub gebiet: GebietAmTag,
    /// The day.
    pub day: Date,
    /// Offers that are given at most; others are counted.
    pub limit: usize,
}

/// A version that serves.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The service.
    pub service: ServiceSummary,
    /// Entry of the definition that counts.
    pub definition: Position,
    /// The version.
    pub standing: Standing,
    /// The area that encloses the one asked for.
    pub gebiet: Ars,
    /// The Nachnutzung that brings it there; `None` if the owner serves the area itself.
    pub reuse: Option<Reuse>,
}

/// How a Nachnutzung brings a service to an area.
#[derive(Clone, Debug, PartialEq)]
pub struct Reuse {
    /// It.
    pub subscription: Subscription,
    /// The nearest Kommune around the area of which the subscriber said something.
    pub anschluss: Option<Connected>,
}

/// A way in which a service reaches the area.
struct Way {
    standing: Standing,
    gebiet: Ars,
    by: Option<Subscription>,
}

// === impl OfferAsk ===

impl OfferAsk {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on fields of another form.
    pub fn parse(
        request: &ResolveLeistungRequest,
        today: Date,
        gebiete: &Gemeindeverzeichnis,
    ) -> Result<Self, Reject> {
        let mut checks = Checks::default();
        let number = checks.parsed(
            "leistungsschluessel",
            "LEISTUNGSSCHLUESSEL_FORM",
            &request.leistungsschluessel,
        );
        let ars = checks.parsed::<Ars>("ars", "ARS_FORM", &request.ars);
        let day = checks.optional("valid_at", "DATE_FORM", &request.valid_at).unwrap_or(today);
        let limit = match request.limit {
            0 => OFFERS_DEFAULT,
            asked => asked,
        };
        if limit > OFFERS_MAX {
            checks.add("limit", "PAGE_SIZE", format_args!("{limit} ist mehr als {OFFERS_MAX}"));
        }
        let (Some(number), Some(ars)) = (number, ars) else { return Err(checks.reject()) };
        checks.finish()?;
        let gebiet = gebiete.am_tag(&ars, day);
        Ok(Self { number, gebiet, day, limit: limit as usize })
    }
}

impl<F: Facts> Catalogue<'_, F> {
    /// The offers of the nearest enclosing area in the order of (Land, service id), and how many
    /// there are.
    ///
    /// # Errors
    ///
    /// [`QueryError::Facts`] if the facts cannot be read.
    pub fn offers(&self, ask: &OfferAsk) -> Result<(Vec<Offer>, u32), QueryError> {
        let laender = ask.gebiet.laender();
        let mut nearest = Ebene::Bund;
        let mut reused = Reused::new(self.facts);
        let (mut kept, mut total) = (Vec::new(), 0_u32);
        let mut candidates = self.candidates(None, Some(&ask.number), None);
        while let Some(Candidate { land, service, .. }) = candidates.next()? {
            let Some(lineage) = self.owned(land, service)? else { continue };
            let Some(way) = self.way(&lineage, ask, laender, nearest, &mut reused)? else {
                continue;
            };
            // the definition that counts now may have dropped the key
            let has = |it: &Definition| {
                it.fact.leistungsschluessel.iter().any(|it| it == ask.number.as_str())
            };
            let Some(definition) = self.definition(&lineage)?.filter(has) else { continue };
            if way.gebiet.ebene() > nearest {
                nearest = way.gebiet.ebene();
                kept.clear();
                total = 0;
            }
            total = total.saturating_add(1);
            if kept.len() < ask.limit {
                kept.push((definition, way));
            }
        }
        let offers = kept.into_iter().map(|(definition, way)| self.offer(definition, way, ask));
        Ok((offers.collect::<Result<_, _>>()?, total))
    }

    fn offer(&self, definition: Definition, way: Way, ask: &OfferAsk) -> Result<Offer, FactsError> {
        let Way { standing, gebiet, by } = way;
        let reuse = match by {
            Some(subscription) => {
                let anschluss = self.anschluss_around(&subscription, &ask.gebiet)?;
                Some(Reuse { subscription, anschluss })
            }
            None => None,
        };
        let position = definition.position;
        let service = self.summary(definition)?;
        Ok(Offer { service, definition: position, standing, gebiet, reuse })
    }

    /// The nearest way of a service to the area, which lies in `laender`, if it is at least as near
    /// as `least`.
    fn way(
        &self,
        of: &Lineage,
        ask: &OfferAsk,
        laender: Laender,
        least: Ebene,
        reused: &mut Reused<'_, F>,
    ) -> Result<Option<Way>, FactsError> {
        let near = |list: &[String]| {
            around(list.iter(), &ask.gebiet).filter(|gebiet| gebiet.ebene() >= least)
        };
        let own = if self.facts.may_reach(of.service, laender) {
            self.highest_serving(of, ask.day, |_, fact| near(&fact.gebiete).is_some())?
        } else {
            None
        };
        let own = own.and_then(|standing| {
            let gebiet = near(&standing.fact.gebiete)?;
            Some(Way { standing, gebiet, by: None })
        });
        let nearer = |ebene: Ebene| match &own {
            Some(own) => ebene > own.gebiet.ebene(),
            None => ebene >= least,
        };
        if !nearer(ask.gebiet.finest()) || !reused.has(of.service)? {
            return Ok(own);
        }
        for (gebiet, subscription) in self.in_use(of, &ask.gebiet)? {
            if !nearer(gebiet.ebene()) {
                break;
            }
            let wanted = |number: &SemVer, _: &VersionFact| needs(&subscription, number);
            if let Some(standing) = self.highest_serving(of, ask.day, wanted)? {
                return Ok(Some(Way { standing, gebiet, by: Some(subscription) }));
            }
        }
        Ok(own)
    }

    /// The highest version that is wanted, valid and in service on the day.
    fn highest_serving(
        &self,
        of: &Lineage,
        day: Date,
        wanted: impl Fn(&SemVer, &VersionFact) -> bool,
    ) -> Result<Option<Standing>, FactsError> {
        let mut walk = self.versions(of, None)?.beginning_with(VERSIONS_AT_ONCE);
        while let Some(found) = walk.next()? {
            let (_, number, _) = keys::parse_version(&found.key)?;
            let fact = VersionFact::parse(&found.value)?;
            if valid_on(&fact, day) && wanted(&number, &fact) {
                let standing = self.stands(of, &found)?;
                if standing.serves_on(day) {
                    return Ok(Some(standing));
                }
            }
        }
        Ok(None)
    }

    /// Nachnutzungen of a service that are in use around the area, each with its nearest area;
    /// the nearest first, then in the order of their ids.
    fn in_use(
        &self,
        of: &Lineage,
        asked: &GebietAmTag,
    ) -> Result<Vec<(Ars, Subscription)>, FactsError> {
        let mut ids = Vec::new();
        self.each(&keys::subscribed_to(of.service), |fact| {
            let at = keys::landed_place(&fact.key)?;
            let id = keys::parse_subscribed(&fact.key)?;
            // the subscriber made the first move, and only these can act for the area
            if asked.lies_in(at.log.land) && self.cut.holds(at) && ids.last() != Some(&id) {
                ids.push(id);
            }
            Ok(ids.len() < SUBSCRIPTIONS_MAX)
        })?;
        let mut found = Vec::new();
        for id in ids {
            let Some(it) = self.subscription_to(of, id)? else { continue };
            let fits = it.zustand() == SubscriptionState::Produktiv && asked.lies_in(it.subscriber);
            let bodies = it.terms.auftraggeber.iter().flat_map(|it| &it.gebiete);
            let nearest = around(it.terms.gebiete.iter().chain(bodies), asked);
            let own = nearest.filter(|gebiet| Ars::from(it.subscriber).covers(gebiet));
            found.extend(own.filter(|_| fits).map(|gebiet| (gebiet, it)));
        }
        found.sort_by_key(|(gebiet, it)| (Reverse(gebiet.ebene()), it.id));
        Ok(found)
    }

    /// What the subscriber said last of the nearest Kommune around an area.
    fn anschluss_around(
        &self,
        of: &Subscription,
        asked: &GebietAmTag,
    ) -> Result<Option<Connected>, FactsError> {
        let own = asked.on_day().first().filter(|_| asked.on_day().len() == 1);
        let around = [9, 5].into_iter().filter_map(|digits| own?.as_str().get(..digits));
        for kommune in asked.keys().map(Ars::as_str).chain(around) {
            let rows = self.rows(&keys::anschluss_of(of.id, kommune))?;
            let said = rows.into_iter().rev().find_map(|it| match it.fact.said {
                Some(Said::Anschluss(anschluss)) if it.at.log.land == of.subscriber => {
                    let recorded_unix_ms = it.fact.recorded_unix_ms;
                    Some(Connected { at: it.at, recorded_unix_ms, anschluss })
                }
                _ => None,
            });
            if said.is_some() {
                return Ok(said);
            }
        }
        Ok(None)
    }
}

/// Of the areas that enclose the one asked for the nearest.
fn around<'a>(list: impl Iterator<Item = &'a String>, asked: &GebietAmTag) -> Option<Ars> {
    asked.around(list.map(String::as_str))
}
