//! What all connectors share: TCP, the handshake, and how a channel of gRPC asks for a connection.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;

use crate::tls::{Alerted, Alerts, ConnectError};

/// Opens a connection over TLS to a host and port.
pub(super) trait Dial: Clone + Send + Sync + 'static {
    /// The connection.
    type Stream: Send;

    /// Connects.
    fn dial(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Where it is kept what the other side says of us in TLS.
    fn alerts(&self) -> Alerts;
}

/// A connection under way, as an `Endpoint` takes it.
pub(super) type Dialling<S> =
    Pin<Box<dyn Future<Output = Result<TokioIo<Alerted<S>>, ConnectError>> + Send>>;

/// Connects to where the URI of an `Endpoint` leads.
pub(super) fn dial<D: Dial>(connector: D, uri: Uri) -> Dialling<D::Stream> {
    Box::pin(async move {
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(ConnectError::Address { uri });
        };
        let host = host.trim_start_matches('[').trim_end_matches(']'); // IPv6
        let stream = connector.dial(host, port).await?;
        Ok(TokioIo::new(Alerted::new(stream, connector.alerts())))
    })
}

/// A TCP connection within `limit`.
pub(super) async fn reach(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<TcpStream, ConnectError> {
    let address = || format!("{host}:{port}");
    let unreachable = |source: io::Error| ConnectError::Unreachable { address: address(), source };
    let tcp = timeout(limit, TcpStream::connect((host, port)))
        .await
        .map_err(|_elapsed| late(address(), "connect", limit))?
        .map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    Ok(tcp)
}

/// TLS on it, within `limit`.
pub(super) async fn shake_hands(
    tcp: TcpStream,
    address: String,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let handshake = tokio_rustls::TlsConnector::from(config).connect(name, tcp);
    match timeout(limit, handshake).await {
        Err(_elapsed) => Err(late(address, "handshake", limit)),
        Ok(done) => done.map_err(|source| ConnectError::from_handshake(address, source)),
    }
}

fn late(address: String, stage: &'static str, limit: Duration) -> ConnectError {
    ConnectError::Timeout { address, stage, ms: limit.as_millis() }
}
