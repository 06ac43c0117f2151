//! Sends lines to a syslog as they are written. Never waits for it: what it does not take in time
//! is dropped and counted; the files are what counts.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::{
    audit::{
        line::Line,
        syslog::{Target, Wire, message},
    },
    lifecycle::{Shutdown, TaskKind},
    observe::Metrics,
};

/// The way to a syslog.
#[derive(Debug)]
pub(super) struct Live {
    queue: SyncSender<String>,
    metrics: Arc<Metrics>,
}

struct Sender {
    target: Target,
    host: String,
    wire: Option<Wire>,
    /// Not tried again before.
    pause: Option<Instant>,
    metrics: Arc<Metrics>,
}

// === impl Live ===

impl Live {
    /// Starts the thread that sends; it ends with the queue.
    pub(super) fn start(
        target: Target,
        host: String,
        metrics: Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let (queue, texts) = sync_channel(CHUNKS_MAX);
        let (wire, pause) = (None, None);
        let sender = Sender { target, host, wire, pause, metrics: metrics.clone() };
        shutdown.spawn_thread(TaskKind::Audit, "audit-syslog", move || sender.run(&texts))?;
        Ok(Self { queue, metrics })
    }

    /// Hands over lines that were written.
    pub(super) fn send(&self, lines: String) {
        if lines.is_empty() {
            return;
        }
        let count = lines.matches('\n').count();
        if self.queue.try_send(lines).is_err() {
            self.metrics.audit().dropped(count as u64);
        }
    }
}

// === impl Sender ===

impl Sender {
    fn run(mut self, texts: &Receiver<String>) {
        for text in texts {
            for line in text.lines() {
                if let Err(failure) = self.send(line) {
                    self.metrics.audit().dropped(1);
                    if self.pause.is_none() {
                        warn!(target = %self.target, %failure, "the syslog takes no lines");
                    }
                    self.wire = None;
                    self.pause = Some(Instant::now() + PAUSE);
                }
            }
        }
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        let Ok((line, hash)) = Line::parse(text) else { return Ok(()) };
        if self.wire.is_none() && self.pause.is_some_and(|until| Instant::now() < until) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let wire = match &mut self.wire {
            Some(wire) => wire,
            none => none.insert(self.target.open()?),
        };
        wire.send(&message(&line, &hash.to_string(), &self.host))?;
        if self.pause.take().is_some() {
            info!(target = %self.target, "the syslog takes lines again");
        }
        Ok(())
    }
}

/// Chunks of lines that wait; each has at most what one write had.
const CHUNKS_MAX: usize = 256;
const PAUSE: Duration = Duration::from_secs(10);
