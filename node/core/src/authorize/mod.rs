//! Who may do what: deny by default, by the rules that concern a certificate.
//!
//! The shell says which [`Rule`]s concern a certificate ([`Rule::concerns`]); a [`Principal`]
//! carries them, and everything that is asked for is judged by them alone:
//!
//! 1. a rule that forbids the action about the object decides, whatever else allows it;
//! 2. else one rule that allows it is enough;
//! 3. else it is refused.
//!
//! What is not known about an object counts against the caller: a rule that allows a Themenfeld
//! does not cover a service whose Themenfeld nobody knows, one that forbids it does.

mod decide;
mod rule;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use registry_proto::{
    terms::Land,
    wire::registry::{Record, record},
};
use sha2::{Digest, Sha256};

pub use decide::{Considered, Refusal, Target, Verdict, consider, decide, may_alone};
pub use rule::{Certificate, Effect, Mismatch, Rule, Scope, Who};

use crate::reject::Reject;

/// A right that the operator grants to a certificate; that of peers comes from the charter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads and watches the catalogue.
    Reader,
    /// Publishes for the Land of this node; reads.
    Publisher,
    /// Operates the node; reads.
    Operator,
    /// A node of a member; replicates and reads.
    Peer,
}

/// What someone wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Read and watch the catalogue.
    Read,
    /// Publish definitions and versions.
    Publish,
    /// Deprecate, retire or withdraw a version.
    Retire,
    /// Move a Nachnutzung on: contract, Kommunen, acknowledgements.
    Reuse,
    /// Countersign entries of a service that several Länder lead.
    Countersign,
    /// Hand a service over, or take it.
    Handover,
    /// Keep, see and delete drafts.
    Draft,
    /// Confirm what another person has submitted.
    Confirm,
    /// Use the admin service.
    Operate,
    /// Open a peer session.
    Replicate,
}

/// A node of a member, as its certificate proves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIdentity {
    /// Land of the member.
    pub land: Land,
    /// Node name in the charter.
    pub node: String,
}

/// A node whose member takes no part: its certificate proves who it is and grants nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    /// Who it is.
    pub peer: PeerIdentity,
    /// True if the member was removed, false if it was suspended.
    pub removed: bool,
}

/// Whose a certificate is, as digests: neither names nor keys go on from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// SHA-256 over the SubjectPublicKeyInfo.
    pub key: [u8; 32],
    /// SHA-256 over the subject, or over the names of the SAN if the subject is empty.
    pub subject: [u8; 32],
}

/// Someone whose identity is proved by the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Stable pseudonym for log entries, at most 64 bytes; never a person's name.
    pub pseudonym: String,
    /// Set when the certificate is that of a member's node.
    pub peer: Option<PeerIdentity>,
    /// Set when it is that of a node whose member takes no part.
    pub barred: Option<Barred>,
    /// Whose certificate it is.
    pub person: Person,
    rules: Arc<[Rule]>,
}

/// Proof that [`require`] allowed an action.
#[derive(Debug)]
pub struct Permit {
    action: Action,
}

// === impl Permit ===

impl Permit {
    /// The action that was allowed.
    pub fn action(&self) -> Action {
        self.action
    }
}

// === impl Barred ===

impl Barred {
    fn refusal(&self) -> Reject {
        let land = self.peer.land;
        let (reason, what) = match self.removed {
            true => ("MEMBER_REMOVED", "removed"),
            false => ("MEMBER_SUSPENDED", "suspended"),
        };
        Reject::Precondition {
            reason,
            description: format!(
                "the charter in force has {what} {land}: its nodes get no session and nothing it \
                 writes is taken until the members decide otherwise; `registry charter history` at \
                 a node of another Land tells more"
            ),
        }
    }
}

// === impl Person ===

impl Person {
    /// The person behind a certificate.
    pub fn of(certificate: &Certificate) -> Self {
        let mut subject = Sha256::new();
        if certificate.subject.is_empty() {
            subject.update([0]);
            certificate.names.iter().for_each(|name| {
                subject.update(name);
                subject.update([0]);
            });
        } else {
            subject.update([1]);
            subject.update(&certificate.subject);
        }
        Self { key: certificate.spki, subject: subject.finalize().into() }
    }

    /// True if both certificates may be in one hand: one key or one subject is enough.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key || self.subject == other.subject
    }
}

// === impl Principal ===

impl Principal {
    /// The holder of a certificate, with the rules that concern it.
    pub fn of(certificate: &Certificate, rules: &[Rule]) -> Self {
        let rules = rules.iter().filter(|rule| rule.concerns(certificate)).cloned().collect();
        Self {
            pseudonym: format!("p-{}", hex::encode(&certificate.spki[..8])),
            peer: certificate.peer.clone(),
            barred: certificate.barred.clone(),
            person: Person::of(certificate),
            rules,
        }
    }

    /// Someone without a certificate who has these roles without bounds.
    pub fn with_roles(pseudonym: impl Into<String>, roles: &[Role]) -> Self {
        let pseudonym = pseudonym.into();
        let rules = roles.iter().map(|role| Rule::grant(&pseudonym, *role)).collect();
        let digest = Sha256::digest(&pseudonym).into();
        let person = Person { key: digest, subject: digest };
        Self { pseudonym, peer: None, barred: None, person, rules }
    }

