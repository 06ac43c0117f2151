//! One log as this node holds it: what is verified, what is durable, which head is the newest.

mod checks;
mod fresh;
mod judged;
mod kept;
mod lent;
mod pace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use registry_proto::{
    charter::{LogCut, Member, Standing},
    epoch::TakenReset,
    log::{
        CheckpointError, Frontier, Hash, Keyring, Origin, OwnerKeys, SignedCheckpoint,
        check_consistency,
    },
    terms::{Land, LogId},
    wire::peer::{Batch, BatchEntry, BodyState, Head},
};

use self::{checks::Checked, fresh::Fresh, kept::Fits, lent::Lent};
pub(crate) use self::{
    kept::{Accepted, Came, Kept, Proved},
    lent::Others,
};
use crate::{
    now::Now,
    replicate::{
        SessionId,
        doubts::{Doubts, Point},
        entries::{counts, withdraw},
        fault::{OwnerFault, PeerFault},
    },
};

use pace::Pace;

/// Verified entries to write, in one group under their checkpoint.
///
/// The shell MUST write groups of one log in the order they come, and answer each with
/// `Input::Stored` only after it is durable.
#[derive(Debug)]
pub struct Store {
    /// The log.
    pub log: LogId,
    /// Consecutive entries.
    pub entries: Vec<BatchEntry>,
    /// Signed checkpoint that covers them; empty if only a reset does.
    pub note: Bytes,
    /// Size that the checkpoint signs, or that the reset keeps.
    pub note_size: u64,
    /// Consistency proof from the end of the group to the tree of `note_size`.
    pub proof: Vec<Hash>,
    /// Wall clock of the receipt, milliseconds since 1970-01-01 UTC.
    pub received_ms: i64,
    /// Node name of the partner they came from.
    pub from: String,
}

/// Why a batch is not taken.
#[derive(Debug, PartialEq)]
pub(crate) enum BatchFault {
    /// The partner is to blame: another may have the right bytes.
    Peer(PeerFault),
    /// The owner signed it: the log stops.
    Owner(OwnerFault),
    /// It is of another history than the one that a reset keeps, or rests on what one discarded; who holds
    /// it does nothing wrong.
    OtherHistory,
    /// Bodies of the own past are missing; another partner may have them.
    Gone,
}

/// A log as recovered from disk.
#[derive(Debug)]
pub struct RecoveredLog {
    /// The log.
    pub log: LogId,
    /// Tree over everything durable.
    pub frontier: Frontier,
    /// Newest checkpoint stored, as raw signed note.
    pub head: Option<Bytes>,
    /// Consistency proof, stored with it, from the entries here to what it signs.
    pub head_proof: Vec<Hash>,
    /// Newest checkpoint stored whose size is covered by the entries.
    pub complete: Option<Bytes>,
    /// Recorded time of the last entry, milliseconds since 1970-01-01 UTC; 0 when empty.
    pub last_recorded_ms: i64,
    /// Of the own log: first of the newest entries that came from partners; none when this node
    /// wrote the newest.
    pub pulled_from: Option<u64>,
    /// Of an epoch that a reset ended: true if what is here is a beginning of what that keeps, or
    /// begins with all of it. A part of which nothing says so is held against what partners have.
    pub kept: bool,
}

#[derive(Debug)]
struct Flight {
    size: u64,
    root: Hash,
    /// None if a reset vouches for it.
    point: Option<Point>,
    bodies_missing: u64,
    bytes: u64,
    session: SessionId,
    recorded_ms: i64,
}

/// What is verified and goes to the disk.
struct InFlight {
    /// Up to its end.
    tree: Frontier,
    point: Option<Point>,
    session: SessionId,
    bytes: u64,
}

/// A group that has become durable.
#[derive(Debug)]
pub(crate) struct Landed {
    pub(crate) session: SessionId,
    pub(crate) bytes: u64,
}

/// Size, generation of the keys, whether its time can be, and freshness of a head; the greater one is
/// newer.
pub(crate) type HeadRank = (u64, usize, bool, u64);

