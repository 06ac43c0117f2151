//! From the text of a policy file to rules, with the line of every problem.

use std::{collections::BTreeMap, ops::Range, str::FromStr};

use registry_core::authorize::{Action, Effect, Role, Rule, Scope, Who};
use registry_proto::terms::{Land, Themenfeld};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use uuid::Uuid;

use super::PolicyProblem;
use crate::config::is_dns_name;

/// Reads the rules; all problems if there are any.
pub(super) fn rules(text: &str, four_eyes: bool) -> Result<Vec<Rule>, Vec<PolicyProblem>> {
    let mut reader = Reader { text, four_eyes, problems: Vec::new() };
    let (table, broken) = DeTable::parse_recoverable(text);
    for error in broken {
        let line = error.span().map_or(1, |span| reader.line(&span));
        let reason = format!("kein TOML: {}", error.message());
        reader.problems.push(PolicyProblem { line, key: String::new(), reason });
    }
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    let rules = reader.file(table);
    if reader.problems.is_empty() { Ok(rules) } else { Err(reader.problems) }
}

/// Collects problems on its way through a file.
struct Reader<'t> {
    text: &'t str,
    four_eyes: bool,
    problems: Vec<PolicyProblem>,
}

/// A table whose keys are taken out one by one.
struct Taken<'t> {
    prefix: String,
    line: usize,
    left: BTreeMap<String, Field<'t>>,
}

struct Field<'t> {
    line: usize,
    value: DeValue<'t>,
}

/// A value, its line and its key.
struct Found<T> {
    line: usize,
    key: String,
    value: T,
}

// === impl Reader ===

impl<'t> Reader<'t> {
    fn file(&mut self, table: Spanned<DeTable<'t>>) -> Vec<Rule> {
        let mut top = self.taken(String::new(), 1, table.into_inner());
        match top.left.remove("format") {
            Some(Field { value: DeValue::Integer(it), .. }) if it.as_str() == FORMAT => {}
            Some(Field { line, .. }) => {
                self.wrong(line, "format", format!("diese Software kennt nur {FORMAT}"));
            }
            None => self.wrong(1, "format", format!("fehlt; erwartet wird format = {FORMAT}")),
        }
        let mut rules: Vec<Rule> = Vec::new();
        match top.left.remove("rules") {
            None => {}
            Some(Field { line, value: DeValue::Array(list) }) => {
                if list.len() > RULES_MAX {
                    self.wrong(line, "rules", format!("hat mehr als {RULES_MAX} Regeln"));
                }
                for (at, value) in list.into_iter().take(RULES_MAX).enumerate() {
                    let line = self.line(&value.span());
                    let key = format!("rules[{at}]");
                    let DeValue::Table(table) = value.into_inner() else {
                        self.wrong(line, &key, "erwartet wird ein Abschnitt [[rules]]".to_owned());
                        continue;
                    };
                    let taken = self.taken(format!("{key}."), line, table);
                    let rule = self.rule(taken);
                    if let Some(rule) = rule {
                        if rules.iter().any(|other| other.name == rule.name) {
                            let reason = format!("{} heißt schon eine Regel davor", rule.name);
                            self.wrong(line, &format!("{key}.name"), reason);
                        }
                        rules.push(rule);
                    }
                }
            }
            Some(Field { line, .. }) => {
                self.wrong(line, "rules", "erwartet werden Abschnitte [[rules]]".to_owned());
            }
        }
        self.end(top);
        rules
    }

    /// `None` only if a problem was reported.
    fn rule(&mut self, mut of: Taken<'t>) -> Option<Rule> {
        let name = self.name(&mut of);
        let effect = self.effect(&mut of);
        let role = self.role(&mut of, effect);
        let who = self.who(&mut of);
        let actions = self.actions(&mut of, role.flatten());
        let scope = self.scope(&mut of, role.flatten(), &actions);
        let four_eyes = self.four_eyes(&mut of, role.flatten());
        self.end(of);
        let (name, effect, role, who) = (name?, effect?, role?, who?);
        Some(Rule { name, effect, who, role, actions, scope, four_eyes })
    }

    fn four_eyes(&mut self, of: &mut Taken<'t>, role: Option<Role>) -> bool {
        match of.left.remove("vier_augen") {
            None => self.four_eyes && role == Some(Role::Publisher),
            Some(Field { value: DeValue::Boolean(it), .. }) if role == Some(Role::Publisher) => it,
            Some(Field { line, .. }) => {
                let reason = "erwartet wird true oder false, bei role = \"publisher\"";
                self.wrong(line, &of.key("vier_augen"), reason.to_owned());
                false
            }
        }
    }

