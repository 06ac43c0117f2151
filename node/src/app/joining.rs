//! The port for Länder that are not members yet, and what is served there.

use std::io;

use registry_core::limits;
use registry_proto::wire::{
    peer::{JoinPartner, join_service_server::JoinServiceServer},
    registry::invitation_service_server::InvitationServiceServer,
};
use tokio::net::TcpListener;
use tonic::service::Routes;

use super::serve::{self, Parts};
use crate::{
    charters::Charters,
    invitations::Invitations,
    serving::{Meters, Quota},
    tls::{AcceptLimits, Acceptor, Listener},
    wire::{
        invitation::{self, InvitationApi},
        join::{self, JoinApi},
    },
};

/// For operators, at the front door.
pub(super) fn invitation_service(
    parts: &Parts<'_>,
    charters: &Charters,
) -> InvitationServiceServer<InvitationApi> {
    let api = InvitationApi::new(invitation::Setup {
        land: parts.identity.land,
        node: parts.identity.node.clone(),
        charter: parts.config.charter.clone(),
        signer: parts.config.signer.clone(),
        listens: parts.config.listen.join.is_some(),
        invitations: parts.desk.invitations.clone(),
        charters: charters.clone(),
        clock: parts.driver.clock(),
    });
    InvitationServiceServer::new(api)
        .max_decoding_message_size(limits::JOIN_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX)
}

/// Serves joining and nothing else, with limits of its own, while somebody is invited.
pub(super) fn serve_join(
    parts: &Parts<'_>,
    charters: &Charters,
    socket: TcpListener,
) -> io::Result<()> {
    let acceptor = Acceptor {
        context: parts.tls.clone(),
        metrics: parts.metrics.clone(),
        audit: parts.audit.clone(),
        listener: Listener::Join,
        limits: AcceptLimits {
            handshake: parts.config.patience.handshake,
            ..AcceptLimits::of_strangers()
        },
    };
    let (invitations, clock) = (parts.desk.invitations.clone(), parts.driver.clock());
    let open = open_while(invitations.clone(), move || clock.wall_ms());
    let incoming = acceptor.incoming_while(open, socket, &parts.shutdown)?;
    let api = JoinApi::new(join::Setup {
        invitations,
        charters: charters.clone(),
        partners: partners(parts),
        clock,
    });
    let service = JoinServiceServer::new(api)
        .max_decoding_message_size(limits::JOIN_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::MESSAGE_BYTES_MAX);
    let quota = Quota {
        per_second: limits::JOIN_CALLS_PER_SECOND,
        burst: limits::JOIN_CALLS_BURST,
        calls: PER_ADDRESS,
        streams: PER_ADDRESS,
    };
    let meters = Meters::new(quota, parts.metrics.clone());
    serve::serve_calls(parts, Listener::Join, incoming, Routes::new(service), &meters);
    Ok(())
}

fn open_while(invitations: Invitations, wall_ms: impl Fn() -> i64) -> impl Fn() -> bool {
    move || invitations.are_open(wall_ms())
}

/// Whom a newcomer can dial: this node by its name, and the partners it dials itself.
fn partners(parts: &Parts<'_>) -> Vec<JoinPartner> {
    let own = JoinPartner {
        land: parts.identity.land.code().to_owned(),
        node: parts.identity.node.clone(),
        address: format!("{}:{}", parts.identity.node, parts.config.listen.grpc.port()),
    };
    let others = parts.config.peers.iter().map(|it| JoinPartner {
        land: it.identity.land.code().to_owned(),
        node: it.identity.node.clone(),
        address: it.address.clone(),
    });
    std::iter::once(own).chain(others).take(PARTNERS_MAX).collect()
}

const PER_ADDRESS: u32 = limits::JOIN_PER_ADDRESS_MAX as u32;
/// Nodes in one answer.
const PARTNERS_MAX: usize = 64;
