//! Proof, without any log, that members voted a charter into force.
//!
//! Each vote comes with a head that its member signed under the charter that is followed, and the
//! way from the entry to it; the votes are then counted as those in logs are. So a chain of charters
//! can be verified step by step from the genesis charter. What it cannot show is that a member said
//! something else before in its log: votes in logs go before it ([`Chain::follow_told`]).

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use registry_proto::{
    charter::{Charter, CharterVote, DECISION_BYTES_MAX, DECISION_VOTES_MAX},
    log::{Hash, Header, Kind, Origin, OwnerKeys as _, body_digest, check_inclusion, leaf_hash},
    terms::LogId,
    wire::registry::{self as wire, CharterDecision, CharterVoteProof},
};

pub use registry_proto::charter::{DecisionError, VoteUnproved};

use super::Chain;

/// A vote as it stands in a log, and what proves it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Header of the entry.
    pub header: Bytes,
    /// Salt of its body.
    pub salt: [u8; 16],
    /// Its body.
    pub body: Bytes,
    /// Signed head of the log that covers it.
    pub checkpoint: Bytes,
    /// From the entry to the head.
    pub proof: Vec<Hash>,
}

/// Accepts if the votes prove that the members of `before` decided on `next`, which MUST be a
/// successor of it.
///
/// # Errors
///
/// See [`DecisionError`].
pub fn verify(
    before: &Charter,
    next: &Charter,
    decision: &CharterDecision,
) -> Result<(), DecisionError> {
    deciding(before, next, decision).map(|_| ())
}

/// The votes of a proof that holds.
pub(super) fn deciding(
    before: &Charter,
    next: &Charter,
    decision: &CharterDecision,
) -> Result<Vec<Proved>, DecisionError> {
    let (found, expected) = (decision.number, next.number());
    if found != expected {
        return Err(DecisionError::Number { found, expected });
    }
    let fits =
        decision.votes.len() <= DECISION_VOTES_MAX && decision.encoded_len() <= DECISION_BYTES_MAX;
    if !fits {
        return Err(DecisionError::TooLong);
    }
    let mut votes = Vec::with_capacity(decision.votes.len());
    for (at, it) in decision.votes.iter().enumerate() {
        let vote = vote(before, next, &decision.others, it);
        votes.push(vote.map_err(|source| DecisionError::Vote { at: at + 1, source })?);
    }
    votes.sort_by_key(|it| (it.log, it.index));
    let mut chain = Chain::new(before.clone());
    for Proved { log, index, leaf, vote } in &votes {
        chain.take(*log, *index, *leaf, vote);
    }
    match chain.past().get(1) {
        Some(it) if it.charter.digest() == next.digest() => Ok(votes),
        _ => Err(DecisionError::Undecided),
    }
}

/// Makes the proof of votes as they stand in logs. Votes that cannot be proved are left out, for
/// example because the keys of their log were replaced since.
///
/// # Errors
///
/// What is left proves nothing; see [`DecisionError`].
pub fn assemble(
    before: &Charter,
    next: &Charter,
    votes: Vec<Standing>,
) -> Result<CharterDecision, DecisionError> {
    let mut decision = CharterDecision { number: next.number(), ..CharterDecision::default() };
    for it in votes {
        let Ok(mut said) = wire::CharterVote::decode(it.body) else { continue };
        let successor = std::mem::take(&mut said.successor);
        let choice = match place(&successor, next, &decision.others) {
            Some(choice) => choice,
            None => {
                decision.others.push(successor);
                decision.others.len() + 1
            }
        };
        let raw = |hash: &Hash| Bytes::copy_from_slice(hash.as_bytes());
        let proof = CharterVoteProof {
            header: it.header,
            salt: Bytes::copy_from_slice(&it.salt),
            vote: said.encode_to_vec().into(),
            choice: u32::try_from(choice).unwrap_or(u32::MAX),
            checkpoint: it.checkpoint,
            proof: it.proof.iter().map(raw).collect(),
        };
        if vote(before, next, &decision.others, &proof).is_ok() {
            decision.votes.push(proof);
        }
    }
    verify(before, next, &decision)?;
    Ok(decision)
}

