//! A Verbund in one thread: the real core, and everything around it simulated from one seed.
//!
//! Disks finish late, lose what was not synced when a node crashes, and sometimes kept it all the
//! same; streams break and take with them what was under way; control messages overtake batches;
//! clocks differ and jump; one node may lie, or sign two
//! histories. After every step the world checks what must always hold (`oracle.rs`); a test
//! adds what must hold in the end.

mod disk;
mod double;
mod liar;
mod oracle;
mod world;

pub use disk::Disk;
pub use world::{Chaos, World};
