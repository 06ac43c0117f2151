//! States of the past: which entries of a log count when a reader names a time.
//!
//! Facts only grow and their keys carry positions, so the catalogue at a smaller [`Cut`](super::Cut)
//! is exactly what it was. All that has to be found is how many entries count.

use prost_types::Timestamp;
use registry_proto::wire::registry::Zeitpunkt;

use super::page::Checks;
use crate::{limits::BATCH_ENTRIES_MAX, reject::Reject};

/// A state of the past, by one clock or by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct When {
    /// What the owners had said by then, milliseconds since 1970-01-01 UTC; `None` for all.
    pub recorded_unix_ms: Option<i64>,
    /// What this node knew by then; `None` for all.
    pub seen_unix_ms: Option<i64>,
}

/// What a journal tells of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Time that the owner signed.
    pub recorded_unix_ms: i64,
    /// Time at which this node had it.
    pub received_unix_ms: i64,
    /// An atomic batch ends here.
    pub batch_end: bool,
}

// === impl When ===

impl When {
    /// Reads the field of a request; `None` if the newest state is asked for.
    ///
    /// # Errors
    ///
    /// [`Reject::Invalid`] on a time that is none.
    pub fn parse(asked: Option<&Zeitpunkt>) -> Result<Option<Self>, Reject> {
        let Some(asked) = asked else { return Ok(None) };
        let mut checks = Checks::default();
        let mut ms = |field: &'static str, at: &Option<Timestamp>| {
            let ms = unix_ms(at.as_ref()?);
            if ms.is_none() {
                checks.add(field, "TIMESTAMP_FORM", "ist kein Zeitpunkt der Jahre 1 bis 9999");
            }
            ms
        };
        let recorded_unix_ms = ms("zeitpunkt.recorded_at", &asked.recorded_at);
        let seen_unix_ms = ms("zeitpunkt.seen_at", &asked.seen_at);
        checks.finish()?;
        let newest = recorded_unix_ms.is_none() && seen_unix_ms.is_none();
        Ok((!newest).then_some(Self { recorded_unix_ms, seen_unix_ms }))
    }

    /// How many of the first `size` entries of a log count: those before the first that is later
    /// than any time given, rounded down to whole batches. Reads the stamps of about
    /// log2(`size`) entries.
    ///
    /// Recorded times never go back. Where the receiver's clock went back, there are several
    /// places at which an entry that counts is followed by one that does not; one of them is
    /// found, the same however much the log has grown since.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn prefix<E>(
        &self,
        size: u64,
        mut read: impl FnMut(u64) -> Result<Stamp, E>,
    ) -> Result<u64, E> {
        // entries that arrived later fail every probe that they are met at, so that a larger
        // `size` leads to the same place; halving the rest would not
        let mut count = 0;
        let mut step = size.checked_ilog2().map_or(0, |bits| 1_u64 << bits);
        while step > 0 {
            if step <= size - count && self.counts(read(count + step - 1)?) {
                count += step;
            }
            step >>= 1;
        }
        let mut whole = count;
        for _ in 0..BATCH_ENTRIES_MAX {
            if whole == 0 || read(whole - 1)?.batch_end {
                return Ok(whole);
            }
            whole -= 1;
        }
        // readers cut overlong batches too
        Ok(count)
    }

    fn counts(&self, it: Stamp) -> bool {
        self.recorded_unix_ms.is_none_or(|by| it.recorded_unix_ms <= by)
            && self.seen_unix_ms.is_none_or(|by| it.received_unix_ms <= by)
    }
}

