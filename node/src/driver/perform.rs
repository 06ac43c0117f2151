//! Performs what the core wants done.

use std::{collections::HashMap, sync::Arc};

use registry_core::{
    log::{Published, Ticket},
    node::{Effect, Input, Node, Notice},
    reject::Reject,
    replicate::{CloseReason, Report, SessionId},
    status::Status,
};
use registry_proto::terms::{Land, LogId};
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use crate::{
    audit::{Act, Audit},
    charters::{self, Exchange},
    driver::{
        Handle,
        writer::{Job, Writers},
    },
    lifecycle::{Shutdown, StopCause, chain},
    observe::Metrics,
    sessions::{Outgoing, Ranges, Unsent},
    witness,
};

/// What the driver acts upon.
#[derive(Debug)]
pub struct Surroundings {
    /// The own log.
    pub own: LogId,
    /// Disks.
    pub writers: Writers,
    /// Reads ranges for partners.
    pub ranges: Ranges,
    /// Keeps evidence.
    pub witness: witness::Keeper,
    /// What partners are told of charters, and tell.
    pub charters: Exchange,
    /// Where numbers go.
    pub metrics: Arc<Metrics>,
    /// Where what happens to the own log is traced.
    pub audit: Audit,
    /// Where the state goes that readers see.
    pub show: Box<dyn ShowStatus>,
}

/// Takes the state of the node, some times a second.
pub trait ShowStatus: Send + std::fmt::Debug {
    /// Makes it visible.
    fn show(&mut self, status: Status);
}

#[derive(Debug)]
pub(crate) struct Performer {
    surroundings: Surroundings,
    handle: Handle,
    shutdown: Shutdown,
    waiting: HashMap<Ticket, oneshot::Sender<Result<Published, Reject>>>,
    sessions: HashMap<SessionId, Outgoing>,
    /// Waits until partners have what this node wrote.
    leaving: Option<oneshot::Sender<()>>,
}

// === impl Performer ===

impl Performer {
    pub(crate) fn new(surroundings: Surroundings, handle: Handle, shutdown: Shutdown) -> Self {
        let (waiting, sessions) = Default::default();
        Self { surroundings, handle, shutdown, waiting, sessions, leaving: None }
    }

    pub(crate) fn expect(
        &mut self,
        ticket: Ticket,
        answer: oneshot::Sender<Result<Published, Reject>>,
    ) {
        self.waiting.insert(ticket, answer);
    }

    /// Counts a message of a member that could not be read.
    pub(crate) fn unreadable(&self, land: Land, fault: &'static str) {
        self.surroundings.metrics.peer_fault(land, fault);
    }

    /// The node is about to stop; `left` waits until partners have what it wrote.
    pub(crate) fn leaves(&mut self, left: oneshot::Sender<()>) {
        self.leaving = Some(left);
    }

    /// Answers who waits for that, if they have.
    pub(crate) fn passed_on(&mut self, node: &Node) {
        if let Some(left) = self.leaving.take_if(|_| node.is_passed_on()) {
            // whoever asked may have waited long enough
            let _ = left.send(());
        }
    }

