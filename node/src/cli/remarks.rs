//! What an operator should know about a configuration that keeps every rule.

use registry_core::charter::decision::unproved;

use super::chain::to_compare;
use crate::config::Config;

/// The charters that the configuration rests on: what is to be compared with other Länder.
pub fn charters(config: &Config) -> String {
    to_compare(&config.charters, &unproved(&config.charters, &config.decisions))
}

/// What to write into `node.toml` when it names no partner though there are other members: such a
/// node dials nobody. `None` where it names one.
pub fn partners_missing(config: &Config) -> Option<String> {
    let others = config.charter.voters().filter(|it| it.land != config.land);
    let nodes = others.flat_map(|it| it.nodes.iter().map(|node| (it.land, node.name.as_str())));
    let nodes: Vec<_> = nodes.take(NAMED).collect();
    if !config.peers.is_empty() || nodes.is_empty() {
        return None;
    }
    let entries = nodes.iter().map(|(land, node)| {
        format!("\n[[peers]]\nland = \"{land}\"\nnode = \"{node}\"\naddress = \"{node}:7443\"")
    });
    Some(format!(
        "die Konfiguration nennt keine Partner: dieser Knoten ruft niemanden an und bekommt nur, was \
         Partner ihm bringen, die ihn anrufen. In node.toml eintragen, mit der Adresse, die das \
         andere Land nennt (mindestens zwei Länder):{}",
        entries.collect::<String>()
    ))
}

/// Partners that are named as examples.
const NAMED: usize = 2;
