//! `verbund.registry.v1.PublishService`: the way of a submission through the stages of the core.

use std::{collections::HashMap, sync::Arc};

use registry_core::{
    compat::{Severity, Verdict},
    envelope::Envelope,
    log::{Published, PublishedRecord},
    reject::Reject,
    submission::Submission,
};
use registry_proto::{
    terms::{Date, Land, LogId},
    wire::registry::{
        self as wire, Compatibility, CompatibilityChange, CompatibilitySeverity, LogPosition,
        PublishRequest, PublishResponse, ServiceVersion, publish_service_server::PublishService,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    artefacts::{self, Artefacts},
    data::Lists,
    driver::Handle,
    index::Index,
    observe::Metrics,
    wire::{caller::caller, status::status},
};

/// Handlers of the publish service.
#[derive(Clone, Debug)]
pub struct PublishApi {
    own: LogId,
    lists: Lists,
    index: Index,
    driver: Handle,
    metrics: Arc<Metrics>,
    artefacts: Artefacts,
}

// === impl PublishApi ===

impl PublishApi {
    /// Publishes to the log `own` through this driver; `index` tells how things stand.
    pub fn new(
        own: LogId,
        lists: Lists,
        index: Index,
        driver: Handle,
        metrics: Arc<Metrics>,
        artefacts: Artefacts,
    ) -> Self {
        Self { own, lists, index, driver, metrics, artefacts }
    }

    async fn run(&self, envelope: Envelope) -> Result<Published, Reject> {
        let named = artefacts::named(&envelope.request);
        let authorized = envelope.authenticate()?.authorize()?;
        let submission = Submission::validate(authorized, self.own.land, &self.lists.current())?;
        let submission =
            if submission.has_moves() { self.judged(submission).await? } else { submission };
        self.artefacts.require(&named).await?;
        let submission = self.compared(submission).await?;
        self.driver.publish(submission).await
    }

    /// New versions are compared with those before them, files included.
    async fn compared(&self, submission: Submission) -> Result<Submission, Reject> {
        let (index, land, services) = (self.index.clone(), self.own.land, submission.released());
        let previous = if services.len() <= COMPARED_HERE_MAX {
            highest(&index, land, services)?
        } else {
            let read = tokio::task::spawn_blocking(move || highest(&index, land, services));
            read.await.map_err(|_| Reject::Storage { operation: "reading the catalogue" })??
        };
        let named = previous.values().flat_map(|it| &it.artefakte).chain(submission.artefakte());
        let files = self.artefacts.comparable(named).await?;
        submission.compare(previous, &files)
    }

    /// Moves rest on what both sides wrote, so the catalogue is asked.
    async fn judged(&self, submission: Submission) -> Result<Submission, Reject> {
        let (index, own) = (self.index.clone(), self.own);
        let today = self.driver.clock().today();
        let judged = tokio::task::spawn_blocking(move || {
            index.ask(|catalogue| submission.judge(catalogue, own, today))
        });
        let failed = |_| Reject::Storage { operation: "judging a move" };
        Ok(judged.await.map_err(failed)??.0)
    }
}

#[tonic::async_trait]
impl PublishService for PublishApi {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let principal = caller(&request)?;
        let wall_ms = self.driver.clock().wall_ms();
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

/// Versions before new ones that are read where they are asked for: a few microseconds each.
const COMPARED_HERE_MAX: usize = 8;

fn highest(
    index: &Index,
    land: Land,
    services: Vec<Uuid>,
) -> Result<HashMap<Uuid, ServiceVersion>, Reject> {
    let mut all = HashMap::new();
    for service in services {
        if let Some(version) = index.highest_version(land, service)? {
            all.insert(service, version);
        }
    }
    Ok(all)
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
        revision: it.revision,
        subscription_id: it.subscription.map(|it| it.to_string()).unwrap_or_default(),
        compatibility: it.verdict.map(compatibility),
    }
}

fn compatibility(it: Verdict) -> Compatibility {
    let breaking = it.is_breaking();
    let change = |it: registry_core::compat::Change| CompatibilityChange {
        severity: match it.severity {
            Severity::Breaking => CompatibilitySeverity::Breaking,
            Severity::Note => CompatibilitySeverity::Note,
            Severity::Compatible => CompatibilitySeverity::Compatible,
        } as i32,
        path: it.path,
        rule: it.rule.to_owned(),
        description: it.description,
    };
    Compatibility {
        previous_version: it.from.to_string(),
        breaking,
        changes: it.changes.into_iter().map(change).collect(),
    }
}
