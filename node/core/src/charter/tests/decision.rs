//! Proofs of votes, and charters that are told with and without them.

use std::collections::BTreeMap;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_proto::{
    charter::{Charter, CharterVote, DECISION_BYTES_MAX, DECISION_VOTES_MAX},
    log::{Checkpoint, Header, Kind, LogSigner, Origin, body_digest, leaf_hash, node_hash},
    terms::{Land, LogId},
    wire::registry::{self as wire, CharterDecision, CharterVoteProof},
};

use super::{
    super::{
        Chain, DecisionError, NotFollowed, Told, Wish,
        decision::{
            Standing, VoteUnproved, assemble, deciding, decode, unproved, verified, verify,
        },
    },
    genesis, proposal,
};

/// Logs of members with nothing but votes, two at most.
struct Logs {
    chain: Chain,
    entries: BTreeMap<Land, Vec<(Bytes, Bytes)>>,
}

const SALT: [u8; 16] = [7; 16];

// === impl Logs ===

impl Logs {
    fn new(genesis: &Charter) -> Self {
        Self { chain: Chain::new(genesis.clone()), entries: BTreeMap::new() }
    }

    fn votes(&mut self, at: usize, number: u64) {
        let wish = match number {
            0 => Wish::Abstain,
            number => Wish::For(proposal(self.chain.current(), number)),
        };
        let vote = self.chain.vote(Land::ALL[at], &wish).expect("may vote");
        let (log, index, header) = self.write(Land::ALL[at], &vote);
        self.chain.take(log, index, leaf_hash(&header), &vote);
    }

    fn write(&mut self, land: Land, vote: &CharterVote) -> (LogId, u64, Bytes) {
        let (log, body) = (LogId { land, epoch: 1 }, vote.encode());
        let entries = self.entries.entry(land).or_default();
        let index = entries.len() as u64;
        let header = Header {
            verbund: self.chain.past()[0].charter.id(),
            log,
            index,
            kind: Kind::CharterVote,
            recorded_unix_ms: 1_795_449_600_000,
            object_id: None,
            audience: 1,
            batch_end: true,
            references: vec![],
            principal: "operator".to_owned(),
            body_length: u32::try_from(body.len()).expect("small"),
            body_digest: body_digest(&SALT, &body),
            request: None,
        };
        let header = header.encode().expect("a header");
        entries.push((header.clone(), body));
        (log, index, header)
    }

    fn standing(&self, land: Land, index: u64) -> Standing {
        let entries = &self.entries[&land];
        let leaves: Vec<_> = entries.iter().map(|(header, _)| leaf_hash(header)).collect();
        let (root, proof) = match (&leaves[..], index) {
            ([only], 0) => (*only, vec![]),
            ([one, two], 0) => (node_hash(one, two), vec![*two]),
            ([one, two], 1) => (node_hash(one, two), vec![*one]),
            _ => panic!("no such tree here"),
        };
        let at = Land::ALL.iter().position(|it| *it == land).expect("a Land");
        let seed = u8::try_from(3 * at + 1).expect("small");
        let key = |seed| SigningKey::from_bytes(&[seed; 32]);
        let verbund = self.chain.past()[0].charter.id();
        let origin = Origin { verbund, log: LogId { land, epoch: 1 } };
        let head = Checkpoint { origin, size: leaves.len() as u64, root };
        let signer = LogSigner::new(key(seed), key(seed + 1));
        let checkpoint = head.sign(&signer, 1_795_449_600).expect("signed").raw().clone();
        let (header, body) = entries[index as usize].clone();
        Standing { header, salt: SALT, body, checkpoint, proof }
    }

    /// The proof that charter `number` was decided on.
    fn decision(&self, number: u64) -> CharterDecision {
        let (before, next) = self.chain.step(number).expect("a step");
        let grounds = self.chain.grounds(number).expect("decided");
        let votes = grounds.iter().map(|it| self.standing(it.log.land, it.index)).collect();
        assemble(before, next, votes).expect("proved")
    }

