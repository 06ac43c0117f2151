//! The one owner of the core: takes an input, calls `handle`, performs the effects.
//!
//! Nothing else changes [`Node`]. Others hold a [`Handle`]; what they send waits in one bounded
//! queue (`inbox`), and one at a time takes it from there (`desk`). No effect blocks: signing and disks
//! are with the [`writer`] threads, reading and sending of ranges with the tasks of the session.

mod desk;
mod drive;
mod inbox;
mod perform;
pub mod writer;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use registry_core::{
    Ordered, Pulse,
    authorize::PeerIdentity,
    log::Published,
    node::{Input, Node},
    now::Now,
    reject::Reject,
    replicate::SessionId,
    submission::Submission,
};
use registry_proto::terms::{Date, Land};
use tokio::sync::oneshot;

use desk::Desk;
use drive::Drive;
use inbox::{Inbox, Post, inbox};
use perform::Performer;
pub use perform::{ShowStatus, Surroundings};

use crate::{
    lifecycle::{Shutdown, TaskKind},
    sessions::Outgoing,
};

/// Time between ticks, milliseconds.
const TICK_MS: u64 = 200;

/// The clocks of a node; everything in it that asks for the time asks this.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    ahead_ms: i64,
    skew: Option<&'static Skew>,
}

/// By how much a test has moved the clocks of a node while it runs.
#[derive(Debug, Default)]
pub struct Skew {
    /// Both clocks are ahead by this, milliseconds.
    pub passed_ms: AtomicU64,
    /// The wall clock alone was set by this, milliseconds.
    pub set_ms: AtomicI64,
}

/// What reaches the driver: inputs of the core, and what only the shell knows of them.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something happened.
    Input(Input),
    /// Someone publishes and waits.
    Publish { submission: Submission, answer: oneshot::Sender<Result<Published, Reject>> },
    /// An operator votes and waits until it is staged.
    Vote { principal: String, body: Bytes, answer: oneshot::Sender<Result<Published, Reject>> },
    /// A stream with a partner stands; what is for it goes to `outgoing`.
    Session { session: SessionId, peer: PeerIdentity, dialled: bool, outgoing: Outgoing },
    /// A message of a partner could not be read; its stream has ended.
    Unreadable { land: Land, fault: &'static str },
    /// The node is about to stop: it says what it has to say, and answers when partners have it.
    Leave { left: oneshot::Sender<()> },
}

/// The way to the driver. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Handle {
    post: Post,
    desk: Arc<Desk<Drive>>,
    sessions: Arc<AtomicU64>,
    /// Of the node; before its first input a thing of the past, so that every order is void.
    pulse: Arc<Mutex<Pulse>>,
    clock: Clock,
}

/// The driver before it runs.
#[derive(Debug)]
pub struct Driver {
    inbox: Inbox,
    handle: Handle,
}

/// The driver has ended; the node stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is stopping")]
pub struct Stopping;

// === impl Clock ===

impl Clock {
    /// Starts the monotonic clock.
    pub fn start() -> Self {
        Self::ahead(Duration::ZERO)
    }

    /// A clock whose wall shows a later time, for a node that tests what comes with the months.
    pub fn ahead(by: Duration) -> Self {
        let ahead_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self { start: Instant::now(), ahead_ms, skew: None }
    }

    /// A clock that is moved while the node runs, for tests of what takes long or should not happen.
    pub fn skewed(skew: &'static Skew) -> Self {
        Self { skew: Some(skew), ..Self::start() }
    }

    fn passed_ms(&self) -> u64 {
        self.skew.map_or(0, |it| it.passed_ms.load(Ordering::Relaxed))
    }

    /// Both clocks now.
    pub fn now(&self) -> Now {
        let mono = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        // not zero, so that "long ago" can be expressed
        let mono_ms = mono.saturating_add(self.passed_ms()).saturating_add(1);
        Now { mono_ms, wall_ms: self.wall_ms() }
    }

    /// Wall clock, milliseconds since 1970-01-01 UTC.
    pub fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX));
        let set_ms = self.skew.map_or(0, |it| it.set_ms.load(Ordering::Relaxed));
        since
            .saturating_add(self.ahead_ms)
            .saturating_add_unsigned(self.passed_ms())
            .saturating_add(set_ms)
    }

    /// The day by the wall clock.
    pub fn today(&self) -> Date {
        Date::from_unix_ms(self.wall_ms())
    }
}

// === impl Handle ===

