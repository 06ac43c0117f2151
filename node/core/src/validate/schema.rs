//! Rules of the JSON Schema of the parameters.
//!
//! What the meta-schemas of draft 7 and of 2020-12 say about the form of the keywords is checked
//! here, keyword by keyword; words they do not know are allowed, as JSON Schema allows them. No
//! reference is followed, and no pattern is compiled: this is no validator of instances.

use std::collections::BTreeSet;

use registry_proto::wire::registry::Parameter;
use serde_json::{Map, Value};

use crate::{
    limits::PARAMETER_SCHEMA_BYTES_MAX,
    validate::findings::{Findings, Shown},
};

/// What is wrong, and where (JSON Pointer).
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    pointer: String,
    expected: &'static str,
}

/// Checks the schema; each property it declares should be a declared parameter.
pub(super) fn parameter_schema(findings: &mut Findings<'_>, text: &str, parameter: &[Parameter]) {
    const FIELD: &str = "parameter_schema";
    if text.is_empty() {
        return;
    }
    let bytes = text.len();
    if bytes > PARAMETER_SCHEMA_BYTES_MAX {
        findings.error(
            FIELD,
            "SCHEMA_BYTES",
            format!("{bytes} Byte, erlaubt sind höchstens {PARAMETER_SCHEMA_BYTES_MAX}"),
        );
        return;
    }
    let schema: Map<String, Value> = match serde_json::from_str(text) {
        Ok(schema) => schema,
        Err(error) => {
            findings.error(
                FIELD,
                "SCHEMA_JSON",
                format!(
                    "kein JSON-Objekt: Zeile {}, Spalte {} (RFC 8259)",
                    error.line(),
                    error.column()
                ),
            );
            return;
        }
    };
    if let Err(Problem { pointer, expected }) = object(&schema, "", 0) {
        findings.error(
            FIELD,
            "SCHEMA_FORM",
            format!("{} muss {expected} sein (JSON Schema 2020-12)", Shown(&pointer)),
        );
        return;
    }
    let declared: BTreeSet<&str> = parameter.iter().map(|one| one.name.as_str()).collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    for name in properties.into_iter().flat_map(Map::keys) {
        if !declared.contains(name.as_str()) {
            findings.warning(
                FIELD,
                "SCHEMA_PROPERTY",
                format!("{} ist kein Parameter dieser Version (EfA-Parametrisierung)", Shown(name)),
            );
        }
    }
}

fn schema(value: &Value, pointer: &str, depth: usize) -> Result<(), Problem> {
    match value {
        Value::Bool(_) => Ok(()),
        Value::Object(map) => object(map, pointer, depth),
        _ => Err(problem(pointer, "ein Schema (Objekt, true oder false)")),
    }
}

fn object(map: &Map<String, Value>, pointer: &str, depth: usize) -> Result<(), Problem> {
    if depth > DEPTH_MAX {
        return Err(problem(pointer, "weniger tief geschachtelt (höchstens 64 Ebenen)"));
    }
    for (word, value) in map {
        keyword(word, value, &format!("{pointer}/{word}"), depth)?;
    }
    Ok(())
}

fn keyword(word: &str, value: &Value, pointer: &str, depth: usize) -> Result<(), Problem> {
    let require =
        |holds: bool, expected| if holds { Ok(()) } else { Err(problem(pointer, expected)) };
    match word {
        "additionalProperties"
        | "additionalItems"
        | "contains"
        | "contentSchema"
        | "else"
        | "if"
        | "not"
        | "propertyNames"
        | "then"
        | "unevaluatedItems"
        | "unevaluatedProperties" => schema(value, pointer, depth + 1),
        // a list of schemas in draft 7
        "items" if value.is_array() => schemas(value, pointer, depth),
        "items" => schema(value, pointer, depth + 1),
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => schemas(value, pointer, depth),
        "$defs" | "definitions" | "dependentSchemas" | "patternProperties" | "properties" => {
            let Some(map) = value.as_object() else {
                return Err(problem(pointer, "ein Objekt von Schemas"));
            };
            map.iter()
                .try_for_each(|(name, one)| schema(one, &format!("{pointer}/{name}"), depth + 1))
        }
        "type" => require(
            types(value),
            "einer von array, boolean, integer, null, number, object, \
                                         string oder eine Liste davon",
        ),
        "required" => require(names(value), "eine Liste verschiedener Namen"),
        "dependentRequired" => {
            let fits = value.as_object().is_some_and(|map| map.values().all(names));
            require(fits, "ein Objekt von Listen verschiedener Namen")
        }
        "enum" | "examples" => require(value.is_array(), "eine Liste"),
        "multipleOf" => require(value.as_f64().is_some_and(|n| n > 0.0), "eine Zahl größer als 0"),
        "maximum" | "minimum" | "exclusiveMaximum" | "exclusiveMinimum" => {
            require(value.is_number(), "eine Zahl")
        }
        "maxLength" | "minLength" | "maxItems" | "minItems" | "maxProperties" | "minProperties"
        | "maxContains" | "minContains" => {
            let whole = value.as_f64().is_some_and(|n| n >= 0.0 && n.fract() == 0.0);
            require(whole, "eine ganze Zahl ab 0")
        }
        "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => {
            require(value.is_boolean(), "true oder false")
        }
        "$id" | "$ref" | "$schema" | "$anchor" | "$dynamicRef" | "$dynamicAnchor" | "$comment"
        | "title" | "description" | "format" | "pattern" | "contentEncoding"
        | "contentMediaType" => require(value.is_string(), "ein Text"),
        _ => Ok(()),
    }
}

