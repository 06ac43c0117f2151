//! The guard against mass retirement of this node, and where it is kept: `<data>/guard.json`.
//!
//! The folder asks it before a move becomes visible, so that nothing vanishes and comes back.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use arc_swap::ArcSwap;
use registry_core::{
    fold::Position,
    moves::guard::{Guard, Guarded, Held},
};
use registry_proto::terms::{Land, LogId};
use serde_json::{Value, json};

/// The guard of a node. Clones share it.
#[derive(Clone, Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    guard: Mutex<Guarding>,
    held: ArcSwap<Held>,
    /// How much is held of each log.
    counted: ArcSwap<BTreeMap<LogId, u64>>,
    hears: OnceLock<Hears>,
    path: Option<PathBuf>,
}

/// Hears of a log of which nothing was held before, and how much is held now.
struct Hears(Box<dyn Fn(LogId, u64) + Send + Sync>);

#[derive(Debug)]
struct Guarding {
    guard: Guard,
    /// What it looked at is not on disk yet.
    looked: bool,
    /// What it holds is not shown yet.
    held: bool,
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// It cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds something else. Deleting it forgets what operators accepted.
    #[error("{} is damaged; move it aside to begin without it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

// === impl Keeper ===

impl Keeper {
    /// A guard that forgets with the process.
    pub fn in_memory(share_percent: u32) -> Self {
        Self::over(Guard::new(share_percent), None)
    }

