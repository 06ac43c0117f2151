//! Starts the core of a node: the writers of its logs, and the driver over all it remembers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use registry_core::{
    FencePolicy,
    authorize::PeerIdentity,
    node::{Input, Node, Setup},
};
use registry_journal::Reader;
use registry_proto::{
    evidence::Equivocation,
    terms::{Land, LogId},
};
use tokio::sync::watch;

use super::{StartError, logs::Logs, show};
use crate::{
    audit::Audit,
    charters::Exchange,
    config::{self, Config},
    driver::{
        Clock, Driver, Handle, Surroundings,
        writer::{self, Writers},
    },
    epochs::{Aside, Resets},
    erasure::Erasures,
    folder::Notifier,
    index::Index,
    lifecycle::Shutdown,
    observe::Metrics,
    sessions::{Connected, Ranges},
    status::StatusBoard,
    witness::{self, Cabinet, Ledger, LeftOut, Place, Receipts},
};

/// What others need of the core that runs: the way to it, and what it shows.
pub(super) struct Core {
    pub(super) handle: Handle,
    pub(super) board: StatusBoard,
    pub(super) connected: Connected,
    pub(super) receipts: Receipts,
    pub(super) erasures: Erasures,
    pub(super) exchange: Exchange,
}

/// What the core of a node stands on.
pub(super) struct Foundation<'a> {
    pub(super) clock: Clock,
    pub(super) config: &'a Config,
    pub(super) own: LogId,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) index: &'a Index,
    pub(super) folder: Notifier,
    pub(super) audit: &'a Audit,
    /// Driver and writers.
    pub(super) engine: &'a Shutdown,
    /// What the driver starts for partners.
    pub(super) streams: &'a Shutdown,
}

// === impl Foundation ===

