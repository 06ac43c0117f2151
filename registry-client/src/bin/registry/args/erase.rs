//! Arguments of `registry erase`.

use clap::{Args, Subcommand};
use registry_proto::{terms::Land, wire::registry::LogPosition};

use super::{Rolle, land, position};

#[derive(Debug, Subcommand)]
#[command(after_help = ERASE_EXAMPLES)]
pub(crate) enum Erase {
    /// Einträge des eigenen Protokolls löschen, alle oder keinen (Rolle operator)
    #[command(after_help = ENTRY_EXAMPLES)]
    Entry(EraseEntry),
    /// Eine Version eines eigenen Dienstes samt ihren Dateien löschen (Rolle operator)
    #[command(after_help = VERSION_EXAMPLES)]
    Version(EraseVersion),
    /// Einen Kontakt eines eigenen Dienstes löschen, mit allem, was vorher zu ihm gesagt wurde (Rolle
    /// operator)
    #[command(after_help = KONTAKT_EXAMPLES)]
    Kontakt(EraseKontakt),
    /// Welches Land welche Löschung seit wann ausgeführt hat, von ihm selbst bestätigt
    #[command(after_help = STATUS_EXAMPLES)]
    Status(EraseStatus),
}

/// Why, and whether to do it.
#[derive(Args, Debug)]
pub(crate) struct Why {
    /// Grund ohne Personenbezug, 1 bis 500 Zeichen; er bleibt für immer im Protokoll
    #[arg(long, value_name = "TEXT")]
    pub(crate) grund: String,
    /// Nur prüfen, nichts löschen
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EraseEntry {
    /// Einträge als LAND/EPOCHE/INDEX, z. B. SL/1/17
    #[arg(value_name = "EINTRAG", value_parser = position, required = true)]
    pub(crate) entries: Vec<LogPosition>,
    #[command(flatten)]
    pub(crate) why: Why,
}

#[derive(Args, Debug)]
pub(crate) struct EraseVersion {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Version, z. B. 1.4.2
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Eigentümer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    #[command(flatten)]
    pub(crate) why: Why,
}

#[derive(Args, Debug)]
pub(crate) struct EraseKontakt {
    /// UUID des Dienstes
    #[arg(value_name = "DIENST")]
    pub(crate) service: String,
    /// Nur den Kontakt dieser Rolle (ohne Angabe alle)
    #[arg(long, value_name = "ROLLE", value_enum, hide_possible_values = true)]
    pub(crate) rolle: Option<Rolle>,
    #[command(flatten)]
    pub(crate) why: Why,
}

#[derive(Args, Debug)]
pub(crate) struct EraseStatus {
    /// Gelöschter Eintrag als LAND/EPOCHE/INDEX (ohne Angabe alle)
    #[arg(value_name = "EINTRAG", value_parser = position)]
    pub(crate) entry: Option<LogPosition>,
    /// Höchstens so viele, 1 bis 500
    #[arg(long, value_name = "ANZAHL", default_value_t = 100)]
    pub(crate) limit: u32,
}

const ERASE_EXAMPLES: &str = "\
Löschen heißt: Salz und Inhalt verschwinden bei allen Ländern, aus Protokoll, Katalog, Suche und
Dateien. Kopf, Blatt und Beweise bleiben; der Baum stimmt weiter. Nur das Land, das den Eintrag
schrieb, kann ihn löschen. Es lässt sich nicht zurücknehmen.

  registry erase entry SL/1/17 --grund \"Widerruf der Einwilligung\"
  registry erase status SL/1/17";

const ENTRY_EXAMPLES: &str = "\
Gelöscht werden Steckbriefe, Versionen und Kontakte. Ein geltender Steckbrief wird nicht gelöscht:
zuerst einen ohne die Angaben veröffentlichen. Wo ein Eintrag steht, zeigen registry watch und -o
json.

Beispiel:
  registry erase entry SL/1/17 SL/1/23 --grund \"Widerruf der Einwilligung\" --dry-run";

const VERSION_EXAMPLES: &str = "\
Die Nummer ist danach frei, damit die Version ohne die Angaben noch einmal veröffentlicht werden
kann.

Beispiel:
  registry erase version UUID 1.4.2 --grund \"enthielt den Namen einer Sachbearbeiterin\"";

const KONTAKT_EXAMPLES: &str = "\
Beispiel:
  registry erase kontakt DIENST --rolle fachlich --grund \"Widerruf der Einwilligung\"";

const STATUS_EXAMPLES: &str = "\
Bestätigt ein Land, sind die Inhalte auf seinem Knoten aus allen Dateien entfernt und das ist
gesichert. Ein Knoten, der nicht läuft, holt es nach, sobald er wieder da ist; bis dahin steht er
unter »offen«.

Beispiel:
  registry erase status SL/1/17";
