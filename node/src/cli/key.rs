//! `registry-node key`: makes, encrypts and shows signing keys.

use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;

use crate::keys::{self, KeyError, Passphrase, Secret, SecretSource};

/// Unterbefehle von `key`.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Erzeugt einen Ed25519-Schlüssel, mit einer Passphrase verschlüsselt
    New(NewArgs),
    /// Verschlüsselt einen unverschlüsselten Schlüssel an Ort und Stelle
    Encrypt(FileArgs),
    /// Zeigt den öffentlichen Teil eines Schlüssels und wie er verwahrt ist
    Show(FileArgs),
}

/// Argumente von `key new`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ein Schlüssel ist eine Datei im Format PKCS#8 (PEM), wie sie auch openssl pkey \
                  liest und schreibt: scrypt und AES-256-CBC. Beispiel:\n  systemd-ask-password \
                  -n | registry-node key new offline.key --passphrase-fd 0"
)]
pub struct NewArgs {
    /// Neue Datei; eine bestehende wird nicht überschrieben
    #[arg(value_name = "DATEI")]
    pub path: PathBuf,
    /// Woher die Passphrase kommt.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Ohne Passphrase: Wer die Datei lesen kann, kann für das Land signieren
    #[arg(long, conflicts_with = "passphrase")]
    pub unencrypted: bool,
}

/// Argumente von `key encrypt` und `key show`.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// Datei des Schlüssels
    #[arg(value_name = "DATEI")]
    pub path: PathBuf,
    /// Woher die Passphrase kommt.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Woher die Passphrase kommt; ihre erste Zeile zählt.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "passphrase", multiple = false)]
pub struct PassphraseArgs {
    /// Passphrase aus dem Dateideskriptor N (0 ist die Standardeingabe; 3<DATEI öffnet 3)
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
    /// Passphrase aus einer Datei, die nur ihr Eigentümer lesen kann
    #[arg(long, value_name = "DATEI")]
    pub passphrase_file: Option<PathBuf>,
    /// Passphrase aus einem Credential von systemd
    #[arg(long, value_name = "NAME")]
    pub passphrase_credential: Option<String>,
}

/// Why a command about keys fails.
#[derive(Debug, thiserror::Error)]
pub enum KeyCommandError {
    /// The key is not made, read or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There must be a passphrase.
    #[error(
        "eine Passphrase fehlt: --passphrase-fd, --passphrase-file oder --passphrase-credential"
    )]
    Passphrase,
    /// There must be a passphrase, or the wish to do without.
    #[error(
        "eine Passphrase fehlt: --passphrase-fd, --passphrase-file oder --passphrase-credential; \
         ohne Schutz nur mit --unencrypted"
    )]
    PassphraseOrNone,
}

/// Runs a subcommand and returns what it prints.
///
/// # Errors
///
/// See [`KeyCommandError`].
pub fn run(command: &KeyCommand) -> Result<String, KeyCommandError> {
    match command {
        KeyCommand::New(args) => {
            let passphrase = args.passphrase.read()?;
            if passphrase.is_none() && !args.unencrypted {
                return Err(KeyCommandError::PassphraseOrNone);
            }
            let key = keys::generate()?;
            keys::write_new(&args.path, &key, passphrase.as_ref())?;
            Ok(describe(&args.path, Some(&key.verifying_key()))?)
        }
        KeyCommand::Encrypt(args) => {
            let passphrase = args.passphrase.read()?.ok_or(KeyCommandError::Passphrase)?;
            let key = keys::encrypt(&args.path, &passphrase)?;
            Ok(format!(
                "{}\nDer unverschlüsselte Schlüssel kann auf dem Datenträger und in Sicherungen \
                 noch lesbar sein.",
                describe(&args.path, Some(&key.verifying_key()))?
            ))
        }
        KeyCommand::Show(args) => {
            let source = args.passphrase.source();
            let locked = source.is_none() && keys::describe(&args.path)?.is_some();
            if locked {
                return Ok(describe(&args.path, None)?);
            }
            let kept = keys::read(&args.path, &mut Passphrase::new(source))?;
            Ok(describe(&args.path, Some(&kept.signing.verifying_key()))?)
        }
    }
}

fn describe(path: &Path, public: Option<&VerifyingKey>) -> Result<String, KeyError> {
    let kept = match keys::describe(path)? {
        Some(method) => format!("verschlüsselt, {method}, AES-CBC"),
        None => "NICHT verschlüsselt".to_owned(),
    };
    let public = match public {
        Some(public) => hex::encode(public.as_bytes()),
        None => "nur mit Passphrase zu sehen (--passphrase-fd, …)".to_owned(),
    };
    Ok(format!(
        "Schlüssel    {} (Ed25519)\nVerwahrt     {kept}\nÖffentlich   {public}",
        path.display()
    ))
}

// === impl PassphraseArgs ===

impl PassphraseArgs {
    /// The source that was chosen.
    pub fn source(&self) -> Option<SecretSource> {
        let descriptor = self.passphrase_fd.map(SecretSource::Descriptor);
        let file = self.passphrase_file.clone().map(SecretSource::File);
        let credential = self.passphrase_credential.clone().map(SecretSource::Credential);
        descriptor.or(file).or(credential)
    }

    /// The passphrase, if a source was chosen.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn read(&self) -> Result<Option<Secret>, KeyError> {
        Ok(self.source().map(|it| it.read()).transpose()?)
    }
}
