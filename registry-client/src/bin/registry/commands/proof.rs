//! `registry proof`.

use bytes::Bytes;
use prost::Message;
use prost_types::Timestamp;
use registry_client::{
    Client, ClientError,
    proof::{VerifiedEntry, verify_inclusion},
};
use registry_proto::{log::Kind, wire::registry::EntryHeader};

use super::{kinds, trusted::Trusted};
use crate::{
    args::{Format, Proof},
    errors::CliError,
    json::{self, Node, Object},
    output,
};

pub(super) async fn proof(
    client: &Client,
    format: Format,
    args: Proof,
    charter: &Trusted,
) -> Result<(), CliError> {
    let answer = client.inclusion_proof(args.position.clone()).await?;
    let entry =
        verify_inclusion(&answer, charter.charter(), &args.position).map_err(ClientError::Proof)?;
    output::print(format, || object(&entry, charter), || table(&entry, charter))
}

fn object(entry: &VerifiedEntry, charter: &Trusted) -> Result<Object, CliError> {
    let header = EntryHeader::decode(entry.raw_header().clone())
        .map_err(|error| CliError::Internal(format!("Kopf: {error}")))?;
    let signed = entry.checkpoint();
    let checkpoint = Object::default()
        .with("origin", Node::Text(signed.checkpoint.origin.to_string()))
        .with("size", Node::Number(signed.size()))
        .with("root", Node::Text(signed.root().to_string()))
        .with("fresh_unix_seconds", Node::Number(signed.fresh_unix_seconds))
        .with("note", Node::Text(String::from_utf8_lossy(signed.raw()).into_owned()));
    let mut object = Object::default()
        .with("verified", Node::Bool(true))
        .with("leaf_hash", Node::Text(entry.leaf().to_string()))
        .with("header", json::message("EntryHeader", &header)?)
        .with("checkpoint", Node::Object(checkpoint));
    object = charter.show(object);
    if let Some(body) = entry.body() {
        object = object.with("body", self::body(entry.header().kind, body)?);
    }
    Ok(object)
}

fn body(kind: Kind, bytes: &Bytes) -> Result<Node, CliError> {
    let node = match kinds::message(kind) {
        Some(name) => json::decoded(name, bytes)?,
        None => None,
    };
    // verified means that these are the bytes the Land signed, not that they can be read
    Ok(node.unwrap_or_else(|| Node::Text(hex::encode(bytes))))
}

fn table(entry: &VerifiedEntry, charter: &Trusted) -> String {
    let charter = charter.charter();
    let header = entry.header();
    let checkpoint = entry.checkpoint();
    let kind = match header.kind {
        Kind::Unknown(kind) => format!("unbekannt ({kind}), braucht neuere Software"),
        known => kinds::word(known).to_owned(),
    };
    let content = if entry.body().is_some() {
        "liegt bei und gehört zum Eintrag (ansehen mit -o yaml)"
    } else {
        "liegt nicht bei"
    };
    let test = if charter.is_test() { ", Testverbund" } else { "" };
    let newest = match charter.number() {
        0 => String::new(),
        number => format!("Nr. {number}, {}", charter.digest()),
    };
    let mut text = format!(
        "Geprüft: {}/{} steht im Protokoll, das {} unterschrieben hat.\n\n",
        header.log, header.index, header.log.land
    );
    text.push_str(&output::pairs([
        ("Verbund", format!("{}{test}", charter.name())),
        ("Kennung", header.verbund.to_string()),
        ("Charta", newest),
        ("Art", kind),
        ("Dienst", header.object_id.map_or_else(String::new, |id| id.to_string())),
        ("Eingetragen", instant(header.recorded_unix_ms.div_euclid(1_000))),
        ("Durch", header.principal.clone()),
        ("Inhalt", content.to_owned()),
        ("Blatt-Hash", entry.leaf().to_string()),
        ("Prüfpunkt", format!("{} Einträge, Wurzel {}", checkpoint.size(), checkpoint.root())),
        ("Bestätigt", instant(i64::try_from(checkpoint.fresh_unix_seconds).unwrap_or(i64::MAX))),
    ]));
    text
}

fn instant(unix_seconds: i64) -> String {
    output::instant(&Timestamp { seconds: unix_seconds, nanos: 0 })
}
