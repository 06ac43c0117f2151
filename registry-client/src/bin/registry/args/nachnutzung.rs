//! `registry nachnutzung …` as types.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use registry_proto::{
    terms::Land,
    wire::registry::{AnschlussStatus, Auftraggeber, Lifecycle, SubscriptionState},
};

use super::{land, writing::Writing};

#[derive(Debug, Subcommand)]
pub(crate) enum Nachnutzung {
    /// Nachnutzungen auflisten, vollständig, wenn --limit fehlt
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
    /// Eine Nachnutzung zeigen: Vereinbarung, Schritte, Kommunen, wer am Zug ist
    #[command(after_help = "Beispiel:\n  registry nachnutzung show NACHNUTZUNG -o yaml")]
    Show(Show),
    /// Wer was nachnutzt: Dienste gegen Länder
    #[command(after_help = MATRIX_EXAMPLES)]
    Matrix(Matrix),
    /// Interesse an einem Dienst eines anderen Landes bekunden
    #[command(after_help = INTERESSE_EXAMPLES)]
    Interesse(Interesse),
    /// Als Anbieter in die Abstimmung eintreten
    #[command(after_help = WAY)]
    Abstimmung(Step),
    /// Als Anbieter zusagen
    #[command(after_help = "Beispiel:\n  registry nachnutzung zusagen NACHNUTZUNG \
                            --modell fit_store --kosten-text '1.200 Euro im Jahr'")]
    Zusagen(Step),
    /// Als Anbieter ablehnen; endgültig
    #[command(after_help = "Beispiel:\n  registry nachnutzung ablehnen NACHNUTZUNG --grund '…'")]
    Ablehnen(End),
    /// Als Nachnutzer den Vertrag festhalten
    #[command(after_help = "Beispiel:\n  registry nachnutzung vertrag NACHNUTZUNG \
                            --vertrag-id FIT-2026-17")]
    Vertrag(Vertrag),
    /// Als Nachnutzer in den Betrieb gehen
    #[command(after_help = WAY)]
    Produktiv(Step),
    /// Die Vereinbarung ändern, ohne den Zustand zu ändern (ab Vertrag)
    #[command(after_help = AENDERN_EXAMPLES)]
    Aendern(Aendern),
    /// Beenden; beide Seiten können das, endgültig
    #[command(after_help = "Beispiel:\n  registry nachnutzung beenden NACHNUTZUNG --grund '…'")]
    Beenden(End),
    /// Den Stand von Kommunen festhalten (ab Vertrag)
    #[command(after_help = ANSCHLUSS_EXAMPLES)]
    Anschluss(Connect),
    /// Eine brechende, abgekündigte oder abgeschaltete Version zur Kenntnis nehmen
    #[command(after_help = BESTAETIGEN_EXAMPLES)]
    Bestaetigen(Acknowledge),
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Nur von diesem Dienst (UUID)
    #[arg(long, value_name = "DIENST")]
    pub(crate) leistung: Option<String>,
    /// Nur Dienste dieses Landes (Anbieter)
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) umsetzend: Option<Land>,
    /// Nur Nachnutzungen dieses Landes
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) anschliessend: Option<Land>,
    /// Nur in diesem Zustand (mehrfach möglich)
    #[arg(long = "zustand", value_name = "ZUSTAND", value_enum, hide_possible_values = true)]
    pub(crate) zustaende: Vec<Zustand>,
    /// Höchstens so viele
    #[arg(long, value_name = "ANZAHL")]
    pub(crate) limit: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// UUID der Nachnutzung
    #[arg(value_name = "NACHNUTZUNG")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct Matrix {
    /// Nur Dienste dieses Landes
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) umsetzend: Option<Land>,
    /// Auch, was beendet oder abgelehnt ist
    #[arg(long)]
    pub(crate) alle: bool,
}

