//! The only place that turns a [`Reject`] into a gRPC status.
//!
//! Details follow `google.rpc`: `ErrorInfo` always (reason, domain, metadata), `BadRequest` for
//! violations, `RetryInfo` where asking again may help. Details travel in the trailers, for which
//! clients allow a few kilobytes; what is too long is cut.

use std::{collections::HashMap, time::Duration};

use registry_core::reject::{FieldViolation, Reject};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, QuotaViolation, StatusExt};

/// Domain of all reasons.
pub const DOMAIN: &str = "verbund.registry";

/// Bytes of all violations in the details.
const VIOLATIONS_BYTES_MAX: usize = 3 << 10;
/// Bytes of one text in the details.
const TEXT_BYTES_MAX: usize = 500;
/// Bytes of the message.
const MESSAGE_BYTES_MAX: usize = 1_000;
/// After this time a full queue or a closed gate may be open.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The status of a refusal.
pub fn status(reject: Reject) -> Status {
    let message = cut(&reject.to_string(), MESSAGE_BYTES_MAX);
    let (code, reason, metadata) = told(&reject);
    let metadata: HashMap<String, String> = metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), cut(&value, TEXT_BYTES_MAX)))
        .collect();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, metadata);
    match &reject {
        Reject::Invalid(all) => {
            details.set_bad_request(violations(all));
        }
        Reject::Busy { .. } | Reject::Unavailable { .. } => {
            details.set_retry_info(Some(RETRY_AFTER));
        }
        Reject::Fenced { retry_ms, .. } => {
            if let Some(ms) = retry_ms {
                let after = Duration::from_millis(*ms).max(RETRY_AFTER);
                details.set_retry_info(Some(after));
            }
        }
        Reject::Throttled { who, retry_ms, .. } => {
            details.set_retry_info(Some(Duration::from_millis(*retry_ms)));
            details.set_quota_failure(vec![QuotaViolation::new(
                format!("certificate:{who}"),
                message.clone(),
            )]);
        }
        Reject::OverQuota { retry_ms, .. } => {
            if let Some(ms) = retry_ms {
                details.set_retry_info(Some(Duration::from_millis(*ms)));
            }
            details.set_quota_failure(vec![QuotaViolation::new("charter:quota", message.clone())]);
        }
        Reject::Denied { .. }
        | Reject::Forbidden(_)
        | Reject::NotInvited
        | Reject::NotFound { .. }
        | Reject::Conflict { .. }
        | Reject::MovedOn { .. }
        | Reject::Precondition { .. }
        | Reject::ResyncRequired { .. }
        | Reject::AckTimeout { .. }
        | Reject::Storage { .. } => {}
    }
    Status::with_error_details(code, message, details)
}

/// Code, reason and metadata of a refusal.
fn told(reject: &Reject) -> (Code, &'static str, Vec<(&'static str, String)>) {
    match reject {
        Reject::Invalid(all) => (
            Code::InvalidArgument,
            all.first().map_or("INVALID", |first| first.reason),
            vec![("violations", all.len().to_string())],
        ),
        Reject::Denied { action, .. } => {
            (Code::PermissionDenied, "ROLE_MISSING", vec![("action", (*action).to_owned())])
        }
        Reject::Forbidden(it) => (
            Code::PermissionDenied,
            it.reason,
            vec![
                ("action", it.action.to_owned()),
                ("rules", it.rules.join(", ")),
                ("role", it.role.to_owned()),
                ("field", it.field.clone()),
                ("scope", it.scope.clone()),
            ],
        ),
        Reject::NotInvited => (Code::PermissionDenied, "NOT_INVITED", Vec::new()),
        Reject::Throttled { limit, max, .. } => (
            Code::ResourceExhausted,
            "QUOTA",
            vec![("limit", (*limit).to_owned()), ("max", max.to_string())],
        ),
        Reject::OverQuota { limit, max, retry_ms } => (
            Code::ResourceExhausted,
            "LOG_QUOTA",
            vec![
                ("limit", (*limit).to_owned()),
                ("max", max.to_string()),
                ("retry_s", retry_ms.map_or_else(String::new, |it| it.div_ceil(1_000).to_string())),
            ],
        ),
        Reject::NotFound { what, name } => (
            Code::NotFound,
            "NOT_FOUND",
            vec![("what", (*what).to_owned()), ("name", name.clone())],
        ),
        Reject::Conflict { what, name, .. } => (
            Code::AlreadyExists,
            "CONFLICT",
            vec![("what", (*what).to_owned()), ("name", name.clone())],
        ),
        Reject::MovedOn { field, name, found, .. } => (
            Code::Aborted,
            "MOVED_ON",
            vec![("field", field.clone()), ("name", name.clone()), ("revision", found.to_string())],
        ),
        Reject::Precondition { reason, .. } => (Code::FailedPrecondition, *reason, Vec::new()),
        Reject::ResyncRequired { .. } => (Code::OutOfRange, "RESYNC_REQUIRED", Vec::new()),
        Reject::Busy { limit, max } => (
            Code::ResourceExhausted,
            "LIMIT_REACHED",
            vec![("limit", (*limit).to_owned()), ("max", max.to_string())],
        ),
        Reject::Fenced { .. } => (Code::Unavailable, "FENCED", Vec::new()),
        Reject::Unavailable { reason, .. } => (Code::Unavailable, *reason, Vec::new()),
        Reject::AckTimeout { position, acknowledged_by, asked } => (
            Code::DeadlineExceeded,
            "ACK_TIMEOUT",
            vec![
                ("position", position.clone()),
                ("acknowledged_by", acknowledged_by.join(",")),
                ("asked", asked.to_string()),
            ],
        ),
        Reject::Storage { operation } => {
            (Code::Internal, "STORAGE", vec![("operation", (*operation).to_owned())])
        }
    }
}

