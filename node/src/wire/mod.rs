//! gRPC handlers: convert, ask, convert.

pub mod admin;
pub mod answer;
pub mod approval;
pub mod artefact;
pub mod audited;
pub mod caller;
pub mod catalogue;
pub mod charter;
pub mod draft;
pub mod epoch;
pub mod erasure;
pub mod invitation;
pub mod join;
pub mod limited;
pub mod nachnutzung;
pub mod observed;
pub mod paced;
pub mod peer;
mod previous;
pub mod publish;
mod said;
pub mod status;
pub mod watch;
pub mod witness;

#[cfg(test)]
mod tests;
