//! A set of Länder, small enough to be kept for every service.

use registry_proto::terms::{Ars, Land};

/// A set of Länder, the Bund counted as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Laender(u32);

// === impl Laender ===

impl Laender {
    /// All of them.
    pub const ALL: Self = Self((1 << Land::ALL.len()) - 1);

    /// The Länder that areas lie in. What is no key of an area lies nowhere.
    pub fn of<'a>(gebiete: impl IntoIterator<Item = &'a str>) -> Self {
        gebiete.into_iter().filter_map(|it| it.parse::<Ars>().ok()).map(|it| it.land()).collect()
    }

    /// Whether a Land is in both.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Land> for Laender {
    fn from_iter<I: IntoIterator<Item = Land>>(laender: I) -> Self {
        // the variants are numbered in the order of `Land::ALL`
        Self(laender.into_iter().fold(0, |all, land| all | 1 << (land as u32)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_land_has_a_place_of_its_own() {
        let one = |land: Land| Laender::from_iter([land]);
        for a in Land::ALL {
            assert!(Laender::ALL.meets(one(a)));
            for b in Land::ALL {
                assert_eq!(one(a).meets(one(b)), a == b, "{a} and {b}");
            }
        }
        assert_eq!(Laender::ALL, Land::ALL.into_iter().collect());
    }

    #[test]
    fn areas_lie_where_their_keys_say() {
        let check = |gebiete: &[&str], expected: &[Land]| {
            let found = Laender::of(gebiete.iter().copied());
            assert_eq!(found, expected.iter().copied().collect(), "{gebiete:?}");
        };
        check(&[], &[]);
        check(&["10", "10041", "16"], &[Land::SL, Land::TH]);
        check(&["00"], &[Land::BUND]);
        check(&["nothing", "99"], &[]);
    }
}
