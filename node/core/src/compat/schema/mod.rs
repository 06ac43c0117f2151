//! Compares JSON Schemas by inclusion: what the one side may say must be what the other side
//! accepts.
//!
//! A schema is a conjunction of plain schemas ([`Plain`]): `$ref` and `allOf` are unfolded, `anyOf`
//! and `oneOf` of the including side are split into cases, those of the accepting side must have a
//! branch for each case. Recursion through `$ref` is cut where a pair of schemas meets itself;
//! steps and depth are bounded, and a comparison that ends early says so.
//!
//! Weaker than full inclusion, always to the careful side: patterns are equal or different; of
//! `oneOf`, that no second branch matches is not shown; conditions must be the same.

mod array;
mod compose;
mod number;
mod object;
mod plain;
mod scalar;
mod types;

use std::collections::BTreeSet;

use serde_json::Value;

use self::plain::Plain;
use super::{
    changes::Changes,
    document::{Dialect, Place},
};
use crate::validate::Shown;

/// Which side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contract {
    /// Users send: what was valid must stay valid.
    Input,
    /// Users receive: what comes must be what was promised.
    Output,
}

/// Schemas that all must hold. Without any, everything is valid.
#[derive(Clone, Debug, Default)]
pub(super) struct Node<'a> {
    places: Vec<Place<'a>>,
    /// `anyOf` and `oneOf` of which a branch is among the places.
    settled: Vec<*const Value>,
}

/// Identity of a pair of schemas: addresses of values, which do not move during a comparison.
type Pair = (Contract, Vec<*const Value>, Vec<*const Value>);

/// Name of a rule when the new schema is narrower, and when it is wider.
#[derive(Clone, Copy)]
struct Rule {
    narrowed: &'static str,
    widened: &'static str,
}

/// A comparison of two documents; keeps what was compared already.
pub(super) struct Comparison<'c> {
    changes: &'c mut Changes,
    artefact: String,
    contract: Contract,
    open: Vec<Pair>,
    done: BTreeSet<Pair>,
    failed: BTreeSet<Pair>,
    steps_left: usize,
    /// While asking only whether something is included: what was found.
    probe: Option<Probe>,
    /// Depth of case distinctions, in which only what breaks is worth telling.
    cases: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    Included,
    NotIncluded,
}

// === impl Comparison ===

impl<'c> Comparison<'c> {
    /// `artefact` begins every path.
    pub(super) fn new(changes: &'c mut Changes, artefact: &str) -> Self {
        Self {
            changes,
            artefact: artefact.to_owned(),
            contract: Contract::Input,
            open: Vec::new(),
            done: BTreeSet::new(),
            failed: BTreeSet::new(),
            steps_left: STEPS_MAX,
            probe: None,
            cases: 0,
        }
    }

    /// Where findings beside schemas go.
    pub(super) fn changes(&mut self) -> &mut Changes {
        self.changes
    }

    /// The path of a pointer.
    pub(super) fn path(&self, pointer: &str) -> String {
        format!("{}{pointer}", self.artefact)
    }

