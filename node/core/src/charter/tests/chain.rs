//! The chain, one case after the other.

use bytes::Bytes;
use registry_proto::{
    charter::{Change, CharterVote, Quota},
    log::Hash,
    terms::{Land, LogId},
};

use super::{
    super::{Chain, Taken, VoteRefused, Wish},
    genesis, member, proposal,
};
use crate::limits;

/// A chain and the number of entries in each log.
struct Case {
    chain: Chain,
    entries: u64,
}

impl Case {
    fn new(members: usize) -> Self {
        Self { chain: Chain::new(genesis(members)), entries: 0 }
    }

    fn wish(&self, number: u64) -> Wish {
        match number {
            0 => Wish::Abstain,
            number => Wish::For(proposal(self.chain.current(), number)),
        }
    }

    fn votes(&mut self, at: usize, wish: &Wish) -> Result<Taken, VoteRefused> {
        let vote = self.chain.vote(Land::ALL[at], wish)?;
        Ok(self.take(at, &vote))
    }

    fn take(&mut self, at: usize, vote: &CharterVote) -> Taken {
        self.entries += 1;
        let leaf = Hash::of(&self.entries.to_be_bytes());
        self.chain.take(LogId { land: Land::ALL[at], epoch: 1 }, self.entries, leaf, vote)
    }
}

#[test]
fn three_of_four_decide_and_the_next_vote_begins() {
    let mut case = Case::new(4);
    let (one, other) = (case.wish(1), case.wish(2));
    assert_eq!(case.votes(0, &one), Ok(Taken::Kept { successors: 0 }));
    assert_eq!(case.votes(1, &other), Ok(Taken::Kept { successors: 0 }));
    assert_eq!(case.votes(2, &one), Ok(Taken::Kept { successors: 0 }));
    let Wish::For(text) = &one else { panic!("a proposal") };
    let digest = Hash::of(text);
    let said = VoteRefused::Said { round: 2, choice: None };
    // three have spoken, so the round is full; two for one of them leave room for nothing else
    assert_eq!(case.chain.bound_to(), [digest]);
    let refused = case.votes(1, &other);
    assert_eq!(refused, Err(VoteRefused::Bound { round: 2, to: vec![digest] }), "not {said:?}");
    // a late vote can still decide
    assert_eq!(case.votes(3, &one), Ok(Taken::Kept { successors: 1 }));
    let [_, next] = case.chain.past() else { panic!("a successor") };
    assert_eq!((next.charter.number(), next.charter.digest()), (1, digest));
    assert_eq!(next.charter.id(), genesis(4).id(), "the Verbund stays the same");
    let (from, to) = (Quota::default(), Quota { bytes_per_day: 0, entries_per_day: 2 });
    assert_eq!(next.changes, [Change::Quota { land: Land::ALL[3], from, to }]);
    assert_eq!(next.charter.members()[3].quota, to);
    // what was meant for the charter before is none for this one
    let Err(VoteRefused::Successor(_)) = case.votes(1, &other) else { panic!("refused") };
    let again = case.wish(1);
    assert_eq!(case.votes(1, &again), Ok(Taken::Kept { successors: 0 }));
    let said =
        VoteRefused::Said { round: 1, choice: case.chain.said(1, Land::ALL[1]).unwrap().choice };
    assert_eq!(case.votes(1, &again), Err(said));
}

#[test]
fn a_split_is_settled_in_the_next_round() {
    let mut case = Case::new(5);
    for at in 0..4 {
        let wish = case.wish(1 + at as u64 % 2);
        assert_eq!(case.votes(at, &wish), Ok(Taken::Kept { successors: 0 }));
    }
    assert_eq!(case.chain.bound_to(), [], "two against two leave the choice free");
    let third = case.wish(3);
    for (at, successors) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
        assert_eq!(case.votes(at, &third), Ok(Taken::Kept { successors }));
    }
}

#[test]
fn an_even_split_of_four_leaves_the_choice_between_the_two() {
    let mut case = Case::new(4);
    // as it comes about while the network is parted
    let votes = [0, 1, 2, 3].map(|at| {
        let wish = case.wish(1 + at as u64 / 2);
        (at, case.chain.vote(Land::ALL[at], &wish).expect("may vote"))
    });
    for (at, vote) in &votes {
        assert_eq!(case.take(*at, vote), Taken::Kept { successors: 0 });
    }
    let mut both = [1, 2].map(|it| match case.wish(it) {
        Wish::For(text) => Hash::of(&text),
        Wish::Abstain => unreachable!("a proposal"),
    });
    both.sort_unstable();
    assert_eq!(case.chain.bound_to(), both);
    let bound = VoteRefused::Bound { round: 2, to: both.to_vec() };
    let third = case.wish(3);
    assert_eq!(case.votes(0, &third), Err(bound.clone()));
    assert_eq!(case.votes(0, &Wish::Abstain), Err(bound));
    // whichever they agree on, from either side
    for (at, successors) in [(0, 0), (2, 0), (3, 1)] {
        let wish = case.wish(2);
        assert_eq!(case.votes(at, &wish), Ok(Taken::Kept { successors }));
    }
}