impl Foundation<'_> {
    /// Starts the writers of all logs and the driver with the core.
    pub(super) fn start_core(self, logs: Logs) -> Result<Core, StartError> {
        let thread = |source| StartError::System { what: "a thread", source };
        let clock = self.clock;
        let driver = Driver::new(clock);
        let handle = driver.handle();
        let mut writers = Writers::new();
        let erasures = logs.erasures;
        for (land, findings) in &logs.damage {
            self.metrics.set_journal_damage(*land, *findings);
        }
        let shared = writer::Shared {
            driver: handle.clone(),
            folder: self.folder.clone(),
            erasures: erasures.clone(),
        };
        for (log, journal) in logs.journals {
            let signer = (log == self.own).then(|| self.config.signer.clone());
            writers.start(log, journal, signer, shared.clone(), self.engine).map_err(thread)?;
        }
        let cabinet = Cabinet::of(&self.config.data_dir);
        let ledger = open_ledger(self.config)?;
        let shown = ledger.receipts().clone();
        let receipts = shown.read().newest().cloned().collect();
        let cosigned = ledger.agreed().cloned().collect();
        let settled = is_settled(&Place::of(&self.config.data_dir))?;
        let witness = self.witness(cabinet, ledger, &handle);
        let witness = witness::Keeper::start(witness, self.engine).map_err(thread)?;
        let setup = Setup {
            charter: self.config.charter.clone(),
            past: self.config.past_charters().to_vec(),
            me: PeerIdentity { land: self.config.land, node: self.config.node.clone() },
            logs: logs.recovered,
            services: logs.services,
            resets: logs.epochs.taken,
            evidence: logs.evidence,
            receipts,
            cosigned,
            seen: logs.seen,
            fence: fence_policy(self.config.fence),
            partners: partners(self.config),
            moved: !settled,
            quiet_ms: u64::try_from(self.config.fence_quiet.as_millis()).unwrap_or(u64::MAX),
            entropy: entropy()?,
        };
        let mut node = Node::new(setup, clock.now())?;
        tell_erasures(&mut node, clock, &erasures);
        let (connected_tx, connected) = watch::channel(Default::default());
        let board = StatusBoard::default();
        board.names_aside(set_aside(self.config, self.own, &logs.readers)?);
        let show = show::Show::new(
            board.clone(),
            self.metrics.clone(),
            connected_tx,
            self.index.clone(),
            logs.readers.clone(),
            erasures.clone(),
            clock,
        );
        let exchange = charters(self.config);
        let surroundings = Surroundings {
            own: self.own,
            writers,
            ranges: Ranges::new(logs.readers, erasures.clone()),
            witness,
            charters: exchange.clone(),
            metrics: self.metrics.clone(),
            audit: self.audit.clone(),
            show: Box::new(show),
        };
        driver.run(node, surroundings, self.engine, self.streams).map_err(thread)?;
        self.follow_forged(&board);
        super::stop_with(self.engine, self.streams);
        Ok(Core { handle, board, connected, receipts: shown, erasures, exchange })
    }

    fn follow_forged(&self, board: &StatusBoard) {
        let resets = Resets::of(&self.config.data_dir);
        let forged = self.index.journals().forged();
        let board = board.clone();
        let held =
            move |log, index| board.load().peers.iter().any(|it| it.log == log && it.size > index);
        let held = Box::new(held);
        forged.follow(self.own.land, resets, self.metrics.clone(), held, self.streams);
    }

    fn witness(&self, cabinet: Cabinet, ledger: Ledger, driver: &Handle) -> witness::Setup {
        witness::Setup {
            cabinet,
            ledger,
            resets: Resets::of(&self.config.data_dir),
            begins_again: self.streams.clone(),
            place: Place::of(&self.config.data_dir),
            charter: self.config.charter.clone(),
            land: self.config.land,
            signer: self.config.signer.clone(),
            driver: driver.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

/// What was set aside of each epoch of the own log.
fn set_aside(
    config: &Config,
    own: LogId,
    readers: &BTreeMap<LogId, Reader>,
) -> Result<Vec<(Aside, Reader)>, StartError> {
    let resets = Resets::of(&config.data_dir);
    let epochs = readers.iter().filter(|(log, _)| log.land == own.land);
    epochs.map(|(log, reader)| Ok((resets.aside(*log)?, reader.clone()))).collect()
}

/// What partners are told of charters, and tell; nothing yet.
fn charters(config: &Config) -> Exchange {
    Exchange::new(config.charters.first().unwrap_or(&config.charter).clone())
}

/// Whether the data directory stands where it stood.
fn is_settled(place: &Place) -> Result<bool, StartError> {
    let what = "the file place in the data directory";
    place.is_settled().map_err(|source| StartError::System { what, source })
}

/// Tells the core what is erased here and what is not carried out yet.
fn tell_erasures(node: &mut Node, clock: Clock, erasures: &Erasures) {
    for log in erasures.logs() {
        for it in erasures.every(log) {
            let by = it.by.index;
            node.handle(clock.now(), Input::Erasing { log, by });
            if it.done {
                node.handle(clock.now(), Input::Erased { log, by });
            }
        }
    }
}

/// Opens the receipts and cosignatures; tells how many were left out.
fn open_ledger(config: &Config) -> Result<Ledger, StartError> {
    let (ledger, LeftOut { damaged, replaced }) = Ledger::open(&config.data_dir, &config.charter)?;
    if damaged > 0 {
        tracing::error!(damaged, "receipts or cosignatures that do not verify were left out");
    }
    if replaced > 0 {
        tracing::info!(replaced, "cosignatures by keys that were replaced were left out");
    }
    Ok(ledger)
}

/// Evidence that is kept; what does not verify is named in the log.
pub(super) fn kept_evidence(config: &Config) -> Result<Vec<Equivocation>, StartError> {
    let kept = Cabinet::of(&config.data_dir).load(&config.charter)?;
    for (path, error) in &kept.refused {
        let cause = crate::lifecycle::chain(error);
        tracing::error!(path = %path.display(), cause, "this evidence proves nothing");
    }
    Ok(kept.proofs)
}

/// Other members whose nodes this one dials.
fn partners(config: &Config) -> BTreeSet<Land> {
    let laender = config.active_peers().map(|it| it.identity.land);
    laender.filter(|it| *it != config.land).collect()
}

fn fence_policy(policy: config::FencePolicy) -> FencePolicy {
    match policy {
        config::FencePolicy::Strict => FencePolicy::Strict,
        config::FencePolicy::Available { after } => FencePolicy::Available {
            after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        },
    }
}

fn entropy() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| StartError::System {
        what: "random numbers",
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}
