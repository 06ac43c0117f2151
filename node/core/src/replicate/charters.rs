//! Later charters that partners run under: asked for with what proves them, once the votes had time
//! to come by themselves. Only what is proved is handed on; who shows a proof that is none is told
//! apart from who has none.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use bytes::Bytes;
use registry_proto::{
    charter::{Charter, CharterError, CharterProblem, DecisionError, SuccessorProblem},
    wire::{
        peer::{AskCharters, CharterStep, Charters, peer_message::Message},
        registry::CharterDecision,
    },
};

use crate::{
    authorize::PeerIdentity,
    charter::decision,
    limits,
    now::Now,
    replicate::{Lapse, PeerFault, Replication, Report, Session, SessionId, Wish},
    status::{LaterCharter, LaterState},
};

/// Charters that a partner told, each proved from the one before it, the first from the one in force.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvedCharters {
    /// Who told them.
    pub peer: PeerIdentity,
    /// At least one.
    pub steps: Vec<(Charter, CharterDecision)>,
}

/// Charters that a partner told, with what should prove them. That takes signatures and hashes of some
/// megabytes: the shell MUST have them verified where nobody waits for it, and answer with
/// `Input::VerifiedCharters`.
#[derive(Clone, Debug)]
pub struct ToldCharters {
    /// On which stream.
    pub session: SessionId,
    before: Charter,
    steps: Vec<CharterStep>,
}

/// What [`ToldCharters::verify`] found.
#[derive(Debug)]
pub struct VerifiedCharters {
    steps: Vec<(Charter, CharterDecision)>,
    /// Why the one after them is not followed.
    broken: Option<Broken>,
}

/// What a partner asked for. It MUST be answered with the charters of the chain here from that number
/// on, as far as each is proved, if the one before is what the partner names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChartersAsked {
    /// On which stream.
    pub session: SessionId,
    /// Number of the first charter.
    pub from: u64,
    /// Digest of the one before.
    pub predecessor: registry_proto::log::Hash,
}

/// Why a node does not begin again under charters that a partner proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// Votes in the logs here say otherwise.
    Contradicted,
    /// This software cannot use the next one, or the disk does not take it.
    Unusable,
}

/// What was asked of partners, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// Who proved charters, and how long the node may take to begin again under them.
    following: Option<(PeerIdentity, u64)>,
    /// Since when somebody has been asked in vain.
    vain_since: Option<u64>,
    /// Who is asked on which stream, and since when.
    under_way: Option<(SessionId, PeerIdentity, u64)>,
    /// Who has answered, while that is verified.
    verifying: Option<(SessionId, PeerIdentity)>,
    /// Until when a partner is not asked again, and why.
    answered: BTreeMap<PeerIdentity, (u64, LaterState)>,
}

/// Why a step is not followed.
#[derive(Debug)]
enum Broken {
    /// It keeps rules that this software does not know, or none.
    Unreadable,
    /// Nobody who was asked as this node asks says that in good faith.
    Fault(PeerFault),
}

// === impl ToldCharters ===

impl ToldCharters {
    /// Verifies each from the one before it, up to the first that is not proved.
    pub fn verify(self) -> VerifiedCharters {
        let mut steps: Vec<(Charter, CharterDecision)> = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            let before = steps.last().map_or(&self.before, |(charter, _)| charter);
            match follow(before, step) {
                Ok(step) => steps.push(step),
                Err(broken) => return VerifiedCharters { steps, broken: Some(broken) },
            }
        }
        VerifiedCharters { steps, broken: None }
    }
}

// === impl Asking ===

impl Asking {
    fn rests(&self, peer: &PeerIdentity, now: Now) -> bool {
        self.answered.get(peer).is_some_and(|(until, _)| *until > now.mono_ms)
    }

    fn note(&mut self, peer: PeerIdentity, state: LaterState, now: Now) {
        if state != LaterState::Told {
            self.vain_since.get_or_insert(now.mono_ms);
        }
        let until = now.mono_ms.saturating_add(limits::CHARTERS_RETRY_MS);
        self.answered.insert(peer, (until, state));
    }

    fn proved(&mut self, peer: PeerIdentity, now: Now) {
        let until = now.mono_ms.saturating_add(limits::CHARTERS_FOLLOW_MS);
        self.following = Some((peer.clone(), until));
        // what hindered the node before may hinder it again
        let before = self.answered.get(&peer).map(|(_, state)| *state);
        let hindered = before.filter(|it| *it >= LaterState::Contradicted);
        self.note(peer, hindered.unwrap_or(LaterState::Told), now);
    }

    /// Whether the node is about to begin again. If it does not in time, nobody says why.
    fn is_following(&mut self, now: Now) -> bool {
        let late = self.following.take_if(|(_, until)| *until <= now.mono_ms);
        if let Some((peer, _)) = late {
            self.hinder(&peer, LaterState::Stuck, now);
        }
        self.following.is_some()
    }

