//! `registry status`.

use registry_client::Client;
use registry_proto::wire::registry::{
    AsOf, CertificateKind, CertificateLevel, CertificateStatus, CertificatesStatus,
    GetStatusResponse, HeldRetirements, ReplicationState,
};

use crate::{
    args::Format,
    errors::CliError,
    json::{self, Node, Object},
    output,
};

pub(super) async fn status(client: &Client, format: Format) -> Result<(), CliError> {
    let status = client.status().await?;
    let object = || {
        // every field by itself, so that an empty list and `"test": false` are there too
        let mut object = Object::default()
            .with("verbund", Node::Text(status.verbund.clone()))
            .with("verbund_name", Node::Text(status.verbund_name.clone()))
            .with("test", Node::Bool(status.test))
            .with("land", Node::Text(status.land.clone()))
            .with("node", Node::Text(status.node.clone()))
            .with("software", Node::Text(status.software.clone()))
            .with("fence", Node::Text(status.fence.clone()))
            .with("signing_failed", Node::Bool(status.signing_failed))
            .with("set_aside", Node::Text(status.set_aside.clone()))
            .with("held", json::list("HeldRetirements", &status.held)?)
            .with("index", Node::Text(status.index.clone()))
            .with("logs", json::list("AsOf", &status.logs)?)
            .with("peers", json::list("PeerLog", &status.peers)?);
        if let Some(it) = &status.certificates {
            let not_loaded = it.not_loaded.iter().cloned().map(Node::Text).collect();
            object = object
                .with("certificates", json::list("CertificateStatus", &it.certificates)?)
                .with("certificates_not_loaded", Node::List(not_loaded));
        }
        if let Some(it) = &status.charter {
            let numbers =
                |all: &[u64]| Node::List(all.iter().map(|it| Node::Number(*it)).collect());
            let charter = Object::default()
                .with("number", Node::Number(it.number))
                .with("digest", Node::Text(hex::encode(&it.digest)))
                .with("unproved", numbers(&it.unproved))
                .with("contradicted", numbers(&it.contradicted))
                .with("later", super::charter::later(it.later.as_ref()))
                .with("barred", super::charter::barred(it.barred.as_ref()));
            object = object.with("charter", Node::Object(charter));
        }
        if let Some(now) = &status.now {
            object = object.with("now", Node::Text(output::instant(now).replacen(' ', "T", 1)));
        }
        Ok(object)
    };
    output::print(format, object, || table(client, &status))
}

fn table(client: &Client, status: &GetStatusResponse) -> String {
    let index = match status.index.as_str() {
        "ready" => "bereit".to_owned(),
        other => other.strip_prefix(STUCK).map_or_else(
            || other.to_owned(),
            |why| format!("bereit, aber ein Protokoll ist nicht weiter lesbar: {why}"),
        ),
    };
    let charter = status
        .charter
        .as_ref()
        .map_or_else(String::new, |it| format!("Nr. {}, {}", it.number, hex::encode(&it.digest)));
    let mut text = String::new();
    if status.test {
        text.push_str("*** Testverbund: Daten und Schlüssel sind nicht echt ***\n\n");
    }
    text.push_str(&output::pairs([
        ("Verbund", status.verbund_name.clone()),
        ("Kennung", status.verbund.clone()),
        ("Knoten", format!("{} ({}), {}", status.node, status.land, client.address())),
        ("Software", status.software.clone()),
        ("Charta", charter),
        ("Zaun", fence(status)),
        ("Katalog", index),
        ("Uhr", status.now.as_ref().map_or_else(String::new, output::instant)),
    ]));
    if status.signing_failed {
        text.push_str(SIGNING_FAILED);
    }
    if !status.set_aside.is_empty() {
        text.push_str(&format!("\nAchtung: {}\n", output::clean(&status.set_aside)));
    }
    status.held.iter().for_each(|it| text.push_str(&held(it)));
    if let Some(standing) = &status.charter {
        text.push_str(&super::charter::warned(standing));
    }
    text.push('\n');
    text.push_str(&output::table(
        ["Land", "Epoche", "Einträge", "im Katalog", "Stand", "Bestätigt"],
        &[0],
        status.logs.iter().map(|log| {
            [
                log.land.clone(),
                log.epoch.to_string(),
                log.size.to_string(),
                log.folded.to_string(),
                output::replication_state(log.state()).to_owned(),
                log.fresh_at.as_ref().map_or_else(|| "–".to_owned(), output::instant),
            ]
        }),
    ));
    status.logs.iter().for_each(|log| text.push_str(&marks(log)));
    if !status.peers.is_empty() {
        text.push('\n');
        text.push_str(&output::table(
            ["Partner", "Knoten", "Verbunden", "Protokoll", "Einträge", "Rückstand", "Stand"],
            &[0, 3],
            status.peers.iter().map(|peer| {
                [
                    peer.peer_land.clone(),
                    peer.peer_node.clone(),
                    if peer.connected { "ja" } else { "nein" }.to_owned(),
                    format!("{}/{}", peer.land, peer.epoch),
                    peer.size.to_string(),
                    peer.lag.to_string(),
                    output::replication_state(peer.state()).to_owned(),
                ]
            }),
        ));
    }
    if let Some(it) = &status.certificates {
        text.push_str(&certificates(it));
    }
    text
}

