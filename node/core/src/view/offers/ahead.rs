//! Which services anybody re-uses at all, for many services at once.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::{
    fold::keys,
    view::{Facts, FactsError},
};

/// Tells of services, asked for in their order, whether there is any fact of a Nachnutzung. Reads
/// ahead: a Leistung has hundreds of services, and a look for each would be most of the answer.
pub(super) struct Reused<'a, F> {
    facts: &'a F,
    /// Asked last.
    last: Option<Uuid>,
    /// Services from there on that have one.
    ahead: VecDeque<Uuid>,
    /// Nothing is left beyond them.
    at_end: bool,
}

/// Facts that are read at once.
const CHUNK: usize = 64;

// === impl Reused ===

impl<'a, F: Facts> Reused<'a, F> {
    pub(super) fn new(facts: &'a F) -> Self {
        Self { facts, last: None, ahead: VecDeque::new(), at_end: false }
    }

    /// Whether a service has one, at whatever cut. Cheap as long as services come in their order.
    pub(super) fn has(&mut self, service: Uuid) -> Result<bool, FactsError> {
        if self.last.is_some_and(|last| service < last) {
            self.ahead.clear();
            self.at_end = false;
        }
        self.last = Some(service);
        while self.ahead.front().is_some_and(|first| *first < service) {
            self.ahead.pop_front();
        }
        if self.ahead.is_empty() && !self.at_end {
            self.read(service)?;
        }
        Ok(self.ahead.front() == Some(&service))
    }

    fn read(&mut self, from: Uuid) -> Result<(), FactsError> {
        let end = keys::after(&keys::all_subscribed());
        let facts = self.facts.scan(&keys::subscribed_to(from), &end, false, CHUNK)?;
        self.at_end = facts.len() < CHUNK;
        for fact in facts {
            let service = keys::parse_subscribed_to(&fact.key)?;
            if self.ahead.back() != Some(&service) {
                self.ahead.push_back(service);
            }
        }
        Ok(())
    }
}
