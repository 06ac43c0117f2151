//! Handover: a service moves to another Land and keeps its id, versions and Nachnutzungen.
//!
//! The owner offers in its log, the successor takes the offer in its own, naming it by its leaf
//! hash. From then on what the former owner writes about the service counts only up to its offer,
//! and what the successor writes counts from where it took it.
//!
//! The newest offer of an owner stands; it can be taken until the owner takes it back or makes
//! another. Two logs have no common order, so where both were written the recorded time that each
//! Land signed decides, and a tie leaves the service where it is. Recorded times never go back in
//! a log, so nobody undoes a handover later.

use std::collections::BTreeSet;

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
    /// Recorded time of the Land that says it, milliseconds since 1970-01-01 UTC.
    pub recorded_unix_ms: i64,
    /// What it says.
    pub record: Uebergabe,
}

/// A Land that owns a service, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The Land.
    pub land: Land,
    /// Its entry that took the service over; `None` for the Land that began it.
    pub from: Option<Position>,
    /// Its offer that was taken. `None` for the owner of today.
    pub until: Option<Position>,
}

/// What became of an offer.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It can be taken.
    Open,
    /// The successor took it.
    Taken(Position),
    /// The owner took it back.
    TakenBack(Position),
    /// Another offer came after it, or its Land did not own the service.
    Void,
}

/// Owners of one service, at most.
pub const OWNERS_MAX: usize = 32;
/// What one Land says about handovers of one UUID is heard so far and no further, the first
/// entries first: so nobody makes a service of others slow to read.
pub const STEPS_MAX: usize = 100;

/// The services of one UUID, each with its owners in their order; the last one owns it now.
///
/// `began` are the Länder that defined it, each with its first definition. One that took a service
/// of this UUID before does not begin another. A Land owns one of them at most: who began one of
/// its own takes no other, and of two that it took that of the lower code counts.
///
/// `agreed` tells whether those who lead with these owners agree to an offer.
///
/// # Errors
///
/// Those of `agreed`.
pub fn services<E>(
    began: &[(Land, Position)],
    said: &[Said],
    mut agreed: impl FnMut(&[Owner], &Said) -> Result<bool, E>,
) -> Result<Vec<Vec<Owner>>, E> {
    let took = |land: Land, before: Position| {
        said.iter().any(|it| {
            it.record.schritt() == Schritt::Annahme && it.at.log.land == land && it.at < before
        })
    };
    let mut begins: Vec<Land> =
        began.iter().filter(|(land, at)| !took(*land, *at)).map(|(land, _)| *land).collect();
    begins.sort_unstable();
    let mut others: BTreeSet<Land> = begins.iter().copied().collect();
    let mut services = Vec::with_capacity(begins.len());
    for first in begins {
        let mut owners = vec![Owner { land: first, from: None, until: None }];
        while owners.len() < OWNERS_MAX {
            let mut next = None;
            for (offer, acceptance) in taken(&owners, said) {
                let to = acceptance.at.log.land;
                let is_free = !others.contains(&to) || owners.iter().any(|it| it.land == to);
                if is_free && agreed(&owners, offer)? {
                    next = Some((offer.at, acceptance.at));
                    break;
                }
            }
            let Some((until, from)) = next else { break };
            if let Some(last) = owners.last_mut() {
                last.until = Some(until);
            }
            others.insert(from.log.land);
            owners.push(Owner { land: from.log.land, from: Some(from), until: None });
        }
        services.push(owners);
    }
    Ok(services)
}

/// The offer of the owner of today that stands, whether it was taken without enough agreement or
/// not at all.
pub fn open_offer<'a>(owners: &[Owner], said: &'a [Said]) -> Option<&'a Said> {
    let newest = offers(owners.last()?, said).pop()?;
    taken_back(newest, said).is_none().then_some(newest)
}

/// What became of an offer of one of these owners.
pub fn outcome(owners: &[Owner], offer: &Said, said: &[Said]) -> Outcome {
    let taken = owners.windows(2).find(|pair| pair[0].until == Some(offer.at));
    if let Some(from) = taken.and_then(|pair| pair[1].from) {
        return Outcome::Taken(from);
    }
    if let Some(back) = taken_back(offer, said) {
        return Outcome::TakenBack(back.at);
    }
    let is_open = open_offer(owners, said).is_some_and(|open| open.at == offer.at);
    if is_open { Outcome::Open } else { Outcome::Void }
}

