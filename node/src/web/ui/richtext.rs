//! Texts of records that may hold the markup of the portals.
//!
//! Nothing of a record reaches the page as it is: the text is read token by token, and what comes
//! out is written anew from a closed list of elements, always balanced, headings below those of
//! the page. Everything else is text and is escaped.

use std::fmt::Write;

use maud::{Escaper, Markup, PreEscaped};

/// Elements inside of each other; what is nested deeper is shown without its element.
const DEPTH_MAX: usize = 16;
/// Level of the first heading of a text: below the headings of the page's sections.
const FIRST_HEADING: u8 = 3;

/// An element that a text may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Paragraph,
    Heading(u8),
    List { ordered: bool },
    Item,
    Link,
    Inline(&'static str),
}

enum Token<'t> {
    Text(&'t str),
    Open { element: Element, href: Option<&'t str> },
    Close(Element),
    Break,
}

/// Writes a text anew.
struct Writer {
    html: String,
    open: Vec<Element>,
    /// Level of the last heading in the text and in the page.
    heading: u8,
}

/// Shows a text with the markup that is allowed; a text without any keeps its paragraphs.
pub(super) fn render(text: &str) -> Markup {
    let mut writer = Writer { html: String::new(), open: Vec::new(), heading: FIRST_HEADING - 1 };
    let plain = !text.contains('<');
    let mut rest = text;
    while !rest.is_empty() {
        let (token, after) = next(rest);
        match token {
            Token::Text(text) if plain => writer.paragraphs(text),
            Token::Text(text) => writer.text(text),
            Token::Open { element, href } => writer.begin(element, href),
            Token::Close(element) => writer.end(element),
            Token::Break => writer.line_break(),
        }
        rest = after;
    }
    writer.close_to(0);
    PreEscaped(writer.html)
}

fn next(text: &str) -> (Token<'_>, &str) {
    if let Some(found) = tag(text) {
        return found;
    }
    // the first character is text even if it is a `<`
    let first = text.chars().next().map_or(0, char::len_utf8);
    let end = text[first..].find('<').map_or(text.len(), |at| first + at);
    (Token::Text(&text[..end]), &text[end..])
}

/// The allowed tag at the begin of a text.
fn tag(text: &str) -> Option<(Token<'_>, &str)> {
    let inner = text.strip_prefix('<')?;
    let (inner, after) = inner.split_once('>')?;
    let (inner, closes) = match inner.strip_prefix('/') {
        Some(name) => (name, true),
        None => (inner.strip_suffix('/').unwrap_or(inner), false),
    };
    let name_end = inner.find(|c: char| c.is_ascii_whitespace()).unwrap_or(inner.len());
    let (name, attributes) = inner.split_at(name_end);
    let attributes = attributes.trim();
    if name.eq_ignore_ascii_case("br") && attributes.is_empty() {
        return Some((Token::Break, after));
    }
    let element = element(name)?;
    if closes {
        return attributes.is_empty().then_some((Token::Close(element), after));
    }
    let href = match element {
        Element::Link => attributes.strip_prefix("href=").and_then(quoted).filter(|it| safe(it)),
        _ => None,
    };
    let known = attributes.is_empty() || element == Element::Link;
    known.then_some((Token::Open { element, href }, after))
}

fn element(name: &str) -> Option<Element> {
    Some(match name.to_ascii_lowercase().as_str() {
        "p" => Element::Paragraph,
        "h1" => Element::Heading(1),
        "h2" => Element::Heading(2),
        "h3" => Element::Heading(3),
        "h4" => Element::Heading(4),
        "h5" => Element::Heading(5),
        "h6" => Element::Heading(6),
        "ul" => Element::List { ordered: false },
        "ol" => Element::List { ordered: true },
        "li" => Element::Item,
        "a" => Element::Link,
        "b" | "strong" => Element::Inline("strong"),
        "i" | "em" => Element::Inline("em"),
        "sup" => Element::Inline("sup"),
        "sub" => Element::Inline("sub"),
        _ => return None,
    })
}

fn quoted(text: &str) -> Option<&str> {
    let of = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    of('"').or_else(|| of('\''))
}

/// Whether an address may be linked: https or mail, and nothing a browser could read otherwise.
pub(super) fn safe(address: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '<' | '>' | '\\' | '`');
    let https = address.strip_prefix("https://").is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric()) && !authority(rest).contains('@')
    });
    let mail = address.strip_prefix("mailto:").is_some_and(|rest| rest.contains('@'));
    (https || mail) && address.chars().all(plain)
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

// === impl Element ===

impl Element {
    /// Begins on a line of its own.
    fn is_block(self) -> bool {
        !matches!(self, Self::Link | Self::Inline(_))
    }

    fn closes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Heading(_), Self::Heading(_)) | (Self::List { .. }, Self::List { .. }) => true,
            (one, other) => one == other,
        }
    }
}

// === impl Writer ===

