//! What must hold after every step, whatever happens.

use std::collections::{BTreeMap, HashMap};

use registry_proto::{
    log::Hash,
    terms::{Land, LogId},
};

use crate::sim::disk::Disk;

/// Memory of everything that was ever promised.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Root (base64, as in the note) of each size of each log that was ever released.
    signed: HashMap<(LogId, u64), String>,
    /// Records that were acknowledged: (log, index) → leaf.
    pub(crate) acknowledged: BTreeMap<(LogId, u64), Hash>,
    /// Entries compared already, per (node, log).
    compared: HashMap<(Land, LogId), usize>,
    /// The owner that signs two histories on purpose; its log is not judged.
    pub(crate) forked: Option<Land>,
}

// === impl Oracle ===

impl Oracle {
    /// Nobody signs two roots for one size.
    pub(crate) fn signed(&mut self, log: LogId, size: u64, root: String) {
        if self.forked == Some(log.land) {
            return;
        }
        let first = self.signed.entry((log, size)).or_insert_with(|| root.clone());
        assert!(*first == root, "{log} signed two histories of size {size}");
    }

    pub(crate) fn acknowledged(&mut self, log: LogId, index: u64, leaf: Hash) {
        self.acknowledged.insert((log, index), leaf);
    }

    /// What is acknowledged is on the disk of its owner.
    pub(crate) fn owner_keeps(&self, owner: Land, disk: &Disk) {
        for ((log, index), leaf) in &self.acknowledged {
            if log.land == owner {
                let held = usize::try_from(*index)
                    .ok()
                    .and_then(|index| disk.logs.get(log)?.leaves.get(index));
                assert!(held == Some(leaf), "{owner} lost the acknowledged {log}/{index}");
            }
        }
    }

    /// Every copy is a prefix of what the longest copy says.
    pub(crate) fn prefixes_agree<'a>(&mut self, disks: impl Iterator<Item = (Land, &'a Disk)>) {
        let disks: Vec<_> = disks.collect();
        let forked = self.forked;
        let mut longest: BTreeMap<LogId, &[Hash]> = BTreeMap::new();
        for (_, disk) in &disks {
            for (log, it) in disk.logs.iter().filter(|(log, _)| Some(log.land) != forked) {
                let known = longest.entry(*log).or_insert(&it.leaves);
                if it.leaves.len() > known.len() {
                    *known = &it.leaves;
                }
            }
        }
        for (land, disk) in &disks {
            for (log, it) in disk.logs.iter().filter(|(log, _)| Some(log.land) != forked) {
                let from = self.compared.entry((*land, *log)).or_default();
                // a wiped disk starts anew
                let begin = (*from).min(it.leaves.len());
                let truth = &longest[log][begin..it.leaves.len()];
                assert!(it.leaves[begin..] == *truth, "{land} holds another {log} than others");
                *from = it.leaves.len();
            }
        }
    }
}
