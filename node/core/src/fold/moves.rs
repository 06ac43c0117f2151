//! Facts of moves: what Länder do with services once they are published.
//!
//! One table for each question that is asked of them; layouts in [`keys`].

use prost::Message;
use registry_proto::{
    log::Hash,
    terms::SemVer,
    wire::registry::{
        Anschluss, Bestaetigung, Kontakt, Lifecycle, Mitzeichnung, SubscriptionMove, Uebergabe,
        UebergabeSchritt, VersionStatus,
    },
};
use uuid::Uuid;

use super::{
    FACT_BYTES_MAX, Fact, LogEntry, Move, Position, cut, keys,
    value::{ValueError, encoded, parse},
};

/// A move as it is kept in the index, with what the header says of it.
#[derive(Clone, PartialEq, Message)]
pub struct MoveFact {
    /// Leaf hash of the entry.
    #[prost(bytes = "vec", tag = "1")]
    pub leaf: Vec<u8>,
    /// Leaf hash of the entry it rests on; empty for none.
    #[prost(bytes = "vec", tag = "2")]
    pub rests_on: Vec<u8>,
    /// Recorded time of the owner, milliseconds since 1970-01-01 UTC.
    #[prost(int64, tag = "3")]
    pub recorded_unix_ms: i64,
    /// The move.
    #[prost(oneof = "Said", tags = "4, 5, 6, 7, 8, 9, 10")]
    pub said: Option<Said>,
}

/// What a move says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Said {
    /// A version moves on in its lifecycle.
    #[prost(message, tag = "4")]
    Status(VersionStatus),
    /// A Nachnutzung moves on.
    #[prost(message, tag = "5")]
    Subscription(SubscriptionMove),
    /// How far a Kommune is connected.
    #[prost(message, tag = "6")]
    Anschluss(Anschluss),
    /// A breaking version or a retirement is acknowledged.
    #[prost(message, tag = "7")]
    Bestaetigung(Bestaetigung),
    /// A co-owner countersigns an entry.
    #[prost(message, tag = "8")]
    Mitzeichnung(Mitzeichnung),
    /// A service is handed over.
    #[prost(message, tag = "9")]
    Uebergabe(Uebergabe),
    /// Whom to ask about a service.
    #[prost(message, tag = "10")]
    Kontakt(Kontakt),
}

/// Bytes of a text of a move in the index; the whole text stands in the entry.
const TEXT_BYTES_MAX: usize = 2 << 10;
/// Areas and bodies of a move in the index.
const LIST_MAX: usize = 500;
/// Bytes of an area or name in such a list.
const ITEM_BYTES_MAX: usize = 64;

const _: () = assert!(LIST_MAX * (ITEM_BYTES_MAX + 3) + 12 * TEXT_BYTES_MAX < FACT_BYTES_MAX);

