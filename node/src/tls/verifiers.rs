//! Verification of chains against anchors, with the revocation lists that are here.

use std::sync::Arc;

use rustls::{
    CertificateError, Error, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::tls::{crl::Crls, material::MaterialError};

/// Verifies chains to one set of anchors.
#[derive(Debug)]
pub(crate) struct Verifiers {
    /// One for each set of revocation lists; at least one.
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    as_client: Arc<dyn ClientCertVerifier>,
    as_server: Arc<WebPkiServerVerifier>,
}

// === impl Verifiers ===

impl Verifiers {
    /// Verifiers for these anchors; none if there is none.
    ///
    /// # Errors
    ///
    /// An anchor cannot be used.
    pub(crate) fn new(
        source: &str,
        anchors: Vec<CertificateDer<'static>>,
        crls: &Crls,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Option<Self>, MaterialError> {
        if anchors.is_empty() {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        for anchor in anchors {
            roots.add(anchor).map_err(|error| MaterialError::anchors(source, error))?;
        }
        let roots = Arc::new(roots);
        let pairs = crls.sets().into_iter();
        let pairs = pairs.map(|set| Pair::new(source, &roots, set, crls.required(), provider));
        Ok(Some(Self { pairs: pairs.collect::<Result<_, _>>()? }))
    }

    /// Whether the chain counts for a client.
    pub(crate) fn client(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.judge(|pair| {
            pair.as_client.verify_client_cert(end_entity, intermediates, now).map(|_| ())
        })
    }

    /// Whether the chain counts for a server; its name is not looked at.
    pub(crate) fn server(
        &self,
        name: &ServerName<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        self.judge(|pair| {
            match pair.as_server.verify_server_cert(end_entity, intermediates, name, &[], now) {
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn judge(&self, verify: impl Fn(&Pair) -> Result<(), Error>) -> Result<(), Error> {
        let (mut counts, mut refused) = (false, None);
        for pair in &self.pairs {
            match verify(pair) {
                Ok(()) => counts = true,
                Err(error) if is_revoked(&error) => return Err(error),
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if counts { Ok(()) } else { Err(refused.unwrap_or(unknown)) }
    }
}

// === impl Pair ===

impl Pair {
    fn new(
        source: &str,
        roots: &Arc<RootCertStore>,
        crls: Vec<CertificateRevocationListDer<'static>>,
        required: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, MaterialError> {
        let (roots, provider) = (|| Arc::clone(roots), || Arc::clone(provider));
        let mut client = WebPkiClientVerifier::builder_with_provider(roots(), provider())
            .with_crls(crls.clone());
        let mut server =
            WebPkiServerVerifier::builder_with_provider(roots(), provider()).with_crls(crls);
        if required {
            client = client.enforce_revocation_expiration();
            server = server.enforce_revocation_expiration();
        } else {
            client = client.allow_unknown_revocation_status();
            server = server.allow_unknown_revocation_status();
        }
        let bad = |error| MaterialError::anchors(source, error);
        Ok(Self {
            as_client: client.build().map_err(bad)?,
            as_server: server.build().map_err(bad)?,
        })
    }
}

/// True if the certificate, or a CA above it, is on a list.
pub(crate) fn is_revoked(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Revoked))
}

pub(crate) fn is_unknown_issuer(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer))
}
