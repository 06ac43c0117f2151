//! Resets of logs: to countersign those of other Länder, and to give them to a node.

use bytes::Bytes;
use registry_proto::{
    epoch::{Ended, Reset, ended},
    wire::registry::{
        CountersignEpochResetRequest, CountersignEpochResetResponse, ListEpochResetsRequest,
        TakeEpochResetRequest, TakeEpochResetResponse, epoch_service_client::EpochServiceClient,
    },
};

use crate::{connect::Client, error::ClientError};

impl Client {
    /// Agrees to a reset for the Land of the node. MAY be repeated after any error.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn countersign_epoch_reset(
        &self,
        reset: Bytes,
        dry_run: bool,
    ) -> Result<CountersignEpochResetResponse, ClientError> {
        let mut service = EpochServiceClient::new(self.channel());
        let request = self.request(CountersignEpochResetRequest { reset, dry_run });
        self.answer("countersign a reset", service.countersign_epoch_reset(request)).await
    }

    /// Gives the node a reset that is complete; it begins again under it.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn take_epoch_reset(
        &self,
        reset: Bytes,
    ) -> Result<TakeEpochResetResponse, ClientError> {
        let mut service = EpochServiceClient::new(self.channel());
        let request = self.request(TakeEpochResetRequest { reset });
        self.answer("take a reset", service.take_epoch_reset(request)).await
    }

    /// The resets that the node has taken, encoded.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn epoch_resets(&self) -> Result<Vec<Bytes>, ClientError> {
        let mut service = EpochServiceClient::new(self.channel());
        let request = self.request(ListEpochResetsRequest {});
        Ok(self.answer("list resets", service.list_epoch_resets(request)).await?.resets)
    }

    /// The same as a charter lists them. What is no reset is left out, and what lies behind it: a
    /// draft is held against what the nodes have taken before anybody votes for it.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn ended_epochs(&self) -> Result<Ended, ClientError> {
        let resets = self.epoch_resets().await?;
        let read = resets.iter().filter_map(|it| Reset::read(it).ok());
        Ok(ended(read.map(|it| (it.said().log, it.digest()))))
    }
}
