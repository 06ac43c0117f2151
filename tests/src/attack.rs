//! What attacks as a partner have in common: names of what is counted, and the first words of a
//! session.

use std::collections::BTreeMap;

use registry_proto::{
    terms::Land,
    wire::peer::{AskHeads, Follow, Head, Heads, peer_message::Message},
};

use crate::{
    arena::Arena,
    chronicle::{Chronicle, empty_head},
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

/// When heads are signed, if it does not matter.
pub const SIGNED_SECONDS: u64 = 1_800_000_000;
