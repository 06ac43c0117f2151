//! Where nodes are attacked: SL and RP run in this process and replicate over real mutual TLS;
//! all other members are played by the test, with certificates and keys that are right.
//!
//! Whatever an attacker does, [`Honest`] publishes at SL and reads at RP meanwhile.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::Message as _;
use registry_client::{Client, ClientConfig, connect::ANSWER_TIMEOUT};
use registry_node::{
    app::{App, Bound, Kept, Listeners},
    cli::init::ensure_key,
    config::{Config, Listen},
    demo::{Prepared, prepare},
    driver::Clock,
    epochs::Resets,
    lifecycle::Shutdown,
    pki::{Files, Pki},
    serving::Patience,
    tls::{read_certificates, read_private_key},
};
use registry_proto::{
    charter::Charter,
    epoch::Reset,
    key::Key,
    log::{Checkpoint, Hash, LogSigner, Origin, SignedCheckpoint, VerbundId},
    terms::{
        Land::{self, BE, BW, BY, HE, NI, NW, RP, SL, SN, TH},
        LogId,
    },
    wire::registry::{self as wire, GetServiceRequest},
};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::client::TlsStream;

use crate::{
    cluster::{Who, eventually, http_get, keep_links, pause},
    partner::Partner,
    records::{definition, request, service_id},
};

/// The members: two that run and those that the test plays.
pub const MEMBERS: [Land; 10] = [SL, RP, HE, TH, BY, BE, NI, NW, BW, SN];

/// Nodes under attack.
#[derive(Debug)]
pub struct Arena {
    dir: TempDir,
    prepared: Prepared,
    listeners: BTreeMap<Land, Listeners>,
    sockets: BTreeMap<Land, Kept>,
    apps: BTreeMap<Land, App>,
    /// Number of the charter the nodes run under.
    charter: u64,
}

/// How the nodes of an arena are run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// How long clients may take.
    pub patience: Patience,
    /// The clock of RP; SL has the right time.
    pub clock_of_rp: Clock,
    /// Entries that members may add to their logs in a day.
    pub quotas: &'static [(Land, u64)],
}

/// Publishes at SL and waits for it at RP, again and again.
#[derive(Debug)]
pub struct Honest {
    rounds: Arc<AtomicU64>,
    _work: JoinSet<()>,
}

// === impl Run ===

impl Default for Run {
    fn default() -> Self {
        Self { patience: Patience::default(), clock_of_rp: Clock::start(), quotas: &[] }
    }
}

// === impl Arena ===

impl Arena {
    /// Starts SL and RP and waits until both may publish.
    pub async fn start(run: Run) -> Self {
        let mut arena = Self::prepare().await;
        arena.run(run).await;
        arena
    }

    /// Keys, certificates and configurations; nothing runs.
    pub async fn prepare() -> Self {
        Self::prepare_with(|_| {}).await
    }

