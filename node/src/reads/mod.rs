//! Answers of the catalogue: summaries from the index, records from the journal, and what both
//! rest on. Runs on the caller's thread and reads the disk.

mod history;
mod kept;
mod nachnutzung;
mod offers;

use std::{collections::BTreeMap, sync::Arc};

use prost::Message;
use registry_core::{
    authorize::PeerIdentity,
    fold::{self, Position, Record},
    reject::Reject,
    submission::content_of,
    view::{Catalogue, Cut, OfferAsk, QueryError, SearchAsk, ServiceState, Standing, When},
};
use registry_proto::{
    charter::Charter,
    log::{Continued, Hash, Origin, OwnerKeys, check_inclusion, leaf_hash},
    terms::{Date, Land, LogId},
    wire::registry::{
        GetInclusionProofRequest, GetInclusionProofResponse, GetServiceRequest, GetServiceResponse,
        GetStatusRequest, GetStatusResponse, GetVersionRequest, GetVersionResponse,
        HeldRetirements, ListHandoversRequest, ListHandoversResponse, ListServicesRequest,
        ListServicesResponse, ListVersionsRequest, ListVersionsResponse, LogPosition,
        ResolveVersionRequest, ResolveVersionResponse, SearchServicesRequest,
        SearchServicesResponse, Service, ServiceOwner, ServiceVersion, SuggestRequest,
        SuggestResponse, Version,
    },
};
use uuid::Uuid;

use self::{history::Basis, kept::Kept};
use crate::{
    batches::{provenance, timestamp},
    data::Lists,
    driver::Clock,
    index::Index,
    journals::{Parsed, Signed, Stored, Tiles},
    lifecycle::chain,
    search::{Answer, Search},
    status::StatusBoard,
    store::{Known, Store},
};

/// What reads stand on.
#[derive(Debug)]
pub struct Setup {
    /// Facts and logs.
    pub index: Index,
    /// The full-text index.
    pub search: Search,
    /// What the node tells about itself.
    pub board: StatusBoard,
    /// Names the Verbund, and checks a proof before it is sent.
    pub charter: Charter,
    /// The node that answers.
    pub me: PeerIdentity,
    /// Areas that took the place of others.
    pub lists: Lists,
    /// What is today.
    pub clock: Clock,
    /// Version of the software.
    pub software: &'static str,
}

/// Reads for gRPC and web.
#[derive(Debug)]
pub struct Reads {
    index: Index,
    search: Search,
    board: StatusBoard,
    /// Names the Verbund, and checks a proof before it is sent.
    charter: Charter,
    me: PeerIdentity,
    /// Areas that took the place of others.
    lists: Lists,
    clock: Clock,
    /// Version of the software.
    software: &'static str,
    services: Kept<(GetServiceRequest, Option<When>), Placed<Service>>,
    versions: Kept<(VersionAsked, Option<When>), Placed<Version>>,
    offers: Kept<(OfferAsk, Option<When>), offers::Found>,
    cuts: Kept<When, Cut>,
}

/// A record as it goes over the wire, and its entry.
#[derive(Debug)]
struct Placed<T> {
    record: T,
    at: Position,
    /// Owner of the service today.
    owner: Land,
}

/// How a version is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum VersionAsked {
    /// By its number.
    Exact { service: String, land: String, number: String },
    /// The highest on a day that meets a requirement.
    Highest { service: String, land: String, requirement: String, valid_at: String, today: Date },
}

// === impl Reads ===

impl Reads {
    /// Reads what a node has.
    pub fn new(setup: Setup) -> Self {
        let Setup { index, search, board, charter, me, lists, clock, software } = setup;
        Self {
            index,
            search,
            board,
            charter,
            me,
            lists,
            clock,
            software,
            services: Kept::default(),
            versions: Kept::default(),
            offers: Kept::default(),
            cuts: Kept::default(),
        }
    }

    /// How much of the logs readers see now; who keeps an answer asks again when this changes.
    ///
    /// # Errors
    ///
    /// As [`Index::readable`].
    pub fn cut(&self) -> Result<Arc<Cut>, Reject> {
        self.index.readable().map(|(_, cut)| cut)
    }

