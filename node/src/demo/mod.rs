//! `registry-node demo`: four Länder in one process, as close to the real thing as it gets.
//!
//! Each node is made from a `node.toml` of its own, exactly as `registry-node run` would; they
//! know of each other only what stands there and talk only over their mutual-TLS ports.

mod load;
mod newcomer;
mod node;
mod prepare;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::OnceLock,
    time::{Duration, Instant},
};

use registry_core::status::LogState;
use registry_proto::terms::{Land, LogId};
use tracing::info;

pub use load::LoadError;
pub use newcomer::{AdmitError, NEWCOMER};
pub use node::{DemoNode, Shown};
pub use prepare::{PrepareError, Prepared, prepare};

use crate::{
    app::{BindError, Listeners, StartError},
    config::{Config, ConfigError, Listen},
    lifecycle::Shutdown,
};

/// Argumente von `demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Ports: gRPC 7443 (SL), 7444 (RP), 7445 (HE), 7446 (TH); Web mit \
                        Client-Zertifikat 8443 bis 8446; mit --http außerdem 8080 bis 8083 ohne \
                        TLS, nur auf diesem Rechner. Mit --with-newcomer nimmt SL auf 7640 \
                        Beitritte an, und BY kommt auf 7447, 8447 und 8084 hinzu.\nEin zweiter \
                        Start macht mit den Daten im Verzeichnis weiter. Strg-C beendet alles geordnet.")]
pub struct DemoArgs {
    /// Verzeichnis für PKI, Konfigurationen und Daten
    #[arg(long, value_name = "VERZEICHNIS", default_value = "./demo-data")]
    pub dir: PathBuf,
    /// Öffnet je Land einen Port ohne TLS für Lesen und Überwachung, nur auf diesem Rechner
    #[arg(long)]
    pub http: bool,
    /// Freie Ports statt der festen
    #[arg(long)]
    pub any_port: bool,
    /// Nur vorbereiten: PKI, Charta und vier Konfigurationen für `registry-node run`
    #[arg(long)]
    pub prepare: bool,
    /// Ohne Katalog starten
    #[arg(long)]
    pub empty: bool,
    /// Ein fünftes Land (Bayern) mit Token, Anwartschaft und Stimmen live aufnehmen
    #[arg(long, conflicts_with = "prepare")]
    pub with_newcomer: bool,
}

// === impl DemoArgs ===