    /// [`Arena::prepare`] after `change` had its way with the PKI: what it writes there goes into the
    /// charter.
    pub async fn prepare_with(change: impl FnOnce(&Pki)) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        change(&Pki::ensure(dir.path(), &MEMBERS, OffsetDateTime::now_utc()).expect("PKI"));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = Listen {
            grpc: any,
            web: Some(any),
            admin: any,
            monitoring: any,
            http: None,
            join: None,
        };
        let mut listeners = BTreeMap::new();
        let mut members = Vec::new();
        for land in MEMBERS {
            let bound = Listeners::bind(&listen).await.expect("bound");
            members.push((land, bound.addresses()));
            listeners.insert(land, bound);
        }
        let prepared = prepare(dir.path(), "Arena", &members).expect("prepared");
        let (sockets, apps) = (BTreeMap::new(), BTreeMap::new());
        Self { dir, prepared, listeners, sockets, apps, charter: 0 }
    }

    /// Starts SL and RP and waits until both may publish.
    pub async fn run(&mut self, run: Run) {
        self.launch(run).await;
        for land in [SL, RP] {
            self.may_publish(land).await;
        }
    }

    /// Waits until a node may publish.
    pub async fn may_publish(&self, land: Land) {
        eventually(LIMIT, &format!("{land} may publish"), async || {
            self.apps[&land].board().load().fence_open
        })
        .await;
    }

    /// Starts SL and RP, whether they may publish or not.
    pub async fn launch(&mut self, run: Run) {
        limit(&self.prepared.charter(), run.quotas);
        for (land, clock) in [(SL, Clock::start()), (RP, run.clock_of_rp)] {
            let path = self.prepared.config(land);
            keep_links(&path, land, &[(SL, RP)]);
            let mut config = Config::load(&path).expect("configuration");
            config.patience = run.patience;
            let listeners = self.listeners.remove(&land).expect("bound");
            self.sockets.insert(land, listeners.keep().expect("kept open"));
            let app = App::start_by(clock, config, listeners, Shutdown::new()).await;
            self.apps.insert(land, app.expect("starts"));
        }
    }

    /// Waits until a node wants to begin again, and lets it.
    pub async fn begins_again(&mut self, land: Land) {
        let app = self.apps.remove(&land).expect("runs");
        let wants = tokio::time::timeout(LIMIT, app.shutdown().requested()).await;
        wants.unwrap_or_else(|_| panic!("{land} begins again"));
        app.stop().await;
        let config = Config::load(&self.prepared.config(land)).expect("configuration");
        let listeners = self.sockets[&land].listeners().expect("still open");
        let app = App::start(config, listeners, Shutdown::new()).await;
        self.apps.insert(land, app.expect("starts again"));
    }

    /// Puts a successor of the genesis charter into force before the nodes start.
    pub fn amend(&mut self, change: impl FnOnce(&mut wire::Charter)) {
        let genesis = self.genesis();
        let mut next = genesis.draft_of_next();
        change(&mut next);
        let (next, _) = genesis.successor(next.encode_to_vec().into()).expect("a successor");
        for land in [SL, RP] {
            let dir = self.home(land).join("data/charters");
            std::fs::create_dir_all(&dir).expect("created");
            let file = dir.join(format!("{:020}.charter", next.number()));
            std::fs::write(file, next.raw()).expect("written");
        }
        self.charter = next.number();
    }

    /// Has an epoch ended before the nodes start.
    pub fn end_epoch(&self, reset: Reset) {
        let taken = reset.complete(&self.genesis()).expect("enough countersignatures");
        for land in [SL, RP] {
            let data = self.home(land).join("data");
            std::fs::create_dir_all(&data).expect("created");
            Resets::of(&data).keep(&taken).expect("kept");
        }
    }

    /// The charter that everything begins with.
    pub fn genesis(&self) -> Charter {
        let raw = std::fs::read(self.prepared.charter()).expect("charter");
        Charter::parse(raw.into()).expect("charter")
    }

    /// Ends the nodes in order.
    pub async fn stop(self) {
        for (_, app) in self.apps {
            app.stop().await;
        }
    }

    /// Where a node listens.
    pub fn bound(&self, land: Land) -> Bound {
        self.apps[&land].bound()
    }

    /// A node itself.
    pub fn app(&self, land: Land) -> &App {
        &self.apps[&land]
    }

    /// The Verbund.
    pub fn verbund(&self) -> VerbundId {
        self.genesis().id()
    }

    /// Directory for what a test writes.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Changes the configuration of a node before it starts.
    pub fn configure(&self, land: Land, change: impl FnOnce(&mut toml::Table)) {
        let path = self.prepared.config(land);
        let text = std::fs::read_to_string(&path).expect("configuration");
        let mut table: toml::Table = text.parse().expect("TOML");
        change(&mut table);
        std::fs::write(path, table.to_string()).expect("configuration");
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

    /// How to connect to a node.
    pub fn config(&self, land: Land, who: Who) -> ClientConfig {
        let files = self.files(who);
        ClientConfig {
            endpoint: format!("https://{}", self.bound(land).grpc),
            ca: self.prepared.pki.bundle(),
            cert: files.certificate,
            key: files.key,
            timeout: ANSWER_TIMEOUT,
        }
    }

    /// A connection to a node.
    pub async fn client(&self, land: Land, who: Who) -> Client {
        Client::connect(self.config(land, who)).await.expect("connected")
    }

    /// A bare TLS connection; HTTP is up to the test.
    ///
    /// # Errors
    ///
    /// The node refuses it.
    pub async fn tls(
        &self,
        address: SocketAddr,
        who: Who,
        alpn: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in read_certificates(&self.prepared.pki.bundle()).expect("bundle") {
            roots.add(certificate).expect("anchor");
        }
        let files = self.files(who);
        let chain = read_certificates(&files.certificate).expect("certificate");
        let key = read_private_key(&files.key).expect("key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key.clone_key())
            .expect("a pair");
        config.alpn_protocols = vec![alpn.to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tcp = tcp_from(IpAddr::from([127, 0, 0, 1]), address).await?;
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("name");
        connector.connect(name, tcp).await
    }

    /// A session at `at` as the node of `land`, after the hello.
    pub async fn partner(&self, at: Land, land: Land) -> Partner {
        self.partner_under(at, land, self.charter).await
    }

    /// [`Arena::partner`] that claims to run under another charter.
    pub async fn partner_under(&self, at: Land, land: Land, charter: u64) -> Partner {
        let config = self.config(at, Who::Node(land));
        let mut partner = Partner::dial(config).await.expect("a member may open a session");
        partner.hello_under(self.verbund(), land, charter).await;
        partner
    }

    /// A checkpoint of the log of `land`, signed with its keys.
    pub fn sign(&self, land: Land, size: u64, root: Hash) -> SignedCheckpoint {
        let now = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).expect("after 1970");
        self.sign_as(land, land, size, root, now)
    }

    /// A checkpoint of the log of `land`, signed by `signer` with freshness `seconds`.
    pub fn sign_as(
        &self,
        signer: Land,
        land: Land,
        size: u64,
        root: Hash,
        seconds: u64,
    ) -> SignedCheckpoint {
        let keys = ["log.key", "freshness.key"].map(|it| self.key(signer, it));
        self.sign_by(keys, LogId { land, epoch: 1 }, size, root, seconds)
    }

    /// A checkpoint of a log, signed by a log and a freshness key.
    pub fn sign_by(
        &self,
        keys: [Key; 2],
        log: LogId,
        size: u64,
        root: Hash,
        seconds: u64,
    ) -> SignedCheckpoint {
        let [log_key, freshness] = keys;
        let signer = LogSigner::new(log_key, freshness);
        let origin = Origin { verbund: self.verbund(), log };
        Checkpoint { origin, size, root }.sign(&signer, seconds).expect("signed")
    }

    /// A key of a Land, by the name of its file.
    pub fn key(&self, land: Land, name: &str) -> Key {
        ensure_key(&self.home(land).join(name)).expect("key").into()
    }

    /// Where configuration, keys and data of a Land are.
    pub fn home(&self, land: Land) -> PathBuf {
        self.prepared.config(land).parent().expect("a directory").to_owned()
    }

    /// Value of a metric (name and labels); 0 if there is none.
    pub async fn metric(&self, land: Land, metric: &str) -> u64 {
        let text = http_get(self.bound(land).monitoring, "/metrics").await;
        let value = text.lines().find_map(|it| it.strip_prefix(metric)?.strip_prefix(' '));
        value.map_or(0, |it| it.parse().expect("a count"))
    }

    /// Value of a metric that is a time; 0 if there is none.
    pub async fn seconds(&self, land: Land, metric: &str) -> f64 {
        let text = http_get(self.bound(land).monitoring, "/metrics").await;
        let value = text.lines().find_map(|it| it.strip_prefix(metric)?.strip_prefix(' '));
        value.map_or(0.0, |it| it.parse().expect("a number"))
    }

    /// Waits until a node has counted `metric` at least `least` times.
    pub async fn counted(&self, land: Land, metric: &str, least: u64) {
        eventually(LIMIT, &format!("{land} counts {metric} {least} times"), async || {
            self.metric(land, metric).await >= least
        })
        .await;
    }

    /// Entries of a log that a node shows.
    pub fn size(&self, at: Land, of: Land) -> u64 {
        self.apps[&at].index().store().cut().size(LogId { land: of, epoch: 1 })
    }

    /// Publishes the n-th service at a node.
    pub async fn publish(&self, land: Land, n: u64) -> String {
        let id = service_id(n);
        let records = request(vec![definition(&id, &format!("Dienst {n}"))], vec![]);
        let client = self.client(land, Who::Publisher(land)).await;
        client.publish(records).await.expect("published");
        id
    }

    /// Begins what honest people do.
    pub async fn honest(&self) -> Honest {
        let writer = self.client(SL, Who::Publisher(SL)).await;
        let reader = self.client(RP, Who::Reader).await;
        let rounds = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&rounds);
        let mut work = JoinSet::new();
        work.spawn(async move {
            for n in HONEST_FROM.. {
                let id = service_id(n);
                let records = request(vec![definition(&id, "Redlich")], vec![]);
                writer.publish(records).await.expect("an honest publication");
                let asked = GetServiceRequest {
                    service_id: id,
                    land: "SL".to_owned(),
                    ..GetServiceRequest::default()
                };
                // whoever asks whether this goes on has a deadline
                while reader.service(asked.clone()).await.is_err() {
                    pause().await;
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let honest = Honest { rounds, _work: work };
        honest.goes_on().await;
        honest
    }
}

// === impl Honest ===

impl Honest {
    /// Waits until something new was published at SL and read at RP, from begin to end after this
    /// call.
    pub async fn goes_on(&self) {
        let seen = self.rounds.load(Ordering::Relaxed);
        eventually(GOES_ON, "what is published at SL arrives at RP", async || {
            self.rounds.load(Ordering::Relaxed) >= seen + 2
        })
        .await;
    }
}

/// A TCP connection from an address of one's own; on loopback all of 127.0.0.0/8 are.
///
/// # Errors
///
/// It is refused.
pub async fn tcp_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Memory of this process, nodes and test together.
pub fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = text.split(' ').nth(1).expect("a field").parse().expect("a number");
    pages * 4_096
}

/// For a state that comes by itself.
pub const LIMIT: Duration = Duration::from_secs(30);
/// For the work of honest people under attack.
const GOES_ON: Duration = Duration::from_secs(10);
/// Numbers of the services they publish; those of tests are lower.
const HONEST_FROM: u64 = 1_000_000;

/// Gives members a quota in the charter.
fn limit(path: &std::path::Path, quotas: &[(Land, u64)]) {
    let raw = std::fs::read(path).expect("charter");
    let mut charter: wire::Charter = prost::Message::decode(&raw[..]).expect("a charter");
    for (land, entries_per_day) in quotas {
        let member = charter.members.iter_mut().find(|it| it.land == land.code());
        let quota = wire::Quota { entries_per_day: *entries_per_day, bytes_per_day: 0 };
        member.expect("a member").quota = Some(quota);
    }
    std::fs::write(path, prost::Message::encode_to_vec(&charter)).expect("charter");
}
