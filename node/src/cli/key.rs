//! `registry-node key`: makes, encrypts and shows signing keys, in files and in tokens.

use std::path::{Path, PathBuf};

use ed25519_dalek::VerifyingKey;

use crate::{
    config::{Config, ConfigError, Unlock},
    keys::{
        self, KeyError, KeyPlace, Opened, Opener, Passphrase, Protection, Secret, SecretSource,
        UriError,
    },
};

/// Unterbefehle von `key`.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Erzeugt einen Ed25519-Schlüssel, mit einer Passphrase verschlüsselt oder in einem Token
    New(NewArgs),
    /// Verschlüsselt einen unverschlüsselten Schlüssel an Ort und Stelle
    Encrypt(EncryptArgs),
    /// Zeigt den öffentlichen Teil eines Schlüssels und wie er verwahrt ist
    Show(ShowArgs),
    /// Zeigt, welche Schlüssel ein Knoten benutzt; mit --check signiert jeder einmal zur Probe
    List(ListArgs),
}

/// Argumente von `key new`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ein Schlüssel ist eine Datei im Format PKCS#8 (PEM), wie sie auch openssl pkey \
                  liest und schreibt: scrypt und AES-256-CBC. Oder er entsteht in einem \
                  PKCS#11-Token und verlässt es nie. Beispiele:\n  systemd-ask-password -n | \
                  registry-node key new offline.key --passphrase-fd 0\n  systemd-ask-password -n | \
                  registry-node key new \
                  'pkcs11:token=Verbund;object=log?module-path=/usr/lib/softhsm/libsofthsm2.so' \
                  --pin-fd 0"
)]
pub struct NewArgs {
    /// Neue Datei, oder pkcs11:-URI; was besteht, wird nicht überschrieben
    #[arg(value_name = "ORT")]
    pub place: String,
    /// Woher die Passphrase kommt.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Woher die PIN kommt.
    #[command(flatten)]
    pub pin: PinArgs,
    /// Ohne Passphrase: Wer die Datei lesen kann, kann für das Land signieren
    #[arg(long, conflicts_with = "passphrase")]
    pub unencrypted: bool,
}

/// Argumente von `key encrypt`.
#[derive(Debug, clap::Args)]
pub struct EncryptArgs {
    /// Datei des Schlüssels
    #[arg(value_name = "DATEI")]
    pub path: PathBuf,
    /// Woher die Passphrase kommt.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// Argumente von `key show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Datei des Schlüssels, oder pkcs11:-URI
    #[arg(value_name = "ORT")]
    pub place: String,
    /// Woher die Passphrase kommt.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Woher die PIN kommt.
    #[command(flatten)]
    pub pin: PinArgs,
}

/// Argumente von `key list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Ohne --check werden Passphrase und PIN nicht gebraucht: die öffentlichen \
                        Teile sind die der Charta.")]
