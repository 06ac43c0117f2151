//! Why something asked for is not done, sorted by who can change it.
//!
//! `registry-node`'s `wire/status.rs` is the only place that turns these into gRPC status codes.

use std::fmt;

use crate::authorize::Refusal;

/// A finding about one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path from the request, for example `records[0].service_version.onlinedienste[1].link`.
    pub field: String,
    /// Upper-case reason, stable for programs, for example `LEISTUNGSSCHLUESSEL_FORM`.
    pub reason: &'static str,
    /// What was found, what is expected, and the rule's source; German or English sentence.
    pub description: String,
}

/// Why a request was refused. Every variant changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reject {
    /// The request breaks rules; every violation is listed. gRPC `INVALID_ARGUMENT`.
    Invalid(Vec<FieldViolation>),
    /// The principal may not do this. gRPC `PERMISSION_DENIED`.
    Denied {
        /// What was asked ("publish").
        action: &'static str,
        /// Why not and what would help.
        reason: String,
    },
    /// The principal has the role, but a rule forbids this or none covers it. gRPC
    /// `PERMISSION_DENIED`.
    Forbidden(Box<Refusal>),
    /// Nobody invited the caller, or not with this secret; nothing more is told to strangers. gRPC
    /// `PERMISSION_DENIED`.
    NotInvited,
    /// A certificate asks for more than its share. gRPC `RESOURCE_EXHAUSTED` with `QUOTA`.
    Throttled {
        /// The limit ("calls per second").
        limit: &'static str,
        /// Its value.
        max: u64,
        /// Pseudonym of the certificate.
        who: String,
        /// After this time the next call is let in, milliseconds.
        retry_ms: u64,
    },
    /// More than the charter lets this Land add to its log in a day. gRPC `RESOURCE_EXHAUSTED` with
    /// `LOG_QUOTA`.
    OverQuota {
        /// The limit ("entries a day").
        limit: &'static str,
        /// Its value.
        max: u64,
        /// After this time it fits, milliseconds; `None` if it is more than a day has.
        retry_ms: Option<u64>,
    },
    /// The thing does not exist here. gRPC `NOT_FOUND`.
    NotFound {
        /// Kind of thing ("service").
        what: &'static str,
        /// Its name as asked for.
        name: String,
    },
    /// Other content stands under this name already. gRPC `ALREADY_EXISTS`.
    Conflict {
        /// Kind of thing ("version").
        what: &'static str,
        /// Its name.
        name: String,
        /// What to do instead.
        hint: String,
    },
    /// The thing has changed since the sender looked; reading it again and deciding anew helps.
    /// gRPC `ABORTED`.
    MovedOn {
        /// Path of the record in the request.
        field: String,
        /// UUID of the thing.
        name: String,
        /// Its revision now.
        found: u64,
        /// The revision that was expected, if one was.
        expected: Option<u64>,
    },
    /// The state of the thing forbids it; asking again does not help. gRPC `FAILED_PRECONDITION`.
    Precondition {
        /// Upper-case reason, stable for programs, for example `AMBIGUOUS_SERVICE`.
        reason: &'static str,
        /// What is wrong and what to do.
        description: String,
    },
    /// A cursor of an epoch that ended, or one this node cannot read. gRPC `OUT_OF_RANGE` with
    /// reason `RESYNC_REQUIRED`.
    ResyncRequired {
        /// Which log, and why.
        description: String,
    },
    /// A limit is reached. gRPC `RESOURCE_EXHAUSTED`.
    Busy {
        /// The limit ("submissions waiting").
        limit: &'static str,
        /// Its value.
        max: u64,
    },
    /// The fence is closed: nothing is signed at the moment. gRPC `UNAVAILABLE` with `FENCED`.
    Fenced {
        /// Why, and the way out.
        description: String,
        /// When it opens at the earliest, milliseconds from now; `None` if only an operator can
        /// open it.
        retry_ms: Option<u64>,
    },
    /// Not at the moment; asking again may help. gRPC `UNAVAILABLE`.
    Unavailable {
        /// Upper-case reason, stable for programs, for example `INDEX_REBUILDING`.
        reason: &'static str,
        /// What is wrong and the way out.
        description: String,
    },
    /// Done here, but the asked number of partners did not confirm in time. gRPC
    /// `DEADLINE_EXCEEDED`; the details name the position.
    AckTimeout {
        /// Log position of the first record ("SL/1/17").
        position: String,
        /// Partners that confirmed.
        acknowledged_by: Vec<String>,
        /// Partners asked for.
        asked: u32,
    },
    /// The disk or the index failed. gRPC `INTERNAL`; the cause is logged, not sent.
    Storage {
        /// What failed, in words that are safe to send.
        operation: &'static str,
    },
}

// === impl Reject ===

impl Reject {
    /// A single violation.
    pub fn field(
        field: impl Into<String>,
        reason: &'static str,
        description: impl Into<String>,
    ) -> Self {
        Self::Invalid(vec![FieldViolation {
            field: field.into(),
            reason,
            description: description.into(),
        }])
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(all) => {
                let (first, more) = match all.split_first() {
                    Some((first, rest)) => (first, rest.len()),
                    None => return f.write_str("invalid request"),
                };
                write!(f, "{}: {}", first.field, first.description)?;
                if more > 0 { write!(f, " (and {more} more)") } else { Ok(()) }
            }
            Self::Denied { action, reason } => write!(f, "not allowed to {action}: {reason}"),
            Self::Forbidden(refusal) => refusal.fmt(f),
            Self::NotInvited => f.write_str(
                "this invitation is not known here, was withdrawn, or its secret is another one",
            ),
            Self::Throttled { limit, max, who, .. } => {
                write!(f, "certificate {who} has reached its limit: {max} {limit}; try again later")
            }
            Self::NotFound { what, name } => write!(f, "{what} {name} is not known here"),
            Self::Conflict { what, name, hint } => {
                write!(f, "{what} {name} exists with other content; {hint}")
            }
            Self::MovedOn { field, name, found, expected } => {
                write!(f, "{field}: {name} has revision {found} by now")?;
                if let Some(expected) = expected {
                    write!(f, ", expected was {expected}")?;
                }
                f.write_str("; read it again and decide anew")
            }
            Self::Precondition { description, .. }
            | Self::ResyncRequired { description }
            | Self::Fenced { description, .. }
            | Self::Unavailable { description, .. } => f.write_str(description),
            Self::Busy { limit, max } => write!(f, "limit reached: {max} {limit}; try again later"),
            Self::OverQuota { limit, max, retry_ms } => {
                write!(f, "the charter lets this Land add {max} {limit} to its log; ")?;
                match retry_ms {
                    Some(ms) => write!(f, "this fits in {} s", ms.div_ceil(1_000))?,
                    None => f.write_str("this is more than a day has, send it in parts")?,
                }
                f.write_str("; the members can decide on another quota")
            }
            Self::AckTimeout { position, acknowledged_by, asked } => write!(
                f,
                "stored durably at {position}, but only {} of {asked} partners confirmed in time \
                 ({}); replication goes on, do not publish again",
                acknowledged_by.len(),
                if acknowledged_by.is_empty() {
                    "none".to_owned()
                } else {
                    acknowledged_by.join(", ")
                },
            ),
            Self::Storage { operation } => {
                write!(f, "{operation} failed; the node's log names the cause")
            }
        }
    }
}

impl std::error::Error for Reject {}
