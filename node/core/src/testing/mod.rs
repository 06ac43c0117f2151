//! A node with partners made by hand, for tests: crafted messages in, effects in short words out.

mod author;
mod brief;

use std::collections::BTreeMap;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use prost::Message as _;
use registry_proto::{
    charter::Charter,
    epoch::{EpochReset, Reset},
    log::{Checkpoint, Hash, Kind, LogSigner, SignedCheckpoint},
    terms::{Land, LogId, SemVer, ServiceId},
    wire::{
        peer::{Hello, peer_message::Message},
        registry as wire,
    },
};
use uuid::Uuid;

pub(crate) use author::Author;
pub(crate) use brief::brief;

use crate::{
    authorize::PeerIdentity,
    fence::FencePolicy,
    limits,
    log::{OwnServices, Ticket},
    node::{Effect, Input, Node, Setup},
    now::Now,
    replicate::SessionId,
    submission::{Prepared, Submission},
};

/// The node under test is that of the Saarland; the others are its partners.
pub(crate) const LAENDER: [Land; 4] = [Land::HE, Land::RP, Land::SL, Land::TH];

/// 2026-01-01T00:00:00Z.
pub(crate) const START_MS: i64 = 1_767_225_600_000;

/// A node and everyone it could talk to.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) now: Now,
    pub(crate) charter: Charter,
    authors: BTreeMap<Land, Author>,
    /// Number of the last Follow per session and Land.
    follows: BTreeMap<(u64, String), u64>,
    /// What partners failed to do; told here and not among what [`Bench::input`] answers.
    pub(crate) lapses: Vec<String>,
}

// === impl Bench ===