pub struct ListArgs {
    /// Konfigurationsdatei des Knotens; er darf dabei laufen
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Jeden Schlüssel öffnen und prüfen, dass er zur Charta passt
    #[arg(long)]
    pub check: bool,
    /// Woher die Passphrase kommt, statt aus der Konfiguration.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Woher die PIN kommt, statt aus der Konfiguration.
    #[command(flatten)]
    pub pin: PinArgs,
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

/// Woher die PIN eines Tokens kommt; ihre erste Zeile zählt.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "pin", multiple = false)]
pub struct PinArgs {
    /// PIN des Tokens aus dem Dateideskriptor N (0 ist die Standardeingabe)
    #[arg(long, value_name = "N")]
    pub pin_fd: Option<u32>,
    /// PIN des Tokens aus einer Datei, die nur ihr Eigentümer lesen kann
    #[arg(long, value_name = "DATEI")]
    pub pin_file: Option<PathBuf>,
    /// PIN des Tokens aus einem Credential von systemd
    #[arg(long, value_name = "NAME")]
    pub pin_credential: Option<String>,
}

/// Why a command about keys fails.
#[derive(Debug, thiserror::Error)]
pub enum KeyCommandError {
    /// The key is not made, read or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The URI names no key.
    #[error("{shown}")]
    Uri {
        /// The URI, without what must not be shown.
        shown: String,
        /// Why.
        #[source]
        source: UriError,
    },
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
        KeyCommand::New(args) => match place(&args.place)? {
            KeyPlace::File(path) => {
                let passphrase = args.passphrase.read()?;
                if passphrase.is_none() && !args.unencrypted {
                    return Err(KeyCommandError::PassphraseOrNone);
                }
                let key = keys::generate()?;
                keys::write_new(&path, &key, passphrase.as_ref())?;
                Ok(describe(&path, Some(&key.verifying_key()))?)
            }
            KeyPlace::Token(uri) => {
                let opened = Opener::new(None, args.pin.source()).generate(&uri)?;
                Ok(describe_in_token(&uri, &opened))
            }
        },
        KeyCommand::Encrypt(args) => {
            let passphrase = args.passphrase.read()?.ok_or(KeyCommandError::Passphrase)?;
            let key = keys::encrypt(&args.path, &passphrase)?;
            Ok(format!(
                "{}\nDer unverschlüsselte Schlüssel kann auf dem Datenträger und in Sicherungen \
                 noch lesbar sein.",
                describe(&args.path, Some(&key.verifying_key()))?
            ))
        }
        KeyCommand::Show(args) => match place(&args.place)? {
            KeyPlace::File(path) => {
                let source = args.passphrase.source();
                let locked = source.is_none() && keys::describe(&path)?.is_some();
                if locked {
                    return Ok(describe(&path, None)?);
                }
                let kept = keys::read(&path, &mut Passphrase::new(source))?;
                Ok(describe(&path, Some(&kept.signing.verifying_key()))?)
            }
            place @ KeyPlace::Token(_) => {
                let opened = Opener::new(None, args.pin.source()).open(&place, None)?;
                Ok(describe_in_token(&place, &opened))
            }
        },
        KeyCommand::List(args) => list(args),
    }
}

/// Where a key is, as an argument says.
pub(super) fn place(text: &str) -> Result<KeyPlace, KeyCommandError> {
    KeyPlace::parse(text, Path::new(""))
        .map_err(|source| KeyCommandError::Uri { shown: keys::shown(text), source })
}

fn list(args: &ListArgs) -> Result<String, KeyCommandError> {
    let unlock = match args.check {
        true => Unlock::With { passphrase: args.passphrase.source(), pin: args.pin.source() },
        false => Unlock::Sealed,
    };
    let config = Config::load_with(&args.config, &unlock)?;
    let public = config.signer.keys();
    let mut told = format!("Schlüssel von {} ({}):", config.node, config.land.name());
    let keys = &config.keys;
    let opened = config.keys_held.public();
    let logs = [("log", Some(&keys.log)), ("next_log", keys.next_log.as_ref())];
    let freshness =
        [("freshness", Some(&keys.freshness)), ("next_freshness", keys.next_freshness.as_ref())];
    for ((places, named), opened) in
        [(logs, public.log), (freshness, public.freshness)].into_iter().zip(&opened)
    {
        told.push_str(&listed(places, &named, opened)?);
    }
    told.push_str(&match opened.iter().map(Vec::len).sum::<usize>() {
        0 => "\n\nNicht geöffnet; zur Probe signieren lassen: --check".to_owned(),
        all => format!("\n\nAlle {all} ließen sich öffnen; was die Charta nennt, ist dabei."),
    });
    Ok(told)
}

/// The key at the place in use, and the one at the next place if there is one; `named` is what the
/// charter names. Which place has it only keys that were opened tell.
fn listed(
    places: [(&str, Option<&KeyPlace>); 2],
    named: &VerifyingKey,
    opened: &[VerifyingKey],
) -> Result<String, KeyError> {
    let mut told = String::new();
    let here = || places.into_iter().filter_map(|(name, place)| Some((name, place?)));
    let is_one = here().count() == 1;
    for (at, (name, place)) in here().enumerate() {
        let kept = match place {
            KeyPlace::File(path) => kept_in_file(path)?,
            KeyPlace::Token(uri) => format!("im Token, über {}", uri.module.display()),
        };
        told.push_str(&format!("\n\n{name}\n  Ort          {place}\n  Verwahrt     {kept}"));
        let shown = opened.get(at).or_else(|| is_one.then_some(named));
        if let Some(shown) = shown {
            told.push_str(&format!("\n  Öffentlich   {}", hex::encode(shown.as_bytes())));
        }
        if let Some(found) = opened.get(at) {
            told.push_str(match found == named {
                true => "\n  Benutzt      ja, die geltende Charta nennt ihn",
                false => "\n  Benutzt      nein, die geltende Charta nennt einen anderen",
            });
        }
    }
    if !is_one && opened.is_empty() {
        told.push_str(&format!(
            "\n\nDie geltende Charta nennt {}. An welchem der beiden Orte dieser Schlüssel liegt, \
             zeigt --check; vorher keinen löschen",
            hex::encode(named.as_bytes())
        ));
    }
    Ok(told)
}

