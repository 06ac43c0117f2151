//! What attacks as a partner have in common: names of what is counted, and the first words of a
//! session.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use registry_core::{charter::decision, limits};
use registry_node::driver::Skew;
use registry_proto::{
    epoch::{EpochReset, Reset},
    log::prove_inclusion,
    terms::Land,
    wire::peer::{AskHeads, BatchEntry, Follow, Head, Heads, Unfollow, peer_message::Message},
};

use crate::{
    arena::{Arena, MEMBERS},
    chronicle::{Chronicle, SALT, SIGNED_SECONDS, empty_head},
    partner::Partner,
};

/// The metric of a fault of a member.
pub fn fault(land: Land, fault: &str) -> String {
    format!("registry_peer_faults_total{{land=\"{land}\",fault=\"{fault}\"}}")
}

/// The metric of what a member fails to do.
pub fn lapse(land: Land, lapse: &str) -> String {
    format!("registry_partner_lapses_total{{land=\"{land}\",lapse=\"{lapse}\"}}")
}

/// The metric of a state of a log.
pub fn state(land: Land, state: &str) -> String {
    format!("registry_replication_state{{land=\"{land}\",state=\"{state}\"}}")
}

/// The metric of a log that stopped, because its owner signed what nobody may sign.
pub fn quarantined(land: Land) -> String {
    state(land, "quarantined")
}

/// Tells that nothing is held of these logs, and waits until the node asks their owner for them.
pub async fn asked_for(partner: &mut Partner, laender: &[Land]) -> BTreeMap<Land, Follow> {
    let heads = laender.iter().map(|it| empty_head(*it)).collect();
    asked_after(partner, laender, heads).await
}

/// Tells what is held of these logs, and waits until the node asks for all of them here.
pub async fn asked_after(
    partner: &mut Partner,
    laender: &[Land],
    heads: Vec<Head>,
) -> BTreeMap<Land, Follow> {
    partner.send(Message::Heads(Heads { heads, nonce: 0 })).await;
    let mut follows = BTreeMap::new();
    while follows.len() < laender.len() {
        let follow = partner.expect(|it| match it {
            Message::Follow(follow) => Some(follow),
            _ => None,
        });
        let follow = follow.await.expect("open").expect("the node follows");
        let land: Land = follow.land.parse().expect("a Land");
        if laender.contains(&land) {
            follows.insert(land, follow);
        }
    }
    follows
}

/// Waits until the node has stored `size` entries of a log.
pub async fn acknowledged(partner: &mut Partner, land: Land, size: u64) {
    let ack = partner.expect(|it| match it {
        Message::Ack(ack) if ack.land == land.code() && ack.size >= size => Some(()),
        _ => None,
    });
    ack.await.expect("open").expect("stored");
}

/// Waits until the node asks here no more for a log.
pub async fn given_up(partner: &mut Partner, land: Land) {
    let gone = partner.expect(|it| match it {
        Message::Unfollow(it) if it.land == land.code() => Some(()),
        _ => None,
    });
    gone.await.expect("open").expect("given up");
}

/// What the node holds of all logs.
pub async fn heads_of(partner: &mut Partner, nonce: u64) -> BTreeMap<String, Head> {
    partner.send(Message::AskHeads(AskHeads { nonce })).await;
    let heads = partner.expect(|it| match it {
        Message::Heads(heads) if heads.nonce == nonce => Some(heads.heads),
        _ => None,
    });
    let heads = heads.await.expect("open").expect("answered");
    heads.into_iter().map(|it| (it.land.clone(), it)).collect()
}

/// The owner of a log gives it to a node, which stores all of it.
pub async fn delivered(arena: &Arena, at: Land, log: &Chronicle) -> Partner {
    let mut owner = arena.partner(at, log.land).await;
    let heads = vec![log.head(arena, SIGNED_SECONDS)];
    let follow = asked_after(&mut owner, &[log.land], heads).await;
    owner.send(Message::Batch(log.batch(arena, &follow[&log.land]))).await;
    acknowledged(&mut owner, log.land, log.entries.len() as u64).await;
    owner
}

