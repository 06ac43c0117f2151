//! The chain of charters: who is a member from when on, decided by votes in the logs of members.
//!
//! [`Chain`] is a fold of votes: the same votes give the same chain, in whatever order the logs
//! arrive. A vote counts when its member may vote, it is the first of its member in the round,
//! what it is for follows the charter in force, and what it cites is here, counts, and permits it
//! ([`poll`]). All of that only ever becomes true, so what is decided stays decided.
//!
//! Safety needs that a log has one history, and nothing else of anybody: whoever votes twice in a
//! round, or against the rule, wrote an entry that counts nowhere. Who signs two histories is
//! convicted (`replicate/convict.rs`).

pub mod decision;
pub mod poll;
#[cfg(test)]
mod tests;
mod told;
mod vote;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use registry_proto::{
    charter::{Change, Charter, CharterVote, CitedVote},
    log::Hash,
    terms::{Land, LogId},
};

pub use decision::DecisionError;
pub use told::{NotFollowed, Told};
pub use vote::{VoteRefused, Wish};

use crate::limits;

/// Charters in force, one after the other, and what was said about the next one.
#[derive(Clone, Debug)]
pub struct Chain {
    /// At least the genesis charter; never fewer.
    past: Vec<InForce>,
    /// By the charter they are about.
    polls: HashMap<Hash, Poll>,
    /// Bytes of successors, by digest; each once.
    texts: HashMap<Hash, Bytes>,
    /// What was proposed and can follow the charter in force.
    heirs: HashMap<Hash, InForce>,
    spent: BTreeMap<Land, Spent>,
    /// Charters that were followed without their votes.
    told: BTreeMap<u64, Told>,
    /// Those of them about which something was said since that was looked at.
    unsettled: BTreeSet<u64>,
    /// What was refused for good.
    refused: BTreeMap<(Land, Uncounted), u64>,
}

/// A charter that is or was in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The charter.
    pub charter: Charter,
    /// What it changed; nothing for the genesis charter.
    pub changes: Vec<Change>,
}

/// A vote in the log of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whose log, and in which epoch.
    pub log: LogId,
    /// Index in it.
    pub index: u64,
    /// Leaf hash of the entry.
    pub leaf: Hash,
    /// What it is for; `None` abstains.
    pub choice: Option<Hash>,
    /// What it rests on.
    pub cited: Vec<CitedVote>,
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept; whether it counts depends on what it cites.
    Kept {
        /// Charters that took effect with it.
        successors: usize,
    },
    /// A second one of its member in the round, equal or not: it counts nowhere.
    Twice,
    /// Beyond what one member may say in all; it counts nowhere.
    TooMany,
}

/// Why votes do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Uncounted {
    /// A second one of its member in a round.
    Twice,
    /// Beyond what one member may say in all.
    TooMany,
    /// About the charter in force, and not permitted by what it rests on, or that is not here yet.
    Rule,
}

/// All that was said about the successor of one charter.
#[derive(Clone, Debug, Default)]
struct Poll {
    said: BTreeMap<(u32, Land), Said>,
}

/// What a member has said in all.
#[derive(Clone, Debug, Default)]
struct Spent {
    votes: usize,
    texts: BTreeSet<Hash>,
    bytes: usize,
    /// Place behind its last vote.
    next: (u64, u64),
}

/// Statements of one round that count.
pub type Round = BTreeMap<Land, Option<Hash>>;

// === impl Chain ===

impl Chain {
    /// Begins with the genesis charter.
    pub fn new(genesis: Charter) -> Self {
        Self {
            past: vec![InForce { charter: genesis, changes: Vec::new() }],
            polls: HashMap::new(),
            texts: HashMap::new(),
            heirs: HashMap::new(),
            spent: BTreeMap::new(),
            told: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            refused: BTreeMap::new(),
        }
    }

    /// The charter in force.
    pub fn current(&self) -> &Charter {
        // never empty
        &self.past[self.past.len() - 1].charter
    }

    /// All charters, oldest first.
    pub fn past(&self) -> &[InForce] {
        &self.past
    }

    /// Takes a vote. Those of one log MUST come in the order of that log; a vote that was taken
    /// before changes nothing. Logs may be mixed in any way.
    pub fn take(&mut self, log: LogId, index: u64, leaf: Hash, vote: &CharterVote) -> Taken {
        self.take_for(log, index, leaf, vote, vote.choice())
    }

    /// The same where the digest of what it is for was computed before.
    fn take_for(
        &mut self,
        log: LogId,
        index: u64,
        leaf: Hash,
        vote: &CharterVote,
        choice: Option<Hash>,
    ) -> Taken {
        let spent = self.spent.entry(log.land).or_default();
        if (log.epoch, index) < spent.next {
            return Taken::Twice;
        }
        spent.next = (log.epoch, index + 1);
        if !spent.pays(choice, vote.successor.as_ref().map_or(0, Bytes::len)) {
            self.refuse(log.land, Uncounted::TooMany);
            return Taken::TooMany;
        }
        let poll = self.polls.entry(vote.predecessor).or_default();
        let place = (vote.round, log.land);
        if poll.said.contains_key(&place) {
            self.refuse(log.land, Uncounted::Twice);
            return Taken::Twice;
        }
        poll.said.insert(place, Said { log, index, leaf, choice, cited: vote.cited.clone() });
        if let (Some(digest), Some(text)) = (choice, &vote.successor) {
            self.texts.entry(digest).or_insert_with(|| text.clone());
        }
        if vote.predecessor != self.current().digest() {
            self.said_late(vote.predecessor);
            return Taken::Kept { successors: 0 };
        }
        self.know(choice);
        let before = self.past.len();
        self.decide();
        Taken::Kept { successors: self.past.len() - before }
    }

