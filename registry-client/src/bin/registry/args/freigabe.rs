//! Commands about submissions that wait for a second person.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Freigabe {
    /// Einreichungen auflisten, die auf eine zweite Person warten, die älteste zuerst
    #[command(after_help = "Beispiel:\n  registry freigabe list")]
    List,
    /// Eine Einreichung mit ihrer Prüfsumme anzeigen
    #[command(after_help = "Beispiele:\n  registry freigabe show KENNUNG\n  \
                            registry freigabe show KENNUNG -o yaml   alle Felder")]
    Show(FreigabeShow),
    /// Eine Einreichung freigeben: erst jetzt wird sie signiert und veröffentlicht
    #[command(after_help = ACCEPT_EXAMPLES)]
    Accept(FreigabeAccept),
    /// Eine Einreichung ablehnen oder die eigene zurückziehen; sie wird gelöscht
    #[command(after_help = "Beispiel:\n  registry freigabe reject KENNUNG")]
    Reject(FreigabeReject),
}

#[derive(Args, Debug)]
pub(crate) struct FreigabeShow {
    /// Kennung der Einreichung
    #[arg(value_name = "KENNUNG")]
    pub(crate) id: String,
}

#[derive(Args, Debug)]
pub(crate) struct FreigabeAccept {
    /// Kennung der Einreichung
    #[arg(value_name = "KENNUNG")]
    pub(crate) id: String,
    /// Prüfsumme dessen, was gesehen wurde: alle 64 Ziffern oder die ersten 16 und mehr
    #[arg(value_name = "PRÜFSUMME")]
    pub(crate) digest: String,
}

#[derive(Args, Debug)]
pub(crate) struct FreigabeReject {
    /// Kennung der Einreichung
    #[arg(value_name = "KENNUNG")]
    pub(crate) id: String,
}

const EXAMPLES: &str = "\
Verlangt ein Knoten vier Augen (vier_augen in seiner Richtlinie), wartet eine Veröffentlichung,
bis eine zweite Person mit der Rolle publisher sie freigibt; nach 14 Tagen verfällt sie. Wer
eingereicht hat, kann nicht freigeben, auch nicht mit einem anderen Zertifikat auf denselben
Namen.

Beispiel:
  registry freigabe list
  registry freigabe show KENNUNG
  registry freigabe accept KENNUNG PRÜFSUMME";

const ACCEPT_EXAMPLES: &str = "\
Beispiel:
  registry freigabe accept 0b5c7a52-… 3f1c9a0b2d4e6f80

Die Prüfsumme zeigt registry freigabe show; sie wird hier über genau die Bytes gerechnet, die
gezeigt werden. Bricht die Verbindung ab, hilft derselbe Aufruf: geschrieben wird einmal.";
