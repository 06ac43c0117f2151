//! The parts of an end-entity certificate that decide who someone is.

use rustls::{
    CertificateError, Error,
    pki_types::{CertificateDer, UnixTime},
};
use sha2::{Digest, Sha256};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// Parsed end-entity certificate. Nothing in it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// SHA-256 over the SubjectPublicKeyInfo.
    pub(crate) spki: [u8; 32],
    /// DNS names of the SAN, lower case.
    pub(crate) names: Vec<String>,
    /// Distinguished name of the issuer.
    pub(crate) issuer: String,
    /// Distinguished name; may be empty.
    pub(crate) subject: String,
    /// Unix seconds.
    pub(crate) not_before: i64,
    /// Unix seconds.
    pub(crate) not_after: i64,
}

// === impl Leaf ===

impl Leaf {
    /// Reads the certificate; errors say bad encoding.
    pub(crate) fn parse(der: &CertificateDer<'_>) -> Result<Self, Error> {
        let bad = Error::InvalidCertificate(CertificateError::BadEncoding);
        let Ok((rest, certificate)) = X509Certificate::from_der(der) else { return Err(bad) };
        if !rest.is_empty() {
            return Err(bad);
        }
        let Ok(san) = certificate.subject_alternative_name() else { return Err(bad) };
        let names = san.map_or_else(Vec::new, |extension| {
            let general = extension.value.general_names.iter();
            general
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                    _ => None,
                })
                .collect()
        });
        Ok(Self {
            spki: Sha256::digest(certificate.public_key().raw).into(),
            names,
            issuer: certificate.issuer().to_string(),
            subject: certificate.subject().to_string(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }

    /// Refuses certificates outside their validity period.
    pub(crate) fn require_valid_at(&self, now: UnixTime) -> Result<(), Error> {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if seconds < self.not_before {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        if seconds > self.not_after {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        Ok(())
    }

    /// Whether the SAN holds exactly this DNS name; wildcards do not count.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}
