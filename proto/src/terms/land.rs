//! Members of a Verbund and their logs.

use std::{fmt, str::FromStr};

/// A Land, or the Bund. Ordered by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the variants are the official codes")]
pub enum Land {
    BB,
    BE,
    BUND,
    BW,
    BY,
    HB,
    HE,
    HH,
    MV,
    NI,
    NW,
    RP,
    SH,
    SL,
    SN,
    ST,
    TH,
}

/// One epoch of the log of a Land; written `SL/1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// Owner.
    pub land: Land,
    /// Epoch, from 1.
    pub epoch: u64,
}

/// The text is no code of a Land.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no Land; expected one of BB BE BUND BW BY HB HE HH MV NI NW RP SH SL SN ST TH")]
pub struct ParseLandError(String);

/// The text names no epoch of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected <land>/<epoch>, with an epoch from 1 without leading zeros")]
pub struct ParseLogIdError;

// === impl Land ===

impl Land {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 17] = [
        Self::BB,
        Self::BE,
        Self::BUND,
        Self::BW,
        Self::BY,
        Self::HB,
        Self::HE,
        Self::HH,
        Self::MV,
        Self::NI,
        Self::NW,
        Self::RP,
        Self::SH,
        Self::SL,
        Self::SN,
        Self::ST,
        Self::TH,
    ];

    /// Code, as in ISO 3166-2:DE without the prefix; `BUND` for the Bund.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// First two digits of the ARS; `00` for the Bund.
    pub fn ars(self) -> &'static str {
        self.row().1
    }

    /// German name.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::BB => ("BB", "12", "Brandenburg"),
            Self::BE => ("BE", "11", "Berlin"),
            Self::BUND => ("BUND", "00", "Bund"),
            Self::BW => ("BW", "08", "Baden-Württemberg"),
            Self::BY => ("BY", "09", "Bayern"),
            Self::HB => ("HB", "04", "Bremen"),
            Self::HE => ("HE", "06", "Hessen"),
            Self::HH => ("HH", "02", "Hamburg"),
            Self::MV => ("MV", "13", "Mecklenburg-Vorpommern"),
            Self::NI => ("NI", "03", "Niedersachsen"),
            Self::NW => ("NW", "05", "Nordrhein-Westfalen"),
            Self::RP => ("RP", "07", "Rheinland-Pfalz"),
            Self::SH => ("SH", "01", "Schleswig-Holstein"),
            Self::SL => ("SL", "10", "Saarland"),
            Self::SN => ("SN", "14", "Sachsen"),
            Self::ST => ("ST", "15", "Sachsen-Anhalt"),
            Self::TH => ("TH", "16", "Thüringen"),
        }
    }
}

impl FromStr for Land {
    type Err = ParseLandError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|land| land.code() == text)
            .ok_or_else(|| ParseLandError(text.chars().take(16).collect()))
    }
}

impl fmt::Display for Land {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

// === impl LogId ===

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.land, self.epoch)
    }
}

impl FromStr for LogId {
    type Err = ParseLogIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (land, epoch) = text.split_once('/').ok_or(ParseLogIdError)?;
        let land = land.parse().map_err(|_| ParseLogIdError)?;
        if epoch.starts_with(['0', '+']) {
            return Err(ParseLogIdError);
        }
        let epoch = epoch.parse().map_err(|_| ParseLogIdError)?;
        Ok(Self { land, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_parses_back() {
        for land in Land::ALL {
            assert_eq!(land.code().parse(), Ok(land));
        }
        let mut sorted = Land::ALL.map(Land::code);
        sorted.sort_unstable();
        assert_eq!(sorted, Land::ALL.map(Land::code), "order of the enum is that of the codes");
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "sl", "XX", "SL ", "10"] {
            assert!(text.parse::<Land>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_log_has_one_text() {
        let log = LogId { land: Land::SL, epoch: 12 };
        assert_eq!(log.to_string(), "SL/12");
        assert_eq!("SL/12".parse(), Ok(log));
        for text in ["", "SL", "SL/", "SL/0", "SL/01", "SL/+1", "sl/1", "SL/1/", "SL/-1", "/1"] {
            assert!(text.parse::<LogId>().is_err(), "{text}");
        }
    }
}
