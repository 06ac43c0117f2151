//! Bounds of numbers.

use std::{cmp::Ordering, fmt};

use serde_json::{Number, Value};

use super::{
    Comparison, Plain, Rule,
    types::{Type, Types},
};

/// A lower or upper bound.
#[derive(Clone, Debug, PartialEq)]
struct Bound {
    value: Number,
    exclusive: bool,
}

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Lower,
    Upper,
}

impl Comparison<'_> {
    pub(super) fn numbers(&mut self, sub: &Plain<'_>, sup: &Plain<'_>) {
        if !(sub.types & sup.types).meets(Types::NUMBERS) {
            return;
        }
        for (end, rule) in [(End::Lower, &MINIMUM), (End::Upper, &MAXIMUM)] {
            let (a, b) = (bound(sub, end), bound(sup, end));
            let own = values_bound(sub, end).or_else(|| a.clone());
            let included = match (&own, &b) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(a), Some(b)) => a.within(b, end),
            };
            // of listed values, a bound that lets them all pass says nothing
            if a == b || (included && sub.values.is_some()) {
                continue;
            }
            let keywords = end.keywords();
            let differs = |it: &&str| {
                let values = |plain: &Plain<'_>| {
                    plain.keyword(it).map(|it| it.value.clone()).collect::<Vec<_>>()
                };
                values(sub) != values(sup)
            };
            let (_, new) = self.old_new(sub, sup);
            let mut changed: Vec<&str> = keywords.into_iter().filter(differs).collect();
            changed.sort_by_key(|it| !new.has(it));
            let keyword = changed.first().copied().unwrap_or(keywords[0]);
            let text = format!("{keyword}: {}", self.sides(a, b));
            self.differs(included, rule, &self.at(sub, sup, keyword), &text);
        }
        let (a, b) = (steps(sub), steps(sup));
        if a != b {
            let whole = !sub.types.has(Type::Fraction);
            let included = sub.values.is_some() && sup.values.is_some()
                || b.iter().all(|b| {
                    *b == 1.0 && whole || a.iter().any(|a| *b != 0.0 && (a / b).fract() == 0.0)
                });
            let texts = |all: &[f64]| {
                let all: Vec<String> = all.iter().map(f64::to_string).collect();
                (!all.is_empty()).then(|| all.join(", "))
            };
            let text = format!("multipleOf: {}", self.sides(texts(&a), texts(&b)));
            self.differs(included, &MULTIPLE, &self.at(sub, sup, "multipleOf"), &text);
        }
    }
}

/// The strictest bound at an end.
fn bound(plain: &Plain<'_>, end: End) -> Option<Bound> {
    let [inclusive, exclusive] = end.keywords();
    let mut found: Vec<Bound> = Vec::new();
    for part in &plain.parts {
        // a flag in draft 4 and OpenAPI 3.0, a bound of its own since
        let flag = part.value.get(exclusive);
        if let Some(Value::Number(value)) = part.value.get(inclusive) {
            let exclusive = flag == Some(&Value::Bool(true));
            found.push(Bound { value: value.clone(), exclusive });
        }
        if let Some(Value::Number(value)) = flag {
            found.push(Bound { value: value.clone(), exclusive: true });
        }
    }
    if !plain.types.has(Type::Fraction) {
        found = found.into_iter().map(|it| it.whole(end)).collect();
    }
    found.into_iter().reduce(|a, b| if a.within(&b, end) { a } else { b })
}

/// The bound that listed values are in themselves.
fn values_bound(plain: &Plain<'_>, end: End) -> Option<Bound> {
    let values = plain.values.iter().flatten().filter_map(|(_, it)| match it {
        Value::Number(value) => Some(Bound { value: value.clone(), exclusive: false }),
        _ => None,
    });
    values.reduce(|a, b| if a.within(&b, end) { b } else { a })
}

fn steps(plain: &Plain<'_>) -> Vec<f64> {
    let mut all: Vec<f64> =
        plain.keyword("multipleOf").filter_map(|it| it.value.as_f64()).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

// === impl Bound ===

impl Bound {
    /// True when whatever this allows, `other` allows.
    fn within(&self, other: &Self, end: End) -> bool {
        let order = compare(&self.value, &other.value);
        let order = if end == End::Upper { order.reverse() } else { order };
        match order {
            Ordering::Greater => true,
            Ordering::Equal => self.exclusive || !other.exclusive,
            Ordering::Less => false,
        }
    }

    /// The inclusive bound that means the same among whole numbers.
    fn whole(self, end: End) -> Self {
        let step: i64 = if end == End::Lower { 1 } else { -1 };
        let whole = if let Some(value) = self.value.as_i64() {
            if self.exclusive { value.checked_add(step) } else { Some(value) }
        } else {
            self.value.as_f64().and_then(|value| {
                let near = if end == End::Lower { value.ceil() } else { value.floor() };
                let exact = near.abs() < EXACT_MAX;
                #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
                let near = exact.then_some(near as i64)?;
                let hit = self.exclusive && value.fract() == 0.0;
                if hit { near.checked_add(step) } else { Some(near) }
            })
        };
        match whole {
            Some(value) => Self { value: value.into(), exclusive: false },
            None => self,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.value, if self.exclusive { " (ausschließlich)" } else { "" })
    }
}

// === impl End ===

impl End {
    fn keywords(self) -> [&'static str; 2] {
        match self {
            Self::Lower => ["minimum", "exclusiveMinimum"],
            Self::Upper => ["maximum", "exclusiveMaximum"],
        }
    }
}

/// Exact for whole numbers of 64 bits, else as floating point numbers are.
fn compare(a: &Number, b: &Number) -> Ordering {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().unwrap_or(f64::NAN).total_cmp(&b.as_f64().unwrap_or(f64::NAN)),
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

pub(super) fn is_whole(number: &Number) -> bool {
    whole(number).is_some() || number.as_f64().is_some_and(|it| it.fract() == 0.0)
}

pub(super) fn canonical(number: &Number) -> String {
    match (whole(number), number.as_f64()) {
        (Some(value), _) => value.to_string(),
        (None, Some(value)) if value.fract() == 0.0 && value.abs() < EXACT_MAX => {
            format!("{:.0}", value + 0.0)
        }
        _ => number.to_string(),
    }
}

/// Below this every whole number is one of floating point.
const EXACT_MAX: f64 = 9e15;
const MINIMUM: Rule = Rule::new("MINIMUM_RAISED", "MINIMUM_LOWERED");
const MAXIMUM: Rule = Rule::new("MAXIMUM_LOWERED", "MAXIMUM_RAISED");
const MULTIPLE: Rule = Rule::new("MULTIPLE_OF_NARROWED", "MULTIPLE_OF_WIDENED");
