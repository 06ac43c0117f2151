//! The audit log: who did what, from where, when and with what outcome.
//!
//! Lines of JSON, chained by hashes (`line`), in files that only grow. Whoever did something writes
//! its line itself; a thread writes what nobody waits for, and syncs (`writer`). Acts reserve a
//! place before they begin ([`Audit::reserve`]), so that none is carried out without a trace:
//! without a place it is refused. Refusals are counted together and need none (`refusals`).
//!
//! Lines of administrative acts are synced before the act is acknowledged, those of others are
//! written before and synced within [`AUDIT_SYNC_MS`](registry_core::limits::AUDIT_SYNC_MS). After
//! a sync the core hears how far the log has come, and puts its head into the log of the Land.

mod anchors;
mod book;
mod files;
pub mod line;
mod live;
mod refusals;
mod syslog;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use registry_core::{audit::AuditHead, limits::AUDIT_LINES_WAITING_MAX, reject::Reject};
use tokio::sync::{mpsc, oneshot};

pub use anchors::{Anchor, AnchorError, Anchors};
pub use files::{FileError, Lines, RawLine};
pub use refusals::Refusal;
pub use syslog::{Target, TargetError, Wire, message};
pub use verify::{Break, Judgement, Run, Verdict, Why, verify};

use crate::{
    driver::Clock,
    lifecycle::{Shutdown, TaskKind},
    observe::Metrics,
};
use book::Book;
use live::Live;
use refusals::Refusals;
use writer::{Job, Pen, Wish, Writer};

/// Something that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Act {
    /// Name of a method, or of an act of the node itself.
    pub act: Cow<'static, str>,
    /// What became of it.
    pub outcome: Cow<'static, str>,
    /// Pseudonym of the principal.
    pub who: String,
    /// Names in its certificate.
    pub names: Vec<String>,
    /// Address.
    pub from: String,
    /// What it was done to.
    pub object: String,
    /// How often.
    pub count: u64,
    /// In words.
    pub note: String,
}

/// The way to the audit log. Clones share it.
#[derive(Clone, Debug)]
pub struct Audit {
    /// None traces nothing.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    queue: mpsc::Sender<Job>,
    pen: Pen,
    refusals: Mutex<Refusals>,
    /// Notes that found no place.
    lost: AtomicU64,
    failed: Arc<AtomicBool>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// A place in the queue, for one act.
#[derive(Debug)]
pub struct Place {
    /// None leaves no trace.
    taken: Option<(mpsc::OwnedPermit<Job>, Pen)>,
}

/// Where an audit log is kept and sent.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Data directory of the node.
    pub data_dir: &'a std::path::Path,
    /// Where lines are sent as they are written.
    pub syslog: Option<Target>,
    /// Name of the node, for those.
    pub node: &'a str,
    /// Clock of the node.
    pub clock: Clock,
    /// Where lines are counted.
    pub metrics: Arc<Metrics>,
}

/// The line of an act could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct Unwritten;

// === impl Act ===

impl Act {
    /// An act of the node itself.
    pub fn new(act: &'static str, outcome: &'static str) -> Self {
        Self { act: act.into(), outcome: outcome.into(), count: 1, ..Self::default() }
    }

    /// What it was done to.
    pub fn on(self, object: impl Into<String>) -> Self {
        Self { object: object.into(), ..self }
    }

    /// In words.
    pub fn because(self, note: impl Into<String>) -> Self {
        let note = note.into();
        // a line of the log is read as one line
        let is_one = !note.contains(['\n', '\r']);
        let note =
            if is_one { note } else { note.split_whitespace().collect::<Vec<_>>().join(" ") };
        Self { note, ..self }
    }
}

// === impl Audit ===

impl Audit {
    /// Traces nothing; for tests of other parts.
    pub fn nowhere() -> Self {
        Self { shared: None }
    }

    /// Opens the audit log in `<data_dir>/audit`, begins it if there is none, and starts its
    /// thread. A torn end is kept aside and named in the log.
    ///
    /// # Errors
    ///
    /// The files cannot be read, written or locked.
    pub fn open(setup: Setup<'_>, shutdown: &Shutdown) -> Result<Self, FileError> {
        let Setup { data_dir, syslog, node, clock, metrics } = setup;
        let no_thread = |source| {
            let (operation, path) = ("starting a thread", data_dir.join(DIR));
            FileError { operation, path, source }
        };
        let failed = Arc::new(AtomicBool::new(false));
        let book = Book::open(data_dir.join(DIR), clock.wall_ms())?;
        let live = |it| Live::start(it, node.to_owned(), metrics.clone(), shutdown);
        let live = syslog.map(live).transpose().map_err(no_thread)?;
        let pen = Pen::new(book, live, clock, metrics.clone(), failed.clone());
        let writer = Writer::new(pen.clone());
        let (queue, jobs) = mpsc::channel(AUDIT_LINES_WAITING_MAX);
        let (refusals, lost) = Default::default();
        let shared = Arc::new(Shared { queue, pen, refusals, lost, failed, clock, metrics });
        let thread = shutdown.spawn_thread(TaskKind::Audit, "audit", move || writer.run(jobs));
        thread.map_err(no_thread)?;
        let audit = Self { shared: Some(shared) };
        audit.tick(shutdown);
        Ok(audit)
    }

    /// From now on the core is told how far the log has come. `tell` may wait.
    pub async fn follow(&self, tell: impl FnMut(AuditHead, bool) + Send + 'static) {
        if let Some(shared) = &self.shared {
            // a thread that is gone has nothing to tell
            let _ = shared.queue.send(Job::Follow(Box::new(tell))).await;
        }
    }