/// Whether anything can be published, and why not.
fn fence(status: &GetStatusResponse) -> String {
    match status.fence.as_str() {
        "open" if status.signing_failed => {
            "offen, aber ein Schlüssel unterschreibt nicht (Veröffentlichen scheitert)".to_owned()
        }
        "open" => "offen (Veröffentlichen möglich)".to_owned(),
        // by the charter that it still runs under it is suspended; partners know a later one
        other if other.starts_with("stopped: the charter suspended") && removed(status) => {
            "geschlossen: dieses Land ist aus dem Verbund ausgeschieden; was sein Knoten schriebe, zählte \
             nicht"
                .to_owned()
        }
        other => format!("geschlossen: {}", crate::words::fence(other).unwrap_or(other)),
    }
}

fn removed(status: &GetStatusResponse) -> bool {
    status.charter.as_ref().and_then(|it| it.barred.as_ref()).is_some_and(|it| it.removed)
}

const STUCK: &str = "ready, but a journal cannot be read: ";
const SIGNING_FAILED: &str = "\nAchtung: ein Schlüssel des Landes unterschreibt nicht; Lesen und die \
                              Protokolle der anderen gehen weiter.\nNächster Schritt: der Betreiber \
                              sieht den Grund im Log des Knotens und stellt das Token wieder bereit; \
                              ein Neustart ist nicht nötig.\n";

/// What to do about retirements that this node holds.
fn held(of: &HeldRetirements) -> String {
    let land = output::clean(&of.land);
    format!(
        "\nAchtung: in {land}/{} sind {} Abschaltungen angehalten, so viele auf einmal sind ungewöhnlich; \
         sie gelten hier erst, wenn der Betreiber sie gelten lässt.\nNächster Schritt: {land} anrufen, \
         dann am Admin-Port registry held list und registry held accept {land}\n",
        of.epoch, of.moves
    )
}

/// What is to be said of a log that is not as the others.
fn marks(log: &AsOf) -> String {
    let mut text = String::new();
    if let Some(end) = log.ends_at {
        let land = output::clean(&log.land);
        let what = match log.state() {
            ReplicationState::Removed => "ist aus dem Verbund ausgeschieden",
            _ => "nimmt nach der Charta zur Zeit nicht teil",
        };
        text.push_str(&format!(
            "\n{land} {what}; was vor Eintrag {land}/{}/{end} steht, gilt weiter (registry \
             charter history).\n",
            log.epoch
        ));
    }
    if log.ahead_seconds > 0 {
        let land = output::clean(&log.land);
        text.push_str(&format!(
            "\nAchtung: {land} unterschreibt mit einer Uhr, die der dieses Knotens {} vorgeht. Das zählt \
             hier nicht als neue Bestätigung: ohne neue Einträge gilt das Protokoll nach drei Minuten als \
             veraltet.\nNächster Schritt: beide Betreiber vergleichen ihre Uhr mit einem Zeitserver \
             (chronyc tracking).\n",
            span(log.ahead_seconds)
        ));
    }
    if let Some(from) = log.disputed_from {
        let place = format!("{}/{}", output::clean(&log.land), log.epoch);
        text.push_str(&format!(
            "\n{place} hat zwei signierte Fassungen; Einträge ab {place}/{from} sind strittig \
             (Beweis: registry-node evidence list).\n"
        ));
    }
    if let Some(from) = log.discarded_from {
        let place = format!("{}/{}", output::clean(&log.land), log.epoch);
        text.push_str(&format!(
            "\n{place} ist beendet; Einträge ab {place}/{from} zählen nicht (Gründe: registry \
             epoch list).\n"
        ));
        if log.size < from {
            text.push_str(&format!(
                "Von {place} fehlen hier {} von {from} Einträgen, die gelten; der Knoten holt sie \
                 von Partnern, die sie haben.\n",
                from - log.size
            ));
        }
    }
    text
}

