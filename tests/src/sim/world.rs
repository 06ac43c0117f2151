//! Nodes, links, disks and time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

use ed25519_dalek::SigningKey;
use prost::Message as _;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use registry_core::{
    FencePolicy,
    authorize::{PeerIdentity, Principal, Role},
    envelope::Envelope,
    log::{Published, Ticket},
    node::{Effect, Input, Learned, Node, Notice, Setup},
    now::Now,
    reject::Reject,
    replicate::{Report, SendRange, SessionId},
    submission::Submission,
    validate::CodeLists,
};
use registry_proto::{
    charter::Charter,
    log::{LogSigner, SignedCheckpoint},
    terms::{Date, Land, LogId},
    wire::{
        peer::{BatchEntry, BodyState, peer_message::Message},
        registry::{self as wire, PublishRequest},
    },
};

use crate::sim::{
    disk::{Disk, Group},
    oracle::Oracle,
};

/// How unkind the world is; each a probability per event, 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// A stream breaks at a delivery.
    pub cut: f64,
    /// A node crashes at a tick.
    pub crash: f64,
    /// A group that was not synced survives a crash all the same.
    pub unsynced_survives: f64,
}

/// A simulated Verbund.
#[derive(Debug)]
pub struct World {
    seed: u64,
    rng: SmallRng,
    chaos: Chaos,
    now_ms: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: HashMap<u64, Event>,
    charter: Charter,
    nodes: BTreeMap<Land, SimNode>,
    links: Vec<(Land, Land)>,
    blocked: Vec<(Land, Land)>,
    streams: HashMap<u64, Stream>,
    oracle: Oracle,
    answers: BTreeMap<(Land, u64), Result<Published, Reject>>,
}

#[derive(Debug)]
struct SimNode {
    signer: LogSigner,
    disk: Disk,
    /// Gone while the node is down.
    core: Option<Node>,
    /// Counts the starts; what belongs to an earlier one is void.
    life: u64,
    /// Groups handed to the disk and not yet synced, in order.
    unsynced: Vec<Group>,
    disk_free_ms: BTreeMap<LogId, u64>,
    clock_offset_ms: i64,
    tickets: u64,
    fence: FencePolicy,
}

/// A connection; each end knows it under a session id of its own.
#[derive(Debug)]
struct Stream {
    ends: [(Land, SessionId); 2],
    /// When each direction's last control message and last batch arrive.
    arrives_ms: [[u64; 2]; 2],
}

#[derive(Debug)]
enum Event {
    Tick(Land, u64),
    Dial(usize),
    Deliver { stream: u64, to: usize, message: Message },
    Synced { node: Land, life: u64, signed: Option<SignedCheckpoint> },
    Freshened { node: Land, life: u64, signed: SignedCheckpoint },
    Folded { node: Land, life: u64, size: u64 },
    RangeSent { node: Land, life: u64, range: SendRange, next: u64, bytes: u64 },
    Restart(Land),
}

// === impl World ===

