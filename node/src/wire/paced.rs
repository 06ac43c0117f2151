//! The time a call may take to arrive, and what of it may be under way.
//!
//! A call whose request is one message must have sent it within a time, or it is refused; the
//! bytes of one identity that wait for the rest of their message are limited. Streams of requests
//! are bounded by who reads them. The deadline a client names (`grpc-timeout`) is kept too.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use prost::Message;
use registry_core::{limits::REQUEST_BYTES_UNDER_WAY_MAX, reject::Reject};
use registry_proto::wire::DESCRIPTORS;
use tokio::time::{Sleep, sleep, timeout};
use tonic::body::Body;
use tower_service::Service;

use crate::{
    serving::{Share, Shares, Whole},
    tls::Caller,
    wire::status::{status, too_slow},
};

/// Layer over all services of a listener.
#[derive(Clone, Debug)]
pub struct Paced {
    request: Duration,
    paths: Arc<Paths>,
    under_way: Arc<Shares<[u8; 32]>>,
}

/// A service under [`Paced`].
#[derive(Clone, Debug)]
pub struct PacedService<S> {
    paced: Paced,
    inner: S,
}

/// Which calls are of what shape.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Their requests are streams.
    streamed: HashSet<String>,
    /// Their answers are one message.
    whole: HashSet<String>,
}

/// A request of one message.
struct Arriving<B> {
    inner: Pin<Box<B>>,
    /// Begins when the message is first waited for.
    until: Option<Pin<Box<Sleep>>>,
    limit: Duration,
    held: Share<[u8; 32]>,
}

// === impl Paced ===

impl Paced {
    /// A message may take `request` to arrive.
    pub fn new(request: Duration) -> Self {
        Self {
            request,
            paths: Arc::new(Paths::of_protos()),
            under_way: Shares::new(REQUEST_BYTES_UNDER_WAY_MAX),
        }
    }

    fn body<B>(&self, request: Request<B>) -> Request<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if self.paths.streamed.contains(request.uri().path()) {
            return request.map(Body::new);
        }
        let identity = request.extensions().get::<Caller>().map(|it| it.identity.spki);
        let held = self.under_way.begin(identity.unwrap_or_default());
        let (until, limit) = (None, self.request);
        request.map(|inner| Body::new(Arriving { inner: Box::pin(inner), until, limit, held }))
    }
}

impl<S> tower::Layer<S> for Paced {
    type Service = PacedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PacedService { paced: self.clone(), inner }
    }
}

// === impl PacedService ===

impl<S, B> Service<Request<B>> for PacedService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let named = named_timeout(request.headers());
        let whole = self.paced.paths.whole.contains(request.uri().path());
        let answer = self.inner.call(self.paced.body(request));
        Box::pin(async move {
            let mut answer = match named {
                None => answer.await?,
                Some(limit) => match timeout(limit, answer).await {
                    Ok(answered) => answered?,
                    Err(_elapsed) => too_slow("the answer", limit).into_http(),
                },
            };
            if whole {
                answer.extensions_mut().insert(Whole);
            }
            Ok(answer)
        })
    }
}

// === impl Arriving ===

impl<B> http_body::Body for Arriving<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(next) = self.inner.as_mut().poll_frame(cx) else {
            let limit = self.limit;
            let until = self.until.get_or_insert_with(|| Box::pin(sleep(limit)));
            return match until.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(too_slow("the request", limit).into()))),
                Poll::Pending => Poll::Pending,
            };
        };
        let Some(Ok(frame)) = next else {
            return Poll::Ready(next.map(|it| it.map_err(Into::into)));
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if !self.held.grow(bytes) {
            let limit = "bytes of requests under way of one certificate";
            let max = REQUEST_BYTES_UNDER_WAY_MAX as u64;
            return Poll::Ready(Some(Err(status(Reject::Busy { limit, max }).into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Paths ===

impl Paths {
    /// True if the answer is one message.
    pub(super) fn is_whole(&self, path: &str) -> bool {
        self.whole.contains(path)
    }

    pub(super) fn of_protos() -> Self {
        // the descriptors are compiled in and a test reads them
        let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        let mut paths = Self::default();
        paths.streamed.extend(REFLECTION.iter().map(|it| (*it).to_owned()));
        for file in &set.file {
            for service in &file.service {
                for rpc in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), rpc.name());
                    if rpc.client_streaming() {
                        paths.streamed.insert(path.clone());
                    }
                    if !rpc.server_streaming() {
                        paths.whole.insert(path);
                    }
                }
            }
        }
        paths
    }
}

/// `grpc-timeout`: at most eight digits and a unit. One that cannot be read counts as none.
fn named_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_timeout_is_read_as_grpc_writes_it() {
        let check = |text: &str, expected: Option<Duration>| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(named_timeout(&headers), expected, "{text}");
        };
        check("5S", Some(Duration::from_secs(5)));
        check("99999999H", Some(Duration::from_secs(99_999_999 * 3_600)));
        check("250m", Some(Duration::from_millis(250)));
        check("7u", Some(Duration::from_micros(7)));
        check("7n", Some(Duration::from_nanos(7)));
        check("100000000S", None);
        check("S", None);
        check("", None);
        check("5", None);
        check("-5S", None);
        check("5x", None);
    }

    #[test]
    fn the_shape_of_calls_is_known() {
        let paths = Paths::of_protos();
        let check = |path: &str, streamed: bool, whole: bool| {
            assert_eq!(paths.streamed.contains(path), streamed, "{path}");
            assert_eq!(paths.whole.contains(path), whole, "{path}");
        };
        check("/verbund.peer.v1.PeerService/Session", true, false);
        check("/verbund.registry.v1.ArtefactService/PushChunk", true, true);
        check("/verbund.registry.v1.PublishService/Publish", false, true);
        check("/verbund.registry.v1.WatchService/Watch", false, false);
        check("/made.up/Call", false, false);
    }
}
