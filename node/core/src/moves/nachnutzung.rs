//! Nachnutzung: one Land re-uses a service of another.
//!
//! ```text
//! interesse ─► abstimmung ─► zugesagt ─► vertrag ─► produktiv ─► beendet
//!     │             └──────► abgelehnt
//!     └────────────────────► abgelehnt          beendet: from any state that is not terminal
//! ```
//!
//! Each move names the one it rests on by its leaf hash. Of several that rest on the same, one
//! counts (see `rank`) and the others are superseded, the same on every node.
//!
//! When the service is handed over, its new owner is the publisher from then on. If that is the
//! subscriber itself, the Nachnutzung rests: it goes on bringing the service to its areas, nobody
//! owes anything, and the subscriber can end it. With the next owner it is as before.

use std::collections::BTreeMap;

use registry_proto::{
    log::Hash,
    terms::Land,
    wire::registry::{SubscriptionMove, SubscriptionState as State},
};
use uuid::Uuid;

use super::uebergabe::Owner;
use crate::fold::Position;

/// A move and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Its entry.
    pub at: Position,
    /// Leaf hash of the entry.
    pub leaf: Hash,
    /// Leaf hash of the move it rests on; `None` for the first.
    pub rests_on: Option<Hash>,
    /// Recorded time of its owner, milliseconds since 1970-01-01 UTC.
    pub recorded_unix_ms: i64,
    /// What it says.
    pub record: SubscriptionMove,
}

/// Who moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The Land that re-uses the service (anschließendes Land).
    Subscriber,
    /// The owner of the service (umsetzendes Land).
    Publisher,
}

/// A Nachnutzung, folded from its moves.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// Its UUID.
    pub id: Uuid,
    /// The service.
    pub service: Uuid,
    /// Land that re-uses it.
    pub subscriber: Land,
    /// Owner of the service today.
    pub publisher: Land,
    /// All owners of the service; never empty.
    pub owners: Vec<Owner>,
    /// All terms as the last moves that named them say, and the state.
    pub terms: SubscriptionMove,
    /// Moves that count, first to last; never empty.
    pub history: Vec<Placed>,
    /// Moves that lost against another, or that no rule allows.
    pub superseded: Vec<Placed>,
    /// Moves whose predecessor is not here yet.
    pub pending: Vec<Placed>,
}

/// States this side may move to.
pub fn next(from: Option<State>, side: Side) -> &'static [State] {
    use State::{
        Abgelehnt, Abstimmung, Beendet, Interesse, Produktiv, Unspecified, Vertrag, Zugesagt,
    };
    match (from, side) {
        (None, Side::Subscriber) => &[Interesse],
        (Some(Interesse | Abstimmung), Side::Subscriber) => &[Beendet],
        (Some(Zugesagt), Side::Subscriber) => &[Vertrag, Beendet],
        // the same state again changes terms
        (Some(Vertrag), Side::Subscriber) => &[Vertrag, Produktiv, Beendet],
        (Some(Produktiv), Side::Subscriber) => &[Produktiv, Beendet],
        (Some(Interesse), Side::Publisher) => &[Abstimmung, Abgelehnt],
        (Some(Abstimmung), Side::Publisher) => &[Zugesagt, Abgelehnt],
        (Some(Zugesagt | Vertrag | Produktiv), Side::Publisher) => &[Beendet],
        (None, Side::Publisher) | (Some(Abgelehnt | Beendet | Unspecified), _) => &[],
    }
}

/// The service that moves are about and the owner that the first of them names; `None` if none of
/// them can be the first.
pub fn subject(moves: &[Placed]) -> Option<(Uuid, Land)> {
    let record = &first(moves)?.record;
    Some((record.service_id.parse().ok()?, record.publisher_land.parse().ok()?))
}

fn first(moves: &[Placed]) -> Option<&Placed> {
    let order = |it: &&Placed| (it.at.log.land.code(), it.at.log.epoch, it.at.index);
    moves.iter().filter(|it| is_first(it)).min_by_key(order)
}

