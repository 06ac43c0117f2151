//! Arguments of `registry epoch`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Subcommand)]
#[command(after_help = EPOCH_EXAMPLES)]
pub(crate) enum Epoch {
    /// Welche Protokolle neu begonnen haben, warum, und wer zugestimmt hat
    List,
    /// Der Zurücksetzung eines anderen Landes zustimmen; schreibt die Zustimmung in die Datei (Rolle
    /// operator)
    #[command(after_help = COUNTERSIGN_EXAMPLES)]
    Countersign(EpochCountersign),
    /// Eine Zurücksetzung, der genug zugestimmt haben, am Knoten in Kraft setzen (Rolle operator)
    #[command(after_help = APPLY_EXAMPLES)]
    Apply(EpochApply),
}

#[derive(Args, Debug)]
pub(crate) struct EpochCountersign {
    /// Datei der Zurücksetzung (registry-node epoch reset)
    #[arg(value_name = "DATEI", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Nur prüfen und zeigen, was verworfen würde
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EpochApply {
    /// Dateien derselben Zurücksetzung; ihre Zustimmungen zählen zusammen
    #[arg(value_name = "DATEI", value_hint = ValueHint::FilePath, required = true)]
    pub(crate) files: Vec<PathBuf>,
}

const EPOCH_EXAMPLES: &str = "\
Ein Land, dessen Protokoll sich nicht bis zum signierten Stand wiederherstellen lässt, setzt es
mit dem Offline-Schlüssel zurück; mehr als die Hälfte der anderen muss zustimmen. Danach geht es
in der nächsten Epoche weiter. Was dahinter signiert war, bleibt liegen und zählt nicht.

  registry-node epoch reset --stand stand.toml --key offline.key --reason \"…\" --out sl.reset
  registry epoch countersign sl.reset
  registry epoch apply sl.reset";

const COUNTERSIGN_EXAMPLES: &str = "\
Ein Land stimmt für jede Epoche eines Protokolls nur einer Zurücksetzung zu; das lässt sich nicht
zurücknehmen. Liegen hier mehr Einträge, als behalten werden, ist nichts verloren: dann soll das
Land sie zuerst von diesem Knoten zurückholen.

Beispiel:
  registry epoch countersign sl.reset --dry-run";

const APPLY_EXAMPLES: &str = "\
Ein Knoten genügt: er sagt es seinen Partnern. Jeder Knoten prüft alle Zustimmungen selbst und
beginnt dann neu.

Beispiel:
  registry epoch apply sl-von-rp.reset sl-von-he.reset";