/// State of one log.
#[derive(Debug)]
pub(crate) struct Replica {
    origin: Origin,
    keys: Keyring,
    /// Whether the owner takes part.
    standing: Standing,
    received: Frontier,
    received_recorded_ms: i64,
    durable: u64,
    durable_root: Hash,
    durable_recorded_ms: i64,
    /// Bodies among them that were withheld from this node, counted since its start.
    bodies_missing: u64,
    /// Erasures among them that are not carried out yet.
    erasing: BTreeSet<u64>,
    /// There was an erasure in this log.
    erases: bool,
    /// What the owner signed about the durable entries; none when a damaged disk does not tell.
    durable_point: Option<Point>,
    flights: VecDeque<Flight>,
    head: Option<SignedCheckpoint>,
    served: Option<SignedCheckpoint>,
    fresh: Fresh,
    stopped: Option<OwnerFault>,
    doubts: Doubts,
    /// The disk failed: nothing more is taken.
    abandoned: bool,
    /// Digest of the reset that its epoch begins with; none for the first epoch.
    begins: Option<Hash>,
    /// Entries that count, if a reset ended the epoch.
    ends: Option<u64>,
    /// What counts of it, if this node began under that reset.
    keeps: Option<Kept>,
    /// What is received is known to be the beginning of that, or to begin with it.
    kept: bool,
    /// While that is not known: as far as partners have proved what is kept.
    proved: Frontier,
    /// What is here was proved to be another history than the one that is kept.
    contradicted: bool,
    /// A checkpoint that signs all that is kept, and nothing beyond.
    signs_kept: Option<SignedCheckpoint>,
    lent: Lent,
    pace: Pace,
    /// Counts the Follows.
    pub(crate) follows: u64,
    pub(crate) source: Option<Source>,
    /// It is a log of this node's own Land.
    own: bool,
}

/// Where the log is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) session: SessionId,
    /// Number of the Follow; batches of others are ignored.
    pub(crate) follow: u64,
    /// It is asked for what a reset keeps, proved by that and not by a checkpoint.
    pub(crate) kept: bool,
    /// Last time it delivered, or had nothing to deliver.
    pub(crate) progress_mono_ms: u64,
    /// Since when it is the owner and has nothing more, while another partner has.
    pub(crate) outdone_mono_ms: Option<u64>,
}

// === impl Replica ===

impl Replica {
    /// The log of a member.
    pub(crate) fn new(origin: Origin, owner: &Member, recovered: RecoveredLog, now: Now) -> Self {
        let (keys, standing) = (owner.keyring(), owner.standing);
        // what was verified before it was stored verifies again, or counts as not there
        let verified = |raw: &Option<Bytes>| {
            let signed = keys.verify(raw.as_ref()?, &origin).ok()?;
            counts(owner.cut(), &signed).then_some(signed)
        };
        let served = verified(&recovered.complete);
        let head = verified(&recovered.head).or_else(|| served.clone());
        let (size, root) = (recovered.frontier.size(), recovered.frontier.root());
        let durable_point = head.clone().and_then(|note| {
            let proof = recovered.head_proof;
            check_consistency(&proof, size, &root, note.size(), note.root()).ok()?;
            Some(Point::under(size, root, note, proof))
        });
        Self {
            keys,
            standing,
            durable: recovered.frontier.size(),
            durable_root: recovered.frontier.root(),
            durable_recorded_ms: recovered.last_recorded_ms,
            bodies_missing: 0,
            erasing: BTreeSet::new(),
            erases: false,
            durable_point,
            received: recovered.frontier.clone(),
            received_recorded_ms: recovered.last_recorded_ms,
            flights: VecDeque::new(),
            head,
            served,
            fresh: Fresh::new(now),
            stopped: None,
            doubts: Doubts::default(),
            abandoned: false,
            begins: None,
            ends: None,
            keeps: None,
            kept: recovered.kept || recovered.frontier.size() == 0,
            proved: Frontier::default(),
            contradicted: false,
            signs_kept: None,
            lent: Lent::default(),
            pace: Pace::new(owner.quota, recovered.frontier.size() == 0, now),
            follows: 0,
            source: None,
            own: false,
            origin,
        }
    }

