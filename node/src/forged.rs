//! Bodies on this disk that are not the ones their owners signed.
//!
//! Checksums find what a medium lost. Who changes a body on purpose makes its checksum anew, but not
//! the digest in the header, which is the leaf of a signed tree. Whoever shows what is in a body, or acts
//! by it, compares them and tells here what does not fit; the log is set aside from there on at the
//! next start, and comes back from partners. What this node wrote itself stays, and what no partner that is
//! connected holds: perhaps nobody else has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use registry_core::fold::Position;
use registry_proto::{
    log::{Header, body_digest},
    terms::{Land, LogId},
};
use tokio::sync::Notify;
use tracing::{error, warn};

use crate::{
    epochs::Resets,
    lifecycle::{Shutdown, StopCause, TaskKind, chain},
    observe::Metrics,
};

/// What was found. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Forged {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    found: Mutex<Found>,
    wake: Notify,
}

#[derive(Default)]
struct Found {
    /// All that were told.
    told: BTreeSet<Position>,
    /// Those that nobody followed yet.
    fresh: Vec<Position>,
}

/// The task behind [`Forged::follow`].
struct Follower {
    forged: Forged,
    own: Land,
    resets: Resets,
    metrics: Arc<Metrics>,
    held: HeldElsewhere,
    /// Logs that are to be marked, with the first place that was told of each.
    unmarked: BTreeMap<LogId, u64>,
}

/// Whether a partner that is connected holds the entry of that index of a log.
pub(crate) type HeldElsewhere = Box<dyn Fn(LogId, u64) -> bool + Send + Sync>;

// === impl Forged ===

impl Forged {
    /// Tells of a body that is not the one its owner signed. Each place is told once, and of each log no
    /// more than a few of them.
    pub fn tell(&self, at: Position) {
        let mut found = self.lock();
        let of_log = Position { index: 0, ..at }..=Position { index: u64::MAX, ..at };
        if found.told.range(of_log).count() >= TOLD_MAX || !found.told.insert(at) {
            return;
        }
        found.fresh.push(at);
        drop(found);
        error!(
            %at, "damage in the journal: the body of this entry is not the one that its owner signed, \
            somebody changed it on this disk; it is not shown"
        );
        self.inner.wake.notify_one();
    }

    /// Counts what is told, and has the node begin again without what it holds of that log from there
    /// on, as soon as a partner is known to hold it, unless the log is one of its own Land.
    pub(crate) fn follow(
        &self,
        own: Land,
        resets: Resets,
        metrics: Arc<Metrics>,
        held: HeldElsewhere,
        shutdown: &Shutdown,
    ) {
        let (forged, unmarked) = (self.clone(), BTreeMap::new());
        let follower = Follower { forged, own, resets, metrics, held, unmarked };
        shutdown.spawn(TaskKind::Damage, follower.run(shutdown.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.inner.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.lock().told).finish()
    }
}

// === impl Follower ===

impl Follower {
    async fn run(mut self, shutdown: Shutdown) -> Result<(), tokio::task::JoinError> {
        loop {
            let again = async {
                match self.unmarked.is_empty() {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(AGAIN_EVERY).await,
                }
            };
            tokio::select! {
                () = shutdown.token().cancelled() => return Ok(()),
                () = self.forged.inner.wake.notified() => {}
                () = again => {}
            }
            for at in std::mem::take(&mut self.forged.lock().fresh) {
                self.metrics.add_journal_damage(at.log.land);
                if at.log.land != self.own {
                    let first = self.unmarked.entry(at.log).or_insert(at.index);
                    *first = at.index.min(*first);
                }
            }
            let comes_again = self.unmarked.iter().filter(|(log, at)| (self.held)(**log, **at));
            let (resets, logs) = (self.resets.clone(), comes_again.map(|(log, _)| *log).collect());
            let marked = tokio::task::spawn_blocking(move || mark(&resets, logs)).await?;
            for (log, begins_again) in marked {
                self.unmarked.remove(&log);
                if !begins_again {
                    continue;
                }
                warn!(%log, "what was changed on this disk is set aside, the node begins again");
                shutdown.request(StopCause::SetAside { log });
            }
        }
    }
}

/// Marks logs durably; those that need no more of it, and whether the node begins again for them.
fn mark(resets: &Resets, logs: Vec<LogId>) -> Vec<(LogId, bool)> {
    let mut marked = Vec::new();
    for log in logs {
        // of one that a start has left as it is nothing can be set aside
        if resets.is_forged(log) {
            marked.push((log, false));
            continue;
        }
        match resets.mark_forged(log) {
            Ok(()) => marked.push((log, true)),
            Err(failure) => {
                error!(%log, cause = chain(&failure), "cannot set a log aside, trying again");
            }
        }
    }
    marked
}

/// The body of a stored entry of a log, unless it is not here, or not the one that the header names: then
/// `tells` hears of it. A header of another place says nothing about that one.
pub(crate) fn genuine_body<'a>(
    log: LogId,
    header: &Header,
    stored: &'a registry_journal::Stored,
    tells: &Forged,
) -> Option<&'a bytes::Bytes> {
    if header.log != log || header.index != stored.index {
        return None;
    }
    if is_forged(header, stored) {
        tells.tell(Position { log, index: stored.index });
        return None;
    }
    crate::driver::writer::stored_body(stored)
}

