//! `registry-node audit`: the audit log of a node, without the node.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::seen_enough;
use crate::{
    audit::{
        self, Anchor, AnchorError, Anchors, FileError, Judgement, Lines, Run, Target, Verdict,
        line::Line,
    },
    config::{ConfigError, Reading},
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
                            Partners.\n\nVon der Konfiguration zählen nur land, node, charter und \
                            data_dir.")]
    Verify(VerifyArgs),
    /// Gibt Zeilen des Auditlogs aus oder sendet sie an einen Syslog
    #[command(
        after_help = "Beispiele:\n  registry-node audit export --since 2026-11-01 > november.jsonl\n  \
                            registry-node audit export --format syslog --to \
                            udp://127.0.0.1:514\n\nEndcodes: 0 in Ordnung, 1 Fehler, 3 es gab Zeilen, \
                            die keine sind (registry-node audit verify nennt sie).\n\nVon der Konfiguration \
                            zählt nur data_dir, wenn --dir fehlt, und node für --format syslog."
    )]
    Export(ExportArgs),
}

/// Argumente von `audit export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Konfigurationsdatei des Knotens; er darf dabei laufen
    #[arg(long, short, value_name = "DATEI", default_value = "node.toml")]
    pub config: PathBuf,
    /// Verzeichnis des Auditlogs, wenn es nicht das des Knotens ist
    #[arg(long, value_name = "VERZEICHNIS")]
    pub dir: Option<PathBuf>,
    /// Form: die Zeilen selbst, oder Nachrichten nach RFC 5424
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
    /// Erst ab diesem Tag oder Zeitpunkt (2026-11-01, 2026-11-01T08:00:00Z)
    #[arg(long, value_name = "ZEIT", value_parser = moment)]
    pub since: Option<i64>,
    /// Nur vor diesem Tag oder Zeitpunkt
    #[arg(long, value_name = "ZEIT", value_parser = moment)]
    pub until: Option<i64>,
    /// Wohin, statt auf die Standardausgabe: udp://host:port, tcp://host:port, unix:///pfad
    #[arg(long, value_name = "ZIEL")]
    pub to: Option<Target>,
}

/// Form der Ausgabe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Zeilen, wie sie in den Dateien stehen
    Jsonl,
    /// RFC 5424
    Syslog,
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
    /// The target takes nothing.
    #[error("{to}: nimmt nichts an")]
    Send {
        /// Which.
        to: String,
        /// Why.
        #[source]
        source: io::Error,
    },
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
        AuditCommand::Export(args) => export(args),
    }
}

fn verify(args: &VerifyArgs) -> Result<Told, AuditCommandError> {
    let reading = Reading::load(&args.config)?;
    let dir = args.dir.clone().unwrap_or_else(|| reading.data_dir.join(audit::DIR));
    let journal = args.journal.clone().unwrap_or_else(|| reading.data_dir.join("journal"));
    // anchors first: a node that runs only adds lines
    let anchors = Anchors::read(&journal, &reading.charter, reading.member.land, &reading.node)?;
    let verdict = audit::verify(&mut Lines::of(&dir)?, &anchors.all)?;
    if verdict.lines == 0 && verdict.breaks.is_empty() && verdict.foreign.is_empty() {
        return Err(AuditCommandError::None(dir));
    }
    let code = match verdict.judgement() {
        Judgement::Intact => 0,
        Judgement::Broken => 3,
        Judgement::Incomplete => 4,
    };
    Ok(Told { text: describe(&verdict, &anchors).join("\n") + "\n", code })
}

fn export(args: &ExportArgs) -> Result<Told, AuditCommandError> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => Reading::data_dir(&args.config)?.join(audit::DIR),
    };
    let node = match args.format {
        Format::Jsonl => String::new(),
        Format::Syslog => Reading::node(&args.config)?,
    };
    let to = args.to.as_ref().map_or_else(|| "Standardausgabe".to_owned(), Target::to_string);
    let failed = |source| AuditCommandError::Send { to: to.clone(), source };
    let mut wire = args.to.as_ref().map(Target::open).transpose().map_err(failed)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut lines = Lines::of(&dir)?;
    let (mut given, mut wrong) = (0_u64, 0_u64);
    while let Some(raw) = lines.next_line()? {
        let Ok((line, hash)) = Line::parse(&raw.text) else {
            wrong += u64::from(raw.ended);
            continue;
        };
        let time = line.unix_ms().unwrap_or_default();
        let early = args.since.is_some_and(|since| time < since);
        if early || args.until.is_some_and(|until| time >= until) {
            continue;
        }
        let text = match args.format {
            Format::Jsonl => raw.text,
            Format::Syslog => audit::message(&line, &hash.to_string(), &node),
        };
        match &mut wire {
            Some(wire) => wire.send(&text).map_err(failed)?,
            None if seen_enough(writeln!(out, "{text}")).map_err(failed)? => {
                return Ok(Told { text: String::new(), code: 0 });
            }
            None => {}
        }
        given += 1;
    }
    seen_enough(out.flush()).map_err(failed)?;
    if wrong > 0 {
        eprintln!("{wrong} Zeilen sind keine; registry-node audit verify nennt sie");
    }
    let text = if wire.is_some() { format!("{given} Zeilen an {to}\n") } else { String::new() };
    Ok(Told { text, code: if wrong > 0 { 3 } else { 0 } })
}

/// A day, from its beginning in UTC, or a time; Unix milliseconds.
fn moment(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} ist kein Tag und keine Zeit wie 2026-11-01T08:00:00Z");
    let full = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let time = OffsetDateTime::parse(&full, &Rfc3339).map_err(|_| wrong())?;
    time.unix_timestamp().checked_mul(1_000).ok_or_else(wrong)
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
