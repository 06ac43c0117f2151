//! Where a successor says that logs end, or that other keys begin, held against what is here.

use std::collections::BTreeMap;

use registry_core::reject::Reject;
use registry_journal::Reader;
use registry_proto::{
    charter::{Change, LogCut},
    log::tree_root,
    terms::{Land, LogId},
};

use crate::lifecycle::chain;

/// Checks that every cut is a place in a log that this node holds.
///
/// # Errors
///
/// `CUT_UNKNOWN` for a place that is not here (yet), `CUT_ENDED` for one in an epoch that a reset
/// ended, `CUT_WRONG` for another history.
pub(super) fn are_held(
    readers: &BTreeMap<LogId, Reader>,
    changes: &[Change],
) -> Result<(), Reject> {
    let cuts = changes.iter().filter_map(|it| match it {
        Change::Suspended(land, cut)
        | Change::Removed(land, cut)
        | Change::LogKey(land, cut)
        | Change::FreshnessKey(land, cut) => Some((*land, *cut)),
        Change::Admitted(_)
        | Change::Resumed(_)
        | Change::Threshold { .. }
        | Change::OfflineKey(_)
        | Change::Nodes(_)
        | Change::Anchors(_)
        | Change::Quota { .. }
        | Change::EpochEnded(..) => None,
    });
    cuts.into_iter().try_for_each(|(land, cut)| is_held(readers, land, cut))
}

fn is_held(readers: &BTreeMap<LogId, Reader>, land: Land, cut: LogCut) -> Result<(), Reject> {
    let log = LogId { land, epoch: cut.epoch };
    let newest = readers.keys().filter(|it| it.land == land).max().copied();
    if let Some(newest) = newest.filter(|it| it.epoch > cut.epoch) {
        return Err(Reject::Precondition {
            reason: "CUT_ENDED",
            description: format!(
                "der Vorschlag beendet das Protokoll in {log}, einer Epoche, die zurückgesetzt ist: alles in \
                 {newest} ginge verloren; eine Stelle darin vorschlagen (registry charter cut {land})"
            ),
        });
    }
    let size = readers.get(&log).map_or(0, Reader::size);
    let reader = readers.get(&log).filter(|_| size >= cut.size);
    let Some(reader) = reader else {
        return Err(Reject::Precondition {
            reason: "CUT_UNKNOWN",
            description: format!(
                "der Vorschlag beendet {log} nach {} Einträgen, dieser Knoten hat {size}; abstimmen, \
                 wenn er aufgeholt hat, oder eine Stelle vorschlagen, die alle haben (registry \
                 charter cut {land})",
                cut.size
            ),
        });
    };
    let root = tree_root(reader, cut.size).map_err(|failure| {
        tracing::error!(%log, size = cut.size, cause = chain(&failure), "a cut cannot be checked");
        Reject::Storage { operation: "reading the hashes of the journal" }
    })?;
    if root == cut.root {
        return Ok(());
    }
    Err(Reject::Precondition {
        reason: "CUT_WRONG",
        description: format!(
            "der Vorschlag beendet {log} nach {} Einträgen mit der Wurzel {}, dieser Knoten hat dort \
             einen anderen Verlauf ({root})",
            cut.size, cut.root
        ),
    })
}
