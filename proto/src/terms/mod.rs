//! The words of the domain, parsed once at the edge.

mod land;

pub use land::{Land, LogId, ParseLandError};
