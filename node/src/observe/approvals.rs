//! Metrics of submissions that wait for a second person, `registry_approvals*`.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counts what waits and what becomes of it.
#[derive(Debug, Default)]
pub struct ApprovalMetrics {
    waiting: Gauge,
    outcomes: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

// === impl ApprovalMetrics ===

impl ApprovalMetrics {
    /// How many wait.
    pub fn set_waiting(&self, waiting: usize) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Counts what became of one; from a closed set.
    pub fn counted(&self, outcome: &'static str) {
        self.outcomes.get_or_create(&Outcome { outcome }).inc();
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "approvals_waiting",
            "Submissions that wait for a second person",
            self.waiting.clone(),
        );
        r.register(
            "approvals",
            "Submissions by what became of them: held, accepted, rejected, expired",
            self.outcomes.clone(),
        );
    }
}
