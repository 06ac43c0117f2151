//! Attacks by members, second part: what a Land claims of others, how it votes, what it keeps back,
//! and what it writes where nothing of it counts any more. As in `adversary_peer`, each is refused
//! or contained and counted, and what is published at SL still arrives at RP.

use std::{collections::BTreeMap, fs, sync::atomic::Ordering};

use bytes::Bytes;
use prost::Message as _;
use registry_client::Class;
use registry_core::{charter::decision, limits};
use registry_node::{
    driver::{Clock, Skew},
    lifecycle::StopCause,
};
use registry_proto::{
    charter::{Charter, CharterVote, CitedVote},
    erasure,
    evidence::Equivocation,
    log::{Hash, Kind, leaf_hash},
    terms::Land::{self, BE, BW, BY, HE, NI, NW, RP, SL, SN, TH},
    wire::{
        peer::{
            Batch, BatchEntry, Beacon, BodyState, CharterStep, Charters, Evidence, Head,
            peer_message::Message,
        },
        registry::{CharterDecision, FormerKeys, MemberState},
    },
};
use registry_tests::{
    arena::{Arena, LIMIT, MEMBERS, Run},
    attack::{
        acknowledged, asked_after, asked_for_charters, delivered, ended, fault, given_up, heads_of,
        lapse, quarantined, read, standing, state, tells,
    },
    chronicle::{Chronicle, SALT, SIGNED_SECONDS, empty_head},
    cluster::{Who, eventually, http_get},
    partner::Partner,
    records::{definition, request, service_id},
};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

//     HE shows what is no proof of two histories
#[tokio::test(flavor = "multi_thread")]
async fn false_evidence_stops_no_log() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let two_heads = |signer: Land, of: Land| {
        let head = |root: &[u8]| arena.sign_as(signer, of, 1, Hash::of(root), SIGNED_SECONDS);
        Equivocation::of_one_size(&head(b"one"), &head(b"other")).expect("two").raw().clone()
    };
    // what BY did, with one bit changed in each of several places, so that BY did not do it
    let true_one = two_heads(BY, BY);
    let changed = |part: usize| {
        let mut raw = true_one.to_vec();
        let at = raw.len() * part / 4;
        raw[at] ^= 1;
        Bytes::from(raw)
    };
    let cases: [(&str, Vec<Bytes>); 7] = [
        ("evidence", vec![two_heads(HE, BY)]),
        ("evidence", vec![two_heads(HE, SL)]),
        ("evidence", vec![changed(1)]),
        ("evidence", vec![changed(2)]),
        ("evidence", vec![changed(3)]),
        ("evidence", vec![Bytes::from_static(b"\xff")]),
        ("too_much_evidence", vec![Bytes::new(); registry_proto::charter::MEMBERS_MAX + 1]),
    ];
    for (label, items) in cases {
        let before = arena.metric(RP, &fault(HE, label)).await;
        let mut he = arena.partner(RP, HE).await;
        he.send(Message::Evidence(Evidence { items })).await;
        // in order or not: the session is over
        let _ = he.expect(|_| None::<()>).await;
        arena.counted(RP, &fault(HE, label), before + 1).await;
        for land in MEMBERS {
            let forked = format!("registry_log_forked{{land=\"{land}\"}}");
            assert_eq!(arena.metric(RP, &forked).await, 0, "{land} did nothing");
        }
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     HE claims a later charter, under which its heads of all logs count, as it says
#[tokio::test(flavor = "multi_thread")]
async fn false_heads_under_a_claimed_charter_count_for_nothing_and_cost_the_same() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let others = MEMBERS.iter().filter(|it| ![HE, SL, RP].contains(it));
    let heads: Vec<Head> = others
        .map(|land| {
            let root = Hash::of(b"never written");
            let signed = arena.sign_as(HE, *land, 5, root, SIGNED_SECONDS);
            Head { size: 5, checkpoint: signed.raw().clone(), ..empty_head(*land) }
        })
        .collect();
    let mut he = arena.partner_under(RP, HE, 9).await;
    tells(&mut he, heads.clone()).await;
    let known = heads_of(&mut he, 1).await;
    arena.counted(RP, &lapse(HE, "uncounted_head"), heads.len() as u64).await;
    for head in &heads {
        assert!(known[&head.land].checkpoint.is_empty(), "{known:?}");
    }
    // nothing is cheaper for whoever claims that
    for _ in 0..2_000 {
        he.send(Message::Beacon(Beacon { heads: heads.clone() })).await;
    }
    let _ = he.expect(|_| None::<()>).await;
    arena.counted(RP, &fault(HE, "too_fast"), 1).await;
    // and without the claim they end the session at once
    let mut he = arena.partner(RP, HE).await;
    tells(&mut he, heads).await;
    let _ = he.expect(|_| None::<()>).await;
    arena.counted(RP, &fault(HE, "checkpoint"), 1).await;
    honest.goes_on().await;
    arena.stop().await;
}

