//! A Verbund of real processes: `registry-node run`, one per Land, over real mutual TLS.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use registry_client::{Client, ClientConfig, ClientError, connect::ANSWER_TIMEOUT};
use registry_node::{
    app::Bound,
    demo::{Prepared, prepare},
    pki::{Files, Pki},
};
use registry_proto::{
    terms::Land,
    wire::registry::{GetStatusResponse, PublishRequest, PublishResponse},
};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Whose certificate a client shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Reads.
    Reader,
    /// Publishes for a Land.
    Publisher(Land),
    /// Operates the node of a Land.
    Operator(Land),
    /// The node of a Land itself.
    Node(Land),
}

/// A Verbund of processes; they end with it.
#[derive(Debug)]
pub struct Cluster {
    dir: TempDir,
    prepared: Prepared,
    bound: BTreeMap<Land, Bound>,
    processes: BTreeMap<Land, Child>,
    environ: BTreeMap<Land, Vec<(String, PathBuf)>>,
}

// === impl Cluster ===

impl Cluster {
    /// Prepares a Verbund whose nodes dial each other along `links`; starts nothing.
    pub fn prepare(laender: &[Land], links: &[(Land, Land)]) -> Self {
        Self::prepare_with(laender, links, |_| {})
    }

    /// [`Cluster::prepare`] after `change` had its way with the PKI: what it writes there goes
    /// into the charter.
    pub fn prepare_with(
        laender: &[Land],
        links: &[(Land, Land)],
        change: impl FnOnce(&Pki),
    ) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let members: Vec<_> = laender.iter().map(|land| (*land, free_ports())).collect();
        change(&Pki::ensure(dir.path(), laender, OffsetDateTime::now_utc()).expect("PKI"));
        let prepared = prepare(dir.path(), "Prozesse", &members).expect("prepared");
        for land in laender {
            keep_links(&prepared.config(*land), *land, links);
        }
        let bound = members.into_iter().collect();
        let (processes, environ) = (BTreeMap::new(), BTreeMap::new());
        Self { dir, prepared, bound, processes, environ }
    }

    /// Prepares and starts all, and waits until all may publish.
    pub async fn start(laender: &[Land], links: &[(Land, Land)]) -> Self {
        let mut cluster = Self::prepare(laender, links);
        for land in laender {
            cluster.run(*land);
        }
        cluster.wait_open(laender).await;
        cluster
    }

    /// Waits until these nodes answer and may publish.
    pub async fn wait_open(&self, laender: &[Land]) {
        for land in laender {
            eventually(START, &format!("{land} may publish\n{}", self.stderr(*land)), async || {
                self.status(*land).await.is_ok_and(|it| it.fence == "open" && it.index == "ready")
            })
            .await;
        }
    }

    /// Sets a variable in the environment of the node of a Land, from its next start on.
    pub fn set_env(&mut self, land: Land, name: &str, value: &Path) {
        self.environ.entry(land).or_default().push((name.to_owned(), value.to_owned()));
    }

    /// Starts the process of a Land; its log goes to [`Cluster::stderr`].
    pub fn run(&mut self, land: Land) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.stderr_path(land))
            .expect("log file");
        let child = Command::new(binary("registry-node"))
            .args(["run", "--config"])
            .arg(self.prepared.config(land))
            .env("RUST_LOG", "info")
            .envs(self.environ.get(&land).into_iter().flatten().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("registry-node starts");
        self.processes.insert(land, child);
    }

    /// True if the process of a Land was started and not ended from here.
    pub fn runs(&self, land: Land) -> bool {
        self.processes.contains_key(&land)
    }

    /// Id of the process of a Land.
    pub fn pid(&self, land: Land) -> u32 {
        self.processes[&land].id()
    }

    /// SIGKILL, by the id of the process this cluster started.
    pub fn kill(&mut self, land: Land) {
        if let Some(mut child) = self.processes.remove(&land) {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    /// SIGTERM, as an operator stops a node; waits at most `limit` for its end.
    pub async fn terminate(&mut self, land: Land, limit: Duration) -> ExitStatus {
        self.end(land, rustix::process::Signal::TERM, limit).await
    }

    /// SIGINT, as Ctrl-C sends it; waits at most `limit` for its end.
    pub async fn interrupt(&mut self, land: Land, limit: Duration) -> ExitStatus {
        self.end(land, rustix::process::Signal::INT, limit).await
    }

    async fn end(
        &mut self,
        land: Land,
        by: rustix::process::Signal,
        limit: Duration,
    ) -> ExitStatus {
        let mut child = self.processes.remove(&land).expect("a process that runs");
        signal(&child, by);
        let ended = ended(&mut child, limit).await;
        ended.unwrap_or_else(|| {
            child.kill().expect("killed");
            panic!("{land} did not end within {limit:?}\n{}", self.stderr(land))
        })
    }

    /// SIGHUP, as an operator lets a node load its files anew.
    pub fn hangup(&self, land: Land) {
        signal(
            self.processes.get(&land).expect("a process that runs"),
            rustix::process::Signal::HUP,
        );
    }

    /// SIGSTOP: the process stands still and its clocks go on, as in a paused container.
    pub fn freeze(&self, land: Land) {
        let process = self.processes.get(&land).expect("a process that runs");
        signal(process, rustix::process::Signal::STOP);
    }

    /// SIGCONT: a process that stood still goes on.
    pub fn thaw(&self, land: Land) {
        let process = self.processes.get(&land).expect("a process that stands still");
        signal(process, rustix::process::Signal::CONT);
    }

    /// The metrics of a node, as a monitoring system gets them.
    pub async fn metrics(&self, land: Land) -> String {
        http_get(self.bound[&land].monitoring, "/metrics").await
    }

    /// Waits until a node counts `metric` (name and labels, value not 0), and has a line in its
    /// log that contains all of `words`.
    pub async fn saw(&self, land: Land, metric: &str, words: &[&str]) {
        eventually(SEEN, &format!("{land} counts {metric}"), async || {
            self.metrics(land).await.lines().any(|it| {
                it.strip_prefix(metric).is_some_and(|value| value.starts_with(' ') && value != " 0")
            })
        })
        .await;
        eventually(SEEN, &format!("{land} logs {words:?}\n{}", self.stderr(land)), async || {
            self.stderr(land).lines().any(|line| words.iter().all(|word| line.contains(word)))
        })
        .await;
    }

    /// The command line of this Verbund, asking the node of a Land.
    pub fn registry(&self, land: Land, who: Who, args: &[&str]) -> Command {
        let config = self.client_config(land, who);
        let mut command = Command::new(binary("registry"));
        command
            .args(args)
            .env("REGISTRY_ENDPOINT", config.endpoint)
            .env("REGISTRY_CA", config.ca)
            .env("REGISTRY_CERT", config.cert)
            .env("REGISTRY_KEY", config.key)
            .stdin(Stdio::null());
        command
    }

    /// What a node wrote to its log since the first start.
    pub fn stderr(&self, land: Land) -> String {
        fs::read_to_string(self.stderr_path(land)).unwrap_or_default()
    }

    /// Directory of a Land.
    pub fn home(&self, land: Land) -> PathBuf {
        self.prepared.config(land).parent().expect("a directory").to_owned()
    }

    /// Directory of everything.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Configurations and PKI.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Addresses of a node.
    pub fn bound(&self, land: Land) -> Bound {
        self.bound[&land]
    }

    /// How to connect to a node.
    pub fn client_config(&self, land: Land, who: Who) -> ClientConfig {
        let files = self.files(who);
        ClientConfig {
            endpoint: format!("https://{}", self.bound[&land].grpc),
            ca: self.prepared.pki.bundle(),
            cert: files.certificate,
            key: files.key,
            timeout: ANSWER_TIMEOUT,
        }
    }

    /// Certificate and key.
    pub fn files(&self, who: Who) -> Files {
        let pki = &self.prepared.pki;
        match who {
            Who::Reader => pki.reader(),
            Who::Publisher(land) => pki.publisher(land),
            Who::Operator(land) => pki.operator(land),
            Who::Node(land) => pki.node(land),
        }
    }

    /// A connection to a node.
    pub async fn client(&self, land: Land, who: Who) -> Result<Client, ClientError> {
        Client::connect(self.client_config(land, who)).await
    }

    /// What a node says of itself.
    pub async fn status(&self, land: Land) -> Result<GetStatusResponse, ClientError> {
        self.client(land, Who::Reader).await?.status().await
    }

    /// Publishes at a node with the certificate of its Land.
    pub async fn publish(
        &self,
        land: Land,
        request: PublishRequest,
    ) -> Result<PublishResponse, ClientError> {
        self.client(land, Who::Publisher(land)).await?.publish(request).await
    }

    fn stderr_path(&self, land: Land) -> PathBuf {
        self.home(land).join("stderr.log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let all: Vec<_> = self.processes.keys().copied().collect();
        for land in all {
            self.kill(land);
        }
    }
}

/// Waits for a state, at most `limit`.
pub async fn eventually(limit: Duration, what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        pause().await;
    }
}

/// A connection to a node that may be down at the moment.
pub async fn connected(config: &ClientConfig, limit: Duration) -> Client {
    let deadline = Instant::now() + limit;
    loop {
        match Client::connect(config.clone()).await {
            Ok(client) => return client,
            Err(failure) => assert!(Instant::now() < deadline, "not within {limit:?}: {failure}"),
        }
        pause().await;
    }
}

/// The one pause between two looks at a state.
pub async fn pause() {
    tokio::time::timeout(POLL, std::future::pending::<()>()).await.expect_err("pending");
}

/// A binary of this workspace, built by the same cargo run as the test.
pub fn binary(name: &str) -> PathBuf {
    let mut dir = std::env::current_exe().expect("path of the test");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let path = dir.join(name);
    assert!(path.exists(), "{} is missing; run cargo build --bins first", path.display());
    path
}

/// Asks a process to end, as an operator would.
pub fn terminate(child: &mut Child) {
    signal(child, rustix::process::Signal::TERM);
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("signalled");
}

/// Waits for the end of a process.
pub async fn ended(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    let mut status = child.try_wait().expect("a child");
    while status.is_none() && Instant::now() < deadline {
        pause().await;
        status = child.try_wait().expect("a child");
    }
    status
}

/// Body of a page over plain HTTP, with its head in front.
pub async fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("plain HTTP");
    let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("asked");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    text
}

