//! Publishes records as one atomic batch.

use std::time::Duration;

use registry_proto::wire::registry::{PublishRequest, PublishResponse};
use tokio::time::sleep;
use tonic::Code;

use crate::{
    connect::Client,
    error::{Class, ClientError},
    watch::backoff,
};

/// Records in one request, the most a node takes.
pub const RECORDS_MAX: usize = 1_000;
/// Characters of an idempotency key, the most a node takes.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 64;
/// Times that [`Client::publish_again`] sends a request.
pub const TRIES_MAX: u32 = 5;
/// Longest wait between two tries, also if the node asks for more.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A fresh idempotency key.
pub fn new_idempotency_key() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

impl Client {
    /// Publishes the records of `request`: all or none.
    ///
    /// After [`ClientError::TimedOut`] or [`ClientError::Broken`] it is unknown whether they were
    /// published. Callers MAY publish the same content again if the request has an
    /// `idempotency_key`, or if every record is a definition or version and carries its
    /// `service_id`: content that stands already is answered as `unchanged`.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn publish(&self, request: PublishRequest) -> Result<PublishResponse, ClientError> {
        let operation = if request.dry_run { "check the records" } else { "publish" };
        let client = self.waiting_for(request.ack_peers);
        let mut publisher = client.publisher();
        client.answer(operation, publisher.publish(client.request(request))).await
    }

    /// As [`Self::publish`], and again when the connection breaks or the node cannot at the
    /// moment, at most [`TRIES_MAX`] times; `retrying` is told of each wait. The request MUST have
    /// an `idempotency_key`: without one it is sent once.
    ///
    /// # Errors
    ///
    /// That of the last try. No answer in time is not tried again.
    pub async fn publish_again(
        &self,
        request: PublishRequest,
        retrying: impl Fn(&ClientError, Duration),
    ) -> Result<PublishResponse, ClientError> {
        let mut tries = 1;
        loop {
            let error = match self.publish(request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if tries >= TRIES_MAX || request.idempotency_key.is_empty() || !may_pass(&error) {
                return Err(error);
            }
            let asked = error.retry_after().unwrap_or_default();
            let wait = backoff(tries, rand::random()).max(asked).min(WAIT_MAX);
            retrying(&error, wait);
            sleep(wait).await;
            tries += 1;
        }
    }
}

/// True for a broken connection, and for a node that cannot at the moment.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Connect(error) => error.class() == Class::Unavailable,
        ClientError::Broken { .. } => true,
        ClientError::Refused { refusal, .. } => refusal.code == Code::Unavailable,
        ClientError::Config(_)
        | ClientError::TimedOut { .. }
        | ClientError::Protocol(_)
        | ClientError::Proof(_)
        | ClientError::NotResumable(_) => false,
    }
}
