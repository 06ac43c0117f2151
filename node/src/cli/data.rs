//! `registry-node data`: signed packages of code lists, LeiKa and Gemeindeverzeichnis.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use registry_core::{
    catalogue::package::{MANIFEST, Manifest, ManifestError, PackageError},
    validate::{CodeLists, List},
};
use registry_proto::{
    log::{NoteError, ParseVerifierKeyError, VerifierKey, sign_note},
    terms::Date,
};

use crate::{
    cli::init::{InitError, ensure_key},
    config::{ConfigError, Data, Reading},
    data::{self, DataError, InstallError, Installed, Package},
};

/// Unterbefehle von `data`.
#[derive(Debug, clap::Subcommand)]
pub enum DataCommand {
    /// Zeigt die Listen, mit denen ein Knoten prüft
    Show(ShowArgs),
    /// Prüft Signatur, Prüfsummen und Inhalt eines Pakets, ohne etwas zu ändern
    Verify(VerifyArgs),
    /// Prüft ein Paket und legt es dort ab, wo der Knoten es sucht
    #[command(after_help = "Ein laufender Knoten übernimmt das Paket ohne Neustart: binnen einer \
                            Minute, oder sofort mit SIGHUP (systemctl reload).")]
    Install(InstallArgs),
    /// Erstellt ein Paket: signiert die Dateien eines Verzeichnisses
    #[command(
        after_help = "Das Verzeichnis enthält eine oder mehrere der Dateien fim-codelists.json, \
                      leika-leistungen.csv, gebiete.csv und gebiete-nachfolger.csv. Was fehlt, \
                      bleibt, wie es ausgeliefert ist."
    )]
    Pack(PackArgs),
}

/// Argumente von `data show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Konfigurationsdatei
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
}

/// Argumente von `data verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Verzeichnis des Pakets
    #[arg(value_name = "VERZEICHNIS")]
    pub package: PathBuf,
    /// Konfigurationsdatei, deren Schlüssel gelten
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Schlüssel eines Herausgebers statt denen der Konfiguration
    #[arg(long, value_name = "SCHLÜSSEL")]
    pub key: Vec<VerifierKey>,
}

/// Argumente von `data install`.
#[derive(Debug, clap::Args)]
pub struct InstallArgs {
    /// Verzeichnis des Pakets
    #[arg(value_name = "VERZEICHNIS")]
    pub package: PathBuf,
    /// Konfigurationsdatei
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Auch ein Paket, das älter ist als das installierte
    #[arg(long)]
    pub older: bool,
}

/// Argumente von `data pack`.
#[derive(Debug, clap::Args)]
pub struct PackArgs {
    /// Verzeichnis mit den Dateien
    #[arg(value_name = "VERZEICHNIS")]
    pub package: PathBuf,
    /// Tag, zu dem die Daten gelten (JJJJ-MM-TT)
    #[arg(long, value_name = "TAG")]
    pub stand: Date,
    /// Name des Schlüssels, zum Beispiel daten.verbund.example
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// Privater Schlüssel (Ed25519, PKCS#8-PEM); wird angelegt, wenn er fehlt
    #[arg(long, value_name = "DATEI")]
    pub key: PathBuf,
}

