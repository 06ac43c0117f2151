//! Values and texts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Comparison, Plain, Rule,
    types::{Type, Types},
};

/// Keywords of a least and a greatest size, their rules, and the size of a value.
pub(super) struct Sizes {
    pub(super) least: (&'static str, Rule),
    pub(super) most: (&'static str, Rule),
    pub(super) of: fn(&Value) -> Option<usize>,
}

impl Comparison<'_> {
    pub(super) fn values(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        let keyword = if sub.has("enum") || sup.has("enum") { "enum" } else { "const" };
        let path = self.at(sub, sup, keyword);
        match (&sub.values, &sup.values) {
            (Some(_), None) => {
                let (text, _) = self.old_new("nicht mehr aufgezählt", "jetzt aufgezählt");
                self.eased(&ENUM, &path, &format!("die Werte sind {text}"));
            }
            (None, Some(_)) if !few(sub.types) => {
                let (text, _) = self.old_new("jetzt aufgezählt", "nicht mehr aufgezählt");
                self.broken(&ENUM, &path, &format!("die Werte sind {text}"));
            }
            (None, Some(values)) => {
                let known: BTreeSet<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
                let all = [(Type::Null, "null"), (Type::Boolean, "true"), (Type::Boolean, "false")];
                for (_, value) in all.iter().filter(|(it, _)| sub.types.has(*it)) {
                    if !known.contains(value) {
                        self.broken(&ENUM, &path, &format!("der Wert {value}"));
                    }
                }
            }
            (Some(a), Some(b)) => {
                let known: BTreeSet<&str> = b.iter().map(|(key, _)| key.as_str()).collect();
                let own: BTreeSet<&str> = a.iter().map(|(key, _)| key.as_str()).collect();
                let (only_sub, only_sup): (Vec<&str>, Vec<&str>) = (
                    own.difference(&known).copied().collect(),
                    known.difference(&own).copied().collect(),
                );
                let (gone, come) = self.old_new(&only_sub, &only_sup);
                let list = |all: &[&str]| {
                    let all: Vec<&str> = all.iter().take(VALUES_SHOWN_MAX).copied().collect();
                    super::shown(&all.join(", "))
                };
                let text = match (gone.is_empty(), come.is_empty()) {
                    (true, true) => return,
                    (false, true) => format!("entfällt: {}", list(gone)),
                    (true, false) => format!("kommt hinzu: {}", list(come)),
                    (false, false) => {
                        format!("entfällt: {}; kommt hinzu: {}", list(gone), list(come))
                    }
                };
                self.differs(only_sub.is_empty(), &ENUM, &path, &text);
            }
            (None, None) => {}
        }
    }

    pub(super) fn strings(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        if !(sub.types & sup.types).has(Type::String) {
            self.formats(sub, sup);
            return;
        }
        self.sizes(sub, sup, &LENGTHS);
        let texts = |plain: &Plain<'_>, keyword: &str| -> BTreeSet<String> {
            let found =
                plain.keyword(keyword).filter_map(|it| it.value.as_str().map(str::to_owned));
            found.collect()
        };
        for (keyword, rule) in
            [("pattern", &PATTERN), ("contentEncoding", &CONTENT), ("contentMediaType", &CONTENT)]
        {
            let (a, b) = (texts(sub, keyword), texts(sup, keyword));
            if a != b {
                let joined = |all: &BTreeSet<String>| {
                    let all: Vec<&str> = all.iter().map(String::as_str).collect();
                    (!all.is_empty()).then(|| all.join(" und "))
                };
                let mut text = format!("{keyword}: {}", self.sides(joined(&a), joined(&b)));
                if !b.is_subset(&a) && !a.is_empty() {
                    text.push_str("; ob das eine im anderen enthalten ist, wird nicht entschieden");
                }
                self.differs(b.is_subset(&a), rule, &self.at(sub, sup, keyword), &text);
            }
        }
        self.formats(sub, sup);
    }

