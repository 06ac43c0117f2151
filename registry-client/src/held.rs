//! Retirements that a node holds because a Land retired many versions at once; asks the admin port
//! of a node and needs the role operator.

use registry_proto::wire::admin::{
    AcceptHeldRequest, HeldMoves, ListHeldRequest, admin_service_client::AdminServiceClient,
};

use crate::{connect::Client, error::ClientError};

impl Client {
    /// What is held, by Land and epoch.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn held(&self) -> Result<Vec<HeldMoves>, ClientError> {
        let mut admin = AdminServiceClient::new(self.channel());
        let call = admin.list_held(self.request(ListHeldRequest {}));
        Ok(self.answer("list what is held", call).await?.laender)
    }

    /// Lets the retirements of a Land count that are held now; how many those are. MAY be
    /// repeated after any error.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn accept_held(&self, land: String, epoch: u64) -> Result<u32, ClientError> {
        let mut admin = AdminServiceClient::new(self.channel());
        let call = admin.accept_held(self.request(AcceptHeldRequest { land, epoch }));
        Ok(self.answer("accept what is held", call).await?.accepted)
    }
}