fn schemas(value: &Value, pointer: &str, depth: usize) -> Result<(), Problem> {
    match value.as_array() {
        Some(list) if !list.is_empty() => list
            .iter()
            .enumerate()
            .try_for_each(|(n, one)| schema(one, &format!("{pointer}/{n}"), depth + 1)),
        _ => Err(problem(pointer, "eine Liste mit mindestens einem Schema")),
    }
}

fn types(value: &Value) -> bool {
    let known = |value: &Value| {
        let names = ["array", "boolean", "integer", "null", "number", "object", "string"];
        value.as_str().is_some_and(|name| names.contains(&name))
    };
    match value {
        Value::Array(list) => !list.is_empty() && list.iter().all(known) && names(value),
        _ => known(value),
    }
}

/// A list of texts, each once.
fn names(value: &Value) -> bool {
    let Some(list) = value.as_array() else { return false };
    let names: Option<BTreeSet<&str>> = list.iter().map(Value::as_str).collect();
    names.is_some_and(|names| names.len() == list.len())
}

fn problem(pointer: &str, expected: &'static str) -> Problem {
    let pointer = if pointer.is_empty() { "/" } else { pointer };
    Problem { pointer: pointer.to_owned(), expected }
}

/// Schemas in schemas; the reader of JSON itself ends at 128.
const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(text: &str, parameter: &[&str]) -> Vec<&'static str> {
        let parameter: Vec<Parameter> = parameter
            .iter()
            .map(|name| Parameter { name: (*name).to_owned(), ..Parameter::default() })
            .collect();
        let mut findings = Findings::new("");
        parameter_schema(&mut findings, text, &parameter);
        let found = findings.finish().unwrap_or_else(|errors| errors);
        found.into_iter().map(|one| one.reason).collect()
    }

    #[test]
    fn schemas_of_parameters_are_accepted() {
        for text in [
            "",
            "{}",
            r#"{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
                "properties": {"a": {"type": ["string", "null"], "maxLength": 10},
                               "b": {"anyOf": [true, {"enum": [1, 2]}]}},
                "required": ["a"], "additionalProperties": false, "x-eigen": {"type": 5}}"#,
            r#"{"items": [{"type": "string"}], "minimum": -1.5, "maxItems": 3.0}"#,
        ] {
            assert_eq!(reasons(text, &["a", "b"]), [""; 0], "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_schemas() {
        for text in ["[]", "true", "{", "{\"type\": \"object\",}", "\"\""] {
            assert_eq!(reasons(text, &[]), ["SCHEMA_JSON"], "{text}");
        }
        for text in [
            r#"{"type": "text"}"#,
            r#"{"type": []}"#,
            r#"{"type": ["string", "string"]}"#,
            r#"{"properties": []}"#,
            r#"{"properties": {"a": 5}}"#,
            r#"{"required": "a"}"#,
            r#"{"required": ["a", "a"]}"#,
            r#"{"allOf": []}"#,
            r#"{"minLength": -1}"#,
            r#"{"minLength": 1.5}"#,
            r#"{"multipleOf": 0}"#,
            r#"{"pattern": 5}"#,
            r#"{"items": {"not": {"uniqueItems": "ja"}}}"#,
        ] {
            assert_eq!(reasons(text, &[]), ["SCHEMA_FORM"], "{text}");
        }
        assert_eq!(reasons(&" ".repeat(PARAMETER_SCHEMA_BYTES_MAX + 1), &[]), ["SCHEMA_BYTES"]);
        for levels in [100, 10_000] {
            let deep = format!("{}{{}}{}", "{\"not\":".repeat(levels), "}".repeat(levels));
            let reason = if levels == 100 { "SCHEMA_FORM" } else { "SCHEMA_JSON" };
            let reason =
                if deep.len() > PARAMETER_SCHEMA_BYTES_MAX { "SCHEMA_BYTES" } else { reason };
            assert_eq!(reasons(&deep, &[]), [reason], "{levels}");
        }
    }

    #[test]
    fn a_property_that_is_no_parameter_warns() {
        let text = r#"{"properties": {"a": true, "c": true}}"#;
        assert_eq!(reasons(text, &["a", "b"]), ["SCHEMA_PROPERTY"]);
    }

    #[test]
    fn a_problem_is_named_with_its_place() {
        let schema = serde_json::json!({"properties": {"a": {"anyOf": [{"type": 1}]}}});
        let map = schema.as_object().expect("an object");
        let problem = object(map, "", 0).expect_err("wrong");
        assert_eq!(problem.pointer, "/properties/a/anyOf/0/type");
    }
}
