//! What the sessions with partners and the task that counts votes give each other. Stands before
//! either of them.

use std::time::Duration;

use prost::Message as _;
use registry_core::{
    limits,
    node::Input,
    replicate::{ChartersAsked, ProvedCharters, ToldCharters},
};
use registry_proto::{
    charter::Charter,
    wire::peer::{CharterStep, Charters as Told, peer_message::Message},
};
use tokio::{sync::watch, task::JoinError};
use tracing::error;

use super::Shown;
use crate::{
    driver::Handle,
    lifecycle::{Shutdown, TaskKind, chain},
    sessions::Outgoing,
};

/// Both directions. Clones share one state.
#[derive(Clone, Debug)]
pub struct Exchange {
    shown: watch::Sender<Shown>,
    /// The newest that a partner told, until the task has taken it.
    told: watch::Sender<Option<ProvedCharters>>,
}

// === impl Exchange ===

impl Exchange {
    /// Nothing was read yet.
    pub fn new(genesis: Charter) -> Self {
        let (shown, told) = (Shown::before_votes(genesis), None);
        Self { shown: watch::Sender::new(shown), told: watch::Sender::new(told) }
    }

    /// Tells a partner what it asked for, once the votes here were read.
    pub(crate) fn show(&self, asked: ChartersAsked, outgoing: Outgoing, shutdown: &Shutdown) {
        let (mut shown, token) = (self.shown.subscribe(), shutdown.token().clone());
        shutdown.spawn(TaskKind::Stream, async move {
            let read = async { shown.wait_for(|it| it.complete).await.map(|it| it.clone()).ok() };
            let shown = tokio::select! {
                shown = tokio::time::timeout(READ_MAX, read) => shown.ok().flatten(),
                () = token.cancelled() => None,
            };
            // who gets no answer asks somebody else
            if let Some(shown) = shown {
                let _ = outgoing.send(Message::Charters(shown.answer(&asked)));
            }
        });
    }

    /// Takes what a partner told; of several the last one.
    pub(crate) fn follow(&self, told: ProvedCharters) {
        self.told.send_replace(Some(told));
    }

    pub(super) fn take(&self) -> Option<ProvedCharters> {
        self.told.send_replace(None)
    }

    pub(super) fn replace(&self, shown: Shown) {
        self.shown.send_replace(shown);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }
}

/// Verifies what a partner told on a thread that may take its time, then tells the driver.
pub(crate) fn verify(told: ToldCharters, driver: Handle, shutdown: &Shutdown) {
    let session = told.session;
    shutdown.spawn(TaskKind::Stream, async move {
        let verified = tokio::task::spawn_blocking(move || told.verify()).await;
        let died = |failure: &JoinError| error!(cause = chain(failure), "cannot verify charters");
        let verified = verified.inspect_err(died).ok().map(Box::new);
        // a driver that is gone follows nobody
        let _ = driver.input(Input::VerifiedCharters { session, verified }).await;
    });
}

// === impl Shown ===

impl Shown {
    /// Charters from the one asked for on, up to the first that is not proved here or that is too much
    /// for one message.
    pub(super) fn answer(&self, asked: &ChartersAsked) -> Told {
        let past = self.chain.past();
        let from = usize::try_from(asked.from).unwrap_or(usize::MAX);
        let before = from.checked_sub(1).and_then(|it| past.get(it));
        let mut told = Told { from: asked.from, ..Told::default() };
        told.differs = before.is_some_and(|it| it.charter.digest() != asked.predecessor);
        if told.differs || before.is_none() {
            return told;
        }
        let mut left = limits::CHARTERS_ANSWER_BYTES_MAX;
        for it in past.iter().skip(from).take(limits::CHARTERS_ANSWER_MAX) {
            let Some(decision) = self.decisions.get(&it.charter.number()) else { break };
            let charter = it.charter.raw().clone();
            let needed = charter.len() + decision.encoded_len();
            let Some(rest) = left.checked_sub(needed) else { break };
            left = rest;
            told.steps.push(CharterStep { charter, decision: decision.encode_to_vec().into() });
        }
        told
    }
}

/// How long a partner waits for the votes to be read here; it gives up a little later.
const READ_MAX: Duration = Duration::from_secs(20);
