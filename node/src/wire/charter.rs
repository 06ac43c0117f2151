//! `verbund.registry.v1.CharterService`.

use bytes::Bytes;
use prost::Message as _;
use registry_core::{
    authorize::{self, Action},
    charter::{Chain, Round, Wish},
};
use registry_proto::{
    log::Hash,
    terms::{Land, LogId},
    wire::registry::{
        self as wire, CharterProposal, CharterStatement, GetChartersRequest, GetChartersResponse,
        LogPosition, VoteCharterRequest, VoteCharterResponse,
        charter_service_server::CharterService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    charters::{self, Charters, Part, Shown},
    wire::{
        audited::{Subject, rehearsed},
        caller::caller,
        status::status,
    },
};

/// Handlers of the service.
#[derive(Clone, Debug)]
pub struct CharterApi {
    own: LogId,
    charters: Charters,
}

// === impl CharterApi ===

impl CharterApi {
    /// Answers for the node that writes this log.
    pub fn new(own: LogId, charters: Charters) -> Self {
        Self { own, charters }
    }

    fn answer(&self, shown: &Shown, from: u64) -> GetChartersResponse {
        let chain = &shown.chain;
        let Part { charters, decisions, left } = shown.part(from, ANSWER_BYTES);
        let mut room = Room(left);
        let proposals = chain.proposals().into_iter().map(|it| {
            let charter = Some(it.charter.raw().clone()).filter(|it| room.takes(it.len()));
            let digest = raw(Some(it.charter.digest()));
            CharterProposal { digest, charter: charter.unwrap_or_default() }
        });
        let proposals = proposals.collect();
        let rounds = chain.rounds();
        let (followed, bound) = (self.charters.followed(), chain.bound_to());
        GetChartersResponse {
            charters,
            newest: chain.current().number(),
            followed: followed.number(),
            behind: charters::behind(chain.past(), followed),
            proposals,
            statements: statements(chain, &rounds),
            round: u32::try_from(rounds.len()).unwrap_or(u32::MAX),
            bound: raw(bound.first().copied().filter(|_| bound.len() == 1)),
            bound_to: bound.iter().map(|it| raw(Some(*it))).collect(),
            decisions,
            standing: Some(self.charters.standing(shown)),
        }
    }
}

#[tonic::async_trait]
impl CharterService for CharterApi {
    async fn get_charters(
        &self,
        request: Request<GetChartersRequest>,
    ) -> Result<Response<GetChartersResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Read).map_err(status)?;
        let shown = self.charters.shown();
        Ok(Response::new(self.answer(&shown, request.into_inner().from)))
    }

    async fn vote_charter(
        &self,
        request: Request<VoteCharterRequest>,
    ) -> Result<Response<VoteCharterResponse>, Status> {
        let choice = said(&request.get_ref().successor);
        Subject::say(&request, &choice);
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Operate).map_err(status)?;
        let VoteCharterRequest { successor, dry_run } = request.into_inner();
        let wish = if successor.is_empty() { Wish::Abstain } else { Wish::For(successor) };
        let voted = self.charters.vote(&principal, wish, dry_run).await.map_err(status)?;
        let at = voted.index.map(|index| format!(" at {}/{index}", self.own)).unwrap_or_default();
        let object = format!("{choice} round={}{at}", voted.round);
        let answer = VoteCharterResponse {
            round: voted.round,
            position: voted.index.map(|index| place(self.own, index)),
            newest: self.charters.shown().chain.current().number(),
        };
        Ok(rehearsed(answer, object, dry_run))
    }
}

/// What the audit log says of the choice of a member: the number that the successor claims, which
/// nothing bears out before the vote is taken, and its digest, as people compare it.
fn said(successor: &Bytes) -> String {
    if successor.is_empty() {
        return "abstain".to_owned();
    }
    let number = match wire::Charter::decode(&successor[..]) {
        Ok(it) => it.number.to_string(),
        Err(_) => "unreadable".to_owned(),
    };
    format!("charter={number} digest={}", Hash::of(successor))
}

/// Bytes that are left in an answer.
struct Room(usize);

impl Room {
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

fn statements(chain: &Chain, rounds: &[Round]) -> Vec<CharterStatement> {
    let counts = |round: u32, land: Land| {
        let round = usize::try_from(round).ok().and_then(|it| rounds.get(it.checked_sub(1)?));
        round.is_some_and(|it| it.contains_key(&land))
    };
    let all = chain.all_said().take(STATEMENTS_MAX);
    all.map(|(round, said)| CharterStatement {
        round,
        position: Some(place(said.log, said.index)),
        choice: raw(said.choice),
        counts: counts(round, said.log.land),
    })
    .collect()
}

fn place(log: LogId, index: u64) -> LogPosition {
    LogPosition { land: log.land.code().to_owned(), epoch: log.epoch, index }
}

fn raw(hash: Option<Hash>) -> Bytes {
    hash.map(|it| Bytes::copy_from_slice(it.as_bytes())).unwrap_or_default()
}

/// Bytes of charters in one answer.
const ANSWER_BYTES: usize = 2 << 20;
/// Statements in one answer.
const STATEMENTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vote_is_told_by_the_digest_of_its_charter() {
        let next = wire::Charter { number: 7, ..wire::Charter::default() }.encode_to_vec();
        let digest = Hash::of(&next);
        assert_eq!(said(&next.into()), format!("charter=7 digest={digest}"));
        let garbage = Bytes::from_static(b"\xff");
        let digest = Hash::of(&garbage);
        assert_eq!(said(&garbage), format!("charter=unreadable digest={digest}"));
        assert_eq!(said(&Bytes::new()), "abstain");
    }
}
