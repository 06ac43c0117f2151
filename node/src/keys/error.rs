//! Why a key or a secret is not opened; texts are for operators.

use std::{io, path::PathBuf};

use crate::keys::{TokenError, UriError};

/// Why a key is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("{}: kann nicht gelesen werden", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{}: kann nicht geschrieben werden", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is a file already.
    #[error("{}: besteht schon und wird nicht überschrieben", .0.display())]
    Exists(PathBuf),
    /// Others than the owner can read or change it.
    #[error(
        "{path}: andere als der Eigentümer haben Zugriff (Modus {mode:04o}); abstellen mit: \
         chmod 600 {path}", path = .path.display()
    )]
    Mode {
        /// The key.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no key of the kind that is asked for.
    #[error("{}: kein Ed25519-Schlüssel im PKCS#8-PEM-Format", .0.display())]
    NotAKey(PathBuf),
    /// Encrypted in a way that is not supported.
    #[error(
        "{}: mit einem Verfahren verschlüsselt, das nicht unterstützt wird; erwartet PBES2 mit \
         scrypt oder PBKDF2 (HMAC-SHA-2) und AES-CBC", .0.display()
    )]
    Method(PathBuf),
    /// To derive the key would take too much memory or time.
    #[error("{}: die Ableitung aus der Passphrase verlangt zu viel Speicher oder Zeit", .0.display())]
    Cost(PathBuf),
    /// Encrypted, and there is no passphrase.
    #[error(
        "{}: ist verschlüsselt, und eine Passphrase ist nicht angegeben (passphrase_fd, \
         passphrase_file oder passphrase_credential)", .0.display()
    )]
    NoPassphrase(PathBuf),
    /// The passphrase is another.
    #[error("{}: die Passphrase ist falsch, oder die Datei ist beschädigt", .0.display())]
    WrongPassphrase(PathBuf),
    /// Is encrypted already.
    #[error("{}: ist schon verschlüsselt", .0.display())]
    Encrypted(PathBuf),
    /// The passphrase cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The URI names no key in a token.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The key is in a token, and cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The operating system gives no random numbers.
    #[error("das Betriebssystem liefert keine Zufallszahlen")]
    Random,
    /// The key cannot be encoded.
    #[error("der Schlüssel kann nicht kodiert werden")]
    Encode,
}

/// Why a passphrase or PIN is not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The source cannot be read, or is too long.
    #[error("Passphrase oder PIN aus {from} kann nicht gelesen werden")]
    Read {
        /// The source.
        from: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner can read or change it.
    #[error(
        "{path}: andere als der Eigentümer haben Zugriff (Modus {mode:04o}); abstellen mit: \
         chmod 600 {path}", path = .path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The first line is empty.
    #[error("die erste Zeile aus {0} ist leer")]
    Empty(String),
    /// It is no text.
    #[error("die erste Zeile aus {0} ist kein UTF-8")]
    NotUtf8(String),
    /// A descriptor that is written to.
    #[error("Dateideskriptor {0} ist eine Ausgabe; erwartet 0 oder 3 und höher")]
    Output(u32),
    /// The name of a credential is a path.
    #[error("{0:?} ist kein Name eines Credentials, sondern ein Pfad")]
    CredentialName(String),
    /// The process has no credentials.
    #[error(
        "Credential {0}: dieser Prozess hat keine ($CREDENTIALS_DIRECTORY ist nicht gesetzt); \
         systemd gibt sie mit LoadCredentialEncrypted="
    )]
    NoCredentials(String),
}
