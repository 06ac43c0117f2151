//! Pages for what cannot be shown. Each says what to do next.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use maud::{Markup, html};
use registry_core::reject::Reject;

use super::{
    links,
    page::{self, Area, Frame, Page},
};

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Refused {
    /// There is no such page or thing.
    NotFound,
    /// The address is longer than any of these pages needs.
    TooLong,
    /// The catalogue says no.
    Reject(Reject),
}

/// Seconds after which asking again may help.
const RETRY_SECONDS: u64 = 5;

// === impl Refused ===

impl Refused {
    /// The page in its frame.
    pub(super) fn answer(&self, frame: &Frame) -> Response {
        let status = self.status();
        let (title, text) = self.words();
        let page = Page {
            title: title.to_owned(),
            area: Area::None,
            above: Vec::new(),
            body: html! {
                h1.kern-heading-large { (title) }
                (text)
                p.quiet { "Fehler " (status.as_u16()) }
            },
        };
        let mut answer = page::answer(status, frame.around(&page));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        answer
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::Reject(Reject::NotFound { .. }) => StatusCode::NOT_FOUND,
            Self::TooLong => StatusCode::URI_TOO_LONG,
            Self::Reject(reject) => match reject {
                Reject::Invalid(_) | Reject::ResyncRequired { .. } => StatusCode::BAD_REQUEST,
                Reject::Denied { .. } => StatusCode::FORBIDDEN,
                Reject::Busy { .. }
                | Reject::Fenced { .. }
                | Reject::Unavailable { .. }
                | Reject::AckTimeout { .. } => StatusCode::SERVICE_UNAVAILABLE,
                Reject::Conflict { .. } | Reject::Precondition { .. } => StatusCode::CONFLICT,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn words(&self) -> (&'static str, Markup) {
        let catalogue = html! {
            p { a.kern-link href=(links::CATALOGUE) { "Im Katalog suchen" } }
        };
        let detail = match self {
            Self::Reject(reject @ Reject::Unavailable { .. }) => {
                html! { p.quiet { "Der Knoten sagt: " span lang="en" { (reject) } } }
            }
            _ => html! {},
        };
        match self.status() {
            StatusCode::NOT_FOUND => (
                "Das gibt es hier nicht",
                html! {
                    p {
                        "Unter dieser Adresse steht nichts. Vielleicht ist sie unvollständig, oder "
                        "dieser Knoten hat den Eintrag noch nicht erhalten."
                    }
                    (catalogue)
                },
            ),
            StatusCode::BAD_REQUEST | StatusCode::URI_TOO_LONG => (
                "Diese Adresse ist nicht zu verstehen",
                html! {
                    p { "Ein Teil der Adresse hat nicht die erwartete Form. Von hier geht es weiter:" }
                    (catalogue)
                },
            ),
            StatusCode::FORBIDDEN => (
                "Kein Leserecht",
                html! {
                    p {
                        "Das Zertifikat ist bekannt, hat an diesem Knoten aber keine Rolle. Der "
                        "Betrieb des Knotens kann sie vergeben."
                    }
                },
            ),
            StatusCode::SERVICE_UNAVAILABLE => (
                "Der Katalog ist gleich wieder da",
                html! {
                    p {
                        "Der Knoten baut seinen Katalog gerade auf oder hat zu viel zu tun. Bitte "
                        "die Seite in einigen Sekunden neu laden."
                    }
                    p { a.kern-link href=(links::VERBUND) { "Zustand des Verbunds ansehen" } }
                    (detail)
                },
            ),
            _ => (
                "Das hat nicht geklappt",
                html! {
                    p {
                        "Der Knoten konnte die Seite nicht zusammenstellen. Der Betrieb des Knotens "
                        "findet die Ursache in dessen Protokoll."
                    }
                    (catalogue)
                },
            ),
        }
    }
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self::Reject(reject)
    }
}
