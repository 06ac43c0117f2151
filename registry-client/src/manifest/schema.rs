//! The JSON Schema (2020-12) of a document of a manifest: fields, types and descriptions from the
//! descriptors of the protos, and the forms that the protos name only in words.
//!
//! Code lists are not in it: nodes get them by data packages, a schema would be older.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use registry_proto::terms::Land;
use serde_json::{Map, Value, json};

use super::render::FILE_KEY;
use crate::diff::{self, DiffError};

/// What is known of a field beside its type; merged into its schema, or into that of its elements.
type Rule = (&'static str, &'static str, fn() -> Value);

/// The schema.
///
/// # Errors
///
/// [`DiffError`] if the protos do not describe the records.
pub fn manifest() -> Result<Value, DiffError> {
    let mut definitions = BTreeMap::new();
    for name in ["ServiceDefinition", "ServiceVersion"] {
        let found = diff::descriptor(name).ok_or_else(|| DiffError::Unknown(name.to_owned()))?;
        define(&found, &mut definitions);
    }
    let record = json!({
        "service_definition": {"$ref": "#/$defs/ServiceDefinition"},
        "service_version": {"$ref": "#/$defs/ServiceVersion"},
        "expected_revision": {
            "description": "Revision of the service that this was decided on; refused if there is \
                            a newer one.",
            "type": "integer",
            "minimum": 0,
        },
    });
    let one = json!([{"required": ["service_definition"]}, {"required": ["service_version"]}]);
    let single = json!({
        "type": "object",
        "properties": record,
        "additionalProperties": false,
        "oneOf": one,
    });
    definitions.insert("Record".to_owned(), single);
    let mut properties = record;
    properties["records"] = json!({
        "description": "Several records in one document.",
        "type": "array",
        "items": {"$ref": "#/$defs/Record"},
    });
    Ok(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Manifest",
        "description": "A document of a manifest: a service or a version of one.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": [
            {"required": ["service_definition"]},
            {"required": ["service_version"]},
            {"required": ["records"], "maxProperties": 1},
        ],
        "$defs": definitions,
    }))
}

/// Adds a message and all it consists of.
fn define(message: &MessageDescriptor, into: &mut BTreeMap<String, Value>) {
    if into.contains_key(message.name()) {
        return;
    }
    // before its fields: a message may hold itself
    into.insert(message.name().to_owned(), Value::Null);
    let mut properties = Map::new();
    for field in message.fields().filter(|it| it.name() != FINDINGS) {
        if let Kind::Message(inner) = field.kind() {
            define(&inner, into);
        }
        properties.insert(field.name().to_owned(), property(message, &field));
    }
    let mut schema = json!({"type": "object", "additionalProperties": false});
    if let Some(text) = comment(&message.parent_file(), message.path()) {
        schema["description"] = Value::from(text);
    }
    if message.name() == "Artefakt" {
        properties.insert(
            FILE_KEY.to_owned(),
            json!({
                "description": "Path of the file, relative to the manifest and within its \
                                directory; in place of bytes, sha256 and chunks.",
                "type": "string",
                "minLength": 1,
            }),
        );
        schema["anyOf"] =
            json!([{"required": [FILE_KEY]}, {"required": ["name", "typ", "medientyp", "sha256"]}]);
    }
    if let Some((_, needed)) = REQUIRED.iter().find(|(name, _)| *name == message.name()) {
        schema["required"] = json!(needed);
    }
    schema["properties"] = Value::Object(properties);
    into.insert(message.name().to_owned(), schema);
}

/// What the node finds in a record; no manifest says it.
const FINDINGS: &str = "hinweise";

fn property(message: &MessageDescriptor, field: &FieldDescriptor) -> Value {
    let text = comment(&message.parent_file(), field.path());
    let mut one = of_kind(&field.kind());
    if let Some(pattern) = text.as_deref().and_then(pattern) {
        one["pattern"] = Value::from(pattern);
    }
    let rule = RULES.iter().find(|it| it.0 == message.name() && it.1 == field.name());
    if let (Some((.., rule)), Some(one)) = (rule, one.as_object_mut())
        && let Value::Object(rule) = rule()
    {
        one.extend(rule);
    }
    let mut schema = one;
    if field.is_list() {
        schema = json!({"type": "array", "items": schema});
        let needed = REQUIRED
            .iter()
            .any(|(name, fields)| *name == message.name() && fields.contains(&field.name()));
        if needed {
            schema["minItems"] = Value::from(1);
        }
    }
    if let Some(text) = text {
        schema["description"] = Value::from(text);
    }
    schema
}

/// The schema of a single value, as ProtoJSON writes it.
fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Message(inner) => json!({"$ref": format!("#/$defs/{}", inner.name())}),
        Kind::Enum(names) => {
            let names: Vec<_> = names.values().map(|it| it.name().to_owned()).collect();
            json!({"enum": names})
        }
        Kind::String => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Double | Kind::Float => json!({"type": "number"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer"}),
        Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "minimum": 0}),
        // 64 bits are text in JSON, and may be numbers
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
            json!({"type": ["integer", "string"]})
        }
    }
}

