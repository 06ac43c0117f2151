//! `verbund.registry.v1.ErasureService`.

use std::collections::BTreeMap;

use registry_core::{
    authorize::{self, Action, Principal},
    fold::{self, Position, Record},
    reject::Reject,
    submission::{Erase, Submission, ToErase},
    view::Catalogue,
};
use registry_journal::Reader;
use registry_proto::{
    charter::{Charter, Member, Standing},
    log::{Header, Kind},
    terms::LogId,
    wire::registry::{
        EraseRequest, EraseResponse, ErasedAt, ErasureState, ListErasuresRequest,
        ListErasuresResponse, LogPosition, erasure_service_server::ErasureService,
    },
};
use tonic::{Request, Response, Status};
use tracing::{error, info};
use uuid::Uuid;

use crate::{
    batches::timestamp,
    driver::Handle,
    erasure::{Erasures, Known},
    index::Index,
    journals::{JournalRead, Parsed},
    lifecycle::chain,
    reads::position,
    wire::{
        audited::{Subject, rehearsed},
        caller::caller,
        said,
        status::status,
    },
    witness::Receipts,
};

/// Handlers of the service.
#[derive(Clone, Debug)]
pub struct ErasureApi {
    setup: Setup,
}

/// What the service needs.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The log that can be erased in.
    pub own: LogId,
    /// The charter in force.
    pub charter: Charter,
    /// Where contacts are found.
    pub index: Index,
    /// Where entries are read: all of them, also those that do not count.
    pub readers: BTreeMap<LogId, Reader>,
    /// The way to the log.
    pub driver: Handle,
    /// What is erased.
    pub erasures: Erasures,
    /// Who has confirmed it.
    pub receipts: Receipts,
}

/// Erasures on a page.
const PAGE_MAX: u32 = 500;
const PAGE_DEFAULT: u32 = 100;

// === impl ErasureApi ===

impl ErasureApi {
    /// Erases and tells by what it is given.
    pub fn new(setup: Setup) -> Self {
        Self { setup }
    }

    async fn erased(
        &self,
        principal: &Principal,
        request: EraseRequest,
    ) -> Result<Vec<ErasureState>, Reject> {
        authorize::require(principal, Action::Operate)?;
        let EraseRequest { entries, grund, dry_run } = request;
        let mut targets = Vec::new();
        // more are refused anyway, and none of them is read for that
        for at in entries.iter().take(registry_core::limits::PUBLISH_RECORDS_MAX + 1) {
            let at = position(at)?;
            let target = self.target(at)?;
            if let (Kind::Contact, Some(service)) = (target.header.kind, target.header.object_id) {
                self.contacts_before(service, at, &mut targets)?;
            }
            if targets.iter().all(|it: &ToErase| place(&it.header) != at) {
                targets.push(target);
            }
        }
        let mut entropy = [0; 32];
        getrandom::fill(&mut entropy)
            .map_err(|_| Reject::Storage { operation: "drawing random numbers" })?;
        let own = self.setup.own;
        let erase = Erase { own, targets: targets.clone(), grund, dry_run, entropy };
        let submission = Submission::erase(principal, erase)?;
        let published = self.setup.driver.publish(submission).await?;
        let mut states = Vec::new();
        for (target, record) in targets.iter().zip(&published.records) {
            let entry = place(&target.header);
            let by = record.index.filter(|_| !dry_run).map(|index| Position { log: own, index });
            if let Some(by) = by {
                info!(by = principal.pseudonym, %entry, erasure = %by, "an entry is erased");
            }
            states.push(self.state(target, entry, by, false)?);
        }
        Ok(states)
    }

