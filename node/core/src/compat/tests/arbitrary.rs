//! Nothing that can be written makes a comparison fail or run on.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::*;

const KEYS: [&str; 44] = [
    "$ref",
    "$defs",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "items",
    "prefixItems",
    "contains",
    "minItems",
    "maxLength",
    "minimum",
    "exclusiveMinimum",
    "multipleOf",
    "pattern",
    "format",
    "default",
    "nullable",
    "readOnly",
    "dependentSchemas",
    "dependentRequired",
    "unevaluatedProperties",
    "paths",
    "/a/{b}",
    "get",
    "parameters",
    "requestBody",
    "responses",
    "200",
    "content",
    "schema",
    "security",
    "a",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        select(vec![json!(0), json!(-1), json!(1.5), json!(u64::MAX), json!(1e300)]),
        select(vec!["string", "object", "a", "#", "#/$defs/a", "#/allOf/0", "b.json", "%zz"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((select(KEYS.to_vec()), inner), 0..6).prop_map(|members| {
                let members: Map<String, Value> =
                    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                Value::Object(members)
            }),
        ]
    })
}

fn check_any(typ: &str, old: &str, new: &str) {
    let verdict = compare_files(typ, old, new);
    assert!(verdict.changes.len() <= CHANGES_MAX);
    assert!(
        verdict.changes.is_sorted_by_key(|it| it.severity) || verdict.changes.len() == CHANGES_MAX
    );
    assert_eq!(verdict, compare_files(typ, old, new), "the answer is always the same");
    assert_eq!(lines(&compare_files(typ, new, new)), unreadable(typ, new));
    // a title changes nothing, whatever stands beside it; what is no schema may not be comparable
    if let Ok(Value::Object(mut members)) = serde_json::from_str(new) {
        members.insert("title".to_owned(), json!("a"));
        let same = compare_files(typ, new, &Value::Object(members).to_string());
        let unsure = [
            "SCHEMA_NARROWED",
            "SCHEMA_WIDENED",
            "DOCUMENT_UNREADABLE",
            "VARIANT_NARROWED",
            "NOT_NARROWED",
        ];
        assert!(same.changes.iter().all(|it| unsure.contains(&it.rule)), "{:#?}", same.changes);
    }
}

fn unreadable(typ: &str, text: &str) -> Vec<String> {
    let xml = typ == "xdatenfelder";
    let readable = !xml && document::read(text.as_bytes()).is_ok();
    if readable { Vec::new() } else { vec!["! DOCUMENT_UNREADABLE ".to_owned()] }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_two_schemas(old in value(), new in value()) {
        check_any("json_schema", &old.to_string(), &new.to_string());
    }

    #[test]
    fn any_two_apis(mut old in value(), mut new in value()) {
        for api in [&mut old, &mut new] {
            if let Value::Object(members) = api {
                members.insert("openapi".to_owned(), json!("3.0.0"));
            }
        }
        check_any("openapi", &old.to_string(), &new.to_string());
    }

    #[test]
    fn any_two_texts(old in ".{0,60}", new in ".{0,60}") {
        for typ in ["json_schema", "openapi", "xdatenfelder"] {
            check_any(typ, &old, &new);
        }
    }
}

#[test]
fn branches_of_branches_end() {
    let mut old = json!({"type": "string"});
    let mut new = json!({"type": "string", "maxLength": 9});
    for n in 0..12 {
        old = json!({"anyOf": [old.clone(), {"minimum": n}, old], "oneOf": [true, {"maximum": n}]});
        new = json!({"oneOf": [new.clone(), {"minimum": n}, new]});
        if old.to_string().len() > 1 << 19 {
            break;
        }
    }
    let verdict = compare_files("json_schema", &old.to_string(), &new.to_string());
    assert!(verdict.changes.iter().any(|it| it.rule == "COMPARISON_INCOMPLETE"), "{verdict:?}");
}

#[test]
fn long_names_and_many_of_them_end() {
    let long = "x".repeat(1 << 18);
    let properties = |schema: &Value| -> Map<String, Value> {
        (0..20_000).map(|n| (format!("p{n}"), schema.clone())).collect()
    };
    let old = json!({&long: 1, "properties": {&long: {"properties": properties(&json!({}))}}});
    let new = json!({&long: 2, "properties": {&long: {"properties": properties(&json!(false))}}});
    let verdict = compare_files("json_schema", &old.to_string(), &new.to_string());
    assert_eq!(verdict.changes.len(), CHANGES_MAX);
    let all: Value = json!({"properties": properties(&json!({"$ref": "#/$defs/a"})), "$defs": {"a": {"enum": (0..50_000).collect::<Vec<_>>()}}});
    let verdict =
        compare_files("json_schema", &all.to_string(), &all.to_string().replace("[0,", "[-1,"));
    assert!(verdict.is_breaking());
}
