//! The board of Nachnutzungen: one column per state, one card per Nachnutzung.

use maud::{Markup, html};
use registry_proto::wire::registry::SubscriptionState;

use super::{
    links,
    parts::{Tone, badge, inline, pairs, some},
    words,
};

/// A Nachnutzung on the board.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// UUID of the Nachnutzung.
    pub subscription_id: String,
    /// UUID of the service.
    pub service_id: String,
    /// Name of the service.
    pub service_name: String,
    /// Code of the Land that offers it.
    pub publisher_land: String,
    /// Code of the Land that re-uses it.
    pub subscriber_land: String,
    /// Where it stands; a value of `SubscriptionState`.
    pub zustand: i32,
    /// Version requirement.
    pub version_requirement: String,
    /// ARS of the areas.
    pub gebiete: Vec<String>,
    /// On whose behalf.
    pub auftraggeber: Vec<String>,
    /// Day of the last move (YYYY-MM-DD).
    pub seit: String,
    /// Why it was declined or ended.
    pub grund: String,
    /// Moves that wait for this Land, in words; empty when nothing waits.
    pub wartet_auf: String,
}

/// A column of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    id: &'static str,
    title: &'static str,
    states: &'static [SubscriptionState],
}

use SubscriptionState::{Abgelehnt, Abstimmung, Beendet, Interesse, Produktiv, Vertrag, Zugesagt};

const COLUMNS: [Column; 6] = [
    Column { id: "interesse", title: "Interesse", states: &[Interesse] },
    Column { id: "abstimmung", title: "Abstimmung", states: &[Abstimmung] },
    Column { id: "zugesagt", title: "Zugesagt", states: &[Zugesagt] },
    Column { id: "vertrag", title: "Vertrag", states: &[Vertrag] },
    Column { id: "produktiv", title: "Produktiv", states: &[Produktiv] },
    Column { id: "beendet", title: "Beendet oder abgelehnt", states: &[Beendet, Abgelehnt] },
];

/// The board. Cards of a state that is not known here stand in no column and are counted below.
pub fn board(cards: &[Card]) -> Markup {
    let of = |column: &Column| -> Vec<&Card> {
        let states = column.states;
        cards.iter().filter(|it| states.iter().any(|state| *state as i32 == it.zustand)).collect()
    };
    let shown: usize = COLUMNS.iter().map(|it| of(it).len()).sum();
    html! {
        div.board-region role="region" aria-label="Nachnutzungen nach Zustand" tabindex="0" {
            div.board {
                @for column in &COLUMNS {
                    @let cards = of(column);
                    section.board__column aria-labelledby={ "spalte-" (column.id) } {
                        h2.board__title id={ "spalte-" (column.id) } {
                            (column.title) " "
                            span.quiet { (words::number(cards.len() as u64)) }
                        }
                        @if !cards.is_empty() {
                            ul.board__cards { @for card in cards { li.card { (show(card)) } } }
                        }
                    }
                }
            }
        }
        @if shown < cards.len() {
            p.note {
                (words::count((cards.len() - shown) as u64, "Nachnutzung hat", "Nachnutzungen haben"))
                " einen Zustand, den dieser Knoten nicht kennt."
            }
        }
    }
}

fn show(card: &Card) -> Markup {
    html! {
        h3.board__name {
            a.kern-link href=(links::service(&card.publisher_land, &card.service_id)) {
                (card.service_name)
            }
        }
        p.board__way {
            (words::land(&card.publisher_land)) " "
            span aria-hidden="true" { "→" } span.kern-sr-only { "an" } " "
            (words::land(&card.subscriber_land))
        }
        @if card.zustand == Abgelehnt as i32 { p { (badge("abgelehnt", Tone::Danger)) } }
        @if !card.wartet_auf.is_empty() { p { (badge(&card.wartet_auf, Tone::Warning)) } }
        (pairs([
            ("Version", some(&card.version_requirement)),
            ("Gebiet", inline(card.gebiete.iter().map(|it| words::area(it)))),
            ("Für", inline(card.auftraggeber.iter().cloned())),
            ("Seit", some(&words::day(&card.seit))),
            ("Grund", some(&card.grund)),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(zustand: SubscriptionState, name: &str) -> Card {
        Card {
            service_name: name.to_owned(),
            publisher_land: "SL".to_owned(),
            subscriber_land: "RP".to_owned(),
            zustand: zustand as i32,
            ..Card::default()
        }
    }

    #[test]
    fn every_state_has_its_column_and_texts_are_escaped() {
        let all = [Interesse, Abstimmung, Zugesagt, Vertrag, Produktiv, Beendet, Abgelehnt];
        let cards: Vec<_> = all.into_iter().map(|it| card(it, "<b>x</b>")).collect();
        let html = board(&cards).into_string();
        assert_eq!(html.matches("class=\"card\"").count(), all.len());
        assert!(!html.contains("<b>") && html.contains("&lt;b&gt;"));
        assert!(!html.contains("nicht kennt"));
    }

    #[test]
    fn states_that_are_not_known_are_counted() {
        let html = board(&[Card { zustand: 99, ..Card::default() }]).into_string();
        assert!(html.contains("1 Nachnutzung hat einen Zustand"), "{html}");
    }
}
