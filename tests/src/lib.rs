//! What the tests share: records, what benches measure with, a simulated Verbund, and a Verbund of real processes.

pub mod bench;
pub mod cluster;
pub mod partner;
pub mod records;
pub mod sim;