    /// A page of services.
    ///
    /// # Errors
    ///
    /// As [`registry_core::view::Catalogue::list_services`] and [`Index::ask`].
    pub fn list_services(
        &self,
        request: &ListServicesRequest,
    ) -> Result<ListServicesResponse, Reject> {
        let basis = self.basis(request.zeitpunkt.as_ref())?;
        let page = self.ask(&basis, |catalogue| catalogue.list_services(request))?;
        let as_of = self.board.as_of(&basis.cut, |land| names(&request.land, land));
        let next_page_token = page.next_page_token;
        Ok(ListServicesResponse { services: page.items, next_page_token, as_of })
    }

    /// A service with its newest definition.
    ///
    /// # Errors
    ///
    /// As [`registry_core::view::Catalogue::service`] and [`Index::ask`].
    pub fn service(&self, request: &GetServiceRequest) -> Result<GetServiceResponse, Reject> {
        let basis = self.basis(request.zeitpunkt.as_ref())?;
        let asked = GetServiceRequest {
            service_id: request.service_id.clone(),
            land: request.land.clone(),
            ..GetServiceRequest::default()
        };
        let question = (asked, basis.when);
        let found = self.services.answer(&basis.newest, question, Placed::bytes, || {
            let (state, revision, owners, kontakte) = self.ask(&basis, |catalogue| {
                let state = catalogue.service(request)?;
                let of = &state.lineage;
                let revision = catalogue.revision(of.land(), of.service)?;
                let owners = catalogue.owners_of(of)?;
                let kontakte = catalogue.contacts_of(of)?;
                Ok((state, revision, owners, kontakte))
            })?;
            let mut placed = self.whole_service(&state, revision, owners)?;
            placed.record.kontakte = kontakte;
            Ok(placed)
        })?;
        Ok(GetServiceResponse {
            service: Some(found.record.clone()),
            as_of: self.board.as_of_land(&basis.cut, found.owner),
            proof: request.with_proof.then(|| self.proof(found.at)).transpose()?,
        })
    }

    fn whole_service(
        &self,
        state: &ServiceState,
        revision: u64,
        owners: Vec<ServiceOwner>,
    ) -> Result<Placed<Service>, Reject> {
        let (entry, record) = self.record(state.position)?;
        let definition = match record {
            Record::Definition(definition) => Some(*definition),
            Record::Version(_) | Record::Move(_) | Record::Erasure(_) | Record::Hidden => None,
        };
        let latest = state.latest_version.map(|number| number.to_string());
        let service = Service {
            definition,
            provenance: Some(provenance(&entry)),
            latest_version: latest.unwrap_or_default(),
            version_count: state.version_count,
            revision,
            land: state.lineage.land().to_string(),
            owners,
            kontakte: Vec::new(),
        };
        Ok(Placed { record: service, at: state.position, owner: state.lineage.land() })
    }

    /// A page of versions.
    ///
    /// # Errors
    ///
    /// As [`registry_core::view::Catalogue::list_versions`] and [`Index::ask`].
    pub fn list_versions(
        &self,
        request: &ListVersionsRequest,
    ) -> Result<ListVersionsResponse, Reject> {
        let basis = self.basis(request.zeitpunkt.as_ref())?;
        let (land, page) = self.ask(&basis, |catalogue| catalogue.list_versions(request))?;
        let as_of = self.board.as_of_land(&basis.cut, land);
        let next_page_token = page.next_page_token;
        Ok(ListVersionsResponse { versions: page.items, next_page_token, as_of })
    }

    /// A version.
    ///
    /// # Errors
    ///
    /// As [`registry_core::view::Catalogue::version`] and [`Index::ask`].
    pub fn version(&self, request: &GetVersionRequest) -> Result<GetVersionResponse, Reject> {
        let basis = self.basis(request.zeitpunkt.as_ref())?;
        let asked = VersionAsked::Exact {
            service: request.service_id.clone(),
            land: request.land.clone(),
            number: request.version.clone(),
        };
        let found =
            self.known_version(&basis, asked, |catalogue| catalogue.version_stands(request))?;
        Ok(GetVersionResponse {
            version: Some(found.record.clone()),
            as_of: self.board.as_of_land(&basis.cut, found.owner),
            proof: request.with_proof.then(|| self.proof(found.at)).transpose()?,
        })
    }

