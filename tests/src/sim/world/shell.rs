//! What the shell does around one node: clocks, disk, fold, answers.

use rand::Rng;
use registry_core::{
    log::{Published, Ticket},
    node::{Effect, Input, Learned, Notice},
    reject::Reject,
    replicate::{Attest, PeerFault, Report},
};
use registry_proto::{
    log::{Cosigned, SignedCheckpoint},
    receipt::SignedReceipt,
    terms::{Land, LogId},
    wire::peer::{BatchEntry, BodyState, Charters, peer_message::Message},
};

use super::{Event, World};
use crate::sim::disk::Group;

impl World {
    pub(super) fn synced(&mut self, land: Land, life: u64, signed: Option<SignedCheckpoint>) {
        let node = self.node_mut(land);
        if node.life != life {
            return;
        }
        let group = node.unsynced.remove(0);
        node.disk.write(&group);
        self.released(&group);
        let node = self.node_mut(land);
        let log = group.log;
        let own = log.land == land;
        let size = node.disk.size(log);
        let input = match signed {
            Some(signed) => Input::Committed { signed },
            None => {
                let learned =
                    |it: &BatchEntry| Learned { header: it.header.clone(), body: it.body.clone() };
                let learned =
                    if own { group.entries.iter().map(learned).collect() } else { Vec::new() };
                Input::Stored { log, learned }
            }
        };
        self.input(land, input);
        if own {
            let late = self.rng.random_range(0..20);
            self.at(late, Event::Folded { node: land, life, size });
        }
        self.check();
    }

    /// A checkpoint that is durable may have been seen; one that never was, counts for nothing.
    pub(super) fn released(&mut self, group: &Group) {
        let text = String::from_utf8_lossy(&group.note);
        let root = text.lines().nth(2).unwrap_or_default().to_owned();
        self.oracle.signed(group.log, group.note_size, root);
    }

    pub(super) fn later(&mut self, land: Land, life: u64, input: Input) {
        if self.nodes[&land].life == life {
            self.input(land, input);
        }
    }

    pub(super) fn input(&mut self, land: Land, input: Input) {
        let now = self.clock(land);
        let Some(core) = self.node_mut(land).core.as_mut() else { return };
        core.handle(now, input);
        let effects: Vec<Effect> = core.effects().collect();
        for effect in effects {
            self.perform(land, effect);
        }
    }

    fn perform(&mut self, land: Land, effect: Effect) {
        let life = self.nodes[&land].life;
        match effect {
            Effect::Reply { ticket, outcome } => self.reply(land, ticket, outcome),
            Effect::Commit(commit) => {
                let seconds = u64::try_from(commit.wall_ms / 1_000).unwrap_or_default();
                let signed = commit.checkpoint.sign(&self.nodes[&land].signer, seconds);
                let signed = signed.expect("a key in memory signs");
                let log = signed.checkpoint.origin.log;
                let entries = commit
                    .entries
                    .into_iter()
                    .map(|it| BatchEntry {
                        header: it.header,
                        salt: bytes::Bytes::copy_from_slice(&it.salt),
                        body: it.body,
                        body_state: BodyState::Present.into(),
                        erasure: None,
                    })
                    .collect();
                let (note, note_size) = (signed.raw().clone(), signed.size());
                let proof = Vec::new();
                self.write(
                    land,
                    Group { log, entries, note, note_size, proof, own: true },
                    Some(signed),
                );
            }
            Effect::Freshen { checkpoint, wall_ms, .. } => {
                let seconds = u64::try_from(wall_ms / 1_000).unwrap_or_default();
                let signed = checkpoint.sign(&self.nodes[&land].signer, seconds);
                let signed = signed.expect("a key in memory signs");
                let log = signed.checkpoint.origin.log;
                let root = signed.raw().clone();
                let root =
                    String::from_utf8_lossy(&root).lines().nth(2).unwrap_or_default().to_owned();
                self.oracle.signed(log, signed.size(), root);
                self.at(1, Event::Freshened { node: land, life, signed });
            }
            Effect::Store(store) => {
                let group = Group {
                    log: store.log,
                    entries: store.entries,
                    note: store.note,
                    note_size: store.note_size,
                    proof: store.proof,
                    own: false,
                };
                self.write(land, group, None);
            }
            Effect::Send { session, message } => self.send(land, session, message, 0),
            Effect::SendRange(range) => {
                let entries_max = self.rng.random_range(1..40);
                let Some(batch) = self.nodes[&land].disk.read(&range, entries_max) else {
                    self.input(land, Input::RangeFailed { range });
                    return;
                };
                let next = batch.first + batch.entries.len() as u64;
                let size = |it: &BatchEntry| it.header.len() + it.salt.len() + it.body.len();
                let bytes = batch.entries.iter().map(size).sum::<usize>() as u64;
                self.send(land, range.session, Message::Batch(batch), 1);
                self.at(1, Event::RangeSent { node: land, life, range, next, bytes });
            }
            Effect::Attest(order) => self.attest(land, order),
            Effect::KeepReceipt(it) => {
                self.node_mut(land).disk.book.enter(it);
            }
            Effect::KeepCosigned(it) => {
                let pair = (it.witness(), it.signed().checkpoint.origin.log);
                self.node_mut(land).disk.cosigned.insert(pair, it);
            }
            Effect::Examine(examination) => {
                let found = self.nodes[&land].disk.examine(&examination);
                let late = self.rng.random_range(1..20);
                self.at(late, Event::Examined { node: land, life, examination, found });
            }
            Effect::Look(look) => {
                let found = self.nodes[&land].disk.look(look.log, look.size, look.of);
                let late = self.rng.random_range(1..20);
                self.at(late, Event::Looked { node: land, life, look, found });
            }
            Effect::KeepEvidence { log, raw, .. } => {
                self.node_mut(land).disk.evidence.insert(log, raw);
            }
            Effect::SetAside { log } => self.set_aside(land, life, log),
            Effect::KeepReset(_) | Effect::BeginAgain { .. } => {
                panic!("seed {}: no log begins again here", self.seed)
            }
            // nobody votes here, so there is no later charter, whatever a liar says
            Effect::ShowCharters(it) => {
                let from = it.from;
                let none = Message::Charters(Charters { from, ..Charters::default() });
                self.send(land, it.session, none, 0);
            }
            Effect::VerifyCharters(told) => {
                let (session, verified) = (told.session, Some(Box::new(told.verify())));
                self.input(land, Input::VerifiedCharters { session, verified });
            }
            Effect::FollowCharters(it) => {
                panic!("seed {}: {land} follows {} to a charter", self.seed, it.peer.land)
            }
            Effect::Close { session, .. } => self.break_stream(session.0),
            Effect::Report(Notice::Replication(Report::PeerFault { peer, fault })) => {
                // a liar may blame anyone, and what it passes on may be blamed on it only
                // of an owner of two histories everybody may pass on what does not fit
                let forked = self.oracle.forked;
                let misfits = match &fault {
                    PeerFault::Proof { log, .. } => Some(log.land) == forked,
                    _ => false,
                };
                let lies =
                    misfits || self.liar.is_some_and(|liar| liar == land || liar == peer.land);
                let seed = self.seed;
                assert!(lies, "seed {seed}: {land} blames the honest {}: {fault}", peer.land);
            }
            Effect::Report(Notice::Replication(Report::LogStopped { fault, .. })) => {
                let (seed, owner) = (self.seed, fault.log().land);
                let guilty = self.oracle.forked == Some(owner);
                assert!(guilty, "seed {seed}: {land} convicts the honest {owner}: {fault}");
            }
            Effect::Report(Notice::FenceOpened) => {
                self.node_mut(land).moved = false;
                self.oracle.settled(land);
            }
            Effect::Report(Notice::Copied { .. }) => {
                // every node here runs once
                panic!("seed {}: {land} takes itself for a copy", self.seed);
            }
            Effect::Report(_) => {}
        }
    }

