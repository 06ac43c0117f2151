//! Puts a node together from its configuration, and takes it apart again.
//!
//! Everything a node has, it has from its [`Config`]; nothing is shared between two nodes in one
//! process but the process itself.

mod audited;
mod bodies;
mod cut;
mod foundation;
mod gone;
mod joining;
mod journal_read;
mod kept;
mod listeners;
mod logs;
mod serve;
mod show;
mod signed;
mod unseen;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

use registry_core::{authorize::PeerIdentity, fold::FOLD_VERSION, node::NotAMember};
use registry_journal::Reader;
use registry_proto::terms::LogId;
use tracing::{error, info};

use foundation::{Core, Foundation};
pub use listeners::{BindError, Bound, Kept, Listeners};
use logs::Logs;
pub use logs::LogsError;

use crate::{
    approvals::Approvals,
    artefacts::{self, Artefacts, ChunkStore},
    audit::{self, Audit},
    certificates::{self, Digests},
    config::{self, Config},
    data::{self, Lists},
    drafts::Drafts,
    driver::{Clock, Handle},
    epochs::{self, Resets, ResetsError},
    erasure::Erasures,
    folder::Folder,
    index::Index,
    invitations::{self, Invitations},
    journals::{Beginning, JournalRead, Journals},
    lifecycle::{self, Drained, Shutdown, StopCause, TaskKind},
    observe::Metrics,
    search::{Follower, Search},
    sessions::{self, Connected},
    status::StatusBoard,
    store::{self, Store},
    tls::{Crls, MaterialError, TlsContext},
    witness::{self, Ledger},
};

/// A node that runs.
#[derive(Debug)]
pub struct App {
    identity: PeerIdentity,
    bound: Bound,
    shutdown: Shutdown,
    /// Driver and writers.
    engine: Shutdown,
    /// The audit log, which outlives the driver.
    records: Shutdown,
    audit: Audit,
    grace: std::time::Duration,
    connected: Connected,
    board: StatusBoard,
    tls: Arc<TlsContext>,
    index: Index,
    search: Search,
    follower: Follower,
    folder: Folder,
    store: Store,
    driver: Handle,
}

/// What is opened before anything runs.
struct Opened {
    clock: Clock,
    metrics: Arc<Metrics>,
    read: Read,
    tls: Arc<TlsContext>,
    own: LogId,
    logs: Logs,
    /// The thread of the audit log.
    records: Shutdown,
    audit: Audit,
}

