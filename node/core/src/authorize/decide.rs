//! The verdict about one action and one object.

use std::fmt;

use registry_proto::terms::{Land, Themenfeld};
use uuid::Uuid;

use super::{Action, Certificate, Effect, Mismatch, Role, Rule, Scope};

/// What an action is about, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Owner of the service, or Land of the partner.
    pub land: Option<Land>,
    /// Themenfeld of the service.
    pub themenfeld: Option<Themenfeld>,
    /// The service.
    pub service: Option<Uuid>,
}

/// What the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// This rule allows it, and none forbids it.
    Allowed(&'a Rule),
    /// This rule forbids it.
    Forbidden(&'a Rule),
    /// No rule allows it.
    Unmatched,
}

/// Why something is refused to someone who has the role for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked.
    pub action: &'static str,
    /// Upper-case reason: `RULE_DENIES`, `OUT_OF_SCOPE` or `SAME_PERSON`.
    pub reason: &'static str,
    /// The rule that forbids it, or those that allow something else.
    pub rules: Vec<String>,
    /// The role that is needed.
    pub role: &'static str,
    /// Path of the record in the request; empty if it is about the whole.
    pub field: String,
    /// What would have to be covered, like "land=SL themenfeld=bauen_wohnen".
    pub scope: String,
}

/// What becomes of one rule on the way to a verdict; for explanations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Considered {
    /// It is about other certificates.
    OtherCertificate(Mismatch),
    /// It is about other roles or actions.
    OtherAction,
    /// These of its bounds do not hold, or nobody knows.
    OutOfScope(Vec<&'static str>),
    /// It counts, with its effect.
    Counts,
}

/// What becomes of one rule when a certificate asks for an action.
pub fn consider(
    rule: &Rule,
    certificate: &Certificate,
    action: Action,
    target: &Target,
) -> Considered {
    if let Some(mismatch) = rule.mismatch(certificate) {
        return Considered::OtherCertificate(mismatch);
    }
    if !rule.covers(action) {
        return Considered::OtherAction;
    }
    if rule.counts(action, target) {
        return Considered::Counts;
    }
    let bounds = rule.scope.bounds(target, rule.effect == Effect::Deny);
    Considered::OutOfScope(bounds.iter().filter(|it| !it.1).map(|it| it.0).collect())
}

/// Judges an action about an object by the rules that concern the caller.
pub fn decide<'a>(rules: &'a [Rule], action: Action, target: &Target) -> Verdict<'a> {
    let counts = |rule: &&Rule| rule.covers(action) && rule.counts(action, target);
    if let Some(rule) = rules.iter().filter(counts).find(|it| it.effect == Effect::Deny) {
        return Verdict::Forbidden(rule);
    }
    let mut allow = rules.iter().filter(counts).filter(|it| it.effect == Effect::Allow);
    allow.next().map_or(Verdict::Unmatched, Verdict::Allowed)
}

/// True if a rule allows an action about an object to one person alone. Whether another forbids it
/// is not asked.
pub fn may_alone(rules: &[Rule], action: Action, target: &Target) -> bool {
    rules.iter().any(|it| {
        it.effect == Effect::Allow
            && !it.four_eyes
            && it.covers(action)
            && it.counts(action, target)
    })
}

/// Whether an action is allowed about anything at all.
pub(super) fn anywhere(rules: &[Rule], action: Action) -> Result<(), Refusal> {
    let about = |rule: &&Rule| rule.covers(action);
    let denies = |rule: &&Rule| rule.effect == Effect::Deny && rule.scope.is_everywhere();
    if let Some(rule) = rules.iter().filter(about).find(denies) {
        return Err(Refusal::by(rule, action, &Target::default()));
    }
    if rules.iter().filter(about).any(|rule| rule.effect == Effect::Allow) {
        return Ok(());
    }
    Err(Refusal::unmatched(rules, action, &Target::default()))
}

// === impl Rule ===

impl Rule {
    /// Whether the bounds of a rule that covers the action hold.
    fn counts(&self, action: Action, target: &Target) -> bool {
        match self.effect {
            // what is read is the same for all
            Effect::Allow if action == Action::Read => true,
            Effect::Allow => self.scope.covers(target, false),
            // a bound that cannot be checked holds against the caller, one that means nothing does
            // not
            Effect::Deny => {
                self.scope.is_everywhere()
                    || action.has_objects() && self.scope.covers(target, true)
            }
        }
    }
}

// === impl Scope ===

impl Scope {
    /// True if the object lies within all bounds; `unknown` is what a bound says of something that
    /// is not known.
    fn covers(&self, target: &Target, unknown: bool) -> bool {
        self.bounds(target, unknown).iter().all(|(_, holds)| *holds)
    }

    /// Each bound and whether it holds.
    fn bounds(&self, target: &Target, unknown: bool) -> [(&'static str, bool); 3] {
        fn holds<T: PartialEq>(bound: &[T], value: Option<&T>, unknown: bool) -> bool {
            bound.is_empty() || value.map_or(unknown, |value| bound.contains(value))
        }
        [
            ("land", holds(&self.laender, target.land.as_ref(), unknown)),
            ("themenfeld", holds(&self.themenfelder, target.themenfeld.as_ref(), unknown)),
            ("service", holds(&self.services, target.service.as_ref(), unknown)),
        ]
    }
}

// === impl Verdict ===

impl Verdict<'_> {
    /// Why it is refused, if it is; `rules` are those that were asked.
    pub fn refusal(&self, rules: &[Rule], action: Action, target: &Target) -> Option<Refusal> {
        match self {
            Self::Allowed(_) => None,
            Self::Forbidden(rule) => Some(Refusal::by(rule, action, target)),
            Self::Unmatched => Some(Refusal::unmatched(rules, action, target)),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    fn by(rule: &Rule, action: Action, target: &Target) -> Self {
        let rules = vec![rule.name.clone()];
        Self { rules, reason: "RULE_DENIES", ..Self::of(action, target) }
    }

    fn unmatched(rules: &[Rule], action: Action, target: &Target) -> Self {
        let grants = |role: Role| role.grants(action);
        let near = rules
            .iter()
            .filter(|it| it.effect == Effect::Allow && it.role.is_some_and(grants))
            .map(|it| it.name.clone());
        Self { rules: near.collect(), ..Self::of(action, target) }
    }

    fn of(action: Action, target: &Target) -> Self {
        Self {
            action: action.code(),
            reason: "OUT_OF_SCOPE",
            rules: Vec::new(),
            role: action.needs(),
            field: String::new(),
            scope: target.to_string(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        let (action, rules) = (self.action, self.rules.join(", "));
        match self.reason {
            "SAME_PERSON" => write!(
                f,
                "not allowed to {action}: it was submitted with the same key or under the same \
                 name; another person has to confirm it"
            ),
            "RULE_DENIES" => write!(f, "not allowed to {action}: rule {rules} forbids it"),
            _ => write!(
                f,
                "not allowed to {action}: no rule covers it, and those that grant {} ({rules}) \
                 are bound to something else",
                self.role
            ),
        }?;
        if self.scope.is_empty() { Ok(()) } else { write!(f, " [{}]", self.scope) }
    }
}

impl fmt::Display for Target {
    /// What is known, like `land=SL themenfeld=bauen_wohnen service=…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [
            self.land.map(|it| format!("land={}", it.code())),
            self.themenfeld.map(|it| format!("themenfeld={}", it.code())),
            self.service.map(|it| format!("service={it}")),
        ];
        f.write_str(&known.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}