    /// A place for an act that is about to begin.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] when too many lines wait, or the log cannot be written: the act MUST
    /// NOT be carried out.
    pub fn reserve(&self) -> Result<Place, Reject> {
        let Some(shared) = &self.shared else { return Ok(Place { taken: None }) };
        if shared.failed.load(Ordering::Relaxed) {
            shared.metrics.audit().refused();
            return Err(unwritten());
        }
        match shared.queue.clone().try_reserve_owned() {
            Ok(permit) => Ok(Place { taken: Some((permit, shared.pen.clone())) }),
            Err(mpsc::error::TrySendError::Full(_)) => {
                shared.metrics.audit().refused();
                Err(Reject::Unavailable {
                    reason: "AUDIT_FULL",
                    description: "the audit log of this node does not keep up, nothing is done \
                                  without a trace; try again later"
                        .to_owned(),
                })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(unwritten()),
        }
    }

    /// Notes what happened anyway, if there is a place; else it is counted.
    pub fn note(&self, act: Act) {
        let Some(shared) = &self.shared else { return };
        if shared.queue.try_send(Job::Line(act, Wish::Nothing)).is_err() {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes what happened; returns when the line is durable.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub async fn record(&self, act: Act) -> Result<(), Unwritten> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let (answer, answered) = oneshot::channel();
        let job = Job::Line(act, Wish::Durable { answer, soon: false });
        shared.queue.send(job).await.map_err(|_| Unwritten)?;
        answered.await.unwrap_or(Err(Unwritten))
    }

    /// Notes the last act, behind all refusals that were counted; returns when it is durable.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub async fn finish(&self, act: Act) -> Result<(), Unwritten> {
        let Some(shared) = &self.shared else { return Ok(()) };
        for refused in shared.due(true) {
            let job = Job::Line(refused, Wish::Nothing);
            shared.queue.send(job).await.map_err(|_| Unwritten)?;
        }
        self.record(act).await
    }

    /// Counts a refusal. Never waits.
    pub fn refused(&self, refusal: Refusal) {
        let Some(shared) = &self.shared else { return };
        let now = shared.clock.now().mono_ms;
        shared.refusals.lock().unwrap_or_else(PoisonError::into_inner).add(refusal, now);
    }

    /// Syncs and ends the thread. What is recorded afterwards is lost.
    pub async fn close(&self) {
        let Some(shared) = &self.shared else { return };
        let (answer, answered) = oneshot::channel();
        if shared.queue.send(Job::Close(answer)).await.is_ok() {
            let _ = answered.await;
        }
    }

    /// As if the disk had failed.
    #[cfg(test)]
    pub(crate) fn fail(&self) {
        if let Some(shared) = &self.shared {
            shared.failed.store(true, Ordering::Relaxed);
        }
    }

    /// Lets the thread look at the time.
    fn tick(&self, shutdown: &Shutdown) {
        let Some(shared) = self.shared.clone() else { return };
        let token = shutdown.token().clone();
        shutdown.spawn(TaskKind::Audit, async move {
            let mut interval = tokio::time::interval(TICK);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = token.cancelled() => return,
                    _ = interval.tick() => {}
                }
                for act in shared.due(false) {
                    if shared.queue.send(Job::Line(act, Wish::Nothing)).await.is_err() {
                        return;
                    }
                }
                if shared.queue.send(Job::Tick).await.is_err() {
                    return;
                }
            }
        });
    }
}

// === impl Shared ===

impl Shared {
    /// Lines that are due by the time.
    fn due(&self, stops: bool) -> Vec<Act> {
        let now = self.clock.now().mono_ms;
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = refusals.due(now, stops);
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            due.push(Act { count: lost, ..Act::new("audit.lost", "UNAVAILABLE") });
        }
        due
    }
}

// === impl Place ===

impl Place {
    /// Leaves the line of an act and does not wait for it.
    pub fn leave(self, act: Act) {
        if let Some((permit, _)) = self.taken {
            permit.send(Job::Line(act, Wish::Nothing));
        }
    }

    /// Writes the line of an act, on the caller's thread: one short write into the cache of the
    /// operating system costs less than waking another thread for it. Acts that end together are
    /// written as one: each leaves its line and lets the others go before it writes what is left.
    ///
    /// # Errors
    ///
    /// It could not be written; the act MUST NOT be acknowledged.
    pub async fn write(self, act: &Act) -> Result<(), Unwritten> {
        let Some((_permit, pen)) = self.taken else { return Ok(()) };
        let line = pen.push(act)?;
        // a call that is given up here has its line: whoever comes next writes it
        let_others_go().await;
        pen.write(line)
    }

    /// Leaves the line of an act and waits until it is synced; the head goes into the log of the
    /// Land soon then.
    ///
    /// # Errors
    ///
    /// It could not be written; the act MUST NOT be acknowledged.
    pub async fn record(self, act: Act) -> Result<(), Unwritten> {
        let Some((permit, _)) = self.taken else { return Ok(()) };
        let (answer, answered) = oneshot::channel();
        permit.send(Job::Line(act, Wish::Durable { answer, soon: true }));
        answered.await.unwrap_or(Err(Unwritten))
    }
}

/// Those tasks go first that can go on now. (`tokio::task::yield_now` also waits for those that may
/// come from the network.)
async fn let_others_go() {
    let mut went = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut went, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Why nothing is done while the log cannot be written.
pub(crate) fn unwritten() -> Reject {
    Reject::Unavailable {
        reason: "AUDIT_FAILED",
        description: "the audit log of this node could not be written, nothing is done without a \
                      trace; the node's log names the cause; repair it and restart the node"
            .to_owned(),
    }
}

/// Directory of the files in the data directory.
pub const DIR: &str = "audit";
const TICK: Duration = Duration::from_secs(1);
