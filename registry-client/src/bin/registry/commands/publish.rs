//! `registry publish`.

use registry_client::Client;
use registry_proto::wire::registry::{
    PublishResponse, PublishedRecord, Record, record::Record as Is,
};

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
    let key = writing.key();
    let answer = write::send(client, records.clone(), sources.clone(), &writing, key).await?;
    let object = || write::object(&answer, &writing);
    output::print(format, object, || table_of(&records, &answer, writing.dry_run))?;
    write::tell(&answer, &sources);
    eprintln!("{}", write::outcome(&answer, &writing));
    Ok(())
}

/// What became of each record, of a draft: of definitions and versions.
pub(super) fn table(answer: &PublishResponse, dry_run: bool) -> String {
    table_of(&[], answer, dry_run)
}

/// What became of each of these records.
pub(super) fn table_of(records: &[Record], answer: &PublishResponse, dry_run: bool) -> String {
    output::table(
        ["Dienst", "Version", "Eintrag", "Ergebnis"],
        &[0, 1, 2],
        answer.records.iter().enumerate().map(|(at, record)| {
            let place = output::place(record.position.as_ref());
            [
                record.service_id.clone(),
                what(records.get(at), record),
                if place.is_empty() { "–".to_owned() } else { place },
                result(record, dry_run).to_owned(),
            ]
        }),
    )
}

fn what(sent: Option<&Record>, record: &PublishedRecord) -> String {
    let of_service = match sent.and_then(|it| it.record.as_ref()) {
        Some(Is::Kontakt(_)) => "Kontakt",
        Some(Is::Mitzeichnung(_)) => "Mitzeichnung",
        Some(Is::Uebergabe(_)) => "Übergabe",
        _ => "Steckbrief",
    };
    match (record.version.as_str(), record.subscription_id.as_str()) {
        ("", "") => of_service.to_owned(),
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

#[cfg(test)]
mod tests {
    use registry_proto::wire::registry::{Kontakt, ServiceDefinition};

    use super::*;

    #[test]
    fn a_record_is_called_what_it_is() {
        let of = |is| Record { record: Some(is), ..Record::default() };
        let sent = [
            of(Is::Kontakt(Kontakt::default())),
            of(Is::ServiceDefinition(ServiceDefinition::default())),
        ];
        let answer =
            PublishResponse { records: vec![PublishedRecord::default(); 2], ..Default::default() };
        let text = table_of(&sent, &answer, false);
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert!(lines[0].contains("Kontakt") && lines[1].contains("Steckbrief"), "{text}");
    }
}