/// Offers of the last owner that were taken while they stood, in the order of their entries, each
/// with who took it.
fn taken<'a>(owners: &[Owner], said: &'a [Said]) -> Vec<(&'a Said, &'a Said)> {
    let Some(last) = owners.last() else { return Vec::new() };
    let offers = offers(last, said);
    let mut found = Vec::new();
    for (at, offer) in offers.iter().enumerate() {
        let back = taken_back(offer, said).map(|it| it.recorded_unix_ms);
        // one that it made after it got the service back replaces nothing: clocks of two Länder
        // may differ by more than it was away
        let next = offers.get(at + 1).filter(|next| !took_between(offer, next, said));
        let next = next.map(|it| it.recorded_unix_ms);
        let ends = back.into_iter().chain(next).min().unwrap_or(i64::MAX);
        let in_time = |it: &&Said| it.recorded_unix_ms < ends;
        // whoever gets it back does so after it gave it away
        let later = |it: &&Said| {
            let until = owners.iter().filter(|owner| owner.land == it.at.log.land);
            until.filter_map(|owner| owner.until).all(|until| until < it.at)
        };
        let acceptance = said
            .iter()
            .filter(|it| it.record.schritt() == Schritt::Annahme && names(it, offer))
            .filter(|it| it.at.log.land.code() == offer.record.an_land)
            .filter(|it| in_time(it) && later(it))
            .min_by_key(|it| it.at);
        found.extend(acceptance.map(|it| (*offer, it)));
    }
    found
}

/// Offers that an owner made while it owned the service, in the order of their entries.
fn offers<'a>(owner: &Owner, said: &'a [Said]) -> Vec<&'a Said> {
    let mut offers: Vec<_> = said
        .iter()
        .filter(|it| it.record.schritt() == Schritt::Angebot)
        .filter(|it| Owner { until: None, ..*owner }.wrote(it.at))
        .filter(|it| it.record.von_land == owner.land.code())
        .filter(|it| it.record.an_land != owner.land.code())
        .collect();
    offers.sort_by_key(|it| it.at);
    offers
}

fn took_between(offer: &Said, next: &Said, said: &[Said]) -> bool {
    said.iter().any(|it| {
        it.record.schritt() == Schritt::Annahme
            && offer.at < it.at
            && it.at < next.at
            && it.at.log.land == offer.at.log.land
    })
}

fn taken_back<'a>(offer: &Said, said: &'a [Said]) -> Option<&'a Said> {
    said.iter()
        .filter(|it| it.record.schritt() == Schritt::Ruecknahme && names(it, offer))
        .filter(|it| it.at.log.land == offer.at.log.land)
        .min_by_key(|it| it.at)
}

fn names(it: &Said, offer: &Said) -> bool {
    it.record.angebot.as_ref() == offer.leaf.as_bytes()
}

// === impl Owner ===

impl Owner {
    /// A Land that never gave its service away.
    pub fn always(land: Land) -> Self {
        Self { land, from: None, until: None }
    }

