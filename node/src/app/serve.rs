//! Listeners and the services behind them.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use registry_client::charter::{later_words, needs_help};
use registry_core::{authorize::PeerIdentity, limits, node::Input, status::LogStatus, view::Cut};
use registry_journal::Reader;
use registry_proto::{
    terms::LogId,
    wire::{
        DESCRIPTORS,
        admin::admin_service_server::AdminServiceServer,
        peer::{
            artefact_peer_service_server::ArtefactPeerServiceServer,
            peer_service_server::PeerServiceServer,
        },
        registry::{
            approval_service_server::ApprovalServiceServer,
            artefact_service_server::ArtefactServiceServer,
            catalogue_service_server::CatalogueServiceServer,
            charter_service_server::CharterServiceServer, draft_service_server::DraftServiceServer,
            epoch_service_server::EpochServiceServer, erasure_service_server::ErasureServiceServer,
            nachnutzung_service_server::NachnutzungServiceServer,
            publish_service_server::PublishServiceServer, watch_service_server::WatchServiceServer,
            witness_service_server::WitnessServiceServer,
        },
    },
};
use tonic::service::Routes;
use tower::Layer;

use crate::{
    app::{Listeners, SOFTWARE, joining},
    approvals::Approvals,
    artefacts::Artefacts,
    audit::Audit,
    charters::{self, Charters, Exchange},
    config::Config,
    data::Lists,
    drafts::Drafts,
    driver::Handle,
    epochs::{self, Epochs, Resets},
    erasure::Erasures,
    folder::Notifier,
    index::{FolderProgress, Index},
    invitations::Invitations,
    lifecycle::{Shutdown, TaskKind},
    observe::Metrics,
    reads::{self, Reads},
    search::Search,
    serving::{Meters, Server, Speaks, plain},
    status::StatusBoard,
    tls::{AcceptLimits, Acceptor, Incoming, Listener, TlsContext},
    web::{
        MonitoringState, monitoring_router,
        ui::{Face, NodeCertificates},
    },
    wire::{
        admin::AdminApi,
        answer::Answering,
        approval::ApprovalApi,
        artefact::ArtefactApi,
        audited::Audited,
        catalogue::CatalogueApi,
        charter::CharterApi,
        draft::DraftApi,
        epoch::{self, EpochApi},
        erasure::{self, ErasureApi},
        limited::Limited,
        nachnutzung::NachnutzungApi,
        observed::Observed,
        paced::Paced,
        peer::PeerApi,
        publish::{self, PublishApi},
        watch::WatchApi,
        witness::WitnessApi,
    },
    witness::Receipts,
};

/// What services are made of.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) identity: PeerIdentity,
    pub(super) own: LogId,
    pub(super) lists: Lists,
    pub(super) tls: Arc<TlsContext>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) index: Index,
    pub(super) search: Search,
    pub(super) board: StatusBoard,
    pub(super) driver: Handle,
    pub(super) readers: BTreeMap<LogId, Reader>,
    pub(super) epochs: Epochs,
    pub(super) folder: Notifier,
    pub(super) artefacts: Artefacts,
    pub(super) desk: Desk,
    pub(super) exchange: Exchange,
    pub(super) receipts: Receipts,
    pub(super) audit: Audit,
    pub(super) erasures: Erasures,
    pub(super) shutdown: Shutdown,
}

/// What people work on at this node, and what waits for them; nothing of it is in a log.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) drafts: Drafts,
    pub(super) approvals: Approvals,
    pub(super) invitations: Invitations,
}

/// Starts every listener.
pub(super) fn serve(parts: Parts<'_>, listeners: Listeners) -> io::Result<()> {
    let Listeners { grpc, web, admin, monitoring, http, join } = listeners;
    // one certificate has one share at all listeners together
    let meters = Meters::new(parts.config.limits, parts.metrics.clone());
    let incoming = accept(&parts, Listener::Grpc, grpc)?;
    let charters = count_votes(&parts);
    serve_grpc(&parts, charters.as_ref(), incoming, &meters);
    if let (Some(join), Some(charters)) = (join, &charters) {
        joining::serve_join(&parts, charters, join)?;
    }
    let incoming = accept(&parts, Listener::Admin, admin)?;
    serve_admin(&parts, incoming, &meters);
    let state = monitoring_state(&parts);
    serve_plain(&parts, "monitoring", monitoring, monitoring_router(state.clone()));
    let api = CatalogueApi::new(answering(&parts));
    let face = face(&parts);
    if let Some(web) = web {
        let incoming = accept(&parts, Listener::Web, web)?;
        let router = crate::web::web_router(api.clone(), face.clone());
        let router = crate::web::metered(router, meters);
        let router = crate::web::traced(router, parts.audit.clone(), parts.metrics.clone());
        let (patience, metrics) = (parts.config.patience, parts.metrics.clone());
        crate::web::serve_web(incoming, router, patience, metrics, &parts.shutdown);
    }
    if let Some(http) = http {
        // anonymous reading and monitoring, on loopback only; the configuration sees to that
        let router = crate::web::anonymous_router(api, face).merge(monitoring_router(state));
        serve_plain(&parts, "http", http, router);
    }
    Ok(())
}

