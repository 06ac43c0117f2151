//! The command line as types. Doc comments are the help texts.

mod artefact;
mod charter;
mod draft;
mod epoch;
mod erase;
mod examples;
mod freigabe;
mod held;
mod kontakt;
mod manifest;
mod moves;
mod nachnutzung;
mod proving;
mod receipts;
mod uebergabe;
mod version;
mod writing;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use prost_types::Timestamp;
use registry_proto::{
    terms::{Date, Land},
    wire::registry::{LogPosition, Zeitpunkt},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::examples::{
    OFFER_EXAMPLES, PROOF_EXAMPLES, PUBLISH_EXAMPLES, SEARCH_EXAMPLES, SERVICE_LIST_EXAMPLES,
    WATCH_EXAMPLES,
};
pub(crate) use self::{
    artefact::{Artefact, ArtefactCollect, ArtefactPull, ArtefactPush},
    charter::{
        Charter, CharterExport, CharterInvite, CharterPropose, CharterUninvite, CharterVote,
    },
    draft::{Draft, DraftCheck, DraftDelete, DraftPublish, DraftSave, DraftShow},
    epoch::{Epoch, EpochApply, EpochCountersign},
    erase::{Erase, EraseEntry, EraseKontakt, EraseStatus, EraseVersion, Why},
    freigabe::{Freigabe, FreigabeAccept},
    held::{Held, HeldAccept},
    kontakt::{Kontakt, KontaktSet, KontaktShow, Rolle},
    manifest::{Apply, Diff, Export, Schema, SchemaKind},
    moves::{Countersign, Deprecate, Inbox, Retire, ServiceEdit, Withdraw},
    nachnutzung::{
        Acknowledge, Aendern, Connect, End, Interesse, List as NachnutzungList, Matrix,
        Nachnutzung, Stand, Step, Terms, Vertrag,
    },
    proving::{Proved, Proving},
    receipts::{Proof, Receipts},
    uebergabe::{
        Answer as UebergabeAnswer, List as UebergabeList, Offer as UebergabeOffer, Uebergabe,
    },
    version::{Version, VersionDiff, VersionList, VersionResolve, VersionShow},
    writing::Writing,
};

/// Werkzeug für das Register des Verbunds: lesen, veröffentlichen, mitverfolgen, nachprüfen
#[derive(Debug, Parser)]
#[command(name = "registry", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Verbindung und Ausgabe")]
pub(crate) struct Global {
    /// Knoten, https://HOST:PORT (Umgebung: REGISTRY_ENDPOINT)
    #[arg(long, value_name = "URL", env = "REGISTRY_ENDPOINT", hide_env = true, global = true)]
    pub(crate) endpoint: Option<String>,
    /// PEM-Datei mit den CA-Zertifikaten der Knoten (Umgebung: REGISTRY_CA)
    #[arg(long, value_name = "DATEI", env = "REGISTRY_CA", hide_env = true, global = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) ca: Option<PathBuf>,
    /// PEM-Datei mit dem eigenen Zertifikat (Umgebung: REGISTRY_CERT)
    #[arg(long, value_name = "DATEI", env = "REGISTRY_CERT", hide_env = true, global = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,
    /// PEM-Datei mit dem eigenen Schlüssel (Umgebung: REGISTRY_KEY)
    #[arg(long, value_name = "DATEI", env = "REGISTRY_KEY", hide_env = true, global = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// Ausgabe als table, json oder yaml (csv: nur nachnutzung matrix)
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value = "table", global = true)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    pub(crate) output: Format,
    /// Wartezeit auf eine Antwort, z. B. 500ms, 30s, 2m (ohne Angabe 30s, mit --ack-peers 60s)
    #[arg(long, value_name = "DAUER", value_parser = duration, global = true)]
    pub(crate) timeout: Option<Wait>,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
    Csv,
}

