//! One look at the queue: what waits is handled by the core, and what the core wants is performed.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use registry_core::{
    log::Ticket,
    node::{Input, Node},
};
use registry_proto::terms::LogId;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use super::{
    Event, Handle,
    desk::{After, Work},
    inbox::Inbox,
    perform::Performer,
};

/// The core, and what it takes to drive it.
#[derive(Debug)]
pub(super) struct Drive {
    inbox: Inbox,
    node: Node,
    performer: Performer,
    handle: Handle,
    token: CancellationToken,
    runtime: runtime::Handle,
    /// The last ticket.
    tickets: u64,
    /// Empty between two turns.
    events: Vec<Event>,
    stop_by: Option<Instant>,
    /// Nobody is let in any more.
    leaves: bool,
    /// Logs that have something; who reads the first of it must not be told that they are empty.
    begun: BTreeSet<LogId>,
}

/// How long a stopping node waits for the answers it owes; within the grace period.
const ANSWER_MAX: Duration = Duration::from_secs(1);

// === impl Drive ===

impl Drive {
    /// MUST be called within a runtime.
    pub(super) fn new(
        inbox: Inbox,
        node: Node,
        performer: Performer,
        handle: Handle,
        token: CancellationToken,
    ) -> Self {
        Self {
            inbox,
            node,
            performer,
            handle,
            token,
            runtime: runtime::Handle::current(),
            tickets: 0,
            events: Vec::new(),
            stop_by: None,
            leaves: false,
            begun: BTreeSet::new(),
        }
    }

    fn work_off(&mut self, event: Event) {
        let now = self.handle.clock().now();
        let Some(input) = self.input(event) else { return };
        let is_tick = matches!(input, Input::Tick);
        let is_first = grown(&input).is_some_and(|log| self.begun.insert(log));
        self.node.handle(now, input);
        self.handle.beats(self.node.pulse());
        for effect in self.node.effects() {
            self.performer.perform(effect);
        }
        if is_tick || is_first {
            self.performer.show(self.node.status(now));
        }
    }

    /// What the core is told of an event, if anything.
    fn input(&mut self, event: Event) -> Option<Input> {
        match event {
            Event::Input(input) => Some(self.performer.observe(input)),
            // the answer is dropped, which says that the node stops
            Event::Publish { .. } | Event::Vote { .. } if self.leaves => None,
            Event::Publish { submission, answer } => {
                let ticket = self.ticket();
                self.performer.expect(ticket, answer);
                Some(Input::Submit { ticket, submission })
            }
            Event::Vote { principal, body, answer } => {
                let ticket = self.ticket();
                self.performer.expect(ticket, answer);
                Some(Input::Vote { ticket, principal, body })
            }
            Event::Leave { left } => {
                self.leaves = true;
                self.performer.leaves(left);
                Some(Input::Stopping)
            }
            Event::Unreadable { land, fault } => {
                self.performer.unreadable(land, fault);
                None
            }
            Event::Session { session, peer, dialled, outgoing } => {
                self.performer.attach(session, outgoing);
                Some(Input::SessionOpened { session, peer, dialled })
            }
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

impl Work for Drive {
    fn turn(&mut self) -> After {
        // ranges are read by tasks that effects start, whoever looks
        let runtime = self.runtime.clone();
        let _entered = runtime.enter();
        // the ticker has somebody look, so the token is seen in time
        if self.stop_by.is_none() && self.token.is_cancelled() {
            self.stop_by = Some(Instant::now() + ANSWER_MAX);
            self.leaves = true;
        }
        let mut events = std::mem::take(&mut self.events);
        self.inbox.take(&mut events, self.handle.clock().now().mono_ms, self.node.rest());
        for event in events.drain(..) {
            self.work_off(event);
        }
        self.events = events;
        self.performer.passed_on(&self.node);
        // who was let in before is still answered: its records may be on the disk
        let is_done = !self.performer.is_awaited() && self.node.is_settled();
        if self.stop_by.is_some_and(|by| is_done || Instant::now() >= by) {
            return After::End;
        }
        After::Rest(self.node.rest())
    }
}

/// The log that has more on the disk now.
fn grown(input: &Input) -> Option<LogId> {
    match input {
        Input::Committed { signed } => Some(signed.checkpoint.origin.log),
        Input::Stored { log, .. } => Some(*log),
        _ => None,
    }
}
