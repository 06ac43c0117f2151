//! Client of a registry node.
//!
//! - [`Client`]: connects over mutual TLS (TLS 1.3, AES-GCM, NIST curves) and reads the catalogue.
//! - [`nachnutzung`]: who re-uses what, whom a move affects, what needs attention.
//! - [`publish`]: writes to the log of the node's Land.
//! - [`approval`]: what waits for a second person.
//! - [`draft`]: drafts at the node of one's own Land.
//! - [`epoch`]: countersigns resets of logs, and gives them to a node.
//! - [`erasure`]: erases entries, and tells who has carried it out.
//! - [`held`]: what a node holds back until its operator decides.
//! - [`artefact`]: sends and receives files of versions; goes on where it was interrupted.
//! - [`watch`]: follows the catalogue; reconnects and resumes by itself.
//! - [`diff`]: what differs between two records, field by field.
//! - [`manifest`]: a catalogue as files, against what stands in the log.
//! - [`proof`]: verifies what a node answers against the charter, without trusting the node.
//! - [`usage`]: command lines with help and errors in German.
//! - [`error`]: what can go wrong, sorted by who can change it.
//!
//! The crate knows the wire and the charter, nothing of how a node works inside.

pub mod approval;
pub mod artefact;
pub mod catalogue;
pub mod charter;
pub mod connect;
pub mod diff;
pub mod draft;
pub mod epoch;
pub mod erasure;
pub mod error;
pub mod held;
pub mod invitation;
pub mod manifest;
pub mod nachnutzung;
pub mod proof;
pub mod publish;
mod tls;
pub mod usage;
pub mod watch;
pub mod witness;

pub use connect::{Client, ClientConfig};
pub use error::{Class, ClientError};
