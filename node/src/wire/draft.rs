//! `verbund.registry.v1.DraftService`: drafts of this Land, for its publishers.

use std::sync::Arc;

use registry_core::{
    authorize::{self, Action, Principal},
    reject::{FieldViolation, Reject},
};
use registry_proto::wire::registry::{
    CheckDraftRequest, CheckDraftResponse, DeleteDraftRequest, DeleteDraftResponse, Draft,
    DraftSummary, GetDraftRequest, GetDraftResponse, ListDraftsRequest, ListDraftsResponse,
    PublishDraftRequest, PublishDraftResponse, PublishRequest, SaveDraftRequest, SaveDraftResponse,
    Warning, draft_service_server::DraftService,
};
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::{
    audited::about,
    caller::{caller, chain},
    publish::{PublishApi, answered, response, said},
    status::status,
};
use crate::{
    drafts::{Drafts, Hand},
    tls::Chain,
};

/// Handlers of the draft service.
#[derive(Clone, Debug)]
pub struct DraftApi {
    drafts: Drafts,
    publish: PublishApi,
}

// === impl DraftApi ===

impl DraftApi {
    /// Keeps drafts here and publishes them the way of `publish`.
    pub fn new(drafts: Drafts, publish: PublishApi) -> Self {
        Self { drafts, publish }
    }

    /// Works on the disk, apart from the threads that answer.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Drafts) -> Result<T, Reject> + Send + 'static,
    ) -> Result<T, Reject> {
        let drafts = self.drafts.clone();
        let done = tokio::task::spawn_blocking(move || work(&drafts)).await;
        done.map_err(|_| Reject::Storage { operation: "working on drafts" })?
    }

    /// A draft that the principal may work on.
    async fn get(&self, principal: &Arc<Principal>, draft_id: String) -> Result<Draft, Reject> {
        let (publish, who) = (self.publish.clone(), Arc::clone(principal));
        self.on_disk(move |drafts| {
            let draft = drafts.get(&draft_id)?;
            publish.permit_draft(&who, &draft.records)?;
            Ok(draft)
        })
        .await
    }

    async fn list(&self, principal: &Arc<Principal>) -> Result<Vec<DraftSummary>, Reject> {
        let (publish, who) = (self.publish.clone(), Arc::clone(principal));
        self.on_disk(move |drafts| {
            let mut all = drafts.list();
            if !who.may_always(Action::Draft) {
                all.retain(|it| may_work_on(&publish, &who, drafts, &it.draft_id).is_ok());
            }
            Ok(all)
        })
        .await
    }

    async fn save(
        &self,
        principal: &Arc<Principal>,
        request: SaveDraftRequest,
    ) -> Result<Draft, Reject> {
        let (publish, who) = (self.publish.clone(), Arc::clone(principal));
        let SaveDraftRequest { draft_id, expected_revision, records } = request;
        let wall_ms = self.publish.wall_ms();
        self.on_disk(move |drafts| {
            publish.permit_draft(&who, &records)?;
            may_work_on(&publish, &who, drafts, &draft_id)?;
            let hand = Hand { principal: &who.pseudonym, wall_ms };
            drafts.save(&draft_id, expected_revision, records, hand)
        })
        .await
    }

    async fn check(
        &self,
        principal: &Arc<Principal>,
        draft_id: String,
    ) -> Result<CheckDraftResponse, Reject> {
        let draft = self.get(principal, draft_id).await?;
        let revision = draft.revision;
        let request = PublishRequest { records: draft.records, ..PublishRequest::default() };
        let (violations, records) = match self.publish.as_draft(principal, request).await {
            Ok(published) => (Vec::new(), response(published).records),
            Err(Reject::Invalid(all)) => (all.into_iter().map(violation).collect(), Vec::new()),
            // what stands in the catalogue or is missing in it is a finding like another
            Err(refused @ (Reject::Conflict { .. } | Reject::Precondition { .. })) => {
                let reason = match &refused {
                    Reject::Precondition { reason, .. } => *reason,
                    _ => "CONFLICT",
                };
                let description = refused.to_string();
                let field = "records".to_owned();
                (vec![violation(FieldViolation { field, reason, description })], Vec::new())
            }
            Err(other) => return Err(other),
        };
        Ok(CheckDraftResponse { revision, violations, records })
    }

    async fn publish(
        &self,
        principal: &Arc<Principal>,
        chain: Chain,
        request: PublishDraftRequest,
    ) -> Result<PublishDraftResponse, Reject> {
        let PublishDraftRequest { draft_id, expected_revision, ack_peers } = request;
        let draft = self.get(principal, draft_id).await?;
        let Draft { draft_id, revision, records, .. } = draft;
        if let Some(expected) = expected_revision.filter(|it| *it != revision) {
            return Err(Reject::MovedOn {
                field: "draft_id".to_owned(),
                name: format!("draft {draft_id}"),
                found: revision,
                expected: Some(expected),
            });
        }
        // a draft that waits for a second person waits once
        let idempotency_key = match principal.may_need_second() {
            true => format!("draft-{draft_id}-{revision}"),
            false => String::new(),
        };
        let asked = PublishRequest { records, ack_peers, idempotency_key, dry_run: false };
        let answer = self.publish.as_principal(principal, chain, asked).await?;
        if answer.approval.is_some() {
            // it may be rejected, so the draft stays
            return Ok(PublishDraftResponse { published: Some(answered(answer)), deleted: false });
        }
        let published = answer.published;
        info!(by = principal.pseudonym, draft = draft_id, "a draft was published");
        let gone = draft_id.clone();
        let deleted = self.on_disk(move |drafts| drafts.delete(&gone, Some(revision))).await;
        let deleted = match deleted {
            Ok(()) | Err(Reject::NotFound { .. }) => true,
            // it stands in the log, so the answer is no error; publishing it again is harmless
            Err(refused) => {
                warn!(%refused, draft = draft_id, "a published draft stays");
                false
            }
        };
        Ok(PublishDraftResponse { published: Some(response(published)), deleted })
    }
}

