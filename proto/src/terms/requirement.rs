//! Which versions of a service somebody wants.

use std::{fmt, str::FromStr};

use semver::{Comparator, Op, Prerelease, Version};

use super::{ParseSemVerError, SemVer};

/// One version (`1.2.3`), compatible ones (`^1`, `^1.2`, `^1.2.3`) or any (`*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// This version only.
    Exact(SemVer),
    /// Compatible in the sense of Semantic Versioning as Cargo reads it: no smaller, and equal in
    /// the leftmost number that is not 0.
    Caret {
        /// First number.
        major: u64,
        /// Second number, if given.
        minor: Option<u64>,
        /// Third number, if given; then the second is given too.
        patch: Option<u64>,
    },
    /// Every version.
    Any,
}

/// The text is no requirement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRequirementError {
    /// No caret, no star, and no version.
    #[error("expected a version, ^MAJOR[.MINOR[.PATCH]] or *")]
    Exact(#[source] ParseSemVerError),
    /// What follows the caret is not one to three numbers.
    #[error("expected one to three numbers without leading zeros after ^, found {found:?}")]
    Caret {
        /// Start of what was found.
        found: String,
    },
}

// === impl Requirement ===

impl Requirement {
    /// Whether a version is wanted.
    pub fn matches(&self, version: &SemVer) -> bool {
        match *self {
            Self::Exact(exact) => exact == *version,
            Self::Any => true,
            Self::Caret { major, minor, patch } => {
                let pre = Prerelease::EMPTY;
                Comparator { op: Op::Caret, major, minor, patch, pre }.matches(&Version::new(
                    version.major,
                    version.minor,
                    version.patch,
                ))
            }
        }
    }
}

impl FromStr for Requirement {
    type Err = ParseRequirementError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let Some(numbers) = text.strip_prefix('^') else {
            return text.parse().map(Self::Exact).map_err(ParseRequirementError::Exact);
        };
        let refused = || ParseRequirementError::Caret { found: numbers.chars().take(64).collect() };
        let mut parts = numbers.split('.').map(number);
        let major = parts.next().flatten().ok_or_else(refused)?;
        let mut further = || parts.next().map(|n| n.ok_or_else(refused)).transpose();
        let (minor, patch, rest) = (further()?, further()?, further()?);
        if rest.is_some() {
            return Err(refused());
        }
        Ok(Self::Caret { major, minor, patch })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(version) => write!(f, "{version}"),
            Self::Any => f.write_str("*"),
            Self::Caret { major, minor, patch } => {
                write!(f, "^{major}")?;
                minor.iter().chain(patch).try_for_each(|n| write!(f, ".{n}"))
            }
        }
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !leading_zero { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_matches(requirement: &str, inside: &[&str], outside: &[&str]) {
        let parsed: Requirement = requirement.parse().expect(requirement);
        assert_eq!(parsed.to_string(), requirement);
        let oracle = if inside.len() == 1 && !requirement.starts_with('^') {
            semver::VersionReq::parse(&format!("={requirement}")).expect("oracle")
        } else {
            semver::VersionReq::parse(requirement).expect("oracle")
        };
        for (versions, expect) in [(inside, true), (outside, false)] {
            for version in versions {
                assert_eq!(parsed.matches(&version.parse().unwrap()), expect, "{version}");
                let version = Version::parse(version).unwrap();
                assert_eq!(oracle.matches(&version), expect, "oracle: {version}");
            }
        }
    }

    #[test]
    fn requirements_match_as_semver_says() {
        check_matches("1.2.3", &["1.2.3"], &["1.2.4", "1.2.2", "2.2.3"]);
        check_matches("*", &["0.0.0", "0.0.1", "7.1.9"], &[]);
        check_matches("^1", &["1.0.0", "1.9.9"], &["0.9.9", "2.0.0"]);
        check_matches("^1.2", &["1.2.0", "1.9.9"], &["1.1.9", "2.0.0"]);
        check_matches("^1.2.3", &["1.2.3", "1.3.0"], &["1.2.2", "2.0.0"]);
        check_matches("^0", &["0.0.0", "0.9.9"], &["1.0.0"]);
        check_matches("^0.2", &["0.2.0", "0.2.9"], &["0.1.9", "0.3.0", "1.0.0"]);
        check_matches("^0.0", &["0.0.0", "0.0.9"], &["0.1.0"]);
        check_matches("^0.2.3", &["0.2.3", "0.2.4"], &["0.2.2", "0.3.0"]);
        check_matches("^0.0.3", &["0.0.3"], &["0.0.2", "0.0.4"]);
        let most = "18446744073709551615.0.0";
        check_matches("^18446744073709551615", &[most, "18446744073709551615.1.0"], &["1.0.0"]);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "1", "1.2", "~1.2", ">=1.0.0", "1.*", "1.2.3-rc.1", "** ", " *"] {
            let error = text.parse::<Requirement>().unwrap_err();
            assert!(matches!(error, ParseRequirementError::Exact(_)), "{text}: {error:?}");
        }
        for text in ["^", "^1.", "^.1", "^01", "^1.2.3.4", "^1.2.3-a", "^+1", "^ 1", "^1.x"] {
            let error = text.parse::<Requirement>().unwrap_err();
            assert!(matches!(error, ParseRequirementError::Caret { .. }), "{text}: {error:?}");
        }
        assert!("^18446744073709551616".parse::<Requirement>().is_err());
    }
}
