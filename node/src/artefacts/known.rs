//! What versions refer to: every artefact that a version in any log here names. Follows the
//! journals from their beginning after each start; a chunk that is named once stays named.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use prost::Message;
use registry_core::fold::{self, Record};
use registry_proto::{
    artefact::Layout,
    log::{Hash, Kind},
    terms::{Land, LogId},
    wire::registry::Artefakt,
};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    journals::{JournalRead, Journals, Parsed},
    lifecycle::chain,
};

/// All artefacts that versions name.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Held by who reads the journals, so that nothing comes in from before an erasure.
    turn: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Next entry of each log.
    next: BTreeMap<LogId, u64>,
    /// By SHA-256 of the whole; more than one if descriptors disagree about the chunks.
    artefacts: BTreeMap<Hash, Vec<KnownArtefact>>,
    chunks: HashMap<Hash, BTreeSet<Land>>,
    named: u64,
    /// A version is not the one that its owner signed: nobody knows what that one names.
    is_forged: bool,
}

/// An artefact that a version names.
#[derive(Clone, Debug)]
pub(super) struct KnownArtefact {
    /// As the first version describes it.
    pub(super) descriptor: Artefakt,
    pub(super) layout: Layout,
    /// Services whose versions name it.
    pub(super) services: BTreeSet<(Land, Uuid)>,
}

/// The part of a `verbund.registry.v1.ServiceVersion` that names artefacts.
#[derive(Clone, PartialEq, Message)]
struct Names {
    #[prost(message, repeated, tag = "25")]
    artefakte: Vec<Artefakt>,
}

/// What a catch-up brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Chunks that are referred to now.
    pub(super) chunks: Vec<Hash>,
    /// False if a journal could not be read to its end, or holds a version that its owner did not sign:
    /// then more may be named than is known.
    pub(super) complete: bool,
}

// === impl Known ===

impl Known {
    /// Reads all journals to their ends. Reads the disk on the caller's thread.
    pub(super) fn catch_up(&self, journals: &Journals) -> Progress {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.read(journals)
    }

    /// Reads all journals again, after bodies were erased, and says which chunks no version names any
    /// more; `None`, and nothing changes, if a journal cannot be read to its end.
    pub(super) fn renew(&self, journals: &Journals) -> Option<Vec<Hash>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Self::default();
        if !fresh.read(journals).complete {
            return None;
        }
        let mut fresh = std::mem::take(&mut *fresh.lock());
        let mut state = self.lock();
        // still grows: what is wanted may have changed
        fresh.named = state.named + 1;
        let orphans = state.chunks.keys().filter(|it| !fresh.chunks.contains_key(*it));
        let orphans = orphans.copied().collect();
        *state = fresh;
        Some(orphans)
    }

    fn read(&self, journals: &Journals) -> Progress {
        let mut progress = Progress { chunks: Vec::new(), complete: true };
        for (log, journal) in journals.all().iter() {
            progress.complete &= self.follow(*log, journal.as_ref(), &mut progress.chunks);
        }
        progress.complete &= !self.lock().is_forged;
        progress
    }

    fn follow(&self, log: LogId, journal: &dyn JournalRead, chunks: &mut Vec<Hash>) -> bool {
        let mut next = self.lock().next.get(&log).copied().unwrap_or(0);
        let size = journal.size();
        while next < size {
            let entries = match journal.read(next, READ_BYTES, READ_ENTRIES) {
                Ok(entries) if !entries.is_empty() => entries,
                Ok(_) => return false,
                Err(error) => {
                    warn!(%log, next, cause = chain(&error), "artefacts of a log stay unknown");
                    return false;
                }
            };
            for stored in entries {
                next = stored.index + 1;
                match Parsed::of(log, stored) {
                    Ok(entry) => self.entry(&entry, chunks),
                    Err(error) => {
                        warn!(%log, cause = chain(&error), "artefacts of a log stay unknown");
                        return false;
                    }
                }
            }
            self.lock().next.insert(log, next);
        }
        true
    }

    fn entry(&self, entry: &Parsed, chunks: &mut Vec<Hash>) {
        match entry.header.kind {
            Kind::ServiceVersion => {}
            Kind::SubscriptionMove => {
                self.lock().named += 1;
                return;
            }
            _ => return,
        }
        if entry.is_forged() {
            self.lock().is_forged = true;
            return;
        }
        // most name none, and to read all of a version takes some times as long
        let names = |body| Names::decode(body).is_ok_and(|it| !it.artefakte.is_empty());
        if !entry.body.as_deref().is_some_and(names) {
            return;
        }
        // what cannot be read is no version, and shows nowhere else either
        let Ok(Record::Version(version)) = fold::read(&entry.as_entry()) else { return };
        let Some(service) = entry.header.object_id else { return };
        let owner = entry.header.log.land;
        for descriptor in version.artefakte {
            match Layout::of(&descriptor) {
                Ok(layout) => self.add(owner, service, descriptor, layout, chunks),
                Err(error) => {
                    debug!(%owner, %service, cause = chain(&error), "passing over an artefact");
                }
            }
        }
    }

    fn add(
        &self,
        owner: Land,
        service: Uuid,
        descriptor: Artefakt,
        layout: Layout,
        chunks: &mut Vec<Hash>,
    ) {
        let mut state = self.lock();
        state.named += 1;
        for (chunk, _) in layout.chunks() {
            state.chunks.entry(chunk).or_default().insert(owner);
            chunks.push(chunk);
        }
        let variants = state.artefacts.entry(layout.sha256()).or_default();
        match variants.iter_mut().find(|it| it.layout == layout) {
            Some(known) => {
                known.services.insert((owner, service));
            }
            None => {
                let services = BTreeSet::from([(owner, service)]);
                variants.push(KnownArtefact { descriptor, layout, services });
            }
        }
    }

    /// The artefacts with a SHA-256.
    pub(super) fn artefacts(&self, sha256: &Hash) -> Vec<KnownArtefact> {
        self.lock().artefacts.get(sha256).cloned().unwrap_or_default()
    }

    /// Whose versions refer to a chunk; none if no version does.
    pub(super) fn laender(&self, chunk: &Hash) -> Option<BTreeSet<Land>> {
        self.lock().chunks.get(chunk).cloned()
    }

    /// Whether a version refers to a chunk.
    pub(super) fn refers(&self, chunk: &Hash) -> bool {
        self.lock().chunks.contains_key(chunk)
    }

    /// Grows with everything that may change what is wanted here: versions that name artefacts, and
    /// moves of Nachnutzungen.
    pub(super) fn count(&self) -> u64 {
        self.lock().named
    }

    /// Looks at every artefact.
    pub(super) fn each(&self, mut look: impl FnMut(&KnownArtefact)) {
        self.lock().artefacts.values().flatten().for_each(&mut look);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const READ_BYTES: usize = 128 << 10;
const READ_ENTRIES: usize = 1_000;
