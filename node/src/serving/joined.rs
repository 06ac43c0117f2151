//! A connection that writes what it has to say in a turn as one.
//!
//! HTTP/2 gives the head of an answer, its data and its trailers apart and asks for each to go out.
//! Each would be a record of TLS, a write, and a packet that wakes who reads. So what is written is
//! kept until the end of the turn of the connection's task, and goes out then.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is kept at most, in bytes: a record of TLS. More goes out at once.
const KEPT_MAX: usize = 16 << 10;

/// The connection, for who speaks HTTP over it.
#[derive(Debug)]
pub(super) struct Joined<C>(Arc<Mutex<Shared<C>>>);

/// The same connection, for who ends a turn.
#[derive(Debug)]
pub(super) struct Turns<C>(Arc<Mutex<Shared<C>>>);

#[derive(Debug)]
struct Shared<C> {
    inner: C,
    kept: BytesMut,
    /// Somebody asked for it to go out.
    asked: bool,
    /// More than is kept was written, and is with the connection until it is flushed.
    is_direct: bool,
    /// The connection did not take it: it wakes the task when it does, or when that takes too long.
    is_blocked: bool,
    /// Why what was kept could not go out, until somebody hears it.
    failed: Option<io::Error>,
}

/// A connection, and the handle that MUST end each turn of its task.
pub(super) fn joined<C>(inner: C) -> (Joined<C>, Turns<C>) {
    let shared = Shared {
        inner,
        kept: BytesMut::new(),
        asked: false,
        is_direct: false,
        is_blocked: false,
        failed: None,
    };
    let shared = Arc::new(Mutex::new(shared));
    (Joined(Arc::clone(&shared)), Turns(shared))
}

// === impl Turns ===

impl<C: AsyncWrite + Unpin> Turns<C> {
    /// Lets go out what was kept in this turn, as far as it is taken; the task is woken for the rest,
    /// and if it failed.
    pub(super) fn end(&self, cx: &mut Context<'_>) {
        let mut shared = lock(&self.0);
        let is_blocked = std::mem::take(&mut shared.is_blocked);
        if !shared.asked || (is_blocked && shared.kept.is_empty()) {
            return;
        }
        if let Poll::Ready(Err(error)) = shared.flush(cx) {
            shared.failed = Some(error);
            cx.waker().wake_by_ref();
        }
    }
}

// === impl Shared ===

impl<C: AsyncWrite + Unpin> Shared<C> {
    fn heard(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Writes what was kept; ready when the connection has taken all of it.
    fn write_kept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.heard()?;
        while !self.kept.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.kept))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.kept.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_kept(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        (self.asked, self.is_direct) = (false, false);
        Poll::Ready(Ok(()))
    }

    /// Whether so many bytes more may be kept.
    fn has_room(&self, bytes: usize) -> bool {
        self.kept.len() + bytes <= KEPT_MAX
    }
}

// === impl Joined ===

impl<C: AsyncRead + Unpin> AsyncRead for Joined<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).inner).poll_read(cx, buf)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Joined<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        shared.heard()?;
        let bytes = bufs.iter().map(|it| it.len()).sum();
        if shared.has_room(bytes) {
            bufs.iter().for_each(|it| shared.kept.extend_from_slice(it));
            return Poll::Ready(Ok(bytes));
        }
        ready!(shared.write_kept(cx))?;
        (shared.asked, shared.is_direct) = (true, true);
        let written = Pin::new(&mut shared.inner).poll_write_vectored(cx, bufs);
        shared.is_blocked = written.is_pending();
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        shared.heard()?;
        shared.asked = true;
        // what is more than a record waits for the connection
        let waits = shared.is_direct || !shared.has_room(1);
        if waits { shared.flush(cx) } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        ready!(shared.flush(cx))?;
        Pin::new(&mut shared.inner).poll_shutdown(cx)
    }
}