/// Milliseconds, rounded down; `None` outside the years 1 to 9999, as protobuf has it.
fn unix_ms(at: &Timestamp) -> Option<i64> {
    const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let nanos = u32::try_from(at.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    YEARS.contains(&at.seconds).then(|| at.seconds * 1_000 + i64::from(nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Entries as "recorded/received", with "." at the end of a batch.
    fn stamps(text: &str) -> Vec<Stamp> {
        text.split_whitespace()
            .map(|word| {
                let times = word.trim_end_matches('.');
                let (recorded, received) = times.split_once('/').unwrap();
                Stamp {
                    recorded_unix_ms: recorded.parse().unwrap(),
                    received_unix_ms: received.parse().unwrap(),
                    batch_end: word.ends_with('.'),
                }
            })
            .collect()
    }

    fn prefix(when: When, log: &[Stamp]) -> u64 {
        let read = |index: u64| Ok::<_, Infallible>(log[usize::try_from(index).unwrap()]);
        when.prefix(log.len() as u64, read).unwrap()
    }

    #[track_caller]
    fn check(
        log: &str,
        recorded: impl Into<Option<i64>>,
        seen: impl Into<Option<i64>>,
        expect: u64,
    ) {
        let when = When { recorded_unix_ms: recorded.into(), seen_unix_ms: seen.into() };
        assert_eq!(prefix(when, &stamps(log)), expect, "{log} at {when:?}");
    }

    const LOG: &str = "10/11. 20/25. 20/31. 30/32. 40/90.";

    #[test]
    fn entries_until_a_time_count() {
        check("", 10, None, 0);
        for (recorded, expect) in [(9, 0), (10, 1), (19, 1), (20, 3), (39, 4), (40, 5), (99, 5)] {
            check(LOG, recorded, None, expect);
        }
        for (seen, expect) in [(10, 0), (11, 1), (30, 2), (31, 3), (89, 4), (90, 5)] {
            check(LOG, None, seen, expect);
        }
    }

    #[test]
    fn of_two_times_the_earlier_one_decides() {
        check(LOG, 40, 31, 3);
        check(LOG, 10, 90, 1);
        check(LOG, 99, 99, 5);
        check(LOG, 9, 99, 0);
    }

    #[test]
    fn a_batch_that_had_not_ended_by_then_does_not_count() {
        let log = "10/10. 20/20 20/20 20/30. 40/40.";
        check(log, None, 20, 1);
        check(log, None, 29, 1);
        check(log, None, 30, 4);
        check("10/10 10/20.", None, 10, 0);
    }

    #[test]
    fn a_time_has_a_form() {
        let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
        let parse = |recorded_at, seen_at| When::parse(Some(&Zeitpunkt { recorded_at, seen_at }));
        assert_eq!(When::parse(None), Ok(None));
        assert_eq!(parse(None, None), Ok(None));
        let expect = When { recorded_unix_ms: Some(-1), seen_unix_ms: Some(2_003) };
        assert_eq!(parse(at(-1, 999_999_999), at(2, 3_999_999)), Ok(Some(expect)));
        for (seconds, nanos) in
            [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000), (253_402_300_800, 0)]
        {
            let refused = parse(at(seconds, nanos), at(seconds, nanos)).unwrap_err();
            let Reject::Invalid(all) = refused else { panic!("{refused:?}") };
            let fields: Vec<_> = all.iter().map(|it| it.field.as_str()).collect();
            assert_eq!(fields, ["zeitpunkt.recorded_at", "zeitpunkt.seen_at"]);
        }
    }

    proptest! {
        #[test]
        fn the_prefix_is_that_of_a_plain_search_and_stays(
            steps in prop::collection::vec((0..4_i64, 0..4_i64, any::<bool>()), 0..70),
            recorded in prop::option::of(0..90_i64),
            seen in prop::option::of(0..90_i64),
        ) {
            let when = When { recorded_unix_ms: recorded, seen_unix_ms: seen };
            let (mut at, mut received) = (0, 0);
            let log: Vec<_> = steps.iter().map(|(later, received_later, batch_end)| {
                (at, received) = (at + later, received + received_later);
                let batch_end = *batch_end;
                Stamp { recorded_unix_ms: at, received_unix_ms: received, batch_end }
            }).collect();
            let counts = log.iter().take_while(|it| when.counts(**it)).count();
            let whole = log[..counts].iter().rposition(|it| it.batch_end).map_or(0, |at| at + 1);
            prop_assert_eq!(prefix(when, &log), whole as u64);
            for size in counts..=log.len() {
                prop_assert_eq!(prefix(when, &log[..size]), whole as u64);
            }
        }

        #[test]
        fn a_receiver_whose_clock_went_back_keeps_its_answer(
            early in prop::collection::vec(0..50_i64, 0..40),
            later in prop::collection::vec(26..50_i64, 0..40),
        ) {
            let stamp = |received: &i64| {
                Stamp { recorded_unix_ms: 0, received_unix_ms: *received, batch_end: true }
            };
            let when = When { recorded_unix_ms: None, seen_unix_ms: Some(25) };
            let mut log: Vec<_> = early.iter().map(stamp).collect();
            let before = prefix(when, &log);
            let at = usize::try_from(before).unwrap();
            prop_assert!(at == 0 || when.counts(log[at - 1]));
            prop_assert!(log.get(at).is_none_or(|it| !when.counts(*it)));
            log.extend(later.iter().map(stamp));
            prop_assert_eq!(prefix(when, &log), before);
        }
    }
}
