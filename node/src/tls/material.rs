//! Certificates, keys and anchors as they come from files and from the charter.

use std::{
    error::Error,
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use registry_core::{
    authorize::{PeerIdentity, Rule},
    limits::PEM_BYTES_MAX,
};
use rustls::{
    CertificateError, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use crate::{
    keys,
    lifecycle::chain,
    policy::PolicyError,
    tls::{
        crl::{CrlError, Crls, Issuers},
        identity::{MemberTrust, Trust},
        profile::Profile,
        strength,
    },
};

/// All that a [`TlsContext`](crate::tls::TlsContext) is made of; replaced as a whole.
pub struct Material {
    /// The node's own certificate, then the sub-CAs that a partner needs to reach its anchor.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: Zeroizing<PrivateKeyDer<'static>>,
    /// Members of the charter.
    pub members: Vec<MemberTrust>,
    /// Anchors for readers, publishers and operators of this node.
    pub client_anchors: Vec<CertificateDer<'static>>,
    /// What certificates under these anchors, or pinned ones, may do; and what others may not.
    pub rules: Vec<Rule>,
    /// Certificates that count no more.
    pub crls: Crls,
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
    /// Others can read or change a private key.
    #[error(
        "{path} is a private key that others have access to (mode {mode:04o}); \
         mend it with: chmod o-rwx,g-wx {path}", path = path.display()
    )]
    Mode {
        /// The key.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
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
    /// A file is longer than any file of its kind.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A revocation list of a file cannot be used.
    #[error("a revocation list in {} cannot be used", path.display())]
    Crl {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: CrlError,
    },
    /// Revocation lists are required, and none of these files can be used.
    #[error("revocation lists are required, and none can be used: {}", causes(.0))]
    NoCrls(Vec<Self>),
    /// Revocation lists cannot be used together, or instead of those in use.
    #[error("revocation lists cannot be used")]
    Crls(#[source] CrlError),
    /// Some revocation lists were not taken; the others were.
    #[error("{0}")]
    SomeCrls(String),
    /// A certificate is too weak.
    #[error("a certificate is too weak: {}", strength::reason(.0))]
    Weak(rustls::Error),
    /// The certificate is expired or not valid yet, and the one in use is better.
    #[error("the certificate is not valid now, the one in use stays")]
    NotNow,
    /// Partners would not take the certificate for this node.
    #[error(transparent)]
    Name(#[from] NotForNode),
    /// The policy file cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Certificate and key do not fit each other or the profile.
    #[error("certificate and key cannot be used")]
    Certificate(#[source] rustls::Error),
}

/// Why partners will not take a certificate for a node.
#[derive(Debug, thiserror::Error)]
pub enum NotForNode {
    /// It speaks for somebody else.
    #[error(
        "partners will not take it for {} of {}: it is neither pinned in the charter nor issued under \
         an anchor of {} for this name, but for {names:?}", .own.node, .own.land, .own.land
    )]
    OtherName {
        /// The node.
        own: PeerIdentity,
        /// Names that stand in the certificate.
        names: Vec<String>,
    },
    /// It counts for nobody.
    #[error("{}", strength::reason(.0))]
    Refused(rustls::Error),
}

// === impl Material ===

impl Material {
    /// The issuers whose revocation lists can be verified here.
    pub(crate) fn issuers(&self) -> Issuers<'_> {
        Issuers::of(&self.members, &self.client_anchors, &self.chain)
    }
}

impl Clone for Material {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key().into(),
            members: self.members.clone(),
            client_anchors: self.client_anchors.clone(),
            rules: self.rules.clone(),
            crls: self.crls.clone(),
        }
    }
}

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
    /// The file that is to blame, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. }
            | Self::Mode { path, .. }
            | Self::Pem { path, .. }
            | Self::Missing { path, .. }
            | Self::TooLong { path, .. }
            | Self::Crl { path, .. } => Some(path),
            _ => None,
        }
    }

    pub(crate) fn anchors(
        source_name: &str,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Anchors { source_name: source_name.to_owned(), source: error.into() }
    }
}

