//! `verbund.registry.v1.ApprovalService`: what waits for a second person.

use std::sync::Arc;

use registry_core::{
    authorize::{self, Action, Principal, Refusal},
    reject::Reject,
};
use registry_proto::wire::registry::{
    AcceptApprovalRequest, AcceptApprovalResponse, GetApprovalRequest, GetApprovalResponse,
    ListApprovalsRequest, ListApprovalsResponse, RejectApprovalRequest, RejectApprovalResponse,
    approval_service_server::ApprovalService,
};
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::{
    audited::about,
    caller::caller,
    publish::{PublishApi, response, said},
    status::status,
};
use crate::approvals::{Approvals, Waiting};

/// Handlers of the approval service.
#[derive(Clone, Debug)]
pub struct ApprovalApi {
    approvals: Approvals,
    publish: PublishApi,
}

// === impl ApprovalApi ===

impl ApprovalApi {
    /// Keeps what waits there and publishes it the way of `publish`.
    pub fn new(approvals: Approvals, publish: PublishApi) -> Self {
        Self { approvals, publish }
    }

    /// Works on the disk, apart from the threads that answer.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Approvals, i64) -> Result<T, Reject> + Send + 'static,
    ) -> Result<T, Reject> {
        let (approvals, wall_ms) = (self.approvals.clone(), self.publish.wall_ms());
        let done = tokio::task::spawn_blocking(move || work(&approvals, wall_ms)).await;
        done.map_err(|_| Reject::Storage { operation: "working on submissions that wait" })?
    }

    async fn get(&self, id: String) -> Result<Waiting, Reject> {
        self.on_disk(move |approvals, wall_ms| approvals.get(&id, wall_ms)).await
    }

    async fn accept(
        &self,
        principal: &Arc<Principal>,
        asked: AcceptApprovalRequest,
    ) -> Result<AcceptApprovalResponse, Reject> {
        authorize::require(principal, Action::Confirm)?;
        let AcceptApprovalRequest { approval_id, digest } = asked;
        let waiting = self.get(approval_id.clone()).await?;
        if waiting.person.is_same(&principal.person) {
            return Err(same_person());
        }
        if waiting.approval.digest != digest {
            return Err(Reject::Precondition {
                reason: "APPROVAL_DIGEST",
                description: "die Prüfsumme ist nicht die der Einreichung; ansehen, was wartet, \
                              und dessen Prüfsumme nennen (registry freigabe show)"
                    .to_owned(),
            });
        }
        let published = self.publish.confirmed(principal, &waiting).await?;
        let by = &waiting.approval.submitted_by;
        info!(by = principal.pseudonym, submitted_by = by, approval = approval_id, "confirmed");
        let removed =
            self.on_disk(move |approvals, _| approvals.remove(&approval_id, "accepted")).await;
        match removed {
            Ok(()) | Err(Reject::NotFound { .. }) => {}
            // it stands in the log, so the answer is no error; confirming it again is harmless
            Err(refused) => warn!(%refused, "a submission that was confirmed stays"),
        }
        Ok(AcceptApprovalResponse { published: Some(response(published)) })
    }

    async fn reject(&self, principal: &Arc<Principal>, id: String) -> Result<(), Reject> {
        let person = self.approvals.person(&id)?;
        if !person.is_same(&principal.person) {
            authorize::require(principal, Action::Confirm)?;
            // a damaged one can be judged by nobody
            if let Ok(waiting) = self.get(id.clone()).await {
                self.publish.may_confirm(principal, &waiting).await?;
            }
        }
        info!(by = principal.pseudonym, approval = id, "a submission was thrown away");
        self.on_disk(move |approvals, _| approvals.remove(&id, "rejected")).await
    }
}

#[tonic::async_trait]
impl ApprovalService for ApprovalApi {
    async fn list_approvals(
        &self,
        request: Request<ListApprovalsRequest>,
    ) -> Result<Response<ListApprovalsResponse>, Status> {
        viewer(&request)?;
        let approvals = self.on_disk(|approvals, wall_ms| Ok(approvals.list(wall_ms))).await;
        Ok(Response::new(ListApprovalsResponse { approvals: approvals.map_err(status)? }))
    }

    async fn get_approval(
        &self,
        request: Request<GetApprovalRequest>,
    ) -> Result<Response<GetApprovalResponse>, Status> {
        viewer(&request)?;
        let Waiting { approval, request, .. } =
            self.get(request.into_inner().approval_id).await.map_err(status)?;
        Ok(Response::new(GetApprovalResponse { approval: Some(approval), request }))
    }

    async fn accept_approval(
        &self,
        request: Request<AcceptApprovalRequest>,
    ) -> Result<Response<AcceptApprovalResponse>, Status> {
        let principal = caller(&request)?;
        let asked = request.into_inner();
        let (id, digest) = (asked.approval_id.clone(), hex::encode(&asked.digest));
        let accepted = self.accept(&principal, asked).await.map_err(status)?;
        let published = accepted.published.as_ref().map(said).unwrap_or_default();
        Ok(about(accepted, format!("approval_id={id} digest={digest}: {published}")))
    }

    async fn reject_approval(
        &self,
        request: Request<RejectApprovalRequest>,
    ) -> Result<Response<RejectApprovalResponse>, Status> {
        let principal = viewer(&request)?;
        let rejected = self.reject(&principal, request.into_inner().approval_id).await;
        rejected.map_err(status)?;
        Ok(Response::new(RejectApprovalResponse {}))
    }
}

/// Who calls, if they may confirm or publish: nobody else sees what waits.
fn viewer<T>(request: &Request<T>) -> Result<Arc<Principal>, Status> {
    let principal = caller(request)?;
    let permit = authorize::require(&principal, Action::Confirm)
        .or_else(|refused| authorize::require(&principal, Action::Publish).map_err(|_| refused));
    permit.map_err(status)?;
    Ok(principal)
}

fn same_person() -> Reject {
    Reject::Forbidden(Box::new(Refusal {
        action: Action::Confirm.code(),
        reason: "SAME_PERSON",
        rules: Vec::new(),
        role: Action::Confirm.needs(),
        field: String::new(),
        scope: String::new(),
    }))
}
