use serde_json::{Value, json};

use super::*;

/// Compares as input: what was valid must stay valid.
#[track_caller]
fn check_input(old: Value, new: Value, expect: &[&str]) {
    check(&compare_files("json_schema", &old.to_string(), &new.to_string()), expect);
}

/// Compares as output, by an API that answers with the schema.
#[track_caller]
fn check_output(old: Value, new: Value, expect: &[&str]) {
    let api = |schema: Value| {
        json!({"openapi": "3.1.0", "$defs": schema.get("$defs"), "paths": {"/": {"get": {"responses": {"200": {
            "content": {"a": {"schema": schema}}}}}}}})
        .to_string()
    };
    let verdict = compare_files("openapi", &api(old), &api(new));
    let base = "#/paths/~1/get/responses/200/content/a/schema";
    let lines: Vec<_> = lines(&verdict).iter().map(|it| it.replace(base, "#")).collect();
    assert_eq!(lines, expect, "{:#?}", verdict.changes);
}

#[test]
fn equal_schemas_say_nothing() {
    let schema = json!({"$defs": {"knoten": {"properties": {"kinder": {"items": {"$ref": "#/$defs/knoten"}}}}},
        "$ref": "#/$defs/knoten", "allOf": [{"required": ["a"]}], "oneOf": [{"type": "object"}, {"type": "null"}],
        "not": {"const": 1}, "if": {"minimum": 1}, "then": {"maximum": 2}, "patternProperties": {"^a": true}});
    check_input(schema.clone(), schema.clone(), &[]);
    check_output(schema.clone(), schema, &[]);
}

#[test]
fn types() {
    let t = |it: Value| json!({ "type": it });
    check_input(t(json!("string")), t(json!(["string", "null"])), &["+ TYPE_WIDENED #/type"]);
    check_input(t(json!(["string", "null"])), t(json!("string")), &["! TYPE_NARROWED #/type"]);
    check_input(t(json!("integer")), t(json!("number")), &["+ TYPE_WIDENED #/type"]);
    check_input(t(json!("number")), t(json!("integer")), &["! TYPE_NARROWED #/type"]);
    check_input(json!({}), t(json!("object")), &["! TYPE_NARROWED #/type"]);
    check_input(json!(true), json!(false), &["! SCHEMA_NARROWED #"]);
    check_input(json!(false), json!({"type": "string"}), &[]);
    check_input(json!({}), json!({"type": 7}), &["! TYPE_NARROWED #/type"]);
    check_input(json!({}), json!([]), &["! SCHEMA_NARROWED #"]);
    check_output(t(json!("string")), t(json!(["string", "null"])), &["! TYPE_WIDENED #/type"]);
    check_output(t(json!(["string", "null"])), t(json!("string")), &["+ TYPE_NARROWED #/type"]);
}

#[test]
fn values() {
    let e = |it: Value| json!({ "enum": it });
    check_input(e(json!(["a", "b"])), e(json!(["a"])), &["! ENUM_NARROWED #/enum"]);
    check_input(e(json!(["a"])), e(json!(["b", "a"])), &["+ ENUM_WIDENED #/enum"]);
    check_input(e(json!([1, {"a": 1, "b": 2}])), e(json!([1.0, {"b": 2.0, "a": 1}])), &[]);
    check_input(json!({"const": 1}), e(json!([1, 2])), &["+ ENUM_WIDENED #/enum"]);
    check_input(e(json!(["a"])), json!({}), &["+ ENUM_WIDENED #/enum", "+ TYPE_WIDENED #/type"]);
    check_input(json!({"type": "string"}), e(json!(["a"])), &["! ENUM_NARROWED #/enum"]);
    check_input(
        json!({"type": "boolean"}),
        json!({"enum": [true, false, null]}),
        &["+ TYPE_WIDENED #/type"],
    );
    check_input(json!({"enum": ["aa", "b"]}), json!({"enum": ["aa", "b"], "maxLength": 5}), &[]);
    check_input(
        json!({"enum": ["aa", "b"]}),
        json!({"type": "string", "maxLength": 1}),
        &["! MAX_LENGTH_LOWERED #/maxLength", "+ ENUM_WIDENED #/enum"],
    );
    check_output(e(json!(["a"])), e(json!(["a", "b"])), &["! ENUM_WIDENED #/enum"]);
    check_output(e(json!(["a", "b"])), e(json!(["a"])), &["+ ENUM_NARROWED #/enum"]);
}