/// Ports nobody else takes by accident: below those the system gives to outgoing connections (a
/// client that dials a dead node could otherwise be given the node's own port), and none twice in
/// this process. Held together until all are found, so that they are free.
fn free_ports() -> Bound {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(rand::random_range(PORT_MIN..PORT_MAX)));
    let mut sockets: Vec<TcpListener> = Vec::new();
    while sockets.len() < 4 {
        let port = next.fetch_add(1, Ordering::Relaxed);
        if port >= PORT_MAX {
            next.store(PORT_MIN, Ordering::Relaxed);
        } else if let Ok(socket) = TcpListener::bind(("127.0.0.1", port)) {
            sockets.push(socket);
        }
    }
    let ports: Vec<SocketAddr> = sockets.iter().map(|it| it.local_addr().expect("bound")).collect();
    Bound {
        grpc: ports[0],
        web: Some(ports[1]),
        admin: ports[2],
        monitoring: ports[3],
        http: None,
        join: None,
    }
}

/// Removes from a configuration the partners that are not linked.
pub fn keep_links(path: &Path, land: Land, links: &[(Land, Land)]) {
    let text = fs::read_to_string(path).expect("configuration");
    let mut table: toml::Table = text.parse().expect("TOML");
    let linked = |peer: &toml::Value| {
        let peer = peer.get("land").and_then(toml::Value::as_str).unwrap_or_default();
        links
            .iter()
            .any(|(a, b)| (*a == land && b.code() == peer) || (*b == land && a.code() == peer))
    };
    if let Some(toml::Value::Array(peers)) = table.get_mut("peers") {
        peers.retain(linked);
    }
    fs::write(path, table.to_string()).expect("configuration");
}

const START: Duration = Duration::from_secs(60);
const SEEN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const PORT_MIN: u16 = 10_000;
const PORT_MAX: u16 = 30_000;
