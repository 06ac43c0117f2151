//! `registry-node evidence`: proof that the owner of a log signed two histories.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use registry_proto::{
    charter::{CHAIN_BYTES_MAX, Charter, CharterError, CharterProblem},
    evidence::{Equivocation, EvidenceError},
    german::German,
    terms::Land,
};

use crate::{
    config::{ConfigError, Reading},
    witness::{Cabinet, CabinetError, evidence},
};

/// Unterbefehle von `evidence`.
#[derive(Debug, clap::Subcommand)]
pub enum EvidenceCommand {
    /// Listet die Beweise auf, die dieser Knoten aufbewahrt
    List(ListArgs),
    /// Schreibt einen Beweis in eine Datei, die ohne Knoten geprüft werden kann
    #[command(after_help = "Beispiel:\n  registry-node evidence export --config node.toml --land \
                            RP --out rp.evidence")]
    Export(ExportArgs),
    /// Prüft einen Beweis gegen die Gründungscharta; braucht keinen Knoten
    #[command(after_help = "Beispiel:\n  registry-node evidence verify rp.evidence --charter \
                            charter.binpb\n\nEndcode 0: der Beweis gilt. Die Charta muss aus \
                            eigener Hand stammen, nicht vom Absender des Beweises.")]
    Verify(VerifyArgs),
}

/// Argumente von `evidence list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Konfigurationsdatei des Knotens, von der nur charter und data_dir zählen; er darf laufen
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
}

/// Argumente von `evidence export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Konfigurationsdatei des Knotens, von der nur charter und data_dir zählen; er darf laufen
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Land, gegen das sich der Beweis richtet; nötig, wenn es mehrere gibt
    #[arg(long, value_name = "LAND")]
    pub land: Option<Land>,
    /// Zieldatei
    #[arg(long, value_name = "DATEI")]
    pub out: PathBuf,
}

/// Argumente von `evidence verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Datei mit dem Beweis
    #[arg(value_name = "DATEI")]
    pub file: PathBuf,
    /// Gründungscharta des Verbunds, aus eigener Hand
    #[arg(long, value_name = "DATEI")]
    pub charter: PathBuf,
}

/// Why a command about evidence fails.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceCommandError {
    /// The configuration cannot be used.
    #[error("die Konfiguration ist nicht brauchbar")]
    Config(#[from] ConfigError),
    /// The evidence cannot be read.
    #[error("der Beweis ist nicht lesbar")]
    Cabinet(#[from] CabinetError),
    /// A file cannot be read or written.
    #[error("{}: kann nicht gelesen oder geschrieben werden", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The charter breaks its rules.
    #[error("{}: keine gültige Charta", .path.display())]
    Charter {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: German<CharterError>,
    },
    /// The evidence proves nothing.
    #[error("{}: beweist nichts gegen ein Mitglied dieses Verbunds", .path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: German<EvidenceError>,
    },
    /// There is none.
    #[error("dieser Knoten bewahrt {} auf", match .0 {
        Some(land) => format!("keinen Beweis gegen {land}"),
        None => "keinen Beweis".to_owned(),
    })]
    None(Option<Land>),
    /// Which one is meant?
    #[error("es gibt Beweise gegen {}; mit --land einen wählen", .0.iter()
        .map(|it| it.code()).collect::<Vec<_>>().join(", "))]
    Several(Vec<Land>),
    /// The target exists.
    #[error("{} besteht schon", .0.display())]
    Exists(PathBuf),
}

/// Runs a subcommand and returns what it prints.
///
/// # Errors
///
/// See [`EvidenceCommandError`].
pub fn run(command: &EvidenceCommand) -> Result<String, EvidenceCommandError> {
    match command {
        EvidenceCommand::List(args) => list(&args.config),
        EvidenceCommand::Export(args) => export(args),
        EvidenceCommand::Verify(args) => {
            let charter = charter(&args.charter)?;
            let proof = Equivocation::verify_under(&evidence::read(&args.file)?, &charter)
                .map_err(|error| EvidenceCommandError::Refused {
                    path: args.file.clone(),
                    source: German(error),
                })?;
            Ok(format!("Der Beweis gilt im Verbund {}.\n{}", charter.id(), describe(&proof)))
        }
    }
}

fn list(config: &Path) -> Result<String, EvidenceCommandError> {
    let (data_dir, charter) = Reading::kept(config)?;
    let kept = Cabinet::of(&data_dir).load(&charter)?;
    let mut parts: Vec<String> = kept.proofs.iter().map(describe).collect();
    parts.extend(kept.refused.iter().map(|(path, error)| {
        format!("{}: beweist nichts: {}", path.display(), German(error.clone()))
    }));
    if parts.is_empty() {
        return Ok("Keine Beweise.".to_owned());
    }
    Ok(parts.join("\n\n"))
}

fn export(args: &ExportArgs) -> Result<String, EvidenceCommandError> {
    let (data_dir, charter) = Reading::kept(&args.config)?;
    let kept = Cabinet::of(&data_dir).load(&charter)?;
    let wanted = |it: &&Equivocation| args.land.is_none_or(|land| it.log().land == land);
    let found: Vec<&Equivocation> = kept.proofs.iter().filter(wanted).collect();
    let proof = match &found[..] {
        [] => return Err(EvidenceCommandError::None(args.land)),
        [one] => *one,
        several => {
            let laender = several.iter().map(|it| it.log().land).collect();
            return Err(EvidenceCommandError::Several(laender));
        }
    };
    let written = fs::File::create_new(&args.out).and_then(|mut file| {
        io::Write::write_all(&mut file, proof.raw())?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => EvidenceCommandError::Exists(args.out.clone()),
        _ => EvidenceCommandError::File { path: args.out.clone(), source },
    })?;
    let out = args.out.display();
    Ok(format!(
        "{}\nGeschrieben: {out}\nPrüfen ohne Knoten: registry-node evidence verify {out} --charter \
         charter.binpb",
        describe(proof)
    ))
}

fn charter(path: &Path) -> Result<Charter, EvidenceCommandError> {
    use io::Read as _;
    let mut raw = Vec::new();
    fs::File::open(path)
        .and_then(|it| it.take(CHAIN_BYTES_MAX as u64 + 1).read_to_end(&mut raw))
        .map_err(|source| EvidenceCommandError::File { path: path.to_owned(), source })?;
    let refused = |error: CharterError| EvidenceCommandError::Charter {
        path: path.to_owned(),
        source: German(error),
    };
    let charters = Charter::chain(raw.into()).map_err(refused)?;
    // the newest knows all keys that ever counted
    charters.into_iter().next_back().ok_or_else(|| refused(CharterProblem::Undecodable.into()))
}

fn describe(proof: &Equivocation) -> String {
    let log = proof.log();
    let (older, newer) = (proof.older(), proof.newer());
    let mut text = format!(
        "{} ({}) hat zwei Fassungen des Protokolls {log} signiert:\n  {}, Wurzel {}\n  {}, Wurzel {}",
        log.land,
        log.land.name(),
        super::entries(older.size()),
        older.root(),
        super::entries(newer.size()),
        newer.root(),
    );
    if older.size() != newer.size() {
        text.push_str("\n  Die zweite beginnt nachweislich nicht mit der ersten.");
    }
    text
}