impl Writer {
    fn paragraphs(&mut self, text: &str) {
        for paragraph in text.replace("\r\n", "\n").split("\n\n") {
            if !paragraph.trim().is_empty() {
                self.begin(Element::Paragraph, None);
                self.text(paragraph.trim());
                self.close_to(0);
            }
        }
    }

    fn text(&mut self, text: &str) {
        if text.trim().is_empty() {
            self.html.push_str(if text.is_empty() { "" } else { " " });
            return;
        }
        self.flow();
        let text = decoded(text);
        // writing into a string does not fail
        let _ = Escaper::new(&mut self.html).write_str(&text);
    }

    fn line_break(&mut self) {
        self.flow();
        self.html.push_str("<br>");
    }

    fn begin(&mut self, element: Element, href: Option<&str>) {
        if self.open.len() >= DEPTH_MAX {
            return;
        }
        match element {
            Element::Item => {
                let Some(list) = self.innermost_list() else { return };
                self.close_to(list + 1);
            }
            Element::List { .. } => self.leave_text(),
            Element::Paragraph | Element::Heading(_) => {
                self.leave_text();
                self.in_item();
            }
            Element::Link => {
                if let Some(at) = self.open.iter().position(|it| *it == Element::Link) {
                    self.close_to(at);
                }
                self.flow();
            }
            Element::Inline(_) => self.flow(),
        }
        if matches!(element, Element::List { .. }) {
            self.in_item();
        }
        match (element, href) {
            // an address that is not to be followed leaves its text
            (Element::Link, None) => {}
            (Element::Link, Some(href)) => {
                self.html.push_str("<a rel=\"noopener noreferrer\" href=\"");
                let _ = Escaper::new(&mut self.html).write_str(href);
                self.html.push_str("\">");
                self.open.push(element);
            }
            (Element::Heading(level), _) => {
                let level = (level + FIRST_HEADING - 1).min(self.heading + 1).min(6);
                self.heading = level;
                self.push(Element::Heading(level));
            }
            _ => self.push(element),
        }
    }

    fn end(&mut self, element: Element) {
        if let Some(at) = self.open.iter().rposition(|it| element.closes(*it)) {
            self.close_to(at);
        }
    }

    /// Text needs a place: not directly in a list, and not outside of everything.
    fn flow(&mut self) {
        self.in_item();
        if self.open.is_empty() {
            self.push(Element::Paragraph);
        }
    }

    /// Nothing but items stands in a list.
    fn in_item(&mut self) {
        if matches!(self.open.last(), Some(Element::List { .. })) {
            self.push(Element::Item);
        }
    }

    /// Ends paragraphs, headings and what is open in them.
    fn leave_text(&mut self) {
        let text = |it: &Element| matches!(it, Element::Paragraph | Element::Heading(_));
        let at = self.open.iter().position(|it| text(it) || !it.is_block());
        if let Some(at) = at {
            self.close_to(at);
        }
    }

    fn innermost_list(&self) -> Option<usize> {
        self.open.iter().rposition(|it| matches!(it, Element::List { .. }))
    }

    fn push(&mut self, element: Element) {
        let _ = write!(self.html, "<{}>", Name(element));
        self.open.push(element);
    }

    fn close_to(&mut self, depth: usize) {
        while self.open.len() > depth {
            if let Some(element) = self.open.pop() {
                let _ = write!(self.html, "</{}>", Name(element));
            }
        }
    }
}

struct Name(Element);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Element::Paragraph => f.write_str("p"),
            Element::Heading(level) => write!(f, "h{level}"),
            Element::List { ordered: true } => f.write_str("ol"),
            Element::List { ordered: false } => f.write_str("ul"),
            Element::Item => f.write_str("li"),
            Element::Link => f.write_str("a"),
            Element::Inline(name) => f.write_str(name),
        }
    }
}

