//! `verbund.registry.v1.CatalogueService`.

use registry_proto::wire::registry::{
    GetInclusionProofRequest, GetInclusionProofResponse, GetServiceRequest, GetServiceResponse,
    GetStatusRequest, GetStatusResponse, GetVersionRequest, GetVersionResponse,
    ListHandoversRequest, ListHandoversResponse, ListServicesRequest, ListServicesResponse,
    ListVersionsRequest, ListVersionsResponse, ResolveLeistungRequest, ResolveLeistungResponse,
    ResolveVersionRequest, ResolveVersionResponse, SearchServicesRequest, SearchServicesResponse,
    SuggestRequest, SuggestResponse, catalogue_service_server::CatalogueService,
};
use tonic::{Request, Response, Status};

use super::answer::Answering;
use crate::reads::Reads;

/// Handlers of the catalogue service.
#[derive(Clone, Debug)]
pub struct CatalogueApi {
    answering: Answering,
}

// === impl CatalogueApi ===

impl CatalogueApi {
    /// Answers from these reads.
    pub fn new(answering: Answering) -> Self {
        Self { answering }
    }

    /// The way to the reads.
    pub(crate) fn answering(&self) -> &Answering {
        &self.answering
    }
}

#[tonic::async_trait]
impl CatalogueService for CatalogueApi {
    async fn list_services(
        &self,
        request: Request<ListServicesRequest>,
    ) -> Result<Response<ListServicesResponse>, Status> {
        self.answering.answer(request, Reads::list_services).await
    }

    async fn get_service(
        &self,
        request: Request<GetServiceRequest>,
    ) -> Result<Response<GetServiceResponse>, Status> {
        let asked = request.get_ref();
        if asked.zeitpunkt.is_some() || asked.with_proof {
            return self.answering.answer(request, Reads::service).await;
        }
        self.answering.answer_here(request, Reads::service)
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Result<Response<ListVersionsResponse>, Status> {
        self.answering.answer(request, Reads::list_versions).await
    }

    async fn get_version(
        &self,
        request: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        let asked = request.get_ref();
        if asked.zeitpunkt.is_some() || asked.with_proof {
            return self.answering.answer(request, Reads::version).await;
        }
        self.answering.answer_here(request, Reads::version)
    }

    async fn resolve_version(
        &self,
        request: Request<ResolveVersionRequest>,
    ) -> Result<Response<ResolveVersionResponse>, Status> {
        self.answering.answer(request, Reads::resolve).await
    }

    async fn resolve_leistung(
        &self,
        request: Request<ResolveLeistungRequest>,
    ) -> Result<Response<ResolveLeistungResponse>, Status> {
        self.answering.answer(request, Reads::resolve_leistung).await
    }

    async fn search_services(
        &self,
        request: Request<SearchServicesRequest>,
    ) -> Result<Response<SearchServicesResponse>, Status> {
        self.answering.answer(request, Reads::search).await
    }

    async fn suggest(
        &self,
        request: Request<SuggestRequest>,
    ) -> Result<Response<SuggestResponse>, Status> {
        self.answering.answer(request, Reads::suggest).await
    }

    async fn list_handovers(
        &self,
        request: Request<ListHandoversRequest>,
    ) -> Result<Response<ListHandoversResponse>, Status> {
        self.answering.answer(request, Reads::handovers).await
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        self.answering.answer(request, Reads::inclusion_proof).await
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        self.answering.answer(request, Reads::status).await
    }
}
