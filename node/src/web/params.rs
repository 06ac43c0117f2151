//! Parameters of a REST query. One that no answer depends on is refused, so that a typo never asks
//! for something else than was meant.

use axum::{
    extract::Query,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use prost_types::Timestamp;
use registry_proto::{terms::Date, wire::registry::Zeitpunkt};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::catalogue::problem;

/// As they stand in the address.
pub(super) type Pairs = Query<Vec<(String, String)>>;

/// The parameters of a query, all of them known.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

/// Why a query is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(String);

/// Names of the parameters that say which state an answer shows.
pub(super) const RECORDED_AT: &str = "recorded_at";
pub(super) const SEEN_AT: &str = "seen_at";
/// Characters of a parameter that a refusal shows.
const SHOWN_CHARS_MAX: usize = 40;

// === impl Params ===

impl Params {
    /// The parameters of a query that knows these; `many` may stand there several times.
    pub(super) fn of(Query(pairs): Pairs, known: &[&str], many: &[&str]) -> Result<Self, Refused> {
        for (at, (name, _)) in pairs.iter().enumerate() {
            let name = name.as_str();
            if many.contains(&name) {
                continue;
            }
            if !known.contains(&name) {
                let known = [known, many].concat().join(", ");
                let known = if known.is_empty() { "none" } else { &known };
                return Err(Refused(format!(
                    "there is no parameter {:?} here; known: {known}",
                    shown(name)
                )));
            }
            if pairs[..at].iter().any(|(other, _)| other == name) {
                return Err(Refused(format!("{name} stands there more than once")));
            }
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> String {
        self.find(name).unwrap_or_default().to_owned()
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    /// A number; 0 if it is not there.
    pub(super) fn number(&self, name: &str) -> Result<u32, Refused> {
        let Some(value) = self.find(name) else { return Ok(0) };
        value.parse().map_err(|_| expected(name, value, "a number"))
    }

    /// True or false; false if it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refused> {
        match self.find(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(value) => Err(expected(name, value, "true or false")),
        }
    }

    /// Which state is asked for; nothing means the newest.
    pub(super) fn zeitpunkt(&self) -> Result<Option<Zeitpunkt>, Refused> {
        let (recorded_at, seen_at) = (self.moment(RECORDED_AT)?, self.moment(SEEN_AT)?);
        let newest = recorded_at.is_none() && seen_at.is_none();
        Ok((!newest).then_some(Zeitpunkt { recorded_at, seen_at }))
    }

    /// A moment, or the last one of a day (UTC).
    fn moment(&self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let Some(value) = self.find(name) else { return Ok(None) };
        let moment = match value.parse::<Date>() {
            Ok(day) => {
                day.to_time().with_hms_nano(23, 59, 59, 999_999_999).map(|it| it.assume_utc()).ok()
            }
            Err(_) => OffsetDateTime::parse(value, &Rfc3339).ok(),
        };
        let at = moment.ok_or_else(|| {
            expected(
                name,
                value,
                "a day as 2026-03-01 or a moment as 2026-03-01T12:00:00Z (RFC 3339)",
            )
        })?;
        let nanos = i32::try_from(at.nanosecond()).unwrap_or_default();
        Ok(Some(Timestamp { seconds: at.unix_timestamp(), nanos }))
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        problem(StatusCode::BAD_REQUEST, &self.0)
    }
}

fn expected(name: &str, value: &str, what: &str) -> Refused {
    Refused(format!("{name} = {:?}; expected {what}", shown(value)))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> Result<Params, Refused> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let known = ["land", "limit", "proof", RECORDED_AT, SEEN_AT];
        Params::of(Query(pairs.iter().map(pair).collect()), &known, &["lage"])
    }

    #[test]
    fn what_is_not_known_or_stands_twice_is_refused() {
        for (pairs, expect) in [
            (&[("land", "SL"), ("lage", "a"), ("lage", "b")][..], ""),
            (&[("lang", "SL")], "there is no parameter \"lang\" here; known: land, limit, proof"),
            (&[("land", "SL"), ("land", "RP")], "land stands there more than once"),
        ] {
            let refused = params(pairs).err().map(|it| it.0).unwrap_or_default();
            assert!(refused.starts_with(expect) && refused.is_empty() == expect.is_empty());
        }
        let it = params(&[("lage", "a"), ("lage", "b")]).expect("known");
        assert_eq!(
            (it.all("lage").len(), it.text("land"), it.number("limit")),
            (2, String::new(), Ok(0))
        );
    }

    #[test]
    fn values_are_of_their_form() {
        for bad in [("limit", "-1"), ("limit", "x"), ("proof", "ja"), (SEEN_AT, "gestern")] {
            let it = params(&[bad]).expect("known");
            let refused = [it.number("limit").err(), it.flag("proof").err(), it.zeitpunkt().err()];
            assert_eq!(refused.iter().flatten().count(), 1, "{bad:?}");
        }
        let it = params(&[(RECORDED_AT, "2026-03-01"), (SEEN_AT, "2026-03-01T12:00:00+01:00")]);
        let at = it.expect("known").zeitpunkt().expect("moments").expect("asked");
        assert_eq!(at.recorded_at, Some(Timestamp { seconds: 1_772_409_599, nanos: 999_999_999 }));
        assert_eq!(at.seen_at, Some(Timestamp { seconds: 1_772_362_800, nanos: 0 }));
        assert_eq!(params(&[]).expect("none").zeitpunkt(), Ok(None));
    }
}
