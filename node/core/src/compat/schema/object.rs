//! Objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Comparison, Contract, Node, Place, Plain, Rule, scalar::Sizes, types::Type};
use crate::validate::Shown;

/// Schemas by name, of all parts.
type Named<'a> = BTreeMap<&'a str, Vec<Place<'a>>>;

/// The objects of one side.
struct Object<'p, 'a> {
    plain: &'p Plain<'a>,
    described: Named<'a>,
    required: BTreeSet<&'a str>,
}

impl Comparison<'_> {
    pub(super) fn objects(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        if !(sub.types & sup.types).has(Type::Object) {
            return;
        }
        self.sizes(sub, sup, &PROPERTIES);
        let (a, b) = (Object::of(sub, self.contract), Object::of(sup, self.contract));
        self.required(&a, &b);
        let names: BTreeSet<&str> = a.described.keys().chain(b.described.keys()).copied().collect();
        for name in names {
            if self.is_decided() || !self.spend(sub.parts.len() + sup.parts.len()) {
                return;
            }
            self.property(&a, &b, name);
        }
        self.rest(sub, sup, "additionalProperties", &ADDITIONAL);
        self.rest(sub, sup, "unevaluatedProperties", &UNEVALUATED);
        self.patterns(sub, sup);
        let names = |plain: &Plain<'_>| plain.has("propertyNames");
        if names(sub) || names(sup) {
            let (a, b): (Node<'_>, Node<'_>) =
                (sub.keyword("propertyNames").collect(), sup.keyword("propertyNames").collect());
            self.included(&a, &b, None);
        }
        self.dependencies(&a, &b);
    }

    fn required(&mut self, sub: &Object<'_, '_>, sup: &Object<'_, '_>) {
        for name in sup.required.difference(&sub.required) {
            let text = match self.contract {
                Contract::Input => "neu Pflicht",
                Contract::Output => "nicht mehr zugesichert",
            };
            let path = self.property_path(sub, sup, name);
            self.broken(&REQUIRED, &path, &format!("{}: {text}", Shown(name)));
        }
        for name in sub.required.difference(&sup.required) {
            let text = match self.contract {
                Contract::Input => "nicht mehr Pflicht",
                Contract::Output => "jetzt zugesichert",
            };
            let path = self.property_path(sub, sup, name);
            self.eased(&REQUIRED, &path, &format!("{}: {text}", Shown(name)));
        }
    }

    /// Where a property is described, in the new schema if it is there; else `required`.
    fn property_path(&self, sub: &Object<'_, '_>, sup: &Object<'_, '_>, name: &str) -> String {
        let (old, new) = self.old_new(sub, sup);
        let found = new.described.get(name).or_else(|| old.described.get(name));
        let found = found.and_then(|places| places.first()).map(|it| it.pointer.clone());
        found.unwrap_or_else(|| self.at(sub.plain, sup.plain, "required"))
    }

    fn property(&mut self, sub: &Object<'_, '_>, sup: &Object<'_, '_>, name: &str) {
        let hidden = |object: &Object<'_, '_>| {
            object.described.get(name).is_some_and(|it| is_hidden(it, self.contract))
        };
        if hidden(sub) || hidden(sup) {
            return;
        }
        let path = self.property_path(sub, sup, name);
        let (a, b) = (sub.property(name), sup.property(name));
        match (sub.described.contains_key(name), sup.described.contains_key(name)) {
            (true, true) => self.included(&a, &b, None),
            (true, false) => self.only_sub(&a, &b, &path, sup),
            (false, _) => self.only_sup(&a, &b, &path, sup.required.contains(name)),
        }
    }

    /// What speaks has a property that the other side does not describe.
    fn only_sub(&mut self, sub: &Node<'_>, rest: &Node<'_>, path: &str, sup: &Object<'_, '_>) {
        if Plain::of(sub).never {
            return;
        }
        if Plain::of(rest).never {
            let text = match self.contract {
                Contract::Input => "entfällt, und weitere Eigenschaften sind nicht zulässig",
                Contract::Output => "kommt hinzu, wo keine weiteren Eigenschaften zulässig waren",
            };
            return self.broken(&GONE, path, text);
        }
        if !rest.places.is_empty() {
            self.included(sub, rest, None);
        }
        // a branch of the other side may describe it
        if self.cases > 0 || !sup.plain.groups.is_empty() {
            return;
        }
        match self.contract {
            Contract::Input => {
                let text = "wird nicht mehr beschrieben, bleibt aber zulässig";
                self.note(GONE.narrowed, path, text);
            }
            Contract::Output => {
                self.eased(&Rule::new(GONE.widened, GONE.widened), path, "kommt hinzu")
            }
        }
    }

    /// What is heard has a property that the speaking side does not describe.
    fn only_sup(&mut self, rest: &Node<'_>, sup: &Node<'_>, path: &str, required: bool) {
        match self.contract {
            // whatever else an open object held before is nobody's contract
            Contract::Input => {
                if !rest.places.is_empty() && !Plain::of(rest).never {
                    self.included(rest, sup, None);
                }
                if !required {
                    self.eased(&GONE, path, "kommt hinzu, keine Pflicht");
                }
            }
            Contract::Output => {
                let rule = Rule::new(GONE.narrowed, GONE.narrowed);
                self.broken(&rule, path, "kommt nicht mehr");
            }
        }
    }

    /// What is not described one by one.
    pub(super) fn rest(&mut self, sub: &Plain<'_>, sup: &Plain<'_>, keyword: &str, rule: &Rule) {
        let (a, b): (Node<'_>, Node<'_>) =
            (sub.keyword(keyword).collect(), sup.keyword(keyword).collect());
        let (closed_a, closed_b) = (Plain::of(&a).never, Plain::of(&b).never);
        let path = self.at(sub, sup, keyword);
        let text = |closed: bool| if closed { "geschlossen" } else { "offen" };
        if closed_a != closed_b {
            let text =
                format!("{keyword}: {}", self.sides(Some(text(closed_a)), Some(text(closed_b))));
            self.differs(closed_a, rule, &path, &text);
        } else if !closed_a {
            self.included(&a, &b, None);
        }
    }

    fn patterns(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        const KEYWORD: &str = "patternProperties";
        if !sub.has(KEYWORD) && !sup.has(KEYWORD) {
            return;
        }
        let (a, b) = (named(sub, KEYWORD), named(sup, KEYWORD));
        let closed = |plain: &Plain<'_>| {
            Plain::of(&plain.keyword("additionalProperties").collect::<Node<'_>>()).never
        };
        let path = self.at(sub, sup, KEYWORD);
        for pattern in a.keys().chain(b.keys().filter(|it| !a.contains_key(*it))) {
            let text = format!("nur auf einer Seite beschrieben: {}", Shown(pattern));
            match (a.get(pattern), b.get(pattern)) {
                (Some(a), Some(b)) => {
                    let (a, b) = (a.iter().cloned().collect(), b.iter().cloned().collect());
                    self.included(&a, &b, None);
                }
                (None, _) => self.differs(closed(sub), &PATTERNS, &path, &text),
                (_, None) => self.differs(!closed(sup), &PATTERNS, &path, &text),
            }
        }
    }

    fn dependencies(&mut self, sub: &Object<'_, '_>, sup: &Object<'_, '_>) {
        for keyword in ["dependentRequired", "dependentSchemas", "dependencies"] {
            let (a, b) = (named(sub.plain, keyword), named(sup.plain, keyword));
            let path = self.at(sub.plain, sup.plain, keyword);
            for (name, places) in &b {
                let own = a.get(name).cloned().unwrap_or_default();
                let (lists, schemas): (Vec<_>, Vec<_>) =
                    places.iter().cloned().partition(|it| it.value.is_array());
                let needed = texts(&lists);
                let mut known = texts(&own);
                known.extend(&sub.required);
                let text = format!("mit {} verlangt, bisher oder jetzt nicht", Shown(name));
                if !needed.is_subset(&known) {
                    self.broken(&DEPENDENT, &path, &text);
                }
                let own: Node<'_> = own.into_iter().filter(|it| !it.value.is_array()).collect();
                if !schemas.is_empty() && own.places.is_empty() {
                    self.broken(&DEPENDENT, &path, &text);
                } else if !schemas.is_empty() {
                    self.included(&own, &schemas.into_iter().collect(), None);
                }
            }
            for name in a.keys().filter(|it| !b.contains_key(*it)) {
                let text = format!("mit {} nicht auf beiden Seiten", Shown(name));
                self.eased(&DEPENDENT, &path, &text);
            }
        }
    }
}

