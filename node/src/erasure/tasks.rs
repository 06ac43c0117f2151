//! Waits until every part of the node has followed an erasure, then tells the core.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use registry_core::{fold::Position, node::Input};
use registry_journal::ASIDE;
use registry_proto::{log::Kind, terms::LogId};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Erasures, Known, UNREADABLE};
use crate::{
    artefacts::Artefacts,
    driver::Handle,
    index::Index,
    lifecycle::{Shutdown, TaskKind, chain},
    search::Search,
};

/// What must follow an erasure.
#[derive(Debug)]
pub struct Tasks {
    /// The erasures.
    pub erasures: Erasures,
    /// Facts, and batches in memory.
    pub index: Index,
    /// Full-text index.
    pub search: Search,
    /// Files of versions.
    pub artefacts: Artefacts,
    /// Where copies may have been moved aside.
    pub data_dir: PathBuf,
    /// Who is told.
    pub driver: Handle,
}

/// Time between two looks while something is not carried out.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Rest after something failed.
const RETRY: Duration = Duration::from_secs(5);

// === impl Tasks ===

impl Tasks {
    /// Runs until the node stops.
    pub fn start(self, shutdown: &Shutdown) {
        let token = shutdown.token().clone();
        shutdown.spawn(TaskKind::Erasures, async move {
            let found = self.erasures.open_ones();
            // of an earlier run; which files their versions named is not known any more
            let mut old: BTreeSet<Position> = found.iter().map(|it| it.entry).collect();
            let mut rest = Instant::now();
            loop {
                let open = self.erasures.open_ones();
                let wake = async {
                    if open.is_empty() {
                        self.erasures.inner.wake.notified().await;
                    } else {
                        tokio::time::sleep_until(rest.max(Instant::now() + LOOK_EVERY)).await;
                    }
                };
                tokio::select! {
                    () = token.cancelled() => break,
                    () = wake => {}
                }
                if let Err(cause) = self.look(&mut old).await {
                    warn!(cause, "an erasure is not carried out yet, trying again");
                    rest = Instant::now() + RETRY;
                }
            }
        });
    }

    /// Ends what every part has followed.
    async fn look(&self, old: &mut BTreeSet<Position>) -> Result<(), String> {
        let open = self.erasures.open_ones();
        let followed: Vec<Known> = open.into_iter().filter(|it| self.is_followed(it)).collect();
        if followed.is_empty() {
            return Ok(());
        }
        self.index.recent().clear();
        followed.iter().for_each(|it| self.erasures.tell(it.entry));
        // of a damaged one nobody can say whether it was a version
        if followed.iter().any(|it| [Kind::ServiceVersion, UNREADABLE].contains(&it.kind)) {
            let unknown = |it: &Known| {
                old.contains(&it.entry) || it.kind == UNREADABLE || self.is_beyond(it.entry)
            };
            let after_restart = followed.iter().any(unknown);
            let forgot = self.artefacts.forget_erased(&self.index, after_restart).await;
            forgot.map_err(|reject| reject.to_string())?;
        }
        let (dir, logs) = (self.data_dir.clone(), logs_of(&followed));
        let removed = tokio::task::spawn_blocking(move || remove_copies(&dir, &logs)).await;
        removed.map_err(|error| chain(&error))?.map_err(|error| chain(&error))?;
        let all = followed.len();
        let noted = self.erasures.done(followed);
        let failed = noted.len() < all;
        for it in noted {
            old.remove(&it.entry);
            info!(entry = %it.entry, by = %it.by, "an erasure is carried out");
            // a driver that is gone confirms nothing; the next start does
            let (log, by) = (it.by.log, it.by.index);
            let _ = self.driver.input(Input::Erased { log, by }).await;
        }
        if failed {
            return Err("a list of erasures cannot be written".to_owned());
        }
        Ok(())
    }

    /// True once neither journal nor facts nor search know the entry, on disk or in memory.
    fn is_followed(&self, it: &Known) -> bool {
        let store = self.index.store();
        let folded = store.progress(it.by.log).size > it.by.index && !store.erases();
        it.gone && folded && self.search.erased(it.by.log) > it.by.index
    }

    /// True for an entry beyond what counts of its epoch: nobody noted which files it names.
    fn is_beyond(&self, entry: Position) -> bool {
        let journal = self.index.journals().find(entry.log);
        journal.is_none_or(|it| it.size() <= entry.index)
    }
}

fn logs_of(all: &[Known]) -> BTreeSet<LogId> {
    all.iter().map(|it| it.entry.log).collect()
}

/// Deletes what was moved aside and may hold what is erased: broken indexes, and records of these
/// logs that could not be read or did not count.
fn remove_copies(data_dir: &Path, logs: &BTreeSet<LogId>) -> io::Result<()> {
    for path in entries(data_dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("index.broken-") {
            warn!(path = %path.display(), "deleting a broken index: it may hold what was erased");
            fs::remove_dir_all(path)?;
        }
    }
    for log in logs {
        let dir = data_dir.join("journal").join(log.land.code()).join(log.epoch.to_string());
        for path in entries(&dir)? {
            if path.extension().is_some_and(|it| it == "damaged" || it == ASIDE) {
                warn!(path = %path.display(), "deleting what was moved aside: it may hold what was erased");
                fs::remove_file(path)?;
            }
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|it| it.map(|it| it.path())).collect()
}