    /// Goes on as far as the votes do.
    fn decide(&mut self) {
        while let Some(next) = self.decided() {
            self.succeed(next);
        }
    }

    fn succeed(&mut self, next: InForce) {
        self.past.push(next);
        self.heirs.clear();
        let said = self.polls.get(&self.current().digest());
        let choices: Vec<_> =
            said.into_iter().flat_map(|it| it.said.values()).map(|it| it.choice).collect();
        choices.into_iter().for_each(|it| self.know(it));
    }

    /// The rounds about the successor of the charter in force: what counts in each. The last one
    /// is the one that is open; all before it have statements of as many members as it takes.
    pub fn rounds(&self) -> Vec<Round> {
        let charter = self.current();
        let threshold = threshold(charter);
        let mut rounds: Vec<Round> = Vec::new();
        loop {
            let number = u32::try_from(rounds.len() + 1).unwrap_or(u32::MAX);
            let before = rounds.last();
            let counted: Round = charter
                .voters()
                .filter_map(|it| {
                    let said = self.said(number, it.land)?;
                    let fits = said.choice.is_none_or(|it| self.heirs.contains_key(&it));
                    let counts = fits && self.is_grounded(number, said, before);
                    counts.then_some((it.land, said.choice))
                })
                .collect();
            let complete = counted.len() >= threshold;
            rounds.push(counted);
            if !complete {
                return rounds;
            }
        }
    }

    /// How many votes of each member count nowhere, and why.
    pub fn uncounted(&self) -> BTreeMap<(Land, Uncounted), u64> {
        let rounds = self.rounds();
        let mut all = self.refused.clone();
        for (round, said) in self.all_said() {
            let land = said.log.land;
            let at = (round as usize).checked_sub(1).and_then(|it| rounds.get(it));
            if at.is_none_or(|it| !it.contains_key(&land)) {
                *all.entry((land, Uncounted::Rule)).or_default() += 1;
            }
        }
        all
    }

    /// What a member said in a round about the successor of the charter in force; whether it
    /// counts is in [`Chain::rounds`].
    pub fn said(&self, round: u32, land: Land) -> Option<&Said> {
        self.said_about(self.current().digest(), round, land)
    }

    /// What a member said in a round about the successor of a charter, also an earlier one.
    pub fn said_about(&self, charter: Hash, round: u32, land: Land) -> Option<&Said> {
        self.polls.get(&charter)?.said.get(&(round, land))
    }

    /// All that was said about the successor of the charter in force, by round and Land.
    pub fn all_said(&self) -> impl Iterator<Item = (u32, &Said)> {
        let poll = self.polls.get(&self.current().digest());
        poll.into_iter().flat_map(|it| &it.said).map(|((round, _), said)| (*round, said))
    }

    /// What was proposed and can follow the charter in force.
    pub fn successor(&self, digest: Hash) -> Option<&InForce> {
        self.heirs.get(&digest)
    }

    /// All that was proposed and can follow the charter in force, in the order of digests.
    pub fn proposals(&self) -> Vec<&InForce> {
        let mut all: Vec<_> = self.heirs.values().collect();
        all.sort_by_key(|it| it.charter.digest());
        all
    }

    fn refuse(&mut self, land: Land, why: Uncounted) {
        *self.refused.entry((land, why)).or_default() += 1;
    }

    /// Reads what somebody voted for, once.
    fn know(&mut self, choice: Option<Hash>) {
        let Some(digest) = choice.filter(|it| !self.heirs.contains_key(it)) else { return };
        let Some(text) = self.texts.get(&digest) else { return };
        if let Ok((charter, changes)) = self.current().successor(text.clone()) {
            self.heirs.insert(digest, InForce { charter, changes });
        }
    }

    /// Whether a statement rests on what permits it.
    fn is_grounded(&self, round: u32, said: &Said, before: Option<&Round>) -> bool {
        let Some(before) = before else { return said.cited.is_empty() };
        let charter = self.current();
        let cited: Option<Vec<Option<Hash>>> = said
            .cited
            .iter()
            .map(|it| {
                let leaf = self.said(round - 1, it.land)?.leaf;
                before.get(&it.land).copied().filter(|_| leaf == it.leaf)
            })
            .collect();
        let Some(cited) = cited.filter(|it| it.len() == threshold(charter)) else { return false };
        let bound = poll::bound(cited, charter.voters().count(), threshold(charter));
        poll::permits(bound, said.choice)
    }

    fn decided(&self) -> Option<InForce> {
        let threshold = threshold(self.current());
        let mut rounds = self.rounds().into_iter();
        let digest = rounds.find_map(|it| poll::chosen(it.into_values(), threshold))?;
        self.successor(digest).cloned()
    }
}

// === impl Uncounted ===

impl Uncounted {
    /// Label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Twice => "twice",
            Self::TooMany => "too_many",
            Self::Rule => "rule",
        }
    }
}

// === impl Spent ===

impl Spent {
    /// What a member says is counted along its log, so that everybody stops at the same place.
    fn pays(&mut self, choice: Option<Hash>, bytes: usize) -> bool {
        self.votes += 1;
        if choice.is_some_and(|it| self.texts.insert(it)) {
            self.bytes = self.bytes.saturating_add(bytes);
        }
        let fits =
            self.votes <= limits::CHARTER_VOTES_MAX && self.bytes <= limits::CHARTER_VOTE_BYTES_MAX;
        if !fits {
            self.votes = limits::CHARTER_VOTES_MAX;
            self.texts.clear();
        }
        fits
    }
}

/// Votes that decide.
fn threshold(charter: &Charter) -> usize {
    usize::try_from(charter.threshold()).unwrap_or(usize::MAX)
}
