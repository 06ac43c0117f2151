//! Attacks by members, third part: proofs of votes, resets, and what becomes of an epoch that a reset
//! ended. As in `adversary_peer`, each is refused or contained and counted, and what is published at SL
//! still arrives at RP.

use bytes::Bytes;
use prost::Message as _;
use registry_core::charter::decision;
use registry_node::{
    driver::{Clock, Skew},
    lifecycle::StopCause,
};
use registry_proto::{
    charter::{CharterVote, DECISION_BYTES_MAX, DECISION_VOTES_MAX},
    epoch::{EpochReset, Reset},
    log::{Hash, Kind},
    terms::{
        Land::{self, BE, BW, BY, HE, NI, NW, RP, SL, SN, TH},
        LogId,
    },
    wire::{
        peer::{
            Batch, BatchEntry, BodyState, CharterStep, Charters, EpochResets, ErasureProof,
            peer_message::Message,
        },
        registry::{self as wire, CharterDecision, CharterVoteProof},
    },
};
use registry_tests::{
    arena::{Arena, LIMIT, Run},
    attack::{
        acknowledged, agreed, asked_after, asked_for_charters, ended, ending, enough_others, fault,
        given_up, heads_of, lapse, quarantined, read_kept, standing, state, tells,
    },
    chronicle::{Chronicle, SIGNED_SECONDS},
    cluster::{Who, eventually},
    partner::Partner,
};

//     HE, TH, BW and NI pad the proof of a charter that BE can prove
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_padded_is_refused_and_another_partner_proves_the_charter() {
    let skew: &Skew = Box::leak(Box::default());
    let arena = Arena::start(Run { clock_of_rp: Clock::skewed(skew), ..Run::default() }).await;
    let honest = arena.honest().await;
    let genesis = arena.genesis();
    let draft = wire::Charter { threshold: 8, ..genesis.draft_of_next() };
    let (next, _) = genesis.successor(draft.encode_to_vec().into()).expect("a successor");
    let (predecessor, successor) = (genesis.digest(), Some(next.raw().clone()));
    let vote = CharterVote { predecessor, round: 1, successor, cited: Vec::new() }.encode();
    let votes = [HE, TH, BY, BE, NI, NW, BW].map(|land| {
        let mut log = Chronicle::of(&arena, land);
        log.say(Kind::CharterVote, vote.clone());
        standing(&arena, &log, 0)
    });
    let proof = decision::assemble(&genesis, &next, votes.to_vec()).expect("seven votes");

    // all of them hold, but for what they cost
    let mut same = proof.clone();
    same.votes.extend((7..DECISION_VOTES_MAX).map(|_| proof.votes[6].clone()));
    let mut unused = proof.clone();
    unused.others = vec![Bytes::from_static(b"x"); DECISION_VOTES_MAX + 1];
    let mut large = proof.clone();
    large.others = vec![Bytes::from(vec![b'x'; DECISION_BYTES_MAX])];
    // and this but for rounds that never were, each vote for a successor of nearly all that fits
    let mut rounds = proof.clone();
    rounds.others = vec![Bytes::from(vec![b'x'; DECISION_BYTES_MAX / 2])];
    for round in 2..20 {
        rounds.votes.extend(proof.votes.iter().map(|it| {
            let mut said = wire::CharterVote::decode(&it.vote[..]).expect("a vote");
            said.round = round;
            CharterVoteProof { vote: said.encode_to_vec().into(), choice: 2, ..it.clone() }
        }));
    }
    let step = |decision: &CharterDecision| {
        let (charter, decision) = (next.raw().clone(), decision.encode_to_vec().into());
        Charters { from: 1, steps: vec![CharterStep { charter, decision }], differs: false }
    };
    for (land, padded) in [(HE, same), (TH, unused), (BW, large), (NI, rounds)] {
        let mut partner = arena.partner_under(RP, land, 1).await;
        asked_for_charters(&mut partner, skew).await;
        partner.send(Message::Charters(step(&padded))).await;
        // in order or not: the session is over
        let _ = partner.expect(|_| None::<()>).await;
        arena.counted(RP, &fault(land, "charter_proof"), 1).await;
    }
    let told = arena.client(RP, Who::Reader).await.charters().await.expect("told");
    assert_eq!((told.newest, told.followed), (0, 0), "nothing has changed");
    honest.goes_on().await;
    drop(honest);

    let mut be = arena.partner_under(RP, BE, 1).await;
    asked_for_charters(&mut be, skew).await;
    be.send(Message::Charters(step(&proof))).await;
    eventually(LIMIT, "RP begins again under charter 1", async || {
        let cause = arena.app(RP).shutdown().cause();
        cause.is_some_and(|it| matches!(it, StopCause::Charter { number: 1 }))
    })
    .await;
    arena.stop().await;
}

