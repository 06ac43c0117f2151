//! A charter held against the one it follows: what it changes, or why it cannot follow.

use std::collections::HashSet;

use bytes::Bytes;
use prost::Message as _;

use super::{
    Charter, CharterError, CharterProblem, Checker, LogCut, Member, Quota, SUCCESSOR_BYTES_MAX,
    Standing,
};
use crate::{
    log::Hash,
    terms::{Land, LogId},
    wire::registry as wire,
};

/// What a successor changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A Land becomes a member.
    Admitted(Land),
    /// A member is suspended; its log counts up to the cut.
    Suspended(Land, LogCut),
    /// A member that was suspended or removed takes part again; all of its log counts.
    Resumed(Land),
    /// A member is removed; its log counts up to the cut.
    Removed(Land, LogCut),
    /// Another number of votes is needed.
    Threshold {
        /// Before.
        from: u32,
        /// From now on.
        to: u32,
    },
    /// Another key signs a log; the one before counts up to the cut.
    LogKey(Land, LogCut),
    /// Another key signs the freshness of a log; the one before counts up to the cut.
    FreshnessKey(Land, LogCut),
    /// Another offline key.
    OfflineKey(Land),
    /// Other nodes, or other pins of them.
    Nodes(Land),
    /// Other trust anchors.
    Anchors(Land),
    /// Another quota.
    Quota {
        /// Of this Land.
        land: Land,
        /// Before.
        from: Quota,
        /// From now on.
        to: Quota,
    },
    /// An epoch of a log ended with the reset of this digest, under whatever charter it did.
    EpochEnded(LogId, Hash),
}

/// Why a charter does not follow another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessorProblem {
    /// Too many bytes for a vote.
    #[error("a successor has at most {SUCCESSOR_BYTES_MAX} bytes, found {found}")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not the next number.
    #[error("number is {found}, expected {expected}")]
    Number {
        /// Number found.
        found: u64,
        /// Number of the charter in force and one.
        expected: u64,
    },
    /// Follows another charter.
    #[error("predecessor is another charter than the one in force")]
    Predecessor,
    /// What holds for the whole life of a Verbund.
    #[error("{0} never changes")]
    Fixed(&'static str),
    /// Nothing is different.
    #[error("nothing is changed")]
    Unchanged,
    /// A member is missing.
    #[error("{0} is missing; whoever leaves stays in the list as removed")]
    Vanished(Land),
    /// A new member has a past.
    #[error(
        "{0} is new and can be neither suspended nor removed, nor have former keys or ended epochs"
    )]
    NewWithPast(Land),
    /// Where a log ends that counts no longer is decided once.
    #[error(
        "{0} is suspended or removed already; its cut stays, and a removal is final until it \
             takes part again"
    )]
    CutMoved(Land),
    /// Former keys that do not tell what was replaced.
    #[error(
        "{0}: former_keys must be those of before and, if a key of the log changes, one more \
             with the keys of before"
    )]
    FormerKeys(Land),
    /// Resets that were listed stay, in their order.
    #[error("{0}: epoch_resets must begin with those of before")]
    ResetsChanged(Land),
    /// A key that once counted for a log comes back.
    #[error("{0}: a key that was replaced never comes back")]
    KeyComesBack(Land),
}

// === impl Charter ===

impl Charter {
    /// Reads a charter that is to follow this one: it, and what it changes, in the order of Land
    /// codes.
    ///
    /// # Errors
    ///
    /// [`CharterError`] with everything that is wrong.
    pub fn successor(&self, raw: Bytes) -> Result<(Self, Vec<Change>), CharterError> {
        if raw.len() > SUCCESSOR_BYTES_MAX {
            let problem = SuccessorProblem::TooLong { found: raw.len() };
            return Err(CharterProblem::from(problem).into());
        }
        let wire = wire::Charter::decode(&raw[..]).map_err(|_| CharterProblem::Undecodable)?;
        let mut checker = Checker::default();
        let members = checker.all(&wire);
        if !checker.problems.is_empty() {
            return Err(CharterError { problems: checker.problems });
        }
        let next = Self {
            id: self.id,
            digest: Hash::of(&raw),
            number: wire.number,
            raw,
            name: wire.name,
            is_test: wire.test,
            threshold: wire.threshold,
            members,
        };
        let mut compared = Compared::default();
        compared.heads(self, &next, &wire.predecessor);
        compared.members(self, &next);
        if compared.problems.is_empty() && compared.changes.is_empty() {
            compared.problems.push(SuccessorProblem::Unchanged);
        }
        if compared.problems.is_empty() {
            return Ok((next, compared.changes));
        }
        let problems = compared.problems.into_iter().map(CharterProblem::from).collect();
        Err(CharterError { problems })
    }

    /// The charter as a message, with number and predecessor of the next one: where a proposal
    /// begins.
    pub fn draft_of_next(&self) -> wire::Charter {
        // what was read once can be read again
        let mut next = wire::Charter::decode(&self.raw[..]).unwrap_or_default();
        next.number = self.number.saturating_add(1);
        next.predecessor = Bytes::copy_from_slice(self.digest.as_bytes());
        next
    }
}

