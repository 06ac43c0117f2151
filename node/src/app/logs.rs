//! Opens the journals of all members and reads from them what the core starts with.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use registry_core::{
    log::OwnServices,
    replicate::{RecoveredLog, Seen},
};
use registry_journal::{EraseError, Journal, Label, OpenError, Options, Part, ReadError, Reader};
use registry_proto::{
    charter::Member,
    epoch::TakenReset,
    evidence::Equivocation,
    log::{Header, Origin, leaf_hash},
    terms::{Land, LogId},
};
use tracing::{error, info, warn};

use super::{
    bodies, cut,
    gone::Gone,
    kept::{self, Fits},
    signed,
    unseen::{self, BY_PARTNERS},
};
use crate::{
    config::Config,
    driver::writer::stored_body,
    epochs::{self, Epoch, Epochs, Resets, ResetsError},
    erasure::{Ends, Erasures},
    forged::is_forged,
    lifecycle::chain,
};

/// Everything on disk.
#[derive(Debug)]
pub(super) struct Logs {
    pub(super) journals: Vec<(LogId, Journal)>,
    pub(super) readers: BTreeMap<LogId, Reader>,
    pub(super) epochs: Epochs,
    pub(super) recovered: Vec<RecoveredLog>,
    pub(super) services: OwnServices,
    pub(super) erasures: Erasures,
    /// What proves that owners signed two histories.
    pub(super) evidence: Vec<Bytes>,
    /// Findings of damage in the journals of a Land.
    pub(super) damage: BTreeMap<Land, u64>,
    /// Entries of the own log that were set aside, because nobody had seen them and partners have others.
    pub(super) set_aside: u64,
    /// How much of the own log others are known to have seen.
    pub(super) seen: Seen,
}