    fn hinder(&mut self, peer: &PeerIdentity, state: LaterState, now: Now) {
        self.vain_since.get_or_insert(now.mono_ms);
        self.following.take_if(|(it, _)| it == peer);
        if let Some((_, known)) = self.answered.get_mut(peer) {
            *known = state;
        }
    }

    /// Whether what was asked in vain is old enough not to wait for the answers of others.
    fn is_in_vain(&self, now: Now) -> bool {
        let passed = |since: u64| now.mono_ms.saturating_sub(since);
        self.vain_since.is_some_and(|it| passed(it) >= limits::CHARTERS_RETRY_MS)
    }

    /// Orders partners by when they were asked last, whoever never was first: after their Land, so
    /// that many nodes of one have no more turns than one of another, then by themselves. What they
    /// say of themselves costs a liar nothing and takes no part.
    fn turn(&self, peer: &PeerIdentity) -> (Option<u64>, Option<u64>) {
        let of_land = self.answered.iter().filter(|(it, _)| it.land == peer.land);
        let own = self.answered.get(peer).map(|(until, _)| *until);
        (of_land.map(|(_, (until, _))| *until).max(), own)
    }
}

// === impl Replication ===

impl Replication {
    /// Asks one partner at a time that runs under a later charter. The votes go first: a partner is
    /// asked when they had time to come, and a longer one while logs still come.
    pub(super) fn ask_charters(&mut self, now: Now) {
        if self.asking.is_following(now) || self.asking.verifying.is_some() {
            return;
        }
        if let Some((id, peer, since)) = self.asking.under_way.take() {
            let waits = now.mono_ms.saturating_sub(since) < limits::CHARTERS_ANSWER_MS;
            if waits && self.sessions.contains_key(&id) {
                self.asking.under_way = Some((id, peer, since));
                return;
            }
            // also who left: it would be asked again at once, and nobody else
            self.tells_nothing(peer, LaterState::Unproved, now);
        }
        let number = self.charter.number();
        let least = match self.is_receiving() {
            true => limits::CHARTERS_WAIT_MS_MAX,
            false => limits::CHARTERS_WAIT_MS,
        };
        let due = |it: &Session| it.age_ms(now) >= least && !self.asking.rests(&it.peer, now);
        let later = self.later_sessions().filter(|(_, it)| due(it));
        let next = later.min_by_key(|(id, it)| (self.asking.turn(&it.peer), *id));
        let Some((id, peer)) = next.map(|(id, it)| (id, it.peer.clone())) else { return };
        self.asking.under_way = Some((id, peer, now.mono_ms));
        let predecessor = Bytes::copy_from_slice(self.charter.digest().as_bytes());
        let from = number.saturating_add(1);
        self.send(id, Message::AskCharters(AskCharters { from, predecessor }));
    }

    /// A partner asks for later charters.
    pub(super) fn asked_charters(&mut self, id: SessionId, ask: &AskCharters) {
        // without a predecessor there is nothing to answer
        let Ok(predecessor) = (&ask.predecessor[..]).try_into() else { return };
        let asked = ChartersAsked { session: id, from: ask.from, predecessor };
        self.wishes.push_back(Wish::ShowCharters(asked));
    }

    /// A partner answers.
    pub(super) fn told_charters(
        &mut self,
        id: SessionId,
        told: Charters,
        now: Now,
    ) -> Result<(), PeerFault> {
        // nobody waits for what comes late
        let is_next = told.from == self.charter.number().saturating_add(1);
        let awaited = self.asking.under_way.take_if(|(asked, ..)| is_next && *asked == id);
        let Some((_, peer, _)) = awaited else { return Ok(()) };
        let found = told.steps.len();
        if found > limits::CHARTERS_ANSWER_MAX {
            self.asking.note(peer, LaterState::False, now);
            return Err(PeerFault::TooManyCharters(found));
        }
        if found == 0 {
            let state = if told.differs { LaterState::Differs } else { LaterState::Unproved };
            self.tells_nothing(peer, state, now);
            return Ok(());
        }
        self.asking.verifying = Some((id, peer));
        let (before, steps) = (self.charter.clone(), told.steps);
        self.wishes.push_back(Wish::VerifyCharters(ToldCharters { session: id, before, steps }));
        Ok(())
    }

    /// What a partner told is verified; none if that failed here.
    pub(crate) fn verified_charters(
        &mut self,
        id: SessionId,
        verified: Option<VerifiedCharters>,
        now: Now,
    ) {
        let awaited = self.asking.verifying.take_if(|(of, _)| *of == id);
        let Some((_, peer)) = awaited else { return };
        let (steps, broken) = verified.map_or((Vec::new(), None), |it| (it.steps, it.broken));
        match broken {
            // nothing of it is believed
            Some(Broken::Fault(fault)) => {
                self.asking.note(peer, LaterState::False, now);
                self.fault(id, fault, now);
            }
            Some(Broken::Unreadable) if steps.is_empty() => {
                self.tells_nothing(peer, LaterState::Unreadable, now);
            }
            None if steps.is_empty() => self.tells_nothing(peer, LaterState::Unproved, now),
            None | Some(Broken::Unreadable) => {
                // whoever cannot begin again under them need not be told them again at once
                self.asking.proved(peer.clone(), now);
                self.wishes.push_back(Wish::FollowCharters(ProvedCharters { peer, steps }));
            }
        }
    }

