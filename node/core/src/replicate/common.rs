//! How far the two histories of a forked log are the same. Who cosigned the other one vouches for
//! that part too, so entries are disputed from the same place on at whoever knows both.
//!
//! Partners are asked for beginnings of the tree that a witness cosigned. The proof of each leads to
//! the checkpoint that the owner signed and the witness cosigned, so nobody who answers is believed:
//! who lies is as good as who has another history, and is not asked about that tree again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use registry_proto::{
    log::{Cosigned, Hash, PROOF_HASHES_MAX, check_consistency},
    terms::{Land, LogId},
    wire::peer::{AskBeginning, Beginning, peer_message::Message},
};

use crate::{
    limits,
    now::Now,
    replicate::{Found, Heard, PeerFault, Replica, Replication, SessionId, Wish},
};

/// Size and root of a tree that an owner signed.
type Tree = (u64, Hash);

/// A question to the disk: which root has a log at `size`, and how does it lead to its tree of `of`
/// entries?
///
/// The shell MUST answer each with `Input::Looked`; one of a log is asked for this node, and one for
/// each partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The log.
    pub log: LogId,
    /// Size of the beginning.
    pub size: u64,
    /// Entries of the tree; no more than are durable.
    pub of: u64,
    /// The partner that wants to know; none when it is this node.
    pub asked_by: Option<SessionId>,
}

/// What is known of the trees that were cosigned, by forked log.
#[derive(Debug, Default)]
pub(crate) struct Common {
    logs: BTreeMap<LogId, Compared>,
    /// When a search began last.
    searched_mono_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Compared {
    trees: BTreeMap<Tree, Shared>,
    /// Who was asked about which.
    asked: BTreeSet<(SessionId, Tree)>,
    search: Option<Search>,
}

/// What a tree has in common with the one here.
#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    size: u64,
    /// It is no more than that.
    exact: bool,
}

/// Where a tree parts from the one here, looked for by halves.
#[derive(Debug)]
struct Search {
    tree: Tree,
    /// Who is asked; without anybody only the same size can be compared.
    partner: Option<SessionId>,
    /// Known to be common.
    low: u64,
    /// Beyond it nothing is.
    high: u64,
    /// What is looked at.
    at: u64,
    /// Root here of that size, once the disk has told it.
    here: Option<Hash>,
    since_mono_ms: u64,
}

// === impl Common ===

impl Common {
    /// Entries that are proved to be the same in a cosigned tree and here.
    pub(crate) fn shared(&self, cosigned: &Cosigned) -> u64 {
        let log = cosigned.signed().checkpoint.origin.log;
        let trees = self.logs.get(&log).map(|it| &it.trees);
        trees.and_then(|it| it.get(&tree_of(cosigned))).map_or(0, |it| it.size)
    }
}

// === impl Compared ===

impl Compared {
    /// Forgets trees that nobody stands for any more, and partners that are gone.
    fn retain(
        &mut self,
        wanted: &BTreeMap<Tree, BTreeSet<Land>>,
        open: &BTreeMap<SessionId, Land>,
    ) {
        self.trees.retain(|tree, _| wanted.contains_key(tree));
        self.asked.retain(|(id, tree)| open.contains_key(id) && wanted.contains_key(tree));
    }

    /// Begins the next search, if there is any.
    fn next(
        &mut self,
        durable: u64,
        wanted: &BTreeMap<Tree, BTreeSet<Land>>,
        open: &BTreeMap<SessionId, Land>,
        now: Now,
    ) -> Option<u64> {
        for (tree, witnesses) in wanted {
            let most = tree.0.min(durable);
            let known = self.trees.get(tree).copied();
            if known.is_some_and(|it| it.exact || it.size >= most) {
                continue;
            }
            let unasked = open.iter().filter(|(id, _)| !self.asked.contains(&(**id, *tree)));
            // the witness has it for certain
            let partner = unasked.min_by_key(|(id, land)| (!witnesses.contains(land), **id));
            let partner = partner.map(|(id, _)| *id);
            if partner.is_none() && (known.is_some() || tree.0 > durable) {
                continue;
            }
            let low = self.trees.entry(*tree).or_default().size;
            self.asked.extend(partner.map(|it| (it, *tree)));
            let since_mono_ms = now.mono_ms;
            let (tree, here) = (*tree, None);
            self.search =
                Some(Search { tree, partner, low, high: most, at: most, here, since_mono_ms });
            return Some(most);
        }
        None
    }

