//! What an operator should know about a configuration that keeps every rule.

use std::error::Error;

use registry_core::charter::decision::unproved;
use registry_journal::OpenError;
use rustls::pki_types::UnixTime;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{certificates::line, chain::to_compare};
use crate::{
    app::BindError,
    certificates::{Ends, Expiry, Level},
    config::{Config, words},
    lifecycle::chain,
    tls::MaterialError,
};

/// The charters that the configuration rests on: what is to be compared with other Länder.
pub fn charters(config: &Config) -> String {
    to_compare(&config.charters, &unproved(&config.charters, &config.decisions))
}

/// Certificates and revocation lists whose time is over, and certificates of the node whose time has
/// not come, or that are revoked. A node starts with them, so that it can be helped, but partners or
/// clients refuse it, or it them.
pub fn untimely(config: &Config) -> Vec<String> {
    // the files were read a moment ago; one that is gone since is told at the start
    let Ok(material) = config.material() else { return Vec::new() };
    let ends = Ends {
        node: &config.node,
        chain: &material.chain,
        members: &material.members,
        client_anchors: &material.client_anchors,
        crls: &material.crls,
    };
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let all = ends.collected(UnixTime::now()).into_iter();
    let remark = |it: Expiry| match it.level(now) {
        Level::Expired => Some(format!("nicht mehr gültig: {}", line(&it, now))),
        Level::Revoked => Some(format!(
            "gesperrt (auf einer Sperrliste in tls.crls), Partner lehnen es ab: {}",
            line(&it, now)
        )),
        Level::NotYet => {
            let from = OffsetDateTime::from_unix_timestamp(it.not_before).ok();
            let from = from.and_then(|it| it.format(&Rfc3339).ok()).unwrap_or_default();
            Some(format!("noch nicht gültig, erst ab {from}: {}", line(&it, now)))
        }
        _ => None,
    };
    all.filter_map(remark).collect()
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

/// Why a node does not start, with what mends it where an operator can.
pub fn not_started(error: &(dyn Error + 'static)) -> String {
    let mut at = Some(error);
    while let Some(it) = at {
        if let Some(OpenError::Locked { dir }) = it.downcast_ref() {
            return format!(
                "{} wird schon von einem anderen Prozess benutzt.\nNächster Schritt: nachsehen, ob dieser \
                 Knoten schon läuft (systemctl status registry-node), und nur einen laufen lassen; ein \
                 zweiter Knoten braucht ein eigenes data_dir und eigene Schlüssel",
                dir.display()
            );
        }
        if let Some(BindError { key, address, source }) = it.downcast_ref() {
            return format!(
                "listen.{key}: auf {address} lässt sich nicht lauschen: {source}.\nNächster Schritt: \
                 nachsehen, wer die Adresse hat (ss -ltnp) oder ob es sie auf dieser Maschine gibt, oder \
                 listen.{key} in node.toml ändern"
            );
        }
        if let Some(failure @ MaterialError::NoCrls(_)) = it.downcast_ref() {
            return format!(
                "{}\nNächster Schritt: die Listen dieser CAs neu holen und an ihren Platz legen; \
                 registry-node run --check prüft sie",
                words::material(failure)
            );
        }
        at = it.source();
    }
    chain(error)
}

/// Partners that are named as examples.
const NAMED: usize = 2;
