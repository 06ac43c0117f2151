//! Every `PeerFault`: provoked by a message, with exactly the documented outcome.

use bytes::Bytes;
use registry_proto::{
    log::Hash,
    terms::Land,
    wire::peer::{
        AskHeads, Batch, BatchEntry, Beacon, BodyState, Head, Hello, peer_message::Message,
    },
};

use super::{bench, delivers, held};
use crate::{
    limits,
    status::LogState,
    testing::{Bench, heads, log, signer},
};

/// The stream ends with this fault, nothing is stored, and the partner's logs come from elsewhere.
#[track_caller]
fn check_closes(message: impl FnOnce(&mut Bench) -> Message, label: &str) {
    let mut bench = bench();
    let message = message(&mut bench);
    let said = bench.say(1, message);
    let expect = [
        format!("fault RP {label}"),
        format!("close 1 {label}"),
        "2 <- follow HE/1 from 0".to_owned(),
        "2 <- follow RP/1 from 0".to_owned(),
    ];
    assert_eq!(said, expect);
    delivers(&mut bench, 2, Land::RP);
    // what still arrives from the closed stream is nobody's
    assert_eq!(bench.send(1, Land::HE, 0, 10, 10), Vec::<String>::new());
}

/// Only this log comes from elsewhere; the stream and its other logs go on.
#[track_caller]
fn check_avoids(batch: impl FnOnce(&mut Bench) -> Batch, label: &str) {
    let mut bench = bench();
    let batch = batch(&mut bench);
    let said = bench.say(1, Message::Batch(batch));
    let expect = [
        format!("fault RP {label}"),
        "1 <- unfollow RP/1".to_owned(),
        "2 <- follow RP/1 from 0".to_owned(),
    ];
    assert_eq!(said, expect);
    assert_eq!(held(&bench, Land::RP), 0, "nothing is stored");
    delivers(&mut bench, 1, Land::HE);
    delivers(&mut bench, 2, Land::RP);
    // half a minute later the owner is asked again
    bench.author(Land::RP).append(1);
    assert!(!bench.tell(1, Land::RP, 11, 11).iter().any(|it| it.contains("follow RP")));
    bench.pass(limits::SOURCE_AVOID_MS);
    assert!(bench.tell(1, Land::RP, 11, 11).contains(&"1 <- follow RP/1 from 10".to_owned()));
}

/// The first message on a stream; the outcome in words.
#[track_caller]
fn check_first(change: impl FnOnce(&mut Hello), label: &str) {
    let mut bench = Bench::open();
    bench.dial(1, Land::RP, true);
    let mut hello = bench.hello(Land::RP);
    change(&mut hello);
    let said = bench.say(1, Message::Hello(hello));
    assert_eq!(said, [format!("fault RP {label}"), format!("close 1 {label}")]);
    assert!(bench.node.status(bench.now).connected.is_empty());
}

fn batch(bench: &mut Bench) -> Batch {
    bench.author(Land::RP).batch(0, 10, 10)
}

fn part(bench: &mut Bench) -> Batch {
    bench.author(Land::RP).batch(0, 5, 10)
}

fn other_body(change: impl Fn(&mut BatchEntry)) -> impl FnOnce(&mut Bench) -> Batch {
    move |bench| {
        let mut batch = batch(bench);
        change(&mut batch.entries[9]);
        batch
    }
}

#[test]
fn who_speaks_before_hello_is_closed() {
    let messages = [
        Message::Heads(heads(Vec::new(), 1)),
        Message::Beacon(Beacon::default()),
        Message::AskHeads(AskHeads { nonce: 1 }),
        Message::Batch(Batch::default()),
    ];
    for message in messages {
        let mut bench = Bench::open();
        bench.dial(1, Land::RP, false);
        let said = bench.say(1, message);
        assert_eq!(said, ["fault RP spoke_before_hello", "close 1 spoke_before_hello"]);
    }
}

#[test]
fn an_introduction_that_is_wrong_closes_the_stream() {
    check_first(|it| it.verbund = Bytes::from_static(&[1; 32]), "other_verbund");
    check_first(|it| it.verbund = Bytes::new(), "other_verbund");
    check_first(|it| it.verbund = vec![1; 100_000].into(), "other_verbund");
    check_first(|it| it.land = "TH".to_owned(), "other_identity");
    check_first(|it| it.land = "ß".repeat(1_000), "other_identity");
    check_first(|it| it.node = "rp-2.example".to_owned(), "other_identity");
    check_first(|it| (it.protocol_min, it.protocol_max) = (2, 3), "no_common_protocol");
    check_first(|it| (it.protocol_min, it.protocol_max) = (0, 0), "no_common_protocol");
    check_first(|it| (it.protocol_min, it.protocol_max) = (3, 1), "no_common_protocol");
}

