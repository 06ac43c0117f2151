//! Logs that begin again: what is believed of a reset, and how a new epoch begins.

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    charter::Charter,
    epoch::{Reset, TakenReset},
    erasure::Erasing,
    key::Key,
    log::{Hash, Header, Kind, Origin, leaf_hash},
    terms::{
        Land::{BY, HE, RP, SL, TH},
        LogId,
    },
    wire::{
        peer::{EpochResets, Hello, peer_message::Message},
        registry as wire,
    },
};

use super::words;
use crate::{
    fold::Position,
    limits,
    log::OwnServices,
    node::{Effect, Input, Learned},
    replicate::SessionId,
    status::LogState,
    testing::{
        Author, Bench, LAENDER, brief, charter, definition, heads, is_testimony, log, reset, signer,
    },
};

/// The second epoch of a log.
fn second(land: registry_proto::terms::Land) -> LogId {
    LogId { land, epoch: 2 }
}

fn author_of(log: LogId) -> Author {
    let verbund = charter(&LAENDER).id();
    Author::of_log(Origin { verbund, log }, signer(log.land))
}

fn root(bench: &mut Bench, of: registry_proto::terms::Land, size: u64) -> Hash {
    bench.author(of).checkpoint(size).root
}

fn taken(reset: Reset) -> TakenReset {
    reset.complete(&charter(&LAENDER)).expect("complete")
}

fn show(bench: &mut Bench, session: u64, items: Vec<Bytes>) -> Vec<String> {
    bench.say(session, Message::EpochResets(EpochResets { items }))
}

fn state(bench: &Bench, log: LogId) -> Option<(LogState, Option<u64>)> {
    let status = bench.node.status(bench.now);
    status.logs.iter().find(|it| it.log == log).map(|it| (it.state, it.ends))
}

/// Follows the log of Rheinland-Pfalz at Thüringen, and holds ten entries of it.
fn follower() -> Bench {
    let mut bench = Bench::open();
    bench.author(RP).append(10);
    bench.connect(2, TH);
    bench.tell(2, RP, 10, 10);
    bench.send(2, RP, 0, 10, 10);
    bench.stored(RP);
    bench
}

#[test]
fn a_reset_counts_when_it_is_complete_and_nothing_is_asked_for_any_more() {
    let mut bench = follower();
    let root = root(&mut bench, RP, 6);
    // the owner may not agree for others, and one of three others is not enough
    for consents in [&[][..], &[HE], &[HE, HE]] {
        let said = show(&mut bench, 2, vec![reset(log(RP), 6, root, consents).encode()]);
        assert_eq!(said, ["fault TH epoch_reset"], "{consents:?}");
        assert_eq!(state(&bench, log(RP)), Some((LogState::Live, None)));
    }
    let complete = reset(log(RP), 6, root, &[HE, TH]);
    let said = show(&mut bench, 2, vec![complete.encode()]);
    assert_eq!(said, ["ended RP/1 at 6 by TH", "keep reset of RP/1", "2 <- unfollow RP/1"]);
    assert_eq!(state(&bench, log(RP)), Some((LogState::Ended, Some(6))));
    // again, and another one of the same epoch: it has ended
    let other = reset(log(RP), 5, root, &[HE, SL]);
    assert!(show(&mut bench, 2, vec![complete.encode(), other.encode()]).is_empty());
    // of an epoch that this node has not come to
    assert!(
        show(&mut bench, 2, vec![reset(second(RP), 0, Hash::EMPTY_ROOT, &[HE, SL]).encode()])
            .is_empty()
    );
    assert_eq!(state(&bench, log(RP)), Some((LogState::Ended, Some(6))));
    // whoever sends no reset at all speaks another language
    let said = show(&mut bench, 2, vec![Bytes::from_static(b"\xff")]);
    assert_eq!(said[0], "fault TH epoch_reset");
    assert!(said[1].starts_with("close 2"), "{said:?}");
}

