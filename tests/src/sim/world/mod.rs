//! Nodes, links, disks and time.

mod aside;
mod charter;
mod shell;
mod sleep;
mod streams;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use registry_core::{
    FencePolicy,
    authorize::{Principal, Role},
    envelope::{Envelope, Purpose},
    limits,
    log::{Published, Ticket},
    node::{Input, Node, Setup},
    now::Now,
    reject::Reject,
    replicate::{Examination, Found, Look, SendRange, SessionId},
    status::LogState,
    submission::Submission,
    validate::CodeLists,
};
use registry_proto::{
    charter::Charter,
    log::{Cosigned, LogSigner, SignedCheckpoint},
    receipt::SignedReceipt,
    terms::{Date, Land, LogId},
    wire::{peer::peer_message::Message, registry::PublishRequest},
};

use charter::{START_WALL_MS, charter, identity};
use sleep::Sleep;
use streams::Stream;

use crate::sim::{
    disk::{Disk, Group},
    double::Double,
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
    /// The wall clock of a node jumps at a tick.
    pub jump: f64,
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
    liar: Option<Land>,
    double: Option<Double>,
    /// Who keeps what from whom: (from, to, owner of the log, also heads).
    withheld: Option<(Land, Land, Land, bool)>,
    streams: HashMap<u64, Stream>,
    oracle: Oracle,
    answers: BTreeMap<(Land, u64), Result<Published, Reject>>,
    /// Entries that were set aside, by owner.
    set_aside: BTreeMap<Land, u64>,
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
    /// The disk was put back; the fence has not opened since.
    moved: bool,
    /// Time in which the machine was asleep; its monotonic clock knows nothing of it.
    slept_ms: u64,
    /// What waits for a machine that is asleep.
    asleep: Option<Sleep>,
}

#[derive(Debug)]
enum Event {
    Tick(Land, u64),
    Dial(usize),
    Opened {
        stream: u64,
        side: usize,
    },
    Closed {
        node: Land,
        session: SessionId,
    },
    Deliver {
        stream: u64,
        to: usize,
        message: Message,
    },
    Synced {
        node: Land,
        life: u64,
        signed: Option<SignedCheckpoint>,
    },
    Freshened {
        node: Land,
        life: u64,
        signed: SignedCheckpoint,
    },
    Folded {
        node: Land,
        life: u64,
        size: u64,
    },
    RangeSent {
        node: Land,
        life: u64,
        range: SendRange,
        next: u64,
        bytes: u64,
    },
    Attested {
        node: Land,
        life: u64,
        receipt: Option<SignedReceipt>,
        cosigned: Option<Cosigned>,
        log: LogId,
    },
    Examined {
        node: Land,
        life: u64,
        examination: Examination,
        found: Option<Found>,
    },
    Looked {
        node: Land,
        life: u64,
        look: Look,
        found: Option<Found>,
    },
    Marked {
        node: Land,
        life: u64,
        log: LogId,
    },
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
                    moved: false,
                    slept_ms: 0,
                    asleep: None,
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
            liar: None,
            double: None,
            withheld: None,
            streams: HashMap::new(),
            oracle: Oracle::default(),
            answers: BTreeMap::new(),
            set_aside: BTreeMap::new(),
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

    /// Makes the node of a Land say what it should not; it is not judged any more.
    pub fn set_liar(&mut self, land: Land) {
        self.liar = Some(land);
    }

    /// From now on a Land signs two histories and shows the deceived another one than the others;
    /// its log is not judged any more.
    pub fn set_double(&mut self, owner: Land, deceived: &[Land]) {
        let fork = self.nodes[&owner].disk.size(LogId { land: owner, epoch: 1 });
        self.oracle.forked = Some(owner);
        self.double = Some(Double { owner, fork, deceived: deceived.iter().copied().collect() });
    }

    /// From now on one node keeps the log of `owner` from another: its entries, or its heads too.
    pub fn withhold(&mut self, from: Land, to: Land, owner: Land, heads_too: bool) {
        self.withheld = Some((from, to, owner, heads_too));
    }

    /// How a node stands to the log of a Land, and whether it has evidence against it; `None`
    /// while it is down.
    pub fn state(&self, land: Land, owner: Land) -> Option<(LogState, bool)> {
        let status = self.nodes[&land].core.as_ref()?.status(self.clock(land));
        let log = status.logs.iter().find(|it| it.log.land == owner)?;
        Some((log.state, log.forked))
    }

    /// Entries of the log of a Land that a majority found consistent, as a node sees it.
    pub fn cosigned(&self, land: Land, owner: Land) -> Option<u64> {
        let status = self.nodes[&land].core.as_ref()?.status(self.clock(land));
        status.logs.iter().find(|it| it.log.land == owner).map(|it| it.cosigned)
    }

    /// Changes how unkind the world is.
    pub fn set_chaos(&mut self, chaos: Chaos) {
        self.chaos = chaos;
    }

    /// Ends all unkindness, but not the lies.
    pub fn calm(&mut self) {
        self.chaos = Chaos { cut: 0.0, crash: 0.0, unsynced_survives: 0.0, jump: 0.0 };
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
            purpose: Purpose::Publish,
            principal: Some(Principal::with_roles("p-simulated", &[Role::Publisher])),
            today: Date::from_unix_ms(now.wall_ms),
            wall_ms: now.wall_ms,
            entropy,
        };
        let authorized = envelope.authenticate().and_then(|it| it.authorize());
        let submission = authorized
            .and_then(|it| Submission::validate(it, land, CodeLists::shipped()))
            .unwrap_or_else(|reject| panic!("seed {}: fixture refused: {reject}", self.seed));
        let node = self.node_mut(land);
        node.core.as_ref().filter(|_| node.asleep.is_none())?;
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
        self.break_streams(land);
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