    /// The version that meets a requirement.
    ///
    /// # Errors
    ///
    /// As [`registry_core::view::Catalogue::resolve`] and [`Index::ask`].
    pub fn resolve(
        &self,
        request: &ResolveVersionRequest,
    ) -> Result<ResolveVersionResponse, Reject> {
        let today = self.clock.today();
        let basis = self.basis(request.zeitpunkt.as_ref())?;
        let asked = VersionAsked::Highest {
            service: request.service_id.clone(),
            land: request.land.clone(),
            requirement: request.requirement.clone(),
            valid_at: request.valid_at.clone(),
            today,
        };
        let found =
            self.known_version(&basis, asked, |catalogue| catalogue.resolve(request, today))?;
        let as_of = self.board.as_of_land(&basis.cut, found.owner);
        let proof = request.with_proof.then(|| self.proof(found.at)).transpose()?;
        Ok(ResolveVersionResponse { version: Some(found.record.clone()), as_of, proof })
    }

    fn known_version(
        &self,
        basis: &Basis,
        asked: VersionAsked,
        ask: impl FnOnce(&Catalogue<'_, Store>) -> Result<Standing, QueryError>,
    ) -> Result<Arc<Placed<Version>>, Reject> {
        self.versions.answer(&basis.newest, (asked, basis.when), Placed::bytes, || {
            let standing = self.ask(basis, ask)?;
            let (at, owner) = (standing.state.position, standing.owner);
            Ok(Placed { record: self.whole_version(&standing)?, at, owner })
        })
    }

    /// Offers to hand services over, and what became of them.
    ///
    /// # Errors
    ///
    /// As [`registry_core::view::Catalogue::list_handovers`] and [`Index::ask`].
    pub fn handovers(
        &self,
        request: &ListHandoversRequest,
    ) -> Result<ListHandoversResponse, Reject> {
        let ((handovers, total), cut) =
            self.index.ask(|catalogue| catalogue.list_handovers(request))?;
        Ok(ListHandoversResponse { handovers, total, as_of: self.board.as_of(&cut, |_| true) })
    }

    /// Services found by words.
    ///
    /// # Errors
    ///
    /// As [`SearchAsk::parse`] and [`Search::search`].
    pub fn search(
        &self,
        request: &SearchServicesRequest,
    ) -> Result<SearchServicesResponse, Reject> {
        self.found(&SearchAsk::parse(request)?, &request.land)
    }

    /// Services found by words, or all by name when there are none.
    ///
    /// # Errors
    ///
    /// As [`SearchAsk::parse_browse`] and [`Search::search`].
    pub fn browse(
        &self,
        request: &SearchServicesRequest,
    ) -> Result<SearchServicesResponse, Reject> {
        self.found(&SearchAsk::parse_browse(request)?, &request.land)
    }

    fn found(&self, ask: &SearchAsk, land: &str) -> Result<SearchServicesResponse, Reject> {
        let (found, cut) = self.search.search(ask)?;
        let as_of = self.board.as_of(&cut, |it| names(land, it));
        let Answer { services, total, facets, matched } = found;
        Ok(SearchServicesResponse { services, total, as_of, facets, r#match: matched.into() })
    }

    /// Names that complete what is typed.
    ///
    /// # Errors
    ///
    /// As [`SearchAsk::parse_suggest`] and [`Search::suggest`].
    pub fn suggest(&self, request: &SuggestRequest) -> Result<SuggestResponse, Reject> {
        let suggestions = self.search.suggest(&SearchAsk::parse_suggest(request)?)?;
        Ok(SuggestResponse { suggestions })
    }

    /// The state of this node; also while the index is built.
    ///
    /// # Errors
    ///
    /// None; the form is that of all reads.
    pub fn status(&self, _: &GetStatusRequest) -> Result<GetStatusResponse, Reject> {
        let cut = self.index.store().cut();
        let shown = self.board.load();
        Ok(GetStatusResponse {
            verbund: self.charter.id().to_string(),
            verbund_name: self.charter.name().to_owned(),
            test: self.charter.is_test(),
            land: self.me.land.code().to_owned(),
            node: self.me.node.clone(),
            software: self.software.to_owned(),
            fence: shown.fence.clone(),
            signing_failed: shown.signing_failed,
            set_aside: self.board.set_aside().unwrap_or_default(),
            held: held(&self.index.keeper().counted()),
            logs: self.board.as_of(&cut, |_| true),
            peers: self.board.peers(),
            now: Some(timestamp(self.clock.wall_ms())),
            index: self.index.status(),
            certificates: Some(self.board.certificates().status(self.clock.wall_ms())),
            charter: Some(self.board.charter()).filter(|it| !it.digest.is_empty()),
        })
    }

    /// The proof that an entry is in the log its owner signed, checked before it is given.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on a position of another form, [`Reject::NotFound`] on an entry that
    /// is not here, [`Reject::Unavailable`] while no checkpoint covers it or the journal is
    /// damaged.
    pub fn inclusion_proof(
        &self,
        request: &GetInclusionProofRequest,
    ) -> Result<GetInclusionProofResponse, Reject> {
        let at = request.position.as_ref().ok_or_else(|| {
            Reject::field("position", "POSITION_MISSING", "name land, epoch and index")
        })?;
        self.proof_of(at)
    }

    fn proof_of(&self, at: &LogPosition) -> Result<GetInclusionProofResponse, Reject> {
        self.proof(position(at)?)
    }

    fn proof(&self, at: Position) -> Result<GetInclusionProofResponse, Reject> {
        let not_found = || Reject::NotFound { what: "entry", name: at.to_string() };
        let journal = self.index.journals().find(at.log).ok_or_else(not_found)?;
        if at.index >= journal.size() {
            return Err(not_found());
        }
        let over = journal.checkpoint_over(at.index).ok_or_else(|| {
            let description = match journal.ends() {
                None => format!("no checkpoint covers {at} yet; ask again"),
                Some(_) => format!(
                    "{at} is here as the reset of its epoch keeps it, without a checkpoint; ask a \
                     node that followed the log before"
                ),
            };
            Reject::Unavailable { reason: "NO_CHECKPOINT", description }
        })?;
        let (stored, entry) = self.index.entry(at)?;
        let Signed { note, size, here, proof } = over;
        let tree = Continued { tiles: &Tiles(journal.as_ref()), here, size, proof: &proof };
        let proof = tree.prove_inclusion(at.index).map_err(|error| {
            tracing::error!(%at, error = %chain(&error), "inclusion cannot be proved");
            Reject::Storage { operation: "reading the hashes of the journal" }
        })?;
        let refused = |cause: String| {
            tracing::error!(%at, size, cause, "own inclusion proof does not hold");
            Reject::Storage { operation: "proving the entry" }
        };
        let origin = Origin { verbund: self.charter.id(), log: at.log };
        let member = self.charter.member(at.log.land);
        let member = member.ok_or_else(|| refused("the charter has no such member".to_owned()))?;
        let signed =
            member.keyring().verify(&note, &origin).map_err(|error| refused(chain(&error)))?;
        let leaf = leaf_hash(&stored.header);
        check_inclusion(&proof, size, signed.root(), at.index, &leaf)
            .map_err(|error| refused(chain(&error)))?;

        let body = stored.body.filter(|_| fold::is_public(&entry.header));
        let (salt, body) = body.map(|(salt, body)| (salt.to_vec(), body)).unwrap_or_default();
        Ok(GetInclusionProofResponse {
            header: stored.header,
            proof: proof.iter().map(|hash| hash.as_bytes().to_vec().into()).collect(),
            checkpoint: String::from_utf8_lossy(&note).into_owned(),
            salt: salt.into(),
            body,
        })
    }

    fn whole_version(&self, standing: &Standing) -> Result<Version, Reject> {
        let (entry, record) = self.record(standing.state.position)?;
        let version = match record {
            Record::Version(version) => Some(*version),
            Record::Definition(_) | Record::Move(_) | Record::Erasure(_) | Record::Hidden => None,
        };
        let life = Some(standing.message());
        Ok(Version { version, provenance: Some(provenance(&entry)), life })
    }

    fn record(&self, at: Position) -> Result<(Parsed, Record), Reject> {
        let (_, entry) = self.index.entry(at)?;
        let record = fold::read(&entry.as_entry()).unwrap_or(Record::Hidden);
        Ok((entry, record))
    }
}

// === impl Placed ===

impl<T: Message> Placed<T> {
    fn bytes(&self) -> usize {
        self.record.encoded_len()
    }
}

// === impl Index ===

impl Index {
    /// Where the highest version of a service stands.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub(crate) fn highest_version(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Option<Position>, Reject> {
        let (generation, _) = self.readable()?;
        let seen = match self.store().highest(land, service) {
            Known::At(at) => return self.still(generation).map(|()| at),
            Known::Nothing(seen) => seen,
        };
        let (found, _) = self.ask(|catalogue| Ok(catalogue.highest_version(land, service)?))?;
        self.store().keep_highest(land, service, found, seen);
        Ok(found.map(|(_, at)| at))
    }

    /// The version that stands at a position; `None` if something else does, or its body is not
    /// here.
    ///
    /// # Errors
    ///
    /// As [`Self::entry`].
    pub(crate) fn version_at(&self, at: Position) -> Result<Option<ServiceVersion>, Reject> {
        let (_, entry) = self.entry(at)?;
        Ok(match fold::read(&entry.as_entry()) {
            Ok(Record::Version(version)) => Some(*version),
            _ => None,
        })
    }

    /// What is in the body of an entry, as a submission compares it.
    ///
    /// # Errors
    ///
    /// As [`Self::entry`].
    pub(crate) fn content(&self, at: Position) -> Result<Hash, Reject> {
        let (_, entry) = self.entry(at)?;
        Ok(content_of(entry.body.as_deref().unwrap_or_default()))
    }

    /// Leistungsschlüssel in the newest definition of a service.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`] and [`Self::entry`].
    pub(crate) fn leistungsschluessel(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Option<Vec<String>>, Reject> {
        let (at, _) = self.ask(|catalogue| Ok(catalogue.newest_definition(land, service)?))?;
        let Some(at) = at else { return Ok(None) };
        let (_, entry) = self.entry(at)?;
        Ok(match fold::read(&entry.as_entry()) {
            Ok(Record::Definition(definition)) => Some(definition.leistungsschluessel),
            _ => None,
        })
    }

    /// The entry at a position, as it is stored and as it is read.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] with `JOURNAL_DAMAGED` if it cannot be read, or its body is not the one
    /// that its owner signed.
    pub fn entry(&self, at: Position) -> Result<(Stored, Parsed), Reject> {
        let damaged = |cause: String| {
            tracing::error!(%at, cause, "entry cannot be read");
            Reject::Unavailable {
                reason: "JOURNAL_DAMAGED",
                description: format!(
                    "entry {at} cannot be read from the journal of this node; ask another node \
                     until it is repaired"
                ),
            }
        };
        let journal =
            self.journals().find(at.log).ok_or_else(|| damaged("no journal".to_owned()))?;
        let stored = journal.read(at.index, 1, 1).map_err(|error| damaged(chain(&error)))?;
        let stored = stored.into_iter().next().ok_or_else(|| damaged("nothing read".to_owned()))?;
        let entry = self.journals().genuine(at.log, stored.clone());
        let entry = entry.map_err(|error| damaged(chain(&error)))?;
        Ok((stored, entry))
    }
}

/// What the guard holds, as the API says it.
fn held(counted: &BTreeMap<LogId, u64>) -> Vec<HeldRetirements> {
    let one = |(log, moves): (&LogId, &u64)| HeldRetirements {
        land: log.land.code().to_owned(),
        epoch: log.epoch,
        moves: *moves,
    };
    counted.iter().map(one).collect()
}

/// True if a filter names this Land, or none.
fn names(filter: &str, land: Land) -> bool {
    filter.is_empty() || filter == land.code()
}

pub(crate) fn position(position: &LogPosition) -> Result<Position, Reject> {
    let land = position.land.parse().map_err(|error: registry_proto::terms::ParseLandError| {
        Reject::field("position.land", "LAND_UNKNOWN", error.to_string())
    })?;
    if position.epoch == 0 {
        return Err(Reject::field("position.epoch", "EPOCH", "epochs count from 1"));
    }
    Ok(Position { log: LogId { land, epoch: position.epoch }, index: position.index })
}
