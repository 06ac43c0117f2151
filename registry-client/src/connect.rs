//! The connection to a node: mutual TLS over an own connector.

use std::{
    fmt, io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use registry_proto::wire::registry::{
    catalogue_service_client::CatalogueServiceClient,
    nachnutzung_service_client::NachnutzungServiceClient,
    publish_service_client::PublishServiceClient, watch_service_client::WatchServiceClient,
};
use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Status,
    transport::{Channel, Endpoint, Uri},
};

use crate::{
    error::{ClientError, ConfigError, ConnectError, Refusal},
    tls,
};

/// Bytes of one gRPC message, both directions.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Time for address, TCP and TLS handshake together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for one answer when the caller names none.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// As long as a node waits for acknowledgements, at most.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// An idle connection is probed this often; without it a dead node would look like a quiet one.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// A probe that is not answered for this long ends the connection.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads of what a broken connection still holds, 1 KiB each.
const LAST_READS_MAX: usize = 64;

/// Where a node is and who asks.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `https://host:port`; the host must stand in the certificate of the node.
    pub endpoint: String,
    /// PEM file with the certificates under which the node's certificate counts.
    pub ca: PathBuf,
    /// PEM file with the own certificate, then its chain.
    pub cert: PathBuf,
    /// PEM file with the key of the own certificate.
    pub key: PathBuf,
    /// Time for one answer; see [`ANSWER_TIMEOUT`].
    pub timeout: Duration,
}

/// A connection to a node. Clones share it; it reconnects by itself.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    alert: AlertSlot,
    address: Arc<str>,
    timeout: Duration,
    /// What an answer may take longer that waits for other Länder.
    ack_wait: Duration,
}

/// Where the connection notes the last TLS alert. In TLS 1.3 the refusal of a client certificate
/// comes after the handshake, when HTTP/2 already reads, which keeps only its text.
type AlertSlot = Arc<Mutex<Option<AlertDescription>>>;

// === impl Client ===

