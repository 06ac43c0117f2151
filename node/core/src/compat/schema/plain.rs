//! A conjunction of schemas with `$ref` and `allOf` unfolded.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Dialect, Node, Place, canonical,
    types::{Type, Types},
};

/// Plain schema objects that all must hold.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    /// Objects whose `$ref` and `allOf` are unfolded into further parts.
    pub(super) parts: Vec<Place<'a>>,
    /// `anyOf` and `oneOf` of which no branch is chosen yet.
    pub(super) groups: Vec<Group<'a>>,
    /// References that lead out of the document.
    pub(super) outside: BTreeSet<&'a str>,
    /// Nothing is valid.
    pub(super) never: bool,
    /// Something that is no schema, or too much of it.
    pub(super) malformed: bool,
    /// How much there is to look at.
    pub(super) weight: usize,
    /// Where it stands, for people.
    pub(super) pointer: String,
    pub(super) types: Types,
    /// The only values, if there are only some (`enum`, `const`), by their canonical text.
    pub(super) values: Option<Vec<(String, &'a Value)>>,
}

/// An `anyOf` or `oneOf`.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub(super) place: Place<'a>,
    pub(super) exclusive: bool,
}

// === impl Plain ===

impl<'a> Plain<'a> {
    pub(super) fn of(node: &Node<'a>) -> Self {
        let mut plain = Self {
            parts: Vec::new(),
            groups: Vec::new(),
            outside: BTreeSet::new(),
            never: false,
            malformed: false,
            weight: 1,
            pointer: node.places.first().map_or_else(|| "#".to_owned(), |it| it.pointer.clone()),
            types: Types::ALL,
            values: None,
        };
        plain.unfold(node);
        // a schema that only refers stands where it refers to
        if let [place] = node.places.as_slice()
            && place.value.get("$ref").is_some()
            && let Some(part) = plain.parts.iter().find(|it| it.pointer != place.pointer)
        {
            plain.pointer.clone_from(&part.pointer);
        }
        plain.settle();
        plain
    }

    fn unfold(&mut self, node: &Node<'a>) {
        let mut seen: BTreeSet<*const Value> = BTreeSet::new();
        let mut open: Vec<Place<'a>> = node.places.iter().rev().cloned().collect();
        while let Some(place) = open.pop() {
            if !seen.insert(std::ptr::from_ref(place.value)) {
                continue;
            }
            if self.parts.len() >= PARTS_MAX || open.len() >= PARTS_MAX {
                self.malformed = true;
                return;
            }
            match place.value {
                Value::Bool(true) => {}
                Value::Bool(false) => self.never = true,
                Value::Object(_) => {
                    if let Some(reference) = place.value.get("$ref") {
                        let Some(reference) = reference.as_str() else {
                            self.malformed = true;
                            continue;
                        };
                        match place.document.resolve(reference) {
                            Some(target) => open.push(target),
                            None => {
                                self.outside.insert(reference);
                            }
                        }
                        if place.document.dialect != Dialect::Modern {
                            continue;
                        }
                    }
                    if let Some(all) = place.get("allOf") {
                        self.malformed |= !all.value.is_array();
                        let mut branches: Vec<_> = all.items().take(PARTS_MAX).collect();
                        branches.reverse();
                        open.extend(branches);
                    }
                    self.weight = self.weight.saturating_add(weight(&place));
                    self.groups(&place, &node.settled);
                    self.parts.push(place);
                }
                Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    self.malformed = true;
                }
            }
        }
    }

    fn groups(&mut self, place: &Place<'a>, settled: &[*const Value]) {
        for (keyword, exclusive) in [("anyOf", false), ("oneOf", true)] {
            let Some(place) = place.get(keyword) else { continue };
            let Some(branches) = place.value.as_array() else {
                self.malformed = true;
                continue;
            };
            if branches.len() > BRANCHES_MAX {
                self.malformed = true;
            } else if !settled.contains(&std::ptr::from_ref(place.value)) && !branches.is_empty() {
                self.groups.push(Group { place, exclusive });
            }
        }
    }

    /// Types and values of all parts together.
    fn settle(&mut self) {
        for part in &self.parts {
            let nullable = part.document.dialect == Dialect::OpenApi30 && part.is_true("nullable");
            if let Some(value) = part.value.get("type") {
                let mut types = Types::read(value);
                if nullable {
                    types = types | Types::from(Type::Null);
                }
                self.types = self.types & types;
            }
            let listed = part.value.get("enum").and_then(Value::as_array).map(Vec::as_slice);
            let constant = part.value.get("const").map(std::slice::from_ref);
            for list in [listed, constant].into_iter().flatten() {
                let mut values: Vec<_> = list.iter().map(|it| (canonical(it), it)).collect();
                if nullable {
                    values.push(("null".to_owned(), &Value::Null));
                }
                values.sort_by(|(a, _), (b, _)| a.cmp(b));
                values.dedup_by(|(a, _), (b, _)| a == b);
                self.values = Some(match self.values.take() {
                    None => values,
                    Some(mut others) => {
                        let known: BTreeSet<_> = values.into_iter().map(|(key, _)| key).collect();
                        others.retain(|(key, _)| known.contains(key));
                        others
                    }
                });
            }
        }
        if let Some(values) = &mut self.values {
            values.retain(|(_, value)| self.types.has(Type::of(value)));
            let found = values.iter().fold(Types::NONE, |all, (_, it)| all | Type::of(it).into());
            self.types = self.types & found;
        }
        // of a group it says nothing: a branch may still have types
        self.never |= self.types == Types::NONE;
    }

    /// A keyword in all parts that have it.
    pub(super) fn keyword(&self, keyword: &str) -> impl Iterator<Item = Place<'a>> {
        self.parts.iter().filter_map(move |part| part.get(keyword))
    }

    pub(super) fn has(&self, keyword: &str) -> bool {
        self.parts.iter().any(|part| part.value.get(keyword).is_some())
    }
}

/// What a part costs to look at, subschemas apart.
fn weight(part: &Place<'_>) -> usize {
    let members = part.value.as_object().into_iter().flatten();
    members
        .map(|(key, value)| {
            let deep = matches!(key.as_str(), "enum" | "const" | "required");
            1 + key.len() / 32 + if deep { size(value) } else { shallow(value) }
        })
        .sum()
}

fn shallow(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() / 32,
        Value::Array(items) => items.len(),
        Value::Object(members) => members.keys().map(|key| 1 + key.len() / 32).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// What a value costs to compare.
pub(super) fn size(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len() / 32,
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| key.len() / 32 + size(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// Schemas that hold together.
const PARTS_MAX: usize = 256;
/// Branches of one `anyOf` or `oneOf`.
const BRANCHES_MAX: usize = 256;
