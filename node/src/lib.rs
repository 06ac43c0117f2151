//! The I/O shell of a node: it moves bytes and keeps time for `registry-core`, and knows no rule
//! of the catalogue.
//!
//! - [`journals`], [`folder`], [`store`], [`index`]: from the logs on disk to what readers see.
//! - [`batches`], [`recent`]: entries as watchers see them.

pub mod batches;
pub mod folder;
pub mod index;
pub mod journals;
pub mod recent;
pub mod store;
#[cfg(test)]
mod testing;