/// Tells the core how far the catalogue shows the own log. Waits until the driver takes it.
pub(super) async fn follow_fold(
    index: Index,
    own: LogId,
    driver: Handle,
) -> Result<(), tokio::task::JoinError> {
    let told = AtomicU64::new(u64::MAX);
    let tell = move |cut: &Cut| {
        let size = cut.size(own);
        if told.swap(size, Ordering::Relaxed) != size {
            // a driver that is gone has nobody to answer
            let _ = driver.input_here(Input::Folded { size });
        }
    };
    // not a task: it may wait for the queue of the driver
    tokio::task::spawn_blocking(move || index.tell(tell)).await
}

fn accept(
    parts: &Parts<'_>,
    listener: Listener,
    socket: tokio::net::TcpListener,
) -> io::Result<Incoming> {
    Acceptor {
        context: parts.tls.clone(),
        metrics: parts.metrics.clone(),
        audit: parts.audit.clone(),
        listener,
        limits: AcceptLimits {
            handshake: parts.config.patience.handshake,
            ..AcceptLimits::default()
        },
    }
    .incoming(socket, &parts.shutdown)
}

fn server(parts: &Parts<'_>, listener: &'static str, speaks: Speaks) -> Server {
    let (patience, metrics) = (parts.config.patience, parts.metrics.clone());
    Server { listener, speaks, patience, metrics }
}

fn serve_plain(
    parts: &Parts<'_>,
    listener: &'static str,
    socket: tokio::net::TcpListener,
    router: axum::Router,
) {
    let connections = plain(listener, socket, parts.metrics.clone(), &parts.shutdown);
    server(parts, listener, Speaks::Http).serve(connections, router, &parts.shutdown);
}

/// Serves gRPC: what every call shares, then its service.
pub(super) fn serve_calls(
    parts: &Parts<'_>,
    listener: Listener,
    incoming: Incoming,
    routes: Routes,
    meters: &Meters,
) {
    let calls = Paced::new(parts.config.patience.request).layer(routes.prepare());
    let calls = Audited::new(parts.audit.clone()).layer(calls);
    let calls = Limited::new(meters.clone()).layer(calls);
    let calls = Observed::new(parts.metrics.clone()).layer(calls);
    server(parts, listener.name(), Speaks::Http2).serve(incoming, calls, &parts.shutdown);
}

fn answering(parts: &Parts<'_>) -> Answering {
    Answering::new(Reads::new(reads::Setup {
        index: parts.index.clone(),
        search: parts.search.clone(),
        board: parts.board.clone(),
        charter: parts.config.charter.clone(),
        me: parts.identity.clone(),
        lists: parts.lists.clone(),
        clock: parts.driver.clock(),
        software: SOFTWARE,
    }))
}

fn face(parts: &Parts<'_>) -> Face {
    let (land, node) = (parts.identity.land, parts.identity.node.clone());
    let certificates = NodeCertificates::new(land, node, parts.tls.clone(), &parts.config.charter);
    Face::new(parts.config.charter.clone(), certificates)
}

macro_rules! sized {
    ($service:expr) => {
        $service
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
    };
}

/// Waits until every part of the node has followed an erasure, and tells the driver.
fn carry_out(parts: &Parts<'_>) {
    let tasks = crate::erasure::Tasks {
        erasures: parts.erasures.clone(),
        index: parts.index.clone(),
        search: parts.search.clone(),
        artefacts: parts.artefacts.clone(),
        data_dir: parts.config.data_dir.clone(),
        driver: parts.driver.clone(),
    };
    tasks.start(&parts.shutdown);
}

fn erasure_api(parts: &Parts<'_>) -> ErasureApi {
    ErasureApi::new(erasure::Setup {
        own: parts.own,
        charter: parts.config.charter.clone(),
        index: parts.index.clone(),
        readers: parts.readers.clone(),
        driver: parts.driver.clone(),
        erasures: parts.erasures.clone(),
        receipts: parts.receipts.clone(),
    })
}

