//! Streams with partners: what goes out, what comes in, who is dialled.
//!
//! A session is two halves. [`Outgoing`] is what the driver and the range tasks put messages
//! into: a control queue that goes first, and a bulk queue of two batches, so that a beacon never
//! waits behind more than what HTTP/2 has taken already. The other half reads and hands every
//! message to the driver; it reads no faster than the driver takes.

mod dial;
mod ranges;

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use registry_core::{authorize::PeerIdentity, node::Input};
use registry_proto::wire::peer::{Batch, PeerMessage, peer_message::Message};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{Instrument, debug, info, info_span};

pub(crate) use dial::connect;
pub use dial::{Connected, Peer, dial};
pub use ranges::Ranges;

use crate::{
    driver::{Event, Handle},
    lifecycle::{Shutdown, TaskKind},
};

/// Control messages that wait for a partner; one that lets them pile up is disconnected.
const CONTROL_MAX: usize = 1_024;
/// Batches that wait for a partner; range tasks wait when it is full.
const BULK_MAX: usize = 2;

/// The way out to a partner. Clones share the queues.
#[derive(Clone, Debug)]
pub struct Outgoing {
    control: mpsc::Sender<Message>,
    bulk: mpsc::Sender<Batch>,
    closed: CancellationToken,
}

/// What goes out, in order: control first, then batches.
#[derive(Debug)]
pub struct OutgoingStream {
    control: mpsc::Receiver<Message>,
    bulk: mpsc::Receiver<Batch>,
    closed: Pin<Box<tokio_util::sync::WaitForCancellationFutureOwned>>,
    bulk_ended: bool,
}

/// Opens the way out of a session.
pub fn channel() -> (Outgoing, OutgoingStream) {
    let (control, control_out) = mpsc::channel(CONTROL_MAX);
    let (bulk, bulk_out) = mpsc::channel(BULK_MAX);
    let closed = CancellationToken::new();
    let stream = OutgoingStream {
        control: control_out,
        bulk: bulk_out,
        closed: Box::pin(closed.clone().cancelled_owned()),
        bulk_ended: false,
    };
    (Outgoing { control, bulk, closed }, stream)
}

/// Runs the reading half until either side ends; the driver knows of the session meanwhile.
pub async fn run<S>(
    mut incoming: S,
    outgoing: Outgoing,
    peer: PeerIdentity,
    dialled: bool,
    driver: Handle,
) where
    S: Stream<Item = Result<Option<PeerMessage>, Status>> + Unpin + Send,
{
    let (session, land) = (driver.next_session(), peer.land);
    let span = info_span!("session", id = session.0, peer.land = %peer.land, peer.node, dialled);
    async move {
        let closed = outgoing.closed.clone();
        let _end = outgoing.closed.clone().drop_guard();
        let opened = Event::Session { session, peer, dialled, outgoing };
        if driver.send(opened).await.is_err() {
            return;
        }
        info!("session stands");
        let cause = loop {
            let next = tokio::select! {
                () = closed.cancelled() => break "closed here".to_owned(),
                next = incoming.next() => next,
            };
            let message = match next {
                None => break "closed by the partner".to_owned(),
                Some(Err(status)) => {
                    if let Some(fault) = fault_of(&status) {
                        // a driver that is gone counts nothing
                        let _ = driver.send(Event::Unreadable { land, fault }).await;
                    }
                    break format!("{:?}: {}", status.code(), status.message());
                }
                Some(Ok(message)) => message,
            };
            let Some(message) = message.and_then(|it| it.message) else {
                // protocol 1 agrees on all kinds it uses; a newer one announces itself in Hello
                debug!("skipping a message of an unknown kind");
                continue;
            };
            if driver.input(Input::Received { session, message }).await.is_err() {
                break "the node is stopping".to_owned();
            }
        };
        info!(cause, "session ended");
        // a driver that is gone has forgotten the session already
        let _ = driver.input(Input::SessionClosed { session }).await;
    }
    .instrument(span)
    .await;
}

/// Label of a stream that ended because of what the partner sent; none if it is just gone.
fn fault_of(status: &Status) -> Option<&'static str> {
    match status.code() {
        Code::OutOfRange => Some("message_size"),
        Code::Internal | Code::Unimplemented => Some("message"),
        _ => None,
    }
}

/// Runs [`run`] as a task of its own.
pub fn spawn<S>(
    incoming: S,
    outgoing: Outgoing,
    peer: PeerIdentity,
    driver: Handle,
    shutdown: &Shutdown,
) where
    S: Stream<Item = Result<Option<PeerMessage>, Status>> + Unpin + Send + 'static,
{
    let token = shutdown.token().clone();
    shutdown.spawn(TaskKind::Stream, async move {
        let close = outgoing.closed.clone();
        tokio::select! {
            () = run(incoming, outgoing, peer, false, driver) => {}
            () = token.cancelled() => close.cancel(),
        }
    });
}

/// Why a message is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The partner lets them pile up.
    NotTaken,
    /// The stream has ended: the partner is gone, or stops.
    Gone,
}

// === impl Outgoing ===

impl Outgoing {
    /// Queues a control message.
    ///
    /// # Errors
    ///
    /// Why it is not sent; the session ends then.
    pub(crate) fn send(&self, message: Message) -> Result<(), Unsent> {
        self.control.try_send(message).map_err(|error| {
            self.closed.cancel();
            match error {
                mpsc::error::TrySendError::Full(_) => Unsent::NotTaken,
                mpsc::error::TrySendError::Closed(_) => Unsent::Gone,
            }
        })
    }

    /// Waits for room in the bulk queue; false when the session has ended.
    pub(crate) async fn send_batch(&self, batch: Batch) -> bool {
        tokio::select! {
            () = self.closed.cancelled() => false,
            sent = self.bulk.send(batch) => sent.is_ok(),
        }
    }

    /// Ends both halves of the session.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }
}

// === impl OutgoingStream ===

impl Stream for OutgoingStream {
    type Item = PeerMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        match self.control.poll_recv(cx) {
            Poll::Ready(Some(message)) => {
                return Poll::Ready(Some(PeerMessage { message: Some(message) }));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        if self.bulk_ended {
            return Poll::Pending;
        }
        match self.bulk.poll_recv(cx) {
            Poll::Ready(Some(batch)) => {
                Poll::Ready(Some(PeerMessage { message: Some(Message::Batch(batch)) }))
            }
            Poll::Ready(None) => {
                self.bulk_ended = true;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
