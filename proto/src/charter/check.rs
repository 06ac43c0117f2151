//! The rules of a single charter.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use ed25519_dalek::VerifyingKey;

use super::{
    CharterProblem, FORMER_KEYS_MAX, FormerKeys, LogCut, MEMBER_NODES_MAX, MEMBERS_MAX, Member,
    MemberNode, NAME_CHARS_MAX, Quota, Standing, TRUST_MAX,
};
use crate::{
    epoch::EPOCHS_MAX,
    log::{Hash, LogKeys},
    terms::Land,
    wire::registry::{self as wire, MemberState},
};

// === impl Checker ===

/// Collects problems; remembers what must be unique over the charter.
#[derive(Default)]
pub(super) struct Checker {
    pub(super) problems: Vec<CharterProblem>,
    keys: HashSet<[u8; 32]>,
    names: HashSet<String>,
    /// Pins and the members they stand for.
    pins: HashMap<[u8; 32], usize>,
    last_land: Option<Land>,
}

impl Checker {
    /// What holds for the genesis charter alone.
    pub(super) fn genesis(&mut self, charter: &wire::Charter) {
        if charter.number != 0 {
            self.problems.push(CharterProblem::Number { found: charter.number });
        }
        let past = charter.members.iter().take(MEMBERS_MAX);
        let states = past.clone().any(|it| it.state != 0 || it.cut.is_some());
        let former = past.clone().any(|it| !it.former_keys.is_empty());
        let resets = past.clone().any(|it| !it.epoch_resets.is_empty());
        let found = [
            ("predecessor", !charter.predecessor.is_empty()),
            ("members.state", states),
            ("members.former_keys", former),
            ("members.epoch_resets", resets),
        ];
        let found = found.into_iter().filter(|(_, it)| *it);
        self.problems.extend(found.map(|(field, _)| CharterProblem::NotInGenesis { field }));
    }

    /// What holds for every charter; the members that can be read.
    pub(super) fn all(&mut self, charter: &wire::Charter) -> Vec<Member> {
        self.head(charter);
        let members = charter.members.iter().enumerate().take(MEMBERS_MAX);
        members.filter_map(|(at, member)| self.member(at, member)).collect()
    }

    fn head(&mut self, charter: &wire::Charter) {
        if charter.format_level != 1 {
            self.problems.push(CharterProblem::FormatLevel { found: charter.format_level });
        }
        let characters = charter.name.chars().count();
        if !(1..=NAME_CHARS_MAX).contains(&characters)
            || charter.name.trim().is_empty()
            || charter.name.chars().any(char::is_control)
        {
            self.problems.push(CharterProblem::Name);
        }
        let members = charter.members.len();
        if !(1..=MEMBERS_MAX).contains(&members) {
            self.problems.push(CharterProblem::MemberCount { found: members });
            return;
        }
        let members = charter.members.iter().filter(|it| it.state == 0).count();
        if members == 0 {
            self.problems.push(CharterProblem::NoVoter);
            return;
        }
        let least = members * 2 / 3 + 1;
        let found = charter.threshold;
        if !usize::try_from(found).is_ok_and(|t| (least..=members).contains(&t)) {
            self.problems.push(CharterProblem::Threshold { found, least, members });
        }
    }

    fn member(&mut self, at: usize, member: &wire::Member) -> Option<Member> {
        let land = self.land(at, &member.land);
        let log = self.key(at, "log_key", &member.log_key);
        let freshness = self.key(at, "freshness_key", &member.freshness_key);
        let offline_key = self.key(at, "offline_key", &member.offline_key);
        let former = self.former(at, &member.former_keys);
        let resets = self.resets(at, &member.epoch_resets);
        let standing = self.standing(at, member);
        let nodes = self.speakers(at, member);
        let quota = member.quota.unwrap_or_default();
        Some(Member {
            land: land?,
            keys: LogKeys { log: log?, freshness: freshness? },
            offline_key: offline_key?,
            nodes,
            anchors: member.anchors.clone(),
            quota: Quota {
                bytes_per_day: quota.bytes_per_day,
                entries_per_day: quota.entries_per_day,
            },
            standing: standing?,
            former,
            resets,
        })
    }

    /// Nodes and anchors.
    fn speakers(&mut self, at: usize, member: &wire::Member) -> Vec<MemberNode> {
        if member.state() == MemberState::Removed {
            if !(member.nodes.is_empty() && member.anchors.is_empty()) {
                self.problems.push(CharterProblem::RemovedSpeaks { member: at });
            }
            return Vec::new();
        }
        self.anchors(at, &member.anchors);
        let found = member.nodes.len();
        if !(1..=MEMBER_NODES_MAX).contains(&found) {
            self.problems.push(CharterProblem::NodeCount { member: at, found });
        }
        let has_anchor = !member.anchors.is_empty();
        let nodes = member.nodes.iter().enumerate().take(MEMBER_NODES_MAX);
        nodes.map(|(node, wire)| self.node(at, node, wire, has_anchor)).collect()
    }

