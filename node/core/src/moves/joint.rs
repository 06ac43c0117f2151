//! Joint services: who leads with the owner, and which entries enough of them have countersigned.

use std::collections::BTreeSet;

use registry_proto::{log::Hash, terms::Land, wire::registry::Mitfederfuehrung};

/// The Länder that lead with the owner. Empty when the owner leads alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaders {
    /// Co-owners, without the owner.
    pub laender: BTreeSet<Land>,
    /// Countersignatures needed.
    pub k: usize,
}

/// Countersignatures under an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countersigned {
    /// Who had to be asked.
    pub leaders: Leaders,
    /// Which of them countersigned.
    pub by: BTreeSet<Land>,
}

/// A definition of a service, as far as its leaders go.
#[derive(Clone, Debug)]
pub struct Named {
    /// Leaf hash of the definition.
    pub leaf: Hash,
    /// The leaders it names.
    pub leaders: Leaders,
}

// === impl Leaders ===

impl Leaders {
    /// As a record names them. Codes that are no Land are left out, and k stays within the set:
    /// the owner's rules refuse both, and whoever breaks them shall lock nobody out.
    pub fn of(named: Option<&Mitfederfuehrung>, owner: Land) -> Self {
        let Some(named) = named else { return Self::default() };
        let laender: BTreeSet<Land> = named
            .laender
            .iter()
            .filter_map(|it| it.parse().ok())
            .filter(|it| *it != owner)
            .collect();
        let k = (named.k as usize).clamp(usize::from(!laender.is_empty()), laender.len());
        Self { laender, k }
    }

    /// The leaders that count after these definitions, in the order of their entries, when
    /// `self` counted before. The first set counts at once, as does the first after the owner led
    /// alone; another counts when k of the old set countersigned the definition that names it.
    ///
    /// # Errors
    ///
    /// Those of `signed`.
    pub fn after<E>(
        mut self,
        definitions: impl IntoIterator<Item = Named>,
        mut signed: impl FnMut(&Hash) -> Result<BTreeSet<Land>, E>,
    ) -> Result<Self, E> {
        for named in definitions {
            if named.leaders != self && self.countersigned(signed(&named.leaf)?).is_enough() {
                self = named.leaders;
            }
        }
        Ok(self)
    }

    /// Those that go on leading when the service moves to `owner`.
    #[must_use]
    pub fn under(mut self, owner: Land) -> Self {
        self.laender.remove(&owner);
        self.k = self.k.min(self.laender.len());
        self
    }

    /// Judges the countersignatures of an entry.
    pub fn countersigned(&self, by: BTreeSet<Land>) -> Countersigned {
        let by = by.intersection(&self.laender).copied().collect();
        Countersigned { leaders: self.clone(), by }
    }
}

// === impl Countersigned ===

impl Countersigned {
    /// True if k co-owners countersigned, or there are none.
    pub fn is_enough(&self) -> bool {
        self.by.len() >= self.leaders.k
    }

    /// Co-owners whose countersignature is not here.
    pub fn missing(&self) -> BTreeSet<Land> {
        self.leaders.laender.difference(&self.by).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use registry_proto::log::leaf_hash;

    use super::*;

    fn leaders(text: &str, k: usize) -> Leaders {
        let laender = text.split_whitespace().map(|it| it.parse().expect("a Land")).collect();
        Leaders { laender, k }
    }

    /// Definitions in their order, each with its leaders and who countersigned it.
    #[track_caller]
    fn check(definitions: &[(&str, usize, &str)], expect: (&str, usize)) {
        let leaf = |at: usize| leaf_hash(&[u8::try_from(at).expect("small")]);
        let named = definitions
            .iter()
            .enumerate()
            .map(|(at, (text, k, _))| Named { leaf: leaf(at), leaders: leaders(text, *k) });
        let signed = |of: &Hash| {
            let at = (0..definitions.len()).find(|at| leaf(*at) == *of).expect("known");
            Ok::<_, Infallible>(leaders(definitions[at].2, 0).laender)
        };
        let Ok(got) = Leaders::default().after(named, signed);
        assert_eq!(got, leaders(expect.0, expect.1), "{definitions:?}");
    }

    #[test]
    fn another_set_counts_when_enough_of_the_old_one_agreed() {
        check(&[], ("", 0));
        check(&[("", 0, "")], ("", 0));
        check(&[("HE", 1, "")], ("HE", 1));
        check(&[("", 0, ""), ("HE RP", 2, "")], ("HE RP", 2));
        check(&[("HE RP", 2, ""), ("HE", 1, "HE")], ("HE RP", 2));
        check(&[("HE RP", 2, ""), ("HE", 1, "HE RP")], ("HE", 1));
        // a stranger does not count, and leaving needs the same
        check(&[("HE", 1, ""), ("", 0, "TH")], ("HE", 1));
        check(&[("HE", 1, ""), ("", 0, "HE")], ("", 0));
        // what was refused can be named again
        check(&[("HE", 1, ""), ("TH", 1, ""), ("TH", 1, "HE")], ("TH", 1));
    }

    #[test]
    fn a_leader_that_becomes_the_owner_leads_with_nobody_less() {
        assert_eq!(leaders("HE RP", 2).under(Land::HE), leaders("RP", 1));
        assert_eq!(leaders("HE RP", 1).under(Land::TH), leaders("HE RP", 1));
        assert_eq!(leaders("HE", 1).under(Land::HE), Leaders::default());
    }

    #[test]
    fn leaders_are_read_so_that_nobody_is_locked_out() {
        let named = |laender: &[&str], k| Mitfederfuehrung {
            laender: laender.iter().map(|it| (*it).to_owned()).collect(),
            k,
        };
        let of = |laender: &[&str], k| Leaders::of(Some(&named(laender, k)), Land::SL);
        assert_eq!(of(&["HE", "RP"], 1), leaders("HE RP", 1));
        assert_eq!(of(&["HE", "RP"], 9), leaders("HE RP", 2));
        assert_eq!(of(&["HE"], 0), leaders("HE", 1));
        assert_eq!(of(&["SL", "??"], 1), Leaders::default());
        assert_eq!(Leaders::of(None, Land::SL), Leaders::default());
    }
}