//     HE passes on logs without some bodies; then it erases what it may not erase
#[tokio::test(flavor = "multi_thread")]
async fn erasures_excuse_and_take_nothing_but_what_they_are_for() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;

    type Change<'a> = Box<dyn Fn(&Chronicle, &mut Batch) + 'a>;
    let cases: [(Land, Change<'_>); 3] = [
        (BY, Box::new(|_, it| it.entries[1].body_state = BodyState::Erased.into())),
        (BE, Box::new(|_, it| it.entries[1].body_state = BodyState::Withheld.into())),
        // an entry that is no erasure is no proof of one
        (
            NW,
            Box::new(|log, it| {
                let (first, path) = (it.entries[0].clone(), [log.leaf(1)]);
                it.entries[1].body_state = BodyState::Erased.into();
                it.entries[1].erasure = Some(erasure::prove(first.header, SALT, first.body, &path));
            }),
        ),
    ];
    let mut he = arena.partner(RP, HE).await;
    for (count, (land, change)) in (1..).zip(&cases) {
        let log = Chronicle::grown(&arena, *land, 2);
        let heads = vec![log.head(&arena, SIGNED_SECONDS)];
        let follow = asked_after(&mut he, &[*land], heads).await;
        let mut batch = log.batch(&arena, &follow[land]);
        (batch.entries[1].salt, batch.entries[1].body) = (Bytes::new(), Bytes::new());
        change(&log, &mut batch);
        he.send(Message::Batch(batch)).await;
        given_up(&mut he, *land).await;
        arena.counted(RP, &fault(HE, "body"), count).await;
        // the owner has it
        delivered(&arena, RP, &log).await;
    }
    drop(he);

    let mut he = arena.partner(RP, HE).await;
    tells(&mut he, vec![empty_head(HE)]).await;
    let of_sl = read(&mut he, SL).await.swap_remove(0);
    drop(he);
    let mut log = Chronicle::grown(&arena, HE, 1);
    let protected = log.say(Kind::CharterVote, Bytes::from_static(b"\xff"));
    log.erase(0, 0, leaf_hash(&of_sl.header));
    log.erase(0, 1, protected);
    log.erase(0, 0, log.leaf(0));
    let mut he = delivered(&arena, RP, &log).await;
    arena.counted(RP, "registry_erasures_void{land=\"HE\"}", 2).await;
    let mut expected = vec![BodyState::Present; 5];
    expected[0] = BodyState::Erased;
    // what erases nothing is counted before what does is carried out
    eventually(LIMIT, "its own is erased, and what may be", async || {
        let of_he = read(&mut he, HE).await;
        of_he.iter().map(BatchEntry::body_state).collect::<Vec<_>>() == expected
    })
    .await;
    assert_eq!(read(&mut he, SL).await.swap_remove(0), of_sl);
    assert_eq!(arena.metric(RP, "registry_erasures_void{land=\"SL\"}").await, 0);
    honest.goes_on().await;
    arena.stop().await;
}