/// What is found when two charters are held against each other.
#[derive(Default)]
struct Compared {
    changes: Vec<Change>,
    problems: Vec<SuccessorProblem>,
}

impl Compared {
    fn heads(&mut self, old: &Charter, new: &Charter, predecessor: &[u8]) {
        let expected = old.number.saturating_add(1);
        if new.number != expected {
            self.problems.push(SuccessorProblem::Number { found: new.number, expected });
        }
        if predecessor != old.digest.as_bytes() {
            self.problems.push(SuccessorProblem::Predecessor);
        }
        let fixed = [("name", new.name != old.name), ("test", new.is_test != old.is_test)];
        let broken = fixed.into_iter().filter(|(_, it)| *it);
        self.problems.extend(broken.map(|(field, _)| SuccessorProblem::Fixed(field)));
        if new.threshold != old.threshold {
            self.changes.push(Change::Threshold { from: old.threshold, to: new.threshold });
        }
    }

    fn members(&mut self, old: &Charter, new: &Charter) {
        let missing = old.members.iter().filter(|it| new.member(it.land).is_none());
        self.problems.extend(missing.map(|it| SuccessorProblem::Vanished(it.land)));
        let former = new.members.iter().flat_map(|it| &it.former);
        let spent: HashSet<[u8; 32]> =
            former.flat_map(|it| [it.keys.log.to_bytes(), it.keys.freshness.to_bytes()]).collect();
        for member in &new.members {
            match old.member(member.land) {
                None => self.newcomer(member),
                Some(before) => self.member(before, member),
            }
            let before = old.member(member.land).map(keys_of).unwrap_or_default();
            let fresh = keys_of(member).into_iter().zip(before).filter(|(new, old)| new != old);
            if fresh.map(|(key, _)| key).any(|key| spent.contains(&key)) {
                self.problems.push(SuccessorProblem::KeyComesBack(member.land));
            }
        }
    }

    fn newcomer(&mut self, member: &Member) {
        if !(member.is_active() && member.former.is_empty() && member.resets.is_empty()) {
            self.problems.push(SuccessorProblem::NewWithPast(member.land));
        }
        self.changes.push(Change::Admitted(member.land));
    }

    fn member(&mut self, old: &Member, new: &Member) {
        let land = new.land;
        match (old.standing, new.standing) {
            (Standing::Active, Standing::Active) => {}
            (Standing::Active, Standing::Suspended(cut)) => {
                self.changes.push(Change::Suspended(land, cut));
            }
            (Standing::Active, Standing::Removed(cut)) => {
                self.changes.push(Change::Removed(land, cut));
            }
            (_, Standing::Active) => self.changes.push(Change::Resumed(land)),
            (Standing::Suspended(was), Standing::Removed(cut)) if was == cut => {
                self.changes.push(Change::Removed(land, cut));
            }
            (was, is) if was == is => {}
            (_, _) => self.problems.push(SuccessorProblem::CutMoved(land)),
        }
        self.keys(old, new);
        let others = [
            (old.offline_key != new.offline_key, Change::OfflineKey(land)),
            // whoever is removed loses them with that
            (old.nodes != new.nodes && !is_removed(new), Change::Nodes(land)),
            (old.anchors != new.anchors && !is_removed(new), Change::Anchors(land)),
            (old.quota != new.quota, Change::Quota { land, from: old.quota, to: new.quota }),
        ];
        self.changes.extend(others.into_iter().filter(|(is, _)| *is).map(|(_, change)| change));
        self.resets(old, new);
    }

    fn resets(&mut self, old: &Member, new: &Member) {
        let land = new.land;
        let Some(more) = new.resets.strip_prefix(&old.resets[..]) else {
            self.problems.push(SuccessorProblem::ResetsChanged(land));
            return;
        };
        let epochs = old.resets.len() as u64 + 1..;
        let ended =
            |(epoch, reset): (u64, &Hash)| Change::EpochEnded(LogId { land, epoch }, *reset);
        self.changes.extend(epochs.zip(more).map(ended));
    }

    fn keys(&mut self, old: &Member, new: &Member) {
        let land = new.land;
        let before = new.former.get(..old.former.len());
        let more = new.former.get(old.former.len()..).unwrap_or_default();
        let replaced = match more {
            _ if before != Some(&old.former[..]) => None,
            [] if old.keys == new.keys => return,
            [last] if last.keys == old.keys && old.keys != new.keys => Some(last.cut),
            _ => None,
        };
        let Some(cut) = replaced else {
            self.problems.push(SuccessorProblem::FormerKeys(land));
            return;
        };
        if old.keys.log != new.keys.log {
            self.changes.push(Change::LogKey(land, cut));
        }
        if old.keys.freshness != new.keys.freshness {
            self.changes.push(Change::FreshnessKey(land, cut));
        }
    }
}

fn is_removed(member: &Member) -> bool {
    matches!(member.standing, Standing::Removed(_))
}

/// Log key, freshness key and offline key, always in this order.
fn keys_of(member: &Member) -> [[u8; 32]; 3] {
    [member.keys.log, member.keys.freshness, member.offline_key].map(|it| it.to_bytes())
}
