//! Rules, and which certificates they concern.

use registry_proto::terms::{Land, Themenfeld};
use uuid::Uuid;

use super::{Action, Barred, PeerIdentity, Role};

/// What of a certificate decides which rules concern it. The shell has verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// DNS names in the SAN, lower case.
    pub names: Vec<String>,
    /// SHA-256 over the SubjectPublicKeyInfo.
    pub spki: [u8; 32],
    /// Distinguished name of the issuer, like "CN=SL CA".
    pub issuer: String,
    /// Distinguished name of the subject; may be empty.
    pub subject: String,
    /// True if its chain ends at the client anchors of this node.
    pub under_client_anchors: bool,
    /// Set when it is that of a member's node.
    pub peer: Option<PeerIdentity>,
    /// Set when it is that of a node whose member was suspended or removed.
    pub barred: Option<Barred>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Grants its role.
    Allow,
    /// Forbids, whatever other rules allow.
    Deny,
}

/// Which certificates a rule is about. Only a pin counts without the client anchors; a rule that
/// forbids concerns a name under whatever anchors it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Every certificate.
    Any,
    /// This DNS name in the SAN, lower case.
    Name(String),
    /// This SHA-256 over the SubjectPublicKeyInfo.
    Spki([u8; 32]),
    /// This issuer and this subject.
    Subject {
        /// Distinguished name.
        issuer: String,
        /// Distinguished name.
        subject: String,
    },
    /// The nodes of all members.
    Members,
}

/// What a rule is bound to; an empty list binds to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Owner of the service, or Land of a partner.
    pub laender: Vec<Land>,
    /// Themenfeld in the definition of the service.
    pub themenfelder: Vec<Themenfeld>,
    /// The service.
    pub services: Vec<Uuid>,
}

/// Grants a role to certificates, or forbids them something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for refusals and explanations.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// To whom.
    pub who: Who,
    /// The role it is about; every role if none, for a rule that forbids.
    pub role: Option<Role>,
    /// The actions it is about; all of the role if empty. Reading goes with every role that is
    /// granted.
    pub actions: Vec<Action>,
    /// What it is bound to.
    pub scope: Scope,
    /// True if what it allows must be confirmed by a second person before it is signed.
    pub four_eyes: bool,
}

/// Why a rule does not concern a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Another name, key, issuer or subject.
    Other,
    /// It is the one, but its chain does not end at the client anchors.
    NotUnderClientAnchors,
    /// The charter does not name it.
    NoMember,
}

// === impl Rule ===

impl Rule {
    /// Name of the rule that gives the nodes of members the role peer.
    pub const CHARTER: &'static str = "charter";

    /// Grants a role without bounds to everyone.
    pub fn grant(name: &str, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            effect: Effect::Allow,
            who: Who::Any,
            role: Some(role),
            actions: Vec::new(),
            scope: Scope::default(),
            four_eyes: false,
        }
    }

    /// The rule of the charter: nodes of members are peers.
    pub fn of_charter() -> Self {
        Self { who: Who::Members, ..Self::grant(Self::CHARTER, Role::Peer) }
    }

    /// True if the rule is about this certificate.
    pub fn concerns(&self, certificate: &Certificate) -> bool {
        self.mismatch(certificate).is_none()
    }

    /// Why the rule is not about this certificate; nothing if it is.
    pub fn mismatch(&self, certificate: &Certificate) -> Option<Mismatch> {
        let is = match &self.who {
            Who::Any => true,
            Who::Name(name) => certificate.names.iter().any(|own| own.eq_ignore_ascii_case(name)),
            Who::Spki(pin) if certificate.spki == *pin => return None,
            Who::Spki(_) => false,
            Who::Subject { issuer, subject } => {
                certificate.issuer == *issuer && certificate.subject == *subject
            }
            Who::Members if certificate.peer.is_some() => return None,
            Who::Members => return Some(Mismatch::NoMember),
        };
        match self.effect {
            _ if !is => Some(Mismatch::Other),
            Effect::Allow if !certificate.under_client_anchors => {
                Some(Mismatch::NotUnderClientAnchors)
            }
            Effect::Allow | Effect::Deny => None,
        }
    }

    /// True if the rule is about this action.
    pub(super) fn covers(&self, action: Action) -> bool {
        let listed = self.actions.is_empty() || self.actions.contains(&action);
        match (self.effect, self.role) {
            (Effect::Allow, role) => {
                role.is_some_and(|it| it.grants(action)) && (listed || action == Action::Read)
            }
            (Effect::Deny, None) => listed,
            // who may not publish may still read
            (Effect::Deny, Some(role)) if action == Action::Read => {
                listed && (role == Role::Reader || !self.actions.is_empty())
            }
            (Effect::Deny, Some(role)) => listed && role.grants(action),
        }
    }
}

// === impl Scope ===

impl Scope {
    /// True if it binds to nothing.
    pub fn is_everywhere(&self) -> bool {
        self.laender.is_empty() && self.themenfelder.is_empty() && self.services.is_empty()
    }
}
