//! The face of a node for people: pages in German, made here, without scripts.
//!
//! A request becomes a read of the catalogue on a thread that may take its time
//! (`CatalogueApi::read`), the answer a `Page`, and that a whole document in its
//! [`Frame`]. Pages are functions of what was read; nothing of a record reaches a page unescaped,
//! and nothing is loaded from anywhere else.

mod assets;
pub mod board;
mod catalogue;
mod certificates;
mod changes;
mod diff;
mod error;
mod find;
pub(super) mod guard;
mod links;
mod nachnutzungen;
mod page;
mod parts;
mod richtext;
mod service;
#[cfg(test)]
mod tests;
mod verbund;
mod version;
mod words;

use std::{collections::HashMap, fmt, sync::Arc};

use axum::{
    Extension, Router,
    extract::{Path, Query, State, rejection::PathRejection},
    http::{StatusCode, Uri},
    response::Response,
    routing::get,
};
use registry_core::{authorize::Principal, limits, reject::Reject};
use registry_proto::{
    charter::Charter,
    terms::Land,
    wire::registry::{
        GetServiceRequest, GetServiceResponse, GetStatusRequest, GetStatusResponse,
        GetVersionRequest, ListVersionsRequest, ListVersionsResponse, Service, ServiceDefinition,
    },
};

use self::{
    catalogue::CataloguePage,
    diff::DiffPage,
    error::Refused,
    page::Page,
    service::{ServicePage, TimelineEntry},
    verbund::VerbundPage,
    version::VersionPage,
};
pub use self::{
    certificates::{CertificateDate, CertificateKind, Certificates, NodeCertificates},
    page::Frame,
};
use crate::{reads::Reads, wire::catalogue::CatalogueApi};

/// What pages show beside the catalogue. Cheap to clone.
#[derive(Clone)]
pub struct Face {
    charter: Arc<Charter>,
    certificates: Arc<dyn Certificates>,
}

#[derive(Clone)]
struct Ui {
    api: CatalogueApi,
    face: Face,
}

type Who = Extension<Arc<Principal>>;
type Params = Query<HashMap<String, String>>;
/// Parts of an address; one that cannot be read leads nowhere.
type Parts<T> = Result<Path<T>, PathRejection>;
type Made = Result<(StatusCode, Page), Refused>;

/// Versions on a page of the timeline.
const TIMELINE: u32 = 25;

// === impl Face ===

impl Face {
    /// The face of a node of this Verbund.
    pub fn new(charter: Charter, certificates: impl Certificates) -> Self {
        Self { charter: Arc::new(charter), certificates: Arc::new(certificates) }
    }

    /// The frame without the state of the node, for those who may not see it.
    fn bare(&self) -> Frame {
        Frame::new(GetStatusResponse {
            verbund_name: self.charter.name().to_owned(),
            test: self.charter.is_test(),
            ..GetStatusResponse::default()
        })
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face").field("charter", &self.charter.id()).finish_non_exhaustive()
    }
}

/// The pages. Requests need an `Arc<Principal>` among their extensions.
pub(super) fn routes(api: CatalogueApi, face: Face) -> Router {
    Router::new()
        .route("/", get(catalogue))
        .route("/leistungen/{land}/{service}", get(service))
        .route("/leistungen/{land}/{service}/versionen/{version}", get(version))
        .route("/leistungen/{land}/{service}/diff", get(diff))
        .route("/nachnutzungen", get(nachnutzungen))
        .route("/verbund", get(verbund))
        .route("/assets/{hash}/{file}", get(asset))
        .fallback(missing)
        .with_state(Ui { api, face })
}

async fn catalogue(State(ui): State<Ui>, Extension(who): Who, Query(params): Params) -> Response {
    let query = query(&params);
    ui.show(&who, move |reads, _, _| catalogue_page(reads, &query)).await
}

async fn service(
    State(ui): State<Ui>,
    Extension(who): Who,
    parts: Parts<(String, String)>,
    Query(params): Params,
) -> Response {
    ui.show(&who, move |reads, frame, _| {
        let (land, id) = parts.map_err(|_| Refused::NotFound)?.0;
        let token = params.get("ab").cloned().unwrap_or_default();
        service_page(reads, frame, &Asked::new(land, id)?, token)
    })
    .await
}