/// Folds all moves of one Nachnutzung of a service with these owners; `None` if none of the moves
/// can be the first.
pub fn fold(id: Uuid, moves: Vec<Placed>, owners: Vec<Owner>) -> Option<Subscription> {
    let first = first(&moves)?.clone();
    let mut folded = Subscription {
        id,
        service: first.record.service_id.parse().ok()?,
        subscriber: first.at.log.land,
        publisher: owners.last()?.land,
        owners,
        terms: first.record.clone(),
        history: vec![first],
        superseded: Vec::new(),
        pending: Vec::new(),
    };
    let mut resting: BTreeMap<Hash, Vec<&Placed>> = BTreeMap::new();
    for it in &moves {
        if let Some(on) = it.rests_on {
            resting.entry(on).or_default().push(it);
        }
    }
    // each round takes another move, so there are at most as many
    while let Some(won) = resting
        .get(&folded.head().leaf)
        .and_then(|all| all.iter().filter(|it| folded.allows(it)).min_by_key(|it| rank(it)))
    {
        folded.take((*won).clone());
        if folded.history.len() > moves.len() {
            break;
        }
    }
    for it in &moves {
        if folded.history.iter().any(|won| won.leaf == it.leaf) {
            continue;
        }
        let known = it.rests_on.is_none_or(|on| moves.iter().any(|other| other.leaf == on));
        let list = if known { &mut folded.superseded } else { &mut folded.pending };
        list.push(it.clone());
    }
    for list in [&mut folded.superseded, &mut folded.pending] {
        list.sort_by_key(|it| (it.at.log.land.code(), it.at.log.epoch, it.at.index));
    }
    Some(folded)
}

/// Of moves that rest on the same one the lowest counts: an end before anything else, then by the
/// code of the Land, then by place. An end wins because the other side must not go on with what
/// one side has left.
fn rank(it: &Placed) -> (bool, &str, u64, u64) {
    let ends = matches!(it.record.zustand(), State::Beendet | State::Abgelehnt);
    (!ends, it.at.log.land.code(), it.at.log.epoch, it.at.index)
}

fn is_first(it: &Placed) -> bool {
    let land = it.at.log.land.code();
    it.rests_on.is_none()
        && it.record.zustand() == State::Interesse
        && it.record.subscriber_land == land
        && it.record.publisher_land != land
        && it.record.publisher_land.parse::<Land>().is_ok()
        && it.record.service_id.parse::<Uuid>().is_ok()
}

// === impl Subscription ===

impl Subscription {
    /// The last move that counts.
    pub fn head(&self) -> &Placed {
        // never empty
        &self.history[self.history.len() - 1]
    }

    /// Its state.
    pub fn zustand(&self) -> State {
        self.terms.zustand()
    }

    /// Which side a Land is on.
    pub fn side(&self, land: Land) -> Option<Side> {
        if land == self.subscriber {
            Some(Side::Subscriber)
        } else {
            (land == self.publisher).then_some(Side::Publisher)
        }
    }

    /// True from the request until the end: the subscriber wants to hear of changes.
    pub fn is_open(&self) -> bool {
        !matches!(self.zustand(), State::Abgelehnt | State::Beendet | State::Unspecified)
    }

    /// True once there is a contract, until the end.
    pub fn has_contract(&self) -> bool {
        matches!(self.zustand(), State::Vertrag | State::Produktiv)
    }

    /// True if changes need the acknowledgement of the subscriber: there is a contract, and with
    /// another Land.
    pub fn is_bound(&self) -> bool {
        self.has_contract() && !self.rests()
    }

    /// True while the subscriber owns the service itself.
    pub fn rests(&self) -> bool {
        self.subscriber == self.publisher
    }

    fn allows(&self, it: &Placed) -> bool {
        let side = if it.at.log.land == self.subscriber {
            Some(Side::Subscriber)
        } else {
            self.owners.iter().any(|owner| owner.wrote(it.at)).then_some(Side::Publisher)
        };
        side.is_some_and(|side| next(Some(self.zustand()), side).contains(&it.record.zustand()))
    }

