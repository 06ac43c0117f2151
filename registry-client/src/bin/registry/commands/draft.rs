//! `registry draft`.

use registry_client::Client;
use registry_proto::wire::registry::{
    CheckDraftResponse, DraftSummary, PublishDraftRequest, PublishResponse, Record,
    SaveDraftRequest, record,
};

use super::{count, german, publish, write};
use crate::{
    args::{Draft, DraftCheck, DraftDelete, DraftPublish, DraftSave, DraftShow, Format, Writing},
    documents::{Documents, Sources},
    errors::CliError,
    json::{self, Node, Object},
    output::{self, clean},
};

type Kept = registry_proto::wire::registry::Draft;

/// Does what a command says; `documents` are those of the files of `save`.
pub(super) async fn run(
    client: &Client,
    format: Format,
    command: Draft,
    documents: Option<Documents>,
) -> Result<(), CliError> {
    match command {
        Draft::Save(args) => {
            let records = documents.map(|it| it.records).unwrap_or_default();
            save(client, format, args, records).await
        }
        Draft::List => list(client, format).await,
        Draft::Show(args) => show(client, format, args).await,
        Draft::Check(args) => check(client, format, args).await,
        Draft::Publish(args) => published(client, format, args).await,
        Draft::Delete(DraftDelete { id, expected_revision }) => {
            client.delete_draft(id.clone(), expected_revision).await?;
            eprintln!("Entwurf {} gelöscht.", clean(&id));
            Ok(())
        }
    }
}

async fn save(
    client: &Client,
    format: Format,
    args: DraftSave,
    records: Vec<Record>,
) -> Result<(), CliError> {
    let (draft_id, expected_revision) = (args.id.unwrap_or_default(), args.expected_revision);
    let draft =
        client.save_draft(SaveDraftRequest { draft_id, expected_revision, records }).await?;
    output::print(format, || object(&draft), || details(&draft))?;
    eprintln!(
        "Entwurf gespeichert, nur an diesem Knoten. Danach: registry draft check {}",
        clean(&draft.draft_id)
    );
    Ok(())
}

async fn list(client: &Client, format: Format) -> Result<(), CliError> {
    let drafts = client.drafts().await?;
    let object = || Ok(Object::default().with("drafts", json::list("DraftSummary", &drafts)?));
    output::print(format, object, || table(&drafts))
}

async fn show(client: &Client, format: Format, args: DraftShow) -> Result<(), CliError> {
    let draft = client.draft(args.id).await?;
    if args.records {
        let records = json::list("Record", &draft.records)?;
        let format = if format == Format::Json { format } else { Format::Yaml };
        let object = || Ok(Object::default().with("records", records));
        return output::print(format, object, String::new);
    }
    output::print(format, || object(&draft), || details(&draft))
}

async fn check(client: &Client, format: Format, args: DraftCheck) -> Result<(), CliError> {
    let CheckDraftResponse { revision, violations, records } =
        client.check_draft(args.id.clone()).await?;
    let sound = violations.is_empty();
    let found = PublishResponse { records, ..PublishResponse::default() };
    let object = || {
        Ok(Object::default()
            .with("draft_id", Node::Text(args.id.clone()))
            .with("revision", Node::Number(revision))
            .with("publishable", Node::Bool(sound))
            .with("violations", json::list("Warning", &violations)?)
            .with("records", json::list("PublishedRecord", &found.records)?))
    };
    let table = || {
        if sound {
            return publish::table(&found, true);
        }
        let rows = violations.iter();
        output::table(
            ["Feld", "Befund", "Regel"],
            &[2],
            rows.map(|it| [it.field.clone(), it.description.clone(), it.reason.clone()]),
        )
    };
    output::print(format, object, table)?;
    if sound {
        write::tell(&found, &Sources::default());
        eprintln!(
            "Der Entwurf kann veröffentlicht werden: registry draft publish {} \
             --expected-revision {revision}",
            clean(&args.id)
        );
        return Ok(());
    }
    let findings = count(violations.len(), "Befund verhindert", "Befunde verhindern");
    eprintln!("{findings} die Veröffentlichung; der Entwurf bleibt, wie er ist.");
    Err(CliError::Found)
}

async fn published(client: &Client, format: Format, args: DraftPublish) -> Result<(), CliError> {
    let DraftPublish { id, expected_revision, ack_peers } = args;
    let draft_id = id.clone();
    let request = PublishDraftRequest { draft_id, expected_revision, ack_peers };
    let answer = client.publish_draft(request).await?;
    let deleted = answer.deleted;
    let published = answer.published.unwrap_or_default();
    let writing = Writing { ack_peers, ..Writing::default() };
    let object = || Ok(write::object(&published, &writing)?.with("deleted", Node::Bool(deleted)));
    output::print(format, object, || publish::table(&published, false))?;
    write::tell(&published, &Sources::default());
    eprintln!("{}", write::outcome(&published, &writing));
    if !deleted && published.approval_id.is_empty() {
        eprintln!(
            "Hinweis: der Entwurf ist noch da, er wurde inzwischen geändert: registry draft show {}",
            clean(&id)
        );
    }
    Ok(())
}

fn object(draft: &Kept) -> Result<Object, CliError> {
    Ok(Object::default().with("draft", json::message("Draft", draft)?))
}

fn details(draft: &Kept) -> String {
    let lines: Vec<_> = draft.records.iter().map(one).collect();
    output::pairs([
        ("Entwurf", draft.draft_id.clone()),
        ("Revision", draft.revision.to_string()),
        ("Datensätze", lines.join("; ")),
        ("Angelegt", moment(draft.created_at.as_ref(), &draft.created_by)),
        ("Geändert", moment(draft.changed_at.as_ref(), &draft.changed_by)),
    ])
}

fn moment(at: Option<&prost_types::Timestamp>, by: &str) -> String {
    format!("{} von {by}", at.map(output::instant).unwrap_or_default())
}

fn one(record: &Record) -> String {
    match &record.record {
        Some(record::Record::ServiceDefinition(it)) => {
            format!("Steckbrief {} ({})", it.service_id, german(&it.bezeichnung))
        }
        Some(record::Record::ServiceVersion(it)) => {
            format!("Version {} von {}", it.version, it.service_id)
        }
        _ => "unbekannt".to_owned(),
    }
}

fn table(drafts: &[DraftSummary]) -> String {
    output::table(
        ["Entwurf", "Revision", "Bezeichnung", "Versionen", "Geändert"],
        &[0, 1],
        drafts.iter().map(|it| {
            if !it.damage.is_empty() {
                let damage = format!("beschädigt: {}", it.damage);
                return [it.draft_id.clone(), "–".to_owned(), damage, String::new(), String::new()];
            }
            [
                it.draft_id.clone(),
                it.revision.to_string(),
                it.bezeichnung.clone(),
                it.versions.join(", "),
                it.changed_at.as_ref().map_or_else(String::new, output::instant),
            ]
        }),
    )
}