#[test]
fn a_range_of_protocols_around_ours_is_fine() {
    let mut bench = Bench::open();
    bench.dial(1, Land::RP, true);
    let hello = Hello { protocol_min: 0, protocol_max: 9, ..bench.hello(Land::RP) };
    assert_eq!(bench.say(1, Message::Hello(hello)), Vec::<String>::new());
    assert_eq!(bench.node.status(bench.now).connected.len(), 1);
}

#[test]
fn a_second_hello_closes_the_stream() {
    check_closes(|bench| Message::Hello(bench.hello(Land::RP)), "hello_twice");
}

#[test]
fn more_heads_than_logs_close_the_stream() {
    let unknown = Head { land: "BY".to_owned(), epoch: 1, ..Head::default() };
    let most = limits::MEMBERS_MAX * limits::EPOCHS_MAX;
    check_closes(|_| Message::Heads(heads(vec![unknown.clone(); most + 1], 0)), "too_many_heads");
    check_closes(
        |bench| Message::Heads(heads(vec![bench.author(Land::RP).head(0, 0); 5], 0)),
        "too_many_heads",
    );
    // those of logs that are not ours count for nothing
    let mut bench = bench();
    let said = bench.say(1, Message::Heads(heads(vec![unknown; most], 0)));
    assert_eq!(said, Vec::<String>::new());
}

#[test]
fn questions_and_heads_faster_than_the_limit_close_the_stream() {
    for ask in [true, false] {
        let mut bench = bench();
        bench.later(10);
        let mut answered: u64 = 0;
        let label = loop {
            let message = if ask {
                Message::AskHeads(AskHeads { nonce: 5 })
            } else {
                let own = bench.author(Land::SL).head(0, 0);
                Message::Beacon(Beacon { heads: vec![own; 4] })
            };
            let said = bench.say(1, message);
            if let Some(close) = said.iter().find(|it| it.starts_with("close")) {
                break close.clone();
            }
            answered += 1;
        };
        assert_eq!(label, "close 1 too_fast");
        assert!((490..=500).contains(&answered), "{answered} of 4 heads each");
    }
}

#[test]
fn as_many_heads_as_a_full_charter_tells_are_no_offence() {
    let mut bench = bench();
    // five times a second, an hour long, all logs of this charter
    for _ in 0..5 * 3_600 {
        bench.now.mono_ms += 200;
        bench.now.wall_ms += 200;
        let all = [Land::HE, Land::RP, Land::SL, Land::TH];
        let all = all.map(|land| bench.author(land).head(0, 0)).to_vec();
        let said = bench.say(1, Message::Beacon(Beacon { heads: all }));
        assert!(!said.iter().any(|it| it.starts_with("close")), "{said:?}");
    }
}

#[test]
fn a_head_beyond_its_checkpoint_closes_the_stream() {
    let head = |held, signed| {
        move |bench: &mut Bench| {
            Message::Heads(heads(vec![bench.author(Land::RP).head(held, signed)], 0))
        }
    };
    check_closes(head(6, 5), "head_beyond_checkpoint");
    check_closes(head(u64::MAX, 10), "head_beyond_checkpoint");
    check_closes(head(1, 0), "head_beyond_checkpoint");
}

#[test]
fn a_head_with_a_forged_checkpoint_closes_the_stream() {
    let forged = |change: fn(&mut Bench) -> Bytes| {
        move |bench: &mut Bench| {
            let checkpoint = change(bench);
            let head = Head { checkpoint, ..bench.author(Land::RP).head(0, 10) };
            Message::Beacon(Beacon { heads: vec![head] })
        }
    };
    check_closes(forged(|_| Bytes::from_static(b"no note")), "checkpoint");
    check_closes(forged(|it| it.author(Land::HE).signed(10).raw().clone()), "checkpoint");
    check_closes(
        forged(|it| {
            it.author(Land::RP)
                .checkpoint(10)
                .sign(&signer(Land::TH), 1)
                .expect("signed")
                .raw()
                .clone()
        }),
        "checkpoint",
    );
    check_closes(
        forged(|it| {
            let mut note = it.author(Land::RP).signed(10).raw().to_vec();
            note[90] ^= 1;
            note.into()
        }),
        "checkpoint",
    );
}

#[test]
fn more_under_way_than_twice_the_credit_closes_the_stream() {
    let mut bench = bench();
    let body = vec![0; limits::BODY_BYTES_MAX];
    bench.author(Land::RP).rewrite(0);
    for _ in 0..20 {
        bench.author(Land::RP).append_with(&body, |_| ());
    }
    bench.author(Land::RP).seconds += 1;
    let mut taken = 0;
    loop {
        let said = bench.send(1, Land::RP, taken, taken + 1, 20);
        if said == ["store RP/1 +1 of 20"] {
            taken += 1;
            continue;
        }
        assert_eq!(said[..2], ["fault RP credit_exceeded", "close 1 credit_exceeded"]);
        break;
    }
    assert_eq!(taken * body.len() as u64, 2 * limits::FOLLOW_CREDIT_BYTES);
    // what was taken becomes durable all the same, and nobody is told any more
    assert_eq!(bench.stored(Land::RP), Vec::<String>::new());
    assert_eq!(held(&bench, Land::RP), 1);
}

