//! Chunks from publishers, and to readers and partners.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use registry_core::reject::Reject;
use registry_proto::{
    artefact::{CHUNK_BYTES, FRAME_BYTES_MAX, Layout},
    log::Hash,
    wire::registry::{PushChunkRequest, PushChunkResponse},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};

use super::{
    Artefacts,
    limits::{FRAME_BYTES, FRAME_WAIT, STAGED_BYTES_MAX},
    places::Place,
    verify,
};
use crate::lifecycle::{Shutdown, TaskKind};

/// What someone wants to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A chunk.
    Chunk(Hash),
    /// All chunks of an artefact that a version names.
    Artefact(Hash),
}

/// What is sent: chunks, and how much of the first is left out.
#[derive(Debug)]
struct Sending {
    chunks: std::vec::IntoIter<Hash>,
    skip: usize,
    /// "client" or "partner".
    to: &'static str,
    _place: Place,
}

/// Frames of a transfer; the last may be a refusal.
pub type Frames = ReceiverStream<Result<Bytes, Reject>>;

// === impl Artefacts ===

impl Artefacts {
    /// Receives, verifies and stores one chunk.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] if the frames are not the chunk they announce; [`Reject::Busy`] if too
    /// many are under way, or too much waits for a version that refers to it;
    /// [`Reject::Unavailable`] if the sender stops or the store fails.
    pub async fn receive<S, E>(
        &self,
        identity: &str,
        mut frames: S,
    ) -> Result<PushChunkResponse, Reject>
    where
        S: Stream<Item = Result<PushChunkRequest, E>> + Unpin + Send,
    {
        let _place = self.inner.uploads.take(identity)?;
        let mut frame = next(&mut frames).await?.ok_or_else(|| broken("before its first frame"))?;
        let chunk = Hash::try_from(&frame.sha256[..])
            .map_err(|error| Reject::field("sha256", "DIGEST_FORM", error.to_string()))?;
        let length = frame.bytes;
        if !(1..=CHUNK_BYTES).contains(&length) {
            let description = format!("{length}; a chunk has 1 to {CHUNK_BYTES} bytes");
            return Err(Reject::field("bytes", "CHUNK_BYTES", description));
        }
        self.room(&chunk, length)?;
        let mut data = BytesMut::with_capacity(length as usize);
        loop {
            if frame.data.len() > FRAME_BYTES_MAX {
                let description = format!("{} bytes; at most {FRAME_BYTES_MAX}", frame.data.len());
                return Err(Reject::field("data", "FRAME_BYTES", description));
            }
            if data.len() + frame.data.len() > length as usize {
                let description = format!("more than the {length} bytes announced");
                return Err(Reject::field("data", "CHUNK_BYTES", description));
            }
            data.extend_from_slice(&frame.data);
            match next(&mut frames).await? {
                Some(more) => frame = more,
                None => break,
            }
        }
        if data.len() < length as usize {
            return Err(broken("before its end"));
        }
        let data = data.freeze();
        if !verify(&chunk, &data).await? {
            let description = format!("the {length} bytes sent are not those of {chunk}");
            return Err(Reject::field("sha256", "CHUNK_DIGEST", description));
        }
        let unchanged = self.put(&chunk, data, "upload").await?;
        Ok(PushChunkResponse { unchanged })
    }