impl Handle {
    /// Publishes and waits for the answer; it is bounded by the core's limits. Drives the core if a
    /// group is made up with it.
    ///
    /// # Errors
    ///
    /// What the core refuses, or [`Reject::Unavailable`] when the node stops.
    pub async fn publish(&self, submission: Submission) -> Result<Published, Reject> {
        let (answer, answered) = oneshot::channel();
        let event = Event::Publish { submission, answer };
        if self.post.send(event).await.map_err(|_| stopping())? {
            self.desk.look_here();
        }
        answered.await.map_err(|_| stopping())?
    }

    /// Stages a vote about the next charter; it is said when it comes back from the log.
    ///
    /// # Errors
    ///
    /// What the core refuses, or [`Reject::Unavailable`] when the node stops.
    pub async fn vote(&self, principal: String, body: Bytes) -> Result<(), Reject> {
        let (answer, answered) = oneshot::channel();
        let event = Event::Vote { principal, body, answer };
        self.send(event).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?.map(|_| ())
    }

    /// Has the node say what it has to say before it stops, and returns when every partner that is
    /// connected holds what this node wrote. Partners MUST still be served, and what is published from
    /// now on is refused. Callers MUST NOT wait without a limit: a partner may be slow, or gone.
    pub(crate) async fn leave(&self) {
        let (left, done) = oneshot::channel();
        if self.send(Event::Leave { left }).await.is_ok() {
            // a driver that is gone has nothing to say
            let _ = done.await;
        }
    }

    /// The clock of the node.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether the node stood still since this was ordered; see [`Ordered`].
    pub(crate) fn is_void(&self, ordered: Ordered) -> bool {
        // the clock after the pulse: a process can stop between the two
        let pulse = *self.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        ordered.is_void(pulse, self.clock.now())
    }

    fn beats(&self, pulse: Pulse) {
        *self.pulse.lock().unwrap_or_else(PoisonError::into_inner) = pulse;
    }

    /// A name for a new session.
    pub(crate) fn next_session(&self) -> SessionId {
        SessionId(self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn send(&self, event: Event) -> Result<(), Stopping> {
        if self.post.send(event).await? {
            self.desk.ring();
        }
        Ok(())
    }

    pub(crate) async fn input(&self, input: Input) -> Result<(), Stopping> {
        self.send(Event::Input(input)).await
    }

    /// From a thread of its own, never from a task.
    pub fn input_blocking(&self, input: Input) -> Result<(), Stopping> {
        if self.post.send_blocking(Event::Input(input))? {
            self.desk.ring();
        }
        Ok(())
    }

    /// As [`input_blocking`](Self::input_blocking) for what publishers wait for: drives the core, if
    /// nobody does.
    pub(crate) fn input_here(&self, input: Input) -> Result<(), Stopping> {
        if self.post.send_blocking(Event::Input(input))? {
            self.desk.look_here();
        }
        Ok(())
    }
}

fn stopping() -> Reject {
    Reject::Unavailable {
        reason: "SHUTTING_DOWN",
        description: "this node is stopping; use another node or try again later".to_owned(),
    }
}

// === impl Driver ===

impl Driver {
    /// A driver and the way to it; inputs wait until it runs.
    pub fn new(clock: Clock) -> Self {
        let (post, inbox) = inbox();
        let desk = Arc::new(Desk::new(post.bell(), clock));
        let sessions = Arc::new(AtomicU64::new(1));
        let handle = Handle { post, desk, sessions, pulse: Arc::default(), clock };
        Self { inbox, handle }
    }

    /// The way to the driver.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until `engine` stops, with a thread of its own; what it starts for partners belongs to
    /// `streams`, which MUST stop first. MUST be called within a runtime.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn run(
        self,
        node: Node,
        surroundings: Surroundings,
        engine: &Shutdown,
        streams: &Shutdown,
    ) -> std::io::Result<()> {
        let Self { inbox, handle } = self;
        let ticker = handle.clone();
        let token = engine.token().clone();
        engine.spawn(TaskKind::Driver, async move {
            let mut interval = tokio::time::interval(Duration::from_millis(TICK_MS));
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            // goes on until the driver has ended: it looks at its time when something comes
            loop {
                let stops = token.is_cancelled();
                tokio::select! {
                    () = ticker.post.closed() => break,
                    () = token.cancelled(), if !stops => {}
                    _ = interval.tick() => {}
                }
                if ticker.input(Input::Tick).await.is_err() {
                    break;
                }
            }
        });
        let performer = Performer::new(surroundings, handle.clone(), streams.clone());
        let desk = Arc::clone(&handle.desk);
        desk.opens(Drive::new(inbox, node, performer, handle, engine.token().clone()));
        let staying = Arc::clone(&desk);
        let begun = engine.spawn_thread(TaskKind::Driver, "driver", move || staying.stay());
        begun.inspect_err(|_| desk.closes())
    }
}
