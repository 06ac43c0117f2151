//! Refusals are counted together, so that a flood of them fills neither the queue nor the disk.
//!
//! Within a period the first of each kind and origin gets a line at once, and at the end of the
//! period one with the number of the others. Beyond [`AUDIT_REFUSALS_MAX`] origins all others of a
//! kind share a line.

use std::{collections::BTreeMap, net::IpAddr};

use registry_core::limits::{AUDIT_REFUSALS_MAX, AUDIT_REFUSALS_MS};

use crate::{audit::Act, tls::network};

/// Something that was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Name of the method or of an act of the node; from a closed set.
    pub act: &'static str,
    /// How; from a closed set.
    pub outcome: &'static str,
    /// Pseudonym, empty if there is none.
    pub who: String,
    /// Names in the certificate.
    pub names: Vec<String>,
    /// Where it came from.
    pub from: Option<IpAddr>,
    /// What was asked for.
    pub object: String,
    /// Why, in words.
    pub note: String,
}

/// Counts refusals; time is an argument.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    begun_ms: Option<u64>,
    /// The first of each, for a line at once.
    fresh: Vec<Act>,
    /// Who they were, and how many more came; what they asked for stays in no memory.
    seen: BTreeMap<Key, (Act, u64)>,
    others: BTreeMap<(&'static str, &'static str), u64>,
}

type Key = (&'static str, &'static str, String, Option<IpAddr>);

// === impl Refusals ===

impl Refusals {
    /// Counts one.
    pub(crate) fn add(&mut self, refusal: Refusal, mono_ms: u64) {
        self.begun_ms.get_or_insert(mono_ms);
        let from = refusal.from.map(network);
        let key = (refusal.act, refusal.outcome, refusal.who.clone(), from);
        if let Some((_, more)) = self.seen.get_mut(&key) {
            *more += 1;
        } else if self.seen.len() < AUDIT_REFUSALS_MAX {
            let (who, names) = (refusal.who, refusal.names);
            let kept = Act { who, names, ..Act::new(refusal.act, refusal.outcome) };
            let from = refusal.from.map(|it| it.to_string()).unwrap_or_default();
            let (object, note) = (refusal.object, refusal.note);
            self.fresh.push(Act { from, object, note, ..kept.clone() });
            self.seen.insert(key, (kept, 0));
        } else {
            *self.others.entry((refusal.act, refusal.outcome)).or_default() += 1;
        }
    }

    /// The lines that are due; all of them if the node stops.
    pub(crate) fn due(&mut self, mono_ms: u64, stops: bool) -> Vec<Act> {
        let mut due = std::mem::take(&mut self.fresh);
        let over = |begun| stops || mono_ms.saturating_sub(begun) >= AUDIT_REFUSALS_MS;
        if self.begun_ms.take_if(|begun| over(*begun)).is_none() {
            return due;
        }
        for ((_, _, _, from), (act, more)) in std::mem::take(&mut self.seen) {
            if more > 0 {
                let from = from.map(|it| it.to_string()).unwrap_or_default();
                let note = "further ones".to_owned();
                due.push(Act { count: more, from, note, ..act });
            }
        }
        for ((act, outcome), count) in std::mem::take(&mut self.others) {
            let note = "of other origins".to_owned();
            due.push(Act { count, note, ..Act::new(act, outcome) });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(who: &str, from: [u8; 4]) -> Refusal {
        Refusal {
            act: "verbund.registry.v1.PublishService/Publish",
            outcome: "PERMISSION_DENIED",
            who: who.to_owned(),
            names: Vec::new(),
            from: Some(from.into()),
            object: String::new(),
            note: String::new(),
        }
    }

    /// Origin, principal and count of the lines.
    fn told(acts: &[Act]) -> Vec<String> {
        acts.iter().map(|it| format!("{} {} {}", it.from, it.who, it.count)).collect()
    }

    #[test]
    fn the_first_of_an_origin_is_told_at_once_and_the_others_together() {
        let mut refusals = Refusals::default();
        for _ in 0..1_000 {
            refusals.add(refusal("p-1", [127, 0, 0, 1]), 5);
        }
        refusals.add(refusal("p-2", [127, 0, 0, 1]), 6);
        assert_eq!(told(&refusals.due(7, false)), ["127.0.0.1 p-1 1", "127.0.0.1 p-2 1"]);
        assert_eq!(told(&refusals.due(4 + AUDIT_REFUSALS_MS, false)), Vec::<String>::new());
        assert_eq!(told(&refusals.due(5 + AUDIT_REFUSALS_MS, false)), ["127.0.0.1 p-1 999"]);
        refusals.add(refusal("p-1", [127, 0, 0, 1]), 5 + AUDIT_REFUSALS_MS);
        assert_eq!(told(&refusals.due(6 + AUDIT_REFUSALS_MS, false)), ["127.0.0.1 p-1 1"]);
    }

    #[test]
    fn what_was_asked_for_is_kept_until_it_is_told() {
        let mut refusals = Refusals::default();
        let (object, note) = ("o".repeat(1 << 20), "n".repeat(1 << 20));
        refusals.add(Refusal { object, note, ..refusal("p-1", [127, 0, 0, 1]) }, 1);
        assert_eq!(refusals.due(2, false)[0].object.len(), 1 << 20);
        let kept = refusals.seen.values().map(|(it, _)| it.object.len() + it.note.len());
        assert_eq!(kept.collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_flood_from_everywhere_is_a_few_lines() {
        let mut refusals = Refusals::default();
        for n in 0..100_000_u32 {
            refusals.add(refusal("", n.to_be_bytes()), 1);
        }
        assert_eq!(refusals.due(2, false).len(), AUDIT_REFUSALS_MAX);
        let rest = refusals.due(3, true);
        let expected = format!("  {}", 100_000 - AUDIT_REFUSALS_MAX);
        assert_eq!(told(&rest), [expected.as_str()]);
        assert!(refusals.due(4, true).is_empty());
    }
}
