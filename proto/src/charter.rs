//! The charter: who is a member, and under which keys, names and anchors.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use prost::Message;

use crate::{
    log::{Hash, LogKeys, VerbundId},
    terms::{Land, ParseLandError},
    wire::registry as wire,
};

/// Bytes of an encoded charter.
pub const CHARTER_BYTES_MAX: usize = 1 << 20;
/// Members.
pub const MEMBERS_MAX: usize = 64;
/// Nodes of a member.
pub const MEMBER_NODES_MAX: usize = 16;
/// Pins of a node, anchors of a member.
pub const TRUST_MAX: usize = 16;
/// Characters of the name of a Verbund.
pub const NAME_CHARS_MAX: usize = 200;

/// A genesis charter that keeps every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    raw: Bytes,
    id: VerbundId,
    name: String,
    is_test: bool,
    threshold: u32,
    members: Vec<Member>,
}

/// A Land in the charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which Land.
    pub land: Land,
    /// Keys of its log.
    pub keys: LogKeys,
    /// Key kept offline, for epoch resets.
    pub offline_key: VerifyingKey,
    /// Nodes that may speak for it, at least one.
    pub nodes: Vec<MemberNode>,
    /// Certificates (DER) under which the names of its nodes count. Not parsed here.
    pub anchors: Vec<Bytes>,
    /// What it may add to its log per day.
    pub quota: Quota,
}

/// A node of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberNode {
    /// DNS name, lower case; no other node of the charter has it.
    pub name: String,
    /// SHA-256 over the SubjectPublicKeyInfo of its certificate.
    pub spki_pins: Vec<[u8; 32]>,
}

/// Limits of a log; 0 means the built-in default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Bytes a day.
    pub bytes_per_day: u64,
    /// Entries a day.
    pub entries_per_day: u64,
}

/// Everything that is wrong with a charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharterError {
    /// At least one.
    pub problems: Vec<CharterProblem>,
}

/// One thing that is wrong with a charter. Members, nodes, pins and anchors count from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CharterProblem {
    /// Too many bytes; nothing else was looked at.
    #[error("a charter has at most {CHARTER_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No protobuf message of this form; nothing else was looked at.
    #[error("the bytes are no encoded charter")]
    Undecodable,
    /// Made by newer software.
    #[error("format_level is {found}, expected 1")]
    FormatLevel {
        /// Level found.
        found: u32,
    },
    /// Only the genesis charter is known to this software.
    #[error("number is {found}, expected 0 (the genesis charter)")]
    Number {
        /// Number found.
        found: u64,
    },
    /// No name, a long one, or one with control characters.
    #[error("name must have 1 to {NAME_CHARS_MAX} characters and no control characters")]
    Name,
    /// No member, or too many.
    #[error("members: expected 1 to {MEMBERS_MAX}, found {found}")]
    MemberCount {
        /// Members found.
        found: usize,
    },
    /// The threshold allows two successors, or none.
    #[error("threshold is {found}, expected {least} to {members}, more than two thirds of members")]
    Threshold {
        /// Threshold found.
        found: u32,
        /// Least that is allowed.
        least: usize,
        /// Members.
        members: usize,
    },
    /// The Land is not known.
    #[error("members[{member}].land: {source}")]
    Land {
        /// Which member.
        member: usize,
        /// What was found.
        source: ParseLandError,
    },
    /// Members do not ascend by the code of their Land, or one stands there twice.
    #[error("members[{member}].land: {land} must come before {before} and only once")]
    LandOrder {
        /// Which member.
        member: usize,
        /// Its Land.
        land: Land,
        /// The Land in front of it.
        before: Land,
    },
    /// A key is no Ed25519 public key.
    #[error("members[{member}].{field}: no Ed25519 public key of 32 bytes")]
    Key {
        /// Which member.
        member: usize,
        /// Which key.
        field: &'static str,
    },
    /// A key stands in the charter twice.
    #[error("members[{member}].{field}: this key stands in the charter already")]
    KeyTwice {
        /// Which member.
        member: usize,
        /// Which key.
        field: &'static str,
    },
    /// No node, or too many.
    #[error("members[{member}].nodes: expected 1 to {MEMBER_NODES_MAX}, found {found}")]
    NodeCount {
        /// Which member.
        member: usize,
        /// Nodes found.
        found: usize,
    },
    /// The name of a node is no DNS name in lower case.
    #[error("members[{member}].nodes[{node}].name: no DNS name in lower case")]
    NodeName {
        /// Which member.
        member: usize,
        /// Which node.
        node: usize,
    },
    /// Two nodes have one name.
    #[error("members[{member}].nodes[{node}].name: {name} stands in the charter already")]
    NodeNameTwice {
        /// Which member.
        member: usize,
        /// Which node.
        node: usize,
        /// The name.
        name: String,
    },
    /// Too many pins.
    #[error("members[{member}].nodes[{node}].spki_pins: at most {TRUST_MAX}, found {found}")]
    PinCount {
        /// Which member.
        member: usize,
        /// Which node.
        node: usize,
        /// Pins found.
        found: usize,
    },
    /// A pin is no SHA-256 hash.
    #[error("members[{member}].nodes[{node}].spki_pins[{pin}]: expected 32 bytes, found {found}")]
    Pin {
        /// Which member.
        member: usize,
        /// Which node.
        node: usize,
        /// Which pin.
        pin: usize,
        /// Bytes found.
        found: usize,
    },
    /// One pin would stand for two members.
    #[error("members[{member}].nodes[{node}].spki_pins[{pin}]: another member has this pin")]
    PinOfOther {
        /// Which member.
        member: usize,
        /// Which node.
        node: usize,
        /// Which pin.
        pin: usize,
    },
    /// No certificate could ever speak for the node.
    #[error("members[{member}].nodes[{node}]: neither a pin nor an anchor of the member")]
    NoTrust {
        /// Which member.
        member: usize,
        /// Which node.
        node: usize,
    },
    /// Too many anchors.
    #[error("members[{member}].anchors: at most {TRUST_MAX}, found {found}")]
    AnchorCount {
        /// Which member.
        member: usize,
        /// Anchors found.
        found: usize,
    },
    /// An anchor without bytes.
    #[error("members[{member}].anchors[{anchor}]: empty")]
    AnchorEmpty {
        /// Which member.
        member: usize,
        /// Which anchor.
        anchor: usize,
    },
}