/// Waits until the monitoring of RP shows this warning, and the node as ready.
async fn warned(arena: &Arena, words: &str) {
    eventually(LIMIT, "the monitoring is told", async || {
        let ready = http_get(arena.bound(RP).monitoring, "/readyz").await;
        ready.contains("200 OK") && ready.contains(words)
    })
    .await;
}

//     HE, TH, BW and NI run under a later charter, as they say, and prove none; BE proves one
#[tokio::test(flavor = "multi_thread")]
async fn a_later_charter_is_followed_by_a_proof_alone_and_not_against_votes_here() {
    let skew: &Skew = Box::leak(Box::default());
    let arena = Arena::start(Run { clock_of_rp: Clock::skewed(skew), ..Run::default() }).await;
    let honest = arena.honest().await;
    let genesis = arena.genesis();
    let successor = |threshold: u32| {
        let next = registry_proto::wire::registry::Charter { threshold, ..genesis.draft_of_next() };
        genesis.successor(next.encode_to_vec().into()).expect("a successor").0
    };
    let (next, other) = (successor(8), successor(9));
    let vote = |choice: &Charter| {
        let (predecessor, successor) = (genesis.digest(), Some(choice.raw().clone()));
        CharterVote { predecessor, round: 1, successor, cited: Vec::new() }.encode()
    };
    let logs = [HE, TH, BY, BE, NI, NW, BW].map(|land| {
        let mut log = Chronicle::of(&arena, land);
        log.say(Kind::CharterVote, vote(&next));
        log
    });
    let votes: Vec<_> = logs.iter().map(|it| standing(&arena, it, 0)).collect();
    let prove = |votes| decision::assemble(&genesis, &next, votes).expect("seven votes");
    let proof = prove(votes.clone());
    // SN has voted for something else before, and RP has its log
    let mut twice = Chronicle::of(&arena, SN);
    twice.say(Kind::CharterVote, vote(&other));
    twice.say(Kind::CharterVote, vote(&next));
    let _sn = delivered(&arena, RP, &twice).await;
    let more = prove([votes.clone(), vec![standing(&arena, &twice, 1)]].concat());
    let mut second = votes;
    *second.last_mut().expect("seven") = standing(&arena, &twice, 1);

    let step = |charter: &Charter, proof: &CharterDecision| {
        let (charter, decision) = (charter.raw().clone(), proof.encode_to_vec().into());
        vec![CharterStep { charter, decision }]
    };
    let mut fewer = proof.clone();
    fewer.votes.pop();
    for (land, steps) in [(HE, step(&next, &fewer)), (TH, step(&other, &proof))] {
        let mut partner = arena.partner_under(RP, land, 1).await;
        asked_for_charters(&mut partner, skew).await;
        partner.send(Message::Charters(Charters { from: 1, steps, differs: false })).await;
        // in order or not: the session is over
        let _ = partner.expect(|_| None::<()>).await;
        arena.counted(RP, &fault(land, "charter_proof"), 1).await;
    }
    let mut bw = arena.partner_under(RP, BW, 1).await;
    asked_for_charters(&mut bw, skew).await;
    let none = Charters { from: 1, ..Charters::default() };
    bw.send(Message::Charters(none)).await;
    arena.counted(RP, &lapse(BW, "unproved_charter"), 1).await;
    arena.counted(RP, "registry_charter_later", 1).await;
    warned(&arena, "konnte die nächste Charta beweisen").await;
    drop(bw);
    let mut ni = arena.partner_under(RP, NI, 1).await;
    asked_for_charters(&mut ni, skew).await;
    let steps = step(&next, &prove(second));
    ni.send(Message::Charters(Charters { from: 1, steps, differs: false })).await;
    arena.counted(RP, &lapse(NI, "contradicted_charter"), 1).await;
    let told = arena.client(RP, Who::Reader).await.charters().await.expect("told");
    assert_eq!((told.newest, told.followed), (0, 0), "nothing has changed");
    warned(&arena, "Protokollen hier widersprechen ihr").await;
    honest.goes_on().await;
    drop(honest);

    let mut be = arena.partner_under(RP, BE, 1).await;
    asked_for_charters(&mut be, skew).await;
    // that SN is for it counts as little, and is not needed: what is kept goes without it
    let steps = step(&next, &more);
    let kept = arena.home(RP).join("data/charters");
    let place = |end: &str| kept.join(format!("{:020}.{end}", 1));
    fs::create_dir_all(place("charter")).expect("the disk does not take it");
    be.send(Message::Charters(Charters { from: 1, steps, differs: false })).await;
    warned(&arena, "bewiesen, der Knoten kann sie aber nicht").await;
    assert!(arena.app(RP).shutdown().cause().is_none());
    fs::remove_dir(place("charter")).expect("the disk takes it");
    eventually(LIMIT, "RP begins again under charter 1", async || {
        let cause = arena.app(RP).shutdown().cause();
        cause.is_some_and(|it| matches!(it, StopCause::Charter { number: 1 }))
    })
    .await;
    let kept = |end: &str| fs::read(place(end)).expect("kept");
    assert_eq!(kept("charter"), next.raw()[..]);
    assert_eq!(kept("decision"), proof.encode_to_vec());
    assert!(String::from_utf8_lossy(&kept("told")).contains("BE"));
    let audit = fs::read_dir(arena.home(RP).join("data/audit")).expect("an audit log");
    let audit: String = audit.filter_map(|it| fs::read_to_string(it.ok()?.path()).ok()).collect();
    let lines: Vec<_> = audit.lines().filter(|it| it.contains("charter.follow")).collect();
    let by_be: Vec<_> = lines.iter().filter(|it| it.contains("proved")).collect();
    assert_eq!(by_be.len(), 2, "{lines:?}");
    assert!(by_be[0].contains("FAILED") && by_be[0].contains("not taken"), "{lines:?}");
    assert!(by_be[1].contains("\"OK\""), "{lines:?}");
    arena.stop().await;
}

