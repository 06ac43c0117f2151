//! Streams between nodes: they stand a moment earlier at one end, are dialled from both at once,
//! break, and take with them what was under way. A liar changes what it says.

use rand::Rng;
use registry_core::{node::Input, replicate::SessionId};
use registry_proto::{
    log::Origin,
    terms::{Land, LogId},
    wire::peer::{Head, peer_message::Message},
};

use super::{Event, World, charter::identity};
use crate::sim::liar;

/// A connection; each end knows it under a session id of its own.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ends: [(Land, SessionId); 2],
    /// When each direction's last control message and last batch arrive.
    arrives_ms: [[u64; 2]; 2],
}

impl World {
    pub(super) fn dial(&mut self, link: usize) {
        let (a, b) = self.links[link];
        let again = self.rng.random_range(100..3_000);
        self.at(again, Event::Dial(link));
        let blocked = self.blocked.iter().any(|it| *it == (a, b) || *it == (b, a));
        let up = [a, b].iter().all(|it| {
            let node = &self.nodes[it];
            node.core.is_some() && node.asleep.is_none()
        });
        if blocked || !up {
            return;
        }
        // an end may not know yet that it has a stream, or not believe in it any more
        if self.streams.values().any(|it| it.joins(a, b)) && !self.rng.random_bool(0.02) {
            return;
        }
        let from_a = self.rng.random_bool(0.5);
        let (from, to) = if from_a { (a, b) } else { (b, a) };
        self.connect(from, to);
        if self.rng.random_bool(0.3) {
            self.connect(to, from);
        }
    }

    fn connect(&mut self, from: Land, to: Land) {
        self.sequence += 1;
        let id = self.sequence;
        // one id for both ends is fine: nodes never compare them
        let session = SessionId(id);
        let opens = [self.rng.random_range(1..50), self.rng.random_range(1..50)];
        // nothing arrives before the stream stands
        let arrives_ms = [[self.now_ms + opens[1]; 2], [self.now_ms + opens[0]; 2]];
        let ends = [(from, session), (to, session)];
        self.streams.insert(id, Stream { ends, arrives_ms });
        for (side, after_ms) in opens.into_iter().enumerate() {
            self.at(after_ms, Event::Opened { stream: id, side });
        }
    }

    pub(super) fn opened(&mut self, stream: u64, side: usize) {
        let Some(ends) = self.streams.get(&stream).map(|it| it.ends) else { return };
        let (land, session) = ends[side];
        let peer = identity(ends[1 - side].0);
        self.input(land, Input::SessionOpened { session, peer, dialled: side == 0 });
    }

    pub(super) fn deliver(&mut self, stream: u64, to: usize, message: Message) {
        let Some(ends) = self.streams.get(&stream).map(|it| it.ends) else { return };
        if self.rng.random_bool(self.chaos.cut) {
            self.break_stream(stream);
            return;
        }
        let (land, session) = ends[to];
        self.overheard(land, &message);
        self.input(land, Input::Received { session, message });
    }

    pub(super) fn send(
        &mut self,
        from: Land,
        session: SessionId,
        mut message: Message,
        lane: usize,
    ) {
        let Some(to) = self.partner(from, session) else { return };
        if self.is_withheld(from, to, &mut message) || !self.doubled(from, to, &mut message) {
            return;
        }
        let mut times = 1;
        if self.liar == Some(from) {
            times = liar::twist(&mut self.rng, &mut message);
        }
        for _ in 0..times {
            let latency = self.rng.random_range(1..50);
            let now = self.now_ms;
            let Some(stream) = self.streams.get_mut(&session.0) else { return };
            let Some(side) = stream.ends.iter().position(|it| it.0 == from) else { return };
            // a lane keeps its order; lanes overtake each other
            let arrives = (now + latency).max(stream.arrives_ms[side][lane]);
            stream.arrives_ms[side][lane] = arrives;
            let message = message.clone();
            self.at(arrives - now, Event::Deliver { stream: session.0, to: 1 - side, message });
        }
    }

    fn partner(&self, from: Land, session: SessionId) -> Option<Land> {
        let stream = self.streams.get(&session.0)?;
        stream.ends.iter().map(|it| it.0).find(|it| *it != from)
    }

    /// Whether nothing is left of a message after what is kept back.
    fn is_withheld(&self, from: Land, to: Land, message: &mut Message) -> bool {
        let Some((by, kept_from, owner, heads_too)) = self.withheld else { return false };
        if (by, kept_from) != (from, to) {
            return false;
        }
        let of_others = |it: &Head| !heads_too || it.land != owner.code();
        match message {
            Message::Batch(batch) => return batch.land == owner.code(),
            Message::Heads(heads) => heads.heads.retain(of_others),
            Message::Beacon(beacon) => beacon.heads.retain(of_others),
            // a cosignature shows a head as well
            Message::Cosignatures(all) => {
                all.items.retain(|it| !heads_too || it.land != owner.code());
            }
            _ => {}
        }
        false
    }

    /// Lets an owner of two histories say what it wants; false when that is nothing.
    fn doubled(&self, from: Land, to: Land, message: &mut Message) -> bool {
        let Some(double) = &self.double else { return true };
        let log = LogId { land: double.owner, epoch: 1 };
        let origin = Origin { verbund: self.charter.id(), log };
        let owner = &self.nodes[&double.owner];
        if to == double.owner {
            return double.deafen(&origin, &owner.signer, message);
        }
        let Some(held) = owner.disk.logs.get(&log).filter(|_| from == double.owner) else {
            return true;
        };
        double.twist(&origin, &owner.signer, held, to, message)
    }

    pub(super) fn break_streams(&mut self, land: Land) {
        let broken: Vec<_> =
            self.streams.iter().filter(|(_, it)| it.touches(land)).map(|(id, _)| *id).collect();
        for id in broken {
            self.break_stream(id);
        }
    }

    /// Both ends hear of it, each in its own time.
    pub(super) fn break_stream(&mut self, id: u64) {
        let Some(stream) = self.streams.remove(&id) else { return };
        for (node, session) in stream.ends {
            let late = self.rng.random_range(0..50);
            self.at(late, Event::Closed { node, session });
        }
    }
}

// === impl Stream ===

impl Stream {
    pub(super) fn joins(&self, a: Land, b: Land) -> bool {
        self.touches(a) && self.touches(b)
    }

    pub(super) fn touches(&self, land: Land) -> bool {
        self.ends.iter().any(|it| it.0 == land)
    }
}
