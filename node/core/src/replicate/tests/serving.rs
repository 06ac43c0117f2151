//! Serving logs to partners.

use registry_proto::{
    terms::Land,
    wire::peer::{Ack, Follow, Unfollow, peer_message::Message},
};

use super::{bench, delivers};
use crate::{
    limits,
    node::{Effect, Input},
    replicate::SendRange,
    testing::{Bench, brief},
};

const PLENTY: u64 = u64::MAX;

fn follow(from: u64, credit_bytes: u64) -> Message {
    numbered(1, from, credit_bytes)
}

fn numbered(follow: u64, from: u64, credit_bytes: u64) -> Message {
    Message::Follow(Follow {
        land: "RP".to_owned(),
        epoch: 1,
        from,
        credit_bytes,
        follow,
        kept: false,
    })
}

fn unfollow() -> Message {
    Message::Unfollow(Unfollow { land: "RP".to_owned(), epoch: 1 })
}

fn ack(size: u64, credit_bytes: u64) -> Message {
    Message::Ack(Ack { land: "RP".to_owned(), epoch: 1, size, credit_bytes })
}

/// A node with ten entries of Rheinland-Pfalz; Thüringen follows them in session 2.
fn serving() -> Bench {
    let mut bench = bench();
    delivers(&mut bench, 1, Land::RP);
    bench
}

fn range(bench: &mut Bench, message: Message) -> SendRange {
    let said = bench.handle(Input::Received { session: crate::replicate::SessionId(2), message });
    match said.as_slice() {
        [Effect::SendRange(range)] => range.clone(),
        other => panic!("{:?}", other.iter().map(brief).collect::<Vec<_>>()),
    }
}

fn sent(bench: &mut Bench, range: &SendRange, next: u64, bytes: u64) -> Vec<String> {
    bench.input(Input::RangeSent { range: range.clone(), next, bytes })
}

#[test]
fn a_follower_gets_range_after_range_and_then_what_is_new() {
    let mut bench = serving();
    let first = range(&mut bench, follow(0, PLENTY));
    assert_eq!((first.from, first.upto, first.bytes), (0, 10, limits::BATCH_BYTES_MAX));
    assert_eq!(sent(&mut bench, &first, 4, 100), ["2 <- range RP/1 4..10 #1"]);
    let second = SendRange { from: 4, ..first };
    assert_eq!(sent(&mut bench, &second, 10, 100), Vec::<String>::new());
    bench.author(Land::RP).append(2);
    bench.tell(1, Land::RP, 12, 12);
    bench.send(1, Land::RP, 10, 12, 12);
    assert_eq!(bench.stored(Land::RP), ["1 <- ack RP/1 12", "2 <- range RP/1 10..12 #1"]);
}

#[test]
fn nothing_is_served_beyond_a_complete_checkpoint() {
    let mut bench = bench();
    bench.send(1, Land::RP, 0, 4, 10);
    assert_eq!(bench.stored(Land::RP), ["1 <- ack RP/1 4"]);
    assert_eq!(bench.say(2, follow(0, PLENTY)), Vec::<String>::new());
    bench.send(1, Land::RP, 4, 10, 10);
    assert_eq!(bench.stored(Land::RP), ["1 <- ack RP/1 10", "2 <- range RP/1 0..10 #1"]);
}

#[test]
fn a_follow_beyond_the_end_or_of_an_unknown_log_is_refused() {
    let mut bench = serving();
    assert_eq!(bench.say(2, follow(11, PLENTY)), ["2 <- refusal RP/1 BeyondEnd"]);
    assert_eq!(bench.say(2, follow(u64::MAX, PLENTY)), ["2 <- refusal RP/1 BeyondEnd"]);
    assert_eq!(bench.say(2, follow(10, PLENTY)), Vec::<String>::new());
    for (land, epoch, said) in [("BY", 1, "BY/1"), ("RP", 2, "RP/2"), ("", 0, "/0")] {
        let follow = Follow {
            land: land.to_owned(),
            epoch,
            from: 0,
            credit_bytes: 1,
            follow: 1,
            kept: false,
        };
        let expect = format!("2 <- refusal {said} UnknownLog");
        assert_eq!(bench.say(2, Message::Follow(follow)), [expect]);
    }
    let long = Follow { land: "ß".repeat(1_000_000), ..Follow::default() };
    let expect = format!("2 <- refusal {}/0 UnknownLog", "ß".repeat(16));
    assert_eq!(bench.say(2, Message::Follow(long)), [expect]);
}