/// Why the logs cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// A journal cannot be opened.
    #[error("cannot open the journal of {log} in {}", .dir.display())]
    Open {
        /// The log.
        log: LogId,
        /// Its directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// Erasures cannot be carried out: nothing is served from a disk that may hold what is erased.
    #[error("cannot carry out erasures in the journal of {log}")]
    Erase {
        /// The log.
        log: LogId,
        /// Why.
        #[source]
        source: EraseError,
    },
    /// The lists of erasures cannot be used.
    #[error("cannot read the lists of erasures")]
    Erasures(#[source] std::io::Error),
    /// What is known of epochs cannot be used.
    #[error("cannot use what is known of the epochs of logs")]
    Resets(#[source] ResetsError),
    /// The own log cannot be read; publishing needs to know what is published.
    #[error("cannot read {log}/{index} of the own log; the records of partners can repair it")]
    OwnLog {
        /// The log.
        log: LogId,
        /// Entry.
        index: u64,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The opening task died.
    #[error("the opening task died")]
    Task(#[source] tokio::task::JoinError),
}

/// Opens everything on a thread that may wait for disks. `evidence` is what is known of owners that
/// signed two histories, `stated` what others have stated of the own log.
pub(super) async fn open(
    config: &Config,
    own: LogId,
    taken: Vec<TakenReset>,
    evidence: Vec<Equivocation>,
    stated: Vec<Seen>,
) -> Result<Logs, LogsError> {
    let dir = config.data_dir.join("journal");
    let verbund = *config.charter.id().as_bytes();
    let charter = config.charter.clone();
    let all = epochs::all(&config.charter, &taken);
    let (data_dir, resets) = (config.data_dir.clone(), Resets::of(&config.data_dir));
    let forked: BTreeSet<LogId> = evidence.iter().map(Equivocation::log).collect();
    let opened = tokio::task::spawn_blocking(move || {
        let erasures =
            Erasures::open(&data_dir, all.iter().map(|it| it.log)).map_err(LogsError::Erasures)?;
        let mut logs = Logs {
            journals: Vec::new(),
            readers: BTreeMap::new(),
            epochs: Epochs { taken, counts: BTreeMap::new() },
            recovered: Vec::new(),
            services: OwnServices::default(),
            erasures,
            evidence: evidence.iter().map(|it| it.raw().clone()).collect(),
            damage: BTreeMap::new(),
            set_aside: 0,
            seen: Seen::default(),
        };
        let (mut kept_here, mut gone) = (BTreeSet::new(), Gone::default());
        for Epoch { log, ends } in all {
            let dir = dir.join(log.land.code()).join(log.epoch.to_string());
            let (mut journal, damage) = open_one(log, &dir, verbund)?;
            *logs.damage.entry(log.land).or_default() += damage;
            // what this node wrote itself it keeps: if it counts again, nobody else has it
            let member = charter.member(log.land).filter(|_| log.land != own.land);
            let origin = Origin { verbund: charter.id(), log };
            if let Some(owner) = member {
                let findings;
                let known = (forked.contains(&log), ends.is_some(), &resets);
                (journal, findings) = counted(&dir, verbund, journal, (owner, &origin), known)?;
                *logs.damage.entry(log.land).or_default() += findings;
            }
            if log == own && ends.is_none() {
                (journal, logs.set_aside) =
                    without_unseen(log, &dir, verbund, journal, (&stated, &resets, &mut gone))?;
                logs.seen = unseen::seen(&journal.reader(), &stated);
            }
            let mut is_kept = false;
            if let Some((size, root)) = ends {
                let doubtful = forked.contains(&log) || resets.is_contradicted(log);
                let fits = kept::fits(&mut journal, size, &root);
                (journal, is_kept) = settled(log, &dir, verbund, journal, (fits, doubtful))?;
                resets.settle(log).map_err(LogsError::Resets)?;
            }
            let reader = journal.reader();
            let here = reader.size();
            let ended = ends.map(|(counts, _)| Ends { counts, known: here.max(counts) });
            logs.epochs.counts.extend(ended.map(|it| (log, it.counts)));
            logs.erasures.opened(log, here, ended);
            logs.readers.insert(log, reader);
            logs.journals.push((log, journal));
            kept_here.extend(is_kept.then_some(log));
        }
        for (log, journal) in &mut logs.journals {
            let (log, reader) = (*log, journal.reader());
            let resumed = logs.erasures.resume(log, journal);
            resumed.map_err(|source| LogsError::Erase { log, source })?;
            let mut recovered = recover(log, &reader)?;
            recovered.kept = kept_here.contains(&log);
            if log.land == own.land {
                let counts = logs.epochs.counts.get(&log).copied().unwrap_or_else(|| reader.size());
                recovered.pulled_from =
                    read_own(log, &reader, counts, &mut logs.services, &mut gone)?;
            }
            logs.recovered.push(recovered);
        }
        say_again(own, gone, &mut logs.services);
        // what later epochs erase is known only now
        for (log, journal) in &mut logs.journals {
            let settled = logs.erasures.settle(*log, journal);
            settled.map_err(|source| LogsError::Erase { log: *log, source })?;
        }
        Ok(logs)
    });
    opened.await.map_err(LogsError::Task)?
}

/// Opens a journal; how many findings of damage there are in it.
fn open_one(log: LogId, dir: &Path, verbund: [u8; 32]) -> Result<(Journal, u64), LogsError> {
    let label = Label { verbund, land: log.land.code().to_owned(), epoch: log.epoch };
    let mut told = Instant::now();
    let mut progress = |it: registry_journal::OpenProgress| {
        if told.elapsed() > PROGRESS_EVERY {
            told = Instant::now();
            info!(%log, progress = ?it, "opening the journal");
        }
    };
    let (journal, report) = Journal::open(dir, &label, Options::default(), &mut progress)
        .map_err(|source| LogsError::Open { log, dir: dir.to_owned(), source })?;
    if report.cut_bytes > 0 {
        warn!(%log, bytes = report.cut_bytes, entries = report.entries_dropped, "cut a torn tail");
    }
    for finding in report.findings.iter().take(FINDINGS_TOLD_MAX) {
        error!(%log, ?finding, "damage in the journal; the entry can be repaired from a partner");
    }
    Ok((journal, report.findings.len() as u64))
}

/// What of the journal of another Land counts by the charter and is signed by its owner, unless that is
/// known to have signed two histories; the rest is set aside. With it the number of findings of damage.
fn counted(
    dir: &Path,
    verbund: [u8; 32],
    journal: Journal,
    (owner, origin): (&Member, &Origin),
    (is_forked, has_ended, resets): (bool, bool, &Resets),
) -> Result<(Journal, u64), LogsError> {
    let log = origin.log;
    let mut journal = journal;
    if let Some(upto) = cut::beyond(&mut journal, owner, origin) {
        journal = shortened(log, dir, verbund, journal, (upto, BY_CHARTER))?;
    }
    if signed::may_be_signed(&journal.reader(), owner, origin, is_forked) {
        // of a log with two histories that nobody has reset, nobody brings anything again
        let comes_again = !is_forked || has_ended;
        return match resets.is_forged(log) && comes_again {
            true => without_forged(log, dir, verbund, journal, resets),
            false => Ok((journal, 0)),
        };
    }
    error!(
        %log, "damage in the journal: it holds entries that its owner did not sign, somebody changed it \
        on this disk; partners bring it again"
    );
    let journal = shortened(log, dir, verbund, journal, (0, NOT_SIGNED))?;
    resets.settle_forged(log).map_err(LogsError::Resets)?;
    Ok((journal, 1))
}

/// What stands before the first body that its owner did not sign; the rest is set aside. With it the
/// number of findings of damage.
fn without_forged(
    log: LogId,
    dir: &Path,
    verbund: [u8; 32],
    journal: Journal,
    resets: &Resets,
) -> Result<(Journal, u64), LogsError> {
    let found = bodies::first_forged(&journal.reader());
    let (mut journal, mut findings) = (journal, 0);
    if let Some(index) = found {
        error!(
            %log, index, "damage in the journal: a body that its owner did not sign; partners bring it again"
        );
        // only whole groups can go
        let kept = journal.whole_groups(index);
        let kept = kept.map_err(|source| LogsError::Open { log, dir: dir.to_owned(), source })?;
        journal = shortened(log, dir, verbund, journal, (kept, NOT_SIGNED))?;
        findings = 1;
    }
    resets.settle_forged(log).map_err(LogsError::Resets)?;
    Ok((journal, findings))
}

/// Sets aside what is in a journal if it is another history than its reset keeps, or in doubt; whether
/// what is there then is known to be kept.
fn settled(
    log: LogId,
    dir: &Path,
    verbund: [u8; 32],
    journal: Journal,
    found: (Fits, bool),
) -> Result<(Journal, bool), LogsError> {
    match found {
        (Fits::Yes, _) => return Ok((journal, true)),
        (Fits::Unknown, false) => return Ok((journal, false)),
        (Fits::Damaged(damage), _) => {
            let cause = chain(&damage);
            error!(%log, cause, "cannot tell whether this is what the reset of the epoch keeps");
            return Ok((journal, false));
        }
        (Fits::No, _) | (Fits::Unknown, true) => {}
    }
    Ok((shortened(log, dir, verbund, journal, (0, BY_RESET))?, true))
}

/// The own log without its end, and how many entries that were, if nobody has seen them and partners
/// have others.
fn without_unseen(
    log: LogId,
    dir: &Path,
    verbund: [u8; 32],
    journal: Journal,
    (stated, resets, gone): (&[Seen], &Resets, &mut Gone),
) -> Result<(Journal, u64), LogsError> {
    if !resets.is_contradicted(log) {
        return Ok((journal, 0));
    }
    let reader = journal.reader();
    // only whole groups can go
    let kept = journal.whole_groups(unseen::seen(&reader, stated).size);
    let kept = kept.map_err(|source| LogsError::Open { log, dir: dir.to_owned(), source })?;
    gone.hear_aside(&reader, kept);
    let set_aside = unseen::listed(log, &reader, kept, resets)?;
    let journal = shortened(log, dir, verbund, journal, (kept, BY_PARTNERS))?;
    resets.settle(log).map_err(LogsError::Resets)?;
    Ok((journal, set_aside))
}

/// Sets aside what stands behind the first so many entries of a journal, and says why.
fn shortened(
    log: LogId,
    dir: &Path,
    verbund: [u8; 32],
    journal: Journal,
    (upto, why): (u64, &'static str),
) -> Result<Journal, LogsError> {
    let unmoved = |source| LogsError::Open { log, dir: dir.to_owned(), source };
    cut::set_aside(log, journal, upto, why).map_err(unmoved)?;
    Ok(open_one(log, dir, verbund)?.0)
}

fn recover(log: LogId, reader: &Reader) -> Result<RecoveredLog, LogsError> {
    let size = reader.size();
    let last_recorded_ms = match size.checked_sub(1).map(|last| reader.entry(last)) {
        Some(Ok(entry)) => Header::parse(&entry.header).map_or(0, |it| it.recorded_unix_ms),
        // damage there is reported above; time only needs to go forward from what is known
        Some(Err(_)) | None => 0,
    };
    let last = reader.last_checkpoint();
    Ok(RecoveredLog {
        log,
        frontier: reader.frontier(),
        head_proof: last.as_ref().map(|it| it.record.proof.clone()).unwrap_or_default(),
        head: last.map(|it| it.record.note),
        complete: reader.last_complete_checkpoint().map(|it| it.record.note),
        last_recorded_ms,
        pulled_from: None,
        kept: false,
    })
}

/// Takes the records of an epoch of the own Land in, as far as they count; the first of its newest
/// entries that came from partners.
fn read_own(
    log: LogId,
    reader: &Reader,
    counts: u64,
    services: &mut OwnServices,
    gone: &mut Gone,
) -> Result<Option<u64>, LogsError> {
    let mut pulled_from = None;
    let mut next = 0;
    while next < reader.size().min(counts) {
        let entries = reader
            .read(next, CHUNK_BYTES, CHUNK_ENTRIES)
            .map_err(|source| LogsError::OwnLog { log, index: next, source })?;
        for entry in entries.iter().filter(|it| it.index < counts) {
            pulled_from = (!entry.from.is_empty()).then(|| pulled_from.unwrap_or(entry.index));
            // what this node signed parses; what a later version signed is no record it knows
            if let Ok(header) = Header::parse(&entry.header) {
                if is_forged(&header, entry) {
                    let damage = ReadError::Damaged { index: entry.index, part: Part::Body };
                    return Err(LogsError::OwnLog { log, index: entry.index, source: damage });
                }
                let body = stored_body(entry).map(|it| it.as_ref());
                services.learn(&header, leaf_hash(&entry.header), body);
                gone.look(entry, &header);
            }
        }
        next += entries.len() as u64;
    }
    gone.look_beyond(reader, counts);
    Ok(pulled_from)
}

/// Has the node say again the erasures of its Land that were discarded or set aside, unless partners bring
/// them back first.
fn say_again(own: LogId, gone: Gone, services: &mut OwnServices) {
    let erasures = gone.tell(services);
    if erasures > 0 {
        info!(log = %own, erasures, "erasures that no log holds any more are said again in this one");
    }
}

const BY_CHARTER: &str = "behind the end of the log by the charter in force";
const NOT_SIGNED: &str = "not what the owner of the log signed";
const BY_RESET: &str = "not known to be the history that the reset of this epoch keeps";
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
const FINDINGS_TOLD_MAX: usize = 20;
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ENTRIES: usize = 10_000;
