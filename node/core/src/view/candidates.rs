//! Services that a list may show, in the order of (Land, id): those that a Land wrote about, and
//! those that it took over and has not revised yet.

use registry_proto::terms::{Land, Leistungsschluessel};
use uuid::Uuid;

use super::{
    Catalogue, Facts, FactsError,
    page::AfterService,
    walk::{BY_NUMBER, DEFINITIONS, Order, TAKEN, Walk},
};
use crate::fold::{Fact, keys};

/// A service that may be shown under a Land.
pub(super) struct Candidate {
    pub(super) land: Land,
    pub(super) service: Uuid,
    /// The newest definition of the Land, if that is what was walked over.
    pub(super) newest: Option<Fact>,
}

/// A walk over candidates, each once.
pub(super) struct Candidates<'a, F: Facts> {
    wrote: Walk<'a, F>,
    by_number: bool,
    took: Walk<'a, F>,
    ahead: [Option<Candidate>; 2],
}

impl<F: Facts> Catalogue<'_, F> {
    /// Services of a Land or of all, that have or had a key or of all keys, after one.
    pub(super) fn candidates(
        &self,
        land: Option<Land>,
        number: Option<&Leistungsschluessel>,
        after: Option<AfterService>,
    ) -> Candidates<'_, F> {
        let (facts, cut) = (self.facts, self.cut);
        let (table, all) = match number {
            None => (DEFINITIONS, keys::definitions_in(land)),
            Some(number) => (BY_NUMBER, keys::by_number_in(number, land)),
        };
        let to = keys::after(&all);
        let from = after.map_or(all, |AfterService { land, service }| {
            keys::after(&match number {
                None => keys::definitions_of(land, service),
                Some(number) => keys::by_number_group(number, land, service),
            })
        });
        let wrote = Walk::over(facts, cut, table, Order::Ascending, from, to);
        let all = keys::taken_in(land);
        let to = keys::after(&all);
        let from = after.map_or(all, |it| keys::after(&keys::taken_of(it.land, it.service)));
        let took = Walk::over(facts, cut, TAKEN, Order::Ascending, from, to);
        Candidates { wrote, by_number: number.is_some(), took, ahead: [None, None] }
    }
}

// === impl Candidates ===

impl<F: Facts> Candidates<'_, F> {
    pub(super) fn next(&mut self) -> Result<Option<Candidate>, FactsError> {
        if self.ahead[0].is_none() {
            self.ahead[0] = self.next_written()?;
        }
        if self.ahead[1].is_none() {
            self.ahead[1] = self.next_taken()?;
        }
        let [wrote, took] = &mut self.ahead;
        let place = |it: &Option<Candidate>| it.as_ref().map(|it| (it.land, it.service));
        let (first, second) = (place(wrote), place(took));
        if first.is_some() && first == second {
            *took = None;
        }
        let taken_first = first.is_none() || second.is_some_and(|it| Some(it) < first);
        Ok(if taken_first { took.take() } else { wrote.take() })
    }

    fn next_written(&mut self) -> Result<Option<Candidate>, FactsError> {
        let Some(fact) = self.wrote.next()? else { return Ok(None) };
        let (service, at) = if self.by_number {
            keys::parse_by_number(&fact.key)?
        } else {
            keys::parse_definition(&fact.key)?
        };
        let newest = (!self.by_number).then_some(fact);
        Ok(Some(Candidate { land: at.log.land, service, newest }))
    }

    fn next_taken(&mut self) -> Result<Option<Candidate>, FactsError> {
        let Some(fact) = self.took.next()? else { return Ok(None) };
        let (service, at) = keys::parse_taken(&fact.key)?;
        Ok(Some(Candidate { land: at.log.land, service, newest: None }))
    }
}
