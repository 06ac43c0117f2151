//! Arguments of `registry charter`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use registry_proto::terms::Land;

#[derive(Debug, Subcommand)]
pub(crate) enum Charter {
    /// Die geltende Charta: Mitglieder, Knoten, Schwelle
    Show,
    /// Alle Chartas seit der Gründung, und was jede geändert hat
    History,
    /// Vorschläge für die nächste Charta, Stimmen, und wer noch fehlt
    Status,
    /// Alle Chartas in eine Datei schreiben: für neue Mitglieder, und als Anfang eines Entwurfs
    Export(CharterExport),
    /// Wie weit das Protokoll eines Landes reicht, für einen Entwurf: LAND/EPOCHE/EINTRÄGE/WURZEL
    #[command(after_help = CUT_HELP)]
    Cut(CharterCut),
    /// Einen Entwurf (registry-node charter amend) vorschlagen und für ihn stimmen (Rolle operator)
    #[command(after_help = VOTE_EXAMPLES)]
    Propose(CharterPropose),
    /// Für einen Vorschlag stimmen, oder sich enthalten (Rolle operator)
    #[command(after_help = VOTE_EXAMPLES)]
    Vote(CharterVote),
}

#[derive(Args, Debug)]
pub(crate) struct CharterExport {
    /// Zieldatei
    #[arg(value_name = "DATEI", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct CharterCut {
    /// Land
    #[arg(value_name = "LAND")]
    pub(crate) land: Land,
}

#[derive(Args, Debug)]
pub(crate) struct CharterPropose {
    /// Entwurf der nächsten Charta
    #[arg(value_name = "DATEI", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Nur zeigen, was geschähe
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CharterVote {
    /// Prüfsumme des Vorschlags, oder ihr Anfang (registry charter status)
    #[arg(value_name = "PRÜFSUMME", required_unless_present = "abstain")]
    pub(crate) digest: Option<String>,
    /// Enthalten, damit die Runde voll wird und andere weiterkommen
    #[arg(long, conflicts_with = "digest")]
    pub(crate) abstain: bool,
    /// Nur zeigen, was geschähe
    #[arg(long)]
    pub(crate) dry_run: bool,
}

const CUT_HELP: &str = "\
Bis zu dieser Stelle zählt das Protokoll, wenn die Mitgliedschaft ruht oder endet oder ein Schlüssel
wechselt. Fragen Sie einen Knoten, der das Protokoll ganz hat; wer abstimmt, vergleicht die Stelle mit
dem, was er selbst hält.

Beispiel:
  registry charter cut TH
  registry-node charter amend --from kette.binpb --suspend TH --cut TH/1/105/ab12… --out naechste.binpb";

const VOTE_EXAMPLES: &str = "\
Eine Stimme steht für immer im Protokoll des Landes; in jeder Runde zählt die erste. Ein Vorschlag
gilt, sobald so viele Mitglieder in einer Runde für ihn gestimmt haben, wie die Schwelle sagt.

Beispiel:
  registry charter export kette.binpb
  registry-node charter amend --from kette.binpb --admit by/member.json --out naechste.binpb
  registry charter propose naechste.binpb
  registry charter vote 7a423c15";