    fn take(&mut self, it: Placed) {
        let said = &it.record;
        let terms = &mut self.terms;
        terms.zustand = said.zustand;
        let texts = [
            (&mut terms.version_requirement, &said.version_requirement),
            (&mut terms.modell, &said.modell),
            (&mut terms.vertrag_id, &said.vertrag_id),
            (&mut terms.vertrag_url, &said.vertrag_url),
            (&mut terms.kosten_text, &said.kosten_text),
            (&mut terms.kontakt, &said.kontakt),
            (&mut terms.grund, &said.grund),
        ];
        for (kept, said) in texts {
            if !said.is_empty() {
                kept.clone_from(said);
            }
        }
        // only the subscriber says where, and for whom
        if it.at.log.land == self.subscriber {
            if !said.gebiete.is_empty() {
                terms.gebiete.clone_from(&said.gebiete);
            }
            if !said.auftraggeber.is_empty() {
                terms.auftraggeber.clone_from(&said.auftraggeber);
            }
        }
        self.history.push(it);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use registry_proto::{log::leaf_hash, terms::LogId};

    use super::*;

    const SERVICE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    /// "TH 3 interesse on 2": move 3 of Thüringen, resting on move 2; "-" rests on none.
    fn placed(text: &str) -> Placed {
        let words: Vec<_> = text.split_whitespace().collect();
        let leaf = |name: &str| leaf_hash(name.as_bytes());
        let land: Land = words[0].parse().expect("a Land");
        let name = format!("SUBSCRIPTION_STATE_{}", words[2].to_uppercase());
        Placed {
            at: Position {
                log: LogId { land, epoch: 1 },
                index: words[1].parse().expect("a number"),
            },
            leaf: leaf(words[1]),
            rests_on: (words[4] != "-").then(|| leaf(words[4])),
            recorded_unix_ms: 0,
            record: SubscriptionMove {
                service_id: SERVICE.to_owned(),
                publisher_land: "SL".to_owned(),
                subscriber_land: "TH".to_owned(),
                zustand: State::from_str_name(&name).expect("a state") as i32,
                kosten_text: words.get(5).copied().unwrap_or_default().to_owned(),
                ..SubscriptionMove::default()
            },
        }
    }

    /// The Saarland owns the service.
    fn fold(id: Uuid, moves: Vec<Placed>) -> Option<Subscription> {
        super::fold(id, moves, vec![Owner::always(Land::SL)])
    }

    fn shown(folded: Option<&Subscription>) -> String {
        let Some(it) = folded else { return "nothing".to_owned() };
        let indices = |list: &[Placed]| {
            list.iter().map(|it| it.at.index.to_string()).collect::<Vec<_>>().join(" ")
        };
        let zustand = it.zustand().as_str_name().trim_start_matches("SUBSCRIPTION_STATE_");
        format!(
            "{} [{}] lost [{}] waits [{}]",
            zustand.to_lowercase(),
            indices(&it.history),
            indices(&it.superseded),
            indices(&it.pending)
        )
    }

    #[track_caller]
    fn check(moves: &[&str], expect: &str) {
        let folded = fold(Uuid::nil(), moves.iter().map(|it| placed(it)).collect());
        assert_eq!(shown(folded.as_ref()), expect, "{moves:?}");
    }

    const WAY: [&str; 6] = [
        "TH 1 interesse on -",
        "SL 2 abstimmung on 1",
        "SL 3 zugesagt on 2",
        "TH 4 vertrag on 3",
        "TH 5 produktiv on 4",
        "SL 6 beendet on 5",
    ];

    #[test]
    fn the_way_from_interest_to_the_end() {
        check(&[], "nothing");
        check(&WAY[..1], "interesse [1] lost [] waits []");
        check(&WAY[..3], "zugesagt [1 2 3] lost [] waits []");
        check(&WAY, "beendet [1 2 3 4 5 6] lost [] waits []");
        check(&["TH 1 interesse on -", "SL 2 abgelehnt on 1"], "abgelehnt [1 2] lost [] waits []");
    }

    #[test]
    fn what_no_rule_allows_counts_for_nothing() {
        // the publisher cannot begin, nobody grants himself, a third Land has no say
        check(&["SL 1 interesse on -"], "nothing");
        check(&[WAY[0], "TH 2 zugesagt on 1"], "interesse [1] lost [2] waits []");
        check(&[WAY[0], "HE 2 abgelehnt on 1"], "interesse [1] lost [2] waits []");
        check(&[WAY[0], "SL 2 produktiv on 1"], "interesse [1] lost [2] waits []");
        // after the end nothing follows
        check(
            &[WAY[0], "TH 2 beendet on 1", "SL 3 abstimmung on 2"],
            "beendet [1 2] lost [3] waits []",
        );
    }

    #[test]
    fn of_two_that_race_one_counts() {
        // an end wins
        check(
            &[WAY[0], "SL 2 abstimmung on 1", "TH 3 beendet on 1"],
            "beendet [1 3] lost [2] waits []",
        );
        // the same Land twice: the first
        check(
            &[WAY[0], "SL 3 abstimmung on 1", "SL 2 abstimmung on 1"],
            "abstimmung [1 2] lost [3] waits []",
        );
        // what rests on the loser is lost with it
        check(&[WAY[0], WAY[1], WAY[2], "TH 9 beendet on 1"], "beendet [1 9] lost [2 3] waits []");
        // one UUID, two beginnings
        check(&["TH 2 interesse on -", WAY[0]], "interesse [1] lost [2] waits []");
    }

    #[test]
    fn after_a_handover_the_new_owner_is_the_publisher() {
        let at = |land, index| Position { log: LogId { land, epoch: 1 }, index };
        let owners = |to: Land| {
            let from = Some(at(to, 20));
            let first = Owner { until: Some(at(Land::SL, 10)), ..Owner::always(Land::SL) };
            vec![first, Owner { land: to, from, until: None }]
        };
        let check = |moves: &[&str], expect: &str| {
            let moves = moves.iter().map(|it| placed(it)).collect();
            let folded = super::fold(Uuid::nil(), moves, owners(Land::HE));
            assert_eq!(shown(folded.as_ref()), expect);
        };
        check(&[WAY[0], WAY[1], "HE 21 zugesagt on 2"], "zugesagt [1 2 21] lost [] waits []");
        // each for its time
        check(&[WAY[0], "SL 11 abstimmung on 1"], "interesse [1] lost [11] waits []");
        check(&[WAY[0], "HE 19 abstimmung on 1"], "interesse [1] lost [19] waits []");
        let to = |land| {
            let moves = WAY[..5].iter().map(|it| placed(it)).collect();
            super::fold(Uuid::nil(), moves, owners(land)).expect("folds")
        };
        let (carried, resting) = (to(Land::HE), to(Land::TH));
        assert_eq!(
            (carried.publisher, carried.is_bound(), carried.rests()),
            (Land::HE, true, false)
        );
        assert!(resting.rests() && resting.is_open() && !resting.is_bound());
        assert_eq!(resting.side(Land::TH), Some(Side::Subscriber));
    }

    #[test]
    fn what_rests_on_something_unknown_waits() {
        check(&[WAY[0], WAY[2]], "interesse [1] lost [] waits [3]");
    }

    #[test]
    fn terms_are_those_that_were_named_last() {
        let moves = ["TH 1 interesse on - a", "SL 2 abstimmung on 1 b", "SL 3 zugesagt on 2"];
        let folded = fold(Uuid::nil(), moves.iter().map(|it| placed(it)).collect());
        assert_eq!(folded.expect("folds").terms.kosten_text, "b");
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            moves in proptest::sample::subsequence(
                vec![
                    WAY[0], WAY[1], WAY[2], WAY[3], WAY[4], WAY[5], "TH 7 beendet on 2",
                    "SL 8 abgelehnt on 1", "HE 9 zugesagt on 2", "TH 10 produktiv on 5",
                    "TH 11 interesse on -",
                ],
                0..=11,
            ),
            seed in any::<u64>(),
        ) {
            let expect = fold(Uuid::nil(), moves.iter().map(|it| placed(it)).collect());
            let mut other: Vec<_> = moves.iter().map(|it| placed(it)).collect();
            let len = other.len().max(1);
            for at in 0..other.len() {
                let to = (seed as usize).wrapping_mul(31).wrapping_add(at * 7) % len;
                other.swap(at, to);
            }
            prop_assert_eq!(fold(Uuid::nil(), other), expect);
        }
    }
}