    /// True if the entry is one that this Land wrote while it owned the service.
    pub fn wrote(&self, at: Position) -> bool {
        at.log.land == self.land
            && self.from.is_none_or(|from| from < at)
            && self.until.is_none_or(|until| at < until)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use registry_proto::{log::leaf_hash, terms::LogId};

    use super::*;

    /// "SL 1 angebot HE": entry 1 of SL offers to HE; "HE 2 annahme 1": entry 2 of HE takes it.
    /// The index is the recorded time as well.
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
            recorded_unix_ms: i64::try_from(index).expect("small"),
            record: Uebergabe {
                von_land: if offers { words[0] } else { "" }.to_owned(),
                an_land: if offers { words[3] } else { "" }.to_owned(),
                schritt: schritt as i32,
                angebot: if offers { vec![] } else { leaf(words[3]).as_bytes().to_vec() }.into(),
                ..Uebergabe::default()
            },
        }
    }

    fn all(texts: &[&str]) -> Vec<Said> {
        texts.iter().map(|it| said(it)).collect()
    }

    /// "SL 0 RP 4": the Länder that define the UUID, each with the entry.
    fn folded(began: &str, texts: &[&str]) -> Vec<Vec<Owner>> {
        let words: Vec<_> = began.split_whitespace().collect();
        let began: Vec<_> = words
            .chunks(2)
            .map(|pair| {
                let land = pair[0].parse().expect("a Land");
                let log = LogId { land, epoch: 1 };
                (land, Position { log, index: pair[1].parse().expect("a number") })
            })
            .collect();
        let Ok(found) = services(&began, &all(texts), |_, _| Ok::<_, Infallible>(true));
        found
    }

    #[track_caller]
    fn check_of(began: &str, texts: &[&str], expect: &str) {
        let one = |it: &Owner| {
            let from = it.from.map(|at| format!(" from {}", at.index)).unwrap_or_default();
            let until = it.until.map(|at| format!(" until {}", at.index)).unwrap_or_default();
            format!("{}{from}{until}", it.land)
        };
        let found: Vec<_> = folded(began, texts)
            .iter()
            .map(|owners| owners.iter().map(one).collect::<Vec<_>>().join(", "))
            .collect();
        assert_eq!(found.join(" | "), expect, "{texts:?}");
        let mut turned: Vec<_> = texts.to_vec();
        turned.reverse();
        assert_eq!(folded(began, &turned), folded(began, texts), "{texts:?}");
    }

    #[track_caller]
    fn check(texts: &[&str], expect: &str) {
        check_of("SL 0", texts, expect);
    }

    #[test]
    fn a_service_moves_when_an_offer_is_taken() {
        check(&[], "SL");
        check(&["SL 1 angebot HE"], "SL");
        check(&["SL 1 angebot HE", "HE 2 annahme 1"], "SL until 1, HE from 2");
        check(
            &["SL 1 angebot HE", "HE 2 annahme 1", "HE 3 angebot TH", "TH 4 annahme 3"],
            "SL until 1, HE from 2 until 3, TH from 4",
        );
        // and back, and away again before the clock of the other Land has come that far
        check(
            &[
                "SL 1 angebot HE",
                "HE 2 annahme 1",
                "HE 3 angebot SL",
                "SL 90 annahme 3",
                "SL 91 angebot HE",
                "HE 4 annahme 91",
                "HE 5 angebot SL",
            ],
            "SL until 1, HE from 2 until 3, SL from 90 until 91, HE from 4",
        );
        check(
            &["SL 1 angebot HE", "HE 2 annahme 1", "HE 3 angebot SL", "SL 4 annahme 3"],
            "SL until 1, HE from 2 until 3, SL from 4",
        );
    }

    #[test]
    fn what_does_not_fit_moves_nothing() {
        // somebody else takes it, or nobody offered, or it is not the owner's
        check(&["SL 1 angebot HE", "TH 2 annahme 1"], "SL");
        check(&["HE 2 annahme 1"], "SL");
        check(&["TH 1 angebot HE", "HE 2 annahme 1"], "SL");
        check(&["SL 1 angebot SL", "SL 2 annahme 1"], "SL");
        // the former owner offers again
        check(
            &["SL 1 angebot HE", "HE 2 annahme 1", "SL 3 angebot TH", "TH 4 annahme 3"],
            "SL until 1, HE from 2",
        );
        // the successor offered before it owned it
        check(
            &["SL 4 angebot HE", "HE 3 angebot TH", "HE 5 annahme 4", "TH 6 annahme 3"],
            "SL until 4, HE from 5",
        );
        // a Land cannot take it back with an entry from before it gave it away
        check(
            &["SL 5 angebot HE", "HE 6 annahme 5", "HE 7 angebot SL", "SL 3 annahme 7"],
            "SL until 5, HE from 6",
        );
    }

    #[test]
    fn an_offer_can_be_taken_until_it_is_taken_back_or_another_is_made() {
        check(&["SL 1 angebot HE", "SL 2 ruecknahme 1", "HE 3 annahme 1"], "SL");
        check(&["SL 1 angebot HE", "SL 2 ruecknahme 1", "HE 2 annahme 1"], "SL");
        check(&["SL 1 angebot HE", "HE 2 annahme 1", "SL 3 ruecknahme 1"], "SL until 1, HE from 2");
        check(&["SL 1 angebot HE", "HE 2 ruecknahme 1", "HE 3 annahme 1"], "SL until 1, HE from 3");
        check(
            &["SL 1 angebot HE", "SL 2 angebot TH", "TH 3 annahme 2", "HE 4 annahme 1"],
            "SL until 2, TH from 3",
        );
        check(
            &["SL 1 angebot HE", "HE 2 annahme 1", "SL 3 angebot TH", "TH 3 annahme 3"],
            "SL until 1, HE from 2",
        );
        check(
            &["SL 1 angebot HE", "SL 2 ruecknahme 1", "SL 3 angebot HE", "HE 4 annahme 3"],
            "SL until 3, HE from 4",
        );
    }

    #[test]
    fn a_land_owns_one_service_of_a_uuid_at_most() {
        check_of("SL 0 RP 0", &[], "RP | SL");
        check_of("SL 0 RP 0", &["SL 1 angebot HE", "HE 2 annahme 1"], "RP | SL until 1, HE from 2");
        // who has one of its own takes no other
        check_of("SL 0 HE 0", &["SL 1 angebot HE", "HE 2 annahme 1"], "HE | SL");
        // what the successor defines afterwards begins nothing
        check_of("SL 0 HE 3", &["SL 1 angebot HE", "HE 2 annahme 1"], "SL until 1, HE from 2");
        let withdrawn = ["SL 1 angebot HE", "SL 2 ruecknahme 1", "HE 3 annahme 1"];
        check_of("SL 0 HE 4", &withdrawn, "SL");
        // of two that it took one counts
        check_of(
            "SL 0 RP 0",
            &["SL 1 angebot HE", "HE 2 annahme 1", "RP 3 angebot HE", "HE 4 annahme 3"],
            "RP until 3, HE from 4 | SL",
        );
    }

    #[test]
    fn those_who_lead_with_the_owner_must_agree() {
        let texts = ["SL 1 angebot HE", "HE 2 annahme 1"];
        let log = LogId { land: Land::SL, epoch: 1 };
        let began = [(Land::SL, Position { log, index: 0 })];
        let said = all(&texts);
        let Ok(found) = services(&began, &said, |_, _| Ok::<_, Infallible>(false));
        assert_eq!(found, [[Owner::always(Land::SL)]]);
        // it can still be taken
        assert_eq!(open_offer(&found[0], &said).map(|it| it.at.index), Some(1));
    }

    #[test]
    fn an_offer_is_open_until_it_is_taken_or_taken_back() {
        let check = |texts: &[&str], open: Option<u64>, outcomes: &str| {
            let (owners, said) = (&folded("SL 0", texts)[0], all(texts));
            assert_eq!(open_offer(owners, &said).map(|it| it.at.index), open, "{texts:?}");
            let offers = said.iter().filter(|it| it.record.schritt() == Schritt::Angebot);
            let shown: Vec<_> = offers
                .map(|offer| match outcome(owners, offer, &said) {
                    Outcome::Open => "open".to_owned(),
                    Outcome::Void => "void".to_owned(),
                    Outcome::Taken(at) => format!("taken {}", at.index),
                    Outcome::TakenBack(at) => format!("back {}", at.index),
                })
                .collect();
            assert_eq!(shown.join(", "), outcomes, "{texts:?}");
        };
        check(&["SL 1 angebot HE"], Some(1), "open");
        check(&["SL 1 angebot HE", "HE 2 annahme 1"], None, "taken 2");
        check(&["SL 1 angebot HE", "SL 2 ruecknahme 1"], None, "back 2");
        check(&["SL 1 angebot HE", "SL 2 angebot TH"], Some(2), "void, open");
        check(&["SL 1 angebot HE", "HE 2 annahme 1", "HE 3 angebot TH"], Some(3), "taken 2, open");
        check(&["SL 1 angebot HE", "HE 2 annahme 1", "SL 3 angebot TH"], None, "taken 2, void");
    }

    #[test]
    fn the_chain_of_owners_ends() {
        let mut texts = Vec::new();
        let laender = ["SL", "HE"];
        for at in 0..2 * OWNERS_MAX {
            let (from, to) = (laender[at % 2], laender[(at + 1) % 2]);
            let index = 2 * at + 1;
            texts.push(format!("{from} {index} angebot {to}"));
            texts.push(format!("{to} {} annahme {index}", index + 1));
        }
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        assert_eq!(folded("SL 0", &texts)[0].len(), OWNERS_MAX);
    }
}
