//! The I/O shell of a node: it moves bytes and keeps time for `registry-core`, and knows no rule
//! of the catalogue.
//!
//! - [`config`]: `node.toml`, all problems at once, before a port is bound.
//! - [`tls`]: who may connect and as whom; swappable certificates and anchors.
//! - [`pki`]: a throw-away PKI for demo and tests.
//! - [`observe`]: logging and metrics.
//! - [`lifecycle`]: how tasks start, die and are drained.
//! - [`journals`], [`folder`], [`store`], [`index`]: from the logs on disk to what readers see.
//! - [`batches`], [`recent`], [`watch`]: entries as watchers see them.
//! - [`reads`]: answers of the catalogue.
//! - [`status`]: what the driver tells readers about logs and partners.
//! - [`wire`]: gRPC handlers; the only place that speaks of gRPC status.
//! - [`web`]: HTTP listeners that are not gRPC.

pub mod batches;
pub mod config;
pub mod folder;
pub mod index;
pub mod journals;
pub mod lifecycle;
pub mod observe;
pub mod pki;
pub mod reads;
pub mod recent;
pub mod status;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod watch;
pub mod web;
pub mod wire;
