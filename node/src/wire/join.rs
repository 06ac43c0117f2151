//! `verbund.peer.v1.JoinService`: the one thing a Land can ask before it is a member. Callers prove
//! nothing but a secret; nothing is told to whoever has none.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use registry_core::{invitations::Invitation, reject::Reject};
use registry_proto::{
    charter::Charter,
    wire::{
        peer::{
            GetJoinRequest, GetJoinResponse, JoinPartner, JoinRequest, JoinResponse, JoinSecret,
            JoinState, join_service_server::JoinService,
        },
        registry::SignedJoinCard,
    },
};
use rustls::pki_types::CertificateDer;
use tonic::{Request, Response, Status};

use super::{audited::about, status::status};
use crate::{
    batches::timestamp,
    charters::{Charters, Part},
    driver::Clock,
    invitations::Invitations,
    tls,
};

/// Handlers of the service. Clones share what is kept.
#[derive(Clone, Debug)]
pub struct JoinApi {
    setup: Arc<Setup>,
}

/// What the service answers from.
#[derive(Debug)]
pub struct Setup {
    /// Who is invited, and who waits.
    pub invitations: Invitations,
    /// The charters in force.
    pub charters: Charters,
    /// Nodes of members that a newcomer can dial.
    pub partners: Vec<JoinPartner>,
    /// Time.
    pub clock: Clock,
}

// === impl JoinApi ===

impl JoinApi {
    /// Answers for one node.
    pub fn new(setup: Setup) -> Self {
        Self { setup: Arc::new(setup) }
    }

    fn answer(&self, invitation: &Invitation, from: u64) -> JoinState {
        let shown = self.setup.charters.shown();
        let Part { charters, decisions, .. } = shown.part(from, ANSWER_BYTES);
        JoinState {
            charters,
            newest: shown.chain.current().number(),
            waits_until: Some(timestamp(invitation.expires_ms)),
            partners: self.setup.partners.clone(),
            decisions: decisions.iter().map(|it| it.encode_to_vec().into()).collect(),
        }
    }
}

// === impl Setup ===

impl Setup {
    fn present(
        &self,
        id: &str,
        secret: &[u8],
        card: &SignedJoinCard,
        charter: &Charter,
    ) -> Result<Invitation, Reject> {
        let now_ms = self.clock.wall_ms();
        // whoever has no secret makes nobody parse certificates
        let known = self.invitations.ask(id, secret, now_ms);
        if matches!(known, Err(Reject::NotInvited)) {
            return Err(Reject::NotInvited);
        }
        require_anchors(card)?;
        self.invitations.present(id, secret, card, charter, now_ms)
    }
}

#[tonic::async_trait]
impl JoinService for JoinApi {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let JoinRequest { invitation_id, secret, presented, from } = request.into_inner();
        let secret = shown(secret);
        let card = presented.map(|it| it.signed_card).unwrap_or_default();
        let card = SignedJoinCard::decode(card).map_err(|_| {
            status(Reject::field("presented", "CARD", "expected an encoded SignedJoinCard"))
        })?;
        let setup = Arc::clone(&self.setup);
        let shown = setup.charters.shown();
        if !shown.complete {
            return Err(status(unread()));
        }
        let present = move || setup.present(&invitation_id, &secret, &card, shown.chain.current());
        let presented = tokio::task::spawn_blocking(present).await;
        let presented = presented
            .unwrap_or(Err(Reject::Storage { operation: "working on invitations" }))
            .map_err(status)?;
        let object = format!("invitation_id={} land={}", presented.id, presented.land);
        let state = Some(self.answer(&presented, from));
        Ok(about(JoinResponse { state }, object))
    }

    async fn get_join(
        &self,
        request: Request<GetJoinRequest>,
    ) -> Result<Response<GetJoinResponse>, Status> {
        let GetJoinRequest { invitation_id, secret, from } = request.into_inner();
        let now_ms = self.setup.clock.wall_ms();
        let known = self.setup.invitations.ask(&invitation_id, &shown(secret), now_ms);
        let state = Some(self.answer(&known.map_err(status)?, from));
        Ok(Response::new(GetJoinResponse { state }))
    }
}

fn shown(secret: Option<JoinSecret>) -> Bytes {
    secret.map(|it| it.secret).unwrap_or_default()
}

/// The core knows no certificates; members must be able to use those of a member they vote for.
fn require_anchors(card: &SignedJoinCard) -> Result<(), Reject> {
    let broken = |field, text: String| Reject::field(field, "ANCHOR", text);
    let card = registry_proto::join::JoinCard::claimed(card)
        .map_err(|error| Reject::field("card", "CARD", error.to_string()))?;
    let anchors = card.member.anchors.iter().take(registry_proto::charter::TRUST_MAX);
    let anchors: Vec<_> = anchors.map(|it| CertificateDer::from(it.to_vec())).collect();
    tls::check_anchors(&anchors)
        .map_err(|error| broken("card.member.anchors", error.to_string()))?;
    tls::check_strong_anchors(&anchors)
        .map_err(|error| broken("card.member.anchors", tls::reason(&error)))
}

fn unread() -> Reject {
    Reject::Unavailable {
        reason: "VOTES_UNREAD",
        description: "der Knoten liest noch, wer Mitglied ist; gleich noch einmal versuchen"
            .to_owned(),
    }
}

/// Bytes of charters in one answer.
const ANSWER_BYTES: usize = 2 << 20;
