//! Metrics of connections, `registry_connections*`.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counts connections and how they end.
#[derive(Debug, Default)]
pub struct ConnectionMetrics {
    open: Family<OfListener, Gauge>,
    ended: Family<End, Counter>,
    answers_dropped: Family<OfListener, Counter>,
    throttled: Family<OfLimit, Counter>,
}

/// An open connection; counted until dropped.
#[derive(Debug)]
pub struct Open(Gauge);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfListener {
    listener: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct End {
    listener: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLimit {
    limit: &'static str,
}

// === impl ConnectionMetrics ===

impl ConnectionMetrics {
    /// Counts a connection while it is open.
    pub fn open(&self, listener: &'static str) -> Open {
        let gauge = self.open.get_or_create(&OfListener { listener }).clone();
        gauge.inc();
        Open(gauge)
    }

    /// Counts the end of a connection; both labels from closed sets.
    pub fn ended(&self, listener: &'static str, cause: &'static str) {
        self.ended.get_or_create(&End { listener, cause }).inc();
    }

    /// Counts an answer that its client did not take in time.
    pub fn answer_dropped(&self, listener: &'static str) {
        self.answers_dropped.get_or_create(&OfListener { listener }).inc();
    }

    /// Counts a call that was refused because its certificate asks for more than its share; the
    /// limit from a closed set.
    pub fn throttled(&self, limit: &'static str) {
        self.throttled.get_or_create(&OfLimit { limit }).inc();
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "calls_throttled",
            "Calls refused because their certificate asks for more than its share",
            self.throttled.clone(),
        );
        r.register("connections", "Connections that are open", self.open.clone());
        r.register(
            "connections_ended",
            "Connections that ended, by how: closed, flood, protocol, timeout, broken, too_many",
            self.ended.clone(),
        );
        r.register(
            "answers_dropped",
            "Answers that their client did not take in time",
            self.answers_dropped.clone(),
        );
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
