//! The sockets of a node, bound before anything else happens.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::Listen;

/// Bound sockets.
#[derive(Debug)]
pub struct Listeners {
    pub(super) grpc: TcpListener,
    pub(super) web: Option<TcpListener>,
    pub(super) admin: TcpListener,
    pub(super) monitoring: TcpListener,
    pub(super) http: Option<TcpListener>,
    pub(super) join: Option<TcpListener>,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Catalogue, publish, watch, peers.
    pub grpc: SocketAddr,
    /// Web with client certificates.
    pub web: Option<SocketAddr>,
    /// Admin service.
    pub admin: SocketAddr,
    /// Metrics and probes.
    pub monitoring: SocketAddr,
    /// Plain HTTP.
    pub http: Option<SocketAddr>,
    /// For Länder that are not members yet.
    pub join: Option<SocketAddr>,
}

/// A socket cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("listen.{key}: cannot listen on {address}")]
pub struct BindError {
    /// Key in the configuration.
    pub key: &'static str,
    /// Address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

// === impl Listeners ===

impl Listeners {
    /// Binds all sockets, or none.
    ///
    /// # Errors
    ///
    /// The first that cannot be bound.
    pub async fn bind(listen: &Listen) -> Result<Self, BindError> {
        Ok(Self {
            grpc: bind("grpc", listen.grpc).await?,
            web: bind_some("web", listen.web).await?,
            admin: bind("admin", listen.admin).await?,
            monitoring: bind("monitoring", listen.monitoring).await?,
            http: bind_some("http", listen.http).await?,
            join: bind_some("join", listen.join).await?,
        })
    }

    /// Where they are bound; a port 0 in the configuration has become a real one.
    pub fn addresses(&self) -> Bound {
        let address = |it: &TcpListener| it.local_addr().unwrap_or(UNKNOWN);
        Bound {
            grpc: address(&self.grpc),
            web: self.web.as_ref().map(address),
            admin: address(&self.admin),
            monitoring: address(&self.monitoring),
            http: self.http.as_ref().map(address),
            join: self.join.as_ref().map(address),
        }
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { key, address, source })
}

async fn bind_some(
    key: &'static str,
    address: Option<SocketAddr>,
) -> Result<Option<TcpListener>, BindError> {
    match address {
        Some(address) => bind(key, address).await.map(Some),
        None => Ok(None),
    }
}

const UNKNOWN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
