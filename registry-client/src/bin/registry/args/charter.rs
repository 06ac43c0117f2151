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
    /// Alle Chartas in eine Datei schreiben: für neue Mitglieder, und als Anfang eines Entwurfs, mit
    /// den Zurücksetzungen, die der Knoten angenommen hat
    Export(CharterExport),
    /// Wie weit das Protokoll eines Landes reicht, für einen Entwurf: LAND/EPOCHE/EINTRÄGE/WURZEL
    #[command(after_help = CUT_HELP)]
    Cut(CharterCut),
    /// Ein Land einladen: das Einmal-Token, mit dem es beitreten kann (Rolle operator)
    #[command(after_help = INVITE_EXAMPLES)]
    Invite(CharterInvite),
    /// Einladungen dieses Knotens, und wer als Anwärter wartet
    Invitations,
    /// Eine Einladung zurückziehen, und mit ihr den Anwärter (Rolle operator)
    Uninvite(CharterUninvite),
    /// Einen Entwurf (registry-node charter amend) oder einen Anwärter vorschlagen und für ihn
    /// stimmen (Rolle operator)
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
pub(crate) struct CharterInvite {
    /// Kürzel des Landes
    #[arg(long)]
    pub(crate) land: Land,
    /// Wo es den Port für Beitritte dieses Knotens (listen.join) erreicht, `host:port`; mehrfach
    #[arg(long, value_name = "ADRESSE", required = true)]
    pub(crate) address: Vec<String>,
    /// So viele Stunden gilt das Token, höchstens 168
    #[arg(long, value_name = "STUNDEN", default_value_t = 24,
          value_parser = clap::value_parser!(u64).range(1..=168))]
    pub(crate) hours: u64,
}

#[derive(Args, Debug)]
pub(crate) struct CharterUninvite {
    /// Kennung der Einladung (registry charter invitations)
    #[arg(value_name = "KENNUNG")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct CharterPropose {
    /// Entwurf der nächsten Charta
    #[arg(value_name = "DATEI", value_hint = ValueHint::FilePath, required_unless_present = "pending")]
    pub(crate) file: Option<PathBuf>,
    /// Statt eines Entwurfs: den Anwärter dieses Landes aufnehmen
    #[arg(long, value_name = "LAND", conflicts_with = "file")]
    pub(crate) pending: Option<Land>,
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
Bis zu dieser Stelle zählt das Protokoll, wenn die Mitgliedschaft ruht oder endet oder ein
Schlüssel wechselt. Fragen Sie einen Knoten, der das Protokoll ganz hat; wer abstimmt, vergleicht
die Stelle mit dem, was er selbst hält.

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
  registry charter vote 7a423c15
  registry charter propose --pending BY    wer mit einem Token beitritt";

const INVITE_EXAMPLES: &str = "\
Das Token gilt einmal und nur für dieses Land. Es enthält Adresse, Kennung des Verbunds, die Pins,
unter denen dieser Knoten zählt, und ein Geheimnis: auf einem vertraulichen Weg übergeben. Der
Knoten bewahrt davon nur die Prüfsumme auf. Aufgenommen wird ein Land erst durch die Stimmen der
Mitglieder.

Beispiel:
  registry charter invite --land BY --address sl-1.verbund.example:7640 > token.txt
  registry charter status
  registry charter propose --pending BY";
