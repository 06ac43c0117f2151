//! Attacks by members: the test has the certificate and the keys of a Land and says at RP what it
//! should not. Each is refused or contained and counted, other logs are not disturbed, and what is
//! published at SL still arrives at RP.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use registry_core::limits;
use registry_node::driver::{Clock, Skew};
use registry_proto::{
    epoch::EpochReset,
    log::{Hash, Header},
    terms::{
        Land::{self, BE, BW, BY, HE, NI, NW, RP, SL, SN, TH},
        LogId,
    },
    wire::peer::{
        AskBeginning, AskCharters, AskHeads, Batch, Beacon, EpochResets, Follow, Head, Heads,
        Hello, Unfollow, peer_message::Message,
    },
    wire::registry::GetServiceRequest,
};
use registry_tests::{
    arena::{Arena, LIMIT, MEMBERS, Run},
    attack::{
        acknowledged, agreed, asked_after, asked_for, fault, given_up, heads_of, quarantined, state,
    },
    chronicle::{Chronicle, empty_head},
    cluster::{Who, eventually},
    partner::Partner,
};

const TWO_BEACONS: Duration = Duration::from_millis(2 * limits::BEACON_MS);

//     what no owner may sign: each convicts the log of its owner and no other
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_signs_what_nobody_may_sign_loses_its_log_and_no_other_is_disturbed() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;

    // a true entry of SL, as RP passes it on
    let mut thief = arena.partner(RP, HE).await;
    thief.send(Message::Heads(Heads { heads: vec![empty_head(HE)], nonce: 0 })).await;
    let asked =
        Follow { land: "SL".into(), epoch: 1, from: 0, credit_bytes: 1, follow: 1, kept: false };
    thief.send(Message::Follow(asked)).await;
    let stolen = thief.expect(|it| match it {
        Message::Batch(batch) if batch.land == "SL" => batch.entries.into_iter().next(),
        _ => None,
    });
    let stolen = stolen.await.expect("open").expect("an entry");
    drop(thief);

    let change = |change: fn(&mut Header)| {
        move |log: &mut Chronicle| {
            let mut header = log.next_header();
            change(&mut header);
            log.append(&header);
        }
    };
    type Write<'a> = Box<dyn Fn(&mut Chronicle) + 'a>;
    let cases: [(Land, &str, Write<'_>); 6] = [
        (HE, "misplaced", Box::new(|log| log.entries.push(stolen.clone()))),
        (TH, "misplaced", Box::new(change(|it| it.log = LogId { epoch: 2, ..it.log }))),
        (BY, "misplaced", Box::new(change(|it| it.verbund = "ab".repeat(32).parse().expect("id")))),
        (BE, "misplaced", Box::new(change(|it| it.index = 7))),
        (
            NI,
            "time_went_back",
            Box::new(|log| {
                log.grow();
                let header = log.next_header();
                log.append(&Header { recorded_unix_ms: header.recorded_unix_ms - 1, ..header });
            }),
        ),
        (
            NW,
            "header",
            Box::new(|log| {
                log.grow();
                log.entries[0].header = vec![0xff; 40].into();
            }),
        ),
    ];
    for (owner, label, write) in &cases {
        let mut partner = arena.partner(RP, *owner).await;
        let follow = asked_for(&mut partner, &[*owner]).await;
        let mut log = Chronicle::of(&arena, *owner);
        write(&mut log);
        partner.send(Message::Batch(log.batch(&arena, &follow[owner]))).await;
        arena.counted(RP, &fault(*owner, label), 1).await;
        arena.counted(RP, &quarantined(*owner), 1).await;
    }
    for land in [BW, SN] {
        let mut partner = arena.partner(RP, land).await;
        let follow = asked_for(&mut partner, &[land]).await;
        let mut log = Chronicle::of(&arena, land);
        partner.send(Message::Batch(log.grow().batch(&arena, &follow[&land]))).await;
        acknowledged(&mut partner, land, 1).await;
        assert_eq!(arena.metric(RP, &quarantined(land)).await, 0);
    }
    for land in [HE, TH, BY, BE, NI, NW] {
        assert_eq!(arena.size(RP, land), 0, "nothing of {land} was taken");
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     HE passes on the logs of others, and not as they are
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_changes_what_it_passes_on_is_found_out_and_the_owner_is_believed() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let victims = [BY, BE, NI, NW, BW, SN, TH];
    let mut relay = arena.partner(RP, HE).await;
    let good = |land: Land| {
        let mut log = Chronicle::of(&arena, land);
        log.grow().grow();
        log
    };
    let heads = victims.iter().map(|it| good(*it).head(&arena, 1_800_000_000)).collect();
    let follows = asked_after(&mut relay, &victims, heads).await;
    let changed = |land: Land, change: &dyn Fn(&mut Batch)| {
        let mut batch = good(land).batch(&arena, &follows[&land]);
        change(&mut batch);
        batch
    };
    let of_another_log = good(TH).batch(&arena, &follows[&TH]).checkpoint;
    let seconds = 1_800_000_000;
    let of_another_key = arena.sign_as(HE, BW, 2, good(BW).root(), seconds).raw().clone();
    let of_one_entry = {
        let mut log = Chronicle::of(&arena, SN);
        log.grow().batch(&arena, &follows[&SN]).checkpoint
    };
    type Change<'a> = Box<dyn Fn(&mut Batch) + 'a>;
    let cases: [(Land, &str, Change<'_>); 7] = [
        (BY, "body", Box::new(|it| it.entries[1].body = b"another body".to_vec().into())),
        (BE, "proof", Box::new(|it| it.entries[1].header = it.entries[0].header.clone())),
        (NI, "proof", Box::new(|it| it.entries.reverse())),
        (NW, "checkpoint", Box::new(|it| it.checkpoint = of_another_log.clone())),
        (BW, "checkpoint", Box::new(|it| it.checkpoint = of_another_key.clone())),
        (SN, "batch_beyond_checkpoint", Box::new(|it| it.checkpoint = of_one_entry.clone())),
        (TH, "not_contiguous", Box::new(|it| it.first = 5)),
    ];
    for (land, label, change) in &cases {
        let before = arena.metric(RP, &fault(HE, label)).await;
        relay.send(Message::Batch(changed(*land, change))).await;
        given_up(&mut relay, *land).await;
        arena.counted(RP, &fault(HE, label), before + 1).await;
        assert_eq!(arena.metric(RP, &quarantined(*land)).await, 0, "{land} did nothing");
    }
    // a log of another epoch is none that anybody asked for
    let other = Batch { epoch: 2, ..good(BY).batch(&arena, &follows[&BY]) };
    relay.send(Message::Batch(other)).await;
    heads_of(&mut relay, 1).await; // it was heard and left aside, the session stands

    for land in victims {
        let mut owner = arena.partner(RP, land).await;
        let follow = asked_for(&mut owner, &[land]).await;
        owner.send(Message::Batch(good(land).batch(&arena, &follow[&land]))).await;
        acknowledged(&mut owner, land, 2).await;
        eventually(LIMIT, "it is shown", async || arena.size(RP, land) == 2).await;
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     what ends a session, and nothing else
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_breaks_the_protocol_is_disconnected() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let ask = || Message::AskHeads(AskHeads { nonce: 7 });
    let hello = |verbund: &[u8], protocol: u32| {
        Message::Hello(Hello {
            verbund: verbund.to_vec().into(),
            land: "HE".to_owned(),
            node: registry_node::pki::Pki::node_name(HE),
            protocol_min: protocol,
            protocol_max: protocol,
            features: Vec::new(),
            charter: 0,
        })
    };
    let verbund = arena.verbund();
    let right = || hello(verbund.as_bytes(), 1);
    let all_empty = || MEMBERS.iter().map(|it| empty_head(*it)).collect::<Vec<_>>();
    let heads = |heads: Vec<Head>| Message::Heads(Heads { heads, nonce: 0 });
    let mut claims = Chronicle::of(&arena, HE);
    let claims = Head { size: 99, ..claims.grow().head(&arena, 1_800_000_000) };
    let mut large = Chronicle::of(&arena, HE);
    large.grow().entries[0].body = vec![0; 5 << 20].into();
    let large = large.batch(&arena, &Follow::default());
    let beginning = AskBeginning { land: "SL".to_owned(), epoch: 1, size: 1, of: 2 };
    let beginning = Message::AskBeginning(beginning);
    let predecessor = verbund.as_bytes().to_vec().into();
    let charters = Message::AskCharters(AskCharters { from: 1, predecessor });
    let cases: Vec<(&str, Vec<Message>)> = vec![
        ("spoke_before_hello", vec![ask()]),
        ("hello_twice", vec![right(), right()]),
        ("other_verbund", vec![hello(&[0xab; 32], 1)]),
        ("no_common_protocol", vec![hello(verbund.as_bytes(), 9)]),
        ("too_many_heads", vec![right(), heads(vec![empty_head(HE); 65])]),
        ("too_many_heads", vec![right(), heads([all_empty(), all_empty()].concat())]),
        ("head_beyond_checkpoint", vec![right(), heads(vec![claims])]),
        ("message_size", vec![right(), Message::Batch(large)]),
        // faster than anyone may ask, or has its disk read
        ("too_fast", [vec![right()], vec![ask(); 2_000]].concat()),
        ("too_fast", [vec![right()], vec![beginning; 2_000]].concat()),
        ("asked_again", [vec![right()], vec![charters; 2]].concat()),
    ];
    for (label, messages) in cases {
        let before = arena.metric(RP, &fault(HE, label)).await;
        let config = arena.config(RP, Who::Node(HE));
        let mut partner = Partner::dial(config).await.expect("a member may open a session");
        for message in messages {
            partner.send(message).await;
        }
        // in order or not: the session is over
        let _ = partner.expect(|_| None::<()>).await;
        arena.counted(RP, &fault(HE, label), before + 1).await;
    }
    honest.goes_on().await;

    // much that is allowed: it costs its sender
    let mut busy = arena.partner(RP, HE).await;
    for _ in 0..20_000 {
        busy.send(Message::Unfollow(Unfollow { land: "SL".to_owned(), epoch: 1 })).await;
    }
    honest.goes_on().await;
    heads_of(&mut busy, 3).await;
    arena.stop().await;
}

//     HE replays what SL signed before, and what BY signed before
#[tokio::test(flavor = "multi_thread")]
async fn an_old_checkpoint_that_is_replayed_takes_nothing_back() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let mut he = arena.partner(RP, HE).await;
    he.send(Message::Heads(Heads { heads: vec![empty_head(HE)], nonce: 0 })).await;
    let old = heads_of(&mut he, 1).await;
    honest.goes_on().await;
    let new = heads_of(&mut he, 2).await;
    assert!(new["SL"].size > old["SL"].size, "{new:?}");

    let mut by = Chronicle::of(&arena, BY);
    let newer = by.grow().head(&arena, 1_800_000_060);
    let older = by.head(&arena, 1_800_000_000);
    let none_yet = Chronicle::of(&arena, BY).head(&arena, 1_799_000_000);
    he.send(Message::Beacon(Beacon { heads: vec![newer.clone()] })).await;
    for head in [&old["SL"], &older, &none_yet] {
        he.send(Message::Beacon(Beacon { heads: vec![head.clone()] })).await;
        he.send(Message::Heads(Heads { heads: vec![head.clone()], nonce: 0 })).await;
    }
    let after = heads_of(&mut he, 3).await;
    assert!(after["SL"].size >= new["SL"].size, "{after:?}");
    assert_eq!(after["BY"].checkpoint, newer.checkpoint, "the newest that BY signed");
    // counted as often as it was tried: of SL it never showed a newer one on this stream
    assert_eq!(arena.metric(RP, &fault(HE, "replayed_head")).await, 4);
    assert_eq!(arena.metric(RP, &state(SL, "quarantined")).await, 0);
    assert_eq!(arena.metric(RP, &state(BY, "quarantined")).await, 0);
    honest.goes_on().await;
    arena.stop().await;
}

//     HE tells that BY has more, and delivers nothing of it
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_a_relay_withholds_show_and_their_owner_is_asked() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let mut log = Chronicle::of(&arena, BY);
    let head = log.grow().grow().head(&arena, 1_800_000_000);
    let mut he = arena.partner(RP, HE).await;
    asked_after(&mut he, &[BY], vec![head.clone()]).await;
    let seen = Instant::now();
    arena.counted(RP, "registry_log_behind_entries{land=\"BY\"}", 2).await;
    assert!(seen.elapsed() < TWO_BEACONS, "it shows within two beacons");
    arena.counted(RP, &state(BY, "catching_up"), 1).await;
    honest.goes_on().await;

    let mut by = arena.partner(RP, BY).await;
    let follow = asked_after(&mut by, &[BY], vec![head]).await;
    by.send(Message::Batch(log.batch(&arena, &follow[&BY]))).await;
    acknowledged(&mut by, BY, 2).await;
    eventually(LIMIT, "nothing is behind", async || {
        arena.metric(RP, "registry_log_behind_entries{land=\"BY\"}").await == 0
    })
    .await;
    honest.goes_on().await;
    arena.stop().await;
}

//     HE tells of BY what it knew before, and nothing newer
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_withheld_shows_as_stale_after_three_minutes() {
    const SECOND: u64 = 1_000;
    let skew: &Skew = Box::leak(Box::default());
    let arena = Arena::start(Run { clock_of_rp: Clock::skewed(skew), ..Run::default() }).await;
    let honest = arena.honest().await;
    let mut log = Chronicle::of(&arena, BY);
    let begun = u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp()).expect("a time");
    let head = log.grow().grow().head(&arena, begun);
    let mut he = arena.partner(RP, HE).await;
    let follow = asked_after(&mut he, &[BY], vec![head.clone()]).await;
    he.send(Message::Batch(log.batch(&arena, &follow[&BY]))).await;
    acknowledged(&mut he, BY, 2).await;
    arena.counted(RP, &state(BY, "live"), 1).await;

    // time passes for RP; whoever is silent meanwhile dials again, and says again what it said
    for (seconds, expect) in [(170, "live"), (20, "stale")] {
        skew.passed_ms.fetch_add(seconds * SECOND, Ordering::Relaxed);
        let mut he = arena.partner(RP, HE).await;
        he.send(Message::Heads(Heads { heads: vec![head.clone()], nonce: 0 })).await;
        heads_of(&mut he, 1).await;
        honest.goes_on().await;
        arena.counted(RP, &state(BY, expect), 1).await;
        // only that log: of the other, news came
        arena.counted(RP, &state(SL, "live"), 1).await;
    }
    assert_eq!(arena.metric(RP, &quarantined(BY)).await, 0, "to be silent convicts nobody");
    // one newer signature ends it, and its sender need not be the owner
    let fresh = log.head(&arena, begun + 240);
    let mut he = arena.partner(RP, HE).await;
    he.send(Message::Heads(Heads { heads: vec![fresh], nonce: 0 })).await;
    arena.counted(RP, &state(BY, "live"), 1).await;
    honest.goes_on().await;
    arena.stop().await;
}

