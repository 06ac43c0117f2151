//! One thread that follows every journal and turns entries into facts.
//!
//! It takes a chunk of each log in turn, so that a long log does not keep the others waiting, and
//! publishes whole atomic batches only. A log that cannot be read is reported and left alone
//! until someone calls [`Notifier::notify`]; the others go on.

mod erased;
#[cfg(test)]
mod tests;

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeSet, HashMap},
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use registry_core::{
    fold::{self, BatchEnds, Fact, Move, Position, Record},
    moves::guard::WINDOW_MS,
    view::Catalogue,
};
use registry_proto::{
    log::Hash,
    terms::LogId,
    wire::registry::{Lifecycle, VersionStatus},
};

use erased::{Gone, Surrounding, hide};

use crate::{
    batches::{Batch, BatchBuilder},
    index::Index,
    journals::{JournalRead, Parsed, Stored},
    lifecycle::chain,
    store::{OpenOutcome, Publication, PublishError},
};

/// The folder thread; ends when this is dropped.
#[derive(Debug)]
pub struct Folder {
    wake: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes the folder; calls between two rounds count once. Cheap to clone and to call.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Wake>);

#[derive(Debug, Default)]
struct Wake {
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signal {
    news: bool,
    /// Somebody wants the index built anew.
    rebuild: bool,
    stop: bool,
}

/// The state of the thread.
struct Work {
    index: Index,
    cursors: HashMap<LogId, Cursor>,
    /// Sizes that must be folded before readers are let in.
    targets: HashMap<LogId, u64>,
    /// What was erased by a later epoch before it was shown, with its leaf: shown with no body.
    early: BTreeSet<(Position, Hash)>,
    /// The log whose publishers wait to see what they wrote; never put off.
    own: Option<LogId>,
}

/// Where the folder stands in a log.
#[derive(Debug)]
struct Cursor {
    next: u64,
    ends: BatchEnds,
    /// Facts of a batch whose end is not read yet.
    open: Vec<Fact>,
    /// Versions among them.
    open_versions: u64,
    /// Entries that it erases, and where it does.
    open_erased: Vec<(Position, Gone)>,
    /// Collects the same entries for watchers.
    builder: Option<BatchBuilder>,
    stuck: bool,
    rush: Rush,
}

/// A log that grows faster than it can be folded: what comes is first made durable, and folded
/// when the rush is over, because both want the same processors.
#[derive(Clone, Copy, Debug, Default)]
struct Rush {
    size: u64,
    grew: Option<Instant>,
    since: Option<Instant>,
}

/// Shows the retirements of a chunk to the guard; counts the versions of the Land once.
struct Watch<'a> {
    index: &'a Index,
    log: LogId,
    /// Versions that the store shows.
    shown: OnceCell<u64>,
    /// When versions of the chunk came, by service and number.
    came: RefCell<HashMap<(String, String), i64>>,
}

/// What a chunk of a log gave.
#[derive(Default)]
struct Folded {
    facts: Vec<Fact>,
    batches: Vec<Batch>,
    /// Entries that are erased by what was read, and whose facts may be in the store; and by which
    /// entry.
    erased: Vec<(Position, Gone)>,
    /// Index after the last whole batch, and the leaf before it.
    end: Option<(u64, Hash)>,
    problem: Option<String>,
    /// Entries of earlier epochs that are erased by what was read and not shown yet.
    early: Vec<(Position, Hash)>,
}

/// Bytes and entries of a log that are read in one turn.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_ENTRIES: usize = 2_000;
/// A log this far behind is caught up without filling the ring of watchers.
const LIVE_ENTRIES: u64 = 5_000;
/// A log that has not grown for this long is not in a rush.
const RUSH_PAUSE: Duration = Duration::from_millis(100);
/// A rush puts folding off for at most this long.
const RUSH_MAX: Duration = Duration::from_secs(20);

// === impl Folder ===

impl Folder {
    /// Starts the folder. The journals MUST hold all logs that are on disk: readers are let in
    /// once those are folded as far as they reach now. `own` is the log this node writes.
    ///
    /// # Errors
    ///
    /// If there is no thread.
    pub fn start(index: Index, outcome: &OpenOutcome, own: Option<LogId>) -> io::Result<Self> {
        let reason = match outcome {
            OpenOutcome::Ready => "the node catches up with its journal",
            OpenOutcome::New => "there was no index",
            OpenOutcome::Rebuild(reason) => reason,
        };
        index.close_gate(reason);
        let wake = Arc::<Wake>::default();
        let (cursors, targets, early) = (HashMap::new(), HashMap::new(), BTreeSet::new());
        let mut work = Work { index, cursors, targets, early, own };
        work.set_targets();
        let thread = thread::Builder::new().name("folder".to_owned()).spawn({
            let wake = Arc::clone(&wake);
            move || work.run(&wake)
        })?;
        Ok(Self { wake, thread: Some(thread) })
    }

