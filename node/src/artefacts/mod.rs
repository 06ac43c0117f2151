//! Files of service versions: AWML workflow packages, XDatenfelder, BPMN, OpenAPI, PDF, images.
//!
//! A version names its files by descriptors (`Artefakt`); the bytes travel apart from the logs, in
//! chunks of 8 MiB by their SHA-256. A chunk is verified before it is stored and whenever it is
//! read; one that is damaged is thrown away and fetched again.
//!
//! - [`store`]: where chunks lie; alone names `object_store`.
//! - `shelf`: which chunks are here, in memory.
//! - `known`: what versions refer to, from the journals.
//! - [`transfer`]: chunks from publishers, and to readers and partners.
//! - `fetch`, `queue`: chunks from partners.
//! - [`gc`]: chunks that no version refers to go.

mod compare;
mod fetch;
pub mod gc;
mod known;
pub mod limits;
mod places;
mod queue;
mod shelf;
pub mod store;
#[cfg(test)]
mod tests;
pub mod transfer;

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
pub use fetch::{Partners, Tasks};
use known::{Known, KnownArtefact};
use places::Places;
use queue::{Job, Queue};
use registry_core::reject::{FieldViolation, Reject};
use registry_proto::{
    artefact::{ARTEFACTS_ASKED_MAX, CHUNKS_ASKED_MAX, Layout},
    log::Hash,
    terms::Land,
    wire::registry::{
        ArtefactFetch, ArtefactState, Artefakt, PublishRequest, record::Record as Any,
    },
};
pub use store::{ChunkStore, OpenError};
use store::{Held, StoreError};
use tokio::{sync::Notify, time::Instant};
use tracing::{error, warn};
use uuid::Uuid;

use crate::{config::FetchPolicy, index::Index, lifecycle::chain, observe::Metrics};

/// The artefacts of a node. Clones are one.
#[derive(Clone)]
pub struct Artefacts {
    inner: Arc<Inner>,
}

/// What artefacts are made of.
pub struct Setup {
    /// Where chunks lie.
    pub store: ChunkStore,
    /// The Land of this node; its own artefacts are always wanted.
    pub land: Land,
    /// Which others are.
    pub fetch: FetchPolicy,
    /// Asked which services this Land re-uses or took over.
    pub wanted: Box<dyn Wanted>,
    /// Counts here.
    pub metrics: Arc<Metrics>,
    /// The wall clock, Unix seconds.
    pub clock: Clock,
}

/// A wall clock, Unix seconds.
pub type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// Knows which services this Land subscribes to, and which it took over. Is asked again every
/// minute and on [`Artefacts::reconsider`]; MUST be quick.
pub trait Wanted: Send + Sync {
    /// Whether the artefacts of this service shall be here under [`FetchPolicy::Subscribed`].
    fn wanted(&self, land: Land, service: Uuid) -> bool;

    /// Whether this Land owns this service, of which `land` published versions.
    fn owned(&self, land: Land, service: Uuid) -> bool;
}

/// Services with a Nachnutzung of this Land that is not over.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// Where Nachnutzungen are looked up.
    pub index: Index,
    /// The Land of this node.
    pub own: Land,
}

struct Inner {
    store: ChunkStore,
    shelf: shelf::Shelf,
    known: Known,
    queue: Queue,
    land: Land,
    policy: FetchPolicy,
    wanted: Box<dyn Wanted>,
    uploads: Arc<Places>,
    pulls: Arc<Places>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// What is wanted may have changed.
    reconsider: Notify,
}

/// An artefact of a descriptor that cannot be published yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Place in the list of descriptors.
    pub at: usize,
    /// Upper-case reason.
    pub reason: &'static str,
    /// What is missing and what to do.
    pub description: String,
}

// === impl Artefacts ===

impl Artefacts {
    /// Artefacts that nothing follows yet; see [`Tasks`].
    pub fn new(setup: Setup) -> Self {
        let Setup { store, land, fetch, wanted, metrics, clock } = setup;
        Self {
            inner: Arc::new(Inner {
                store,
                shelf: shelf::Shelf::default(),
                known: Known::default(),
                queue: Queue::default(),
                land,
                policy: fetch,
                wanted,
                uploads: Places::new(
                    UPLOADS,
                    limits::UPLOADS_MAX,
                    limits::UPLOADS_PER_IDENTITY_MAX,
                ),
                pulls: Places::new(PULLS, limits::PULLS_MAX, limits::PULLS_PER_IDENTITY_MAX),
                metrics,
                clock,
                reconsider: Notify::new(),
            }),
        }
    }

