//! What the tests share: records, what benches measure with, a simulated Verbund, a Verbund of real
//! processes, and nodes under attack.

pub mod arena;
pub mod attack;
pub mod bench;
pub mod chronicle;
pub mod cluster;
pub mod frames;
pub mod partner;
pub mod records;
pub mod sim;
pub mod traces;
