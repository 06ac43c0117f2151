//! One thread per log: signs, appends, syncs, and tells the driver.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, Sender, channel},
};

use bytes::Bytes;
use registry_core::{
    log::Commit,
    node::{Input, Learned},
    replicate::Store,
};
use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal};
use registry_proto::{
    log::{Checkpoint, LogSigner},
    terms::LogId,
    wire::peer::{BatchEntry, BodyState},
};
use tracing::error;

use crate::{
    driver::Handle,
    folder::Notifier,
    lifecycle::{Shutdown, TaskKind},
};

/// Work for a writer.
///
/// The queue has no bound of its own: the core has one commit under way, and of a followed log at
/// most `limits::FOLLOW_CREDIT_BYTES` and one batch.
#[derive(Debug)]
pub(crate) enum Job {
    /// A group of the own log.
    Commit(Commit),
    /// The own head, for its freshness.
    Freshen(Checkpoint),
    /// A group of a followed log.
    Store(Store),
}

/// The writers of all logs.
#[derive(Debug)]
pub struct Writers {
    queues: BTreeMap<LogId, Sender<Job>>,
}

struct Writer {
    log: LogId,
    journal: Journal,
    /// Only for the own log.
    signer: Option<LogSigner>,
    driver: Handle,
    folder: Notifier,
}

// === impl Writers ===

impl Writers {
    /// No writers yet.
    pub fn new() -> Self {
        Self { queues: BTreeMap::new() }
    }

    /// Starts the thread of a log. `signer` is given for the own log only.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn start(
        &mut self,
        log: LogId,
        journal: Journal,
        signer: Option<LogSigner>,
        driver: Handle,
        folder: Notifier,
        shutdown: &Shutdown,
    ) -> std::io::Result<()> {
        let (queue, jobs) = channel();
        let writer = Writer { log, journal, signer, driver, folder };
        shutdown.spawn_thread(TaskKind::Driver, &format!("log-{log}"), move || writer.run(jobs))?;
        self.queues.insert(log, queue);
        Ok(())
    }

    pub(crate) fn send(&self, log: LogId, job: Job) -> bool {
        self.queues.get(&log).is_some_and(|queue| queue.send(job).is_ok())
    }
}

impl Default for Writers {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Writer ===

impl Writer {
    /// Ends when the driver has dropped its side of the queue; what is queued is written first.
    fn run(mut self, jobs: Receiver<Job>) {
        for job in jobs {
            let input = match job {
                Job::Commit(commit) => self.commit(&commit),
                Job::Freshen(checkpoint) => self.freshen(&checkpoint),
                Job::Store(store) => self.store(&store),
            };
            // a driver that is gone has nobody to tell; the group is durable all the same
            if self.driver.input_blocking(input).is_err() {
                return;
            }
        }
    }

    fn commit(&mut self, commit: &Commit) -> Input {
        let Some(signer) = &self.signer else { return Input::CommitFailed };
        let signed = match commit.checkpoint.sign(signer, unix_seconds(commit.wall_ms)) {
            Ok(signed) => signed,
            Err(failure) => {
                let cause = crate::lifecycle::chain(&failure);
                error!(log = %self.log, cause, "cannot sign a group of the own log");
                return Input::CommitUnsigned;
            }
        };
        let entries: Vec<EntryRef<'_>> = commit
            .entries
            .iter()
            .map(|it| EntryRef {
                header: &it.header,
                body: Body::Present { salt: &it.salt, bytes: &it.body },
            })
            .collect();
        let checkpoint = CheckpointRecord {
            note: signed.raw().clone(),
            note_size: signed.size(),
            proof: Vec::new(),
        };
        let group = Group {
            entries: &entries,
            checkpoint: &checkpoint,
            received_unix_ms: commit.wall_ms,
            from: "",
        };
        match self.journal.append(&group) {
            Ok(size) if size == signed.size() => {
                self.folder.notify();
                Input::Committed { signed }
            }
            Ok(size) => {
                error!(log = %self.log, size, signed = signed.size(), "journal and tree disagree");
                Input::CommitFailed
            }
            Err(failure) => {
                let cause = crate::lifecycle::chain(&failure);
                error!(log = %self.log, cause, "cannot write the own log");
                Input::CommitFailed
            }
        }
    }

    fn freshen(&self, checkpoint: &Checkpoint) -> Input {
        let Some(signer) = &self.signer else { return Input::CommitFailed };
        let now = unix_seconds(self.driver.clock().wall_ms());
        match checkpoint.sign(signer, now) {
            Ok(signed) => Input::Freshened { signed },
            Err(failure) => {
                let cause = crate::lifecycle::chain(&failure);
                error!(log = %self.log, cause, "cannot renew the freshness of the own log");
                Input::FreshenFailed
            }
        }
    }

    fn store(&mut self, store: &Store) -> Input {
        let checkpoint = CheckpointRecord {
            note: store.note.clone(),
            note_size: store.note_size,
            proof: store.proof.clone(),
        };
        let entries: Vec<EntryRef<'_>> = store.entries.iter().map(entry_ref).collect();
        let group = Group {
            entries: &entries,
            checkpoint: &checkpoint,
            received_unix_ms: store.received_ms,
            from: &store.from,
        };
        match self.journal.append(&group) {
            Ok(_) => {
                self.folder.notify();
                Input::Stored { log: self.log, learned: self.learned(&store.entries) }
            }
            Err(failure) => {
                let cause = crate::lifecycle::chain(&failure);
                error!(log = %self.log, cause, "cannot write a followed log");
                Input::StoreFailed { log: self.log }
            }
        }
    }

    /// The own log comes back from a partner: the core needs its records for later publications.
    fn learned(&self, entries: &[BatchEntry]) -> Vec<Learned> {
        if self.signer.is_none() {
            return Vec::new();
        }
        let parts = |it: &BatchEntry| Learned { header: it.header.clone(), body: it.body.clone() };
        entries.iter().map(parts).collect()
    }
}

fn entry_ref(entry: &BatchEntry) -> EntryRef<'_> {
    let body = match (<&[u8; 16]>::try_from(entry.salt.as_ref()), entry.body_state()) {
        (Ok(salt), BodyState::Present) => Body::Present { salt, bytes: &entry.body },
        (_, BodyState::Erased) => Body::Erased,
        (_, BodyState::Present | BodyState::Withheld | BodyState::Unspecified) => Body::Withheld,
    };
    EntryRef { header: &entry.header, body }
}

fn unix_seconds(wall_ms: i64) -> u64 {
    u64::try_from(wall_ms / 1_000).unwrap_or_default()
}

/// Raw bytes of a stored body, for whoever rebuilds from the journal.
pub(crate) fn stored_body(stored: &registry_journal::Stored) -> Option<&Bytes> {
    match &stored.body {
        registry_journal::StoredBody::Present { bytes, .. } => Some(bytes),
        registry_journal::StoredBody::Withheld | registry_journal::StoredBody::Erased => None,
    }
}
