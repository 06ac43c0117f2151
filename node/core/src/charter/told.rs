//! Charters that a node follows because it was told them: what bears them out here.

use std::collections::BTreeMap;

use registry_proto::{
    charter::{Charter, CharterError},
    terms::Land,
    wire::registry::CharterDecision,
};

use super::{Chain, DecisionError, InForce, Said, decision, decision::Proved, poll, threshold};

/// What is known here about a charter that was told. One whose votes are here is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nothing bears it out yet: no votes here, and no proof of them came with it.
    Unproved,
    /// A proof of the votes came with it.
    Proved,
    /// The votes that are here decide another one.
    Contradicted,
}

/// Why a charter that comes with a proof is not followed here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    /// The votes here have gone on meanwhile, or it is not the next one.
    #[error("it is not the next charter here")]
    NotNext,
    /// It cannot follow the charter in force.
    #[error("it cannot follow the charter in force")]
    Charter(#[source] CharterError),
    /// The proof does not hold.
    #[error("the proof does not hold")]
    Proof(#[source] DecisionError),
    /// In the log of a member as far as it is here, another vote comes first in the round, and the other
    /// votes do not decide.
    #[error(
        "{land} said something else first in round {round}, as its log here shows, and the rest does not \
         decide"
    )]
    Contradicted {
        /// Whose log.
        land: Land,
        /// The round.
        round: u32,
    },
}

// === impl Chain ===

impl Chain {
    /// Goes on by a charter and what proves that it was voted for, where the votes here do not
    /// suffice. Callers MUST have taken all votes that are here: a proof rests on votes that members
    /// signed, and cannot show that one of them said something else before. A vote whose member did, as
    /// its log here shows, does not count. Returns the proof with the votes that decide.
    ///
    /// # Errors
    ///
    /// See [`NotFollowed`]; nothing changes then.
    pub fn follow_proved(
        &mut self,
        charter: &Charter,
        proof: &CharterDecision,
    ) -> Result<CharterDecision, NotFollowed> {
        let before = self.current();
        let number = charter.number();
        if number != before.number().saturating_add(1) {
            return Err(NotFollowed::NotNext);
        }
        let next = before.successor(charter.raw().clone()).map_err(NotFollowed::Charter)?;
        let (charter, changes) = next;
        let votes = decision::deciding(before, &charter, proof).map_err(NotFollowed::Proof)?;
        let (votes, against) = self.uncontradicted(before, votes);
        let reduced = decision::reduced(before, &charter, proof, &votes);
        let reduced = reduced.ok_or(match against {
            Some((land, round)) => NotFollowed::Contradicted { land, round },
            None => NotFollowed::Proof(DecisionError::Undecided),
        })?;
        self.succeed(InForce { charter, changes });
        self.told.insert(number, Told::Proved);
        self.unsettled.insert(number);
        self.decide();
        self.settle();
        Ok(reduced)
    }

    /// Goes on by charters that are said to have been in force, oldest first, where the votes that
    /// are here do not suffice: a vote behind the end of a log that counts no longer (its member was
    /// suspended or removed, or its keys were replaced) need not be here, and the logs may not have
    /// come yet. Votes go before what is told: callers MUST have taken all that are here. What they
    /// say about charters that were told before is settled too ([`Chain::told`]).
    pub fn follow_told(&mut self, told: &[Charter]) {
        for charter in told {
            let number = charter.number();
            if number != self.current().number() + 1 {
                continue;
            }
            let Ok((charter, changes)) = self.current().successor(charter.raw().clone()) else {
                break;
            };
            self.succeed(InForce { charter, changes });
            self.told.insert(number, Told::Unproved);
            self.unsettled.insert(number);
            self.decide();
        }
        self.settle();
    }

