//! Services that no search finds for the moment: something of them is erased, and the search index
//! still knows its words. That there was a hit would tell them, and so would a count.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use registry_core::{fold::Position, limits::UNSEARCHED_MAX, view::Cut};
use registry_proto::terms::LogId;
use uuid::Uuid;

/// Filled by the folder before an erasure is shown, emptied when the search index has followed it.
#[derive(Debug, Default)]
pub(crate) struct Unsearched {
    waits: Mutex<Waits>,
}

/// What waits for the search index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    /// The service that each erasure is about.
    services: BTreeMap<Position, Uuid>,
    /// The last erasure of each log that found no place there.
    beyond: BTreeMap<LogId, u64>,
}

// === impl Unsearched ===

impl Unsearched {
    /// An erasure is about to be shown.
    pub(crate) fn add(&self, erasure: Position, service: Uuid) {
        let mut waits = self.lock();
        if waits.services.len() < UNSEARCHED_MAX {
            waits.services.insert(erasure, service);
        } else {
            let last = waits.beyond.entry(erasure.log).or_default();
            *last = erasure.index.max(*last);
        }
    }

    /// Readers see a search index at this cut.
    pub(crate) fn followed(&self, cut: &Cut) {
        let mut waits = self.lock();
        waits.services.retain(|erasure, _| !cut.holds(*erasure));
        waits.beyond.retain(|&log, &mut index| !cut.holds(Position { log, index }));
    }

    /// What waits now. Who asks before he takes a search index misses nothing.
    pub(crate) fn now(&self) -> Waits {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waits ===

impl Waits {
    /// The services to leave out of a search index at this cut; `None` if that are too many to know.
    pub(crate) fn at(&self, cut: &Cut) -> Option<BTreeSet<Uuid>> {
        let open = |(&log, &index): (&LogId, &u64)| !cut.holds(Position { log, index });
        if self.beyond.iter().any(open) {
            return None;
        }
        let open = self.services.iter().filter(|(erasure, _)| !cut.holds(**erasure));
        Some(open.map(|(_, service)| *service).collect())
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::Land;

    use super::*;

    #[test]
    fn a_service_is_left_out_until_the_index_has_followed_and_too_many_close_the_search() {
        let log = LogId { land: Land::SL, epoch: 1 };
        let at = |index| Position { log, index };
        let cut = |size: u64| -> Cut { [(log, size)].into_iter().collect() };
        let unsearched = Unsearched::default();
        let service = Uuid::from_u128;
        unsearched.add(at(3), service(1));
        unsearched.add(at(5), service(2));
        let open = |size| unsearched.now().at(&cut(size)).map(|it| it.into_iter().collect());
        assert_eq!(open(3), Some(vec![service(1), service(2)]));
        assert_eq!(open(5), Some(vec![service(2)]));
        unsearched.followed(&cut(5));
        assert_eq!(open(3), Some(vec![service(2)]));
        for index in 0..=UNSEARCHED_MAX as u64 {
            unsearched.add(at(10 + index), service(3));
        }
        let last = 10 + UNSEARCHED_MAX as u64;
        assert_eq!(open(last), None);
        assert_eq!(open(last + 1), Some(Vec::new()));
        unsearched.followed(&cut(last + 1));
        assert_eq!(open(0), Some(Vec::new()));
    }
}
