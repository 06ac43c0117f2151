//! Everything that can be said in a vote, in every order, and nothing left out.
//!
//! A state is what each member has said in each round. A step is one more statement that the rule
//! permits: of any member, in any round that is open or over (late votes), resting on any set of
//! enough statements of the round before (whatever a partition let through), for any of the
//! proposals, or an abstention. A member that is dead takes no step. A member that votes twice, or
//! against the rule, wrote an entry that counts nowhere (`random.rs` shows that), which is the
//! same as no step. Members and proposals are alike, so of states that differ only by a swap of
//! members, one is looked at.
//!
//! What may be said in a round depends on the round before alone, and the first allows everything
//! that can stand in a later one. So what holds between two rounds holds between any.

use std::collections::HashSet;

use super::super::poll;

/// 0: nothing said; 1: abstained; 2 and more: for a proposal.
type Word = u8;

/// What one member said, by round.
type Member = [Word; ROUNDS_MAX];

const ROUNDS_MAX: usize = 3;
const MEMBERS_MAX: usize = 5;

struct Model {
    members: usize,
    threshold: usize,
    rounds: usize,
    proposals: u8,
    seen: HashSet<[Member; MEMBERS_MAX]>,
    to_do: Vec<[Member; MEMBERS_MAX]>,
}

fn said(word: Word) -> Option<Word> {
    (word > 1).then_some(word)
}

// === impl Model ===

impl Model {
    fn new(members: usize, rounds: usize, proposals: u8) -> Self {
        let start = [[0; ROUNDS_MAX]; MEMBERS_MAX];
        let threshold = members * 2 / 3 + 1;
        let (seen, to_do) = (HashSet::from([start]), vec![start]);
        Self { members, threshold, rounds, proposals, seen, to_do }
    }

    /// Statements of a round.
    fn statements(&self, state: &[Member; MEMBERS_MAX], round: usize) -> Vec<Option<Word>> {
        let words = state.iter().take(self.members).map(|it| it[round]);
        words.filter(|it| *it > 0).map(said).collect()
    }

    /// What somebody may say in a round, over all sets that could be cited.
    fn permitted(&self, state: &[Member; MEMBERS_MAX], round: usize) -> Vec<Word> {
        let words = 1..self.proposals + 2;
        let Some(before) = round.checked_sub(1) else { return words.collect() };
        let statements = self.statements(state, before);
        let mut bounds: Vec<_> = subsets(&statements, self.threshold)
            .map(|it| poll::bound(it, self.members, self.threshold))
            .collect();
        bounds.sort_unstable();
        bounds.dedup();
        words.filter(|word| bounds.iter().any(|it| poll::permits(*it, said(*word)))).collect()
    }

    fn explore(mut self) -> usize {
        while let Some(state) = self.to_do.pop() {
            self.check_safety(&state);
            self.check_progress(&state);
            for round in 0..self.rounds {
                let permitted = self.permitted(&state, round);
                for at in (0..self.members).filter(|at| state[*at][round] == 0) {
                    for word in &permitted {
                        let mut next = state;
                        next[at][round] = *word;
                        next[..self.members].sort_unstable();
                        if self.seen.insert(next) {
                            self.to_do.push(next);
                        }
                    }
                }
            }
        }
        self.seen.len()
    }

    /// At most one proposal is ever chosen, and after that nothing else is said.
    fn check_safety(&self, state: &[Member; MEMBERS_MAX]) {
        let mut chosen = None;
        for round in 0..self.rounds {
            let statements = self.statements(state, round);
            if let Some(it) = chosen {
                let all = statements.iter().all(|said| *said == Some(it));
                assert!(all, "{state:?}: something else after {it} was chosen");
            }
            let here = poll::chosen(statements, self.threshold);
            assert!(chosen.is_none() || here.is_none() || chosen == here, "{state:?}: two chosen");
            chosen = chosen.or(here);
        }
    }

    /// From here any members that are enough can decide, whatever the others do not do: they say
    /// something in the round that is open, then they rest on what all of them said.
    fn check_progress(&self, state: &[Member; MEMBERS_MAX]) {
        let is_full = |round: &usize| self.statements(state, *round).len() >= self.threshold;
        let open = (0..self.rounds).take_while(is_full).count().min(self.rounds - 1);
        let permitted = self.permitted(state, open);
        let first = *permitted.last().expect("something can always be said");
        for acting in subsets(&(0..self.members).collect::<Vec<_>>(), self.threshold) {
            let words = acting.iter().map(|at| match state[*at][open] {
                0 => said(first),
                word => said(word),
            });
            let bound = poll::bound(words, self.members, self.threshold);
            let next = bound.or(Some(2));
            assert!(poll::permits(bound, next), "{state:?}: {acting:?} cannot go on");
            let chosen = poll::chosen(acting.iter().map(|_| next), self.threshold);
            assert!(chosen.is_some(), "{state:?}: {acting:?} do not decide");
        }
    }
}

/// All ways to take so many.
fn subsets<T: Copy>(of: &[T], count: usize) -> impl Iterator<Item = Vec<T>> {
    let all = 0_u32..1 << of.len();
    let fitting = all.filter(move |it| it.count_ones() as usize == count);
    fitting.map(|set| {
        let taken = of.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
        taken.map(|(_, it)| *it).collect()
    })
}

#[track_caller]
fn check(members: usize, rounds: usize, proposals: u8, least_states: usize) {
    let states = Model::new(members, rounds, proposals).explore();
    println!("{members} members, {rounds} rounds, {proposals} proposals: {states} states");
    assert!(states >= least_states, "only {states} states");
}

#[test]
fn at_most_one_successor_and_always_a_way_on_with_up_to_three_members() {
    check(1, 3, 3, 5);
    check(2, 3, 3, 100);
    check(3, 3, 3, 1_000);
}

#[test]
fn at_most_one_successor_and_always_a_way_on_with_four_members() {
    check(4, 3, 2, 10_000);
    check(4, 2, 3, 1_000);
}

#[test]
fn at_most_one_successor_and_always_a_way_on_with_five_members() {
    check(5, 2, 3, 10_000);
}
