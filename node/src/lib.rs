//! The I/O shell of a node: it moves bytes and keeps time for `registry-core`, and knows no rule
//! of the catalogue.
//!
//! - [`config`]: `node.toml`, all problems at once, before a port is bound.
//! - [`tls`]: who may connect and as whom; swappable certificates and anchors.
//! - [`pki`]: a throw-away PKI for demo and tests.
//! - [`observe`]: logging and metrics.
//! - [`lifecycle`]: how tasks start, die and are drained.
//! - [`web`]: HTTP listeners that are not gRPC.

pub mod config;
pub mod lifecycle;
pub mod observe;
pub mod pki;
pub mod tls;
pub mod web;