/// The status of a request whose transport proved no identity.
pub fn unauthenticated() -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("NO_CERTIFICATE", DOMAIN, HashMap::new());
    let message = "no client certificate; connect with one that the node knows";
    Status::with_error_details(Code::Unauthenticated, message, details)
}

/// The status of a call of which `what` took longer than `limit`.
pub fn too_slow(what: &str, limit: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("TOO_SLOW", DOMAIN, HashMap::new());
    let message = format!("{what} took longer than {} ms", limit.as_millis());
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}

/// As many violations as fit, the first always.
fn violations(all: &[FieldViolation]) -> Vec<tonic_types::FieldViolation> {
    let mut taken = Vec::new();
    let mut bytes = 0;
    for violation in all {
        let shown = tonic_types::FieldViolation {
            field: cut(&violation.field, TEXT_BYTES_MAX),
            description: cut(&violation.description, TEXT_BYTES_MAX),
            reason: violation.reason.to_owned(),
            ..Default::default()
        };
        bytes += shown.field.len() + shown.description.len() + shown.reason.len();
        if bytes > VIOLATIONS_BYTES_MAX && !taken.is_empty() {
            break;
        }
        taken.push(shown);
    }
    taken
}

fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use registry_core::authorize::Refusal;

    use super::*;

    fn table() -> Vec<(Reject, Code, &'static str, bool)> {
        let text = || "text".to_owned();
        vec![
            (Reject::field("a.b", "FORM", "is wrong"), Code::InvalidArgument, "FORM", false),
            (Reject::NotInvited, Code::PermissionDenied, "NOT_INVITED", false),
            (
                Reject::Denied { action: "publish", reason: text() },
                Code::PermissionDenied,
                "ROLE_MISSING",
                false,
            ),
            (
                Reject::Forbidden(Box::new(Refusal {
                    action: "publish",
                    reason: "OUT_OF_SCOPE",
                    rules: vec![text()],
                    role: "publisher",
                    field: text(),
                    scope: text(),
                })),
                Code::PermissionDenied,
                "OUT_OF_SCOPE",
                false,
            ),
            (
                Reject::Throttled { limit: "calls at once", max: 7, who: text(), retry_ms: 5 },
                Code::ResourceExhausted,
                "QUOTA",
                true,
            ),
            (
                Reject::OverQuota { limit: "entries a day", max: 7, retry_ms: Some(5) },
                Code::ResourceExhausted,
                "LOG_QUOTA",
                true,
            ),
            (
                Reject::OverQuota { limit: "bytes a day", max: 7, retry_ms: None },
                Code::ResourceExhausted,
                "LOG_QUOTA",
                false,
            ),
            (
                Reject::NotFound { what: "service", name: text() },
                Code::NotFound,
                "NOT_FOUND",
                false,
            ),
            (
                Reject::Conflict { what: "version", name: text(), hint: text() },
                Code::AlreadyExists,
                "CONFLICT",
                false,
            ),
            (
                Reject::MovedOn { field: text(), name: text(), found: 3, expected: Some(2) },
                Code::Aborted,
                "MOVED_ON",
                false,
            ),
            (
                Reject::Precondition { reason: "AMBIGUOUS_SERVICE", description: text() },
                Code::FailedPrecondition,
                "AMBIGUOUS_SERVICE",
                false,
            ),
            (
                Reject::ResyncRequired { description: text() },
                Code::OutOfRange,
                "RESYNC_REQUIRED",
                false,
            ),
            (
                Reject::Busy { limit: "watches", max: 7 },
                Code::ResourceExhausted,
                "LIMIT_REACHED",
                true,
            ),
            (
                Reject::Fenced { description: text(), retry_ms: Some(70_000) },
                Code::Unavailable,
                "FENCED",
                true,
            ),
            (
                Reject::Fenced { description: text(), retry_ms: None },
                Code::Unavailable,
                "FENCED",
                false,
            ),
            (
                Reject::Unavailable { reason: "INDEX_REBUILDING", description: text() },
                Code::Unavailable,
                "INDEX_REBUILDING",
                true,
            ),
            (
                Reject::AckTimeout { position: text(), acknowledged_by: vec![], asked: 2 },
                Code::DeadlineExceeded,
                "ACK_TIMEOUT",
                false,
            ),
            (Reject::Storage { operation: "reading" }, Code::Internal, "STORAGE", false),
        ]
    }

    #[test]
    fn every_refusal_has_its_code_reason_and_details() {
        for (reject, code, reason, retry) in table() {
            let text = reject.to_string();
            let status = status(reject);
            assert_eq!((status.code(), status.message()), (code, text.as_str()));
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, DOMAIN));
            assert_eq!(details.retry_info().is_some(), retry, "{text}");
            assert_eq!(details.bad_request().is_some(), code == Code::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn violations_keep_field_and_reason() {
        let details = status(Reject::field("a.b", "FORM", "is wrong")).get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(
            (violation.field.as_str(), violation.reason.as_str(), violation.description.as_str()),
            ("a.b", "FORM", "is wrong")
        );
    }

    #[test]
    fn details_stay_small_however_many_violations_there_are() {
        let violation = FieldViolation {
            field: "records[0].service_version".repeat(50),
            reason: "FORM",
            description: "ü".repeat(5_000),
        };
        let status = status(Reject::Invalid(vec![violation; 1_000]));
        assert!(status.details().len() < 6 << 10, "{}", status.details().len());
        assert!(status.message().len() < 2 << 10);
        let details = status.get_error_details();
        assert!(!details.bad_request().unwrap().field_violations.is_empty());
        assert_eq!(details.error_info().unwrap().metadata["violations"], "1000");
    }
}
