//! Charters and votes.

use bytes::Bytes;
use registry_proto::wire::registry::{
    GetChartersRequest, GetChartersResponse, VoteCharterRequest, VoteCharterResponse,
    charter_service_client::CharterServiceClient,
};

use crate::{connect::Client, error::ClientError};

impl Client {
    /// All charters, the genesis charter first, and what is said about the next one. Callers MUST
    /// hold the genesis charter against their own file before they trust the others.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn charters(&self) -> Result<GetChartersResponse, ClientError> {
        let mut charters: Vec<Bytes> = Vec::new();
        loop {
            let mut service = CharterServiceClient::new(self.channel());
            let request = self.request(GetChartersRequest { from: charters.len() as u64 });
            let answer = service.get_charters(request);
            let mut answer = self.answer("read the charters", answer).await?;
            let more = !answer.charters.is_empty();
            charters.append(&mut answer.charters);
            if !more || charters.len() as u64 > answer.newest {
                answer.charters = charters;
                return Ok(answer);
            }
        }
    }

    /// Votes in the log of the node's Land; an empty successor abstains.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn vote_charter(
        &self,
        successor: Bytes,
        dry_run: bool,
    ) -> Result<VoteCharterResponse, ClientError> {
        let mut service = CharterServiceClient::new(self.channel());
        let request = self.request(VoteCharterRequest { successor, dry_run });
        self.answer("vote", service.vote_charter(request)).await
    }
}
