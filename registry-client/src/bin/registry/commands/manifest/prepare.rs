//! What a manifest says beside the fields of its records: whose a version is, and where files lie.

use registry_client::manifest::render::FILE_KEY;
use registry_proto::terms::{Land, ServiceId};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{documents::Finding, json};

/// Prepares the records of one manifest.
#[derive(Debug, Default)]
pub(super) struct Preparing {
    /// Service of the last definition.
    current: Option<String>,
    /// (record, artefact, path as written)
    pub(super) attached: Vec<(usize, usize, String)>,
}

// === impl Preparing ===

impl Preparing {
    /// Takes the paths of files out of a record, and gives a version its service.
    pub(super) fn record(&mut self, at: usize, value: &mut Value, findings: &mut Vec<Finding>) {
        let Some(fields) = value.as_object_mut() else { return };
        for key in fields.keys().filter(|key| is_other_record(key)) {
            findings.push(Finding {
                path: key.clone(),
                text: "gehört nicht in ein Manifest, das Steckbrief und Versionen enthält; \
                       Schritte haben eigene Befehle, oder registry publish -f"
                    .to_owned(),
            });
        }
        if let Some((name, fields)) = object(fields, ["service_definition", "serviceDefinition"]) {
            match id(fields) {
                Id::Missing => findings.push(Finding {
                    path: format!("{name}.service_id"),
                    text: format!(
                        "fehlt; ohne sie wäre jeder Aufruf ein neuer Dienst. Für einen neuen \
                         Dienst eintragen: service_id: {}",
                        fresh_id()
                    ),
                }),
                Id::Text(text) => {
                    judge_form(&text, &format!("{name}.service_id"), findings);
                    self.current = Some(text);
                }
                Id::Other => {}
            }
            match fields.get("land").and_then(Value::as_str) {
                Some(land) if !land.is_empty() && land.parse::<Land>().is_err() => {
                    findings.push(Finding {
                        path: format!("{name}.land"),
                        text: format!("{land:?} ist kein Land; erwartet wird etwa SL, oder nichts"),
                    });
                }
                _ => {}
            }
        }
        if let Some((name, fields)) = object(fields, ["service_version", "serviceVersion"]) {
            match (id(fields), &self.current) {
                (Id::Missing, Some(current)) => {
                    fields.insert("service_id".to_owned(), Value::from(current.as_str()));
                }
                (Id::Missing, None) => findings.push(Finding {
                    path: format!("{name}.service_id"),
                    text: "fehlt, und vor dieser Version steht kein Steckbrief, zu dem sie gehört"
                        .to_owned(),
                }),
                (Id::Text(text), _) => judge_form(&text, &format!("{name}.service_id"), findings),
                (Id::Other, _) => {}
            }
            self.files(at, name, fields, findings);
        }
    }

    fn files(
        &mut self,
        record: usize,
        name: &str,
        fields: &mut Map<String, Value>,
        findings: &mut Vec<Finding>,
    ) {
        let all = fields.get_mut("artefakte").and_then(Value::as_array_mut);
        for (at, one) in all.into_iter().flatten().enumerate() {
            match one.as_object_mut().and_then(|it| it.remove(FILE_KEY)) {
                Some(Value::String(path)) => self.attached.push((record, at, path)),
                Some(_) => findings.push(Finding {
                    path: format!("{name}.artefakte[{at}].{FILE_KEY}"),
                    text: "erwartet wird der Pfad einer Datei".to_owned(),
                }),
                None => {}
            }
        }
    }
}

/// The service id of a record.
enum Id {
    Missing,
    Text(String),
    /// A number, say; the check of the fields tells.
    Other,
}

fn id(fields: &mut Map<String, Value>) -> Id {
    // both names of the field are read; one is enough here
    if let Some(value) = fields.remove("serviceId") {
        fields.entry("service_id").or_insert(value);
    }
    match fields.get("service_id") {
        None | Some(Value::Null) => Id::Missing,
        Some(Value::String(text)) if text.is_empty() => Id::Missing,
        Some(Value::String(text)) => Id::Text(text.clone()),
        Some(_) => Id::Other,
    }
}

fn judge_form(text: &str, path: &str, findings: &mut Vec<Finding>) {
    if text.parse::<ServiceId>().is_err() {
        findings.push(Finding {
            path: path.to_owned(),
            text: format!("{text:?} ist keine UUID in Kleinschreibung mit Bindestrichen"),
        });
    }
}

fn object<'a>(
    fields: &'a mut Map<String, Value>,
    names: [&'static str; 2],
) -> Option<(&'static str, &'a mut Map<String, Value>)> {
    let name = names.into_iter().find(|name| fields.contains_key(*name))?;
    Some((name, fields.get_mut(name)?.as_object_mut()?))
}

/// True for a kind of record that is neither a definition nor a version.
fn is_other_record(key: &str) -> bool {
    let Ok(descriptor) = json::descriptor("Record") else { return false };
    let field =
        descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key));
    field.is_some_and(|it| {
        !matches!(it.name(), "service_definition" | "service_version" | "expected_revision")
    })
}

/// A UUID (v7) for a new service.
pub(super) fn fresh_id() -> Uuid {
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    let millis = u64::try_from(now).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}
