//! What readers are told about this node, its logs and its partners.

use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use registry_core::{
    authorize::PeerIdentity,
    status::{LaterState, LogState, LogStatus, PeerLogStatus, ResetsTold, Status},
    view::Cut,
};
use registry_journal::Reader;
use registry_proto::{
    terms::Land,
    wire::registry::{
        AsOf, BarredBy, CharterStanding, LaterCharter, LaterCharterState, PeerLog, ReplicationState,
    },
};

use crate::{certificates::CertificateBoard, epochs::Aside};

/// The newest state that the driver showed. Cheap to clone; all clones are one board.
#[derive(Clone, Debug)]
pub struct StatusBoard {
    status: Arc<ArcSwap<Status>>,
    certificates: CertificateBoard,
    charter: Arc<ArcSwap<CharterStanding>>,
    barred: Arc<ArcSwapOption<BarredBy>>,
    /// What was set aside of each epoch of the own log, and that log.
    aside: Arc<OnceLock<Vec<(Aside, Reader)>>>,
}

// === impl StatusBoard ===

impl StatusBoard {
    /// A board before the driver has shown anything.
    pub fn new() -> Self {
        let status = Status {
            logs: Vec::new(),
            peers: Vec::new(),
            connected: Vec::new(),
            fence: "the node starts".to_owned(),
            fence_open: false,
            copied: false,
            signing_failed: false,
            submissions_waiting: 0,
            later_charter: None,
            resets_told: ResetsTold::new(),
        };
        let status = Arc::new(ArcSwap::from_pointee(status));
        let (certificates, charter) = (CertificateBoard::default(), Arc::default());
        Self { status, certificates, charter, barred: Arc::default(), aside: Arc::default() }
    }

    /// Takes what was set aside of each epoch of the own log, to be named while it is not there; once.
    pub fn names_aside(&self, aside: Vec<(Aside, Reader)>) {
        // the first stays: a board is of one life of a node
        let _ = self.aside.set(aside);
    }

    /// What was set aside and is not in the own log, for its operator.
    pub fn set_aside(&self) -> Option<String> {
        let all = self.aside.get().into_iter().flatten();
        let told: Vec<_> = all.filter_map(|(aside, own)| aside.told(own)).collect();
        (!told.is_empty()).then(|| told.join(" "))
    }

    /// What bears out the charter in force; its digest is empty before the votes were read.
    pub fn charter(&self) -> CharterStanding {
        self.as_partners_say(CharterStanding::clone(&self.charter.load()))
    }

    /// The same with what partners say of later charters.
    pub fn as_partners_say(&self, standing: CharterStanding) -> CharterStanding {
        let barred = self.barred.load().as_deref().cloned();
        CharterStanding { later: self.later_charter(), barred, ..standing }
    }

    /// A partner lets this node in, or does not because of the charter there.
    pub fn set_barred(&self, partner: &PeerIdentity, removed: Option<bool>) {
        let is = |it: &BarredBy| it.land == partner.land.code() && it.node == partner.node;
        let told = removed.map(|removed| {
            let (land, node) = (partner.land.code().to_owned(), partner.node.clone());
            Arc::new(BarredBy { land, node, removed })
        });
        // what another one said stays
        if told.is_some() || self.barred.load().as_deref().is_some_and(is) {
            self.barred.store(told);
        }
    }

    /// A later charter that a partner runs under.
    pub fn later_charter(&self) -> Option<LaterCharter> {
        self.status.load().later_charter.as_ref().map(later_charter)
    }

    /// Replaces what is told about the charter in force.
    pub fn set_charter(&self, standing: CharterStanding) {
        self.charter.store(Arc::new(standing));
    }

    /// What is told about certificates.
    pub fn certificates(&self) -> &CertificateBoard {
        &self.certificates
    }

    /// Replaces what is shown; for the driver.
    pub fn set(&self, status: Status) {
        self.status.store(Arc::new(status));
    }

