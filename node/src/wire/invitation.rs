//! `verbund.registry.v1.InvitationService`: invites Länder that are not members yet.

use std::sync::Arc;

use registry_core::{
    authorize::{self, Action},
    invitations::Invitation,
    reject::{FieldViolation, Reject},
};
use registry_proto::{
    charter::Charter,
    join::{ADDRESS_CHARS_MAX, ADDRESSES_MAX, Invited, PINS_MAX},
    log::LogSigner,
    terms::Land,
    wire::registry::{
        self as wire, CreateInvitationRequest, CreateInvitationResponse, ListInvitationsRequest,
        ListInvitationsResponse, RevokeInvitationRequest, RevokeInvitationResponse,
        invitation_service_server::InvitationService,
    },
};
use tonic::{Request, Response, Status};
use tracing::info;

use super::{audited::about, caller::caller, status::status};
use crate::{
    batches::timestamp, charters::Charters, config::is_host_and_port, driver::Clock,
    invitations::Invitations, lifecycle::chain, tls::Pins,
};

/// Handlers of the service. Clones share the invitations.
#[derive(Clone, Debug)]
pub struct InvitationApi {
    setup: Arc<Setup>,
}

/// What invitations are made of.
#[derive(Debug)]
pub struct Setup {
    /// The Land that invites.
    pub land: Land,
    /// Its node.
    pub node: String,
    /// Its charter.
    pub charter: Charter,
    /// Keys of its log.
    pub signer: LogSigner,
    /// Whether the port for joining is open.
    pub listens: bool,
    /// What is kept.
    pub invitations: Invitations,
    /// The charters in force.
    pub charters: Charters,
    /// Time.
    pub clock: Clock,
}

// === impl InvitationApi ===

impl InvitationApi {
    /// Makes invitations of one node.
    pub fn new(setup: Setup) -> Self {
        Self { setup: Arc::new(setup) }
    }

    /// Works on the disk and with keys, apart from the threads that answer.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Setup) -> Result<T, Reject> + Send + 'static,
    ) -> Result<T, Reject> {
        let setup = Arc::clone(&self.setup);
        let done = tokio::task::spawn_blocking(move || work(&setup)).await;
        done.map_err(|_| Reject::Storage { operation: "working on invitations" })?
    }
}

// === impl Setup ===