/// The charter after the one of all benches, which lists this of the first epoch of Rheinland-Pfalz:
/// Bayern is a member, and keys that a reset needs were replaced.
fn later(listed: Option<Hash>) -> Charter {
    let genesis = charter(&LAENDER);
    let mut next = genesis.draft_of_next();
    for member in &mut next.members {
        if member.land == HE.code() {
            let root = Bytes::copy_from_slice(Hash::EMPTY_ROOT.as_bytes());
            let fresh = Bytes::copy_from_slice(new_key(71).public().as_bytes());
            member.former_keys.push(wire::FormerKeys {
                log_key: member.log_key.clone(),
                freshness_key: std::mem::replace(&mut member.freshness_key, fresh),
                cut: Some(wire::LogCut { epoch: 1, size: 0, root }),
            });
        }
        if member.land == RP.code() {
            member.offline_key = Bytes::copy_from_slice(new_key(72).public().as_bytes());
            member.epoch_resets = listed.iter().map(|it| it.as_bytes().to_vec().into()).collect();
        }
    }
    let five = wire::Charter::decode(&charter(&[BY, HE, RP, SL, TH]).raw()[..]).expect("a charter");
    next.members.insert(0, five.members[0].clone());
    next.threshold = 4;
    genesis.successor(next.encode_to_vec().into()).expect("a successor").0
}

fn new_key(seed: u8) -> Key {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).into()
}

/// A node that begins under a later charter is shown a reset of Rheinland-Pfalz that keeps six
/// entries, by a partner under the charter of this number. What is no fault and was complete is
/// remembered.
#[track_caller]
fn check_later(listed: Option<Hash>, number: u64, shown: &Reset, expect: &[&str], lapses: &[&str]) {
    let mut bench = begun_under(later(listed), number);
    assert_eq!(show(&mut bench, 2, vec![shown.encode()]), expect);
    assert_eq!(bench.lapses, lapses);
    let ends = expect.first().is_some_and(|it| it.starts_with("ended")).then_some(6);
    assert_eq!(state(&bench, log(RP)).map(|it| it.1), Some(ends));
    let was_complete = !lapses.is_empty() && shown.was_complete(&[charter(&LAENDER)]);
    let told = was_complete.then(|| (log(RP), vec![shown.digest()]));
    assert_eq!(remembered(&bench), told.into_iter().collect::<Vec<_>>());
}

/// A node under this charter after the one of all benches, and a partner under the charter of this
/// number.
fn begun_under(charter: Charter, number: u64) -> Bench {
    let mut bench = Bench::with(|it| {
        it.past = vec![std::mem::replace(&mut it.charter, charter)];
    });
    bench.dial(2, TH, true);
    let hello = Hello { charter: number, ..bench.hello(TH) };
    bench.say(2, Message::Hello(hello));
    bench
}

fn remembered(bench: &Bench) -> Vec<(LogId, Vec<Hash>)> {
    let told = bench.node.status(bench.now).resets_told;
    told.into_iter().map(|(log, resets)| (log, resets.into_iter().collect())).collect()
}

#[test]
fn a_newcomer_takes_what_the_charter_lists_and_nobody_is_blamed_for_the_rest() {
    let mut first = author_of(log(RP));
    first.append(10);
    let root = first.checkpoint(6).root;
    let complete = reset(log(RP), 6, root, &[HE, TH]);
    let listed = Some(complete.digest());
    let taken = ["ended RP/1 at 6 by TH", "keep reset of RP/1"];
    let (fault, lapse) = (["fault TH epoch_reset"], ["lapse TH uncounted_reset"]);
    for number in [0, 1, 2] {
        check_later(listed, number, &complete, &taken, &[]);
        // who took it under the charter of then keeps it; here old keys may be in other hands
        check_later(None, number, &complete, &[], &lapse);
    }
    // by a charter that is not here yet it may count
    for short in [reset(log(RP), 6, root, &[HE]), reset(log(RP), 6, root, &[])] {
        for listed in [listed, None] {
            check_later(listed, 1, &short, &fault, &[]);
            check_later(listed, 2, &short, &[], &lapse);
        }
    }
    // another one than the members decided on counts nowhere
    let other = reset(log(RP), 5, root, &[HE, TH]);
    for number in [0, 1, 2] {
        check_later(listed, number, &other, &fault, &[]);
    }
}

