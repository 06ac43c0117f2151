//! The deciding half of a node: deterministic, driven by inputs and by time as an argument.
//!
//! The file list reads as the path of one submission; see ARCHITECTURE.md. Nothing here does
//! I/O, reads a clock or draws random numbers, so the simulator runs the same code as the node.

pub mod audit;
pub mod authorize;
pub mod catalogue;
pub mod charter;
pub mod compat;
pub mod envelope;
mod fence;
pub mod fold;
pub mod invitations;
pub mod limits;
pub mod log;
pub mod moves;
pub mod node;
pub mod now;
mod quota;
pub mod reject;
pub mod replicate;
pub mod status;
pub mod submission;
#[cfg(test)]
mod testing;
pub mod validate;
pub mod view;

pub use fence::{FencePolicy, Ordered, Pulse};
