//! What the benches share: nodes in this process, and how long things take.

use std::{
    fmt,
    time::{Duration, Instant},
};

use registry_client::{Client, ClientConfig, connect::ANSWER_TIMEOUT};
use registry_node::{
    app::{App, Bound, Listeners},
    config::{Config, Listen},
    demo::Prepared,
    lifecycle::Shutdown,
};
use registry_proto::terms::Land;

/// Durations of one kind, in order.
#[derive(Debug)]
pub struct Latencies(Vec<Duration>);

/// Addresses that the system chooses.
pub fn anywhere() -> Listen {
    let local = || ([127, 0, 0, 1], 0).into();
    Listen { grpc: local(), web: None, admin: local(), monitoring: local(), http: None, join: None }
}

/// Sockets for some nodes, and where they are.
pub async fn bind(count: usize) -> (Vec<Listeners>, Vec<Bound>) {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Listeners::bind(&anywhere()).await.expect("bound"));
    }
    let bound = all.iter().map(Listeners::addresses).collect();
    (all, bound)
}

/// Starts the node of a Land.
pub async fn start(prepared: &Prepared, land: Land, listeners: Listeners) -> App {
    let config = Config::load(&prepared.config(land)).expect("configuration");
    App::start(config, listeners, Shutdown::new()).await.expect("starts")
}

/// Connects to a node, to publish for its Land or to read.
pub async fn connect(prepared: &Prepared, app: &App, publish: bool) -> Client {
    let land = app.identity().land;
    let files = if publish { prepared.pki.publisher(land) } else { prepared.pki.reader() };
    let config = ClientConfig {
        endpoint: format!("https://{}", app.bound().grpc),
        ca: prepared.pki.bundle(),
        cert: files.certificate,
        key: files.key,
        timeout: ANSWER_TIMEOUT,
    };
    Client::connect(config).await.expect("connected")
}

/// Waits until `done`, which has to be within ten minutes.
///
/// # Panics
///
/// If it is not.
pub async fn wait(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

// === impl Latencies ===

impl Latencies {
    /// How long each of these took.
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Milliseconds that this part of them did not exceed.
    pub fn at(&self, part: f64) -> f64 {
        let index = (self.0.len() as f64 * part) as usize;
        let found = self.0.get(index).or_else(|| self.0.last());
        found.map_or(0.0, |it| it.as_secs_f64() * 1_000.0)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms, of {}", self.at(0.5), self.at(0.99), self.count())
    }
}