/// What was found when the TLS material was read.
struct Read {
    /// Of the files before they were read.
    digests: Digests,
    /// Why revocation lists were left out.
    left_out: Vec<MaterialError>,
    /// Whether those of a node before may have stayed in use instead.
    begins_again: bool,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Certificates or anchors cannot be used.
    #[error("cannot use the TLS material")]
    Tls(#[from] MaterialError),
    /// Nobody knows which epoch is written.
    #[error("cannot read the resets of logs")]
    Resets(#[from] ResetsError),
    /// A journal cannot be opened.
    #[error("cannot open the logs")]
    Logs(#[from] LogsError),
    /// Evidence, receipts or cosignatures cannot be read.
    #[error("cannot read evidence, receipts and cosignatures")]
    Evidence(#[from] witness::CabinetError),
    /// The index cannot be opened.
    #[error("cannot open the index")]
    Index(#[from] store::OpenError),
    /// What the guard against mass retirement has kept cannot be used.
    #[error("cannot open the guard")]
    Guard(#[from] crate::guard::KeeperError),
    /// The store of artefacts cannot be opened.
    #[error("cannot open the store of artefacts")]
    Artefacts(#[from] artefacts::OpenError),
    /// The audit log cannot be opened.
    #[error("cannot open the audit log")]
    Audit(#[from] audit::FileError),
    /// The drafts cannot be opened.
    #[error("cannot open the drafts")]
    Drafts(#[source] crate::kept::OpenError),
    /// What waits for a second person cannot be opened.
    #[error("cannot open the submissions that wait for a second person")]
    Approvals(#[source] crate::kept::OpenError),
    /// The invitations cannot be opened.
    #[error("cannot open the invitations")]
    Invitations(#[from] invitations::OpenError),
    /// The Land is not in the charter.
    #[error("cannot start as a member")]
    Member(#[from] NotAMember),
    /// No thread, socket or random numbers.
    #[error("the operating system refuses: {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

// === impl App ===

impl App {
    /// Starts a node on sockets that are bound already. Returns once it serves; it may still
    /// rebuild its index, fence itself or catch up.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing runs then.
    pub async fn start(
        config: Config,
        listeners: Listeners,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        Self::start_by(Clock::start(), config, listeners, shutdown).await
    }

    /// [`Self::start`] in the place of a node that used the revocation lists `before` until now, see
    /// [`Self::crls`]: of these, files that cannot be used replace none, as if the node had gone on.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing runs then.
    pub async fn start_after(
        before: Option<Crls>,
        config: Config,
        listeners: Listeners,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        Self::begin(Clock::start(), before, config, listeners, shutdown).await
    }

    /// [`Self::start`] by a clock of one's own.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing runs then.
    pub async fn start_by(
        clock: Clock,
        config: Config,
        listeners: Listeners,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        Self::begin(clock, None, config, listeners, shutdown).await
    }

    async fn begin(
        clock: Clock,
        before: Option<Crls>,
        config: Config,
        listeners: Listeners,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new(SOFTWARE));
        let (read, tls) = open_tls(&config, before.as_ref(), &metrics)?;
        let taken = Resets::of(&config.data_dir).load()?;
        for log in epochs::contradicted(&config.charter, &taken) {
            error!(
                %log, "the charter lists another reset of this epoch than the one taken here; stop the \
                node, move its file and the journals of the epochs behind it away, and start it again"
            );
        }
        let own = registry_proto::epoch::newest(config.land, &taken);
        let evidence = foundation::kept_evidence(&config)?;
        let stated = Ledger::stated(&config.data_dir, &config.charter, own)?;
        let logs = logs::open(&config, own, taken, evidence, stated).await?;
        // ends after everything that asks it for something
        let records = Shutdown::new();
        let audit = Audit::open(audited::setup(&config, clock, &metrics), &records)?;
        audited::starts(&config, &audit).await?;
        unseen::audited(own, &logs, &audit);
        let opened = Opened { clock, metrics, read, tls, own, logs, records, audit };
        let (audit, records) = (opened.audit.clone(), opened.records.clone());
        // a future by itself: that of a start is large
        let started = Box::pin(Self::assemble(config, opened, listeners, shutdown)).await;
        let failed = started.as_ref().err().map(|failure| lifecycle::chain(failure));
        if let Some(cause) = failed {
            audited::fails(cause, &audit, &records).await;
        }
        started
    }

    async fn assemble(
        config: Config,
        opened: Opened,
        listeners: Listeners,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let Opened { clock, metrics, read, tls, own, logs, records, audit } = opened;
        let identity = PeerIdentity { land: config.land, node: config.node.clone() };
        let desk = open_desk(&config, &metrics)?;
        let (engine, bound) = (Shutdown::new(), listeners.addresses());
        let (readers, epochs) = (logs.readers.clone(), logs.epochs.clone());
        let (store, index, folder) =
            open_index(&config, &readers, &epochs.counts, &logs.erasures, own, &audit)?;
        let (search, follower) = open_search(&config, &index)?;
        let foundation = Foundation {
            clock,
            config: &config,
            own,
            metrics: &metrics,
            index: &index,
            folder: folder.notifier(),
            audit: &audit,
            engine: &engine,
            streams: &shutdown,
        };
        let Core { handle, board, connected, receipts, erasures, exchange } =
            foundation.start_core(logs)?;
        follow_what_is_written(&index, own, &handle, &audit).await?;
        let artefacts = open_artefacts(&config, &index, &metrics, clock)?;
        keep_certificates(&config, read, &tls, &metrics, &board, &audit, &shutdown)?;
        let parts = serve::Parts {
            config: &config,
            identity: identity.clone(),
            own,
            lists: follow_lists(&config, &audit, &shutdown).await,
            tls: tls.clone(),
            metrics,
            index: index.clone(),
            search: search.clone(),
            board: board.clone(),
            driver: handle.clone(),
            readers,
            epochs,
            folder: folder.notifier(),
            artefacts: artefacts.clone(),
            desk,
            exchange,
            receipts,
            audit: audit.clone(),
            erasures,
            shutdown: shutdown.clone(),
        };
        serve::serve(parts, listeners).map_err(does_not_listen)?;
        dial_all(&config, &tls, &connected, &handle, &board, &shutdown);
        fetch_artefacts(&config, artefacts, &index, tls.clone(), &connected, &shutdown);
        tell_that_it_serves(&config, &identity, &bound);
        Ok(Self {
            identity,
            bound,
            shutdown,
            engine,
            records,
            audit,
            grace: config.shutdown_grace,
            connected,
            board,
            tls,
            index,
            search,
            follower,
            folder,
            store,
            driver: handle,
        })
    }

    /// Who this node is.
    pub fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// Where it listens.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// What it tells about itself.
    pub fn board(&self) -> &StatusBoard {
        &self.board
    }

    /// The revocation lists it uses.
    pub fn crls(&self) -> Crls {
        self.tls.crls()
    }

    /// The catalogue it shows.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How it finds services.
    pub fn search(&self) -> &Search {
        &self.search
    }

    /// Partners it has a session with.
    pub fn connected(&self) -> Connected {
        self.connected.clone()
    }

    /// The way to its core.
    pub fn driver(&self) -> &Handle {
        &self.driver
    }

    /// Its tasks.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Says its last word while partners hear it; then stops accepting, ends streams and lets calls
    /// under way end, and finishes what is being written. At most the grace period.
    pub async fn stop(mut self) -> Drained {
        let begun = std::time::Instant::now();
        let left = || self.grace.saturating_sub(begun.elapsed());
        let _late = tokio::time::timeout(left().mul_f64(LEAVE_PART), self.leave()).await;
        let streams = self.shutdown.drain(left().mul_f64(STREAMS_PART)).await;
        let engine = self.engine.drain(left()).await;
        let _late = tokio::time::timeout(left(), self.audit.close()).await;
        self.records.drain(left()).await;
        let drained = if streams == Drained::Clean { engine } else { streams };
        // blocking: joins three threads that end after the chunk they are at
        let (folder, store) = (&mut self.folder, &self.store);
        self.follower.stop();
        folder.stop();
        store.close();
        let (land, took_ms) = (self.identity.land, begun.elapsed().as_millis());
        match drained {
            Drained::Clean => info!(%land, took_ms, "node stopped"),
            Drained::TimedOut { remaining } => {
                tracing::warn!(%land, took_ms, remaining, "node stopped, tasks were left");
            }
        }
        drained
    }

    /// Writes into the audit log that the node stops, has the head of it put into the log of the Land, and
    /// waits until the partners that are connected hold all of that log.
    async fn leave(&self) {
        audited::stops(&self.shutdown, &self.audit).await;
        // after a failure nothing that is half done is waited for
        if !matches!(self.shutdown.cause(), Some(StopCause::TaskDied { .. })) {
            self.driver.leave().await;
        }
    }
}

/// A node without its engine is no node.
fn stop_with(engine: &Shutdown, shutdown: &Shutdown) {
    let (engine, streams) = (engine.clone(), shutdown.clone());
    shutdown.spawn(TaskKind::Listener, async move {
        tokio::select! {
            () = streams.requested() => {}
            () = engine.requested() => {
                let died = engine.cause().cloned();
                streams.request(died.unwrap_or(StopCause::Requested("engine")));
            }
        }
    });
}

/// The shipped lists, and what data packages make of them.
async fn follow_lists(config: &Config, audit: &Audit, shutdown: &Shutdown) -> Lists {
    let lists = Lists::shipped();
    data::follow(config.data.clone(), lists.clone(), audit.clone(), shutdown).await;
    lists
}

/// Opens the index over the logs and starts the thread that fills it.
fn open_index(
    config: &Config,
    readers: &BTreeMap<LogId, Reader>,
    counts: &BTreeMap<LogId, u64>,
    erasures: &Erasures,
    own: LogId,
    audit: &Audit,
) -> Result<(Store, Index, Folder), StartError> {
    let (store, outcome) = Store::open(&config.data_dir.join("index"), FOLD_VERSION, &boot_id())?;
    let journals = Journals::telling(erasures.forged().clone());
    for (log, reader) in readers {
        let whole: Arc<dyn JournalRead> = Arc::new(reader.clone());
        let journal = match counts.get(log) {
            Some(&size) => {
                Arc::new(Beginning { whole, size, log: *log, erasures: erasures.seen() })
            }
            None => whole,
        };
        journals.insert(*log, journal);
    }
    let keeper = crate::guard::Keeper::open(&config.data_dir, config.mass_retirement_percent)?;
    let audit = audit.clone();
    keeper.hear(move |log, moves| audit.note(audited::held(log, moves)));
    let index = Index::new(store.clone(), journals, keeper);
    let folder = Folder::start(index.clone(), &outcome, Some(own))
        .map_err(|source| StartError::System { what: "a thread", source })?;
    Ok((store, index, folder))
}

/// Reads certificates and anchors, and tells how long the own one is valid.
fn open_tls(
    config: &Config,
    before: Option<&Crls>,
    metrics: &Metrics,
) -> Result<(Read, Arc<TlsContext>), StartError> {
    let digests = Digests::read(&config.tls);
    let (material, left_out) = config.material_at_start(before)?;
    let tls = TlsContext::new(config.tls.profile, material)?;
    metrics.set_certificate_expiry(tls.not_after());
    Ok((Read { digests, left_out, begins_again: before.is_some() }, Arc::new(tls)))
}

/// Opens what people work on and what waits for them.
fn open_desk(config: &Config, metrics: &Arc<Metrics>) -> Result<serve::Desk, StartError> {
    let drafts = Drafts::open(&config.data_dir.join("drafts")).map_err(StartError::Drafts)?;
    let approvals = Approvals::open(&config.data_dir.join("approvals"), metrics.clone());
    let approvals = approvals.map_err(StartError::Approvals)?;
    let invitations = Invitations::open(&config.data_dir.join(invitations::DIR))?;
    Ok(serve::Desk { drafts, approvals, invitations })
}

/// Follows the files of the TLS material and judges connections that stand.
fn keep_certificates(
    config: &Config,
    read: Read,
    tls: &Arc<TlsContext>,
    metrics: &Arc<Metrics>,
    board: &StatusBoard,
    audit: &Audit,
    shutdown: &Shutdown,
) -> Result<(), StartError> {
    let keeper = certificates::Keeper::new(certificates::Setup {
        files: config.tls.clone(),
        digests: read.digests,
        left_out: read.left_out,
        begins_again: read.begins_again,
        own: PeerIdentity { land: config.land, node: config.node.clone() },
        tls: tls.clone(),
        metrics: metrics.clone(),
        board: board.certificates().clone(),
        audit: audit.clone(),
    });
    let system = |source| StartError::System { what: "a handler for SIGHUP", source };
    keeper.start(shutdown).map_err(system)
}

/// Starts the thread that keeps the search.
fn open_search(config: &Config, index: &Index) -> Result<(Search, Follower), StartError> {
    Follower::start(index.clone(), config.data_dir.join("search"))
        .map_err(|source| StartError::System { what: "a thread", source })
}

/// Opens the store of the configuration; its tasks start later.
fn open_artefacts(
    config: &Config,
    index: &Index,
    metrics: &Arc<Metrics>,
    clock: Clock,
) -> Result<Artefacts, StartError> {
    Ok(Artefacts::new(artefacts::Setup {
        store: ChunkStore::open(&config.artefacts.store)?,
        land: config.land,
        fetch: config.artefacts.fetch,
        wanted: Box::new(artefacts::Subscribed { index: index.clone(), own: config.land }),
        metrics: metrics.clone(),
        clock: Box::new(move || clock.wall_ms().div_euclid(1_000)),
    }))
}

/// Lets the core hear what readers see, on the folder's thread, and how far the audit log has come.
async fn follow_what_is_written(
    index: &Index,
    own: LogId,
    handle: &Handle,
    audit: &Audit,
) -> Result<(), StartError> {
    let system =
        |error| StartError::System { what: "a thread", source: std::io::Error::other(error) };
    serve::follow_fold(index.clone(), own, handle.clone()).await.map_err(system)?;
    audited::follows(audit, handle).await;
    Ok(())
}

fn does_not_listen(source: std::io::Error) -> StartError {
    StartError::System { what: "a listening socket", source }
}

/// Follows, fetches and collects the files of versions.
fn fetch_artefacts(
    config: &Config,
    artefacts: Artefacts,
    index: &Index,
    tls: Arc<TlsContext>,
    connected: &Connected,
    shutdown: &Shutdown,
) {
    let peers = config.active_peers().map(sessions::Peer::from).collect();
    let partners = artefacts::Partners { peers, tls, connected: connected.clone() };
    let grace = config.artefacts.grace;
    artefacts::Tasks { artefacts, index: index.clone(), partners, grace }.start(shutdown);
}

fn tell_that_it_serves(config: &Config, identity: &PeerIdentity, bound: &Bound) {
    info!(
        land = %identity.land, node = identity.node, grpc = %bound.grpc,
        data_dir = %config.data_dir.display(), verbund = %config.charter.id(), "node serves"
    );
}

/// Dials the configured nodes of members that take part.
fn dial_all(
    config: &Config,
    tls: &Arc<TlsContext>,
    connected: &Connected,
    driver: &Handle,
    board: &StatusBoard,
    shutdown: &Shutdown,
) {
    for peer in config.active_peers() {
        let (tls, board) = (tls.clone(), board.clone());
        sessions::dial(peer.into(), tls, connected.clone(), driver.clone(), board, shutdown);
    }
}

impl From<&config::Peer> for sessions::Peer {
    fn from(peer: &config::Peer) -> Self {
        Self { identity: peer.identity.clone(), address: peer.address.clone() }
    }
}

/// Names this boot of the machine: an index that was not closed and comes from another boot may
/// have lost what was only in memory.
fn boot_id() -> String {
    let path = PathBuf::from("/proc/sys/kernel/random/boot_id");
    std::fs::read_to_string(path).map_or_else(|_| String::new(), |it| it.trim().to_owned())
}

/// Address of a listener, for those who print it.
pub type Address = SocketAddr;

/// Part of the grace period in which partners may take what they lack.
const LEAVE_PART: f64 = 0.3;
/// Part of the rest that streams and calls may use.
const STREAMS_PART: f64 = 0.7;

/// Version of the software.
pub const SOFTWARE: &str = env!("CARGO_PKG_VERSION");