    /// Compares a schema with its new form.
    pub(super) fn run<'a>(&mut self, contract: Contract, old: Place<'a>, new: Place<'a>) {
        self.contract = contract;
        let (old, new) = (Node::from(old), Node::from(new));
        match contract {
            Contract::Input => self.included(&old, &new, None),
            Contract::Output => self.included(&new, &old, None),
        }
    }

    /// Reports why what `sub` allows is not all that `sup` allows. `branch` is the case of `sub`
    /// that is looked at: if no branch of `sup` fits, the one at its place is explained.
    fn included(&mut self, sub: &Node<'_>, sup: &Node<'_>, branch: Option<usize>) {
        if self.is_decided() || !self.spend(1) {
            return;
        }
        let pair = (self.contract, sub.identity(), sup.identity());
        if pair.1 == pair.2 || self.open.contains(&pair) {
            return;
        }
        if self.probe.is_some() && self.failed.contains(&pair) {
            return self.fail();
        }
        let telling = self.probe.is_none() && self.cases == 0;
        if telling && !self.done.insert(pair.clone()) {
            return;
        }
        if self.open.len() >= DEPTH_MAX {
            return self.undecided("zu viele Verweise ineinander");
        }
        self.open.push(pair);
        self.compare_nodes(sub, sup, branch);
        let pair = self.open.pop();
        if self.probe == Some(Probe::NotIncluded) && self.failed.len() < FAILED_MAX {
            self.failed.extend(pair);
        }
    }

    fn compare_nodes(&mut self, sub: &Node<'_>, sup: &Node<'_>, branch: Option<usize>) {
        let (a, b) = (Plain::of(sub), Plain::of(sup));
        if !self.spend(a.weight + b.weight) || a.never {
            return;
        }
        if a.malformed || b.malformed {
            let values = || sub.places.iter().chain(&sup.places).map(|it| plain::size(it.value));
            if !self.spend(values().sum()) || sub.is_text_of(sup) {
                return;
            }
            let text = "kein Schema; als brechend gewertet, weil nicht vergleichbar";
            return self.broken(&SCHEMA, &self.at(&a, &b, ""), text);
        }
        if b.never {
            let text = "nichts ist zulässig, wo vorher oder nachher etwas zulässig ist";
            return self.broken(&SCHEMA, &self.at(&a, &b, ""), text);
        }
        let telling = self.probe.is_none() && self.cases == 0;
        let known = b.outside.is_subset(&a.outside);
        if !known || (telling && a.outside != b.outside) {
            let all: Vec<&str> = a.outside.symmetric_difference(&b.outside).copied().collect();
            let text = format!(
                "Verweis aus dem Dokument hinaus ({}); nicht verglichen",
                Shown(&all.join(", "))
            );
            self.note("REF_OUTSIDE", &self.at(&a, &b, "$ref"), &text);
        }
        if !known {
            return self.fail();
        }
        if let Some(group) = a.groups.first() {
            return self.split(sub, group, sup);
        }
        // beside branches of the other side, only what breaks is sure
        let cases = self.cases;
        self.cases += usize::from(!b.groups.is_empty());
        self.types(&a, &b);
        self.values(&a, &b);
        self.numbers(&a, &b);
        self.strings(&a, &b);
        self.arrays(&a, &b);
        self.objects(&a, &b);
        self.negations(&a, &b);
        self.conditions(&a, &b);
        self.cases = cases;
        for group in &b.groups {
            self.has_branch(sub, group, branch);
        }
        if telling {
            self.remarks(&a, &b);
        }
    }

    /// Asks without reporting.
    fn probe(&mut self, ask: impl FnOnce(&mut Self)) -> bool {
        let before = self.probe.replace(Probe::Included);
        ask(self);
        let answer = self.probe;
        self.probe = before;
        answer == Some(Probe::Included)
    }

    /// True when the answer to a probe cannot change any more.
    fn is_decided(&self) -> bool {
        self.probe == Some(Probe::NotIncluded)
    }

    fn fail(&mut self) {
        if let Some(probe) = &mut self.probe {
            *probe = Probe::NotIncluded;
        }
    }

    /// Counts work; false when there is no more to be done.
    fn spend(&mut self, steps: usize) -> bool {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                true
            }
            None => {
                self.steps_left = 0;
                self.undecided("das Dokument ist zu verzweigt");
                false
            }
        }
    }

    fn undecided(&mut self, reason: &str) {
        self.fail();
        let text = format!("nicht vollständig verglichen: {reason}");
        self.changes.note(&self.artefact, "COMPARISON_INCOMPLETE", text);
    }

    /// A keyword differs: breaks unless what `sub` allows is `included`.
    fn differs(&mut self, included: bool, rule: &Rule, path: &str, text: &str) {
        if included { self.eased(rule, path, text) } else { self.broken(rule, path, text) }
    }

    fn broken(&mut self, rule: &Rule, path: &str, text: &str) {
        if self.probe.is_some() {
            return self.fail();
        }
        let rule = match self.contract {
            Contract::Input => rule.narrowed,
            Contract::Output => rule.widened,
        };
        self.changes.breaking(&self.path(path), rule, text);
    }

    fn eased(&mut self, rule: &Rule, path: &str, text: &str) {
        let rule = match self.contract {
            Contract::Input => rule.widened,
            Contract::Output => rule.narrowed,
        };
        if self.probe.is_none() && self.cases == 0 {
            self.changes.compatible(&self.path(path), rule, text);
        }
    }

    fn note(&mut self, rule: &'static str, path: &str, text: &str) {
        if self.probe.is_none() {
            self.changes.note(&self.path(path), rule, text);
        }
    }

    /// Old and new of a pair given as sub and sup.
    fn old_new<T>(&self, sub: T, sup: T) -> (T, T) {
        match self.contract {
            Contract::Input => (sub, sup),
            Contract::Output => (sup, sub),
        }
    }

    /// Where a keyword stands: in the new schema, else in the old one.
    fn at(&self, sub: &Plain<'_>, sup: &Plain<'_>, keyword: &str) -> String {
        let (old, new) = self.old_new(sub, sup);
        if keyword.is_empty() {
            return if new.parts.is_empty() { &old.pointer } else { &new.pointer }.clone();
        }
        let place = new.keyword(keyword).next().or_else(|| old.keyword(keyword).next());
        place.map_or_else(|| format!("{}/{keyword}", new.pointer), |it| it.pointer)
    }

    /// "bisher …, jetzt …".
    fn sides<T: std::fmt::Display>(&self, sub: Option<T>, sup: Option<T>) -> String {
        let (old, new) = self.old_new(sub, sup);
        let text = |side: Option<T>| side.map_or_else(|| "nichts".to_owned(), |it| shown(&it));
        format!("bisher {}, jetzt {}", text(old), text(new))
    }
}

