//! Metrics of the chain of charters, `registry_charter*`.

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

/// What is known about the charter in force.
#[derive(Debug, Default)]
pub struct CharterMetrics {
    number: Gauge,
    unproved: Gauge,
    contradicted: Gauge,
    told: Gauge,
    later: Gauge,
}

// === impl CharterMetrics ===

impl CharterMetrics {
    /// Number of the charter in force, how many were told here without votes or a proof, and how many
    /// against the votes.
    pub fn set(&self, number: u64, unproved: usize, contradicted: usize) {
        self.number.set(clamp(number));
        self.unproved.set(clamp(unproved as u64));
        self.contradicted.set(clamp(contradicted as u64));
    }

    /// How many partners told with a proof.
    pub fn set_told(&self, told: usize) {
        self.told.set(clamp(told as u64));
    }

    /// Number of the latest charter that a connected partner runs under and this node does not; 0 if
    /// none does.
    pub fn set_later(&self, number: u64) {
        self.later.set(clamp(number));
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register("charter_number", "Number of the charter in force", self.number.clone());
        r.register(
            "charters_unproved",
            "Charters told to this node for which it has neither votes nor a proof of them",
            self.unproved.clone(),
        );
        r.register(
            "charters_contradicted",
            "Charters in force here while the votes decide another one",
            self.contradicted.clone(),
        );
        r.register(
            "charters_told",
            "Charters that partners told with a proof, before the votes were here",
            self.told.clone(),
        );
        r.register(
            "charter_later",
            "Number of a later charter that a connected partner runs under; 0 if none does",
            self.later.clone(),
        );
    }
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
