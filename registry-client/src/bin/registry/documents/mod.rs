//! Reads records from YAML and JSON files. Every mistake is found in one go, with file, document
//! and path.

mod check;
mod lines;
mod sources;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use check::{check_message, mistyped};
use prost_reflect::{DeserializeOptions, DynamicMessage};
use registry_client::{connect::MESSAGE_BYTES_MAX, publish::RECORDS_MAX};
use registry_proto::wire::registry::Record;
use serde::Deserialize;
use serde_json::Value;
use sources::Source;

pub(crate) use self::{
    check::{Finding, unknown_key},
    sources::Sources,
};
use crate::{errors::CliError, json};

/// Bytes of one file.
pub(crate) const FILE_BYTES_MAX: u64 = 32 << 20;
/// Bytes of the records of one request, with room for what is around them.
pub(crate) const BATCH_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (64 << 10);
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

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) records: Vec<Record>,
    pub(crate) sources: Sources,
    /// One line each, with its place.
    pub(crate) mistakes: Vec<String>,
}

/// Takes out of a record, given as JSON, what is none of its fields. It is told the place the
/// record will have among the records of the file.
type Prepare<'a> = dyn FnMut(usize, &mut Value, &mut Vec<Finding>) + 'a;

/// Records of a document, each with the prefix of its paths, and the mistakes.
type Opened = (Vec<(String, Record)>, Vec<Finding>);

/// Reads all `files`; "-" is standard input.
pub(crate) fn read(files: &[PathBuf]) -> Result<Documents, CliError> {
    let mut all = Reading::default();
    for path in files {
        let file = if path == Path::new("-") {
            "Standardeingabe".to_owned()
        } else {
            path.display().to_string()
        };
        let text = load(path, &file)?;
        all.append(Reading::of(path, &file, &text, None, &mut |_, _, _| ())?);
    }
    if !all.mistakes.is_empty() {
        return Err(CliError::Usage(summary(&all.mistakes)));
    }
    within_limits(&all.records)?;
    Ok(Documents { records: all.records, sources: all.sources })
}

// === impl Reading ===

impl Reading {
    /// Reads one file; `lines` is its text if places shall be named by lines.
    pub(crate) fn of(
        path: &Path,
        file: &str,
        text: &str,
        lines: Option<&Arc<str>>,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, CliError> {
        let mut all = Self::default();
        for (index, document) in parse(path, text).into_iter().enumerate() {
            let before = all.records.len();
            let (found, findings) = match document {
                Ok(Value::Null) => continue,
                Ok(value) => open(value, &mut |at, value, findings| {
                    prepare(before + at, value, findings);
                })?,
                Err(text) => (Vec::new(), vec![Finding { path: String::new(), text }]),
            };
            let source = |prefix| {
                let text = lines.cloned();
                Source { file: file.to_owned(), document: index + 1, prefix, text }
            };
            for finding in findings {
                let place = source(String::new()).place(&finding.path);
                let comma = if finding.path.is_empty() { "" } else { ", " };
                all.mistakes.push(format!("  {place}{comma}{}: {}", finding.path, finding.text));
            }
            for (prefix, record) in found {
                all.sources.push(source(prefix));
                all.records.push(record);
            }
        }
        Ok(all)
    }

    /// What was read of another file behind this.
    pub(crate) fn append(&mut self, more: Self) {
        self.records.extend(more.records);
        self.sources.append(more.sources);
        self.mistakes.extend(more.mistakes);
    }
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

/// All mistakes, and what to do.
pub(crate) fn summary(mistakes: &[String]) -> String {
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
    if records.len() > RECORDS_MAX || bytes > BATCH_BYTES_MAX {
        return Err(CliError::Usage(format!(
            "{} Datensätze mit {bytes} Byte sind zu viel für einen Stapel (höchstens {RECORDS_MAX} \
             und 4 MiB).\nNächster Schritt: auf mehrere Aufrufe verteilen",
            records.len()
        )));
    }
    Ok(())
}

/// The text of a file; `file` is what it is called.
pub(crate) fn load(path: &Path, file: &str) -> Result<String, CliError> {
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

fn open(mut document: Value, prepare: &mut Prepare<'_>) -> Result<Opened, CliError> {
    let mut findings = Vec::new();
    let mut records = Vec::new();
    if document.get("records").is_none() {
        prepare(0, &mut document, &mut findings);
        if let Some(record) = record(&document, "", &mut findings)? {
            records.push((String::new(), record));
        }
        return Ok((records, findings));
    }
    for key in document.as_object().into_iter().flat_map(|o| o.keys()) {
        if key != "records" {
            findings.push(Finding {
                path: key.clone(),
                text: "steht neben records; ein Dokument enthält nur eines davon".to_owned(),
            });
        }
    }
    let Some(list) = document.get_mut("records").and_then(Value::as_array_mut) else {
        findings.push(mistyped("records", "Liste", &document["records"]));
        return Ok((records, findings));
    };
    for (index, value) in list.iter_mut().enumerate() {
        let prefix = format!("records[{index}].");
        let mut found = Vec::new();
        prepare(records.len(), value, &mut found);
        findings.extend(found.into_iter().map(|it| Finding {
            path: format!("{prefix}{}", it.path).trim_end_matches('.').to_owned(),
            text: it.text,
        }));
        if let Some(record) = record(value, &prefix, &mut findings)? {
            records.push((prefix, record));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(document: Value) -> Opened {
        open(document, &mut |_, _, _| ()).expect("descriptors")
    }

    fn mistakes(yaml: &str) -> Vec<String> {
        parse(Path::new("x.yaml"), yaml)
            .into_iter()
            .flat_map(|document| opened(document.expect("YAML")).1)
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
            .flat_map(|document| opened(document).0)
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
            let (records, findings) = opened(document.expect("JSON"));
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
}
