//! What must hold after every step, whatever happens.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
    /// Those of them that a partner held by then.
    promised: BTreeSet<(LogId, u64)>,
    /// Entries compared already, per (node, log).
    compared: HashMap<(Land, LogId), usize>,
    /// The owner that signs two histories on purpose; its log is not judged.
    pub(crate) forked: Option<Land>,
    /// The owner whose disks are put in place of each other.
    pub(crate) watched: Option<Land>,
    /// Heads of it that anybody else was told: size and root.
    told: HashSet<(u64, String)>,
    /// Heads of it over what was set aside.
    aside: HashSet<(u64, String)>,
    /// Owners whose disk was put back, until their fence opens: what only it holds is another history.
    unsettled: BTreeSet<Land>,
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

    /// Somebody else than its owner is told a head.
    pub(crate) fn told(&mut self, note: &[u8]) {
        let Some(head) = head_of(note) else { return };
        assert!(!self.aside.contains(&head), "a head of what was set aside is told: {head:?}");
        self.told.insert(head);
    }

    /// Another disk is in place; others hold so much of the log. What nobody else had seen is forgotten.
    pub(crate) fn replaced(&mut self, log: LogId, held: u64) {
        let (told, promised) = (&self.told, &self.promised);
        let is_known =
            |size: u64, root: &String| size <= held || told.contains(&(size, root.clone()));
        self.signed.retain(|(of, size), root| *of != log || is_known(*size, root));
        self.acknowledged.retain(|(of, index), _| {
            let stays = *of != log || *index < held;
            let is_promised = promised.contains(&(*of, *index));
            assert!(stays || !is_promised, "{log}/{index} was acknowledged, and no partner has it");
            stays
        });
        self.compared.remove(&(log.land, log));
        self.unsettled.insert(log.land);
    }

    /// A group that nobody else has was set aside.
    pub(crate) fn set_aside(&mut self, note: &[u8]) {
        let Some(head) = head_of(note) else { return };
        assert!(!self.told.contains(&head), "what is set aside was told: {head:?}");
        self.aside.insert(head);
    }

    /// What an owner holds is one history with what others hold from now on.
    pub(crate) fn settled(&mut self, owner: Land) {
        self.unsettled.remove(&owner);
    }

    pub(crate) fn acknowledged(&mut self, log: LogId, index: u64, leaf: Hash, by_partners: bool) {
        if by_partners {
            self.promised.insert((log, index));
        }
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
        let (forked, unsettled) = (self.forked, self.unsettled.clone());
        let is_judged = |at: Land, log: &LogId| {
            Some(log.land) != forked && (at != log.land || !unsettled.contains(&at))
        };
        let mut longest: BTreeMap<LogId, &[Hash]> = BTreeMap::new();
        for (land, disk) in &disks {
            for (log, it) in disk.logs.iter().filter(|(log, _)| is_judged(*land, log)) {
                let known = longest.entry(*log).or_insert(&it.leaves);
                if it.leaves.len() > known.len() {
                    *known = &it.leaves;
                }
            }
        }
        for (land, disk) in &disks {
            for (log, it) in disk.logs.iter().filter(|(log, _)| is_judged(*land, log)) {
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

/// Size and root of a note.
fn head_of(note: &[u8]) -> Option<(u64, String)> {
    let text = String::from_utf8_lossy(note);
    let mut lines = text.lines().skip(1);
    Some((lines.next()?.parse().ok()?, lines.next()?.to_owned()))
}
