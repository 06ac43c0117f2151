//! Metrics of the audit log, `registry_audit_*`.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counts lines, and acts that were refused for want of one.
#[derive(Debug, Default)]
pub struct AuditMetrics {
    lines: Gauge,
    failed: Gauge,
    refused: Counter,
    dropped: Counter,
}

// === impl AuditMetrics ===

impl AuditMetrics {
    /// Lines of the audit log.
    pub fn set_lines(&self, lines: u64) {
        self.lines.set(i64::try_from(lines).unwrap_or(i64::MAX));
    }

    /// The log cannot be written before a restart.
    pub fn set_failed(&self) {
        self.failed.set(1);
    }

    /// Counts an act that was refused because it would have had no trace.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// Counts lines that the syslog did not get.
    pub fn dropped(&self, lines: u64) {
        self.dropped.inc_by(lines);
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register("audit_lines", "Lines of the audit log", self.lines.clone());
        r.register(
            "audit_failed",
            "1 if the audit log cannot be written before a restart",
            self.failed.clone(),
        );
        r.register(
            "audit_refused_acts",
            "Acts that were refused because they would have had no trace",
            self.refused.clone(),
        );
        r.register(
            "audit_syslog_dropped_lines",
            "Lines of the audit log that the syslog did not get",
            self.dropped.clone(),
        );
    }
}
