//! HTTP listeners that are not gRPC.

mod catalogue;
mod monitoring;
mod params;
pub mod ui;

#[cfg(test)]
use catalogue::router_for;
pub use catalogue::{anonymous_router, metered, serve_web, traced, web_router};
pub use monitoring::{MonitoringState, Readiness, monitoring_router};
