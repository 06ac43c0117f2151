//! What apply and diff say of services.

use registry_client::manifest::plan::{State, Step};
use registry_proto::wire::registry::{PublishedRecord, ServiceSummary};
use serde_json::json;

use super::Service;
use crate::{
    commands::{count, differences},
    errors::CliError,
    json::{self, Node, Object},
};

/// What became of the records of a service that were to be published.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing was to be published.
    Unchanged,
    /// Published or, in a dry run, found to be in order; in the order of the plan.
    Published(Vec<PublishedRecord>),
    /// Refused, by the node or here.
    Refused(CliError),
    /// Found to be in order as far as a dry run can tell: what the rest depends on is not at the
    /// node.
    NotWhole,
    /// Something else stopped it all before.
    NotTried,
}

// === impl Outcome ===

impl Outcome {
    /// For programs.
    pub(super) fn name(&self, service: &Service) -> &'static str {
        let created =
            service.plan.steps.iter().any(|it| it.version.is_none() && it.state == State::New);
        match self {
            Self::Unchanged => "unchanged",
            Self::Published(_) if created => "created",
            Self::Published(_) => "changed",
            Self::Refused(_) => "refused",
            Self::NotWhole => "not_whole",
            Self::NotTried => "not_tried",
        }
    }

    /// What became of a step, in words.
    pub(super) fn word(&self, step: &Step, dry_run: bool) -> &'static str {
        match (self, step.state, dry_run) {
            (_, State::Conflict, _) | (Self::Refused(_), ..) => "abgelehnt",
            (Self::NotTried, ..) => "nicht versucht",
            (Self::NotWhole, ..) => "nicht ganz geprüft",
            (_, State::Changed, false) => "geändert",
            (_, State::Changed, true) => "würde geändert",
            (_, _, false) => "veröffentlicht",
            (_, _, true) => "würde veröffentlicht",
        }
    }

    /// The answer of the node to the record at a place.
    pub(super) fn published(&self, service: &Service, record: usize) -> Option<&PublishedRecord> {
        let Self::Published(answers) = self else { return None };
        let at = service.plan.to_publish().iter().position(|it| *it == record)?;
        answers.get(at)
    }
}

/// `Steckbrief` or `Version 1.0.0`.
pub(super) fn what(step: &Step) -> String {
    step.version.as_ref().map_or_else(|| "Steckbrief".to_owned(), |it| format!("Version {it}"))
}

/// For programs.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::New => "new",
        State::Changed => "changed",
        State::Unchanged => "unchanged",
        State::Conflict => "conflict",
        State::OnlyInLog => "only_in_log",
    }
}

/// A service with what `apply` did, for programs.
pub(super) fn applied(service: &Service, outcome: &Outcome) -> Result<Node, CliError> {
    let mut steps = Vec::new();
    for step in &service.plan.steps {
        let mut object = Object::default();
        if let Some(version) = &step.version {
            object = object.with("version", Node::Text(version.clone()));
        }
        object = object.with("state", Node::Text(state(step.state).to_owned()));
        if let Some(answer) = step.record.and_then(|at| outcome.published(service, at)) {
            object = object.with("published", json::message("PublishedRecord", answer)?);
        }
        steps.push(Node::Object(object));
    }
    let mut object = head(service)
        .with("result", Node::Text(outcome.name(service).to_owned()))
        .with("records", Node::List(steps));
    if let Outcome::Refused(error) = outcome {
        object = object.with("error", Node::Text(reason(error)));
    }
    Ok(Node::Object(object))
}

/// A service with its differences, for programs.
pub(super) fn compared(service: &Service) -> Result<Node, CliError> {
    let mut steps = Vec::new();
    for step in &service.plan.steps {
        let mut object = Object::default();
        if let Some(version) = &step.version {
            object = object.with("version", Node::Text(version.clone()));
        }
        object = object
            .with("state", Node::Text(state(step.state).to_owned()))
            .with("changes", differences::nodes(&step.changes)?);
        steps.push(Node::Object(object));
    }
    Ok(Node::Object(head(service).with("records", Node::List(steps))))
}

fn head(service: &Service) -> Object {
    Object::default()
        .with("service_id", Node::Text(service.plan.service_id.clone()))
        .with("land", Node::Text(service.land.clone()))
        .with("bezeichnung", Node::Text(service.title.clone()))
        .with("file", Node::Text(service.file.clone()))
}

/// Services that only the log has, for programs.
pub(super) fn only_in_log(services: &[ServiceSummary]) -> Node {
    let one = |it: &ServiceSummary| {
        let name = &it.bezeichnung;
        json!({"service_id": it.service_id, "land": it.land, "bezeichnung": name})
    };
    Node::Json(services.iter().map(one).collect())
}

/// What is in the log and not in the directory, in words; nothing if there is nothing.
pub(super) fn left_alone(services: &[Service], only_in_log: &[ServiceSummary]) -> Option<String> {
    let steps = services.iter().flat_map(|it| &it.plan.steps);
    let versions = steps.filter(|it| it.state == State::OnlyInLog && it.version.is_some()).count();
    let mut parts = Vec::new();
    if !only_in_log.is_empty() {
        parts.push(count(only_in_log.len(), "Dienst", "Dienste"));
    }
    if versions > 0 {
        parts.push(count(versions, "Version", "Versionen"));
    }
    (!parts.is_empty()).then(|| {
        format!(
            "Nur im Protokoll, nicht im Verzeichnis: {}. Das bleibt so; registry diff zeigt, was \
             es ist.",
            parts.join(" und ")
        )
    })
}

/// Why something was refused, without the word for errors.
pub(super) fn reason(error: &CliError) -> String {
    let text = error.report().unwrap_or_default();
    text.strip_prefix("Fehler: ").unwrap_or(&text).to_owned()
}