    fn standing(&mut self, at: usize, member: &wire::Member) -> Option<Standing> {
        let cut = member.cut.as_ref().map(cut_of);
        let standing = match (MemberState::try_from(member.state), cut) {
            (Ok(MemberState::Unspecified), None) => Standing::Active,
            (Ok(MemberState::Suspended), Some(Some(cut))) => Standing::Suspended(cut),
            (Ok(MemberState::Removed), Some(Some(cut))) => Standing::Removed(cut),
            (Ok(_), _) => {
                self.problems.push(CharterProblem::Cut { member: at, field: "cut" });
                return None;
            }
            (Err(_), _) => {
                let found = member.state;
                self.problems.push(CharterProblem::State { member: at, found });
                return None;
            }
        };
        Some(standing)
    }

    fn former(&mut self, member: usize, former: &[wire::FormerKeys]) -> Vec<FormerKeys> {
        let mut read: Vec<FormerKeys> = Vec::new();
        for wire in former.iter().take(FORMER_KEYS_MAX) {
            // of the two keys often only one was replaced, and the other one is still in use
            let key = |bytes: &[u8]| VerifyingKey::try_from(bytes).ok().filter(|it| !it.is_weak());
            let (Some(log), Some(freshness)) = (key(&wire.log_key), key(&wire.freshness_key))
            else {
                self.problems.push(CharterProblem::Key { member, field: "former_keys" });
                continue;
            };
            let Some(cut) = wire.cut.as_ref().and_then(cut_of) else {
                self.problems.push(CharterProblem::Cut { member, field: "former_keys.cut" });
                continue;
            };
            read.push(FormerKeys { keys: LogKeys { log, freshness }, cut });
        }
        let place = |it: &FormerKeys| (it.cut.epoch, it.cut.size);
        let ascends = read.iter().zip(read.iter().skip(1)).all(|(a, b)| place(a) <= place(b));
        if former.len() > FORMER_KEYS_MAX || !ascends {
            self.problems.push(CharterProblem::FormerKeys { member });
        }
        read
    }

    fn resets(&mut self, member: usize, digests: &[Bytes]) -> Vec<Hash> {
        let read: Option<Vec<_>> =
            digests.iter().take(EPOCHS_MAX).map(|it| Hash::try_from(&it[..]).ok()).collect();
        // the last epoch there can be never ends
        let read = read.filter(|it| it.len() < EPOCHS_MAX);
        read.unwrap_or_else(|| {
            self.problems.push(CharterProblem::EpochResets { member });
            Vec::new()
        })
    }

    fn land(&mut self, member: usize, text: &str) -> Option<Land> {
        let land = match text.parse() {
            Ok(land) => land,
            Err(source) => {
                self.problems.push(CharterProblem::Land { member, source });
                return None;
            }
        };
        match self.last_land {
            Some(before) if before >= land => {
                self.problems.push(CharterProblem::LandOrder { member, land, before });
            }
            _ => self.last_land = Some(land),
        }
        Some(land)
    }

    fn key(&mut self, member: usize, field: &'static str, bytes: &[u8]) -> Option<VerifyingKey> {
        let key = VerifyingKey::try_from(bytes).ok().filter(|key| !key.is_weak());
        match &key {
            None => self.problems.push(CharterProblem::Key { member, field }),
            Some(key) if !self.keys.insert(key.to_bytes()) => {
                self.problems.push(CharterProblem::KeyTwice { member, field });
            }
            Some(_) => {}
        }
        key
    }

    fn anchors(&mut self, member: usize, anchors: &[Bytes]) {
        if anchors.len() > TRUST_MAX {
            self.problems.push(CharterProblem::AnchorCount { member, found: anchors.len() });
        }
        for (anchor, der) in anchors.iter().enumerate().take(TRUST_MAX) {
            if der.is_empty() {
                self.problems.push(CharterProblem::AnchorEmpty { member, anchor });
            }
        }
    }

    fn node(
        &mut self,
        member: usize,
        node: usize,
        wire: &wire::MemberNode,
        has_anchor: bool,
    ) -> MemberNode {
        let name = wire.name.clone();
        if !is_dns_name(&name) {
            self.problems.push(CharterProblem::NodeName { member, node });
        } else if !self.names.insert(name.clone()) {
            let name = name.clone();
            self.problems.push(CharterProblem::NodeNameTwice { member, node, name });
        }
        let found = wire.spki_pins.len();
        if found > TRUST_MAX {
            self.problems.push(CharterProblem::PinCount { member, node, found });
        }
        if found == 0 && !has_anchor {
            self.problems.push(CharterProblem::NoTrust { member, node });
        }
        let mut spki_pins = Vec::with_capacity(found.min(TRUST_MAX));
        for (pin, bytes) in wire.spki_pins.iter().enumerate().take(TRUST_MAX) {
            match <[u8; 32]>::try_from(&bytes[..]) {
                Err(_) => {
                    let found = bytes.len();
                    self.problems.push(CharterProblem::Pin { member, node, pin, found });
                }
                Ok(hash) if *self.pins.entry(hash).or_insert(member) != member => {
                    self.problems.push(CharterProblem::PinOfOther { member, node, pin });
                }
                Ok(hash) => spki_pins.push(hash),
            }
        }
        MemberNode { name, spki_pins }
    }
}

/// Lower case, labels of letters, digits and inner hyphens; the last label is no number, so that
/// an IP address is no name.
fn is_dns_name(name: &str) -> bool {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number =
        name.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label_fits) && !last_is_number
}

fn cut_of(wire: &wire::LogCut) -> Option<LogCut> {
    let root = Hash::try_from(&wire.root[..]).ok()?;
    (wire.epoch > 0).then_some(LogCut { epoch: wire.epoch, size: wire.size, root })
}
