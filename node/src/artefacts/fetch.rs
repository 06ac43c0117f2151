//! Chunks from partners: follows what versions name, plans, and fetches from any partner that is
//! connected, the owner's nodes first, on connections apart from the logs.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rand::seq::SliceRandom;
use registry_core::{authorize::PeerIdentity, limits::MESSAGE_BYTES_MAX};
use registry_proto::{
    terms::Land,
    wire::peer::{FetchChunkRequest, artefact_peer_service_client::ArtefactPeerServiceClient},
};
use tokio::time::{Instant, timeout};
use tokio_stream::StreamExt;
use tonic::{Code, transport::Channel};
use tracing::{debug, info, warn};

use super::{
    Artefacts, gc,
    limits::{FETCHES_MAX, FRAME_WAIT},
    queue::{Job, Next},
    verify,
};
use crate::{
    index::Index,
    lifecycle::{Shutdown, TaskKind, chain},
    sessions::{Connected, Peer, connect},
    tls::TlsContext,
};

/// Whom chunks can be fetched from.
#[derive(Clone, Debug)]
pub struct Partners {
    /// Nodes with an address.
    pub peers: Vec<Peer>,
    /// Dials them.
    pub tls: Arc<TlsContext>,
    /// Those that are there.
    pub connected: Connected,
}

/// What keeps artefacts up to date.
#[derive(Debug)]
pub struct Tasks {
    /// What is kept.
    pub artefacts: Artefacts,
    /// Names what versions refer to.
    pub index: Index,
    /// Whom to ask.
    pub partners: Partners,
    /// How long a chunk stays that no version refers to.
    pub grace: Duration,
}

/// Connections of one worker; closed when it has nothing to do.
type Lines = HashMap<PeerIdentity, Channel>;

