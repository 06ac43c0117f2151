//! `/metrics`, `/healthz`, `/readyz`; plain HTTP, meant for loopback.

use std::{fmt, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde::Serialize;

use crate::observe::Metrics;

/// Says whether the node can do its work.
pub trait Readiness: Send + Sync + 'static {
    /// Why not yet, one sentence each; empty when ready. Called for every probe: it MUST NOT wait.
    fn reasons(&self) -> Vec<String>;
}

/// What the monitoring routes need.
#[derive(Clone)]
pub struct MonitoringState {
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Answers `/readyz`.
    pub readiness: Arc<dyn Readiness>,
    /// What is missing for the answers of a node that is ready to be complete.
    pub missing: Arc<dyn Readiness>,
    /// What `/readyz` says beside it: nothing of it makes the node unready.
    pub warnings: Arc<dyn Readiness>,
}

#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

// === impl Readiness ===

impl<F> Readiness for F
where
    F: Fn() -> Vec<String> + Send + Sync + 'static,
{
    fn reasons(&self) -> Vec<String> {
        self()
    }
}

// === impl MonitoringState ===

impl fmt::Debug for MonitoringState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitoringState").finish_non_exhaustive()
    }
}

/// The routes for probes and Prometheus.
pub fn monitoring_router(state: MonitoringState) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(state)
}

async fn metrics(State(state): State<MonitoringState>) -> Response {
    ([(header::CONTENT_TYPE, OPENMETRICS)], state.metrics.encode()).into_response()
}

/// The process is alive; says nothing about its work.
async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<MonitoringState>) -> Response {
    let reasons = state.readiness.reasons();
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let (missing, warnings) = (state.missing.reasons(), state.warnings.reasons());
    (status, Json(Ready { ready, reasons, missing, warnings })).into_response()
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{
        lifecycle::{Drained, Shutdown},
        serving::{Patience, Server, Speaks, plain},
    };

    async fn get_path(address: std::net::SocketAddr, path: &str) -> String {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_tell_alive_from_ready() {
        let ready = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ready);
        let readiness = Arc::new(move || {
            if seen.load(Ordering::SeqCst) {
                Vec::new()
            } else {
                vec!["the fence is closed".to_owned()]
            }
        });
        let metrics = Arc::new(Metrics::new("0"));
        let lacks = || vec!["RP/1: 4 von 6 Einträgen, die zählen, sind hier".to_owned()];
        let missing = Arc::new(lacks);
        let warnings = Arc::new(|| vec!["an old charter".to_owned()]);
        let state = MonitoringState { metrics: metrics.clone(), readiness, missing, warnings };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let connections = plain("monitoring", listener, metrics.clone(), &shutdown);
        let (speaks, patience) = (Speaks::Http, Patience::default());
        let server = Server { listener: "monitoring", speaks, patience, metrics };
        server.serve(connections, monitoring_router(state), &shutdown);

        assert!(get_path(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let answer = get_path(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let missing = concat!(
            r#""missing":["RP/1: 4 von 6 Einträgen, die zählen, sind hier"],"#,
            r#""warnings":["an old charter"]}"#
        );
        let closed = format!(r#"{{"ready":false,"reasons":["the fence is closed"],{missing}"#);
        assert!(answer.ends_with(&closed), "{answer}");
        ready.store(true, Ordering::SeqCst);
        // what is missing takes nothing from what is here
        let answer = get_path(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(missing), "{answer}");
        let answer = get_path(address, "/metrics").await;
        assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
        assert!(answer.contains("registry_build_info"), "{answer}");
        assert_eq!(shutdown.drain(Duration::from_secs(10)).await, Drained::Clean);
    }
}
