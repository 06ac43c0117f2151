//! Key of a Leistung in the catalogue of the FIM (formerly LeiKa).

use std::{fmt, str::FromStr};

/// 14 digits: `99`, Leistungsgruppierung, Leistungskennung, Verrichtungskennung and
/// Verrichtungsdetail of three digits each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leistungsschluessel([u8; 14]);

/// How much a key says; follows from its zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leistungstyp {
    /// Object alone.
    Lo,
    /// Object with a Verrichtung.
    Lov,
    /// Object with a Verrichtung and its detail.
    Lovd,
}

/// The text is no Leistungsschlüssel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseLeistungsschluesselError {
    /// Not 14 digits.
    #[error("{found:?} is no Leistungsschlüssel: expected 14 digits")]
    Digits {
        /// Start of what was found.
        found: String,
    },
    /// Another catalogue.
    #[error("Leistungsschlüssel {found} must begin with 99")]
    Prefix {
        /// The 14 digits.
        found: String,
    },
    /// A detail of nothing.
    #[error("Leistungsschlüssel {found} has Verrichtungsdetail {detail} without a Verrichtung")]
    DetailWithoutVerrichtung {
        /// The 14 digits.
        found: String,
        /// The last three.
        detail: String,
    },
}

// === impl Leistungsschluessel ===

impl Leistungsschluessel {
    /// The 14 digits.
    pub fn as_str(&self) -> &str {
        self.digits(0, 14)
    }

    /// Digits 3 to 5.
    pub fn gruppierung(&self) -> &str {
        self.digits(2, 5)
    }

    /// Digits 6 to 8.
    pub fn kennung(&self) -> &str {
        self.digits(5, 8)
    }

    /// Digits 9 to 11; `000` for none.
    pub fn verrichtung(&self) -> &str {
        self.digits(8, 11)
    }

    /// Digits 12 to 14; `000` for none.
    pub fn detail(&self) -> &str {
        self.digits(11, 14)
    }

    /// What the zeros say.
    pub fn leistungstyp(&self) -> Leistungstyp {
        match (self.verrichtung(), self.detail()) {
            ("000", _) => Leistungstyp::Lo,
            (_, "000") => Leistungstyp::Lov,
            _ => Leistungstyp::Lovd,
        }
    }

    /// The form interfaces want.
    pub fn urn(&self) -> String {
        format!("urn:de:fim:leika:leistung:{self}")
    }

    /// Only digits are ever stored, so this is always text.
    fn digits(&self, from: usize, to: usize) -> &str {
        std::str::from_utf8(&self.0[from..to]).unwrap_or_default()
    }
}

impl FromStr for Leistungsschluessel {
    type Err = ParseLeistungsschluesselError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = match <[u8; 14]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_digit) => Self(bytes),
            _ => {
                let found = text.chars().take(32).collect();
                return Err(ParseLeistungsschluesselError::Digits { found });
            }
        };
        let found = || text.to_owned();
        if !text.starts_with("99") {
            return Err(ParseLeistungsschluesselError::Prefix { found: found() });
        }
        if key.verrichtung() == "000" && key.detail() != "000" {
            return Err(ParseLeistungsschluesselError::DetailWithoutVerrichtung {
                found: found(),
                detail: key.detail().to_owned(),
            });
        }
        Ok(key)
    }
}

impl fmt::Display for Leistungsschluessel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Leistungsschluessel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Leistungstyp ===

impl fmt::Display for Leistungstyp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lo => "lo",
            Self::Lov => "lov",
            Self::Lovd => "lovd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parse(text: &str, expect: &str) {
        let got = match text.parse::<Leistungsschluessel>() {
            Ok(key) => format!("{} {}", key.leistungstyp(), key.urn()),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn keys_and_what_is_none() {
        check_parse("99050012104000", "lov urn:de:fim:leika:leistung:99050012104000");
        check_parse("99050012000000", "lo urn:de:fim:leika:leistung:99050012000000");
        check_parse("99050012104001", "lovd urn:de:fim:leika:leistung:99050012104001");
        check_parse(
            "99050012000001",
            "Leistungsschlüssel 99050012000001 has Verrichtungsdetail 001 without a Verrichtung",
        );
        check_parse("98050012104000", "Leistungsschlüssel 98050012104000 must begin with 99");
        for text in [
            "",
            "9905001210400",
            "990500121040000",
            "9905001210400x",
            "99 05001210400",
            "٩٩٠٥٠٠١",
            "urn:de:fim:leika:leistung:99050012104000",
        ] {
            let error = text.parse::<Leistungsschluessel>().unwrap_err();
            assert!(matches!(error, ParseLeistungsschluesselError::Digits { .. }), "{text}");
        }
    }

    #[test]
    fn segments_are_three_digits_each() {
        let key: Leistungsschluessel = "99123456789012".parse().unwrap();
        assert_eq!(key.as_str(), "99123456789012");
        let segments = [key.gruppierung(), key.kennung(), key.verrichtung(), key.detail()];
        assert_eq!(segments, ["123", "456", "789", "012"]);
    }
}
