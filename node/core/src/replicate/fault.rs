//! What partners can do wrong, named by the deed.

use registry_proto::{
    charter::{CharterError, DecisionError},
    epoch::ResetError,
    evidence::EvidenceError,
    log::{CheckpointError, HeaderError, ProofRejected},
    receipt::ReceiptError,
    terms::LogId,
};

use crate::limits;

/// A partner broke the protocol.
///
/// A fault in the entries of a batch only turns this node away from the partner for that log:
/// its other logs may be fine. Every other fault ends the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// The first message was no Hello.
    #[error("spoke before it said hello")]
    SpokeBeforeHello,
    /// A second Hello.
    #[error("said hello twice")]
    HelloTwice,
    /// Hello of another Verbund.
    #[error("belongs to another Verbund ({0})")]
    OtherVerbund(String),
    /// Hello names another Land or node than the certificate.
    #[error("says it is {said}, its certificate says {certified}")]
    OtherIdentity {
        /// What Hello says.
        said: String,
        /// What the certificate proves.
        certified: String,
    },
    /// A stream that shows the certificate of this node.
    #[error("shows the certificate of this node: a copy of it runs, or its key was stolen")]
    OwnIdentity,
    /// No protocol version in common.
    #[error("speaks protocol versions {min} to {max}, this node speaks 1")]
    NoCommonProtocol {
        /// Lowest of the partner.
        min: u32,
        /// Highest of the partner.
        max: u32,
    },
    /// More heads in one message than a charter can have logs, or than this one has.
    #[error("sent {0} heads, more than there are logs")]
    TooManyHeads(usize),
    /// More heads told or asked for than the limit per second.
    #[error("tells or asks for heads faster than {} a second", limits::HEADS_PER_SECOND)]
    TooFast,
    /// A head that contradicts its own checkpoint.
    #[error("claims {size} entries of {log} under a checkpoint of {signed}")]
    HeadBeyondCheckpoint {
        /// The log.
        log: LogId,
        /// Entries it claims.
        size: u64,
        /// Size its checkpoint signs.
        signed: u64,
    },
    /// A checkpoint that does not verify.
    #[error("sent a bad checkpoint of {log}")]
    Checkpoint {
        /// The log.
        log: LogId,
        /// Why.
        #[source]
        source: CheckpointError,
    },
    /// A checkpoint of entries that do not count by the charter in force: behind the end of the log
    /// of a member that was suspended or removed, or signed by keys that were replaced.
    #[error("sent entries of {log} that do not count by the charter in force ({size} are signed)")]
    BeyondCut {
        /// The log.
        log: LogId,
        /// Size its checkpoint signs.
        size: u64,
    },
    /// More evidence in one message than there can be logs.
    #[error("sent {0} pieces of evidence, more than there can be logs")]
    TooMuchEvidence(usize),
    /// Evidence that proves nothing.
    #[error("sent evidence that proves nothing")]
    Evidence {
        /// Why.
        #[source]
        source: EvidenceError,
    },
    /// More resets in one message than a log can have epochs.
    #[error("sent {0} resets in one message, more than a log can have epochs")]
    TooManyResets(usize),
    /// A reset that is malformed, not signed by whom it names, or lacks countersignatures.
    #[error("sent a reset of a log that does not count")]
    Reset {
        /// Why.
        #[source]
        source: ResetError,
    },
    /// Asked for charters again at once.
    #[error("asks for charters again within {} s", limits::CHARTERS_SHOWN_EVERY_MS / 1_000)]
    AskedAgain,
    /// More charters in one answer than the limit.
    #[error("sent {0} charters in one message, more than the limit")]
    TooManyCharters(usize),
    /// A charter that does not follow the one that was named when it was asked for.
    #[error("sent a charter that does not follow the one before")]
    Charter(#[source] CharterError),
    /// What it shows as proof of a vote about a charter is none.
    #[error("sent a proof that charter {number} was decided on, and it does not hold")]
    CharterProof {
        /// Number of the charter.
        number: u64,
        /// Why.
        #[source]
        source: DecisionError,
    },
    /// More receipts or cosignatures in one message than the limit.
    #[error("sent {0} statements in one message, more than the limit")]
    TooMuchTestimony(usize),
    /// A receipt that does not verify.
    #[error("sent a receipt that does not verify")]
    Receipt {
        /// Why.
        #[source]
        source: ReceiptError,
    },
    /// A batch that does not start where the last one ended.
    #[error("sent {log} from {first}, expected {expected}")]
    NotContiguous {
        /// The log.
        log: LogId,
        /// First index it sent.
        first: u64,
        /// First index expected.
        expected: u64,
    },
    /// A batch beyond the limits, or an empty one.
    #[error("sent a batch of {entries} entries and {bytes} bytes of {log}")]
    BatchSize {
        /// The log.
        log: LogId,
        /// Entries.
        entries: usize,
        /// Bytes.
        bytes: usize,
    },
    /// More under way than the credit allows.
    #[error("sent more of {log} than its credit")]
    CreditExceeded {
        /// The log.
        log: LogId,
    },
    /// A batch that goes beyond its checkpoint.
    #[error("sent {log} up to {upto} under a checkpoint of {signed}")]
    BatchBeyondCheckpoint {
        /// The log.
        log: LogId,
        /// End of the batch.
        upto: u64,
        /// Size its checkpoint signs.
        signed: u64,
    },
    /// The entries are not those the owner signed.
    #[error("sent entries of {log} that its owner did not sign")]
    Proof {
        /// The log.
        log: LogId,
        /// Why.
        #[source]
        source: ProofRejected,
    },
    /// A body that is not the one the header promises.
    #[error("sent another body than the header of {log}/{index} promises")]
    Body {
        /// The log.
        log: LogId,
        /// The entry.
        index: u64,
    },
}

