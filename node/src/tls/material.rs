//! Certificates, keys and anchors as they come from files and from the charter.

use std::{
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
};

use registry_core::authorize::PeerIdentity;
use registry_proto::charter::Charter;
use rustls::{
    CertificateError, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject},
    sign::CertifiedKey,
};

use crate::tls::{
    identity::{ClientRule, MemberTrust, Trust},
    profile::Profile,
};

/// All that a [`TlsContext`](crate::tls::TlsContext) is made of; replaced as a whole.
pub struct Material {
    /// The node's own certificate, then the sub-CAs that a partner needs to reach its anchor.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: PrivateKeyDer<'static>,
    /// Members of the charter.
    pub members: Vec<MemberTrust>,
    /// Anchors for readers, publishers and operators of this node.
    pub client_anchors: Vec<CertificateDer<'static>>,
    /// What certificates under these anchors, or pinned ones, may do.
    pub rules: Vec<ClientRule>,
}

/// Why material cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is no PEM.
    #[error("{} is no valid PEM file", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A PEM file has no section of the kind needed.
    #[error("{} holds no {what}", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// "certificate" or "private key".
        what: &'static str,
    },
    /// Anchors cannot be used.
    #[error("trust anchors cannot be used ({source_name})")]
    Anchors {
        /// Where they come from.
        source_name: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Certificate and key do not fit each other or the profile.
    #[error("certificate and key cannot be used")]
    Certificate(#[source] rustls::Error),
}

// === impl Material ===

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("chain", &self.chain.len())
            .field("members", &self.members.len())
            .field("client_anchors", &self.client_anchors.len())
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

// === impl MaterialError ===

impl MaterialError {
    pub(crate) fn anchors(
        source_name: &str,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Anchors { source_name: source_name.to_owned(), source: error.into() }
    }
}

/// Reads all certificates of a PEM file, in order; at least one.
///
/// # Errors
///
/// The file cannot be read, is damaged, or has no certificate.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| MaterialError::Pem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(MaterialError::Missing { path: path.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

/// Reads the private key of a PEM file.
///
/// # Errors
///
/// The file cannot be read, is damaged, or has no private key.
pub fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, MaterialError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| match source {
        pem::Error::NoItemsFound => {
            MaterialError::Missing { path: path.to_owned(), what: "private key" }
        }
        source => MaterialError::Pem { path: path.to_owned(), source },
    })
}

fn read(path: &Path) -> Result<Vec<u8>, MaterialError> {
    std::fs::read(path).map_err(|source| MaterialError::Read { path: path.to_owned(), source })
}

/// Checks anchors without building anything from them.
///
/// # Errors
///
/// One of them is no certificate that can anchor a chain.
pub(crate) fn check_anchors(anchors: &[CertificateDer<'static>]) -> Result<(), rustls::Error> {
    let mut store = RootCertStore::empty();
    anchors.iter().try_for_each(|anchor| store.add(anchor.clone()))
}

/// Checks that certificate and key fit each other and the profile.
///
/// # Errors
///
/// They do not.
pub(crate) fn check_pair(
    profile: Profile,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(), rustls::Error> {
    CertifiedKey::from_der(chain, key, &profile.provider()).map(|_| ())
}

/// Checks that partners will take the certificate for this node. One that is expired passes: a
/// node that runs on must also be able to start again.
///
/// # Errors
///
/// Why they will not.
pub(crate) fn check_own_name(
    profile: Profile,
    chain: &[CertificateDer<'static>],
    charter: &Charter,
    own: &PeerIdentity,
) -> Result<(), String> {
    let members = MemberTrust::of(charter);
    let Ok(trust) = Trust::new(members, Vec::new(), Vec::new(), profile.provider()) else {
        return Ok(()); // the anchors are reported on their own
    };
    match trust.identify(chain, UnixTime::now()) {
        Ok(identity) if identity.principal.peer.as_ref() == Some(own) => Ok(()),
        Ok(identity) => Err(format!(
            "partners will not take it for {} of {}: it is neither pinned in the charter nor \
             issued under an anchor of {} for this name, but for {:?}",
            own.node, own.land, own.land, identity.names,
        )),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::NotValidYet,
        )) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
