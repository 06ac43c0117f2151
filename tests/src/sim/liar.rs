//! A node with a valid certificate that says what it should not.

use bytes::Bytes;
use rand::{Rng, rngs::SmallRng};
use registry_proto::wire::peer::{
    BatchEntry, CharterStep, Head, Refusal, Unfollow, peer_message::Message,
};

/// Changes every third message, or says it not at all, or often. Answers how often.
pub(crate) fn twist(rng: &mut SmallRng, message: &mut Message) -> usize {
    if !rng.random_bool(0.3) {
        return 1;
    }
    match rng.random_range(0..10) {
        0 | 1 => return 0,
        2 => return rng.random_range(2..20),
        _ => {}
    }
    match message {
        Message::Hello(hello) => match rng.random_range(0..4) {
            0 => flip(rng, &mut hello.verbund),
            1 => hello.land = "TH".to_owned(),
            2 => hello.protocol_min = 9,
            _ => *message = Message::AskHeads(Default::default()),
        },
        Message::Heads(heads) => {
            if rng.random_bool(0.2) {
                heads.nonce = rng.random_range(0..4);
            }
            twist_heads(rng, &mut heads.heads);
        }
        Message::Beacon(beacon) => twist_heads(rng, &mut beacon.heads),
        Message::Follow(follow) => match rng.random_range(0..4) {
            0 => follow.from = number(rng),
            1 => follow.credit_bytes = number(rng),
            2 => follow.epoch = number(rng),
            _ => *message = unfollow(&follow.land, follow.epoch),
        },
        Message::Batch(batch) => {
            let at = rng.random_range(0..batch.entries.len().max(1));
            match rng.random_range(0..9) {
                0 => batch.first = number(rng),
                1 => batch.entries.clear(),
                2 => flip(rng, &mut batch.checkpoint),
                3 => batch.proof.iter_mut().for_each(|it| flip(rng, it)),
                4 => batch.proof.push(Bytes::from_static(&[0; 32])),
                5 => batch.entries.reverse(),
                6 => {
                    batch.entries.pop();
                }
                7 => *message = refusal(&batch.land, batch.epoch, rng.random_range(0..5)),
                _ => {
                    if let Some(entry) = batch.entries.get_mut(at) {
                        twist_entry(rng, entry);
                    }
                }
            }
        }
        Message::Ack(ack) => match rng.random_range(0..3) {
            0 => ack.size = number(rng),
            1 => ack.credit_bytes = number(rng),
            _ => *message = unfollow(&ack.land, ack.epoch),
        },
        Message::AskHeads(ask) => ask.nonce = number(rng),
        Message::Receipts(receipts) => receipts.items.iter_mut().for_each(|it| flip(rng, it)),
        Message::Cosignatures(all) => all.items.iter_mut().for_each(|it| flip(rng, &mut it.note)),
        Message::Evidence(evidence) => evidence.items.iter_mut().for_each(|it| flip(rng, it)),
        Message::EpochResets(all) => all.items.iter_mut().for_each(|it| flip(rng, it)),
        Message::AskCharters(ask) => match rng.random_range(0..2) {
            0 => ask.from = number(rng),
            _ => flip(rng, &mut ask.predecessor),
        },
        Message::AskBeginning(ask) => match rng.random_range(0..2) {
            0 => ask.size = number(rng),
            _ => ask.of = number(rng),
        },
        Message::Beginning(told) => flip(rng, &mut told.root),
        Message::Charters(told) => told.steps.push(CharterStep::default()),
        Message::Refusal(_) | Message::Unfollow(_) => {}
    }
    1
}

fn twist_heads(rng: &mut SmallRng, heads: &mut Vec<Head>) {
    match rng.random_range(0..5) {
        // claims to hold nothing, or what it has never seen
        0 => heads.iter_mut().for_each(|it| it.size = 0),
        1 => heads.iter_mut().for_each(|it| it.size = signed_size(&it.checkpoint)),
        2 => heads.clear(),
        3 => heads.iter_mut().for_each(|it| it.size = number(rng)),
        _ => heads.iter_mut().for_each(|it| flip(rng, &mut it.checkpoint)),
    }
}

fn twist_entry(rng: &mut SmallRng, entry: &mut BatchEntry) {
    match rng.random_range(0..4) {
        0 => flip(rng, &mut entry.header),
        1 => flip(rng, &mut entry.salt),
        2 => flip(rng, &mut entry.body),
        _ => entry.body_state = rng.random_range(0..5),
    }
}

fn flip(rng: &mut SmallRng, bytes: &mut Bytes) {
    let mut changed = bytes.to_vec();
    if !changed.is_empty() {
        let at = rng.random_range(0..changed.len());
        changed[at] ^= 1 << rng.random_range(0..8);
    }
    *bytes = changed.into();
}

/// The second line of a note.
fn signed_size(note: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(note);
    text.lines().nth(1).and_then(|it| it.parse().ok()).unwrap_or_default()
}

fn number(rng: &mut SmallRng) -> u64 {
    match rng.random_range(0..3) {
        0 => rng.random_range(0..100),
        1 => u64::MAX,
        _ => rng.random(),
    }
}

fn unfollow(land: &str, epoch: u64) -> Message {
    Message::Unfollow(Unfollow { land: land.to_owned(), epoch })
}

fn refusal(land: &str, epoch: u64, reason: i32) -> Message {
    Message::Refusal(Refusal { land: land.to_owned(), epoch, reason })
}
