//! What every call leaves in the audit log, in one place: principal, address, method, object and
//! outcome. No handler needs to know.
//!
//! All methods are acts but those that `READS` names, so a method that is new is traced. A place
//! in the queue is taken before an act begins; the answer goes out only after its line is written,
//! and, for administrative acts, durable. Refusals change nothing and are counted together.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::{Code, body::Body};
use tower_service::Service;

use crate::{
    audit::{Act, Audit, Place, Refusal, unwritten},
    observe::METHOD_UNKNOWN,
    tls::Caller,
    wire::{
        observed::{code_of, label, method},
        said::Fields,
        status::status,
    },
};

/// Layer over all services of a listener.
#[derive(Clone, Debug)]
pub struct Audited {
    audit: Audit,
    fields: Arc<Fields>,
}

/// A service under [`Audited`].
#[derive(Clone, Debug)]
pub struct AuditedService<S> {
    audited: Audited,
    inner: S,
}

/// What an act was done to; see [`about`].
#[derive(Clone, Debug)]
struct About {
    object: String,
    /// Nothing was done; see [`rehearsed`].
    rehearsed: bool,
}

/// What a call is about, in words of its handler, where its request does not say it: an extension of
/// every request. It stands in the line of a call that is refused or given up, which has no
/// [`about`]. The first word counts.
#[derive(Clone, Debug, Default)]
pub struct Subject(Arc<OnceLock<String>>);

/// How a method is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    /// Only when it is refused.
    Read,
    /// Noted if there is a place; it goes on without.
    Noted,
    /// Refused without a place; its line is written before the answer.
    Act,
    /// Its line is durable before the answer.
    Administrative,
}

/// An act under way. If its call is given up, its line says so.
struct Going {
    audit: Audit,
    trace: Trace,
    place: Option<Place>,
    method: &'static str,
    caller: Option<Caller>,
    heard: Option<Heard>,
    subject: Subject,
    fields: Arc<Fields>,
}

/// The first bytes of a request.
type Heard = Arc<Mutex<Vec<u8>>>;

/// The body of a request whose first bytes are remembered.
#[derive(Debug)]
pub struct Tapped<B> {
    inner: B,
    heard: Option<Heard>,
}

// === impl Audited ===

impl Audited {
    /// Traces there.
    pub fn new(audit: Audit) -> Self {
        Self { audit, fields: Arc::new(Fields::of_protos()) }
    }
}

impl<S> tower::Layer<S> for Audited {
    type Service = AuditedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuditedService { audited: self.clone(), inner }
    }
}

// === impl Subject ===

impl Subject {
    /// Says it of this request.
    pub fn say<A>(request: &tonic::Request<A>, what: &str) {
        if let Some(Self(subject)) = request.extensions().get() {
            let _told_before = subject.set(what.to_owned());
        }
    }
}

// === impl AuditedService ===

impl<S, A> Service<Request<A>> for AuditedService<S>
where
    S: Service<Request<Tapped<A>>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    A: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let method = method(request.uri().path());
        let trace = trace(method);
        let audit = self.audited.audit.clone();
        let place = match trace {
            Trace::Read => None,
            Trace::Noted => audit.reserve().ok(),
            Trace::Act | Trace::Administrative => match audit.reserve() {
                Ok(place) => Some(place),
                Err(reject) => {
                    let refused = status(reject).into_http();
                    return Box::pin(async move { Ok(refused) });
                }
            },
        };
        let heard = (trace != Trace::Read).then(Heard::default);
        let tapped = heard.clone();
        let caller = request.extensions().get::<Caller>().cloned();
        let fields = self.audited.fields.clone();
        let subject = Subject::default();
        request.extensions_mut().insert(subject.clone());
        let mut going = Going { audit, trace, place, method, caller, heard, subject, fields };
        let answer = self.inner.call(request.map(|inner| Tapped { inner, heard: tapped }));
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or(Code::Internal, code_of);
            let about = answer.as_ref().ok().and_then(|it| it.extensions().get::<About>());
            let about = about.cloned();
            match going.end(code, about).await {
                true => answer,
                false => Ok(status(unwritten()).into_http()),
            }
        })
    }
}

