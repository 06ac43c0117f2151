//! The signing keys of a Land: where they are kept, how they are opened, and that they stay here.
//!
//! A key is a PKCS#8 file, encrypted or not ([`read`], [`write_new`]). A passphrase comes by file
//! descriptor, from a file or as a systemd credential ([`SecretSource`]), never from an argument or
//! the environment, where others could see it. Secrets are overwritten when they are dropped, have
//! no `Debug` that shows them, and are kept out of core dumps ([`forbid_dumps`]).

mod dumps;
mod error;
mod file;
mod secret;

pub use dumps::forbid_dumps;
pub use error::{KeyError, SecretError};
pub use file::{Kept, describe, encrypt, generate, read, write_new};
pub use secret::{Passphrase, Secret, SecretSource};

use ed25519_dalek::{Signature, SignatureError, Signer, VerifyingKey};
use registry_proto::key::Key;

/// A key that is not opened: it has a public half and signs nothing.
pub fn sealed(public: VerifyingKey) -> Key {
    Key::new(public, Sealed)
}

struct Sealed;

/// [`sealed`] was asked to sign.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the key was not opened")]
struct NotOpened;

impl Signer<Signature> for Sealed {
    fn try_sign(&self, _: &[u8]) -> Result<Signature, SignatureError> {
        Err(SignatureError::from_source(NotOpened))
    }
}
