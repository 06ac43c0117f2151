//! What holds for every answer of the web port: bounds of the address, headers that keep a browser
//! from running or loading what is not ours, and validators for its cache.

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

use super::{Face, error::Refused};

/// Bytes of a query; a search of the most characters fits in, each of them encoded.
const QUERY_BYTES_MAX: usize = 16 << 10;
/// Bytes of the path of a page.
const PATH_BYTES_MAX: usize = 1 << 10;
/// Bytes of a page.
const PAGE_BYTES_MAX: usize = 16 << 20;

const _: () = assert!(QUERY_BYTES_MAX >= 3 * 4 * registry_core::limits::QUERY_CHARS_MAX + 1_024);

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        // the icons of the design system are in its stylesheet, as data: URLs
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self' data:; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Refuses long addresses, adds the headers, and answers 304 for a page that did not change.
pub(in crate::web) async fn guard(
    State(face): State<Face>,
    request: Request,
    next: Next,
) -> Response {
    let uri = request.uri();
    let too_long = uri.path().len() > PATH_BYTES_MAX
        || uri.query().is_some_and(|it| it.len() > QUERY_BYTES_MAX);
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let readable = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut answer =
        if too_long { Refused::TooLong.answer(&face.bare()) } else { next.run(request).await };
    if readable && answer.status() == StatusCode::OK && is_page(&answer) {
        answer = validated(answer, known.as_ref()).await;
    }
    let headers = answer.headers_mut();
    headers.extend(HEADERS);
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    answer
}

fn is_page(answer: &Response) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|it| it.as_bytes().starts_with(b"text/html"))
}

/// A page with a validator over its bytes; without the bytes if the caller has them.
async fn validated(answer: Response, known: Option<&HeaderValue>) -> Response {
    let (mut head, body) = answer.into_parts();
    let Ok(bytes) = to_bytes(body, PAGE_BYTES_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..16]));
    // hexadecimal digits are a header value
    let Ok(value) = HeaderValue::from_str(&tag) else {
        return Response::from_parts(head, Body::from(bytes));
    };
    let has = known
        .and_then(|it| it.to_str().ok())
        .is_some_and(|known| known.split(',').any(|it| it.trim().trim_start_matches("W/") == tag));
    head.headers.insert(header::ETAG, value);
    if has {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(bytes))
}