/// Facts of a move about the object `object`. What the writer's node found about it stands in the
/// entry only.
pub(super) fn facts(entry: &LogEntry<'_>, at: Position, object: Uuid, it: &Move) -> Vec<Fact> {
    let said = match it {
        Move::Status(it) => Said::Status(short_status(it)),
        Move::Subscription(it) => Said::Subscription(short_subscription(it)),
        Move::Anschluss(it) => {
            let hinweis = short(&it.hinweis);
            Said::Anschluss(Anschluss { hinweis, hinweise: Vec::new(), ..it.clone() })
        }
        Move::Bestaetigung(it) => {
            let hinweis = short(&it.hinweis);
            Said::Bestaetigung(Bestaetigung { hinweis, hinweise: Vec::new(), ..it.clone() })
        }
        Move::Mitzeichnung(it) => {
            Said::Mitzeichnung(Mitzeichnung { hinweise: Vec::new(), ..it.clone() })
        }
        Move::Uebergabe(it) => Said::Uebergabe(Uebergabe { hinweise: Vec::new(), ..it.clone() }),
        Move::Kontakt(it) => Said::Kontakt(Kontakt { hinweise: Vec::new(), ..it.clone() }),
    };
    let key = match it {
        Move::Status(it) => it.version.parse().ok().map(|n| keys::status(object, &n, at)),
        Move::Subscription(_) => Some(keys::subscription(object, at)),
        Move::Anschluss(it) => Some(keys::anschluss(object, cut(&it.ars, keys::ARS), at)),
        Move::Bestaetigung(it) => {
            it.version.parse().ok().map(|n: SemVer| keys::bestaetigung(object, &n, at))
        }
        Move::Mitzeichnung(it) => {
            Hash::try_from(&it.leaf_hash[..]).ok().map(|leaf| keys::mitzeichnung(object, &leaf, at))
        }
        Move::Uebergabe(_) => Some(keys::uebergabe(object, at)),
        Move::Kontakt(_) => Some(keys::kontakt(object, at)),
    };
    let Some(key) = key else { return Vec::new() };
    let fact = MoveFact {
        leaf: entry.leaf.as_bytes().to_vec(),
        rests_on: entry
            .header
            .references
            .first()
            .map(|it| it.leaf_hash.as_bytes().to_vec())
            .unwrap_or_default(),
        recorded_unix_ms: entry.header.recorded_unix_ms,
        said: Some(said),
    };
    let mut value = fact.encoded();
    if value.len() > FACT_BYTES_MAX {
        // only unknown fields of newer software, or what no owner's rules allow
        value = MoveFact { said: None, ..fact }.encoded();
    }
    let mut facts = vec![Fact { key, value }];
    if let Move::Subscription(it) = it
        && let Ok(service) = it.service_id.parse::<Uuid>()
    {
        facts.push(Fact { key: keys::subscribed(service, object, at), value: Vec::new() });
    }
    if let Move::Uebergabe(it) = it
        && it.schritt() == UebergabeSchritt::Annahme
    {
        facts.push(Fact { key: keys::taken(object, at), value: Vec::new() });
    }
    facts
}

fn short(text: &str) -> String {
    cut(text, TEXT_BYTES_MAX).to_owned()
}

fn short_status(it: &VersionStatus) -> VersionStatus {
    VersionStatus {
        grund: short(&it.grund),
        ohne_bestaetigung_grund: short(&it.ohne_bestaetigung_grund),
        hinweise: Vec::new(),
        ..it.clone()
    }
}

fn short_subscription(it: &SubscriptionMove) -> SubscriptionMove {
    let mut short_one = SubscriptionMove { hinweise: Vec::new(), ..it.clone() };
    for text in [
        &mut short_one.version_requirement,
        &mut short_one.modell,
        &mut short_one.vertrag_id,
        &mut short_one.vertrag_url,
        &mut short_one.kosten_text,
        &mut short_one.kontakt,
        &mut short_one.grund,
    ] {
        *text = short(text);
    }
    let mut left = LIST_MAX;
    shorten(&mut short_one.gebiete, &mut left);
    for auftraggeber in &mut short_one.auftraggeber {
        auftraggeber.name = cut(&auftraggeber.name, ITEM_BYTES_MAX).to_owned();
        left = left.saturating_sub(1);
        shorten(&mut auftraggeber.gebiete, &mut left);
    }
    short_one.auftraggeber.truncate(LIST_MAX);
    short_one
}

fn shorten(list: &mut Vec<String>, left: &mut usize) {
    list.truncate(*left);
    *left -= list.len();
    for item in list {
        *item = cut(item, ITEM_BYTES_MAX).to_owned();
    }
}

// === impl MoveFact ===

impl MoveFact {
    fn encoded(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`ValueError`] if this software did not write it.
    pub fn parse(value: &[u8]) -> Result<Self, ValueError> {
        parse(value)
    }

    /// State that a status move says; `None` for other moves.
    pub fn lifecycle(&self) -> Option<Lifecycle> {
        match &self.said {
            Some(Said::Status(it)) => Some(it.lifecycle()),
            _ => None,
        }
    }
}
