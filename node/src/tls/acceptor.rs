//! Accepts connections: handshakes off the accept loop, bounded in time and number, every
//! refusal with a name.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use registry_core::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_IDENTITY_MAX, HANDSHAKE_MS_MAX, HANDSHAKES_MAX,
    HANDSHAKES_PER_ADDRESS_MAX, JOIN_CONNECTION_MS_MAX, JOIN_CONNECTIONS_MAX, JOIN_HANDSHAKES_MAX,
    JOIN_PER_ADDRESS_MAX,
};
use rustls::{
    CertificateError,
    pki_types::{CertificateDer, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::warn;

use crate::{
    audit::{Audit, Refusal},
    lifecycle::{Shutdown, TaskKind},
    observe::Metrics,
    serving::{self, Share, Shares},
    tls::{As, Identity, Judged, TlsContext, Why},
};

/// Which listener of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// Catalogue, publish, watch, peers; ALPN `h2`.
    Grpc,
    /// Admin service; ALPN `h2`.
    Admin,
    /// Web; ALPN `h2` and `http/1.1`.
    Web,
    /// For Länder that are not members yet; asks for no client certificate. ALPN `h2`.
    Join,
}

/// How a handshake ended. Also the label of `registry_tls_handshakes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The connection stands.
    Ok,
    /// The chain of the client ends at no anchor known here.
    UnknownIssuer,
    /// The client has no certificate.
    NoCertificate,
    /// The client's certificate is expired or not valid yet.
    Expired,
    /// The client's certificate is revoked, or whether it is cannot be known.
    Revoked,
    /// The client's certificate is unusable for another reason.
    BadCertificate,
    /// The handshake took longer than allowed.
    Timeout,
    /// What came is not TLS.
    NotTls,
    /// Too many connections, or handshakes under way.
    TooMany,
    /// Nobody is invited at the moment.
    Closed,
    /// Anything else: no common version or suite, an alert, a closed connection.
    Other,
}

/// Bounds of one listener.
#[derive(Clone, Copy, Debug)]
pub struct AcceptLimits {
    /// A handshake may take this long.
    pub handshake: Duration,
    /// Handshakes under way.
    pub handshakes: usize,
    /// Connections, handshakes included.
    pub connections: usize,
    /// Handshakes under way from one address.
    pub handshakes_per_address: usize,
    /// Connections of one identity.
    pub connections_per_identity: usize,
}

/// Turns TCP connections of one listener into [`TlsConnection`]s.
#[derive(Debug)]
pub struct Acceptor {
    /// Certificates and trust.
    pub context: Arc<TlsContext>,
    /// Where outcomes are counted.
    pub metrics: Arc<Metrics>,
    /// Where refusals are traced.
    pub audit: Audit,
    /// Which listener.
    pub listener: Listener,
    /// Its bounds.
    pub limits: AcceptLimits,
}

/// The connections of a listener: a `Stream` for tonic, an axum `Listener`.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<TlsConnection>,
    local: SocketAddr,
}

/// A connection whose client has proved an identity. Frees its place when dropped.
#[derive(Debug)]
pub struct TlsConnection {
    stream: Judged<TlsStream<TcpStream>>,
    caller: Caller,
    _place: OwnedSemaphorePermit,
    _of_identity: Share<[u8; 32]>,
}

/// Who calls; an extension of every request (`request.extensions().get::<Caller>()`).
#[derive(Clone, Debug)]
pub struct Caller {
    /// Address of the client.
    pub remote: SocketAddr,
    /// What its certificate proves; may hold no role at all.
    pub identity: Arc<Identity>,
    /// The certificate itself, then its sub-CAs; empty where none is shown.
    pub chain: Chain,
}

