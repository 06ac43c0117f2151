//! Services and versions: lists, single reads, resolution.

use registry_proto::{
    terms::{Date, Land, Leistungsschluessel, Requirement, SemVer, Themenfeld},
    wire::registry::{
        GetServiceRequest, GetVersionRequest, ListServicesRequest, ListVersionsRequest,
        ResolveVersionRequest, ServiceSummary, VersionSummary,
    },
};
use uuid::Uuid;

use super::{
    Cut, Facts, FactsError, Lineage, QueryError, Standing,
    candidates::Candidate,
    life::position,
    page::{AfterService, AfterVersion, Checks},
    walk::{self, DEFINITIONS},
};
use crate::{
    fold::{DefinitionFact, Fact, Position, VersionFact, keys},
    limits::PAGE_DEFAULT,
    moves::guard::Held,
    reject::Reject,
};

/// The catalogue at a cut.
#[derive(Debug)]
pub struct Catalogue<'a, F> {
    pub(super) facts: &'a F,
    pub(super) cut: &'a Cut,
    /// Moves that do not count at this node.
    pub(super) held: Option<&'a Held>,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Empty on the last page.
    pub next_page_token: String,
}

/// A service and the entry of the definition that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceState {
    /// The service and its owners.
    pub lineage: Lineage,
    /// Entry of the definition; in the log of a former owner until the owner of today made one.
    pub position: Position,
    /// Highest version published.
    pub latest_version: Option<SemVer>,
    /// Number of versions.
    pub version_count: u32,
}

/// A version and its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionState {
    /// UUID of the service.
    pub service: Uuid,
    /// Its number.
    pub number: SemVer,
    /// Its entry; the log belongs to the owner of then.
    pub position: Position,
}

/// A definition that counts.
pub(super) struct Definition {
    pub(super) lineage: Lineage,
    pub(super) position: Position,
    pub(super) fact: DefinitionFact,
}

struct ListFilter {
    land: Option<Land>,
    number: Option<Leistungsschluessel>,
    themenfeld: String,
}

// === impl Catalogue ===

impl<'a, F: Facts> Catalogue<'a, F> {
    /// The catalogue of `facts`, as it is at `cut`.
    pub fn new(facts: &'a F, cut: &'a Cut) -> Self {
        Self { facts, cut, held: None }
    }

    /// The same without these moves of versions, which wait for an operator.
    #[must_use]
    pub fn without(self, held: &'a Held) -> Self {
        Self { held: (!held.is_empty()).then_some(held), ..self }
    }

    /// Services in the order of (Land, service id).
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on a filter, size or token of another form.
    pub fn list_services(
        &self,
        request: &ListServicesRequest,
    ) -> Result<Page<ServiceSummary>, QueryError> {
        let mut checks = Checks::default();
        let size = checks.count("page_size", request.page_size, PAGE_DEFAULT);
        let after = checks.token(&request.page_token, AfterService::parse);
        let filter = ListFilter {
            land: checks.land(&request.land),
            number: checks.optional(
                "leistungsschluessel",
                "LEISTUNGSSCHLUESSEL_FORM",
                &request.leistungsschluessel,
            ),
            themenfeld: request.themenfeld.clone(),
        };
        // a code that is misspelt should not look like a Themenfeld without services
        checks.optional::<Themenfeld>("themenfeld", "THEMENFELD_UNKNOWN", &request.themenfeld);
        checks.finish()?;

        let mut found = self.definitions(&filter, after, size + 1)?;
        let more = found.len() > size;
        found.truncate(size);
        let next_page_token = match found.last() {
            Some(last) if more => last.as_page_end().token(),
            _ => String::new(),
        };
        let items = found.into_iter().map(|found| self.summary(found)).collect::<Result<_, _>>()?;
        Ok(Page { items, next_page_token })
    }

    /// One service.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`], [`Reject::NotFound`], and [`Reject::Precondition`] with
    /// `AMBIGUOUS_SERVICE` if two Länder use the UUID and the request names none.
    pub fn service(&self, request: &GetServiceRequest) -> Result<ServiceState, QueryError> {
        let mut checks = Checks::default();
        let service = checks.service_id(&request.service_id);
        let land = checks.land(&request.land);
        let Some(service) = service else { return Err(checks.reject().into()) };
        checks.finish()?;

        let lineage = self.lineage(service, land)?;
        let Some(Definition { position, .. }) = self.definition(&lineage)? else {
            return Err(not_found(service).into());
        };
        let (latest_version, version_count) = self.count(&lineage)?;
        Ok(ServiceState { lineage, position, latest_version, version_count })
    }

