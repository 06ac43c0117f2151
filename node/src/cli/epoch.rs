//! `registry-node epoch`: how the log of a Land begins again that cannot be brought back to what
//! was signed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use registry_journal::{Label, OpenError, look};
use registry_proto::{
    epoch::{EpochReset, Reset, ResetError, newest},
    german::German,
    log::{Frontier, Hash, VerbundId, leaf_hash},
    terms::{Land, LogId},
};
use serde::{Deserialize, Serialize};

use super::key::{KeyCommandError, PassphraseArgs, PinArgs, place};
use crate::{
    config::{ConfigError, Reading},
    epochs::{Resets, ResetsError},
    keys::{KeyError, Opener},
};

/// Unterbefehle von `epoch`.
#[derive(Debug, clap::Subcommand)]
pub enum EpochCommand {
    /// Schreibt auf, was vom eigenen Protokoll da ist und behalten werden kann
    #[command(after_help = "Beispiel:\n  registry-node epoch stand --config node.toml --out \
                            stand.toml\n\nVon der Konfiguration zählen nur land, node, charter und \
                            data_dir.\nDie Datei geht zu dem Rechner mit dem Offline-Schlüssel; sie \
                            enthält keine Geheimnisse, und den öffentlichen Teil des \
                            Offline-Schlüssels: reset signiert mit keinem anderen.")]
    Stand(StandArgs),
    /// Signiert mit dem Offline-Schlüssel, dass die Epoche endet; braucht keinen Knoten
    #[command(after_help = "Beispiel:\n  systemd-ask-password -n | registry-node epoch reset \
                            --stand stand.toml --key offline.key --passphrase-fd 0 --reason \
                            \"Datenträger verloren\" --out sl.reset\n\nDanach müssen mehr als die \
                            Hälfte der anderen Mitglieder zustimmen: registry epoch countersign. \
                            Was hinter dem behaltenen Stand signiert war, zählt dann nicht mehr.")]
    Reset(ResetArgs),
    /// Zeigt, was eine Zurücksetzung sagt und wer ihr zugestimmt hat; prüft keine Signaturen
    Show {
        /// Datei der Zurücksetzung
        #[arg(value_name = "DATEI")]
        file: PathBuf,
    },
}

/// Argumente von `epoch stand`.
#[derive(Debug, clap::Args)]
pub struct StandArgs {
    /// Konfigurationsdatei des Knotens; er darf dabei laufen
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Nur die ersten so vielen Einträge; ohne Angabe alle, die da sind
    #[arg(long, value_name = "ANZAHL")]
    pub size: Option<u64>,
    /// Zieldatei
    #[arg(long, value_name = "DATEI")]
    pub out: PathBuf,
}

/// Argumente von `epoch reset`.
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    /// Was behalten wird (registry-node epoch stand)
    #[arg(long, value_name = "DATEI")]
    pub stand: PathBuf,
    /// Der Offline-Schlüssel des Landes: Datei oder pkcs11:-URI
    #[arg(long, value_name = "ORT")]
    pub key: String,
    /// Grund für alle Mitglieder, höchstens 500 Bytes; er bleibt für immer im Protokoll
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Zieldatei
    #[arg(long, value_name = "DATEI")]
    pub out: PathBuf,
    /// Woher die Passphrase des Schlüssels kommt.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Woher die PIN des Tokens kommt.
    #[command(flatten)]
    pub pin: PinArgs,
}

/// What of a log is here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stand {
    verbund: String,
    log: String,
    size: u64,
    root: String,
    /// Public half of the key that may sign a reset, in hexadecimal digits.
    offline_key: String,
}