//     HE votes twice, TH against the rule: with either, six Länder would have decided
#[tokio::test(flavor = "multi_thread")]
async fn votes_that_break_the_rule_decide_nothing() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let genesis = arena.genesis();
    assert_eq!(genesis.threshold(), 7);
    let successor = |threshold: u32| {
        let next = registry_proto::wire::registry::Charter { threshold, ..genesis.draft_of_next() };
        genesis.successor(next.encode_to_vec().into()).expect("a successor").0
    };
    let (rare, frequent) = (successor(8), successor(9));
    let vote = |round: u32, choice: &Charter, cited: Vec<CitedVote>| {
        let successor = Some(choice.raw().clone());
        CharterVote { predecessor: genesis.digest(), round, successor, cited }.encode()
    };
    let mut cited = BTreeMap::new();
    let mut open = Vec::new();
    for land in [BY, BE, NI, NW, BW, SN] {
        let mut log = Chronicle::of(&arena, land);
        cited.insert(land, log.say(Kind::CharterVote, vote(1, &frequent, Vec::new())));
        open.push(delivered(&arena, RP, &log).await);
    }
    let mut twice = Chronicle::of(&arena, HE);
    cited.insert(HE, twice.say(Kind::CharterVote, vote(1, &rare, Vec::new())));
    twice.say(Kind::CharterVote, vote(1, &frequent, Vec::new()));
    open.push(delivered(&arena, RP, &twice).await);
    // seven statements, six of them for one: another one may not be voted for any more
    let cited = cited.into_iter().map(|(land, leaf)| CitedVote { land, leaf }).collect();
    let mut against = Chronicle::of(&arena, TH);
    against.say(Kind::CharterVote, vote(2, &rare, cited));
    open.push(delivered(&arena, RP, &against).await);

    for at in [RP, SL] {
        for (land, cause) in [(HE, "twice"), (TH, "rule")] {
            let labels = format!("land=\"{land}\",cause=\"{cause}\"");
            arena.counted(at, &format!("registry_votes_uncounted{{{labels}}}"), 1).await;
        }
        let told = arena.client(at, Who::Reader).await.charters().await.expect("told");
        assert_eq!((told.newest, told.followed, told.round), (0, 0, 2), "{at}");
        let said: Vec<_> = told
            .statements
            .iter()
            .filter_map(|it| {
                let land = it.position.as_ref().map(|it| it.land.clone())?;
                ["HE", "TH"].contains(&land.as_str()).then_some((it.round, land, it.counts))
            })
            .collect();
        assert_eq!(said, [(1, "HE".to_owned(), true), (2, "TH".to_owned(), false)], "{at}");
    }
    for land in MEMBERS {
        assert_eq!(arena.metric(RP, &quarantined(land)).await, 0, "{land} has one history");
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     HE has more of BY and delivers nothing of it, then it says nothing at all; TH has it too
#[tokio::test(flavor = "multi_thread")]
async fn who_delivers_nothing_is_passed_over_and_who_says_nothing_is_left() {
    let skew: &Skew = Box::leak(Box::default());
    let arena = Arena::start(Run { clock_of_rp: Clock::skewed(skew), ..Run::default() }).await;
    let honest = arena.honest().await;
    let log = Chronicle::grown(&arena, BY, 2);
    let head = log.head(&arena, SIGNED_SECONDS);
    let mut he = arena.partner(RP, HE).await;
    asked_after(&mut he, &[BY], vec![head.clone()]).await;
    let mut th = arena.partner(RP, TH).await;
    tells(&mut th, vec![head]).await;
    heads_of(&mut th, 1).await;

    let passes = |ms: u64| skew.passed_ms.fetch_add(ms, Ordering::Relaxed);
    passes(limits::SOURCE_STALL_MS + 500);
    let follow = th.expect(|it| match it {
        Message::Follow(it) if it.land == "BY" => Some(it),
        _ => None,
    });
    let follow = follow.await.expect("open").expect("TH is asked");
    given_up(&mut he, BY).await;
    arena.counted(RP, &lapse(HE, "stalled"), 1).await;
    th.send(Message::Batch(log.batch(&arena, &follow))).await;
    acknowledged(&mut th, BY, 2).await;

    // whoever speaks stays
    for nonce in 2..5 {
        passes(limits::PEER_SILENCE_MS / 3 + 500);
        heads_of(&mut th, nonce).await;
        honest.goes_on().await;
    }
    arena.counted(RP, &lapse(HE, "silent"), 1).await;
    let _ = he.expect(|_| None::<()>).await;
    heads_of(&mut th, 9).await;
    for land in [SL, TH] {
        assert_eq!(arena.metric(RP, &lapse(land, "silent")).await, 0, "{land} spoke");
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     BY is suspended, TH has new keys, the first epoch of NI has ended: each goes on as before
#[tokio::test(flavor = "multi_thread")]
async fn what_a_charter_or_a_reset_has_ended_stays_ended() {
    let mut arena = Arena::prepare().await;
    let (by, th) = (Chronicle::grown(&arena, BY, 2), Chronicle::grown(&arena, TH, 2));
    let new_keys = ["new-log.key", "new-freshness.key"];
    let public = new_keys.map(|it| {
        let key = arena.key(TH, it);
        Bytes::copy_from_slice(key.public().as_bytes())
    });
    arena.amend(|next| {
        for member in &mut next.members {
            if member.land == "BY" {
                member.cut = Some(by.cut());
                member.set_state(MemberState::Suspended);
            }
            if member.land == "TH" {
                let [log_key, freshness_key] = public.clone();
                let log_key = std::mem::replace(&mut member.log_key, log_key);
                let freshness_key = std::mem::replace(&mut member.freshness_key, freshness_key);
                let cut = Some(th.cut());
                member.former_keys.push(FormerKeys { log_key, freshness_key, cut });
            }
        }
    });
    let first = Chronicle::of(&arena, NI);
    ended(&arena, &first, 0);
    arena.run(Run::default()).await;
    let honest = arena.honest().await;

    // the node of BY is told why, and others bring no more of its log than counts
    let refused = Partner::dial(arena.config(RP, Who::Node(BY))).await.expect_err("refused");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("suspended BY"), "{refused:?}");
    let counted = "registry_requests_total{method=\"/verbund.peer.v1.PeerService/Session\",code=\"FAILED_PRECONDITION\"}";
    arena.counted(RP, counted, 1).await;
    let mut he = arena.partner(RP, HE).await;
    for (count, cut) in (1..).zip([&by, &th]) {
        let land = cut.land;
        let mut beyond = cut.clone();
        beyond.grow();
        tells(&mut he, vec![beyond.head(&arena, SIGNED_SECONDS)]).await;
        arena.counted(RP, &lapse(HE, "uncounted_head"), count).await;
        let heads = vec![cut.head(&arena, SIGNED_SECONDS)];
        let follow = asked_after(&mut he, &[land], heads.clone()).await;
        he.send(Message::Batch(beyond.batch(&arena, &follow[&land]))).await;
        given_up(&mut he, land).await;
        arena.counted(RP, &fault(HE, "beyond_cut"), count).await;
        assert_eq!(arena.size(RP, land), 0, "nothing of {land} was taken");
    }
    let mut sn = arena.partner(RP, SN).await;
    let follow = asked_after(&mut sn, &[BY], vec![by.head(&arena, SIGNED_SECONDS)]).await;
    sn.send(Message::Batch(by.batch(&arena, &follow[&BY]))).await;
    acknowledged(&mut sn, BY, 2).await;
    arena.counted(RP, &state(BY, "suspended"), 1).await;

    // the new keys go on where the old ones end
    let mut renewed = th.clone();
    renewed.keys = new_keys;
    renewed.say(Kind::Unknown(98), Bytes::from_static(b"under the new keys"));
    delivered(&arena, RP, &renewed).await;
    eventually(LIMIT, "it is shown", async || arena.size(RP, TH) == 3).await;

    // an epoch begins with the reset that made it
    let mut second = first.next_epoch();
    second.grow();
    let mut ni = arena.partner(RP, NI).await;
    let follow = asked_after(&mut ni, &[NI], vec![second.head(&arena, SIGNED_SECONDS)]).await;
    ni.send(Message::Batch(second.batch(&arena, &follow[&NI]))).await;
    arena.counted(RP, &fault(NI, "epoch_beginning"), 1).await;
    arena.counted(RP, &quarantined(NI), 1).await;
    for land in [BY, TH, SL, HE] {
        assert_eq!(arena.metric(RP, &quarantined(land)).await, 0, "{land} is not NI");
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     a copy of RP, played by the test, has signed an entry that RP did not write; HE tells it
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_signs_stops_its_node_and_no_other() {
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    arena.publish(RP, 1).await;
    let mut he = arena.partner(RP, HE).await;
    tells(&mut he, vec![empty_head(HE)]).await;
    let mut copy = Chronicle::of(&arena, RP);
    copy.entries = read(&mut he, RP).await;
    copy.grow();
    let now = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).expect("after 1970");
    he.send(Message::Beacon(Beacon { heads: vec![copy.head(&arena, now + 2)] })).await;

    arena.counted(RP, "registry_fence_copied", 1).await;
    assert_eq!(arena.metric(RP, "registry_fence_open").await, 0);
    let publisher = arena.client(RP, Who::Publisher(RP)).await;
    let records = request(vec![definition(&service_id(2), "Nicht jetzt")], vec![]);
    let refused = publisher.publish(records).await.expect_err("it waits for an operator");
    assert_eq!(refused.class(), Class::Unavailable, "{refused:?}");
    for at in [SL, RP] {
        for land in [SL, RP] {
            assert_eq!(arena.metric(at, &quarantined(land)).await, 0, "{land} at {at}");
        }
    }
    assert_eq!(arena.metric(SL, "registry_fence_open").await, 1);
    honest.goes_on().await;
    arena.stop().await;
}

//     the log of HE has markup in every text; RP shows it to people
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_a_strange_log_never_become_markup() {
    const HOSTILE: &str = "<script>alert(\"x\")</script>'\"><img src=x onerror=y>";
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let id = service_id(1);
    let mut record = definition(&id, HOSTILE);
    record.land = "HE".to_owned();
    record.themenfeld = HOSTILE.to_owned();
    record.teaser = record.bezeichnung.clone();
    record.volltext = record.bezeichnung.clone();
    record.handlungsgrundlagen[0].url = "javascript:alert(1)".to_owned();
    let mut log = Chronicle::of(&arena, HE);
    let object = id.parse().expect("a UUID");
    log.say_of(object, Kind::ServiceDefinition, record.encode_to_vec().into());
    let _he = delivered(&arena, RP, &log).await;
    eventually(LIMIT, "it is shown", async || arena.size(RP, HE) == 1).await;

    let path = format!("/leistungen/HE/{id}");
    let page = page_of(&arena, RP, &path).await;
    assert!(page.contains("&lt;script&gt;"), "{page}");
    for markup in ["<script", "<img", "javascript:", "onerror=y>"] {
        let shown = page.replace("&lt;", "").replace("&gt;", "").replace("&quot;", "");
        assert!(!shown.contains(markup), "{markup}\n{page}");
    }
    assert!(page.to_lowercase().contains("content-security-policy"), "{page}");
    honest.goes_on().await;
    arena.stop().await;
}

//     somebody without the role publishes again and again at SL
#[tokio::test(flavor = "multi_thread")]
async fn refusals_without_end_are_a_few_lines_of_the_audit_log() {
    const CALLS: u64 = 300;
    let arena = Arena::start(Run::default()).await;
    let honest = arena.honest().await;
    let reader = arena.client(SL, Who::Reader).await;
    for _ in 0..CALLS {
        let records = request(vec![definition(&service_id(1), "Nicht erlaubt")], vec![]);
        reader.publish(records).await.expect_err("no publisher");
    }
    let denied = "registry_requests_total{method=\"/verbund.registry.v1.PublishService/Publish\",code=\"PERMISSION_DENIED\"}";
    arena.counted(SL, denied, CALLS).await;
    let told = || {
        let files = fs::read_dir(arena.home(SL).join("data/audit")).expect("audit log");
        let text = files.map(|it| fs::read_to_string(it.expect("a file").path()).expect("text"));
        text.collect::<String>().lines().filter(|it| it.contains("PERMISSION_DENIED")).count()
    };
    // what was refused is written by the second, whoever asked has its answer before
    eventually(LIMIT, "a line is there", async || told() > 0).await;
    let lines = told();
    assert!((1..5).contains(&lines), "{lines} lines");
    honest.goes_on().await;
    arena.stop().await;
}

async fn page_of(arena: &Arena, at: Land, path: &str) -> String {
    let web = arena.bound(at).web.expect("web");
    let mut io = arena.tls(web, Who::Reader, b"http/1.1").await.expect("connected");
    let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    io.write_all(ask.as_bytes()).await.expect("asked");
    let mut page = Vec::new();
    // whoever closes need not say goodbye
    let _ = io.read_to_end(&mut page).await;
    String::from_utf8(page).expect("UTF-8")
}
