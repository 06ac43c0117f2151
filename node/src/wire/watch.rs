//! `verbund.registry.v1.WatchService`.

use std::{pin::Pin, sync::Arc};

use registry_core::authorize::{self, Action};
use registry_proto::{
    log::VerbundId,
    wire::registry::{WatchRequest, WatchResponse, watch_service_server::WatchService},
};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{caller::caller, status::status};
use crate::{
    index::Index,
    observe::Metrics,
    status::StatusBoard,
    watch::{Admission, Watches},
};

/// Handlers of the watch service.
#[derive(Clone, Debug)]
pub struct WatchApi {
    watches: Watches,
}

// === impl WatchApi ===

impl WatchApi {
    /// Watches an index until `shutdown` is cancelled.
    pub fn new(
        index: Index,
        board: StatusBoard,
        verbund: VerbundId,
        shutdown: CancellationToken,
        metrics: Arc<Metrics>,
    ) -> Self {
        let admission = Arc::new(Admission::observed(metrics));
        Self { watches: Watches::new(verbund, index, board, admission, shutdown) }
    }
}

#[tonic::async_trait]
impl WatchService for WatchApi {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Read).map_err(status)?;
        let stream = self.watches.begin(&principal, request.get_ref()).map_err(status)?;
        Ok(Response::new(Box::pin(stream.map(|message| message.map_err(status)))))
    }
}
