//! `registry apply`: sends the files that are missing, then each service as a batch of its own.

use std::{cell::Cell, collections::BTreeSet};

use indicatif::ProgressBar;
use registry_client::{
    Class, Client, ClientError,
    manifest::plan::{State, Step},
    publish::RECORDS_MAX,
};
use registry_proto::{
    log::Hash,
    terms::Land,
    wire::registry::{PublishedRecord, Record},
};

use super::{
    Compared, Service, compare,
    read::Directory,
    rehearse::{self, Absent, Fate},
    report::{self, Outcome},
};
use crate::{
    args::{Apply, Format, Writing},
    commands::{count, own_land, write},
    documents::{BATCH_BYTES_MAX, Sources},
    errors::CliError,
    json::{Node, Object},
    output::{self, clean},
};

/// Refusals that are told in full; the rest is counted.
const REFUSALS_SHOWN_MAX: usize = 50;

/// What publishing needs besides the services.
struct Publishing<'a> {
    client: &'a Client,
    own: Land,
    directory: &'a Directory,
    writing: Writing,
    progress: ProgressBar,
    /// Files that a dry run left out.
    left_out: Cell<usize>,
}

/// What became of all, and what stopped it.
struct Done {
    outcomes: Vec<Outcome>,
    stopped: Option<CliError>,
}

pub(in crate::commands) async fn apply(
    client: &Client,
    format: Format,
    args: Apply,
    mut directory: Directory,
) -> Result<(), CliError> {
    let own = own_land(client).await?;
    let compared = compare(client, own, &mut directory).await?;
    let (writing, progress) = (args.writing(), output::progress());
    let left_out = Cell::new(0);
    let publishing = Publishing { client, own, directory: &directory, writing, progress, left_out };
    let done = if args.atomic {
        publishing.together(&compared.services).await?
    } else {
        publishing.each(&compared.services).await
    };
    print(format, &compared, &done, args.dry_run)?;
    tell(&compared, &done, args.dry_run, publishing.left_out.get());
    let refused = refusals(&compared.services, &done.outcomes);
    match (done.stopped, refused) {
        (Some(error), Some(text)) => {
            eprintln!("{text}");
            Err(error)
        }
        (Some(error), None) => Err(error),
        (None, Some(text)) => Err(CliError::Refused(text)),
        (None, None) => Ok(()),
    }
}

// === impl Publishing ===

