//! `verbund.peer.v1.PeerService`: sessions that partners open.

use std::pin::Pin;

use registry_core::{
    authorize::{self, Action, PeerIdentity, Target},
    reject::Reject,
};
use registry_proto::wire::peer::{
    SessionRequest, SessionResponse, peer_service_server::PeerService,
};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    driver::Handle,
    lifecycle::Shutdown,
    sessions,
    wire::{caller::caller, status::status},
};

/// Handlers of the peer service.
#[derive(Clone, Debug)]
pub struct PeerApi {
    me: PeerIdentity,
    driver: Handle,
    shutdown: Shutdown,
}

// === impl PeerApi ===

impl PeerApi {
    /// Hands sessions to this driver.
    pub fn new(me: PeerIdentity, driver: Handle, shutdown: Shutdown) -> Self {
        Self { me, driver, shutdown }
    }
}

#[tonic::async_trait]
impl PeerService for PeerApi {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Replicate).map_err(status)?;
        let peer = principal.peer.clone().filter(|it| *it != self.me).ok_or_else(|| {
            status(Reject::Denied {
                action: "replicate",
                reason: "the certificate is that of this very node; a node that was cloned needs \
                         a name and a certificate of its own"
                    .to_owned(),
            })
        })?;
        let target = Target { land: Some(peer.land), ..Target::default() };
        authorize::require_about(&principal, Action::Replicate, &target).map_err(status)?;
        let incoming = request.into_inner().map(|it| it.map(|it| it.message));
        let (outgoing, stream) = sessions::channel();
        sessions::spawn(incoming, outgoing, peer, self.driver.clone(), &self.shutdown);
        let responses = stream.map(|message| Ok(SessionResponse { message: Some(message) }));
        Ok(Response::new(Box::pin(responses)))
    }
}