/// Certificates of a client. Clones share them.
pub type Chain = Arc<[CertificateDer<'static>]>;

/// Where what became of a handshake is told.
struct Told {
    metrics: Arc<Metrics>,
    audit: Audit,
    listener: Listener,
}

/// What one handshake needs.
struct Handshake {
    context: Arc<TlsContext>,
    listener: Listener,
    limit: Duration,
    tcp: TcpStream,
    remote: SocketAddr,
}

// === impl Acceptor ===

impl Acceptor {
    /// Accepts on `tcp` until `shutdown`; then the stream ends.
    ///
    /// # Errors
    ///
    /// The socket has no local address.
    pub fn incoming(self, tcp: TcpListener, shutdown: &Shutdown) -> io::Result<Incoming> {
        self.incoming_while(|| true, tcp, shutdown)
    }

    /// [`Self::incoming`]; a connection that comes while `open` says no is closed at once.
    ///
    /// # Errors
    ///
    /// The socket has no local address.
    pub fn incoming_while(
        self,
        open: impl Fn() -> bool + Send + Sync + 'static,
        tcp: TcpListener,
        shutdown: &Shutdown,
    ) -> io::Result<Incoming> {
        let local = tcp.local_addr()?;
        let (ready, connections) = mpsc::channel(self.limits.handshakes.max(1));
        let tasks = shutdown.clone();
        shutdown.spawn(TaskKind::Listener, async move {
            tokio::select! {
                () = self.accept(open, tcp, ready, &tasks) => {}
                () = tasks.token().cancelled() => {}
            }
        });
        Ok(Incoming { connections, local })
    }

    async fn accept(
        &self,
        open: impl Fn() -> bool,
        tcp: TcpListener,
        ready: mpsc::Sender<TlsConnection>,
        tasks: &Shutdown,
    ) {
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes));
        let addresses = Shares::new(self.limits.handshakes_per_address);
        let identities = Shares::new(self.limits.connections_per_identity);
        loop {
            let (tcp, remote) = match tcp.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(listener = self.listener.name(), %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await; // out of file descriptors, as a rule
                    continue;
                }
            };
            if !open() {
                self.refuse(remote, Outcome::Closed, "nobody is invited");
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.refuse(remote, Outcome::TooMany, "connections");
                continue;
            };
            let Some(of_address) = addresses.take(network(remote.ip())) else {
                self.refuse(remote, Outcome::TooMany, "handshakes of this address");
                continue;
            };
            let Ok(handshake) = Arc::clone(&handshakes).try_acquire_owned() else {
                self.refuse(remote, Outcome::TooMany, "handshakes");
                continue;
            };
            let (ready, told) = (ready.clone(), self.told());
            let identities = Arc::clone(&identities);
            let work = Handshake {
                context: Arc::clone(&self.context),
                listener: self.listener,
                limit: self.limits.handshake,
                tcp,
                remote,
            };
            let token = tasks.token().clone();
            tasks.spawn(TaskKind::Connection, async move {
                let _under_way = (handshake, of_address);
                let ended = tokio::select! {
                    ended = work.run() => ended,
                    () = token.cancelled() => return,
                };
                match ended {
                    Ok((stream, caller)) => {
                        let Some(of_identity) = identities.take(caller.identity.spki) else {
                            let reason = "connections of this identity";
                            told.refused(remote, Outcome::TooMany, reason.to_owned().into());
                            return;
                        };
                        told.metrics.tls_handshake(told.listener.name(), Outcome::Ok.label());
                        let (_place, _of_identity) = (place, of_identity);
                        let connection = TlsConnection { stream, caller, _place, _of_identity };
                        let _ = ready.send(connection).await; // the server stopped: drop it
                    }
                    Err((outcome, why)) => told.refused(remote, outcome, why),
                }
            });
        }
    }

    fn refuse(&self, remote: SocketAddr, outcome: Outcome, reason: &str) {
        self.told().refused(remote, outcome, reason.to_owned().into());
    }

    fn told(&self) -> Told {
        let (metrics, audit) = (Arc::clone(&self.metrics), self.audit.clone());
        Told { metrics, audit, listener: self.listener }
    }
}

// === impl Told ===

impl Told {
    fn refused(&self, remote: SocketAddr, outcome: Outcome, why: Why) {
        let listener = self.listener.name();
        self.metrics.tls_handshake(listener, outcome.label());
        // address and names stand in the audit log only; the port tells apart those of one time
        let (port, reason) = (remote.port(), why.logged);
        warn!(listener, port, outcome = outcome.label(), reason, "tls handshake refused");
        self.audit.refused(Refusal {
            act: "tls.handshake",
            outcome: outcome.label(),
            who: String::new(),
            names: Vec::new(),
            from: Some(remote.ip()),
            object: listener.to_owned(),
            note: why.traced,
        });
    }
}

// === impl Handshake ===