async fn version(
    State(ui): State<Ui>,
    Extension(who): Who,
    parts: Parts<(String, String, String)>,
) -> Response {
    ui.show(&who, move |reads, frame, _| {
        let (land, id, number) = parts.map_err(|_| Refused::NotFound)?.0;
        version_page(reads, frame, &Asked::new(land, id)?, &number)
    })
    .await
}

async fn diff(
    State(ui): State<Ui>,
    Extension(who): Who,
    parts: Parts<(String, String)>,
    Query(params): Params,
) -> Response {
    ui.show(&who, move |reads, _, _| {
        let (land, id) = parts.map_err(|_| Refused::NotFound)?.0;
        let named = |name: &str| params.get(name).map_or("", String::as_str);
        diff_page(reads, &Asked::new(land, id)?, (named("von"), named("bis")))
    })
    .await
}

async fn nachnutzungen(State(ui): State<Ui>, Extension(who): Who) -> Response {
    ui.show(&who, |reads, _, _| nachnutzungen::page(reads)).await
}

async fn verbund(State(ui): State<Ui>, Extension(who): Who) -> Response {
    ui.show(&who, move |_, frame, face| {
        let certificates = face.certificates.dates();
        let page = VerbundPage { frame, charter: &face.charter, certificates: &certificates };
        Ok((StatusCode::OK, page.page()))
    })
    .await
}

async fn asset(State(ui): State<Ui>, parts: Parts<(String, String)>) -> Response {
    let found = parts.ok().and_then(|Path((hash, file))| assets::serve(&hash, &file));
    found.unwrap_or_else(|| Refused::NotFound.answer(&ui.face.bare()))
}

async fn missing(State(ui): State<Ui>, Extension(who): Who, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return super::catalogue::problem(StatusCode::NOT_FOUND, "there is no such resource");
    }
    ui.show(&who, |_, _, _| Err(Refused::NotFound)).await
}

// === impl Ui ===

impl Ui {
    /// Makes a page in its frame from what `make` reads.
    async fn show(
        &self,
        who: &Principal,
        make: impl FnOnce(&Reads, &Frame, &Face) -> Made + Send + 'static,
    ) -> Response {
        let face = self.face.clone();
        let made = self.api.answering().read_for(who, move |reads| {
            let frame = Frame::new(reads.status(&GetStatusRequest {})?);
            Ok(match make(reads, &frame, &face) {
                Ok((status, page)) => page::answer(status, frame.around(&page)),
                Err(refused) => refused.answer(&frame),
            })
        });
        made.await.unwrap_or_else(|reject| Refused::Reject(reject).answer(&self.face.bare()))
    }
}

/// The service an address names.
struct Asked {
    land: String,
    id: String,
}

// === impl Asked ===

impl Asked {
    fn new(land: String, id: String) -> Result<Self, Refused> {
        match land.parse::<Land>() {
            Ok(_) => Ok(Self { land, id }),
            Err(_) => Err(Refused::NotFound),
        }
    }

    fn service(&self, reads: &Reads) -> Result<(GetServiceResponse, ServiceDefinition), Refused> {
        let mut answer = reads.service(&GetServiceRequest {
            service_id: self.id.clone(),
            land: self.land.clone(),
            ..GetServiceRequest::default()
        })?;
        // that of a service taken over may be by a former owner; pages show the owner of today
        if let Some(Service { definition: Some(definition), land, .. }) = &mut answer.service {
            definition.land.clone_from(land);
        }
        let definition = answer.service.as_ref().and_then(|it| it.definition.clone());
        Ok((answer, definition.ok_or(Refused::NotFound)?))
    }

    fn versions(
        &self,
        reads: &Reads,
        page_size: u32,
        page_token: String,
    ) -> Result<ListVersionsResponse, Reject> {
        reads.list_versions(&ListVersionsRequest {
            service_id: self.id.clone(),
            land: self.land.clone(),
            page_size,
            page_token,
            zeitpunkt: None,
        })
    }

