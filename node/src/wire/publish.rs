//! `verbund.registry.v1.PublishService`: the way of a submission through the stages of the core.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message;
use registry_core::{
    authorize::{Person, Principal},
    compat::{Severity, Verdict},
    envelope::{Envelope, Purpose},
    fold::Position,
    log::{Published, PublishedRecord},
    reject::Reject,
    submission::{Submission, permit_draft},
};
use registry_proto::{
    terms::{Date, Land, LogId},
    wire::registry::{
        self as wire, Compatibility, CompatibilityChange, CompatibilitySeverity, LogPosition,
        PublishRequest, PublishResponse, Record, ServiceVersion,
        publish_service_server::PublishService, record::Record as Any,
    },
};
use rustls::pki_types::UnixTime;
use tonic::{Request, Response, Status};
use tracing::info;
use uuid::Uuid;

use crate::{
    approvals::{Approvals, Submitted, Waiting},
    artefacts::{self, Artefacts},
    data::Lists,
    driver::Handle,
    erasure::Erasures,
    fit_connect::{At, Roots},
    index::Index,
    observe::Metrics,
    tls::{Chain, TlsContext, reason},
    wire::{
        audited::about,
        caller::{caller, chain},
        previous::Previous,
        status::status,
    },
};

/// Handlers of the publish service.
#[derive(Clone, Debug)]
pub struct PublishApi {
    own: LogId,
    members: BTreeSet<Land>,
    lists: Lists,
    index: Index,
    previous: Previous,
    driver: Handle,
    metrics: Arc<Metrics>,
    artefacts: Artefacts,
    roots: Arc<Roots>,
    approvals: Approvals,
    tls: Arc<TlsContext>,
}

/// What became of a submission, or under which id it waits.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) published: Published,
    /// Of what waits for a second person; positions are unset then.
    pub(super) approval: Option<String>,
}

/// How to keep a submission that one person alone may not publish.
struct Hold {
    id: Uuid,
    request: Bytes,
    person: Person,
    by: String,
    chain: Chain,
    wall_ms: i64,
}

/// What the publish service needs.
#[derive(Debug)]
pub struct Setup {
    /// The log that is published to.
    pub own: LogId,
    /// Who may take a service over.
    pub members: BTreeSet<Land>,
    /// Lists to validate with.
    pub lists: Lists,
    /// How things stand.
    pub index: Index,
    /// The way to the log.
    pub driver: Handle,
    /// Where publications are counted.
    pub metrics: Arc<Metrics>,
    /// Files of versions.
    pub artefacts: Artefacts,
    /// What signatures of delivery points must lead to.
    pub roots: Arc<Roots>,
    /// What waits for a second person.
    pub approvals: Approvals,
    /// Whose certificates count.
    pub tls: Arc<TlsContext>,
}

// === impl PublishApi ===

impl PublishApi {
    /// Publishes by what it is given.
    pub fn new(setup: Setup) -> Self {
        let Setup { own, members, lists, index, driver, metrics, artefacts, roots, approvals, tls } =
            setup;
        let previous = Previous::new(index.clone(), own.land);
        Self {
            own,
            members,
            lists,
            index,
            previous,
            driver,
            metrics,
            artefacts,
            roots,
            approvals,
            tls,
        }
    }

    /// Has erased versions forgotten that are kept in memory.
    pub fn forgets(&self, erasures: &Erasures) {
        let previous = self.previous.clone();
        erasures.hear(move |at| previous.forget(at));
    }

    /// Wall clock of the node, milliseconds since 1970-01-01 UTC.
    pub(super) fn wall_ms(&self) -> i64 {
        self.driver.clock().wall_ms()
    }

    /// Publishes what a principal asks for, or keeps it for a second person to confirm, with the
    /// certificates it showed.
    pub(super) async fn as_principal(
        &self,
        principal: &Principal,
        chain: Chain,
        mut request: PublishRequest,
    ) -> Result<Answer, Reject> {
        if request.dry_run || !principal.may_need_second() {
            let published = self.ask(principal, request, Purpose::Publish, None).await?.published;
            return Ok(Answer { published, approval: None });
        }
        if request.idempotency_key.is_empty() {
            // names the new services, now and when it is confirmed
            request.idempotency_key = format!("approval-{}", Uuid::now_v7());
        }
        let by = principal.pseudonym.clone();
        let name = format!("{by}/{}", request.idempotency_key);
        let hold = Hold {
            id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
            request: request.encode_to_vec().into(),
            person: principal.person,
            by,
            chain,
            wall_ms: self.wall_ms(),
        };
        self.ask(principal, request, Purpose::Publish, Some(hold)).await
    }

