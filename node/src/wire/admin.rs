//! `verbund.admin.v1.AdminService`, on its own port, for operators only.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use registry_core::{
    authorize::{self, Action},
    reject::Reject,
};
use registry_journal::Reader;
use registry_proto::{
    terms::{Land, LogId},
    wire::admin::{
        AcceptHeldRequest, AcceptHeldResponse, CollectArtefactsRequest, CollectArtefactsResponse,
        GetNodeRequest, GetNodeResponse, HeldMoves, ListHeldRequest, ListHeldResponse,
        RebuildIndexRequest, RebuildIndexResponse, admin_service_server::AdminService,
    },
};
use tonic::{Request, Response, Status};
use tracing::info;

use crate::{
    artefacts::Artefacts,
    folder::Notifier,
    index::Index,
    lifecycle::chain,
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

    async fn list_held(
        &self,
        request: Request<ListHeldRequest>,
    ) -> Result<Response<ListHeldResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Operate).map_err(status)?;
        let mut laender: BTreeMap<LogId, HeldMoves> = BTreeMap::new();
        for at in self.index.keeper().held().iter() {
            let of = laender.entry(at.log).or_insert_with(|| HeldMoves {
                land: at.log.land.code().to_owned(),
                epoch: at.log.epoch,
                indices: Vec::new(),
                total: 0,
            });
            of.total = of.total.saturating_add(1);
            if of.indices.len() < HELD_SHOWN_MAX {
                of.indices.push(at.index);
            }
        }
        Ok(Response::new(ListHeldResponse { laender: laender.into_values().collect() }))
    }

    async fn accept_held(
        &self,
        request: Request<AcceptHeldRequest>,
    ) -> Result<Response<AcceptHeldResponse>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Operate).map_err(status)?;
        let asked = request.into_inner();
        let land = asked
            .land
            .parse::<Land>()
            .map_err(|error| status(Reject::field("land", "LAND_UNKNOWN", error.to_string())))?;
        let log = LogId { land, epoch: asked.epoch };
        let keeper = self.index.keeper().clone();
        let accepted = tokio::task::spawn_blocking(move || keeper.accept(log)).await;
        let accepted = accepted
            .map_err(|error| chain(&error))
            .and_then(|it| it.map_err(|error| chain(&error)));
        let accepted = accepted.map_err(|cause| {
            tracing::error!(cause, "the decision cannot be kept");
            status(Reject::Storage { operation: "keeping the decision" })
        })?;
        self.index.wake();
        info!(by = principal.pseudonym, %log, accepted, "held retirements were accepted");
        Ok(Response::new(AcceptHeldResponse {
            accepted: u32::try_from(accepted).unwrap_or(u32::MAX),
        }))
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

/// Held moves of a Land in one answer.
const HELD_SHOWN_MAX: usize = 10_000;
