//! What the tests share: records, a simulated Verbund, and a Verbund of real processes.

pub mod cluster;
pub mod partner;
pub mod records;
pub mod sim;
