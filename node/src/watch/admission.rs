//! How many watches there may be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use registry_core::{
    limits::{WATCHES_MAX, WATCHES_PER_IDENTITY_MAX},
    reject::Reject,
};

use crate::observe::Metrics;

/// Counts watches, all together and per identity.
#[derive(Debug)]
pub struct Admission {
    max: usize,
    per_identity_max: usize,
    open: Mutex<HashMap<String, usize>>,
    metrics: Option<Arc<Metrics>>,
}

/// The place of one watch; free again when dropped.
#[derive(Debug)]
pub struct Slot {
    admission: Arc<Admission>,
    identity: String,
}

// === impl Admission ===

impl Admission {
    /// With other limits than [`Admission::default`].
    pub fn new(max: usize, per_identity_max: usize) -> Self {
        Self { max, per_identity_max, open: Mutex::default(), metrics: None }
    }

    /// [`Admission::default`] that shows in the metrics how many there are.
    pub fn observed(metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..Self::default() }
    }

    /// Takes a place.
    ///
    /// # Errors
    ///
    /// [`Reject::Busy`] if none is free.
    pub fn admit(self: &Arc<Self>, identity: &str) -> Result<Slot, Reject> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= self.max {
            return Err(Reject::Busy { limit: "watches at this node", max: self.max as u64 });
        }
        let own = open.entry(identity.to_owned()).or_default();
        if *own >= self.per_identity_max {
            let max = self.per_identity_max as u64;
            return Err(Reject::Busy { limit: "watches of one certificate", max });
        }
        *own += 1;
        self.observe(&open);
        Ok(Slot { admission: Arc::clone(self), identity: identity.to_owned() })
    }

    fn observe(&self, open: &HashMap<String, usize>) {
        if let Some(metrics) = &self.metrics {
            metrics.set_watches(open.values().sum());
        }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(WATCHES_MAX, WATCHES_PER_IDENTITY_MAX)
    }
}

// === impl Slot ===

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.identity) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.remove(&self.identity);
            }
        }
        self.admission.observe(&open);
    }
}