impl std::fmt::Debug for Comparison<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Comparison").field("artefact", &self.artefact).finish_non_exhaustive()
    }
}

// === impl Node ===

impl<'a> Node<'a> {
    fn identity(&self) -> Vec<*const Value> {
        let places = self.places.iter().map(|it| std::ptr::from_ref(it.value));
        let mut all: Vec<_> = places.chain(self.settled.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// True when both say the same, whatever that is.
    fn is_text_of(&self, other: &Node<'_>) -> bool {
        let values = self.places.iter().map(|it| it.value);
        values.eq(other.places.iter().map(|it| it.value))
    }

    fn with(&self, place: Place<'a>, settled: Option<*const Value>) -> Self {
        let mut node = self.clone();
        node.places.push(place);
        node.settled.extend(settled);
        node
    }
}

impl<'a> From<Place<'a>> for Node<'a> {
    fn from(place: Place<'a>) -> Self {
        Self { places: vec![place], settled: Vec::new() }
    }
}

impl<'a> FromIterator<Place<'a>> for Node<'a> {
    fn from_iter<I: IntoIterator<Item = Place<'a>>>(places: I) -> Self {
        Self { places: places.into_iter().collect(), settled: Vec::new() }
    }
}

// === impl Rule ===

impl Rule {
    const fn new(narrowed: &'static str, widened: &'static str) -> Self {
        Self { narrowed, widened }
    }
}

/// Short and without the quotes of [`super::Shown`].
fn shown(value: &impl std::fmt::Display) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX + 1).collect();
    if let Some((at, _)) = short.char_indices().nth(SHOWN_CHARS_MAX) {
        short.truncate(at);
        short.push('…');
    }
    short
}

/// Equal values have equal texts: members are sorted, `1.0` is `1`.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => number::canonical(number),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Object(members) => {
            let mut all: Vec<_> = members
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            all.sort_unstable();
            format!("{{{}}}", all.join(","))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
    }
}

const SCHEMA: Rule = Rule::new("SCHEMA_NARROWED", "SCHEMA_WIDENED");
/// Work in one comparison of two documents: about a keyword, a name or 32 bytes of text each.
const STEPS_MAX: usize = 500_000;
/// Pairs of schemas inside each other.
const DEPTH_MAX: usize = 64;
const FAILED_MAX: usize = 10_000;
const SHOWN_CHARS_MAX: usize = 120;
