//! Serves the connections of every listener: HTTP within limits, and a count of how each ended.
//!
//! What holds against clients that are slow, silent or too fast stands here, once for all
//! listeners: the time for the head of the first request (`guarded`), the limits of HTTP/2, the
//! end of a connection that takes nothing. What a connection says in a turn goes out as one
//! (`joined`). Who may connect was decided before.

mod ended;
mod guarded;
mod joined;
mod plain;
mod quota;
mod shares;
mod streams;

use std::{
    error::Error,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use registry_core::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::{Stream, StreamExt};
use tower::ServiceExt;
use tower_service::Service;
use tracing::debug;

pub use self::{
    ended::Ended,
    quota::{Meters, Pass, Quota, Shape},
};
use self::{guarded::Guarded, joined::joined, streams::Streams};
pub(crate) use self::{
    plain::plain,
    shares::{Share, Shares},
    streams::Whole,
};
use crate::{
    lifecycle::{Shutdown, TaskKind, chain},
    observe::Metrics,
};

/// How long a client may take for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The TLS handshake.
    pub handshake: Duration,
    /// From the handshake, or the answer before, to the end of the head of a request.
    pub head: Duration,
    /// The message of a call that has one.
    pub request: Duration,
    /// A whole answer, from the time it is ready until it is taken.
    pub answer: Duration,
    /// A connection that does not take what is written ends after this long.
    pub stall: Duration,
}

/// A connection and who is at its other end.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Goes with every request, as an extension and as axum's `ConnectInfo`.
    type Peer: Clone + Send + Sync + 'static;

    /// Who is at the other end.
    fn peer(&self) -> Self::Peer;
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/2, for gRPC.
    Http2,
    /// HTTP/1.1 and HTTP/2.
    Http,
}

/// Serves one listener.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Label of the metrics.
    pub(crate) listener: &'static str,
    pub(crate) speaks: Speaks,
    pub(crate) patience: Patience,
    pub(crate) metrics: Arc<Metrics>,
}

type BoxError = Box<dyn Error + Send + Sync>;

// === impl Patience ===

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_millis(limits::HANDSHAKE_MS_MAX),
            head: Duration::from_millis(limits::REQUEST_HEAD_MS_MAX),
            request: Duration::from_millis(limits::REQUEST_MS_MAX),
            answer: Duration::from_millis(limits::ANSWER_MS_MAX),
            stall: Duration::from_millis(limits::WRITE_STALL_MS_MAX),
        }
    }
}

// === impl Server ===

impl Server {
    /// Serves every connection with a clone of `service`, until `connections` ends or `shutdown`;
    /// calls under way are finished then.
    pub(crate) fn serve<C, E, S, B>(
        self,
        connections: impl Stream<Item = Result<C, E>> + Send + 'static,
        service: S,
        shutdown: &Shutdown,
    ) where
        C: Connection,
        E: Send,
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let tasks = shutdown.clone();
        shutdown.spawn(TaskKind::Listener, async move {
            let mut connections = pin!(connections);
            loop {
                let next = tokio::select! {
                    () = tasks.token().cancelled() => break,
                    next = connections.next() => next,
                };
                match next {
                    Some(Ok(connection)) => {
                        let server = self.clone();
                        let (service, stopping) = (service.clone(), tasks.clone());
                        tasks.spawn(TaskKind::Connection, async move {
                            server.connection(connection, service, &stopping).await;
                        });
                    }
                    Some(Err(_)) => {} // counted where it was refused
                    None => break,
                }
            }
        });
    }

    async fn connection<C, S, B>(self, connection: C, service: S, shutdown: &Shutdown)
    where
        C: Connection,
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let peer = connection.peer();
        // what is no gRPC has whole answers only
        let whole = self.speaks == Speaks::Http;
        let call = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer.clone()));
            request.extensions_mut().insert(peer.clone());
            let answer = service.clone().oneshot(request);
            async move {
                let answer = answer.await;
                let marked = |it: &Response<B>| it.extensions().get::<Whole>().is_some();
                if whole || answer.as_ref().is_ok_and(marked) {
                    streams::answered();
                }
                answer
            }
        });
        let open = self.metrics.connections().open(self.listener);
        let (io, turns) = joined(Guarded::new(connection, self.speaks, &self.patience));
        let builder = self.builder();
        let mut served = pin!(builder.serve_connection(TokioIo::new(io), call));
        let mut stops = pin!(shutdown.token().cancelled());
        let mut asked = false;
        let outcome = poll_fn(|cx| {
            if !asked && stops.as_mut().poll(cx).is_ready() {
                asked = true;
                served.as_mut().graceful_shutdown();
            }
            let polled = served.as_mut().poll(cx);
            turns.end(cx);
            polled
        });
        let outcome = outcome.await;
        let ended = match &outcome {
            Ok(()) => Ended::Closed,
            Err(error) => {
                let (listener, cause) = (self.listener, chain(error.as_ref()));
                debug!(listener, cause, "connection ended");
                Ended::of(error.as_ref())
            }
        };
        drop(open);
        self.metrics.connections().ended(self.listener, ended.label());
    }

    fn builder(&self) -> Builder<Streams> {
        let mut builder = Builder::new(Streams {
            listener: self.listener,
            answer: self.patience.answer,
            metrics: self.metrics.clone(),
        });
        if self.speaks == Speaks::Http2 {
            builder = builder.http2_only();
        }
        let beacon = Duration::from_millis(limits::BEACON_MS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(beacon)
            .keep_alive_timeout(beacon)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(2 * WINDOW_BYTES)
            .max_concurrent_streams(limits::STREAMS_PER_CONNECTION_MAX)
            .max_pending_accept_reset_streams(limits::STREAM_RESETS_MAX)
            .max_local_error_reset_streams(limits::STREAM_ERRORS_MAX)
            .max_header_list_size(limits::HEADER_LIST_BYTES_MAX);
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience.head)
            .max_buf_size(limits::HTTP1_BUFFER_BYTES_MAX)
            .half_close(false);
        builder
    }
}

/// HTTP/2 flow control window of a stream: two batches of a log.
pub(crate) const WINDOW_BYTES: u32 = 4 << 20;