    /// What was looked at is the same in both, or not; what to look at next.
    fn step(&mut self, same: bool, now: Now) -> Option<u64> {
        let mut search = self.search.take()?;
        match same {
            true => search.low = search.at,
            false => search.high = search.at.saturating_sub(1),
        }
        let (low, high) = (search.low, search.high);
        let done = low >= high;
        let known = self.trees.entry(search.tree).or_default();
        *known = Shared { size: known.size.max(low), exact: done };
        if done {
            return None;
        }
        search.at = low + (high - low).div_ceil(2);
        (search.here, search.since_mono_ms) = (None, now.mono_ms);
        let at = search.at;
        self.search = Some(search);
        Some(at)
    }
}

// === impl Replication ===

impl Replication {
    /// Finds out about logs with two histories how far those are the same, one question at a time.
    pub(super) fn compare(&mut self, now: Now) {
        let soon = |it: u64| now.mono_ms.saturating_sub(it) < limits::BEGINNINGS_SEARCH_MS;
        if self.common.searched_mono_ms.is_some_and(soon) {
            return;
        }
        // of what a reset ended it says what counts
        let forked = |it: &&Replica| it.evidence().is_some() && it.ends().is_none();
        let forked: Vec<_> = self.replicas.values().filter(forked).collect();
        let forked: Vec<_> = forked.iter().map(|it| (it.log(), it.durable())).collect();
        for (log, durable) in forked {
            let open = self.sessions.iter().filter(|(_, it)| it.is_open());
            let open: BTreeMap<_, _> = open.map(|(id, it)| (*id, it.peer.land)).collect();
            let wanted = self.wanted(log, durable);
            let compared = self.common.logs.entry(log).or_default();
            compared.retain(&wanted, &open);
            if let Some(search) = &compared.search {
                let passed = now.mono_ms.saturating_sub(search.since_mono_ms);
                let is_there = search.partner.is_none_or(|it| open.contains_key(&it));
                if passed < limits::BEGINNING_ANSWER_MS && is_there {
                    continue;
                }
                compared.search = None;
            }
            let next = compared.next(durable, &wanted, &open, now);
            if next.is_some() {
                self.common.searched_mono_ms = Some(now.mono_ms);
                self.look_at(log, next);
                // what partners are asked in a second is limited, however many logs are forked
                break;
            }
        }
    }

    /// Trees that were cosigned and are not known to be all of what is here, or a beginning, with
    /// who stands for each. Its owner does not count.
    fn wanted(&self, log: LogId, durable: u64) -> BTreeMap<Tree, BTreeSet<Land>> {
        let mut wanted: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (pair, it) in self.testimony.cosigned(log).filter(|((land, _), _)| *land != log.land) {
            let most = it.signed().size().min(durable);
            if most > 0 && self.testimony.agreed(pair) < most {
                wanted.entry(tree_of(it)).or_default().insert(pair.0);
            }
        }
        wanted
    }

    fn look_at(&mut self, log: LogId, size: Option<u64>) {
        let look = size.map(|size| Look { log, size, of: size, asked_by: None });
        self.wishes.extend(look.map(Wish::Look));
    }