    /// A handle that tells the folder of new entries, new logs and repairs.
    pub fn notifier(&self) -> Notifier {
        Notifier(Arc::clone(&self.wake))
    }

    /// Ends the thread after the chunk it is at.
    pub fn stop(&mut self) {
        self.wake.signal.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wake.changed.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the folder panicked");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.stop();
    }
}

// === impl Notifier ===

impl Notifier {
    /// Tells the folder that a journal grew, came or was repaired. Never waits.
    pub fn notify(&self) {
        self.0.news();
    }

    /// Has the folder close the catalogue, forget all facts and fold everything again.
    pub fn rebuild(&self) {
        self.0.signal.lock().unwrap_or_else(PoisonError::into_inner).rebuild = true;
        self.0.news();
    }
}

// === impl Wake ===

impl Wake {
    fn news(&self) {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner).news = true;
        self.changed.notify_one();
    }

    /// Waits for news, or for `limit`; false when the thread must end.
    fn wait(&self, limit: Option<Duration>) -> bool {
        let signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |signal: &mut Signal| !signal.news && !signal.stop;
        let mut signal = match limit {
            None => self.changed.wait_while(signal, idle).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.changed.wait_timeout_while(signal, limit, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        signal.news = false;
        !signal.stop
    }

    fn takes_rebuild(&self) -> bool {
        let mut signal = self.signal.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut signal.rebuild)
    }

    fn stops(&self) -> bool {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner).stop
    }
}

// === impl Work ===