    /// A guard that is kept in this directory.
    ///
    /// # Errors
    ///
    /// [`KeeperError`] if there is a file that cannot be read.
    pub fn open(dir: &Path, share_percent: u32) -> Result<Self, KeeperError> {
        let path = dir.join("guard.json");
        let mut guard = Guard::new(share_percent);
        match fs::read(&path) {
            Ok(bytes) => {
                read(&bytes, &mut guard)
                    .ok_or_else(|| KeeperError::Damaged { path: path.clone() })?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(KeeperError::Io { path, source }),
        }
        Ok(Self::over(guard, Some(path)))
    }

    fn over(guard: Guard, path: Option<PathBuf>) -> Self {
        let (held, counted) = Default::default();
        let now = guard.held();
        let guard = Mutex::new(Guarding { guard, looked: false, held: false });
        let keeper = Self {
            shared: Arc::new(Shared { guard, held, counted, hears: OnceLock::new(), path }),
        };
        keeper.show(now);
        keeper
    }

    /// Has `hears` called when a log is held of which nothing was held before; with it how much that is
    /// by then. It MUST NOT wait. Counts once.
    pub(crate) fn hear(&self, hears: impl Fn(LogId, u64) + Send + Sync + 'static) {
        if self.shared.hears.set(Hears(Box::new(hears))).is_err() {
            tracing::error!("somebody hears of what is held already");
        }
    }

    /// How many moves do not count now, of each log that has any.
    pub fn counted(&self) -> Arc<BTreeMap<LogId, u64>> {
        self.shared.counted.load_full()
    }

    /// Shows what is held; the logs of which nothing was held before.
    fn show(&self, held: Held) -> BTreeMap<LogId, u64> {
        let mut counted: BTreeMap<LogId, u64> = BTreeMap::new();
        for at in &held {
            *counted.entry(at.log).or_default() += 1;
        }
        let before = self.shared.counted.swap(Arc::new(counted.clone()));
        self.shared.held.store(Arc::new(held));
        counted.retain(|log, _| !before.contains_key(log));
        counted
    }

    /// What does not count now.
    pub fn held(&self) -> Arc<Held> {
        self.shared.held.load_full()
    }

    /// Looks at a retirement; `released` counts the versions that the Land could retire. What comes
    /// of it is shown and kept by [`Self::settle`], once for many.
    pub(crate) fn retired(
        &self,
        at: Position,
        received_unix_ms: i64,
        released: impl FnOnce() -> u64,
    ) {
        let mut it = self.lock();
        it.looked = true;
        it.held |= it.guard.retired(at, received_unix_ms, released);
    }

    /// Shows what is held since, and keeps it. The caller MUST do so before a retirement that was
    /// looked at becomes visible.
    pub(crate) fn settle(&self) {
        let mut it = self.lock();
        if std::mem::take(&mut it.held) {
            let held = it.guard.held();
            tracing::warn!(
                moves = held.len(),
                "a Land retires many versions at once; its moves are held until an operator accepts them"
            );
            for (log, moves) in self.show(held) {
                self.shared.hears.get().inspect(|it| (it.0)(log, moves));
            }
        }
        if std::mem::take(&mut it.looked)
            && let Err(error) = self.write(&it.guard)
        {
            // what is held stays so in this process; a restart goes by the file
            tracing::error!(cause = crate::lifecycle::chain(&error), "guard cannot be kept");
        }
    }

    /// An operator accepts what is held of a log; gives how many moves that were.
    ///
    /// # Errors
    ///
    /// [`KeeperError::Io`] if that cannot be kept; nothing is accepted then.
    pub fn accept(&self, log: LogId) -> Result<usize, KeeperError> {
        let mut it = self.lock();
        let mut accepted = it.guard.clone();
        let last = accepted.held().iter().filter(|at| at.log == log).map(|at| at.index).max();
        let Some(last) = last else { return Ok(0) };
        let count = accepted.accept(log, last + 1);
        self.write(&accepted)?;
        self.show(accepted.held());
        it.guard = accepted;
        Ok(count)
    }

    fn write(&self, guard: &Guard) -> Result<(), KeeperError> {
        let Some(path) = &self.shared.path else { return Ok(()) };
        let fresh = path.with_extension("json.new");
        fs::write(&fresh, text(guard))
            .and_then(|()| fs::File::open(&fresh)?.sync_all())
            .and_then(|()| fs::rename(&fresh, path))
            .map_err(|source| KeeperError::Io { path: path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Guarding> {
        self.shared.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hears {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hears")
    }
}

fn text(guard: &Guard) -> String {
    let logs: Vec<Value> = guard
        .logs()
        .map(|(log, it)| {
            json!({
                "land": log.land.code(),
                "epoch": log.epoch,
                "accepted_below": it.accepted_below,
                "judged_below": it.judged_below,
                "held": it.held,
                "window": it.window,
            })
        })
        .collect();
    json!({ "format": 1, "logs": logs }).to_string()
}

fn read(bytes: &[u8], guard: &mut Guard) -> Option<()> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    if value.get("format")?.as_u64()? != 1 {
        return None;
    }
    for it in value.get("logs")?.as_array()? {
        let land: Land = it.get("land")?.as_str()?.parse().ok()?;
        let log = LogId { land, epoch: it.get("epoch")?.as_u64()? };
        let pair = |it: &Value| Some((it.get(0)?.as_i64()?, it.get(1)?.as_u64()?));
        let held = it.get("held")?.as_array()?.iter().map(Value::as_u64);
        let held: BTreeSet<u64> = held.collect::<Option<_>>()?;
        let window = it.get("window")?.as_array()?.iter().map(pair);
        let window: VecDeque<(i64, u64)> = window.collect::<Option<_>>()?;
        // older files do not say how far the log was looked at
        let last = held.last().copied().max(window.back().map(|(_, index)| *index));
        let known = Guarded {
            accepted_below: it.get("accepted_below")?.as_u64()?,
            judged_below: match it.get("judged_below") {
                Some(below) => below.as_u64()?,
                None => last.map_or(0, |last| last.saturating_add(1)),
            },
            held,
            window,
        };
        guard.restore(log, known);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId { land: Land::SL, epoch: 1 };

    #[test]
    fn what_is_held_and_what_was_accepted_outlives_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let keeper = Keeper::open(dir.path(), 20).expect("opens");
        for index in 0..30 {
            keeper.retired(Position { log: LOG, index }, 5, || 100);
        }
        assert!(keeper.held().is_empty(), "shown together");
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let hears = Arc::clone(&heard);
        keeper.hear(move |log, moves| hears.lock().expect("sound").push((log, moves)));
        keeper.settle();
        keeper.retired(Position { log: LOG, index: 30 }, 5, || 100);
        keeper.settle();
        assert_eq!(*heard.lock().expect("sound"), [(LOG, 30)], "when it begins");
        assert_eq!((keeper.held().len(), keeper.counted()[&LOG]), (31, 31));
        let again = Keeper::open(dir.path(), 20).expect("opens again");
        assert_eq!(again.held(), keeper.held());
        // the same entries, when the catalogue is built anew
        for index in 0..31 {
            again.retired(Position { log: LOG, index }, 5, || 10_000);
        }
        again.settle();
        assert_eq!(again.held(), keeper.held());
        assert_eq!(again.accept(LOG).expect("kept"), 31);
        assert!(again.counted().is_empty());
        assert!(Keeper::open(dir.path(), 20).expect("opens").held().is_empty());
    }

    #[test]
    fn a_file_from_before_says_how_far_it_went_by_what_it_holds() {
        let mut guard = Guard::new(20);
        let text = br#"{"format":1,"logs":[{"land":"SL","epoch":1,"accepted_below":3,
            "held":[5,7],"window":[[1,5],[1,7]]}]}"#;
        read(text, &mut guard).expect("read");
        let (_, log) = guard.logs().next().expect("one log");
        assert_eq!((log.accepted_below, log.judged_below, log.held.len()), (3, 8, 2));
    }

    #[test]
    fn a_damaged_file_is_named_and_not_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        for text in ["", "{}", r#"{"format":2,"logs":[]}"#, r#"{"format":1,"logs":[{}]}"#] {
            fs::write(dir.path().join("guard.json"), text).expect("written");
            let error = Keeper::open(dir.path(), 20).expect_err("damaged");
            assert!(error.to_string().contains("guard.json"), "{error}");
        }
    }
}
