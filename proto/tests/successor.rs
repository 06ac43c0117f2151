//! Charters held against the one they follow, and votes: what is read, and what each broken rule
//! is called.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use registry_proto::{
    charter::{
        Change as C, Charter, CharterProblem as P, CharterVote, CitedVote, LogCut, Quota,
        SUCCESSOR_BYTES_MAX, SuccessorProblem as S, VoteError as V,
    },
    log::Hash,
    terms::{Land, LogId},
    wire::registry as wire,
};

fn key(seed: u8) -> Bytes {
    Bytes::copy_from_slice(&SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes())
}

fn member(land: Land, seed: u8) -> wire::Member {
    let name = format!("node.{}.example", land.code().to_lowercase());
    wire::Member {
        land: land.code().to_owned(),
        log_key: key(seed),
        freshness_key: key(seed + 1),
        offline_key: key(seed + 2),
        nodes: vec![wire::MemberNode { name, spki_pins: vec![vec![seed; 32].into()] }],
        anchors: vec![vec![0x30, seed].into()],
        ..wire::Member::default()
    }
}

/// HE, RP, SL, TH; three votes of four.
fn genesis() -> Charter {
    let members = [Land::HE, Land::RP, Land::SL, Land::TH];
    let charter = wire::Charter {
        format_level: 1,
        name: "Verbund Mitte".to_owned(),
        test: true,
        threshold: 3,
        members: members.iter().zip([10, 20, 30, 40]).map(|(l, s)| member(*l, s)).collect(),
        ..wire::Charter::default()
    };
    Charter::parse(charter.encode_to_vec().into()).expect("a charter")
}

fn wire_cut(size: u64) -> wire::LogCut {
    wire::LogCut { epoch: 1, size, root: vec![7; 32].into() }
}

fn cut(size: u64) -> LogCut {
    LogCut { epoch: 1, size, root: Hash::from_bytes([7; 32]) }
}

fn wire_resets(digests: &[u8]) -> Vec<Bytes> {
    digests.iter().map(|it| vec![*it; 32].into()).collect()
}

fn ended(land: Land, epoch: u64, digest: u8) -> C {
    C::EpochEnded(LogId { land, epoch }, Hash::from_bytes([digest; 32]))
}

fn suspend(member: &mut wire::Member, size: u64) {
    member.set_state(wire::MemberState::Suspended);
    member.cut = Some(wire_cut(size));
}

fn remove(member: &mut wire::Member, size: u64) {
    suspend(member, size);
    member.set_state(wire::MemberState::Removed);
    member.nodes.clear();
    member.anchors.clear();
}

fn replace_log_key(member: &mut wire::Member, to: u8, size: u64) {
    member.former_keys.push(wire::FormerKeys {
        log_key: member.log_key.clone(),
        freshness_key: member.freshness_key.clone(),
        cut: Some(wire_cut(size)),
    });
    member.log_key = key(to);
}

/// The one place that touches the API: what a change of the draft changes, or what is wrong.
#[track_caller]
fn check(of: &Charter, change: impl FnOnce(&mut wire::Charter), expect: Result<&[C], &[P]>) {
    let mut next = of.draft_of_next();
    change(&mut next);
    match (of.successor(next.encode_to_vec().into()), expect) {
        (Ok((charter, changes)), Ok(expect)) => {
            assert_eq!(changes, expect);
            assert_eq!((charter.number(), charter.id()), (of.number() + 1, of.id()));
        }
        (Err(error), Err(expect)) => assert_eq!(error.problems, expect),
        (got, _) => panic!("{got:?}"),
    }
}

/// A successor of a charter.
#[track_caller]
fn next(of: &Charter, change: impl FnOnce(&mut wire::Charter)) -> Charter {
    let mut next = of.draft_of_next();
    change(&mut next);
    of.successor(next.encode_to_vec().into()).expect("a successor").0
}

