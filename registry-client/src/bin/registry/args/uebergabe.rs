//! `registry uebergabe …` as types.

use clap::{Args, Subcommand};
use registry_proto::terms::Land;

use super::{land, writing::Writing};

#[derive(Debug, Subcommand)]
pub(crate) enum Uebergabe {
    /// Einen eigenen Dienst einem anderen Land anbieten
    #[command(after_help = OFFER_EXAMPLES)]
    Anbieten(Offer),
    /// Einen Dienst annehmen, den ein anderes Land diesem anbietet
    #[command(after_help = TAKE_EXAMPLES)]
    Annehmen(Answer),
    /// Ein Angebot zurücknehmen, solange es nicht angenommen ist
    #[command(after_help = "Beispiel:\n  registry uebergabe zuruecknehmen DIENST")]
    Zuruecknehmen(Answer),
    /// Angebote und was aus ihnen wurde, die neuesten zuerst
    #[command(alias = "liste", after_help = LIST_EXAMPLES)]
    List(List),
}

#[derive(Args, Debug)]
pub(crate) struct Offer {
    /// UUID des Dienstes
    #[arg(value_name = "DIENST")]
    pub(crate) service: String,
    /// Land, das den Dienst bekommen soll
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) an: Land,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct Answer {
    /// UUID des Dienstes
    #[arg(value_name = "DIENST")]
    pub(crate) service: String,
    #[command(flatten)]
    pub(crate) writing: Writing,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Nur von diesem Dienst (UUID)
    #[arg(long, value_name = "DIENST")]
    pub(crate) leistung: Option<String>,
    /// Nur, was dieses Land anbietet oder angeboten bekommt
    #[arg(long, value_name = "LAND", value_parser = land)]
    pub(crate) land: Option<Land>,
    /// Nur, was noch angenommen werden kann
    #[arg(long)]
    pub(crate) offen: bool,
    /// Höchstens so viele, 1 bis 500
    #[arg(long, value_name = "ANZAHL")]
    pub(crate) limit: Option<u32>,
}

const OFFER_EXAMPLES: &str = "\
Beispiele:
  registry uebergabe anbieten DIENST --an HE --dry-run
  registry uebergabe anbieten DIENST --an HE

--dry-run zeigt, welche Nachnutzungen mitgehen und wer mitzeichnen muss. Solange das Angebot steht,
ändert sich der Dienst nicht: neue Versionen erst nach der Annahme (vom neuen Eigentümer) oder nach
der Rücknahme.";

const TAKE_EXAMPLES: &str = "\
Beispiele:
  registry uebergabe list --land HE --offen
  registry uebergabe annehmen DIENST

Der Dienst behält seine UUID, seine Versionen und seine Nachnutzungen. Von da an schreibt dieses
Land über ihn: Steckbrief, neue Versionen, Abkündigungen, Zusagen.";

const LIST_EXAMPLES: &str = "\
Beispiele:
  registry uebergabe list
  registry uebergabe list --offen --land HE
  registry uebergabe list --leistung DIENST -o json";
