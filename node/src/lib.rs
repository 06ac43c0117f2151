//! The I/O shell of a node: it moves bytes and keeps time for `registry-core`, and knows no rule
//! of the catalogue.
//!
//! - [`app`]: a node, from its configuration to its end.
//! - [`approvals`]: submissions that wait for a second person.
//! - [`artefacts`]: files of versions, apart from the logs.
//! - [`audit`]: who did what, chained by hashes.
//! - [`certificates`]: reload of files, revocation, warnings before an end.
//! - [`charters`]: votes counted, and the charters they put into force.
//! - [`cli`], [`demo`]: the commands of `registry-node`.
//! - [`config`]: `node.toml`, all problems at once, before a port is bound.
//! - [`fit_connect`]: verifies the signatures of delivery points.
//! - [`drafts`]: records that are not published yet.
//! - [`kept`]: records that never leave this node, one file each.
//! - [`data`]: signed data packages that replace the shipped lists.
//! - [`invitations`]: who may ask to become a member; [`join`]: the other side of it.
//! - [`keys`]: the signing keys of the Land.
//! - [`driver`]: owns the core; its writers own the disks.
//! - [`epochs`]: resets of logs, and which epochs of which log that makes.
//! - [`erasure`]: carries out erasures, to the last byte on this disk.
//! - [`sessions`]: streams with partners.
//! - [`policy`]: the file with rules about who may do what.
//! - [`tls`]: who may connect and as whom; swappable certificates and anchors.
//! - [`pki`]: a throw-away PKI for demo and tests.
//! - [`wire`]: gRPC handlers and the one place that makes a gRPC status.
//! - [`web`]: HTTP listeners that are not gRPC.
//! - [`forged`]: bodies on this disk that are not the ones their owners signed.
//! - [`journals`], [`folder`], [`store`], [`index`]: from the logs on disk to what readers see.
//! - [`search`]: finds services by words; `unsearched`: what it must not find any more.
//! - [`reads`]: answers of the catalogue.
//! - [`batches`], [`recent`], [`watch`]: entries as watchers see them.
//! - [`serving`]: connections of all listeners, within limits.
//! - [`status`]: what the node tells about itself.
//! - [`witness`]: what is kept about the honesty of others.
//! - [`observe`]: logging and metrics.
//! - [`lifecycle`]: how tasks start, die and are drained.

pub mod app;
pub mod approvals;
pub mod artefacts;
pub mod audit;
pub mod batches;
pub mod certificates;
pub mod charters;
pub mod cli;
pub mod config;
pub mod data;
pub mod demo;
pub mod drafts;
pub mod driver;
pub mod epochs;
pub mod erasure;
pub mod fit_connect;
pub mod folder;
pub mod forged;
pub mod guard;
pub mod index;
pub mod invitations;
pub mod join;
pub mod journals;
pub mod kept;
pub mod keys;
pub mod lifecycle;
pub mod memory;
pub mod observe;
pub mod pki;
pub mod policy;
pub mod reads;
pub mod recent;
pub mod search;
pub mod serving;
pub mod sessions;
pub mod status;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tls;
mod unsearched;
pub mod watch;
pub mod web;
pub mod wire;
pub mod witness;
