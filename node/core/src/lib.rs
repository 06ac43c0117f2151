//! The deciding half of a node: deterministic, driven by inputs and by time as an argument.
//!
//! The file list reads as the path of one submission; see ARCHITECTURE.md. Nothing here does
//! I/O, reads a clock or draws random numbers, so the simulator runs the same code as the node.

pub mod authorize;
pub mod catalogue;
pub mod limits;
pub mod reject;
pub mod validate;
