//! `registry-node demo`: four Länder in one process, as close to the real thing as it gets.
//!
//! Each node is made from a `node.toml` of its own, exactly as `registry-node run` would; they
//! know of each other only what stands there and talk only over their mutual-TLS ports.

mod load;
mod prepare;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use registry_core::status::LogState;
use registry_proto::terms::{Land, LogId};
use tracing::info;

pub use load::LoadError;
pub use prepare::{PrepareError, Prepared, prepare};

use crate::{
    app::{App, BindError, Listeners, StartError},
    config::{Config, ConfigError, Listen},
    lifecycle::{Drained, Shutdown},
};

/// Argumente von `demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Ports: gRPC 7443 (SL), 7444 (RP), 7445 (HE), 7446 (TH); Web mit \
                        Client-Zertifikat 8443 bis 8446; mit --http außerdem 8080 bis 8083 ohne \
                        TLS, nur auf diesem Rechner.\nEin zweiter Start macht mit den Daten im \
                        Verzeichnis weiter. Strg-C beendet alles geordnet.")]
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
    /// The four nodes.
    pub apps: Vec<App>,
}

// === impl Demo ===

impl Demo {
    /// Prepares the directory and starts four nodes.
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
        let mut apps = Vec::new();
        for (land, listeners) in LAENDER.into_iter().zip(listeners) {
            let config = Config::load(&prepared.config(land))?;
            let app = App::start(config, listeners, Shutdown::new())
                .await
                .map_err(|source| DemoError::Start { land, source: Box::new(source) })?;
            apps.push(app);
        }
        Ok(Self { prepared, apps })
    }

    /// Publishes what of the catalogue is missing.
    ///
    /// # Errors
    ///
    /// [`DemoError::Load`], [`DemoError::NotLive`] when the fences do not open.
    pub async fn load(&self) -> Result<load::Loaded, DemoError> {
        self.wait(FENCE_WAIT, "die Partner bestätigen die Logs", |app| {
            app.board().load().fence_open
        })
        .await?;
        Ok(load::load(self).await?)
    }

    /// Waits until every node shows every log to its end.
    ///
    /// # Errors
    ///
    /// [`DemoError::NotLive`].
    pub async fn wait_live(&self) -> Result<(), DemoError> {
        // live means: nothing known is missing; here all that anyone has must be everywhere
        let owned = |log: LogId| {
            let owner = self.apps.iter().find(|app| app.identity().land == log.land);
            owner.map_or(0, |app| app.index().store().cut().size(log))
        };
        self.wait(LIVE_WAIT, "alle Knoten auf gleichem Stand", |app| {
            let status = app.board().load();
            let cut = app.index().store().cut();
            let searched = app.search().cut().unwrap_or_default();
            status.logs.len() == LAENDER.len()
                && status.logs.iter().all(|it| {
                    let live = it.state == LogState::Live || it.size == 0;
                    live && cut.size(it.log) == it.size
                        && searched.size(it.log) == it.size
                        && it.size == owned(it.log)
                })
        })
        .await
    }

    /// Waits until a node ends by itself, which none should.
    async fn died(&self) -> DemoError {
        let mut nodes = tokio::task::JoinSet::new();
        for app in &self.apps {
            let (land, shutdown) = (app.identity().land, app.shutdown().clone());
            nodes.spawn(async move {
                shutdown.requested().await;
                (land, shutdown.cause().cloned())
            });
        }
        match nodes.join_next().await {
            Some(Ok((land, cause))) => DemoError::Died { land, cause: format!("{cause:?}") },
            // without nodes nobody can die
            Some(Err(_)) | None => std::future::pending().await,
        }
    }

    /// Stops all nodes side by side.
    pub async fn stop(self) -> bool {
        let mut stopping = tokio::task::JoinSet::new();
        for app in self.apps {
            stopping.spawn(app.stop());
        }
        stopping.join_all().await.into_iter().all(|it| it == Drained::Clean)
    }

    async fn wait(
        &self,
        limit: Duration,
        what: &str,
        done: impl Fn(&App) -> bool,
    ) -> Result<(), DemoError> {
        let deadline = Instant::now() + limit;
        loop {
            let late = self.apps.iter().find(|app| !done(app));
            let Some(late) = late else { return Ok(()) };
            if Instant::now() > deadline {
                let status = late.board().load();
                let state = format!("{what}: {}: {status:?}", late.identity().land);
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
        let bound = (0..).map(|at| prepare::as_bound(&listen(at, args)));
        let members: Vec<_> = LAENDER.into_iter().zip(bound).collect();
        let prepared = prepare(&args.dir, NAME, &members)?;
        println!("{}", prepared.how_to_run());
        return Ok(());
    }
    let begun = Instant::now();
    let demo = Demo::start(args).await?;
    println!("{}", demo.prepared.describe(&demo.apps));
    let stop = Shutdown::new();
    if stop.listen_for_signals().is_err() {
        info!("no signal handlers: stop the demo by ending its process");
    }
    let ready = async {
        if !args.empty {
            let loaded = demo.load().await?;
            println!("{loaded}");
        }
        demo.wait_live().await
    };
    let ends = async {
        tokio::select! {
            () = stop.requested() => Ok(()),
            died = demo.died() => Err(died),
        }
    };
    let work = async {
        ready.await?;
        println!("{}", demo.prepared.how_to_ask(&demo.apps));
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
    }
}

const NAME: &str = "Verbund Mitte (Demo)";
const FENCE_WAIT: Duration = Duration::from_secs(30);
const LIVE_WAIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
