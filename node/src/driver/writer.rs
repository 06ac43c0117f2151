//! One thread per log: signs, appends, syncs, and tells the driver.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use registry_core::{
    Ordered,
    log::Commit,
    node::{Input, Learned},
    replicate::Store,
};
use registry_journal::{Body, CheckpointRecord, EntryRef, Group, Journal};
use registry_proto::{
    erasure::Erasing,
    log::{Checkpoint, Kind, LogSigner, SignedCheckpoint},
    terms::LogId,
    wire::peer::{BatchEntry, BodyState},
};
use tracing::{error, warn};

use crate::{
    driver::{Handle, Stopping},
    erasure::{Erasures, Rest},
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
    Freshen { checkpoint: Checkpoint, wall_ms: i64, ordered: Ordered },
    /// A group of a followed log.
    Store(Store),
    /// A later epoch erases what stands here, or will.
    Erase,
    /// Nothing else is to be done, and not everything is erased.
    EraseOn,
}

/// How long a group may wait for erasing: about as long as one that is large takes itself.
const ERASE_FOR: Duration = Duration::from_millis(50);

/// The writers of all logs.
#[derive(Debug)]
pub struct Writers {
    queues: BTreeMap<LogId, Arc<Sender<Job>>>,
}

struct Writer {
    log: LogId,
    journal: Journal,
    /// Only for the own log.
    signer: Option<LogSigner>,
    driver: Handle,
    folder: Notifier,
    erasures: Erasures,
}

/// Why a head was not signed.
#[derive(Clone, Copy, Debug)]
enum Unsigned {
    /// This process stood still since the order.
    Void,
    /// The key does not sign.
    Key,
}

/// What all writers share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Who is told.
    pub driver: Handle,
    /// Who follows the journals.
    pub folder: Notifier,
    /// What is erased.
    pub erasures: Erasures,
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
        shared: Shared,
        shutdown: &Shutdown,
    ) -> std::io::Result<()> {
        let (queue, jobs) = channel();
        let Shared { driver, folder, erasures } = shared;
        let queue = Arc::new(queue);
        // must not keep the thread alive once the driver is gone
        let of = Arc::downgrade(&queue);
        erasures.hand_over(log, move || {
            if let Some(queue) = of.upgrade() {
                // a thread that ended overwrites at the next start
                let _ = queue.send(Job::Erase);
            }
        });
        let writer = Writer { log, journal, signer, driver, folder, erasures };
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
        let mut rest: Option<Rest> = None;
        loop {
            let job = match rest {
                None => jobs.recv().ok(),
                // a group never waits for more than one step; what is left at the end is for the
                // next start
                Some(_) => match jobs.try_recv() {
                    Ok(job) => Some(job),
                    Err(TryRecvError::Empty) => Some(Job::EraseOn),
                    Err(TryRecvError::Disconnected) => None,
                },
            };
            let Some(job) = job else { return };
            let Some(erases) = self.work(job) else { return };
            if erases {
                rest = Some(Rest::default());
            }
            rest = rest.and_then(|from| self.erase(from));
        }
    }

    /// Does a job; whether there is something new to erase. `None` once the driver is gone.
    fn work(&mut self, job: Job) -> Option<bool> {
        let (input, found) = match job {
            Job::Commit(commit) => {
                let input = self.commit(&commit);
                let entries = commit.entries.iter().map(|it| (&it.header, &it.body));
                let found = self.found(&input, entries);
                (input, found)
            }
            Job::Freshen { checkpoint, wall_ms, ordered } => {
                (self.freshen(&checkpoint, wall_ms, ordered), Vec::new())
            }
            Job::Erase => return Some(true),
            Job::EraseOn => return Some(false),
            Job::Store(mut store) => {
                let first = self.journal.reader().size();
                self.erasures.withdraw(self.log, first, &mut store.entries);
                let input = self.store(&store);
                let entries = store.entries.iter().map(|it| (&it.header, &it.body));
                let found = self.found(&input, entries);
                (input, found)
            }
        };
        // told first: no receipt may say meanwhile that everything is carried out
        let log = self.log;
        let erasing = found.iter().map(|(it, _)| Input::Erasing { log, by: it.by });
        for input in erasing.chain([input]) {
            // a driver that is gone has nobody to tell; the group is durable all the same
            self.tell(input).ok()?;
        }
        self.erasures.note(log, &found, self.journal.reader().size());
        Some(!found.is_empty())
    }

    /// Tells the core; of the own log at once, as publishers wait.
    fn tell(&self, input: Input) -> Result<(), Stopping> {
        let is_own = self.signer.is_some();
        if is_own { self.driver.input_here(input) } else { self.driver.input_blocking(input) }
    }

    /// Goes on erasing for a while; what is left then.
    fn erase(&mut self, from: Rest) -> Option<Rest> {
        let rest = self.erasures.step(self.log, &mut self.journal, from, ERASE_FOR);
        rest.unwrap_or_else(|failure| {
            let cause = crate::lifecycle::chain(&failure);
            error!(log = %self.log, cause, "cannot erase; the next start goes on");
            None
        })
    }

    /// Erasures that are durable now and name something.
    fn found<'a>(
        &self,
        of: &Input,
        entries: impl Iterator<Item = (&'a Bytes, &'a Bytes)>,
    ) -> Vec<(Erasing, Kind)> {
        if !matches!(of, Input::Committed { .. } | Input::Stored { .. }) {
            return Vec::new();
        }
        self.erasures.found(self.log, &self.journal.reader(), entries)
    }

    fn commit(&mut self, commit: &Commit) -> Input {
        let Some(signer) = &self.signer else { return Input::CommitFailed };
        let signed_at = unix_seconds(commit.wall_ms);
        let signed = match self.sign(signer, &commit.checkpoint, signed_at, commit.ordered) {
            Ok(signed) => signed,
            Err(Unsigned::Void) => return Input::CommitVoid,
            Err(Unsigned::Key) => return Input::CommitUnsigned,
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

    fn freshen(&self, checkpoint: &Checkpoint, wall_ms: i64, ordered: Ordered) -> Input {
        let Some(signer) = &self.signer else { return Input::CommitFailed };
        match self.sign(signer, checkpoint, unix_seconds(wall_ms), ordered) {
            Ok(signed) => Input::Freshened { signed },
            Err(Unsigned::Void) => Input::FreshenVoid,
            Err(Unsigned::Key) => Input::FreshenFailed,
        }
    }

    /// Signs a head of the own log, unless this process stood still since that was ordered, or while
    /// it signed: what nobody has seen is dropped, and partners are asked first.
    fn sign(
        &self,
        signer: &LogSigner,
        checkpoint: &Checkpoint,
        unix_seconds: u64,
        ordered: Ordered,
    ) -> Result<SignedCheckpoint, Unsigned> {
        let log = self.log;
        let is_void = || self.driver.is_void(ordered);
        let signed = (!is_void()).then(|| checkpoint.sign(signer, unix_seconds));
        match signed.filter(|_| !is_void()) {
            Some(Ok(signed)) => Ok(signed),
            Some(Err(failure)) => {
                let cause = crate::lifecycle::chain(&failure);
                error!(%log, cause, "cannot sign the head of the own log");
                Err(Unsigned::Key)
            }
            None => {
                warn!(%log, "this process stood still before it had signed; nothing is signed");
                Err(Unsigned::Void)
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
        let here = entries.iter().filter(|it| it.body_state() == BodyState::Present);
        here.map(parts).collect()
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
