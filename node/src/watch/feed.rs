//! Where a watch takes its batches from.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use registry_core::{
    reject::Reject,
    view::{Cut, FactsError, Subject, Token, WatchFilter},
};
use registry_proto::{terms::LogId, wire::registry::WatchEvent};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    batches::{Batch, read_batches},
    index::Index,
    lifecycle::chain,
};

/// What a watch sees at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    pub(super) index: &'a Index,
    pub(super) cut: &'a Cut,
    pub(super) filter: &'a Arc<WatchFilter>,
}

/// Batches read ahead, of one log at a time.
#[derive(Debug, Default)]
pub(super) struct Feed {
    ahead: VecDeque<Arc<Batch>>,
    last: Option<LogId>,
    /// Logs whose journal could not be read, and when it is tried again.
    stuck: HashMap<LogId, Instant>,
}

/// Batches taken from the ring at once.
const AHEAD_MAX: usize = 32;
/// A journal that could not be read is tried again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Reads of journals and facts by all watches at the same time.
const READS_MAX: usize = 32;

static READS: Semaphore = Semaphore::const_new(READS_MAX);

// === impl Feed ===

impl Feed {
    /// The next batch after `token`, if the catalogue shows one. The logs take turns.
    pub(super) async fn next(
        &mut self,
        sight: &Sight<'_>,
        token: &Token,
    ) -> Result<Option<Arc<Batch>>, Reject> {
        if let Some(batch) = self.ahead.pop_front() {
            return Ok(Some(batch));
        }
        while let Some((log, from, to)) = self.choose(sight, token) {
            self.last = Some(log);
            let recent = sight.index.recent().from(log, from, AHEAD_MAX);
            self.ahead = recent.into_iter().take_while(|batch| batch.end <= to).collect();
            if self.ahead.is_empty() {
                self.ahead = self.read(sight, log, from, to).await?;
            }
            if let Some(batch) = self.ahead.pop_front() {
                return Ok(Some(batch));
            }
            // damaged: the watch of this log waits for the repair, the others go on
            self.stuck.insert(log, Instant::now() + RETRY_AFTER);
        }
        Ok(None)
    }

    /// The first log after the last one that has something new: log, from, to.
    fn choose(&self, sight: &Sight<'_>, token: &Token) -> Option<(LogId, u64, u64)> {
        let news = |(log, size): (LogId, u64)| {
            let (at, next) = token.next(log.land)?;
            let new = at == log && next < size && sight.filter.follows(log.land);
            let stuck = self.stuck.get(&log).is_some_and(|until| Instant::now() < *until);
            (new && !stuck).then_some((log, next, size))
        };
        let all: Vec<_> = sight.cut.iter().filter_map(news).collect();
        let after = all.iter().find(|(log, ..)| Some(*log) > self.last);
        after.or_else(|| all.first()).copied()
    }

    async fn read(
        &self,
        sight: &Sight<'_>,
        log: LogId,
        from: u64,
        to: u64,
    ) -> Result<VecDeque<Arc<Batch>>, Reject> {
        let Some(journal) = sight.index.journals().find(log) else { return Ok(VecDeque::new()) };
        let journals = sight.index.journals().clone();
        blocking(move || {
            let batches = read_batches(&journals, journal.as_ref(), log, from, to);
            let batches = batches.unwrap_or_else(|error| {
                tracing::warn!(%log, from, error = %chain(&error), "watch cannot read the journal");
                Vec::new()
            });
            Ok(batches.into_iter().map(Arc::new).collect())
        })
        .await
    }
}

/// The events of a batch that pass the filter.
pub(super) async fn filtered(
    sight: &Sight<'_>,
    batch: &Arc<Batch>,
) -> Result<Vec<WatchEvent>, Reject> {
    let land = batch.log.land;
    if !sight.filter.follows(land) {
        return Ok(Vec::new());
    }
    // most batches need no look into the index
    if let Some(services) = batch.plain_services() {
        let passing: Vec<_> =
            services.into_iter().map(|it| sight.filter.passes(land, it)).collect();
        if !sight.filter.by_number() || !passing.contains(&true) {
            let events = batch.events.iter().zip(passing).filter(|(_, passes)| *passes);
            return Ok(events.map(|(event, _)| event.message.clone()).collect());
        }
    }
    let (index, batch) = (sight.index.clone(), Arc::clone(batch));
    let filter = Arc::clone(sight.filter);
    blocking(move || {
        let failed = |error: FactsError| {
            tracing::error!(error = %chain(&error), "watch cannot read the index");
            Reject::Storage { operation: "reading the index" }
        };
        let subjects = batch.subjects(index.store()).map_err(failed)?;
        let numbers = match filter.by_number() {
            true => batch.numbers(index.store()).map_err(failed)?,
            false => &[],
        };
        let passes = |(at, subject): &(usize, &Option<Subject>)| {
            filter.passes(land, subject.map(|it| it.service))
                && numbers.get(*at).is_none_or(|it| filter.passes_numbers(it))
        };
        let events = subjects.iter().enumerate().filter(passes);
        Ok(events.map(|(at, subject)| batch.events[at].told(*subject)).collect())
    })
    .await
}

/// Runs what reads the disk where it may; a few at a time.
pub(super) async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Reject> + Send + 'static,
) -> Result<T, Reject> {
    let failed = Reject::Storage { operation: "reading for a watch" };
    let Ok(_permit) = READS.acquire().await else { return Err(failed) };
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(failed))
}