    /// Which of these artefacts are not stored here completely. What is here stays for the grace
    /// period. Asks the store only about what seems to be missing.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] with `ARTEFACT_STORE` if the store cannot be asked.
    pub async fn missing(&self, descriptors: &[Artefakt]) -> Result<Vec<Missing>, Reject> {
        let mut missing = Vec::new();
        for (at, descriptor) in descriptors.iter().enumerate() {
            let layout = match Layout::of(descriptor) {
                Ok(layout) => layout,
                Err(error) => {
                    let description = format!(
                        "Länge, Stücke und SHA-256 passen zu keiner Datei: {}",
                        chain(&error)
                    );
                    missing.push(Missing { at, reason: "ARTEFACT_FORM", description });
                    continue;
                }
            };
            for (nth, (chunk, bytes)) in layout.chunks().enumerate() {
                if self.keep(&chunk).await? != Some(u64::from(bytes)) {
                    let description = format!(
                        "Stück {} von {} ({chunk}) liegt nicht bei diesem Knoten; zuerst die Datei \
                         senden: registry artefact push (Regel dieses Registers)",
                        nth + 1,
                        layout.chunks().len()
                    );
                    missing.push(Missing { at, reason: "ARTEFACT_MISSING", description });
                    break;
                }
            }
        }
        Ok(missing)
    }

    /// Refuses a publication whose artefacts are not stored here.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] naming each; as [`Self::missing`].
    pub async fn require(&self, named: &[(String, Vec<Artefakt>)]) -> Result<(), Reject> {
        let mut violations = Vec::new();
        for (path, descriptors) in named {
            violations.extend(self.missing(descriptors).await?.into_iter().map(|it| {
                FieldViolation {
                    field: format!("{path}.artefakte[{}]", it.at),
                    reason: it.reason,
                    description: it.description,
                }
            }));
        }
        if violations.is_empty() { Ok(()) } else { Err(Reject::Invalid(violations)) }
    }

    /// Which of these chunks are here, in the order asked; they stay for the grace period.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on too many or on what is no digest; as [`Self::missing`].
    pub async fn have(&self, asked: &[Bytes]) -> Result<Vec<Bytes>, Reject> {
        let digests = digests(asked, CHUNKS_ASKED_MAX)?;
        let mut here = Vec::new();
        for (chunk, raw) in digests.iter().zip(asked) {
            if self.keep(chunk).await?.is_some() {
                here.push(raw.clone());
            }
        }
        Ok(here)
    }

    /// How much of each artefact is here.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on too many or on what is no digest; [`Reject::Unavailable`] while the
    /// store is not listed.
    pub fn stat(&self, asked: &[Bytes]) -> Result<Vec<ArtefactState>, Reject> {
        let digests = digests(asked, ARTEFACTS_ASKED_MAX)?;
        self.listed()?;
        let known = digests.iter().flat_map(|it| self.inner.known.artefacts(it));
        Ok(known.map(|it| self.state(it)).collect())
    }

    /// Looks anew at what is wanted, for example after a subscription.
    pub fn reconsider(&self) {
        self.inner.reconsider.notify_one();
    }

    fn state(&self, known: KnownArtefact) -> ArtefactState {
        let shelf = &self.inner.shelf;
        let (mut bytes_here, mut chunks_here, mut waiting) = (0, 0, false);
        for (chunk, bytes) in known.layout.chunks() {
            if shelf.bytes(&chunk).is_some() {
                chunks_here += 1;
                bytes_here += u64::from(bytes);
            } else {
                waiting |= self.inner.queue.wants(&chunk);
            }
        }
        let fetch = if chunks_here as usize == known.layout.chunks().len() {
            ArtefactFetch::Complete
        } else if waiting || self.wants(&known) {
            ArtefactFetch::UnderWay
        } else {
            ArtefactFetch::NotWanted
        };
        let laender: BTreeSet<Land> = known.services.iter().map(|(land, _)| *land).collect();
        ArtefactState {
            artefakt: Some(known.descriptor),
            laender: laender.iter().map(|land| land.code().to_owned()).collect(),
            bytes_here,
            chunks_here,
            fetch: fetch.into(),
        }
    }

