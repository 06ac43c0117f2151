//! Mutual TLS: who may connect and as whom.
//!
//! [`TlsContext`] holds certificates, anchors, revocation lists and rules; [`TlsContext::reload`]
//! replaces them for handshakes that begin later. [`Acceptor`] and [`PeerConnector`] take what is
//! current at each handshake. Connections that stand are judged by `TlsContext::judge`: they end
//! only if their own certificate does not count any more.

mod acceptor;
mod alerted;
mod connector;
mod crl;
mod dialling;
mod identity;
mod leaf;
mod material;
mod pinned;
mod profile;
mod standing;
mod strength;
mod verifiers;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::lifecycle::chain;

pub(crate) use acceptor::network;
pub use acceptor::{
    AcceptLimits, Acceptor, Caller, Chain, Incoming, Listener, Outcome, TlsConnection,
};
pub use alerted::{Alerted, Alerts};
pub use connector::{ConnectError, PeerConnector};
pub(crate) use crl::Issuers;
pub use crl::{Crl, CrlError, CrlFile, Crls, read_crls};
pub use identity::{Bar, Identity, MemberTrust, NodeTrust, PeerRefused, Presented, Trust};
pub(crate) use leaf::Leaf;
pub use material::{Material, MaterialError, NotForNode, read_certificates, read_private_key};
pub(crate) use material::{
    check_anchors, check_own_name, check_pair, check_strong, check_strong_anchors, read,
};
pub use pinned::{PinnedConnector, Pins};
pub use profile::Profile;
pub use standing::Judged;
pub(crate) use standing::{As, Ended, Standing};
pub use strength::{Flaw, Weak};
pub(crate) use strength::{Why, is_pkcs1, reason, subject_of};
pub(crate) use verifiers::is_revoked;

/// Certificates, anchors and rules of a node, swappable as a whole.
#[derive(Debug)]
pub struct TlsContext {
    profile: Profile,
    current: ArcSwap<Current>,
    /// What `current` was made of; held while it is replaced.
    material: Mutex<Material>,
    standing: Standing,
}

/// One consistent state; a handshake uses exactly one.
#[derive(Debug)]
struct Current {
    grpc: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
    /// For those who have no certificate that anybody knows yet.
    join: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    trust: Arc<Trust>,
    not_after: i64,
}

// === impl TlsContext ===

impl TlsContext {
    /// A context with `material`. Of its lists, those that nobody known signed count for nobody:
    /// lists of before a charter may be among them.
    ///
    /// # Errors
    ///
    /// The material cannot be used.
    pub fn new(profile: Profile, material: Material) -> Result<Self, MaterialError> {
        let current = ArcSwap::from_pointee(Current::new(profile, &material)?);
        let material = Mutex::new(material);
        Ok(Self { profile, current, material, standing: Standing::default() })
    }

    /// Replaces everything for handshakes that begin from now on. Connections that stand keep what
    /// they were made with until `Self::judge` finds that they do not count any more.
    ///
    /// # Errors
    ///
    /// The material cannot be used; then nothing changes.
    pub fn reload(&self, material: Material) -> Result<(), MaterialError> {
        self.change(|all| *all = material)
    }

    /// Replaces a part of the material, as [`Self::reload`] all of it.
    ///
    /// # Errors
    ///
    /// What comes out cannot be used; then nothing changes.
    pub fn change(&self, change: impl FnOnce(&mut Material)) -> Result<(), MaterialError> {
        self.swap(|material| {
            let before = material.crls.clone();
            change(material);
            if material.crls == before {
                return Ok(());
            }
            material.crls.check(&before, &material.issuers()).map_err(MaterialError::Crls)
        })
    }

    /// Takes the revocation lists of these files into use. One that may not be taken leaves in use
    /// what it would have replaced, and holds up none of another issuer.
    ///
    /// # Errors
    ///
    /// Why some, or all, were not taken.
    pub fn renew_crls(&self, files: Vec<CrlFile>) -> Result<(), MaterialError> {
        let mut failed = Vec::new();
        self.swap(|material| {
            (material.crls, failed) = material.crls.renewed(files, &material.issuers());
            let missing = material.crls.is_missing();
            if missing { Err(MaterialError::Crls(CrlError::None)) } else { Ok(()) }
        })?;
        let failed: Vec<_> = failed.iter().map(|it| chain(it)).collect();
        if failed.is_empty() { Ok(()) } else { Err(MaterialError::SomeCrls(failed.join("; "))) }
    }

