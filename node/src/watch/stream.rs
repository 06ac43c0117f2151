//! A watch as a stream.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use registry_core::reject::Reject;
use registry_proto::wire::registry::WatchResponse;
use tokio_stream::Stream;

use super::Watcher;

type Step = (Box<Watcher>, Result<WatchResponse, Reject>);

/// The messages of a watch. Works only while it is polled; ends after an error.
pub struct WatchStream(State);

enum State {
    Idle(Box<Watcher>),
    Busy(Pin<Box<dyn Future<Output = Step> + Send>>),
    Ended,
}

// === impl WatchStream ===

impl WatchStream {
    pub(super) fn new(watcher: Watcher) -> Self {
        Self(State::Idle(Box::new(watcher)))
    }
}

impl Stream for WatchStream {
    type Item = Result<WatchResponse, Reject>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut step = match std::mem::replace(&mut self.0, State::Ended) {
            State::Idle(mut watcher) => Box::pin(async move {
                let message = watcher.next().await;
                (watcher, message)
            }),
            State::Busy(step) => step,
            State::Ended => return Poll::Ready(None),
        };
        let Poll::Ready((watcher, message)) = step.as_mut().poll(context) else {
            self.0 = State::Busy(step);
            return Poll::Pending;
        };
        if message.is_ok() {
            self.0 = State::Idle(watcher);
        }
        Poll::Ready(Some(message))
    }
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchStream")
    }
}