    fn name(&mut self, of: &mut Taken<'t>) -> Option<String> {
        let (line, key) = (of.line, of.key("name"));
        let Some(found) = self.text(of, "name") else {
            let reason = "fehlt; eine Regel braucht einen Namen, der in Ablehnungen genannt wird";
            self.wrong(line, &key, reason.to_owned());
            return None;
        };
        let is_good = |it: char| it.is_alphanumeric() || "-_.".contains(it);
        let name = &found.value;
        let length = name.chars().count();
        if !(1..=NAME_CHARS_MAX).contains(&length) || !name.chars().all(is_good) {
            let reason = format!("erwartet werden 1 bis {NAME_CHARS_MAX} Buchstaben, Ziffern, -_.");
            self.wrong(found.line, &found.key, reason);
        } else if name == Rule::CHARTER {
            self.wrong(found.line, &found.key, "so heißt die Regel der Charta".to_owned());
        }
        Some(found.value)
    }

    fn effect(&mut self, of: &mut Taken<'t>) -> Option<Effect> {
        let Some(found) = self.text(of, "effect") else { return Some(Effect::Allow) };
        match found.value.as_str() {
            "allow" => Some(Effect::Allow),
            "deny" => Some(Effect::Deny),
            other => {
                let reason = format!("{other:?} gibt es nicht; erwartet wird allow oder deny");
                self.wrong(found.line, &found.key, reason);
                None
            }
        }
    }

    /// `Some(None)` stands for every role.
    fn role(&mut self, of: &mut Taken<'t>, effect: Option<Effect>) -> Option<Option<Role>> {
        let (line, key) = (of.line, of.key("role"));
        let Some(found) = self.text(of, "role") else {
            if effect == Some(Effect::Allow) {
                let reason = "fehlt; erwartet wird reader, publisher oder operator".to_owned();
                self.wrong(line, &key, reason);
                return None;
            }
            return Some(None);
        };
        let role = Role::ALL.into_iter().find(|it| it.code() == found.value);
        match role {
            None => {
                let reason = format!(
                    "{:?} gibt es nicht; erwartet wird reader, publisher, operator oder peer",
                    found.value
                );
                self.wrong(found.line, &found.key, reason);
                None
            }
            Some(Role::Peer) if effect == Some(Effect::Allow) => {
                let reason = "wer Partner ist, sagt die Charta; eine Regel kann es nur verbieten \
                              (effect = \"deny\")";
                self.wrong(found.line, &found.key, reason.to_owned());
                None
            }
            role => Some(role),
        }
    }

    fn who(&mut self, of: &mut Taken<'t>) -> Option<Who> {
        let (line, place) = (of.line, of.prefix.trim_end_matches('.').to_owned());
        let san = self.text(of, "san");
        let spki = self.text(of, "spki");
        let (issuer, subject) = (self.text(of, "issuer"), self.text(of, "subject"));
        match (san, spki, issuer, subject) {
            (Some(san), None, None, None) => match san.value.as_str() {
                "*" => Some(Who::Any),
                name if is_dns_name(name) => Some(Who::Name(name.to_ascii_lowercase())),
                other => {
                    let reason = format!("{other:?} ist kein DNS-Name; erwartet wird einer oder *");
                    self.wrong(san.line, &san.key, reason);
                    None
                }
            },
            (None, Some(spki), None, None) => {
                let mut pin = [0; 32];
                if hex::decode_to_slice(&spki.value, &mut pin).is_ok() {
                    return Some(Who::Spki(pin));
                }
                let reason = "erwartet werden 64 hexadezimale Ziffern (SHA-256 des öffentlichen \
                              Schlüssels; registry-node policy check zeigt ihn)";
                self.wrong(spki.line, &spki.key, reason.to_owned());
                None
            }
            (None, None, Some(issuer), Some(subject)) => {
                Some(Who::Subject { issuer: issuer.value, subject: subject.value })
            }
            _ => {
                let reason = "gesucht wird genau eines: san, spki, oder issuer mit subject";
                self.wrong(line, &place, reason.to_owned());
                None
            }
        }
    }

    fn actions(&mut self, of: &mut Taken<'t>, role: Option<Role>) -> Vec<Action> {
        let mut actions = Vec::new();
        for found in self.texts(of, "actions") {
            let possible = Action::ALL.into_iter().filter(|it| role.is_none_or(|r| r.grants(*it)));
            match Action::named(&found.value) {
                Some(action) if role.is_none_or(|role| role.grants(action)) => actions.push(action),
                _ => {
                    let possible: Vec<_> = possible.map(Action::code).collect();
                    let of = role.map_or_else(String::new, |it| format!(" für {it}"));
                    let reason = format!(
                        "{:?} gibt es{of} nicht; möglich: {}",
                        found.value,
                        possible.join(", ")
                    );
                    self.wrong(found.line, &found.key, reason);
                }
            }
        }
        actions
    }

