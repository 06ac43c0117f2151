//! The frame of every page.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use maud::{DOCTYPE, Markup, html};
use registry_proto::wire::registry::{AsOf, GetStatusResponse, ReplicationState};

use super::{
    assets, links,
    parts::{Tone, badge},
    words,
};

/// What every page says about the node that answers.
#[derive(Clone, Debug)]
pub struct Frame {
    status: Arc<GetStatusResponse>,
}

/// Part of the face that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    Catalogue,
    Nachnutzung,
    Verbund,
    None,
}

/// A page before its frame is around it.
pub(super) struct Page {
    /// Title, most specific part first, without the name of the Verbund.
    pub(super) title: String,
    pub(super) area: Area,
    /// The way to the page: text and address of each page above it.
    pub(super) above: Vec<(String, String)>,
    /// Main part, with its `h1`.
    pub(super) body: Markup,
}

// === impl Frame ===

impl Frame {
    /// The frame of a node in this state.
    pub fn new(status: GetStatusResponse) -> Self {
        Self { status: Arc::new(status) }
    }

    /// The state.
    pub(super) fn status(&self) -> &GetStatusResponse {
        &self.status
    }

    /// Clock of the node, Unix seconds.
    pub(super) fn now(&self) -> i64 {
        self.status.now.as_ref().map_or(0, |it| it.seconds)
    }

    /// Puts a page into its frame.
    pub(super) fn around(&self, page: &Page) -> Markup {
        let verbund = &self.status.verbund_name;
        html! {
            (DOCTYPE)
            html lang="de" data-kern-theme="light" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (page.title) " – " (verbund) }
                    link rel="icon" type="image/svg+xml" href=(assets::address("icon.svg"));
                    link rel="stylesheet" href=(assets::address("kern.min.css"));
                    link rel="stylesheet" href=(assets::address("register.css"));
                }
                body {
                    a.skip.kern-link href=(links::MAIN) { "Zum Inhalt springen" }
                    (self.header(page.area))
                    (breadcrumbs(page))
                    main.wide #inhalt tabindex="-1" { (page.body) }
                    (self.footer())
                }
            }
        }
    }

    fn header(&self, area: Area) -> Markup {
        let entry = |of: Area, address: &str, text: &str| {
            html! {
                li {
                    a href=(address) aria-current=[(of == area).then_some("page")] { (text) }
                }
            }
        };
        html! {
            header.head {
                div.wide.head__row {
                    div.head__name {
                        a href=(links::CATALOGUE) { (self.status.verbund_name) }
                        @if self.status.test { (badge("Testverbund", Tone::Warning)) }
                    }
                    nav.head__nav aria-label="Hauptnavigation" {
                        ul {
                            (entry(Area::Catalogue, links::CATALOGUE, "Katalog"))
                            (entry(Area::Nachnutzung, links::NACHNUTZUNGEN, "Nachnutzung"))
                            (entry(Area::Verbund, links::VERBUND, "Verbund"))
                        }
                    }
                }
            }
        }
    }

    fn footer(&self) -> Markup {
        let status = &self.status;
        html! {
            footer.foot {
                @if !status.node.is_empty() { div.wide.foot__columns {
                    div {
                        h2.foot__title { "Dieser Knoten" }
                        p {
                            (status.node) br;
                            (words::land(&status.land)) ", Software " (status.software)
                        }
                        p { a.kern-link.kern-link--small href=(links::API) { "Schnittstelle für Programme" } }
                    }
                    div {
                        h2.foot__title { "Stand der Logs" }
                        (self.freshness())
                        p { a.kern-link.kern-link--small href=(links::VERBUND) { "Zustand des Verbunds" } }
                    }
                } }
            }
        }
    }

    /// The logs in a sentence: all as they should be, or which are not.
    fn freshness(&self) -> Markup {
        let all = &self.status.logs;
        // an epoch that ended is late no more once the next one is here
        let is_over = |log: &AsOf| {
            let next = |it: &AsOf| it.land == log.land && it.epoch > log.epoch;
            log.state == ReplicationState::Ended as i32 && all.iter().any(next)
        };
        let logs: Vec<_> = all.iter().filter(|it| !is_over(it)).collect();
        let late: Vec<_> =
            logs.iter().filter(|it| it.state != ReplicationState::Live as i32).collect();
        let oldest = logs.iter().filter_map(|it| it.fresh_at.as_ref()).map(|it| it.seconds).min();
        html! {
            @if late.is_empty() {
                p {
                    (words::count(logs.len() as u64, "Log ist", "Logs sind")) " aktuell"
                    @if let Some(oldest) = oldest {
                        ", zuletzt bestätigt vor höchstens " (words::span(self.now() - oldest))
                    }
                    "."
                }
            } @else {
                ul.foot__logs {
                    @for log in late {
                        li { (words::land(&log.land)) ": " (words::replication(log.state).0) }
                    }
                }
            }
        }
    }
}

fn breadcrumbs(page: &Page) -> Markup {
    html! {
        @if !page.above.is_empty() {
            nav.wide.crumbs aria-label="Brotkrümel" {
                ol {
                    @for (text, address) in &page.above {
                        li { a.kern-link.kern-link--small href=(address) { (text) } }
                    }
                    li { span aria-current="page" { (page.title) } }
                }
            }
        }
    }
}

/// A page as an answer.
pub(super) fn answer(status: StatusCode, markup: Markup) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, html)], markup.into_string()).into_response()
}
