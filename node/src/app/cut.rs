//! Entries on disk that do not count by the charter in force: they are set aside before anything
//! reads the journal, so that no part of the node has to ask whether an entry counts.

use registry_journal::{Journal, OpenError};
use registry_proto::{
    charter::{LogCut, Member},
    log::{Origin, OwnerKeys},
    terms::LogId,
};
use tracing::warn;

use super::kept::begins_with;

/// How many entries of a journal may stay, if not all of them count.
///
/// Behind the end of the log of a member that was suspended or removed nothing counts, and behind
/// the place where the keys of a log were replaced only what the keys after them signed. Who holds
/// another history at that place than the charter names holds nothing that counts.
pub(super) fn beyond(journal: &mut Journal, owner: &Member, origin: &Origin) -> Option<u64> {
    let keys = owner.keyring();
    let newest = journal.reader().last_checkpoint();
    let signed = newest.is_none_or(|it| {
        // what a reset keeps counts by that, and not by a key of the log
        let note = it.record.note;
        note.is_empty() || keys.verify(&note, origin).is_ok()
    });
    let replaced = owner.replaced_at().filter(|_| !signed);
    let cuts = [owner.cut(), replaced].into_iter().flatten();
    cuts.filter_map(|cut| beyond_cut(journal, cut, origin.log)).min()
}

fn beyond_cut(journal: &mut Journal, cut: LogCut, log: LogId) -> Option<u64> {
    let size = journal.reader().size();
    if log.epoch > cut.epoch {
        // all of it stands behind
        return Some(0).filter(|_| size > 0);
    }
    if log.epoch < cut.epoch || size < cut.size {
        return None;
    }
    match begins_with(journal, cut.size, &cut.root) {
        Ok(false) => Some(0).filter(|_| size > 0),
        Ok(true) => Some(cut.size).filter(|_| size > cut.size),
        // damage is reported when the journal is opened; nothing behind it is given to anyone
        Err(_) => Some(cut.size).filter(|_| size > cut.size),
    }
}

/// Takes away what stands behind the first `upto` entries, and says why. The journal has to be opened
/// again.
pub(super) fn set_aside(
    log: LogId,
    journal: Journal,
    upto: u64,
    why: &'static str,
) -> Result<(), OpenError> {
    let size = journal.reader().size();
    let retreat = journal.retreat(upto)?;
    let files: Vec<_> = retreat.aside.iter().map(|it| it.display().to_string()).collect();
    warn!(
        %log, from = retreat.size, to = size, files = files.join(", "), why,
        "entries that do not count are set aside"
    );
    Ok(())
}
