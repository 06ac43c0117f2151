//! How tasks start, die and are drained.
//!
//! [`Shutdown::spawn`] is the only place that starts a task; its [`TaskKind`] says what an error
//! or a panic in it means. A task that matters to the whole node stops the process in order; one
//! that serves a single partner or caller only leaves a line in the log.

use std::{
    any::Any,
    error::Error,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, OnceLock},
    task::Poll,
    thread,
    time::Duration,
};

use registry_proto::terms::LogId;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

/// What a task does for the node, and with that what its death means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// One TLS handshake or one connection.
    Connection,
    /// One gRPC stream, watch or peer session.
    Stream,
    /// Accepts connections.
    Listener,
    /// Owns the core, a journal writer, the folder or the store writer.
    Driver,
    /// Starts and restarts the sessions with partners.
    SessionSupervisor,
    /// Follows, fetches and collects artefacts.
    Artefacts,
    /// Ends erasures.
    Erasures,
    /// Waits for SIGINT and SIGTERM.
    Signals,
    /// Follows the data package.
    Data,
    /// Writes the audit log; without it nothing is done but reads.
    Audit,
    /// Loads certificates anew and ends connections without a good one.
    Certificates,
    /// Counts votes about the next charter.
    Charters,
    /// Follows what is found damaged while the node runs.
    Damage,
}

/// What the error or panic of a task leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeath {
    /// A line in the log; the node goes on.
    Log,
    /// The node shuts down in order and reports the cause.
    StopProcess,
}

/// Why the node stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// Asked for, by a signal ("SIGTERM") or by the admin service.
    Requested(&'static str),
    /// Another charter is in force and kept; the node begins again under it.
    Charter {
        /// Its number.
        number: u64,
    },
    /// An epoch of a log ended, or what the own one rests on came back; the node begins again.
    Epoch {
        /// Which.
        log: LogId,
    },
    /// What is here of a log, or its end, is not what counts; the node begins again without it.
    SetAside {
        /// Which.
        log: LogId,
    },
    /// A task the node cannot do without failed or panicked.
    TaskDied {
        /// Which.
        kind: TaskKind,
        /// Error chain or panic message.
        cause: String,
    },
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every task ended.
    Clean,
    /// The grace period passed first.
    TimedOut {
        /// Tasks still running; they are dropped with the runtime.
        remaining: usize,
    },
}

/// Starts tasks and ends them all, in two steps: it is asked to ([`Shutdown::request`]), and tasks are
/// told to end ([`Shutdown::drain`]). In between a node says what partners shall still hear. Clones
/// share one state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    asked: CancellationToken,
    token: CancellationToken,
    tracker: TaskTracker,
    cause: Arc<OnceLock<StopCause>>,
}

/// What a task may return.
pub trait TaskOutput: Send + 'static {
    /// The error, if the task failed.
    fn into_failure(self) -> Option<Box<dyn Error + Send + Sync>>;
}

// === impl TaskKind ===

impl TaskKind {
    /// What an error that the task returns leads to.
    pub fn on_error(self) -> OnDeath {
        match self {
            Self::Connection | Self::Stream | Self::Data | Self::Audit => OnDeath::Log,
            Self::Listener
            | Self::Driver
            | Self::SessionSupervisor
            | Self::Artefacts
            | Self::Erasures
            | Self::Certificates
            | Self::Charters
            | Self::Damage
            | Self::Signals => OnDeath::StopProcess,
        }
    }

    /// What a panic in the task leads to.
    pub fn on_panic(self) -> OnDeath {
        self.on_error()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Stream => "stream",
            Self::Listener => "listener",
            Self::Driver => "driver",
            Self::SessionSupervisor => "session_supervisor",
            Self::Artefacts => "artefacts",
            Self::Erasures => "erasures",
            Self::Signals => "signals",
            Self::Data => "data",
            Self::Audit => "audit",
            Self::Certificates => "certificates",
            Self::Charters => "charters",
            Self::Damage => "damage",
        }
    }
}

// === impl Shutdown ===

impl Shutdown {
    /// A node that runs, without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. [`Shutdown::drain`] waits for it, so a task that waits for input MUST also
    /// wait for [`Shutdown::token`].
    pub fn spawn<F>(&self, kind: TaskKind, task: F)
    where
        F: Future + Send + 'static,
        F::Output: TaskOutput,
    {
        let (shutdown, tracked) = (self.clone(), self.tracker.token());
        #[expect(clippy::disallowed_methods, reason = "the one place where tasks start")]
        tokio::spawn(async move {
            let ended = caught(task).await;
            shutdown.buried(kind, ended);
            drop(tracked);
        });
    }

