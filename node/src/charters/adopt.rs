//! Keeps what follows the charter in use, and tells what became of what partners told.

use std::{path::PathBuf, sync::Arc};

use registry_core::{authorize::PeerIdentity, charter::NotFollowed, replicate::Hindrance};
use registry_proto::{charter::Charter, log::Hash};
use tracing::error;

use super::{
    can_follow, files,
    scan::{Followed, Scan},
    sources,
};
use crate::lifecycle;

/// Keeps charters, and remembers what is not kept yet.
#[derive(Debug)]
pub(super) struct Adoption {
    data_dir: PathBuf,
    used: Arc<Charter>,
    /// What was last told about a chain that cannot be followed.
    told: Option<u64>,
    /// Followed because a partner told it, and not kept yet: at most as many as one answer holds.
    pending: Vec<Step>,
}

/// How far the charters are kept.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    /// Number of the last one that was kept just now.
    pub(super) last: Option<u64>,
    /// Why the next one is not.
    pub(super) hindered: Option<(Hindrance, String)>,
}

/// A charter that a partner told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) number: u64,
    pub(super) digest: Hash,
    pub(super) from: PeerIdentity,
}

/// What is to be said about a charter that a partner told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept.
    Taken,
    /// It is proved and cannot be kept, or used; said once.
    Hindered(String),
    /// It is not followed.
    Refused(String),
}

// === impl Adoption ===

impl Adoption {
    pub(super) fn new(data_dir: PathBuf, used: Arc<Charter>) -> Self {
        Self { data_dir, used, told: None, pending: Vec::new() }
    }

    /// Keeps what follows the charter in use, as far as this software can follow it.
    pub(super) fn adopt(&mut self, scan: &Scan) -> Adopted {
        let chain = scan.chain();
        let used = usize::try_from(self.used.number()).unwrap_or(usize::MAX);
        let mut adopted = Adopted::default();
        let decided = chain.past().get(used).map(|it| it.charter.digest());
        if decided != Some(self.used.digest()) {
            let what = "the votes decided another charter than the one in use";
            // none while the journals are not read
            if let Some(digest) = decided {
                self.tell(self.used.number(), what, &digest.to_string());
            }
            adopted.hindered = Some((Hindrance::Contradicted, what.to_owned()));
            return adopted;
        }
        for next in chain.past().iter().skip(used.saturating_add(1)) {
            let number = next.charter.number();
            if let Err(cause) = self.keep(scan, &next.charter) {
                adopted.hindered = Some((Hindrance::Unusable, cause));
                break;
            }
            adopted.last = Some(number);
        }
        adopted
    }

    fn keep(&mut self, scan: &Scan, next: &Charter) -> Result<(), String> {
        let number = next.number();
        can_follow(next).inspect_err(|cause| {
            self.tell(number, "a charter is in force that this node cannot follow", cause);
        })?;
        // before the charter: what proves it may be set aside under it
        if !scan.is_kept(number) {
            return Err("its proof cannot be kept".to_owned());
        }
        let from = scan.sources().get(&number);
        let kept = from.map_or(Ok(()), |it| sources::keep(&self.data_dir, next, it));
        kept.and_then(|()| files::keep(&self.data_dir, next)).map_err(|failure| {
            let cause = lifecycle::chain(&failure);
            self.tell(number, "the charter cannot be kept; trying again", &cause);
            cause
        })
    }

    fn tell(&mut self, number: u64, what: &'static str, cause: &str) {
        if self.told.replace(number) != Some(number) {
            error!(number, cause, "{what}");
        }
    }

    /// What is to be said now: of charters that a partner told since this was asked last, and of those
    /// told before that could not be kept until now.
    pub(super) fn fates(&mut self, told: Vec<Followed>, adopted: &Adopted) -> Vec<(Step, Fate)> {
        let is_kept = |it: &Step| adopted.last.is_some_and(|last| it.number <= last);
        let mut fates = Vec::new();
        for Followed { number, digest, from, outcome } in told {
            let step = Step { number, digest, from };
            match outcome {
                Ok(()) => {
                    if !is_kept(&step) {
                        let cause = adopted.hindered.as_ref().map(|(_, cause)| cause.clone());
                        fates.push((step.clone(), Fate::Hindered(cause.unwrap_or_default())));
                    }
                    self.pending.push(step);
                }
                // the votes were faster, or it was told before
                Err(NotFollowed::NotNext) => {}
                Err(failure) => fates.push((step, Fate::Refused(lifecycle::chain(&failure)))),
            }
        }
        let taken = self.pending.extract_if(.., |it| is_kept(it));
        fates.extend(taken.map(|it| (it, Fate::Taken)));
        fates
    }
}

// === impl Adopted ===

impl Adopted {
    /// Why the node does not begin again under what a partner told; `None` if it does.
    pub(super) fn hindrance(&self, told: &[Followed]) -> Option<Hindrance> {
        if self.last.is_some() {
            return None;
        }
        let refused =
            told.iter().any(|it| !matches!(it.outcome, Ok(()) | Err(NotFollowed::NotNext)));
        let hindered = self.hindered.as_ref().map(|(why, _)| *why);
        hindered.or_else(|| refused.then_some(Hindrance::Contradicted))
    }
}
