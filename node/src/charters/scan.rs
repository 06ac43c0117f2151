//! Reads the votes from the journals.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use registry_core::{
    authorize::PeerIdentity,
    charter::{Chain, NotFollowed, decision},
    replicate::ProvedCharters,
};
use registry_journal::Reader;
use registry_proto::{
    charter::{Charter, CharterVote},
    log::{Hash, Header, Kind, leaf_hash},
    terms::LogId,
    wire::registry::CharterDecision,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    decisions::{self, Decisions},
    sources::{self, Sources},
};
use crate::forged::{Forged, genuine_body};

/// How far each journal was read, and what came of it.
#[derive(Debug)]
pub(super) struct Scan {
    chain: Chain,
    known: Known,
    sources: Sources,
    /// What became of charters that a partner told, until it was fetched.
    followed: Vec<Followed>,
    /// Verified for the charters of the chain.
    proved: Decisions,
    /// Those of them that were told or kept, and not held against the votes here yet: what is here is
    /// what others can verify too.
    foreign: BTreeSet<u64>,
    /// Those of them that are not on disk yet.
    unkept: BTreeSet<u64>,
    /// Of a step whose votes are here and do not prove it yet: how many stood under a head then.
    tried: BTreeMap<u64, usize>,
    /// That one cannot be kept was told.
    told: bool,
    data_dir: PathBuf,
    logs: BTreeMap<LogId, Log>,
    forged: Forged,
    token: CancellationToken,
}

/// Charters that are known to have been in force, and why as far as that is proved. The votes may
/// say otherwise.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) charters: Vec<Charter>,
    pub(super) decisions: Decisions,
}

/// What became of a charter that a partner told.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) number: u64,
    pub(super) digest: Hash,
    pub(super) from: PeerIdentity,
    pub(super) outcome: Result<(), NotFollowed>,
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
        Self {
            sources: sources::load(&data_dir, &known.charters),
            chain,
            known,
            followed: Vec::new(),
            proved: Decisions::new(),
            foreign: BTreeSet::new(),
            unkept: BTreeSet::new(),
            tried: BTreeMap::new(),
            told: false,
            data_dir,
            logs,
            forged: Forged::default(),
            token,
        }
    }

    /// Tells `forged` of votes that are not those their owners signed.
    pub(super) fn telling(self, forged: Forged) -> Self {
        Self { forged, ..self }
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Why charters of the chain followed, as far as that can be proved.
    pub(super) fn decisions(&self) -> &Decisions {
        &self.proved
    }

    /// From whom charters came that were adopted before their votes.
    pub(super) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// What became of charters that a partner told, since this was asked last.
    pub(super) fn followed(&mut self) -> Vec<Followed> {
        std::mem::take(&mut self.followed)
    }

    /// Whether what proves a charter, if anything does, is on disk.
    pub(super) fn is_kept(&self, number: u64) -> bool {
        !self.unkept.contains(&number)
    }

    /// Reads what is new, then goes on by what a partner told; true if votes were among it, another
    /// charter is in force, or one more is proved. Ends early when the node stops.
    pub(super) fn look(&mut self, told: Option<ProvedCharters>) -> bool {
        let (mut votes, mut entries_came) = (false, false);
        for (log, at) in &mut self.logs {
            while at.next < at.size() && !self.token.is_cancelled() {
                match at.reader.read(at.next, CHUNK_BYTES, CHUNK_ENTRIES) {
                    Ok(entries) if entries.is_empty() => break,
                    Ok(entries) => {
                        (at.told, entries_came) = (false, true);
                        let left = usize::try_from(at.size() - at.next).unwrap_or(usize::MAX);
                        for entry in entries.into_iter().take(left) {
                            votes |= take(&mut self.chain, *log, &entry, &self.forged);
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
        if let Some(told) = told {
            self.follow(told);
        }
        let grew = votes || self.chain.past().len() > before;
        if grew {
            self.hold_told();
        }
        // a head that covers the votes may come later than they, with no vote behind them
        let proved = (grew || entries_came) && self.prove();
        self.keep();
        grew || proved
    }

    /// Goes on by charters that a partner told, as far as nothing here contradicts them.
    fn follow(&mut self, told: ProvedCharters) {
        for (charter, proof) in told.steps {
            let outcome = self.chain.follow_proved(&charter, &proof);
            let (number, digest, from) = (charter.number(), charter.digest(), told.peer.clone());
            let goes_on = matches!(outcome, Ok(_) | Err(NotFollowed::NotNext));
            let outcome = outcome.map(|proof| {
                self.sources.insert(number, from.clone());
                self.foreign.insert(number);
                self.add(proof);
            });
            self.followed.push(Followed { number, digest, from, outcome });
            if !goes_on {
                break;
            }
        }
    }

    /// Holds what was told against its proofs.
    fn hold_told(&mut self) {
        for (number, it) in std::mem::take(&mut self.known.decisions) {
            match self.chain.prove(&it) {
                Ok(it) => {
                    self.foreign.insert(number);
                    self.add(it);
                }
                Err(failure) => {
                    let cause = crate::lifecycle::chain(&failure);
                    warn!(number, cause, "the proof of a charter does not hold");
                }
            }
        }
    }

    /// Proves what the votes here decided, in place of a proof with other votes too; true if that worked
    /// for one more.
    fn prove(&mut self) -> bool {
        let successors = self.chain.past().iter().skip(1).map(|it| it.charter.number());
        let told = self.chain.told();
        let is_open = |it: &u64| match self.proved.contains_key(it) {
            true => self.foreign.contains(it) && !told.contains_key(it),
            false => true,
        };
        let open: Vec<_> = successors.filter(is_open).collect();
        if open.is_empty() {
            return false;
        }
        let readers: BTreeMap<_, _> =
            self.logs.iter().map(|(log, it)| (*log, it.reader.clone())).collect();
        let mut made = false;
        for number in open {
            let Some(grounds) = self.chain.grounds(number) else { continue };
            if self.proved.get(&number).is_some_and(|it| decision::rests_on(it, &grounds)) {
                self.foreign.remove(&number);
                continue;
            }
            // nothing changes before one more of them is covered
            let covered = decisions::covered(&grounds, &readers);
            if self.tried.insert(number, covered) == Some(covered) {
                continue;
            }
            if let Some(proof) = decisions::prove(&self.chain, number, &grounds, &readers) {
                self.foreign.remove(&number);
                self.add(proof);
                made = true;
            }
        }
        made
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

/// Counts an entry if it is a vote. One that somebody wrote on this disk is none: the log is set aside from
/// there on, and what its owner said is counted when it is back.
fn take(chain: &mut Chain, log: LogId, entry: &registry_journal::Stored, forged: &Forged) -> bool {
    // what does not parse needs newer software, and is no vote this one knows
    let Ok(header) = Header::parse_shared(&entry.header) else { return false };
    if header.kind != Kind::CharterVote {
        return false;
    }
    let Some(body) = genuine_body(log, &header, entry, forged) else { return false };
    let index = entry.index;
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

const CHUNK_BYTES: usize = 128 << 10;
const CHUNK_ENTRIES: usize = 10_000;