impl Client {
    /// Connects to a node.
    ///
    /// # Errors
    ///
    /// [`ClientError::Config`] before anything is sent, [`ClientError::Connect`] if the node is
    /// not reached. A node may refuse the own certificate only at the first call: TLS 1.3 ends the
    /// handshake before the server has checked it.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let target = Target::parse(&config.endpoint).map_err(ClientError::Config)?;
        tls::configure(&config).map_err(ClientError::Config)?;
        let uri: Uri = config.endpoint.parse().map_err(|_| {
            ClientError::Config(ConfigError::Endpoint { endpoint: config.endpoint.clone() })
        })?;
        let alert = AlertSlot::default();
        let address: Arc<str> = Arc::from(target.address.as_str());
        let answer_timeout = config.timeout;
        let connector = {
            let (config, target, alert) = (Arc::new(config), Arc::new(target), Arc::clone(&alert));
            tower::service_fn(move |_: Uri| {
                let (config, target) = (Arc::clone(&config), Arc::clone(&target));
                let alert = Arc::clone(&alert);
                async move { dial(config, target, alert).await.map(TokioIo::new) }
            })
        };
        let channel = Endpoint::from(uri)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
            .map_err(|error| match ConnectError::behind(&error) {
                Some(ConnectError::Config(error)) => ClientError::Config(*error),
                Some(error) => ClientError::Connect(error),
                None => ClientError::Broken { operation: "connect", detail: chain(&error) },
            })?;
        Ok(Self { channel, alert, address, timeout: answer_timeout, ack_wait: ACK_WAIT })
    }

    /// The connection itself, for stubs of one's own; they see plain gRPC statuses.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// host:port of the node.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The same connection with another time for answers.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// The same connection; an answer that waits for other Länder (`ack_peers`) gets no more time than
    /// any other. Else it gets 30 s more, in which the node says itself who has not acknowledged.
    #[must_use]
    pub fn bounded(&self) -> Self {
        Self { ack_wait: Duration::ZERO, ..self.clone() }
    }

    /// The same connection with the time for an answer that waits for `ack_peers` other Länder.
    pub(crate) fn waiting_for(&self, ack_peers: u32) -> Self {
        let more = if ack_peers > 0 { self.ack_wait } else { Duration::ZERO };
        self.with_timeout(self.timeout.saturating_add(more))
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn catalogue(&self) -> CatalogueServiceClient<Channel> {
        CatalogueServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn nachnutzung(&self) -> NachnutzungServiceClient<Channel> {
        NachnutzungServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn publisher(&self) -> PublishServiceClient<Channel> {
        PublishServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn watcher(&self) -> WatchServiceClient<Channel> {
        WatchServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// A request that tells the node how long its answer is waited for.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// Waits for an answer, at most the time of this client.
    pub(crate) async fn answer<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, ClientError> {
        match timeout(self.timeout, Box::pin(call)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(operation, &status)),
            Err(_) => Err(ClientError::TimedOut { operation, after: self.timeout }),
        }
    }

    /// Tells what the node answered from what the transport reports.
    pub(crate) fn error(&self, operation: &'static str, status: &Status) -> ClientError {
        let Some(source) = std::error::Error::source(status) else {
            return ClientError::Refused { operation, refusal: Box::new(Refusal::from(status)) };
        };
        if let Some(error) = ConnectError::behind(source) {
            return match error {
                ConnectError::Config(error) => ClientError::Config(*error),
                error => ClientError::Connect(error),
            };
        }
        let alert = self.alert.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(alert) = alert {
            let address = self.address.to_string();
            return ClientError::Connect(ConnectError::Alert { address, alert });
        }
        if is_timeout(source) {
            return ClientError::TimedOut { operation, after: self.timeout };
        }
        ClientError::Broken { operation, detail: chain(source) }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

// === the connector ===

struct Target {
    host: String,
    port: u16,
    address: String,
    name: ServerName<'static>,
}

impl Target {
    fn parse(endpoint: &str) -> Result<Self, ConfigError> {
        let bad = || ConfigError::Endpoint { endpoint: endpoint.to_owned() };
        let uri: Uri = endpoint.parse().map_err(|_| bad())?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => {
                return Err(ConfigError::PlainHttp { endpoint: endpoint.to_owned() });
            }
            Some(_) | None => return Err(bad()),
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad());
        }
        let host = uri.host().ok_or_else(bad)?.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().ok_or_else(bad)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| bad())?;
        let address = uri.authority().ok_or_else(bad)?.to_string();
        Ok(Self { host: host.to_owned(), port, address, name })
    }
}

async fn dial(
    config: Arc<ClientConfig>,
    target: Arc<Target>,
    alert: AlertSlot,
) -> Result<Noted, ConnectError> {
    let tls = tokio::task::spawn_blocking(move || tls::configure(&config))
        .await
        .map_err(|_| ConnectError::Handshake {
            address: target.address.clone(),
            detail: "the runtime is shutting down".to_owned(),
        })?
        .map_err(|error| ConnectError::Config(Box::new(error)))?;
    let address = target.address.clone();
    match timeout(CONNECT_TIMEOUT, handshake(tls, &target)).await {
        Ok(stream) => stream.map(|inner| Noted { inner, alert, broken: None }),
        Err(_) => Err(ConnectError::TimedOut { address, after: CONNECT_TIMEOUT }),
    }
}

async fn handshake(
    tls: Arc<rustls::ClientConfig>,
    target: &Target,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let address = target.address.clone();
    let addresses: Vec<_> = match tokio::net::lookup_host((target.host.as_str(), target.port)).await
    {
        Ok(found) => found.collect(),
        Err(error) => return Err(ConnectError::Resolve { address, source: Arc::new(error) }),
    };
    let tcp = match TcpStream::connect(addresses.as_slice()).await {
        Ok(tcp) => tcp,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(ConnectError::Refused { address });
        }
        Err(error) => return Err(ConnectError::Network { address, source: Arc::new(error) }),
    };
    let network = |error| ConnectError::Network { address, source: Arc::new(error) };
    tcp.set_nodelay(true).map_err(network)?;
    TlsConnector::from(tls)
        .connect(target.name.clone(), tcp)
        .await
        .map_err(|error| handshake_error(&target.address, &error))
}

fn handshake_error(address: &str, error: &io::Error) -> ConnectError {
    let address = address.to_owned();
    match rustls_error(error) {
        Some(source @ rustls::Error::InvalidCertificate(_)) => {
            ConnectError::Untrusted { address, source: source.clone() }
        }
        Some(rustls::Error::AlertReceived(alert)) => ConnectError::Alert { address, alert: *alert },
        Some(other) => ConnectError::Handshake { address, detail: other.to_string() },
        None => ConnectError::Handshake { address, detail: error.to_string() },
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<tonic::TimeoutExpired>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The error and its sources in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}

/// A TLS stream that notes alerts.
struct Noted {
    inner: TlsStream<TcpStream>,
    alert: AlertSlot,
    /// A write failed with this; what the node said last is still to be read.
    broken: Option<io::Error>,
}

impl Noted {
    /// After a failed write: reads what the node said before it closed, then yields the error of
    /// the write. The connection is useless by then, so data is thrown away.
    fn last_words<T>(&mut self, error: io::Error, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut scratch = [0; 1024];
        for _ in 0..LAST_READS_MAX {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buf) {
                // a socket that fails to write becomes readable, if only with an error
                Poll::Pending => {
                    self.broken = Some(error);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                ended @ Poll::Ready(_) => {
                    let _ = self.note(ended);
                    break;
                }
            }
        }
        Poll::Ready(Err(error))
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result
            && let Some(rustls::Error::AlertReceived(alert)) = rustls_error(error)
        {
            *self.alert.lock().unwrap_or_else(PoisonError::into_inner) = Some(*alert);
        }
        result
    }
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.note(result)
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.broken.take() {
            return self.last_words(error, cx);
        }
        match Pin::new(&mut self.inner).poll_write(cx, buf) {
            Poll::Ready(Err(error)) => self.last_words(error, cx),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.broken.take() {
            return self.last_words(error, cx);
        }
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(Err(error)) => self.last_words(error, cx),
            other => other,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_with_host_and_port() {
        for good in ["https://localhost:7443", "https://127.0.0.1:7443/", "https://[::1]:7443"] {
            assert!(Target::parse(good).is_ok(), "{good}");
        }
        for bad in ["localhost:7443", "https://localhost", "https://a:1/x", "ftp://a:1", ""] {
            assert!(matches!(Target::parse(bad), Err(ConfigError::Endpoint { .. })), "{bad}");
        }
        let plain = Target::parse("http://localhost:7443");
        assert!(matches!(plain, Err(ConfigError::PlainHttp { .. })));
    }
}
