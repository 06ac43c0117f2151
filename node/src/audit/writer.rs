//! Who writes the audit log: whoever did something writes its line itself (`Pen`), and a thread
//! (`Writer`) writes what nobody waits for, and syncs once for all who ask.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
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
    Durable {
        answer: oneshot::Sender<Result<(), Unwritten>>,
        /// Whether the head is to be anchored soon.
        soon: bool,
    },
}

/// The audit log, for who writes into it. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pen(Arc<Mutex<Held>>);

#[derive(Debug)]
struct Held {
    /// None once it is closed.
    book: Option<Book>,
    live: Option<Live>,
    clock: Clock,
    metrics: Arc<Metrics>,
    failed: Arc<AtomicBool>,
    /// Since when, on the monotonic clock, something is written and not synced.
    dirty_ms: Option<u64>,
    /// Lines that are in the files.
    written: u64,
}

pub(super) struct Writer {
    pen: Pen,
    tell: Option<Tell>,
    told: u64,
    /// Whether an administrative act is among what was not told.
    soon: bool,
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

// === impl Pen ===

impl Pen {
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
        let written = book.head().size;
        metrics.audit().set_lines(written);
        let (book, dirty_ms) = (Some(book), None);
        Self(Arc::new(Mutex::new(Held { book, live, clock, metrics, failed, dirty_ms, written })))
    }

    /// Takes the line of an act; its number.
    ///
    /// # Errors
    ///
    /// It could not be written, or the log is closed.
    pub(super) fn push(&self, act: &Act) -> Result<u64, Unwritten> {
        self.lock().push(act)
    }

    /// Writes what was taken, up to a line at least, unless somebody did; it is in the file then, and
    /// synced within [`AUDIT_SYNC_MS`].
    ///
    /// # Errors
    ///
    /// It could not be written, or the log is closed.
    pub(super) fn write(&self, line: u64) -> Result<(), Unwritten> {
        let mut held = self.lock();
        if held.written > line {
            return Ok(());
        }
        held.flush()
    }

    /// Makes durable what is written and says how far that is. Others write meanwhile.
    fn sync(&self) -> Result<AuditHead, Unwritten> {
        let (file, head, is_dirty) = {
            let mut held = self.lock();
            // what was taken meanwhile is not synced by anybody else
            held.flush()?;
            let is_dirty = held.dirty_ms.take().is_some();
            let book = held.book.as_ref().ok_or(Unwritten)?;
            (book.file(), book.head().clone(), is_dirty)
        };
        if is_dirty {
            let synced = file.sync();
            self.lock().checked(synced)?;
        }
        Ok(head)
    }

    /// What is recorded afterwards is refused.
    fn close(&self) {
        let mut held = self.lock();
        // a failure is told, and whoever left a line that is not written hears it
        let flushed = held.flush();
        let file = held.book.take().map(|it| it.file());
        if let (Ok(()), Some(file), Some(_)) = (flushed, file, held.dirty_ms.take()) {
            let _ = held.checked(file.sync());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // a line is in the book or it is not, also when its writer could panic
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    /// Takes the line of an act; its number.
    fn push(&mut self, act: &Act) -> Result<u64, Unwritten> {
        let book = self.book.as_mut().filter(|_| !self.failed.load(Ordering::Relaxed));
        let book = book.ok_or(Unwritten)?;
        let pushed = book.push(act, self.clock.wall_ms());
        let line = book.head().size.saturating_sub(1);
        self.dirty_ms.get_or_insert_with(|| self.clock.now().mono_ms);
        self.checked(pushed).map(|()| line)
    }

    fn flush(&mut self) -> Result<(), Unwritten> {
        let book = self.book.as_mut().filter(|_| !self.failed.load(Ordering::Relaxed));
        let book = book.ok_or(Unwritten)?;
        let flushed = book.flush();
        let lines = book.head().size;
        if let (Ok(()), Some(live)) = (&flushed, &self.live) {
            live.send(book.take_written());
        }
        self.metrics.audit().set_lines(lines);
        self.checked(flushed)?;
        self.written = lines;
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
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(pen: Pen) -> Self {
        Self { pen, tell: None, told: 0, soon: false }
    }

    /// Ends with [`Job::Close`], or when nobody is left to give it work.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BURST_MAX);
        while queue.blocking_recv_many(&mut jobs, BURST_MAX) > 0 {
            let (mut waiting, mut closing, mut sync) = (Vec::new(), None, false);
            let mut written = Ok(());
            {
                let mut held = self.pen.lock();
                for job in jobs.drain(..) {
                    match job {
                        Job::Line(act, wish) => {
                            written = written.and_then(|()| held.push(&act).map(|_| ()));
                            if let Wish::Durable { answer, soon } = wish {
                                sync = true;
                                self.soon |= soon;
                                waiting.push(answer);
                            }
                        }
                        Job::Tick => sync |= held.is_overdue(),
                        Job::Follow(tell) => (self.tell, sync) = (Some(tell), true),
                        Job::Close(answer) => (closing, sync) = (Some(answer), true),
                    }
                }
                written = written.and_then(|()| held.flush());
            }
            if sync {
                let synced = written.and_then(|()| self.pen.sync());
                // before the answer: whoever is about to stop the node counts on it
                let synced = synced.map(|head| self.tell(head));
                for answer in waiting {
                    // who waited may have gone
                    let _ = answer.send(synced);
                }
            }
            if let Some(answer) = closing {
                self.pen.close();
                let _ = answer.send(());
                return;
            }
        }
    }

    fn tell(&mut self, head: AuditHead) {
        if let Some(tell) = self.tell.as_mut().filter(|_| head.size > self.told) {
            self.told = head.size;
            tell(head, std::mem::take(&mut self.soon));
        }
    }
}

/// Jobs that are taken as one.
const BURST_MAX: usize = 1_024;