    fn listed(&self, request: &ListErasuresRequest) -> Result<ListErasuresResponse, Reject> {
        let erasures = &self.setup.erasures;
        let mut all: Vec<Known> = match &request.entry {
            None => erasures.logs().into_iter().flat_map(|log| erasures.of(log)).collect(),
            Some(at) => {
                let at = position(at)?;
                let logs = erasures.logs().into_iter().filter(|it| it.land == at.log.land);
                let all = logs.flat_map(|log| erasures.of(log));
                all.filter(|it| it.entry == at).collect()
            }
        };
        if let (true, Some(at)) = (all.is_empty(), &request.entry) {
            let name = position(at)?.to_string();
            return Err(Reject::NotFound { what: "erasure of entry", name });
        }
        let total = all.len() as u64;
        let size = if request.page_size == 0 { PAGE_DEFAULT } else { request.page_size };
        all.truncate(size.min(PAGE_MAX) as usize);
        let state = |it: &Known| {
            let target = self.target(it.entry)?;
            self.state(&target, it.entry, Some(it.by), it.done)
        };
        let erasures = all.iter().map(state).collect::<Result<_, _>>()?;
        Ok(ListErasuresResponse { erasures, total })
    }

    /// What was said of the same contact before goes with it: else it would count again.
    fn contacts_before(
        &self,
        service: Uuid,
        at: Position,
        targets: &mut Vec<ToErase>,
    ) -> Result<(), Reject> {
        let ask = |catalogue: &Catalogue<'_, _>| Ok(catalogue.contacts_before(service, at)?);
        let (before, _) = self.setup.index.ask(ask)?;
        for earlier in before {
            if targets.iter().all(|it| place(&it.header) != earlier) {
                targets.push(self.target(earlier)?);
            }
        }
        Ok(())
    }

    fn target(&self, at: Position) -> Result<ToErase, Reject> {
        let entry = self.entry(at)?;
        Ok(ToErase { header: entry.header, leaf: entry.leaf })
    }

    /// An entry that is here, also beyond what counts of an epoch that ended.
    fn entry(&self, at: Position) -> Result<Parsed, Reject> {
        let reader = self.setup.readers.get(&at.log).filter(|it| at.index < it.size());
        let name = || at.to_string();
        let reader = reader.ok_or_else(|| Reject::NotFound { what: "entry", name: name() })?;
        let failed = |cause: String| {
            error!(%at, cause, "cannot read an entry");
            Reject::Unavailable {
                reason: "JOURNAL_DAMAGED",
                description: format!("entry {at} cannot be read from the journal of this node"),
            }
        };
        let stored = JournalRead::read(reader, at.index, 1, 1);
        let stored = stored.map_err(|error| failed(chain(&error)))?.into_iter().next();
        let stored = stored.ok_or_else(|| failed("nothing is there".to_owned()))?;
        Parsed::of(at.log, stored).map_err(|error| failed(chain(&error)))
    }

    fn state(
        &self,
        target: &ToErase,
        entry: Position,
        by: Option<Position>,
        done: bool,
    ) -> Result<ErasureState, Reject> {
        let mut state = ErasureState {
            entry: Some(wire_position(entry)),
            leaf_hash: target.leaf.as_bytes().to_vec().into(),
            kind: target.header.kind.to_wire(),
            object_id: target.header.object_id.map(|it| it.to_string()).unwrap_or_default(),
            done_here: done,
            ..ErasureState::default()
        };
        let Some(by) = by else { return Ok(state) };
        let stored = self.entry(by)?;
        state.erasure = Some(wire_position(by));
        state.discarded = self.setup.erasures.is_discarded(by);
        state.recorded_at = Some(timestamp(stored.header.recorded_unix_ms));
        if let Ok(Record::Erasure(it)) = fold::read(&stored.as_entry()) {
            match stored.is_forged() {
                true => self.setup.erasures.forged().tell(by),
                false => state.grund = it.grund,
            }
        }
        let book = self.setup.receipts.read();
        for it in book.erased(by.log, by.index) {
            state.confirmed.push(ErasedAt {
                land: it.receipt().holder.code().to_owned(),
                since: Some(timestamp(it.receipt().unix_ms)),
                statement: it.raw().clone(),
            });
        }
        let silent = |it: &&Member| state.confirmed.iter().all(|at| at.land != it.land.code());
        let members = self.setup.charter.members().iter().filter(silent);
        let (removed, open): (Vec<_>, Vec<_>) =
            members.partition(|it| matches!(it.standing, Standing::Removed(_)));
        let codes = |of: Vec<&Member>| of.iter().map(|it| it.land.code().to_owned()).collect();
        (state.open, state.removed) = (codes(open), codes(removed));
        Ok(state)
    }
}