/// True if the body of a stored entry is here and not the one that the header names.
pub(crate) fn is_forged(header: &Header, stored: &registry_journal::Stored) -> bool {
    match &stored.body {
        registry_journal::StoredBody::Present { salt, bytes } => {
            body_digest(salt, bytes) != header.body_digest
        }
        registry_journal::StoredBody::Withheld | registry_journal::StoredBody::Erased => false,
    }
}

/// Places that are told, and remembered.
const TOLD_MAX: usize = 1_000;
/// A log that is not held elsewhere, or cannot be marked, is looked at again after this time.
const AGAIN_EVERY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_told_is_counted_and_the_log_of_another_land_is_marked_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let resets = Resets::of(dir.path());
        let [own, other] = [Land::SL, Land::HE].map(|land| LogId { land, epoch: 1 });
        let counts = |metrics: &Metrics, line: &str| {
            metrics.encode().lines().any(|it| it == format!("registry_journal_damage{line}"))
        };
        let wait = async |what: &str, holds: &dyn Fn() -> bool| {
            let waited = tokio::time::timeout(Duration::from_secs(30), async {
                while !holds() {
                    tokio::task::yield_now().await;
                }
            });
            waited.await.unwrap_or_else(|_| panic!("{what}"));
        };
        for run in 0..2 {
            let (forged, shutdown) = (Forged::default(), Shutdown::new());
            let metrics = Arc::new(Metrics::new("test"));
            // told before anybody follows, twice, and afterwards
            for _ in 0..2 {
                forged.tell(Position { log: own, index: 7 });
            }
            let is_held = Arc::new(AtomicBool::new(run > 0));
            let held = Arc::clone(&is_held);
            let held = move |_, index| index == 3 && held.load(Ordering::Relaxed);
            forged.follow(own.land, resets.clone(), metrics.clone(), Box::new(held), &shutdown);
            wait("the own one", &|| counts(&metrics, "{land=\"SL\"} 1")).await;
            assert_eq!((shutdown.cause(), resets.is_forged(own)), (None, false));
            for index in [3, 4] {
                forged.tell(Position { log: other, index });
            }
            wait("both", &|| counts(&metrics, "{land=\"HE\"} 2")).await;
            if run == 0 {
                // nobody who is connected has it
                assert_eq!((shutdown.cause(), resets.is_forged(other)), (None, false));
                is_held.store(true, Ordering::Relaxed);
                forged.tell(Position { log: other, index: 5 });
            }
            // where the start before could set nothing aside, this one does not begin again for ever
            if run == 0 {
                wait("it begins again", &|| shutdown.cause().is_some()).await;
                assert_eq!(shutdown.cause(), Some(&StopCause::SetAside { log: other }));
            } else {
                assert_eq!(shutdown.cause(), None);
            }
            assert!(resets.is_forged(other));
            shutdown.drain(Duration::from_secs(30)).await;
        }
        resets.settle_forged(other).expect("settled");
        assert!(!resets.is_forged(other));
    }
}