    fn formats(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        if !(sub.types & sup.types).meets(Types::NUMBERS | Type::String.into()) {
            return;
        }
        let formats = |plain: &Plain<'_>| -> BTreeSet<String> {
            plain.keyword("format").filter_map(|it| it.value.as_str().map(str::to_owned)).collect()
        };
        let (a, b) = (formats(sub), formats(sup));
        if a == b || sub.values.is_some() {
            return;
        }
        let included = b.iter().all(|b| {
            a.iter().any(|a| {
                a == b
                    || [("int32", "int64"), ("float", "double")].contains(&(a.as_str(), b.as_str()))
            })
        });
        let (first_a, first_b) = (a.into_iter().next(), b.into_iter().next());
        let text = format!("format: {}", self.sides(first_a, first_b));
        self.differs(included, &FORMAT, &self.at(sub, sup, "format"), &text);
    }

    /// Least and greatest size of texts, arrays or objects.
    pub(super) fn sizes(&mut self, sub: &Plain<'_>, sup: &Plain<'_>, sizes: &Sizes) {
        let read = |plain: &Plain<'_>, keyword: &str| -> Vec<u64> {
            let found = plain.keyword(keyword).filter_map(|it| size(it.value));
            found.collect()
        };
        let of_values = |plain: &Plain<'_>| -> Vec<u64> {
            let values = plain.values.iter().flatten().filter_map(|(_, it)| (sizes.of)(it));
            values.map(|it| u64::try_from(it).unwrap_or(u64::MAX)).collect()
        };
        let listed = sub.values.is_some();
        let (keyword, rule) = &sizes.least;
        let least = |plain: &Plain<'_>| read(plain, keyword).into_iter().max().filter(|it| *it > 0);
        let (a, b) = (least(sub), least(sup));
        let included = of_values(sub).into_iter().min().or(a) >= b;
        // of listed values, a size that lets them all pass says nothing
        if a != b && !(listed && included) {
            let text = format!("{keyword}: {}", self.sides(a, b));
            self.differs(included, rule, &self.at(sub, sup, keyword), &text);
        }
        let (keyword, rule) = &sizes.most;
        let most = |plain: &Plain<'_>| read(plain, keyword).into_iter().min();
        let (a, b) = (most(sub), most(sup));
        let own = of_values(sub).into_iter().max().or(a);
        let included = b.is_none_or(|b| own.is_some_and(|own| own <= b));
        if a != b && !(listed && included) {
            let text = format!("{keyword}: {}", self.sides(a, b));
            self.differs(included, rule, &self.at(sub, sup, keyword), &text);
        }
    }
}

/// A size; some write `5.0`.
fn size(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    let whole = |it: f64| (it.fract() == 0.0 && (0.0..9e15).contains(&it)).then_some(it as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(whole))
}

/// Types with so few values that they can be listed.
fn few(types: Types) -> bool {
    let some = Types::from(Type::Null) | Type::Boolean.into();
    types & some == types
}

const VALUES_SHOWN_MAX: usize = 10;
const ENUM: Rule = Rule::new("ENUM_NARROWED", "ENUM_WIDENED");
const PATTERN: Rule = Rule::new("PATTERN_CHANGED", "PATTERN_CHANGED");
const CONTENT: Rule = Rule::new("CONTENT_CHANGED", "CONTENT_CHANGED");
const FORMAT: Rule = Rule::new("FORMAT_CHANGED", "FORMAT_CHANGED");
const LENGTHS: Sizes = Sizes {
    least: ("minLength", Rule::new("MIN_LENGTH_RAISED", "MIN_LENGTH_LOWERED")),
    most: ("maxLength", Rule::new("MAX_LENGTH_LOWERED", "MAX_LENGTH_RAISED")),
    of: |value| value.as_str().map(|it| it.chars().count()),
};
