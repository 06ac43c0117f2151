//! Proof, without any log, that members voted a charter into force.
//!
//! Each vote comes with a head that its member signed under the charter that is followed, and the
//! way from the entry to it; the votes are then counted as those in logs are. So a chain of charters
//! can be verified step by step from the genesis charter. What it cannot show is that a member said
//! something else before in its log: votes in logs go before it ([`Chain::follow_told`]).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::{
    Message as _,
    encoding::{DecodeContext, decode_key, skip_field},
};
use registry_proto::{
    charter::{
        Charter, CharterVote, DECISION_BYTES_MAX, DECISION_VOTES_MAX, MEMBERS_MAX,
        SUCCESSOR_BYTES_MAX, VoteError,
    },
    log::{
        Hash, Header, Kind, Origin, OwnerKeys as _, PROOF_HASHES_MAX, body_digest, check_inclusion,
        leaf_hash,
    },
    terms::{Land, LogId},
    wire::registry::{self as wire, CharterDecision, CharterVoteProof},
};

pub use registry_proto::charter::{DecisionError, VoteUnproved};

use super::{Chain, Said, threshold};

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

/// Reads a proof as it was told or kept. Nothing of it is verified yet.
///
/// # Errors
///
/// It is too long, has too many parts or is none; see [`DecisionError`].
pub fn decode(raw: Bytes) -> Result<CharterDecision, DecisionError> {
    if raw.len() > DECISION_BYTES_MAX {
        return Err(DecisionError::TooLong);
    }
    // an empty part has two bytes here, and takes a hundred times that once it is read
    let (mut rest, mut parts) = (&raw[..], 0_usize);
    while !rest.is_empty() {
        let (tag, wire_type) = decode_key(&mut rest).map_err(|_| DecisionError::Undecodable)?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())
            .map_err(|_| DecisionError::Undecodable)?;
        parts += 1;
    }
    if parts > PARTS_MAX {
        return Err(DecisionError::TooLong);
    }
    CharterDecision::decode(raw).map_err(|_| DecisionError::Undecodable)
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

/// The votes of a proof that holds. What nobody makes in good faith is refused before anything is
/// verified, and no vote takes more memory than it has in the proof.
pub(super) fn deciding(
    before: &Charter,
    next: &Charter,
    decision: &CharterDecision,
) -> Result<Vec<Proved>, DecisionError> {
    let (found, expected) = (decision.number, next.number());
    if found != expected {
        return Err(DecisionError::Number { found, expected });
    }
    let fits = decision.votes.len() <= DECISION_VOTES_MAX
        && decision.others.len() <= DECISION_VOTES_MAX
        && decision.encoded_len() <= DECISION_BYTES_MAX;
    if !fits {
        return Err(DecisionError::TooLong);
    }
    let unproved = |at: usize, source| DecisionError::Vote { at: at + 1, source };
    let claimed = decision.votes.iter().enumerate();
    let claimed = claimed.map(|(at, it)| Claimed::of(it).map_err(|why| unproved(at, why)));
    let claimed = claimed.collect::<Result<Vec<_>, _>>()?;
    require_rounds(before, &claimed)?;
    let mut texts = vec![Text { bytes: next.raw().clone(), digest: next.digest() }];
    texts.extend(decision.others.iter().cloned().map(Text::new));
    let mut votes = Vec::with_capacity(decision.votes.len());
    for (at, (it, claimed)) in decision.votes.iter().zip(claimed).enumerate() {
        votes.push(proved(before, &texts, it, claimed).map_err(|why| unproved(at, why))?);
    }
    votes.sort_by_key(|it| (it.log, it.index));
    counted(before, next, &votes).map(|_| votes).ok_or(DecisionError::Undecided)
}

/// The proof with those of its votes that decide, as [`Chain::grounds`] chooses them, and what they
/// are for. MUST be given votes of the proof, in the order of their logs; `None` if they do not decide.
pub(super) fn reduced(
    before: &Charter,
    next: &Charter,
    decision: &CharterDecision,
    votes: &[Proved],
) -> Option<CharterDecision> {
    let grounds = counted(before, next, votes)?.grounds(next.number())?;
    let mut texts = vec![Text { bytes: next.raw().clone(), digest: next.digest() }];
    let mut reduced = CharterDecision { number: decision.number, ..CharterDecision::default() };
    for it in &decision.votes {
        let leaf = leaf_hash(&it.header);
        if !grounds.iter().any(|said| said.leaf == leaf) {
            continue;
        }
        let text = match it.choice as usize {
            0 => Bytes::new(),
            1 => next.raw().clone(),
            other => decision.others.get(other - 2)?.clone(),
        };
        let choice = u32::try_from(place(&mut texts, text)).ok()?;
        reduced.votes.push(CharterVoteProof { choice, ..it.clone() });
    }
    reduced.others = texts.into_iter().skip(1).map(|it| it.bytes).collect();
    Some(reduced)
}