//     HE has its offline key from before it was replaced, BE has a list in the charter
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_with_keys_that_were_replaced_ends_nothing_and_costs_its_signatures() {
    const SHOWN_MAX: usize = 20_000;
    let mut arena = Arena::prepare().await;
    let new_key = arena.key(HE, "new-offline.key");
    let listed = ending(&arena, &Chronicle::of(&arena, BE), 0);
    arena.amend(|next| {
        for member in &mut next.members {
            if member.land == "HE" {
                member.offline_key = Bytes::copy_from_slice(new_key.public().as_bytes());
            }
            if member.land == "BE" {
                member.epoch_resets = vec![listed.digest().as_bytes().to_vec().into()];
            }
        }
    });
    arena.run(Run::default()).await;
    let honest = arena.honest().await;
    let show = async |partner: &mut Partner, reset: &Reset| {
        let items = vec![reset.encode()];
        partner.send(Message::EpochResets(EpochResets { items })).await;
    };
    let consented = |reset: &Reset, missing: usize| {
        let others = enough_others(reset.said().log.land);
        agreed(&arena, reset.clone(), &others[missing..])
    };

    let mut th = arena.partner(RP, TH).await;
    let old = ending(&arena, &Chronicle::of(&arena, HE), 0);
    // signed by all whom it takes, and another one than the charter lists
    let log = LogId { land: BE, epoch: 1 };
    let (root, reason) = (Hash::of(b"never signed"), "noch einmal".to_owned());
    let other = EpochReset { log, size: 9, root, reason, unix_ms: 2 };
    let other = other.sign(arena.verbund(), &arena.key(BE, "offline.key")).expect("signed");
    // and the one it lists before enough others agreed
    let cases = [consented(&old, 1), consented(&other, 0), consented(&listed, 1)];
    for (count, reset) in (1..).zip(cases) {
        show(&mut th, &reset).await;
        arena.counted(RP, &fault(TH, "epoch_reset"), count).await;
    }
    // who took it when its keys counted does nothing wrong, and it counts for nothing
    let complete = consented(&old, 0);
    show(&mut th, &complete).await;
    arena.counted(RP, &lapse(TH, "uncounted_reset"), 1).await;
    let at_rp = heads_of(&mut th, 1).await;
    assert!(at_rp.values().all(|it| it.epoch == 1), "{at_rp:?}");
    for land in [HE, BE] {
        assert_eq!(arena.metric(RP, &state(land, "ended")).await, 0, "{land} goes on");
    }
    // without end it is verified without end, up to an allowance
    for _ in 0..SHOWN_MAX {
        show(&mut th, &complete).await;
    }
    let _ = th.expect(|_| None::<()>).await;
    arena.counted(RP, &fault(TH, "too_fast"), 1).await;
    assert!(arena.metric(RP, &lapse(TH, "uncounted_reset")).await < SHOWN_MAX as u64);
    assert!(arena.app(RP).shutdown().cause().is_none());
    honest.goes_on().await;
    drop(honest);

    let mut sn = arena.partner(RP, SN).await;
    show(&mut sn, &consented(&listed, 0)).await;
    eventually(LIMIT, "RP takes the one that is listed", async || {
        let cause = arena.app(RP).shutdown().cause();
        cause.is_some_and(|it| matches!(it, StopCause::Epoch { log } if log.land == BE))
    })
    .await;
    assert_eq!(arena.metric(RP, &fault(SN, "epoch_reset")).await, 0);
    arena.stop().await;
}

/// Two entries that a reset keeps, and the next epoch, whose entry 1 erases the second of them.
struct Past {
    first: Chronicle,
    second: Chronicle,
}

// === impl Past ===

impl Past {
    fn of(arena: &Arena, land: Land) -> Self {
        let first = Chronicle::grown(arena, land, 2);
        let reset = ended(arena, &first, 2);
        let mut second = first.next_epoch();
        second.say(Kind::EpochReset, reset.encode());
        second.erase(1, 1, first.leaf(1));
        Self { first, second }
    }

