//! The catalogue as JSON: the same questions as over gRPC, answered in ProtoJSON.
//!
//! On the web port every caller has a certificate. On the plain loopback port of the demo anyone
//! may read, and nothing else is there. Beside it stand the pages for people ([`super::ui`]).

use std::{sync::Arc, time::Instant};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, SerializeOptions};
use registry_core::authorize::{Principal, Role};
use registry_proto::wire::{
    DESCRIPTORS,
    registry::{
        GetServiceRequest, GetStatusRequest, GetVersionRequest, ListServicesRequest,
        ListVersionsRequest, ResolveLeistungRequest, ResolveVersionRequest, SearchServicesRequest,
        SuggestRequest, catalogue_service_server::CatalogueService,
    },
};
use tonic::{Code, Request, Status};

use crate::{
    audit::{Audit, Refusal},
    lifecycle::Shutdown,
    observe::Metrics,
    serving::{Meters, Patience, Server, Shape, Speaks},
    tls::{Caller, Incoming, Listener},
    web::{
        params::{Pairs, Params, RECORDED_AT, Refused, SEEN_AT},
        ui::{self, Face},
    },
    wire::{
        catalogue::CatalogueApi,
        limited,
        observed::{self, label},
    },
};

/// What the routes need.
#[derive(Clone)]
struct WebState {
    api: CatalogueApi,
    pool: DescriptorPool,
}

/// The routes for callers with a certificate.
pub fn web_router(api: CatalogueApi, face: Face) -> Router {
    routes(api, face).layer(axum::middleware::from_fn(with_certificate))
}

/// The routes for anyone; for a loopback socket only.
pub fn anonymous_router(api: CatalogueApi, face: Face) -> Router {
    let anyone = Principal::with_roles("anonymous", &[Role::Reader]);
    router_for(api, face, Arc::new(anyone))
}

/// The routes for one principal.
pub(super) fn router_for(api: CatalogueApi, face: Face, who: Arc<Principal>) -> Router {
    routes(api, face).layer(Extension(who))
}

/// Serves `router` to connections with a certificate until `shutdown`; they may take as long as
/// `patience` lets them.
pub fn serve_web(
    incoming: Incoming,
    router: Router,
    patience: Patience,
    metrics: Arc<Metrics>,
    shutdown: &Shutdown,
) {
    let (listener, speaks) = (Listener::Web.name(), Speaks::Http);
    Server { listener, speaks, patience, metrics }.serve(incoming, router, shutdown);
}

fn routes(api: CatalogueApi, face: Face) -> Router {
    // the descriptors are compiled in and a test reads them
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap_or_default();
    let pages = ui::routes(api.clone(), face.clone());
    Router::new()
        .route("/api/v1", get(index))
        .route("/api/v1/status", get(status))
        .route("/api/v1/services", get(services))
        .route("/api/v1/services/{service}", get(service))
        .route("/api/v1/services/{service}/versions", get(versions))
        .route("/api/v1/services/{service}/versions/{version}", get(version))
        .route("/api/v1/services/{service}/resolve", get(resolve))
        .route("/api/v1/resolve", get(resolve_leistung))
        .route("/api/v1/search", get(search))
        .route("/api/v1/suggest", get(suggest))
        .with_state(WebState { api, pool })
        .merge(pages)
        .layer(axum::middleware::from_fn_with_state(face, ui::guard::guard))
}

async fn with_certificate(
    ConnectInfo(caller): ConnectInfo<Caller>,
    mut request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    request.extensions_mut().insert(Arc::clone(&caller.identity.principal));
    next.run(request).await
}

/// The same routes within the quota of each certificate.
pub fn metered(router: Router, meters: Meters) -> Router {
    router.layer(axum::middleware::from_fn_with_state(meters, within_quota))
}

async fn within_quota(
    State(meters): State<Meters>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    match limited::pass(&meters, Some(&caller), Shape::Call) {
        Ok(_pass) => next.run(request).await,
        Err(refused) => {
            let mut answer = problem(StatusCode::TOO_MANY_REQUESTS, refused.message());
            let soon = http::HeaderValue::from_static("1");
            answer.headers_mut().insert(header::RETRY_AFTER, soon);
            answer
        }
    }
}

/// The same routes, where whoever is refused is counted and leaves a line in the audit log, as at
/// the other ports. What was looked for behind the path is not told.
pub fn traced(router: Router, audit: Audit, metrics: Arc<Metrics>) -> Router {
    router.layer(axum::middleware::from_fn_with_state((audit, metrics), leaves_a_trace))
}

