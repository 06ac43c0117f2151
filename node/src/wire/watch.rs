//! `verbund.registry.v1.WatchService`.

use std::pin::Pin;

use registry_core::authorize::{self, Action};
use registry_proto::wire::registry::{
    WatchRequest, WatchResponse, watch_service_server::WatchService,
};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::{caller::caller, status::status};
use crate::watch::Watches;

/// Handlers of the watch service.
#[derive(Clone, Debug)]
pub struct WatchApi {
    watches: Watches,
}

// === impl WatchApi ===

impl WatchApi {
    /// Begins its watches at `watches`.
    pub fn new(watches: Watches) -> Self {
        Self { watches }
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
