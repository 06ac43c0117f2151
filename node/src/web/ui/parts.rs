//! Pieces that pages are made of.

use maud::{Markup, Render, html};
use registry_proto::wire::registry::{AsOf, Hinweis};

use super::{richtext, words};

/// How something is meant; shown by colour, always beside words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Neutral.
    Info,
    /// As it should be.
    Success,
    /// Somebody should look.
    Warning,
    /// Something is wrong.
    Danger,
}

// === impl Tone ===

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Danger => "danger",
        }
    }
}

/// A word in a frame.
pub(super) fn badge(text: &str, tone: Tone) -> Markup {
    html! {
        span class={ "kern-badge kern-badge--small kern-badge--" (tone.class()) } {
            span.kern-label { (text) }
        }
    }
}

/// A hint that stands out, with a title. Its level of heading is that of a section.
pub(super) fn alert(tone: Tone, title: &str, body: &Markup) -> Markup {
    html! {
        div class={ "kern-alert kern-alert--" (tone.class()) } {
            div.kern-alert__header { h2.kern-title { (title) } }
            div.kern-alert__body { (body) }
        }
    }
}

/// A section with its heading.
pub(super) fn section(id: &str, title: &str, body: &Markup) -> Markup {
    html! {
        section.section {
            h2.kern-heading-medium id=(id) { (title) }
            (body)
        }
    }
}

/// Names and values; pairs without a value are left out.
pub(super) fn pairs<'t>(pairs: impl IntoIterator<Item = (&'t str, Option<Markup>)>) -> Markup {
    let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
    html! {
        dl.kern-description-list {
            @for (name, value) in pairs {
                div.kern-description-list-item {
                    dt.kern-description-list-item__key { (name) }
                    dd.kern-description-list-item__value { (value) }
                }
            }
        }
    }
}

/// A value that may be missing.
pub(super) fn some(text: &str) -> Option<Markup> {
    (!text.is_empty()).then(|| text.render())
}

/// A list of values, one below the other; none when it is empty. What is beyond the first ones
/// opens on demand.
pub(super) fn list(values: &[Markup], more: &str) -> Option<Markup> {
    if values.is_empty() {
        return None;
    }
    let (first, rest) = values.split_at(values.len().min(LIST_SHOWN));
    Some(html! {
        ul.values { @for value in first { li { (value) } } }
        @if !rest.is_empty() {
            details.more {
                summary { (words::number(rest.len() as u64)) " " (more) }
                ul.values { @for value in rest { li { (value) } } }
            }
        }
    })
}

/// Values of a list that are seen at once; one more is not worth a click.
const LIST_SHOWN: usize = 12;

/// Words of a list in one line.
pub(super) fn inline(values: impl IntoIterator<Item = String>) -> Option<Markup> {
    let values: Vec<_> = values.into_iter().collect();
    some(&values.join(", "))
}

/// A link out of the Verbund; only the text if the address is not to be followed.
pub(super) fn outward(text: &str, address: &str) -> Markup {
    if address.starts_with("https://") && richtext::safe(address) {
        html! { a.kern-link href=(address) rel="noopener noreferrer external" { (text) } }
    } else {
        text.render()
    }
}

/// A table that scrolls by itself where it is too wide, also by keyboard.
pub(super) fn table(caption: &str, head: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.table-region role="region" aria-label=(caption) tabindex="0" {
            table.kern-table.kern-table--small {
                caption.kern-sr-only { (caption) }
                thead.kern-table__head {
                    tr.kern-table__row {
                        @for name in head { th.kern-table__header scope="col" { (name) } }
                    }
                }
                tbody.kern-table__body {
                    @for row in rows {
                        tr.kern-table__row {
                            @for (at, cell) in row.iter().enumerate() {
                                @if at == 0 {
                                    th.kern-table__header scope="row" { (cell) }
                                } @else {
                                    td.kern-table__cell { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What an answer about one Land rests on.
pub(super) fn as_of(as_of: Option<&AsOf>, now: i64) -> Markup {
    let Some(log) = as_of else {
        return html! { "Der Stand des Logs ist nicht bekannt." };
    };
    let (state, tone) = words::replication(log.state);
    html! {
        (badge(state, tone)) " "
        (words::count(log.folded, "Eintrag", "Einträge"))
        @if log.folded < log.size {
            " von " (words::number(log.size)) " ausgewertet"
        }
        @match &log.fresh_at {
            Some(at) => { ", vom Land bestätigt vor " (words::span(now - at.seconds)) },
            None => { ", vom Land noch nicht bestätigt" },
        }
        @if let Some(end) = log.ends_at {
            "; es gilt, was vor Eintrag " (words::number(end)) " steht, Neues kommt nicht hinzu"
        }
        @if let Some(from) = log.disputed_from {
            "; das Land hat zwei Fassungen signiert, Einträge ab " (words::number(from)) " sind strittig"
        }
    }
}

/// What the node of the owner found when it signed a record; nothing if it found nothing.
pub(super) fn findings(of: &[Hinweis]) -> Markup {
    let lines: Vec<_> = of
        .iter()
        .map(|it| {
            html! {
                @if !it.field.is_empty() { code { (it.field) } ": " }
                (it.description)
            }
        })
        .collect();
    html! {
        @if let Some(lines) = list(&lines, "weitere Hinweise") {
            (section("hinweise", "Hinweise bei der Veröffentlichung", &lines))
        }
    }
}

/// What a record says that is invented.
pub(super) fn demonstration(fields: &[String]) -> Markup {
    html! {
        @if !fields.is_empty() {
            aside.note aria-label="Hinweis zu den Angaben" {
                p {
                    strong { "Zur Demonstration erfunden: " }
                    @for (at, field) in fields.iter().enumerate() {
                        @if at > 0 { ", " }
                        (words::field(field))
                    }
                    "."
                }
            }
        }
    }
}
