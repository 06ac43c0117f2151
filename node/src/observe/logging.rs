//! Log lines on stderr.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, util::TryInitError};
use tracing_subscriber::{Registry, layer::SubscriberExt, util::SubscriberInitExt};

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line for people.
    Human,
    /// One JSON object per line.
    Json,
}

/// The level is no filter.
#[derive(Debug, thiserror::Error)]
#[error("no log level; expected for example info or info,registry_node=debug")]
pub struct LevelError(#[source] tracing_subscriber::filter::ParseError);

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is no filter.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// Logging was started before.
    #[error("logging was started before")]
    Started(#[from] TryInitError),
}

/// Checks a level as [`init`] would read it.
///
/// # Errors
///
/// It is no filter.
pub fn check_level(level: &str) -> Result<(), LevelError> {
    filter(level).map(|_| ())
}

/// Starts logging for the whole process: `level` as in `RUST_LOG`, lines to stderr.
///
/// # Errors
///
/// The level is no filter, or logging was started before.
pub fn init(format: Format, level: &str) -> Result<(), LoggingError> {
    let registry = Registry::default().with(filter(level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    match format {
        Format::Human => registry.with(lines.with_ansi(stderr().is_terminal())).try_init()?,
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, LevelError> {
    EnvFilter::builder().parse(level).map_err(LevelError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_accepted_and_other_text_is_refused() {
        for good in ["info", "warn,registry_node::tls=debug", "off"] {
            assert!(check_level(good).is_ok(), "{good}");
        }
        for bad in ["registry_node=loud", "info,=", "a=b=c"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }
}
