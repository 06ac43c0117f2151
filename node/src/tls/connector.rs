//! Dials nodes of other members.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use registry_core::{authorize::PeerIdentity, limits::HANDSHAKE_MS_MAX};
use registry_proto::terms::Land;
use rustls::{AlertDescription, CertificateError, OtherError, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::tls::{
    Alerted, Alerts, As, Judged, TlsContext,
    dialling::{self, Dial, Dialling},
    identity::{OnlyThisPeer, PeerRefused},
};

/// Dials one node of one member. For `Endpoint::connect_with_connector`; the host and port of the
/// endpoint's URI (`http://host:port`, TLS is added here) say where, `expect` says who.
#[derive(Clone, Debug)]
pub struct PeerConnector {
    context: Arc<TlsContext>,
    expect: PeerIdentity,
    alerts: Alerts,
    connect_timeout: Duration,
    handshake_timeout: Duration,
}

/// Why a partner's node was not reached.
///
/// A partner that refuses *our* certificate says so only after the TLS 1.3 handshake; that error
/// comes from the first read on the connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URI names no host and port.
    #[error("{uri} names no host and port")]
    Address {
        /// As given.
        uri: Uri,
    },
    /// No TCP connection.
    #[error("cannot reach {address}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No TCP connection or TLS handshake in time.
    #[error("{address} did not answer within {ms} ms ({stage})")]
    Timeout {
        /// Host and port.
        address: String,
        /// "connect" or "handshake".
        stage: &'static str,
        /// The limit.
        ms: u128,
    },
    /// The charter has no such node.
    #[error("node {} of {} is not in the charter", .peer.node, .peer.land)]
    NotInCharter {
        /// Who was dialled.
        peer: PeerIdentity,
    },
    /// The chain ends at no anchor known here.
    #[error("certificate of {address} comes from an unknown issuer")]
    UnknownIssuer {
        /// Host and port.
        address: String,
    },
    /// The chain ends at an anchor of another member.
    #[error("{address} belongs to {found}, expected {expected}")]
    WrongLand {
        /// Host and port.
        address: String,
        /// The member that was dialled.
        expected: Land,
        /// The member whose certificate was shown.
        found: Land,
    },
    /// The right member, but another node.
    #[error("certificate of {address} is for {presented:?}, expected {expected}")]
    NameMismatch {
        /// Host and port.
        address: String,
        /// Node name in the charter.
        expected: String,
        /// DNS names in the certificate.
        presented: Vec<String>,
    },
    /// The certificate is not valid at this time.
    #[error("certificate of {address} is expired or not valid yet")]
    Expired {
        /// Host and port.
        address: String,
    },
    /// The certificate is revoked, or whether it is cannot be known although it must be.
    #[error("certificate of {address} is revoked, or not on a list that is required")]
    Revoked {
        /// Host and port.
        address: String,
    },
    /// The partner ended the handshake.
    #[error("{address} refused the handshake with the alert {alert:?}")]
    Refused {
        /// Host and port.
        address: String,
        /// What it said.
        alert: AlertDescription,
    },
    /// Anything else in the handshake.
    #[error("TLS handshake with {address} failed")]
    Tls {
        /// Host and port.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

// === impl PeerConnector ===

impl PeerConnector {
    /// A connector for one node of the charter.
    pub fn new(context: Arc<TlsContext>, expect: PeerIdentity) -> Self {
        Self {
            context,
            expect,
            alerts: Alerts::default(),
            connect_timeout: CONNECT_TIMEOUT,
            handshake_timeout: Duration::from_millis(HANDSHAKE_MS_MAX),
        }
    }

    /// What the other side said of our certificate, once a call on its connection has failed.
    pub fn alerts(&self) -> Alerts {
        self.alerts.clone()
    }

    /// Connects, and returns only if the other side proved to be the expected node.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Judged<TlsStream<TcpStream>>, ConnectError> {
        let Ok(name) = ServerName::try_from(self.expect.node.clone()) else {
            return Err(ConnectError::NotInCharter { peer: self.expect.clone() });
        };
        let tcp = dialling::reach(host, port, self.connect_timeout).await?;

        let current = self.context.now();
        let mut config = current.client.as_ref().clone();
        config.dangerous().set_certificate_verifier(Arc::new(OnlyThisPeer {
            trust: Arc::clone(&current.trust),
            expect: self.expect.clone(),
        }));
        let address = || format!("{host}:{port}");
        let (config, limit) = (Arc::new(config), self.handshake_timeout);
        let stream = dialling::shake_hands(tcp, address(), config, name, limit).await?;
        let remote = stream.get_ref().0.peer_addr();
        let remote =
            remote.map_err(|source| ConnectError::Unreachable { address: address(), source })?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let known_as = As::Dialled(self.expect.clone());
        let kept = self.context.standing().keep(DIALLED, remote, known_as, &chain, stream);
        kept.map_err(|error| ConnectError::from_handshake(address(), io::Error::other(error)))
    }
}

impl Dial for PeerConnector {
    type Stream = Judged<TlsStream<TcpStream>>;

    async fn dial(&self, host: &str, port: u16) -> Result<Self::Stream, ConnectError> {
        self.connect(host, port).await
    }

    fn alerts(&self) -> Alerts {
        self.alerts.clone()
    }
}

impl Service<Uri> for PeerConnector {
    type Response = TokioIo<Alerted<Judged<TlsStream<TcpStream>>>>;
    type Error = ConnectError;
    type Future = Dialling<Judged<TlsStream<TcpStream>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        dialling::dial(self.clone(), uri)
    }
}

// === impl ConnectError ===

impl ConnectError {
    pub(super) fn from_handshake(address: String, source: io::Error) -> Self {
        let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::AlertReceived(alert)) => Self::Refused { address, alert: *alert },
            Some(rustls::Error::InvalidCertificate(error)) => match error {
                CertificateError::UnknownIssuer => Self::UnknownIssuer { address },
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired { address },
                CertificateError::Revoked
                | CertificateError::UnknownRevocationStatus
                | CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. } => {
                    Self::Revoked { address }
                }
                CertificateError::Other(OtherError(other)) => {
                    match other.downcast_ref::<PeerRefused>() {
                        Some(refused) => Self::from_refusal(address, refused.clone()),
                        None => Self::Tls { address, source },
                    }
                }
                _ => Self::Tls { address, source },
            },
            _ => Self::Tls { address, source },
        }
    }

    fn from_refusal(address: String, refused: PeerRefused) -> Self {
        match refused {
            PeerRefused::NotInCharter(peer) => Self::NotInCharter { peer },
            PeerRefused::WrongLand { expected, found } => {
                Self::WrongLand { address, expected, found }
            }
            PeerRefused::NameMismatch { expected, presented } => {
                Self::NameMismatch { address, expected, presented }
            }
        }
    }
}

/// Where a connection stands that began here.
const DIALLED: &str = "dialled";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