    /// Length of a chunk that is here; it stays for the grace period then.
    async fn keep(&self, chunk: &Hash) -> Result<Option<u64>, Reject> {
        let inner = &self.inner;
        if inner.shelf.is_condemned(chunk) {
            return Ok(None);
        }
        if inner.shelf.bytes(chunk).is_none() {
            match inner.store.find(chunk).await {
                Ok(Some(held)) => self.shelve(held),
                Ok(None) => return Ok(None),
                Err(failure) => return Err(store_failed(&failure)),
            }
        }
        let kept = inner.shelf.keep(chunk, (inner.clock)());
        Ok(inner.shelf.bytes(chunk).filter(|_| kept))
    }

    /// Reads and verifies a chunk. One that is damaged is thrown away, and fetched again if a
    /// version refers to it.
    async fn read(&self, chunk: &Hash) -> Result<Bytes, Reject> {
        let inner = &self.inner;
        let data = match inner.store.get(chunk).await {
            Ok(Some(data)) => data,
            Ok(None) => return Err(self.not_here(chunk)),
            Err(StoreError::Length { .. }) => return Err(self.damaged(chunk).await),
            Err(failure) => return Err(store_failed(&failure)),
        };
        if verify(chunk, &data).await? {
            return Ok(data);
        }
        Err(self.damaged(chunk).await)
    }

    async fn damaged(&self, chunk: &Hash) -> Reject {
        warn!(%chunk, place = self.inner.store.place(), "a chunk is damaged and thrown away");
        self.inner.metrics.artefacts().damaged();
        if let Err(failure) = self.inner.store.delete(chunk).await {
            return store_failed(&failure);
        }
        self.not_here(chunk)
    }

    /// A chunk turned out not to be in the store.
    fn not_here(&self, chunk: &Hash) -> Reject {
        self.inner.shelf.remove(chunk);
        self.show_stock();
        let Some(laender) = self.inner.known.laender(chunk) else {
            return Reject::NotFound { what: "chunk", name: chunk.to_string() };
        };
        self.reconsider();
        let laender: Vec<_> = laender.iter().map(|land| land.code()).collect();
        Reject::Unavailable {
            reason: "ARTEFACT_NOT_HERE",
            description: format!(
                "chunk {chunk} is not stored at this node; nodes of {} published it, ask there",
                laender.join(", ")
            ),
        }
    }

    /// Stores a chunk that was verified; true if it was here before.
    async fn put(&self, chunk: &Hash, data: Bytes, by: &'static str) -> Result<bool, Reject> {
        let inner = &self.inner;
        if inner.shelf.is_condemned(chunk) {
            return Err(Reject::Unavailable {
                reason: "ARTEFACT_COLLECTED",
                description: format!("chunk {chunk} is just being removed; send it again"),
            });
        }
        let (bytes, now) = (data.len(), (inner.clock)());
        inner.store.put(chunk, data).await.map_err(|failure| store_failed(&failure))?;
        let before = inner.shelf.bytes(chunk).is_some();
        self.shelve(Held { chunk: *chunk, bytes: bytes as u64, stored_unix_s: now });
        inner.metrics.artefacts().stored(by, bytes);
        Ok(before)
    }

    fn shelve(&self, held: Held) {
        let referenced = self.inner.known.refers(&held.chunk);
        self.inner.shelf.add(held, referenced);
        if !referenced && self.inner.known.refers(&held.chunk) {
            self.inner.shelf.refer([held.chunk]); // a version came in between
        }
        self.show_stock();
    }

    fn show_stock(&self) {
        let stock = self.inner.shelf.stock();
        let metrics = self.inner.metrics.artefacts();
        metrics.set_held(stock.chunks, stock.bytes, stock.unreferenced_bytes);
    }

