//! The charter: who is a member, and under which keys, names and anchors. The genesis charter
//! founds a Verbund, a successor names the charter it follows, and a vote says which one.

mod check;
mod decision;
mod problem;
mod resets;
mod successor;
mod vote;

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use prost::Message as _;

use crate::{
    epoch::Ended,
    log::{Former, Hash, Keyring, LogKeys, VerbundId},
    terms::Land,
    wire::registry as wire,
};

use check::Checker;
pub use decision::{DecisionError, VoteUnproved};
pub use problem::{CharterError, CharterProblem};
pub use successor::{Change, SuccessorProblem};
pub use vote::{CharterVote, CitedVote, ROUNDS_MAX, VoteError};

/// Bytes of an encoded charter.
pub const CHARTER_BYTES_MAX: usize = 1 << 20;
/// Bytes of a file with a genesis charter and its successors.
pub const CHAIN_BYTES_MAX: usize = 16 << 20;
/// Bytes of an encoded successor, so that a vote carries it in its body.
pub const SUCCESSOR_BYTES_MAX: usize = 512 << 10;
/// Bytes of the encoded proof that a charter was decided on.
pub const DECISION_BYTES_MAX: usize = 1 << 20;
/// Votes in it.
pub const DECISION_VOTES_MAX: usize = 8 * MEMBERS_MAX;
/// Members.
pub const MEMBERS_MAX: usize = 64;
/// Nodes of a member.
pub const MEMBER_NODES_MAX: usize = 16;
/// Pins of a node, anchors of a member.
pub const TRUST_MAX: usize = 16;
/// Characters of the name of a Verbund.
pub const NAME_CHARS_MAX: usize = 200;

/// Entries a Land may add to its log in a day, unless the charter names another number.
pub const QUOTA_ENTRIES_DEFAULT: u64 = 5_000_000;
/// Bytes of headers and bodies a Land may add to its log in a day, unless the charter names another
/// number.
pub const QUOTA_BYTES_DEFAULT: u64 = 16 << 30;
/// Keys of a log that were replaced, of one member.
pub const FORMER_KEYS_MAX: usize = 64;

const _: () = assert!(SUCCESSOR_BYTES_MAX <= CHARTER_BYTES_MAX);

/// A charter that keeps every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charter {
    raw: Bytes,
    id: VerbundId,
    digest: Hash,
    number: u64,
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
    /// Whether it takes part.
    pub standing: Standing,
    /// Keys of its log before [`Member::keys`], oldest first.
    pub former: Vec<FormerKeys>,
    /// The resets that ended epochs of its log, from epoch 1 on: SHA-256 of what it signed.
    pub resets: Vec<Hash>,
}

/// Whether a member takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It votes, its nodes replicate, its log counts.
    Active,
    /// It may come back; until then it does not vote, and its log counts up to the cut.
    Suspended(LogCut),
    /// Its log counts up to the cut.
    Removed(LogCut),
}

/// A place in a log: what stands before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogCut {
    /// Epoch.
    pub epoch: u64,
    /// Entries of the epoch.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// Keys of a log that were replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerKeys {
    /// The keys.
    pub keys: LogKeys,
    /// They count up to here.
    pub cut: LogCut,
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

// === impl Charter ===

impl Charter {
    /// Reads the bytes of a genesis charter and checks every rule; all problems are reported.
    ///
    /// # Errors
    ///
    /// [`CharterError`] with everything that is wrong.
    pub fn parse(raw: Bytes) -> Result<Self, CharterError> {
        if raw.len() > CHARTER_BYTES_MAX {
            return Err(CharterProblem::TooLong { found: raw.len() }.into());
        }
        let charter = wire::Charter::decode(&raw[..]).map_err(|_| CharterProblem::Undecodable)?;
        let mut checker = Checker::default();
        checker.genesis(&charter);
        let members = checker.all(&charter);
        if !checker.problems.is_empty() {
            return Err(CharterError { problems: checker.problems });
        }
        let digest = Hash::of(&raw);
        Ok(Self {
            id: VerbundId::from_hash(digest),
            digest,
            number: 0,
            raw,
            name: charter.name,
            is_test: charter.test,
            threshold: charter.threshold,
            members,
        })
    }

    /// Reads a genesis charter, or an encoded [`wire::CharterChain`]: at least one charter, each
    /// following the one before it.
    ///
    /// # Errors
    ///
    /// [`CharterError`] about the first one that breaks a rule.
    pub fn chain(raw: Bytes) -> Result<Vec<Self>, CharterError> {
        Ok(Self::chain_and_decisions(raw)?.0)
    }