fn causes(all: &[MaterialError]) -> String {
    all.iter().map(|it| chain(it)).collect::<Vec<_>>().join("; ")
}

/// Reads all certificates of a PEM file, in order; at least one.
///
/// # Errors
///
/// The file cannot be read, is damaged, or has no certificate.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let text = read(path, PEM_BYTES_MAX)?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| MaterialError::Pem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(MaterialError::Missing { path: path.to_owned(), what: "certificate" });
    }
    Ok(certificates)
}

/// Reads the private key of a PEM file. Its group may read it, as that of `ssl-cert` does, but not
/// write it, and nobody else may do either.
///
/// # Errors
///
/// The file cannot be read, is damaged, is open to others, or has no private key.
pub fn read_private_key(path: &Path) -> Result<Zeroizing<PrivateKeyDer<'static>>, MaterialError> {
    let failed = |source| MaterialError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    if let Some(mode) = keys::open_to(0o037, &file, path).map_err(failed)? {
        return Err(MaterialError::Mode { path: path.to_owned(), mode });
    }
    let text = Zeroizing::new(whole(file, path, PEM_BYTES_MAX)?);
    PrivateKeyDer::from_pem_slice(&text).map(Zeroizing::new).map_err(|source| match source {
        pem::Error::NoItemsFound => {
            MaterialError::Missing { path: path.to_owned(), what: "private key" }
        }
        source => MaterialError::Pem { path: path.to_owned(), source },
    })
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
///
/// It cannot be read, or is longer.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, MaterialError> {
    let failed = |source| MaterialError::Read { path: path.to_owned(), source };
    whole(fs::File::open(path).map_err(failed)?, path, limit)
}

/// Of a private key nothing stays behind but what is returned, or passed to an error.
fn whole(file: fs::File, path: &Path, limit: u64) -> Result<Vec<u8>, MaterialError> {
    let failed = |source| MaterialError::Read { path: path.to_owned(), source };
    // one allocation: growing would leave copies
    let length = file.metadata().map_err(failed)?.len().min(limit);
    let capacity = usize::try_from(length).unwrap_or_default() + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(MaterialError::TooLong { path: path.to_owned(), limit });
    }
    Ok(std::mem::take(&mut *bytes))
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

/// Checks that the keys of anchors are strong enough for the profile.
///
/// # Errors
///
/// The first that is not.
pub(crate) fn check_strong_anchors(
    anchors: &[CertificateDer<'static>],
) -> Result<(), rustls::Error> {
    anchors.iter().try_for_each(strength::require_strong_anchor)
}

/// Checks that the keys and signatures of the own chain are strong enough for the profile.
///
/// # Errors
///
/// The first that is not.
pub(crate) fn check_strong(chain: &[CertificateDer<'static>]) -> Result<(), rustls::Error> {
    strength::require_strong(chain)
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
    members: Vec<MemberTrust>,
    own: &PeerIdentity,
) -> Result<(), NotForNode> {
    let none = Crls::default();
    let Ok(trust) = Trust::new(members, Vec::new(), Vec::new(), &none, profile.provider()) else {
        return Ok(()); // the anchors are reported on their own
    };
    match trust.identify(chain, UnixTime::now()) {
        Ok(identity) if identity.principal.peer.as_ref() == Some(own) => Ok(()),
        // a suspended member prepares for the time after it
        Ok(identity) if identity.principal.barred.as_ref().is_some_and(|it| it.peer == *own) => {
            Ok(())
        }
        Ok(identity) => Err(NotForNode::OtherName { own: own.clone(), names: identity.names }),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::NotValidYet,
        )) => Ok(()),
        Err(error) => Err(NotForNode::Refused(error)),
    }
}
