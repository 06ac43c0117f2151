//! Sends what a command writes, and tells what became of it.

use std::time::Duration;

use registry_client::{Client, ClientError};
use registry_proto::wire::registry::{
    Compatibility, CompatibilitySeverity, PublishRequest, PublishResponse, Record, record,
};

use crate::{
    args::{Format, Writing},
    documents::Sources,
    errors::{self, CliError},
    json::{self, Node, Object},
    output::{self, clean},
};

/// Publishes one batch under the key of the call; tries again while the node cannot.
pub(super) async fn send(
    client: &Client,
    records: Vec<Record>,
    sources: Sources,
    writing: &Writing,
    key: String,
) -> Result<PublishResponse, CliError> {
    let expected = writing.expected_revision;
    let records = records
        .into_iter()
        .map(|it| Record { expected_revision: it.expected_revision.or(expected), ..it });
    let request = PublishRequest {
        records: records.collect(),
        ack_peers: writing.ack_peers,
        dry_run: writing.dry_run,
        // a dry run writes nothing that could be met again
        idempotency_key: if writing.dry_run { String::new() } else { key.clone() },
    };
    let retrying = |error: &ClientError, wait: Duration| {
        let why = errors::client(error, None);
        let why = why.lines().next().unwrap_or_default();
        eprintln!("Noch nicht geschrieben, neuer Versuch in {wait:.1?}: {why}");
    };
    let answer = client.publish_again(request, retrying).await;
    answer.map_err(|error| CliError::Write { error: Box::new(error), sources, key })
}

/// As [`send`], of moves that stand in no file.
pub(super) async fn moves(
    client: &Client,
    said: Vec<record::Record>,
    writing: &Writing,
    key: String,
) -> Result<PublishResponse, CliError> {
    let records = said.into_iter().map(|it| Record { record: Some(it), expected_revision: None });
    send(client, records.collect(), Sources::default(), writing, key).await
}

/// The answer as structured output.
pub(super) fn object(answer: &PublishResponse, writing: &Writing) -> Result<Object, CliError> {
    let acknowledged = answer.acknowledged_by.iter().cloned().map(Node::Text).collect();
    Ok(Object::default()
        .with("records", json::list("PublishedRecord", &answer.records)?)
        .with("acknowledged_by", Node::List(acknowledged))
        .with("dry_run", Node::Bool(writing.dry_run))
        .with("approval_id", Node::Text(answer.approval_id.clone())))
}

/// Prints what became of one move, with its lines for people.
pub(super) fn report<const N: usize>(
    format: Format,
    answer: &PublishResponse,
    writing: &Writing,
    lines: [(&'static str, String); N],
) -> Result<(), CliError> {
    let table = || {
        let first = answer.records.first();
        let place = output::place(first.and_then(|it| it.position.as_ref()));
        let revision =
            first.filter(|it| it.position.is_some()).map(|it| it.revision).unwrap_or_default();
        let revision = if revision == 0 { String::new() } else { revision.to_string() };
        output::pairs(lines.into_iter().chain([("Eintrag", place), ("Revision", revision)]))
    };
    output::print(format, || object(answer, writing), table)?;
    tell(answer, &Sources::default());
    eprintln!("{}", outcome(answer, writing));
    Ok(())
}

/// Findings that did not stop it, on standard error.
pub(super) fn tell(answer: &PublishResponse, sources: &Sources) {
    for warning in answer.records.iter().flat_map(|record| &record.warnings) {
        let place = sources.place(&clean(&warning.field));
        eprintln!("Hinweis: {place}: {}", clean(&warning.description));
    }
    for record in &answer.records {
        if let Some(compared) = &record.compatibility {
            eprint!("{}", verdict(&record.version, compared));
        }
    }
}

/// How a version compares with the one before it, one line for each difference.
fn verdict(version: &str, compared: &Compatibility) -> String {
    let outcome = if compared.breaking { "bricht" } else { "bricht nicht" };
    let mut text = format!("{version} {outcome} mit {}.\n", clean(&compared.previous_version));
    for change in compared.changes.iter().take(CHANGES_SHOWN_MAX) {
        let word = match change.severity() {
            CompatibilitySeverity::Breaking => "bricht",
            CompatibilitySeverity::Note => "Hinweis",
            CompatibilitySeverity::Compatible | CompatibilitySeverity::Unspecified => "vereinbar",
        };
        let (path, what) = (clean(&change.path), clean(&change.description));
        text.push_str(&format!("  {word:9}  {path}: {what}\n"));
    }
    let more = compared.changes.len().saturating_sub(CHANGES_SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("  … und {more} weitere (alle mit -o json)\n"));
    }
    text
}

/// Differences that are shown of one version.
const CHANGES_SHOWN_MAX: usize = 20;

/// How safe it is, in one line.
pub(super) fn outcome(answer: &PublishResponse, writing: &Writing) -> String {
    let records = super::count(answer.records.len(), "Datensatz", "Datensätze");
    if writing.dry_run {
        return format!("{records} geprüft, nichts geschrieben.");
    }
    if !answer.approval_id.is_empty() {
        return format!(
            "{records} eingereicht, noch nicht veröffentlicht: eine zweite Person muss freigeben \
             (registry freigabe show {}).",
            clean(&answer.approval_id)
        );
    }
    let holders = if answer.acknowledged_by.is_empty() {
        "noch von keinem anderen Land bestätigt".to_owned()
    } else {
        format!("bestätigt von {}", clean(&answer.acknowledged_by.join(", ")))
    };
    format!("{records} dauerhaft gespeichert, {holders}.")
}
