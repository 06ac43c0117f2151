//! Marks that make the next start set something aside: tried until they are durable, because the node
//! waits for that behind a fence that is closed for good.

use std::{
    collections::BTreeSet,
    sync::mpsc::{Receiver, RecvError, RecvTimeoutError},
    time::Duration,
};

use registry_proto::terms::LogId;
use tracing::{error, warn};

use super::Job;
use crate::{
    epochs::Resets,
    lifecycle::{Shutdown, StopCause, chain},
};

/// Marks that are to be set.
#[derive(Debug)]
pub(super) struct Marks {
    resets: Resets,
    /// Asked to stop once one is set.
    begins_again: Shutdown,
    unset: BTreeSet<LogId>,
}

// === impl Marks ===

impl Marks {
    pub(super) fn of(resets: Resets, begins_again: Shutdown) -> Self {
        Self { resets, begins_again, unset: BTreeSet::new() }
    }

    /// The next job; none if there was none for so long and a mark is to be tried again.
    pub(super) fn next(
        &self,
        jobs: &Receiver<Job>,
        again_every: Duration,
    ) -> Result<Option<Job>, RecvError> {
        if self.unset.is_empty() {
            return jobs.recv().map(Some);
        }
        match jobs.recv_timeout(again_every) {
            Ok(job) => Ok(Some(job)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RecvError),
        }
    }

    /// Sets those that these jobs ask for, and those that could not be set before.
    pub(super) fn set(&mut self, jobs: &[Job]) {
        self.unset.extend(jobs.iter().filter_map(|it| match it {
            Job::SetAside(log) => Some(*log),
            _ => None,
        }));
        let (resets, begins_again) = (&self.resets, &self.begins_again);
        self.unset.retain(|log| match resets.contradict(*log) {
            Ok(()) => {
                warn!(%log, "what is here is not the history that counts, the node begins again");
                begins_again.request(StopCause::SetAside { log: *log });
                false
            }
            Err(failure) => {
                let cause = chain(&failure);
                error!(%log, cause, "cannot set a history aside, trying again");
                true
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc::channel};

    use registry_proto::terms::Land;

    use super::*;

    #[test]
    fn a_mark_is_tried_until_it_is_durable_and_nothing_begins_again_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let (resets, shutdown) = (Resets::of(dir.path()), Shutdown::new());
        let log = LogId { land: Land::SL, epoch: 1 };
        let (queue, jobs) = channel();
        let mut marks = Marks::of(resets.clone(), shutdown.clone());
        // a disk on which nothing can be written
        fs::write(dir.path().join("epochs"), "in the way").expect("written");
        queue.send(Job::SetAside(log)).expect("taken");
        for comes in [true, false, false] {
            let job = marks.next(&jobs, Duration::from_millis(1)).expect("the queue stands");
            assert_eq!(job.is_some(), comes);
            marks.set(job.as_slice());
            assert_eq!((shutdown.cause(), resets.is_contradicted(log)), (None, false));
        }
        // other work goes on meanwhile
        queue.send(Job::Settled(true)).expect("taken");
        let job = marks.next(&jobs, Duration::from_secs(60)).expect("the queue stands");
        assert!(matches!(job, Some(Job::Settled(true))), "{job:?}");
        fs::remove_file(dir.path().join("epochs")).expect("removed");
        marks.set(job.as_slice());
        assert!(resets.is_contradicted(log));
        assert_eq!(shutdown.cause(), Some(&StopCause::SetAside { log }));
        drop(queue);
        assert!(marks.next(&jobs, Duration::from_secs(60)).is_err(), "it waits for jobs only");
    }
}