//     RP's clock is set back by an hour while it runs
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_fences_and_takes_no_time_back() {
    const HOUR_MS: i64 = 3_600_000;
    let skew: &Skew = Box::leak(Box::default());
    let arena = Arena::start(Run { clock_of_rp: Clock::skewed(skew), ..Run::default() }).await;
    let honest = arena.honest().await;
    let recorded = async |n: u64| {
        let id = arena.publish(RP, n).await;
        let asked =
            GetServiceRequest { service_id: id, land: "RP".to_owned(), ..Default::default() };
        let reader = arena.client(SL, Who::Reader).await;
        let mut at = None;
        eventually(LIMIT, "SL shows it", async || {
            let found = reader.service(asked.clone()).await.ok().and_then(|it| it.service);
            at = found.and_then(|it| it.provenance?.recorded_at).map(|it| (it.seconds, it.nanos));
            at.is_some()
        })
        .await;
        at
    };
    let before = recorded(1).await;
    skew.set_ms.fetch_sub(HOUR_MS, Ordering::Relaxed);
    // it may be open again within a moment, so what was counted and written is asked
    arena.counted(RP, "registry_fence_closed_total{why=\"clock_jump\"}", 1).await;
    let audit = arena.home(RP).join("data/audit");
    eventually(LIMIT, "RP asks again before it signs", async || {
        let files = std::fs::read_dir(&audit).expect("audit log");
        let texts = files.map(|it| std::fs::read_to_string(it.expect("a file").path()));
        texts.flatten().any(|it| it.contains("after a jump of the clock"))
    })
    .await;
    eventually(LIMIT, "RP signs again", async || {
        arena.metric(RP, "registry_fence_open").await == 1
    })
    .await;
    let after = recorded(2).await;
    assert!(after >= before, "{after:?} is before {before:?}");
    for (at, of) in [(SL, RP), (RP, SL)] {
        assert_eq!(arena.metric(at, &quarantined(of)).await, 0);
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     HE tells RP that the log of BY began again, and of its own, without the consent it takes
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_without_enough_countersignatures_ends_no_epoch() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let own = |land: Land, signer: Land, key: &str| {
        let log = LogId { land, epoch: 1 };
        let root = Hash::EMPTY_ROOT;
        let said = EpochReset { log, size: 0, root, reason: "verloren".to_owned(), unix_ms: 1 };
        said.sign(arena.verbund(), &arena.key(signer, key)).expect("signed")
    };
    let four = [TH, BE, NI, NW];
    let mut he = arena.partner(RP, HE).await;
    // ten members: five of nine others must agree, and the offline key must be the own one
    for (count, reset) in (1..).zip([
        own(HE, HE, "offline.key"),
        agreed(&arena, own(HE, HE, "offline.key"), &four),
        agreed(&arena, own(BY, HE, "offline.key"), &MEMBERS[5..]),
        agreed(&arena, own(SL, SL, "log.key"), &MEMBERS[1..]),
    ]) {
        let items = vec![reset.encode()];
        he.send(Message::EpochResets(EpochResets { items })).await;
        arena.counted(RP, &fault(HE, "epoch_reset"), count).await;
    }
    let after = heads_of(&mut he, 1).await;
    assert!(after.values().all(|it| it.epoch == 1), "{after:?}");
    for land in [HE, BY, SL] {
        assert_eq!(arena.metric(RP, &state(land, "ended")).await, 0);
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     HE asks for the log of SL with a small credit and says nothing more
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_acknowledges_nothing_gets_no_more_than_its_credit() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let mut he = arena.partner(RP, HE).await;
    he.send(Message::Heads(Heads { heads: vec![empty_head(HE)], nonce: 0 })).await;
    let asked =
        Follow { land: "SL".into(), epoch: 1, from: 0, credit_bytes: 1, follow: 1, kept: false };
    he.send(Message::Follow(asked)).await;
    let first = he.expect(|it| match it {
        Message::Batch(batch) => Some(batch.entries.len()),
        _ => None,
    });
    assert!(first.await.expect("open").expect("a batch") > 0);
    honest.goes_on().await;
    honest.goes_on().await;
    he.send(Message::AskHeads(AskHeads { nonce: 9 })).await;
    let next = he.expect(|it| match it {
        Message::Batch(_) => Some("a batch"),
        Message::Heads(heads) if heads.nonce == 9 => Some("heads"),
        _ => None,
    });
    assert_eq!(next.await.expect("open"), Some("heads"), "nothing was sent beyond the credit");
    arena.stop().await;
}

//     RP's clock is a year ahead; BY records in the year 2100
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_shown_and_stops_no_log() {
    const DAY: u64 = 86_400;
    let clock_of_rp = Clock::ahead(Duration::from_secs(365 * DAY));
    let arena = Arena::start(Run { clock_of_rp, ..Run::default() }).await;
    let honest = arena.honest().await;
    arena.publish(RP, 1).await;
    eventually(LIMIT, "SL shows it", async || arena.size(SL, RP) == 1).await;
    let ahead = |land: Land| format!("registry_recorded_ahead_seconds{{land=\"{land}\"}}");
    eventually(LIMIT, "SL tells that it is recorded in the future", async || {
        arena.seconds(SL, &ahead(RP)).await > 364.0 * DAY as f64
    })
    .await;
    assert_eq!(arena.seconds(SL, &ahead(SL)).await, 0.0);

    let mut by = arena.partner(RP, BY).await;
    let follow = asked_for(&mut by, &[BY]).await;
    let mut log = Chronicle::of(&arena, BY);
    for _ in 0..2 {
        // recorded time is the later of the entry before and now: with a clock set right again
        // the second has the time of the first
        let header = log.next_header();
        log.append(&Header { recorded_unix_ms: 4_102_444_800_000, ..header });
    }
    by.send(Message::Batch(log.batch(&arena, &follow[&BY]))).await;
    acknowledged(&mut by, BY, 2).await;
    eventually(LIMIT, "RP tells it too", async || {
        arena.seconds(RP, &ahead(BY)).await > 70.0 * 365.0 * DAY as f64
    })
    .await;
    assert_eq!(arena.metric(RP, &quarantined(BY)).await, 0);
    honest.goes_on().await;
    arena.stop().await;
}
