//! Reads records from YAML and JSON files. Every mistake is found in one go, with file, document
//! and path.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use prost_reflect::{DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use registry_client::{connect::MESSAGE_BYTES_MAX, publish::RECORDS_MAX};
use registry_proto::wire::registry::Record;
use serde::Deserialize;
use serde_json::Value;

use crate::{errors::CliError, json};

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Mistakes that are shown; the rest is counted.
const FINDINGS_SHOWN_MAX: usize = 50;

/// Records in the order of the files.
#[derive(Debug)]
pub(crate) struct Documents {
    /// The records.
    pub(crate) records: Vec<Record>,
    /// Where each comes from.
    pub(crate) sources: Sources,
}

/// Where records come from, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

#[derive(Clone, Debug)]
struct Source {
    file: String,
    /// From 1.
    document: usize,
    /// `records[2].` if the document holds several.
    prefix: String,
}

/// A mistake in a file.
#[derive(Debug)]
struct Finding {
    path: String,
    text: String,
}

/// Records of a document, each with the prefix of its paths, and the mistakes.
type Opened = (Vec<(String, Record)>, Vec<Finding>);

/// Reads all `files`; "-" is standard input.
pub(crate) fn read(files: &[PathBuf]) -> Result<Documents, CliError> {
    let mut records = Vec::new();
    let mut sources = Sources::default();
    let mut mistakes = Vec::new();
    for path in files {
        let file = if path == Path::new("-") {
            "Standardeingabe".to_owned()
        } else {
            path.display().to_string()
        };
        let text = load(path, &file)?;
        for (index, document) in parse(path, &text).into_iter().enumerate() {
            let (found, findings) = match document {
                Ok(Value::Null) => continue,
                Ok(value) => open(&value)?,
                Err(text) => (Vec::new(), vec![Finding { path: String::new(), text }]),
            };
            let document = index + 1;
            for finding in findings {
                let place = if finding.path.is_empty() {
                    String::new()
                } else {
                    format!(", {}", finding.path)
                };
                mistakes.push(format!("  {file}, Dokument {document}{place}: {}", finding.text));
            }
            for (prefix, record) in found {
                sources.0.push(Source { file: file.clone(), document, prefix });
                records.push(record);
            }
        }
    }
    if !mistakes.is_empty() {
        return Err(CliError::Usage(summary(&mistakes)));
    }
    within_limits(&records)?;
    Ok(Documents { records, sources })
}

/// Reads a message of the protos from JSON.
pub(crate) fn message<M: prost::Message + Default>(
    name: &str,
    value: &Value,
) -> Result<M, CliError> {
    let descriptor = json::descriptor(name)?;
    let mut findings = Vec::new();
    check_message(value, &descriptor, "", &mut findings);
    let wrong = |path: &str, text: &str| {
        CliError::Usage(format!("der Wert passt nicht: {path}: {text}; nichts wurde gesendet"))
    };
    if let Some(Finding { path, text }) = findings.first() {
        return Err(wrong(path, text));
    }
    DynamicMessage::deserialize_with_options(descriptor, value, &DeserializeOptions::new())
        .map_err(|error| wrong(name, &error.to_string()))?
        .transcode_to()
        .map_err(|error| CliError::Internal(format!("{name}: {error}")))
}

fn summary(mistakes: &[String]) -> String {
    let shown = mistakes.iter().take(FINDINGS_SHOWN_MAX).cloned().collect::<Vec<_>>().join("\n");
    let more = mistakes.len().saturating_sub(FINDINGS_SHOWN_MAX);
    let more = if more > 0 { format!("\n  … und {more} weitere") } else { String::new() };
    format!(
        "nichts wurde gesendet, die Dateien enthalten {}:\n{shown}{more}\nNächster Schritt: \
         berichtigen; Vorlagen mit allen Feldern gibt registry example service|version aus",
        if mistakes.len() == 1 {
            "einen Fehler".to_owned()
        } else {
            format!("{} Fehler", mistakes.len())
        },
    )
}

