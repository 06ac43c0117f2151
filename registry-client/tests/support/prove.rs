//! A Verbund of one Land, its log, and real proofs.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message;
use registry_proto::{
    charter::Charter,
    log::{
        self, Checkpoint, Frontier, Hash, HashTiles, Header, Kind, LogSigner, Origin,
        prove_inclusion,
    },
    terms::{Land, LogId},
    wire::registry::{self as wire, GetInclusionProofResponse, LogPosition},
};

pub(crate) const SALT: [u8; 16] = [7; 16];
pub(crate) const BODY: &[u8] = b"\x1a\x02SL";

/// The Verbund and the entries of SL.
pub(crate) struct World {
    pub(crate) charter: Charter,
    pub(crate) signer: LogSigner,
    headers: Vec<Bytes>,
}

struct Leaves(Vec<Hash>);

impl HashTiles for Leaves {
    type Error = String;

    fn read(&self, level: u8, from: u64, count: usize) -> Result<Vec<Hash>, String> {
        let from = usize::try_from(from).map_err(|e| e.to_string())?;
        match level {
            0 => self.0.get(from..from + count).map(<[_]>::to_vec).ok_or_else(|| "gone".to_owned()),
            _ => Err("fewer than 256 leaves".to_owned()),
        }
    }
}

impl World {
    /// A log of `size` entries, fewer than 256.
    pub(crate) fn new(size: u64) -> Self {
        let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]);
        let public = |seed: u8| Bytes::from(key(seed).verifying_key().to_bytes().to_vec());
        let charter = wire::Charter {
            format_level: 1,
            number: 0,
            name: "Probe".to_owned(),
            test: true,
            threshold: 1,
            members: vec![wire::Member {
                land: "SL".to_owned(),
                log_key: public(1),
                freshness_key: public(2),
                offline_key: public(3),
                nodes: vec![wire::MemberNode {
                    name: "sl1.example".to_owned(),
                    spki_pins: vec![Bytes::from(vec![9; 32])],
                }],
                anchors: Vec::new(),
                quota: None,
                ..wire::Member::default()
            }],
            ..wire::Charter::default()
        };
        let charter = Charter::parse(charter.encode_to_vec().into()).expect("charter");
        let signer = LogSigner::new(key(1), key(2));
        let headers = (0..size).map(|index| header(&charter, index)).collect();
        Self { charter, signer, headers }
    }

    pub(crate) fn position(index: u64) -> LogPosition {
        LogPosition { land: "SL".to_owned(), epoch: 1, index }
    }

    /// The answer of an honest node.
    pub(crate) fn answer(&self, index: u64) -> GetInclusionProofResponse {
        let leaves: Vec<_> = self.headers.iter().map(|header| log::leaf_hash(header)).collect();
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        let size = frontier.size();
        let checkpoint = self.checkpoint(size, frontier.root());
        let checkpoint = checkpoint.sign(&self.signer, 1_800_000_000).expect("signed");
        let proof = prove_inclusion(&Leaves(leaves), size, index).expect("proof");
        GetInclusionProofResponse {
            header: self.headers[usize::try_from(index).expect("index")].clone(),
            proof: proof.iter().map(|hash| Bytes::from(hash.as_bytes().to_vec())).collect(),
            checkpoint: String::from_utf8(checkpoint.raw().to_vec()).expect("UTF-8"),
            salt: Bytes::from_static(&SALT),
            body: Bytes::from_static(BODY),
        }
    }

    pub(crate) fn checkpoint(&self, size: u64, root: Hash) -> Checkpoint {
        let origin = Origin { verbund: self.charter.id(), log: LogId { land: Land::SL, epoch: 1 } };
        Checkpoint { origin, size, root }
    }
}

fn header(charter: &Charter, index: u64) -> Bytes {
    let header = Header {
        verbund: charter.id(),
        log: LogId { land: Land::SL, epoch: 1 },
        index,
        kind: Kind::ServiceDefinition,
        recorded_unix_ms: 1_800_000_000_000,
        object_id: Some("01930000-0000-7000-8000-000000000000".parse().expect("UUID")),
        audience: wire::Audience::Verbund as i32,
        batch_end: true,
        references: Vec::new(),
        principal: "publisher-sl".to_owned(),
        body_length: u32::try_from(BODY.len()).expect("short"),
        body_digest: log::body_digest(&SALT, BODY),
        request: None,
    };
    header.encode().expect("header")
}