    fn charters(&self) -> Vec<Charter> {
        self.chain.past().iter().map(|it| it.charter.clone()).collect()
    }
}

/// Four members, three of which decide on a successor in the first round.
fn decided() -> (Logs, CharterDecision) {
    let mut logs = Logs::new(&genesis(4));
    [0, 1, 3].into_iter().for_each(|at| logs.votes(at, 1));
    let decision = logs.decision(1);
    (logs, decision)
}

#[test]
fn a_chain_is_proved_step_by_step_from_the_genesis_charter() {
    let (mut logs, first) = decided();
    [0, 2, 3].into_iter().for_each(|at| logs.votes(at, 2));
    let second = logs.decision(2);
    let charters = logs.charters();
    assert_eq!(charters.len(), 3);
    let part = verified(&charters, vec![second.clone()]).expect("one holds");
    assert_eq!(unproved(&charters, &part), [1]);
    let all = verified(&charters, vec![second.clone(), first.clone()]).expect("both hold");
    assert_eq!(unproved(&charters, &all), [0_u64; 0]);
    assert_eq!(all.into_values().collect::<Vec<_>>(), [first.clone(), second.clone()]);
    // a proof of another step proves nothing
    let moved = CharterDecision { number: 1, ..second };
    let why = verified(&charters, vec![moved]).expect_err("another step");
    assert_eq!(why.0, 1);
    // nothing comes along that nobody verified
    let with = |number| vec![first.clone(), CharterDecision { number, ..Default::default() }];
    for (number, why) in [
        (0, DecisionError::NoCharter),
        (1, DecisionError::Twice),
        (2, DecisionError::Undecided),
        (3, DecisionError::NoCharter),
    ] {
        assert_eq!(verified(&charters, with(number)), Err((number, why)));
    }
}

#[test]
fn a_decision_in_a_later_round_comes_with_what_it_rests_on() {
    let mut logs = Logs::new(&genesis(4));
    for (at, number) in [(0, 1), (1, 2), (2, 0), (0, 2), (1, 2), (2, 2)] {
        logs.votes(at, number);
    }
    let decision = logs.decision(1);
    assert_eq!((decision.votes.len(), decision.others.len()), (6, 1));
    let charters = logs.charters();
    assert_eq!(verify(&charters[0], &charters[1], &decision), Ok(()));
    // without one of the statements that it cites nothing counts in the second round
    let mut less = decision;
    less.votes.remove(0);
    assert_eq!(verify(&charters[0], &charters[1], &less), Err(DecisionError::Undecided));
}

