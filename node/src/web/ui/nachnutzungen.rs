//! The page of all Nachnutzungen: reads them and lays them on the board.

use axum::http::StatusCode;
use maud::html;
use registry_core::{limits::PAGE_MAX, moves::nachnutzung::Side, reject::Reject};
use registry_proto::{
    terms::Date,
    wire::registry::{ListSubscriptionsRequest, Subscription, SubscriptionState as State},
};

use super::{
    Made,
    board::{Card, board},
    page::{Area, Page},
    words,
};
use crate::reads::Reads;

/// Nachnutzungen on the page; the rest is counted.
const CARDS_MAX: usize = 2_000;

pub(super) fn page(reads: &Reads) -> Made {
    let (cards, more) = cards(reads)?;
    let count = words::count(cards.len() as u64, "Nachnutzung", "Nachnutzungen");
    let body = html! {
        h1 { "Nachnutzungen" }
        p { (count) " im Verbund: wer welche Leistung eines anderen Landes verwendet." }
        @if more {
            p.note { "Es gibt mehr; die Schnittstelle für Programme liefert alle." }
        }
        (board(&cards))
    };
    let title = "Nachnutzungen".to_owned();
    Ok((StatusCode::OK, Page { title, area: Area::Nachnutzung, above: Vec::new(), body }))
}

fn cards(reads: &Reads) -> Result<(Vec<Card>, bool), Reject> {
    let mut cards = Vec::new();
    let mut page_token = String::new();
    loop {
        let ask = ListSubscriptionsRequest {
            page_size: PAGE_MAX,
            page_token,
            ..ListSubscriptionsRequest::default()
        };
        let answer = reads.list_subscriptions(&ask)?;
        cards.extend(answer.subscriptions.into_iter().map(card));
        page_token = answer.next_page_token;
        if page_token.is_empty() || cards.len() >= CARDS_MAX {
            return Ok((cards, !page_token.is_empty()));
        }
    }
}

fn card(it: Subscription) -> Card {
    let wartet_auf = waits_for(&it);
    let terms = it.terms.unwrap_or_default();
    Card {
        subscription_id: it.subscription_id,
        service_id: it.service_id,
        service_name: it.bezeichnung,
        publisher_land: it.publisher_land,
        subscriber_land: it.subscriber_land,
        zustand: it.zustand,
        version_requirement: terms.version_requirement,
        gebiete: terms.gebiete,
        auftraggeber: terms.auftraggeber.into_iter().map(|it| it.name).collect(),
        seit: it.moved_at.map(|at| iso_day(at.seconds)).unwrap_or_default(),
        grund: terms.grund,
        wartet_auf,
    }
}

/// Whose turn it is, in words.
fn waits_for(it: &Subscription) -> String {
    let side = match it.zustand() {
        State::Interesse | State::Abstimmung => Side::Publisher,
        State::Zugesagt | State::Vertrag => Side::Subscriber,
        _ if !it.owed.is_empty() => Side::Subscriber,
        _ => return String::new(),
    };
    match side {
        Side::Publisher => format!("wartet auf {}", words::land(&it.publisher_land)),
        Side::Subscriber => format!("wartet auf {}", words::land(&it.subscriber_land)),
    }
}

fn iso_day(unix_seconds: i64) -> String {
    Date::from_unix_ms(unix_seconds.saturating_mul(1_000)).to_string()
}
