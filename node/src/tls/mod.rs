//! Mutual TLS: who may connect and as whom.
//!
//! [`TlsContext`] holds certificates, anchors and rules; [`TlsContext::reload`] replaces them for
//! handshakes that begin later and never touches a connection that stands. [`Acceptor`] and
//! [`PeerConnector`] take what is current at each handshake.

mod acceptor;
mod connector;
mod identity;
mod leaf;
mod material;
mod profile;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::CryptoProvider,
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
};

pub use acceptor::{AcceptLimits, Acceptor, Caller, Incoming, Listener, Outcome, TlsConnection};
pub use connector::{ConnectError, PeerConnector};
pub use identity::{ClientMatch, ClientRule, Identity, MemberTrust, NodeTrust, PeerRefused, Trust};
pub(crate) use leaf::Leaf;
pub use material::{Material, MaterialError, read_certificates, read_private_key};
pub(crate) use material::{check_anchors, check_own_name, check_pair};
pub use profile::Profile;

/// Certificates, anchors and rules of a node, swappable as a whole.
#[derive(Debug)]
pub struct TlsContext {
    profile: Profile,
    current: ArcSwap<Current>,
}

/// One consistent state; a handshake uses exactly one.
#[derive(Debug)]
struct Current {
    grpc: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    trust: Arc<Trust>,
    not_after: i64,
}

// === impl TlsContext ===

impl TlsContext {
    /// A context with `material`.
    ///
    /// # Errors
    ///
    /// The material cannot be used.
    pub fn new(profile: Profile, material: Material) -> Result<Self, MaterialError> {
        let current = Current::new(profile, material)?;
        Ok(Self { profile, current: ArcSwap::from_pointee(current) })
    }

    /// Replaces everything for handshakes that begin from now on. Connections that stand keep
    /// what they were made with; callers that revoke someone MUST end those themselves.
    ///
    /// # Errors
    ///
    /// The material cannot be used; then nothing changes.
    pub fn reload(&self, material: Material) -> Result<(), MaterialError> {
        self.current.store(Arc::new(Current::new(self.profile, material)?));
        Ok(())
    }

    /// The trust that new handshakes use; asks for an identity again after a reload.
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.current.load().trust)
    }

    /// End of validity of the node's own certificate, Unix seconds.
    pub fn not_after(&self) -> i64 {
        self.current.load().not_after
    }

    fn now(&self) -> Arc<Current> {
        self.current.load_full()
    }
}

// === impl Current ===

impl Current {
    fn new(profile: Profile, material: Material) -> Result<Self, MaterialError> {
        let provider = profile.provider();
        let Material { chain, key, members, client_anchors, rules } = material;
        let Some(leaf) = chain.first() else {
            return Err(MaterialError::Certificate(rustls::Error::NoCertificatesPresented));
        };
        let leaf = Leaf::parse(leaf).map_err(MaterialError::Certificate)?;
        leaf.require_strong_key().map_err(MaterialError::Certificate)?;
        let own =
            CertifiedKey::from_der(chain, key, &provider).map_err(MaterialError::Certificate)?;
        let own = Arc::new(SingleCertAndKey::from(own));
        let trust = Arc::new(Trust::new(members, client_anchors, rules, Arc::clone(&provider))?);
        let server = |alpn: &[&[u8]]| server_config(profile, &provider, &trust, &own, alpn);
        Ok(Self {
            grpc: server(&[H2])?,
            web: server(&[H2, HTTP1])?,
            client: client_config(profile, &provider, own.clone())?,
            trust,
            not_after: leaf.not_after,
        })
    }
}

fn server_config(
    profile: Profile,
    provider: &Arc<CryptoProvider>,
    trust: &Arc<Trust>,
    own: &Arc<SingleCertAndKey>,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, MaterialError> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(profile.versions())
        .map_err(MaterialError::Certificate)?
        .with_client_cert_verifier(Arc::new(identity::AnyKnownClient(Arc::clone(trust))))
        .with_cert_resolver(own.clone());
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    // who was known once must prove it again: no tickets, no resumption, no 0-RTT
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.require_ems = true;
    Ok(Arc::new(config))
}

/// The verifier is set per dialled peer; without one this configuration trusts nobody.
fn client_config(
    profile: Profile,
    provider: &Arc<CryptoProvider>,
    own: Arc<SingleCertAndKey>,
) -> Result<Arc<ClientConfig>, MaterialError> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(profile.versions())
        .map_err(MaterialError::Certificate)?
        .with_root_certificates(RootCertStore::empty())
        .with_client_cert_resolver(own);
    config.alpn_protocols = vec![H2.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.require_ems = true;
    Ok(Arc::new(config))
}

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