fn place(header: &Header) -> Position {
    Position { log: header.log, index: header.index }
}

fn wire_position(at: Position) -> LogPosition {
    LogPosition { land: at.log.land.code().to_owned(), epoch: at.log.epoch, index: at.index }
}

/// What the audit log says: the first entries, each with its erasure, and how many there are.
fn outcome(erasures: &[ErasureState]) -> String {
    let one = |it: &ErasureState| {
        let entry = it.entry.as_ref().map(named).unwrap_or_default();
        match it.erasure.as_ref().map(named) {
            Some(by) => format!("{entry} by {by}"),
            None => entry,
        }
    };
    listed(erasures, one)
}

fn listed<T>(all: &[T], one: impl Fn(&T) -> String) -> String {
    let mut said: Vec<_> = all.iter().take(SAID_MAX).map(one).collect();
    if let Some(more) = all.len().checked_sub(SAID_MAX).filter(|it| *it > 0) {
        said.push(format!("and {more} more"));
    }
    said.join(", ")
}

/// An entry as somebody names it, who may write any text for a Land.
fn named(at: &LogPosition) -> String {
    let land: String = at.land.chars().take(LAND_CHARS_MAX).collect();
    format!("{land}/{}/{}", at.epoch, at.index)
}

/// What a request is about, of any size and from anybody who may connect.
fn subject(asked: &EraseRequest) -> String {
    let dry = if asked.dry_run { "dry run: " } else { "" };
    format!("{dry}{} grund={}", listed(&asked.entries, named), cut(&asked.grund))
}

fn cut(grund: &str) -> String {
    grund.chars().take(said::CHARS_MAX).collect()
}

/// Entries that are named in the audit log.
const SAID_MAX: usize = 4;
const LAND_CHARS_MAX: usize = 2;

#[tonic::async_trait]
impl ErasureService for ErasureApi {
    async fn erase(
        &self,
        request: Request<EraseRequest>,
    ) -> Result<Response<EraseResponse>, Status> {
        let asked = request.get_ref();
        let grund = cut(&asked.grund);
        Subject::say(&request, &subject(asked));
        let principal = caller(&request)?;
        let request = request.into_inner();
        let dry_run = request.dry_run;
        let erasures = self.erased(&principal, request).await.map_err(status)?;
        let object = format!("{} grund={grund}", outcome(&erasures));
        Ok(rehearsed(EraseResponse { erasures }, object, dry_run))
    }

    async fn list_erasures(
        &self,
        request: Request<ListErasuresRequest>,
    ) -> Result<Response<ListErasuresResponse>, Status> {
        authorize::require(&*caller(&request)?, Action::Read).map_err(status)?;
        let (api, asked) = (self.clone(), request.into_inner());
        let failed = || status(Reject::Storage { operation: "reading erasures" });
        let listed = tokio::task::spawn_blocking(move || api.listed(&asked)).await;
        Ok(Response::new(listed.map_err(|_| failed())?.map_err(status)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_request_is_short_whatever_it_brings() {
        let at = |index| LogPosition { land: "S".repeat(1 << 20), epoch: 1, index };
        let entries = (0..9).map(at).collect();
        let mut asked = EraseRequest { entries, grund: "ä".repeat(1 << 20), dry_run: true };
        let grund = "ä".repeat(100);
        let expected = "dry run: SS/1/0, SS/1/1, SS/1/2, SS/1/3, and 5 more grund=";
        assert_eq!(subject(&asked), format!("{expected}{grund}"));
        (asked.entries, asked.grund, asked.dry_run) = (Vec::new(), "Widerruf".to_owned(), false);
        assert_eq!(subject(&asked), " grund=Widerruf");
    }
}