    /// Sends a chunk or an artefact from `offset` on. Returns once the first chunk is verified.
    ///
    /// # Errors
    ///
    /// [`Reject::NotFound`] if no version refers to it; [`Reject::Unavailable`] with
    /// `ARTEFACT_NOT_HERE` if it is elsewhere; [`Reject::Invalid`] on an offset beyond its end;
    /// [`Reject::Busy`] if too many are under way.
    pub async fn send(
        &self,
        identity: &str,
        to: &'static str,
        what: What,
        offset: u64,
        shutdown: &Shutdown,
    ) -> Result<Frames, Reject> {
        let place = self.inner.pulls.take(identity)?;
        let beyond = |bytes: u64| {
            let description = format!("{offset}; there are {bytes} bytes");
            Reject::field("offset", "OFFSET", description)
        };
        let (chunks, skip) = match what {
            What::Chunk(chunk) => (vec![chunk], offset),
            What::Artefact(sha256) => {
                let layout = self.complete(&sha256)?;
                if offset > layout.bytes() {
                    return Err(beyond(layout.bytes()));
                }
                let whole = usize::try_from(offset / u64::from(CHUNK_BYTES)).unwrap_or(usize::MAX);
                let chunks: Vec<_> = layout.chunks().skip(whole).map(|(chunk, _)| chunk).collect();
                (chunks, offset % u64::from(CHUNK_BYTES))
            }
        };
        let mut chunks = chunks.into_iter();
        let (sender, frames) = mpsc::channel(FRAMES_WAITING);
        let Some(first) = chunks.next() else { return Ok(ReceiverStream::new(frames)) };
        let data = self.read(&first).await?;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        if skip > data.len() {
            return Err(beyond(data.len() as u64));
        }
        let sending = Sending { chunks, skip, to, _place: place };
        let (artefacts, token) = (self.clone(), shutdown.token().clone());
        shutdown.spawn(TaskKind::Stream, async move {
            tokio::select! {
                () = sending.run(&artefacts, data, sender) => {}
                () = token.cancelled() => {}
            }
        });
        Ok(ReceiverStream::new(frames))
    }

    /// The descriptor of which most is here.
    fn complete(&self, sha256: &Hash) -> Result<Layout, Reject> {
        let here = |layout: &Layout| {
            layout.chunks().filter(|(chunk, _)| self.inner.shelf.bytes(chunk).is_some()).count()
        };
        let known = self.inner.known.artefacts(sha256).into_iter().map(|it| it.layout);
        known
            .max_by_key(|layout| here(layout) == layout.chunks().len())
            .ok_or_else(|| Reject::NotFound { what: "artefact", name: sha256.to_string() })
    }

    fn room(&self, chunk: &Hash, length: u32) -> Result<(), Reject> {
        let staged = self.inner.shelf.stock().unreferenced_bytes;
        if staged + u64::from(length) > STAGED_BYTES_MAX && !self.inner.known.refers(chunk) {
            let limit = "bytes that wait for a version that names them";
            return Err(Reject::Busy { limit, max: STAGED_BYTES_MAX });
        }
        Ok(())
    }
}

// === impl Sending ===

impl Sending {
    /// Ends early if the receiver is gone or takes nothing.
    async fn run(
        mut self,
        artefacts: &Artefacts,
        first: Bytes,
        sender: mpsc::Sender<Result<Bytes, Reject>>,
    ) {
        let metrics = Arc::clone(&artefacts.inner.metrics);
        let mut data = first.slice(self.skip..);
        loop {
            while !data.is_empty() {
                let frame = data.split_to(data.len().min(FRAME_BYTES));
                let bytes = frame.len();
                if !matches!(timeout(FRAME_WAIT, sender.send(Ok(frame))).await, Ok(Ok(()))) {
                    return;
                }
                metrics.artefacts().sent(self.to, bytes);
            }
            let Some(chunk) = self.chunks.next() else { return };
            match artefacts.read(&chunk).await {
                Ok(next) => data = next,
                Err(reject) => {
                    // a receiver that is gone needs no reason
                    let _ = timeout(FRAME_WAIT, sender.send(Err(reject))).await;
                    return;
                }
            }
        }
    }
}

async fn next<S, E>(frames: &mut S) -> Result<Option<PushChunkRequest>, Reject>
where
    S: Stream<Item = Result<PushChunkRequest, E>> + Unpin,
{
    match timeout(FRAME_WAIT, frames.next()).await {
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) => Err(broken("in the middle")),
        Err(_) => Err(broken("for a minute")),
    }
}

fn broken(when: &str) -> Reject {
    Reject::Unavailable {
        reason: "UPLOAD_BROKEN",
        description: format!("the transfer stopped {when}; nothing of the chunk was stored"),
    }
}

/// Frames of one transfer that wait for its receiver.
const FRAMES_WAITING: usize = 2;
