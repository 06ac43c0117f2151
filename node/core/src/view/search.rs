//! What a search asks for, and what it needs of a service. The words are looked up in the shell's
//! full-text index; what is shown of a hit comes from the facts.

use std::{collections::BTreeSet, str::FromStr};

use registry_proto::{
    terms::{Land, Themenfeld, Typisierung},
    wire::registry::{Lifecycle, SearchServicesRequest, ServiceSummary, SuggestRequest},
};
use uuid::Uuid;

use super::{
    Catalogue, Facts, FactsError, Lineage,
    candidates::Candidate,
    catalogue::Definition,
    page::{AfterService, Checks},
};
use crate::{
    fold::{Fact, Position, VersionFact, keys},
    limits::{
        QUERY_CHARS_MAX, SEARCH_DEFAULT, SEARCH_DEPTH_MAX, SEARCH_FILTER_VALUES_MAX,
        SUGGESTIONS_MAX,
    },
    reject::Reject,
    validate::Shown,
};

/// A search in a valid form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchAsk {
    /// Words; without any, all that pass the filters are found, by name.
    pub query: String,
    /// Narrow the hits.
    pub filters: SearchFilters,
    /// Hits to skip.
    pub offset: usize,
    /// Hits to give, at least 1.
    pub limit: usize,
}

/// Values that hits must have, one of each list that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchFilters {
    /// Owner.
    pub land: Option<Land>,
    /// Codes of Themenfelder.
    pub themenfelder: Vec<String>,
    /// Codes of Typisierungen.
    pub typisierung: Vec<String>,
    /// Names of Lagen.
    pub lagen: Vec<String>,
    /// States, see [`STATES`].
    pub status: Vec<String>,
}

/// What the full-text index needs to know of a service beside its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Findable {
    /// Entry of the definition that counts.
    pub position: Position,
    /// State of its highest version as the owner last said, one of [`STATES`].
    pub status: &'static str,
}

/// States of a service in a search: those of its highest version, and what has none.
pub const STATES: [&str; 7] = [
    "entwurf",
    "freigegeben",
    "abgekuendigt",
    "abgeschaltet",
    "zurueckgezogen",
    "ohne_version",
    "unbekannt",
];

// === impl SearchAsk ===

impl SearchAsk {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] with everything that has another form.
    pub fn parse(request: &SearchServicesRequest) -> Result<Self, Reject> {
        Self::read(request, false)
    }

    /// Reads a request that may ask for everything.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`], but for a request without words and filters.
    pub fn parse_browse(request: &SearchServicesRequest) -> Result<Self, Reject> {
        Self::read(request, request.query.trim().is_empty())
    }

    fn read(request: &SearchServicesRequest, may_be_empty: bool) -> Result<Self, Reject> {
        let mut checks = Checks::default();
        let limit = checks.count("limit", request.limit, SEARCH_DEFAULT);
        if request.offset.saturating_add(request.limit) > SEARCH_DEPTH_MAX {
            let problem = format_args!("führt über die ersten {SEARCH_DEPTH_MAX} Treffer hinaus");
            checks.add("offset", "SEARCH_DEPTH", problem);
        }
        let filters = SearchFilters {
            land: checks.land(&request.land),
            themenfelder: codes::<Themenfeld>(&mut checks, "themenfelder", &request.themenfelder),
            typisierung: codes::<Typisierung>(&mut checks, "typisierung", &request.typisierung),
            lagen: bounded(&mut checks, "lagen", &request.lagen),
            status: bounded(&mut checks, "status", &request.status),
        };
        for (i, state) in filters.status.iter().enumerate() {
            if !STATES.contains(&state.as_str()) {
                let problem =
                    format_args!("{} ist kein Stand; erlaubt: {}", Shown(state), STATES.join(", "));
                checks.add(format!("status[{i}]"), "STATUS_UNKNOWN", problem);
            }
        }
        let filtered = filters != SearchFilters::default();
        words(&mut checks, "query", &request.query, may_be_empty || filtered);
        checks.finish()?;
        let offset = request.offset as usize;
        Ok(Self { query: request.query.clone(), filters, offset, limit })
    }

    /// Reads what is being typed.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] with everything that has another form.
    pub fn parse_suggest(request: &SuggestRequest) -> Result<Self, Reject> {
        let mut checks = Checks::default();
        if request.limit > SUGGESTIONS_MAX {
            let problem = format_args!("{} ist mehr als {SUGGESTIONS_MAX}", request.limit);
            checks.add("limit", "PAGE_SIZE", problem);
        }
        let limit = if request.limit == 0 { SUGGESTIONS_MAX } else { request.limit };
        let land = checks.land(&request.land);
        words(&mut checks, "prefix", &request.prefix, false);
        checks.finish()?;
        let filters = SearchFilters { land, ..SearchFilters::default() };
        Ok(Self { query: request.prefix.clone(), filters, offset: 0, limit: limit as usize })
    }
}