fn describe(path: &Path, public: Option<&VerifyingKey>) -> Result<String, KeyError> {
    let kept = kept_in_file(path)?;
    let public = match public {
        Some(public) => hex::encode(public.as_bytes()),
        None => "nur mit Passphrase zu sehen (--passphrase-fd, …)".to_owned(),
    };
    Ok(format!(
        "Schlüssel    {} (Ed25519)\nVerwahrt     {kept}\nÖffentlich   {public}",
        path.display()
    ))
}

fn kept_in_file(path: &Path) -> Result<String, KeyError> {
    Ok(match keys::describe(path)? {
        Some(method) => format!("verschlüsselt, {method}, AES-CBC"),
        None => "NICHT verschlüsselt".to_owned(),
    })
}

fn describe_in_token(place: &impl std::fmt::Display, opened: &Opened) -> String {
    let kept = match opened.protection {
        Protection::Token => "im Token, das ihn nicht herausgibt",
        _ => "im Token, das ihn mit der PIN HERAUSGIBT",
    };
    let public = hex::encode(opened.key.public().as_bytes());
    format!("Schlüssel    {place} (Ed25519)\nVerwahrt     {kept}\nÖffentlich   {public}")
}

fn source(
    descriptor: Option<u32>,
    file: Option<&PathBuf>,
    credential: Option<&String>,
) -> Option<SecretSource> {
    let descriptor = descriptor.map(SecretSource::Descriptor);
    let file = file.cloned().map(SecretSource::File);
    let credential = credential.cloned().map(SecretSource::Credential);
    descriptor.or(file).or(credential)
}

// === impl PassphraseArgs ===

impl PassphraseArgs {
    /// The source that was chosen.
    pub fn source(&self) -> Option<SecretSource> {
        let (file, credential) = (&self.passphrase_file, &self.passphrase_credential);
        source(self.passphrase_fd, file.as_ref(), credential.as_ref())
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

// === impl PinArgs ===

impl PinArgs {
    /// The source that was chosen.
    pub fn source(&self) -> Option<SecretSource> {
        source(self.pin_fd, self.pin_file.as_ref(), self.pin_credential.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_whose_key_the_charter_names_is_told_from_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new] = ["log.key", "neu.key"].map(|name| {
            let (path, key) = (dir.path().join(name), keys::generate().unwrap());
            keys::write_new(&path, &key, None).unwrap();
            (KeyPlace::File(path), key.verifying_key())
        });
        let places = [("log", Some(&old.0)), ("next_log", Some(&new.0))];
        let told = listed(places, &new.1, &[old.1, new.1]).unwrap();
        let shown = |key: &VerifyingKey| hex::encode(key.as_bytes());
        let (before, after) = told.split_once("next_log").unwrap();
        assert!(before.contains(&shown(&old.1)) && before.contains("Benutzt      nein"), "{told}");
        assert!(after.contains(&shown(&new.1)) && after.contains("Benutzt      ja"), "{told}");
        // unopened, no place is said to have it
        let told = listed(places, &new.1, &[]).unwrap();
        assert!(!told.contains("Öffentlich") && !told.contains("Benutzt"), "{told}");
        assert_eq!(told.matches(&shown(&new.1)).count(), 1, "{told}");
        let told = listed([("log", Some(&old.0)), ("next_log", None)], &old.1, &[]).unwrap();
        assert!(told.ends_with(&format!("Öffentlich   {}", shown(&old.1))), "{told}");
    }
}
