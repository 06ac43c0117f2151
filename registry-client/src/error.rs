//! What can go wrong between a caller and a node, sorted by who can change it.

use std::{collections::HashMap, error::Error, io, path::PathBuf, sync::Arc, time::Duration};

use rustls::AlertDescription;
use tonic::Code;
use tonic_types::StatusExt;

use crate::proof::ProofError;

/// Who can change it; also the exit code of the binary `registry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The call itself is wrong: a missing file, a wrong option, a wrong record file.
    Usage,
    /// The node (or this side, for the node's certificate) refused; repeating does not help.
    Refused,
    /// What was asked for does not exist here.
    NotFound,
    /// Not at the moment; repeating may help.
    Unavailable,
    /// Anything else.
    Other,
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The configuration cannot be used; nothing was sent.
    #[error("the configuration of the client cannot be used")]
    Config(#[source] ConfigError),
    /// No connection to the node.
    #[error("cannot connect to the node")]
    Connect(#[source] ConnectError),
    /// The node answered with an error.
    #[error(
        "the node refused to {operation}: {code:?}: {message}",
        code = .refusal.code, message = .refusal.message
    )]
    Refused {
        /// What was asked ("list services").
        operation: &'static str,
        /// Its answer.
        refusal: Box<Refusal>,
    },
    /// No answer within the time the caller allows. Whether the node acted is unknown.
    #[error("no answer within {after:?} when asked to {operation}")]
    TimedOut {
        /// What was asked.
        operation: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke before the answer. Whether the node acted is unknown.
    #[error("the connection broke while the node was asked to {operation}: {detail}")]
    Broken {
        /// What was asked.
        operation: &'static str,
        /// What the transport says.
        detail: String,
    },
    /// The node broke the protocol.
    #[error("the node broke the protocol: {0}")]
    Protocol(&'static str),
    /// A proof does not hold.
    #[error("the answer of the node does not verify")]
    Proof(#[source] ProofError),
    /// A watch broke before it had a resume token, so that continuing could lose events.
    #[error("the watch broke before its first resume token")]
    NotResumable(#[source] Box<Self>),
}

/// An error that the node answered.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// gRPC code.
    pub code: Code,
    /// Message of the node.
    pub message: String,
    /// Every field that breaks a rule (`google.rpc.BadRequest`).
    pub violations: Vec<Violation>,
    /// Upper-case reason, stable for programs (`google.rpc.ErrorInfo`).
    pub reason: Option<String>,
    /// What the reason is about (`google.rpc.ErrorInfo`), for example `what` and `name`.
    pub metadata: HashMap<String, String>,
    /// The node asks to wait this long (`google.rpc.RetryInfo`).
    pub retry_after: Option<Duration>,
}

/// A field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path from the request, for example `records[0].service_version.version`.
    pub field: String,
    /// What was found and what is expected.
    pub description: String,
    /// Upper-case reason, stable for programs; may be empty.
    pub reason: String,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConfigError {
    /// `http://` was given.
    #[error("{endpoint} is not encrypted; nodes speak https only")]
    PlainHttp {
        /// As given.
        endpoint: String,
    },
    /// Not of the form `https://host:port`.
    #[error("{endpoint} is no endpoint of the form https://host:port")]
    Endpoint {
        /// As given.
        endpoint: String,
    },
    /// A file cannot be read.
    #[error("cannot read {what} {path}", path = .path.display())]
    Read {
        /// What it is for ("certificate").
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// A file holds no PEM of the kind expected.
    #[error("{path} holds no PEM {what}", path = .path.display())]
    NotPem {
        /// What was expected ("certificate").
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// A file holds PEM that cannot be used.
    #[error("{path} holds a {what} that cannot be used: {detail}", path = .path.display())]
    Unusable {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The key is not that of the certificate.
    #[error("key {key} does not belong to certificate {cert}", key = .key.display(), cert = .cert.display())]
    KeyMismatch {
        /// Certificate file.
        cert: PathBuf,
        /// Key file.
        key: PathBuf,
    },
    /// rustls refuses the configuration.
    #[error("TLS cannot be configured")]
    Tls(#[source] rustls::Error),
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("the name of {address} cannot be resolved")]
    Resolve {
        /// host:port.
        address: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// Nobody listens.
    #[error("connection to {address} refused")]
    Refused {
        /// host:port.
        address: String,
    },
    /// Another error of the network.
    #[error("no connection to {address}")]
    Network {
        /// host:port.
        address: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// No connection in time.
    #[error("no connection to {address} within {after:?}")]
    TimedOut {
        /// host:port.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// The certificate of the node does not hold under the CA of the configuration.
    #[error("the certificate of {address} is not trusted")]
    Untrusted {
        /// host:port.
        address: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The node ended the handshake with an alert.
    #[error("{address} refused the TLS handshake: {alert:?}")]
    Alert {
        /// host:port.
        address: String,
        /// The alert.
        alert: AlertDescription,
    },
    /// The handshake failed otherwise; possibly no TLS at all.
    #[error("the TLS handshake with {address} failed: {detail}")]
    Handshake {
        /// host:port.
        address: String,
        /// What went wrong.
        detail: String,
    },
    /// A certificate file could not be used when connecting anew.
    #[error("the certificate files cannot be used")]
    Config(#[source] Box<ConfigError>),
}

// === impl Class ===

impl Class {
    /// Exit code of the binary `registry`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotFound => 4,
            Self::Unavailable => 5,
        }
    }
}

// === impl ClientError ===

impl ClientError {
    /// Who can change it.
    pub fn class(&self) -> Class {
        match self {
            Self::Config(_) => Class::Usage,
            Self::Connect(error) => error.class(),
            Self::Refused { refusal, .. } => refusal.class(),
            Self::TimedOut { .. } | Self::Broken { .. } => Class::Unavailable,
            Self::NotResumable(cause) => cause.class(),
            Self::Protocol(_) | Self::Proof(_) => Class::Other,
        }
    }

    /// True if the same call may succeed later without anybody changing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Connect(error) => error.class() == Class::Unavailable,
            Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::Refused { refusal, .. } => match refusal.code {
                Code::Unavailable
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::Cancelled
                | Code::Internal
                | Code::Unknown => true,
                Code::Ok
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::DataLoss
                | Code::Unauthenticated => false,
            },
            Self::Config(_) | Self::Protocol(_) | Self::Proof(_) | Self::NotResumable(_) => false,
        }
    }

    /// How long the node asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { refusal, .. } => refusal.retry_after,
            Self::Config(_)
            | Self::Connect(_)
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Protocol(_)
            | Self::Proof(_)
            | Self::NotResumable(_) => None,
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Who can change it.
    pub fn class(&self) -> Class {
        match self.code {
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::Unauthenticated => Class::Refused,
            Code::NotFound => Class::NotFound,
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                Class::Unavailable
            }
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Class::Other,
        }
    }
}

impl From<&tonic::Status> for Refusal {
    fn from(status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let violations = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations
                .iter()
                .map(|v| Violation {
                    field: v.field.clone(),
                    description: v.description.clone(),
                    reason: v.reason.clone(),
                })
                .collect()
        });
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            violations,
            reason: details.error_info().map(|info| info.reason.clone()),
            metadata: details.error_info().map(|info| info.metadata.clone()).unwrap_or_default(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

// === impl ConnectError ===

impl ConnectError {
    /// Who can change it.
    pub fn class(&self) -> Class {
        match self {
            Self::Resolve { .. }
            | Self::Refused { .. }
            | Self::Network { .. }
            | Self::TimedOut { .. }
            | Self::Handshake { .. } => Class::Unavailable,
            Self::Untrusted { .. } | Self::Alert { .. } => Class::Refused,
            Self::Config(_) => Class::Usage,
        }
    }

    /// Finds the connector's own error behind an error of the transport.
    pub(crate) fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found.clone());
            }
            // the source of an I/O error is that of what it wraps
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = match wrapped {
                Some(wrapped) => Some(wrapped),
                None => error.source(),
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_the_documented_exit_codes() {
        let codes = [
            (Code::InvalidArgument, 3),
            (Code::PermissionDenied, 3),
            (Code::AlreadyExists, 3),
            (Code::FailedPrecondition, 3),
            (Code::Aborted, 3),
            (Code::Unauthenticated, 3),
            (Code::NotFound, 4),
            (Code::Unavailable, 5),
            (Code::DeadlineExceeded, 5),
            (Code::ResourceExhausted, 5),
            (Code::Internal, 1),
            (Code::OutOfRange, 1),
        ];
        for (code, exit) in codes {
            let refusal = Refusal::from(&tonic::Status::new(code, ""));
            assert_eq!(refusal.class().exit_code(), exit, "{code:?}");
        }
    }

    #[test]
    fn the_error_of_the_connector_is_found_behind_others() {
        let inner = ConnectError::Refused { address: "sl:1".to_owned() };
        let outer = io::Error::other(io::Error::other(inner));
        assert!(matches!(ConnectError::behind(&outer), Some(ConnectError::Refused { .. })));
    }
}