/// Tells heads, and waits for nothing.
pub async fn tells(partner: &mut Partner, heads: Vec<Head>) {
    partner.send(Message::Heads(Heads { heads, nonce: 0 })).await;
}

/// The beginning of the first epoch of a log, as a node passes it on.
pub async fn read(partner: &mut Partner, land: Land) -> Vec<BatchEntry> {
    beginning(partner, land, false).await
}

/// [`read`] where a reset ended that epoch: what it keeps.
pub async fn read_kept(partner: &mut Partner, land: Land) -> Vec<BatchEntry> {
    beginning(partner, land, true).await
}

async fn beginning(partner: &mut Partner, land: Land, kept: bool) -> Vec<BatchEntry> {
    let (log, follow) = (land.code().to_owned(), 1);
    let asked = Follow { land: log, epoch: 1, from: 0, credit_bytes: 1 << 20, follow, kept };
    partner.send(Message::Follow(asked)).await;
    let batch = partner.expect(|it| match it {
        Message::Batch(batch) if batch.land == land.code() && batch.first == 0 => Some(batch),
        _ => None,
    });
    let batch = batch.await.expect("open").expect("a batch");
    partner.send(Message::Unfollow(Unfollow { land: land.code().to_owned(), epoch: 1 })).await;
    batch.entries
}

/// A reset with the consent of these.
pub fn agreed(arena: &Arena, reset: Reset, laender: &[Land]) -> Reset {
    laender.iter().fold(reset, |reset, land| {
        let key = arena.key(*land, "freshness.key");
        reset.countersign(arena.verbund(), *land, &key, 2).expect("signed")
    })
}

/// What an owner says that ends the epoch of its log behind the first entries, and nobody consents to
/// yet.
pub fn ending(arena: &Arena, log: &Chronicle, size: u64) -> Reset {
    let (id, root) = (log.id(), log.root_of(size));
    let said = EpochReset { log: id, size, root, reason: "verloren".to_owned(), unix_ms: 1 };
    said.sign(arena.verbund(), &arena.key(log.land, "offline.key")).expect("signed")
}

/// As many others as have to agree that a log begins again, in a Verbund of ten.
pub fn enough_others(owner: Land) -> Vec<Land> {
    MEMBERS.into_iter().filter(|it| *it != owner).take(5).collect()
}

/// The epoch of a log ends behind the first entries, before the nodes start; what was said.
pub fn ended(arena: &Arena, log: &Chronicle, size: u64) -> Reset {
    let reset = agreed(arena, ending(arena, log, size), &enough_others(log.land));
    arena.end_epoch(reset.clone());
    reset
}

/// A vote in the log of a Land, as its owner can prove it.
pub fn standing(arena: &Arena, log: &Chronicle, at: usize) -> decision::Standing {
    let size = log.entries.len() as u64;
    let entry = &log.entries[at];
    decision::Standing {
        header: entry.header.clone(),
        salt: SALT,
        body: entry.body.clone(),
        checkpoint: arena.sign(log.land, size, log.root()).raw().clone(),
        proof: prove_inclusion(log, size, at as u64).expect("in the tree"),
    }
}

/// Lets RP ask this partner for charters; the time for which the votes go first passes at its clock.
pub async fn asked_for_charters(partner: &mut Partner, skew: &Skew) {
    // a little less than all of it at once, so that SL is not taken for silent
    for (nonce, ms) in [(1, 8_000), (2, limits::CHARTERS_WAIT_MS - 8_500)] {
        heads_of(partner, nonce).await;
        skew.passed_ms.fetch_add(ms, Ordering::Relaxed);
    }
    let ask = partner.expect(|it| match it {
        Message::AskCharters(it) => Some(it.from),
        _ => None,
    });
    assert_eq!(ask.await.expect("open"), Some(1));
}
