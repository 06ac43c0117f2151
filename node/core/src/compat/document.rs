//! Reads JSON and YAML into values, with limits of depth and size, and finds places in them.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A document and how its schemas are to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document<'a> {
    root: &'a Value,
    pub(super) dialect: Dialect,
    /// `readOnly` and `writeOnly` say who sends a property.
    pub(super) is_openapi: bool,
}

/// What keywords mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// JSON Schema up to draft 7: nothing counts beside `$ref`.
    Draft7,
    /// JSON Schema from 2019-09, OpenAPI 3.1.
    Modern,
    /// OpenAPI 3.0: `nullable`, nothing counts beside `$ref`.
    OpenApi30,
}

/// A value in a document.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) document: Document<'a>,
    pub(super) value: &'a Value,
    /// `#/components/schemas/Antrag`.
    pub(super) pointer: String,
}

/// The bytes are no document.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// Not UTF-8.
    #[error("not UTF-8")]
    Text,
    /// Neither JSON nor YAML, or beyond a limit.
    #[error("cannot read the document: {0}")]
    Form(String),
}

/// Reads a document: JSON if it begins like that, else YAML. A key that stands twice is an error,
/// as is what nests deeper than [`DEPTH_MAX`] or unfolds to more than [`NODES_MAX`] values.
pub(super) fn read(bytes: &[u8]) -> Result<Value, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ReadError::Text)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let budget = Budget { nodes: Cell::new(NODES_MAX), bytes: Cell::new(TEXT_BYTES_MAX) };
    let seed = Seed { budget: &budget, depth: 0 };
    if text.trim_start().starts_with(['{', '[']) {
        let mut json = serde_json::Deserializer::from_str(text);
        let value = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
        return value.map_err(|error| ReadError::Form(error.to_string()));
    }
    let yaml = serde_norway::Deserializer::from_str(text);
    seed.deserialize(yaml).map_err(|error| ReadError::Form(error.to_string()))
}

/// A reference token of a JSON pointer, cut when it is long.
pub(super) fn token(key: &str) -> String {
    let end = key.char_indices().nth(TOKEN_CHARS_MAX).map_or(key.len(), |(at, _)| at);
    key[..end].replace('~', "~0").replace('/', "~1")
}

// === impl Document ===

impl<'a> Document<'a> {
    pub(super) fn json_schema(root: &'a Value) -> Self {
        let declared = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
        let old = ["draft-03", "draft-04", "draft-05", "draft-06", "draft-07"];
        let old = old.iter().any(|draft| declared.contains(draft));
        Self {
            root,
            dialect: if old { Dialect::Draft7 } else { Dialect::Modern },
            is_openapi: false,
        }
    }

    /// Nothing if the document is not OpenAPI 3.
    pub(super) fn openapi(root: &'a Value) -> Option<Self> {
        let version = root.get("openapi")?.as_str()?;
        let dialect = if version.starts_with("3.0") {
            Dialect::OpenApi30
        } else if version.starts_with("3.") {
            Dialect::Modern
        } else {
            return None;
        };
        Some(Self { root, dialect, is_openapi: true })
    }

    pub(super) fn root(self) -> Place<'a> {
        Place { document: self, value: self.root, pointer: "#".to_owned() }
    }

    /// What a reference within the document names.
    pub(super) fn resolve(self, reference: &str) -> Option<Place<'a>> {
        let fragment = reference.strip_prefix('#').filter(|it| it.len() <= POINTER_BYTES_MAX)?;
        let decoded = percent_decoded(fragment)?;
        let value = if fragment.is_empty() {
            self.root
        } else if decoded.starts_with('/') {
            self.root.pointer(&decoded)?
        } else {
            return None;
        };
        Some(Place { document: self, value, pointer: format!("#{decoded}") })
    }
}

// === impl Place ===