// === impl Going ===

impl Going {
    /// Leaves the line; false if it could not be written and the answer MUST NOT go out.
    async fn end(&mut self, code: Code, about: Option<About>) -> bool {
        let denied = matches!(code, Code::PermissionDenied | Code::Unauthenticated);
        let place = self.place.take();
        // at the port of the operators also what they tried in vain has a line of its own
        let in_vain = match self.trace {
            Trace::Read | Trace::Noted => false,
            Trace::Act | Trace::Administrative => {
                changed_nothing(code) && !name(self.method).starts_with(ADMIN)
            }
        };
        if denied || in_vain {
            self.refused(code);
            return true;
        }
        let Some(place) = place else { return true };
        let rehearsed = about.as_ref().is_some_and(|it| it.rehearsed);
        let act = self.act(label(code), about.map(|it| it.object));
        match self.trace {
            Trace::Read => true,
            Trace::Noted => {
                place.leave(act);
                true
            }
            Trace::Administrative if !rehearsed => place.record(act).await.is_ok(),
            Trace::Act | Trace::Administrative => place.write(&act).await.is_ok(),
        }
    }

    fn refused(&self, code: Code) {
        let identity = self.caller.as_ref().map(|it| &it.identity);
        self.audit.refused(Refusal {
            act: name(self.method),
            outcome: label(code),
            who: identity.map(|it| it.principal.pseudonym.clone()).unwrap_or_default(),
            names: identity.map(|it| it.names.clone()).unwrap_or_default(),
            from: self.caller.as_ref().map(|it| it.remote.ip()),
            object: self.said(),
            note: String::new(),
        });
    }

    fn act(&self, outcome: &'static str, about: Option<String>) -> Act {
        let identity = self.caller.as_ref().map(|it| &it.identity);
        Act {
            act: name(self.method).into(),
            outcome: outcome.into(),
            who: identity.map(|it| it.principal.pseudonym.clone()).unwrap_or_default(),
            names: identity.map(|it| it.names.clone()).unwrap_or_default(),
            from: self.caller.as_ref().map(|it| it.remote.to_string()).unwrap_or_default(),
            object: about.unwrap_or_else(|| self.said()),
            count: 1,
            note: String::new(),
        }
    }

    /// What the handler says of the request, else what the request says.
    fn said(&self) -> String {
        if let Some(subject) = self.subject.0.get() {
            return subject.clone();
        }
        let Some(heard) = &self.heard else { return self.fields.said(self.method, &[]) };
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        self.fields.said(self.method, &heard)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            place.leave(self.act("CANCELLED", None));
        }
    }
}

// === impl Tapped ===

