//! `verbund.registry.v1.CatalogueService`.

use std::{sync::Arc, time::Duration};

use registry_core::{
    authorize::{self, Action, PeerIdentity, Principal},
    reject::Reject,
};
use registry_proto::{
    charter::Charter,
    wire::registry::{
        GetInclusionProofRequest, GetInclusionProofResponse, GetServiceRequest, GetServiceResponse,
        GetStatusRequest, GetStatusResponse, GetVersionRequest, GetVersionResponse,
        ListServicesRequest, ListServicesResponse, ListVersionsRequest, ListVersionsResponse,
        ResolveVersionRequest, ResolveVersionResponse, SearchServicesRequest,
        SearchServicesResponse, catalogue_service_server::CatalogueService,
    },
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{caller::caller, status::status};
use crate::{index::Index, reads::Reads, status::StatusBoard};

/// Handlers of the catalogue service.
#[derive(Clone, Debug)]
pub struct CatalogueApi {
    reads: Arc<Reads>,
    /// Reads of the disk at the same time; others wait.
    places: Arc<Semaphore>,
}

const READS_MAX: usize = 64;
/// How long a page may wait for a place and its answer.
const READ_WAIT: Duration = Duration::from_secs(10);

// === impl CatalogueApi ===

impl CatalogueApi {
    /// Answers from an index on behalf of the node `me`.
    pub fn new(
        index: Index,
        board: StatusBoard,
        charter: Charter,
        me: PeerIdentity,
        software: &'static str,
    ) -> Self {
        let reads = Arc::new(Reads::new(index, board, charter, me, software));
        Self { reads, places: Arc::new(Semaphore::new(READS_MAX)) }
    }

    /// Reads on behalf of `who`, as often as `read` needs: on a thread that may take its time, a
    /// limited number at once.
    ///
    /// # Errors
    ///
    /// What `read` gives; [`Reject::Denied`] without the right to read, [`Reject::Busy`] when no
    /// place is free or no answer is there in time.
    pub(crate) async fn read<A: Send + 'static>(
        &self,
        who: &Principal,
        read: impl FnOnce(&Reads) -> Result<A, Reject> + Send + 'static,
    ) -> Result<A, Reject> {
        authorize::require(who, Action::Read)?;
        let failed = || Reject::Storage { operation: "reading the catalogue" };
        let (reads, places) = (Arc::clone(&self.reads), Arc::clone(&self.places));
        let answer = async move {
            let place = places.acquire_owned().await.map_err(|_| failed())?;
            // the place is held until the thread is done, also when nobody waits for it any more
            let work = move || {
                let answer = read(&reads);
                drop(place);
                answer
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| failed())?
        };
        let busy = Reject::Busy { limit: "reads at the same time", max: READS_MAX as u64 };
        tokio::time::timeout(READ_WAIT, answer).await.unwrap_or(Err(busy))
    }

    /// For reads of one record: a few microseconds in memory, less than the way to another thread
    /// and back. A page that is not in memory costs one read of the disk here.
    fn answer_here<Q, A>(
        &self,
        request: Request<Q>,
        read: fn(&Reads, &Q) -> Result<A, Reject>,
    ) -> Result<Response<A>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Read).map_err(status)?;
        read(&self.reads, request.get_ref()).map(Response::new).map_err(status)
    }

    /// For reads that walk: on a thread that may take its time, a limited number at once.
    async fn answer<Q, A>(
        &self,
        request: Request<Q>,
        read: fn(&Reads, &Q) -> Result<A, Reject>,
    ) -> Result<Response<A>, Status>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Read).map_err(status)?;
        let (reads, request) = (Arc::clone(&self.reads), request.into_inner());
        let failed = || status(Reject::Storage { operation: "reading the catalogue" });
        let place = self.places.acquire().await.map_err(|_| failed())?;
        let answer = tokio::task::spawn_blocking(move || read(&reads, &request)).await;
        drop(place);
        Ok(Response::new(answer.map_err(|_| failed())?.map_err(status)?))
    }
}

#[tonic::async_trait]
impl CatalogueService for CatalogueApi {
    async fn list_services(
        &self,
        request: Request<ListServicesRequest>,
    ) -> Result<Response<ListServicesResponse>, Status> {
        self.answer(request, Reads::list_services).await
    }

    async fn get_service(
        &self,
        request: Request<GetServiceRequest>,
    ) -> Result<Response<GetServiceResponse>, Status> {
        self.answer_here(request, Reads::service)
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Result<Response<ListVersionsResponse>, Status> {
        self.answer(request, Reads::list_versions).await
    }

    async fn get_version(
        &self,
        request: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        self.answer_here(request, Reads::version)
    }

    async fn resolve_version(
        &self,
        request: Request<ResolveVersionRequest>,
    ) -> Result<Response<ResolveVersionResponse>, Status> {
        self.answer(request, Reads::resolve).await
    }

    async fn search_services(
        &self,
        request: Request<SearchServicesRequest>,
    ) -> Result<Response<SearchServicesResponse>, Status> {
        self.answer(request, Reads::search).await
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        self.answer(request, Reads::inclusion_proof).await
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        self.answer(request, Reads::status).await
    }
}
