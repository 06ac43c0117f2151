//! Who may do what: deny by default.

use std::fmt;

use registry_proto::terms::Land;

use crate::reject::Reject;

/// A right that configuration grants to a certificate.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read and watch the catalogue.
    Read,
    /// Write to the log of this node's Land.
    Publish,
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

/// Someone whose identity is proved by the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Stable pseudonym for log entries, at most 64 bytes; never a person's name.
    pub pseudonym: String,
    /// Rights granted.
    pub roles: Vec<Role>,
    /// Set when the certificate is that of a member's node.
    pub peer: Option<PeerIdentity>,
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

/// Allows `action` if one of the principal's roles grants it.
///
/// # Errors
///
/// [`Reject::Denied`], naming the role that is missing.
pub fn require(principal: &Principal, action: Action) -> Result<Permit, Reject> {
    if principal.roles.iter().any(|role| role.grants(action)) {
        return Ok(Permit { action });
    }
    Err(Reject::Denied {
        action: action.name(),
        reason: format!(
            "certificate {} has the roles [{}], {} is needed; an operator grants it in the \
             configuration of the node under [[clients]]",
            principal.pseudonym,
            principal.roles.iter().map(Role::to_string).collect::<Vec<_>>().join(", "),
            action.needs(),
        ),
    })
}

// === impl Role ===

impl Role {
    fn grants(self, action: Action) -> bool {
        match action {
            Action::Read => true,
            Action::Publish => self == Self::Publisher,
            Action::Operate => self == Self::Operator,
            Action::Replicate => self == Self::Peer,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Publisher => "publisher",
            Self::Operator => "operator",
            Self::Peer => "peer",
        })
    }
}

// === impl Action ===

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Operate => "operate",
            Self::Replicate => "replicate",
        }
    }

    fn needs(self) -> &'static str {
        match self {
            Self::Read => "any role",
            Self::Publish => "publisher",
            Self::Operate => "operator",
            Self::Replicate => "peer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_allows_exactly_its_own() {
        use Action::{Operate, Publish, Read, Replicate};
        for (roles, allowed) in [
            (vec![], vec![]),
            (vec![Role::Reader], vec![Read]),
            (vec![Role::Publisher], vec![Read, Publish]),
            (vec![Role::Operator], vec![Read, Operate]),
            (vec![Role::Peer], vec![Read, Replicate]),
            (vec![Role::Peer, Role::Publisher], vec![Read, Publish, Replicate]),
        ] {
            let principal = Principal { pseudonym: "p-1".to_owned(), roles, peer: None };
            for action in [Read, Publish, Operate, Replicate] {
                match require(&principal, action) {
                    Ok(permit) => {
                        assert!(allowed.contains(&action), "{principal:?} may {action:?}");
                        assert_eq!(permit.action(), action);
                    }
                    Err(reject) => {
                        assert!(!allowed.contains(&action), "{principal:?} may not {action:?}");
                        assert!(matches!(reject, Reject::Denied { .. }), "{reject}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_refusal_names_who_what_and_the_way_out() {
        let roles = vec![Role::Reader, Role::Peer];
        let principal = Principal { pseudonym: "p-1".to_owned(), roles, peer: None };
        let text = require(&principal, Action::Publish).expect_err("denied").to_string();
        for words in ["publish", "p-1", "[reader, peer]", "publisher is needed", "[[clients]]"] {
            assert!(text.contains(words), "{text}");
        }
    }
}
