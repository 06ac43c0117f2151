//! What is said about handing services over, for those who ask.

use std::cmp::Reverse;

use registry_proto::{
    terms::Land,
    wire::registry::{
        Handover, HandoverState, ListHandoversRequest, ServiceOwner, UebergabeSchritt,
    },
};
use uuid::Uuid;

use super::{
    Catalogue, Facts, FactsError, Lineage, Lineages, QueryError, catalogue::timestamp,
    life::position, page::Checks,
};
use crate::{
    fold::{
        Position,
        keys::{self, MoveTable},
    },
    limits::PAGE_DEFAULT,
    moves::uebergabe::{self, Outcome, Said},
};

/// Services with handovers that are looked at.
const HANDED_OVER_MAX: usize = 20_000;

impl<F: Facts> Catalogue<'_, F> {
    /// Offers to hand services over that pass, the newest first, at most as many as asked for; and
    /// how many there are.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`](crate::reject::Reject::Invalid) on fields of another form.
    pub fn list_handovers(
        &self,
        request: &ListHandoversRequest,
    ) -> Result<(Vec<Handover>, u32), QueryError> {
        let mut checks = Checks::default();
        let limit = checks.count("limit", request.limit, PAGE_DEFAULT);
        let service = checks.optional::<Uuid>("service_id", "UUID_FORM", &request.service_id);
        let land = checks.land(&request.land);
        checks.finish()?;

        let mut found = Vec::new();
        for (service, all) in self.handed_over(service)? {
            for offer in &all.said {
                let named = [&offer.record.von_land, &offer.record.an_land];
                let passes = land.is_none_or(|land| named.iter().any(|it| *it == land.code()));
                if passes && offer.record.schritt() == UebergabeSchritt::Angebot {
                    let shown = self.shown_offer(service, &all, offer)?;
                    found.push((offer.recorded_unix_ms, offer.at, shown));
                }
            }
        }
        found.retain(|(_, _, it)| !request.open_only || it.state() == HandoverState::Open);
        found.sort_by_key(|(recorded, at, _)| (Reverse(*recorded), Reverse(*at)));
        let total = u32::try_from(found.len()).unwrap_or(u32::MAX);
        Ok((found.into_iter().map(|(_, _, it)| it).take(limit).collect(), total))
    }

    /// The owners of a service as they go over the wire.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn owners_of(&self, of: &Lineage) -> Result<Vec<ServiceOwner>, FactsError> {
        let said = if of.owners.len() > 1 { self.handovers(of.service)? } else { Vec::new() };
        let recorded = |at: Position| said.iter().find(|it| it.at == at);
        let shown = |it: &uebergabe::Owner| ServiceOwner {
            land: it.land.to_string(),
            taken: it.from.map(position),
            taken_at: it.from.and_then(recorded).map(|it| timestamp(it.recorded_unix_ms)),
            offered: it.until.map(position),
        };
        Ok(of.owners.iter().map(shown).collect())
    }

    /// Services of which a handover was ever spoken, or the one asked for.
    pub(super) fn handed_over(
        &self,
        service: Option<Uuid>,
    ) -> Result<Vec<(Uuid, Lineages)>, FactsError> {
        if let Some(service) = service {
            return Ok(vec![(service, self.lineages(service)?)]);
        }
        let all = keys::moves(MoveTable::Uebergabe);
        let (mut from, to) = (all.clone(), keys::after(&all));
        let mut found = Vec::new();
        while found.len() < HANDED_OVER_MAX
            && let Some(next) = self.facts.scan(&from, &to, false, 1)?.pop()
        {
            let (service, _) = keys::parse_move(MoveTable::Uebergabe, &next.key)?;
            found.push((service, self.lineages(service)?));
            from = keys::after(&keys::uebergaben_of(service));
        }
        Ok(found)
    }

    fn shown_offer(
        &self,
        service: Uuid,
        all: &Lineages,
        offer: &Said,
    ) -> Result<Handover, FactsError> {
        let (of, outcome) = all.outcome(offer);
        let bezeichnung = match of {
            Some(of) => self.definition(of)?.map(|it| it.fact.bezeichnung).unwrap_or_default(),
            None => String::new(),
        };
        let (state, answer) = match outcome {
            Outcome::Open => (HandoverState::Open, None),
            Outcome::Taken(at) => (HandoverState::Taken, Some(at)),
            Outcome::TakenBack(at) => (HandoverState::TakenBack, Some(at)),
            Outcome::Void => (HandoverState::Void, None),
        };
        let signed = match of {
            Some(of) if state == HandoverState::Open => Some(self.offer_signed(of, offer)?),
            _ => None,
        };
        let missing = signed.as_ref().filter(|it| !it.is_enough()).map(|it| it.missing());
        let codes = missing.into_iter().flatten().map(|land: Land| land.to_string());
        let recorded = |at: Position| all.said.iter().find(|it| it.at == at);
        Ok(Handover {
            service_id: service.to_string(),
            bezeichnung,
            von_land: offer.record.von_land.clone(),
            an_land: offer.record.an_land.clone(),
            state: state as i32,
            position: Some(position(offer.at)),
            leaf_hash: offer.leaf.as_bytes().to_vec().into(),
            offered_at: Some(timestamp(offer.recorded_unix_ms)),
            answer: answer.map(position),
            answered_at: answer.and_then(recorded).map(|it| timestamp(it.recorded_unix_ms)),
            fehlt: codes.collect(),
            k: signed.map_or(0, |it| u32::try_from(it.leaders.k).unwrap_or(u32::MAX)),
        })
    }
}

// === impl Lineages ===

impl Lineages {
    /// What became of an offer, and of which service it is.
    pub fn outcome(&self, offer: &Said) -> (Option<&Lineage>, Outcome) {
        let land = offer.at.log.land;
        let mut of = None;
        for lineage in self.all.iter().filter(|it| it.names(land)) {
            match uebergabe::outcome(&lineage.owners, offer, &self.said) {
                Outcome::Void => of = of.or(Some(lineage)),
                outcome => return (Some(lineage), outcome),
            }
        }
        (of, Outcome::Void)
    }
}
