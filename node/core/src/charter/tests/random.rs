//! Many members with views of their own, partitions, late votes, liars: one chain everywhere.

use registry_proto::{
    charter::{Charter, CharterVote, CitedVote},
    log::Hash,
    terms::{Land, LogId},
};

use super::{
    super::{Chain, VoteRefused, Wish},
    genesis, proposal,
};

/// A generator of numbers that a seed repeats (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((it ^ (it >> 31)) % bound as u64).expect("below")
    }
}

/// Logs of all members, and what each of them has seen.
struct World {
    genesis: Charter,
    dice: Dice,
    logs: Vec<Vec<(Hash, CharterVote)>>,
    views: Vec<Chain>,
    /// Entries of each log that each view has.
    seen: Vec<Vec<usize>>,
    /// Members who say anything at all: the first so many.
    liars: usize,
}

// === impl World ===

impl World {
    fn new(members: usize, liars: usize, seed: u64) -> Self {
        let genesis = genesis(members);
        Self {
            dice: Dice(seed),
            logs: vec![Vec::new(); members],
            views: vec![Chain::new(genesis.clone()); members],
            seen: vec![vec![0; members]; members],
            genesis,
            liars,
        }
    }

    fn write(&mut self, me: usize, vote: CharterVote) {
        let leaf = Hash::of(format!("{me} {}", self.logs[me].len()).as_bytes());
        self.logs[me].push((leaf, vote));
        self.deliver(me, me);
    }

    fn deliver(&mut self, to: usize, from: usize) {
        let next = self.seen[to][from];
        let Some((leaf, vote)) = self.logs[from].get(next) else { return };
        self.views[to].take(log(from), next as u64, *leaf, vote);
        self.seen[to][from] += 1;
    }

    /// A vote by the rule, if there is one.
    fn vote(&mut self, me: usize, wish: usize) -> Result<(), VoteRefused> {
        let wish = match wish {
            0 => Wish::Abstain,
            number => Wish::For(proposal(self.views[me].current(), number as u64)),
        };
        let vote = self.views[me].vote(Land::ALL[me], &wish)?;
        self.write(me, vote);
        Ok(())
    }

    /// Any vote: any round, twice, for anything, resting on anything.
    fn lie(&mut self, me: usize) {
        let round = 1 + u32::try_from(self.dice.below(3)).expect("small");
        let current = self.views[me].current();
        let number = self.dice.below(4) as u64;
        let successor = (number > 0).then(|| proposal(current, number));
        let mut cited = Vec::new();
        for (at, land) in Land::ALL.iter().take(self.logs.len()).enumerate() {
            let entries = self.logs[at].len();
            if round > 1 && entries > 0 && self.dice.below(4) > 0 {
                let leaf = self.logs[at][self.dice.below(entries)].0;
                cited.push(CitedVote { land: *land, leaf });
            }
        }
        let predecessor = self.views[me].current().digest();
        self.write(me, CharterVote { predecessor, round, successor, cited });
    }

    fn step(&mut self) {
        let members = self.logs.len();
        let me = self.dice.below(members);
        match self.dice.below(4) {
            0 if me < self.liars => self.lie(me),
            0 => {
                // most want the same, so that some votes end early
                let wish = [0, 1, 1, 1, 2, 3][self.dice.below(6)];
                // whoever may not say it waits
                let _ = self.vote(me, wish);
            }
            _ => {
                let from = self.dice.below(members);
                self.deliver(me, from);
            }
        }
    }

    /// All views are beginnings of one chain, and the order of arrival does not matter.
    fn check_one_chain(&mut self) -> Chain {
        let [one, other] = [(); 2].map(|()| self.in_some_order());
        let digests =
            |it: &Chain| -> Vec<_> { it.past().iter().map(|it| it.charter.digest()).collect() };
        assert_eq!(digests(&one), digests(&other));
        assert_eq!(one.rounds(), other.rounds());
        for view in &self.views {
            assert!(digests(&one).starts_with(&digests(view)), "a view of its own");
        }
        one
    }

    fn in_some_order(&mut self) -> Chain {
        let mut chain = Chain::new(self.genesis.clone());
        let mut next = vec![0; self.logs.len()];
        while next.iter().zip(&self.logs).any(|(next, log)| *next < log.len()) {
            let from = self.dice.below(next.len());
            if let Some((leaf, vote)) = self.logs[from].get(next[from]) {
                chain.take(log(from), next[from] as u64, *leaf, vote);
                next[from] += 1;
            }
        }
        chain
    }

    /// As many honest members as it takes, and nobody else, get a successor.
    fn check_progress(&mut self, threshold: usize) {
        let acting: Vec<_> = (self.liars..self.logs.len()).take(threshold).collect();
        assert_eq!(acting.len(), threshold, "more liars than the test allows");
        self.exchange(&acting);
        let before = self.views[acting[0]].past().len();
        for _ in 0..3 {
            for me in &acting {
                match self.vote(*me, 1) {
                    Err(VoteRefused::Bound { to, .. }) => {
                        let text = self.views[*me].successor(to[0]).expect("known").charter.raw();
                        let wish = Wish::For(text.clone());
                        let vote = self.views[*me].vote(Land::ALL[*me], &wish).expect("bound");
                        self.write(*me, vote);
                    }
                    Ok(()) | Err(VoteRefused::Said { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            self.exchange(&acting);
            if self.views[acting[0]].past().len() > before {
                return;
            }
        }
        panic!("no successor");
    }

    fn exchange(&mut self, acting: &[usize]) {
        for to in acting {
            for from in 0..self.logs.len() {
                for _ in 0..self.logs[from].len() {
                    self.deliver(*to, from);
                }
            }
        }
    }
}

fn log(at: usize) -> LogId {
    LogId { land: Land::ALL[at], epoch: 1 }
}

/// Prints the seed before anything can fail.
fn check(members: usize, liars: usize, steps: usize, seeds: std::ops::Range<u64>) {
    let mut charters = 0;
    for seed in seeds {
        println!("members={members} liars={liars} seed={seed}");
        let mut world = World::new(members, liars, seed);
        (0..steps).for_each(|_| world.step());
        charters += world.check_one_chain().past().len() - 1;
        world.check_progress(members * 2 / 3 + 1);
        world.check_one_chain();
    }
    assert!(charters > 0, "nothing was ever decided before the end");
}

#[test]
fn one_chain_everywhere_while_logs_arrive_in_any_order() {
    check(3, 0, 60, 0..20);
    check(4, 0, 120, 20..40);
    check(5, 0, 150, 40..60);
    check(7, 0, 300, 60..70);
}

#[test]
fn who_votes_twice_or_against_the_rule_changes_nothing() {
    check(4, 1, 150, 100..125);
    check(5, 1, 200, 125..145);
    check(7, 2, 400, 145..155);
}