async fn leaves_a_trace(
    State((audit, metrics)): State<(Audit, Arc<Metrics>)>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let begun = Instant::now();
    let answer = next.run(request).await;
    let code = grpc_code(answer.status());
    metrics.request(METHOD_WEB, label(code), begun.elapsed());
    if code == Code::PermissionDenied {
        observed::refused(METHOD_WEB, label(code), Some(&caller));
        audit.refused(Refusal {
            act: METHOD_WEB,
            outcome: label(code),
            who: caller.identity.principal.pseudonym.clone(),
            names: caller.identity.names.clone(),
            from: Some(caller.remote.ip()),
            object: path,
            note: String::new(),
        });
    }
    answer
}

async fn index() -> impl IntoResponse {
    const TEXT: &str = "Register der Verbund-Leistungen (REST, nur lesend)\n\n\
        GET /api/v1/status\n\
        GET /api/v1/services?land=&leistungsschluessel=&themenfeld=&page_size=&page_token=\n\
        GET /api/v1/services/{id}?land=&proof=\n\
        GET /api/v1/services/{id}/versions?land=&page_size=&page_token=\n\
        GET /api/v1/services/{id}/versions/{version}?land=&proof=\n\
        GET /api/v1/services/{id}/resolve?requirement=&valid_at=&land=&proof=\n\
        GET /api/v1/resolve?leistungsschluessel=&ars=&valid_at=&limit=&proof=\n\
        GET /api/v1/search?q=&land=&themenfeld=&typisierung=&lage=&status=&limit=&offset=\n\
        GET /api/v1/suggest?q=&land=&limit=\n\n\
        Tag: valid_at, an dem etwas gelten muss.\n\
        Stand: recorded_at (was die Länder bis dahin eingetragen hatten) und seen_at (was dieser\n\
        Knoten bis dahin kannte), je ein Tag oder ein Zeitpunkt nach RFC 3339; nicht bei search\n\
        und suggest. proof=true gibt den Beweis mit, dass der Eintrag im Protokoll steht.\n\
        themenfeld, typisierung, lage und status nimmt search mehrfach.\n";
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], TEXT)
}

type Who = Extension<Arc<Principal>>;
type Answer = Result<Response, Refused>;

async fn status(State(web): State<WebState>, who: Who, pairs: Pairs) -> Answer {
    Params::of(pairs, &[], &[])?;
    let request = ask(who, GetStatusRequest {});
    Ok(web.answer("GetStatusResponse", web.api.get_status(request).await))
}

async fn services(State(web): State<WebState>, who: Who, pairs: Pairs) -> Answer {
    const KNOWN: [&str; 7] = [
        "land",
        "leistungsschluessel",
        "themenfeld",
        "page_size",
        "page_token",
        RECORDED_AT,
        SEEN_AT,
    ];
    let params = Params::of(pairs, &KNOWN, &[])?;
    let request = ListServicesRequest {
        page_size: params.number("page_size")?,
        page_token: params.text("page_token"),
        land: params.text("land"),
        leistungsschluessel: params.text("leistungsschluessel"),
        themenfeld: params.text("themenfeld"),
        zeitpunkt: params.zeitpunkt()?,
    };
    Ok(web.answer("ListServicesResponse", web.api.list_services(ask(who, request)).await))
}

async fn service(
    State(web): State<WebState>,
    who: Who,
    Path(service_id): Path<String>,
    pairs: Pairs,
) -> Answer {
    let params = Params::of(pairs, &["land", "proof", RECORDED_AT, SEEN_AT], &[])?;
    let request = GetServiceRequest {
        service_id,
        land: params.text("land"),
        zeitpunkt: params.zeitpunkt()?,
        with_proof: params.flag("proof")?,
    };
    Ok(web.answer("GetServiceResponse", web.api.get_service(ask(who, request)).await))
}

async fn versions(
    State(web): State<WebState>,
    who: Who,
    Path(service_id): Path<String>,
    pairs: Pairs,
) -> Answer {
    const KNOWN: [&str; 5] = ["land", "page_size", "page_token", RECORDED_AT, SEEN_AT];
    let params = Params::of(pairs, &KNOWN, &[])?;
    let request = ListVersionsRequest {
        service_id,
        land: params.text("land"),
        page_size: params.number("page_size")?,
        page_token: params.text("page_token"),
        zeitpunkt: params.zeitpunkt()?,
    };
    Ok(web.answer("ListVersionsResponse", web.api.list_versions(ask(who, request)).await))
}

