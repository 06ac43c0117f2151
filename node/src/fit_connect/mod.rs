//! Destination signatures of FIT-Connect: who signed one, and whether a root that the operator
//! trusts vouches for the key.
//!
//! A destination signature is a compact JWS (RFC 7515) with PS512 (RFC 7518). The certificates of
//! its key stand in its header (`x5c`), or it names a key (`kid`) of the JWKS that the operator has
//! put beside the roots. Nothing is fetched: what neither brings certificates nor names a known key
//! is passed through and counts as unchecked.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use registry_core::submission::{DestinationSignatures, Doubt};
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use serde_json::Value;
use webpki::{
    EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert,
    aws_lc_rs as algorithm,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer, public_key::PublicKey};

/// What the operator trusts for delivery points.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    keys: Vec<Key>,
}

/// A key of a JWKS, by the certificates that vouch for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What signatures call it.
    pub kid: String,
    /// Its certificate, then those of the CAs above it.
    pub chain: Vec<CertificateDer<'static>>,
}

/// A JWKS cannot be used; German, for whoever configures it.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It is no JSON of the form `{"keys": [...]}`.
    #[error("ist kein JWKS: erwartet {{\"keys\": [...]}} mit höchstens {KEYS_MAX} Schlüsseln")]
    Form,
    /// A key has no name or no certificates.
    #[error("Schlüssel {kid}: {reason}")]
    Key {
        /// Its name, or its place.
        kid: String,
        /// What is wrong.
        reason: String,
    },
}

/// Roots at one time: what a submission is judged by.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// What is trusted.
    pub roots: &'a Roots,
    /// When certificates must be valid.
    pub now: UnixTime,
}

/// The header of a JWS, as far as it says how to verify it.
struct Header {
    kid: Option<String>,
    chain: Option<Vec<CertificateDer<'static>>>,
}

// === impl Roots ===

impl Roots {
    /// Trusts these certificates, and the keys of a JWKS as far as a chain leads to one of them.
    ///
    /// # Errors
    ///
    /// A certificate cannot anchor a chain.
    pub fn new(roots: &[CertificateDer<'static>], keys: Vec<Key>) -> Result<Self, Error> {
        let anchors = roots.iter().map(|it| Ok(anchor_from_trusted_cert(it)?.to_owned()));
        Ok(Self { anchors: anchors.collect::<Result<_, Error>>()?, keys })
    }

    fn chain_of(&self, header: Header) -> Result<Vec<CertificateDer<'static>>, Doubt> {
        if self.anchors.is_empty() {
            return Err(Doubt::Unchecked(
                "Signatur nicht geprüft: an diesem Knoten sind keine Wurzeln eingerichtet \
                 (fit_connect.roots)"
                    .to_owned(),
            ));
        }
        if let Some(chain) = header.chain {
            return Ok(chain);
        }
        let known = self.keys.iter().find(|it| Some(&it.kid) == header.kid.as_ref());
        known.map(|it| it.chain.clone()).ok_or_else(|| {
            Doubt::Unchecked(match header.kid {
                Some(kid) => format!(
                    "Signatur nicht geprüft: ihr Kopf enthält keine Zertifikate (x5c), und der \
                     Schlüssel {} steht nicht in fit_connect.jwks; wer zustellt, muss sie selbst \
                     prüfen",
                    shown(&kid)
                ),
                None => {
                    "Signatur nicht geprüft: ihr Kopf nennt weder Zertifikate (x5c) noch einen \
                         Schlüssel (kid); wer zustellt, muss sie selbst prüfen"
                        .to_owned()
                }
            })
        })
    }

    /// Verifies that a root vouches for the first certificate of a chain, and that its key is one
    /// that may sign.
    fn vouched<'c>(
        &self,
        chain: &'c [CertificateDer<'c>],
        now: UnixTime,
    ) -> Result<EndEntityCert<'c>, Doubt> {
        let Some((leaf, above)) = chain.split_first() else {
            return Err(wrong("x5c ist leer"));
        };
        suitable(leaf)?;
        let certificate = EndEntityCert::try_from(leaf).map_err(|error| untrusted(&error))?;
        certificate
            .verify_for_usage(CHAIN_ALGORITHMS, &self.anchors, above, now, AnyPurpose, None, None)
            .map_err(|error| untrusted(&error))?;
        Ok(certificate)
    }
}

// === impl At ===

impl DestinationSignatures for At<'_> {
    fn verify(&self, jws: &str) -> Result<(), Doubt> {
        let mut parts = jws.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong("die Signatur ist keine Compact-JWS"));
        };
        let chain = self.roots.chain_of(Header::parse(header)?)?;
        let certificate = self.roots.vouched(&chain, self.now)?;
        let signature = BASE64_URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| wrong("der dritte Teil der JWS ist kein base64url"))?;
        // header and payload as they stand, with the dot between them
        let signed = jws.get(..header.len() + 1 + payload.len()).unwrap_or_default();
        certificate
            .verify_signature(PS512, signed.as_bytes(), &signature)
            .map_err(|_| wrong("die Signatur passt nicht zu Inhalt und Zertifikat (PS512)"))
    }
}

// === impl Header ===

impl Header {
    fn parse(part: &str) -> Result<Self, Doubt> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok();
        let header = bytes.and_then(|it| serde_json::from_slice::<Value>(&it).ok());
        let Some(Value::Object(header)) = header else {
            return Err(wrong("der Kopf der JWS ist kein JSON-Objekt"));
        };
        // whatever else the header asks for would be another signature
        if header.get("alg").and_then(Value::as_str) != Some("PS512") {
            return Err(wrong("das Verfahren der JWS ist nicht PS512"));
        }
        if header.contains_key("crit") {
            return Err(wrong(
                "der Kopf der JWS verlangt Erweiterungen (crit), die es hier nicht gibt",
            ));
        }
        let chain = match header.get("x5c") {
            None => None,
            Some(x5c) => Some(certificates(x5c).map_err(|text| wrong(&text))?),
        };
        let kid = header.get("kid").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { kid, chain })
    }
}

