//! `registry apply`, `diff`, `export`, `schema`: a catalogue as files.

mod apply;
mod diff;
mod export;
mod find;
mod prepare;
mod read;
mod rehearse;
mod report;
#[cfg(test)]
mod tests;

use std::{cell::Cell, collections::BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use registry_client::{
    Class, Client, ClientError,
    catalogue::ServiceFilter,
    manifest::{
        plan::{self, Plan, Standing, Wanted},
        schema, without_findings,
    },
};
use registry_proto::{
    terms::Land,
    wire::registry::{GetServiceRequest, GetVersionRequest, Record, ServiceSummary, record},
};

use self::read::Directory;
pub(super) use self::{apply::apply, diff::diff, export::export, read::read};
use super::german;
use crate::{args::SchemaKind, errors::CliError, output};

/// Services that are read side by side.
const READS: usize = 16;

/// A directory against the catalogue.
struct Compared {
    services: Vec<Service>,
    /// Services of the same Länder that the directory does not have.
    only_in_log: Vec<ServiceSummary>,
}

/// A service of the directory against the catalogue.
struct Service {
    /// Owner of today, or who its definition names if it is not in the log.
    land: String,
    /// Another Land had it before, and its definition names that still.
    was_handed_over: bool,
    title: String,
    /// First manifest that says something of it.
    file: String,
    plan: Plan,
}

/// Prints a schema.
pub(super) fn schema(kind: SchemaKind) -> Result<(), CliError> {
    let SchemaKind::Manifest = kind;
    let schema = schema::manifest().map_err(|error| CliError::Internal(error.to_string()))?;
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| CliError::Internal(error.to_string()))?;
    output::write(&format!("{text}\n"))
}

/// A manifest to fill in, of a service with a UUID of its own.
pub(super) fn example() -> String {
    let id = prepare::fresh_id();
    let definition = include_str!("../../templates/service.yaml");
    let version = include_str!("../../templates/version.yaml");
    let body =
        |text: &str, key: &str| text.find(key).map_or_else(String::new, |at| text[at..].to_owned());
    let definition = body(definition, "service_definition:")
        .replace(
            "  # UUID. Leer: der Knoten vergibt eine. Selbst eintragen, um den Dienst später zu \
             ändern und um\n  # nach einer Störung gefahrlos erneut veröffentlichen zu können.\n",
            "  # UUID, in einem Manifest Pflicht; diese wurde eben gebildet\n",
        )
        .replace(
            "# service_id: \"01930000-0000-7000-8000-000000000000\"",
            &format!("service_id: \"{id}\""),
        );
    let version = body(version, "service_version:").replace(
        "  # UUID des Dienstes; zu finden mit: registry search WORT\n  service_id: \
         HIER-DIE-UUID-DES-DIENSTES-EINTRAGEN\n",
        "  # Gehört zum Steckbrief darüber\n",
    );
    format!(
        "# Manifest: ein Dienst mit seinen Versionen. Ausfüllen, dann:\n#   registry diff -f \
         VERZEICHNIS\n#   registry apply -f VERZEICHNIS\n# Zeilen mit # sind Erläuterungen oder \
         wahlfreie Felder. Zahlenfolgen stehen in Anführungszeichen.\n{definition}---\n# Für eine \
         neue Version dieses Dokument anhängen; veröffentlichte ändern sich nicht.\n{version}\n  # \
         Dateien, vom Manifest aus gesehen; registry apply sendet sie\n  # artefakte:\n  #   - \
         datei: dateien/antrag.pdf\n",
    )
}

/// Compares all services of a directory with the catalogue, and gives definitions without a Land
/// that of the node.
async fn compare(
    client: &Client,
    own: Land,
    directory: &mut Directory,
) -> Result<Compared, CliError> {
    for record in &mut directory.records {
        record.record.iter_mut().for_each(without_findings);
        if let Some(record::Record::ServiceDefinition(it)) = &mut record.record
            && it.land.is_empty()
        {
            own.code().clone_into(&mut it.land);
        }
    }
    let directory = &*directory;
    let progress = output::progress();
    let (done, all) = (Cell::new(0_usize), directory.services.len());
    let services: Vec<Service> = stream::iter(&directory.services)
        .map(|wanted| async {
            let service = service(client, own, directory, wanted).await;
            done.set(done.get() + 1);
            progress.set_message(format!("{} von {all} Diensten verglichen", done.get()));
            progress.tick();
            service
        })
        .buffered(READS)
        .try_collect()
        .await?;
    progress.finish_and_clear();
    let only_in_log =
        if directory.is_whole { missing(client, own, &services).await? } else { Vec::new() };
    Ok(Compared { services, only_in_log })
}

