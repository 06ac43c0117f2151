//! The resets that a successor lists, held against those that this node has taken.

use registry_core::{reject::Reject, status::ResetsTold};
use registry_proto::{
    charter::{Change, Charter},
    epoch::Ended,
    log::Hash,
    terms::LogId,
};

/// Checks that what a successor adds to its lists was taken here, or told by a partner and counts as
/// soon as it is listed, and that it lists all that was taken. Where the rule of the vote leaves no
/// other choice (`is_bound`), only another reset than the one taken here is refused: what is missing
/// can be listed by the charter after it, and what is not here yet comes from partners.
///
/// # Errors
///
/// `RESET_OTHER`, `RESET_UNKNOWN` or `RESET_UNLISTED`.
pub(super) fn are_taken(
    taken: &Ended,
    told: &ResetsTold,
    next: &Charter,
    changes: &[Change],
    is_bound: bool,
) -> Result<(), Reject> {
    for change in changes {
        let Change::EpochEnded(log, listed) = *change else { continue };
        match taken_of(taken, log) {
            Some(here) if here == listed => {}
            Some(here) => return Err(other(log, listed, here)),
            None if is_bound || told.get(&log).is_some_and(|it| it.contains(&listed)) => {}
            None => return Err(unknown(log, listed)),
        }
    }
    let all = taken.iter().flat_map(|(land, resets)| {
        (1..).zip(resets).map(|(epoch, reset)| (LogId { land: *land, epoch }, *reset))
    });
    let mut unlisted = all.filter(|(log, _)| !is_bound && next.listed(*log).is_none());
    unlisted.next().map_or(Ok(()), |(log, reset)| Err(missing(log, reset)))
}

fn taken_of(taken: &Ended, log: LogId) -> Option<Hash> {
    let at = usize::try_from(log.epoch.checked_sub(1)?).ok()?;
    taken.get(&log.land)?.get(at).copied()
}

fn other(log: LogId, listed: Hash, here: Hash) -> Reject {
    Reject::Precondition {
        reason: "RESET_OTHER",
        description: format!(
            "der Vorschlag führt für {log} die Zurücksetzung {listed} auf, dieser Knoten hat {here} \
             angenommen; mit den anderen Ländern klären, welche gilt (registry epoch list)"
        ),
    }
}

fn unknown(log: LogId, listed: Hash) -> Reject {
    Reject::Precondition {
        reason: "RESET_UNKNOWN",
        description: format!(
            "der Vorschlag führt für {log} die Zurücksetzung {listed} auf, dieser Knoten kennt sie nicht: \
             niemand hat sie ihm gezeigt, oder sie war nach keiner Charta vollständig. Abstimmen, wenn \
             er mit einem Land verbunden ist, das sie angenommen hat, oder nach registry epoch apply"
        ),
    }
}

fn missing(log: LogId, reset: Hash) -> Reject {
    Reject::Precondition {
        reason: "RESET_UNLISTED",
        description: format!(
            "der Vorschlag führt die Zurücksetzung von {log} nicht auf ({reset}); wer später kommt, \
             nähme sie vielleicht nicht an. Neu entwerfen: registry charter export, dann \
             registry-node charter amend"
        ),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message as _;
    use registry_proto::terms::Land::{HE, RP, SL};

    use super::*;
    use crate::testing::charter_of;

    const FIRST: Hash = Hash::from_bytes([1; 32]);
    const SECOND: Hash = Hash::from_bytes([2; 32]);

    fn ended(resets: &[Hash]) -> Ended {
        [(SL, resets.to_vec())].into()
    }

    /// A successor lists these of SL, the node has taken those: why it is refused, while the choice
    /// is free and while it is bound.
    #[track_caller]
    fn check(listed: &[Hash], taken: &[Hash], free: Option<&str>, bound: Option<&str>) {
        check_told(listed, taken, &[], free, bound);
    }

    /// The same where partners told these, each of an epoch.
    #[track_caller]
    fn check_told(
        listed: &[Hash],
        taken: &[Hash],
        told: &[(u64, Hash)],
        free: Option<&str>,
        bound: Option<&str>,
    ) {
        let mut known = ResetsTold::new();
        for (epoch, reset) in told {
            known.entry(LogId { land: SL, epoch: *epoch }).or_default().insert(*reset);
        }
        let (charter, _) = charter_of(&[HE, RP, SL]);
        let mut draft = charter.draft_of_next();
        draft.list(&ended(listed));
        draft.members[0].quota =
            Some(registry_proto::wire::registry::Quota { entries_per_day: 1, bytes_per_day: 0 });
        let raw = Bytes::from(draft.encode_to_vec());
        let (next, changes) = charter.successor(raw).expect("a successor");
        for (is_bound, expect) in [(false, free), (true, bound)] {
            let reason = match are_taken(&ended(taken), &known, &next, &changes, is_bound) {
                Ok(()) => None,
                Err(Reject::Precondition { reason, .. }) => Some(reason),
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(reason, expect, "{listed:?} {taken:?} {is_bound}");
        }
    }

    #[test]
    fn a_successor_lists_what_was_taken_here() {
        check(&[], &[], None, None);
        check(&[FIRST, SECOND], &[FIRST, SECOND], None, None);
        check(&[FIRST], &[FIRST, SECOND], Some("RESET_UNLISTED"), None);
        check(&[], &[FIRST], Some("RESET_UNLISTED"), None);
        check(&[FIRST, SECOND], &[FIRST], Some("RESET_UNKNOWN"), None);
        check(&[SECOND], &[FIRST], Some("RESET_OTHER"), Some("RESET_OTHER"));
    }

    #[test]
    fn a_successor_may_list_what_counts_here_as_soon_as_it_does() {
        check_told(&[FIRST], &[], &[(1, FIRST)], None, None);
        check_told(&[SECOND], &[], &[(1, FIRST), (1, SECOND)], None, None);
        check_told(&[FIRST, SECOND], &[FIRST], &[(2, SECOND)], None, None);
        check_told(&[FIRST, SECOND], &[], &[(1, FIRST), (2, SECOND)], None, None);
        // it need not: whoever has taken it says so
        check_told(&[], &[], &[(1, FIRST)], None, None);
        check_told(&[FIRST], &[], &[(1, SECOND), (2, FIRST)], Some("RESET_UNKNOWN"), None);
        check_told(&[FIRST, SECOND], &[], &[(1, FIRST)], Some("RESET_UNKNOWN"), None);
        // what was taken here goes before all that is told
        let other = Some("RESET_OTHER");
        check_told(&[SECOND], &[FIRST], &[(1, SECOND)], other, other);
    }
}
