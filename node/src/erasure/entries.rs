//! Which entry an erasure names, whether it fits, and how its body goes.

use bytes::Bytes;
use registry_journal::{EraseError, Journal, Reader};
use registry_proto::{
    erasure::{Erasing, may_be_erased},
    log::{Hash, HashTiles, Header, Kind, leaf_hash},
    terms::LogId,
};
use tracing::error;

use super::list::{Erased, NOT_HERE, Row, UNREADABLE};
use crate::lifecycle::chain;

/// What an erasure erases, as the list of its log names it.
pub(super) fn erased(log: LogId, it: &Erasing) -> Erased {
    let earlier = it.log != log;
    Erased {
        epoch: earlier.then_some(it.log.epoch),
        index: it.index,
        leaf: earlier.then_some(it.leaf),
    }
}

/// Kind of the entry with this header, if it is the one that a later epoch erases.
pub(super) fn promised_kind(log: LogId, at: &Erased, raw: &Bytes) -> Option<Kind> {
    let header = Header::parse(raw).ok().filter(|it| it.log == log)?;
    (at.leaf == Some(leaf_hash(raw)) && may_be_erased(header.kind)).then_some(header.kind)
}

/// Kind of the entry, if the erasure erases it.
pub(super) fn erased_kind(reader: &Reader, erasing: &Erasing) -> Option<Kind> {
    let Ok(target) = reader.entry(erasing.index) else {
        // nobody can say any more what it was; its place in the tree says whether it is meant
        let is_meant = leaf_of(reader, erasing.index) == Some(erasing.leaf);
        return is_meant.then_some(UNREADABLE);
    };
    let header = Header::parse(&target.header).ok()?;
    erasing.erases(&header, &leaf_hash(&target.header)).ok().map(|()| header.kind)
}

/// Leaf of an entry as the tree has it, whatever became of the entry.
pub(super) fn leaf_of(reader: &Reader, index: u64) -> Option<Hash> {
    HashTiles::read(reader, 0, index, 1).ok()?.first().copied()
}

/// Overwrites what a row names: its kind, and whether it was there until now. `None` if that cannot be,
/// and it stays open.
pub(super) fn settle_one(
    log: LogId,
    journal: &mut Journal,
    at: &Erased,
    row: &Row,
) -> Result<Option<(Kind, bool)>, EraseError> {
    let reader = journal.reader();
    let kind = match at.leaf {
        None => row.kind,
        Some(_) if at.index >= reader.size() => NOT_HERE,
        Some(_) => match reader.entry(at.index) {
            Ok(entry) => promised_kind(log, at, &entry.header).unwrap_or(NOT_HERE),
            // its place in the tree says whether it is meant
            Err(_) => match leaf_of(&reader, at.index) {
                None => {
                    error!(%log, entry = at.index, "a damaged entry cannot be erased");
                    return Ok(None);
                }
                leaf if leaf == at.leaf => UNREADABLE,
                Some(_) => NOT_HERE,
            },
        },
    };
    if kind == NOT_HERE {
        return Ok(Some((kind, false)));
    }
    Ok(overwrite(log, journal, at.index)?.map(|now| (kind, now)))
}

/// Overwrites a body; true if it was there, `None` if it cannot be: then it stays open, and nobody is
/// told that it is done.
fn overwrite(log: LogId, journal: &mut Journal, entry: u64) -> Result<Option<bool>, EraseError> {
    match journal.erase(entry) {
        Ok(it) => Ok(Some(it == registry_journal::Erased::Now)),
        Err(failure @ (EraseError::Damaged { .. } | EraseError::OutOfRange { .. })) => {
            error!(%log, entry, cause = chain(&failure), "a body cannot be erased");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
