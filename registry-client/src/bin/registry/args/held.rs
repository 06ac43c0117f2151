//! Commands about what a node holds back.

use clap::{Args, Subcommand};
use registry_proto::terms::Land;

use super::land;

#[derive(Debug, Subcommand)]
#[command(after_help = HELD_EXAMPLES)]
pub(crate) enum Held {
    /// Auflisten, was angehalten ist
    #[command(after_help = "Beispiel:\n  registry held list --endpoint https://localhost:7543")]
    List,
    /// Gelten lassen, was von einem Land jetzt angehalten ist
    #[command(
        after_help = "Beispiel:\n  registry held accept SL --endpoint https://localhost:7543"
    )]
    Accept(HeldAccept),
}

#[derive(Args, Debug)]
pub(crate) struct HeldAccept {
    /// Land, dessen Abschaltungen gelten sollen
    #[arg(value_name = "LAND", value_parser = land)]
    pub(crate) land: Land,
}

const HELD_EXAMPLES: &str = "\
Schaltet ein Land an einem Tag mehr als einen Teil seiner Versionen ab
(guard.mass_retirement_percent), hält der Knoten das an: die Versionen bleiben im Katalog, bis der
Betreiber entscheidet. Ein Anruf bei dem Land klärt, ob es so gemeint ist.

Fragt den Admin-Port des Knotens (--endpoint) mit einem Zertifikat der Rolle operator:
  export REGISTRY_ENDPOINT=https://localhost:7543
  registry held list
  registry held accept SL";
