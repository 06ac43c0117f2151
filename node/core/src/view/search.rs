//! Finds services by words.

use std::collections::BTreeSet;

use registry_proto::wire::registry::{SearchServicesRequest, ServiceSummary};

use super::{
    Catalogue, Facts, QueryError,
    catalogue::Definition,
    page::Checks,
    walk::{DEFINITIONS, Order, Walk},
};
use crate::{
    fold::{Fact, keys, searchable},
    limits::{QUERY_CHARS_MAX, SEARCH_DEFAULT},
};

/// Words of a query, in the spelling of searches.
struct Words(Vec<String>);

/// How well a service meets a query; best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A name begins with the first word and all words occur in names.
    NameBegins,
    /// All words occur in names.
    Names,
    /// Some occur only in keys, Themenfeld or Lagen.
    Words,
}

impl<F: Facts> Catalogue<'_, F> {
    /// Services in whose names, keys, Themenfeld and Lagen all words of the query occur, best
    /// first, and how many there are.
    ///
    /// # Errors
    ///
    /// [`crate::reject::Reject::Invalid`] on a query without words, and on other forms.
    pub fn search(
        &self,
        request: &SearchServicesRequest,
    ) -> Result<(Vec<ServiceSummary>, u32), QueryError> {
        let mut checks = Checks::default();
        let limit = checks.count("limit", request.limit, SEARCH_DEFAULT);
        let land = checks.land(&request.land);
        let words = Words::of(&request.query);
        if request.query.chars().count() > QUERY_CHARS_MAX {
            checks.add(
                "query",
                "QUERY_LENGTH",
                format_args!("has more than {QUERY_CHARS_MAX} characters"),
            );
        } else if words.0.is_empty() {
            checks.add("query", "QUERY_EMPTY", "has no word; a word has letters or digits");
        }
        checks.finish()?;

        let all = keys::definitions_in(land);
        let mut walk = Walk::with_prefix(self.facts, self.cut, DEFINITIONS, Order::Ascending, all);
        let mut best = BTreeSet::new();
        let mut total = 0_u32;
        while let Some(Fact { key, value }) = walk.next()? {
            let definition = Definition::parse(&key, &value)?;
            let Some(rank) = words.rank(&definition) else { continue };
            total = total.saturating_add(1);
            best.insert((rank, definition.fact.bezeichnung, key));
            if best.len() > limit {
                best.pop_last();
            }
        }
        let mut hits = Vec::with_capacity(best.len());
        for (_, _, key) in best {
            if let Some(value) = self.facts.get(&key)? {
                hits.push(self.summary(Definition::parse(&key, &value)?)?);
            }
        }
        Ok((hits, total))
    }
}

// === impl Words ===

impl Words {
    fn of(query: &str) -> Self {
        let words = searchable(query);
        let words = words.split(|letter: char| !letter.is_alphanumeric());
        Self(words.filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    fn rank(&self, definition: &Definition) -> Option<Rank> {
        let fact = &definition.fact;
        let in_names = |word: &String| fact.names.contains(word.as_str());
        if self.0.iter().all(in_names) {
            let first = self.0.first()?;
            let begins = fact.names.lines().any(|name| name.starts_with(first.as_str()));
            return Some(if begins { Rank::NameBegins } else { Rank::Names });
        }
        let anywhere = |word: &String| in_names(word) || fact.words.contains(word.as_str());
        self.0.iter().all(anywhere).then_some(Rank::Words)
    }
}
