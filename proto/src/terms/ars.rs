//! Areas, by the Amtlicher Regionalschlüssel.

use std::{fmt, str::FromStr};

use super::Land;

/// An area: the significant digits of its Regionalschlüssel, 2 (Land), 3 (Regierungsbezirk),
/// 5 (Kreis), 9 (Gemeindeverband) or 12 (Gemeinde); `00` is the Bund.
///
/// The form padded with zeros is ambiguous (`064140000000` is Wiesbaden as a Gemeinde and could be
/// read as the Kreis), so digits count as they are written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ars {
    digits: [u8; 12],
    length: u8,
    land: Land,
}

/// What an area is; follows from the number of digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the variants are the official words")]
pub enum Ebene {
    Bund,
    Land,
    Regierungsbezirk,
    Kreis,
    Gemeindeverband,
    Gemeinde,
}

/// The text is no Regionalschlüssel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseArsError {
    /// Something other than digits.
    #[error("{found:?} is no ARS: expected digits only")]
    Digits {
        /// Start of what was found.
        found: String,
    },
    /// Another number of digits.
    #[error("ARS {found} has {length} digits, expected 2, 3, 5, 9 or 12")]
    Length {
        /// Start of what was found.
        found: String,
        /// Digits found.
        length: usize,
    },
    /// The first two digits are no Land.
    #[error("ARS {found} begins with {prefix}, expected 01 to 16, or 00 alone for the Bund")]
    Land {
        /// What was found.
        found: String,
        /// Its first two digits.
        prefix: String,
    },
    /// The Bund has no parts.
    #[error("ARS {found} lies below the Bund; write 00")]
    BelowBund {
        /// What was found.
        found: String,
    },
}

// === impl Ars ===

impl Ars {
    /// The significant digits.
    pub fn as_str(&self) -> &str {
        // only digits are ever stored, so this is always text
        std::str::from_utf8(&self.digits[..usize::from(self.length)]).unwrap_or_default()
    }

    /// The Land it lies in; [`Land::BUND`] for the Bund.
    pub fn land(&self) -> Land {
        self.land
    }

    /// What it is.
    pub fn ebene(&self) -> Ebene {
        match (self.land, self.length) {
            (Land::BUND, _) => Ebene::Bund,
            (_, 2) => Ebene::Land,
            (_, 3) => Ebene::Regierungsbezirk,
            (_, 5) => Ebene::Kreis,
            (_, 9) => Ebene::Gemeindeverband,
            _ => Ebene::Gemeinde,
        }
    }

    /// Whether the other area lies in this one, or is this one. The Bund covers all.
    pub fn covers(&self, other: &Self) -> bool {
        self.land == Land::BUND || other.as_str().starts_with(self.as_str())
    }
}

// === impl Ebene ===

impl Ebene {
    /// The official word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bund => "Bund",
            Self::Land => "Land",
            Self::Regierungsbezirk => "Regierungsbezirk",
            Self::Kreis => "Kreis",
            Self::Gemeindeverband => "Gemeindeverband",
            Self::Gemeinde => "Gemeinde",
        }
    }
}

impl From<Land> for Ars {
    fn from(land: Land) -> Self {
        let mut digits = [b'0'; 12];
        digits[..2].copy_from_slice(land.ars().as_bytes());
        Self { digits, length: 2, land }
    }
}

impl FromStr for Ars {
    type Err = ParseArsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = || text.chars().take(32).collect::<String>();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseArsError::Digits { found: found() });
        }
        let length = match text.len() {
            2 => 2,
            3 => 3,
            5 => 5,
            9 => 9,
            12 => 12,
            length => return Err(ParseArsError::Length { found: found(), length }),
        };
        let prefix = &text[..2];
        let land = Land::ALL.into_iter().find(|land| land.ars() == prefix);
        let land =
            land.ok_or_else(|| ParseArsError::Land { found: found(), prefix: prefix.to_owned() })?;
        if land == Land::BUND && length != 2 {
            return Err(ParseArsError::BelowBund { found: found() });
        }
        let mut digits = [b'0'; 12];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { digits, length, land })
    }
}

impl fmt::Display for Ars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Ars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parse(text: &str, expect: &str) {
        let got = match text.parse::<Ars>() {
            Ok(ars) => format!("{ars} {} {:?}", ars.land(), ars.ebene()),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn areas_and_what_is_none() {
        check_parse("00", "00 BUND Bund");
        check_parse("10", "10 SL Land");
        check_parse("064", "064 HE Regierungsbezirk");
        check_parse("06414", "06414 HE Kreis");
        check_parse("071315002", "071315002 RP Gemeindeverband");
        check_parse("064140000000", "064140000000 HE Gemeinde");
        check_parse("", "\"\" is no ARS: expected digits only");
        check_parse("SL", "\"SL\" is no ARS: expected digits only");
        check_parse("1", "ARS 1 has 1 digits, expected 2, 3, 5, 9 or 12");
        check_parse("0641", "ARS 0641 has 4 digits, expected 2, 3, 5, 9 or 12");
        check_parse("17", "ARS 17 begins with 17, expected 01 to 16, or 00 alone for the Bund");
        check_parse("000000000000", "ARS 000000000000 lies below the Bund; write 00");
    }

    #[test]
    fn an_area_covers_what_lies_in_it() {
        let ars = |text: &str| text.parse::<Ars>().unwrap();
        for (outer, inner, expect) in [
            ("00", "10", true),
            ("00", "00", true),
            ("10", "00", false),
            ("06", "06414", true),
            ("06", "06", true),
            ("06414", "06", false),
            ("06", "07", false),
            ("064", "06414", true),
            ("064", "06531", false),
            ("06414", "064140000000", true),
            ("064140000000", "06414", false),
        ] {
            assert_eq!(ars(outer).covers(&ars(inner)), expect, "{outer} covers {inner}");
        }
    }

    #[test]
    fn every_land_is_an_area() {
        for land in Land::ALL {
            assert_eq!(Ok(Ars::from(land)), land.ars().parse());
            assert_eq!(Ars::from(land).land(), land);
        }
    }
}