/// Whether a proof has no votes but these, which stand in logs.
pub fn rests_on(decision: &CharterDecision, votes: &[Said]) -> bool {
    let mut leaves = decision.votes.iter().map(|it| leaf_hash(&it.header));
    leaves.all(|leaf| votes.iter().any(|it| it.leaf == leaf))
}

/// What follows of these votes alone, if that is `next`.
fn counted(before: &Charter, next: &Charter, votes: &[Proved]) -> Option<Chain> {
    let mut chain = Chain::new(before.clone());
    for Proved { log, index, leaf, vote, choice } in votes {
        chain.take_for(*log, *index, *leaf, vote, *choice);
    }
    let follows = chain.past().get(1)?.charter.digest() == next.digest();
    follows.then_some(chain)
}

/// Makes the proof of votes as they stand in logs, of each member one a round. Votes that cannot be
/// proved are left out, for example because the keys of their log were replaced since.
///
/// # Errors
///
/// What is left proves nothing; see [`DecisionError`].
pub fn assemble(
    before: &Charter,
    next: &Charter,
    votes: Vec<Standing>,
) -> Result<CharterDecision, DecisionError> {
    let decision = gather(before, next, votes);
    verify(before, next, &decision)?;
    Ok(decision)
}

/// The votes that can be proved; whether they decide is not asked.
pub(crate) fn gather(before: &Charter, next: &Charter, votes: Vec<Standing>) -> CharterDecision {
    let mut texts = vec![Text { bytes: next.raw().clone(), digest: next.digest() }];
    let mut decision = CharterDecision { number: next.number(), ..CharterDecision::default() };
    for it in votes {
        let Ok(mut said) = wire::CharterVote::decode(it.body) else { continue };
        let (successor, known) = (std::mem::take(&mut said.successor), texts.len());
        let choice = place(&mut texts, successor);
        let raw = |hash: &Hash| Bytes::copy_from_slice(hash.as_bytes());
        let proof = CharterVoteProof {
            header: it.header,
            salt: Bytes::copy_from_slice(&it.salt),
            vote: said.encode_to_vec().into(),
            choice: u32::try_from(choice).unwrap_or(u32::MAX),
            checkpoint: it.checkpoint,
            proof: it.proof.iter().map(raw).collect(),
        };
        let vote = Claimed::of(&proof).and_then(|it| proved(before, &texts, &proof, it));
        match vote {
            Ok(_) => decision.votes.push(proof),
            Err(_) => texts.truncate(known),
        }
    }
    decision.others = texts.into_iter().skip(1).map(|it| it.bytes).collect();
    decision
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
    /// Its successor is a part of the bytes of the proof, or of those of the charter.
    pub(super) vote: CharterVote,
    /// Digest of that.
    pub(super) choice: Option<Hash>,
}

/// What a vote says, before anything is verified; its successor is not put back.
struct Claimed {
    header: Header,
    vote: CharterVote,
}

/// A successor that votes are for.
struct Text {
    bytes: Bytes,
    digest: Hash,
}

// === impl Claimed ===

impl Claimed {
    fn of(it: &CharterVoteProof) -> Result<Self, VoteUnproved> {
        if it.vote.len() > SAID_BYTES_MAX {
            return Err(VoteUnproved::Body);
        }
        let header = Header::parse(&it.header).map_err(VoteUnproved::Header)?;
        let vote = CharterVote::decode(&it.vote).map_err(VoteUnproved::Vote)?;
        Ok(Self { header, vote })
    }
}

// === impl Text ===

impl Text {
    fn new(bytes: Bytes) -> Self {
        let digest = Hash::of(&bytes);
        Self { bytes, digest }
    }
}

