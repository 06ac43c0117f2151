//! `registry apply`, `diff`, `export`, `schema`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use registry_proto::terms::Land;

use super::{Past, Writing, land};

/// Which manifests are meant.
#[derive(Args, Debug)]
pub(crate) struct Manifests {
    /// Verzeichnis mit Manifesten, oder ein einzelnes Manifest (mehrfach möglich)
    #[arg(short, long = "file", value_name = "PFAD", required = true, num_args = 1..)]
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) manifests: Manifests,
    /// Nur prüfen, nichts schreiben; von den Dateien wird nur gesendet, was der Knoten vergleicht
    ///
    /// Neue Schnittstellenbeschreibungen (OpenAPI, JSON Schema, XDatenfelder) braucht der Knoten, um
    /// zu sagen, was bricht. Er vergisst sie nach einem Tag, wenn keine Version sie nennt.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Alle Dienste als einen Stapel: alles oder nichts
    #[arg(long)]
    pub(crate) atomic: bool,
    /// Erst weitergehen, wenn so viele andere Länder es dauerhaft haben (0 bis 16)
    #[arg(long, value_name = "ANZAHL", default_value_t = 0, hide_default_value = true)]
    pub(crate) ack_peers: u32,
}

#[derive(Args, Debug)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) manifests: Manifests,
    /// Nicht berichten, was nur im Protokoll steht
    #[arg(long)]
    pub(crate) ignore_missing: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Verzeichnis; wird angelegt, wenn es fehlt
    #[arg(value_name = "VERZEICHNIS", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Dienste dieses Landes (ohne Angabe: des Landes, zu dem der Knoten gehört)
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    /// Nur diese Dienste (UUID, mehrfach möglich)
    #[arg(long = "service", value_name = "ID")]
    pub(crate) services: Vec<String>,
    /// Die Dateien der Versionen nicht holen; die Manifeste nennen dann ihre Prüfsummen
    #[arg(long)]
    pub(crate) without_artefacts: bool,
    /// Auch Dateien ersetzen, die etwas anderes sagen als der Katalog
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Args, Debug)]
pub(crate) struct Schema {
    /// manifest
    #[arg(value_name = "ART", value_enum, hide_possible_values = true)]
    pub(crate) kind: SchemaKind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemaKind {
    Manifest,
}

// === impl Apply ===

impl Apply {
    /// As other commands write.
    pub(crate) fn writing(&self) -> Writing {
        Writing { dry_run: self.dry_run, ack_peers: self.ack_peers, ..Writing::default() }
    }
}

pub(super) const APPLY_EXAMPLES: &str = "\
Ein Manifest ist eine YAML-Datei mit Steckbrief und Versionen eines Dienstes, jedes ein Dokument:
  service_definition: {service_id: ..., ...}
  ---
  service_version: {version: ..., ...}
service_id ist Pflicht: nur so ist ein zweiter Aufruf derselbe Dienst. Eine Version ohne service_id
gehört zum Steckbrief vor ihr. Dateien einer Version nennt artefakte mit datei: PFAD, vom Manifest
aus gesehen und innerhalb des Verzeichnisses; Name, Typ und Medientyp folgen sonst aus der Endung.
Gelesen werden alle .yaml und .yml, auch in Unterverzeichnissen, außer verborgenen und solchen, die
selbst Datei einer Version sind.

Jeder Dienst ist ein Stapel; ein abgelehnter hält die anderen nicht auf. Was im Katalog steht und
im Verzeichnis fehlt, bleibt: gelöscht wird nie, abgekündigt mit registry version deprecate.

Beispiele:
  registry example manifest > katalog/dienst.yaml   Vorlage mit neuer UUID, dann ausfüllen
  registry diff -f katalog/
  registry apply -f katalog/ --dry-run
  registry apply -f katalog/

Ende-Codes: 0 alles steht so im Protokoll, 3 mindestens ein Dienst abgelehnt, sonst wie überall.";

pub(super) const DIFF_EXAMPLES: &str = "\
Beispiele:
  registry diff -f katalog/
  registry diff -f katalog/gewerbe.yaml
  registry diff -f katalog/ -o json

Ende-Codes: 0 kein Unterschied, 1 Unterschiede, 6 anderer Fehler (sonst überall 1), alle übrigen
wie überall. Ist PFAD ein Verzeichnis, zählt auch als Unterschied, was nur im Protokoll steht;
--ignore-missing lässt es weg.";

pub(super) const EXPORT_EXAMPLES: &str = "\
Für jeden Dienst entsteht UUID.yaml, die Dateien der Versionen liegen in UUID/VERSION/. Gleicher
Katalog, gleiche Bytes. Liegt ein Dienst schon in einem Manifest des Verzeichnisses, gilt dessen
Name weiter; sagt es dasselbe wie der Katalog, bleibt es, wie es ist, samt Kommentaren. Ohne
--force wird nichts ersetzt, was dabei verloren ginge; gelöscht wird nie etwas.

Beispiele:
  registry export katalog/
  registry export --service UUID --without-artefacts katalog/
  registry export --land RP --recorded-at 2026-03-01 stand-maerz/";

pub(super) const SCHEMA_EXAMPLES: &str = "\
Beispiel:
  registry schema manifest > manifest.schema.json

Editoren mit YAML-Unterstützung prüfen und ergänzen damit, zum Beispiel mit dieser Zeile am Anfang
eines Manifests:
  # yaml-language-server: $schema=manifest.schema.json";
