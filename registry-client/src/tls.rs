//! TLS of the client: TLS 1.3, AES-GCM, NIST curves and the hybrid secp256r1MLKEM768; no resumption.

use std::{fs, io::Read, path::Path, sync::Arc};

use rustls::{
    RootCertStore, SignatureScheme,
    client::{Resumption, WebPkiServerVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use webpki::aws_lc_rs as algorithms;
use zeroize::Zeroizing;

use crate::{connect::ClientConfig, error::ConfigError};

/// Bytes of a certificate or key file.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// Reads the files of `config` and builds the TLS configuration. Called for each connection, so
/// that renewed certificates count without a restart.
pub(crate) fn configure(config: &ClientConfig) -> Result<Arc<rustls::ClientConfig>, ConfigError> {
    let provider = Arc::new(provider());
    let mut roots = RootCertStore::empty();
    for anchor in certificates("CA certificate", &config.ca)? {
        roots.add(anchor).map_err(|error| ConfigError::Unusable {
            what: "CA certificate",
            path: config.ca.clone(),
            detail: error.to_string(),
        })?;
    }
    let chain = certificates("certificate", &config.cert)?;
    let key = private_key(&config.key)?;
    let identity = CertifiedKey::from_der(chain, key, &provider)
        .map_err(|error| identity_error(config, error))?;
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| ConfigError::Unusable {
                what: "CA certificate",
                path: config.ca.clone(),
                detail: error.to_string(),
            })?;
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ConfigError::Tls)?
        .with_webpki_verifier(verifier)
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)));
    tls.alpn_protocols = vec![b"h2".to_vec()];
    tls.resumption = Resumption::disabled();
    Ok(Arc::new(tls))
}

fn identity_error(config: &ClientConfig, error: rustls::Error) -> ConfigError {
    if matches!(error, rustls::Error::InconsistentKeys(_)) {
        return ConfigError::KeyMismatch { cert: config.cert.clone(), key: config.key.clone() };
    }
    let (what, path) = if matches!(error, rustls::Error::InvalidCertificate(_)) {
        ("certificate", &config.cert)
    } else {
        ("private key", &config.key)
    };
    ConfigError::Unusable { what, path: path.clone(), detail: error.to_string() }
}

fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read(what, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(ConfigError::NotPem { what, path: path.to_owned() }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let pem = Zeroizing::new(read("private key", path)?);
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| ConfigError::NotPem { what: "private key", path: path.to_owned() })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| ConfigError::Read {
            what,
            path: path.to_owned(),
            source: Arc::new(error),
        })?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(ConfigError::NotPem { what, path: path.to_owned() });
    }
    Ok(bytes)
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![
            aws_lc_rs::kx_group::SECP256R1MLKEM768,
            aws_lc_rs::kx_group::SECP384R1,
            aws_lc_rs::kx_group::SECP256R1,
        ],
        signature_verification_algorithms: SIGNATURES,
        ..aws_lc_rs::default_provider()
    }
}

/// Handshakes are signed with ECDSA or RSA-PSS; PKCS#1 is allowed inside a certificate chain only.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::ECDSA_P521_SHA512,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[algorithms::ECDSA_P384_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[algorithms::ECDSA_P256_SHA256]),
        (SignatureScheme::ECDSA_NISTP521_SHA512, &[algorithms::ECDSA_P521_SHA512]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
    ],
};