/// A span of time as the command line writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Duration);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Dienste auflisten und anzeigen
    #[command(subcommand)]
    Service(Service),
    /// Versionen eines Dienstes auflisten, anzeigen, auswählen
    #[command(subcommand)]
    Version(Version),
    /// Wer bietet eine Leistung in einem Gebiet an einem Tag an?
    #[command(after_help = OFFER_EXAMPLES)]
    Resolve(Resolve),
    /// Nachnutzung: wer welchen Dienst eines anderen Landes verwendet
    #[command(subcommand)]
    Nachnutzung(Nachnutzung),
    /// Übergabe: ein Dienst geht mit Versionen und Nachnutzungen an ein anderes Land
    #[command(subcommand)]
    Uebergabe(Uebergabe),
    /// Kontakte von Diensten: der einzige Ort für Angaben zu Personen
    #[command(subcommand)]
    Kontakt(Kontakt),
    /// Einen Eintrag eines gemeinsamen Dienstes mitzeichnen
    #[command(after_help = moves::COUNTERSIGN_EXAMPLES)]
    Mitzeichnen(Countersign),
    /// Was bei einem Land ansteht, das Dringendste zuerst
    #[command(after_help = moves::INBOX_EXAMPLES)]
    Inbox(Inbox),
    /// Dienste suchen: nach Wörtern in jeder Form und Schreibweise, nach Schlüsseln, nach Merkmalen
    #[command(after_help = SEARCH_EXAMPLES)]
    Search(Search),
    /// Datensätze aus YAML- oder JSON-Dateien als einen Stapel veröffentlichen: alle oder keinen
    #[command(after_help = PUBLISH_EXAMPLES)]
    Publish(Publish),
    /// Ein Verzeichnis mit Manifesten veröffentlichen: was fehlt oder anders ist, sonst nichts
    #[command(after_help = manifest::APPLY_EXAMPLES)]
    Apply(Apply),
    /// Anzeigen, worin sich Manifeste und Katalog unterscheiden, Feld für Feld
    #[command(after_help = manifest::DIFF_EXAMPLES)]
    Diff(Diff),
    /// Den Katalog eines Landes als Manifeste in ein Verzeichnis schreiben
    #[command(after_help = manifest::EXPORT_EXAMPLES)]
    Export(Export),
    /// JSON Schema der Manifeste ausgeben, für Editoren
    #[command(after_help = manifest::SCHEMA_EXAMPLES)]
    Schema(Schema),
    /// Entwürfe: speichern, prüfen, veröffentlichen; nur am Knoten des eigenen Landes
    #[command(subcommand)]
    Draft(Draft),
    /// Einreichungen, die auf eine zweite Person warten: ansehen, freigeben, ablehnen
    #[command(subcommand)]
    Freigabe(Freigabe),
    /// Dateien von Versionen senden, holen, auflisten
    #[command(subcommand)]
    Artefact(Artefact),
    /// Änderungen am Katalog mitverfolgen; verbindet sich nach einer Störung selbst neu
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(Watch),
    /// Massenhafte Abschaltungen, die ein Knoten angehalten hat (Rolle operator)
    #[command(subcommand)]
    Held(Held),
    /// Wer Mitglied ist, und Abstimmungen über die nächste Charta
    #[command(subcommand)]
    Charter(Charter),
    /// Protokolle, die in einer neuen Epoche neu beginnen, und Zustimmungen dazu
    #[command(subcommand)]
    Epoch(Epoch),
    /// Einträge des eigenen Landes löschen, überall und endgültig (Art. 17 DSGVO)
    #[command(subcommand)]
    Erase(Erase),
    /// Zustand des Knotens und der Protokolle aller Länder anzeigen
    #[command(after_help = "Beispiel:\n  registry status -o json")]
    Status,
    /// Einen Eintrag samt Beweis abrufen und gegen die Urkunde nachprüfen
    #[command(after_help = PROOF_EXAMPLES)]
    Proof(Proof),
    /// Welches Land eine Version seit wann dauerhaft hält, von ihm selbst bestätigt
    #[command(after_help = receipts::EXAMPLES)]
    Receipts(Receipts),
    /// Kommentierte YAML-Vorlage ausgeben
    #[command(after_help = "Beispiel:\n  registry example service > dienst.yaml")]
    Example(Example),
    /// Vervollständigung für eine Shell ausgeben
    #[command(
        after_help = "Beispiel:\n  registry completion bash > /etc/bash_completion.d/registry"
    )]
    Completion(Completion),
}

