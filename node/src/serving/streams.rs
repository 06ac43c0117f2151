//! Streams of HTTP/2 that must take their answer.
//!
//! With a window of nothing a client lets answers wait at the node for ever, each as large as a
//! message. hyper does not ask for the body of an answer then, so the limit cannot stand there: it
//! stands where a stream is run, and ending the stream frees what it holds.

use std::{
    cell::Cell,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::{Sleep, sleep};

use crate::observe::Metrics;

/// Marks an answer that is one whole: it must be taken within a time. Other answers may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole;

/// Runs the streams of a listener.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) listener: &'static str,
    pub(super) answer: Duration,
    pub(super) metrics: Arc<Metrics>,
}

tokio::task_local! {
    /// Of the stream that runs: whether it has a whole answer to give.
    static ANSWERED: Cell<bool>;
}

/// Tells the stream that runs that its answer is ready and a whole.
pub(super) fn answered() {
    // HTTP/1 has no streams; there the connection must take what is written
    let _ = ANSWERED.try_with(|it| it.set(true));
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let Self { listener, answer, metrics } = self.clone();
        let work = async move {
            let mut stream = pin!(stream);
            let mut until: Option<Pin<Box<Sleep>>> = None;
            let taken = std::future::poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                if until.is_none() && ANSWERED.with(Cell::get) {
                    until = Some(Box::pin(sleep(answer)));
                }
                match &mut until {
                    Some(until) => until.as_mut().poll(cx).map(|()| false),
                    None => Poll::Pending,
                }
            });
            if !taken.await {
                metrics.connections().answer_dropped(listener);
            }
        };
        #[expect(clippy::disallowed_methods, reason = "ends with its connection, which is a task")]
        tokio::spawn(ANSWERED.scope(Cell::new(false), work));
    }
}
