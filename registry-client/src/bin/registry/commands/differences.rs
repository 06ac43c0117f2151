//! `registry version diff`.

use registry_client::{
    Client,
    diff::{self, DiffError, FieldChange},
};
use registry_proto::{
    terms::SemVer,
    wire::registry::{GetVersionRequest, ServiceVersion},
};

use crate::{
    args::{Format, VersionDiff},
    errors::CliError,
    json::{Node, Object},
    output,
};

pub(super) async fn versions(
    client: &Client,
    format: Format,
    args: VersionDiff,
) -> Result<(), CliError> {
    let (from, to) = match (&args.from, &args.to) {
        (Some(from), Some(to)) => (from.clone(), to.clone()),
        (newer, _) => previous(client, &args, newer.as_deref()).await?,
    };
    let old = version(client, &args, &from).await?;
    let new = version(client, &args, &to).await?;
    let changes = differences(&old, &new)?;
    let object = || {
        Ok(Object::default()
            .with("service_id", Node::Text(args.id.clone()))
            .with("from", Node::Text(from.clone()))
            .with("to", Node::Text(to.clone()))
            .with("changes", nodes(&changes)?))
    };
    output::print(format, object, || table(&changes))?;
    if changes.is_empty() {
        eprintln!("Kein Unterschied.");
    }
    Ok(())
}

/// The version named, or the highest, and the one below it.
async fn previous(
    client: &Client,
    args: &VersionDiff,
    newer: Option<&str>,
) -> Result<(String, String), CliError> {
    let listing = client.versions(&args.id, args.land, None).await?;
    let mut all: Vec<SemVer> =
        listing.entries.iter().filter_map(|it| it.version.parse().ok()).collect();
    all.sort_unstable();
    let newer: Option<SemVer> = match newer {
        Some(text) => Some(text.parse().map_err(|error| {
            CliError::Usage(format!(
                "{error}.\nNächster Schritt: registry version list {}",
                args.id
            ))
        })?),
        None => all.last().copied(),
    };
    let below = newer.and_then(|newer| all.iter().rev().find(|it| **it < newer));
    match (below, newer) {
        (Some(below), Some(newer)) => Ok((below.to_string(), newer.to_string())),
        _ => Err(CliError::Usage(format!(
            "es gibt keine niedrigere Version zum Vergleich.\nNächster Schritt: registry version \
             list {}",
            args.id
        ))),
    }
}

async fn version(
    client: &Client,
    args: &VersionDiff,
    number: &str,
) -> Result<ServiceVersion, CliError> {
    let request = GetVersionRequest {
        service_id: args.id.clone(),
        version: number.to_owned(),
        land: args.land.map_or_else(String::new, |land| land.to_string()),
        ..GetVersionRequest::default()
    };
    let answer = client.version(request).await?;
    let mut version = answer.version.and_then(|it| it.version).unwrap_or_default();
    // what a node found is no part of what was published
    version.hinweise.clear();
    Ok(version)
}

fn differences(old: &ServiceVersion, new: &ServiceVersion) -> Result<Vec<FieldChange>, CliError> {
    const NAME: &str = "ServiceVersion";
    let (old, new) = (diff::dynamic(NAME, old), diff::dynamic(NAME, new));
    let internal = |error: DiffError| CliError::Internal(error.to_string());
    Ok(diff::diff(&old.map_err(internal)?, &new.map_err(internal)?))
}

/// The changes for programs.
pub(super) fn nodes(changes: &[FieldChange]) -> Result<Node, CliError> {
    serde_json::to_value(changes).map(Node::Json).map_err(|e| CliError::Internal(e.to_string()))
}

/// The changes for people.
pub(super) fn table(changes: &[FieldChange]) -> String {
    output::table(
        ["Feld", "Vorher", "Nachher"],
        &[],
        changes
            .iter()
            .map(|it| [it.path.clone(), cell(it.before.as_ref()), cell(it.after.as_ref())]),
    )
}

fn cell(value: Option<&serde_json::Value>) -> String {
    let text = match value {
        None => return "–".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Longer values are shown in full by `-o json`.
const CELL_CHARS_MAX: usize = 200;