/// Which state of the catalogue to show.
#[derive(Args, Debug)]
#[command(next_help_heading = "Stand des Katalogs")]
pub(crate) struct Past {
    /// Was die Länder bis dahin eingetragen hatten, z. B. 2026-03-01 oder 2026-03-01T12:00:00Z
    #[arg(long, value_name = "ZEIT", value_parser = instant)]
    pub(crate) recorded_at: Option<Timestamp>,
    /// Was dieser Knoten bis dahin gesehen hatte
    #[arg(long, value_name = "ZEIT", value_parser = instant)]
    pub(crate) seen_at: Option<Timestamp>,
}

#[derive(Args, Debug)]
pub(crate) struct Resolve {
    /// Leistungsschlüssel (14 Ziffern)
    #[arg(value_name = "SCHLÜSSEL")]
    pub(crate) leistungsschluessel: String,
    /// Regionalschlüssel mit 2, 3, 5, 9 oder 12 Ziffern; 00 für den Bund
    #[arg(value_name = "ARS")]
    pub(crate) ars: String,
    /// Tag, an dem das Angebot gelten muss, JJJJ-MM-TT (ohne Angabe heute)
    #[arg(long, value_name = "TAG")]
    pub(crate) am: Option<String>,
    /// Höchstens so viele, 1 bis 100 (ohne Angabe 20)
    #[arg(long, value_name = "ANZAHL", default_value_t = 0, hide_default_value = true)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) proving: Proving,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Dienste auflisten, vollständig, wenn --limit fehlt
    #[command(after_help = SERVICE_LIST_EXAMPLES)]
    List(ServiceList),
    /// Einen Dienst mit seinem neuesten Steckbrief anzeigen
    #[command(after_help = "Beispiel:\n  registry service show UUID -o yaml")]
    Show(Proved<ServiceShow>),
    /// Felder vieler Steckbriefe des eigenen Landes auf einmal ändern
    #[command(after_help = moves::EDIT_EXAMPLES)]
    Edit(ServiceEdit),
}

