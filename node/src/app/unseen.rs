//! The end of the own log that nobody else had seen and that is not what partners have: somebody went on
//! from a copy without it. It is set aside before anything reads the journal, and the log goes on as
//! partners have it.

use registry_core::replicate::seen_by_others;
use registry_journal::Reader;
use registry_proto::terms::LogId;
use tracing::error;

use super::{
    StartError, foundation,
    logs::{Logs, LogsError},
};
use crate::{
    audit::{Act, Audit},
    config::Config,
    epochs::{Listed, Resets},
};

/// How many entries of the own log others have seen, if what is here beyond is to be set aside.
pub(super) fn seen(config: &Config, own: LogId) -> Result<Option<u64>, StartError> {
    if !Resets::of(&config.data_dir).is_contradicted(own) {
        return Ok(None);
    }
    let ledger = foundation::open_ledger(config)?;
    let receipts: Vec<_> = ledger.receipts().read().newest().cloned().collect();
    let cosigned: Vec<_> = ledger.agreed().cloned().collect();
    Ok(Some(seen_by_others(own, &receipts, &cosigned)))
}

/// Lists durably what is behind the first `seen` entries, and says how many that are: whoever published
/// them may have been told that they are durable.
pub(super) fn listed(
    log: LogId,
    reader: &Reader,
    seen: u64,
    resets: &Resets,
) -> Result<u64, LogsError> {
    let (mut next, mut listed) = (seen, Vec::new());
    while next < reader.size() {
        let read = reader.read(next, CHUNK_BYTES, CHUNK_ENTRIES);
        let entries = read.map_err(|source| LogsError::OwnLog { log, index: next, source })?;
        for it in entries.iter().filter_map(|it| Listed::of(&it.header)) {
            error!(
                position = %format_args!("{log}/{}", it.index), kind = ?it.kind, object = ?it.object,
                "this entry of the own log no longer counts: only this node had it"
            );
            listed.push(it);
        }
        next += entries.len() as u64;
    }
    resets.list_aside(log, listed).map_err(LogsError::Resets)?;
    Ok(reader.size().saturating_sub(seen))
}

/// Leaves a line in the audit log.
pub(super) fn audited(own: LogId, logs: &Logs, audit: &Audit) {
    if logs.set_aside > 0 {
        let entries = logs.set_aside;
        let why = format!("{entries} entries at its end that only this node had: {BY_PARTNERS}");
        audit.note(Act::new("log.set_aside", "OK").on(own.to_string()).because(why));
    }
}

pub(super) const BY_PARTNERS: &str = "partners have another history, which nobody here had seen";
const CHUNK_BYTES: usize = 4 << 20;
const CHUNK_ENTRIES: usize = 1_000;
