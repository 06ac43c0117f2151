//! `anyOf`, `oneOf`, `not`, `if`, and what is only worth a remark.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Comparison, Contract, Node, Place, Plain, Rule,
    plain::{Group, size},
};
use crate::validate::Shown;

impl Comparison<'_> {
    /// Compares case by case: every branch of `sub` must be included.
    pub(super) fn split(&mut self, sub: &Node<'_>, group: &Group<'_>, sup: &Node<'_>) {
        if self.probe.is_none() && self.cases == 0 {
            self.branches(group, sup);
        }
        let settled = std::ptr::from_ref(group.place.value);
        self.cases += 1;
        for (n, branch) in group.place.items().enumerate() {
            self.included(&sub.with(branch, Some(settled)), sup, Some(n));
        }
        self.cases -= 1;
    }

    /// Remarks on the number of branches.
    fn branches(&mut self, group: &Group<'_>, sup: &Node<'_>) {
        let sup = Plain::of(sup);
        let [other] = sup.groups.as_slice() else { return };
        let count = |it: &Group<'_>| it.place.value.as_array().map_or(0, Vec::len);
        let (a, b) = (count(group), count(other));
        if a >= b && group.exclusive == other.exclusive {
            return;
        }
        let (old, new) = self.old_new((group, a), (other, b));
        let path = &new.0.place.pointer;
        self.eased(&BRANCHES, path, &format!("{} Varianten, bisher {}", new.1, old.1));
        if other.exclusive {
            let text = "oneOf: ob ein Wert auf zwei Varianten passt, wird nicht geprüft";
            self.note("ONE_OF_OVERLAP", path, text);
        }
    }

    /// Some branch of `group` must include `sub`.
    pub(super) fn has_branch(&mut self, sub: &Node<'_>, group: &Group<'_>, branch: Option<usize>) {
        let branches: Vec<Place<'_>> = group.place.items().collect();
        let first = branch.filter(|it| *it < branches.len());
        let order = first.into_iter().chain((0..branches.len()).filter(|it| Some(*it) != first));
        for n in order {
            let node = Node::from(branches[n].clone());
            if self.probe(|this| this.included(sub, &node, None)) {
                return;
            }
        }
        if self.probe.is_some() {
            return self.fail();
        }
        let before = self.changes.count_breaking();
        // the branch at the same place, or the only one, tells what is wrong
        let told = first.or_else(|| (branches.len() == 1).then_some(0));
        if let Some(branch) = told.and_then(|it| branches.get(it)) {
            self.cases += 1;
            self.included(sub, &Node::from(branch.clone()), None);
            self.cases -= 1;
        }
        if self.changes.count_breaking() == before {
            let text = match self.contract {
                Contract::Input => "keine Variante nimmt alles an, was bisher gültig war",
                Contract::Output => "keine bisherige Variante deckt ab, was jetzt kommen kann",
            };
            self.broken(&BRANCHES, &group.place.pointer, text);
        }
    }

    /// What `sup` excludes, `sub` must exclude.
    pub(super) fn negations(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        let own: Vec<Node<'_>> = sub.keyword("not").map(Node::from).collect();
        for excluded in sup.keyword("not").map(Node::from) {
            let types = Plain::of(&excluded).types;
            if !types.meets(sub.types) {
                continue;
            }
            let contract = self.contract;
            self.contract = contract.reversed();
            let known =
                own.iter().any(|own| self.probe(|this| this.included(&excluded, own, None)));
            self.contract = contract;
            if !known {
                let text = "not: schließt etwas aus, was sonst zulässig ist; als enger gewertet";
                self.broken(&NOT, &self.at(sub, sup, "not"), text);
            }
        }
        if !own.is_empty() && !sup.has("not") {
            self.eased(&NOT, &self.at(sub, sup, "not"), "not: schließt nichts mehr aus");
        }
    }

    /// A condition must be the same on both sides; then its consequences are compared.
    pub(super) fn conditions(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        let own: Vec<&Place<'_>> =
            sub.parts.iter().filter(|it| it.value.get("if").is_some()).collect();
        for part in sup.parts.iter().filter(|it| it.value.get("if").is_some()) {
            if part.value.get("then").is_none() && part.value.get("else").is_none() {
                continue;
            }
            let condition: Node<'_> = part.get("if").into_iter().collect();
            let same = own.iter().find(|own| {
                let own: Node<'_> = own.get("if").into_iter().collect();
                self.probe(|this| this.included(&own, &condition, None))
                    && self.probe(|this| this.included(&condition, &own, None))
            });
            let Some(same) = same else {
                let text = "if: die Bedingung gibt es auf einer Seite nicht; als enger gewertet, \
                            weil nicht entscheidbar";
                self.broken(&CONDITION, &self.at(sub, sup, "if"), text);
                continue;
            };
            for keyword in ["then", "else"] {
                let (a, b): (Node<'_>, Node<'_>) = (
                    same.get(keyword).into_iter().collect(),
                    part.get(keyword).into_iter().collect(),
                );
                self.included(&a, &b, None);
            }
        }
        if !own.is_empty() && !sup.has("if") {
            self.eased(&CONDITION, &self.at(sub, sup, "if"), "if: die Bedingung entfällt");
        }
    }

    /// Keywords that do not restrict, or that this comparison does not know.
    pub(super) fn remarks(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        let (old, new) = self.old_new(sub, sup);
        let (was, is) = (remarkable(old), remarkable(new));
        let keys: BTreeSet<&str> = was.keys().chain(is.keys()).copied().collect();
        for key in keys {
            let (was, is) = (was.get(key), is.get(key));
            let work: usize =
                was.iter().chain(&is).flat_map(|it| it.iter()).map(|it| size(it.value)).sum();
            if !self.spend(work) {
                return;
            }
            if values(was).eq(values(is)) {
                continue;
            }
            let path = self.at(sub, sup, key);
            match key {
                "default" => self.note("DEFAULT_CHANGED", &path, "Vorgabewert geändert"),
                "deprecated" => {
                    self.note("DEPRECATED_CHANGED", &path, "Kennzeichnung als veraltet geändert")
                }
                "discriminator" => {
                    self.note("DISCRIMINATOR_CHANGED", &path, "Unterscheidungsmerkmal geändert")
                }
                "readOnly" | "writeOnly" => {
                    self.note("ACCESS_CHANGED", &path, &format!("{key} geändert"));
                }
                _ => {
                    let text = format!("Schlüsselwort {} geändert; nicht ausgewertet", Shown(key));
                    self.note("KEYWORD_UNKNOWN", &path, &text);
                }
            }
        }
    }
}

