//! What nodes testify of logs, and how that goes round.
//!
//! About every log that it follows a node states two things, at most once a second: a receipt
//! (what it holds durably) and a cosignature under the owner's checkpoint (that this is consistent
//! with all it has verified). Of each kind only the newest of a Land about a log travels; each node
//! passes on what is new to it, to every partner that is not known to have it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use registry_proto::{
    log::{CheckpointError, Cosigned, Origin, SignedCheckpoint},
    receipt::{self, Receipt, SignedReceipt},
    terms::{Land, LogId},
    wire::peer::{Cosignature, Cosignatures, Receipts, peer_message::Message},
};

use crate::{
    limits,
    now::Now,
    replicate::{Heard, PeerFault, Replication, SessionId, Wish},
};

/// Land that testifies, and about which log.
pub(crate) type Pair = (Land, LogId);

/// What to sign with the freshness key and keep.
///
/// The shell MUST answer each with `Input::Attested`, after the receipt is durable; no other about
/// the log is ordered before.
#[derive(Clone, Debug)]
pub struct Attest {
    /// The log.
    pub log: LogId,
    /// What to state about holding it; none when that was stated already.
    pub receipt: Option<Receipt>,
    /// What to cosign; none while no checkpoint of what is held is here.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// Everything that is known of what Länder testify.
#[derive(Debug, Default)]
pub(crate) struct Testimony {
    /// The newest receipts.
    receipts: BTreeMap<Pair, SignedReceipt>,
    /// The newest cosignatures; those that agree with the tree here are in `agreed` too.
    cosigned: BTreeMap<Pair, Cosigned>,
    /// The newest cosignatures under what is the beginning of the tree here.
    agreed: BTreeMap<Pair, Cosigned>,
    issued: BTreeMap<LogId, Issued>,
}

/// What this node itself has stated about a log.
#[derive(Clone, Copy, Debug, Default)]
struct Issued {
    size: u64,
    erased: u64,
    /// Size and freshness of what was cosigned.
    cosigned: (u64, u64),
    /// When the last was ordered; 0 when none was since the start.
    mono_ms: u64,
    under_way: bool,
}

/// What a partner has not been told yet.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    receipts: BTreeSet<Pair>,
    cosigned: BTreeSet<Pair>,
    told_mono_ms: u64,
}

// === impl Testimony ===

impl Testimony {
    /// The newest cosignatures about a log.
    pub(crate) fn cosigned(&self, log: LogId) -> impl Iterator<Item = (&Pair, &Cosigned)> {
        self.cosigned.iter().filter(move |((_, of), _)| *of == log)
    }

    /// Entries of the tree here that a Land has cosigned.
    pub(crate) fn agreed(&self, pair: &Pair) -> u64 {
        self.agreed.get(pair).map_or(0, |it| it.signed().size())
    }
}

// === impl Replication ===

impl Replication {
    /// Takes what was kept: the newest receipts, and cosignatures that agreed with what is here.
    pub(crate) fn recall(&mut self, receipts: Vec<SignedReceipt>, agreed: Vec<Cosigned>) {
        let me = self.me.land;
        // of those by keys that were replaced since, newer ones take the place
        let by_key_in_use =
            |it: &SignedReceipt| SignedReceipt::verify(it.raw(), &self.charter).is_ok();
        for it in receipts.into_iter().filter(by_key_in_use) {
            let (holder, log) = (it.receipt().holder, it.receipt().log);
            if holder == me {
                let (size, erased) = (it.receipt().size, it.receipt().erased);
                self.testimony.issued.insert(log, Issued { size, erased, ..Issued::default() });
            }
            self.testimony.receipts.insert((holder, log), it);
        }
        for it in agreed {
            let pair = (it.witness(), it.signed().checkpoint.origin.log);
            self.testimony.cosigned.insert(pair, it.clone());
            self.testimony.agreed.insert(pair, it);
        }
    }