impl<'a> Place<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key)?;
        Some(self.at(value, self.below(key)))
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.value.get(key)?.as_str()
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        self.value.get(key) == Some(&Value::Bool(true))
    }

    /// The members of an object in the order of their names; of anything else none.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'a str, Self)> {
        let members = self.value.as_object().into_iter().flatten();
        members.map(|(key, value)| (key.as_str(), self.at(value, self.below(key))))
    }

    /// The items of an array; of anything else none.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items.map(|(n, value)| self.at(value, self.below(&n.to_string())))
    }

    /// The place itself, or what it refers to; nothing if that is outside the document or beyond
    /// a few references.
    pub(super) fn target(&self) -> Option<Self> {
        let mut place = self.clone();
        for _ in 0..REFERENCES_MAX {
            let Some(reference) = place.text("$ref") else { return Some(place) };
            place = self.document.resolve(reference)?;
        }
        None
    }

    /// The pointer of a member. Pointers are for people: one that is too long stays as it is, so
    /// that long names cost nothing.
    pub(super) fn below(&self, key: &str) -> String {
        if self.pointer.len() > POINTER_BYTES_MAX {
            return self.pointer.clone();
        }
        format!("{}/{}", self.pointer, token(key))
    }

    fn at(&self, value: &'a Value, pointer: String) -> Self {
        Self { document: self.document, value, pointer }
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (char::from(bytes.next()?), char::from(bytes.next()?));
            decoded.push(u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

/// What may still be read. Aliases of YAML count each time they are used.
struct Budget {
    nodes: Cell<usize>,
    bytes: Cell<usize>,
}

impl Budget {
    fn spend<E: serde::de::Error>(&self, bytes: usize) -> Result<(), E> {
        let (Some(nodes), Some(bytes)) =
            (self.nodes.get().checked_sub(1), self.bytes.get().checked_sub(bytes))
        else {
            return Err(E::custom("zu groß"));
        };
        self.nodes.set(nodes);
        self.bytes.set(bytes);
        Ok(())
    }
}

struct Seed<'b> {
    budget: &'b Budget,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.budget.spend(0)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.budget.spend(0)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.budget.spend(0)?;
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.budget.spend(0)?;
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.budget.spend(0)?;
        let number = Number::from_f64(value).ok_or_else(|| E::custom("keine endliche Zahl"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.budget.spend(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth)?;
        self.budget.spend(0)?;
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(Seed { budget: self.budget, depth })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth)?;
        self.budget.spend(0)?;
        let mut members = Map::new();
        // keys like 200 are numbers in YAML
        while let Some(key) = from.next_key_seed(Seed { budget: self.budget, depth })? {
            let key = match key {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                _ => return Err(A::Error::custom("Schlüssel ist kein Text")),
            };
            let value = from.next_value_seed(Seed { budget: self.budget, depth })?;
            if members.contains_key(&key) {
                return Err(A::Error::custom("ein Schlüssel steht zweimal"));
            }
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

fn deeper<E: serde::de::Error>(depth: usize) -> Result<usize, E> {
    if depth >= DEPTH_MAX { Err(E::custom("zu tief geschachtelt")) } else { Ok(depth + 1) }
}

/// Arrays and objects inside each other.
const DEPTH_MAX: usize = 80;
/// Values of a document, keys too.
const NODES_MAX: usize = 500_000;
/// Bytes of all texts of a document, aliases unfolded.
const TEXT_BYTES_MAX: usize = 16 << 20;
const REFERENCES_MAX: usize = 16;
const TOKEN_CHARS_MAX: usize = 100;
const POINTER_BYTES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_read(text: &str, expect: Result<Value, &str>) {
        match (read(text.as_bytes()), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{text}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expect) => panic!("{text}: {found:?}, not {expect:?}"),
        }
    }

    #[test]
    fn json_and_yaml_become_the_same_values() {
        check_read(
            "{\"a\": [1, -2, 0.5, null, true, \"x\"]}",
            Ok(json!({"a": [1, -2, 0.5, null, true, "x"]})),
        );
        check_read(
            "a:\n  200: {b: 'yes'}\n  default: no\n",
            Ok(json!({"a": {"200": {"b": "yes"}, "default": "no"}})),
        );
        check_read("a: &x {b: 1}\nc: *x\n", Ok(json!({"a": {"b": 1}, "c": {"b": 1}})));
        check_read("{\"a\": 1, \"a\": 2}", Err("zweimal"));
        check_read("a: 1\na: 2\n", Err("zweimal"));
        check_read("{\"a\": 1} x", Err("trailing"));
        check_read("a: 1\n---\nb: 2\n", Err("more than one document"));
        check_read("a: .inf\n", Err("endliche"));
        check_read("[1, 2]: 3\n", Err(""));
    }

    #[test]
    fn what_is_too_deep_or_unfolds_too_far_is_refused() {
        check_read(&"[".repeat(100), Err("zu tief"));
        check_read(&"[".repeat(1 << 20), Err("zu tief"));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let of = format!("*a{}", n - 1);
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", [of.as_str(); 10].join(", ")));
        }
        assert!(read(bomb.as_bytes()).is_err());
    }

    #[test]
    fn references_are_followed_within_the_document() {
        let value = json!({"a/b": {"c~d": {"$ref": "#/e"}}, "e": {"$ref": "#/f%20g"}, "f g": 1,
            "loop": {"$ref": "#/loop"}, "out": {"$ref": "other.json#/a"}});
        let document = Document::json_schema(&value);
        let check = |reference: &str, expect: Option<&str>| {
            let found = document.resolve(reference).and_then(|it| it.target());
            assert_eq!(found.map(|it| it.pointer).as_deref(), expect, "{reference}");
        };
        check("#", Some("#"));
        check("#/a~1b/c~0d", Some("#/f g"));
        check("#/loop", None);
        check("#/out", None);
        check("#/missing", None);
        check("#%zz", None);
        check("other.json#/a", None);
    }
}
