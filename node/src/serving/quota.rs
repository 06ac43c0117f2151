//! What one certificate may ask for: calls per second, and calls and streams at once.
//!
//! The rate is a bucket that is one number: the time at which it is full again (GCRA). A call
//! costs a look into a table of many locks and a few atomic steps, and allocates nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use registry_core::{limits, reject::Reject};

use crate::observe::Metrics;

/// Limits of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Calls per second in the long run.
    pub per_second: u32,
    /// Calls that may come at once.
    pub burst: u32,
    /// Calls under way.
    pub calls: u32,
    /// Streams that are open: watches, files.
    pub streams: u32,
}

/// What a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One answer.
    Call,
    /// An answer that goes on.
    Stream,
}

/// The meters of all certificates. Clones are one table.
#[derive(Clone, Debug)]
pub struct Meters {
    quota: Quota,
    begun: Instant,
    table: Arc<[Mutex<Shard>; SHARDS]>,
    metrics: Arc<Metrics>,
}

/// A call that was let in; under way until dropped.
#[derive(Debug)]
pub struct Pass {
    meter: Arc<Meter>,
    shape: Shape,
}

type Shard = HashMap<[u8; 32], Arc<Meter>>;

#[derive(Debug, Default)]
struct Meter {
    /// Nanoseconds since the begin at which the bucket is full again.
    full_at: AtomicU64,
    calls: AtomicU32,
    streams: AtomicU32,
}

// === impl Quota ===

impl Default for Quota {
    fn default() -> Self {
        Self {
            per_second: limits::CALLS_PER_SECOND_DEFAULT,
            burst: limits::CALLS_PER_SECOND_DEFAULT,
            calls: limits::CALLS_AT_ONCE_DEFAULT,
            streams: limits::CALLS_AT_ONCE_DEFAULT,
        }
    }
}

// === impl Meters ===

impl Meters {
    /// Nobody has called yet.
    pub fn new(quota: Quota, metrics: Arc<Metrics>) -> Self {
        let table = Arc::new(std::array::from_fn(|_| Mutex::default()));
        Self { quota, begun: Instant::now(), table, metrics }
    }

    /// Lets a call of a certificate in; `key` is the digest of its key.
    ///
    /// # Errors
    ///
    /// [`Reject::Throttled`] if the certificate has its most; [`Reject::Busy`] if too many
    /// certificates call at once.
    pub fn admit(&self, key: &[u8; 32], who: &str, shape: Shape) -> Result<Pass, Reject> {
        let now = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.admit_at(now, key, who, shape).inspect_err(|reject| {
            let limit = match reject {
                Reject::Throttled { limit, .. } | Reject::Busy { limit, .. } => limit,
                _ => "other",
            };
            self.metrics.connections().throttled(limit);
        })
    }

    fn admit_at(&self, now: u64, key: &[u8; 32], who: &str, shape: Shape) -> Result<Pass, Reject> {
        let meter = self.meter(now, key)?;
        let throttled = |limit, max: u32, retry_ms| Reject::Throttled {
            limit,
            max: u64::from(max),
            who: who.to_owned(),
            retry_ms,
        };
        let (limit, max) = match shape {
            Shape::Call => (CALLS, self.quota.calls),
            Shape::Stream => (STREAMS, self.quota.streams),
        };
        // the place is taken before the rate is asked, so that a refused place costs no call
        let Some(pass) = Pass::take(meter, shape, max) else {
            return Err(throttled(limit, max, BUSY_RETRY_MS));
        };
        pass.meter.take(now, self.quota).map_err(|wait| {
            throttled(RATE, self.quota.per_second, wait.div_ceil(1_000_000).max(1))
        })?;
        Ok(pass)
    }

    fn meter(&self, now: u64, key: &[u8; 32]) -> Result<Arc<Meter>, Reject> {
        let shard = usize::from(key[0]) % SHARDS;
        // every change is one call: what a panic leaves is whole
        let mut shard = self.table[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = shard.get(key) {
            return Ok(Arc::clone(meter));
        }
        if shard.len() >= SHARD_MAX {
            shard.retain(|_, meter| {
                Arc::strong_count(meter) > 1 || meter.full_at.load(Ordering::Relaxed) > now
            });
        }
        if shard.len() >= SHARD_MAX {
            let max = limits::METERED_IDENTITIES_MAX as u64;
            return Err(Reject::Busy { limit: IDENTITIES, max });
        }
        Ok(Arc::clone(shard.entry(*key).or_default()))
    }
}

// === impl Meter ===

impl Meter {
    /// Takes a call out of the bucket; nanoseconds to wait if there is none.
    fn take(&self, now: u64, quota: Quota) -> Result<(), u64> {
        let each = NANOS / u64::from(quota.per_second.max(1));
        let most = each.saturating_mul(u64::from(quota.burst.max(1)));
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now).saturating_add(each);
            let ahead = next - now.min(next);
            if ahead > most {
                return Err(ahead - most);
            }
            let swapped = self.full_at.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return Ok(()),
                Err(found) => full_at = found,
            }
        }
    }

    fn under_way(&self, shape: Shape) -> &AtomicU32 {
        match shape {
            Shape::Call => &self.calls,
            Shape::Stream => &self.streams,
        }
    }
}

