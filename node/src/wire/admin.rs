//! `verbund.admin.v1.AdminService`, on its own port, for operators only.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use registry_core::authorize::{self, Action};
use registry_journal::Reader;
use registry_proto::{
    terms::LogId,
    wire::admin::{
        CollectArtefactsRequest, CollectArtefactsResponse, GetNodeRequest, GetNodeResponse,
        RebuildIndexRequest, RebuildIndexResponse, admin_service_server::AdminService,
    },
};
use tonic::{Request, Response, Status};
use tracing::info;

use crate::{
    artefacts::Artefacts,
    folder::Notifier,
    index::Index,
    status::StatusBoard,
    wire::{caller::caller, status::status},
};

/// Handlers of the admin service.
#[derive(Debug)]
pub struct AdminApi {
    software: &'static str,
    data_dir: PathBuf,
    begun: Instant,
    board: StatusBoard,
    index: Index,
    readers: BTreeMap<LogId, Reader>,
    folder: Notifier,
    artefacts: Artefacts,
    /// How long a chunk stays that no version refers to.
    grace: Duration,
}

// === impl AdminApi ===

impl AdminApi {
    /// Operates this node.
    #[expect(clippy::too_many_arguments, reason = "each is another part of the node")]
    pub fn new(
        software: &'static str,
        data_dir: PathBuf,
        begun: Instant,
        board: StatusBoard,
        index: Index,
        readers: BTreeMap<LogId, Reader>,
        folder: Notifier,
        artefacts: Artefacts,
        grace: Duration,
    ) -> Self {
        Self { software, data_dir, begun, board, index, readers, folder, artefacts, grace }
    }
}

#[tonic::async_trait]
impl AdminService for AdminApi {
    async fn get_node(
        &self,
        request: Request<GetNodeRequest>,
    ) -> Result<Response<GetNodeResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Operate).map_err(status)?;
        let shown = self.board.load();
        Ok(Response::new(GetNodeResponse {
            software: self.software.to_owned(),
            uptime_seconds: self.begun.elapsed().as_secs(),
            data_dir: self.data_dir.display().to_string(),
            fence: shown.fence.clone(),
            index: self.index.status(),
            journal_bytes: self.readers.values().map(Reader::bytes).sum(),
            submissions_waiting: u32::try_from(shown.submissions_waiting).unwrap_or(u32::MAX),
            sessions: u32::try_from(shown.connected.len()).unwrap_or(u32::MAX),
        }))
    }

    async fn rebuild_index(
        &self,
        request: Request<RebuildIndexRequest>,
    ) -> Result<Response<RebuildIndexResponse>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Operate).map_err(status)?;
        info!(by = principal.pseudonym, "rebuilding the index on demand");
        self.folder.rebuild();
        Ok(Response::new(RebuildIndexResponse {}))
    }

    async fn collect_artefacts(
        &self,
        request: Request<CollectArtefactsRequest>,
    ) -> Result<Response<CollectArtefactsResponse>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Operate).map_err(status)?;
        let dry_run = request.get_ref().dry_run;
        let collected = self.artefacts.collect(&self.index, self.grace, dry_run).await;
        let collected = collected.map_err(status)?;
        info!(by = principal.pseudonym, dry_run, ?collected, "artefacts collected on demand");
        Ok(Response::new(collected.into()))
    }
}