/// Why a partner did not give a chunk.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("it is not there")]
    NotThere,
    #[error("cannot connect")]
    Connect(#[source] tonic::transport::Error),
    #[error("refused")]
    Refused(#[source] Box<tonic::Status>),
    #[error("nothing came for {FRAME_WAIT:?}")]
    Late,
    #[error("{found} bytes came, a chunk of {expected} was asked for")]
    Length { found: usize, expected: u32 },
    #[error("the bytes are not those of the chunk")]
    Digest,
}

// === impl Tasks ===

impl Tasks {
    /// Starts everything.
    pub fn start(self, shutdown: &Shutdown) {
        for _ in 0..FETCHES_MAX {
            let (artefacts, partners) = (self.artefacts.clone(), self.partners.clone());
            until_stop(shutdown, async move { artefacts.work(partners).await });
        }
        let Self { artefacts, index, partners, grace } = self;
        let (collector, journals) = (artefacts.clone(), index.clone());
        until_stop(shutdown, async move { gc::daily(collector, journals, grace).await });
        until_stop(shutdown, async move { artefacts.follow(index, partners.connected).await });
    }
}

fn until_stop(shutdown: &Shutdown, task: impl Future<Output = ()> + Send + 'static) {
    let token = shutdown.token().clone();
    shutdown.spawn(TaskKind::Artefacts, async move {
        tokio::select! {
            () = task => {}
            () = token.cancelled() => {}
        }
    });
}

// === impl Artefacts ===

impl Artefacts {
    /// Lists the store, then follows the logs and those who come and go. Returns when the index
    /// ends.
    pub(super) async fn follow(&self, index: Index, mut connected: Connected) {
        let mut folded = index.folded();
        while let Err(failure) = self.list().await {
            warn!(cause = chain(&failure), "the store of artefacts cannot be listed; trying again");
            tokio::time::sleep(LIST_AGAIN).await;
        }
        info!(place = self.inner.store.place(), stock = ?self.inner.shelf.stock(), "artefacts");
        let mut asked = true;
        loop {
            folded.mark_unchanged();
            let known = self.inner.known.count();
            self.catch_up(&index).await;
            let news = known != self.inner.known.count();
            if asked || news {
                self.plan();
            }
            // a log that grows entry by entry is not read entry by entry
            tokio::time::sleep(REST).await;
            asked = tokio::select! {
                changed = folded.changed() => match changed {
                    // a Nachnutzung may have been read before it was folded
                    Ok(()) => news,
                    Err(_) => return,
                },
                changed = connected.changed() => match changed {
                    Ok(()) => {
                        self.inner.queue.hurry(Instant::now());
                        false
                    }
                    Err(_) => return,
                },
                () = self.inner.reconsider.notified() => true,
                () = tokio::time::sleep(PLAN_AGAIN) => true,
            };
        }
    }

    /// Takes up what versions refer to; true if no journal hides any of it.
    pub(super) async fn catch_up(&self, index: &Index) -> bool {
        let (artefacts, journals) = (self.clone(), index.journals().clone());
        let read = move || artefacts.inner.known.catch_up(&journals);
        let Ok(progress) = tokio::task::spawn_blocking(read).await else { return false };
        if !progress.chunks.is_empty() {
            self.inner.shelf.refer(progress.chunks);
            self.show_stock();
        }
        progress.complete
    }

    /// Takes up what is in the store.
    pub(super) async fn list(&self) -> Result<(), super::StoreError> {
        let mut all = self.inner.store.list();
        while let Some(held) = all.next().await.transpose()? {
            let referenced = self.inner.known.refers(&held.chunk);
            self.inner.shelf.add(held, referenced);
        }
        self.inner.shelf.set_known();
        self.show_stock();
        Ok(())
    }

    /// Fetches one chunk after the other.
    async fn work(&self, partners: Partners) {
        let mut lines = Lines::new();
        loop {
            let changed = self.inner.queue.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.inner.queue.take(Instant::now()) {
                Next::Fetch(job) => self.fetch(&job, &partners, &mut lines).await,
                Next::Wait(at) => {
                    lines.clear();
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                Next::Idle => {
                    lines.clear();
                    changed.await;
                }
            }
        }
    }

    async fn fetch(&self, job: &Job, partners: &Partners, lines: &mut Lines) {
        let chunk = job.chunk;
        let fetched = match self.ask_all(job, partners, lines).await {
            None => false,
            Some(data) => match self.put(&chunk, data, "partner").await {
                Ok(_) => {
                    // the version that named it was erased meanwhile
                    let orphan = !self.inner.known.refers(&chunk);
                    if orphan && self.inner.shelf.condemn(&chunk, i64::MAX) {
                        let swept = self.sweep(&chunk).await;
                        if let Err(reject) = swept {
                            warn!(%chunk, %reject, "a chunk stays that nobody names");
                        }
                    }
                    true
                }
                Err(reject) => {
                    warn!(%chunk, %reject, "a chunk that was fetched cannot be stored");
                    false
                }
            },
        };
        if fetched {
            self.inner.queue.done(&chunk);
        } else {
            self.inner.queue.failed(&chunk, Instant::now(), rand::random_range(0.0..=1.0));
        }
        self.inner.metrics.artefacts().set_waiting(self.inner.queue.len());
    }

    /// Asks one partner after the other; what one sent before it broke off, the next need not
    /// send again.
    async fn ask_all(&self, job: &Job, partners: &Partners, lines: &mut Lines) -> Option<Bytes> {
        let mut data = BytesMut::new();
        for peer in partners.sources(&job.laender) {
            let identity = &peer.identity;
            let failure = match ask(job, peer, partners, lines, &mut data).await {
                Ok(()) => {
                    let whole = std::mem::take(&mut data).freeze();
                    if verify(&job.chunk, &whole).await.unwrap_or(false) {
                        debug!(chunk = %job.chunk, land = %identity.land, "chunk fetched");
                        return Some(whole);
                    }
                    FetchError::Digest
                }
                Err(failure) => failure,
            };
            if matches!(failure, FetchError::NotThere) {
                continue;
            }
            if matches!(failure, FetchError::Digest | FetchError::Length { .. }) {
                data.clear();
                warn!(chunk = %job.chunk, land = %identity.land, node = identity.node,
                    cause = chain(&failure), "a partner sends another chunk than was asked for");
            } else {
                debug!(chunk = %job.chunk, land = %identity.land, cause = chain(&failure), "no chunk");
            }
            lines.remove(identity);
            self.inner.metrics.artefacts().fetch_failed(identity.land);
        }
        None
    }
}

async fn ask(
    job: &Job,
    peer: &Peer,
    partners: &Partners,
    lines: &mut Lines,
    data: &mut BytesMut,
) -> Result<(), FetchError> {
    let channel = match lines.get(&peer.identity) {
        Some(channel) => channel.clone(),
        None => {
            let channel = connect(peer, &partners.tls).await.map_err(FetchError::Connect)?;
            lines.insert(peer.identity.clone(), channel.clone());
            channel
        }
    };
    let mut client = ArtefactPeerServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let sha256 = Bytes::copy_from_slice(job.chunk.as_bytes());
    let request = FetchChunkRequest { sha256, offset: data.len() as u64 };
    let answer = timeout(FRAME_WAIT, client.fetch_chunk(request)).await;
    let mut frames = match answer.map_err(|_| FetchError::Late)? {
        Ok(answer) => answer.into_inner(),
        // a node from before artefacts has none
        Err(status) if has_none(&status) => return Err(FetchError::NotThere),
        Err(status) => return Err(FetchError::Refused(Box::new(status))),
    };
    let length = |found| FetchError::Length { found, expected: job.bytes };
    loop {
        let frame = timeout(FRAME_WAIT, frames.message()).await.map_err(|_| FetchError::Late)?;
        match frame.map_err(|status| FetchError::Refused(Box::new(status)))? {
            Some(frame) => {
                let found = data.len() + frame.data.len();
                if found > job.bytes as usize {
                    return Err(length(found));
                }
                data.extend_from_slice(&frame.data);
            }
            None if data.len() == job.bytes as usize => return Ok(()),
            None => return Err(length(data.len())),
        }
    }
}

fn has_none(status: &tonic::Status) -> bool {
    match status.code() {
        Code::NotFound | Code::Unimplemented => true,
        // the transport has this code too, but no details
        Code::Unavailable => {
            let details = tonic_types::StatusExt::get_error_details(status);
            details.error_info().is_some_and(|it| it.reason == "ARTEFACT_NOT_HERE")
        }
        _ => false,
    }
}

// === impl Partners ===

impl Partners {
    /// Partners that are there: nodes of these Länder first, the others in a random order, so that
    /// not all ask the same one.
    fn sources(&self, laender: &BTreeSet<Land>) -> Vec<&Peer> {
        let connected = self.connected.borrow().clone();
        let mut sources: Vec<_> =
            self.peers.iter().filter(|peer| connected.contains(&peer.identity)).collect();
        sources.shuffle(&mut rand::rng());
        sources.sort_by_key(|peer| !laender.contains(&peer.identity.land));
        sources
    }
}

/// What is wanted is looked at again after this time.
const PLAN_AGAIN: Duration = Duration::from_secs(60);
/// Rest between two looks at what was folded.
const REST: Duration = Duration::from_millis(100);
/// A store that cannot be listed is listed again after this time.
const LIST_AGAIN: Duration = Duration::from_secs(5);
