//! The signing keys of a Land: where they are kept, how they are opened, and that they stay here.
//!
//! A key is a PKCS#8 file, encrypted or not ([`read`], [`write_new`]), or in a PKCS#11 token that
//! never gives it out ([`Tokens`]); [`KeyPlace`] says which, [`Opener`] opens both. A passphrase or
//! PIN comes by file descriptor, from a file or as a systemd credential ([`SecretSource`]), never
//! from an argument or the environment, where others could see it. Secrets are overwritten when they
//! are dropped, have no `Debug` that shows them, and are kept out of core dumps ([`forbid_dumps`]).

mod dumps;
mod error;
mod file;
mod module;
mod secret;
mod token;
mod token_error;
mod uri;

pub use dumps::forbid_dumps;
pub use error::{KeyError, SecretError};
pub(crate) use file::open_to;
pub use file::{Kept, describe, encrypt, generate, read, write_new};
pub use secret::{Passphrase, Pins, Secret, SecretSource};
pub use token::{TokenKey, Tokens};
pub use token_error::{TokenError, UriError};
pub use uri::{KeyPlace, TokenUri, shown};

use ed25519_dalek::{Signature, SignatureError, Signer, VerifyingKey};
use registry_proto::key::Key;

/// Opens keys wherever they are. Passphrase, PINs and libraries are shared by all it opens.
#[derive(Debug)]
pub struct Opener {
    passphrase: Passphrase,
    pins: Pins,
    tokens: Tokens,
}

/// A key that can sign, and how it is protected.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The key.
    pub key: Key,
    /// Its protection.
    pub protection: Protection,
}

/// What keeps a key from those who have the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// A passphrase.
    Passphrase,
    /// A token that gives it to nobody.
    Token,
    /// A token that gives it to whoever has the PIN.
    ExportableToken,
}

// === impl Opener ===

impl Opener {
    /// With these sources of the passphrase of files, and of the PIN of tokens that name none.
    pub fn new(passphrase: Option<SecretSource>, pin: Option<SecretSource>) -> Self {
        let passphrase = Passphrase::new(passphrase);
        Self { passphrase, pins: Pins::new(pin), tokens: Tokens::default() }
    }

    /// Opens a key; one in a token has signed once then. `public` is its public half, if that is
    /// known: whether the key has it is for the caller to compare.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn open(
        &mut self,
        place: &KeyPlace,
        public: Option<&VerifyingKey>,
    ) -> Result<Opened, KeyError> {
        match place {
            KeyPlace::File(path) => {
                let kept = read(path, &mut self.passphrase)?;
                let protection =
                    if kept.encrypted { Protection::Passphrase } else { Protection::None };
                Ok(Opened { key: Key::from(kept.signing), protection })
            }
            KeyPlace::Token(uri) => {
                let pin = self.pins.get(uri.pin.as_ref())?;
                Ok(Opened::from(self.tokens.open(uri, pin, public.copied())?))
            }
        }
    }

    /// Makes a key in a token.
    ///
    /// # Errors
    ///
    /// See [`KeyError`].
    pub fn generate(&mut self, uri: &TokenUri) -> Result<Opened, KeyError> {
        let pin = self.pins.get(uri.pin.as_ref())?;
        Ok(Opened::from(self.tokens.generate(uri, pin)?))
    }
}

// === impl Opened ===

impl From<TokenKey> for Opened {
    fn from(TokenKey { key, exportable }: TokenKey) -> Self {
        let protection = if exportable { Protection::ExportableToken } else { Protection::Token };
        Self { key, protection }
    }
}

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
