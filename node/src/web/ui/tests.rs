//! The pages over real facts and journals, through the real router, without a socket.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use registry_core::{
    authorize::{PeerIdentity, Principal},
    catalogue::demo::{demo_records, service_id},
    fold::FOLD_VERSION,
};
use registry_proto::{
    charter::Charter,
    log::{Kind, LogSigner},
    terms::Land,
    wire::registry::{
        self as wire, Handlungsgrundlage, LocalizedText, ServiceDefinition, ServiceVersion,
    },
};
use tower::ServiceExt;

use super::{CertificateDate, CertificateKind, Certificates, Face};
use crate::{
    data::Lists,
    driver::Clock,
    folder::Folder,
    guard::Keeper,
    index::Index,
    journals::Journals,
    reads::{self, Reads},
    search::Search,
    status::StatusBoard,
    store::Store,
    testing::{Item, MemoryJournal, folded, offer, take, uuid},
    web::{anonymous_router, router_for},
    wire::{answer::Answering, catalogue::CatalogueApi},
};

struct Dates;

impl Certificates for Dates {
    fn dates(&self) -> Vec<CertificateDate> {
        let date = |kind, subject: &str, not_after| CertificateDate {
            land: Land::SL,
            kind,
            subject: subject.to_owned(),
            not_after,
        };
        vec![
            date(CertificateKind::Own, "sl-1.example", Some(1_000)),
            date(CertificateKind::Anchor, HOSTILE, Some(4_000_000_000)),
            date(CertificateKind::Anchor, "", None),
        ]
    }
}

fn charter() -> Charter {
    let keys =
        LogSigner::new(SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32])).keys();
    let member = wire::Member {
        land: "SL".to_owned(),
        log_key: keys.log.as_bytes().to_vec().into(),
        freshness_key: keys.freshness.as_bytes().to_vec().into(),
        offline_key: SigningKey::from_bytes(&[9; 32]).verifying_key().as_bytes().to_vec().into(),
        nodes: vec![wire::MemberNode {
            name: "sl-1.example".to_owned(),
            spki_pins: vec![Bytes::from(vec![7; 32])],
        }],
        anchors: Vec::new(),
        quota: None,
        ..wire::Member::default()
    };
    let charter = wire::Charter {
        format_level: 1,
        number: 0,
        name: HOSTILE.to_owned(),
        test: true,
        threshold: 1,
        members: vec![member],
        ..wire::Charter::default()
    };
    Charter::parse(charter.encode_to_vec().into()).unwrap()
}

fn parts(index: Index) -> (CatalogueApi, Face) {
    let me = PeerIdentity { land: Land::SL, node: "sl-1.example".to_owned() };
    let api = CatalogueApi::new(Answering::new(Reads::new(reads::Setup {
        index: index.clone(),
        search: Search::at_once(index),
        board: StatusBoard::new(),
        charter: charter(),
        me,
        lists: Lists::shipped(),
        clock: Clock::start(),
        software: "1.2.3",
    })));
    (api, Face::new(charter(), Dates))
}

