//! What a charter says of a log: members that take no part, and keys that were replaced.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_proto::{
    charter::Charter,
    log::{Hash, LogSigner},
    terms::Land,
    wire::{
        peer::peer_message::Message,
        registry::{self as wire, MemberState},
    },
};

use super::{delivers, held};
use crate::{
    node::Setup,
    status::{LogState, LogStatus},
    testing::{Author, Bench, heads, log, signer},
};

/// The charter after the one of the bench, changed in the member RP.
fn next(of: &Charter, change: impl FnOnce(&mut wire::Member)) -> Charter {
    let mut next = of.draft_of_next();
    let member = next.members.iter_mut().find(|it| it.land == "RP").expect("a member");
    change(member);
    let members = next.members.iter().filter(|it| it.state == 0).count();
    next.threshold = u32::try_from(members * 2 / 3 + 1).expect("few");
    of.successor(next.encode_to_vec().into()).expect("a successor").0
}

/// The first `size` of ten entries of RP.
fn cut(of: &Charter, size: u64) -> wire::LogCut {
    let mut author = Author::new(of.id(), Land::RP, signer(Land::RP));
    author.append(10);
    let root = Bytes::copy_from_slice(author.checkpoint(size).root.as_bytes());
    wire::LogCut { epoch: 1, size, root }
}

/// A node under the changed charter; partners HE (session 1) and TH (session 2).
fn bench(change: impl FnOnce(&mut Setup)) -> Bench {
    let mut bench = Bench::with(change);
    for land in [Land::RP, Land::HE] {
        bench.author(land).append(10);
    }
    bench.connect(1, Land::HE);
    bench.connect(2, Land::TH);
    bench
}

fn status(bench: &Bench) -> LogStatus {
    let status = bench.node.status(bench.now);
    status.logs.into_iter().find(|it| it.log == log(Land::RP)).expect("a log")
}

fn new_keys(seed: u8) -> LogSigner {
    let key = |seed| SigningKey::from_bytes(&[seed; 32]);
    LogSigner::new(key(seed), key(seed + 1))
}

#[test]
fn nothing_behind_the_end_of_a_suspended_log_is_taken_and_other_logs_go_on() {
    for (state, expect) in
        [(MemberState::Suspended, LogState::Suspended), (MemberState::Removed, LogState::Removed)]
    {
        let mut bench = bench(|setup| {
            setup.charter = next(&setup.charter, |it| {
                it.cut = Some(cut(&setup.charter, 6));
                it.set_state(state);
                if state == MemberState::Removed {
                    (it.nodes, it.anchors) = (Vec::new(), Vec::new());
                }
            });
        });
        // whoever follows an older charter does nothing wrong
        assert_eq!(bench.tell(1, Land::RP, 10, 10), Vec::<String>::new());
        assert_eq!(bench.lapses, ["lapse HE uncounted_head"]);
        assert_eq!(bench.tell(1, Land::RP, 6, 6), ["1 <- follow RP/1 from 0"]);
        let said = bench.send(1, Land::RP, 0, 10, 10);
        assert_eq!(said, ["fault HE beyond_cut", "1 <- unfollow RP/1"]);
        assert_eq!(bench.tell(2, Land::RP, 6, 6), ["2 <- follow RP/1 from 0"]);
        assert_eq!(bench.send(2, Land::RP, 0, 6, 6), ["store RP/1 +6 of 6"]);
        assert_eq!(bench.stored(Land::RP), ["2 <- ack RP/1 6"]);
        let it = status(&bench);
        assert_eq!((it.size, it.known, it.state, it.ends_at), (6, 6, expect, Some(6)));
        // another history of that size is not what the members decided
        let other = bench.author(Land::RP).lie(6, Hash::of(b"other"));
        let mut head = bench.author(Land::RP).head(6, 6);
        head.checkpoint = other;
        assert_eq!(bench.say(2, Message::Heads(heads(vec![head], 0))), Vec::<String>::new());
        bench.tell(1, Land::HE, 10, 10);
        delivers(&mut bench, 1, Land::HE);
        assert_eq!(held(&bench, Land::RP), 6);
    }
}

#[test]
fn who_keeps_a_key_that_was_replaced_adds_nothing_and_the_new_key_goes_on() {
    let new = || new_keys(71);
    let mut bench = bench(|setup| {
        setup.charter = next(&setup.charter, |it| {
            let cut = Some(cut(&setup.charter, 6));
            let public = |key: &ed25519_dalek::VerifyingKey| Bytes::copy_from_slice(key.as_bytes());
            let (log, freshness) = (public(&new().keys().log), public(&new().keys().freshness));
            let log_key = std::mem::replace(&mut it.log_key, log);
            let freshness_key = std::mem::replace(&mut it.freshness_key, freshness);
            it.former_keys.push(wire::FormerKeys { log_key, freshness_key, cut });
        });
    });
    // up to the place where it was replaced the old key counts, and not beyond
    assert_eq!(bench.tell(1, Land::RP, 10, 10), Vec::<String>::new());
    assert_eq!(bench.tell(1, Land::RP, 6, 6), ["1 <- follow RP/1 from 0"]);
    assert_eq!(bench.send(1, Land::RP, 0, 6, 6), ["store RP/1 +6 of 6"]);
    bench.stored(Land::RP);
    bench.author(Land::RP).seconds += 1_000_000;
    bench.tell(1, Land::RP, 6, 6);

    let mut owner = Author::new(bench.charter.id(), Land::RP, new());
    owner.append(6);
    for _ in 6..12 {
        owner.append_with(b"written by the owner", |_| ());
    }
    let seconds = owner.seconds;
    let thief = std::mem::replace(bench.author(Land::RP), owner);
    bench.tell(2, Land::RP, 6, 6);
    assert_eq!(status(&bench).fresh_unix_seconds, seconds, "whatever time the old key states");
    let said = bench.tell(2, Land::RP, 9, 9);
    assert_eq!(said, ["1 <- unfollow RP/1", "2 <- follow RP/1 from 6"]);
    assert_eq!(bench.send(2, Land::RP, 6, 9, 9), ["store RP/1 +3 of 9"]);
    bench.stored(Land::RP);
    let late = thief.head(10, 10);
    assert_eq!(bench.say(1, Message::Heads(heads(vec![late], 0))), Vec::<String>::new());
    let it = status(&bench);
    assert_eq!((it.size, it.known, it.forked), (9, 9, false));
    assert_ne!(it.state, LogState::Quarantined);
}

#[test]
fn keys_of_a_charter_to_come_end_no_session_and_strange_ones_do() {
    for (ahead, expect) in
        [(true, vec![]), (false, vec!["fault HE checkpoint", "close 3 checkpoint"])]
    {
        let mut bench = Bench::new();
        bench.dial(3, Land::HE, true);
        let mut hello = bench.hello(Land::HE);
        hello.charter = u64::from(ahead);
        bench.say(3, Message::Hello(hello));
        let mut author = Author::new(bench.charter.id(), Land::RP, new_keys(90));
        author.append(3);
        let head = author.head(3, 3);
        assert_eq!(bench.say(3, Message::Heads(heads(vec![head], 0))), expect);
        assert_eq!(held(&bench, Land::RP), 0);
    }
}
