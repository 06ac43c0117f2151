//! `registry status`.

use registry_client::Client;
use registry_proto::wire::registry::GetStatusResponse;

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
            .with("index", Node::Text(status.index.clone()))
            .with("logs", json::list("AsOf", &status.logs)?)
            .with("peers", json::list("PeerLog", &status.peers)?);
        if let Some(now) = &status.now {
            object = object.with("now", Node::Text(output::instant(now).replacen(' ', "T", 1)));
        }
        Ok(object)
    };
    output::print(format, object, || table(client, &status))
}

fn table(client: &Client, status: &GetStatusResponse) -> String {
    let fence = match status.fence.as_str() {
        "open" => "offen (Veröffentlichen möglich)".to_owned(),
        other => format!("geschlossen: {other}"),
    };
    let index = match status.index.as_str() {
        "ready" => "bereit".to_owned(),
        other => other.to_owned(),
    };
    let mut text = String::new();
    if status.test {
        text.push_str("*** Testverbund: Daten und Schlüssel sind nicht echt ***\n\n");
    }
    text.push_str(&output::pairs([
        ("Verbund", status.verbund_name.clone()),
        ("Kennung", status.verbund.clone()),
        ("Knoten", format!("{} ({}), {}", status.node, status.land, client.address())),
        ("Software", status.software.clone()),
        ("Zaun", fence),
        ("Katalog", index),
        ("Uhr", status.now.as_ref().map_or_else(String::new, output::instant)),
    ]));
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
    text
}
