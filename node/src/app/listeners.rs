//! The sockets of a node, bound before anything else happens.

use std::{io, net::SocketAddr, os::fd::AsFd};

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

/// The sockets of a process, kept while its node begins again: nobody else gets their ports, and who
/// connects meanwhile waits instead of being refused.
#[derive(Debug)]
pub struct Kept {
    grpc: std::net::TcpListener,
    web: Option<std::net::TcpListener>,
    admin: std::net::TcpListener,
    monitoring: std::net::TcpListener,
    http: Option<std::net::TcpListener>,
    join: Option<std::net::TcpListener>,
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
    pub source: io::Error,
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

    /// Keeps the sockets open beyond the end of the node that these are given to.
    ///
    /// # Errors
    ///
    /// The process has no more file descriptors.
    pub fn keep(&self) -> io::Result<Kept> {
        let some = |it: &Option<TcpListener>| it.as_ref().map(again).transpose();
        Ok(Kept {
            grpc: again(&self.grpc)?,
            web: some(&self.web)?,
            admin: again(&self.admin)?,
            monitoring: again(&self.monitoring)?,
            http: some(&self.http)?,
            join: some(&self.join)?,
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

// === impl Kept ===

impl Kept {
    /// The sockets for the next node. MUST be called within a runtime.
    ///
    /// # Errors
    ///
    /// The process has no more file descriptors.
    pub fn listeners(&self) -> io::Result<Listeners> {
        let one = |it: &std::net::TcpListener| TcpListener::from_std(again(it)?);
        let some = |it: &Option<std::net::TcpListener>| it.as_ref().map(one).transpose();
        Ok(Listeners {
            grpc: one(&self.grpc)?,
            web: some(&self.web)?,
            admin: one(&self.admin)?,
            monitoring: one(&self.monitoring)?,
            http: some(&self.http)?,
            join: some(&self.join)?,
        })
    }
}

/// The same socket once more. It stays non-blocking, as the runtime made it.
fn again(socket: &impl AsFd) -> io::Result<std::net::TcpListener> {
    socket.as_fd().try_clone_to_owned().map(Into::into)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_takes_a_port_while_the_node_begins_again_and_who_connects_is_served() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let listen = Listen {
            grpc: any,
            web: Some(any),
            admin: any,
            monitoring: any,
            http: None,
            join: Some(any),
        };
        let first = Listeners::bind(&listen).await.expect("bound");
        let (kept, bound) = (first.keep().expect("kept"), first.addresses());
        drop(first);
        for address in [Some(bound.grpc), bound.web, Some(bound.admin), bound.join] {
            let stolen = std::net::TcpListener::bind(address.expect("bound"));
            assert!(stolen.is_err(), "{address:?} was free");
        }
        let waits = std::net::TcpStream::connect(bound.grpc).expect("not refused");
        let next = kept.listeners().expect("again");
        assert_eq!(next.addresses(), bound);
        let (_, from) = next.grpc.accept().await.expect("accepted");
        assert_eq!(Some(from), waits.local_addr().ok());
        // of a node that stops for good nothing is left
        drop((next, kept));
        std::net::TcpListener::bind(bound.grpc).expect("free");
    }
}
