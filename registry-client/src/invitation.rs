//! Invitations to Länder that are not members yet.

use registry_proto::wire::registry::{
    CreateInvitationRequest, CreateInvitationResponse, Invitation, ListInvitationsRequest,
    RevokeInvitationRequest, invitation_service_client::InvitationServiceClient,
};

use crate::{
    connect::{Client, MESSAGE_BYTES_MAX},
    error::ClientError,
};

impl Client {
    /// Invites a Land for so many seconds (0: as long as usual); the answer is the only place where
    /// the token stands.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn invite(
        &self,
        land: String,
        addresses: Vec<String>,
        valid_seconds: u64,
    ) -> Result<CreateInvitationResponse, ClientError> {
        let mut service = InvitationServiceClient::new(self.channel());
        let request = self.request(CreateInvitationRequest { land, addresses, valid_seconds });
        self.answer("invite", service.create_invitation(request)).await
    }

    /// The invitations of the node, and who waits by them.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn invitations(&self) -> Result<Vec<Invitation>, ClientError> {
        let mut service = InvitationServiceClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request = self.request(ListInvitationsRequest {});
        Ok(self.answer("list invitations", service.list_invitations(request)).await?.invitations)
    }

    /// Withdraws an invitation, and whoever waits by it.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn revoke_invitation(&self, invitation_id: String) -> Result<(), ClientError> {
        let mut service = InvitationServiceClient::new(self.channel());
        let request = self.request(RevokeInvitationRequest { invitation_id });
        self.answer("withdraw an invitation", service.revoke_invitation(request)).await?;
        Ok(())
    }
}
