//! Texts: lengths, characters, languages, and the HTML that the portals allow.

use std::collections::BTreeSet;

use registry_proto::wire::registry::LocalizedText;

use crate::{
    limits::RECORD_LIST_MAX,
    validate::{
        findings::{Field, Findings, Shown},
        form,
        html::{self, Markup},
        latin::{self, Foreign, Latin},
    },
};

/// What a text may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One line without markup.
    Line,
    /// Several lines, with the markup that the portals allow.
    Html,
}

/// Checks a text that must be there.
pub(super) fn required(findings: &mut Findings<'_>, text: &str, max: usize, field: impl Field) {
    if text.trim().is_empty() {
        findings.error(field, "TEXT_MISSING", "Angabe fehlt (Pflichtfeld)");
        return;
    }
    content(findings, text, max, Kind::Line, field);
}

/// Checks a text that may be empty.
pub(super) fn optional(findings: &mut Findings<'_>, text: &str, max: usize, field: impl Field) {
    if !text.is_empty() {
        content(findings, text, max, Kind::Line, field);
    }
}

/// Checks an https address that may be empty.
pub(super) fn optional_url(findings: &mut Findings<'_>, url: &str, field: impl Field) {
    if !url.is_empty() {
        required_url(findings, url, field);
    }
}

/// Checks an https address that must be there.
pub(super) fn required_url(findings: &mut Findings<'_>, url: &str, field: impl Field) {
    findings.require(form::https_url(url), field, "URL_FORM", || {
        format!(
            "{} ist keine https-Adresse: https://rechnername/pfad, nur ASCII (RFC 3986)",
            Shown(url)
        )
    });
}

/// Checks a language code.
pub(super) fn language(findings: &mut Findings<'_>, code: &str, field: impl Field) {
    findings.require(matches!(code, "de" | "en"), field, "LANGUAGE_CODE", || {
        format!(
            "{} ist keine zugelassene Sprache; erlaubt: de, en (PVOG-Sammlerdienst)",
            Shown(code)
        )
    });
}

/// Checks a text in several languages: each language once, 1 to `max` characters.
pub(super) fn localized(
    findings: &mut Findings<'_>,
    texts: &[LocalizedText],
    max: usize,
    kind: Kind,
    field: &'static str,
) {
    let mut seen = BTreeSet::new();
    for (n, entry) in findings.list(texts, RECORD_LIST_MAX, field).iter().enumerate() {
        let path = format_args!("{field}[{n}]");
        language(findings, &entry.language_code, format_args!("{path}.language_code"));
        findings.require(seen.insert(&entry.language_code), path, "LANGUAGE_DUPLICATE", || {
            format!(
                "Sprache {} kommt mehrfach vor; je Sprache ein Text (XZuFi)",
                Shown(&entry.language_code)
            )
        });
        let text_path = format_args!("{path}.text");
        if entry.text.trim().is_empty() {
            findings.error(text_path, "TEXT_MISSING", "Angabe fehlt (Pflichtfeld)");
        } else {
            content(findings, &entry.text, max, kind, text_path);
        }
    }
}

/// True for characters that turn the direction of writing: text could show otherwise than it is.
pub(super) fn is_direction_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn content(findings: &mut Findings<'_>, text: &str, max: usize, kind: Kind, field: impl Field) {
    let chars = text.chars().count();
    findings.require(chars <= max, field, "TEXT_LENGTH", || {
        format!("Text hat {chars} Zeichen, erlaubt sind höchstens {max}")
    });
    // most texts: nothing to look at one by one
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let breaks = |c| kind == Kind::Html && matches!(c, '\n' | '\r' | '\t');
    let is_bad = |c: &char| (c.is_control() && !breaks(*c)) || is_direction_control(*c);
    let bad = if plain { None } else { text.chars().find(is_bad) };
    if let Some(bad) = bad {
        findings.error(
            field,
            "TEXT_CONTROL",
            format!("Steuerzeichen U+{:04X} ist nicht erlaubt (String.Latin)", u32::from(bad)),
        );
    } else if !plain {
        characters(findings, text, field);
    }
    match (kind, html::scan(text)) {
        (_, Markup::None) | (Kind::Html, Markup::Known(None)) => {}
        (Kind::Html, Markup::Known(Some(tag))) => findings.warning(
            field,
            "TEXT_HTML_UNBALANCED",
            format!(
                "{} an Zeichen {} hat kein Gegenstück; Portale können den Text falsch darstellen",
                Shown(tag.text),
                tag.at
            ),
        ),
        (Kind::Html, Markup::Foreign(tag)) => findings.error(
            field,
            "TEXT_HTML",
            format!(
                "{} an Zeichen {} ist nicht erlaubt; erlaubt: p, br, h1-h6, b, strong, i, em, sup, \
                 sub, ul, ol, li, a mit href (https oder mailto) (PVOG-Sammlerdienst)",
                Shown(tag.text),
                tag.at
            ),
        ),
        (Kind::Line, Markup::Known(_)) => {
            findings.error(field, "TEXT_HTML", "HTML ist in diesem Feld nicht erlaubt");
        }
        (Kind::Line, Markup::Foreign(tag)) => findings.error(
            field,
            "TEXT_HTML",
            format!(
                "{} an Zeichen {}: HTML ist in diesem Feld nicht erlaubt",
                Shown(tag.text),
                tag.at
            ),
        ),
    }
}