    /// Puts an older disk back, as a backup does.
    pub fn restore(&mut self, land: Land, backup: &Disk) {
        self.crash(land);
        let node = self.node_mut(land);
        node.disk = backup.clone();
        node.moved = true;
        self.start(land);
    }

    /// Starts a node from its disk.
    pub fn start(&mut self, land: Land) {
        self.without_unseen(land);
        let now = self.clock(land);
        let entropy = self.rng.random();
        let charter = self.charter.clone();
        let linked = self.links.iter().filter(|(a, b)| *a == land || *b == land);
        let partners = linked.map(|(a, b)| if *a == land { *b } else { *a }).collect();
        let node = self.node_mut(land);
        let setup = Setup {
            charter,
            past: Vec::new(),
            me: identity(land),
            logs: node.disk.recover(),
            services: node.disk.services(LogId { land, epoch: 1 }),
            resets: Vec::new(),
            evidence: node.disk.evidence.values().cloned().collect(),
            receipts: node.disk.book.newest().cloned().collect(),
            cosigned: node.disk.cosigned.values().cloned().collect(),
            seen: node.disk.seen(LogId { land, epoch: 1 }),
            fence: node.fence,
            partners,
            moved: node.moved,
            quiet_ms: limits::FENCE_QUIET_MS,
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

    /// True when every node that does not lie is up and holds every log as far as anyone does.
    pub fn converged(&self) -> bool {
        let up = self.judged().all(|(_, it)| it.core.is_some() && it.unsynced.is_empty());
        let judged = self.nodes.keys().filter(|it| Some(**it) != self.oracle.forked);
        up && judged.into_iter().all(|owner| {
            let log = LogId { land: *owner, epoch: 1 };
            let longest = self.longest(log);
            self.judged().all(|(_, it)| it.disk.size(log) == longest)
        })
    }

    /// True when every node may publish.
    pub fn all_open(&self) -> bool {
        self.judged().all(|(land, it)| {
            it.core.as_ref().is_some_and(|core| core.status(self.clock(*land)).fence_open)
        })
    }

    /// Everything that was acknowledged is everywhere.
    pub fn assert_nothing_lost(&self) {
        let promised = self.oracle.acknowledged.iter();
        for ((log, index), leaf) in promised.filter(|((log, _), _)| Some(log.land) != self.liar) {
            for (land, node) in self.judged() {
                let held = usize::try_from(*index)
                    .ok()
                    .and_then(|index| node.disk.logs.get(log)?.leaves.get(index));
                let seed = self.seed;
                assert!(held == Some(leaf), "seed {seed}: {land} lacks {log}/{index}");
            }
        }
    }

    fn longest(&self, log: LogId) -> u64 {
        self.judged().map(|(_, it)| it.disk.size(log)).max().unwrap_or_default()
    }

    fn judged(&self) -> impl Iterator<Item = (&Land, &SimNode)> {
        self.nodes.iter().filter(|(land, _)| Some(**land) != self.liar)
    }

    fn step(&mut self) {
        let Some(Reverse((at, sequence))) = self.queue.pop() else {
            panic!("seed {}: nothing left to happen", self.seed);
        };
        self.now_ms = self.now_ms.max(at);
        let Some(event) = self.events.remove(&sequence) else { return };
        let Some(event) = self.postponed(event) else { return };
        match event {
            Event::Tick(land, life) => self.tick(land, life),
            Event::Dial(link) => self.dial(link),
            Event::Opened { stream, side } => self.opened(stream, side),
            Event::Closed { node, session } => self.input(node, Input::SessionClosed { session }),
            Event::Deliver { stream, to, message } => self.deliver(stream, to, message),
            Event::Synced { node, life, signed } => self.synced(node, life, signed),
            Event::Freshened { node, life, signed } => {
                self.later(node, life, Input::Freshened { signed });
            }
            Event::Folded { node, life, size } => self.later(node, life, Input::Folded { size }),
            Event::RangeSent { node, life, range, next, bytes } => {
                self.later(node, life, Input::RangeSent { range, next, bytes });
            }
            Event::Attested { node, life, log, receipt, cosigned } => {
                self.attested(node, life, log, receipt, cosigned);
            }
            Event::Examined { node, life, examination, found } => {
                let examination = Box::new(examination);
                self.later(node, life, Input::Examined { examination, found });
            }
            Event::Looked { node, life, look, found } => {
                self.later(node, life, Input::Looked { look, found });
            }
            Event::Marked { node, life, log } => self.marked(node, life, log),
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
        if self.rng.random_bool(self.chaos.jump) {
            let by = self.rng.random_range(11_000..100_000);
            let forth = self.rng.random_bool(0.5);
            self.shift_clock(land, if forth { by } else { -by });
        }
        self.input(land, Input::Tick);
        self.at(200, Event::Tick(land, life));
    }

    fn at(&mut self, after_ms: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now_ms + after_ms, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn clock(&self, land: Land) -> Now {
        let wall = i64::try_from(self.now_ms).unwrap_or(i64::MAX);
        Now {
            mono_ms: self.now_ms - self.nodes[&land].slept_ms,
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
