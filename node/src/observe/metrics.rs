//! Metrics in the OpenMetrics text format; every name begins with `registry_`.
//!
//! Labels come from closed sets (enums, names of the charter, method names of our own services),
//! never from what a client sent.

mod logs;

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
        info::Info,
    },
    registry::Registry,
};
use registry_proto::terms::Land;

use self::logs::Logs;
use crate::observe::{
    ApprovalMetrics, ArtefactMetrics, AuditMetrics, CertificateMetrics, CharterMetrics,
    ConnectionMetrics,
};

/// Label for a method that is none of ours; the path of a request MUST NOT become a label.
pub const METHOD_UNKNOWN: &str = "unknown";

/// All metrics of a node. Setting one never blocks and never fails.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    tls_handshakes: Family<Handshake, Counter>,
    requests: Family<Request, Counter>,
    request_seconds: Family<Method, Histogram, Buckets>,
    publishes: Counter,
    logs: Logs,
    peer_faults: Family<PeerFault, Counter>,
    partner_lapses: Family<PartnerLapse, Counter>,
    votes_uncounted: Family<UncountedVotes, Gauge>,
    node: NodeGauges,
    artefacts: ArtefactMetrics,
    certificates: CertificateMetrics,
    connections: ConnectionMetrics,
    audit: AuditMetrics,
    approvals: ApprovalMetrics,
    charters: CharterMetrics,
}