fn within_limits(records: &[Record]) -> Result<(), CliError> {
    if records.is_empty() {
        return Err(CliError::Usage(
            "die Dateien enthalten keinen Datensatz.\nNächster Schritt: registry example service \
             gibt eine Vorlage aus"
                .to_owned(),
        ));
    }
    let bytes: usize = records.iter().map(prost::Message::encoded_len).sum();
    if records.len() > RECORDS_MAX || bytes > MESSAGE_BYTES_MAX - (64 << 10) {
        return Err(CliError::Usage(format!(
            "{} Datensätze mit {bytes} Byte sind zu viel für einen Stapel (höchstens {RECORDS_MAX} \
             und 4 MiB).\nNächster Schritt: auf mehrere Aufrufe verteilen",
            records.len()
        )));
    }
    Ok(())
}

fn load(path: &Path, file: &str) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|f| f.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        CliError::Usage(format!("{file} ist nicht lesbar: {error}.\nNächster Schritt: Pfad prüfen"))
    })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(CliError::Usage(format!("{file} ist größer als {} MiB", FILE_BYTES_MAX >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::Usage(format!(
            "{file} ist kein UTF-8 (Byte {at}).\nNächster Schritt: als UTF-8 speichern"
        ))
    })
}

/// The documents of a file; the text of a syntax error ends the list.
fn parse(path: &Path, text: &str) -> Vec<Result<Value, String>> {
    let json = path.extension().map_or_else(
        || text.trim_start().starts_with('{'),
        |ext| ["json", "jsonl", "ndjson"].iter().any(|known| ext.eq_ignore_ascii_case(known)),
    );
    // through the YAML value in both cases: it refuses keys that stand twice
    let mut documents = Vec::new();
    if json {
        let stream = serde_json::Deserializer::from_str(text).into_iter::<serde_norway::Value>();
        for value in stream {
            documents.push(value.map_err(|e| format!("kein gültiges JSON: {e}")).and_then(plain));
        }
    } else {
        for document in serde_norway::Deserializer::from_str(text) {
            let value = serde_norway::Value::deserialize(document);
            let failed = value.is_err();
            documents.push(value.map_err(|e| format!("kein gültiges YAML: {e}")).and_then(plain));
            if failed {
                break;
            }
        }
    }
    documents
}

fn plain(value: serde_norway::Value) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|e| format!("nicht als Datensatz lesbar: {e}"))
}

fn open(document: &Value) -> Result<Opened, CliError> {
    let mut findings = Vec::new();
    let mut records = Vec::new();
    let list = document.as_object().and_then(|object| object.get("records"));
    if let Some(list) = list {
        for key in document.as_object().into_iter().flat_map(|o| o.keys()) {
            if key != "records" {
                findings.push(Finding {
                    path: key.clone(),
                    text: "steht neben records; ein Dokument enthält nur eines davon".to_owned(),
                });
            }
        }
        let Some(list) = list.as_array() else {
            findings.push(mistyped("records", "Liste", list));
            return Ok((records, findings));
        };
        for (index, value) in list.iter().enumerate() {
            let prefix = format!("records[{index}].");
            if let Some(record) = record(value, &prefix, &mut findings)? {
                records.push((prefix, record));
            }
        }
    } else if let Some(record) = record(document, "", &mut findings)? {
        records.push((String::new(), record));
    }
    Ok((records, findings))
}

fn record(
    value: &Value,
    prefix: &str,
    findings: &mut Vec<Finding>,
) -> Result<Option<Record>, CliError> {
    let descriptor = json::descriptor("Record")?;
    let before = findings.len();
    let place = prefix.trim_end_matches('.');
    check_message(value, &descriptor, place, findings);
    if findings.len() > before {
        return Ok(None);
    }
    if !value.as_object().is_some_and(|o| o.values().any(|v| !v.is_null())) {
        findings.push(Finding {
            path: place.to_owned(),
            text: "enthält keinen Datensatz, etwa service_definition oder service_version"
                .to_owned(),
        });
        return Ok(None);
    }
    let options = DeserializeOptions::new();
    match DynamicMessage::deserialize_with_options(descriptor, value, &options) {
        Ok(message) => message
            .transcode_to()
            .map(Some)
            .map_err(|error| CliError::Internal(format!("Datensatz: {error}"))),
        Err(error) => {
            findings.push(Finding { path: place.to_owned(), text: error.to_string() });
            Ok(None)
        }
    }
}