#[test]
fn each_change_has_its_name() {
    let first = genesis();
    let (sl, th) = (Land::SL, Land::TH);
    // more than two thirds of five are four
    let admit = |c: &mut wire::Charter| {
        c.members.insert(0, member(Land::BY, 50));
        c.threshold = 4;
    };
    check(&first, admit, Ok(&[C::Threshold { from: 3, to: 4 }, C::Admitted(Land::BY)]));
    check(&first, |c| suspend(&mut c.members[3], 9), Ok(&[C::Suspended(th, cut(9))]));
    check(&first, |c| remove(&mut c.members[2], 0), Ok(&[C::Removed(sl, cut(0))]));
    check(&first, |c| c.threshold = 4, Ok(&[C::Threshold { from: 3, to: 4 }]));
    check(&first, |c| c.members[3].offline_key = key(60), Ok(&[C::OfflineKey(th)]));
    check(&first, |c| c.members[3].nodes[0].name = "b.example".into(), Ok(&[C::Nodes(th)]));
    check(&first, |c| c.members[3].anchors.clear(), Ok(&[C::Anchors(th)]));
    let quota = Some(wire::Quota { bytes_per_day: 5, entries_per_day: 0 });
    let (from, to) = (Quota::default(), Quota { bytes_per_day: 5, entries_per_day: 0 });
    let change = C::Quota { land: th, from, to };
    check(&first, |c| c.members[3].quota = quota, Ok(&[change]));
    check(&first, |c| replace_log_key(&mut c.members[3], 60, 9), Ok(&[C::LogKey(th, cut(9))]));
    let both = |c: &mut wire::Charter| {
        replace_log_key(&mut c.members[2], 60, 9);
        c.members[2].freshness_key = key(61);
        c.threshold = 4;
    };
    let changes =
        [C::Threshold { from: 3, to: 4 }, C::LogKey(sl, cut(9)), C::FreshnessKey(sl, cut(9))];
    check(&first, both, Ok(&changes));
}

#[test]
fn a_member_that_is_suspended_comes_back_or_goes_and_does_not_vote_meanwhile() {
    let second = next(&genesis(), |c| suspend(&mut c.members[3], 9));
    assert_eq!(second.voters().count(), 3);
    assert_eq!((second.members().len(), second.members()[3].cut()), (4, Some(cut(9))));
    let resume = |c: &mut wire::Charter| {
        c.members[3].state = 0;
        c.members[3].cut = None;
    };
    check(&second, resume, Ok(&[C::Resumed(Land::TH)]));
    let moved = [P::Successor(S::CutMoved(Land::TH))];
    check(&second, |c| remove(&mut c.members[3], 9), Ok(&[C::Removed(Land::TH, cut(9))]));
    check(&second, |c| remove(&mut c.members[3], 8), Err(&moved));
    check(&second, |c| suspend(&mut c.members[3], 10), Err(&moved));
    let third = next(&second, |c| remove(&mut c.members[3], 9));
    let nodes = [P::NodeCount { member: 3, found: 0 }];
    check(&third, |c| suspend(&mut c.members[3], 9), Err(&nodes));
    // the last three need all; with two of them the threshold has to change too
    let threshold = [P::Threshold { found: 3, least: 2, members: 2 }];
    check(&third, |c| suspend(&mut c.members[0], 1), Err(&threshold));
}

#[test]
fn keys_count_up_to_their_cut() {
    let second = next(&genesis(), |c| replace_log_key(&mut c.members[2], 60, 9));
    let third = next(&second, |c| replace_log_key(&mut c.members[2], 61, 20));
    let member = third.member(Land::SL).unwrap();
    let at = |epoch, size| Bytes::copy_from_slice(member.keys_at(epoch, size).log.as_bytes());
    for (epoch, size, seed) in [(1, 0, 30), (1, 9, 30), (1, 10, 60), (1, 20, 60), (1, 21, 61)] {
        assert_eq!(at(epoch, size), key(seed), "{size}");
    }
    assert_eq!(at(2, 1), key(61));
    let back = [P::Successor(S::KeyComesBack(Land::SL))];
    check(&third, |c| replace_log_key(&mut c.members[2], 30, 30), Err(&back));
    let other = [P::Successor(S::KeyComesBack(Land::TH))];
    check(&third, |c| replace_log_key(&mut c.members[3], 60, 30), Err(&other));
    let new = member_with_key(Land::BY, 60);
    let other = [P::Successor(S::KeyComesBack(Land::BY))];
    let admit = |c: &mut wire::Charter| {
        c.members.insert(0, new);
        c.threshold = 4;
    };
    check(&third, admit, Err(&other));
    let descends = [P::FormerKeys { member: 2 }];
    check(&third, |c| replace_log_key(&mut c.members[2], 62, 19), Err(&descends));
}