// === impl Pass ===

impl Pass {
    fn take(meter: Arc<Meter>, shape: Shape, max: u32) -> Option<Self> {
        let more = |count: u32| (count < max).then_some(count + 1);
        let taken = meter.under_way(shape).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Self { meter, shape })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.meter.under_way(self.shape).fetch_sub(1, Ordering::Relaxed);
    }
}

const SHARDS: usize = 16;
const SHARD_MAX: usize = limits::METERED_IDENTITIES_MAX / SHARDS;
const NANOS: u64 = 1_000_000_000;
const BUSY_RETRY_MS: u64 = 1_000;
const RATE: &str = "calls per second";
const CALLS: &str = "calls at once";
const STREAMS: &str = "streams at once";
const IDENTITIES: &str = "certificates at once";

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [1; 32];

    fn meters(quota: Quota) -> Meters {
        Meters::new(quota, Arc::new(Metrics::new("0")))
    }

    fn wait(outcome: Result<Pass, Reject>) -> Option<(&'static str, u64)> {
        match outcome {
            Ok(_) => None,
            Err(Reject::Throttled { limit, retry_ms, .. }) => Some((limit, retry_ms)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_burst_is_let_in_and_then_the_rate() {
        let meters = meters(Quota { per_second: 10, burst: 3, ..Quota::default() });
        let ask = |ms: u64| wait(meters.admit_at(ms * 1_000_000, &KEY, "p", Shape::Call));
        for _ in 0..3 {
            assert_eq!(ask(0), None);
        }
        assert_eq!(ask(0), Some((RATE, 100)));
        assert_eq!(ask(40), Some((RATE, 60)));
        assert_eq!(ask(100), None);
        assert_eq!(ask(100), Some((RATE, 100)));
        for _ in 0..3 {
            assert_eq!(ask(10_000), None, "no more than a burst is saved");
        }
        assert_eq!(ask(10_000), Some((RATE, 100)));
        let other = wait(meters.admit_at(0, &[2; 32], "q", Shape::Call));
        assert_eq!(other, None, "another certificate has its own");
    }

    #[test]
    fn calls_and_streams_have_their_places_and_give_them_back() {
        let meters = meters(Quota { calls: 2, streams: 1, ..Quota::default() });
        let ask = |shape| meters.admit_at(0, &KEY, "p", shape);
        let (one, _two) = (ask(Shape::Call).unwrap(), ask(Shape::Call).unwrap());
        let stream = ask(Shape::Stream).unwrap();
        assert_eq!(wait(ask(Shape::Call)), Some((CALLS, BUSY_RETRY_MS)));
        assert_eq!(wait(ask(Shape::Stream)), Some((STREAMS, BUSY_RETRY_MS)));
        drop((one, stream));
        assert!(ask(Shape::Call).is_ok());
        assert!(ask(Shape::Stream).is_ok());
    }

    #[test]
    fn the_table_forgets_who_is_idle_and_is_never_larger() {
        let meters = meters(Quota { per_second: 1_000, burst: 1, ..Quota::default() });
        let key = |n: usize| {
            let mut key = [0; 32];
            key[1..9].copy_from_slice(&(n as u64).to_be_bytes());
            key
        };
        let held = meters.admit_at(0, &key(0), "p", Shape::Stream).unwrap();
        for n in 1..SHARD_MAX {
            assert!(meters.admit_at(0, &key(n), "p", Shape::Call).is_ok());
        }
        let full = meters.admit_at(0, &key(SHARD_MAX), "p", Shape::Call);
        assert!(matches!(full, Err(Reject::Busy { limit: IDENTITIES, .. })), "{full:?}");
        assert!(meters.admit_at(10_000_000, &key(SHARD_MAX), "p", Shape::Call).is_ok());
        assert_eq!(meters.table[0].lock().unwrap().len(), 2, "who has a stream, and who came");
        drop(held);
    }
}
