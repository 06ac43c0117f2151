//! What code lists have in common.

/// The text is no value of a code list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {list}; expected one of {expected}")]
pub struct ParseCodeError {
    /// Name of the list.
    pub list: &'static str,
    /// Start of what was found.
    pub found: String,
    /// All codes, divided by spaces.
    pub expected: &'static str,
}

/// An enum whose variants are the values of a code list: `ALL`, `code`, `label`, `FromStr` and
/// `Display` by code.
macro_rules! code_list {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $first:ident = $first_code:literal, $first_label:literal;
            $($variant:ident = $code:literal, $label:literal;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the labels say what the variants mean")]
        pub enum $name {
            $first,
            $($variant,)*
        }

        impl $name {
            /// All values, in the order of the list.
            pub const ALL: &'static [Self] = &[Self::$first, $(Self::$variant,)*];

            /// The code.
            pub const fn code(self) -> &'static str {
                match self {
                    Self::$first => $first_code,
                    $(Self::$variant => $code,)*
                }
            }

            /// What it means, in German.
            pub const fn label(self) -> &'static str {
                match self {
                    Self::$first => $first_label,
                    $(Self::$variant => $label,)*
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::terms::ParseCodeError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.code() == text).ok_or_else(|| {
                    $crate::terms::ParseCodeError {
                        list: stringify!($name),
                        found: text.chars().take(64).collect(),
                        expected: concat!($first_code, $(" ", $code,)*),
                    }
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.code())
            }
        }
    };
}

pub(super) use code_list;

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, fmt::Display, str::FromStr};

    use super::ParseCodeError;
    use crate::terms::{Leistungsadressat, Themenfeld, Typisierung, Vertrauensniveau};

    #[track_caller]
    fn check_list<T>(all: &[T], expected_length: usize, refused: &[&str])
    where
        T: FromStr<Err = ParseCodeError> + Display + PartialEq + std::fmt::Debug,
    {
        let codes: HashSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!((codes.len(), all.len()), (expected_length, expected_length));
        for value in all {
            assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(value));
        }
        for text in refused {
            let error = text.parse::<T>().unwrap_err();
            for code in &codes {
                assert!(error.to_string().contains(code), "{error} names {code}");
            }
        }
    }

    #[test]
    fn every_code_parses_back_and_others_are_refused() {
        check_list(Themenfeld::ALL, 14, &["", "Bildung", "bildung "]);
        check_list(Typisierung::ALL, 21, &["", "0", "13", "2/4", "2/3c", "01"]);
        check_list(Vertrauensniveau::ALL, 6, &["", "0", "25", "hoch"]);
        check_list(Leistungsadressat::ALL, 3, &["", "1", "004"]);
    }

    #[test]
    fn the_error_names_list_and_codes() {
        let error = "004".parse::<Leistungsadressat>().unwrap_err();
        let expect = "\"004\" is no Leistungsadressat; expected one of 001 002 003";
        assert_eq!(error.to_string(), expect);
    }
}