/// Reads the signing keys of a JWKS (RFC 7517) by their certificates; keys for encryption are
/// passed over.
///
/// # Errors
///
/// See [`KeysError`].
pub fn keys(jwks: &[u8]) -> Result<Vec<Key>, KeysError> {
    let value: Value = serde_json::from_slice(jwks).map_err(|_| KeysError::Form)?;
    let all = value.get("keys").and_then(Value::as_array).filter(|it| it.len() <= KEYS_MAX);
    let mut found: Vec<Key> = Vec::new();
    for (at, key) in all.ok_or(KeysError::Form)?.iter().enumerate() {
        if key.get("use").and_then(Value::as_str) == Some("enc") {
            continue;
        }
        let failed = |kid: &str, reason: &str| {
            let kid = if kid.is_empty() { format!("[{at}]") } else { kid.to_owned() };
            KeysError::Key { kid, reason: reason.to_owned() }
        };
        let kid = key.get("kid").and_then(Value::as_str).unwrap_or_default();
        if kid.is_empty() {
            return Err(failed(kid, "hat kein kid"));
        }
        if found.iter().any(|it| it.kid == kid) {
            return Err(failed(kid, "steht zweimal da"));
        }
        let Some(x5c) = key.get("x5c") else {
            return Err(failed(kid, "hat kein x5c; so bürgt keine Wurzel für ihn"));
        };
        let chain =
            certificates(x5c).map_err(|_| failed(kid, "sein x5c enthält keine Zertifikate"))?;
        found.push(Key { kid: kid.to_owned(), chain });
    }
    Ok(found)
}

/// The certificates of an `x5c`: base64 (not base64url) of DER each, the one of the key first.
fn certificates(x5c: &Value) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = x5c.as_array().filter(|it| (1..=CHAIN_MAX).contains(&it.len()));
    let all =
        all.ok_or_else(|| format!("x5c ist keine Liste von 1 bis {CHAIN_MAX} Zertifikaten"))?;
    let der = all.iter().map(|it| BASE64_STANDARD.decode(it.as_str()?).ok().map(Into::into));
    der.collect::<Option<_>>().ok_or_else(|| "x5c enthält anderes als base64".to_owned())
}

/// FIT-Connect asks for RSA keys of at least 4096 bits, which may sign.
fn suitable(leaf: &CertificateDer<'_>) -> Result<(), Doubt> {
    let unreadable = || wrong("das erste Zertifikat in x5c ist nicht lesbar");
    let (rest, leaf) = X509Certificate::from_der(leaf).map_err(|_| unreadable())?;
    let usage = leaf.key_usage().map_err(|_| unreadable())?;
    if !rest.is_empty() {
        return Err(unreadable());
    }
    if usage.is_some_and(|it| !it.value.digital_signature() && !it.value.non_repudiation()) {
        return Err(wrong("das Zertifikat ist nicht zum Signieren bestimmt (keyUsage)"));
    }
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() >= RSA_BITS_MIN => Ok(()),
        Ok(PublicKey::RSA(key)) => Err(wrong(&format!(
            "der Schlüssel hat {} Bit, FIT-Connect verlangt RSA mit mindestens {RSA_BITS_MIN}",
            key.key_size()
        ))),
        _ => Err(wrong("der Schlüssel ist kein RSA-Schlüssel (FIT-Connect)")),
    }
}

fn untrusted(error: &Error) -> Doubt {
    let why = match error {
        Error::CertExpired { .. } => "ein Zertifikat der Kette ist abgelaufen".to_owned(),
        Error::CertNotValidYet { .. } => "ein Zertifikat der Kette gilt noch nicht".to_owned(),
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
            "die Kette führt zu keiner der Wurzeln in fit_connect.roots".to_owned()
        }
        other => format!("die Zertifikate in x5c gelten nicht ({other})"),
    };
    wrong(&why)
}

fn wrong(why: &str) -> Doubt {
    Doubt::Wrong(format!("{why} (FIT-Connect destinationSignature)"))
}

/// A name from a signature: short and without control characters.
fn shown(text: &str) -> String {
    let short: String = text.chars().filter(|it| !it.is_control()).take(NAME_CHARS_MAX).collect();
    format!("\"{short}\"")
}

/// Signing certificates of the V-PKI are no TLS certificates; what they are for says keyUsage.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}

/// RSASSA-PSS with SHA-512 by a key that its certificate calls `rsaEncryption`.
static PS512: &dyn SignatureVerificationAlgorithm = algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY;

/// Signatures that count inside a chain.
static CHAIN_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
    algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    algorithm::RSA_PKCS1_2048_8192_SHA512,
    algorithm::RSA_PKCS1_2048_8192_SHA384,
    algorithm::RSA_PKCS1_2048_8192_SHA256,
    algorithm::ECDSA_P521_SHA512,
    algorithm::ECDSA_P384_SHA384,
    algorithm::ECDSA_P256_SHA256,
];

/// FIT-Connect: keys of destinations and of the delivery service.
const RSA_BITS_MIN: usize = 4_096;
/// Certificates of a chain.
const CHAIN_MAX: usize = 8;
/// Keys of a JWKS.
const KEYS_MAX: usize = 100;
/// Characters of a name that is shown.
const NAME_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests;
