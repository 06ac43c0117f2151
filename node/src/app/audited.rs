//! The beginning and the end of a node in its audit log.

use std::{sync::Arc, time::Duration};

use registry_core::node::Input;
use registry_proto::terms::LogId;
use tracing::error;

use super::{SOFTWARE, StartError};
use crate::{
    audit::{self, Act, Audit},
    config::Config,
    driver::{Clock, Handle},
    lifecycle::{Shutdown, StopCause},
    observe::Metrics,
};

/// The audit log of a configuration.
pub(super) fn setup<'a>(
    config: &'a Config,
    clock: Clock,
    metrics: &Arc<Metrics>,
) -> audit::Setup<'a> {
    audit::Setup {
        data_dir: &config.data_dir,
        syslog: config.audit_syslog.clone(),
        node: &config.node,
        clock,
        metrics: metrics.clone(),
    }
}

/// Says which node begins, with which keys and which configuration: whom it names may act.
pub(super) async fn starts(config: &Config, audit: &Audit) -> Result<(), StartError> {
    let keys = config.signer.keys();
    for (name, key) in [("log", keys.log), ("freshness", keys.freshness)] {
        let object = format!("{name} {}", hex::encode(key.as_bytes()));
        audit.note(Act::new("key.load", "OK").on(object));
    }
    let (digest, file) = (hex::encode(config.file_sha256), config.file.display());
    let object = format!("sha256={digest} {file}");
    audit.note(Act::new("config.load", "OK").on(object));
    let node = format!("{} {} {SOFTWARE}", config.land, config.node);
    let started = audit.record(Act::new("node.start", "OK").on(node)).await;
    started.map_err(|error| StartError::System {
        what: "writing the audit log",
        source: std::io::Error::other(error),
    })
}

/// Says why it does not, and lets go of the audit log.
pub(super) async fn fails(cause: String, audit: &Audit, records: &Shutdown) {
    let failed = Act::new("node.start", "FAILED").because(cause);
    if audit.finish(failed).await.is_err() {
        error!("that the node does not start is not in the audit log");
    }
    audit.close().await;
    records.drain(CLOSE_WAIT).await;
}

/// Lets the core hear how far the log has come.
pub(super) async fn follows(audit: &Audit, driver: &Handle) {
    let driver = driver.clone();
    let tell = move |head, soon| {
        // a driver that is gone anchors nothing
        let _ = driver.input_blocking(Input::Audited { head, soon });
    };
    audit.follow(tell).await;
}

/// The guard begins to hold retirements of a log.
pub(super) fn held(log: LogId, moves: u64) -> Act {
    let why =
        format!("{moves} retirements and those to come count only once an operator accepts them");
    Act::new("retirements.hold", "OK").on(log.to_string()).because(why)
}

/// Says why it ends.
pub(super) async fn stops(shutdown: &Shutdown, audit: &Audit) {
    let why = match shutdown.cause() {
        Some(StopCause::Requested(by)) => (*by).to_owned(),
        Some(StopCause::Charter { number }) => format!("charter {number} is in force"),
        Some(StopCause::Epoch { log }) => format!("the epochs of {} changed", log.land),
        Some(StopCause::SetAside { log }) => {
            format!("what is here of {log} and does not count is set aside")
        }
        Some(StopCause::TaskDied { kind, cause }) => format!("{kind:?}: {cause}"),
        None => String::new(),
    };
    if audit.finish(Act::new("node.stop", "OK").because(why)).await.is_err() {
        error!("the end of the node is not in the audit log");
    }
}

/// A thread that has nothing to do ends at once.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