#[derive(Args, Debug)]
pub(crate) struct ServiceList {
    /// Nur Dienste dieses Landes, z. B. SL
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    /// Nur Dienste mit diesem Leistungsschlüssel (14 Ziffern)
    #[arg(long, alias = "schluessel", value_name = "SCHLÜSSEL")]
    pub(crate) leistungsschluessel: Option<String>,
    /// Nur Dienste dieses Themenfelds, z. B. umwelt
    #[arg(long, value_name = "CODE")]
    pub(crate) themenfeld: Option<String>,
    /// Höchstens so viele
    #[arg(long, value_name = "ANZAHL")]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Args, Debug)]
pub(crate) struct ServiceShow {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Eigentümer, auch ein früherer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Args, Debug)]
pub(crate) struct Search {
    /// Wörter aus Bezeichnung, Schlüssel oder Lage; ohne Wort alle Dienste mit den Merkmalen
    #[arg(value_name = "WORT")]
    #[arg(required_unless_present_any = ["land", "themenfeld", "typisierung", "lage", "status"])]
    pub(crate) words: Vec<String>,
    /// Nur Dienste dieses Landes
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    /// Nur Dienste dieses Themenfelds, z. B. umwelt; mehrfach: eines davon
    #[arg(long, value_name = "CODE")]
    pub(crate) themenfeld: Vec<String>,
    /// Nur Dienste dieser Typisierung, z. B. 2/3; mehrfach: eine davon
    #[arg(long, value_name = "CODE")]
    pub(crate) typisierung: Vec<String>,
    /// Nur Dienste dieser Lage, z. B. "Tierhaltung"; mehrfach: eine davon
    #[arg(long, value_name = "LAGE")]
    pub(crate) lage: Vec<String>,
    /// Nur Dienste, deren höchste Version so steht, z. B. freigegeben; mehrfach: eines davon
    #[arg(long, value_name = "STAND")]
    pub(crate) status: Vec<String>,
    /// So viele Treffer überspringen
    #[arg(long, value_name = "ANZAHL", default_value_t = 0, hide_default_value = true)]
    pub(crate) offset: u32,
    /// Höchstens so viele, 1 bis 500
    #[arg(long, value_name = "ANZAHL")]
    pub(crate) limit: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct Publish {
    /// Datei mit einem oder mehreren Dokumenten; "-" liest von der Standardeingabe
    #[arg(short, long = "file", value_name = "DATEI", required = true, num_args = 1..)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Ohne den heutigen Bestand beginnen, nur mit dem, was noch kommt
    #[arg(long, conflicts_with = "resume")]
    pub(crate) from_now: bool,
    /// Nach diesem Wiederaufnahme-Token fortsetzen
    #[arg(long, value_name = "TOKEN")]
    pub(crate) resume: Option<String>,
    /// Nur diese Länder (mehrfach möglich)
    #[arg(long = "land", value_name = "LAND", value_parser = land)]
    pub(crate) laender: Vec<Land>,
    /// Nur diese Dienste (UUID, mehrfach möglich)
    #[arg(long = "service", value_name = "ID")]
    pub(crate) services: Vec<String>,
    /// Nur Dienste mit einem dieser Leistungsschlüssel (mehrfach möglich)
    #[arg(long, alias = "schluessel", value_name = "SCHLÜSSEL")]
    pub(crate) leistungsschluessel: Vec<String>,
    /// Nach so vielen Ereignissen enden; ein Stapel wird nicht zerteilt
    #[arg(long, value_name = "ANZAHL")]
    pub(crate) count: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Example {
    /// service (Steckbrief), version oder manifest (beides, mit neuer UUID)
    #[arg(value_name = "ART", value_enum, hide_possible_values = true)]
    pub(crate) kind: ExampleKind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ExampleKind {
    Service,
    Version,
    Manifest,
}

#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// bash, zsh, fish, elvish oder powershell
    #[arg(value_name = "SHELL", value_enum, hide_possible_values = true)]
    pub(crate) shell: clap_complete::Shell,
}

// === impl Wait ===

impl std::fmt::Display for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

// === impl Past ===

impl Past {
    /// As requests name it.
    pub(crate) fn zeitpunkt(&self) -> Option<Zeitpunkt> {
        let newest = self.recorded_at.is_none() && self.seen_at.is_none();
        let Self { recorded_at, seen_at } = self;
        (!newest).then_some(Zeitpunkt { recorded_at: *recorded_at, seen_at: *seen_at })
    }
}

// === values ===

/// A moment, or the last one of a day (UTC).
fn instant(text: &str) -> Result<Timestamp, String> {
    let bad = || "erwartet wird ein Tag wie 2026-03-01 oder 2026-03-01T12:00:00Z".to_owned();
    let moment = match text.parse::<Date>() {
        Ok(day) => day.to_time().with_hms_nano(23, 59, 59, 999_999_999).map(|it| it.assume_utc()),
        Err(_) => {
            return OffsetDateTime::parse(&text.replacen(' ', "T", 1), &Rfc3339)
                .map(timestamp)
                .map_err(|_| bad());
        }
    };
    moment.map(timestamp).map_err(|_| bad())
}

fn timestamp(at: OffsetDateTime) -> Timestamp {
    // below 1,000,000,000
    Timestamp { seconds: at.unix_timestamp(), nanos: at.nanosecond() as i32 }
}

fn duration(text: &str) -> Result<Wait, String> {
    let (digits, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        _ => return Err("erwartet wird eine Dauer wie 500ms, 30s oder 2m".to_owned()),
    };
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)) {
        Some(ms @ 1..=TIMEOUT_MS_MAX) => Ok(Wait(Duration::from_millis(ms))),
        Some(_) | None => Err("erwartet wird eine Dauer von 1ms bis 60m".to_owned()),
    }
}