#[test]
fn a_batch_that_leaves_a_gap_is_not_taken() {
    let follow = |bench: &Bench| bench.follow(1, Land::RP);
    check_avoids(
        |bench| Batch { follow: follow(bench), ..bench.author(Land::RP).batch(3, 10, 10) },
        "not_contiguous",
    );
    check_avoids(
        |bench| Batch { first: u64::MAX, follow: follow(bench), ..batch(bench) },
        "not_contiguous",
    );
}

#[test]
fn a_batch_beyond_the_limits_is_not_taken() {
    check_avoids(|bench| Batch { entries: Vec::new(), ..batch(bench) }, "batch_size");
    check_avoids(
        |bench| {
            let mut batch = batch(bench);
            batch.entries = vec![batch.entries[0].clone(); limits::BATCH_ENTRIES_MAX + 1];
            batch
        },
        "batch_size",
    );
    check_avoids(
        |bench| {
            let mut batch = batch(bench);
            batch.entries[1].body = vec![0; limits::BATCH_BYTES_MAX].into();
            batch
        },
        "batch_size",
    );
    check_avoids(
        |bench| Batch { proof: vec![Bytes::from_static(&[0; 31])], ..part(bench) },
        "batch_size",
    );
}

#[test]
fn a_batch_beyond_its_checkpoint_is_not_taken() {
    check_avoids(
        |bench| {
            let checkpoint = bench.author(Land::RP).signed(5).raw().clone();
            Batch { checkpoint, ..batch(bench) }
        },
        "batch_beyond_checkpoint",
    );
}

#[test]
fn a_batch_under_a_bad_checkpoint_is_not_taken() {
    check_avoids(|bench| Batch { checkpoint: Bytes::new(), ..batch(bench) }, "checkpoint");
    check_avoids(
        |bench| {
            let checkpoint = bench.author(Land::HE).signed(10).raw().clone();
            Batch { checkpoint, ..batch(bench) }
        },
        "checkpoint",
    );
}

#[test]
fn entries_the_owner_did_not_sign_are_not_taken() {
    check_avoids(|bench| Batch { proof: Vec::new(), ..part(bench) }, "proof");
    check_avoids(
        |bench| Batch { proof: vec![Bytes::from_static(&[0; 32])], ..batch(bench) },
        "proof",
    );
    check_avoids(
        |bench| Batch { proof: vec![Bytes::from_static(&[0; 32]); 70_000], ..part(bench) },
        "proof",
    );
    check_avoids(
        |bench| {
            let mut batch = batch(bench);
            batch.entries.swap(3, 4);
            batch
        },
        "proof",
    );
    check_avoids(
        |bench| {
            let mut batch = batch(bench);
            batch.entries[0].header = Bytes::from_static(b"no header");
            batch
        },
        "proof",
    );
    // the header of another log under the right checkpoint
    check_avoids(
        |bench| {
            let entries = bench.author(Land::HE).batch(0, 10, 10).entries;
            Batch { entries, ..batch(bench) }
        },
        "proof",
    );
}

#[test]
fn the_largest_size_a_log_can_sign_panics_nowhere() {
    for size in [u64::MAX, (1 << 63) + 1, (1 << 60) + 1] {
        check_avoids(
            |bench| {
                let checkpoint = bench.author(Land::RP).lie(size, Hash::EMPTY_ROOT);
                Batch { checkpoint, ..batch(bench) }
            },
            "proof",
        );
    }
}

#[test]
fn a_body_that_is_not_the_promised_one_is_not_taken() {
    check_avoids(other_body(|it| it.body = Bytes::from_static(b"bodY")), "body");
    check_avoids(other_body(|it| it.body = Bytes::from_static(b"bod")), "body");
    check_avoids(other_body(|it| it.body = Bytes::new()), "body");
    check_avoids(other_body(|it| it.salt = Bytes::new()), "body");
    check_avoids(other_body(|it| it.salt = Bytes::from_static(&[0; 16])), "body");
    check_avoids(other_body(|it| it.salt = Bytes::from_static(&[9; 17])), "body");
    for state in [BodyState::Withheld, BodyState::Erased, BodyState::Unspecified] {
        check_avoids(other_body(move |it| it.body_state = state.into()), "body");
    }
    check_avoids(other_body(|it| it.body_state = 77), "body");
}

#[test]
fn a_bad_batch_says_nothing_about_the_log() {
    let mut bench = bench();
    let mut batch = batch(&mut bench);
    batch.entries.swap(0, 1);
    bench.say(1, Message::Batch(batch));
    let state = |bench: &Bench| {
        let status = bench.node.status(bench.now);
        status.logs.iter().find(|it| it.log == log(Land::RP)).map(|it| it.state)
    };
    assert_eq!(state(&bench), Some(LogState::CatchingUp));
    delivers(&mut bench, 2, Land::RP);
    assert_eq!(state(&bench), Some(LogState::Live));
}
