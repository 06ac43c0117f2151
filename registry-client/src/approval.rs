//! Submissions that wait for a second person; need the role publisher.

use prost::Message;
use registry_proto::{
    approval::digest,
    wire::registry::{
        AcceptApprovalRequest, Approval, GetApprovalRequest, ListApprovalsRequest, PublishRequest,
        PublishResponse, RejectApprovalRequest, approval_service_client::ApprovalServiceClient,
    },
};
use tonic::transport::Channel;

use crate::{
    connect::{Client, MESSAGE_BYTES_MAX},
    error::ClientError,
};

/// A submission that waits; its digest was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    /// In short.
    pub approval: Approval,
    /// What would be published.
    pub request: PublishRequest,
}

impl Client {
    /// What waits, the oldest first.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn approvals(&self) -> Result<Vec<Approval>, ClientError> {
        let mut service = self.approver();
        let call = service.list_approvals(self.request(ListApprovalsRequest {}));
        Ok(self.answer("list what waits", call).await?.approvals)
    }

    /// One that waits. The digest is computed here, over the very bytes that are shown.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; [`ClientError::Protocol`] if the node shows something else than its
    /// digest says.
    pub async fn approval(&self, approval_id: String) -> Result<Waiting, ClientError> {
        let mut service = self.approver();
        let call = service.get_approval(self.request(GetApprovalRequest { approval_id }));
        let answer = self.answer("read what waits", call).await?;
        let wrong = ClientError::Protocol("a submission that is not what its digest says");
        let (Some(approval), Ok(request)) =
            (answer.approval, PublishRequest::decode(answer.request.clone()))
        else {
            return Err(wrong);
        };
        if approval.digest != digest(&answer.request).as_slice() {
            return Err(wrong);
        }
        Ok(Waiting { approval, request })
    }

    /// Publishes what waits. MAY be repeated after any error.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn accept_approval(
        &self,
        approval_id: String,
        digest: [u8; 32],
    ) -> Result<PublishResponse, ClientError> {
        // for how many Länder it waits stands in what was submitted
        let client = self.waiting_for(1);
        let mut service = client.approver();
        let digest = digest.to_vec().into();
        let call =
            service.accept_approval(client.request(AcceptApprovalRequest { approval_id, digest }));
        let answer = client.answer("confirm what waits", call).await?;
        answer.published.ok_or(ClientError::Protocol("an answer without what was published"))
    }

    /// Throws away what waits.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn reject_approval(&self, approval_id: String) -> Result<(), ClientError> {
        let mut service = self.approver();
        let call = service.reject_approval(self.request(RejectApprovalRequest { approval_id }));
        self.answer("throw away what waits", call).await.map(|_| ())
    }

    fn approver(&self) -> ApprovalServiceClient<Channel> {
        ApprovalServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}
