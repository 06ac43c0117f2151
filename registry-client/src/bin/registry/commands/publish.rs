//! `registry publish`.

use registry_client::Client;
use registry_proto::wire::registry::{PublishRequest, PublishResponse, PublishedRecord};

use super::count;
use crate::{
    args::{Format, Publish},
    documents::{Documents, Sources},
    errors::CliError,
    json::{self, Node, Object},
    output::{self, clean},
};

pub(super) async fn publish(
    client: &Client,
    format: Format,
    args: Publish,
    documents: Documents,
) -> Result<(), CliError> {
    let Documents { records, sources } = documents;
    let request = PublishRequest {
        records,
        ack_peers: args.ack_peers,
        dry_run: args.dry_run,
        ..PublishRequest::default()
    };
    let answer = match client.publish(request).await {
        Ok(answer) => answer,
        Err(error) => return Err(CliError::Publish(error, sources)),
    };
    let object = || {
        let acknowledged = answer.acknowledged_by.iter().cloned().map(Node::Text).collect();
        Ok(Object::default()
            .with("records", json::list("PublishedRecord", &answer.records)?)
            .with("acknowledged_by", Node::List(acknowledged))
            .with("dry_run", Node::Bool(args.dry_run)))
    };
    output::print(format, object, || table(&answer, args.dry_run))?;
    for warning in answer.records.iter().flat_map(|record| &record.warnings) {
        let place = sources.place(&clean(&warning.field));
        eprintln!("Hinweis: {place}: {}", clean(&warning.description));
    }
    eprintln!("{}", outcome(&answer, args.dry_run, &sources));
    Ok(())
}

fn table(answer: &PublishResponse, dry_run: bool) -> String {
    output::table(
        ["Dienst", "Version", "Eintrag", "Ergebnis"],
        &[0, 1, 2],
        answer.records.iter().map(|record| {
            let version = if record.version.is_empty() { "Steckbrief" } else { &record.version };
            let place = output::place(record.position.as_ref());
            [
                record.service_id.clone(),
                version.to_owned(),
                if place.is_empty() { "–".to_owned() } else { place },
                result(record, dry_run).to_owned(),
            ]
        }),
    )
}

fn result(record: &PublishedRecord, dry_run: bool) -> &'static str {
    match (record.unchanged, dry_run) {
        (true, _) => "unverändert",
        (false, true) => "in Ordnung",
        (false, false) => "veröffentlicht",
    }
}

fn outcome(answer: &PublishResponse, dry_run: bool, sources: &Sources) -> String {
    let records = count(sources.len(), "Datensatz", "Datensätze");
    if dry_run {
        return format!("{records} geprüft, nichts geschrieben.");
    }
    let holders = if answer.acknowledged_by.is_empty() {
        "noch von keinem anderen Land bestätigt".to_owned()
    } else {
        format!("bestätigt von {}", clean(&answer.acknowledged_by.join(", ")))
    };
    format!("{records} dauerhaft gespeichert, {holders}.")
}