/// Why a command about epochs fails.
#[derive(Debug, thiserror::Error)]
pub enum EpochCommandError {
    /// The configuration cannot be used.
    #[error("die Konfiguration ist nicht brauchbar")]
    Config(#[from] ConfigError),
    /// The journal cannot be read.
    #[error("das Protokoll in {} ist nicht lesbar", .path.display())]
    Journal {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// An entry is missing in what should be kept.
    #[error("von {log} sind nur die ersten {held} Einträge lesbar")]
    TooFew {
        /// The log.
        log: LogId,
        /// Entries that can be kept.
        held: u64,
    },
    /// Resets that were taken cannot be read.
    #[error("die Zurücksetzungen dieses Knotens sind nicht lesbar")]
    Resets(#[from] ResetsError),
    /// A file cannot be read or written.
    #[error("{}: kann nicht gelesen oder geschrieben werden", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what `epoch stand` writes.
    #[error("{}: nicht von registry-node epoch stand", .0.display())]
    Stand(PathBuf),
    /// The key cannot be used.
    #[error("der Offline-Schlüssel ist nicht brauchbar")]
    Place(#[from] KeyCommandError),
    /// It is another one.
    #[error(
        "{key} ist nicht der Offline-Schlüssel von {land}: sein öffentlicher Teil ist {found}, die \
         Charta nennt {named}; nichts wurde signiert"
    )]
    OtherKey {
        /// Which key.
        key: String,
        /// Whose log it is.
        land: Land,
        /// Its public half.
        found: String,
        /// That of the charter.
        named: String,
    },
    /// The key cannot be opened.
    #[error("der Offline-Schlüssel lässt sich nicht öffnen")]
    Key(#[from] KeyError),
    /// No such reset can be signed or read.
    #[error(transparent)]
    Reset(#[from] German<ResetError>),
    /// The target exists.
    #[error("{} besteht schon", .0.display())]
    Exists(PathBuf),
}

/// Runs a subcommand and returns what it prints.
///
/// # Errors
///
/// See [`EpochCommandError`].
pub fn run(command: &EpochCommand) -> Result<String, EpochCommandError> {
    match command {
        EpochCommand::Stand(args) => stand(args),
        EpochCommand::Reset(args) => reset(args),
        EpochCommand::Show { file } => {
            Ok(shown(&Reset::read(&read(file)?.into()).map_err(German)?))
        }
    }
}

fn stand(args: &StandArgs) -> Result<String, EpochCommandError> {
    let reading = Reading::load(&args.config)?;
    let taken = Resets::of(&reading.data_dir).load()?;
    let log = newest(reading.member.land, &taken);
    let dir = reading.data_dir.join("journal").join(log.land.code()).join(log.epoch.to_string());
    let verbund = reading.charter.id();
    let label =
        Label { verbund: *verbund.as_bytes(), land: log.land.code().to_owned(), epoch: log.epoch };
    let mut tree = Frontier::default();
    let wanted = args.size.unwrap_or(u64::MAX);
    let looked = look(&dir, &label, &mut |stored| {
        // behind a gap there is nothing to keep
        if stored.index == tree.size() && tree.size() < wanted {
            tree.push(leaf_hash(&stored.header));
        }
    });
    looked.map_err(|source| EpochCommandError::Journal { path: dir, source })?;
    if args.size.is_some_and(|it| it > tree.size()) {
        return Err(EpochCommandError::TooFew { log, held: tree.size() });
    }
    let stand = Stand {
        verbund: verbund.to_string(),
        log: log.to_string(),
        size: tree.size(),
        root: tree.root().to_string(),
        offline_key: hex::encode(reading.member.offline_key.as_bytes()),
    };
    let text = toml::to_string(&stand).map_err(|_| EpochCommandError::Stand(args.out.clone()))?;
    write_new(&args.out, text.as_bytes())?;
    let kept = super::entries(stand.size);
    Ok(format!("{}: {log}, {kept}\n{}", args.out.display(), stand.root))
}

fn reset(args: &ResetArgs) -> Result<String, EpochCommandError> {
    let bad = || EpochCommandError::Stand(args.stand.clone());
    let text = String::from_utf8(read(&args.stand)?).map_err(|_| bad())?;
    let stand: Stand = toml::from_str(&text).map_err(|_| bad())?;
    let hash = |text: &str| {
        let bytes = hex::decode(text).map_err(|_| bad())?;
        Hash::try_from(&bytes[..]).map_err(|_| bad())
    };
    let verbund = VerbundId::from_hash(hash(&stand.verbund)?);
    let said = EpochReset {
        log: stand.log.parse().map_err(|_| bad())?,
        size: stand.size,
        root: hash(&stand.root)?,
        reason: args.reason.clone(),
        unix_ms: unix_ms(),
    };
    let mut opener = Opener::new(args.passphrase.source(), args.pin.source());
    let opened = opener.open(&place(&args.key)?, None)?;
    let found = hex::encode(opened.key.public().as_bytes());
    if found != stand.offline_key.to_ascii_lowercase() {
        let (key, land) = (args.key.clone(), said.log.land);
        return Err(EpochCommandError::OtherKey { key, land, found, named: stand.offline_key });
    }
    let reset = said.sign(verbund, &opened.key).map_err(German)?;
    write_new(&args.out, &reset.encode())?;
    Ok(format!(
        "{}\n\n{}: die anderen Mitglieder prüfen und unterschreiben sie mit registry epoch \
         countersign.",
        shown(&reset),
        args.out.display()
    ))
}

fn shown(reset: &Reset) -> String {
    let said = reset.said();
    let consents: Vec<_> = reset.consents().map(|it| it.code()).collect();
    let consents = if consents.is_empty() { "niemand".to_owned() } else { consents.join(", ") };
    format!(
        "Protokoll    {}, es folgt {}\nBehalten     {}\nWurzel       {}\nGrund        {}\n\
         Zugestimmt   {consents}\nPrüfsumme    {}",
        said.log,
        said.next(),
        super::entries(said.size),
        said.root,
        // it may come from somebody else, and goes to a terminal
        said.reason.replace(char::is_control, "\u{fffd}"),
        reset.digest()
    )
}

fn read(path: &Path) -> Result<Vec<u8>, EpochCommandError> {
    let file = |source| EpochCommandError::File { path: path.to_owned(), source };
    if fs::metadata(path).map_err(file)?.len() > FILE_BYTES_MAX {
        return Err(file(io::Error::other("zu groß")));
    }
    fs::read(path).map_err(file)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), EpochCommandError> {
    use io::Write as _;
    let written = fs::File::create_new(path).and_then(|mut it| it.write_all(bytes));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => EpochCommandError::Exists(path.to_owned()),
        _ => EpochCommandError::File { path: path.to_owned(), source },
    })
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX))
}

const FILE_BYTES_MAX: u64 = 64 << 10;
