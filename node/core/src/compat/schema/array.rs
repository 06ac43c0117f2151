//! Arrays.

use serde_json::Value;

use super::{Comparison, Node, Place, Plain, Rule, scalar::Sizes, types::Type};

impl Comparison<'_> {
    pub(super) fn arrays(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        if !(sub.types & sup.types).has(Type::Array) {
            return;
        }
        self.sizes(sub, sup, &ITEMS);
        let unique = |plain: &Plain<'_>| plain.parts.iter().any(|it| it.is_true("uniqueItems"));
        let (a, b) = (unique(sub), unique(sup));
        if a != b {
            let text = format!("uniqueItems: {}", self.sides(Some(a), Some(b)));
            self.differs(a, &UNIQUE, &self.at(sub, sup, "uniqueItems"), &text);
        }
        let prefixes = [sub, sup].into_iter().flat_map(|it| &it.parts).map(|it| prefix(it).count());
        let count = prefixes.max().unwrap_or(0);
        if count > PREFIX_MAX {
            return self.undecided("zu viele einzeln beschriebene Listenplätze");
        }
        for at in (0..count).chain([usize::MAX]) {
            self.included(&item(sub, at), &item(sup, at), None);
        }
        self.contained(sub, sup);
        self.rest(sub, sup, "unevaluatedItems", &UNEVALUATED);
    }

    fn contained(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        let (a, b): (Node<'_>, Node<'_>) =
            (sub.keyword("contains").collect(), sup.keyword("contains").collect());
        let path = self.at(sub, sup, "contains");
        match (a.places.is_empty(), b.places.is_empty()) {
            (true, true) => {}
            (true, false) => {
                self.broken(&CONTAINS, &path, "contains ist nur auf einer Seite verlangt")
            }
            (false, true) => {
                self.eased(&CONTAINS, &path, "contains ist nur auf einer Seite verlangt")
            }
            (false, false) => {
                self.included(&a, &b, None);
                self.sizes(sub, sup, &CONTAINED);
            }
        }
    }
}

/// The schemas of an item; beyond all prefixes those of the rest.
fn item<'a>(plain: &Plain<'a>, at: usize) -> Node<'a> {
    let parts = plain.parts.iter();
    parts
        .filter_map(|part| {
            prefix(part).nth(at).or_else(|| {
                let keyword = if is_array(part, "items") { "additionalItems" } else { "items" };
                part.get(keyword)
            })
        })
        .collect()
}

/// Schemas of single places: `prefixItems`, before 2020-12 an array as `items`.
fn prefix<'a>(part: &Place<'a>) -> impl Iterator<Item = Place<'a>> {
    let keyword = if is_array(part, "items") { "items" } else { "prefixItems" };
    let list: Vec<_> = part.get(keyword).iter().flat_map(Place::items).collect();
    list.into_iter()
}

fn is_array(part: &Place<'_>, keyword: &str) -> bool {
    part.value.get(keyword).is_some_and(Value::is_array)
}

const PREFIX_MAX: usize = 100;
const UNIQUE: Rule = Rule::new("UNIQUE_ITEMS_ADDED", "UNIQUE_ITEMS_REMOVED");
const CONTAINS: Rule = Rule::new("CONTAINS_NARROWED", "CONTAINS_WIDENED");
const UNEVALUATED: Rule = Rule::new("UNEVALUATED_ITEMS_NARROWED", "UNEVALUATED_ITEMS_WIDENED");
const ITEMS: Sizes = Sizes {
    least: ("minItems", Rule::new("MIN_ITEMS_RAISED", "MIN_ITEMS_LOWERED")),
    most: ("maxItems", Rule::new("MAX_ITEMS_LOWERED", "MAX_ITEMS_RAISED")),
    of: |value| value.as_array().map(Vec::len),
};
const CONTAINED: Sizes = Sizes {
    least: ("minContains", Rule::new("MIN_CONTAINS_RAISED", "MIN_CONTAINS_LOWERED")),
    most: ("maxContains", Rule::new("MAX_CONTAINS_LOWERED", "MAX_CONTAINS_RAISED")),
    of: |_| None,
};
