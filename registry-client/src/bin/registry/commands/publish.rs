//! `registry publish`.

use registry_client::Client;
use registry_proto::wire::registry::{PublishResponse, PublishedRecord};

use super::write;
use crate::{
    args::{Format, Publish},
    documents::Documents,
    errors::CliError,
    output,
};

pub(super) async fn publish(
    client: &Client,
    format: Format,
    args: Publish,
    documents: Documents,
) -> Result<(), CliError> {
    let Documents { records, sources } = documents;
    let writing = args.writing;
    let answer = write::send(client, records, sources.clone(), &writing, writing.key()).await?;
    let object = || write::object(&answer, &writing);
    output::print(format, object, || table(&answer, writing.dry_run))?;
    write::tell(&answer, &sources);
    eprintln!("{}", write::outcome(&answer, &writing));
    Ok(())
}

/// What became of each record.
pub(super) fn table(answer: &PublishResponse, dry_run: bool) -> String {
    output::table(
        ["Dienst", "Version", "Eintrag", "Ergebnis"],
        &[0, 1, 2],
        answer.records.iter().map(|record| {
            let place = output::place(record.position.as_ref());
            [
                record.service_id.clone(),
                what(record),
                if place.is_empty() { "–".to_owned() } else { place },
                result(record, dry_run).to_owned(),
            ]
        }),
    )
}

fn what(record: &PublishedRecord) -> String {
    match (record.version.as_str(), record.subscription_id.as_str()) {
        ("", "") => "Steckbrief".to_owned(),
        ("", _) => "Nachnutzung".to_owned(),
        (version, _) => version.to_owned(),
    }
}

fn result(record: &PublishedRecord, dry_run: bool) -> &'static str {
    match (record.unchanged, dry_run) {
        (true, _) => "unverändert",
        (false, true) => "in Ordnung",
        // only what a second person has to confirm has no place yet
        (false, false) if record.position.is_none() => "wartet auf Freigabe",
        (false, false) => "veröffentlicht",
    }
}