/// What both sides may say of the terms.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Terms {
    /// verwaltungsabkommen, fit_store, efa_marktplatz oder kommunalvertreter
    #[arg(long, value_name = "MODELL")]
    pub(crate) modell: Option<String>,
    /// Kosten in Worten
    #[arg(long, value_name = "TEXT")]
    pub(crate) kosten_text: Option<String>,
    /// Funktionspostfach, keine Person
    #[arg(long, value_name = "ADRESSE")]
    pub(crate) kontakt: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Interesse {
    /// UUID des Dienstes
    #[arg(value_name = "DIENST")]
    pub(crate) service: String,
    /// Land, dem der Dienst gehört
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Land,
    /// "1.4.2" (genau), "^1" (verträglich) oder "*" (alle)
    #[arg(long, value_name = "ANFORDERUNG")]
    pub(crate) version: String,
    /// Gebiete im eigenen Land als ARS
    #[arg(long = "gebiet", value_name = "ARS", required = true, num_args = 1..)]
    pub(crate) gebiete: Vec<String>,
    /// Für wen, NAME=ARS,ARS (mehrfach möglich)
    #[arg(long = "auftraggeber", value_name = "NAME=ARS", value_parser = auftraggeber)]
    pub(crate) auftraggeber: Vec<Auftraggeber>,
    #[command(flatten)]
    pub(crate) terms: Terms,
    /// Eigene UUID der Nachnutzung (ohne Angabe vergibt sie der Knoten)
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Step {
    /// UUID der Nachnutzung
    #[arg(value_name = "NACHNUTZUNG")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) terms: Terms,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct End {
    /// UUID der Nachnutzung
    #[arg(value_name = "NACHNUTZUNG")]
    pub(crate) id: String,
    /// Warum
    #[arg(long, value_name = "TEXT")]
    pub(crate) grund: String,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Vertrag {
    /// UUID der Nachnutzung
    #[arg(value_name = "NACHNUTZUNG")]
    pub(crate) id: String,
    /// Kennung des Vertrags
    #[arg(long, value_name = "KENNUNG")]
    pub(crate) vertrag_id: String,
    /// https-Adresse des Vertrags
    #[arg(long, value_name = "URL")]
    pub(crate) vertrag_url: Option<String>,
    #[command(flatten)]
    pub(crate) terms: Terms,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Aendern {
    /// UUID der Nachnutzung
    #[arg(value_name = "NACHNUTZUNG")]
    pub(crate) id: String,
    /// "1.4.2" (genau), "^1" (verträglich) oder "*" (alle)
    #[arg(long, value_name = "ANFORDERUNG")]
    pub(crate) version: Option<String>,
    /// Gebiete als ARS; ersetzen die bisherigen
    #[arg(long = "gebiet", value_name = "ARS", num_args = 1..)]
    pub(crate) gebiete: Vec<String>,
    /// Für wen, NAME=ARS,ARS (mehrfach möglich); ersetzen die bisherigen
    #[arg(long = "auftraggeber", value_name = "NAME=ARS", value_parser = auftraggeber)]
    pub(crate) auftraggeber: Vec<Auftraggeber>,
    /// Kennung des Vertrags
    #[arg(long, value_name = "KENNUNG")]
    pub(crate) vertrag_id: Option<String>,
    /// https-Adresse des Vertrags
    #[arg(long, value_name = "URL")]
    pub(crate) vertrag_url: Option<String>,
    #[command(flatten)]
    pub(crate) terms: Terms,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Connect {
    /// UUID der Nachnutzung
    #[arg(value_name = "NACHNUTZUNG")]
    pub(crate) id: String,
    /// Kommunen als ARS (5, 9 oder 12 Ziffern)
    #[arg(long, value_name = "ARS", num_args = 1.., required_unless_present = "datei")]
    pub(crate) ars: Vec<String>,
    /// geplant, in_test, angeschlossen oder getrennt
    #[arg(long, value_name = "STAND", value_enum, hide_possible_values = true)]
    #[arg(required_unless_present = "datei")]
    pub(crate) status: Option<Stand>,
    /// Seit diesem Tag, JJJJ-MM-TT (ohne Angabe heute)
    #[arg(long, value_name = "TAG")]
    pub(crate) seit: Option<String>,
    /// Version, die die Kommune verwendet
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// In Worten
    #[arg(long, value_name = "TEXT")]
    pub(crate) hinweis: Option<String>,
    /// CSV mit der Kopfzeile ars;status;seit;version;hinweis statt --ars
    #[arg(long, value_name = "DATEI", conflicts_with_all = ["ars", "hinweis"])]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) datei: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Acknowledge {
    /// UUID der Nachnutzung
    #[arg(value_name = "NACHNUTZUNG")]
    pub(crate) id: String,
    /// Version, um die es geht
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: String,
    /// freigegeben (bricht), abgekuendigt, abgeschaltet oder zurueckgezogen
    #[arg(long, value_name = "ANLASS", value_enum, hide_possible_values = true)]
    pub(crate) anlass: Anlass,
    /// In Worten
    #[arg(long, value_name = "TEXT")]
    pub(crate) hinweis: Option<String>,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

/// A state of a Nachnutzung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Zustand {
    Interesse,
    Abstimmung,
    Zugesagt,
    Abgelehnt,
    Vertrag,
    Produktiv,
    Beendet,
}

/// A state of a Kommune.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stand {
    Geplant,
    #[value(name = "in_test")]
    InTest,
    Angeschlossen,
    Getrennt,
}

/// What is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Anlass {
    Freigegeben,
    Abgekuendigt,
    Abgeschaltet,
    Zurueckgezogen,
}

impl From<Zustand> for SubscriptionState {
    fn from(it: Zustand) -> Self {
        match it {
            Zustand::Interesse => Self::Interesse,
            Zustand::Abstimmung => Self::Abstimmung,
            Zustand::Zugesagt => Self::Zugesagt,
            Zustand::Abgelehnt => Self::Abgelehnt,
            Zustand::Vertrag => Self::Vertrag,
            Zustand::Produktiv => Self::Produktiv,
            Zustand::Beendet => Self::Beendet,
        }
    }
}

impl From<Stand> for AnschlussStatus {
    fn from(it: Stand) -> Self {
        match it {
            Stand::Geplant => Self::Geplant,
            Stand::InTest => Self::InTest,
            Stand::Angeschlossen => Self::Angeschlossen,
            Stand::Getrennt => Self::Getrennt,
        }
    }
}

impl From<Anlass> for Lifecycle {
    fn from(it: Anlass) -> Self {
        match it {
            Anlass::Freigegeben => Self::Freigegeben,
            Anlass::Abgekuendigt => Self::Abgekuendigt,
            Anlass::Abgeschaltet => Self::Abgeschaltet,
            Anlass::Zurueckgezogen => Self::Zurueckgezogen,
        }
    }
}

fn auftraggeber(text: &str) -> Result<Auftraggeber, String> {
    let found = text.split_once('=').map(|(name, areas)| (name.trim(), areas));
    let Some((name, areas)) = found.filter(|(name, areas)| !name.is_empty() && !areas.is_empty())
    else {
        return Err("erwartet wird NAME=ARS,ARS, z. B. 'eGo-Saar=10041,10042'".to_owned());
    };
    let gebiete = areas.split(',').map(|it| it.trim().to_owned()).collect();
    Ok(Auftraggeber { name: name.to_owned(), gebiete })
}

const LIST_EXAMPLES: &str = "\
Beispiele:
  registry nachnutzung list --umsetzend SL
  registry nachnutzung list --anschliessend TH --zustand vertrag --zustand produktiv
  registry nachnutzung list --leistung UUID -o json | jq -r '.subscriptions[].subscription_id'

Zustände: interesse abstimmung zugesagt abgelehnt vertrag produktiv beendet";

const MATRIX_EXAMPLES: &str = "\
Beispiele:
  registry nachnutzung matrix
  registry nachnutzung matrix --umsetzend SL -o csv > nachnutzung.csv

csv trennt mit Semikolon. Von mehreren Nachnutzungen eines Landes steht da, welche am weitesten
ist.";

const INTERESSE_EXAMPLES: &str = "\
Beispiele:
  registry nachnutzung interesse DIENST --land SL --version '^1' --gebiet 16051 16053
  registry nachnutzung interesse DIENST --land SL --version '*' --gebiet 10 \\
    --auftraggeber 'eGo-Saar=10041,10042' --modell fit_store --kontakt ozg@example.org

Danach ist das andere Land am Zug; was bei Ihnen ansteht, zeigt registry inbox.";

const WAY: &str = "\
Der Weg einer Nachnutzung und wer ihn geht:
  interesse (Nachnutzer) → abstimmung (Anbieter) → zusagen oder ablehnen (Anbieter)
  → vertrag (Nachnutzer) → produktiv (Nachnutzer) → beenden (beide, jederzeit)";

const AENDERN_EXAMPLES: &str = "\
Beispiele:
  registry nachnutzung aendern NACHNUTZUNG --version '^2'
  registry nachnutzung aendern NACHNUTZUNG --gebiet 16051 16052 16053

Was nicht genannt ist, bleibt, wie es war.";

const ANSCHLUSS_EXAMPLES: &str = "\
Beispiele:
  registry nachnutzung anschluss NACHNUTZUNG --ars 16051 16053 --status angeschlossen
  registry nachnutzung anschluss NACHNUTZUNG --datei kommunen.csv

Die CSV-Datei trennt mit Semikolon oder Komma und beginnt mit einer Kopfzeile; ars ist nötig,
status, seit und version gelten aus --status, --seit und --version, wo sie in der Datei fehlen.
Mehr als 1000 Kommunen gehen in mehreren Stapeln zum Knoten.";

const BESTAETIGEN_EXAMPLES: &str = "\
Beispiel:
  registry nachnutzung bestaetigen NACHNUTZUNG --version 2.0.0 --anlass freigegeben

Was zu bestätigen ist, zeigen registry inbox und registry nachnutzung show.";
