//! Publishes records as one atomic batch.

use std::time::Duration;

use registry_proto::wire::registry::{PublishRequest, PublishResponse};

use crate::{connect::Client, error::ClientError};

/// Records in one request, the most a node takes.
pub const RECORDS_MAX: usize = 1_000;
/// What a node may wait for partners, on top of the time for an answer.
const ACK_WAIT: Duration = Duration::from_secs(30);

impl Client {
    /// Publishes the records of `request`: all or none.
    ///
    /// After [`ClientError::TimedOut`] or [`ClientError::Broken`] it is unknown whether they were
    /// published. Callers MAY publish the same content again if every definition carries its
    /// `service_id`: content that stands already is answered as `unchanged`.
    pub async fn publish(&self, request: PublishRequest) -> Result<PublishResponse, ClientError> {
        let operation = if request.dry_run { "check the records" } else { "publish" };
        let client = if request.ack_peers > 0 {
            self.with_timeout(self.timeout().saturating_add(ACK_WAIT))
        } else {
            self.clone()
        };
        let mut publisher = client.publisher();
        client.answer(operation, publisher.publish(client.request(request))).await
    }
}