    /// Between two resets: the one its epoch begins with, and what counts since the other.
    pub(crate) fn between(mut self, begins: Option<Hash>, keeps: Option<Kept>) -> Self {
        (self.begins, self.keeps) = (begins, keeps);
        self.ends = keeps.map(|it| it.size);
        let known: Vec<_> = self.head.iter().chain(&self.served).cloned().collect();
        known.iter().for_each(|it| self.note_signed_end(it));
        self
    }

    /// Says whether it is a log of this node's own Land.
    pub(crate) fn of(mut self, land: Land) -> Self {
        self.own = self.origin.log.land == land;
        self
    }

    pub(crate) fn log(&self) -> LogId {
        self.origin.log
    }

    /// Entries that count, if a reset ended the epoch.
    pub(crate) fn ends(&self) -> Option<u64> {
        self.ends
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    pub(crate) fn durable_root(&self) -> Hash {
        self.durable_root
    }

    /// Bodies that were withheld from this node, counted since its start.
    pub(crate) fn bodies_missing(&self) -> u64 {
        self.bodies_missing
    }

    /// Every erasure among the first so many entries is carried out.
    pub(crate) fn erased(&self) -> u64 {
        self.erasing.first().map_or(self.durable, |by| self.durable.min(*by))
    }

    /// True when there was an erasure in this log since the start.
    pub(crate) fn erases(&self) -> bool {
        self.erases
    }

    /// The erasure at `by` is found, and not carried out yet.
    pub(crate) fn erasing(&mut self, by: u64) {
        self.erases = true;
        self.erasing.insert(by);
    }

    /// The erasure at `by` is carried out.
    pub(crate) fn carried_out(&mut self, by: u64) {
        self.erasing.remove(&by);
    }

    /// True when a checkpoint is known to sign a beginning of what is durable here.
    pub(crate) fn begins_with(&self, signed: &SignedCheckpoint) -> bool {
        let durable = (self.durable, &self.durable_root) == (signed.size(), signed.root());
        signed.size() <= self.durable && (durable || self.doubts.knows(signed))
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.size()
    }

    pub(crate) fn received_frontier(&self) -> &Frontier {
        &self.received
    }

    pub(crate) fn durable_recorded_ms(&self) -> i64 {
        self.durable_recorded_ms
    }

    pub(crate) fn head(&self) -> Option<&SignedCheckpoint> {
        self.head.as_ref()
    }

    /// Entries that are known to be there: as many as were signed, or as the reset of the epoch keeps.
    pub(crate) fn known(&self) -> u64 {
        let signed = self.head.as_ref().map_or(0, SignedCheckpoint::size);
        self.ends.unwrap_or(signed).max(self.durable)
    }

    pub(crate) fn served(&self) -> Option<&SignedCheckpoint> {
        self.served.as_ref()
    }

    /// Whether its owner takes part.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    /// End of what counts of it; `None` while everything does.
    pub(crate) fn cut(&self) -> Option<LogCut> {
        match self.standing {
            Standing::Active => None,
            Standing::Suspended(cut) | Standing::Removed(cut) => Some(cut),
        }
    }

    /// True if what a checkpoint signs lies within what counts of the log.
    pub(crate) fn counts(&self, signed: &SignedCheckpoint) -> bool {
        counts(self.cut(), signed)
    }

    /// True if a checkpoint was made by the keys in use.
    pub(crate) fn is_current(&self, signed: &SignedCheckpoint) -> bool {
        signed.is_by(self.keys.current())
    }

    pub(crate) fn stopped(&self) -> Option<&OwnerFault> {
        self.stopped.as_ref()
    }

    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.flights.clear();
    }

    /// True while groups are on their way to the disk.
    pub(crate) fn is_landing(&self) -> bool {
        !self.flights.is_empty()
    }