async fn version(
    State(web): State<WebState>,
    who: Who,
    Path((service_id, version)): Path<(String, String)>,
    pairs: Pairs,
) -> Answer {
    let params = Params::of(pairs, &["land", "proof", RECORDED_AT, SEEN_AT], &[])?;
    let request = GetVersionRequest {
        service_id,
        version,
        land: params.text("land"),
        zeitpunkt: params.zeitpunkt()?,
        with_proof: params.flag("proof")?,
    };
    Ok(web.answer("GetVersionResponse", web.api.get_version(ask(who, request)).await))
}

async fn resolve(
    State(web): State<WebState>,
    who: Who,
    Path(service_id): Path<String>,
    pairs: Pairs,
) -> Answer {
    const KNOWN: [&str; 6] = ["requirement", "valid_at", "land", "proof", RECORDED_AT, SEEN_AT];
    let params = Params::of(pairs, &KNOWN, &[])?;
    let request = ResolveVersionRequest {
        service_id,
        requirement: params.text("requirement"),
        valid_at: params.text("valid_at"),
        land: params.text("land"),
        zeitpunkt: params.zeitpunkt()?,
        with_proof: params.flag("proof")?,
    };
    Ok(web.answer("ResolveVersionResponse", web.api.resolve_version(ask(who, request)).await))
}

async fn resolve_leistung(State(web): State<WebState>, who: Who, pairs: Pairs) -> Answer {
    const KNOWN: [&str; 7] =
        ["leistungsschluessel", "ars", "valid_at", "limit", "proof", RECORDED_AT, SEEN_AT];
    let params = Params::of(pairs, &KNOWN, &[])?;
    let request = ResolveLeistungRequest {
        leistungsschluessel: params.text("leistungsschluessel"),
        ars: params.text("ars"),
        valid_at: params.text("valid_at"),
        zeitpunkt: params.zeitpunkt()?,
        with_proof: params.flag("proof")?,
        limit: params.number("limit")?,
    };
    Ok(web.answer("ResolveLeistungResponse", web.api.resolve_leistung(ask(who, request)).await))
}

async fn search(State(web): State<WebState>, who: Who, pairs: Pairs) -> Answer {
    let many = ["themenfeld", "typisierung", "lage", "status"];
    let params = Params::of(pairs, &["q", "land", "limit", "offset"], &many)?;
    let request = SearchServicesRequest {
        query: params.text("q"),
        limit: params.number("limit")?,
        land: params.text("land"),
        offset: params.number("offset")?,
        themenfelder: params.all("themenfeld"),
        typisierung: params.all("typisierung"),
        lagen: params.all("lage"),
        status: params.all("status"),
    };
    Ok(web.answer("SearchServicesResponse", web.api.search_services(ask(who, request)).await))
}

async fn suggest(State(web): State<WebState>, who: Who, pairs: Pairs) -> Answer {
    let params = Params::of(pairs, &["q", "land", "limit"], &[])?;
    let (prefix, land) = (params.text("q"), params.text("land"));
    let request = SuggestRequest { prefix, limit: params.number("limit")?, land };
    Ok(web.answer("SuggestResponse", web.api.suggest(ask(who, request)).await))
}

// === impl WebState ===

impl WebState {
    fn answer<M: Message>(
        &self,
        name: &str,
        outcome: Result<tonic::Response<M>, Status>,
    ) -> Response {
        match outcome {
            Ok(response) => match self.json(name, &response.into_inner()) {
                Some(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
                None => problem(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode the answer"),
            },
            Err(status) => problem(http_status(status.code()), status.message()),
        }
    }

    fn json(&self, name: &str, message: &impl Message) -> Option<Vec<u8>> {
        let descriptor = self.pool.get_message_by_name(&format!("verbund.registry.v1.{name}"))?;
        let message =
            DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).ok()?;
        debug_assert_eq!(message.descriptor().name(), name);
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut json);
        let options = SerializeOptions::new().use_proto_field_name(true);
        message.serialize_with_options(&mut serializer, &options).ok()?;
        Some(json)
    }
}

fn ask<T>(Extension(who): Who, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(who);
    request
}

/// RFC 9457.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

/// The code under which an answer is counted; of those with one status, the first.
fn grpc_code(status: StatusCode) -> Code {
    const CODES: [Code; 9] = [
        Code::InvalidArgument,
        Code::NotFound,
        Code::PermissionDenied,
        Code::Unauthenticated,
        Code::FailedPrecondition,
        Code::ResourceExhausted,
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Unimplemented,
    ];
    let known = CODES.into_iter().find(|it| http_status(*it) == status);
    known.unwrap_or_else(|| match status {
        _ if status.is_client_error() => Code::InvalidArgument,
        _ if status.is_server_error() => Code::Internal,
        _ => Code::Ok,
    })
}

/// What is counted of the web: one name for all of it.
const METHOD_WEB: &str = "web";

fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