impl Handshake {
    async fn run(self) -> Result<(Judged<TlsStream<TcpStream>>, Caller), (Outcome, Why)> {
        let current = self.context.now();
        let config = match self.listener {
            Listener::Grpc | Listener::Admin => &current.grpc,
            Listener::Web => &current.web,
            Listener::Join => &current.join,
        };
        self.tcp.set_nodelay(true).map_err(|error| (Outcome::Other, error.to_string().into()))?;
        let accept = TlsAcceptor::from(Arc::clone(config)).accept(self.tcp);
        let stream = match timeout(self.limit, accept).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err((Outcome::of_io(&error), told(&error))),
            Err(_elapsed) => {
                let limit = format!("limit {} ms", self.limit.as_millis());
                return Err((Outcome::Timeout, limit.into()));
            }
        };
        if self.listener == Listener::Join {
            let identity = Arc::new(Identity::stranger(network(self.remote.ip())));
            let stream = Judged::for_at_most(JOIN_CONNECTION, stream);
            let chain = Chain::default();
            return Ok((stream, Caller { remote: self.remote, identity, chain }));
        }
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let refused = |error: rustls::Error| (Outcome::of(&error), Why::from(&error));
        let identity = current.trust.identify(chain, UnixTime::now()).map_err(refused)?;
        let identity = Arc::new(identity);
        let (chain, known_as) = (Chain::from(chain), As::Caller(Arc::clone(&identity)));
        let (standing, place) = (self.context.standing(), self.listener.name());
        let stream =
            standing.keep(place, self.remote, known_as, &chain, stream).map_err(refused)?;
        Ok((stream, Caller { remote: self.remote, identity, chain }))
    }
}

// === impl Outcome ===

impl Outcome {
    /// Value of the metric label and of the log field.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::UnknownIssuer => "unknown_issuer",
            Self::NoCertificate => "no_certificate",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::BadCertificate => "bad_certificate",
            Self::Timeout => "timeout",
            Self::NotTls => "not_tls",
            Self::TooMany => "too_many",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }

    fn of_io(error: &io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        tls.map_or(Self::Other, Self::of)
    }

    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::InvalidCertRevocationList(_) => Self::Revoked,
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer => Self::UnknownIssuer,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                CertificateError::Revoked
                | CertificateError::UnknownRevocationStatus
                | CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. } => Self::Revoked,
                _ => Self::BadCertificate,
            },
            _ => Self::Other,
        }
    }
}

// === impl Listener ===

impl Listener {
    /// Value of the metric label and of the log field.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Admin => "admin",
            Self::Web => "web",
            Self::Join => "join",
        }
    }
}

// === impl AcceptLimits ===

impl AcceptLimits {
    /// Those of the port for joining, which strangers reach.
    pub fn of_strangers() -> Self {
        Self {
            handshakes: JOIN_HANDSHAKES_MAX,
            connections: JOIN_CONNECTIONS_MAX,
            handshakes_per_address: JOIN_PER_ADDRESS_MAX,
            connections_per_identity: JOIN_PER_ADDRESS_MAX,
            ..Self::default()
        }
    }
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_millis(HANDSHAKE_MS_MAX),
            handshakes: HANDSHAKES_MAX,
            connections: CONNECTIONS_MAX,
            handshakes_per_address: HANDSHAKES_PER_ADDRESS_MAX,
            connections_per_identity: CONNECTIONS_PER_IDENTITY_MAX,
        }
    }
}

// === impl Incoming ===

impl tokio_stream::Stream for Incoming {
    type Item = io::Result<TlsConnection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections.poll_recv(cx).map(|next| next.map(Ok))
    }
}

impl axum::serve::Listener for Incoming {
    type Io = TlsConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsConnection, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => {
                let remote = connection.caller.remote;
                (connection, remote)
            }
            // the node stops; axum is told by its own signal
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

// === impl TlsConnection ===

impl TlsConnection {
    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl serving::Connection for TlsConnection {
    type Peer = Caller;

    fn peer(&self) -> Caller {
        self.caller.clone()
    }
}

impl tonic::transport::server::Connected for TlsConnection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Incoming>> for Caller {
    fn connect_info(stream: axum::serve::IncomingStream<'_, Incoming>) -> Self {
        stream.io().caller.clone()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What failed in a handshake, in words.
fn told(error: &io::Error) -> Why {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.map_or_else(|| error.to_string().into(), Why::from)
}

/// Who has one address of IPv6 has 2^64 of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) => {
            let [a, b, c, d, ..] = it.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        it @ IpAddr::V4(_) => it,
    }
}

/// Without a certificate there is nothing that could be judged later.
const JOIN_CONNECTION: Duration = Duration::from_millis(JOIN_CONNECTION_MS_MAX);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
