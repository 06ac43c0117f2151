//! The catalogue as JSON: the same questions as over gRPC, answered in ProtoJSON.
//!
//! On the web port every caller has a certificate. On the plain loopback port of the demo anyone
//! may read, and nothing else is there. Beside it stand the pages for people ([`super::ui`]).

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, Path, Query, State},
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
        ListVersionsRequest, ResolveVersionRequest, SearchServicesRequest,
        catalogue_service_server::CatalogueService,
    },
};
use tonic::{Code, Request, Status};

use crate::{
    lifecycle::Shutdown,
    observe::Metrics,
    serving::{Meters, Patience, Server, Shape, Speaks},
    tls::{Caller, Incoming, Listener},
    web::ui::{self, Face},
    wire::{catalogue::CatalogueApi, limited},
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
        .route("/api/v1/search", get(search))
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

async fn index() -> impl IntoResponse {
    const TEXT: &str = "Register der Verbund-Leistungen (REST, nur lesend)\n\n\
        GET /api/v1/status\n\
        GET /api/v1/services?land=&leistungsschluessel=&themenfeld=&page_size=&page_token=\n\
        GET /api/v1/services/{id}\n\
        GET /api/v1/services/{id}/versions\n\
        GET /api/v1/services/{id}/versions/{version}\n\
        GET /api/v1/services/{id}/resolve?requirement=&valid_at=\n\
        GET /api/v1/search?q=&land=&limit=\n";
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], TEXT)
}

type Who = Extension<Arc<Principal>>;
type Params = Query<HashMap<String, String>>;

async fn status(State(web): State<WebState>, who: Who) -> Response {
    let request = ask(who, GetStatusRequest {});
    web.answer("GetStatusResponse", web.api.get_status(request).await)
}

async fn services(State(web): State<WebState>, who: Who, Query(params): Params) -> Response {
    let page_size = match number(&params, "page_size") {
        Ok(it) => it,
        Err(refused) => return refused,
    };
    let request = ask(
        who,
        ListServicesRequest {
            page_size,
            page_token: text(&params, "page_token"),
            land: text(&params, "land"),
            leistungsschluessel: text(&params, "leistungsschluessel"),
            themenfeld: text(&params, "themenfeld"),
            ..ListServicesRequest::default()
        },
    );
    web.answer("ListServicesResponse", web.api.list_services(request).await)
}

async fn service(
    State(web): State<WebState>,
    who: Who,
    Path(service_id): Path<String>,
    Query(params): Params,
) -> Response {
    let land = text(&params, "land");
    let request = ask(who, GetServiceRequest { service_id, land, ..Default::default() });
    web.answer("GetServiceResponse", web.api.get_service(request).await)
}

async fn versions(
    State(web): State<WebState>,
    who: Who,
    Path(service_id): Path<String>,
    Query(params): Params,
) -> Response {
    let page_size = match number(&params, "page_size") {
        Ok(it) => it,
        Err(refused) => return refused,
    };
    let request = ask(
        who,
        ListVersionsRequest {
            service_id,
            land: text(&params, "land"),
            page_size,
            page_token: text(&params, "page_token"),
            ..ListVersionsRequest::default()
        },
    );
    web.answer("ListVersionsResponse", web.api.list_versions(request).await)
}

async fn version(
    State(web): State<WebState>,
    who: Who,
    Path((service_id, version)): Path<(String, String)>,
    Query(params): Params,
) -> Response {
    let land = text(&params, "land");
    let request = ask(who, GetVersionRequest { service_id, version, land, ..Default::default() });
    web.answer("GetVersionResponse", web.api.get_version(request).await)
}

async fn resolve(
    State(web): State<WebState>,
    who: Who,
    Path(service_id): Path<String>,
    Query(params): Params,
) -> Response {
    let request = ask(
        who,
        ResolveVersionRequest {
            service_id,
            requirement: text(&params, "requirement"),
            valid_at: text(&params, "valid_at"),
            land: text(&params, "land"),
            ..ResolveVersionRequest::default()
        },
    );
    web.answer("ResolveVersionResponse", web.api.resolve_version(request).await)
}

async fn search(State(web): State<WebState>, who: Who, Query(params): Params) -> Response {
    let limit = match number(&params, "limit") {
        Ok(it) => it,
        Err(refused) => return refused,
    };
    let (query, land) = (text(&params, "q"), text(&params, "land"));
    let request = ask(who, SearchServicesRequest { query, limit, land, ..Default::default() });
    web.answer("SearchServicesResponse", web.api.search_services(request).await)
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

fn text(params: &HashMap<String, String>, name: &str) -> String {
    params.get(name).cloned().unwrap_or_default()
}

#[expect(clippy::result_large_err, reason = "the error is the response")]
fn number(params: &HashMap<String, String>, name: &str) -> Result<u32, Response> {
    let Some(value) = params.get(name) else { return Ok(0) };
    value.parse().map_err(|_| {
        let shown: String = value.chars().take(40).collect();
        problem(StatusCode::BAD_REQUEST, &format!("{name} = {shown:?}; expected a number"))
    })
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
