//! Makes the state of the core visible: status board, metrics, who is connected.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use registry_core::{
    authorize::PeerIdentity,
    status::{LogState, Status},
};
use registry_journal::Reader;
use registry_proto::{
    terms::LogId,
    wire::registry::{PeerLog, ReplicationState},
};
use tokio::sync::watch;

use crate::{
    driver::{ShowStatus, wall_ms},
    index::Index,
    observe::Metrics,
    status::{LogStatus, StatusBoard},
};

#[derive(Debug)]
pub(super) struct Show {
    board: StatusBoard,
    metrics: Arc<Metrics>,
    connected: watch::Sender<BTreeSet<PeerIdentity>>,
    index: Index,
    readers: BTreeMap<LogId, Reader>,
    /// Every partner seen since the start: those that left are shown as not connected.
    seen: BTreeMap<(PeerIdentity, LogId), PeerLog>,
}

// === impl Show ===

impl Show {
    pub(super) fn new(
        board: StatusBoard,
        metrics: Arc<Metrics>,
        connected: watch::Sender<BTreeSet<PeerIdentity>>,
        index: Index,
        readers: BTreeMap<LogId, Reader>,
    ) -> Self {
        Self { board, metrics, connected, index, readers, seen: BTreeMap::new() }
    }

    fn metrics(&self, status: &Status) {
        let metrics = &self.metrics;
        let now = u64::try_from(wall_ms() / 1_000).unwrap_or_default();
        for log in &status.logs {
            let land = log.log.land;
            metrics.set_entries_stored(land, log.size);
            metrics.set_log_size(land, log.known);
            metrics.set_log_folded(land, self.index.store().cut().size(log.log));
            metrics.set_replication_state(land, wire_state(log.state));
            let age = now.saturating_sub(log.fresh_unix_seconds);
            metrics.set_freshness_age(land, Duration::from_secs(age));
        }
        for peer in &status.peers {
            metrics.set_lag(&peer.peer.node, peer.log.land, peer.lag);
        }
        metrics.set_fence_open(status.fence_open);
        metrics.set_submissions_waiting(status.submissions_waiting);
        metrics.set_sessions(status.connected.len());
        metrics.set_journal_bytes(self.readers.values().map(Reader::bytes).sum());
    }

    fn peers(&mut self, status: &Status) -> Vec<PeerLog> {
        for known in self.seen.values_mut() {
            known.connected = false;
        }
        for it in &status.peers {
            let shown = PeerLog {
                peer_land: it.peer.land.code().to_owned(),
                peer_node: it.peer.node.clone(),
                connected: true,
                land: it.log.land.code().to_owned(),
                epoch: it.log.epoch,
                size: it.size,
                lag: it.lag,
                state: wire_state(it.state).into(),
            };
            self.seen.insert((it.peer.clone(), it.log), shown);
        }
        self.seen.values().cloned().collect()
    }
}

impl ShowStatus for Show {
    fn show(&mut self, status: &Status) {
        self.metrics(status);
        let peers = self.peers(status);
        let logs = status
            .logs
            .iter()
            .map(|it| LogStatus {
                log: it.log,
                size: it.size,
                folded: self.index.store().cut().size(it.log),
                fresh_unix_seconds: it.fresh_unix_seconds,
                state: wire_state(it.state),
            })
            .collect();
        self.board.show(logs, peers, status.fence.clone(), self.index.status());
        let connected: BTreeSet<_> = status.connected.iter().cloned().collect();
        self.connected.send_if_modified(|known| {
            let changed = *known != connected;
            *known = connected;
            changed
        });
    }
}

fn wire_state(state: LogState) -> ReplicationState {
    match state {
        LogState::Bootstrapping => ReplicationState::Bootstrapping,
        LogState::CatchingUp => ReplicationState::CatchingUp,
        LogState::Live => ReplicationState::Live,
        LogState::Stale => ReplicationState::Stale,
        LogState::Quarantined => ReplicationState::Quarantined,
    }
}