    /// The roles that rules grant, each once; a rule that forbids may still stand against them.
    pub fn roles(&self) -> Vec<Role> {
        let mut roles = Vec::new();
        for role in self.rules.iter().filter(|it| it.effect == Effect::Allow) {
            roles.extend(role.role.filter(|role| !roles.contains(role)));
        }
        roles
    }

    /// True if it may do this with whatever there is.
    pub fn may_always(&self, action: Action) -> bool {
        always(&self.rules, action)
    }

    /// True if some of what it submits may have to be confirmed by a second person.
    pub fn may_need_second(&self) -> bool {
        self.rules.iter().any(|it| it.effect == Effect::Allow && it.four_eyes)
    }

    /// What it confirms is published under the pseudonym of who submitted it.
    #[must_use]
    pub fn confirming(&self, submitted_by: &str) -> Self {
        Self { pseudonym: submitted_by.to_owned(), ..self.clone() }
    }

    /// The rules that concern it.
    pub fn rules(&self) -> &Arc<[Rule]> {
        &self.rules
    }
}

/// True if rules allow an action with whatever there is.
pub(crate) fn always(rules: &[Rule], action: Action) -> bool {
    matches!(decide(rules, action, &Target::default()), Verdict::Allowed(_))
}

/// Allows `action` about at least one object. What is about a certain object is judged by
/// [`decide()`] once it is known.
///
/// # Errors
///
/// [`Reject::Denied`], naming the role that is missing; [`Reject::Forbidden`], naming the rule that
/// forbids it or the bounds of those that allow other actions; [`Reject::Precondition`] for a node
/// that would replicate and whose member takes no part.
pub fn require(principal: &Principal, action: Action) -> Result<Permit, Reject> {
    let roles = principal.roles();
    if !roles.iter().any(|role| role.grants(action)) {
        if let Some(barred) = principal.barred.as_ref().filter(|_| action == Action::Replicate) {
            return Err(barred.refusal());
        }
        return Err(Reject::Denied {
            action: action.code(),
            reason: format!(
                "certificate {} has the roles [{}], {} is needed; an operator grants it in the \
                 configuration of the node under [[clients]] or in its policy file",
                principal.pseudonym,
                roles.iter().map(Role::to_string).collect::<Vec<_>>().join(", "),
                action.needs(),
            ),
        });
    }
    match decide::anywhere(&principal.rules, action) {
        Ok(()) => Ok(Permit { action }),
        Err(refusal) => Err(Reject::Forbidden(Box::new(refusal))),
    }
}

/// [`require`] about one object.
///
/// # Errors
///
/// As [`require`].
pub fn require_about(
    principal: &Principal,
    action: Action,
    target: &Target,
) -> Result<Permit, Reject> {
    let permit = require(principal, action)?;
    let rules = &principal.rules;
    match decide(rules, action, target).refusal(rules, action, target) {
        None => Ok(permit),
        Some(refusal) => Err(Reject::Forbidden(Box::new(refusal))),
    }
}

/// What publishing a record is.
pub fn action_of(record: &Record) -> Action {
    use record::Record as R;
    match &record.record {
        // there is no other move of a version
        Some(R::VersionStatus(_)) => Action::Retire,
        Some(R::SubscriptionMove(_) | R::Anschluss(_) | R::Bestaetigung(_)) => Action::Reuse,
        Some(R::Mitzeichnung(_)) => Action::Countersign,
        Some(R::Uebergabe(_)) => Action::Handover,
        Some(R::ServiceDefinition(_) | R::ServiceVersion(_) | R::Kontakt(_)) | None => {
            Action::Publish
        }
    }
}

// === impl Role ===

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Publisher, Self::Operator, Self::Peer];

    /// True if the role is what an action needs.
    pub fn grants(self, action: Action) -> bool {
        match action {
            Action::Read => true,
            Action::Publish
            | Action::Retire
            | Action::Reuse
            | Action::Countersign
            | Action::Handover
            | Action::Draft
            | Action::Confirm => self == Self::Publisher,
            Action::Operate => self == Self::Operator,
            Action::Replicate => self == Self::Peer,
        }
    }

    /// Its name in files and on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Publisher => "publisher",
            Self::Operator => "operator",
            Self::Peer => "peer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

// === impl Action ===

impl Action {
    /// All actions.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Publish,
        Self::Retire,
        Self::Reuse,
        Self::Countersign,
        Self::Handover,
        Self::Draft,
        Self::Confirm,
        Self::Operate,
        Self::Replicate,
    ];

    /// Its name in files and on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Retire => "retire",
            Self::Reuse => "reuse",
            Self::Countersign => "countersign",
            Self::Handover => "handover",
            Self::Draft => "draft",
            Self::Confirm => "confirm",
            Self::Operate => "operate",
            Self::Replicate => "replicate",
        }
    }

    /// The action of a name.
    pub fn named(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.code() == code)
    }

    /// The role that grants it, in words.
    pub fn needs(self) -> &'static str {
        match self {
            Self::Read => "any role",
            Self::Operate => "operator",
            Self::Replicate => "peer",
            _ => "publisher",
        }
    }

    /// True if it is about a service or a partner, so that a rule can be bound to some of them.
    pub fn has_objects(self) -> bool {
        !matches!(self, Self::Read | Self::Operate)
    }
}
