//! Arguments of commands that show what can be verified: `registry proof`, `registry receipts`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use registry_proto::{terms::Land, wire::registry::LogPosition};

use super::{land, position};

#[derive(Args, Debug)]
pub(crate) struct Receipts {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Version, z. B. 1.4.2
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Eigentümer, auch ein früherer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    /// Gegen diese Urkunde nachprüfen, aus eigener Hand: charter.binpb, oder die Kette (registry
    /// charter export), wenn seither Mitglieder oder Schlüssel dazukamen
    #[arg(long, value_name = "DATEI", value_hint = ValueHint::FilePath)]
    pub(crate) charter: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Proof {
    /// Eintrag als LAND/EPOCHE/INDEX, z. B. SL/1/17
    #[arg(value_name = "EINTRAG", value_parser = position)]
    pub(crate) position: LogPosition,
    /// Urkunde des Verbunds, aus eigener Hand: charter.binpb, oder die Kette (registry charter
    /// export, mit anderen Ländern verglichen), wenn seither Mitglieder oder Schlüssel dazukamen
    #[arg(long, value_name = "DATEI", value_hint = ValueHint::FilePath)]
    pub(crate) charter: PathBuf,
}

pub(super) const EXAMPLES: &str = "\
Jedes Land bestätigt mit eigener Unterschrift, welche Einträge eines anderen Landes es dauerhaft
gespeichert hat, höchstens einmal in der Sekunde. Von alten Bestätigungen wird nicht jede
aufbewahrt; die genannte Zeit ist dann später als die wirkliche, nie früher.

Beispiel:
  registry receipts UUID 1.4.2 --charter charter.binpb";