    /// Publishes what waits, because a principal confirms it: by its rules, under the pseudonym
    /// and idempotency key of who submitted it, so that confirming it twice writes it once. Who
    /// submitted it must still be allowed to.
    pub(super) async fn confirmed(
        &self,
        principal: &Principal,
        waiting: &Waiting,
    ) -> Result<Published, Reject> {
        self.may_still_submit(waiting).await?;
        self.confirm(principal, waiting, false).await
    }

    /// Asks again for the rights of who submitted what waits: rules may have changed since, and a
    /// certificate may have been revoked. Whether it can be published still is not asked.
    async fn may_still_submit(&self, waiting: &Waiting) -> Result<(), Reject> {
        let by = &waiting.approval.submitted_by;
        let (tls, chain) = (Arc::clone(&self.tls), waiting.chain.clone());
        let recognised = tokio::task::spawn_blocking(move || {
            tls.recognise(&chain, UnixTime::now()).map_err(|error| not_recognised(&error))
        });
        let failed = |_| Reject::Storage { operation: "judging a certificate" };
        let identity = recognised.await.map_err(failed)?;
        let identity = identity.map_err(|why: String| lost_rights(by, &why))?;
        let request = PublishRequest { dry_run: true, ..submitted(waiting)? };
        match self.ask(&identity.principal, request, Purpose::Publish, None).await {
            Err(Reject::Denied { .. }) => {
                Err(lost_rights(by, "das Zertifikat hat hier die nötige Rolle nicht mehr"))
            }
            Err(Reject::Forbidden(it)) => {
                let rules = it.rules.join(", ");
                Err(lost_rights(by, &format!("die Regeln decken es nicht ({} {rules})", it.reason)))
            }
            // these may come before the rules were asked
            Err(
                passing @ (Reject::Unavailable { .. }
                | Reject::Storage { .. }
                | Reject::Busy { .. }
                | Reject::Throttled { .. }),
            ) => Err(passing),
            _ => Ok(()),
        }
    }

    /// Judges whether a principal may confirm what waits; whether it can be published still is
    /// not asked.
    pub(super) async fn may_confirm(
        &self,
        principal: &Principal,
        waiting: &Waiting,
    ) -> Result<(), Reject> {
        match self.confirm(principal, waiting, true).await {
            Err(refused @ (Reject::Denied { .. } | Reject::Forbidden(_))) => Err(refused),
            _ => Ok(()),
        }
    }

    async fn confirm(
        &self,
        principal: &Principal,
        waiting: &Waiting,
        dry_run: bool,
    ) -> Result<Published, Reject> {
        let request = PublishRequest { dry_run, ..submitted(waiting)? };
        let by = principal.confirming(&waiting.approval.submitted_by);
        Ok(self.ask(&by, request, Purpose::Confirm, None).await?.published)
    }

    /// Tells what publishing a draft would say; nothing is written.
    pub(super) async fn as_draft(
        &self,
        principal: &Principal,
        request: PublishRequest,
    ) -> Result<Published, Reject> {
        Ok(self.ask(principal, request, Purpose::Draft, None).await?.published)
    }

    /// Judges by the rules of a principal whether it may work on a draft. Reads the disk.
    pub(super) fn permit_draft(
        &self,
        principal: &Principal,
        records: &[Record],
    ) -> Result<(), Reject> {
        let land = self.own.land;
        self.index
            .ask(|it| permit_draft(principal, records, it, land))
            .map(|(permitted, _)| permitted)
    }

