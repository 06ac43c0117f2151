//! What a node keeps about logs beside the logs: evidence against owners, receipts and
//! cosignatures of all Länder. It signs those of its own Land.
//!
//! One thread owns the files, so that the driver never waits for a disk.

pub mod evidence;
pub mod ledger;
mod marks;
pub mod place;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use registry_core::{node::Input, replicate::Attest};
use registry_proto::{
    charter::Charter,
    epoch::TakenReset,
    log::{Cosigned, LogSigner},
    receipt::SignedReceipt,
    terms::{Land, LogId},
};
use tracing::{error, info};

pub use evidence::{Cabinet, CabinetError};
pub(crate) use ledger::Record;
pub use ledger::{Ledger, LeftOut, Receipts};
use marks::Marks;
pub use place::Place;
pub(crate) use place::here;

use crate::{
    driver::Handle,
    epochs::Resets,
    lifecycle::{Shutdown, StopCause, TaskKind, chain},
    observe::Metrics,
};

/// Work for the thread.
///
/// The queue has no bound of its own: the core keeps evidence once for each log, has one statement
/// about each log under way, and takes from partners no faster than their limits let them tell.
#[derive(Debug)]
pub(crate) enum Job {
    /// Keep evidence, and have the node begin again if that is asked for.
    Evidence { log: LogId, raw: Bytes, begin_again: bool },
    /// Sign what this Land states, and keep it.
    Attest(Attest),
    /// Keep what a Land states.
    Keep(Record),
    /// Keep a reset, and have the node begin again.
    Reset(TakenReset),
    /// Remember that what is here of an epoch is not what counts, and have the node begin again.
    SetAside(LogId),
    /// Remember whether the own log is the only one.
    Settled(bool),
}

/// What the thread works with.
#[derive(Debug)]
pub struct Setup {
    /// Where evidence is.
    pub cabinet: Cabinet,
    /// Where receipts and cosignatures are.
    pub ledger: Ledger,
    /// Where resets are.
    pub resets: Resets,
    /// Asked to stop when one is kept.
    pub begins_again: Shutdown,
    /// What remembers where the own log stands.
    pub place: Place,
    /// The charter.
    pub charter: Charter,
    /// The Land of this node.
    pub land: Land,
    /// Its keys.
    pub signer: LogSigner,
    /// Who is told what was signed.
    pub driver: Handle,
    /// Where numbers go.
    pub metrics: Arc<Metrics>,
}

/// The way to the thread that keeps.
#[derive(Debug)]
pub struct Keeper {
    queue: Sender<Job>,
}

// === impl Keeper ===

impl Keeper {
    /// Starts the thread; it ends when the keeper is dropped, and keeps first what is queued.
    ///
    /// # Errors
    ///
    /// The operating system gives no thread.
    pub fn start(setup: Setup, shutdown: &Shutdown) -> std::io::Result<Self> {
        let (queue, jobs) = channel();
        shutdown.spawn_thread(TaskKind::Driver, "witness", move || setup.run(&jobs))?;
        Ok(Self { queue })
    }

    pub(crate) fn send(&self, job: Job) {
        if self.queue.send(job).is_err() {
            // only after its thread died, which stops the node
            error!("the thread that keeps evidence is gone");
        }
    }
}

// === impl Setup ===

impl Setup {
    fn run(mut self, jobs: &Receiver<Job>) {
        self.metrics.set_receipts(self.ledger.receipts().read().len());
        let mut marks = Marks::of(self.resets.clone(), self.begins_again.clone());
        while let Ok(first) = marks.next(jobs, AGAIN_EVERY) {
            let waiting = jobs.try_iter().take(GROUP_MAX - 1);
            let group: Vec<Job> = first.into_iter().chain(waiting).collect();
            marks.set(&group);
            // a driver that is gone has nobody to tell; what was kept is durable all the same
            if self.work(group).is_err() {
                return;
            }
        }
    }

