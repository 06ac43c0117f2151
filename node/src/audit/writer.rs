//! The thread that owns the audit log: writes what waits as one, syncs once for all who ask.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use registry_core::{audit::AuditHead, limits::AUDIT_SYNC_MS};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::{
    audit::{Act, Unwritten, book::Book, files::FileError, live::Live},
    driver::Clock,
    lifecycle::chain,
    observe::Metrics,
};

/// Work for the thread.
pub(super) enum Job {
    /// A line, and what whoever leaves it waits for.
    Line(Act, Wish),
    /// Time has passed.
    Tick,
    /// Who wants to know how far the log has come.
    Follow(Tell),
    /// The last one.
    Close(oneshot::Sender<()>),
}

/// Takes the head after a sync, and whether an administrative act is among the new lines.
pub(super) type Tell = Box<dyn FnMut(AuditHead, bool) + Send>;

/// What someone waits for.
pub(super) enum Wish {
    Nothing,
    Written(oneshot::Sender<Result<(), Unwritten>>),
    Durable {
        answer: oneshot::Sender<Result<(), Unwritten>>,
        /// Whether the head is to be anchored soon.
        soon: bool,
    },
}

pub(super) struct Writer {
    book: Book,
    live: Option<Live>,
    clock: Clock,
    metrics: Arc<Metrics>,
    failed: Arc<AtomicBool>,
    tell: Option<Tell>,
    told: u64,
    /// Whether an administrative act is among what was not told.
    soon: bool,
    /// Since when, on the monotonic clock, something is written and not synced.
    dirty_ms: Option<u64>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Line(..) => "Line",
            Self::Tick => "Tick",
            Self::Follow(_) => "Follow",
            Self::Close(_) => "Close",
        })
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        mut book: Book,
        live: Option<Live>,
        clock: Clock,
        metrics: Arc<Metrics>,
        failed: Arc<AtomicBool>,
    ) -> Self {
        if live.is_some() {
            book.keep_written();
        }
        metrics.audit().set_lines(book.head().size);
        let (tell, told, soon, dirty_ms) = (None, 0, false, None);
        Self { book, live, clock, metrics, failed, tell, told, soon, dirty_ms }
    }

    /// Ends with [`Job::Close`], or when nobody is left to give it work.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BURST_MAX);
        while queue.blocking_recv_many(&mut jobs, BURST_MAX) > 0 {
            let (mut waiting, mut closing) = (Vec::new(), None);
            let mut sync = false;
            let mut outcome = self.known_outcome();
            for job in jobs.drain(..) {
                match job {
                    Job::Line(act, wish) => {
                        outcome = outcome.and_then(|()| self.push(&act));
                        match wish {
                            Wish::Nothing => {}
                            Wish::Written(answer) => waiting.push(answer),
                            Wish::Durable { answer, soon } => {
                                sync = true;
                                self.soon |= soon;
                                waiting.push(answer);
                            }
                        }
                    }
                    Job::Tick => sync |= self.is_overdue(),
                    Job::Follow(tell) => (self.tell, sync) = (Some(tell), true),
                    Job::Close(answer) => (closing, sync) = (Some(answer), true),
                }
            }
            let outcome = outcome.and_then(|()| self.write(sync));
            for answer in waiting {
                // who waited may have gone
                let _ = answer.send(outcome);
            }
            if sync && outcome.is_ok() {
                self.tell();
            }
            if let Some(answer) = closing {
                let _ = answer.send(());
                return;
            }
        }
    }

    fn known_outcome(&self) -> Result<(), Unwritten> {
        if self.failed.load(Ordering::Relaxed) { Err(Unwritten) } else { Ok(()) }
    }

    fn push(&mut self, act: &Act) -> Result<(), Unwritten> {
        let pushed = self.book.push(act, self.clock.wall_ms());
        self.dirty_ms.get_or_insert_with(|| self.clock.now().mono_ms);
        self.checked(pushed)
    }

    fn write(&mut self, sync: bool) -> Result<(), Unwritten> {
        let written = self.book.flush();
        self.checked(written)?;
        if let Some(live) = &self.live {
            live.send(self.book.take_written());
        }
        self.metrics.audit().set_lines(self.book.head().size);
        if sync && self.dirty_ms.take().is_some() {
            let synced = self.book.sync();
            self.checked(synced)?;
        }
        Ok(())
    }

    fn is_overdue(&self) -> bool {
        let now = self.clock.now().mono_ms;
        self.dirty_ms.is_some_and(|since| now.saturating_sub(since) >= AUDIT_SYNC_MS)
    }

    /// A file that failed once is not trusted again before a restart: what the kernel could not
    /// write it has forgotten.
    fn checked(&self, done: Result<(), FileError>) -> Result<(), Unwritten> {
        done.map_err(|failure| {
            if !self.failed.swap(true, Ordering::Relaxed) {
                let cause = chain(&failure);
                error!(cause, "the audit log cannot be written, acts are refused");
                self.metrics.audit().set_failed();
            }
            Unwritten
        })
    }

    fn tell(&mut self) {
        let head = self.book.head();
        if let Some(tell) = self.tell.as_mut().filter(|_| head.size > self.told) {
            self.told = head.size;
            tell(head.clone(), std::mem::take(&mut self.soon));
        }
    }
}

/// Jobs that are taken as one.
const BURST_MAX: usize = 1_024;