    /// The versions of a service, newest first, and the Land that owns it.
    ///
    /// # Errors
    ///
    /// As [`Self::service`].
    pub fn list_versions(
        &self,
        request: &ListVersionsRequest,
    ) -> Result<(Land, Page<VersionSummary>), QueryError> {
        let mut checks = Checks::default();
        let service = checks.service_id(&request.service_id);
        let land = checks.land(&request.land);
        let size = checks.count("page_size", request.page_size, PAGE_DEFAULT);
        let after = checks.token(&request.page_token, AfterVersion::parse);
        let Some(service) = service else { return Err(checks.reject().into()) };
        checks.finish()?;

        let lineage = self.lineage(service, land)?;
        let land = lineage.land();
        let of = AfterService { land, service };
        let mut checks = Checks::default();
        if after.as_ref().is_some_and(|after| after.of != of) {
            checks.add(
                "page_token",
                "PAGE_TOKEN",
                "gehört zu einer anderen Leistung; ohne page_token neu beginnen",
            );
        }
        checks.finish()?;

        let mut walk = self.versions(&lineage, after.as_ref().map(|after| &after.number))?;
        let mut items = Vec::new();
        let mut last = None;
        while let Some(fact) = walk.next()? {
            if items.len() == size {
                let token = last.map(|number| AfterVersion { of, number }.token());
                return Ok((land, Page { items, next_page_token: token.unwrap_or_default() }));
            }
            let standing = self.stands(&lineage, &fact)?;
            last = Some(standing.state.number);
            items.push(version_summary(standing));
        }
        Ok((land, Page { items, next_page_token: String::new() }))
    }

    /// One version.
    ///
    /// # Errors
    ///
    /// As [`Self::service`].
    pub fn version(&self, request: &GetVersionRequest) -> Result<VersionState, QueryError> {
        Ok(self.version_stands(request)?.state)
    }

    /// One version, and where it stands.
    ///
    /// # Errors
    ///
    /// As [`Self::service`].
    pub fn version_stands(&self, request: &GetVersionRequest) -> Result<Standing, QueryError> {
        let mut checks = Checks::default();
        let service = checks.service_id(&request.service_id);
        let number = checks.parsed::<SemVer>("version", "SEMVER_FORM", &request.version);
        let land = checks.land(&request.land);
        let (Some(service), Some(number)) = (service, number) else {
            return Err(checks.reject().into());
        };
        checks.finish()?;

        let lineage = self.lineage(service, land)?;
        match self.version_fact(&lineage, &number)? {
            Some(fact) => Ok(self.stands(&lineage, &fact)?),
            None => {
                let name = format!("{service} {number}");
                Err(Reject::NotFound { what: "version", name }.into())
            }
        }
    }

    /// The highest version that meets the requirement, is released, and is valid on the day.
    ///
    /// # Errors
    ///
    /// As [`Self::service`]; [`Reject::NotFound`] also if no version meets all.
    pub fn resolve(
        &self,
        request: &ResolveVersionRequest,
        today: Date,
    ) -> Result<Standing, QueryError> {
        let mut checks = Checks::default();
        let service = checks.service_id(&request.service_id);
        let text = if request.requirement.is_empty() { "*" } else { &request.requirement };
        let requirement = checks.parsed::<Requirement>("requirement", "REQUIREMENT_FORM", text);
        let day = checks.optional("valid_at", "DATE_FORM", &request.valid_at).unwrap_or(today);
        let land = checks.land(&request.land);
        let (Some(service), Some(requirement)) = (service, requirement) else {
            return Err(checks.reject().into());
        };
        checks.finish()?;

        let lineage = self.lineage(service, land)?;
        let mut walk = self.versions(&lineage, None)?.beginning_with(VERSIONS_AT_ONCE);
        while let Some(Fact { key, value }) = walk.next()? {
            let (_, number, _) = keys::parse_version(&key).map_err(FactsError::from)?;
            if !requirement.matches(&number) {
                continue;
            }
            let standing = self.stands(&lineage, &Fact { key, value })?;
            if standing.serves_on(day) && valid_on(&standing.fact, day) {
                return Ok(standing);
            }
        }
        let name = format!("{service} {text} that is released and valid on {day}");
        Err(Reject::NotFound { what: "version", name }.into())
    }

    fn definitions(
        &self,
        filter: &ListFilter,
        after: Option<AfterService>,
        limit: usize,
    ) -> Result<Vec<Definition>, QueryError> {
        let mut candidates = self.candidates(filter.land, filter.number.as_ref(), after);
        let mut found = Vec::new();
        while let Some(candidate) = candidates.next()? {
            let definition = self.listed(candidate)?;
            found.extend(definition.filter(|definition| filter.passes(definition)));
            if found.len() == limit {
                break;
            }
        }
        Ok(found)
    }