fn epoch_api(parts: &Parts<'_>) -> EpochApi {
    EpochApi::new(epoch::Setup {
        land: parts.identity.land,
        charter: parts.config.charter.clone(),
        past: parts.config.past_charters().to_vec(),
        signer: parts.config.signer.clone(),
        resets: Resets::of(&parts.config.data_dir),
        taken: parts.epochs.taken.clone(),
        readers: parts.readers.clone(),
        board: parts.board.clone(),
        clock: parts.driver.clock(),
        begins_again: parts.shutdown.clone(),
    })
}

fn serve_grpc(parts: &Parts<'_>, charters: Option<&Charters>, incoming: Incoming, meters: &Meters) {
    let watch = WatchApi::new(
        parts.index.clone(),
        parts.board.clone(),
        parts.config.charter.id(),
        parts.shutdown.token().clone(),
        parts.metrics.clone(),
    );
    let answering = answering(parts);
    let nachnutzung =
        NachnutzungApi::new(answering.clone(), parts.index.clone(), parts.shutdown.clone());
    let publish = PublishApi::new(publish::Setup {
        own: parts.own,
        members: parts.config.charter.members().iter().map(|it| it.land).collect(),
        lists: parts.lists.clone(),
        index: parts.index.clone(),
        driver: parts.driver.clone(),
        metrics: parts.metrics.clone(),
        artefacts: parts.artefacts.clone(),
        roots: Arc::new(parts.config.fit_connect.clone()),
        approvals: parts.desk.approvals.clone(),
        tls: parts.tls.clone(),
    });
    let approvals = ApprovalApi::new(parts.desk.approvals.clone(), publish.clone());
    let drafts = DraftApi::new(parts.desk.drafts.clone(), publish.clone());
    let artefacts = ArtefactApi::new(parts.artefacts.clone(), parts.shutdown.clone());
    let peer = PeerApi::new(parts.identity.clone(), parts.driver.clone(), parts.shutdown.clone());
    let witness = WitnessApi::new(parts.index.clone(), parts.receipts.clone());
    publish.forgets(&parts.erasures);
    carry_out(parts);
    let (health, health_service) = tonic_health::server::health_reporter();
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::new(sized!(CatalogueServiceServer::new(CatalogueApi::new(answering))))
        .add_service(sized!(NachnutzungServiceServer::new(nachnutzung)))
        .add_service(sized!(WatchServiceServer::new(watch)))
        .add_service(sized!(PublishServiceServer::new(publish)))
        .add_service(sized!(DraftServiceServer::new(drafts)))
        .add_service(sized!(ApprovalServiceServer::new(approvals)))
        .add_service(sized!(WitnessServiceServer::new(witness)))
        .add_service(sized!(ErasureServiceServer::new(erasure_api(parts))))
        .add_service(sized!(EpochServiceServer::new(epoch_api(parts))))
        .add_service(sized!(PeerServiceServer::new(peer)))
        .add_service(sized!(ArtefactServiceServer::new(artefacts.clone())))
        .add_service(sized!(ArtefactPeerServiceServer::new(artefacts)))
        .add_service(health_service);
    if let Some(charters) = charters {
        let api = CharterApi::new(parts.own, charters.clone());
        routes = routes
            .add_service(sized!(CharterServiceServer::new(api)))
            .add_service(joining::invitation_service(parts, charters));
    }
    if let Ok(service) = describe().build_v1() {
        routes = routes.add_service(service);
    }
    // most clients still ask for the older name of the same service
    if let Ok(service) = describe().build_v1alpha() {
        routes = routes.add_service(service);
    }
    serve_calls(parts, Listener::Grpc, incoming, routes, meters);
    let stopping = parts.shutdown.clone();
    let index = parts.index.clone();
    parts.shutdown.spawn(TaskKind::Listener, async move {
        report_health(health, index, stopping).await;
    });
}

/// Follows the votes about charters; `None` only without a charter, which no configuration is.
fn count_votes(parts: &Parts<'_>) -> Option<Charters> {
    let setup = charters::Setup {
        land: parts.identity.land,
        data_dir: parts.config.data_dir.clone(),
        charters: parts.config.charters.clone(),
        decisions: parts.config.decisions.clone(),
        readers: parts.readers.clone(),
        counts: parts.epochs.counts.clone(),
        ended: parts.epochs.ended(),
        driver: parts.driver.clone(),
        keys: parts.config.keys_held.clone(),
        board: parts.board.clone(),
        metrics: parts.metrics.clone(),
        exchange: parts.exchange.clone(),
        audit: parts.audit.clone(),
        forged: parts.index.journals().forged().clone(),
    };
    Charters::start(setup, &parts.shutdown)
}

