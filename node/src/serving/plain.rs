//! Connections without TLS, for loopback: monitoring, and the reading of the demo.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use registry_core::limits::PLAIN_CONNECTIONS_MAX;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_stream::wrappers::ReceiverStream;
use tracing::warn;

use super::Connection;
use crate::{
    lifecycle::{Shutdown, TaskKind},
    observe::Metrics,
};

/// A plain connection. Frees its place when dropped.
#[derive(Debug)]
pub(crate) struct PlainConnection {
    stream: TcpStream,
    remote: SocketAddr,
    _place: OwnedSemaphorePermit,
}

/// The connections of a plain listener, at most [`PLAIN_CONNECTIONS_MAX`] at a time; what comes
/// beyond is closed at once and counted.
pub(crate) fn plain(
    listener: &'static str,
    tcp: TcpListener,
    metrics: Arc<Metrics>,
    shutdown: &Shutdown,
) -> ReceiverStream<io::Result<PlainConnection>> {
    let (ready, connections) = mpsc::channel(1);
    let token = shutdown.token().clone();
    shutdown.spawn(TaskKind::Listener, async move {
        tokio::select! {
            () = accept(listener, tcp, &metrics, ready) => {}
            () = token.cancelled() => {}
        }
    });
    ReceiverStream::new(connections)
}

async fn accept(
    listener: &'static str,
    tcp: TcpListener,
    metrics: &Metrics,
    ready: mpsc::Sender<io::Result<PlainConnection>>,
) {
    let places = Arc::new(Semaphore::new(PLAIN_CONNECTIONS_MAX));
    loop {
        let (stream, remote) = match tcp.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(listener, %error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await; // out of file descriptors, as a rule
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            metrics.connections().ended(listener, TOO_MANY);
            continue;
        };
        let connection = PlainConnection { stream, remote, _place: place };
        if ready.send(Ok(connection)).await.is_err() {
            return;
        }
    }
}

// === impl PlainConnection ===

impl Connection for PlainConnection {
    type Peer = SocketAddr;

    fn peer(&self) -> SocketAddr {
        self.remote
    }
}

impl AsyncRead for PlainConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PlainConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Label of a connection that was closed before it was served.
const TOO_MANY: &str = "too_many";
