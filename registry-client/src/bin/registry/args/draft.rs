//! Commands about drafts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Subcommand)]
#[command(after_help = DRAFT_EXAMPLES)]
pub(crate) enum Draft {
    /// Entwurf aus YAML- oder JSON-Dateien speichern, neu oder als neuen Stand
    #[command(after_help = SAVE_EXAMPLES)]
    Save(DraftSave),
    /// Entwürfe auflisten, den zuletzt geänderten zuerst
    #[command(after_help = "Beispiel:\n  registry draft list")]
    List,
    /// Einen Entwurf anzeigen
    #[command(after_help = SHOW_EXAMPLES)]
    Show(DraftShow),
    /// Prüfen, was eine Veröffentlichung jetzt ergäbe; geschrieben wird nichts
    #[command(after_help = "Beispiel:\n  registry draft check ENTWURF\n\nEndet mit 3, solange \
                            Befunde die Veröffentlichung verhindern.")]
    Check(DraftCheck),
    /// Einen Entwurf als einen Stapel veröffentlichen und danach löschen
    #[command(after_help = "Beispiel:\n  registry draft publish ENTWURF --ack-peers 1\n\nBricht \
                            die Verbindung ab, hilft derselbe Aufruf: was schon im Protokoll \
                            steht, wird nicht noch einmal geschrieben.")]
    Publish(DraftPublish),
    /// Einen Entwurf löschen, auch einen beschädigten
    #[command(after_help = "Beispiel:\n  registry draft delete ENTWURF")]
    Delete(DraftDelete),
}

#[derive(Args, Debug)]
pub(crate) struct DraftSave {
    /// Datei mit Steckbriefen und Versionen; "-" liest von der Standardeingabe
    #[arg(short, long = "file", value_name = "DATEI", required = true, num_args = 1..)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Entwurf, der diesen Stand bekommt (ohne Angabe ein neuer)
    #[arg(long, value_name = "ENTWURF")]
    pub(crate) id: Option<String>,
    /// Nur, wenn der Entwurf noch diese Revision hat
    #[arg(long, value_name = "NUMMER", requires = "id")]
    pub(crate) expected_revision: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct DraftShow {
    /// Kennung des Entwurfs
    #[arg(value_name = "ENTWURF")]
    pub(crate) id: String,
    /// Nur die Datensätze, als YAML zum Bearbeiten und Speichern
    #[arg(long)]
    pub(crate) records: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DraftCheck {
    /// Kennung des Entwurfs
    #[arg(value_name = "ENTWURF")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct DraftPublish {
    /// Kennung des Entwurfs
    #[arg(value_name = "ENTWURF")]
    pub(crate) id: String,
    /// Nur, wenn der Entwurf noch diese Revision hat
    #[arg(long, value_name = "NUMMER")]
    pub(crate) expected_revision: Option<u64>,
    /// Erst antworten, wenn so viele andere Länder es dauerhaft haben (0 bis 16)
    #[arg(long, value_name = "ANZAHL", default_value_t = 0, hide_default_value = true)]
    pub(crate) ack_peers: u32,
}

#[derive(Args, Debug)]
pub(crate) struct DraftDelete {
    /// Kennung des Entwurfs
    #[arg(value_name = "ENTWURF")]
    pub(crate) id: String,
    /// Nur, wenn der Entwurf noch diese Revision hat
    #[arg(long, value_name = "NUMMER")]
    pub(crate) expected_revision: Option<u64>,
}

const DRAFT_EXAMPLES: &str = "\
Ein Entwurf liegt nur am Knoten des eigenen Landes, sichtbar für dessen Veröffentlichende: er steht
in keinem Protokoll und kommt zu keinem Partner. Er darf unvollständig sein.

Beispiel:
  registry example service > dienst.yaml
  registry draft save -f dienst.yaml
  registry draft check ENTWURF
  registry draft publish ENTWURF";

const SAVE_EXAMPLES: &str = "\
Beispiele:
  registry draft save -f dienst.yaml version.yaml
  registry draft show ENTWURF --records > entwurf.yaml
  registry draft save -f entwurf.yaml --id ENTWURF --expected-revision 2

Ein neuer Dienst bekommt seine UUID beim Speichern; Versionen ohne service_id gehören zum einzigen
Steckbrief des Entwurfs. Höchstens 100 Datensätze und 1 MiB je Entwurf, 1000 Entwürfe je Knoten.";

const SHOW_EXAMPLES: &str = "\
Beispiele:
  registry draft show ENTWURF
  registry draft show ENTWURF --records > entwurf.yaml";