impl Work {
    fn run(&mut self, wake: &Wake) {
        loop {
            while !wake.stops() {
                let asked = wake.takes_rebuild();
                let reset = if asked { self.reset("an operator asked for it") } else { Ok(()) };
                match reset.and_then(|()| self.round()) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::info!(%error, "folder ends");
                        return;
                    }
                }
            }
            let rush = self.cursors.values().any(|it| it.rush.since.is_some());
            if !wake.wait(rush.then_some(RUSH_PAUSE)) {
                return;
            }
            for (&log, cursor) in &mut self.cursors {
                if std::mem::take(&mut cursor.stuck) {
                    self.index.set_stuck(log, None);
                }
            }
        }
    }

    /// One turn for each log; false when none had anything new.
    fn round(&mut self) -> Result<bool, PublishError> {
        let mut worked = false;
        for (&log, journal) in self.index.journals().clone().all().iter() {
            worked |= self.turn(log, journal.as_ref())?;
        }
        if !self.index.is_open() && self.reached_targets() {
            tracing::info!("index is complete");
            self.index.open_gate();
        }
        Ok(worked)
    }

    fn turn(&mut self, log: LogId, journal: &dyn JournalRead) -> Result<bool, PublishError> {
        if !self.cursors.contains_key(&log) {
            if let Some(reason) = self.contradiction(log, journal) {
                self.reset(&reason)?;
                return Ok(true);
            }
            let next = self.index.store().progress(log).size;
            self.cursors.insert(log, Cursor::at(next));
        }
        let Some(cursor) = self.cursors.get_mut(&log) else { return Ok(false) };
        let size = journal.size();
        if cursor.stuck || cursor.next >= size {
            cursor.rush = Rush::default();
            return Ok(false);
        }
        let behind = size - cursor.next > LIVE_ENTRIES;
        if behind && self.own != Some(log) && cursor.rush.puts_off(size, Instant::now()) {
            return Ok(false);
        }
        let live = self.index.recent().wanted() && size - cursor.next <= LIVE_ENTRIES;
        let folded = match journal.read(cursor.next, CHUNK_BYTES, CHUNK_ENTRIES) {
            Ok(mut stored) => {
                hide(log, &self.early, &mut stored);
                // the own Land is not guarded against itself
                let is_own = self.own.is_some_and(|own| own.land == log.land);
                let guard = (!is_own).then(|| Watch::new(&self.index, log));
                cursor.fold(log, stored, live, guard, &Surrounding { index: &self.index, journal })
            }
            Err(error) => Folded { problem: Some(chain(&error)), ..Folded::default() },
        };
        if let Some(reason) = &folded.problem {
            tracing::error!(%log, at = cursor.next, %reason, "journal cannot be folded further");
            cursor.stuck = true;
            self.index.set_stuck(log, Some(reason.clone()));
        }
        let begun_anew = self.hides(&folded.early);
        Ok(self.publish(log, folded)? || begun_anew)
    }

    /// What is erased before it is shown never is. An earlier epoch may come late, or never; a later
    /// one does not wait for it. True if an epoch has to be read again, because it was read already.
    fn hides(&mut self, early: &[(Position, Hash)]) -> bool {
        let mut begun_anew = false;
        for &(at, leaf) in early {
            self.early.insert((at, leaf));
            let Some(cursor) = self.cursors.get_mut(&at.log) else { continue };
            let shown = self.index.store().progress(at.log).size;
            if (shown..cursor.next).contains(&at.index) {
                *cursor = Cursor { stuck: cursor.stuck, ..Cursor::at(shown) };
                begun_anew |= !cursor.stuck;
            }
        }
        begun_anew
    }

    fn publish(&mut self, log: LogId, folded: Folded) -> Result<bool, PublishError> {
        let store = self.index.store();
        let Some((size, last)) = folded.end else {
            return Ok(folded.problem.is_none());
        };
        let from = store.progress(log).size;
        let Folded { facts, erased, batches, .. } = folded;
        self.index.keeper().settle();
        for (by, gone) in &erased {
            if let Some(service) = gone.service {
                self.index.unsearched().add(*by, service);
            }
        }
        let erased = erased.into_iter().map(|(_, gone)| gone.entry).collect();
        match store.publish(Publication { log, from, size, last, facts, erased }) {
            Ok(()) => {}
            Err(PublishError::Gap { .. }) => {
                // someone reset the store: begin again where it stands
                self.cursors.remove(&log);
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        for batch in batches {
            self.index.recent().push(batch);
        }
        if !self.early.is_empty() {
            self.early.retain(|(at, _)| at.log != log || at.index >= size);
        }
        self.index.announce();
        Ok(true)
    }

    /// Why the store cannot belong to this journal.
    fn contradiction(&self, log: LogId, journal: &dyn JournalRead) -> Option<String> {
        let progress = self.index.store().progress(log);
        let (size, last) = (journal.size(), progress.last?);
        if progress.size > size {
            return Some(format!(
                "it shows {} entries of {log}, the journal has {size}",
                progress.size
            ));
        }
        let at = progress.size.checked_sub(1)?;
        let stored = journal.read(at, 1, 1).ok()?.into_iter().next()?;
        let entry = Parsed::of(log, stored).ok()?;
        (entry.leaf != last).then(|| format!("it shows another entry {log}/{at} than the journal"))
    }

    /// Forgets all facts and folds everything again.
    fn reset(&mut self, reason: &str) -> Result<(), PublishError> {
        tracing::warn!(%reason, "building the index again");
        self.index.close_gate(reason);
        self.index.store().reset()?;
        self.index.recent().clear();
        self.index.announce();
        self.cursors.clear();
        self.set_targets();
        Ok(())
    }

    fn set_targets(&mut self) {
        let journals = self.index.journals().all();
        self.targets = journals.iter().map(|(&log, journal)| (log, journal.size())).collect();
    }

    /// True if each log is folded as far as it reached, or cannot be read further.
    fn reached_targets(&self) -> bool {
        self.targets.iter().all(|(log, &size)| {
            let there = |it: &Cursor| it.stuck || it.next >= size;
            self.cursors.get(log).is_some_and(there)
        })
    }
}

// === impl Watch ===

impl<'a> Watch<'a> {
    fn new(index: &'a Index, log: LogId) -> Self {
        Self { index, log, shown: OnceCell::new(), came: RefCell::default() }
    }

    /// Tells the guard of a retirement, before it becomes visible; `unshown` versions of the Land
    /// stand before it and are not in the store yet.
    fn look(&self, entry: &Parsed, record: &Record, unshown: u64) {
        if let Record::Version(it) = record {
            let name = (it.service_id.clone(), it.version.clone());
            self.came.borrow_mut().entry(name).or_insert(entry.received_unix_ms);
        }
        let Record::Move(said) = record else { return };
        let Move::Status(status) = said.as_ref() else { return };
        if !matches!(status.lifecycle(), Lifecycle::Abgeschaltet | Lifecycle::Zurueckgezogen) {
            return;
        }
        if self.is_history(entry, status) {
            return;
        }
        let at = Position { log: self.log, index: entry.header.index };
        let released = || unshown + *self.shown.get_or_init(|| self.count());
        self.index.keeper().retired(at, entry.received_unix_ms, released);
    }

    /// True for old news about a version that came with them, when a log is caught up: nobody here
    /// saw that version in use for long, so nothing vanishes.
    fn is_history(&self, entry: &Parsed, status: &VersionStatus) -> bool {
        let at_once = |since: i64| entry.received_unix_ms.saturating_sub(since) <= WINDOW_MS;
        if at_once(entry.header.recorded_unix_ms) {
            return false;
        }
        match self.version_received(status) {
            Ok(received) => received.is_none_or(at_once),
            Err(reason) => {
                tracing::error!(%reason, "a version cannot be read; the guard looks at its end");
                false
            }
        }
    }

    /// When the version came that a retirement is about; `None` if it is not known here.
    fn version_received(&self, of: &VersionStatus) -> Result<Option<i64>, String> {
        let name = (of.service_id.clone(), of.version.clone());
        if let Some(received) = self.came.borrow().get(&name) {
            return Ok(Some(*received));
        }
        let (Ok(service), Ok(number)) = (of.service_id.parse(), of.version.parse()) else {
            return Ok(None);
        };
        let store = self.index.store();
        let cut = store.cut();
        let at = Catalogue::new(store, &cut).version_at(self.log.land, service, &number);
        let Some(at) = at.map_err(|error| chain(&error))? else { return Ok(None) };
        let journals = self.index.journals().all();
        let journal = journals.get(&at.log).ok_or_else(|| format!("no journal {}", at.log))?;
        let stored = journal.read(at.index, 1, 1).map_err(|error| chain(&error))?;
        Ok(stored.first().map(|it| it.received_unix_ms))
    }

    fn count(&self) -> u64 {
        let store = self.index.store();
        let cut = store.cut();
        Catalogue::new(store, &cut).versions_owned_by(self.log.land).unwrap_or_else(|error| {
            tracing::error!(%error, "versions cannot be counted; the guard assumes none");
            0
        })
    }
}

// === impl Rush ===

impl Rush {
    /// True while the log grows and has not been put off for too long.
    fn puts_off(&mut self, size: u64, now: Instant) -> bool {
        if size > self.size {
            // the first look only takes the measure: a log that stands still is no rush
            self.grew = (self.size > 0).then_some(now);
            self.size = size;
        }
        let grows = self.grew.is_some_and(|grew| now.duration_since(grew) < RUSH_PAUSE);
        let since = *self.since.get_or_insert(now);
        let put_off = grows && now.duration_since(since) < RUSH_MAX;
        if !grows {
            self.since = None;
        }
        put_off
    }
}

// === impl Cursor ===

impl Cursor {
    /// At the beginning of a batch.
    fn at(next: u64) -> Self {
        Self {
            next,
            ends: BatchEnds::default(),
            open: Vec::new(),
            open_versions: 0,
            open_erased: Vec::new(),
            builder: None,
            stuck: false,
            rush: Rush::default(),
        }
    }

    fn fold(
        &mut self,
        log: LogId,
        chunk: Vec<Stored>,
        live: bool,
        guard: Option<Watch<'_>>,
        around: &Surrounding<'_>,
    ) -> Folded {
        let mut folded = Folded::default();
        let mut unshown = 0;
        for stored in chunk {
            let entry = match around.index.journals().genuine(log, stored) {
                Ok(entry) => entry,
                Err(error) => {
                    folded.problem = Some(chain(&error));
                    break;
                }
            };
            let record = fold::read(&entry.as_entry()).unwrap_or_else(|error| {
                tracing::debug!(%log, index = entry.header.index, %error, "body folds into nothing");
                around.index.count_unreadable();
                Record::Hidden
            });
            if let Record::Erasure(it) = &record
                && around.is_early(log, it)
            {
                folded.early.push((Position { log: it.log, index: it.index }, it.leaf));
            }
            if let Some(guard) = &guard {
                guard.look(&entry, &record, unshown + self.open_versions);
            }
            if self.ends.at_begin() {
                self.builder = live.then(|| BatchBuilder::new(log));
            }
            self.next = entry.header.index + 1;
            let is_version = matches!(record, Record::Version(_));
            self.open.extend(fold::facts_of(&entry.as_entry(), &record));
            if let Record::Erasure(it) = &record {
                let unshown = [&self.open, &folded.facts];
                let spoke_of = entry.header.object_id;
                let by = Position { log, index: entry.header.index };
                let gone = around.erased(log, it, spoke_of, &unshown);
                self.open_erased.extend(gone.map(|it| (by, it)));
            }
            let batch = self.builder.as_mut().and_then(|builder| builder.push(&entry, record));
            folded.batches.extend(batch);
            if is_version {
                self.open_versions += 1;
            }
            if self.ends.push(&entry.header) {
                unshown += std::mem::take(&mut self.open_versions);
                folded.facts.append(&mut self.open);
                folded.erased.append(&mut self.open_erased);
                folded.end = Some((self.next, entry.leaf));
            }
        }
        folded
    }
}