    /// Starts a thread under the same rules. The body MUST end soon after the token is cancelled.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn spawn_thread<F, T>(&self, kind: TaskKind, name: &str, body: F) -> io::Result<()>
    where
        F: FnOnce() -> T + Send + 'static,
        T: TaskOutput,
    {
        let (shutdown, tracked) = (self.clone(), self.tracker.token());
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(body));
            shutdown.buried(kind, ended);
            drop(tracked);
        })?;
        Ok(())
    }

    /// Cancelled as soon as tasks shall end.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Waits until the node shall stop. Whoever serves others goes on until [`Shutdown::token`] says so.
    pub async fn requested(&self) {
        self.asked.cancelled().await;
    }

    /// Asks the node to stop; whoever owns it MUST [`Shutdown::drain`] then. The first cause counts.
    pub fn request(&self, cause: StopCause) {
        let _ = self.cause.set(cause); // a later cause follows from the first
        self.asked.cancel();
    }

    /// Why the node stops; none while it runs.
    pub fn cause(&self) -> Option<&StopCause> {
        self.cause.get()
    }

    /// Turns SIGINT and SIGTERM into a request to stop.
    ///
    /// # Errors
    ///
    /// The handlers cannot be installed.
    pub fn listen_for_signals(&self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};

        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = self.clone();
        self.spawn(TaskKind::Signals, async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                () = shutdown.requested() => return,
            };
            info!(signal = name, "stop requested");
            shutdown.request(StopCause::Requested(name));
        });
        Ok(())
    }

    /// Asks every task to end and waits for that, at most `grace`.
    ///
    /// Callers MUST stop accepting before; a stream that ignores the token is what the deadline
    /// is for.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.asked.cancel();
        self.token.cancel();
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Drained::Clean,
            Err(_elapsed) => Drained::TimedOut { remaining: self.tracker.len() },
        }
    }

    fn buried<T: TaskOutput>(&self, kind: TaskKind, ended: Result<T, Box<dyn Any + Send>>) {
        let (death, cause) = match ended {
            Ok(output) => match output.into_failure() {
                None => return,
                Some(failure) => (kind.on_error(), chain(failure.as_ref())),
            },
            Err(panic) => (kind.on_panic(), panic_message(panic.as_ref())),
        };
        match death {
            OnDeath::Log => warn!(task = kind.name(), cause, "task died"),
            OnDeath::StopProcess => {
                error!(task = kind.name(), cause, "task died, stopping");
                self.request(StopCause::TaskDied { kind, cause });
            }
        }
    }
}

// === impl TaskOutput ===

impl TaskOutput for () {
    fn into_failure(self) -> Option<Box<dyn Error + Send + Sync>> {
        None
    }
}

impl<E> TaskOutput for Result<(), E>
where
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    fn into_failure(self) -> Option<Box<dyn Error + Send + Sync>> {
        self.err().map(Into::into)
    }
}

/// The error and all its sources in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

async fn caught<F: Future>(task: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut task = pin!(task);
    std::future::poll_fn(move |cx| {
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_tasks_and_threads_that_heed_the_token() {
        let shutdown = Shutdown::new();
        let token = shutdown.token().clone();
        shutdown.spawn(TaskKind::Stream, async move { token.cancelled().await });
        let (tell, told) = std::sync::mpsc::channel::<()>();
        shutdown
            .spawn_thread(TaskKind::Driver, "driver", move || {
                let _ = told.recv(); // ends when the sender is gone
            })
            .unwrap();
        drop(tell);
        assert_eq!(shutdown.drain(Duration::from_secs(10)).await, Drained::Clean);
        assert_eq!(shutdown.cause(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ignores_the_token_is_counted_after_the_grace_period() {
        let shutdown = Shutdown::new();
        shutdown.spawn(TaskKind::Stream, pending::<()>());
        let drained = shutdown.drain(Duration::from_secs(5)).await;
        assert_eq!(drained, Drained::TimedOut { remaining: 1 });
    }

    #[tokio::test]
    async fn a_panic_in_a_connection_leaves_the_node_running() {
        let shutdown = Shutdown::new();
        let (done, ended) = tokio::sync::oneshot::channel::<()>();
        shutdown.spawn(TaskKind::Connection, async move {
            let _sender = done;
            if true {
                panic!("odd bytes");
            }
        });
        assert!(ended.await.is_err(), "the task is gone");
        assert!(!shutdown.asked.is_cancelled());
        assert_eq!(shutdown.drain(Duration::from_secs(10)).await, Drained::Clean);
    }

    #[tokio::test]
    async fn an_error_in_the_driver_stops_the_node_and_names_the_cause() {
        let shutdown = Shutdown::new();
        shutdown.spawn(TaskKind::Driver, async { Err::<(), _>(io::Error::other("disk is gone")) });
        shutdown.requested().await;
        let cause = StopCause::TaskDied { kind: TaskKind::Driver, cause: "disk is gone".into() };
        assert_eq!(shutdown.cause(), Some(&cause));
        shutdown.request(StopCause::Requested("SIGTERM"));
        assert_eq!(shutdown.cause(), Some(&cause), "the first cause counts");
        assert!(!shutdown.token().is_cancelled(), "others go on until it is drained");
    }

    #[tokio::test]
    async fn a_panic_in_a_driver_thread_stops_the_node() {
        let shutdown = Shutdown::new();
        shutdown
            .spawn_thread(TaskKind::Driver, "driver", || {
                if true {
                    panic!("{} is broken", "an invariant");
                }
            })
            .unwrap();
        shutdown.requested().await;
        let cause = "panic: an invariant is broken".to_owned();
        assert_eq!(shutdown.cause(), Some(&StopCause::TaskDied { kind: TaskKind::Driver, cause }),);
    }
}
