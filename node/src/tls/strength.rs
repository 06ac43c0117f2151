//! Which keys and signatures in a certificate are strong enough, and why others are not.
//!
//! TR-02102-1 and TR-02102-2: RSA from 3072 bits, the curves P-256, P-384 and P-521, SHA-2. Ed25519
//! is not listed for certificates and therefore absent.

use std::sync::Arc;

use rustls::{CertificateError, Error, OtherError, pki_types::CertificateDer};
use x509_parser::{
    certificate::X509Certificate,
    oid_registry::{self, Oid},
    prelude::FromDer,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

/// Why a certificate is refused although its chain may verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{subject:?} {flaw}")]
pub struct Weak {
    /// Subject of the certificate; may name a person.
    pub subject: String,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is too weak in a certificate; names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// An RSA key that is too short.
    #[error("has an RSA key of {bits} bits, at least {RSA_BITS_MIN} are needed")]
    RsaBits {
        /// Bits of the modulus.
        bits: usize,
    },
    /// A curve that the profile does not have.
    #[error("has a key on the curve {curve}, P-256 or P-384 is needed")]
    Curve {
        /// Name of the curve, or its object identifier.
        curve: String,
    },
    /// A key that is neither ECDSA nor RSA.
    #[error(
        "has a key of the kind {kind}; ECDSA on P-256 or P-384, or RSA from {RSA_BITS_MIN} bits is \
         needed"
    )]
    Kind {
        /// Name of the algorithm, or its object identifier.
        kind: String,
    },
    /// A signature that the profile does not have.
    #[error("is signed with {algorithm}; ECDSA or RSA with SHA-256 or longer is needed")]
    Signature {
        /// Name of the algorithm, or its object identifier.
        algorithm: String,
    },
}

/// Why a connection was refused or ended, for both of its readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Why {
    /// For the audit log; may name whom the certificate is for.
    pub(crate) traced: String,
    /// For the log of the process, which names no people.
    pub(crate) logged: String,
}

// === impl Why ===

impl From<&Error> for Why {
    fn from(error: &Error) -> Self {
        Self { traced: reason(error), logged: unnamed(error) }
    }
}

impl From<String> for Why {
    /// Of a text that names nobody.
    fn from(text: String) -> Self {
        Self { traced: text.clone(), logged: text }
    }
}

// === impl Weak ===

impl From<Weak> for Error {
    fn from(weak: Weak) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(weak))))
    }
}

/// Judges the keys and signatures of a chain as it was presented, end entity first.
///
/// # Errors
///
/// The first that is too weak, as a [`Weak`] inside; or a certificate that cannot be read.
pub(crate) fn require_strong<'a>(
    chain: impl IntoIterator<Item = &'a CertificateDer<'a>>,
) -> Result<(), Error> {
    chain.into_iter().try_for_each(|der| {
        let certificate = parsed(der)?;
        let subject = subject(&certificate);
        require_strong_key(certificate.public_key(), &subject)?;
        let algorithm = certificate.signature_algorithm.oid();
        if SIGNATURES.contains(algorithm) {
            return Ok(());
        }
        let flaw = Flaw::Signature { algorithm: name_of(algorithm) };
        Err(Weak { subject, flaw }.into())
    })
}

/// Judges the key of an anchor; what signed it does not matter.
///
/// # Errors
///
/// As [`require_strong`].
pub(crate) fn require_strong_anchor(der: &CertificateDer<'_>) -> Result<(), Error> {
    let certificate = parsed(der)?;
    require_strong_key(certificate.public_key(), &subject(&certificate))
}

/// True if the certificate is signed with RSA and PKCS#1 padding: allowed in a chain, and told.
pub(crate) fn is_pkcs1(der: &CertificateDer<'_>) -> bool {
    parsed(der).is_ok_and(|it| PKCS1.contains(it.signature_algorithm.oid()))
}

/// Subject of a certificate, for messages.
pub(crate) fn subject_of(der: &CertificateDer<'_>) -> String {
    parsed(der).map_or_else(|error| error.to_string(), |it| subject(&it))
}

/// Why a certificate was refused, in words: what an error of this node holds, else what rustls says.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.to_string(),
        // rustls calls it an unexpected error
        Error::General(why) => why.clone(),
        other => other.to_string(),
    }
}

/// [`reason`] without what a certificate says of whom it is for.
fn unnamed(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            let weak = inner.downcast_ref::<Weak>();
            weak.map_or_else(|| inner.to_string(), |it| format!("a certificate {}", it.flaw))
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) => {
            Error::InvalidCertificate(CertificateError::NotValidForName).to_string()
        }
        Error::General(why) => why.clone(),
        other => other.to_string(),
    }
}

fn require_strong_key(spki: &SubjectPublicKeyInfo<'_>, subject: &str) -> Result<(), Error> {
    let flaw = match spki.parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() >= RSA_BITS_MIN => return Ok(()),
        Ok(PublicKey::RSA(key)) => Flaw::RsaBits { bits: key.key_size() },
        Ok(PublicKey::EC(_)) => {
            let curve = spki.algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
            match curve {
                Some(curve) if CURVES.contains(&curve) => return Ok(()),
                Some(curve) => Flaw::Curve { curve: name_of(&curve) },
                None => Flaw::Curve { curve: "(not named)".to_owned() },
            }
        }
        _ => Flaw::Kind { kind: name_of(&spki.algorithm.algorithm) },
    };
    Err(Weak { subject: subject.to_owned(), flaw }.into())
}