/// Replaces the entities that stand for one character; others stay as they are.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let end = tail.bytes().take(ENTITY_BYTES_MAX).position(|it| it == b';');
        match end.and_then(|end| Some((entity(&tail[..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &tail[end + 1..];
            }
            None => {
                out.push('&');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    let number = |digits: &str, radix| {
        let code = u32::from_str_radix(digits, radix).ok()?;
        char::from_u32(code).filter(|it| !it.is_control())
    };
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some('\u{a0}'),
        "shy" => Some('\u{ad}'),
        "ndash" => Some('–'),
        "euro" => Some('€'),
        "sect" => Some('§'),
        "auml" => Some('ä'),
        "ouml" => Some('ö'),
        "uuml" => Some('ü'),
        "Auml" => Some('Ä'),
        "Ouml" => Some('Ö'),
        "Uuml" => Some('Ü'),
        "szlig" => Some('ß'),
        _ => match name.strip_prefix('#')? {
            hexadecimal if hexadecimal.starts_with(['x', 'X']) => number(&hexadecimal[1..], 16),
            decimal => number(decimal, 10),
        },
    }
}

/// Bytes of an entity after its `&`.
const ENTITY_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(render(text).into_string(), expected, "{text}");
    }

    #[test]
    fn allowed_elements_are_written_anew() {
        check("<P>a<br/>b</P>", "<p>a<br>b</p>");
        check("<b>a</b> <i>b</i>", "<p><strong>a</strong> <em>b</em></p>");
        check("x<sup>2</sup>", "<p>x<sup>2</sup></p>");
        check("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>");
        check("<ol>a</ol>", "<ol><li>a</li></ol>");
        check(
            "<a href=\"https://a.example/?x=1\">a</a>",
            "<p><a rel=\"noopener noreferrer\" href=\"https://a.example/?x=1\">a</a></p>",
        );
    }

    #[test]
    fn a_text_without_markup_keeps_its_paragraphs() {
        check("eins\nzwei\r\n\r\ndrei", "<p>eins\nzwei</p><p>drei</p>");
        check("", "");
    }

    #[test]
    fn everything_else_is_text() {
        check("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>");
        check("<p onclick=\"x\">a", "<p>&lt;p onclick=&quot;x&quot;&gt;a</p>");
        check("<img src=x onerror=y>", "<p>&lt;img src=x onerror=y&gt;</p>");
        check("1 < 2 & 3", "<p>1 &lt; 2 &amp; 3</p>");
        check("<!-- a -->", "<p>&lt;!-- a --&gt;</p>");
        check("<b", "<p>&lt;b</p>");
        check(
            "&lt;script&gt; &uuml; &#167; &#0; &foo;",
            "<p>&lt;script&gt; ü § &amp;#0; &amp;foo;</p>",
        );
    }

    #[test]
    fn addresses_that_are_not_safe_leave_their_text() {
        for address in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "http://a.example/",
            "//a.example",
            "/verbund",
            "data:text/html,x",
            "https://a@b.example/",
            "https://a.example/\\x",
            "https:///x",
            "mailto:nobody",
        ] {
            check(&format!("<a href=\"{address}\">x</a>"), "<p>x</p>");
        }
        check("<a href='https://a.example/\" onclick=\"x'>x</a>", "<p>x</p>");
    }

    #[test]
    fn elements_are_balanced_however_they_come() {
        check("</p>a</b>", "<p>a</p>");
        check("<p>a<p>b", "<p>a</p><p>b</p>");
        check("<b>a<p>b</p>", "<p><strong>a</strong></p><p>b</p>");
        check("<li>a</li>", "<p>a</p>");
        check("<ul><ul>a</ul></ul>", "<ul><li><ul><li>a</li></ul></li></ul>");
        check("<p><b>a</p></b>b", "<p><strong>a</strong></p><p>b</p>");
        check(
            "<a href=\"https://a.de\"><a href=\"https://b.de\">x",
            &format!(
                "<p><a {r} href=\"https://a.de\"></a><a {r} href=\"https://b.de\">x</a></p>",
                r = "rel=\"noopener noreferrer\"",
            ),
        );
    }

    #[test]
    fn headings_stay_below_those_of_the_page_and_skip_no_level() {
        check("<h1>a</h1><h2>b</h2>", "<h3>a</h3><h4>b</h4>");
        check("<h4>a</h4><h6>b</h6><h1>c</h1>", "<h3>a</h3><h4>b</h4><h3>c</h3>");
    }

    #[test]
    fn depth_is_bounded() {
        let html = render(&"<ul><li>".repeat(1_000)).into_string();
        assert!(html.len() < 500, "{}", html.len());
    }

    /// Tags of the output in their order.
    fn tags(html: &str) -> Vec<String> {
        html.split('<').skip(1).map(|it| it.split('>').next().unwrap().to_owned()).collect()
    }

    proptest! {
        #[test]
        fn the_output_has_only_known_balanced_elements(
            parts in prop::collection::vec(prop_oneof![
                "[a-z<>\"'&/ =;#]{0,8}",
                prop::sample::select(vec![
                    "<p>", "</p>", "<b>", "</b>", "<ul>", "</ul>", "<li>", "</li>", "<ol>", "</ol>",
                    "<h1>", "<h5>", "</h3>", "<a href=\"https://a.de\">", "</a>", "<br>", "<script>",
                    "<a href=\"javascript:x\">", "&lt;", "<em>", "</i>",
                ]).prop_map(str::to_owned),
            ], 0..40),
        ) {
            let html = render(&parts.concat()).into_string();
            let mut open: Vec<String> = Vec::new();
            for tag in tags(&html) {
                if let Some(name) = tag.strip_prefix('/') {
                    let last = open.pop();
                    prop_assert_eq!(last.as_deref(), Some(name), "{}", html);
                } else if tag != "br" {
                    let name = tag.split(' ').next().unwrap_or_default().to_owned();
                    prop_assert!(element(&name).is_some(), "{}", html);
                    let link = "a rel=\"noopener noreferrer\" href=\"https://";
                    prop_assert!(tag == name || tag.starts_with(link), "{}", html);
                    prop_assert!(name != "li" || open.last().is_some_and(|it| it.ends_with('l')));
                    prop_assert!(name != "p" || !open.contains(&name), "{}", html);
                    open.push(name);
                }
            }
            prop_assert!(open.is_empty(), "{}", html);
        }
    }
}
