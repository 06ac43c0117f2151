//! What every call shares: the principal of the connection, a span, a count and a duration.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::{Request, Response};
use tonic::Code;
use tower_service::Service;
use tracing::{Instrument, debug_span, warn};

use crate::{
    observe::{METHOD_UNKNOWN, Metrics},
    tls::Caller,
};

/// Layer over all services of a listener.
#[derive(Clone, Debug)]
pub struct Observed {
    metrics: Arc<Metrics>,
}

/// A service under [`Observed`].
#[derive(Clone, Debug)]
pub struct ObservedService<S> {
    metrics: Arc<Metrics>,
    inner: S,
}

// === impl Observed ===

impl Observed {
    /// Counts here.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl<S> tower::Layer<S> for Observed {
    type Service = ObservedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ObservedService { metrics: self.metrics.clone(), inner }
    }
}

// === impl ObservedService ===

impl<S, A, B> Service<Request<A>> for ObservedService<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    A: Send + 'static,
    B: Send,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        // the one that was polled ready is the one to call
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let method = method(request.uri().path());
        let caller = request.extensions().get::<Caller>().cloned();
        let span = debug_span!("call", method, caller = tracing::field::Empty);
        if let Some(caller) = &caller {
            let principal = &caller.identity.principal;
            span.record("caller", principal.pseudonym.as_str());
            request.extensions_mut().insert(Arc::clone(principal));
        }
        let metrics = self.metrics.clone();
        let begun = Instant::now();
        Box::pin(
            async move {
                let response = inner.call(request).await;
                let code = match &response {
                    Ok(response) => code_of(response),
                    Err(_) => Code::Internal,
                };
                metrics.request(method, label(code), begun.elapsed());
                if matches!(code, Code::PermissionDenied | Code::Unauthenticated) {
                    refused(method, label(code), caller.as_ref());
                }
                response
            }
            .instrument(span),
        )
    }
}

/// Tells the operator that someone was turned away: a certificate without a role is a mistake in the
/// configuration more often than an attack. Names and address stand in the audit log only.
pub(crate) fn refused(method: &'static str, code: &'static str, caller: Option<&Caller>) {
    let Some(caller) = caller else {
        warn!(method, code, "call refused");
        return;
    };
    let (port, pseudonym) = (caller.remote.port(), &caller.identity.principal.pseudonym);
    warn!(method, code, port, caller = pseudonym, "call refused");
}

/// A stream counts when it opens; only calls that fail at once carry their status in the head.
pub(super) fn code_of<B>(response: &Response<B>) -> Code {
    response
        .headers()
        .get("grpc-status")
        .map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}

/// The name of a method, from a closed set so that no client can fill the metrics.
pub(super) fn method(path: &str) -> &'static str {
    METHODS.iter().find(|known| **known == path).copied().unwrap_or(METHOD_UNKNOWN)
}

pub(crate) fn label(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

pub(super) const METHODS: &[&str] = &[
    "/verbund.registry.v1.CatalogueService/ListServices",
    "/verbund.registry.v1.CatalogueService/GetService",
    "/verbund.registry.v1.CatalogueService/ListVersions",
    "/verbund.registry.v1.CatalogueService/GetVersion",
    "/verbund.registry.v1.CatalogueService/ResolveVersion",
    "/verbund.registry.v1.CatalogueService/ResolveLeistung",
    "/verbund.registry.v1.CatalogueService/SearchServices",
    "/verbund.registry.v1.CatalogueService/Suggest",
    "/verbund.registry.v1.CatalogueService/ListHandovers",
    "/verbund.registry.v1.CatalogueService/GetInclusionProof",
    "/verbund.registry.v1.CatalogueService/GetStatus",
    "/verbund.registry.v1.WatchService/Watch",
    "/verbund.registry.v1.NachnutzungService/ListSubscriptions",
    "/verbund.registry.v1.NachnutzungService/GetSubscription",
    "/verbund.registry.v1.NachnutzungService/GetImpact",
    "/verbund.registry.v1.NachnutzungService/ListNotices",
    "/verbund.registry.v1.NachnutzungService/WatchNotices",
    "/verbund.registry.v1.WitnessService/ListReceipts",
    "/verbund.registry.v1.PublishService/Publish",
    "/verbund.registry.v1.DraftService/SaveDraft",
    "/verbund.registry.v1.DraftService/GetDraft",
    "/verbund.registry.v1.DraftService/ListDrafts",
    "/verbund.registry.v1.DraftService/CheckDraft",
    "/verbund.registry.v1.DraftService/PublishDraft",
    "/verbund.registry.v1.DraftService/DeleteDraft",
    "/verbund.registry.v1.ErasureService/Erase",
    "/verbund.registry.v1.ErasureService/ListErasures",
    "/verbund.registry.v1.CharterService/GetCharters",
    "/verbund.registry.v1.CharterService/VoteCharter",
    "/verbund.registry.v1.InvitationService/CreateInvitation",
    "/verbund.registry.v1.InvitationService/ListInvitations",
    "/verbund.registry.v1.InvitationService/RevokeInvitation",
    "/verbund.registry.v1.EpochService/CountersignEpochReset",
    "/verbund.registry.v1.EpochService/ListEpochResets",
    "/verbund.registry.v1.EpochService/TakeEpochReset",
    "/verbund.registry.v1.ApprovalService/ListApprovals",
    "/verbund.registry.v1.ApprovalService/GetApproval",
    "/verbund.registry.v1.ApprovalService/AcceptApproval",
    "/verbund.registry.v1.ApprovalService/RejectApproval",
    "/verbund.registry.v1.ArtefactService/HaveChunks",
    "/verbund.registry.v1.ArtefactService/PushChunk",
    "/verbund.registry.v1.ArtefactService/PullArtefact",
    "/verbund.registry.v1.ArtefactService/StatArtefacts",
    "/verbund.peer.v1.PeerService/Session",
    "/verbund.peer.v1.ArtefactPeerService/FetchChunk",
    "/verbund.peer.v1.JoinService/Join",
    "/verbund.peer.v1.JoinService/GetJoin",
    "/verbund.admin.v1.AdminService/GetNode",
    "/verbund.admin.v1.AdminService/RebuildIndex",
    "/verbund.admin.v1.AdminService/ListHeld",
    "/verbund.admin.v1.AdminService/AcceptHeld",
    "/verbund.admin.v1.AdminService/CollectArtefacts",
    "/grpc.health.v1.Health/Check",
];

#[cfg(test)]
mod tests {
    use registry_proto::wire::DESCRIPTORS;

    use super::*;

    #[test]
    fn every_method_of_the_protos_has_a_name() {
        use prost::Message;
        let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors");
        for file in set.file {
            for service in &file.service {
                for rpc in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), rpc.name());
                    assert_eq!(method(&path), path);
                }
            }
        }
        assert_eq!(method("/made.up/Name"), METHOD_UNKNOWN);
    }
}
