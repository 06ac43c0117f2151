//! What operators see: log lines on stderr and metrics.

mod logging;
mod metrics;

pub use logging::{Format, LevelError, LoggingError, check_level, init};
pub use metrics::{METHOD_UNKNOWN, Metrics};
