//! What an area is on a day, when areas took the place of others.
//!
//! A change joins areas that ended with those they became; both sides are the same land. So
//! whoever names all of one side names the other as well.

use std::collections::BTreeSet;

use registry_proto::terms::{Ars, Date, Ebene, Land};

use super::{Gemeindeverzeichnis, Laender};

/// One change: what was before, and what is in its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gebietswechsel {
    /// First day on which it counts.
    pub ab: Date,
    /// Areas that ended.
    pub vorher: Vec<Ars>,
    /// Areas that took their place.
    pub nachher: Vec<Ars>,
}

/// An area as it is on a day, with everything it may be called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GebietAmTag {
    asked: Ars,
    /// What it is on the day: itself, or what it became, or what it came from.
    on_day: Vec<Ars>,
    /// Changes between what was asked and that.
    changes: Vec<Gebietswechsel>,
    /// Other keys that a record may use for all of it.
    others: Vec<Other>,
}

/// Areas that together are, or hold, all of the area.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Other {
    areas: Vec<Ars>,
    changes: Vec<Gebietswechsel>,
}

/// Changes that one area is followed through.
const STEPS_MAX: usize = 16;

// === impl Gemeindeverzeichnis ===

impl Gemeindeverzeichnis {
    /// What an area is on a day. An area that is not known is itself.
    pub fn am_tag(&self, ars: &Ars, day: Date) -> GebietAmTag {
        let (mut on_day, mut changes) = (BTreeSet::new(), BTreeSet::new());
        let (mut seen, mut open) = (BTreeSet::from([*ars]), vec![*ars]);
        while let Some(one) = open.pop() {
            match self.change_away(&one, day).filter(|_| seen.len() <= STEPS_MAX) {
                Some((change, instead)) => {
                    open.extend(instead.into_iter().filter(|it| seen.insert(*it)));
                    changes.insert(change);
                }
                None => {
                    on_day.insert(one);
                }
            }
        }
        if on_day.is_empty() {
            // changes that turn in circles
            on_day.insert(*ars);
            changes.clear();
        }
        let mut others = Vec::new();
        if !on_day.contains(ars) {
            others.push(Other { areas: vec![*ars], changes: changes.iter().cloned().collect() });
        }
        if let [only] = on_day.iter().collect::<Vec<_>>()[..] {
            self.collect_others(only, &mut others);
        }
        GebietAmTag {
            asked: *ars,
            on_day: on_day.into_iter().collect(),
            changes: changes.into_iter().collect(),
            others,
        }
    }

    /// The change by which an area is not itself on a day, and what is there instead.
    fn change_away(&self, ars: &Ars, day: Date) -> Option<(Gebietswechsel, Vec<Ars>)> {
        let area = self.find(ars)?;
        if area.abgeloest.as_ref().is_some_and(|end| end.ab <= day) {
            let change = self.change_after(ars)?;
            let instead = area.abgeloest.as_ref()?.nachfolger.clone();
            return Some((change, instead));
        }
        if area.seit.is_some_and(|since| day < since) {
            let change = self.change_before(ars)?;
            let instead = change.vorher.clone();
            return Some((change, instead));
        }
        None
    }

    /// The other sides of the changes that an area takes part in, and of theirs.
    fn collect_others(&self, only: &Ars, others: &mut Vec<Other>) {
        let mut seen: BTreeSet<Ars> = others.iter().flat_map(|it| it.areas.clone()).collect();
        seen.insert(*only);
        let mut open = vec![(*only, Vec::new())];
        while let Some((one, changes)) = open.pop().filter(|_| others.len() < STEPS_MAX) {
            let before = self.change_before(&one).map(|it| (it.vorher.clone(), it));
            let after = self.change_after(&one).map(|it| (it.nachher.clone(), it));
            for (areas, change) in before.into_iter().chain(after) {
                let new = areas.iter().filter(|it| seen.insert(**it)).count();
                if new == 0 {
                    continue;
                }
                let changes: Vec<_> = changes.iter().cloned().chain([change]).collect();
                if let [next] = areas[..] {
                    open.push((next, changes.clone()));
                }
                others.push(Other { areas, changes });
            }
        }
    }

    /// The change that ended an area.
    fn change_after(&self, ars: &Ars) -> Option<Gebietswechsel> {
        let end = self.find(ars)?.abgeloest.as_ref()?;
        self.change(end.ab, end.nachfolger.first()?)
    }

    /// The change that an area came from.
    fn change_before(&self, ars: &Ars) -> Option<Gebietswechsel> {
        let since = self.find(ars)?.seit?;
        self.change(since, ars).filter(|it| !it.vorher.is_empty())
    }

