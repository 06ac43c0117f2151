//! Version of a service.

use std::{fmt, str::FromStr};

/// `MAJOR.MINOR.PATCH` of Semantic Versioning 2.0, without pre-release and build. Every triple is
/// a version, so the fields are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SemVer {
    /// Rises with a breaking change.
    pub major: u64,
    /// Rises with an addition.
    pub minor: u64,
    /// Rises with a correction.
    pub patch: u64,
}

/// The text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSemVerError {
    /// Form or size of a number.
    #[error("{found:?} is no version MAJOR.MINOR.PATCH: {reason}")]
    Form {
        /// Start of what was found.
        found: String,
        /// What is wrong.
        reason: String,
    },
    /// Semantic Versioning has pre-releases, the registry does not.
    #[error("pre-release -{found} is not allowed; publish MAJOR.MINOR.PATCH only")]
    PreRelease {
        /// What follows the hyphen.
        found: String,
    },
    /// Semantic Versioning has build metadata, the registry does not.
    #[error("build metadata +{found} is not allowed; publish MAJOR.MINOR.PATCH only")]
    Build {
        /// What follows the plus.
        found: String,
    },
}

// === impl SemVer ===

impl SemVer {
    /// `major.minor.patch`.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self { major, minor, patch }
    }

    /// Bytes that sort as versions do: three numbers, big-endian.
    pub fn order_key(&self) -> [u8; 24] {
        let mut key = [0; 24];
        key[..8].copy_from_slice(&self.major.to_be_bytes());
        key[8..16].copy_from_slice(&self.minor.to_be_bytes());
        key[16..].copy_from_slice(&self.patch.to_be_bytes());
        key
    }

    /// The version of an [`SemVer::order_key`].
    pub fn from_order_key(key: &[u8; 24]) -> Self {
        let number = |at: usize| key[at..at + 8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        Self { major: number(0), minor: number(8), patch: number(16) }
    }
}

impl FromStr for SemVer {
    type Err = ParseSemVerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = |text: &str| text.chars().take(64).collect::<String>();
        let version = semver::Version::parse(text)
            .map_err(|e| ParseSemVerError::Form { found: found(text), reason: e.to_string() })?;
        if !version.pre.is_empty() {
            return Err(ParseSemVerError::PreRelease { found: found(&version.pre) });
        }
        if !version.build.is_empty() {
            return Err(ParseSemVerError::Build { found: found(&version.build) });
        }
        Ok(Self { major: version.major, minor: version.minor, patch: version.patch })
    }
}

impl fmt::Display for SemVer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.major, self.minor, self.patch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parse(text: &str, expect: &str) {
        let got = match text.parse::<SemVer>() {
            Ok(version) => version.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn versions_and_what_is_none() {
        check_parse("0.0.0", "0.0.0");
        check_parse("1.20.300", "1.20.300");
        check_parse(
            "18446744073709551615.0.18446744073709551615",
            "18446744073709551615.0.18446744073709551615",
        );
        check_parse(
            "1.2.3-rc.1",
            "pre-release -rc.1 is not allowed; publish MAJOR.MINOR.PATCH only",
        );
        check_parse(
            "1.2.3+b7",
            "build metadata +b7 is not allowed; publish MAJOR.MINOR.PATCH only",
        );
        for (text, part) in [
            ("", "empty string"),
            ("1", "major"),
            ("1.2", "minor"),
            ("1.2.3.4", "unexpected character"),
            ("01.2.3", "leading zero"),
            ("1.2.03", "leading zero"),
            ("v1.2.3", "unexpected character"),
            ("1.2.3 ", "unexpected character"),
            (" 1.2.3", "unexpected character"),
            ("-1.2.3", "unexpected character"),
            ("1.2.18446744073709551616", "exceeds u64::MAX"),
        ] {
            let error = text.parse::<SemVer>().unwrap_err();
            assert!(matches!(error, ParseSemVerError::Form { .. }), "{text}: {error:?}");
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn order_keys_sort_as_versions_do_and_lead_back() {
        let texts = ["0.0.1", "0.1.0", "0.9.10", "0.10.9", "1.0.0", "2.0.0", "10.0.0", "256.1.1"];
        let versions = texts.map(|text| text.parse::<SemVer>().unwrap());
        assert!(versions.is_sorted());
        assert!(versions.map(|v| v.order_key()).is_sorted());
        for version in versions {
            assert_eq!(SemVer::from_order_key(&version.order_key()), version);
        }
    }
}