    /// What this node tells partners it holds.
    pub(crate) fn announce(&self) -> Head {
        // entries that no verified checkpoint covers (a damaged disk) are not there for others
        let (size, root) = match &self.head {
            None => (0, &Hash::EMPTY_ROOT),
            Some(head) if head.size() < self.durable => (head.size(), head.root()),
            // nobody waits for more of an epoch that ended than can be served
            Some(_) if self.keeps.is_some() => match &self.served {
                Some(served) => (served.size(), served.root()),
                None => (0, &Hash::EMPTY_ROOT),
            },
            Some(_) => (self.durable, &self.durable_root),
        };
        // a larger head that is known must not hide what is held
        let held = self
            .served
            .as_ref()
            .filter(|it| Some(it.size()) < self.head.as_ref().map(SignedCheckpoint::size));
        Head {
            land: self.origin.log.land.code().to_owned(),
            epoch: self.origin.log.epoch,
            size,
            root: Bytes::copy_from_slice(root.as_bytes()),
            checkpoint: self.head.as_ref().map(|it| it.raw().clone()).unwrap_or_default(),
            held: held.map(|it| it.raw().clone()).unwrap_or_default(),
            kept: self.holds_kept().is_some(),
        }
    }

    /// Verifies a checkpoint of this log.
    pub(crate) fn verify(&self, raw: &Bytes) -> Result<SignedCheckpoint, PeerFault> {
        if let Some(known) = self.head.iter().chain(&self.served).find(|it| it.raw() == raw) {
            return Ok(known.clone());
        }
        let log = self.origin.log;
        match self.keys.verify(raw, &self.origin) {
            Ok(signed) if counts(self.cut(), &signed) => Ok(signed),
            Ok(signed) => Err(PeerFault::BeyondCut { log, size: signed.size() }),
            Err(CheckpointError::OtherKeys { size }) => Err(PeerFault::BeyondCut { log, size }),
            Err(source) => Err(PeerFault::Checkpoint { log, source }),
        }
    }

    /// Takes note of a verified checkpoint; true when it is newer than the known one.
    pub(crate) fn learn(&mut self, signed: SignedCheckpoint, now: Now) -> Result<bool, OwnerFault> {
        let contradicts = |size: u64, root: &Hash| signed.size() == size && signed.root() != root;
        let received = self.received.size();
        let twice = (self.durable > 0 && contradicts(self.durable, &self.durable_root))
            || (received > 0
                && received == signed.size()
                && contradicts(received, &self.received.root()))
            || self.head.iter().chain(&self.served).any(|it| contradicts(it.size(), it.root()));
        if twice {
            let fault = OwnerFault::Equivocation { log: self.origin.log, size: signed.size() };
            let notes = self.head.iter().chain(&self.served).map(Point::signed);
            let flights = self.flights.iter().filter_map(|it| it.point.as_ref());
            let points = self.durable_point.iter().chain(flights);
            let mut points = notes.chain(points.cloned());
            self.doubts.proved = points.find_map(|it| it.convicts(&signed));
            self.stopped = Some(fault.clone());
            return Err(fault);
        }
        self.note_signed_end(&signed);
        self.note_ahead(&signed, now);
        let newer =
            self.head.as_ref().is_none_or(|it| self.rank(&signed, now) > self.rank(it, now));
        if newer {
            let fresh = |it: &SignedCheckpoint| self.freshness(it, now);
            let fresher = self.head.as_ref().is_none_or(|head| fresh(&signed) > fresh(head));
            if fresher {
                self.fresh.seen(now);
            }
            if signed.size() == self.durable {
                self.served = Some(signed.clone());
            }
            self.head = Some(signed);
        }
        Ok(newer)
    }