    /// What a reset keeps, shown without the second body.
    async fn shown(&self, partner: &mut Partner, excuse: Option<ErasureProof>) {
        let land = self.first.land;
        let follow = asked_after(partner, &[land], vec![self.first.kept_head()]).await;
        let mut batch = self.first.kept_batch(2, &follow[&land]);
        if excuse.is_some() {
            batch.entries[1] = without_body(&batch.entries[1], excuse);
        }
        partner.send(Message::Batch(batch)).await;
    }
}

fn without_body(entry: &BatchEntry, erasure: Option<ErasureProof>) -> BatchEntry {
    let (header, body_state) = (entry.header.clone(), BodyState::Erased.into());
    BatchEntry { header, body_state, erasure, ..BatchEntry::default() }
}

//     HE passes on epochs that ended, and says of a body of each that its owner erased it
#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_an_ended_epoch_is_missing_only_if_its_owner_erased_it() {
    let mut arena = Arena::prepare().await;
    let past = [BY, BE, NI, NW, BW].map(|land| Past::of(&arena, land));
    let [forged, foreign, unbegun, other, discarded] = &past;
    // the second epoch of BW ended too, and its erasure lies behind what that keeps
    ended(&arena, &discarded.second, 1);
    arena.run(Run::default()).await;
    let honest = arena.honest().await;

    let by_he = {
        let log = Chronicle::of(&arena, HE);
        let (log_key, freshness) = (arena.key(HE, "log.key"), arena.key(HE, "freshness.key"));
        let (of, root) = (forged.second.id(), forged.second.root());
        let signed = arena.sign_by([log_key, freshness], of, 2, root, SIGNED_SECONDS);
        let checkpoint = signed.raw().clone();
        let mut own = log.next_epoch();
        own.grow();
        own.erase(1, 1, foreign.first.leaf(1));
        [ErasureProof { checkpoint, ..forged.second.excuse(&arena, 1) }, own.excuse(&arena, 1)]
    };
    let [forgery, of_he] = by_he;
    let mut third = unbegun.second.next_epoch();
    third.grow();
    third.erase(1, 1, unbegun.first.leaf(1));
    let mut elsewhere = other.second.clone();
    elsewhere.entries.truncate(1);
    elsewhere.erase(1, 0, other.first.leaf(0));
    let cases = [
        (forged, forgery),
        (foreign, of_he),
        (unbegun, third.excuse(&arena, 1)),
        (other, elsewhere.excuse(&arena, 1)),
    ];
    let mut he = arena.partner(RP, HE).await;
    for (count, (it, excuse)) in (1..).zip(cases) {
        let land = it.first.land;
        it.shown(&mut he, Some(excuse)).await;
        given_up(&mut he, land).await;
        arena.counted(RP, &fault(HE, "body"), count).await;
        assert_eq!(arena.size(RP, land), 0, "nothing of {land} was taken");
        // the owner did erase it, and proves that
        let mut owner = arena.partner(RP, land).await;
        it.shown(&mut owner, Some(it.second.excuse(&arena, 1))).await;
        acknowledged(&mut owner, land, 2).await;
    }
    // what a reset discarded excuses nothing, and who shows it may not know of that
    discarded.shown(&mut he, Some(discarded.second.excuse(&arena, 1))).await;
    given_up(&mut he, BW).await;
    arena.counted(RP, &lapse(HE, "other_history"), 1).await;
    let mut owner = arena.partner(RP, BW).await;
    discarded.shown(&mut owner, None).await;
    acknowledged(&mut owner, BW, 2).await;
    assert_eq!(arena.metric(RP, &fault(HE, "body")).await, 4);
    for land in [BY, BE, NI, NW, BW] {
        assert_eq!(arena.metric(RP, &fault(land, "body")).await, 0, "{land} was right");
        assert_eq!(arena.metric(RP, &quarantined(land)).await, 0, "{land} is not HE");
    }
    honest.goes_on().await;
    arena.stop().await;
}