impl Setup {
    fn invite(
        &self,
        asked: CreateInvitationRequest,
        by: String,
    ) -> Result<(Invitation, String), Reject> {
        let land = checked(&asked)?;
        if !self.listens {
            return Err(Reject::Precondition {
                reason: "NO_JOIN_PORT",
                description: "dieser Knoten hat keinen Port für Beitritte; in der node.toml \
                              listen.join setzen und den Knoten neu starten"
                    .to_owned(),
            });
        }
        let own = self.charter.member(self.land);
        let Pins { node, mut pins } =
            own.map(|it| Pins::of(it, &self.node)).ok_or_else(unpinned)?;
        pins.truncate(PINS_MAX);
        if pins.is_empty() {
            return Err(unpinned());
        }
        let charter = self.charters.shown().chain.current().clone();
        let valid_ms = i64::try_from(asked.valid_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        let (invitation, secret) =
            self.invitations.make(land, valid_ms, by, &charter, self.clock.wall_ms())?;
        let invited = Invited {
            verbund: charter.id(),
            id: invitation.id,
            secret,
            land,
            issuer: self.land,
            node,
            pins,
            addresses: asked.addresses,
            expires_unix_seconds: invitation.expires_ms.div_euclid(1_000),
        };
        match invited.sign(&self.signer) {
            Ok(token) => Ok((invitation, token.text())),
            Err(error) => {
                tracing::error!(cause = chain(&error), "a join token cannot be signed");
                // nobody has its secret
                self.invitations.revoke(&invitation.id.to_string())?;
                Err(Reject::Unavailable {
                    reason: "KEY_UNAVAILABLE",
                    description: "der Freshness-Schlüssel signiert gerade nicht; registry-node \
                                  key list --check nennt den Grund"
                        .to_owned(),
                })
            }
        }
    }
}

#[tonic::async_trait]
impl InvitationService for InvitationApi {
    async fn create_invitation(
        &self,
        request: Request<CreateInvitationRequest>,
    ) -> Result<Response<CreateInvitationResponse>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Operate).map_err(status)?;
        let (asked, by) = (request.into_inner(), principal.pseudonym.clone());
        let made = self.apart(move |setup| setup.invite(asked, by)).await;
        let (invitation, token) = made.map_err(status)?;
        let (id, land) = (invitation.id, invitation.land);
        info!(by = principal.pseudonym, %id, %land, "a Land was invited");
        let now_ms = self.setup.clock.wall_ms();
        let shown = Some(shown(&invitation, &self.setup.charter, now_ms));
        let answer = CreateInvitationResponse { token, invitation: shown };
        Ok(about(answer, format!("invitation_id={id} land={land}")))
    }

    async fn list_invitations(
        &self,
        request: Request<ListInvitationsRequest>,
    ) -> Result<Response<ListInvitationsResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Read).map_err(status)?;
        let all = self.apart(|setup| {
            let charter = setup.charters.shown().chain.current().clone();
            let now_ms = setup.clock.wall_ms();
            let all = setup.invitations.list(now_ms);
            Ok(all.iter().map(|it| shown(it, &charter, now_ms)).collect())
        });
        let invitations = all.await.map_err(status)?;
        Ok(Response::new(ListInvitationsResponse { invitations }))
    }

    async fn revoke_invitation(
        &self,
        request: Request<RevokeInvitationRequest>,
    ) -> Result<Response<RevokeInvitationResponse>, Status> {
        let principal = caller(&request)?;
        authorize::require(&principal, Action::Operate).map_err(status)?;
        let id = request.into_inner().invitation_id;
        let revoked = self.apart(move |setup| setup.invitations.revoke(&id)).await;
        let revoked = revoked.map_err(status)?;
        let (id, land) = (revoked.id, revoked.land);
        info!(by = principal.pseudonym, %id, %land, "an invitation was withdrawn");
        Ok(about(RevokeInvitationResponse {}, format!("invitation_id={id} land={land}")))
    }
}

/// The Land of a request whose other values have their form.
fn checked(asked: &CreateInvitationRequest) -> Result<Land, Reject> {
    let mut violations = Vec::new();
    let mut wrong = |field: String, reason, description: String| {
        violations.push(FieldViolation { field, reason, description });
    };
    let land: Option<Land> = asked.land.parse().ok();
    if land.is_none() {
        wrong("land".to_owned(), "LAND", "erwartet das Kürzel eines Landes wie BY".to_owned());
    }
    if !(1..=ADDRESSES_MAX).contains(&asked.addresses.len()) {
        let text = format!("erwartet 1 bis {ADDRESSES_MAX} Adressen");
        wrong("addresses".to_owned(), "COUNT", text);
    }
    for (at, address) in asked.addresses.iter().take(ADDRESSES_MAX).enumerate() {
        if address.len() > ADDRESS_CHARS_MAX || !is_host_and_port(address) {
            let text = "erwartet Name und Port wie sl-1.example:7640".to_owned();
            wrong(format!("addresses[{at}]"), "ADDRESS", text);
        }
    }
    match land {
        Some(land) if violations.is_empty() => Ok(land),
        _ => Err(Reject::Invalid(violations)),
    }
}

fn unpinned() -> Reject {
    Reject::Precondition {
        reason: "NO_ANCHOR",
        description: "die Charta nennt für dieses Land weder Anker noch Pins, die ein Token \
                      nennen könnte"
            .to_owned(),
    }
}

fn shown(it: &Invitation, charter: &Charter, now_ms: i64) -> wire::Invitation {
    wire::Invitation {
        invitation_id: it.id.to_string(),
        land: it.land.code().to_owned(),
        created_by: it.created_by.clone(),
        created_at: Some(timestamp(it.created_ms)),
        expires_at: Some(timestamp(it.expires_ms)),
        presented_at: it.presented.as_ref().map(|it| timestamp(it.at_ms)),
        member: it.waiting(charter).cloned(),
        expired: Some(it.is_over(now_ms)),
    }
}