#[test]
fn a_vote_before_what_it_rests_on_counts_when_that_arrives() {
    let mut case = Case::new(4);
    let mut votes = Vec::new();
    for at in [0, 1, 2, 0, 1, 2] {
        let wish = case.wish(if votes.len() < 3 { votes.len() as u64 + 1 } else { 1 });
        let vote = case.chain.vote(Land::ALL[at], &wish).expect("may vote");
        let index = votes.len() as u64;
        let leaf = Hash::of(&index.to_be_bytes());
        let log = LogId { land: Land::ALL[at], epoch: 1 };
        case.chain.take(log, index, leaf, &vote);
        votes.push((log, index, leaf, vote));
    }
    assert_eq!(case.chain.past().len(), 2);
    let mut late = Chain::new(genesis(4));
    // one log after the other, the last one first
    votes.sort_by_key(|(log, index, ..)| (std::cmp::Reverse(log.land), *index));
    for (log, index, leaf, vote) in &votes {
        assert_eq!(late.past().len(), 1);
        late.take(*log, *index, *leaf, vote);
    }
    assert_eq!(late.current(), case.chain.current());
}

#[test]
fn who_does_not_vote_under_the_charter_does_not_count() {
    let mut case = Case::new(4);
    let one = case.wish(1);
    let Wish::For(text) = one.clone() else { panic!("a proposal") };
    assert_eq!(case.votes(6, &one), Err(VoteRefused::NoVoter(Land::ALL[6])));
    let vote = CharterVote {
        predecessor: case.chain.current().digest(),
        round: 1,
        successor: Some(text),
        cited: vec![],
    };
    for at in [0, 1, 6, 7, 8] {
        assert_eq!(case.take(at, &vote), Taken::Kept { successors: 0 });
    }
    // nor does what follows no charter
    let nothing = CharterVote { successor: Some(Bytes::from_static(b"?")), ..vote.clone() };
    assert_eq!(case.take(2, &nothing), Taken::Kept { successors: 0 });
    assert_eq!(case.chain.rounds()[0].len(), 2);
    assert_eq!(case.take(2, &vote), Taken::Twice, "the first one counts, whatever it says");
    assert_eq!(case.take(3, &vote), Taken::Kept { successors: 1 });
}

#[test]
fn a_newcomer_votes_from_the_next_charter_on() {
    let mut case = Case::new(3);
    let mut next = case.chain.current().draft_of_next();
    next.members.push(member(Land::ALL[3]));
    let wish = Wish::For(prost::Message::encode_to_vec(&next).into());
    for at in 0..3 {
        case.votes(at, &wish).expect("may vote");
    }
    let latest = case.chain.past().last().expect("one");
    assert_eq!(latest.changes, [Change::Admitted(Land::ALL[3])]);
    assert_eq!((case.chain.current().threshold(), case.chain.current().members().len()), (3, 4));
    let next = case.wish(1);
    assert_eq!(case.votes(3, &next), Ok(Taken::Kept { successors: 0 }));
}

#[test]
fn what_one_member_may_say_in_all_is_limited() {
    let mut case = Case::new(4);
    let vote = CharterVote {
        predecessor: Hash::of(b"some charter"),
        round: 1,
        successor: None,
        cited: vec![],
    };
    for _ in 0..limits::CHARTER_VOTES_MAX {
        assert_ne!(case.take(0, &vote), Taken::TooMany);
    }
    assert_eq!(case.take(0, &vote), Taken::TooMany);
    let one = case.wish(1);
    for (at, successors) in [(1, 0), (2, 0), (3, 1)] {
        assert_eq!(case.votes(at, &one), Ok(Taken::Kept { successors }), "others are not held up");
    }
}

#[test]
fn what_is_known_makes_up_for_votes_that_are_not_here_and_votes_go_before_it() {
    let mut case = Case::new(4);
    let (one, other) = (case.wish(1), case.wish(2));
    for at in [0, 1, 3] {
        case.votes(at, &one).expect("may vote");
    }
    let told: Vec<_> = case.chain.past().iter().map(|it| it.charter.clone()).collect();
    assert_eq!(told.len(), 2);

    // the log of the fourth ends before its vote
    let mut late = Case::new(4);
    for at in [0, 1] {
        late.votes(at, &one).expect("may vote");
    }
    late.chain.follow_told(&told);
    late.chain.follow_told(&told);
    assert_eq!(late.chain.current().digest(), told[1].digest());
    let next = late.wish(1);
    for (at, successors) in [(0, 0), (1, 0), (2, 1)] {
        assert_eq!(late.votes(at, &next), Ok(Taken::Kept { successors }));
    }

    let mut contrary = Case::new(4);
    for at in [0, 1, 3] {
        contrary.votes(at, &other).expect("may vote");
    }
    contrary.chain.follow_told(&told);
    assert_ne!(contrary.chain.current().digest(), told[1].digest());
    assert_eq!(contrary.chain.past().len(), 2);
}