impl DemoArgs {
    /// Where the newcomer listens.
    pub fn newcomer(&self) -> Listen {
        listen(LAENDER.len(), self)
    }
}

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// PKI, charter or configurations cannot be made.
    #[error("die Vorbereitung ist gescheitert")]
    Prepare(#[from] PrepareError),
    /// A configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port is taken.
    #[error("ein Port ist belegt; --any-port nimmt freie")]
    Bind(#[from] BindError),
    /// A node does not start.
    #[error("der Knoten von {land} startet nicht")]
    Start {
        /// Which.
        land: Land,
        /// Why.
        #[source]
        source: Box<StartError>,
    },
    /// The catalogue cannot be published.
    #[error("der Katalog kann nicht veröffentlicht werden")]
    Load(#[from] LoadError),
    /// A node ended by itself.
    #[error("der Knoten von {land} ist ausgefallen: {cause}")]
    Died {
        /// Which.
        land: Land,
        /// Why.
        cause: String,
    },
    /// The newcomer does not become a member.
    #[error("die Aufnahme von Bayern ist gescheitert")]
    Admit(#[from] Box<AdmitError>),
    /// The nodes do not come together.
    #[error("die Knoten sind nach {seconds} s nicht auf gleichem Stand: {state}")]
    NotLive {
        /// How long it was waited.
        seconds: u64,
        /// What is missing.
        state: String,
    },
}

/// The Länder of the demo, in the order of their ports.
pub const LAENDER: [Land; 4] = [Land::SL, Land::RP, Land::HE, Land::TH];

/// A demo that runs.
#[derive(Debug)]
pub struct Demo {
    /// PKI and configurations.
    pub prepared: Prepared,
    founders: Vec<DemoNode>,
    /// Who joined while it ran, or before.
    guest: OnceLock<DemoNode>,
}

impl From<AdmitError> for DemoError {
    fn from(error: AdmitError) -> Self {
        Self::Admit(Box::new(error))
    }
}

// === impl Demo ===

impl Demo {
    /// Prepares the directory and starts the four nodes of the founders.
    ///
    /// # Errors
    ///
    /// See [`DemoError`].
    pub async fn start(args: &DemoArgs) -> Result<Self, DemoError> {
        // sockets first: with free ports, the configurations can name each other's
        let mut listeners = Vec::new();
        for (at, _) in LAENDER.iter().enumerate() {
            listeners.push(Listeners::bind(&listen(at, args)).await?);
        }
        let bound = listeners.iter().map(Listeners::addresses);
        let members: Vec<_> = LAENDER.into_iter().zip(bound).collect();
        let prepared = prepare(&args.dir, NAME, &members)?;
        let mut founders = Vec::new();
        for (land, listeners) in LAENDER.into_iter().zip(listeners) {
            let config = Config::load(&prepared.config(land))?;
            founders.push(DemoNode::start(config, listeners).await?);
        }
        Ok(Self { prepared, founders, guest: OnceLock::new() })
    }

    /// All nodes, those of the founders first.
    pub fn nodes(&self) -> impl Iterator<Item = &DemoNode> {
        self.founders.iter().chain(self.guest.get())
    }

    /// The node of a Land.
    pub fn node(&self, land: Land) -> Option<&DemoNode> {
        self.nodes().find(|it| it.land() == land)
    }

    /// Publishes what of the catalogue is missing.
    ///
    /// # Errors
    ///
    /// [`DemoError::Load`], [`DemoError::NotLive`] when the fences do not open.
    pub async fn load(&self) -> Result<load::Loaded, DemoError> {
        self.wait_open().await?;
        Ok(load::load(self).await?)
    }

    /// Waits until every node may publish.
    ///
    /// # Errors
    ///
    /// [`DemoError::NotLive`].
    pub async fn wait_open(&self) -> Result<(), DemoError> {
        self.wait(FENCE_WAIT, "die Partner bestätigen die Logs", |node| {
            node.look(|it| it.board.load().fence_open).unwrap_or(false)
        })
        .await
    }

    /// Waits until every node shows every log to its end.
    ///
    /// # Errors
    ///
    /// [`DemoError::NotLive`].
    pub async fn wait_live(&self) -> Result<(), DemoError> {
        self.wait(LIVE_WAIT, "alle Knoten auf gleichem Stand", |node| {
            // live means: nothing known is missing; here all that anyone has must be everywhere
            let owned = self.owned();
            let shows_all = |node: &Shown| {
                let status = node.board.load();
                let cut = node.index.store().cut();
                let searched = node.search.cut().unwrap_or_default();
                owned.iter().all(|(land, owned)| {
                    let log = status.logs.iter().find(|it| it.log.land == *land);
                    log.is_some_and(|it| {
                        let live = it.state == LogState::Live || it.size == 0;
                        live && cut.size(it.log) == it.size
                            && searched.size(it.log) == it.size
                            && Some(it.size) == *owned
                    })
                })
            };
            node.look(shows_all).unwrap_or(false)
        })
        .await
    }

    /// How many entries the log of each Land has at its own node; of Länder whose node runs here.
    fn owned(&self) -> Vec<(Land, Option<u64>)> {
        let size = |node: &DemoNode| {
            let log = LogId { land: node.land(), epoch: 1 };
            node.look(|it| it.index.store().cut().size(log))
        };
        self.nodes().map(|node| (node.land(), size(node))).collect()
    }

    /// Waits until a node ends by itself, which none should.
    async fn died(&self) -> DemoError {
        loop {
            for node in self.nodes() {
                if let Some(cause) = node.died() {
                    return DemoError::Died { land: node.land(), cause };
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops all nodes side by side.
    pub async fn stop(self) -> bool {
        let mut stopping = tokio::task::JoinSet::new();
        for node in self.founders.into_iter().chain(self.guest.into_inner()) {
            stopping.spawn(node.stop());
        }
        stopping.join_all().await.into_iter().all(|it| it)
    }

    async fn wait(
        &self,
        limit: Duration,
        what: &str,
        done: impl Fn(&DemoNode) -> bool,
    ) -> Result<(), DemoError> {
        let deadline = Instant::now() + limit;
        loop {
            let late = self.nodes().find(|node| !done(node));
            let Some(late) = late else { return Ok(()) };
            if Instant::now() > deadline {
                let status = late.look(|it| it.board.load());
                let state = format!("{what}: {}: {status:?}", late.land());
                return Err(DemoError::NotLive { seconds: limit.as_secs(), state });
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Runs the demo until it is asked to stop.
///
/// # Errors
///
/// See [`DemoError`].
pub async fn run(args: &DemoArgs) -> Result<(), DemoError> {
    if args.prepare {
        let mut members = Vec::with_capacity(LAENDER.len());
        // held until all are found, so that none is found twice
        let mut found = Vec::new();
        for (at, land) in LAENDER.into_iter().enumerate() {
            let wanted = listen(at, args);
            let mut bound = prepare::as_bound(&wanted);
            if args.any_port {
                let listeners = Listeners::bind(&wanted).await?;
                bound = listeners.addresses();
                found.push(listeners);
            }
            members.push((land, bound));
        }
        let prepared = prepare(&args.dir, NAME, &members)?;
        drop(found);
        println!("{}", prepared.how_to_run());
        return Ok(());
    }
    let begun = Instant::now();
    let demo = Demo::start(args).await?;
    println!("{}", demo.prepared.describe(&demo.founders));
    let stop = Shutdown::new();
    if stop.listen_for_signals().is_err() {
        info!("no signal handlers: stop the demo by ending its process");
    }
    let ready = async {
        if !args.empty {
            let loaded = demo.load().await?;
            println!("{loaded}");
        }
        demo.wait_live().await?;
        if args.with_newcomer || demo.has_newcomer().await? {
            demo.admit(&args.newcomer()).await?;
        }
        Ok::<_, DemoError>(())
    };
    let ends = async {
        tokio::select! {
            () = stop.requested() => Ok(()),
            died = demo.died() => Err(died),
        }
    };
    let work = async {
        ready.await?;
        println!("{}", demo.prepared.how_to_ask(&demo.founders));
        println!("Bereit nach {:.1} s; Strg-C beendet die Demo.", begun.elapsed().as_secs_f64());
        // on a line of its own: scripts wait for it
        println!("demo ready");
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = work => ended,
        ended = ends => ended,
    };
    println!("Die Knoten werden beendet …");
    let clean = demo.stop().await;
    println!("{}", if clean { "Beendet." } else { "Beendet; einzelne Aufgaben liefen noch." });
    ended
}

fn listen(at: usize, args: &DemoArgs) -> Listen {
    let offset = u16::try_from(at).unwrap_or_default();
    let local = |port: u16| {
        let port = if args.any_port { 0 } else { port + offset };
        SocketAddr::from(([127, 0, 0, 1], port))
    };
    Listen {
        grpc: local(7443),
        web: Some(local(8443)),
        admin: local(7543),
        monitoring: local(9443),
        http: args.http.then(|| local(8080)),
        // the first of the founders invites
        join: (args.with_newcomer && at == 0).then(|| local(7640)),
    }
}

const NAME: &str = "Verbund Mitte (Demo)";
const FENCE_WAIT: Duration = Duration::from_secs(60);
const LIVE_WAIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
