//! The HTML that the portals allow in texts (PVOG-Sammlerdienst): p, br, h1 to h6, b, strong, i,
//! em, sup, sub, ul, ol, li, and a with an https or mailto address. A strict reader of that grammar
//! alone: whatever a browser could take for other markup is refused.

use crate::validate::form;

/// What a text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Markup<'t> {
    /// No tag.
    None,
    /// Only allowed tags; the first one that is not closed or closes nothing.
    Known(Option<Tag<'t>>),
    /// The first other tag.
    Foreign(Tag<'t>),
}

/// A tag as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag<'t> {
    /// From `<` to `>`, or to the end of the text.
    pub(super) text: &'t str,
    /// Place of its first character, from 1.
    pub(super) at: usize,
}

/// One allowed tag.
enum Allowed {
    Open(&'static str),
    Close(&'static str),
    /// Needs no end: `<br>`.
    Alone,
}

/// Looks at every `<` that a browser could take for the begin of a tag.
pub(super) fn scan(text: &str) -> Markup<'_> {
    let mut open: Vec<(&'static str, usize, &str)> = Vec::new();
    let mut unbalanced = None;
    let mut any = false;
    let mut at = 0;
    while let Some(begin) = text.get(at..).and_then(|rest| rest.find('<')) {
        let begin = at + begin;
        at = begin + 1;
        let inner = text.get(at..).unwrap_or_default();
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
            continue;
        }
        let rest = text.get(begin..).unwrap_or_default();
        let tag = rest.find('>').and_then(|end| rest.get(..=end));
        let Some((tag, allowed)) = tag.and_then(|tag| Some((tag, allowed(tag)?))) else {
            return Markup::Foreign(Tag::of(text, begin, tag.unwrap_or(rest)));
        };
        any = true;
        at = begin + tag.len();
        match allowed {
            Allowed::Alone => {}
            Allowed::Open(name) => open.push((name, begin, tag)),
            Allowed::Close(name) => match open.pop() {
                Some((opened, ..)) if opened == name => {}
                Some((_, begin, opened)) => {
                    unbalanced.get_or_insert_with(|| Tag::of(text, begin, opened));
                }
                None => {
                    unbalanced.get_or_insert_with(|| Tag::of(text, begin, tag));
                }
            },
        }
    }
    if let Some((_, begin, tag)) = open.first() {
        unbalanced.get_or_insert_with(|| Tag::of(text, *begin, tag));
    }
    if any { Markup::Known(unbalanced) } else { Markup::None }
}

// === impl Tag ===

impl<'t> Tag<'t> {
    fn of(text: &str, begin: usize, tag: &'t str) -> Self {
        let before = text.get(..begin).unwrap_or_default();
        Self { text: tag, at: before.chars().count() + 1 }
    }
}

/// `<name>`, `</name>`, `<name/>` of the allowed names, and `<a href="…">` with a safe address.
fn allowed(tag: &str) -> Option<Allowed> {
    let inner = tag.strip_prefix('<')?.strip_suffix('>')?;
    if let Some(name) = inner.strip_prefix('/') {
        return known(name.trim_end()).map(Allowed::Close);
    }
    let (inner, closed) = match inner.strip_suffix('/') {
        Some(inner) => (inner.trim_end(), true),
        None => (inner, false),
    };
    let (name, attributes) = match inner.split_once(|c: char| c.is_ascii_whitespace()) {
        Some((name, attributes)) => (name, attributes.trim()),
        None => (inner, ""),
    };
    let name = known(name)?;
    if !attributes.is_empty() {
        let target = attributes.strip_prefix("href=\"")?.strip_suffix('"')?;
        if name != "a" || target.contains('"') || !safe_target(target) {
            return None;
        }
    }
    Some(if closed || name == "br" { Allowed::Alone } else { Allowed::Open(name) })
}

fn known(name: &str) -> Option<&'static str> {
    TAGS.into_iter().find(|known| known.eq_ignore_ascii_case(name))
}

fn safe_target(target: &str) -> bool {
    let mail = |address: &str| {
        form::token(address, 254)
            && address.contains('@')
            && !address.contains(['<', '>', '\'', '&', '\\'])
    };
    form::https_url(target) || target.strip_prefix("mailto:").is_some_and(mail)
}

const TAGS: [&str; 18] = [
    "a", "b", "br", "em", "h1", "h2", "h3", "h4", "h5", "h6", "i", "li", "ol", "p", "strong",
    "sub", "sup", "ul",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_the_portals_are_known() {
        for text in [
            "<p>Text</p>",
            "<UL><LI>eins</LI></UL>",
            "Zeile<br/>Zeile<br />Zeile<br>",
            "<a href=\"https://sl.example/x?a=b&c=d\">mehr</a>",
            "<a href=\"mailto:post@sl.example\">Post</a>",
            "<h1>1</h1><h6>6</h6><p>a < b und c > d</p>",
        ] {
            assert_eq!(scan(text), Markup::Known(None), "{text}");
        }
        for text in ["", "a < b und c > d", "1<2", "<", "a<"] {
            assert_eq!(scan(text), Markup::None, "{text}");
        }
    }

    #[test]
    fn other_tags_are_named_with_their_place() {
        for (text, tag, at) in [
            ("<script>alert(1)</script>", "<script>", 1),
            ("ä<p onclick=\"x\">", "<p onclick=\"x\">", 2),
            ("<a href=\"javascript:x\">", "<a href=\"javascript:x\">", 1),
            ("<a href=\"http://a.example\">", "<a href=\"http://a.example\">", 1),
            (
                "<a href=\"https://a.example\" style=\"\">",
                "<a href=\"https://a.example\" style=\"\">",
                1,
            ),
            ("<a href='https://a.example'>", "<a href='https://a.example'>", 1),
            ("<p></p><!-- -->", "<!-- -->", 8),
            ("<?php", "<?php", 1),
            ("a<b", "<b", 2),
            ("<p></p><img src=x>", "<img src=x>", 8),
            ("<p/ onclick=x>", "<p/ onclick=x>", 1),
            ("</script>", "</script>", 1),
            ("<b href=\"https://a.example\">", "<b href=\"https://a.example\">", 1),
        ] {
            assert_eq!(scan(text), Markup::Foreign(Tag { text: tag, at }), "{text}");
        }
    }

    #[test]
    fn what_is_not_closed_is_named() {
        for (text, tag, at) in [
            ("<p>Text", "<p>", 1),
            ("Text</p>", "</p>", 5),
            ("<p><b>Text</p></b>", "<b>", 4),
            ("<ul><li>eins</ul>", "<li>", 5),
        ] {
            assert_eq!(scan(text), Markup::Known(Some(Tag { text: tag, at })), "{text}");
        }
    }
}
