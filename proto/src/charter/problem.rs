//! What can be wrong with a charter.

use std::fmt;

use super::{
    CHARTER_BYTES_MAX, FORMER_KEYS_MAX, MEMBER_NODES_MAX, MEMBERS_MAX, NAME_CHARS_MAX, TRUST_MAX,
    successor::SuccessorProblem,
};
use crate::{
    epoch::EPOCHS_MAX,
    terms::{Land, ParseLandError},
};

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
    /// No genesis charter.
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
        /// Active members.
        members: usize,
    },
    /// Nobody would be left to vote.
    #[error("members: no active member")]
    NoVoter,
    /// A genesis charter has neither a predecessor nor a past.
    #[error("{field}: stands in successors only")]
    NotInGenesis {
        /// What stands there.
        field: &'static str,
    },
    /// A state that this software does not know.
    #[error("members[{member}].state: {found} is not known")]
    State {
        /// Which member.
        member: usize,
        /// Number found.
        found: i32,
    },
    /// A cut where none belongs, or none where one belongs, or one that is no place in a log.
    #[error("members[{member}].{field}: expected epoch, size and root of 32 bytes, or nothing")]
    Cut {
        /// Which member.
        member: usize,
        /// Which cut.
        field: &'static str,
    },
    /// Former keys beyond the limit, or whose cuts do not ascend.
    #[error("members[{member}].former_keys: at most {FORMER_KEYS_MAX}, with cuts that ascend")]
    FormerKeys {
        /// Which member.
        member: usize,
    },
    /// Resets beyond the limit, or one that is no digest.
    #[error(
        "members[{member}].epoch_resets: expected digests of 32 bytes, fewer than {EPOCHS_MAX}"
    )]
    EpochResets {
        /// Which member.
        member: usize,
    },
    /// A removed member has nodes or anchors.
    #[error("members[{member}]: a removed member has neither nodes nor anchors")]
    RemovedSpeaks {
        /// Which member.
        member: usize,
    },
    /// Does not follow the charter it was held against.
    #[error("{0}")]
    Successor(#[from] SuccessorProblem),
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
