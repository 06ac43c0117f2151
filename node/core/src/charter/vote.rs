//! What a member may say now.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use registry_proto::{
    charter::{CharterError, CharterVote, CitedVote, ROUNDS_MAX},
    log::Hash,
    terms::Land,
};

use super::{Chain, Round, poll, threshold};

/// What a member wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This successor.
    For(Bytes),
    /// None; so that others can go on.
    Abstain,
}

/// Why a member may not say that now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefused {
    /// Not in the charter in force, or suspended.
    #[error("{0} does not vote under the charter in force")]
    NoVoter(Land),
    /// What is wished for cannot follow the charter in force.
    #[error("no successor of the charter in force")]
    Successor(#[from] CharterError),
    /// It has said what it can say; others have to go on.
    #[error("said in round {round} already; a second vote would be an equivocation")]
    Said {
        /// The round that is open.
        round: u32,
        /// What was said there.
        choice: Option<Hash>,
    },
    /// Another successor may have been chosen already.
    #[error("round {round} leaves room for {to:?} only")]
    Bound {
        /// The round that is open.
        round: u32,
        /// What may be voted for, one or some of them.
        to: Vec<Hash>,
    },
    /// As many rounds as there can be.
    #[error("there are no more than {ROUNDS_MAX} rounds")]
    RoundsUsedUp,
}

// === impl Chain ===

impl Chain {
    /// The vote by which `me` says what it wishes, in the earliest round in which that can still
    /// decide, else in the one that is open. Nothing is kept: it counts once it comes back from
    /// the log.
    ///
    /// # Errors
    ///
    /// See [`VoteRefused`]; nothing that is returned would be an equivocation, or count nowhere.
    pub fn vote(&self, me: Land, wish: &Wish) -> Result<CharterVote, VoteRefused> {
        let charter = self.current();
        if !charter.voters().any(|it| it.land == me) {
            return Err(VoteRefused::NoVoter(me));
        }
        let choice = match wish {
            Wish::For(text) => Some(charter.successor(text.clone())?.0.digest()),
            Wish::Abstain => None,
        };
        let rounds = self.rounds();
        let open = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
        if open > ROUNDS_MAX {
            return Err(VoteRefused::RoundsUsedUp);
        }
        for (round, at) in (1..=open).zip(&rounds) {
            if self.said(round, me).is_some() {
                continue;
            }
            // a round that is over is worth a word only if that can still decide
            if round < open && !self.can_decide(round, at, choice) {
                continue;
            }
            let before = (round as usize).checked_sub(2).and_then(|it| rounds.get(it));
            let cited = before.map(|it| self.cite(round - 1, it, choice)).unwrap_or_default();
            match self.bound_by(&cited, before) {
                bound if poll::permits(bound, choice) => {
                    let successor = match wish {
                        Wish::For(text) => Some(text.clone()),
                        Wish::Abstain => None,
                    };
                    let predecessor = charter.digest();
                    return Ok(CharterVote { predecessor, round, successor, cited });
                }
                Some(_) if round == open => {
                    return Err(VoteRefused::Bound { round, to: self.bound_to() });
                }
                _ => {}
            }
        }
        let choice = self.said(open, me).and_then(|it| it.choice);
        Err(VoteRefused::Said { round: open, choice })
    }

    /// What a member may vote for in the round that is open, in the order of digests; empty while the
    /// choice is free. After a split that is even there can be several: which one binds goes by whose
    /// statements are cited.
    pub fn bound_to(&self) -> Vec<Hash> {
        let rounds = self.rounds();
        let Some(before) = rounds.len().checked_sub(2).and_then(|it| rounds.get(it)) else {
            return Vec::new();
        };
        let round = u32::try_from(rounds.len() - 1).unwrap_or(u32::MAX);
        let bound = |choice| self.bound_by(&self.cite(round, before, choice), Some(before));
        if bound(None).is_none() {
            return Vec::new();
        }
        let said: BTreeSet<_> = before.values().flatten().copied().collect();
        said.into_iter().filter(|it| bound(Some(*it)) == Some(*it)).collect()
    }

    /// Whether a choice could still be chosen in a round.
    fn can_decide(&self, round: u32, counted: &Round, choice: Option<Hash>) -> bool {
        if choice.is_none() {
            return false;
        }
        let silent = self.current().voters().filter(|it| self.said(round, it.land).is_none());
        let votes = counted.values().filter(|it| **it == choice).count();
        votes + silent.count() >= threshold(self.current())
    }

    /// Statements of as many members as it takes, such that they permit the choice if that can be
    /// had; else in the order of Land codes, so that members cite alike.
    fn cite(&self, round: u32, counted: &Round, choice: Option<Hash>) -> Vec<CitedVote> {
        let threshold = threshold(self.current());
        let binding = poll::binding(self.current().voters().count(), threshold);
        // of each other value fewer than bind, then the rest
        let mut others = BTreeMap::new();
        let (mut order, mut rest) = (Vec::new(), Vec::new());
        for (land, said) in counted {
            let votes = others.entry(*said).or_insert(0);
            *votes += 1;
            let harmless = said.is_none() || *said == choice || *votes < binding;
            if harmless { &mut order } else { &mut rest }.push(*land);
        }
        // what is wanted first: it may be needed to bind
        order.sort_by_key(|land| counted.get(land) != Some(&choice));
        let lands = order.into_iter().chain(rest).take(threshold);
        let mut cited: Vec<_> = lands
            .filter_map(|land| Some(CitedVote { land, leaf: self.said(round, land)?.leaf }))
            .collect();
        cited.sort_by_key(|it| it.land);
        cited
    }

    fn bound_by(&self, cited: &[CitedVote], before: Option<&Round>) -> Option<Hash> {
        let statements = cited.iter().filter_map(|it| before?.get(&it.land).copied());
        let voters = self.current().voters().count();
        poll::bound(statements, voters, threshold(self.current()))
    }
}
