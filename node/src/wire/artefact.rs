//! `verbund.registry.v1.ArtefactService` and `verbund.peer.v1.ArtefactPeerService`.

use std::pin::Pin;

use registry_core::{
    authorize::{self, Action, Target},
    reject::Reject,
};
use registry_proto::{
    log::Hash,
    wire::{
        peer::{
            FetchChunkRequest, FetchChunkResponse,
            artefact_peer_service_server::ArtefactPeerService,
        },
        registry::{
            HaveChunksRequest, HaveChunksResponse, PullArtefactRequest, PullArtefactResponse,
            PushChunkRequest, PushChunkResponse, StatArtefactsRequest, StatArtefactsResponse,
            artefact_service_server::ArtefactService, pull_artefact_request,
        },
    },
};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    artefacts::{Artefacts, transfer::What},
    lifecycle::Shutdown,
    wire::{caller::caller, status::status},
};

/// Handlers of both artefact services.
#[derive(Clone, Debug)]
pub struct ArtefactApi {
    artefacts: Artefacts,
    shutdown: Shutdown,
}

// === impl ArtefactApi ===

impl ArtefactApi {
    /// Sends and receives these artefacts.
    pub fn new(artefacts: Artefacts, shutdown: Shutdown) -> Self {
        Self { artefacts, shutdown }
    }
}

#[tonic::async_trait]
impl ArtefactService for ArtefactApi {
    type PullArtefactStream =
        Pin<Box<dyn Stream<Item = Result<PullArtefactResponse, Status>> + Send>>;

    async fn have_chunks(
        &self,
        request: Request<HaveChunksRequest>,
    ) -> Result<Response<HaveChunksResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Read).map_err(status)?;
        let sha256 = self.artefacts.have(&request.get_ref().sha256).await.map_err(status)?;
        Ok(Response::new(HaveChunksResponse { sha256 }))
    }

    async fn push_chunk(
        &self,
        request: Request<Streaming<PushChunkRequest>>,
    ) -> Result<Response<PushChunkResponse>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Publish).map_err(status)?;
        let frames = request.into_inner();
        let stored = self.artefacts.receive(&principal.pseudonym, frames).await;
        stored.map(Response::new).map_err(status)
    }

    async fn pull_artefact(
        &self,
        request: Request<PullArtefactRequest>,
    ) -> Result<Response<Self::PullArtefactStream>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Read).map_err(status)?;
        let request = request.into_inner();
        let what = match &request.what {
            Some(pull_artefact_request::What::Chunk(raw)) => {
                What::Chunk(digest("chunk", raw).map_err(status)?)
            }
            Some(pull_artefact_request::What::Artefact(raw)) => {
                What::Artefact(digest("artefact", raw).map_err(status)?)
            }
            None => {
                let description = "name a chunk or an artefact by its SHA-256";
                return Err(status(Reject::field("what", "DIGEST_MISSING", description)));
            }
        };
        let frames = self
            .artefacts
            .send(&principal.pseudonym, "client", what, request.offset, &self.shutdown)
            .await
            .map_err(status)?;
        let frames = frames.map(|it| it.map(|data| PullArtefactResponse { data }).map_err(status));
        Ok(Response::new(Box::pin(frames)))
    }

    async fn stat_artefacts(
        &self,
        request: Request<StatArtefactsRequest>,
    ) -> Result<Response<StatArtefactsResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Read).map_err(status)?;
        let artefacts = self.artefacts.stat(&request.get_ref().sha256).map_err(status)?;
        Ok(Response::new(StatArtefactsResponse { artefacts }))
    }
}

#[tonic::async_trait]
impl ArtefactPeerService for ArtefactApi {
    type FetchChunkStream = Pin<Box<dyn Stream<Item = Result<FetchChunkResponse, Status>> + Send>>;

    async fn fetch_chunk(
        &self,
        request: Request<FetchChunkRequest>,
    ) -> Result<Response<Self::FetchChunkStream>, Status> {
        let principal = caller(&request)?;
        let land = principal.peer.as_ref().map(|it| it.land);
        let target = Target { land, ..Target::default() };
        authorize::require_about(&principal, Action::Replicate, &target).map_err(status)?;
        let FetchChunkRequest { sha256, offset } = request.into_inner();
        let what = What::Chunk(digest("sha256", &sha256).map_err(status)?);
        let frames = self
            .artefacts
            .send(&principal.pseudonym, "partner", what, offset, &self.shutdown)
            .await
            .map_err(status)?;
        let frames = frames.map(|it| it.map(|data| FetchChunkResponse { data }).map_err(status));
        Ok(Response::new(Box::pin(frames)))
    }
}

fn digest(field: &'static str, raw: &[u8]) -> Result<Hash, Reject> {
    Hash::try_from(raw).map_err(|error| Reject::field(field, "DIGEST_FORM", error.to_string()))
}
