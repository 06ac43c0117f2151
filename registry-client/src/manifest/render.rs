//! A service as the text of a manifest: one YAML document for the definition, then one for each
//! version. The same records always give the same bytes.

use prost_reflect::{DynamicMessage, SerializeOptions};
use registry_proto::wire::registry::{Record, ServiceVersion, record};
use serde::Deserialize;
use serde_norway::{Mapping, Value};

use crate::diff::{self, DiffError};

/// The key that names the file of an artefact, in place of its digests.
pub const FILE_KEY: &str = "datei";

/// A record has no text.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// It is none of the protos.
    #[error("the record cannot be described")]
    Describe(#[from] DiffError),
    /// It does not become YAML.
    #[error("the record cannot be written as YAML")]
    Yaml(#[from] serde_norway::Error),
    /// What would be read back is not what was written.
    #[error("the text of a record would be read back as something else")]
    Lossy,
}

/// The text of these records. `file` tells for a version and the place of an artefact in it the
/// path of the file beside the manifest; without one the digests are written.
///
/// # Errors
///
/// [`RenderError`].
pub fn text(
    records: &[Record],
    file: &dyn Fn(&ServiceVersion, usize) -> Option<String>,
) -> Result<String, RenderError> {
    let mut text = String::new();
    for record in records {
        let document = document(record, file)?;
        let rendered = serde_norway::to_string(&document)?;
        if Value::deserialize(serde_norway::Deserializer::from_str(&rendered))? != document {
            return Err(RenderError::Lossy);
        }
        if !text.is_empty() {
            text.push_str("---\n");
        }
        text.push_str(&rendered);
    }
    Ok(text)
}

fn document(
    record: &Record,
    file: &dyn Fn(&ServiceVersion, usize) -> Option<String>,
) -> Result<Value, RenderError> {
    let message: DynamicMessage = diff::dynamic("Record", record)?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    let mut document = message.serialize_with_options(serde_norway::value::Serializer, &options)?;
    if let Some(record::Record::ServiceVersion(version)) = &record.record {
        let all = document
            .get_mut("service_version")
            .and_then(|it| it.get_mut("artefakte"))
            .and_then(Value::as_sequence_mut);
        for (at, one) in all.into_iter().flatten().enumerate() {
            if let (Some(path), Some(fields)) = (file(version, at), one.as_mapping_mut()) {
                *fields = named(fields, path);
            }
        }
    }
    Ok(document)
}

/// The descriptor with a path in place of its digests.
fn named(fields: &Mapping, path: String) -> Mapping {
    let kept = ["name", "typ", "medientyp"];
    let kept =
        kept.into_iter().filter_map(|key| Some((Value::from(key), fields.get(key)?.clone())));
    kept.chain([(Value::from(FILE_KEY), Value::from(path))]).collect()
}

#[cfg(test)]
mod tests {
    use registry_proto::wire::registry::{Artefakt, LocalizedText, ServiceDefinition};

    use super::*;

    fn defines(text: &str) -> Record {
        let bezeichnung = LocalizedText { language_code: "de".to_owned(), text: text.to_owned() };
        let definition = ServiceDefinition {
            service_id: "01930000-0000-7000-8000-000000000000".to_owned(),
            leistungsschluessel: vec!["99050012104000".to_owned()],
            bezeichnung: vec![bezeichnung],
            ..ServiceDefinition::default()
        };
        Record {
            record: Some(record::Record::ServiceDefinition(definition)),
            expected_revision: None,
        }
    }

    fn releases() -> Record {
        let artefakt = |name: &str| Artefakt {
            name: name.to_owned(),
            typ: "pdf".to_owned(),
            medientyp: "application/pdf".to_owned(),
            bytes: 3,
            sha256: vec![1; 32].into(),
            chunks: vec![vec![2; 32].into()],
        };
        let version = ServiceVersion {
            version: "1.0.0".to_owned(),
            artefakte: ["a.pdf", "b.pdf"].map(artefakt).to_vec(),
            ..ServiceVersion::default()
        };
        Record { record: Some(record::Record::ServiceVersion(version)), expected_revision: None }
    }

    #[test]
    fn fields_come_in_the_order_of_the_protos_and_files_by_their_paths() {
        let file = |version: &ServiceVersion, at: usize| {
            (at == 0).then(|| format!("{}/antrag.pdf", version.version))
        };
        let found = text(&[defines("Waffenbesitzkarte"), releases()], &file).expect("text");
        let digest = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let chunk = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
        let expect = format!(
            "service_definition:\n  service_id: 01930000-0000-7000-8000-000000000000\n  \
             leistungsschluessel:\n  - '99050012104000'\n  bezeichnung:\n  - language_code: de\n    \
             text: Waffenbesitzkarte\n---\nservice_version:\n  version: 1.0.0\n  artefakte:\n  - \
             name: a.pdf\n    typ: pdf\n    medientyp: application/pdf\n    datei: \
             1.0.0/antrag.pdf\n  - name: b.pdf\n    typ: pdf\n    medientyp: application/pdf\n    \
             bytes: '3'\n    sha256: {digest}\n    chunks:\n    - {chunk}\n"
        );
        assert_eq!(found, expect);
    }

    #[test]
    fn any_text_is_read_back_as_it_was() {
        let odd = [
            "",
            " ",
            "a\n",
            "\na",
            "a\n\n\nb\n\n",
            "  eingerückt\nund nicht",
            "a\tb",
            "\ttab",
            "trailing \nblank ",
            "007",
            "1e3",
            "0x1f",
            "1_000",
            "12:30",
            "2026-01-01",
            "yes",
            "null",
            "~",
            "true",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "'",
            "\"",
            "\\",
            "---",
            "--- a",
            "...",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a}",
            "[a]",
            "| a",
            "> a",
            "? a",
            "<p>Größe: 5&nbsp;m²</p>",
            "a\u{a0}b",
            "a\u{2028}b",
            "a\u{85}b",
            "\u{feff}a",
            "a\rb",
            "a\r\nb",
            "\u{7f}",
            "\u{1}",
            "😀",
            &"lang ".repeat(100),
        ];
        for odd in odd {
            let found = text(&[defines(odd)], &|_, _| None);
            let found = found.unwrap_or_else(|error| panic!("{odd:?}: {error}"));
            let value = Value::deserialize(serde_norway::Deserializer::from_str(&found));
            let value = value.expect("YAML");
            let back = &value["service_definition"]["bezeichnung"][0]["text"];
            assert_eq!(back.as_str().unwrap_or_default(), odd, "{found}");
        }
    }
}
