//! Finds services by words.
//!
//! `follower` keeps a full-text index at what the catalogue shows; `analyzer` and
//! `compounds` make words of texts; `document` says what of a service is looked up, `query`
//! how it is asked for, `collect` takes the best and counts facets; `engine` owns the files.
//!
//! A search sees one commit of the index together with the cut of the catalogue it was made at,
//! and shows its hits from the facts at that cut: the same logs give the same answer, whatever
//! came first.

mod analyzer;
mod collect;
mod compounds;
mod document;
mod engine;
mod follower;
mod query;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use registry_core::{
    limits::FACET_VALUES_MAX,
    reject::Reject,
    view::{Catalogue, Cut, FactsError, SearchAsk},
};
use registry_proto::terms::LogId;
use registry_proto::wire::registry::{FacetCount, SearchMatch, ServiceSummary, Suggestion};
use tantivy::{Searcher, TantivyError};
use uuid::Uuid;

pub(crate) use self::document::sort_key;
pub use self::follower::Follower;
use self::{
    collect::{Best, Found},
    document::{FACETS, Fields},
    query::{Tolerance, Words},
};
use crate::index::{Generation, Index};

/// The search of a node. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Search {
    inner: Arc<Inner>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Best first.
    pub services: Vec<ServiceSummary>,
    /// Hits, also beyond the limit.
    pub total: u32,
    /// By name, falling count, value.
    pub facets: Vec<FacetCount>,
    /// How the words were taken.
    pub matched: SearchMatch,
}

struct Inner {
    index: Index,
    fields: Fields,
    current: ArcSwapOption<Snapshot>,
    /// Why there is no snapshot.
    closed: Mutex<String>,
    /// How far erasures are carried out on the disk.
    erased: ArcSwapOption<Cut>,
}

/// A commit of the index and the cut it shows.
struct Snapshot {
    searcher: Searcher,
    cut: Arc<Cut>,
    generation: Generation,
}

