//! TLS profile `bsi`, after BSI TR-02102-2.
//!
//! TLS 1.3 (1.2 only if configured, with ECDHE and GCM), AES-GCM, the NIST curves and by a switch
//! the hybrid of P-256 and ML-KEM-768. Handshakes are signed with ECDSA or RSA-PSS; a PKCS#1
//! signature counts only inside a certificate chain. ChaCha20, x25519 and Ed25519 are not listed
//! by the guideline and therefore absent.

use std::sync::Arc;

use rustls::{
    CipherSuite, Error, NamedGroup, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion,
    crypto::{
        CryptoProvider, KeyProvider, SupportedKxGroup, WebPkiSupportedAlgorithms,
        aws_lc_rs::{self, cipher_suite, kx_group},
    },
    pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer},
    sign::{Signer, SigningKey},
    version,
};
use webpki::aws_lc_rs as algorithm;
use zeroize::Zeroize as _;

/// What handshakes may use. The only profile is `bsi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Accept and offer TLS 1.2 too (ECDHE, AES-GCM).
    pub tls12: bool,
    /// Prefer the hybrid key exchange SecP256r1MLKEM768.
    pub hybrid: bool,
}

// === impl Profile ===

impl Profile {
    /// TLS 1.3 only, hybrid key exchange preferred.
    pub const BSI: Self = Self { tls12: false, hybrid: true };

    /// Name in the configuration.
    pub const NAME: &'static str = "bsi";

    /// Whether a handshake with these results keeps to the profile.
    pub fn allows(self, suite: CipherSuite, group: NamedGroup) -> bool {
        self.suites().iter().any(|s| s.suite() == suite)
            && self.groups().iter().any(|g| g.name() == group)
    }

    pub(crate) fn provider(self) -> Arc<CryptoProvider> {
        Arc::new(CryptoProvider {
            cipher_suites: self.suites(),
            kx_groups: self.groups(),
            signature_verification_algorithms: VERIFICATION,
            key_provider: &ProfileKeys,
            ..aws_lc_rs::default_provider()
        })
    }

    pub(crate) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        if self.tls12 { BOTH } else { TLS13_ONLY }
    }

    fn suites(self) -> Vec<SupportedCipherSuite> {
        let mut suites =
            vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_AES_128_GCM_SHA256];
        if self.tls12 {
            suites.extend([
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            ]);
        }
        suites
    }

    fn groups(self) -> Vec<&'static dyn SupportedKxGroup> {
        let mut groups = Vec::with_capacity(3);
        if self.hybrid {
            groups.push(kx_group::SECP256R1MLKEM768);
        }
        groups.extend([kx_group::SECP384R1, kx_group::SECP256R1]);
        groups
    }
}

/// Loads keys that sign handshakes with the schemes of the profile only.
#[derive(Debug)]
struct ProfileKeys;

#[derive(Debug)]
struct ProfileKey(Arc<dyn SigningKey>);

// === impl ProfileKeys ===

impl KeyProvider for ProfileKeys {
    fn load_private_key(
        &self,
        mut der: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, Error> {
        let key = aws_lc_rs::sign::any_supported_type(&der);
        der.zeroize();
        let key = key?;
        match key.algorithm() {
            SignatureAlgorithm::ECDSA | SignatureAlgorithm::RSA => Ok(Arc::new(ProfileKey(key))),
            _ => Err(Error::General("the key is neither ECDSA nor RSA".into())),
        }
    }
}

// === impl ProfileKey ===

impl SigningKey for ProfileKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let allowed: Vec<_> = offered
            .iter()
            .copied()
            .filter(|scheme| VERIFICATION.mapping.iter().any(|(known, _)| known == scheme))
            .collect();
        self.0.choose_scheme(&allowed)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.0.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&version::TLS13];
static BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// `all` counts inside a chain, `mapping` in a handshake.
pub(super) static VERIFICATION: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithm::ECDSA_P256_SHA256,
        algorithm::ECDSA_P256_SHA384,
        algorithm::ECDSA_P256_SHA512,
        algorithm::ECDSA_P384_SHA256,
        algorithm::ECDSA_P384_SHA384,
        algorithm::ECDSA_P384_SHA512,
        algorithm::ECDSA_P521_SHA256,
        algorithm::ECDSA_P521_SHA384,
        algorithm::ECDSA_P521_SHA512,
        algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithm::RSA_PKCS1_2048_8192_SHA256,
        algorithm::RSA_PKCS1_2048_8192_SHA384,
        algorithm::RSA_PKCS1_2048_8192_SHA512,
    ],
    mapping: &[
        // in TLS 1.2 the scheme does not fix the curve
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[
                algorithm::ECDSA_P384_SHA384,
                algorithm::ECDSA_P256_SHA384,
                algorithm::ECDSA_P521_SHA384,
            ],
        ),
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[
                algorithm::ECDSA_P256_SHA256,
                algorithm::ECDSA_P384_SHA256,
                algorithm::ECDSA_P521_SHA256,
            ],
        ),
        (
            SignatureScheme::ECDSA_NISTP521_SHA512,
            &[
                algorithm::ECDSA_P521_SHA512,
                algorithm::ECDSA_P384_SHA512,
                algorithm::ECDSA_P256_SHA512,
            ],
        ),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithm::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithm::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithm::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_the_guideline_does_not_list_is_offered() {
        for profile in [Profile::BSI, Profile { tls12: true, hybrid: false }] {
            let provider = profile.provider();
            for suite in &provider.cipher_suites {
                let name = format!("{:?}", suite.suite());
                assert!(name.contains("AES") && name.contains("GCM"), "{name}");
                assert!(name.starts_with("TLS13_") || name.contains("ECDHE"), "{name}");
            }
            for group in &provider.kx_groups {
                let allowed =
                    [NamedGroup::secp256r1MLKEM768, NamedGroup::secp384r1, NamedGroup::secp256r1];
                assert!(allowed.contains(&group.name()), "{:?}", group.name());
            }
        }
    }

    #[test]
    fn handshakes_are_signed_with_ecdsa_or_pss_only() {
        for scheme in VERIFICATION.supported_schemes() {
            let name = format!("{scheme:?}");
            assert!(name.starts_with("ECDSA_NISTP") || name.starts_with("RSA_PSS_"), "{name}");
        }
    }

    #[test]
    fn an_ed25519_key_is_refused() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        assert!(Profile::BSI.provider().key_provider.load_private_key(key).is_err());
    }
}