fn span(seconds: u64) -> String {
    match seconds / 60 {
        minutes @ ..120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

/// What has to be done about certificates; nothing if there is nothing.
fn certificates(all: &CertificatesStatus) -> String {
    let mut text = String::new();
    let near = |it: &&CertificateStatus| it.level() > CertificateLevel::Fine;
    let near: Vec<_> = all.certificates.iter().filter(near).collect();
    if !near.is_empty() {
        text.push('\n');
        text.push_str(&output::table(
            ["Zertifikat", "Name", "Ende", "Stand"],
            &[0],
            near.into_iter().map(|it| {
                [
                    kind(it.kind()).to_owned(),
                    it.name.clone(),
                    it.not_after.as_ref().map_or_else(|| "–".to_owned(), output::instant),
                    level(it.level()).to_owned(),
                ]
            }),
        ));
    }
    for part in &all.not_loaded {
        let part = match part.as_str() {
            "certificate" => "Zertifikat und Schlüssel",
            "client_anchors" => "Anker für Clients",
            "policy" => "Richtlinie",
            "crls" => {
                text.push_str(
                    "\nAchtung: Sperrlisten: eine Datei ist nicht verwendbar. Es gilt, was der \
                     Knoten vor ihr geladen hatte; nach einem Start nichts, und was sie sperrt, \
                     zählt (außer mit tls.crl_required). Datei und Grund nennt das Log des Knotens\n",
                );
                continue;
            }
            other => other,
        };
        text.push_str(&format!(
            "\nAchtung: {part}: die neuen Dateien sind nicht verwendbar, es gelten die bisherigen; \
             den Grund nennt das Log des Knotens\n"
        ));
    }
    text
}

fn kind(kind: CertificateKind) -> &'static str {
    match kind {
        CertificateKind::Own => "dieser Knoten",
        CertificateKind::Chain => "Kette",
        CertificateKind::Anchor => "Anker",
        CertificateKind::Crl => "Sperrliste",
        CertificateKind::Peer => "Partner",
        CertificateKind::Unspecified => "unbekannt",
    }
}

fn level(level: CertificateLevel) -> &'static str {
    match level {
        CertificateLevel::Fine => "gültig",
        CertificateLevel::Days30 => "endet in weniger als 30 Tagen",
        CertificateLevel::Days14 => "endet in weniger als 14 Tagen",
        CertificateLevel::Days3 => "endet in Kürze",
        CertificateLevel::Expired => "abgelaufen",
        CertificateLevel::NotYet => "gilt noch nicht",
        CertificateLevel::Revoked => "gesperrt, Partner lehnen es ab",
        CertificateLevel::Unspecified => "unbekannt",
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::wire::registry::{BarredBy, CharterStanding};

    use super::*;

    #[test]
    fn a_key_that_does_not_sign_is_no_open_fence() {
        let of = |text: &str, signing_failed| {
            let status = GetStatusResponse::default();
            fence(&GetStatusResponse { fence: text.to_owned(), signing_failed, ..status })
        };
        assert_eq!(of("open", false), "offen (Veröffentlichen möglich)");
        assert!(of("open", true).contains("scheitert"));
        assert!(of("closed", true).starts_with("geschlossen: "));
        let doubted = "waiting for proof: a partner shows a head of our own log that contradicts";
        assert!(of(doubted, false).contains("den letzten Einträgen hier widerspricht"));
    }

    #[test]
    fn who_was_removed_is_not_told_to_be_suspended() {
        let of = |removed| {
            let barred = Some(BarredBy { removed, ..BarredBy::default() });
            let charter = Some(CharterStanding { barred, ..CharterStanding::default() });
            let text = "stopped: the charter suspended this Land; what it writes does not count";
            let status = GetStatusResponse { charter, ..GetStatusResponse::default() };
            fence(&GetStatusResponse { fence: text.to_owned(), ..status })
        };
        assert!(of(false).contains("ruht"));
        assert!(of(true).contains("ausgeschieden") && !of(true).contains("ruht"));
    }

    #[test]
    fn a_clock_that_is_ahead_is_named() {
        let of = |ahead_seconds| {
            marks(&AsOf { land: "SL".to_owned(), ahead_seconds, ..AsOf::default() })
        };
        assert_eq!(of(0), "");
        assert!(
            of(700)
                .contains("SL unterschreibt mit einer Uhr, die der dieses Knotens 11 min vorgeht")
        );
        assert!(of(7_300).contains("2 h vorgeht") && of(7_300).contains("chronyc tracking"));
    }

    #[test]
    fn only_what_has_to_be_done_is_shown() {
        let of = |name: &str, kind: CertificateKind, level: CertificateLevel| CertificateStatus {
            kind: kind.into(),
            name: name.to_owned(),
            not_after: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            level: level.into(),
        };
        let fine = of("sl-1.example", CertificateKind::Own, CertificateLevel::Fine);
        let mut all = CertificatesStatus { certificates: vec![fine], not_loaded: Vec::new() };
        assert_eq!(certificates(&all), "");
        all.certificates.push(of("CN=CA", CertificateKind::Crl, CertificateLevel::Expired));
        all.not_loaded.extend(["crls", "policy"].map(str::to_owned));
        all.certificates.push(of("sl-2.example", CertificateKind::Own, CertificateLevel::NotYet));
        let text = certificates(&all);
        assert!(text.contains("sl-2.example") && text.contains("gilt noch nicht"), "{text}");
        assert!(text.contains("Sperrliste") && text.contains("abgelaufen"), "{text}");
        assert!(!text.contains("sl-1.example"), "{text}");
        assert!(text.contains("Achtung: Sperrlisten: eine Datei"), "{text}");
        assert!(text.contains("Achtung: Richtlinie: die neuen Dateien"), "{text}");
    }
}
