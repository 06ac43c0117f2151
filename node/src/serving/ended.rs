//! How a connection ended, from what the layers below report.

use std::{error::Error, io};

/// How a connection ended. Also the label of `registry_connections_ended_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// In order, by either side.
    Closed,
    /// The client resets or floods beyond what is tolerated.
    Flood,
    /// What came is no HTTP, or beyond its limits.
    Protocol,
    /// The client took too long: for a head, a sign of life, or what was written.
    Timeout,
    /// The transport broke.
    Broken,
}

// === impl Ended ===

impl Ended {
    /// Value of the metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Flood => "flood",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }

    /// What an error of the connection says.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = Self::of_one(error) {
                return found;
            }
            next = error.source();
        }
        Self::Broken
    }

    fn of_one(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return if error.is_timeout() {
                Some(Self::Timeout)
            } else if error.is_parse() {
                Some(Self::Protocol)
            } else {
                None
            };
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return match error.reason() {
                Some(h2::Reason::ENHANCE_YOUR_CALM) => Some(Self::Flood),
                Some(h2::Reason::NO_ERROR | h2::Reason::CANCEL) => Some(Self::Closed),
                Some(_) => Some(Self::Protocol),
                None => None,
            };
        }
        let error = error.downcast_ref::<io::Error>()?;
        match error.kind() {
            io::ErrorKind::TimedOut => Some(Self::Timeout),
            // hyper hides errors of HTTP/2 behind this one
            io::ErrorKind::Other => None,
            _ => Some(Self::Broken),
        }
    }
}