// === impl Object ===

impl<'p, 'a> Object<'p, 'a> {
    fn of(plain: &'p Plain<'a>, contract: Contract) -> Self {
        let described = named(plain, "properties");
        let lists: Vec<_> = plain.keyword("required").collect();
        let mut required = texts(&lists);
        required.retain(|name| !described.get(name).is_some_and(|it| is_hidden(it, contract)));
        Self { plain, described, required }
    }

    /// All that is said of a property. Whether a pattern fits a name is not decided: such a part
    /// says nothing of a name it does not describe.
    fn property(&self, name: &str) -> Node<'a> {
        let part = |part: &Place<'a>| {
            if let Some(place) = part.get("properties").and_then(|it| it.get(name)) {
                return Some(place);
            }
            let patterns = part.value.get("patternProperties").and_then(Value::as_object);
            if patterns.is_some_and(|it| !it.is_empty()) {
                return None;
            }
            let unknown = !self.described.contains_key(name);
            part.get("additionalProperties")
                .or_else(|| part.get("unevaluatedProperties").filter(|_| unknown))
        };
        self.plain.parts.iter().filter_map(part).collect()
    }
}

/// True when the sending side of the contract has nothing to do with a property.
fn is_hidden(places: &[Place<'_>], contract: Contract) -> bool {
    let keyword = match contract {
        Contract::Input => "readOnly",
        Contract::Output => "writeOnly",
    };
    places.iter().any(|place| {
        place.document.is_openapi
            && (place.is_true(keyword) || place.target().is_some_and(|it| it.is_true(keyword)))
    })
}

fn named<'a>(plain: &Plain<'a>, keyword: &str) -> Named<'a> {
    let mut found = Named::new();
    for place in plain.keyword(keyword) {
        for (name, schema) in place.members() {
            found.entry(name).or_default().push(schema);
        }
    }
    found
}

