//! Reads the catalogue. Lists are complete: they follow the pages to the end unless the caller
//! names a limit.

use registry_proto::{
    terms::Land,
    wire::registry::{
        AsOf, GetInclusionProofRequest, GetInclusionProofResponse, GetServiceRequest,
        GetServiceResponse, GetStatusRequest, GetStatusResponse, GetVersionRequest,
        GetVersionResponse, ListHandoversRequest, ListHandoversResponse, ListServicesRequest,
        ListServicesResponse, ListVersionsRequest, ListVersionsResponse, LogPosition,
        ResolveLeistungRequest, ResolveLeistungResponse, ResolveVersionRequest,
        ResolveVersionResponse, SearchServicesRequest, SearchServicesResponse, ServiceSummary,
        SuggestRequest, SuggestResponse, VersionSummary, Zeitpunkt,
    },
};

use crate::{connect::Client, error::ClientError};

/// Entries on a page, the most a node serves.
pub const PAGE_MAX: u32 = 500;

/// Which services to list; an unset field does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFilter {
    /// Owner.
    pub land: Option<Land>,
    /// One of the keys of the service.
    pub leistungsschluessel: Option<String>,
    /// Code of the Themenfeld.
    pub themenfeld: Option<String>,
}

/// A list that was read to its end or to the limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing<T> {
    /// The entries, in the order of the node.
    pub entries: Vec<T>,
    /// What the first page rests on; later pages rest on at least that.
    pub as_of: Vec<AsOf>,
    /// True if the limit cut the list.
    pub cut: bool,
}

/// Pages of a list, one after the other.
#[derive(Debug)]
pub struct Pages<R> {
    client: Client,
    request: R,
    remaining: Option<u32>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    More,
    Cut,
    End,
}

/// A list request and its answer.
pub trait Paged: Clone {
    /// Its answer.
    type Page;
    /// What the list consists of.
    type Entry;

    /// Fetches one page.
    #[doc(hidden)]
    fn fetch(
        client: &Client,
        request: Self,
    ) -> impl Future<Output = Result<Self::Page, ClientError>> + Send;
    /// Sets where the page begins and how long it is.
    #[doc(hidden)]
    fn place(&mut self, page_size: u32);
    #[doc(hidden)]
    fn token(&mut self) -> &mut String;
    #[doc(hidden)]
    fn open(page: Self::Page) -> (Vec<Self::Entry>, String, Vec<AsOf>);
}

/// A list that can be asked for as it was.
pub trait Dated: Paged {
    #[doc(hidden)]
    fn zeitpunkt(&mut self) -> &mut Option<Zeitpunkt>;
}

// === impl Client ===

impl Client {
    /// The services that meet `filter`, page by page, at most `limit`.
    pub fn service_pages(
        &self,
        filter: ServiceFilter,
        limit: Option<u32>,
    ) -> Pages<ListServicesRequest> {
        let request = ListServicesRequest {
            page_size: 0,
            page_token: String::new(),
            land: filter.land.map_or_else(String::new, |land| land.to_string()),
            leistungsschluessel: filter.leistungsschluessel.unwrap_or_default(),
            themenfeld: filter.themenfeld.unwrap_or_default(),
            zeitpunkt: None,
        };
        Pages::new(self.clone(), request, limit)
    }

    /// All services that meet `filter`, at most `limit`.
    pub async fn services(
        &self,
        filter: ServiceFilter,
        limit: Option<u32>,
    ) -> Result<Listing<ServiceSummary>, ClientError> {
        self.service_pages(filter, limit).collect(|_| ()).await
    }

    /// The versions of a service, newest first, page by page, at most `limit`.
    pub fn version_pages(
        &self,
        service_id: &str,
        land: Option<Land>,
        limit: Option<u32>,
    ) -> Pages<ListVersionsRequest> {
        let request = ListVersionsRequest {
            service_id: service_id.to_owned(),
            land: land.map_or_else(String::new, |land| land.to_string()),
            page_size: 0,
            page_token: String::new(),
            zeitpunkt: None,
        };
        Pages::new(self.clone(), request, limit)
    }

    /// All versions of a service, newest first, at most `limit`.
    pub async fn versions(
        &self,
        service_id: &str,
        land: Option<Land>,
        limit: Option<u32>,
    ) -> Result<Listing<VersionSummary>, ClientError> {
        self.version_pages(service_id, land, limit).collect(|_| ()).await
    }

    /// One service with its newest definition.
    pub async fn service(
        &self,
        request: GetServiceRequest,
    ) -> Result<GetServiceResponse, ClientError> {
        let mut catalogue = self.catalogue();
        self.answer("show the service", catalogue.get_service(self.request(request))).await
    }