/// SERVING while the catalogue answers; NOT_SERVING while it is rebuilt and once the node stops.
async fn report_health(
    health: tonic_health::server::HealthReporter,
    index: Index,
    stopping: Shutdown,
) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    let mut interval = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            () = stopping.requested() => break,
            _ = interval.tick() => {}
        }
        let status = if index.readable().is_ok() { Serving } else { NotServing };
        for service in ["", CATALOGUE, WATCH, PUBLISH] {
            health.set_service_status(service, status).await;
        }
    }
    for service in ["", CATALOGUE, WATCH, PUBLISH] {
        health.set_service_status(service, NotServing).await;
    }
}

fn serve_admin(parts: &Parts<'_>, incoming: Incoming, meters: &Meters) {
    let admin = AdminApi::new(
        SOFTWARE,
        parts.config.data_dir.clone(),
        Instant::now(),
        parts.board.clone(),
        parts.index.clone(),
        parts.readers.clone(),
        parts.folder.clone(),
        parts.artefacts.clone(),
        parts.config.artefacts.grace,
    );
    let routes = Routes::new(sized!(AdminServiceServer::new(admin)));
    serve_calls(parts, Listener::Admin, incoming, routes, meters);
}

fn monitoring_state(parts: &Parts<'_>) -> MonitoringState {
    let (index, board) = (parts.index.clone(), parts.board.clone());
    let guarded = index.clone();
    let other = epochs::contradicted(&parts.config.charter, &parts.epochs.taken);
    let other: Vec<_> = other.into_iter().map(other_reset).collect();
    let of_logs = board.clone();
    let missing = move || {
        let status = of_logs.load();
        let ended = status.logs.iter().filter_map(|it| Some((it, it.ends?)));
        let lack = ended.filter(|(log, ends)| log.size < *ends);
        let told = |(log, ends): (&LogStatus, u64)| {
            format!("{}: {} von {ends} Einträgen, die zählen, sind hier", log.log, log.size)
        };
        lack.map(told).collect()
    };
    MonitoringState {
        missing: Arc::new(missing),
        metrics: parts.metrics.clone(),
        readiness: Arc::new(move || match index.readable() {
            Ok(_) => Vec::new(),
            Err(_) => vec![rebuilding(&index.progress())],
        }),
        // reads are as right as before: no reason to take the node out
        warnings: Arc::new(move || {
            let held = guarded.keeper().counted();
            let held = held.iter().map(|(log, moves)| held_back(*log, *moves));
            let later = board.later_charter().filter(needs_help);
            let unsigned = board.load().signing_failed.then(|| SIGNING_FAILED.to_owned());
            let other = other.iter().cloned().chain(board.set_aside());
            later.iter().map(later_words).chain(unsigned).chain(other).chain(held).collect()
        }),
    }
}

/// What `/readyz` says while reads have nothing to answer from.
fn rebuilding(progress: &[FolderProgress]) -> String {
    let open = progress.iter().filter(|it| it.folded < it.size);
    let open = open.map(|it| format!(" {}: {} von {}.", it.log, it.folded, it.size));
    format!("Der Katalog wird gerade aus den Protokollen aufgebaut.{}", open.collect::<String>())
}

/// What `/readyz` says of retirements that the guard holds.
fn held_back(log: LogId, moves: u64) -> String {
    format!(
        "{moves} Abschaltungen in {log} sind angehalten und gelten hier erst, wenn der Betreiber sie \
         gelten lässt: registry held list, registry held accept {}",
        log.land
    )
}

/// What `/readyz` says of an epoch that ended here with another reset than the charter lists.
fn other_reset(log: LogId) -> String {
    let (land, epoch) = (log.land, log.epoch);
    format!(
        "Die Charta führt für {log} eine andere Zurücksetzung auf als die, die dieser Knoten angenommen \
         hat: anhalten, epochs/{land}-{epoch}.reset und die Verzeichnisse der Epochen danach unter \
         journal/{land}/ wegschieben, starten. Partner bringen die richtige."
    )
}

/// What `/readyz` says while a key does not sign.
const SIGNING_FAILED: &str = "Ein Schlüssel des Landes unterschreibt nicht, Veröffentlichen \
                              scheitert. Den Grund nennt das Log dieses Knotens; ist das Token \
                              wieder da, geht es von selbst weiter.";
const CATALOGUE: &str = "verbund.registry.v1.CatalogueService";
const WATCH: &str = "verbund.registry.v1.WatchService";
const PUBLISH: &str = "verbund.registry.v1.PublishService";
