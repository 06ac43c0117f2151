//! A small world for TLS tests: CAs, a server that echoes, clients without any restriction.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use registry_core::authorize::{Role, Rule, Who};
use registry_node::{
    audit::Audit,
    lifecycle::{Shutdown, TaskKind},
    observe::Metrics,
    pki::{Authority, DOMAIN, Issued, Request},
    tls::{
        AcceptLimits, Acceptor, Caller, Crls, Incoming, Listener, Material, MemberTrust, NodeTrust,
        Profile, TlsContext,
    },
};
use registry_proto::terms::Land;
use rustls::{
    AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt;

/// CAs, and what the node of SL trusts.
pub(crate) struct Pki {
    pub(crate) sl_ca: Authority,
    pub(crate) rp_ca: Authority,
    pub(crate) stranger_ca: Authority,
    pub(crate) rules: Vec<Rule>,
    rp_pins: Vec<[u8; 32]>,
}

/// The node sl-1: echoes, and tells who connected.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
    callers: mpsc::UnboundedReceiver<Caller>,
    open: Arc<AtomicUsize>,
    _shutdown: Shutdown,
}

/// A client with the defaults of rustls.
pub(crate) struct Client {
    config: ClientConfig,
}

// === impl Pki ===

impl Pki {
    pub(crate) fn new() -> Self {
        capture_logs();
        let now = OffsetDateTime::now_utc();
        let root = Authority::root("Root CA", now).unwrap();
        let who = Who::Name(format!("publisher-sl.{DOMAIN}"));
        Self {
            sl_ca: root.sub("SL CA", now).unwrap(),
            rp_ca: root.sub("RP CA", now).unwrap(),
            stranger_ca: Authority::root("Stranger CA", now).unwrap(),
            rules: vec![Rule { who, ..Rule::grant("publisher", Role::Publisher) }],
            rp_pins: Vec::new(),
        }
    }

    pub(crate) fn node_request(&self, name: &str) -> Request {
        Request::node(format!("{name}.{DOMAIN}"), OffsetDateTime::now_utc())
    }

    pub(crate) fn client_request(&self, name: &str) -> Request {
        Request::client(format!("{name}.{DOMAIN}"), OffsetDateTime::now_utc())
    }

    pub(crate) fn issue_publisher(&self) -> Issued {
        self.sl_ca.issue(&self.client_request("publisher-sl")).unwrap()
    }

    pub(crate) fn pin_rp(&mut self, issued: &Issued) {
        self.rp_pins.push(spki(issued));
    }

    /// Material of the node sl-1, with a new certificate each time.
    pub(crate) fn sl_material(&self) -> Material {
        self.material(self.sl_ca.issue(&self.node_request("sl-1")).unwrap())
    }

    pub(crate) fn sl_context(&self) -> Arc<TlsContext> {
        Arc::new(TlsContext::new(Profile::BSI, self.sl_material()).unwrap())
    }

    pub(crate) fn rp_context(&self) -> TlsContext {
        let issued = self.rp_ca.issue(&self.node_request("rp-1")).unwrap();
        TlsContext::new(Profile::BSI, self.material(issued)).unwrap()
    }

    pub(crate) fn material(&self, issued: Issued) -> Material {
        let member = |land, name: &str, spki_pins, anchor| MemberTrust {
            land,
            nodes: vec![NodeTrust { name: format!("{name}.{DOMAIN}"), spki_pins }],
            anchors: vec![anchor],
            bar: None,
        };
        Material {
            chain: issued.chain,
            key: issued.key.into(),
            members: vec![
                member(Land::RP, "rp-1", self.rp_pins.clone(), self.rp_ca.der()),
                member(Land::SL, "sl-1", Vec::new(), self.sl_ca.der()),
            ],
            client_anchors: vec![self.sl_ca.der()],
            rules: self.rules.clone(),
            crls: Crls::default(),
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.sl_ca.der()).unwrap();
        roots
    }
}

// === impl Server ===

