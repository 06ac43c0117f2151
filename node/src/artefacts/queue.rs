//! Chunks to be fetched, in their order, with the time of the next attempt.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use registry_proto::{log::Hash, terms::Land};
use tokio::{sync::Notify, time::Instant};

use super::limits::{RETRY_MAX, RETRY_MIN};

/// What is to be fetched. Workers take from it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<Hash, Waiting>,
    /// Those that no worker has.
    order: BTreeSet<(Instant, u64, Hash)>,
    /// Of the next job that comes; jobs that are due go in the order they came.
    number: u64,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    number: u64,
    at: Instant,
    failures: u32,
    under_way: bool,
}

/// A chunk to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) chunk: Hash,
    pub(super) bytes: u32,
    /// Who published it.
    pub(super) laender: BTreeSet<Land>,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Fetch(Job),
    /// Nothing before this time.
    Wait(Instant),
    Idle,
}

// === impl Queue ===

impl Queue {
    /// Replaces what is wanted. Jobs that stay keep their place and their failures; what a worker
    /// has, it finishes.
    pub(super) fn set(&self, now: Instant, wanted: Vec<Job>) {
        let mut state = self.lock();
        let names: HashSet<Hash> = wanted.iter().map(|it| it.chunk).collect();
        let State { jobs, order, .. } = &mut *state;
        jobs.retain(|chunk, it| {
            let stays = it.under_way || names.contains(chunk);
            if !stays {
                order.remove(&(it.at, it.number, *chunk));
            }
            stays
        });
        for job in wanted {
            match state.jobs.get_mut(&job.chunk) {
                Some(waiting) => waiting.job = job,
                None => {
                    let number = state.number;
                    state.number += 1;
                    state.order.insert((now, number, job.chunk));
                    let waiting = Waiting { number, at: now, failures: 0, under_way: false, job };
                    state.jobs.insert(waiting.job.chunk, waiting);
                }
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes the next job; the worker MUST tell its end.
    pub(super) fn take(&self, now: Instant) -> Next {
        let mut state = self.lock();
        let Some(first @ (at, _, chunk)) = state.order.first().copied() else { return Next::Idle };
        if at > now {
            return Next::Wait(at);
        }
        state.order.remove(&first);
        match state.jobs.get_mut(&chunk) {
            Some(waiting) => {
                waiting.under_way = true;
                Next::Fetch(waiting.job.clone())
            }
            None => Next::Wait(now),
        }
    }

    /// A chunk came.
    pub(super) fn done(&self, chunk: &Hash) {
        self.lock().jobs.remove(chunk);
    }

    /// A chunk did not come; `jitter` is 0 to 1.
    pub(super) fn failed(&self, chunk: &Hash, now: Instant, jitter: f64) {
        let mut state = self.lock();
        let State { jobs, order, .. } = &mut *state;
        if let Some(waiting) = jobs.get_mut(chunk) {
            waiting.under_way = false;
            waiting.at =
                now + backoff(waiting.failures).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
            waiting.failures = waiting.failures.saturating_add(1);
            order.insert((waiting.at, waiting.number, *chunk));
        }
    }

    /// Somebody new may have what is missing: all wait no longer.
    pub(super) fn hurry(&self, now: Instant) {
        let mut state = self.lock();
        let State { jobs, order, .. } = &mut *state;
        order.clear();
        for (chunk, waiting) in jobs.iter_mut().filter(|(_, it)| !it.under_way) {
            (waiting.at, waiting.failures) = (now, 0);
            order.insert((now, waiting.number, *chunk));
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Resolves at the next [`Queue::set`] or [`Queue::hurry`] after it was called.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Whether a chunk is wanted.
    pub(super) fn wants(&self, chunk: &Hash) -> bool {
        self.lock().jobs.contains_key(chunk)
    }

    /// Jobs that are not done.
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn backoff(failures: u32) -> Duration {
    RETRY_MIN.saturating_mul(1 << failures.min(16)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &[u8]) -> Job {
        Job { chunk: Hash::of(name), bytes: 1, laender: BTreeSet::from([Land::SL]) }
    }

    #[test]
    fn jobs_go_in_the_order_they_came_and_each_to_one_worker() {
        let (queue, now) = (Queue::default(), Instant::now());
        queue.set(now, vec![job(b"1"), job(b"2"), job(b"3")]);
        assert_eq!(queue.take(now), Next::Fetch(job(b"1")));
        queue.set(now, vec![job(b"4"), job(b"1"), job(b"3")]);
        assert_eq!(queue.take(now), Next::Fetch(job(b"3")));
        assert_eq!(queue.take(now), Next::Fetch(job(b"4")));
        assert_eq!(queue.take(now), Next::Idle);
        assert!(!queue.wants(&Hash::of(b"2")) && queue.len() == 3);
        queue.done(&Hash::of(b"3"));
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn a_failed_job_waits_longer_each_time_and_goes_at_once_when_somebody_new_is_there() {
        let (queue, now) = (Queue::default(), Instant::now());
        queue.set(now, vec![job(b"1")]);
        let chunk = Hash::of(b"1");
        let mut waits = Vec::new();
        for _ in 0..20 {
            queue.hurry_not(now + 2 * RETRY_MAX, &chunk);
            queue.failed(&chunk, now, 1.0);
            let Next::Wait(at) = queue.take(now) else { panic!("waits") };
            waits.push(at - now);
        }
        assert_eq!(waits[..3], [RETRY_MIN, 2 * RETRY_MIN, 4 * RETRY_MIN]);
        assert_eq!(waits[19], RETRY_MAX);
        queue.hurry(now);
        assert_eq!(queue.take(now), Next::Fetch(job(b"1")));
        queue.failed(&chunk, now, 0.0);
        assert_eq!(queue.take(now), Next::Wait(now + RETRY_MIN / 2));
    }

    impl Queue {
        /// Takes the job at a time when it is due.
        fn hurry_not(&self, later: Instant, chunk: &Hash) {
            assert!(matches!(self.take(later), Next::Fetch(job) if job.chunk == *chunk));
        }
    }
}