    /// The disk has answered, or cannot.
    pub(crate) fn looked(&mut self, look: &Look, found: Option<&Found>, now: Now) {
        if let Some(id) = look.asked_by {
            self.answer_beginning(id, look, found);
            return;
        }
        let log = look.log;
        let Some(compared) = self.common.logs.get_mut(&log) else { return };
        let Some(search) = &mut compared.search else { return };
        if search.at != look.size || search.here.is_some() {
            return;
        }
        let (tree, at) = (search.tree, search.at);
        match (found, search.partner) {
            (Some(found), _) if at == tree.0 => {
                let same = found.root == tree.1;
                let next = compared.step(same, now);
                if same && let Some(replica) = self.replicas.get_mut(&log) {
                    replica.know(at, found.root);
                    self.agree(log);
                }
                self.look_at(log, next);
            }
            (Some(found), Some(partner)) => {
                search.here = Some(found.root);
                search.since_mono_ms = now.mono_ms;
                let (land, epoch) = (log.land.code().to_owned(), log.epoch);
                let ask = AskBeginning { land, epoch, size: at, of: tree.0 };
                self.send(partner, Message::AskBeginning(ask));
            }
            // the disk cannot tell, or there is nobody to ask
            (None, _) | (_, None) => compared.search = None,
        }
    }

    /// A partner answers; what nobody waits for is nothing.
    pub(super) fn told_beginning(
        &mut self,
        id: SessionId,
        told: &Beginning,
        now: Now,
    ) -> Option<Heard> {
        let log = self.known_log(&told.land, told.epoch)?;
        if self.hides(log) {
            return self.told_end(id, told, now);
        }
        let compared = self.common.logs.get_mut(&log)?;
        let awaited = compared
            .search
            .as_ref()
            .filter(|it| (it.partner, it.at, it.tree.0) == (Some(id), told.size, told.of));
        let (tree, here) = awaited.and_then(|it| Some((it.tree, it.here?)))?;
        match proved(told, &tree) {
            Some(root) => {
                let next = compared.step(root == here, now);
                self.look_at(log, next);
            }
            // it does not have that tree; another partner may
            None => compared.search = None,
        }
        None
    }

    /// A partner wants to know how a beginning of a log leads to more of it. It is always answered, at
    /// once that nothing is told if the log is not here, not to be shown, or read for it already.
    pub(super) fn asked_beginning(
        &mut self,
        id: SessionId,
        ask: &AskBeginning,
        now: Now,
    ) -> Result<(), PeerFault> {
        let log = self.known_log(&ask.land, ask.epoch).filter(|log| !self.hides(*log));
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        session.spend_beginning(now)?;
        let held = |it: &Replica| (1..ask.of).contains(&ask.size) && ask.of <= it.durable();
        let held = |log: &LogId| self.replicas.get(log).is_some_and(held);
        // who waits for one of the log already is told nothing of another
        if let Some(log) = log.filter(held).filter(|log| session.looking.insert(*log)) {
            let look = Look { log, size: ask.size, of: ask.of, asked_by: Some(id) };
            self.wishes.push_back(Wish::Look(look));
            return Ok(());
        }
        let (land, epoch) = (ask.land.chars().take(16).collect(), ask.epoch);
        let (size, of) = (ask.size, ask.of);
        let none = Beginning { land, epoch, size, of, ..Beginning::default() };
        self.send(id, Message::Beginning(none));
        Ok(())
    }

    fn answer_beginning(&mut self, id: SessionId, look: &Look, found: Option<&Found>) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.looking.remove(&look.log);
        let bytes = |it: &Hash| Bytes::copy_from_slice(it.as_bytes());
        let beginning = Beginning {
            land: look.log.land.code().to_owned(),
            epoch: look.log.epoch,
            size: look.size,
            of: look.of,
            root: found.map(|it| bytes(&it.root)).unwrap_or_default(),
            proof: found.map(|it| it.proof.iter().map(bytes).collect()).unwrap_or_default(),
        };
        self.send(id, Message::Beginning(beginning));
    }
}

/// The root that a tree is proved to have had.
pub(super) fn proved(told: &Beginning, tree: &Tree) -> Option<Hash> {
    if told.proof.len() > PROOF_HASHES_MAX {
        return None;
    }
    let hash = |it: &Bytes| Hash::try_from(&it[..]).ok();
    let root = hash(&told.root)?;
    let proof: Vec<Hash> = told.proof.iter().map(hash).collect::<Option<_>>()?;
    check_consistency(&proof, told.size, &root, tree.0, &tree.1).ok()?;
    Some(root)
}

fn tree_of(cosigned: &Cosigned) -> Tree {
    (cosigned.signed().size(), *cosigned.signed().root())
}
