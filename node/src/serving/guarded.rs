//! A connection that must begin in time and take what is written.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{Connection, Patience, Speaks};

/// Bytes of the preface of HTTP/2, by which a connection has begun.
const PREFACE_BYTES: usize = 24;
/// What a connection with a backlog must take within the time for it: half a kilobyte a second
/// with the default.
const PROGRESS_BYTES_MIN: usize = 16 << 10;

/// Ends a connection that does not begin within `head`, or that has a backlog and takes less than
/// [`PROGRESS_BYTES_MIN`] within `stall`.
#[derive(Debug)]
pub(super) struct Guarded<C> {
    inner: C,
    /// While the first bytes are awaited.
    beginning: Option<(Pin<Box<Sleep>>, usize)>,
    /// An answer before the preface means HTTP/1, whose heads have a time limit of their own.
    answer_is_begin: bool,
    /// While what was written waits to be taken.
    backlog: Option<(Pin<Box<Sleep>>, usize)>,
    stall: Duration,
}

// === impl Guarded ===

impl<C> Guarded<C> {
    pub(super) fn new(inner: C, speaks: Speaks, patience: &Patience) -> Self
    where
        C: Connection,
    {
        Self {
            inner,
            beginning: Some((Box::pin(sleep(patience.head)), PREFACE_BYTES)),
            answer_is_begin: speaks == Speaks::Http,
            backlog: None,
            stall: patience.stall,
        }
    }

    /// Judges a write that came out like this.
    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match &outcome {
            Poll::Ready(Ok(it)) => {
                if self.answer_is_begin {
                    self.beginning = None;
                }
                if let Some((_, taken)) = &mut self.backlog {
                    *taken += bytes(it);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let stall = self.stall;
                let (until, taken) =
                    self.backlog.get_or_insert_with(|| (Box::pin(sleep(stall)), 0));
                while until.as_mut().poll(cx).is_ready() {
                    if *taken < PROGRESS_BYTES_MIN {
                        let why = "the client does not take what is written";
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
                    }
                    *taken = 0;
                    until.as_mut().reset(Instant::now() + stall);
                }
            }
        }
        outcome
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Guarded<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if let Some((until, missing)) = &mut self.beginning {
            *missing = missing.saturating_sub(read);
            if *missing == 0 {
                self.beginning = None;
            } else if outcome.is_pending() && until.as_mut().poll(cx).is_ready() {
                let why = "the client does not begin";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
        }
        outcome
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Guarded<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(cx, outcome, |it| *it)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        let outcome = self.wrote(cx, outcome, |()| 0);
        if matches!(outcome, Poll::Ready(Ok(()))) {
            self.backlog = None;
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.wrote(cx, outcome, |()| 0)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(cx, outcome, |it| *it)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
