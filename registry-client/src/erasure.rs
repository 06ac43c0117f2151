//! Erasure of entries (Art. 17 DSGVO), and who has carried it out.

use registry_proto::wire::registry::{
    EraseRequest, ErasureState, ListErasuresRequest, ListErasuresResponse, LogPosition,
    erasure_service_client::ErasureServiceClient,
};

use crate::{connect::Client, error::ClientError};

impl Client {
    /// Erases entries of the log of the node's Land, all or none. Needs the role operator. The
    /// erasures are durable then; the bodies go within seconds, see [`Self::erasures`].
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn erase(
        &self,
        entries: Vec<LogPosition>,
        grund: String,
        dry_run: bool,
    ) -> Result<Vec<ErasureState>, ClientError> {
        let mut service = ErasureServiceClient::new(self.channel());
        let request = self.request(EraseRequest { entries, grund, dry_run });
        Ok(self.answer("erase entries", service.erase(request)).await?.erasures)
    }

    /// What is erased, the newest of each log first: of one entry, or all.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn erasures(
        &self,
        entry: Option<LogPosition>,
        page_size: u32,
    ) -> Result<ListErasuresResponse, ClientError> {
        let mut service = ErasureServiceClient::new(self.channel());
        let request = self.request(ListErasuresRequest { entry, page_size });
        self.answer("list erasures", service.list_erasures(request)).await
    }
}