    /// Whether someone waits for an answer.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn attach(&mut self, session: SessionId, outgoing: Outgoing) {
        self.sessions.insert(session, outgoing);
    }

    /// Looks at an input on its way to the core.
    pub(crate) fn observe(&mut self, input: Input) -> Input {
        if let Input::SessionClosed { session } = &input {
            self.sessions.remove(session);
        }
        input
    }

    pub(crate) fn perform(&mut self, effect: Effect) {
        let own = self.surroundings.own;
        match effect {
            Effect::Reply { ticket, outcome } => {
                if let Some(answer) = self.waiting.remove(&ticket) {
                    // the caller may have gone; what is published stays published
                    let _ = answer.send(outcome);
                }
            }
            Effect::Commit(commit) => self.write(own, Job::Commit(commit)),
            Effect::Freshen { checkpoint, wall_ms, ordered } => {
                self.write(own, Job::Freshen { checkpoint, wall_ms, ordered });
            }
            Effect::Store(store) => self.write(store.log, Job::Store(store)),
            Effect::Send { session, message } => {
                let Some(outgoing) = self.sessions.get(&session) else { return };
                let Err(why) = outgoing.send(message) else { return };
                self.sessions.remove(&session);
                match why {
                    Unsent::NotTaken => {
                        warn!(session = session.0, "partner does not take its messages, closing");
                    }
                    // each partner that stops or begins again
                    Unsent::Gone => debug!(session = session.0, "the session has ended"),
                }
            }
            Effect::SendRange(range) => {
                if let Some(outgoing) = self.sessions.get(&range.session) {
                    let outgoing = outgoing.clone();
                    let driver = self.handle.clone();
                    self.surroundings.ranges.send(range, outgoing, driver, &self.shutdown);
                }
            }
            Effect::Attest(order) => self.surroundings.witness.send(witness::Job::Attest(order)),
            Effect::KeepReceipt(it) => {
                self.surroundings.witness.send(witness::Job::Keep(witness::Record::Receipt(it)));
            }
            Effect::KeepCosigned(it) => {
                self.surroundings.witness.send(witness::Job::Keep(witness::Record::Cosigned(it)));
            }
            Effect::Examine(examination) => {
                let driver = self.handle.clone();
                self.surroundings.ranges.examine(examination, driver, &self.shutdown);
            }
            Effect::Look(it) => {
                let driver = self.handle.clone();
                self.surroundings.ranges.look(it, driver, &self.shutdown);
            }
            Effect::KeepEvidence { log, raw, begin_again } => {
                self.surroundings.witness.send(witness::Job::Evidence { log, raw, begin_again });
            }
            Effect::KeepReset(reset) => {
                self.surroundings.witness.send(witness::Job::Reset(reset));
            }
            Effect::ShowCharters(asked) => {
                if let Some(outgoing) = self.sessions.get(&asked.session) {
                    self.surroundings.charters.show(asked, outgoing.clone(), &self.shutdown);
                }
            }
            Effect::VerifyCharters(told) => {
                charters::verify(told, self.handle.clone(), &self.shutdown);
            }
            Effect::FollowCharters(told) => self.surroundings.charters.follow(told),
            Effect::BeginAgain { log } => {
                info!(%log, "the epochs of this log are looked at anew, the node begins again");
                self.shutdown.request(StopCause::Epoch { log });
            }
            Effect::SetAside { log } => {
                self.surroundings.witness.send(witness::Job::SetAside(log));
            }
            Effect::Close { session, reason } => self.close(session, &reason),
            Effect::Report(notice) => self.report(notice),
        }
    }

    pub(crate) fn show(&mut self, status: Status) {
        self.surroundings.show.show(status);
    }

    fn write(&self, log: LogId, job: Job) {
        if !self.surroundings.writers.send(log, job) {
            // only after its thread died, which stops the node
            error!(%log, "the writer of this log is gone");
        }
    }

    fn close(&mut self, session: SessionId, reason: &CloseReason) {
        let Some(outgoing) = self.sessions.remove(&session) else { return };
        outgoing.close();
        match reason {
            CloseReason::Duplicate => info!(session = session.0, "closing the second stream"),
            CloseReason::Silent => warn!(session = session.0, "partner is silent, closing"),
            CloseReason::Fault(fault) => {
                warn!(
                    session = session.0,
                    cause = chain(fault),
                    "partner broke the protocol, closing"
                );
            }
        }
    }

    fn report(&self, notice: Notice) {
        if let Some(act) = traced(&notice) {
            self.surroundings.audit.note(act);
        }
        let metrics = &self.surroundings.metrics;
        match notice {
            Notice::Replication(report) => self.replication(report),
            Notice::FenceOpened => {
                self.surroundings.witness.send(witness::Job::Settled(true));
                info!("partners confirmed the own log, publishing is open");
            }
            Notice::FenceOpenedUnfenced { waited_ms } => {
                metrics.opened_unfenced();
                self.surroundings.witness.send(witness::Job::Settled(true));
                warn!(waited_ms, "nobody confirmed the own log, publishing opens by policy");
            }
            Notice::FenceClosed { state, why } => {
                metrics.fence_closed(why);
                warn!(state, why, "publishing is closed");
            }
            Notice::Recovered { from, upto } => {
                warn!(from, upto, "entries of the own log came back from partners");
            }
            Notice::Copied { size, unix_seconds } => {
                self.surroundings.witness.send(witness::Job::Settled(false));
                error!(
                    size,
                    unix_seconds,
                    "another copy of this node signs with the same keys; publishing is closed \
                     until a restart: stop all copies but one first"
                );
            }
            Notice::OwnLogFailed => error!("the own log cannot be written until a restart"),
            Notice::Unsigned => error!("a key of this Land does not sign, trying again"),
            Notice::LogFailed { log } => error!(%log, "this log cannot be written until a restart"),
        }
    }

    fn replication(&self, report: Report) {
        let metrics = &self.surroundings.metrics;
        match report {
            Report::PeerFault { peer, fault } => {
                metrics.peer_fault(peer.land, fault.label());
                warn!(peer.land = %peer.land, peer.node, cause = chain(&fault), "peer fault");
            }
            Report::Lapse { peer, lapse } => {
                let is_about_charters = lapse.is_about_charters();
                let lapse = lapse.label();
                metrics.partner_lapse(peer.land, lapse);
                // each at most once in minutes for a partner
                if is_about_charters {
                    warn!(
                        peer.land = %peer.land, peer.node, lapse,
                        "a partner that runs under a later charter told none that this node can \
                         follow; if no other does, give it the charters of one (`registry charter \
                         export`)"
                    );
                } else {
                    debug!(peer.land = %peer.land, peer.node, lapse, "partner lapse");
                }
            }
            Report::LogStopped { peer, fault } => {
                // the fault is the owner's, not that of who shows it
                metrics.peer_fault(fault.log().land, fault.label());
                error!(
                    log = %fault.log(), peer.land = %peer.land, peer.node, cause = chain(&fault),
                    "a log is no longer accepted; its verified part stays served"
                );
            }
            Report::EpochEnded { peer, log, size } => {
                warn!(
                    %log, size, peer.land = %peer.land, peer.node,
                    "this epoch of a log has ended; what was signed beyond does not count"
                );
            }
            Report::OverQuota { log } => {
                warn!(
                    %log,
                    "this log brought more than two days of the quota of the charter; more of it \
                     is taken as the quota refills"
                );
            }
            Report::Ahead { log, ms } => {
                warn!(
                    %log, ahead_s = ms / 1_000,
                    "the owner of this log signs times that are too far ahead of the clock here to \
                     count as newer, so the log looks stale; compare both clocks with NTP"
                );
            }
            Report::Replayed { peer, log, first } => {
                metrics.peer_fault(peer.land, REPLAYED_HEAD);
                // it may do that as often as it may tell heads
                if first {
                    warn!(
                        peer.land = %peer.land, peer.node, %log,
                        "partner shows an older head than before; further ones are only counted"
                    );
                }
            }
            Report::Refused { peer, log } => {
                metrics.partner_lapse(peer.land, "refused");
                warn!(peer.land = %peer.land, peer.node, %log, "partner does not serve this log");
            }
            // nothing unusual while a vote is counted; status and metrics say when it lasts
            Report::LaterCharter { peer, number } => {
                info!(
                    peer.land = %peer.land, peer.node, number,
                    "partner runs under a later charter; if its votes do not come in the logs, \
                     partners are asked for what proves it"
                );
            }
        }
    }
}