#[test]
fn resets_are_listed_from_the_first_epoch_on_and_stay() {
    let first = genesis();
    let list = |digests: &[u8]| {
        let digests = wire_resets(digests);
        move |c: &mut wire::Charter| c.members[2].epoch_resets = digests
    };
    let (one, two) = (ended(Land::SL, 1, 1), ended(Land::SL, 2, 2));
    check(&first, list(&[1, 2]), Ok(&[one, two]));
    let second = next(&first, list(&[1]));
    check(&second, list(&[1, 2]), Ok(&[two]));
    let changed = [P::Successor(S::ResetsChanged(Land::SL))];
    for other in [&[][..], &[2], &[2, 1]] {
        check(&second, list(other), Err(&changed));
    }
    let at = |land, epoch| second.listed(LogId { land, epoch });
    let digest = Some(Hash::from_bytes([1; 32]));
    let found = [(Land::SL, 0), (Land::SL, 1), (Land::SL, 2), (Land::HE, 1), (Land::BY, 1)];
    assert_eq!(found.map(|(land, epoch)| at(land, epoch)), [None, digest, None, None, None]);
    // no epoch follows the last one, and a digest has its length
    let form = [P::EpochResets { member: 2 }];
    let fifteen: Vec<C> = (1..16).map(|it| ended(Land::SL, it, 9)).collect();
    check(&first, list(&[9; 15]), Ok(&fifteen));
    check(&first, list(&[9; 16]), Err(&form));
    let short = |c: &mut wire::Charter| c.members[2].epoch_resets = vec![vec![1; 31].into()];
    check(&first, short, Err(&form));
    let mut new = member(Land::BY, 50);
    new.epoch_resets = wire_resets(&[1]);
    let past = [P::Successor(S::NewWithPast(Land::BY))];
    let admit = |c: &mut wire::Charter| {
        c.members.insert(0, new);
        c.threshold = 4;
    };
    check(&first, admit, Err(&past));
}

/// What a draft of a successor lists that lists `known` already.
#[track_caller]
fn check_list(known: &[u8], taken: &[(u64, u8)], expect: &[u8]) {
    let digest = |it: u8| Hash::from_bytes([it; 32]);
    let taken = taken.iter().map(|(epoch, it)| {
        let log = LogId { land: Land::SL, epoch: *epoch };
        (log, digest(*it))
    });
    let taken = registry_proto::epoch::ended(taken);
    let mut draft = genesis().draft_of_next();
    draft.members[2].epoch_resets = wire_resets(known);
    draft.list(&taken);
    assert_eq!(draft.members[2].epoch_resets, wire_resets(expect));
    let others = draft.members.iter().filter(|it| it.land != "SL");
    assert!(others.into_iter().all(|it| it.epoch_resets.is_empty()));
    // on the way through the file that drafts begin with
    let raw = Charter::encode_chain_with(vec![genesis().raw().clone()], vec![], &taken);
    assert_eq!(Charter::taken_in_chain(&raw.into()), Ok(taken));
}

#[test]
fn a_draft_lists_what_was_taken_and_changes_nothing_that_is_listed() {
    check_list(&[], &[(1, 1)], &[1]);
    check_list(&[], &[(2, 2), (1, 1)], &[1, 2]);
    check_list(&[1], &[(1, 1), (2, 2)], &[1, 2]);
    check_list(&[1, 2], &[(1, 1)], &[1, 2]);
    check_list(&[9], &[(1, 1), (2, 2)], &[9]);
    // what lies behind a gap
    check_list(&[], &[(0, 1), (2, 2)], &[]);
    check_list(&[], &[(1, 1), (3, 3)], &[1]);
    assert_eq!(Charter::taken_in_chain(genesis().raw()).map(|it| it.len()), Ok(0));
    assert!(Charter::taken_in_chain(&Bytes::from_static(b"\x0a\xff")).is_err());
    for (land, reset) in [("XX", 32), ("SL", 31)] {
        let taken =
            wire::TakenEpochReset { land: land.into(), epoch: 1, reset: vec![1; reset].into() };
        let charters = vec![genesis().raw().clone()];
        let chain = wire::CharterChain { charters, taken: vec![taken], ..Default::default() };
        let read = Charter::taken_in_chain(&chain.encode_to_vec().into());
        assert_eq!(read.unwrap_err().problems, [P::Undecodable], "{land}");
    }
}