#[tonic::async_trait]
impl DraftService for DraftApi {
    async fn save_draft(
        &self,
        request: Request<SaveDraftRequest>,
    ) -> Result<Response<SaveDraftResponse>, Status> {
        let principal = drafter(&request)?;
        let draft = self.save(&principal, request.into_inner()).await.map_err(status)?;
        let object = format!("draft_id={} revision={}", draft.draft_id, draft.revision);
        Ok(about(SaveDraftResponse { draft: Some(draft) }, object))
    }

    async fn get_draft(
        &self,
        request: Request<GetDraftRequest>,
    ) -> Result<Response<GetDraftResponse>, Status> {
        let principal = drafter(&request)?;
        let draft = self.get(&principal, request.into_inner().draft_id).await.map_err(status)?;
        Ok(Response::new(GetDraftResponse { draft: Some(draft) }))
    }

    async fn list_drafts(
        &self,
        request: Request<ListDraftsRequest>,
    ) -> Result<Response<ListDraftsResponse>, Status> {
        let principal = drafter(&request)?;
        let drafts = self.list(&principal).await.map_err(status)?;
        Ok(Response::new(ListDraftsResponse { drafts }))
    }

    async fn check_draft(
        &self,
        request: Request<CheckDraftRequest>,
    ) -> Result<Response<CheckDraftResponse>, Status> {
        let principal = drafter(&request)?;
        let draft_id = request.into_inner().draft_id;
        Ok(Response::new(self.check(&principal, draft_id).await.map_err(status)?))
    }

    async fn publish_draft(
        &self,
        request: Request<PublishDraftRequest>,
    ) -> Result<Response<PublishDraftResponse>, Status> {
        let principal = drafter(&request)?;
        let (draft, chain) = (request.get_ref().draft_id.clone(), chain(&request));
        let answer = self.publish(&principal, chain, request.into_inner()).await.map_err(status)?;
        let published = answer.published.as_ref().map(said).unwrap_or_default();
        Ok(about(answer, format!("draft {draft}: {published}")))
    }

    async fn delete_draft(
        &self,
        request: Request<DeleteDraftRequest>,
    ) -> Result<Response<DeleteDraftResponse>, Status> {
        let principal = drafter(&request)?;
        let DeleteDraftRequest { draft_id, expected_revision } = request.into_inner();
        let publish = self.publish.clone();
        let deleted = self.on_disk(move |drafts| {
            may_work_on(&publish, &principal, drafts, &draft_id)?;
            drafts.delete(&draft_id, expected_revision)
        });
        deleted.await.map_err(status)?;
        Ok(Response::new(DeleteDraftResponse {}))
    }
}

/// Who calls, if they may keep drafts: nobody else sees them.
fn drafter<T>(request: &Request<T>) -> Result<Arc<Principal>, Status> {
    let principal = caller(request)?;
    authorize::require(&principal, Action::Draft).map_err(status)?;
    Ok(principal)
}

/// Refuses a draft of which the principal may not see the state that is kept. One that is not
/// there, or damaged, says nothing of itself.
fn may_work_on(
    publish: &PublishApi,
    who: &Principal,
    drafts: &Drafts,
    draft_id: &str,
) -> Result<(), Reject> {
    if draft_id.is_empty() || who.may_always(Action::Draft) {
        return Ok(());
    }
    let kept = drafts.get(draft_id);
    kept.map_or(Ok(()), |it| publish.permit_draft(who, &it.records))
}

fn violation(of: FieldViolation) -> Warning {
    Warning { field: of.field, description: of.description, reason: of.reason.to_owned() }
}