/// What a partner failed to do, or did in vain, without breaking the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Said nothing for too long; its stream is ended.
    Silent,
    /// Had more of a log and delivered nothing; another partner is asked.
    Stalled,
    /// Told a head that does not count by the charter in force here.
    UncountedHead,
    /// Served another history of an epoch than the one that its reset keeps; another partner is asked.
    OtherHistory,
    /// Showed entries of the past of this node's Land without bodies, for erasures that a reset discarded:
    /// others may have them and are asked too.
    BodiesGone,
    /// Told a reset that counts by an earlier charter, or maybe by a later one, and not here.
    UncountedReset,
    /// Runs under a later charter and did not prove the next one when it was asked.
    UnprovedCharter,
    /// Runs under a later charter, and another one in the place of that in force here.
    OtherCharter,
    /// Told a charter that keeps no rules that this software knows.
    UnreadableCharter,
}

/// The owner of a log signed something no owner may sign. Nobody accepts more of that log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerFault {
    /// Two signed heads that cannot both be true.
    #[error("{log} has two signed heads that contradict each other from {size} entries on")]
    Equivocation {
        /// The log.
        log: LogId,
        /// The smaller of the two sizes.
        size: u64,
    },
    /// A signed entry whose header cannot be read.
    #[error("{log}/{index} has a header that cannot be read")]
    Header {
        /// The log.
        log: LogId,
        /// The entry.
        index: u64,
        /// Why.
        #[source]
        source: HeaderError,
    },
    /// A signed entry that says it stands elsewhere.
    #[error("{log}/{index} says it is {said}")]
    Misplaced {
        /// The log.
        log: LogId,
        /// Where it stands.
        index: u64,
        /// Where it says it stands.
        said: String,
    },
    /// An epoch that does not begin with the reset that made it, or a reset within an epoch.
    #[error("{log}/{index} is no such entry as the beginning of its epoch demands")]
    Beginning {
        /// The log.
        log: LogId,
        /// The entry.
        index: u64,
    },
    /// Recorded time went back.
    #[error("{log}/{index} is recorded before the entry in front of it")]
    TimeWentBack {
        /// The log.
        log: LogId,
        /// The entry.
        index: u64,
    },
}

// === impl PeerFault ===

impl PeerFault {
    /// Label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::SpokeBeforeHello => "spoke_before_hello",
            Self::HelloTwice => "hello_twice",
            Self::OtherVerbund(_) => "other_verbund",
            Self::OtherIdentity { .. } => "other_identity",
            Self::OwnIdentity => "own_identity",
            Self::NoCommonProtocol { .. } => "no_common_protocol",
            Self::TooManyHeads(_) => "too_many_heads",
            Self::TooFast => "too_fast",
            Self::HeadBeyondCheckpoint { .. } => "head_beyond_checkpoint",
            Self::Checkpoint { .. } => "checkpoint",
            Self::BeyondCut { .. } => "beyond_cut",
            Self::TooMuchEvidence(_) => "too_much_evidence",
            Self::Evidence { .. } => "evidence",
            Self::TooManyResets(_) => "too_many_resets",
            Self::Reset { .. } => "epoch_reset",
            Self::AskedAgain => "asked_again",
            Self::TooManyCharters(_) => "too_many_charters",
            Self::Charter(_) => "charter",
            Self::CharterProof { .. } => "charter_proof",
            Self::TooMuchTestimony(_) => "too_much_testimony",
            Self::Receipt { .. } => "receipt",
            Self::NotContiguous { .. } => "not_contiguous",
            Self::BatchSize { .. } => "batch_size",
            Self::CreditExceeded { .. } => "credit_exceeded",
            Self::BatchBeyondCheckpoint { .. } => "batch_beyond_checkpoint",
            Self::Proof { .. } => "proof",
            Self::Body { .. } => "body",
        }
    }
}

// === impl Lapse ===

impl Lapse {
    /// Whether a partner that runs under a later charter told nothing that leads there.
    pub fn is_about_charters(self) -> bool {
        match self {
            Self::UnprovedCharter | Self::OtherCharter | Self::UnreadableCharter => true,
            Self::Silent
            | Self::Stalled
            | Self::UncountedHead
            | Self::OtherHistory
            | Self::BodiesGone
            | Self::UncountedReset => false,
        }
    }

    /// Label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::UncountedHead => "uncounted_head",
            Self::OtherHistory => "other_history",
            Self::BodiesGone => "bodies_gone",
            Self::UncountedReset => "uncounted_reset",
            Self::UnprovedCharter => "unproved_charter",
            Self::OtherCharter => "other_charter",
            Self::UnreadableCharter => "unreadable_charter",
        }
    }
}

// === impl OwnerFault ===

impl OwnerFault {
    /// The log whose owner it was.
    pub fn log(&self) -> LogId {
        match self {
            Self::Equivocation { log, .. }
            | Self::Header { log, .. }
            | Self::Misplaced { log, .. }
            | Self::Beginning { log, .. }
            | Self::TimeWentBack { log, .. } => *log,
        }
    }

    /// Label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Equivocation { .. } => "equivocation",
            Self::Header { .. } => "header",
            Self::Misplaced { .. } => "misplaced",
            Self::Beginning { .. } => "epoch_beginning",
            Self::TimeWentBack { .. } => "time_went_back",
        }
    }
}
