//! A node with scripted answers, over real mutual TLS on a port of the loopback interface.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod node;
pub(crate) mod pki;
pub(crate) mod prove;

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use registry_client::{ClientConfig, connect::ANSWER_TIMEOUT};
use registry_proto::wire::registry::{
    LogPosition, Provenance, ServiceDefinition, WatchBatch, WatchEvent, WatchResponse,
    watch_event::Record, watch_response::Message,
};

use self::{node::Node, pki::Pki};

/// A node and the files of a reader.
pub(crate) struct Bench {
    pub(crate) pki: Pki,
    pub(crate) node: Node,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let pki = Pki::new();
        let node = Node::start(&pki);
        Self { pki, node }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig {
            endpoint: self.node.endpoint.clone(),
            ca: self.pki.path("ca.pem"),
            cert: self.pki.path("reader.pem"),
            key: self.pki.path("reader.key"),
            timeout: ANSWER_TIMEOUT,
        }
    }

    /// The binary with the files of the reader, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = bare();
        command
            .env("REGISTRY_ENDPOINT", &self.node.endpoint)
            .env("REGISTRY_CA", self.pki.path("ca.pem"))
            .env("REGISTRY_CERT", self.pki.path("reader.pem"))
            .env("REGISTRY_KEY", self.pki.path("reader.key"))
            .args(args);
        command
    }

    pub(crate) fn registry(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().expect("binary runs"))
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.pki.path(name);
        std::fs::write(&path, text).expect("file");
        path.to_str().expect("UTF-8").to_owned()
    }
}

/// The binary without any setting.
pub(crate) fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
    for name in ["REGISTRY_ENDPOINT", "REGISTRY_CA", "REGISTRY_CERT", "REGISTRY_KEY"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// What a run of the binary left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// The event of entry `index` of the log of `land`.
pub(crate) fn event(land: &str, index: u64) -> WatchEvent {
    let position = LogPosition { land: land.to_owned(), epoch: 1, index };
    WatchEvent {
        provenance: Some(Provenance { position: Some(position), ..Provenance::default() }),
        kind: 1,
        service_id: format!("00000000-0000-7000-8000-{index:012}"),
        record: Some(Record::ServiceDefinition(ServiceDefinition::default())),
        erased: false,
    }
}

/// An atomic batch of SL with the token `token`.
pub(crate) fn batch(token: &'static str, indexes: &[u64]) -> WatchResponse {
    let events = indexes.iter().map(|index| event("SL", *index)).collect();
    let batch = WatchBatch { events, resume_token: token.as_bytes().into() };
    WatchResponse { message: Some(Message::Batch(batch)) }
}
