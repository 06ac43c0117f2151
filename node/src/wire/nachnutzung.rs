//! `verbund.registry.v1.NachnutzungService`.

use std::{pin::Pin, sync::Arc, time::Duration};

use registry_core::{
    authorize::{self, Action},
    reject::Reject,
    view::Cut,
};
use registry_proto::wire::registry::{
    GetImpactRequest, GetImpactResponse, GetSubscriptionRequest, GetSubscriptionResponse,
    ListNoticesRequest, ListNoticesResponse, ListSubscriptionsRequest, ListSubscriptionsResponse,
    Notice, WatchNoticesRequest, WatchNoticesResponse,
    nachnutzung_service_server::NachnutzungService,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{answer::Answering, caller::caller, status::status};
use crate::{
    index::Index,
    lifecycle::{Shutdown, TaskKind},
    reads::Reads,
};

/// Handlers of the service.
#[derive(Clone, Debug)]
pub struct NachnutzungApi {
    answering: Answering,
    index: Index,
    shutdown: Shutdown,
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
    pub fn new(answering: Answering, index: Index, shutdown: Shutdown) -> Self {
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
        let follow = Follow {
            answering: self.answering.clone(),
            folded: self.index.folded(),
            asked,
            last: first.notices,
            sender,
        };
        let shutdown = self.shutdown.token().clone();
        self.shutdown.spawn(TaskKind::Stream, async move {
            let _place = place;
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = follow.run() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// One stream of notices.
struct Follow {
    answering: Answering,
    folded: watch::Receiver<Arc<Cut>>,
    asked: ListNoticesRequest,
    last: Vec<Notice>,
    sender: mpsc::Sender<Result<WatchNoticesResponse, Status>>,
}

// === impl Follow ===

impl Follow {
    /// Sends the notices now, and again whenever they change, until nobody listens.
    async fn run(mut self) {
        let mut next = Ok(WatchNoticesResponse { notices: self.last.clone() });
        loop {
            let ended = next.is_err();
            if self.sender.send(next).await.is_err() || ended {
                return;
            }
            let Some(changed) = self.changed().await else { return };
            next = changed;
        }
    }

    /// The notices once they differ from those sent last; `None` when nobody listens.
    async fn changed(&mut self) -> Option<Result<WatchNoticesResponse, Status>> {
        loop {
            // deadlines come nearer also when nobody writes
            tokio::select! {
                () = self.sender.closed() => return None,
                _ = tokio::time::timeout(DAYS_CHANGE, self.folded.changed()) => {}
            }
            match self.answering.read(self.asked.clone(), Reads::notices).await {
                Ok(now) if now.notices == self.last => {}
                Ok(now) => {
                    self.last.clone_from(&now.notices);
                    return Some(Ok(WatchNoticesResponse { notices: now.notices }));
                }
                Err(status) => return Some(Err(status)),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// How often the days that are left are counted anew.
const DAYS_CHANGE: Duration = Duration::from_secs(600);