    /// The definition of a candidate that its Land owns.
    fn listed(&self, it: Candidate) -> Result<Option<Definition>, FactsError> {
        match it.newest {
            Some(Fact { key, value }) if !self.may_be_handed_over(it.service)? => {
                Definition::parse(Lineage::of(it.land, it.service), &key, &value).map(Some)
            }
            _ => self.newest(it.land, it.service),
        }
    }

    /// The definition that counts of a service that a Land owns.
    pub(super) fn newest(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Option<Definition>, FactsError> {
        match self.owned(land, service)? {
            Some(lineage) => self.definition(&lineage),
            None => Ok(None),
        }
    }

    /// The newest definition in the logs of a Land, whether it counts or not.
    pub(super) fn newest_by(&self, land: Land, service: Uuid) -> Result<Option<Fact>, FactsError> {
        let group = keys::definitions_of(land, service);
        walk::pick(self.facts, self.cut, DEFINITIONS, &group)
    }

    pub(super) fn summary(&self, of: Definition) -> Result<ServiceSummary, FactsError> {
        let (latest, version_count) = self.count(&of.lineage)?;
        Ok(ServiceSummary {
            service_id: of.lineage.service.to_string(),
            land: of.lineage.land().code().to_owned(),
            bezeichnung: of.fact.bezeichnung,
            leistungsschluessel: of.fact.leistungsschluessel,
            themenfeld: of.fact.themenfeld,
            latest_version: latest.map(|number| number.to_string()).unwrap_or_default(),
            version_count,
            ozg_ids: of.fact.ozg_ids,
        })
    }

    fn count(&self, of: &Lineage) -> Result<(Option<SemVer>, u32), FactsError> {
        let mut walk = self.versions(of, None)?;
        let (mut latest, mut count) = (None, 0);
        while let Some(Fact { key, .. }) = walk.next()? {
            if count == 0 {
                latest = Some(keys::parse_version(&key)?.1);
            }
            count += 1;
        }
        Ok((latest, count))
    }
}

// === impl Definition ===

impl Definition {
    pub(super) fn parse(lineage: Lineage, key: &[u8], value: &[u8]) -> Result<Self, FactsError> {
        let (_, position) = keys::parse_definition(key)?;
        Ok(Self { lineage, position, fact: DefinitionFact::parse(value)? })
    }

    fn as_page_end(&self) -> AfterService {
        AfterService { land: self.lineage.land(), service: self.lineage.service }
    }
}

// === impl ListFilter ===

impl ListFilter {
    fn passes(&self, definition: &Definition) -> bool {
        let number = self.number.as_ref().map(ToString::to_string);
        (self.themenfeld.is_empty() || self.themenfeld == definition.fact.themenfeld)
            && number.is_none_or(|number| definition.fact.leistungsschluessel.contains(&number))
    }
}

pub(super) fn not_found(service: Uuid) -> Reject {
    Reject::NotFound { what: "service", name: service.to_string() }
}

/// Versions that a walk for the highest one reads at first.
pub(super) const VERSIONS_AT_ONCE: usize = 4;

/// `gueltig_ab <= day <= gueltig_bis`; an empty end is open. Days of another form were not folded.
pub(super) fn valid_on(fact: &VersionFact, day: Date) -> bool {
    let begun = fact.gueltig_ab.parse::<Date>().map_or(fact.gueltig_ab.is_empty(), |ab| ab <= day);
    let open =
        fact.gueltig_bis.parse::<Date>().map_or(fact.gueltig_bis.is_empty(), |bis| day <= bis);
    begun && open
}

fn version_summary(standing: Standing) -> VersionSummary {
    let life = standing.message();
    let Standing { state, fact, .. } = standing;
    VersionSummary {
        version: state.number.to_string(),
        lifecycle: life.lifecycle,
        gueltig_ab: fact.gueltig_ab,
        gueltig_bis: fact.gueltig_bis,
        freigabe_status: fact.freigabe_status,
        recorded_at: Some(timestamp(fact.recorded_unix_ms)),
        position: Some(position(state.position)),
        breaking: fact.breaking,
        life: Some(life),
    }
}

pub(super) fn timestamp(unix_ms: i64) -> prost_types::Timestamp {
    let nanos = unix_ms.rem_euclid(1_000) * 1_000_000;
    // below 1,000,000,000
    prost_types::Timestamp { seconds: unix_ms.div_euclid(1_000), nanos: nanos as i32 }
}
