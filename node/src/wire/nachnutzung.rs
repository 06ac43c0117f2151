//! `verbund.registry.v1.NachnutzungService`.

use std::{pin::Pin, sync::Arc, time::Duration};

use registry_core::{
    authorize::{self, Action},
    reject::Reject,
};
use registry_proto::wire::registry::{
    GetImpactRequest, GetImpactResponse, GetSubscriptionRequest, GetSubscriptionResponse,
    ListNoticesRequest, ListNoticesResponse, ListSubscriptionsRequest, ListSubscriptionsResponse,
    WatchNoticesRequest, WatchNoticesResponse, nachnutzung_service_server::NachnutzungService,
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{answer::Answering, caller::caller, status::status};
use crate::{index::Index, reads::Reads};

/// Handlers of the service.
#[derive(Clone, Debug)]
pub struct NachnutzungApi {
    answering: Answering,
    index: Index,
    shutdown: CancellationToken,
    streams: Arc<tokio::sync::Semaphore>,
}

/// Streams of notices at the same time.
const STREAMS_MAX: usize = 1_000;
/// Notices of one message of the stream.
const NOTICES_MAX: u32 = 500;
/// Time between two looks at the catalogue for a stream.
const LOOK_EVERY: Duration = Duration::from_secs(1);

// === impl NachnutzungApi ===

impl NachnutzungApi {
    /// Answers from these reads; streams end with `shutdown`.
    pub fn new(answering: Answering, index: Index, shutdown: CancellationToken) -> Self {
        let streams = Arc::new(tokio::sync::Semaphore::new(STREAMS_MAX));
        Self { answering, index, shutdown, streams }
    }
}

#[tonic::async_trait]
impl NachnutzungService for NachnutzungApi {
    type WatchNoticesStream =
        Pin<Box<dyn Stream<Item = Result<WatchNoticesResponse, Status>> + Send>>;

    async fn list_subscriptions(
        &self,
        request: Request<ListSubscriptionsRequest>,
    ) -> Result<Response<ListSubscriptionsResponse>, Status> {
        self.answering.answer(request, Reads::list_subscriptions).await
    }

    async fn get_subscription(
        &self,
        request: Request<GetSubscriptionRequest>,
    ) -> Result<Response<GetSubscriptionResponse>, Status> {
        self.answering.answer(request, Reads::subscription).await
    }

    async fn get_impact(
        &self,
        request: Request<GetImpactRequest>,
    ) -> Result<Response<GetImpactResponse>, Status> {
        self.answering.answer(request, Reads::impact).await
    }

    async fn list_notices(
        &self,
        request: Request<ListNoticesRequest>,
    ) -> Result<Response<ListNoticesResponse>, Status> {
        self.answering.answer(request, Reads::notices).await
    }

    async fn watch_notices(
        &self,
        request: Request<WatchNoticesRequest>,
    ) -> Result<Response<Self::WatchNoticesStream>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Read).map_err(status)?;
        let place = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            status(Reject::Busy { limit: "streams of notices", max: STREAMS_MAX as u64 })
        })?;
        let asked = ListNoticesRequest { land: request.into_inner().land, limit: NOTICES_MAX };
        // a Land of another form is refused at once
        let first = self.answering.read(asked.clone(), Reads::notices).await?;
        let (sender, receiver) = mpsc::channel(1);
        let (answering, mut folded) = (self.answering.clone(), self.index.folded());
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _place = place;
            let mut last = first.notices;
            let mut next = Ok(WatchNoticesResponse { notices: last.clone() });
            loop {
                let ended = next.is_err();
                if sender.send(next).await.is_err() || ended {
                    return;
                }
                next = loop {
                    // deadlines come nearer also when nobody writes
                    tokio::select! {
                        () = shutdown.cancelled() => return,
                        () = sender.closed() => return,
                        _ = tokio::time::timeout(DAYS_CHANGE, folded.changed()) => {}
                    }
                    match answering.read(asked.clone(), Reads::notices).await {
                        Ok(now) if now.notices == last => {}
                        Ok(now) => {
                            last = now.notices;
                            break Ok(WatchNoticesResponse { notices: last.clone() });
                        }
                        Err(status) => break Err(status),
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                };
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// How often the days that are left are counted anew.
const DAYS_CHANGE: Duration = Duration::from_secs(600);