/// Refuses a second vote of a member in a round, and what cannot decide whatever is in it: each round
/// needs as many votes as decide.
fn require_rounds(before: &Charter, votes: &[Claimed]) -> Result<(), DecisionError> {
    let mut rounds: BTreeMap<u32, BTreeSet<Land>> = BTreeMap::new();
    for it in votes {
        let (round, land) = (it.vote.round, it.header.log.land);
        if !rounds.entry(round).or_default().insert(land) {
            return Err(DecisionError::VotesTwice { land, round });
        }
    }
    let least = threshold(before);
    let is_next = |(expected, (round, voters)): (u32, (&u32, &BTreeSet<Land>))| {
        *round == expected && voters.len() >= least
    };
    let complete = !rounds.is_empty() && (1..).zip(&rounds).all(is_next);
    complete.then_some(()).ok_or(DecisionError::Undecided)
}

fn proved(
    before: &Charter,
    texts: &[Text],
    it: &CharterVoteProof,
    Claimed { header, mut vote }: Claimed,
) -> Result<Proved, VoteUnproved> {
    if header.verbund != before.id() || header.kind != Kind::CharterVote {
        return Err(VoteUnproved::Foreign);
    }
    let land = header.log.land;
    let member = before.member(land).filter(|it| it.is_active());
    let member = member.ok_or(VoteUnproved::NoVoter(land))?;
    let text = match (it.choice as usize).checked_sub(1) {
        None => None,
        Some(at) => Some(texts.get(at).ok_or(VoteUnproved::Choice)?),
    };
    if it.proof.len() > PROOF_HASHES_MAX {
        return Err(VoteUnproved::Hash);
    }
    let mut proof = Vec::with_capacity(it.proof.len());
    for hash in &it.proof {
        proof.push(Hash::try_from(&hash[..]).map_err(|_| VoteUnproved::Hash)?);
    }
    // nobody can have voted about this charter before it replaced keys: those before do not count
    let origin = Origin { verbund: before.id(), log: header.log };
    let head = member.keys.verify(&it.checkpoint, &origin).map_err(VoteUnproved::Checkpoint)?;
    let leaf = leaf_hash(&it.header);
    check_inclusion(&proof, head.size(), head.root(), header.index, &leaf)
        .map_err(VoteUnproved::Inclusion)?;
    // last, as it costs most: only of what the member signed
    check_body(&header, text, it)?;
    vote.successor = text.map(|it| it.bytes.clone());
    let choice = text.map(|it| it.digest);
    Ok(Proved { log: header.log, index: header.index, leaf, vote, choice })
}

/// Accepts if the body, with the successor put back, is the one that the header speaks of.
fn check_body(
    header: &Header,
    text: Option<&Text>,
    it: &CharterVoteProof,
) -> Result<(), VoteUnproved> {
    let mut said = wire::CharterVote::decode(&it.vote[..]).map_err(|_| VoteUnproved::Body)?;
    // nothing goes along that the body does not have
    if !said.successor.is_empty() || said.encode_to_vec() != it.vote {
        return Err(VoteUnproved::Body);
    }
    if let Some(Text { bytes, .. }) = text {
        let found = bytes.len();
        if found > SUCCESSOR_BYTES_MAX {
            return Err(VoteUnproved::Vote(VoteError::TooLong { found }));
        }
        // who abstains names none
        if bytes.is_empty() {
            return Err(VoteUnproved::Choice);
        }
        said.successor = bytes.clone();
    }
    let salt = <&[u8; 16]>::try_from(&it.salt[..]).map_err(|_| VoteUnproved::Body)?;
    let promised = said.encoded_len() == header.body_length as usize
        && body_digest(salt, &said.encode_to_vec()) == header.body_digest;
    promised.then_some(()).ok_or(VoteUnproved::Body)
}

/// How a decision names a successor, which is added if it is not there yet.
fn place(texts: &mut Vec<Text>, successor: Bytes) -> usize {
    if successor.is_empty() {
        return 0;
    }
    let known = texts.iter().position(|it| it.bytes == successor);
    known.map_or_else(
        || {
            texts.push(Text::new(successor));
            texts.len()
        },
        |at| at + 1,
    )
}

/// Fields of an encoded proof: each vote brings at most one successor of its own.
const PARTS_MAX: usize = 1 + 2 * DECISION_VOTES_MAX;
/// Bytes of a vote without its successor; a citation has about 40.
const SAID_BYTES_MAX: usize = 64 + 48 * MEMBERS_MAX;