impl World {
    /// A Verbund of these Länder with these links, all nodes down.
    pub fn new(seed: u64, laender: &[Land], links: &[(Land, Land)], chaos: Chaos) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (charter, signers) = charter(laender);
        let nodes = laender
            .iter()
            .zip(signers)
            .map(|(land, signer)| {
                let node = SimNode {
                    signer,
                    disk: Disk::default(),
                    core: None,
                    life: 0,
                    unsynced: Vec::new(),
                    disk_free_ms: BTreeMap::new(),
                    clock_offset_ms: rng.random_range(-2_000..2_000),
                    tickets: 0,
                    fence: FencePolicy::Strict,
                };
                (*land, node)
            })
            .collect();
        let mut world = Self {
            seed,
            rng,
            chaos,
            now_ms: 1,
            sequence: 0,
            queue: BinaryHeap::new(),
            events: HashMap::new(),
            charter,
            nodes,
            links: links.to_vec(),
            blocked: Vec::new(),
            streams: HashMap::new(),
            oracle: Oracle::default(),
            answers: BTreeMap::new(),
        };
        for land in laender {
            world.start(*land);
        }
        for link in 0..links.len() {
            world.at(10, Event::Dial(link));
        }
        world
    }

    /// The seed, for messages.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Lets a Land go on without an answer to its fence.
    pub fn set_fence(&mut self, land: Land, policy: FencePolicy) {
        self.node_mut(land).fence = policy;
        self.crash(land);
        self.start(land);
    }

    /// Ends all unkindness.
    pub fn calm(&mut self) {
        self.chaos = Chaos { cut: 0.0, crash: 0.0, unsynced_survives: 0.0 };
        self.blocked.clear();
    }

    /// Cuts a link until [`World::heal`].
    pub fn cut(&mut self, a: Land, b: Land) {
        self.blocked.push((a, b));
        let broken: Vec<_> =
            self.streams.iter().filter(|(_, it)| it.joins(a, b)).map(|(id, _)| *id).collect();
        for id in broken {
            self.break_stream(id);
        }
    }

    /// Heals all links.
    pub fn heal(&mut self) {
        self.blocked.clear();
    }

    /// Moves the wall clock of a node.
    pub fn shift_clock(&mut self, land: Land, by_ms: i64) {
        self.node_mut(land).clock_offset_ms += by_ms;
    }

    /// Publishes at a node; the answer comes later. `None` when the node is down or the record
    /// is refused before the log is asked.
    pub fn publish(&mut self, land: Land, request: PublishRequest) -> Option<u64> {
        let now = self.clock(land);
        let entropy = self.rng.random();
        let envelope = Envelope {
            request,
            principal: Some(Principal {
                pseudonym: "p-simulated".to_owned(),
                roles: vec![Role::Publisher],
                peer: None,
            }),
            today: Date::from_unix_ms(now.wall_ms),
            wall_ms: now.wall_ms,
            entropy,
        };
        let authorized = envelope.authenticate().and_then(|it| it.authorize());
        let submission = authorized
            .and_then(|it| Submission::validate(it, land, CodeLists::shipped()))
            .unwrap_or_else(|reject| panic!("seed {}: fixture refused: {reject}", self.seed));
        let node = self.node_mut(land);
        node.core.as_ref()?;
        node.tickets += 1;
        let ticket = node.tickets;
        self.input(land, Input::Submit { ticket: Ticket(ticket), submission });
        Some(ticket)
    }

    /// The answer to a publication, once it is there.
    pub fn answer(&self, land: Land, ticket: u64) -> Option<&Result<Published, Reject>> {
        self.answers.get(&(land, ticket))
    }

    /// What is durable at a node.
    pub fn disk(&self, land: Land) -> &Disk {
        &self.nodes[&land].disk
    }

    /// Number of acknowledged records.
    pub fn acknowledged(&self) -> usize {
        self.oracle.acknowledged.len()
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Takes the power of a node: what was not synced may be gone.
    pub fn crash(&mut self, land: Land) {
        let survives = self.chaos.unsynced_survives;
        let lucky = self.rng.random_bool(survives);
        let node = self.node_mut(land);
        if node.core.take().is_none() {
            return;
        }
        node.life += 1;
        node.disk_free_ms.clear();
        let unsynced = std::mem::take(&mut node.unsynced);
        let kept = unsynced.first().filter(|_| lucky);
        if let Some(first) = kept {
            node.disk.write(first);
        }
        if let Some(first) = kept {
            self.released(first);
        }
        let broken: Vec<_> =
            self.streams.iter().filter(|(_, it)| it.touches(land)).map(|(id, _)| *id).collect();
        for id in broken {
            self.break_stream(id);
        }
    }

    /// Loses the disk of a node with everything on it. What only this node held is lost, and the
    /// promise to those who asked for no partner with it.
    pub fn lose_disk(&mut self, land: Land) {
        self.crash(land);
        self.node_mut(land).disk = Disk::default();
        let kept = self.longest(LogId { land, epoch: 1 });
        self.oracle.acknowledged.retain(|(log, index), _| log.land != land || *index < kept);
        self.start(land);
    }

    /// Starts a node from its disk.
    pub fn start(&mut self, land: Land) {
        let now = self.clock(land);
        let entropy = self.rng.random();
        let charter = self.charter.clone();
        let node = self.node_mut(land);
        let setup = Setup {
            charter,
            me: identity(land),
            logs: node.disk.recover(),
            services: node.disk.services(LogId { land, epoch: 1 }),
            fence: node.fence,
            entropy,
        };
        node.life += 1;
        let life = node.life;
        node.core = Some(Node::new(setup, now).expect("a member"));
        let size = node.disk.size(LogId { land, epoch: 1 });
        self.input(land, Input::Folded { size });
        self.at(1, Event::Tick(land, life));
    }

    /// Runs until `done`, or fails after `limit_ms` of simulated time.
    pub fn until(&mut self, limit_ms: u64, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = self.now_ms + limit_ms;
        while !done(self) {
            assert!(
                self.now_ms < deadline,
                "seed {}: not within {limit_ms} ms: {what}\n{}",
                self.seed,
                self.describe()
            );
            self.step();
        }
    }

    /// Runs for some time.
    pub fn run_for(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.step();
        }
    }

    /// True when every node is up and holds every log as far as anyone does.
    pub fn converged(&self) -> bool {
        let up = self.nodes.values().all(|it| it.core.is_some() && it.unsynced.is_empty());
        up && self.nodes.keys().all(|owner| {
            let log = LogId { land: *owner, epoch: 1 };
            let longest = self.longest(log);
            self.nodes.values().all(|it| it.disk.size(log) == longest)
        })
    }

    /// True when every node may publish.
    pub fn all_open(&self) -> bool {
        self.nodes.iter().all(|(land, it)| {
            it.core.as_ref().is_some_and(|core| core.status(self.clock(*land)).fence_open)
        })
    }

    /// Everything that was acknowledged is everywhere.
    pub fn assert_nothing_lost(&self) {
        for ((log, index), leaf) in &self.oracle.acknowledged {
            for (land, node) in &self.nodes {
                let held = usize::try_from(*index)
                    .ok()
                    .and_then(|index| node.disk.logs.get(log)?.leaves.get(index));
                let seed = self.seed;
                assert!(held == Some(leaf), "seed {seed}: {land} lacks {log}/{index}");
            }
        }
    }

    fn longest(&self, log: LogId) -> u64 {
        self.nodes.values().map(|it| it.disk.size(log)).max().unwrap_or_default()
    }

    fn step(&mut self) {
        let Some(Reverse((at, sequence))) = self.queue.pop() else {
            panic!("seed {}: nothing left to happen", self.seed);
        };
        self.now_ms = self.now_ms.max(at);
        let Some(event) = self.events.remove(&sequence) else { return };
        match event {
            Event::Tick(land, life) => self.tick(land, life),
            Event::Dial(link) => self.dial(link),
            Event::Deliver { stream, to, message } => self.deliver(stream, to, message),
            Event::Synced { node, life, signed } => self.synced(node, life, signed),
            Event::Freshened { node, life, signed } => {
                self.later(node, life, Input::Freshened { signed });
            }
            Event::Folded { node, life, size } => self.later(node, life, Input::Folded { size }),
            Event::RangeSent { node, life, range, next, bytes } => {
                self.later(node, life, Input::RangeSent { range, next, bytes });
            }
            Event::Restart(land) => {
                if self.nodes[&land].core.is_none() {
                    self.start(land);
                }
            }
        }
    }

    fn tick(&mut self, land: Land, life: u64) {
        if self.nodes[&land].life != life || self.nodes[&land].core.is_none() {
            return;
        }
        if self.rng.random_bool(self.chaos.crash) {
            self.crash(land);
            let pause = self.rng.random_range(10..20_000);
            self.at(pause, Event::Restart(land));
            return;
        }
        self.input(land, Input::Tick);
        self.at(200, Event::Tick(land, life));
    }

    fn dial(&mut self, link: usize) {
        let (a, b) = self.links[link];
        let again = self.rng.random_range(100..3_000);
        self.at(again, Event::Dial(link));
        let blocked = self.blocked.iter().any(|it| *it == (a, b) || *it == (b, a));
        let up = self.nodes[&a].core.is_some() && self.nodes[&b].core.is_some();
        if blocked || !up || self.streams.values().any(|it| it.joins(a, b)) {
            return;
        }
        self.sequence += 1;
        let id = self.sequence;
        // one id for both ends is fine: nodes never compare them
        let session = SessionId(id);
        // both may dial at once: then the core must choose
        let (from, to) = if self.rng.random_bool(0.5) { (a, b) } else { (b, a) };
        let ends = [(from, session), (to, session)];
        self.streams.insert(id, Stream { ends, arrives_ms: [[0; 2]; 2] });
        self.input(from, Input::SessionOpened { session, peer: identity(to), dialled: true });
        self.input(to, Input::SessionOpened { session, peer: identity(from), dialled: false });
    }

    fn deliver(&mut self, stream: u64, to: usize, message: Message) {
        let Some(ends) = self.streams.get(&stream).map(|it| it.ends) else { return };
        if self.rng.random_bool(self.chaos.cut) {
            self.break_stream(stream);
            return;
        }
        let (land, session) = ends[to];
        self.input(land, Input::Received { session, message });
    }

    fn synced(&mut self, land: Land, life: u64, signed: Option<SignedCheckpoint>) {
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
    fn released(&mut self, group: &Group) {
        let text = String::from_utf8_lossy(&group.note);
        let root = text.lines().nth(2).unwrap_or_default().to_owned();
        self.oracle.signed(group.log, group.note_size, root);
    }

    fn later(&mut self, land: Land, life: u64, input: Input) {
        if self.nodes[&land].life == life {
            self.input(land, input);
        }
    }

    fn input(&mut self, land: Land, input: Input) {
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
                let log = signed.checkpoint.origin.log;
                let entries = commit
                    .entries
                    .into_iter()
                    .map(|it| BatchEntry {
                        header: it.header,
                        salt: bytes::Bytes::copy_from_slice(&it.salt),
                        body: it.body,
                        body_state: BodyState::Present.into(),
                    })
                    .collect();
                let (note, note_size) = (signed.raw().clone(), signed.size());
                self.to_disk(land, Group { log, entries, note, note_size }, Some(signed));
            }
            Effect::Freshen { checkpoint } => {
                let seconds = u64::try_from(self.clock(land).wall_ms / 1_000).unwrap_or_default();
                let signed = checkpoint.sign(&self.nodes[&land].signer, seconds);
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
                };
                self.to_disk(land, group, None);
            }
            Effect::Send { session, message } => self.send(land, session, message, 0),
            Effect::SendRange(range) => {
                let entries_max = self.rng.random_range(1..40);
                let input = match self.nodes[&land].disk.read(&range, entries_max) {
                    None => {
                        self.input(land, Input::RangeFailed { range });
                        return;
                    }
                    Some(batch) => batch,
                };
                let next = input.first + input.entries.len() as u64;
                let size = |it: &BatchEntry| it.header.len() + it.salt.len() + it.body.len();
                let bytes = input.entries.iter().map(size).sum::<usize>() as u64;
                self.send(land, range.session, Message::Batch(input), 1);
                self.at(1, Event::RangeSent { node: land, life, range, next, bytes });
            }
            Effect::Close { session, .. } => self.break_stream(session.0),
            Effect::Report(Notice::Replication(Report::PeerFault { peer, fault })) => {
                panic!("seed {}: {land} blames the honest {}: {fault}", self.seed, peer.land);
            }
            Effect::Report(_) => {}
        }
    }

    fn reply(&mut self, land: Land, ticket: Ticket, outcome: Result<Published, Reject>) {
        if let Ok(published) = &outcome {
            for record in &published.records {
                if let (Some(index), Some(leaf)) = (record.index, record.leaf) {
                    self.oracle.acknowledged(record.log, index, leaf);
                }
            }
            self.check();
        }
        self.answers.insert((land, ticket.0), outcome);
    }

    fn to_disk(&mut self, land: Land, group: Group, signed: Option<SignedCheckpoint>) {
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

    fn send(&mut self, from: Land, session: SessionId, message: Message, lane: usize) {
        let latency = self.rng.random_range(1..50);
        let now = self.now_ms;
        let Some(stream) = self.streams.get_mut(&session.0) else { return };
        let Some(side) = stream.ends.iter().position(|it| it.0 == from) else { return };
        // a lane keeps its order; lanes overtake each other
        let arrives = (now + latency).max(stream.arrives_ms[side][lane]);
        stream.arrives_ms[side][lane] = arrives;
        self.at(arrives - now, Event::Deliver { stream: session.0, to: 1 - side, message });
    }

    fn break_stream(&mut self, id: u64) {
        let Some(stream) = self.streams.remove(&id) else { return };
        for (land, session) in stream.ends {
            self.input(land, Input::SessionClosed { session });
        }
    }

    fn at(&mut self, after_ms: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now_ms + after_ms, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn clock(&self, land: Land) -> Now {
        let wall = i64::try_from(self.now_ms).unwrap_or(i64::MAX);
        Now {
            mono_ms: self.now_ms,
            wall_ms: START_WALL_MS + wall + self.nodes[&land].clock_offset_ms,
        }
    }

    fn node_mut(&mut self, land: Land) -> &mut SimNode {
        self.nodes.get_mut(&land).expect("a member")
    }

    fn check(&mut self) {
        let disks = self.nodes.iter().map(|(land, it)| (*land, &it.disk));
        self.oracle.prefixes_agree(disks);
        for (land, node) in &self.nodes {
            // while its disk is being filled again from partners, a node cannot hold everything
            let recovering =
                node.core.as_ref().is_none_or(|it| !it.status(self.clock(*land)).fence_open);
            if !recovering {
                self.oracle.owner_keeps(*land, &node.disk);
            }
        }
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for (land, node) in &self.nodes {
            let state = node.core.as_ref().map(|it| it.status(self.clock(*land)));
            text.push_str(&format!("{land}: {state:#?}\n"));
        }
        text
    }
}

// === impl Stream ===

impl Stream {
    fn joins(&self, a: Land, b: Land) -> bool {
        self.touches(a) && self.touches(b)
    }

    fn touches(&self, land: Land) -> bool {
        self.ends.iter().any(|it| it.0 == land)
    }
}

fn identity(land: Land) -> PeerIdentity {
    PeerIdentity { land, node: format!("{}-1.example", land.code().to_lowercase()) }
}

fn charter(laender: &[Land]) -> (Charter, Vec<LogSigner>) {
    let key = |land: Land, what: u8| {
        let mut seed = [what; 32];
        seed[..land.code().len()].copy_from_slice(land.code().as_bytes());
        SigningKey::from_bytes(&seed)
    };
    let public = |key: &SigningKey| bytes::Bytes::copy_from_slice(key.verifying_key().as_bytes());
    let mut sorted = laender.to_vec();
    sorted.sort_unstable();
    let members = sorted
        .iter()
        .map(|land| wire::Member {
            land: land.code().to_owned(),
            log_key: public(&key(*land, 1)),
            freshness_key: public(&key(*land, 2)),
            offline_key: public(&key(*land, 3)),
            nodes: vec![wire::MemberNode {
                name: identity(*land).node,
                spki_pins: vec![bytes::Bytes::copy_from_slice(&[*land as u8; 32])],
            }],
            anchors: Vec::new(),
            quota: None,
        })
        .collect::<Vec<_>>();
    let charter = wire::Charter {
        format_level: 1,
        number: 0,
        name: "Simulierter Verbund".to_owned(),
        test: true,
        threshold: u32::try_from(members.len() * 2 / 3 + 1).expect("few members"),
        members,
    };
    let charter = Charter::parse(charter.encode_to_vec().into()).expect("a valid charter");
    let signers = laender.iter().map(|it| LogSigner::new(key(*it, 1), key(*it, 2))).collect();
    (charter, signers)
}

/// 2026-01-01T00:00:00Z.
const START_WALL_MS: i64 = 1_767_225_600_000;
