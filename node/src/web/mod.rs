//! HTTP listeners that are not gRPC.

mod monitoring;

pub use monitoring::{MonitoringState, Readiness, monitoring_router, serve_monitoring};