impl Bench {
    /// Just started with an empty disk; nobody is connected.
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    /// The same with another start.
    pub(crate) fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let charter = charter(&LAENDER);
        let mut setup = Setup {
            charter,
            past: Vec::new(),
            me: peer(Land::SL),
            logs: Vec::new(),
            services: OwnServices::default(),
            resets: Vec::new(),
            evidence: Vec::new(),
            receipts: Vec::new(),
            cosigned: Vec::new(),
            seen: Default::default(),
            fence: FencePolicy::Strict,
            partners: [Land::RP].into(),
            moved: false,
            quiet_ms: limits::FENCE_QUIET_MS,
            entropy: [7; 32],
        };
        change(&mut setup);
        let charter = setup.charter.clone();
        let now = Now { mono_ms: 1, wall_ms: START_MS };
        let verbund = charter.id();
        let authors = LAENDER.map(|land| (land, Author::new(verbund, land, signer(land))));
        let node = Node::new(setup, now).expect("a member");
        let (authors, follows) = (authors.into(), BTreeMap::new());
        Self { node, now, charter, authors, follows, lapses: Vec::new() }
    }

    /// One whose fence is open; session 9 with Rheinland-Pfalz opened it and is closed again.
    pub(crate) fn open() -> Self {
        let mut bench = Self::new();
        bench.unfence();
        bench
    }

    /// Opens the fence through session 9 with Rheinland-Pfalz and closes the session again.
    pub(crate) fn unfence(&mut self) {
        let asked = self.connect(9, Land::RP);
        let nonce = asked.iter().find_map(|it| it.strip_prefix("9 <- ask #")).expect("waits");
        let nonce = nonce.parse().expect("a number");
        let own = self.author(Land::SL).head(0, 0);
        let said = self.say(9, Message::Heads(heads(vec![own], nonce)));
        assert!(said.contains(&"fence open".to_owned()), "{said:?}");
        self.input(Input::SessionClosed { session: SessionId(9) });
    }

    /// The owner of a log, to make entries and messages of.
    pub(crate) fn author(&mut self, land: Land) -> &mut Author {
        self.authors.get_mut(&land).expect("a member")
    }

    pub(crate) fn handle(&mut self, input: Input) -> Vec<Effect> {
        self.node.handle(self.now, input);
        let mut effects: Vec<Effect> = self.node.effects().collect();
        // the shell verifies what was told
        while let Some(at) = effects.iter().position(|it| matches!(it, Effect::VerifyCharters(_))) {
            let Effect::VerifyCharters(told) = effects.remove(at) else { break };
            let (session, verified) = (told.session, Some(Box::new(told.verify())));
            self.node.handle(self.now, Input::VerifiedCharters { session, verified });
            effects.extend(self.node.effects());
        }
        for effect in &effects {
            if let Effect::Send { session, message: Message::Follow(it) } = effect {
                self.follows.insert((session.0, it.land.clone()), it.follow);
            }
        }
        effects
    }

    pub(crate) fn input(&mut self, input: Input) -> Vec<String> {
        let effects = self.handle(input);
        self.said(&effects)
    }

    /// Effects in words; lapses are kept apart.
    fn said(&mut self, effects: &[Effect]) -> Vec<String> {
        let shown = effects.iter().filter(|it| !is_testimony(it));
        let (lapses, shown): (Vec<_>, Vec<_>) =
            shown.map(brief).partition(|it| it.starts_with("lapse "));
        self.lapses.extend(lapses);
        shown
    }

    /// A stream on which nothing is said yet.
    pub(crate) fn dial(&mut self, session: u64, land: Land, dialled: bool) -> Vec<String> {
        let session = SessionId(session);
        self.input(Input::SessionOpened { session, peer: partner(land), dialled })
    }

    /// A stream on which the partner has introduced itself.
    pub(crate) fn connect(&mut self, session: u64, land: Land) -> Vec<String> {
        self.dial(session, land, true);
        let hello = self.hello(land);
        self.say(session, Message::Hello(hello))
    }

    pub(crate) fn hello(&self, land: Land) -> Hello {
        Hello {
            verbund: Bytes::copy_from_slice(self.charter.id().as_bytes()),
            land: land.code().to_owned(),
            node: partner(land).node,
            protocol_min: 1,
            protocol_max: 1,
            features: Vec::new(),
            charter: self.charter.number(),
        }
    }

    pub(crate) fn say(&mut self, session: u64, message: Message) -> Vec<String> {
        self.input(Input::Received { session: SessionId(session), message })
    }

    /// The partner says it holds `held` entries under a checkpoint of `signed`.
    pub(crate) fn tell(&mut self, session: u64, of: Land, held: u64, signed: u64) -> Vec<String> {
        let head = self.author(of).head(held, signed);
        self.say(session, Message::Heads(heads(vec![head], 0)))
    }

    /// The partner sends entries `from..to` under a checkpoint of `signed`.
    pub(crate) fn send(
        &mut self,
        session: u64,
        of: Land,
        from: u64,
        to: u64,
        signed: u64,
    ) -> Vec<String> {
        let mut batch = self.author(of).batch(from, to, signed);
        batch.follow = self.follow(session, of);
        self.say(session, Message::Batch(batch))
    }

    /// Number of the last Follow the partner got.
    pub(crate) fn follow(&self, session: u64, of: Land) -> u64 {
        self.follows.get(&(session, of.code().to_owned())).copied().unwrap_or_default()
    }

    /// The oldest group under way of a log is durable.
    pub(crate) fn stored(&mut self, land: Land) -> Vec<String> {
        self.input(Input::Stored { log: log(land), learned: Vec::new() })
    }

    /// Both clocks go on, and nothing happens.
    pub(crate) fn freeze(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += i64::try_from(ms).expect("a short time");
    }

    /// Lets time pass, in which the node sees that it runs.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut left = ms;
        while left > 0 {
            let step = left.min(limits::FROZEN_MS);
            self.freeze(step);
            left -= step;
            if left > 0 {
                effects.extend(self.handle(Input::Due));
            }
        }
        effects
    }

    /// Lets time pass, then ticks.
    pub(crate) fn later(&mut self, ms: u64) -> Vec<String> {
        let mut effects = self.pass(ms);
        effects.extend(self.handle(Input::Tick));
        self.said(&effects)
    }

    /// Publishes and answers in words; the shell has done nothing yet.
    pub(crate) fn submit(&mut self, ticket: u64, submission: Submission) -> Vec<Effect> {
        self.handle(Input::Submit { ticket: Ticket(ticket), submission })
    }

    /// The commit is durable, signed as ordered.
    pub(crate) fn committed(&mut self, checkpoint: Checkpoint) -> Vec<String> {
        let signed = self.sign(checkpoint);
        self.input(Input::Committed { signed })
    }

    pub(crate) fn sign(&self, checkpoint: Checkpoint) -> SignedCheckpoint {
        let seconds = u64::try_from(self.now.wall_ms / 1_000).expect("after 1970");
        checkpoint.sign(&signer(Land::SL), seconds).expect("signed")
    }

    pub(crate) fn folded(&mut self, size: u64) -> Vec<String> {
        self.input(Input::Folded { size })
    }
}

pub(crate) fn log(land: Land) -> LogId {
    LogId { land, epoch: 1 }
}

pub(crate) fn peer(land: Land) -> PeerIdentity {
    PeerIdentity { land, node: format!("{}-1.example", land.code().to_lowercase()) }
}

/// The node of a Land that talks to the one under test; of its own Land that is another one.
pub(crate) fn partner(land: Land) -> PeerIdentity {
    let number = if land == Land::SL { 2 } else { 1 };
    PeerIdentity { land, node: format!("{}-{number}.example", land.code().to_lowercase()) }
}