    /// Does what waits, with one sync for all receipts and cosignatures.
    fn work(&mut self, group: Vec<Job>) -> Result<(), crate::driver::Stopping> {
        let mut records = Vec::new();
        let mut answers = Vec::new();
        for job in group {
            match job {
                Job::Evidence { log, raw, begin_again } => {
                    self.keep_evidence(log, &raw, begin_again);
                }
                Job::Keep(record) => records.push(record),
                Job::Reset(reset) => self.keep_reset(&reset),
                // set by who called, and tried again
                Job::SetAside(_) => {}
                Job::Settled(settled) => self.settle(settled),
                Job::Attest(order) => {
                    let (receipt, cosigned) = self.sign(&order);
                    records.extend(receipt.clone().map(Record::Receipt));
                    answers.push((order.log, receipt, cosigned));
                }
            }
        }
        let kept = records.is_empty() || self.keep(&records);
        for (log, receipt, cosigned) in answers {
            // a receipt that is not durable was never given
            let receipt = receipt.filter(|_| kept).map(Box::new);
            let cosigned = cosigned.map(Box::new);
            self.driver.input_blocking(Input::Attested { log, receipt, cosigned })?;
        }
        Ok(())
    }

    fn keep(&mut self, records: &[Record]) -> bool {
        let kept = self.ledger.keep(records);
        if let Err(failure) = &kept {
            error!(cause = chain(failure), "receipts and cosignatures cannot be kept");
        }
        self.metrics.set_receipts(self.ledger.receipts().read().len());
        kept.is_ok()
    }

    fn keep_evidence(&self, log: LogId, raw: &Bytes, begin_again: bool) {
        match self.cabinet.keep(log, raw, &self.charter) {
            Ok(path) => {
                info!(%log, path = %path.display(), begin_again, "evidence is kept");
                if begin_again {
                    self.begins_again.request(StopCause::Epoch { log });
                }
            }
            // the log stays stopped, and partners show the evidence again after a restart
            Err(failure) => error!(%log, cause = chain(&failure), "evidence cannot be kept"),
        }
    }

    fn keep_reset(&self, reset: &TakenReset) {
        let log = reset.said().log;
        match self.resets.keep(reset) {
            Ok(()) => {
                info!(%log, "the reset is kept, the node begins again");
                self.begins_again.request(StopCause::Epoch { log });
            }
            // partners tell it again after a restart
            Err(failure) => error!(%log, cause = chain(&failure), "the reset cannot be kept"),
        }
    }

    fn settle(&self, settled: bool) {
        let done = if settled { self.place.settle() } else { self.place.unsettle() };
        if let Err(failure) = done {
            error!(cause = chain(&failure), settled, "cannot remember where the own log stands");
        }
    }

    fn sign(&self, order: &Attest) -> (Option<SignedReceipt>, Option<Cosigned>) {
        let unsigned = |failure: &ed25519_dalek::SignatureError| {
            error!(log = %order.log, cause = chain(failure), "cannot state what is held");
        };
        let receipt = order
            .receipt
            .as_ref()
            .and_then(|it| it.sign(self.charter.id(), &self.signer).inspect_err(unsigned).ok());
        let seconds = self.driver.clock().wall_ms() / 1_000;
        let seconds = u64::try_from(seconds).unwrap_or_default();
        let cosigned = order.checkpoint.as_ref().and_then(|signed| {
            let owner = self.charter.member(signed.checkpoint.origin.log.land)?;
            let keys = owner.keyring();
            let keys = keys.keys_of(signed);
            let cosigned = Cosigned::sign(signed, keys, self.land, &self.signer, seconds);
            cosigned.inspect_err(unsigned).ok()
        });
        (receipt, cosigned)
    }
}

/// A mark that could not be set is tried again.
const AGAIN_EVERY: Duration = Duration::from_secs(2);
/// Jobs done with one sync.
const GROUP_MAX: usize = 256;
