//! Disks of one node that take turns, and what is set aside of its log because nobody else had seen it.

use rand::Rng;
use registry_proto::{
    terms::{Land, LogId},
    wire::peer::peer_message::Message,
};

use super::{Event, World};
use crate::sim::disk::Disk;

impl World {
    /// Remembers from now on what anybody is told of the log of a Land, whose disks will take turns.
    pub fn watch(&mut self, land: Land) {
        self.oracle.watched = Some(land);
    }

    /// Puts another disk in the place of that of a node, which is killed before. What only the old one
    /// holds, nobody else has ever seen: whoever was told that it is durable here was told no more.
    /// `moved`: the node can tell that the disk is not where it was.
    pub fn change_disks(&mut self, land: Land, other: &mut Disk, moved: bool) {
        self.crash(land);
        let log = LogId { land, epoch: 1 };
        let held = self.held_by_others(log);
        let node = self.node_mut(land);
        std::mem::swap(&mut node.disk, other);
        node.moved = moved;
        self.oracle.replaced(log, held);
        self.start(land);
    }

    /// Entries of the log of a Land that other nodes hold.
    pub fn seen_of(&self, land: Land) -> u64 {
        self.held_by_others(LogId { land, epoch: 1 })
    }

    /// True if a node is up and may publish.
    pub fn is_open(&self, land: Land) -> bool {
        let core = self.nodes[&land].core.as_ref();
        core.is_some_and(|it| it.status(self.clock(land)).fence_open)
    }

    /// Entries of the log of a Land that were set aside.
    pub fn set_aside_of(&self, land: Land) -> u64 {
        self.set_aside.get(&land).copied().unwrap_or_default()
    }

    /// Every node holds the same log of each Land, and none has proof of another one.
    pub fn assert_one_history(&self) {
        let seed = self.seed;
        for owner in self.nodes.keys() {
            let log = LogId { land: *owner, epoch: 1 };
            let leaves = |of: &Disk| of.logs.get(&log).map(|it| it.leaves.clone());
            let first = leaves(&self.nodes[owner].disk);
            for (land, node) in &self.nodes {
                assert!(leaves(&node.disk) == first, "seed {seed}: {land} holds another {log}");
                assert!(node.disk.evidence.is_empty(), "seed {seed}: {land} has evidence");
                let stopped = self.state(*land, *owner).is_none_or(|(_, forked)| forked);
                assert!(!stopped, "seed {seed}: {log} is locked at {land}");
            }
        }
    }

    fn held_by_others(&self, log: LogId) -> u64 {
        let others = self.nodes.iter().filter(|(land, _)| **land != log.land);
        others.map(|(_, it)| it.disk.size(log)).max().unwrap_or_default()
    }

    /// The mark becomes durable some time later, or is lost with a crash.
    pub(super) fn set_aside(&mut self, land: Land, life: u64, log: LogId) {
        let is_own = log == LogId { land, epoch: 1 };
        assert!(is_own, "seed {}: {land} begins again without {log}", self.seed);
        let late = self.rng.random_range(1..3_000);
        self.at(late, Event::Marked { node: land, life, log });
    }

    /// It is: the node begins again.
    pub(super) fn marked(&mut self, land: Land, life: u64, log: LogId) {
        if self.nodes[&land].life != life || self.nodes[&land].core.is_none() {
            return;
        }
        self.node_mut(land).disk.contradicted.insert(log);
        self.crash(land);
        let pause = self.rng.random_range(10..5_000);
        self.at(pause, Event::Restart(land));
    }

    /// Sets aside what is to be, before anything reads it.
    pub(super) fn without_unseen(&mut self, land: Land) {
        let log = LogId { land, epoch: 1 };
        let disk = &mut self.node_mut(land).disk;
        if !disk.contradicted.remove(&log) {
            return;
        }
        let seen = disk.seen(log).size;
        let (first, leaves, groups) = disk.retreat(log, seen);
        // others may have more of it than they have stated; that comes back
        let others = self.nodes.iter().filter(|(it, _)| **it != land);
        let others: Vec<_> = others.filter_map(|(_, it)| it.disk.logs.get(&log)).collect();
        let is_held = |place: u64, leaf| {
            let place = usize::try_from(place).expect("few entries");
            others.iter().any(|it| it.leaves.get(place) == Some(leaf))
        };
        let gone: Vec<u64> = (first..)
            .zip(&leaves)
            .filter(|(place, leaf)| !is_held(*place, leaf))
            .map(|(place, _)| place)
            .collect();
        let Some(from) = gone.first() else { return };
        for group in groups.iter().filter(|it| it.note_size > *from) {
            self.oracle.set_aside(&group.note);
        }
        *self.set_aside.entry(land).or_default() += gone.len() as u64;
    }

    /// A message arrives: of the log that is watched it may show heads.
    pub(super) fn overheard(&mut self, to: Land, message: &Message) {
        let Some(owner) = self.oracle.watched else { return };
        if to == owner || self.nodes[&to].core.is_none() {
            return;
        }
        let heads = match message {
            Message::Heads(it) => &it.heads[..],
            Message::Beacon(it) => &it.heads[..],
            Message::Batch(it) if it.land == owner.code() => {
                return self.oracle.told(&it.checkpoint);
            }
            _ => return,
        };
        for head in heads.iter().filter(|it| it.land == owner.code()) {
            self.oracle.told(&head.checkpoint);
            self.oracle.told(&head.held);
        }
    }
}