#[test]
fn without_credit_nothing_is_sent() {
    let mut bench = serving();
    assert_eq!(bench.say(2, follow(0, 0)), Vec::<String>::new());
    let first = range(&mut bench, ack(0, 50));
    assert_eq!(sent(&mut bench, &first, 1, 70), Vec::<String>::new());
    let second = range(&mut bench, ack(1, 70));
    assert_eq!(second.from, 1);
}

#[test]
fn a_batch_that_ends_beyond_the_credit_is_owed() {
    let mut bench = serving();
    let first = range(&mut bench, follow(0, 50));
    assert_eq!(sent(&mut bench, &first, 1, 70), Vec::<String>::new());
    // 20 are owed: an Ack of as many opens nothing, one byte more does
    assert_eq!(bench.say(2, ack(0, 20)), Vec::<String>::new());
    assert_eq!(range(&mut bench, ack(0, 1)).from, 1);
}

#[test]
fn credit_is_bounded_whatever_a_partner_grants() {
    let mut bench = serving();
    let first = range(&mut bench, follow(0, PLENTY));
    assert_eq!(bench.say(2, ack(0, PLENTY)), Vec::<String>::new());
    let most = limits::FOLLOW_CREDIT_BYTES + limits::MESSAGE_BYTES_MAX as u64;
    assert_eq!(sent(&mut bench, &first, 1, most), Vec::<String>::new());
}

#[test]
fn an_ack_that_overtakes_the_news_of_its_range_loses_no_credit() {
    let mut bench = serving();
    let mut next = range(&mut bench, follow(0, PLENTY));
    // a range as large as they get, acknowledged before the driver hears that it was sent
    let bytes = limits::BATCH_BYTES_MAX as u64;
    for at in 1..10 {
        bench.say(2, ack(at, bytes));
        let said = sent(&mut bench, &next, at, bytes);
        assert_eq!(said, [format!("2 <- range RP/1 {at}..10 #1")]);
        next.from = at;
    }
}

#[test]
fn one_range_is_under_way_however_often_a_partner_follows() {
    let mut bench = serving();
    let first = range(&mut bench, follow(0, PLENTY));
    for number in 2..102 {
        assert_eq!(bench.say(2, numbered(number, 3, PLENTY)), Vec::<String>::new());
        assert_eq!(bench.say(2, unfollow()), Vec::<String>::new());
    }
    assert_eq!(bench.say(2, numbered(102, 5, PLENTY)), Vec::<String>::new());
    // the range of the first Follow counts for nothing now, and the last one is served
    assert_eq!(sent(&mut bench, &first, 10, 100), ["2 <- range RP/1 5..10 #102"]);
}

#[test]
fn an_unfollow_ends_the_service() {
    let mut bench = serving();
    let first = range(&mut bench, follow(0, PLENTY));
    assert_eq!(bench.say(2, unfollow()), Vec::<String>::new());
    assert_eq!(sent(&mut bench, &first, 4, 100), Vec::<String>::new());
    assert_eq!(bench.say(2, ack(4, 100)), Vec::<String>::new());
    let unknown = Unfollow { land: "BY".to_owned(), epoch: 7 };
    assert_eq!(bench.say(2, Message::Unfollow(unknown)), Vec::<String>::new());
}

#[test]
fn a_range_that_cannot_be_read_is_refused() {
    let mut bench = serving();
    let first = range(&mut bench, follow(0, PLENTY));
    let said = bench.input(Input::RangeFailed { range: first });
    assert_eq!(said, ["2 <- refusal RP/1 Unavailable"]);
    // it may ask again
    let again = range(&mut bench, numbered(2, 0, PLENTY));
    // one of a Follow that was replaced only makes room
    assert_eq!(bench.say(2, numbered(3, 2, PLENTY)), Vec::<String>::new());
    let said = bench.input(Input::RangeFailed { range: again });
    assert_eq!(said, ["2 <- range RP/1 2..10 #3"]);
}

#[test]
fn what_a_partner_acknowledges_is_at_most_what_was_sent() {
    let mut bench = serving();
    let first = range(&mut bench, follow(0, PLENTY));
    sent(&mut bench, &first, 4, 100);
    bench.say(2, ack(u64::MAX, 0));
    let status = bench.node.status(bench.now);
    let told = status
        .peers
        .iter()
        .find(|it| it.peer.land == Land::TH && it.log == crate::testing::log(Land::RP));
    // it had told ten itself when it introduced itself
    assert_eq!(told.map(|it| it.size), Some(10));
    // nor of a log it does not follow
    let unknown = Ack { land: "HE".to_owned(), epoch: 1, size: 9, credit_bytes: 1 };
    assert_eq!(bench.say(2, Message::Ack(unknown)), Vec::<String>::new());
}
