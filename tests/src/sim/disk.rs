//! What survives a crash: the logs of one node, and how they are read.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use bytes::Bytes;
use registry_core::{
    log::OwnServices,
    replicate::{Book, Examination, Found, RecoveredLog, Seen, SendRange},
};
use registry_proto::{
    log::{
        Cosigned, Frontier, Hash, HashTiles, Header, Kind, leaf_hash, prove_consistency, tile_root,
        tree_root,
    },
    receipt::SignedReceipt,
    terms::{Land, LogId},
    wire::peer::{Batch, BatchEntry},
};

/// The durable part of a node.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub(crate) logs: BTreeMap<LogId, DiskLog>,
    /// What proves that the owners of logs signed two histories.
    pub(crate) evidence: BTreeMap<LogId, Bytes>,
    /// Who holds what since when.
    pub(crate) book: Book,
    /// Newest cosignatures that agreed with what is here.
    pub(crate) cosigned: BTreeMap<(Land, LogId), Cosigned>,
    /// Logs whose end is to be set aside at the next start.
    pub(crate) contradicted: BTreeSet<LogId>,
}

/// One log on a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskLog {
    pub(crate) entries: Vec<BatchEntry>,
    pub(crate) leaves: Vec<Hash>,
    groups: Vec<GroupEnd>,
    /// First of the newest entries that came from partners.
    pulled_from: Option<u64>,
    head: Option<Bytes>,
    head_proof: Vec<Hash>,
    complete: Option<Bytes>,
}

/// Where a group ends, and what stands there.
#[derive(Clone, Debug)]
pub(crate) struct GroupEnd {
    end: u64,
    own: bool,
    pub(crate) note: Bytes,
    pub(crate) note_size: u64,
    proof: Vec<Hash>,
}

/// A group on its way to the disk.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) log: LogId,
    pub(crate) entries: Vec<BatchEntry>,
    pub(crate) note: Bytes,
    pub(crate) note_size: u64,
    pub(crate) proof: Vec<Hash>,
    /// True when the owner wrote it just now.
    pub(crate) own: bool,
}

// === impl Disk ===

impl Disk {
    /// Of each holder the first size it stated that covers an entry.
    pub fn holders(&self, log: LogId, index: u64) -> Vec<(Land, u64)> {
        let covering = self.book.covering(log, index);
        covering.iter().map(|it| (it.receipt().holder, it.receipt().size)).collect()
    }

    /// Entries of one kind in a log.
    pub fn count(&self, log: LogId, kind: Kind) -> usize {
        let entries = self.logs.get(&log).into_iter().flat_map(|it| &it.entries);
        entries.filter(|it| Header::parse(&it.header).is_ok_and(|it| it.kind == kind)).count()
    }

    /// Entries of a log.
    pub fn size(&self, log: LogId) -> u64 {
        self.logs.get(&log).map_or(0, |it| it.entries.len() as u64)
    }

    pub(crate) fn write(&mut self, group: &Group) {
        let log = self.logs.entry(group.log).or_default();
        log.leaves.extend(group.entries.iter().map(|it| leaf_hash(&it.header)));
        log.entries.extend(group.entries.iter().cloned());
        log.ends(GroupEnd {
            end: log.entries.len() as u64,
            own: group.own,
            note: group.note.clone(),
            note_size: group.note_size,
            proof: group.proof.clone(),
        });
    }

    /// Takes the groups away that reach beyond the first `upto` entries, as the shell does; leaves that
    /// went, with the place of the first, and ends of their groups.
    pub(crate) fn retreat(&mut self, log: LogId, upto: u64) -> (u64, Vec<Hash>, Vec<GroupEnd>) {
        let log = self.logs.entry(log).or_default();
        let (stay, gone) =
            std::mem::take(&mut log.groups).into_iter().partition(|it| it.end <= upto);
        let stay: Vec<GroupEnd> = stay;
        let size = stay.last().map_or(0, |it| it.end);
        let at = usize::try_from(size).expect("few entries");
        let mut rest = DiskLog { entries: std::mem::take(&mut log.entries), ..DiskLog::default() };
        rest.entries.truncate(at);
        let leaves = log.leaves.split_off(at);
        rest.leaves = std::mem::take(&mut log.leaves);
        stay.into_iter().for_each(|it| rest.ends(it));
        *log = rest;
        (size, leaves, gone)
    }