// === impl Charter ===

impl Charter {
    /// Reads the bytes of a genesis charter and checks every rule; all problems are reported.
    pub fn parse(raw: Bytes) -> Result<Self, CharterError> {
        if raw.len() > CHARTER_BYTES_MAX {
            return Err(CharterProblem::TooLong { found: raw.len() }.into());
        }
        let charter = wire::Charter::decode(&raw[..]).map_err(|_| CharterProblem::Undecodable)?;
        let mut checker = Checker::default();
        checker.head(&charter);
        let members: Vec<_> = charter
            .members
            .iter()
            .enumerate()
            .take(MEMBERS_MAX)
            .filter_map(|(at, member)| checker.member(at, member))
            .collect();
        if !checker.problems.is_empty() {
            return Err(CharterError { problems: checker.problems });
        }
        Ok(Self {
            id: VerbundId::from_hash(Hash::of(&raw)),
            raw,
            name: charter.name,
            is_test: charter.test,
            threshold: charter.threshold,
            members,
        })
    }

    /// Id of the Verbund: SHA-256 of [`Charter::raw`].
    pub fn id(&self) -> VerbundId {
        self.id
    }

    /// The bytes, as they were distributed.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Name people read.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the Verbund was made for testing.
    pub fn is_test(&self) -> bool {
        self.is_test
    }

    /// Votes that a successor needs.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// Members in the order of their Land code.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member for a Land.
    pub fn member(&self, land: Land) -> Option<&Member> {
        let at = self.members.binary_search_by_key(&land, |member| member.land);
        at.ok().and_then(|at| self.members.get(at))
    }
}

// === impl CharterError ===