    /// The largest size of a log that more than half of the members vouch for, as far as that is a
    /// beginning of what is here: each for the most that it has cosigned of that, or for what another
    /// history that it cosigned has in common with it. The owner does not count: it signs both.
    pub(crate) fn majority(&self, log: LogId) -> u64 {
        let votes = self.charter.voters().filter(|it| it.land != log.land);
        let mut sizes: Vec<u64> = votes
            .map(|it| {
                let pair = (it.land, log);
                let shared = self.testimony.cosigned.get(&pair).map(|it| self.common.shared(it));
                self.testimony.agreed(&pair).max(shared.unwrap_or_default())
            })
            .collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.get(self.charter.voters().count() / 2).copied().unwrap_or_default()
    }

    /// Entries of a log that more than half of the members besides its owner and this one say they
    /// hold; `None` if there is no such member.
    pub(crate) fn held_by_most(&self, log: LogId) -> Option<u64> {
        let others = self.charter.voters().map(|it| it.land);
        let others = others.filter(|it| *it != log.land && *it != self.me.land);
        let size = |it: &SignedReceipt| it.receipt().size;
        let mut sizes: Vec<u64> =
            others.map(|it| self.testimony.receipts.get(&(it, log)).map_or(0, size)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes.get(sizes.len() / 2).copied()
    }

    /// States what is new about the logs that are followed, and tells partners what they lack.
    pub(super) fn testify(&mut self, now: Now) {
        // the owner holds what it signs; that it has erased something it states like all others
        let due = self.replicas.values().filter(|it| it.log() != self.own || it.erases());
        let due = due.filter(|it| !self.hides(it.log()));
        let logs: Vec<LogId> = due.map(|it| it.log()).collect();
        for log in logs {
            self.attest(log, now);
        }
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, it)| it.is_open()).map(|(id, _)| *id).collect();
        for id in sessions {
            self.tell_testimony(id, now);
        }
    }

    /// An erasure is found that is not carried out yet: receipts wait for it from there on.
    pub(crate) fn erasing(&mut self, log: LogId, by: u64) {
        if let Some(replica) = self.replicas.get_mut(&log) {
            replica.erasing(by);
        }
    }

    /// An erasure is carried out; the next receipt says so.
    pub(crate) fn carried_out(&mut self, log: LogId, by: u64) {
        if let Some(replica) = self.replicas.get_mut(&log) {
            replica.carried_out(by);
        }
    }

    fn attest(&mut self, log: LogId, now: Now) {
        let Some(replica) = self.replicas.get(&log) else { return };
        let issued = self.testimony.issued.entry(log).or_default();
        let paused = issued.mono_ms > 0
            && now.mono_ms.saturating_sub(issued.mono_ms) < limits::TESTIFY_EVERY_MS;
        if replica.stopped().is_some() || issued.under_way || paused {
            return;
        }
        let (size, root) = (replica.durable(), replica.durable_root());
        let erased = replica.erased();
        // while entries come back after a loss, less is held than was stated
        let news = size > issued.size || (size == issued.size && erased > issued.erased);
        let receipt = news.then(|| Receipt {
            holder: self.me.land,
            log,
            size,
            root,
            bodies_missing: replica.bodies_missing(),
            unix_ms: now.wall_ms,
            erased,
        });
        let served = replica.served().filter(|it| it.size() == size && *it.root() == root);
        let served = served.filter(|_| log != self.own);
        let rank = |it: &SignedCheckpoint| (it.size(), it.fresh_unix_seconds);
        let checkpoint = served.filter(|it| rank(it) > issued.cosigned).cloned();
        if receipt.is_none() && checkpoint.is_none() {
            return;
        }
        issued.size = issued.size.max(size);
        issued.erased = issued.erased.max(erased);
        issued.cosigned = checkpoint.as_ref().map_or(issued.cosigned, rank);
        issued.mono_ms = now.mono_ms;
        issued.under_way = true;
        self.wishes.push_back(Wish::Attest(Attest { log, receipt, checkpoint }));
    }

    /// What was ordered is signed, and the receipt kept.
    pub(crate) fn attested(
        &mut self,
        log: LogId,
        receipt: Option<SignedReceipt>,
        cosigned: Option<Cosigned>,
    ) {
        if let Some(issued) = self.testimony.issued.get_mut(&log) {
            issued.under_way = false;
        }
        if let Some(receipt) = receipt {
            self.spread_receipt(receipt, None);
        }
        if let Some(cosigned) = cosigned {
            self.spread_cosigned(cosigned, None);
        }
    }

    /// A partner passes on receipts.
    pub(super) fn receipts(
        &mut self,
        id: SessionId,
        items: &[Bytes],
    ) -> Result<Vec<Heard>, PeerFault> {
        if items.len() > limits::TESTIMONIES_MAX {
            return Err(PeerFault::TooMuchTestimony(items.len()));
        }
        for raw in items {
            let claimed = receipt::claimed(raw).map_err(|source| PeerFault::Receipt { source })?;
            let pair = (claimed.holder, claimed.log);
            let known = self.testimony.receipts.get(&pair).map(SignedReceipt::receipt);
            let rank = |it: &Receipt| (it.size, it.erased, it.unix_ms);
            let newer = known.is_none_or(|it| rank(&claimed) > rank(it));
            if !newer {
                let same = known.is_some_and(|it| *it == claimed);
                self.knows_receipt(id, pair, same);
                continue;
            }
            // a member of a charter this node does not know yet, or a log of another epoch
            if self.charter.member(claimed.holder).is_none()
                || !self.replicas.contains_key(&claimed.log)
            {
                continue;
            }
            let receipt = match SignedReceipt::verify(raw, &self.charter) {
                Ok(receipt) => receipt,
                // the key of another charter than the one in force here
                Err(_) if self.is_of_other_charter(id) => continue,
                Err(_) if SignedReceipt::verify_kept(raw, &self.charter).is_ok() => continue,
                Err(source) => return Err(PeerFault::Receipt { source }),
            };
            self.wishes.push_back(Wish::KeepReceipt(receipt.clone()));
            self.spread_receipt(receipt, Some(id));
        }
        Ok(Vec::new())
    }

    /// A partner passes on cosignatures.
    pub(super) fn cosignatures(
        &mut self,
        id: SessionId,
        items: &[Cosignature],
        now: Now,
    ) -> Result<Vec<Heard>, PeerFault> {
        if items.len() > limits::TESTIMONIES_MAX {
            return Err(PeerFault::TooMuchTestimony(items.len()));
        }
        let mut heard = Vec::new();
        for it in items {
            let Some(log) = self.known_log(&it.land, it.epoch) else { continue };
            let Ok(witness) = it.witness.parse::<Land>() else { continue };
            let Some(key) = self.charter.member(witness).map(|it| it.keys.freshness) else {
                continue;
            };
            let pair = (witness, log);
            if self.testimony.cosigned.get(&pair).is_some_and(|known| *known.raw() == it.note) {
                self.testimony_known(id, |it| it.cosigned.remove(&pair));
                continue;
            }
            let origin = Origin { verbund: self.verbund, log };
            let Some(owner) = self.charter.member(log.land) else { continue };
            let cosigned =
                match Cosigned::verify(&it.note, &origin, &owner.keyring(), witness, &key) {
                    Ok(cosigned) => cosigned,
                    Err(CheckpointError::OtherKeys { .. }) => continue,
                    Err(_) if self.is_of_other_charter(id) => continue,
                    Err(source) => return Err(PeerFault::Checkpoint { log, source }),
                };
            let counts = self.replicas.get(&log).is_some_and(|it| it.counts(cosigned.signed()));
            if !counts {
                continue;
            }
            let rank = |it: &Cosigned| (it.signed().size(), it.unix_seconds());
            let known = self.testimony.cosigned.get(&pair);
            if known.is_some_and(|known| rank(known) >= rank(&cosigned)) {
                continue;
            }
            heard.extend(self.learn_cosigned(id, &cosigned, now));
            self.spread_cosigned(cosigned, Some(id));
        }
        Ok(heard)
    }

    /// True if a partner runs under another charter: keys that do not count here may count there.
    pub(super) fn is_of_other_charter(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|it| it.charter != self.charter.number())
    }

    /// A cosignature shows a head as well.
    fn learn_cosigned(&mut self, id: SessionId, cosigned: &Cosigned, now: Now) -> Option<Heard> {
        let signed = cosigned.signed();
        let log = signed.checkpoint.origin.log;
        let peer = self.sessions.get(&id)?.peer.clone();
        let replica = self.replicas.get_mut(&log).filter(|it| it.stopped().is_none())?;
        if let Err(fault) = replica.learn(signed.clone(), now) {
            return self.stop(log, peer, fault, Some(signed.clone()));
        }
        self.suspect(log, signed.clone(), peer);
        None
    }

    /// Finds out which cosignatures are under what is here, after more of it is known.
    pub(super) fn agree(&mut self, log: LogId) {
        let Some(replica) = self.replicas.get(&log) else { return };
        let Testimony { cosigned, agreed, .. } = &mut self.testimony;
        for (pair, it) in cosigned.iter().filter(|((_, of), _)| *of == log) {
            let size = it.signed().size();
            let is_new = agreed.get(pair).is_none_or(|known| known.signed().size() < size);
            if is_new && replica.begins_with(it.signed()) {
                agreed.insert(*pair, it.clone());
                self.wishes.push_back(Wish::KeepCosigned(it.clone()));
            }
        }
    }

    fn spread_receipt(&mut self, receipt: SignedReceipt, from: Option<SessionId>) {
        let pair = (receipt.receipt().holder, receipt.receipt().log);
        self.testimony.receipts.insert(pair, receipt);
        for (id, session) in &mut self.sessions {
            if Some(*id) != from {
                session.untold.receipts.insert(pair);
            }
        }
        self.knows_receipt_of(from, pair);
    }

    fn spread_cosigned(&mut self, cosigned: Cosigned, from: Option<SessionId>) {
        let log = cosigned.signed().checkpoint.origin.log;
        let pair = (cosigned.witness(), log);
        self.testimony.cosigned.insert(pair, cosigned);
        for (id, session) in &mut self.sessions {
            if Some(*id) != from {
                session.untold.cosigned.insert(pair);
            }
        }
        if let Some(id) = from {
            self.testimony_known(id, |it| it.cosigned.remove(&pair));
        }
        self.agree(log);
    }

    fn knows_receipt_of(&mut self, from: Option<SessionId>, pair: Pair) {
        if let Some(id) = from {
            self.knows_receipt(id, pair, true);
        }
    }

    fn knows_receipt(&mut self, id: SessionId, pair: Pair, newest: bool) {
        if newest {
            self.testimony_known(id, |it| it.receipts.remove(&pair));
        }
    }

    fn testimony_known(&mut self, id: SessionId, forget: impl FnOnce(&mut Untold) -> bool) {
        if let Some(session) = self.sessions.get_mut(&id) {
            forget(&mut session.untold);
        }
    }

    /// Everything there is, for a partner that has just connected.
    pub(super) fn all_untold(&self) -> Untold {
        Untold {
            receipts: self.testimony.receipts.keys().copied().collect(),
            cosigned: self.testimony.cosigned.keys().copied().collect(),
            told_mono_ms: 0,
        }
    }

    fn tell_testimony(&mut self, id: SessionId, now: Now) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let untold = &mut session.untold;
        if now.mono_ms.saturating_sub(untold.told_mono_ms) < limits::TESTIFY_EVERY_MS {
            return;
        }
        let receipts = take(&mut untold.receipts);
        let cosigned = take(&mut untold.cosigned);
        if receipts.is_empty() && cosigned.is_empty() {
            return;
        }
        untold.told_mono_ms = now.mono_ms;
        let known = receipts.iter().filter_map(|it| self.testimony.receipts.get(it));
        let items: Vec<Bytes> = known.map(|it| it.raw().clone()).collect();
        if !items.is_empty() {
            self.send(id, Message::Receipts(Receipts { items }));
        }
        let known = cosigned.iter().filter_map(|it| self.testimony.cosigned.get(it));
        let items: Vec<Cosignature> = known.map(cosignature).collect();
        if !items.is_empty() {
            self.send(id, Message::Cosignatures(Cosignatures { items }));
        }
    }
}

/// The first of what is untold, as many as go into one message.
fn take(untold: &mut BTreeSet<Pair>) -> Vec<Pair> {
    let mut taken = Vec::new();
    while taken.len() < limits::TESTIMONIES_MAX
        && let Some(pair) = untold.pop_first()
    {
        taken.push(pair);
    }
    taken
}

fn cosignature(it: &Cosigned) -> Cosignature {
    let log = it.signed().checkpoint.origin.log;
    Cosignature {
        witness: it.witness().code().to_owned(),
        land: log.land.code().to_owned(),
        epoch: log.epoch,
        note: it.raw().clone(),
    }
}