    async fn ask(
        &self,
        principal: &Principal,
        request: PublishRequest,
        purpose: Purpose,
        hold: Option<Hold>,
    ) -> Result<Answer, Reject> {
        let wall_ms = self.driver.clock().wall_ms();
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy)
            .map_err(|_| Reject::Storage { operation: "drawing random numbers" })?;
        let envelope = Envelope {
            request,
            purpose,
            principal: Some(principal.clone()),
            today: Date::from_unix_ms(wall_ms),
            wall_ms,
            entropy,
        };
        let dry_run = envelope.request.dry_run;
        let outcome = self.run(envelope, hold).await;
        if let (false, Ok(Answer { published, approval: None })) = (dry_run, &outcome) {
            self.metrics.published(published.records.len() as u64);
        }
        outcome
    }

    async fn run(&self, envelope: Envelope, hold: Option<Hold>) -> Result<Answer, Reject> {
        let named = artefacts::named(&envelope.request);
        self.is_offered_to_a_member(&envelope.request)?;
        let authorized = envelope.authenticate()?.authorize()?;
        let submission = Submission::validate(authorized, self.own.land, &self.lists.current())?;
        let submission = self.judged(submission).await?;
        self.artefacts.require(&named).await?;
        let new = submission.releases().map(|(at, it, bytes)| (at, Arc::clone(it), bytes));
        let new: Vec<_> = new.collect();
        let submission = self.compared(submission).await?;
        if let Some(hold) = hold.filter(|_| submission.needs_second()) {
            return self.held(submission, hold).await;
        }
        let published = self.driver.publish(submission).await?;
        for (n, version, bytes) in new {
            let record = published.records.get(n);
            if let Some((record, index)) = record.and_then(|it| Some((it, it.index?))) {
                let at = Position { log: record.log, index };
                self.previous.keep(record.service.uuid(), at, version, bytes);
            }
        }
        Ok(Answer { published, approval: None })
    }

    /// Keeps a submission that was found good, unless there is nothing left to write of it.
    async fn held(&self, submission: Submission, hold: Hold) -> Result<Answer, Reject> {
        let published = self.driver.publish(submission.into_dry_run()).await?;
        if published.records.iter().all(|it| it.index.is_some()) {
            return Ok(Answer { published, approval: None });
        }
        let (approvals, records) = (self.approvals.clone(), published.records.len());
        let kept = tokio::task::spawn_blocking(move || {
            let Hold { id, request, person, by, chain, wall_ms } = hold;
            let (request, by) = (&request, by.as_str());
            approvals.hold(Submitted { id, request, records, by, person, chain, wall_ms })
        });
        let failed = |_| Reject::Storage { operation: "keeping a submission" };
        let kept = kept.await.map_err(failed)??;
        info!(by = kept.submitted_by, approval = kept.approval_id, "waits for a second person");
        Ok(Answer { published, approval: Some(kept.approval_id) })
    }

    /// New versions are compared with those before them, files included.
    async fn compared(&self, submission: Submission) -> Result<Submission, Reject> {
        let (previous, services) = (self.previous.clone(), submission.released());
        let previous = if services.len() <= COMPARED_HERE_MAX {
            previous.of(services)?
        } else {
            let read = tokio::task::spawn_blocking(move || previous.of(services));
            read.await.map_err(|_| Reject::Storage { operation: "reading the catalogue" })??
        };
        let submission = self.delivered(submission, &previous).await?;
        let named = previous.values().flat_map(|it| &it.artefakte).chain(submission.artefakte());
        let files = self.artefacts.comparable(named).await?;
        submission.compare(previous, &files)
    }

    /// Signatures of delivery points are verified, and compared with the keys of the service.
    async fn delivered(
        &self,
        submission: Submission,
        published: &HashMap<Uuid, Arc<ServiceVersion>>,
    ) -> Result<Submission, Reject> {
        let services = submission.delivering();
        if services.is_empty() {
            return Ok(submission);
        }
        let (index, land, roots) = (self.index.clone(), self.own.land, Arc::clone(&self.roots));
        let published = published.clone();
        let delivered = tokio::task::spawn_blocking(move || {
            let mut keys = HashMap::new();
            for service in services {
                if let Some(known) = index.leistungsschluessel(land, service)? {
                    keys.insert(service, known);
                }
            }
            let now = UnixTime::now();
            submission.deliver(&published, keys, &At { roots: &roots, now })
        });
        let failed = |_| Reject::Storage { operation: "verifying delivery points" };
        delivered.await.map_err(failed)?
    }

    /// Who owns a service, and what moves rest on, stands in the logs of others too, so the
    /// catalogue is asked.
    async fn judged(&self, submission: Submission) -> Result<Submission, Reject> {
        let (index, own) = (self.index.clone(), self.own);
        let today = self.driver.clock().today();
        let is_quick = !submission.has_moves() && submission.len() <= JUDGED_HERE_MAX;
        let judge = move || {
            let contents = |at| index.content(at);
            let judged = index.ask(|it| {
                // who may not do it is not told how it would fare
                submission.permit(it, own.land)?.judge(it, own, today, &contents)
            });
            judged.map(|(judged, _)| judged)
        };
        if is_quick {
            return judge();
        }
        let failed = |_| Reject::Storage { operation: "judging a record" };
        tokio::task::spawn_blocking(judge).await.map_err(failed)?
    }

    /// Only a member can take a service over.
    fn is_offered_to_a_member(&self, request: &PublishRequest) -> Result<(), Reject> {
        for (at, record) in request.records.iter().enumerate() {
            let Some(Any::Uebergabe(it)) = &record.record else { continue };
            let member = it.an_land.parse::<Land>().ok();
            if member.is_some_and(|land| !self.members.contains(&land)) {
                return Err(Reject::field(
                    format!("records[{at}].uebergabe.an_land"),
                    "LAND_NO_MEMBER",
                    format!("{} ist kein Mitglied des Verbunds", it.an_land),
                ));
            }
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl PublishService for PublishApi {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let (principal, chain) = (caller(&request)?, chain(&request));
        let answer = self.as_principal(&principal, chain, request.into_inner()).await;
        let answer = answered(answer.map_err(status)?);
        let said = said(&answer);
        Ok(about(answer, said))
    }
}

/// Records without moves that are judged where they are asked for: one look each.
const JUDGED_HERE_MAX: usize = 64;
/// Versions before new ones that are read where they are asked for: a few microseconds each.
const COMPARED_HERE_MAX: usize = 8;

fn submitted(waiting: &Waiting) -> Result<PublishRequest, Reject> {
    let unreadable = |_| Reject::Storage { operation: "reading a submission that waits" };
    PublishRequest::decode(waiting.request.clone()).map_err(unreadable)
}

fn not_recognised(error: &rustls::Error) -> String {
    use rustls::{CertificateError as It, Error};

    let why = match error {
        Error::NoCertificatesPresented => "mit der Einreichung ist kein Zertifikat aufbewahrt",
        Error::InvalidCertificate(It::Revoked) => "das Zertifikat ist widerrufen",
        Error::InvalidCertificate(It::Expired | It::ExpiredContext { .. }) => {
            "das Zertifikat ist abgelaufen"
        }
        Error::InvalidCertificate(It::UnknownIssuer) => {
            "der Anker des Zertifikats zählt nicht mehr"
        }
        other => return format!("das Zertifikat zählt nicht mehr: {}", reason(other)),
    };
    why.to_owned()
}

fn lost_rights(by: &str, why: &str) -> Reject {
    Reject::Precondition {
        reason: "SUBMITTER_RIGHTS",
        description: format!(
            "wer eingereicht hat ({by}), dürfte es heute nicht mehr: {why}; nichts wurde \
             veröffentlicht. Ablehnen oder neu einreichen lassen"
        ),
    }
}

/// What the audit log says of an answer.
pub(super) fn said(published: &PublishResponse) -> String {
    if !published.approval_id.is_empty() {
        return format!("waits for a second person as {}", published.approval_id);
    }
    let records = &published.records;
    let mut said = String::with_capacity(SAID_BYTES * records.len().min(SAID_MAX));
    for (n, record) in records.iter().take(SAID_MAX).enumerate() {
        said.push_str(if n > 0 { ", " } else { "" });
        record_said(record, &mut said);
    }
    if let Some(more) = records.len().checked_sub(SAID_MAX).filter(|it| *it > 0) {
        said.extend([", and ", &more.to_string(), " more"]);
    }
    said
}

fn record_said(it: &wire::PublishedRecord, said: &mut String) {
    match &it.position {
        Some(at) => {
            let (epoch, index) = (at.epoch.to_string(), at.index.to_string());
            said.extend([&at.land, "/", &epoch, "/", &index]);
        }
        None => said.push_str("dry run"),
    }
    said.push_str(if it.unchanged { " unchanged" } else { "" });
    for name in [&it.service_id, &it.version].into_iter().filter(|it| !it.is_empty()) {
        said.extend([" ", name]);
    }
}

/// About what a record takes there.
const SAID_BYTES: usize = 72;
/// Records that are named in the audit log; the others follow them in the log of the Land.
const SAID_MAX: usize = 4;

/// What became of a submission, or where it waits.
pub(super) fn answered(answer: Answer) -> PublishResponse {
    let approval_id = answer.approval.unwrap_or_default();
    PublishResponse { approval_id, ..response(answer.published) }
}

/// What became of a submission.
pub(super) fn response(published: Published) -> PublishResponse {
    PublishResponse {
        approval_id: String::new(),
        records: published.records.into_iter().map(record).collect(),
        acknowledged_by: published.acknowledged_by.iter().map(ToString::to_string).collect(),
    }
}

fn record(it: PublishedRecord) -> wire::PublishedRecord {
    let position = it.index.map(|index| LogPosition {
        land: it.log.land.code().to_owned(),
        epoch: it.log.epoch,
        index,
    });
    wire::PublishedRecord {
        service_id: it.service.to_string(),
        version: it.version.map(|it| it.to_string()).unwrap_or_default(),
        position,
        leaf_hash: it.leaf.map(|it| it.as_bytes().to_vec().into()).unwrap_or_default(),
        unchanged: it.unchanged,
        warnings: it.warnings,
        revision: it.revision,
        subscription_id: it.subscription.map(|it| it.to_string()).unwrap_or_default(),
        compatibility: it.verdict.map(compatibility),
    }
}

fn compatibility(it: Verdict) -> Compatibility {
    let breaking = it.is_breaking();
    let change = |it: registry_core::compat::Change| CompatibilityChange {
        severity: match it.severity {
            Severity::Breaking => CompatibilitySeverity::Breaking,
            Severity::Note => CompatibilitySeverity::Note,
            Severity::Compatible => CompatibilitySeverity::Compatible,
        } as i32,
        path: it.path,
        rule: it.rule.to_owned(),
        description: it.description,
    };
    Compatibility {
        previous_version: it.from.to_string(),
        breaking,
        changes: it.changes.into_iter().map(change).collect(),
    }
}
