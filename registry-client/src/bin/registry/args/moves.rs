//! Commands about the life of versions, countersignatures, what is to be done, and many services
//! at once.

use clap::{ArgGroup, Args};
use registry_proto::terms::Land;

use super::{land, writing::Writing};

#[derive(Args, Debug)]
pub(crate) struct Deprecate {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Version, z. B. 1.4.2
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Tag der Abschaltung, frühestens drei Monate nach der Abkündigung
    #[arg(long, value_name = "TAG")]
    pub(crate) abschaltung_am: String,
    /// Tag der Abkündigung (ohne Angabe heute)
    #[arg(long, value_name = "TAG")]
    pub(crate) abkuendigung_am: Option<String>,
    /// Was an die Stelle tritt: Version desselben Dienstes, oder UUID eines anderen
    #[arg(long, value_name = "VERSION")]
    pub(crate) nachfolger: Option<String>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Retire {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Version, z. B. 1.4.2
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Auch ohne ausstehende Bestätigungen, mit diesem Grund
    #[arg(long, value_name = "GRUND")]
    pub(crate) ohne_bestaetigung: Option<String>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Withdraw {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Version, z. B. 1.4.2
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Warum
    #[arg(long, value_name = "TEXT")]
    pub(crate) grund: String,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("was").required(true).args(["version", "steckbrief", "uebergabe"]))]
pub(crate) struct Countersign {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Diese Version mitzeichnen
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Den neuesten Steckbrief mitzeichnen
    #[arg(long)]
    pub(crate) steckbrief: bool,
    /// Das offene Angebot mitzeichnen, den Dienst zu übergeben
    #[arg(long)]
    pub(crate) uebergabe: bool,
    /// Eigentümer, auch ein früherer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Inbox {
    /// Für dieses Land (ohne Angabe das des Knotens)
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    /// Weiter zeigen, was hinzukommt und was sich erledigt
    #[arg(long, conflicts_with = "limit")]
    pub(crate) watch: bool,
    /// Höchstens so viele, 1 bis 500
    #[arg(long, value_name = "ANZAHL")]
    pub(crate) limit: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct ServiceEdit {
    /// themenfeld=CODE, leistungsschluessel=SCHLÜSSEL, land=LAND oder UUIDs von Diensten
    #[arg(long, value_name = "AUSWAHL", required = true, num_args = 1..)]
    pub(crate) select: Vec<String>,
    /// FELD=WERT mit den Namen der Vorlage (mehrfach möglich); leerer Wert entfernt das Feld
    #[arg(long, value_name = "FELD=WERT", required = true, num_args = 1..)]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

pub(super) const DEPRECATE_EXAMPLES: &str = "\
Beispiele:
  registry version deprecate UUID 1.4.2 --abschaltung-am 2027-05-01 --nachfolger 2.0.0 --dry-run
  registry version deprecate UUID 1.4.2 --abschaltung-am 2027-05-01 --nachfolger 2.0.0

--dry-run zeigt, wen es trifft, und ob der Knoten es annähme. Noch einmal mit einem späteren Tag
verschiebt die Abschaltung.";

pub(super) const RETIRE_EXAMPLES: &str = "\
Beispiele:
  registry version retire UUID 1.4.2 --dry-run
  registry version retire UUID 1.4.2
  registry version retire UUID 1.4.2 --ohne-bestaetigung 'TH stellt am 3.5. um, telefonisch'

Abgeschaltet wird ab dem angekündigten Tag und wenn alle Länder mit Vertrag es bestätigt haben.";

pub(super) const WITHDRAW_EXAMPLES: &str = "\
Beispiel:
  registry version withdraw UUID 1.4.2 --grund 'Sicherheitslücke im Anmeldeformular'

Zurückziehen geht sofort, ohne Frist und ohne Bestätigung, und ist endgültig.";

pub(super) const COUNTERSIGN_EXAMPLES: &str = "\
Beispiele:
  registry mitzeichnen UUID --version 2.0.0
  registry mitzeichnen UUID --steckbrief
  registry mitzeichnen UUID --uebergabe

Mitzeichnen kann, wen der Steckbrief unter mitfederfuehrung nennt.";

pub(super) const INBOX_EXAMPLES: &str = "\
Beispiele:
  registry inbox
  registry inbox --watch
  registry inbox -o json | jq -r '.notices[] | select(.days_left <= 30) | .text'";

pub(super) const EDIT_EXAMPLES: &str = "\
Beispiele:
  registry service edit --select themenfeld=umwelt \\
    --set herausgeber.name='Ministerium für Umwelt' --dry-run
  registry service edit --select UUID UUID --set 'ozg_ids=[\"10294\"]' --set teaser=

Geändert werden die neuesten Steckbriefe des eigenen Landes, alle in einem Stapel. Hat jemand
einen davon inzwischen geändert, wird nichts geschrieben.";