/// What one search sees.
struct View {
    snapshot: Arc<Snapshot>,
    /// Services that are erased in part and still in the index as they were.
    hidden: Arc<BTreeSet<Uuid>>,
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
enum SearchError {
    #[error("cannot read the search index")]
    Index(#[from] TantivyError),
    #[error("cannot read the facts")]
    Facts(#[from] FactsError),
}

// === impl Search ===

impl Search {
    fn new(index: Index) -> Self {
        let (fields, _) = Fields::schema();
        let closed = Mutex::new("the node starts".to_owned());
        let current = ArcSwapOption::empty();
        let erased = ArcSwapOption::empty();
        Self { inner: Arc::new(Inner { index, fields, current, closed, erased }) }
    }

    /// The services that a search finds, and the cut they are from. Runs on the caller's thread
    /// and may read the disk.
    ///
    /// # Errors
    ///
    /// [`Reject::Unavailable`] with `SEARCH_REBUILDING` while the index is not complete, or with
    /// `INDEX_REBUILDING` while the catalogue is not; [`Reject::Storage`] if they cannot be read.
    pub fn search(&self, ask: &SearchAsk) -> Result<(Answer, Arc<Cut>), Reject> {
        self.answer(|inner, view| inner.search(view, ask))
    }

    /// Names that complete what is typed, best first, each once.
    ///
    /// # Errors
    ///
    /// As [`Self::search`].
    pub fn suggest(&self, ask: &SearchAsk) -> Result<Vec<Suggestion>, Reject> {
        self.answer(|inner, view| inner.suggest(view, ask)).map(|(found, _)| found)
    }

    /// Entries of a log whose erasures are carried out: no word of what they erase is in a file of the
    /// index.
    pub fn erased(&self, log: LogId) -> u64 {
        self.inner.erased.load().as_ref().map_or(0, |cut| cut.size(log))
    }

    /// The cut that searches see; `None` while the index is not complete.
    pub fn cut(&self) -> Option<Arc<Cut>> {
        self.inner.current.load().as_ref().map(|snapshot| Arc::clone(&snapshot.cut))
    }

    fn answer<T>(
        &self,
        ask: impl FnOnce(&Inner, &View) -> Result<T, SearchError>,
    ) -> Result<(T, Arc<Cut>), Reject> {
        let (generation, _) = self.inner.index.readable()?;
        // before the snapshot: what is followed is not among them any more
        let erased = self.inner.index.unsearched().now();
        let current = self.inner.current.load_full();
        let Some(snapshot) = current.filter(|it| it.generation == generation) else {
            let reason = self.inner.closed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Err(not_ready(&reason));
        };
        let Some(hidden) = erased.at(&snapshot.cut) else {
            return Err(not_ready("much is erased, and it follows"));
        };
        let view = View { snapshot, hidden: Arc::new(hidden) };
        let answer = ask(&self.inner, &view);
        self.inner.index.still(generation)?;
        match answer {
            Ok(answer) => Ok((answer, Arc::clone(&view.snapshot.cut))),
            Err(error) => {
                tracing::error!(error = %crate::lifecycle::chain(&error), "search failed");
                Err(Reject::Storage { operation: "searching the catalogue" })
            }
        }
    }

    /// A search of what the index shows now, for tests.
    #[cfg(test)]
    pub(crate) fn at_once(index: Index) -> Self {
        let mut work = follower::Work::new(index, engine::Place::Memory);
        work.step(&|| false);
        work.search().clone()
    }

    /// Erasures up to a cut are carried out.
    fn set_erased(&self, cut: &Arc<Cut>) {
        self.inner.erased.store(Some(Arc::clone(cut)));
    }

    /// Shows a commit to readers.
    fn show(&self, snapshot: Snapshot) {
        self.inner.current.store(Some(Arc::new(snapshot)));
    }

    /// Has readers wait; `reason` tells them why.
    fn close(&self, reason: &str) {
        let mut closed = self.inner.closed.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone_into(&mut closed);
        self.inner.current.store(None);
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("cut", &self.cut()).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    fn search(&self, view: &View, ask: &SearchAsk) -> Result<Answer, SearchError> {
        let depth = ask.offset.saturating_add(ask.limit);
        let (found, matched) = self.find(view, ask, depth)?;
        let catalogue = Catalogue::new(self.index.store(), &view.snapshot.cut);
        let (mut services, mut gone) = (Vec::new(), 0);
        for place in found.best.iter().skip(ask.offset) {
            let Some((land, service)) = place.service() else { continue };
            let summary = catalogue.summary_of(land, service)?;
            // erased since it was found
            gone += u32::from(summary.is_none());
            services.extend(summary);
        }
        let total = found.total.saturating_sub(gone);
        Ok(Answer { services, total, facets: facets(&found), matched })
    }

    fn suggest(&self, view: &View, ask: &SearchAsk) -> Result<Vec<Suggestion>, SearchError> {
        // several Länder use one name
        let (found, _) = self.find(view, ask, ask.limit.saturating_mul(SAME_NAME_MAX))?;
        let catalogue = Catalogue::new(self.index.store(), &view.snapshot.cut);
        let (mut suggestions, mut seen) = (Vec::new(), BTreeSet::new());
        for place in found.best {
            if suggestions.len() >= ask.limit {
                break;
            }
            let Some((land, service)) = place.service() else { continue };
            let Some(summary) = catalogue.summary_of(land, service)? else { continue };
            if seen.insert(summary.bezeichnung.clone()) {
                suggestions.push(Suggestion {
                    text: summary.bezeichnung,
                    service_id: summary.service_id,
                    land: summary.land,
                });
            }
        }
        Ok(suggestions)
    }

    /// Takes the words strictly first, and less and less so while nothing is found.
    fn find(
        &self,
        view: &View,
        ask: &SearchAsk,
        depth: usize,
    ) -> Result<(Found, SearchMatch), SearchError> {
        let (searcher, fields) = (&view.snapshot.searcher, &self.fields);
        let words = Words::of(&ask.query);
        let best =
            || Best::new(&ask.filters, depth).by_name(words.is_empty()).without(&view.hidden);
        let strict = vec![Tolerance::None; words.len()];
        let found = searcher.search(&*words.all(fields, &strict), &best())?;
        if found.matched > 0 || words.is_empty() {
            return Ok((found, SearchMatch::AllWords));
        }
        let mut tolerant = strict;
        for (at, tolerance) in tolerant.iter_mut().enumerate() {
            let alone = words.one(fields, at, Tolerance::None);
            let any = Best::new(&Default::default(), 1).without(&view.hidden);
            if searcher.search(&*alone, &any)?.matched == 0 {
                *tolerance = Tolerance::Typos;
            }
        }
        let found = searcher.search(&*words.all(fields, &tolerant), &best())?;
        if found.matched > 0 {
            return Ok((found, SearchMatch::SimilarWords));
        }
        let words = words.apart();
        let most = words.len().div_ceil(2);
        let mut found = Found::default();
        for least in [most, 1] {
            found = searcher.search(&*words.some(fields, least), &best())?;
            if found.matched > 0 || most == 1 {
                break;
            }
        }
        Ok((found, SearchMatch::SomeWords))
    }
}

fn not_ready(reason: &str) -> Reject {
    Reject::Unavailable {
        reason: "SEARCH_REBUILDING",
        description: format!(
            "the search is not ready ({reason}); ask again in a moment, lists and single services \
             are answered"
        ),
    }
}

/// Facets in the order of an answer.
fn facets(found: &Found) -> Vec<FacetCount> {
    let mut all = Vec::new();
    for (name, counts) in FACETS.iter().zip(&found.facets) {
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|(value, count)| (std::cmp::Reverse(**count), *value));
        all.extend(counts.into_iter().take(FACET_VALUES_MAX).map(|(value, &count)| FacetCount {
            name: (*name).to_owned(),
            value: value.clone(),
            count,
        }));
    }
    all
}

/// Services of one name that are looked through for a suggestion.
const SAME_NAME_MAX: usize = 20;
