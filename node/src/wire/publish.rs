//! `verbund.registry.v1.PublishService`: the way of a submission through the stages of the core.

use std::sync::Arc;

use registry_core::{
    envelope::Envelope,
    log::{Published, PublishedRecord},
    reject::Reject,
    submission::Submission,
};
use registry_proto::{
    terms::{Date, Land},
    wire::registry::{
        self as wire, LogPosition, PublishRequest, PublishResponse,
        publish_service_server::PublishService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    data::Lists,
    driver::{Handle, wall_ms},
    observe::Metrics,
    wire::{caller::caller, status::status},
};

/// Handlers of the publish service.
#[derive(Clone, Debug)]
pub struct PublishApi {
    land: Land,
    lists: Lists,
    driver: Handle,
    metrics: Arc<Metrics>,
}

// === impl PublishApi ===

impl PublishApi {
    /// Publishes for `land` through this driver.
    pub fn new(land: Land, lists: Lists, driver: Handle, metrics: Arc<Metrics>) -> Self {
        Self { land, lists, driver, metrics }
    }

    async fn run(&self, envelope: Envelope) -> Result<Published, Reject> {
        let authorized = envelope.authenticate()?.authorize()?;
        let submission = Submission::validate(authorized, self.land, &self.lists.current())?;
        self.driver.publish(submission).await
    }
}

#[tonic::async_trait]
impl PublishService for PublishApi {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let principal = caller(&request)?;
        let wall_ms = wall_ms();
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy)
            .map_err(|_| status(Reject::Storage { operation: "drawing random numbers" }))?;
        let envelope = Envelope {
            request: request.into_inner(),
            principal: Some((*principal).clone()),
            today: Date::from_unix_ms(wall_ms),
            wall_ms,
            entropy,
        };
        let outcome = self.run(envelope).await;
        if let Ok(published) = &outcome {
            self.metrics.published(published.records.len() as u64);
        }
        Ok(Response::new(response(outcome.map_err(status)?)))
    }
}

fn response(published: Published) -> PublishResponse {
    PublishResponse {
        records: published.records.into_iter().map(record).collect(),
        acknowledged_by: published.acknowledged_by.iter().map(ToString::to_string).collect(),
    }
}

fn record(it: PublishedRecord) -> wire::PublishedRecord {
    let position = it.index.map(|index| LogPosition {
        land: it.log.land.code().to_owned(),
        epoch: it.log.epoch,
        index,
    });
    wire::PublishedRecord {
        service_id: it.service.to_string(),
        version: it.version.map(|it| it.to_string()).unwrap_or_default(),
        position,
        leaf_hash: it.leaf.map(|it| it.as_bytes().to_vec().into()).unwrap_or_default(),
        unchanged: it.unchanged,
        warnings: it.warnings,
        revision: 0,
        subscription_id: String::new(),
    }
}