/// The line of a notice; what partners can cause as often as they like has none.
fn traced(notice: &Notice) -> Option<Act> {
    Some(match notice {
        Notice::Replication(Report::LogStopped { peer, fault }) => {
            let shown_by = format!("{}, shown by {}", chain(fault), peer.node);
            Act::new("log.stop", "OK").on(fault.log().to_string()).because(shown_by)
        }
        Notice::Replication(Report::EpochEnded { peer, log, size }) => {
            let told_by = format!("{size} entries count, told by {}", peer.node);
            Act::new("epoch.end", "OK").on(log.to_string()).because(told_by)
        }
        Notice::FenceOpened => Act::new("fence.open", "OK"),
        Notice::FenceOpenedUnfenced { waited_ms } => {
            Act::new("fence.unfenced", "OK").because(format!("nobody answered for {waited_ms} ms"))
        }
        Notice::FenceClosed { state, .. } => Act::new("fence.close", "OK").because(state.clone()),
        Notice::Recovered { from, upto } => {
            Act::new("log.recover", "OK").because(format!("entries {from} to {upto}, exclusive"))
        }
        Notice::Copied { size, .. } => {
            Act::new("fence.copied", "FAILED").because(format!("a copy signed {size} entries"))
        }
        Notice::OwnLogFailed => Act::new("log.write", "FAILED"),
        Notice::LogFailed { log } => Act::new("log.write", "FAILED").on(log.to_string()),
        Notice::Unsigned
        | Notice::Replication(
            Report::PeerFault { .. }
            | Report::Lapse { .. }
            | Report::Replayed { .. }
            | Report::Refused { .. }
            | Report::LaterCharter { .. }
            | Report::OverQuota { .. }
            | Report::Ahead { .. },
        ) => return None,
    })
}

/// A head that is older than one shown before, beside the faults that have a type.
const REPLAYED_HEAD: &str = "replayed_head";
