//! Calendar days.

use std::{fmt, str::FromStr};

use time::Month;

/// A day of the Gregorian calendar from 0001-01-01 to 9999-12-31, written `yyyy-mm-dd`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(time::Date);

/// The text is no date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseDateError {
    /// Not `yyyy-mm-dd`.
    #[error("{found:?} is no date: expected yyyy-mm-dd")]
    Form {
        /// Start of what was found.
        found: String,
    },
    /// No such day.
    #[error("the calendar has no {found}")]
    NoSuchDay {
        /// What was found.
        found: String,
    },
}

// === impl Date ===

impl Date {
    /// The day (UTC) of a moment in milliseconds since 1970-01-01 UTC; moments outside the years
    /// 1 to 9999 count as 1970-01-01.
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        let moment = time::OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1_000))
            .ok()
            .filter(|it| it.year() >= 1)
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        Self(moment.date())
    }

    /// The day as `time` has it.
    pub fn to_time(self) -> time::Date {
        self.0
    }

    /// The day some months later; the last day of that month where it is shorter. `None` after
    /// 9999-12-31.
    pub fn plus_months(self, months: u32) -> Option<Self> {
        let sum = u32::from(u8::from(self.0.month()) - 1).checked_add(months)?;
        let year = self.0.year().checked_add(i32::try_from(sum / 12).ok()?)?;
        let month = Month::try_from(u8::try_from(sum % 12 + 1).ok()?).ok()?;
        let day = self.0.day().min(month.length(year));
        time::Date::from_calendar_date(year, month, day).ok().and_then(|d| Self::try_from(d).ok())
    }
}

impl TryFrom<time::Date> for Date {
    type Error = ParseDateError;

    fn try_from(date: time::Date) -> Result<Self, Self::Error> {
        if (1..=9999).contains(&date.year()) {
            Ok(Self(date))
        } else {
            Err(ParseDateError::NoSuchDay { found: date.to_string() })
        }
    }
}

impl FromStr for Date {
    type Err = ParseDateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || ParseDateError::Form { found: text.chars().take(32).collect() };
        let fits = text.len() == 10
            && text.bytes().enumerate().all(|(at, b)| match at {
                4 | 7 => b == b'-',
                _ => b.is_ascii_digit(),
            });
        if !fits {
            return Err(form());
        }
        let no_such_day = || ParseDateError::NoSuchDay { found: text.to_owned() };
        let year = text[..4].parse().map_err(|_| form())?;
        let month: u8 = text[5..7].parse().map_err(|_| form())?;
        let day = text[8..].parse().map_err(|_| form())?;
        let month = Month::try_from(month).map_err(|_| no_such_day())?;
        let date = time::Date::from_calendar_date(year, month, day).map_err(|_| no_such_day())?;
        Self::try_from(date).map_err(|_| no_such_day())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        f.pad(&format!("{year:04}-{:02}-{day:02}", u8::from(month)))
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parse(text: &str, expect: &str) {
        let got = match text.parse::<Date>() {
            Ok(date) => date.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn dates_and_what_is_none() {
        for text in ["0001-01-01", "1970-01-01", "2024-02-29", "2999-12-31", "9999-12-31"] {
            check_parse(text, text);
        }
        for text in ["2023-02-29", "2023-13-01", "2023-00-10", "2023-04-31", "0000-01-01"] {
            check_parse(text, &format!("the calendar has no {text}"));
        }
        for text in ["", "2023-1-01", "23-01-01", "01.02.2023", "2023-01-01T00", "+023-01-01"] {
            check_parse(text, &format!("{text:?} is no date: expected yyyy-mm-dd"));
        }
    }

    #[test]
    fn months_are_added_by_the_calendar() {
        for (from, months, to) in [
            ("2026-11-23", 3, Some("2027-02-23")),
            ("2026-11-30", 3, Some("2027-02-28")),
            ("2023-11-30", 3, Some("2024-02-29")),
            ("2026-01-31", 0, Some("2026-01-31")),
            ("2026-12-01", 12, Some("2027-12-01")),
            ("9999-10-01", 3, None),
            ("2026-01-01", u32::MAX, None),
        ] {
            let date: Date = from.parse().unwrap();
            let got = date.plus_months(months).map(|date| date.to_string());
            assert_eq!(got.as_deref(), to, "{from} + {months}");
        }
    }
}