    fn scope(&mut self, of: &mut Taken<'t>, role: Option<Role>, actions: &[Action]) -> Scope {
        let bound = |key: &str, of: &Taken<'t>| of.left.get(key).map(|it| it.line);
        let lines = ["land", "themenfeld", "service"].map(|key| (key, bound(key, of)));
        let scope = Scope {
            laender: self.values(of, "land", "ein Land wie SL", |it| it.parse::<Land>().ok()),
            themenfelder: self
                .values(of, "themenfeld", &themenfelder(), |it| Themenfeld::from_str(it).ok()),
            services: self.values(of, "service", "eine UUID", |it| it.parse::<Uuid>().ok()),
        };
        let nothing = matches!(role, Some(Role::Reader | Role::Operator))
            || !actions.is_empty() && !actions.iter().any(|it| it.has_objects());
        for (key, line) in lines {
            let Some(line) = line else { continue };
            if nothing {
                let reason = "Lesen und Betreiben lassen sich nicht auf Dienste begrenzen";
                self.wrong(line, &of.key(key), reason.to_owned());
            } else if role == Some(Role::Peer) && key != "land" {
                let reason = "Partner lassen sich nur nach Land unterscheiden";
                self.wrong(line, &of.key(key), reason.to_owned());
            }
        }
        scope
    }

    fn values<T>(
        &mut self,
        of: &mut Taken<'t>,
        key: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        for found in self.texts(of, key) {
            match parse(&found.value) {
                Some(value) => values.push(value),
                None => {
                    let reason = format!("{:?}; erwartet wird {expected}", found.value);
                    self.wrong(found.line, &found.key, reason);
                }
            }
        }
        values
    }

    // === the file itself ===

    fn text(&mut self, of: &mut Taken<'t>, key: &str) -> Option<Found<String>> {
        let Field { line, value } = of.left.remove(key)?;
        let key = of.key(key);
        if let DeValue::String(text) = value {
            return Some(Found { line, key, value: text.into_owned() });
        }
        self.wrong(line, &key, "erwartet wird ein Text in Anführungszeichen".to_owned());
        None
    }

    /// One text, or a list of at least one.
    fn texts(&mut self, of: &mut Taken<'t>, key: &str) -> Vec<Found<String>> {
        let Some(Field { line, value }) = of.left.remove(key) else { return Vec::new() };
        let key = of.key(key);
        match value {
            DeValue::String(text) => vec![Found { line, key, value: text.into_owned() }],
            DeValue::Array(list) if (1..=LIST_MAX).contains(&list.len()) => {
                let mut texts = Vec::new();
                for (at, value) in list.into_iter().enumerate() {
                    let (line, key) = (self.line(&value.span()), format!("{key}[{at}]"));
                    match value.into_inner() {
                        DeValue::String(text) => {
                            texts.push(Found { line, key, value: text.into_owned() });
                        }
                        _ => self.wrong(line, &key, "erwartet wird ein Text".to_owned()),
                    }
                }
                texts
            }
            _ => {
                let reason = format!("erwartet wird ein Text oder eine Liste von 1 bis {LIST_MAX}");
                self.wrong(line, &key, reason);
                Vec::new()
            }
        }
    }

    fn taken(&self, prefix: String, line: usize, table: DeTable<'t>) -> Taken<'t> {
        let field = |(key, value): (Spanned<_>, Spanned<DeValue<'t>>)| {
            let line = self.line(&key.span());
            let key: std::borrow::Cow<'t, str> = key.into_inner();
            (key.into_owned(), Field { line, value: value.into_inner() })
        };
        Taken { prefix, line, left: table.into_iter().map(field).collect() }
    }

    fn end(&mut self, of: Taken<'t>) {
        for (key, field) in &of.left {
            self.wrong(field.line, &of.key(key), "diesen Schlüssel gibt es nicht".to_owned());
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        1 + before.bytes().filter(|it| *it == b'\n').count()
    }

    fn wrong(&mut self, line: usize, key: &str, reason: String) {
        self.problems.push(PolicyProblem { line, key: key.to_owned(), reason });
    }
}

// === impl Taken ===

impl Taken<'_> {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

fn themenfelder() -> String {
    let codes: Vec<_> = Themenfeld::ALL.iter().map(|it| it.code()).collect();
    format!("eines von {}", codes.join(", "))
}

/// Of the file.
const FORMAT: &str = "1";
const RULES_MAX: usize = 1_000;
const LIST_MAX: usize = 1_000;
const NAME_CHARS_MAX: usize = 64;