    pub(crate) fn recover(&self) -> Vec<RecoveredLog> {
        self.logs
            .iter()
            .map(|(log, it)| {
                let mut frontier = Frontier::default();
                it.leaves.iter().for_each(|leaf| frontier.push(*leaf));
                let last = it.entries.last().and_then(|it| Header::parse(&it.header).ok());
                RecoveredLog {
                    log: *log,
                    frontier,
                    head: it.head.clone(),
                    head_proof: it.head_proof.clone(),
                    complete: it.complete.clone(),
                    last_recorded_ms: last.map_or(0, |it| it.recorded_unix_ms),
                    pulled_from: it.pulled_from,
                    kept: false,
                }
            })
            .collect()
    }

    pub(crate) fn services(&self, log: LogId) -> OwnServices {
        let mut services = OwnServices::default();
        for entry in self.logs.get(&log).iter().flat_map(|it| &it.entries) {
            if let Ok(header) = Header::parse(&entry.header) {
                services.learn(&header, leaf_hash(&entry.header), Some(&entry.body));
            }
        }
        services
    }

    /// How much of a log members other than its owner have seen, found out as the shell does.
    pub(crate) fn seen(&self, log: LogId) -> Seen {
        let held = self.book.all().map(SignedReceipt::receipt);
        let held = held.filter(|it| it.log == log && it.holder != log.land);
        let held = held.map(|it| Seen { size: it.size, root: it.root });
        let of = |it: &&Cosigned| it.signed().checkpoint.origin.log == log;
        let signed = self.cosigned.values().filter(of).filter(|it| it.witness() != log.land);
        let signed = signed.map(|it| Seen { size: it.signed().size(), root: *it.signed().root() });
        let fits = |it: &Seen| {
            let held = self.logs.get(&log).filter(|held| it.size <= held.leaves.len() as u64);
            held.is_some_and(|held| tree_root(held, it.size) == Ok(it.root))
        };
        held.chain(signed).filter(fits).max_by_key(|it| it.size).unwrap_or_default()
    }

    /// Looks at the tree as the shell does.
    pub(crate) fn examine(&self, of: &Examination) -> Option<Found> {
        self.look(of.log, of.suspect.size(), of.against.size())
    }

    /// Reads a beginning of a tree as the shell does.
    pub(crate) fn look(&self, log: LogId, old: u64, new: u64) -> Option<Found> {
        let log = self.logs.get(&log)?;
        if new > log.leaves.len() as u64 {
            return None;
        }
        let root = tree_root(log, old).ok()?;
        Some(Found { root, proof: prove_consistency(log, old, new).ok()? })
    }

    /// Reads a range as the shell does; batches are small here so that many are under way.
    pub(crate) fn read(&self, range: &SendRange, entries_max: u64) -> Option<Batch> {
        let log = self.logs.get(&range.log)?;
        let end = range.upto.min(range.from + entries_max).min(log.entries.len() as u64);
        let (from, to) = (usize::try_from(range.from).ok()?, usize::try_from(end).ok()?);
        let proof = if end == range.upto {
            Vec::new()
        } else {
            prove_consistency(log, end, range.upto).ok()?
        };
        Some(Batch {
            land: range.log.land.code().to_owned(),
            epoch: range.log.epoch,
            first: range.from,
            entries: log.entries.get(from..to)?.to_vec(),
            checkpoint: range.note.clone(),
            proof: proof.iter().map(|it| Bytes::copy_from_slice(it.as_bytes())).collect(),
            follow: range.follow,
            ..Batch::default()
        })
    }
}

// === impl DiskLog ===

impl DiskLog {
    fn ends(&mut self, group: GroupEnd) {
        let begin = self.groups.last().map_or(0, |it| it.end);
        self.pulled_from = (!group.own).then(|| self.pulled_from.unwrap_or(begin));
        self.head = Some(group.note.clone());
        self.head_proof = group.proof.clone();
        if group.end == group.note_size {
            self.complete = Some(group.note.clone());
        }
        self.groups.push(group);
    }

    /// A tree without entries, to prove something about.
    pub(crate) fn of(leaves: Vec<Hash>) -> Self {
        Self { leaves, ..Self::default() }
    }
}

impl HashTiles for DiskLog {
    type Error = Infallible;

    fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, Infallible> {
        let mut row = self.leaves.clone();
        for _ in 0..level {
            row = row
                .chunks_exact(256)
                .filter_map(|it| it.try_into().ok())
                .map(|it: &[Hash; 256]| tile_root(it))
                .collect();
        }
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(row.into_iter().skip(from).take(count).collect())
    }
}