#[derive(Debug, Default)]
struct NodeGauges {
    fence_open: Gauge,
    fence_copied: Gauge,
    signing_failed: Gauge,
    fence_closed: Family<Closed, Counter>,
    fence_unfenced: Counter,
    submissions_waiting: Gauge,
    sessions: Gauge,
    journal_bytes: Gauge,
    index_rebuild: Gauge<f64, AtomicU64>,
    watches: Gauge,
    receipts: Gauge,
    certificate_expiry: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Handshake {
    listener: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Method {
    method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLand {
    land: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PeerFault {
    land: &'static str,
    fault: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Closed {
    why: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PartnerLapse {
    land: &'static str,
    lapse: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct UncountedVotes {
    land: &'static str,
    cause: &'static str,
}

/// Makes the histogram of one method.
#[derive(Clone, Copy, Debug, Default)]
struct Buckets;

// === impl Metrics ===

impl Metrics {
    /// Metrics of a node; `version` is that of the software.
    pub fn new(version: &str) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("registry"),
            tls_handshakes: Family::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Buckets),
            publishes: Counter::default(),
            logs: Logs::default(),
            peer_faults: Family::default(),
            partner_lapses: Family::default(),
            votes_uncounted: Family::default(),
            node: NodeGauges::default(),
            artefacts: ArtefactMetrics::default(),
            certificates: CertificateMetrics::default(),
            connections: ConnectionMetrics::default(),
            audit: AuditMetrics::default(),
            approvals: ApprovalMetrics::default(),
            charters: CharterMetrics::default(),
        };
        metrics.register(version);
        metrics
    }

    /// All metrics as text, in the OpenMetrics format.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // writing to a String does not fail
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    /// Counts a handshake; both labels from closed enums.
    pub fn tls_handshake(&self, listener: &'static str, outcome: &'static str) {
        self.tls_handshakes.get_or_create(&Handshake { listener, outcome }).inc();
    }

    /// Counts a finished request. `method` MUST be a name of our own services, [`METHOD_UNKNOWN`],
    /// or `web` for all that is asked there.
    pub fn request(&self, method: &'static str, code: &'static str, took: Duration) {
        self.requests.get_or_create(&Request { method, code }).inc();
        self.request_seconds.get_or_create(&Method { method }).observe(took.as_secs_f64());
    }

    /// Counts records that were published and are durable.
    pub fn published(&self, records: u64) {
        self.publishes.inc_by(records);
    }

    /// Receipts of all Länder that are kept here.
    pub fn set_receipts(&self, receipts: usize) {
        self.node.receipts.set(clamp(receipts as u64));
    }

    /// Whether the node may sign.
    pub fn set_fence_open(&self, open: bool) {
        self.node.fence_open.set(i64::from(open));
    }

    /// Whether another copy of this node signs with the same keys.
    pub fn set_fence_copied(&self, copied: bool) {
        self.node.fence_copied.set(i64::from(copied));
    }

    /// Whether a key of the Land did not sign when it was asked last.
    pub fn set_signing_failed(&self, failed: bool) {
        self.node.signing_failed.set(i64::from(failed));
    }

    /// Submissions between authorisation and answer.
    pub fn set_submissions_waiting(&self, waiting: usize) {
        self.node.submissions_waiting.set(clamp(waiting as u64));
    }

    /// Sessions with partners.
    pub fn set_sessions(&self, sessions: usize) {
        self.node.sessions.set(clamp(sessions as u64));
    }

    /// Bytes of all journals.
    pub fn set_journal_bytes(&self, bytes: u64) {
        self.node.journal_bytes.set(clamp(bytes));
    }

    /// Part of the index that is rebuilt, 0 to 1; 1 when nothing is to do.
    pub fn set_index_rebuild(&self, part: f64) {
        self.node.index_rebuild.set(part);
    }

    /// Watch streams.
    pub fn set_watches(&self, streams: usize) {
        self.node.watches.set(clamp(streams as u64));
    }

    /// Counts that the fence closed while the node ran; `why` from a closed list.
    pub fn fence_closed(&self, why: &'static str) {
        self.node.fence_closed.get_or_create(&Closed { why }).inc();
    }

    /// Counts a fault of a member; `fault` from a closed enum.
    pub fn peer_fault(&self, land: Land, fault: &'static str) {
        self.peer_faults.get_or_create(&PeerFault { land: land.code(), fault }).inc();
    }

    /// Counts what a partner failed to do without breaking the protocol; `lapse` from a closed
    /// enum.
    pub fn partner_lapse(&self, land: Land, lapse: &'static str) {
        self.partner_lapses.get_or_create(&PartnerLapse { land: land.code(), lapse }).inc();
    }

    /// Votes of a member that count nowhere; `cause` from a closed enum.
    pub fn set_votes_uncounted(&self, land: Land, cause: &'static str, votes: u64) {
        let labels = UncountedVotes { land: land.code(), cause };
        self.votes_uncounted.get_or_create(&labels).set(clamp(votes));
    }

    /// Counts that the fence opened by policy, with nobody asked.
    pub fn opened_unfenced(&self) {
        self.node.fence_unfenced.inc();
    }

    /// What is counted about connections.
    pub fn connections(&self) -> &ConnectionMetrics {
        &self.connections
    }

    /// What is counted about the audit log.
    pub fn audit(&self) -> &AuditMetrics {
        &self.audit
    }

    /// What is counted about submissions that wait for a second person.
    pub fn approvals(&self) -> &ApprovalMetrics {
        &self.approvals
    }

    /// The chain of charters.
    pub fn charters(&self) -> &CharterMetrics {
        &self.charters
    }

    /// What is counted about artefacts.
    pub fn artefacts(&self) -> &ArtefactMetrics {
        &self.artefacts
    }

    /// What is counted about certificates.
    pub fn certificates(&self) -> &CertificateMetrics {
        &self.certificates
    }

    /// End of validity of the node's own certificate, Unix seconds.
    pub fn set_certificate_expiry(&self, unix_seconds: i64) {
        self.node.certificate_expiry.set(unix_seconds);
    }

    fn register(&mut self, version: &str) {
        let r = &mut self.registry;
        r.register(
            "build",
            "Software of this node",
            Info::new(vec![("version".to_owned(), version.to_owned())]),
        );
        r.register("tls_handshakes", "TLS handshakes by outcome", self.tls_handshakes.clone());
        r.register("requests", "Finished requests", self.requests.clone());
        r.register(
            "request_duration_seconds",
            "Time from request to end of answer",
            self.request_seconds.clone(),
        );
        r.register("publishes", "Records published here and durable", self.publishes.clone());
        r.register("peer_faults", "Breaches of the protocol by a member", self.peer_faults.clone());
        r.register(
            "partner_lapses",
            "Times a partner was silent, delivered or served nothing, or told what does not count",
            self.partner_lapses.clone(),
        );
        r.register(
            "votes_uncounted",
            "Votes about charters that do not count",
            self.votes_uncounted.clone(),
        );
        self.logs.register(r);
        self.node.register(r);
        self.artefacts.register(r);
        self.certificates.register(r);
        self.connections.register(r);
        self.audit.register(r);
        self.approvals.register(r);
        self.charters.register(r);
    }
}

// === impl NodeGauges ===

impl NodeGauges {
    fn register(&self, r: &mut Registry) {
        r.register("fence_open", "1 if this node may sign", self.fence_open.clone());
        r.register(
            "fence_copied",
            "1 if another copy of this node signs with the same keys",
            self.fence_copied.clone(),
        );
        r.register(
            "signing_failed",
            "1 while a key of this Land does not sign",
            self.signing_failed.clone(),
        );
        r.register(
            "fence_closed",
            "Times the fence was closed, or closed anew, while this node ran, by cause",
            self.fence_closed.clone(),
        );
        r.register(
            "fence_unfenced",
            "Times publishing opened by policy, with no answer of a partner",
            self.fence_unfenced.clone(),
        );
        r.register(
            "submissions_waiting",
            "Submissions between authorisation and answer",
            self.submissions_waiting.clone(),
        );
        r.register("sessions", "Sessions with partners", self.sessions.clone());
        r.register("journal_bytes", "Bytes of all journals", self.journal_bytes.clone());
        r.register(
            "index_rebuild_ratio",
            "Part of the index that is rebuilt; 1 when nothing is to do",
            self.index_rebuild.clone(),
        );
        r.register("receipts", "Receipts of all Länder kept here", self.receipts.clone());
        r.register("watch_streams", "Watch streams", self.watches.clone());
        r.register(
            "certificate_expiry_timestamp_seconds",
            "End of validity of the node's certificate",
            self.certificate_expiry.clone(),
        );
    }
}

// === impl Buckets ===

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

fn of(land: Land) -> OfLand {
    OfLand { land: land.code() }
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

const SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[cfg(test)]
mod tests {
    use registry_core::status::LogState;

    use super::*;

    #[test]
    fn every_name_begins_with_registry_and_is_there_after_it_was_set() {
        let metrics = Metrics::new("0.1.0");
        metrics.tls_handshake("grpc", "ok");
        metrics.request("Publish", "OK", Duration::from_millis(3));
        metrics.published(2);
        metrics.set_entries_stored(Land::SL, 7);
        metrics.set_log_size(Land::SL, 7);
        metrics.set_log_folded(Land::SL, 6);
        metrics.set_log_behind(Land::SL, 3);
        metrics.set_log_forked(Land::RP, true);
        metrics.set_log_cosigned(Land::RP, 2);
        metrics.set_receipts(8);
        metrics.set_lag("rp-1.demo.example", Land::RP, 4);
        metrics.set_replication_state(Land::RP, LogState::Stale);
        metrics.set_replication_state(Land::RP, LogState::Live);
        metrics.set_freshness_age(Land::RP, Duration::from_millis(1_500));
        metrics.set_recorded_ahead(Land::RP, Duration::from_secs(90));
        metrics.set_freshness_ahead(Land::RP, Duration::from_secs(900));
        metrics.set_fence_open(true);
        metrics.set_fence_copied(false);
        metrics.set_signing_failed(true);
        metrics.fence_closed("frozen");
        metrics.set_submissions_waiting(1);
        metrics.set_sessions(3);
        metrics.set_journal_bytes(u64::MAX);
        metrics.set_index_rebuild(0.5);
        metrics.set_watches(9);
        metrics.peer_fault(Land::TH, "bad_signature");
        metrics.partner_lapse(Land::TH, "silent");
        metrics.set_votes_uncounted(Land::TH, "twice", 1);
        metrics.set_erasures_void(Land::TH, 2);
        metrics.set_retirements_held(Land::TH, 4);
        metrics.set_journal_damage(Land::TH, 3);
        metrics.opened_unfenced();
        metrics.set_certificate_expiry(1_800_000_000);

        let text = metrics.encode();
        for line in [
            r#"registry_build_info{version="0.1.0"} 1"#,
            r#"registry_tls_handshakes_total{listener="grpc",outcome="ok"} 1"#,
            r#"registry_requests_total{method="Publish",code="OK"} 1"#,
            r#"registry_request_duration_seconds_bucket{le="0.005",method="Publish"} 1"#,
            "registry_publishes_total 2",
            r#"registry_entries_stored{land="SL"} 7"#,
            r#"registry_log_size{land="SL"} 7"#,
            r#"registry_log_folded{land="SL"} 6"#,
            r#"registry_log_behind_entries{land="SL"} 3"#,
            r#"registry_log_forked{land="RP"} 1"#,
            r#"registry_log_cosigned_entries{land="RP"} 2"#,
            "registry_receipts 8",
            r#"registry_lag_entries{peer="rp-1.demo.example",land="RP"} 4"#,
            r#"registry_replication_state{land="RP",state="stale"} 0"#,
            r#"registry_replication_state{land="RP",state="live"} 1"#,
            r#"registry_freshness_age_seconds{land="RP"} 1.5"#,
            r#"registry_recorded_ahead_seconds{land="RP"} 90.0"#,
            r#"registry_freshness_ahead_seconds{land="RP"} 900.0"#,
            "registry_fence_open 1",
            "registry_fence_copied 0",
            "registry_signing_failed 1",
            r#"registry_fence_closed_total{why="frozen"} 1"#,
            "registry_submissions_waiting 1",
            "registry_sessions 3",
            "registry_journal_bytes 9223372036854775807",
            "registry_index_rebuild_ratio 0.5",
            "registry_watch_streams 9",
            r#"registry_peer_faults_total{land="TH",fault="bad_signature"} 1"#,
            r#"registry_partner_lapses_total{land="TH",lapse="silent"} 1"#,
            r#"registry_votes_uncounted{land="TH",cause="twice"} 1"#,
            r#"registry_erasures_void{land="TH"} 2"#,
            r#"registry_retirements_held{land="TH"} 4"#,
            r#"registry_journal_damage{land="TH"} 3"#,
            "registry_fence_unfenced_total 1",
            "registry_certificate_expiry_timestamp_seconds 1800000000",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("registry_"), "{line}");
        }
    }
}