    fn listed(&self) -> Result<(), Reject> {
        if self.inner.shelf.is_known() {
            return Ok(());
        }
        Err(Reject::Unavailable {
            reason: "ARTEFACT_STORE",
            description: "the store of artefacts is still being listed; ask again".to_owned(),
        })
    }

    fn wants(&self, known: &KnownArtefact) -> bool {
        known.services.iter().any(|(land, service)| {
            *land == self.inner.land
                || match self.inner.policy {
                    FetchPolicy::All => true,
                    FetchPolicy::Subscribed => self.inner.wanted.wanted(*land, *service),
                    FetchPolicy::None => false,
                }
                || self.inner.wanted.owned(*land, *service)
        })
    }

    /// Puts into the queue what is wanted and not here.
    fn plan(&self) {
        let mut jobs = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.inner.known.each(|known| {
            let mut wanted = None;
            for (chunk, bytes) in known.layout.chunks() {
                let is_here = self.inner.shelf.bytes(&chunk).is_some();
                if !is_here
                    && *wanted.get_or_insert_with(|| self.wants(known))
                    && seen.insert(chunk)
                {
                    let laender = known.services.iter().map(|(land, _)| *land).collect();
                    jobs.push(Job { chunk, bytes, laender });
                }
            }
        });
        self.inner.queue.set(Instant::now(), jobs);
        self.inner.metrics.artefacts().set_waiting(self.inner.queue.len());
    }
}

impl fmt::Debug for Artefacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artefacts").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

// === impl Setup ===

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, land, fetch, .. } = self;
        let mut shown = f.debug_struct("Setup");
        shown.field("store", store).field("land", land).field("fetch", fetch);
        shown.finish_non_exhaustive()
    }
}

// === impl Subscribed ===

impl Wanted for Subscribed {
    fn wanted(&self, land: Land, service: Uuid) -> bool {
        let all = self.index.ask(|catalogue| Ok(catalogue.subscriptions_of(land, service)?));
        // a catalogue that cannot be asked now is asked again in a minute
        all.is_ok_and(|(all, _)| all.iter().any(|it| it.subscriber == self.own && it.is_open()))
    }

    fn owned(&self, land: Land, service: Uuid) -> bool {
        let owner = self.index.ask(|catalogue| Ok(catalogue.owner_now(land, service)?));
        owner.is_ok_and(|(owner, _)| owner == self.own)
    }
}

/// The descriptors of a request, by the path of their record.
pub fn named(request: &PublishRequest) -> Vec<(String, Vec<Artefakt>)> {
    let records = request.records.iter().enumerate();
    let versions = records.filter_map(|(at, record)| match &record.record {
        Some(Any::ServiceVersion(version)) if !version.artefakte.is_empty() => {
            Some((format!("records[{at}].service_version"), version.artefakte.clone()))
        }
        _ => None,
    });
    versions.collect()
}

/// Whether the bytes are those of a digest; computed where it holds up nobody.
async fn verify(chunk: &Hash, data: &Bytes) -> Result<bool, Reject> {
    let (chunk, data) = (*chunk, data.clone());
    let verified = tokio::task::spawn_blocking(move || Hash::of(&data) == chunk).await;
    verified.map_err(|_| Reject::Storage { operation: "verifying a chunk" })
}

fn digests(raw: &[Bytes], max: usize) -> Result<Vec<Hash>, Reject> {
    if raw.is_empty() || raw.len() > max {
        let description = format!("{} digests; expected 1 to {max}", raw.len());
        return Err(Reject::field("sha256", "DIGEST_COUNT", description));
    }
    let digest = |(at, raw): (usize, &Bytes)| {
        Hash::try_from(&raw[..]).map_err(|error| {
            Reject::field(format!("sha256[{at}]"), "DIGEST_FORM", error.to_string())
        })
    };
    raw.iter().enumerate().map(digest).collect()
}

fn store_failed(failure: &StoreError) -> Reject {
    error!(cause = chain(failure), "the store of artefacts failed");
    Reject::Unavailable {
        reason: "ARTEFACT_STORE",
        description: "the store of artefacts failed; the node's log names the cause".to_owned(),
    }
}

const UPLOADS: [&str; 2] = ["uploads at this node", "uploads of one certificate"];
const PULLS: [&str; 2] = ["downloads at this node", "downloads of one certificate"];
