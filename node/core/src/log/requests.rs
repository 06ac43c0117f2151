//! What became of requests that carried an idempotency key, so that one that is sent again is
//! answered with what stands. Rebuilt at start from the headers of the own log.

use std::collections::{HashMap, VecDeque};

use registry_proto::{log::RequestId, terms::ServiceId};

use super::services::Mark;

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    known: HashMap<RequestId, Vec<(ServiceId, Mark)>>,
    /// In the order they came.
    order: VecDeque<RequestId>,
}

/// Requests that are remembered; the keys of older ones may be used again.
pub const REQUESTS_KEPT_MAX: usize = 10_000;

// === impl Requests ===

impl Requests {
    /// Notes an entry of a request.
    pub(crate) fn note(&mut self, request: RequestId, object: ServiceId, mark: Mark) {
        let entries = self.known.entry(request).or_insert_with(|| {
            self.order.push_back(request);
            Vec::new()
        });
        entries.push((object, mark));
        if self.order.len() > REQUESTS_KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Forgets the last entry of a request.
    pub(crate) fn take_back(&mut self, request: RequestId) {
        let Some(entries) = self.known.get_mut(&request) else { return };
        entries.pop();
        if entries.is_empty() {
            self.known.remove(&request);
            self.order.retain(|it| *it != request);
        }
    }

    /// Entries of a request, in their order.
    pub(crate) fn entries(&self, request: RequestId) -> Option<&[(ServiceId, Mark)]> {
        self.known.get(&request).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::log::Hash;

    use super::*;

    fn id(number: usize) -> RequestId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        RequestId(id)
    }

    fn mark(index: u64) -> Mark {
        Mark { content: Hash::EMPTY_ROOT, number: index, leaf: Hash::EMPTY_ROOT }
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let mut requests = Requests::default();
        let object = ServiceId::from(uuid::Uuid::nil());
        for number in 0..=REQUESTS_KEPT_MAX {
            requests.note(id(number), object, mark(number as u64));
        }
        assert!(requests.entries(id(0)).is_none());
        assert_eq!(requests.entries(id(1)).map(<[_]>::len), Some(1));
        assert_eq!(requests.order.len(), REQUESTS_KEPT_MAX);
    }

    #[test]
    fn what_is_taken_back_never_was() {
        let mut requests = Requests::default();
        let object = ServiceId::from(uuid::Uuid::nil());
        requests.note(id(1), object, mark(1));
        requests.note(id(1), object, mark(2));
        requests.take_back(id(1));
        assert_eq!(requests.entries(id(1)).map(<[_]>::len), Some(1));
        requests.take_back(id(1));
        assert!(requests.entries(id(1)).is_none() && requests.order.is_empty());
    }
}
