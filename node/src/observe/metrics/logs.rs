//! Metrics of logs: how far they are, and how they stand to their owners.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use registry_core::status::LogState;
use registry_proto::terms::Land;

use super::{Metrics, OfLand, clamp, of};

#[derive(Debug, Default)]
pub(super) struct Logs {
    entries: Family<OfLand, Gauge>,
    size: Family<OfLand, Gauge>,
    folded: Family<OfLand, Gauge>,
    lag: Family<OfPeer, Gauge>,
    behind: Family<OfLand, Gauge>,
    forked: Family<OfLand, Gauge>,
    cosigned: Family<OfLand, Gauge>,
    state: Family<OfState, Gauge>,
    freshness_age: Family<OfLand, Gauge<f64, AtomicU64>>,
    recorded_ahead: Family<OfLand, Gauge<f64, AtomicU64>>,
    freshness_ahead: Family<OfLand, Gauge<f64, AtomicU64>>,
    erasures_void: Family<OfLand, Gauge>,
    retirements_held: Family<OfLand, Gauge>,
    journal_damage: Family<OfLand, Gauge>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfPeer {
    peer: String,
    land: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfState {
    land: &'static str,
    state: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Entries of a log that are stored here.
    pub fn set_entries_stored(&self, land: Land, entries: u64) {
        self.logs.entries.get_or_create(&of(land)).set(clamp(entries));
    }

    /// Size of the newest verified checkpoint of a log.
    pub fn set_log_size(&self, land: Land, size: u64) {
        self.logs.size.get_or_create(&of(land)).set(clamp(size));
    }

    /// Entries of a log that the catalogue shows.
    pub fn set_log_folded(&self, land: Land, entries: u64) {
        self.logs.folded.get_or_create(&of(land)).set(clamp(entries));
    }

    /// Entries of the newest verified checkpoint of a log that are not stored here yet.
    pub fn set_log_behind(&self, land: Land, entries: u64) {
        self.logs.behind.get_or_create(&of(land)).set(clamp(entries));
    }

    /// Whether there is proof that the owner of a log signed two histories.
    pub fn set_log_forked(&self, land: Land, forked: bool) {
        self.logs.forked.get_or_create(&of(land)).set(i64::from(forked));
    }

    /// Entries of a log that more than half of the members cosigned.
    pub fn set_log_cosigned(&self, land: Land, entries: u64) {
        self.logs.cosigned.get_or_create(&of(land)).set(clamp(entries));
    }

    /// Entries by which a partner's node is ahead of what is stored here.
    pub fn set_lag(&self, peer: &str, land: Land, entries: u64) {
        let labels = OfPeer { peer: peer.to_owned(), land: land.code() };
        self.logs.lag.get_or_create(&labels).set(clamp(entries));
    }

    /// State of a log; the others become 0.
    pub fn set_replication_state(&self, land: Land, state: LogState) {
        for each in LogState::ALL {
            let labels = OfState { land: land.code(), state: each.label() };
            self.logs.state.get_or_create(&labels).set(i64::from(each == state));
        }
    }

    /// Time since the newest freshness of a log came.
    pub fn set_freshness_age(&self, land: Land, age: Duration) {
        self.logs.freshness_age.get_or_create(&of(land)).set(age.as_secs_f64());
    }

    /// By how much the newest entry of a log was recorded in the future, by the clock of this node.
    pub fn set_recorded_ahead(&self, land: Land, ahead: Duration) {
        self.logs.recorded_ahead.get_or_create(&of(land)).set(ahead.as_secs_f64());
    }

    /// How far the owner of a log signs ahead of the clock here, if too far to count as newer.
    pub fn set_freshness_ahead(&self, land: Land, ahead: Duration) {
        self.logs.freshness_ahead.get_or_create(&of(land)).set(ahead.as_secs_f64());
    }

    /// Erasures in a log that erase nothing, as far as they were read since the start.
    pub fn set_erasures_void(&self, land: Land, erasures: u64) {
        self.logs.erasures_void.get_or_create(&of(land)).set(clamp(erasures));
    }

    /// Retirements of a Land that count only once an operator accepts them.
    pub fn set_retirements_held(&self, land: Land, held: u64) {
        self.logs.retirements_held.get_or_create(&of(land)).set(clamp(held));
    }

    /// One more finding of damage in the journals of a Land.
    pub fn add_journal_damage(&self, land: Land) {
        self.logs.journal_damage.get_or_create(&of(land)).inc();
    }

    /// Findings of damage in the journals of a Land when they were opened.
    pub fn set_journal_damage(&self, land: Land, findings: u64) {
        self.logs.journal_damage.get_or_create(&of(land)).set(clamp(findings));
    }
}

// === impl Logs ===

impl Logs {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register("entries_stored", "Entries of a log stored here", self.entries.clone());
        r.register("log_size", "Size of the newest verified checkpoint", self.size.clone());
        r.register("log_folded", "Entries of a log shown in the catalogue", self.folded.clone());
        r.register(
            "log_behind_entries",
            "Entries that are known to count and are not stored here yet",
            self.behind.clone(),
        );
        r.register(
            "log_forked",
            "1 if there is proof that the owner of a log signed two histories",
            self.forked.clone(),
        );
        r.register(
            "log_cosigned_entries",
            "Entries of a log that more than half of the members cosigned",
            self.cosigned.clone(),
        );
        r.register("lag_entries", "Entries a partner has and this node has not", self.lag.clone());
        r.register(
            "replication_state",
            "1 for the state of a log, 0 for the others",
            self.state.clone(),
        );
        r.register(
            "freshness_age_seconds",
            "Time since the newest freshness of a log came",
            self.freshness_age.clone(),
        );
        r.register(
            "recorded_ahead_seconds",
            "By how much the newest entry of a log was recorded in the future",
            self.recorded_ahead.clone(),
        );
        r.register(
            "freshness_ahead_seconds",
            "By how much the owner of a log signs in the future, if too far to count as newer",
            self.freshness_ahead.clone(),
        );
        r.register(
            "erasures_void",
            "Erasures in a log that erase nothing, read since the start",
            self.erasures_void.clone(),
        );
        r.register(
            "retirements_held",
            "Retirements of a Land that count only once an operator accepts them",
            self.retirements_held.clone(),
        );
        r.register(
            "journal_damage",
            "Findings of damage when the journals of a Land were opened",
            self.journal_damage.clone(),
        );
    }
}