fn member_with_key(land: Land, seed: u8) -> wire::Member {
    wire::Member { log_key: key(seed), ..member(land, 70) }
}

#[test]
fn every_broken_rule_of_a_successor_has_its_name() {
    let first = genesis();
    let one = |problem: S| [P::Successor(problem)];
    check(&first, |_| {}, Err(&one(S::Unchanged)));
    check(&first, |c| c.number = 2, Err(&one(S::Number { found: 2, expected: 1 })));
    check(&first, |c| c.predecessor = vec![1; 32].into(), Err(&one(S::Predecessor)));
    check(&first, |c| c.name = "Anders".into(), Err(&one(S::Fixed("name"))));
    check(&first, |c| c.test = false, Err(&one(S::Fixed("test"))));
    let vanished = |c: &mut wire::Charter| {
        c.members.remove(1);
    };
    check(&first, vanished, Err(&one(S::Vanished(Land::RP))));
    let mut new = member(Land::BY, 50);
    suspend(&mut new, 1);
    check(&first, |c| c.members.insert(0, new), Err(&one(S::NewWithPast(Land::BY))));
    let keys = one(S::FormerKeys(Land::SL));
    check(&first, |c| c.members[2].log_key = key(60), Err(&keys));
    let pretended = |c: &mut wire::Charter| {
        replace_log_key(&mut c.members[2], 60, 9);
        c.members[2].former_keys[0].log_key = key(61);
    };
    check(&first, pretended, Err(&keys));
    let cut = |field| [P::Cut { member: 3, field }];
    check(&first, |c| c.members[3].cut = Some(wire_cut(1)), Err(&cut("cut")));
    check(&first, |c| c.members[3].set_state(wire::MemberState::Suspended), Err(&cut("cut")));
    let epoch_0 = |c: &mut wire::Charter| {
        suspend(&mut c.members[3], 1);
        c.members[3].cut.as_mut().unwrap().epoch = 0;
    };
    check(&first, epoch_0, Err(&cut("cut")));
    check(&first, |c| c.members[3].state = 7, Err(&[P::State { member: 3, found: 7 }]));
    let speaks = |c: &mut wire::Charter| {
        suspend(&mut c.members[3], 1);
        c.members[3].set_state(wire::MemberState::Removed);
    };
    check(&first, speaks, Err(&[P::RemovedSpeaks { member: 3 }]));
    let nobody = |c: &mut wire::Charter| c.members.iter_mut().for_each(|it| suspend(it, 1));
    check(&first, nobody, Err(&[P::NoVoter]));
    let long = first.successor(vec![0; SUCCESSOR_BYTES_MAX + 1].into()).unwrap_err();
    let found = SUCCESSOR_BYTES_MAX + 1;
    assert_eq!(long.problems, one(S::TooLong { found }));
}

#[test]
fn a_genesis_charter_has_no_past() {
    let mut wire = wire::Charter::decode(&genesis().raw()[..]).unwrap();
    wire.predecessor = vec![1; 32].into();
    suspend(&mut wire.members[0], 1);
    replace_log_key(&mut wire.members[1], 60, 1);
    wire.members[2].epoch_resets = wire_resets(&[1]);
    wire.threshold = 3;
    let problems = Charter::parse(wire.encode_to_vec().into()).unwrap_err().problems;
    let fields = ["predecessor", "members.state", "members.former_keys", "members.epoch_resets"];
    assert_eq!(problems, fields.map(|field| P::NotInGenesis { field }));
}

