//! Who is in the Verbund.

use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_core::authorize::PeerIdentity;
use registry_proto::{charter::Charter, log::LogSigner, terms::Land, wire::registry as wire};

pub(super) fn identity(land: Land) -> PeerIdentity {
    PeerIdentity { land, node: format!("{}-1.example", land.code().to_lowercase()) }
}

pub(super) fn charter(laender: &[Land]) -> (Charter, Vec<LogSigner>) {
    let key = |land: Land, what: u8| {
        let mut seed = [what; 32];
        seed[..land.code().len()].copy_from_slice(land.code().as_bytes());
        SigningKey::from_bytes(&seed)
    };
    let public = |key: &SigningKey| bytes::Bytes::copy_from_slice(key.verifying_key().as_bytes());
    let mut sorted = laender.to_vec();
    sorted.sort_unstable();
    let members = sorted
        .iter()
        .map(|land| wire::Member {
            land: land.code().to_owned(),
            log_key: public(&key(*land, 1)),
            freshness_key: public(&key(*land, 2)),
            offline_key: public(&key(*land, 3)),
            nodes: vec![wire::MemberNode {
                name: identity(*land).node,
                spki_pins: vec![bytes::Bytes::copy_from_slice(&[*land as u8; 32])],
            }],
            anchors: Vec::new(),
            quota: None,
            ..wire::Member::default()
        })
        .collect::<Vec<_>>();
    let charter = wire::Charter {
        format_level: 1,
        number: 0,
        name: "Simulierter Verbund".to_owned(),
        test: true,
        threshold: u32::try_from(members.len() * 2 / 3 + 1).expect("few members"),
        members,
        ..wire::Charter::default()
    };
    let charter = Charter::parse(charter.encode_to_vec().into()).expect("a valid charter");
    let signers = laender.iter().map(|it| LogSigner::new(key(*it, 1), key(*it, 2))).collect();
    (charter, signers)
}

/// 2026-01-01T00:00:00Z.
pub(super) const START_WALL_MS: i64 = 1_767_225_600_000;