    /// The same, with what is said about why each one followed. Nothing of that is verified here.
    ///
    /// # Errors
    ///
    /// As for [`Charter::chain`].
    pub fn chain_and_decisions(
        raw: Bytes,
    ) -> Result<(Vec<Self>, Vec<wire::CharterDecision>), CharterError> {
        // the first field of a charter is a number, that of a chain is bytes
        if raw.first() != Some(&CHAIN_TAG) {
            return Ok((vec![Self::parse(raw)?], Vec::new()));
        }
        if raw.len() > CHAIN_BYTES_MAX {
            return Err(CharterProblem::TooLong { found: raw.len() }.into());
        }
        let chain = wire::CharterChain::decode(raw).map_err(|_| CharterProblem::Undecodable)?;
        let mut charters: Vec<Self> = Vec::with_capacity(chain.charters.len());
        for raw in chain.charters {
            let next = match charters.last() {
                None => Self::parse(raw)?,
                Some(last) => last.successor(raw)?.0,
            };
            charters.push(next);
        }
        Ok((charters, chain.decisions))
    }

    /// The bytes that [`Charter::chain_and_decisions`] reads. Where they would be more than
    /// [`CHAIN_BYTES_MAX`], decisions are left out, the oldest first.
    pub fn encode_chain(charters: Vec<Bytes>, decisions: Vec<wire::CharterDecision>) -> Vec<u8> {
        Self::encode_chain_with(charters, decisions, &Ended::new())
    }

    /// The same with resets that a node has taken, for drafts of the next charter.
    pub fn encode_chain_with(
        charters: Vec<Bytes>,
        decisions: Vec<wire::CharterDecision>,
        ended: &Ended,
    ) -> Vec<u8> {
        let mut chain = wire::CharterChain { charters, decisions, taken: resets::encoded(ended) };
        while chain.encoded_len() > CHAIN_BYTES_MAX && !chain.decisions.is_empty() {
            chain.decisions.remove(0);
        }
        chain.encode_to_vec()
    }

    /// Id of the Verbund: SHA-256 of the bytes of its genesis charter.
    pub fn id(&self) -> VerbundId {
        self.id
    }

    /// SHA-256 of [`Charter::raw`]; what votes name it by.
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// 0 for the genesis charter, one more for each successor.
    pub fn number(&self) -> u64 {
        self.number
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

    /// Members that vote.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|it| it.is_active())
    }

    /// Members in the order of their Land code, also those that were suspended or removed.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member for a Land.
    pub fn member(&self, land: Land) -> Option<&Member> {
        let at = self.members.binary_search_by_key(&land, |member| member.land);
        at.ok().and_then(|at| self.members.get(at))
    }
}

// === impl Quota ===

impl Quota {
    /// Entries a day that count.
    pub fn entries(&self) -> u64 {
        if self.entries_per_day == 0 { QUOTA_ENTRIES_DEFAULT } else { self.entries_per_day }
    }

    /// Bytes a day that count.
    pub fn bytes(&self) -> u64 {
        if self.bytes_per_day == 0 { QUOTA_BYTES_DEFAULT } else { self.bytes_per_day }
    }
}

// === impl Member ===

impl Member {
    /// Whether it votes and its nodes may speak for it.
    pub fn is_active(&self) -> bool {
        self.standing == Standing::Active
    }

    /// End of what counts of its log; `None` while everything does.
    pub fn cut(&self) -> Option<LogCut> {
        match self.standing {
            Standing::Active => None,
            Standing::Suspended(cut) | Standing::Removed(cut) => Some(cut),
        }
    }

    /// The keys under which the entries of its log up to a place count.
    pub fn keys_at(&self, epoch: u64, size: u64) -> &LogKeys {
        let within = |it: &&FormerKeys| (epoch, size) <= (it.cut.epoch, it.cut.size);
        self.former.iter().find(within).map_or(&self.keys, |it| &it.keys)
    }

    /// The keys of its log over time.
    pub fn keyring(&self) -> Keyring {
        let former = self
            .former
            .iter()
            .map(|it| Former { keys: it.keys.clone(), upto: (it.cut.epoch, it.cut.size) });
        Keyring::new(former.collect(), self.keys.clone())
    }

    /// Where the keys before the ones in use were replaced; `None` if they never were.
    pub fn replaced_at(&self) -> Option<LogCut> {
        self.former.last().map(|it| it.cut)
    }
}

/// First byte of an encoded [`wire::CharterChain`]: field 1, bytes.
const CHAIN_TAG: u8 = 0x0a;
