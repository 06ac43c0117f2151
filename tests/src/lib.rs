//! What the tests share: records, a simulated Verbund, and a Verbund of real processes.

pub mod records;
pub mod sim;