    /// The node does not begin again under what a partner proved.
    pub(crate) fn hindered(&mut self, peer: &PeerIdentity, why: Hindrance, now: Now) {
        let state = match why {
            Hindrance::Contradicted => LaterState::Contradicted,
            Hindrance::Unusable => LaterState::Stuck,
        };
        self.asking.hinder(peer, state, now);
    }

    /// The latest charter that a partner runs under and this node does not.
    pub(crate) fn later_charter(&self, now: Now) -> Option<LaterCharter> {
        let (_, session) =
            self.later_sessions().max_by_key(|(id, it)| (it.charter, Reverse(*id)))?;
        let (number, peer) = (session.charter, session.peer.clone());
        let states = || {
            let answered = self.later_sessions();
            answered.filter_map(|(_, it)| Some(self.asking.answered.get(&it.peer)?.1))
        };
        let unasked = self.later_sessions().any(|(_, it)| !self.asking.rests(&it.peer, now));
        let worst = states().max().unwrap_or(LaterState::Waiting);
        let state = if states().any(|it| it == LaterState::Told) {
            LaterState::Told
        } else if worst >= LaterState::Contradicted
            || self.asking.is_in_vain(now) && worst > LaterState::Told
        {
            // what is proved is certain, and there may always be somebody who can still be asked
            worst
        } else if self.asking.under_way.is_some() || self.asking.verifying.is_some() {
            LaterState::Asked
        } else if unasked {
            LaterState::Waiting
        } else {
            worst
        };
        Some(LaterCharter { number, peer, state })
    }

    fn later_sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        let number = self.charter.number();
        let open = self.sessions.iter().filter(|(_, it)| it.is_open());
        open.filter(move |(_, it)| it.charter > number).map(|(id, it)| (*id, it))
    }

    /// Whether entries that are known come from somebody.
    fn is_receiving(&self) -> bool {
        self.replicas.values().any(|it| {
            it.source.is_some() && it.head().is_some_and(|head| head.size() > it.durable())
        })
    }

    /// A partner that runs under a later charter told nothing that leads there.
    fn tells_nothing(&mut self, peer: PeerIdentity, state: LaterState, now: Now) {
        self.asking.note(peer.clone(), state, now);
        let lapse = match state {
            LaterState::Differs => Lapse::OtherCharter,
            LaterState::Unreadable => Lapse::UnreadableCharter,
            _ => Lapse::UnprovedCharter,
        };
        self.wishes.push_back(Wish::Report(Report::Lapse { peer, lapse }));
    }
}

fn follow(before: &Charter, step: CharterStep) -> Result<(Charter, CharterDecision), Broken> {
    let number = before.number().saturating_add(1);
    let (next, _) = before.successor(step.charter).map_err(|error| {
        if is_newer(&error) { Broken::Unreadable } else { Broken::Fault(PeerFault::Charter(error)) }
    })?;
    let proof = |source| Broken::Fault(PeerFault::CharterProof { number, source });
    let decision = decision::decode(step.decision).map_err(proof)?;
    decision::verify(before, &next, &decision).map_err(|source| match source {
        DecisionError::Undecided if rests_on_newer(before, &decision) => Broken::Unreadable,
        source => proof(source),
    })?;
    Ok((next, decision))
}

/// Whether a vote of the proof is for what newer software may take for a charter: it does not count here,
/// and the others may rest on it.
fn rests_on_newer(before: &Charter, decision: &CharterDecision) -> bool {
    // 0 is no successor, 1 the one that was decided on
    let named: BTreeSet<u32> = decision.votes.iter().map(|it| it.choice).collect();
    let others = (2..).zip(&decision.others).filter(|(choice, _)| named.contains(choice));
    let mut read = others.map(|(_, text)| before.successor(text.clone()));
    read.any(|it| it.is_err_and(|error| is_newer(&error)))
}

/// Whether newer software may take for a charter what this one does not. It would still follow the
/// charter that was named when it was asked for, and have its number.
fn is_newer(error: &CharterError) -> bool {
    let fixed = |it: &CharterProblem| match it {
        CharterProblem::Undecodable => true,
        CharterProblem::Successor(it) => {
            matches!(it, SuccessorProblem::Number { .. } | SuccessorProblem::Predecessor)
        }
        _ => false,
    };
    !error.problems.iter().any(fixed)
}
