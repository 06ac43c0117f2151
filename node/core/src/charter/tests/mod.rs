//! The vote about the next charter: the rule explored exhaustively, the chain at random.

mod chain;
mod decision;
mod model;
mod random;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_proto::{charter::Charter, terms::Land, wire::registry as wire};

fn key(seed: u8) -> Bytes {
    Bytes::copy_from_slice(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes())
}

/// A member of the wire form; its keys come from its place among all Länder.
fn member(land: Land) -> wire::Member {
    let seed = Land::ALL.iter().position(|it| *it == land).expect("a Land");
    let seed = u8::try_from(3 * seed + 1).expect("small");
    wire::Member {
        land: land.code().to_owned(),
        log_key: key(seed),
        freshness_key: key(seed + 1),
        offline_key: key(seed + 2),
        nodes: vec![wire::MemberNode {
            name: format!("node.{}.example", land.code().to_lowercase()),
            spki_pins: vec![vec![seed; 32].into()],
        }],
        ..wire::Member::default()
    }
}

/// The first so many Länder by code, with the least threshold.
fn genesis(members: usize) -> Charter {
    let charter = wire::Charter {
        format_level: 1,
        name: "Verbund".to_owned(),
        threshold: u32::try_from(members * 2 / 3 + 1).expect("small"),
        members: Land::ALL.iter().take(members).map(|it| member(*it)).collect(),
        ..wire::Charter::default()
    };
    Charter::parse(charter.encode_to_vec().into()).expect("a charter")
}

/// A successor that says something else for each number.
fn proposal(of: &Charter, number: u64) -> Bytes {
    let mut next = of.draft_of_next();
    let last = next.members.last_mut().expect("a member");
    let entries_per_day = of.number() * 100 + number + 1;
    last.quota = Some(wire::Quota { entries_per_day, ..wire::Quota::default() });
    next.encode_to_vec().into()
}
