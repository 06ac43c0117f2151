//! Lets calls in within the quota of their certificate. Nodes of members have limits of their own.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};
use tower_service::Service;

use super::{paced::Paths, status::status};
use crate::{
    serving::{Meters, Pass, Shape},
    tls::Caller,
};

/// Layer over all services of a listener.
#[derive(Clone, Debug)]
pub struct Limited {
    meters: Meters,
    paths: Arc<Paths>,
}

/// A service under [`Limited`].
#[derive(Clone, Debug)]
pub struct LimitedService<S> {
    limited: Limited,
    inner: S,
}

/// An answer that holds its place until it was given.
struct Held {
    inner: Body,
    _pass: Pass,
}

// === impl Limited ===

impl Limited {
    /// Counts in `meters`.
    pub fn new(meters: Meters) -> Self {
        Self { meters, paths: Arc::new(Paths::of_protos()) }
    }
}

/// The place of a call, if its caller needs one.
pub(crate) fn pass(
    meters: &Meters,
    caller: Option<&Caller>,
    shape: Shape,
) -> Result<Option<Pass>, Box<Status>> {
    let Some(identity) = caller.map(|it| &it.identity) else { return Ok(None) };
    if identity.principal.peer.is_some() {
        return Ok(None);
    }
    let pass = meters.admit(&identity.spki, &identity.principal.pseudonym, shape);
    pass.map(Some).map_err(|reject| Box::new(status(reject)))
}

impl<S> tower::Layer<S> for Limited {
    type Service = LimitedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitedService { limited: self.clone(), inner }
    }
}

// === impl LimitedService ===

impl<S, B> Service<Request<B>> for LimitedService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_whole = self.limited.paths.is_whole(request.uri().path());
        let shape = if is_whole { Shape::Call } else { Shape::Stream };
        let caller = request.extensions().get::<Caller>();
        let pass = match pass(&self.limited.meters, caller, shape) {
            Ok(pass) => pass,
            Err(refused) => return Box::pin(std::future::ready(Ok(refused.into_http()))),
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(match (pass, shape) {
                (Some(pass), Shape::Stream) => {
                    answer.map(|inner| Body::new(Held { inner, _pass: pass }))
                }
                _ => answer,
            })
        })
    }
}

// === impl Held ===

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
