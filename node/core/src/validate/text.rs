//! Texts: lengths, characters, languages, and the HTML that the portals allow.

use std::collections::BTreeSet;

use registry_proto::wire::registry::LocalizedText;

use crate::{
    limits::RECORD_LIST_MAX,
    validate::{
        findings::{Findings, Shown},
        form,
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
pub(super) fn required(findings: &mut Findings<'_>, text: &str, max: usize, field: &str) {
    if text.trim().is_empty() {
        findings.error(field, "TEXT_MISSING", "Angabe fehlt (Pflichtfeld)");
        return;
    }
    content(findings, text, max, Kind::Line, field);
}

/// Checks a text that may be empty.
pub(super) fn optional(findings: &mut Findings<'_>, text: &str, max: usize, field: &str) {
    if !text.is_empty() {
        content(findings, text, max, Kind::Line, field);
    }
}

/// Checks an https address that may be empty.
pub(super) fn optional_url(findings: &mut Findings<'_>, url: &str, field: &str) {
    if !url.is_empty() {
        required_url(findings, url, field);
    }
}

/// Checks an https address that must be there.
pub(super) fn required_url(findings: &mut Findings<'_>, url: &str, field: &str) {
    findings.require(form::https_url(url), field, "URL_FORM", || {
        format!("{} ist keine https-Adresse (https://rechnername/pfad, ASCII)", Shown(url))
    });
}

/// Checks a language code.
pub(super) fn language(findings: &mut Findings<'_>, code: &str, field: &str) {
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
        let path = format!("{field}[{n}]");
        language(findings, &entry.language_code, &format!("{path}.language_code"));
        findings.require(seen.insert(&entry.language_code), &path, "LANGUAGE_DUPLICATE", || {
            format!(
                "Sprache {} kommt mehrfach vor; je Sprache ein Text",
                Shown(&entry.language_code)
            )
        });
        let text_path = format!("{path}.text");
        if entry.text.trim().is_empty() {
            findings.error(text_path, "TEXT_MISSING", "Angabe fehlt (Pflichtfeld)");
        } else {
            content(findings, &entry.text, max, kind, &text_path);
        }
    }
}

/// True for characters that turn the direction of writing: text could show otherwise than it is.
pub(super) fn is_direction_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn content(findings: &mut Findings<'_>, text: &str, max: usize, kind: Kind, field: &str) {
    let chars = text.chars().count();
    findings.require(chars <= max, field, "TEXT_LENGTH", || {
        format!("Text hat {chars} Zeichen, erlaubt sind höchstens {max}")
    });
    let breaks = |c| kind == Kind::Html && matches!(c, '\n' | '\r' | '\t');
    let bad = text.chars().find(|c| (c.is_control() && !breaks(*c)) || is_direction_control(*c));
    if let Some(bad) = bad {
        findings.error(
            field,
            "TEXT_CONTROL",
            format!("Steuerzeichen U+{:04X} ist nicht erlaubt (String.Latin)", u32::from(bad)),
        );
    }
    match (kind, foreign_markup(text)) {
        (_, None) => {}
        (Kind::Html, Some(Markup::Foreign(tag))) => findings.error(
            field,
            "TEXT_HTML",
            format!(
                "{} ist nicht erlaubt; erlaubt: p, br, h1-h6, b, strong, i, em, sup, sub, ul, ol, \
                 li, a mit href (PVOG-Sammlerdienst)",
                Shown(tag)
            ),
        ),
        (Kind::Html, Some(Markup::Known)) => {}
        (Kind::Line, Some(Markup::Known)) => {
            findings.error(field, "TEXT_HTML", "HTML ist in diesem Feld nicht erlaubt");
        }
        (Kind::Line, Some(Markup::Foreign(tag))) => findings.error(
            field,
            "TEXT_HTML",
            format!("{} : HTML ist in diesem Feld nicht erlaubt", Shown(tag)),
        ),
    }
}

enum Markup<'t> {
    /// Only tags that the portals allow.
    Known,
    /// The first other tag.
    Foreign(&'t str),
}

/// Looks at every `<` that a browser could take for the begin of a tag. `None` when there is none.
fn foreign_markup(text: &str) -> Option<Markup<'_>> {
    let mut found = None;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let tail = rest.get(at..)?;
        let inner = tail.get(1..)?;
        rest = inner;
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
            continue;
        }
        let Some(end) = tail.find('>') else { return Some(Markup::Foreign(tail)) };
        let tag = tail.get(..=end)?;
        if !allowed_tag(tag) {
            return Some(Markup::Foreign(tag));
        }
        found = Some(Markup::Known);
        rest = tail.get(end + 1..)?;
    }
    found
}

/// `<name>`, `</name>`, `<name/>` of the allowed names, and `<a href="…">` with a safe address.
fn allowed_tag(tag: &str) -> bool {
    let Some(inner) = tag.strip_prefix('<').and_then(|tag| tag.strip_suffix('>')) else {
        return false;
    };
    if let Some(name) = inner.strip_prefix('/') {
        return TAGS.contains(&name.trim_end().to_ascii_lowercase().as_str());
    }
    let inner = inner.strip_suffix('/').unwrap_or(inner).trim_end();
    let (name, attributes) = match inner.split_once(|c: char| c.is_ascii_whitespace()) {
        Some((name, attributes)) => (name, attributes.trim()),
        None => (inner, ""),
    };
    let name = name.to_ascii_lowercase();
    if attributes.is_empty() {
        return TAGS.contains(&name.as_str());
    }
    let target = attributes
        .strip_prefix("href=\"")
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|target| !target.contains('"'));
    name == "a" && target.is_some_and(safe_target)
}

fn safe_target(target: &str) -> bool {
    let mail = |address: &str| {
        form::token(address, 254)
            && address.contains('@')
            && !address.contains(['<', '>', '\'', '&', '\\'])
    };
    let https = match target.strip_prefix("http://") {
        Some(rest) => form::https_url(&format!("https://{rest}")),
        None => form::https_url(target),
    };
    https || target.strip_prefix("mailto:").is_some_and(mail)
}

const TAGS: [&str; 18] = [
    "a", "b", "br", "em", "h1", "h2", "h3", "h4", "h5", "h6", "i", "li", "ol", "p", "strong",
    "sub", "sup", "ul",
];

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
    fn html_of_the_portals_is_allowed_in_long_texts() {
        for text in [
            "a < b und c > d",
            "1<2",
            "<p>Text</p>",
            "<UL><LI>eins</LI></UL>",
            "Zeile<br/>Zeile<br />",
            "<a href=\"https://sl.example/x\">mehr</a>",
            "<a href=\"mailto:post@sl.example\">Post</a>",
            "Zeile\nZeile",
        ] {
            assert_eq!(reasons(text, Kind::Html), [""; 0], "{text}");
        }
    }

    #[test]
    fn other_html_is_refused() {
        for text in [
            "<script>alert(1)</script>",
            "<p onclick=\"x\">",
            "<a href=\"javascript:x\">",
            "<a href=\"https://a.example\" style=\"\">",
            "<!-- -->",
            "<?php",
            "<b",
            "<p></p><img src=x>",
            "<p/ onclick=x>",
            "</script>",
        ] {
            assert_eq!(reasons(text, Kind::Html), ["TEXT_HTML"], "{text}");
        }
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