/// Verifies all decisions that come with a chain of charters, the genesis charter first; by number.
/// What is not about a charter of the chain cannot be verified, so it is refused too.
///
/// # Errors
///
/// The number of the first decision that does not hold, and why.
pub fn verified(
    charters: &[Charter],
    decisions: Vec<CharterDecision>,
) -> Result<BTreeMap<u64, CharterDecision>, (u64, DecisionError)> {
    let steps = charters.windows(2).filter_map(|it| match it {
        [before, next] => Some((next.number(), (before, next))),
        _ => None,
    });
    let steps: BTreeMap<_, _> = steps.collect();
    let mut proved = BTreeMap::new();
    for it in decisions {
        let number = it.number;
        let (before, next) = steps.get(&number).ok_or((number, DecisionError::NoCharter))?;
        if proved.contains_key(&number) {
            return Err((number, DecisionError::Twice));
        }
        verify(before, next, &it).map_err(|why| (number, why))?;
        proved.insert(number, it);
    }
    Ok(proved)
}

/// The numbers of successors in a chain that come without a decision.
pub fn unproved(charters: &[Charter], decisions: &BTreeMap<u64, CharterDecision>) -> Vec<u64> {
    let successors = charters.iter().skip(1).map(Charter::number);
    successors.filter(|it| !decisions.contains_key(it)).collect()
}

/// A vote that stands in a log that its member signed.
pub(super) struct Proved {
    pub(super) log: LogId,
    pub(super) index: u64,
    pub(super) leaf: Hash,
    pub(super) vote: CharterVote,
}

fn vote(
    before: &Charter,
    next: &Charter,
    others: &[Bytes],
    it: &CharterVoteProof,
) -> Result<Proved, VoteUnproved> {
    let header = Header::parse(&it.header).map_err(VoteUnproved::Header)?;
    if header.verbund != before.id() || header.kind != Kind::CharterVote {
        return Err(VoteUnproved::Foreign);
    }
    let land = header.log.land;
    let member = before.member(land).filter(|it| it.is_active());
    let member = member.ok_or(VoteUnproved::NoVoter(land))?;
    let vote =
        CharterVote::decode(&body(&header, next, others, it)?).map_err(VoteUnproved::Vote)?;
    let mut proof = Vec::with_capacity(it.proof.len().min(64));
    for hash in &it.proof {
        proof.push(Hash::try_from(&hash[..]).map_err(|_| VoteUnproved::Hash)?);
    }
    // nobody can have voted about this charter before it replaced keys: those before do not count
    let origin = Origin { verbund: before.id(), log: header.log };
    let head = member.keys.verify(&it.checkpoint, &origin).map_err(VoteUnproved::Checkpoint)?;
    let leaf = leaf_hash(&it.header);
    check_inclusion(&proof, head.size(), head.root(), header.index, &leaf)
        .map_err(VoteUnproved::Inclusion)?;
    Ok(Proved { log: header.log, index: header.index, leaf, vote })
}

/// The body, with the successor put back.
fn body(
    header: &Header,
    next: &Charter,
    others: &[Bytes],
    it: &CharterVoteProof,
) -> Result<Vec<u8>, VoteUnproved> {
    let mut said = wire::CharterVote::decode(&it.vote[..]).map_err(|_| VoteUnproved::Body)?;
    said.successor = match it.choice as usize {
        0 => Bytes::new(),
        1 => next.raw().clone(),
        other => others.get(other - 2).cloned().ok_or(VoteUnproved::Choice)?,
    };
    let body = said.encode_to_vec();
    let salt = <&[u8; 16]>::try_from(&it.salt[..]).map_err(|_| VoteUnproved::Body)?;
    let promised =
        body.len() == header.body_length as usize && body_digest(salt, &body) == header.body_digest;
    promised.then_some(body).ok_or(VoteUnproved::Body)
}

/// How a decision names a successor, if it can already.
fn place(successor: &Bytes, next: &Charter, others: &[Bytes]) -> Option<usize> {
    if successor.is_empty() {
        return Some(0);
    }
    if successor == next.raw() {
        return Some(1);
    }
    others.iter().position(|it| it == successor).map(|at| at + 2)
}