impl From<CharterProblem> for CharterError {
    fn from(problem: CharterProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for CharterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the charter breaks its rules: ")?;
        for (at, problem) in self.problems.iter().enumerate() {
            let comma = if at == 0 { "" } else { "; " };
            write!(f, "{comma}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CharterError {}

// === impl Checker ===

/// Collects problems; remembers what must be unique over the charter.
#[derive(Default)]
struct Checker {
    problems: Vec<CharterProblem>,
    keys: HashSet<[u8; 32]>,
    names: HashSet<String>,
    /// Pins and the members they stand for.
    pins: HashMap<[u8; 32], usize>,
    last_land: Option<Land>,
}

impl Checker {
    fn head(&mut self, charter: &wire::Charter) {
        if charter.format_level != 1 {
            self.problems.push(CharterProblem::FormatLevel { found: charter.format_level });
        }
        if charter.number != 0 {
            self.problems.push(CharterProblem::Number { found: charter.number });
        }
        let characters = charter.name.chars().count();
        if !(1..=NAME_CHARS_MAX).contains(&characters)
            || charter.name.trim().is_empty()
            || charter.name.chars().any(char::is_control)
        {
            self.problems.push(CharterProblem::Name);
        }
        let members = charter.members.len();
        if !(1..=MEMBERS_MAX).contains(&members) {
            self.problems.push(CharterProblem::MemberCount { found: members });
            return;
        }
        let least = members * 2 / 3 + 1;
        let found = charter.threshold;
        if !usize::try_from(found).is_ok_and(|t| (least..=members).contains(&t)) {
            self.problems.push(CharterProblem::Threshold { found, least, members });
        }
    }

    fn member(&mut self, at: usize, member: &wire::Member) -> Option<Member> {
        let land = self.land(at, &member.land);
        let log = self.key(at, "log_key", &member.log_key);
        let freshness = self.key(at, "freshness_key", &member.freshness_key);
        let offline_key = self.key(at, "offline_key", &member.offline_key);
        self.anchors(at, &member.anchors);
        let found = member.nodes.len();
        if !(1..=MEMBER_NODES_MAX).contains(&found) {
            self.problems.push(CharterProblem::NodeCount { member: at, found });
        }
        let has_anchor = !member.anchors.is_empty();
        let nodes = member.nodes.iter().enumerate().take(MEMBER_NODES_MAX);
        let nodes = nodes.map(|(node, wire)| self.node(at, node, wire, has_anchor)).collect();
        let quota = member.quota.unwrap_or_default();
        Some(Member {
            land: land?,
            keys: LogKeys { log: log?, freshness: freshness? },
            offline_key: offline_key?,
            nodes,
            anchors: member.anchors.clone(),
            quota: Quota {
                bytes_per_day: quota.bytes_per_day,
                entries_per_day: quota.entries_per_day,
            },
        })
    }

    fn land(&mut self, member: usize, text: &str) -> Option<Land> {
        let land = match text.parse() {
            Ok(land) => land,
            Err(source) => {
                self.problems.push(CharterProblem::Land { member, source });
                return None;
            }
        };
        match self.last_land {
            Some(before) if before >= land => {
                self.problems.push(CharterProblem::LandOrder { member, land, before });
            }
            _ => self.last_land = Some(land),
        }
        Some(land)
    }

    fn key(&mut self, member: usize, field: &'static str, bytes: &[u8]) -> Option<VerifyingKey> {
        let key = VerifyingKey::try_from(bytes).ok().filter(|key| !key.is_weak());
        match &key {
            None => self.problems.push(CharterProblem::Key { member, field }),
            Some(key) if !self.keys.insert(key.to_bytes()) => {
                self.problems.push(CharterProblem::KeyTwice { member, field });
            }
            Some(_) => {}
        }
        key
    }

    fn anchors(&mut self, member: usize, anchors: &[Bytes]) {
        if anchors.len() > TRUST_MAX {
            self.problems.push(CharterProblem::AnchorCount { member, found: anchors.len() });
        }
        for (anchor, der) in anchors.iter().enumerate().take(TRUST_MAX) {
            if der.is_empty() {
                self.problems.push(CharterProblem::AnchorEmpty { member, anchor });
            }
        }
    }

    fn node(
        &mut self,
        member: usize,
        node: usize,
        wire: &wire::MemberNode,
        has_anchor: bool,
    ) -> MemberNode {
        let name = wire.name.clone();
        if !is_dns_name(&name) {
            self.problems.push(CharterProblem::NodeName { member, node });
        } else if !self.names.insert(name.clone()) {
            let name = name.clone();
            self.problems.push(CharterProblem::NodeNameTwice { member, node, name });
        }
        let found = wire.spki_pins.len();
        if found > TRUST_MAX {
            self.problems.push(CharterProblem::PinCount { member, node, found });
        }
        if found == 0 && !has_anchor {
            self.problems.push(CharterProblem::NoTrust { member, node });
        }
        let mut spki_pins = Vec::with_capacity(found.min(TRUST_MAX));
        for (pin, bytes) in wire.spki_pins.iter().enumerate().take(TRUST_MAX) {
            match <[u8; 32]>::try_from(&bytes[..]) {
                Err(_) => {
                    let found = bytes.len();
                    self.problems.push(CharterProblem::Pin { member, node, pin, found });
                }
                Ok(hash) if *self.pins.entry(hash).or_insert(member) != member => {
                    self.problems.push(CharterProblem::PinOfOther { member, node, pin });
                }
                Ok(hash) => spki_pins.push(hash),
            }
        }
        MemberNode { name, spki_pins }
    }
}

/// Lower case, labels of letters, digits and inner hyphens; the last label is no number, so that
/// an IP address is no name.
fn is_dns_name(name: &str) -> bool {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number =
        name.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label_fits) && !last_is_number
}
