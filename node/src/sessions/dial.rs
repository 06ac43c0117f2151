//! Dials configured partners until a session stands, and again when it ends.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use registry_core::{authorize::PeerIdentity, limits};
use registry_proto::wire::peer::{SessionRequest, peer_service_client::PeerServiceClient};
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;
use tracing::{Instrument, debug, info_span, warn};

use crate::{
    driver::Handle,
    lifecycle::{Shutdown, TaskKind, chain},
    serving::WINDOW_BYTES,
    sessions,
    status::StatusBoard,
    tls::{Alerts, PeerConnector, TlsContext},
};

/// Shortest wait between two attempts.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A session that stood this long was a good one: the wait starts short again.
const STABLE: Duration = Duration::from_secs(10);

/// A partner to dial.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Who must answer.
    pub identity: PeerIdentity,
    /// `host:port`.
    pub address: String,
}

/// Partners with a session, in either direction.
pub type Connected = watch::Receiver<BTreeSet<PeerIdentity>>;

/// Starts the task that keeps a session with `peer`.
pub fn dial(
    peer: Peer,
    tls: Arc<TlsContext>,
    mut connected: Connected,
    driver: Handle,
    board: StatusBoard,
    shutdown: &Shutdown,
) {
    let token = shutdown.token().clone();
    let identity = &peer.identity;
    let span =
        info_span!("dial", peer.land = %identity.land, peer.node = identity.node, peer.address);
    let work = async move {
        let mut backoff = BACKOFF_MIN;
        loop {
            // a session in the other direction serves as well
            if connected.wait_for(|all| !all.contains(&peer.identity)).await.is_err() {
                return;
            }
            let begun = tokio::time::Instant::now();
            match dialled(&peer, &tls).await {
                Ok((channel, alerts)) => {
                    let held = hold(&peer, channel, driver.clone()).await;
                    board.set_barred(&peer.identity, held.as_ref().err().and_then(barred));
                    if let Err(status) = held {
                        refused(&status, &alerts);
                    }
                }
                Err(failure) => {
                    let cause = chain(&failure);
                    if backoff >= BACKOFF_MAX {
                        warn!(cause, "partner cannot be reached");
                    } else {
                        debug!(cause, "partner cannot be reached");
                    }
                }
            }
            if begun.elapsed() > STABLE {
                backoff = BACKOFF_MIN;
            }
            tokio::time::sleep(jittered(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    };
    shutdown.spawn(
        TaskKind::SessionSupervisor,
        async move {
            tokio::select! {
                () = work => {}
                () = token.cancelled() => {}
            }
        }
        .instrument(span),
    );
}

/// Whether the charter of the partner removed this Land, if that or a suspension is why it refuses.
fn barred(status: &tonic::Status) -> Option<bool> {
    match status.get_details_error_info()?.reason.as_str() {
        "MEMBER_REMOVED" => Some(true),
        "MEMBER_SUSPENDED" => Some(false),
        _ => None,
    }
}

/// Tells the operator why there is no session. What TLS says goes first: of a certificate that
/// expired or was revoked HTTP/2 knows only that the call was cancelled.
fn refused(status: &tonic::Status, alerts: &Alerts) {
    match alerts.take() {
        Some(alert) => {
            warn!(?alert, "partner refuses the certificate of this node, see tls.certificate");
        }
        None => {
            let (code, message) = (status.code(), status.message());
            warn!(?code, message, "partner refuses the session");
        }
    }
}

/// Connects to a node of a partner.
pub(crate) async fn connect(
    peer: &Peer,
    tls: &Arc<TlsContext>,
) -> Result<Channel, tonic::transport::Error> {
    dialled(peer, tls).await.map(|(channel, _)| channel)
}

/// The connection, and what the partner says in TLS once a call on it has failed.
async fn dialled(
    peer: &Peer,
    tls: &Arc<TlsContext>,
) -> Result<(Channel, Alerts), tonic::transport::Error> {
    let connector = PeerConnector::new(tls.clone(), peer.identity.clone());
    let endpoint = Endpoint::from_shared(format!("http://{}", peer.address))?
        .connect_timeout(Duration::from_secs(10))
        .http2_keep_alive_interval(Duration::from_millis(limits::BEACON_MS))
        .keep_alive_timeout(Duration::from_millis(limits::BEACON_MS))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES);
    let alerts = connector.alerts();
    Ok((endpoint.connect_with_connector(connector).await?, alerts))
}

async fn hold(peer: &Peer, channel: Channel, driver: Handle) -> Result<(), tonic::Status> {
    let mut client = PeerServiceClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX);
    let (outgoing, stream) = sessions::channel();
    let requests = stream.map(|message| SessionRequest { message: Some(message) });
    let incoming = client.session(requests).await?.into_inner();
    let incoming = incoming.map(|it| it.map(|it| it.message));
    sessions::run(incoming, outgoing, peer.identity.clone(), true, driver).await;
    Ok(())
}

/// Between half of `wait` and all of it, so that partners that lost each other at once do not
/// dial in step.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.5..=1.0))
}