//     the log key of RP was stolen, its disk is lost, and HE keeps a body back that TH has
#[tokio::test(flavor = "multi_thread")]
async fn erasures_of_a_thief_behind_the_cut_take_no_body_that_another_partner_has() {
    let mut arena = Arena::prepare().await;
    let past = Chronicle::grown(&arena, RP, 3);
    ended(&arena, &past, 3);
    let mut thief = past.clone();
    thief.erase(0, 1, past.leaf(1));
    arena.launch(Run::default()).await;
    arena.may_publish(SL).await;
    let honest = arena.honest().await;

    let mut he = arena.partner(RP, HE).await;
    let follow = asked_after(&mut he, &[RP], vec![past.kept_head()]).await;
    let mut batch = past.kept_batch(3, &follow[&RP]);
    batch.entries[1] = without_body(&batch.entries[1], Some(thief.excuse(&arena, 3)));
    he.send(Message::Batch(batch)).await;
    given_up(&mut he, RP).await;
    arena.counted(RP, &lapse(HE, "bodies_gone"), 1).await;
    assert_eq!(arena.size(RP, RP), 0, "nothing is taken yet");
    assert!(!arena.app(RP).board().load().fence_open);
    honest.goes_on().await;

    let mut th = arena.partner(RP, TH).await;
    let follow = asked_after(&mut th, &[RP], vec![past.kept_head()]).await;
    th.send(Message::Batch(past.kept_batch(3, &follow[&RP]))).await;
    acknowledged(&mut th, RP, 3).await;
    // with its past it begins the next epoch
    arena.begins_again(RP).await;
    arena.may_publish(RP).await;
    arena.publish(RP, 1).await;
    let mut he = arena.partner(RP, HE).await;
    tells(&mut he, Vec::new()).await;
    assert_eq!(read_kept(&mut he, RP).await, past.entries);
    assert_eq!(arena.metric(RP, "registry_fence_copied").await, 0);
    honest.goes_on().await;
    arena.stop().await;
}

//     BY signed two histories, of which a reset keeps one; HE, TH and BE serve it under what is not its own
#[tokio::test(flavor = "multi_thread")]
async fn what_a_reset_keeps_is_taken_under_no_checkpoint_of_another_tree() {
    let mut arena = Arena::prepare().await;
    let kept = Chronicle::grown(&arena, BY, 3);
    let mut other = kept.clone();
    other.entries.truncate(1);
    for said in [&b"another"[..], b"history"] {
        other.say(Kind::Unknown(98), Bytes::from_static(said));
    }
    ended(&arena, &kept, 2);
    arena.run(Run::default()).await;
    let honest = arena.honest().await;

    let under = |log: &Chronicle| {
        let kept_checkpoint = log.signed(&arena, SIGNED_SECONDS).raw().clone();
        Batch { kept_checkpoint, kept_proof: log.leads_on_from(2), ..Batch::default() }
    };
    let forged = {
        let keys = ["log.key", "freshness.key"].map(|it| arena.key(TH, it));
        let signed = arena.sign_by(keys, kept.id(), 3, kept.root(), SIGNED_SECONDS);
        Batch { kept_checkpoint: signed.raw().clone(), ..under(&kept) }
    };
    let unproved = Batch { kept_proof: Vec::new(), ..under(&kept) };
    let cases = [(HE, under(&other), "proof"), (TH, forged, "checkpoint"), (BE, unproved, "proof")];
    let served = async |land: Land, under: Batch| {
        let mut partner = arena.partner(RP, land).await;
        let follow = asked_after(&mut partner, &[BY], vec![kept.kept_head()]).await;
        let Batch { kept_checkpoint, kept_proof, .. } = under;
        let batch = kept.kept_batch(2, &follow[&BY]);
        partner.send(Message::Batch(Batch { kept_checkpoint, kept_proof, ..batch })).await;
        partner
    };
    let mut open = Vec::new();
    for (land, under, label) in cases {
        let mut partner = served(land, under).await;
        given_up(&mut partner, BY).await;
        arena.counted(RP, &fault(land, label), 1).await;
        assert_eq!(arena.size(RP, BY), 0, "nothing was taken of {land}");
        open.push(partner);
    }
    honest.goes_on().await;
    let mut ni = served(NI, under(&kept)).await;
    acknowledged(&mut ni, BY, 2).await;
    // and goes on from there
    eventually(LIMIT, "SL has it from RP", async || arena.size(SL, BY) == 2).await;
    assert_eq!(read_kept(&mut ni, BY).await, kept.entries[..2]);
    for land in [BY, SL, RP] {
        assert_eq!(arena.metric(RP, &quarantined(land)).await, 0, "{land}");
    }
    honest.goes_on().await;
    arena.stop().await;
}