    /// Checks a batch by itself, from the bytes to the owner's signature, and moves the verified
    /// tree on. On a fault nothing changes but `stopped` and the newest verified head. A checkpoint
    /// of a later epoch that excuses missing bodies comes with what is to be stored.
    pub(crate) fn accept(
        &mut self,
        mut batch: Batch,
        session: SessionId,
        from: &str,
        now: Now,
        resets: &BTreeMap<LogId, TakenReset>,
    ) -> Result<(Store, Option<SignedCheckpoint>), BatchFault> {
        let log = self.origin.log;
        let expected = self.received.size();
        let bytes = self.check_size(&batch, expected, session).map_err(BatchFault::Peer)?;
        let signed = self.verify(&batch.checkpoint).map_err(BatchFault::Peer)?;
        let (tree, fits) = self.grown(&batch);
        let root = tree.root();
        let proof = match self.check_tree(&batch, &signed.checkpoint, tree.size(), &root) {
            // of an epoch that ended there may be two: that which is here, or what the partner has
            Err(PeerFault::Proof { .. }) if self.keeps.is_some() => {
                return Err(BatchFault::OtherHistory);
            }
            checked => checked.map_err(BatchFault::Peer)?,
        };
        // from here on the owner's signature stands behind the headers
        self.learn(signed.clone(), now).map_err(BatchFault::Owner)?;
        if fits == Fits::No {
            return Err(BatchFault::OtherHistory);
        }
        self.lend(&mut batch);
        let checked = self.check_entries(&batch, signed.checkpoint, resets);
        let checked = checked.inspect_err(|fault| {
            if let BatchFault::Owner(fault) = fault {
                self.stopped = Some(fault.clone());
            }
        })?;
        if checked.gone {
            self.may_lack(&batch, session, now)?;
        }
        self.now_kept(fits == Fits::Yes);
        let (note_size, batch_note) = (signed.size(), batch.checkpoint.clone());
        let point = Point::under(tree.size(), root, signed, proof.clone());
        let flight = InFlight { tree, point: Some(point), session, bytes };
        let (entries, later) = self.take(batch, checked, flight);
        let store = Store {
            log,
            entries,
            note: batch_note,
            note_size,
            proof,
            received_ms: now.wall_ms,
            from: from.to_owned(),
        };
        Ok((store, later))
    }

    /// Moves the verified tree on; what is to be stored, without the bodies that are erased later in
    /// the same batch.
    fn take(
        &mut self,
        mut batch: Batch,
        checked: Checked,
        flight: InFlight,
    ) -> (Vec<BatchEntry>, Option<SignedCheckpoint>) {
        let Checked { recorded_ms, erasures, later, .. } = checked;
        let InFlight { tree, point, session, bytes } = flight;
        for it in &erasures {
            withdraw(&mut batch, it);
        }
        let (size, root) = (tree.size(), tree.root());
        self.received = tree;
        self.received_recorded_ms = recorded_ms;
        self.doubts.know(size, root);
        let missing = batch.entries.iter().filter(|it| it.body_state() == BodyState::Withheld);
        let bodies_missing = missing.count() as u64;
        let flight = Flight { size, root, point, bodies_missing, bytes, session, recorded_ms };
        self.flights.push_back(flight);
        (batch.entries, later)
    }

    /// The oldest group under way is durable.
    pub(crate) fn landed(&mut self) -> Option<Landed> {
        let flight = self.flights.pop_front()?;
        self.durable = flight.size;
        self.durable_root = flight.root;
        self.durable_recorded_ms = flight.recorded_ms;
        self.bodies_missing += flight.bodies_missing;
        if let Some(complete) = flight.point.as_ref().and_then(Point::complete) {
            self.served = Some(complete.clone());
        }
        self.durable_point = flight.point;
        // a fresher signature of the same tree serves as well
        let durable = (self.durable, &self.durable_root);
        if let Some(head) = self.head.as_ref().filter(|it| (it.size(), it.root()) == durable) {
            self.served = Some(head.clone());
        }
        Some(Landed { session: flight.session, bytes: flight.bytes })
    }

    /// The own log grew by a commit of this node.
    pub(crate) fn grew(&mut self, signed: SignedCheckpoint, recorded_ms: i64, now: Now) {
        self.durable = signed.size();
        self.durable_root = *signed.root();
        self.durable_recorded_ms = recorded_ms;
        self.durable_point = Some(Point::signed(&signed));
        self.doubts.know(signed.size(), *signed.root());
        self.fresh.seen(now);
        self.served = Some(signed.clone());
        self.head = Some(signed);
    }

    /// Starts to receive from this tree on (the own log, before its entries come back).
    pub(crate) fn receive_from(&mut self, frontier: Frontier) {
        self.received_recorded_ms = self.durable_recorded_ms;
        self.received = frontier;
    }
}