    /// What is shown now.
    pub fn load(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// What an answer at `cut` rests on, per Land that passes, in the order of the charter.
    pub fn as_of(&self, cut: &Cut, passes: impl Fn(Land) -> bool) -> Vec<AsOf> {
        let status = self.status.load();
        let logs = status.logs.iter().filter(|it| passes(it.log.land));
        let mut all: Vec<_> = logs.map(|it| as_of(it, cut)).collect();
        // a log that the driver has not shown yet
        for (land, (epoch, folded)) in cut.newest() {
            if passes(land) && !all.iter().any(|it| it.land == land.code()) {
                all.push(AsOf {
                    land: land.code().to_owned(),
                    epoch,
                    size: folded,
                    folded,
                    fresh_at: None,
                    known: folded,
                    cosigned: 0,
                    disputed_from: None,
                    ends_at: None,
                    discarded_from: None,
                    ahead_seconds: 0,
                    state: ReplicationState::Bootstrapping as i32,
                });
            }
        }
        all
    }

    /// What an answer at `cut` about a service of `land` rests on.
    pub fn as_of_land(&self, cut: &Cut, land: Land) -> Option<AsOf> {
        self.as_of(cut, |other| other == land).pop()
    }

    /// What partners hold.
    pub fn peers(&self) -> Vec<PeerLog> {
        let status = self.status.load();
        let connected = |it: &PeerLogStatus| status.connected.contains(&it.peer);
        status.peers.iter().map(|it| peer_log(it, connected(it))).collect()
    }
}

impl Default for StatusBoard {
    fn default() -> Self {
        Self::new()
    }
}

fn later_charter(it: &registry_core::status::LaterCharter) -> LaterCharter {
    let state = match it.state {
        LaterState::Waiting => LaterCharterState::Waiting,
        LaterState::Asked => LaterCharterState::Asked,
        LaterState::Told => LaterCharterState::Told,
        LaterState::Unproved => LaterCharterState::Unproved,
        LaterState::Unreadable => LaterCharterState::Unreadable,
        LaterState::Differs => LaterCharterState::Differs,
        LaterState::False => LaterCharterState::False,
        LaterState::Contradicted => LaterCharterState::Contradicted,
        LaterState::Stuck => LaterCharterState::Stuck,
    };
    LaterCharter {
        number: it.number,
        land: it.peer.land.code().to_owned(),
        node: it.peer.node.clone(),
        state: state.into(),
    }
}

fn as_of(it: &LogStatus, cut: &Cut) -> AsOf {
    let folded = cut.size(it.log);
    let fresh = i64::try_from(it.fresh_unix_seconds).ok().filter(|&seconds| seconds > 0);
    AsOf {
        land: it.log.land.code().to_owned(),
        epoch: it.log.epoch,
        // the board can be older than the cut
        size: it.size.max(folded),
        folded,
        fresh_at: fresh.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
        state: wire_state(it.state) as i32,
        known: it.known.max(folded),
        cosigned: it.cosigned,
        // what a reset keeps of two histories more than half of the others agreed on
        disputed_from: (it.forked && it.ends.is_none()).then_some(it.cosigned),
        ends_at: it.ends_at,
        discarded_from: it.ends,
        ahead_seconds: it.ahead_seconds,
    }
}

fn peer_log(it: &PeerLogStatus, connected: bool) -> PeerLog {
    PeerLog {
        peer_land: it.peer.land.code().to_owned(),
        peer_node: it.peer.node.clone(),
        connected,
        land: it.log.land.code().to_owned(),
        epoch: it.log.epoch,
        size: it.size,
        lag: it.lag,
        state: wire_state(it.state) as i32,
    }
}

/// A state as the API names it.
pub fn wire_state(state: LogState) -> ReplicationState {
    match state {
        LogState::Bootstrapping => ReplicationState::Bootstrapping,
        LogState::CatchingUp => ReplicationState::CatchingUp,
        LogState::Live => ReplicationState::Live,
        LogState::Stale => ReplicationState::Stale,
        LogState::Quarantined => ReplicationState::Quarantined,
        LogState::Suspended => ReplicationState::Suspended,
        LogState::Removed => ReplicationState::Removed,
        LogState::Ended => ReplicationState::Ended,
        LogState::Slowed => ReplicationState::Slowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_bars_this_node_takes_that_back_itself() {
        let board = StatusBoard::new();
        let of = |node: &str| PeerIdentity { land: Land::HE, node: node.to_owned() };
        let removed = || board.charter().barred.map(|it| (it.node, it.removed));
        board.set_barred(&of("he-1"), Some(false));
        assert_eq!(removed(), Some(("he-1".to_owned(), false)));
        // another partner that lets it in may not know of it yet
        board.set_barred(&of("he-2"), None);
        assert_eq!(removed(), Some(("he-1".to_owned(), false)));
        board.set_barred(&of("he-1"), Some(true));
        assert_eq!(removed(), Some(("he-1".to_owned(), true)));
        board.set_barred(&of("he-1"), None);
        assert_eq!(removed(), None);
    }
}
