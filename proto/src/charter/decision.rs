//! Why votes do not prove that a charter followed another one.

use super::{DECISION_BYTES_MAX, DECISION_VOTES_MAX, VoteError};
use crate::{
    log::{CheckpointError, HeaderError, ProofRejected},
    terms::Land,
};

/// Why votes do not prove that a charter followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// About another charter.
    #[error("it is about charter {found}, expected {expected}")]
    Number {
        /// Number found.
        found: u64,
        /// Number of the charter.
        expected: u64,
    },
    /// No charter that follows another one here has its number.
    #[error("no charter that it could prove is here")]
    NoCharter,
    /// The bytes are no proof.
    #[error("the bytes are no proof of votes")]
    Undecodable,
    /// Another one about the same charter came with it.
    #[error("there is more than one for this charter")]
    Twice,
    /// Too long, or too many votes.
    #[error("at most {DECISION_BYTES_MAX} bytes and {DECISION_VOTES_MAX} votes")]
    TooLong,
    /// A second vote of a member in a round.
    #[error("{land} is there more than once in round {round}")]
    VotesTwice {
        /// Whose.
        land: Land,
        /// The round.
        round: u32,
    },
    /// A vote is not proved.
    #[error("vote {at} is not proved")]
    Vote {
        /// Which, from 1.
        at: usize,
        /// Why.
        #[source]
        source: VoteUnproved,
    },
    /// The votes are there, and do not decide on this charter.
    #[error("the votes do not decide on this charter")]
    Undecided,
}

/// Why a vote is not proved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteUnproved {
    /// The header does not parse.
    #[error("the header does not parse")]
    Header(#[source] HeaderError),
    /// An entry of another Verbund, or no vote.
    #[error("the entry is no vote about a charter of this Verbund")]
    Foreign,
    /// The Land does not vote under the charter that is followed.
    #[error("{0} does not vote under the charter that is followed")]
    NoVoter(Land),
    /// Names a successor that is not there.
    #[error("the successor it is for is not there")]
    Choice,
    /// Not the body that the header names.
    #[error("the body is not the one that the header speaks of")]
    Body,
    /// The body is no vote.
    #[error("the body is no vote")]
    Vote(#[source] VoteError),
    /// The head is not signed with the keys that the charter names.
    #[error("the head of the log does not verify under the charter that is followed")]
    Checkpoint(#[source] CheckpointError),
    /// The way from the entry to the head.
    #[error("the proof does not lead from the entry to the head")]
    Inclusion(#[source] ProofRejected),
    /// A hash of the proof is none.
    #[error("a hash of the proof has no 32 bytes")]
    Hash,
}