fn pages(index: Index) -> Router {
    let (api, face) = parts(index);
    anonymous_router(api, face)
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

async fn get(router: &Router, path: &str) -> Answer {
    ask(router, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let answer = router.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap();
    let body = String::from_utf8_lossy(&bytes).into_owned();
    Answer { status: head.status, headers: head.headers, body }
}

/// Records of the demonstration for one Land, the first `count` services.
fn demonstration(count: usize) -> (Index, Folder) {
    let journal = MemoryJournal::of(Land::SL);
    for service in demo_records(|_| Land::SL).into_iter().take(count) {
        let id = service.definition.service_id.parse().unwrap();
        let definition = service.definition.encode_to_vec().into();
        let mut bodies = vec![(Kind::ServiceDefinition, id, definition)];
        for version in &service.versions {
            bodies.push((Kind::ServiceVersion, id, version.encode_to_vec().into()));
        }
        journal.append_records(&bodies);
    }
    folded(&[journal])
}

/// A service whose every text is hostile.
fn hostile() -> (Index, Folder) {
    let journal = MemoryJournal::of(Land::SL);
    let text =
        |it: &str| vec![LocalizedText { language_code: "de".to_owned(), text: it.to_owned() }];
    let definition = ServiceDefinition {
        service_id: uuid(1).to_string(),
        land: "SL".to_owned(),
        leistungsschluessel: vec![HOSTILE.to_owned()],
        typisierung: vec![HOSTILE.to_owned()],
        themenfeld: HOSTILE.to_owned(),
        lagen: vec![HOSTILE.to_owned()],
        bezeichnung: text(HOSTILE),
        teaser: text(HOSTILE),
        kurztext: text(HOSTILE),
        volltext: text("<p>Gut <a href=\"javascript:x\">Link</a></p>"),
        handlungsgrundlagen: vec![Handlungsgrundlage {
            text: "§ 1".to_owned(),
            url: "javascript:alert(1)".to_owned(),
        }],
        demonstration_fields: vec![HOSTILE.to_owned()],
        hinweise: vec![wire::Hinweis {
            field: HOSTILE.to_owned(),
            description: HOSTILE.to_owned(),
            ..wire::Hinweis::default()
        }],
        ..ServiceDefinition::default()
    };
    let version = |number: &str, licence: &str| ServiceVersion {
        service_id: uuid(1).to_string(),
        version: number.to_owned(),
        lizenz: licence.to_owned(),
        gueltig_ab: HOSTILE.to_owned(),
        onlinedienste: vec![wire::Onlinedienst {
            titel: HOSTILE.to_owned(),
            link: HOSTILE.to_owned(),
            ..wire::Onlinedienst::default()
        }],
        nachnutzung: vec![wire::Nachnutzung {
            modell: HOSTILE.to_owned(),
            vertrag_url: "https://a@b.example".to_owned(),
            ..wire::Nachnutzung::default()
        }],
        parameter: vec![wire::Parameter {
            name: HOSTILE.to_owned(),
            beschreibung: HOSTILE.to_owned(),
            ..wire::Parameter::default()
        }],
        parameter_schema: HOSTILE.to_owned(),
        versionshinweis: Some(wire::Versionshinweis { text: HOSTILE.to_owned(), breaking: true }),
        ..ServiceVersion::default()
    };
    let release = |number: &str, licence: &str| {
        let record = version(number, licence).encode_to_vec();
        Item::Body(Kind::ServiceVersion, 1, record.into())
    };
    journal.append(&[
        Item::Body(Kind::ServiceDefinition, 1, definition.encode_to_vec().into()),
        release("1.0.0", "MIT"),
        release("2.0.0-a+b", HOSTILE),
    ]);
    folded(&[journal])
}

const HOSTILE: &str = "<script>alert(\"x\")</script>'\"><img src=x onerror=y>";

fn service_path(n: u8) -> String {
    format!("/leistungen/SL/{}", uuid(n))
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_records_never_become_markup() {
    let (index, _folder) = hostile();
    let router = pages(index);
    let at = service_path(1);
    let query = "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%3E";
    for path in [
        "/".to_owned(),
        format!("/?q={query}&land={query}&themenfeld={query}"),
        at.clone(),
        format!("{at}/versionen/2.0.0-a%2Bb"),
        format!("{at}/diff?von=1.0.0&bis=2.0.0-a%2Bb"),
        "/verbund".to_owned(),
        format!("/{query}"),
    ] {
        let answer = get(&router, &path).await;
        assert!(answer.body.starts_with("<!DOCTYPE html>"), "{path}: {}", answer.body);
        for markup in ["<script", "<img", "javascript:", "href=\"https://a@"] {
            // the text may show it; as an attribute or element it must not be there
            let shown = answer.body.replace("&lt;", "").replace("&quot;", "");
            assert!(!shown.contains(markup), "{path}: {markup}\n{}", answer.body);
        }
        assert!(answer.body.contains("&lt;script&gt;"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_of_every_page_leads_somewhere() {
    let (index, _folder) = demonstration(60);
    let router = pages(index);
    let mut seen = BTreeSet::new();
    let mut next = vec!["/".to_owned(), "/?q=anerkennung".to_owned()];
    while let Some(path) = next.pop() {
        // one facet at a time; all together are more than anyone can look at
        let narrowed_twice = path.starts_with("/?") && path.matches('=').count() > 1;
        if narrowed_twice || !seen.insert(path.clone()) || seen.len() > 1_000 {
            continue;
        }
        let answer = get(&router, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let mut ids = BTreeSet::new();
        for id in values(&answer.body, " id=\"") {
            assert!(ids.insert(id.to_owned()), "{path}: two elements have the id {id}");
        }
        for link in values(&answer.body, " href=\"").chain(values(&answer.body, " src=\"")) {
            let link = link.replace("&amp;", "&");
            match link.split_once('#') {
                Some(("", anchor)) => assert!(ids.contains(anchor), "{path}: {link}"),
                _ if link.starts_with('/') => next.push(link),
                _ => assert!(link.starts_with("https://"), "{path}: {link}"),
            }
        }
    }
    let kinds = [
        "/versionen/",
        "/diff?",
        "/verbund",
        "/assets/",
        "/api/v1",
        "seite=2",
        "land=SL",
        "themenfeld=",
        "status=freigegeben",
        "typisierung=2%2F3",
        "lage=",
    ];
    for kind in kinds {
        assert!(seen.iter().any(|it| it.contains(kind)), "nothing leads to {kind}");
    }
}

fn values<'t>(html: &'t str, attribute: &'t str) -> impl Iterator<Item = &'t str> {
    html.split(attribute).skip(1).filter_map(|it| it.split('"').next())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_their_status_and_their_headers() {
    let (index, _folder) = demonstration(3);
    let router = pages(index);
    let some = service_id("10001");
    for (path, status) in [
        ("/".to_owned(), StatusCode::OK),
        ("/?seite=99".to_owned(), StatusCode::NOT_FOUND),
        ("/?seite=x&land=??&unbekannt=1".to_owned(), StatusCode::OK),
        ("/?q=%2D%2D".to_owned(), StatusCode::BAD_REQUEST),
        (format!("/?q={}", "a".repeat(501)), StatusCode::BAD_REQUEST),
        (format!("/?q={}", "a".repeat(20_000)), StatusCode::URI_TOO_LONG),
        (format!("/leistungen/XX/{some}"), StatusCode::NOT_FOUND),
        ("/leistungen/SL/keine-uuid".to_owned(), StatusCode::BAD_REQUEST),
        (format!("/leistungen/SL/{}", uuid(9)), StatusCode::NOT_FOUND),
        ("/leistungen/SL/%FF".to_owned(), StatusCode::NOT_FOUND),
        ("/assets/0/icon.svg".to_owned(), StatusCode::NOT_FOUND),
        ("/gibt/es/nicht".to_owned(), StatusCode::NOT_FOUND),
        ("/api/v1/gibtesnicht".to_owned(), StatusCode::NOT_FOUND),
        ("/verbund".to_owned(), StatusCode::OK),
        ("/nachnutzungen".to_owned(), StatusCode::OK),
    ] {
        let answer = get(&router, &path).await;
        assert_eq!(answer.status, status, "{path:.80}");
        let header = |name: &str| {
            answer.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned()
        };
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{path:.80}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path:.80}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path:.80}");
        assert_eq!(header("set-cookie"), "", "{path:.80}");
        let kind = if path.starts_with("/api/") { "application/problem+json" } else { "text/html" };
        assert!(header("content-type").starts_with(kind), "{path:.80}: {}", header("content-type"));
        if kind == "text/html" {
            assert!(answer.body.contains("<main") && answer.body.contains("<h1"), "{path:.80}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_did_not_change_is_not_sent_again() {
    let (index, _folder) = demonstration(3);
    let router = pages(index);
    let first = get(&router, "/").await;
    let tag = first.headers[header::ETAG].clone();
    let request = |tag: &str| {
        Request::get("/").header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap()
    };
    let again = ask(&router, request(tag.to_str().unwrap())).await;
    assert_eq!((again.status, again.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert!(again.headers.contains_key(header::CONTENT_SECURITY_POLICY));
    assert_eq!(ask(&router, request("\"other\"")).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_that_is_being_built_says_when_to_come_back() {
    let index = Index::new(
        Store::in_memory(FOLD_VERSION).unwrap(),
        Journals::default(),
        Keeper::in_memory(100),
    );
    let router = pages(index);
    for path in ["/", "/?q=x", service_path(1).as_str()] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.headers[header::RETRY_AFTER], "5");
        assert!(answer.body.contains("<h1"), "{}", answer.body);
    }
    assert_eq!(get(&router, "/verbund").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_a_role_sees_nothing_of_the_node() {
    let (index, _folder) = demonstration(3);
    let (api, face) = parts(index);
    let nobody = Principal::with_roles("n", &[]);
    let router = router_for(api, face, Arc::new(nobody));
    for path in ["/", "/verbund", "/gibt/es/nicht"] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(!answer.body.contains("sl-1.example"), "{}", answer.body);
    }
}

/// Number of services that a page says were found.
fn found(page: &str) -> u32 {
    let head = page.split("id=\"treffer\">").nth(1).expect("a heading");
    head.split(' ').next().expect("a number").replace('.', "").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_facet_counts_what_it_would_leave() {
    let (index, _folder) = demonstration(40);
    let router = pages(index);
    let all = get(&router, "/").await.body;
    assert_eq!(found(&all), 40);
    // a service has one of these, and may have several Typisierungen
    for (facet, once) in [
        ("land", true),
        ("themenfeld", true),
        ("status", true),
        ("lage", true),
        ("typisierung", false),
    ] {
        let mark = format!("/?{facet}=");
        let links: Vec<_> = values(&all, " href=\"").filter(|it| it.starts_with(&mark)).collect();
        assert!(!links.is_empty(), "{facet}");
        let mut sum = 0;
        for link in &links {
            let page = get(&router, &link.replace("&amp;", "&")).await.body;
            let count = all.split(&format!("href=\"{link}\"")).nth(1).expect("the link");
            let count = count.split("facet__count\">").nth(1).and_then(|it| it.split('<').next());
            assert_eq!(count, Some(found(&page).to_string().as_str()), "{link}");
            assert!(page.contains("Filter aufheben") && page.contains("Gewählte Filter"), "{link}");
            sum += found(&page);
        }
        assert!(if once { sum == 40 } else { sum >= 40 }, "{facet}: {sum}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn facets_narrow_each_other_and_the_words() {
    let (index, _folder) = demonstration(200);
    let router = pages(index);
    let count = async |path: &str| found(&get(&router, path).await.body);
    let (words, both) = ("/?q=genehmigung", "/?q=genehmigung&status=freigegeben&typisierung=2%2F3");
    assert!(count(both).await < count(words).await);
    assert!(count(both).await > 0);
    let page = get(&router, both).await.body;
    for hidden in ["name=\"status\" value=\"freigegeben\"", "name=\"typisierung\" value=\"2/3\""] {
        assert!(page.contains(hidden), "a new search keeps {hidden}");
    }
    for unknown in
        ["/?land=XX", "/?themenfeld=nichts", "/?status=neu", "/?typisierung=99", "/?lage=Mars"]
    {
        let page = get(&router, unknown).await;
        assert_eq!((page.status, found(&page.body)), (StatusCode::OK, 0), "{unknown}");
        assert!(page.body.contains("Ohne Filter suchen"), "{unknown}");
    }
    // more values than fit open on demand
    let all = get(&router, "/").await.body;
    assert!(all.contains("<details class=\"more\">"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_words_services_come_by_name_page_after_page() {
    let (index, _folder) = demonstration(60);
    let router = pages(index);
    let mut names = Vec::new();
    for page in 1..=3 {
        let page = get(&router, &format!("/?seite={page}")).await.body;
        let hits = page.split("hit__name\">").skip(1);
        names.extend(
            hits.filter_map(|it| it.split('>').nth(1)?.split('<').next().map(str::to_owned)),
        );
    }
    let mut sorted = names.clone();
    sorted.sort_by_cached_key(|it| crate::search::sort_key(it));
    assert_eq!((names.len(), names), (60, sorted));
    assert_eq!(get(&router, "/?seite=401").await.status, StatusCode::NOT_FOUND);
}

#[test]
fn field_names_of_the_demonstration_have_german_names() {
    for service in demo_records(|_| Land::SL).iter().take(5) {
        let versions = service.versions.iter().flat_map(|it| &it.demonstration_fields);
        for field in service.definition.demonstration_fields.iter().chain(versions) {
            assert_ne!(super::words::field(field), field, "{field} has no German name");
        }
    }
}

#[tokio::test]
async fn the_page_of_a_service_tells_who_owned_it_and_old_addresses_lead_to_it() {
    let [from, to] = [Land::SL, Land::HE].map(MemoryJournal::of);
    from.append(&[Item::Define(1, "Hundesteuer")]);
    from.append(&[Item::Release(1, "1.0.0")]);
    from.append(&[offer(1, Land::SL, Land::HE)]);
    let (index, _folder) = folded(&[from.clone(), to.clone()]);
    let address = |land: &str| format!("/leistungen/{land}/{}", uuid(1));
    let before = get(&pages(index), &address("SL")).await;
    assert!(!before.body.contains("Eigentümer"), "{}", before.body);

    to.append(&[take(1, &from.leaves()[2])]);
    let (index, _folder) = folded(&[from, to]);
    let pages = pages(index);
    for land in ["SL", "HE"] {
        let page = get(&pages, &address(land)).await;
        assert_eq!(page.status, StatusCode::OK);
        let has = |text: &str| assert!(page.body.contains(text), "{text}\n{}", page.body);
        has("Eigentümer");
        has("Leistung · Hessen");
        has("Saarland, von Anfang an");
        has("Hessen seit");
        has(&format!("{}/versionen/1.0.0", address("HE")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_answers_what_grpc_does_and_refuses_what_it_does_not_know() {
    let (index, _folder) = demonstration(3);
    let router = pages(index);
    let answer = get(&router, "/api/v1/services?page_size=1").await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let some = |name: &str| json["services"][0][name].clone();
    let id = some("service_id").as_str().unwrap().to_owned();
    let key = some("leistungsschluessel")[0].as_str().unwrap().to_owned();
    let service = format!("/api/v1/services/{id}");
    let asked = format!("/api/v1/resolve?leistungsschluessel={key}&ars=10");
    let early = "recorded_at=2001-01-01";
    let late = "seen_at=2099-12-31T00:00:00Z&recorded_at=2099-12-31";
    for (path, status, part) in [
        (asked.clone(), StatusCode::OK, "\"onlinedienste\""),
        (format!("{asked}&valid_at=1990-01-01"), StatusCode::OK, "\"valid_at\":\"1990-01-01\""),
        (format!("{asked}&{late}&proof=false&limit=1"), StatusCode::OK, "\"as_of\""),
        (format!("{asked}&proof=ja"), StatusCode::BAD_REQUEST, "true or false"),
        (format!("{asked}&valid_at=gestern"), StatusCode::BAD_REQUEST, "gestern"),
        (format!("{asked}&limit=1000"), StatusCode::BAD_REQUEST, "limit"),
        (asked.replace("ars", "gebiet"), StatusCode::BAD_REQUEST, "no parameter \\\"gebiet\\\""),
        (format!("{service}?{late}"), StatusCode::OK, &key),
        (format!("{service}?{early}"), StatusCode::NOT_FOUND, "service"),
        (format!("{service}/versions?{late}"), StatusCode::OK, "1.0.0"),
        (format!("{service}/versions/1.0.0?{early}"), StatusCode::NOT_FOUND, "detail"),
        (format!("{service}/resolve?valid_at=2026-06-01"), StatusCode::OK, "\"version\""),
        (format!("{service}/resolve?at=2026-06-01"), StatusCode::BAD_REQUEST, "known: requirement"),
        (format!("/api/v1/services?{early}"), StatusCode::OK, "\"as_of\""),
        ("/api/v1/services?seen_at=bald".to_owned(), StatusCode::BAD_REQUEST, "RFC"),
        (
            "/api/v1/search?land=SL&status=freigegeben&status=abgekuendigt".to_owned(),
            StatusCode::OK,
            "\"facets\"",
        ),
        ("/api/v1/search?status=x&typisierung=y".to_owned(), StatusCode::BAD_REQUEST, "detail"),
        ("/api/v1/suggest?q=ge&limit=3".to_owned(), StatusCode::OK, ""),
        ("/api/v1/status?land=SL".to_owned(), StatusCode::BAD_REQUEST, "known: none"),
    ] {
        let answer = get(&router, &path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(part), "{path}: {part:?} in {}", answer.body);
    }
}
