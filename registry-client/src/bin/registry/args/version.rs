//! `registry version`.

use clap::{Args, Subcommand};
use registry_proto::terms::Land;

use super::{
    Deprecate, Past, Proved, Retire, Withdraw,
    examples::{DIFF_EXAMPLES, RESOLVE_EXAMPLES},
    land, moves,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Version {
    /// Versionen auflisten, neueste zuerst, vollständig, wenn --limit fehlt
    #[command(after_help = "Beispiel:\n  registry version list UUID")]
    List(VersionList),
    /// Eine Version anzeigen
    #[command(after_help = "Beispiel:\n  registry version show UUID 1.4.2 -o yaml")]
    Show(Proved<VersionShow>),
    /// Die höchste Version auswählen, die passt und am Tag gilt
    #[command(after_help = RESOLVE_EXAMPLES)]
    Resolve(Proved<VersionResolve>),
    /// Anzeigen, worin sich zwei Versionen unterscheiden, Feld für Feld
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(VersionDiff),
    /// Eine Version abkündigen, mit dem Tag ihrer Abschaltung
    #[command(after_help = moves::DEPRECATE_EXAMPLES)]
    Deprecate(Deprecate),
    /// Eine abgekündigte Version abschalten
    #[command(after_help = moves::RETIRE_EXAMPLES)]
    Retire(Retire),
    /// Eine Version zurückziehen, sofort und endgültig
    #[command(after_help = moves::WITHDRAW_EXAMPLES)]
    Withdraw(Withdraw),
}

#[derive(Args, Debug)]
pub(crate) struct VersionList {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Eigentümer, auch ein früherer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    /// Höchstens so viele
    #[arg(long, value_name = "ANZAHL")]
    pub(crate) limit: Option<u32>,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Args, Debug)]
pub(crate) struct VersionShow {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Version, z. B. 1.4.2
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,
    /// Eigentümer, auch ein früherer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Args, Debug)]
pub(crate) struct VersionResolve {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// "1.4.2" (genau), "^1" oder "^1.4" (verträglich), "*" (beliebig)
    #[arg(value_name = "ANFORDERUNG")]
    pub(crate) requirement: String,
    /// Tag, an dem die Version gelten muss, JJJJ-MM-TT (ohne Angabe heute)
    #[arg(long, value_name = "TAG")]
    pub(crate) at: Option<String>,
    /// Eigentümer, auch ein früherer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    #[command(flatten)]
    pub(crate) past: Past,
}

#[derive(Args, Debug)]
pub(crate) struct VersionDiff {
    /// UUID des Dienstes
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Die eine Version; mit --against-previous die neuere (ohne Angabe die höchste)
    #[arg(value_name = "VON", required_unless_present = "against_previous")]
    pub(crate) from: Option<String>,
    /// Die andere Version
    #[arg(value_name = "BIS", required_unless_present = "against_previous")]
    #[arg(conflicts_with = "against_previous")]
    pub(crate) to: Option<String>,
    /// Mit der nächstniedrigeren Version vergleichen
    #[arg(long)]
    pub(crate) against_previous: bool,
    /// Eigentümer, auch ein früherer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
}