fn check_message(
    value: &Value,
    descriptor: &MessageDescriptor,
    path: &str,
    findings: &mut Vec<Finding>,
) {
    let Some(object) = value.as_object() else {
        findings.push(mistyped(path, "Objekt mit Feldern", value));
        return;
    };
    let mut chosen: Option<String> = None;
    for (key, value) in object {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(field) =
            descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key))
        else {
            findings.push(Finding { path, text: unknown_key(key, descriptor) });
            continue;
        };
        if field.containing_oneof().is_some_and(|it| !it.is_synthetic())
            && let Some(other) = chosen.replace(key.clone())
        {
            let text = format!("steht neben {other}; nur eines von beiden ist möglich");
            findings.push(Finding { path: path.clone(), text });
        }
        check_field(value, &field, &path, findings);
    }
}

fn check_field(value: &Value, field: &FieldDescriptor, path: &str, findings: &mut Vec<Finding>) {
    if value.is_null() {
        return;
    }
    if !field.is_list() {
        return check_value(value, &field.kind(), path, findings);
    }
    let Some(list) = value.as_array() else {
        findings.push(mistyped(path, "Liste", value));
        return;
    };
    for (index, value) in list.iter().enumerate() {
        check_value(value, &field.kind(), &format!("{path}[{index}]"), findings);
    }
}

fn check_value(value: &Value, kind: &Kind, path: &str, findings: &mut Vec<Finding>) {
    let expected = match kind {
        Kind::Message(descriptor) => return check_message(value, descriptor, path, findings),
        Kind::Enum(descriptor) => {
            let known = match value {
                Value::String(name) => descriptor.get_value_by_name(name).is_some(),
                Value::Number(_) => true,
                _ => false,
            };
            if !known {
                let names: Vec<_> = descriptor.values().map(|v| v.name().to_owned()).collect();
                let text = format!("{value} ist kein Wert; erlaubt: {}", names.join(", "));
                findings.push(Finding { path: path.to_owned(), text });
            }
            return;
        }
        Kind::String | Kind::Bytes => value.is_string().then_some(()).ok_or("Text"),
        Kind::Bool => value.is_boolean().then_some(()).ok_or("true oder false"),
        Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64 => (value.is_number() || value.is_string()).then_some(()).ok_or("Zahl"),
    };
    if let Err(expected) = expected {
        findings.push(mistyped(path, expected, value));
    }
}

fn mistyped(path: &str, expected: &str, found: &Value) -> Finding {
    let (what, hint) = match found {
        Value::Null => ("nichts", ""),
        Value::Bool(_) | Value::Number(_) if expected == "Text" => {
            ("Zahl oder Wahrheitswert", "; den Wert in Anführungszeichen setzen")
        }
        Value::Bool(_) => ("Wahrheitswert", ""),
        Value::Number(_) => ("Zahl", ""),
        Value::String(_) => ("Text", ""),
        Value::Array(_) => ("Liste", ""),
        Value::Object(_) => ("Objekt mit Feldern", ""),
    };
    Finding { path: path.to_owned(), text: format!("{expected} erwartet, {what} gefunden{hint}") }
}