fn land(text: &str) -> Result<Land, String> {
    text.to_uppercase().parse().map_err(|_| {
        let codes = Land::ALL.map(Land::code).join(" ");
        format!("kein Land; erwartet wird eines von {codes}")
    })
}

fn position(text: &str) -> Result<LogPosition, String> {
    let bad = || "erwartet wird LAND/EPOCHE/INDEX, z. B. SL/1/17".to_owned();
    let mut parts = text.split('/');
    let (Some(owner), Some(epoch), Some(index), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let epoch = epoch.parse().ok().filter(|epoch| *epoch > 0).ok_or_else(bad)?;
    let index = index.parse().map_err(|_| bad())?;
    Ok(LogPosition { land: land(owner)?.to_string(), epoch, index })
}

/// Longest time for an answer, milliseconds.
const TIMEOUT_MS_MAX: u64 = 3_600_000;

const EXAMPLES: &str = "\
Erste Schritte:
  export REGISTRY_ENDPOINT=https://localhost:7443
  export REGISTRY_CA=demo-data/pki/ca.pem
  export REGISTRY_CERT=demo-data/pki/reader.pem REGISTRY_KEY=demo-data/pki/reader.key
  registry status
  registry service list --land SL
  registry search gewerbe karte

Veröffentlichen (mit einem Zertifikat der Rolle publisher):
  registry example service > dienst.yaml
  registry publish -f dienst.yaml --dry-run
  registry publish -f dienst.yaml

Katalog als Dateien (zum Beispiel in git):
  registry export katalog/
  registry diff -f katalog/
  registry apply -f katalog/

Nachnutzen:
  registry nachnutzung interesse DIENST --land SL --version '^1' --gebiet 16
  registry inbox

Ende-Codes:
  0 erledigt   1 anderer Fehler   2 falscher Aufruf oder falsche Datei
  3 abgelehnt  4 nicht gefunden   5 nicht erreichbar, später erneut
  registry diff: 1 Unterschiede, 6 anderer Fehler
  130 mit Strg-C beendet";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit_and_a_limit() {
        assert_eq!(duration("30").map(|w| w.0), Ok(Duration::from_secs(30)));
        assert_eq!(duration("500ms").map(|w| w.0), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m").map(|w| w.0), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "0", "1h", "-1s", "99999999999999999999", "61m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_the_end_of_a_day() {
        let check = |text: &str, expect: &str| {
            let found = match instant(text) {
                Ok(at) => format!("{} {}", at.seconds, at.nanos),
                Err(_) => "nothing".to_owned(),
            };
            assert_eq!(found, expect, "{text}");
        };
        check("1970-01-01", "86399 999999999");
        check("1970-01-02T00:00:00Z", "86400 0");
        check("1970-01-02T01:00:00.5+01:00", "86400 500000000");
        check("1970-01-02 00:00:01Z", "86401 0");
        for bad in ["", "heute", "1970-01-32", "1970-01-02T00:00:00", "12:00"] {
            check(bad, "nothing");
        }
    }

    #[test]
    fn positions_name_land_epoch_and_index() {
        let position = position("sl/1/17").expect("position");
        assert_eq!((position.land.as_str(), position.epoch, position.index), ("SL", 1, 17));
        for bad in ["SL/0/1", "SL/1", "XX/1/1", "SL/1/1/1", "SL/1/-1", ""] {
            assert!(super::position(bad).is_err(), "{bad}");
        }
    }
}
