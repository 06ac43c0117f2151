//! Answers questions about the catalogue from facts, at a cut.
//!
//! A [`Cut`] names how much of each log an answer rests on; facts beyond it are not seen. So
//! every answer is the exact state after whole entries, also while facts arrive. Queries give
//! summaries and positions; bodies stand in the journal.

mod candidates;
mod catalogue;
mod filter;
mod handovers;
mod history;
mod kontakte;
mod life;
mod nachnutzung;
mod notices;
mod offers;
mod owners;
#[cfg(test)]
mod owners_tests;
mod page;
#[cfg(test)]
mod properties;
mod rows;
mod search;
mod snapshot;
mod subject;
#[cfg(test)]
pub(crate) mod tests;
mod token;
mod walk;

use std::{collections::BTreeMap, error::Error};

use registry_proto::terms::{Land, LogId};
use uuid::Uuid;

pub use self::{
    catalogue::{Catalogue, Page, ServiceState, VersionState},
    filter::{WatchFilter, numbers_around},
    history::{Stamp, When},
    life::Standing,
    nachnutzung::{Affected, Connected, Owed, enough_for, needs},
    offers::{Offer, OfferAsk, Reuse},
    owners::{Lineage, Lineages},
    search::{Findable, STATES, SearchAsk, SearchFilters},
    snapshot::{Chunk, SnapshotCursor},
    subject::{About, Subject, numbers_of},
    token::{Token, TokenError},
};
use crate::{
    catalogue::Laender,
    fold::{Fact, Position},
    reject::Reject,
};

/// A sorted set of facts that only grows.
pub trait Facts {
    /// Facts with `from <= key < to` in the order of the keys, or against it; at most `limit`.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the store cannot be read; never a part of the answer.
    fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Fact>, FactsError>;

    /// The value of one fact.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the store cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FactsError>;

    /// False if certainly no version of a service, at any cut, names an area in one of the Länder.
    /// A store that knows saves the look at each version; this one knows nothing.
    fn may_reach(&self, service: Uuid, laender: Laender) -> bool {
        let _ = (service, laender);
        true
    }
}

/// The store of facts failed, or holds what no fold wrote.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation}")]
pub struct FactsError {
    /// What was done ("read facts").
    pub operation: &'static str,
    /// Why it failed.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The request is refused.
    #[error(transparent)]
    Reject(#[from] Reject),
    /// The facts cannot be read; the shell logs the cause and answers [`Reject::Storage`].
    #[error(transparent)]
    Facts(#[from] FactsError),
}

/// How many entries of each log count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut(BTreeMap<LogId, u64>);

// === impl Cut ===

impl Cut {
    /// Entries of a log that count.
    pub fn size(&self, log: LogId) -> u64 {
        self.0.get(&log).copied().unwrap_or(0)
    }

    /// Lets `size` entries of a log count.
    pub fn set(&mut self, log: LogId, size: u64) {
        self.0.insert(log, size);
    }

    /// The state after at most `most` entries of each log that `self` holds; `most` is asked once
    /// for each.
    ///
    /// # Errors
    ///
    /// Those of `most`.
    pub fn until<E>(&self, mut most: impl FnMut(LogId, u64) -> Result<u64, E>) -> Result<Self, E> {
        let shorter = |(&log, &size): (&LogId, &u64)| Ok((log, most(log, size)?.min(size)));
        self.0.iter().map(shorter).collect::<Result<_, E>>().map(Self)
    }

    /// True if the entry counts.
    pub fn holds(&self, at: Position) -> bool {
        at.index < self.size(at.log)
    }

    /// The logs in the order of (Land, epoch), with their sizes.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (LogId, u64)> + '_ {
        self.0.iter().map(|(&log, &size)| (log, size))
    }

    /// The epochs of a Land in ascending order, with their sizes.
    pub fn epochs(&self, land: Land) -> impl DoubleEndedIterator<Item = (LogId, u64)> + '_ {
        let from = LogId { land, epoch: 0 };
        let to = LogId { land, epoch: u64::MAX };
        self.0.range(from..=to).map(|(&log, &size)| (log, size))
    }

    /// The newest log of each Land, with its size.
    pub fn newest(&self) -> BTreeMap<Land, (u64, u64)> {
        self.0.iter().map(|(log, &size)| (log.land, (log.epoch, size))).collect()
    }
}

impl FromIterator<(LogId, u64)> for Cut {
    fn from_iter<I: IntoIterator<Item = (LogId, u64)>>(sizes: I) -> Self {
        Self(sizes.into_iter().collect())
    }
}

// === impl FactsError ===

impl FactsError {
    /// An operation and its cause.
    pub fn new(operation: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { operation, source: source.into() }
    }

    fn foreign(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new("understand a fact", source)
    }
}

impl From<crate::fold::keys::ParseKeyError> for FactsError {
    fn from(error: crate::fold::keys::ParseKeyError) -> Self {
        Self::foreign(error)
    }
}

impl From<crate::fold::ValueError> for FactsError {
    fn from(error: crate::fold::ValueError) -> Self {
        Self::foreign(error)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::{Facts, FactsError};
    use crate::{
        catalogue::Laender,
        fold::{Fact, reach},
    };

    /// Facts in memory.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Memory(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

    impl Extend<Fact> for Memory {
        fn extend<I: IntoIterator<Item = Fact>>(&mut self, facts: I) {
            self.0.extend(facts.into_iter().map(|fact| (fact.key, fact.value)));
        }
    }

    impl Facts for Memory {
        fn scan(
            &self,
            from: &[u8],
            to: &[u8],
            reverse: bool,
            limit: usize,
        ) -> Result<Vec<Fact>, FactsError> {
            if from >= to {
                return Ok(Vec::new());
            }
            let range = self.0.range(from.to_vec()..to.to_vec());
            let pair = |(key, value): (&Vec<u8>, &Vec<u8>)| Fact {
                key: key.clone(),
                value: value.clone(),
            };
            Ok(if reverse {
                range.rev().take(limit).map(pair).collect()
            } else {
                range.take(limit).map(pair).collect()
            })
        }

        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, FactsError> {
            Ok(self.0.get(key).cloned())
        }

        // excludes whatever may be excluded, so that every test sees that nothing is missing then
        fn may_reach(&self, service: Uuid, laender: Laender) -> bool {
            let versions = self.0.iter().filter_map(|(key, value)| reach(key, value));
            versions.filter(|(of, _)| *of == service).any(|(_, known)| known.meets(laender))
        }
    }
}