    /// Offers to hand services over, and what became of them.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn handovers(
        &self,
        request: ListHandoversRequest,
    ) -> Result<ListHandoversResponse, ClientError> {
        let mut catalogue = self.catalogue();
        self.answer("list handovers", catalogue.list_handovers(self.request(request))).await
    }

    /// One version.
    pub async fn version(
        &self,
        request: GetVersionRequest,
    ) -> Result<GetVersionResponse, ClientError> {
        let mut catalogue = self.catalogue();
        self.answer("show the version", catalogue.get_version(self.request(request))).await
    }

    /// The highest version that meets a requirement and is valid on a day.
    pub async fn resolve(
        &self,
        request: ResolveVersionRequest,
    ) -> Result<ResolveVersionResponse, ClientError> {
        let mut catalogue = self.catalogue();
        self.answer("resolve the version", catalogue.resolve_version(self.request(request))).await
    }

    /// The versions that serve a Leistung in a Gebiet on a day. Proofs in the answer prove nothing
    /// before [`crate::proof::verify_inclusion`] has verified them.
    pub async fn resolve_leistung(
        &self,
        request: ResolveLeistungRequest,
    ) -> Result<ResolveLeistungResponse, ClientError> {
        let mut catalogue = self.catalogue();
        let request = self.request(request);
        self.answer("resolve the Leistung", catalogue.resolve_leistung(request)).await
    }

    /// The services whose words match, best first; `total` of the answer tells of hits beyond the
    /// limit, and `offset` of the next request skips those already seen.
    pub async fn search(
        &self,
        request: SearchServicesRequest,
    ) -> Result<SearchServicesResponse, ClientError> {
        let mut catalogue = self.catalogue();
        self.answer("search", catalogue.search_services(self.request(request))).await
    }

    /// Names of services that complete what is typed, best first.
    pub async fn suggest(&self, request: SuggestRequest) -> Result<SuggestResponse, ClientError> {
        let mut catalogue = self.catalogue();
        self.answer("suggest", catalogue.suggest(self.request(request))).await
    }

    /// Who the node is and how fresh its logs are.
    pub async fn status(&self) -> Result<GetStatusResponse, ClientError> {
        let mut catalogue = self.catalogue();
        let request = self.request(GetStatusRequest {});
        self.answer("tell its status", catalogue.get_status(request)).await
    }

    /// The proof that an entry is in its log. It proves nothing before
    /// [`crate::proof::verify_inclusion`] has verified it.
    pub async fn inclusion_proof(
        &self,
        position: LogPosition,
    ) -> Result<GetInclusionProofResponse, ClientError> {
        let mut catalogue = self.catalogue();
        let request = self.request(GetInclusionProofRequest { position: Some(position) });
        self.answer("prove the entry", catalogue.get_inclusion_proof(request)).await
    }
}

// === impl Pages ===

impl<R: Dated> Pages<R> {
    /// The same list as it was at a time.
    #[must_use]
    pub fn at(mut self, zeitpunkt: Option<Zeitpunkt>) -> Self {
        *self.request.zeitpunkt() = zeitpunkt;
        self
    }
}

impl<R: Paged> Pages<R> {
    pub(crate) fn new(client: Client, request: R, limit: Option<u32>) -> Self {
        let state = if limit == Some(0) { State::Cut } else { State::More };
        Self { client, request, remaining: limit, state }
    }

    /// The next page, `None` after the last or when the limit is reached.
    pub async fn next(&mut self) -> Result<Option<(Vec<R::Entry>, Vec<AsOf>)>, ClientError> {
        if self.state != State::More {
            return Ok(None);
        }
        self.request.place(self.remaining.map_or(PAGE_MAX, |rest| rest.min(PAGE_MAX)));
        let page = R::fetch(&self.client, self.request.clone()).await?;
        let (mut entries, token, as_of) = R::open(page);
        if let Some(rest) = &mut self.remaining {
            let more = entries.len() > *rest as usize;
            entries.truncate(*rest as usize);
            *rest = rest.saturating_sub(u32::try_from(entries.len()).unwrap_or(u32::MAX));
            if *rest == 0 {
                self.state = if more || !token.is_empty() { State::Cut } else { State::End };
            }
        }
        if token.is_empty() {
            if self.state == State::More {
                self.state = State::End;
            }
        } else if token == *self.request.token() {
            return Err(ClientError::Protocol("a page names itself as the next one"));
        }
        *self.request.token() = token;
        Ok(Some((entries, as_of)))
    }

    /// Reads to the end. `progress` is told the number of entries so far after each page.
    pub async fn collect(
        mut self,
        progress: impl Fn(usize),
    ) -> Result<Listing<R::Entry>, ClientError> {
        let mut entries = Vec::new();
        let mut first = None;
        while let Some((page, as_of)) = self.next().await? {
            entries.extend(page);
            first.get_or_insert(as_of);
            progress(entries.len());
        }
        Ok(Listing { entries, as_of: first.unwrap_or_default(), cut: self.state == State::Cut })
    }
}

// === impl Paged ===

impl Paged for ListServicesRequest {
    type Page = ListServicesResponse;
    type Entry = ServiceSummary;

    async fn fetch(client: &Client, request: Self) -> Result<Self::Page, ClientError> {
        let mut catalogue = client.catalogue();
        client.answer("list services", catalogue.list_services(client.request(request))).await
    }

    fn place(&mut self, page_size: u32) {
        self.page_size = page_size;
    }

    fn token(&mut self) -> &mut String {
        &mut self.page_token
    }

    fn open(page: Self::Page) -> (Vec<Self::Entry>, String, Vec<AsOf>) {
        (page.services, page.next_page_token, page.as_of)
    }
}

impl Paged for ListVersionsRequest {
    type Page = ListVersionsResponse;
    type Entry = VersionSummary;

    async fn fetch(client: &Client, request: Self) -> Result<Self::Page, ClientError> {
        let mut catalogue = client.catalogue();
        client.answer("list versions", catalogue.list_versions(client.request(request))).await
    }

    fn place(&mut self, page_size: u32) {
        self.page_size = page_size;
    }

    fn token(&mut self) -> &mut String {
        &mut self.page_token
    }

    fn open(page: Self::Page) -> (Vec<Self::Entry>, String, Vec<AsOf>) {
        (page.versions, page.next_page_token, page.as_of.into_iter().collect())
    }
}

// === impl Dated ===

impl Dated for ListServicesRequest {
    fn zeitpunkt(&mut self) -> &mut Option<Zeitpunkt> {
        &mut self.zeitpunkt
    }
}

impl Dated for ListVersionsRequest {
    fn zeitpunkt(&mut self) -> &mut Option<Zeitpunkt> {
        &mut self.zeitpunkt
    }
}
