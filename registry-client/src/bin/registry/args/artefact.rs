//! `registry artefact`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use registry_proto::terms::Land;

use super::{VersionShow, land};

#[derive(Debug, Subcommand)]
pub(crate) enum Artefact {
    /// Eine Datei an den Knoten senden; nennt die Beschreibung für die Version
    #[command(after_help = ARTEFACT_PUSH_EXAMPLES)]
    Push(ArtefactPush),
    /// Dateien einer Version holen und prüfen; setzt nach einer Unterbrechung fort
    #[command(after_help = ARTEFACT_PULL_EXAMPLES)]
    Pull(ArtefactPull),
    /// Dateien einer Version auflisten, und was davon beim Knoten liegt
    #[command(after_help = "Beispiel:\n  registry artefact list UUID 1.4.2")]
    List(VersionShow),
    /// Am Knoten löschen, worauf keine Version verweist (Rolle operator, Port der Verwaltung)
    #[command(after_help = "Beispiel:\n  registry artefact collect --dry-run \
                            --endpoint https://localhost:7543")]
    Collect(ArtefactCollect),
}

#[derive(Args, Debug)]
pub(crate) struct ArtefactPush {
    /// Datei, höchstens 2 GiB
    #[arg(value_name = "DATEI", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// awml, xdatenfelder, bpmn, openapi, json_schema, pdf, bild oder andere (ohne Angabe nach der
    /// Endung)
    #[arg(long, value_name = "TYP")]
    pub(crate) typ: Option<String>,
    /// Medientyp, z. B. application/pdf (ohne Angabe nach der Endung)
    #[arg(long, value_name = "MEDIENTYP")]
    pub(crate) medientyp: Option<String>,
    /// Name in der Version (ohne Angabe der Name der Datei)
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("was").required(true).args(["service", "digest"]))]
pub(crate) struct ArtefactPull {
    /// UUID des Dienstes
    #[arg(long, value_name = "ID", requires = "version")]
    pub(crate) service: Option<String>,
    /// Version, z. B. 1.4.2
    #[arg(long, value_name = "VERSION", requires = "service")]
    pub(crate) version: Option<String>,
    /// Nur die Datei dieses Namens
    #[arg(long, value_name = "NAME", requires = "service")]
    pub(crate) name: Option<String>,
    /// Eigentümer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land, requires = "service")]
    pub(crate) land: Option<Land>,
    /// SHA-256 einer Datei, die eine Version nennt (64 Hexadezimalziffern)
    #[arg(long, value_name = "SHA256")]
    pub(crate) digest: Option<String>,
    /// Verzeichnis oder Datei (ohne Angabe das Arbeitsverzeichnis)
    #[arg(long, value_name = "ZIEL", value_hint = ValueHint::AnyPath)]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ArtefactCollect {
    /// Nur zählen, nichts löschen
    #[arg(long)]
    pub(crate) dry_run: bool,
}

const ARTEFACT_PUSH_EXAMPLES: &str = "\
Beispiel:
  registry artefact push antrag.pdf
  registry artefact push ablauf.zip --typ awml --medientyp application/zip

Die Ausgabe gehört in die Version, unter artefakte. Was der Knoten schon hat, wird nicht noch
einmal gesendet: nach einer Unterbrechung einfach wiederholen. Wird die Datei nicht binnen
24 Stunden in einer Version genannt, löscht der Knoten sie.";

const ARTEFACT_PULL_EXAMPLES: &str = "\
Beispiele:
  registry artefact pull --service UUID --version 1.4.2 --to dateien/
  registry artefact pull --service UUID --version 1.4.2 --name antrag.pdf
  registry artefact pull --digest SHA256 --to antrag.pdf

Eine unvollständige Datei trägt die Endung .teil; sie wird geprüft und fortgesetzt.";