    /// Signs what a Land states; never before it is durable.
    fn attest(&mut self, land: Land, order: Attest) {
        let (verbund, node) = (self.charter.id(), &self.nodes[&land]);
        let life = node.life;
        let Attest { log, receipt, checkpoint } = order;
        let receipt = receipt.map(|it| {
            let (seed, held) = (self.seed, node.disk.size(log));
            assert!(it.size <= held, "seed {seed}: {land} states {} of {log}, not {held}", it.size);
            it.sign(verbund, &node.signer).expect("signed")
        });
        let seconds = u64::try_from(self.clock(land).wall_ms / 1_000).unwrap_or_default();
        let cosigned = checkpoint.map(|it| {
            let owner = self.charter.member(log.land).expect("a member");
            Cosigned::sign(&it, owner.keyring().keys_of(&it), land, &node.signer, seconds)
                .expect("signed")
        });
        let late = self.rng.random_range(1..30);
        self.at(late, Event::Attested { node: land, life, log, receipt, cosigned });
    }

    pub(super) fn attested(
        &mut self,
        land: Land,
        life: u64,
        log: LogId,
        receipt: Option<SignedReceipt>,
        cosigned: Option<Cosigned>,
    ) {
        let node = self.node_mut(land);
        if node.life != life {
            return;
        }
        if let Some(receipt) = &receipt {
            node.disk.book.enter(receipt.clone());
        }
        let (receipt, cosigned) = (receipt.map(Box::new), cosigned.map(Box::new));
        self.input(land, Input::Attested { log, receipt, cosigned });
    }

    fn reply(&mut self, land: Land, ticket: Ticket, outcome: Result<Published, Reject>) {
        if let Ok(published) = &outcome {
            let by_partners = !published.acknowledged_by.is_empty();
            for record in &published.records {
                if let (Some(index), Some(leaf)) = (record.index, record.leaf) {
                    self.oracle.acknowledged(record.log, index, leaf, by_partners);
                }
            }
            self.check();
        }
        self.answers.insert((land, ticket.0), outcome);
    }

    fn write(&mut self, land: Land, group: Group, signed: Option<SignedCheckpoint>) {
        let took = self.rng.random_range(1..30);
        let now = self.now_ms;
        let node = self.node_mut(land);
        // one disk, one order: keeps `unsynced` a queue
        let free = node.disk_free_ms.values().max().copied().unwrap_or_default();
        let done = free.max(now) + took;
        node.disk_free_ms.insert(group.log, done);
        node.unsynced.push(group);
        let life = node.life;
        self.at(done - now, Event::Synced { node: land, life, signed });
    }
}
