//! gRPC handlers: convert, ask, convert.

pub mod caller;
pub mod catalogue;
pub mod status;
pub mod watch;