/// The texts in some arrays.
fn texts<'a>(lists: &[Place<'a>]) -> BTreeSet<&'a str> {
    let items = lists.iter().filter_map(|it| it.value.as_array()).flatten();
    items.filter_map(Value::as_str).collect()
}

const REQUIRED: Rule = Rule::new("REQUIRED_ADDED", "REQUIRED_REMOVED");
const GONE: Rule = Rule::new("PROPERTY_REMOVED", "PROPERTY_ADDED");
const ADDITIONAL: Rule =
    Rule::new("ADDITIONAL_PROPERTIES_NARROWED", "ADDITIONAL_PROPERTIES_WIDENED");
const UNEVALUATED: Rule =
    Rule::new("UNEVALUATED_PROPERTIES_NARROWED", "UNEVALUATED_PROPERTIES_WIDENED");
const PATTERNS: Rule = Rule::new("PATTERN_PROPERTIES_NARROWED", "PATTERN_PROPERTIES_WIDENED");
const DEPENDENT: Rule = Rule::new("DEPENDENT_NARROWED", "DEPENDENT_WIDENED");
const PROPERTIES: Sizes = Sizes {
    least: ("minProperties", Rule::new("MIN_PROPERTIES_RAISED", "MIN_PROPERTIES_LOWERED")),
    most: ("maxProperties", Rule::new("MAX_PROPERTIES_LOWERED", "MAX_PROPERTIES_RAISED")),
    of: |value| value.as_object().map(serde_json::Map::len),
};
