//! What a document says against the descriptors: every mistake with its path.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use registry_client::manifest::render::FILE_KEY;
use serde_json::Value;

/// A mistake in a document.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(super) fn check_message(
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

pub(super) fn mistyped(path: &str, expected: &str, found: &Value) -> Finding {
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
    if key == FILE_KEY && descriptor.name() == "Artefakt" {
        return "Dateien neben den Datensätzen sendet registry apply; hier gehört hin, was registry \
                artefact push ausgibt"
            .to_owned();
    }
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