/// The comment in front of a message or a field, in one line.
fn comment(file: &FileDescriptor, path: &[i32]) -> Option<String> {
    let info = file.file_descriptor_proto().source_code_info.as_ref()?;
    let place = info.location.iter().find(|it| it.path == path)?;
    let text = place.leading_comments().split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

/// The pattern that a comment gives in backquotes, unless it holds only for some values.
fn pattern(comment: &str) -> Option<&str> {
    let (begin, _) = comment.match_indices("`^").next()?;
    let (found, rest) = comment.get(begin + 1..)?.split_once('`')?;
    (found.ends_with('$') && !rest.starts_with(" for ")).then_some(found)
}

/// Fields that a node refuses a record without.
const REQUIRED: [(&str, &[&str]); 5] = [
    (
        "ServiceDefinition",
        &[
            "service_id",
            "leistungsschluessel",
            "typisierung",
            "themenfeld",
            "bezeichnung",
            "leistungsadressaten",
            "herausgeber",
        ],
    ),
    (
        "ServiceVersion",
        &[
            "version",
            "freigabe_status",
            "lifecycle",
            "gueltig_ab",
            "fachlich_freigegeben_am",
            "fachlich_freigegeben_durch",
            "onlinedienste",
            "verfuegbarkeitsgebiet",
            "gebietsstand",
            "nachnutzung",
            "lizenz",
            "datenaustausch",
            "versionshinweis",
        ],
    ),
    ("LocalizedText", &["language_code", "text"]),
    ("Herausgeber", &["id", "name"]),
    ("Versionshinweis", &["text"]),
];

const RULES: [Rule; 29] = [
    ("ServiceDefinition", "service_id", uuid),
    ("ServiceDefinition", "land", land),
    ("Mitfederfuehrung", "laender", land),
    ("Mitfederfuehrung", "k", || json!({"minimum": 1, "maximum": 16})),
    ("Bearbeiter", "rolle", || json!({"enum": ["verantwortlich", "stellvertretung"]})),
    ("LocalizedText", "language_code", language),
    ("ServiceVersion", "service_id", uuid),
    ("ServiceVersion", "version", version),
    ("ServiceVersion", "freigabe_status", || json!({"enum": [5, 6]})),
    ("ServiceVersion", "gueltig_ab", day),
    ("ServiceVersion", "gueltig_bis", day_or_none),
    ("ServiceVersion", "abkuendigung_am", day_or_none),
    ("ServiceVersion", "abschaltung_am", day_or_none),
    ("ServiceVersion", "fachlich_freigegeben_am", day),
    ("ServiceVersion", "gebietsstand", day),
    ("ServiceVersion", "verfuegbarkeitsgebiet", ars),
    ("ServiceVersion", "parameter_schema", || json!({"maxLength": 65_536})),
    ("Onlinedienst", "link", || json!({"pattern": "^https://"})),
    ("Onlinedienst", "language_code", language),
    ("Reifegrad", "modell", || json!({"enum": ["1.1", "2.0"]})),
    ("Reifegrad", "stufe", || json!({"maximum": 7})),
    ("EfaCheck", "level", || json!({"enum": ["MUSS", "SOLL", "KANN"]})),
    ("EfaCheck", "erfuellt", || json!({"enum": ["ja", "nein", "n.a."]})),
    (
        "Nachnutzung",
        "modell",
        || json!({"enum": ["verwaltungsabkommen", "fit_store", "efa_marktplatz", "kommunalvertreter"]}),
    ),
    (
        "Parameter",
        "datentyp",
        || json!({"enum": ["text", "zahl", "bool", "datum", "url", "code", "objekt"]}),
    ),
    ("Datenaustausch", "transport", || json!({"enum": ["fit_connect", "osci_xta", "andere"]})),
    ("Artefakt", "typ", || {
        let typ =
            ["awml", "xdatenfelder", "bpmn", "openapi", "json_schema", "pdf", "bild", "andere"];
        json!({"enum": typ})
    }),
    ("Artefakt", "name", || json!({"minLength": 1, "maxLength": 255})),
    ("ZustaendigeStelle", "gebiet", ars),
];

fn uuid() -> Value {
    json!({"pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"})
}

fn land() -> Value {
    json!({"enum": Land::ALL.map(Land::code)})
}

fn language() -> Value {
    json!({"enum": ["de", "en"]})
}

fn version() -> Value {
    json!({"pattern": r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"})
}

fn day() -> Value {
    json!({"pattern": r"^\d{4}-\d{2}-\d{2}$"})
}

fn day_or_none() -> Value {
    json!({"pattern": r"^(\d{4}-\d{2}-\d{2})?$"})
}

fn ars() -> Value {
    json!({"pattern": r"^(\d{2}|\d{3}|\d{5}|\d{9}|\d{12})$"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_about_a_field() {
        let needed = REQUIRED.iter().flat_map(|(name, all)| all.iter().map(move |it| (*name, *it)));
        for (name, field) in RULES.iter().map(|it| (it.0, it.1)).chain(needed) {
            let message = diff::descriptor(name).unwrap_or_else(|| panic!("{name}"));
            assert!(message.get_field_by_name(field).is_some(), "{name}.{field}");
        }
    }

    #[test]
    fn fields_have_the_comments_and_patterns_of_the_protos() {
        let schema = manifest().expect("schema");
        let keys = &schema["$defs"]["ServiceDefinition"]["properties"]["leistungsschluessel"];
        assert_eq!(keys["items"]["pattern"], r"^99\d{12}$");
        assert_eq!(keys["minItems"], 1);
        assert!(keys["description"].as_str().is_some_and(|it| it.contains("at least one")));
        let lifecycle = &schema["$defs"]["ServiceVersion"]["properties"]["lifecycle"]["enum"];
        assert_eq!(lifecycle[2], "LIFECYCLE_FREIGEGEBEN");
        // holds for one scheme only
        let agency = &schema["$defs"]["ExternalId"]["properties"]["agency"];
        assert_eq!((agency["type"].as_str(), agency.get("pattern")), (Some("string"), None));
    }
}
