//! Which service an entry is about.
//!
//! Entries about a Nachnutzung name it and not its service. The service is the one that the
//! subscriber named first, in the same log and before the entry: so every node decides alike,
//! however late it reads the entry.

use registry_proto::{
    terms::{Land, LogId},
    wire::registry::SubscriptionMove,
};
use uuid::Uuid;

use super::{Facts, FactsError, filter::numbers_in_force, owners::spoke};
use crate::fold::{Fact, Move, MoveFact, Position, Record, Said, keys};

/// A service and its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// UUID.
    pub service: Uuid,
    /// Owner.
    pub owner: Land,
}

/// What an entry says it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The log itself, or what this software does not know.
    Nothing,
    /// A service.
    Service(Subject),
    /// A Nachnutzung; [`About::subject`] knows its service.
    Subscription(Uuid),
}

// === impl About ===

impl About {
    /// What an entry in a log of `land` about `object` says.
    pub fn of(land: Land, object: Option<Uuid>, record: &Record) -> Self {
        let Some(object) = object else { return Self::Nothing };
        match record {
            Record::Move(it) => match &**it {
                Move::Subscription(it) => Self::of_subscription(object, it),
                Move::Anschluss(_) | Move::Bestaetigung(_) => Self::Subscription(object),
                Move::Mitzeichnung(it) => Self::of_service(object, &it.land, land),
                Move::Uebergabe(it) => Self::of_service(object, &it.von_land, land),
                Move::Status(_) | Move::Kontakt(_) => {
                    Self::Service(Subject { service: object, owner: land })
                }
            },
            Record::Definition(_) | Record::Version(_) | Record::Erasure(_) | Record::Hidden => {
                Self::Service(Subject { service: object, owner: land })
            }
        }
    }

    /// As [`Self::of`], of a move in the index.
    pub(super) fn said(land: Land, object: Uuid, said: Option<&Said>) -> Self {
        match said {
            Some(Said::Subscription(it)) => Self::of_subscription(object, it),
            Some(Said::Anschluss(_) | Said::Bestaetigung(_)) => Self::Subscription(object),
            Some(Said::Mitzeichnung(it)) => Self::of_service(object, &it.land, land),
            Some(Said::Uebergabe(it)) => Self::of_service(object, &it.von_land, land),
            Some(Said::Status(_) | Said::Kontakt(_)) | None => {
                Self::Service(Subject { service: object, owner: land })
            }
        }
    }

    fn of_service(service: Uuid, named: &str, land: Land) -> Self {
        Self::Service(Subject { service, owner: named.parse().unwrap_or(land) })
    }

    fn of_subscription(id: Uuid, it: &SubscriptionMove) -> Self {
        match (it.service_id.parse(), it.publisher_land.parse()) {
            (Ok(service), Ok(owner)) => Self::Service(Subject { service, owner }),
            _ => Self::Subscription(id),
        }
    }

    /// The service, for the entry at `at`; `None` if no entry before it says which.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn subject<F: Facts>(self, facts: &F, at: Position) -> Result<Option<Subject>, FactsError> {
        let id = match self {
            Self::Nothing => return Ok(None),
            Self::Service(subject) => return Ok(Some(subject)),
            Self::Subscription(id) => id,
        };
        let from = keys::subscriptions_in(id, at.log.land);
        let to = keys::subscription(id, at);
        let Some(Fact { value, .. }) = facts.scan(&from, &to, false, 1)?.pop() else {
            return Ok(None);
        };
        let said = MoveFact::parse(&value)?.said;
        Ok(match Self::said(at.log.land, id, said.as_ref()) {
            Self::Service(subject) => Some(subject),
            Self::Nothing | Self::Subscription(_) => None,
        })
    }
}

/// Keys of a service that decide about a move that another Land makes: those that its owner has
/// given it as far as this node knows, and those of every Land that took it over.
///
/// # Errors
///
/// [`FactsError`] if the facts cannot be read.
pub fn numbers_of<F: Facts>(facts: &F, of: Subject) -> Result<Vec<String>, FactsError> {
    let at_end = |land: Land| {
        let log = LogId { land, epoch: u64::MAX };
        Position { log, index: u64::MAX }
    };
    let mut numbers = numbers_in_force(facts, of.service, at_end(of.owner))?;
    for land in spoke(facts, of.service)?.into_iter().filter(|land| *land != of.owner) {
        numbers.extend(numbers_in_force(facts, of.service, at_end(land))?);
    }
    Ok(numbers)
}