#[test]
fn what_would_count_if_it_were_listed_is_remembered_within_limits() {
    let of = |log, size, consents: &[_]| reset(log, size, Hash::EMPTY_ROOT, consents);
    let second_of = |consents: &[_]| of(second(RP), 0, consents);
    let mut bench = begun_under(later(None), 1);
    // nothing ends the first epoch, so nobody asks about the second
    show(&mut bench, 2, vec![second_of(&[HE, TH]).encode()]);
    assert_eq!(remembered(&bench), []);
    let first = of(log(RP), 1, &[HE, TH]);
    show(&mut bench, 2, vec![first.encode(), second_of(&[HE]).encode()]);
    assert_eq!(remembered(&bench), [(log(RP), vec![first.digest()])]);
    let next = second_of(&[HE, TH]);
    show(&mut bench, 2, vec![first.encode(), next.encode()]);
    let both = [(log(RP), vec![first.digest()]), (second(RP), vec![next.digest()])];
    assert_eq!(remembered(&bench), both);
    // old keys sign any number of them
    for size in 2..9 {
        show(&mut bench, 2, vec![of(log(RP), size, &[HE, TH]).encode()]);
    }
    let told = remembered(&bench);
    assert_eq!(told[0].1.len(), limits::RESETS_TOLD_MAX);
    assert!(told[0].1.contains(&first.digest()));
    // also when the partner is gone
    bench.later(100_000);
    assert_eq!(remembered(&bench), told);
}

#[test]
fn resets_that_do_not_count_cost_what_their_signatures_cost() {
    let mut bench = Bench::with(|it| {
        it.past = vec![std::mem::replace(&mut it.charter, later(None))];
    });
    bench.connect(2, TH);
    let shown = reset(log(RP), 6, Hash::EMPTY_ROOT, &[HE, TH]).encode();
    let mut shows = 0;
    // complete under the charter before: verified each time, and nobody's fault
    let said = loop {
        let said = show(&mut bench, 2, vec![shown.clone()]);
        if !said.is_empty() {
            break said;
        }
        shows += 1;
    };
    assert_eq!(said, ["fault TH too_fast", "close 2 too_fast"]);
    // three signatures, each looked at twice at most
    let signatures = limits::HEADS_BURST_MAX / (2 * 3);
    assert!((signatures / 2..=signatures).contains(&shows), "{shows}");
}

#[test]
fn the_end_of_the_own_epoch_stops_signing() {
    let mut bench = Bench::open();
    bench.connect(2, TH);
    let complete = reset(log(SL), 0, Hash::EMPTY_ROOT, &[HE, TH]);
    let said = show(&mut bench, 2, vec![complete.encode()]);
    assert_eq!(said, ["fence closed", "ended SL/1 at 0 by TH", "keep reset of SL/1"]);
    assert_eq!(words(&bench.submit(1, definition(1))), ["reply 1 FENCED"]);
    // nothing opens it but a new beginning
    bench.connect(1, RP);
    assert!(!bench.later(100_000).contains(&"fence open".to_owned()));
}

/// Started in the second epoch of the own log: of the first, ten entries were signed, six are here
/// and count.
fn begun_again(held: u64) -> (Bench, Reset) {
    begun(held, |_, _| ())
}

/// The same, with more that the node knows of its log.
fn begun(held: u64, knows: impl FnOnce(&mut OwnServices, &Author)) -> (Bench, Reset) {
    let mut first = author_of(log(SL));
    first.append(10);
    let ended = reset(log(SL), 6, first.checkpoint(6).root, &[HE, RP]);
    let mut services = OwnServices::default();
    for entry in first.batch(0, held.min(6), 6).entries {
        let header = Header::parse(&entry.header).expect("a header");
        let leaf = leaf_hash(&entry.header);
        services.learn(&header, leaf, Some(&entry.body));
    }
    knows(&mut services, &first);
    let kept = taken(ended.clone());
    let logs = vec![first.recovered(held, held)];
    let mut bench = Bench::with(|it| {
        (it.logs, it.resets, it.services) = (logs, vec![kept], services);
    });
    *bench.author(SL) = first;
    (bench, ended)
}

