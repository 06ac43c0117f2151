//! Reads the votes from the journals.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use registry_core::charter::Chain;
use registry_journal::Reader;
use registry_proto::{
    charter::{Charter, CharterVote},
    log::{Header, Kind, leaf_hash},
    terms::LogId,
    wire::registry::CharterDecision,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::decisions::{self, Decisions};
use crate::driver::writer::stored_body;

/// How far each journal was read, and what came of it.
#[derive(Debug)]
pub(super) struct Scan {
    chain: Chain,
    known: Known,
    /// Verified for the charters of the chain.
    proved: Decisions,
    /// Those of them that are not on disk yet.
    unkept: BTreeSet<u64>,
    /// That one cannot be kept was told.
    told: bool,
    data_dir: PathBuf,
    logs: BTreeMap<LogId, Log>,
    token: CancellationToken,
}

/// Charters that are known to have been in force, and why as far as that is proved. The votes may
/// say otherwise.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) charters: Vec<Charter>,
    pub(super) decisions: Decisions,
}

#[derive(Debug)]
struct Log {
    reader: Reader,
    /// Entries that count, if the epoch ended.
    counts: Option<u64>,
    next: u64,
    /// An entry that cannot be read was told about.
    told: bool,
}

// === impl Scan ===

impl Scan {
    pub(super) fn new(
        chain: Chain,
        known: Known,
        readers: BTreeMap<LogId, Reader>,
        counts: &BTreeMap<LogId, u64>,
        data_dir: PathBuf,
        token: CancellationToken,
    ) -> Self {
        let logs = readers.into_iter().map(|(log, reader)| {
            let counts = counts.get(&log).copied();
            (log, Log { reader, counts, next: 0, told: false })
        });
        let logs = logs.collect();
        let (proved, unkept) = (Decisions::new(), BTreeSet::new());
        Self { chain, known, proved, unkept, told: false, data_dir, logs, token }
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Why charters of the chain followed, as far as that can be proved.
    pub(super) fn decisions(&self) -> &Decisions {
        &self.proved
    }

    /// Whether what proves a charter, if anything does, is on disk.
    pub(super) fn is_kept(&self, number: u64) -> bool {
        !self.unkept.contains(&number)
    }

    /// Reads what is new; true if votes were among it, or another charter is in force. Ends early
    /// when the node stops.
    pub(super) fn look(&mut self) -> bool {
        let mut votes = false;
        for (log, at) in &mut self.logs {
            while at.next < at.size() && !self.token.is_cancelled() {
                match at.reader.read(at.next, CHUNK_BYTES, CHUNK_ENTRIES) {
                    Ok(entries) if entries.is_empty() => break,
                    Ok(entries) => {
                        at.told = false;
                        let left = usize::try_from(at.size() - at.next).unwrap_or(usize::MAX);
                        for entry in entries.into_iter().take(left) {
                            votes |= take(&mut self.chain, *log, at.next, &entry);
                            at.next += 1;
                        }
                    }
                    // what a partner repairs is read then
                    Err(failure) => {
                        if !std::mem::replace(&mut at.told, true) {
                            let cause = crate::lifecycle::chain(&failure);
                            error!(%log, index = at.next, cause, "votes behind this are not counted");
                        }
                        break;
                    }
                }
            }
        }
        // all that is here is counted now
        let before = self.chain.past().len();
        if self.token.is_cancelled() {
            return votes;
        }
        self.chain.follow_told(&self.known.charters);
        let grew = votes || self.chain.past().len() > before;
        if grew {
            self.prove();
        }
        self.keep();
        grew
    }

    /// Holds what was told against its proofs, and proves what the votes here decided.
    fn prove(&mut self) {
        for (number, it) in std::mem::take(&mut self.known.decisions) {
            match self.chain.prove(&it) {
                Ok(()) => self.add(it),
                Err(failure) => {
                    let cause = crate::lifecycle::chain(&failure);
                    warn!(number, cause, "the proof of a charter does not hold");
                }
            }
        }
        let readers: BTreeMap<_, _> =
            self.logs.iter().map(|(log, it)| (*log, it.reader.clone())).collect();
        let successors = self.chain.past().iter().skip(1).map(|it| it.charter.number());
        for number in successors.collect::<Vec<_>>() {
            if !self.proved.contains_key(&number)
                && let Some(proof) = decisions::prove(&self.chain, number, &readers)
            {
                self.add(proof);
            }
        }
    }

    fn add(&mut self, proof: CharterDecision) {
        self.unkept.insert(proof.number);
        self.proved.insert(proof.number, proof);
    }

    /// Keeps what proves the charters, whenever they were adopted: once a later charter has replaced
    /// the keys of a log, its votes prove nothing any more.
    fn keep(&mut self) {
        let mut failed = None;
        self.unkept.retain(|number| {
            let kept = self.proved.get(number).map(|it| decisions::keep(&self.data_dir, it));
            match kept {
                None | Some(Ok(())) => false,
                Some(Err(failure)) => {
                    failed = Some((*number, failure));
                    true
                }
            }
        });
        let is_told = std::mem::replace(&mut self.told, failed.is_some());
        if let Some((number, failure)) = failed.filter(|_| !is_told) {
            let cause = crate::lifecycle::chain(&failure);
            error!(number, cause, "the proof of a charter cannot be kept; trying again");
        }
    }
}

// === impl Log ===

impl Log {
    /// Entries whose votes count.
    fn size(&self) -> u64 {
        let size = self.reader.size();
        self.counts.map_or(size, |it| it.min(size))
    }
}

fn take(chain: &mut Chain, log: LogId, index: u64, entry: &registry_journal::Stored) -> bool {
    // what does not parse needs newer software, and is no vote this one knows
    let Ok(header) = Header::parse(&entry.header) else { return false };
    if header.kind != Kind::CharterVote {
        return false;
    }
    let Some(body) = stored_body(entry) else { return false };
    match CharterVote::decode(body) {
        Ok(vote) => {
            chain.take(log, index, leaf_hash(&entry.header), &vote);
            true
        }
        Err(failure) => {
            let cause = crate::lifecycle::chain(&failure);
            warn!(%log, index, cause, "an entry is called a vote and is none");
            false
        }
    }
}

const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ENTRIES: usize = 10_000;