impl Server {
    pub(crate) async fn start(context: &Arc<TlsContext>, limits: AcceptLimits) -> Self {
        let (metrics, shutdown) = (metrics(), Shutdown::new());
        let (mut incoming, address) =
            incoming_with(context, Listener::Grpc, &metrics, &shutdown, limits).await;
        let (tell, callers) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let (tasks, counted) = (shutdown.clone(), Arc::clone(&open));
        shutdown.spawn(TaskKind::Listener, async move {
            while let Some(Ok(mut connection)) = incoming.next().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = tell.send(connection.caller().clone());
                let counted = Arc::clone(&counted);
                tasks.spawn(TaskKind::Connection, async move {
                    let mut buffer = [0; 64];
                    while let Ok(read @ 1..) = connection.read(&mut buffer).await {
                        if connection.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                    drop(connection);
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, metrics, callers, open, _shutdown: shutdown }
    }

    pub(crate) async fn next_caller(&mut self) -> Caller {
        tokio::time::timeout(DEADLINE, self.callers.recv()).await.unwrap().unwrap()
    }

    pub(crate) fn connections_open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The refusal is counted under its label and has exactly one line in the log.
    pub(crate) async fn assert_refused(&self, client: SocketAddr, outcome: &str) {
        let line =
            format!(r#"registry_tls_handshakes_total{{listener="grpc",outcome="{outcome}"}} 1"#);
        eventually(&line, || self.metrics.encode().lines().any(|l| l == line)).await;
        // clients of two servers, of tests side by side, may have the same port
        let outcome_of = format!(r#""outcome":"{outcome}""#);
        let said = || {
            let lines = log_lines(client).into_iter();
            lines.filter(|line| line.contains(&outcome_of)).collect::<Vec<_>>()
        };
        eventually("a line in the log", || !said().is_empty()).await;
        let lines = said();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "tls handshake refused");
        assert_eq!(line["listener"], "grpc");
        assert_eq!(line["outcome"], outcome);
        assert!(line["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn with(pki: &Pki, issued: Issued) -> Self {
        Self::versions(pki, issued, rustls::ALL_VERSIONS)
    }

    pub(crate) fn versions(
        pki: &Pki,
        issued: Issued,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        Self::made(pki, issued.chain, issued.key, versions)
    }

    /// A client with a certificate that no CA here made.
    pub(crate) fn with_chain(
        pki: &Pki,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        Self::made(pki, chain, key, rustls::ALL_VERSIONS)
    }

    fn made(
        pki: &Pki,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(pki.roots())
            .with_client_auth_cert(chain, key)
            .unwrap();
        let mut client = Self { config };
        client.alpn(b"h2");
        client
    }

    pub(crate) fn anonymous(pki: &Pki) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(pki.roots())
            .with_no_client_auth();
        Self { config }
    }

    pub(crate) fn alpn(&mut self, protocol: &[u8]) {
        self.config.alpn_protocols = vec![protocol.to_vec()];
    }

    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.handshake(TcpStream::connect(address).await?).await
    }

    /// The alert with which the server refuses, and the client's address.
    pub(crate) async fn refused(&self, address: SocketAddr) -> (SocketAddr, AlertDescription) {
        let tcp = TcpStream::connect(address).await.unwrap();
        let local = tcp.local_addr().unwrap();
        let error = match self.handshake(tcp).await {
            // in TLS 1.3 the server judges the client's certificate after the client is done
            Ok(mut stream) => ping(&mut stream).await.unwrap_err(),
            Err(error) => error,
        };
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => (local, *alert),
            _ => panic!("no alert, but {error:?}"),
        }
    }

    pub(crate) async fn handshake(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(self.config.clone()));
        connector.connect(name, tcp).await
    }
}

pub(crate) async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let mut answer = [0; 4];
    stream.write_all(b"ping").await?;
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

pub(crate) fn server_certificate(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

pub(crate) fn spki(issued: &Issued) -> [u8; 32] {
    use x509_parser::prelude::FromDer;
    let (_, certificate) =
        x509_parser::certificate::X509Certificate::from_der(&issued.chain[0]).unwrap();
    Sha256::digest(certificate.public_key().raw).into()
}

pub(crate) fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new("test"))
}

pub(crate) async fn incoming(
    context: &Arc<TlsContext>,
    listener: Listener,
    metrics: &Arc<Metrics>,
    shutdown: &Shutdown,
) -> (Incoming, SocketAddr) {
    incoming_with(context, listener, metrics, shutdown, AcceptLimits::default()).await
}

async fn incoming_with(
    context: &Arc<TlsContext>,
    listener: Listener,
    metrics: &Arc<Metrics>,
    shutdown: &Shutdown,
    limits: AcceptLimits,
) -> (Incoming, SocketAddr) {
    let tcp = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let acceptor = Acceptor {
        context: Arc::clone(context),
        metrics: Arc::clone(metrics),
        audit: Audit::nowhere(),
        listener,
        limits,
    };
    (acceptor.incoming(tcp, shutdown).unwrap(), address)
}

/// Waits on a state, never longer than the deadline.
pub(crate) async fn eventually(what: &str, state: impl Fn() -> bool) {
    let begun = Instant::now();
    while !state() {
        assert!(begun.elapsed() < DEADLINE, "did not happen in time: {what}");
        tokio::task::yield_now().await;
    }
}

/// The lines about a client, known by its port; tests run in parallel. None has its address.
pub(crate) fn log_lines(remote: SocketAddr) -> Vec<String> {
    let field = format!(r#""port":{},"#, remote.port());
    let lines = LINES.lock().unwrap();
    let found: Vec<_> = lines.iter().filter(|line| line.contains(&field)).cloned().collect();
    assert!(!found.iter().any(|it| it.contains(&remote.ip().to_string())), "{found:?}");
    found
}

/// All lines of the log, of all tests.
pub(crate) fn all_lines() -> Vec<String> {
    LINES.lock().unwrap().clone()
}

fn capture_logs() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::INFO)
            .with_writer(|| Lines)
            .init();
    });
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
const DEADLINE: Duration = Duration::from_secs(20);
