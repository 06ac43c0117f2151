//! How many transfers there may be, all together and per identity.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use registry_core::reject::Reject;

/// Counts transfers of one kind.
#[derive(Debug)]
pub(super) struct Places {
    /// In words, of the whole node and of one certificate.
    names: [&'static str; 2],
    max: usize,
    each_max: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// One transfer; its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    identity: String,
}

// === impl Places ===

impl Places {
    pub(super) fn new(names: [&'static str; 2], max: usize, each_max: usize) -> Arc<Self> {
        Arc::new(Self { names, max, each_max, taken: Mutex::default() })
    }

    /// Takes a place, or tells which limit is reached.
    pub(super) fn take(self: &Arc<Self>, identity: &str) -> Result<Place, Reject> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= self.max {
            return Err(Reject::Busy { limit: self.names[0], max: self.max as u64 });
        }
        if taken.get(identity).is_some_and(|own| *own >= self.each_max) {
            return Err(Reject::Busy { limit: self.names[1], max: self.each_max as u64 });
        }
        *taken.entry(identity.to_owned()).or_default() += 1;
        drop(taken);
        Ok(Place { places: Arc::clone(self), identity: identity.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.identity) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_transfer_ends() {
        let places = Places::new(["transfers", "transfers of one certificate"], 3, 2);
        let refused = |who| match places.take(who) {
            Err(Reject::Busy { limit, max }) => (limit, max),
            other => panic!("{other:?}"),
        };
        let first = places.take("a").unwrap();
        let second = places.take("a").unwrap();
        assert_eq!(refused("a"), ("transfers of one certificate", 2));
        let third = places.take("b").unwrap();
        assert_eq!(refused("c"), ("transfers", 3));
        drop(second);
        let again = places.take("c").unwrap();
        drop((first, third, again));
        assert!(places.taken.lock().unwrap().is_empty());
    }
}
