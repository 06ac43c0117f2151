//! Handover: a service moves to another Land and keeps its id, versions and Nachnutzungen.
//!
//! The owner offers in its log, the successor takes the offer in its own, naming it by its leaf
//! hash. From then on what the former owner writes about the service counts only up to its offer.
//! An offer taken back before it is taken is void; if both were written, taking it back counts.

use registry_proto::{
    log::Hash,
    terms::Land,
    wire::registry::{Uebergabe, UebergabeSchritt as Schritt},
};

use crate::fold::Position;

/// What is said about a handover, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Its entry.
    pub at: Position,
    /// Leaf hash of the entry.
    pub leaf: Hash,
    /// What it says.
    pub record: Uebergabe,
}

/// A Land that owns a service, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The Land.
    pub land: Land,
    /// Its offer that was taken: what it wrote from there on does not count. `None` for the
    /// owner of today.
    pub until: Option<Position>,
}

/// Owners of one service, at most.
const OWNERS_MAX: usize = 32;

/// The owners of the service that `first` defined, in their order; the last one owns it now. Each
/// Land owns it once: one that got it back would have to be told from what it wrote meanwhile.
pub fn owners(first: Land, said: &[Said]) -> Vec<Owner> {
    let mut owners = vec![Owner { land: first, until: None }];
    while owners.len() < OWNERS_MAX {
        let last = owners.len() - 1;
        let land = owners[last].land;
        let Some((offer, to)) = taken(land, said) else { break };
        if owners.iter().any(|it| it.land == to) {
            break;
        }
        owners[last].until = Some(offer.at);
        owners.push(Owner { land: to, until: None });
    }
    owners
}

/// The offer of a Land that stands and is not taken, the first if there are several.
pub fn open_offer(land: Land, said: &[Said]) -> Option<&Said> {
    offers(land, said).find(|offer| acceptance(offer, said).is_none())
}

/// The first offer of a Land that was taken, and by whom.
fn taken(land: Land, said: &[Said]) -> Option<(&Said, Land)> {
    offers(land, said).find_map(|offer| Some((offer, acceptance(offer, said)?.at.log.land)))
}

/// Offers of a Land that were not taken back, in the order of their entries.
fn offers(land: Land, said: &[Said]) -> impl Iterator<Item = &Said> {
    let mut offers: Vec<_> = said
        .iter()
        .filter(|it| it.record.schritt() == Schritt::Angebot)
        .filter(|it| it.at.log.land == land && it.record.von_land == land.code())
        .filter(|it| it.record.an_land != land.code())
        .filter(|offer| {
            !said.iter().any(|it| {
                it.record.schritt() == Schritt::Ruecknahme
                    && it.at.log.land == land
                    && names(it, offer)
            })
        })
        .collect();
    offers.sort_by_key(|it| it.at);
    offers.into_iter()
}

fn acceptance<'a>(offer: &Said, said: &'a [Said]) -> Option<&'a Said> {
    said.iter()
        .filter(|it| it.record.schritt() == Schritt::Annahme && names(it, offer))
        .filter(|it| it.at.log.land.code() == offer.record.an_land)
        .min_by_key(|it| it.at)
}

fn names(it: &Said, offer: &Said) -> bool {
    it.record.angebot.as_ref() == offer.leaf.as_bytes()
}

#[cfg(test)]
mod tests {
    use registry_proto::{log::leaf_hash, terms::LogId};

    use super::*;

    /// "SL 1 angebot HE": entry 1 of SL offers to HE; "HE 2 annahme 1": entry 2 of HE takes it.
    fn said(text: &str) -> Said {
        let words: Vec<_> = text.split_whitespace().collect();
        let land: Land = words[0].parse().expect("a Land");
        let leaf = |name: &str| leaf_hash(name.as_bytes());
        let schritt = match words[2] {
            "angebot" => Schritt::Angebot,
            "annahme" => Schritt::Annahme,
            _ => Schritt::Ruecknahme,
        };
        let offers = schritt == Schritt::Angebot;
        let index = words[1].parse().expect("a number");
        Said {
            at: Position { log: LogId { land, epoch: 1 }, index },
            leaf: leaf(words[1]),
            record: Uebergabe {
                von_land: if offers { words[0] } else { "" }.to_owned(),
                an_land: if offers { words[3] } else { "" }.to_owned(),
                schritt: schritt as i32,
                angebot: if offers { vec![] } else { leaf(words[3]).as_bytes().to_vec() }.into(),
                ..Uebergabe::default()
            },
        }
    }

    #[track_caller]
    fn check(all: &[&str], expect: &str) {
        let said: Vec<_> = all.iter().map(|it| said(it)).collect();
        let owners: Vec<_> = owners(Land::SL, &said)
            .iter()
            .map(|it| match it.until {
                None => it.land.to_string(),
                Some(at) => format!("{} until {}", it.land, at.index),
            })
            .collect();
        assert_eq!(owners.join(", "), expect, "{all:?}");
    }

    #[test]
    fn a_service_moves_when_an_offer_is_taken() {
        check(&[], "SL");
        check(&["SL 1 angebot HE"], "SL");
        check(&["SL 1 angebot HE", "HE 2 annahme 1"], "SL until 1, HE");
        check(
            &["SL 1 angebot HE", "HE 2 annahme 1", "HE 3 angebot TH", "TH 4 annahme 3"],
            "SL until 1, HE until 3, TH",
        );
    }

    #[test]
    fn what_does_not_fit_moves_nothing() {
        // somebody else takes it, or nobody offered, or it was taken back
        check(&["SL 1 angebot HE", "TH 2 annahme 1"], "SL");
        check(&["HE 2 annahme 1"], "SL");
        check(&["TH 1 angebot HE", "HE 2 annahme 1"], "SL");
        check(&["SL 1 angebot HE", "HE 2 annahme 1", "SL 3 ruecknahme 1"], "SL");
        check(&["SL 1 angebot HE", "HE 2 annahme 1", "HE 3 ruecknahme 1"], "SL until 1, HE");
        // of two that were taken the first counts
        check(
            &["SL 2 angebot TH", "SL 1 angebot HE", "TH 3 annahme 2", "HE 4 annahme 1"],
            "SL until 1, HE",
        );
        // nobody owns it twice
        check(
            &["SL 1 angebot HE", "HE 2 annahme 1", "HE 3 angebot SL", "SL 4 annahme 3"],
            "SL until 1, HE",
        );
    }

    #[test]
    fn an_offer_is_open_until_it_is_taken_or_taken_back() {
        let all = |texts: &[&str]| texts.iter().map(|it| said(it)).collect::<Vec<_>>();
        let open = |texts: &[&str]| open_offer(Land::SL, &all(texts)).map(|it| it.at.index);
        assert_eq!(open(&["SL 1 angebot HE"]), Some(1));
        assert_eq!(open(&["SL 1 angebot HE", "HE 2 annahme 1"]), None);
        assert_eq!(open(&["SL 1 angebot HE", "SL 2 ruecknahme 1"]), None);
    }
}