#[test]
fn numbers() {
    check_input(json!({"minimum": 1}), json!({"minimum": 2}), &["! MINIMUM_RAISED #/minimum"]);
    check_input(json!({"minimum": 2}), json!({"minimum": 1}), &["+ MINIMUM_LOWERED #/minimum"]);
    check_input(
        json!({"maximum": 2}),
        json!({"exclusiveMaximum": 2}),
        &["! MAXIMUM_LOWERED #/exclusiveMaximum"],
    );
    check_input(
        json!({"type": "integer", "minimum": 1}),
        json!({"type": "integer", "exclusiveMinimum": 0}),
        &[],
    );
    check_input(
        json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
        json!({"type": "integer", "minimum": 1.5}),
        &[],
    );
    check_input(
        json!({"maximum": 18446744073709551615_u64}),
        json!({"maximum": 18446744073709551614_u64}),
        &["! MAXIMUM_LOWERED #/maximum"],
    );
    check_input(
        json!({"multipleOf": 6}),
        json!({"multipleOf": 3}),
        &["+ MULTIPLE_OF_WIDENED #/multipleOf"],
    );
    check_input(
        json!({"multipleOf": 3}),
        json!({"multipleOf": 6}),
        &["! MULTIPLE_OF_NARROWED #/multipleOf"],
    );
    check_input(json!({"type": "string"}), json!({"type": "string", "minimum": 3}), &[]);
    check_output(json!({"maximum": 1}), json!({"maximum": 2}), &["! MAXIMUM_RAISED #/maximum"]);
}

#[test]
fn texts() {
    check_input(
        json!({"maxLength": 20}),
        json!({"maxLength": 10}),
        &["! MAX_LENGTH_LOWERED #/maxLength"],
    );
    check_input(json!({"minLength": 0}), json!({}), &[]);
    check_input(json!({}), json!({"minLength": 1}), &["! MIN_LENGTH_RAISED #/minLength"]);
    check_input(
        json!({"pattern": "^a$"}),
        json!({"pattern": "^a|b$"}),
        &["! PATTERN_CHANGED #/pattern"],
    );
    check_input(json!({"pattern": "^a$"}), json!({}), &["+ PATTERN_CHANGED #/pattern"]);
    check_input(
        json!({"format": "int32"}),
        json!({"format": "int64"}),
        &["+ FORMAT_CHANGED #/format"],
    );
    check_input(
        json!({"format": "date"}),
        json!({"format": "date-time"}),
        &["! FORMAT_CHANGED #/format"],
    );
}

