//! Why the other side refuses a certificate of this node.
//!
//! In TLS 1.3 it says so after the handshake of this side has ended, as an alert in the first read.
//! HTTP/2 then reports that a call was cancelled and no more, so the alert is noted on its way.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The last alert on connections of one connector. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    last: Arc<Mutex<Option<AlertDescription>>>,
}

/// A stream whose alerts are noted.
pub struct Alerted<S> {
    stream: S,
    alerts: Alerts,
}

// === impl Alerts ===

impl Alerts {
    /// The alert that came since this was asked last.
    pub fn take(&self) -> Option<AlertDescription> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result
            && let Some(rustls::Error::AlertReceived(alert)) =
                error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>())
        {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(*alert);
        }
        result
    }
}

// === impl Alerted ===

impl<S> Alerted<S> {
    pub(crate) fn new(stream: S, alerts: Alerts) -> Self {
        Self { stream, alerts }
    }
}

impl<S: fmt::Debug> fmt::Debug for Alerted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerted").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Alerted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.alerts.note(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Alerted<S> {
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

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