pub(crate) fn heads(
    heads: Vec<registry_proto::wire::peer::Head>,
    nonce: u64,
) -> registry_proto::wire::peer::Heads {
    registry_proto::wire::peer::Heads { heads, nonce }
}

pub(crate) fn signer(land: Land) -> LogSigner {
    LogSigner::new(key(land, 1), key(land, 2))
}

/// A reset of an epoch that keeps what `root` covers, with the consent of these members.
pub(crate) fn reset(log: LogId, size: u64, root: Hash, consents: &[Land]) -> Reset {
    let verbund = charter(&LAENDER).id();
    let said = EpochReset { log, size, root, reason: "verloren".to_owned(), unix_ms: START_MS };
    let mut reset = said.sign(verbund, &key(log.land, 3).into()).expect("signed");
    for land in consents {
        let signer = signer(*land);
        reset = reset.countersign(verbund, *land, signer.freshness(), START_MS).expect("signed");
    }
    reset
}

/// A submission of records `(service, version, content)`; a record without version is a
/// definition.
pub(crate) fn submission(records: &[(u128, Option<&str>, &str)]) -> Submission {
    let records: Vec<_> = records.iter().enumerate().map(|(at, it)| prepared(at, *it)).collect();
    Submission {
        records,
        ack_peers: 0,
        dry_run: false,
        pseudonym: "p-test".to_owned(),
        request: None,
        refused: None,
        rules: [].into(),
        permitted: true,
        needs_second: false,
    }
}

/// A submission of one definition.
pub(crate) fn definition(service: u128) -> Submission {
    submission(&[(service, None, "content")])
}

fn prepared(at: usize, (service, version, content): (u128, Option<&str>, &str)) -> Prepared {
    let service = Uuid::from_u128(service);
    let body: Bytes = match version {
        None => Bytes::copy_from_slice(content.as_bytes()),
        Some(version) => wire::ServiceVersion {
            service_id: service.to_string(),
            version: version.to_owned(),
            lizenz: content.to_owned(),
            ..wire::ServiceVersion::default()
        }
        .encode_to_vec()
        .into(),
    };
    let kind = version.map_or(Kind::ServiceDefinition, |_| Kind::ServiceVersion);
    Prepared {
        version: version.map(|it| it.parse::<SemVer>().expect("a version")),
        path: format!("records[{at}]"),
        ..Prepared::of(kind, ServiceId::from(service), [3; 16], body)
    }
}

fn key(land: Land, what: u8) -> SigningKey {
    let mut seed = [what; 32];
    seed[..land.code().len()].copy_from_slice(land.code().as_bytes());
    SigningKey::from_bytes(&seed)
}

pub(crate) fn charter(laender: &[Land]) -> Charter {
    let public = |key: &SigningKey| Bytes::copy_from_slice(key.verifying_key().as_bytes());
    let members: Vec<_> = laender
        .iter()
        .map(|land| wire::Member {
            land: land.code().to_owned(),
            log_key: public(&key(*land, 1)),
            freshness_key: public(&key(*land, 2)),
            offline_key: public(&key(*land, 3)),
            nodes: vec![wire::MemberNode {
                name: peer(*land).node,
                spki_pins: vec![Bytes::copy_from_slice(&[*land as u8; 32])],
            }],
            anchors: Vec::new(),
            quota: None,
            ..wire::Member::default()
        })
        .collect();
    let charter = wire::Charter {
        format_level: 1,
        number: 0,
        name: "Verbund der Prüfungen".to_owned(),
        test: true,
        threshold: u32::try_from(members.len() * 2 / 3 + 1).expect("few members"),
        members,
        ..wire::Charter::default()
    };
    Charter::parse(charter.encode_to_vec().into()).expect("a valid charter")
}

/// The same with a quota of entries a day for one of them.
pub(crate) fn charter_with_quota(land: Land, entries_per_day: u64) -> Charter {
    let mut all = wire::Charter::decode(&charter(&LAENDER).raw()[..]).expect("a charter");
    let member = all.members.iter_mut().find(|it| it.land == land.code()).expect("a member");
    member.quota = Some(wire::Quota { entries_per_day, bytes_per_day: 0 });
    Charter::parse(all.encode_to_vec().into()).expect("a valid charter")
}

/// What nodes testify of logs has tests of its own; elsewhere it would only be in the way.
pub(crate) fn is_testimony(effect: &Effect) -> bool {
    match effect {
        Effect::Attest(_) | Effect::KeepReceipt(_) | Effect::KeepCosigned(_) => true,
        Effect::Send { message, .. } => {
            matches!(message, Message::Receipts(_) | Message::Cosignatures(_))
        }
        _ => false,
    }
}