#[test]
fn objects() {
    let open =
        |required: Value| json!({"properties": {"a": {"type": "string"}}, "required": required});
    check_input(open(json!([])), open(json!(["a"])), &["! REQUIRED_ADDED #/properties/a"]);
    check_input(open(json!(["a"])), open(json!([])), &["+ REQUIRED_REMOVED #/properties/a"]);
    check_output(open(json!(["a"])), open(json!([])), &["! REQUIRED_REMOVED #/properties/a"]);
    check_input(open(json!([])), json!({}), &["? PROPERTY_REMOVED #/properties/a"]);
    check_input(
        open(json!([])),
        json!({"additionalProperties": false}),
        &[
            "! ADDITIONAL_PROPERTIES_NARROWED #/additionalProperties",
            "! PROPERTY_REMOVED #/properties/a",
        ],
    );
    check_output(open(json!([])), json!({}), &["! PROPERTY_REMOVED #/properties/a"]);
    check_input(json!({}), open(json!([])), &["+ PROPERTY_ADDED #/properties/a"]);
    check_output(json!({}), open(json!([])), &["+ PROPERTY_ADDED #/properties/a"]);
    check_output(
        json!({"additionalProperties": false}),
        json!({"additionalProperties": false, "properties": {"a": {}}}),
        &["! PROPERTY_ADDED #/properties/a"],
    );
    check_input(
        json!({"additionalProperties": {"type": "string"}}),
        json!({"additionalProperties": {"type": "string"}, "properties": {"a": {"type": "integer"}}}),
        &["! TYPE_NARROWED #/properties/a/type", "+ PROPERTY_ADDED #/properties/a"],
    );
    check_input(
        json!({"unevaluatedProperties": false, "properties": {"a": {}, "b": {}}}),
        json!({"unevaluatedProperties": false, "properties": {"a": {}}}),
        &["! PROPERTY_REMOVED #/properties/b"],
    );
    check_input(
        json!({}),
        json!({"propertyNames": {"pattern": "^a"}}),
        &["! PATTERN_CHANGED #/propertyNames/pattern"],
    );
    check_input(
        json!({}),
        json!({"dependentRequired": {"a": ["b"]}}),
        &["! DEPENDENT_NARROWED #/dependentRequired"],
    );
    check_input(
        json!({"required": ["b"]}),
        json!({"required": ["b"], "dependentRequired": {"a": ["b"]}}),
        &[],
    );
    check_input(
        json!({"patternProperties": {"^x": {"type": "string"}}}),
        json!({"patternProperties": {"^x": {"type": "string", "maxLength": 3}}}),
        &["! MAX_LENGTH_LOWERED #/patternProperties/^x/maxLength"],
    );
}

#[test]
fn arrays() {
    check_input(
        json!({"items": {"type": "integer"}}),
        json!({"items": {"type": "number"}}),
        &["+ TYPE_WIDENED #/items/type"],
    );
    check_input(json!({}), json!({"maxItems": 3}), &["! MAX_ITEMS_LOWERED #/maxItems"]);
    check_input(json!({}), json!({"uniqueItems": true}), &["! UNIQUE_ITEMS_ADDED #/uniqueItems"]);
    check_input(
        json!({"prefixItems": [{"type": "string"}]}),
        json!({"prefixItems": [{"type": "string"}, {"type": "string"}]}),
        &["! TYPE_NARROWED #/prefixItems/1/type"],
    );
    check_input(
        json!({"items": [{"type": "string"}], "additionalItems": true}),
        json!({"items": [{"type": "string"}], "additionalItems": false}),
        &["! SCHEMA_NARROWED #/additionalItems"],
    );
    check_input(json!({}), json!({"contains": {"const": 1}}), &["! CONTAINS_NARROWED #/contains"]);
}

#[test]
fn references_and_conjunctions_are_unfolded() {
    check_input(
        json!({"$defs": {"n": {"type": "string"}}, "$ref": "#/$defs/n"}),
        json!({"allOf": [{"type": "string"}, {"maxLength": 3}]}),
        &["! MAX_LENGTH_LOWERED #/allOf/1/maxLength"],
    );
    let tree = |leaf: &str| {
        json!({"$defs": {"t": {"properties": {"leaf": {"type": leaf}, "left": {"$ref": "#/$defs/t"}}}},
            "$ref": "#/$defs/t"})
    };
    check_input(
        tree("integer"),
        tree("string"),
        &["! TYPE_NARROWED #/$defs/t/properties/leaf/type"],
    );
    // a chain that never ends, and one that is unrolled once
    check_input(json!({"$ref": "#"}), json!({"$ref": "#"}), &[]);
    check_input(
        json!({"$defs": {"t": {"properties": {"t": {"$ref": "#/$defs/t"}}}}, "$ref": "#/$defs/t"}),
        json!({"$defs": {"t": {"properties": {"t": {"properties": {"t": {"$ref": "#/$defs/t"}}}}}}, "$ref": "#/$defs/t"}),
        &[],
    );
    check_input(json!({"$ref": "a.json"}), json!({"$ref": "b.json"}), &["? REF_OUTSIDE #/$ref"]);
    check_input(
        json!({"$ref": "a.json"}),
        json!({"$ref": "a.json", "minimum": 1}),
        &["! MINIMUM_RAISED #/minimum"],
    );
    let seven = |more: Value| {
        let mut it = json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "definitions": {"a": {}}});
        it["maxLength"] = more;
        it
    };
    check_input(seven(json!(7)), seven(json!(3)), &[]);
}

