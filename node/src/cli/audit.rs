//! `registry-node audit`: the audit log of a node, without the node.

use std::path::PathBuf;

use crate::{
    audit::{self, Anchor, AnchorError, Anchors, FileError, Judgement, Lines, Run, Verdict},
    config::{Config, ConfigError},
};

/// Unterbefehle von `audit`.
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// Prüft die Kette des Auditlogs und vergleicht sie mit den Ankern im Protokoll des Landes
    #[command(after_help = "Beispiele:\n  registry-node audit verify --config node.toml\n  \
                            registry-node audit verify --config node.toml --journal \
                            /mnt/partner/journal\n\nEndcodes: 0 alles passt, 1 Fehler, 3 eine Zeile \
                            passt nicht, 4 was hier ist, passt, aber es fehlen Zeilen, die ein Anker \
                            nennt.\n\nZeilen nach dem letzten Anker kann ändern oder abschneiden, wer \
                            die Dateien schreiben darf, ohne dass es auffällt. Die Anker sind so viel \
                            wert wie das Journal, aus dem sie gelesen werden; am meisten gilt das eines \
                            Partners.")]
    Verify(VerifyArgs),
}

/// Argumente von `audit verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Konfigurationsdatei des Knotens; er darf dabei laufen
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Verzeichnis des Auditlogs, wenn es nicht das des Knotens ist
    #[arg(long, value_name = "VERZEICHNIS")]
    pub dir: Option<PathBuf>,
    /// Verzeichnis der Journale, aus dem die Anker kommen, zum Beispiel die Kopie eines Partners
    #[arg(long, value_name = "VERZEICHNIS")]
    pub journal: Option<PathBuf>,
}

/// What a command about the audit log prints, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// For standard output.
    pub text: String,
    /// 0, 3 or 4.
    pub code: u8,
}

/// Why a command about the audit log fails.
#[derive(Debug, thiserror::Error)]
pub enum AuditCommandError {
    /// The configuration cannot be used.
    #[error("die Konfiguration ist nicht brauchbar")]
    Config(#[from] ConfigError),
    /// The journal cannot be read.
    #[error("die Anker sind nicht lesbar")]
    Anchors(#[from] AnchorError),
    /// The audit log cannot be read.
    #[error("das Auditlog ist nicht lesbar")]
    File(#[from] FileError),
    /// There is none.
    #[error("{}: hier ist kein Auditlog", .0.display())]
    None(PathBuf),
}

/// Runs a subcommand.
///
/// # Errors
///
/// See [`AuditCommandError`].
pub fn run(command: &AuditCommand) -> Result<Told, AuditCommandError> {
    match command {
        AuditCommand::Verify(args) => verify(args),
    }
}

fn verify(args: &VerifyArgs) -> Result<Told, AuditCommandError> {
    let config = Config::load_sealed(&args.config)?;
    let dir = args.dir.clone().unwrap_or_else(|| config.data_dir.join(audit::DIR));
    let journal = args.journal.clone().unwrap_or_else(|| config.data_dir.join("journal"));
    // anchors first: a node that runs only adds lines
    let anchors = Anchors::read(&journal, &config.charter, config.land, &config.node)?;
    let verdict = audit::verify(&mut Lines::of(&dir)?, &anchors.all)?;
    if verdict.lines == 0 && verdict.breaks.is_empty() && verdict.foreign.is_empty() {
        return Err(AuditCommandError::None(dir));
    }
    let code = match verdict.judgement() {
        Judgement::Intact => 0,
        Judgement::Broken => 3,
        Judgement::Incomplete => 4,
    };
    Ok(Told { text: describe(&verdict, &anchors).join("\n"), code })
}

fn describe(verdict: &Verdict, anchors: &Anchors) -> Vec<String> {
    let mut text = vec![match verdict.judgement() {
        Judgement::Intact => "Das Auditlog passt.".to_owned(),
        Judgement::Incomplete => "Was vom Auditlog hier ist, passt; es fehlen Zeilen.".to_owned(),
        Judgement::Broken => "Das Auditlog passt nicht.".to_owned(),
    }];
    let chain = verdict.chain.map_or_else(|| "unbekannt".to_owned(), hex::encode);
    text.push(format!("Kette {chain}, {} Zeilen, letzte {}", verdict.lines, verdict.until));
    for (at, it) in verdict.breaks.iter().enumerate() {
        let which = if at == 0 { "Erste Zeile, die nicht passt" } else { "Auch" };
        let (file, number) = (it.file.display(), it.number);
        text.push(format!("{which}: Nr. {} ({file}, Zeile {number}) {}", it.expected, it.why));
    }
    for it in &verdict.contradicted {
        let from = proved_before(verdict, it);
        text.push(format!(
            "{} widerspricht: mindestens eine der Zeilen {from} bis {} wurde geändert",
            named(it),
            it.size.saturating_sub(1)
        ));
    }
    for it in &verdict.missing {
        text.push(format!("{} nennt Zeilen, die nicht hier sind", named(it)));
    }
    for it in &verdict.foreign {
        let chain = hex::encode(it.chain);
        text.push(format!("{} gehört zur Kette {chain}, die nicht hier ist", named(it)));
    }
    if verdict.first > 0 {
        text.push(format!("Die Zeilen vor Nr. {} sind nicht hier", verdict.first));
    }
    text.extend(verdict.runs.iter().map(trusted));
    if verdict.unfinished {
        text.push(
            "Die letzte Zeile ist unvollständig: sie wird gerade geschrieben, oder ein Absturz \
                   hat sie abgeschnitten"
                .to_owned(),
        );
    }
    text.extend(anchors.doubts.iter().map(|it| format!("Vorbehalt: {it}")));
    for (log, size, root) in &anchors.heads {
        text.push(format!("Anker aus dem Protokoll {log}, {size} Einträge, Wurzel {root}"));
    }
    text
}

/// What of lines that fit together can be trusted.
fn trusted(run: &Run) -> String {
    let last = run.to.saturating_sub(1);
    match &run.anchor {
        Some(anchor) if anchor.size == run.to => {
            format!("Nr. {} bis {last}: unverändert, belegt durch {}", run.from, named(anchor))
        }
        Some(anchor) => format!(
            "Nr. {} bis {}: unverändert, belegt durch {}\nNr. {} bis {last}: passen zueinander, aber \
             kein Anker belegt sie",
            run.from,
            anchor.size - 1,
            named(anchor),
            anchor.size
        ),
        None => {
            format!("Nr. {} bis {last}: passen zueinander, aber kein Anker belegt sie", run.from)
        }
    }
}

/// First line that no anchor before this one proves.
fn proved_before(verdict: &Verdict, anchor: &Anchor) -> u64 {
    let proved = verdict.runs.iter().filter_map(|it| it.anchor.as_ref()).map(|it| it.size);
    proved.filter(|it| *it < anchor.size).max().unwrap_or(verdict.first)
}

fn named(anchor: &Anchor) -> String {
    let time = audit::line::written(anchor.recorded_ms);
    format!("Anker {}/{} vom {time} über {} Zeilen", anchor.log, anchor.index, anchor.size)
}
