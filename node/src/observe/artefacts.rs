//! Metrics of artefacts, `registry_artefact_*`.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use registry_proto::terms::Land;

/// Counts what happens to chunks.
#[derive(Debug, Default)]
pub struct ArtefactMetrics {
    stored: Family<From, Counter>,
    stored_bytes: Family<From, Counter>,
    sent_bytes: Family<From, Counter>,
    damaged: Counter,
    fetch_failures: Family<OfLand, Counter>,
    collected: Counter,
    chunks: Gauge,
    bytes: Gauge,
    unreferenced_bytes: Gauge,
    waiting: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct From {
    by: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLand {
    land: &'static str,
}

// === impl ArtefactMetrics ===

impl ArtefactMetrics {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("artefact_chunks_stored", "Chunks that were stored", self.stored.clone());
        r.register("artefact_stored_bytes", "Bytes of them", self.stored_bytes.clone());
        r.register("artefact_sent_bytes", "Bytes of chunks sent", self.sent_bytes.clone());
        r.register(
            "artefact_chunks_damaged",
            "Chunks that were not what their name says when they were read",
            self.damaged.clone(),
        );
        r.register(
            "artefact_fetch_failures",
            "Attempts to fetch a chunk from a node of a Land that failed",
            self.fetch_failures.clone(),
        );
        r.register(
            "artefact_chunks_collected",
            "Chunks removed because no version refers to them",
            self.collected.clone(),
        );
        r.register("artefact_chunks", "Chunks stored here", self.chunks.clone());
        r.register("artefact_bytes", "Bytes of chunks stored here", self.bytes.clone());
        r.register(
            "artefact_unreferenced_bytes",
            "Bytes of chunks stored here that no version refers to",
            self.unreferenced_bytes.clone(),
        );
        r.register("artefact_chunks_waiting", "Chunks to be fetched", self.waiting.clone());
    }

    /// A chunk was stored; `by` is "upload" or "partner".
    pub fn stored(&self, by: &'static str, bytes: usize) {
        self.stored.get_or_create(&From { by }).inc();
        self.stored_bytes.get_or_create(&From { by }).inc_by(bytes as u64);
    }

    /// Bytes were sent; `by` is "client" or "partner".
    pub fn sent(&self, by: &'static str, bytes: usize) {
        self.sent_bytes.get_or_create(&From { by }).inc_by(bytes as u64);
    }

    /// A chunk was found damaged.
    pub fn damaged(&self) {
        self.damaged.inc();
    }

    /// A node of a Land did not give a chunk that it should have.
    pub fn fetch_failed(&self, land: Land) {
        self.fetch_failures.get_or_create(&OfLand { land: land.code() }).inc();
    }

    /// A chunk was removed.
    pub fn collected(&self) {
        self.collected.inc();
    }

    /// What is stored here.
    pub fn set_held(&self, chunks: usize, bytes: u64, unreferenced_bytes: u64) {
        self.chunks.set(i64::try_from(chunks).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.unreferenced_bytes.set(i64::try_from(unreferenced_bytes).unwrap_or(i64::MAX));
    }

    /// Chunks to be fetched.
    pub fn set_waiting(&self, chunks: usize) {
        self.waiting.set(i64::try_from(chunks).unwrap_or(i64::MAX));
    }
}