#[test]
fn variants() {
    let one = |names: &[&str]| {
        let branch =
            |name: &&str| json!({"properties": {"typ": {"const": name}}, "required": ["typ"]});
        json!({"oneOf": names.iter().map(branch).collect::<Vec<_>>()})
    };
    check_input(one(&["a", "b"]), one(&["b", "a"]), &[]);
    check_input(
        one(&["a"]),
        one(&["a", "b"]),
        &["? ONE_OF_OVERLAP #/oneOf", "+ VARIANT_WIDENED #/oneOf"],
    );
    check_input(one(&["a", "b"]), one(&["a"]), &["! ENUM_NARROWED #/oneOf/0/properties/typ/const"]);
    check_input(one(&["a", "b", "c"]), one(&["a", "b"]), &["! VARIANT_NARROWED #/oneOf"]);
    check_output(one(&["a"]), one(&["a", "b"]), &["! ENUM_WIDENED #/oneOf/1/properties/typ/const"]);
    check_input(
        json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
        json!({"type": ["string", "null", "integer"]}),
        &[],
    );
    check_input(
        json!({"type": "string"}),
        json!({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]}),
        &["! VARIANT_NARROWED #/anyOf"],
    );
    check_input(
        json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}),
        &["! MIN_LENGTH_RAISED #/anyOf/0/minLength"],
    );
}

#[test]
fn exclusions_and_conditions() {
    check_input(json!({}), json!({"not": {"const": 1}}), &["! NOT_NARROWED #/not"]);
    check_input(json!({"not": {"type": "string"}}), json!({"not": {"const": "a"}}), &[]);
    check_input(json!({"type": "string"}), json!({"type": "string", "not": {"const": 1}}), &[]);
    let condition = |then: Value| json!({"if": {"required": ["a"]}, "then": then});
    check_input(json!({}), condition(json!({"required": ["b"]})), &["! CONDITION_NARROWED #/if"]);
    check_input(
        condition(json!({})),
        condition(json!({"required": ["b"]})),
        &["! REQUIRED_ADDED #/then/required"],
    );
    check_input(condition(json!({})), json!({}), &["+ CONDITION_WIDENED #/if"]);
}

#[test]
fn what_does_not_restrict_is_a_remark() {
    check_input(
        json!({"title": "a", "default": 1, "x-ui": "eng"}),
        json!({"title": "b", "default": 2, "x-ui": "weit", "deprecated": true}),
        &[
            "? DEFAULT_CHANGED #/default",
            "? DEPRECATED_CHANGED #/deprecated",
            "? KEYWORD_UNKNOWN #/x-ui",
        ],
    );
}

#[test]
fn a_schema_of_parameters_is_compared_with_the_version() {
    let with = |number: &str, schema: &str| {
        let mut version = version(number);
        version.parameter_schema = schema.to_owned();
        version
    };
    let check_schema = |old: &str, new: &str, expect: &[&str]| {
        check(&compare(&with("1.0.0", old), &with("1.1.0", new), &Shelf::default()), expect);
    };
    check_schema("", "", &[]);
    check_schema("", "{}", &["? SCHEMA_ADDED parameter_schema"]);
    check_schema("{}", "", &["? SCHEMA_REMOVED parameter_schema"]);
    check_schema("{}", "{", &["! DOCUMENT_UNREADABLE parameter_schema"]);
    check_schema(
        r#"{"type": "object", "properties": {"gebuehr": {"type": "number"}}}"#,
        r#"{"type": "object", "properties": {"gebuehr": {"type": "integer"}}}"#,
        &["! TYPE_NARROWED parameter_schema#/properties/gebuehr/type"],
    );
}