/// A partner that knows of nothing in the second epoch answers the fence.
fn answer(bench: &mut Bench, session: u64, nonce: u64) -> Vec<Effect> {
    let message = Message::Heads(heads(vec![author_of(second(SL)).head(0, 0)], nonce));
    let effects = bench.handle(Input::Received { session: SessionId(session), message });
    effects.into_iter().filter(|it| !is_testimony(it)).collect()
}

#[test]
fn a_new_epoch_begins_with_its_reset_and_goes_on_behind_what_counts() {
    let (mut bench, ended) = begun_again(6);
    let told = bench.dial(1, RP, true);
    assert_eq!(told, ["1 <- hello", "1 <- resets 1", "1 <- heads #0"]);
    let hello = bench.hello(RP);
    bench.say(1, Message::Hello(hello));
    // heads of the epoch that ended answer nothing
    let old = bench.author(SL).head(6, 6);
    assert!(bench.say(1, Message::Heads(heads(vec![old], 1))).is_empty());
    assert_eq!(words(&bench.submit(1, definition(77))), ["reply 1 FENCED"]);
    let effects = answer(&mut bench, 1, 1);
    let said: Vec<_> = effects.iter().map(brief).collect();
    assert_eq!(said, ["fence open", "commit 0..1"]);
    let Some(Effect::Commit(commit)) = effects.last() else { panic!("{said:?}") };
    let header = Header::parse(&commit.entries[0].header).expect("a header");
    assert_eq!((header.kind, header.log, header.index), (Kind::EpochReset, second(SL), 0));
    let body = Reset::read(&commit.entries[0].body).expect("a reset");
    assert_eq!(body, ended);
    bench.committed(commit.checkpoint);
    bench.folded(1);
    // what stands in the first epoch stands, where it stands; a change goes behind
    let [Effect::Reply { outcome: Ok(same), .. }] = &bench.submit(2, same_as(3))[..] else {
        panic!("answered at once")
    };
    let record = &same.records[0];
    assert!(record.unchanged);
    assert_eq!((record.log, record.index, record.revision), (log(SL), Some(2), 3));
    let said = words(&bench.submit(3, definition(3)));
    assert_eq!(said, ["commit 1..2"]);
}

#[test]
fn erasures_that_a_reset_discarded_are_said_again_until_they_stand() {
    let gone = |services: &mut OwnServices, first: &Author| {
        for (index, grund) in [(1, Some("Widerruf")), (3, None)] {
            let raw = &first.batch(index, index + 1, 6).entries[0].header;
            services.gone(&Header::parse(raw).expect("a header"), leaf_hash(raw), grund);
        }
    };
    let (mut bench, _) = begun(6, gone);
    bench.dial(1, RP, true);
    let hello = bench.hello(RP);
    bench.say(1, Message::Hello(hello));
    let effects = answer(&mut bench, 1, 1);
    let said: Vec<_> = effects.iter().map(brief).collect();
    assert_eq!(said, ["fence open", "commit 0..3"]);
    // nothing was signed: once more, when the key has rested
    assert!(!bench.input(Input::CommitUnsigned).iter().any(|it| it.starts_with("commit")));
    bench.now.mono_ms += limits::SIGN_RETRY_MS;
    bench.now.wall_ms += 1_000;
    let effects = bench.handle(Input::Tick);
    let commit = effects.into_iter().find_map(|it| match it {
        Effect::Commit(it) => Some(it),
        _ => None,
    });
    let commit = commit.expect("a group");
    assert_eq!(commit.entries.len(), 3);
    let mut services = OwnServices::default();
    for (entry, (index, grund)) in
        commit.entries[1..].iter().zip([(1, "Widerruf"), (3, "verworfenen Teil")])
    {
        let header = Header::parse(&entry.header).expect("a header");
        let erasing = Erasing::read(&header, &entry.body).expect("an erasure");
        let target = bench.author(SL).batch(index, index + 1, 6).entries[0].header.clone();
        let leaf = leaf_hash(&target);
        let target = Header::parse(&target).expect("a header");
        assert!(erasing.erases(&target, &leaf).is_ok() && erasing.grund.contains(grund));
        assert_eq!((header.log, header.object_id), (second(SL), target.object_id));
        services.learn(&header, leaf_hash(&entry.header), Some(&entry.body));
    }
    bench.committed(commit.checkpoint);
    assert!(!bench.later(1_000).iter().any(|it| it.starts_with("commit")));
    // the next start knows that they stand
    gone(&mut services, bench.author(SL));
    assert_eq!(services.erasures_to_say(), 0);
}

