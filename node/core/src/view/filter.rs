//! Which events a watch shows.
//!
//! A filter by Leistungsschluessel looks at the definition that was in force at the event's place
//! in its log, and at the one the event brings: so a watcher also learns that a service lost its
//! key, and every node decides alike, however late it reads the entry. A Land that took a service
//! over and has not revised it has given it the keys that it took it with.

use std::collections::HashSet;

use registry_proto::{
    terms::{Land, Leistungsschluessel},
    wire::registry::WatchRequest,
};
use uuid::Uuid;

use super::{Facts, FactsError, page::Checks};
use crate::{
    fold::{DefinitionFact, Fact, MoveFact, Position, Said, keys},
    limits::FILTER_VALUES_MAX,
    moves::uebergabe::{OWNERS_MAX, STEPS_MAX},
    reject::Reject,
};

/// The filter of a watch; empty lists let everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchFilter {
    laender: HashSet<Land>,
    services: HashSet<Uuid>,
    numbers: HashSet<String>,
}

// === impl WatchFilter ===

impl WatchFilter {
    /// Reads the filter of a request.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on values of another form and on lists that are too long.
    pub fn parse(request: &WatchRequest) -> Result<Self, Reject> {
        let mut checks = Checks::default();
        for (field, length) in [
            ("laender", request.laender.len()),
            ("service_ids", request.service_ids.len()),
            ("leistungsschluessel", request.leistungsschluessel.len()),
        ] {
            if length > FILTER_VALUES_MAX {
                let found = format!("{length} Werte; höchstens {FILTER_VALUES_MAX}");
                checks.add(field, "FILTER_LENGTH", found);
                return Err(checks.reject());
            }
        }
        let mut filter = Self::default();
        for (i, text) in request.laender.iter().enumerate() {
            filter.laender.extend(checks.parsed::<Land>(
                format!("laender[{i}]"),
                "LAND_UNKNOWN",
                text,
            ));
        }
        for (i, text) in request.service_ids.iter().enumerate() {
            filter.services.extend(checks.parsed::<Uuid>(
                format!("service_ids[{i}]"),
                "UUID_FORM",
                text,
            ));
        }
        for (i, text) in request.leistungsschluessel.iter().enumerate() {
            let field = format!("leistungsschluessel[{i}]");
            let number =
                checks.parsed::<Leistungsschluessel>(field, "LEISTUNGSSCHLUESSEL_FORM", text);
            filter.numbers.extend(number.map(|number| number.to_string()));
        }
        checks.finish()?;
        Ok(filter)
    }

    /// True if the log of this Land is followed at all.
    pub fn follows(&self, land: Land) -> bool {
        self.laender.is_empty() || self.laender.contains(&land)
    }

    /// True if an event of this Land and service passes, apart from its Leistungsschluessel.
    /// Events about the log itself have no service.
    pub fn passes(&self, land: Land, service: Option<Uuid>) -> bool {
        if !self.follows(land) {
            return false;
        }
        match service {
            Some(service) => self.services.is_empty() || self.services.contains(&service),
            None => self.services.is_empty() && self.numbers.is_empty(),
        }
    }

    /// True if [`Self::passes_numbers`] has a say.
    pub fn by_number(&self) -> bool {
        !self.numbers.is_empty()
    }

    /// True if an event of a service with these keys passes.
    pub fn passes_numbers(&self, numbers: &[String]) -> bool {
        self.numbers.is_empty() || numbers.iter().any(|number| self.numbers.contains(number))
    }
}

/// Keys of a service that decide about an event at `at`: those in force before it and those it
/// brings.
///
/// # Errors
///
/// [`FactsError`] if the facts cannot be read.
pub fn numbers_around<F: Facts>(
    facts: &F,
    service: Uuid,
    at: Position,
) -> Result<Vec<String>, FactsError> {
    let mut numbers = numbers_in_force(facts, service, at)?;
    if let Some(value) = facts.get(&keys::definition(service, at))? {
        numbers.extend(DefinitionFact::parse(&value)?.leistungsschluessel);
    }
    Ok(numbers)
}

/// Keys of a service in force before `at` in the log of its owner: those of its newest definition
/// there, or, if it took the service over after that, those in force before the offer it took.
pub(super) fn numbers_in_force<F: Facts>(
    facts: &F,
    service: Uuid,
    mut at: Position,
) -> Result<Vec<String>, FactsError> {
    for _ in 0..OWNERS_MAX {
        let from = keys::taken_of(at.log.land, service);
        let Some(taken) = facts.scan(&from, &keys::taken(service, at), true, 1)?.pop() else {
            break;
        };
        let (_, taken) = keys::parse_taken(&taken.key)?;
        let (from, to) = (keys::definition(service, taken), keys::definition(service, at));
        if !facts.scan(&from, &to, false, 1)?.is_empty() {
            break;
        }
        let Some(offer) = offer_taken(facts, service, taken)? else { break };
        at = offer;
    }
    numbers_before(facts, service, at)
}

/// The offer that an entry took, if it is here.
fn offer_taken<F: Facts>(
    facts: &F,
    service: Uuid,
    taken: Position,
) -> Result<Option<Position>, FactsError> {
    let Some(value) = facts.get(&keys::uebergabe(service, taken))? else { return Ok(None) };
    let Some(Said::Uebergabe(acceptance)) = MoveFact::parse(&value)?.said else { return Ok(None) };
    let Ok(land) = acceptance.von_land.parse() else { return Ok(None) };
    let from = keys::uebergaben_by(service, land);
    for Fact { key, value } in facts.scan(&from, &keys::after(&from), false, STEPS_MAX)? {
        if MoveFact::parse(&value)?.leaf == acceptance.angebot {
            return Ok(Some(keys::landed_place(&key)?));
        }
    }
    Ok(None)
}

/// Keys of a service in force before `at`, as the Land of that log gave them.
fn numbers_before<F: Facts>(
    facts: &F,
    service: Uuid,
    at: Position,
) -> Result<Vec<String>, FactsError> {
    let from = keys::definitions_of(at.log.land, service);
    let to = keys::definition(service, at);
    match facts.scan(&from, &to, true, 1)?.pop() {
        Some(Fact { value, .. }) => Ok(DefinitionFact::parse(&value)?.leistungsschluessel),
        None => Ok(Vec::new()),
    }
}
