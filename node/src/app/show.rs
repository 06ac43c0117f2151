//! Makes the state of the core visible: status board, metrics, who is connected.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use registry_core::{
    authorize::PeerIdentity,
    status::{PeerLogStatus, Status},
};
use registry_journal::Reader;
use registry_proto::terms::{Land, LogId};
use tokio::sync::watch;

use crate::{
    driver::{Clock, ShowStatus},
    erasure::Erasures,
    index::Index,
    observe::Metrics,
    status::StatusBoard,
};

#[derive(Debug)]
pub(super) struct Show {
    board: StatusBoard,
    metrics: Arc<Metrics>,
    connected: watch::Sender<BTreeSet<PeerIdentity>>,
    index: Index,
    readers: BTreeMap<LogId, Reader>,
    erasures: Erasures,
    clock: Clock,
    /// Every partner seen since the start: those that left are shown as not connected.
    seen: BTreeMap<(PeerIdentity, LogId), PeerLogStatus>,
}

// === impl Show ===

impl Show {
    pub(super) fn new(
        board: StatusBoard,
        metrics: Arc<Metrics>,
        connected: watch::Sender<BTreeSet<PeerIdentity>>,
        index: Index,
        readers: BTreeMap<LogId, Reader>,
        erasures: Erasures,
        clock: Clock,
    ) -> Self {
        let seen = BTreeMap::new();
        Self { board, metrics, connected, index, readers, erasures, clock, seen }
    }

    fn metrics(&self, status: &Status) {
        let metrics = &self.metrics;
        let wall_ms = self.clock.wall_ms();
        let now = u64::try_from(wall_ms / 1_000).unwrap_or_default();
        let (cut, held) = (self.index.store().cut(), self.index.keeper().counted());
        let mut missing: BTreeMap<Land, u64> = BTreeMap::new();
        for log in &status.logs {
            let land = log.log.land;
            let behind = missing.entry(land).or_default();
            *behind += log.known.saturating_sub(log.size);
            // numbers of a Land are those of the epoch it writes; what is missing is that of all
            if log.ends.is_some() {
                continue;
            }
            metrics.set_entries_stored(land, log.size);
            let of_land = held.iter().filter(|(log, _)| log.land == land);
            metrics.set_retirements_held(land, of_land.map(|(_, moves)| moves).sum());
            metrics.set_log_size(land, log.known);
            metrics.set_log_folded(land, cut.size(log.log));
            metrics.set_replication_state(land, log.state);
            metrics.set_log_behind(land, *behind);
            metrics.set_log_forked(land, log.forked);
            metrics.set_log_cosigned(land, log.cosigned);
            let ahead = u64::try_from(log.recorded_ms.saturating_sub(wall_ms)).unwrap_or_default();
            metrics.set_recorded_ahead(land, Duration::from_millis(ahead));
            metrics.set_freshness_ahead(land, Duration::from_secs(log.ahead_seconds));
            // no age before the first signature: an age since 1970 would only raise alarms
            if log.fresh_unix_seconds > 0 {
                let age = now.saturating_sub(log.fresh_unix_seconds);
                metrics.set_freshness_age(land, Duration::from_secs(age));
            }
        }
        for peer in &status.peers {
            metrics.set_lag(&peer.peer.node, peer.log.land, peer.lag);
        }
        for (land, erasures) in self.erasures.void() {
            metrics.set_erasures_void(land, erasures);
        }
        metrics.set_fence_open(status.fence_open);
        metrics.set_fence_copied(status.copied);
        metrics.set_signing_failed(status.signing_failed);
        metrics.set_submissions_waiting(status.submissions_waiting);
        let later = status.later_charter.as_ref().map_or(0, |it| it.number);
        metrics.charters().set_later(later);
        metrics.set_sessions(status.connected.len());
        metrics.set_journal_bytes(self.readers.values().map(Reader::bytes).sum());
        metrics.set_index_rebuild(self.folded());
    }

    /// Part of all entries that the catalogue shows, 0 to 1.
    fn folded(&self) -> f64 {
        let (folded, size) =
            self.index.progress().iter().fold((0, 0), |(folded, size), it| {
                (folded + it.folded.min(it.size), size + it.size)
            });
        if size == 0 { 1.0 } else { folded as f64 / size as f64 }
    }

    /// Adds what partners held that are gone now; they lack at least what came since.
    fn with_absent(&mut self, mut status: Status) -> Status {
        let sizes: BTreeMap<LogId, u64> = status.logs.iter().map(|it| (it.log, it.size)).collect();
        for it in status.peers.drain(..) {
            self.seen.insert((it.peer.clone(), it.log), it);
        }
        for it in self.seen.values_mut() {
            let size = sizes.get(&it.log).copied().unwrap_or_default();
            it.lag = size.saturating_sub(it.size);
        }
        status.peers = self.seen.values().cloned().collect();
        status
    }
}

impl ShowStatus for Show {
    fn show(&mut self, status: Status) {
        let connected: BTreeSet<_> = status.connected.iter().cloned().collect();
        let status = self.with_absent(status);
        // whoever saw it in the metrics finds it in the status too
        self.board.set(status);
        let status = self.board.load();
        self.metrics(&status);
        self.connected.send_if_modified(|known| {
            let changed = *known != connected;
            *known = connected;
            changed
        });
    }
}