async fn service(
    client: &Client,
    own: Land,
    directory: &Directory,
    wanted: &Wanted,
) -> Result<Service, CliError> {
    let records = &directory.records;
    let definition = wanted.definition.and_then(|at| match &records.get(at)?.record {
        Some(record::Record::ServiceDefinition(it)) => Some(it),
        _ => None,
    });
    let named = definition.map_or_else(|| own.code().to_owned(), |it| it.land.clone());
    let (standing, owner) = standing(client, &named, records, wanted).await?;
    let title = definition
        .or(standing.definition.as_ref())
        .map_or_else(String::new, |it| german(&it.bezeichnung));
    let plan = plan::plan(records, wanted, &standing)
        .map_err(|error| CliError::Internal(error.to_string()))?;
    let first = wanted.definition.or_else(|| wanted.versions.first().copied()).unwrap_or_default();
    let file = directory.sources.file(first).to_owned();
    let was_handed_over = owner.as_ref().is_some_and(|owner| *owner != named);
    Ok(Service { land: owner.unwrap_or(named), was_handed_over, title, file, plan })
}

/// What stands of a service, and its owner of today, also if it is asked for under a former one; the
/// revision is read first, so that it is never too new.
async fn standing(
    client: &Client,
    land: &str,
    records: &[Record],
    wanted: &Wanted,
) -> Result<(Standing, Option<String>), CliError> {
    let service_id = wanted.service_id.clone();
    let request = GetServiceRequest {
        service_id: service_id.clone(),
        land: land.to_owned(),
        ..GetServiceRequest::default()
    };
    let mut found = match client.service(request).await {
        Ok(answer) => answer.service.unwrap_or_default(),
        Err(error) if is_not_found(&error) => return Ok((Standing::default(), None)),
        Err(error) => return Err(error.into()),
    };
    if let Some(it) = &mut found.definition {
        it.hinweise.clear();
    }
    let numbers: BTreeSet<&str> = wanted
        .versions
        .iter()
        .filter_map(|at| match &records.get(*at)?.record {
            Some(record::Record::ServiceVersion(it)) => Some(it.version.as_str()),
            _ => None,
        })
        .collect();
    let mut versions = Vec::new();
    for listed in client.versions(&service_id, land.parse().ok(), None).await?.entries {
        let number = listed.version;
        let mut record = None;
        if numbers.contains(number.as_str()) {
            let request = GetVersionRequest {
                service_id: service_id.clone(),
                version: number.clone(),
                land: land.to_owned(),
                ..GetVersionRequest::default()
            };
            record = client.version(request).await?.version.and_then(|it| it.version);
            if let Some(it) = &mut record {
                it.hinweise.clear();
            }
        }
        versions.push((number, record));
    }
    let owner = Some(found.land).filter(|it| !it.is_empty());
    let (revision, definition) = (found.revision, found.definition);
    Ok((Standing { revision, definition, versions }, owner))
}

/// Services in the log that the directory does not have, of its Länder.
async fn missing(
    client: &Client,
    own: Land,
    services: &[Service],
) -> Result<Vec<ServiceSummary>, CliError> {
    let here: BTreeSet<(&str, &str)> =
        services.iter().map(|it| (it.land.as_str(), it.plan.service_id.as_str())).collect();
    // one that moved away does not make the directory one of its new owner
    let begun = services.iter().filter(|it| !it.was_handed_over);
    let mut laender: BTreeSet<Land> = begun.filter_map(|it| it.land.parse().ok()).collect();
    if laender.is_empty() {
        laender.insert(own);
    }
    let mut found = Vec::new();
    for land in laender {
        let filter = ServiceFilter { land: Some(land), ..ServiceFilter::default() };
        let listed = client.services(filter, None).await?.entries;
        found.extend(
            listed
                .into_iter()
                .filter(|it| !here.contains(&(it.land.as_str(), it.service_id.as_str()))),
        );
    }
    Ok(found)
}

fn is_not_found(error: &ClientError) -> bool {
    error.class() == Class::NotFound
}