impl<B> http_body::Body for Tapped<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let next = Pin::new(&mut self.inner).poll_frame(cx);
        if let (Some(heard), Poll::Ready(Some(Ok(frame)))) = (&self.heard, &next)
            && let Some(data) = frame.data_ref()
        {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let room = HEARD_BYTES_MAX.saturating_sub(heard.len());
            heard.extend_from_slice(&data[..data.len().min(room)]);
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer with what the act was done to, for requests that do not say it.
pub fn about<A>(answer: A, object: String) -> tonic::Response<A> {
    with(answer, About { object, rehearsed: false })
}

/// The same, of an act that may have been a dry run: then it leaves a line as any act does, and
/// nothing is anchored for it.
pub fn rehearsed<A>(answer: A, object: String, dry_run: bool) -> tonic::Response<A> {
    let object = if dry_run { format!("dry run: {object}") } else { object };
    with(answer, About { object, rehearsed: dry_run })
}

fn with<A>(answer: A, about: About) -> tonic::Response<A> {
    let mut answer = tonic::Response::new(answer);
    answer.extensions_mut().insert(about);
    answer
}

/// The method without the slash in front.
fn name(method: &'static str) -> &'static str {
    method.strip_prefix('/').unwrap_or(method)
}

fn trace(method: &'static str) -> Trace {
    let name = name(method);
    // what is no method does nothing
    if method == METHOD_UNKNOWN || READS.contains(&name) || name.starts_with("grpc.") {
        Trace::Read
    } else if name == SESSION {
        Trace::Noted
    } else if ADMINISTRATIVE.iter().any(|it| name.starts_with(it)) {
        Trace::Administrative
    } else {
        Trace::Act
    }
}

/// Answers that are given before anything is done.
fn changed_nothing(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => true,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => false,
    }
}

/// Opened by partners all the time, and without it nothing comes in any more.
const SESSION: &str = "verbund.peer.v1.PeerService/Session";

/// The service of the operators' own port.
const ADMIN: &str = "verbund.admin.";

/// Services whose acts decide about the node, the Verbund, or what others did.
const ADMINISTRATIVE: &[&str] = &[
    ADMIN,
    "verbund.registry.v1.ApprovalService/",
    "verbund.registry.v1.CharterService/",
    "verbund.registry.v1.EpochService/",
    "verbund.registry.v1.ErasureService/",
    "verbund.registry.v1.InvitationService/",
];

/// Methods that change nothing.
pub(super) const READS: &[&str] = &[
    "verbund.registry.v1.CatalogueService/ListServices",
    "verbund.registry.v1.CatalogueService/GetService",
    "verbund.registry.v1.CatalogueService/ListVersions",
    "verbund.registry.v1.CatalogueService/GetVersion",
    "verbund.registry.v1.CatalogueService/ResolveVersion",
    "verbund.registry.v1.CatalogueService/ResolveLeistung",
    "verbund.registry.v1.CatalogueService/SearchServices",
    "verbund.registry.v1.CatalogueService/Suggest",
    "verbund.registry.v1.CatalogueService/ListHandovers",
    "verbund.registry.v1.CatalogueService/GetInclusionProof",
    "verbund.registry.v1.CatalogueService/GetStatus",
    "verbund.registry.v1.WatchService/Watch",
    "verbund.registry.v1.NachnutzungService/ListSubscriptions",
    "verbund.registry.v1.NachnutzungService/GetSubscription",
    "verbund.registry.v1.NachnutzungService/GetImpact",
    "verbund.registry.v1.NachnutzungService/ListNotices",
    "verbund.registry.v1.NachnutzungService/WatchNotices",
    "verbund.registry.v1.WitnessService/ListReceipts",
    "verbund.registry.v1.ErasureService/ListErasures",
    "verbund.registry.v1.ApprovalService/ListApprovals",
    "verbund.registry.v1.ApprovalService/GetApproval",
    "verbund.registry.v1.CharterService/GetCharters",
    "verbund.registry.v1.InvitationService/ListInvitations",
    "verbund.registry.v1.EpochService/ListEpochResets",
    "verbund.registry.v1.DraftService/GetDraft",
    "verbund.registry.v1.DraftService/ListDrafts",
    "verbund.registry.v1.DraftService/CheckDraft",
    "verbund.registry.v1.ArtefactService/HaveChunks",
    "verbund.registry.v1.ArtefactService/PullArtefact",
    "verbund.registry.v1.ArtefactService/StatArtefacts",
    "verbund.peer.v1.ArtefactPeerService/FetchChunk",
    "verbund.peer.v1.JoinService/GetJoin",
    "verbund.admin.v1.AdminService/GetNode",
    "verbund.admin.v1.AdminService/ListHeld",
];

/// Bytes of a request in which it is looked for what it is about.
const HEARD_BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::observed::METHODS;

    /// Calls a method of a node that answers with OK; says with what code and how often it was
    /// carried out.
    async fn call(audit: &Audit, method: &str) -> (Code, usize) {
        let carried_out = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = carried_out.clone();
        let inner = tower::service_fn(move |_: Request<Tapped<Body>>| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) }
        });
        let request = Request::builder().uri(method).body(Body::empty()).unwrap();
        let mut service = tower::Layer::layer(&Audited::new(audit.clone()), inner);
        let answer = service.call(request).await.unwrap();
        (code_of(&answer), carried_out.load(std::sync::atomic::Ordering::Relaxed))
    }

    #[tokio::test]
    async fn an_act_that_would_leave_no_trace_is_refused_and_reads_go_on() {
        use crate::{audit::Setup, driver::Clock, lifecycle::Shutdown, observe::Metrics};

        let dir = tempfile::tempdir().unwrap();
        let (records, metrics) = (Shutdown::new(), Arc::new(Metrics::new("test")));
        let (data_dir, clock) = (dir.path(), Clock::start());
        let setup = Setup { data_dir, syslog: None, node: "sl-1.example", clock, metrics };
        let audit = Audit::open(setup, &records).unwrap();
        let acts = [
            "/verbund.registry.v1.PublishService/Publish",
            "/verbund.admin.v1.AdminService/AcceptHeld",
        ];
        let rest = [
            "/verbund.registry.v1.CatalogueService/GetStatus",
            "/verbund.peer.v1.PeerService/Session",
        ];
        for method in acts.into_iter().chain(rest) {
            assert_eq!(call(&audit, method).await, (Code::Ok, 1), "{method}");
        }
        // behind what nobody waits for
        audit.record(Act::new("node.stop", "OK")).await.unwrap();
        audit.fail();
        for method in acts {
            assert_eq!(call(&audit, method).await, (Code::Unavailable, 0), "{method}");
        }
        for method in rest {
            assert_eq!(call(&audit, method).await, (Code::Ok, 1), "{method}");
        }
        audit.close().await;
        let text = std::fs::read_dir(dir.path().join(crate::audit::DIR)).unwrap();
        let text: String =
            text.map(|it| std::fs::read_to_string(it.unwrap().path()).unwrap()).collect();
        for (method, times) in [(acts[0], 1), (acts[1], 1), (rest[0], 0), (rest[1], 1)] {
            assert_eq!(text.matches(name_of(method)).count(), times, "{method}\n{text}");
        }
    }

    fn name_of(path: &str) -> &str {
        path.strip_prefix('/').unwrap()
    }

    #[test]
    fn what_is_no_read_is_traced() {
        for read in READS {
            assert!(METHODS.iter().any(|it| name(it) == *read), "{read} is no method");
        }
        let traced = |trace_: Trace| -> Vec<&str> {
            let of = METHODS.iter().filter(|it| trace(it) == trace_);
            of.filter_map(|it| it.rsplit_once('/').map(|it| it.1)).collect()
        };
        assert_eq!(traced(Trace::Noted), ["Session"]);
        for act in ["Publish", "SaveDraft", "PublishDraft", "DeleteDraft", "PushChunk", "Join"] {
            assert!(traced(Trace::Act).contains(&act), "{act}");
        }
        let mut administrative = traced(Trace::Administrative);
        administrative.sort_unstable();
        let expected = [
            "AcceptApproval",
            "AcceptHeld",
            "CollectArtefacts",
            "CountersignEpochReset",
            "CreateInvitation",
            "Erase",
            "RebuildIndex",
            "RejectApproval",
            "RevokeInvitation",
            "TakeEpochReset",
            "VoteCharter",
        ];
        assert_eq!(administrative, expected);
        assert_eq!(trace("/verbund.registry.v1.ForNow/NotKnown"), Trace::Act);
        assert_eq!(trace(METHOD_UNKNOWN), Trace::Read);
    }
}
