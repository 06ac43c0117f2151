//! `registry kontakt …` as types.

use clap::{Args, Subcommand, ValueEnum};
use registry_proto::terms::Land;

use super::{land, writing::Writing};

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Kontakt {
    /// Einen Kontakt eines eigenen Dienstes setzen; ersetzt den bisherigen derselben Rolle
    #[command(after_help = SET_EXAMPLES)]
    Setzen(KontaktSet),
    /// Die Kontakte eines Dienstes anzeigen
    #[command(after_help = "Beispiel:\n  registry kontakt zeigen DIENST")]
    Zeigen(KontaktShow),
}

/// What a contact is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rolle {
    Fachlich,
    Technisch,
    Nachnutzung,
    Datenschutz,
}

#[derive(Args, Debug)]
pub(crate) struct KontaktSet {
    /// UUID des Dienstes
    #[arg(value_name = "DIENST")]
    pub(crate) service: String,
    /// Wofür: fachlich, technisch, nachnutzung oder datenschutz
    #[arg(long, value_name = "ROLLE", value_enum, hide_possible_values = true)]
    pub(crate) rolle: Rolle,
    /// Dienststelle, z. B. "Referat 12"
    #[arg(long, value_name = "TEXT")]
    pub(crate) stelle: String,
    /// Name einer Person; besser ohne, wenn die Dienststelle genügt
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// E-Mail-Adresse; sie oder ein Telefon ist nötig
    #[arg(long, value_name = "ADRESSE", default_value = "", hide_default_value = true)]
    pub(crate) email: String,
    /// Telefonnummer
    #[arg(long, value_name = "NUMMER", default_value = "", hide_default_value = true)]
    pub(crate) telefon: String,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct KontaktShow {
    /// UUID des Dienstes
    #[arg(value_name = "DIENST")]
    pub(crate) service: String,
    /// Eigentümer; nur nötig, wenn zwei Länder dieselbe UUID verwenden
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
}

// === impl Rolle ===

impl Rolle {
    /// As the record names it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Fachlich => "fachlich",
            Self::Technisch => "technisch",
            Self::Nachnutzung => "nachnutzung",
            Self::Datenschutz => "datenschutz",
        }
    }
}

const EXAMPLES: &str = "\
Angaben zu Personen stehen nur hier, in einem eigenen Eintrag je Rolle: so lassen sie sich
löschen, ohne dass der Dienst geht (registry erase kontakt). Steckbriefe und Versionen haben kein
Feld für Personen.";

const SET_EXAMPLES: &str = "\
Beispiel:
  registry kontakt setzen DIENST --rolle fachlich --stelle \"Referat 12\" --email referat12@amt.example";