fn parsed<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    X509Certificate::from_der(der).map(|(_, certificate)| certificate).map_err(bad)
}

/// Subject for messages; strangers choose it, so it is bounded.
fn subject(certificate: &X509Certificate<'_>) -> String {
    certificate.subject().to_string().chars().take(SUBJECT_CHARS_MAX).collect()
}

fn name_of(oid: &Oid<'_>) -> String {
    let known = NAMES.iter().find(|(known, _)| known == oid);
    known.map_or_else(|| oid.to_id_string(), |(_, name)| (*name).to_owned())
}

/// TR-02102-2 asks for 3000; keys come in steps.
const RSA_BITS_MIN: usize = 3_072;
const SUBJECT_CHARS_MAX: usize = 200;

static CURVES: [Oid<'static>; 3] =
    [oid_registry::OID_EC_P256, oid_registry::OID_NIST_EC_P384, oid_registry::OID_NIST_EC_P521];

static SIGNATURES: [Oid<'static>; 7] = [
    oid_registry::OID_SIG_ECDSA_WITH_SHA256,
    oid_registry::OID_SIG_ECDSA_WITH_SHA384,
    oid_registry::OID_SIG_ECDSA_WITH_SHA512,
    oid_registry::OID_PKCS1_RSASSAPSS,
    oid_registry::OID_PKCS1_SHA256WITHRSA,
    oid_registry::OID_PKCS1_SHA384WITHRSA,
    oid_registry::OID_PKCS1_SHA512WITHRSA,
];

static PKCS1: [Oid<'static>; 3] = [
    oid_registry::OID_PKCS1_SHA256WITHRSA,
    oid_registry::OID_PKCS1_SHA384WITHRSA,
    oid_registry::OID_PKCS1_SHA512WITHRSA,
];

/// What is refused often enough to be called by its name.
static NAMES: [(Oid<'static>, &str); 9] = [
    (oid_registry::asn1_rs::oid!(1.3.132.0.33), "P-224"),
    (oid_registry::asn1_rs::oid!(1.2.840.10045.3.1.1), "P-192"),
    (oid_registry::asn1_rs::oid!(1.3.132.0.10), "secp256k1"),
    (oid_registry::OID_SIG_ED25519, "Ed25519"),
    (oid_registry::OID_SIG_ED448, "Ed448"),
    (oid_registry::OID_PKCS1_SHA1WITHRSA, "RSA and SHA-1"),
    (oid_registry::OID_PKCS1_MD5WITHRSAENC, "RSA and MD5"),
    (oid_registry::asn1_rs::oid!(1.2.840.10045.4.1), "ECDSA and SHA-1"),
    (oid_registry::OID_KEY_TYPE_DSA, "DSA"),
];

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn keys_and_signatures_are_judged_by_the_profile() {
        check("rsa3072", None);
        check("rsa4096", None);
        check("rsa3072-pss", None);
        check("p256", None);
        check("p384", None);
        check(
            "rsa2048",
            Some("\"CN=rsa2048\" has an RSA key of 2048 bits, at least 3072 are needed"),
        );
        check(
            "rsa3072-sha1",
            Some(
                "\"CN=rsa3072-sha1\" is signed with RSA and SHA-1; ECDSA or RSA with SHA-256 or \
                 longer is needed",
            ),
        );
        check("p224", Some("\"CN=p224\" has a key on the curve P-224, P-256 or P-384 is needed"));
        check(
            "k256",
            Some("\"CN=k256\" has a key on the curve secp256k1, P-256 or P-384 is needed"),
        );
        check(
            "ed25519",
            Some(
                "\"CN=ed25519\" has a key of the kind Ed25519; ECDSA on P-256 or P-384, or RSA from \
                 3072 bits is needed",
            ),
        );
    }

    #[test]
    fn one_weak_ca_makes_the_chain_weak() {
        let (strong, weak) = (certificate("p256"), certificate("rsa2048"));
        assert!(require_strong([&strong, &strong]).is_ok());
        let told = require_strong([&strong, &weak]).map_err(|it| reason(&it)).unwrap_err();
        assert!(told.starts_with("\"CN=rsa2048\" has an RSA key"), "{told}");
    }

    #[test]
    fn the_log_of_the_process_is_told_no_subject() {
        let why = Why::from(&require_strong([&certificate("rsa2048")]).unwrap_err());
        let flaw = "has an RSA key of 2048 bits, at least 3072 are needed";
        assert_eq!(why.traced, format!("\"CN=rsa2048\" {flaw}"));
        assert_eq!(why.logged, format!("a certificate {flaw}"));
    }

    #[test]
    fn pkcs1_is_told_from_other_signatures() {
        assert!(is_pkcs1(&certificate("rsa3072")));
        assert!(!is_pkcs1(&certificate("rsa3072-pss")) && !is_pkcs1(&certificate("p384")));
    }

    fn check(name: &str, expected: Option<&str>) {
        let judged = require_strong([&certificate(name)]).map_err(|it| reason(&it));
        assert_eq!(judged.err().as_deref(), expected, "{name}");
    }

    fn certificate(name: &str) -> CertificateDer<'static> {
        let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/keys");
        CertificateDer::from_pem_file(format!("{keys}/{name}.pem")).unwrap()
    }
}