    /// The whole change of a day that `successor` took part in.
    fn change(&self, ab: Date, successor: &Ars) -> Option<Gebietswechsel> {
        let ended: Vec<_> = self
            .gebiete
            .iter()
            .filter_map(|area| Some((area.ars, area.abgeloest.as_ref()?)))
            .filter(|(_, end)| end.ab == ab)
            .collect();
        let (mut vorher, mut nachher) = (BTreeSet::new(), BTreeSet::from([*successor]));
        loop {
            let known = nachher.len();
            for (ars, end) in &ended {
                if end.nachfolger.iter().any(|it| nachher.contains(it)) {
                    vorher.insert(*ars);
                    nachher.extend(&end.nachfolger);
                }
            }
            if nachher.len() == known {
                break;
            }
        }
        let change = Gebietswechsel {
            ab,
            vorher: vorher.into_iter().collect(),
            nachher: nachher.into_iter().collect(),
        };
        Some(change)
    }
}

// === impl GebietAmTag ===

impl GebietAmTag {
    /// An area of which no change is known.
    pub fn unchanged(ars: Ars) -> Self {
        Self { asked: ars, on_day: vec![ars], changes: Vec::new(), others: Vec::new() }
    }

    /// What was asked for.
    pub fn asked(&self) -> &Ars {
        &self.asked
    }

    /// What it is on the day; several areas when it was divided.
    pub fn on_day(&self) -> &[Ars] {
        &self.on_day
    }

    /// The finest level that can hold all of it.
    pub fn finest(&self) -> Ebene {
        let own = self.on_day.iter().map(Ars::ebene).min();
        let others = self.others.iter().filter_map(Other::ebene);
        own.into_iter().chain(others).max().unwrap_or(Ebene::Bund)
    }

    /// Whether a Land holds all of it.
    pub fn lies_in(&self, land: Land) -> bool {
        let land = Ars::from(land);
        self.on_day.iter().all(|it| land.covers(it))
    }

    /// The Länder of which one has every area that [`Self::around`] can give.
    pub fn laender(&self) -> Laender {
        let others = self.others.iter().flat_map(|it| &it.areas);
        self.on_day.iter().chain(others).map(Ars::land).chain([Land::BUND]).collect()
    }

    /// Of the areas of a list the nearest that holds all of it, by its own key or by one that a
    /// change made of it.
    pub fn around<'a>(&self, list: impl Iterator<Item = &'a str>) -> Option<Ars> {
        let list: Vec<Ars> = list.filter_map(|it| it.parse().ok()).collect();
        let nearest =
            |one: &Ars| list.iter().copied().filter(|it| it.covers(one)).max_by_key(Ars::ebene);
        // of several areas the one that is held most widely counts
        let own: Option<Vec<Ars>> = self.on_day.iter().map(nearest).collect();
        let own = own.and_then(|all| all.into_iter().min_by_key(Ars::ebene));
        let named = |other: &&Other| other.areas.iter().all(|it| list.contains(it));
        let others = self.others.iter().filter(named);
        let others = others.filter_map(|it| it.areas.iter().copied().min_by_key(Ars::ebene));
        // the last of equals counts: the own key
        others.chain(own).max_by_key(Ars::ebene)
    }

    /// The keys under which something may be said of it alone: that of the day, if it is one area
    /// then, and those that changes made of it.
    pub fn keys(&self) -> impl Iterator<Item = &Ars> {
        let one = |areas: &'_ [Ars]| areas.len() == 1;
        let own = Some(self.on_day.as_slice()).filter(|it| one(it));
        let others = self.others.iter().map(|it| it.areas.as_slice()).filter(move |it| one(it));
        own.into_iter().chain(others).flatten()
    }

    /// Changes that lead from what was asked to an area that [`Self::around`] gave.
    pub fn changes_to(&self, gebiet: &Ars) -> impl Iterator<Item = &Gebietswechsel> {
        let own = self.on_day.iter().all(|it| gebiet.covers(it));
        let other = self.others.iter().find(|it| !own && it.areas.contains(gebiet));
        // asked and offered under one key: no change matters
        let same = *gebiet == self.asked;
        let changes = self.changes.iter().chain(other.into_iter().flat_map(|it| &it.changes));
        changes.filter(move |_| !same)
    }

    /// Changes that made something else of what was asked.
    pub fn changes(&self) -> &[Gebietswechsel] {
        &self.changes
    }
}

// === impl Other ===

impl Other {
    fn ebene(&self) -> Option<Ebene> {
        self.areas.iter().map(Ars::ebene).min()
    }
}
