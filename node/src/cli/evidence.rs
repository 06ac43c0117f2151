//! `registry-node evidence`: proof that the owner of a log signed two histories.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use registry_core::charter::decision::{unproved, verified};
use registry_proto::{
    charter::{CHAIN_BYTES_MAX, Charter, CharterError, CharterProblem},
    evidence::{Equivocation, EvidenceError},
    german::German,
    log::CheckpointError,
    terms::Land,
};

use super::{chain::to_compare, charter::CharterCommandError};
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
                            RP --out rp.evidence\n\nWer ihn prüft, braucht die Chartas des \
                            Verbunds: die Gründungscharta, oder die Kette (registry charter export), \
                            wenn seither Mitglieder oder Schlüssel dazukamen.")]
    Export(ExportArgs),
    /// Prüft einen Beweis gegen die Chartas des Verbunds; braucht keinen Knoten
    #[command(after_help = "Beispiel:\n  registry-node evidence verify rp.evidence --charter \
                            charter.binpb\n\nEndcode 0: der Beweis gilt. Die Charta muss aus \
                            eigener Hand stammen, nicht vom Absender des Beweises. Kamen seit der \
                            Gründung Mitglieder oder Schlüssel dazu, die Kette angeben (registry \
                            charter export); die Abstimmungen darin werden mitgeprüft.")]
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
    /// Gründungscharta des Verbunds oder Kette seiner Chartas, aus eigener Hand
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
    /// Votes that come with the charters prove something else.
    #[error("{}", .path.display())]
    Votes {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CharterCommandError,
    },
    /// Signed with keys, or by a Land, that the charters at hand do not name.
    #[error(
        "{}: mit dieser Charta (Nr. {number}) nicht zu prüfen; vielleicht ein späterer Schlüssel oder ein \
         späteres Mitglied: die Kette der Chartas angeben (registry charter export), und beweist er auch \
         dann nichts, dem Absender nicht trauen", .path.display()
    )]
    Beyond {
        /// Which file.
        path: PathBuf,
        /// Number of the newest charter at hand.
        number: u64,
        /// Why.
        #[source]
        source: German<EvidenceError>,
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
        EvidenceCommand::Verify(args) => verify(args),
    }
}

fn verify(args: &VerifyArgs) -> Result<String, EvidenceCommandError> {
    use EvidenceCommandError as E;
    let (charters, unproved) = charters(&args.charter)?;
    // the newest knows all keys that ever counted
    let newest = charters.last().ok_or_else(|| undecodable(&args.charter))?;
    let raw = evidence::read(&args.file)?;
    let proof = Equivocation::verify_under(&raw, newest).map_err(|error| {
        let (path, number) = (args.file.clone(), newest.number());
        match error {
            EvidenceError::NoMember { .. }
            | EvidenceError::Checkpoint { source: CheckpointError::UnknownKey { .. }, .. } => {
                E::Beyond { path, number, source: German(error) }
            }
            _ => E::Refused { path, source: German(error) },
        }
    })?;
    let mut text = format!("Der Beweis gilt im Verbund {}.\n{}", newest.id(), describe(&proof));
    if newest.number() > 0 {
        text.push_str(&format!("\n\n{}", to_compare(&charters, &unproved)));
    }
    Ok(text)
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
    let file = match charter.number() {
        0 => "charter.binpb",
        _ => "kette.binpb (registry charter export kette.binpb)",
    };
    Ok(format!(
        "{}\nGeschrieben: {out}\nPrüfen ohne Knoten: registry-node evidence verify {out} --charter {file}",
        describe(proof)
    ))
}

/// All charters of a file, and the numbers of those that it does not prove.
fn charters(path: &Path) -> Result<(Vec<Charter>, Vec<u64>), EvidenceCommandError> {
    use io::Read as _;
    let mut raw = Vec::new();
    fs::File::open(path)
        .and_then(|it| it.take(CHAIN_BYTES_MAX as u64 + 1).read_to_end(&mut raw))
        .map_err(|source| EvidenceCommandError::File { path: path.to_owned(), source })?;
    let read = Charter::chain_and_decisions(raw.into());
    let (charters, decisions) = read.map_err(|error| EvidenceCommandError::Charter {
        path: path.to_owned(),
        source: German(error),
    })?;
    let decisions = verified(&charters, decisions).map_err(|(number, why)| {
        let source = CharterCommandError::Decision { number, why: German(why) };
        EvidenceCommandError::Votes { path: path.to_owned(), source }
    })?;
    let unproved = unproved(&charters, &decisions);
    Ok((charters, unproved))
}

fn undecodable(path: &Path) -> EvidenceCommandError {
    let source = German(CharterProblem::Undecodable.into());
    EvidenceCommandError::Charter { path: path.to_owned(), source }
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