#[test]
fn what_was_changed_proves_nothing() {
    type Change = fn(&mut CharterDecision);
    type Why = fn(&VoteUnproved) -> bool;
    let cases: [(&str, Change, Why); 8] = [
        (
            "header",
            |it| flip(&mut it.votes[0].header, 40),
            |it| {
                matches!(
                    it,
                    VoteUnproved::Header(_) | VoteUnproved::Foreign | VoteUnproved::Inclusion(_)
                )
            },
        ),
        ("salt", |it| flip(&mut it.votes[0].salt, 0), |it| *it == VoteUnproved::Body),
        ("vote", |it| flip(&mut it.votes[0].vote, 9), |it| *it == VoteUnproved::Body),
        ("choice", |it| it.votes[0].choice = 0, |it| *it == VoteUnproved::Body),
        ("no such choice", |it| it.votes[0].choice = 2, |it| *it == VoteUnproved::Choice),
        (
            "head",
            |it| flip(&mut it.votes[0].checkpoint, 90),
            |it| matches!(it, VoteUnproved::Checkpoint(_)),
        ),
        (
            "head of another",
            |it| it.votes[0].checkpoint = it.votes[1].checkpoint.clone(),
            |it| matches!(it, VoteUnproved::Checkpoint(_)),
        ),
        (
            "way",
            |it| it.votes[0].proof.push(vec![1; 32].into()),
            |it| matches!(it, VoteUnproved::Inclusion(_)),
        ),
    ];
    let (logs, decision) = decided();
    let charters = logs.charters();
    assert_eq!(verify(&charters[0], &charters[1], &decision), Ok(()));
    for (what, change, why) in cases {
        let mut changed = decision.clone();
        change(&mut changed);
        match verify(&charters[0], &charters[1], &changed) {
            Err(DecisionError::Vote { at: 1, source }) if why(&source) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    let empty = CharterDecision { number: 1, ..CharterDecision::default() };
    assert_eq!(verify(&charters[0], &charters[1], &empty), Err(DecisionError::Undecided));
    let mut less = decision.clone();
    less.votes.truncate(2);
    assert_eq!(verify(&charters[0], &charters[1], &less), Err(DecisionError::Undecided));
    let mut twice = less;
    twice.votes.push(twice.votes[0].clone());
    let (land, round) = (Land::ALL[0], 1);
    let refused = Err(DecisionError::VotesTwice { land, round });
    assert_eq!(verify(&charters[0], &charters[1], &twice), refused);
    let mut many = decision;
    many.votes = vec![many.votes[0].clone(); 1_000];
    assert_eq!(verify(&charters[0], &charters[1], &many), Err(DecisionError::TooLong));
}

/// Nothing here costs more than to read it: the first vote is not signed any more, and that is not
/// what is said about it.
#[test]
fn what_is_padded_is_refused_before_anything_is_verified() {
    type Change = fn(&mut CharterDecision);
    let (land, round) = (Land::ALL[3], 1);
    let cases: [(&str, Change, DecisionError); 5] = [
        (
            "same",
            |it| it.votes.push(it.votes[2].clone()),
            DecisionError::VotesTwice { land, round },
        ),
        (
            "same many times",
            |it| it.votes = vec![it.votes[2].clone(); DECISION_VOTES_MAX],
            DecisionError::VotesTwice { land, round },
        ),
        (
            "a round that nobody can complete",
            |it| {
                let mut alone = it.votes[0].clone();
                let mut said = wire::CharterVote::decode(&alone.vote[..]).expect("a vote");
                said.round = 2;
                said.cited = vec![wire::CitedVote {
                    land: Land::ALL[0].code().to_owned(),
                    leaf_hash: vec![1; 32].into(),
                }];
                alone.vote = said.encode_to_vec().into();
                it.votes.push(alone);
            },
            DecisionError::Undecided,
        ),
        ("too few", |it| it.votes.truncate(2), DecisionError::Undecided),
        (
            "successors of nobody",
            |it| it.others = vec![Bytes::from_static(b"x"); DECISION_VOTES_MAX + 1],
            DecisionError::TooLong,
        ),
    ];
    let (logs, decision) = decided();
    let charters = logs.charters();
    for (what, change, why) in cases {
        let mut padded = decision.clone();
        flip(&mut padded.votes[0].checkpoint, 90);
        change(&mut padded);
        assert_eq!(verify(&charters[0], &charters[1], &padded), Err(why), "{what}");
    }
    // what a body does not have does not come along with it
    let mut more = decision.clone();
    more.votes[0].vote = [&more.votes[0].vote[..], &[0x78, 1]].concat().into();
    let body = DecisionError::Vote { at: 1, source: VoteUnproved::Body };
    assert_eq!(verify(&charters[0], &charters[1], &more), Err(body.clone()));
    more.votes[0].vote = vec![0; 64 << 10].into();
    assert_eq!(verify(&charters[0], &charters[1], &more), Err(body));

    let raw = Bytes::from(decision.encode_to_vec());
    assert_eq!(decode(raw.clone()), Ok(decision));
    let empty = CharterDecision {
        votes: vec![CharterVoteProof::default(); 2 * DECISION_VOTES_MAX + 2],
        ..CharterDecision::default()
    };
    let long = vec![0; DECISION_BYTES_MAX + 1];
    for (raw, why) in [
        (empty.encode_to_vec(), DecisionError::TooLong),
        (long, DecisionError::TooLong),
        (raw[..raw.len() - 1].to_vec(), DecisionError::Undecodable),
        (vec![0xff; 3], DecisionError::Undecodable),
    ] {
        assert_eq!(decode(raw.into()).err(), Some(why));
    }
}

#[test]
fn votes_share_the_bytes_of_what_they_are_for() {
    let mut logs = Logs::new(&genesis(4));
    for (at, number) in [(0, 1), (1, 2), (2, 0), (0, 2), (1, 2), (2, 2)] {
        logs.votes(at, number);
    }
    let (decision, charters) = (logs.decision(1), logs.charters());
    let votes = deciding(&charters[0], &charters[1], &decision).expect("proved");
    let shared: Vec<_> = votes
        .iter()
        .filter_map(|it| it.vote.successor.as_deref().map(<[u8]>::as_ptr))
        .map(|it| (it == charters[1].raw().as_ptr(), it == decision.others[0].as_ptr()))
        .collect();
    let (next, other) = ((true, false), (false, true));
    assert_eq!(shared, [other, next, next, next, next]);
    assert!(votes.iter().all(|it| it.choice == it.vote.choice()));
}

#[test]
fn votes_under_keys_that_were_replaced_or_of_who_does_not_vote_prove_nothing() {
    let (logs, decision) = decided();
    let charters = logs.charters();
    let mut elsewhere = wire::Charter::decode(&charters[0].raw()[..]).expect("a charter");
    elsewhere.name = "anderswo".to_owned();
    let elsewhere = Charter::parse(elsewhere.encode_to_vec().into()).expect("a charter");
    let next = elsewhere.successor(proposal(&elsewhere, 1)).expect("a successor").0;
    let foreign = DecisionError::Vote { at: 1, source: VoteUnproved::Foreign };
    assert_eq!(verify(&elsewhere, &next, &decision), Err(foreign));
    // the first member signs with another key from here on
    let mut next = charters[0].draft_of_next();
    let old = next.members[0].log_key.clone();
    next.members[0].log_key = super::key(99);
    next.members[0].former_keys = vec![wire::FormerKeys {
        log_key: old,
        freshness_key: next.members[0].freshness_key.clone(),
        cut: Some(wire::LogCut { epoch: 1, size: 5, root: vec![1; 32].into() }),
    }];
    let rekeyed = charters[0].successor(next.encode_to_vec().into());
    let rekeyed = rekeyed.expect("a successor").0;
    let last = rekeyed.successor(proposal(&rekeyed, 1)).expect("a successor").0;
    let mut logs = Logs::new(&charters[0]);
    let vote = CharterVote {
        predecessor: rekeyed.digest(),
        round: 1,
        successor: Some(last.raw().clone()),
        cited: vec![],
    };
    let lands = [0, 1, 3].map(|at| Land::ALL[at]);
    lands.into_iter().for_each(|land| {
        logs.write(land, &vote);
    });
    let votes = lands.map(|land| logs.standing(land, 0)).to_vec();
    assert_eq!(assemble(&rekeyed, &last, votes), Err(DecisionError::Undecided));
}

#[test]
fn what_is_told_without_a_proof_shows_until_its_votes_come_or_contradict_it() {
    let (logs, decision) = decided();
    let charters = logs.charters();
    let told = |chain: &Chain| chain.told().get(&1).copied();
    let fresh = || {
        let mut chain = Chain::new(genesis(4));
        chain.follow_told(&charters);
        assert_eq!((told(&chain), chain.grounds(1)), (Some(Told::Unproved), None));
        chain
    };
    let hears = |chain: &mut Chain, logs: &Logs, at: usize| {
        let land = Land::ALL[at];
        let (header, body) = &logs.entries[&land][0];
        let vote = CharterVote::decode(body).expect("a vote");
        chain.take(LogId { land, epoch: 1 }, 0, leaf_hash(header), &vote);
        chain.follow_told(&charters);
    };

    let mut chain = fresh();
    hears(&mut chain, &logs, 0);
    hears(&mut chain, &logs, 3);
    assert_eq!(told(&chain), Some(Told::Unproved), "two of three");
    hears(&mut chain, &logs, 1);
    assert_eq!(told(&chain), None);
    assert!(chain.grounds(1).is_some());

    // what is kept for a charter of another chain, or for one to come, is not for this one
    let mut forged = decision.clone();
    forged.votes.pop();
    assert_eq!(chain.prove(&forged), Err(DecisionError::Undecided));
    let early = CharterDecision { number: 2, ..decision.clone() };
    assert_eq!(chain.prove(&early), Err(DecisionError::NoCharter));
    assert_eq!((chain.prove(&decision), told(&chain)), (Ok(decision.clone()), None));

    let mut chain = fresh();
    assert_eq!(chain.prove(&forged), Err(DecisionError::Undecided));
    assert_eq!(told(&chain), Some(Told::Unproved));
    assert_eq!(chain.prove(&decision), Ok(decision.clone()));
    assert_eq!(told(&chain), Some(Told::Proved));

    // the logs decide something else: what is told, even with a proof, is not true
    let mut others = Logs::new(&genesis(4));
    [0, 1, 2].into_iter().for_each(|at| others.votes(at, 2));
    assert_ne!(others.charters()[1].digest(), charters[1].digest());
    for mut chain in [fresh(), chain] {
        [0, 1, 2].into_iter().for_each(|at| hears(&mut chain, &others, at));
        assert_eq!(told(&chain), Some(Told::Contradicted));
        assert_eq!(chain.current().digest(), charters[1].digest(), "the node goes on, and says so");
    }
}

#[test]
fn a_proved_charter_is_followed_unless_a_vote_here_says_otherwise() {
    let (logs, decision) = decided();
    let charters = logs.charters();
    let follow = |chain: &mut Chain, number: usize, proof: &CharterDecision| {
        let before = chain.past().len();
        let outcome = chain.follow_proved(&charters[number], proof);
        assert_eq!(chain.past().len() - before, usize::from(outcome.is_ok()));
        outcome
    };

    // one of the votes is here, one is not, one never comes
    let mut chain = Chain::new(genesis(4));
    hears(&mut chain, &logs, 0);
    let mut forged = decision.clone();
    forged.votes.pop();
    let refused = Err(NotFollowed::Proof(DecisionError::Undecided));
    assert_eq!(follow(&mut chain, 1, &forged), refused);
    assert_eq!(follow(&mut chain, 1, &decision), Ok(decision.clone()));
    assert_eq!(chain.told().get(&1), Some(&Told::Proved));
    assert_eq!(follow(&mut chain, 1, &decision), Err(NotFollowed::NotNext));
    [1, 3].into_iter().for_each(|at| hears(&mut chain, &logs, at));
    chain.follow_told(&[]);
    assert!(chain.told().is_empty(), "the votes are here now");

    // the last member said something else first, as this node knows from its log
    let mut others = Logs::new(&genesis(4));
    others.votes(3, 2);
    let mut chain = Chain::new(genesis(4));
    hears(&mut chain, &others, 3);
    let land = Land::ALL[3];
    let contradicted = Err(NotFollowed::Contradicted { land, round: 1 });
    assert_eq!(follow(&mut chain, 1, &decision), contradicted);

    // the votes here have decided
    let mut others = Logs::new(&genesis(4));
    [0, 1, 2].into_iter().for_each(|at| others.votes(at, 2));
    let mut chain = Chain::new(genesis(4));
    [0, 1, 2].into_iter().for_each(|at| hears(&mut chain, &others, at));
    assert_eq!(follow(&mut chain, 1, &decision), Err(NotFollowed::NotNext));
}

#[test]
fn votes_that_a_log_here_contradicts_do_not_count_and_are_not_passed_on() {
    // all four are for it, as the third one shows; here its log says something else
    let (mut logs, decision) = decided();
    let charters = logs.charters();
    let vote = CharterVote::decode(&logs.entries[&Land::ALL[0]][0].1).expect("a vote");
    logs.write(Land::ALL[2], &vote);
    let votes = [2, 0, 1, 3].map(|at| logs.standing(Land::ALL[at], 0));
    let more = assemble(&charters[0], &charters[1], votes.to_vec()).expect("proved");
    assert_eq!(more.votes.len(), 4);
    let mut others = Logs::new(&genesis(4));
    [2, 3].into_iter().for_each(|at| others.votes(at, 2));
    let heard = |heard: &[usize]| {
        let mut chain = Chain::new(genesis(4));
        heard.iter().for_each(|at| hears(&mut chain, &others, *at));
        chain
    };
    assert_eq!(heard(&[]).follow_proved(&charters[1], &more), Ok(more.clone()));
    assert_eq!(heard(&[2]).follow_proved(&charters[1], &more), Ok(decision.clone()));
    let contradicted = NotFollowed::Contradicted { land: Land::ALL[2], round: 1 };
    assert_eq!(heard(&[2, 3]).follow_proved(&charters[1], &more), Err(contradicted));
    // of what is kept the same is left, unless nothing holds any more
    for (lands, left) in [(&[2][..], &decision), (&[2, 3], &more)] {
        let mut chain = heard(lands);
        chain.follow_told(&charters);
        assert_eq!(chain.prove(&more).as_ref(), Ok(left));
    }

    // a round before, and the only vote for what it is for
    let mut logs = Logs::new(&genesis(4));
    for (at, number) in [(0, 1), (1, 2), (2, 0), (0, 2), (1, 2), (2, 2)] {
        logs.votes(at, number);
    }
    let (decision, charters) = (logs.decision(1), logs.charters());
    let successor = Some(proposal(&charters[0], 3));
    let vote =
        CharterVote { predecessor: charters[0].digest(), round: 1, successor, cited: vec![] };
    logs.write(Land::ALL[3], &vote);
    let mut votes = vec![logs.standing(Land::ALL[3], 0)];
    let grounds = logs.chain.grounds(1).expect("decided");
    votes.extend(grounds.iter().map(|it| logs.standing(it.log.land, it.index)));
    let more = assemble(&charters[0], &charters[1], votes).expect("proved");
    assert_eq!((more.votes.len(), more.others.len()), (7, 2));
    assert_eq!(heard(&[]).follow_proved(&charters[1], &more), Ok(more.clone()));
    assert_eq!(heard(&[3]).follow_proved(&charters[1], &more), Ok(decision.clone()));
    // what no vote is for does not come along
    let mut padded = decision.clone();
    padded.others.insert(0, Bytes::from_static(b"nobody is for this"));
    padded.votes.iter_mut().filter(|it| it.choice == 2).for_each(|it| it.choice = 3);
    assert_eq!(heard(&[]).follow_proved(&charters[1], &padded), Ok(decision));
}

/// The first vote of a member comes with its log.
fn hears(chain: &mut Chain, logs: &Logs, at: usize) {
    let land = Land::ALL[at];
    let (header, body) = &logs.entries[&land][0];
    let vote = CharterVote::decode(body).expect("a vote");
    chain.take(LogId { land, epoch: 1 }, 0, leaf_hash(header), &vote);
}

fn flip(bytes: &mut Bytes, at: usize) {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1;
    *bytes = changed.into();
}