impl Publishing<'_> {
    /// Each service by itself; only what would stop every other as well ends it.
    async fn each(&self, services: &[Service]) -> Done {
        let mut done = Done { outcomes: Vec::with_capacity(services.len()), stopped: None };
        for (at, service) in services.iter().enumerate() {
            if service.plan.to_publish().is_empty() && service.plan.conflicts().count() == 0 {
                done.outcomes.push(Outcome::Unchanged);
                continue;
            }
            if done.stopped.is_some() {
                done.outcomes.push(Outcome::NotTried);
                continue;
            }
            self.progress.reset();
            self.progress.set_message(format!("{} von {} Diensten", at + 1, services.len()));
            self.progress.tick();
            let outcome = match self.refusal(service) {
                Some(refusal) => Outcome::Refused(refusal),
                None => match self.one(service).await {
                    Ok(outcome) => outcome,
                    Err(error) if matches!(error.exit_code(), 2..=4) => Outcome::Refused(error),
                    Err(error) => {
                        done.stopped = Some(error);
                        Outcome::NotTried
                    }
                },
            };
            self.progress.finish_and_clear();
            done.outcomes.push(outcome);
        }
        done
    }

    /// What can be told without the node.
    fn refusal(&self, service: &Service) -> Option<CliError> {
        if service.land != self.own.code() {
            let (land, own) = (clean(&service.land), self.own);
            return Some(CliError::Refused(if service.was_handed_over {
                format!("die Leistung gehört seit der Übergabe {land}; über sie schreibt {land}")
            } else {
                format!(
                    "der Steckbrief nennt {land}, dieser Knoten schreibt für {own}; jedes Land \
                     veröffentlicht nur eigene Leistungen"
                )
            }));
        }
        let conflicts: Vec<String> = service.plan.conflicts().map(|it| self.conflict(it)).collect();
        (!conflicts.is_empty()).then(|| CliError::Refused(conflicts.join("\n")))
    }

    fn conflict(&self, step: &Step) -> String {
        let number = step.version.as_deref().unwrap_or_default();
        let first = step.changes.first().map_or("", |it| it.path.as_str());
        let fields: Vec<&str> = step.changes.iter().map(|it| it.path.as_str()).collect();
        let place = step.record.map_or_else(String::new, |at| {
            self.directory.sources.place_in(at, &format!("service_version.{first}"))
        });
        format!(
            "{place}: Version {number} steht mit anderem Inhalt im Protokoll ({}). \
             Veröffentlichtes ändert sich nicht: die Änderung als Version mit höherer Nummer \
             anhängen und {number} lassen, wie es war",
            fields.join(", ")
        )
    }

    /// The missing files, then the records in as few batches as they fit in.
    async fn one(&self, service: &Service) -> Result<Outcome, CliError> {
        let records = service.plan.to_publish();
        let absent = self.files(&records, service).await?;
        if absent.is_unclear {
            return Ok(Outcome::NotWhole);
        }
        let mut answers = Vec::with_capacity(records.len());
        let mut revision = service.plan.revision;
        for batch in batches(&self.directory.records, &records) {
            let sent = batch.iter().filter_map(|at| self.record(*at, revision)).collect();
            let published = self.send(sent, &batch, &absent).await?;
            revision = published.last().map_or(revision, |it| it.revision);
            answers.extend(published);
            if self.writing.dry_run && answers.len() < records.len() {
                // the next batch rests on this one, which was not written
                return Ok(Outcome::NotWhole);
            }
        }
        Ok(Outcome::Published(answers))
    }

    /// All services as one batch.
    async fn together(&self, services: &[Service]) -> Result<Done, CliError> {
        let refusals: Vec<_> = services.iter().map(|it| self.refusal(it)).collect();
        let mut done = Done { outcomes: Vec::new(), stopped: None };
        if refusals.iter().any(Option::is_some) {
            let untouched = |it: &Service| it.plan.to_publish().is_empty();
            done.outcomes = services
                .iter()
                .zip(refusals)
                .map(|(service, refusal)| match refusal {
                    Some(error) => Outcome::Refused(error),
                    None if untouched(service) => Outcome::Unchanged,
                    None => Outcome::NotTried,
                })
                .collect();
            return Ok(done);
        }
        let mut all: Vec<usize> = Vec::new();
        let mut sent: Vec<Record> = Vec::new();
        for service in services {
            for at in service.plan.to_publish() {
                sent.extend(self.record(at, service.plan.revision));
                all.push(at);
            }
        }
        if batches(&self.directory.records, &all).len() > 1 {
            return Err(CliError::Usage(format!(
                "{} Datensätze sind zu viel für einen Stapel (höchstens {RECORDS_MAX} und 4 \
                 MiB).\nNächster Schritt: ohne --atomic, dann ist jeder Dienst ein Stapel",
                all.len()
            )));
        }
        let mut absent = Absent::default();
        for service in services {
            absent.append(self.files(&service.plan.to_publish(), service).await?);
        }
        if absent.is_unclear {
            let outcome = |it: &Service| match it.plan.to_publish().is_empty() {
                true => Outcome::Unchanged,
                false => Outcome::NotWhole,
            };
            done.outcomes = services.iter().map(outcome).collect();
            return Ok(done);
        }
        // when it is refused nothing was written, and nothing else was tried
        let answers = match all.is_empty() {
            true => Vec::new(),
            false => self.send(sent, &all, &absent).await?,
        };
        let mut answers = answers.into_iter();
        for service in services {
            let count = service.plan.to_publish().len();
            done.outcomes.push(match count {
                0 => Outcome::Unchanged,
                _ => Outcome::Published(answers.by_ref().take(count).collect()),
            });
        }
        Ok(done)
    }

    /// The record at a place, to be refused if its service has moved on.
    fn record(&self, at: usize, revision: u64) -> Option<Record> {
        let record = self.directory.records.get(at)?.clone();
        let expected_revision = record.expected_revision.or(Some(revision));
        Some(Record { expected_revision, ..record })
    }

    /// Publishes a batch; a dry run leaves out what is absent.
    async fn send(
        &self,
        records: Vec<Record>,
        at: &[usize],
        absent: &Absent,
    ) -> Result<Vec<PublishedRecord>, CliError> {
        let sources: Sources = self.directory.sources.select(at);
        let key = self.writing.key();
        let sent = at.iter().zip(records.clone()).map(|(at, it)| absent.without(*at, it)).collect();
        let sent = write::send(self.client, sent, sources.clone(), &self.writing, key).await;
        let mut answer = sent.map_err(|error| match error {
            // the next call finds out what became of it; there is no key to repeat it with
            CliError::Write { error, .. } if error.class() == Class::Unavailable => (*error).into(),
            other => other,
        })?;
        absent.correct(at, &records, &mut answer);
        self.progress.suspend(|| write::tell(&answer, &sources));
        Ok(answer.records)
    }

    /// Sends the files of records that the node does not have, once it has found nothing else wrong
    /// with them: a mistake should not wait for gigabytes. A dry run sends only what the node has to
    /// compare, and gives the rest.
    async fn files(&self, records: &[usize], service: &Service) -> Result<Absent, CliError> {
        let named: Vec<_> = records
            .iter()
            .filter_map(|at| Some((*at, self.directory.files.get(at)?)))
            .flat_map(|(at, files)| files.iter().map(move |it| (at, it)))
            .collect();
        let chunks: BTreeSet<Hash> =
            named.iter().flat_map(|(_, it)| it.layout.chunks().map(|(chunk, _)| chunk)).collect();
        let chunks: Vec<Hash> = chunks.into_iter().collect();
        let here: BTreeSet<Hash> = self.client.have_chunks(&chunks).await?.into_iter().collect();
        let mut absent = Absent::default();
        if here.len() == chunks.len() {
            return Ok(absent);
        }
        if let Some(batch) = batches(&self.directory.records, records).first() {
            self.probe(batch, service.plan.revision).await?;
        }
        // the bytes of the files are what there is to see now
        self.progress.finish_and_clear();
        let is_compared = service.plan.steps.iter().filter(|it| it.version.is_some()).count() > 1;
        for (at, it) in named {
            let is_here = it.layout.chunks().all(|(chunk, _)| here.contains(&chunk));
            let record = self.directory.records.get(at);
            let fate = record.map(|record| rehearse::fate(record, it, is_compared));
            match fate.filter(|_| self.writing.dry_run && !is_here) {
                None if self.writing.dry_run => {}
                None | Some(Fate::Send) => rehearse::send(self.client, it).await?,
                Some(Fate::LeaveOut) => absent.add(at, it),
                Some(Fate::Unclear) => absent.is_unclear = true,
            }
        }
        self.left_out.set(self.left_out.get() + absent.count());
        Ok(absent)
    }

    /// What the node says of records whose files it does not have; nothing is written.
    async fn probe(&self, batch: &[usize], revision: u64) -> Result<(), CliError> {
        let records = batch.iter().filter_map(|at| self.record(*at, revision)).collect();
        let writing = Writing { dry_run: true, ..Writing::default() };
        let sources = self.directory.sources.select(batch);
        match write::send(self.client, records, sources, &writing, String::new()).await {
            Err(error) if !is_only_missing_files(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// The places in batches that a node takes.
fn batches(records: &[Record], places: &[usize]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    let mut bytes = usize::MAX;
    for at in places {
        // what a record takes in a request, with its frame and revision
        let more = records.get(*at).map_or(0, prost::Message::encoded_len) + 32;
        match all.last_mut() {
            Some(last) if last.len() < RECORDS_MAX && bytes + more <= BATCH_BYTES_MAX => {
                last.push(*at);
                bytes += more;
            }
            _ => {
                all.push(vec![*at]);
                bytes = more;
            }
        }
    }
    all
}

/// True if a node found nothing wrong but that files are not there.
fn is_only_missing_files(error: &CliError) -> bool {
    let CliError::Write { error, .. } = error else { return false };
    let ClientError::Refused { refusal, .. } = &**error else { return false };
    let all = &refusal.violations;
    !all.is_empty() && all.iter().all(|it| it.reason == "ARTEFACT_MISSING")
}

fn print(format: Format, compared: &Compared, done: &Done, dry_run: bool) -> Result<(), CliError> {
    let pairs = || compared.services.iter().zip(&done.outcomes);
    let object = || {
        let services = pairs().map(|(it, outcome)| report::applied(it, outcome));
        Ok(Object::default()
            .with("services", Node::List(services.collect::<Result<_, _>>()?))
            .with("only_in_log", report::only_in_log(&compared.only_in_log))
            .with("dry_run", Node::Bool(dry_run)))
    };
    let rows = || {
        pairs().flat_map(|(service, outcome)| {
            let told = |it: &&Step| !matches!(it.state, State::Unchanged | State::OnlyInLog);
            service.plan.steps.iter().filter(told).map(move |step| {
                let answer = step.record.and_then(|at| outcome.published(service, at));
                let entry =
                    answer.map_or_else(String::new, |it| output::place(it.position.as_ref()));
                [
                    service.plan.service_id.clone(),
                    report::what(step),
                    outcome.word(step, dry_run).to_owned(),
                    if entry.is_empty() { "–".to_owned() } else { entry },
                    service.file.clone(),
                ]
            })
        })
    };
    let table = || {
        let rows: Vec<_> = rows().collect();
        if rows.is_empty() {
            return String::new();
        }
        output::table(["Dienst", "Was", "Ergebnis", "Eintrag", "Manifest"], &[0, 1, 3], rows)
    };
    output::print(format, object, table)
}

/// The sum, on standard error.
fn tell(compared: &Compared, done: &Done, dry_run: bool, left_out: usize) {
    let sum = |wanted: fn(&Outcome) -> bool| done.outcomes.iter().filter(|it| wanted(it)).count();
    let unchanged = sum(|it| matches!(it, Outcome::Unchanged));
    let published = sum(|it| matches!(it, Outcome::Published(_)));
    let not_whole = sum(|it| matches!(it, Outcome::NotWhole));
    let untried = sum(|it| matches!(it, Outcome::NotTried));
    if not_whole > 0 {
        eprintln!(
            "Hinweis: bei {} sind es mehrere Stapel, oder eine Schnittstellenbeschreibung ist zu \
             groß zum Vergleichen; ganz geprüft wird erst beim Veröffentlichen.",
            count(not_whole, "Dienst", "Diensten")
        );
    }
    if left_out > 0 {
        let files = count(left_out, "Datei fehlt", "Dateien fehlen");
        eprintln!("{files} dem Knoten noch; registry apply ohne --dry-run sendet sie.");
    }
    if let Some(text) = report::left_alone(&compared.services, &compared.only_in_log) {
        eprintln!("{text}");
    }
    let all = compared.services.len();
    if unchanged == all {
        let stand = if all == 1 { "steht" } else { "stehen" };
        eprintln!(
            "Nichts zu tun: {} {stand} schon so im Protokoll.",
            count(all, "Dienst", "Dienste")
        );
        return;
    }
    let done = if dry_run { "in Ordnung, nichts geschrieben" } else { "veröffentlicht" };
    let mut parts = vec![format!("{} {done}", count(published, "Dienst", "Dienste"))];
    for (number, text) in [
        (unchanged, "unverändert"),
        (not_whole, "nicht ganz geprüft"),
        (sum(|it| matches!(it, Outcome::Refused(_))), "abgelehnt"),
        (untried, "nicht versucht"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {text}"));
        }
    }
    eprintln!("{}.", parts.join(", "));
}

/// Who was refused and why; nothing if nobody was.
fn refusals(services: &[Service], outcomes: &[Outcome]) -> Option<String> {
    let refused: Vec<(&Service, &CliError)> = services
        .iter()
        .zip(outcomes)
        .filter_map(|(service, outcome)| match outcome {
            Outcome::Refused(error) => Some((service, error)),
            _ => None,
        })
        .collect();
    if refused.is_empty() {
        return None;
    }
    let mut text =
        format!("abgelehnt: {} von {}", refused.len(), count(services.len(), "Dienst", "Diensten"));
    for (service, error) in refused.iter().take(REFUSALS_SHOWN_MAX) {
        let (id, title) = (&service.plan.service_id, clean(&service.title));
        let why = report::reason(error).replace('\n', "\n    ");
        text.push_str(&format!("\n  {id} {title}\n    {why}"));
    }
    let more = refused.len().saturating_sub(REFUSALS_SHOWN_MAX);
    if more > 0 {
        text.push_str(&format!("\n  … und {more} weitere (alle mit -o json)"));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use registry_proto::wire::registry::{ServiceVersion, record};

    use super::*;

    fn record(bytes: usize) -> Record {
        let version = ServiceVersion { lizenz: "x".repeat(bytes), ..ServiceVersion::default() };
        Record { record: Some(record::Record::ServiceVersion(version)), expected_revision: None }
    }

    #[test]
    fn batches_fit_into_a_request() {
        let small = vec![record(1); RECORDS_MAX + 1];
        let places: Vec<usize> = (0..small.len()).collect();
        let sizes = |all: Vec<Vec<usize>>| all.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(batches(&small, &places)), [RECORDS_MAX, 1]);
        assert_eq!(sizes(batches(&small, &places[..3])), [3]);
        assert!(batches(&small, &[]).is_empty());
        let large = vec![record(1 << 20); 5];
        assert_eq!(sizes(batches(&large, &[0, 1, 2, 3, 4])), [3, 2]);
    }
}
