//! Files of versions: asks, sends and receives their chunks; whole files in [`mod@file`].

pub mod file;

use std::time::Duration;

use bytes::Bytes;
pub use file::{FileError, Pulled, Step, describe};
use registry_proto::{
    artefact::{ARTEFACTS_ASKED_MAX, CHUNKS_ASKED_MAX, FRAME_BYTES_MAX},
    log::Hash,
    wire::{
        admin::{
            CollectArtefactsRequest, CollectArtefactsResponse,
            admin_service_client::AdminServiceClient,
        },
        registry::{
            ArtefactState, HaveChunksRequest, PullArtefactRequest, PullArtefactResponse,
            PushChunkRequest, StatArtefactsRequest, artefact_service_client::ArtefactServiceClient,
            pull_artefact_request::What,
        },
    },
};
use tokio::time::timeout;
use tonic::{Streaming, transport::Channel};

use crate::{
    connect::{Client, MESSAGE_BYTES_MAX},
    error::ClientError,
};

/// A chunk may take this long on a slow line.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(600);
/// Bytes of one frame that is sent.
const FRAME_BYTES: usize = 256 << 10;

const _: () = assert!(FRAME_BYTES <= FRAME_BYTES_MAX);

/// The bytes of a chunk as they come. They are not verified.
#[derive(Debug)]
pub struct Pull {
    client: Client,
    frames: Streaming<PullArtefactResponse>,
}

// === impl Client ===

impl Client {
    /// Which of these chunks the node has.
    pub async fn have_chunks(&self, chunks: &[Hash]) -> Result<Vec<Hash>, ClientError> {
        let mut here = Vec::new();
        for part in chunks.chunks(CHUNKS_ASKED_MAX) {
            let request = HaveChunksRequest { sha256: part.iter().map(raw).collect() };
            let mut artefacts = self.artefacts();
            let answer = self
                .answer("look for chunks", artefacts.have_chunks(self.request(request)))
                .await?;
            for found in answer.sha256 {
                here.push(Hash::try_from(&found[..]).map_err(|_| NO_DIGEST)?);
            }
        }
        Ok(here)
    }

    /// Sends one chunk; the node has stored it durably when this returns. True if it had it
    /// before. Needs the role publisher. MAY be repeated after any error.
    pub async fn push_chunk(&self, chunk: &Hash, data: Bytes) -> Result<bool, ClientError> {
        let client = self.with_timeout(self.timeout().max(CHUNK_TIMEOUT));
        let bytes = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let mut rest = data;
        let mut frames = Vec::with_capacity(rest.len().div_ceil(FRAME_BYTES));
        while !rest.is_empty() {
            let data = rest.split_to(rest.len().min(FRAME_BYTES));
            frames.push(PushChunkRequest { data, ..PushChunkRequest::default() });
        }
        if let Some(first) = frames.first_mut() {
            (first.sha256, first.bytes) = (raw(chunk), bytes);
        }
        let request = client.request(tokio_stream::iter(frames));
        let mut artefacts = client.artefacts();
        let answer = client.answer("store a chunk", artefacts.push_chunk(request)).await?;
        Ok(answer.unchanged)
    }

    /// Asks for a chunk from an offset on.
    pub async fn pull_chunk(&self, chunk: &Hash, offset: u64) -> Result<Pull, ClientError> {
        let request = PullArtefactRequest { what: Some(What::Chunk(raw(chunk))), offset };
        let mut artefacts = self.artefacts();
        // the time of the client counts for each frame, not for all
        let call = artefacts.pull_artefact(tonic::Request::new(request));
        let frames = self.answer(PULLING, call).await?;
        Ok(Pull { client: self.clone(), frames })
    }

    /// What the node knows of artefacts that versions name.
    pub async fn stat_artefacts(&self, sha256: &[Hash]) -> Result<Vec<ArtefactState>, ClientError> {
        let mut states = Vec::new();
        for part in sha256.chunks(ARTEFACTS_ASKED_MAX) {
            let request = StatArtefactsRequest { sha256: part.iter().map(raw).collect() };
            let mut artefacts = self.artefacts();
            let call = artefacts.stat_artefacts(self.request(request));
            states.extend(self.answer("look for artefacts", call).await?.artefacts);
        }
        Ok(states)
    }

    /// Removes chunks that no version refers to, or only counts them. Asks the admin port of a
    /// node; needs the role operator.
    pub async fn collect_artefacts(
        &self,
        dry_run: bool,
    ) -> Result<CollectArtefactsResponse, ClientError> {
        let mut admin = AdminServiceClient::new(self.channel());
        let call = admin.collect_artefacts(self.request(CollectArtefactsRequest { dry_run }));
        self.answer("collect artefacts", call).await
    }

    fn artefacts(&self) -> ArtefactServiceClient<Channel> {
        ArtefactServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

// === impl Pull ===

impl Pull {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let after = self.client.timeout();
        match timeout(after, self.frames.message()).await {
            Ok(Ok(frame)) => Ok(frame.map(|it| it.data)),
            Ok(Err(status)) => Err(self.client.error(PULLING, &status)),
            Err(_) => Err(ClientError::TimedOut { operation: PULLING, after }),
        }
    }
}

fn raw(hash: &Hash) -> Bytes {
    Bytes::copy_from_slice(hash.as_bytes())
}

const PULLING: &str = "send a chunk";
const NO_DIGEST: ClientError = ClientError::Protocol("an answer names what is no SHA-256");
