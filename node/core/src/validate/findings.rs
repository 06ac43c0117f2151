//! Collects what is wrong with a record, in bounded lists.

use std::fmt::{self, Write as _};

use crate::{
    limits::VIOLATIONS_MAX,
    reject::FieldViolation,
    validate::lists::{CodeLists, List},
};

/// The findings about one record, each with the path from the request.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    root: &'a str,
    errors: Vec<FieldViolation>,
    warnings: Vec<FieldViolation>,
}

/// The path of a field within the record. It is put into words only where something is wrong with
/// the field, which is rare: a record has dozens of fields.
pub(super) trait Field: fmt::Display + Copy {}

/// A value of a record as messages show it: quoted, without control characters, at most
/// [`SHOWN_CHARS_MAX`] characters.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

// === impl Findings ===

impl<'a> Findings<'a> {
    pub(super) fn new(root: &'a str) -> Self {
        Self { root, errors: Vec::new(), warnings: Vec::new() }
    }

    /// The record must not be published.
    pub(super) fn error(
        &mut self,
        field: impl fmt::Display,
        reason: &'static str,
        description: impl Into<String>,
    ) {
        push(&mut self.errors, self.root, field, reason, description);
    }

    /// The record may be published; the publisher should know.
    pub(super) fn warning(
        &mut self,
        field: impl fmt::Display,
        reason: &'static str,
        description: impl Into<String>,
    ) {
        push(&mut self.warnings, self.root, field, reason, description);
    }

    /// Reports `description` unless `holds`.
    pub(super) fn require(
        &mut self,
        holds: bool,
        field: impl fmt::Display,
        reason: &'static str,
        description: impl FnOnce() -> String,
    ) {
        if !holds {
            self.error(field, reason, description());
        }
    }

    /// Reports a code that is not in its list. `noun` is the German noun with its article.
    pub(super) fn code(
        &mut self,
        lists: &CodeLists,
        list: List,
        code: &str,
        field: impl fmt::Display,
        reason: &'static str,
        noun: &str,
    ) {
        self.require(lists.contains(list, code), field, reason, || {
            let known: Vec<&str> = lists.codes(list).take(KNOWN_SHOWN_MAX + 1).collect();
            let known = if known.len() > KNOWN_SHOWN_MAX {
                String::new()
            } else {
                format!("; erlaubt: {}", known.join(", "))
            };
            format!("{} ist {noun}{known} ({})", Shown(code), list.source())
        });
    }

    /// Reports when a required list is empty or a list is too long, and returns the part of it
    /// that is looked at.
    pub(super) fn list<'r, T>(
        &mut self,
        items: &'r [T],
        max: usize,
        field: &'static str,
    ) -> &'r [T] {
        self.require(items.len() <= max, field, "LIST_TOO_LONG", || {
            format!("{} Einträge, erlaubt sind höchstens {max}", items.len())
        });
        items.get(..max).unwrap_or(items)
    }

    /// The warnings, or the errors if there are any.
    pub(super) fn finish(self) -> Result<Vec<FieldViolation>, Vec<FieldViolation>> {
        if self.errors.is_empty() { Ok(self.warnings) } else { Err(self.errors) }
    }
}

// === impl Field ===

impl<T: fmt::Display + Copy> Field for T {}

// === impl Shown ===

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for (n, c) in self.0.chars().enumerate() {
            if n == SHOWN_CHARS_MAX {
                f.write_char('…')?;
                break;
            }
            if c.is_control() || super::text::is_direction_control(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        f.write_char('"')
    }
}

fn push(
    to: &mut Vec<FieldViolation>,
    root: &str,
    field: impl fmt::Display,
    reason: &'static str,
    description: impl Into<String>,
) {
    if to.len() >= VIOLATIONS_MAX {
        return;
    }
    if to.len() + 1 == VIOLATIONS_MAX {
        to.push(FieldViolation {
            field: root.to_owned(),
            reason: "MORE_VIOLATIONS",
            description: format!(
                "weitere Befunde werden nicht einzeln genannt; höchstens {VIOLATIONS_MAX} je \
                 Datensatz"
            ),
        });
        return;
    }
    let field = if root.is_empty() { field.to_string() } else { format!("{root}.{field}") };
    let mut description = description.into();
    // every finding ends with its source
    if !description.ends_with(')') {
        description.push_str(OWN_RULE);
    }
    to.push(FieldViolation { field, reason, description });
}

/// Source of the rules that no standard gives.
const OWN_RULE: &str = " (Regel dieses Registers)";
const SHOWN_CHARS_MAX: usize = 80;
const KNOWN_SHOWN_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_ends_with_a_hint_when_it_is_full() {
        let mut findings = Findings::new("records[0]");
        for n in 0..1_000 {
            findings.error(format_args!("lagen[{n}]"), "LAGE", "falsch");
        }
        let errors = findings.finish().expect_err("errors");
        assert_eq!(errors.len(), VIOLATIONS_MAX);
        assert_eq!(errors[0].field, "records[0].lagen[0]");
        assert_eq!(errors[VIOLATIONS_MAX - 1].reason, "MORE_VIOLATIONS");
    }

    #[test]
    fn every_finding_ends_with_its_source() {
        let mut findings = Findings::new("");
        findings.error("plz", "STELLE_PLZ", "falsch (XZuFi)");
        findings.error("plz", "STELLE_PLZ", "falsch");
        let errors = findings.finish().expect_err("errors");
        let texts: Vec<_> = errors.iter().map(|it| it.description.as_str()).collect();
        assert_eq!(texts, ["falsch (XZuFi)", "falsch (Regel dieses Registers)"]);
    }

    #[test]
    fn shown_values_are_short_and_clean() {
        assert_eq!(Shown("5").to_string(), "\"5\"");
        assert_eq!(Shown("a\u{1b}[31m").to_string(), "\"a\\u{1b}[31m\"");
        assert_eq!(Shown(&"ä".repeat(500)).to_string(), format!("\"{}…\"", "ä".repeat(80)));
    }
}
