//! Drafts at the node of one's own Land; need the role publisher.

use registry_proto::wire::registry::{
    CheckDraftRequest, CheckDraftResponse, DeleteDraftRequest, Draft, DraftSummary,
    GetDraftRequest, ListDraftsRequest, PublishDraftRequest, PublishDraftResponse,
    SaveDraftRequest, draft_service_client::DraftServiceClient,
};
use tonic::transport::Channel;

use crate::{
    connect::{Client, MESSAGE_BYTES_MAX},
    error::ClientError,
};

/// Records of a draft, the most a node takes.
pub const DRAFT_RECORDS_MAX: usize = 100;

impl Client {
    /// Keeps a new draft (without `draft_id`), or a new state of one. A new one MUST NOT be sent
    /// again after [`ClientError::TimedOut`] without a look at [`Self::drafts`].
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn save_draft(&self, request: SaveDraftRequest) -> Result<Draft, ClientError> {
        let mut drafts = self.drafter();
        let answer = self.answer("keep the draft", drafts.save_draft(self.request(request)));
        answer.await?.draft.ok_or(NO_DRAFT)
    }

    /// A draft.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn draft(&self, draft_id: String) -> Result<Draft, ClientError> {
        let mut drafts = self.drafter();
        let call = drafts.get_draft(self.request(GetDraftRequest { draft_id }));
        self.answer("read the draft", call).await?.draft.ok_or(NO_DRAFT)
    }

    /// All drafts, the one changed last first.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn drafts(&self) -> Result<Vec<DraftSummary>, ClientError> {
        let mut drafts = self.drafter();
        let call = drafts.list_drafts(self.request(ListDraftsRequest {}));
        Ok(self.answer("list the drafts", call).await?.drafts)
    }

    /// What publishing a draft would say now.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn check_draft(&self, draft_id: String) -> Result<CheckDraftResponse, ClientError> {
        let mut drafts = self.drafter();
        let call = drafts.check_draft(self.request(CheckDraftRequest { draft_id }));
        self.answer("check the draft", call).await
    }

    /// Publishes a draft. MAY be repeated after any error.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn publish_draft(
        &self,
        request: PublishDraftRequest,
    ) -> Result<PublishDraftResponse, ClientError> {
        let client = self.waiting_for(request.ack_peers);
        let mut drafts = client.drafter();
        let call = drafts.publish_draft(client.request(request));
        client.answer("publish the draft", call).await
    }

    /// Deletes a draft.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn delete_draft(
        &self,
        draft_id: String,
        expected_revision: Option<u64>,
    ) -> Result<(), ClientError> {
        let mut drafts = self.drafter();
        let request = DeleteDraftRequest { draft_id, expected_revision };
        let call = drafts.delete_draft(self.request(request));
        self.answer("delete the draft", call).await.map(|_| ())
    }

    fn drafter(&self) -> DraftServiceClient<Channel> {
        DraftServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

const NO_DRAFT: ClientError = ClientError::Protocol("an answer without its draft");