    fn version(
        &self,
        reads: &Reads,
        number: &str,
    ) -> Result<registry_proto::wire::registry::Version, Refused> {
        let answer = reads.version(&GetVersionRequest {
            service_id: self.id.clone(),
            version: number.to_owned(),
            land: self.land.clone(),
            ..GetVersionRequest::default()
        })?;
        answer.version.filter(|it| it.version.is_some()).ok_or(Refused::NotFound)
    }
}

fn query(params: &HashMap<String, String>) -> find::Query {
    let text = |name: &str| params.get(name).cloned().unwrap_or_default();
    let page = params.get("seite").and_then(|it| it.parse().ok()).unwrap_or(1);
    find::Query {
        words: text("q"),
        chosen: find::FACETS.map(|facet| text(facet.name)),
        page: page.max(1),
    }
}

fn catalogue_page(reads: &Reads, query: &find::Query) -> Made {
    match find::find(reads, query) {
        Ok(found) if found.services.is_empty() && query.page > 1 => Err(Refused::NotFound),
        Ok(found) => {
            let page = CataloguePage { query, found: &found, problem: None };
            Ok((StatusCode::OK, page.page()))
        }
        Err(Reject::Invalid(_)) => {
            let problem = if query.words.chars().count() > limits::QUERY_CHARS_MAX {
                format!("Die Suche hat mehr als {} Zeichen.", limits::QUERY_CHARS_MAX)
            } else {
                "Die Suche braucht mindestens ein Wort aus Buchstaben oder Ziffern.".to_owned()
            };
            let found = find::Found::default();
            let page = CataloguePage { query, found: &found, problem: Some(&problem) };
            Ok((StatusCode::BAD_REQUEST, page.page()))
        }
        Err(reject) => Err(reject.into()),
    }
}

fn service_page(reads: &Reads, frame: &Frame, asked: &Asked, page_token: String) -> Made {
    let (answer, _) = asked.service(reads)?;
    let listed = asked.versions(reads, TIMELINE, page_token)?;
    // the list is short; a note that cannot be read is left out
    let note = |number: &str| {
        let record = asked.version(reads, number).ok()?.version?;
        record.versionshinweis.map(|it| it.text)
    };
    let entry = |version: registry_proto::wire::registry::VersionSummary| TimelineEntry {
        note: note(&version.version).unwrap_or_default(),
        version,
    };
    let versions: Vec<_> = listed.versions.into_iter().map(entry).collect();
    let page = ServicePage {
        service: answer.service.as_ref().ok_or(Refused::NotFound)?,
        versions: &versions,
        next_page_token: &listed.next_page_token,
        as_of: answer.as_of.as_ref(),
        now: frame.now(),
    };
    Ok((StatusCode::OK, page.page().ok_or(Refused::NotFound)?))
}

fn version_page(reads: &Reads, frame: &Frame, asked: &Asked, number: &str) -> Made {
    let (answer, definition) = asked.service(reads)?;
    let version = asked.version(reads, number)?;
    let listed = asked.versions(reads, limits::PAGE_MAX, String::new())?.versions;
    // newest first
    let mut older = listed.iter().skip_while(|it| it.version != number).skip(1);
    let page = VersionPage {
        definition: &definition,
        version: &version,
        before: older.next().map_or("", |it| it.version.as_str()),
        as_of: answer.as_of.as_ref(),
        now: frame.now(),
    };
    Ok((StatusCode::OK, page.page().ok_or(Refused::NotFound)?))
}

/// Compares what is named; without names the newest version with the one before it.
fn diff_page(reads: &Reads, asked: &Asked, (from, to): (&str, &str)) -> Made {
    let (_, definition) = asked.service(reads)?;
    let versions = asked.versions(reads, limits::PAGE_MAX, String::new())?.versions;
    let newest = |skip: usize| versions.get(skip).or_else(|| versions.last());
    let number = |named: &str, skip| match named {
        "" => newest(skip).map(|it| it.version.clone()).ok_or(Refused::NotFound),
        named => Ok(named.to_owned()),
    };
    let record = |number: String| asked.version(reads, &number)?.version.ok_or(Refused::NotFound);
    let (from, to) = (record(number(from, 1)?)?, record(number(to, 0)?)?);
    let page = DiffPage { definition: &definition, versions: &versions, from: &from, to: &to };
    Ok((StatusCode::OK, page.page()))
}
