//! This Land's own log: what may be staged, how a group is built, who waits for what.
//!
//! ```text
//! Submission -> admit (services.rs) -> Staged (own.rs) -> Commit -> durable -> folded
//!            -> acknowledged (waiting.rs)
//! ```

mod again;
mod erased;
mod gather;
mod own;
mod requests;
mod services;
mod waiting;

pub(crate) use erased::Erases;
pub use gather::Rest;
pub use own::{Commit, CommitEntry};
pub(crate) use own::{Note, Outcome, OwnLog};
pub use requests::REQUESTS_KEPT_MAX;
pub use services::OwnServices;
pub(crate) use services::{Mark, editors_of};
pub(crate) use waiting::WaitingRoom;
pub use waiting::{Published, PublishedRecord};

/// Names a submission between the shell and the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);
