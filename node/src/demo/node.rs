//! A node of the demo: begins again under each charter that comes into force and each reset of a log,
//! as a process does.

use std::net::SocketAddr;

use registry_proto::terms::Land;
use tokio::sync::watch;

use crate::{
    app::{App, Bound, Kept, Listeners, StartError},
    config::Config,
    demo::DemoError,
    index::Index,
    lifecycle::{Drained, Shutdown, StopCause, TaskKind, chain},
    search::Search,
    status::StatusBoard,
    tls::Crls,
};

/// A node of the demo, whichever charter it runs under.
#[derive(Debug)]
pub struct DemoNode {
    land: Land,
    bound: Bound,
    seen: watch::Receiver<Seen>,
    stop: Shutdown,
}

/// What a node shows.
#[derive(Debug)]
pub struct Shown {
    /// What it tells about itself.
    pub board: StatusBoard,
    /// The catalogue it shows.
    pub index: Index,
    /// How it finds services.
    pub search: Search,
    /// Number of the charter it runs under.
    pub charter: u64,
}

/// A node at a time. What it shows is never cloned: nothing of a node may outlive it, or the next
/// one cannot open the same files.
#[derive(Debug)]
enum Seen {
    /// It runs.
    Runs(Shown),
    /// It begins again.
    Between,
    /// It runs no more.
    Ended(End),
}

/// How a node ended.
#[derive(Clone, Debug)]
enum End {
    /// As it was asked to.
    Stopped(Drained),
    /// By itself.
    Died(String),
}

// === impl DemoNode ===

impl DemoNode {
    /// Starts a node on sockets that are bound already.
    pub(super) async fn start(config: Config, listeners: Listeners) -> Result<Self, DemoError> {
        let (land, bound) = (config.land, listeners.addresses());
        let sockets = listeners.keep().map_err(|source| no_sockets(land, source))?;
        let app = start(None, &config, listeners).await?;
        let (show, seen) = watch::channel(Seen::Runs(Shown::of(&app, &config)));
        let stop = Shutdown::new();
        let asked = stop.clone();
        stop.spawn(TaskKind::SessionSupervisor, async move {
            let end = match run(app, config, sockets, &show, &asked).await {
                Ok(drained) => End::Stopped(drained),
                Err(cause) => End::Died(cause),
            };
            show.send_replace(Seen::Ended(end));
        });
        Ok(Self { land, bound, seen, stop })
    }

    /// Its Land.
    pub fn land(&self) -> Land {
        self.land
    }

    /// Where it listens.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    /// Looks at what it shows now; nothing while it begins again. `look` MUST NOT look at it once
    /// more.
    pub fn look<T>(&self, look: impl FnOnce(&Shown) -> T) -> Option<T> {
        match &*self.seen.borrow() {
            Seen::Runs(shown) => Some(look(shown)),
            Seen::Between | Seen::Ended(_) => None,
        }
    }

    /// Why it ended by itself, if it did.
    pub(super) fn died(&self) -> Option<String> {
        match &*self.seen.borrow() {
            Seen::Ended(End::Died(cause)) => Some(cause.clone()),
            Seen::Ended(End::Stopped(_)) | Seen::Runs(_) | Seen::Between => None,
        }
    }

    /// Waits for its end.
    async fn ended(&self) -> End {
        let mut seen = self.seen.clone();
        let ended = seen.wait_for(|it| matches!(it, Seen::Ended(_))).await;
        match ended.as_deref() {
            Ok(Seen::Ended(end)) => end.clone(),
            _ => End::Died("its task is gone".to_owned()),
        }
    }

    /// Stops it; false if something of it was left or it had ended by itself.
    pub(super) async fn stop(self) -> bool {
        self.stop.request(StopCause::Requested("demo"));
        matches!(self.ended().await, End::Stopped(Drained::Clean))
    }
}

// === impl Shown ===

impl Shown {
    fn of(app: &App, config: &Config) -> Self {
        Self {
            board: app.board().clone(),
            index: app.index().clone(),
            search: app.search().clone(),
            charter: config.charter.number(),
        }
    }
}

async fn run(
    mut app: App,
    mut config: Config,
    sockets: Kept,
    show: &watch::Sender<Seen>,
    asked: &Shutdown,
) -> Result<Drained, String> {
    loop {
        let shutdown = app.shutdown().clone();
        tokio::select! {
            () = shutdown.requested() => {}
            () = asked.requested() => {
                show.send_replace(Seen::Between);
                return Ok(app.stop().await);
            }
        }
        let cause = shutdown.cause().cloned();
        show.send_replace(Seen::Between);
        let crls = app.crls();
        let drained = app.stop().await;
        match cause {
            _ if asked.cause().is_some() => return Ok(drained),
            Some(
                StopCause::Charter { .. } | StopCause::Epoch { .. } | StopCause::SetAside { .. },
            ) => {}
            other => return Err(format!("{other:?}")),
        }
        config = config.under_kept_charters().map_err(|it| chain(&it))?;
        let listeners = sockets.listeners().map_err(|it| chain(&it))?;
        app = start(Some(crls), &config, listeners).await.map_err(|it| chain(&it))?;
        show.send_replace(Seen::Runs(Shown::of(&app, &config)));
    }
}

async fn start(
    before: Option<Crls>,
    config: &Config,
    listeners: Listeners,
) -> Result<App, DemoError> {
    let started = App::start_after(before, config.clone(), listeners, Shutdown::new());
    let started = Box::pin(started).await;
    started.map_err(|source| DemoError::Start { land: config.land, source: Box::new(source) })
}

fn no_sockets(land: Land, source: std::io::Error) -> DemoError {
    let source = StartError::System { what: "a listening socket", source };
    DemoError::Start { land, source: Box::new(source) }
}

/// Address of a listener, as a client writes it.
pub(super) fn localhost(address: SocketAddr) -> String {
    address.to_string().replace("127.0.0.1", "localhost")
}
