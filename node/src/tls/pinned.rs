//! Connects to a node that is known by pins alone: whoever joins has no charter yet.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use registry_core::limits::HANDSHAKE_MS_MAX;
use registry_proto::charter::Member;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::tls::{
    Alerted, Alerts, ConnectError, H2, MaterialError, Profile,
    crl::Crls,
    dialling::{self, Dial, Dialling},
    leaf::Leaf,
    strength,
    verifiers::Verifiers,
};

/// Under what a node counts: its name, and SHA-256 over the SubjectPublicKeyInfo of anchors above
/// it, or of its own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Name in the SAN of the certificate.
    pub node: String,
    /// Of these one must be there.
    pub pins: Vec<[u8; 32]>,
}

/// Dials a node known by pins; shows no certificate. For `Endpoint::connect_with_connector`.
#[derive(Clone, Debug)]
pub struct PinnedConnector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    alerts: Alerts,
}

/// Accepts a server under pins only.
#[derive(Debug)]
struct OnlyPinned {
    pins: Pins,
    provider: Arc<CryptoProvider>,
}

// === impl Pins ===

impl Pins {
    /// What others know a node of a member by: the anchors of the member, and the pins of the node.
    /// Anchors that cannot be read are left out.
    pub fn of(member: &Member, node: &str) -> Self {
        let anchors = member.anchors.iter();
        let anchors = anchors.filter_map(|it| Leaf::parse(&CertificateDer::from(&it[..])).ok());
        let own = member.nodes.iter().filter(|it| it.name == node);
        let own = own.flat_map(|it| it.spki_pins.iter().copied());
        Self { node: node.to_owned(), pins: anchors.map(|it| it.spki).chain(own).collect() }
    }

    /// Whether the chain is that of the node.
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), Error> {
        let leaf = Leaf::parse(end_entity)?;
        // what signed an anchor does not matter
        let is_anchor =
            |it: &&CertificateDer<'_>| Leaf::parse(it).is_ok_and(|it| self.pins.contains(&it.spki));
        let below = intermediates.iter().filter(|it| !is_anchor(it));
        strength::require_strong(std::iter::once(end_entity).chain(below))?;
        if self.pins.contains(&leaf.spki) {
            return leaf.require_valid_at(now);
        }
        let mut refused = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for above in intermediates {
            if !Leaf::parse(above).is_ok_and(|it| self.pins.contains(&it.spki)) {
                continue;
            }
            match self.under(above, end_entity, intermediates, now, provider) {
                Ok(()) if leaf.is_named(&self.node) => return Ok(()),
                Ok(()) => refused = Error::InvalidCertificate(CertificateError::NotValidForName),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn under(
        &self,
        anchor: &CertificateDer<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), Error> {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        strength::require_strong_anchor(anchor)?;
        let name = ServerName::try_from(self.node.as_str());
        let name = name.map_err(|_| Error::UnsupportedNameType)?;
        let anchors = vec![anchor.clone().into_owned()];
        let verifiers = Verifiers::new("pinned", anchors, &Crls::default(), provider);
        let verifiers = verifiers.ok().flatten().ok_or(unknown)?;
        verifiers.server(&name, end_entity, intermediates, now)
    }
}

// === impl PinnedConnector ===

impl PinnedConnector {
    /// A connector to whoever counts under `pins`.
    ///
    /// # Errors
    ///
    /// The name is no DNS name.
    pub fn new(profile: Profile, pins: Pins) -> Result<Self, MaterialError> {
        let provider = profile.provider();
        let name = ServerName::try_from(pins.node.clone())
            .map_err(|_| MaterialError::Certificate(Error::UnsupportedNameType))?;
        let verifier = OnlyPinned { pins, provider: Arc::clone(&provider) };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(profile.versions())
            .map_err(MaterialError::Certificate)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![H2.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.require_ems = true;
        Ok(Self { config: Arc::new(config), name, alerts: Alerts::default() })
    }

    /// What the other side said of us, once a call on its connection has failed.
    pub fn alerts(&self) -> Alerts {
        self.alerts.clone()
    }
}

impl Dial for PinnedConnector {
    type Stream = TlsStream<TcpStream>;

    async fn dial(&self, host: &str, port: u16) -> Result<Self::Stream, ConnectError> {
        let tcp = dialling::reach(host, port, CONNECT_TIMEOUT).await?;
        let (address, config) = (format!("{host}:{port}"), Arc::clone(&self.config));
        dialling::shake_hands(tcp, address, config, self.name.clone(), HANDSHAKE_TIMEOUT).await
    }

    fn alerts(&self) -> Alerts {
        self.alerts.clone()
    }
}

impl Service<Uri> for PinnedConnector {
    type Response = TokioIo<Alerted<TlsStream<TcpStream>>>;
    type Error = ConnectError;
    type Future = Dialling<TlsStream<TcpStream>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        dialling::dial(self.clone(), uri)
    }
}

// === impl OnlyPinned ===

impl ServerCertVerifier for OnlyPinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>, // the pins say more
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.pins.verify(end_entity, intermediates, now, &self.provider)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_millis(HANDSHAKE_MS_MAX);

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::pki::{Authority, Issued, Request};

    const NODE: &str = "sl-1.example";

    struct Case {
        anchor: CertificateDer<'static>,
        issued: Issued,
    }

    fn case(name: &str) -> Case {
        let now = OffsetDateTime::now_utc();
        let root = Authority::root("Root", now).unwrap();
        let ca = root.sub("SL CA", now).unwrap();
        Case { anchor: ca.der(), issued: ca.issue(&Request::node(name, now)).unwrap() }
    }

    fn spki(der: &CertificateDer<'_>) -> [u8; 32] {
        Leaf::parse(der).unwrap().spki
    }

    fn verify(case: &Case, pin: [u8; 32], more: &[CertificateDer<'static>]) -> Result<(), Error> {
        let (leaf, above) = case.issued.chain.split_first().unwrap();
        let above = [above, more].concat();
        let pins = Pins { node: NODE.to_owned(), pins: vec![[0; 32], pin] };
        pins.verify(leaf, &above, UnixTime::now(), &Profile::BSI.provider())
    }

    #[test]
    fn a_node_counts_under_its_anchor_or_its_own_key() {
        let mine = case(NODE);
        verify(&mine, spki(&mine.anchor), &[]).unwrap();
        verify(&mine, spki(&mine.issued.chain[0]), &[]).unwrap();
    }

    #[test]
    fn another_key_another_name_or_an_anchor_that_is_only_shown_does_not_count() {
        let (mine, other) = (case(NODE), case(NODE));
        let unknown = Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!(verify(&mine, spki(&other.anchor), &[]), unknown);
        // the pinned anchor is in the chain, and has signed nothing of it
        assert!(verify(&mine, spki(&other.anchor), std::slice::from_ref(&other.anchor)).is_err());
        let renamed = case("rp-1.example");
        let refused = verify(&renamed, spki(&renamed.anchor), &[]);
        assert_eq!(refused, Err(Error::InvalidCertificate(CertificateError::NotValidForName)));
    }
}