    fn swap(
        &self,
        change: impl FnOnce(&mut Material) -> Result<(), MaterialError>,
    ) -> Result<(), MaterialError> {
        // it is replaced as a whole, at the end: what a panic leaves is whole
        let mut material = self.material.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = material.clone();
        change(&mut changed)?;
        self.current.store(Arc::new(Current::new(self.profile, &changed)?));
        *material = changed;
        Ok(())
    }

    /// The revocation lists that new handshakes use.
    pub fn crls(&self) -> Crls {
        self.material.lock().unwrap_or_else(PoisonError::into_inner).crls.clone()
    }

    /// What new handshakes use.
    pub fn material(&self) -> Material {
        self.material.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Judges the connections that stand by the trust of now, all of them or only those with a
    /// certificate that expired meanwhile, and ends those that do not count any more. Takes time.
    pub(crate) fn judge(&self, now: UnixTime, only_expired: bool) -> Vec<Ended> {
        self.standing.judge(&self.trust(), now, only_expired)
    }

    /// The connections that stand.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The trust that new handshakes use; asks for an identity again after a reload.
    pub fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.current.load().trust)
    }

    /// What a chain proves by the trust of today that was shown before.
    ///
    /// # Errors
    ///
    /// It would not be let in any more.
    pub fn recognise(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, rustls::Error> {
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let trust = self.trust();
        trust.verify_client(end_entity, intermediates, now)?;
        trust.identify(chain, now)
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
    fn new(profile: Profile, material: &Material) -> Result<Self, MaterialError> {
        let provider = profile.provider();
        let Material { chain, key, members, client_anchors, rules, crls } = material.clone();
        let Some(leaf) = chain.first() else {
            return Err(MaterialError::Certificate(rustls::Error::NoCertificatesPresented));
        };
        let leaf = Leaf::parse(leaf).map_err(MaterialError::Certificate)?;
        check_strong(&chain).map_err(MaterialError::Weak)?;
        let join = join_config(profile, &provider, &members, &leaf, &chain, &key)?;
        let own = CertifiedKey::from_der(chain, key.clone_key(), &provider)
            .map_err(MaterialError::Certificate)?;
        let own = Arc::new(SingleCertAndKey::from(own));
        let trust = Trust::new(members, client_anchors, rules, &crls, Arc::clone(&provider))?;
        let trust = Arc::new(trust);
        let server = |alpn: &[&[u8]]| server_config(profile, &provider, &trust, &own, alpn);
        Ok(Self {
            grpc: server(&[H2])?,
            web: server(&[H2, HTTP1])?,
            join,
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
    let config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(profile.versions())
        .map_err(MaterialError::Certificate)?
        .with_client_cert_verifier(Arc::new(identity::AnyKnownClient(Arc::clone(trust))))
        .with_cert_resolver(own.clone());
    Ok(without_resumption(config, alpn))
}

/// Asks for no certificate, and shows the anchors of the own Land behind the own chain: whoever
/// joins holds pins of them and nothing else.
fn join_config(
    profile: Profile,
    provider: &Arc<CryptoProvider>,
    members: &[MemberTrust],
    leaf: &Leaf,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, MaterialError> {
    let is_own = |it: &NodeTrust| leaf.is_named(&it.name) || it.spki_pins.contains(&leaf.spki);
    let own = members.iter().filter(|member| member.nodes.iter().any(is_own));
    let mut shown = chain.to_vec();
    for member in own {
        for anchor in identity::strong_anchors(member.land, member.anchors.clone()) {
            if !shown.contains(&anchor) {
                shown.push(anchor);
            }
        }
    }
    let own = CertifiedKey::from_der(shown, key.clone_key(), provider)
        .map_err(MaterialError::Certificate)?;
    let config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(profile.versions())
        .map_err(MaterialError::Certificate)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    Ok(without_resumption(config, &[H2]))
}

/// Who was known once must prove it again: no tickets, no resumption, no 0-RTT.
fn without_resumption(mut config: ServerConfig, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.require_ems = true;
    Arc::new(config)
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