    /// Verifies a proof for a charter of the chain; one that was told counts as proved then. Returns it
    /// with the votes that decide, without those that logs here contradict if it holds so too.
    ///
    /// # Errors
    ///
    /// The proof does not hold, or is about no charter of the chain; see [`DecisionError`].
    pub fn prove(&mut self, proof: &CharterDecision) -> Result<CharterDecision, DecisionError> {
        let (before, next) = self.step(proof.number).ok_or(DecisionError::NoCharter)?;
        let votes = decision::deciding(before, next, proof)?;
        let reduced = |votes: &[Proved]| decision::reduced(before, next, proof, votes);
        let all = reduced(&votes);
        let (votes, _) = self.uncontradicted(before, votes);
        let reduced = reduced(&votes).or(all).ok_or(DecisionError::Undecided)?;
        if let Some(told @ Told::Unproved) = self.told.get_mut(&proof.number) {
            *told = Told::Proved;
        }
        Ok(reduced)
    }

    /// Charters that were told and for which the votes are not here, by number.
    pub fn told(&self) -> &BTreeMap<u64, Told> {
        &self.told
    }

    /// The votes here by which the members decided on a charter in force: those for it in the round
    /// that decided, and all that count in the rounds before. `None` if they do not decide it.
    pub fn grounds(&self, number: u64) -> Option<Vec<Said>> {
        let (before, next) = self.step(number)?;
        let alone = self.alone(before);
        let rounds = alone.rounds();
        let (winner, threshold) = (Some(next.digest()), threshold(before));
        let chosen = |it: &super::Round| poll::chosen(it.values().copied(), threshold);
        let decided = rounds.iter().position(|it| chosen(it) == winner)?;
        let mut grounds = Vec::new();
        for (round, counted) in (1_u32..).zip(rounds.iter().take(decided + 1)) {
            let is_last = round as usize == decided + 1;
            let needed = counted.iter().filter(|(_, choice)| !is_last || **choice == winner);
            grounds.extend(needed.filter_map(|(land, _)| alone.said(round, *land).cloned()));
        }
        Some(grounds)
    }

    /// A charter in force and the one that it followed.
    pub fn step(&self, number: u64) -> Option<(&Charter, &Charter)> {
        let at = self.past.iter().position(|it| it.charter.number() == number)?;
        let before = self.past.get(at.checked_sub(1)?)?;
        Some((&before.charter, &self.past.get(at)?.charter))
    }

    /// Notes that something new was said about what followed a charter that was followed already.
    pub(super) fn said_late(&mut self, predecessor: registry_proto::log::Hash) {
        if self.told.is_empty() {
            return;
        }
        let found = self.past.iter().find(|it| it.charter.digest() == predecessor);
        let number = found.map(|it| it.charter.number() + 1);
        self.unsettled.extend(number.filter(|it| self.told.contains_key(it)));
    }

    /// Holds what was told against the votes that came since.
    fn settle(&mut self) {
        for number in std::mem::take(&mut self.unsettled) {
            let Some((before, next)) = self.step(number) else { continue };
            match self.alone(before).decided().map(|it| it.charter.digest()) {
                Some(digest) if digest == next.digest() => self.told.remove(&number),
                Some(_) => self.told.insert(number, Told::Contradicted),
                None => None,
            };
        }
    }

    /// The votes about the successor of a charter without those whose member said something else first
    /// in the round, as its log here shows; and one of these.
    fn uncontradicted(
        &self,
        before: &Charter,
        votes: Vec<Proved>,
    ) -> (Vec<Proved>, Option<(Land, u32)>) {
        let is_first = |it: &Proved| {
            let said = self.said_about(before.digest(), it.vote.round, it.log.land);
            said.is_none_or(|said| said.leaf == it.leaf)
        };
        let about = votes.into_iter().filter(|it| it.vote.predecessor == before.digest());
        let (first, others): (Vec<_>, Vec<_>) = about.partition(is_first);
        (first, others.first().map(|it| (it.log.land, it.vote.round)))
    }

    /// The vote about what follows one charter, by itself.
    fn alone(&self, before: &Charter) -> Self {
        let mut alone = Self::new(before.clone());
        let Some(poll) = self.polls.get(&before.digest()) else { return alone };
        alone.polls.insert(before.digest(), poll.clone());
        for choice in poll.said.values().filter_map(|it| it.choice) {
            if let Some(text) = self.texts.get(&choice) {
                alone.texts.insert(choice, text.clone());
                alone.know(Some(choice));
            }
        }
        alone
    }
}