// === impl Contract ===

impl Contract {
    fn reversed(self) -> Self {
        match self {
            Self::Input => Self::Output,
            Self::Output => Self::Input,
        }
    }
}

/// Places by keyword, without keywords that are compared elsewhere or never matter.
fn remarkable<'a>(plain: &Plain<'a>) -> BTreeMap<&'a str, Vec<Place<'a>>> {
    let mut found: BTreeMap<&str, Vec<Place<'_>>> = BTreeMap::new();
    for part in &plain.parts {
        for (key, place) in part.members() {
            if COMPARED.binary_search(&key).is_err() && IGNORED.binary_search(&key).is_err() {
                found.entry(key).or_default().push(place);
            }
        }
    }
    found
}

fn values<'a, 'p>(
    side: Option<&'p Vec<Place<'a>>>,
) -> impl Iterator<Item = &'a Value> + use<'a, 'p> {
    side.into_iter().flatten().map(|it| it.value)
}

const BRANCHES: Rule = Rule::new("VARIANT_NARROWED", "VARIANT_WIDENED");
const NOT: Rule = Rule::new("NOT_NARROWED", "NOT_WIDENED");
const CONDITION: Rule = Rule::new("CONDITION_NARROWED", "CONDITION_WIDENED");
/// Sorted.
const COMPARED: [&str; 44] = [
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "then",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];
/// Sorted.
const IGNORED: [&str; 13] = [
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "$vocabulary",
    "definitions",
    "description",
    "example",
    "examples",
    "externalDocs",
    "id",
    "title",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted() {
        assert!(COMPARED.is_sorted());
        assert!(IGNORED.is_sorted());
    }
}