/// What is said of a field that does not exist.
pub(crate) fn unknown_key(key: &str, descriptor: &MessageDescriptor) -> String {
    let names: Vec<_> = descriptor.fields().map(|field| field.name().to_owned()).collect();
    let near = names
        .iter()
        .map(|name| (distance(key, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count() / 3 + 1)
        .min();
    match near {
        Some((_, name)) => format!("dieses Feld gibt es nicht; meinten Sie {name}?"),
        None => format!("dieses Feld gibt es nicht; möglich: {}", names.join(", ")),
    }
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replace = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

// === impl Sources ===

impl Sources {
    /// True if the records come from no file.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Turns a path of the request (`records[3].service_version.version`) into a place in a file.
    pub(crate) fn place(&self, field: &str) -> String {
        let found = field.strip_prefix("records[").and_then(|rest| rest.split_once(']')).and_then(
            |(index, rest)| {
                let source = self.0.get(index.parse::<usize>().ok()?)?;
                Some((source, rest.trim_start_matches('.')))
            },
        );
        match found {
            Some((source, rest)) => {
                format!("{}, Dokument {}, {}{rest}", source.file, source.document, source.prefix)
            }
            None => field.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(yaml: &str) -> Vec<String> {
        parse(Path::new("x.yaml"), yaml)
            .into_iter()
            .flat_map(|document| open(&document.expect("YAML")).expect("descriptors").1)
            .map(|finding| format!("{}: {}", finding.path, finding.text))
            .collect()
    }

    #[test]
    fn unknown_keys_are_named_with_their_path() {
        let found = mistakes(
            "service_definition:\n  bezeichnug: []\n  handlungsgrundlagen:\n  - txt: a\n---\nfoo: 1\n",
        );
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|f| f.starts_with("service_definition.bezeichnug:")
            && f.ends_with("meinten Sie bezeichnung?")));
        assert!(
            found.iter().any(|f| f.starts_with("service_definition.handlungsgrundlagen[0].txt:"))
        );
        assert!(found.iter().any(|f| f.contains("möglich: service_definition, service_version")));
    }

    #[test]
    fn a_number_where_text_belongs_asks_for_quotes() {
        let found = mistakes("service_version:\n  version: 1.4\n  zustaendige_stellen: {}\n");
        assert!(found.iter().any(|f| f.starts_with("service_version.version: Text erwartet")
            && f.ends_with("in Anführungszeichen setzen")));
        assert!(found.iter().any(|f| f.contains("zustaendige_stellen: Liste erwartet")));
    }

    #[test]
    fn a_document_may_hold_several_records_and_a_file_several_documents() {
        let text = "records:\n- service_definition: {land: SL}\n- service_version: {version: '1.0.0'}\n\
                    ---\nservice_definition: {land: RP}\n---\n";
        let records: Vec<_> = parse(Path::new("x.yaml"), text)
            .into_iter()
            .map(|document| document.expect("YAML"))
            .filter(|document| !document.is_null())
            .flat_map(|document| open(&document).expect("descriptors").0)
            .map(|(prefix, _)| prefix)
            .collect();
        assert_eq!(records, ["records[0].", "records[1].", ""]);
    }

    #[test]
    fn json_objects_follow_each_other() {
        let text = r#"{"service_definition":{"land":"SL"}} {"serviceVersion":{"version":"1.0.0"}}"#;
        let parsed = parse(Path::new("x.json"), text);
        assert_eq!(parsed.len(), 2);
        for document in parsed {
            let (records, findings) = open(&document.expect("JSON")).expect("descriptors");
            assert!(findings.is_empty(), "{findings:?}");
            assert_eq!(records.len(), 1);
        }
    }

    #[test]
    fn keys_that_stand_twice_are_refused() {
        let yaml = parse(Path::new("x.yaml"), "service_definition: {land: SL, land: RP}\n");
        assert!(matches!(yaml.as_slice(), [Err(_)]), "{yaml:?}");
        let json =
            parse(Path::new("x.json"), r#"{"service_definition":{"land":"SL","land":"RP"}}"#);
        assert!(matches!(json.as_slice(), [Err(_)]), "{json:?}");
    }

    #[test]
    fn both_records_in_one_object_are_refused() {
        let found = mistakes("service_definition: {land: SL}\nservice_version: {version: 1.0.0}\n");
        assert!(found.iter().any(|f| f.contains("nur eines von beiden")), "{found:?}");
    }

    #[test]
    fn a_record_may_carry_the_revision_it_expects() {
        let found = mistakes("service_definition: {land: SL}\nexpected_revision: 3\n");
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn fields_of_the_request_are_places_in_files() {
        let source =
            Source { file: "a.yaml".to_owned(), document: 2, prefix: "records[1].".to_owned() };
        let sources = Sources(vec![source]);
        assert_eq!(
            sources.place("records[0].service_version.version"),
            "a.yaml, Dokument 2, records[1].service_version.version"
        );
        assert_eq!(sources.place("records[7].x"), "records[7].x");
        assert_eq!(sources.place("ack_peers"), "ack_peers");
    }
}