/// Service 3 as the author of the first epoch published it.
fn same_as(service: u128) -> crate::submission::Submission {
    crate::testing::submission(&[(service, None, "body")])
}

#[test]
fn revisions_grow_from_one_epoch_to_the_next() {
    let at = |log, index| Position { log, index }.number();
    assert_eq!(at(log(SL), 7), 7);
    assert!(at(second(SL), 0) > at(log(SL), 1 << 30));
    let of = Position { log: second(SL), index: 5 };
    assert_eq!(Position::of_number(SL, of.number()), of);
}

#[test]
fn nothing_is_signed_before_what_counts_is_here() {
    let (mut bench, _) = begun_again(4);
    bench.connect(1, RP);
    let said: Vec<_> = answer(&mut bench, 1, 1).iter().map(brief).collect();
    assert!(said.is_empty(), "{said:?}");
    let status = bench.node.status(bench.now);
    assert!(status.fence.contains("epochs before SL/2"), "{}", status.fence);
    // the epoch that ended comes back as any log does, up to what counts
    assert_eq!(bench.tell(1, SL, 10, 10), ["1 <- follow SL/1 from 4"]);
    assert_eq!(bench.send(1, SL, 4, 6, 10), ["store SL/1 +2 of 10", "1 <- unfollow SL/1"]);
    let entries = bench.author(SL).batch(4, 6, 10).entries;
    let learned = entries.into_iter().map(|it| Learned { header: it.header, body: it.body });
    let said = bench.input(Input::Stored { log: log(SL), learned: learned.collect() });
    assert_eq!(said, ["begin again SL/2", "1 <- ack SL/1 6"]);
    assert_eq!(words(&bench.submit(1, definition(1))), ["reply 1 FENCED"]);
}

/// Rheinland-Pfalz began again; what its second epoch begins with.
fn check_beginning(write: impl FnOnce(&mut Author, &Reset), expect: &[&str]) {
    let mut first = author_of(log(RP));
    first.append(10);
    let ended = reset(log(RP), 6, first.checkpoint(6).root, &[HE, TH]);
    let kept = taken(ended.clone());
    let mut bench = Bench::with(|it| {
        (it.logs, it.resets) = (vec![first.recovered(10, 10)], vec![kept]);
    });
    bench.connect(1, TH);
    let mut author = author_of(second(RP));
    write(&mut author, &ended);
    let size = author.size();
    let head = author.head(size, size);
    let said = bench.say(1, Message::Heads(heads(vec![head], 0)));
    assert_eq!(said, ["1 <- follow RP/2 from 0"]);
    let mut batch = author.batch(0, size, size);
    batch.follow = bench.follow(1, RP);
    assert_eq!(bench.say(1, Message::Batch(batch)), expect);
}

#[test]
fn an_epoch_that_does_not_begin_with_its_reset_is_not_accepted() {
    let begin = |author: &mut Author, reset: &Reset| {
        author.append_with(&reset.encode(), |it| {
            (it.kind, it.object_id) = (Kind::EpochReset, None);
        });
    };
    check_beginning(
        |author, reset| {
            begin(author, reset);
            author.append(1);
        },
        &["store RP/2 +2 of 2"],
    );
    let refused = &["stopped by TH epoch_beginning", "1 <- unfollow RP/2"];
    check_beginning(|author, _| author.append(2), refused);
    check_beginning(
        |author, _| begin(author, &reset(log(RP), 6, Hash::EMPTY_ROOT, &[HE, TH])),
        refused,
    );
    check_beginning(
        |author, reset| {
            begin(author, reset);
            begin(author, reset);
        },
        refused,
    );
    // entries of the first epoch do not become those of the second
    let misplaced = &["stopped by TH misplaced", "1 <- unfollow RP/2"];
    check_beginning(
        |author, reset| {
            begin(author, reset);
            author.append_with(b"body", |it| it.log = log(RP));
        },
        misplaced,
    );
}