fn lock<C>(shared: &Mutex<Shared<C>>) -> MutexGuard<'_, Shared<C>> {
    // one task holds both ends
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Takes so many bytes at most, then is full.
    #[derive(Debug, Default)]
    struct Line {
        writes: Vec<Vec<u8>>,
        flushes: usize,
        room: usize,
        broken: bool,
        shut: bool,
    }

    impl AsyncWrite for Line {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let taken = buf.len().min(self.room);
            if taken == 0 {
                return Poll::Pending;
            }
            self.room -= taken;
            self.writes.push(buf[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.shut = true;
            Poll::Ready(Ok(()))
        }
    }

    fn line(room: usize) -> (Joined<Line>, Turns<Line>) {
        joined(Line { room, ..Line::default() })
    }

    fn end(turns: &Turns<Line>) {
        turns.end(&mut Context::from_waker(Waker::noop()));
    }

    fn writes(turns: &Turns<Line>) -> Vec<usize> {
        lock(&turns.0).inner.writes.iter().map(Vec::len).collect()
    }

    #[tokio::test]
    async fn what_is_said_in_a_turn_goes_out_as_one() {
        let (mut joined, turns) = line(usize::MAX);
        for part in [&b"head"[..], b"data", b"trailers"] {
            joined.write_all(part).await.unwrap();
            joined.flush().await.unwrap();
        }
        assert_eq!(writes(&turns), [0; 0]);
        end(&turns);
        assert_eq!(lock(&turns.0).inner.writes, [b"headdatatrailers"]);
        // nothing is left to say
        end(&turns);
        assert_eq!((writes(&turns).len(), lock(&turns.0).inner.flushes), (1, 1));
    }

    #[tokio::test]
    async fn what_was_not_asked_to_go_out_stays() {
        let (mut joined, turns) = line(usize::MAX);
        joined.write_all(b"head").await.unwrap();
        end(&turns);
        assert_eq!(writes(&turns), [0; 0]);
        joined.shutdown().await.unwrap();
        assert_eq!((writes(&turns), lock(&turns.0).inner.shut), (vec![4], true));
    }

    #[tokio::test]
    async fn no_more_than_a_record_is_kept() {
        let (mut joined, turns) = line(usize::MAX);
        joined.write_all(&[1; 100]).await.unwrap();
        joined.write_all(&[2; KEPT_MAX]).await.unwrap();
        // in its order
        assert_eq!(writes(&turns), [100, KEPT_MAX]);
        for _ in 0..5 {
            joined.write_all(&[3; 5_000]).await.unwrap();
            assert!(lock(&turns.0).kept.len() <= KEPT_MAX);
        }
        joined.flush().await.unwrap();
        end(&turns);
        assert_eq!(writes(&turns).iter().sum::<usize>(), 100 + KEPT_MAX + 25_000);
    }

    #[tokio::test]
    async fn a_slow_connection_takes_the_rest_later_and_holds_up_who_says_more() {
        let (mut joined, turns) = line(3);
        joined.write_all(b"answer").await.unwrap();
        joined.flush().await.unwrap();
        end(&turns);
        assert_eq!(writes(&turns), [3]);
        let mut cx = Context::from_waker(Waker::noop());
        let more = Pin::new(&mut joined).poll_write(&mut cx, &[0; KEPT_MAX]);
        assert!(more.is_pending());
        lock(&turns.0).inner.room = 100;
        end(&turns);
        assert_eq!(writes(&turns), [3, 3]);
    }

    #[tokio::test]
    async fn a_connection_that_takes_nothing_is_not_asked_to_flush() {
        // who guards it would take that for progress
        let (mut joined, turns) = line(0);
        let mut cx = Context::from_waker(Waker::noop());
        let large = Pin::new(&mut joined).poll_write(&mut cx, &[0; KEPT_MAX + 1]);
        assert!(large.is_pending());
        end(&turns);
        assert_eq!(lock(&turns.0).inner.flushes, 0);
        lock(&turns.0).inner.room = usize::MAX;
        joined.write_all(&[0; KEPT_MAX + 1]).await.unwrap();
        // what is large waits until it is flushed, so that not much waits behind it
        joined.flush().await.unwrap();
        assert_eq!(lock(&turns.0).inner.flushes, 1);
    }

    #[tokio::test]
    async fn who_writes_next_hears_that_it_failed() {
        let (mut joined, turns) = line(usize::MAX);
        joined.write_all(b"answer").await.unwrap();
        joined.flush().await.unwrap();
        lock(&turns.0).inner.broken = true;
        end(&turns);
        let heard = joined.flush().await.unwrap_err();
        assert_eq!(heard.kind(), io::ErrorKind::BrokenPipe);
    }
}