/// Checks that a text keeps to String.Latin, and so to NFC.
fn characters(findings: &mut Findings<'_>, text: &str, field: impl Field) {
    const SOURCE: &str = "String.Latin, DIN 91379";
    match latin::scan(text) {
        Latin::Fits => {}
        Latin::Extended(c) => findings.warning(
            field,
            "TEXT_EXTENDED",
            format!(
                "{c} (U+{:04X}) gehört zum erweiterten Zeichenvorrat; nicht jedes Portal nimmt es \
                 an ({SOURCE})",
                u32::from(c)
            ),
        ),
        Latin::Foreign(Foreign::Character(c), at) => findings.error(
            field,
            "TEXT_CHARACTER",
            format!("U+{:04X} an Zeichen {at} ist nicht erlaubt ({SOURCE})", u32::from(c)),
        ),
        Latin::Foreign(Foreign::Sequence { base, mark }, at) => {
            let base = base.map_or_else(
                || "am Anfang".to_owned(),
                |base| format!("hinter U+{:04X}", u32::from(base)),
            );
            findings.error(
                field,
                "TEXT_SEQUENCE",
                format!(
                    "U+{:04X} {base} an Zeichen {at} ist nicht erlaubt; Buchstaben mit Zeichen \
                     stehen als ein Zeichen (Unicode NFC; {SOURCE})",
                    u32::from(mark)
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(text: &str, kind: Kind) -> Vec<&'static str> {
        let mut findings = Findings::new("");
        content(&mut findings, text, 50, kind, "volltext");
        let errors = findings.finish().err().unwrap_or_default();
        errors.into_iter().map(|violation| violation.reason).collect()
    }

    #[test]
    fn long_texts_have_the_html_of_the_portals() {
        assert_eq!(reasons("<p>Text</p>\nZeile", Kind::Html), [""; 0]);
        assert_eq!(reasons("<p onclick=\"x\">", Kind::Html), ["TEXT_HTML"]);
        let mut findings = Findings::new("");
        content(&mut findings, "<p>Text", 50, Kind::Html, "volltext");
        let warnings = findings.finish().expect("no error");
        assert_eq!(warnings[0].reason, "TEXT_HTML_UNBALANCED");
    }

    #[test]
    fn characters_are_those_of_string_latin() {
        assert_eq!(reasons("Łódź – „Ǧ“", Kind::Line), [""; 0]);
        assert_eq!(reasons("北京", Kind::Line), ["TEXT_CHARACTER"]);
        assert_eq!(reasons("u\u{308}ber", Kind::Line), ["TEXT_SEQUENCE"]);
    }

    #[test]
    fn names_have_no_markup_and_one_line() {
        assert_eq!(reasons("<b>Name</b>", Kind::Line), ["TEXT_HTML"]);
        assert_eq!(reasons("<script>", Kind::Line), ["TEXT_HTML"]);
        assert_eq!(reasons("Name\nName", Kind::Line), ["TEXT_CONTROL"]);
        assert_eq!(reasons("Straße & Brücke < 3,5 t", Kind::Line), [""; 0]);
    }

    #[test]
    fn control_characters_are_refused() {
        for text in ["a\u{0}", "a\u{7f}", "a\u{85}", "a\u{202e}b", "a\u{1b}[1m"] {
            assert_eq!(reasons(text, Kind::Html), ["TEXT_CONTROL"], "{text:?}");
        }
    }

    #[test]
    fn length_counts_characters() {
        assert_eq!(reasons(&"ä".repeat(50), Kind::Line), [""; 0]);
        assert_eq!(reasons(&"ä".repeat(51), Kind::Line), ["TEXT_LENGTH"]);
    }
}
