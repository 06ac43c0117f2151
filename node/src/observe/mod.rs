//! What operators see: log lines on stderr and metrics.

mod approvals;
mod artefacts;
mod audit;
mod certificates;
mod charters;
mod connections;
mod logging;
mod metrics;

pub use approvals::ApprovalMetrics;
pub use artefacts::ArtefactMetrics;
pub use audit::AuditMetrics;
pub use certificates::CertificateMetrics;
pub use charters::CharterMetrics;
pub use connections::ConnectionMetrics;
pub use logging::{Format, LevelError, LoggingError, check_level, init};
pub use metrics::{METHOD_UNKNOWN, Metrics};