// === impl Catalogue ===

impl<F: Facts> Catalogue<'_, F> {
    /// What lists show of a service, `None` if it is not defined.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn summary_of(
        &self,
        land: Land,
        service: Uuid,
    ) -> Result<Option<ServiceSummary>, FactsError> {
        let newest = self.newest(land, service)?;
        newest.map(|definition| self.summary(definition)).transpose()
    }

    /// What makes a service findable, `None` if it is not defined.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn findable(&self, land: Land, service: Uuid) -> Result<Option<Findable>, FactsError> {
        let Some(lineage) = self.owned(land, service)? else { return Ok(None) };
        let Some(Definition { position, .. }) = self.definition(&lineage)? else {
            return Ok(None);
        };
        Ok(Some(Findable { position, status: self.status(&lineage)? }))
    }

    /// The Länder under which a service that an entry of `land` is about can be found, or could:
    /// `land`, and those that took part in a handover of it.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn found_under(&self, land: Land, service: Uuid) -> Result<BTreeSet<Land>, FactsError> {
        let said = self.handovers(service)?;
        let named = said.iter().flat_map(|it| {
            let codes = [&it.record.von_land, &it.record.an_land];
            codes.map(|code| code.parse::<Land>().ok()).into_iter().flatten()
        });
        let all = named.chain(said.iter().map(|it| it.at.log.land));
        Ok(all.chain([land]).collect())
    }

    /// Defined services in the order of (Land, id), at most `limit`, beginning after `after`.
    ///
    /// # Errors
    ///
    /// [`FactsError`] if the facts cannot be read.
    pub fn defined_after(
        &self,
        after: Option<(Land, Uuid)>,
        limit: usize,
    ) -> Result<Vec<(Land, Uuid)>, FactsError> {
        let after = after.map(|(land, service)| AfterService { land, service });
        let mut candidates = self.candidates(None, None, after);
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(Candidate { land, service, .. }) = candidates.next()?
        {
            if !self.may_be_handed_over(service)? || self.newest(land, service)?.is_some() {
                found.push((land, service));
            }
        }
        Ok(found)
    }

    /// The state that searches filter by: the lifecycle of the highest version.
    fn status(&self, of: &Lineage) -> Result<&'static str, FactsError> {
        let first = self.versions(of, None)?.beginning_with(2).next()?;
        let Some(Fact { key, value }) = first else { return Ok("ohne_version") };
        let (_, number, _) = keys::parse_version(&key)?;
        let life = self.life(of, &number, &VersionFact::parse(&value)?)?;
        Ok(match life.lifecycle {
            Lifecycle::Entwurf => "entwurf",
            Lifecycle::Freigegeben => "freigegeben",
            Lifecycle::Abgekuendigt => "abgekuendigt",
            Lifecycle::Abgeschaltet => "abgeschaltet",
            Lifecycle::Zurueckgezogen => "zurueckgezogen",
            Lifecycle::Unspecified => "unbekannt",
        })
    }
}

fn words(checks: &mut Checks, field: &'static str, text: &str, may_be_empty: bool) {
    if text.chars().count() > QUERY_CHARS_MAX {
        let problem = format_args!("hat mehr als {QUERY_CHARS_MAX} Zeichen");
        checks.add(field, "QUERY_LENGTH", problem);
    } else if !may_be_empty && !text.chars().any(char::is_alphanumeric) {
        checks.add(field, "QUERY_EMPTY", "enthält kein Wort; ein Wort hat Buchstaben oder Ziffern");
    }
}

fn codes<T>(checks: &mut Checks, field: &'static str, values: &[String]) -> Vec<String>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let values = bounded(checks, field, values);
    for (i, value) in values.iter().enumerate() {
        checks.parsed::<T>(format!("{field}[{i}]"), "CODE_UNKNOWN", value);
    }
    values
}

/// The values, cut so that no later check works on more than it should.
fn bounded(checks: &mut Checks, field: &'static str, values: &[String]) -> Vec<String> {
    if values.len() > SEARCH_FILTER_VALUES_MAX {
        let problem = format_args!("{} Werte; höchstens {SEARCH_FILTER_VALUES_MAX}", values.len());
        checks.add(field, "FILTER_VALUES", problem);
    }
    values.iter().take(SEARCH_FILTER_VALUES_MAX).cloned().collect()
}
