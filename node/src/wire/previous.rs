//! The versions that new ones are compared with: those before them, as they were published.
//!
//! Where the highest version of a service stands is asked of the catalogue each time. What stands
//! there never changes, so its record is remembered from when it was published here, and read from
//! the journal otherwise.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use prost::Message;
use registry_core::{fold::Position, reject::Reject};
use registry_proto::{terms::Land, wire::registry::ServiceVersion};
use uuid::Uuid;

use crate::index::Index;

/// The highest version of each service of a Land. Cheap to clone; clones share what they remember.
#[derive(Clone, Debug)]
pub(super) struct Previous {
    index: Index,
    land: Land,
    known: Arc<Mutex<Known>>,
}

/// The newest version of each service, as far as it is remembered.
#[derive(Debug, Default)]
struct Known {
    versions: HashMap<Uuid, Remembered>,
    bytes: usize,
}

#[derive(Debug)]
struct Remembered {
    at: Position,
    version: Arc<ServiceVersion>,
    bytes: usize,
}

/// Bytes of the versions that are remembered, on the wire; in memory they take some times as much.
/// All are forgotten when there are more.
const KNOWN_BYTES_MAX: usize = 16 << 20;
/// A larger version is not remembered.
const VERSION_BYTES_MAX: usize = 64 << 10;

// === impl Previous ===

impl Previous {
    /// Those of a Land, whose catalogue is `index`.
    pub(super) fn new(index: Index, land: Land) -> Self {
        Self { index, land, known: Arc::default() }
    }

    /// The highest version of each of these services that has one.
    ///
    /// # Errors
    ///
    /// As [`Index::ask`] and [`Index::entry`].
    pub(super) fn of(
        &self,
        services: Vec<Uuid>,
    ) -> Result<HashMap<Uuid, Arc<ServiceVersion>>, Reject> {
        let mut all = HashMap::new();
        for service in services {
            if let Some(version) = self.highest(service)? {
                all.insert(service, version);
            }
        }
        Ok(all)
    }

    fn highest(&self, service: Uuid) -> Result<Option<Arc<ServiceVersion>>, Reject> {
        let Some(at) = self.index.highest_version(self.land, service)? else { return Ok(None) };
        if let Some(version) = self.lock(|known| known.find(service, at)) {
            return Ok(Some(version));
        }
        let version = self.index.version_at(at)?.map(Arc::new);
        if let Some(version) = &version {
            self.keep(service, at, Arc::clone(version), version.encoded_len());
        }
        Ok(version)
    }

    /// Remembers that this version of a service stands at `at`; it takes `bytes` on the wire.
    pub(super) fn keep(
        &self,
        service: Uuid,
        at: Position,
        version: Arc<ServiceVersion>,
        bytes: usize,
    ) {
        if bytes <= VERSION_BYTES_MAX {
            self.lock(|known| known.keep(service, at, version, bytes));
        }
    }

    /// Forgets what stands at `at`: it is erased.
    pub(super) fn forget(&self, at: Position) {
        self.lock(|known| known.versions.retain(|_, it| it.at != at));
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        // every change under the lock is complete when it could panic
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Known ===

impl Known {
    fn find(&self, service: Uuid, at: Position) -> Option<Arc<ServiceVersion>> {
        let known = self.versions.get(&service)?;
        (known.at == at).then(|| Arc::clone(&known.version))
    }

    fn keep(&mut self, service: Uuid, at: Position, version: Arc<ServiceVersion>, bytes: usize) {
        // publications of one service can end in another order than they were staged
        let newer = |it: &Remembered| it.at.log == at.log && it.at > at;
        if self.versions.get(&service).is_some_and(newer) {
            return;
        }
        if self.bytes + bytes > KNOWN_BYTES_MAX {
            *self = Self::default();
        }
        let remembered = Remembered { at, version, bytes };
        let replaced = self.versions.insert(service, remembered);
        self.bytes -= replaced.map_or(0, |it| it.bytes).min(self.bytes);
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::terms::LogId;

    use super::*;

    fn at(index: u64) -> Position {
        Position { log: LogId { land: Land::SL, epoch: 1 }, index }
    }

    fn version(bytes: usize) -> Arc<ServiceVersion> {
        Arc::new(ServiceVersion { version: "1".repeat(bytes), ..ServiceVersion::default() })
    }

    #[test]
    fn a_version_is_found_where_it_stands_and_nowhere_else() {
        let mut known = Known::default();
        let service = Uuid::from_u128(1);
        known.keep(service, at(5), version(10), 10);
        assert_eq!(known.find(service, at(5)), Some(version(10)));
        assert_eq!(known.find(service, at(6)), None);
        // an older one that ends later does not replace it
        known.keep(service, at(4), version(11), 11);
        assert_eq!(known.find(service, at(5)), Some(version(10)));
        known.keep(service, at(6), version(12), 12);
        assert_eq!((known.find(service, at(5)), known.versions.len()), (None, 1));
    }

    #[test]
    fn no_more_than_so_many_bytes_are_remembered() {
        let mut known = Known::default();
        for n in 0..1_000 {
            let large = version(VERSION_BYTES_MAX);
            let bytes = large.encoded_len();
            known.keep(Uuid::from_u128(n), at(1), large, bytes);
            assert!(known.bytes <= KNOWN_BYTES_MAX);
            let held: usize = known.versions.values().map(|it| it.version.encoded_len()).sum();
            assert_eq!(held, known.bytes);
        }
    }
}