#[test]
fn a_chain_is_read_to_its_end_or_not_at_all() {
    let first = genesis();
    let second = next(&first, |c| c.threshold = 4);
    let third = next(&second, |c| c.threshold = 3);
    let chain = |all: &[&Charter]| {
        let charters = all.iter().map(|it| it.raw().clone()).collect();
        Charter::chain(wire::CharterChain { charters, ..Default::default() }.encode_to_vec().into())
    };
    let all = chain(&[&first, &second, &third]).unwrap();
    assert_eq!(all, [first.clone(), second.clone(), third.clone()]);
    let alone = Charter::chain(first.raw().clone()).unwrap();
    assert_eq!((alone.len(), &alone[0]), (1, &first));
    let gap = chain(&[&first, &third]).unwrap_err();
    assert_eq!(gap.problems[0], P::Successor(S::Number { found: 2, expected: 1 }));
    let number = P::Number { found: 1 };
    assert_eq!(chain(&[&second, &third]).unwrap_err().problems[0], number);
    assert!(Charter::chain(Bytes::new()).is_err());
}

#[test]
fn hostile_bytes_are_no_successor_and_no_panic() {
    let first = genesis();
    let mut draft = first.draft_of_next();
    suspend(&mut draft.members[3], 9);
    replace_log_key(&mut draft.members[2], 60, 9);
    draft.members[2].epoch_resets = wire_resets(&[1, 2]);
    let raw = draft.encode_to_vec();
    let digest = first.successor(raw.clone().into()).unwrap().0.digest();
    for bit in 0..raw.len() * 8 {
        let mut raw = raw.clone();
        raw[bit / 8] ^= 1 << (bit % 8);
        let changed = first.successor(raw.into());
        assert!(changed.is_err() || changed.is_ok_and(|it| it.0.digest() != digest));
    }
}

/// A vote of the second round, in the wire form.
fn vote() -> wire::CharterVote {
    let cited = |land: Land| wire::CitedVote {
        land: land.code().to_owned(),
        leaf_hash: vec![3; 32].into(),
    };
    wire::CharterVote {
        predecessor: vec![1; 32].into(),
        round: 2,
        successor: Bytes::from_static(b"a charter"),
        cited: vec![cited(Land::HE), cited(Land::SL)],
    }
}

#[track_caller]
fn check_vote(change: impl FnOnce(&mut wire::CharterVote), expect: V) {
    let mut vote = vote();
    change(&mut vote);
    assert_eq!(CharterVote::decode(&vote.encode_to_vec()), Err(expect));
}

#[test]
fn a_vote_gives_back_what_it_says() {
    let read = CharterVote::decode(&vote().encode_to_vec()).unwrap();
    assert_eq!(read.choice(), Some(Hash::of(b"a charter")));
    let cited = CitedVote { land: Land::SL, leaf: Hash::from_bytes([3; 32]) };
    assert_eq!((read.round, read.cited[1]), (2, cited));
    assert_eq!(read.encode(), vote().encode_to_vec());
    let nothing = wire::CharterVote { successor: Bytes::new(), ..vote() };
    assert_eq!(CharterVote::decode(&nothing.encode_to_vec()).unwrap().choice(), None);
}

#[test]
fn every_broken_rule_of_a_vote_has_its_name() {
    assert_eq!(CharterVote::decode(&[0xff; 9]), Err(V::Undecodable));
    check_vote(|v| v.predecessor = Bytes::new(), V::Digest { field: "predecessor" });
    check_vote(|v| v.round = 0, V::Round { found: 0 });
    check_vote(|v| v.round = 1_001, V::Round { found: 1_001 });
    let found = SUCCESSOR_BYTES_MAX + 1;
    check_vote(|v| v.successor = vec![0; found].into(), V::TooLong { found });
    check_vote(|v| v.round = 1, V::Cited);
    check_vote(|v| v.cited.clear(), V::Cited);
    check_vote(|v| v.cited.swap(0, 1), V::Cited);
    check_vote(|v| v.cited[1].land = "HE".into(), V::Cited);
    check_vote(|v| v.cited[1].land = "XX".into(), V::Cited);
    check_vote(|v| v.cited = vec![v.cited[0].clone(); 65], V::Cited);
    let leaf = V::Digest { field: "cited.leaf_hash" };
    check_vote(|v| v.cited[0].leaf_hash.truncate(31), leaf);
}