/// Why a command about packages fails.
#[derive(Debug, thiserror::Error)]
pub enum DataCommandError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No place for packages is configured.
    #[error(
        "{} hat keinen Abschnitt [data] mit package und keys; ohne ihn prüft der Knoten mit den \
         ausgelieferten Listen",
        .0.display()
    )]
    NotConfigured(PathBuf),
    /// The package is not good.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The package is not installed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The private key cannot be read or made.
    #[error(transparent)]
    Key(#[from] InitError),
    /// The name of the key cannot be used.
    #[error("der Name des Schlüssels kann nicht verwendet werden")]
    Name(#[from] ParseVerifierKeyError),
    /// The files make no package.
    #[error("{} enthält keine Datei eines Datenpakets oder eine zu große", .path.display())]
    Manifest {
        /// Folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The files cannot be used; a package of them would be refused everywhere.
    #[error("die Dateien in {} können nicht verwendet werden", .path.display())]
    Files {
        /// Folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: PackageError,
    },
    /// The manifest cannot be signed.
    #[error("das Manifest kann nicht signiert werden")]
    Sign(#[from] NoteError),
    /// The manifest cannot be written.
    #[error("{} kann nicht geschrieben werden", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs a subcommand and returns what it prints.
///
/// # Errors
///
/// See [`DataCommandError`].
pub fn run(command: &DataCommand) -> Result<String, DataCommandError> {
    match command {
        DataCommand::Show(args) => show(args),
        DataCommand::Verify(args) => verify(args),
        DataCommand::Install(args) => install(args),
        DataCommand::Pack(args) => pack(args),
    }
}

fn show(args: &ShowArgs) -> Result<String, DataCommandError> {
    let shipped = |why: String| format!("{why}\n{}", describe_lists(CodeLists::shipped()));
    let Some(data) = Reading::data(&args.config)? else {
        return Ok(shipped("Kein Datenpaket eingerichtet; ausgelieferte Listen".to_owned()));
    };
    if !data.package.join(MANIFEST).exists() {
        let why = "Kein Datenpaket installiert; ausgelieferte Listen";
        return Ok(shipped(format!("{why} ({})", data.package.display())));
    }
    Ok(describe(&data.package, &data::read(&data.package, &data.keys)?))
}

fn verify(args: &VerifyArgs) -> Result<String, DataCommandError> {
    let package = if args.key.is_empty() {
        data::read(&args.package, &configured(&args.config)?.keys)?
    } else {
        data::read(&args.package, &args.key)?
    };
    Ok(format!("{}\nIn Ordnung", describe(&args.package, &package)))
}

fn install(args: &InstallArgs) -> Result<String, DataCommandError> {
    let data = configured(&args.config)?;
    let installed = data::install(&args.package, &data, args.older)?;
    let described = describe(&data.package, &data::read(&data.package, &data.keys)?);
    Ok(match installed {
        Installed::Unchanged => format!("{described}\nWar schon installiert"),
        Installed::Replaced(None) => format!("{described}\nInstalliert"),
        Installed::Replaced(Some(before)) => {
            format!("{described}\nInstalliert; das Paket vom {before} liegt daneben (.alt)")
        }
    })
}

fn pack(args: &PackArgs) -> Result<String, DataCommandError> {
    let folder = &args.package;
    let contents = data::read_contents(folder)?;
    let manifest = Manifest::of(args.stand, &contents)
        .map_err(|source| DataCommandError::Manifest { path: folder.clone(), source })?;
    manifest
        .lists(&contents)
        .map_err(|source| DataCommandError::Files { path: folder.clone(), source })?;
    let signing = ensure_key(&args.key)?;
    let key = VerifierKey::new(&args.name, signing.verifying_key())?;
    let note = sign_note(&manifest.text(), &key, &signing)?;
    let path = folder.join(MANIFEST);
    fs::write(&path, note).map_err(|source| DataCommandError::Write { path, source })?;
    let package = data::read(folder, std::slice::from_ref(&key))?;
    Ok(format!(
        "{}\nErstellt. Schlüssel für data.keys in node.toml:\n  {key}",
        describe(folder, &package)
    ))
}

fn configured(path: &Path) -> Result<Data, DataCommandError> {
    Reading::data(path)?.ok_or_else(|| DataCommandError::NotConfigured(path.to_owned()))
}

fn describe(folder: &Path, package: &Package) -> String {
    let mut text = format!(
        "Datenpaket  {}\nStand       {}\nSigniert    {}",
        folder.display(),
        package.manifest.stand(),
        package.signer
    );
    for (file, listed) in package.manifest.files() {
        text.push_str(&format!(
            "\n  {:<23} {:>9} Byte  SHA-256 {}",
            file.name(),
            listed.bytes,
            listed.sha256
        ));
    }
    format!("{text}\n{}", describe_lists(&package.lists))
}

fn describe_lists(lists: &CodeLists) -> String {
    let gebiete = lists.gebiete();
    format!(
        "Inhalt      {} Leistungsgruppierungen, {} Verrichtungen\n            {} \
         Leistungsschlüssel ({})\n            {} Gebiete (Gebietsstand {}, Änderungen bis {})",
        lists.codes(List::Leistungsgruppierung).count(),
        lists.codes(List::Verrichtung).count(),
        lists.schluessel_len(),
        lists.leika_stand(),
        gebiete.len(),
        gebiete.stand(),
        gebiete.known_until(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_packed_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paket");
        fs::create_dir(&path).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/data");
        let name = "gebiete-nachfolger.csv";
        fs::copy(shipped.join(name), path.join(name)).unwrap();
        let args = PackArgs {
            package: path.clone(),
            stand: "2026-11-23".parse().unwrap(),
            name: "daten.example".to_owned(),
            key: folder.path().join("daten.key"),
        };
        let told = pack(&args).unwrap();
        let key: VerifierKey = told.lines().last().unwrap().trim().parse().unwrap();
        let verify = |key| {
            let config = PathBuf::from("node.toml");
            run(&DataCommand::Verify(VerifyArgs { package: path.clone(), config, key }))
        };
        let told = verify(vec![key]).unwrap();
        assert!(told.contains("Stand       2026-11-23\nSigniert    daten.example"), "{told}");
        assert!(told.contains("4813 Leistungsschlüssel (LeiKa 10/2019)"), "{told}");
        assert!(told.ends_with("In Ordnung"), "{told}");
        let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert!(matches!(verify(vec![other.parse().unwrap()]), Err(DataCommandError::Data(_))));
    }

    #[test]
    fn an_empty_folder_is_not_packed() {
        let folder = tempfile::tempdir().unwrap();
        let args = PackArgs {
            package: folder.path().to_owned(),
            stand: "2026-11-23".parse().unwrap(),
            name: "daten.example".to_owned(),
            key: folder.path().join("daten.key"),
        };
        assert!(matches!(pack(&args), Err(DataCommandError::Manifest { .. })));
        assert!(!args.key.exists(), "no key is made for nothing");
    }
}
