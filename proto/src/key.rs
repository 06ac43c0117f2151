//! A signing key of a Land, wherever it is kept: in memory, or in a token that never gives it out.

use std::{fmt, sync::Arc};

use ed25519_dalek::{Signature, SignatureError, Signer, SigningKey, VerifyingKey};

/// An Ed25519 key and whoever signs with it. Clones share the signer.
///
/// Signing can fail: a token may be gone. So callers use [`Signer::try_sign`]; [`Signer::sign`]
/// panics then and is for keys in tests only.
#[derive(Clone)]
pub struct Key {
    public: VerifyingKey,
    signer: Arc<dyn Signer<Signature> + Send + Sync>,
}

// === impl Key ===

impl Key {
    /// `signer` MUST be the signer of `public`.
    pub fn new(
        public: VerifyingKey,
        signer: impl Signer<Signature> + Send + Sync + 'static,
    ) -> Self {
        Self { public, signer: Arc::new(signer) }
    }

    /// The public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }
}

impl From<SigningKey> for Key {
    fn from(key: SigningKey) -> Self {
        Self::new(key.verifying_key(), key)
    }
}

impl Signer<Signature> for Key {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, SignatureError> {
        self.signer.try_sign(message)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let public = hex::encode(self.public.as_bytes());
        f.debug_struct("Key").field("public", &public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token that is gone.
    struct Gone;

    impl Signer<Signature> for Gone {
        fn try_sign(&self, _: &[u8]) -> Result<Signature, SignatureError> {
            Err(SignatureError::new())
        }
    }

    #[test]
    fn signs_as_the_key_it_holds() {
        let signing = SigningKey::from_bytes(&[1; 32]);
        let key = Key::from(signing.clone());
        assert_eq!(key.public(), &signing.verifying_key());
        assert_eq!(key.try_sign(b"text").unwrap(), signing.sign(b"text"));
        assert!(Key::new(signing.verifying_key(), Gone).try_sign(b"text").is_err());
    }

    #[test]
    fn debug_shows_the_public_half_only() {
        let signing = SigningKey::from_bytes(&[1; 32]);
        let public = hex::encode(signing.verifying_key().as_bytes());
        let shown = format!("{:?}", Key::from(signing));
        assert_eq!(shown, format!("Key {{ public: {public:?}, .. }}"));
        assert!(!shown.contains(&hex::encode([1; 32])));
    }
}
